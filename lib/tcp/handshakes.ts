/**
 * Listeners and the handshakes that come to them (RFC 9293 §3.10.7.2, RFC 4987), until the last ACK makes a connection
 * of one; and the listener for what nobody else listens for.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import { createFlowKey, FlowKey, setIpv4Binding } from '../demux/flow-key.ts'
import { PortRange } from '../demux/ports.ts'
import type { EventSource } from '../device/softirq.ts'
import { Errno } from '../errors.ts'
import { TcpExtMib, TcpMib } from '../observe/mib.ts'
import type { Route } from '../route/route.ts'
import { Metric, RouteFlag } from '../route/rtnetlink.ts'
import { SECOND } from '../time/clock.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { TcpFlag } from '../wire/tcp.ts'
import { type SynOptions, TCP_TIMESTAMPS_LENGTH } from '../wire/tcp-options.ts'
import { HalfOpen, type HandshakeTerms, HandshakeVerdict, termsOf } from './half-open.ts'
import { Ipv4Path, routeCongestion } from './ipv4-path.ts'
import { timestampAt } from './isn.ts'
import { Listener } from './listener.ts'
import type { Segment } from './segment.ts'
import { initialRcvMss, initialWindow, type TcpShared, takeRouteMetrics } from './shared.ts'
import { COOKIE_VALID, decodeOptions, encodeOptions } from './syn-cookies.ts'
import { EndpointKind, type Tcb, TcpState } from './tcb.ts'

/** Of a SYN-ACK, and of the wait for its answer: doubled each time. */
const SYN_ACK_TIMEOUT = SECOND
/** How long a program may take to decide on a request: by then the peer has given up, or asks again. */
const DECISION_TIMEOUT = 60 * SECOND

/** Who has the connections. */
export interface Connections {
  /** @internal the timer of a connection fires */
  readonly expire: (tcb: Tcb) => void
  toConnection(tcb: Tcb, segment: Segment): DropReason
  setKeepAlive(tcb: Tcb, on: boolean): void
  abort(tcb: Tcb, errno: number): void
}

