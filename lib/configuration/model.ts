/**
 * A configuration in numbers, every default filled in: what is taken from a stack, decoded from JSON, compared,
 * put into a stack, and printed as commands.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import { RouteProtocol, RouteTable, RouteType, RuleAction, Scope } from '../route/rtnetlink.ts'

export interface LinkModel {
  readonly name: string
  readonly index: number
  readonly loopback: boolean
  /** `LinkFlag`, without `UP`. */
  readonly flags: number
  readonly mtu: number
  readonly minMtu: number
  readonly maxMtu: number
  readonly txQueueLength: number
  readonly qdisc: string
  readonly group: number
  readonly up: boolean
  readonly carrier: boolean
  readonly carrierSeen: boolean
}

export interface AddressModel {
  readonly device: string
  readonly local: Ipv4Address
  /** The address itself if there is no peer. */
  readonly peer: Ipv4Address
  readonly prefixLength: number
  /** 0: none */
  readonly broadcast: Ipv4Address
  readonly scope: number
  readonly label: string
  readonly noprefixroute: boolean
  readonly metric: number
  /** Seconds, or `FOREVER`. */
  readonly valid: number
  readonly preferred: number
  readonly protocol: number
}

export interface HopModel {
  /** `null` for blackhole and its kin. */
  readonly device: string | null
  /** 0: none */
  readonly gateway: Ipv4Address
  readonly weight: number
  readonly onlink: boolean
  readonly realms: number
  readonly dead: boolean
}

/** A nexthop object. */
export interface NexthopModel {
  readonly id: number
  readonly protocol: number
  /** `null` for a black hole and for a group. */
  readonly device: string | null
  /** 0: none */
  readonly gateway: Ipv4Address
  readonly onlink: boolean
  readonly blackhole: boolean
  /** That of the way to its gateway when it was made; `UNIVERSE` for a black hole and for a group. */
  readonly scope: number
  /** `null` if it is no group. */
  readonly members: readonly { readonly id: number; readonly weight: number }[] | null
}

export interface RouteModel {
  readonly table: number
  readonly type: number
  readonly prefix: Ipv4Address
  readonly prefixLength: number
  readonly tos: number
  readonly metric: number
  readonly protocol: number
  readonly scope: number
  readonly prefsrc: Ipv4Address
  /** Number and value of each metric that is set, by number; `Metric.LOCK` is not among them. */
  readonly metrics: readonly (readonly [number, number])[]
  /** A bit per locked metric. */
  readonly locks: number
  /** The nexthop object that it names; 0: none. */
  readonly nexthopId: number
  /** One, or the group's; none with a nexthop object. */
  readonly hops: readonly HopModel[]
  /** A group with a dead hop that counts as one without carrier: a device of it has changed somehow since. */
  readonly linkdown: boolean
}

export interface PrefixModel {
  readonly address: Ipv4Address
  readonly length: number
}

export interface RangeModel {
  readonly first: number
  readonly last: number
}

export interface RuleModel {
  readonly priority: number
  readonly action: number
  /** 0 for an action without a table. */
  readonly table: number
  /** 0 for all but `GOTO`. */
  readonly target: number
  readonly invert: boolean
  readonly from: PrefixModel | null
  readonly to: PrefixModel | null
  readonly iif: string | null
  readonly oif: string | null
  readonly mark: number
  readonly markMask: number
  readonly tos: number
  readonly protocolNumber: number
  readonly sport: RangeModel | null
  readonly dport: RangeModel | null
  readonly uidRange: RangeModel | null
  /** -1: none */
  readonly suppressPrefixLength: number
  readonly suppressGroup: number
  readonly realms: number
  readonly protocol: number
}

export interface ConfigurationModel {
  readonly links: readonly LinkModel[]
  readonly addresses: readonly AddressModel[]
  readonly tables: readonly number[]
  /** By number. */
  readonly nexthops: readonly NexthopModel[]
  readonly routes: readonly RouteModel[]
  readonly rules: readonly RuleModel[]
  readonly rulesTouched: boolean
  readonly localRoutesTouched: boolean
  readonly sysctls: readonly (readonly [string, string])[]
}

/** A rule that selects everything and looks in a table. */
export const PLAIN_RULE: RuleModel = {
  priority: 0,
  action: RuleAction.TO_TBL,
  table: RouteTable.MAIN,
  target: 0,
  invert: false,
  from: null,
  to: null,
  iif: null,
  oif: null,
  mark: 0,
  markMask: 0,
  tos: 0,
  protocolNumber: 0,
  sport: null,
  dport: null,
  uidRange: null,
  suppressPrefixLength: -1,
  suppressGroup: -1,
  realms: 0,
  protocol: RouteProtocol.UNSPEC,
}

/** The rules that every stack begins with. */
export const FIRST_RULES: readonly RuleModel[] = (
  [
    [0, RouteTable.LOCAL],
    [32766, RouteTable.MAIN],
    [32767, RouteTable.DEFAULT],
  ] as const
).map(([priority, table]) => ({ ...PLAIN_RULE, priority, table, protocol: RouteProtocol.KERNEL }))

/** What tells the routes of one table, prefix, TOS and metric apart is their order alone. */
export function routeKey({ table, prefix, prefixLength, tos, metric }: RouteModel): string {
  return `${table} ${prefix}/${prefixLength} ${tos} ${metric}`
}

/** A text that two routes have in common if they are the same, whether or not their hops are alive. */
export function routeIdentity(route: RouteModel): string {
  const hops = route.hops.map(({ device, gateway, weight, onlink, realms }) => [
    device,
    gateway,
    weight,
    onlink,
    realms,
  ])
  const { type, protocol, scope, prefsrc, metrics, locks, nexthopId } = route
  return JSON.stringify([routeKey(route), type, protocol, scope, prefsrc, metrics, locks, nexthopId, hops])
}

/** The same of rules. */
export function ruleIdentity(rule: RuleModel): string {
  return JSON.stringify({ ...PLAIN_RULE, ...rule })
}

/** Types whose routes go into table `local` unless told otherwise. */
export function defaultTable(type: number): number {
  const local = type === RouteType.LOCAL || type === RouteType.BROADCAST || type === RouteType.ANYCAST
  return local || type === RouteType.NAT ? RouteTable.LOCAL : RouteTable.MAIN
}

/** The scope that `ip route add` fills in. @param indirect there is a gateway, or a group */
export function defaultScope(type: number, indirect: boolean): number {
  if (type === RouteType.LOCAL || type === RouteType.NAT) return Scope.HOST
  if (type === RouteType.BROADCAST || type === RouteType.MULTICAST || type === RouteType.ANYCAST) {
    return Scope.LINK
  }
  return type === RouteType.UNICAST && !indirect ? Scope.LINK : Scope.UNIVERSE
}

/** A route that is written with `nexthop`: several hops, or one that has a weight. */
export function isGroup({ hops, nexthopId }: RouteModel): boolean {
  return nexthopId === 0 && (hops.length > 1 || hops[0]!.weight !== 1)
}
