/**
 * What is lost, and what may be on its way meanwhile, as in Linux: RACK tells losses by time (RFC 8985), without SACK
 * three duplicates do (RFC 6582), a timeout takes everything for lost (RFC 6298 §5) unless what comes next shows that
 * it was spurious (F-RTO, RFC 5682). In a recovery the window comes down to what congestion control says by
 * proportional rate reduction (RFC 6937), and goes back up if it turns out that nothing was lost: timestamps (Eifel,
 * RFC 3522) or reported duplicates (RFC 3708) tell. A tail that nobody answers is probed (TLP, RFC 8985 §7).
 */
import type { Ipv4Context } from '../ipv4/context.ts'
import { TcpExtMib } from '../observe/mib.ts'
import { MILLISECOND } from '../time/clock.ts'
import type { TcpOptions } from '../wire/tcp-options.ts'
import { AckSample, type CongestionCause } from './congestion/congestion-control.ts'
import { timestampAt } from './isn.ts'
import { isBlock, reportsDuplicate } from './sack-blocks.ts'
import type { Segment } from './segment.ts'
import { seqGe, seqGt, seqLe, seqLt } from './sequence.ts'
import { LossState, type Tcb } from './tcb.ts'
import type { CwndState, RetransmitReason } from './trace.ts'
import { Delivery } from './transmissions.ts'

/** What a reordering or probe timer waits at least (`TCP_TIMEOUT_MIN`): the wheel's ticks are milliseconds. */
const TIMEOUT_MIN = 2 * MILLISECOND
/** `tcp_early_retrans`: tails are probed. */
const EARLY_RETRANS_TLP = 3
/** No retransmission of this recovery has been counted for undoing yet. */
const NONE_COUNTED = -1

export class LossRecovery {
  /** After {@link nextToRetransmit}: where that begins. */
  retransmitFrom = 0
  readonly #ctx: Ipv4Context
  readonly #delivery = new Delivery()
  readonly #sample = new AckSample()
  #inFlightBefore = 0
  #duplicateBytes = 0
  #sackedNew = 0
  /** RTT by what the last acknowledgment told of the records: 0 and above, or −1. */
  rtt = -1
  /** The same, by the newest of it: it holds no delay of the peer's acknowledgments but the last. */
  newestRtt = -1

  constructor(ctx: Ipv4Context) {
    this.#ctx = ctx
  }

