/**
 * The 256 places of a chunk of a {@link FibIndex} as runs: where something else begins, and what. Chunks are
 * changed in this form, from one of two to the other, so that a change costs as much as there is in the chunk.
 */

export class FibRuns {
  readonly starts = new Int32Array(257)
  readonly entries = new Int32Array(257)
  count = 0

  clear(): this {
    this.count = 0
    return this
  }

  /** From this place on it is this entry; places grow from call to call, the first is 0. */
  push(start: number, entry: number): void {
    const { count } = this
    if (count > 0 && this.entries[count - 1] === entry) return
    this.starts[count] = start
    this.entries[count] = entry
    this.count = count + 1
  }

  /** Nothing at any place. */
  get empty(): boolean {
    return this.count === 1 && this.entries[0] === 0
  }

  /** What is at a place. */
  at(place: number): number {
    let low = 0
    for (let high = this.count - 1; low < high; ) {
      const middle = (low + high + 1) >>> 1
      if (this.starts[middle]! <= place) low = middle
      else high = middle - 1
    }
    return this.entries[low]!
  }

  /** Takes the runs of `from`, with this entry at one place. */
  replace(from: FibRuns, place: number, entry: number): void {
    this.clear()
    const { starts, entries, count } = from
    for (let run = 0; run < count; run++) {
      const start = starts[run]!
      const end = run + 1 < count ? starts[run + 1]! : 256
      const held = entries[run]!
      if (start !== place) this.push(start, held)
      if (place < start || place >= end) continue
      this.push(place, entry)
      if (end > place + 1) this.push(place + 1, held)
    }
  }
}