export class Handshakes {
  readonly #shared: TcpShared
  readonly #connections: Connections
  readonly #synOptions: SynOptions = {
    mss: 0,
    windowScale: -1,
    sackPermitted: false,
    timestamps: false,
    tsValue: 0,
    tsEcho: 0,
  }
  #catchAll: Listener | null = null
  readonly #expire = (halfOpen: HalfOpen): void => this.#repeatSynAck(halfOpen)

  constructor(shared: TcpShared, connections: Connections) {
    this.#shared = shared
    this.#connections = connections
  }

  /** The listener for every port, if there is one. */
  get catchAll(): Listener | null {
    return this.#catchAll
  }

  /** Who listens for a flow. */
  listenerFor(key: Int32Array): Listener | null {
    const found = this.#shared.endpoints.lookupBound(key)
    if (found !== null && found.kind === EndpointKind.LISTENER) return found
    return this.#catchAll
  }

  /** A segment for no connection. @param key its flow */
  toListener(key: Int32Array, segment: Segment): DropReason {
    const listener = this.listenerFor(key)
    if (listener === null) {
      this.#shared.replies.reset(segment)
      return DropReason.NO_SOCKET
    }
    const { flags } = segment
    if ((flags & TcpFlag.RST) !== 0) return DropReason.TCP_RESET
    if ((flags & TcpFlag.ACK) !== 0) {
      const reason = this.#fromCookie(listener, key, segment)
      if (reason !== null) return reason
      this.#shared.replies.reset(segment)
      return DropReason.TCP_FLAGS
    }
    if ((flags & TcpFlag.SYN) === 0 || (flags & TcpFlag.FIN) !== 0) return DropReason.TCP_FLAGS
    return this.openRequest(listener, key, segment, 0)
  }

  /** A SYN for a listener (`tcp_conn_request`). @param isn the number to begin with; 0: any */
  openRequest(listener: Listener, key: Int32Array, segment: Segment, isn: number): DropReason {
    const { ctx } = this.#shared
    const { now, mib } = ctx
    const { ipv4 } = ctx.sysctl
    const { flags } = segment.packet.destination as Route
    if ((flags & (RouteFlag.BROADCAST | RouteFlag.MULTICAST)) !== 0) return DropReason.IP_INADDRERRORS
    const { tcp_syncookies: cookies } = ipv4
    const isCrowded = listener.halfOpen.length > listener.backlog
    if (!listener.isCatchAll && isn === 0 && (cookies === 2 || (cookies === 1 && isCrowded))) {
      if (isCrowded) mib.tcpExt[TcpExtMib.TCPReqQFullDoCookies]!++
      return this.#answerWithCookie(listener, key, segment)
    }
    if (!this.#hasRoom(listener, key, cookies !== 0)) {
      mib.tcpExt[TcpExtMib.ListenDrops]!++
      const stale = listener.staleHandshake
      if (stale === null) return DropReason.TCP_LISTEN_OVERFLOW
      this.dropHalfOpen(stale)
    }
    if (listener.isFull) {
      mib.tcpExt[TcpExtMib.ListenOverflows]!++
      mib.tcpExt[TcpExtMib.ListenDrops]!++
      return DropReason.TCP_LISTEN_OVERFLOW
    }
    const halfOpen = new HalfOpen(
      listener,
      key,
      termsOf(segment, ipv4, listener.maxSegment),
      isn !== 0 ? isn : this.#shared.isn.sequence(key, now),
      this.#shared.timestampOffset(key),
      this.#expire,
    )
    if (!this.#shared.endpoints.connect(halfOpen.key, halfOpen)) {
      mib.tcpExt[TcpExtMib.ListenDrops]!++
      return DropReason.TCP_LISTEN_OVERFLOW
    }
    listener.halfOpen.push(halfOpen)
    halfOpen.startedAt = now
    if (listener.isCatchAll) {
      halfOpen.undecided = true
      listener.undecided.push(halfOpen)
      this.#shared.wheel.schedule(halfOpen.timer, now + DECISION_TIMEOUT)
      this.#shared.softirq.eventPending(listener.user)
      return DropReason.NONE
    }
    this.#answerSyn(halfOpen)
    return DropReason.NONE
  }

  /** Nothing is remembered: what has to be goes into the numbers of the SYN-ACK. */
  #answerWithCookie(listener: Listener, key: Int32Array, segment: Segment): DropReason {
    const { ctx, cookies } = this.#shared
    const { now, mib, sysctl } = ctx
    if (listener.isFull) {
      mib.tcpExt[TcpExtMib.ListenOverflows]!++
      mib.tcpExt[TcpExtMib.ListenDrops]!++
      return DropReason.TCP_LISTEN_OVERFLOW
    }
    const terms = termsOf(segment, sysctl.ipv4, listener.maxSegment)
    if (!terms.timestamps) {
      terms.peerScale = -1
      terms.sack = terms.ecn = false
    }
    const { peerScale: windowScale, sack, ecn } = terms
    const iss = cookies.make(key, terms.irs, terms.peerMss, now)
    const halfOpen = new HalfOpen(listener, key, terms, iss, this.#shared.timestampOffset(key), this.#expire)
    halfOpen.stamp = (encodeOptions(timestampAt(now, 0), { windowScale, sack, ecn }) + halfOpen.tsOffset) | 0
    listener.lastCookie = now
    mib.tcpExt[TcpExtMib.SyncookiesSent]!++
    if (this.#prepare(halfOpen)) halfOpen.answer(this.#shared.replies, now, this.#synOptions)
    return DropReason.NONE
  }

  /** An ACK out of nowhere: if it brings a cookie, the handshake is made up again. `null`: it is nothing. */
  #fromCookie(listener: Listener, key: Int32Array, segment: Segment): DropReason | null {
    const { ctx, cookies } = this.#shared
    const { now, mib, sysctl } = ctx
    const { ipv4 } = sysctl
    if (ipv4.tcp_syncookies === 0 || listener.isCatchAll || (segment.flags & TcpFlag.SYN) !== 0) return null
    if (now - listener.lastCookie > COOKIE_VALID) return null
    const irs = (segment.seq - 1) | 0
    const iss = (segment.ack - 1) | 0
    const peerMss = cookies.check(key, irs, iss, now)
    if (peerMss === 0) {
      mib.tcpExt[TcpExtMib.SyncookiesFailed]!++
      return null
    }
    mib.tcpExt[TcpExtMib.SyncookiesRecv]!++
    const tsOffset = this.#shared.timestampOffset(key)
    const { options } = segment
    const terms: HandshakeTerms = {
      irs,
      peerMss,
      peerScale: -1,
      sack: false,
      ecn: false,
      timestamps: ipv4.tcp_timestamps !== 0 && options.timestamps,
      tsRecent: options.tsValue,
    }
    if (terms.timestamps) {
      const { windowScale, sack, ecn } = decodeOptions((options.tsEcho - tsOffset) | 0)
      terms.peerScale = windowScale
      terms.sack = sack
      terms.ecn = ecn
    }
    const halfOpen = new HalfOpen(listener, key, terms, iss, tsOffset, this.#expire)
    halfOpen.startedAt = now
    halfOpen.isFromCookie = true
    if (!this.#prepare(halfOpen)) return DropReason.TCP_FLAGS
    return this.#complete(halfOpen, segment)
  }

  /** A segment for a handshake that is under way. */
  toHalfOpen(halfOpen: HalfOpen, segment: Segment): DropReason {
    const { ctx } = this.#shared
    const { now, mib } = ctx
    switch (halfOpen.judge(segment)) {
      case HandshakeVerdict.DROP:
        return DropReason.TCP_FLAGS
      case HandshakeVerdict.REPEAT:
        if (halfOpen.undecided) return DropReason.NONE
        if (this.#shared.limit.skipAnswer(halfOpen, now)) mib.tcpExt[TcpExtMib.TCPACKSkippedSynRecv]!++
        else halfOpen.answer(this.#shared.replies, now, this.#synOptions)
        return DropReason.NONE
      case HandshakeVerdict.RESET:
        this.#shared.replies.reset(segment)
        return DropReason.TCP_INVALID_ACK_SEQUENCE
      case HandshakeVerdict.ACK:
        if (this.#shared.limit.skipAnswer(halfOpen, now)) mib.tcpExt[TcpExtMib.TCPACKSkippedSynRecv]!++
        else this.#ackHalfOpen(halfOpen, segment)
        return DropReason.TCP_INVALID_SEQUENCE
      case HandshakeVerdict.ABORT_RESET:
        this.#shared.replies.reset(segment)
        this.#abortHalfOpen(halfOpen)
        return DropReason.TCP_INVALID_SYN
      case HandshakeVerdict.ABORT:
        this.#abortHalfOpen(halfOpen)
        return DropReason.TCP_RESET
      case HandshakeVerdict.COMPLETE:
        return this.#complete(halfOpen, segment)
    }
  }

  /** The handshake failed. */
  dropHalfOpen(halfOpen: HalfOpen): void {
    this.#forgetHalfOpen(halfOpen)
    const { listener } = halfOpen
    if (!listener.isCatchAll) return
    listener.failed.push(halfOpen)
    this.#shared.softirq.eventPending(listener.user)
  }

  /** Listens. A positive errno: `EADDRNOTAVAIL`, `EADDRINUSE`, `EAGAIN` (no port left). */
  listen(address: Ipv4Address, port: number, backlog: number, user: EventSource): Listener | number {
    const { sysctl, random, routing } = this.#shared.ctx
    if (address !== 0 && sysctl.ipv4.ip_nonlocal_bind === 0 && routing.addresses.deviceOf(address) === null) {
      return Errno.EADDRNOTAVAIL
    }
    const key = createFlowKey()
    setIpv4Binding(key, address, port)
    if (port === 0) {
      const { ip_local_port_range_low: low, ip_local_port_range_high: high } = sysctl.ipv4
      if (this.#shared.endpoints.pickPort(key, new PortRange(low, high), random) === 0)
        return Errno.EADDRINUSE
    }
    const listener = new Listener(key, user, Math.min(backlog, sysctl.core.somaxconn))
    return this.#shared.endpoints.bind(key, listener) ? listener : Errno.EADDRINUSE
  }

  /** Hears of every SYN that no listener is there for. `EADDRINUSE`: there is one already. */
  listenAll(backlog: number, user: EventSource): Listener | number {
    if (this.#catchAll !== null) return Errno.EADDRINUSE
    this.#catchAll = new Listener(null, user, Math.min(backlog, this.#shared.ctx.sysctl.core.somaxconn))
    return this.#catchAll
  }

  /** Ends a listener: handshakes are forgotten, connections that nobody accepted are reset. */
  unlisten(listener: Listener): void {
    if (listener.closed) return
    listener.closed = true
    this.#shared.softirq.enter()
    try {
      if (listener.key === null) this.#catchAll = null
      else this.#shared.endpoints.unbind(listener.key, listener)
      for (const halfOpen of listener.halfOpen) this.dropHalfOpen(halfOpen)
      for (const tcb of listener.acceptQueue.splice(0)) {
        tcb.orphan = true
        this.#connections.abort(tcb, Errno.ECONNABORTED)
      }
    } finally {
      this.#shared.softirq.leave()
    }
  }

  /** The program wants the connection: its SYN is answered now. */
  acceptRequest(halfOpen: HalfOpen): void {
    if (!halfOpen.undecided) return
    halfOpen.undecided = false
    this.#shared.softirq.enter()
    try {
      this.#answerSyn(halfOpen)
    } finally {
      this.#shared.softirq.leave()
    }
  }

  /** It does not: the peer is reset, or hears nothing. */
  refuseRequest(halfOpen: HalfOpen, silently: boolean): void {
    if (!halfOpen.undecided) return
    this.#shared.softirq.enter()
    try {
      this.dropHalfOpen(halfOpen)
      if (!silently) this.#shared.replies.refuse(halfOpen.key, halfOpen.rcvNxt)
    } finally {
      this.#shared.softirq.leave()
    }
  }

  /**
   * One handshake more than the backlog fits, and as in Linux, without cookies, three quarters of `tcp_max_syn_backlog`:
   * the last is for peers that are known.
   */
  #hasRoom(listener: Listener, key: Int32Array, cookies: boolean): boolean {
    const { mib, sysctl } = this.#shared.ctx
    const waiting = listener.halfOpen.length
    if (waiting > listener.backlog) {
      mib.tcpExt[TcpExtMib.TCPReqQFullDrop]!++
      return false
    }
    const { tcp_max_syn_backlog: most } = sysctl.ipv4
    if (cookies || most - waiting >= most >> 2) return true
    return this.#shared.metrics.isProven(key[FlowKey.LOCAL + 3]!, key[FlowKey.REMOTE + 3]!)
  }

  #answerSyn(halfOpen: HalfOpen): void {
    const { ctx } = this.#shared
    if (!this.#prepare(halfOpen)) return this.dropHalfOpen(halfOpen)
    halfOpen.answer(this.#shared.replies, ctx.now, this.#synOptions)
    this.#shared.wheel.schedule(halfOpen.timer, ctx.now + SYN_ACK_TIMEOUT)
  }

  /** What the SYN-ACK says of this end; `false` if nobody is to be answered there. */
  #prepare(halfOpen: HalfOpen): boolean {
    const settings = this.#shared.settings(halfOpen.listener.receiveBuffer, halfOpen.listener.sendBuffer)
    const path = new Ipv4Path(this.#shared.ip, halfOpen.key, 0)
    // RFC 1122 §4.2.3.10: whom a broadcast address claims to be, nobody answers.
    if (((path.route?.flags ?? 0) & (RouteFlag.BROADCAST | RouteFlag.MULTICAST)) !== 0) {
      return false
    }
    halfOpen.congestion = routeCongestion(path.route) ?? halfOpen.listener.congestion
    halfOpen.announcedMss = Math.min(path.advertisedMss, halfOpen.listener.maxSegment)
    halfOpen.rcvScale = halfOpen.peerScale >= 0 ? this.#shared.windowScale(settings) : 0
    halfOpen.wnd = initialWindow(
      settings.receiveBuffer,
      halfOpen.announcedMss - (halfOpen.timestamps ? TCP_TIMESTAMPS_LENGTH : 0),
      path.metric(Metric.INITRWND),
      this.#shared.ctx.sysctl.ipv4.tcp_workaround_signed_windows !== 0,
    )
    return true
  }

  #repeatSynAck(halfOpen: HalfOpen): void {
    this.#shared.softirq.enter()
    try {
      const { ctx } = this.#shared
      if (halfOpen.undecided) return this.dropHalfOpen(halfOpen)
      if (halfOpen.retries >= ctx.sysctl.ipv4.tcp_synack_retries) return this.dropHalfOpen(halfOpen)
      halfOpen.retries++
      ctx.mib.tcp[TcpMib.RetransSegs]!++
      ctx.mib.tcpExt[TcpExtMib.TCPSynRetrans]!++
      halfOpen.answer(this.#shared.replies, ctx.now, this.#synOptions)
      this.#shared.wheel.schedule(
        halfOpen.timer,
        ctx.now + Math.min(SYN_ACK_TIMEOUT * 2 ** halfOpen.retries, 120 * SECOND),
      )
    } finally {
      this.#shared.softirq.leave()
    }
  }

  #forgetHalfOpen(halfOpen: HalfOpen): void {
    this.#shared.wheel.cancel(halfOpen.timer)
    this.#shared.endpoints.disconnect(halfOpen.key, halfOpen)
    const { listener } = halfOpen
    listener.halfOpen.remove(halfOpen)
    const at = listener.undecided.indexOf(halfOpen)
    if (at >= 0) listener.undecided.splice(at, 1)
    halfOpen.undecided = false
  }

  #abortHalfOpen(halfOpen: HalfOpen): void {
    const { mib } = this.#shared.ctx
    mib.tcp[TcpMib.AttemptFails]!++
    mib.tcpExt[TcpExtMib.EmbryonicRsts]!++
    this.dropHalfOpen(halfOpen)
  }

  #ackHalfOpen(halfOpen: HalfOpen, segment: Segment): void {
    const wnd = Math.min(halfOpen.wnd >>> halfOpen.rcvScale, 0xffff)
    const { sndNxt, rcvNxt, timestamps } = halfOpen
    if (timestamps) {
      const clock = timestampAt(this.#shared.ctx.now, halfOpen.tsOffset)
      this.#shared.replies.ack(segment, sndNxt, rcvNxt, wnd, clock, halfOpen.tsRecent)
    } else this.#shared.replies.ack(segment, sndNxt, rcvNxt, wnd)
  }

  /** The last ACK of the handshake: the connection is made, and the segment is its first. */
  #complete(halfOpen: HalfOpen, segment: Segment): DropReason {
    const { ctx } = this.#shared
    const { mib } = ctx
    const { listener } = halfOpen
    if (listener.isFull) {
      mib.tcpExt[TcpExtMib.ListenOverflows]!++
      mib.tcpExt[TcpExtMib.ListenDrops]!++
      if (ctx.sysctl.ipv4.tcp_abort_on_overflow !== 0) {
        this.#shared.replies.reset(segment)
        this.#abortHalfOpen(halfOpen)
      }
      // Otherwise the SYN-ACK goes again and its answer may find room.
      return DropReason.TCP_LISTEN_OVERFLOW
    }
    this.#forgetHalfOpen(halfOpen)
    const settings = this.#shared.settings(listener.receiveBuffer, listener.sendBuffer)
    const tcb = this.#shared.createTcb(halfOpen.key, settings, halfOpen.congestion, this.#connections.expire)
    tcb.maxPacingRate = listener.maxPacingRate
    takeRouteMetrics(tcb)
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
    tcb.ecn = halfOpen.ecn
    tcb.windowScaling = halfOpen.peerScale >= 0
    tcb.sndScale = Math.max(0, halfOpen.peerScale)
    tcb.rcvScale = halfOpen.rcvScale
    tcb.peerMss = halfOpen.peerMss
    tcb.announcedMss = halfOpen.announcedMss
    tcb.rcvMss = initialRcvMss(tcb)
    tcb.establishedAt = halfOpen.startedAt
    tcb.totalRetransmits = halfOpen.retries
    tcb.handshakeTimed = !halfOpen.isFromCookie
    tcb.noDelay = listener.noDelay
    if (listener.isCatchAll) tcb.handshake = halfOpen
    tcb.lastHeard = ctx.now
    if (!this.#shared.endpoints.connect(tcb.key, tcb)) return DropReason.TCP_LISTEN_OVERFLOW
    tcb.registered = true
    mib.tcp[TcpMib.PassiveOpens]!++
    const reason = this.#connections.toConnection(tcb, segment)
    if (tcb.state === TcpState.CLOSED) return reason
    if (listener.keepAlive) this.#connections.setKeepAlive(tcb, true)
    listener.acceptQueue.push(tcb)
    this.#shared.softirq.eventPending(listener.user)
    return reason
  }
}
