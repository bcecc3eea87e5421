/** The receive buffer, which grows by itself: what an application takes, and what waits behind a hole. */
import { expect } from 'chai'
import type { TcpListenOptions } from '../../lib/index.ts'
import { simulate } from '../../lib/sim/index.ts'
import type { SynOptions } from '../../lib/wire/tcp-options.ts'
import { HostBench, useBench } from '../conformance/harness.ts'
import { accepted } from './raw-peer.ts'

const INITIAL = 65_536
const MSS = 1460
const WITH_SACK: Partial<SynOptions> = { mss: MSS, windowScale: 7, sackPermitted: true }

describe('the receive buffer', () => {
  const bench = useBench(() => new HostBench())

  /** What the buffer is once a hole has opened with `early` bytes behind it, to the edge of the window. */
  async function behindHole(
    early: number,
    options = WITH_SACK,
    listen: Partial<TcpListenOptions> = {},
  ): Promise<{ buffer: number; windows: number[]; unit: number }> {
    const { peer, socket } = await accepted(bench(), options, listen)
    const windows: number[] = []
    for (let at = MSS; at < early; at += MSS) {
      for (const { window } of peer.send({ seq: 1 + at, ack: 1, data: new Uint8Array(MSS) }))
        windows.push(window)
    }
    const { rcv_space: buffer, rcv_wscale } = socket.info
    return { buffer, windows, unit: 2 ** rcv_wscale }
  }

  it('leaves room behind a hole for what the sender sends meanwhile, as Linux does since 6.16', async () => {
    const { buffer, windows, unit } = await behindHole(50_000)
    expect(buffer).to.equal(2 * 10 * MSS + 35 * MSS + 16 * MSS)
    expect(windows.at(-1)! * unit).to.be.within(buffer - unit, buffer)
  })

  it('does not grow for little that waits', async () => {
    expect((await behindHole(10_000)).buffer).to.equal(INITIAL)
  })

  it('does not grow without SACK: acknowledgments with another window are no duplicates', async () => {
    const { buffer, windows } = await behindHole(50_000, { mss: MSS, windowScale: 7 })
    expect(buffer).to.equal(INITIAL)
    expect(new Set(windows).size).to.equal(1)
  })

  it('stays what it was asked to be, and at tcp_rmem, and if tcp_moderate_rcvbuf says no', async () => {
    expect((await behindHole(50_000, WITH_SACK, { receiveBuffer: 60_000 })).buffer).to.equal(60_000)
    bench().stack.sysctlSet('net.ipv4.tcp_rmem', '4096 131072 150000')
    expect((await behindHole(50_000, WITH_SACK, { port: 81 })).buffer).to.equal(75_000)
    bench().stack.sysctlSet('net.ipv4.tcp_rmem', '4096 131072 6291456')
    bench().stack.sysctlSet('net.ipv4.tcp_moderate_rcvbuf', 0)
    expect((await behindHole(50_000, WITH_SACK, { port: 82 })).buffer).to.equal(INITIAL)
  })

  it('never holds up a sender on a long path, in slow start nor in recovery', async () => {
    const bytes = await Promise.all([0, 1 << 22].map(brought))
    expect(bytes[0]).to.be.above(3e6)
    expect(bytes[0]).to.be.within(bytes[1]! * 0.999, bytes[1]! * 1.001)
  })
})

/** Bytes of three seconds over 200 ms, with a packet lost in slow start. @param receiveBuffer 0: it grows */
async function brought(receiveBuffer: number): Promise<number> {
  const net = simulate({ seed: 1, record: 0 })
  const [a, b] = [net.host('10.0.0.1/24'), net.host('10.0.0.2/24')]
  const link = net.link(a, b, { delay: '100ms', forward: { delay: '100ms', rate: '20mbit', queue: 400 } })
  let bytes = 0
  await net.run(async () => {
    const server = b.tcp.listen({ port: 9, ...(receiveBuffer === 0 ? {} : { receiveBuffer }) })
    const socket = await a.tcp.connect({ address: '10.0.0.2', port: 9 })
    const receiver = await server.accept()
    const ended = (): void => undefined
    void (async () => {
      for (;;) await socket.write(new Uint8Array(65_536))
    })().catch(ended)
    void (async () => {
      const buffer = new Uint8Array(65_536)
      for (;;) bytes += await receiver.readInto(buffer)
    })().catch(ended)
    await net.sleep(900)
    link.set({ loss: 0.01 }, a)
    await net.sleep(100)
    link.set({ loss: 0 }, a)
    await net.sleep(2200)
    socket.reset()
    receiver.reset()
  })
  await net.close()
  return bytes
}
