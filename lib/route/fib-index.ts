/**
 * What makes lookups in a large forwarding table fast: beside the trie, which holds the prefixes, tables by the
 * first 8, 16, 24 and 32 bits of the address, in which every place holds the longest prefix that covers it, of
 * those that end within the last eight of these bits. Of one table the 256 places for the same first 16 (or 24)
 * bits are one chunk, in which only the places count where something else begins: up to five are listed, more are
 * a bitmap. So a lookup reads at most three things that depend on each other for a prefix of up to 24 bits,
 * without a search; and as prefixes are pushed down within their own table alone, no change, be it of a /1,
 * touches more than 256 places. It is kept small before all: what a lookup waits for is memory.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import { FIRST_WORD, FibBlocks } from './fib-blocks.ts'
import { FibRuns } from './fib-runs.ts'

/**
 * What a place holds: value and length of a prefix in one number, 0 if none of this table's prefixes covers it;
 * or, with a length that is none, the address of what is below: a word for what covers all of it with at most 24
 * bits, and a chunk for the last eight bits.
 */
type Entry = number

const LENGTH = 63
const LENGTH_BITS = 6
/** In place of a length: a small chunk below. */
const SMALL = 62
/** In place of a length: a large chunk below. */
const LARGE = 63

/** Values and chunk addresses are below this, and values above its negative. */
export const INDEX_VALUE_LIMIT = 1 << 25

/**
 * A small chunk has at most so many runs: a word with the places before which the second and further ones begin,
 * in its octets from the highest on, 255 for one that is not there; then what each run holds.
 */
const FEW = 5
/**
 * A large chunk: eight octets with how many runs begin in the 32, 64, … places before; eight words with a bit for
 * each place where one begins; then what each run holds.
 */
const BITMAP = 2
const RUNS = BITMAP + 8

/** A chunk and one below it while they are being changed: as they are, and as they will be. */
const HELD = new FibRuns()
const NEW = new FibRuns()
const HELD_BELOW = new FibRuns()
const NEW_BELOW = new FibRuns()

/** What is in a chunk with nothing in it; and that chunk, the first of its array, for all slots without one. */
const NOTHING = new FibRuns()
NOTHING.push(0, 0)
const EMPTY = -FIRST_WORD

/** Words that one change may take. */
const CHANGE_MOST = 1024
/** Words from which on it is worth while to close the gaps of the array. */
const COMPACTED_FROM = 65536

export class FibIndex {
  /** By the first 8 bits: prefixes of 1…8. That of no bits is none of this index's business. */
  readonly #top = new Int32Array(256)
  /**
   * By the first 16 bits: an entry for prefixes of 9…16 bits, and the address of the chunk for the longer ones,
   * negative if it is a small one.
   */
  readonly #slots = new Int32Array(2 << 16)
  #blocks = new FibBlocks(CHANGE_MOST)

