/**
 * Urgent data (RFC 9293 §3.8.5, RFC 6093): a mark in the stream, behind the last byte that the sender calls urgent.
 * The bytes themselves are read in their place, never out of band; what the mark is good for is that a reader hears of
 * it before he has come to it, even while the window is closed.
 */
import type { Segment } from './segment.ts'
import { seqGt } from './sequence.ts'
import { type Tcb, TcbEvent } from './tcb.ts'

/** Takes the urgent pointer of an acceptable segment, if it is further on than any before. */
export function noteUrgent(tcb: Tcb, segment: Segment): void {
  if (segment.urgent === 0) return
  const up = (segment.seq + segment.urgent) | 0
  if (!seqGt(up, tcb.rcvNxt) || (tcb.rcvUrgent && !seqGt(up, tcb.rcvUp))) return
  tcb.rcvUp = up
  tcb.rcvUrgent = true
  tcb.events |= TcbEvent.URGENT
}

/** Bytes that the application has yet to read up to the end of the urgent data; 0 if there is none. */
export function urgentLength(tcb: Tcb): number {
  if (!tcb.rcvUrgent) return 0
  const left = (tcb.rcvUp - ((tcb.rcvNxt - tcb.ring.length) | 0)) | 0
  if (left > 0) return left
  tcb.rcvUrgent = false
  return 0
}

/** Everything written up to now is urgent. */
export function markUrgent(tcb: Tcb): void {
  tcb.sndUp = tcb.dataEnd
  tcb.sndUrgent = true
}

/** The urgent pointer of a segment that begins at `seq`; 0: it has none. What is too far on is told as far as it can be. */
export function urgentPointer(tcb: Tcb, seq: number): number {
  if (!seqGt(tcb.sndUp, tcb.sndUna)) {
    tcb.sndUrgent = false
    return 0
  }
  return seqGt(tcb.sndUp, seq) ? Math.min((tcb.sndUp - seq) | 0, 0xffff) : 0
}
