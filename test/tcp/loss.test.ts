import { expect } from 'chai'
import { type Impairment, impaired } from './impaired.ts'
import { content, Pair, readAll, writeAll } from './pair.ts'

describe('TCP over a bad network', function () {
  this.timeout(60_000)
  let pair: Pair
  afterEach(() => pair.end())

  /** Both directions at once; gives seconds of virtual time. */
  async function transfer(
    impairment: Impairment,
    bytes: number,
    settings: Record<string, number> = {},
  ): Promise<number> {
    pair = new Pair({
      wrap: (device, side) => impaired(device, { ...impairment, seed: (impairment.seed ?? 1) * 2 + side }),
    })
    for (const [name, value] of Object.entries(settings)) {
      pair.left.sysctlSet(name, value)
      pair.right.sysctlSet(name, value)
    }
    const { client, server } = await pair.connect()
    const up = content(bytes, 1)
    const down = content(bytes >> 1, 2)
    const begun = pair.clock.now()
    const send = async (socket: typeof client, data: Uint8Array): Promise<void> => {
      await writeAll(socket, data)
      socket.end()
    }
    const all = Promise.all([send(client, up), send(server, down), readAll(server), readAll(client)])
    const [, , gotUp, gotDown] = await pair.until(all, 3600)
    expect(Buffer.compare(gotUp, up), 'what arrived is not what was sent').to.equal(0)
    expect(Buffer.compare(gotDown, down), 'what arrived is not what was sent').to.equal(0)
    return (pair.clock.now() - begun) / 1e9
  }

  const MILD = { delay: 10, loss: 0.01 }
  const variants: [string, Record<string, number>][] = [
    ['with SACK and timestamps', {}],
    ['without SACK', { 'net.ipv4.tcp_sack': 0 }],
    ['without timestamps', { 'net.ipv4.tcp_timestamps': 0 }],
    [
      'without any option',
      { 'net.ipv4.tcp_sack': 0, 'net.ipv4.tcp_timestamps': 0, 'net.ipv4.tcp_window_scaling': 0 },
    ],
  ]
  for (const [name, settings] of variants) {
    it(`moves a megabyte at 1 % loss ${name} (hardening-21)`, async () => {
      const seconds = await transfer(MILD, 1 << 20, settings)
      expect(seconds).to.be.below(60)
    })
    it(`moves 200 kB at 20 % loss, reordered and duplicated, ${name} (hardening-21)`, async () => {
      await transfer({ delay: 5, loss: 0.2, reorder: 0.2, duplicate: 0.1, extra: 30 }, 200_000, settings)
    })
  }

  it('reordering and duplication alone', async () => {
    await transfer({ delay: 10, reorder: 0.3, duplicate: 0.2, extra: 8 }, 2 << 20)
  })

  it('does not believe what was damaged on the way', async () => {
    await transfer({ delay: 2, corrupt: 0.05 }, 300_000)
    expect(pair.left.mib.get('TcpInCsumErrors') + pair.right.mib.get('TcpInCsumErrors')).to.be.above(0)
  })

  it('many seeds', async () => {
    for (let seed = 10; seed < 40; seed++) {
      await transfer({ delay: 3, loss: 0.08, reorder: 0.1, duplicate: 0.05, extra: 12, seed }, 60_000)
      if (seed < 39) await pair.end()
    }
  })
})
