/**
 * The level- and path-compressed trie of Linux (Nilsson and Karlsson, 1999; `net/ipv4/fib_trie.c`): a node has 2ᵇ
 * children and skips the bits that all below it agree in; it is doubled while enough of its children are in use,
 * and halved when too few are. A leaf has all prefixes of one address. Prefixes aren't pushed down: a lookup that
 * came too far goes back, taking the set bits off the way it came by, from the lowest on.
 */
import type { Candidate } from './candidate.ts'

// A node: key, position of the lowest of its bits, number of its bits, longest host part below, parent, children,
// empty children, children that leave out no bits.
const KEY = 0
const POS = 1
const BITS = 2
const SUFFIX = 3
const PARENT = 4
const CHILDREN = 5
const EMPTY = 6
const FULL = 7
const NODE = 8
// A leaf: key, longest host part, parent, its first prefix. A child that is a leaf is the complement of its address.
const LEAF_SUFFIX = 1
const LEAF_PARENT = 2
const LEAF_FIRST = 3
const LEAF = 4
// A prefix: bits of its host part, its value, the next of the leaf, which is shorter.
const VALUE = 1
const NEXT = 2
const PREFIX = 3

/** Percentages of Linux: from which share of children in use a node doubles, and below which it halves. */
const INFLATE = 50
const INFLATE_ROOT = 30
const HALVE = 25
const HALVE_ROOT = 15
/** Doublings and halvings at a time. */
const MOST_WORK = 10

export class LcTrie implements Candidate {
  size = 0
  #words = new Int32Array(256)
  #used = 1
  readonly #free: number[] = []
  /** The only child of nothing: a node, the complement of a leaf, or 0. */
  #root = 0

  get bytes(): number {
    return this.#words.byteLength
  }

  find(address: number): number {
    const words = this.#words
    let at = this.#root
    let above = 0
    let way = 0
    // Down, as far as there is a way.
    while (at > 0) {
      const difference = address ^ words[at + KEY]!
      const own = words[at + POS]! + words[at + BITS]!
      if (own < 32 && difference >>> own !== 0) break
      const index = difference >>> words[at + POS]!
      // Only where some prefix below reaches up to here is there anything to come back for.
      if (words[at + SUFFIX]! > words[at + POS]!) {
        above = at
        way = index
      }
      at = words[words[at + CHILDREN]! + index]!
    }
    for (;;) {
      // `at` is where the way ended: a leaf, nothing, or a node with other bits.
      while (at > 0) {
        const key = words[at + KEY]!
        // Bits up to the lowest that is set in the key must agree: those below it may be of a host.
        if (((address ^ key) & (key | -key)) !== 0) break
        if (words[at + SUFFIX] === words[at + POS]) break
        above = at
        way = 0
        at = words[words[at + CHILDREN]!]!
      }
      if (at < 0) {
        const leaf = ~at
        const difference = address ^ words[leaf + KEY]!
        for (let prefix = words[leaf + LEAF_FIRST]!; prefix !== 0; prefix = words[prefix + NEXT]!) {
          const host = words[prefix]!
          if (host >= 32 || difference >>> host === 0) return words[prefix + VALUE]!
        }
      }
      // Back: up to where the way had a set bit, and on without it.
      while (way === 0) {
        if (above === 0) return 0
        const key = words[above + KEY]!
        above = words[above + PARENT]!
        if (above === 0) return 0
        way = (key ^ words[above + KEY]!) >>> words[above + POS]!
      }
      way &= way - 1
      at = words[words[above + CHILDREN]! + way]!
    }
  }

