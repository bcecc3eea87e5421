/**
 * A route as the kernel reports it (`struct rtmsg` and its attributes): one shape for an entry of a table and for
 * the answer of `route get`, so that one printer serves both.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import type { FibAlias, FibInfo, FibNexthop } from '../route/fib-types.ts'
import type { NexthopObject } from '../route/nexthop-object.ts'
import { NexthopFlag, RouteType } from '../route/rtnetlink.ts'
import type { Sysctl } from '../sysctl/sysctl.ts'

/** All that is said of a device; one that was told of by its number need not be there. */
export interface NamedDevice {
  readonly name: string
  readonly ifindex: number
}

/** One way out of a group. */
export interface NexthopMessage {
  /** 0: none */
  gateway: Ipv4Address
  device: NamedDevice | null
  weight: number
  /** `NexthopFlag` */
  flags: number
  realms: number
}

export interface RouteMessage {
  type: number
  /** `undefined`: all zeros of length 0, `default`. */
  prefix: Ipv4Address
  prefixLength: number
  tos: number
  /** The nexthop object that it names; `null`: none. */
  object: NexthopObject | { readonly id: number } | null
  /** 0: none */
  gateway: Ipv4Address
  device: NamedDevice | null
  /** 0: no table holds it. */
  table: number
  protocol: number
  scope: number
  /** 0: none */
  prefsrc: Ipv4Address
  metric: number
  /** `NexthopFlag`, and for a cached decision `RouteFlag`. */
  flags: number
  realms: number
  /** By `Metric`; `null`: none. */
  metrics: Int32Array | null
  /** Of a group; else `null`. */
  nexthops: NexthopMessage[] | null
  /** Only in answers of `route get`. */
  cached: CachedMessage | null
}

/** What a decision has beyond an entry of a table. */
export interface CachedMessage {
  /** The source that was asked with; 0: none. */
  source: Ipv4Address
  mark: number
  /** `undefined`: not said. */
  uid: number | undefined
  /** Seconds, 0: for ever. */
  expires: number
  /** Who holds the decision, this answer among them. */
  users: number
  /** The device that the packet would have come in by; `null` for a packet of this host. */
  incoming: NetDevice | null
}

function nexthopFlags(hop: FibNexthop, sysctl: Sysctl): number {
  let flags = hop.flags & (NexthopFlag.DEAD | NexthopFlag.ONLINK | NexthopFlag.LINKDOWN)
  if ((flags & NexthopFlag.LINKDOWN) !== 0 && hop.device !== null) {
    if (sysctl.conf(hop.device.ifindex).ignoreRoutesWithLinkdown) flags |= NexthopFlag.DEAD
  }
  return flags
}

function nexthopMessage(hop: FibNexthop, sysctl: Sysctl, weight = hop.weight): NexthopMessage {
  const { gateway, device, tclassid } = hop
  return { gateway, device, weight, flags: nexthopFlags(hop, sysctl), realms: tclassid }
}

/** An entry of a table (`fib_dump_info`). @param table as the kernel names it; that of the entry unless given */
export function entryMessage(
  alias: FibAlias,
  sysctl: Sysctl,
  table = alias.tableId,
  type = alias.type,
): RouteMessage {
  const { info } = alias
  const { nexthop: object } = info
  // With an object, its number can be all that is said of the way.
  const hops = object === null || sysctl.ipv4.nexthop_compat_mode !== 0 ? info.nexthops : []
  const single = hops.length === 1 ? nexthopMessage(hops[0]!, sysctl) : null
  return {
    type: object?.isBlackhole === true ? RouteType.BLACKHOLE : type,
    object,
    prefix: alias.prefix,
    prefixLength: alias.prefixLength,
    tos: alias.tos,
    gateway: single?.gateway ?? 0,
    device: single?.device ?? null,
    table,
    protocol: info.protocol,
    scope: info.scope,
    prefsrc: info.prefsrc,
    metric: info.priority >>> 0,
    flags: single === null ? groupFlags(info) : single.flags,
    realms: single?.realms ?? 0,
    metrics: info.metrics,
    nexthops:
      hops.length > 1
        ? hops.map((hop, index) => nexthopMessage(hop, sysctl, object?.members?.[index]?.weight))
        : null,
    cached: null,
  }
}

function groupFlags(info: FibInfo): number {
  return info.flags & (NexthopFlag.DEAD | NexthopFlag.LINKDOWN)
}
