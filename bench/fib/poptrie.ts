/**
 * Poptrie (Asai and Ohara, SIGCOMM 2015): a trie of six bits a node below a table by the first 18 bits. A node has
 * a bitmap of its children and one of where another leaf begins; children and leaves are found by counting bits.
 * Prefixes are pushed down to the leaves. A change makes anew, from a binary trie, the node that it is in and
 * what is below that, or all below the entries of the table that it covers.
 */
import { BinaryTrie } from './binary-trie.ts'
import type { Candidate } from './candidate.ts'

const DIRECT_BITS = 18
const STRIDE = 6
// A node: two words of children, two of leaves, address of the first child and of the first leaf.
const LEAVES = 2
const CHILDREN_AT = 4
const LEAVES_AT = 5
const NODE = 6

export class Poptrie implements Candidate {
  /** By the first 18 bits: a node, or the complement of a value. */
  readonly #direct = new Int32Array(1 << DIRECT_BITS).fill(~0)
  readonly #arena = new Arena()
  readonly #rules = new BinaryTrie()

  get size(): number {
    return this.#rules.size
  }

  get bytes(): number {
    return this.#direct.byteLength + this.#arena.words.byteLength + this.#rules.bytes
  }

  find(address: number): number {
    let node = this.#direct[address >>> (32 - DIRECT_BITS)]!
    if (node < 0) return ~node
    const { words } = this.#arena
    for (let depth = DIRECT_BITS; ; depth += STRIDE) {
      const next = (address << depth) >>> 26
      const half = next >>> 5
      const bit = next & 31
      const upTo = (2 << bit) - 1
      if (((words[node + half]! >>> bit) & 1) === 0) {
        let before = ones(words[node + LEAVES + half]! & upTo)
        if (half === 1) before += ones(words[node + LEAVES]!)
        return words[words[node + LEAVES_AT]! + before - 1]!
      }
      let before = ones(words[node + half]! & upTo)
      if (half === 1) before += ones(words[node]!)
      node = words[node + CHILDREN_AT]! + NODE * (before - 1)
    }
  }

  set(address: number, length: number, value: number): void {
    this.#rules.set(address, length, value)
    this.#renew(address, length)
  }

  delete(address: number, length: number): void {
    this.#rules.delete(address, length)
    this.#renew(address, length)
  }

