import { expect } from 'chai'
import fc from 'fast-check'
import { createFlowKey, FLOW_KEY_WORDS } from '../../lib/demux/flow-key.ts'
import { FlowTable } from '../../lib/demux/flow-table.ts'
import { HalfSipHash } from '../../lib/random/siphash.ts'

interface Entry {
  name: number
}

/** All keys collide: what an attacker who knew the hash would make of the table. */
class Constant extends HalfSipHash {
  override words(): number {
    return 7
  }
}

/** Few hashes, so that runs wrap around the end of the table. */
class Poor extends HalfSipHash {
  override words(input: Int32Array): number {
    return input[0]! % 5 === 0 ? -1 : -3
  }
}

function keyOf(name: number): Int32Array {
  const key = createFlowKey()
  key[2] = 0xffff
  key[3] = name
  key[8] = name * 31
  return key
}

describe('FlowTable', () => {
  it('finds what was added, by every word of the key', () => {
    const table = new FlowTable<Entry>(new HalfSipHash(1, 2))
    const key = keyOf(5)
    expect(table.get(key)).to.equal(null)
    expect(table.remove(key)).to.equal(null)
    const entry = { name: 5 }
    expect(table.add(key, entry)).to.equal(true)
    expect(table.add(key, { name: 6 })).to.equal(false)
    expect(table.get(key)).to.equal(entry)
    for (let i = 0; i < FLOW_KEY_WORDS; i++) {
      key[i]!++
      expect(table.get(key)).to.equal(null)
      key[i]!--
    }
    expect(table.remove(key)).to.equal(entry)
    expect(table.length).to.equal(0)
    expect(table.get(key)).to.equal(null)
  })

  it('stops at its limit', () => {
    const table = new FlowTable<Entry>(new HalfSipHash(1, 2), 10)
    for (let i = 0; i < 10; i++) expect(table.add(keyOf(i), { name: i })).to.equal(true)
    expect(table.add(keyOf(10), { name: 10 })).to.equal(false)
    table.remove(keyOf(3))
    expect(table.add(keyOf(10), { name: 10 })).to.equal(true)
  })

  it('grows by doubling and does not grow when entries come and go', () => {
    const table = new FlowTable<Entry>(new HalfSipHash(1, 2))
    for (let i = 0; i < 10_000; i++) table.add(keyOf(i), { name: i })
    expect(table.capacity).to.equal(16384)
    for (let i = 0; i < 100_000; i++) {
      table.remove(keyOf(i))
      table.add(keyOf(i + 10_000), { name: i + 10_000 })
    }
    expect(table.capacity).to.equal(16384)
    expect(table.length).to.equal(10_000)
    for (let i = 100_000; i < 110_000; i++) expect(table.get(keyOf(i))!.name).to.equal(i)
    let sum = 0
    table.forEach((entry) => {
      sum += entry.name
    })
    expect(sum).to.equal((100_000 + 109_999) * 5000)
    table.clear()
    expect(table.get(keyOf(100_000))).to.equal(null)
  })

  it('hardening-24: where keys go depends on the seed', () => {
    const one = new HalfSipHash(1, 2)
    const two = new HalfSipHash(3, 4)
    let same = 0
    for (let i = 0; i < 1000; i++) {
      const key = keyOf(i)
      if ((one.words(key, 0, FLOW_KEY_WORDS) & 1023) === (two.words(key, 0, FLOW_KEY_WORDS) & 1023)) same++
    }
    expect(same).to.be.below(20)
  })

  it('agrees with a Map whatever is added and removed, also when keys collide (property)', () => {
    const step = fc.record({ add: fc.boolean(), name: fc.nat(60) })
    for (const hash of [new HalfSipHash(1, 2), new Constant(0, 0), new Poor(0, 0)]) {
      fc.assert(
        fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
          const table = new FlowTable<Entry>(hash, 40)
          const model = new Map<number, Entry>()
          for (const { add, name } of steps) {
            if (add) {
              const entry = { name }
              const room = !model.has(name) && model.size < 40
              expect(table.add(keyOf(name), entry)).to.equal(room)
              if (room) model.set(name, entry)
            } else {
              expect(table.remove(keyOf(name))).to.equal(model.get(name) ?? null)
              model.delete(name)
            }
            expect(table.length).to.equal(model.size)
          }
          for (let name = 0; name <= 60; name++)
            expect(table.get(keyOf(name))).to.equal(model.get(name) ?? null)
        }),
        { numRuns: 100 },
      )
    }
  })
})
