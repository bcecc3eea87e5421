import { expect } from 'chai'
import type { TcpSocket } from '../../lib/index.ts'
import { useBench } from './harness.ts'
import { pattern } from './packets.ts'
import {
  brief,
  CHARGEN,
  chargen,
  DISCARD,
  ECHO,
  HOLD,
  type Options,
  open,
  type Peer,
  type Segment,
  TcpBench,
} from './tcp-peer.ts'

const bench = useBench(() => new TcpBench())

const MSS = 1000
const SACK: Options = { mss: MSS, sackOk: true }

/** A connection whose application has written nothing yet, and that application's end of it. */
async function held(
  options: Options = { mss: MSS },
  window = 65535,
): Promise<{ peer: Peer; socket: TcpSocket }> {
  const peer = await open(bench(), HOLD, options)
  peer.window = window
  if (window !== 65535) await peer.send()
  return { peer, socket: bench().held.at(-1)! }
}

/** The application writes `segments` times MSS; the first flight. */
async function flight(
  options: Options,
  segments: number,
): Promise<{ peer: Peer; socket: TcpSocket; sent: Segment[] }> {
  const { peer, socket } = await held(options)
  void socket.write(pattern(segments * MSS)).catch(() => {})
  return { peer, socket, sent: await peer.elapse() }
}

/** First numbers of the segments with data. */
const starts = (segments: readonly Segment[]): number[] =>
  segments.filter(({ data }) => data.length > 0).map(({ seq }) => seq)

/** Lets the window grow in round trips of 20 ms until `size` bytes were acknowledged; everything is acknowledged then. */
async function warmUp(peer: Peer, socket: TcpSocket, size: number): Promise<void> {
  void socket.write(pattern(size)).catch(() => {})
  const goal = peer.received + size
  let sent = await peer.elapse()
  while (peer.received < goal) {
    peer.take(sent)
    await peer.elapse(20)
    sent = await peer.send()
  }
}

describe('TCP: sending again (RFC 6298)', () => {
  it('tcp-rexmit: the same bytes, at gaps that double, 0.2 s at least at first (tcp-rto-min)', async () => {
    const { peer, socket } = await held()
    await warmUp(peer, socket, 2000)
    void socket.write(pattern(100)).catch(() => {})
    const [first, ...again] = await peer.elapse(30_000)
    for (const { seq, data } of again) expect([seq, data]).to.deep.equal([first!.seq, pattern(100)])
    const times = [first!, ...again].map(({ at }) => at)
    const gaps = times.slice(1).map((at, i) => at - times[i]!)
    expect(gaps[0]).to.be.within(190, 1000)
    expect(gaps.length).to.be.at.least(5)
    for (let i = 1; i < gaps.length; i++) expect(gaps[i]! / gaps[i - 1]!).to.be.closeTo(2, 0.1)
  })

  it('tcp-rexmit-collapse: after a timeout one segment, whatever was on its way', async () => {
    const { peer, sent } = await flight({ mss: MSS }, 6)
    expect(sent).to.have.length(6)
    const again = await peer.elapse(350)
    expect(starts(again)).to.deep.equal([1])
  })

  it('ip-id-rexmit: the copy has another identification unless it is atomic', async () => {
    bench().stack.sysctlSet('net.ipv4.ip_no_pmtu_disc', 1)
    const { peer, sent } = await flight({ mss: MSS }, 1)
    expect(sent[0]!.df).to.equal(false)
    const [again] = await peer.elapse(1500)
    expect(again!.seq).to.equal(1)
    expect(again!.id).to.not.equal(sent[0]!.id)
  })

  it('tcp-karn: the time of a segment that was sent twice is no sample', async () => {
    const { peer, socket } = await held()
    await warmUp(peer, socket, 3000)
    const before = socket.info.rtt
    void socket.write(pattern(100)).catch(() => {})
    peer.take(await peer.elapse(1000)) // sent again meanwhile
    await peer.send()
    expect(socket.info.rtt).to.equal(before)
  })

  it('tcp-rto-backoff-reset: once new data is acknowledged the timeout is that of the RTT again', async () => {
    const { peer, socket } = await held()
    await warmUp(peer, socket, 3000)
    void socket.write(pattern(100)).catch(() => {})
    peer.take(await peer.elapse(5000))
    await peer.send()
    await warmUp(peer, socket, 1000)
    void socket.write(pattern(100)).catch(() => {})
    const [first, second] = await peer.elapse(1000)
    expect(second!.at - first!.at).to.be.within(190, 400)
  })

  it('tcp-rto-restart: a partial acknowledgment starts the timer anew', async () => {
    const { peer, socket } = await held()
    await warmUp(peer, socket, 5000)
    const base = peer.received
    void socket.write(pattern(3000)).catch(() => {})
    const sent = await peer.elapse(150)
    expect(starts(sent)).to.have.length(3)
    const acked = bench().clock.now() / 1e6
    const [again] = await peer.send({ ack: base + MSS }, 1000)
    expect(again!.seq).to.equal(base + MSS)
    expect(again!.at - acked).to.be.at.least(190)
  })

  it('tcp-user-timeout: given up after fifteen doublings, and the application told (R2 ≥ 100 s)', async () => {
    const { peer, socket } = await held()
    await warmUp(peer, socket, 2000)
    const reading = socket.readInto(new Uint8Array(1)).then(
      () => 'read',
      (error: { code: string }) => error.code,
    )
    void socket.write(pattern(100)).catch(() => {})
    const start = bench().clock.now()
    const sent = await peer.elapse(2_000_000)
    expect(sent.length).to.be.within(10, 20) // R1 is passed, 3 at least
    expect(await reading).to.equal('ETIMEDOUT')
    expect(socket.state).to.equal('CLOSED')
    expect((sent.at(-1)!.at * 1e6 - start) / 1e9).to.be.at.least(100)
  })
})

