/**
 * How large a window to offer (dynamic right-sizing), as Linux 6.18: what the application has taken in a round trip,
 * less what waits, is what the sender can do; the buffer is to hold twice that, and more while it still grows, since
 * what is known is a round trip old. What is offered of a buffer that has grown opens with the data that comes
 * (`rcv_ssthresh`). Both the timestamps that the peer echoes and the time that a whole window takes tell the RTT. Sizes
 * are bytes of data: Linux counts what a packet costs besides, half of its buffer as it begins.
 */

import { MILLISECOND } from '../time/clock.ts'
import type { TcpOptions } from '../wire/tcp-options.ts'
import { timestampAt } from './isn.ts'
import { shrinkToPressure } from './memory.ts'
import { setReceiveBuffer } from './receive-window.ts'
import { seqGe } from './sequence.ts'
import type { Tcb } from './tcb.ts'

/** `TCP_INIT_CWND`: what a sender begins with. */
const INITIAL_SEGMENTS = 10
/** What is smaller says nothing of the window that it needs. */
const LEAST_GROWING = 128

/** The handshake is over (`tcp_init_buffer_space`). */
export function initReceiveSpace(tcb: Tcb, now: number): void {
  setReceiveBuffer(tcb, tcb.receiveBuffer)
  tcb.rcvSpaceSeq = tcb.rcvNxt
  tcb.rcvSpaceTime = now
  tcb.rcvSsthresh = Math.min(tcb.rcvWnd, tcb.receiveBuffer)
  tcb.rcvSpace = Math.max(1, Math.min(tcb.rcvSsthresh, INITIAL_SEGMENTS * tcb.announcedMss))
}

/** The application has read (`tcp_rcv_space_adjust`). @param grow `tcp_moderate_rcvbuf` */
export function adjustReceiveSpace(tcb: Tcb, now: number, grow: boolean): void {
  if (tcb.rcvRtt === 0 || now - tcb.rcvSpaceTime < tcb.rcvRtt) return
  const waiting = tcb.ring.length
  const readUpTo = (tcb.rcvNxt - waiting) | 0
  const read = ((readUpTo - tcb.rcvSpaceSeq) | 0) - waiting
  if (read > tcb.rcvSpace) growReceiveBuffer(tcb, read, grow)
  tcb.rcvSpaceSeq = readUpTo
  tcb.rcvSpaceTime = now
}

/** So much is read in a round trip now (`tcp_rcvbuf_grow`); where something is missing the window covers that too. */
export function growReceiveBuffer(tcb: Tcb, space: number, grow: boolean): void {
  const before = tcb.rcvSpace
  tcb.rcvSpace = space
  if (!grow) return
  let wanted = 2 * space
  // In slow start the sender doubles its rate: what it grew by it will grow by again.
  wanted += 2 * Math.floor((wanted * (space - before)) / before)
  if (!tcb.outOfOrder.isEmpty) wanted += (tcb.outOfOrder.end - tcb.rcvNxt) | 0
  const bytes = Math.min(wanted, tcb.receiveBufferMax)
  if (bytes > tcb.receiveBuffer) setReceiveBuffer(tcb, bytes)
}

/** Data of `length` bytes came, and there was room for it: more may be offered (`tcp_grow_window`). */
export function openWindow(tcb: Tcb, length: number): void {
  if (length < LEAST_GROWING) return
  const room = tcb.receiveBuffer - tcb.ring.length - tcb.rcvSsthresh
  if (room <= 0) return
  if (tcb.memory.pressed) shrinkToPressure(tcb)
  else tcb.rcvSsthresh += Math.min(room, 2 * Math.max(tcb.announcedMss, length))
}

/** The time that a whole window takes is a round trip at most (`tcp_rcv_rtt_measure`). */
export function measureWindowRtt(tcb: Tcb, now: number): void {
  if (tcb.rcvRttTime !== 0) {
    if (!seqGe(tcb.rcvNxt, tcb.rcvRttSeq)) return
    const rtt = Math.max(now - tcb.rcvRttTime, 1)
    if (tcb.rcvRtt === 0 || rtt < tcb.rcvRtt) tcb.rcvRtt = rtt
  }
  tcb.rcvRttSeq = (tcb.rcvNxt + tcb.rcvWnd) | 0
  tcb.rcvRttTime = now
}

/**
 * What the peer echoes of our clock, once for each value (`tcp_rcv_rtt_measure_ts`): the least counts, and a longer one
 * only while the application keeps up, or its pauses would look like the path's. The clock's ticks are milliseconds:
 * what is shorter, the window tells.
 */
export function measureEchoRtt(
  tcb: Tcb,
  { timestamps, tsEcho }: TcpOptions,
  length: number,
  now: number,
): void {
  if (!timestamps || tsEcho === 0 || tsEcho === tcb.rcvRttEcho) return
  tcb.rcvRttEcho = tsEcho
  if (length < tcb.rcvMss) return
  const rtt = ((timestampAt(now, tcb.tsOffset) - tsEcho) | 0) * MILLISECOND
  if (rtt <= 0) return
  if (tcb.rcvRtt === 0 || rtt < tcb.rcvRtt) tcb.rcvRtt = rtt
  else if (tcb.ring.length === 0) tcb.rcvRtt += (rtt - tcb.rcvRtt) / 8
}
