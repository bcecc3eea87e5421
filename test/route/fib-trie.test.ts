import { expect } from 'chai'
import fc from 'fast-check'
import { ipv4Mask } from '../../lib/address/ipv4-address.ts'
import { Random } from '../../lib/random/random.ts'
import { seededRandom } from '../../lib/random/seeded.ts'
import { FibTrie, INDEX_FROM } from '../../lib/route/fib-trie.ts'
import { AliasKind, FibInfo } from '../../lib/route/fib-types.ts'
import { address, adversarial, edges, type Held, Pair, sequences } from './linear-search.ts'

/** All prefixes that cover the address, found one after the other as a lookup goes on to shorter ones. */
function covering(trie: FibTrie, one: number): Held[] {
  const found: Held[] = []
  for (let value = trie.find(one); value !== 0; ) {
    const { length } = trie
    found.push({ prefix: one & ipv4Mask(length), length, value })
    value = trie.findWithin(one, length - 1)
  }
  return found
}

/** Addresses with much in common, so that there is something to find. */
function near(random: Random): number {
  return random.below(4) === 0
    ? random.int32()
    : (0xc0a80a01 ^ (1 << random.below(32)) ^ random.below(1024)) | 0
}

/** An index takes more; the nodes of a few hundred prefixes don't. */
const INDEX_BYTES = 1 << 19

function dump(trie: FibTrie): Held[] {
  const cursor = trie.cursor()
  const all: Held[] = []
  while (cursor.next()) all.push({ prefix: cursor.prefix, length: cursor.length, value: cursor.value })
  return all
}

function agree({ table, linear }: Pair<FibTrie>, asked: Iterable<number>): void {
  for (const one of asked) expect(covering(table, one)).to.deep.equal(linear.covering(one))
}

