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
  // The counter in use, taken out of the arrays: the next datagram mostly goes the way of the one before.
  /** Which it is; -1 before the first. */
  #index = -1
  #source: Ipv4Address = 0
  #destination: Ipv4Address = 0
  #protocol = 0
  #counter = 0
  #stamp = 0
  /** A random word for the next jump; 0: none. */
  #drawn = 0
  readonly #hash: HalfSipHash
  readonly #random: Random
  readonly #key = new Int32Array(3)
  #counters: Uint16Array | null = null
  /** Milliseconds of the last use, modulo 2³². */
  #stamps: Int32Array | null = null

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
    if (
      destination !== this.#destination ||
      source !== this.#source ||
      protocol !== this.#protocol ||
      this.#index < 0
    ) {
      this.#change(source, destination, protocol)
    }
    const time = Math.floor(now / MILLISECOND) | 0
    const idle = (time - this.#stamp) >>> 0
    const id = (this.#counter + (idle === 0 ? 0 : this.#jump(idle))) & 0xffff
    this.#stamp = time
    this.#counter = (id + count) & 0xffff
    return id
  }

  /** Draws ahead, when there is time. */
  settle(): void {
    if (this.#drawn === 0 && this.#index >= 0) this.#drawn = this.#random.int32()
  }

  /** Uniform in [0, bound), but for less than a millionth as long as nothing was idle for an hour. */
  #jump(bound: number): number {
    const word = this.#drawn === 0 ? this.#random.int32() : this.#drawn
    this.#drawn = 0
    return (word >>> 0) % bound
  }

  /** Puts the counter in use back, and takes out the one for these. */
  #change(source: Ipv4Address, destination: Ipv4Address, protocol: number): void {
    const counters = (this.#counters ??= this.#seed())
    const stamps = (this.#stamps ??= new Int32Array(COUNTERS))
    if (this.#index >= 0) {
      counters[this.#index] = this.#counter
      stamps[this.#index] = this.#stamp
    }
    const key = this.#key
    key[0] = this.#destination = destination
    key[1] = this.#source = source
    key[2] = this.#protocol = protocol
    this.#index = this.#hash.words(key, 0, 3) & (COUNTERS - 1)
    this.#counter = counters[this.#index]!
    this.#stamp = stamps[this.#index]!
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
