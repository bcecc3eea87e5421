/**
 * Segmentation in software (Linux's GSO): cuts a TCP or UDP super-segment into the packets that it stands for,
 * one at a time, so that whoever sends them can stop at any of them and go on later. The result is what Linux
 * makes of the same super-segment, bit for bit: identifications count up, sequence numbers follow the bytes, FIN
 * and PSH stay for the last segment and CWR with the first (RFC 3168 §6.1.2), options are on all of them.
 *
 * Each segment is copied once, into a slab of its own size. Views of the payload take about 0.85 of the time
 * (docs/offload.md), but would hold the sender's memory for as long as a receiver in this process lets a segment
 * wait, and every reader of what a pipe hands over would first have to put it into one piece.
 */

import { Checksum, Gso, HEADROOM, type Packet } from '../packet/packet.ts'
import { copyMetadata } from '../packet/packet-pool.ts'
import { read32, write16, write32 } from '../wire/big-endian.ts'
import { fold, sum } from '../wire/checksum.ts'
import { IpProtocol } from '../wire/ipv4.ts'
import {
  TCP_CHECKSUM,
  TCP_DATA_OFFSET,
  TCP_FLAGS,
  TCP_MIN_HEADER,
  TCP_SEQUENCE,
  TcpFlag,
} from '../wire/tcp.ts'
import { UDP_CHECKSUM, UDP_HEADER, UDP_LENGTH } from '../wire/udp.ts'
import type { SegmentFamily } from './segment-family.ts'
import { SEGMENT_IPV4 } from './segment-ipv4.ts'

const NO_BYTES = new Uint8Array(0)

/** The protocol that a super-segment must carry; -1 if it is none. */
function protocolOf(packet: Packet): number {
  switch (packet.gsoType) {
    case Gso.NONE:
      return -1
    case Gso.TCPV4:
    case Gso.TCPV6:
      return IpProtocol.TCP
    case Gso.UDP_L4:
      return IpProtocol.UDP
  }
}

function familyOf(packet: Packet): SegmentFamily | null {
  const version = packet.end > packet.start ? packet.bytes[packet.start]! >>> 4 : 0
  return version === 4 && packet.gsoType !== Gso.TCPV6 ? SEGMENT_IPV4 : null
}

/** Bytes of the transport header at `at`; 0 if it is not there in one piece. */
function transportHeaderLength(bytes: Uint8Array, at: number, end: number, protocol: number): number {
  if (protocol === IpProtocol.UDP) return at + UDP_HEADER <= end ? UDP_HEADER : 0
  if (at + TCP_MIN_HEADER > end) return 0
  const length = (bytes[at + TCP_DATA_OFFSET]! >>> 4) << 2
  return length >= TCP_MIN_HEADER && at + length <= end ? length : 0
}

/** Bytes of all headers, which every segment has; 0 if this is nothing that can be cut. */
function headersLength(packet: Packet): number {
  const protocol = protocolOf(packet)
  const family = familyOf(packet)
  if (protocol < 0 || family === null) return 0
  const { bytes, start, end } = packet
  const network = family.headerLength(bytes, start, end, protocol)
  if (network === 0) return 0
  const transport = transportHeaderLength(bytes, start + network, end, protocol)
  return transport === 0 ? 0 : network + transport
}

/**
 * Bytes of the largest packet that this one will be on the wire: of a full segment, with its headers, for a
 * super-segment (Linux's `skb_gso_network_seglen`). It is what counts against an MTU.
 */
export function wireLength(packet: Packet): number {
  if (packet.gsoSize === 0) return packet.length
  const headers = headersLength(packet)
  return headers === 0 ? packet.length : Math.min(packet.length, headers + packet.gsoSize)
}

