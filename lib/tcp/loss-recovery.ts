/**
 * What is lost, and what may be on its way meanwhile: the third duplicate acknowledgment or what SACK shows begins a
 * recovery (RFC 5681 §3.2, RFC 6675; without SACK RFC 6582), a timeout begins again from the first byte that is not
 * acknowledged (RFC 6298 §5). How large the congestion window is, congestion control says; how much of it is used is
 * reckoned here: what SACK or a duplicate acknowledgment says has left the network, and so has what is lost.
 */
import type { Ipv4Context } from '../ipv4/context.ts'
import { TcpExtMib } from '../observe/mib.ts'
import { AckSample } from './congestion/congestion-control.ts'
import type { Segment } from './segment.ts'
import { seqGe, seqGt, seqLt, seqMin } from './sequence.ts'
import { LossState, type Tcb } from './tcb.ts'
import type { RetransmitReason } from './trace.ts'

export class LossRecovery {
  /** After {@link nextToRetransmit}: where that begins. */
  retransmitFrom = 0
  readonly #ctx: Ipv4Context
  readonly #sample = new AckSample()

  constructor(ctx: Ipv4Context) {
    this.#ctx = ctx
  }

  /**
   * An acknowledgment came while something was on its way.
   * @param acked bytes of sequence space that it acknowledged anew
   * @param duplicate it is one as RFC 5681 §2 has it
   */
  onAck(tcb: Tcb, segment: Segment, acked: number, duplicate: boolean, now: number): void {
    const { scoreboard, congestion } = tcb
    const { tcpExt } = this.#ctx.mib
    const inFlight = this.inFlight(tcb)
    let news = 0
    if (tcb.sack) {
      news = scoreboard.update(segment.options, segment.ack, tcb.sndUna, tcb.sndNxt)
      if (scoreboard.dsack) {
        tcpExt[TcpExtMib.TCPDSACKRecv]!++
        tcb.dsackDuplicates++
      }
    } else scoreboard.advance(tcb.sndUna)
    switch (tcb.lossState) {
      case LossState.OPEN:
        if (acked > 0) tcb.dupAcks = 0
        if (duplicate || news > 0) tcb.dupAcks++
        if (this.#showsLoss(tcb)) return this.#enterRecovery(tcb, inFlight, now)
        if (acked > 0) congestion.onAck(this.#sampleOf(tcb, acked, inFlight, now))
        return
      case LossState.RECOVERY:
        if (seqGe(tcb.sndUna, tcb.recoveryPoint)) {
          this.#leave(tcb)
          congestion.onRecoveryExit(this.inFlight(tcb), now)
          return
        }
        if (acked > 0 && !tcb.sack) {
          // A partial acknowledgment: what follows it is missing too (RFC 6582 §3.2 step 3), and as many of the
          // duplicates as it covers segments were about those.
          tcb.dupAcks = Math.max(0, tcb.dupAcks - Math.max(0, Math.ceil(acked / tcb.mss) - 1))
          scoreboard.startRecovery()
          scoreboard.markLostTo(seqMin((tcb.sndUna + tcb.mss) | 0, tcb.recoveryPoint))
        } else if (duplicate) tcb.dupAcks++
        return
      case LossState.LOSS:
        if (acked === 0) return
        if (seqGe(tcb.sndUna, tcb.recoveryPoint)) this.#leave(tcb)
        congestion.onAck(this.#sampleOf(tcb, acked, inFlight, now))
        return
    }
  }

  /** The retransmission timer has fired: everything is taken for lost, and the window is one segment. */
  onTimeout(tcb: Tcb, now: number): void {
    const { mib } = this.#ctx
    // The threshold is set once for what was on its way (RFC 5681 §3.1).
    const again =
      tcb.lossState === LossState.LOSS && seqLt(tcb.sndUna, tcb.recoveryPoint) && tcb.retransmits > 0
    if (tcb.lossState === LossState.RECOVERY) {
      mib.tcpExt[tcb.sack ? TcpExtMib.TCPSackRecoveryFail : TcpExtMib.TCPRenoRecoveryFail]!++
    }
    tcb.congestion.onTimeout(this.inFlight(tcb), now, again)
    if (!again) tcb.recoveryPoint = tcb.sndNxt
    if (tcb.scoreboard.timeout(tcb.sndNxt)) mib.tcpExt[TcpExtMib.TCPSACKReneging]!++
    tcb.lossState = LossState.LOSS
    tcb.dupAcks = 0
    tcb.timedAt = Infinity
    tcb.timeoutAt = now
    tcb.reason = null
    this.#trace(tcb)
  }

  /** The path takes smaller packets only: what is on its way was too large, and that is no congestion (RFC 1191 §6.5). */
  pathShrunk(tcb: Tcb): void {
    if (tcb.sndUna === tcb.sndNxt) return
    tcb.scoreboard.startRecovery()
    tcb.scoreboard.markLostTo(tcb.sndNxt)
    tcb.lossState = LossState.LOSS
    tcb.recoveryPoint = tcb.sndNxt
    tcb.dupAcks = 0
    tcb.timedAt = Infinity
    tcb.reason = 'path-mtu'
  }

  /** Bytes that are taken to be on their way. */
  inFlight(tcb: Tcb): number {
    const pipe = tcb.scoreboard.pipe(tcb.sndNxt)
    if (tcb.sack || tcb.dupAcks === 0) return pipe
    // Without SACK each duplicate says that some segment has left; before a recovery two at most (RFC 3042).
    const left =
      tcb.lossState === LossState.OPEN ? Math.min(tcb.dupAcks, tcb.scoreboard.dupThresh - 1) : tcb.dupAcks
    return Math.max(0, pipe - left * tcb.mss)
  }

  /** Bytes that the congestion window still allows. */
  room(tcb: Tcb): number {
    return Math.max(0, tcb.congestion.cwnd - this.inFlight(tcb))
  }

  /** Bytes to be sent again from {@link retransmitFrom} on; 0 if there are none. */
  nextToRetransmit(tcb: Tcb): number {
    const { scoreboard } = tcb
    if (tcb.lossState === LossState.OPEN || !scoreboard.nextHole(tcb.sndUna)) return 0
    this.retransmitFrom = scoreboard.holeLeft
    return (scoreboard.holeRight - scoreboard.holeLeft) | 0
  }

  /** It was sent again. */
  retransmitted(tcb: Tcb, from: number, length: number): void {
    const { tcpExt } = this.#ctx.mib
    tcb.scoreboard.retransmitted((from + length) | 0)
    if (tcb.lossState === LossState.RECOVERY) tcpExt[TcpExtMib.TCPFastRetrans]!++
    else tcpExt[TcpExtMib.TCPSlowStartRetrans]!++
    if (tcb.trace.listener === null) return
    const reason: RetransmitReason = tcb.reason ?? (tcb.lossState === LossState.RECOVERY ? 'fast' : 'timeout')
    const offset = (from - tcb.iss) >>> 0
    tcb.trace.add({ type: 'retransmit', time: this.#ctx.now, offset, length, reason })
  }

  /** The first segment of a recovery is sent whatever the window says (RFC 5681 §3.2 step 3). */
  mayExceed(tcb: Tcb): boolean {
    return tcb.lossState === LossState.RECOVERY && tcb.scoreboard.highRxt === tcb.sndUna
  }

  #sampleOf(tcb: Tcb, acked: number, inFlightBefore: number, now: number): AckSample {
    const sample = this.#sample
    sample.now = now
    sample.acked = acked
    sample.inFlightBefore = inFlightBefore
    sample.inFlight = this.inFlight(tcb)
    sample.srtt = tcb.rtt.srtt
    sample.minRtt = tcb.rtt.minRtt
    sample.sndUna = tcb.sndUna
    sample.sndNxt = tcb.sndNxt
    return sample
  }

  #showsLoss(tcb: Tcb): boolean {
    if (tcb.sack) return tcb.scoreboard.sackedBytes > 0 && tcb.scoreboard.isLost(tcb.sndUna)
    // Duplicates for what a recovery has just sent again say nothing new (RFC 6582 §3.2 step 2).
    return tcb.dupAcks >= tcb.scoreboard.dupThresh && seqGt(tcb.sndUna, tcb.recoveryPoint)
  }

  #enterRecovery(tcb: Tcb, inFlight: number, now: number): void {
    this.#ctx.mib.tcpExt[tcb.sack ? TcpExtMib.TCPSackRecovery : TcpExtMib.TCPRenoRecovery]!++
    tcb.lossState = LossState.RECOVERY
    tcb.recoveryPoint = tcb.sndNxt
    tcb.timedAt = Infinity
    tcb.scoreboard.startRecovery()
    if (!tcb.sack) tcb.scoreboard.markLostTo((tcb.sndUna + tcb.mss) | 0)
    tcb.congestion.onCongestionEvent(inFlight, now, 'loss')
    this.#trace(tcb)
  }

  #leave(tcb: Tcb): void {
    tcb.lossState = LossState.OPEN
    tcb.dupAcks = 0
    tcb.reason = null
    tcb.scoreboard.endRecovery()
    this.#trace(tcb)
  }

  #trace(tcb: Tcb): void {
    if (tcb.trace.listener === null) return
    const { cwnd, ssthresh } = tcb.congestion
    const state =
      tcb.lossState === LossState.OPEN ? 'open' : tcb.lossState === LossState.LOSS ? 'loss' : 'recovery'
    tcb.trace.add({ type: 'cwnd', time: this.#ctx.now, cwnd, ssthresh, state })
  }
}
