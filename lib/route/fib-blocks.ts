/**
 * Memory for the nodes of a forwarding trie: blocks of a few words in one growing `Int32Array`, which the garbage
 * collector never walks. A freed block goes to the list of its size and is used again; blocks grow and shrink by
 * words put in or taken out in the middle, in place as long as they stay within their size.
 */

/** Words that a block may take: exact while small, as most are, then within an eighth. */
const SIZES = [
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 36, 40, 44, 48, 52, 56, 60,
  64, 72, 80, 88, 96, 104, 112, 120, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288,
]
/** Largest block, in words. */
const MOST = 288
/** Index in `SIZES` of what a block of so many words takes. */
const SIZE_OF = Uint8Array.from({ length: MOST + 1 }, (_, n) => SIZES.findIndex((size) => size >= n))

/** Where the first block begins that is allocated. */
export const FIRST_WORD: number = SIZES.length

/** Words from which on the array grows by an eighth instead of doubling. */
const LARGE = 1 << 16

export class FibBlocks {
  /** The words; another array after anything was allocated. The first ones are the heads of the free lists. */
  words: Int32Array<ArrayBuffer>
  /** Words in free blocks. */
  free = 0
  /** Words that were ever handed out, and the list heads. */
  used = FIRST_WORD

  /** @param capacity words to begin with */
  constructor(capacity: number) {
    this.words = new Int32Array(capacity + FIRST_WORD)
  }

  /** Address of a block of at least `size` words, 1…288, with anything in it; never 0. */
  allocate(size: number): number {
    const list = SIZE_OF[size]!
    const taken = SIZES[list]!
    const head = this.words[list]!
    if (head !== 0) {
      this.words[list] = this.words[head]!
      this.free -= taken
      return head
    }
    const at = this.used
    if (at + taken > this.words.length) this.#grow(at + taken)
    this.used += taken
    return at
  }

  /** @param size the words that the block holds: it was allocated for so many, or had them put in */
  release(at: number, size: number): void {
    if (size === 0) return
    const list = SIZE_OF[size]!
    this.words[at] = this.words[list]!
    this.words[list] = at
    this.free += SIZES[list]!
  }

  /** Puts `count` words, with anything in them, in at `offset` of a block of `size` words (0: no block yet). Gives its address. */
  widen(at: number, size: number, offset: number, count: number): number {
    if (size === 0) return this.allocate(count)
    if (SIZE_OF[size] === SIZE_OF[size + count]) {
      const { words } = this
      for (let i = at + size - 1; i >= at + offset; i--) words[i + count] = words[i]!
      return at
    }
    const to = this.allocate(size + count)
    const { words } = this
    for (let i = 0; i < offset; i++) words[to + i] = words[at + i]!
    for (let i = offset; i < size; i++) words[to + i + count] = words[at + i]!
    this.release(at, size)
    return to
  }

  /** Takes `count` words out at `offset` of a block of `size`. Gives its address, 0 if nothing is left of it. */
  narrow(at: number, size: number, offset: number, count: number): number {
    const left = size - count
    if (left > 0 && SIZE_OF[size] === SIZE_OF[left]) {
      const { words } = this
      for (let i = at + offset; i < at + left; i++) words[i] = words[i + count]!
      return at
    }
    let to = 0
    if (left > 0) {
      to = this.allocate(left)
      const { words } = this
      for (let i = 0; i < offset; i++) words[to + i] = words[at + i]!
      for (let i = offset; i < left; i++) words[to + i] = words[at + i + count]!
    }
    this.release(at, size)
    return to
  }

  #grow(needed: number): void {
    const { length } = this.words
    const words = new Int32Array(Math.max(needed, length < LARGE ? 2 * length : length + (length >>> 3)))
    words.set(this.words)
    this.words = words
  }
}
