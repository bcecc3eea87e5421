import { expect } from 'chai'
import fc from 'fast-check'
import { createFlowKey, setIpv4Flow } from '../../lib/demux/flow-key.ts'
import { Random } from '../../lib/random/random.ts'
import { seededRandom } from '../../lib/random/seeded.ts'
import {
  COOKIE_PERIOD,
  COOKIE_SIZES,
  decodeOptions,
  encodeOptions,
  SynCookies,
} from '../../lib/tcp/syn-cookies.ts'
import { HostBench, useBench } from '../conformance/harness.ts'
import { RawPeer, synOptions } from './raw-peer.ts'

const cookies = new SynCookies(new Random(seededRandom(1)))

function keyOf(remote: number, port: number): Int32Array {
  const key = createFlowKey()
  setIpv4Flow(key, 0x0a090002, 80, remote, port, 0)
  return key
}

describe('SynCookies', () => {
  it('property: holds the largest size that the peer takes, for a minute or two, for that peer alone', () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.nat(65535),
        fc.integer(),
        fc.integer({ min: 1, max: 9000 }),
        fc.nat(1000),
        fc.nat(200),
        (remote, port, irs, mss, minute, later) => {
          const now = minute * COOKIE_PERIOD + 5
          const key = keyOf(remote, port)
          const cookie = cookies.make(key, irs, mss, now)
          const size = COOKIE_SIZES.findLast((one) => one <= mss) ?? 536
          const then = now + later * 1e9
          const isGood = Math.floor(then / COOKIE_PERIOD) - minute < 2
          expect(cookies.check(key, irs, cookie, then)).to.equal(isGood ? size : 0)
          // Another peer's is one by chance only: one in some millions.
          expect(cookies.check(keyOf(remote ^ 1, port), irs, cookie, now)).to.equal(0)
        },
      ),
      { seed: 7 },
    )
  })

  it('property: options come back from a timestamp that is not later than the clock', () => {
    const options = fc.record({
      windowScale: fc.integer({ min: -1, max: 14 }),
      sack: fc.boolean(),
      ecn: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.integer(), options, (clock, given) => {
        const value = encodeOptions(clock, given)
        expect(decodeOptions(value)).to.deep.equal(given)
        expect((clock - value) | 0).to.be.within(0, 63)
      }),
    )
  })
})

describe('a listener under a flood', () => {
  const bench = useBench(() => new HostBench())
  const OPTIONS = synOptions({
    mss: 1460,
    windowScale: 7,
    sackPermitted: true,
    timestamps: true,
    tsValue: 1000,
  })

  function flood(count: number, backlog = 10): void {
    bench().stack.tcp.listen({ port: 80, backlog })
    for (let i = 0; i < count; i++) {
      const peer = new RawPeer(bench(), 80, 1024 + i)
      expect(peer.send({ flags: 'S', options: OPTIONS })[0]!.flags).to.equal('SA')
    }
  }

  it('hardening-12, tcp-synflood: answers every SYN, and remembers no more than its backlog', () => {
    flood(3000)
    expect(bench().count('TcpExtSyncookiesSent')).to.equal(3000 - 11)
    expect(bench().count('TcpExtTCPReqQFullDoCookies')).to.equal(3000 - 11)
    expect(bench().count('TcpExtListenDrops')).to.equal(0)
  })

  it('takes a connection whose ACK brings the cookie, with what was offered', async () => {
    const server = bench().stack.tcp.listen({ port: 80, backlog: 0 })
    new RawPeer(bench(), 80, 1024).send({ flags: 'S', options: OPTIONS })
    const peer = new RawPeer(bench(), 80, 2000)
    const [answer] = peer.send({ flags: 'S', options: OPTIONS })
    peer.theirs = answer!.seq
    bench().pass(70_000) // a minute later, it is good still
    peer.take()
    peer.clock = 1001
    peer.lastTs = answer!.options.tsValue
    peer.send({ seq: 1, ack: 1, data: [1, 2, 3] })
    const socket = await server.accept()
    expect(bench().count('TcpExtSyncookiesRecv')).to.equal(1)
    expect(socket.info).to.include({ options: 7, snd_wscale: 7, bytes_received: 3 })
    await socket.write(new Uint8Array(5000))
    expect(peer.take().filter(({ data }) => data.length > 0)[0]!.data).to.have.length(1448)
  })

  it('and without timestamps with a size alone', async () => {
    const server = bench().stack.tcp.listen({ port: 80, backlog: 0 })
    new RawPeer(bench(), 80, 1024).send({ flags: 'S' })
    const peer = new RawPeer(bench(), 80, 2000)
    const [answer] = peer.send({
      flags: 'S',
      options: synOptions({ mss: 1400, windowScale: 7, sackPermitted: true }),
    })
    expect(answer!.options).to.include({ windowScale: -1, sackPermitted: false })
    peer.theirs = answer!.seq
    peer.send({ seq: 1, ack: 1 })
    expect((await server.accept()).info).to.include({ options: 0, snd_mss: 1300 })
  })

  it('resets whoever makes one up, or comes too late', () => {
    bench().stack.tcp.listen({ port: 80, backlog: 0 })
    const nobody = new RawPeer(bench(), 80, 3000)
    expect(nobody.send({ seq: 1, ack: 77 })[0]!.flags).to.equal('R')
    expect(bench().count('TcpExtSyncookiesFailed'), 'none was sent').to.equal(0)
    new RawPeer(bench(), 80, 1024).send({ flags: 'S' })
    const peer = new RawPeer(bench(), 80, 2000)
    peer.theirs = peer.send({ flags: 'S' })[0]!.seq
    expect(nobody.send({ seq: 1, ack: 77 })[0]!.flags).to.equal('R')
    expect(bench().count('TcpExtSyncookiesFailed')).to.equal(1)
    bench().pass(121_000)
    peer.take()
    expect(peer.send({ seq: 1, ack: 1 })[0]!.flags).to.equal('R')
    expect(bench().count('TcpExtSyncookiesRecv')).to.equal(0)
  })

  it('uses them always, or never, as tcp_syncookies says', () => {
    const { stack } = bench()
    stack.tcp.listen({ port: 80 })
    stack.sysctlSet('net.ipv4.tcp_syncookies', 2)
    new RawPeer(bench(), 80, 1024).send({ flags: 'S' })
    expect(bench().count('TcpExtSyncookiesSent')).to.equal(1)
    stack.sysctlSet('net.ipv4.tcp_syncookies', 0)
    stack.tcp.listen({ port: 81, backlog: 0 })
    new RawPeer(bench(), 81, 1024).send({ flags: 'S' })
    expect(new RawPeer(bench(), 81, 1025).send({ flags: 'S' })).to.have.length(0)
    expect(bench().count('TcpExtSyncookiesSent')).to.equal(1)
  })
})
