/**
 * A hash table from flow keys to endpoints: open addressing with linear probing in typed arrays, under a seeded
 * hash, so that nobody outside can choose keys that collide (Crosby and Wallach, "Denial of service via
 * algorithmic complexity attacks"). Deleting shifts back what follows, so there are no tombstones and a table
 * that lives long does not slow down. It doubles when three quarters are taken, up to a limit of entries.
 */
import type { HalfSipHash } from '../random/siphash.ts'
import { FLOW_KEY_WORDS, FlowKey, isIpv4Flow } from './flow-key.ts'

const SMALLEST = 16

/** Entries are objects, one per key. */
export class FlowTable<E extends object> {
  length = 0
  /** Entries at most. */
  readonly limit: number
  readonly #hash: HalfSipHash
  readonly #short = new Int32Array(4)
  #mask = SMALLEST - 1
  #keys = new Int32Array(SMALLEST * FLOW_KEY_WORDS)
  #hashes = new Int32Array(SMALLEST)
  #entries: (E | null)[] = new Array<E | null>(SMALLEST).fill(null)

  constructor(hash: HalfSipHash, limit = 1 << 20) {
    this.#hash = hash
    this.limit = limit
  }

  /** Places that the table has now. */
  get capacity(): number {
    return this.#mask + 1
  }

  get(key: Int32Array): E | null {
    if (this.length === 0) return null
    return this.#entries[this.#find(key, this.#hashOf(key))]!
  }

  /** Adds an entry; `false` if the key is taken or the table is full (its limit reached). The key is copied. */
  add(key: Int32Array, entry: E): boolean {
    const hash = this.#hashOf(key)
    let place = this.#find(key, hash)
    if (this.#entries[place] !== null || this.length >= this.limit) return false
    if ((this.length + 1) * 4 > this.capacity * 3) {
      this.#grow()
      place = this.#find(key, hash)
    }
    this.#store(place, key, 0, hash, entry)
    this.length++
    return true
  }

  /** Takes the entry of a key out; `null` if there is none, or it is another than `only`. */
  remove(key: Int32Array, only: E | null = null): E | null {
    let hole = this.#find(key, this.#hashOf(key))
    const removed = this.#entries[hole]!
    if (removed === null || (only !== null && removed !== only)) return null
    const mask = this.#mask
    for (let place = (hole + 1) & mask; this.#entries[place] !== null; place = (place + 1) & mask) {
      // It may move back if the hole lies between where its hash would have it and where it is.
      const home = this.#hashes[place]! & mask
      if (((place - home) & mask) >= ((place - hole) & mask)) {
        this.#store(hole, this.#keys, place * FLOW_KEY_WORDS, this.#hashes[place]!, this.#entries[place]!)
        hole = place
      }
    }
    this.#entries[hole] = null
    this.length--
    return removed
  }

  /** Calls back for every entry, in no order; the table must not change meanwhile. */
  forEach(callback: (entry: E) => void): void {
    for (const entry of this.#entries) if (entry !== null) callback(entry)
  }

  clear(): void {
    this.#entries.fill(null)
    this.length = 0
  }

  /** Of an IPv4 flow six words say nothing: the hash is most of a look-up, so it is spared them. */
  #hashOf(key: Int32Array): number {
    if (!isIpv4Flow(key)) return this.#hash.words(key, 0, FLOW_KEY_WORDS)
    const short = this.#short
    short[0] = key[FlowKey.LOCAL + 3]!
    short[1] = key[FlowKey.REMOTE + 3]!
    short[2] = key[FlowKey.PORTS]!
    short[3] = key[FlowKey.DEVICE]!
    return this.#hash.words(short, 0, 4)
  }

  /** The place of the key, or the free one where it would go. */
  #find(key: Int32Array, hash: number): number {
    const mask = this.#mask
    const keys = this.#keys
    let place = hash & mask
    while (this.#entries[place] !== null) {
      if (this.#hashes[place] === hash) {
        const at = place * FLOW_KEY_WORDS
        let i = 0
        while (i < FLOW_KEY_WORDS && keys[at + i] === key[i]) i++
        if (i === FLOW_KEY_WORDS) break
      }
      place = (place + 1) & mask
    }
    return place
  }

  #store(place: number, key: Int32Array, from: number, hash: number, entry: E): void {
    const at = place * FLOW_KEY_WORDS
    for (let i = 0; i < FLOW_KEY_WORDS; i++) this.#keys[at + i] = key[from + i]!
    this.#hashes[place] = hash
    this.#entries[place] = entry
  }

  #grow(): void {
    const keys = this.#keys
    const hashes = this.#hashes
    const entries = this.#entries
    const capacity = this.capacity * 2
    this.#mask = capacity - 1
    this.#keys = new Int32Array(capacity * FLOW_KEY_WORDS)
    this.#hashes = new Int32Array(capacity)
    this.#entries = new Array<E | null>(capacity).fill(null)
    for (let i = 0; i < entries.length; i++) {
      if (entries[i] === null) continue
      let place = hashes[i]! & this.#mask
      while (this.#entries[place] !== null) place = (place + 1) & this.#mask
      this.#store(place, keys, i * FLOW_KEY_WORDS, hashes[i]!, entries[i]!)
    }
  }
}
