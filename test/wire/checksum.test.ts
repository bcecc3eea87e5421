import { expect } from 'chai'
import * as fc from 'fast-check'
import {
  checksum,
  fold,
  pseudoHeaderSum,
  sum,
  sumWords,
  updateChecksum16,
  updateChecksum32,
} from '../../lib/wire/checksum.ts'
import { sumSimd } from '../../lib/wire/checksum-simd.ts'
import { samples } from './samples.ts'
import { fromHex } from './surroundings.ts'

/** RFC 1071 §4.1, word by word. */
function reference(bytes: Uint8Array, start: number, end: number, initial = 0): number {
  let total = initial
  for (let at = start; at < end; at += 2) {
    total += bytes[at]! * 256 + (at + 1 < end ? bytes[at + 1]! : 0)
    if (total > 0xffff) total -= 0xffff
  }
  return total
}
/** 0 and 0xffff are the same number in one's complement; which one comes out depends on the order of adding. */
const number = (sum: number) => sum % 0xffff

function pattern(length: number, seed: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length)
  let x = seed
  for (let i = 0; i < length; i++) {
    x = (Math.imul(x, 1103515245) + 12345) | 0
    bytes[i] = x >>> 16
  }
  return bytes
}

describe('wire/checksum', () => {
  it('gives the example of RFC 1071 §3', () => {
    expect(fold(sum(fromHex('0001f203f4f5f6f7'), 0, 8))).to.equal(0xddf2)
    expect(checksum(fromHex('0001f203f4f5f6f7'), 0, 8)).to.equal(0x220d)
  })

  it('is 0 over a header of Linux that holds its checksum', () => {
    const [, ping] = samples[0]!
    expect(checksum(fromHex(ping), 0, 20)).to.equal(0)
    expect(checksum(fromHex(ping), 20, 84)).to.equal(0)
    const without = fromHex('4500005440364000400100000a0000010a000302')
    const check = checksum(without, 0, 20)
    without[10] = check >>> 8
    without[11] = check
    expect(checksum(without, 0, 20)).to.equal(0)
  })

  it('equals the reference for every alignment of array and start, and every length', () => {
    const arena = pattern(4096, 7)
    const lengths = [...Array(140).keys(), 508, 509, 510, 511, 512, 513, 514, 515, 1480, 1499, 1500]
    for (let base = 0; base < 4; base++) {
      const bytes = new Uint8Array(arena.buffer, base, 3000)
      for (let start = 0; start < 8; start++) {
        for (const length of lengths) {
          const expected = reference(bytes, start, start + length)
          // Twice, since the first sums of an array take another way than the later ones.
          for (let i = 0; i < 2; i++) {
            const got = fold(sum(bytes, start, start + length))
            if (got !== expected) expect.fail(`base ${base} start ${start} length ${length}`)
          }
        }
      }
    }
  })

  it('by vectors and by words agree for every alignment and length, and with the reference', () => {
    const arena = pattern(70_000, 11)
    const lengths = [...Array(200).keys(), ...Array.from({ length: 140 }, (_, i) => 480 + i)]
    for (let base = 0; base < 4; base++) {
      const bytes = new Uint8Array(arena.buffer, base, 69_000)
      for (let start = 0; start < 17; start++) {
        for (const length of [...lengths, 1499, 1500, 8191, 65_515]) {
          const expected = reference(bytes, start, start + length)
          const words = fold(sumWords(bytes, start, start + length))
          if (words !== expected) expect.fail(`words: base ${base} start ${start} length ${length}`)
          const vectors = sumSimd(bytes, start, start + length)
          if (vectors !== expected) expect.fail(`vectors: base ${base} start ${start} length ${length}`)
        }
      }
    }
  })

  it('property: vectors, words and the reference agree on any bytes', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 131_056 }),
        fc.nat(70),
        fc.nat(0x7fffffff),
        fc.constantFrom(0, 0xff),
        (length, start, seed, fill) => {
          const bytes = pattern(start + length, seed)
          if (seed % 3 === 0) bytes.fill(fill)
          const expected = reference(bytes, start, start + length)
          expect(sumSimd(bytes, start, start + length)).to.equal(expected)
          expect(fold(sumWords(bytes, start, start + length))).to.equal(expected)
          expect(fold(sum(bytes, start, start + length, 77)) % 0xffff).to.equal((expected + 77) % 0xffff)
        },
      ),
      { numRuns: 60 },
    )
  })

  it('goes without vectors for what is longer than their memory, and for a buffer that is gone', () => {
    const bytes = pattern(140_000, 3)
    expect(sumSimd(bytes, 1, 131_058)).to.equal(-1)
    expect(fold(sum(bytes, 1, 140_000))).to.equal(reference(bytes, 1, 140_000))
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
    expect(sumSimd(bytes, 0, 1000)).to.equal(-1)
    expect(() => sum(bytes, 0, 1000)).to.not.throw()
  })

  it('holds at the largest packet and with all bits set', () => {
    const bytes = new Uint8Array(65535).fill(0xff)
    for (const length of [65535, 65534, 65532, 3]) {
      expect(fold(sum(bytes, 0, length))).to.equal(reference(bytes, 0, length))
    }
    const zeroes = new Uint8Array(65535)
    expect(checksum(zeroes, 0, 65535)).to.equal(0xffff)
  })

  it('goes on with another array and with one that is the only one on its buffer', () => {
    const arrays = [1, 2, 3, 4, 5].map((seed) => pattern(700 + seed, seed))
    for (let round = 0; round < 4; round++) {
      for (const bytes of arrays) {
        for (const end of [20, 64, bytes.length]) {
          expect(fold(sum(bytes, 0, end))).to.equal(reference(bytes, 0, end))
        }
      }
    }
  })

  it('sums the last bytes of a buffer whose size is no multiple of 4', () => {
    const bytes = pattern(1027, 9)
    for (const start of [0, 1, 2, 3, 1000]) {
      expect(fold(sum(bytes, start, 1027))).to.equal(reference(bytes, start, 1027))
    }
  })

  it('can be chained over pieces of even length, with initial sums', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 1200 }),
        fc.nat(600),
        fc.nat(0x1fffff),
        (bytes, half, initial) => {
          const cut = Math.min(half * 2, bytes.length & ~1)
          const chained = sum(bytes, cut, bytes.length, sum(bytes, 0, cut, initial))
          expect(number(fold(chained))).to.equal(number(reference(bytes, 0, bytes.length, number(initial))))
        },
      ),
    )
  })

  it('folds sums beyond 32 bits', () => {
    expect(fold(0xffff)).to.equal(0xffff)
    expect(fold(0x10000)).to.equal(1)
    expect(fold(0xffffffff)).to.equal(0xffff)
    expect(fold(0x1_0000_0000)).to.equal(1)
    expect(fold(0xffff * 0x100000)).to.equal(0xffff)
  })

  it('covers the pseudo-header', () => {
    const pseudo = fromHex('0a000001' + 'fffffffe' + '0011' + '0009')
    expect(fold(pseudoHeaderSum(0x0a000001, -2, 17, 9))).to.equal(reference(pseudo, 0, 12))
  })

  describe('incremental (fwd-cksum-edge, icmp-echo-cksum-edge)', () => {
    it('gives the example of RFC 1624 §4, where eq. 2 went wrong', () => {
      expect(updateChecksum16(0xdd2f, 0x5555, 0x3285)).to.equal(0x0000)
    })

    it('equals recomputing for every checksum that a TTL decrement can meet', () => {
      // A header is never all zero, so recomputing never gives 0xffff, and neither may updating.
      const header = fromHex('450000544036000000010000' + '0a0000010a000302')
      const view = new DataView(header.buffer)
      for (let id = 0; id <= 0xffff; id++) {
        const ttl = (id % 255) + 1
        view.setUint16(4, id)
        view.setUint8(8, ttl)
        view.setUint16(10, 0)
        const before = ~reference(header, 0, 20) & 0xffff
        view.setUint8(8, ttl - 1)
        const after = ~reference(header, 0, 20) & 0xffff
        const updated = updateChecksum16(before, (ttl << 8) | 1, ((ttl - 1) << 8) | 1)
        if (updated !== after) expect.fail(`id ${id}: ${updated} instead of ${after}`)
      }
    })

    it('equals recomputing for any change of one or two words', () => {
      const word = fc.oneof(fc.constantFrom(0, 0xffff, 1, 0xfffe), fc.nat(0xffff))
      fc.assert(
        fc.property(fc.array(word, { minLength: 4, maxLength: 30 }), word, word, (words, high, low) => {
          const bytes = new Uint8Array(words.length * 2 + 2)
          const view = new DataView(bytes.buffer)
          words.forEach((w, i) => {
            view.setUint16(i * 2, w)
          })
          // Something that is not zero, as every header has it.
          view.setUint16(words.length * 2, 0x4500)
          const before = checksum(bytes, 0, bytes.length)
          view.setUint16(0, high)
          const once = updateChecksum16(before, words[0]!, high)
          expect(once).to.equal(checksum(bytes, 0, bytes.length))
          const old = view.getInt32(4)
          view.setUint16(4, high)
          view.setUint16(6, low)
          const after = checksum(bytes, 0, bytes.length)
          expect(updateChecksum32(once, old, view.getInt32(4))).to.equal(after)
          expect(updateChecksum32(once, old >>> 0, view.getUint32(4))).to.equal(after)
        }),
      )
    })
  })
})
