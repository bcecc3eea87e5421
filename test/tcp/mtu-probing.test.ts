/** RFC 4821: paths that lose large packets and say nothing, in simulated networks. */
import { expect } from 'chai'
import fc from 'fast-check'
import type { RetransmitReason } from '../../lib/index.ts'
import { type Host, type Link, type Simulation, simulate } from '../../lib/sim/index.ts'
import { content, readAll, writeAll } from './pair.ts'

interface Bench {
  net: Simulation
  a: Host
  b: Host
  link: Link
}

function bench(maxSize: number, settings: Record<string, number> = {}, seed = 1, mtu = 1500): Bench {
  const net = simulate({ seed })
  const a = net.host('10.0.0.1/24')
  const b = net.host('10.0.0.2/24')
  const link = net.link(a, b, { delay: '5ms', maxSize, mtu })
  for (const [name, value] of Object.entries(settings)) a.sysctlSet(`net.ipv4.${name}`, value)
  return { net, a, b, link }
}

interface Outcome {
  error: string | null
  mss: number
  pmtu: number
  seconds: number
  reductions: number
  reasons: Set<RetransmitReason>
}

/** Sends from a to b, and what was there to see of it. */
async function transfer({ net, a, b }: Bench, bytes: number): Promise<Outcome> {
  return await net.run(async () => {
    const data = content(bytes)
    const listener = b.tcp.listen({ port: 80 })
    const received = listener.accept().then(readAll)
    received.catch(() => {})
    const reasons = new Set<RetransmitReason>()
    let reductions = 0
    const socket = await a.tcp.connect({
      address: '10.0.0.2',
      port: 80,
      events: (event) => {
        if (event.type === 'retransmit') reasons.add(event.reason)
        if (event.type === 'cwnd' && (event.state === 'recovery' || event.state === 'loss')) reductions++
      },
    })
    const begun = net.time
    let error: string | null = null
    try {
      await writeAll(socket, data)
      socket.end()
      const got = await received
      expect(Buffer.compare(got, data), 'what arrived is not what was sent').to.equal(0)
    } catch (problem) {
      error = (problem as { code?: string }).code ?? String(problem)
      if (error.startsWith('AssertionError')) throw problem
    }
    const { snd_mss: mss, pmtu } = socket.info
    return { error, mss, pmtu, seconds: (net.time - begun) / 1000, reductions, reasons }
  })
}

