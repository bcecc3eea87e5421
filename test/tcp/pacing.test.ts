import { expect } from 'chai'
import { type Simulation, simulate } from '../../lib/sim/index.ts'
import type { TcpSocket } from '../../lib/tcp/tcp-socket.ts'

describe('TCP pacing', () => {
  let net: Simulation
  afterEach(() => net.close())

  /** Times in ms at which data left, and how much, while `bytes` went over a path of 100 Mbit/s and 20 ms. */
  async function departures(
    options: { congestion?: 'bbr' | 'cubic'; maxPacingRate?: number },
    bytes: number,
  ): Promise<{ sent: { at: number; length: number }[]; socket: TcpSocket; seconds: number }> {
    net = simulate({ seed: 3 })
    const [a, b] = [net.host('10.0.0.1/24'), net.host('10.0.0.2/24')]
    net.link(a, b, { delay: '10ms', rate: '100mbit', queue: 1000 })
    const sent: { at: number; length: number }[] = []
    a.interface('eth0').device.taps.push((packet, _device, outgoing) => {
      if (outgoing && packet.length > 200) sent.push({ at: net.time, length: packet.length })
    })
    let socket!: TcpSocket
    let seconds = 0
    await net.run(async () => {
      const server = b.tcp.listen({ port: 9 })
      socket = await a.tcp.connect({ address: '10.0.0.2', port: 9, ...options })
      const receiver = await server.accept()
      const begun = net.time
      void (async () => {
        const chunk = new Uint8Array(65536)
        for (let left = bytes; left > 0; left -= chunk.length) await socket.write(chunk)
        socket.end()
      })()
      const buffer = new Uint8Array(65536)
      let n = 1
      while (n > 0) n = await receiver.readInto(buffer)
      seconds = (net.time - begun) / 1000
    })
    return { sent, socket, seconds }
  }

  /** Most bytes that left in any two ms. */
  const burst = (sent: readonly { at: number; length: number }[]): number =>
    sent.reduce((most, { at }, i) => {
      let sum = 0
      for (let j = i; j < sent.length && sent[j]!.at < at + 2; j++) sum += sent[j]!.length
      return Math.max(most, sum)
    }, 0)

  it('is off for CUBIC: the first window leaves at once', async () => {
    const { sent, socket } = await departures({}, 1 << 20)
    expect(sent[9]!.at).to.equal(sent[0]!.at)
    expect(socket.info.pacing_rate).to.equal(-1)
    expect(socket.info.max_pacing_rate).to.equal(-1)
  })

  it('keeps BBR’s packets apart', async () => {
    const { sent, socket } = await departures({ congestion: 'bbr' }, 16 << 20)
    expect(sent[9]!.at - sent[0]!.at).to.be.above(3)
    // Nearly three times the rate while it looks for it, for the two ms and the credit of two more.
    expect(burst(sent)).to.be.below(2.885 * 4 * 12_500 * 1.2)
    expect(burst(sent.slice((sent.length * 3) / 4))).to.be.below(1.25 * 4 * 12_500 * 1.2)
    expect(socket.info.delivery_rate / 12.5e6).to.be.within(0.85, 1.05)
  })

  it('keeps to the highest rate that a program allows, whatever the algorithm', async () => {
    for (const congestion of ['cubic', 'bbr'] as const) {
      const { sent, socket, seconds } = await departures({ congestion, maxPacingRate: 1_000_000 }, 1 << 20)
      expect(seconds, congestion).to.be.within(1, 1.2)
      expect(burst(sent), congestion).to.be.below(8_000)
      expect(socket.info.max_pacing_rate).to.equal(1_000_000)
      await net.close()
    }
  })

  it('refuses a rate that is none', async () => {
    net = simulate({ seed: 1 })
    const a = net.host('10.0.0.1/24')
    for (const maxPacingRate of [0, -1, Number.NaN, '5' as never]) {
      expect(() => a.tcp.listen({ port: 9, maxPacingRate }))
        .to.throw()
        .with.property('code', 'ERR_INVALID_ARG_VALUE')
    }
  })
})
