import { expect } from 'chai'
import type { LinkHost } from '../../../lib/device/link-device.ts'
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

function bench({ limit = 64 << 20 } = {}): Bench {
  const driver = new FakeDriver()
  const tun = openTunSync({ driver })
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
