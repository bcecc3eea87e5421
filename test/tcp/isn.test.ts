import { expect } from 'chai'
import fc from 'fast-check'
import { createFlowKey, setIpv4Flow } from '../../lib/demux/flow-key.ts'
import { Random } from '../../lib/random/random.ts'
import { seededRandom } from '../../lib/random/seeded.ts'
import { InitialSequence, timestampAt } from '../../lib/tcp/isn.ts'
import { MICROSECOND, MILLISECOND, SECOND } from '../../lib/time/clock.ts'

const make = (seed = 1): InitialSequence => new InitialSequence(new Random(seededRandom(seed)))

function flow(
  localPort = 40000,
  remotePort = 80,
  local = 0x0a000001,
  remote = 0x0a000002,
  device = 0,
): Int32Array {
  const key = createFlowKey()
  setIpv4Flow(key, local, localPort, remote, remotePort, device)
  return key
}

/** Mean number of bits in which the neighbours of a list differ. */
function differingBits(values: readonly number[]): number {
  let bits = 0
  for (let i = 1; i < values.length; i++) {
    for (let x = values[i]! ^ values[i - 1]!; x !== 0; x &= x - 1) bits++
  }
  return bits / (values.length - 1)
}

describe('initial sequence numbers', () => {
  it('tcp-iss-clock, tcp-isn-sametuple: grow by one in 64 ns for one four-tuple', () => {
    const isn = make()
    const at = (now: number): number => isn.sequence(flow(), now)
    expect((at(64) - at(0)) | 0).to.equal(1)
    expect((at(4 * MICROSECOND) - at(0)) | 0).to.equal(62)
    expect((at(SECOND) - at(0)) | 0).to.equal(15_625_000)
    // Over the wrap, and after a month of running.
    expect((at(2 ** 32 * 64 + 640) - at(640)) | 0).to.equal(0)
    expect((at(30 * 86400 * SECOND + SECOND) - at(30 * 86400 * SECOND)) | 0).to.equal(15_625_000)
  })

  it('tcp-isn: tell nothing of those of neighbouring four-tuples (hardening-4)', () => {
    const isn = make()
    const byPort = Array.from({ length: 400 }, (_, i) => isn.sequence(flow(40000 + i), SECOND))
    const byPeer = Array.from({ length: 400 }, (_, i) => isn.sequence(flow(40000, 80, 0x0a000001, i), SECOND))
    for (const values of [byPort, byPeer]) {
      expect(new Set(values).size).to.equal(400)
      expect(differingBits(values)).to.be.closeTo(16, 1)
      const steps = values.slice(1).map((value, i) => (value - values[i]!) | 0)
      expect(new Set(steps).size).to.equal(399)
    }
  })

  it('depend on the key, and on nothing else of the flow than the four-tuple', () => {
    expect(make(1).sequence(flow(), 0)).to.not.equal(make(2).sequence(flow(), 0))
    expect(make(1).sequence(flow(), 0)).to.equal(make(1).sequence(flow(), 0))
    const bound = flow(40000, 80, 0x0a000001, 0x0a000002, 7)
    expect(make().sequence(bound, 0)).to.equal(make().sequence(flow(), 0))
    expect(make().timestampOffset(bound)).to.equal(make().timestampOffset(flow()))
    expect(make().sequence(flow(1, 2), 0)).to.not.equal(make().sequence(flow(2, 1), 0))
  })
})

describe('timestamp offsets', () => {
  it('are the same for one four-tuple and unrelated between two (hardening-5)', () => {
    const isn = make()
    const offsets = Array.from({ length: 400 }, (_, i) => isn.timestampOffset(flow(40000 + i)))
    expect(new Set(offsets).size).to.equal(400)
    expect(differingBits(offsets)).to.be.closeTo(16, 1)
    expect(isn.timestampOffset(flow(40007))).to.equal(offsets[7])
  })

  it('come from another key than sequence numbers', () => {
    const isn = make()
    const both = Array.from({ length: 200 }, (_, i) => [
      isn.sequence(flow(40000 + i), 0),
      isn.timestampOffset(flow(40000 + i)),
    ]).flat()
    expect(differingBits(both)).to.be.closeTo(16, 1)
  })

  it('property: the clock ticks once a millisecond, across the wrap', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 50 }), fc.nat(1000), fc.integer(), (now, later, offset) => {
        const then = Math.floor(now / MILLISECOND) * MILLISECOND
        expect((timestampAt(then + later * MILLISECOND, offset) - timestampAt(then, offset)) | 0).to.equal(
          later,
        )
        expect(timestampAt(then + MILLISECOND - 1, offset)).to.equal(timestampAt(then, offset))
      }),
    )
  })
})