  /** An acknowledgment came while something was on its way: takes note of what has arrived, and how long it took. */
  deliver(tcb: Tcb, segment: Segment, now: number): void {
    const { transmissions, rack } = tcb
    const delivery = this.#delivery.clear(
      now,
      this.#copiesBefore(tcb, segment, now),
      transmissions.highestSacked,
    )
    this.#inFlightBefore = this.inFlight(tcb)
    this.#duplicateBytes = this.#sackedNew = 0
    if (tcb.sack && segment.options.sackCount > 0) this.#takeSack(tcb, segment)
    transmissions.acknowledge(tcb.sndUna, tcb.recoveryPoint, delivery)
    tcb.delivered += delivery.bytes
    if (delivery.bytes > 0) tcb.deliveredAt = now
    rack.advance(delivery)
    this.rtt = this.newestRtt = -1
    // Karn (RFC 6298 §3): not by what was sent twice.
    if (!delivery.retransmitted && delivery.oldestSentAt >= 0) {
      this.rtt = now - delivery.oldestSentAt
      this.newestRtt = now - delivery.newestSentAt
    } else if (!delivery.retransmitted && delivery.sackedSentAt >= 0) {
      this.rtt = this.newestRtt = now - delivery.sackedSentAt
    }
    if (delivery.hasLate) this.#noteReordering(tcb, delivery.late)
  }

  /**
   * Draws the consequences, after {@link deliver}.
   * @param acked bytes of sequence space that it acknowledged anew
   * @param duplicate it is one as RFC 5681 §2 has it
   */
  onAck(tcb: Tcb, segment: Segment, acked: number, duplicate: boolean, now: number): void {
    const { transmissions } = tcb
    const lostBefore = transmissions.totalLost
    tcb.holdRetransmissions = false
    if (acked > 0 && tcb.mtuSearch !== null && tcb.mtuSearch.succeeded(tcb.sndUna)) {
      tcb.mssMtu = 0
      this.#ctx.mib.tcpExt[TcpExtMib.TCPMTUPSuccess]!++
    }
    if (!tcb.sack) this.#countDuplicates(tcb, acked, duplicate, now)
    if (tcb.tlpEnd !== null) this.#processProbeAnswer(tcb, segment, acked, duplicate, now)
    if (tcb.sack) {
      tcb.rack.adapt(this.#ctx.sysctl.ipv4.tcp_recovery, tcb.delivered, this.#delivery.priorDelivered)
    }
    const marked = tcb.ecn && segment.isEce && !segment.isSyn
    if (marked) this.#noteMark(tcb)
    this.#react(tcb, segment, acked, duplicate, now)
    if (marked) this.enterCwr(tcb, now)
    this.#control(tcb, segment, acked, transmissions.totalLost - lostBefore, now)
    if (transmissions.count === 0) tcb.probeAt = Infinity
    else if (acked > 0 || this.#sackedNew > 0) this.scheduleProbe(tcb, now, acked > 0)
    this.#traceFlight(tcb, now)
  }

  /** The retransmission timer has fired: everything is taken for lost but what was sent just now. */
  onTimeout(tcb: Tcb, now: number): void {
    const { mib, sysctl } = this.#ctx
    const { transmissions, rack } = tcb
    const recovering = tcb.lossState >= LossState.RECOVERY
    if (tcb.lossState === LossState.RECOVERY) {
      mib.tcpExt[tcb.sack ? TcpExtMib.TCPSackRecoveryFail : TcpExtMib.TCPRenoRecoveryFail]!++
    }
    if (transmissions.isHeadSacked) {
      mib.tcpExt[TcpExtMib.TCPSACKReneging]!++
      transmissions.forgetSacked()
      transmissions.loseAll()
    } else {
      const within = rack.rtt + this.#reorderingWindow(tcb)
      transmissions.loseAll(tcb.sack && rack.sentAt >= 0 ? now - within : Infinity)
    }
    tcb.dupAcks = 0
    // Once for what was on its way (RFC 5681 §3.1): not again for what this timer has sent again already.
    const anew = !recovering || seqLe(tcb.recoveryPoint, tcb.sndUna)
    const again = !anew && (tcb.lossState !== LossState.LOSS || tcb.retransmits > 0)
    if (!again) {
      this.#remember(tcb)
      this.#initUndo(tcb)
    }
    tcb.congestion.onTimeout(this.#flightSize(tcb, 0), now, again)
    tcb.congestion.cwnd = Math.max(tcb.congestion.cwnd, this.inFlight(tcb) + tcb.mss)
    if (!recovering) tcb.reordering = Math.min(tcb.reordering, sysctl.ipv4.tcp_reordering)
    tcb.lossState = LossState.LOSS
    tcb.recoveryPoint = tcb.sndNxt
    tcb.frto = sysctl.ipv4.tcp_frto !== 0 && (anew || tcb.retransmits > 0)
    tcb.holdRetransmissions = false
    tcb.tlpEnd = null
    tcb.reorderAt = tcb.probeAt = Infinity
    tcb.ecnReduced = tcb.ecn
    tcb.timeoutAt = now
    tcb.reason = 'timeout'
    this.#trace(tcb)
  }

  /** The peer echoes a mark of the path: whatever it does to the window is no mistake. */
  #noteMark(tcb: Tcb): void {
    const { tcpExt } = this.#ctx.mib
    tcpExt[TcpExtMib.TCPDeliveredCE]! += Math.ceil(this.#delivery.bytes / Math.max(1, tcb.mss))
    tcb.deliveredMarked += this.#delivery.bytes
    tcb.undoing = false
  }

  /** The reordering timer has fired: what nothing has overtaken by now is lost (§6.3). */
  onReorderTimeout(tcb: Tcb, now: number): void {
    tcb.reorderAt = Infinity
    const before = tcb.transmissions.lostBytes
    this.#inFlightBefore = this.inFlight(tcb)
    this.#detectLoss(tcb, now)
    if (tcb.transmissions.lostBytes === before) return
    if (tcb.lossState < LossState.RECOVERY && !this.#hasProbeFailed(tcb)) {
      this.#enterRecovery(tcb, now)
      if (!tcb.congestion.ownsRecovery) this.#reduce(tcb, 1, tcb.transmissions.lostBytes - before, false)
    }
  }

  /** The path takes smaller packets only: what is on its way was too large, and that is no congestion (RFC 1191 §6.5). */
  pathShrunk(tcb: Tcb): void {
    if (tcb.sndUna === tcb.sndNxt) return
    tcb.transmissions.loseAll()
    tcb.dupAcks = 0
    this.#repeatSmaller(tcb)
  }

  /** A router's word that the probe was too large: nothing else was. `false`: there was none, or more was too large. */
  probeRefused(tcb: Tcb, mtu: number): boolean {
    const search = tcb.mtuSearch
    if (search === null || search.size <= mtu || search.low > mtu) return false
    const { start, end } = search
    this.#failProbe(tcb)
    tcb.transmissions.lose(start, end)
    this.#repeatSmaller(tcb)
    return true
  }

  /** What is lost is the probe of the path's MTU, and nothing before it: no congestion either (RFC 4821 §7.5). */
  #hasProbeFailed(tcb: Tcb): boolean {
    const search = tcb.mtuSearch
    if (search === null || search.size === 0 || tcb.lossState >= LossState.CWR) return false
    if (tcb.sndUna !== search.start) return false
    const { start, end } = search
    this.#failProbe(tcb)
    tcb.transmissions.lose(start, end)
    this.#repeatSmaller(tcb)
    return true
  }

  #failProbe(tcb: Tcb): void {
    tcb.mtuSearch!.failed()
    tcb.mssMtu = 0
    this.#ctx.mib.tcpExt[TcpExtMib.TCPMTUPFail]!++
  }

  /** What is taken for lost is sent again in segments that fit, and the window stays (`tcp_simple_retransmit`). */
  #repeatSmaller(tcb: Tcb): void {
    tcb.transmissions.joinLost()
    tcb.undoing = false
    tcb.lossState = LossState.LOSS
    tcb.recoveryPoint = tcb.sndNxt
    tcb.frto = false
    tcb.reason = 'path-mtu'
  }

  /** Congestion without loss (RFC 3168 §6.1.2): the window comes down, nothing is sent again. */
  enterCwr(tcb: Tcb, now: number): void {
    if (tcb.lossState >= LossState.CWR) return
    tcb.undoing = false
    this.#initReduction(tcb, 'ecn', now)
    tcb.lossState = LossState.CWR
    this.#trace(tcb)
  }

  /** Bytes that are taken to be on their way. */
  inFlight(tcb: Tcb): number {
    const { transmissions } = tcb
    const { sackedBytes, lostBytes, retransmittedBytes } = transmissions
    const out = ((tcb.sndNxt - transmissions.una) | 0) - lostBytes + retransmittedBytes
    // Without SACK each duplicate says that some segment has left: so the first two let a new one go each (RFC 3042).
    return Math.max(0, out - (tcb.sack ? sackedBytes : tcb.dupAcks * tcb.mss))
  }

  /** Bytes that the congestion window still allows. */
  room(tcb: Tcb): number {
    return Math.max(0, tcb.congestion.cwnd - this.inFlight(tcb))
  }

  /** Bytes to be sent again from {@link retransmitFrom} on; 0 if there are none. */
  nextToRetransmit(tcb: Tcb): number {
    const { transmissions } = tcb
    if (tcb.holdRetransmissions) return 0
    const next = transmissions.nextLost()
    if (next < 0) return 0
    this.retransmitFrom = transmissions.startOf(next)
    return (transmissions.endOf(next) - this.retransmitFrom) | 0
  }

  /** [from, to) is sent for the first time. */
  sent(tcb: Tcb, from: number, to: number, segments: number, now: number): void {
    if (tcb.transmissions.count === 0) tcb.firstSentAt = tcb.deliveredAt = now
    tcb.transmissions.add(
      from,
      to,
      segments,
      now,
      tcb.delivered,
      tcb.deliveredAt,
      tcb.firstSentAt,
      tcb.appLimited > 0,
    )
    if (isReducing(tcb)) tcb.prrOut += (to - from) | 0
    this.scheduleProbe(tcb, now, false)
    this.#traceFlight(tcb, now)
  }

  /** It was sent again. */
  retransmitted(tcb: Tcb, from: number, length: number, why: RetransmitReason | null = null): void {
    const { mib, now } = this.#ctx
    tcb.transmissions.retransmitted(
      from,
      (from + length) | 0,
      now,
      tcb.delivered,
      tcb.deliveredAt,
      tcb.firstSentAt,
    )
    const kind = tcb.lossState === LossState.LOSS ? TcpExtMib.TCPSlowStartRetrans : TcpExtMib.TCPFastRetrans
    mib.tcpExt[kind]! += Math.max(1, Math.ceil(length / tcb.mss))
    if (isReducing(tcb)) tcb.prrOut += length
    if (tcb.undoRetransmitted === NONE_COUNTED) tcb.undoRetransmitted = 0
    tcb.undoRetransmitted += length
    if (!tcb.retransmitStamped) {
      tcb.retransmitStamped = true
      tcb.retransmitStamp = timestampAt(now, tcb.tsOffset)
    }
    if (tcb.trace.listener === null) return
    const reason =
      why ?? tcb.reason ?? (tcb.lossState === LossState.LOSS ? 'timeout' : tcb.sack ? 'rack' : 'fast')
    tcb.trace.add({ type: 'retransmit', time: now, offset: (from - tcb.iss) >>> 0, length, reason })
  }

  /** All that there is has been sent, and the window would allow more: what is measured now is the application's pace. */
  applicationLimited(tcb: Tcb): void {
    tcb.appLimited = Math.max(1, tcb.delivered + this.inFlight(tcb))
  }

  /** When the tail of the flight is probed if nothing comes (`tcp_schedule_loss_probe`). */
  scheduleProbe(tcb: Tcb, now: number, advancing: boolean): void {
    const { ipv4 } = this.#ctx.sysctl
    const { transmissions, rtt } = tcb
    tcb.probeAt = Infinity
    if (ipv4.tcp_early_retrans < EARLY_RETRANS_TLP || !tcb.sack || transmissions.count === 0) return
    if (tcb.lossState !== LossState.OPEN && tcb.lossState !== LossState.CWR) return
    if (transmissions.sackedBytes > 0 || tcb.tlpEnd !== null) return
    let wait = rtt.srtt === 0 ? rtt.timeout : 2 * rtt.srtt
    if (rtt.srtt !== 0) wait += ((tcb.sndNxt - tcb.sndUna) | 0) <= tcb.mss ? rtt.minRto : TIMEOUT_MIN
    const timeout = advancing ? now + rtt.timeout : transmissions.sentAtOf(tcb.sndUna) + rtt.timeout
    tcb.probeAt = Math.max(now, Math.min(now + wait, timeout))
  }

  /** The tail was probed: what comes now says whether that was needed (§7.4). @param again it was sent before */
  probed(tcb: Tcb, again: boolean): void {
    tcb.tlpEnd = tcb.sndNxt
    tcb.tlpAgain = again
    this.#ctx.mib.tcpExt[TcpExtMib.TCPLossProbes]!++
  }

  // ---- what has arrived

  /**
   * When a copy was sent at the latest for an acknowledgment to be about it, and not about an original (RFC 8985 §6.2
   * step 2): a round trip ago, and not after the time that the peer echoes.
   */
  #copiesBefore({ rtt, timestamps, tsOffset }: Tcb, { options }: Segment, now: number): number {
    const roundTrip = rtt.minRtt === Infinity ? now : now - rtt.minRtt
    if (!timestamps || !options.timestamps || options.tsEcho === 0) return roundTrip
    // The echo's tick, to its end.
    const ago = (timestampAt(now, tsOffset) - options.tsEcho) | 0
    const echoed = (Math.floor(now / MILLISECOND) - ago + 1) * MILLISECOND - 1
    return Math.min(roundTrip, echoed)
  }

  #takeSack(tcb: Tcb, segment: Segment): void {
    const { options, ack } = segment
    const { transmissions } = tcb
    const { tcpExt } = this.#ctx.mib
    let first = 0
    if (reportsDuplicate(options, ack)) {
      first = 1
      if (isBlock(options, 0, tcb.sndNxt)) {
        tcpExt[TcpExtMib.TCPDSACKRecv]!++
        tcb.dsackDuplicates++
        this.#noteDuplicate(tcb, options)
      }
    }
    for (let i = first; i < options.sackCount; i++) {
      if (!isBlock(options, i, tcb.sndNxt)) continue
      this.#sackedNew += transmissions.sack(
        options.sackLeft[i]!,
        options.sackRight[i]!,
        tcb.recoveryPoint,
        this.#delivery,
      )
    }
  }

  /** Without SACK a duplicate says that a segment has arrived, and an acknowledgment that so many more than that have. */
  #countDuplicates(tcb: Tcb, acked: number, duplicate: boolean, now: number): void {
    const delivery = this.#delivery
    tcb.delivered -= delivery.bytes
    if (acked > 0) delivery.bytes = Math.max(acked - tcb.dupAcks * tcb.mss, Math.min(acked, tcb.mss))
    else delivery.bytes = duplicate ? tcb.mss : 0
    tcb.delivered += delivery.bytes
    if (delivery.bytes > 0) tcb.deliveredAt = now
  }

  /** A copy was not needed (`tcp_check_dsack`). */
  #noteDuplicate(tcb: Tcb, options: TcpOptions): void {
    const left = options.sackLeft[0]!
    const right = options.sackRight[0]!
    tcb.rack.duplicateSeen = true
    this.#duplicateBytes = (right - left) | 0
    if (!tcb.undoing || tcb.undoRetransmitted <= 0) return
    if (seqGt(right, tcb.undoMarker) && seqLe(right, tcb.sndNxt)) {
      tcb.undoRetransmitted = Math.max(0, tcb.undoRetransmitted - this.#duplicateBytes)
    }
  }

  /** Something that was sent once arrived behind what was sent later: how far that may go (`tcp_check_sack_reordering`). */
  #noteReordering(tcb: Tcb, late: number): void {
    if (tcb.lossState === LossState.LOSS && !tcb.undoing) return
    const { mib, sysctl } = this.#ctx
    const distance = (tcb.transmissions.highestSacked - late) | 0
    if (distance <= 0) return
    tcb.rack.reorderings++
    mib.tcpExt[TcpExtMib.TCPSACKReorder]!++
    if (distance <= tcb.reordering * tcb.mss) return
    tcb.reordering = Math.min(Math.ceil(distance / tcb.mss), sysctl.ipv4.tcp_max_reordering)
  }

  /** What the probe of the tail has brought (`tcp_process_tlp_ack`). */
  #processProbeAnswer(tcb: Tcb, segment: Segment, acked: number, duplicate: boolean, now: number): void {
    const end = tcb.tlpEnd!
    if (seqLt(segment.ack, end)) return
    if (!tcb.tlpAgain || this.#duplicateBytes > 0) {
      // New data was the probe, or the original and the probe have both arrived: nothing was lost.
      tcb.tlpEnd = null
    } else if (seqGt(segment.ack, end)) {
      // The probe has repaired a loss that nobody has noticed: the window answers for it.
      tcb.tlpEnd = null
      this.#ctx.mib.tcpExt[TcpExtMib.TCPLossProbeRecovery]!++
      this.#initReduction(tcb, 'loss', now)
      tcb.lossState = LossState.CWR
      this.#endReduction(tcb, now)
      tcb.lossState = LossState.OPEN
    } else if (acked === 0 && duplicate && this.#sackedNew === 0) {
      // A pure duplicate: the original has arrived too.
      tcb.tlpEnd = null
    }
  }

  // ---- states

  #react(tcb: Tcb, segment: Segment, acked: number, duplicate: boolean, now: number): void {
    const { transmissions } = tcb
    if (acked > 0 && tcb.sack && transmissions.isHeadSacked && tcb.lossState < LossState.LOSS) {
      // What was told to be there is asked for again: wait a little, then begin again (RFC 2018 §8).
      tcb.retransmitAt = Math.min(tcb.retransmitAt, now + Math.max(tcb.rtt.srtt / 2, 10 * MILLISECOND))
    }
    if (!transmissions.anyRetransmitted && tcb.lossState < LossState.RECOVERY) tcb.retransmitStamped = false
    if (tcb.lossState >= LossState.CWR && seqGe(tcb.sndUna, tcb.recoveryPoint)) {
      if (tcb.lossState === LossState.CWR) {
        if (tcb.sndUna !== tcb.recoveryPoint) this.#toOpen(tcb, now)
      } else if (tcb.lossState === LossState.RECOVERY) {
        if (!tcb.sack) tcb.dupAcks = 0
        if (this.#undoRecovery(tcb, segment, now)) return
        tcb.rack.recovered()
        this.#toOpen(tcb, now)
      }
    }
    switch (tcb.lossState) {
      case LossState.RECOVERY:
        if (acked === 0) {
          if (!tcb.sack && duplicate) tcb.dupAcks++
        } else if (this.#undoPartial(tcb, segment, now)) return
        if (!tcb.sack && acked > 0) this.#forgetDuplicates(tcb, acked)
        if (this.#undoByDuplicates(tcb, now)) this.#toOpen(tcb, now)
        this.#findLosses(tcb, acked > 0, now)
        if (tcb.lossState < LossState.RECOVERY && transmissions.lostBytes > 0) this.#enterRecovery(tcb, now)
        return
      case LossState.LOSS:
        this.#inLoss(tcb, segment, acked, duplicate, now)
        if (!isOpen(tcb)) {
          this.#findLosses(tcb, false, now)
          return
        }
        break
      default:
        if (!tcb.sack) {
          if (acked > 0) tcb.dupAcks = 0
          else if (duplicate) tcb.dupAcks++
        }
    }
    this.#undoByDuplicates(tcb, now)
    this.#findLosses(tcb, acked > 0, now)
    if (transmissions.lostBytes > 0) {
      if (!this.#hasProbeFailed(tcb)) this.#enterRecovery(tcb, now)
    } else if (tcb.lossState !== LossState.CWR) {
      const left = transmissions.sackedBytes > 0 || (!tcb.sack && tcb.dupAcks > 0)
      tcb.lossState = left ? LossState.DISORDER : LossState.OPEN
    }
  }

  /** After a timeout (`tcp_process_loss`). */
  #inLoss(tcb: Tcb, segment: Segment, acked: number, duplicate: boolean, now: number): void {
    const recovered = seqGe(tcb.sndUna, tcb.recoveryPoint)
    if (acked > 0 && this.#undoLoss(tcb, segment, false, now)) return
    if (tcb.frto) {
      // F-RTO step 3b: what was sent before the timeout arrives: nothing was lost.
      if (this.#delivery.original && this.#undoLoss(tcb, segment, true, now)) return
      if (seqGt(tcb.sndNxt, tcb.recoveryPoint)) {
        if (this.#sackedNew > 0 || duplicate) tcb.frto = false // 3a: the loss was real
      } else if (acked > 0 && !recovered) {
        // 2b: new data instead of copies, to see what comes of it.
        tcb.recoveryPoint = tcb.sndNxt
        if (seqGt(tcb.dataEnd, tcb.sndNxt) && seqGt(tcb.windowEnd, tcb.sndNxt)) {
          tcb.holdRetransmissions = true
          return
        }
        tcb.frto = false
      }
    }
    if (recovered) {
      if (this.#undoRecovery(tcb, segment, now)) return
      this.#toOpen(tcb, now)
      return
    }
    if (tcb.sack) return
    if (seqGt(tcb.sndNxt, tcb.recoveryPoint) && duplicate) tcb.dupAcks++
    else if (acked > 0) tcb.dupAcks = 0
  }

  #findLosses(tcb: Tcb, advanced: boolean, now: number): void {
    const { transmissions } = tcb
    if (tcb.sack) {
      if (transmissions.sackedBytes > 0 || tcb.lossState >= LossState.RECOVERY) this.#detectLoss(tcb, now)
      else tcb.reorderAt = Infinity
      return
    }
    // RFC 6582 §3.2: the third duplicate, and in the recovery each partial acknowledgment, tell of one segment.
    const third = tcb.lossState < LossState.RECOVERY && tcb.dupAcks >= tcb.reordering
    const partial = tcb.lossState === LossState.RECOVERY && advanced
    if ((third || partial) && transmissions.count > 0) transmissions.loseHead(tcb.mss)
  }

  #detectLoss(tcb: Tcb, now: number): void {
    const { transmissions, rack } = tcb
    if (rack.sentAt < 0) return
    const { retransmittedBytes } = transmissions
    const within = rack.rtt + this.#reorderingWindow(tcb)
    const wait = transmissions.detectLoss(rack.order, rack.end, within, now)
    rack.advanced = false
    if (transmissions.retransmittedBytes < retransmittedBytes)
      this.#ctx.mib.tcpExt[TcpExtMib.TCPLostRetransmit]!++
    tcb.reorderAt = wait === 0 ? Infinity : now + wait + TIMEOUT_MIN
  }

  #reorderingWindow(tcb: Tcb): number {
    const { rack, rtt, transmissions } = tcb
    const enough = transmissions.sackedSegments >= tcb.reordering
    const recovering = tcb.lossState >= LossState.RECOVERY
    return rack.reorderingWindow(this.#ctx.sysctl.ipv4.tcp_recovery, recovering, enough, rtt.minRtt, rtt.srtt)
  }

  #enterRecovery(tcb: Tcb, now: number): void {
    this.#ctx.mib.tcpExt[tcb.sack ? TcpExtMib.TCPSackRecovery : TcpExtMib.TCPRenoRecovery]!++
    this.#initUndo(tcb)
    if (tcb.lossState < LossState.CWR) {
      this.#remember(tcb)
      this.#initReduction(tcb, 'loss', now)
    }
    tcb.recoveryPoint = tcb.sndNxt
    tcb.lossState = LossState.RECOVERY
    tcb.tlpEnd = null
    tcb.reason = null
    this.#trace(tcb)
  }

  #toOpen(tcb: Tcb, now: number): void {
    if (tcb.lossState === LossState.CWR || tcb.lossState === LossState.RECOVERY) this.#endReduction(tcb, now)
    tcb.lossState = LossState.OPEN
    tcb.reason = null
    tcb.frto = false
    tcb.undoing = false
    this.#trace(tcb)
  }

  /** A partial acknowledgment takes the place of as many duplicates as it covers segments (RFC 6582 §3.2 step 3). */
  #forgetDuplicates(tcb: Tcb, acked: number): void {
    tcb.dupAcks = Math.max(0, tcb.dupAcks - Math.max(0, Math.ceil(acked / tcb.mss) - 1))
  }

  // ---- undoing

  #remember(tcb: Tcb): void {
    tcb.priorCwnd = tcb.congestion.cwnd
    tcb.priorSsthresh = tcb.congestion.ssthresh
  }

  #initUndo(tcb: Tcb): void {
    tcb.undoing = true
    tcb.undoMarker = tcb.sndUna
    tcb.undoRetransmitted = tcb.transmissions.retransmittedBytes
    if (tcb.tlpEnd !== null && tcb.tlpAgain) tcb.undoRetransmitted += tcb.mss
    if (tcb.undoRetransmitted === 0) tcb.undoRetransmitted = NONE_COUNTED
  }

  /** Every copy was reported as a duplicate, or the acknowledgment echoes what was sent before the first copy. */
  #mayUndo(tcb: Tcb, segment: Segment): boolean {
    return tcb.undoing && (tcb.undoRetransmitted === 0 || this.#isDelayed(tcb, segment))
  }

  /** Eifel (RFC 3522): the original was under way still. */
  #isDelayed({ timestamps, retransmitStamped, retransmitStamp }: Tcb, { options }: Segment): boolean {
    if (!timestamps || !options.timestamps || options.tsEcho === 0 || !retransmitStamped) return false
    return ((options.tsEcho - retransmitStamp) | 0) < 0
  }

  #undo(tcb: Tcb, now: number, forget: boolean): void {
    if (forget) tcb.transmissions.forgetLost()
    if (tcb.priorCwnd > 0) tcb.congestion.onUndo(tcb.priorCwnd, tcb.priorSsthresh, now)
    tcb.undoing = false
    tcb.rack.advanced = true
    if (tcb.trace.listener !== null) {
      const { cwnd, ssthresh } = tcb.congestion
      tcb.trace.add({ type: 'undo', time: now, cwnd, ssthresh })
    }
  }

  #undoRecovery(tcb: Tcb, segment: Segment, now: number): boolean {
    const { mib } = this.#ctx
    if (this.#mayUndo(tcb, segment)) {
      mib.tcpExt[tcb.lossState === LossState.LOSS ? TcpExtMib.TCPLossUndo : TcpExtMib.TCPFullUndo]!++
      this.#undo(tcb, now, false)
      tcb.lossState = LossState.OPEN
    }
    if (!tcb.sack && tcb.sndUna === tcb.recoveryPoint && tcb.lossState !== LossState.OPEN) {
      // Duplicates for what has just been sent again say nothing new: wait for what is beyond (RFC 6582 §3.2 step 2).
      tcb.retransmitStamped = false
      return true
    }
    return false
  }

  /** A partial acknowledgment of an original (`tcp_try_undo_partial`). */
  #undoPartial(tcb: Tcb, segment: Segment, now: number): boolean {
    if (!tcb.undoing || !this.#isDelayed(tcb, segment)) return false
    // What is on its way twice is left to arrive before anything more is done.
    if (tcb.transmissions.retransmittedBytes > 0) return true
    if (!tcb.transmissions.anyRetransmitted) tcb.retransmitStamped = false
    this.#ctx.mib.tcpExt[TcpExtMib.TCPPartialUndo]!++
    this.#undo(tcb, now, true)
    tcb.lossState = tcb.transmissions.sackedBytes > 0 ? LossState.DISORDER : LossState.OPEN
    return false
  }

  #undoByDuplicates(tcb: Tcb, now: number): boolean {
    if (!tcb.undoing || tcb.undoRetransmitted !== 0) return false
    this.#ctx.mib.tcpExt[TcpExtMib.TCPDSACKUndo]!++
    this.#undo(tcb, now, false)
    return true
  }

  #undoLoss(tcb: Tcb, segment: Segment, spurious: boolean, now: number): boolean {
    if (!spurious && !this.#mayUndo(tcb, segment)) return false
    const { mib } = this.#ctx
    this.#undo(tcb, now, true)
    mib.tcpExt[TcpExtMib.TCPLossUndo]!++
    if (spurious) mib.tcpExt[TcpExtMib.TCPSpuriousRTOs]!++
    tcb.endTimeouts(now)
    if (spurious || tcb.sack) {
      tcb.lossState = LossState.OPEN
      tcb.frto = false
      tcb.reason = null
      this.#trace(tcb)
    }
    return true
  }

  // ---- the window

  #initReduction(tcb: Tcb, cause: CongestionCause, now: number): void {
    tcb.recoveryPoint = tcb.sndNxt
    tcb.tlpEnd = null
    tcb.prrCwnd = tcb.congestion.cwnd
    tcb.prrDelivered = tcb.prrOut = 0
    tcb.ecnReduced = tcb.ecn
    tcb.congestion.onCongestionEvent(this.#flightSize(tcb, this.#inFlightBefore), now, cause)
  }

  #endReduction(tcb: Tcb, now: number): void {
    const { congestion } = tcb
    if (!congestion.ownsRecovery && congestion.ssthresh !== Infinity) congestion.cwnd = congestion.ssthresh
    congestion.onRecoveryExit(this.inFlight(tcb), now)
  }

  /** Proportional rate reduction (RFC 6937 §3.1, with the safe bound where losses go on). */
  #reduce(tcb: Tcb, delivered: number, lost: number, advanced: boolean): void {
    if (delivered <= 0 || tcb.prrCwnd === 0) return
    const { congestion, mss } = tcb
    const inFlight = this.inFlight(tcb)
    const room = congestion.ssthresh - inFlight
    tcb.prrDelivered += delivered
    let send: number
    if (room < 0) send = Math.ceil((congestion.ssthresh * tcb.prrDelivered) / tcb.prrCwnd) - tcb.prrOut
    else {
      send = Math.max(tcb.prrDelivered - tcb.prrOut, delivered)
      if (advanced && lost === 0) send += mss
      send = Math.min(room, send)
    }
    // The first retransmission goes in any case, and without SACK that of each hole (RFC 6582 §3.2 step 3).
    const partial = !tcb.sack && advanced && tcb.lossState === LossState.RECOVERY
    send = Math.max(send, tcb.prrOut === 0 || partial ? mss : 0)
    congestion.cwnd = inFlight + send
  }

  /** What congestion control learns of the acknowledgment (`tcp_cong_control`). */
  #control(tcb: Tcb, segment: Segment, acked: number, lost: number, now: number): void {
    const { congestion } = tcb
    const { bytes } = this.#delivery
    const sample = this.#sampleOf(tcb, acked, lost, now)
    sample.ece = tcb.ecn && segment.isEce
    if (congestion.ownsRecovery) return congestion.onAck(sample)
    if (isReducing(tcb)) return this.#reduce(tcb, bytes, lost, acked > 0)
    // While packets overtake one another what SACK tells of counts as well (`tcp_may_raise_cwnd`).
    const reordered = tcb.reordering > this.#ctx.sysctl.ipv4.tcp_reordering
    if (acked === 0 && !(reordered && bytes > 0)) return
    congestion.onAck(sample)
  }

  #sampleOf(tcb: Tcb, acked: number, lost: number, now: number): AckSample {
    const sample = this.#sample
    const delivery = this.#delivery
    sample.now = now
    sample.acked = acked
    sample.delivered = delivery.bytes
    sample.lost = lost
    sample.inFlightBefore = this.#inFlightBefore
    sample.inFlight = this.inFlight(tcb)
    sample.rtt = this.newestRtt
    sample.srtt = tcb.rtt.srtt
    sample.minRtt = tcb.rtt.minRtt
    sample.sndUna = tcb.sndUna
    sample.sndNxt = tcb.sndNxt
    sample.inRecovery = tcb.lossState >= LossState.RECOVERY
    sample.totalDelivered = tcb.delivered
    sample.interval = -1
    sample.isAppLimited = delivery.appLimited
    if (tcb.appLimited > 0 && tcb.delivered > tcb.appLimited) tcb.appLimited = 0
    if (delivery.priorDelivered < 0) return sample
    sample.priorDelivered = delivery.priorDelivered
    tcb.firstSentAt = Math.max(tcb.firstSentAt, delivery.priorSentAt)
    // The slower of sending and of hearing of it (draft-cheng-iccrg-delivery-rate-estimation §3.3).
    const sending = delivery.priorSentAt - delivery.priorFirstSentAt
    const interval = Math.max(sending, now - delivery.priorDeliveredAt)
    if (interval < tcb.rtt.minRtt || interval <= 0) return sample
    sample.interval = interval
    const rate = (tcb.delivered - delivery.priorDelivered) / interval
    if (!delivery.appLimited || rate >= tcb.deliveryRate) {
      tcb.deliveryRate = rate
      tcb.deliveryRateLimited = delivery.appLimited
    }
    return sample
  }

  /** FlightSize (RFC 5681 §2), without what limited transmit has added to it. @param before what it was before this acknowledgment */
  #flightSize(tcb: Tcb, before: number): number {
    return Math.min(Math.max((tcb.sndNxt - tcb.transmissions.una) | 0, before), tcb.congestion.cwnd)
  }

  #trace(tcb: Tcb): void {
    if (tcb.trace.listener === null) return
    const { cwnd, ssthresh } = tcb.congestion
    tcb.trace.add({ type: 'cwnd', time: this.#ctx.now, cwnd, ssthresh, state: STATE_NAMES[tcb.lossState] })
  }

  #traceFlight(tcb: Tcb, now: number): void {
    if (tcb.trace.listener === null) return
    const { cwnd, ssthresh } = tcb.congestion
    tcb.trace.add({ type: 'flight', time: now, inFlight: this.inFlight(tcb), cwnd, ssthresh })
  }
}

const STATE_NAMES: Readonly<Record<LossState, CwndState>> = {
  [LossState.OPEN]: 'open',
  [LossState.DISORDER]: 'disorder',
  [LossState.CWR]: 'cwr',
  [LossState.RECOVERY]: 'recovery',
  [LossState.LOSS]: 'loss',
}

function isOpen({ lossState }: Tcb): boolean {
  return lossState === LossState.OPEN
}

/** The window is on its way down (`tcp_in_cwnd_reduction`). */
function isReducing({ lossState }: Tcb): boolean {
  return lossState === LossState.CWR || lossState === LossState.RECOVERY
}
