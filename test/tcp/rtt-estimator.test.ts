import { expect } from 'chai'
import fc from 'fast-check'
import { RttEstimator } from '../../lib/tcp/rtt-estimator.ts'
import { MILLISECOND, SECOND } from '../../lib/time/clock.ts'

/** One sample a round trip. */
function feed(estimator: RttEstimator, ...milliseconds: number[]): void {
  for (const each of milliseconds) estimator.sample(each * MILLISECOND, 1, 0)
}

/**
 * The rule with the kernel's scaled integers: microseconds, SRTT × 8, deviation × 4, shifts instead of divisions.
 */
class Scaled {
  srtt8 = 0
  mdev4 = 0
  mdevMax4 = 0
  rttvar4 = 0
  roundEnd = 0

  sample(rtt: number, una: number, next: number): number {
    const floor = 200_000
    if (this.srtt8 === 0) {
      this.srtt8 = rtt << 3
      this.mdev4 = rtt << 1
      this.mdevMax4 = this.rttvar4 = Math.max(this.mdev4, floor)
      this.roundEnd = next
    } else {
      const error = rtt - (this.srtt8 >> 3)
      this.srtt8 += error
      let change = Math.abs(error) - (this.mdev4 >> 2)
      if (error < 0 && change > 0) change >>= 3
      this.mdev4 += change
      this.mdevMax4 = Math.max(this.mdevMax4, this.mdev4)
      this.rttvar4 = Math.max(this.rttvar4, this.mdevMax4)
      if (una > this.roundEnd) {
        if (this.mdevMax4 < this.rttvar4) this.rttvar4 -= (this.rttvar4 - this.mdevMax4) >> 2
        this.roundEnd = next
        this.mdevMax4 = floor
      }
    }
    return Math.min((this.srtt8 >> 3) + this.rttvar4, 120_000_000)
  }
}

describe('RttEstimator', () => {
  it('waits one second before there is a sample, and twice as long after each timeout', () => {
    const estimator = new RttEstimator()
    const waits: number[] = []
    for (let i = 0; i < 9; i++) {
      waits.push(estimator.timeout / SECOND)
      estimator.backOff()
    }
    expect(waits).to.deep.equal([1, 2, 4, 8, 16, 32, 64, 120, 120])
    expect(estimator.backoff).to.equal(7)
    expect(estimator.rto).to.equal(SECOND)
  })

  it('tcp-rto-min: never waits less than 200 ms beyond the RTT, however steady that is', () => {
    const estimator = new RttEstimator()
    feed(estimator, ...Array<number>(100).fill(2))
    expect(estimator.srtt).to.be.closeTo(2 * MILLISECOND, 1)
    expect(estimator.mdev).to.be.lessThan(1000)
    expect(estimator.timeout).to.be.closeTo(202 * MILLISECOND, 1)
    const patient = new RttEstimator()
    patient.minRto = SECOND
    feed(patient, 2)
    expect(patient.timeout).to.equal(1002 * MILLISECOND)
  })

  it('follows RFC 6298 for the first sample and for a rise', () => {
    const estimator = new RttEstimator()
    feed(estimator, 400)
    expect([estimator.srtt, estimator.mdev, estimator.rto]).to.deep.equal([4e8, 2e8, 4e8 + 4 * 2e8])
    feed(estimator, 1200)
    // SRTT + (R − SRTT)/8; RTTVAR + (|R − SRTT| − RTTVAR)/4
    expect([estimator.srtt, estimator.mdev, estimator.rto]).to.deep.equal([5e8, 3.5e8, 5e8 + 4 * 3.5e8])
  })

  it('lets a fall of the RTT widen the deviation by an eighth only', () => {
    const estimator = new RttEstimator()
    feed(estimator, ...Array<number>(60).fill(800))
    const before = estimator.mdev
    feed(estimator, 100)
    expect(estimator.mdev - before).to.be.closeTo(((7e8 - before) / 4) * (1 / 8), 1e5)
  })

  it('lets the timeout down once per round trip, by a quarter of what it is too large', () => {
    const estimator = new RttEstimator()
    estimator.sample(400 * MILLISECOND, 10, 100)
    const high = estimator.rttvar
    // Within the round trip it does not fall.
    for (let una = 20; una <= 100; una += 10) estimator.sample(400 * MILLISECOND, una, 200)
    expect(estimator.rttvar).to.equal(high)
    // The largest deviation of that round trip was the first, so the next one begins as high.
    estimator.sample(400 * MILLISECOND, 101, 201)
    expect(estimator.rttvar).to.equal(high)
    estimator.sample(400 * MILLISECOND, 202, 300)
    expect(estimator.rttvar).to.be.closeTo(high - (high - 200 * MILLISECOND) / 4, 1)
  })

  it('tcp-rto-backoff-reset: a sample ends the backoff; without one after a lost SYN the timeout is 3 s', () => {
    const estimator = new RttEstimator()
    estimator.backOff()
    estimator.fallBack()
    expect(estimator.timeout).to.equal(3 * SECOND)
    estimator.backOff()
    expect(estimator.timeout).to.equal(6 * SECOND)
    feed(estimator, 100)
    expect(estimator.timeout).to.equal(300 * MILLISECOND)
    estimator.backOff()
    estimator.fallBack()
    expect(estimator.timeout).to.equal(600 * MILLISECOND)
    estimator.resetBackoff()
    expect(estimator.timeout).to.equal(300 * MILLISECOND)
  })

  it('keeps the minimum for five minutes', () => {
    const estimator = new RttEstimator()
    expect(estimator.minRtt).to.equal(Infinity)
    estimator.sampleMinimum(10 * MILLISECOND, 0)
    estimator.sampleMinimum(20 * MILLISECOND, 299 * SECOND)
    expect(estimator.minRtt).to.equal(10 * MILLISECOND)
    estimator.sampleMinimum(20 * MILLISECOND, 301 * SECOND)
    expect(estimator.minRtt).to.equal(20 * MILLISECOND)
  })

  it('counts an RTT of nothing, as a simulated link has it, as a sample', () => {
    const estimator = new RttEstimator()
    estimator.sample(0, 1, 0)
    expect(estimator.srtt).to.equal(1)
    feed(estimator, 0, 0)
    expect(estimator.timeout).to.equal(200 * MILLISECOND + 1)
  })

  it('property: is the rule in scaled integers, but for their rounding', () => {
    const step = fc.tuple(fc.integer({ min: 1, max: 3_000_000 }), fc.nat(3), fc.nat(20))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const estimator = new RttEstimator()
        const scaled = new Scaled()
        let una = 0
        let next = 0
        for (const [rtt, acked, sent] of steps) {
          una = Math.min(next, una + acked)
          next += sent
          estimator.sample(rtt * 1000, una, next)
          const rto = scaled.sample(rtt, una, next)
          expect(estimator.timeout / 1000).to.be.closeTo(rto, 60)
          expect(estimator.srtt / 1000).to.be.closeTo(scaled.srtt8 / 8, 10)
        }
      }),
    )
  })
})
