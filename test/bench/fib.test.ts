import { expect } from 'chai'
import { CANDIDATES } from '../../bench/fib/candidates.ts'
import { ADVERSARIAL, byAddress, byPrefix, internet, LENGTHS, skewed } from '../../bench/fib/tables.ts'
import { ipv4Mask } from '../../lib/address/ipv4-address.ts'
import { adversarial, LinearSearch, sequences } from '../route/linear-search.ts'

describe('the forwarding tables that the benchmark compares', () => {
  for (const [name, make] of Object.entries(CANDIDATES)) {
    // DIR-24-8 takes 64 MiB a table, and a change of 0/0 writes all of it.
    const heavy = name === 'DIR-24-8' || name === 'poptrie'

    it(`${name} agrees with a linear search through any sequence of changes`, () => {
      sequences(make, 7, heavy ? 4 : 150)
    }).timeout(60_000)

    it(`${name} agrees with a linear search on tables made to be hard`, () => {
      if (heavy) {
        const table = make()
        const linear = new LinearSearch()
        for (let i = 0; i < 24; i++) {
          for (const [prefix, length] of [
            [0xaaaaaaaa & ipv4Mask(32 - i), 32 - i],
            [(10 << 24) | i, 32],
            [i << 27, 5 + i],
          ] as const) {
            if (linear.has(prefix & ipv4Mask(length), length)) continue
            table.set(prefix & ipv4Mask(length), length, i + 1)
            linear.set(prefix & ipv4Mask(length), length, i + 1)
          }
        }
        for (const { prefix, length } of linear.all()) {
          for (const address of [prefix, prefix | ~ipv4Mask(length)]) {
            expect(table.find(address)).to.equal(linear.find(address))
          }
          table.delete(prefix, length)
          linear.delete(prefix, length)
        }
        expect(table.size).to.equal(0)
      } else adversarial(make)
    }).timeout(60_000)

    it(`${name} agrees with lookups in maps by length on a part of the Internet`, () => {
      const count = 20_000
      const table = internet(count, 3)
      const made = make()
      const maps = Array.from({ length: 33 }, () => new Map<number, number>())
      const set = (i: number): void => {
        made.set(table.prefix[i]!, table.length[i]!, i + 1)
        maps[table.length[i]!]!.set(table.prefix[i]!, i + 1)
      }
      for (let i = 0; i < count; i++) set(i)
      for (let i = 0; i < count; i += 3) {
        made.delete(table.prefix[i]!, table.length[i]!)
        maps[table.length[i]!]!.delete(table.prefix[i]!)
      }
      for (let i = 0; i < count; i += 6) set(i)
      for (const asked of [byPrefix(table), byAddress(table), skewed(table)]) {
        for (let i = 0; i < 5000; i++) {
          const address = asked[i]!
          let found = 0
          for (let length = 32; length >= 0 && found === 0; length--) {
            found = maps[length]!.get(address & ipv4Mask(length)) ?? 0
          }
          expect(made.find(address)).to.equal(found)
        }
      }
    }).timeout(60_000)
  }

  it('are filled with prefixes of the lengths that the Internet has, each once, the same every time', () => {
    const { prefix, length } = internet(50_000)
    expect(internet(50_000)).to.deep.equal({ prefix, length })
    const keys = new Set(Array.from(prefix, (one, i) => `${one}/${length[i]}`))
    expect(keys.size).to.equal(50_000)
    const total = [...LENGTHS.values()].reduce((sum, one) => sum + one, 0)
    for (const [of, weight] of LENGTHS) {
      const count = length.filter((one) => one === of).length
      expect(count).to.be.closeTo((weight / total) * 50_000, 1)
    }
    for (const [i, one] of prefix.entries()) expect(one & ~ipv4Mask(length[i]!)).to.equal(0)
  }).timeout(20_000)

  it('are filled with as many prefixes, each once, where they are made to be hard', () => {
    for (const [name, make] of Object.entries(ADVERSARIAL)) {
      const { prefix, length } = make(10_000)
      expect(prefix.length, name).to.be.within(name === 'nested chains' ? 7000 : 9000, 10_000)
      expect(new Set(Array.from(prefix, (one, i) => `${one}/${length[i]}`)).size).to.equal(prefix.length)
      for (const [i, one] of prefix.entries()) expect(one & ~ipv4Mask(length[i]!)).to.equal(0)
    }
  })
})
