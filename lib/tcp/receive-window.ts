/**
 * The window that a receiver offers, and when it says so (RFC 9293 §3.8.6.2.2 against silly windows, Linux's
 * `__tcp_select_window`), and delayed acknowledgments (RFC 5681 §4.2).
 */
import { MILLISECOND } from '../time/clock.ts'
import { shrinkToPressure } from './memory.ts'
import { type Tcb, TcpState } from './tcb.ts'

/** Segments acknowledged at once at the start and after trouble (`TCP_MAX_QUICKACKS`). */
export const MAX_QUICK_ACKS = 16

/** How long an acknowledgment waits for company (`TCP_DELACK_MIN`, `TCP_ATO_MIN`). */
export const DELAYED_ACK = 40 * MILLISECOND

/** What is not read may exceed the buffer by so much: a packet that came within the window, and ended beyond it. */
const ONE_PACKET = 65535

/** How long that of a FIN does before which no data came: till the next tick of a kernel with HZ=1000. */
const FIN_ALONE = MILLISECOND

/** The window to offer now: what is free, or nothing while that is silly; never less than was offered (SHLD-14). */
export function selectWindow(tcb: Tcb): number {
  const { receiveBuffer, ring, rcvScale } = tcb
  const free = Math.max(0, receiveBuffer - ring.length)
  const mss = Math.min(tcb.rcvMss, receiveBuffer)
  if (tcb.memory.pressed && free < receiveBuffer >> 1) shrinkToPressure(tcb)
  let wnd = free
  if (free < receiveBuffer >> 4 || free < mss) wnd = 0
  else if (rcvScale > 0) {
    const unit = 1 << rcvScale
    wnd = free > tcb.rcvSsthresh ? Math.ceil(tcb.rcvSsthresh / unit) * unit : Math.floor(free / unit) * unit
  } else {
    const allowed = Math.min(free, tcb.rcvSsthresh)
    wnd = allowed > mss ? allowed - (allowed % mss) : allowed
  }
  const offered = tcb.receiveWindow
  if (wnd < offered) {
    // The right edge does not move left. What the scale would cut off is given in addition while there is room for
    // it, and taken away after that: then the edge that is kept to is still the one that was offered (RFC 7323 §2.4).
    const unit = 1 << rcvScale
    wnd = Math.ceil(offered / unit) * unit
    if (wnd > spaceLeft(tcb)) wnd = Math.floor(offered / unit) * unit
  }
  return Math.min(wnd, 0xffff << rcvScale)
}

/** Sets the size of the receive buffer; the ring takes what a last packet brings besides. */
export function setReceiveBuffer(tcb: Tcb, bytes: number): void {
  tcb.receiveBuffer = bytes
  tcb.ring.limit = bytes + (1 << tcb.rcvScale) + ONE_PACKET
}

/** What the window may cover: the buffer, and a unit of the scale, since windows are rounded. */
function spaceLeft({ receiveBuffer, rcvScale, ring }: Tcb): number {
  return receiveBuffer + (1 << rcvScale) - ring.length
}

/** How long what has come may wait to be acknowledged (`icsk_ack.ato`, as `tcp_send_delayed_ack` reads it). */
export function ackDelay(tcb: Tcb): number {
  return tcb.lastReceived === -Infinity ? FIN_ALONE : DELAYED_ACK
}

/** Whether what has come is acknowledged at once (`__tcp_ack_snd_check`): two segments, trouble, or at the start. */
export function acknowledgesNow(tcb: Tcb): boolean {
  if (((tcb.rcvNxt - tcb.rcvWup) | 0) > tcb.rcvMss) {
    // Unless the window would shrink (by more than what the scale rounds off): then the application's reading says so.
    return spaceLeft(tcb) >= tcb.receiveWindow
  }
  return !tcb.outOfOrder.isEmpty || tcb.quickAckRoute || (tcb.quickAcks > 0 && !tcb.interactive)
}

/** The application has read: whether the peer should hear of the room at once (`tcp_cleanup_rbuf`). */
export function opensWindow(tcb: Tcb): boolean {
  if (tcb.finReceived || tcb.state === TcpState.SYN_SENT) return false
  if (tcb.ackPending && ((tcb.rcvNxt - tcb.rcvWup) | 0) > tcb.rcvMss) return true
  const now = tcb.receiveWindow
  if (2 * now > tcb.receiveBuffer) return false
  const next = selectWindow(tcb)
  return next > 0 && next >= 2 * now
}

/** A peer in trouble needs every acknowledgment. */
export function enterQuickAck(tcb: Tcb): void {
  const windowSegments = Math.max(2, Math.floor(tcb.rcvWnd / (2 * tcb.rcvMss)))
  tcb.quickAcks = Math.max(tcb.quickAcks, Math.min(windowSegments, MAX_QUICK_ACKS))
  tcb.interactive = false
}
