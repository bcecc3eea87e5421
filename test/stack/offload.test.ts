import { expect } from 'chai'
import { parseIpv4 } from '../../lib/address/ipv4-address.ts'
import { type LinkFeatures, LinkFlag, NO_FEATURES } from '../../lib/device/link-device.ts'
import { SoftwareDevice } from '../../lib/device/software-device.ts'
import { createPipe, type Interface, Stack, seededRandom, VirtualClock } from '../../lib/index.ts'
import type { Burst } from '../../lib/packet/burst.ts'
import type { Packet } from '../../lib/packet/packet.ts'
import type { UdpMessage } from '../../lib/udp/udp-endpoint.ts'
import { plainSegments, superPacket, tcpPacket, udpPacket } from '../offload/segments.ts'

/** A device whose wire is a list; the addresses are those of test/offload/segments.ts. */
class Wire extends SoftwareDevice {
  readonly sent: Packet[] = []

  constructor(name: string, features: Partial<LinkFeatures> = {}) {
    super({
      name,
      type: 'none',
      flags: LinkFlag.POINTOPOINT | LinkFlag.NOARP,
      mtu: 1500,
      minMtu: 68,
      maxMtu: 65535,
      features: { ...NO_FEATURES, ...features },
      qdisc: 'noqueue',
      receiveQueue: 1000,
    })
  }

  override transmit(burst: Burst): number {
    for (let i = 0; i < burst.length; i++) this.sent.push(burst.packets[i]!)
    return burst.length
  }

  /** Sizes and segments of what was sent. */
  take(): [length: number, segments: number][] {
    return this.sent.splice(0).map((packet) => {
      const result: [number, number] = [packet.length, packet.gsoSegments]
      packet.free()
      return result
    })
  }
}

class Host {
  readonly clock = new VirtualClock()
  readonly stack = new Stack({ clock: this.clock, random: seededRandom(1) })
  readonly in = new Wire('in0')
  readonly out: Wire
  readonly interface: Interface

  constructor(out: Partial<LinkFeatures> = {}) {
    this.out = new Wire('out0', out)
    this.interface = this.stack.addDevice(this.in).addAddress('10.1.0.1/24')
    this.stack.addDevice(this.out).addAddress('10.2.0.1/24')
    this.stack.sysctlSet('net.ipv4.ip_forward', 1)
  }

  receive(...packets: (Uint8Array | Packet)[]): void {
    for (const packet of packets) {
      this.in.received.push(packet instanceof Uint8Array ? this.stack.pool.from(packet)! : packet)
    }
    this.in.host!.schedule()
    this.clock.advance(0)
  }

  async end(): Promise<void> {
    await this.stack.close()
    expect(this.stack.pool.outstanding).to.equal(0)
  }
}

const TSO = { checksum: true, tso: true }
const payload = Uint8Array.from({ length: 14_000 }, (_, i) => i * 7)

