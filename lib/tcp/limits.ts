/**
 * What holds a sender back, and for how long (Linux's `tcp_chrono`): while there is something to send or to be
 * acknowledged the connection is busy; part of that time it may send no more because of the peer's window, or has nothing
 * to send because the program waits for room in the send buffer. Milliseconds, as Linux's ticks.
 */
import { MILLISECOND } from '../time/clock.ts'
import type { Tcb } from './tcb.ts'

/** Of two that hold the higher is counted. */
export const Limit = { NONE: 0, BUSY: 1, PEER_WINDOW: 2, SEND_BUFFER: 3 } as const
export type Limit = (typeof Limit)[keyof typeof Limit]

/** From now on this counts, unless something higher does. */
export function beginLimit(tcb: Tcb, limit: Limit, now: number): void {
  if (limit > tcb.limit) setLimit(tcb, limit, now)
}

/** It does not hold any longer, if it did. */
export function endLimit(tcb: Tcb, limit: Limit, now: number): void {
  if (limit === tcb.limit) setLimit(tcb, limit === Limit.BUSY ? Limit.NONE : Limit.BUSY, now)
}

/** Everything is acknowledged, and nothing waits. */
export function endLimits(tcb: Tcb, now: number): void {
  if (tcb.limit !== Limit.NONE) setLimit(tcb, Limit.NONE, now)
}

function setLimit(tcb: Tcb, limit: Limit, now: number): void {
  const time = Math.floor(now / MILLISECOND)
  const passed = time - tcb.limitSince
  if (tcb.limit !== Limit.NONE) tcb.busyTime += passed
  if (tcb.limit === Limit.PEER_WINDOW) tcb.peerWindowTime += passed
  else if (tcb.limit === Limit.SEND_BUFFER) tcb.sendBufferTime += passed
  tcb.limit = limit
  tcb.limitSince = time
}

/** Milliseconds so far: in all, and of these because of the peer's window and of the send buffer. */
export function limitTimes(tcb: Tcb, now: number): [busy: number, peerWindow: number, sendBuffer: number] {
  setLimit(tcb, tcb.limit, now)
  return [tcb.busyTime, tcb.peerWindowTime, tcb.sendBufferTime]
}
