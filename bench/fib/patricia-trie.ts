/**
 * A path-compressed binary trie (Patricia) (a node per prefix that is held, and
 * per place where two of them part) lives in typed arrays, 20 bytes a node, so that the garbage collector never
 * walks it and a step of a lookup touches one cache line. As a table grows, an index over the first 8, 12 or 16 bits of the address lets a lookup skip the top
 * levels. Nodes know their parent, so backtracking to the next shorter prefix needs no second walk.
 */
import { type Ipv4Address, ipv4Mask } from '../../lib/address/ipv4-address.ts'
import type { Candidate } from './candidate.ts'

// What a node holds, in four words.
const PREFIX = 0
/** Where the bit after the prefix is 0; the next word is where it is 1. */
const CHILD = 1
/** Length of the prefix, and {@link HAS_VALUE}. */
const META = 3
const HAS_VALUE = 64
const LENGTH = 63

/** No node. */
const NONE = 0
const TOP = 1

/** Masks by prefix length: looked up in the inner loop. */
const MASKS = Int32Array.from({ length: 33 }, (_, length) => ipv4Mask(length))

/** How many prefixes a table holds before it gets an index of so many bits. */
const INDEX_WIDTHS: readonly (readonly [number, number])[] = [
  [65536, 16],
  [4096, 12],
  [256, 8],
]

export class PatriciaTrie implements Candidate {
  /** Prefixes that are held. */
  size = 0
  // Node 0 stands for "none", node 1 is the top: 0.0.0.0/0, always there, with or without a value.
  #capacity = 16
  #nodes = new Int32Array(4 * this.#capacity)
  #parent = new Int32Array(this.#capacity)
  #head = new Int32Array(this.#capacity)
  #used = 2
  /** Freed nodes, linked by `#parent`. */
  #free = NONE
  #indexBits = 0
  /** By the first bits of an address: where a walk may begin. */
  #index = new Int32Array([TOP])
  /** Beside it: the nearest node above with a value, for walks that find none further down. */
  #cover = new Int32Array([NONE])

  find(address: Ipv4Address): number {
    const nodes = this.#nodes
    const start = this.#indexBits === 0 ? 0 : address >>> (32 - this.#indexBits)
    let node = this.#index[start]!
    let best = this.#cover[start]!
    while (node !== NONE) {
      const at = 4 * node
      const meta = nodes[at + META]!
      const bits = meta & LENGTH
      if (((address ^ nodes[at + PREFIX]!) & MASKS[bits]!) !== 0) break
      if (meta > LENGTH) best = node
      if (bits === 32) break
      node = nodes[at + CHILD + ((address >>> (31 - bits)) & 1)]!
    }
    return this.#head[best]!
  }

  /** The next shorter prefix that covers that of `node` and has a value; 0 if there is none. */
  #shorter(node: number): number {
    const parent = this.#parent
    for (let up = parent[node]!; up !== NONE; up = parent[up]!) {
      if (this.#nodes[4 * up + META]! > LENGTH) return up
    }
    return NONE
  }

