/**
 * DIR-24-8 (Gupta, Lin and McKeown, "Routing Lookups in Hardware at Memory Access Speeds", 1998; DPDK's `rte_lpm`):
 * one place for each of the 2²⁴ first three octets, with the value itself or, where there are longer prefixes, a
 * group of 256 places for the last octet. A short prefix is written to all its places.
 */
import { BinaryTrie } from './binary-trie.ts'
import type { Candidate } from './candidate.ts'

/** A place: value and length of its prefix, or number of its group and this in place of a length. */
const GROUP = 63
const LENGTH = 63

export class Dir24 implements Candidate {
  readonly #first = new Int32Array(1 << 24)
  #groups = new Int32Array(256)
  #used = 0
  readonly #free: number[] = []
  /** What is pushed down cannot be taken back without it. */
  readonly #rules = new BinaryTrie()

  get size(): number {
    return this.#rules.size
  }

  get bytes(): number {
    return this.#first.byteLength + this.#groups.byteLength + this.#rules.bytes
  }

  find(address: number): number {
    let place = this.#first[address >>> 8]!
    if ((place & LENGTH) === GROUP) place = this.#groups[((place >>> 6) << 8) | (address & 255)]!
    return place >> 6
  }

  set(address: number, length: number, value: number): void {
    this.#rules.set(address, length, value)
    this.#paint(address, length, (value << 6) | length, -1)
  }

  delete(address: number, length: number): void {
    this.#rules.delete(address, length)
    const value = this.#rules.findWithin(address, length - 1)
    this.#paint(address, length, value === 0 ? 0 : (value << 6) | this.#rules.length, length)
    if (length > 24) this.#dissolve(address >>> 8)
  }

  #paint(address: number, length: number, place: number, only: number): void {
    if (length > 24) {
      const at = this.#group(address >>> 8) * 256 + (address & 255)
      paint(this.#groups, at, at + (1 << (32 - length)), length, place, only)
      return
    }
    const start = address >>> 8
    const end = start + 2 ** (24 - length)
    for (let i = start; i < end; i++) {
      const held = this.#first[i]!
      if ((held & LENGTH) === GROUP) {
        const at = (held >>> 6) << 8
        paint(this.#groups, at, at + 256, length, place, only)
      } else if (only < 0 ? (held & LENGTH) <= length : held !== 0 && (held & LENGTH) === only) {
        this.#first[i] = place
      }
    }
  }

  #group(index: number): number {
    const held = this.#first[index]!
    if ((held & LENGTH) === GROUP) return held >>> 6
    const group = this.#free.pop() ?? this.#used++
    if ((group + 1) * 256 > this.#groups.length) {
      const groups = new Int32Array(Math.ceil(this.#groups.length * 1.5) & ~255 || 512)
      groups.set(this.#groups)
      this.#groups = groups.length >= (group + 1) * 256 ? groups : doubled(groups)
    }
    this.#groups.fill(held, group * 256, group * 256 + 256)
    this.#first[index] = (group << 6) | GROUP
    return group
  }

  /** A group all of whose places are the same, and of 24 bits at most, goes. */
  #dissolve(index: number): void {
    const held = this.#first[index]!
    if ((held & LENGTH) !== GROUP) return
    const at = (held >>> 6) << 8
    const only = this.#groups[at]!
    if ((only & LENGTH) > 24) return
    for (let i = at + 1; i < at + 256; i++) if (this.#groups[i] !== only) return
    this.#first[index] = only
    this.#free.push(held >>> 6)
  }
}

function doubled(words: Int32Array): Int32Array<ArrayBuffer> {
  const twice = new Int32Array(2 * words.length)
  twice.set(words)
  return twice
}

function paint(
  places: Int32Array,
  start: number,
  end: number,
  length: number,
  place: number,
  only: number,
): void {
  for (let i = start; i < end; i++) {
    const held = places[i]!
    if (only < 0 ? (held & LENGTH) <= length : held !== 0 && (held & LENGTH) === only) places[i] = place
  }
}
