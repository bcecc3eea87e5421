/**
 * BBR (Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 14-5, 2016; draft-cardwell-iccrg-bbr-
 * congestion-control-00), as version 1 of it behaves in Linux. It does not take loss for congestion: it keeps a model
 * of the path, the highest rate that anything was delivered at lately and the lowest RTT, sends at that rate, and keeps
 * about two products of both on the way. Now and then it sends faster, to see whether there is more, and slower, to see
 * how long the path is without a queue. It has to be paced. Rates are bytes per nanosecond here.
 */
import type { Random } from '../../random/random.ts'
import { MILLISECOND, SECOND } from '../../time/clock.ts'
import { WindowedMin } from '../windowed-min.ts'
import type { AckSample, CongestionCause, CongestionControl } from './congestion-control.ts'
import { PolicerDetector } from './policer-detector.ts'

/** 2/ln 2: the least gain that doubles what is delivered each round. */
const HIGH_GAIN = 2.885
const DRAIN_GAIN = 1 / HIGH_GAIN
const CWND_GAIN = 2
/** One phase faster, one slower that lets go of the queue which that may have made, six at the rate itself. */
const CYCLE = [1.25, 0.75, 1, 1, 1, 1, 1, 1] as const
/** Rounds that a rate is remembered. */
const RATE_ROUNDS = CYCLE.length + 2
/** How long a minimum of the RTT is believed, and for how long it is probed then. */
const MIN_RTT_SPAN = 10 * SECOND
const PROBE_RTT_TIME = 200 * MILLISECOND
const MIN_SEGMENTS = 4
const INITIAL_SEGMENTS = 10
/** The pipe is full when three rounds have not brought a quarter more. */
const FULL_GROWTH = 1.25
const FULL_ROUNDS = 3
/** A little slower than what was measured, so that no queue stands (`bbr_pacing_margin_percent`). */
const MARGIN = 0.99
/** Acknowledgments that come together: what came beyond the rate, of so many rounds, for so long at most. */
const AGGREGATION_ROUNDS = 5
const AGGREGATION_TIME = 100 * MILLISECOND
const AGGREGATION_RESET_SEGMENTS = 1 << 20
/** Rates below it (1.2 Mbit/s) are sent segment by segment. */
const SLOW = 150_000 / SECOND

const Mode = { STARTUP: 0, DRAIN: 1, PROBE_BW: 2, PROBE_RTT: 3 } as const
type Mode = (typeof Mode)[keyof typeof Mode]

export class Bbr implements CongestionControl {
  readonly name = 'bbr'
  readonly ownsRecovery = true
  cwnd = 0
  ssthresh: number = Infinity
  pacingRate = 0
  readonly #random: Random
  #mss = 0
  #initial = INITIAL_SEGMENTS
  #mode: Mode = Mode.STARTUP
  #pacingGain = HIGH_GAIN
  #cwndGain = HIGH_GAIN
  #timed = false
  // The model.
  readonly #rates = new WindowedMin()
  #minRtt: number = Infinity
  #minRttAt = 0
  // Rounds, counted by what was delivered.
  #round = 0
  #roundStart = false
  #roundEnd = 0
  // STARTUP.
  #fullRate = 0
  #fullRounds = 0
  #full = false
  // PROBE_BW.
  #phase = 0
  #phaseAt = 0
  // PROBE_RTT.
  #probeRttDone = -1
  #probeRttRound = false
  /** Samples of what was sent until so much was delivered say nothing of the path. */
  #limitedUntil = 0
  #idleRestart = false
  // Recovery.
  #priorCwnd = 0
  #recovering = false
  #afterTimeout = false
  #conserving = false
  // Aggregation of acknowledgments: what came beyond the rate, the most of two windows of rounds.
  #epochAt = 0
  #epochAcked = 0
  #extraRounds = 0
  #extra = 0
  #extraBefore = 0
  readonly #policer = new PolicerDetector()

  constructor(random: Random) {
    this.#random = random
  }

  /** What it takes for the path's: bytes per second and nanoseconds; 0 and Infinity before anything is known. */
  get bandwidth(): number {
    return this.#rate() * SECOND
  }

  get minRtt(): number {
    return this.#minRtt
  }

