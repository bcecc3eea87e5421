/**
 * How much ICMP this host sends at most (RFC 1812 §4.3.2.8), as Linux limits it: one bucket for all, whose
 * contents are blurred so that they tell an outsider nothing (CVE-2020-25705), and one for each destination.
 * The order of a decision is: {@link IcmpRateLimit.allowGlobal}, which takes nothing; then
 * {@link IcmpRateLimit.allowDestination}; and {@link IcmpRateLimit.consumeGlobal} for what is sent. Which types
 * are limited at all (`icmp_ratemask`), and that loopback is not, the caller knows.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import type { Random } from '../random/random.ts'
import type { HalfSipHash } from '../random/siphash.ts'
import { MILLISECOND, SECOND } from '../time/clock.ts'

/** The sysctls under `net.ipv4` that matter here; read whenever they are needed. */
export interface IcmpRateSysctl {
  /** Milliseconds per message to one destination; 0 for no limit. */
  icmp_ratelimit: number
  /** Messages a second to all. */
  icmp_msgs_per_sec: number
  /** How many of those may go at once. */
  icmp_msgs_burst: number
}

/** Messages to one destination that may go at once (`XRLIM_BURST_FACTOR`). */
export const BURST_FACTOR = 6

/** The global bucket is filled in steps of 20 ms. */
const REFILL_STEP = SECOND / 50

const WAYS = 4

export interface IcmpRateLimitOptions {
  sysctl: IcmpRateSysctl
  hash: HalfSipHash
  random: Random
  /** Destinations remembered, a power of two; 4096 by default. The one longest unused in its set makes room. */
  destinations?: number
}

/** Both limits of one stack. Times are in nanoseconds. */
export class IcmpRateLimit {
  readonly #sysctl: IcmpRateSysctl
  readonly #hash: HalfSipHash
  readonly #random: Random
  readonly #sets: number
  readonly #address: Int32Array
  /** Nanoseconds; -Infinity for a free place. */
  readonly #last: Float64Array
  /** Nanoseconds of credit at `#last`. */
  readonly #tokens: Float64Array
  readonly #key = new Int32Array(1)
  #credit = 0
  #filled = -Infinity

  constructor({ sysctl, hash, random, destinations = 4096 }: IcmpRateLimitOptions) {
    this.#sysctl = sysctl
    this.#hash = hash
    this.#random = random
    this.#sets = destinations / WAYS
    this.#address = new Int32Array(destinations)
    this.#last = new Float64Array(destinations).fill(-Infinity)
    this.#tokens = new Float64Array(destinations)
  }

  /** May one more message go at all? Denials count as `IcmpOutRateLimitGlobal`. */
  allowGlobal(now: number): boolean {
    if (this.#credit > 0) return true
    const elapsed = Math.min(now - this.#filled, SECOND)
    if (elapsed < REFILL_STEP) return false
    const more = Math.floor((this.#sysctl.icmp_msgs_per_sec * elapsed) / SECOND)
    if (more === 0) return false
    this.#filled = now
    this.#credit = Math.min(this.#credit + more, this.#sysctl.icmp_msgs_burst)
    return true
  }

  /** One message was sent: takes 0, 1 or 2, so that counting answers does not tell how many others went. */
  consumeGlobal(): void {
    this.#credit -= this.#random.below(3)
  }

  /** Takes one message's worth for `address`, if it is there. Denials count as `IcmpOutRateLimitHost`. */
  allowDestination(address: Ipv4Address, now: number): boolean {
    const cost = this.#sysctl.icmp_ratelimit * MILLISECOND
    return this.take(address, now, cost, BURST_FACTOR * cost)
  }

  /**
   * Takes `cost` nanoseconds of credit from the bucket of `address`, which holds `full` at most for this purpose,
   * if they are there. As in Linux (`inet_peer`) there is one bucket for every purpose, also for one that is not
   * limited and so leaves nothing in it, unless no time has passed since its last use.
   */
  take(address: Ipv4Address, now: number, cost: number, full: number): boolean {
    const place = this.#find(address)
    const elapsed = now - this.#last[place]!
    let tokens = this.#tokens[place]!
    if (elapsed > 0) tokens = Math.min(tokens + elapsed, full)
    const allowed = tokens >= cost
    if (allowed) tokens -= cost
    this.#tokens[place] = tokens
    this.#last[place] = now
    return allowed
  }

  /** The place of `address`; a new one has never sent, so its bucket is full. */
  #find(address: Ipv4Address): number {
    this.#key[0] = address
    const first = (this.#hash.words(this.#key, 0, 1) & (this.#sets - 1)) * WAYS
    let oldest = first
    for (let place = first; place < first + WAYS; place++) {
      if (this.#address[place] === address && this.#last[place] !== -Infinity) return place
      if (this.#last[place]! < this.#last[oldest]!) oldest = place
    }
    this.#address[oldest] = address
    this.#last[oldest] = -Infinity
    this.#tokens[oldest] = 0
    return oldest
  }
}
