/**
 * Data that came before what precedes it. The bytes are copied into blocks of 16 KiB that stand for a piece of
 * sequence space each, and what is there is a sorted list of disjoint ranges. So the memory that a connection can be
 * made to hold is bounded by the window that it offered, however small the segments are (nothing of a packet is
 * kept), and so is the work: a segment costs a binary search and a move within a list of at most 1024 ranges
 * (hardening: SegmentSmack, CVE-2018-5390). A byte that is there is never overwritten, so that who sends another
 * version of it later changes nothing. FIN counts as a byte.
 */
import { RangeSet } from './range-set.ts'
import type { ReceiveRing, RingStore } from './receive-ring.ts'
import { seqGe, seqGt, seqLe, seqLt, seqMax, seqMin } from './sequence.ts'

const BLOCK_SHIFT = 14
const BLOCK_SIZE = 1 << BLOCK_SHIFT
/** Blocks of the whole sequence space. */
const BLOCK_NUMBERS = 1 << (32 - BLOCK_SHIFT)

/** Holes that may be open at the same time; a segment that would open another one is dropped. */
export const MAX_RANGES = 1024

/** FINs at different places that are remembered. */
const MAX_FINS = 4

/** How many of the latest ranges are remembered: no more fit into the SACK option (RFC 2018 §3). */
const RECENT = 4

/** Most connections never have anything out of order. */
const NOTHING = new Int32Array(0)

