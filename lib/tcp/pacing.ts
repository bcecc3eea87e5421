/**
 * Pacing: what may be sent by the windows leaves at a rate, instead of all at once. It is on for a connection whose
 * congestion control asks for a rate, or whose program has set the highest (`SO_MAX_PACING_RATE`); off otherwise, as in
 * Linux without the queueing discipline `fq`. Packets have times at which they may leave; the connection's one timer
 * wakes it for the next, and what has become due since the tick before goes together.
 */

import type { TcpSettings } from '../sysctl/tcp-settings.ts'
import { MICROSECOND, MILLISECOND, SECOND } from '../time/clock.ts'
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

/** What goes at once: 2^-10 seconds of the rate (`sk_pacing_shift`). */
const BURSTS_PER_SECOND = 1024
const LARGEST_BURST = 65536

/** Bytes per second that the connection keeps to; 0: it does not. */
export function pacingRate(tcb: Tcb): number {
  const { congestion, maxPacingRate } = tcb
  const own = congestion.pacingRate
  if (maxPacingRate === Infinity) return own
  return Math.min(own > 0 ? own : windowRate(tcb), maxPacingRate)
}

/** Bytes per second at which the congestion window is used, and a little more (`tcp_update_pacing_rate`). */
function windowRate({ congestion: { cwnd, ssthresh }, rtt: { srtt } }: Tcb): number {
  if (srtt === 0) return Infinity
  return ((cwnd < ssthresh / 2 ? SLOW_START_RATIO : AVOIDANCE_RATIO) * cwnd * SECOND) / srtt
}

/**
 * Bytes that Linux would put into one super-segment (`tcp_tso_autosize`), a multiple of `mss`: a millisecond of the
 * rate, more on short paths, half of the congestion window at most.
 */
export function burstSize(tcb: Tcb, mss: number, { tcp_min_tso_segs, tcp_tso_rtt_log }: TcpSettings): number {
  const halvings = tcp_tso_rtt_log > 30 ? 0 : tcb.rtt.minRtt / (MICROSECOND * (1 << tcp_tso_rtt_log))
  const bytes = windowRate(tcb) / BURSTS_PER_SECOND + (halvings < 32 ? LARGEST_BURST >>> halvings : 0)
  const segments = Math.max(tcp_min_tso_segs, Math.floor(Math.min(bytes, LARGEST_BURST) / mss))
  return Math.min(segments, Math.max(1, Math.floor(tcb.congestion.cwnd / (2 * mss)))) * mss
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
