/**
 * Data and FIN of an acceptable segment (RFC 9293 §3.10.7.4, seventh and eighth): what is next goes to the ring, what
 * is early waits in the out-of-order queue, what is old is reported as a duplicate. Where a segment ends beyond the
 * window it is taken whole or not at all.
 */
import { Errno } from '../errors.ts'
import { type Mib, TcpExtMib } from '../observe/mib.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { receiveMark } from './ecn.ts'
import { AckAction, type Effects } from './effects.ts'
import { shrinkToPressure } from './memory.ts'
import { Insertion } from './out-of-order.ts'
import { growReceiveBuffer, measureWindowRtt, openWindow } from './receive-autotuning.ts'
import { enterQuickAck } from './receive-window.ts'
import type { Segment } from './segment.ts'
import { seqGe, seqGt, seqLe, seqLt, seqMin } from './sequence.ts'
import { type Tcb, TcbEvent, TcpState } from './tcb.ts'

/** @param grow `tcp_moderate_rcvbuf` */
export function receiveData(
  tcb: Tcb,
  segment: Segment,
  effects: Effects,
  mib: Mib,
  now: number,
  grow: boolean,
): void {
  const { tcpExt } = mib
  if (tcb.finReceived) {
    receiveAfterFin(tcb, segment, effects, tcpExt)
    return
  }
  const wnd = tcb.receiveWindow
  const edge = (tcb.rcvNxt + wnd) | 0
  if (seqLe(segment.end, tcb.rcvNxt)) {
    reportOld(tcb, segment, tcpExt)
    enterQuickAck(tcb)
    effects.ack = AckAction.NOW
    effects.reason = DropReason.TCP_OLD_DATA
    return
  }
  if (segment.length > 0 && seqGt((segment.seq + segment.length) | 0, edge)) {
    const reason = refuseBeyond(tcb, segment, wnd, edge)
    if (reason !== 0) {
      if (reason === DropReason.TCP_ZEROWINDOW) tcpExt[TcpExtMib.TCPZeroWindowDrop]!++
      else if (reason === DropReason.TCP_INVALID_END_SEQUENCE) tcpExt[TcpExtMib.BeyondWindow]!++
      reportDuplicate(tcb, segment, tcpExt)
      enterQuickAck(tcb)
      effects.ack = AckAction.NOW
      effects.reason = reason
      return
    }
  }
  if (tcb.ecn && segment.length > 0) receiveMark(tcb, segment)
  if (segment.length > tcb.rcvMss) learnSegmentSize(tcb, segment)
  if (seqGt(segment.seq, tcb.rcvNxt)) return receiveEarly(tcb, segment, effects, tcpExt, grow)

  if (seqLt(segment.seq, tcb.rcvNxt)) {
    // Old at its beginning, new at its end.
    tcb.noteDuplicate(segment.seq, tcb.rcvNxt)
    segment.trimFront((tcb.rcvNxt - segment.seq) | 0)
  }
  if (segment.length > 0) {
    const { packet, dataStart } = segment
    // What memory there is goes to what can be read: all that came early gives way, and a reader who is behind waits.
    if (tcb.memory.exhausted) prune(tcb, tcpExt)
    const refused = tcb.ring.length > 0 && tcb.memory.exhausted
    const taken = refused ? 0 : tcb.ring.writePacket(packet, dataStart, dataStart + segment.length)
    if (taken < segment.length) {
      // No memory: what was not taken is not acknowledged, and comes again.
      tcpExt[TcpExtMib.TCPRcvQDrop]!++
      effects.reason = DropReason.PROTO_MEM
      segment.keep(taken)
    }
    tcb.rcvNxt = (tcb.rcvNxt + taken) | 0
    tcb.bytesReceived += taken
    tcb.events |= TcbEvent.READABLE
  }
  effects.ack = AckAction.DATA
  if (segment.length > 0) {
    if (tcb.quickAcks > 0 && now - tcb.lastReceived > tcb.rtt.timeout) enterQuickAck(tcb)
    tcb.lastReceived = now
    measureWindowRtt(tcb, now)
    openWindow(tcb, segment.length)
  }
  if (segment.isFin) receiveFin(tcb, effects, mib)
  if (!tcb.outOfOrder.isEmpty) {
    effects.ack = AckAction.NOW // it filled (part of) a hole: RFC 5681 §4.2
    deliverEarly(tcb, effects, mib)
  }
}

/**
 * Why data that ends beyond the window is not taken; 0: it is, all of it. As Linux 6.18 does: one packet may exceed the
 * window while nothing waits to be read, so that no sender of large segments is stuck, and otherwise none may.
 */
function refuseBeyond(tcb: Tcb, { seq }: Segment, wnd: number, edge: number): DropReason | 0 {
  if (tcb.ring.length > 0) return DropReason.TCP_INVALID_END_SEQUENCE
  if (wnd === 0) return DropReason.TCP_ZEROWINDOW
  return seqGe(seq, edge) ? DropReason.TCP_OVERWINDOW : 0
}

/** Behind the peer's FIN there is nothing, but old data and that FIN may come again. */
function receiveAfterFin(tcb: Tcb, segment: Segment, effects: Effects, tcpExt: Float64Array): void {
  effects.reason = DropReason.TCP_OLD_DATA
  if (seqGe(segment.seq, tcb.rcvNxt)) return
  if (seqGt((segment.seq + segment.length) | 0, tcb.rcvNxt)) {
    // Data where the FIN was: one of the two is forged.
    tcpExt[TcpExtMib.TCPAbortOnData]!++
    effects.closed = true
    effects.errno = Errno.ECONNRESET
    effects.reset = true
    effects.reason = DropReason.TCP_ABORT_ON_DATA
    return
  }
  effects.ack = AckAction.NOW
  reportOld(tcb, segment, tcpExt)
}

