/** The Internet checksum: this project's, its way without vectors, and the loop over bytes that everybody writes first. */
import { checksum, fold, sumWords } from '../../lib/wire/checksum.ts'
import { nanoseconds, type Timing } from './timing.ts'

/** An arena as the pool makes them, so that alignment and size are those of packets. */
const arena = new Uint8Array(new ArrayBuffer(1 << 20)).map((_, i) => (i * 31 + (i >> 8)) & 255)

export function ours(length: number): (timing: Timing) => number {
  return (timing) => nanoseconds((n) => repeat(n, length, checksum), timing)
}

/** What a runtime without WebAssembly takes for all lengths. */
export function words(length: number): (timing: Timing) => number {
  const check = (bytes: Uint8Array, start: number, end: number): number => fold(sumWords(bytes, start, end))
  return (timing) => nanoseconds((n) => repeat(n, length, check), timing)
}

export function byteLoop(length: number): (timing: Timing) => number {
  return (timing) => nanoseconds((n) => repeat(n, length, naive), timing)
}

function repeat(n: number, length: number, check: typeof naive): number {
  let total = 0
  for (let i = 0; i < n; i++) {
    const start = 144 + ((i & 63) << 11) // a slab each
    total += check(arena, start, start + length)
  }
  return total
}

function naive(bytes: Uint8Array, start: number, end: number): number {
  let sum = 0
  for (let i = start; i < end - 1; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!
  if (((end - start) & 1) === 1) sum += bytes[end - 1]! << 8
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000)
  return ~sum & 0xffff
}
