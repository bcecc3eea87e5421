/**
 * Longest-prefix match for a million routes. A path-compressed binary trie (a node per prefix that is held, and
 * per place where two of them part) lives in typed arrays, 21 bytes a node, so that the garbage collector never
 * walks it. As a table grows, an index over the first 8, 12 or 16 bits of the address lets a lookup skip the top
 * levels. Nodes know their parent, so backtracking to the next shorter prefix needs no second walk.
 */
import { type Ipv4Address, ipv4Mask } from '../address/ipv4-address.ts'
import type { FibAlias } from './fib-types.ts'

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

export class FibTrie {
  /** Prefixes that have at least one alias. */
  size = 0
  // Node 0 stands for "none", node 1 is the top: 0.0.0.0/0, always there, with or without aliases.
  #capacity = 16
  #prefix = new Int32Array(this.#capacity)
  #length = new Uint8Array(this.#capacity)
  #parent = new Int32Array(this.#capacity)
  /** Two per node: where the bit after the prefix is 0, and 1. */
  #child = new Int32Array(2 * this.#capacity)
  readonly #head: (FibAlias | null)[] = [null, null]
  #used = 2
  /** Freed nodes, linked by `#parent`. */
  #free = NONE
  #indexBits = 0
  #index = new Int32Array([TOP])

