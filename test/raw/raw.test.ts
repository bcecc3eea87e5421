import { expect } from 'chai'
import fc from 'fast-check'
import { type RawMessage, type RawOptions, TunstackError } from '../../lib/index.ts'
import { HOST, HostBench, INNER, PEER, useBench } from '../conformance/harness.ts'
import { type Bytes, decode, echoRequest, fragments, icmp, pattern, udp } from '../conformance/packets.ts'

const bench = useBench(() => new HostBench())
const TO_HOST = { src: PEER, dst: HOST }
const GRE = 47

function listen(options: RawOptions) {
  const messages: RawMessage[] = []
  const socket = bench().stack.raw.open({ ...options, onMessage: (message) => void messages.push(message) })
  return { socket, messages }
}

function hear(...packets: Bytes[]): Bytes[] {
  return bench().exchange(bench().tun, ...packets)
}

function sent(): Bytes[] {
  bench().settle()
  return bench().tun.take()
}

function codeOf(call: () => unknown): string {
  try {
    call()
  } catch (error) {
    expect(error).to.be.instanceOf(TunstackError)
    return (error as TunstackError).code
  }
  return 'no error'
}

/** A packet of some protocol, without a transport that anybody knows. */
function other(data: readonly number[], src = PEER, dst = HOST): Bytes {
  const packet = udp({ src, dst, protocol: GRE }, { dport: 0 }, data)
  return packet
}

