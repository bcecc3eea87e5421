/** What is sent when: Nagle, silly windows, congestion, and what acknowledgments say of losses. */
import { expect } from 'chai'
import type { TcpEvent, TcpSocket } from '../../lib/index.ts'
import { HostBench, useBench } from '../conformance/harness.ts'
import { pattern } from '../conformance/packets.ts'
import { accepted, type RawPeer, type Sent, sack } from './raw-peer.ts'

const MSS = 1000

describe('TCP sending', () => {
  const bench = useBench(() => new HostBench())
  const places = (sent: Sent[]): [number, number][] => sent.map(({ seq, data }) => [seq, data.length])

  it('tcp-nagle, tcp-psh: small writes wait for the acknowledgment of the first, and go together', async () => {
    const { peer, socket } = await accepted(bench())
    for (let i = 0; i < 5; i++) await socket.write(new Uint8Array(10))
    expect(places(peer.take())).to.deep.equal([[1, 10]])
    const [rest, ...more] = peer.send({ seq: 1, ack: 11 })
    expect(rest).to.include({ seq: 11, flags: 'PA' })
    expect(rest!.data).to.have.length(40)
    expect(more).to.have.length(0)
  })

  it('tcp-nodelay: with it they go at once', async () => {
    const { peer, socket } = await accepted(bench(), { mss: MSS }, { noDelay: true })
    for (let i = 0; i < 5; i++) {
      await socket.write(new Uint8Array(10))
      bench().settle()
    }
    expect(places(peer.take())).to.have.length(5)
    socket.noDelay = false
    await socket.write(new Uint8Array(10))
    await socket.write(new Uint8Array(10))
    bench().settle()
    expect(peer.take()).to.have.length(0)
    socket.noDelay = true
    bench().settle()
    expect(places(peer.take())).to.deep.equal([[51, 20]])
  })

  describe('writes of one turn of the event loop', () => {
    it('the first goes at once, the others together when the turn is over', async () => {
      const { peer, socket } = await accepted(bench(), { mss: MSS }, { noDelay: true })
      for (let i = 0; i < 5; i++) await socket.write(new Uint8Array(10))
      expect(places(peer.take())).to.deep.equal([
        [1, 10],
        [11, 40],
      ])
      expect(bench().count('TcpExtTCPAutoCorking')).to.equal(1)
    })

    it('go one by one without tcp_autocorking', async () => {
      bench().stack.sysctl.set('net.ipv4.tcp_autocorking', 0)
      const { peer, socket } = await accepted(bench(), { mss: MSS }, { noDelay: true })
      for (let i = 0; i < 5; i++) await socket.write(new Uint8Array(10))
      bench().settle()
      expect(places(peer.take())).to.have.length(5)
    })

    it('go with the FIN, and before a reset', async () => {
      for (const port of [80, 81]) {
        const { peer, socket } = await accepted(bench(), { mss: MSS }, { noDelay: true, port })
        await socket.write(new Uint8Array(10))
        await socket.write(new Uint8Array(20))
        if (port === 80) socket.end()
        else socket.reset()
        bench().settle()
        const sent = peer.take().map(({ flags, data }) => `${flags} ${data.length}`)
        expect(sent).to.deep.equal(port === 80 ? ['PA 10', 'FPA 20'] : ['PA 10', 'PA 20', 'RA 0'])
      }
    })
  })

  it('tcp-iw: the first flight is ten segments', async () => {
    const { peer, socket } = await accepted(bench(), { mss: MSS })
    void socket.write(new Uint8Array(100_000))
    expect(places(peer.take())).to.deep.equal(Array.from({ length: 10 }, (_, i) => [1 + i * MSS, MSS]))
  })

  it('tcp-ack-split: acknowledging one segment in pieces gains one segment', async () => {
    const { peer, socket } = await accepted(bench(), { mss: MSS })
    void socket.write(new Uint8Array(100_000))
    peer.take()
    for (let i = 1; i <= 20; i++) peer.send({ seq: 1, ack: 1 + i * 50 })
    expect(socket.info.snd_cwnd).to.be.at.most(11)
  })

  it('tcp-sws-send: no tiny segments into a window that opens byte by byte', async () => {
    const { peer, socket } = await accepted(bench(), { mss: MSS })
    await socket.write(new Uint8Array(MSS))
    peer.take()
    peer.send({ seq: 1, ack: 1 + MSS, window: 0 })
    void socket.write(new Uint8Array(5000))
    for (let wnd = 1; wnd < 100; wnd++)
      expect(peer.send({ seq: 1, ack: 1 + MSS, window: wnd })).to.have.length(0)
    const sent = peer.send({ seq: 1, ack: 1 + MSS, window: 2500 })
    expect(places(sent)).to.deep.equal([
      [1001, 1000],
      [2001, 1000],
    ])
  })

  it('tcp-wl-update: an old segment does not change the window', async () => {
    const { peer, socket } = await accepted(bench())
    peer.send({ seq: 1, ack: 1, data: [1, 2] })
    peer.send({ seq: 3, ack: 1, window: 5000 })
    peer.send({ seq: 2, ack: 1, window: 1 })
    expect(socket.info.snd_wnd).to.equal(5000)
    peer.send({ seq: 3, ack: 1, data: [3], window: 4000 })
    peer.send({ seq: 4, ack: 1, window: 4000 })
    expect(socket.info.snd_wnd).to.equal(4000)
  })

  it('tcp-mss-300, tcp-mss-default, tcp-df: segments of the size that the peer takes, with DF', async () => {
    const { peer, socket, server } = await accepted(bench(), { mss: 300 })
    await socket.write(new Uint8Array(3000))
    for (const sent of peer.take()) {
      expect(sent.data.length).to.be.at.most(300)
      expect(sent.df).to.equal(true)
    }
    void server.close()
  })

  it('hardening-11: a tiny MSS is not believed', async () => {
    const { peer, socket } = await accepted(bench(), { mss: 1, timestamps: true })
    await socket.write(new Uint8Array(100))
    expect(places(peer.take()).map(([, length]) => length)).to.deep.equal([36, 36, 28])
  })

  it('tcp-seg-size-opts: options count', async () => {
    const { peer, socket } = await accepted(bench(), { mss: 1460, timestamps: true, sackPermitted: true })
    peer.send({ seq: 100, ack: 1, data: [1] }) // something to report
    void socket.write(new Uint8Array(5000))
    const [first] = peer.take()
    expect(first).to.include({ size: 1500 })
    expect(first!.data).to.have.length(1460 - 12 - 12)
  })

  describe('losses', () => {
    /** A connection with ten segments on their way. */
    async function flight(
      options: Parameters<typeof accepted>[1] = { mss: MSS },
      bytes = 10 * MSS,
    ): Promise<{ peer: RawPeer; socket: TcpSocket; events: TcpEvent[] }> {
      bench().stack.sysctlSet('net.ipv4.tcp_congestion_control', 'reno')
      const { peer, socket } = await accepted(bench(), options)
      const events: TcpEvent[] = []
      socket.events = (event) => events.push(event)
      void socket.write(pattern(bytes)).catch(() => {})
      expect(peer.take()).to.have.length(10)
      return { peer, socket, events }
    }

    it('tcp-limited-transmit, tcp-fast-rexmit, tcp-ssthresh-fr: without SACK', async () => {
      const { peer, socket, events } = await flight({ mss: MSS }, 100 * MSS)
      expect(places(peer.send({ seq: 1, ack: 1 }))).to.deep.equal([[10_001, MSS]])
      expect(places(peer.send({ seq: 1, ack: 1 }))).to.deep.equal([[11_001, MSS]])
      expect(places(peer.send({ seq: 1, ack: 1 }))[0]).to.deep.equal([1, MSS])
      // Twelve were on their way, eight are; the window comes down by what arrives (RFC 6937).
      expect(socket.info).to.include({ ca_state: 3, snd_cwnd: 9, snd_ssthresh: 5 })
      expect(bench().count('TcpExtTCPRenoRecovery')).to.equal(1)
      expect(bench().count('TcpExtTCPFastRetrans')).to.equal(1)
      expect(events.find(({ type }) => type === 'retransmit')).to.include({
        reason: 'fast',
        offset: 1,
        length: MSS,
      })
    })

    it('tcp-newreno-partial: a partial acknowledgment has the next hole filled', async () => {
      const { peer, socket } = await flight()
      for (let i = 0; i < 3; i++) peer.send({ seq: 1, ack: 1 })
      expect(places(peer.send({ seq: 1, ack: 3001 }))[0]).to.deep.equal([3001, MSS])
      peer.send({ seq: 1, ack: 10_001 })
      // Over when something beyond is acknowledged (RFC 6582 §3.2 step 2): until then duplicates say nothing.
      expect(socket.info).to.include({ ca_state: 3, unacked: 0 })
      void socket.write(pattern(MSS))
      peer.send({ seq: 1, ack: 11_001 })
      expect(socket.info).to.include({ ca_state: 0, unacked: 0, snd_cwnd: 5 })
    })

    it('tcp-dupack-strict: with data, or another window, it is no duplicate', async () => {
      const { peer } = await flight()
      for (let i = 0; i < 6; i++) {
        const sent = peer.send({ seq: 1 + i, ack: 1, data: [1] })
        expect(places(sent).every(([, length]) => length === 0)).to.equal(true)
      }
      for (let i = 0; i < 6; i++) expect(peer.send({ seq: 7, ack: 1, window: 60_000 - i })).to.have.length(0)
      expect(bench().count('TcpRetransSegs')).to.equal(0)
    })

    it('tcp-sack-rexmit: of eight the first and the fourth are missing, and exactly they go again', async () => {
      const { peer } = await flight({ mss: MSS, sackPermitted: true })
      const at = (n: number): number => peer.theirs + 1 + n * MSS
      const resent: Sent[] = []
      resent.push(...peer.send({ seq: 1, ack: 1, options: sack([at(1), at(2)]) }))
      resent.push(...peer.send({ seq: 1, ack: 1, options: sack([at(1), at(3)]) }))
      resent.push(...peer.send({ seq: 1, ack: 1, options: sack([at(4), at(5)], [at(1), at(3)]) }))
      resent.push(...peer.send({ seq: 1, ack: 1, options: sack([at(4), at(6)], [at(1), at(3)]) }))
      for (let n = 7; n <= 10; n++) {
        resent.push(...peer.send({ seq: 1, ack: 1, options: sack([at(4), at(n)], [at(1), at(3)]) }))
      }
      expect(places(resent)).to.deep.equal([
        [1, MSS],
        [3001, MSS],
      ])
      expect(bench().count('TcpExtTCPSackRecovery')).to.equal(1)
      bench().pass(150)
      expect(peer.take()).to.have.length(0)
    })

    it('tcp-sack-invalid: blocks that cannot be are ignored', async () => {
      const { peer, socket } = await flight({ mss: MSS, sackPermitted: true })
      const una = peer.theirs + 1
      for (const block of [
        [una - 5000, una - 100],
        [una + 50_000, una + 60_000],
        [una + 3000, una + 1000],
        [una, una],
      ]) {
        expect(peer.send({ seq: 1, ack: 1, options: sack(block as [number, number]) })).to.have.length(0)
      }
      expect(socket.info.sacked).to.equal(0)
    })

    it('tcp-rexmit-collapse, tcp-ssthresh-rto: after a timeout one segment, then slow start', async () => {
      const { peer, socket, events } = await flight()
      bench().pass(250)
      expect(places(peer.take())).to.deep.equal([[1, MSS]])
      expect(socket.info).to.include({ ca_state: 4, snd_cwnd: 1, snd_ssthresh: 5 })
      expect(places(peer.send({ seq: 1, ack: 1001 }))).to.deep.equal([
        [1001, MSS],
        [2001, MSS],
      ])
      peer.send({ seq: 1, ack: 10_001 })
      // Without SACK duplicates of what was sent again are to be expected: it is not over before new data has arrived.
      expect(socket.info.ca_state).to.equal(4)
      void socket.write(pattern(MSS))
      peer.take()
      peer.send({ seq: 1, ack: 11_001 })
      expect(socket.info.ca_state).to.equal(0)
      expect(
        events.filter(({ type }) => type === 'cwnd').map((event) => (event as { state: string }).state),
      ).to.deep.equal(['loss', 'open'])
      expect(events.some((event) => event.type === 'retransmit' && event.reason === 'timeout')).to.equal(true)
    })

    it('tcp-sack-reneg: what was told of and then not acknowledged is sent again', async () => {
      const { peer } = await flight({ mss: MSS, sackPermitted: true })
      const at = (n: number): number => peer.theirs + 1 + n * MSS
      peer.send({ seq: 1, ack: 1, options: sack([at(1), at(10)]) })
      peer.send({ seq: 1, ack: 1001 }) // and no more of it
      bench().pass(2000)
      const [again] = peer.take()
      expect(places([again!])).to.deep.equal([[1001, MSS]])
      expect(bench().count('TcpExtTCPSACKReneging')).to.equal(1)
    })

    it('tcp-rto-restart: a partial acknowledgment starts the timer anew', async () => {
      const { peer } = await flight()
      peer.send({ seq: 1, ack: 1001 }) // RTO 200 ms from here
      bench().pass(150)
      peer.send({ seq: 1, ack: 2001 })
      bench().pass(150)
      expect(peer.take().filter(({ data }) => data.length > 0)).to.have.length(0)
      bench().pass(100)
      expect(places(peer.take())[0]).to.deep.equal([2001, MSS])
    })

    it('tcp-idle-restart: after a pause the window begins small again', async () => {
      const { peer, socket } = await accepted(bench(), { mss: MSS })
      let acked = 1
      void socket.write(new Uint8Array(100 * MSS))
      for (;;) {
        const sent = peer.take()
        if (sent.length === 0) break
        acked = Math.max(...sent.map(({ seq, data }) => seq + data.length))
        peer.send({ seq: 1, ack: acked }).forEach((more) => {
          acked = Math.max(acked, more.seq + more.data.length)
        })
        peer.send({ seq: 1, ack: acked })
      }
      const { snd_cwnd } = socket.info
      expect(snd_cwnd).to.be.above(20)
      bench().pass(60_000)
      peer.take()
      void socket.write(new Uint8Array(100 * MSS)).catch(() => {})
      expect(peer.take().length).to.be.at.most(10)
    })
  })
})
