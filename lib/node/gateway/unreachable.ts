/**
 * Destination Unreachable to a guest, about a packet of its own that is long gone: what ICMP quotes of it, the header
 * and the first eight bytes behind (RFC 792), is made up again.
 */
import { formatIpv4, type Ipv4Address, writeIpv4 } from '../../address/ipv4-address.ts'
import { TunstackError } from '../../errors.ts'
import type { RawSocket } from '../../raw/raw-socket.ts'
import type { Stack } from '../../stack/stack.ts'
import { checksum } from '../../wire/checksum.ts'
import {
  ICMP_CHECKSUM,
  ICMP_CODE,
  ICMP_HEADER,
  ICMP_TYPE,
  IcmpType,
  UnreachableCode,
} from '../../wire/icmpv4.ts'
import {
  IPV4_CHECKSUM,
  IPV4_DESTINATION,
  IPV4_MIN_HEADER,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOTAL_LENGTH,
  IPV4_TTL,
  IpProtocol,
} from '../../wire/ipv4.ts'

/** Of the packet that did not arrive. */
export interface Undelivered {
  protocol: number
  source: Ipv4Address
  sourcePort: number
  destination: Ipv4Address
  port: number
  /** What follows the ports: TCP's sequence number; length and checksum of UDP. */
  word: number
}

const QUOTED = 8
const LENGTH = IPV4_MIN_HEADER + ICMP_HEADER + IPV4_MIN_HEADER + QUOTED

export class UnreachableErrors {
  readonly #socket: RawSocket
  readonly #own: Ipv4Address
  readonly #packet = new Uint8Array(LENGTH)

  constructor(stack: Stack, own: Ipv4Address) {
    this.#own = own
    this.#socket = stack.raw.open({ protocol: 'icmp', headerIncluded: true, icmpTypes: [] })
  }

  /** @param code of Destination Unreachable; Port Unreachable comes from the destination, the rest from the gateway */
  send(code: number, about: Undelivered): void {
    const packet = this.#packet
    packet.fill(0)
    const from = code === UnreachableCode.PORT ? about.destination : this.#own
    writeHeader(packet, 0, LENGTH, IpProtocol.ICMP, from, about.source)
    const at = IPV4_MIN_HEADER
    packet[at + ICMP_TYPE] = IcmpType.DEST_UNREACH
    packet[at + ICMP_CODE] = code
    const quote = at + ICMP_HEADER
    const quotedLength = about.protocol === IpProtocol.UDP ? IPV4_MIN_HEADER + (about.word >>> 16) : 40
    writeHeader(packet, quote, quotedLength, about.protocol, about.source, about.destination)
    put16(packet, quote + IPV4_CHECKSUM, checksum(packet, quote, quote + IPV4_MIN_HEADER))
    const ports = quote + IPV4_MIN_HEADER
    put16(packet, ports, about.sourcePort)
    put16(packet, ports + 2, about.port)
    writeIpv4(packet, ports + 4, about.word)
    put16(packet, at + ICMP_CHECKSUM, checksum(packet, at, LENGTH))
    try {
      this.#socket.send(packet, formatIpv4(about.source))
    } catch (error) {
      if (!(error instanceof TunstackError)) throw error // a guest that cannot be reached is not told
    }
  }

  close(): void {
    this.#socket.close()
  }
}

function writeHeader(
  bytes: Uint8Array,
  at: number,
  length: number,
  protocol: number,
  source: Ipv4Address,
  destination: Ipv4Address,
): void {
  bytes[at] = 0x45
  put16(bytes, at + IPV4_TOTAL_LENGTH, length)
  bytes[at + IPV4_TTL] = 64
  bytes[at + IPV4_PROTOCOL] = protocol
  writeIpv4(bytes, at + IPV4_SOURCE, source)
  writeIpv4(bytes, at + IPV4_DESTINATION, destination)
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}