  constructor() {
    this.#write(NOTHING)
    for (let slot = 1; slot < this.#slots.length; slot += 2) this.#slots[slot] = EMPTY
  }

  /** The longest prefix, of at least one bit, that covers the address, as `value << 6 | length`; 0 if there is none. */
  find(address: Ipv4Address): Entry {
    const slots = this.#slots
    const slot = (address >>> 15) & ~1
    const { words } = this.#blocks
    const chunk = slots[slot + 1]!
    const place = (address >>> 8) & 255
    let entry = chunk < 0 ? few(words, -chunk, place) : many(words, chunk, place)
    if ((entry & LENGTH) > 32) entry = this.#below(address & 255, entry)
    // The first of the three that is not 0, without a branch that nobody can foresee.
    return or(entry, or(slots[slot]!, this.#top[address >>> 24]!))
  }

  /** Enters a prefix, or gives it another value. */
  set(address: Ipv4Address, length: number, value: number): void {
    this.#paint(address, length, (value << LENGTH_BITS) | length, 0)
  }

  /**
   * Takes a prefix out.
   * @param value what the next shorter prefix that covers it has, 0 if there is none; and `shorter`, its length
   */
  delete(address: Ipv4Address, length: number, value: number, shorter: number): void {
    const here = value !== 0 && shorter >= shortest(length)
    this.#paint(address, length, here ? (value << LENGTH_BITS) | shorter : 0, length)
  }

  /** False once chunks lie further up than entries can say: then it is of no use any more. */
  get usable(): boolean {
    return this.#blocks.used < INDEX_VALUE_LIMIT
  }

  get bytes(): number {
    return this.#top.byteLength + this.#slots.byteLength + this.#blocks.words.byteLength
  }

  #below(place: number, pointer: Entry): Entry {
    const { words } = this.#blocks
    const at = pointer >>> LENGTH_BITS
    const entry = (pointer & LENGTH) === SMALL ? few(words, at + 1, place) : many(words, at + 1, place)
    return or(entry, words[at]!)
  }

  /**
   * Gives the places that a prefix covers this entry: those with a prefix that is no longer than it, or, with
   * `from`, those with one of exactly so many bits, which can only be itself.
   */
  #paint(address: Ipv4Address, length: number, entry: Entry, from: number): void {
    if (length <= 8) {
      const first = address >>> 24
      paint(this.#top, 1, first, first + (1 << (8 - length)), length, entry, from)
      return
    }
    const slot = address >>> 16
    if (length <= 16) {
      paint(this.#slots, 2, slot, slot + (1 << (16 - length)), length, entry, from)
      return
    }
    this.#makeRoom()
    const chunk = this.#slots[2 * slot + 1]!
    this.#read(chunk, HELD)
    const place = (address >>> 8) & 255
    if (length > 24) {
      const held = HELD.at(place)
      const now = this.#paintBelow(held, address & 255, length, entry, from)
      if (now === held) return
      NEW.replace(HELD, place, now)
    } else {
      const end = place + (1 << (24 - length))
      for (let run = 0; run < HELD.count; run++) {
        const start = HELD.starts[run]!
        if ((HELD.entries[run]! & LENGTH) > 32 && start >= place && start < end) {
          this.#paintCover(HELD.entries[run]!, length, entry, from)
        }
      }
      if (!paintRuns(HELD, NEW, place, end, length, entry, from)) return
    }
    if (chunk !== EMPTY) this.#release(chunk, HELD)
    this.#slots[2 * slot + 1] = NEW.empty ? EMPTY : this.#write(NEW)
  }

  /** Paints what covers all of a chunk below. */
  #paintCover(pointer: Entry, length: number, entry: Entry, from: number): void {
    const { words } = this.#blocks
    const at = pointer >>> LENGTH_BITS
    if (paints(words[at]!, length, from)) words[at] = entry
  }

  /**
   * Paints the chunk below a place that holds `held`. It is made if there is none, and goes when nothing is left
   * in it. Gives what the place holds then.
   */
  #paintBelow(held: Entry, first: number, length: number, entry: Entry, from: number): Entry {
    let cover = held
    if ((held & LENGTH) <= 32) HELD_BELOW.clear().push(0, 0)
    else {
      const at = held >>> LENGTH_BITS
      cover = this.#blocks.words[at]!
      this.#read((held & LENGTH) === SMALL ? -(at + 1) : at + 1, HELD_BELOW)
      this.#blocks.release(at, 1 + sizeOf(HELD_BELOW))
    }
    paintRuns(HELD_BELOW, NEW_BELOW, first, first + (1 << (32 - length)), length, entry, from)
    if (NEW_BELOW.empty) return cover
    const at = this.#blocks.allocate(1 + sizeOf(NEW_BELOW))
    this.#blocks.words[at] = cover
    write(this.#blocks.words, at + 1, NEW_BELOW)
    return (at << LENGTH_BITS) | (NEW_BELOW.count <= FEW ? SMALL : LARGE)
  }

  #read(chunk: number, runs: FibRuns): void {
    if (chunk < 0) readSmall(this.#blocks.words, -chunk, runs)
    else readLarge(this.#blocks.words, chunk, runs)
  }

  /** Makes a chunk of these runs. Gives its address, as slots have it. */
  #write(runs: FibRuns): number {
    const at = this.#blocks.allocate(sizeOf(runs))
    write(this.#blocks.words, at, runs)
    return runs.count <= FEW ? -at : at
  }

  #release(chunk: number, runs: FibRuns): void {
    this.#blocks.release(Math.abs(chunk), sizeOf(runs))
  }

  /** Before the array would grow while a third of it is free, and when half of it is: closes the gaps instead. */
  #makeRoom(): void {
    const { words, used, free } = this.#blocks
    if (words.length < COMPACTED_FROM) return
    if (used - free < words.length >>> 1 || (used + CHANGE_MOST > words.length && free > used / 3)) {
      this.#compact()
    }
  }

  #compact(): void {
    const from = this.#blocks.words
    const live = this.#blocks.used - this.#blocks.free
    this.#blocks = new FibBlocks(live + (live >>> 3) + CHANGE_MOST)
    this.#write(NOTHING)
    const slots = this.#slots
    for (let slot = 1; slot < slots.length; slot += 2) {
      const chunk = slots[slot]!
      if (chunk === EMPTY) continue
      if (chunk < 0) readSmall(from, -chunk, HELD)
      else readLarge(from, chunk, HELD)
      for (let run = 0; run < HELD.count; run++) {
        const entry = HELD.entries[run]!
        if ((entry & LENGTH) > 32) HELD.entries[run] = this.#moveBelow(from, entry)
      }
      slots[slot] = this.#write(HELD)
    }
  }

