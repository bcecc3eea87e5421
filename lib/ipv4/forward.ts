/**
 * Forwarding (RFC 1812 §5.2), as Linux's `ip_forward` does it: TTL, MTU, redirect, options, out. And the answer
 * to what can't be forwarded because no route leads there.
 */
import { readIpv4 } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import { IpExtMib, IpMib } from '../observe/mib.ts'
import { wireLength } from '../offload/segmenter.ts'
import { HEADROOM, type Packet, PacketType } from '../packet/packet.ts'
import { Flow4 } from '../route/flow.ts'
import type { Route } from '../route/route.ts'
import { updateChecksum16 } from '../wire/checksum.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { IcmpType, TimeExceededCode, UnreachableCode } from '../wire/icmpv4.ts'
import {
  IPV4_CHECKSUM,
  IPV4_DF,
  IPV4_FLAGS_FRAGMENT,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TTL,
} from '../wire/ipv4.ts'
import { CLAMP_TO_PATH, clampMss, mssOfMtu, synHeader } from './clamp-mss.ts'
import type { Ipv4 } from './ipv4.ts'

export class Forwarding {
  readonly #ip: Ipv4
  /** The way back to who has sent a SYN. */
  readonly #back = new Flow4()

  constructor(ip: Ipv4) {
    this.#ip = ip
  }

  /** Sends a packet on along `route`, or tells its sender why not. */
  receive(received: Packet, route: Route, device: NetDevice): void {
    const { ctx, icmp } = this.#ip
    // What came by link-layer broadcast is not forwarded (RFC 1812 §5.3.4).
    if (received.type !== PacketType.HOST) return ctx.drop(received, DropReason.OTHERHOST, device)
    const { bytes, networkHeader } = received
    if (bytes[networkHeader + IPV4_TTL]! <= 1) {
      ctx.mib.ip[IpMib.InHdrErrors]!++
      icmp.sendError(received, IcmpType.TIME_EXCEEDED, TimeExceededCode.TTL, 0)
      return ctx.drop(received, DropReason.IP_TTL, device)
    }
    ctx.mib.ip[IpMib.ForwDatagrams]!++ // as Linux, also what proves to be too big
    const mtu = this.#mtu(route)
    if (received.length > mtu && wireLength(received) > mtu) {
      const dontFragment = (bytes[networkHeader + IPV4_FLAGS_FRAGMENT]! & (IPV4_DF >>> 8)) !== 0
      if (dontFragment && (!received.ignoreDf || received.fragMaxSize > mtu)) {
        ctx.mib.ip[IpMib.FragFails]!++
        icmp.sendError(received, IcmpType.DEST_UNREACH, UnreachableCode.FRAG_NEEDED, mtu)
        return ctx.drop(received, DropReason.PKT_TOO_BIG, device)
      }
    }
    const packet = this.#own(received)
    if (packet === null) {
      ctx.mib.ip[IpMib.InDiscards]!++
      return ctx.drop(received, DropReason.NOMEM, device)
    }
    decreaseTtl(packet.bytes, packet.networkHeader)
    if (device.mssClamp !== 0 || route.device.mssClamp !== 0) this.#clampMss(packet, route, device)
    const redirect = packet.doRedirect && route.device.ifindex === packet.iif
    if (redirect) this.#ip.redirects.send(packet, route)
    this.#ip.options.forward(packet, route)
    this.#ip.output.send(packet, route, mtu)
  }

  /** No route (`ip_error`): the sender hears about it if this host is a router, and within the rate limits. */
  refuse(packet: Packet, route: Route, device: NetDevice): void {
    const { ctx, icmp } = this.#ip
    const { sysctl, mib } = ctx
    if (!sysctl.conf(device.ifindex).forwardingEnabled) {
      if (route.errno === Errno.EHOSTUNREACH) mib.ip[IpMib.InAddrErrors]!++
      else if (route.errno === Errno.ENETUNREACH) mib.ipExt[IpExtMib.InNoRoutes]!++
      return ctx.drop(packet, DropReason.IP_INADDRERRORS, device)
    }
    let code: number
    switch (route.errno) {
      case Errno.EHOSTUNREACH:
        code = UnreachableCode.HOST
        break
      case Errno.ENETUNREACH:
        code = UnreachableCode.NET
        mib.ipExt[IpExtMib.InNoRoutes]!++
        break
      case Errno.EACCES:
        code = UnreachableCode.PACKET_FILTERED
        break
      default:
        return ctx.drop(packet, DropReason.IP_INADDRERRORS, device)
    }
    const source = readIpv4(packet.bytes, packet.networkHeader + IPV4_SOURCE)
    if (this.#ip.rateLimit.allowUnreachable(source)) icmp.sendError(packet, IcmpType.DEST_UNREACH, code, 0)
    ctx.drop(packet, DropReason.IP_INNOROUTES, device)
  }

  /** The learnt path MTU does not bind a router unless it is told to (`ip_forward_use_pmtu`): RFC 1191 is for hosts. */
  #mtu(route: Route): number {
    const learnt = this.#ip.ctx.sysctl.ipv4.ip_forward_use_pmtu !== 0 || route.mtuLocked
    return learnt ? route.mtu : route.configuredMtu
  }

  /** A SYN by way of a device that clamps: its own number, or what the MTUs of both directions leave, whatever is less. */
  #clampMss(packet: Packet, route: Route, from: NetDevice): void {
    const at = synHeader(packet)
    if (at === 0) return
    const { mssClamp } = route.device
    let most = 65535
    if (mssClamp > 0) most = mssClamp
    if (from.mssClamp > 0) most = Math.min(most, from.mssClamp)
    if (mssClamp === CLAMP_TO_PATH || from.mssClamp === CLAMP_TO_PATH) {
      const flow = this.#back.reset()
      flow.daddr = readIpv4(packet.bytes, packet.networkHeader + IPV4_SOURCE)
      const back = this.#ip.ctx.routing.output(flow)
      most = Math.min(most, mssOfMtu(back === null ? route.mtu : Math.min(route.mtu, back.mtu)))
    }
    clampMss(packet, at, most)
  }

  /** The packet, or a copy of it if its bytes are somebody else's too; `null` if memory is short. */
  #own(packet: Packet): Packet | null {
    if (packet.slab.references === 1) return packet
    const copy = packet.pool.copy(packet, HEADROOM)
    if (copy !== null) {
      this.#ip.options.moved(packet, copy)
      packet.free()
    }
    return copy
  }
}

/** RFC 1624: the TTL shares its 16-bit word with the protocol. */
export function decreaseTtl(bytes: Uint8Array, header: number): void {
  const ttl = bytes[header + IPV4_TTL]!
  const protocol = bytes[header + IPV4_PROTOCOL]!
  const check = (bytes[header + IPV4_CHECKSUM]! << 8) | bytes[header + IPV4_CHECKSUM + 1]!
  const updated = updateChecksum16(check, (ttl << 8) | protocol, ((ttl - 1) << 8) | protocol)
  bytes[header + IPV4_TTL] = ttl - 1
  bytes[header + IPV4_CHECKSUM] = updated >>> 8
  bytes[header + IPV4_CHECKSUM + 1] = updated
}
