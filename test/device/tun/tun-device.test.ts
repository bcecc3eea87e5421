import { expect } from 'chai'
import type { LinkHost } from '../../../lib/device/link-device.ts'
import { NetDevice } from '../../../lib/device/net-device.ts'
import { VNET_HEADER_SIZE } from '../../../lib/device/tun/driver.ts'
import { openTunSync, type TunDevice } from '../../../lib/device/tun/index.ts'
import { TunstackError } from '../../../lib/errors.ts'
import { BURST_SIZE, Burst } from '../../../lib/packet/burst.ts'
import { Checksum, type Packet } from '../../../lib/packet/packet.ts'
import { PacketPool } from '../../../lib/packet/packet-pool.ts'
import { MILLISECOND } from '../../../lib/time/clock.ts'
import { VirtualClock } from '../../../lib/time/virtual-clock.ts'
import { DropReason } from '../../../lib/wire/drop-reason.ts'
import { FakeDriver, type FakeHandle } from './fake-driver.ts'

interface Bench {
  tun: TunDevice
  handle: FakeHandle
  pool: PacketPool
  clock: VirtualClock
  received: Uint8Array[]
  host: LinkHost & { changes: number; onReceive: (burst: Burst) => void }
}

function bench({ limit = 64 << 20, offload = false } = {}): Bench {
  const driver = new FakeDriver()
  const tun = openTunSync({ driver, offload })
  const clock = new VirtualClock()
  const pool = new PacketPool({ limit })
  const received: Uint8Array[] = []
  const host = {
    pool,
    clock,
    changes: 0,
    onReceive: (_burst: Burst) => {},
    receive(burst: Burst) {
      for (let i = 0; i < burst.length; i++) {
        const packet = burst.packets[i]!
        expect(packet.networkHeader).to.equal(packet.start)
        expect(packet.checksum).to.equal(Checksum.NONE)
        received.push(packet.toUint8Array())
        packet.free()
      }
      host.onReceive(burst)
      burst.clear()
    },
    schedule: () => {},
    wake: () => {},
    changed: () => {
      host.changes++
    },
  }
  tun.attach(host)
  return { tun, handle: driver.handles[0]!, pool, clock, received, host }
}

function bytes(length: number, first: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (first + i) & 255)
}

function burstOf(...packets: Packet[]): Burst {
  const burst = new Burst()
  for (const packet of packets) burst.push(packet)
  return burst
}