  /** `'startup'`, `'drain'`, `'probe_bw'` or `'probe_rtt'`. */
  get mode(): string {
    return MODE_NAMES[this.#mode]
  }

  setMss(mss: number): void {
    this.#mss = mss
    if (this.#initial > 0) this.cwnd = this.#initial * mss
    this.cwnd = Math.max(this.cwnd, mss)
    if (!this.#timed) this.#paceByWindow(MILLISECOND)
  }

  onHandshakeLoss(): void {
    this.#initial = 1
    this.cwnd = this.#mss
  }

  beginWith(segments: number): void {
    if (this.#initial === 0) return
    this.#initial = segments
    this.setMss(this.#mss)
  }

  onAck(sample: AckSample): void {
    this.#initial = 0
    if (this.#epochAt === 0) this.#epochAt = this.#phaseAt = this.#minRttAt = sample.now
    this.#updateRate(sample)
    this.#updateAggregation(sample)
    this.#updatePhase(sample)
    this.#checkFull(sample)
    this.#checkDrain(sample)
    this.#updateMinRtt(sample)
    this.#updateGains()
    const rate = this.#rate()
    this.#setPacingRate(sample, rate, this.#pacingGain)
    this.#setCwnd(sample, rate)
  }

  onCongestionEvent(_inFlight: number, _now: number, _cause: CongestionCause): void {
    this.#saveCwnd()
  }

  onRecoveryExit(): void {
    this.cwnd = Math.max(this.cwnd, this.#priorCwnd)
  }

  onTimeout(_inFlight: number, _now: number, again = false): void {
    if (!again) this.#saveCwnd()
    this.#initial = 0
    this.#recovering = this.#afterTimeout = true
    this.#conserving = false
    this.#fullRate = 0
    this.cwnd = this.#mss
  }

  onUndo(): void {
    this.#fullRate = 0
    this.#fullRounds = 0
    this.#policer.reset()
  }

  /** Without a queue of its own there is nothing to fear: the window stays. */
  onIdle(): void {}

  onSendStart(now: number, applicationLimited: boolean, srtt: number): void {
    this.#paceFromHandshake(srtt)
    if (!applicationLimited) return
    this.#idleRestart = true
    this.#epochAt = now
    this.#epochAcked = 0
    if (this.#mode === Mode.PROBE_BW) this.#pace(this.#rate(), 1)
    else if (this.#mode === Mode.PROBE_RTT) this.#checkProbeRttDone(now)
  }

  // ---- the model

  #maxRate(): number {
    return Math.max(0, -this.#rates.value)
  }

  #rate(): number {
    return this.#policer.isInUse ? this.#policer.rate : this.#maxRate()
  }

  #isLimited({ isAppLimited, priorDelivered }: AckSample): boolean {
    return isAppLimited || priorDelivered < this.#limitedUntil
  }

  #updateRate(sample: AckSample): void {
    this.#roundStart = false
    this.#policer.note(sample)
    if (sample.interval <= 0) return
    if (sample.priorDelivered >= this.#roundEnd) {
      this.#roundEnd = sample.totalDelivered
      this.#round++
      this.#roundStart = true
      this.#conserving = false
    }
    const limited = this.#isLimited(sample)
    const probing = this.#mode === Mode.PROBE_BW
    if (this.#policer.sample(sample, this.#roundStart, limited, probing) && probing)
      this.#enterProbeBw(sample.now)
    const rate = (sample.totalDelivered - sample.priorDelivered) / sample.interval
    if (!limited || rate >= this.#maxRate()) this.#rates.add(-rate, this.#round, RATE_ROUNDS)
  }

  /** Acknowledgments that come in bunches leave gaps, for which more must be on the way. */
  #updateAggregation({ now, delivered, interval }: AckSample): void {
    if (delivered <= 0 || interval <= 0) return
    if (this.#roundStart && ++this.#extraRounds >= AGGREGATION_ROUNDS) {
      this.#extraRounds = 0
      this.#extraBefore = this.#extra
      this.#extra = 0
    }
    let expected = this.#rate() * (now - this.#epochAt)
    if (
      this.#epochAcked <= expected ||
      this.#epochAcked + delivered >= AGGREGATION_RESET_SEGMENTS * this.#mss
    ) {
      this.#epochAcked = 0
      this.#epochAt = now
      expected = 0
    }
    this.#epochAcked += delivered
    this.#extra = Math.max(this.#extra, Math.min(this.#epochAcked - expected, this.cwnd))
  }

  // ---- modes

  #updatePhase(sample: AckSample): void {
    if (this.#mode === Mode.PROBE_BW && this.#isPhaseOver(sample)) this.#nextPhase(sample.now)
  }

  #isPhaseOver({ now, inFlightBefore, lost }: AckSample): boolean {
    const elapsed = now - this.#phaseAt > this.#minRtt
    if (this.#pacingGain === 1) return elapsed
    if (this.#pacingGain > 1) {
      return elapsed && (lost > 0 || inFlightBefore >= this.#inflight(this.#maxRate(), this.#pacingGain))
    }
    return elapsed || inFlightBefore <= this.#inflight(this.#maxRate(), 1)
  }

  #nextPhase(now: number): void {
    this.#phase = (this.#phase + 1) % CYCLE.length
    this.#phaseAt = now
  }

  /** Where in the cycle it begins is random, but not where it lets go: others may have begun at the same time. */
  #enterProbeBw(now: number): void {
    this.#mode = Mode.PROBE_BW
    this.#phase = CYCLE.length - 1 - this.#random.below(CYCLE.length - 1)
    this.#nextPhase(now)
  }

  #checkFull(sample: AckSample): void {
    if (this.#full || !this.#roundStart || this.#isLimited(sample)) return
    const rate = this.#maxRate()
    if (rate >= this.#fullRate * FULL_GROWTH) {
      this.#fullRate = rate
      this.#fullRounds = 0
      return
    }
    this.#full = ++this.#fullRounds >= FULL_ROUNDS
  }

  #checkDrain({ now, inFlight }: AckSample): void {
    const product = this.#inflight(this.#maxRate(), 1)
    if (this.#mode === Mode.STARTUP && this.#full) {
      this.#mode = Mode.DRAIN
      this.ssthresh = product
    }
    if (this.#mode === Mode.DRAIN && inFlight <= product) this.#enterProbeBw(now)
  }

  #updateMinRtt(sample: AckSample): void {
    const { now, rtt, inFlight, totalDelivered, delivered } = sample
    const expired = now > this.#minRttAt + MIN_RTT_SPAN
    if (rtt >= 0 && (rtt < this.#minRtt || expired)) {
      this.#minRtt = rtt
      this.#minRttAt = now
    }
    if (expired && !this.#idleRestart && this.#mode !== Mode.PROBE_RTT) {
      this.#saveCwnd()
      this.#mode = Mode.PROBE_RTT
      this.#probeRttDone = -1
    }
    if (this.#mode === Mode.PROBE_RTT) {
      this.#limitedUntil = totalDelivered + inFlight
      if (this.#probeRttDone < 0) {
        if (inFlight <= MIN_SEGMENTS * this.#mss) {
          this.#probeRttDone = now + PROBE_RTT_TIME
          this.#probeRttRound = false
          this.#roundEnd = totalDelivered
        }
      } else {
        if (this.#roundStart) this.#probeRttRound = true
        if (this.#probeRttRound) this.#checkProbeRttDone(now)
      }
    }
    if (delivered > 0) this.#idleRestart = false
  }

  #checkProbeRttDone(now: number): void {
    if (this.#probeRttDone < 0 || now <= this.#probeRttDone) return
    this.#minRttAt = now
    this.cwnd = Math.max(this.cwnd, this.#priorCwnd)
    if (this.#full) this.#enterProbeBw(now)
    else this.#mode = Mode.STARTUP
  }

  #updateGains(): void {
    switch (this.#mode) {
      case Mode.STARTUP:
        this.#pacingGain = this.#cwndGain = HIGH_GAIN
        break
      case Mode.DRAIN:
        this.#pacingGain = DRAIN_GAIN
        this.#cwndGain = HIGH_GAIN
        break
      case Mode.PROBE_BW:
        this.#pacingGain = this.#policer.isInUse ? 1 : CYCLE[this.#phase]!
        this.#cwndGain = CWND_GAIN
        break
      case Mode.PROBE_RTT:
        this.#pacingGain = this.#cwndGain = 1
        break
    }
  }

  // ---- what follows from it

  #setPacingRate({ srtt }: AckSample, rate: number, gain: number): void {
    this.#paceFromHandshake(srtt)
    this.#pace(rate, gain)
  }

  /** Before any rate is known: the window in an RTT, as soon as one was measured. */
  #paceFromHandshake(srtt: number): void {
    if (this.#timed || srtt === 0) return
    this.#timed = true
    this.#paceByWindow(srtt)
  }

  #pace(rate: number, gain: number): void {
    const wanted = rate * gain * MARGIN * SECOND
    // Until the pipe is full a low sample is no reason to slow down.
    if (this.#full || wanted > this.pacingRate) this.pacingRate = Math.max(wanted, 1)
  }

  #paceByWindow(rtt: number): void {
    this.pacingRate = (HIGH_GAIN * MARGIN * this.cwnd * SECOND) / rtt
  }

  #setCwnd({ delivered, lost, inFlight, inRecovery, totalDelivered }: AckSample, rate: number): void {
    const mss = this.#mss
    if (delivered > 0) {
      const recovering = inRecovery && !this.#afterTimeout
      if (lost > 0) this.cwnd = Math.max(this.cwnd - lost, mss)
      if (recovering && !this.#recovering) {
        // The first round of a recovery sends no more than what has left (packet conservation).
        this.#recovering = this.#conserving = true
        this.#roundEnd = totalDelivered
        this.cwnd = inFlight + delivered
      } else if (!inRecovery && this.#recovering) {
        this.#recovering = this.#afterTimeout = this.#conserving = false
        this.cwnd = Math.max(this.cwnd, this.#priorCwnd)
      }
      if (this.#conserving) this.cwnd = Math.max(this.cwnd, inFlight + delivered)
      else this.#grow(delivered, rate, totalDelivered)
    }
    this.cwnd = Math.max(this.cwnd, MIN_SEGMENTS * mss)
    if (this.#mode === Mode.PROBE_RTT) this.cwnd = Math.min(this.cwnd, MIN_SEGMENTS * mss)
  }

  #grow(delivered: number, rate: number, totalDelivered: number): void {
    const extra = this.#full ? Math.min(Math.max(this.#extra, this.#extraBefore), rate * AGGREGATION_TIME) : 0
    const target = this.#quantized(this.#product(rate, this.#cwndGain) + extra)
    if (this.#full) this.cwnd = Math.min(this.cwnd + delivered, target)
    else if (this.cwnd < target || totalDelivered < INITIAL_SEGMENTS * this.#mss) this.cwnd += delivered
  }

  /** Bytes on the way at `gain` times the product of rate and RTT, without what the sender needs for itself. */
  #product(rate: number, gain: number): number {
    if (this.#minRtt === Infinity) return INITIAL_SEGMENTS * this.#mss
    return Math.ceil((rate * this.#minRtt * gain) / this.#mss) * this.#mss
  }

  #inflight(rate: number, gain: number): number {
    return this.#quantized(this.#product(rate, gain))
  }

  /** And room for what leaves in one piece, here, in the network and at the peer. */
  #quantized(bytes: number): number {
    const mss = this.#mss
    const least = this.pacingRate < SLOW * SECOND ? 1 : 2
    const goal = Math.min(127, Math.max(least, Math.floor(((this.pacingRate / SECOND) * MILLISECOND) / mss)))
    let segments = Math.ceil(bytes / mss) + 3 * goal
    segments += segments % 2
    if (this.#mode === Mode.PROBE_BW && this.#phase === 0) segments += 2
    return segments * mss
  }

  #saveCwnd(): void {
    const kept = this.#recovering || this.#mode === Mode.PROBE_RTT
    this.#priorCwnd = kept ? Math.max(this.#priorCwnd, this.cwnd) : this.cwnd
  }
}

const MODE_NAMES: Readonly<Record<Mode, string>> = {
  [Mode.STARTUP]: 'startup',
  [Mode.DRAIN]: 'drain',
  [Mode.PROBE_BW]: 'probe_bw',
  [Mode.PROBE_RTT]: 'probe_rtt',
}
