import { expect } from 'chai'
import fc from 'fast-check'
import type { LinkDevice, LinkHost } from '../../lib/device/link-device.ts'
import { Loopback } from '../../lib/device/loopback.ts'
import {
  checkInterfaceName,
  DeviceTable,
  NetDevice,
  type NetDeviceOwner,
} from '../../lib/device/net-device.ts'
import { createPipe } from '../../lib/device/pipe.ts'
import { DropReason } from '../../lib/wire/drop-reason.ts'
import { numbered, numberOf, TestHost } from './test-host.ts'

const idle: NetDeviceOwner = { transmitPending: () => {}, drop: (packet) => packet.free() }

/** A pipe end as a network device; `far` takes what comes out, at most two packets before it is polled. */
class Bench implements NetDeviceOwner {
  readonly dropped: number[] = []
  readonly device: NetDevice
  readonly far: TestHost
  readonly host: TestHost
  readonly link: LinkDevice
  pending = 0

  constructor(queue = 2) {
    const [near, farEnd] = createPipe({ queue })
    this.link = near
    this.far = new TestHost().connect(farEnd)
    this.host = new TestHost()
    this.device = new NetDevice(near, 7, 'pipe7', this)
    const host: LinkHost = {
      pool: this.host.pool,
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

  transmitPending(): void {
    this.pending++
  }

  drop(packet: Parameters<NetDeviceOwner['drop']>[0], reason: number): void {
    this.dropped.push(reason)
    packet.free()
  }

  send(...ids: number[]): boolean[] {
    return ids.map((id) => this.device.enqueue(this.host.packet(numbered(id))))
  }

  arrived(): number[] {
    return this.far.takeReceived().map(numberOf)
  }
}

describe('NetDevice', () => {
  it('asks once for a flush, however many packets wait', () => {
    const bench = new Bench(100)
    bench.send(1, 2, 3)
    expect(bench.pending).to.equal(1)
    bench.device.flush()
    expect(bench.arrived()).to.deep.equal([1, 2, 3])
    bench.send(4)
    expect(bench.pending).to.equal(2)
  })

  it('keeps what the driver does not take, in order, until it is woken', () => {
    const bench = new Bench(2)
    bench.send(1, 2, 3, 4, 5)
    bench.device.flush()
    expect(bench.device.txQueue.length).to.equal(3)
    expect(bench.device.txRoom).to.equal(997)
    const { pending } = bench
    bench.send(6)
    bench.device.flush()
    expect(bench.pending, 'the driver is stopped').to.equal(pending)
    const arrived: number[] = []
    for (let i = 0; i < 5 && arrived.length < 6; i++) {
      arrived.push(...bench.arrived())
      bench.device.flush()
    }
    expect(arrived).to.deep.equal([1, 2, 3, 4, 5, 6])
    expect(bench.pending).to.be.greaterThan(pending)
  })

  it('shows a packet to its taps once, however often the driver has no room', () => {
    const bench = new Bench(2)
    const seen: number[] = []
    bench.device.taps.push((packet, device, outgoing) => {
      expect([device, outgoing]).to.deep.equal([bench.device, true])
      seen.push(numberOf(packet.toUint8Array()))
    })
    const ids = Array.from({ length: 150 }, (_, i) => i)
    bench.send(...ids)
    const arrived: number[] = []
    for (let i = 0; i < 200 && arrived.length < 150; i++) {
      bench.device.flush()
      arrived.push(...bench.arrived())
    }
    expect(arrived).to.deep.equal(ids)
    expect(seen).to.deep.equal(ids)
  })

  it('shows a tap that comes late what waits, and one after a purge what is new', () => {
    const bench = new Bench(2)
    const seen: number[] = []
    bench.send(1, 2, 3, 4)
    bench.device.flush()
    bench.device.taps.push((packet) => void seen.push(numberOf(packet.toUint8Array())))
    bench.arrived()
    bench.device.flush()
    expect(seen).to.deep.equal([3, 4])
    bench.send(5, 6)
    bench.device.flush()
    bench.device.purge()
    expect(bench.dropped).to.deep.equal([DropReason.QUEUE_PURGE, DropReason.QUEUE_PURGE])
    bench.send(7)
    bench.arrived()
    bench.device.flush()
    expect(seen).to.deep.equal([3, 4, 5, 6, 7])
    bench.arrived()
    expect(bench.host.pool.outstanding).to.equal(0)
  })

  it('drops what it gets while it is down, or while its queue is full', () => {
    const bench = new Bench(1)
    bench.device.up = false
    expect(bench.send(1)).to.deep.equal([false])
    bench.device.up = true
    bench.device.txQueueLength = 2
    expect(bench.send(1, 2, 3)).to.deep.equal([true, true, false])
    expect(bench.dropped).to.deep.equal([DropReason.DEV_READY, DropReason.QDISC_DROP])
    expect(bench.link.stats.get('txDropped')).to.equal(2)
    bench.device.purge()
    expect(bench.host.pool.outstanding).to.equal(0)
  })

  it('says when half of its queue is free, or when it goes down', () => {
    const bench = new Bench(2)
    bench.device.txQueueLength = 4
    let told = 0
    bench.send(1, 2, 3, 4)
    bench.device.flush()
    bench.device.whenRoom(() => void told++)
    bench.send(5, 6)
    expect(told).to.equal(0)
    bench.arrived()
    bench.device.flush()
    expect(bench.device.txRoom).to.be.greaterThan(1)
    expect(told).to.equal(1)
    bench.arrived()
    bench.device.flush()
    expect(told, 'once').to.equal(1)
    bench.device.whenRoom(() => void told++)
    bench.device.up = false
    bench.device.purge()
    expect(told).to.equal(2)
  })

  it('is running only while it is up and has carrier', () => {
    const bench = new Bench()
    expect([bench.device.running, bench.device.operState]).to.deep.equal([true, 'UNKNOWN'])
    bench.link.setUp(false)
    expect([bench.device.running, bench.device.operState]).to.deep.equal([false, 'DOWN'])
    bench.link.setUp(true)
    bench.device.up = false
    expect([bench.device.carrier, bench.device.running]).to.deep.equal([true, false])
    expect(bench.device.isLoopback).to.equal(false)
    expect(new NetDevice(new Loopback(), 1, 'lo', idle).isLoopback).to.equal(true)
  })
})

describe('DeviceTable', () => {
  it('finds devices by index and by name, in order, and never uses an index again', () => {
    const table = new DeviceTable()
    const make = (name: string): NetDevice => new NetDevice(new Loopback(), table.takeIndex(), name, idle)
    const [a, b] = [make('a'), make('b')]
    table.add(a)
    table.add(b)
    expect([...table]).to.deep.equal([a, b])
    expect([table.byIndex(1), table.byName('b'), table.byIndex(3), table.byName('c')]).to.deep.equal([
      a,
      b,
      undefined,
      undefined,
    ])
    expect(() => table.add(make('a')))
      .to.throw()
      .with.property('code', 'EEXIST')
    table.remove(a)
    expect(table.byName('a')).to.equal(undefined)
    const again = make('a')
    table.add(again)
    expect(again.ifindex).to.equal(4)
  })
})

describe('checkInterfaceName', () => {
  for (const name of ['lo', 'tun0', 'a', 'é', '123456789012345', 'a.b-c_d', '0', '...']) {
    it(`takes '${name}'`, () => checkInterfaceName(name))
  }

  for (const name of ['', '.', '..', 'a b', 'a/b', 'a:b', 'a\tb', '1234567890123456', 'éééééééé']) {
    it(`refuses ${JSON.stringify(name)}`, () => {
      expect(() => checkInterfaceName(name))
        .to.throw()
        .with.property('code', 'EINVAL')
    })
  }

  it('property: what it takes fits into the kernel’s 16 bytes with a 0 behind', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 20 }), (name) => {
        try {
          checkInterfaceName(name)
        } catch {
          return
        }
        expect(new TextEncoder().encode(name).length).to.be.within(1, 15)
        expect(/[/:\s]/.test(name)).to.equal(false)
      }),
    )
  })
})
