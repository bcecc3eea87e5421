import { expect } from 'chai'
import { LinkFlag } from '../../lib/device/link-device.ts'
import { Loopback } from '../../lib/device/loopback.ts'
import { NetDevice } from '../../lib/device/net-device.ts'
import { Burst } from '../../lib/packet/burst.ts'
import { Checksum, Gso, PacketType } from '../../lib/packet/packet.ts'
import { DropReason } from '../../lib/wire/drop-reason.ts'
import { linkDeviceCompliance } from './link-device-compliance.ts'
import { numbered, TestHost } from './test-host.ts'

linkDeviceCompliance(
  'Loopback',
  () => {
    const device = new Loopback()
    const host = new TestHost().connect(device)
    return {
      device,
      host,
      arrived: () => host.takeReceived(),
      deliver: (...contents) => void host.sendBytes(...contents),
    }
  },
  { stalls: false }, // as on Linux it drops, and nobody waits
)

describe('Loopback', () => {
  let device: Loopback
  let host: TestHost

  beforeEach(() => {
    device = new Loopback()
    host = new TestHost().connect(device)
    device.setUp(true)
  })

  it('is what `ip link show lo` says of the kernel’s', () => {
    expect(device.name).to.equal('lo')
    expect(device.type).to.equal('loopback')
    expect(device.flags).to.equal(LinkFlag.LOOPBACK)
    expect(device.mtu).to.equal(65536)
    expect(device.qdisc).to.equal('noqueue')
    expect(device.txQueueLength).to.equal(1000)
    expect(device.features).to.deep.include({ checksum: true, tso: true, uso: true, gsoMaxSize: 65536 })
  })

  it('takes any MTU that is a 31-bit number, as the kernel does', () => {
    for (const mtu of [0, 67, 68, 1500, 65536, 0x7fffffff]) {
      device.setMtu(mtu)
      expect(device.mtu).to.equal(mtu)
    }
    expect(() => device.setMtu(-1))
      .to.throw()
      .with.property('code', 'EINVAL')
    expect(() => device.setMtu(0x80000000))
      .to.throw()
      .with.property('code', 'EINVAL')
  })

  it('brings a packet back as it went in: decision, mark, checksum state, super-segment', () => {
    const packet = host.packet(numbered(1, 4000))
    const destination = { family: 4 as const }
    Object.assign(packet, {
      destination,
      mark: 7,
      hash: 99,
      type: PacketType.OUTGOING,
      checksum: Checksum.PARTIAL,
      checksumStart: packet.start + 20,
      checksumOffset: 16,
      gsoType: Gso.TCPV4,
      gsoSize: 1448,
      gsoSegments: 3,
    })
    host.send([packet])
    host.poll()
    expect(host.received).to.have.length(1)
    const [back] = host.received
    expect(back).to.equal(packet)
    expect(back!.destination).to.equal(destination)
    expect(back!.type).to.equal(PacketType.HOST)
    expect(back).to.include({ mark: 7, hash: 99, gsoType: Gso.TCPV4, gsoSize: 1448, gsoSegments: 3 })
    expect(back).to.include({ checksum: Checksum.PARTIAL, checksumOffset: 16 })
    host.takeReceived()
  })

  it('leaves a complete checksum to be verified, as the kernel does for raw sockets', () => {
    expect(device.features.receiveChecksumGood).to.equal(false)
    host.sendBytes(numbered(1))
    host.poll()
    expect(host.received[0]!.checksum).to.equal(Checksum.NONE)
    host.takeReceived()
  })

  it('drops past its backlog as CPU_BACKLOG, in rx_dropped, and counts those packets nowhere else', () => {
    host.sendBytes(...Array.from({ length: 1003 }, (_, i) => numbered(i, 84)))
    expect(host.dropped).to.deep.equal([
      DropReason.CPU_BACKLOG,
      DropReason.CPU_BACKLOG,
      DropReason.CPU_BACKLOG,
    ])
    const { rxDropped, txDropped, txPackets, rxPackets, txBytes, rxBytes } = device.stats.snapshot()
    expect({ rxDropped, txDropped, txPackets, rxPackets, txBytes, rxBytes }).to.deep.equal({
      rxDropped: 3,
      txDropped: 0,
      txPackets: 1000,
      rxPackets: 1000,
      txBytes: 84_000,
      rxBytes: 84_000,
    })
    expect(host.takeReceived()).to.have.length(1000)
    expect(host.pool.outstanding).to.equal(0)
  })

  it('gives a burst at a time and says whether more waits', () => {
    host.sendBytes(...Array.from({ length: 65 }, (_, i) => numbered(i)))
    const burst = new Burst()
    expect(device.poll(burst)).to.equal(true)
    expect(burst.length).to.equal(64)
    host.receive(burst)
    expect(device.poll(burst)).to.equal(false)
    expect(burst.length).to.equal(1)
    host.receive(burst)
    expect(host.takeReceived()).to.have.length(65)
  })

  it('serves one stack only', () => {
    expect(() => device.attach(new TestHost()))
      .to.throw()
      .with.property('code', 'EBUSY')
  })

  it('moves packets between the queues of a NetDevice', () => {
    const pending: NetDevice[] = []
    const lo = new NetDevice(device, 1, 'lo', {
      transmitPending: (netDevice) => void pending.push(netDevice),
      drop: (packet) => packet.free(),
    })
    lo.up = true
    for (let i = 0; i < 70; i++) lo.enqueue(host.packet(numbered(i)))
    expect(pending).to.deep.equal([lo])
    lo.flush()
    expect(lo.txQueue.length).to.equal(0)
    expect(host.takeReceived()).to.have.length(70)
    expect(host.pool.outstanding).to.equal(0)
  })
})
