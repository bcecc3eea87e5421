/** A packet that crossed a link of a simulated network, as an assertion looks at it. */
import { formatIpv4, readIpv4 } from '../address/ipv4-address.ts'
import { MILLISECOND } from '../time/clock.ts'
import { DropReason, dropReasonName } from '../wire/drop-reason.ts'
import {
  checkIpv4Lengths,
  formatIpv4Packet,
  IPV4_DESTINATION,
  IPV4_FLAGS_FRAGMENT,
  IPV4_OFFSET_MASK,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TTL,
  IpProtocol,
} from '../wire/ipv4.ts'
import type { Host } from './host.ts'
import type { RecordedPacket } from './recorder.ts'

const PROTOCOLS: Readonly<Record<number, string>> = {
  [IpProtocol.ICMP]: 'icmp',
  [IpProtocol.IGMP]: 'igmp',
  [IpProtocol.TCP]: 'tcp',
  [IpProtocol.UDP]: 'udp',
}

/** Fields of the IP header are 0 or empty if there is none. */
export class LinkPacket {
  readonly from: Host
  readonly to: Host
  /** Milliseconds of the simulation: when it arrived, or died. */
  readonly time: number
  /** Milliseconds: when it was sent into the link. */
  readonly sentAt: number
  /** Bytes of the whole packet. */
  readonly length: number
  /** From the IP header on; its own to keep. */
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Why it did not arrive; `undefined` if it did. */
  readonly dropReason: string | undefined
  readonly #readable: boolean

  /** @internal */
  constructor(recorded: RecordedPacket, from: Host, to: Host) {
    this.from = from
    this.to = to
    this.time = recorded.time / MILLISECOND
    this.sentAt = recorded.sentAt / MILLISECOND
    this.length = recorded.length
    this.bytes = recorded.bytes
    this.dropReason = recorded.reason === DropReason.NONE ? undefined : dropReasonName(recorded.reason)
    this.#readable = checkIpv4Lengths(this.bytes, 0, this.bytes.length) === DropReason.NONE
  }

  get source(): string {
    return this.#readable ? formatIpv4(readIpv4(this.bytes, IPV4_SOURCE)) : ''
  }

  get destination(): string {
    return this.#readable ? formatIpv4(readIpv4(this.bytes, IPV4_DESTINATION)) : ''
  }

  /** `'udp'`, `'tcp'`, `'icmp'`, `'igmp'`, or the number as text. */
  get protocol(): string {
    if (!this.#readable) return ''
    const number = this.bytes[IPV4_PROTOCOL]!
    return PROTOCOLS[number] ?? String(number)
  }

  get ttl(): number {
    return this.#readable ? this.bytes[IPV4_TTL]! : 0
  }

  /** 0 for what has no ports, and for fragments but the first. */
  get sourcePort(): number {
    return this.#port(0)
  }

  get destinationPort(): number {
    return this.#port(2)
  }

  /** What is behind the IP header. */
  get payload(): Uint8Array<ArrayBuffer> {
    return this.#readable ? this.bytes.slice((this.bytes[0]! & 15) * 4) : this.bytes.slice(0, 0)
  }

  /** In one line, as tcpdump prints it. */
  get text(): string {
    return formatIpv4Packet(this.bytes, 0, this.bytes.length)
  }

  #port(at: number): number {
    const { protocol, bytes } = this
    if (protocol !== 'udp' && protocol !== 'tcp') return 0
    const word = (bytes[IPV4_FLAGS_FRAGMENT]! << 8) | bytes[IPV4_FLAGS_FRAGMENT + 1]!
    const start = (bytes[0]! & 15) * 4 + at
    return (word & IPV4_OFFSET_MASK) !== 0 || start + 2 > bytes.length
      ? 0
      : (bytes[start]! << 8) | bytes[start + 1]!
  }
}
