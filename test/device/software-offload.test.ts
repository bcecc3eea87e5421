import { expect } from 'chai'
import fc from 'fast-check'
import type { LinkFeatures, LinkHost } from '../../lib/device/link-device.ts'
import { NetDevice, type NetDeviceOwner } from '../../lib/device/net-device.ts'
import { createPipe } from '../../lib/device/pipe.ts'
import { completeChecksum } from '../../lib/packet/complete-checksum.ts'
import { Checksum, Gso, type Packet } from '../../lib/packet/packet.ts'
import { PacketPool } from '../../lib/packet/packet-pool.ts'
import { DropReason } from '../../lib/wire/drop-reason.ts'
import { plainSegments, superPacket, tcpPacket, udpPacket } from '../offload/segments.ts'
import { numbered, numberOf, TestHost } from './test-host.ts'

const NOTHING = { checksum: false, tso: false, tsoEcn: false, uso: false }
const ALL = { checksum: true, tso: true, tsoEcn: true, uso: true }

/** A pipe end with the given features as a network device, and what comes out of the other end. */
class Bench implements NetDeviceOwner {
  readonly dropped: number[] = []
  readonly device: NetDevice
  readonly far: TestHost
  readonly host: TestHost

  constructor(features: Partial<LinkFeatures>, queue = 1000, pool = new TestHost().pool) {
    const [near, farEnd] = createPipe({ queue, mtu: 65535, features })
    this.far = new TestHost().connect(farEnd)
    this.host = new TestHost(pool)
    this.device = new NetDevice(near, 7, 'pipe7', this)
    const host: LinkHost = {
      pool,
      clock: this.host.clock,
      receive: (burst) => burst.clear(),
      schedule: () => {},
      wake: () => this.device.wake(),
      changed: () => {},
    }
    near.attach(host)
    near.setUp(true)
    farEnd.setUp(true)
    this.device.up = true
  }

  transmitPending(): void {}

  drop(packet: Packet, reason: number): void {
    this.dropped.push(reason)
    packet.free()
  }

  super(bytes: Uint8Array, gsoSize: number): Packet {
    return superPacket(this.host.pool, bytes, gsoSize)
  }

  /** What arrives while the device is flushed until nothing waits. */
  drain(): Packet[] {
    const packets: Packet[] = []
    for (;;) {
      this.device.flush()
      this.far.poll()
      if (this.far.received.length === 0) break
      packets.push(...this.far.received.splice(0))
    }
    return packets
  }
}

function bytesOf(packets: Packet[]): Uint8Array[] {
  return packets.map((packet) => {
    const bytes = packet.toUint8Array()
    packet.free()
    return bytes
  })
}

