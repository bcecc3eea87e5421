/**
 * Data that came before what precedes it. The bytes are copied into blocks of 16 KiB that stand for a piece of
 * sequence space each, and what is there is a sorted list of disjoint ranges. So the memory that a connection can be
 * made to hold is bounded by the window that it offered, however small the segments are (nothing of a packet is
 * kept), and so is the work: a segment costs a binary search and a move within a list of at most 1024 ranges
 * (hardening: SegmentSmack, CVE-2018-5390). A byte that is there is never overwritten, so that who sends another
 * version of it later changes nothing. FIN counts as a byte that needs no storage.
 */
import type { ReceiveRing, RingStore } from './receive-ring.ts'
import { seqGe, seqGt, seqLe, seqLt, seqMax, seqMin } from './sequence.ts'

const BLOCK_SHIFT = 14
const BLOCK_SIZE = 1 << BLOCK_SHIFT
/** Blocks of the whole sequence space. */
const BLOCK_NUMBERS = 1 << (32 - BLOCK_SHIFT)

/** Holes that may be open at the same time; a segment that would open another one is dropped. */
export const MAX_RANGES = 1024

/** How many of the latest ranges are remembered: no more fit into the SACK option (RFC 2018 §3). */
const RECENT = 4

/** Places of a table that an empty queue does not give away. */
const KEPT_PLACES = 32

const NO_WORDS = new Int32Array(0)

/** What became of a segment. */
export const Insertion = {
  /** All of it was new. */
  NEW: 0,
  /** Some of it was there: `duplicateLeft` and `duplicateRight` are the first such piece. */
  PARTIAL: 1,
  /** All of it was there; it is the duplicate. */
  DUPLICATE: 2,
  /** There are too many holes, or the stack has no memory for it: dropped. */
  FULL: 3,
} as const
export type Insertion = (typeof Insertion)[keyof typeof Insertion]

export class OutOfOrderQueue {
  /** Of the last {@link insert} that found a duplicate (RFC 2883 §4). */
  duplicateLeft = 0
  duplicateRight = 0
  /** The last {@link deliver} came to the FIN. It takes the sequence number behind the bytes that were delivered. */
  finReached = false
  readonly #store: RingStore
  #left: Int32Array = NO_WORDS
  #right: Int32Array = NO_WORDS
  #count = 0
  /** Block `n` lies at `n` modulo its length, a power of two. */
  #blocks: (Uint8Array<ArrayBuffer> | null)[] = []
  /** Left edges of the ranges that were touched last, the latest first (RFC 2018 §4). */
  readonly #recent = new Int32Array(RECENT)
  #recentCount = 0
  #hasFin = false
  #fin = 0

  constructor(store: RingStore) {
    this.#store = store
  }

  get isEmpty(): boolean {
    return this.#count === 0
  }

  /** Disjoint ranges with holes between. */
  get ranges(): number {
    return this.#count
  }

