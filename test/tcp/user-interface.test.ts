/** What a program can ask of TCP and is told by it (RFC 9293 §3.9.1, §3.10), seen on the wire. */
import { expect } from 'chai'
import type { TcpSocket } from '../../lib/index.ts'
import { IPV4_TOS, IPV4_TTL } from '../../lib/wire/ipv4.ts'
import { HOST, HostBench, PEER, useBench } from '../conformance/harness.ts'
import { tick } from './pair.ts'
import { accepted, codeOf, connected, dialled } from './raw-peer.ts'

describe('the interface of TCP to its user', () => {
  const bench = useBench(() => new HostBench())

  it('tcp-open-broadcast: refuses to open to an address of many', async () => {
    const { tcp } = bench().stack
    for (const address of ['255.255.255.255', '10.9.0.255', '224.0.0.1']) {
      expect(await codeOf(tcp.connect({ address, port: 80 })), address).to.equal('ENETUNREACH')
    }
    expect(bench().tun.take()).to.have.length(0)
  })

  it('tcp-listen-many: listens on one port at two addresses, and beside open connections', async () => {
    const { stack, tun } = bench()
    stack.loopback.addAddress('10.0.9.1/32')
    const first = stack.tcp.listen({ address: HOST, port: 80 })
    const second = stack.tcp.listen({ address: '10.0.9.1', port: 80 })
    const open = async (address: string): Promise<TcpSocket> => {
      const opening = stack.tcp.connect({ address, port: 80 })
      await tick()
      bench().settle()
      return opening
    }
    const one = await open(HOST)
    const two = await open('10.0.9.1')
    expect((await first.accept()).remotePort).to.equal(one.localPort)
    expect((await second.accept()).remotePort).to.equal(two.localPort)
    const third = stack.tcp.listen({ address: '127.0.0.1', port: 80 })
    await third.close()
    expect([one.state, two.state]).to.deep.equal(['ESTABLISHED', 'ESTABLISHED'])
    tun.take()
  })

  it('tcp-open-source: asks IP for the address of its SYN, or takes the one it is given', async () => {
    bench().stack.loopback.addAddress('10.0.9.1/32')
    const { opening: byRoute } = await dialled(bench())
    const { opening: given, syn } = await dialled(bench(), { localAddress: '10.0.9.1', localPort: 7777 })
    expect(syn.sport).to.equal(7777)
    expect(
      await codeOf(bench().stack.tcp.connect({ address: PEER, port: 1, localAddress: '10.9.9.9' })),
    ).to.equal('EADDRNOTAVAIL')
    for (const opening of [byRoute, given]) opening.catch(() => {})
  })

  it('uses the congestion control that the program asks for, or what the sysctl says', async () => {
    expect((await connected(bench())).socket.congestion).to.equal('cubic')
    expect((await connected(bench(), { mss: 1460 }, { congestion: 'reno' })).socket.congestion).to.equal(
      'reno',
    )
    expect((await accepted(bench(), { mss: 1460 }, { congestion: 'reno' })).socket.congestion).to.equal(
      'reno',
    )
    expect(
      await codeOf(bench().stack.tcp.connect({ address: PEER, port: 1, congestion: 'vegas' as 'reno' })),
    ).to.equal('ERR_INVALID_ARG_VALUE')
  })

  it('tcp-tos, tcp-ttl: are what the program says, at the beginning and later', async () => {
    const { socket } = await connected(bench(), { mss: 1460 }, { tos: 0xb8, ttl: 9 })
    const octets = async (): Promise<number[]> => {
      await socket.write(new Uint8Array(1))
      bench().settle()
      return bench()
        .tun.take()
        .flatMap((bytes) => [bytes[IPV4_TOS]!, bytes[IPV4_TTL]!])
    }
    bench().tun.take()
    socket.noDelay = true
    expect(await octets()).to.deep.equal([0xb8, 9])
    socket.tos = 0x2b // ECN is not the program's
    socket.ttl = 33
    expect([socket.tos, socket.ttl]).to.deep.equal([0x28, 33])
    expect(await octets()).to.deep.equal([0x28, 33])
    expect(() => {
      socket.ttl = 256
    })
      .to.throw()
      .with.property('code', 'ERR_INVALID_ARG_VALUE')
  })
})
