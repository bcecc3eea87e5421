/**
 * The IPv4 header (RFC 791 §3.1): its fields, the check that says that they may be read, and the header as plain
 * data. `ipv4.ts` has all of this and the printer.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import { checksum } from './checksum.ts'
import { DropReason } from './drop-reason.ts'
import { bitFields, ipv4Address, layoutBytes, structure, u8, u16 } from './layout.ts'

interface Layout {
  versionIhl: { version: number; ihl: number }
  tos: number
  totalLength: number
  id: number
  flagsFragment: { reserved: number; dontFragment: number; moreFragments: number; offset: number }
  ttl: number
  protocol: number
  checksum: number
  source: number
  destination: number
}

const header = structure<Layout>([
  bitFields<Layout['versionIhl']>(1, 'versionIhl', [
    ['version', 4],
    ['ihl', 4],
  ]),
  u8('tos'),
  u16('totalLength'),
  u16('id'),
  bitFields<Layout['flagsFragment']>(2, 'flagsFragment', [
    ['reserved', 1],
    ['dontFragment', 1],
    ['moreFragments', 1],
    ['offset', 13],
  ]),
  u8('ttl'),
  u8('protocol'),
  u16('checksum'),
  ipv4Address('source'),
  ipv4Address('destination'),
])

export const IPV4_VERSION_IHL = header.offsetOf('versionIhl')
export const IPV4_TOS = header.offsetOf('tos')
export const IPV4_TOTAL_LENGTH = header.offsetOf('totalLength')
export const IPV4_ID = header.offsetOf('id')
export const IPV4_FLAGS_FRAGMENT = header.offsetOf('flagsFragment')
export const IPV4_TTL = header.offsetOf('ttl')
export const IPV4_PROTOCOL = header.offsetOf('protocol')
export const IPV4_CHECKSUM = header.offsetOf('checksum')
export const IPV4_SOURCE = header.offsetOf('source')
export const IPV4_DESTINATION = header.offsetOf('destination')

/** Without options. */
export const IPV4_MIN_HEADER = header.span
/** With 40 bytes of options. */
export const IPV4_MAX_HEADER = 60
/** Total length at most. */
export const IPV4_MAX_PACKET = 65535

/** Of the 16-bit word at {@link IPV4_FLAGS_FRAGMENT}: reserved. */
export const IPV4_RF = 0x8000
/** Don't fragment. */
export const IPV4_DF = 0x4000
/** More fragments. */
export const IPV4_MF = 0x2000
/** Offset of the fragment, in units of 8 bytes. */
export const IPV4_OFFSET_MASK = 0x1fff

/** Assigned protocol numbers, by the names of /etc/protocols and netinet/in.h. */
export const IpProtocol = {
  ICMP: 1,
  IGMP: 2,
  IPIP: 4,
  TCP: 6,
  EGP: 8,
  UDP: 17,
  IPV6: 41,
  GRE: 47,
  ESP: 50,
  AH: 51,
  OSPF: 89,
  PIM: 103,
  SCTP: 132,
  UDPLITE: 136,
  RAW: 255,
} as const

/**
 * Whether the header in `bytes[start…end)` may be read: all of it is there, its lengths do not lie, its checksum is
 * right. Gives `DropReason.NONE`, `IP_INHDR` (too short, not version 4, header length, total length below it),
 * `IP_CSUM`, or `PKT_TOO_SMALL` (fewer bytes than its total length: `InTruncatedPkts`). In the kernel's order.
 * Bytes behind the total length are no error; whoever goes on ignores them.
 */
export function checkIpv4Header(bytes: Uint8Array, start: number, end: number): DropReason {
  const bad = checkIpv4Lengths(bytes, start, end)
  if (bad !== DropReason.NONE) return bad
  const headerLength = (bytes[start]! & 15) << 2
  if (checksum(bytes, start, start + headerLength) !== 0) return DropReason.IP_CSUM
  const totalLength = (bytes[start + IPV4_TOTAL_LENGTH]! << 8) | bytes[start + IPV4_TOTAL_LENGTH + 1]!
  if (totalLength > end - start) return DropReason.PKT_TOO_SMALL
  return totalLength < headerLength ? DropReason.IP_INHDR : DropReason.NONE
}

/**
 * Whether the header itself is there: the check for a header that is quoted in an ICMP error, whose checksum nobody
 * vouches for and whose body is cut off. `NONE` or `IP_INHDR`.
 */
