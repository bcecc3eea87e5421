/**
 * What a forwarding table holds. A prefix in a table has aliases (one per TOS and priority); an alias points to
 * a {@link FibInfo}, which routes share when everything but the prefix is alike; and that has one or more next
 * hops. The names are those of Linux's `net/ipv4/fib_*`.
 */
import { type Ipv4Address, ipv4Mask } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import type { NexthopObject } from './nexthop-object.ts'
import type { Route } from './route.ts'
import { Metric, type NetlinkError, RouteProtocol, RouteType, Scope } from './rtnetlink.ts'

/** By route type: the negative errno that a lookup answers with (0: go there), and the widest scope it may have. */
export const ROUTE_TYPES: readonly { readonly error: number; readonly scope: number }[] = [
  { error: 0, scope: Scope.NOWHERE }, // unspec
  { error: 0, scope: Scope.UNIVERSE }, // unicast
  { error: 0, scope: Scope.HOST }, // local
  { error: 0, scope: Scope.LINK }, // broadcast
  { error: 0, scope: Scope.LINK }, // anycast
  { error: 0, scope: Scope.UNIVERSE }, // multicast
  { error: -Errno.EINVAL, scope: Scope.UNIVERSE }, // blackhole
  { error: -Errno.EHOSTUNREACH, scope: Scope.UNIVERSE }, // unreachable
  { error: -Errno.EACCES, scope: Scope.UNIVERSE }, // prohibit
  { error: -Errno.EAGAIN, scope: Scope.UNIVERSE }, // throw
  { error: -Errno.EINVAL, scope: Scope.NOWHERE }, // nat
  { error: -Errno.EINVAL, scope: Scope.NOWHERE }, // xresolve
]

/** One way out. */
export class FibNexthop {
  /** `null` for blackhole and its kin. */
  device: NetDevice | null = null
  /** 0: the destination is on the link. */
  gateway: Ipv4Address = 0
  /** `RTNH_F_*`. */
  flags = 0
  /** Scope of what the next hop is reached through. */
  scope: number = Scope.NOWHERE
  /** 1…256, for groups. */
  weight = 1
  /** Upper bound of this hop's share of the 31-bit flow hash; -1 while it takes no traffic (`fib_nh_upper_bound`). */
  upperBound = -1
  /** `realms`: a classifier's tag, printed and kept. */
  tclassid = 0
  /** The source that goes with it when the route names none, for generation `sourceGeneration` of the addresses. */
  source: Ipv4Address = 0
  sourceGeneration = -1
  /** @internal decisions made from this hop, reused while their generation holds */
  inputRoute: Route | null = null
  /** @internal */
  outputRoute: Route | null = null
  /** @internal exceptions learnt for single destinations: path MTU, redirect (`fnhe`) */
  exceptions: Map<Ipv4Address, unknown> | null = null
}

/** Everything of a route but its prefix, TOS and type; shared between routes. */
export class FibInfo {
  protocol: number = RouteProtocol.UNSPEC
  scope: number = Scope.UNIVERSE
  type: number = RouteType.UNICAST
  prefsrc: Ipv4Address = 0
  /** `metric` of iproute2; the lower wins. */
  priority = 0
  /** `RTNH_F_*` of the route as a whole. */
  flags = 0
  /** Table that it was added to (`fib_tb_id`): matters when an address goes. */
  tableId = 0
  /** By `RTAX_*`; `null` if none is set. `metrics[RTAX_LOCK]` has a bit per locked metric. */
  metrics: Int32Array | null = null
  nexthops: readonly FibNexthop[] = []
  /** The object whose hops these are; `null` if they are the route's own. */
  nexthop: NexthopObject | null = null
  /** Routes that point here. */
  references = 0
  dead = false
  /** @internal what tables hold for the routes that point here */
  kinds: AliasKind | null = null

  /** MTU of the route, 0 if it names none. */
  get mtu(): number {
    return this.metrics === null ? 0 : this.metrics[Metric.MTU]!
  }
}

/** What routes to different prefixes share: an info and a TOS. A table holds the number of one for each route. */
export class AliasKind {
  // What a lookup looks at comes first, and lies in one cache line: copies of what never changes in the info.
  readonly tos: number
  readonly scope: number
  /** `RTN_*`, as a lookup has to take it: with a nexthop object that is a black hole the route is one. */
  type: number
  /** What a lookup that comes here answers with: 0, or a negative errno. */
  error: number
  readonly info: FibInfo
  /** The only next hop; `null` if there are several. */
  hop: FibNexthop | null
  readonly tableId: number
  /** @internal see {@link AliasKinds} */
  readonly id: number
  /** Routes of this kind. */
  references: number
  /** @internal */
  nextOfInfo: AliasKind | null

