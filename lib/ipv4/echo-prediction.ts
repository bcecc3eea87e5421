/**
 * Header prediction for pings: an echo request that differs from the one before in nothing but its identifiers and
 * data gets its reply in one short step. Where a packet comes every now and then, what one costs is how much code and
 * data it touches, since nothing of it is in a cache any more; so this touches little, and counts after the reply has
 * left. What is not exactly as predicted goes the ordinary way, which does the very same and makes the prediction.
 */
import { type Ipv4Address, readIpv4, writeIpv4 } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { IcmpMib, IpExtMib, IpMib, type Mib } from '../observe/mib.ts'
import { Checksum, type Packet, PacketType } from '../packet/packet.ts'
import type { Fib } from '../route/fib.ts'
import { Flow4 } from '../route/flow.ts'
import type { Route } from '../route/route.ts'
import { isByAddress } from '../route/route-hint.ts'
import type { Routing } from '../route/routing.ts'
import type { Sysctl } from '../sysctl/sysctl.ts'
import { checksum, fold, pseudoHeaderSum } from '../wire/checksum.ts'
import { ICMP_HEADER, ICMP_TYPE, IcmpType } from '../wire/icmpv4.ts'
import {
  IPV4_CHECKSUM,
  IPV4_DESTINATION,
  IPV4_FLAGS_FRAGMENT,
  IPV4_ID,
  IPV4_MF,
  IPV4_MIN_HEADER,
  IPV4_OFFSET_MASK,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOS,
  IPV4_TOTAL_LENGTH,
  IPV4_TTL,
  IpProtocol,
} from '../wire/ipv4.ts'
import type { Ipv4Context } from './context.ts'
import { echoReplyInPlace } from './echo-reply.ts'
import type { Identification } from './identification.ts'
import { ECN_COUNTER } from './input.ts'

export class EchoPrediction {
  /** The way of the reply; `null` while nothing is predicted. */
  #reply: Route | null = null
  #arrival: NetDevice | null = null
  #generation = -1
  /** Whom the request is to be from and to, and its TOS octet. */
  #sender: Ipv4Address = 0
  #target: Ipv4Address = 0
  #tos = 0
  /** TTL of the reply. */
  #ttl = 0
  #mtu = 0
  /** Of the words that request and reply have in common: version, header length and TOS, protocol, addresses. */
  #fixedSum = 0
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
      this.suspended ||
      arrival.isLoopback || // those carry their decision with them
      reply.expires !== 0 ||
      (this.#sysctl.ipv4.icmp_ratemask & (1 << IcmpType.ECHO_REPLY)) !== 0 ||
      !isByAddress(this.#routing, request, received)
    ) {
      return
    }
    this.settle()
    this.#reply = reply
    this.#arrival = arrival
    this.#generation = reply.generation
    this.#sender = flow.daddr
    this.#target = flow.saddr
    this.#tos = tos
    this.#ttl = ttl
    this.#out = reply.device
    this.#mtu = reply.mtu
    this.#fixedSum = pseudoHeaderSum(flow.daddr, flow.saddr, IpProtocol.ICMP, 0x4500 | tos)
  }

  /** Answers `packet` if it is as predicted. `false`: nothing was done. */
  answer(packet: Packet, device: NetDevice): boolean {
    const reply = this.#reply
    if (reply === null || device !== this.#arrival) return false
    const { bytes, start, end } = packet
    const length = end - start
    const at = start + IPV4_MIN_HEADER
    if (length < IPV4_MIN_HEADER + ICMP_HEADER || length > this.#mtu) return false
    // The words of the header that are not predicted; DF and the reserved flag may be anything.
    const totalLength = (bytes[start + IPV4_TOTAL_LENGTH]! << 8) | bytes[start + IPV4_TOTAL_LENGTH + 1]!
    const id = (bytes[start + IPV4_ID]! << 8) | bytes[start + IPV4_ID + 1]!
    const flags = (bytes[start + IPV4_FLAGS_FRAGMENT]! << 8) | bytes[start + IPV4_FLAGS_FRAGMENT + 1]!
    const ttl = bytes[start + IPV4_TTL]!
    const check = (bytes[start + IPV4_CHECKSUM]! << 8) | bytes[start + IPV4_CHECKSUM + 1]!
    if (
      bytes[start] !== 0x45 ||
      bytes[start + IPV4_TOS] !== this.#tos ||
      bytes[start + IPV4_PROTOCOL] !== IpProtocol.ICMP ||
      readIpv4(bytes, start + IPV4_SOURCE) !== this.#sender ||
      readIpv4(bytes, start + IPV4_DESTINATION) !== this.#target ||
      bytes[at + ICMP_TYPE] !== IcmpType.ECHO ||
      totalLength !== length ||
      (flags & (IPV4_MF | IPV4_OFFSET_MASK)) !== 0 ||
      fold(this.#fixedSum + totalLength + id + flags + (ttl << 8) + check) !== 0xffff ||
      packet.checksum !== Checksum.NONE ||
      packet.type !== PacketType.HOST ||
      packet.destination !== null ||
      packet.mark !== 0 ||
      !packet.writable ||
      device.taps.length > 0 ||
      this.#fib.generation !== this.#generation ||
      (this.#out !== device && this.#out.taps.length > 0) ||
      checksum(bytes, at, end) !== 0
    ) {
      return false
    }
    echoReplyInPlace(bytes, at, end)
    const newId = this.#identification.next(this.#target, this.#sender, IpProtocol.ICMP, this.#time.now)
    const newCheck = ~fold(this.#fixedSum + length + newId + (this.#ttl << 8)) & 0xffff
    bytes[start + IPV4_ID] = newId >>> 8
    bytes[start + IPV4_ID + 1] = newId
    bytes[start + IPV4_FLAGS_FRAGMENT] = bytes[start + IPV4_FLAGS_FRAGMENT + 1] = 0
    bytes[start + IPV4_TTL] = this.#ttl
    bytes[start + IPV4_CHECKSUM] = newCheck >>> 8
    bytes[start + IPV4_CHECKSUM + 1] = newCheck
    writeIpv4(bytes, start + IPV4_SOURCE, this.#target)
    writeIpv4(bytes, start + IPV4_DESTINATION, this.#sender)
    packet.networkHeader = start
    packet.transportHeader = at
    packet.iif = 0
    packet.destination = reply
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
    ipExt[ECN_COUNTER[this.#tos & 3]!]! += n
    icmp[IcmpMib.InMsgs]! += n
    icmp[IcmpMib.OutMsgs]! += n
    icmpMsgIn[IcmpType.ECHO]! += n
    icmpMsgOut[IcmpType.ECHO_REPLY]! += n
    this.#answered = 0
    this.#octets = 0
    this.#discarded = 0
  }
}
