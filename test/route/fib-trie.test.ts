import { expect } from 'chai'
import fc from 'fast-check'
import { ipv4Mask } from '../../lib/address/ipv4-address.ts'
import { Random } from '../../lib/random/random.ts'
import { seededRandom } from '../../lib/random/seeded.ts'
import { FibTrie } from '../../lib/route/fib-trie.ts'
import { FibAlias, FibInfo } from '../../lib/route/fib-types.ts'

const info = new FibInfo()
const key = (prefix: number, length: number): string => `${prefix >>> 0}/${length}`

/** The same, by looking at every prefix. */
class Linear {
  readonly prefixes = new Map<string, FibAlias>()

  /** Prefixes that cover the address, the longest first. */
  covering(address: number): string[] {
    return [...this.prefixes.values()]
      .filter((alias) => ((address ^ alias.prefix) & ipv4Mask(alias.prefixLength)) === 0)
      .sort((a, b) => b.prefixLength - a.prefixLength)
      .map((alias) => key(alias.prefix, alias.prefixLength))
  }

  dump(): string[] {
    return [...this.prefixes.values()]
      .sort((a, b) => (a.prefix >>> 0) - (b.prefix >>> 0) || b.prefixLength - a.prefixLength)
      .map((alias) => key(alias.prefix, alias.prefixLength))
  }
}

class Pair {
  readonly trie = new FibTrie()
  readonly linear = new Linear()

  /** Adds the prefix, or takes it away if it is there. */
  toggle(address: number, length: number): void {
    const prefix = address & ipv4Mask(length)
    const node = this.trie.exact(prefix, length)
    const name = key(prefix, length)
    expect(node !== 0).to.equal(this.linear.prefixes.has(name))
    if (node !== 0) {
      this.trie.remove(node)
      this.linear.prefixes.delete(name)
      return
    }
    const alias = new FibAlias(prefix, length, 0, 1, 254, info)
    this.linear.prefixes.set(name, alias)
    expect(this.trie.head(this.trie.insert(prefix, length, alias))).to.equal(alias)
  }

  covering(address: number): string[] {
    const found: string[] = []
    for (let node = this.trie.find(address); node !== 0; node = this.trie.shorter(node)) {
      const alias = this.trie.head(node)!
      found.push(key(alias.prefix, alias.prefixLength))
    }
    return found
  }

  dump(): string[] {
    return [...this.trie.nodes()].map((node) => {
      const alias = this.trie.head(node)!
      return key(alias.prefix, alias.prefixLength)
    })
  }
}

/** Addresses that have much in common, so that prefixes nest and part late. */
const address = fc.oneof(
  fc.integer({ min: -0x80000000, max: 0x7fffffff }),
  fc
    .tuple(fc.constantFrom(0, 10, 127, 128, 255), fc.nat(3), fc.nat(3), fc.nat(255))
    .map(([a, b, c, d]) => (a << 24) | (b << 16) | (c << 8) | d),
)

describe('FibTrie', () => {
  it('agrees with a linear search through any sequence of insertions and removals', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(address, fc.nat(32)), { maxLength: 80 }),
        fc.array(address),
        (steps, asked) => {
          const pair = new Pair()
          for (const [prefix, length] of steps) pair.toggle(prefix, length)
          expect(pair.trie.size).to.equal(pair.linear.prefixes.size)
          expect(pair.dump()).to.deep.equal(pair.linear.dump())
          for (const one of [...asked, ...steps.map(([prefix]) => prefix)]) {
            expect(pair.covering(one)).to.deep.equal(pair.linear.covering(one))
          }
        },
      ),
      { seed: 7, numRuns: 300 },
    )
  })

  it('agrees with a linear search across the widths of its index', () => {
    const random = new Random(seededRandom(3))
    const pair = new Pair()
    const draw = (): [number, number] => [
      random.below(3) === 0 ? (10 << 24) | random.below(1 << 20) : random.int32(),
      random.below(4) === 0 ? random.below(33) : 20 + random.below(13),
    ]
    const check = (): void => {
      for (let i = 0; i < 40; i++) {
        const one = draw()[0]
        expect(pair.covering(one)).to.deep.equal(pair.linear.covering(one))
      }
    }
    // Beyond 256 and 4096 prefixes the index is 8 and 12 bits wide; every change must keep it right.
    for (let step = 0; step < 6000; step++) {
      pair.toggle(...draw())
      if (step % 400 === 0) check()
    }
    expect(pair.trie.size).to.be.greaterThan(4096)
    for (const alias of [...pair.linear.prefixes.values()]) {
      if (random.below(10) > 0) pair.toggle(alias.prefix, alias.prefixLength)
    }
    check()
    expect(pair.dump()).to.deep.equal(pair.linear.dump())
    for (const alias of [...pair.linear.prefixes.values()]) pair.toggle(alias.prefix, alias.prefixLength)
    expect(pair.trie.size).to.equal(0)
    expect(pair.trie.find(0)).to.equal(0)
  })

  it('uses nodes again that were freed', () => {
    const trie = new FibTrie()
    const fill = (): void => {
      for (let i = 0; i < 1000; i++) trie.insert(i << 8, 24, new FibAlias(i << 8, 24, 0, 1, 254, info))
    }
    fill()
    const { bytes } = trie
    for (let round = 0; round < 5; round++) {
      for (const node of [...trie.nodes()]) trie.remove(node)
      fill()
    }
    expect(trie.bytes).to.equal(bytes)
  })

  it('keeps 100 000 prefixes in under 100 bytes each', () => {
    const random = new Random(seededRandom(1))
    const trie = new FibTrie()
    while (trie.size < 100_000) {
      const prefix = random.int32() & ipv4Mask(24)
      if (trie.exact(prefix, 24) === 0) trie.insert(prefix, 24, new FibAlias(prefix, 24, 0, 1, 254, info))
    }
    expect(trie.bytes / trie.size).to.be.lessThan(100)
  })
})