  set(address: number, length: number, value: number): void {
    const host = 32 - length
    const [leaf, above] = this.#descend(address)
    if (leaf !== 0) {
      this.#enter(leaf, host, value)
      this.#raise(this.#words[leaf + LEAF_PARENT]!, this.#words[leaf + LEAF_SUFFIX]!)
      return
    }
    const added = this.#allocate(LEAF)
    this.#words[added + KEY] = address
    this.#words[added + LEAF_SUFFIX] = 0
    this.#words[added + LEAF_FIRST] = 0
    this.#enter(added, host, value)
    // Where the way ends there is nothing, or something with other bits: then a node of one bit goes between.
    let parent = above
    const there = above === 0 ? this.#root : this.#child(above, address)
    if (there !== 0) {
      const key = this.#words[(there < 0 ? ~there : there) + KEY]!
      const pos = 31 - Math.clz32(key ^ address)
      parent = this.#newNode(pos === 31 ? 0 : address & (-2 << pos), pos, 1)
      this.#link(above, address, parent)
      this.#put(parent, this.#indexOf(parent, key), there)
    }
    this.#link(parent, address, ~added)
    if (parent !== 0) this.#raise(this.#words[parent + PARENT]!, host)
    this.#rebalance(parent)
  }

  delete(address: number, length: number): void {
    const [leaf] = this.#descend(address)
    const words = this.#words
    const host = 32 - length
    let before = leaf + LEAF_FIRST
    while (words[words[before]!] !== host) before = words[before]! + NEXT
    const prefix = words[before]!
    words[before] = words[prefix + NEXT]!
    this.#release(prefix, PREFIX)
    this.size--
    const parent = words[leaf + LEAF_PARENT]!
    if (words[leaf + LEAF_FIRST] === 0) {
      this.#link(parent, address, 0)
      this.#release(leaf, LEAF)
      this.#lower(parent, 0)
      this.#rebalance(parent)
      return
    }
    let longest = 0
    for (let at = words[leaf + LEAF_FIRST]!; at !== 0; at = words[at + NEXT]!) longest = words[at]!
    words[leaf + LEAF_SUFFIX] = longest
    this.#lower(parent, longest)
  }