describe('TCP: loss that acknowledgments show (RFC 5681, 6582, 6675)', () => {
  it('tcp-fast-rexmit: at the third duplicate the first segment goes again', async () => {
    const { peer } = await flight({ mss: MSS }, 8)
    expect(starts(await peer.send({ ack: 1 }))).to.deep.equal([])
    expect(starts(await peer.send({ ack: 1 }))).to.deep.equal([])
    const again = await peer.send({ ack: 1 }, 50)
    expect(starts(again)[0]).to.equal(1)
  })

  it('tcp-dupack-strict: data, or another window, makes no duplicate', async () => {
    const { peer } = await flight({ mss: MSS }, 8)
    for (let i = 0; i < 5; i++) {
      expect(starts(await peer.write([i], { ack: 1 }))).to.deep.equal([])
      expect(starts(await peer.send({ ack: 1, window: 60_000 - 100 * i }))).to.deep.equal([])
    }
  })

  it('tcp-limited-transmit: the first two duplicates bring one new segment each', async () => {
    const { peer, sent } = await flight({ mss: MSS }, 20)
    expect(sent).to.have.length(10)
    expect(starts(await peer.send({ ack: 1 }))).to.deep.equal([10_001])
    expect(starts(await peer.send({ ack: 1 }))).to.deep.equal([11_001])
  })

  it('tcp-ssthresh-fr: half of what was on its way is left', async () => {
    bench().stack.sysctlSet('net.ipv4.tcp_congestion_control', 'reno')
    const { peer, socket } = await flight({ mss: MSS }, 40)
    for (let i = 0; i < 3; i++) await peer.send({ ack: 1 })
    const { snd_cwnd, snd_ssthresh } = socket.info
    expect(snd_ssthresh).to.be.within(2, 6)
    expect(snd_cwnd).to.be.at.most(6 + 3)
  })

  it('tcp-newreno-partial: a partial acknowledgment brings the next hole at once, without SACK', async () => {
    const { peer } = await flight({ mss: MSS }, 10)
    for (let i = 0; i < 3; i++) await peer.send({ ack: 1 })
    // The fourth was lost, too.
    const again = await peer.send({ ack: 3001 })
    expect(starts(again)[0]).to.equal(3001)
    const rest = await peer.send({ ack: 10_001 })
    for (const start of starts(rest)) expect(start).to.be.at.least(10_001)
  })

  it('tcp-sack-rexmit: of eight segments the first and the fourth are missing, and go again, no others', async () => {
    const { peer } = await flight(SACK, 8)
    const blocks = (...sack: [number, number][]): object => ({ ack: 1, options: { sack } })
    const again: number[] = []
    for (const each of [
      blocks([1001, 2001]),
      blocks([1001, 3001]),
      blocks([4001, 5001], [1001, 3001]),
      blocks([4001, 6001], [1001, 3001]),
      blocks([4001, 7001], [1001, 3001]),
      blocks([4001, 8001], [1001, 3001]),
    ]) {
      again.push(...starts(await peer.send(each, 20)))
    }
    expect(again).to.deep.equal([1, 3001])
    expect(starts(await peer.send({ ack: 3001, options: { sack: [[4001, 8001]] } }, 20))).to.deep.equal([])
    expect(starts(await peer.send({ ack: 8001 }, 1000))).to.deep.equal([])
  })

  it('tcp-sack-invalid: blocks outside what was sent, or reversed, are ignored (hardening-11)', async () => {
    const { peer } = await flight(SACK, 8)
    for (const sack of [
      [[20_001, 30_001]],
      [[5001, 4001]],
      [[-9000, -8000]],
      [[0x7fffffff, 0x7fffffff + 5]],
      [[8001, 9001]],
      [[1, 1]],
    ] as [number, number][][]) {
      expect(starts(await peer.send({ ack: 1, options: { sack } }))).to.deep.equal([])
    }
    const rest = await peer.send({ ack: 8001 }, 100)
    expect(starts(rest)).to.deep.equal([])
    expect(await peer.isAlive()).to.equal(true)
  })

  it('tcp-sack-reneg: what SACK told of is sent again if the peer asks for it after all', async () => {
    const { peer } = await flight(SACK, 4)
    await peer.send({ ack: 1, options: { sack: [[1001, 4001]] } })
    // It has the first now, and no longer the others.
    await peer.send({ ack: 1001 })
    const got: number[] = []
    for (let i = 0; i < 6 && peer.received < 4001; i++) {
      const sent = await peer.elapse(2000)
      for (const { seq, data } of sent) {
        if (seq === Math.max(peer.received, 1001)) peer.received = seq + data.length
        got.push(seq)
      }
      await peer.send()
    }
    for (const start of [1001, 2001, 3001]) expect(got).to.include(start)
  })

  it('tcp-ssthresh-rto: after a timeout slow start to half, then a segment per round trip', async () => {
    // An acknowledgment of more than was sent again would show that the timeout was spurious (RFC 5682).
    bench().stack.sysctlSet('net.ipv4.tcp_frto', 0)
    bench().stack.sysctlSet('net.ipv4.tcp_congestion_control', 'reno')
    const { peer, socket } = await held()
    await warmUp(peer, socket, 60_000)
    void socket.write(pattern(200_000)).catch(() => {})
    const burst = await peer.elapse()
    const inFlight = starts(burst).length
    expect(inFlight).to.be.at.least(10)
    await peer.elapse(400)
    expect(socket.info.snd_cwnd).to.equal(1)
    expect(socket.info.snd_ssthresh).to.be.at.most(Math.max(Math.ceil(inFlight / 2), 2))
    // Slow start from there: acknowledging the head of the flight brings two segments, and so on.
    const grown: number[] = []
    for (let i = 0; i < 4; i++) {
      await peer.send({ ack: peer.received + (i + 1) * 2 * MSS })
      grown.push(socket.info.snd_cwnd)
    }
    for (let i = 1; i < grown.length; i++) expect(grown[i]).to.be.at.least(grown[i - 1]!)
    expect(grown.at(-1)).to.be.at.most(Math.max(Math.ceil(inFlight / 2), 2) + 4)
  })

  it('tcp-ack-split: twenty acknowledgments of one segment bring no more than one', async () => {
    const { peer, socket } = await flight({ mss: MSS }, 60)
    const before = socket.info.snd_cwnd
    for (let i = 1; i <= 20; i++) await peer.send({ ack: 1 + 50 * i })
    expect(socket.info.snd_cwnd - before).to.be.at.most(1)
  })

  it('tcp-optimistic-ack: acknowledgments of what was not sent open nothing (hardening-20)', async () => {
    const { peer, socket } = await flight({ mss: MSS }, 60)
    const before = socket.info.snd_cwnd
    for (let i = 0; i < 20; i++) expect(starts(await peer.send({ ack: 20_001 + i }))).to.deep.equal([])
    expect(socket.info.snd_cwnd).to.equal(before)
  })

  it('tcp-idle-restart: after a long pause the first flight is the initial window', async () => {
    const { peer, socket } = await held()
    await warmUp(peer, socket, 100_000)
    expect(socket.info.snd_cwnd).to.be.greaterThan(20)
    await peer.elapse(60_000)
    void socket.write(pattern(60_000)).catch(() => {})
    expect(starts(await peer.elapse()).length).to.be.at.most(10)
  })

  it('tcp-iw: the first flight is ten segments', async () => {
    const peer = await open(bench(), CHARGEN, { mss: 500 })
    const sent = await peer.elapse(50)
    expect(sent.length).to.be.at.most(10)
    bench().tun.take()
  })

  it('the initial window of the character generator is whole', async () => {
    const peer = await open(bench(), CHARGEN, { mss: 500 })
    const [again] = await peer.elapse(1500)
    expect([again!.seq, again!.data]).to.deep.equal([1, chargen(0, 500)])
  })
})

