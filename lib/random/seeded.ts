/**
 * A repeatable {@link RandomSource} for simulations and tests: the sfc32 generator. The same seed gives the
 * same bytes on every machine. It is not for a stack that faces a network: its state can be recovered.
 */
import type { RandomSource } from './random.ts'

/** @param seed any 32-bit integer */
export function seededRandom(seed: number): RandomSource {
  let a = 0x9e3779b9
  let b = 0x243f6a88
  let c = seed | 0
  let counter = 1
  const next = (): number => {
    const t = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + t) | 0
    return t
  }
  for (let i = 0; i < 15; i++) next() // mixes the seed in
  return {
    fill(bytes): void {
      for (let i = 0; i < bytes.length; i += 4) {
        const word = next()
        for (let j = 0; j < 4 && i + j < bytes.length; j++) bytes[i + j] = word >>> (8 * j)
      }
    },
  }
}
