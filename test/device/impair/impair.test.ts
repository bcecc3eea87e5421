import { expect } from 'chai'
import fc from 'fast-check'
import { impairDevice } from '../../../lib/device/impair/impair.ts'
import type { Impairment } from '../../../lib/device/impair/link-path.ts'
import { createPipe } from '../../../lib/device/pipe.ts'
import { Checksum } from '../../../lib/packet/packet.ts'
import { seededRandom } from '../../../lib/random/seeded.ts'
import { MILLISECOND } from '../../../lib/time/clock.ts'
import type { VirtualClock } from '../../../lib/time/virtual-clock.ts'
import { DropReason } from '../../../lib/wire/drop-reason.ts'
import { pipeRig } from '../pipe-rig.ts'
import { numbered, numberOf } from '../test-host.ts'
import { PathRig } from './path-rig.ts'

const counting = (n: number): number[] => Array.from({ length: n }, (_, i) => i)

describe('impairDevice', () => {
  it('delay: everything arrives so much later, in order', () => {
    const rig = new PathRig({ delay: '20ms' }).send(3).pass(5).send(1, 1000, 3).pass(14.9)
    expect(rig.arrivals).to.deep.equal([])
    rig.pass(100)
    expect(rig.arrivals).to.deep.equal([
      [0, 20],
      [1, 20],
      [2, 20],
      [3, 25],
    ])
    expect(rig.take().map(numberOf)).to.deep.equal([0, 1, 2, 3])
  })

  it('jitter: within its bounds, evenly, and packets keep their order', () => {
    const rig = new PathRig({ delay: '20ms', jitter: '5ms' })
    for (let i = 0; i < 1000; i++) rig.send(1, 40, i).pass(20)
    rig.pass(100)
    const late = rig.times.map((time, i) => time - i * 20)
    expect(Math.min(...late)).to.be.within(15, 15.1)
    expect(Math.max(...late)).to.be.within(24.9, 25)
    expect(late.reduce((sum, each) => sum + each, 0) / 1000).to.be.within(19.7, 20.3)
    const crowded = new PathRig({ delay: '20ms', jitter: '20ms' }).send(200).pass(100)
    expect(crowded.numbers).to.deep.equal(counting(200))
  })

  it('rate: each packet takes the time of its bytes, and of the overhead', () => {
    expect(new PathRig({ rate: '8mbit' }).send(3).pass(10).times).to.deep.equal([1, 2, 3])
    expect(new PathRig({ rate: '8mbit', overhead: 250, delay: 10 }).send(3).pass(30).times).to.deep.equal([
      11.25, 12.5, 13.75,
    ])
  })

  it('rate: a link that was idle begins at once, not in the past', () => {
    const rig = new PathRig({ rate: '8mbit' }).send(1).pass(50).send(2, 1000, 1).pass(50)
    expect(rig.times).to.deep.equal([1, 51, 52])
  })

  it('a packet costs one wake-up, however many wait', () => {
    const rig = new PathRig({ rate: '8mbit', delay: '20ms' }).send(100)
    const before = rig.clock.fired
    rig.pass(1000)
    expect(rig.arrivals).to.have.length(100)
    expect(rig.clock.fired - before).to.be.within(100, 101)
  })

  it('drop-tail: what comes last is dropped, under a reason, when packets or bytes are too many', () => {
    const rig = new PathRig({ rate: '8mbit', queue: 10 }).send(20).pass(100)
    expect(rig.numbers).to.deep.equal(counting(11)) // one is being sent
    expect(rig.host.dropped).to.deep.equal(new Array(9).fill(DropReason.QDISC_DROP))
    expect(rig.device.out.counters.queueDropped).to.equal(9)
    expect(new PathRig({ rate: '8mbit', queue: '4kb' }).send(20).pass(100).numbers).to.have.length(5)
    const both = { discipline: 'drop-tail', packets: 3, bytes: '64kb' } as const
    expect(new PathRig({ rate: '8mbit', queue: both }).send(20).pass(100).numbers).to.have.length(4)
  })

  it('loss: the share that was asked for, counted as IMPAIRED', () => {
    const rig = new PathRig({ loss: 0.1 })
    for (let i = 0; i < 100; i++) rig.send(64, 40)
    const { lost, delivered, sent } = rig.device.out.counters
    expect(sent).to.equal(6400)
    expect(lost + delivered).to.equal(6400)
    expect(lost / sent).to.be.within(0.08, 0.12)
    expect(rig.host.dropped.every((reason) => reason === DropReason.IMPAIRED)).to.equal(true)
    expect(new PathRig({ loss: '100%' }).send(50).pass(1).numbers).to.have.length(0)
  })

  it('bursty loss: bursts of the length that was asked for', () => {
    const rig = new PathRig({ loss: { enter: 0.01, recover: 0.25 } })
    for (let i = 0; i < 60_000; i += 60) rig.send(60, 40, i).take()
    const arrived = new Set(rig.numbers)
    let bursts = 0
    for (let i = 1; i < 60_000; i++) if (!arrived.has(i) && arrived.has(i - 1)) bursts++
    const lost = 60_000 - arrived.size
    expect(lost / 60_000).to.be.within(0.03, 0.047) // enter / (enter + recover) = 3.8 %
    expect(lost / bursts).to.be.within(3.5, 4.5) // 1 / recover
  })

  it('bursty loss: both states have a rate of their own', () => {
    const rig = new PathRig({ loss: { enter: 0.5, recover: 0.5, bad: 0.4, good: '20%' } })
    for (let i = 0; i < 200; i++) rig.send(50, 40)
    expect(rig.device.out.counters.lost / 10_000).to.be.within(0.27, 0.33)
  })

  it('duplicate: some arrive twice, side by side, each with bytes of its own', () => {
    const rig = new PathRig({ duplicate: 0.2, delay: 1 }).send(500).pass(10)
    const { duplicated } = rig.device.out.counters
    expect(duplicated).to.be.within(70, 130)
    expect(rig.numbers).to.have.length(500 + duplicated)
    expect(rig.numbers).to.deep.equal([...rig.numbers].sort((a, b) => a - b))
    rig.far.poll()
    expect(rig.far.received.every((packet) => packet.writable)).to.equal(true)
    expect(rig.take()).to.have.length(500 + duplicated)
    expect(rig.pool.outstanding).to.equal(0)
  })

  it('reorder: some overtake what is under way', () => {
    const rig = new PathRig({ delay: '10ms', reorder: '5%' })
    for (let i = 0; i < 400; i++) rig.send(1, 40, i).pass(1)
    rig.pass(20)
    const { reordered } = rig.device.out.counters
    expect(reordered).to.be.within(8, 35)
    expect(rig.times.filter((time, i) => time - rig.numbers[i]! === 0)).to.have.length(reordered)
    expect([...rig.numbers].sort((a, b) => a - b)).to.deep.equal(counting(400))
    expect(rig.numbers).to.not.deep.equal(counting(400))
  })

  it('reorder: with a rate, what overtakes has been sent first', () => {
    const rig = new PathRig({ delay: '10ms', rate: '8mbit', reorder: 1 }).send(3).pass(50)
    expect(rig.times).to.deep.equal([1, 2, 3])
  })

  it('corrupt: one bit, and nobody vouches for the checksum any more', () => {
    const rig = new PathRig({ corrupt: 1 })
    const packet = rig.host.packet(numbered(7, 100))
    packet.checksum = Checksum.UNNECESSARY
    const shared = rig.pool.clone(packet)
    rig.host.send([packet])
    rig.far.poll()
    const [arrived] = rig.far.received
    expect(arrived!.checksum).to.equal(Checksum.NONE)
    const difference = arrived!.toUint8Array().map((byte, i) => byte ^ numbered(7, 100)[i]!)
    expect([...difference].filter((bits) => bits !== 0)).to.have.length(1)
    expect(difference.reduce((sum, bits) => sum + bits.toString(2).replaceAll('0', '').length, 0)).to.equal(1)
    expect([...shared.toUint8Array()], 'shared bytes are untouched').to.deep.equal([...numbered(7, 100)])
    shared.free()
    rig.take()
    expect(rig.device.out.counters.corrupted).to.equal(1)
  })

  it('corrupt: a checksum that was left open is completed first, so that the damage can be seen', () => {
    const rig = new PathRig({ corrupt: 1 })
    const packet = rig.host.packet(numbered(7, 40))
    packet.checksum = Checksum.PARTIAL
    packet.checksumStart = packet.start + 20
    packet.checksumOffset = 6
    rig.host.send([packet])
    const [arrived] = rig.take()
    const expected = numbered(7, 40)
    expected[26] = expected[27] = 0xff
    expect([...arrived!].filter((byte, i) => byte !== expected[i])).to.have.length(1)
  })

  it('a cut lets nothing through, and what is under way arrives', () => {
    const rig = new PathRig({ delay: 10 }).send(1).pass(5)
    rig.device.out.cut()
    rig.send(1, 40, 1).pass(20)
    rig.device.out.heal()
    rig.send(1, 40, 2).pass(20)
    expect(rig.numbers).to.deep.equal([0, 2])
    expect(rig.host.dropped).to.deep.equal([DropReason.IMPAIRED])
  })

  it('impairs what comes in as well, each direction by itself', () => {
    const rig = pipeRig((near) => impairDevice(near, { in: { delay: '20ms' }, random: seededRandom(1) }))
    const clock = rig.host.clock as VirtualClock
    rig.device.setUp(true)
    rig.host.sendBytes(numbered(1))
    expect(rig.far.takeReceived()).to.have.length(1)
    void rig.deliver(numbered(2), numbered(3))
    expect(rig.host.takeReceived()).to.have.length(0)
    clock.advance(20 * MILLISECOND - 1)
    expect(rig.host.takeReceived()).to.have.length(0)
    clock.advance(1)
    expect(rig.host.takeReceived().map(numberOf)).to.deep.equal([2, 3])
  })

  it('can be changed while packets are under way', () => {
    const rig = new PathRig({ delay: 20 }).send(1)
    rig.device.out.set({ delay: 5 })
    rig.send(1, 40, 1).pass(30)
    expect(rig.arrivals).to.deep.equal([
      [0, 20],
      [1, 20], // not before the one that it follows
    ])
    rig.device.out.set({ rate: '8mbit' })
    rig.send(2).pass(30)
    expect(rig.times.slice(2)).to.deep.equal([36, 37])
    rig.send(3)
    rig.device.out.set({ rate: Number.POSITIVE_INFINITY, delay: 0 })
    rig.pass(10)
    expect(rig.times.slice(4).every((time) => time < 70)).to.equal(true)
    expect(rig.times).to.have.length(7)
  })

  it('refuses an effect that it does not know, and values that mean nothing, and then has changed nothing', () => {
    const rig = new PathRig({ delay: 20 })
    const wrong = [
      { latency: 5 },
      { delay: '5' },
      { loss: 2 },
      { loss: null },
      { loss: { enter: 3, recover: 1 } },
      { rate: 0 },
      { queue: 0 },
      { queue: 'fq' },
      { queue: { discipline: 'red' } },
      { delay: 1, limit: 0 },
    ]
    for (const impairment of [...wrong, null]) {
      expect(() => rig.device.out.set(impairment as unknown as Impairment), JSON.stringify(impairment))
        .to.throw()
        .with.property('code', 'ERR_INVALID_ARG_VALUE')
    }
    expect(() => impairDevice({} as never)).to.throw(/device must be a LinkDevice/)
    expect(rig.send(1).pass(30).times).to.deep.equal([20])
  })

  it('takes no super-segments, since each packet has its own fate', () => {
    const [left] = createPipe({ features: { tso: true, uso: true } })
    expect(impairDevice(left).features).to.include({ tso: false, uso: false, checksum: true })
  })

  it('is bounded: past the limit packets are dropped', () => {
    const rig = new PathRig({ delay: 20, limit: 10 }).send(15).pass(30)
    expect(rig.numbers).to.have.length(10)
    expect(rig.host.dropped).to.deep.equal(new Array(5).fill(DropReason.FULL_RING))
  })

  it('property: with any effects every packet arrives or is dropped under a reason, and none leaks', () => {
    const probability = fc.constantFrom(0, 0.1, 0.5, 1)
    const impairment = fc.record({
      delay: fc.integer({ min: 0, max: 5 }),
      jitter: fc.integer({ min: 0, max: 5 }),
      rate: fc.constantFrom<number | string>(Number.POSITIVE_INFINITY, '1mbit', '100mbit'),
      queue: fc.constantFrom<number | 'codel' | '3kb'>(2, 100, 'codel', '3kb'),
      loss: probability,
      reorder: probability,
      duplicate: probability,
      corrupt: probability,
    })
    const step = fc.oneof(
      fc.record({ send: fc.integer({ min: 1, max: 100 }) }),
      fc.record({ pass: fc.integer({ min: 0, max: 20 }) }),
      fc.record({ set: impairment }),
      fc.record({ up: fc.boolean() }),
    )
    fc.assert(
      fc.property(impairment, fc.array(step, { maxLength: 20 }), fc.nat(), (first, steps, seed) => {
        const rig = new PathRig(first, seed)
        let up = true
        let refusedBelow = 0
        for (const each of steps) {
          if ('send' in each) {
            if (!up) refusedBelow += each.send
            rig.send(each.send, 200)
          } else if ('pass' in each) rig.pass(each.pass)
          else if ('set' in each) rig.device.out.set(each.set)
          else rig.device.setUp((up = each.up))
        }
        rig.device.out.set({ rate: Number.POSITIVE_INFINITY })
        rig.pass(10_000)
        rig.take()
        const { sent, delivered, duplicated } = rig.device.out.counters
        expect(rig.device.out.length).to.equal(0)
        expect(delivered + rig.host.dropped.length - refusedBelow).to.equal(sent + duplicated)
        expect(rig.pool.outstanding).to.equal(0)
        expect(rig.host.violations).to.deep.equal([])
      }),
      { numRuns: 300 },
    )
  })
})