describe('TunDevice', () => {
  it('is a point-to-point device without ARP, as Linux has it', () => {
    const { tun } = bench()
    expect(tun).to.include({
      type: 'none',
      flags: 0x1090,
      mtu: 1500,
      minMtu: 68,
      maxMtu: 65535,
      qdisc: 'pfifo_fast',
      txQueueLength: 500,
      carrier: true,
      gone: false,
      error: null,
    })
  })

  it('reads nothing before it is up, and hands bursts up in order then', () => {
    const { tun, handle, pool, received } = bench()
    expect(handle.reading).to.equal(false)
    tun.setUp(true)
    expect(handle.armed).to.equal(BURST_SIZE)
    const packets = Array.from({ length: 5 }, (_, i) => bytes(20 + i, i))
    expect(handle.deliver(packets)).to.equal(5)
    expect(received).to.deep.equal(packets)
    expect(handle.armed).to.equal(BURST_SIZE)
    expect(pool.outstanding).to.equal(BURST_SIZE)
    expect(tun.stats.get('rxPackets')).to.equal(5)
    expect(tun.stats.get('rxBytes')).to.equal(20 + 21 + 22 + 23 + 24)
  })

  it('hands up a full burst, again and again', () => {
    const { tun, handle, received } = bench()
    tun.setUp(true)
    const packets = Array.from({ length: BURST_SIZE }, (_, i) => bytes(40, i))
    for (let round = 0; round < 10; round++) expect(handle.deliver(packets)).to.equal(BURST_SIZE)
    expect(received.length).to.equal(10 * BURST_SIZE)
    expect(received.at(-1)).to.deep.equal(packets.at(-1))
  })

  it('gives its packets back when it goes down, and loses what arrives meanwhile', () => {
    const { tun, handle, pool, received } = bench()
    tun.setUp(true)
    tun.setUp(false)
    expect(handle.reading).to.equal(false)
    expect(pool.outstanding).to.equal(0)
    handle.backlog = 3
    tun.setUp(true)
    expect(tun.stats.get('rxDropped')).to.equal(3)
    handle.deliver([bytes(20, 1)])
    expect(received.length).to.equal(1)
  })

  it('keeps what waits when it comes up for the first time, and over pause() and resume()', () => {
    const { tun, handle } = bench()
    handle.backlog = 3
    tun.setUp(true)
    tun.pause()
    expect(handle.reading).to.equal(false)
    tun.resume()
    expect(handle.reading).to.equal(true)
    expect(handle.backlog).to.equal(3)
  })

  it('reads on with what the pool still gives, rests when it gives nothing, and comes back', () => {
    const { tun, handle, pool, clock, received, host } = bench({ limit: 64 * 2048 })
    tun.setUp(true)
    const kept: Packet[] = []
    const take = host.receive
    host.receive = (burst) => {
      for (let i = 0; i < burst.length; i++) kept.push(burst.packets[i]!)
      burst.clear()
    }
    expect(handle.deliver([bytes(30, 1), bytes(30, 2)])).to.equal(2)
    expect(handle.armed).to.equal(BURST_SIZE - 2)
    expect(handle.deliver(Array.from({ length: 64 }, (_, i) => bytes(30, i)))).to.equal(BURST_SIZE - 2)
    expect(handle.armed).to.equal(0)
    expect(tun.stats.get('rxMissedErrors')).to.equal(1)
    clock.advance(MILLISECOND)
    expect(tun.stats.get('rxMissedErrors')).to.equal(2)
    for (const packet of kept.splice(0, 10)) packet.free()
    clock.advance(MILLISECOND)
    expect(handle.armed).to.equal(10)
    for (const packet of kept.splice(0)) packet.free()
    host.receive = take
    handle.deliver([bytes(30, 7)])
    expect(received).to.deep.equal([bytes(30, 7)])
    expect(handle.armed).to.equal(BURST_SIZE)
    expect(pool.outstanding).to.equal(BURST_SIZE)
  })

  it('stops asking the pool when it is closed while the pool is empty', () => {
    const { tun, handle, pool, clock, host } = bench({ limit: 64 * 2048 })
    const hoard: Packet[] = []
    for (let packet = pool.allocate(100); packet !== null; packet = pool.allocate(100)) hoard.push(packet)
    tun.setUp(true)
    expect(handle.armed).to.equal(0)
    void tun.close()
    for (const packet of hoard) packet.free()
    clock.advance(10 * MILLISECOND)
    expect(pool.outstanding).to.equal(0)
    expect(host.changes).to.equal(1)
  })

  it('reads into larger slots after the MTU was raised', () => {
    const { tun, handle, received } = bench()
    tun.setUp(true)
    tun.setMtu(9000)
    expect(handle.calls).to.include('set MTU 9000')
    handle.deliver([bytes(9000, 1)])
    expect(received).to.deep.equal([bytes(9000, 1)])
    tun.setMtu(65535)
    handle.deliver([bytes(65535, 1)])
    expect(received[1]!.length).to.equal(65535)
  })

  it('drops a packet that was cut because the MTU was raised from outside, and fits the next', () => {
    const { tun, handle, received } = bench()
    tun.setUp(true)
    handle.properties.set(2, 9000)
    handle.deliver([bytes(100, 1), bytes(9000, 1), bytes(100, 2)])
    expect(received).to.deep.equal([bytes(100, 1), bytes(100, 2)])
    expect(tun.stats.get('rxLengthErrors')).to.equal(1)
    expect(tun.stats.get('rxErrors')).to.equal(1)
    handle.deliver([bytes(9000, 3)])
    expect(received[2]!.length).to.equal(9000)
    expect(tun.mtu).to.equal(1500)
  })

  it('refuses an MTU out of range, and passes a refusal of the kernel on', () => {
    const { tun, handle } = bench()
    for (const mtu of [67, 65536, 1.5, Number.NaN]) {
      expect(() => tun.setMtu(mtu))
        .to.throw(TunstackError)
        .with.property('code', 'EINVAL')
    }
    handle.refuseProperty.set(2, -1)
    expect(() => tun.setMtu(1400))
      .to.throw(TunstackError)
      .with.property('code', 'ERR_TUN_PERMISSION')
    expect(tun.mtu).to.equal(1500)
  })

  it('writes a burst in one call, in order, and frees it', () => {
    const { tun, handle, pool } = bench()
    tun.setUp(true)
    const outstanding = pool.outstanding
    const packets = Array.from({ length: BURST_SIZE }, (_, i) => bytes(20 + i, i))
    const burst = burstOf(...packets.map((packet) => pool.from(packet)!))
    expect(tun.transmit(burst)).to.equal(BURST_SIZE)
    expect(handle.calls.filter((call) => call.startsWith('write'))).to.deep.equal([`write ${BURST_SIZE}`])
    expect(handle.written).to.deep.equal(packets)
    expect(pool.outstanding).to.equal(outstanding)
    expect(tun.stats.get('txPackets')).to.equal(BURST_SIZE)
    expect(tun.stats.get('txBytes')).to.equal(packets.reduce((sum, packet) => sum + packet.length, 0))
  })

  it('goes on after a packet that the kernel refuses; an interface that is down is a drop, not an error', () => {
    const { tun, handle, pool, host } = bench()
    const reasons: number[] = []
    host.drop = (packet, reason) => {
      reasons.push(reason)
      packet.free()
    }
    tun.setUp(true)
    expect(tun.refusal).to.equal(null)
    const errnos = [0, -22, 0, -5, -11, -105, 0]
    handle.refuseWrite = (packet) => errnos[packet[0]!]!
    tun.transmit(burstOf(...errnos.map((_, i) => pool.from(bytes(20, i))!)))
    expect(handle.written.map((packet) => packet[0])).to.deep.equal([0, 2, 6])
    expect(tun.stats.snapshot()).to.include({ txPackets: 3, txBytes: 60, txErrors: 1, txDropped: 3 })
    expect(tun.refusal?.code).to.equal('ENOBUFS')
    expect(reasons).to.deep.equal(new Array(4).fill(DropReason.DEV_TX_ERROR))
    expect(pool.outstanding).to.equal(BURST_SIZE)
    handle.refuseWrite = () => -5
    tun.transmit(burstOf(pool.from(bytes(20, 0))!))
    expect(tun.refusal).to.include({ code: 'ERR_TUN_DOWN', errno: -5, value: 'tun0' })
    expect(tun.refusal!.message).to.contain('ip link set tun0 up')
  })

  it('keeps the order of packets with and without a body, and says when a body is done', () => {
    const { tun, handle, pool } = bench()
    tun.setUp(true)
    let done = 0
    const make = (i: number): Packet => {
      const packet = pool.from(bytes(20, i))!
      if (i % 2 === 1) {
        packet.body = bytes(5, 100 + i)
        packet.bodyDone = () => done++
      }
      return packet
    }
    tun.transmit(burstOf(...[0, 1, 2, 3, 4].map(make)))
    expect(handle.written.map((packet) => packet[0])).to.deep.equal([0, 1, 2, 3, 4])
    expect(handle.written.map((packet) => packet.length)).to.deep.equal([20, 25, 20, 25, 20])
    expect(handle.written[1]!.subarray(20)).to.deep.equal(bytes(5, 101))
    expect(done).to.equal(2)
    expect(tun.stats.get('txBytes')).to.equal(110)
  })

  it('completes a partial checksum, and leaves it partial for who shares the bytes', () => {
    const { tun, handle, pool } = bench()
    tun.setUp(true)
    const packet = pool.from(Uint8Array.from([0x45, 0, 0, 0, 0x12, 0x34, 0, 0, 0xab, 0xcd]))!
    packet.checksum = Checksum.PARTIAL
    packet.checksumStart = packet.start + 4
    packet.checksumOffset = 2
    const twin = pool.clone(packet)
    const kept = pool.clone(packet)
    tun.transmit(burstOf(packet, twin))
    const check = ~(0x1234 + 0xabcd) & 0xffff
    const complete = Uint8Array.from([0x45, 0, 0, 0, 0x12, 0x34, check >> 8, check & 255, 0xab, 0xcd])
    expect(handle.written).to.deep.equal([complete, complete])
    expect(kept.toUint8Array()[6]).to.equal(0)
    expect(kept.checksum).to.equal(Checksum.PARTIAL)
    kept.free()
  })

  it('drops and frees what is sent while it is down or closed', () => {
    const { tun, handle, pool } = bench()
    expect(tun.transmit(burstOf(pool.from(bytes(20, 0))!))).to.equal(1)
    void tun.close()
    expect(tun.transmit(burstOf(pool.from(bytes(20, 0))!))).to.equal(1)
    expect(handle.written).to.deep.equal([])
    expect(tun.stats.get('txDropped')).to.equal(2)
    expect(pool.outstanding).to.equal(0)
  })

  it('may be closed inside its own callback, and twice', () => {
    const { tun, handle, pool, clock, host } = bench()
    tun.setUp(true)
    host.onReceive = () => {
      void tun.close()
      void tun.close()
    }
    handle.deliver([bytes(20, 0), bytes(20, 1)])
    expect(handle.calls.filter((call) => call === 'close').length).to.equal(1)
    expect(tun).to.include({ gone: true, closed: true, carrier: false, error: null })
    expect(pool.outstanding).to.equal(0)
    clock.advance(0)
    expect(host.changes).to.equal(1)
    expect(() => tun.setMtu(1400))
      .to.throw(TunstackError)
      .with.property('code', 'ERR_TUN_CLOSED')
    expect(() => tun.attach(host))
      .to.throw(TunstackError)
      .with.property('code', 'ERR_TUN_CLOSED')
  })

  it('stays whole when the stack throws', () => {
    const { tun, handle, host, received } = bench()
    tun.setUp(true)
    host.onReceive = () => {
      throw new Error('bug')
    }
    expect(() => handle.deliver([bytes(20, 0)])).to.throw('bug')
    host.onReceive = () => {}
    expect(handle.armed).to.equal(BURST_SIZE)
    handle.deliver([bytes(20, 1)])
    expect(received.length).to.equal(2)
  })

  it('reports a deleted interface once, after the packets that came before', () => {
    const { tun, handle, pool, host, received } = bench()
    const errors: TunstackError[] = []
    tun.onError = (error) => errors.push(error)
    tun.setUp(true)
    handle.deliver([bytes(20, 0)], 77)
    handle.deliver([], 77)
    expect(received.length).to.equal(1)
    expect(errors.length).to.equal(1)
    expect(tun.error).to.include({ code: 'ERR_TUN_GONE', errno: -77, value: 'tun0' })
    expect(tun).to.include({ gone: true, carrier: false, closed: false })
    expect(host.changes).to.equal(1)
    expect(pool.outstanding).to.equal(0)
    expect(() => tun.setMtu(1400))
      .to.throw(TunstackError)
      .with.property('code', 'ERR_TUN_GONE')
  })

  it('goes on with other memory when an arena was transferred away', () => {
    const { tun, handle, pool, received } = bench()
    tun.setUp(true)
    const { buffer } = pool.allocate(100)!.bytes
    structuredClone(handle.driver.arenas[0]!, { transfer: [handle.driver.arenas[0]!] })
    expect(buffer.byteLength, 'another arena').to.be.greaterThan(0)
    handle.deliver([], 14)
    expect(tun.gone).to.equal(false)
    expect(tun.stats.get('rxErrors')).to.equal(BURST_SIZE)
    handle.deliver([bytes(20, 1)])
    expect(received).to.deep.equal([bytes(20, 1)])
  })

  it('belongs to one stack', () => {
    const { tun, host } = bench()
    expect(() => tun.attach(host))
      .to.throw(TunstackError)
      .with.property('code', 'EBUSY')
  })

  it('keeps the process alive unless told otherwise', () => {
    const { tun, handle } = bench()
    tun.unref()
    expect(handle.referenced).to.equal(false)
    tun.ref()
    expect(handle.referenced).to.equal(true)
  })
})

