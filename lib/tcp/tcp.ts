/**
 * TCP (RFC 9293) of one stack: segments are checked, matched to a connection, a handshake, what is left of a
 * connection, or a listener, and what they bring about is done: answers at once, news for the application when packet
 * processing is over. A segment that nobody expects is answered with a reset.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import { readIpv4 } from '../address/ipv4-address.ts'
import { EndpointTable } from '../demux/endpoint-table.ts'
import { createFlowKey, setIpv4Binding, setIpv4Flow } from '../demux/flow-key.ts'
import { PortRange } from '../demux/ports.ts'
import type { NetDevice } from '../device/net-device.ts'
import type { EventSource, Softirq } from '../device/softirq.ts'
import { Errno, TunstackError } from '../errors.ts'
import type { IcmpErrorInfo, TransportProtocol } from '../ipv4/context.ts'
import type { Ipv4 } from '../ipv4/ipv4.ts'
import { IcmpMib, TcpExtMib, TcpMib } from '../observe/mib.ts'
import type { Packet } from '../packet/packet.ts'
import { Flow4 } from '../route/flow.ts'
import type { Route } from '../route/route.ts'
import { RouteFlag } from '../route/rtnetlink.ts'
import { type Clock, MICROSECOND, MILLISECOND, SECOND } from '../time/clock.ts'
import { Timer, type TimerWheel } from '../time/timer-wheel.ts'
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
import { type SynOptions, TCP_TIMESTAMPS_LENGTH } from '../wire/tcp-options.ts'
import { ChallengeAck, ChallengeAckLimit, isLoopProne } from './challenge-ack.ts'
import { congestionControl } from './congestion/registry.ts'
import { AckAction, Effects } from './effects.ts'
import { EphemeralPorts } from './ephemeral-ports.ts'
import { HalfOpen, HandshakeVerdict } from './half-open.ts'
import { TcpInput } from './input.ts'
import { Ipv4Path } from './ipv4-path.ts'
import { InitialSequence, timestampAt } from './isn.ts'
import { Listener } from './listener.ts'
import { LossRecovery } from './loss-recovery.ts'
import { TcpOutput } from './output.ts'
import { RingStore } from './receive-ring.ts'
import { acknowledgesNow, DELAYED_ACK, growReceiveBuffer, opensWindow } from './receive-window.ts'
import { TcpReplies } from './replies.ts'
import { read32, Segment, verifyTcpChecksum } from './segment.ts'
import { Completions, WriteArena } from './send-queue.ts'
import { seqGt, seqLt } from './sequence.ts'
import { EndpointKind, Tcb, TcbEvent, type TcbSettings, TcpState } from './tcb.ts'
import { TimeWait, TimeWaitQueue, TimeWaitVerdict } from './time-wait.ts'
import { TcpTimers } from './timers.ts'
import type { TcpEventListener } from './trace.ts'

type Endpoint = Tcb | HalfOpen | TimeWait | Listener

/** Of a SYN-ACK, and of the wait for its answer: doubled each time. */
const SYN_ACK_TIMEOUT = SECOND
/** How long a program may take to decide on a request: by then the peer has given up, or asks again. */
const DECISION_TIMEOUT = 60 * SECOND

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
  events: TcpEventListener | null
}

