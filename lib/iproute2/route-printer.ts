/**
 * How `ip route` prints a route: type, prefix, `tos`, `via`, `dev`, `table`, `proto`, `scope`, `src`, `metric`,
 * flags, and what was measured, each followed by a space. What a filter fixed is not said again.
 */

import { formatIpv4 } from '../address/ipv4-address.ts'
import { Metric, RouteFlag, RouteProtocol, RouteTable, RouteType, Scope } from '../route/rtnetlink.ts'
import { type Command, lineEnd } from './command.ts'
import { METRIC_NAMES } from './metric-names.ts'
import {
  congestionName,
  dsfields,
  formatRealms,
  formatRouteType,
  protocols,
  realmNames,
  scopes,
  tables,
} from './names.ts'
import { objectMessage, printNexthopObject } from './nexthop-printer.ts'
import type { Printer } from './printer.ts'
import type { RouteFilter } from './route-filter.ts'
import { printFlags } from './route-flags.ts'
import type { CachedMessage, NexthopMessage, RouteMessage } from './route-message.ts'

/** Asked for as nobody: no user has that number. */
const NO_UID = 0xffffffff
export const NOTIFY_CACHED = 0x10000

/** Flags of a decision in the order in which they are printed. */
const CACHE_FLAGS = [
  [RouteFlag.LOCAL, 'local'],
  [RouteFlag.MULTICAST, 'mc'],
  [RouteFlag.BROADCAST, 'brd'],
  [RouteFlag.DOREDIRECT, 'redirect'],
  [NOTIFY_CACHED, 'notify'],
] as const

/** @param shown what the filter fixed, so that it goes without saying */
export function printRoute(
  printer: Printer,
  command: Command,
  route: RouteMessage,
  shown: RouteFilter,
): void {
  const { details, numeric } = command.options
  const { cached } = route
  printer.openObject()
  if (route.type !== RouteType.UNICAST || details)
    word(printer, 'type', '', formatRouteType(route.type, numeric))
  word(printer, 'dst', '', formatPrefix(route))
  if (cached !== null && cached.source !== 0) word(printer, 'from', 'from ', formatIpv4(cached.source))
  if (route.object !== null) word(printer, 'nhid', 'nhid ', route.object.id)
  if (route.tos !== 0 && shown.tos === undefined) {
    word(printer, 'tos', 'tos ', dsfields.format(route.tos, numeric))
  }
  if (route.gateway !== 0 && shown.via?.length !== 32) {
    word(printer, 'gateway', 'via ', formatIpv4(route.gateway))
  }
  if (route.device !== null && shown.device === undefined) word(printer, 'dev', 'dev ', route.device.name)
  const named = route.table !== RouteTable.MAIN || details
  if (route.table !== 0 && named && shown.table === 0) {
    word(printer, 'table', 'table ', tables.format(route.table, numeric))
  }
  if (cached === null) {
    if ((route.protocol !== RouteProtocol.BOOT || details) && shown.protocol === undefined) {
      word(printer, 'protocol', 'proto ', protocols.format(route.protocol, numeric))
    }
    if ((route.scope !== Scope.UNIVERSE || details) && shown.scope === undefined) {
      word(printer, 'scope', 'scope ', scopes.format(route.scope, numeric))
    }
  }
  if (route.prefsrc !== 0 && shown.source?.length !== 32) {
    word(printer, 'prefsrc', 'src ', formatIpv4(route.prefsrc))
  }
  if (route.metric !== 0 && shown.metric === undefined) word(printer, 'metric', 'metric ', route.metric)
  printFlags(printer, route.flags)
  if (cached !== null && cached.mark !== 0) printMark(printer, cached.mark)
  if (route.realms !== 0 && shown.realms?.mask !== -1) printRealms(printer, route.realms, numeric)
  if (cached !== null) printCached(printer, command, route, cached)
  if (route.metrics !== null) printMetrics(printer, route.metrics)
  if (cached !== null && cached.incoming !== null) word(printer, 'iif', 'iif ', cached.incoming.name)
  if (route.object !== null && details) printObject(printer, command, route.object.id)
  if (route.nexthops !== null) printNexthops(printer, command, route.nexthops)
  printer.text('\n')
  printer.closeObject()
}

/** `via 10.0.0.1 `, or `"gateway":"10.0.0.1"`. */
function word(printer: Printer, name: string, before: string, value: string | number): void {
  printer.field(name, value, `${before}${value} `)
}

function formatPrefix({ prefix, prefixLength, cached }: RouteMessage): string {
  if (cached !== null || prefixLength === 32) return formatIpv4(prefix)
  return prefixLength === 0 ? 'default' : `${formatIpv4(prefix)}/${prefixLength}`
}