/** What waited and is next now. */
function deliverEarly(tcb: Tcb, effects: Effects, mib: Mib): void {
  const { outOfOrder, ring } = tcb
  const bytes = outOfOrder.deliver(tcb.rcvNxt, ring)
  if (outOfOrder.foundDuplicate && !tcb.hasDsack) {
    tcb.noteDuplicate(outOfOrder.duplicateLeft, outOfOrder.duplicateRight)
  }
  if (bytes > 0) {
    tcb.rcvNxt = (tcb.rcvNxt + bytes) | 0
    tcb.bytesReceived += bytes
    tcb.events |= TcbEvent.READABLE
  }
  if (outOfOrder.finReached) receiveFin(tcb, effects, mib)
}

function receiveEarly(
  tcb: Tcb,
  segment: Segment,
  effects: Effects,
  tcpExt: Float64Array,
  grow: boolean,
): void {
  const { packet, dataStart, length, seq } = segment
  enterQuickAck(tcb)
  effects.ack = AckAction.NOW // at once, so that the sender counts it (RFC 5681 §4.2)
  const { outOfOrder } = tcb
  if (tcb.memory.exhausted) prune(tcb, tcpExt)
  const result = tcb.memory.exhausted
    ? Insertion.FULL
    : outOfOrder.insert(seq, packet.bytes, dataStart, dataStart + length, segment.isFin)
  if (result === Insertion.PARTIAL || result === Insertion.DUPLICATE) {
    tcb.noteDuplicate(outOfOrder.duplicateLeft, outOfOrder.duplicateRight)
  }
  switch (result) {
    case Insertion.NEW:
    case Insertion.PARTIAL:
      tcpExt[TcpExtMib.TCPOFOQueue]!++
      tcb.segmentsEarly += Math.max(1, packet.gsoSegments)
      // Without SACK another window would make the acknowledgment no duplicate.
      if (tcb.sack) openWindow(tcb, length)
      if (!tcb.orphan) growReceiveBuffer(tcb, tcb.rcvSpace, grow)
      break
    case Insertion.DUPLICATE:
      tcpExt[TcpExtMib.TCPOFOMerge]!++
      effects.reason = DropReason.TCP_OFOMERGE
      break
    case Insertion.FULL:
      tcpExt[TcpExtMib.TCPOFODrop]!++
      effects.reason = DropReason.TCP_OFO_DROP
      break
  }
}

/** What came early is thrown away: the peer, which still has it, sends it again (RFC 2018 §8; `tcp_prune_queue`). */
function prune(tcb: Tcb, tcpExt: Float64Array): void {
  tcpExt[TcpExtMib.PruneCalled]!++
  shrinkToPressure(tcb)
  if (tcb.outOfOrder.isEmpty) return
  tcpExt[TcpExtMib.OfoPruned]!++
  tcb.outOfOrder.clear()
}

/** The peer has said all (RFC 9293 §3.10.7.4, eighth). */
function receiveFin(tcb: Tcb, effects: Effects, mib: Mib): void {
  tcb.finReceived = true
  tcb.rcvNxt = (tcb.rcvNxt + 1) | 0
  tcb.outOfOrder.clear()
  tcb.events |= TcbEvent.READABLE
  switch (tcb.state) {
    case TcpState.ESTABLISHED:
      // Most applications close at once then: its acknowledgment waits a little for their FIN, as on Linux.
      tcb.interactive = true
      tcb.hasDsack = false // as Linux, whose other states have acknowledged by now
      if (tcb.ring.length >= tcb.receiveBuffer) effects.ack = AckAction.NOW // no room: the peer may repeat it without end
      tcb.setState(TcpState.CLOSE_WAIT, mib.tcp)
      break
    case TcpState.FIN_WAIT_1:
      effects.ack = AckAction.NOW
      tcb.setState(TcpState.CLOSING, mib.tcp)
      break
    case TcpState.FIN_WAIT_2:
      effects.ack = AckAction.NOW
      effects.timeWait = true
      break
    default:
  }
}

/** Of a segment that is not taken, what was here already is reported by the next acknowledgment (RFC 2883 §4). */
export function reportDuplicate(tcb: Tcb, { seq, end }: Segment, tcpExt: Float64Array): void {
  if (end === seq || seqGe(seq, tcb.rcvNxt)) return
  tcpExt[TcpExtMib.DelayedACKLost]!++
  enterQuickAck(tcb)
  tcb.noteDuplicate(seq, seqMin(end, tcb.rcvNxt))
}

function reportOld(tcb: Tcb, { seq, end }: Segment, tcpExt: Float64Array): void {
  tcpExt[TcpExtMib.DelayedACKLost]!++
  if (end !== seq) tcb.noteDuplicate(seq, end)
}

/** A segment larger than any before: the size that acknowledgments count by, of a super-segment that of its parts. */
function learnSegmentSize(tcb: Tcb, { packet, length }: Segment): void {
  const size = packet.gsoSize !== 0 ? Math.min(packet.gsoSize, length) : length
  tcb.rcvMss = Math.max(tcb.rcvMss, Math.min(size, tcb.announcedMss))
}
