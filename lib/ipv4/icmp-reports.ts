/**
 * ICMP errors that this host receives (RFC 1122 §3.2.2.1 to §3.2.2.5): each is handed to the protocol whose
 * packet it quotes, and what it teaches about the path is kept, within bounds: a path MTU is only ever lowered,
 * never below `min_pmtu`, and a redirect counts only from the gateway in use (RFC 1122 §3.2.2.2).
 */
import {
  type Ipv4Address,
  isLimitedBroadcast,
  isMulticast,
  isZeronet,
  readIpv4,
} from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import { IcmpMib } from '../observe/mib.ts'
import type { Packet } from '../packet/packet.ts'
import { Flow4 } from '../route/flow.ts'
import { RouteType } from '../route/rtnetlink.ts'
import { DropReason } from '../wire/drop-reason.ts'
import {
  ICMP_CODE,
  ICMP_GATEWAY,
  ICMP_HEADER,
  ICMP_MTU,
  ICMP_POINTER,
  ICMP_TYPE,
  IcmpType,
  TimeExceededCode,
  UnreachableCode,
} from '../wire/icmpv4.ts'
import {
  IPV4_DESTINATION,
  IPV4_MIN_HEADER,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOS,
  IpProtocol,
} from '../wire/ipv4.ts'
import type { IcmpErrorInfo } from './context.ts'
import type { Ipv4 } from './ipv4.ts'

/** Errno and finality of each code of Destination Unreachable, as Linux's `icmp_err_convert`. */
const UNREACHABLE: readonly (readonly [errno: number, fatal: boolean])[] = [
  [Errno.ENETUNREACH, false],
  [Errno.EHOSTUNREACH, false],
  [Errno.ENOPROTOOPT, true],
  [Errno.ECONNREFUSED, true],
  [Errno.EMSGSIZE, false],
  [Errno.EOPNOTSUPP, false],
  [Errno.ENETUNREACH, true],
  [Errno.EHOSTDOWN, true],
  [Errno.ENONET, true],
  [Errno.ENETUNREACH, true],
  [Errno.EHOSTUNREACH, true],
  [Errno.ENETUNREACH, false],
  [Errno.EHOSTUNREACH, false],
  [Errno.EHOSTUNREACH, true],
  [Errno.EHOSTUNREACH, true],
  [Errno.EHOSTUNREACH, true],
]

