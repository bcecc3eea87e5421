/**
 * What a segment does to a connection (RFC 9293 §3.10.7, with RFC 5961 against blind attacks, RFC 7323 §5 against old
 * duplicates). It changes the block in place and leaves what is to be done besides, as sending, to its caller, in
 * {@link Effects}. In the order of Linux's `tcp_rcv_state_process`.
 */
import { Errno } from '../errors.ts'
import type { Ipv4Context } from '../ipv4/context.ts'
import { TcpExtMib } from '../observe/mib.ts'
import { MILLISECOND, SECOND } from '../time/clock.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { TcpFlag } from '../wire/tcp.ts'
import type { TcpOptions } from '../wire/tcp-options.ts'
import { isGranted, SYN_ECN } from './ecn.ts'
import { AckAction, type Effects } from './effects.ts'
import { timestampAt } from './isn.ts'
import { endLimit, Limit } from './limits.ts'
import type { LossRecovery } from './loss-recovery.ts'
import { initMtuSearch } from './mtu-probing.ts'
import { receiveData, reportDuplicate } from './receive.ts'
import { initReceiveSpace, measureEchoRtt } from './receive-autotuning.ts'
import { MAX_QUICK_ACKS } from './receive-window.ts'
import type { Segment } from './segment.ts'
import { seqGt, seqLe, seqLt } from './sequence.ts'
import { type Tcb, TcbEvent, TcpState } from './tcb.ts'
import { noteUrgent } from './urgent.ts'

/** A timestamp older than this says nothing any more (RFC 7323 §5.5). */
const PAWS_VALID = 24 * 86400 * SECOND

export class TcpInput {
  readonly #ctx: Ipv4Context
  readonly #loss: LossRecovery

  constructor(ctx: Ipv4Context, loss: LossRecovery) {
    this.#ctx = ctx
    this.#loss = loss
  }

  /** Takes a segment for the connection. The packet stays the caller's. */
  onSegment(tcb: Tcb, segment: Segment, effects: Effects): void {
    const { gsoSegments } = segment.packet
    tcb.segmentsIn += gsoSegments
    if (segment.length > 0) tcb.dataSegmentsIn += gsoSegments
    if (tcb.state === TcpState.SYN_SENT) this.#synSent(tcb, segment, effects)
    else if (this.#acceptable(tcb, segment, effects)) this.#acknowledged(tcb, segment, effects)
  }

  /** RFC 9293 §3.10.7.3. */
  #synSent(tcb: Tcb, segment: Segment, effects: Effects): void {
    const { ack, flags, options } = segment
    const { now, mib } = this.#ctx
    const isAck = (flags & TcpFlag.ACK) !== 0
    if (isAck) {
      if (seqLe(ack, tcb.iss) || seqGt(ack, tcb.sndNxt)) {
        effects.reset = true
        return reject(effects, DropReason.TCP_INVALID_ACK_SEQUENCE)
      }
      if (options.timestamps && tcb.timestamps && options.tsEcho !== 0) {
        const clock = timestampAt(now, tcb.tsOffset)
        const first = timestampAt(tcb.establishedAt, tcb.tsOffset)
        if (seqGt(options.tsEcho, clock) || seqLt(options.tsEcho, first)) {
          mib.tcpExt[TcpExtMib.PAWSActive]!++
          effects.reset = true
          return reject(effects, DropReason.TCP_RFC7323_PAWS)
        }
      }
    }
    if ((flags & TcpFlag.RST) !== 0) {
      if (!isAck) return reject(effects, DropReason.TCP_RESET)
      effects.closed = true
      effects.errno = Errno.ECONNREFUSED
      return reject(effects, DropReason.TCP_RESET)
    }
    if ((flags & TcpFlag.SYN) === 0) return reject(effects, DropReason.TCP_FLAGS)

    tcb.irs = segment.seq
    tcb.rcvNxt = tcb.rcvWup = (segment.seq + 1) | 0
    this.#agree(tcb, options)
    tcb.ecn &&= isAck ? isGranted(segment) : (flags & SYN_ECN) === SYN_ECN
    tcb.rcvEdge = (tcb.rcvNxt + tcb.rcvWnd) | 0
    tcb.sndWnd = tcb.maxSndWnd = segment.wnd // never scaled in a SYN
    tcb.sndWl1 = segment.seq
    tcb.lastHeard = now
    if (!isAck) {
      // Simultaneous open (RFC 9293 §3.5): theirs crossed ours.
      tcb.setState(TcpState.SYN_RECEIVED, mib.tcp)
      effects.synAck = true
      return
    }
    tcb.sndUna = ack
    tcb.dataSeq = (tcb.iss + 1) | 0
    this.#measureHandshake(tcb, options)
    this.#establish(tcb, effects)
    effects.ack = AckAction.NOW
  }

