/**
 * How a socket's datagrams leave: the way is asked for, and kept as long as nothing changes; the header is written,
 * its checksum left open for whoever comes last; what is to be cut into datagrams is cut here unless the device does
 * it.
 */
import { type Ipv4Address, isMulticast } from '../address/ipv4-address.ts'
import { Errno } from '../errors.ts'
import { pushIpv4Header } from '../ipv4/header.ts'
import { ATOMIC_ID } from '../ipv4/identification.ts'
import type { Ipv4 } from '../ipv4/ipv4.ts'
import { IpMib, UdpMib } from '../observe/mib.ts'
import { Checksum, Gso, HEADROOM, type Packet } from '../packet/packet.ts'
import { Flow4 } from '../route/flow.ts'
import { Route } from '../route/route.ts'
import { RouteFlag, RouteType } from '../route/rtnetlink.ts'
import { fold, pseudoHeaderSum } from '../wire/checksum.ts'
import { IPV4_DF, IPV4_MAX_PACKET, IPV4_MIN_HEADER, IpProtocol } from '../wire/ipv4.ts'
import { UDP_CHECKSUM, UDP_DESTINATION_PORT, UDP_HEADER, UDP_LENGTH, UDP_SOURCE_PORT } from '../wire/udp.ts'
import type { UdpPathMtuDiscovery } from './udp-options.ts'

/** `UDP_MAX_SEGMENTS` */
const MAX_SEGMENTS = 128
const HEADERS = IPV4_MIN_HEADER + UDP_HEADER

/** What holds for all that a socket sends, and may change. */
export interface UdpSettings {
  broadcast: boolean
  /** 0: the route's or the host's default. */
  ttl: number
  tos: number
  mark: number
  multicastTtl: number
  multicastLoop: boolean
  /** Index of a device; 0: the routes decide. */
  multicastDevice: number
  /** What it sends to groups from, unless it is bound to an address; 0: the way decides. */
  multicastSource: Ipv4Address
  pathMtuDiscovery: UdpPathMtuDiscovery
  /** 0: what is sent is one datagram. */
  segmentSize: number
}

export class UdpOutput {
  readonly #ip: Ipv4
  readonly #flow = new Flow4()
  readonly #anySource: boolean
  /** The way of the datagram before, and what it was asked for with. */
  #route: Route | null = null
  #source: Ipv4Address = 0
  #daddr: Ipv4Address = 0
  #dport = 0
  #saddr: Ipv4Address = 0
  #oif = 0
  #tos = 0

  /** @param anySource it may send from addresses that are not this host's (`IP_TRANSPARENT`) */
  constructor(ip: Ipv4, anySource = false) {
    this.#ip = ip
    this.#anySource = anySource
  }

  /** The source address that {@link route} has found. */
  get source(): Ipv4Address {
    return this.#source
  }

  /** Forgets the way: a setting that it depends on has changed. */
  forget(): void {
    this.#route = null
  }

  /** The way to a destination; `null`: the errno is that of `routing`. */
  route(
    settings: UdpSettings,
    sport: number,
    daddr: Ipv4Address,
    dport: number,
    saddr: Ipv4Address,
    device: number,
    tos: number,
  ): Route | null {
    const { routing } = this.#ip.ctx
    const known = this.#route
    if (
      known !== null &&
      daddr === this.#daddr &&
      dport === this.#dport &&
      saddr === this.#saddr &&
      device === this.#oif &&
      tos === this.#tos &&
      routing.isValid(known)
    ) {
      return known
    }
    const flow = this.#flow.reset()
    flow.daddr = daddr
    flow.saddr = saddr === 0 && isMulticast(daddr) ? settings.multicastSource : saddr
    flow.anySource = this.#anySource
    flow.oif = device === 0 && isMulticast(daddr) ? settings.multicastDevice : device
    flow.tos = tos & 0xfc
    flow.mark = settings.mark
    flow.protocol = IpProtocol.UDP
    flow.sport = sport
    flow.dport = dport
    let route = routing.output(flow)
    if (route === null) {
      this.#route = null
      return null
    }
    const group = RouteFlag.MULTICAST | RouteFlag.LOCAL
    if ((route.flags & group) === group && !settings.multicastLoop) route = withoutLoop(route)
    this.#route = route
    this.#source = flow.saddr
    this.#daddr = daddr
    this.#dport = dport
    this.#saddr = saddr
    this.#oif = device
    this.#tos = tos
    return route
  }

