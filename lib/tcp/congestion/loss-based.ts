/**
 * What algorithms that take loss for congestion have in common (RFC 5681): an initial window of ten segments (RFC
 * 6928), slow start counted in acknowledged bytes (RFC 3465; as in Linux without a limit on how many of them one
 * acknowledgment may bring, since a receiver that takes 64 KiB at once acknowledges them at once), one segment after a
 * timeout, and a window that does not grow while the sender does not use it (RFC 7661 §4.3).
 */
import type { AckSample, CongestionCause, CongestionControl } from './congestion-control.ts'

/** Segments of the initial window (`TCP_INIT_CWND`). */
const INITIAL_SEGMENTS = 10

export abstract class LossBased implements CongestionControl {
  abstract readonly name: string
  readonly ownsRecovery = false
  readonly pacingRate = 0
  cwnd = 0
  ssthresh: number = Infinity
  protected mss = 0
  /** Segments of the window as long as nothing has been acknowledged; 0 afterwards. */
  #initial = INITIAL_SEGMENTS
  /** The most that was on its way within a window's worth of acknowledgments, and how much of that has passed. */
  #peak = 0
  #sincePeak = 0

  setMss(mss: number): void {
    this.mss = mss
    if (this.#initial > 0) this.cwnd = this.#initial * mss
    // Less than a segment would stop the connection.
    this.cwnd = Math.max(this.cwnd, mss)
  }

  onHandshakeLoss(): void {
    this.#initial = 1
    this.cwnd = this.mss
  }

  beginWith(segments: number): void {
    if (this.#initial === 0) return
    this.#initial = segments
    this.cwnd = Math.max(1, segments * this.mss)
  }

  onAck(sample: AckSample): void {
    const { delivered: acked } = sample
    if (acked === 0) return
    this.#initial = 0
    if (!this.#isUsed(acked, sample.inFlightBefore)) return this.unused(sample)
    const rest = this.cwnd < this.ssthresh ? this.slowStart(acked, sample) : acked
    if (rest > 0 && this.cwnd >= this.ssthresh) this.avoid(rest, sample)
  }

  onCongestionEvent(flightSize: number, now: number, _cause: CongestionCause): void {
    this.#reduce(flightSize, now)
  }

  onRecoveryExit(_inFlight: number, _now: number): void {
    this.cwnd = Math.max(Math.min(this.cwnd, this.ssthresh), this.mss)
  }

  onTimeout(flightSize: number, now: number, again = false): void {
    if (!again) this.#reduce(flightSize, now)
    this.#initial = 0
    // The loss window (RFC 5681 §3.1).
    this.cwnd = this.mss
  }

  onUndo(cwnd: number, ssthresh: number, _now: number): void {
    this.cwnd = Math.max(this.cwnd, cwnd)
    this.ssthresh = Math.max(this.ssthresh, ssthresh)
  }

  onSendStart(_now: number, _applicationLimited: boolean, _srtt: number): void {}

  onIdle(idle: number, rto: number): void {
    const restart = Math.min(this.cwnd, INITIAL_SEGMENTS * this.mss)
    // What was reached is still a good guess of what the path takes (`tcp_cwnd_restart`).
    this.ssthresh = Math.max(this.ssthresh, (this.cwnd * 3) / 4)
    // RFC 5681 §4.1 goes to the restart window at once, Linux by halves, one for each timeout that has passed.
    for (let left = idle - rto; left > 0 && this.cwnd > restart; left -= rto) this.cwnd /= 2
    this.cwnd = Math.max(Math.floor(this.cwnd), restart)
  }

  /** Grows by `acked`, up to the threshold; gives what of it is left for congestion avoidance. */
  protected slowStart(acked: number, _sample: AckSample): number {
    const grown = Math.min(this.cwnd + acked, this.ssthresh)
    const rest = acked - (grown - this.cwnd)
    this.cwnd = grown
    return rest
  }

  /** `acked` bytes in congestion avoidance. */
  protected abstract avoid(acked: number, sample: AckSample): void
  /** The threshold after loss, with `flightSize` on its way: it is made two segments at least. */
  protected abstract threshold(flightSize: number, now: number): number
  /** The window is larger than what is sent. */
  protected unused(_sample: AckSample): void {}

  #reduce(flightSize: number, now: number): void {
    this.ssthresh = Math.max(Math.floor(this.threshold(flightSize, now)), 2 * this.mss)
    this.#initial = 0
    this.#peak = this.#sincePeak = 0
  }

  /** Whether the window limits the sender. Several acknowledgments may come before he sends: the fullest counts. */
  #isUsed(acked: number, inFlight: number): boolean {
    this.#peak = Math.max(this.#peak, inFlight)
    const used = 2 * this.#peak > this.cwnd || this.cwnd <= 2 * this.mss
    this.#sincePeak += acked
    if (this.#sincePeak >= this.#peak) this.#sincePeak = this.#peak = 0
    return used
  }
}
