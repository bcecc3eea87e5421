import { expect } from 'chai'
import { simulate } from '../../lib/sim/index.ts'

/** Goodput in Mbit/s of a bulk sender over 100 Mbit/s with an RTT of 100 ms, and the most that it had waiting. */
async function bulk(sendBuffer?: number): Promise<{ rate: number; waiting: number }> {
  const net = simulate({ seed: 1 })
  const [a, b] = [net.host('10.0.0.1/24'), net.host('10.0.0.2/24')]
  net.link(a, b, { delay: '50ms', rate: '100mbit' })
  const chunk = new Uint8Array(65536)
  let waiting = 0
  let received = 0
  await net.run(async () => {
    const server = b.tcp.listen({ port: 9 })
    const reading = (async () => {
      for await (const data of await server.accept()) received += data.length
    })()
    const socket = await a.tcp.connect({
      address: '10.0.0.2',
      port: 9,
      ...(sendBuffer === undefined ? {} : { sendBuffer }),
    })
    while (net.time < 10_000) {
      await socket.write(chunk)
      waiting = Math.max(waiting, socket.writableLength)
    }
    await socket.close()
    await reading
  })
  const rate = (received * 8) / net.time / 1000
  await net.close()
  return { rate, waiting }
}

describe('the send buffer', () => {
  it('grows with the congestion window, so that a long path is filled', async () => {
    const { rate, waiting } = await bulk()
    expect(rate).to.be.above(80)
    expect(waiting).to.be.within(1_250_000, 4_194_304 + 65536)
  })

  it('stays what the program has asked for', async () => {
    const { rate, waiting } = await bulk(100_000)
    // Two thirds of it are filled by the next write, and that is what a round trip of 100 ms carries.
    expect(waiting).to.be.below(100_000 + 65536)
    expect(rate).to.be.within(4, 14)
  })
})
