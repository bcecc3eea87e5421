import { expect } from 'chai'
import { LinkFlag } from '../../lib/device/link-device.ts'
import { createPipe } from '../../lib/device/pipe.ts'
import { Checksum, Gso, PacketType } from '../../lib/packet/packet.ts'
import { DropReason } from '../../lib/wire/drop-reason.ts'
import { linkDeviceCompliance } from './link-device-compliance.ts'
import { pipeRig } from './pipe-rig.ts'
import { numbered, TestHost } from './test-host.ts'

linkDeviceCompliance('An end of a pipe', () => pipeRig())

describe('createPipe', () => {
  it('makes two point-to-point devices with the given names, MTU and features', () => {
    const [left, right] = createPipe({ mtu: 9000, names: ['a0', 'b0'], features: { tso: true } })
    expect([left.name, right.name]).to.deep.equal(['a0', 'b0'])
    for (const end of [left, right]) {
      expect(end.mtu).to.equal(9000)
      expect(end.type).to.equal('none')
      expect(end.flags).to.equal(LinkFlag.POINTOPOINT | LinkFlag.NOARP | LinkFlag.MULTICAST)
      expect(end.features).to.deep.include({ checksum: true, tso: true, uso: false })
    }
  })

  it('refuses names and MTUs that cannot be', () => {
    expect(() => createPipe({ names: ['a/b', 'c'] }))
      .to.throw()
      .with.property('code', 'EINVAL')
    expect(() => createPipe({ mtu: 67 }))
      .to.throw()
      .with.property('code', 'EINVAL')
    expect(() => createPipe({ mtu: 65536 }))
      .to.throw()
      .with.property('code', 'EINVAL')
  })

  it('has carrier only while both ends are attached and up, and tells the other end', () => {
    const [left, right] = createPipe()
    const a = new TestHost().connect(left)
    left.setUp(true)
    right.setUp(true) // attached to nothing: stays closed
    expect(left.carrier).to.equal(false)
    const b = new TestHost().connect(right)
    expect([a.changes, b.changes]).to.deep.equal([0, 0])
    right.setUp(true)
    expect([left.carrier, right.carrier]).to.deep.equal([true, true])
    expect(a.changes).to.equal(1)
    left.setUp(false)
    expect([left.carrier, right.carrier]).to.deep.equal([false, false])
    expect(b.changes).to.equal(1)
    a.sendBytes(numbered(1))
    b.sendBytes(numbered(2))
    expect([left, right].map(({ stats }) => stats.get('txDropped'))).to.deep.equal([1, 1])
  })

  it('keeps the far end when one is closed, without carrier', async () => {
    const { device, host, far, finish } = pipeRig()
    device.setUp(true)
    const changes = far.changes
    await device.close()
    expect(far.changes).to.equal(changes + 1)
    far.sendBytes(numbered(1))
    expect(far.pool.outstanding + host.pool.outstanding).to.equal(0)
    await finish!()
  })

  it('hands the very packet over, without what the sending stack knew of it', () => {
    const { device, host, far } = pipeRig()
    device.setUp(true)
    const packet = host.packet(numbered(1))
    const { bytes, start } = packet
    Object.assign(packet, {
      destination: { family: 4 },
      device: { ifindex: 3, name: 'x' },
      iif: 3,
      mark: 7,
      hash: 99,
      type: PacketType.OUTGOING,
      ignoreDf: true,
      fragMaxSize: 576,
      doRedirect: true,
      transportHeader: packet.start + 20,
      checksum: Checksum.PARTIAL,
      checksumStart: packet.start + 20,
      checksumOffset: 6,
      gsoType: Gso.UDP_L4,
      gsoSize: 10,
      gsoSegments: 2,
    })
    host.send([packet])
    far.poll()
    const [got] = far.received
    expect(got).to.equal(packet)
    expect(got!.bytes === bytes && got!.start === start).to.equal(true)
    expect(got).to.include({
      destination: null,
      device: null,
      iif: 0,
      mark: 0,
      hash: 0,
      type: PacketType.HOST,
    })
    expect(got).to.include({ ignoreDf: false, fragMaxSize: 0, doRedirect: false, networkHeader: start })
    expect(got).to.include({ checksum: Checksum.PARTIAL, checksumStart: start + 20, checksumOffset: 6 })
    expect(got).to.include({ gsoType: Gso.UDP_L4, gsoSize: 10, gsoSegments: 2 })
    far.takeReceived()
    expect(host.pool.outstanding).to.equal(0)
  })

  it('tells the receiver that shared bytes are not to be written to', () => {
    const { device, host, far } = pipeRig()
    device.setUp(true)
    const packet = host.packet(numbered(1))
    const clone = host.pool.clone(packet)
    host.send([packet])
    far.poll()
    expect(far.received[0]!.writable).to.equal(false)
    clone.free()
    expect(far.received[0]!.writable).to.equal(true)
    far.takeReceived()
  })

  it('does not let through what is larger than the receiver’s MTU, unless it is to be cut up', () => {
    const { device, host, far } = pipeRig()
    device.setUp(true)
    const large = host.packet(numbered(1, 1501))
    const segments = host.packet(numbered(2, 4000))
    segments.gsoType = Gso.TCPV4
    segments.gsoSize = 1460
    host.send([large, segments, host.packet(numbered(3, 1500))])
    expect(far.takeReceived().map(({ length }) => length)).to.deep.equal([4000, 1500])
    expect(host.dropped).to.deep.equal([DropReason.PKT_TOO_BIG])
    expect(device.stats.get('txDropped')).to.equal(1)
    expect(device.stats.get('txPackets')).to.equal(2)
  })

  it('wakes whoever waits for room when the cable is pulled', () => {
    const [left, right] = createPipe({ queue: 2 })
    const a = new TestHost().connect(left)
    const b = new TestHost().connect(right)
    left.setUp(true)
    right.setUp(true)
    const rest = a.sendBytes(numbered(1), numbered(2), numbered(3))
    expect(rest).to.have.length(1)
    expect(a.wakes).to.equal(0)
    right.setUp(false)
    expect(a.wakes).to.equal(1)
    expect(a.send(rest)).to.have.length(0)
    expect(right.stats.get('rxDropped')).to.equal(2)
    expect(a.pool.outstanding + b.pool.outstanding).to.equal(0)
  })
})
