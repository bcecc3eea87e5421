import { expect } from 'chai'
import fc from 'fast-check'
import { createFlowKey, localPort, remotePort, setIpv4Flow } from '../../lib/demux/flow-key.ts'
import { PortRange } from '../../lib/demux/ports.ts'
import { Random } from '../../lib/random/random.ts'
import { seededRandom } from '../../lib/random/seeded.ts'
import { EphemeralPorts } from '../../lib/tcp/ephemeral-ports.ts'
import { SECOND } from '../../lib/time/clock.ts'

const DEFAULT = new PortRange(32768, 60999)
const make = (seed = 1): EphemeralPorts => new EphemeralPorts(new Random(seededRandom(seed)))

function flow(remote = 0x0a000002, port = 80): Int32Array {
  const key = createFlowKey()
  setIpv4Flow(key, 0x0a000001, 0, remote, port, 0)
  return key
}

const always = (): boolean => true

describe('EphemeralPorts', () => {
  it('dial-ports: begins anywhere in the range for each destination, in no steps (hardening-6)', () => {
    const ports = make()
    const starts = Array.from({ length: 500 }, (_, i) => ports.pick(flow(i), DEFAULT, 0, always))
    for (const port of starts) expect(port).to.be.within(32768, 60999)
    const eighths = new Set(starts.map((port) => Math.floor(((port - 32768) * 8) / (60999 - 32768 + 1))))
    expect(eighths.size).to.equal(8)
    const steps = starts.slice(1).map((port, i) => port - starts[i]!)
    expect(new Set(steps).size).to.be.greaterThan(450)
    expect(make(2).pick(flow(0), DEFAULT, 0, always)).to.not.equal(starts[0])
  })

  it('gives one destination the ports of one parity in turn, now and then leaving one out', () => {
    const ports = make()
    const given = Array.from({ length: 2000 }, () => ports.pick(flow(), DEFAULT, 0, always))
    expect(given.every((port) => port % 2 === 0)).to.equal(true)
    const steps = given.slice(1).map((port, i) => port - given[i]!)
    const single = steps.filter((step) => step === 2).length
    const double = steps.filter((step) => step === 4).length
    expect(single + double).to.be.at.least(1999 - 1)
    expect(double).to.be.within(80, 175)
  })

  it('begins elsewhere every ten seconds, and for another port of the peer', () => {
    const ports = make()
    const at = (now: number, port = 80): number => ports.pick(flow(1, port), DEFAULT, now, always)
    const first = at(0)
    expect(Math.abs(at(9 * SECOND) - first)).to.be.at.most(4)
    const later = Array.from({ length: 20 }, (_, i) => at((i + 1) * 10 * SECOND))
    const beside = Array.from({ length: 20 }, (_, i) => at(0, 81 + i))
    for (const others of [later, beside]) {
      expect(others.filter((port) => Math.abs(port - first) < 10).length).to.be.at.most(1)
    }
  })

  it('puts the port into the key that the question is asked with, and 0 if there is none', () => {
    const ports = make()
    const key = flow(1, 443)
    const port = ports.pick(key, new PortRange(5000, 5001), 0, (asked) => {
      expect(asked).to.equal(key)
      return localPort(asked) === 5001
    })
    expect([port, localPort(key), remotePort(key)]).to.deep.equal([5001, 5001, 443])
    expect(ports.pick(key, DEFAULT, 0, () => false)).to.equal(0)
    expect([localPort(key), remotePort(key)]).to.deep.equal([0, 443])
  })

  it('property: finds every free port, those of the parity of the first before the others, none twice', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 65535 }),
        fc.integer({ min: 1, max: 70 }),
        fc.func(fc.boolean()),
        fc.nat(),
        (low, size, isTaken, seed) => {
          const range = new PortRange(low, Math.min(low + size - 1, 65535))
          const taken = new Set<number>()
          for (let port = range.low; port <= range.high; port++) if (isTaken(port)) taken.add(port)
          const free = range.high - range.low + 1 - taken.size
          const ports = make(seed)
          const given: number[] = []
          for (let i = 0; i < free; i++) {
            const asked: number[] = []
            const port = ports.pick(flow(), range, 0, (key) => {
              asked.push(localPort(key))
              return !taken.has(localPort(key))
            })
            expect(new Set(asked).size, 'asked twice').to.equal(asked.length)
            given.push(port)
            taken.add(port)
          }
          expect(new Set(given).size).to.equal(free)
          for (const port of given) expect(port).to.be.within(range.low, range.high)
          const otherParity = given.map((port) => (port - low) % 2)
          expect([...otherParity].sort()).to.deep.equal(otherParity)
          expect(ports.pick(flow(), range, 0, (key) => !taken.has(localPort(key)))).to.equal(0)
        },
      ),
      { numRuns: 50 },
    )
  })
})
