/** Addresses as messages of the kernel (`RTM_NEWADDR`), both ways. */
import type { NetDevice } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import { type AddressConfig, AddressFlag, FOREVER, type InetAddress } from '../route/inet-address.ts'
import { NetlinkError } from '../route/rtnetlink.ts'
import type { Stack } from '../stack/stack.ts'
import type { PrintableAddress } from './address-printer.ts'
import {
  Attributes,
  attribute,
  inet,
  littleEndian,
  MessageType,
  MULTI,
  message,
  text,
  u8,
  u32,
} from './netlink.ts'
import { namedDevice } from './route-netlink.ts'

/** Attributes of an address (`IFA_*`). */
const Ifa = {
  ADDRESS: 1,
  LOCAL: 2,
  LABEL: 3,
  BROADCAST: 4,
  CACHEINFO: 6,
  FLAGS: 8,
  RT_PRIORITY: 9,
  PROTO: 11,
} as const

const INET = 2
/** Length of `struct ifaddrmsg`. */
const FIXED = 8
/** Times of an address are in hundredths of a second. */
const NANOSECONDS = 1e7

export function encodeAddress(address: InetAddress, now: number): Uint8Array {
  const { prefixLength, flags, scope, device } = address
  const { valid, preferred } = address.remaining(now)
  const ticks = (time: number): Uint8Array => u32(Math.floor(time / NANOSECONDS))
  const parts = [
    Uint8Array.of(INET, prefixLength, flags, scope),
    u32(device.ifindex),
    attribute(Ifa.ADDRESS, inet(address.address)),
    attribute(Ifa.LOCAL, inet(address.local)),
  ]
  if (address.broadcast !== 0) parts.push(attribute(Ifa.BROADCAST, inet(address.broadcast)))
  if (address.label !== '') parts.push(attribute(Ifa.LABEL, text(address.label)))
  if (address.protocol !== 0) parts.push(attribute(Ifa.PROTO, u8(address.protocol)))
  parts.push(attribute(Ifa.FLAGS, u32(flags)))
  if (address.metric !== 0) parts.push(attribute(Ifa.RT_PRIORITY, u32(address.metric)))
  const times = [u32(preferred), u32(valid), ticks(address.created), ticks(address.updated)]
  parts.push(attribute(Ifa.CACHEINFO, ...times))
  return message(MessageType.NEWADDR, MULTI, parts)
}

/** @throws NetlinkError `EINVAL` if it is no address of IPv4 */
function read(payload: Uint8Array): {
  attributes: Attributes
  local: number
  valid: number
  preferred: number
} {
  const attributes = new Attributes(payload, FIXED)
  const local = attributes.inet(Ifa.LOCAL)
  if (payload.length < FIXED || payload[0] !== INET || local === undefined) {
    throw new NetlinkError(Errno.EINVAL, undefined, 'address')
  }
  const times = attributes.get(Ifa.CACHEINFO)
  return {
    attributes,
    local,
    preferred: times === undefined ? FOREVER : littleEndian(times, 0, 4),
    valid: times === undefined ? FOREVER : littleEndian(times, 4, 4),
  }
}

/** The request that the message is when it is sent back. @throws NetlinkError */
export function addressRequest(
  payload: Uint8Array,
  stack: Stack,
): { device: NetDevice; config: AddressConfig; autojoin: boolean } {
  const { attributes, local, valid, preferred } = read(payload)
  const device = stack.devices.byIndex(littleEndian(payload, 4, 4))
  if (device === undefined) throw new NetlinkError(Errno.ENODEV, undefined, 'address')
  const flags = attributes.number(Ifa.FLAGS) ?? payload[2]!
  const label = attributes.text(Ifa.LABEL)
  const config: AddressConfig = {
    local,
    prefixLength: payload[1]!,
    peer: attributes.inet(Ifa.ADDRESS) ?? local,
    broadcast: attributes.inet(Ifa.BROADCAST) ?? 0,
    scope: payload[3]!,
    noprefixroute: (flags & AddressFlag.NOPREFIXROUTE) !== 0,
    metric: (attributes.number(Ifa.RT_PRIORITY) ?? 0) | 0,
    validLifetime: valid,
    preferredLifetime: preferred,
    protocol: attributes.number(Ifa.PROTO) ?? 0,
  }
  if (label !== undefined) config.label = label
  return { device, config, autojoin: (flags & AddressFlag.AUTOJOIN) !== 0 }
}

/** The message as iproute2 prints it. @throws NetlinkError */
export function printableAddress(payload: Uint8Array, stack: Stack): PrintableAddress {
  const { attributes, local, valid, preferred } = read(payload)
  const ifindex = littleEndian(payload, 4, 4)
  const device = namedDevice(stack, ifindex) ?? { name: `if${ifindex}`, ifindex }
  return {
    device,
    local,
    address: attributes.inet(Ifa.ADDRESS) ?? local,
    prefixLength: payload[1]!,
    broadcast: attributes.inet(Ifa.BROADCAST) ?? 0,
    scope: payload[3]!,
    label: attributes.text(Ifa.LABEL) ?? '',
    flags: attributes.number(Ifa.FLAGS) ?? payload[2]!,
    metric: attributes.number(Ifa.RT_PRIORITY) ?? 0,
    remaining: () => ({ valid, preferred }),
  }
}
