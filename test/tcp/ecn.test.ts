import { expect } from 'chai'
import { simulate } from '../../lib/sim/index.ts'
import { HostBench, useBench } from '../conformance/harness.ts'
import { dialled, RawPeer, synOptions } from './raw-peer.ts'

const ECT_0 = 2
const CE = 3
const MSS = 1000

describe('TCP explicit congestion notification', () => {
  const bench = useBench(() => new HostBench())
  const set = (value: number): void => void bench().stack.sysctlSet('net.ipv4.tcp_ecn', value)

  it('tcp-ecn-syn: a listener grants it with ECE to who asks with both flags, unless it is off', () => {
    bench().stack.tcp.listen({ port: 80 })
    const answer = (tcpEcn: number, flags: string, tos = 0): string => {
      set(tcpEcn)
      const peer = new RawPeer(bench(), 80, 42000 + Math.floor(bench().stack.mib.get('TcpInSegs')))
      return peer.send({ flags, tos, options: synOptions({ mss: MSS }) })[0]!.flags
    }
    const matrix = [0, 1, 2].map((tcpEcn) => ['S', 'SEC', 'SE', 'SC'].map((flags) => answer(tcpEcn, flags)))
    expect(matrix).to.deep.equal([
      ['SA', 'SA', 'SA', 'SA'],
      ['SA', 'SAE', 'SA', 'SA'],
      ['SA', 'SAE', 'SA', 'SA'],
    ])
    expect(answer(2, 'SEC', ECT_0), 'a SYN that is capable itself').to.equal('SA')
  })

  it('asks with both flags if tcp_ecn is 1; the answer has ECE alone, or it is off; a SYN again does not ask', async () => {
    const dial = async (tcpEcn: number, answer: string): Promise<[string, number]> => {
      set(tcpEcn)
      const { peer, syn, opening } = await dialled(bench())
      peer.send({ flags: answer, ack: 1, options: synOptions({ mss: MSS }) })
      const socket = await opening
      await socket.write(new Uint8Array(1))
      return [syn.flags, peer.take().find(({ data }) => data.length > 0)!.tos]
    }
    expect(await dial(1, 'SAE')).to.deep.equal(['SEC', ECT_0])
    expect(await dial(1, 'SA')).to.deep.equal(['SEC', 0])
    expect(await dial(1, 'SAEC')).to.deep.equal(['SEC', 0])
    expect(await dial(2, 'SAE')).to.deep.equal(['S', 0])
    set(1)
    const { peer, opening } = await dialled(bench())
    opening.catch(() => {})
    bench().pass(1100)
    expect(peer.take().find(({ flags }) => flags.includes('S'))!.flags).to.equal('S')
  })

  /** A connection from this host to a peer that grants it. */
  async function agreed() {
    set(1)
    const { peer, opening } = await dialled(bench())
    peer.send({ flags: 'SAE', ack: 1, options: synOptions({ mss: MSS }) })
    const socket = await opening
    peer.take()
    return { peer, socket }
  }

  it('tcp-ecn-use: a mark is echoed in every acknowledgment until CWR comes', async () => {
    const { peer } = await agreed()
    const data = new Uint8Array(MSS)
    const flags: string[] = []
    let seq = 1
    const send = (more: { tos: number; flags?: string }): void => {
      flags.push(...peer.send({ seq, ack: 1, data, ...more }).map((one) => one.flags))
      seq += MSS
    }
    send({ tos: ECT_0 })
    send({ tos: CE })
    send({ tos: ECT_0 })
    send({ tos: ECT_0 })
    send({ tos: ECT_0, flags: 'AC' })
    send({ tos: ECT_0 })
    send({ tos: CE, flags: 'AC' })
    expect(flags).to.deep.equal(['A', 'AE', 'AE', 'AE', 'A', 'A', 'AE'])
  })

  it('reduces once in a round trip, says so with CWR in the first new data, and marks new data only', async () => {
    const { peer, socket } = await agreed()
    void socket.write(new Uint8Array(60 * MSS)).catch(() => {})
    const first = peer.take()
    expect(first.map(({ tos }) => tos)).to.deep.equal(Array(10).fill(ECT_0))
    const { snd_cwnd } = socket.info
    bench().pass(50)
    const sent = peer.send({ seq: 1, ack: 1 + 2 * MSS, flags: 'AE' })
    expect(socket.info.ca_state).to.equal(2)
    for (let n = 3; n <= 10; n++) sent.push(...peer.send({ seq: 1, ack: 1 + n * MSS, flags: 'AE' }))
    expect(sent.map(({ flags }) => flags.includes('C'))).to.deep.equal([
      true,
      ...Array(sent.length - 1).fill(false),
    ])
    expect(socket.info.snd_ssthresh).to.equal(Math.floor(0.7 * snd_cwnd))
    expect(socket.info.unacked).to.be.at.most(7)
    peer.send({ seq: 1, ack: 1 + 11 * MSS })
    expect(socket.info).to.include({ ca_state: 0, total_retrans: 0 })
    // What is sent again is not capable.
    bench().pass(1500)
    const again = peer.take().filter(({ seq }) => seq <= 1 + 12 * MSS)
    expect(again.length).to.be.above(0)
    expect(again.map(({ tos }) => tos)).to.deep.equal(again.map(() => 0))
    expect(bench().count('TcpExtTCPDeliveredCE')).to.be.above(0)
  })

  it('ECE of a peer that did not agree is nothing', async () => {
    const { peer, opening } = await dialled(bench())
    peer.send({ flags: 'SA', ack: 1, options: synOptions({ mss: MSS }) })
    const socket = await opening
    void socket.write(new Uint8Array(20 * MSS)).catch(() => {})
    peer.take()
    peer.send({ seq: 1, ack: 1 + 5 * MSS, flags: 'AE' })
    expect(socket.info).to.include({ ca_state: 0, snd_cwnd: 15 })
  })

  it('loses nothing at a queue that marks', async () => {
    const run = async (tcpEcn: number) => {
      const net = simulate({ seed: 3, record: 0 })
      const [a, b] = [net.host('10.0.0.1/24'), net.host('10.0.0.2/24')]
      a.sysctlSet('net.ipv4.tcp_ecn', tcpEcn)
      const queue = { discipline: 'codel', ecn: true } as const
      const link = net.link(a, b, { delay: '10ms', forward: { delay: '10ms', rate: '20mbit', queue } })
      let received = 0
      await net.run(async () => {
        const server = b.tcp.listen({ port: 9 })
        const reading = (async () => {
          for await (const chunk of await server.accept()) received += chunk.length
        })()
        const socket = await a.tcp.connect({ address: '10.0.0.2', port: 9 })
        while (net.time < 10_000) await socket.write(new Uint8Array(50_000))
        await socket.close()
        await reading
      })
      const again = a.mib.get('TcpRetransSegs')
      const dropped = link.counters().queueDropped
      await net.close()
      return { again, dropped, rate: (received * 8) / net.time / 1000 }
    }
    const without = await run(0)
    const withEcn = await run(1)
    expect(without.again).to.be.above(0)
    expect(withEcn).to.include({ again: 0, dropped: 0 })
    expect(withEcn.rate).to.be.above(15)
  })
})
