/**
 * The identification field (RFC 791 §3.2, RFC 6864). It has to be unique per source, destination and protocol
 * for as long as fragments live, and nothing else: a datagram that is not and will not be fragmented (DF set)
 * carries 0, as with Linux. For the others there are many counters, chosen by a keyed hash of what must be
 * unique, each jumping by a random amount that grows with the time since its last use. So nobody sees from
 * outside how much this host sends to others (RFC 7739, "hash-based selection"; idle scans).
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import type { Random } from '../random/random.ts'
import type { HalfSipHash } from '../random/siphash.ts'
import { MILLISECOND } from '../time/clock.ts'

/** What an atomic datagram carries (RFC 6864 §4.1 allows any value). */
export const ATOMIC_ID = 0

/** How many counters; a power of two. More of them make it harder to find two peers that share one. */
const COUNTERS = 8192

export class Identification {
  readonly #hash: HalfSipHash
  readonly #random: Random
  readonly #key = new Int32Array(3)
  /** Which counter `#key` has; -1 before the first. */
  #index = -1
  #counters: Uint16Array | null = null
  /** Milliseconds of the last use, modulo 2³². */
  #stamps: Uint32Array | null = null

  constructor(hash: HalfSipHash, random: Random) {
    this.#hash = hash
    this.#random = random
  }

  /**
   * An identification, 0…65535, for a datagram that may be fragmented.
   * @param now nanoseconds
   * @param count how many following ones to take as well, for a super-segment that will be cut into so many
   */
  next(source: Ipv4Address, destination: Ipv4Address, protocol: number, now: number, count = 1): number {
    const counters = (this.#counters ??= this.#seed())
    const stamps = (this.#stamps ??= new Uint32Array(COUNTERS))
    const key = this.#key
    if (key[0] !== destination || key[1] !== source || key[2] !== protocol || this.#index < 0) {
      key[0] = destination
      key[1] = source
      key[2] = protocol
      this.#index = this.#hash.words(key, 0, 3) & (COUNTERS - 1)
    }
    const index = this.#index
    const time = Math.floor(now / MILLISECOND) >>> 0
    const idle = (time - stamps[index]!) >>> 0
    stamps[index] = time
    const id = (counters[index]! + (idle === 0 ? 0 : this.#random.below(idle))) & 0xffff
    counters[index] = id + count
    return id
  }

  #seed(): Uint16Array {
    const counters = new Uint16Array(COUNTERS)
    for (let i = 0; i < COUNTERS; i += 2) {
      const word = this.#random.int32()
      counters[i] = word
      counters[i + 1] = word >>> 16
    }
    return counters
  }
}