  /** The leaf of this address, 0 if there is none; and the last node on the way. */
  #descend(address: number): [leaf: number, above: number] {
    const words = this.#words
    let above = 0
    let at = this.#root
    while (at > 0) {
      const own = words[at + POS]! + words[at + BITS]!
      if (own < 32 && (address ^ words[at + KEY]!) >>> own !== 0) return [0, above]
      above = at
      at = this.#child(at, address)
    }
    return [at < 0 && words[~at + KEY] === address ? ~at : 0, above]
  }

  #enter(leaf: number, host: number, value: number): void {
    let before = leaf + LEAF_FIRST
    while (this.#words[before] !== 0 && this.#words[this.#words[before]!]! < host) {
      before = this.#words[before]! + NEXT
    }
    const there = this.#words[before]!
    if (there !== 0 && this.#words[there] === host) {
      this.#words[there + VALUE] = value
      return
    }
    const prefix = this.#allocate(PREFIX)
    this.#words[prefix] = host
    this.#words[prefix + VALUE] = value
    this.#words[prefix + NEXT] = there
    this.#words[before] = prefix
    if (host > this.#words[leaf + LEAF_SUFFIX]!) this.#words[leaf + LEAF_SUFFIX] = host
    this.size++
  }

  #indexOf(node: number, key: number): number {
    return (
      ((key ^ this.#words[node + KEY]!) >>> this.#words[node + POS]!) & (2 ** this.#words[node + BITS]! - 1)
    )
  }

  #child(node: number, key: number): number {
    return this.#words[this.#words[node + CHILDREN]! + this.#indexOf(node, key)]!
  }

  #newNode(key: number, pos: number, bits: number): number {
    const node = this.#allocate(NODE)
    const children = this.#allocate(2 ** bits)
    this.#words.fill(0, children, children + 2 ** bits)
    this.#words.set([key, pos, bits, pos, 0, children, 2 ** bits, 0], node)
    return node
  }

  #dismiss(node: number): void {
    this.#release(this.#words[node + CHILDREN]!, 2 ** this.#words[node + BITS]!)
    this.#release(node, NODE)
  }

  #isFull(node: number, child: number): boolean {
    return child > 0 && this.#words[child + POS]! + this.#words[child + BITS]! === this.#words[node + POS]
  }

  /** Replaces a child, and keeps count. */
  #put(node: number, index: number, child: number): void {
    const words = this.#words
    const at = words[node + CHILDREN]! + index
    const before = words[at]!
    if (before === 0) words[node + EMPTY]! -= 1
    if (child === 0) words[node + EMPTY]! += 1
    if (this.#isFull(node, before)) words[node + FULL]! -= 1
    if (this.#isFull(node, child)) words[node + FULL]! += 1
    words[at] = child
    if (child === 0) return
    if (child > 0) words[child + PARENT] = node
    else words[~child + LEAF_PARENT] = node
    const suffix = words[child > 0 ? child + SUFFIX : ~child + LEAF_SUFFIX]!
    if (suffix > words[node + SUFFIX]!) words[node + SUFFIX] = suffix
  }

  /** Puts a child where this key belongs under a node; under 0, at the top. */
  #link(above: number, key: number, child: number): void {
    if (above !== 0) this.#put(above, this.#indexOf(above, key), child)
    else {
      this.#root = child
      if (child > 0) this.#words[child + PARENT] = 0
      else if (child < 0) this.#words[~child + LEAF_PARENT] = 0
    }
  }

  /** From this node up, there is a host part this long. */
  #raise(node: number, host: number): void {
    for (; node !== 0 && this.#words[node + SUFFIX]! < host; node = this.#words[node + PARENT]!) {
      this.#words[node + SUFFIX] = host
    }
  }

  /** From this node up, the longest host part may have become shorter, though not below `host`. */
  #lower(node: number, host: number): void {
    const words = this.#words
    for (; node !== 0; node = words[node + PARENT]!) {
      const before = words[node + SUFFIX]!
      if (before === words[node + POS] || before <= host || this.#measure(node) === before) return
    }
  }

  /** Finds the longest host part below a node anew. One of n bits more than the node's own is at a multiple of 2ⁿ. */
  #measure(node: number): number {
    const words = this.#words
    const most = words[node + SUFFIX]!
    const children = words[node + CHILDREN]!
    const count = 2 ** words[node + BITS]!
    let longest = words[node + POS]!
    let step = 2
    for (let i = 0; i < count && longest < most; i += step) {
      const child = words[children + i]!
      const suffix = child === 0 ? 0 : words[child > 0 ? child + SUFFIX : ~child + LEAF_SUFFIX]!
      if (suffix <= longest) continue
      step = 2 ** Math.min(20, suffix - words[node + POS]! + 1)
      longest = suffix
      i -= i % step
    }
    words[node + SUFFIX] = longest
    return longest
  }

  /** After a child came or went: gives the nodes from here up the number of children that fits. */
  #rebalance(node: number): void {
    while (node !== 0) {
      const above = this.#words[node + PARENT]!
      this.#resize(node)
      node = above
    }
  }

  #resize(node: number): void {
    const words = this.#words
    const above = words[node + PARENT]!
    const key = words[node + KEY]!
    const isRoot = above === 0
    let work = MOST_WORK
    while (this.#shouldInflate(node, isRoot) && work-- > 0) node = this.#inflate(node, above, key)
    if (work < MOST_WORK) return
    while (this.#shouldHalve(node, isRoot) && work-- > 0) node = this.#halve(node, above, key)
    const used = 2 ** this.#words[node + BITS]! - this.#words[node + EMPTY]!
    if (used < 2) {
      // The only child takes its place.
      let only = 0
      const start = this.#words[node + CHILDREN]!
      for (let i = 0; i < 2 ** this.#words[node + BITS]! && only === 0; i++) only = this.#words[start + i]!
      this.#link(above, key, only)
      this.#dismiss(node)
    }
  }

  #shouldInflate(node: number, isRoot: boolean): boolean {
    const words = this.#words
    const children = 2 ** words[node + BITS]!
    const used = children - words[node + EMPTY]! + words[node + FULL]!
    return used > 1 && words[node + POS]! > 0 && 50 * used >= children * (isRoot ? INFLATE_ROOT : INFLATE)
  }

  #shouldHalve(node: number, isRoot: boolean): boolean {
    const words = this.#words
    const children = 2 ** words[node + BITS]!
    const used = children - words[node + EMPTY]!
    return used > 1 && words[node + BITS]! > 1 && 100 * used < children * (isRoot ? HALVE_ROOT : HALVE)
  }

  #inflate(old: number, above: number, key: number): number {
    const bits = this.#words[old + BITS]!
    const pos = this.#words[old + POS]!
    const node = this.#newNode(key, pos - 1, bits + 1)
    const made: number[] = []
    for (let i = 0; i < 2 ** bits; i++) {
      const child = this.#words[this.#words[old + CHILDREN]! + i]!
      if (child === 0) continue
      if (!this.#isFull(old, child)) {
        this.#put(node, this.#indexOf(node, this.#words[(child < 0 ? ~child : child) + KEY]!), child)
        continue
      }
      const own = this.#words[child + BITS]! - 1
      const half = 2 ** own
      if (own === 0) {
        for (let side = 0; side < 2; side++) {
          this.#put(node, 2 * i + side, this.#words[this.#words[child + CHILDREN]! + side]!)
        }
      } else {
        for (let side = 0; side < 2; side++) {
          const bit = side << (pos - 1)
          const part = this.#newNode(this.#words[child + KEY]! | bit, this.#words[child + POS]!, own)
          for (let j = 0; j < half; j++) {
            this.#put(part, j, this.#words[this.#words[child + CHILDREN]! + side * half + j]!)
          }
          this.#put(node, 2 * i + side, part)
          made.push(part)
        }
      }
      this.#dismiss(child)
    }
    this.#dismiss(old)
    this.#link(above, key, node)
    for (const part of made) this.#resize(part)
    return node
  }

  #halve(old: number, above: number, key: number): number {
    const bits = this.#words[old + BITS]!
    const pos = this.#words[old + POS]!
    const node = this.#newNode(key, pos + 1, bits - 1)
    for (let i = 0; i < 2 ** (bits - 1); i++) {
      const left = this.#words[this.#words[old + CHILDREN]! + 2 * i]!
      const right = this.#words[this.#words[old + CHILDREN]! + 2 * i + 1]!
      if (left === 0 || right === 0) {
        this.#put(node, i, left === 0 ? right : left)
        continue
      }
      const leftKey = this.#words[(left < 0 ? ~left : left) + KEY]!
      const pair = this.#newNode(pos === 31 ? 0 : leftKey & (-2 << pos), pos, 1)
      this.#put(pair, 0, left)
      this.#put(pair, 1, right)
      this.#put(node, i, pair)
    }
    this.#dismiss(old)
    this.#link(above, key, node)
    return node
  }

  #allocate(size: number): number {
    const list = sizeClass(size)
    const head = this.#free[list]
    if (head !== undefined && head !== 0) {
      this.#free[list] = this.#words[head]!
      return head
    }
    if (this.#used + size > this.#words.length) {
      const words = new Int32Array(Math.ceil(1.25 * (this.#words.length + size)))
      words.set(this.#words)
      this.#words = words
    }
    this.#used += size
    return this.#used - size
  }

  #release(at: number, size: number): void {
    const list = sizeClass(size)
    while (this.#free.length <= list) this.#free.push(0)
    this.#words[at] = this.#free[list]!
    this.#free[list] = at
  }
}

/** All sizes are powers of two, but that of a prefix. */
function sizeClass(size: number): number {
  return size === PREFIX ? 40 : 31 - Math.clz32(size)
}
