/**
 * How `ip route` prints a route: type, prefix, `tos`, `via`, `dev`, `table`, `proto`, `scope`, `src`, `metric`,
 * flags, and what was measured, each followed by a space. What a filter fixed is not said again.
 */
import { formatIpv4 } from '../address/ipv4-address.ts'
import {
  Metric,
  NexthopFlag,
  RouteFlag,
  RouteProtocol,
  RouteTable,
  RouteType,
  Scope,
} from '../route/rtnetlink.ts'
import { type Command, lineEnd } from './command.ts'
import { dsfields, formatRealms, formatRouteType, protocols, scopes, tables } from './names.ts'
import type { RouteFilter } from './route-filter.ts'
import type { CachedMessage, RouteMessage } from './route-message.ts'

/** `RTM_F_NOTIFY`, as flag of a route and of a decision. */
const NOTIFY = 0x100
export const NOTIFY_CACHED = 0x10000
/** The bit that a route keeps in hardware would have, which is also that of a multicast decision. */
const OFFLOAD_FAILED = 0x20000000

/** Flags of a decision in the order in which they are printed. */
const CACHE_FLAGS = [
  [RouteFlag.LOCAL, 'local'],
  [RouteFlag.MULTICAST, 'mc'],
  [RouteFlag.BROADCAST, 'brd'],
  [RouteFlag.DOREDIRECT, 'redirect'],
  [NOTIFY_CACHED, 'notify'],
] as const

const METRIC_NAMES: readonly (readonly [number, string])[] = [
  [Metric.MTU, 'mtu'],
  [Metric.WINDOW, 'window'],
  [Metric.RTT, 'rtt'],
  [Metric.RTTVAR, 'rttvar'],
  [Metric.SSTHRESH, 'ssthresh'],
  [Metric.CWND, 'cwnd'],
  [Metric.ADVMSS, 'advmss'],
  [Metric.REORDERING, 'reordering'],
  [Metric.HOPLIMIT, 'hoplimit'],
  [Metric.INITCWND, 'initcwnd'],
  [Metric.FEATURES, 'features'],
  [Metric.RTO_MIN, 'rto_min'],
  [Metric.INITRWND, 'initrwnd'],
  [Metric.QUICKACK, 'quickack'],
  [17, 'fastopen_no_cookie'],
]

/** @param shown what the filter fixed, so that it goes without saying */
export function formatRoute(command: Command, route: RouteMessage, shown: RouteFilter): string {
  const { options } = command
  const { details, numeric } = options
  const { cached } = route
  let text = ''
  if (route.type !== RouteType.UNICAST || details) text += `${formatRouteType(route.type, numeric)} `
  text += `${formatPrefix(route)} `
  if (cached !== null && cached.source !== 0) text += `from ${formatIpv4(cached.source)} `
  if (route.tos !== 0 && shown.tos === undefined) text += `tos ${dsfields.format(route.tos, numeric)} `
  if (route.gateway !== 0 && shown.via?.length !== 32) text += `via ${formatIpv4(route.gateway)} `
  if (route.device !== null && shown.device === undefined) text += `dev ${route.device.name} `
  const named = route.table !== RouteTable.MAIN || details
  if (route.table !== 0 && named && shown.table === 0) text += `table ${tables.format(route.table, numeric)} `
  if (cached === null) {
    if ((route.protocol !== RouteProtocol.BOOT || details) && shown.protocol === undefined) {
      text += `proto ${protocols.format(route.protocol, numeric)} `
    }
    if ((route.scope !== Scope.UNIVERSE || details) && shown.scope === undefined) {
      text += `scope ${scopes.format(route.scope, numeric)} `
    }
  }
  if (route.prefsrc !== 0 && shown.source?.length !== 32) text += `src ${formatIpv4(route.prefsrc)} `
  if (route.metric !== 0 && shown.metric === undefined) text += `metric ${route.metric} `
  text += formatFlags(route.flags)
  if (cached !== null && cached.mark !== 0) text += `mark ${formatMark(cached.mark)} `
  if (route.realms !== 0 && shown.realms?.mask !== -1) text += realmsText(route.realms, numeric)
  if (cached !== null) text += formatCached(command, route, cached)
  if (route.metrics !== null) text += formatMetrics(route.metrics)
  if (cached !== null && cached.incoming !== null) text += `iif ${cached.incoming.name} `
  for (const hop of route.nexthops ?? []) {
    text += `${lineEnd(command)}\tnexthop `
    if (hop.gateway !== 0) text += `via ${formatIpv4(hop.gateway)} `
    if (hop.realms !== 0) text += realmsText(hop.realms, numeric)
    text += `dev ${hop.device?.name ?? 'if0'} weight ${hop.weight} ${formatFlags(hop.flags)}`
  }
  return `${text}\n`
}

