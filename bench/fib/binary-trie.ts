/**
 * A node per bit of every prefix, without any compression. It is what structures with pushed-down prefixes keep
 * beside them: they forget what lies below a longer prefix, and must know it when that goes.
 */
import type { Candidate } from './candidate.ts'

// A node: its two children, and the value of the prefix that ends there.
const VALUE = 2
const NODE = 3
const ROOT = 3

export class BinaryTrie implements Candidate {
  size = 0
  /** Length of the prefix that was found last. */
  length = 0
  /** Nodes by the address of their first word; 0 is none. */
  words = new Int32Array(64 * NODE)
  #used = ROOT + NODE
  #free = 0

  get bytes(): number {
    return this.words.byteLength
  }

  find(address: number): number {
    return this.findWithin(address, 32)
  }

  findWithin(address: number, limit: number): number {
    const { words } = this
    let found = 0
    let node = ROOT
    for (let depth = 0; node !== 0; depth++) {
      const value = words[node + VALUE]!
      if (value !== 0) {
        found = value
        this.length = depth
      }
      if (depth >= limit) break
      node = words[node + ((address >>> (31 - depth)) & 1)]!
    }
    return limit < 0 ? 0 : found
  }

  /** The node of exactly these bits, 0 if there is none. */
  at(address: number, length: number): number {
    let node = ROOT
    for (let depth = 0; depth < length && node !== 0; depth++) {
      node = this.words[node + ((address >>> (31 - depth)) & 1)]!
    }
    return node
  }

  set(address: number, length: number, value: number): void {
    let node = ROOT
    for (let depth = 0; depth < length; depth++) {
      const slot = node + ((address >>> (31 - depth)) & 1)
      let child = this.words[slot]!
      if (child === 0) {
        child = this.#allocate()
        this.words[slot] = child
      }
      node = child
    }
    if (this.words[node + VALUE] === 0) this.size++
    this.words[node + VALUE] = value
  }

  delete(address: number, length: number): void {
    const { words } = this
    const path: number[] = []
    let node = ROOT
    for (let depth = 0; depth < length; depth++) {
      path.push(node)
      node = words[node + ((address >>> (31 - depth)) & 1)]!
    }
    words[node + VALUE] = 0
    this.size--
    for (let depth = length; depth > 0; depth--) {
      if (words[node] !== 0 || words[node + 1] !== 0 || words[node + VALUE] !== 0) break
      words[node] = this.#free
      this.#free = node
      node = path[depth - 1]!
      words[node + ((address >>> (32 - depth)) & 1)] = 0
    }
  }

  #allocate(): number {
    const free = this.#free
    if (free !== 0) {
      this.#free = this.words[free]!
      this.words.fill(0, free, free + NODE)
      return free
    }
    if (this.#used + NODE > this.words.length) {
      const words = new Int32Array(Math.ceil(this.words.length * 1.5))
      words.set(this.words)
      this.words = words
    }
    this.#used += NODE
    return this.#used - NODE
  }
}
