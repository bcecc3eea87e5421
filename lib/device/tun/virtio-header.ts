/**
 * `virtio_net_hdr` (VIRTIO 1.3 §5.1.6), which stands before each packet of a TUN with `IFF_VNET_HDR`: whether the
 * checksum still has to be completed, and how a super-segment is to be cut. Headers lie in an array of their own,
 * beside the packets' bytes. What is read is not believed: a header that does not fit its packet is refused, so
 * that nothing above has to look again.
 */
import { Checksum, Gso, type Packet } from '../../packet/packet.ts'
import { fold, sum } from '../../wire/checksum.ts'
import { TCP_CHECKSUM, TCP_DATA_OFFSET, TCP_MIN_HEADER } from '../../wire/tcp.ts'
import { UDP_CHECKSUM, UDP_HEADER } from '../../wire/udp.ts'
import { VNET_HEADER_STRIDE } from './driver.ts'

/** `flags` */
const NEEDS_CSUM = 1
const DATA_VALID = 2

/** `gso_type` */
const GSO_TCPV4 = 1
const GSO_TCPV6 = 4
const GSO_UDP_L4 = 5
const GSO_ECN = 0x80

/** A `gso_size` that Linux keeps for itself. */
const GSO_BY_FRAGS = 0xffff

/** Places of the fields in 16-bit words; flags and type are the bytes of the first. */
const WORDS = VNET_HEADER_STRIDE / 2
const HEADER_LENGTH = 1
const GSO_SIZE = 2
const CHECKSUM_START = 3
const CHECKSUM_OFFSET = 4

const TCP = 6
const UDP = 17
/** Hop-by-hop, routing, destination options: what may stand between IPv6 and TCP or UDP in a super-segment. */
const IPV6_EXTENSIONS = [0, 43, 60]

export class VirtioHeaders {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** The fields are in the byte order of the machine. */
  readonly #words: Uint16Array

  constructor(packets: number) {
    const buffer = new ArrayBuffer(packets * VNET_HEADER_STRIDE)
    this.bytes = new Uint8Array(buffer)
    this.#words = new Uint16Array(buffer)
  }

  /** Tells the packet, whose bytes and `networkHeader` are set, what header `i` says of it; `false` if that cannot be. */
  read(i: number, packet: Packet): boolean {
    const flags = this.bytes[i * VNET_HEADER_STRIDE]!
    const type = this.bytes[i * VNET_HEADER_STRIDE + 1]!
    const words = this.#words
    const at = i * WORDS
    const length = packet.end - packet.start
    if (words[at + HEADER_LENGTH]! > length) return false
    if (type === 0 && (flags & (NEEDS_CSUM | DATA_VALID)) === 0) return true
    if ((flags & NEEDS_CSUM) !== 0) {
      const start = words[at + CHECKSUM_START]!
      const offset = words[at + CHECKSUM_OFFSET]!
      if (start < networkHeaderLength(packet) || start + offset + 2 > length) return false
      packet.checksum = Checksum.PARTIAL
      packet.checksumStart = packet.start + start
      packet.checksumOffset = offset
    } else if ((flags & DATA_VALID) !== 0) {
      packet.checksum = Checksum.UNNECESSARY
    }
    if (type === 0) return true
    return readGso(packet, type, words[at + GSO_SIZE]!)
  }

  /** Writes header `i` for the packet; `false` if all of it is zero. */
  write(i: number, packet: Packet): boolean {
    const words = this.#words
    const at = i * WORDS
    words[at] = words[at + HEADER_LENGTH] = words[at + GSO_SIZE] = 0
    words[at + CHECKSUM_START] = words[at + CHECKSUM_OFFSET] = 0
    const partial = packet.checksum === Checksum.PARTIAL
    if (!partial && packet.gsoSize === 0) return false
    const start = packet.checksumStart - packet.start
    if (partial) {
      this.bytes[i * VNET_HEADER_STRIDE] = NEEDS_CSUM
      words[at + CHECKSUM_START] = start
      words[at + CHECKSUM_OFFSET] = packet.checksumOffset
    }
    if (packet.gsoSize > 0) {
      this.bytes[i * VNET_HEADER_STRIDE + 1] = gsoTypeOf(packet)
      words[at + GSO_SIZE] = packet.gsoSize
      words[at + HEADER_LENGTH] = start + transportHeaderLength(packet)
    }
    return true
  }
}