export class IcmpReports {
  readonly #ip: Ipv4
  readonly #flow = new Flow4()
  /** The device that the redirect in hand came by. */
  #arrival: NetDevice | null = null
  readonly #error: IcmpErrorInfo = {
    type: 0,
    code: 0,
    info: 0,
    errno: 0,
    fatal: false,
    reporter: 0,
    arrival: 0,
  }

  constructor(ip: Ipv4) {
    this.#ip = ip
  }

  /** Destination unreachable, time exceeded, parameter problem, source quench. */
  receive(packet: Packet, device: NetDevice): void {
    const { ctx } = this.#ip
    const { bytes, transportHeader: at, end } = packet
    const quote = at + ICMP_HEADER
    if (end - quote < IPV4_MIN_HEADER) return this.#malformed(packet, DropReason.NOT_SPECIFIED, device)
    const headerLength = (bytes[quote]! & 15) << 2
    if (headerLength < IPV4_MIN_HEADER) return this.#malformed(packet, DropReason.IP_INHDR, device)

    const error = this.#error
    error.type = bytes[at + ICMP_TYPE]!
    error.code = bytes[at + ICMP_CODE]!
    error.info = 0
    error.errno = Errno.EPROTO
    error.fatal = false
    error.reporter = readIpv4(bytes, packet.networkHeader + IPV4_SOURCE)
    switch (error.type) {
      case IcmpType.DEST_UNREACH: {
        const known = UNREACHABLE[error.code]
        if (known === undefined) return ctx.consume(packet)
        error.errno = known[0]
        error.fatal = known[1]
        if (error.code === UnreachableCode.FRAG_NEEDED) {
          // 2: not listened to. 3: only from who can be believed, since the quote holds a sequence number
          // (RFC 5927 §7.2). 1: that it was too big is believed, how big it may be is not.
          const discovery = ctx.sysctl.ipv4.ip_no_pmtu_disc
          const checked = discovery === 3 && bytes[quote + IPV4_PROTOCOL] === IpProtocol.TCP
          if (discovery === 2 || (discovery === 3 && !checked)) return ctx.consume(packet)
          if (discovery === 0 || checked)
            error.info = (bytes[at + ICMP_MTU]! << 8) | bytes[at + ICMP_MTU + 1]!
        }
        break
      }
      case IcmpType.PARAMETER_PROBLEM:
        error.info = bytes[at + ICMP_POINTER]!
        error.fatal = true
        break
      case IcmpType.TIME_EXCEEDED:
        if (error.code === TimeExceededCode.REASSEMBLY) return ctx.consume(packet)
        error.errno = Errno.EHOSTUNREACH
        break
      default: // source quench: RFC 6633 says to ignore it; the protocols get to see that it came
        error.errno = 0
    }
    this.#deliver(packet, quote, headerLength)
    ctx.consume(packet)
  }

  /** Redirect: what it says is learnt, if a protocol knows the quoted packet and the gateway in use says so. */
  receiveRedirect(packet: Packet, device: NetDevice): void {
    const { ctx } = this.#ip
    const { bytes, transportHeader: at, end } = packet
    const quote = at + ICMP_HEADER
    if (end - quote < IPV4_MIN_HEADER) return this.#malformed(packet, DropReason.PKT_TOO_SMALL, device)
    const headerLength = (bytes[quote]! & 15) << 2
    if (headerLength < IPV4_MIN_HEADER) {
      // Linux lets the protocol look for an endpoint all the same, and only UDP and TCP complain that there is none.
      const protocol = bytes[quote + IPV4_PROTOCOL]
      const complains = protocol === IpProtocol.UDP || protocol === IpProtocol.TCP
      if (complains || end - quote < headerLength + 8) ctx.mib.icmp[IcmpMib.InErrors]!++
      return ctx.consume(packet)
    }
    const error = this.#error
    error.type = IcmpType.REDIRECT
    error.code = bytes[at + ICMP_CODE]!
    error.info = readIpv4(bytes, at + ICMP_GATEWAY)
    error.errno = 0 // nothing failed
    error.fatal = false
    error.reporter = readIpv4(bytes, packet.networkHeader + IPV4_SOURCE)
    this.#arrival = device
    this.#deliver(packet, quote, headerLength)
    ctx.consume(packet)
  }

  /** Learns path MTU or gateway from an error whose quote a protocol has accepted as its own (RFC 5927 §4). */
  learn(bytes: Uint8Array, quote: number, error: IcmpErrorInfo): void {
    if (error.type === IcmpType.REDIRECT) return this.#redirect(bytes, quote, error)
    if (error.type !== IcmpType.DEST_UNREACH || error.code !== UnreachableCode.FRAG_NEEDED) return
    const flow = this.#quotedFlow(bytes, quote)
    // The quoted packet must have been ours.
    if (this.#ip.ctx.routing.addresses.deviceOf(flow.saddr) === null) {
      if (this.#ip.ctx.routing.fib.addressType(flow.saddr) !== RouteType.LOCAL) return
    }
    this.#ip.ctx.routing.learnPathMtu(flow, error.info)
  }

  #deliver(packet: Packet, quote: number, headerLength: number): void {
    const { ctx, protocols, raw } = this.#ip
    const { bytes, end } = packet
    if (end - quote < headerLength + 8) {
      ctx.mib.icmp[IcmpMib.InErrors]!++
      return
    }
    this.#error.arrival = packet.iif
    raw?.receiveError(bytes, quote, this.#error)
    const protocol = protocols[bytes[quote + IPV4_PROTOCOL]!]
    protocol?.receiveError(bytes, quote, headerLength, end, this.#error)
  }

  #quotedFlow(bytes: Uint8Array, quote: number): Flow4 {
    const flow = this.#flow
    flow.reset()
    flow.daddr = readIpv4(bytes, quote + IPV4_DESTINATION)
    flow.saddr = readIpv4(bytes, quote + IPV4_SOURCE)
    flow.tos = bytes[quote + IPV4_TOS]! & 0xfc
    flow.protocol = bytes[quote + IPV4_PROTOCOL]!
    return flow
  }

  #redirect(bytes: Uint8Array, quote: number, { code, info, reporter }: IcmpErrorInfo): void {
    const { routing, sysctl } = this.#ip.ctx
    const device = this.#arrival!
    const gateway: Ipv4Address = info
    const conf = sysctl.conf(device.ifindex)
    if ((code & 7) > 3) return // network, host, and both for a type of service; Linux looks at three bits
    if (gateway === reporter || !conf.acceptRedirects) return
    if (isMulticast(gateway) || isLimitedBroadcast(gateway) || isZeronet(gateway)) return
    const flow = this.#quotedFlow(bytes, quote)
    if (routing.addresses.deviceOf(flow.saddr) === null) return
    const destination = flow.daddr
    const route = routing.output(flow)
    if (route === null || route.nexthop === null || route.device !== device) return
    if (route.gateway !== reporter) return // only the gateway in use may say so (RFC 1122 §3.2.2.2)
    if (conf.sharedMedia) {
      if (routing.fib.addressType(gateway) !== RouteType.UNICAST) return
    } else if (!routing.addresses.isOnLink(device, gateway, reporter)) return
    else if (conf.secureRedirects && !routing.fib.isGateway(gateway, device)) return
    routing.learnRedirect(route.nexthop, destination, gateway)
  }

  #malformed(packet: Packet, reason: number, device: NetDevice): void {
    this.#ip.ctx.mib.icmp[IcmpMib.InErrors]!++
    this.#ip.ctx.drop(packet, reason, device)
  }
}
