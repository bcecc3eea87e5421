/** `tcp_mem` and `tcp_max_orphans`: what all connections of a stack hold together, and what follows when it is much. */
import { expect } from 'chai'
import fc from 'fast-check'
import { Stack, type TcpSocket } from '../../lib/index.ts'
import { type Host, type Simulation, simulate } from '../../lib/sim/index.ts'
import { content, readAll, writeAll } from './pair.ts'

describe('TCP memory', () => {
  let net: Simulation
  let a: Host
  let b: Host

  beforeEach(() => {
    net = simulate({ seed: 1, record: 0 })
    a = net.host('10.0.0.1/24')
    b = net.host('10.0.0.2/24')
  })
  afterEach(() => net.close())

  async function connect(port: number, options = {}): Promise<{ client: TcpSocket; server: TcpSocket }> {
    const accepted = b.tcp.listen({ port }).accept()
    const client = await a.tcp.connect({ address: '10.0.0.2', port, ...options })
    return { client, server: await accepted }
  }

  const count = (host: Host, name: string): number => host.mib.get(`TcpExt${name}`)!

  it('tcp_mem is three numbers of pages, as of 16 GiB', async () => {
    await using stack = new Stack()
    expect(stack.sysctlGet('net.ipv4.tcp_mem')).to.equal('196608\t262144\t393216')
    expect(stack.sysctlGet('net.ipv4.tcp_max_orphans')).to.equal('131072')
    stack.sysctlSet('net.ipv4.tcp_mem', '1 2')
    expect(stack.sysctlGet('net.ipv4.tcp_mem')).to.equal('1\t2\t393216')
  })

  it('counts what is written, what waits, and gives it all back', async () => {
    net.link(a, b, { delay: '5ms' })
    await net.run(async () => {
      const { client, server } = await connect(80)
      expect(a.tcp.usage).to.deep.equal({ inuse: 1, orphan: 0, tw: 0, mem: 0 })
      expect(b.tcp.usage).to.deep.equal({ inuse: 2, orphan: 0, tw: 0, mem: 0 })
      await client.write(content(10_000))
      expect(a.tcp.usage.mem).to.equal(3)
      await net.sleep('50ms')
      expect(a.tcp.usage.mem).to.equal(0)
      expect(b.tcp.usage.mem).to.equal(4) // a ring of 16 KiB
      await server.readInto(new Uint8Array(10_000))
      expect(b.tcp.usage.mem).to.equal(0)
      await client.close()
      await server.close()
      expect([a.tcp.usage.tw, b.tcp.usage.inuse]).to.deep.equal([1, 1])
    })
  })

  it('under pressure a window is four segments, send buffers stay, and it is counted once, and for how long', async () => {
    net.link(a, b, { delay: '5ms' })
    b.sysctlSet('net.ipv4.tcp_mem', '8 12 100000')
    a.sysctlSet('net.ipv4.tcp_mem', '2 1000 100000')
    await net.run(async () => {
      const { client, server } = await connect(80)
      expect(client.info.snd_wnd).to.equal(65160)
      let written = 0
      void (async () => {
        for (; written < 1_000_000; written += 1000) await client.write(new Uint8Array(1000))
      })()
      await net.sleep('5s')
      expect(count(b, 'TCPMemoryPressures')).to.equal(1)
      expect(server.info.rcv_ssthresh).to.equal(4 * 1460)
      expect(server.readableLength).to.be.within(40_000, 66_560)
      expect(written - server.readableLength, 'what waits to be sent').to.be.at.most(16384)
      while (server.readableLength > 30_000) await server.readInto(new Uint8Array(5000))
      await server.readInto(new Uint8Array(30_000))
      expect(count(b, 'TCPMemoryPressuresChrono')).to.be.within(4900, 5000)
      client.reset()
    })
  })

  it('when there is no more, what came early is thrown away, and a reader who is behind gets nothing', async () => {
    const link = net.link(a, b, { delay: '5ms' })
    await net.run(async () => {
      const idle = await connect(80)
      await idle.client.write(content(20_000))
      await net.sleep('100ms')
      const { client, server } = await connect(81)
      const data = content(200_000, 7)
      const received = readAll(server)
      link.set({ loss: 0.2 }, a)
      const sent = writeAll(client, data).then(() => client.end())
      while (client.info.sacked === 0) await net.sleep('1ms')
      b.sysctlSet('net.ipv4.tcp_mem', '1 2 3')
      await net.sleep('20s')
      link.set({ loss: 0 }, a)
      for (const name of ['PruneCalled', 'OfoPruned', 'TCPOFODrop'])
        expect(count(b, name), name).to.be.above(0)
      await idle.client.write(content(5000))
      await net.sleep('1s')
      expect(count(b, 'TCPRcvQDrop')).to.be.above(0)
      expect(idle.server.readableLength).to.equal(20_000)
      // Who reads gets on: slowly, in order.
      await sent
      expect(Buffer.compare(await received, data)).to.equal(0)
      await idle.server.readInto(new Uint8Array(20_000))
      let rest = 0
      while (rest < 5000) rest += await idle.server.readInto(new Uint8Array(5000))
    })
  })

  it('a writer gets 4096 bytes of room while memory is exhausted', async () => {
    net.link(a, b, { delay: '5ms' })
    a.sysctlSet('net.ipv4.tcp_mem', '1 2 3')
    await net.run(async () => {
      const { client, server } = await connect(80)
      let most = 0
      const sent = (async () => {
        for (let i = 0; i < 100; i++) {
          await client.write(new Uint8Array(2000))
          most = Math.max(most, client.writableLength)
        }
        client.end()
      })()
      expect((await readAll(server)).length).to.equal(200_000)
      await sent
      await net.sleep('50ms')
      expect(most).to.be.at.most(16_384)
      expect(a.tcp.usage.mem).to.equal(0)
    })
  })

  it('more orphans than tcp_max_orphans are reset, and counted', async () => {
    const link = net.link(a, b, { delay: '5ms' })
    a.sysctlSet('net.ipv4.tcp_max_orphans', 2)
    await net.run(async () => {
      const ends = []
      for (let i = 0; i < 4; i++) ends.push(await connect(80 + i))
      link.cut(b) // nothing is acknowledged any more
      for (const { client } of ends) {
        await client.write(new Uint8Array(100))
        void client.close()
      }
      expect(a.tcp.usage.orphan).to.equal(2)
      expect(count(a, 'TCPAbortOnMemory')).to.equal(2)
      await net.sleep('1s')
      const states = ends.map(({ server }) => server.state)
      expect(states).to.deep.equal(['CLOSE_WAIT', 'CLOSE_WAIT', 'CLOSED', 'CLOSED'])
      link.heal()
      await net.sleep('5s')
      expect(a.tcp.usage.orphan).to.equal(2) // FIN-WAIT-2
      for (const { server } of ends.slice(0, 2)) {
        await server.readInto(new Uint8Array(100))
        void server.close()
      }
      await net.sleep('5s')
      expect(a.tcp.usage).to.include({ orphan: 0, tw: 2 })
    })
  })

  it('an orphan whose data is not taken goes when it is its turn to be sent again', async () => {
    const link = net.link(a, b, { delay: '5ms' })
    await net.run(async () => {
      const { client } = await connect(80)
      link.cut()
      await client.write(new Uint8Array(9000))
      void client.close()
      await net.sleep('1s')
      expect(a.tcp.usage.orphan).to.equal(1)
      a.sysctlSet('net.ipv4.tcp_mem', '1 1 1')
      await net.sleep('3s')
      expect(a.tcp.usage).to.include({ orphan: 0, mem: 0 })
      expect(count(a, 'TCPAbortOnMemory')).to.equal(1)
    })
  })

  it('whatever little there is, transfers come to an end, and nothing stays charged (property)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 1000 }),
        fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 3, maxLength: 3 }),
        fc.constantFrom(0, 0.05),
        fc.integer({ min: 1, max: 4 }),
        async (seed, mem, loss, connections) => {
          const network = simulate({ seed, record: 0 })
          const left = network.host('10.0.0.1/24')
          const right = network.host('10.0.0.2/24')
          network.link(left, right, { delay: '2ms', loss })
          mem.sort((x, y) => x - y)
          for (const host of [left, right]) host.sysctlSet('net.ipv4.tcp_mem', mem.join(' '))
          await network.run(async () => {
            const listener = right.tcp.listen({ port: 80 })
            await Promise.all(
              Array.from({ length: connections }, async (_, i) => {
                const client = await left.tcp.connect({ address: '10.0.0.2', port: 80 })
                const server = await listener.accept()
                const bytes = content(20_000 + i)
                const [got] = await Promise.all([
                  readAll(server),
                  writeAll(client, bytes, 5000).then(() => client.end()),
                ])
                expect(got.length).to.be.within(20_000, 20_003)
                await Promise.all([client.close(), server.close()])
              }),
            )
          })
          expect([left.tcp.usage.mem, right.tcp.usage.mem]).to.deep.equal([0, 0])
          expect([left.tcp.usage.orphan, right.tcp.usage.orphan]).to.deep.equal([0, 0])
          await network.close()
        },
      ),
      { numRuns: 20 },
    )
  })
})
