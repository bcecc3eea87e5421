/**
 * NewReno (RFC 5681, RFC 6582), `reno` in Linux: slow start doubles the window in a round trip, congestion avoidance
 * adds a segment, loss halves it. Growth is counted in acknowledged bytes (RFC 3465), so that acknowledging a segment
 * in pieces gains nothing; as in Linux there is no limit on how many of them one acknowledgment may bring, since a
 * receiver that takes 64 KiB at once acknowledges them at once. The window does not grow while less than half of it
 * is used (RFC 7661 §4.3).
 */
import type { AckSample, CongestionCause, CongestionControl } from './congestion-control.ts'

/** Segments of the initial window (RFC 6928, `TCP_INIT_CWND`). */
const INITIAL_SEGMENTS = 10

export class NewReno implements CongestionControl {
  readonly name = 'reno'
  readonly ownsRecovery = false
  readonly pacingRate = 0
  cwnd = 0
  ssthresh: number = Infinity
  #mss = 0
  /** Segments of the window as long as nothing has been acknowledged; 0 afterwards. */
  #initial = INITIAL_SEGMENTS
  /** Bytes acknowledged in congestion avoidance since the window last grew. */
  #counted = 0
  /** The most that was on its way within a window's worth of acknowledgments, and how much of that has passed. */
  #peak = 0
  #sincePeak = 0

  setMss(mss: number): void {
    this.#mss = mss
    if (this.#initial > 0) this.cwnd = this.#initial * mss
    // Less than a segment would stop the connection.
    this.cwnd = Math.max(this.cwnd, mss)
  }

  onHandshakeLoss(): void {
    this.#initial = 1
    this.cwnd = this.#mss
  }

  onAck({ acked, inFlightBefore }: AckSample): void {
    if (acked === 0) return
    this.#initial = 0
    if (!this.#isUsed(acked, inFlightBefore)) return
    let rest = acked
    if (this.cwnd < this.ssthresh) {
      const grown = Math.min(this.cwnd + rest, this.ssthresh)
      rest -= grown - this.cwnd
      this.cwnd = grown
    }
    if (rest <= 0) return
    // One SMSS for each window's worth (RFC 5681 §3.1, RFC 3465 §2.1).
    this.#counted += rest
    while (this.#counted >= this.cwnd) {
      this.#counted -= this.cwnd
      this.cwnd += this.#mss
    }
  }

  onCongestionEvent(inFlight: number, _now: number, _cause: CongestionCause): void {
    this.#reduce(inFlight)
  }

  onRecoveryExit(_inFlight: number, _now: number): void {
    this.cwnd = Math.max(Math.min(this.cwnd, this.ssthresh), this.#mss)
    this.#counted = 0
  }

  onTimeout(inFlight: number, _now: number, again = false): void {
    if (!again) this.#reduce(inFlight)
    this.#initial = 0
    this.#counted = 0
    // The loss window (RFC 5681 §3.1).
    this.cwnd = this.#mss
  }

  onUndo(cwnd: number, ssthresh: number, _now: number): void {
    this.cwnd = Math.max(this.cwnd, cwnd)
    this.ssthresh = Math.max(this.ssthresh, ssthresh)
  }

  onIdle(idle: number, rto: number): void {
    const restart = Math.min(this.cwnd, INITIAL_SEGMENTS * this.#mss)
    // What was reached is still a good guess of what the path takes (`tcp_cwnd_restart`).
    this.ssthresh = Math.max(this.ssthresh, (this.cwnd * 3) / 4)
    // RFC 5681 §4.1 goes to the restart window at once, Linux by halves, one for each timeout that has passed.
    for (let left = idle - rto; left > 0 && this.cwnd > restart; left -= rto) this.cwnd /= 2
    this.cwnd = Math.max(Math.floor(this.cwnd), restart)
  }

  /** Whether the window limits the sender. Several acknowledgments may come before he sends: the fullest counts. */
  #isUsed(acked: number, inFlight: number): boolean {
    this.#peak = Math.max(this.#peak, inFlight)
    const used = 2 * this.#peak > this.cwnd || this.cwnd <= 2 * this.#mss
    this.#sincePeak += acked
    if (this.#sincePeak >= this.#peak) this.#sincePeak = this.#peak = 0
    return used
  }

  /** ssthresh = max(FlightSize / 2, 2 × SMSS) (RFC 5681 §3.1 equation 4). */
  #reduce(inFlight: number): void {
    this.ssthresh = Math.max(Math.floor(inFlight / 2), 2 * this.#mss)
    this.#initial = 0
    this.#counted = 0
    this.#peak = this.#sincePeak = 0
  }
}
