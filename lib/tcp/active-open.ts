/**
 * The active OPEN (RFC 9293 §3.10.1): a connection that this host asks for. The route says where it leaves and from
 * which address, a port is picked unless one is asked for, and a four-tuple in TIME-WAIT may be taken over.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import { createFlowKey, setIpv4Flow } from '../demux/flow-key.ts'
import { PortRange } from '../demux/ports.ts'
import { Errno } from '../errors.ts'
import { TcpMib } from '../observe/mib.ts'
import { Flow4 } from '../route/flow.ts'
import { Metric, RouteFlag } from '../route/rtnetlink.ts'
import type { CongestionControlName } from '../sysctl/tcp-settings.ts'
import { IpProtocol } from '../wire/ipv4.ts'
import { asksForEcn } from './ecn.ts'
import { EphemeralPorts } from './ephemeral-ports.ts'
import { routeCongestion } from './ipv4-path.ts'
import { initialRcvMss, initialWindow, type TcpShared, takeRouteMetrics } from './shared.ts'
import { EndpointKind, type Tcb, TcpState } from './tcb.ts'
import type { TimeWaits } from './time-waits.ts'
import type { TcpEventListener } from './trace.ts'

/** What a connection is asked for with, beside addresses and ports. */
export interface ConnectSettings {
  /** 0: as the sysctls say. */
  receiveBuffer: number
  sendBuffer: number
  /** Index of the device to leave by; 0: any. */
  device: number
  tos: number
  ttl: number
  mark: number
  congestion: CongestionControlName | null
  /** `TCP_MAXSEG`; Infinity: as the path has it. */
  maxSegment: number
  events: TcpEventListener | null
}

/** Where nobody asks for anything else. */
export const USUAL_CONNECT: Readonly<ConnectSettings> = {
  receiveBuffer: 0,
  sendBuffer: 0,
  device: 0,
  tos: 0,
  ttl: 0,
  mark: 0,
  congestion: null,
  maxSegment: Infinity,
  events: null,
}

export class ActiveOpen {
  readonly #shared: TcpShared
  readonly #timeWaits: TimeWaits
  readonly #expire: (tcb: Tcb) => void
  readonly #ports: EphemeralPorts
  readonly #flow = new Flow4()

  /** @param expire called when a connection's timer fires */
  constructor(shared: TcpShared, timeWaits: TimeWaits, expire: (tcb: Tcb) => void) {
    this.#shared = shared
    this.#timeWaits = timeWaits
    this.#expire = expire
    this.#ports = new EphemeralPorts(shared.ctx.random)
  }

  /**
   * A connection in SYN-SENT, of which nothing has been sent. Or a positive errno: `ENETUNREACH`, `EADDRNOTAVAIL` (no
   * such address, or no port left), `EADDRINUSE` (the four-tuple, or the port that was asked for).
   */
  open(
    remote: Ipv4Address,
    port: number,
    local: Ipv4Address,
    ownPort: number,
    options: ConnectSettings,
  ): Tcb | number {
    const { ctx, endpoints } = this.#shared
    const { now, mib, routing, sysctl } = ctx
    const { ipv4 } = sysctl
    if (local !== 0 && ipv4.ip_nonlocal_bind === 0 && routing.addresses.deviceOf(local) === null) {
      return Errno.EADDRNOTAVAIL
    }
    const flow = this.#flow.reset()
    flow.daddr = remote
    flow.saddr = local
    flow.oif = options.device
    flow.tos = options.tos & 0xfc
    flow.mark = options.mark
    flow.protocol = IpProtocol.TCP
    flow.sport = ownPort
    flow.dport = port
    const route = routing.output(flow)
    if (route === null) return routing.errno
    if ((route.flags & (RouteFlag.BROADCAST | RouteFlag.MULTICAST)) !== 0) return Errno.ENETUNREACH
    const key = createFlowKey()
    setIpv4Flow(key, flow.saddr, ownPort, flow.daddr, port, 0)
    if (ownPort === 0) {
      const range = new PortRange(ipv4.ip_local_port_range_low, ipv4.ip_local_port_range_high)
      if (this.#ports.pick(key, range, now, this.#mayPick) === 0) return Errno.EADDRNOTAVAIL
    } else if (endpoints.inUse(key) || !this.#isFree(key, true)) return Errno.EADDRINUSE
    const settings = this.#shared.settings(options.receiveBuffer, options.sendBuffer)
    const tcb = this.#shared.createTcb(
      key,
      settings,
      routeCongestion(route) ?? options.congestion,
      this.#expire,
    )
    tcb.trace.listener = options.events
    tcb.path.tos = options.tos & 0xfc
    tcb.path.ttl = options.ttl
    tcb.path.mark = options.mark
    tcb.path.device = options.device
    takeRouteMetrics(tcb)
    tcb.iss = this.#shared.isn.sequence(key, now)
    const before = endpoints.lookupConnected(key)
    if (before !== null && before.kind === EndpointKind.TIME_WAIT) this.#timeWaits.handOver(before, tcb)
    if (!endpoints.connect(key, tcb)) return Errno.EADDRINUSE
    tcb.registered = true
    if (ownPort !== 0) tcb.bound = endpoints.bind(key, tcb)
    tcb.tsOffset = this.#shared.timestampOffset(key)
    tcb.sndUna = tcb.iss
    tcb.sndNxt = tcb.dataSeq = (tcb.iss + 1) | 0
    tcb.timestamps = ipv4.tcp_timestamps !== 0
    tcb.sack = ipv4.tcp_sack !== 0
    tcb.ecn = asksForEcn(ipv4.tcp_ecn)
    tcb.windowScaling = ipv4.tcp_window_scaling !== 0
    tcb.rcvScale = tcb.windowScaling ? this.#shared.windowScale(settings) : 0
    tcb.userMss = options.maxSegment
    tcb.announcedMss = Math.min(tcb.path.advertisedMss, tcb.userMss)
    tcb.rcvMss = initialRcvMss(tcb)
    tcb.rcvWnd = initialWindow(
      settings.receiveBuffer,
      tcb.announcedMss,
      tcb.path.metric(Metric.INITRWND),
      ipv4.tcp_workaround_signed_windows !== 0,
    )
    tcb.establishedAt = tcb.lastSent = tcb.lastHeard = now
    tcb.setState(TcpState.SYN_SENT, mib.tcp)
    mib.tcp[TcpMib.ActiveOpens]!++
    return tcb
  }

  readonly #mayPick = (candidate: Int32Array): boolean =>
    this.#isFree(candidate, false) && !this.#shared.endpoints.inUse(candidate)

  /** Nobody's four-tuple, or one in TIME-WAIT that may be used again. @param isAskedFor the program wants this port */
  #isFree(key: Int32Array, isAskedFor: boolean): boolean {
    const endpoint = this.#shared.endpoints.lookupConnected(key)
    if (endpoint === null) return true
    return endpoint.kind === EndpointKind.TIME_WAIT && this.#timeWaits.mayReuse(endpoint, isAskedFor)
  }
}