  /**
   * The node of the longest prefix that covers the address and has aliases; 0 if there is none.
   * Go on with {@link shorter} if none of its aliases will do.
   */
  find(address: Ipv4Address): number {
    const prefix = this.#prefix
    const length = this.#length
    const child = this.#child
    const entry = this.#index[this.#indexBits === 0 ? 0 : address >>> (32 - this.#indexBits)]!
    let node = entry
    let best = NONE
    while (node !== NONE) {
      const bits = length[node]!
      if (((address ^ prefix[node]!) & MASKS[bits]!) !== 0) break
      if (this.#head[node] !== null) best = node
      if (bits === 32) break
      node = child[2 * node + ((address >>> (31 - bits)) & 1)]!
    }
    if (best !== NONE) return best
    return this.shorter(entry)
  }

  /** The next shorter prefix that covers that of `node` and has aliases; 0 if there is none. */
  shorter(node: number): number {
    const parent = this.#parent
    for (let up = parent[node]!; up !== NONE; up = parent[up]!) {
      if (this.#head[up] !== null) return up
    }
    return NONE
  }

  /** First alias of a node that {@link find}, {@link shorter} or {@link exact} gave. */
  head(node: number): FibAlias | null {
    return this.#head[node]!
  }

  /** Replaces the first alias of a node; the list must not become empty (see {@link remove}). */
  setHead(node: number, alias: FibAlias): void {
    this.#head[node] = alias
  }

  /** The node of exactly this prefix, if it has aliases; else 0. */
  exact(address: Ipv4Address, bits: number): number {
    let node: number = TOP
    while (node !== NONE) {
      const length = this.#length[node]!
      if (length >= bits) {
        const same = length === bits && this.#prefix[node] === address
        return same && this.#head[node] !== null ? node : NONE
      }
      if (((address ^ this.#prefix[node]!) & MASKS[length]!) !== 0) return NONE
      node = this.#child[2 * node + bit(address, length)]!
    }
    return NONE
  }

  /** Makes a prefix that {@link exact} did not find, with its first alias. Gives the node. */
  insert(address: Ipv4Address, bits: number, alias: FibAlias): number {
    this.size++
    this.#widen()
    let above: number = TOP
    for (;;) {
      if (this.#length[above] === bits) {
        this.#head[above] = alias // a fork that becomes a prefix of its own
        return above
      }
      const slot = 2 * above + bit(address, this.#length[above]!)
      const below = this.#child[slot]!
      if (below === NONE) {
        const node = this.#allocate(address, bits, above, alias)
        this.#child[slot] = node
        this.#reindex(above, address)
        return node
      }
      const common = commonBits(address, this.#prefix[below]!, Math.min(bits, this.#length[below]!))
      if (common === this.#length[below]) {
        above = below
        continue
      }
      // They part before `below` begins: a new node goes between, the prefix itself or a fork above both.
      const between = this.#allocate(address & MASKS[common]!, common, above, common === bits ? alias : null)
      this.#child[slot] = between
      this.#child[2 * between + bit(this.#prefix[below]!, common)] = below
      this.#parent[below] = between
      let node = between
      if (common !== bits) {
        node = this.#allocate(address, bits, between, alias)
        this.#child[2 * between + bit(address, common)] = node
      }
      this.#reindex(above, address)
      return node
    }
  }

  /** Takes a prefix away, whose last alias is gone. */
  remove(node: number): void {
    this.size--
    this.#head[node] = null
    const address = this.#prefix[node]!
    let top = node
    // A node without aliases stays only as a fork of two; its parent may have been one because of it.
    for (let at = node; at !== TOP && at !== NONE; ) {
      const left = this.#child[2 * at]!
      const right = this.#child[2 * at + 1]!
      if (this.#head[at] !== null || (left !== NONE && right !== NONE)) break
      const below = left !== NONE ? left : right
      const above = this.#parent[at]!
      this.#child[2 * above + bit(this.#prefix[at]!, this.#length[above]!)] = below
      if (below !== NONE) this.#parent[below] = above
      this.#release(at)
      top = above
      at = below === NONE ? above : NONE
    }
    if (top !== node) this.#reindex(top, address)
  }

  /** Nodes with aliases in the order of a dump: by address, and of one address the longer prefix first. */
  *nodes(): Generator<number, void, undefined> {
    const run: number[] = []
    for (const node of this.#preorder()) {
      if (run.length > 0 && this.#prefix[run[0]!] !== this.#prefix[node]) {
        while (run.length > 0) yield run.pop()!
      }
      if (this.#head[node] !== null) run.push(node)
    }
    while (run.length > 0) yield run.pop()!
  }

  /** Bytes held by the arrays of the trie, without the aliases. */
  get bytes(): number {
    return this.#capacity * 21 + this.#index.byteLength + this.#head.length * 8
  }

  *#preorder(): Generator<number, void, undefined> {
    const stack: number[] = [TOP]
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      const left = this.#child[2 * node]!
      const right = this.#child[2 * node + 1]!
      if (right !== NONE) stack.push(right)
      if (left !== NONE) stack.push(left)
      yield node
    }
  }

  #allocate(address: Ipv4Address, bits: number, parent: number, head: FibAlias | null): number {
    let node = this.#free
    if (node !== NONE) this.#free = this.#parent[node]!
    else {
      if (this.#used === this.#capacity) this.#grow()
      node = this.#used++
    }
    this.#prefix[node] = address
    this.#length[node] = bits
    this.#parent[node] = parent
    this.#child[2 * node] = NONE
    this.#child[2 * node + 1] = NONE
    this.#head[node] = head
    return node
  }

  #release(node: number): void {
    this.#head[node] = null
    this.#parent[node] = this.#free
    this.#free = node
  }

  #grow(): void {
    const capacity = this.#capacity * 2
    this.#prefix = enlarged(this.#prefix, new Int32Array(capacity))
    this.#parent = enlarged(this.#parent, new Int32Array(capacity))
    this.#child = enlarged(this.#child, new Int32Array(2 * capacity))
    this.#length = enlarged(this.#length, new Uint8Array(capacity))
    this.#capacity = capacity
  }

  #widen(): void {
    const width = INDEX_WIDTHS.find(([size]) => this.size >= size)?.[1] ?? 0
    if (width <= this.#indexBits) return
    this.#indexBits = width
    this.#index = new Int32Array(1 << width)
    this.#fill(TOP, TOP, 0, this.#index.length)
  }

  /** Renews the index for the addresses that go the same way from `above` as `address` does. */
  #reindex(above: number, address: Ipv4Address): void {
    const width = this.#indexBits
    if (width === 0) return
    const bits = Math.min(this.#length[above]! + 1, width)
    const first = (address & MASKS[bits]!) >>> (32 - width)
    const count = 1 << (width - bits)
    // Where nothing is below, a walk begins at the last node above that the index can tell apart.
    let from = above
    while (this.#length[from]! >= width) from = this.#parent[from]!
    this.#fill(this.#child[2 * from + bit(address, this.#length[from]!)]!, from, first, count)
  }

  /** Entries `first…first+count-1` begin at `node`, or deeper where the index tells more bits; `above` if none. */
  #fill(node: number, above: number, first: number, count: number): void {
    const width = this.#indexBits
    if (node === NONE) {
      this.#index.fill(above, first, first + count)
      return
    }
    // A walk that begins at a node which does not match goes on with that node's parent: so this is right
    // for entries beside the node's own prefix as well.
    const bits = this.#length[node]!
    if (bits >= width) {
      this.#index.fill(node, first, first + count)
      return
    }
    const start = this.#prefix[node]! >>> (32 - width)
    const span = 1 << (width - bits)
    if (start > first) this.#index.fill(node, first, Math.min(start, first + count))
    if (start + span < first + count) {
      this.#index.fill(node, Math.max(first, start + span), first + count)
    }
    const half = span >>> 1
    this.#fillHalf(node, 0, start, half, first, count)
    this.#fillHalf(node, 1, start + half, half, first, count)
  }

  #fillHalf(node: number, side: number, start: number, half: number, first: number, count: number): void {
    const from = Math.max(start, first)
    const to = Math.min(start + half, first + count)
    if (from < to) this.#fill(this.#child[2 * node + side]!, node, from, to - from)
  }
}

function bit(address: Ipv4Address, position: number): number {
  return (address >>> (31 - position)) & 1
}

function commonBits(a: Ipv4Address, b: Ipv4Address, most: number): number {
  return Math.min(Math.clz32(a ^ b), most)
}

function enlarged<T extends Int32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>>(from: T, to: T): T {
  to.set(from)
  return to
}
