import { expect } from 'chai'
import { Identification } from '../../lib/ipv4/identification.ts'
import { Random } from '../../lib/random/random.ts'
import { seededRandom } from '../../lib/random/seeded.ts'
import { HalfSipHash } from '../../lib/random/siphash.ts'
import { SECOND } from '../../lib/time/clock.ts'

const HOST = 0x0a000001

function identification(seed = 1): Identification {
  const random = new Random(seededRandom(seed))
  return new Identification(new HalfSipHash(random.int32(), random.int32()), random)
}

describe('Identification', () => {
  it('frag-out-id: consecutive datagrams to one peer differ, for a whole cycle', () => {
    const ids = identification()
    const seen = new Set<number>()
    for (let i = 0; i < 65536; i++) seen.add(ids.next(HOST, 0x0a000002, 1, SECOND))
    expect(seen.size).to.equal(65536)
    for (const id of seen) expect(id).to.be.within(0, 65535)
  })

  it('hardening-7: traffic to others does not show in what one peer sees', () => {
    const quiet = identification()
    const busy = identification()
    for (let i = 0; i < 100; i++) {
      const now = SECOND
      expect(busy.next(HOST, 0x0a000002, 1, now)).to.equal(quiet.next(HOST, 0x0a000002, 1, now))
      for (let other = 0; other < 10; other++) busy.next(HOST, 0x0b000000 + other, 1, now)
    }
  })

  it('hardening-7: peers, protocols and stacks start at unrelated values', () => {
    const first = identification(1)
    const second = identification(2)
    const starts = new Set<number>()
    for (let peer = 0; peer < 50; peer++) {
      starts.add(first.next(HOST, 0x0a000100 + peer, 1, 0))
      starts.add(first.next(HOST, 0x0a000100 + peer, 17, 0))
      starts.add(second.next(HOST, 0x0a000100 + peer, 1, 0))
    }
    expect(starts.size).to.be.above(140)
  })

  it('jumps by less than the milliseconds since the last use', () => {
    const ids = identification()
    let last = ids.next(HOST, 0x0a000002, 1, 0)
    const jumps = new Set<number>()
    for (let i = 1; i <= 50; i++) {
      const id = ids.next(HOST, 0x0a000002, 1, i * SECOND)
      const jump = (id - last) & 0xffff
      expect(jump).to.be.within(1, 1000)
      jumps.add(jump)
      last = id
    }
    expect(jumps.size).to.be.above(30)
  })

  it('keeps a range for a super-segment', () => {
    const ids = identification()
    const first = ids.next(HOST, 0x0a000002, 6, 0, 44)
    expect((ids.next(HOST, 0x0a000002, 6, 0) - first) & 0xffff).to.equal(44)
  })
})