describe('raw sockets', () => {
  it('get the whole packet, beside the protocol itself', () => {
    const { messages } = listen({ protocol: 'icmp' })
    for (let i = 0; i < 3; i++) {
      const request = echoRequest(TO_HOST, { identifier: 7, data: [i] })
      expect(hear(request).map(decode)[0], 'it is answered as well').to.include({ src: HOST })
      expect([...messages[i]!.data]).to.deep.equal([...request])
      expect([...messages[i]!.payload]).to.deep.equal([...request.slice(20)])
      expect(messages[i]).to.include({ address: PEER, to: HOST, device: 'tun0', ttl: 64, tos: 0 })
    }
  })

  it('also of a flow of pings that is answered by prediction otherwise', () => {
    const request = echoRequest(TO_HOST, { identifier: 7 })
    for (let i = 0; i < 5; i++) hear(request)
    const { socket, messages } = listen({ protocol: 'icmp' })
    for (let i = 0; i < 5; i++) expect(hear(request)).to.have.length(1)
    expect(messages).to.have.length(5)
    socket.close()
    expect(hear(request)).to.have.length(1)
    expect(messages).to.have.length(5)
  })

  it('a protocol that only they know is known: no Protocol Unreachable, as long as one is there', () => {
    const { socket, messages } = listen({ protocol: GRE })
    expect(hear(other([1, 2]))).to.have.length(0)
    expect(messages).to.have.length(1)
    expect(bench().count('IpInDelivers')).to.equal(1)
    socket.close()
    bench().expect(bench().tun, other([1]), [{ icmp: { type: 3, code: 2 } }])
  })

  it('a datagram in fragments comes whole', () => {
    const { messages } = listen({ protocol: 'udp' })
    bench().stack.udp.bind({ port: 9 })
    const datagram = udp(TO_HOST, { dport: 9 }, pattern(3000))
    hear(...fragments(datagram, 1480))
    expect(messages.map(({ payload }) => payload.length)).to.deep.equal([3008])
  })

  it('by address, peer, device and type of ICMP', () => {
    const all = listen({ protocol: 'icmp' })
    const inner = listen({ protocol: 'icmp', address: INNER })
    const peer = listen({ protocol: 'icmp', peer: '10.9.0.7' })
    const lo = listen({ protocol: 'icmp', device: 'lo' })
    const replies = listen({ protocol: 'icmp', icmpTypes: [0, 3] })
    hear(echoRequest(TO_HOST))
    hear(echoRequest({ src: '10.9.0.7', dst: INNER }))
    hear(icmp(TO_HOST, { type: 0, code: 0, word: 1 }))
    expect([all, inner, peer, lo, replies].map(({ messages }) => messages.length)).to.deep.equal([
      3, 1, 1, 0, 1,
    ])
  })

  it('send what is behind the IP header', () => {
    const socket = bench().stack.raw.open({ protocol: GRE, ttl: 9, tos: 0x10 })
    socket.send(pattern(100), PEER)
    const [packet] = sent()
    expect(decode(packet!)).to.include({ src: HOST, dst: PEER, ttl: 9, tos: 0x10, protocol: GRE, df: true })
    expect([...packet!.slice(20)]).to.deep.equal([...pattern(100)])
    socket.send(pattern(3000), PEER)
    expect(sent()).to.have.length(3)
    bench()
      .stack.raw.open({ protocol: 'icmp' })
      .send(Uint8Array.of(8, 0, 0xf7, 0xff, 0, 0, 0, 0), PEER)
    expect(bench().count('IcmpOutEchos')).to.equal(1)
  })

  it('or a whole packet, of which only what must be is put right', () => {
    const socket = bench().stack.raw.open({ protocol: 'raw' })
    const mine = other([1, 2, 3], '192.0.2.66', PEER)
    mine[2] = mine[3] = mine[10] = mine[11] = 0 // length and checksum
    socket.send(mine, PEER)
    expect(decode(sent()[0]!)).to.include({ src: '192.0.2.66', dst: PEER, protocol: GRE })
    mine.fill(0, 12, 16)
    mine.fill(0, 4, 6)
    socket.send(mine, PEER)
    const filled = decode(sent()[0]!)
    expect(filled).to.include({ src: HOST })
    expect(filled.id).to.not.equal(0)
  })

  it('errors say what and to whom', () => {
    const { raw } = bench().stack
    const socket = raw.open({ protocol: GRE })
    const whole = raw.open({ protocol: GRE, headerIncluded: true })
    expect(codeOf(() => socket.send(pattern(1)))).to.equal('EDESTADDRREQ')
    expect(codeOf(() => socket.send(pattern(1), '10.9.0.255'))).to.equal('EACCES')
    expect(codeOf(() => socket.send(pattern(65516), PEER))).to.equal('EMSGSIZE')
    expect(codeOf(() => whole.send(pattern(1501), PEER))).to.equal('EMSGSIZE')
    for (const bad of [
      [],
      [0x45],
      new Array(20).fill(0x65),
      new Array(20).fill(0x44),
      new Array(20).fill(0x46),
    ]) {
      expect(
        codeOf(() => whole.send(Uint8Array.from(bad), PEER)),
        String(bad.length),
      ).to.equal('EINVAL')
    }
    bench().stack.routes.delete('default')
    expect(() => socket.send(pattern(1), '192.0.2.1')).to.throw(
      'cannot send 1 bytes to 192.0.2.1: ENETUNREACH',
    )
    expect(codeOf(() => raw.open({ protocol: GRE, address: '192.0.2.1' }))).to.equal('EADDRNOTAVAIL')
    expect(codeOf(() => raw.open({ protocol: GRE, device: 'eth9' }))).to.equal('ENODEV')
    for (const protocol of [0, 256, 1.5, 'gre', undefined]) {
      expect(codeOf(() => raw.open({ protocol: protocol as never }))).to.equal('ERR_INVALID_ARG_VALUE')
    }
    expect(codeOf(() => raw.open(undefined as never))).to.equal('ERR_INVALID_ARG_VALUE')
    expect(codeOf(() => raw.open({ protocol: 1, ttl: 256 }))).to.equal('ERR_INVALID_ARG_VALUE')
    expect(codeOf(() => socket.send('x' as never, PEER))).to.equal('ERR_INVALID_ARG_VALUE')
    expect(sent()).to.have.length(0)
  })

  it('errors of ICMP come back to who has a peer, once', async () => {
    const { raw } = bench().stack
    const socket = raw.open({ protocol: GRE, peer: PEER })
    const whole = raw.open({ protocol: GRE, peer: PEER, headerIncluded: true })
    const unconnected = raw.open({ protocol: GRE, headerIncluded: true })
    const packet = other([1], HOST, PEER)
    socket.send(pattern(20))
    const [quote] = sent()
    const fail = (code: number): unknown => hear(icmp(TO_HOST, { type: 3, code }, quote!.slice(0, 28)))
    const received = (): Promise<string> =>
      socket.receive().then(
        () => 'received',
        ({ code }: { code: string }) => code,
      )
    fail(2)
    expect(
      codeOf(() => socket.send(pattern(1))),
      'as Linux',
    ).to.equal('no error')
    expect(await received()).to.equal('ENOPROTOOPT')
    expect(codeOf(() => whole.send(packet))).to.equal('ENOPROTOOPT')
    expect(codeOf(() => whole.send(packet))).to.equal('no error')
    expect(codeOf(() => unconnected.send(packet, PEER))).to.equal('no error')
    fail(1)
    expect(
      codeOf(() => whole.send(packet)),
      'this may pass',
    ).to.equal('no error')
    const waiting = received()
    fail(3)
    expect(await waiting).to.equal('ECONNREFUSED')
    sent()
  })

  it('promises and iteration; closing ends both, and so do a signal and the stack', async () => {
    const controller = new AbortController()
    const socket = bench().stack.raw.open({ protocol: GRE, signal: controller.signal })
    const first = socket.receive()
    hear(other([1]))
    expect((await first).payload[8]).to.equal(1)
    hear(other([2]))
    expect(socket.waiting).to.equal(1)
    const seen: number[] = []
    const reading = (async () => {
      for await (const { payload } of socket) seen.push(payload[8]!)
    })()
    await new Promise((resolve) => setImmediate(resolve))
    controller.abort()
    await reading
    expect(seen).to.deep.equal([2])
    expect(codeOf(() => socket.send(pattern(1), PEER))).to.equal('ERR_SOCKET_CLOSED')
    expect(() => bench().stack.raw.open({ protocol: GRE, signal: controller.signal })).to.throw()
    const last = bench().stack.raw.open({ protocol: GRE })
    await bench().stack.close()
    expect(last.closed).to.equal(true)
    expect(codeOf(() => bench().stack.raw.open({ protocol: GRE }))).to.equal('ERR_STACK_CLOSED')
  })

  it('drop what does not fit, and count it', () => {
    const socket = bench().stack.raw.open({ protocol: GRE, receiveBuffer: 1000 })
    for (let i = 0; i < 10; i++) hear(other([...pattern(100)]))
    expect(socket.waiting + socket.overflowed).to.equal(10)
    expect(socket.overflowed).to.be.within(6, 8)
    expect(bench().stack.mib.dropsByReason()['SOCKET_RCVBUFF']).to.equal(socket.overflowed)
  })

  it('property: what one sends over loopback another gets, as it was', () => {
    const { messages } = listen({ protocol: 200, address: INNER })
    const socket = bench().stack.raw.open({ protocol: 200 })
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), (data) => {
        socket.send(Uint8Array.from(data), INNER)
        bench().settle()
        expect([...messages.pop()!.payload]).to.deep.equal([...data])
        expect(messages).to.have.length(0)
      }),
      { numRuns: 50 },
    )
  })
})
