/**
 * SYN cookies (RFC 4987 §3.6), as Linux makes them: when a listener has no room for another handshake, what would
 * have to be remembered of it goes into the numbers of the SYN-ACK, and comes back with the last ACK. The sequence
 * number holds the minute and one of four sizes of segment under two keyed hashes of the four-tuple; the lowest bits of
 * the timestamp hold the window scale, and whether SACK and ECN were asked for. Who offers no timestamps gets none of
 * those.
 */
import { FlowKey } from '../demux/flow-key.ts'
import type { Random } from '../random/random.ts'
import { HalfSipHash } from '../random/siphash.ts'
import { SECOND } from '../time/clock.ts'

/** Segment sizes that can be told, ascending (`msstab`). */
export const COOKIE_SIZES = [536, 1300, 1440, 1460] as const

/** A cookie is good for so many minutes, the present one counted (`MAX_SYNCOOKIE_AGE`). */
const VALID_PERIODS = 2
export const COOKIE_PERIOD = 60 * SECOND
/** For how long after it has sent the last one a listener takes any (`TCP_SYNCOOKIE_VALID`). */
export const COOKIE_VALID = VALID_PERIODS * COOKIE_PERIOD

const COUNT_BITS = 8
const DATA_MASK = (1 << (32 - COUNT_BITS)) - 1

/** In the timestamp. */
const SCALE_MASK = 0xf
const SACK = 0x10
const ECN = 0x20
const OPTIONS_MASK = 0x3f

/** What a timestamp holds. */
export interface CookieOptions {
  /** −1: none was offered. */
  windowScale: number
  sack: boolean
  ecn: boolean
}

/** The part of a flow key that is the four-tuple. */
const FOUR_TUPLE_WORDS = FlowKey.PORTS + 1

export class SynCookies {
  readonly #first: HalfSipHash
  readonly #second: HalfSipHash
  readonly #input = new Int32Array(FOUR_TUPLE_WORDS + 1)

  /** Draws two keys. */
  constructor(random: Random) {
    this.#first = new HalfSipHash(random.int32(), random.int32())
    this.#second = new HalfSipHash(random.int32(), random.int32())
  }

  /** The initial sequence number for a SYN with number `irs` of a peer that takes segments of `mss` bytes. */
  make(key: Int32Array, irs: number, mss: number, now: number): number {
    let index = COOKIE_SIZES.length - 1
    while (index > 0 && mss < COOKIE_SIZES[index]!) index--
    const count = periodOf(now)
    const data = (this.#hash(this.#second, key, count) + index) & DATA_MASK
    return (this.#hash(this.#first, key, 0) + irs + (count << (32 - COUNT_BITS)) + data) | 0
  }

  /** The size that a cookie holds which came back for `irs`; 0: it is none of ours, or too old. */
  check(key: Int32Array, irs: number, cookie: number, now: number): number {
    const rest = (cookie - this.#hash(this.#first, key, 0) - irs) | 0
    const count = periodOf(now)
    const age = (count - (rest >>> (32 - COUNT_BITS))) & ((1 << COUNT_BITS) - 1)
    if (age >= VALID_PERIODS) return 0
    const index = (rest - this.#hash(this.#second, key, count - age)) & DATA_MASK
    return COOKIE_SIZES[index] ?? 0
  }

  #hash(hash: HalfSipHash, key: Int32Array, count: number): number {
    const input = this.#input
    for (let i = 0; i < FOUR_TUPLE_WORDS; i++) input[i] = key[i]!
    input[FOUR_TUPLE_WORDS] = count
    return hash.words(input, 0, FOUR_TUPLE_WORDS + 1)
  }
}

/** The latest value of the timestamp clock that is not later than `clock` and holds the options. */
export function encodeOptions(clock: number, { windowScale, sack, ecn }: CookieOptions): number {
  const options = (windowScale < 0 ? SCALE_MASK : windowScale) | (sack ? SACK : 0) | (ecn ? ECN : 0)
  const value = (clock & ~OPTIONS_MASK) | options
  return ((value - clock) | 0) > 0 ? (value - OPTIONS_MASK - 1) | 0 : value
}

export function decodeOptions(value: number): CookieOptions {
  const scale = value & SCALE_MASK
  return {
    windowScale: scale === SCALE_MASK ? -1 : Math.min(scale, 14),
    sack: (value & SACK) !== 0,
    ecn: (value & ECN) !== 0,
  }
}

function periodOf(now: number): number {
  return Math.floor(now / COOKIE_PERIOD)
}