  /** Takes over what both ends have offered; what only the peer says counts for nothing. */
  #agree(tcb: Tcb, options: TcpOptions): void {
    tcb.timestamps &&= options.timestamps
    tcb.sack &&= options.sackPermitted
    tcb.windowScaling &&= options.windowScale >= 0
    if (tcb.windowScaling) tcb.sndScale = options.windowScale
    else tcb.rcvScale = 0
    if (!tcb.windowScaling && tcb.rcvWnd > 0xffff) tcb.rcvWnd = 0xffff
    if (tcb.timestamps) {
      tcb.tsRecent = options.tsValue
      tcb.tsRecentTime = this.#ctx.now
    }
    tcb.peerMss = Math.min(options.mss === 0 ? 536 : options.mss, tcb.userMss)
    tcb.mssMtu = 0
  }

  #measureHandshake(tcb: Tcb, options: TcpOptions): void {
    const { now } = this.#ctx
    if (!tcb.handshakeTimed) return
    if (tcb.retransmits === 0 && tcb.totalRetransmits === 0) {
      tcb.rtt.sample(now - tcb.establishedAt, tcb.sndUna, tcb.sndNxt)
    } else if (tcb.timestamps && options.timestamps && options.tsEcho !== 0) {
      const elapsed = (timestampAt(now, tcb.tsOffset) - options.tsEcho) | 0
      if (elapsed >= 0) tcb.rtt.sample(Math.max(elapsed, 1) * MILLISECOND, tcb.sndUna, tcb.sndNxt)
    } else {
      tcb.rtt.fallBack()
    }
    if (tcb.rtt.srtt !== 0) tcb.rtt.sampleMinimum(tcb.rtt.srtt, now)
  }

  #establish(tcb: Tcb, effects: Effects): void {
    const { now, mib } = this.#ctx
    tcb.setState(tcb.finQueued ? TcpState.FIN_WAIT_1 : TcpState.ESTABLISHED, mib.tcp)
    tcb.establishedAt = now
    tcb.lastSent = now
    if (tcb.totalRetransmits > 1) tcb.congestion.onHandshakeLoss()
    tcb.endTimeouts(now)
    tcb.retransmitStart = Infinity
    tcb.retransmitAt = Infinity
    tcb.recoveryPoint = tcb.iss
    tcb.transmissions.reset(tcb.sndUna)
    initMtuSearch(tcb, this.#ctx.sysctl.ipv4, now)
    tcb.quickAcks = MAX_QUICK_ACKS
    initReceiveSpace(tcb, now)
    tcb.events |= TcbEvent.CONNECTED
    effects.established = true
  }

  /** RFC 5961 and PAWS: whether the segment counts (`tcp_validate_incoming`). */
  #acceptable(tcb: Tcb, segment: Segment, effects: Effects): boolean {
    const { seq, end, flags, options } = segment
    const { mib, now } = this.#ctx
    const isRst = (flags & TcpFlag.RST) !== 0
    // RFC 9293 §3.10.7.4, fifth: without ACK it is nothing, wherever it lies.
    if ((flags & (TcpFlag.ACK | TcpFlag.RST | TcpFlag.SYN)) === 0) {
      reject(effects, DropReason.TCP_FLAGS)
      return false
    }
    if (tcb.timestamps && options.timestamps && this.#isOld(tcb, segment)) {
      if ((flags & TcpFlag.SYN) !== 0 && !isRst) return this.#challengeSyn(effects)
      // An acknowledgment that was overtaken, of what is acknowledged since: nothing wrong, and nothing to say.
      if (end === seq && seqLt(seq, tcb.rcvNxt) && !isRst) {
        mib.tcpExt[TcpExtMib.PAWSOldAck]!++
        reject(effects, DropReason.TCP_RFC7323_PAWS)
        return false
      }
      if (!isRst) {
        mib.tcpExt[TcpExtMib.PAWSEstab]!++
        effects.ack = AckAction.OUT_OF_WINDOW
        effects.skipped = TcpExtMib.TCPACKSkippedPAWS
        reportDuplicate(tcb, segment, mib.tcpExt)
        reject(effects, DropReason.TCP_RFC7323_PAWS)
        return false
      }
    }
    if (tcb.timestamps && !options.timestamps && !isRst) {
      // RFC 7323 §3.2: without the option it was not sent by who agreed to send it in every segment.
      reject(effects, DropReason.TCP_RFC7323_PAWS)
      return false
    }
    const misplaced = outOfSequence(tcb, segment)
    if (misplaced !== 0) {
      if (isRst) {
        if (resetsLate(tcb, seq)) this.#reset(tcb, effects)
        else reject(effects, misplaced)
        return false
      }
      if ((flags & TcpFlag.SYN) !== 0) return this.#challengeSyn(effects)
      effects.ack = AckAction.OUT_OF_WINDOW
      effects.skipped = TcpExtMib.TCPACKSkippedSeq
      if (misplaced !== DropReason.TCP_OLD_SEQUENCE) mib.tcpExt[TcpExtMib.BeyondWindow]!++
      reportDuplicate(tcb, segment, mib.tcpExt)
      reject(effects, misplaced)
      return false
    }
    if (isRst) {
      // Only the exact number ends it at once (RFC 5961 §3.2).
      // Or the one behind what SACK has told of: there the peer is (RFC 5961 §3.2 knows of no SACK; Linux does).
      const atEnd = tcb.sack && !tcb.outOfOrder.isEmpty && seq === tcb.outOfOrder.end
      if (seq === tcb.rcvNxt || atEnd || resetsLate(tcb, seq)) this.#reset(tcb, effects)
      else {
        effects.ack = AckAction.CHALLENGE
        reject(effects, DropReason.TCP_RESET)
      }
      return false
    }
    if ((flags & TcpFlag.SYN) !== 0) {
      // The peer's half of a simultaneous open: SYN-ACK with the number that its SYN had.
      const crossed =
        tcb.state === TcpState.SYN_RECEIVED &&
        (flags & TcpFlag.ACK) !== 0 &&
        segment.length === 0 &&
        end === tcb.rcvNxt &&
        segment.ack === tcb.sndNxt
      if (!crossed) return this.#challengeSyn(effects)
    }
    if ((flags & TcpFlag.ACK) === 0) {
      reject(effects, DropReason.TCP_FLAGS)
      return false
    }
    tcb.lastHeard = now
    return true
  }

  #challengeSyn(effects: Effects): boolean {
    this.#ctx.mib.tcpExt[TcpExtMib.TCPSYNChallenge]!++
    effects.ack = AckAction.CHALLENGE
    reject(effects, DropReason.TCP_INVALID_SYN)
    return false
  }

  /** RFC 7323 §5.3 R1. */
  #isOld(tcb: Tcb, segment: Segment): boolean {
    const { options, seq, ack } = segment
    if (((options.tsValue - tcb.tsRecent) | 0) >= 0) return false
    if (this.#ctx.now - tcb.tsRecentTime > PAWS_VALID) return false
    if (tcb.tsRecent === 0) return false
    // An acknowledgment that was overtaken by another says nothing new, but nothing wrong (`tcp_disordered_ack`).
    const pureAck =
      segment.length === 0 && segment.end === seq && seq === tcb.rcvNxt && ack === tcb.sndUna && segment.isAck
    const wnd = segment.wnd << tcb.sndScale
    // What may update the window (`tcp_may_update_window`) does say something.
    if (pureAck && !seqGt(seq, tcb.sndWl1) && wnd <= tcb.sndWnd && wnd !== 0) {
      const replay = Math.max(tcb.rtt.timeout, 200 * MILLISECOND) * 1.2
      if (((tcb.tsRecent - options.tsValue) | 0) * MILLISECOND <= replay) {
        this.#ctx.mib.tcpExt[TcpExtMib.PAWSOldAck]!++
        return false
      }
    }
    return true
  }

  #reset(tcb: Tcb, effects: Effects): void {
    effects.closed = true
    switch (tcb.state) {
      case TcpState.CLOSE_WAIT:
        effects.errno = Errno.EPIPE
        break
      case TcpState.SYN_RECEIVED:
        effects.errno = Errno.ECONNREFUSED
        break
      default:
        effects.errno = Errno.ECONNRESET
    }
    reject(effects, DropReason.TCP_RESET)
  }

  /** The ACK field, then state by state what it completes, then data and FIN. */
  #acknowledged(tcb: Tcb, segment: Segment, effects: Effects): void {
    const { ack, options } = segment
    const { now, mib } = this.#ctx
    if (seqGt(ack, tcb.sndNxt)) {
      if (tcb.state === TcpState.SYN_RECEIVED) effects.reset = true
      else effects.ack = AckAction.CHALLENGE // RFC 5961 §5.2, against optimistic acknowledgments
      return reject(effects, DropReason.TCP_ACK_UNSENT_DATA)
    }
    if (tcb.state === TcpState.SYN_RECEIVED) {
      if (seqLe(ack, tcb.iss)) {
        effects.reset = true
        return reject(effects, DropReason.TCP_OLD_ACK)
      }
      tcb.dataSeq = (tcb.iss + 1) | 0
      tcb.sndUna = tcb.dataSeq
      tcb.sndWnd = segment.wnd << (segment.isSyn ? 0 : tcb.sndScale)
      tcb.maxSndWnd = Math.max(tcb.maxSndWnd, tcb.sndWnd)
      tcb.sndWl1 = segment.seq
      this.#measureHandshake(tcb, options)
      this.#establish(tcb, effects)
    } else if (seqLt(ack, (tcb.sndUna - oldestAck(tcb)) | 0)) {
      effects.ack = AckAction.CHALLENGE
      return reject(effects, DropReason.TCP_TOO_OLD_ACK)
    }
    // RFC 7323 §4.3: the echo is of what advanced the window's left edge.
    if (tcb.timestamps && options.timestamps && seqLe(segment.seq, tcb.rcvWup)) {
      if (((options.tsValue - tcb.tsRecent) | 0) >= 0 || now - tcb.tsRecentTime > PAWS_VALID) {
        tcb.tsRecent = options.tsValue
        tcb.tsRecentTime = now
      }
    }
    if (tcb.timestamps && segment.length > 0) measureEchoRtt(tcb, options, segment.length, now)
    this.#processAck(tcb, segment)
    if (!this.#advanceState(tcb, segment, effects)) return
    noteUrgent(tcb, segment)
    if (segment.length > 0 || segment.isFin)
      receiveData(tcb, segment, effects, mib, now, this.#ctx.sysctl.ipv4.tcp_moderate_rcvbuf !== 0)
    else if (segment.length === 0) mib.tcpExt[TcpExtMib.TCPPureAcks]!++
    if (effects.timeWait || effects.closed) return
  }

  /** What is acknowledged, the window, and what both say about loss (`tcp_ack`). */
  #processAck(tcb: Tcb, segment: Segment): void {
    const { ack, options, seq } = segment
    const { now } = this.#ctx
    const before = tcb.sndUna
    const isOld = seqLt(ack, before)
    const wnd = segment.wnd << (segment.isSyn ? 0 : tcb.sndScale)
    const windowChanged = wnd !== tcb.lastWnd
    tcb.lastWnd = wnd
    if (
      !isOld &&
      (seqGt(ack, before) ||
        seqGt(seq, tcb.sndWl1) ||
        (seq === tcb.sndWl1 && (wnd > tcb.sndWnd || wnd === 0)))
    ) {
      tcb.sndWl1 = seq
      tcb.sndWnd = wnd
      if (wnd > tcb.maxSndWnd) {
        tcb.maxSndWnd = wnd
        tcb.mssMtu = 0 // half of the largest window bounds it
      }
    }
    tcb.probes = 0
    const acked = isOld ? 0 : (ack - before) | 0
    const flightBefore = (tcb.sndNxt - before) | 0
    if (acked > 0) {
      tcb.sndUna = ack
      let bytes = (ack - tcb.dataSeq) | 0
      if (bytes > tcb.sendQueue.length) bytes = tcb.sendQueue.length // FIN is no byte
      if (bytes > 0) {
        tcb.sendQueue.acknowledge(bytes)
        tcb.dataSeq = (tcb.dataSeq + bytes) | 0
        tcb.bytesAcked += bytes
        tcb.events |= TcbEvent.WRITABLE
        endLimit(tcb, Limit.SEND_BUFFER, now)
      }
      if (tcb.sndUna === tcb.sndNxt) tcb.events |= TcbEvent.ACKED
    }
    // RFC 5681 §2: no data, nothing new, no other window, and something is on its way.
    const duplicate =
      acked === 0 &&
      !isOld &&
      flightBefore > 0 &&
      segment.length === 0 &&
      (segment.flags & (TcpFlag.SYN | TcpFlag.FIN)) === 0 &&
      !windowChanged
    if (flightBefore > 0) {
      this.#loss.deliver(tcb, segment, now)
      this.#measureRtt(tcb, options, acked > 0, now)
    }
    if (acked > 0) {
      tcb.retransmitStart = Infinity // it gets on: whatever waits now has not waited in vain yet
      tcb.retransmitAt = tcb.sndUna === tcb.sndNxt ? Infinity : now + tcb.rtt.timeout
    } else if (tcb.sndUna === tcb.sndNxt && tcb.sndWnd > 0 && tcb.retransmitAt !== Infinity) {
      tcb.retransmitAt = Infinity // a probe was answered with an open window
      tcb.rtt.resetBackoff()
    }
    if (flightBefore > 0) this.#loss.onAck(tcb, segment, acked, duplicate, now)
    if (acked > 0 && tcb.retransmits > 0) tcb.endTimeouts(now)
  }

  /** What was sent once tells the RTT (Karn, RFC 6298 §3); after a retransmission only timestamps do. */
  #measureRtt(tcb: Tcb, options: TcpOptions, advanced: boolean, now: number): void {
    let { rtt, newestRtt } = this.#loss
    if (rtt < 0 && advanced && tcb.timestamps && options.timestamps && options.tsEcho !== 0) {
      const elapsed = (timestampAt(now, tcb.tsOffset) - options.tsEcho) | 0
      // An echo from before the last timeout may be of what had arrived, and only its acknowledgment was lost: it
      // would count the wait for the timeout as a round trip.
      if (elapsed >= 0 && elapsed * MILLISECOND <= now - tcb.timeoutAt)
        rtt = newestRtt = Math.max(elapsed, 1) * MILLISECOND
    }
    if (rtt < 0) return
    tcb.rtt.sample(rtt, tcb.sndUna, tcb.sndNxt)
    tcb.rtt.sampleMinimum(newestRtt, now)
    if (tcb.trace.listener === null) return
    const { srtt, timeout: rto } = tcb.rtt
    tcb.trace.add({ type: 'rtt', time: now, rtt, srtt, rto })
  }

  /** What the ACK completes; `false` if the connection is over with it. */
  #advanceState(tcb: Tcb, segment: Segment, effects: Effects): boolean {
    const { now, mib } = this.#ctx
    const allAcked = tcb.finSent && tcb.sndUna === tcb.sndNxt
    switch (tcb.state) {
      case TcpState.FIN_WAIT_1:
        if (allAcked) {
          tcb.setState(TcpState.FIN_WAIT_2, mib.tcp)
          tcb.events |= TcbEvent.ACKED
          if (tcb.orphan) tcb.keepaliveAt = now + this.#ctx.sysctl.ipv4.tcp_fin_timeout * SECOND
        }
        break
      case TcpState.CLOSING:
        if (!allAcked) break
        effects.timeWait = true
        return false
      case TcpState.LAST_ACK:
        if (!allAcked) break
        effects.closed = true
        return false
      default:
    }
    // RFC 9293 §3.6: whoever has closed takes no more data, and says so.
    if (tcb.orphan && (tcb.state === TcpState.FIN_WAIT_1 || tcb.state === TcpState.FIN_WAIT_2)) {
      if (segment.length > 0 && seqGt((segment.seq + segment.length) | 0, tcb.rcvNxt)) {
        mib.tcpExt[TcpExtMib.TCPAbortOnData]!++
        effects.closed = true
        effects.errno = Errno.ECONNRESET
        effects.reset = true
        reject(effects, DropReason.TCP_ABORT_ON_DATA)
        return false
      }
    }
    return true
  }
}

function reject(effects: Effects, reason: DropReason): void {
  effects.reason = reason
}

/** How far below SND.UNA an acknowledgment may lie (RFC 5961 §5.2), and never below what was sent first. */
function oldestAck({ maxSndWnd, bytesAcked, finSent, sndUna, sndNxt }: Tcb): number {
  return Math.min(maxSndWnd, bytesAcked + (finSent && sndUna === sndNxt ? 1 : 0))
}

/** A peer whose FIN is in may reset with the number before it (as macOS does; `tcp_reset_check`). */
function resetsLate({ state, rcvNxt }: Tcb, seq: number): boolean {
  const late = state === TcpState.CLOSE_WAIT || state === TcpState.LAST_ACK || state === TcpState.CLOSING
  return late && seq === ((rcvNxt - 1) | 0)
}

/** Why a segment is not acceptable (RFC 9293 §3.10.7.4, first); 0: it is. */
function outOfSequence(tcb: Tcb, { seq, end }: Segment): DropReason | 0 {
  if (seqLt(end, tcb.rcvWup)) return DropReason.TCP_OLD_SEQUENCE
  return seqGt(seq, (tcb.rcvNxt + tcb.receiveWindow) | 0) ? DropReason.TCP_INVALID_SEQUENCE : 0
}