describe('TCP: small segments (RFC 9293 §3.7.4)', () => {
  it('tcp-nagle: one small segment is on its way at most, the rest goes together', async () => {
    const { peer, socket } = await held()
    const sent: Segment[] = []
    for (let i = 0; i < 5; i++) {
      void socket.write(pattern(10, i))
      sent.push(...(await peer.elapse()))
    }
    expect(brief(sent)).to.deep.equal(['PA 1:11 ack 1'])
    expect(brief(await peer.send({ ack: 11 }))).to.deep.equal(['PA 11:51 ack 1'])
  })

  it('tcp-nodelay: unless that is off', async () => {
    const { peer, socket } = await held()
    socket.noDelay = true
    const sent: Segment[] = []
    for (let i = 0; i < 5; i++) {
      void socket.write(pattern(10, i))
      sent.push(...(await peer.elapse()))
    }
    expect(starts(sent)).to.deep.equal([1, 11, 21, 31, 41])
  })

  it('tcp-psh, tcp-df: the last segment of a write has PSH, and all have DF', async () => {
    const { sent } = await flight({ mss: MSS }, 3)
    expect(sent.at(-1)!.flags).to.equal('PA')
    for (const { df } of sent) expect(df).to.equal(true)
    const peer = await open(bench(), ECHO, { mss: MSS }, { ownPort: 41001 })
    const answer = await peer.write(pattern(100), {}, 50)
    expect(answer.filter(({ data }) => data.length > 0).map(({ flags }) => flags)).to.deep.equal(['PA'])
  })

  it('tcp-seg-size-opts: options take their room from the data', async () => {
    const { peer, socket } = await held({ mss: 1460, sackOk: true, ts: [5000, 0] })
    await peer.send({ seq: 100, data: pattern(10) }) // from now on a SACK block is in every segment
    void socket.write(pattern(5000))
    const sent = await peer.elapse()
    expect(sent.length).to.be.at.least(3)
    for (const { data, options } of sent) {
      expect(options.sack).to.have.length(1)
      expect(data.length).to.be.at.most(1460 - 12 - 12)
    }
  })
})

