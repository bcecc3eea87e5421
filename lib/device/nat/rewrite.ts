/**
 * The parts of a packet that NAT reads and changes: ports, or what stands for them, and every checksum that covers
 * what is changed (RFC 1624); and the same in what an ICMP error quotes.
 */
import { type Ipv4Address, readIpv4, writeIpv4 } from '../../address/ipv4-address.ts'
import { completeChecksum } from '../../packet/complete-checksum.ts'
import { Checksum, type Packet } from '../../packet/packet.ts'
import { checksum, updateChecksum16, updateChecksum32 } from '../../wire/checksum.ts'
import { ICMP_CHECKSUM, ICMP_HEADER, ICMP_ID, ICMP_TYPE, IcmpType } from '../../wire/icmpv4.ts'
import {
  IPV4_CHECKSUM,
  IPV4_FLAGS_FRAGMENT,
  IPV4_ID,
  IPV4_MIN_HEADER,
  IPV4_OFFSET_MASK,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IpProtocol,
} from '../../wire/ipv4.ts'
import { TCP_CHECKSUM } from '../../wire/tcp.ts'
import { UDP_CHECKSUM, UDP_HEADER } from '../../wire/udp.ts'

export function transportOf(packet: Packet): number {
  return packet.start + (packet.bytes[packet.start]! & 15) * 4
}

export function isUdp(packet: Packet): boolean {
  return packet.bytes[packet.start + IPV4_PROTOCOL] === IpProtocol.UDP
}

export function isError({ bytes, end }: Packet, at: number): boolean {
  if (at + ICMP_HEADER > end) return false
  const type = bytes[at + ICMP_TYPE]!
  return (
    type === IcmpType.DEST_UNREACH ||
    type === IcmpType.SOURCE_QUENCH ||
    type === IcmpType.REDIRECT ||
    type === IcmpType.TIME_EXCEEDED ||
    type === IcmpType.PARAMETER_PROBLEM
  )
}

/** The port that belongs to the inside: of what leaves, or of what comes in; -1 if it has none. */
export function portAt({ bytes, end }: Packet, at: number, protocol: number, leaves: boolean): number {
  switch (protocol) {
    case IpProtocol.UDP:
    case IpProtocol.TCP: {
      if (at + (protocol === IpProtocol.UDP ? UDP_HEADER : 4) > end) return -1
      const port = leaves ? at : at + 2
      return (bytes[port]! << 8) | bytes[port + 1]!
    }
    case IpProtocol.ICMP: {
      if (at + ICMP_HEADER > end) return -1
      const type = bytes[at + ICMP_TYPE]!
      // Who asks is inside: a question from outside, and its answer, are the router's own.
      const wanted = leaves
        ? type === IcmpType.ECHO || type === IcmpType.TIMESTAMP
        : type === IcmpType.ECHO_REPLY || type === IcmpType.TIMESTAMP_REPLY
      return wanted ? (bytes[at + ICMP_ID]! << 8) | bytes[at + ICMP_ID + 1]! : -1
    }
    default:
      return -1
  }
}

export function setPort(packet: Packet, at: number, protocol: number, source: boolean, port: number): void {
  const { bytes } = packet
  const field = protocol === IpProtocol.ICMP ? at + ICMP_ID : source ? at : at + 2
  const before = (bytes[field]! << 8) | bytes[field + 1]!
  if (before === port) return
  put16(bytes, field, port)
  const sum = transportSum(packet)
  if (sum < 0) return
  if (packet.checksum === Checksum.PARTIAL) return // it does not cover ports yet
  if (hasSum(packet, sum)) change16(bytes, sum, before, port, isUdp(packet))
}

/** Where the checksum above IP is; -1 if it is not there. */
export function transportSum(packet: Packet): number {
  const at = transportOf(packet)
  const protocol = packet.bytes[packet.start + IPV4_PROTOCOL]
  const field =
    protocol === IpProtocol.UDP
      ? UDP_CHECKSUM
      : protocol === IpProtocol.TCP
        ? TCP_CHECKSUM
        : protocol === IpProtocol.ICMP
          ? ICMP_CHECKSUM
          : -1
  return field < 0 || at + field + 2 > packet.end ? -1 : at + field
}

/** UDP may sum nothing at all. */
export function hasSum(packet: Packet, sum: number): boolean {
  return !isUdp(packet) || packet.bytes[sum] !== 0 || packet.bytes[sum + 1] !== 0
}

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}

function change16(bytes: Uint8Array, at: number, before: number, after: number, udp: boolean): void {
  const check = updateChecksum16((bytes[at]! << 8) | bytes[at + 1]!, before, after)
  put16(bytes, at, udp && check === 0 ? 0xffff : check)
}

export function change32(bytes: Uint8Array, at: number, before: number, after: number, udp = false): void {
  const check = updateChecksum32((bytes[at]! << 8) | bytes[at + 1]!, before, after)
  put16(bytes, at, udp && check === 0 ? 0xffff : check)
}

export function datagramKey({ bytes, start }: Packet): string {
  const id = (bytes[start + IPV4_ID]! << 8) | bytes[start + IPV4_ID + 1]!
  return `${readIpv4(bytes, start + IPV4_SOURCE)} ${id} ${bytes[start + IPV4_PROTOCOL]}`
}

/** What an error quotes. */
export interface Quote {
  /** Its IP header, and what is behind that. */
  at: number
  transport: number
  end: number
  protocol: number
}

export function quoteOf(packet: Packet, at: number): Quote | null {
  if (packet.checksum === Checksum.PARTIAL) completeChecksum(packet)
  const { bytes, end } = packet
  const start = at + ICMP_HEADER
  if (start + IPV4_MIN_HEADER + 8 > end || bytes[start]! >>> 4 !== 4) return null
  const transport = start + (bytes[start]! & 15) * 4
  if (transport < start + IPV4_MIN_HEADER || transport + 8 > end) return null
  return { at: start, transport, end, protocol: bytes[start + IPV4_PROTOCOL]! }
}

export function quotedPort(bytes: Uint8Array, { at, transport, protocol }: Quote, source: boolean): number {
  const word = (bytes[at + IPV4_FLAGS_FRAGMENT]! << 8) | bytes[at + IPV4_FLAGS_FRAGMENT + 1]!
  if ((word & IPV4_OFFSET_MASK) !== 0) return -1
  if (protocol === IpProtocol.ICMP) {
    return bytes[transport] === IcmpType.ECHO || bytes[transport] === IcmpType.ECHO_REPLY
      ? (bytes[transport + ICMP_ID]! << 8) | bytes[transport + ICMP_ID + 1]!
      : -1
  }
  if (protocol !== IpProtocol.UDP && protocol !== IpProtocol.TCP) return -1
  const field = source ? transport : transport + 2
  return (bytes[field]! << 8) | bytes[field + 1]!
}

export function rewriteQuote(
  bytes: Uint8Array,
  { at, transport, protocol }: Quote,
  field: number,
  address: Ipv4Address,
  source: boolean,
  port: number,
): void {
  change32(bytes, at + IPV4_CHECKSUM, readIpv4(bytes, at + field), address)
  writeIpv4(bytes, at + field, address)
  const place = protocol === IpProtocol.ICMP ? transport + ICMP_ID : source ? transport : transport + 2
  put16(bytes, place, port)
}

export function sumIcmp({ bytes, end }: Packet, at: number): void {
  put16(bytes, at + ICMP_CHECKSUM, 0)
  put16(bytes, at + ICMP_CHECKSUM, checksum(bytes, at, end))
}