  /** Bytes of sequence space that are there. */
  get bytes(): number {
    let sum = 0
    for (let i = 0; i < this.#count; i++) sum += (this.#right[i]! - this.#left[i]!) >>> 0
    return sum
  }

  /**
   * Takes the data `bytes[from…to)`, which begins at `seq`, beyond RCV.NXT and within the window, and is followed by
   * FIN if `fin`.
   */
  insert(seq: number, bytes: Uint8Array, from: number, to: number, fin: boolean): Insertion {
    let dataEnd = (seq + to - from) | 0
    let end = fin ? (dataEnd + 1) | 0 : dataEnd
    // Nothing comes behind the FIN.
    if (this.#hasFin && seqGt(end, this.#fin + 1)) {
      end = (this.#fin + 1) | 0
      dataEnd = seqMin(dataEnd, this.#fin)
    }
    if (seqGe(seq, end)) return Insertion.FULL
    // The ranges first…last−1 overlap or touch it.
    const first = this.#firstEndingAtOrAfter(seq)
    let last = first
    while (last < this.#count && seqLe(this.#left[last]!, end)) last++
    if (first < last && seqLe(this.#left[first]!, seq) && seqGe(this.#right[first]!, end)) {
      this.duplicateLeft = seq
      this.duplicateRight = end
      this.#touch(this.#left[first]!, this.#right[first]!)
      return Insertion.DUPLICATE
    }
    if (first === last && this.#count === MAX_RANGES) return Insertion.FULL
    if (!this.#allocate(seq, dataEnd)) return Insertion.FULL
    const partial = this.#fill(first, last, seq, dataEnd, end, bytes, from)
    this.#merge(first, last, seq, end)
    if (fin) this.#endAt(dataEnd)
    return partial ? Insertion.PARTIAL : Insertion.NEW
  }

  /**
   * Moves what now follows on `rcvNxt` into `ring` and gives how many bytes that was; sets {@link finReached}. What
   * the ring cannot take stays.
   */
  deliver(rcvNxt: number, ring: ReceiveRing): number {
    this.finReached = false
    if (this.#count === 0 || seqGt(this.#left[0]!, rcvNxt)) return 0
    const firstBlock = this.#left[0]! >>> BLOCK_SHIFT
    let next = rcvNxt
    let gone = 0
    while (gone < this.#count && seqLe(this.#left[gone]!, next)) {
      const right = this.#right[gone]!
      const atFin = this.#hasFin && seqGt(right, this.#fin)
      next = this.#move(next, atFin ? seqMin(right, this.#fin) : right, ring)
      if (atFin && seqGe(next, this.#fin)) {
        this.finReached = true
        this.clear()
        return (next - rcvNxt) | 0
      }
      if (seqLt(next, right)) {
        // The ring is full: what is left begins here.
        this.#replaceRecent(this.#left[gone]!, next)
        this.#left[gone] = next
        break
      }
      gone++
    }
    if (gone > 0) this.#removeFirst(gone)
    if (this.#count === 0) this.clear()
    else this.#releaseBlocks(firstBlock, this.#left[0]! >>> BLOCK_SHIFT)
    return (next - rcvNxt) | 0
  }

  /**
   * Puts the ranges into `left` and `right` from index `at` on, up to index `max` − 1: the one that the last segment
   * belongs to first, then those before it, then others (RFC 2018 §4). Gives the index behind the last.
   */
  sackBlocks(left: Int32Array, right: Int32Array, at: number, max: number): number {
    let to = at
    for (let i = 0; i < this.#recentCount && to < max; i++) {
      const edge = this.#recent[i]!
      left[to] = edge
      right[to++] = this.#right[this.#firstEndingAtOrAfter(edge + 1)]!
    }
    for (let i = 0; i < this.#count && to < max; i++) {
      if (this.#isRecent(this.#left[i]!)) continue
      left[to] = this.#left[i]!
      right[to++] = this.#right[i]!
    }
    return to
  }

  /** Forgets everything and gives the memory back. */
  clear(): void {
    for (let i = 0; i < this.#blocks.length; i++) this.#release(i)
    this.#count = 0
    this.#recentCount = 0
    this.#hasFin = false
    // Small tables are kept for the next time.
    if (this.#blocks.length > KEPT_PLACES) this.#blocks = []
    if (this.#left.length > KEPT_PLACES) this.#left = this.#right = NO_WORDS
  }

  /** Index of the first range whose right edge is `seq` or later. */
  #firstEndingAtOrAfter(seq: number): number {
    let low = 0
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (seqLt(this.#right[middle]!, seq)) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Copies what is missing of [seq, dataEnd); whether any of [seq, end) was there. */
  #fill(
    first: number,
    last: number,
    seq: number,
    dataEnd: number,
    end: number,
    bytes: Uint8Array,
    from: number,
  ): boolean {
    let overlaps = false
    let at = seq
    for (let i = first; i < last; i++) {
      const left = this.#left[i]!
      const right = this.#right[i]!
      if (seqGt(left, at)) this.#copyIn(at, seqMin(left, dataEnd), bytes, from + ((at - seq) | 0))
      if (!overlaps && seqLt(seqMax(left, seq), seqMin(right, end))) {
        overlaps = true
        this.duplicateLeft = seqMax(left, seq)
        this.duplicateRight = seqMin(right, end)
      }
      at = seqMax(at, right)
    }
    if (seqLt(at, dataEnd)) this.#copyIn(at, dataEnd, bytes, from + ((at - seq) | 0))
    return overlaps
  }

  /** The FIN is at `fin`; whatever came from behind it was never part of the stream. */
  #endAt(fin: number): void {
    this.#hasFin = true
    this.#fin = fin
    const behind = (fin + 1) | 0
    const last = (this.#right[this.#count - 1]! - 1) | 0
    while (seqGt(this.#left[this.#count - 1]!, fin)) this.#count--
    this.#right[this.#count - 1] = seqMin(this.#right[this.#count - 1]!, behind)
    this.#releaseBlocks((fin >>> BLOCK_SHIFT) + 1, (last >>> BLOCK_SHIFT) + 1)
    let kept = 0
    for (let i = 0; i < this.#recentCount; i++) {
      if (seqLe(this.#recent[i]!, fin)) this.#recent[kept++] = this.#recent[i]!
    }
    this.#recentCount = kept
  }

  /** Makes one range of [seq, end) and the ranges first…last−1. */
  #merge(first: number, last: number, seq: number, end: number): void {
    const left = first < last ? seqMin(seq, this.#left[first]!) : seq
    const right = first < last ? seqMax(end, this.#right[last - 1]!) : end
    if (first === last) this.#openPlace(first)
    else if (last - first > 1) {
      this.#left.copyWithin(first + 1, last, this.#count)
      this.#right.copyWithin(first + 1, last, this.#count)
      this.#count -= last - first - 1
    }
    this.#left[first] = left
    this.#right[first] = right
    this.#touch(left, right)
  }

  #openPlace(index: number): void {
    if (this.#count === this.#left.length) {
      const size = Math.max(8, 2 * this.#count)
      this.#left = widened(this.#left, size)
      this.#right = widened(this.#right, size)
    }
    this.#left.copyWithin(index + 1, index, this.#count)
    this.#right.copyWithin(index + 1, index, this.#count)
    this.#count++
  }

  #removeFirst(n: number): void {
    const bound = this.#right[n - 1]!
    this.#left.copyWithin(0, n, this.#count)
    this.#right.copyWithin(0, n, this.#count)
    this.#count -= n
    let kept = 0
    for (let i = 0; i < this.#recentCount; i++) {
      if (seqGe(this.#recent[i]!, bound)) this.#recent[kept++] = this.#recent[i]!
    }
    this.#recentCount = kept
  }

  /** The range [left, right) is the latest; those that have become part of it are no longer remembered. */
  #touch(left: number, right: number): void {
    const recent = this.#recent
    let carried = left
    let kept = 0
    for (let i = 0; i < this.#recentCount; i++) {
      const edge = recent[i]!
      if (seqGe(edge, left) && seqLt(edge, right)) continue
      recent[kept++] = carried
      carried = edge
    }
    if (kept < RECENT) recent[kept++] = carried
    this.#recentCount = kept
  }

  #replaceRecent(edge: number, by: number): void {
    for (let i = 0; i < this.#recentCount; i++) if (this.#recent[i] === edge) this.#recent[i] = by
  }

  #isRecent(edge: number): boolean {
    for (let i = 0; i < this.#recentCount; i++) if (this.#recent[i] === edge) return true
    return false
  }

  /** Makes the blocks of [seq, end) that are not there; `false`, and none made, if the stack has no memory left. */
  #allocate(seq: number, end: number): boolean {
    if (seq === end) return true
    const firstBlock = seq >>> BLOCK_SHIFT
    const count = blocksBetween(firstBlock, ((end - 1) | 0) >>> BLOCK_SHIFT) + 1
    this.#cover(firstBlock, count)
    const mask = this.#blocks.length - 1
    let missing = 0
    for (let i = 0; i < count; i++) if (this.#blocks[(firstBlock + i) & mask] === null) missing++
    if (this.#store.inUse + missing * BLOCK_SIZE > this.#store.budget) return false
    for (let i = 0; i < count; i++) {
      this.#blocks[(firstBlock + i) & mask] ??= this.#store.take(BLOCK_SIZE)
    }
    return true
  }

  /** Makes the table of blocks large enough for those there and `count` from `block` on. */
  #cover(block: number, count: number): void {
    let low = block
    let span = count
    if (this.#count > 0) {
      const oldLow = this.#left[0]! >>> BLOCK_SHIFT
      const oldSpan = blocksBetween(oldLow, ((this.#right[this.#count - 1]! - 1) | 0) >>> BLOCK_SHIFT) + 1
      if (seqLt(block << BLOCK_SHIFT, oldLow << BLOCK_SHIFT)) {
        span = Math.max(count, blocksBetween(block, oldLow) + oldSpan)
      } else {
        low = oldLow
        span = Math.max(oldSpan, blocksBetween(oldLow, block) + count)
      }
    }
    const old = this.#blocks
    if (span <= old.length) return
    let length = 4
    while (length < span) length *= 2
    const table = new Array<Uint8Array<ArrayBuffer> | null>(length).fill(null)
    for (let i = 0; i < Math.min(span, length) && old.length > 0; i++) {
      const n = low + i
      // Beyond as many as the old table had, its places would be met twice.
      const from = n & (old.length - 1)
      if (old[from] !== null && this.#holds(n & (BLOCK_NUMBERS - 1))) {
        table[n & (length - 1)] = old[from]!
        old[from] = null
      }
    }
    this.#blocks = table
  }

  /** Whether block number `n` lies between the first and the last range. */
  #holds(n: number): boolean {
    if (this.#count === 0) return false
    const low = this.#left[0]! >>> BLOCK_SHIFT
    const high = ((this.#right[this.#count - 1]! - 1) | 0) >>> BLOCK_SHIFT
    return blocksBetween(low, n) <= blocksBetween(low, high)
  }

  #copyIn(seq: number, end: number, bytes: Uint8Array, from: number): void {
    const mask = this.#blocks.length - 1
    for (let at = seq, source = from; seqLt(at, end); ) {
      const inside = at & (BLOCK_SIZE - 1)
      const count = Math.min(BLOCK_SIZE - inside, (end - at) | 0)
      this.#blocks[(at >>> BLOCK_SHIFT) & mask]!.set(bytes.subarray(source, source + count), inside)
      at = (at + count) | 0
      source += count
    }
  }

  /** Moves [seq, end) into the ring; gives the first sequence number that it did not take. */
  #move(seq: number, end: number, ring: ReceiveRing): number {
    const mask = this.#blocks.length - 1
    let at = seq
    while (seqLt(at, end)) {
      const inside = at & (BLOCK_SIZE - 1)
      const count = Math.min(BLOCK_SIZE - inside, (end - at) | 0)
      const taken = ring.write(this.#blocks[(at >>> BLOCK_SHIFT) & mask]!, inside, inside + count)
      at = (at + taken) | 0
      if (taken < count) break
    }
    return at
  }

  /** Gives back the blocks from number `from` to before `to`. */
  #releaseBlocks(from: number, to: number): void {
    const mask = this.#blocks.length - 1
    const count = Math.min(blocksBetween(from, to), this.#blocks.length)
    for (let i = 0; i < count; i++) this.#release((from + i) & mask)
  }

  #release(place: number): void {
    const block = this.#blocks[place]!
    if (block === null) return
    this.#store.give(block)
    this.#blocks[place] = null
  }
}

/** From block number `a` on to `b`, around the sequence space. */
function blocksBetween(a: number, b: number): number {
  return (b - a) & (BLOCK_NUMBERS - 1)
}

function widened(words: Int32Array, size: number): Int32Array {
  const wider = new Int32Array(size)
  wider.set(words)
  return wider
}
