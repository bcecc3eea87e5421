/**
 * Initial sequence numbers and timestamp offsets. A sequence number is a keyed hash of the four-tuple plus a clock of
 * 64 ns, as in Linux (RFC 6528 §3; RFC 9293 §3.4.1 asks for a tick of 4 µs or less): for one four-tuple it grows, so
 * that old segments are told from new ones; between two it says nothing. Timestamps begin at an offset that is a hash
 * of the four-tuple under another key (RFC 7323 §5.4), so that they neither tell for how long the host has been up
 * nor link two connections, and yet grow from one connection of a four-tuple to the next, as TIME-WAIT needs.
 */
import { FlowKey } from '../demux/flow-key.ts'
import type { Random } from '../random/random.ts'
import { HalfSipHash } from '../random/siphash.ts'
import { MILLISECOND } from '../time/clock.ts'

/** Nanoseconds per sequence number: the space is gone through once in 275 s. */
const ISN_TICK = 64

/** The part of a flow key that is the four-tuple. */
const FOUR_TUPLE_WORDS = FlowKey.PORTS + 1

export class InitialSequence {
  readonly #sequenceHash: HalfSipHash
  readonly #timestampHash: HalfSipHash

  /** Draws two keys. */
  constructor(random: Random) {
    this.#sequenceHash = new HalfSipHash(random.int32(), random.int32())
    this.#timestampHash = new HalfSipHash(random.int32(), random.int32())
  }

  /** The initial sequence number of the flow of `key`, a flow key, at stack time `now`. */
  sequence(key: Int32Array, now: number): number {
    return (this.#sequenceHash.words(key, 0, FOUR_TUPLE_WORDS) + Math.floor(now / ISN_TICK)) | 0
  }

  /** What to add to the timestamp clock for the flow of `key`. */
  timestampOffset(key: Int32Array): number {
    return this.#timestampHash.words(key, 0, FOUR_TUPLE_WORDS)
  }
}

/** The timestamp clock at stack time `now`, of 1 ms as Linux's (RFC 7323 §5.4), beginning at `offset`. */
export function timestampAt(now: number, offset: number): number {
  return (Math.floor(now / MILLISECOND) + offset) | 0
}
