/** The window that is offered while something is missing, and on a long path. */
import { expect } from 'chai'
import { simulate } from '../../lib/sim/index.ts'
import type { SynOptions } from '../../lib/wire/tcp-options.ts'
import { HostBench, useBench } from '../conformance/harness.ts'
import { accepted } from './raw-peer.ts'

const MSS = 1460

describe('the receive buffer', () => {
  const bench = useBench(() => new HostBench())

  /** Windows offered while `early` bytes come behind a hole, to the edge of the first. */
  async function behindHole(options: Partial<SynOptions>): Promise<{ windows: number[]; unit: number }> {
    const { peer, socket } = await accepted(bench(), options, {})
    const windows: number[] = []
    for (let at = MSS; at < 50_000; at += MSS) {
      for (const { window } of peer.send({ seq: 1 + at, ack: 1, data: new Uint8Array(MSS) }))
        windows.push(window)
    }
    return { windows, unit: 2 ** socket.info.rcv_wscale }
  }

  it('leaves room behind a hole for what the sender sends meanwhile, as Linux does since 6.16', async () => {
    const { windows, unit } = await behindHole({ mss: MSS, windowScale: 7, sackPermitted: true })
    expect(windows[0]! * unit).to.be.within(60_000, 70_000)
    expect(windows.at(-1)! * unit).to.be.above(75_000)
  })

  it('does not without SACK: acknowledgments with another window are no duplicates', async () => {
    const { windows } = await behindHole({ mss: MSS, windowScale: 7 })
    expect(new Set(windows).size).to.equal(1)
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
