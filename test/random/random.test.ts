import { expect } from 'chai'
import fc from 'fast-check'
import { Random, type RandomSource, systemRandom } from '../../lib/random/random.ts'
import { seededRandom } from '../../lib/random/seeded.ts'

/** A source that gives the given words, over and over. */
function scripted(words: number[]): RandomSource {
  let next = 0
  return {
    fill(bytes): void {
      const view = new DataView(bytes.buffer, bytes.byteOffset)
      for (let i = 0; i + 4 <= bytes.length; i += 4) view.setUint32(i, words[next++ % words.length]!, true)
    },
  }
}

describe('Random', () => {
  it('property: below(n) is in [0, n)', () => {
    const random = new Random(seededRandom(1))
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 0x1_0000_0000 }), (bound) => {
        const value = random.below(bound)
        expect(Number.isInteger(value) && value >= 0 && value < bound).to.equal(true)
      }),
      { numRuns: 2000 },
    )
  })

  it('below(n) is uniform (chi-squared over 60,000 draws)', () => {
    const random = new Random(seededRandom(2))
    for (const bound of [2, 3, 10, 60]) {
      const counts = new Float64Array(bound)
      for (let i = 0; i < 60_000; i++) counts[random.below(bound)]!++
      const expected = 60_000 / bound
      const chi = counts.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0)
      // mean bound-1, variance 2(bound-1): five standard deviations
      expect(chi, `below(${bound})`).to.be.lessThan(bound - 1 + 5 * Math.sqrt(2 * (bound - 1)) + 5)
    }
  })

  it('below(n) draws again where the modulo would favour small numbers', () => {
    // 2³² mod 3 is 1: the last word of the range alone has no equal share.
    expect(new Random(scripted([0xffffffff, 7])).below(3)).to.equal(1)
    expect(new Random(scripted([0xfffffffe, 7])).below(3)).to.equal(2)
    const bound = 0x80000001
    expect(new Random(scripted([bound, 5])).below(bound)).to.equal(5)
    expect(new Random(scripted([0xffffffff])).below(0x1_0000_0000)).to.equal(0xffffffff)
  })

  it('refuses a bound below which there is no number', () => {
    const random = new Random(seededRandom(1))
    for (const bound of [0, -1, Number.NaN, 0x1_0000_0001])
      expect(() => random.below(bound)).to.throw(RangeError)
  })

  it('hands out each word of a block once, then draws another', () => {
    let fills = 0
    const random = new Random({
      fill(bytes): void {
        fills++
        new Int32Array(bytes.buffer).forEach((_, i, words) => void (words[i] = fills * 1000 + i))
      },
    })
    const words = Array.from({ length: 130 }, () => random.int32())
    expect(fills).to.equal(3)
    expect(words.slice(0, 3)).to.deep.equal([1000, 1001, 1002])
    expect(words.slice(63, 66)).to.deep.equal([1063, 2000, 2001])
    expect(new Set(words).size).to.equal(130)
  })

  it('hardening-19: the default source is cryptographic, and what was handed out is not kept', () => {
    const { random } = Math
    Math.random = () => {
      throw new Error('Math.random() was called')
    }
    try {
      const kept: Uint8Array[] = []
      const system = systemRandom()
      const drawn = new Random({
        fill(bytes): void {
          system.fill(bytes)
          kept.push(bytes)
        },
      })
      const values = Array.from({ length: 10 }, () => drawn.int32())
      expect(new Set(values).size).to.equal(10)
      expect(kept).to.have.length(1)
      expect(kept[0]!.subarray(0, 40).every((byte) => byte === 0)).to.equal(true)
      expect(kept[0]!.subarray(40).some((byte) => byte !== 0)).to.equal(true)
    } finally {
      Math.random = random
    }
  })
})

describe('seededRandom', () => {
  const draw = (seed: number, length: number): number[] => {
    const bytes = new Uint8Array(length)
    seededRandom(seed).fill(bytes)
    return [...bytes]
  }

  it('property: the same seed gives the same bytes, another seed others', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer(), (a, b) => {
        expect(draw(a, 32)).to.deep.equal(draw(a, 32))
        if ((a | 0) !== (b | 0)) expect(draw(a, 32)).to.not.deep.equal(draw(b, 32))
      }),
    )
  })

  it('fills any length, and goes on where it was', () => {
    for (let length = 0; length < 9; length++)
      expect(draw(3, length)).to.deep.equal(draw(3, 12).slice(0, length))
    const source = seededRandom(3)
    const first = new Uint8Array(8)
    const second = new Uint8Array(8)
    source.fill(first)
    source.fill(second)
    expect([...first, ...second]).to.deep.equal(draw(3, 16))
  })

  it('sets each bit about half of the time', () => {
    const ones = new Float64Array(8)
    for (const byte of draw(4, 10_000)) for (let bit = 0; bit < 8; bit++) ones[bit]! += (byte >> bit) & 1
    for (const n of ones) expect(n).to.be.within(4750, 5250)
  })
})