describe('software offload', () => {
  const payload = Uint8Array.from({ length: 10_000 }, (_, i) => i * 7)
  const whole = tcpPacket({ payload, id: 3 })

  it('cuts, and completes checksums, for a device that does nothing itself', () => {
    const bench = new Bench(NOTHING)
    bench.device.enqueue(bench.super(whole, 1460))
    bench.device.enqueue(bench.super(udpPacket({ payload }), 1472))
    const expected = [...plainSegments(whole, 1460), ...plainSegments(udpPacket({ payload }), 1472)]
    const packets = bench.drain()
    expect(packets.every(({ checksum }) => checksum === Checksum.NONE)).to.equal(true)
    expect(bytesOf(packets)).to.deep.equal(expected)
    expect(bench.host.pool.outstanding).to.equal(0)
    expect(bench.device.link.stats.get('txPackets')).to.equal(expected.length)
  })

  it('leaves to the device what it can do', () => {
    const through = (features: Partial<LinkFeatures>, change: (packet: Packet) => void): number => {
      const bench = new Bench({ ...ALL, ...features })
      const packet = bench.super(whole, 1460)
      change(packet)
      bench.device.enqueue(packet)
      const packets = bench.drain()
      for (const one of packets) {
        expect(one.checksum).to.equal(features.checksum === false ? Checksum.NONE : Checksum.PARTIAL)
        one.free()
      }
      return packets.length
    }
    const ecn = (packet: Packet): void => void (packet.gsoEcn = true)
    expect(through({}, () => {})).to.equal(1)
    expect(through({}, ecn)).to.equal(1)
    expect(through({ tsoEcn: false }, () => {})).to.equal(1)
    expect(through({ tsoEcn: false }, ecn)).to.equal(7)
    expect(through({ uso: false }, () => {})).to.equal(1)
    expect(through({ tso: false }, () => {})).to.equal(7)
    expect(through({ checksum: false }, () => {})).to.equal(7)
    expect(through({ gsoMaxSize: 10_040 }, () => {})).to.equal(1)
    expect(through({ gsoMaxSize: 10_039 }, () => {})).to.equal(7)
    expect(through({}, (packet) => void (packet.gsoFixedId = true))).to.equal(7)
  })

  describe('a body that lies elsewhere', () => {
    /** The super-segment with all but its headers in memory of its own. */
    const gathered = (bench: Bench): { packet: Packet; done: () => number } => {
      const packet = superPacket(bench.host.pool, whole.subarray(0, 40), 1460)
      let done = 0
      packet.body = Uint8Array.from(whole.subarray(40))
      packet.bodyDone = () => void done++
      packet.gsoSegments = 7
      return { packet, done: () => done }
    }

    for (const [title, features, expected, stays] of [
      ['is left there for a device that gathers', { ...ALL, gather: true }, [whole], true],
      ['is put behind the rest for a device that does not', ALL, [whole], false],
      ['is cut like any other', NOTHING, plainSegments(whole, 1460), false],
    ] as const) {
      it(title, () => {
        const bench = new Bench(features)
        const { packet, done } = gathered(bench)
        bench.device.enqueue(packet)
        const packets = bench.drain()
        expect(packets.some(({ body }) => body !== null)).to.equal(stays)
        expect(done(), 'given back').to.equal(stays ? 0 : 1)
        for (const one of packets) if (one.checksum === Checksum.PARTIAL) completeChecksum(one)
        const complete = bytesOf(packets)
        expect(done()).to.equal(1)
        if (features === NOTHING) expect(complete).to.deep.equal(expected)
        else expect(complete[0]!.subarray(40)).to.deep.equal(whole.subarray(40))
        expect(bench.host.pool.outstanding).to.equal(0)
      })
    }

    it('is put behind the rest of a plain packet, too', () => {
      const bench = new Bench(NOTHING)
      const packet = bench.host.packet(numbered(1).subarray(0, 20))
      packet.body = numbered(1).subarray(20)
      bench.device.enqueue(packet)
      const packets = bench.drain()
      expect(packets.map(({ body }) => body)).to.deep.equal([null])
      expect(bytesOf(packets)).to.deep.equal([numbered(1)])
    })

    it('is a drop when there is no memory to put it into', () => {
      const pool = new PacketPool({ limit: 2048 * 64 })
      const bench = new Bench(ALL, 1000, pool)
      const { packet, done } = gathered(bench)
      bench.device.enqueue(packet)
      expect(bench.drain()).to.have.length(0)
      expect(bench.dropped).to.deep.equal([DropReason.NOMEM])
      expect(done()).to.equal(1)
    })
  })

  it('stops in the middle of a super-segment when the driver has enough, and shows each segment to taps once', () => {
    const bench = new Bench(NOTHING, 2)
    const seen: Uint8Array[] = []
    bench.device.taps.push((packet) => void seen.push(packet.toUint8Array()))
    const large = tcpPacket({ payload: new Uint8Array(60_000).map((_, i) => i), id: 0xfff0 })
    bench.device.enqueue(bench.host.packet(numbered(1)))
    bench.device.enqueue(bench.super(large, 500))
    bench.device.enqueue(bench.host.packet(numbered(2)))
    const expected = [numbered(1), ...plainSegments(large, 500), numbered(2)]
    expect(bytesOf(bench.drain())).to.deep.equal(expected)
    expect(seen).to.deep.equal(expected)
    expect(bench.host.pool.outstanding).to.equal(0)
  })

  it('property: whatever is queued and however little the driver takes, all of it comes out in order', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.record({ size: fc.integer({ min: 1, max: 9000 }), gso: fc.integer({ min: 30, max: 3000 }) }),
            fc.constant(null),
          ),
          { maxLength: 8 },
        ),
        fc.integer({ min: 1, max: 90 }),
        fc.boolean(),
        (items, queue, purged) => {
          const bench = new Bench(NOTHING, queue)
          const expected: Uint8Array[] = []
          for (const [i, item] of items.entries()) {
            const bytes = tcpPacket({ payload: new Uint8Array(item === null ? 9 : item.size).fill(i), id: i })
            if (item === null || item.size <= item.gso) {
              bench.device.enqueue(bench.host.packet(bytes))
              expected.push(bytes)
            } else {
              bench.device.enqueue(bench.super(bytes, item.gso))
              expected.push(...plainSegments(bytes, item.gso))
            }
          }
          bench.device.flush()
          if (purged) bench.device.purge()
          const arrived = bytesOf(bench.drain())
          expect(arrived).to.deep.equal(purged ? expected.slice(0, arrived.length) : expected)
          // After a purge the next super-segment begins anew.
          bench.device.enqueue(bench.super(whole, 1460))
          expect(bytesOf(bench.drain())).to.deep.equal(plainSegments(whole, 1460))
          expect(bench.host.pool.outstanding).to.equal(0)
        },
      ),
      { numRuns: 60 },
    )
  })

  it('drops and counts what it cannot cut, and what there is no memory for', () => {
    const bench = new Bench(NOTHING)
    const bad = bench.super(whole, 1460)
    bad.gsoType = Gso.UDP_L4
    bench.device.enqueue(bad)
    bench.device.enqueue(bench.host.packet(numbered(1)))
    expect(bytesOf(bench.drain()).map(numberOf)).to.deep.equal([1])
    expect(bench.dropped).to.deep.equal([DropReason.SKB_GSO_SEG])
    expect(bench.device.link.stats.get('txDropped')).to.equal(1)

    const poor = new Bench(NOTHING, 1000, new TestHost().pool)
    const packet = poor.super(whole, 1460)
    const hoard: Packet[] = []
    for (let one = poor.host.pool.allocate(1500); one !== null; one = poor.host.pool.allocate(1500))
      hoard.push(one)
    hoard.pop()!.free()
    hoard.pop()!.free()
    poor.device.enqueue(packet)
    expect(poor.drain().map((one) => one.free())).to.have.length(2)
    expect(poor.dropped).to.deep.equal([DropReason.NOMEM])
    for (const one of hoard) one.free()
    expect(poor.host.pool.outstanding).to.equal(0)
  })

  it('completes a checksum without touching bytes that others share', () => {
    const bench = new Bench(NOTHING)
    const single = udpPacket({ payload: payload.subarray(0, 101) })
    const packet = bench.super(single, 0)
    packet.gsoType = Gso.NONE
    packet.bytes[packet.start + 26] = 0x12
    packet.bytes[packet.start + 27] = 0x34
    const twin = bench.host.pool.clone(packet)
    const before = twin.toUint8Array()
    bench.device.enqueue(packet)
    const [sent] = bench.drain()
    expect(sent!.checksum).to.equal(Checksum.NONE)
    expect(twin.checksum).to.equal(Checksum.PARTIAL)
    expect(twin.toUint8Array()).to.deep.equal(before)
    completeChecksum(twin)
    expect(sent!.toUint8Array()).to.deep.equal(twin.toUint8Array())
    sent!.free()
    twin.free()
    expect(bench.host.pool.outstanding).to.equal(0)
  })
})
