/**
 * Round-trip time and retransmission timeout (RFC 6298), with what Linux does differently. The deviation grows by
 * the RFC's formula, but when the RTT falls it follows more slowly, so that good news does not widen the timeout;
 * what enters the timeout is its largest value within a round trip, let down by a quarter once per round trip; and
 * its floor of 200 ms takes the place of the RFC's whole second (§2.4) as least timeout. Which segments give a
 * sample (Karn, §3) the caller decides. Times are in nanoseconds.
 */
import { MILLISECOND, SECOND } from '../time/clock.ts'
import { seqGt } from './sequence.ts'
import { WindowedMin } from './windowed-min.ts'

/** Before there is a sample (§2.1, `TCP_TIMEOUT_INIT`). */
export const INITIAL_RTO: number = SECOND
/** After a handshake whose SYN had to be sent again, if there is still no sample (§5.7, `TCP_TIMEOUT_FALLBACK`). */
export const FALLBACK_RTO: number = 3 * SECOND

export class RttEstimator {
  /** `tcp_rto_min_us`, in nanoseconds. */
  minRto: number = 200 * MILLISECOND
  /** `tcp_rto_max_ms`, in nanoseconds. */
  maxRto: number = 120 * SECOND
  /** `tcp_min_rtt_wlen`, in nanoseconds: how long a minimum counts. */
  minRttSpan: number = 300 * SECOND
  /** 0 as long as there was no sample. */
  srtt = 0
  /** Mean deviation as it is now: the RFC's RTTVAR, `tcpi_rttvar`. */
  mdev: number = INITIAL_RTO / 4
  /** The part of the timeout that stands for the deviation: four times the largest of late, `minRto` at least. */
  rttvar: number = INITIAL_RTO
  /** Doublings since the last sample (§5.5). */
  backoff = 0
  /** Largest 4 × mdev since the round trip began. */
  #mdevMax: number = INITIAL_RTO
  /** What was next to be sent when the round trip began. */
  #roundEnd = 0
  #rto: number = INITIAL_RTO
  readonly #minRtt = new WindowedMin()

  /** The least RTT of the last five minutes; Infinity as long as there was none. */
  get minRtt(): number {
    return this.#minRtt.value
  }

  /** The timeout without backoff. */
  get rto(): number {
    return this.#rto
  }

  /** What earlier connections have measured: the timeout until the first sample of data, which it is not part of. */
  expect(rtt: number): void {
    this.#rto = Math.min(rtt + Math.max(2 * rtt, this.minRto), this.maxRto)
  }

  /** For how long to wait for an acknowledgment now: never more than `maxRto`. */
  get timeout(): number {
    // It is asked for with each segment, and a power costs as much as what is done with it.
    return Math.min(this.backoff === 0 ? this.#rto : this.#rto * 2 ** this.backoff, this.maxRto)
  }

  /**
   * A segment that was sent once was acknowledged after `rtt`, or timestamps say so. `sndUna` and `sndNxt` as they
   * are when the acknowledgment has been processed: they tell when a round trip is over. Ends the backoff.
   */
  sample(rtt: number, sndUna: number, sndNxt: number): void {
    const measured = Math.max(rtt, 1)
    if (this.srtt === 0) {
      this.srtt = measured
      this.mdev = measured / 2
      this.rttvar = this.#mdevMax = Math.max(4 * this.mdev, this.minRto)
      this.#roundEnd = sndNxt
    } else {
      this.#smooth(measured, sndUna, sndNxt)
    }
    this.backoff = 0
    this.#rto = Math.min(this.srtt + this.rttvar, this.maxRto)
  }

  #smooth(measured: number, sndUna: number, sndNxt: number): void {
    const error = measured - this.srtt
    this.srtt = Math.max(this.srtt + error / 8, 1)
    const more = Math.abs(error) - this.mdev
    // A fall of the RTT is not a reason to wait longer: it counts an eighth.
    this.mdev += error < 0 && more > 0 ? more / 32 : more / 4
    if (4 * this.mdev > this.#mdevMax) {
      this.#mdevMax = 4 * this.mdev
      if (this.#mdevMax > this.rttvar) this.rttvar = this.#mdevMax
    }
    if (seqGt(sndUna, this.#roundEnd)) {
      if (this.#mdevMax < this.rttvar) this.rttvar -= (this.rttvar - this.#mdevMax) / 4
      this.#roundEnd = sndNxt
      this.#mdevMax = this.minRto
    }
  }

  /** An RTT for the minimum alone. One that may hold the peer's delay of its acknowledgment need not be told. */
  sampleMinimum(rtt: number, now: number): void {
    this.#minRtt.add(Math.max(rtt, 1), now, this.minRttSpan)
  }

  /** The timeout passed: wait twice as long (§5.5). */
  backOff(): void {
    if (this.timeout < this.maxRto) this.backoff++
  }

  /** Evidence that the timeout was spurious, or that the path works again (RFC 6069): back to what was measured. */
  resetBackoff(): void {
    this.backoff = 0
  }

  /** The handshake is over, its SYN was sent more than once, and there is no timestamp to tell its RTT by (§5.7). */
  fallBack(): void {
    if (this.srtt !== 0) return
    this.mdev = FALLBACK_RTO / 4
    this.rttvar = this.#mdevMax = this.#rto = FALLBACK_RTO
    this.backoff = 0
  }
}
