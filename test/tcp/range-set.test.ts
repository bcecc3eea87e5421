import { expect } from 'chai'
import fc from 'fast-check'
import { RangeSet } from '../../lib/tcp/range-set.ts'

describe('RangeSet', () => {
  it('property: is a set of numbers', () => {
    const SPACE = 120
    const step = fc.tuple(fc.constantFrom('add', 'add', 'add', 'cut'), fc.nat(SPACE), fc.nat(30))
    const bases = fc.constantFrom(0, -60, 0x7fffffff - 60, -0x80000000)
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), bases, (steps, base) => {
        const set = new RangeSet()
        const model = new Uint8Array(SPACE + 40)
        const at = (seq: number): number => (seq - base) | 0
        for (const [kind, from, n] of steps) {
          const seq = (base + from) | 0
          if (kind === 'add') {
            const end = (seq + n + 1) | 0
            const first = set.firstEndingFrom(seq)
            const last = set.behindLastBeginningUntil(end, first)
            const there = model.subarray(from, from + n + 1).reduce((sum, bit) => sum + bit, 0)
            expect(set.coveredOf(seq, end, first, last)).to.equal(there)
            model.fill(1, from, from + n + 1)
            const left = set.merge(first, last, seq, end)
            expect(at(left)).to.equal(model.lastIndexOf(0, from) + 1)
          } else {
            const gone = model.subarray(0, from).reduce((sum, bit) => sum + bit, 0)
            expect(set.removeBefore(seq)).to.equal(gone)
            model.fill(0, 0, from)
          }
          const seen = new Uint8Array(model.length)
          for (let i = 0; i < set.count; i++) {
            const left = at(set.left[i]!)
            const right = at(set.right[i]!)
            expect(right).to.be.greaterThan(left)
            if (i > 0) expect(left, 'a hole between').to.be.greaterThan(at(set.right[i - 1]!))
            seen.fill(1, left, right)
          }
          expect(seen).to.deep.equal(model)
          expect(set.bytes).to.equal(model.reduce((sum, bit) => sum + bit, 0))
        }
      }),
    )
  })

  it('keeps little memory when it is empty', () => {
    const set = new RangeSet()
    for (let i = 0; i < 1000; i++) set.merge(i, i, 2 * i, 2 * i + 1)
    expect([set.count, set.left.length]).to.deep.equal([1000, 1024])
    set.removeBefore(2000)
    expect([set.count, set.left.length]).to.deep.equal([0, 0])
    set.merge(0, 0, 5, 6)
    set.removeFirst(1)
    expect([set.count, set.left.length]).to.deep.equal([0, 8])
  })
})