describe('TunDevice with offloads', () => {
  /** Header and packet as the kernel gives a TCP super-segment of `payload` bytes, in pieces of 1000. */
  function superSegment(payload: number): [Uint8Array, Uint8Array] {
    const packet = new Uint8Array(40 + payload)
    packet[0] = 0x45
    packet[9] = 6
    packet[32] = 0x50
    packet.fill(0xab, 40)
    packet[packet.length - 1] = 0xcd
    return [packet, new Uint8Array(Uint16Array.of(0x0101, 40, 1000, 20, 16).buffer)]
  }
  const PLAIN = new Uint8Array(10)

  function offloadBench(limit?: number): Bench & { packets: Packet[] } {
    const made = bench(limit === undefined ? { offload: true } : { offload: true, limit })
    const packets: Packet[] = []
    made.host.receive = (burst) => {
      for (let i = 0; i < burst.length; i++) packets.push(burst.packets[i]!)
      burst.clear()
    }
    made.tun.setUp(true)
    return { ...made, packets }
  }

  it('reads a super-segment into a slab of its own, between small packets that stay where they are', () => {
    const { tun, handle, packets } = offloadBench()
    expect(tun.features).to.deep.include({ checksum: true, tso: true, tsoEcn: true, uso: true })
    const [large, header] = superSegment(60_000)
    const small = bytes(60, 1)
    expect(handle.deliver([small, large, small], 0, [PLAIN, header, PLAIN])).to.equal(3)
    expect(packets.map((packet) => packet.toUint8Array())).to.deep.equal([small, large, small])
    expect(packets.map((packet) => packet.slab.arena.slabSize)).to.deep.equal([2048, 66560, 2048])
    expect(packets[1]).to.include({ gsoType: 1, gsoSize: 1000, gsoSegments: 60, checksum: Checksum.PARTIAL })
    expect(tun.stats.snapshot()).to.include({ rxPackets: 3, rxBytes: 120 + large.length, rxErrors: 0 })
    expect(tun.io).to.include({ rxBursts: 1, rxLargestBurst: 3, rxSuperSegments: 1 })
    for (const packet of packets) packet.free()
  })

  it('holds a full batch in little memory, and ends a batch when its large slabs are used up', () => {
    const { tun, handle, packets, pool } = offloadBench()
    expect(pool.reserved).to.be.below(1 << 20)
    const [large, header] = superSegment(30_000)
    const rounds: number[] = []
    for (let round = 0; round < 5; round++) {
      const offered = new Array<Uint8Array>(20).fill(large)
      rounds.push(handle.deliver(offered, 0, new Array<Uint8Array>(20).fill(header)))
      expect(handle.armed).to.equal(BURST_SIZE)
      for (const packet of packets.splice(0)) packet.free()
    }
    expect(rounds).to.deep.equal([8, 8, 8, 8, 8])
    expect(tun.stats.get('rxPackets')).to.equal(40)
    expect(pool.reserved, 'those of a batch are held while the next are armed').to.be.below(3 << 19)
    void tun.close()
    expect(pool.outstanding).to.equal(0)
  })

  it('reads small packets on when there is no memory for large ones, and counts those as cut', () => {
    const { tun, handle, packets } = offloadBench(64 * 2048)
    expect(handle.spare).to.equal(0)
    const [large, header] = superSegment(30_000)
    expect(handle.deliver([bytes(60, 1), large, bytes(60, 2)], 0, [PLAIN, header, PLAIN])).to.equal(3)
    expect(packets.map((packet) => packet.length)).to.deep.equal([60, 60])
    expect(tun.stats.snapshot()).to.include({ rxPackets: 2, rxErrors: 1, rxLengthErrors: 1 })
  })

  it('goes on with the large slabs that are left when the pool has no more', () => {
    const { handle, packets } = offloadBench(2 * 64 * 2048 + 8 * 66560)
    const [large, header] = superSegment(30_000)
    const headers = new Array<Uint8Array>(6).fill(header)
    expect(handle.spare).to.equal(8)
    expect(handle.deliver(new Array<Uint8Array>(6).fill(large), 0, headers)).to.equal(6)
    expect(handle.spare).to.equal(2)
    expect(handle.deliver([large, large, large], 0, headers)).to.equal(2)
    expect(packets.every((packet) => packet.bytes[packet.end - 1] === 0xcd)).to.equal(true)
    for (const packet of packets.splice(0)) packet.free()
    expect(handle.deliver([bytes(60, 1)])).to.equal(1)
    expect(handle.spare).to.equal(8)
  })

  it('takes other large slabs when the memory of its own was transferred away', () => {
    const { tun, handle, packets } = offloadBench()
    const buffer = handle.driver.arenas[handle.ring!.spill![0]!]!
    structuredClone(buffer, { transfer: [buffer] })
    handle.deliver([], 14)
    expect(tun.gone).to.equal(false)
    expect(tun.stats.get('rxErrors')).to.equal(8)
    expect(handle.spare).to.equal(8)
    const [large, header] = superSegment(30_000)
    expect(handle.deliver([large], 0, [header])).to.equal(1)
    expect(packets[0]!.toUint8Array()).to.deep.equal(large)
  })

  it('counts and drops a packet whose header lies', () => {
    const { tun, handle, packets, host } = offloadBench()
    const reasons: number[] = []
    host.drop = (packet: Packet, reason: number) => {
      reasons.push(reason)
      packet.free()
    }
    const [large, header] = superSegment(30_000)
    const lie = header.slice()
    lie[4] = lie[5] = 0
    handle.deliver([large, large, bytes(60, 1)], 0, [lie, header, PLAIN])
    expect(packets.map((packet) => packet.length)).to.deep.equal([30_040, 60])
    expect(reasons).to.deep.equal([DropReason.DEV_HDR])
    expect(tun.stats.snapshot()).to.include({ rxPackets: 2, rxErrors: 1, rxFrameErrors: 1 })
    expect(tun.io.rxBadHeaders).to.equal(1)
  })

  it('writes a mixed burst in one call: headers, bodies, and bytes that others share', () => {
    const { tun, handle, pool } = offloadBench()
    const plain = pool.from(bytes(40, 1))!
    const open = pool.from(bytes(60, 2))!
    open.checksum = Checksum.PARTIAL
    open.checksumStart = open.start + 20
    open.checksumOffset = 6
    const shared = pool.clone(open)
    const [content] = superSegment(2500)
    const large = pool.from(content.subarray(0, 40))!
    large.body = content.subarray(40)
    Object.assign(large, { checksum: Checksum.PARTIAL, checksumStart: large.start + 20, checksumOffset: 16 })
    Object.assign(large, { gsoType: 1, gsoSize: 1000, gsoSegments: 3 })
    const before = handle.calls.length
    expect(tun.transmit(burstOf(plain, open, large))).to.equal(3)
    expect(handle.calls.slice(before)).to.deep.equal(['write 3'])
    expect(handle.written).to.deep.equal([bytes(40, 1), bytes(60, 2), content])
    const words = handle.writtenHeaders.map((header) => [...new Uint16Array(header.slice().buffer)])
    expect(words).to.deep.equal([
      [0, 0, 0, 0, 0],
      [1, 0, 0, 20, 6],
      [0x0101, 40, 1000, 20, 16],
    ])
    expect(shared.toUint8Array(), 'untouched').to.deep.equal(bytes(60, 2))
    expect(tun.io).to.include({ txBursts: 1, txLargestBurst: 3, txSuperSegments: 1 })
    shared.free()
  })

  it('lets the driver put a header in front of bytes that are its own, with room before them, and of no others', () => {
    const { tun, handle, pool } = offloadBench()
    const own = pool.from(bytes(40, 1))!
    const shared = pool.from(bytes(60, 2))!
    const behind = pool.clone(shared)
    behind.pull(20)
    const full = pool.from(bytes(40, 3))!
    full.push(full.headroom - VNET_HEADER_SIZE + 1)
    const fits = pool.from(bytes(40, 4))!
    fits.push(fits.headroom - VNET_HEADER_SIZE)
    tun.transmit(burstOf(own, behind, full, fits))
    expect(handle.roomBefore).to.deep.equal([VNET_HEADER_SIZE, 0, 0, VNET_HEADER_SIZE])
    expect(shared.toUint8Array(), 'untouched').to.deep.equal(bytes(60, 2))
    shared.free()

    const plain = bench()
    plain.tun.setUp(true)
    plain.tun.transmit(burstOf(plain.pool.from(bytes(40, 1))!))
    expect(plain.handle.roomBefore, 'no headers').to.deep.equal([0])
  })

  it('refuses a super-segment on a device that was opened without', () => {
    const { tun, handle, pool } = bench()
    tun.setUp(true)
    const [content] = superSegment(2500)
    const packet = pool.from(content)!
    Object.assign(packet, { gsoType: 1, gsoSize: 1000, gsoSegments: 3 })
    tun.transmit(burstOf(packet, pool.from(bytes(40, 1))!))
    expect(handle.written.length).to.equal(1)
    expect(tun.stats.snapshot()).to.include({ txPackets: 1, txErrors: 1 })
  })
})

