/**
 * Longest-prefix match for a million routes: a tree bitmap (a compressed multibit trie). A node decides four bits
 * of the address. One bitmap tells which of the 30 prefixes of the next one to four bits it holds, another which
 * of its 16 children exist; both kinds lie side by side in one block, each at the place that the bits before its
 * own count up to. Nothing is pushed down to the leaves, so adding or removing a prefix, even 0/0, changes one
 * node. From {@link INDEX_FROM} prefixes on lookups go by a {@link FibIndex} beside it, which needs fewer reads.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import { FibBlocks } from './fib-blocks.ts'
import { FibIndex, INDEX_VALUE_LIMIT } from './fib-index.ts'
import { AliasLists } from './fib-kinds.ts'

/** Bits of the address that a node decides. */
const STRIDE = 4
// What a node is, in three words.
/** A bit per prefix: `2ˡ - 2 + v` for the one whose last l bits, of this node's, are v. The longer, the higher. */
const PREFIXES = 0
/** A bit per child. */
const CHILDREN = 1
/** Address in the middle of the node's block: before it, backwards, a value per prefix; from it on the children. */
const BLOCK = 2
const NODE = 3

/** Prefixes from which on a trie has the index: it takes half a MiB at least, and the nodes of fewer lie in the caches. */
export const INDEX_FROM = 16_384

/** Of a node's prefixes, those that cover the addresses which go on with these four bits. */
const COVERING = Int32Array.from({ length: 16 }, (_, v) => {
  return (1 << (v >>> 3)) | (1 << (2 + (v >>> 2))) | (1 << (6 + (v >>> 1))) | (1 << (14 + v))
})
/** Of a node's prefixes, those whose first address goes on with these four bits. */
const BEGINNING = Int32Array.from({ length: 16 }, (_, v) => {
  let begin = 0
  for (let bits = STRIDE; bits > 0 && (v & ((1 << (STRIDE - bits)) - 1)) === 0; bits--) {
    begin |= 1 << ((1 << bits) - 2 + (v >>> (STRIDE - bits)))
  }
  return begin
})
/** Of a node's prefixes, those of at most 0…4 bits. */
const WITHIN = Int32Array.of(0, 0x3, 0x3f, 0x3fff, 0x3fffffff)
/** Bits of a prefix below its node, by its bit's number. */
const LENGTH_OF = Uint8Array.from({ length: 30 }, (_, bit) => 31 - Math.clz32(bit + 2))

/** Nodes on the way to a prefix, while it is being removed. */
const PATH = new Int32Array(32 / STRIDE)

/** Words that one insertion may take: a block for every level. */
const INSERTION_MOST = (32 / STRIDE) * 80
/** Words from which on it is worth while to close the gaps of an array. */
const COMPACTED_FROM = 4096

export class FibTrie {
  /** Prefixes that are held. */
  size = 0
  /** Length of the prefix that {@link find} or {@link findWithin} found. */
  length = 0
  /** For values that are lists: a trie keeps what its values mean. */
  readonly lists = new AliasLists()
  #blocks = new FibBlocks(NODE)
  #root = this.#newRoot()
  /** What 0/0 has: no node holds it. */
  #default = 0
  #index: FibIndex | null = null
  readonly #indexFrom: number

  /** @param indexFrom prefixes from which on there is an index; it goes with fewer than half of them */
  constructor(indexFrom: number = INDEX_FROM) {
    this.#indexFrom = indexFrom
  }

  /** What the longest prefix that covers the address has, and its `length`; 0 if there is none. */
  find(address: Ipv4Address): number {
    const index = this.#index
    if (index === null) return this.#walk(address)
    const entry = index.find(address)
    this.length = entry & 63
    return entry === 0 ? this.#default : entry >> 6
  }

  /** As {@link find}, of prefixes of at most `limit` bits; nothing for a negative limit. */
  findWithin(address: Ipv4Address, limit: number): number {
    if (limit < 0) return 0
    let from = 0
    let found = 0
    let node = this.#root
    const { words } = this.#blocks
    for (let depth = 0; depth < limit; depth += STRIDE) {
      const next = (address << depth) >>> 28
      const covering = words[node + PREFIXES]! & COVERING[next]! & WITHIN[Math.min(STRIDE, limit - depth)]!
      if (covering !== 0) {
        const bit = 31 - Math.clz32(covering)
        from = depth + LENGTH_OF[bit]!
        found = words[words[node + BLOCK]! - 1 - ones(words[node + PREFIXES]! & ((1 << bit) - 1))]!
      }
      const children = words[node + CHILDREN]!
      if (((children >>> next) & 1) === 0) break
      node = words[node + BLOCK]! + NODE * ones(children & ((1 << next) - 1))
    }
    this.length = from
    return found === 0 ? this.#default : found
  }