export function checkIpv4Lengths(bytes: Uint8Array, start: number, end: number): DropReason {
  if (end - start < IPV4_MIN_HEADER) return DropReason.IP_INHDR
  const versionIhl = bytes[start + IPV4_VERSION_IHL]!
  const headerLength = (versionIhl & 15) << 2
  if (versionIhl >>> 4 !== 4 || headerLength < IPV4_MIN_HEADER) return DropReason.IP_INHDR
  return headerLength > end - start ? DropReason.IP_INHDR : DropReason.NONE
}

/** A header as plain data. Lengths and offsets in bytes. */
export interface Ipv4Header {
  headerLength: number
  tos: number
  totalLength: number
  id: number
  reserved: boolean
  dontFragment: boolean
  moreFragments: boolean
  /** In bytes: a multiple of 8. */
  fragmentOffset: number
  ttl: number
  protocol: number
  checksum: number
  source: Ipv4Address
  destination: Ipv4Address
  /** As they are: see `parseIpv4Options`. */
  options: Uint8Array
}

/** What is needed to write a header; what is missing is 0, empty, false, and 64 for the TTL. */
export type Ipv4HeaderInit = Partial<Omit<Ipv4Header, 'headerLength' | 'checksum'>> &
  Pick<Ipv4Header, 'totalLength' | 'protocol' | 'source' | 'destination'>

/** The header of the packet `bytes[start…end)`, or why it is dropped ({@link checkIpv4Header}). */
export function parseIpv4Header(bytes: Uint8Array, start: number, end: number): Ipv4Header | DropReason {
  const bad = checkIpv4Header(bytes, start, end)
  return bad === DropReason.NONE ? decode(bytes, start) : bad
}

/** The header of a packet that an ICMP error quotes ({@link checkIpv4Lengths}); `totalLength` is what it claims. */
export function parseQuotedIpv4Header(
  bytes: Uint8Array,
  start: number,
  end: number,
): Ipv4Header | DropReason {
  const bad = checkIpv4Lengths(bytes, start, end)
  return bad === DropReason.NONE ? decode(bytes, start) : bad
}

function decode(bytes: Uint8Array, start: number): Ipv4Header {
  const fields = header.decode(layoutBytes(bytes), start)
  const { reserved, dontFragment, moreFragments, offset } = fields.flagsFragment
  const headerLength = fields.versionIhl.ihl * 4
  return {
    headerLength,
    tos: fields.tos,
    totalLength: fields.totalLength,
    id: fields.id,
    reserved: reserved === 1,
    dontFragment: dontFragment === 1,
    moreFragments: moreFragments === 1,
    fragmentOffset: offset * 8,
    ttl: fields.ttl,
    protocol: fields.protocol,
    checksum: fields.checksum,
    source: fields.source,
    destination: fields.destination,
    options: bytes.slice(start + IPV4_MIN_HEADER, start + headerLength),
  }
}

/** Bytes that the header takes: options are padded to a multiple of 4. */
export function ipv4HeaderLength(init: Ipv4HeaderInit): number {
  return IPV4_MIN_HEADER + (((init.options?.length ?? 0) + 3) & ~3)
}

/** Writes the header at `start`, checksum computed, and returns its length. */
export function emitIpv4Header(init: Ipv4HeaderInit, bytes: Uint8Array, start: number): number {
  const length = ipv4HeaderLength(init)
  bytes.fill(0, start + IPV4_MIN_HEADER, start + length)
  if (init.options !== undefined) bytes.set(init.options, start + IPV4_MIN_HEADER)
  const view = layoutBytes(bytes)
  const fields: Layout = {
    versionIhl: { version: 4, ihl: length / 4 },
    tos: init.tos ?? 0,
    totalLength: init.totalLength,
    id: init.id ?? 0,
    flagsFragment: {
      reserved: init.reserved ? 1 : 0,
      dontFragment: init.dontFragment ? 1 : 0,
      moreFragments: init.moreFragments ? 1 : 0,
      offset: (init.fragmentOffset ?? 0) / 8,
    },
    ttl: init.ttl ?? 64,
    protocol: init.protocol,
    checksum: 0,
    source: init.source,
    destination: init.destination,
  }
  header.encode(fields, view, start)
  header.encode({ ...fields, checksum: checksum(bytes, start, start + length) }, view, start)
  return length
}
