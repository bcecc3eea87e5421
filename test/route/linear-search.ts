/** Longest-prefix match by looking at every prefix: what every other way is compared with. */
import { expect } from 'chai'
import fc from 'fast-check'
import { ipv4Mask } from '../../lib/address/ipv4-address.ts'
import { Random } from '../../lib/random/random.ts'
import { seededRandom } from '../../lib/random/seeded.ts'

/** A table of prefixes with a value other than 0 each. */
export interface PrefixTable {
  readonly size: number
  find(address: number): number
  set(address: number, length: number, value: number): void
  delete(address: number, length: number): void
}

export interface Held {
  prefix: number
  length: number
  value: number
}

export class LinearSearch implements PrefixTable {
  readonly #held = new Map<string, Held>()

  get size(): number {
    return this.#held.size
  }

  has(prefix: number, length: number): boolean {
    return this.#held.has(`${prefix}/${length}`)
  }

  set(prefix: number, length: number, value: number): void {
    this.#held.set(`${prefix}/${length}`, { prefix, length, value })
  }

  delete(prefix: number, length: number): void {
    this.#held.delete(`${prefix}/${length}`)
  }

  find(address: number): number {
    return this.covering(address)[0]?.value ?? 0
  }

  /** The prefixes that cover an address, the longest first. */
  covering(address: number): Held[] {
    const found: Held[] = []
    for (const held of this.#held.values()) {
      if (((address ^ held.prefix) & ipv4Mask(held.length)) === 0) found.push(held)
    }
    return found.sort((a, b) => b.length - a.length)
  }

  /** In the order of a dump. */
  all(): Held[] {
    return [...this.#held.values()].sort((a, b) => (a.prefix >>> 0) - (b.prefix >>> 0) || b.length - a.length)
  }
}

/** Addresses that have much in common, so that prefixes nest and part late. */
export const address: fc.Arbitrary<number> = fc.oneof(
  fc.integer({ min: -0x80000000, max: 0x7fffffff }),
  fc
    .tuple(fc.constantFrom(0, 10, 127, 128, 255), fc.nat(3), fc.nat(3), fc.nat(255))
    .map(([a, b, c, d]) => (a << 24) | (b << 16) | (c << 8) | d),
)

/** A table and a linear search through the same prefixes. */
export class Pair<T extends PrefixTable> {
  readonly table: T
  readonly linear = new LinearSearch()
  #value = 0

  constructor(table: T) {
    this.table = table
  }

  /** Enters the prefix with a new value; takes it away if it is there, or gives it another value (`change`). */
  toggle(of: number, length: number, change = false): void {
    const prefix = of & ipv4Mask(length)
    if (this.linear.has(prefix, length) && !change) {
      this.table.delete(prefix, length)
      this.linear.delete(prefix, length)
    } else {
      this.table.set(prefix, length, ++this.#value)
      this.linear.set(prefix, length, this.#value)
    }
  }

  check(addresses: Iterable<number>): void {
    expect(this.table.size).to.equal(this.linear.size)
    for (const one of addresses) expect(this.table.find(one), `${one >>> 0}`).to.equal(this.linear.find(one))
  }
}

/** The first and the last address of a prefix, and their neighbours. */
export function* edges({ prefix, length }: { prefix: number; length: number }): Generator<number> {
  const last = prefix | ~ipv4Mask(length)
  yield* [prefix, prefix - 1, last, last + 1].map((one) => one | 0)
}

/** The table does what a linear search does, through any sequence of changes. */
export function sequences(make: () => PrefixTable, seed: number, runs: number): void {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(address, fc.nat(32), fc.boolean()), { maxLength: 80 }),
      fc.array(address),
      (steps, asked) => {
        const pair = new Pair(make())
        for (const step of steps) pair.toggle(...step)
        pair.check(asked)
        for (const [of, length] of steps) pair.check(edges({ prefix: of & ipv4Mask(length), length }))
        for (const { prefix, length } of pair.linear.all()) pair.toggle(prefix, length)
        pair.check(asked)
      },
    ),
    { seed, numRuns: runs },
  )
}

/** Tables that make it hard: what each holds, a value that grows with every change. */
export const ADVERSARIAL: ReadonlyMap<string, readonly (readonly [prefix: number, length: number])[]> =
  new Map([
    ['every /32 of a /24', Array.from({ length: 256 }, (_, i) => [(10 << 24) | i, 32] as const)],
    [
      'prefixes nested from 0/0 to /32',
      Array.from({ length: 33 }, (_, i) => [0xaaaaaaaa & ipv4Mask(i), i] as const),
    ],
    [
      'prefixes nested along zeros and along ones',
      Array.from({ length: 33 }, (_, i) => [[0, i] as const, [ipv4Mask(i), i] as const]).flat(),
    ],
    [
      'siblings that part at every bit',
      Array.from(
        { length: 32 },
        (_, i) => [(0x55555555 ^ (1 << (31 - i))) & ipv4Mask(i + 1), i + 1] as const,
      ),
    ],
    [
      'hosts that differ in their first bits alone',
      Array.from({ length: 256 }, (_, i) => [(i << 24) | 0x00ffffff, 32] as const),
    ],
  ])

/** Fills with an adversarial table, in both orders, and empties it in both, and agrees with the linear search all the while. */
export function adversarial(make: () => PrefixTable): void {
  const random = new Random(seededRandom(11))
  for (const prefixes of ADVERSARIAL.values()) {
    const asked = prefixes.flatMap(([prefix, length]) => [...edges({ prefix, length })])
    for (let i = 0; i < 20; i++) asked.push(random.int32())
    for (const order of [prefixes, prefixes.toReversed()]) {
      const pair = new Pair(make())
      for (const [i, [prefix, length]] of order.entries()) {
        if (pair.linear.has(prefix, length)) continue
        pair.toggle(prefix, length)
        if (i % 32 === 0) pair.check(asked)
      }
      pair.check(asked)
      for (const [i, { prefix, length }] of pair.linear.all().entries()) {
        pair.toggle(prefix, length)
        if (i % 32 === 0) pair.check(asked)
      }
      pair.check(asked)
    }
  }
}
