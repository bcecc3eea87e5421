/** Super-segments as packets, and what Linux would make of them, said as plainly as it can be. */
import type { Gso } from '../../lib/packet/packet.ts'
import { Checksum, Gso as GsoType, type Packet } from '../../lib/packet/packet.ts'
import type { PacketPool } from '../../lib/packet/packet-pool.ts'
import { parseIpv4Header } from '../../lib/wire/ipv4.ts'

export interface Super {
  bytes: Uint8Array<ArrayBuffer>
  gsoType: Gso
  gsoSize: number
}

const checked = (bytes: Uint8Array): number => {
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) + (bytes[i + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000)
  return ~sum & 0xffff
}

/** Sets the checksums of an IPv4 packet with 20 bytes of header; a sum of 0 becomes 0xffff in UDP. */
export function complete(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  view.setUint16(2, bytes.length)
  view.setUint16(10, 0)
  view.setUint16(10, checked(bytes.subarray(0, 20)))
  const udp = bytes[9] === 17
  const field = udp ? 26 : 36
  view.setUint16(field, 0)
  const pseudo = new Uint8Array(12)
  pseudo.set(bytes.subarray(12, 20))
  pseudo[9] = bytes[9]!
  new DataView(pseudo.buffer).setUint16(10, bytes.length - 20)
  const check = checked(Uint8Array.from([...pseudo, ...bytes.subarray(20)]))
  view.setUint16(field, check === 0 && udp ? 0xffff : check)
  return bytes
}

export interface TcpFields {
  payload: Uint8Array
  sequence?: number
  acknowledgment?: number
  flags?: number
  id?: number
  df?: boolean
  tos?: number
  ttl?: number
  window?: number
  sport?: number
  options?: readonly number[]
}

/** A TCP packet with all of its checksums. */
export function tcpPacket(fields: TcpFields): Uint8Array<ArrayBuffer> {
  const { options = [], payload } = fields
  const bytes = new Uint8Array(40 + options.length + payload.length)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, 0x4500 | (fields.tos ?? 0))
  view.setUint16(4, fields.id ?? 1)
  view.setUint16(6, (fields.df ?? true) ? 0x4000 : 0)
  view.setUint16(8, ((fields.ttl ?? 64) << 8) | 6)
  view.setUint32(12, 0x0a010002)
  view.setUint32(16, 0x0a020002)
  view.setUint16(20, fields.sport ?? 5000)
  view.setUint16(22, 80)
  view.setUint32(24, fields.sequence ?? 1)
  view.setUint32(28, fields.acknowledgment ?? 77)
  view.setUint16(32, ((20 + options.length) << 10) | (fields.flags ?? 0x10))
  view.setUint16(34, fields.window ?? 1000)
  bytes.set(options, 40)
  bytes.set(payload, 40 + options.length)
  complete(bytes)
  return bytes
}

export interface UdpFields {
  payload: Uint8Array
  id?: number
  sport?: number
  dport?: number
  /** 10.2.0.2 if absent. */
  destination?: number
}

export function udpPacket(fields: UdpFields): Uint8Array<ArrayBuffer> {
  const { payload, id = 1, sport = 5000, dport = 53, destination = 0x0a020002 } = fields
  const bytes = new Uint8Array(28 + payload.length)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, 0x4500)
  view.setUint16(4, id)
  view.setUint16(8, (64 << 8) | 17)
  view.setUint32(12, 0x0a010002)
  view.setUint32(16, destination)
  view.setUint16(20, sport)
  view.setUint16(22, dport)
  view.setUint16(24, 8 + payload.length)
  bytes.set(payload, 28)
  complete(bytes)
  return bytes
}

/** Such a packet as a super-segment in a pool; the last `body` bytes of it in a body. */
export function superPacket(pool: PacketPool, bytes: Uint8Array, gsoSize: number, body = 0): Packet {
  const packet = pool.from(bytes.subarray(0, bytes.length - body))!
  if (body > 0) packet.body = bytes.slice(bytes.length - body)
  const udp = bytes[9] === 17
  packet.gsoType = udp ? GsoType.UDP_L4 : GsoType.TCPV4
  packet.gsoSize = gsoSize
  packet.checksum = Checksum.PARTIAL
  packet.checksumStart = packet.start + 20
  packet.checksumOffset = udp ? 6 : 16
  return packet
}

/** The packets that a complete packet of 20 bytes of IPv4 header is cut into. */
export function plainSegments(whole: Uint8Array, gsoSize: number): Uint8Array[] {
  const header = parseIpv4Header(whole, 0, whole.length)
  if (typeof header === 'number') throw new Error('no IPv4 header')
  const udp = header.protocol === 17
  const headers = 20 + (udp ? 8 : (whole[32]! >>> 4) * 4)
  const segments: Uint8Array[] = []
  for (let at = headers; at < whole.length; at += gsoSize) {
    const piece = Uint8Array.from([...whole.subarray(0, headers), ...whole.subarray(at, at + gsoSize)])
    const view = new DataView(piece.buffer)
    view.setUint16(4, (header.id + segments.length) & 0xffff)
    if (udp) {
      view.setUint16(24, piece.length - 20)
    } else {
      view.setUint32(24, (view.getUint32(24) + at - headers) >>> 0)
      if (at + gsoSize < whole.length) piece[33]! &= ~0x09
      if (at > headers) piece[33]! &= ~0x80
    }
    segments.push(complete(piece))
  }
  return segments
}
