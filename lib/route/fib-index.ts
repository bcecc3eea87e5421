/**
 * What makes lookups in a large forwarding table fast: beside the trie, which holds the prefixes, tables by the
 * first 8, 16, 24 and 32 bits of the address, in which every place holds the longest prefix that covers it, of
 * those that end within the last eight of these bits. Of one table the 256 places for the same first 16 (or 24)
 * bits are one chunk: a bitmap of the places where something else begins, and what begins there. So a lookup
 * reads at most three things that depend on each other for a prefix of up to 24 bits, without a search; and as
 * prefixes are pushed down within their own table alone, no change, be it of a /1, touches more than 256 places.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import { FIRST_WORD, FibBlocks } from './fib-blocks.ts'
import { FibRuns } from './fib-runs.ts'

/**
 * What a place holds: value and length of a prefix in one number, 0 if none of this table's prefixes covers it;
 * or, with a length that is none, the address of a chunk for the next eight bits.
 */
type Entry = number

const LENGTH = 63
const LENGTH_BITS = 6
/** In place of a length: a chunk of {@link FEW} beginnings at most. */
const SMALL = 62
/** In place of a length: a chunk with a bitmap. */
const LARGE = 63

/** Values and chunk addresses are below this, and values above its negative. */
export const INDEX_VALUE_LIMIT = 1 << 25

/** Words of a bitmap: eight times 32 bits, and the word before what begins with the first bit that is set. */
const BITMAP = 16
/** Runs from which on a chunk is 256 places instead: one read less, and nothing to move. */
const MANY = 48
/**
 * A small chunk: what covers all of it with at most 24 bits, the places where the second and further entries
 * begin in four octets, the entries. What is not used is the last one over again.
 */
const FEW = 5
const SMALL_WORDS = 2 + FEW

/** A chunk and one below it while they are being changed: as they are, and as they will be. */
const HELD = new FibRuns()
const NEW = new FibRuns()
const HELD_BELOW = new FibRuns()
const NEW_BELOW = new FibRuns()

/** Where {@link makeEmpty} puts its chunk. */
const EMPTY = FIRST_WORD

/** Words that one change may take. */
const CHANGE_MOST = 1024
/** Words from which on it is worth while to close the gaps of the array. */
const COMPACTED_FROM = 65536

export class FibIndex {
  /** By the first 8 bits: prefixes of 1…8. That of no bits is none of this index's business. */
  readonly #top = new Int32Array(256)
  /**
   * By the first 16 bits: an entry for prefixes of 9…16 bits, and the address of a chunk for the longer ones: one
   * with a bitmap, or, negative, one of 256 places.
   */
  readonly #slots = new Int32Array(2 << 16)
  #blocks = new FibBlocks(CHANGE_MOST)

  constructor() {
    makeEmpty(this.#blocks)
    for (let slot = 1; slot < this.#slots.length; slot += 2) this.#slots[slot] = EMPTY
  }

  /** The longest prefix, of at least one bit, that covers the address, as `value << 6 | length`; 0 if there is none. */
  find(address: Ipv4Address): Entry {
    const slots = this.#slots
    const slot = (address >>> 15) & ~1
    const { words } = this.#blocks
    const chunk = slots[slot + 1]!
    let entry: Entry
    if (chunk < 0) entry = words[((address >>> 8) & 255) - chunk]!
    else {
      const group = chunk + ((address >>> 12) & 14)
      const begun = words[group]! & ((2 << ((address >>> 8) & 31)) - 1)
      entry = words[words[group + 1]! + ones(begun)]!
    }
    if ((entry & LENGTH) > 32) entry = this.#below(address, entry)
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

  #below(address: Ipv4Address, pointer: Entry): Entry {
    const { words } = this.#blocks
    const at = pointer >>> LENGTH_BITS
    const place = address & 255
    if ((pointer & LENGTH) === LARGE) {
      const group = at + ((place >>> 4) & 14)
      const entry = words[words[group + 1]! + ones(words[group]! & ((2 << (place & 31)) - 1))]!
      return or(entry, words[at + BITMAP]!)
    }
    // How many of the four octets are not above the place.
    const begins = words[at + 1]!
    const before =
      (((begins & 255) - place - 1) >>> 31) +
      ((((begins >>> 8) & 255) - place - 1) >>> 31) +
      ((((begins >>> 16) & 255) - place - 1) >>> 31) +
      (((begins >>> 24) - place - 1) >>> 31)
    return or(words[at + 2 + before]!, words[at]!)
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
    if (chunk < 0) this.#paintPlaces(-chunk, address, length, entry, from)
    else this.#paintRuns(chunk, address, length, entry, from)
  }

  /** Paints a chunk of places. */
  #paintPlaces(at: number, address: Ipv4Address, length: number, entry: Entry, from: number): void {
    const place = (address >>> 8) & 255
    if (length > 24) {
      const now = this.#paintBelow(this.#blocks.words[at + place]!, address & 255, length, entry, from)
      this.#blocks.words[at + place] = now
    } else {
      const { words } = this.#blocks
      const end = at + place + (1 << (24 - length))
      for (let i = at + place; i < end; i++) {
        if ((words[i]! & LENGTH) > 32) this.#paintCover(words[i]!, length, entry, from)
        else if (paints(words[i]!, length, from)) words[i] = entry
      }
    }
    if (from !== 0) this.#unfold(at, address >>> 16)
  }

  /** After something went from a chunk of places: gives it a bitmap again if that is much smaller. */
  #unfold(at: number, slot: number): void {
    const { words } = this.#blocks
    let runs = 1
    for (let i = at + 1; i < at + 256; i++) if (words[i] !== words[i - 1]) runs++
    if (runs >= MANY / 2) return
    NEW.clear()
    for (let place = 0; place < 256; place++) NEW.push(place, words[at + place]!)
    this.#blocks.release(at, 256)
    this.#slots[2 * slot + 1] = NEW.empty ? EMPTY : this.#write(NEW, 0, 0)
  }

