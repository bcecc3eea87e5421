import { expect } from 'chai'
import { parseIpv4 } from '../../../lib/address/ipv4-address.ts'
import { emitIpv4Header, parseIpv4Header } from '../../../lib/wire/ipv4.ts'
import { PathRig } from './path-rig.ts'

/** Packets of 1000 bytes at 8 Mbit/s: one takes a millisecond. */
function flood(rig: PathRig, milliseconds: number, perMillisecond: number): number[] {
  const waits: number[] = []
  let owed = 0
  for (let i = 0; i < milliseconds; i++) {
    owed += perMillisecond
    rig.send(Math.floor(owed))
    owed -= Math.floor(owed)
    rig.pass(1).take()
    waits.push(rig.device.out.queueLength)
  }
  return waits
}

describe('CoDel (RFC 8289)', () => {
  const codel = { rate: '8mbit', queue: 'codel' } as const

  it('leaves a queue alone that is short, or long for less than an interval', () => {
    const rig = new PathRig(codel)
    flood(rig, 1000, 1)
    rig.send(80).pass(90) // a burst that is gone within 100 ms
    expect(rig.device.out.counters.queueDropped).to.equal(0)
  })

  it('drops the first packet once the queue has stood for an interval, and then at interval/√count', () => {
    const rig = new PathRig(codel)
    const times: number[] = []
    rig.device.out.observer = { delivered: () => {}, dropped: () => void times.push(rig.clock.now() / 1e6) }
    rig.send(20)
    flood(rig, 600, 1) // 20 packets always wait: 20 ms each
    const steps = times.slice(1).map((time, i) => time - times[i]!)
    expect(times[0]).to.be.within(100, 112)
    expect(steps[0]).to.be.within(98, 102)
    expect(steps[1]).to.be.within(69, 73) // 100/√2
    expect(steps[2]).to.be.within(56, 60) // 100/√3
    expect(steps[3]).to.be.within(48, 52)
  })

  it('brings a queue that is fed a little too fast down to its target, where drop-tail stays full', () => {
    const tail = flood(new PathRig({ rate: '8mbit', queue: 200 }), 8000, 1.05).slice(-1000)
    const short = flood(
      new PathRig({ rate: '8mbit', queue: { discipline: 'codel', packets: 200 } }),
      20_000,
      1.02,
    )
    const mean = (list: readonly number[]): number => list.reduce((sum, n) => sum + n, 0) / list.length
    expect(mean(tail)).to.be.greaterThan(190)
    expect(mean(short.slice(-1000))).to.be.lessThan(20)
  })

  it('takes target and interval', () => {
    const queue = { discipline: 'codel', target: '30ms', interval: '100ms' } as const
    const rig = new PathRig({ rate: '8mbit', queue }).send(20)
    flood(rig, 600, 1)
    expect(rig.device.out.counters.queueDropped).to.equal(0)
  })

  it('marks what understands ECN instead, with a right header checksum, and drops the rest', () => {
    const queue = { discipline: 'codel', ecn: true } as const
    for (const tos of [0, 1, 2, 3]) {
      const rig = new PathRig({ rate: '8mbit', queue })
      const bytes = new Uint8Array(1000)
      const [source, destination] = [parseIpv4('10.0.0.1'), parseIpv4('10.0.0.2')]
      emitIpv4Header({ source, destination, protocol: 17, totalLength: 1000, tos }, bytes, 0)
      for (let i = 0; i < 30; i++) rig.host.sendBytes(bytes)
      for (let i = 0; i < 600; i++) {
        rig.host.sendBytes(bytes)
        rig.pass(1)
      }
      const { marked, queueDropped } = rig.device.out.counters
      const arrived = rig.take().map((packet) => parseIpv4Header(packet, 0, packet.length))
      for (const header of arrived) expect(header).to.be.an('object') // its checksum is right
      const congested = arrived.filter((header) => typeof header === 'object' && (header.tos & 3) === 3)
      if (tos === 0) {
        expect(marked).to.equal(0)
        expect(queueDropped).to.be.within(5, 20)
        expect(congested).to.have.length(0)
      } else {
        expect(marked).to.be.within(5, 30)
        expect(queueDropped).to.equal(0)
        if (tos !== 3) expect(congested).to.have.length(marked)
      }
    }
  })

  it('is bounded', () => {
    const rig = new PathRig({ rate: '8mbit', queue: { discipline: 'codel', packets: 10 } }).send(50)
    expect(rig.device.out.counters.queueDropped).to.equal(39)
  })
})
