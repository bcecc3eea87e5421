import { expect } from 'chai'
import { DropReason, type UdpBindOptions, type UdpMessage } from '../../lib/index.ts'
import { HOST, HostBench, INNER, PEER, useBench } from './harness.ts'
import { type Bytes, decode, expectPackets, fragments, hex, icmp, pattern, udp } from './packets.ts'

const ECHO = 7
const TO_HOST = { src: PEER, dst: HOST }
const bench = useBench(() => {
  const made = new HostBench()
  startEcho(made)
  return made
})

/** The echo service: answers each datagram from the address that it was sent to. */
function startEcho(on: HostBench): void {
  const endpoint = on.stack.udp.bind({
    port: ECHO,
    onMessage: ({ data, address, port, to }) => endpoint.send(data, { address, port }, { source: to }),
  })
}

/** An endpoint that keeps what it gets. */
function listen(options: UdpBindOptions) {
  const messages: UdpMessage[] = []
  const endpoint = bench().stack.udp.bind({ ...options, onMessage: (message) => void messages.push(message) })
  return { endpoint, messages }
}

function expectSilence(packet: Bytes): void {
  expect(bench().exchange(bench().tun, packet)).to.deep.equal([])
}

describe('UDP (RFC 768, RFC 1122 §4.1)', () => {
  for (const size of [0, 1, 100, 1472]) {
    it(`udp-echo-${size}: the same ${size} bytes come back, with a checksum`, () => {
      const data = pattern(size)
      const [reply] = bench().exchange(bench().tun, udp(TO_HOST, { sport: 5000, dport: ECHO }, data))
      expectPackets([reply!], [{ src: HOST, dst: PEER, df: true, udp: { sport: ECHO, dport: 5000, data } }])
      expect([reply![26], reply![27]], 'checksum').to.not.deep.equal([0, 0])
    })
  }

  it('a checksum that comes out as 0 is sent as 0xffff', () => {
    // The word that makes the sum of the reply 0.
    const request = (word: number): Bytes =>
      udp(TO_HOST, { sport: 5000, dport: ECHO }, [word >>> 8, word & 0xff])
    const [probe] = bench().exchange(bench().tun, request(0))
    const check = (probe![26]! << 8) | probe![27]!
    const [reply] = bench().exchange(bench().tun, request(check))
    expect([reply![26], reply![27]]).to.deep.equal([0xff, 0xff])
    decode(reply!)
  })

  it('udp-cksum-bad-closed: a wrong checksum to a closed port: silence', () => {
    expectSilence(udp(TO_HOST, { dport: 9, checksum: 0x1234 }))
    expectSilence(udp(TO_HOST, { dport: ECHO, checksum: 0x1234 }))
    expect(bench().count('UdpInCsumErrors')).to.equal(2)
    expect(bench().count('UdpInErrors')).to.equal(2)
    expect(bench().count('UdpNoPorts')).to.equal(0)
  })

  it('udp-cksum-zero: no checksum is accepted', () => {
    const data = pattern(9)
    bench().expect(bench().tun, udp(TO_HOST, { dport: ECHO, checksum: 0 }, data), [{ udp: { data } }])
  })

  it('udp-len-long: a length larger than the datagram, or smaller than the header: silence (hardening-15)', () => {
    for (const length of [0, 1, 7, 13, 100, 65535]) {
      expectSilence(udp(TO_HOST, { dport: ECHO, length, checksum: 0 }, pattern(4)))
      expectSilence(udp(TO_HOST, { dport: 9, length, checksum: 0 }, pattern(4)))
    }
    expect(bench().count('UdpInErrors')).to.equal(12)
    const short = udp(TO_HOST, { dport: ECHO, length: 10, checksum: 0 }, pattern(4))
    bench().expect(bench().tun, short, [{ udp: { data: pattern(2) } }])
  })

  it('udp-closed: Port Unreachable', () => {
    const packet = udp(TO_HOST, { dport: 9 })
    bench().expect(bench().tun, packet, [{ src: HOST, dst: PEER, icmp: { type: 3, code: 3, data: packet } }])
    expect(bench().count('UdpNoPorts')).to.equal(1)
  })

  it('udp-dport0: Port Unreachable, and nobody can bind it', () => {
    bench().expect(bench().tun, udp(TO_HOST, { dport: 0 }), [{ icmp: { type: 3, code: 3 } }])
    expect(bench().stack.udp.bind({ port: 0, onMessage: () => {} }).port).to.be.greaterThan(0)
  })

  it('udp-offlink: a sender elsewhere is answered by way of the default route', () => {
    const packet = udp({ src: '198.51.100.44', dst: HOST }, { dport: ECHO }, [1])
    bench().expect(bench().tun, packet, [{ src: HOST, dst: '198.51.100.44', udp: { data: [1] } }])
  })

  it('udp-burst: 200 back to back are all echoed, unaltered and in order', () => {
    const packets = Array.from({ length: 200 }, (_, i) => udp(TO_HOST, { dport: ECHO }, pattern(i, i)))
    const replies = bench()
      .exchange(bench().tun, ...packets)
      .map(decode)
    expect(replies.map(({ udp }) => hex(udp!.data))).to.deep.equal(packets.map((p) => hex(p.slice(28))))
  })

  it('ip-src-multihomed: the reply comes from the address that was asked', () => {
    for (const dst of [HOST, INNER, '10.0.3.200']) {
      bench().expect(bench().tun, udp({ src: PEER, dst }, { dport: ECHO }), [{ src: dst, dst: PEER }])
    }
  })

  it('udp-mcast-deliver: nothing from a broadcast or multicast source', () => {
    for (const src of ['255.255.255.255', '224.0.0.1'])
      expectSilence(udp({ src, dst: HOST }, { dport: ECHO }))
    expect(bench().count('UdpInDatagrams')).to.equal(0)
  })

  it('to a group: delivered if it was joined on that device', () => {
    const { messages } = listen({ port: 5353 })
    const packet = udp({ src: PEER, dst: '224.0.0.251' }, { dport: 5353 }, [1])
    expectSilence(packet)
    bench().stack.interface('tun0').joinGroup('224.0.0.251')
    expectSilence(packet)
    bench().stack.interface('tun0').leaveGroup('224.0.0.251')
    expectSilence(packet)
    expect(messages.map(({ to }) => to)).to.deep.equal(['224.0.0.251'])
  })

  it('to a broadcast address: delivered, and answers to it are refused (EACCES)', () => {
    const { endpoint, messages } = listen({ port: 5000 })
    expectSilence(udp({ src: PEER, dst: '10.9.0.255' }, { dport: 5000 }, [1]))
    expectSilence(udp({ src: PEER, dst: '255.255.255.255' }, { dport: 5000 }, [2]))
    expect(messages.map(({ to }) => to)).to.deep.equal(['10.9.0.255', '255.255.255.255'])
    expect(endpoint.trySend(pattern(1), { address: '10.9.0.255', port: 9 })).to.equal(13)
  })

  it('udp-demux: the endpoint with the address gets it, the other one the rest', () => {
    const any = listen({ port: 6000, reuseAddress: true })
    const one = listen({ port: 6000, address: HOST, reuseAddress: true })
    bench().exchange(bench().tun, udp(TO_HOST, { dport: 6000 }, [1]))
    bench().exchange(bench().tun, udp({ src: PEER, dst: INNER }, { dport: 6000 }, [2]))
    expect(one.messages.map(({ data }) => [...data])).to.deep.equal([[1]])
    expect(any.messages.map(({ data }) => [...data])).to.deep.equal([[2]])
    one.endpoint.close()
    bench().exchange(bench().tun, udp(TO_HOST, { dport: 6000 }, [3]))
    expect(any.messages).to.have.length(2)
  })

  it('udp-icmp-soft: errors about what was sent leave an unconnected endpoint usable', () => {
    const { endpoint, messages } = listen({ port: 6000 })
    endpoint.send(pattern(4), { address: PEER, port: 9 })
    bench().settle()
    const [sent] = bench().tun.take()
    for (const code of [0, 1, 3, 4, 13]) {
      bench().exchange(bench().tun, icmp({ src: PEER, dst: HOST }, { type: 3, code, word: 600 }, sent!))
    }
    expect(endpoint.trySend(pattern(4), { address: PEER, port: 9 })).to.equal(0)
    bench().exchange(bench().tun, udp(TO_HOST, { dport: 6000 }, [1]))
    expect(messages).to.have.length(1)
  })

  it('learns the path MTU: larger datagrams leave in fragments', () => {
    const { endpoint } = listen({ port: 6000 })
    const send = (size: number): Bytes[] => {
      expect(endpoint.trySend(pattern(size), { address: PEER, port: 9 })).to.equal(0)
      bench().settle()
      return bench().tun.take()
    }
    const [sent] = send(1000)
    bench().exchange(
      bench().tun,
      icmp({ src: PEER, dst: HOST }, { type: 3, code: 4, word: 600 }, sent!.slice(0, 28)),
    )
    expect(send(1000).map((packet) => decode(packet).length)).to.deep.equal([596, 452])
    expect(send(572).map((packet) => decode(packet).df)).to.deep.equal([true])
  })

  it('65507 bytes come and go in fragments, one more is refused (EMSGSIZE)', () => {
    const data = pattern(65507)
    const replies = bench().exchange(bench().tun, ...fragments(udp(TO_HOST, { dport: ECHO }, data), 1480))
    expect(replies).to.have.length(45)
    const { endpoint } = listen({ port: 6000 })
    expect(endpoint.trySend(pattern(65508), { address: PEER, port: 9 })).to.equal(90)
  })
})