function formatPrefix({ prefix, prefixLength, cached }: RouteMessage): string {
  if (cached !== null || prefixLength === 32) return formatIpv4(prefix)
  return prefixLength === 0 ? 'default' : `${formatIpv4(prefix)}/${prefixLength}`
}

function formatFlags(flags: number): string {
  let text = ''
  if ((flags & NexthopFlag.DEAD) !== 0) text += 'dead '
  if ((flags & NexthopFlag.ONLINK) !== 0) text += 'onlink '
  if ((flags & NexthopFlag.PERVASIVE) !== 0) text += 'pervasive '
  if ((flags & NOTIFY) !== 0) text += 'notify '
  if ((flags & NexthopFlag.LINKDOWN) !== 0) text += 'linkdown '
  if ((flags & OFFLOAD_FAILED) !== 0) text += 'rt_offload_failed '
  return text
}

function formatMark(mark: number): string {
  const unsigned = mark >>> 0
  return unsigned >= 16 ? `0x${unsigned.toString(16)}` : `${unsigned}`
}

function realmsText(realms: number, numeric: boolean): string {
  return `realm${realms >>> 16 === 0 ? '' : 's'} ${formatRealms(realms, numeric)} `
}

function formatCached(command: Command, route: RouteMessage, cached: CachedMessage): string {
  let text = cached.uid === undefined ? '' : `uid ${cached.uid} `
  text += `${lineEnd(command)}    cache `
  const flags = CACHE_FLAGS.filter(([flag]) => (route.flags & flag) !== 0).map(([, name]) => name)
  if (flags.length > 0) text += `<${flags.join(',')}> `
  if (cached.expires !== 0) text += `expires ${cached.expires}sec `
  if (command.options.statistics > 0) text += `users ${cached.users} `
  return text
}

function formatMetrics(metrics: Int32Array): string {
  const locks = metrics[Metric.LOCK]!
  let text = ''
  for (const [metric, name] of METRIC_NAMES) {
    const value = metrics[metric]! >>> 0
    const locked = (locks & (1 << metric)) !== 0
    if (value === 0 && !locked) continue
    text += `${name} ${locked ? 'lock ' : ''}${formatMetric(metric, value)}`
  }
  return text
}

function formatMetric(metric: number, value: number): string {
  switch (metric) {
    case Metric.FEATURES:
      return `${(value & 1) !== 0 ? 'ecn ' : ''}${(value & ~1) !== 0 ? `0x${value.toString(16)} ` : ''}`
    case Metric.RTT:
      return formatTime(Math.floor(value / 8))
    case Metric.RTTVAR:
      return formatTime(Math.floor(value / 4))
    case Metric.RTO_MIN:
      return formatTime(value)
    default:
      return `${value} `
  }
}

/** Milliseconds; from a second on, seconds of six digits. */
function formatTime(milliseconds: number): string {
  return milliseconds >= 1000 ? `${Number((milliseconds / 1000).toPrecision(6))}s ` : `${milliseconds}ms `
}