  /** What exactly this prefix has; 0 if it is not held. */
  exact(address: Ipv4Address, length: number): number {
    if (length === 0) return this.#default
    const { words } = this.#blocks
    let node = this.#root
    let depth = 0
    for (; length - depth > STRIDE; depth += STRIDE) {
      const next = (address << depth) >>> 28
      const children = words[node + CHILDREN]!
      if (((children >>> next) & 1) === 0) return 0
      node = words[node + BLOCK]! + NODE * ones(children & ((1 << next) - 1))
    }
    const prefixes = words[node + PREFIXES]!
    const bit = bitOf(address, length, depth)
    if (((prefixes >>> bit) & 1) === 0) return 0
    return words[words[node + BLOCK]! - 1 - ones(prefixes & ((1 << bit) - 1))]!
  }

  /**
   * Gives a prefix this value, and enters it if need be.
   * @param value not 0, and less than 2²⁵ away from it
   * @throws RangeError for another one
   */
  set(address: Ipv4Address, length: number, value: number): void {
    if (value === 0 || Math.abs(value) >= INDEX_VALUE_LIMIT) throw new RangeError(`value ${value}`)
    if (length === 0) {
      if (this.#default === 0) this.size++
      this.#default = value
      return
    }
    this.#makeRoom()
    let node = this.#root
    let depth = 0
    for (; length - depth > STRIDE; depth += STRIDE) node = this.#child(node, (address << depth) >>> 28)
    const { words } = this.#blocks
    const prefixes = words[node + PREFIXES]!
    const bit = bitOf(address, length, depth)
    const before = ones(prefixes & ((1 << bit) - 1))
    if (((prefixes >>> bit) & 1) !== 0) {
      words[words[node + BLOCK]! - 1 - before] = value
      this.#index?.set(address, length, value)
      return
    }
    this.#widen(node, ones(prefixes) - before, 1, 1)
    const wider = this.#blocks.words
    wider[node + PREFIXES] = prefixes | (1 << bit)
    wider[wider[node + BLOCK]! - 1 - before] = value
    this.size++
    if (this.#index !== null) {
      this.#index.set(address, length, value)
      if (!this.#index.usable) this.#index = null
    } else if (this.size === this.#indexFrom) this.#buildIndex()
  }

  /** Takes a prefix away; nothing happens if it is not held. */
  delete(address: Ipv4Address, length: number): void {
    if (length === 0) {
      if (this.#default !== 0) this.size--
      this.#default = 0
      return
    }
    const { words } = this.#blocks
    let node = this.#root
    let depth = 0
    for (; length - depth > STRIDE; depth += STRIDE) {
      PATH[depth / STRIDE] = node
      const next = (address << depth) >>> 28
      const children = words[node + CHILDREN]!
      if (((children >>> next) & 1) === 0) return
      node = words[node + BLOCK]! + NODE * ones(children & ((1 << next) - 1))
    }
    const prefixes = words[node + PREFIXES]!
    const bit = bitOf(address, length, depth)
    if (((prefixes >>> bit) & 1) === 0) return
    this.#narrow(node, ones(prefixes) - ones(prefixes & ((1 << bit) - 1)) - 1, 1, 1)
    this.#blocks.words[node + PREFIXES] = prefixes & ~(1 << bit)
    this.size--
    this.#prune(node, depth, address)
    if (this.#index !== null) {
      if (this.size < this.#indexFrom / 2) this.#index = null
      else this.#index.delete(address, length, this.findWithin(address, length - 1), this.length)
    }
    const { words: left, used, free } = this.#blocks
    if (left.length > COMPACTED_FROM && used - free < left.length >>> 1) this.#compact()
  }

  /** All prefixes: by address, and of one address the longer first, as Linux dumps them. Not to be changed meanwhile. */
  cursor(): FibCursor {
    return new FibCursor(this.#blocks.words, this.#root, this.#default)
  }

  /** Bytes of the arrays. */
  get bytes(): number {
    return this.#blocks.words.byteLength + (this.#index === null ? 0 : this.#index.bytes)
  }

  #newRoot(): number {
    const root = this.#blocks.allocate(NODE)
    this.#blocks.words.fill(0, root, root + NODE)
    return root
  }

  /** As {@link find}, by the nodes. */
  #walk(address: Ipv4Address): number {
    const { words } = this.#blocks
    let node = this.#root
    let best = 0
    let bestCovering = 0
    let bestDepth = 0
    for (let depth = 0; depth < 32; depth += STRIDE) {
      const next = (address << depth) >>> 28
      const covering = words[node + PREFIXES]! & COVERING[next]!
      if (covering !== 0) {
        best = node
        bestCovering = covering
        bestDepth = depth
      }
      const children = words[node + CHILDREN]!
      if (((children >>> next) & 1) === 0) break
      node = words[node + BLOCK]! + NODE * ones(children & ((1 << next) - 1))
    }
    if (bestCovering === 0) {
      this.length = 0
      return this.#default
    }
    const bit = 31 - Math.clz32(bestCovering)
    this.length = bestDepth + LENGTH_OF[bit]!
    return words[words[best + BLOCK]! - 1 - ones(words[best + PREFIXES]! & ((1 << bit) - 1))]!
  }

  /** The child for these four bits, made if it is not there. */
  #child(node: number, next: number): number {
    const { words } = this.#blocks
    const children = words[node + CHILDREN]!
    const before = NODE * ones(children & ((1 << next) - 1))
    if (((children >>> next) & 1) !== 0) return words[node + BLOCK]! + before
    this.#widen(node, ones(words[node + PREFIXES]!) + before, NODE, 0)
    const wider = this.#blocks.words
    wider[node + CHILDREN] = children | (1 << next)
    const child = wider[node + BLOCK]! + before
    wider[child + PREFIXES] = 0
    wider[child + CHILDREN] = 0
    wider[child + BLOCK] = 0
    return child
  }

  /** Puts words in at `offset` of a node's block, `values` of them for values. */
  #widen(node: number, offset: number, count: number, values: number): void {
    const { words } = this.#blocks
    const held = ones(words[node + PREFIXES]!)
    const size = held + NODE * ones(words[node + CHILDREN]!)
    const at = this.#blocks.widen(words[node + BLOCK]! - held, size, offset, count)
    this.#blocks.words[node + BLOCK] = at + held + values
  }

  /** Takes words out at `offset` of a node's block, `values` of them values. */
  #narrow(node: number, offset: number, count: number, values: number): void {
    const { words } = this.#blocks
    const held = ones(words[node + PREFIXES]!)
    const size = held + NODE * ones(words[node + CHILDREN]!)
    const at = this.#blocks.narrow(words[node + BLOCK]! - held, size, offset, count)
    this.#blocks.words[node + BLOCK] = at === 0 ? 0 : at + held - values
  }

  /** Takes away the node, and those above it along `PATH`, as far as they hold nothing any more. */
  #prune(node: number, depth: number, address: Ipv4Address): void {
    let { words } = this.#blocks
    while (depth > 0 && words[node + PREFIXES] === 0 && words[node + CHILDREN] === 0) {
      depth -= STRIDE
      node = PATH[depth / STRIDE]!
      const next = (address << depth) >>> 28
      const children = words[node + CHILDREN]!
      const before = NODE * ones(children & ((1 << next) - 1))
      this.#narrow(node, ones(words[node + PREFIXES]!) + before, NODE, 0)
      words = this.#blocks.words
      words[node + CHILDREN] = children & ~(1 << next)
    }
  }

