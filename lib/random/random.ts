/**
 * Randomness, handed in. Identifiers, hash keys and jitter come from a {@link RandomSource}; the default is
 * the runtime's cryptographic generator, a simulation hands in a seeded one. `Math.random()` is never used:
 * its state can be computed from a few outputs (RFC 4086 §2).
 */
import { TunstackError } from '../errors.ts'

export interface RandomSource {
  /** Fills `bytes` with random bytes. */
  fill(bytes: Uint8Array<ArrayBuffer>): void
}

/** The runtime's `crypto.getRandomValues`. @throws TunstackError `ERR_NO_RANDOM` where it has none. */
export function systemRandom(): RandomSource {
  const crypto = (globalThis as { crypto?: { getRandomValues(bytes: Uint8Array<ArrayBuffer>): unknown } })
    .crypto
  if (crypto === undefined) {
    throw new TunstackError(
      'ERR_NO_RANDOM',
      'this runtime has no crypto.getRandomValues(); pass a source: new Stack({ random })',
    )
  }
  return { fill: (bytes) => void crypto.getRandomValues(bytes) }
}

/** Draws numbers from a {@link RandomSource}, a block of 256 bytes at a time, so that a draw costs no call. */
export class Random {
  readonly #source: RandomSource
  readonly #bytes = new Uint8Array(256)
  readonly #words = new Int32Array(this.#bytes.buffer)
  #next = this.#words.length

  constructor(source: RandomSource) {
    this.#source = source
  }

  /** 32 random bits as a signed integer. */
  int32(): number {
    if (this.#next === this.#words.length) {
      this.#source.fill(this.#bytes)
      this.#next = 0
    }
    const word = this.#words[this.#next]!
    this.#words[this.#next++] = 0 // an output that was handed out is not kept
    return word
  }

  /** Uniform in [0, bound), without modulo bias; `bound` in 1…2³². @throws RangeError for another */
  below(bound: number): number {
    if (!(bound >= 1 && bound <= 0x1_0000_0000)) throw new RangeError(`no number below ${bound} to draw`)
    const limit = 0x1_0000_0000 - (0x1_0000_0000 % bound)
    for (;;) {
      const word = this.int32() >>> 0
      if (word < limit) return word % bound
    }
  }
}
