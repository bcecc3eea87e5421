/**
 * CUBIC (RFC 9438), what Linux uses unless told otherwise: after a loss the window grows along a cubic curve of the
 * time since, quickly back to where the loss was, slowly around it, quickly beyond; whatever the RTT. Where Reno would
 * be faster, on short or narrow paths, it grows as Reno would. Loss takes three tenths of the window. Slow start ends
 * with HyStart++. Windows are reckoned in segments, as the RFC does, time in seconds.
 */
import { SECOND } from '../../time/clock.ts'
import type { AckSample } from './congestion-control.ts'
import { HyStart } from './hystart.ts'
import { LossBased } from './loss-based.ts'

const C = 0.4
const BETA = 0.7
/** Of an additive increase that is as fast as Reno's with a decrease to 0.7 (§4.3). */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA)

export class Cubic extends LossBased {
  readonly name = 'cubic'
  readonly #hystart = new HyStart()
  /** The window before the last loss, lowered if it came before the one before was reached (fast convergence). */
  #wMax = 0
  /** When the present growth began, in ns; -1: it has not. Seconds until the curve is back at `wMax`. */
  #epoch = -1
  #k = 0
  #origin = 0
  /** What Reno would have, and from which window on that grows by a segment for each round trip. */
  #wEst = 0
  #wPrior = 0
  /** The acknowledgment before: time in which the window was not used does not count. */
  #lastAck = 0

  protected override slowStart(acked: number, sample: AckSample): number {
    if (this.ssthresh !== Infinity) return super.slowStart(acked, sample)
    const part = this.#hystart.growth(sample)
    if (part > 0) {
      super.slowStart(acked * part, sample)
      return 0
    }
    this.ssthresh = this.cwnd
    return acked
  }

  protected avoid(acked: number, { now, srtt }: AckSample): void {
    const { mss } = this
    const cwnd = this.cwnd / mss
    const segments = acked / mss
    if (this.#epoch < 0) this.#begin(cwnd, now)
    this.#lastAck = now
    const elapsed = (now - this.#epoch) / SECOND
    this.#wEst += (this.#wEst < this.#wPrior ? ALPHA : 1) * (segments / cwnd)
    if (this.#curve(elapsed) < this.#wEst) {
      this.cwnd = Math.max(this.cwnd, this.#wEst * mss)
      return
    }
    // Where the curve will be in a round trip; no faster than slow start by half (§4.2).
    const target = Math.min(Math.max(this.#curve(elapsed + srtt / SECOND), cwnd), 1.5 * cwnd)
    this.cwnd += ((target - cwnd) / cwnd) * segments * mss
  }

  protected override unused({ now }: AckSample): void {
    if (this.#epoch >= 0) this.#epoch += Math.max(0, now - this.#lastAck)
    this.#lastAck = now
  }

  protected threshold(flightSize: number): number {
    const cwnd = this.cwnd / this.mss
    this.#epoch = -1
    this.#wPrior = cwnd
    // Somebody else has come: leave him room (§4.7).
    this.#wMax = cwnd < this.#wMax ? (cwnd * (1 + BETA)) / 2 : cwnd
    return flightSize * BETA
  }

  override onUndo(cwnd: number, ssthresh: number, now: number): void {
    super.onUndo(cwnd, ssthresh, now)
    this.#epoch = -1
    this.#wMax = Math.max(this.#wMax, cwnd / this.mss)
  }

  override onIdle(idle: number, rto: number): void {
    super.onIdle(idle, rto)
    this.#epoch = -1
    if (this.ssthresh === Infinity) this.#hystart.reset()
  }

  #begin(cwnd: number, now: number): void {
    this.#epoch = now
    this.#wEst = cwnd
    if (cwnd < this.#wMax) {
      this.#k = Math.cbrt((this.#wMax - cwnd) / C)
      this.#origin = this.#wMax
    } else {
      this.#k = 0
      this.#origin = cwnd
    }
  }

  /** The window of the cubic curve, in segments, `seconds` after its beginning (§4.2). */
  #curve(seconds: number): number {
    return C * (seconds - this.#k) ** 3 + this.#origin
  }
}