function printMark(printer: Printer, mark: number): void {
  const unsigned = mark >>> 0
  const text = unsigned >= 16 ? `0x${unsigned.toString(16)}` : `${unsigned}`
  printer.field('mark', unsigned, `mark ${text} `)
}

function printRealms(printer: Printer, realms: number, numeric: boolean): void {
  printer.text(`realm${realms >>> 16 === 0 ? '' : 's'} ${formatRealms(realms, numeric)} `)
  printer.openObject('flow')
  if (realms >>> 16 !== 0) printer.member('from', realmNames.format(realms >>> 16, numeric))
  printer.member('to', realmNames.format(realms & 0xffff, numeric))
  printer.closeObject()
}

function printCached(printer: Printer, command: Command, route: RouteMessage, cached: CachedMessage): void {
  if (cached.uid !== undefined && cached.uid !== NO_UID) word(printer, 'uid', 'uid ', cached.uid)
  printer.text(`${lineEnd(command)}    cache `)
  const flags = CACHE_FLAGS.filter(([flag]) => (route.flags & flag) !== 0).map(([, name]) => name)
  if (flags.length > 0) printer.text(`<${flags.join(',')}> `)
  printer.openArray('cache')
  for (const name of flags) printer.element(name, '')
  printer.closeArray()
  if (cached.expires !== 0) printer.field('expires', cached.expires, `expires ${cached.expires}sec `)
  if (command.options.statistics > 0) word(printer, 'users', 'users ', cached.users)
}

/** The object as this program saw it first. */
function printObject(printer: Printer, command: Command, id: number): void {
  const { seen } = command.options.nexthops
  const object = command.stack.routing.fib.nexthops.get(id)
  const message = seen.get(id) ?? (object === undefined ? undefined : objectMessage(object))
  if (message === undefined) return
  seen.set(id, message)
  printer.text('\n\tnh_info ')
  printNexthopObject(printer, command, message, 'nh_info')
}

function printNexthops(printer: Printer, command: Command, hops: readonly NexthopMessage[]): void {
  const { numeric } = command.options
  printer.openArray('nexthops')
  for (const hop of hops) {
    printer.openObject()
    printer.text(`${lineEnd(command)}\tnexthop `)
    if (hop.gateway !== 0) word(printer, 'gateway', 'via ', formatIpv4(hop.gateway))
    if (hop.realms !== 0) printRealms(printer, hop.realms, numeric)
    word(printer, 'dev', 'dev ', hop.device?.name ?? 'if0')
    word(printer, 'weight', 'weight ', hop.weight)
    printFlags(printer, hop.flags)
    printer.closeObject()
  }
  printer.closeArray()
}

function printMetrics(printer: Printer, metrics: Int32Array): void {
  const locks = metrics[Metric.LOCK]!
  printer.openArray('metrics')
  printer.openObject()
  for (const [metric, name] of METRIC_NAMES) {
    const value = metrics[metric]! >>> 0
    const locked = (locks & (1 << metric)) !== 0
    if (value === 0 && !locked) continue
    printer.text(`${name} ${locked ? 'lock ' : ''}`)
    printMetric(printer, metric, name, value)
  }
  printer.closeObject()
  printer.closeArray()
}

function printMetric(printer: Printer, metric: number, name: string, value: number): void {
  switch (metric) {
    case Metric.FEATURES:
      if ((value & 1) !== 0) printer.field('ecn', null, 'ecn ')
      if ((value & ~1) !== 0) printer.field('features', value, `0x${value.toString(16)} `)
      return
    case Metric.RTT:
      return printer.field(name, Math.floor(value / 8), formatTime(Math.floor(value / 8)))
    case Metric.RTTVAR:
      return printer.field(name, Math.floor(value / 4), formatTime(Math.floor(value / 4)))
    case Metric.RTO_MIN:
      return printer.field(name, value, formatTime(value))
    case Metric.CC_ALGO:
      return word(printer, 'congestion', '', congestionName(value))
    default:
      return word(printer, name, '', value)
  }
}

/** Milliseconds; from a second on, seconds of six digits, with an exponent if that is not enough (`%g`). */
function formatTime(milliseconds: number): string {
  if (milliseconds < 1000) return `${milliseconds}ms `
  const seconds = Number((milliseconds / 1000).toPrecision(6))
  if (seconds < 1e6) return `${seconds}s `
  return `${seconds.toExponential().replace(/e\+(\d)$/, 'e+0$1')}s `
}
