import { expect } from 'chai'
import { type TcpConnectOptions, type TcpSocket, TunstackError } from '../../lib/index.ts'
import { HOST, PEER, useBench } from './harness.ts'
import { icmp, pattern } from './packets.ts'
import { brief, Peer, type Segment, TcpBench } from './tcp-peer.ts'

const bench = useBench(() => new TcpBench())

const SERVER = 8080

interface Dialled {
  peer: Peer
  syn: Segment
  /** What has become of the attempt so far. */
  outcome: { socket?: TcpSocket; code?: string }
}

async function dial(options: Partial<TcpConnectOptions> = {}): Promise<Dialled> {
  const outcome: Dialled['outcome'] = {}
  bench()
    .stack.tcp.connect({ address: PEER, port: SERVER, ...options })
    .then(
      (socket) => {
        outcome.socket = socket
      },
      (error: unknown) => {
        outcome.code = error instanceof TunstackError ? error.code : String(error)
      },
    )
  const [syn] = await bench().elapse()
  expect(syn!.flags).to.equal('S')
  const peer = new Peer(bench(), syn!.sport, { ownPort: SERVER })
  peer.irs = syn!.seq
  return { peer, syn: syn!, outcome }
}

/** The peer answers as it should; the ACK, and what comes with it. */
async function accept({ peer }: Dialled, options: object = { mss: 1460 }): Promise<Segment[]> {
  peer.received = 1
  const sent = await peer.send({ flags: 'SA', seq: 0, options })
  peer.next = 1
  return sent
}

/** An ICMP error about a segment that the stack has sent. */
function errorAbout(peer: Peer, type: number, code: number, seq: number, mtu = 0): Uint8Array {
  const tcp = [peer.port >>> 8, peer.port & 255, SERVER >>> 8, SERVER & 255]
  const number = (peer.irs + seq) >>> 0
  tcp.push(number >>> 24, (number >>> 16) & 255, (number >>> 8) & 255, number & 255)
  const ip = [
    0x45,
    0,
    0,
    60,
    0,
    0,
    0x40,
    0,
    64,
    6,
    0,
    0,
    ...HOST.split('.').map(Number),
    ...PEER.split('.').map(Number),
  ]
  return icmp({ src: PEER, dst: HOST }, { type, code, word: mtu }, [...ip, ...tcp])
}