describe('UDP endpoints', () => {
  it('say why they cannot be bound', () => {
    const { udp: protocol } = bench().stack
    const onMessage = (): void => {}
    expect(() => protocol.bind({ port: ECHO, onMessage }))
      .to.throw()
      .with.property('code', 'EADDRINUSE')
    expect(() => protocol.bind({ address: '192.0.2.1', onMessage }))
      .to.throw()
      .with.property('code', 'EADDRNOTAVAIL')
  })

  it('refuse to send without a way, from a foreign address, to port 0, when closed', () => {
    const { endpoint } = listen({ port: 6000 })
    const to = { address: '192.0.2.1', port: 9 }
    expect(endpoint.trySend(pattern(1), { ...to, port: 0 })).to.equal(22)
    expect(endpoint.trySend(pattern(1), to, { source: '192.0.2.9' })).to.equal(101)
    bench().stack.routes.delete('default')
    expect(endpoint.trySend(pattern(1), to)).to.equal(101)
    expect(bench().count('IpOutNoRoutes')).to.be.greaterThan(0)
    endpoint.close()
    endpoint.close()
    expect(endpoint.trySend(pattern(1), { address: PEER, port: 9 })).to.equal(77)
  })

  it('drop what does not fit the receive buffer, and count it', () => {
    const { messages } = listen({ port: 6000, receiveBuffer: 1000 })
    const packets = Array.from({ length: 10 }, () => udp(TO_HOST, { dport: 6000 }, pattern(100)))
    bench().exchange(bench().tun, ...packets)
    // 356 bytes each are charged; as Linux, it takes one as long as no more than the limit is.
    expect(messages).to.have.length(3)
    expect(bench().count('UdpRcvbufErrors')).to.equal(7)
    expect(bench().stack.mib.drops[DropReason.SOCKET_RCVBUFF]).to.equal(7)
    bench().exchange(bench().tun, packets[0]!)
    expect(messages).to.have.length(4)
  })

  it('an endpoint that answers itself, or two that answer each other, leave the event loop its turns', () => {
    let turns = 0
    const endpoint = bench().stack.udp.bind({
      port: 6000,
      onMessage: ({ data }) => {
        turns++
        endpoint.send(data, { address: INNER, port: 6000 })
      },
    })
    endpoint.send(pattern(1), { address: INNER, port: 6000 })
    expect(turns).to.be.within(0, 2000)
    let ticks = 0
    const tick = (): void => {
      if (++ticks < 3) bench().clock.soon(tick)
      else endpoint.close()
    }
    bench().clock.soon(tick)
    bench().settle() // would throw, if it never came to an end
    expect(ticks).to.equal(3)
  })

  it('a message handler that throws does not lose the messages after', () => {
    const got: number[] = []
    bench().stack.udp.bind({
      port: 6000,
      onMessage: ({ data }) => {
        got.push(data[0]!)
        if (data[0] === 1) throw new Error('mine')
      },
    })
    const packets = [0, 1, 2, 3].map((i) => udp(TO_HOST, { dport: 6000 }, [i]))
    expect(() => bench().tun.push(...packets)).to.throw('mine')
    bench().settle()
    expect(got).to.deep.equal([0, 1, 2, 3])
    bench().expectAlive()
  })

  it('closed in its own handler, gets no more', () => {
    const got: number[] = []
    const endpoint = bench().stack.udp.bind({
      port: 6000,
      onMessage: ({ data }) => {
        got.push(data[0]!)
        endpoint.close()
      },
    })
    bench().exchange(bench().tun, ...[0, 1, 2].map((i) => udp(TO_HOST, { dport: 6000 }, [i])))
    expect(got).to.deep.equal([0])
  })

  it('a port that is given back can be bound again', () => {
    const { endpoint } = listen({ port: 6000 })
    endpoint.close()
    expect(listen({ port: 6000 }).endpoint.port).to.equal(6000)
  })

  it('ports that the stack picks are spread over the range and differ (hardening-6 for UDP)', () => {
    const ports = Array.from({ length: 50 }, () => bench().stack.udp.bind({ onMessage: () => {} }).port)
    expect(new Set(ports).size).to.equal(50)
    for (const port of ports) expect(port).to.be.within(32768, 60999)
    const steps = new Set(ports.slice(1).map((port, i) => port - ports[i]!))
    expect(steps.size).to.be.greaterThan(40)
  })
})