  constructor(id: number, info: FibInfo, tos: number) {
    this.tos = tos
    this.scope = info.scope
    this.type = typeOf(info)
    this.error = ROUTE_TYPES[this.type]!.error
    this.info = info
    this.hop = onlyHop(info)
    this.tableId = info.tableId
    this.id = id
    this.references = 1
    this.nextOfInfo = null
  }

  /** The info's nexthop object has other hops now. */
  refresh(): void {
    this.type = typeOf(this.info)
    this.error = ROUTE_TYPES[this.type]!.error
    this.hop = onlyHop(this.info)
  }
}

function typeOf({ type, nexthop }: FibInfo): number {
  return nexthop?.isBlackhole === true && type < RouteType.BLACKHOLE ? RouteType.BLACKHOLE : type
}

function onlyHop({ nexthops }: FibInfo): FibNexthop | null {
  return nexthops.length === 1 ? nexthops[0]! : null
}

/** One route: a prefix and its kind. Made when it is asked for; routes that look alike are the same one. */
export class FibAlias {
  readonly prefix: Ipv4Address
  readonly prefixLength: number
  readonly kind: AliasKind

  constructor(prefix: Ipv4Address, prefixLength: number, kind: AliasKind) {
    this.prefix = prefix
    this.prefixLength = prefixLength
    this.kind = kind
  }

  get tos(): number {
    return this.kind.tos
  }

  get tableId(): number {
    return this.kind.tableId
  }

  get type(): number {
    return this.kind.type
  }

  get info(): FibInfo {
    return this.kind.info
  }
}

/** What a lookup found; reused, so read it before the next lookup. */
export class FibResult {
  kind: AliasKind | null = null
  nexthop: FibNexthop | null = null
  /** Index of `nexthop` in `info.nexthops`. */
  nexthopIndex = 0
  type: number = RouteType.UNSPEC
  /** What was asked for: it begins with the prefix. */
  destination: Ipv4Address = 0
  prefixLength = 0
  tableId = 0
  /** The table that the route is of which refused a lookup last (a blackhole, for one). */
  refusedIn = 0
  /** Realms of the rule that led here, for where the next hop has none. */
  tclassid = 0

  get info(): FibInfo | null {
    return this.kind === null ? null : this.kind.info
  }

  get scope(): number {
    return this.kind === null ? Scope.UNIVERSE : this.kind.scope
  }

  get prefix(): Ipv4Address {
    return this.destination & ipv4Mask(this.prefixLength)
  }

  /** The route; an object of its own for everyone who asks. */
  get alias(): FibAlias | null {
    return this.kind === null ? null : new FibAlias(this.prefix, this.prefixLength, this.kind)
  }

  reset(): void {
    this.kind = null
    this.nexthop = null
    this.nexthopIndex = 0
    this.type = RouteType.UNSPEC
    this.destination = 0
    this.prefixLength = 0
    this.tableId = 0
    this.tclassid = 0
  }
}

/** A gateway of a deletion that is no address of a hop: see {@link NexthopConfig}. */
export type StrangeGateway = 'unlike' | 'foreign' | NetlinkError

/** A next hop as a program or a command asks for it. */
export interface NexthopConfig {
  gateway?: Ipv4Address
  device?: NetDevice
  /** 1…256 */
  weight?: number
  onlink?: boolean
  tclassid?: number
  /**
   * Of a deletion: a gateway of zeros, unlike that of any hop; one of another family, which only a hop without a gateway
   * matches; or what is wrong with it, thrown once it is compared. @internal
   */
  strangeGateway?: StrangeGateway
}

/** A route as a program or a command asks for it (Linux's `fib_config`). What is absent takes Linux's default. */
export interface RouteConfig extends NexthopConfig {
  prefix: Ipv4Address
  prefixLength: number
  /** DSCP bits only. */
  tos?: number
  type?: number
  table?: number
  scope?: number
  protocol?: number
  priority?: number
  prefsrc?: Ipv4Address
  metrics?: ReadonlyMap<number, number>
  /** A group; then `gateway` and `device` are absent. */
  nexthops?: readonly NexthopConfig[]
  /** A nexthop object (`nhid`); 0 or absent: none. Then all three above are absent. */
  nexthopId?: number
}

/** How an addition treats what is there already (`NLM_F_*`, by iproute2's verbs); `test` never adds, and always fails. */
export type RouteAddMode = 'add' | 'append' | 'prepend' | 'replace' | 'change' | 'test'