describe('offloads in a stack', () => {
  const whole = tcpPacket({ payload, ttl: 64 })
  const segments = plainSegments(whole, 1460)

  it('segments of a burst are forwarded as one to a device that takes that', async () => {
    const host = new Host(TSO)
    const seen: number[] = []
    const capture = host.stack.capture({ device: 'in0', listener: ({ length }) => void seen.push(length) })
    host.receive(...segments)
    expect(host.out.take()).to.deep.equal([[14_040, 10]])
    expect(seen, 'a capture shows what the stack sees, as in Linux').to.deep.equal([14_040])
    capture.close()
    expect(host.stack.mib.get('IpForwDatagrams')).to.equal(1)
    expect(host.stack.mib.get('IpInReceives')).to.equal(1)
    expect(host.stack.mib.get('IpExtInNoECTPkts')).to.equal(10)
    await host.end()
  })

  it('not where it is switched off, nobody takes it, or nothing is forwarded', async () => {
    const off = new Host(TSO)
    expect(off.interface.gro).to.equal(true)
    off.interface.setGro(false)
    off.receive(...segments)
    expect(off.out.take()).to.have.length(10)
    off.interface.setGro(true)
    off.receive(...segments)
    expect(off.out.take()).to.have.length(1)
    await off.stack.interface('out0').remove()
    const plain = new Wire('out1')
    off.stack.addDevice(plain).addAddress('10.2.0.1/24')
    off.receive(...segments)
    expect(plain.take()).to.have.length(10)
    expect(off.stack.mib.get('IpForwDatagrams')).to.equal(10 + 1 + 10)
    await off.end()

    const host = new Host(TSO)
    host.stack.sysctlSet('net.ipv4.ip_forward', 0)
    host.receive(...segments)
    expect(host.stack.mib.get('IpInReceives')).to.equal(10)
    await host.end()
  })

  it('loopback merges nothing and cannot be told to', async () => {
    const stack = new Stack()
    expect(stack.loopback.gro).to.equal(false)
    expect(() => stack.loopback.setGro(true))
      .to.throw()
      .with.property('code', 'EOPNOTSUPP')
    stack.loopback.setGro(false)
    await stack.close()
  })

  describe('UDP', () => {
    /** To this host itself. */
    const here = udpPacket({ payload, destination: parseIpv4('10.1.0.1') })
    const datagrams = plainSegments(here, 1000)

    function bind(stack: Stack, gro?: boolean): UdpMessage[] {
      const messages: UdpMessage[] = []
      const options = gro === undefined ? {} : { gro }
      stack.udp.bind({ port: 53, onMessage: (message) => void messages.push(message), ...options })
      return messages
    }

    it('a super-segment is as many datagrams, a body in it or not', async () => {
      for (const body of [0, 5000]) {
        const host = new Host()
        const messages = bind(host.stack)
        host.receive(superPacket(host.stack.pool, here, 1000, body))
        expect(messages.map(({ data }) => data.length)).to.deep.equal(new Array(14).fill(1000))
        expect(Uint8Array.from(messages.flatMap(({ data }) => [...data]))).to.deep.equal(payload)
        expect(messages.every(({ segmentSize }) => segmentSize === undefined)).to.equal(true)
        expect(host.stack.mib.get('UdpInDatagrams')).to.equal(14)
        await host.end()
      }
    })

    it('what does not fit into the buffer any more is counted, datagram by datagram', async () => {
      const host = new Host()
      const messages: UdpMessage[] = []
      host.stack.udp.bind({
        port: 53,
        receiveBuffer: 4000,
        onMessage: (message) => void messages.push(message),
      })
      host.receive(superPacket(host.stack.pool, here, 1000))
      expect(messages).to.have.length(3)
      expect(host.stack.mib.get('UdpRcvbufErrors')).to.equal(11)
      expect(host.stack.mib.get('UdpInErrors')).to.equal(11)
      await host.end()
    })

    it('an endpoint that asks for it gets several datagrams as one message', async () => {
      const host = new Host()
      const messages = bind(host.stack, true)
      host.receive(...datagrams)
      expect(messages.map(({ data, segmentSize }) => [data.length, segmentSize])).to.deep.equal([
        [14_000, 1000],
      ])
      expect(messages[0]!.data).to.deep.equal(payload)
      expect(host.stack.mib.get('UdpInDatagrams')).to.equal(1)
      await host.end()
    })

    it('an endpoint that does not gets them one by one, also beside one that does', async () => {
      const clock = new VirtualClock()
      const [left, right] = createPipe()
      const near = new Stack({ clock, random: seededRandom(1) })
      const far = new Stack({ clock, random: seededRandom(2) })
      near.addDevice(left).addAddress('10.0.0.1/24')
      far.addDevice(right).addAddress('10.0.0.2/24')
      const plain: UdpMessage[] = []
      const merged: UdpMessage[] = []
      far.udp.bind({ port: 1, onMessage: (message) => void plain.push(message) })
      const asks = far.udp.bind({ port: 2, gro: true, onMessage: (message) => void merged.push(message) })
      const sender = near.udp.bind({ onMessage: () => {} })
      near.softirq.enter()
      for (const port of [1, 2, 1, 2, 1, 2])
        sender.send(new Uint8Array(100).fill(port), parseIpv4('10.0.0.2'), port)
      near.softirq.leave()
      clock.advance(0)
      expect(plain.map(({ data }) => data.length)).to.deep.equal([100, 100, 100])
      expect(merged.map(({ data, segmentSize }) => [data.length, segmentSize])).to.deep.equal([[300, 100]])
      expect(far.udp.wantsMerged).to.not.equal(null)
      asks.close()
      expect(far.udp.wantsMerged).to.equal(null)
      await Promise.all([near.close(), far.close()])
      expect(near.pool.outstanding + far.pool.outstanding).to.equal(0)
    })
  })

  it('a capture shows checksums as on the wire, or as they are if asked to, and changes nothing', async () => {
    const clock = new VirtualClock()
    const [left, right] = createPipe()
    const near = new Stack({ clock, random: seededRandom(1) })
    const far = new Stack({ clock, random: seededRandom(2) })
    near.addDevice(left).addAddress('10.0.0.1/24')
    far.addDevice(right).addAddress('10.0.0.2/24')
    const fields: number[] = []
    for (const completeChecksums of [undefined, true, false]) {
      near.capture({
        device: 'pipe0',
        ...(completeChecksums === undefined ? {} : { completeChecksums }),
        listener: ({ bytes }) => void fields.push((bytes[26]! << 8) | bytes[27]!),
      })
    }
    const got: number[] = []
    far.udp.bind({ port: 9, onMessage: ({ data }) => void got.push(...data) })
    near.udp.bind({ port: 8, onMessage: () => {} }).send(Uint8Array.of(1, 2, 3), parseIpv4('10.0.0.2'), 9)
    clock.advance(0)
    // Pseudo-header: 0a00+0001+0a00+0002+0011+000b = 141f; with 0008+0009+000b+0102+0300 it is 183d.
    expect(fields).to.deep.equal([0xe7c2, 0xe7c2, 0x141f])
    expect(got).to.deep.equal([1, 2, 3])
    await Promise.all([near.close(), far.close()])
  })
})
