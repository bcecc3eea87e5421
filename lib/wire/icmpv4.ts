/**
 * ICMP for IPv4 (RFC 792, with router discovery of RFC 1256 and address masks of RFC 950 and, in Destination
 * Unreachable, the MTU of RFC 1191). Errors quote the start of the packet that they are about. The printer is in
 * `icmpv4-format.ts`.
 */
import { type Ipv4Address, readIpv4, writeIpv4 } from '../address/ipv4-address.ts'
import { checksum } from './checksum.ts'
import { DropReason } from './drop-reason.ts'
import { checkIpv4Lengths } from './ipv4-header.ts'
import { ipv4Address, layoutBytes, structure, u8, u16, u32 } from './layout.ts'

/** The first four bytes of every message; the next four depend on the type. */
interface Layout {
  type: number
  code: number
  checksum: number
  rest: number
}
interface EchoLayout {
  type: number
  code: number
  checksum: number
  id: number
  sequence: number
}
interface MtuLayout {
  type: number
  code: number
  checksum: number
  unused: number
  mtu: number
}
interface GatewayLayout {
  type: number
  code: number
  checksum: number
  gateway: number
}
interface PointerLayout {
  type: number
  code: number
  checksum: number
  pointer: number
}
interface TimestampLayout extends EchoLayout {
  originate: number
  receive: number
  transmit: number
}
interface MaskLayout extends EchoLayout {
  mask: Ipv4Address
}
interface AdvertisementLayout {
  type: number
  code: number
  checksum: number
  count: number
  entrySize: number
  lifetime: number
}

const common = [u8('type'), u8('code'), u16('checksum')]
const header = structure<Layout>([...common, u32('rest')])
const echo = structure<EchoLayout>([...common, u16('id'), u16('sequence')])
const mtu = structure<MtuLayout>([...common, u16('unused'), u16('mtu')])
const gateway = structure<GatewayLayout>([...common, ipv4Address('gateway')])
const pointer = structure<PointerLayout>([...common, u8('pointer')])
const timestamp = structure<TimestampLayout>([
  ...common,
  u16('id'),
  u16('sequence'),
  u32('originate'),
  u32('receive'),
  u32('transmit'),
])
const mask = structure<MaskLayout>([...common, u16('id'), u16('sequence'), ipv4Address('mask')])
const advertisement = structure<AdvertisementLayout>([
  ...common,
  u8('count'),
  u8('entrySize'),
  u16('lifetime'),
])

export const ICMP_TYPE = header.offsetOf('type')
export const ICMP_CODE = header.offsetOf('code')
export const ICMP_CHECKSUM = header.offsetOf('checksum')
export const ICMP_ID = echo.offsetOf('id')
export const ICMP_SEQUENCE = echo.offsetOf('sequence')
export const ICMP_MTU = mtu.offsetOf('mtu')
export const ICMP_GATEWAY = gateway.offsetOf('gateway')
export const ICMP_POINTER = pointer.offsetOf('pointer')
export const ICMP_HEADER = header.span

/** Types, by the names of RFC 792 (9 and 10: RFC 1256; 17 and 18: RFC 950). */
export const IcmpType = {
  ECHO_REPLY: 0,
  DEST_UNREACH: 3,
  SOURCE_QUENCH: 4,
  REDIRECT: 5,
  ECHO: 8,
  ROUTER_ADVERTISEMENT: 9,
  ROUTER_SOLICITATION: 10,
  TIME_EXCEEDED: 11,
  PARAMETER_PROBLEM: 12,
  TIMESTAMP: 13,
  TIMESTAMP_REPLY: 14,
  INFO_REQUEST: 15,
  INFO_REPLY: 16,
  ADDRESS_MASK: 17,
  ADDRESS_MASK_REPLY: 18,
} as const

/** Types above this are unknown to Linux (`NR_ICMP_TYPES`). */
export const LAST_ICMP_TYPE = 18

/** Codes of Destination Unreachable (RFC 792, RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1). */
export const UnreachableCode = {
  NET: 0,
  HOST: 1,
  PROTOCOL: 2,
  PORT: 3,
  FRAG_NEEDED: 4,
  SOURCE_ROUTE_FAILED: 5,
  NET_UNKNOWN: 6,
  HOST_UNKNOWN: 7,
  HOST_ISOLATED: 8,
  NET_PROHIBITED: 9,
  HOST_PROHIBITED: 10,
  NET_TOS: 11,
  HOST_TOS: 12,
  PACKET_FILTERED: 13,
  PRECEDENCE_VIOLATION: 14,
  PRECEDENCE_CUTOFF: 15,
} as const

