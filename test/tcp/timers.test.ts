import { expect } from 'chai'
import { SECOND, type TcpSocket } from '../../lib/index.ts'
import { modelTimeout } from '../../lib/tcp/timers.ts'
import { HostBench, PEER, useBench } from '../conformance/harness.ts'
import { Pair } from './pair.ts'
import { accepted, codeOf, type RawPeer } from './raw-peer.ts'

describe('TCP timers', () => {
  const bench = useBench(() => new HostBench())

  /** Seconds (in steps of `step` ms) at which the stack sends something within `duration` seconds. */
  function times(peer: RawPeer, duration: number, step = 100): number[] {
    const at: number[] = []
    for (let ms = step; ms <= duration * 1000; ms += step) {
      bench().pass(step)
      for (const _ of peer.take()) at.push(ms / 1000)
    }
    return at
  }

  it('tcp-rexmit, tcp-rto-min: the same bytes again, 200 ms after a short RTT, then twice as late each time', async () => {
    const { peer, socket } = await accepted(bench())
    await socket.write(new Uint8Array([1]))
    peer.take()
    peer.send({ seq: 1, ack: 2 }) // an RTT of nothing
    await socket.write(new Uint8Array([7, 8]))
    const [first] = peer.take()
    expect(first).to.include({ seq: 2 })
    const sent: number[] = []
    for (let ms = 1; ms <= 7000; ms++) {
      bench().pass(1)
      for (const again of peer.take()) {
        expect(again).to.include({ seq: 2, flags: 'PA' })
        expect(Array.from(again.data)).to.deep.equal([7, 8])
        sent.push(ms)
      }
    }
    expect(sent[0]).to.be.within(199, 202)
    const gaps = sent.slice(1).map((ms, i) => ms - sent[i]!)
    for (const [i, gap] of gaps.entries()) expect(gap).to.be.closeTo(400 * 2 ** i, 5)
    expect(sent).to.have.length(5)
    expect(bench().count('TcpRetransSegs')).to.equal(5)
    expect(bench().count('TcpExtTCPTimeouts')).to.equal(5)
  })

  it('tcp-user-timeout: gives up when tcp_retries2 says so, after more than 15 minutes', async () => {
    const { peer, socket } = await accepted(bench())
    await socket.write(new Uint8Array(10))
    peer.take()
    const reading = codeOf(socket.readInto(new Uint8Array(1)))
    bench().pass(900_000)
    expect(socket.state).to.equal('ESTABLISHED')
    bench().pass(200_000)
    expect(socket.state).to.equal('CLOSED')
    expect(await reading).to.equal('ETIMEDOUT')
    expect(bench().count('TcpExtTCPAbortOnTimeout')).to.equal(1)
    expect(modelTimeout(15) / 1e9).to.be.closeTo(924.6, 0.01)
  })

  it('a stack that nothing has happened to for a minute waits a second for the answer to its SYN', async () => {
    const pair = new Pair()
    await pair.pass(60_000)
    const times: number[] = []
    const opening = codeOf(
      pair.left.tcp.connect({ address: '10.77.0.9', port: 80, events: ({ time }) => void times.push(time) }),
    )
    const again = (): number => pair.left.mib.snapshot()['TcpRetransSegs']!
    await pair.pass(990)
    expect(again()).to.equal(0)
    await pair.pass(20)
    expect(again()).to.equal(1)
    expect(times[0]).to.equal(60 * SECOND)
    await pair.end()
    await opening
  })

  it('TCP_USER_TIMEOUT ends it earlier', async () => {
    const { peer, socket } = await accepted(bench())
    socket.userTimeout = 5000
    await socket.write(new Uint8Array(10))
    peer.take()
    bench().pass(4500)
    expect(socket.state).to.equal('ESTABLISHED')
    bench().pass(2000)
    expect(socket.state).to.equal('CLOSED')
    expect(await codeOf(socket.write(new Uint8Array(1)))).to.equal('ETIMEDOUT')
  })

  it('tcp-karn, tcp-rto-backoff-reset: an ambiguous acknowledgment is no sample; a clear one ends the backoff', async () => {
    const { peer, socket } = await accepted(bench())
    await socket.write(new Uint8Array([1]))
    peer.take()
    bench().pass(100)
    peer.send({ seq: 1, ack: 2 })
    const { rtt, rto } = socket.info
    expect(rtt).to.be.closeTo(12_500, 100)
    await socket.write(new Uint8Array([1]))
    bench().pass(3000) // lost, and sent again
    peer.take()
    expect(socket.info.backoff).to.be.above(1)
    peer.send({ seq: 1, ack: 3 })
    expect(socket.info).to.include({ rtt })
    expect(socket.info.backoff, 'kept for the next segment').to.be.above(1)
    await socket.write(new Uint8Array([1]))
    bench().pass(20)
    peer.send({ seq: 1, ack: 4 })
    expect(socket.info.backoff).to.equal(0)
    expect(socket.info.rto).to.be.within(200_000, rto + 2000)
  })

  it('tcp-delack: one small segment is acknowledged within 40 ms, two at once', async () => {
    const { peer, socket } = await accepted(bench())
    let seq = 1
    const data = new Uint8Array(1460)
    for (let i = 0; i < 20; i++) {
      peer.send({ seq, ack: 1, data }) // the first ones at once
      seq += 1460
    }
    await socket.readInto(new Uint8Array(100_000))
    peer.take()
    bench().pass(100)
    peer.take()
    expect(peer.send({ seq, ack: 1, data: data.subarray(0, 10) })).to.have.length(0)
    bench().pass(39)
    expect(peer.take()).to.have.length(0)
    bench().pass(2)
    expect(peer.take()[0]).to.include({ flags: 'A', ack: seq + 10 })
    expect(bench().count('TcpExtDelayedACKs')).to.equal(1)
    seq += 10
    expect(peer.send({ seq, ack: 1, data })).to.have.length(0)
    expect(peer.send({ seq: seq + 1460, ack: 1, data })[0]).to.include({ ack: seq + 2920 })
  })

  it('acknowledges what came in one burst once, but early data at once', async () => {
    const { peer } = await accepted(bench())
    const piece = (i: number, ack = 1) =>
      peer.build({ seq: 1 + 1000 * i, ack, flags: 'PA', data: new Uint8Array(1000) })
    bench().tun.push(...[0, 1, 2, 3, 4].map((i) => piece(i)))
    expect(peer.take().map(({ ack }) => ack)).to.deep.equal([5001])
    bench().tun.push(piece(5), piece(7), piece(9))
    expect(peer.take().map(({ ack }) => ack)).to.deep.equal([6001, 6001])
    bench().tun.push(piece(6), piece(8))
    expect(peer.take().map(({ ack }) => ack)).to.deep.equal([8001, 10_001])
  })

  it('tcp-keepalive-default, keep-alive: silent unless asked for; then probes at Linux’s times, and ETIMEDOUT', async () => {
    const { peer, socket } = await accepted(bench())
    bench().pass(4 * 3600_000)
    expect(peer.take()).to.have.length(0)
    socket.setKeepAlive(true)
    bench().pass(7199_000)
    expect(peer.take()).to.have.length(0)
    bench().pass(2000)
    expect(peer.take()[0]).to.include({ flags: 'A', seq: 0 })
    peer.send({ seq: 1, ack: 1 }) // alive
    socket.setKeepAlive(true, { idle: 10_000, interval: 1000, count: 3 })
    expect(times(peer, 15).map(Math.floor)).to.deep.equal([10, 11, 12, 13])
    expect(socket.state).to.equal('CLOSED')
    expect(await codeOf(socket.readInto(new Uint8Array(1)))).to.equal('ETIMEDOUT')
    expect(bench().count('TcpExtTCPKeepAlive')).to.equal(4)
  })

  describe('a device that takes nothing', () => {
    /** A connection with 100 bytes to send that its device, which is full, does not take. */
    async function stuck(): Promise<TcpSocket> {
      const { socket } = await accepted(bench(), { mss: 1460 })
      const { tun, stack } = bench()
      tun.blocked = true
      const others = stack.udp.bind()
      for (let i = 0; i < 1100; i++) others.trySend(new Uint8Array(10), { address: PEER, port: 9 })
      others.close()
      await socket.write(new Uint8Array(100))
      return socket
    }

    it('is asked again, the more seldom the longer it lasts; then it goes on', async () => {
      const socket = await stuck()
      const { clock, tun } = bench()
      const before = clock.fired
      bench().pass(10_000)
      expect(clock.fired - before).to.be.within(20, 100)
      expect(socket.info).to.include({ notsent_bytes: 100, state: 1 })
      tun.release()
      bench().pass(500)
      expect(socket.info).to.include({ notsent_bytes: 0 })
      expect(tun.take().length).to.be.above(1000)
    })

    it('is waited for as long as the user timeout says', async () => {
      const socket = await stuck()
      socket.userTimeout = 3000
      bench().pass(2900)
      expect(socket.state).to.equal('ESTABLISHED')
      bench().pass(700)
      expect(socket.state).to.equal('CLOSED')
      expect(await codeOf(socket.write(new Uint8Array(1)))).to.equal('ETIMEDOUT')
    })
  })

  describe('closed window', () => {
    it('tcp-zerowin-probe, tcp-zerowin-forever: probes with growing gaps, for as long as they are answered', async () => {
      const { peer, socket } = await accepted(bench())
      peer.send({ seq: 1, ack: 1, window: 0 })
      await socket.write(new Uint8Array(100))
      expect(peer.take()).to.have.length(0)
      const gaps: number[] = []
      let last = 0
      for (let ms = 50; ms <= 1_800_000; ms += 50) {
        bench().pass(50)
        for (const probe of peer.take()) {
          expect(probe).to.include({ flags: 'A', seq: 0 })
          gaps.push(ms - last)
          last = ms
          peer.send({ seq: 1, ack: 1, window: 0 })
        }
      }
      for (const [i, gap] of gaps.slice(0, 6).entries()) expect(gap).to.be.closeTo(200 * 2 ** i, 51)
      expect(Math.max(...gaps)).to.equal(120_000)
      expect(socket.state).to.equal('ESTABLISHED')
      const [data] = peer.send({ seq: 1, ack: 1, window: 1000 })
      expect(data?.data).to.have.length(100)
    })

    it('hardening-21: unanswered probes end the connection', async () => {
      const { peer, socket } = await accepted(bench())
      peer.send({ seq: 1, ack: 1, window: 0 })
      await socket.write(new Uint8Array(100))
      bench().pass(1_300_000)
      expect(socket.state).to.equal('CLOSED')
      expect(await codeOf(socket.write(new Uint8Array(1)))).to.equal('ETIMEDOUT')
    })

    it('tcp-fin-retrans-window0: FIN goes out although the window is closed', async () => {
      const { peer, socket } = await accepted(bench())
      peer.send({ seq: 1, ack: 1, window: 0 })
      socket.end()
      expect(peer.take()[0]).to.include({ flags: 'FA', seq: 1 })
    })

    it('tcp-win-shrink: a window that is taken back while data is on its way', async () => {
      const { peer, socket } = await accepted(bench())
      await socket.write(new Uint8Array(2920))
      expect(peer.take()).to.have.length(2)
      peer.send({ seq: 1, ack: 1, window: 0 })
      bench().pass(5000)
      peer.take()
      expect(socket.state).to.equal('ESTABLISHED')
      const sent = peer.send({ seq: 1, ack: 1, window: 65535 })
      bench().pass(20_000)
      sent.push(...peer.take())
      expect(sent.some(({ seq, data }) => seq === 1 && data.length === 1460)).to.equal(true)
    })

    it('tcp-zerowin-adv, tcp-win-update, tcp-sws-recv: the receiver’s side', async () => {
      const { peer, socket } = await accepted(bench(), { mss: 1460 }, { receiveBuffer: 8192 })
      let seq = 1
      let wnd = 8192
      for (let i = 0; i < 20 && wnd > 0; i++) {
        const data = new Uint8Array(Math.min(1000, wnd))
        const sent = peer.send({ seq, ack: 1, data })
        seq += data.length
        bench().pass(50)
        const last = [...sent, ...peer.take()].at(-1)!
        expect(last.ack + last.window, 'tcp-win-noshrink').to.be.at.least(8192 - 1460)
        wnd = last.window
      }
      expect(wnd).to.equal(0)
      const [beyond] = peer.send({ seq, ack: 1, data: [1] })
      expect(beyond).to.include({ ack: seq, window: 0 })
      expect(bench().count('TcpExtBeyondWindow')).to.equal(1)
      const byte = new Uint8Array(1)
      for (let i = 0; i < 400; i++) await socket.readInto(byte)
      expect(peer.take(), 'no silly window').to.have.length(0)
      await socket.readInto(new Uint8Array(4000))
      const [update] = peer.take()
      expect(update).to.include({ ack: seq, flags: 'A' })
      expect(update!.window).to.be.at.least(1460)
      expect(bench().count('TcpExtTCPToZeroWindowAdv')).to.equal(1)
      expect(bench().count('TcpExtTCPFromZeroWindowAdv')).to.equal(1)
    })
  })
})
