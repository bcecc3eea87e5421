/**
 * ICMP errors that this host sends (RFC 1122 §3.2.2, RFC 1812 §4.3): who may be told, what is quoted, from which
 * address, and how often.
 */
import { isLimitedBroadcast, isMulticast, readIpv4, writeIpv4 } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { IcmpMib } from '../observe/mib.ts'
import { HEADROOM, type Packet, PacketType } from '../packet/packet.ts'
import { Flow4 } from '../route/flow.ts'
import type { Route } from '../route/route.ts'
import { RouteFlag, Scope } from '../route/rtnetlink.ts'
import { checksum } from '../wire/checksum.ts'
import {
  ICMP_CHECKSUM,
  ICMP_CODE,
  ICMP_GATEWAY,
  ICMP_HEADER,
  ICMP_TYPE,
  isIcmpQuery,
} from '../wire/icmpv4.ts'
import {
  IPV4_DESTINATION,
  IPV4_FLAGS_FRAGMENT,
  IPV4_MIN_HEADER,
  IPV4_OFFSET_MASK,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOS,
  IpProtocol,
} from '../wire/ipv4.ts'
import { pushIpv4Header } from './header.ts'
import type { Ipv4 } from './ipv4.ts'

/** An error is no longer than this, so that it passes every path whole (RFC 1812 §4.3.2.3). */
const MAX_ERROR = 576
/** Precedence of what keeps the network running (RFC 1812 §4.3.2.5). */
const INTERNETWORK_CONTROL = 0xc0
/** 192.0.0.8: the source where this host has no address at all (RFC 7600 §3.2, Linux's INADDR_DUMMY). */
const DUMMY_ADDRESS = 0xc0000008 | 0

export class IcmpErrors {
  readonly #ip: Ipv4
  readonly #flow = new Flow4()

  constructor(ip: Ipv4) {
    this.#ip = ip
  }

  send(about: Packet, type: number, code: number, info: number): void {
    const { ctx, rateLimit, options, output } = this.#ip
    const { mib, routing, sysctl } = ctx
    const { bytes, networkHeader: header } = about
    const decision = about.destination as Route | null
    if (decision === null || !this.#mayAnswer(about, decision)) return
    const arrival = about.device as NetDevice | null
    if (!(arrival?.isLoopback ?? false) && !rateLimit.allowGlobal(type, code)) return

    const sender = readIpv4(bytes, header + IPV4_SOURCE)
    const flow = this.#flow
    flow.reset()
    flow.daddr = sender
    if ((decision.flags & RouteFlag.LOCAL) !== 0) flow.saddr = readIpv4(bytes, header + IPV4_DESTINATION)
    else if (decision.isInput && sysctl.ipv4.icmp_errors_use_inbound_ifaddr !== 0) {
      const inbound = ctx.devices.byIndex(about.iif)
      if (inbound !== undefined) flow.saddr = routing.addresses.selectSource(inbound, sender, Scope.LINK)
    }
    const tos = (bytes[header + IPV4_TOS]! & 0x1e) | INTERNETWORK_CONTROL
    flow.tos = tos & 0xfc
    flow.protocol = IpProtocol.ICMP
    flow.mark = sysctl.ipv4.fwmark_reflect !== 0 ? about.mark : 0
    const route = routing.output(flow)
    // RFC 1122 §3.2.2: never to a broadcast or multicast address.
    if (route === null || (route.flags & (RouteFlag.BROADCAST | RouteFlag.MULTICAST)) !== 0) return
    if (!rateLimit.allowDestination(sender, route, type, code)) return

    const headerLength = (bytes[header]! & 15) << 2
    const replyOptions = headerLength === IPV4_MIN_HEADER ? 0 : options.echo(about)
    if (replyOptions < 0) return
    const room = Math.min(route.mtu, MAX_ERROR) - IPV4_MIN_HEADER - replyOptions - ICMP_HEADER
    if (room <= IPV4_MIN_HEADER) return
    const quoted = Math.min(about.length, room)
    const error = ctx.pool.allocate(ICMP_HEADER + quoted, HEADROOM)
    if (error === null) {
      mib.icmp[IcmpMib.OutErrors]!++
      return
    }
    const at = error.put(ICMP_HEADER + quoted)
    const to = error.bytes
    to[at + ICMP_TYPE] = type
    to[at + ICMP_CODE] = code
    to[at + ICMP_CHECKSUM] = to[at + ICMP_CHECKSUM + 1] = 0
    writeIpv4(to, at + ICMP_GATEWAY, info)
    quote(about, to, at + ICMP_HEADER, quoted)
    if (headerLength > IPV4_MIN_HEADER) options.restoreQuote(about, to, at + ICMP_HEADER, quoted)
    const check = checksum(to, at, error.end)
    to[at + ICMP_CHECKSUM] = check >>> 8
    to[at + ICMP_CHECKSUM + 1] = check

    const source = flow.saddr !== 0 ? flow.saddr : DUMMY_ADDRESS
    const id = this.#ip.identification.next(source, sender, IpProtocol.ICMP, ctx.now)
    const ttl = this.#ip.defaultTtl(route)
    pushIpv4Header(error, source, sender, IpProtocol.ICMP, tos, ttl, id, 0, replyOptions)
    if (replyOptions !== 0) options.build(error, source, sender)
    error.mark = flow.mark
    mib.icmp[IcmpMib.OutMsgs]!++
    mib.icmpMsgOut[type]!++
    output.sendLocal(error, route)
  }

  /** The cases in which RFC 1122 §3.2.2 forbids an error. */
  #mayAnswer(about: Packet, decision: Route): boolean {
    const { bytes, networkHeader: header } = about
    if (about.type !== PacketType.HOST && about.type !== PacketType.OUTGOING) return false
    if ((decision.flags & (RouteFlag.BROADCAST | RouteFlag.MULTICAST)) !== 0) return false
    const fragment = (bytes[header + IPV4_FLAGS_FRAGMENT]! << 8) | bytes[header + IPV4_FLAGS_FRAGMENT + 1]!
    if ((fragment & IPV4_OFFSET_MASK) !== 0) return false
    const sender = readIpv4(bytes, header + IPV4_SOURCE)
    if (sender === 0 || isMulticast(sender) || isLimitedBroadcast(sender)) return false
    const destination = readIpv4(bytes, header + IPV4_DESTINATION)
    if (isMulticast(destination) || isLimitedBroadcast(destination)) return false
    if (bytes[header + IPV4_PROTOCOL] === IpProtocol.ICMP) {
      const inner = header + ((bytes[header]! & 15) << 2)
      if (inner >= about.end) return false
      if (!isIcmpQuery(bytes[inner + ICMP_TYPE]!)) return false
    }
    return true
  }
}

/** Copies the first `length` bytes of the datagram, its body included. */
function quote(about: Packet, to: Uint8Array, at: number, length: number): void {
  const head = Math.min(length, about.end - about.networkHeader)
  to.set(about.bytes.subarray(about.networkHeader, about.networkHeader + head), at)
  if (about.body !== null && length > head) to.set(about.body.subarray(0, length - head), at + head)
}