describe('what a TunDevice sends in one turn of the event loop', () => {
  function fill(pool: PacketPool, length: number): Burst {
    const burst = new Burst()
    while (!burst.full) {
      const packet = pool.allocate(length)!
      packet.put(length)
      burst.push(packet)
    }
    return burst
  }

  it('is bounded; the rest is asked for in the next', () => {
    const { tun, handle, pool, clock, host } = bench()
    let wakes = 0
    host.wake = () => wakes++
    tun.setUp(true)
    for (let n = 0; n < 8; n++) expect(tun.transmit(fill(pool, 100))).to.equal(64)
    const burst = fill(pool, 100)
    expect(tun.transmit(burst)).to.equal(0)
    expect(tun.transmit(burst)).to.equal(0)
    expect(handle.written.length).to.equal(512)
    expect(wakes).to.equal(0)
    clock.advance(1)
    expect(wakes, 'one wake-up for both').to.equal(1)
    expect(tun.transmit(burst)).to.equal(64)
    expect(tun.io.txHeld).to.equal(2)
    expect(tun.stats.get('txDropped')).to.equal(0)
  })

  it('counts large packets for more', () => {
    const { tun, pool, clock } = bench()
    tun.setUp(true)
    const burst = fill(pool, 60_000)
    const taken = tun.transmit(burst)
    expect(taken).to.be.within(20, 40)
    burst.shift(taken)
    clock.advance(1)
    expect(tun.transmit(burst)).to.be.within(20, 40)
  })

  it('begins anew with what arrives: answers to a flood are never held', () => {
    const { tun, handle, pool, host } = bench()
    tun.setUp(true)
    host.onReceive = () => expect(tun.transmit(fill(pool, 100))).to.equal(64)
    for (let n = 0; n < 50; n++) handle.deliver([bytes(40, 1)])
    expect(tun.io.txHeld).to.equal(0)
  })
})