/** Places of the table of blocks that an empty queue does not give away. */
const KEPT_PLACES = 32

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
  /** Of the last {@link insert} or {@link deliver} that found a duplicate (RFC 2883 §4). */
  duplicateLeft = 0
  duplicateRight = 0
  /** What had arrived in order before the last {@link deliver} was here, too, in part. */
  foundDuplicate = false
  /** The last {@link deliver} came to the FIN. It takes the sequence number behind the bytes that were delivered. */
  finReached = false
  readonly #store: RingStore
  readonly #ranges = new RangeSet()
  /** Block `n` lies at `n` modulo its length, a power of two. */
  #blocks: (Uint8Array<ArrayBuffer> | null)[] = []
  /** Left edges of the ranges that were touched last, the latest first (RFC 2018 §4). */
  #recent = NOTHING
  #recentCount = 0
  /** Where FINs are. There is one, unless somebody lies: then the first that is reached counts, as in Linux. */
  #fins = NOTHING
  #finCount = 0

  constructor(store: RingStore) {
    this.#store = store
  }

  get isEmpty(): boolean {
    return this.#ranges.count === 0
  }

  /** Disjoint ranges with holes between. */
  get ranges(): number {
    return this.#ranges.count
  }

  /** The number behind all that is there; there must be something. */
  get end(): number {
    return this.#ranges.right[this.#ranges.count - 1]!
  }

  /** Bytes of sequence space that are there. */
  get bytes(): number {
    return this.#ranges.bytes
  }

  /**
   * Takes the data `bytes[from…to)`, which begins at `seq`, beyond RCV.NXT and within the window, and is followed by
   * FIN if `fin`.
   */
  insert(seq: number, bytes: Uint8Array, from: number, to: number, fin: boolean): Insertion {
    const dataEnd = (seq + to - from) | 0
    const end = fin ? (dataEnd + 1) | 0 : dataEnd
    // The ranges first…last−1 overlap or touch it.
    const ranges = this.#ranges
    const first = ranges.firstEndingFrom(seq)
    const last = ranges.behindLastBeginningUntil(end, first)
    if (first < last && seqLe(ranges.left[first]!, seq) && seqGe(ranges.right[first]!, end)) {
      this.duplicateLeft = seq
      this.duplicateRight = end
      this.#touch(ranges.left[first]!, ranges.right[first]!)
      return Insertion.DUPLICATE
    }
    if (first === last && ranges.count === MAX_RANGES) return Insertion.FULL
    if (fin && this.#finCount === MAX_FINS) return Insertion.FULL
    if (this.#recent === NOTHING) {
      this.#recent = new Int32Array(RECENT)
      this.#fins = new Int32Array(MAX_FINS)
    }
    if (!this.#allocate(seq, end)) return Insertion.FULL
    const partial = this.#fill(first, last, seq, dataEnd, end, bytes, from)
    this.#touch(ranges.merge(first, last, seq, end), ranges.right[first]!)
    if (fin) this.#fins[this.#finCount++] = dataEnd
    return partial ? Insertion.PARTIAL : Insertion.NEW
  }

  /**
   * Moves what now follows on `rcvNxt` into `ring` and gives how many bytes that was; sets {@link finReached}. What
   * the ring cannot take stays.
   */
  deliver(rcvNxt: number, ring: ReceiveRing): number {
    this.finReached = false
    this.foundDuplicate = false
    const ranges = this.#ranges
    if (ranges.count === 0 || seqGt(ranges.left[0]!, rcvNxt)) return 0
    const firstBlock = ranges.left[0]! >>> BLOCK_SHIFT
    if (seqLt(ranges.left[0]!, rcvNxt)) {
      this.foundDuplicate = true
      this.duplicateLeft = ranges.left[0]!
      this.duplicateRight = seqMin(ranges.right[0]!, rcvNxt)
    }
    const hasFin = this.#findFin(rcvNxt)
    const fin = this.#fins[0]!
    let next = rcvNxt
    let gone = 0
    while (gone < ranges.count && seqLe(ranges.left[gone]!, next)) {
      const right = ranges.right[gone]!
      const atFin = hasFin && seqGt(right, fin)
      next = this.#move(next, atFin ? seqMin(right, fin) : right, ring)
      if (atFin && seqGe(next, fin)) {
        this.finReached = true
        this.clear()
        return (next - rcvNxt) | 0
      }
      if (seqLt(next, right)) {
        // The ring is full: what is left begins here.
        this.#replaceRecent(ranges.left[gone]!, next)
        ranges.left[gone] = next
        break
      }
      gone++
    }
    if (gone > 0) {
      this.#forgetRecent(ranges.left[0]!, ranges.right[gone - 1]!)
      ranges.removeFirst(gone)
    }
    if (ranges.count === 0) this.clear()
    else this.#releaseBlocks(firstBlock, ranges.left[0]! >>> BLOCK_SHIFT)
    return (next - rcvNxt) | 0
  }

  /**
   * Puts the ranges into `left` and `right` from index `at` on, up to index `max` − 1: the one that the last segment
   * belongs to first, then those before it, then others (RFC 2018 §4). Gives the index behind the last.
   */
  sackBlocks(left: Int32Array, right: Int32Array, at: number, max: number): number {
    const ranges = this.#ranges
    let to = at
    for (let i = 0; i < this.#recentCount && to < max; i++) {
      const edge = this.#recent[i]!
      left[to] = edge
      right[to++] = ranges.right[ranges.firstEndingFrom(edge + 1)]!
    }
    for (let i = 0; i < ranges.count && to < max; i++) {
      if (this.#isRecent(ranges.left[i]!)) continue
      left[to] = ranges.left[i]!
      right[to++] = ranges.right[i]!
    }
    return to
  }

  /** Forgets everything and gives the memory back. */
  clear(): void {
    for (let i = 0; i < this.#blocks.length; i++) this.#release(i)
    this.#ranges.clear()
    this.#recentCount = 0
    this.#finCount = 0
    // A small table is kept for the next time.
    if (this.#blocks.length > KEPT_PLACES) this.#blocks = []
  }

  /** Puts the first FIN at `rcvNxt` or later first; whose number data has taken is none. `false`: there is none. */
  #findFin(rcvNxt: number): boolean {
    const fins = this.#fins
    let kept = 0
    for (let i = 0; i < this.#finCount; i++) {
      const fin = fins[i]!
      if (seqLt(fin, rcvNxt)) continue
      fins[kept] = fin
      if (seqLt(fin, fins[0]!)) {
        fins[kept] = fins[0]!
        fins[0] = fin
      }
      kept++
    }
    this.#finCount = kept
    return kept > 0
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
    const ranges = this.#ranges
    let overlaps = false
    let at = seq
    for (let i = first; i < last; i++) {
      const left = ranges.left[i]!
      const right = ranges.right[i]!
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

  /** Those that begin in [from, to) are gone. */
  #forgetRecent(from: number, to: number): void {
    let kept = 0
    for (let i = 0; i < this.#recentCount; i++) {
      const edge = this.#recent[i]!
      if (seqLt(edge, from) || seqGe(edge, to)) this.#recent[kept++] = edge
    }
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
    if (this.#ranges.count > 0) {
      const oldLow = this.#ranges.left[0]! >>> BLOCK_SHIFT
      const oldSpan =
        blocksBetween(oldLow, ((this.#ranges.right[this.#ranges.count - 1]! - 1) | 0) >>> BLOCK_SHIFT) + 1
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
    for (let n = low; n < low + span && old.length > 0; n++) {
      const from = n & (old.length - 1)
      // Two numbers may have the same place in the old table; it is taken by one that lies among the ranges.
      if (old[from] !== null && this.#holds(n & (BLOCK_NUMBERS - 1))) {
        table[n & (length - 1)] = old[from]!
        old[from] = null
      }
    }
    this.#blocks = table
  }

  /** Whether block number `n` lies between the first and the last range. */
  #holds(n: number): boolean {
    if (this.#ranges.count === 0) return false
    const low = this.#ranges.left[0]! >>> BLOCK_SHIFT
    const high = ((this.#ranges.right[this.#ranges.count - 1]! - 1) | 0) >>> BLOCK_SHIFT
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