/** Codes of Redirect. */
export const RedirectCode = { NET: 0, HOST: 1, NET_TOS: 2, HOST_TOS: 3 } as const

/** Codes of Time Exceeded. */
export const TimeExceededCode = { TTL: 0, REASSEMBLY: 1 } as const

/** Codes of Parameter Problem (RFC 792, RFC 1108 §2.2). */
export const ParameterProblemCode = { POINTER: 0, OPTION_MISSING: 1, BAD_LENGTH: 2 } as const

/** Bytes behind the quoted IP header that an error must carry at least (RFC 792). */
export const ICMP_QUOTED_BODY = 8

/** Types that ask or answer, as a bit mask. */
const QUERY_TYPES =
  (1 << IcmpType.ECHO_REPLY) |
  (1 << IcmpType.ECHO) |
  (1 << IcmpType.TIMESTAMP) |
  (1 << IcmpType.TIMESTAMP_REPLY) |
  (1 << IcmpType.INFO_REQUEST) |
  (1 << IcmpType.INFO_REPLY) |
  (1 << IcmpType.ADDRESS_MASK) |
  (1 << IcmpType.ADDRESS_MASK_REPLY)

/**
 * Whether a message of this type asks or answers. Every other, known or not, counts as an error, which must never be
 * answered by another (RFC 1122 §3.2.2); so do, as in Linux, those of router discovery, about which nobody needs to
 * be told anything.
 */
export function isIcmpQuery(type: number): boolean {
  return type <= LAST_ICMP_TYPE && (QUERY_TYPES & (1 << type)) !== 0
}

/**
 * Whether the message `bytes[start…end)`, the body of an IP packet, may be read: `NONE`, `ICMP_CSUM`, or
 * `PKT_TOO_SMALL`. In the kernel's order: the checksum first.
 */
export function checkIcmpv4(bytes: Uint8Array, start: number, end: number): DropReason {
  if (checksum(bytes, start, end) !== 0) return DropReason.ICMP_CSUM
  return end - start < ICMP_HEADER ? DropReason.PKT_TOO_SMALL : DropReason.NONE
}

/**
 * Whether an error's quote `bytes[start…end)` can be matched to anything: the IP header is all there, and 8 bytes
 * of what follows. `NONE`, `IP_INHDR`, or `PKT_TOO_SMALL`.
 */
export function checkIcmpQuote(bytes: Uint8Array, start: number, end: number): DropReason {
  const bad = checkIpv4Lengths(bytes, start, end)
  if (bad !== DropReason.NONE) return bad
  const body = start + ((bytes[start]! & 15) << 2)
  return end - body < ICMP_QUOTED_BODY ? DropReason.PKT_TOO_SMALL : DropReason.NONE
}

/** One router of a Router Advertisement. */
export interface RouterEntry {
  address: Ipv4Address
  /** Higher is better; signed. */
  preference: number
}

/** A message as plain data. `quote` is the start of the packet that an error is about. */
export type Icmpv4Message =
  | { kind: 'echo-request' | 'echo-reply'; code: number; id: number; sequence: number; data: Uint8Array }
  | { kind: 'dest-unreach'; code: number; mtu: number; quote: Uint8Array }
  | { kind: 'source-quench'; code: number; quote: Uint8Array }
  | { kind: 'redirect'; code: number; gateway: Ipv4Address; quote: Uint8Array }
  | { kind: 'time-exceeded'; code: number; quote: Uint8Array }
  | { kind: 'parameter-problem'; code: number; pointer: number; quote: Uint8Array }
  | {
      kind: 'timestamp-request' | 'timestamp-reply'
      code: number
      id: number
      sequence: number
      /** Milliseconds since midnight UTC, or with the high bit set something else. */
      originate: number
      receive: number
      transmit: number
    }
  | { kind: 'info-request' | 'info-reply'; code: number; id: number; sequence: number }
  | {
      kind: 'address-mask-request' | 'address-mask-reply'
      code: number
      id: number
      sequence: number
      mask: Ipv4Address
    }
  | { kind: 'router-solicitation'; code: number }
  /** `lifetime` in seconds. */
  | { kind: 'router-advertisement'; code: number; lifetime: number; routers: RouterEntry[] }
  /** Any other type, and one of the above that is too short or not of the usual form; `rest` from byte 4 on. */
  | { kind: 'other'; type: number; code: number; rest: Uint8Array }

