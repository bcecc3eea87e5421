/**
 * Errors about a packet that is long gone: who decides late what becomes of it (a gateway that asks somebody else
 * first) has only its addresses left. What ICMP quotes, the header and the first eight bytes behind (RFC 792), is made
 * up again. And what such a gateway passes on: messages in the name of others.
 */
import { type Ipv4Address, writeIpv4 } from '../address/ipv4-address.ts'
import { Errno } from '../errors.ts'
import { IcmpMib } from '../observe/mib.ts'
import { HEADROOM, type Packet } from '../packet/packet.ts'
import { Flow4 } from '../route/flow.ts'
import type { Route } from '../route/route.ts'
import { RouteFlag } from '../route/rtnetlink.ts'
import { checksum } from '../wire/checksum.ts'
import { ICMP_CHECKSUM, ICMP_CODE, ICMP_HEADER, ICMP_QUOTED_BODY, ICMP_TYPE } from '../wire/icmpv4.ts'
import {
  IPV4_CHECKSUM,
  IPV4_DESTINATION,
  IPV4_MIN_HEADER,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOTAL_LENGTH,
  IPV4_TTL,
  IpProtocol,
} from '../wire/ipv4.ts'
import { pushIpv4Header } from './header.ts'
import type { Ipv4 } from './ipv4.ts'

/** Of the packet that did not arrive: what there is after its IP header goes by words of 32 bits. */
export interface Undelivered {
  protocol: number
  source: Ipv4Address
  destination: Ipv4Address
  /** Bytes of its payload, as its header had it. */
  length: number
  /** Ports; type, code and checksum of ICMP. */
  first: number
  /** TCP's sequence number; length and checksum of UDP; identifier and sequence of an echo. */
  second: number
}

const LENGTH = ICMP_HEADER + IPV4_MIN_HEADER + ICMP_QUOTED_BODY
const flow = new Flow4()

/**
 * Sends it, under the limits of all errors.
 * @param type Destination Unreachable or Time Exceeded
 * @param from whose word it is: an address of this host, the destination that the packet had, a router behind
 */
export function sendLateError(
  ip: Ipv4,
  type: number,
  code: number,
  from: Ipv4Address,
  about: Undelivered,
): void {
  const { rateLimit } = ip
  if (!rateLimit.allowGlobal(type, code)) return
  const route = routeFrom(ip, from, about.source)
  if (route === null || !rateLimit.allowDestination(about.source, route, type, code)) return
  const error = allocate(ip, LENGTH)
  if (error === null) return
  const at = error.put(LENGTH)
  const { bytes } = error
  bytes.fill(0, at, at + LENGTH)
  bytes[at + ICMP_TYPE] = type
  bytes[at + ICMP_CODE] = code
  const quote = at + ICMP_HEADER
  bytes[quote] = 0x45
  put16(bytes, quote + IPV4_TOTAL_LENGTH, IPV4_MIN_HEADER + about.length)
  bytes[quote + IPV4_TTL] = 64
  bytes[quote + IPV4_PROTOCOL] = about.protocol
  writeIpv4(bytes, quote + IPV4_SOURCE, about.source)
  writeIpv4(bytes, quote + IPV4_DESTINATION, about.destination)
  put16(bytes, quote + IPV4_CHECKSUM, checksum(bytes, quote, quote + IPV4_MIN_HEADER))
  writeIpv4(bytes, quote + IPV4_MIN_HEADER, about.first)
  writeIpv4(bytes, quote + IPV4_MIN_HEADER + 4, about.second)
  send(ip, error, at, from, about.source, 0xc0, route)
}

/**
 * A message of ICMP that somebody else has said, or would have. 0, or a positive errno.
 * @param message with its header; the checksum is put in
 * @param from any address
 */
export function sendIcmpFrom(ip: Ipv4, from: Ipv4Address, to: Ipv4Address, message: Uint8Array): number {
  const route = routeFrom(ip, from, to)
  if (route === null) return Errno.ENETUNREACH
  const packet = allocate(ip, message.length)
  if (packet === null) return Errno.ENOBUFS
  const at = packet.put(message.length)
  packet.bytes.set(message, at)
  packet.bytes[at + ICMP_CHECKSUM] = packet.bytes[at + ICMP_CHECKSUM + 1] = 0
  send(ip, packet, at, from, to, 0, route)
  return 0
}

function routeFrom({ ctx }: Ipv4, from: Ipv4Address, to: Ipv4Address): Route | null {
  flow.reset()
  flow.daddr = to
  flow.saddr = from
  flow.anySource = true
  flow.protocol = IpProtocol.ICMP
  const route = ctx.routing.output(flow)
  return route === null || (route.flags & (RouteFlag.BROADCAST | RouteFlag.MULTICAST)) !== 0 ? null : route
}

function allocate({ ctx: { pool, mib } }: Ipv4, length: number): Packet | null {
  const packet = pool.allocate(length, HEADROOM)
  if (packet === null) mib.icmp[IcmpMib.OutErrors]!++
  return packet
}

function send(
  ip: Ipv4,
  packet: Packet,
  at: number,
  from: Ipv4Address,
  to: Ipv4Address,
  tos: number,
  route: Route,
): void {
  const { bytes } = packet
  const { mib, now } = ip.ctx
  put16(bytes, at + ICMP_CHECKSUM, checksum(bytes, at, packet.end))
  mib.icmp[IcmpMib.OutMsgs]!++
  mib.icmpMsgOut[bytes[at + ICMP_TYPE]!]!++
  const id = ip.identification.next(from, to, IpProtocol.ICMP, now)
  pushIpv4Header(packet, from, to, IpProtocol.ICMP, tos, ip.defaultTtl(route), id, 0)
  ip.output.sendLocal(packet, route)
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}