  #buildIndex(): void {
    this.#index = new FibIndex()
    const cursor = this.cursor()
    while (cursor.next()) {
      if (cursor.length > 0) this.#index.set(cursor.prefix, cursor.length, cursor.value)
    }
  }

  /** Before the array would grow while a third of it is free: closes the gaps instead. */
  #makeRoom(): void {
    const { words, used, free } = this.#blocks
    if (used + INSERTION_MOST > words.length && words.length > COMPACTED_FROM && free > used / 3)
      this.#compact()
  }

  #compact(): void {
    const from = this.#blocks
    const live = from.used - from.free
    this.#blocks = new FibBlocks(live + (live >>> 2) + INSERTION_MOST)
    const root = this.#newRoot()
    this.#copy(from.words, this.#root, root)
    this.#root = root
  }

  #copy(from: Int32Array, node: number, to: number): void {
    const values = ones(from[node + PREFIXES]!)
    const size = values + NODE * ones(from[node + CHILDREN]!)
    const at = size === 0 ? 0 : this.#blocks.allocate(size)
    const { words } = this.#blocks
    const start = from[node + BLOCK]! - values
    for (let i = 0; i < size; i++) words[at + i] = from[start + i]!
    words[to + PREFIXES] = from[node + PREFIXES]!
    words[to + CHILDREN] = from[node + CHILDREN]!
    words[to + BLOCK] = at === 0 ? 0 : at + values
    for (let i = values; i < size; i += NODE) this.#copy(from, start + i, at + i)
  }
}