const typeOf = {
  'echo-request': IcmpType.ECHO,
  'echo-reply': IcmpType.ECHO_REPLY,
  'dest-unreach': IcmpType.DEST_UNREACH,
  'source-quench': IcmpType.SOURCE_QUENCH,
  redirect: IcmpType.REDIRECT,
  'time-exceeded': IcmpType.TIME_EXCEEDED,
  'parameter-problem': IcmpType.PARAMETER_PROBLEM,
  'timestamp-request': IcmpType.TIMESTAMP,
  'timestamp-reply': IcmpType.TIMESTAMP_REPLY,
  'info-request': IcmpType.INFO_REQUEST,
  'info-reply': IcmpType.INFO_REPLY,
  'address-mask-request': IcmpType.ADDRESS_MASK,
  'address-mask-reply': IcmpType.ADDRESS_MASK_REPLY,
  'router-solicitation': IcmpType.ROUTER_SOLICITATION,
  'router-advertisement': IcmpType.ROUTER_ADVERTISEMENT,
} as const

/** Bytes per entry of a Router Advertisement: address and preference. */
const ROUTER_ENTRY = 8

/** The message `bytes[start…end)`, or why it is dropped ({@link checkIcmpv4}). */
export function parseIcmpv4(bytes: Uint8Array, start: number, end: number): Icmpv4Message | DropReason {
  const bad = checkIcmpv4(bytes, start, end)
  return bad === DropReason.NONE ? decodeIcmpv4(bytes, start, end) : bad
}

/** The message, of which at least the first 8 bytes are there; its checksum is not looked at. */
export function decodeIcmpv4(bytes: Uint8Array, start: number, end: number): Icmpv4Message {
  const view = layoutBytes(bytes)
  const { type, code, rest } = header.decode(view, start)
  const { id, sequence } = echo.decode(view, start)
  const size = end - start
  const data = bytes.slice(start + ICMP_HEADER, end)
  switch (type) {
    case IcmpType.ECHO:
      return { kind: 'echo-request', code, id, sequence, data }
    case IcmpType.ECHO_REPLY:
      return { kind: 'echo-reply', code, id, sequence, data }
    case IcmpType.DEST_UNREACH:
      return { kind: 'dest-unreach', code, mtu: mtu.decode(view, start).mtu, quote: data }
    case IcmpType.SOURCE_QUENCH:
      return { kind: 'source-quench', code, quote: data }
    case IcmpType.REDIRECT:
      return { kind: 'redirect', code, gateway: gateway.decode(view, start).gateway, quote: data }
    case IcmpType.TIME_EXCEEDED:
      return { kind: 'time-exceeded', code, quote: data }
    case IcmpType.PARAMETER_PROBLEM:
      return { kind: 'parameter-problem', code, pointer: pointer.decode(view, start).pointer, quote: data }
    case IcmpType.TIMESTAMP:
    case IcmpType.TIMESTAMP_REPLY: {
      if (size !== timestamp.span) break
      const { originate, receive, transmit } = timestamp.decode(view, start)
      const kind = type === IcmpType.TIMESTAMP ? 'timestamp-request' : 'timestamp-reply'
      return { kind, code, id, sequence, originate, receive, transmit }
    }
    case IcmpType.INFO_REQUEST:
    case IcmpType.INFO_REPLY:
      if (size !== ICMP_HEADER) break
      return { kind: type === IcmpType.INFO_REQUEST ? 'info-request' : 'info-reply', code, id, sequence }
    case IcmpType.ADDRESS_MASK:
    case IcmpType.ADDRESS_MASK_REPLY: {
      if (size !== mask.span) break
      const kind = type === IcmpType.ADDRESS_MASK ? 'address-mask-request' : 'address-mask-reply'
      return { kind, code, id, sequence, mask: mask.decode(view, start).mask }
    }
    case IcmpType.ROUTER_SOLICITATION:
      if (size !== ICMP_HEADER || rest !== 0) break
      return { kind: 'router-solicitation', code }
    case IcmpType.ROUTER_ADVERTISEMENT: {
      const { count, entrySize, lifetime } = advertisement.decode(view, start)
      if (entrySize !== 2 || size !== ICMP_HEADER + count * ROUTER_ENTRY) break
      const routers: RouterEntry[] = []
      for (let at = start + ICMP_HEADER; at < end; at += ROUTER_ENTRY) {
        routers.push({ address: readIpv4(bytes, at), preference: readIpv4(bytes, at + 4) })
      }
      return { kind: 'router-advertisement', code, lifetime, routers }
    }
  }
  return { kind: 'other', type, code, rest: bytes.slice(start + 4, end) }
}