function gsoTypeOf(packet: Packet): number {
  const ecn = packet.gsoEcn ? GSO_ECN : 0
  switch (packet.gsoType) {
    case Gso.TCPV4:
      return GSO_TCPV4 | ecn
    case Gso.TCPV6:
      return GSO_TCPV6 | ecn
    case Gso.UDP_L4:
      return GSO_UDP_L4
    case Gso.NONE:
      return 0
  }
}

function transportHeaderLength({ gsoType, bytes, checksumStart }: Packet): number {
  return gsoType === Gso.UDP_L4 ? UDP_HEADER : (bytes[checksumStart + TCP_DATA_OFFSET]! >>> 4) * 4
}

/** The least that the network header takes. */
function networkHeaderLength({ bytes, start }: Packet): number {
  return bytes[start]! >>> 4 === 6 ? 40 : Math.max(20, (bytes[start]! & 15) * 4)
}

function readGso(packet: Packet, type: number, size: number): boolean {
  const { bytes, start, end } = packet
  if (size === 0 || size === GSO_BY_FRAGS) return false
  const version = bytes[start]! >>> 4
  const tcp = (type & ~GSO_ECN) === GSO_TCPV4 || (type & ~GSO_ECN) === GSO_TCPV6
  if (!tcp && type !== GSO_UDP_L4) return false
  if (tcp && version !== ((type & ~GSO_ECN) === GSO_TCPV4 ? 4 : 6)) return false
  const header = networkHeaderLength(packet)
  if (start + header > end || !carries(packet, version, tcp ? TCP : UDP)) return false

  const offset = tcp ? TCP_CHECKSUM : UDP_CHECKSUM
  if (tcp && packet.checksum === Checksum.UNNECESSARY) {
    // Vouched for as one; each segment will need one of its own, so leave it to whoever cuts it. Linux takes that
    // for TCP alone.
    const extended = version === 6 && bytes[start + 6] !== TCP
    if (extended || start + header + TCP_MIN_HEADER > end) return false
    openChecksum(packet, start + header)
  } else if (packet.checksum !== Checksum.PARTIAL || packet.checksumOffset !== offset) {
    return false
  }
  // Behind IPv6 there may be extension headers.
  if (version === 4 && packet.checksumStart !== start + header) return false
  if (packet.checksumStart + (tcp ? TCP_MIN_HEADER : UDP_HEADER) > end) return false
  packet.gsoType = tcp ? (version === 4 ? Gso.TCPV4 : Gso.TCPV6) : Gso.UDP_L4
  const transport = transportHeaderLength(packet)
  const payload = end - packet.checksumStart - transport
  if (payload <= 0 || (tcp && transport < TCP_MIN_HEADER)) return false
  packet.gsoSize = size
  packet.gsoSegments = Math.ceil(payload / size)
  packet.gsoEcn = (type & GSO_ECN) !== 0
  return true
}

function carries({ bytes, start }: Packet, version: number, protocol: number): boolean {
  if (version === 4) return bytes[start + 9] === protocol
  return version === 6 && (bytes[start + 6] === protocol || IPV6_EXTENSIONS.includes(bytes[start + 6]!))
}

/** Makes the complete checksum of TCP a partial one: the sum of the pseudo-header alone. */
function openChecksum(packet: Packet, at: number): void {
  const { bytes, start, end } = packet
  const ipv6 = bytes[start]! >>> 4 === 6
  const addresses = ipv6 ? sum(bytes, start + 8, start + 40) : sum(bytes, start + 12, start + 20)
  const pseudo = fold(addresses + TCP + (end - at))
  bytes[at + TCP_CHECKSUM] = pseudo >>> 8
  bytes[at + TCP_CHECKSUM + 1] = pseudo
  packet.checksum = Checksum.PARTIAL
  packet.checksumStart = at
  packet.checksumOffset = TCP_CHECKSUM
}