/** A walk through all prefixes of a trie in the order of a dump. */
export class FibCursor {
  prefix: Ipv4Address = 0
  length = 0
  value = 0
  readonly #words: Int32Array
  /** Nodes down to the present one, and how far the walk is in each: in steps of five per four-bit value. */
  readonly #path: number[]
  readonly #steps: number[] = [0]
  /** What was read of one address, the shorter first, flat: length and value. */
  readonly #run: number[] = []
  #runPrefix = 0
  /** Read but of the next address. */
  #nextPrefix = 0
  #nextLength = 0
  #nextValue = 0

  /** @internal by {@link FibTrie.cursor} */
  constructor(words: Int32Array, root: number, defaultValue: number) {
    this.#words = words
    this.#path = [root]
    this.#nextValue = defaultValue
    if (defaultValue === 0) this.#read()
  }

  /** Goes on to the next prefix; false at the end. */
  next(): boolean {
    const run = this.#run
    if (run.length === 0) {
      if (this.#nextValue === 0) return false
      this.#runPrefix = this.#nextPrefix
      do {
        run.push(this.#nextLength, this.#nextValue)
        this.#read()
      } while (this.#nextValue !== 0 && this.#nextPrefix === this.#runPrefix)
    }
    this.prefix = this.#runPrefix
    this.value = run.pop()!
    this.length = run.pop()!
    return true
  }

  /** Reads the next prefix by address, of one address the shorter first; value 0 at the end. */
  #read(): void {
    const words = this.#words
    const path = this.#path
    const steps = this.#steps
    while (path.length > 0) {
      const top = path.length - 1
      const node = path[top]!
      const step = steps[top]!++
      if (step === 16 * (STRIDE + 1)) {
        path.pop()
        steps.pop()
        continue
      }
      const next = (step / (STRIDE + 1)) | 0
      const prefixes = words[node + PREFIXES]!
      let bits = (step % (STRIDE + 1)) + 1
      if (bits === 1 && (prefixes & BEGINNING[next]!) === 0) {
        // On to the child.
        bits = STRIDE + 1
        steps[top] = step + STRIDE + 1
      }
      if (bits > STRIDE) {
        const children = words[node + CHILDREN]!
        if (((children >>> next) & 1) === 0) continue
        path.push(words[node + BLOCK]! + NODE * ones(children & ((1 << next) - 1)))
        steps.push(0)
        continue
      }
      if ((next & ((1 << (STRIDE - bits)) - 1)) !== 0) continue
      const bit = (1 << bits) - 2 + (next >>> (STRIDE - bits))
      if (((prefixes >>> bit) & 1) === 0) continue
      this.#nextPrefix = this.#address()
      this.#nextLength = STRIDE * top + bits
      this.#nextValue = words[words[node + BLOCK]! - 1 - ones(prefixes & ((1 << bit) - 1))]!
      return
    }
    this.#nextValue = 0
  }

  /** Where the walk is. Every step was counted on when it was read. */
  #address(): Ipv4Address {
    let address = 0
    for (let level = 0; level < this.#steps.length; level++) {
      address |= (((this.#steps[level]! - 1) / (STRIDE + 1)) | 0) << (28 - STRIDE * level)
    }
    return address
  }
}

/** Number of a prefix's bit in its node, which is at this depth. */
function bitOf(address: Ipv4Address, length: number, depth: number): number {
  const bits = length - depth
  return (1 << bits) - 2 + ((address << depth) >>> (32 - bits))
}

/** How many bits are set, of at most 31. */
function ones(bits: number): number {
  bits -= (bits >>> 1) & 0x55555555
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333)
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}