describe('TCP: connecting (RFC 9293 §3.10.7.3)', () => {
  it('dial-open: ACK, then data', async () => {
    const dialled = await dial()
    expect(brief(await accept(dialled))).to.deep.equal(['A 1 ack 1'])
    const { socket } = dialled.outcome
    void socket!.write(pattern(100))
    expect(dialled.peer.take(await dialled.peer.elapse())).to.deep.equal(pattern(100))
  })

  it('dial-noopts: a SYN-ACK without options: none afterwards, and 536 bytes at most', async () => {
    const dialled = await dial()
    await accept(dialled, {})
    void dialled.outcome.socket!.write(pattern(3000))
    const sent = await dialled.peer.elapse()
    expect(sent.length).to.be.at.least(6)
    for (const { options, data } of sent) {
      expect(options).to.deep.equal({})
      expect(data.length).to.be.at.most(536)
    }
  })

  it('tcp-ts-negotiated-synack: what the SYN did not ask for counts for nothing', async () => {
    for (const name of ['tcp_timestamps', 'tcp_sack', 'tcp_window_scaling']) {
      bench().stack.sysctlSet(`net.ipv4.${name}`, 0)
    }
    const dialled = await dial()
    expect(dialled.syn.options).to.deep.equal({ mss: 1460 })
    const ack = await accept(dialled, { mss: 1460, ts: [1, 0], sackOk: true, scale: 7 })
    expect(ack[0]!.options).to.deep.equal({})
    dialled.peer.window = 2000
    await dialled.peer.send()
    void dialled.outcome.socket!.write(pattern(10_000)).catch(() => {})
    const sent = await dialled.peer.elapse()
    for (const { options } of sent) expect(options).to.deep.equal({})
    expect(sent.reduce((sum, { data }) => sum + data.length, 0)).to.be.at.most(2000)
  })

  it('dial-rst: RST of our SYN: refused at once', async () => {
    const { peer, outcome } = await dial()
    peer.received = 1
    expect(await peer.send({ flags: 'RA', seq: 0 })).to.deep.equal([])
    expect(outcome.code).to.equal('ECONNREFUSED')
  })

  it('dial-rst-badack: RST of something else is ignored', async () => {
    const dialled = await dial()
    for (const ack of [0, 2, 5000]) await dialled.peer.send({ flags: 'RA', seq: 0, ack })
    await dialled.peer.send({ flags: 'R', seq: 0 })
    expect(dialled.outcome).to.deep.equal({})
    await accept(dialled)
    expect(dialled.outcome.socket!.state).to.equal('ESTABLISHED')
  })

  it('dial-badack: a SYN-ACK of something else gets RST, and the right one still connects', async () => {
    const dialled = await dial()
    expect(brief(await dialled.peer.send({ flags: 'SA', seq: 0, ack: 500 }))).to.deep.equal(['R 500'])
    expect(brief(await dialled.peer.send({ flags: 'SA', seq: 0, ack: 0 }))).to.deep.equal(['R 0'])
    expect(dialled.outcome).to.deep.equal({})
    await accept(dialled)
    expect(dialled.outcome.socket!.state).to.equal('ESTABLISHED')
  })

  it('dial-ack-only: an ACK without SYN is dropped', async () => {
    const dialled = await dial()
    expect(await dialled.peer.send({ flags: 'A', seq: 0, ack: 1 })).to.deep.equal([])
    expect(dialled.outcome).to.deep.equal({})
    await accept(dialled)
    expect(dialled.outcome.socket!.state).to.equal('ESTABLISHED')
  })

  it('dial-simopen: two SYNs cross', async () => {
    const { peer, outcome } = await dial()
    const [answer] = await peer.send({ flags: 'S', seq: 0, options: { mss: 1460 } })
    expect(answer).to.include({ flags: 'SA', seq: 0, ack: 1 })
    peer.next = peer.received = 1
    await peer.send({})
    expect(outcome.socket!.state).to.equal('ESTABLISHED')
    void outcome.socket!.write(pattern(50))
    expect(peer.take(await peer.elapse())).to.deep.equal(pattern(50))
    expect(await peer.isAlive()).to.equal(true)
  })

  it('dial-synack-dup: the SYN-ACK again is acknowledged', async () => {
    const dialled = await dial()
    await accept(dialled)
    const again = await dialled.peer.send({ flags: 'SA', seq: 0, options: { mss: 1460 } })
    expect(brief(again)).to.deep.equal(['A 1 ack 1'])
    expect(await dialled.peer.isAlive()).to.equal(true)
  })

  it('dial-syn-rexmit: SYN again after a second, then at longer gaps, with the same number', async () => {
    const { peer, syn } = await dial()
    const again = await peer.elapse(60_000)
    expect(again[0]!.at - syn.at).to.be.within(800, 3500)
    for (const { flags, seq } of again) expect([flags, seq]).to.deep.equal(['S', 0])
    const gaps = again.slice(1).map(({ at }, i) => at - again[i]!.at)
    for (let i = 1; i < gaps.length; i++) expect(gaps[i]).to.be.at.least(gaps[i - 1]!)
    expect(gaps.at(-1)).to.be.at.least(8000)
  })

  it('tcp-syn-r2: given up after the retries of tcp_syn_retries, with ETIMEDOUT', async () => {
    const { peer, syn, outcome } = await dial()
    const again = await peer.elapse(125_000)
    expect(outcome).to.deep.equal({})
    expect(again.length).to.equal(10) // four at a second each, then six that double
    await peer.elapse(60_000)
    expect(outcome.code).to.equal('ETIMEDOUT')
    expect(syn.at).to.equal(0)
    // With one more it is more than three minutes (RFC 9293 MUST-23).
    bench().stack.sysctlSet('net.ipv4.tcp_syn_retries', 7)
    const patient = await dial()
    await patient.peer.elapse(181_000)
    expect(patient.outcome).to.deep.equal({})
    await patient.peer.elapse(120_000)
    expect(patient.outcome.code).to.equal('ETIMEDOUT')
  })

  it('dial-icmp-soft: host unreachable about the SYN ends the attempt, as in Linux, and says so', async () => {
    const dialled = await dial()
    bench().tun.push(errorAbout(dialled.peer, 3, 1, 0))
    await bench().elapse(10)
    expect(dialled.outcome.code).to.equal('EHOSTUNREACH')
    const [late] = await accept(dialled)
    expect(late!.flags).to.equal('R')
  })

  it('dial-icmp-badseq: an error about another number is ignored (hardening-14)', async () => {
    const dialled = await dial()
    for (const seq of [1000, -1, 0x7fffffff]) bench().tun.push(errorAbout(dialled.peer, 3, 3, seq))
    await bench().elapse(10)
    expect(dialled.outcome).to.deep.equal({})
    await accept(dialled)
    expect(dialled.outcome.socket!.state).to.equal('ESTABLISHED')
  })

  it('dial-ports: ports and initial numbers in no steps (hardening-6)', async () => {
    const all: Dialled[] = []
    for (let i = 0; i < 10; i++) all.push(await dial({ address: `10.9.0.${100 + i}` }))
    for (const pick of [({ syn }: Dialled) => syn.sport, ({ syn }: Dialled) => syn.seq]) {
      const values = all.map(pick)
      const steps = values.slice(1).map((value, i) => value - values[i]!)
      expect(new Set(values).size).to.equal(10)
      expect(new Set(steps).size).to.be.at.least(8)
    }
  })
})

