/**
 * HalfSipHash-2-4: a keyed hash on 32-bit words. Tables that are keyed by what arrives on the wire, and
 * identifiers that an outsider must not predict, go through it, so that nobody without the key can choose
 * inputs that collide (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 32-bit variant).
 */

/** Hashes 32-bit words under a 64-bit key. Stateless but for the key; allocates nothing. */
export class HalfSipHash {
  readonly #k0: number
  readonly #k1: number

  constructor(k0: number, k1: number) {
    this.#k0 = k0 | 0
    this.#k1 = k1 | 0
  }

  /** The hash of `count` words from `offset` on, as a signed 32-bit integer. */
  words(input: Int32Array, offset: number, count: number): number {
    let v0 = this.#k0
    let v1 = this.#k1
    let v2 = 0x6c796765 ^ this.#k0
    let v3 = 0x74656462 ^ this.#k1
    // The last block holds the length in bytes in its top byte and nothing else: input is whole words.
    for (let i = 0; i <= count + 1; i++) {
      let m = 0
      let rounds = 2
      if (i < count) m = input[offset + i]!
      else if (i === count) m = (count << 26) | 0
      else {
        v2 ^= 0xff
        rounds = 4
      }
      v3 ^= m
      for (let r = 0; r < rounds; r++) {
        v0 = (v0 + v1) | 0
        v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
        v0 = (v0 << 16) | (v0 >>> 16)
        v2 = (v2 + v3) | 0
        v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
        v0 = (v0 + v3) | 0
        v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
        v2 = (v2 + v1) | 0
        v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
        v2 = (v2 << 16) | (v2 >>> 16)
      }
      v0 ^= m
    }
    return v1 ^ v3
  }
}
