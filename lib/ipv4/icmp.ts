/**
 * ICMP input (RFC 792, RFC 1122 §3.2.2): a message is checked, counted, and given to who deals with its type.
 * The order of checks and counters is that of Linux's `icmp_rcv`.
 */
import type { NetDevice } from '../device/net-device.ts'
import { IcmpMib } from '../observe/mib.ts'
import { completeChecksum } from '../packet/complete-checksum.ts'
import { Checksum, type Packet } from '../packet/packet.ts'
import type { Route } from '../route/route.ts'
import { RouteFlag } from '../route/rtnetlink.ts'
import { checksum } from '../wire/checksum.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { ICMP_CODE, ICMP_HEADER, ICMP_TYPE, IcmpType, LAST_ICMP_TYPE } from '../wire/icmpv4.ts'
import type { IcmpErrorInfo, TransportProtocol } from './context.ts'
import { IcmpErrors } from './icmp-errors.ts'
import { IcmpReplies } from './icmp-replies.ts'
import { IcmpReports } from './icmp-reports.ts'
import type { Ipv4 } from './ipv4.ts'

/** RFC 8335, PROBE. */
const EXTENDED_ECHO = 42
const EXTENDED_ECHO_REPLY = 43

export class Icmp implements TransportProtocol {
  /** Who gets echo replies, and errors about echo requests: the ping endpoints; `null` while there are none. */
  echoReplies: TransportProtocol | null = null
  /** Who gets echo requests before this host answers them; `true`: it has taken what it needs, and answers itself. */
  echoRequests: ((packet: Packet) => boolean) | null = null
  readonly #ip: Ipv4
  readonly #replies: IcmpReplies
  readonly #reports: IcmpReports
  readonly #errors: IcmpErrors

  constructor(ip: Ipv4) {
    this.#ip = ip
    this.#replies = new IcmpReplies(ip)
    this.#reports = new IcmpReports(ip)
    this.#errors = new IcmpErrors(ip)
  }

  receive(packet: Packet): void {
    const { ctx } = this.#ip
    const { mib } = ctx
    const device = packet.device as NetDevice
    mib.icmp[IcmpMib.InMsgs]!++
    const { bytes, transportHeader: at, end } = packet
    if (packet.checksum === Checksum.PARTIAL) completeChecksum(packet)
    else if (packet.checksum === Checksum.NONE && checksum(bytes, at, end) !== 0) {
      mib.icmp[IcmpMib.InCsumErrors]!++
      return this.#error(packet, DropReason.ICMP_CSUM, device)
    }
    if (end - at < ICMP_HEADER) return this.#error(packet, DropReason.PKT_TOO_SMALL, device)
    const type = bytes[at + ICMP_TYPE]!
    mib.icmpMsgIn[type]!++
    if (type === EXTENDED_ECHO) return ctx.consume(packet) // never answered: `icmp_echo_enable_probe` is off

    const route = packet.destination as Route
    if ((route.flags & (RouteFlag.BROADCAST | RouteFlag.MULTICAST)) !== 0) {
      // RFC 1122 §3.2.2.6 and §3.2.2.8 leave it to us; amplification decides (CVE-1999-0513).
      const ignored = ctx.sysctl.ipv4.icmp_echo_ignore_broadcasts !== 0
      if ((type === IcmpType.ECHO || type === IcmpType.TIMESTAMP) && ignored) {
        return this.#error(packet, DropReason.INVALID_PROTO, device)
      }
      if (
        type !== IcmpType.ECHO &&
        type !== IcmpType.TIMESTAMP &&
        type !== IcmpType.ADDRESS_MASK &&
        type !== IcmpType.ADDRESS_MASK_REPLY
      ) {
        return this.#error(packet, DropReason.INVALID_PROTO, device)
      }
    }
    if (type === EXTENDED_ECHO_REPLY) return ctx.drop(packet, DropReason.NO_SOCKET, device)
    if (type > LAST_ICMP_TYPE) return this.#error(packet, DropReason.UNHANDLED_PROTO, device)

    switch (type) {
      case IcmpType.ECHO:
        if (this.echoRequests?.(packet) === true) return ctx.consume(packet)
        return this.#replies.echo(packet, route, device)
      case IcmpType.ECHO_REPLY:
        if (this.echoReplies === null) return ctx.drop(packet, DropReason.NO_SOCKET, device)
        return this.echoReplies.receive(packet)
      case IcmpType.TIMESTAMP:
        return this.#replies.timestamp(packet, route, device)
      case IcmpType.DEST_UNREACH:
      case IcmpType.TIME_EXCEEDED:
      case IcmpType.PARAMETER_PROBLEM:
      case IcmpType.SOURCE_QUENCH:
        return this.#reports.receive(packet, device)
      case IcmpType.REDIRECT:
        return this.#reports.receiveRedirect(packet, device)
      default:
        // Replies nobody asked for, and requests that a host has no business answering (RFC 1122 §3.2.2.7, §3.2.2.9).
        return ctx.consume(packet)
    }
  }

  /** An error about an ICMP message of ours: a ping endpoint's request, or a reply that this host sent. */
  receiveError(
    bytes: Uint8Array,
    quote: number,
    headerLength: number,
    end: number,
    error: IcmpErrorInfo,
  ): void {
    const at = quote + headerLength
    if (bytes[at + ICMP_TYPE] === IcmpType.ECHO_REPLY) {
      this.#reports.learn(bytes, quote, error)
      return
    }
    if (bytes[at + ICMP_TYPE] !== IcmpType.ECHO || bytes[at + ICMP_CODE] !== 0) return
    this.echoReplies?.receiveError(bytes, quote, headerLength, end, error)
  }

  /**
   * Tells the sender of `packet` what became of it, unless RFC 1122 §3.2.2 or a rate limit forbids. `info` is the
   * second word of the message: the next-hop MTU, the gateway, or the pointer in the top byte. The packet stays
   * the caller's.
   */
  sendError(packet: Packet, type: number, code: number, info: number): void {
    this.#errors.send(packet, type, code, info)
  }

  /**
   * For a protocol that has recognised the quoted packet as its own: keeps the path MTU, or the better gateway, that
   * the error tells of.
   */
  learnPathMtu(bytes: Uint8Array, quote: number, error: IcmpErrorInfo): void {
    this.#reports.learn(bytes, quote, error)
  }

  #error(packet: Packet, reason: number, device: NetDevice): void {
    const { ctx } = this.#ip
    ctx.mib.icmp[IcmpMib.InErrors]!++
    ctx.drop(packet, reason, device)
  }
}
