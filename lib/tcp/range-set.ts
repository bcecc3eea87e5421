/**
 * Disjoint ranges of sequence space in ascending order, none of which touches the next: what a receiver has beyond a
 * hole, or what a sender knows to have arrived. They lie in two arrays that grow as needed, so that finding a place is
 * a binary search and making one a move of a few kilobytes at most; how many there may be the user bounds. All of
 * them lie within half the sequence space.
 */
import { seqGe, seqLe, seqLt, seqMax, seqMin } from './sequence.ts'

/** Ranges for which an empty set keeps the memory. */
const KEPT = 32

const NONE = new Int32Array(0)

export class RangeSet {
  /** First sequence number of each range. */
  left: Int32Array = NONE
  /** The number behind the last of each range. */
  right: Int32Array = NONE
  count = 0

  /** Sequence numbers covered in all. */
  get bytes(): number {
    let sum = 0
    for (let i = 0; i < this.count; i++) sum += (this.right[i]! - this.left[i]!) >>> 0
    return sum
  }

  /** Index of the first range whose right edge is `seq` or later; `count` if there is none. */
  firstEndingFrom(seq: number): number {
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (seqLt(this.right[middle]!, seq)) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Index behind the last range, from index `first` on, whose left edge is `seq` or earlier. */
  behindLastBeginningUntil(seq: number, first: number): number {
    let index = first
    while (index < this.count && seqLe(this.left[index]!, seq)) index++
    return index
  }

  /** How much of [seq, end) the ranges first…last−1 cover. */
  coveredOf(seq: number, end: number, first: number, last: number): number {
    let sum = 0
    for (let i = first; i < last; i++) {
      sum += Math.max(0, (seqMin(this.right[i]!, end) - seqMax(this.left[i]!, seq)) | 0)
    }
    return sum
  }

  /** Makes one range of [seq, end) and the ranges first…last−1, which overlap or touch it; gives its left edge. */
  merge(first: number, last: number, seq: number, end: number): number {
    const left = first < last ? seqMin(seq, this.left[first]!) : seq
    const right = first < last ? seqMax(end, this.right[last - 1]!) : end
    if (first === last) this.#openPlace(first)
    else if (last - first > 1) {
      this.left.copyWithin(first + 1, last, this.count)
      this.right.copyWithin(first + 1, last, this.count)
      this.count -= last - first - 1
    }
    this.left[first] = left
    this.right[first] = right
    return left
  }

  removeFirst(n: number): void {
    if (n === 0) return
    this.left.copyWithin(0, n, this.count)
    this.right.copyWithin(0, n, this.count)
    this.count -= n
    if (this.count === 0) this.clear()
  }

  /** Takes away what lies before `seq`; gives how much that was. */
  removeBefore(seq: number): number {
    let gone = 0
    let bytes = 0
    while (gone < this.count && seqGe(seq, this.right[gone]!)) {
      bytes += (this.right[gone]! - this.left[gone]!) >>> 0
      gone++
    }
    this.removeFirst(gone)
    if (this.count > 0 && seqLt(this.left[0]!, seq)) {
      bytes += (seq - this.left[0]!) | 0
      this.left[0] = seq
    }
    return bytes
  }

  clear(): void {
    this.count = 0
    if (this.left.length > KEPT) this.left = this.right = NONE
  }

  #openPlace(index: number): void {
    if (this.count === this.left.length) {
      const size = Math.max(8, 2 * this.count)
      this.left = widened(this.left, size)
      this.right = widened(this.right, size)
    }
    this.left.copyWithin(index + 1, index, this.count)
    this.right.copyWithin(index + 1, index, this.count)
    this.count++
  }
}

function widened(words: Int32Array, size: number): Int32Array {
  const wider = new Int32Array(size)
  wider.set(words)
  return wider
}
