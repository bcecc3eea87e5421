import { expect } from 'chai'
import type { TcpSocket } from '../../lib/index.ts'
import { useBench } from './harness.ts'
import { pattern } from './packets.ts'
import { brief, DISCARD, ECHO, HOLD, type Options, open, Peer, type Segment, TcpBench } from './tcp-peer.ts'

const bench = useBench(() => new TcpBench())

/** A connection, and its application's end. */
async function held(options: Options = { mss: 1460 }): Promise<{ peer: Peer; socket: TcpSocket }> {
  const peer = await open(bench(), HOLD, options)
  return { peer, socket: bench().held.at(-1)! }
}

/** The application has closed; FIN was acknowledged, and ours, if `fin`, too. */
async function closed(fin: boolean): Promise<{ peer: Peer; socket: TcpSocket }> {
  const { peer, socket } = await held()
  void socket.close()
  expect(brief(await peer.elapse())).to.deep.equal(['FA 1 ack 1'])
  peer.received = 2
  await peer.send()
  if (fin) {
    expect(brief(await peer.send({ flags: 'FA' }))).to.deep.equal(['A 2 ack 2'])
    peer.next = 2
  }
  return { peer, socket }
}

const withFin = (segments: readonly Segment[]): Segment[] =>
  segments.filter(({ flags }) => flags.includes('F'))

describe('TCP: the peer closes (RFC 9293 §3.6)', () => {
  it('tcp-fin-data: data and FIN in one segment', async () => {
    const peer = await open(bench(), ECHO)
    const answer = await peer.send({ data: pattern(50), flags: 'FPA' }, 200)
    expect(peer.take(answer)).to.deep.equal(pattern(50))
    expect(answer.at(-1)!.ack).to.equal(52)
    expect(withFin(answer)).to.have.length(1)
  })

  it('tcp-fin-ooo: FIN before the data in front of it counts when the hole is filled (hardening-21)', async () => {
    const peer = await open(bench(), ECHO, { mss: 1460, sackOk: true })
    const early = await peer.send({ seq: 11, data: pattern(10, 1), flags: 'FPA' }, 200)
    for (const { ack } of early) expect(ack).to.equal(1)
    const answer = await peer.send({ seq: 1, data: pattern(10) }, 200)
    expect(answer.at(-1)!.ack).to.equal(22)
    expect(Array.from(peer.take(answer))).to.deep.equal([...pattern(10), ...pattern(10, 1)])
  })

  it('FIN that the window cuts off comes again (hardening-21)', async () => {
    const { peer, socket } = await held()
    let { ack, window } = (await peer.write([1], {}, 100)).at(-1)!
    while (peer.next < ack + window - 100) {
      const last = (await peer.write(pattern(Math.min(1460, ack + window - 100 - peer.next)), {}, 100)).at(
        -1,
      )!
      ;({ ack, window } = last)
    }
    const edge = ack + window
    // The last hundred bytes fit, and more would not.
    const answers = await peer.send({ data: pattern(200), flags: 'FPA' }, 300)
    expect(answers.at(-1)!.ack).to.be.at.most(edge)
    await socket.readInto(new Uint8Array(1 << 20))
    await peer.elapse(100)
    const rest = await peer.send({ data: pattern(200), flags: 'FPA' }, 300)
    expect(rest.at(-1)!.ack).to.equal(peer.next + 201)
  })

  it('tcp-fin-rexmit: our FIN is sent again with the same number', async () => {
    const peer = await open(bench(), ECHO)
    const sent = withFin(await peer.send({ flags: 'FA' }, 5000))
    expect(sent.length).to.be.at.least(3)
    for (const { seq } of sent) expect(seq).to.equal(1)
  })

  it('tcp-closewait-rst: once all is over a segment gets RST', async () => {
    const peer = await open(bench(), DISCARD)
    const answer = await peer.send({ flags: 'FA' }, 50)
    expect(withFin(answer)).to.have.length(1)
    peer.next = peer.received = 2
    await peer.send()
    expect(brief(await peer.write(pattern(5)))).to.deep.equal(['R 2'])
  })

  it('lastack-ack, tcp-closing-ack: an ACK that does not cover the FIN leaves things as they are', async () => {
    const peer = await open(bench(), DISCARD)
    await peer.send({ flags: 'FA' }, 50)
    peer.next = 2
    await peer.send({ ack: 1 }, 50)
    expect(withFin(await peer.elapse(2000)).length).to.be.at.least(1)
    await peer.send({ ack: 5000 }, 1000)
    expect(withFin(await peer.elapse(5000)).length).to.be.at.least(1)
    await peer.send({ ack: 2 })
    expect(brief(await peer.send({ ack: 2 }))).to.deep.equal(['R 2'])
  })

  it('tcp-closing-ack: both close at once, CLOSING', async () => {
    const { peer, socket } = await held()
    void socket.close()
    await peer.elapse()
    const crossed = await peer.send({ flags: 'FA', ack: 1 })
    expect(crossed.at(-1)).to.include({ flags: 'A', ack: 2 })
    expect(socket.state).to.equal('CLOSING')
    peer.next = 2
    await peer.send({ ack: 1 })
    expect(socket.state).to.equal('CLOSING')
    expect(withFin(await peer.elapse(2000)).length).to.be.at.least(1)
    await peer.send({ ack: 2 })
    expect(socket.state).to.equal('TIME_WAIT')
  })
})

