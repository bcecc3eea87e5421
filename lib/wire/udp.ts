/**
 * The UDP header (RFC 768).
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import { checksum, pseudoHeaderSum } from './checksum.ts'
import { DropReason } from './drop-reason.ts'
import { IpProtocol } from './ipv4-header.ts'
import { layoutBytes, structure, u16 } from './layout.ts'

interface Layout {
  sourcePort: number
  destinationPort: number
  length: number
  checksum: number
}

const header = structure<Layout>([u16('sourcePort'), u16('destinationPort'), u16('length'), u16('checksum')])

export const UDP_SOURCE_PORT = header.offsetOf('sourcePort')
export const UDP_DESTINATION_PORT = header.offsetOf('destinationPort')
export const UDP_LENGTH = header.offsetOf('length')
export const UDP_CHECKSUM = header.offsetOf('checksum')
export const UDP_HEADER = header.span

/**
 * Whether the datagram in `bytes[start…end)`, the body of an IP packet, may be read: `NONE`, or `PKT_TOO_SMALL` if
 * header or data are not all there. Bytes behind its length are no error.
 */
export function checkUdpHeader(bytes: Uint8Array, start: number, end: number): DropReason {
  if (end - start < UDP_HEADER) return DropReason.PKT_TOO_SMALL
  const length = (bytes[start + UDP_LENGTH]! << 8) | bytes[start + UDP_LENGTH + 1]!
  return length < UDP_HEADER || length > end - start ? DropReason.PKT_TOO_SMALL : DropReason.NONE
}

/** Whether the checksum is right, or 0: not used. The datagram has passed {@link checkUdpHeader}. */
export function verifyUdpChecksum(
  bytes: Uint8Array,
  start: number,
  source: Ipv4Address,
  destination: Ipv4Address,
): boolean {
  if (bytes[start + UDP_CHECKSUM] === 0 && bytes[start + UDP_CHECKSUM + 1] === 0) return true
  const length = (bytes[start + UDP_LENGTH]! << 8) | bytes[start + UDP_LENGTH + 1]!
  const pseudo = pseudoHeaderSum(source, destination, IpProtocol.UDP, length)
  return checksum(bytes, start, start + length, pseudo) === 0
}

/** A datagram as plain data. */
export interface UdpDatagram {
  sourcePort: number
  destinationPort: number
  data: Uint8Array
}

/**
 * The datagram in `bytes[start…end)`, or why it is dropped: `PKT_TOO_SMALL`, and `UDP_CSUM` if the addresses are
 * given to verify the checksum by.
 */
export function parseUdp(
  bytes: Uint8Array,
  start: number,
  end: number,
  source?: Ipv4Address,
  destination?: Ipv4Address,
): UdpDatagram | DropReason {
  const bad = checkUdpHeader(bytes, start, end)
  if (bad !== DropReason.NONE) return bad
  if (source !== undefined && destination !== undefined) {
    if (!verifyUdpChecksum(bytes, start, source, destination)) return DropReason.UDP_CSUM
  }
  const { sourcePort, destinationPort, length } = header.decode(layoutBytes(bytes), start)
  return { sourcePort, destinationPort, data: bytes.slice(start + UDP_HEADER, start + length) }
}

export function udpLength(datagram: UdpDatagram): number {
  return UDP_HEADER + datagram.data.length
}

/** Writes the datagram at `start`, checksum computed, and returns its length. */
export function emitUdp(
  datagram: UdpDatagram,
  bytes: Uint8Array,
  start: number,
  source: Ipv4Address,
  destination: Ipv4Address,
): number {
  const { sourcePort, destinationPort, data } = datagram
  const length = udpLength(datagram)
  const fields: Layout = { sourcePort, destinationPort, length, checksum: 0 }
  const view = layoutBytes(bytes)
  header.encode(fields, view, start)
  bytes.set(data, start + UDP_HEADER)
  const pseudo = pseudoHeaderSum(source, destination, IpProtocol.UDP, length)
  // 0 would say that there is none; 0xffff is the same number in one's complement.
  fields.checksum = checksum(bytes, start, start + length, pseudo) || 0xffff
  header.encode(fields, view, start)
  return length
}

/**
 * `10.0.0.1.5000 > 10.0.0.2.53: UDP, length 10`, given the addresses as text. `claimed` is the length of the IP
 * body, -1 if this is a first fragment.
 */
export function formatUdp(
  bytes: Uint8Array,
  start: number,
  end: number,
  from: string,
  to: string,
  claimed: number,
): string {
  if (end - start < UDP_HEADER) return `${from} > ${to}: UDP [|udp]`
  const { sourcePort, destinationPort, length } = header.decode(layoutBytes(bytes), start)
  const line = `${from}.${sourcePort} > ${to}.${destinationPort}: UDP`
  if (length < UDP_HEADER || (claimed >= 0 && length > claimed)) return `${line}, bad length ${length}`
  return `${line}, length ${length - UDP_HEADER}`
}
