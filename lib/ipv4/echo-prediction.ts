/**
 * Header prediction for pings: an echo request that differs from the one before in nothing but its identifiers and
 * data gets its reply in one short step. Where a packet comes every now and then, what one costs is how much code and
 * data it touches, since nothing of it is in a cache any more; so this touches little, and counts after the reply has
 * left. What is not exactly as predicted goes the ordinary way, which does the very same and makes the prediction.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { ECN_COUNTER, IcmpMib, IpExtMib, IpMib, type Mib } from '../observe/mib.ts'
import { Checksum, type Packet, PacketType } from '../packet/packet.ts'
import type { Fib } from '../route/fib.ts'
import { Flow4 } from '../route/flow.ts'
import type { Route } from '../route/route.ts'
import { isByAddress } from '../route/route-hint.ts'
import type { Routing } from '../route/routing.ts'
import type { Sysctl } from '../sysctl/sysctl.ts'
import { fold, LITTLE_ENDIAN, pseudoHeaderSum } from '../wire/checksum.ts'
import { ICMP_HEADER, IcmpType } from '../wire/icmpv4.ts'
import { IPV4_MIN_HEADER, IpProtocol } from '../wire/ipv4.ts'
import type { Ipv4Context } from './context.ts'
import { echoReplyInPlace } from './echo-reply.ts'
import type { Identification } from './identification.ts'

// Parts of the header's words on a little-endian machine.
/** More fragments, and the offset: of the second word. */
const FRAGMENT = 0xff3f0000
/** Of the third. */
const PROTOCOL = 0xff00
const ICMP = IpProtocol.ICMP << 8
/** Of the first word of the message. */
const TYPE = 0xff
const CODE = 0xff00

export class EchoPrediction {
  /** The way of the reply; `null` while nothing is predicted. */
  #arrival: NetDevice | null = null
  #generation = -1
  // What the request is to be, as words that a little-endian machine reads.
  /** Version, header length, TOS; the length is to be added. */
  #word0 = 0
  #sender = 0
  #target = 0
  /** TTL of the reply. */
  #ttl = 0
  #mtu = 0
  /** Of the words of the reply but for length, identification and checksum. */
  #fixedSum = 0
  /** Whom the reply is from and to. */
  #from: Ipv4Address = 0
  #to: Ipv4Address = 0
  #reply: Route | null = null
  #out!: NetDevice
  /** Answered, and not yet in the counters. */
  #answered = 0
  #octets = 0
  #discarded = 0
  /** Somebody listens to requests as well: they go the ordinary way. */
  suspended = false
  readonly #fib: Fib
  readonly #identification: Identification
  readonly #time: { readonly now: number }
  readonly #mib: Mib
  readonly #sysctl: Sysctl
  readonly #routing: Routing
  readonly #request = new Flow4()

  constructor({ mib, sysctl, routing, time }: Ipv4Context, identification: Identification) {
    this.#mib = mib
    this.#sysctl = sysctl
    this.#routing = routing
    this.#fib = routing.fib
    this.#identification = identification
    this.#time = time
  }