describe('TCP: what ICMP says of a connection (RFC 5927, hardening-14)', () => {
  /** A connection with 1460 bytes on their way. */
  async function inFlight(): Promise<{ peer: Peer; socket: TcpSocket }> {
    const dialled = await dial()
    await accept(dialled)
    const socket = dialled.outcome.socket!
    void socket.write(pattern(1460)).catch(() => {})
    const sent = await dialled.peer.elapse()
    expect(sent.reduce((sum, { data }) => sum + data.length, 0)).to.equal(1460)
    return { peer: dialled.peer, socket }
  }

  for (const [id, type, code] of [
    ['tcp-icmp-soft-net', 3, 0],
    ['tcp-icmp-soft-srcroute', 3, 5],
    ['tcp-icmp-soft-ttl', 11, 0],
    ['tcp-icmp-hard', 3, 2],
    ['tcp-icmp-hard', 3, 3],
  ] as const) {
    it(`${id}: type ${type} code ${code} about a segment on its way: the connection stays`, async () => {
      const { peer, socket } = await inFlight()
      bench().tun.push(errorAbout(peer, type, code, 1))
      await peer.elapse(50)
      expect(socket.state).to.equal('ESTABLISHED')
      peer.received = 1461
      await peer.send()
      expect(await peer.isAlive()).to.equal(true)
    })
  }

  it('source quench is ignored (RFC 6633)', async () => {
    const { peer, socket } = await inFlight()
    const before = socket.info.snd_cwnd
    bench().tun.push(errorAbout(peer, 4, 0, 1))
    expect(await peer.elapse(10)).to.deep.equal([])
    expect(socket.info.snd_cwnd).to.equal(before)
  })

  it('tcp-pmtu: Fragmentation Needed: sent again at once in smaller segments', async () => {
    const { peer } = await inFlight()
    bench().tun.push(errorAbout(peer, 3, 4, 1, 600))
    const again = await peer.elapse(20)
    expect(again.length).to.be.at.least(1)
    for (const { data } of again) expect(data.length).to.be.within(1, 560)
    peer.received = 1
    const got = [...peer.take(again)]
    for (let i = 0; i < 10 && got.length < 1460; i++) got.push(...peer.take(await peer.send({}, 300)))
    expect(Uint8Array.from(got)).to.deep.equal(pattern(1460))
  })

  it('tcp-pmtu-badseq: not about a number that is not on its way', async () => {
    const { peer, socket } = await inFlight()
    for (const seq of [-5000, 5000, 0x40000000]) bench().tun.push(errorAbout(peer, 3, 4, seq, 600))
    expect(await peer.elapse(20)).to.deep.equal([])
    peer.received = 1461
    await peer.send()
    void socket.write(pattern(1460))
    const [segment] = await peer.elapse()
    expect(segment!.data.length).to.equal(1460)
  })

  it('tcp-pmtu-tiny: next-hop MTUs of 0, 1, 20 and 67 do not make segments collapse (hardening-11)', async () => {
    for (const mtu of [0, 1, 20, 67]) {
      const { peer } = await inFlight()
      bench().tun.push(errorAbout(peer, 3, 4, 1, mtu))
      peer.received = 1
      const got: number[] = []
      for (let i = 0; i < 40 && got.length < 1460; i++) {
        const sent = await peer.elapse(100)
        for (const { data, seq } of sent) {
          if (seq + data.length < 1461) expect(data.length).to.be.at.least(8)
        }
        got.push(...peer.take(sent))
        await peer.send()
      }
      expect(Uint8Array.from(got), `MTU ${mtu}`).to.deep.equal(pattern(1460))
    }
  })

  it('tcp-pmtu-grow: a larger one does not make them larger', async () => {
    const { peer, socket } = await inFlight()
    bench().tun.push(errorAbout(peer, 3, 4, 1, 9000))
    for (const { data } of await peer.elapse(50)) expect(data.length).to.be.at.most(1460)
    peer.received = 1461
    await peer.send()
    void socket.write(pattern(5000))
    for (const { data } of await peer.elapse()) expect(data.length).to.be.at.most(1460)
  })

  it('tcp-mss-pmtu-cache: the next connection to that peer begins with the smaller size', async () => {
    const { peer } = await inFlight()
    bench().tun.push(errorAbout(peer, 3, 4, 1, 1000))
    await peer.elapse(20)
    const next = await dial()
    await accept(next)
    void next.outcome.socket!.write(pattern(3000))
    const sent = await next.peer.elapse()
    expect(Math.max(...sent.map(({ data }) => data.length))).to.be.within(900, 960)
  })

  it('tcp-pmtu-probe: after ten minutes a larger size is tried again', async () => {
    const { peer, socket } = await inFlight()
    bench().tun.push(errorAbout(peer, 3, 4, 1, 1000))
    const got = peer.take(await peer.elapse(20)).length
    for (let i = 0; i < 10 && peer.received < 1461; i++) peer.take(await peer.send({}, 300))
    expect(got).to.be.greaterThan(0)
    await peer.send({}, 601_000)
    void socket.write(pattern(5000))
    const sent = await peer.elapse()
    expect(Math.max(...sent.map(({ data }) => data.length))).to.equal(1460)
  })
})
