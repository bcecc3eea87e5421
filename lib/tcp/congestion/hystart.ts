/**
 * HyStart++ (RFC 9406): slow start ends before the queue of the bottleneck overflows. When the least RTT of a round
 * grows beyond that of the round before, growth slows down to a quarter (conservative slow start); if the RTT falls
 * again it was jitter and slow start goes on, and if it has not after five rounds, slow start is over. Growth in slow
 * start has no limit per acknowledgment (L is infinite), as that of Linux has none.
 */
import { MILLISECOND } from '../../time/clock.ts'
import type { AckSample } from './congestion-control.ts'

const MIN_RTT_THRESHOLD = 4 * MILLISECOND
const MAX_RTT_THRESHOLD = 16 * MILLISECOND
const MIN_RTT_DIVISOR = 8
/** Samples of a round that its least RTT is worth something after. */
const SAMPLES = 8
const CSS_GROWTH_DIVISOR = 4
const CSS_ROUNDS = 5

export class HyStart {
  #roundEnd = 0
  #begun = false
  #lastMinRtt: number = Infinity
  #minRtt: number = Infinity
  #samples = 0
  /** Conservative slow start: the RTT that it began with, and rounds in it; −1: not in it. */
  #cssRounds = -1
  #cssBaseline: number = Infinity

  /** Slow start was left, or begins again. */
  reset(): void {
    this.#begun = false
    this.#lastMinRtt = this.#minRtt = Infinity
    this.#cssRounds = -1
  }

  /** Part of what was acknowledged that the window grows by; 0: slow start is over. */
  growth({ rtt, sndUna, sndNxt }: AckSample): number {
    if (!this.#begun || ((sndUna - this.#roundEnd) | 0) > 0) this.#startRound(sndNxt)
    if (rtt >= 0) {
      this.#minRtt = Math.min(this.#minRtt, rtt)
      this.#samples++
    }
    if (this.#cssRounds > CSS_ROUNDS) return 0
    if (this.#samples >= SAMPLES && this.#minRtt !== Infinity && this.#lastMinRtt !== Infinity) {
      if (this.#cssRounds < 0) {
        const threshold = Math.max(
          MIN_RTT_THRESHOLD,
          Math.min(this.#lastMinRtt / MIN_RTT_DIVISOR, MAX_RTT_THRESHOLD),
        )
        if (this.#minRtt >= this.#lastMinRtt + threshold) {
          this.#cssBaseline = this.#minRtt
          this.#cssRounds = 1
        }
      } else if (this.#minRtt < this.#cssBaseline) {
        this.#cssBaseline = Infinity
        this.#cssRounds = -1
      }
    }
    return this.#cssRounds < 0 ? 1 : 1 / CSS_GROWTH_DIVISOR
  }

  #startRound(sndNxt: number): void {
    this.#begun = true
    this.#roundEnd = sndNxt
    this.#lastMinRtt = this.#minRtt
    this.#minRtt = Infinity
    this.#samples = 0
    if (this.#cssRounds > 0) this.#cssRounds++
  }
}
