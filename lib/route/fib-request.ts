/**
 * A route as it is asked for, with the defaults that `ip route add` and `ip route del` fill in: an addition
 * names everything, a deletion only what must match.
 */
import { INADDR_ANY, type Ipv4Address } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { metricsMatch } from './fib-metrics.ts'
import type { FibInfo, FibNexthop, NexthopConfig, RouteConfig, StrangeGateway } from './fib-types.ts'
import { NetlinkError, RouteProtocol, RouteTable, RouteType, Scope } from './rtnetlink.ts'

/** A hop as it is asked for, of a group or of a route of its own. */
export type HopRequest = { readonly [K in keyof NexthopConfig]: NexthopConfig[K] | undefined }

/** A {@link RouteConfig} with every default filled in. */
export interface CompleteRoute {
  readonly prefix: Ipv4Address
  readonly prefixLength: number
  readonly tos: number
  readonly type: number
  readonly table: number
  readonly scope: number
  readonly protocol: number
  readonly priority: number
  readonly prefsrc: Ipv4Address
  readonly gateway: Ipv4Address
  readonly device: NetDevice | undefined
  readonly weight: number
  readonly onlink: boolean
  readonly tclassid: number
  readonly metrics: ReadonlyMap<number, number> | undefined
  readonly nexthops: readonly NexthopConfig[] | undefined
  readonly strangeGateway: StrangeGateway | undefined
  /** 0: no nexthop object. */
  readonly nexthopId: number
}

/** Types whose routes go into table `local` unless told otherwise. */
function isLocalType(type: number): boolean {
  return type === RouteType.LOCAL || type === RouteType.BROADCAST || type === RouteType.ANYCAST
}

/** Fills in what `ip route add` fills in. */
export function completeRoute(config: RouteConfig): CompleteRoute {
  const type = config.type ?? RouteType.UNICAST
  const indirect =
    (config.gateway ?? INADDR_ANY) !== INADDR_ANY ||
    config.nexthops !== undefined ||
    (config.nexthopId ?? 0) !== 0
  return complete(config, type, config.scope ?? defaultScope(type, indirect), RouteProtocol.BOOT)
}

/** Fills in what `ip route del` fills in: what was not said matches anything. */
export function completeDeletion(config: RouteConfig): CompleteRoute {
  return complete(config, RouteType.UNSPEC, config.scope ?? Scope.NOWHERE, RouteProtocol.UNSPEC)
}

// One literal, without spreading: a million routes pass here.
function complete(config: RouteConfig, defaultType: number, scope: number, protocol: number): CompleteRoute {
  const type = config.type ?? defaultType
  return {
    prefix: config.prefix | 0,
    prefixLength: config.prefixLength,
    tos: config.tos ?? 0,
    type,
    table: config.table || (isLocalType(type) ? RouteTable.LOCAL : RouteTable.MAIN),
    scope,
    protocol: config.protocol ?? protocol,
    priority: config.priority ?? 0,
    prefsrc: config.prefsrc ?? INADDR_ANY,
    gateway: config.gateway ?? INADDR_ANY,
    device: config.device,
    weight: 1,
    onlink: config.onlink ?? false,
    tclassid: config.tclassid ?? 0,
    metrics: config.metrics,
    nexthops: config.nexthops,
    strangeGateway: config.strangeGateway,
    nexthopId: config.nexthopId ?? 0,
  }
}

function defaultScope(type: number, hasGateway: boolean): number {
  if (type === RouteType.LOCAL || type === RouteType.NAT) return Scope.HOST
  if (type === RouteType.BROADCAST || type === RouteType.MULTICAST || type === RouteType.ANYCAST) {
    return Scope.LINK
  }
  return type === RouteType.UNICAST && !hasGateway ? Scope.LINK : Scope.UNIVERSE
}

/** Whether a deletion means this route (`fib_nh_match` and its callers). */
export function deletionMatches(config: CompleteRoute, info: FibInfo, type: number): boolean {
  if (config.type !== RouteType.UNSPEC && type !== config.type) return false
  if (config.scope !== Scope.NOWHERE && info.scope !== config.scope) return false
  if (config.prefsrc !== INADDR_ANY && info.prefsrc !== config.prefsrc) return false
  if (config.protocol !== RouteProtocol.UNSPEC && info.protocol !== config.protocol) return false
  if (config.priority !== 0 && info.priority !== config.priority) return false
  return hopsMatch(config, info) && metricsMatch(config.metrics, info.metrics)
}

function hopsMatch(config: CompleteRoute, info: FibInfo): boolean {
  if (config.nexthopId !== 0) return info.nexthop?.id === config.nexthopId
  const own =
    config.device !== undefined || config.gateway !== INADDR_ANY || config.strangeGateway !== undefined
  if (info.nexthop !== null) return !own && config.nexthops === undefined
  if (own) return hopMatches(config, info.nexthops[0]!)
  if (config.nexthops === undefined) return true
  return info.nexthops.every((hop, index) => {
    const asked = config.nexthops![index]
    return asked !== undefined && hopMatches(asked, hop)
  })
}

function hopMatches(config: HopRequest, hop: FibNexthop): boolean {
  if (config.device !== undefined && config.device !== hop.device) return false
  const { strangeGateway } = config
  if (strangeGateway instanceof NetlinkError) throw strangeGateway
  if (strangeGateway === 'unlike' || (strangeGateway === 'foreign' && hop.gateway !== 0)) return false
  if (config.gateway && config.gateway !== hop.gateway) return false
  return !config.tclassid || config.tclassid === hop.tclassid
}
