/**
 * TCP (RFC 9293) of one stack: segments are checked, matched to a connection, a handshake, what is left of a
 * connection, or a listener, and what they bring about is done: answers at once, news for the application when packet
 * processing is over. A segment that nobody expects is answered with a reset.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import { readIpv4 } from '../address/ipv4-address.ts'
import { createFlowKey, setIpv4Flow } from '../demux/flow-key.ts'
import { PortRange } from '../demux/ports.ts'
import type { NetDevice } from '../device/net-device.ts'
import type { BurstListener, Softirq } from '../device/softirq.ts'
import { Errno, TunstackError } from '../errors.ts'
import type { IcmpErrorInfo, TransportProtocol } from '../ipv4/context.ts'
import type { Ipv4 } from '../ipv4/ipv4.ts'
import { IcmpMib, TcpExtMib, TcpMib } from '../observe/mib.ts'
import type { Packet } from '../packet/packet.ts'
import { Flow4 } from '../route/flow.ts'
import { Metric, RouteFlag } from '../route/rtnetlink.ts'
import type { CongestionControlName } from '../sysctl/tcp-settings.ts'
import { type Clock, SECOND } from '../time/clock.ts'
import type { TimerWheel } from '../time/timer-wheel.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { IcmpType, UnreachableCode } from '../wire/icmpv4.ts'
import { IPV4_DESTINATION, IPV4_SOURCE, IpProtocol } from '../wire/ipv4.ts'
import {
  TCP_DATA_OFFSET,
  TCP_DESTINATION_PORT,
  TCP_MIN_HEADER,
  TCP_SEQUENCE,
  TCP_SOURCE_PORT,
  TcpFlag,
} from '../wire/tcp.ts'
import { ChallengeAck, isLoopProne } from './challenge-ack.ts'
import { asksForEcn } from './ecn.ts'
import { AckAction, Effects } from './effects.ts'
import { EphemeralPorts } from './ephemeral-ports.ts'
import type { HalfOpen } from './half-open.ts'
import { Handshakes } from './handshakes.ts'
import { TcpInput } from './input.ts'
import { routeCongestion } from './ipv4-path.ts'
import type { Listener } from './listener.ts'
import { LossRecovery } from './loss-recovery.ts'
import type { SavedMetrics } from './metrics.ts'
import { TcpOutput } from './output.ts'
import { adjustReceiveSpace } from './receive-autotuning.ts'
import { acknowledgesNow, DELAYED_ACK, opensWindow } from './receive-window.ts'
import { read32, Segment, verifyTcpChecksum } from './segment.ts'
import { sendLimit } from './send-buffer.ts'
import { seqGt, seqLe, seqLt } from './sequence.ts'
import { initialRcvMss, initialWindow, TcpShared, takeRouteMetrics } from './shared.ts'
import { EndpointKind, type Tcb, TcbEvent, TcpState } from './tcb.ts'
import { TimeWaits } from './time-waits.ts'
import { TcpTimers } from './timers.ts'
import type { TcpEventListener } from './trace.ts'
import { markUrgent } from './urgent.ts'

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

/** The line `TCP:` of `/proc/net/sockstat`. */
export interface TcpUsage {
  /** Connections and listeners. */
  inuse: number
  /** Connections whose application has closed them and that are not over. */
  orphan: number
  /** Connections in TIME-WAIT. */
  tw: number
  /** Pages of 4 KiB that their buffers take (`tcp_mem`). */
  mem: number
}

export class Tcp implements TransportProtocol, BurstListener {
  readonly ip: Ipv4
  readonly softirq: Softirq
  readonly wheel: TimerWheel
  readonly output: TcpOutput
  readonly loss: LossRecovery
  readonly #input: TcpInput
  readonly #timers: TcpTimers
  readonly #shared: TcpShared
  readonly #handshakes: Handshakes
  readonly #timeWaits: TimeWaits
  readonly #ports: EphemeralPorts
  readonly #segment = new Segment()
  readonly #effects = new Effects()
  /** Connections that have an acknowledgment to send when the burst is over. */
  readonly #toAcknowledge: Tcb[] = []
  readonly #key = createFlowKey()
  readonly #flow = new Flow4()
  #closed = false
  /** @internal */
  readonly expire = (tcb: Tcb): void => this.#run(tcb, () => this.#timers.expire(tcb))
  readonly #reopen = (segment: Segment, isn: number): DropReason | null => this.#reopenTimeWait(segment, isn)

