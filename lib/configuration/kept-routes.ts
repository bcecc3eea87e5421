/** Which of the routes of one table, prefix, TOS and metric stay where they are, so that the others can be put around them. */
import { RouteType } from '../route/rtnetlink.ts'
import { type RouteModel, routeIdentity } from './model.ts'

/**
 * Which routes stay: a run of those wanted that are there in that order, with anything between them. What is added
 * goes before them or behind. Local ones stay rather than others: one that is added counts as made by hand.
 */
export function longestKept(
  there: readonly RouteModel[],
  wanted: readonly RouteModel[],
): [from: number, upTo: number, kept: ReadonlySet<RouteModel>] {
  const present = there.map(routeIdentity)
  const identities = there.length === 0 ? [] : wanted.map(routeIdentity)
  let best: [number, number, Set<RouteModel>] = [0, 0, new Set()]
  let most = 0
  for (let from = 0; from < identities.length; from++) {
    const kept = new Set<RouteModel>()
    let upTo = from
    let value = 0
    for (const [at, identity] of present.entries()) {
      if (identity !== identities[upTo]) continue
      kept.add(there[at]!)
      value += there[at]!.type === RouteType.LOCAL ? present.length + 1 : 1
      upTo++
    }
    if (value > most) {
      most = value
      best = [from, upTo, kept]
    }
  }
  return best
}
