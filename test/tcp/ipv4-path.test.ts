/** ICMP about connections (RFC 5927), and what it teaches about the path (RFC 1191). */
import { expect } from 'chai'
import { ip } from '../../lib/index.ts'
import { HOST, HostBench, PEER, useBench } from '../conformance/harness.ts'
import { icmp, pattern } from '../conformance/packets.ts'
import { tick } from './pair.ts'
import { accepted, connected, type RawPeer, read, segment } from './raw-peer.ts'

describe('TCP and ICMP', () => {
  const bench = useBench(() => new HostBench())

  /** An error that quotes a segment of the stack with the number `seq`, relative. */
  function report(peer: RawPeer, type: number, code: number, seq: number, mtu = 0): void {
    const quoted = segment({
      src: HOST,
      dst: PEER,
      sport: peer.port,
      dport: peer.localPort,
      seq: peer.theirs + seq,
    })
    bench().tun.push(icmp({ src: PEER, dst: HOST }, { type, code, word: mtu }, quoted.subarray(0, 28)))
    bench().settle()
  }

  it('tcp-pmtu: Fragmentation Needed has what is on its way sent again at once, in segments that fit', async () => {
    const { peer, socket } = await accepted(bench())
    await socket.write(pattern(3000))
    expect(peer.take().map(({ size }) => size)).to.deep.equal([1500, 1500, 120])
    report(peer, 3, 4, 1, 600)
    const again = peer.take()
    expect(again.map(({ seq }) => seq)).to.deep.equal([1, 561, 1121, 1681, 2241, 2801])
    expect(Math.max(...again.map(({ size }) => size))).to.equal(600)
    expect(Buffer.concat(again.map(({ data }) => data))).to.deep.equal(Buffer.from(pattern(3000)))
    expect(socket.info).to.include({ pmtu: 600, snd_mss: 560 })
    expect(socket.info.snd_cwnd, 'no congestion').to.be.at.least(10)
    peer.send({ seq: 1, ack: 3001 })
    await socket.write(pattern(2000))
    expect(Math.max(...peer.take().map(({ size }) => size))).to.equal(600)
  })

  it('keeps to the MTU and the MSS of a route', async () => {
    bench().stack.routes.add(`${PEER} dev tun0 mtu 1000`)
    const { peer, socket, syn } = await connected(bench())
    expect(syn.options.mss).to.equal(960)
    await socket.write(pattern(3000))
    expect(Math.max(...peer.take().map(({ size }) => size))).to.equal(1000)
    ip(bench().stack, 'route add 10.9.0.77 dev tun0 advmss 500')
    const other = bench()
      .stack.tcp.connect({ address: '10.9.0.77', port: 7 })
      .catch(() => {})
    await tick()
    bench().settle()
    expect(read(bench().tun.take()[0]!).options.mss).to.equal(500)
    await bench().stack.close()
    await other
  })

  it('tcp-mss-pmtu-cache, tcp-pmtu-probe: the next connection begins with it, for ten minutes', async () => {
    const { peer, socket, server } = await accepted(bench())
    await socket.write(pattern(1460))
    report(peer, 3, 4, 1, 600)
    peer.take()
    await server.close()
    const second = await connected(bench())
    await second.socket.write(pattern(1000))
    expect(Math.max(...second.peer.take().map(({ size }) => size))).to.equal(600)
    second.peer.send({ seq: 1, ack: 1001 })
    bench().pass(601_000)
    second.peer.take()
    await second.socket.write(pattern(3000))
    expect(Math.max(...second.peer.take().map(({ size }) => size))).to.equal(1500)
  })

  it('tcp-pmtu-badseq, tcp-pmtu-attack-delay, hardening-14: a number that is not on its way says nothing', async () => {
    const { peer, socket } = await accepted(bench())
    await socket.write(pattern(1460))
    peer.take()
    report(peer, 3, 4, 5000, 600)
    report(peer, 3, 4, -1000, 600)
    peer.send({ seq: 1, ack: 1461 })
    report(peer, 3, 4, 1, 600) // acknowledged meanwhile
    expect(bench().count('TcpExtOutOfWindowIcmps')).to.equal(3)
    await socket.write(pattern(1460))
    expect(peer.take()[0]).to.include({ size: 1500 })
  })

  it('tcp-pmtu-tiny, tcp-pmtu-grow: nothing absurd is believed', async () => {
    const { peer, socket } = await accepted(bench())
    let acked = 1
    for (const mtu of [9000, 0, 1, 20, 67]) {
      await socket.write(pattern(1460))
      report(peer, 3, 4, acked, mtu)
      bench().pass(1000)
      for (let sent = peer.take(); sent.length > 0; sent = peer.send({ seq: 1, ack: acked })) {
        for (const { seq, data, size } of sent) {
          expect(size).to.be.within(41, 1500)
          acked = Math.max(acked, seq + data.length)
        }
      }
    }
    expect(acked, 'data still flows').to.equal(1 + 5 * 1460)
    expect(socket.info.snd_mss).to.equal(512) // `min_pmtu`, and without DF
    await socket.write(pattern(1000))
    expect(peer.take().map(({ size, df }) => [size, df])).to.deep.equal([
      [552, false],
      [528, false],
    ])
  })

  const soft: [string, number, number][] = [
    ['tcp-icmp-soft-net', 3, 0],
    ['tcp-icmp-soft-srcroute', 3, 5],
    ['tcp-icmp-soft-ttl', 11, 0],
    ['tcp-icmp-hard', 3, 2],
    ['tcp-icmp-hard', 3, 3],
  ]
  for (const [name, type, code] of soft) {
    it(`${name} (hardening-14): ${type}/${code} does not end a connection that works`, async () => {
      const { peer, socket } = await accepted(bench())
      await socket.write(pattern(100))
      peer.take()
      report(peer, type, code, 1)
      expect(socket.state).to.equal('ESTABLISHED')
      peer.send({ seq: 1, ack: 101, data: [1] })
      expect(socket.readableLength).to.equal(1)
    })
  }

  it('an error about nobody’s connection counts as one of ICMP', () => {
    const quoted = segment({ src: HOST, dst: PEER, sport: 5, dport: 6 })
    bench().tun.push(icmp({ src: PEER, dst: HOST }, { type: 3, code: 1 }, quoted.subarray(0, 28)))
    bench().settle()
    expect(bench().count('IcmpInErrors')).to.equal(1)
  })
})