  /**
   * Predicts requests like the one being answered, if what was decided about it holds for every packet of the flow.
   * @param received the decision about the request
   * @param flow of the reply
   */
  predict(received: Route, arrival: NetDevice, flow: Flow4, tos: number, ttl: number, reply: Route): void {
    const request = this.#request
    request.reset()
    request.daddr = flow.saddr
    request.saddr = flow.daddr
    if (
      !LITTLE_ENDIAN ||
      this.suspended ||
      arrival.isLoopback || // those carry their decision with them
      // whoever listens there sees replies before they are sent: the ordinary way is for that
      (reply.device !== arrival && reply.device.taps.length > 0) ||
      reply.expires !== 0 ||
      (this.#sysctl.ipv4.icmp_ratemask & (1 << IcmpType.ECHO_REPLY)) !== 0 ||
      !isByAddress(this.#routing, request, received)
    ) {
      return
    }
    this.settle()
    this.#reply = reply
    this.#out = reply.device
    this.#arrival = arrival
    this.#generation = reply.generation
    this.#word0 = 0x45 | (tos << 8)
    this.#from = flow.saddr
    this.#to = flow.daddr
    this.#sender = swapped(flow.daddr)
    this.#target = swapped(flow.saddr)
    this.#ttl = ttl
    this.#mtu = reply.mtu
    const addresses = pseudoHeaderSum(this.#sender, this.#target, 0, 0)
    this.#fixedSum = this.#word0 + (ttl | ICMP) + addresses
  }

  /** Answers `packet` if it is as predicted. `false`: nothing was done. */
  answer(packet: Packet, device: NetDevice): boolean {
    if (device !== this.#arrival) return false
    const { words, start, end } = packet
    const length = end - start
    const first = start >>> 2
    const stop = end >>> 2
    const word5 = words[first + 5]!
    // Identification, DF and the reserved flag, TTL, and what is behind the type of the message may be anything.
    if (
      words[first] !== (this.#word0 | ((length & 0xff00) << 8) | (length << 24)) ||
      words[first + 3] !== this.#sender ||
      words[first + 4] !== this.#target ||
      (words[first + 1]! & FRAGMENT) !== 0 ||
      (words[first + 2]! & PROTOCOL) !== ICMP ||
      (word5 & TYPE) !== IcmpType.ECHO ||
      this.#fib.generation !== this.#generation ||
      length < IPV4_MIN_HEADER + ICMP_HEADER ||
      length > this.#mtu ||
      (start & 3) !== 0 ||
      packet.checksum === Checksum.PARTIAL ||
      packet.type !== PacketType.HOST ||
      packet.destination !== null ||
      packet.mark !== 0 ||
      !packet.writable ||
      device.taps.length > 0
    ) {
      return false
    }
    // Header and message apart: each must come to 0xffff, whatever the byte order (RFC 1071 §2(B)).
    let sum = 0
    let at = first
    for (; at < first + 5; at++) sum += (words[at]! & 0xffff) + (words[at]! >>> 16)
    if (fold(sum) !== 0xffff) return false
    sum = 0
    for (; at < stop; at++) sum += (words[at]! & 0xffff) + (words[at]! >>> 16)
    if ((end & 3) !== 0) {
      const rest = words[stop]! & ((1 << ((end & 3) << 3)) - 1)
      sum += (rest & 0xffff) + (rest >>> 16)
    }
    if (fold(sum) !== 0xffff) return false

    // RFC 1624: the type shares its half of the word with the code, which the reply keeps.
    const check = ~fold((~(word5 >>> 16) & 0xffff) + (~word5 & 0xffff) + (word5 & CODE)) & 0xffff
    if (check === 0) echoReplyInPlace(packet.bytes, start + IPV4_MIN_HEADER, end)
    else words[first + 5] = (word5 & CODE) | (check << 16)
    const id = this.#identification.next(this.#from, this.#to, IpProtocol.ICMP, this.#time.now)
    const swappedId = ((id & 0xff) << 8) | (id >>> 8)
    const swappedLength = ((length & 0xff) << 8) | (length >>> 8)
    const headerCheck = ~fold(this.#fixedSum + swappedLength + swappedId) & 0xffff
    words[first + 1] = swappedId
    words[first + 2] = this.#ttl | ICMP | (headerCheck << 16)
    words[first + 3] = this.#target
    words[first + 4] = this.#sender
    packet.networkHeader = start
    packet.transportHeader = start + IPV4_MIN_HEADER
    packet.checksum = Checksum.NONE
    packet.iif = 0
    packet.destination = this.#reply
    packet.type = PacketType.OUTGOING
    this.#answered++
    this.#octets += length
    if (!this.#out.enqueue(packet)) this.#discarded++
    return true
  }

  /** Brings the counters up to date: called when the replies of a burst have left. */
  settle(): void {
    const n = this.#answered
    if (n === 0) return
    const { ip, ipExt, icmp, icmpMsgIn, icmpMsgOut } = this.#mib
    ip[IpMib.InReceives]! += n
    ip[IpMib.InDelivers]! += n
    ip[IpMib.OutRequests]! += n
    ip[IpMib.OutTransmits]! += n
    ip[IpMib.OutDiscards]! += this.#discarded
    ipExt[IpExtMib.InOctets]! += this.#octets
    ipExt[IpExtMib.OutOctets]! += this.#octets
    ipExt[ECN_COUNTER[(this.#word0 >>> 8) & 3]!]! += n
    icmp[IcmpMib.InMsgs]! += n
    icmp[IcmpMib.OutMsgs]! += n
    icmpMsgIn[IcmpType.ECHO]! += n
    icmpMsgOut[IcmpType.ECHO_REPLY]! += n
    this.#answered = 0
    this.#octets = 0
    this.#discarded = 0
  }
}

/** The bytes of a word in the other order. */
function swapped(word: number): number {
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)
}
