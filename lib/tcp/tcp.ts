/**
 * TCP (RFC 9293) of one stack: segments are checked, matched to a connection, a handshake, what is left of a
 * connection, or a listener, and what they bring about is done: answers at once, news for the application when packet
 * processing is over. A segment that nobody expects is answered with a reset.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import { readIpv4 } from '../address/ipv4-address.ts'
import { clearArray } from '../collections/clear-array.ts'
import { createFlowKey, setIpv4Flow } from '../demux/flow-key.ts'
import type { NetDevice } from '../device/net-device.ts'
import type { BurstListener, Softirq } from '../device/softirq.ts'
import { Errno, TunstackError } from '../errors.ts'
import type { IcmpErrorInfo, TransportProtocol } from '../ipv4/context.ts'
import type { Ipv4 } from '../ipv4/ipv4.ts'
import { TcpExtMib, TcpMib } from '../observe/mib.ts'
import type { Packet } from '../packet/packet.ts'
import { Metric } from '../route/rtnetlink.ts'
import { type Clock, SECOND } from '../time/clock.ts'
import type { TimerWheel } from '../time/timer-wheel.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { IPV4_DESTINATION, IPV4_SOURCE, IpProtocol } from '../wire/ipv4.ts'
import {
  TCP_DATA_OFFSET,
  TCP_DESTINATION_PORT,
  TCP_MIN_HEADER,
  TCP_SOURCE_PORT,
  TcpFlag,
} from '../wire/tcp.ts'
import { ActiveOpen, type ConnectSettings } from './active-open.ts'
import { ChallengeAck, isLoopProne } from './challenge-ack.ts'
import { AckAction, Effects } from './effects.ts'
import type { HalfOpen } from './half-open.ts'
import { Handshakes } from './handshakes.ts'
import { TcpIcmpErrors } from './icmp-errors.ts'
import { TcpInput } from './input.ts'
import type { Listener } from './listener.ts'
import { LossRecovery } from './loss-recovery.ts'
import type { SavedMetrics } from './metrics.ts'
import { TcpOutput } from './output.ts'
import { adjustReceiveSpace } from './receive-autotuning.ts'
import { ackDelay, acknowledgesNow, opensWindow } from './receive-window.ts'
import { Segment, verifyTcpChecksum } from './segment.ts'
import { sendLimit } from './send-buffer.ts'
import { seqLe } from './sequence.ts'
import { TcpShared } from './shared.ts'
import { EndpointKind, type Tcb, TcbEvent, TcpState } from './tcb.ts'
import { TimeWaits } from './time-waits.ts'
import { TcpTimers } from './timers.ts'
import { markUrgent } from './urgent.ts'

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
  readonly #activeOpen: ActiveOpen
  readonly #errors: TcpIcmpErrors
  readonly #segment = new Segment()
  readonly #effects = new Effects()
  /** Connections that have an acknowledgment to send when the burst is over. */
  readonly #toAcknowledge: Tcb[] = []
  /** Connections whose data leaves at the end of the turn of the event loop. */
  readonly #corked: Tcb[] = []
  readonly #key = createFlowKey()
  #closed = false
  /** @internal */
  readonly expire = (tcb: Tcb): void => {
    this.softirq.enter()
    try {
      this.#timers.expire(tcb)
      this.settle(tcb)
    } finally {
      this.softirq.leave()
    }
  }
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
    this.#activeOpen = new ActiveOpen(this.#shared, this.#timeWaits, this.expire)
    this.#errors = new TcpIcmpErrors(this.#shared, this)
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
      tcb.delayedAckAt = this.ip.ctx.now + ackDelay(tcb)
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
    const corked = this.#corked
    for (let i = 0; i < corked.length; i++) {
      const tcb = corked[i]!
      tcb.corked = false
      this.output.push(tcb)
      this.settle(tcb)
    }
    clearArray(corked)
    const waiting = this.#toAcknowledge
    for (let i = 0; i < waiting.length; i++) {
      const tcb = waiting[i]!
      tcb.ackQueued = false
      // Unless data went meanwhile, and the acknowledgment with it.
      if (tcb.ackPending && tcb.state !== TcpState.CLOSED) this.output.ack(tcb)
    }
    clearArray(waiting)
  }

  // ---- blocks

  /** Runs what belongs to packet processing, from the event loop. What is done for each packet does so without a closure. */
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
      if (tcb.corked) this.output.push(tcb)
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
    this.softirq.readClock()
    const tcb = this.#activeOpen.open(remote, port, local, ownPort, options)
    if (typeof tcb === 'number') return tcb
    this.output.syn(tcb)
    tcb.retransmitAt = this.ip.ctx.now + tcb.rtt.timeout
    this.settle(tcb)
    return tcb
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
    this.softirq.enter()
    try {
      // What would not leave before the turn of the event loop is over waits for more of it, so that many small writes
      // are few segments (`tcp_autocorking`).
      if (
        this.softirq.sendsLater &&
        !tcb.finQueued &&
        !tcb.sndUrgent &&
        this.ip.ctx.sysctl.ipv4.tcp_autocorking !== 0
      ) {
        this.#cork(tcb)
      } else {
        this.output.push(tcb)
        this.settle(tcb)
      }
    } finally {
      this.softirq.leaveSoon()
    }
  }

  #cork(tcb: Tcb): void {
    if (tcb.corked) return
    tcb.corked = true
    this.ip.ctx.mib.tcpExt[TcpExtMib.TCPAutoCorking]!++
    if (this.#corked.push(tcb) === 1) this.softirq.answerPending(this)
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
    this.softirq.enter()
    try {
      const { ctx } = this.ip
      adjustReceiveSpace(tcb, ctx.now, ctx.sysctl.ipv4.tcp_moderate_rcvbuf !== 0)
      if (opensWindow(tcb)) this.output.ack(tcb)
      this.settle(tcb)
    } finally {
      this.softirq.leave()
    }
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

  /** @param quote offset of the quoted IP header @param headerLength its bytes */
  receiveError(
    bytes: Uint8Array,
    quote: number,
    headerLength: number,
    _end: number,
    error: IcmpErrorInfo,
  ): void {
    this.#errors.receive(bytes, quote, headerLength, error)
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
