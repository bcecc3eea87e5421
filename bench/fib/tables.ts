/**
 * Forwarding tables to measure with, the same in every run: one as the Internet's (lengths, nesting and
 * neighbourhood of its prefixes), tables made to be hard, and the addresses that are asked for.
 */

/**
 * How many prefixes of each length there are in the Internet: of 196 731 IPv4 prefixes in the updates of a RIPE
 * RIS collector, as counted in https://github.com/zhu849/IP-Address-Lookup-Algorithms
 * (`prefix_len_anaysis/README.md`). 59.6 % are /24, 11.7 % /22, 10.2 % /23.
 */
export const LENGTHS: ReadonlyMap<number, number> = new Map([
  [8, 3],
  [9, 3],
  [10, 11],
  [11, 29],
  [12, 117],
  [13, 193],
  [14, 341],
  [15, 552],
  [16, 2454],
  [17, 1880],
  [18, 3792],
  [19, 6761],
  [20, 9161],
  [21, 11_054],
  [22, 22_947],
  [23, 19_978],
  [24, 117_227],
  [25, 5],
  [26, 4],
  [27, 3],
  [28, 2],
  [29, 5],
  [30, 13],
  [31, 5],
  [32, 186],
])

/** How many of the prefixes lie within another one: "more specifics" are a little over half of the real table. */
const NESTED = 0.55
/** How many follow the one before them: blocks are handed out, and taken apart, in order. */
const ADJACENT = 0.6

export interface Prefixes {
  readonly prefix: Int32Array
  readonly length: Uint8Array
}

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
export function uniform(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }
}

function maskOf(length: number): number {
  return length === 0 ? 0 : -1 << (32 - length)
}

/** `count` prefixes in no order, of lengths as in the Internet. */
export function internet(count: number, seed = 1): Prefixes {
  return shuffled(new Internet(count, uniform(seed)).build(), uniform(seed + 1))
}

class Internet {
  readonly #count: number
  readonly #random: () => number
  readonly #prefix: Int32Array
  readonly #length: Uint8Array
  #size = 0
  /** Prefixes that lie within no other one: parents of the nested, large and small. */
  readonly #aggregates: number[] = []
  /** By the first 24 bits: whether anything shorter covers it. */
  readonly #covered = new Uint8Array(1 << 24)
  #taken = new Set<number>()
  #last = 0

  constructor(count: number, random: () => number) {
    this.#count = count
    this.#random = random
    this.#prefix = new Int32Array(count)
    this.#length = new Uint8Array(count)
  }

