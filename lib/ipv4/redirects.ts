/**
 * ICMP redirects that a router sends (RFC 1812 §5.2.7.2): the sender is on the same link as the better first
 * hop. Paced per sender as Linux does (`ip_rt_send_redirect`): the pause doubles with each one that is ignored,
 * after `redirect_number` of them there is silence until `redirect_silence` has passed.
 */
import { readIpv4 } from '../address/ipv4-address.ts'
import type { Packet } from '../packet/packet.ts'
import type { Route } from '../route/route.ts'
import { MILLISECOND } from '../time/clock.ts'
import { IcmpType, RedirectCode } from '../wire/icmpv4.ts'
import { IPV4_DESTINATION, IPV4_SOURCE } from '../wire/ipv4.ts'
import type { Ipv4 } from './ipv4.ts'

/** Senders remembered; the one heard of first makes room. */
const MAX_PEERS = 1024

interface Peer {
  sent: number
  /** Stack time in nanoseconds. */
  last: number
}

export class Redirects {
  readonly #ip: Ipv4
  readonly #peers = new Map<number, Peer>()
  readonly #blind: number

  constructor(ip: Ipv4) {
    this.#ip = ip
    this.#blind = ip.ctx.random.int32() // the wire chooses the keys, so it must not know how they hash
  }

  /** Tells the sender of `packet` that `route`'s next hop would have been the better choice. */
  send(packet: Packet, route: Route): void {
    const { ctx, icmp } = this.#ip
    const { sysctl, now } = ctx
    if (!sysctl.conf(route.device.ifindex).sendRedirects) return
    const { redirect_load, redirect_number, redirect_silence } = sysctl.route
    const peer = this.#peer(readIpv4(packet.bytes, packet.networkHeader + IPV4_SOURCE))
    const pause = now - peer.last
    if (pause > redirect_silence * MILLISECOND) peer.sent = 0
    if (peer.sent >= redirect_number) {
      peer.last = now
      return
    }
    if (peer.sent !== 0 && pause <= redirect_load * 2 ** peer.sent * MILLISECOND) return
    peer.last = now
    peer.sent++
    const destination = readIpv4(packet.bytes, packet.networkHeader + IPV4_DESTINATION)
    icmp.sendError(
      packet,
      IcmpType.REDIRECT,
      RedirectCode.HOST,
      route.gateway !== 0 ? route.gateway : destination,
    )
  }

  #peer(address: number): Peer {
    const key = address ^ this.#blind
    let peer = this.#peers.get(key)
    if (peer === undefined) {
      if (this.#peers.size >= MAX_PEERS) {
        for (const first of this.#peers.keys()) {
          this.#peers.delete(first)
          break
        }
      }
      peer = { sent: 0, last: -Infinity }
      this.#peers.set(key, peer)
    }
    return peer
  }
}