  /**
   * Sends data to where {@link route} has just found the way. 0, or a positive errno: `EACCES` (broadcast),
   * `EMSGSIZE`, `EINVAL` (segments that cannot be), `EAGAIN` (the device's queue is full), `ENOBUFS`.
   */
  send(
    settings: UdpSettings,
    route: Route,
    sport: number,
    data: Uint8Array,
    ttl: number,
    segmentSize: number,
  ): number {
    if ((route.flags & RouteFlag.BROADCAST) !== 0 && !settings.broadcast) return Errno.EACCES
    const { mib } = this.#ip.ctx
    if (route.device.up && route.device.txRoom <= 0) {
      mib.udp[UdpMib.SndbufErrors]!++
      return Errno.EAGAIN
    }
    if (segmentSize === 0 || data.length <= segmentSize)
      return this.#datagram(settings, route, sport, data, ttl)
    if (segmentSize + HEADERS > this.#mtu(settings, route)) return Errno.EMSGSIZE // they are never fragmented
    if (data.length > segmentSize * MAX_SEGMENTS || data.length + HEADERS > IPV4_MAX_PACKET)
      return Errno.EINVAL
    const { features } = route.device.link
    if (features.uso && features.checksum && data.length + HEADERS <= features.gsoMaxSize) {
      return this.#datagram(settings, route, sport, data, ttl, segmentSize)
    }
    let failed = 0
    for (let at = 0; at < data.length && failed === 0; at += segmentSize) {
      failed = this.#datagram(settings, route, sport, data.subarray(at, at + segmentSize), ttl)
    }
    return failed
  }

  #mtu({ pathMtuDiscovery }: UdpSettings, route: Route): number {
    switch (pathMtuDiscovery) {
      case 'want':
      case 'dont':
      case 'do':
        return route.mtu
      case 'probe':
      case 'interface':
      case 'omit':
        return Math.min(route.device.mtu, 65535)
    }
  }

  #datagram(
    settings: UdpSettings,
    route: Route,
    sport: number,
    data: Uint8Array,
    ttl: number,
    gsoSize = 0,
  ): number {
    const ip = this.#ip
    const { ctx } = ip
    const { pathMtuDiscovery } = settings
    const length = UDP_HEADER + data.length
    if (length > IPV4_MAX_PACKET - IPV4_MIN_HEADER) return Errno.EMSGSIZE
    const fits = gsoSize !== 0 || length + IPV4_MIN_HEADER <= this.#mtu(settings, route)
    const never = pathMtuDiscovery === 'do' || pathMtuDiscovery === 'probe'
    if (!fits && (never || pathMtuDiscovery === 'interface')) return Errno.EMSGSIZE
    const packet = ctx.pool.allocate(length, HEADROOM)
    if (packet === null) {
      ctx.mib.udp[UdpMib.SndbufErrors]!++
      return Errno.ENOBUFS
    }
    const saddr = this.#source
    // Nobody else is asked where 0.0.0.0 is: it is this host.
    const daddr = this.#daddr === 0 ? this.#flow.daddr : this.#daddr
    writeHeader(packet, sport, this.#dport, length, data, saddr, daddr)
    if (gsoSize !== 0) {
      packet.gsoType = Gso.UDP_L4
      packet.gsoSize = gsoSize
      packet.gsoSegments = Math.ceil(data.length / gsoSize)
    }
    const dontFragment = never || (pathMtuDiscovery === 'want' && fits && !route.mtuLocked)
    const id =
      dontFragment && gsoSize === 0
        ? ATOMIC_ID
        : ip.identification.next(saddr, daddr, IpProtocol.UDP, ctx.now, packet.gsoSegments)
    pushIpv4Header(
      packet,
      saddr,
      daddr,
      IpProtocol.UDP,
      this.#tos,
      this.#ttl(settings, route, ttl),
      id,
      dontFragment ? IPV4_DF : 0,
    )
    packet.mark = settings.mark
    const errno = ip.output.sendLocal(packet, route, this.#mtu(settings, route))
    if (errno !== Errno.ENOBUFS) {
      if (errno === 0) ctx.mib.udp[UdpMib.OutDatagrams]!++
      return errno
    }
    // As Linux: what a full queue of a device lost is counted, and the sender is not told (`udp_send_skb`).
    ctx.mib.udp[UdpMib.SndbufErrors]!++
    return 0
  }

  #ttl(settings: UdpSettings, route: Route, ttl: number): number {
    if (ttl !== 0) return ttl
    if (route.type === RouteType.MULTICAST) return settings.multicastTtl
    return settings.ttl !== 0 ? settings.ttl : this.#ip.defaultTtl(route)
  }

  /** Counts that there was no way, and says why. */
  noRoute(): number {
    const { mib, routing } = this.#ip.ctx
    if (routing.errno === Errno.ENETUNREACH) mib.ip[IpMib.OutNoRoutes]!++
    return routing.errno
  }
}

function writeHeader(
  packet: Packet,
  sport: number,
  dport: number,
  length: number,
  data: Uint8Array,
  saddr: Ipv4Address,
  daddr: Ipv4Address,
): void {
  const at = packet.put(length)
  const { bytes } = packet
  bytes[at + UDP_SOURCE_PORT] = sport >>> 8
  bytes[at + UDP_SOURCE_PORT + 1] = sport
  bytes[at + UDP_DESTINATION_PORT] = dport >>> 8
  bytes[at + UDP_DESTINATION_PORT + 1] = dport
  bytes[at + UDP_LENGTH] = length >>> 8
  bytes[at + UDP_LENGTH + 1] = length
  bytes.set(data, at + UDP_HEADER)
  const pseudo = fold(pseudoHeaderSum(saddr, daddr, IpProtocol.UDP, length))
  bytes[at + UDP_CHECKSUM] = pseudo >>> 8
  bytes[at + UDP_CHECKSUM + 1] = pseudo
  packet.checksum = Checksum.PARTIAL
  packet.checksumStart = at
  packet.checksumOffset = UDP_CHECKSUM
}

/** The same way, without a copy for this host's own ears. */
function withoutLoop(route: Route): Route {
  const copy = Object.assign(new Route(route.device), route)
  copy.flags &= ~RouteFlag.LOCAL
  return copy
}
