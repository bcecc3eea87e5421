/** Routes of all tables, from `ip -j route show table all`. */

import { METRIC_NAMES } from '../iproute2/metric-names.ts'
import { CONGESTION_NAMES } from '../route/fib-metrics.ts'
import { Metric, RouteProtocol, RouteTable, RouteType, Scope } from '../route/rtnetlink.ts'
import type { NameLookup } from './kernel-names.ts'
import { Row, rowsOf, type Skips, take, Untaken } from './kernel-row.ts'
import type { AddressModel, HopModel, LinkModel, NexthopModel, RouteModel } from './model.ts'

/** What routes are about, and who reads names and keeps account of what is left out. */
export interface RouteSurroundings {
  readonly links: readonly LinkModel[]
  readonly addresses: readonly AddressModel[]
  readonly nexthops: readonly NexthopModel[]
  readonly names: NameLookup
  readonly skips: Skips
}

export function readRoutes(output: unknown, surroundings: RouteSurroundings): RouteModel[] {
  const routes: RouteModel[] = []
  const { skips } = surroundings
  const reader = new RouteReader(surroundings)
  for (const [row] of rowsOf(output, 'route')) {
    const route = take(row, skips, (each) => reader.read(each))
    if (route !== undefined) routes.push(route)
  }
  return routes
}

const LEADING_NOWHERE: readonly number[] = [
  RouteType.BLACKHOLE,
  RouteType.UNREACHABLE,
  RouteType.PROHIBIT,
  RouteType.THROW,
]

/**
 * The devices that are down and had no carrier: what tells are groups with a hop over one, which count as without
 * carrier as a whole if none of their hops has any.
 */
export function unpluggedDevices(output: unknown): Set<string> {
  const unplugged = new Set<string>()
  for (const [row] of rowsOf(output, 'route')) {
    const hops = row.get('nexthops')
    if (!Array.isArray(hops) || !row.strings('flags').includes('linkdown')) continue
    hops.forEach((values: unknown, index) => {
      const hop = new Row(values as Record<string, unknown>, `${row.path}.nexthops[${index}]`)
      const device = hop.get('dev')
      if (hop.strings('flags').includes('dead') && typeof device === 'string') unplugged.add(device)
    })
  }
  return unplugged
}

class RouteReader {
  readonly #names: NameLookup
  readonly #skips: Skips
  readonly #links: ReadonlyMap<string, LinkModel>
  readonly #addressed: ReadonlySet<string>
  readonly #nexthops: ReadonlyMap<number, NexthopModel>

  constructor({ links, addresses, nexthops, names, skips }: RouteSurroundings) {
    this.#nexthops = new Map(nexthops.map((model) => [model.id, model]))
    this.#names = names
    this.#skips = skips
    this.#links = new Map(links.map((link) => [link.name, link]))
    this.#addressed = new Set(addresses.map(({ device }) => device))
  }

