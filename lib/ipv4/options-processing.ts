/**
 * IP options on the way of a packet: compiled when it comes in, carried on when it is forwarded, answered when
 * it is answered. What they mean is in `options.ts`; here it is decided when to look at them, and for which
 * packet. Source routes are always refused (RFC 7126 §4.3, §4.4).
 */
import { type Ipv4Address, readIpv4 } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { IpMib } from '../observe/mib.ts'
import { HEADROOM, type Packet } from '../packet/packet.ts'
import { Flow4 } from '../route/flow.ts'
import type { Route } from '../route/route.ts'
import { RouteType, Scope } from '../route/rtnetlink.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { IcmpType, ParameterProblemCode } from '../wire/icmpv4.ts'
import { IPV4_DESTINATION, IPV4_MIN_HEADER, IPV4_SOURCE } from '../wire/ipv4.ts'
import type { Ipv4 } from './ipv4.ts'
import { IpOptions, type OptionsHost } from './options.ts'
import { compileOptions, locateOptions, restoreOptions } from './options-compile.ts'
import { forwardOptions } from './options-forward.ts'
import { buildOptions, echoOptions } from './options-reply.ts'

export class OptionsProcessing implements OptionsHost {
  readonly #ip: Ipv4
  readonly #received = new IpOptions()
  readonly #reply = new IpOptions()
  readonly #flow = new Flow4()
  /** The packet that `#received` is about. */
  #packet: Packet | null = null
  #route!: Route
  #device!: NetDevice

  constructor(ip: Ipv4) {
    this.#ip = ip
  }

  /**
   * Compiles the options of a packet that was received and routed. Gives the packet (another one, if its bytes
   * were shared), or `null` if it was dropped.
   */
  receive(received: Packet, device: NetDevice, route: Route): Packet | null {
    const { ctx, icmp } = this.#ip
    const packet = this.#own(received)
    if (packet === null) {
      ctx.mib.ip[IpMib.InDiscards]!++
      ctx.drop(received, DropReason.NOMEM, device)
      return null
    }
    this.#packet = packet
    this.#route = route
    this.#device = device
    const { bytes, networkHeader, transportHeader } = packet
    const options = this.#received
    const pointer = compileOptions(options, bytes, networkHeader, transportHeader - networkHeader, this)
    if (pointer !== 0) {
      icmp.sendError(packet, IcmpType.PARAMETER_PROBLEM, ParameterProblemCode.POINTER, pointer << 24)
      ctx.mib.ip[IpMib.InHdrErrors]!++
      ctx.drop(packet, DropReason.IP_INHDR, device)
      return null
    }
    if (options.sourceRoute !== 0) {
      ctx.drop(packet, DropReason.IP_INADDRERRORS, device)
      return null
    }
    return packet
  }

  /** Finishes the options of a packet that goes on along `route`; its header checksum is right afterwards. */
  forward(packet: Packet, route: Route): void {
    if (packet.transportHeader - packet.networkHeader === IPV4_MIN_HEADER || packet !== this.#packet) return
    const destination = readIpv4(packet.bytes, packet.networkHeader + IPV4_DESTINATION)
    const { addresses } = this.#ip.ctx.routing
    const nextHop = route.gateway !== 0 ? route.gateway : destination
    const outgoing = addresses.selectSource(route.device, nextHop, Scope.UNIVERSE)
    forwardOptions(this.#received, packet.bytes, packet.networkHeader, outgoing)
  }

  /** Tells that the packet in hand was moved to another buffer (same header, other bytes). */
  moved(from: Packet, to: Packet): void {
    if (this.#packet === from) this.#packet = to
  }

  /** What was compiled belongs to no packet any more: the fragment that it came with is part of a datagram now. */
  forget(): void {
    this.#packet = null
  }

  /** Takes up a datagram put together from fragments: its options were compiled when its first fragment came. */
  reassembled(packet: Packet): void {
    const { bytes, networkHeader } = packet
    const headerLength = (bytes[networkHeader]! & 15) << 2
    if (headerLength === IPV4_MIN_HEADER) return
    this.#packet = packet
    this.#route = packet.destination as Route
    this.#device = packet.device as NetDevice
    locateOptions(this.#received, bytes, networkHeader, headerLength, this)
  }

  /**
   * Prepares the options of an answer to `packet` and gives their length in bytes, a multiple of 4; -1 if, as in
   * Linux, no answer can be sent.
   */
  echo(packet: Packet): number {
    const reply = this.#reply
    if (packet !== this.#packet) {
      // No options in hand are this packet's.
      reply.clear()
      return 0
    }
    if (!echoOptions(reply, this.#received, packet.bytes, packet.networkHeader, this)) return -1
    return reply.length
  }

  /** Writes what {@link echo} prepared into the header of the answer. */
  build(packet: Packet, source: Ipv4Address, destination: Ipv4Address): void {
    buildOptions(this.#reply, packet.bytes, packet.networkHeader, source, destination, this)
  }

  /** Makes a quote of `packet` show the options as they were received (RFC 1122 §3.2.2). */
  restoreQuote(packet: Packet, quote: Uint8Array, at: number, length: number): void {
    if (packet !== this.#packet || length < IPV4_MIN_HEADER + this.#received.length) return
    const { changed } = this.#received
    restoreOptions(this.#received, quote, at)
    this.#received.changed = changed
  }

  specificDestination(): Ipv4Address {
    const { bytes, networkHeader } = this.#packet!
    const flow = this.#flow
    flow.reset()
    flow.daddr = readIpv4(bytes, networkHeader + IPV4_SOURCE)
    const destination = readIpv4(bytes, networkHeader + IPV4_DESTINATION)
    return this.#ip.ctx.routing.specificDestination(this.#route, destination, flow, this.#device)
  }

  isForeignUnicast(address: Ipv4Address): boolean {
    return this.#ip.ctx.routing.fib.addressType(address) === RouteType.UNICAST
  }

  millisecondsOfDay(): number {
    return this.#ip.ctx.millisecondsOfDay()
  }

  #own(packet: Packet): Packet | null {
    if (packet.slab.references === 1) return packet
    const copy = packet.pool.copy(packet, HEADROOM)
    if (copy !== null) packet.free()
    return copy
  }
}
