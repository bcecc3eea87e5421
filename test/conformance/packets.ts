/**
 * Raw packets for tests, made and read without the code under test. The builder fills in what a correct packet
 * has and takes anything else on demand: wrong checksums, lengths that lie, headers that are none. The reader
 * insists on everything that a correct packet must have and gives the rest as plain values.
 */
import { expect } from 'chai'

export type Bytes = Uint8Array<ArrayBuffer>

/** Dotted text to four bytes, most significant first. */
export function address(text: string): number[] {
  return text.split('.').map(Number)
}

/** Folded, complemented Internet checksum of the bytes, and of `first` before them. */
export function internetChecksum(bytes: ArrayLike<number>, first = 0): number {
  let sum = first
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000)
  return ~sum & 0xffff
}

export function pseudoSum(src: string, dst: string, protocol: number, length: number): number {
  const [a, b, c, d] = address(src) as [number, number, number, number]
  const [e, f, g, h] = address(dst) as [number, number, number, number]
  return ((a << 8) | b) + ((c << 8) | d) + ((e << 8) | f) + ((g << 8) | h) + protocol + length
}

/** `n` bytes that differ from their neighbours, so that a shift or a mix-up shows. */
export function pattern(n: number, seed = 0): Bytes {
  return Uint8Array.from({ length: n }, (_, i) => (i * 7 + (i >>> 8) * 13 + seed * 31) & 0xff)
}