  /** Takes over what an entry points to from an array of before. Gives the entry that points to it now. */
  #moveBelow(from: Int32Array, pointer: Entry): Entry {
    const at = pointer >>> LENGTH_BITS
    if ((pointer & LENGTH) === SMALL) readSmall(from, at + 1, HELD_BELOW)
    else readLarge(from, at + 1, HELD_BELOW)
    const size = 1 + sizeOf(HELD_BELOW)
    const to = this.#blocks.allocate(size)
    const { words } = this.#blocks
    for (let i = 0; i < size; i++) words[to + i] = from[at + i]!
    return (to << LENGTH_BITS) | (pointer & LENGTH)
  }
}

/** Words of a chunk of these runs. */
function sizeOf({ count }: FibRuns): number {
  return count <= FEW ? 1 + count : RUNS + count
}

/** What a place of a small chunk holds. */
function few(words: Int32Array, at: number, place: number): Entry {
  const begins = words[at]!
  const before =
    (((begins & 255) - place) >>> 31) +
    ((((begins >>> 8) & 255) - place) >>> 31) +
    ((((begins >>> 16) & 255) - place) >>> 31) +
    (((begins >>> 24) - place) >>> 31)
  return words[at + 1 + before]!
}

/** What a place of a large chunk holds. */
function many(words: Int32Array, at: number, place: number): Entry {
  const group = place >>> 5
  const before = (words[at + (group >>> 2)]! >>> ((group & 3) << 3)) & 255
  const begun = words[at + BITMAP + group]! & ((2 << (place & 31)) - 1)
  return words[at + (RUNS - 1) + before + ones(begun)]!
}

function readSmall(words: Int32Array, at: number, runs: FibRuns): void {
  const begins = words[at]!
  runs.clear().push(0, words[at + 1]!)
  for (let run = 1; run < FEW; run++) {
    const before = (begins >>> (32 - 8 * run)) & 255
    if (before === 255) return
    runs.push(before + 1, words[at + 1 + run]!)
  }
}

function readLarge(words: Int32Array, at: number, runs: FibRuns): void {
  const { starts, entries } = runs
  let count = 0
  for (let group = 0; group < 8; group++) {
    for (let begun = words[at + BITMAP + group]!; begun !== 0; begun &= begun - 1) {
      starts[count] = 32 * group + 31 - Math.clz32(begun & -begun)
      entries[count] = words[at + RUNS + count]!
      count++
    }
  }
  runs.count = count
}

function write(words: Int32Array, at: number, { starts, entries, count }: FibRuns): void {
  if (count <= FEW) {
    let begins = 0
    for (let run = 1; run < FEW; run++) begins = (begins << 8) | (run < count ? starts[run]! - 1 : 255)
    words[at] = begins
    for (let run = 0; run < count; run++) words[at + 1 + run] = entries[run]!
    return
  }
  let before = 0
  let run = 0
  for (let group = 0; group < 8; group++) {
    if ((group & 3) === 0) before = 0
    before |= run << ((group & 3) << 3)
    if ((group & 3) === 3) words[at + (group >>> 2)] = before
    let begun = 0
    for (; run < count && starts[run]! >>> 5 === group; run++) begun |= 1 << (starts[run]! & 31)
    words[at + BITMAP + group] = begun
  }
  for (let i = 0; i < count; i++) words[at + RUNS + i] = entries[i]!
}

/** Shortest prefix of the table that holds those of this length. */
function shortest(length: number): number {
  return ((length - 1) & ~7) + 1
}

/** Whether a place that has this entry is painted over. */
function paints(held: Entry, length: number, from: number): boolean {
  const own = held & LENGTH
  return from === 0 ? own <= length : own === from
}

function paint(
  places: Int32Array,
  step: number,
  first: number,
  end: number,
  length: number,
  entry: Entry,
  from: number,
): void {
  for (let place = step * first; place < step * end; place += step) {
    if (paints(places[place]!, length, from)) places[place] = entry
  }
}

/** As {@link paint}, of runs, from `held` to `runs`. False if no place changed. */
function paintRuns(
  held: FibRuns,
  runs: FibRuns,
  first: number,
  end: number,
  length: number,
  entry: Entry,
  from: number,
): boolean {
  runs.clear()
  let changed = false
  const { starts, entries, count } = held
  for (let run = 0; run < count; run++) {
    const start = starts[run]!
    const next = run + 1 < count ? starts[run + 1]! : 256
    const own = entries[run]!
    if (next <= first || start >= end || !paints(own, length, from)) {
      runs.push(start, own)
      continue
    }
    changed = true
    if (start < first) runs.push(start, own)
    runs.push(start < first ? first : start, entry)
    if (next > end) runs.push(end, own)
  }
  return changed
}

/** `a`, or `b` if `a` is 0. */
function or(a: number, b: number): number {
  return a | (b & ~((a | (0 - a)) >> 31))
}

/** How many of 32 bits are set. */
function ones(bits: number): number {
  bits = (bits - ((bits >>> 1) & 0x55555555)) | 0
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333)
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}
