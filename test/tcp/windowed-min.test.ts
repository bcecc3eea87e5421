import { expect } from 'chai'
import fc from 'fast-check'
import { WindowedMin } from '../../lib/tcp/windowed-min.ts'

describe('WindowedMin', () => {
  it('takes a smaller value at once and lets it go when it is too old', () => {
    const filter = new WindowedMin()
    expect(filter.value).to.equal(Infinity)
    const seen: number[] = []
    for (const [time, value] of [
      [0, 50],
      [10, 40],
      [40, 45],
      [80, 60],
      [100, 70],
      [111, 70],
      [150, 90],
      [190, 80],
      [400, 99],
    ] as const) {
      filter.add(value, time, 100)
      seen.push(filter.value)
    }
    expect(seen).to.deep.equal([50, 40, 40, 40, 40, 45, 60, 70, 99])
  })

  it('property: lies between the minimum of the window and the newest sample', () => {
    const samples = fc.array(fc.tuple(fc.nat(60), fc.nat(100)), { minLength: 1, maxLength: 60 })
    fc.assert(
      fc.property(samples, (steps) => {
        const filter = new WindowedMin()
        const past: { time: number; value: number }[] = []
        let time = 0
        for (const [step, value] of steps) {
          time += step
          past.push({ time, value })
          filter.add(value, time, 100)
          const recent = past.filter((sample) => time - sample.time <= 100).map((sample) => sample.value)
          expect(filter.value).to.be.within(Math.min(...recent), value)
          expect(recent).to.include(filter.value)
        }
      }),
    )
  })
})