  /** Paints a chunk with a bitmap. */
  #paintRuns(chunk: number, address: Ipv4Address, length: number, entry: Entry, from: number): void {
    this.#read(chunk, 0, HELD)
    const place = (address >>> 8) & 255
    if (length > 24) {
      const held = HELD.at(place)
      const now = this.#paintBelow(held, address & 255, length, entry, from)
      if (now === held) return
      NEW.replace(HELD, place, now)
    } else {
      const end = place + (1 << (24 - length))
      for (let run = 0; run < HELD.count; run++) {
        const held = HELD.entries[run]!
        const start = HELD.starts[run]!
        if ((held & LENGTH) > 32 && start >= place && start < end) {
          this.#paintCover(held, length, entry, from)
        }
      }
      if (!paintRuns(HELD, NEW, place, end, length, entry, from)) return
    }
    if (chunk !== EMPTY) this.#blocks.release(chunk, BITMAP + HELD.count)
    let now = EMPTY
    if (NEW.count > MANY) now = -this.#writePlaces()
    else if (!NEW.empty) now = this.#write(NEW, 0, 0)
    this.#slots[2 * (address >>> 16) + 1] = now
  }

  /** Paints what covers all of a chunk below. */
  #paintCover(pointer: Entry, length: number, entry: Entry, from: number): void {
    const { words } = this.#blocks
    const at = (pointer >>> LENGTH_BITS) + ((pointer & LENGTH) === LARGE ? BITMAP : 0)
    if (paints(words[at]!, length, from)) words[at] = entry
  }

  /**
   * Paints the chunk below a place that holds `held`. It is made if there is none, and goes when nothing is left
   * in it. Gives what the place holds then.
   */
  #paintBelow(held: Entry, first: number, length: number, entry: Entry, from: number): Entry {
    const kind = held & LENGTH
    const at = held >>> LENGTH_BITS
    let cover = held
    if (kind <= 32) HELD_BELOW.clear().push(0, 0)
    else if (kind === LARGE) {
      this.#read(at, 1, HELD_BELOW)
      cover = this.#blocks.words[at + BITMAP]!
      this.#blocks.release(at, BITMAP + 1 + HELD_BELOW.count)
    } else {
      this.#readSmall(at)
      cover = this.#blocks.words[at]!
      this.#blocks.release(at, SMALL_WORDS)
    }
    paintRuns(HELD_BELOW, NEW_BELOW, first, first + (1 << (32 - length)), length, entry, from)
    if (NEW_BELOW.empty) return cover
    if (NEW_BELOW.count <= FEW) return (this.#writeSmall(cover) << LENGTH_BITS) | SMALL
    return (this.#write(NEW_BELOW, 1, cover) << LENGTH_BITS) | LARGE
  }

  /** Makes a chunk of places of `NEW`. */
  #writePlaces(): number {
    const at = this.#blocks.allocate(256)
    const { words } = this.#blocks
    const { starts, entries, count } = NEW
    for (let run = 0; run < count; run++) {
      words.fill(entries[run]!, at + starts[run]!, at + (run + 1 < count ? starts[run + 1]! : 256))
    }
    return at
  }

  /** Makes a chunk of these runs, with `covers` words (1 or none) for what covers all of it. Gives its address. */
  #write({ starts, entries, count }: FibRuns, covers: number, cover: Entry): number {
    const at = this.#blocks.allocate(BITMAP + covers + count)
    const { words } = this.#blocks
    const first = at + BITMAP + covers
    if (covers === 1) words[first - 1] = cover
    let run = 0
    for (let group = 0; group < 8; group++) {
      let begun = 0
      words[at + 2 * group + 1] = first + run - 1
      for (; run < count && starts[run]! >>> 5 === group; run++) {
        begun |= 1 << (starts[run]! & 31)
        words[first + run] = entries[run]!
      }
      words[at + 2 * group] = begun
    }
    return at
  }

  #read(at: number, covers: number, runs: FibRuns): void {
    const { words } = this.#blocks
    const { starts, entries } = runs
    const first = at + BITMAP + covers
    let count = 0
    for (let group = 0; group < 8; group++) {
      for (let begun = words[at + 2 * group]!; begun !== 0; begun &= begun - 1) {
        starts[count] = 32 * group + 31 - Math.clz32(begun & -begun)
        entries[count] = words[first + count]!
        count++
      }
    }
    runs.count = count
  }

  #writeSmall(cover: Entry): number {
    const { starts, entries, count } = NEW_BELOW
    const at = this.#blocks.allocate(SMALL_WORDS)
    const { words } = this.#blocks
    words[at] = cover
    let begins = 0
    for (let i = 0; i < FEW; i++) {
      if (i > 0) begins = (begins << 8) | (i < count ? starts[i]! : 255)
      // Place 255 may be where the last run is though nothing begins there: so what is not used is the last run.
      words[at + 2 + i] = entries[Math.min(i, count - 1)]!
    }
    words[at + 1] = begins
    return at
  }

  #readSmall(at: number): void {
    const { words } = this.#blocks
    const begins = words[at + 1]!
    HELD_BELOW.clear().push(0, words[at + 2]!)
    for (let i = 1; i < FEW; i++) HELD_BELOW.push((begins >>> (32 - 8 * i)) & 255, words[at + 2 + i]!)
  }

  /** Words of a chunk with a bitmap. */
  #sizeOf(at: number): number {
    const { words } = this.#blocks
    return words[at + BITMAP - 1]! + ones(words[at + BITMAP - 2]!) + 1 - at
  }

  /** Before the array would grow while a third of it is free: closes the gaps instead. */
  #makeRoom(): void {
    const { words, used, free } = this.#blocks
    if (words.length < COMPACTED_FROM) return
    if (used - free < words.length >>> 2 || (used + CHANGE_MOST > words.length && free > used / 3)) {
      this.#compact()
    }
  }

  #compact(): void {
    const from = this.#blocks
    const live = from.used - from.free
    const to = new FibBlocks(live + (live >>> 2) + CHANGE_MOST)
    makeEmpty(to)
    const slots = this.#slots
    for (let slot = 1; slot < slots.length; slot += 2) {
      const chunk = slots[slot]!
      if (chunk === EMPTY) continue
      const before = Math.abs(chunk)
      const size = chunk < 0 ? 256 : this.#sizeOf(before)
      const at = move(from, to, before, size)
      for (let i = at + (chunk < 0 ? 0 : BITMAP); i < at + size; i++) {
        const entry = to.words[i]!
        const kind = entry & LENGTH
        if (kind <= 32) continue
        const below = entry >>> LENGTH_BITS
        const moved = move(from, to, below, kind === LARGE ? this.#sizeOf(below) : SMALL_WORDS)
        if (kind === LARGE) rebase(to.words, moved, below)
        to.words[i] = (moved << LENGTH_BITS) | kind
      }
      if (chunk > 0) rebase(to.words, at, before)
      slots[slot] = chunk < 0 ? -at : at
    }
    this.#blocks = to
  }
}

/** The first block: a chunk with nothing in it, for all slots without one. */
function makeEmpty(blocks: FibBlocks): void {
  const at = blocks.allocate(BITMAP + 1)
  blocks.words[at] = 1
  for (let group = 0; group < 8; group++)
    blocks.words[at + 2 * group + 1] = at + BITMAP - (group === 0 ? 1 : 0)
  blocks.words[at + BITMAP] = 0
}

function move(from: FibBlocks, to: FibBlocks, at: number, size: number): number {
  const there = to.allocate(size)
  for (let i = 0; i < size; i++) to.words[there + i] = from.words[at + i]!
  return there
}

/** A bitmap says where its entries lie: tells it that the chunk has moved. */
function rebase(words: Int32Array, at: number, before: number): void {
  for (let i = 1; i < BITMAP; i += 2) words[at + i] = words[at + i]! + at - before
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
  return a | (b & ~((a | -a) >> 31))
}

/** How many of 32 bits are set. */
function ones(bits: number): number {
  bits = (bits - ((bits >>> 1) & 0x55555555)) | 0
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333)
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}
