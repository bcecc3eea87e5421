/** How connections end, and what is let in on the way. */
import { expect } from 'chai'
import { HostBench, useBench } from '../conformance/harness.ts'
import { accepted, codeOf, connected, RawPeer, synOptions, timestamps } from './raw-peer.ts'

describe('TCP states', () => {
  const bench = useBench(() => new HostBench())
  const read = async (socket: { readInto(target: Uint8Array): Promise<number> }): Promise<number> =>
    socket.readInto(new Uint8Array(100))

  it('closes from this end: FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT for a minute (tcp-tw-2msl)', async () => {
    const { peer, socket } = await accepted(bench())
    const closing = socket.close()
    expect(peer.take()[0]).to.include({ flags: 'FA', seq: 1 })
    expect(socket.state).to.equal('FIN_WAIT_1')
    peer.send({ seq: 1, ack: 2 })
    expect(socket.state).to.equal('FIN_WAIT_2')
    await closing
    expect(peer.send({ flags: 'FA', seq: 1, ack: 2 })[0]).to.include({ flags: 'A', ack: 2, seq: 2 })
    expect(socket.state).to.equal('TIME_WAIT')
    bench().pass(59_000)
    expect(peer.send({ flags: 'FA', seq: 1, ack: 2 })[0]).to.include({ flags: 'A', ack: 2, seq: 2 })
    bench().pass(59_000) // that FIN began the minute anew
    expect(peer.send({ seq: 2, ack: 2, data: [1] })[0]).to.include({ flags: 'A', ack: 2 })
    bench().pass(61_000)
    expect(peer.send({ seq: 2, ack: 2 })[0]).to.include({ flags: 'R', seq: 2 })
    expect(bench().count('TcpExtTW')).to.equal(1)
  })

  it('closes from the peer: CLOSE-WAIT, LAST-ACK, and is gone (tcp-closewait-rst)', async () => {
    const { peer, socket } = await accepted(bench())
    expect(peer.send({ flags: 'FA', seq: 1, ack: 1 })).to.have.length(0)
    expect(socket.state).to.equal('CLOSE_WAIT')
    bench().pass(1)
    expect(peer.take()[0]).to.include({ flags: 'A', ack: 2 })
    expect(await read(socket)).to.equal(0)
    await socket.write(new Uint8Array([1, 2]))
    socket.end()
    expect(peer.take().map(({ flags, data }) => [flags, data.length])).to.deep.equal([
      ['PA', 2],
      ['FA', 0],
    ])
    expect(socket.state).to.equal('LAST_ACK')
    peer.send({ seq: 2, ack: 3 }) // tcp-lastack-ack: the FIN is not acknowledged
    expect(socket.state).to.equal('LAST_ACK')
    peer.send({ seq: 2, ack: 4 })
    expect(socket.state).to.equal('CLOSED')
    expect(peer.send({ seq: 2, ack: 4 })[0]).to.include({ flags: 'R', seq: 4 })
    expect(bench().count('TcpEstabResets')).to.equal(0)
  })

  describe('the acknowledgment of a FIN', () => {
    it('goes with the FIN of an application that closes at once', async () => {
      const { peer, socket } = await accepted(bench())
      expect(peer.send({ flags: 'FA', seq: 1, ack: 1 })).to.have.length(0)
      expect(await read(socket)).to.equal(0)
      const closing = socket.close()
      expect(peer.take().map(({ flags, ack }) => [flags, ack])).to.deep.equal([['FA', 2]])
      peer.send({ seq: 2, ack: 2 })
      await closing
      bench().pass(1000)
      expect(peer.take()).to.have.length(0)
    })

    it('waits for 40 ms if data came before, though acknowledgments were quick until then', async () => {
      const { peer } = await accepted(bench())
      expect(peer.send({ seq: 1, ack: 1, data: [1, 2] })[0]).to.include({ flags: 'A', ack: 3 })
      expect(peer.send({ flags: 'FA', seq: 3, ack: 1 })).to.have.length(0)
      bench().pass(39)
      expect(peer.take()).to.have.length(0)
      bench().pass(1)
      expect(peer.take()[0]).to.include({ flags: 'A', ack: 4 })
      expect(bench().count('TcpExtDelayedACKs')).to.equal(1)
    })

    it('does not wait if more than a segment of data is not acknowledged, or a hole was filled', async () => {
      const { peer } = await accepted(bench())
      expect(peer.send({ seq: 4, ack: 1, flags: 'FA', data: [4] })[0]).to.include({ flags: 'A', ack: 1 })
      expect(peer.send({ seq: 1, ack: 1, data: [1, 2, 3] })[0]).to.include({ flags: 'A', ack: 6 })

      const other = await accepted(bench(), { mss: 1460 }, { port: 81 })
      const data = new Uint8Array(1500)
      expect(other.peer.send({ flags: 'FA', seq: 1, ack: 1, data })[0]).to.include({ flags: 'A', ack: 1502 })
    })
  })

  it('both close at once: CLOSING, TIME-WAIT (tcp-closing-ack)', async () => {
    const { peer, socket } = await accepted(bench())
    socket.end()
    expect(peer.take()[0]).to.include({ flags: 'FA', seq: 1 })
    expect(peer.send({ flags: 'FA', seq: 1, ack: 1 })[0]).to.include({ flags: 'A', ack: 2 })
    expect(socket.state).to.equal('CLOSING')
    peer.send({ seq: 2, ack: 1 })
    expect(socket.state).to.equal('CLOSING')
    peer.send({ seq: 2, ack: 2 })
    expect(socket.state).to.equal('TIME_WAIT')
    expect(await read(socket)).to.equal(0)
  })

  it('a half-closed connection goes on reading for as long as it takes', async () => {
    const { peer, socket } = await accepted(bench())
    socket.end()
    peer.take()
    peer.send({ seq: 1, ack: 2 })
    bench().pass(3600_000)
    peer.send({ seq: 1, ack: 2, data: [5] })
    expect(await read(socket)).to.equal(1)
    expect(await codeOf(socket.write(new Uint8Array(1)))).to.equal('EPIPE')
  })

  it('a reset after the peer’s FIN is for writers: who reads gets what there is, and the end', async () => {
    const { peer, socket } = await accepted(bench())
    peer.send({ flags: 'FA', seq: 1, ack: 1, data: [1, 2, 3] })
    peer.send({ flags: 'R', seq: 5 })
    expect(socket.state).to.equal('CLOSED')
    expect(await read(socket)).to.equal(3)
    expect(await read(socket)).to.equal(0)
    expect(await codeOf(socket.write(new Uint8Array(1)))).to.equal('EPIPE')
  })

  it('tcp-fin-rexmit: FIN is sent again with the same number', async () => {
    const { peer, socket } = await accepted(bench())
    socket.end()
    expect(peer.take()[0]).to.include({ flags: 'FA', seq: 1 })
    bench().pass(1100)
    expect(peer.take()[0]).to.include({ flags: 'FA', seq: 1 })
    bench().pass(2100)
    expect(peer.take()[0]).to.include({ flags: 'FA', seq: 1 })
  })

  it('tcp-fin-data, tcp-fin-ooo: FIN with data, and before the data in front of it', async () => {
    const { peer, socket } = await accepted(bench())
    expect(peer.send({ flags: 'FA', seq: 4, ack: 1, data: [4, 5] })[0]).to.include({ flags: 'A', ack: 1 })
    expect(socket.state).to.equal('ESTABLISHED')
    expect(peer.send({ seq: 1, ack: 1, data: [1, 2, 3] })[0]).to.include({ flags: 'A', ack: 7 })
    expect(socket.state).to.equal('CLOSE_WAIT')
    expect(socket.readableLength).to.equal(5)
  })

  it('tcp-finwait2-timeout: whoever closed is not kept waiting for ever', async () => {
    const { peer, socket } = await accepted(bench())
    void socket.close()
    peer.take()
    peer.send({ seq: 1, ack: 2 })
    bench().pass(59_000)
    expect(socket.state).to.equal('FIN_WAIT_2')
    bench().pass(2000)
    expect(socket.state).to.equal('CLOSED')
    expect(peer.send({ flags: 'FA', seq: 1, ack: 2 })[0]).to.include({ flags: 'R' })
  })

  it('tcp-close-unread: what was not read makes a reset of the close', async () => {
    const { peer, socket } = await accepted(bench())
    peer.send({ seq: 1, ack: 1, data: [1] })
    void socket.close()
    expect(peer.take().map(({ flags }) => flags)).to.deep.equal(['RA'])
    expect(bench().count('TcpExtTCPAbortOnClose')).to.equal(1)
    expect(bench().count('TcpEstabResets')).to.equal(1)
  })

  it('tcp-abort: reset() sends RST with SND.NXT', async () => {
    const { peer, socket } = await accepted(bench())
    await socket.write(new Uint8Array(7))
    peer.take()
    socket.reset()
    expect(peer.take()[0]).to.include({ flags: 'RA', seq: 8 })
    expect(socket.state).to.equal('CLOSED')
    expect(bench().count('TcpOutRsts')).to.equal(1)
  })

  it('tcp-data-after-close, tcp-finwait-data: data for whoever has closed is refused', async () => {
    const { peer, socket } = await accepted(bench())
    void socket.close()
    peer.take()
    peer.send({ seq: 1, ack: 2 })
    expect(peer.send({ seq: 1, ack: 2, data: [1] })[0]).to.include({ flags: 'R', seq: 2 })
    expect(socket.state).to.equal('CLOSED')
    expect(bench().count('TcpExtTCPAbortOnData')).to.equal(1)
  })

  describe('RST', () => {
    it('tcp-rst-exact, hardening-1: at RCV.NXT it ends the connection, after what had come', async () => {
      const { peer, socket } = await accepted(bench())
      peer.send({ seq: 1, ack: 1, data: [1, 2] })
      expect(peer.send({ flags: 'R', seq: 3 })).to.have.length(0)
      expect(await read(socket)).to.equal(2)
      expect(await codeOf(read(socket))).to.equal('ECONNRESET')
      expect(await codeOf(socket.write(new Uint8Array(1)))).to.equal('ECONNRESET')
      expect(peer.send({ seq: 3, ack: 1 })[0]).to.include({ flags: 'R' })
      expect(bench().count('TcpEstabResets')).to.equal(1)
    })

    it('tcp-rst-inwindow, tcp-rst-outwindow: elsewhere in the window a challenge, outside nothing', async () => {
      const { peer, socket } = await accepted(bench())
      expect(peer.send({ flags: 'R', seq: 100 })[0]).to.include({ flags: 'A', ack: 1, seq: 1 })
      expect(bench().count('TcpExtTCPChallengeACK')).to.equal(1)
      expect(peer.send({ flags: 'R', seq: 100_000 })).to.have.length(0)
      expect(peer.send({ flags: 'R', seq: 0 })).to.have.length(0)
      expect(socket.state).to.equal('ESTABLISHED')
    })

    it('tcp-paws-rst: one without timestamps counts on a connection that has them', async () => {
      const { peer, socket } = await accepted(bench(), { mss: 1460, timestamps: true })
      peer.send({ flags: 'R', seq: 1, options: [] })
      expect(socket.state).to.equal('CLOSED')
    })
  })

  describe('RFC 5961', () => {
    it('hardening-2: a SYN in the window is challenged, and the connection stays', async () => {
      const { peer, socket } = await accepted(bench())
      expect(peer.send({ flags: 'S', seq: 50 })[0]).to.include({ flags: 'A', ack: 1, seq: 1 })
      expect(bench().count('TcpExtTCPSYNChallenge')).to.equal(1)
      expect(socket.state).to.equal('ESTABLISHED')
    })

    it('tcp-ack-unsent, tcp-ack-ancient, tcp-optimistic-ack, hardening-20: data under an impossible ACK is dropped', async () => {
      const { peer, socket } = await accepted(bench())
      expect(peer.send({ seq: 1, ack: 2, data: [1] })[0]).to.include({ flags: 'A', ack: 1 })
      bench().pass(600)
      expect(peer.send({ seq: 1, ack: -100_000, data: [1] })[0]).to.include({ flags: 'A', ack: 1 })
      expect(socket.readableLength).to.equal(0)
      expect(socket.info.snd_cwnd).to.equal(10)
      bench().pass(600)
      peer.send({ seq: 1, ack: -1, data: [1] }) // of what was never sent
      expect(socket.readableLength).to.equal(0)
      void socket.write(new Uint8Array(100))
      peer.send({ seq: 1, ack: 101 })
      peer.send({ seq: 1, ack: 1, data: [1] }) // old, but not too old
      expect(socket.readableLength).to.equal(1)
    })

    it('hardening-3: challenges are limited, answers to data are not', async () => {
      const { peer } = await accepted(bench())
      let challenges = 0
      for (let i = 0; i < 20; i++) challenges += peer.send({ flags: 'R', seq: 100 + i }).length
      expect(challenges).to.equal(1)
      expect(bench().count('TcpExtTCPACKSkippedChallenge')).to.equal(19)
      for (let i = 0; i < 5; i++) expect(peer.send({ seq: 1, ack: 1, data: [1] })).to.have.length(1)
    })
  })

  describe('TIME-WAIT', () => {
    async function timeWait(options: Parameters<typeof accepted>[1] = { mss: 1460 }): Promise<RawPeer> {
      const { peer, socket } = await accepted(bench(), options)
      void socket.close()
      peer.take()
      peer.send({ flags: 'FA', seq: 1, ack: 2 })
      return peer
    }

    it('tcp-tw-rst: a reset ends it, unless tcp_rfc1337 is set', async () => {
      const peer = await timeWait()
      peer.send({ flags: 'R', seq: 2 })
      expect(peer.send({ flags: 'FA', seq: 1, ack: 2 })[0]).to.include({ flags: 'R' })
    })

    it('tcp-tw-rst: and with tcp_rfc1337 it stays', async () => {
      bench().stack.sysctlSet('net.ipv4.tcp_rfc1337', 1)
      const peer = await timeWait()
      peer.send({ flags: 'R', seq: 2 })
      expect(peer.send({ flags: 'FA', seq: 1, ack: 2 })[0]).to.include({ flags: 'A', ack: 2 })
    })

    it('tcp-tw-syn: a later SYN of the same four-tuple opens a new connection', async () => {
      const peer = await timeWait()
      const [ack] = peer.send({ flags: 'S', seq: -5 })
      expect(ack).to.include({ flags: 'A', ack: 2 })
      const [answer] = peer.send({ flags: 'S', seq: 100_000 })
      expect(answer).to.include({ flags: 'SA', ack: 100_001 })
      expect(answer!.seq).to.equal(2 + 65535 + 2)
    })

    it('keeps the port from being used again to the same peer', async () => {
      const { peer, socket } = await connected(bench(), { mss: 1460 }, { localPort: 50_000 })
      void socket.close()
      peer.take()
      peer.send({ flags: 'FA', seq: 1, ack: 2 })
      const again = bench().stack.tcp.connect({ address: '10.9.0.1', port: 7000, localPort: 50_000 })
      expect(await codeOf(again)).to.equal('EADDRINUSE')
    })
  })

  describe('timestamps', () => {
    const options = { mss: 1460, timestamps: true, sackPermitted: true }

    it('tcp-paws: an old one is not accepted, and answered', async () => {
      const { peer, socket } = await accepted(bench(), options)
      peer.clock = 2000
      peer.send({ seq: 1, ack: 1, data: [1] })
      expect(peer.send({ seq: 2, ack: 1, data: [2], options: timestamps(1999, peer.lastTs) })[0]).to.include({
        flags: 'A',
        ack: 2,
      })
      expect(socket.readableLength).to.equal(1)
      expect(bench().count('TcpExtPAWSEstab')).to.equal(1)
      expect(bench().stack.mib.dropsByReason()).to.deep.equal({ TCP_RFC7323_PAWS: 1 })
    })

    it('tcp-ts-recent-age: after 24 days it is good again', async () => {
      const { peer, socket } = await accepted(bench(), options)
      bench().pass(25 * 86_400_000)
      peer.send({ seq: 1, ack: 1, data: [1], options: timestamps(500, peer.lastTs) })
      expect(socket.readableLength).to.equal(1)
    })

    it('tcp-ts-ooo: an early segment does not move the echo', async () => {
      const { peer } = await accepted(bench(), options)
      peer.clock = 2000
      expect(peer.send({ seq: 1, ack: 1, data: [1] })[0]?.options.tsEcho).to.equal(2000)
      peer.clock = 3000
      expect(peer.send({ seq: 10, ack: 1, data: [1] })[0]?.options.tsEcho).to.equal(2000)
    })

    it('tcp-ts-clock, hardening-5: the clock runs at 1 kHz from an offset of its own', async () => {
      const { peer } = await accepted(bench(), options)
      const first = peer.send({ seq: 1, ack: 1, data: [1] })[0]!.options.tsValue
      bench().pass(500)
      const second = peer.send({ seq: 2, ack: 1, data: [1] })[0]!.options.tsValue
      expect(second - first).to.equal(500)
      const other = new RawPeer(bench(), 80, 41005)
      other.open(options)
      expect(Math.abs(other.lastTs - second)).to.be.above(1000)
    })

    it('tcp-ts-negotiated-synack: what the peer was not asked for counts for nothing', async () => {
      bench().stack.sysctlSet('net.ipv4.tcp_timestamps', 0)
      const { peer, socket } = await connected(bench(), options)
      await socket.write(new Uint8Array(3))
      expect(peer.take()[0]?.options.timestamps).to.equal(false)
    })
  })

  it('tcp-dup, tcp-overlap, tcp-keepalive: old bytes are acknowledged and not delivered again', async () => {
    const { peer, socket } = await accepted(bench(), { mss: 1460, sackPermitted: true })
    peer.send({ seq: 1, ack: 1, data: [1, 2, 3, 4, 5, 6] })
    const [duplicate] = peer.send({ seq: 1, ack: 1, data: [1, 2, 3, 4, 5, 6] })
    expect(duplicate).to.include({ flags: 'A', ack: 7 })
    expect(duplicate!.options.sackCount, 'tcp-dsack').to.equal(1)
    expect((duplicate!.options.sackLeft[0]! - peer.isn) | 0).to.equal(1)
    expect((duplicate!.options.sackRight[0]! - peer.isn) | 0).to.equal(7)
    peer.send({ seq: 1, ack: 1, data: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] })
    expect(socket.readableLength).to.equal(10)
    expect(peer.send({ seq: 10, ack: 1 })[0]).to.include({ flags: 'A', ack: 11 })
    expect(peer.send({ seq: 10, ack: 1, data: [0] })[0]).to.include({ flags: 'A', ack: 11 })
    expect(socket.readableLength).to.equal(10)
  })

  it('tcp-sack-block, tcp-sack-max: early segments are told of, the newest first', async () => {
    const { peer } = await accepted(bench(), { mss: 1460, sackPermitted: true, timestamps: true })
    const blocks = (sent: ReturnType<RawPeer['send']>) => {
      const { sackCount, sackLeft, sackRight } = sent[0]!.options
      return Array.from({ length: sackCount }, (_, i) => [
        (sackLeft[i]! - peer.isn) | 0,
        (sackRight[i]! - peer.isn) | 0,
      ])
    }
    const data = new Uint8Array(10)
    expect(blocks(peer.send({ seq: 11, ack: 1, data }))).to.deep.equal([[11, 21]])
    expect(blocks(peer.send({ seq: 31, ack: 1, data }))).to.deep.equal([
      [31, 41],
      [11, 21],
    ])
    expect(blocks(peer.send({ seq: 51, ack: 1, data }))).to.deep.equal([
      [51, 61],
      [31, 41],
      [11, 21],
    ])
    expect(blocks(peer.send({ seq: 71, ack: 1, data }))).to.deep.equal([
      [71, 81],
      [51, 61],
      [31, 41],
    ])
    const [filled] = peer.send({ seq: 1, ack: 1, data })
    expect(filled, 'tcp-ooo-fill-ack').to.include({ ack: 21 })
    expect(blocks([filled!])).to.deep.equal([
      [71, 81],
      [51, 61],
      [31, 41],
    ])
  })

  it('tcp-sack-none: no SACK where it was not agreed on', async () => {
    const { peer } = await accepted(bench())
    const [ack] = peer.send({ seq: 100, ack: 1, data: [1] })
    expect(ack).to.include({ ack: 1, size: 40 })
  })

  it('tcp-urg, tcp-precedence: urgent data is data, and what IP says of precedence is nothing', async () => {
    const { peer, socket } = await accepted(bench())
    let seq = 1
    for (const urgent of [0, 3, 60_000]) {
      peer.send({ flags: 'AU', seq, ack: 1, urgent, data: [1, 2] })
      seq += 2
    }
    expect(socket.readableLength).to.equal(6)
  })

  it('tcp-many: 200 connections', async () => {
    const server = bench().stack.tcp.listen({ port: 80 })
    for (let i = 0; i < 200; i++) {
      const peer = new RawPeer(bench(), 80, 20_000 + i)
      peer.open()
      const socket = await server.accept()
      peer.send({ seq: 1, ack: 1, data: [i & 0xff] })
      const target = new Uint8Array(1)
      await socket.readInto(target)
      await socket.write(target)
      expect(Array.from(peer.take().at(-1)!.data)).to.deep.equal([i & 0xff])
    }
    expect(bench().count('TcpCurrEstab')).to.equal(200)
  })

  it('tcp-ws-15: a shift of 15 counts as 14', async () => {
    const server = bench().stack.tcp.listen({ port: 80 })
    const peer = new RawPeer(bench(), 80)
    const [answer] = peer.send({ flags: 'S', options: [3, 3, 15, 0] })
    peer.theirs = answer!.seq
    peer.send({ seq: 1, ack: 1, window: 100 })
    expect((await server.accept()).info).to.include({ snd_wscale: 14, snd_wnd: 100 << 14 })
  })

  it('tcp-opt-late: options of a SYN in a data segment are ignored', async () => {
    const { peer, socket } = await accepted(bench())
    peer.send({ seq: 1, ack: 1, data: [1], options: synOptions({ mss: 100, windowScale: 3 }) })
    expect(socket.readableLength).to.equal(1)
    expect(socket.info).to.include({ snd_mss: 1460, snd_wscale: 0 })
  })
})
