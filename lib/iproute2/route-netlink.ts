/** Routes as messages of the kernel (`RTM_NEWROUTE`), both ways. */
import { Errno } from '../errors.ts'
import type { NexthopConfig, RouteConfig } from '../route/fib-types.ts'
import { Metric, NetlinkError, NexthopFlag } from '../route/rtnetlink.ts'
import type { Stack } from '../stack/stack.ts'
import { congestionKey, congestionName } from './names.ts'
import {
  Attributes,
  attribute,
  concat,
  inet,
  littleEndian,
  MessageType,
  message,
  text,
  u32,
} from './netlink.ts'
import type { NamedDevice, NexthopMessage, RouteMessage } from './route-message.ts'

/** Attributes of a route (`RTA_*`). */
const Rta = {
  DST: 1,
  OIF: 4,
  GATEWAY: 5,
  PRIORITY: 6,
  PREFSRC: 7,
  METRICS: 8,
  MULTIPATH: 9,
  FLOW: 11,
  TABLE: 15,
  NH_ID: 30,
} as const

const INET = 2
/** Length of `struct rtmsg`, and of `struct rtnexthop`. */
const FIXED = 12
const HOP = 8
/** What the octet of the table says where the number is too large for it. */
const COMPATIBLE = 252

export function encodeRoute(route: RouteMessage, flags: number): Uint8Array {
  const { prefix, prefixLength, table, nexthops } = route
  const octet = table < 256 ? table : COMPATIBLE
  const parts = [
    Uint8Array.of(INET, prefixLength, 0, route.tos, octet, route.protocol, route.scope, route.type),
    u32(route.flags),
    attribute(Rta.TABLE, u32(table)),
  ]
  if (prefixLength !== 0) parts.push(attribute(Rta.DST, inet(prefix)))
  if (route.metric !== 0) parts.push(attribute(Rta.PRIORITY, u32(route.metric)))
  if (route.metrics !== null) parts.push(attribute(Rta.METRICS, ...encodeMetrics(route.metrics)))
  if (route.prefsrc !== 0) parts.push(attribute(Rta.PREFSRC, inet(route.prefsrc)))
  if (route.object !== null) parts.push(attribute(Rta.NH_ID, u32(route.object.id)))
  if (route.gateway !== 0) parts.push(attribute(Rta.GATEWAY, inet(route.gateway)))
  if (route.device !== null) parts.push(attribute(Rta.OIF, u32(route.device.ifindex)))
  if (route.realms !== 0) parts.push(attribute(Rta.FLOW, u32(route.realms)))
  if (nexthops !== null) parts.push(attribute(Rta.MULTIPATH, ...nexthops.map(encodeHop)))
  return message(MessageType.NEWROUTE, flags, parts)
}

function encodeMetrics(metrics: Int32Array): Uint8Array[] {
  const parts: Uint8Array[] = []
  for (const [metric, value] of metrics.entries()) {
    if (metric === 0 || value === 0) continue
    parts.push(attribute(metric, metric === Metric.CC_ALGO ? text(congestionName(value)) : u32(value)))
  }
  return parts
}

function encodeHop({ gateway, device, weight, flags, realms }: NexthopMessage): Uint8Array {
  const parts = [u32(device?.ifindex ?? 0)]
  if (gateway !== 0) parts.push(attribute(Rta.GATEWAY, inet(gateway)))
  if (realms !== 0) parts.push(attribute(Rta.FLOW, u32(realms)))
  const content = concat(parts)
  const length = 4 + content.length
  return concat([Uint8Array.of(length, length >>> 8, flags, weight - 1), content])
}

/** A route as it was written down: devices by number. */
interface Written {
  readonly header: { tos: number; protocol: number; scope: number; type: number; flags: number }
  readonly prefixLength: number
  readonly table: number
  readonly attributes: Attributes
  readonly hops: readonly WrittenHop[] | null
}

interface WrittenHop {
  readonly ifindex: number
  readonly flags: number
  readonly weight: number
  readonly attributes: Attributes
}

/** @throws NetlinkError `EINVAL` if it is no route of IPv4 */
function read(payload: Uint8Array): Written {
  if (payload.length < FIXED || payload[0] !== INET) throw new NetlinkError(Errno.EINVAL, undefined, 'route')
  const attributes = new Attributes(payload, FIXED)
  const [, prefixLength, , tos, octet, protocol, scope, type] = payload
  const multipath = attributes.get(Rta.MULTIPATH)
  return {
    header: {
      tos: tos!,
      protocol: protocol!,
      scope: scope!,
      type: type!,
      flags: littleEndian(payload, 8, 4),
    },
    prefixLength: prefixLength!,
    table: attributes.number(Rta.TABLE) ?? octet!,
    attributes,
    hops: multipath === undefined ? null : [...readHops(multipath)],
  }
}

function* readHops(bytes: Uint8Array): Generator<WrittenHop, void, undefined> {
  for (let at = 0; at + HOP <= bytes.length; ) {
    const length = littleEndian(bytes, at, 2)
    if (length < HOP || at + length > bytes.length) return
    yield {
      flags: bytes[at + 2]!,
      weight: bytes[at + 3]! + 1,
      ifindex: littleEndian(bytes, at + 4, 4),
      attributes: new Attributes(bytes.subarray(at, at + length), HOP),
    }
    at += (length + 3) & ~3
  }
}

