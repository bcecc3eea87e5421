import { expect } from 'chai'
import fc from 'fast-check'
import { AckSample } from '../../../lib/tcp/congestion/congestion-control.ts'
import { PolicerDetector } from '../../../lib/tcp/congestion/policer-detector.ts'
import { MILLISECOND } from '../../../lib/time/clock.ts'

const ROUND = 50 * MILLISECOND

/** Rounds of a path on which `delivered` bytes arrive and `lost` do not. */
function rounds(
  detector: PolicerDetector,
  count: number,
  delivered: number,
  lost: number,
  state = { now: 0, total: 0 },
) {
  let forgotten = 0
  for (let i = 0; i < count; i++) {
    state.now += ROUND
    state.total += delivered
    const sample = new AckSample()
    Object.assign(sample, { now: state.now, lost, delivered, totalDelivered: state.total })
    detector.note(sample)
    if (detector.sample(sample, true, false, true)) forgotten++
  }
  return { state, forgotten }
}

describe('PolicerDetector', () => {
  it('takes the rate of two intervals that lose alike for a policer’s', () => {
    const detector = new PolicerDetector()
    const { state } = rounds(detector, 5, 10_000, 4_000)
    expect(detector.isInUse).to.equal(false)
    rounds(detector, 10, 10_000, 4_000, state)
    expect(detector.isInUse).to.equal(true)
    expect((detector.rate * ROUND) / 10_000).to.be.within(0.95, 1.1)
  })

  it('does not where little is lost, or rates differ', () => {
    const few = new PolicerDetector()
    rounds(few, 100, 10_000, 500)
    expect(few.isInUse).to.equal(false)
    const differing = new PolicerDetector()
    const state = { now: 0, total: 0 }
    for (let i = 0; i < 30; i++) rounds(differing, 1, 10_000 * 1.5 ** i, 10_000 * 1.5 ** i, state)
    expect(differing.isInUse).to.equal(false)
  })

  it('tries after 48 rounds whether more goes', () => {
    const detector = new PolicerDetector()
    const { state } = rounds(detector, 20, 10_000, 4_000)
    expect(detector.isInUse).to.equal(true)
    const { forgotten } = rounds(detector, 48, 10_000, 0, state)
    expect(forgotten).to.equal(1)
    expect(detector.isInUse).to.equal(false)
  })

  it('property: a rate in use is one that was delivered', () => {
    const told = fc.record({
      delivered: fc.integer({ min: 0, max: 100_000 }),
      lost: fc.integer({ min: 0, max: 100_000 }),
      elapsed: fc.integer({ min: 1, max: ROUND }),
      roundStart: fc.boolean(),
      limited: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(told, { maxLength: 200 }), (samples) => {
        const detector = new PolicerDetector()
        let now = 0
        let total = 0
        for (const { delivered, lost, elapsed, roundStart, limited } of samples) {
          now += elapsed
          total += delivered
          const sample = Object.assign(new AckSample(), { now, lost, delivered, totalDelivered: total })
          detector.note(sample)
          detector.sample(sample, roundStart, limited, true)
          if (detector.isInUse) expect(detector.rate).to.be.within(Number.MIN_VALUE, 100_000)
        }
      }),
    )
  })
})
