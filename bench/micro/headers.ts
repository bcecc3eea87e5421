/**
 * The two ways to a header: offsets taken from its declaration (what the path of a packet uses), and the declared
 * structure decoded and encoded as a whole (what printers and tests use). IPv4 and ICMP echo, checksums included.
 */
import { readIpv4 } from '../../lib/address/ipv4-address.ts'
import { pushIpv4Header } from '../../lib/ipv4/header.ts'
import { PacketPool } from '../../lib/packet/packet-pool.ts'
import { checksum } from '../../lib/wire/checksum.ts'
import {
  emitIcmpv4,
  ICMP_CHECKSUM,
  ICMP_CODE,
  ICMP_HEADER,
  ICMP_ID,
  ICMP_SEQUENCE,
  ICMP_TYPE,
  IcmpType,
  parseIcmpv4,
} from '../../lib/wire/icmpv4.ts'
import {
  emitIpv4Header,
  IPV4_CHECKSUM,
  IPV4_DESTINATION,
  IPV4_FLAGS_FRAGMENT,
  IPV4_MIN_HEADER,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOS,
  IPV4_TOTAL_LENGTH,
  IPV4_TTL,
  IpProtocol,
  parseIpv4Header,
} from '../../lib/wire/ipv4.ts'
import { nanoseconds, type Timing } from './timing.ts'

const LENGTH = 84
const SOURCE = 0x0a4d0101
const DESTINATION = 0x0a4d0102

const packet = new PacketPool().allocate(LENGTH)!
const data = new Uint8Array(LENGTH - IPV4_MIN_HEADER - ICMP_HEADER)
packet.bytes.set(data, packet.put(LENGTH) + IPV4_MIN_HEADER + ICMP_HEADER)
const { bytes, start, end } = packet
emitCold(1)

export function parseHot(timing: Timing): number {
  return nanoseconds((n) => {
    let total = 0
    for (let i = 0; i < n; i++) {
      bytes[start + IPV4_TOS] = 0 // or the loop could be hoisted
      const headerLength = (bytes[start]! & 15) << 2
      if (bytes[start]! >>> 4 !== 4 || headerLength < IPV4_MIN_HEADER) continue
      if (checksum(bytes, start, start + headerLength) !== 0) continue
      const length = (bytes[start + IPV4_TOTAL_LENGTH]! << 8) | bytes[start + IPV4_TOTAL_LENGTH + 1]!
      if (length > end - start || length < headerLength) continue
      total += bytes[start + IPV4_TTL]! + bytes[start + IPV4_PROTOCOL]! + bytes[start + IPV4_FLAGS_FRAGMENT]!
      total += readIpv4(bytes, start + IPV4_SOURCE) + readIpv4(bytes, start + IPV4_DESTINATION)
      const at = start + headerLength
      if (checksum(bytes, at, end) !== 0) continue
      total += bytes[at + ICMP_TYPE]! + bytes[at + ICMP_CODE]!
      total += (bytes[at + ICMP_ID]! << 8) | bytes[at + ICMP_ID + 1]!
      total += (bytes[at + ICMP_SEQUENCE]! << 8) | bytes[at + ICMP_SEQUENCE + 1]!
    }
    return total
  }, timing)
}

export function parseCold(timing: Timing): number {
  return nanoseconds((n) => {
    let total = 0
    for (let i = 0; i < n; i++) {
      const header = parseIpv4Header(bytes, start, end)
      if (typeof header === 'number') throw new Error(`dropped: ${header}`)
      const message = parseIcmpv4(bytes, start + header.headerLength, end)
      if (typeof message === 'number') throw new Error(`dropped: ${message}`)
      total += header.source + message.kind.length
    }
    return total
  }, timing)
}

export function emitHot(timing: Timing): number {
  return nanoseconds((n) => {
    for (let i = 0; i < n; i++) {
      packet.start = start + IPV4_MIN_HEADER
      const at = packet.start
      bytes[at + ICMP_TYPE] = IcmpType.ECHO
      bytes[at + ICMP_CODE] = 0
      bytes[at + ICMP_CHECKSUM] = bytes[at + ICMP_CHECKSUM + 1] = 0
      bytes[at + ICMP_ID] = 0x12
      bytes[at + ICMP_ID + 1] = 0x34
      bytes[at + ICMP_SEQUENCE] = i >>> 8
      bytes[at + ICMP_SEQUENCE + 1] = i
      const check = checksum(bytes, at, end)
      bytes[at + ICMP_CHECKSUM] = check >>> 8
      bytes[at + ICMP_CHECKSUM + 1] = check
      pushIpv4Header(packet, SOURCE, DESTINATION, IpProtocol.ICMP, 0, 64, i, 0)
      bytes[start + IPV4_TOTAL_LENGTH] = LENGTH >>> 8
      bytes[start + IPV4_TOTAL_LENGTH + 1] = LENGTH
      bytes[start + IPV4_CHECKSUM] = bytes[start + IPV4_CHECKSUM + 1] = 0
      const headerCheck = checksum(bytes, start, start + IPV4_MIN_HEADER)
      bytes[start + IPV4_CHECKSUM] = headerCheck >>> 8
      bytes[start + IPV4_CHECKSUM + 1] = headerCheck
    }
    return bytes[start + IPV4_CHECKSUM]!
  }, timing)
}

export function emitColdTimed(timing: Timing): number {
  return nanoseconds(emitCold, timing)
}

function emitCold(n: number): number {
  for (let i = 0; i < n; i++) {
    emitIcmpv4(
      { kind: 'echo-request', code: 0, id: 0x1234, sequence: i & 0xffff, data },
      bytes,
      start + IPV4_MIN_HEADER,
    )
    const { ICMP } = IpProtocol
    emitIpv4Header(
      { totalLength: LENGTH, protocol: ICMP, source: SOURCE, destination: DESTINATION },
      bytes,
      start,
    )
  }
  return bytes[start + IPV4_CHECKSUM]!
}