describe('TCP path MTU probing', () => {
  let made: Bench[] = []
  const make = (...args: Parameters<typeof bench>): Bench => {
    const one = bench(...args)
    made.push(one)
    return one
  }
  const counters = ({ a }: Bench): { failed: number; succeeded: number } => ({
    failed: a.mib.get('TcpExtTCPMTUPFail')!,
    succeeded: a.mib.get('TcpExtTCPMTUPSuccess')!,
  })
  afterEach(async () => {
    for (const { net } of made) await net.close()
    made = []
  })

  it('0: a black hole is the end of the connection', async () => {
    const one = make(1300, { tcp_retries2: 6 })
    const { error, pmtu } = await transfer(one, 100_000)
    expect(error).to.equal('ETIMEDOUT')
    expect(pmtu).to.equal(1500)
  })

  it('1: after timeouts in a row it begins, at tcp_base_mss, and the transfer gets through', async () => {
    const one = make(1300, { tcp_mtu_probing: 1 })
    const { error, mss, seconds } = await transfer(one, 100_000)
    expect(error).to.equal(null)
    expect(mss).to.be.within(1024, 1300 - 52)
    // Timeouts after 0.2, 0.6, 1.5, 3.2 s: the first that comes 3 s (tcp_retries1) after the first copy is that at 6.6.
    // Linux 6.18 gets through after 6.5 s where the RTT is next to nothing.
    expect(seconds).to.be.within(6.3, 6.9)
  })

  it('1: where nothing is lost nothing is probed', async () => {
    const one = make(0, { tcp_mtu_probing: 1 })
    expect((await transfer(one, 200_000)).mss).to.equal(1448)
    expect(counters(one)).to.deep.equal({ failed: 0, succeeded: 0 })
  })

  it('1: segments are halved while that does not help, down to tcp_mtu_probe_floor', async () => {
    const one = make(500, { tcp_mtu_probing: 1 })
    const { error, mss } = await transfer(one, 20_000)
    expect(error).to.equal(null)
    expect(mss).to.be.within(256, 448)
    const two = make(400, { tcp_mtu_probing: 1, tcp_mtu_probe_floor: 512, tcp_retries2: 7 })
    expect((await transfer(two, 200_000)).error, 'below the floor').to.equal('ETIMEDOUT')
  })

  it('2: begins at tcp_base_mss and climbs; a probe that is lost is no congestion', async () => {
    const one = make(1300, { tcp_mtu_probing: 2 })
    const { error, mss, reductions, reasons, seconds } = await transfer(one, 3_000_000)
    expect(error).to.equal(null)
    expect(mss + 52).to.be.within(1300 - 8, 1300)
    expect(reductions, 'times that the window came down').to.equal(0)
    expect([...reasons], 'the probes that were lost, nothing else').to.deep.equal(['path-mtu'])
    expect(seconds).to.be.below(1)
    const { failed, succeeded } = counters(one)
    expect(failed).to.be.within(2, 5)
    expect(succeeded).to.be.within(2, 6)
    const sizes = one.link.packets.map(({ bytes }) => bytes.length).filter((size) => size > 60)
    expect(Math.max(...sizes.slice(0, 5)), 'the first segments').to.equal(1024 + 52)
  })

  it('2: reaches the largest where nothing is lost', async () => {
    const one = make(0, { tcp_mtu_probing: 2 })
    const { mss } = await transfer(one, 3_000_000)
    // Half of what is left each time, until less than tcp_probe_threshold is: exactly what Linux 6.18 comes to.
    expect(mss).to.equal(1441)
    expect(counters(one)).to.deep.equal({ failed: 0, succeeded: 6 })
  })

  it('2: without SACK and timestamps as well', async () => {
    const one = make(1300, { tcp_mtu_probing: 2, tcp_sack: 0, tcp_timestamps: 0 })
    one.b.interfaces[1]!.setGro(false) // each segment is to make a duplicate acknowledgment
    const { error, mss, reductions } = await transfer(one, 3_000_000)
    expect(error).to.equal(null)
    expect(mss + 40).to.be.within(1300 - 8, 1300)
    expect(reductions).to.equal(0)
  })

  it('a router that does speak refuses the probe alone: the other segments are not sent again', async () => {
    const net = simulate({ seed: 3 })
    const a = net.host('10.0.0.1/24')
    const router = net.router(['10.0.0.254/24', '10.0.1.254/24'])
    const b = net.host('10.0.1.1/24')
    net.link(a, router, { delay: '5ms' })
    const link = net.link(router, b, { delay: '5ms', mtu: 1300 })
    a.sysctlSet('net.ipv4.tcp_mtu_probing', 2)
    const one = { net, a, b, link }
    made.push(one)
    const data = content(3_000_000)
    const { mss, again } = await net.run(async () => {
      const listener = b.tcp.listen({ port: 80 })
      const received = listener.accept().then(readAll)
      const socket = await a.tcp.connect({ address: '10.0.1.1', port: 80 })
      await writeAll(socket, data)
      socket.end()
      expect(Buffer.compare(await received, data)).to.equal(0)
      return { mss: socket.info.snd_mss, again: socket.info.bytes_retrans }
    })
    expect(mss).to.be.within(1300 - 52 - 8, 1300 - 52)
    expect(again, 'bytes sent again').to.be.below(3000)
  })

  it('begins again after tcp_probe_interval', async () => {
    const one = make(1300, { tcp_mtu_probing: 2, tcp_probe_interval: 30 })
    const { net, a, b, link } = one
    await net.run(async () => {
      const listener = b.tcp.listen({ port: 80 })
      const received = listener.accept().then(readAll)
      const socket = await a.tcp.connect({ address: '10.0.0.2', port: 80 })
      await writeAll(socket, content(2_000_000))
      const { snd_mss: before } = socket.info
      expect(before + 52).to.be.within(1292, 1300)
      link.set({ maxSize: 0 })
      await writeAll(socket, content(200_000))
      expect(socket.info.snd_mss, 'before its time').to.equal(before)
      await net.sleep('30s')
      await writeAll(socket, content(2_000_000))
      socket.end()
      await received
      expect(socket.info.snd_mss).to.be.within(1440, 1448)
    })
  })

  it('whatever the path takes, and loses besides, the data arrives, in segments that fit (property)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 150, max: 1600 }),
        fc.constantFrom(1, 2),
        fc.constantFrom(0, 0.02),
        fc.boolean(),
        fc.integer({ min: 1, max: 1000 }),
        async (maxSize, probing, loss, options, seed) => {
          const settings = options ? {} : { tcp_sack: 0, tcp_timestamps: 0 }
          const one = bench(maxSize, { tcp_mtu_probing: probing, ...settings }, seed)
          try {
            one.link.set({ loss })
            const { error, mss } = await transfer(one, 60_000)
            expect(error).to.equal(null)
            expect(mss + (options ? 52 : 40)).to.be.at.most(Math.min(maxSize, 1500))
          } finally {
            await one.net.close()
          }
        },
      ),
      { numRuns: 25 },
    )
  })
})