/** Cuts one super-segment at a time, which stays the caller's. */
export class Segmenter {
  /** What is being cut; `null` if nothing is. */
  packet: Packet | null = null
  #family: SegmentFamily = SEGMENT_IPV4
  #protocol = 0
  #complete = false
  #networkLength = 0
  #headersLength = 0
  /** A view of all headers, to be copied from. */
  #headers: Uint8Array = NO_BYTES
  #payload = 0
  #size = 0
  #done = 0
  #index = 0
  #sequence = 0
  /** Sum of the pseudo-header without its length. */
  #pseudo = 0

  /**
   * Begins with a super-segment; `false` if it can't be cut, because its headers are not what they should be.
   * @param complete whether checksums are completed; else they are left partial, for the device
   */
  begin(packet: Packet, complete: boolean): boolean {
    const headers = headersLength(packet)
    if (headers === 0 || packet.gsoSize === 0 || packet.length <= headers) return false
    const { bytes, start, end } = packet
    const protocol = protocolOf(packet)
    const family = familyOf(packet)!
    const network = family.headerLength(bytes, start, end, protocol)
    const transport = start + network
    this.packet = packet
    this.#family = family
    this.#protocol = protocol
    this.#complete = complete
    this.#networkLength = network
    this.#headersLength = headers
    this.#headers = bytes.subarray(start, start + headers)
    this.#payload = packet.length - headers
    this.#size = packet.gsoSize
    this.#done = 0
    this.#index = 0
    this.#pseudo = family.pseudoHeaderSum(bytes, start, protocol, 0)
    if (protocol === IpProtocol.TCP) this.#sequence = read32(bytes, transport + TCP_SEQUENCE)
    return true
  }

  /** The next segment, or `null` if there is no memory for it now. After the last one `packet` is `null`. */
  next(): Packet | null {
    const whole = this.packet!
    const headers = this.#headersLength
    const done = this.#done
    const size = Math.min(this.#size, this.#payload - done)
    const last = done + size === this.#payload
    const segment = whole.pool.allocate(headers + size, HEADROOM)
    if (segment === null) return null
    const at = segment.put(headers + size)
    const { bytes } = segment
    const transport = at + this.#networkLength
    bytes.set(this.#headers, at)
    whole.copyRange(headers + done, size, bytes, at + headers)
    copyMetadata(whole, segment)
    segment.networkHeader = at
    segment.transportHeader = transport
    segment.gsoType = Gso.NONE
    segment.gsoSize = 0
    segment.gsoSegments = 1
    segment.gsoEcn = false
    segment.gsoFixedId = false
    this.#family.writeHeader(bytes, at, headers + size, whole.gsoFixedId ? 0 : this.#index)

    const transportLength = headers - this.#networkLength + size
    let offset: number
    if (this.#protocol === IpProtocol.TCP) {
      offset = TCP_CHECKSUM
      write32(bytes, transport + TCP_SEQUENCE, this.#sequence + done)
      let flags = bytes[transport + TCP_FLAGS]!
      if (!last) flags &= ~(TcpFlag.FIN | TcpFlag.PSH)
      if (done > 0) flags &= ~TcpFlag.CWR
      bytes[transport + TCP_FLAGS] = flags
    } else {
      offset = UDP_CHECKSUM
      write16(bytes, transport + UDP_LENGTH, transportLength)
    }
    const partial = fold(this.#pseudo + transportLength)
    write16(bytes, transport + offset, partial)
    if (this.#complete) {
      let check = ~fold(sum(bytes, transport, segment.end)) & 0xffff
      // UDP alone has a use for 0: "none" (RFC 768).
      if (check === 0 && this.#protocol === IpProtocol.UDP) check = 0xffff
      write16(bytes, transport + offset, check)
      segment.checksum = Checksum.NONE
    } else {
      segment.checksum = Checksum.PARTIAL
      segment.checksumStart = transport
      segment.checksumOffset = offset
    }
    this.#done = done + size
    this.#index++
    if (last) this.forget()
    return segment
  }

  /** Leaves what is being cut as it is. */
  forget(): void {
    this.packet = null
    this.#headers = NO_BYTES
  }
}