  constructor(ip: Ipv4, softirq: Softirq, wheel: TimerWheel) {
    const { ctx } = ip
    this.ip = ip
    this.softirq = softirq
    this.wheel = wheel
    this.loss = new LossRecovery(ctx)
    this.output = new TcpOutput(ctx, this.loss)
    this.#input = new TcpInput(ctx, this.loss)
    this.#timers = new TcpTimers(this, ctx, this.output, this.loss)
    this.#shared = new TcpShared(ip, softirq, wheel)
    this.#handshakes = new Handshakes(this.#shared, this)
    this.#timeWaits = new TimeWaits(this.#shared)
    this.#ports = new EphemeralPorts(ctx.random)
    ip.protocols[IpProtocol.TCP] = this
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Whether there is anybody for whom received segments may be worth merging. */
  get hasEndpoints(): boolean {
    return this.#shared.endpoints.length > 0
  }

  get clock(): Clock {
    return this.wheel.clock
  }

  /** The index of a device by its name. @throws TunstackError `ENODEV` */
  deviceIndex(name: string): number {
    const device = this.ip.ctx.devices.byName(name)
    if (device === undefined) {
      throw new TunstackError('ENODEV', `there is no device '${name}' in this stack`, { value: name })
    }
    return device.ifindex
  }

  // ---- what comes from below

  receive(arrived: Packet): void {
    const { ctx } = this.ip
    const { mib } = ctx
    mib.tcp[TcpMib.InSegs]!++
    const packet = arrived.body === null ? arrived : this.#gathered(arrived)
    if (packet === null) return
    const device = packet.device as NetDevice
    const { bytes, transportHeader: at, end } = packet
    if (end - at < TCP_MIN_HEADER) return ctx.drop(packet, DropReason.PKT_TOO_SMALL, device)
    const headerLength = (bytes[at + TCP_DATA_OFFSET]! >>> 4) << 2
    if (headerLength < TCP_MIN_HEADER) {
      mib.tcp[TcpMib.InErrs]!++
      return ctx.drop(packet, DropReason.PKT_TOO_SMALL, device)
    }
    if (headerLength > end - at) return ctx.drop(packet, DropReason.PKT_TOO_SMALL, device)
    if (!verifyTcpChecksum(packet)) {
      mib.tcp[TcpMib.InCsumErrors]!++
      mib.tcp[TcpMib.InErrs]!++
      return ctx.drop(packet, DropReason.TCP_CSUM, device)
    }
    const segment = this.#segment
    segment.read(packet)
    const { networkHeader } = packet
    setIpv4Flow(
      this.#key,
      readIpv4(bytes, networkHeader + IPV4_DESTINATION),
      (bytes[at + TCP_DESTINATION_PORT]! << 8) | bytes[at + TCP_DESTINATION_PORT + 1]!,
      readIpv4(bytes, networkHeader + IPV4_SOURCE),
      (bytes[at + TCP_SOURCE_PORT]! << 8) | bytes[at + TCP_SOURCE_PORT + 1]!,
      packet.iif,
    )
    const reason = this.#dispatch(segment)
    if (reason === DropReason.NONE) ctx.consume(packet)
    else ctx.drop(packet, reason, device)
  }

  /** The whole segment in one piece: only devices inside the process leave a body outside. */
  #gathered(packet: Packet): Packet | null {
    const { ctx } = this.ip
    const copy = packet.pool.copy(packet)
    if (copy === null) {
      ctx.drop(packet, DropReason.NOMEM, packet.device as NetDevice)
      return null
    }
    this.ip.options.moved(packet, copy)
    packet.free()
    return copy
  }

