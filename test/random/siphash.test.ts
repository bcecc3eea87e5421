import { expect } from 'chai'
import fc from 'fast-check'
import { HalfSipHash } from '../../lib/random/siphash.ts'

/**
 * The reference's results (`vectors_hsip32`, key 00 01 … 07, input 00 01 02 …) for 0, 4, 8, … 60 bytes of input,
 * as the four bytes that it puts out.
 */
const VECTORS = [
  'a9359f5b 2a6e4689 d0b8848f 57f0872f d9b5ac84 e34d1045 27400c63 b0644000',
  'fee72112 e75cc6ec b6bc1840 7705d548 69e12ce3 3b85f3d4 a5c5b940 d4e76c73',
].flatMap((line) => line.split(' '))

function littleEndian(word: number): string {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setInt32(0, word, true)
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

describe('HalfSipHash-2-4', () => {
  const input = new Int32Array(Uint8Array.from({ length: 64 }, (_, i) => i).buffer)
  const hash = new HalfSipHash(0x03020100, 0x07060504)

  VECTORS.forEach((expected, count) => {
    it(`agrees with the reference on ${count * 4} bytes`, () => {
      expect(littleEndian(hash.words(input, 0, count))).to.equal(expected)
    })
  })

  it('property: reads exactly the words that it is given, and gives a 32-bit integer', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -0x80000000, max: 0x7fffffff }), { minLength: 1, maxLength: 40 }),
        fc.nat(5),
        fc.integer(),
        (words, offset, around) => {
          const plain = hash.words(Int32Array.from(words), 0, words.length)
          const embedded = new Int32Array(offset + words.length + 3).fill(around)
          embedded.set(words, offset)
          expect(hash.words(embedded, offset, words.length)).to.equal(plain)
          expect(plain).to.equal(plain | 0)
        },
      ),
    )
  })

  it('depends on both words of the key, and on the number of words', () => {
    const results = new Set([
      hash.words(input, 0, 3),
      new HalfSipHash(0x03020101, 0x07060504).words(input, 0, 3),
      new HalfSipHash(0x03020100, 0x07060505).words(input, 0, 3),
      hash.words(new Int32Array(4), 0, 3),
      hash.words(new Int32Array(4), 0, 4),
    ])
    expect(results.size).to.equal(5)
  })
})
