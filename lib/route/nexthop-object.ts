/**
 * A nexthop object (`struct nexthop`): a way out that has a number, so that many routes can name it and one change
 * is a change of them all. It is one hop, or a black hole, or a group of other objects with weights.
 */
import { Errno } from '../errors.ts'
import type { CompleteRoute } from './fib-request.ts'
import type { FibInfo, FibNexthop } from './fib-types.ts'
import { NetlinkError, NexthopFlag, Scope } from './rtnetlink.ts'

/** One object of a group. */
export interface NexthopMember {
  readonly object: NexthopObject
  /** 1…65535 */
  readonly weight: number
  /** Upper bound of its share of the 31-bit flow hash. */
  upperBound: number
}

const invalid = (extack: string): NetlinkError => new NetlinkError(Errno.EINVAL, extack, 'nexthop')

export class NexthopObject {
  readonly id: number
  /** `RTPROT_*` of who made it */
  protocol: number
  /** `RTNH_F_ONLINK` as it was asked for. */
  flags = 0
  /** Itself; a group that holds nothing but one is one too. */
  blackhole = false
  /** What the routes that name it use: one hop, or that of each member. */
  hops: readonly FibNexthop[] = []
  /** `null` if it is no group. */
  members: readonly NexthopMember[] | null = null
  /** Groups that it is in. */
  readonly groups: Set<NexthopObject> = new Set()
  /** Of the routes that name it; the newest first. */
  readonly infos: FibInfo[] = []

  constructor(id: number, protocol: number) {
    this.id = id
    this.protocol = protocol
  }

  get isBlackhole(): boolean {
    const { members } = this
    return members === null ? this.blackhole : members.length === 1 && members[0]!.object.blackhole
  }

  /** Deals the 31-bit hash space out by weight. */
  rebalance(): void {
    const members = this.members ?? []
    let total = 0
    for (const { weight } of members) total += weight
    let sum = 0
    for (const member of members) {
      sum += member.weight
      member.upperBound = Math.floor((sum * 0x80000000 + Math.floor(total / 2)) / total) - 1
    }
  }

  /** The index of the hop that a flow with this hash takes. */
  select(hash: number): number {
    const { members } = this
    if (members === null) return 0
    for (let i = 0; i < members.length; i++) if (hash <= members[i]!.upperBound) return i
    return 0
  }

  /** Whether a route of that scope may use it (`fib_check_nexthop`). @throws NetlinkError `EINVAL` */
  checkScope(scope: number): void {
    const { members } = this
    if (members !== null && scope === Scope.HOST) {
      throw invalid('Route with host scope can not have multiple nexthops')
    }
    const hop = this.hops[0]!
    if (scope === Scope.HOST && hop.gateway !== 0) {
      throw invalid('Route with host scope can not have a gateway')
    }
    if ((hop.flags & NexthopFlag.ONLINK) !== 0 && scope >= Scope.LINK) {
      throw invalid('Scope mismatch with nexthop')
    }
  }

  /** What a route without metrics of its own shares: in Linux even with one that has some (`fib_find_info_nh`). */
  infoFor(config: CompleteRoute): FibInfo | undefined {
    if (config.metrics !== undefined) return undefined
    const onlink = config.onlink ? NexthopFlag.ONLINK : 0
    return this.infos.find(
      (info) =>
        info.protocol === config.protocol &&
        info.scope === config.scope &&
        info.prefsrc === config.prefsrc &&
        info.priority === config.priority &&
        info.type === config.type &&
        info.tableId === config.table &&
        ((info.flags ^ onlink) & NexthopFlag.ONLINK) === 0,
    )
  }
}