  #dispatch(segment: Segment): DropReason {
    const endpoint = this.#shared.endpoints.lookupConnected(this.#key)
    if (endpoint === null) return this.#handshakes.toListener(this.#key, segment)
    switch (endpoint.kind) {
      case EndpointKind.CONNECTION:
        return this.toConnection(endpoint, segment)
      case EndpointKind.HALF_OPEN:
        return this.#handshakes.toHalfOpen(endpoint, segment)
      case EndpointKind.TIME_WAIT:
        return this.#timeWaits.receive(endpoint, segment, this.#reopen)
      case EndpointKind.LISTENER:
        return this.#handshakes.toListener(this.#key, segment)
    }
  }

  /** @internal a segment for a connection */
  toConnection(tcb: Tcb, segment: Segment): DropReason {
    const effects = this.#effects.clear()
    this.#input.onSegment(tcb, segment, effects)
    this.#apply(tcb, segment, effects)
    return effects.reason
  }

  /** Does what a segment has brought about. */
  #apply(tcb: Tcb, segment: Segment, effects: Effects): void {
    if (effects.reset) this.#shared.replies.reset(segment)
    if (effects.closed) {
      if (effects.errno === 0) this.#shared.metrics.save(tcb, this.ip.ctx.now) // all is acknowledged in LAST-ACK
      return this.destroy(tcb, effects.errno)
    }
    if (effects.established) this.#begin(tcb)
    if (effects.synAck) this.#startTimer(tcb, () => this.output.syn(tcb))
    if (effects.timeWait) {
      if (effects.ack !== AckAction.NONE) this.output.ack(tcb)
      this.#shared.metrics.save(tcb, this.ip.ctx.now)
      this.#end(tcb, TcpState.TIME_WAIT)
      this.#timeWaits.enter(tcb)
      return
    }
    this.#acknowledge(tcb, segment, effects)
    this.output.push(tcb)
    if (tcb.ackPending && !tcb.ackQueued && tcb.delayedAckAt === Infinity)
      tcb.delayedAckAt = this.ip.ctx.now + DELAYED_ACK
    this.settle(tcb)
  }

  /** The handshake is over: what the route says, and what earlier connections have learnt (`tcp_init_transfer`). */
  #begin(tcb: Tcb): void {
    const { path, congestion } = tcb
    const segments = path.metric(Metric.INITCWND)
    if (segments > 0 && tcb.totalRetransmits <= 1) congestion.beginWith(segments)
    this.output.currentMss(tcb)
    this.#shared.metrics.begin(tcb, this.ip.ctx.now)
  }

  /** A SYN for a four-tuple in TIME-WAIT: `null` if nobody listens. */
  #reopenTimeWait(segment: Segment, isn: number): DropReason | null {
    const key = this.#key
    const entry = this.#shared.endpoints.lookupConnected(key)
    const listener = this.#handshakes.listenerFor(key)
    if (listener === null || entry === null || entry.kind !== EndpointKind.TIME_WAIT) return null
    this.#timeWaits.end(entry)
    if ((segment.flags & TcpFlag.FIN) !== 0) return DropReason.TCP_FLAGS
    return this.#handshakes.openRequest(listener, key, segment, isn)
  }

  #acknowledge(tcb: Tcb, segment: Segment, effects: Effects): void {
    const { now, mib } = this.ip.ctx
    switch (effects.ack) {
      case AckAction.NONE:
        return
      case AckAction.DATA:
        tcb.ackPending = true
        if (acknowledgesNow(tcb)) this.#acknowledgeBurst(tcb)
        return
      case AckAction.NOW:
        return this.output.ack(tcb)
      case AckAction.OUT_OF_WINDOW:
        if (isLoopProne(segment.flags, segment.length) && this.#shared.limit.skipAnswer(tcb, now)) {
          mib.tcpExt[effects.skipped]!++
          return
        }
        return this.output.ack(tcb)
      case AckAction.CHALLENGE:
        switch (this.#shared.limit.request(tcb, now)) {
          case ChallengeAck.SEND:
            mib.tcpExt[TcpExtMib.TCPChallengeACK]!++
            return this.output.ack(tcb)
          case ChallengeAck.SKIPPED:
            mib.tcpExt[TcpExtMib.TCPACKSkippedChallenge]!++
            return
          case ChallengeAck.HOST_LIMIT:
            return
        }
    }
  }

  /** In-order data is acknowledged once for all of the burst, as if it had come as one segment. */
  #acknowledgeBurst(tcb: Tcb): void {
    if (tcb.ackQueued) return
    tcb.ackQueued = true
    if (this.#toAcknowledge.push(tcb) === 1) this.softirq.answerPending(this)
  }

  burstProcessed(): void {
    const waiting = this.#toAcknowledge
    for (let i = 0; i < waiting.length; i++) {
      const tcb = waiting[i]!
      tcb.ackQueued = false
      // Unless data went meanwhile, and the acknowledgment with it.
      if (tcb.ackPending && tcb.state !== TcpState.CLOSED) this.output.ack(tcb)
    }
    waiting.length = 0
  }

  // ---- blocks

  /** Runs what belongs to packet processing, from the event loop. */
  #run(tcb: Tcb, what: () => void): void {
    this.softirq.enter()
    try {
      what()
      this.settle(tcb)
    } finally {
      this.softirq.leave()
    }
  }

  /** Arms the timer for what comes next, and has the application told of what has come up. */
  settle(tcb: Tcb): void {
    if ((tcb.events !== 0 || tcb.trace.isPending) && tcb.user !== null) this.softirq.eventPending(tcb.user)
    if (tcb.state === TcpState.CLOSED || tcb.state === TcpState.TIME_WAIT) return
    const next = Math.min(
      tcb.retransmitAt,
      tcb.delayedAckAt,
      tcb.keepaliveAt,
      tcb.roomAt,
      tcb.probeAt,
      tcb.reorderAt,
    )
    // A deadline that was put off is looked at when it comes: moving the timer for each segment costs more.
    if (next < tcb.timer.deadline) this.wheel.schedule(tcb.timer, next)
  }

  #startTimer(tcb: Tcb, send: () => void): void {
    send()
    tcb.retransmitAt = this.ip.ctx.now + tcb.rtt.timeout
  }

  /** The connection is over: it is forgotten here, and its application is told. */
  destroy(tcb: Tcb, errno: number): void {
    if (tcb.state === TcpState.CLOSED) return
    tcb.errno = errno
    this.#end(tcb, TcpState.CLOSED)
    tcb.sendQueue.clear()
    tcb.outOfOrder.clear()
  }

  #end(tcb: Tcb, state: TcpState): void {
    tcb.setState(state, this.ip.ctx.mib.tcp)
    this.#shared.memory.removeOrphan(tcb)
    this.#release(tcb)
    if (tcb.orphan) tcb.ring.clear()
    else tcb.ring.own()
    tcb.events |= TcbEvent.CLOSED
    if (tcb.user !== null) this.softirq.eventPending(tcb.user)
  }

  /** Its owner lets go of it, and the peer is reset. */
  abandon(tcb: Tcb): void {
    tcb.orphan = true
    this.softirq.enter()
    try {
      this.abort(tcb, Errno.ECONNABORTED)
      tcb.ring.clear()
    } finally {
      this.softirq.leave()
    }
  }

  /** Sends RST, and forgets the connection. */
  abort(tcb: Tcb, errno: number): void {
    const { state } = tcb
    if (state !== TcpState.SYN_SENT && state !== TcpState.CLOSED && state !== TcpState.TIME_WAIT) {
      this.output.reset(tcb)
    }
    this.destroy(tcb, errno)
  }

  #release(tcb: Tcb): void {
    this.wheel.cancel(tcb.timer)
    tcb.retransmitAt =
      tcb.delayedAckAt =
      tcb.keepaliveAt =
      tcb.roomAt =
      tcb.probeAt =
      tcb.reorderAt =
        Infinity
    tcb.transmissions.reset(tcb.sndUna)
    if (tcb.registered) this.#shared.endpoints.disconnect(tcb.key, tcb)
    tcb.registered = false
    if (tcb.bound) {
      tcb.bound = false
      this.#shared.endpoints.unbind(tcb.key, tcb)
    }
  }

  // ---- what the application asks for

  /**
   * Begins to connect. 0, or a positive errno: `ENETUNREACH`, `EADDRNOTAVAIL` (no such address, or no port left),
   * `EADDRINUSE` (the four-tuple, or the port that was asked for).
   */
  connect(
    remote: Ipv4Address,
    port: number,
    local: Ipv4Address,
    ownPort: number,
    options: ConnectSettings,
  ): Tcb | number {
    // What has happened last may be long ago: the attempt begins at the time that it is.
    this.softirq.enter()
    this.softirq.leave()
    const { ctx } = this.ip
    this.softirq.readClock()
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
      const picked = this.#ports.pick(
        key,
        range,
        now,
        (candidate) => this.#isFree(candidate, false) && !this.#shared.endpoints.inUse(candidate),
      )
      if (picked === 0) return Errno.EADDRNOTAVAIL
    } else if (this.#shared.endpoints.inUse(key) || !this.#isFree(key, true)) return Errno.EADDRINUSE
    const settings = this.#shared.settings(options.receiveBuffer, options.sendBuffer)
    const tcb = this.#shared.createTcb(
      key,
      settings,
      routeCongestion(route) ?? options.congestion,
      this.expire,
    )
    tcb.trace.listener = options.events
    tcb.path.tos = options.tos & 0xfc
    tcb.path.ttl = options.ttl
    tcb.path.mark = options.mark
    tcb.path.device = options.device
    takeRouteMetrics(tcb)
    tcb.iss = this.#shared.isn.sequence(key, now)
    const before = this.#shared.endpoints.lookupConnected(key)
    if (before !== null && before.kind === EndpointKind.TIME_WAIT) this.#timeWaits.handOver(before, tcb)
    if (!this.#shared.endpoints.connect(key, tcb)) return Errno.EADDRINUSE
    tcb.registered = true
    if (ownPort !== 0) tcb.bound = this.#shared.endpoints.bind(key, tcb)
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
    this.output.syn(tcb)
    tcb.retransmitAt = now + tcb.rtt.timeout
    this.settle(tcb)
    return tcb
  }

  /** Nobody's four-tuple, or one in TIME-WAIT that may be used again. @param isAskedFor the program wants this port */
  #isFree(key: Int32Array, isAskedFor: boolean): boolean {
    const endpoint = this.#shared.endpoints.lookupConnected(key)
    if (endpoint === null) return true
    return endpoint.kind === EndpointKind.TIME_WAIT && this.#timeWaits.mayReuse(endpoint, isAskedFor)
  }

  /** Listeners, and handshakes on the way to them. */
  get handshakes(): Handshakes {
    return this.#handshakes
  }

  /** All that the application has written is urgent: the peer hears of it now, also where nothing may be sent. */
  sendUrgent(tcb: Tcb): void {
    markUrgent(tcb)
    this.flush(tcb)
    if (tcb.sndNxt !== tcb.dataEnd && seqLe(tcb.windowEnd, tcb.sndNxt) && tcb.synchronized) {
      this.#run(tcb, () => this.output.ack(tcb))
    }
  }

  /** Data was queued, FIN may have been: sends what may be sent. */
  flush(tcb: Tcb): void {
    this.#run(tcb, () => this.output.push(tcb))
  }

  /** No more data will be written: FIN follows what is queued. */
  shutdown(tcb: Tcb): void {
    if (tcb.finQueued) return
    tcb.finQueued = true
    const { tcp } = this.ip.ctx.mib
    if (tcb.state === TcpState.ESTABLISHED) tcb.setState(TcpState.FIN_WAIT_1, tcp)
    else if (tcb.state === TcpState.CLOSE_WAIT) tcb.setState(TcpState.LAST_ACK, tcp)
    this.flush(tcb)
  }

  /** The application lets go (`close(2)`). What it has not read makes it a reset (RFC 2525 §2.17). */
  close(tcb: Tcb): void {
    if (tcb.orphan) return
    tcb.orphan = true
    this.#run(tcb, () => {
      const { ctx } = this.ip
      const { memory } = this.#shared
      if (tcb.state === TcpState.CLOSED || tcb.state === TcpState.TIME_WAIT) {
        tcb.ring.clear()
        return
      }
      if (tcb.state === TcpState.SYN_SENT) return this.destroy(tcb, Errno.ECONNABORTED)
      if (tcb.ring.length > 0) {
        ctx.mib.tcpExt[TcpExtMib.TCPAbortOnClose]!++
        return this.abort(tcb, Errno.ECONNABORTED)
      }
      memory.addOrphan(tcb)
      if (memory.refusesOrphan(tcb, 0)) {
        ctx.mib.tcpExt[TcpExtMib.TCPAbortOnMemory]!++
        return this.abort(tcb, Errno.ENOMEM)
      }
      if (tcb.state === TcpState.FIN_WAIT_2)
        tcb.keepaliveAt = ctx.now + ctx.sysctl.ipv4.tcp_fin_timeout * SECOND
      else this.shutdown(tcb)
    })
  }

  /** The application has read: the peer may have to hear of the room. */
  consumed(tcb: Tcb): void {
    if (tcb.state === TcpState.CLOSED || tcb.state === TcpState.TIME_WAIT) return
    this.#run(tcb, () => {
      const { ctx } = this.ip
      adjustReceiveSpace(tcb, ctx.now, ctx.sysctl.ipv4.tcp_moderate_rcvbuf !== 0)
      if (opensWindow(tcb)) this.output.ack(tcb)
    })
  }

  /** `SO_KEEPALIVE` */
  setKeepAlive(tcb: Tcb, on: boolean): void {
    tcb.keepAlive = on
    if (tcb.state === TcpState.FIN_WAIT_2 && tcb.orphan) return
    if (!on) tcb.keepaliveAt = Infinity
    else {
      tcb.keepaliveAt = this.wheel.now + this.#timers.keepIdle(tcb)
      this.settle(tcb)
    }
  }

  /** Bytes that the application may have waiting before it has to wait itself. */
  sendLimit(tcb: Tcb): number {
    return sendLimit(tcb, this.ip.ctx.sysctl.ipv4.tcp_wmem_max)
  }

  // ---- ICMP

  /** An ICMP error about a segment of ours (`tcp_v4_err`, RFC 5927): it counts if the segment is on its way. */
  receiveError(
    bytes: Uint8Array,
    quote: number,
    headerLength: number,
    _end: number,
    error: IcmpErrorInfo,
  ): void {
    const { mib } = this.ip.ctx
    const at = quote + headerLength
    const key = this.#key
    setIpv4Flow(
      key,
      readIpv4(bytes, quote + IPV4_SOURCE),
      (bytes[at + TCP_SOURCE_PORT]! << 8) | bytes[at + TCP_SOURCE_PORT + 1]!,
      readIpv4(bytes, quote + IPV4_DESTINATION),
      (bytes[at + TCP_DESTINATION_PORT]! << 8) | bytes[at + TCP_DESTINATION_PORT + 1]!,
      0,
    )
    const endpoint = this.#shared.endpoints.lookupConnected(key)
    if (endpoint === null) {
      mib.icmp[IcmpMib.InErrors]!++
      return
    }
    const seq = read32(bytes, at + TCP_SEQUENCE)
    switch (endpoint.kind) {
      case EndpointKind.TIME_WAIT:
      case EndpointKind.LISTENER:
        return
      case EndpointKind.HALF_OPEN:
        if (seq !== endpoint.iss) mib.tcpExt[TcpExtMib.OutOfWindowIcmps]!++
        else if (error.fatal) {
          mib.tcpExt[TcpExtMib.ListenDrops]!++
          this.#handshakes.dropHalfOpen(endpoint)
        }
        return
      case EndpointKind.CONNECTION:
        if (seqLt(seq, endpoint.sndUna) || seqGt(seq, endpoint.sndNxt)) {
          mib.tcpExt[TcpExtMib.OutOfWindowIcmps]!++
          return
        }
        return this.#errorAbout(endpoint, bytes, quote, error)
    }
  }

  #errorAbout(tcb: Tcb, bytes: Uint8Array, quote: number, error: IcmpErrorInfo): void {
    const { icmp } = this.ip
    if (error.type === IcmpType.REDIRECT) return icmp.learnPathMtu(bytes, quote, error)
    if (error.errno === 0) return // source quench (RFC 6633)
    if (error.type === IcmpType.DEST_UNREACH && error.code === UnreachableCode.FRAG_NEEDED) {
      const before = tcb.path.mtu
      icmp.learnPathMtu(bytes, quote, error)
      if (tcb.path.mtu < before && tcb.synchronized) {
        if (!this.loss.probeRefused(tcb, tcb.path.mtu)) this.loss.pathShrunk(tcb)
        this.output.push(tcb)
        this.settle(tcb)
      }
      return
    }
    if (tcb.state === TcpState.SYN_SENT || tcb.state === TcpState.SYN_RECEIVED) {
      return this.destroy(tcb, error.errno)
    }
    // What the path says of a connection that has worked is a hint (RFC 5927 §5.2).
    tcb.softErrno = error.errno
  }

  /** Calls back for each connection that is not over; none may begin or end meanwhile. */
  forEachConnection(callback: (tcb: Tcb) => void): void {
    this.#shared.endpoints.forEach((endpoint) => {
      if (endpoint.kind === EndpointKind.CONNECTION) callback(endpoint)
    })
  }

  get metrics(): SavedMetrics {
    return this.#shared.metrics
  }

  /** What there is, as `/proc/net/sockstat` counts it. */
  get usage(): TcpUsage {
    const { endpoints, memory } = this.#shared
    const inUse = new Set<object>() // what is bound to its port is met twice
    endpoints.forEach((endpoint) => {
      const { kind } = endpoint
      if (kind === EndpointKind.CONNECTION || kind === EndpointKind.LISTENER) inUse.add(endpoint)
    })
    return { inuse: inUse.size, orphan: memory.orphans, tw: this.#timeWaits.count, mem: memory.pages }
  }

  // ---- the end

  /** Ends everything: connections are reset, and those who wait are told. */
  stop(): void {
    this.#closed = true
    const connections: Tcb[] = []
    const listeners: Listener[] = []
    const halfOpen: HalfOpen[] = []
    this.#shared.endpoints.forEach((endpoint) => {
      switch (endpoint.kind) {
        case EndpointKind.CONNECTION:
          connections.push(endpoint)
          break
        case EndpointKind.HALF_OPEN:
          halfOpen.push(endpoint)
          break
        case EndpointKind.TIME_WAIT:
          break
        case EndpointKind.LISTENER:
          listeners.push(endpoint)
          break
      }
    })
    if (this.#handshakes.catchAll !== null) listeners.push(this.#handshakes.catchAll)
    for (const each of halfOpen) this.#handshakes.dropHalfOpen(each)
    this.#timeWaits.clear()
    for (const listener of listeners) {
      this.#handshakes.unlisten(listener)
      listener.user.deliverEvents()
    }
    for (const tcb of connections) {
      this.destroy(tcb, Errno.ENETDOWN)
      tcb.user?.deliverEvents()
    }
  }
}
