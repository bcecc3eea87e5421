/**
 * Echo and timestamp replies (RFC 792; RFC 1122 §3.2.2.6, §3.2.2.8). A request that nobody shares is turned
 * round where it lies: type, checksum and IP header are rewritten, the data is not touched, nothing is allocated.
 */
import { readIpv4 } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { IcmpMib } from '../observe/mib.ts'
import { Checksum, HEADROOM, type Packet } from '../packet/packet.ts'
import { Flow4 } from '../route/flow.ts'
import type { Route } from '../route/route.ts'
import { RouteHint } from '../route/route-hint.ts'
import { RouteFlag } from '../route/rtnetlink.ts'
import { checksum } from '../wire/checksum.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { ICMP_CHECKSUM, ICMP_CODE, ICMP_HEADER, ICMP_TYPE, IcmpType } from '../wire/icmpv4.ts'
import { IPV4_DESTINATION, IPV4_MIN_HEADER, IPV4_SOURCE, IPV4_TOS, IpProtocol } from '../wire/ipv4.ts'
import { echoReplyInPlace } from './echo-reply.ts'
import { pushIpv4Header } from './header.ts'
import type { Ipv4 } from './ipv4.ts'

/** Originate, receive and transmit timestamps of 4 bytes each. */
const TIMESTAMPS = 12

export class IcmpReplies {
  readonly #ip: Ipv4
  readonly #flow = new Flow4()
  readonly #source = new Flow4()
  readonly #hint = new RouteHint()

  constructor(ip: Ipv4) {
    this.#ip = ip
  }

  echo(packet: Packet, route: Route, device: NetDevice): void {
    const { ctx } = this.#ip
    if (ctx.sysctl.ipv4.icmp_echo_ignore_all !== 0) return ctx.consume(packet)
    const reply = this.#writable(packet, device)
    if (reply === null) return
    echoReplyInPlace(reply.bytes, reply.transportHeader, reply.end)
    this.#turnRound(reply, route, device, IcmpType.ECHO_REPLY)
  }

  timestamp(packet: Packet, route: Route, device: NetDevice): void {
    const { ctx } = this.#ip
    if (packet.end - packet.transportHeader < ICMP_HEADER + 4) {
      ctx.mib.icmp[IcmpMib.InErrors]!++
      return ctx.drop(packet, DropReason.PKT_TOO_SMALL, device)
    }
    const reply = this.#writable(packet, device)
    if (reply === null) return
    const { bytes, transportHeader: at } = reply
    reply.end = at + ICMP_HEADER + 4
    reply.put(TIMESTAMPS - 4)
    const now = ctx.millisecondsOfDay()
    for (let field = 1; field <= 2; field++) {
      const to = at + ICMP_HEADER + 4 * field
      bytes[to] = now >>> 24
      bytes[to + 1] = now >>> 16
      bytes[to + 2] = now >>> 8
      bytes[to + 3] = now
    }
    bytes[at + ICMP_TYPE] = IcmpType.TIMESTAMP_REPLY
    bytes[at + ICMP_CODE] = 0
    bytes[at + ICMP_CHECKSUM] = bytes[at + ICMP_CHECKSUM + 1] = 0
    const check = checksum(bytes, at, reply.end)
    bytes[at + ICMP_CHECKSUM] = check >>> 8
    bytes[at + ICMP_CHECKSUM + 1] = check
    this.#turnRound(reply, route, device, IcmpType.TIMESTAMP_REPLY)
  }

  /** The packet itself if its bytes are its own, else a copy. */
  #writable(packet: Packet, device: NetDevice): Packet | null {
    if (packet.writable) return packet
    const copy = packet.pool.copy(packet, HEADROOM)
    if (copy === null) {
      this.#ip.ctx.mib.icmp[IcmpMib.OutErrors]!++
      this.#ip.ctx.drop(packet, DropReason.NOMEM, device)
      return null
    }
    this.#ip.options.moved(packet, copy)
    packet.free()
    return copy
  }

  /** Sends the message in `packet` back to its sender, under a fresh IP header. */
  #turnRound(packet: Packet, received: Route, device: NetDevice, type: number): void {
    const { ctx, echoes, output, rateLimit, options } = this.#ip
    const { mib, routing, sysctl } = ctx
    if (!rateLimit.allowGlobal(type, 0)) return ctx.consume(packet)
    const header = packet.networkHeader
    const { bytes } = packet
    const sender = readIpv4(bytes, header + IPV4_SOURCE)
    const target = readIpv4(bytes, header + IPV4_DESTINATION)
    const tos = bytes[header + IPV4_TOS]!
    const optionsLength = packet.transportHeader - header - IPV4_MIN_HEADER
    const replyOptions = optionsLength === 0 ? 0 : options.echo(packet)
    if (replyOptions < 0) return ctx.consume(packet)

    const from = this.#source
    from.reset()
    from.daddr = sender
    const source = routing.specificDestination(received, target, from, device)
    const flow = this.#flow
    flow.reset()
    flow.daddr = sender
    flow.saddr = source
    flow.tos = tos & 0xfc
    flow.protocol = IpProtocol.ICMP
    flow.mark = sysctl.ipv4.fwmark_reflect !== 0 ? packet.mark : 0
    let route = this.#hint.find(routing, flow, null)
    const known = route !== null
    if (route === null) {
      route = routing.output(flow)
      if (route !== null) this.#hint.keep(routing, flow, null, route)
    }
    // Nobody to tell: as Linux, without a word (the source of the request has no way back). And unlike Linux no
    // reply to many: a source that is a broadcast address is an attack (RFC 1122 §3.2.1.3, RFC 2644).
    if (route === null || (route.flags & (RouteFlag.BROADCAST | RouteFlag.MULTICAST)) !== 0) {
      return ctx.consume(packet)
    }
    if (!rateLimit.allowDestination(sender, route, type, 0)) return ctx.consume(packet)

    packet.start = packet.transportHeader
    packet.mark = flow.mark
    packet.checksum = Checksum.NONE
    packet.iif = 0
    packet.fragMaxSize = 0
    const id = this.#ip.identification.next(flow.saddr, sender, IpProtocol.ICMP, ctx.now)
    const ttl = this.#ip.defaultTtl(route)
    pushIpv4Header(packet, flow.saddr, sender, IpProtocol.ICMP, tos, ttl, id, 0, replyOptions)
    if (replyOptions !== 0) options.build(packet, flow.saddr, sender)
    mib.icmp[IcmpMib.OutMsgs]!++
    mib.icmpMsgOut[type]!++
    // Both decisions were kept for the flow: the next request may be predicted.
    if (known && type === IcmpType.ECHO_REPLY && optionsLength === 0 && source === target) {
      echoes.predict(received, device, flow, tos, ttl, route)
    }
    output.sendLocal(packet, route)
  }
}
