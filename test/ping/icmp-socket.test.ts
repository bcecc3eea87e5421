/**
 * Echo sockets, as the kernel's ping sockets were seen to behave: what is refused, who gets a reply, which errors fail
 * a call.
 */
import { expect } from 'chai'
import type { EchoError, EchoReply, IcmpOptions } from '../../lib/index.ts'
import { HOST, HostBench, PEER, useBench } from '../conformance/harness.ts'
import { type Bytes, decode, echoReply, echoRequest, icmp } from '../conformance/packets.ts'
import { tick } from '../tcp/pair.ts'

describe('IcmpSocket', () => {
  const bench = useBench(() => new HostBench())

  const sent = (): Bytes[] => bench().tun.take()
  const open = (options: IcmpOptions = {}) => bench().stack.icmp.open(options)
  const codeOf = (what: () => void): string => {
    try {
      what()
    } catch (error) {
      return (error as { code: string }).code
    }
    return 'none'
  }
  /** An ICMP error of the peer's about a packet. */
  const errorAbout = (packet: Bytes, type: number, code: number, rest = 0): Bytes =>
    icmp({ src: PEER, dst: HOST }, { type, code, word: rest }, packet.subarray(0, 28))

  it('sends requests with its identifier and gets the replies to it', async () => {
    const socket = open({ ttl: 9, tos: 0x10 })
    socket.send(7, Uint8Array.of(1, 2, 3), PEER)
    const [packet] = sent().map(decode)
    expect(packet).to.include({ src: HOST, dst: PEER, ttl: 9, tos: 0x10 })
    expect(packet!.payload.slice(0, 2)).to.deep.equal(Uint8Array.of(8, 0))
    const id = (packet!.payload[4]! << 8) | packet!.payload[5]!
    expect(id).to.equal(socket.identifier)
    const waiting = socket.receive()
    bench().tun.push(
      echoReply(
        { src: PEER, dst: HOST, ttl: 61 },
        { identifier: id, sequence: 7, data: Uint8Array.of(1, 2, 3) },
      ),
    )
    await tick()
    expect(await waiting).to.deep.include({
      sequence: 7,
      address: PEER,
      to: HOST,
      device: 'tun0',
      ttl: 61,
      tos: 0,
    })
    bench().tun.push(reply(id, 8))
    expect((await socket.receive()).data).to.have.length(0)
    bench().tun.push(reply(id + 1, 9))
    bench().tun.push(echoRequest({ src: PEER, dst: HOST }, { identifier: id }))
    expect(socket.waiting).to.equal(0)
    sent()
  })

  const reply = (id: number, seq: number, src = PEER): Bytes =>
    echoReply({ src, dst: HOST }, { identifier: id & 0xffff, sequence: seq, data: new Uint8Array(0) })

  it('of two with one identifier the later gets the replies; when it is closed the other', () => {
    const first = open({ identifier: 99 })
    const second = open({ identifier: 99 })
    bench().tun.push(reply(99, 1))
    expect([first.waiting, second.waiting]).to.deep.equal([0, 1])
    second.close()
    bench().tun.push(reply(99, 2))
    expect(first.waiting).to.equal(1)
  })

  it('is connected to somebody, and hears others still', async () => {
    const socket = open()
    expect(codeOf(() => socket.send(1))).to.equal('EDESTADDRREQ')
    socket.connect(PEER)
    expect(socket.remoteAddress).to.equal(PEER)
    socket.send(1)
    expect(sent()).to.have.length(1)
    bench().tun.push(reply(socket.identifier, 1, '10.9.0.7'))
    expect((await socket.receive()).address).to.equal('10.9.0.7')
    socket.disconnect()
    expect(codeOf(() => socket.send(2))).to.equal('EDESTADDRREQ')
  })

  it('refuses what Linux refuses', () => {
    const socket = open()
    const { stack } = bench()
    expect(codeOf(() => socket.send(1, new Uint8Array(65508), PEER))).to.equal('EMSGSIZE')
    expect(codeOf(() => socket.send(1, new Uint8Array(0), '10.9.0.255'))).to.equal('EACCES')
    expect(codeOf(() => socket.connect('10.9.0.255'))).to.equal('EACCES')
    stack.routes.delete('default')
    expect(codeOf(() => socket.send(1, new Uint8Array(0), '192.0.2.1'))).to.equal('ENETUNREACH')
    expect(codeOf(() => socket.connect('192.0.2.1'))).to.equal('ENETUNREACH')
    expect(codeOf(() => open({ address: '192.0.2.1' }))).to.equal('EADDRNOTAVAIL')
    expect(codeOf(() => open({ device: 'eth9' }))).to.equal('ENODEV')
    for (const options of [{ identifier: 65536 }, { ttl: 0 }, { tos: 256 }, { receiveBuffer: 0 }]) {
      expect(
        codeOf(() => open(options)),
        JSON.stringify(options),
      ).to.equal('ERR_INVALID_ARG_VALUE')
    }
    expect(codeOf(() => socket.send(-1, new Uint8Array(0), PEER))).to.equal('ERR_INVALID_ARG_VALUE')
    open({ broadcast: true }).send(1, new Uint8Array(0), '10.9.0.255')
    expect(sent()).to.have.length(1)
  })

  it('an error fails a call if there is a peer and it is fatal, and is told in any case', async () => {
    const errors: EchoError[] = []
    const socket = open({ onError: (error) => errors.push(error) })
    socket.send(5, new Uint8Array(0), PEER)
    const [request] = sent()
    bench().tun.push(errorAbout(request!, 3, 3))
    await tick()
    expect(errors).to.deep.equal([
      {
        code: 'ECONNREFUSED',
        sequence: 5,
        address: PEER,
        reporter: PEER,
        icmp: { type: 3, code: 3, info: 0 },
        fatal: true,
      },
    ])
    socket.send(6, new Uint8Array(0), PEER) // nothing is the matter without a peer
    socket.connect(PEER)
    bench().tun.push(errorAbout(request!, 3, 1)) // not fatal
    socket.send(7)
    bench().tun.push(errorAbout(request!, 3, 3))
    expect(codeOf(() => socket.send(8))).to.equal('ECONNREFUSED')
    socket.send(8)
    await tick()
    expect(errors).to.have.length(3)
    // Of a request that this socket cannot have sent.
    const other = request!.slice()
    other[25] = other[25]! ^ 1
    bench().tun.push(errorAbout(other, 3, 3))
    await tick()
    expect(errors).to.have.length(3)
    sent()
  })

  it('with receiveErrors keeps errors, and each fails the next call', async () => {
    const socket = open({ receiveErrors: true })
    socket.send(1, new Uint8Array(0), PEER)
    const [request] = sent()
    bench().tun.push(errorAbout(request!, 11, 0))
    expect(await socket.receive().catch((error: { code: string }) => error.code)).to.equal('EHOSTUNREACH')
    expect(socket.readError()).to.include({ code: 'EHOSTUNREACH', sequence: 1, fatal: false })
    expect(socket.readError()).to.equal(undefined)
  })

  it('learns the path MTU, and with pathMtuDiscovery do refuses what does not fit', () => {
    const socket = open({ pathMtuDiscovery: 'do' })
    expect(codeOf(() => socket.send(1, new Uint8Array(1473), PEER))).to.equal('EMSGSIZE')
    socket.send(1, new Uint8Array(1472), PEER)
    const [request] = sent()
    bench().tun.push(errorAbout(request!, 3, 4, 1000))
    expect(codeOf(() => socket.send(2, new Uint8Array(973), PEER))).to.equal('EMSGSIZE')
    socket.send(2, new Uint8Array(972), PEER)
    expect(sent()).to.have.length(1)
  })

  it('has a buffer that is bounded, calls back, iterates, and ends', async () => {
    const small = open({ receiveBuffer: 1000 })
    for (let i = 0; i < 10; i++) bench().tun.push(reply(small.identifier, i))
    expect([small.waiting, small.overflowed]).to.deep.equal([4, 6])
    const sequences: number[] = []
    const iterating = (async () => {
      for await (const { sequence } of small) sequences.push(sequence)
    })()
    await tick()
    const replies: EchoReply[] = []
    const calling = open({ onReply: (one) => replies.push(one) })
    bench().tun.push(reply(calling.identifier, 3), reply(calling.identifier, 4))
    await tick()
    expect(replies.map(({ sequence }) => sequence)).to.deep.equal([3, 4])
    const controller = new AbortController()
    const aborted = open({ signal: controller.signal })
    const waiting = aborted.receive().catch((error: { code: string }) => error.code)
    controller.abort()
    expect(await waiting).to.equal('ERR_SOCKET_CLOSED')
    const { stack } = bench()
    await stack.close()
    await iterating
    expect(sequences).to.deep.equal([0, 1, 2, 3])
    expect([small.closed, calling.closed]).to.deep.equal([true, true])
    expect(codeOf(() => calling.send(1))).to.equal('ERR_STACK_CLOSED')
    expect(codeOf(() => open())).to.equal('ERR_STACK_CLOSED')
  })
})