describe('TCP: the window of the peer (RFC 9293 §3.8.6)', () => {
  it('tcp-zerowin-probe: a closed window is probed, at growing gaps, and data goes on when it opens', async () => {
    const { peer, socket } = await held({ mss: MSS }, 0)
    void socket.write(pattern(3000))
    const times: number[] = []
    for (let i = 0; i < 60; i++) {
      for (const probe of await peer.elapse(500)) {
        expect(probe.data.length).to.be.at.most(1)
        times.push(probe.at)
        await peer.send({ window: 0 })
      }
    }
    expect(times.length).to.be.at.least(4)
    const gaps = times.slice(1).map((at, i) => at - times[i]!)
    for (let i = 1; i < gaps.length; i++) expect(gaps[i]).to.be.at.least(gaps[i - 1]!)
    peer.window = 65535
    const sent = await peer.send({}, 100)
    expect(peer.take(sent)).to.deep.equal(pattern(3000))
  })

  it('tcp-zerowin-forever: as long as probes are answered the connection is kept', async () => {
    const { peer, socket } = await held({ mss: MSS }, 0)
    void socket.write(pattern(3000)).catch(() => {})
    for (let i = 0; i < 240; i++) {
      const probes = await peer.elapse(30_000)
      if (probes.length > 0) await peer.send({ window: 0 })
    }
    expect(socket.state).to.equal('ESTABLISHED')
    peer.window = 65535
    expect(peer.take(await peer.send({}, 1000))).to.deep.equal(pattern(3000))
  })

  it('a probe that is lost is followed by others, and so is the answer (hardening-21)', async () => {
    const { peer, socket } = await held({ mss: MSS }, 0)
    void socket.write(pattern(3000))
    const silent = await peer.elapse(20_000)
    expect(silent.length).to.be.at.least(4)
    peer.window = 65535
    expect(peer.take(await peer.send({}, 100))).to.deep.equal(pattern(3000))
  })

  it('tcp-win-shrink: it shrinks to nothing with data on its way, and opens (hardening-21)', async () => {
    const { peer } = await flight({ mss: MSS }, 5)
    await peer.send({ ack: 1001, window: 0 })
    const meanwhile = await peer.elapse(10_000)
    expect(meanwhile.length).to.be.at.least(1)
    peer.received = 1001
    const got: number[] = []
    let sent = await peer.send({}, 1000)
    for (let i = 0; i < 20 && peer.received < 5001; i++) {
      for (const segment of sent) if (segment.seq <= peer.received) got.push(...peer.take([segment]))
      sent = await peer.send({}, 1000)
    }
    expect(Uint8Array.from(got)).to.deep.equal(pattern(5000).subarray(1000))
  })

  it('tcp-sws-send: a window that opens byte by byte brings no tiny segments', async () => {
    const { peer, socket } = await held({ mss: MSS })
    await warmUp(peer, socket, 5000)
    await peer.send({ window: 0 })
    void socket.write(pattern(10_000))
    await peer.elapse()
    const sent: Segment[] = []
    for (let window = 1; window < 900; window += 10) sent.push(...(await peer.send({ window }, 1)))
    expect(starts(sent)).to.deep.equal([])
    const whole = await peer.send({ window: 1000 })
    expect(whole.map(({ data }) => data.length)).to.deep.equal([1000])
  })

  it('tcp-wl-update: a segment from before does not change the window', async () => {
    const { peer, socket } = await held({ mss: MSS })
    await peer.write(pattern(100), {}, 100)
    await peer.send({ window: 5000 })
    // An older one, with another window.
    await peer.send({ seq: 50, data: pattern(10), window: 60_000 })
    void socket.write(pattern(20_000)).catch(() => {})
    const sent = await peer.elapse()
    expect(sent.reduce((sum, { data }) => sum + data.length, 0)).to.be.at.most(5000)
  })

  it('tcp-fin-retrans-window0: FIN is not stuck behind a closed window', async () => {
    const { peer, socket } = await held({ mss: MSS }, 0)
    socket.end()
    const sent = await peer.elapse(5000)
    expect(sent.some(({ flags }) => flags.includes('F'))).to.equal(true)
    // With data before it: it goes once that fits.
    const other = await open(bench(), HOLD, { mss: MSS }, { ownPort: 41001 })
    other.window = 0
    await other.send()
    void bench().held.at(-1)!.write(pattern(10))
    bench().held.at(-1)!.end()
    await other.elapse(5000)
    other.window = 65535
    const rest = await other.send({}, 1000)
    expect(other.take(rest)).to.deep.equal(pattern(10))
    expect(rest.some(({ flags }) => flags.includes('F'))).to.equal(true)
  })

  it('tcp-keepalive-default: an idle connection is left in peace, unless that is asked for', async () => {
    const { peer, socket } = await held()
    expect(await peer.elapse(10 * 3600_000)).to.deep.equal([])
    expect(socket.state).to.equal('ESTABLISHED')
    socket.setKeepAlive(true)
    const probes = await peer.elapse(7200_000 + 1000)
    expect(probes.map(({ seq, data }) => [seq, data.length])).to.deep.equal([[0, 0]])
    expect(probes[0]!.at).to.be.at.least(17 * 3600_000 - 5 * 3600_000)
    await peer.send()
    expect(await peer.elapse(7100_000)).to.deep.equal([])
    // No answer any more: nine probes, then the end.
    const last = await peer.elapse(3600_000)
    expect(last.filter(({ flags }) => flags === 'A')).to.have.length(9)
    expect(socket.state).to.equal('CLOSED')
  })

  it('data sent to the discard service never comes back', async () => {
    const peer = await open(bench(), DISCARD)
    const answers = await peer.write(pattern(1000), {}, 1000)
    expect(starts(answers)).to.deep.equal([])
  })
})
