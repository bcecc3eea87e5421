/**
 * NewReno (RFC 5681, RFC 6582), `reno` in Linux: slow start doubles the window in a round trip, congestion avoidance
 * adds a segment, loss halves it.
 */
import type { AckSample } from './congestion-control.ts'
import { LossBased } from './loss-based.ts'

export class NewReno extends LossBased {
  readonly name = 'reno'
  /** Bytes acknowledged in congestion avoidance since the window last grew. */
  #counted = 0

  override onRecoveryExit(inFlight: number, now: number): void {
    super.onRecoveryExit(inFlight, now)
    this.#counted = 0
  }

  /** One SMSS for each window's worth (RFC 5681 §3.1, RFC 3465 §2.1). */
  protected avoid(acked: number, _sample: AckSample): void {
    this.#counted += acked
    while (this.#counted >= this.cwnd) {
      this.#counted -= this.cwnd
      this.cwnd += this.mss
    }
  }

  /** FlightSize / 2 (RFC 5681 §3.1 equation 4). */
  protected threshold(flightSize: number): number {
    this.#counted = 0
    return flightSize / 2
  }
}