  build(): Prefixes {
    const total = [...LENGTHS.values()].reduce((sum, one) => sum + one, 0)
    let counted = 0
    for (const [length, weight] of LENGTHS) {
      counted += weight
      this.#taken = new Set()
      const until = Math.round((counted / total) * this.#count)
      while (this.#size < until) this.#add(length)
    }
    return { prefix: this.#prefix, length: this.#length }
  }

  #add(length: number): void {
    const nested = this.#aggregates.length > 0 && (length > 24 || (length > 12 && this.#random() < NESTED))
    for (let tries = 0; ; tries++) {
      const inside = tries > 100 ? tries % 2 === 0 : nested
      const prefix = inside && this.#aggregates.length > 0 ? this.#within(length) : this.#fresh(length)
      if (this.#taken.has(prefix) || !isUnicast(prefix)) continue
      if (!inside && tries <= 100 && this.#covered[prefix >>> 8] === 1) continue
      this.#taken.add(prefix)
      this.#last = prefix
      if (!nested) this.#aggregates.push(this.#size)
      this.#prefix[this.#size] = prefix
      this.#length[this.#size++] = length
      if (length <= 24) this.#covered.fill(1, prefix >>> 8, (prefix >>> 8) + (1 << (24 - length)))
      return
    }
  }

  #fresh(length: number): number {
    if (this.#random() < ADJACENT) return (this.#last + (1 << (32 - length))) & maskOf(length)
    return ((this.#random() * 0x1_0000_0000) | 0) & maskOf(length)
  }

  /** Within an aggregate, of which a few hold most. */
  #within(length: number): number {
    if (this.#random() < ADJACENT) return (this.#last + (1 << (32 - length))) & maskOf(length)
    const parent = this.#aggregates[(this.#aggregates.length * this.#random() ** 3) | 0]!
    const own = (this.#random() * 0x1_0000_0000) | 0
    return (this.#prefix[parent]! | (own & ~maskOf(this.#length[parent]!))) & maskOf(length)
  }
}

/** Addresses that routers forward to: not 0/8, 10/8, 127/8, nor what begins with 224 or more. */
function isUnicast(address: number): boolean {
  const first = address >>> 24
  return first !== 0 && first !== 10 && first !== 127 && first < 224
}

function shuffled({ prefix, length }: Prefixes, random: () => number): Prefixes {
  for (let i = prefix.length - 1; i > 0; i--) {
    const j = (random() * (i + 1)) | 0
    const [onePrefix, oneLength] = [prefix[i]!, length[i]!]
    prefix[i] = prefix[j]!
    length[i] = length[j]!
    prefix[j] = onePrefix
    length[j] = oneLength
  }
  return { prefix, length }
}

/** Tables that make it hard, of `count` prefixes as far as there are so many. */
export const ADVERSARIAL: Readonly<Record<string, (count: number) => Prefixes>> = {
  /** Nothing in common: every prefix has a way of its own. */
  'random /32': (count) => distinct(count, uniform(5), () => 32),
  /** Every length alike, 8 to 32. */
  'random lengths': (count) => distinct(count, uniform(6), (random) => 8 + ((random() * 25) | 0)),
  /** All hosts of as few /24 as will do. */
  'dense /32': (count) => ({
    prefix: Int32Array.from({ length: count }, (_, i) => (11 << 24) + i),
    length: new Uint8Array(count).fill(32),
  }),
  /** A chain of prefixes /9…/32, each within the one before, again and again. */
  'nested chains': (count) => {
    const random = uniform(7)
    const chains = Math.ceil(count / 24)
    const hosts = Int32Array.from({ length: chains }, () => (random() * 0x1_0000_0000) | 0)
    return distinctOf(count, (i) => [hosts[i % chains]!, 32 - ((i / chains) | 0)], 24 * chains)
  },
}

function distinct(count: number, random: () => number, length: (random: () => number) => number): Prefixes {
  return distinctOf(count, () => [(random() * 0x1_0000_0000) | 0, length(random)])
}

function distinctOf(
  count: number,
  draw: (i: number) => readonly [number, number],
  draws: number = 2 * count,
): Prefixes {
  const taken = new Set<number>()
  const prefix = new Int32Array(count)
  const lengths = new Uint8Array(count)
  let size = 0
  for (let i = 0; size < count && i < draws; i++) {
    const [of, length] = draw(i)
    const masked = of & maskOf(length)
    const key = (masked >>> 0) * 64 + length
    if (taken.has(key)) continue
    taken.add(key)
    prefix[size] = masked
    lengths[size++] = length
  }
  return { prefix: prefix.subarray(0, size), length: lengths.subarray(0, size) }
}

/** Addresses asked for at a time: 4 MiB of them. */
const ASKED = 1 << 20

/** An address of any prefix, each prefix as likely as another: what misses the caches most. */
export function byPrefix({ prefix, length }: Prefixes, seed = 20): Int32Array {
  const random = uniform(seed)
  return Int32Array.from({ length: ASKED }, () =>
    host(prefix, length, (random() * prefix.length) | 0, random),
  )
}

/** Any address that a prefix covers, each as likely as another: most are in the large ones. */
export function byAddress({ prefix, length }: Prefixes, seed = 21): Int32Array {
  const random = uniform(seed)
  const ends = new Float64Array(prefix.length)
  let total = 0
  for (let i = 0; i < prefix.length; i++) ends[i] = total += 2 ** (32 - length[i]!)
  return Int32Array.from({ length: ASKED }, () => {
    const at = random() * total
    let low = 0
    let high = prefix.length - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (ends[middle]! > at) high = middle
      else low = middle + 1
    }
    return host(prefix, length, low, random)
  })
}

/** As traffic is: the prefix of rank r is asked for in proportion to 1/r (Zipf). */
export function skewed({ prefix, length }: Prefixes, seed = 22): Int32Array {
  const random = uniform(seed)
  const scale = Math.log(prefix.length)
  // The prefixes are in no order, so a rank is a place. The integral of 1/r is the logarithm.
  return Int32Array.from({ length: ASKED }, () => {
    return host(prefix, length, Math.min(prefix.length - 1, (Math.exp(random() * scale) - 1) | 0), random)
  })
}

function host(prefix: Int32Array, length: Uint8Array, at: number, random: () => number): number {
  return prefix[at]! | (((random() * 0x1_0000_0000) | 0) & ~maskOf(length[at]!))
}
