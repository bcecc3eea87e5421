import { expect } from 'chai'
import fc from 'fast-check'
import { ipv4Mask } from '../../lib/address/ipv4-address.ts'
import { Random } from '../../lib/random/random.ts'
import { seededRandom } from '../../lib/random/seeded.ts'
import { FibTrie, INDEX_FROM } from '../../lib/route/fib-trie.ts'
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
  })

  it('agrees with a linear search on tables made to be hard', () => {
    adversarial(() => new FibTrie())
  })

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

  it('does not grow while prefixes come and go', () => {
    const random = new Random(seededRandom(5))
    const trie = new FibTrie()
    const held: number[] = []
    const add = (): void => {
      const prefix = random.int32() & ipv4Mask(24)
      trie.set(prefix, 24, 1)
      held.push(prefix)
    }
    for (let i = 0; i < 20_000; i++) add()
    const { bytes } = trie
    for (let i = 0; i < 200_000; i++) {
      const at = random.below(held.length)
      trie.delete(held[at]!, 24)
      held[at] = held.at(-1)!
      held.pop()
      add()
    }
    expect(trie.bytes).to.be.at.most(1.6 * bytes)
  }).timeout(10_000)

  it('keeps 100 000 scattered /24 in under 96 bytes each, its index included, and ten in under 2 KiB', () => {
    const random = new Random(seededRandom(1))
    const trie = new FibTrie()
    while (trie.size < 100_000) {
      trie.set(random.int32() & ipv4Mask(24), 24, 1)
      if (trie.size === 10) expect(trie.bytes).to.be.lessThan(2048)
    }
    expect(trie.bytes / trie.size).to.be.lessThan(96)
  })
})