  /** Makes anew what a prefix may have changed. */
  #renew(address: number, length: number): void {
    if (length > DIRECT_BITS && this.#renewNode(address, length)) return
    const start = address >>> (32 - DIRECT_BITS)
    const end = start + (length >= DIRECT_BITS ? 1 : 2 ** (DIRECT_BITS - length))
    for (let i = start; i < end; i++) {
      const old = this.#direct[i]!
      if (old >= 0) {
        this.#dismiss(old)
        this.#arena.release(old, NODE)
      }
      const prefix = i << (32 - DIRECT_BITS)
      const best = this.#rules.findWithin(prefix, DIRECT_BITS)
      const rule = this.#rules.at(prefix, DIRECT_BITS)
      if (rule === 0 || (this.#rules.words[rule] === 0 && this.#rules.words[rule + 1] === 0)) {
        this.#direct[i] = ~best
      } else {
        const node = this.#arena.allocate(NODE)
        this.#direct[i] = node
        this.#build(node, rule, best)
      }
    }
  }

  /** Makes the last node anew, with all below it, that is on the way to a prefix and stays. False if there is none. */
  #renewNode(address: number, length: number): boolean {
    let node = this.#direct[address >>> (32 - DIRECT_BITS)]!
    let depth = DIRECT_BITS
    if (node < 0 || !this.#goesOn(address, depth)) return false
    for (; length > depth + STRIDE && this.#goesOn(address, depth + STRIDE); depth += STRIDE) {
      const { words } = this.#arena
      const next = (address << depth) >>> 26
      const half = next >>> 5
      const vector = words[node + half]!
      if (((vector >>> (next & 31)) & 1) === 0) break
      const before = ones(vector & ((2 << (next & 31)) - 1)) + (half === 1 ? ones(words[node]!) : 0)
      node = words[node + CHILDREN_AT]! + NODE * (before - 1)
    }
    this.#dismiss(node)
    this.#build(node, this.#rules.at(address, depth), this.#rules.findWithin(address, depth))
    return true
  }

  /** Whether prefixes go on beyond these bits. */
  #goesOn(address: number, length: number): boolean {
    const rule = this.#rules.at(address, length)
    return rule !== 0 && (this.#rules.words[rule] !== 0 || this.#rules.words[rule + 1] !== 0)
  }

  /** Makes the node for what is below a node of the binary trie; `best` covers all of it. */
  #build(node: number, rule: number, best: number): void {
    const rules: number[] = []
    const bests: number[] = []
    this.#spread(rule, best, 0, rules, bests)
    const vector = [0, 0]
    const leafVector = [0, 0]
    const leaves: number[] = []
    const children: number[] = []
    let last = -1
    for (let i = 0; i < 1 << STRIDE; i++) {
      const below = rules[i]!
      if (below !== 0) {
        vector[i >>> 5]! |= 1 << (i & 31)
        children.push(i)
      } else if (bests[i] !== last) {
        leafVector[i >>> 5]! |= 1 << (i & 31)
        last = bests[i]!
        leaves.push(last)
      }
    }
    const childrenAt = children.length === 0 ? 0 : this.#arena.allocate(NODE * children.length)
    const leavesAt = leaves.length === 0 ? 0 : this.#arena.allocate(leaves.length)
    const { words } = this.#arena
    words[node] = vector[0]!
    words[node + 1] = vector[1]!
    words[node + LEAVES] = leafVector[0]!
    words[node + LEAVES + 1] = leafVector[1]!
    words[node + CHILDREN_AT] = childrenAt
    words[node + LEAVES_AT] = leavesAt
    words.set(leaves, leavesAt)
    for (const [rank, i] of children.entries()) this.#build(childrenAt + NODE * rank, rules[i]!, bests[i]!)
  }

  /** What is six bits further down: nodes of the binary trie that go on, and the best prefix for each. */
  #spread(rule: number, best: number, depth: number, rules: number[], bests: number[]): void {
    const { words } = this.#rules
    if (rule !== 0 && depth > 0 && words[rule + 2] !== 0) best = words[rule + 2]!
    if (depth === STRIDE) {
      rules.push(rule !== 0 && (words[rule] !== 0 || words[rule + 1] !== 0) ? rule : 0)
      bests.push(best)
      return
    }
    this.#spread(rule === 0 ? 0 : words[rule]!, best, depth + 1, rules, bests)
    this.#spread(rule === 0 ? 0 : words[rule + 1]!, best, depth + 1, rules, bests)
  }

  /** Frees what a node holds, not the node. */
  #dismiss(node: number): void {
    const { words } = this.#arena
    const children = ones(words[node]!) + ones(words[node + 1]!)
    const at = words[node + CHILDREN_AT]!
    for (let i = 0; i < children; i++) this.#dismiss(at + NODE * i)
    if (children > 0) this.#arena.release(at, NODE * children)
    const leaves = ones(words[node + LEAVES]!) + ones(words[node + LEAVES + 1]!)
    if (leaves > 0) this.#arena.release(words[node + LEAVES_AT]!, leaves)
  }
}

/** Blocks of words, freed and used again by size. */
class Arena {
  words = new Int32Array(1024)
  #used = 1
  readonly #free: number[] = []

  allocate(size: number): number {
    const head = this.#free[size]
    if (head !== undefined && head !== 0) {
      this.#free[size] = this.words[head]!
      return head
    }
    if (this.#used + size > this.words.length) {
      const words = new Int32Array(Math.ceil(1.25 * (this.words.length + size)))
      words.set(this.words)
      this.words = words
    }
    this.#used += size
    return this.#used - size
  }

  release(at: number, size: number): void {
    while (this.#free.length <= size) this.#free.push(0)
    this.words[at] = this.#free[size]!
    this.#free[size] = at
  }
}

/** How many of 32 bits are set. */
function ones(bits: number): number {
  bits = (bits - ((bits >>> 1) & 0x55555555)) | 0
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333)
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}