/** Bytes that {@link emitIcmpv4} writes. */
export function icmpv4Length(message: Icmpv4Message): number {
  switch (message.kind) {
    case 'echo-request':
    case 'echo-reply':
      return ICMP_HEADER + message.data.length
    case 'dest-unreach':
    case 'source-quench':
    case 'redirect':
    case 'time-exceeded':
    case 'parameter-problem':
      return ICMP_HEADER + message.quote.length
    case 'timestamp-request':
    case 'timestamp-reply':
      return timestamp.span
    case 'info-request':
    case 'info-reply':
    case 'router-solicitation':
      return ICMP_HEADER
    case 'address-mask-request':
    case 'address-mask-reply':
      return mask.span
    case 'router-advertisement':
      return ICMP_HEADER + message.routers.length * ROUTER_ENTRY
    case 'other':
      return 4 + message.rest.length
  }
}

/** Writes the message at `start`, checksum computed, and returns its length. */
export function emitIcmpv4(message: Icmpv4Message, bytes: Uint8Array, start: number): number {
  const view = layoutBytes(bytes)
  const length = icmpv4Length(message)
  const type = message.kind === 'other' ? message.type : typeOf[message.kind]
  const base = { type, code: message.code, checksum: 0 }
  const body = start + ICMP_HEADER
  if (message.kind !== 'other') header.encode({ ...base, rest: 0 }, view, start)
  switch (message.kind) {
    case 'echo-request':
    case 'echo-reply':
      echo.encode({ ...base, id: message.id, sequence: message.sequence }, view, start)
      bytes.set(message.data, body)
      break
    case 'dest-unreach':
      mtu.encode({ ...base, unused: 0, mtu: message.mtu }, view, start)
      bytes.set(message.quote, body)
      break
    case 'source-quench':
    case 'time-exceeded':
      bytes.set(message.quote, body)
      break
    case 'redirect':
      gateway.encode({ ...base, gateway: message.gateway }, view, start)
      bytes.set(message.quote, body)
      break
    case 'parameter-problem':
      pointer.encode({ ...base, pointer: message.pointer }, view, start)
      bytes.set(message.quote, body)
      break
    case 'timestamp-request':
    case 'timestamp-reply':
      timestamp.encode({ ...base, ...message }, view, start)
      break
    case 'info-request':
    case 'info-reply':
      echo.encode({ ...base, id: message.id, sequence: message.sequence }, view, start)
      break
    case 'address-mask-request':
    case 'address-mask-reply':
      mask.encode({ ...base, ...message }, view, start)
      break
    case 'router-advertisement': {
      const { routers, lifetime } = message
      advertisement.encode({ ...base, count: routers.length, entrySize: 2, lifetime }, view, start)
      routers.forEach(({ address, preference }, i) => {
        writeIpv4(bytes, body + i * ROUTER_ENTRY, address)
        writeIpv4(bytes, body + i * ROUTER_ENTRY + 4, preference)
      })
      break
    }
    case 'other':
      bytes[start + ICMP_TYPE] = type
      bytes[start + ICMP_CODE] = message.code
      bytes[start + ICMP_CHECKSUM] = 0
      bytes[start + ICMP_CHECKSUM + 1] = 0
      bytes.set(message.rest, start + 4)
      break
  }
  const check = checksum(bytes, start, start + length)
  bytes[start + ICMP_CHECKSUM] = check >>> 8
  bytes[start + ICMP_CHECKSUM + 1] = check
  return length
}
