/**
 * IGMP messages (RFC 1112 appendix I, RFC 2236, RFC 3376) as a host needs them: the queries that it reads, and the
 * reports that it sends.
 */
import { type Ipv4Address, readIpv4, writeIpv4 } from '../address/ipv4-address.ts'
import { checksum } from './checksum.ts'
import { DropReason } from './drop-reason.ts'
import { ipv4Address, structure, u8, u16 } from './layout.ts'

interface Layout {
  type: number
  code: number
  checksum: number
  group: number
}

const header = structure<Layout>([u8('type'), u8('code'), u16('checksum'), ipv4Address('group')])

const CODE = header.offsetOf('code')
const CHECKSUM = header.offsetOf('checksum')
const GROUP = header.offsetOf('group')
export const IGMP_HEADER = header.span

interface QueryLayout {
  flagsQrv: number
  qqic: number
  sources: number
}

/** What version 3 has behind the header of a query. */
const query = structure<QueryLayout>([u8('flagsQrv'), u8('qqic'), u16('sources')])

const V3_QUERY = IGMP_HEADER + query.span

interface RecordLayout {
  type: number
  auxiliary: number
  sources: number
  group: number
}

/** A group record of a report of version 3, without sources. */
const record = structure<RecordLayout>([u8('type'), u8('auxiliary'), u16('sources'), ipv4Address('group')])

export const IGMP_RECORD = record.span

export const IgmpType = {
  QUERY: 0x11,
  V1_REPORT: 0x12,
  V2_REPORT: 0x16,
  LEAVE: 0x17,
  V3_REPORT: 0x22,
} as const

export const IgmpRecord = { IS_EXCLUDE: 2, TO_INCLUDE: 3, TO_EXCLUDE: 4 } as const

/** All routers; where leaves go (RFC 2236 §3). */
export const INADDR_ALLRTRS_GROUP: Ipv4Address = 0xe0000002 | 0
/** Where reports of version 3 go (RFC 3376 §4.2.14). */
export const INADDR_IGMPV3_GROUP: Ipv4Address = 0xe0000016 | 0

/** A query. Reused: {@link parseIgmpQuery} fills it in. */
export class IgmpQuery {
  version: 1 | 2 | 3 = 3
  /** 0: about all groups. */
  group: Ipv4Address = 0
  /** Milliseconds within which to answer. */
  maxResponse = 0
  /** Robustness, and milliseconds between queries; 0 if it does not say. */
  robustness = 0
  interval = 0
  /** How many sources it asks for. */
  sources = 0
}

/** `NONE`, or why the message may not be read. */
export function checkIgmp(bytes: Uint8Array, start: number, end: number): DropReason {
  if (end - start < IGMP_HEADER) return DropReason.PKT_TOO_SMALL
  return checksum(bytes, start, end) === 0 ? DropReason.NONE : DropReason.SKB_CSUM
}

/** Reads a query that {@link checkIgmp} has let through; `false` if it is malformed (RFC 3376 §7.1). */
export function parseIgmpQuery(bytes: Uint8Array, start: number, end: number, into: IgmpQuery): boolean {
  const code = bytes[start + CODE]!
  into.group = readIpv4(bytes, start + GROUP)
  into.robustness = into.interval = into.sources = 0
  if (end - start === IGMP_HEADER) {
    into.version = code === 0 ? 1 : 2
    into.maxResponse = code * 100
    return true
  }
  if (end - start < V3_QUERY) return false
  const at = start + IGMP_HEADER
  into.version = 3
  into.maxResponse = floating(code) * 100
  into.robustness = bytes[at + query.offsetOf('flagsQrv')]! & 7
  into.interval = floating(bytes[at + query.offsetOf('qqic')]!) * 1000
  const sources = at + query.offsetOf('sources')
  into.sources = (bytes[sources]! << 8) | bytes[sources + 1]!
  return end - start >= V3_QUERY + into.sources * 4
}

/** Up to 127 itself, from there 4 bits of mantissa and 3 of exponent (RFC 3376 §4.1.1). */
function floating(code: number): number {
  return code < 128 ? code : ((code & 15) | 16) << (((code >>> 4) & 7) + 3)
}

/** Writes a message of 8 bytes: a report of version 1 or 2, or a leave. */
export function writeIgmp(bytes: Uint8Array, at: number, type: number, group: Ipv4Address): void {
  bytes[at] = type
  bytes[at + CODE] = bytes[at + CHECKSUM] = bytes[at + CHECKSUM + 1] = 0
  writeIpv4(bytes, at + GROUP, group)
  sumIgmp(bytes, at, at + IGMP_HEADER)
}

/** Writes the head of a report of version 3; its records follow, and at last {@link sumIgmp}. */
export function writeIgmpReport(bytes: Uint8Array, at: number, records: number): void {
  bytes.fill(0, at, at + IGMP_HEADER)
  bytes[at] = IgmpType.V3_REPORT
  bytes[at + 6] = records >>> 8
  bytes[at + 7] = records
}

export function writeIgmpRecord(bytes: Uint8Array, at: number, type: number, group: Ipv4Address): void {
  bytes[at] = type
  bytes.fill(0, at + 1, at + record.offsetOf('group'))
  writeIpv4(bytes, at + record.offsetOf('group'), group)
}

export function sumIgmp(bytes: Uint8Array, at: number, end: number): void {
  bytes[at + CHECKSUM] = bytes[at + CHECKSUM + 1] = 0
  const check = checksum(bytes, at, end)
  bytes[at + CHECKSUM] = check >>> 8
  bytes[at + CHECKSUM + 1] = check
}
