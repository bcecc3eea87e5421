import { expect } from 'chai'
import fc from 'fast-check'
import { inWindow, seqGe, seqGt, seqLe, seqLt, seqMax, seqMin } from '../../lib/tcp/sequence.ts'

const seq = fc.oneof(
  fc.integer({ min: -0x80000000, max: 0x7fffffff }),
  fc.constantFrom(-0x80000000, 0x7fffffff, -1, 0, 1),
)
/** How far apart two numbers of one connection may lie. */
const distance = fc.oneof(fc.integer({ min: -0x7fffffff, max: 0x7fffffff }), fc.integer({ min: -3, max: 3 }))

describe('sequence numbers', () => {
  it('property: compare as their distance does, across the wrap', () => {
    fc.assert(
      fc.property(seq, distance, (a, d) => {
        const b = (a + d) | 0
        expect([seqLt(a, b), seqLe(a, b), seqGt(a, b), seqGe(a, b)]).to.deep.equal([
          0 < d,
          0 <= d,
          0 > d,
          0 >= d,
        ])
        expect([seqMax(a, b), seqMin(a, b)]).to.deep.equal(d >= 0 ? [b, a] : [a, b])
      }),
    )
  })

  it('property: lie in a window if they are fewer than its size behind its left edge', () => {
    fc.assert(
      fc.property(seq, fc.nat(0x7fffffff), distance, (left, size, d) => {
        expect(inWindow((left + d) | 0, left, size)).to.equal(d >= 0 && d < size)
      }),
    )
    expect(inWindow(0, 0, 0)).to.equal(false)
    expect(inWindow(0x7fffffff | 0, -0x80000000, 0xffffffff)).to.equal(false)
    expect(inWindow(-0x80000000, 0x7fffffff, 2)).to.equal(true)
  })
})
