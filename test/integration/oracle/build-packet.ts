/** Packets for the scenarios, right or wrong in any field. */
import { parseIpv4 } from '../../../lib/address/ipv4-address.ts'
import { checksum, fold, pseudoHeaderSum } from '../../../lib/wire/checksum.ts'

export type Bytes = Uint8Array<ArrayBuffer>

export interface IpFields {
  src: string
  dst: string
  protocol?: number
  ttl?: number
  tos?: number
  id?: number
  df?: boolean
  mf?: boolean
  reserved?: boolean
  /** Fragment offset in bytes. */
  offset?: number
  /** Bytes of options; filled up with End of Option List. */
  options?: readonly number[]
  payload?: Uint8Array
  /** What the header says where that is not the truth. */
  version?: number
  ihl?: number
  totalLength?: number
  /** Added to the right header checksum. */
  checksumError?: number
}

let nextId = 1

export function ip(fields: IpFields): Bytes {
  const { payload = new Uint8Array(0), options = [] } = fields
  const headerLength = 20 + ((options.length + 3) & ~3)
  const bytes = new Uint8Array(headerLength + payload.length)
  const view = new DataView(bytes.buffer)
  bytes[0] = ((fields.version ?? 4) << 4) | (fields.ihl ?? headerLength / 4)
  bytes[1] = fields.tos ?? 0
  view.setUint16(2, fields.totalLength ?? bytes.length)
  view.setUint16(4, fields.id ?? nextId++ & 0xffff)
  const flags = (fields.reserved ? 0x8000 : 0) | (fields.df ? 0x4000 : 0) | (fields.mf ? 0x2000 : 0)
  view.setUint16(6, flags | ((fields.offset ?? 0) >> 3))
  bytes[8] = fields.ttl ?? 64
  bytes[9] = fields.protocol ?? 1
  view.setInt32(12, parseIpv4(fields.src))
  view.setInt32(16, parseIpv4(fields.dst))
  bytes.set(options, 20)
  bytes.set(payload, headerLength)
  const end = Math.max(20, Math.min(bytes.length, (fields.ihl ?? headerLength / 4) * 4))
  view.setUint16(10, checksum(bytes, 0, end) + (fields.checksumError ?? 0))
  return bytes
}

/** Bytes that are all different enough to show when they are moved. */
export function pattern(length: number, seed = 0): Bytes {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8) + seed) & 0xff)
}

export interface IcmpFields {
  type: number
  code?: number
  /** The second word. */
  rest?: number
  data?: Uint8Array
  checksumError?: number
}

export function icmp({
  type,
  code = 0,
  rest = 0,
  data = new Uint8Array(0),
  checksumError = 0,
}: IcmpFields): Bytes {
  const bytes = new Uint8Array(8 + data.length)
  const view = new DataView(bytes.buffer)
  bytes[0] = type
  bytes[1] = code
  view.setUint32(4, rest)
  bytes.set(data, 8)
  view.setUint16(2, checksum(bytes, 0, bytes.length) + checksumError)
  return bytes
}

export const echoRequest = (length = 56, seed = 0): Bytes =>
  icmp({ type: 8, rest: 0x12340001 + seed, data: pattern(length, seed) })

export interface UdpFields {
  src: string
  dst: string
  sport?: number
  dport?: number
  data?: Uint8Array
  length?: number
  noChecksum?: boolean
  checksumError?: number
}

/** A UDP datagram without its IP header. */
export function udp(fields: UdpFields): Bytes {
  const { data = pattern(10) } = fields
  const bytes = new Uint8Array(8 + data.length)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, fields.sport ?? 40_000)
  view.setUint16(2, fields.dport ?? 9)
  view.setUint16(4, fields.length ?? bytes.length)
  bytes.set(data, 8)
  if (fields.noChecksum === true) return bytes
  const pseudo = pseudoHeaderSum(
    parseIpv4(fields.src),
    parseIpv4(fields.dst),
    17,
    fields.length ?? bytes.length,
  )
  const check = checksum(bytes, 0, bytes.length, fold(pseudo))
  view.setUint16(6, ((check === 0 ? 0xffff : check) + (fields.checksumError ?? 0)) & 0xffff)
  return bytes
}

export interface TcpFields {
  src: string
  dst: string
  sport?: number
  dport?: number
  seq?: number
  ack?: number
  /** The byte of flags. */
  flags?: number
  /** In words. */
  dataOffset?: number
  options?: ArrayLike<number>
  data?: Uint8Array
  urgent?: number
  checksumError?: number
}

/** A TCP segment without its IP header. */
export function tcp(fields: TcpFields): Bytes {
  const { data = new Uint8Array(0), options = [] } = fields
  const headerLength = 20 + options.length
  const bytes = new Uint8Array(headerLength + data.length)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, fields.sport ?? 40_000)
  view.setUint16(2, fields.dport ?? 9)
  view.setUint32(4, fields.seq ?? 1000)
  view.setUint32(8, fields.ack ?? 0)
  bytes[12] = (fields.dataOffset ?? headerLength / 4) << 4
  bytes[13] = fields.flags ?? 2
  view.setUint16(14, 65535)
  view.setUint16(18, fields.urgent ?? 0)
  bytes.set(options, 20)
  bytes.set(data, headerLength)
  const pseudo = pseudoHeaderSum(parseIpv4(fields.src), parseIpv4(fields.dst), 6, bytes.length)
  const check = checksum(bytes, 0, bytes.length, fold(pseudo))
  view.setUint16(16, (check + (fields.checksumError ?? 0)) & 0xffff)
  return bytes
}

/** An ICMP error that quotes the first `quoted` bytes of a datagram. */
export function icmpError(type: number, code: number, rest: number, quote: Uint8Array, quoted = 28): Bytes {
  return icmp({ type, code, rest, data: quote.subarray(0, quoted) })
}

/** The datagram in fragments that begin at the given offsets of its payload (the first is 0). */
export function fragments(fields: IpFields, offsets: readonly number[]): Bytes[] {
  const { payload = new Uint8Array(0) } = fields
  return offsets.map((offset, i) => {
    const end = offsets[i + 1] ?? payload.length
    return ip({ ...fields, offset, mf: end < payload.length, payload: payload.subarray(offset, end) })
  })
}
