/**
 * Pacing: what may be sent by the windows leaves at a rate, instead of all at once. It is on for a connection whose
 * congestion control asks for a rate, or whose program has set the highest (`SO_MAX_PACING_RATE`); off otherwise, as in
 * Linux without the queueing discipline `fq`. Packets have times at which they may leave; the connection's one timer
 * wakes it for the next, and what has become due since the tick before goes together.
 */
import { MILLISECOND, SECOND } from '../time/clock.ts'
import type { Tcb } from './tcb.ts'

/** What a packet of a paced connection holds at most: this long of its rate. */
const QUANTUM = MILLISECOND
/** Time that was not used counts for so long: timers are late by a tick of the wheel and the event loop's delay. */
const CREDIT = 2 * MILLISECOND
/** Bytes per second below which segments go one by one (1.2 Mbit/s). */
const SLOW = 150_000
/** Of cwnd/srtt, where there is a highest rate but no other, in per cent (`tcp_pacing_ss_ratio`, `tcp_pacing_ca_ratio`). */
const SLOW_START_RATIO = 2
const AVOIDANCE_RATIO = 1.2

/** Bytes per second that the connection keeps to; 0: it does not. */
export function pacingRate({ congestion, maxPacingRate, rtt }: Tcb): number {
  const { cwnd, ssthresh, pacingRate: own } = congestion
  if (maxPacingRate === Infinity) return own
  if (own > 0) return Math.min(own, maxPacingRate)
  if (rtt.srtt === 0) return maxPacingRate
  const ratio = cwnd < ssthresh / 2 ? SLOW_START_RATIO : AVOIDANCE_RATIO
  return Math.min((ratio * cwnd * SECOND) / rtt.srtt, maxPacingRate)
}

/** Bytes that may leave as one packet, a multiple of `mss`. @param rate bytes per second */
export function pacingQuantum(rate: number, mss: number): number {
  const least = rate < SLOW ? 1 : 2
  return Math.max(least, Math.floor((rate / SECOND) * (QUANTUM / mss))) * mss
}

/** `bytes` have left: when the next may. */
export function pace(tcb: Tcb, bytes: number, now: number): void {
  const rate = pacingRate(tcb)
  if (rate > 0) tcb.paceAt = Math.max(tcb.paceAt, now - CREDIT) + (bytes * SECOND) / rate
}
