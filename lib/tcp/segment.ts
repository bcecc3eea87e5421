/**
 * A segment that came in, as the machine sees it: header fields as signed 32-bit numbers, options, and where in the
 * packet its data lies. One object is filled again for each segment. A super-segment that a device merged (or that
 * came over loopback) is one segment here.
 */
import type { Packet } from '../packet/packet.ts'
import { Checksum } from '../packet/packet.ts'
import { checksum, pseudoHeaderSum } from '../wire/checksum.ts'
import { IPV4_DESTINATION, IPV4_SOURCE, IpProtocol } from '../wire/ipv4.ts'
import {
  TCP_ACKNOWLEDGMENT,
  TCP_DATA_OFFSET,
  TCP_FLAGS,
  TCP_MIN_HEADER,
  TCP_SEQUENCE,
  TCP_URGENT,
  TCP_WINDOW,
  TcpFlag,
} from '../wire/tcp.ts'
import { parseTcpOptions, TcpOptions } from '../wire/tcp-options.ts'

export class Segment {
  /** SEG.SEQ */
  seq = 0
  /** SEG.ACK; counts only with ACK in {@link flags}. */
  ack = 0
  flags = 0
  /** The field as it is, not scaled. */
  wnd = 0
  /** The urgent pointer, from {@link seq} on; 0 without URG. */
  urgent = 0
  /** Bytes of data. */
  length = 0
  /** The sequence number behind the segment: data, SYN and FIN counted. */
  end = 0
  /** Where the data begins in the packet's bytes. */
  dataStart = 0
  /** The IP header's TOS octet. */
  tos = 0
  readonly options: TcpOptions = new TcpOptions()
  packet!: Packet

  get isAck(): boolean {
    return (this.flags & TcpFlag.ACK) !== 0
  }

  get isRst(): boolean {
    return (this.flags & TcpFlag.RST) !== 0
  }

  get isSyn(): boolean {
    return (this.flags & TcpFlag.SYN) !== 0
  }

  get isFin(): boolean {
    return (this.flags & TcpFlag.FIN) !== 0
  }

  get isEce(): boolean {
    return (this.flags & TcpFlag.ECE) !== 0
  }

  /** Takes over what the header says; its lengths have been checked. */
  read(packet: Packet): void {
    const { bytes, transportHeader: at } = packet
    this.packet = packet
    this.seq = read32(bytes, at + TCP_SEQUENCE)
    this.ack = read32(bytes, at + TCP_ACKNOWLEDGMENT)
    this.flags = bytes[at + TCP_FLAGS]!
    this.wnd = (bytes[at + TCP_WINDOW]! << 8) | bytes[at + TCP_WINDOW + 1]!
    this.urgent =
      (this.flags & TcpFlag.URG) === 0 ? 0 : (bytes[at + TCP_URGENT]! << 8) | bytes[at + TCP_URGENT + 1]!
    this.tos = bytes[packet.networkHeader + 1]!
    const headerLength = (bytes[at + TCP_DATA_OFFSET]! >>> 4) << 2
    this.dataStart = at + headerLength
    this.length = packet.end - this.dataStart
    this.end = (this.seq + this.length + ((this.flags >> 1) & 1) + (this.flags & 1)) | 0
    parseTcpOptions(bytes, at + TCP_MIN_HEADER, this.dataStart, this.options)
  }

  /** Takes `n` bytes of data off the front. */
  trimFront(n: number): void {
    this.seq = (this.seq + n) | 0
    this.dataStart += n
    this.urgent = Math.max(0, this.urgent - n)
    this.length -= n
  }

  /** Leaves the first `n` bytes of data and takes the rest, and FIN, away. */
  keep(n: number): void {
    if ((this.flags & TcpFlag.FIN) !== 0) this.flags &= ~TcpFlag.FIN
    this.length = n
    this.end = (this.seq + n + ((this.flags >> 1) & 1)) | 0
  }
}

/** Whether the checksum is right, or vouched for. The packet has no body. */
export function verifyTcpChecksum(packet: Packet): boolean {
  // What is yet to be computed cannot be wrong: it never left this machine.
  if (packet.checksum !== Checksum.NONE) return true
  const { bytes, networkHeader, transportHeader: at, end } = packet
  const source = read32(bytes, networkHeader + IPV4_SOURCE)
  const destination = read32(bytes, networkHeader + IPV4_DESTINATION)
  return checksum(bytes, at, end, pseudoHeaderSum(source, destination, IpProtocol.TCP, end - at)) === 0
}

export function read32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
}

export function write32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}