  /** @throws Untaken */
  read(row: Row): RouteModel {
    // Every route of IPv6 has a preference.
    if (row.has('pref')) throw new Untaken('a stack has no IPv6')
    if (row.has('encap')) throw new Untaken('a stack has no encapsulation of light-weight tunnels')
    const { address: prefix, length: prefixLength } = row.prefix('dst')
    const shown = row.named('type', (value) => this.#names.routeType(value), RouteType.UNICAST)
    const nexthops = row.get('nexthops')
    row.ignore('flags') // of a group: those of its hops together
    const object = this.#object(row)
    // One with a black hole is shown as one, whatever it was added as.
    const type = object !== undefined && this.#isBlackhole(object) ? RouteType.UNICAST : shown
    if (object !== undefined) row.ignore('gateway', 'dev')
    const hops =
      object !== undefined
        ? []
        : Array.isArray(nexthops)
          ? nexthops.map((values: unknown, index) => {
              const hop = new Row(values as Record<string, unknown>, `${row.path}.nexthops[${index}]`)
              const taken = this.#hop(hop, true)
              hop.finish(this.#skips)
              return taken
            })
          : [this.#hop(row, false)]
    const { metrics, locks } = this.#metrics(row)
    const leads = !LEADING_NOWHERE.includes(type)
    return {
      table: row.named('table', (value) => this.#names.number('tables', value), RouteTable.MAIN),
      type,
      prefix,
      prefixLength,
      tos: row.named('tos', (value) => this.#names.number('dsfields', value), 0),
      metric: row.number('metric', 0),
      protocol: row.named('protocol', (value) => this.#names.number('protocols', value), RouteProtocol.BOOT),
      scope: row.named('scope', (value) => this.#names.number('scopes', value), Scope.UNIVERSE),
      prefsrc: row.address('prefsrc', 0),
      metrics,
      locks,
      nexthopId: object?.id ?? 0,
      // An object that is a blackhole has loopback as its device.
      hops: leads ? hops : hops.map((hop) => ({ ...hop, device: null })),
      linkdown: hops.some(({ dead }) => dead) && row.strings('flags').includes('linkdown'),
    }
  }

  /** The nexthop object that the route names, if it is in the stack. */
  #object(row: Row): NexthopModel | undefined {
    if (!row.has('nhid')) return undefined
    const object = this.#nexthops.get(row.number('nhid', 0))
    if (object === undefined) {
      const reason =
        'the nexthop object is not in the stack: the route has its own hops like those of the object'
      this.#skips.add(`${row.path}.nhid`, reason, row.values['nhid'])
    }
    return object
  }

  #isBlackhole({ blackhole, members }: NexthopModel): boolean {
    if (members === null) return blackhole
    return members.length === 1 && this.#nexthops.get(members[0]!.id)!.blackhole
  }

  #hop(row: Row, group: boolean): HopModel {
    const via = row.get('via')
    if (via !== undefined) throw new Untaken('its gateway has an address of another family')
    if (row.has('encap')) throw new Untaken('a stack has no encapsulation of light-weight tunnels')
    const dev = row.get('dev')
    if (dev !== undefined && (typeof dev !== 'string' || !this.#links.has(dev))) {
      throw new Untaken(`its device ${String(dev)} is not there`)
    }
    const flags = row.strings('flags')
    const device = dev === undefined ? null : (dev as string)
    return {
      device,
      gateway: row.address('gateway', 0),
      weight: row.number('weight', 1),
      onlink: flags.includes('onlink'),
      realms: this.#realms(row),
      dead: group && flags.includes('dead') && this.#isDead(device),
    }
  }

  /** Dead for good, and not just ignored for want of a carrier (`ignore_routes_with_linkdown`). */
  #isDead(device: string | null): boolean {
    return device !== null && !(this.#links.get(device)!.up && this.#addressed.has(device))
  }

  #realms(row: Row): number {
    const flow = row.get('flow')
    if (typeof flow !== 'object' || flow === null) return 0
    const part = new Row(flow as Record<string, unknown>, `${row.path}.flow`)
    const number = (name: string): number =>
      part.named(name, (value) => this.#names.number('realms', value), 0)
    return (number('from') << 16) | number('to')
  }

  /** Whether a metric is locked the kernel knows, but `ip -j` does not print; `rto_min` always is. */
  #metrics(row: Row): Pick<RouteModel, 'metrics' | 'locks'> {
    const list = row.get('metrics')
    const metrics: [number, number][] = []
    let locks = 0
    for (const values of Array.isArray(list) ? list : []) {
      const part = new Row(values as Record<string, unknown>, `${row.path}.metrics`)
      for (const [metric, name] of METRIC_NAMES) {
        if (metric === Metric.FEATURES || metric === Metric.CC_ALGO) continue
        const value = part.number(name, 0)
        if (value === 0) continue
        metrics.push([
          metric,
          metric === Metric.RTT ? value * 8 : metric === Metric.RTTVAR ? value * 4 : value,
        ])
        if (metric === Metric.RTO_MIN) locks |= 1 << metric
      }
      const congestion = CONGESTION_NAMES.indexOf(String(part.get('congestion'))) + 1
      if (congestion !== 0) metrics.push([Metric.CC_ALGO, congestion])
      if (part.has('ecn')) metrics.push([Metric.FEATURES, 1])
      part.finish(this.#skips)
    }
    return { metrics: metrics.sort(([a], [b]) => a - b), locks }
  }
}