describe('a TunDevice behind the queue of the stack', () => {
  it('makes the sender wait instead of dropping what is too much for one turn', () => {
    const { tun, handle, pool, clock, host } = bench()
    let pending = false
    const drops: number[] = []
    const device = new NetDevice(tun, 7, 'tun0', {
      transmitPending: () => {
        pending = true
      },
      drop: (packet, reason) => {
        drops.push(reason)
        packet.free()
      },
    })
    const flush = (): void => {
      while (pending) {
        pending = false
        device.flush()
      }
    }
    host.wake = () => {
      device.wake()
      flush()
    }
    tun.setUp(true)
    device.up = true
    let sent = 0
    /** As a socket does: it sends while there is room. */
    const send = (): void => {
      while (device.txRoom > 0 && sent < 3000) {
        const packet = pool.allocate(100)!
        packet.put(100)
        device.enqueue(packet)
        sent++
        flush()
      }
    }
    send()
    expect(handle.written.length).to.equal(512)
    expect(sent).to.equal(512 + device.txQueueLength)
    for (let turn = 0; turn < 6; turn++) {
      clock.advance(1)
      send()
    }
    expect([sent, handle.written.length, drops]).to.deep.equal([3000, 3000, []])
    expect(tun.stats.snapshot()).to.include({ txPackets: 3000, txDropped: 0 })
    // Slots to read into are all that is left.
    expect(pool.outstanding).to.equal(BURST_SIZE)
  })
})
