import { expect } from 'chai'
import fc from 'fast-check'
import { compare, meets, percentile, summarize } from '../../bench/statistics.ts'

const samples = fc.array(fc.double({ min: 0.001, max: 1e9, noNaN: true }), { minLength: 1, maxLength: 30 })

describe('statistics of the benchmarks', () => {
  it('summarize: median of odd and even counts, and the spread, whatever the order', () => {
    expect(summarize([3, 1, 2])).to.deep.equal({ median: 2, min: 1, max: 3 })
    expect(summarize([4, 1, 2, 3])).to.deep.equal({ median: 2.5, min: 1, max: 4 })
    expect(summarize([7])).to.deep.equal({ median: 7, min: 7, max: 7 })
    expect(() => summarize([])).to.throw(RangeError)
  })

  it('summarize leaves the samples in the order of the rounds', () => {
    const values = [3, 1, 2]
    summarize(values)
    expect(values).to.deep.equal([3, 1, 2])
  })

  it('percentile interpolates between neighbours', () => {
    expect(percentile([10, 20, 30, 40, 50], 0)).to.equal(10)
    expect(percentile([10, 20, 30, 40, 50], 90)).to.equal(46)
    expect(percentile([10, 20, 30, 40, 50], 100)).to.equal(50)
    expect(() => percentile([], 50)).to.throw(RangeError)
  })

  it('property: half of the samples lie on either side of the median, all of them within the spread', () => {
    fc.assert(
      fc.property(samples, (values) => {
        const { median, min, max } = summarize(values)
        expect(min).to.be.at.most(median)
        expect(max).to.be.at.least(median)
        expect(values.every((value) => value >= min && value <= max)).to.equal(true)
        const below = values.filter((value) => value < median).length
        const above = values.filter((value) => value > median).length
        expect(Math.max(below, above)).to.be.at.most(values.length / 2)
      }),
    )
  })

  it('compare: the ratio is of samples of one round, so that a drift common to both cancels out', () => {
    const reference = [100, 200, 400, 800, 1600]
    const comparison = compare(
      reference.map((value) => value / 2),
      reference,
    )
    expect(comparison.ratio).to.deep.equal({ median: 0.5, min: 0.5, max: 0.5 })
    expect(comparison.distinct, 'the drift is larger than the difference').to.equal(false)
    expect(() => compare([1], [1, 2])).to.throw(RangeError)
  })

  it('compare: a difference counts if it is larger than either spread', () => {
    expect(compare([10, 11, 12], [20, 21, 22]).distinct).to.equal(true)
    expect(compare([10, 11, 12], [12, 13, 14]).distinct, 'as large as the spread').to.equal(false)
    expect(compare([11, 11, 11], [5, 13, 20]).distinct, 'the spread of the reference').to.equal(false)
  })

  it('property: nothing differs from itself, and swapping the two swaps nothing but the ratio', () => {
    fc.assert(
      fc.property(samples, samples, (a, b) => {
        expect(compare(a, a).distinct).to.equal(false)
        const length = Math.min(a.length, b.length)
        const [x, y] = [a.slice(0, length), b.slice(0, length)]
        expect(compare(x, y).distinct).to.equal(compare(y, x).distinct)
      }),
    )
  })

  it('meets: a bound from below or from above, for the median of the ratios', () => {
    const ratio = { median: 0.9, min: 0.5, max: 1.3 }
    const comparison = { ratio, distinct: true }
    expect(meets(comparison, { ratio: 0.8, is: 'at least' })).to.equal(true)
    expect(meets(comparison, { ratio: 1, is: 'at least' })).to.equal(false)
    expect(meets(comparison, { ratio: 1, is: 'at most' })).to.equal(true)
    expect(meets(comparison, { ratio: 0.8, is: 'at most' })).to.equal(false)
  })
})
