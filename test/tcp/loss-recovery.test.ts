/** Loss recovery as a peer sees it, on a path with a round trip of 100 ms. */
import { expect } from 'chai'
import type { TcpEvent, TcpSocket } from '../../lib/index.ts'
import { HostBench, useBench } from '../conformance/harness.ts'
import { tick } from './pair.ts'
import { dialled, type RawPeer, sack, synOptions } from './raw-peer.ts'

const MSS = 1000
const RTT = 100

describe('TCP loss recovery', () => {
  const bench = useBench(() => new HostBench())

  /** Segments [from, to) of the flight are on their way, their acknowledgments due now. */
  async function flight(
    segments = 10,
    options: { timestamps?: boolean; sackPermitted?: boolean; more?: number } = {},
  ): Promise<{ peer: RawPeer; socket: TcpSocket; events: TcpEvent[] }> {
    bench().stack.sysctlSet('net.ipv4.tcp_congestion_control', 'reno')
    const { timestamps = false, sackPermitted = true, more = 0 } = options
    const { peer, syn, opening } = await dialled(bench())
    bench().pass(RTT)
    if (timestamps) peer.clock = 1000
    peer.send({
      flags: 'SA',
      ack: 1,
      options: synOptions({
        mss: MSS + (timestamps ? 12 : 0),
        sackPermitted,
        timestamps,
        tsValue: 1000,
        tsEcho: syn.options.tsValue,
      }),
    })
    const socket = await opening
    const events: TcpEvent[] = []
    socket.events = (event) => events.push(event)
    void socket.write(new Uint8Array(segments * MSS + more)).catch(() => {})
    expect(peer.take().filter(({ data }) => data.length > 0)).to.have.length(Math.min(10, segments))
    bench().pass(RTT)
    expect(peer.take()).to.deep.equal([])
    return { peer, socket, events }
  }

  const at = (peer: RawPeer, n: number): number => peer.theirs + 1 + n * MSS
  /** An acknowledgment of the first `n` segments that tells of [from, to), … */
  const ack = (peer: RawPeer, n: number, ...blocks: [number, number][]) =>
    peer
      .send({
        seq: 1,
        ack: 1 + n * MSS,
        options: sack(...blocks.map(([a, b]): [number, number] => [at(peer, a), at(peer, b)])),
      })
      .map(({ seq }) => (seq - 1) / MSS)
  const sentWithin = (peer: RawPeer, ms: number): number[] => {
    bench().pass(ms)
    return peer.take().map(({ seq }) => (seq - 1) / MSS)
  }

  it('tcp-rack-reorder: what a later one has overtaken for a quarter of the RTT goes again, without three duplicates', async () => {
    const { peer, socket } = await flight()
    expect(ack(peer, 0, [1, 2])).to.deep.equal([])
    expect(sentWithin(peer, RTT / 4 - 2)).to.deep.equal([])
    expect(sentWithin(peer, 10)[0]).to.equal(0)
    expect(socket.info).to.include({ ca_state: 3, lost: 1, retrans: 1, sacked: 1 })
    expect(bench().count('TcpExtTCPSackRecovery')).to.equal(1)
    expect(bench().count('TcpExtTCPTimeouts')).to.equal(0)
  })

  it('tcp-rack-reorder-tolerate: what comes a little late is not sent again, and is remembered', async () => {
    const { peer, socket } = await flight()
    ack(peer, 0, [1, 3])
    expect(sentWithin(peer, RTT / 4 - 5)).to.deep.equal([])
    ack(peer, 3)
    expect(socket.info).to.include({ ca_state: 0, reord_seen: 1, reordering: 3 })
    // Now that packets are known to overtake one another, three duplicates are no sign of loss.
    ack(peer, 3, [4, 9])
    expect(sentWithin(peer, RTT / 4 - 5)).to.deep.equal([])
    ack(peer, 10)
    expect(socket.info).to.include({ ca_state: 0, reordering: 7, total_retrans: 0 })
    expect(bench().count('TcpExtTCPSACKReorder')).to.equal(2)
  })

  it('tcp-fast-rexmit: three segments that arrived are enough while nothing was ever late', async () => {
    const { peer } = await flight()
    expect(ack(peer, 0, [1, 4])).to.deep.equal([0])
  })

  it('tcp-tlp: a tail that is not acknowledged is probed after two round trips, long before the timeout', async () => {
    const { peer, socket, events } = await flight(5)
    expect(socket.info.rto).to.be.above(290_000)
    expect(sentWithin(peer, RTT + 20)).to.deep.equal([4])
    expect(bench().count('TcpExtTCPLossProbes')).to.equal(1)
    expect(events.find(({ type }) => type === 'retransmit')).to.include({ reason: 'probe' })
    // The first three had arrived, the tail had not: the probe shows it, and the rest is RACK's.
    bench().pass(RTT)
    peer.take()
    // What is acknowledged with it took longer, so a quarter of the RTT is waited for it (RFC 8985 §6.2 step 2).
    expect(ack(peer, 3, [4, 5])).to.deep.equal([])
    expect(sentWithin(peer, RTT / 4 - 2)).to.deep.equal([])
    expect(sentWithin(peer, 10)).to.deep.equal([3])
    expect(bench().count('TcpExtTCPTimeouts')).to.equal(0)
  })

  it('tcp-tlp: new data is the probe if there is some; a probe that repaired the loss costs half of the window', async () => {
    const { peer, socket } = await flight(5)
    const before = socket.info.snd_cwnd
    expect(sentWithin(peer, RTT + 20)).to.deep.equal([4])
    await socket.write(new Uint8Array(MSS))
    peer.take()
    bench().pass(RTT)
    ack(peer, 6) // no duplicate reported: one of the two was lost
    expect(bench().count('TcpExtTCPLossProbeRecovery')).to.equal(1)
    expect(socket.info.snd_cwnd).to.be.below(before)
  })

  it('a copy that is lost too is found without a timeout', async () => {
    const { peer, socket } = await flight(10, { more: 5 * MSS })
    expect(ack(peer, 0, [1, 4])[0]).to.equal(0)
    const more = ack(peer, 0, [1, 10])
    expect(more.length).to.be.above(0)
    // A round trip later what was sent after the copy has arrived, and the copy has not.
    bench().pass(RTT)
    peer.take()
    const first = 10
    expect(ack(peer, 0, [first, first + 1], [1, 10]).concat(sentWithin(peer, 5))).to.include(0)
    expect(bench().count('TcpExtTCPLostRetransmit')).to.equal(1)
    expect(bench().count('TcpExtTCPTimeouts')).to.equal(0)
    expect(socket.info.ca_state).to.equal(3)
  })

  it('undoes a fast retransmit when every copy is reported as a duplicate (RFC 3708)', async () => {
    const { peer, socket, events } = await flight()
    const { snd_cwnd } = socket.info
    expect(ack(peer, 0, [1, 4])).to.deep.equal([0])
    ack(peer, 4)
    // The original was late, and the copy comes as well.
    ack(peer, 10, [0, 1])
    expect(bench().count('TcpExtTCPDSACKUndo') + bench().count('TcpExtTCPFullUndo')).to.equal(1)
    expect(socket.info.ca_state).to.equal(0)
    expect(socket.info.snd_cwnd).to.be.at.least(snd_cwnd)
    await tick()
    expect(events.some(({ type }) => type === 'undo')).to.equal(true)
  })

  it('undoes it by timestamps at once when the acknowledgment is of the original (RFC 3522)', async () => {
    const { peer, socket } = await flight(10, { timestamps: true })
    const { snd_cwnd } = socket.info
    const before = peer.lastTs
    bench().pass(30)
    expect(
      peer.send({
        seq: 1,
        ack: 1,
        options: [...timestampOption(peer, before), ...sack([at(peer, 1), at(peer, 4)])],
      }).length,
    ).to.be.above(0)
    expect(socket.info.ca_state).to.equal(3)
    peer.send({ seq: 1, ack: 1 + 10 * MSS, options: timestampOption(peer, before) })
    expect(bench().count('TcpExtTCPFullUndo')).to.equal(1)
    expect(socket.info.ca_state).to.equal(0)
    expect(socket.info.snd_cwnd).to.be.at.least(snd_cwnd)
  })

  const timestampOption = (peer: RawPeer, echo: number): number[] => {
    const value = ++peer.clock
    return [
      1,
      1,
      8,
      10,
      value >>> 24,
      (value >>> 16) & 255,
      (value >>> 8) & 255,
      value & 255,
      echo >>> 24,
      (echo >>> 16) & 255,
      (echo >>> 8) & 255,
      echo & 255,
    ]
  }

  it('takes a timeout back when what had been sent before it arrives (F-RTO, RFC 5682)', async () => {
    bench().stack.sysctlSet('net.ipv4.tcp_early_retrans', 0)
    const { peer, socket } = await flight()
    const { snd_cwnd } = socket.info
    const again = sentWithin(peer, 400)
    expect(again).to.include(0)
    expect(socket.info).to.include({ ca_state: 4, snd_cwnd: 1 })
    ack(peer, 3) // more than was sent again
    expect(bench().count('TcpExtTCPSpuriousRTOs')).to.equal(1)
    expect(socket.info.ca_state).to.equal(0)
    expect(socket.info.snd_cwnd).to.be.at.least(snd_cwnd)
    ack(peer, 10)
    const { total_rto_time } = socket.info
    bench().pass(1000)
    expect(socket.info).to.include({ total_rto: 1, total_rto_recoveries: 1, total_rto_time })
  })

  it('and does not when only the copy arrives', async () => {
    bench().stack.sysctlSet('net.ipv4.tcp_early_retrans', 0)
    const { peer, socket } = await flight(10, { more: 20 * MSS })
    expect(sentWithin(peer, 400)).to.include(0)
    ack(peer, 1) // what was sent again; new data goes, to see what comes of it
    ack(peer, 1, [10, 11]) // it arrives, and nothing of what was before: the loss was real
    expect(bench().count('TcpExtTCPSpuriousRTOs')).to.equal(0)
    expect(socket.info.ca_state).to.equal(4)
    ack(peer, 4, [10, 11])
    expect(socket.info.total_retrans).to.be.above(1)
  })

  it('tcp-ssthresh-fr: comes down to half by proportional rate reduction, no faster than data arrives', async () => {
    const { peer, socket } = await flight(10, { more: 40 * MSS })
    const inFlight = (): number => {
      const { unacked, sacked, lost, retrans } = socket.info
      return unacked - sacked - lost + retrans
    }
    let sent = ack(peer, 0, [1, 4]).length
    expect(sent).to.equal(1)
    for (let n = 5; n <= 10; n++) {
      sent += ack(peer, 0, [1, n]).length
      // Of each segment that arrives half of one goes out.
      expect(sent).to.be.at.most(1 + Math.ceil((n - 1) / 2))
      expect(inFlight()).to.be.at.most(10 - n + 1 + sent)
    }
    expect(inFlight()).to.be.within(4, 6)
    ack(peer, 10)
    expect(socket.info.snd_ssthresh).to.equal(5)
  })
})