  /** The node of exactly this prefix, if it has one; else 0. */
  #exact(address: Ipv4Address, bits: number): number {
    let node: number = TOP
    while (node !== NONE) {
      const length = this.#bits(node)
      if (length >= bits) {
        const same = length === bits && this.#nodes[4 * node + PREFIX] === address
        return same && this.#head[node] !== 0 ? node : NONE
      }
      if (((address ^ this.#nodes[4 * node + PREFIX]!) & MASKS[length]!) !== 0) return NONE
      node = this.#below(node, address)
    }
    return NONE
  }

  set(address: Ipv4Address, length: number, value: number): void {
    const node = this.#exact(address, length)
    if (node === NONE) this.#insert(address, length, value)
    else this.#head[node] = value
  }

  delete(address: Ipv4Address, length: number): void {
    const node = this.#exact(address, length)
    if (node !== NONE) this.#remove(node)
  }

  #insert(address: Ipv4Address, bits: number, value: number): number {
    this.size++
    this.#widen()
    let above: number = TOP
    for (;;) {
      if (this.#bits(above) === bits) {
        this.#head[above] = value // a fork that becomes a prefix of its own
        this.#nodes[4 * above + META] = bits | HAS_VALUE
        this.#recover(above)
        return above
      }
      const slot = this.#slot(above, address)
      const below = this.#nodes[slot]!
      if (below === NONE) {
        const node = this.#allocate(address, bits, above, value)
        this.#nodes[slot] = node
        this.#reindex(above, address)
        return node
      }
      const common = commonBits(address, this.#nodes[4 * below + PREFIX]!, Math.min(bits, this.#bits(below)))
      if (common === this.#bits(below)) {
        above = below
        continue
      }
      // They part before `below` begins: a new node goes between, the prefix itself or a fork above both.
      const between = this.#allocate(address & MASKS[common]!, common, above, common === bits ? value : 0)
      this.#nodes[slot] = between
      this.#nodes[this.#slot(between, this.#nodes[4 * below + PREFIX]!)] = below
      this.#parent[below] = between
      let node = between
      if (common !== bits) {
        node = this.#allocate(address, bits, between, value)
        this.#nodes[this.#slot(between, address)] = node
      }
      this.#reindex(above, address)
      return node
    }
  }

  #remove(node: number): void {
    this.size--
    this.#head[node] = 0
    this.#nodes[4 * node + META]! &= LENGTH
    const address = this.#nodes[4 * node + PREFIX]!
    let top = node
    // A node without a value stays only as a fork of two; its parent may have been one because of it.
    for (let at = node; at !== TOP && at !== NONE; ) {
      const left = this.#nodes[4 * at + CHILD]!
      const right = this.#nodes[4 * at + CHILD + 1]!
      if (this.#head[at] !== 0 || (left !== NONE && right !== NONE)) break
      const below = left !== NONE ? left : right
      const above = this.#parent[at]!
      this.#nodes[this.#slot(above, this.#nodes[4 * at + PREFIX]!)] = below
      if (below !== NONE) this.#parent[below] = above
      this.#release(at)
      top = above
      at = below === NONE ? above : NONE
    }
    if (top !== node) this.#reindex(top, address)
    else this.#recover(node)
  }

  get bytes(): number {
    return this.#capacity * 24 + 2 * this.#index.byteLength
  }

  #bits(node: number): number {
    return this.#nodes[4 * node + META]! & LENGTH
  }

  /** Index of the word that says what is below a node in the direction of an address. */
  #slot(node: number, address: Ipv4Address): number {
    return 4 * node + CHILD + ((address >>> (31 - this.#bits(node))) & 1)
  }

  #below(node: number, address: Ipv4Address): number {
    return this.#nodes[this.#slot(node, address)]!
  }

  #allocate(address: Ipv4Address, bits: number, parent: number, head: number): number {
    let node = this.#free
    if (node !== NONE) this.#free = this.#parent[node]!
    else {
      if (this.#used === this.#capacity) this.#grow()
      node = this.#used++
    }
    const at = 4 * node
    this.#nodes[at + PREFIX] = address
    this.#nodes[at + CHILD] = NONE
    this.#nodes[at + CHILD + 1] = NONE
    this.#nodes[at + META] = head === 0 ? bits : bits | HAS_VALUE
    this.#parent[node] = parent
    this.#head[node] = head
    return node
  }

  #release(node: number): void {
    this.#head[node] = 0
    this.#parent[node] = this.#free
    this.#free = node
  }

  #grow(): void {
    const capacity = this.#capacity * 2
    const nodes = new Int32Array(4 * capacity)
    nodes.set(this.#nodes)
    this.#nodes = nodes
    const parent = new Int32Array(capacity)
    parent.set(this.#parent)
    this.#parent = parent
    const head = new Int32Array(capacity)
    head.set(this.#head)
    this.#head = head
    this.#capacity = capacity
  }

  #widen(): void {
    const width = INDEX_WIDTHS.find(([size]) => this.size >= size)?.[1] ?? 0
    if (width <= this.#indexBits) return
    this.#indexBits = width
    this.#index = new Int32Array(1 << width)
    this.#cover = new Int32Array(1 << width)
    this.#fill(TOP, TOP, NONE, 0, this.#index.length)
  }

  /** Renews the index for the addresses that go the same way from `above` as `address` does. */
  #reindex(above: number, address: Ipv4Address): void {
    const width = this.#indexBits
    if (width === 0) return
    const bits = Math.min(this.#bits(above) + 1, width)
    const first = (address & MASKS[bits]!) >>> (32 - width)
    const count = 1 << (width - bits)
    // Where nothing is below, a walk begins at the last node above that the index can tell apart.
    let from = above
    while (this.#bits(from) >= width) from = this.#parent[from]!
    this.#fill(this.#below(from, address), from, this.#shorter(from), first, count)
  }

  /** A node has gained or lost its value: what it covers is entered anew. */
  #recover(node: number): void {
    const width = this.#indexBits
    if (width === 0 || this.#bits(node) >= width) return
    if (node === TOP) this.#fill(TOP, TOP, NONE, 0, this.#index.length)
    else this.#reindex(this.#parent[node]!, this.#nodes[4 * node + PREFIX]!)
  }

  /**
   * Entries `first…first+count-1` begin at `node`, or deeper where the index tells more bits; at `above` if
   * there is none. `cover` is the nearest node above `above` that has a value.
   */
  #fill(node: number, above: number, cover: number, first: number, count: number): void {
    const width = this.#indexBits
    if (node === NONE) {
      this.#enter(above, cover, first, first + count)
      return
    }
    const nearest = this.#nodes[4 * above + META]! > LENGTH ? above : cover
    // A walk that begins at a node which does not match ends there, with what covers it: so this is right for
    // entries beside the node's own prefix as well.
    const bits = this.#bits(node)
    if (bits >= width) {
      this.#enter(node, nearest, first, first + count)
      return
    }
    const start = this.#nodes[4 * node + PREFIX]! >>> (32 - width)
    const half = 1 << (width - bits - 1)
    const end = start + 2 * half
    if (start > first) this.#enter(node, nearest, first, Math.min(start, first + count))
    if (end < first + count) this.#enter(node, nearest, Math.max(first, end), first + count)
    for (let side = 0; side < 2; side++) {
      const from = Math.max(start + side * half, first)
      const to = Math.min(start + (side + 1) * half, first + count)
      if (from < to) this.#fill(this.#nodes[4 * node + CHILD + side]!, node, nearest, from, to - from)
    }
  }

  #enter(node: number, cover: number, from: number, to: number): void {
    // Most are single entries, for which fill() costs more than a store.
    for (let i = from; i < to; i++) {
      this.#index[i] = node
      this.#cover[i] = cover
    }
  }
}

function commonBits(a: Ipv4Address, b: Ipv4Address, most: number): number {
  return Math.min(Math.clz32(a ^ b), most)
}
