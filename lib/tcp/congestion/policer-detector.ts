/**
 * Whether somebody on the path polices the rate (BBR's long-term sampling, as in Linux): throws away what is beyond it,
 * now and then a burst aside. Then what was delivered at best says too much; the rate over a long time of losses does not.
 */
import { MILLISECOND, SECOND } from '../../time/clock.ts'
import type { AckSample } from './congestion-control.ts'

/** Rounds that an interval takes at least, and at most. */
const ROUNDS_MIN = 4
const ROUNDS_MAX = 4 * ROUNDS_MIN
/** Part of what was delivered that is lost where a policer is. */
const LOSS = 50 / 256
/** Two intervals are alike by so much of their rate, or so many bytes per nanosecond. */
const RATIO = 1 / 8
const DIFFERENCE = 500 / SECOND
/** Rounds after which it is tried whether more goes. */
const USED_ROUNDS = 48

export class PolicerDetector {
  /** Bytes per nanosecond. */
  rate = 0
  /** {@link rate} is to be kept to. */
  isInUse = false
  #sampling = false
  #rounds = 0
  #lost = 0
  #delivered = 0
  #startedAt = 0
  #lostBefore = 0

  /** Counts what was lost; of every acknowledgment. */
  note({ lost }: AckSample): void {
    this.#lost += lost
  }

  /** An acknowledgment that told a rate. @returns the rate was kept to for long enough, and is forgotten */
  sample(sample: AckSample, roundStart: boolean, limited: boolean, probing: boolean): boolean {
    const { now, lost, totalDelivered } = sample
    if (this.isInUse) {
      if (!probing || !roundStart || ++this.#rounds < USED_ROUNDS) return false
      this.reset()
      return true
    }
    if (!this.#sampling) {
      // An interval begins with a loss: the policer's tokens are used up.
      if (lost === 0) return false
      this.#begin(now, totalDelivered)
      this.#sampling = true
    }
    if (limited) {
      this.reset()
      return false
    }
    if (roundStart) this.#rounds++
    if (this.#rounds < ROUNDS_MIN) return false
    if (this.#rounds > ROUNDS_MAX) {
      this.reset()
      return false
    }
    // And ends with one.
    if (lost === 0) return false
    const delivered = totalDelivered - this.#delivered
    const elapsed = now - this.#startedAt
    if (delivered <= 0 || this.#lost - this.#lostBefore < LOSS * delivered || elapsed < MILLISECOND)
      return false
    this.#intervalDone(delivered / elapsed, now, totalDelivered)
    return false
  }

  reset(): void {
    this.rate = 0
    this.isInUse = this.#sampling = false
    this.#rounds = 0
  }

  #intervalDone(rate: number, now: number, totalDelivered: number): void {
    if (this.rate > 0) {
      const difference = Math.abs(rate - this.rate)
      if (difference <= RATIO * this.rate || difference <= DIFFERENCE) {
        this.rate = (rate + this.rate) / 2
        this.isInUse = true
        this.#rounds = 0
        return
      }
    }
    this.rate = rate
    this.#begin(now, totalDelivered)
  }

  #begin(now: number, totalDelivered: number): void {
    this.#startedAt = now
    this.#delivered = totalDelivered
    this.#lostBefore = this.#lost
    this.#rounds = 0
  }
}