describe('TCP: the application closes', () => {
  it('tcp-finwait-data, tcp-data-after-close: data for whoever has closed gets RST', async () => {
    const { peer, socket } = await closed(false)
    expect(socket.state).to.equal('FIN_WAIT_2')
    const answer = await peer.send({ data: pattern(10) })
    expect(answer.map(({ flags }) => flags.replace('A', ''))).to.deep.equal(['R'])
    expect(socket.state).to.equal('CLOSED')
  })

  it('tcp-finwait2-timeout: a peer that never closes is waited for a minute', async () => {
    const { peer, socket } = await closed(false)
    await peer.elapse(59_000)
    expect(socket.state).to.equal('FIN_WAIT_2')
    await peer.elapse(3_000)
    const answer = await peer.send({ flags: 'FA' })
    expect(answer.map(({ flags }) => flags.replace('A', ''))).to.deep.equal(['R'])
  })

  it('tcp-tw-2msl: TIME-WAIT for a minute: the four-tuple is not used again', async () => {
    const { peer } = await closed(true)
    const again = bench()
      .stack.tcp.connect({ address: '10.9.0.1', port: 41000, localPort: HOLD })
      .then(
        () => 'connected',
        (error: { code: string }) => error.code,
      )
    await peer.elapse()
    expect(await again).to.be.oneOf(['EADDRINUSE', 'EADDRNOTAVAIL'])
    await peer.elapse(55_000)
    // A FIN that comes again is acknowledged, and the wait begins anew.
    expect(brief(await peer.send({ flags: 'FA', seq: 1 }))).to.deep.equal(['A 2 ack 2'])
    await peer.elapse(58_000)
    expect(brief(await peer.send({ flags: 'FA', seq: 1 }))).to.deep.equal(['A 2 ack 2'])
    await peer.elapse(62_000)
    expect(brief(await peer.send({ flags: 'FA', seq: 1 }))).to.deep.equal(['R 2'])
  })

  it('tcp-tw-rst: with tcp_rfc1337 RST does not end TIME-WAIT', async () => {
    bench().stack.sysctlSet('net.ipv4.tcp_rfc1337', 1)
    const { peer } = await closed(true)
    expect(await peer.send({ flags: 'R' })).to.deep.equal([])
    await peer.elapse(1000)
    expect(brief(await peer.send({ flags: 'FA', seq: 1 }))).to.deep.equal(['A 2 ack 2'])
  })

  it('tcp-tw-rst: without it it does, as in Linux', async () => {
    const { peer } = await closed(true)
    expect(await peer.send({ flags: 'R' })).to.deep.equal([])
    expect(brief(await peer.send({ flags: 'FA', seq: 1 }))).to.deep.equal(['R 2'])
  })

  it('tcp-tw-syn: a SYN further on opens a new connection', async () => {
    const { peer } = await closed(true)
    const next = new Peer(bench(), HOLD, { isn: peer.isn + 100_000 })
    const answer = await next.open()
    expect((answer.seq - (peer.irs + 2)) | 0).to.be.greaterThan(0)
    expect(await next.isAlive()).to.equal(true)
  })

  it('tcp-close-unread: with something unread it is RST instead of FIN', async () => {
    const { peer, socket } = await held()
    await peer.write(pattern(10), {}, 100)
    void socket.close()
    const sent = await peer.elapse(100)
    expect(sent.map(({ flags }) => flags)).to.deep.equal(['RA'])
    expect(sent[0]!.seq).to.equal(1)
  })

  it('tcp-abort: RST at SND.NXT', async () => {
    const { peer, socket } = await held()
    void socket.write(pattern(100)).catch(() => {})
    await peer.elapse()
    socket.reset()
    const sent = await peer.elapse(100)
    expect(sent.map(({ flags, seq }) => [flags, seq])).to.deep.equal([['RA', 101]])
  })

  it('tcp-ts-rst: RST of a connection with timestamps carries them or not', async () => {
    const { peer, socket } = await held({ mss: 1460, ts: [5000, 0] })
    socket.reset()
    const [reset] = await peer.elapse(10)
    expect(reset!.flags).to.equal('RA')
    expect(reset!.options.ts?.length ?? 2).to.equal(2)
  })

  it('tcp-backlog: beyond the backlog SYNs are dropped, and those who wait are unharmed', async () => {
    const server = bench().stack.tcp.listen({ port: 2000, backlog: 3 })
    const peers: Peer[] = []
    for (let i = 0; i < 4; i++) peers.push(await open(bench(), 2000, { mss: 1460 }, { ownPort: 50_000 + i }))
    const late = new Peer(bench(), 2000, { ownPort: 51_000 })
    expect(await late.send({ flags: 'S', seq: 0 })).to.deep.equal([])
    for (const peer of peers) expect(await peer.isAlive()).to.equal(true)
    const socket = await server.accept()
    expect(socket.remotePort).to.equal(50_000)
    const [answer] = await late.send({ flags: 'S', seq: 0 })
    expect(answer!.flags).to.equal('SA')
  })
})