export class Tcp implements TransportProtocol {
  readonly ip: Ipv4
  readonly softirq: Softirq
  readonly wheel: TimerWheel
  readonly output: TcpOutput
  readonly loss: LossRecovery
  readonly #input: TcpInput
  readonly #timers: TcpTimers
  readonly #replies: TcpReplies
  readonly #endpoints: EndpointTable<Endpoint>
  readonly #isn: InitialSequence
  readonly #ports: EphemeralPorts
  readonly #limit: ChallengeAckLimit
  readonly #memory = { rings: new RingStore(), writes: new WriteArena(), completions: new Completions() }
  readonly #segment = new Segment()
  readonly #effects = new Effects()
  readonly #key = createFlowKey()
  readonly #flow = new Flow4()
  readonly #timeWaits = new TimeWaitQueue()
  readonly #timeWaitTimer = new Timer(() => this.#expireTimeWaits())
  readonly #synOptions: SynOptions = {
    mss: 0,
    windowScale: -1,
    sackPermitted: false,
    timestamps: false,
    tsValue: 0,
    tsEcho: 0,
  }
  #catchAll: Listener | null = null
  #closed = false
  readonly #expireTcb = (tcb: Tcb): void => this.#run(tcb, () => this.#timers.expire(tcb))
  readonly #expireHalfOpen = (halfOpen: HalfOpen): void => this.#repeatSynAck(halfOpen)

  constructor(ip: Ipv4, softirq: Softirq, wheel: TimerWheel) {
    const { ctx } = ip
    this.ip = ip
    this.softirq = softirq
    this.wheel = wheel
    this.loss = new LossRecovery(ctx)
    this.output = new TcpOutput(ctx, this.loss)
    this.#input = new TcpInput(ctx, this.loss)
    this.#timers = new TcpTimers(this, ctx, this.output, this.loss)
    this.#replies = new TcpReplies(ip)
    this.#endpoints = new EndpointTable(ctx.hash)
    this.#isn = new InitialSequence(ctx.random)
    this.#ports = new EphemeralPorts(ctx.random)
    this.#limit = new ChallengeAckLimit(ctx.sysctl.ipv4, ctx.random)
    ip.protocols[IpProtocol.TCP] = this
  }

  get closed(): boolean {
    return this.#closed
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
    const endpoint = this.#endpoints.lookupConnected(this.#key)
    if (endpoint === null) return this.#toListener(segment)
    switch (endpoint.kind) {
      case EndpointKind.CONNECTION:
        return this.#toConnection(endpoint, segment)
      case EndpointKind.HALF_OPEN:
        return this.#toHalfOpen(endpoint, segment)
      case EndpointKind.TIME_WAIT:
        return this.#toTimeWait(endpoint, segment)
      case EndpointKind.LISTENER:
        return this.#toListener(segment)
    }
  }

  #toConnection(tcb: Tcb, segment: Segment): DropReason {
    const effects = this.#effects.clear()
    this.#input.onSegment(tcb, segment, effects)
    this.#apply(tcb, segment, effects)
    return effects.reason
  }

  /** Does what a segment has brought about. */
  #apply(tcb: Tcb, segment: Segment, effects: Effects): void {
    if (effects.reset) this.#replies.reset(segment)
    if (effects.closed) return this.destroy(tcb, effects.errno)
    if (effects.established) this.output.currentMss(tcb)
    if (effects.synAck) this.#startTimer(tcb, () => this.output.syn(tcb))
    if (effects.timeWait) {
      if (effects.ack !== AckAction.NONE) this.output.ack(tcb)
      this.#enterTimeWait(tcb)
      return
    }
    this.#acknowledge(tcb, segment, effects)
    this.output.push(tcb)
    if (tcb.ackPending && tcb.delayedAckAt === Infinity) tcb.delayedAckAt = this.ip.ctx.now + DELAYED_ACK
    this.settle(tcb)
  }

  #acknowledge(tcb: Tcb, segment: Segment, effects: Effects): void {
    const { now, mib } = this.ip.ctx
    switch (effects.ack) {
      case AckAction.NONE:
        return
      case AckAction.DATA:
        tcb.ackPending = true
        if (acknowledgesNow(tcb)) this.output.ack(tcb)
        return
      case AckAction.NOW:
        return this.output.ack(tcb)
      case AckAction.OUT_OF_WINDOW:
        if (isLoopProne(segment.flags, segment.length) && this.#limit.skipAnswer(tcb, now)) {
          mib.tcpExt[effects.skipped]!++
          return
        }
        return this.output.ack(tcb)
      case AckAction.CHALLENGE:
        switch (this.#limit.request(tcb, now)) {
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

  #toTimeWait(entry: TimeWait, segment: Segment): DropReason {
    const { ctx } = this.ip
    const { now, mib } = ctx
    const verdict = entry.judge(segment, ctx.sysctl.ipv4.tcp_rfc1337 !== 0)
    switch (verdict) {
      case TimeWaitVerdict.DROP:
        return DropReason.TCP_RESET
      case TimeWaitVerdict.KILL:
        this.#endTimeWait(entry)
        return DropReason.TCP_RESET
      case TimeWaitVerdict.RESTART:
        this.#timeWaits.remove(entry)
        this.#timeWaits.push(entry, now)
        return DropReason.NONE
      case TimeWaitVerdict.SYN: {
        const listener = this.#listenerFor()
        if (listener === null) break
        this.#endTimeWait(entry)
        if ((segment.flags & TcpFlag.FIN) !== 0) return DropReason.TCP_FLAGS
        // Beyond everything that the old connection can have sent (RFC 6191).
        return this.#openRequest(listener, segment, (entry.sndNxt + 65535 + 2) | 0 || 1)
      }
      case TimeWaitVerdict.RESTART_ACK:
        this.#timeWaits.remove(entry)
        this.#timeWaits.push(entry, now)
        break
      case TimeWaitVerdict.ACK:
        break
    }
    if (isLoopProne(segment.flags, segment.length) && this.#limit.skipAnswer(entry, now)) {
      mib.tcpExt[TcpExtMib.TCPACKSkippedTimeWait]!++
      return DropReason.NONE
    }
    const { timestamps, sndNxt, rcvNxt, wnd } = entry
    if (timestamps) {
      const clock = timestampAt(now, entry.tsOffset)
      this.#replies.ack(segment, sndNxt, rcvNxt, wnd, clock, entry.tsRecent)
    } else this.#replies.ack(segment, sndNxt, rcvNxt, wnd)
    return DropReason.NONE
  }

  // ---- listeners and handshakes

  #listenerFor(): Listener | null {
    const found = this.#endpoints.lookupBound(this.#key)
    if (found !== null && found.kind === EndpointKind.LISTENER) return found
    return this.#catchAll
  }

  #toListener(segment: Segment): DropReason {
    const listener = this.#listenerFor()
    if (listener === null) {
      this.#replies.reset(segment)
      return DropReason.NO_SOCKET
    }
    const { flags } = segment
    if ((flags & TcpFlag.RST) !== 0) return DropReason.TCP_RESET
    if ((flags & TcpFlag.ACK) !== 0) {
      this.#replies.reset(segment)
      return DropReason.TCP_FLAGS
    }
    if ((flags & TcpFlag.SYN) === 0 || (flags & TcpFlag.FIN) !== 0) return DropReason.TCP_FLAGS
    return this.#openRequest(listener, segment, 0)
  }

  /** A SYN for a listener (`tcp_conn_request`). @param isn the number to begin with; 0: any */
  #openRequest(listener: Listener, segment: Segment, isn: number): DropReason {
    const { ctx } = this.ip
    const { now, mib } = ctx
    const { ipv4 } = ctx.sysctl
    const { flags } = segment.packet.destination as Route
    if ((flags & (RouteFlag.BROADCAST | RouteFlag.MULTICAST)) !== 0) return DropReason.IP_INADDRERRORS
    const waiting = listener.halfOpen.size
    if (waiting >= Math.min(listener.backlog, ipv4.tcp_max_syn_backlog)) {
      mib.tcpExt[TcpExtMib.TCPReqQFullDrop]!++
      mib.tcpExt[TcpExtMib.ListenDrops]!++
      const stale = listener.staleHandshake
      if (stale === null) return DropReason.TCP_LISTEN_OVERFLOW
      this.#dropHalfOpen(stale)
    }
    if (listener.isFull) {
      mib.tcpExt[TcpExtMib.ListenOverflows]!++
      mib.tcpExt[TcpExtMib.ListenDrops]!++
      return DropReason.TCP_LISTEN_OVERFLOW
    }
    const key = this.#key
    const halfOpen = new HalfOpen(
      listener,
      key,
      segment,
      isn !== 0 ? isn : this.#isn.sequence(key, now),
      this.#timestampOffset(key),
      {
        timestamps: ipv4.tcp_timestamps !== 0,
        sack: ipv4.tcp_sack !== 0,
        windowScaling: ipv4.tcp_window_scaling !== 0,
      },
      this.#expireHalfOpen,
    )
    if (!this.#endpoints.connect(halfOpen.key, halfOpen)) {
      mib.tcpExt[TcpExtMib.ListenDrops]!++
      return DropReason.TCP_LISTEN_OVERFLOW
    }
    listener.halfOpen.add(halfOpen)
    halfOpen.startedAt = now
    if (listener.isCatchAll) {
      halfOpen.undecided = true
      listener.undecided.push(halfOpen)
      this.wheel.schedule(halfOpen.timer, now + DECISION_TIMEOUT)
      this.softirq.eventPending(listener.user)
      return DropReason.NONE
    }
    this.#answerSyn(halfOpen)
    return DropReason.NONE
  }

  #answerSyn(halfOpen: HalfOpen): void {
    const { ctx } = this.ip
    const settings = this.#settings(halfOpen.listener.receiveBuffer, halfOpen.listener.sendBuffer)
    const path = new Ipv4Path(this.ip, halfOpen.key, 0)
    // RFC 1122 §4.2.3.10: whom a broadcast address claims to be, nobody answers.
    if (((path.route?.flags ?? 0) & (RouteFlag.BROADCAST | RouteFlag.MULTICAST)) !== 0) {
      return this.#dropHalfOpen(halfOpen)
    }
    halfOpen.announcedMss = path.advertisedMss
    halfOpen.rcvScale = halfOpen.peerScale >= 0 ? this.#windowScale(settings) : 0
    halfOpen.wnd = initialWindow(
      settings.receiveBuffer,
      halfOpen.announcedMss - (halfOpen.timestamps ? TCP_TIMESTAMPS_LENGTH : 0),
    )
    halfOpen.answer(this.#replies, ctx.now, this.#synOptions)
    this.wheel.schedule(halfOpen.timer, ctx.now + SYN_ACK_TIMEOUT)
  }

  #repeatSynAck(halfOpen: HalfOpen): void {
    this.softirq.enter()
    try {
      const { ctx } = this.ip
      if (halfOpen.undecided) return this.#dropHalfOpen(halfOpen)
      if (halfOpen.retries >= ctx.sysctl.ipv4.tcp_synack_retries) return this.#dropHalfOpen(halfOpen)
      halfOpen.retries++
      ctx.mib.tcp[TcpMib.RetransSegs]!++
      ctx.mib.tcpExt[TcpExtMib.TCPSynRetrans]!++
      halfOpen.answer(this.#replies, ctx.now, this.#synOptions)
      this.wheel.schedule(
        halfOpen.timer,
        ctx.now + Math.min(SYN_ACK_TIMEOUT * 2 ** halfOpen.retries, 120 * SECOND),
      )
    } finally {
      this.softirq.leave()
    }
  }

  /** The handshake failed. */
  #dropHalfOpen(halfOpen: HalfOpen): void {
    this.#forgetHalfOpen(halfOpen)
    const { listener } = halfOpen
    if (!listener.isCatchAll) return
    listener.failed.push(halfOpen)
    this.softirq.eventPending(listener.user)
  }

  #forgetHalfOpen(halfOpen: HalfOpen): void {
    this.wheel.cancel(halfOpen.timer)
    this.#endpoints.disconnect(halfOpen.key, halfOpen)
    const { listener } = halfOpen
    listener.halfOpen.delete(halfOpen)
    const at = listener.undecided.indexOf(halfOpen)
    if (at >= 0) listener.undecided.splice(at, 1)
    halfOpen.undecided = false
  }

  #toHalfOpen(halfOpen: HalfOpen, segment: Segment): DropReason {
    const { ctx } = this.ip
    const { now, mib } = ctx
    switch (halfOpen.judge(segment)) {
      case HandshakeVerdict.DROP:
        return DropReason.TCP_FLAGS
      case HandshakeVerdict.REPEAT:
        if (halfOpen.undecided) return DropReason.NONE
        if (this.#limit.skipAnswer(halfOpen, now)) mib.tcpExt[TcpExtMib.TCPACKSkippedSynRecv]!++
        else halfOpen.answer(this.#replies, now, this.#synOptions)
        return DropReason.NONE
      case HandshakeVerdict.RESET:
        this.#replies.reset(segment)
        return DropReason.TCP_INVALID_ACK_SEQUENCE
      case HandshakeVerdict.ACK:
        if (this.#limit.skipAnswer(halfOpen, now)) mib.tcpExt[TcpExtMib.TCPACKSkippedSynRecv]!++
        else this.#ackHalfOpen(halfOpen, segment)
        return DropReason.TCP_INVALID_SEQUENCE
      case HandshakeVerdict.ABORT_RESET:
        this.#replies.reset(segment)
        this.#abortHalfOpen(halfOpen)
        return DropReason.TCP_INVALID_SYN
      case HandshakeVerdict.ABORT:
        this.#abortHalfOpen(halfOpen)
        return DropReason.TCP_RESET
      case HandshakeVerdict.COMPLETE:
        return this.#complete(halfOpen, segment)
    }
  }

  #abortHalfOpen(halfOpen: HalfOpen): void {
    const { mib } = this.ip.ctx
    mib.tcp[TcpMib.AttemptFails]!++
    mib.tcpExt[TcpExtMib.EmbryonicRsts]!++
    this.#dropHalfOpen(halfOpen)
  }

  #ackHalfOpen(halfOpen: HalfOpen, segment: Segment): void {
    const wnd = Math.min(halfOpen.wnd >>> halfOpen.rcvScale, 0xffff)
    const { sndNxt, rcvNxt, timestamps } = halfOpen
    if (timestamps) {
      const clock = timestampAt(this.ip.ctx.now, halfOpen.tsOffset)
      this.#replies.ack(segment, sndNxt, rcvNxt, wnd, clock, halfOpen.tsRecent)
    } else this.#replies.ack(segment, sndNxt, rcvNxt, wnd)
  }

  /** The last ACK of the handshake: the connection is made, and the segment is its first. */
  #complete(halfOpen: HalfOpen, segment: Segment): DropReason {
    const { ctx } = this.ip
    const { mib } = ctx
    const { listener } = halfOpen
    if (listener.isFull) {
      mib.tcpExt[TcpExtMib.ListenOverflows]!++
      mib.tcpExt[TcpExtMib.ListenDrops]!++
      if (ctx.sysctl.ipv4.tcp_abort_on_overflow !== 0) {
        this.#replies.reset(segment)
        this.#abortHalfOpen(halfOpen)
      }
      // Otherwise the SYN-ACK goes again and its answer may find room.
      return DropReason.TCP_LISTEN_OVERFLOW
    }
    this.#forgetHalfOpen(halfOpen)
    const settings = this.#settings(listener.receiveBuffer, listener.sendBuffer)
    const tcb = this.#createTcb(halfOpen.key, settings)
    tcb.setState(TcpState.SYN_RECEIVED, mib.tcp)
    tcb.iss = halfOpen.iss
    tcb.irs = halfOpen.irs
    tcb.sndUna = halfOpen.iss
    tcb.sndNxt = halfOpen.sndNxt
    tcb.dataSeq = halfOpen.sndNxt
    tcb.rcvNxt = tcb.rcvWup = halfOpen.rcvNxt
    tcb.rcvWnd = halfOpen.wnd
    tcb.rcvEdge = (tcb.rcvNxt + tcb.rcvWnd) | 0
    tcb.timestamps = halfOpen.timestamps
    tcb.tsOffset = halfOpen.tsOffset
    tcb.tsRecent = halfOpen.tsRecent
    tcb.tsRecentTime = ctx.now
    tcb.sack = halfOpen.sack
    tcb.windowScaling = halfOpen.peerScale >= 0
    tcb.sndScale = Math.max(0, halfOpen.peerScale)
    tcb.rcvScale = halfOpen.rcvScale
    tcb.peerMss = halfOpen.peerMss
    tcb.announcedMss = halfOpen.announcedMss
    tcb.rcvMss = initialRcvMss(tcb)
    tcb.establishedAt = halfOpen.startedAt
    tcb.totalRetransmits = halfOpen.retries
    tcb.noDelay = listener.noDelay
    if (listener.isCatchAll) tcb.handshake = halfOpen
    tcb.lastHeard = ctx.now
    if (!this.#endpoints.connect(tcb.key, tcb)) return DropReason.TCP_LISTEN_OVERFLOW
    tcb.registered = true
    mib.tcp[TcpMib.PassiveOpens]!++
    const reason = this.#toConnection(tcb, segment)
    if (tcb.state === TcpState.CLOSED) return reason
    if (listener.keepAlive) this.setKeepAlive(tcb, true)
    listener.acceptQueue.push(tcb)
    this.softirq.eventPending(listener.user)
    return reason
  }

  // ---- blocks

  #settings(receiveBuffer: number, sendBuffer: number): TcbSettings {
    const { ipv4 } = this.ip.ctx.sysctl
    return {
      // Linux counts what a buffer costs beside its bytes: half of it is window.
      receiveBuffer: receiveBuffer !== 0 ? receiveBuffer : ipv4.tcp_rmem_default >>> 1,
      receiveBufferMax:
        receiveBuffer !== 0 ? receiveBuffer : Math.max(ipv4.tcp_rmem_max, ipv4.tcp_rmem_default) >>> 1,
      sendBuffer: sendBuffer !== 0 ? sendBuffer : ipv4.tcp_wmem_default,
    }
  }

  /** The shift that lets the largest buffer be offered (`tcp_select_initial_window`). */
  #windowScale({ receiveBufferMax }: TcbSettings): number {
    const { sysctl } = this.ip.ctx
    let space = Math.max(2 * receiveBufferMax, sysctl.core.rmem_max)
    let scale = 0
    while (space > 65535 && scale < 14) {
      space >>>= 1
      scale++
    }
    return scale
  }

  #createTcb(key: Int32Array, settings: TcbSettings): Tcb {
    const { ctx } = this.ip
    const path = new Ipv4Path(this.ip, key, ctx.random.int32())
    const tcb = new Tcb(
      key,
      path,
      congestionControl(ctx.sysctl.ipv4.tcp_congestion_control),
      settings,
      this.#memory,
      ctx.time,
      this.#expireTcb,
    )
    const { ipv4 } = ctx.sysctl
    tcb.rtt.minRto = ipv4.tcp_rto_min_us * MICROSECOND
    tcb.rtt.maxRto = ipv4.tcp_rto_max_ms * MILLISECOND
    tcb.rtt.minRttSpan = ipv4.tcp_min_rtt_wlen * SECOND
    tcb.scoreboard.dupThresh = ipv4.tcp_reordering
    tcb.dsack = ipv4.tcp_dsack !== 0
    return tcb
  }

  /** With `tcp_timestamps` at 2 the clock begins at the same place for everybody. */
  #timestampOffset(key: Int32Array): number {
    return this.ip.ctx.sysctl.ipv4.tcp_timestamps === 1 ? this.#isn.timestampOffset(key) : 0
  }

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
    const next = Math.min(tcb.retransmitAt, tcb.delayedAckAt, tcb.keepaliveAt, tcb.roomAt)
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
    tcb.setState(TcpState.CLOSED, this.ip.ctx.mib.tcp)
    tcb.errno = errno
    this.#release(tcb)
    tcb.sendQueue.clear()
    tcb.outOfOrder.clear()
    if (tcb.orphan) tcb.ring.clear()
    tcb.events |= TcbEvent.CLOSED
    if (tcb.user !== null) this.softirq.eventPending(tcb.user)
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
    tcb.retransmitAt = tcb.delayedAckAt = tcb.keepaliveAt = tcb.roomAt = Infinity
    if (tcb.registered) this.#endpoints.disconnect(tcb.key, tcb)
    tcb.registered = false
    if (tcb.bound) {
      tcb.bound = false
      this.#endpoints.unbind(tcb.key, tcb)
    }
  }

  #enterTimeWait(tcb: Tcb): void {
    const { ctx } = this.ip
    const { mib, now } = ctx
    tcb.setState(TcpState.TIME_WAIT, mib.tcp)
    this.#release(tcb)
    if (tcb.orphan) tcb.ring.clear()
    tcb.events |= TcbEvent.CLOSED
    if (tcb.user !== null) this.softirq.eventPending(tcb.user)
    if (this.#timeWaits.length >= ctx.sysctl.ipv4.tcp_max_tw_buckets) {
      mib.tcpExt[TcpExtMib.TCPTimeWaitOverflow]!++
      return
    }
    const entry = new TimeWait(tcb)
    if (!this.#endpoints.connect(entry.key, entry)) return
    this.#timeWaits.push(entry, now)
    if (!this.#timeWaitTimer.armed) this.wheel.schedule(this.#timeWaitTimer, entry.deadline)
  }

  #endTimeWait(entry: TimeWait): void {
    this.#timeWaits.remove(entry)
    this.#endpoints.disconnect(entry.key, entry)
  }

  #expireTimeWaits(): void {
    const now = this.wheel.now
    for (
      let entry = this.#timeWaits.first;
      entry !== null && entry.deadline <= now;
      entry = this.#timeWaits.first
    ) {
      this.ip.ctx.mib.tcpExt[TcpExtMib.TW]!++
      this.#endTimeWait(entry)
    }
    const next = this.#timeWaits.first
    if (next !== null) this.wheel.schedule(this.#timeWaitTimer, next.deadline)
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
    const { ctx } = this.ip
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
        (candidate) =>
          this.#endpoints.lookupConnected(candidate) === null && !this.#endpoints.inUse(candidate),
      )
      if (picked === 0) return Errno.EADDRNOTAVAIL
    } else if (this.#endpoints.inUse(key) || this.#endpoints.lookupConnected(key) !== null) {
      return Errno.EADDRINUSE
    }
    const settings = this.#settings(options.receiveBuffer, options.sendBuffer)
    const tcb = this.#createTcb(key, settings)
    tcb.trace.listener = options.events
    tcb.path.tos = options.tos & 0xfc
    tcb.path.ttl = options.ttl
    tcb.path.mark = options.mark
    tcb.path.device = options.device
    if (!this.#endpoints.connect(key, tcb)) return Errno.EADDRINUSE
    tcb.registered = true
    if (ownPort !== 0) tcb.bound = this.#endpoints.bind(key, tcb)
    tcb.iss = this.#isn.sequence(key, now)
    tcb.tsOffset = this.#timestampOffset(key)
    tcb.sndUna = tcb.iss
    tcb.sndNxt = tcb.dataSeq = (tcb.iss + 1) | 0
    tcb.timestamps = ipv4.tcp_timestamps !== 0
    tcb.sack = ipv4.tcp_sack !== 0
    tcb.windowScaling = ipv4.tcp_window_scaling !== 0
    tcb.rcvScale = tcb.windowScaling ? this.#windowScale(settings) : 0
    tcb.announcedMss = tcb.path.advertisedMss
    tcb.rcvMss = initialRcvMss(tcb)
    tcb.rcvWnd = initialWindow(settings.receiveBuffer, tcb.announcedMss)
    tcb.establishedAt = tcb.lastSent = tcb.lastHeard = now
    tcb.setState(TcpState.SYN_SENT, mib.tcp)
    mib.tcp[TcpMib.ActiveOpens]!++
    this.output.syn(tcb)
    tcb.retransmitAt = now + tcb.rtt.timeout
    this.settle(tcb)
    return tcb
  }

  /** Listens. A positive errno: `EADDRNOTAVAIL`, `EADDRINUSE`, `EAGAIN` (no port left). */
  listen(address: Ipv4Address, port: number, backlog: number, user: EventSource): Listener | number {
    const { sysctl, random, routing } = this.ip.ctx
    if (address !== 0 && sysctl.ipv4.ip_nonlocal_bind === 0 && routing.addresses.deviceOf(address) === null) {
      return Errno.EADDRNOTAVAIL
    }
    const key = createFlowKey()
    setIpv4Binding(key, address, port)
    if (port === 0) {
      const { ip_local_port_range_low: low, ip_local_port_range_high: high } = sysctl.ipv4
      if (this.#endpoints.pickPort(key, new PortRange(low, high), random) === 0) return Errno.EADDRINUSE
    }
    const listener = new Listener(key, user, Math.min(backlog, sysctl.core.somaxconn))
    return this.#endpoints.bind(key, listener) ? listener : Errno.EADDRINUSE
  }

  /** Hears of every SYN that no listener is there for. `EADDRINUSE`: there is one already. */
  listenAll(backlog: number, user: EventSource): Listener | number {
    if (this.#catchAll !== null) return Errno.EADDRINUSE
    this.#catchAll = new Listener(null, user, Math.min(backlog, this.ip.ctx.sysctl.core.somaxconn))
    return this.#catchAll
  }

  /** Ends a listener: handshakes are forgotten, connections that nobody accepted are reset. */
  unlisten(listener: Listener): void {
    if (listener.closed) return
    listener.closed = true
    this.softirq.enter()
    try {
      if (listener.key === null) this.#catchAll = null
      else this.#endpoints.unbind(listener.key, listener)
      for (const halfOpen of [...listener.halfOpen]) this.#dropHalfOpen(halfOpen)
      for (const tcb of listener.acceptQueue.splice(0)) {
        tcb.orphan = true
        this.abort(tcb, Errno.ECONNABORTED)
      }
    } finally {
      this.softirq.leave()
    }
  }

  /** The program wants the connection: its SYN is answered now. */
  acceptRequest(halfOpen: HalfOpen): void {
    if (!halfOpen.undecided) return
    halfOpen.undecided = false
    this.softirq.enter()
    try {
      this.#answerSyn(halfOpen)
    } finally {
      this.softirq.leave()
    }
  }

  /** It does not: the peer is reset, or hears nothing. */
  refuseRequest(halfOpen: HalfOpen, silently: boolean): void {
    if (!halfOpen.undecided) return
    this.softirq.enter()
    try {
      this.#dropHalfOpen(halfOpen)
      if (!silently) this.#replies.refuse(halfOpen.key, halfOpen.rcvNxt)
    } finally {
      this.softirq.leave()
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
      if (tcb.state === TcpState.CLOSED || tcb.state === TcpState.TIME_WAIT) {
        tcb.ring.clear()
        return
      }
      if (tcb.state === TcpState.SYN_SENT) return this.destroy(tcb, Errno.ECONNABORTED)
      if (tcb.ring.length > 0) {
        ctx.mib.tcpExt[TcpExtMib.TCPAbortOnClose]!++
        return this.abort(tcb, Errno.ECONNABORTED)
      }
      if (tcb.state === TcpState.FIN_WAIT_2)
        tcb.keepaliveAt = ctx.now + ctx.sysctl.ipv4.tcp_fin_timeout * SECOND
      else this.shutdown(tcb)
    })
  }

  /** The application has read `n` bytes: the peer may have to hear of the room. */
  consumed(tcb: Tcb, n: number): void {
    if (tcb.state === TcpState.CLOSED || tcb.state === TcpState.TIME_WAIT) return
    this.#run(tcb, () => {
      const { ctx } = this.ip
      if (ctx.sysctl.ipv4.tcp_moderate_rcvbuf !== 0) growReceiveBuffer(tcb, n, ctx.now)
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

  /** Bytes that the application may have waiting before it has to wait itself (`sk_sndbuf`, which follows cwnd). */
  sendLimit(tcb: Tcb): number {
    const { tcp_wmem_max } = this.ip.ctx.sysctl.ipv4
    return Math.max(tcb.sendQueue.limit, Math.min(2 * tcb.congestion.cwnd, tcp_wmem_max))
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
    const endpoint = this.#endpoints.lookupConnected(key)
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
          this.#dropHalfOpen(endpoint)
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
        this.loss.pathShrunk(tcb)
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
    this.#endpoints.forEach((endpoint) => {
      if (endpoint.kind === EndpointKind.CONNECTION) callback(endpoint)
    })
  }

  // ---- the end

  /** Ends everything: connections are reset, and those who wait are told. */
  stop(): void {
    this.#closed = true
    const connections: Tcb[] = []
    const listeners: Listener[] = []
    const halfOpen: HalfOpen[] = []
    const timeWaits: TimeWait[] = []
    this.#endpoints.forEach((endpoint) => {
      switch (endpoint.kind) {
        case EndpointKind.CONNECTION:
          connections.push(endpoint)
          break
        case EndpointKind.HALF_OPEN:
          halfOpen.push(endpoint)
          break
        case EndpointKind.TIME_WAIT:
          timeWaits.push(endpoint)
          break
        case EndpointKind.LISTENER:
          listeners.push(endpoint)
          break
      }
    })
    if (this.#catchAll !== null) listeners.push(this.#catchAll)
    for (const each of halfOpen) this.#dropHalfOpen(each)
    for (const each of timeWaits) this.#endTimeWait(each)
    this.wheel.cancel(this.#timeWaitTimer)
    for (const listener of listeners) {
      this.unlisten(listener)
      listener.user.deliverEvents()
    }
    for (const tcb of connections) {
      this.destroy(tcb, Errno.ENETDOWN)
      tcb.user?.deliverEvents()
    }
  }
}

/** The window that a SYN offers: whole segments, and no more than can be said without a scale. */
function initialWindow(buffer: number, mss: number): number {
  const space = Math.min(buffer, 65535)
  return space > mss ? space - (space % mss) : space
}

/** Before the peer has sent anything (`tcp_initialize_rcv_mss`). */
function initialRcvMss(tcb: Tcb): number {
  return Math.max(88, Math.min(tcb.announcedMss, 536))
}