export function concat(...parts: ArrayLike<number>[]): Bytes {
  const all = new Uint8Array(parts.reduce((n, part) => n + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

export interface Ipv4Fields {
  src: string
  dst: string
  version?: number
  /** In words of 4 bytes. */
  ihl?: number
  tos?: number
  totalLength?: number
  id?: number
  df?: boolean
  mf?: boolean
  /** The reserved flag. */
  rf?: boolean
  /** In bytes; a multiple of 8. */
  offset?: number
  ttl?: number
  protocol?: number
  checksum?: number
  /** Padded to a multiple of 4. */
  options?: readonly number[]
  /** Bytes after the datagram. */
  trailer?: number
}

/** An IPv4 packet with any payload. Correct unless told otherwise. */
export function ipv4(fields: Ipv4Fields, payload: ArrayLike<number> = []): Bytes {
  const options = [...(fields.options ?? [])]
  while (options.length % 4 !== 0) options.push(0)
  const headerLength = 20 + options.length
  const total = fields.totalLength ?? headerLength + payload.length
  const flags = (fields.rf ? 0x8000 : 0) | (fields.df ? 0x4000 : 0) | (fields.mf ? 0x2000 : 0)
  const fragment = flags | ((fields.offset ?? 0) >>> 3)
  const id = fields.id ?? 0x1234
  const header = [
    ((fields.version ?? 4) << 4) | (fields.ihl ?? headerLength / 4),
    fields.tos ?? 0,
    total >>> 8,
    total & 0xff,
    id >>> 8,
    id & 0xff,
    fragment >>> 8,
    fragment & 0xff,
    fields.ttl ?? 64,
    fields.protocol ?? 253,
    0,
    0,
    ...address(fields.src),
    ...address(fields.dst),
    ...options,
  ]
  // Over what the header says is the header, if that much is there.
  const packet = concat(header, payload, new Uint8Array(fields.trailer ?? 0).fill(0xee))
  const summed = Math.min((fields.ihl ?? headerLength / 4) * 4, packet.length)
  const check = fields.checksum ?? internetChecksum(packet.subarray(0, summed))
  packet[10] = check >>> 8
  packet[11] = check
  return packet
}

export interface IcmpFields {
  type: number
  code?: number
  checksum?: number
  /** Second word: identifier and sequence, or what the type has there. */
  word?: number
}

/** An ICMP message, without IP. */
export function icmpMessage(fields: IcmpFields, data: ArrayLike<number> = []): Bytes {
  const word = fields.word ?? 0
  const bytes = concat(
    [
      fields.type,
      fields.code ?? 0,
      0,
      0,
      word >>> 24,
      (word >>> 16) & 0xff,
      (word >>> 8) & 0xff,
      word & 0xff,
    ],
    data,
  )
  const check = fields.checksum ?? internetChecksum(bytes)
  bytes[2] = check >>> 8
  bytes[3] = check
  return bytes
}

export function icmp(ip: Ipv4Fields, fields: IcmpFields, data: ArrayLike<number> = []): Bytes {
  return ipv4({ protocol: 1, ...ip }, icmpMessage(fields, data))
}

export interface EchoFields {
  /** ICMP identifier. */
  identifier?: number
  sequence?: number
  data?: ArrayLike<number>
  code?: number
  checksum?: number
}

export function echoRequest(ip: Ipv4Fields, fields: EchoFields = {}): Bytes {
  return echo(8, ip, fields)
}

export function echoReply(ip: Ipv4Fields, fields: EchoFields = {}): Bytes {
  return echo(0, ip, fields)
}

function echo(type: number, ip: Ipv4Fields, fields: EchoFields): Bytes {
  const word = (((fields.identifier ?? 0x77) << 16) | (fields.sequence ?? 1)) >>> 0
  const message: IcmpFields = { type, word, code: fields.code ?? 0 }
  if (fields.checksum !== undefined) message.checksum = fields.checksum
  return icmp(ip, message, fields.data ?? pattern(56))
}

export interface UdpFields {
  sport?: number
  dport: number
  length?: number
  /** 0 for none. */
  checksum?: number
}

/** A UDP datagram, without IP. */
export function udpDatagram(ip: Ipv4Fields, fields: UdpFields, data: ArrayLike<number> = []): Bytes {
  const sport = fields.sport ?? 40000
  const length = fields.length ?? 8 + data.length
  const bytes = concat(
    [
      sport >>> 8,
      sport & 0xff,
      fields.dport >>> 8,
      fields.dport & 0xff,
      (length >>> 8) & 0xff,
      length & 0xff,
      0,
      0,
    ],
    data,
  )
  let check = fields.checksum ?? internetChecksum(bytes, pseudoSum(ip.src, ip.dst, 17, 8 + data.length))
  if (fields.checksum === undefined && check === 0) check = 0xffff
  bytes[6] = check >>> 8
  bytes[7] = check
  return bytes
}

export function udp(ip: Ipv4Fields, fields: UdpFields, data: ArrayLike<number> = []): Bytes {
  return ipv4({ protocol: 17, ...ip }, udpDatagram(ip, fields, data))
}

export interface TcpFields {
  sport?: number
  dport: number
  seq?: number
  ack?: number
  /** CWR ECE URG ACK PSH RST SYN FIN as bits. */
  flags?: number
  /** In words of 4 bytes. */
  dataOffset?: number
  window?: number
  checksum?: number
}

export function tcp(ip: Ipv4Fields, fields: TcpFields, data: ArrayLike<number> = []): Bytes {
  const { sport = 41000, dport, seq = 1000, ack = 0, flags = 2, dataOffset = 5, window = 65535 } = fields
  const word = (n: number): number[] => [n >>> 24, (n >>> 16) & 0xff, (n >>> 8) & 0xff, n & 0xff]
  const segment = concat(
    [sport >>> 8, sport & 0xff, dport >>> 8, dport & 0xff, ...word(seq), ...word(ack)],
    [dataOffset << 4, flags, window >>> 8, window & 0xff, 0, 0, 0, 0],
    data,
  )
  const check = fields.checksum ?? internetChecksum(segment, pseudoSum(ip.src, ip.dst, 6, segment.length))
  segment[16] = check >>> 8
  segment[17] = check
  return ipv4({ protocol: 6, ...ip }, segment)
}

/** Cuts a packet without options into fragments of `size` payload bytes (a multiple of 8). */
export function fragments(packet: Bytes, size: number): Bytes[] {
  const header = packet.subarray(0, 20)
  const payload = packet.subarray(20)
  const pieces: Bytes[] = []
  for (let at = 0; at < payload.length; at += size) {
    pieces.push(fragment(header, payload.subarray(at, at + size), at, at + size < payload.length))
  }
  return pieces
}

/** One fragment under a header: `offset` in bytes. */
export function fragment(header: Bytes, payload: ArrayLike<number>, offset: number, more: boolean): Bytes {
  const piece = concat(header.subarray(0, 20), payload)
  const word = (more ? 0x2000 : 0) | (offset >>> 3)
  piece[2] = piece.length >>> 8
  piece[3] = piece.length
  piece[6] = word >>> 8
  piece[7] = word
  piece[10] = piece[11] = 0
  const check = internetChecksum(piece.subarray(0, 20))
  piece[10] = check >>> 8
  piece[11] = check
  return piece
}

/** A packet as values. What belongs to another protocol is absent. */
export interface Decoded {
  src: string
  dst: string
  tos: number
  id: number
  df: boolean
  mf: boolean
  /** In bytes. */
  offset: number
  ttl: number
  protocol: number
  length: number
  /** Bytes of options as hex; '' for none. */
  options: string
  /** Behind the IP header. */
  payload: Bytes
  icmp?: {
    type: number
    code: number
    identifier: number
    sequence: number
    /** Next-hop MTU (the same bytes as `sequence`). */
    mtu: number
    gateway: string
    pointer: number
    /** Behind the 8 bytes of header: echo data, or the quoted datagram. */
    data: Bytes
  }
  udp?: { sport: number; dport: number; data: Bytes }
  tcp?: { sport: number; dport: number; seq: number; ack: number; flags: number }
}

const dotted = (bytes: Bytes, at: number): string => bytes.subarray(at, at + 4).join('.')
const word16 = (bytes: Bytes, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!
const word32 = (bytes: Bytes, at: number): number => word16(bytes, at) * 0x10000 + word16(bytes, at + 2)

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** Reads a packet that must be correct in every respect; fails the test if it is not. */
export function decode(packet: Bytes): Decoded {
  expect(packet.length, 'a packet shorter than an IPv4 header').to.be.at.least(20)
  expect(packet[0]! >>> 4, 'IP version').to.equal(4)
  const headerLength = (packet[0]! & 15) * 4
  expect(headerLength, 'IHL').to.be.within(20, packet.length)
  expect(internetChecksum(packet.subarray(0, headerLength)), 'IP header checksum').to.equal(0)
  expect(word16(packet, 10), 'negative zero as IP header checksum').to.not.equal(0xffff)
  expect(word16(packet, 2), 'total length').to.equal(packet.length)
  const word = word16(packet, 6)
  expect(word & 0x8000, 'reserved flag').to.equal(0)
  const payload = packet.slice(headerLength)
  const decoded: Decoded = {
    src: dotted(packet, 12),
    dst: dotted(packet, 16),
    tos: packet[1]!,
    id: word16(packet, 4),
    df: (word & 0x4000) !== 0,
    mf: (word & 0x2000) !== 0,
    offset: (word & 0x1fff) * 8,
    ttl: packet[8]!,
    protocol: packet[9]!,
    length: packet.length,
    options: hex(packet.subarray(20, headerLength)),
    payload,
  }
  if (decoded.mf || decoded.offset !== 0) {
    if (decoded.mf) expect(payload.length % 8, 'a fragment that is not the last').to.equal(0)
    return decoded
  }
  if (decoded.protocol === 1) decoded.icmp = decodeIcmp(payload)
  else if (decoded.protocol === 17) decoded.udp = decodeUdp(decoded, payload)
  else if (decoded.protocol === 6 && payload.length >= 20) decoded.tcp = decodeTcp(decoded, payload)
  return decoded
}

function decodeIcmp(bytes: Bytes): NonNullable<Decoded['icmp']> {
  expect(bytes.length, 'ICMP header').to.be.at.least(8)
  expect(internetChecksum(bytes), 'ICMP checksum').to.equal(0)
  return {
    type: bytes[0]!,
    code: bytes[1]!,
    identifier: word16(bytes, 4),
    sequence: word16(bytes, 6),
    mtu: word16(bytes, 6),
    gateway: dotted(bytes, 4),
    pointer: bytes[4]!,
    data: bytes.slice(8),
  }
}

function decodeUdp(ip: Decoded, bytes: Bytes): NonNullable<Decoded['udp']> {
  expect(bytes.length, 'UDP header').to.be.at.least(8)
  expect(word16(bytes, 4), 'UDP length').to.equal(bytes.length)
  if (word16(bytes, 6) !== 0) {
    const sum = internetChecksum(bytes, pseudoSum(ip.src, ip.dst, 17, bytes.length))
    expect(sum, 'UDP checksum').to.equal(0)
  }
  return { sport: word16(bytes, 0), dport: word16(bytes, 2), data: bytes.slice(8) }
}

function decodeTcp(ip: Decoded, bytes: Bytes): NonNullable<Decoded['tcp']> {
  expect(internetChecksum(bytes, pseudoSum(ip.src, ip.dst, 6, bytes.length)), 'TCP checksum').to.equal(0)
  return {
    sport: word16(bytes, 0),
    dport: word16(bytes, 2),
    seq: word32(bytes, 4),
    ack: word32(bytes, 8),
    flags: bytes[13]!,
  }
}

type Deep<T> = T extends Uint8Array
  ? ArrayLike<number>
  : T extends object
    ? { [K in keyof T]?: Deep<T[K]> }
    : T

/** What is expected of a packet: any part of {@link Decoded}. */
export type Expected = Deep<Decoded>

/** Every packet must be correct, there must be as many as expected, and each must have the expected values. */
export function expectPackets(packets: Bytes[], expected: readonly Expected[]): Decoded[] {
  const decoded = packets.map(decode)
  expect(decoded.map(summary), 'packets').to.have.length(expected.length)
  decoded.forEach((packet, i) => {
    expect(pick(packet, expected[i]!), `packet ${i}: ${summary(packet)}`).to.deep.equal(plain(expected[i]!))
  })
  return decoded
}

/** A line about a packet, for messages. */
export function summary(packet: Decoded): string {
  const what = packet.icmp
    ? `ICMP ${packet.icmp.type}/${packet.icmp.code}`
    : packet.udp
      ? `UDP ${packet.udp.sport} > ${packet.udp.dport}`
      : `protocol ${packet.protocol}`
  return `${packet.src} > ${packet.dst} ${what} length ${packet.length} offset ${packet.offset}`
}

function pick(actual: object, expected: object): unknown {
  const chosen: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(expected)) {
    const own = (actual as Record<string, unknown>)[key]
    chosen[key] = nested(value) && nested(own) ? pick(own as object, value as object) : plain(own)
  }
  return chosen
}

/** Byte arrays of any kind compare as lists of numbers. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array || Array.isArray(value)) return Array.from(value as ArrayLike<number>)
  if (!nested(value)) return value
  return Object.fromEntries(Object.entries(value as object).map(([key, each]) => [key, plain(each)]))
}

function nested(value: unknown): boolean {
  return (
    typeof value === 'object' && value !== null && !(value instanceof Uint8Array) && !Array.isArray(value)
  )
}
