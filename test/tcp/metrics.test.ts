/** What connections learn of a destination and those that come after begin with, and what a route says of it. */
import { expect } from 'chai'
import { ip } from '../../lib/index.ts'
import { type Host, type Link, type Simulation, simulate } from '../../lib/sim/index.ts'
import type { TcpSocket } from '../../lib/tcp/tcp-socket.ts'
import { content, readAll } from './pair.ts'

describe('saved metrics of TCP', () => {
  let net: Simulation
  let a: Host
  let b: Host
  let link: Link

  beforeEach(() => {
    net = simulate({ seed: 1 })
    a = net.host('10.0.0.1/24')
    b = net.host('10.0.0.2/24')
    link = net.link(a, b, { delay: '50ms' })
  })
  afterEach(() => net.close())

  /** A connection that brings `bytes` and ends in good order; `begun` sees it once it is there. */
  async function talk(bytes: number, begun: (socket: TcpSocket) => void = () => {}): Promise<void> {
    const listener = b.tcp.listen({ port: 80 })
    const accepted = listener.accept()
    const client = await a.tcp.connect({ address: '10.0.0.2', port: 80 })
    begun(client)
    const server = await accepted
    const received = readAll(server)
    if (bytes > 0) await client.write(content(bytes))
    await client.close()
    expect((await received).length).to.equal(bytes)
    await server.close()
    await net.sleep('1s')
    await listener.close()
  }

  const metrics = () => a.tcp.metrics[0]!
  const route = (text: string): void => {
    const { status, stderr } = ip(a, `route replace 10.0.0.0/24 dev eth0 src 10.0.0.1 ${text}`)
    expect([status, stderr]).to.deep.equal([0, ''])
  }

  it('a connection leaves what it has measured, both ends do', async () => {
    await net.run(() => talk(100_000))
    expect(a.tcp.metrics).to.have.length(1)
    const { source, destination, rtt, cwnd, ssthresh } = metrics()
    expect([source, destination]).to.deep.equal(['10.0.0.1', '10.0.0.2'])
    expect(rtt).to.be.within(100_000, 103_000)
    expect(cwnd).to.be.above(10)
    expect(ssthresh).to.equal(0) // tcp_no_ssthresh_metrics_save
    expect(b.tcp.metrics[0]!.destination).to.equal('10.0.0.1')
  })

  it('a longer RTT counts at once, a shorter one an eighth', async () => {
    await net.run(async () => {
      await talk(1000)
      link.set({ delay: '100ms' })
      await talk(1000)
      const before = metrics().rtt
      expect(before).to.be.within(199_000, 203_000)
      link.set({ delay: '20ms' })
      await talk(1000)
      expect(metrics().rtt).to.be.within(
        before - (before - 40_000) / 8 - 500,
        before - (before - 40_000) / 8 + 500,
      )
    })
  })

  it('the first timeout is of what was known, if that is longer than the handshake', async () => {
    await net.run(async () => {
      link.set({ delay: '300ms' })
      await talk(1000)
      const known = metrics().rtt
      link.set({ delay: '50ms' })
      let rto = 0
      await talk(1000, ({ info }) => {
        rto = info.rto
      })
      expect(rto).to.be.within(3 * known - 2000, 3 * known + 2000)
    })
  })

  it('nothing is left by a connection that is reset, nor with tcp_no_metrics_save', async () => {
    await net.run(async () => {
      const listener = b.tcp.listen({ port: 80 })
      const client = await a.tcp.connect({ address: '10.0.0.2', port: 80 })
      const server = await listener.accept()
      await client.write(content(1000))
      await net.sleep('1s')
      client.reset()
      server.reset()
      await listener.close()
      expect(a.tcp.metrics).to.deep.equal([])
      a.sysctlSet('net.ipv4.tcp_no_metrics_save', 1)
      await talk(1000)
      expect(a.tcp.metrics).to.deep.equal([])
    })
  })

  it('the threshold too, with tcp_no_ssthresh_metrics_save 0: the next leaves slow start there', async () => {
    a.sysctlSet('net.ipv4.tcp_no_ssthresh_metrics_save', 0)
    await net.run(async () => {
      link.set({ rate: '20mbit', queue: 20 })
      await talk(2_000_000)
      const { ssthresh } = metrics()
      expect(ssthresh).to.be.above(2)
      let begins = 0
      await talk(1000, ({ info }) => {
        begins = info.snd_ssthresh
      })
      expect(begins).to.equal(ssthresh)
    })
  })

  it('are forgotten when asked, and as many as 1024 kept', async () => {
    await net.run(async () => {
      await talk(1000)
      expect(a.tcp.flushMetrics('10.0.0.9')).to.equal(0)
      expect(a.tcp.flushMetrics('10.0.0.2')).to.equal(1)
      expect(a.tcp.metrics).to.deep.equal([])
      a.sysctlSet('net.ipv4.ip_local_port_range', '20000 60000')
      const listener = b.tcp.listen({ port: 80 })
      for (let i = 0; i < 1030; i++) {
        const own = `10.0.${1 + (i >> 7)}.${1 + (i & 127)}`
        if (!a.interface('lo').addresses.some((address) => String(address).includes(`${own}/`))) {
          a.interface('lo').addAddress(`${own}/32`)
        }
      }
      ip(b, 'route add 10.0.0.0/16 dev eth0')
      for (let i = 0; i < 1030; i++) {
        const localAddress = `10.0.${1 + (i >> 7)}.${1 + (i & 127)}`
        const client = await a.tcp.connect({ address: '10.0.0.2', port: 80, localAddress })
        const server = await listener.accept()
        await client.close()
        await server.close()
      }
      await net.sleep('1s')
      expect(a.tcp.metrics).to.have.length(1024)
      expect(a.tcp.metrics[0]!.source).to.equal('10.0.1.7')
      await listener.close()
    })
  }).timeout(20_000)

  describe('and a route', () => {
    it('initcwnd and initrwnd: segments to begin with', async () => {
      route('initcwnd 4 initrwnd 20')
      await net.run(() =>
        talk(1000, ({ info }) => {
          expect(info.snd_cwnd).to.equal(4)
          expect(info.rcv_wnd).to.be.within(20 * 1400, 20 * 1460 + 1023) // the scale rounds up
        }),
      )
    })

    it('congctl: the algorithm of its connections', async () => {
      route('congctl bbr')
      await net.run(() =>
        talk(1000, (socket) => {
          expect(socket.congestion).to.equal('bbr')
        }),
      )
    })

    it('rto_min: timeouts may be shorter', async () => {
      link.set({ delay: '1ms' })
      route('rto_min 20ms')
      await net.run(() =>
        talk(1000, ({ info }) => {
          expect(info.rto).to.be.below(50_000)
        }),
      )
    })

    it('rtt, if it is locked, stays', async () => {
      route('rtt lock 400ms')
      await net.run(() => talk(1000))
      expect(metrics().rtt).to.equal(400_000)
    })

    for (const [quickack, low, high] of [
      [1, 100, 103],
      [0, 138, 150],
    ] as const) {
      it(`quickack ${quickack}: acknowledgments ${quickack === 0 ? 'are delayed' : 'are not'}, once a connection is under way`, async () => {
        const { status, stderr } = ip(
          b,
          `route replace 10.0.0.0/24 dev eth0 src 10.0.0.2 quickack ${quickack}`,
        )
        expect([status, stderr]).to.deep.equal([0, ''])
        let most = 0
        await net.run(async () => {
          const listener = b.tcp.listen({ port: 80 })
          const client = await a.tcp.connect({ address: '10.0.0.2', port: 80, noDelay: true })
          const server = await listener.accept()
          const received = readAll(server)
          for (let i = 0; i < 40; i++) {
            const before = net.time
            await client.write(content(100))
            while (client.info.unacked > 0) await net.sleep('1ms')
            most = Math.max(most, net.time - before)
          }
          client.end()
          await received
          server.end()
          await listener.close()
        })
        expect(most).to.be.within(low, high)
      })
    }
  })
})