/** When a route is restored: those to this host first, then its networks, then what is behind gateways. */
export function restorationPass(payload: Uint8Array): number {
  const { attributes } = read(payload)
  if (attributes.get(Rta.GATEWAY) !== undefined) return 2
  const source = attributes.inet(Rta.PREFSRC)
  return source === undefined || source === attributes.inet(Rta.DST) ? 0 : 1
}

const refuse = (extack: string): NetlinkError => new NetlinkError(Errno.EINVAL, extack, 'route')

/** The request that the message is when it is sent back. @throws NetlinkError */
export function requestOf(payload: Uint8Array, stack: Stack): RouteConfig {
  const { header, prefixLength, table, attributes, hops } = read(payload)
  const config: RouteConfig = {
    prefix: attributes.inet(Rta.DST) ?? 0,
    prefixLength,
    tos: header.tos,
    type: header.type,
    table,
    scope: header.scope,
    protocol: header.protocol,
    priority: (attributes.number(Rta.PRIORITY) ?? 0) | 0,
    prefsrc: attributes.inet(Rta.PREFSRC) ?? 0,
  }
  const metrics = attributes.nested(Rta.METRICS)
  if (metrics !== undefined) config.metrics = decodeMetrics(metrics)
  const id = attributes.number(Rta.NH_ID) ?? 0
  if (id !== 0) {
    const own = [Rta.GATEWAY, Rta.OIF, Rta.MULTIPATH].some((type) => attributes.get(type) !== undefined)
    if (own) throw refuse('Nexthop specification and nexthop id are mutually exclusive')
    config.nexthopId = id
  }
  const dead = NexthopFlag.DEAD | NexthopFlag.LINKDOWN
  if ((header.flags & dead) !== 0) throw refuse('Invalid rtm_flags - can not contain DEAD/LINKDOWN')
  Object.assign(config, hopConfig(stack, attributes.number(Rta.OIF) ?? 0, header.flags, attributes))
  if (hops !== null) {
    config.nexthops = hops.map((hop) => {
      if ((hop.flags & dead) !== 0) throw refuse('Invalid flags for nexthop - can not contain DEAD/LINKDOWN')
      return { ...hopConfig(stack, hop.ifindex, hop.flags, hop.attributes), weight: hop.weight }
    })
  }
  return config
}

function hopConfig(stack: Stack, ifindex: number, flags: number, attributes: Attributes): NexthopConfig {
  const config: NexthopConfig = {
    gateway: attributes.inet(Rta.GATEWAY) ?? 0,
    onlink: (flags & NexthopFlag.ONLINK) !== 0,
    tclassid: attributes.number(Rta.FLOW) ?? 0,
  }
  if (ifindex !== 0) {
    const device = stack.devices.byIndex(ifindex)
    if (device === undefined) throw new NetlinkError(Errno.ENODEV, undefined, 'route')
    config.device = device
  }
  return config
}

function decodeMetrics(attributes: Attributes): Map<number, number> {
  const metrics = new Map<number, number>()
  for (const type of attributes.types) {
    const value =
      type === Metric.CC_ALGO ? congestionKey(attributes.text(type)!) : attributes.number(type)! | 0
    metrics.set(type, value)
  }
  return metrics
}

/** The message as iproute2 prints it, with the names that devices have here. @throws NetlinkError */
export function routeOf(payload: Uint8Array, stack: Stack): RouteMessage {
  const { header, prefixLength, table, attributes, hops } = read(payload)
  const metrics = attributes.nested(Rta.METRICS)
  const id = attributes.number(Rta.NH_ID)
  return {
    type: header.type,
    prefix: attributes.inet(Rta.DST) ?? 0,
    prefixLength,
    tos: header.tos,
    object: id === undefined ? null : { id },
    gateway: attributes.inet(Rta.GATEWAY) ?? 0,
    device: namedDevice(stack, attributes.number(Rta.OIF)),
    table,
    protocol: header.protocol,
    scope: header.scope,
    prefsrc: attributes.inet(Rta.PREFSRC) ?? 0,
    metric: attributes.number(Rta.PRIORITY) ?? 0,
    flags: header.flags,
    realms: attributes.number(Rta.FLOW) ?? 0,
    metrics: metrics === undefined ? null : metricArray(decodeMetrics(metrics)),
    nexthops:
      hops?.map((hop) => ({
        gateway: hop.attributes.inet(Rta.GATEWAY) ?? 0,
        device: namedDevice(stack, hop.ifindex),
        weight: hop.weight,
        flags: hop.flags,
        realms: hop.attributes.number(Rta.FLOW) ?? 0,
      })) ?? null,
    cached: null,
  }
}

function metricArray(values: ReadonlyMap<number, number>): Int32Array {
  const metrics = new Int32Array(Math.max(...values.keys(), Metric.FASTOPEN_NO_COOKIE) + 1)
  for (const [metric, value] of values) metrics[metric] = value
  return metrics
}

/** A device that is not there goes by its number. */
export function namedDevice(stack: Stack, ifindex: number | undefined): NamedDevice | null {
  if (ifindex === undefined || ifindex === 0) return null
  return stack.devices.byIndex(ifindex) ?? { name: `if${ifindex}`, ifindex }
}
