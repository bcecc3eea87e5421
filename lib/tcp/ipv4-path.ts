/**
 * The way of a connection's packets over IPv4: the routing decision, kept until the tables have changed, and the
 * header in front of each segment. All that TCP knows of IP for a connection is here.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import { FlowKey, localPort, remotePort } from '../demux/flow-key.ts'
import { pushIpv4Header } from '../ipv4/header.ts'
import type { Ipv4 } from '../ipv4/ipv4.ts'
import { IpMib } from '../observe/mib.ts'
import { completeChecksum } from '../packet/complete-checksum.ts'
import type { Packet } from '../packet/packet.ts'
import { CONGESTION_NAMES } from '../route/fib-metrics.ts'
import { Flow4 } from '../route/flow.ts'
import type { Route } from '../route/route.ts'
import { Metric } from '../route/rtnetlink.ts'
import { CONGESTION_CONTROLS, type CongestionControlName } from '../sysctl/tcp-settings.ts'
import { IPV4_DF, IPV4_MAX_PACKET, IPV4_MIN_HEADER, IpProtocol } from '../wire/ipv4.ts'
import { TCP_MIN_HEADER } from '../wire/tcp.ts'
import { finishTcp } from './replies.ts'

/** Asked again for each decision: one object serves all connections, which run one after the other. */
const flow = new Flow4()

export class Ipv4Path {
  readonly local: Ipv4Address
  readonly remote: Ipv4Address
  readonly localPort: number
  readonly remotePort: number
  /** TOS octet of what is sent, without ECN. */
  tos = 0
  /** 0: the route's or the host's default. */
  ttl = 0
  mark = 0
  /** Index of the device to leave by; 0 for any. */
  device = 0
  /** Identification of the next packet (Linux counts up per connection, DF or not). */
  #id: number
  readonly #ip: Ipv4
  #route: Route | null = null

  constructor(ip: Ipv4, key: Int32Array, firstId: number) {
    this.#ip = ip
    this.local = key[FlowKey.LOCAL + 3]!
    this.remote = key[FlowKey.REMOTE + 3]!
    this.localPort = localPort(key)
    this.remotePort = remotePort(key)
    this.#id = firstId & 0xffff
  }

  /** The decision in use, asked for again if it may be stale; `null`: there is no way, `routing.errno` says why. */
  get route(): Route | null {
    const { routing } = this.#ip.ctx
    if (this.#route !== null && routing.isValid(this.#route)) return this.#route
    flow.reset()
    flow.daddr = this.remote
    flow.saddr = this.local
    flow.anySource = true
    flow.oif = this.device
    flow.tos = this.tos
    flow.mark = this.mark
    flow.protocol = IpProtocol.TCP
    flow.sport = this.localPort
    flow.dport = this.remotePort
    this.#route = routing.output(flow)
    return this.#route
  }

  /** It seems to lead nowhere: the tables are asked again. */
  reconsider(): void {
    this.#route = null
  }

  /** Largest packet for the path; what was known last if there is no way now. */
  get mtu(): number {
    const { route } = this
    return route === null ? 576 : route.mtu
  }

  /** A metric of the route (`RTAX_*`); 0: it says nothing. */
  metric(metric: number): number {
    return this.route?.info?.metrics?.[metric] ?? 0
  }

  /** The route was given it with `lock`. */
  isLocked(metric: number): boolean {
    return (this.metric(Metric.LOCK) & (1 << metric)) !== 0
  }

  /** MSS to announce (RFC 9293 §3.7.1): the route's `advmss`, else what fits the device, not the path. */
  get advertisedMss(): number {
    const { route } = this
    if (route === null) return 536
    const metric = this.metric(Metric.ADVMSS)
    if (metric !== 0) return metric
    const { min_adv_mss } = this.#ip.ctx.sysctl.route
    return Math.min(Math.max(route.configuredMtu - this.headers, min_adv_mss), 65535 - this.headers)
  }

  /** Bytes of the headers in front of data, without options. */
  get headers(): number {
    return IPV4_MIN_HEADER + TCP_MIN_HEADER
  }

  /**
   * Largest super-segment that may be handed over, headers included; 0 if there is no way. What the device does not cut
   * itself is cut just before it.
   */
  get superSegment(): number {
    const { route } = this
    if (route === null) return 0
    const { tso, gsoMaxSize } = route.device.link.features
    return tso ? Math.min(gsoMaxSize, IPV4_MAX_PACKET) : IPV4_MAX_PACKET
  }

  /** Packets that the device still has room for. */
  get room(): number {
    const { route } = this
    return route === null ? Infinity : route.device.txRoom
  }

  /**
   * Sends a segment whose TCP header is at `at`; the packet is taken over. 0, or a positive errno.
   * @param ecn the ECN field of its IP header
   */
  send(packet: Packet, at: number, ecn: number): number {
    const ip = this.#ip
    const { route } = this
    if (route === null) {
      ip.ctx.mib.ip[IpMib.OutNoRoutes]!++
      ip.ctx.consume(packet)
      return ip.ctx.routing.errno
    }
    finishTcp(packet, at, this.local, this.remote)
    if (packet.gsoSize === 0 && !route.device.link.features.checksum) completeChecksum(packet)
    const ttl = this.ttl !== 0 ? this.ttl : ip.defaultTtl(route)
    const id = this.#id
    this.#id = (id + packet.gsoSegments) & 0xffff
    // A path below `min_pmtu` fragments: its MTU is not believed, so DF would make a black hole of it.
    const dontFragment = route.mtuLocked || ip.ctx.sysctl.ipv4.ip_no_pmtu_disc === 1 ? 0 : IPV4_DF
    pushIpv4Header(packet, this.local, this.remote, IpProtocol.TCP, this.tos | ecn, ttl, id, dontFragment)
    packet.mark = this.mark
    return ip.output.sendLocal(packet, route)
  }
}

/** The congestion control that a route asks for (`congctl`); `null`: none, or one that is not here. */
export function routeCongestion(route: Route | null): CongestionControlName | null {
  const key = route?.info?.metrics?.[Metric.CC_ALGO] ?? 0
  return CONGESTION_CONTROLS.find((name) => name === CONGESTION_NAMES[key - 1]) ?? null
}
