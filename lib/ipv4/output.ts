/**
 * IPv4 output: the last steps of every packet that leaves, whoever made it. A copy comes back to this host if
 * it listens to what it broadcasts; what is larger than the MTU is cut up, or refused where it must not be. What
 * the device can't do (checksums, segmentation) is left open here: the device layer does it last.
 */

import { Errno } from '../errors.ts'
import { IpExtMib, IpMib } from '../observe/mib.ts'
import { Segmenter, wireLength } from '../offload/segmenter.ts'
import { completeChecksum } from '../packet/complete-checksum.ts'
import { Checksum, HEADROOM, type Packet, PacketType } from '../packet/packet.ts'
import type { Route } from '../route/route.ts'
import { RouteFlag, RouteType } from '../route/rtnetlink.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { IcmpType, UnreachableCode } from '../wire/icmpv4.ts'
import { IPV4_DF, IPV4_FLAGS_FRAGMENT, IPV4_TOTAL_LENGTH, IPV4_TTL } from '../wire/ipv4.ts'
import { type FragmentSink, fragmentPacket } from './fragment.ts'
import { updateHeaderChecksum } from './header.ts'
import type { Ipv4 } from './ipv4.ts'

export class Ipv4Output implements FragmentSink {
  readonly #ip: Ipv4
  /** Where the fragments of the packet in hand go. */
  #route: Route | null = null
  /** Cuts what is to be fragmented afterwards; made when first needed. */
  #segmenter: Segmenter | null = null

  constructor(ip: Ipv4) {
    this.#ip = ip
  }

  /**
   * Sends a packet that this host made (`ip_local_out`). Its header is complete but for total length and
   * checksum; the packet is taken over. 0, or a positive errno.
   */
  sendLocal(packet: Packet, route: Route): number {
    const { bytes, networkHeader } = packet
    const { mib } = this.#ip.ctx
    mib.ip[IpMib.OutRequests]!++
    const { length } = packet
    bytes[networkHeader + IPV4_TOTAL_LENGTH] = length >>> 8
    bytes[networkHeader + IPV4_TOTAL_LENGTH + 1] = length
    updateHeaderChecksum(bytes, networkHeader, (bytes[networkHeader]! & 15) << 2)
    const errno = this.send(packet, route, route.mtu)
    if (errno !== 0) mib.ip[IpMib.OutDiscards]!++
    return errno
  }

  /** Sends a packet along `route` in pieces of at most `mtu` bytes (`ip_output`). 0, or a positive errno. */
  send(packet: Packet, route: Route, mtu: number): number {
    const { ctx } = this.#ip
    const { flags } = route
    packet.destination = route
    if ((flags & (RouteFlag.MULTICAST | RouteFlag.BROADCAST)) !== 0 && !route.isInput) {
      if ((flags & RouteFlag.LOCAL) !== 0 && !route.device.isLoopback) this.#loopBack(packet, route)
      // A group datagram with TTL 0 stays on this host (RFC 1112 §6.1).
      if ((flags & RouteFlag.MULTICAST) !== 0 && packet.bytes[packet.networkHeader + IPV4_TTL] === 0) {
        ctx.consume(packet)
        return 0
      }
    }
    if (packet.length > mtu) {
      if (packet.gsoSize === 0) return this.#fragment(packet, route, mtu)
      if (wireLength(packet) > mtu) return this.#segment(packet, route, mtu)
    }
    return this.#transmit(packet, route)
  }

  /** A piece of the packet in hand. */
  fragment(packet: Packet): void {
    this.#transmit(packet, this.#route!)
  }

  /**
   * A super-segment whose segments are too large: it is cut first, then each segment is fragmented or, with DF,
   * refused (`ip_finish_output_gso`). 0, or the errno of the first segment that failed.
   */
  #segment(packet: Packet, route: Route, mtu: number): number {
    const { ctx } = this.#ip
    const segmenter = (this.#segmenter ??= new Segmenter())
    if (!segmenter.begin(packet, true)) {
      ctx.drop(packet, DropReason.SKB_GSO_SEG, route.device)
      return Errno.ENOMEM
    }
    let errno = 0
    while (segmenter.packet !== null) {
      const segment = segmenter.next()
      if (segment === null) {
        segmenter.forget()
        ctx.drop(packet, DropReason.NOMEM, route.device)
        return Errno.ENOMEM
      }
      const failed = this.#fragment(segment, route, mtu)
      if (errno === 0) errno = failed
    }
    packet.free()
    return errno
  }

  #fragment(packet: Packet, route: Route, mtu: number): number {
    const { ctx, icmp } = this.#ip
    const { bytes, networkHeader } = packet
    const dontFragment = (bytes[networkHeader + IPV4_FLAGS_FRAGMENT]! & (IPV4_DF >>> 8)) !== 0
    if (dontFragment && (!packet.ignoreDf || packet.fragMaxSize > mtu)) {
      ctx.mib.ip[IpMib.FragFails]!++
      icmp.sendError(packet, IcmpType.DEST_UNREACH, UnreachableCode.FRAG_NEEDED, mtu)
      ctx.drop(packet, DropReason.PKT_TOO_BIG, route.device)
      return Errno.EMSGSIZE
    }
    // A checksum over the whole datagram can't be left to a device that sees only pieces.
    if (packet.checksum === Checksum.PARTIAL) completeChecksum(packet)
    this.#route = route
    return fragmentPacket(packet, mtu, ctx, this)
  }

  #transmit(packet: Packet, route: Route): number {
    const { device, type } = route
    const { mib } = this.#ip.ctx
    const { length } = packet
    // Here, behind fragmentation: what leaves is counted, piece by piece.
    mib.ip[IpMib.OutTransmits]!++
    mib.ipExt[IpExtMib.OutOctets]! += length
    if (type === RouteType.MULTICAST) {
      mib.ipExt[IpExtMib.OutMcastPkts]!++
      mib.ipExt[IpExtMib.OutMcastOctets]! += length
    } else if (type === RouteType.BROADCAST) {
      mib.ipExt[IpExtMib.OutBcastPkts]!++
      mib.ipExt[IpExtMib.OutBcastOctets]! += length
    }
    packet.type = PacketType.OUTGOING
    return device.enqueue(packet) ? 0 : Errno.ENOBUFS
  }

  /** A copy for this host's own ears (`dev_loopback_xmit`): it comes in by the device that the original leaves by. */
  #loopBack(packet: Packet, route: Route): void {
    const copy = packet.pool.copy(packet, HEADROOM)
    if (copy === null) {
      this.#ip.ctx.mib.ip[IpMib.OutDiscards]!++
      return
    }
    copy.destination = route
    copy.type = PacketType.HOST
    if (copy.checksum === Checksum.NONE) copy.checksum = Checksum.UNNECESSARY
    this.#ip.backlog(copy, route.device)
  }
}