describe('FibTrie', () => {
  it('agrees with a linear search through any sequence of changes', () => {
    sequences(() => new FibTrie(), 7, 300)
    sequences(() => new FibTrie(1), 8, 100)
    sequences(() => new FibTrie(20), 9, 100)
  }).timeout(10_000)

  it('agrees with a linear search on tables made to be hard', () => {
    adversarial(() => new FibTrie())
    adversarial(() => new FibTrie(1))
  }).timeout(10_000)

  it('agrees with a linear search through 200 000 changes, over which its index comes and goes', () => {
    const random = new Random(seededRandom(4))
    const pair = new Pair(new FibTrie(60))
    const prefixes = Array.from({ length: 200 }, (_, i): [number, number] =>
      i < 33 ? [0xc0a80a01, i] : [near(random), random.below(10) === 0 ? 32 : 1 + random.below(32)],
    )
    const seen = { default: 0, host: 0, indexed: 0 }
    let indexed = false
    for (let step = 0, changes = 0; changes < 200_000; step++) {
      // For a while most are entered, then most are taken out, in any order.
      const [of, length] = prefixes[random.below(prefixes.length)]!
      const growing = (step >>> 9) % 2 === 0
      const held = pair.linear.has(of & ipv4Mask(length), length)
      if (held === growing && random.below(8) !== 0) continue
      pair.toggle(of, length, held && random.below(10) === 0)
      changes++
      if (length === 0) seen.default++
      if (length === 32) seen.host++
      const now = pair.table.bytes > INDEX_BYTES
      if (now && !indexed) seen.indexed++
      indexed = now
      if (step % 4 === 0)
        pair.check(step % 8 === 0 ? [near(random)] : edges({ prefix: of & ipv4Mask(length), length }))
    }
    expect(seen.indexed).to.be.greaterThan(100)
    expect(seen.default).to.be.greaterThan(100)
    expect(seen.host).to.be.greaterThan(1000)
  }).timeout(30_000)

  it('agrees with maps by length at 200 000 prefixes, and gives its memory back as they go in any order', () => {
    const random = new Random(seededRandom(6))
    const trie = new FibTrie()
    const maps = Array.from({ length: 33 }, () => new Map<number, number>())
    const held: [prefix: number, length: number][] = []
    const set = (of: number, length: number, value: number): void => {
      const prefix = of & ipv4Mask(length)
      if (!maps[length]!.has(prefix)) held.push([prefix, length])
      maps[length]!.set(prefix, value)
      trie.set(prefix, length, value)
    }
    const check = (): void => {
      expect(trie.size).to.equal(held.length)
      for (let i = 0; i < 2000; i++) {
        const some = held.length > 0 && i % 2 === 0 ? held[random.below(held.length)]! : ([0, 0] as const)
        const one = some[0] | (random.int32() & ~ipv4Mask(some[1]))
        let found = 0
        for (let length = 32; length >= 0 && found === 0; length--) {
          found = maps[length]!.get(one & ipv4Mask(length)) ?? 0
        }
        expect(trie.find(one)).to.equal(found)
      }
    }
    set(0, 0, 1)
    for (let i = 2; trie.size < 200_000; i++) {
      const length = random.below(4) > 0 ? 24 : random.below(33)
      set(random.below(3) === 0 ? (11 << 24) | random.below(1 << 24) : random.int32(), length, i)
    }
    check()
    const full = trie.bytes
    for (const [until, share] of [
      [100_000, 0.75],
      [20_000, 0.3],
      [2000, 0.05],
      [0, 0.002],
    ] as const) {
      while (held.length > until) {
        const at = random.below(held.length)
        const [prefix, length] = held[at]!
        held[at] = held.at(-1)!
        held.pop()
        maps[length]!.delete(prefix)
        trie.delete(prefix, length)
      }
      check()
      expect(trie.bytes).to.be.lessThan(share * full)
    }
    for (let i = 0; i < 100_000; i++) set(random.int32(), 8 + random.below(25), 1 + i)
    check()
  }).timeout(30_000)

  it('finds the shorter prefixes too, knows what exactly a prefix has, and dumps in order', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(address, fc.nat(32)), { maxLength: 60 }),
        fc.array(address),
        (steps, asked) => {
          const pair = new Pair(new FibTrie())
          for (const step of steps) pair.toggle(...step)
          const all = pair.linear.all()
          expect(dump(pair.table)).to.deep.equal(all)
          agree(pair, [...asked, ...steps.map(([of]) => of)])
          for (const { prefix, length, value } of all)
            expect(pair.table.exact(prefix, length)).to.equal(value)
          for (const [of, length] of steps) {
            const prefix = of & ipv4Mask(length)
            expect(pair.table.exact(prefix, length) !== 0).to.equal(pair.linear.has(prefix, length))
          }
        },
      ),
      { seed: 8, numRuns: 200 },
    )
  })

  it('agrees with a linear search while its index comes and goes, and its gaps are closed', () => {
    const random = new Random(seededRandom(3))
    const pair = new Pair(new FibTrie())
    const draw = (): [number, number] => [
      random.below(3) === 0 ? (10 << 24) | random.below(1 << 20) : random.int32(),
      random.below(4) === 0 ? random.below(33) : 20 + random.below(13),
    ]
    const check = (): void => {
      agree(
        pair,
        Array.from({ length: 20 }, () => draw()[0]),
      )
      const some = draw()
      for (const one of edges({ prefix: some[0] & ipv4Mask(some[1]), length: some[1] })) agree(pair, [one])
    }
    for (let step = 0; pair.table.size < INDEX_FROM + 500; step++) {
      pair.toggle(...draw())
      if (step % 500 === 0 || (pair.table.size > INDEX_FROM - 5 && step % 50 === 0)) check()
    }
    const full = pair.table.bytes
    for (let round = 0; round < 3; round++) {
      for (const [i, { prefix, length }] of pair.linear.all().entries()) {
        if (random.below(10) < 3 * round + 3) pair.toggle(prefix, length)
        if (i % 500 === 0) check()
      }
      check()
    }
    expect(pair.table.bytes).to.be.lessThan(full / 4)
    expect(dump(pair.table)).to.deep.equal(pair.linear.all())
    for (const { prefix, length } of pair.linear.all()) pair.toggle(prefix, length)
    expect(pair.table.size).to.equal(0)
    expect(pair.table.find(0)).to.equal(0)
    expect(dump(pair.table)).to.deep.equal([])
  }).timeout(20_000)

  for (const [what, draw] of [
    ['scattered /24', (random: Random) => [random.int32(), 24]],
    ['prefixes /17…/32 of some /16', (random: Random) => [random.below(20 << 16), 17 + random.below(16)]],
  ] as const) {
    it(`does not grow while ${what} come and go`, () => {
      const random = new Random(seededRandom(5))
      const trie = new FibTrie()
      const held: [prefix: number, length: number][] = []
      const add = (): void => {
        for (;;) {
          const [of, length] = draw(random) as [number, number]
          const prefix = of & ipv4Mask(length)
          if (trie.exact(prefix, length) !== 0) continue
          trie.set(prefix, length, 1 + random.below(9))
          held.push([prefix, length])
          return
        }
      }
      for (let i = 0; i < 20_000; i++) add()
      const { bytes } = trie
      for (let i = 0; i < 150_000; i++) {
        const at = random.below(held.length)
        trie.delete(...held[at]!)
        held[at] = held.at(-1)!
        held.pop()
        add()
      }
      expect(trie.bytes).to.be.at.most(1.4 * bytes)
    }).timeout(20_000)
  }

  it('keeps 100 000 scattered /24 in under 56 bytes each, 30 without its index, and ten in under 2 KiB', () => {
    const random = new Random(seededRandom(1))
    const trie = new FibTrie()
    const bare = new FibTrie(Number.POSITIVE_INFINITY)
    while (trie.size < 100_000) {
      const prefix = random.int32() & ipv4Mask(24)
      trie.set(prefix, 24, 1)
      bare.set(prefix, 24, 1)
      if (trie.size === 10) expect(trie.bytes).to.be.lessThan(2048)
    }
    expect(trie.bytes / trie.size).to.be.lessThan(56)
    expect(bare.bytes / bare.size).to.be.lessThan(30)
  })

  it('keeps its lists of several values in memory that comes back when all are gone', () => {
    const { lists } = new FibTrie()
    expect(lists.bytes).to.equal(0)
    const kind = new AliasKind(7, new FibInfo(), 0)
    const made = Array.from({ length: 1000 }, () => lists.create([kind, kind]))
    expect(lists.bytes).to.be.within(16_000, 32_768)
    for (const first of made) lists.release(first)
    expect(lists.bytes).to.equal(0)
    const again = lists.create([kind])
    expect([lists.kind(again), lists.next(again)]).to.deep.equal([7, 0])
  })
})
