import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect } from 'chai'
import { useBench } from './harness.ts'
import { pattern } from './packets.ts'
import { DISCARD, ECHO, HOLD, open, type Peer, type Segment, TcpBench } from './tcp-peer.ts'

const bench = useBench(() => new TcpBench())

/** Milliseconds of processor time. */
async function cost(work: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

/** Bytes of buffers outside the heap, and of the heap, once garbage is collected. */
function memory(): { buffers: number; heap: number } {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  gc()
  gc()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return { buffers: arrayBuffers, heap: heapUsed }
}

describe('TCP: attacks', () => {
  it('early segments cost memory by the window, not by their number (hardening-10)', async () => {
    const peer = await open(bench(), DISCARD, { mss: 1460, sackOk: true })
    const flood = async (from: number): Promise<void> => {
      for (let i = 0; i < 10_000; i += 50) {
        const list = Array.from({ length: 50 }, (_, k) => ({ seq: from - 2 * (i + k), data: [1] }))
        bench().tun.push(...list.map((fields) => peer.build(fields)))
        bench().settle()
        bench().tun.take()
      }
    }
    const before = memory()
    await flood(60_000)
    const after = memory()
    // Four blocks of 16 KiB are what the window of 64 KiB can hold; packets, and what the test makes, are extra.
    expect(after.buffers - before.buffers).to.be.below(1 << 20)
    // The second half of an attack costs what the first did, and none of it is quadratic.
    const first = await cost(() => flood(59_999))
    const second = await cost(() => flood(60_001))
    expect(second).to.be.below(5 * first + 200)
    expect(bench().count('TcpExtTCPOFODrop')).to.be.greaterThan(1000)
    expect(await peer.isAlive()).to.equal(true)
    bench().expectAlive()
  }).timeout(60_000)

  it('a thousand SACK blocks that alternate cost bounded time (hardening-11)', async () => {
    // No probes of the tail, which a peer that waits so long would get.
    bench().stack.sysctlSet('net.ipv4.tcp_early_retrans', 0)
    const peer = await open(bench(), HOLD, { mss: 536, sackOk: true, scale: 7 })
    peer.window = 8000
    await peer.send()
    const [socket] = bench().held
    void socket!.write(pattern(900_000)).catch(() => {})
    let sent = await peer.elapse()
    for (let i = 0; i < 5; i++) {
      peer.take(sent)
      await peer.elapse(10)
      sent = await peer.send()
    }
    const flight = sent.reduce((sum, { data }) => sum + data.length, 0)
    expect(flight).to.be.greaterThan(20_000)
    const una = peer.received
    const attack = async (): Promise<void> => {
      for (let i = 0; i < 1000; i++) {
        const at = una + 1 + ((i * 8) % (flight - 100))
        const sack = [0, 2, 4].map((n): [number, number] => [at + n, at + n + 1])
        bench().tun.push(peer.build({ ack: una, options: { sack } }))
        bench().settle()
        bench().tun.take()
      }
    }
    const first = await cost(attack)
    const second = await cost(attack)
    expect(first).to.be.below(3000)
    expect(second).to.be.below(5 * first + 200)
    await peer.elapse(10)
    bench().expectAlive()
  }).timeout(60_000)

  it('an MSS of nothing does not make segments of nothing (hardening-11)', async () => {
    for (const [i, mss] of [0, 1, 8, 20, 47].entries()) {
      const peer = await open(bench(), ECHO, { mss }, { ownPort: 42_000 + i })
      const sent = await peer.write(pattern(500), {}, 50)
      const full = sent.filter(({ data }) => data.length > 0)
      expect(full.length).to.be.below(20)
      expect(full[0]!.data.length).to.be.at.least(28)
    }
  })

  it('an idle connection keeps no buffers, whatever it has moved (hardening-23)', async () => {
    const peers: Peer[] = []
    // What is made once, and what the services of the test keep, is there before it is measured.
    for (let i = 0; i < 50; i++) peers.push(await open(bench(), ECHO, { mss: 1460 }, { ownPort: 10_000 + i }))
    const use = async (from: number, to: number): Promise<void> => {
      for (const peer of peers.slice(from, to)) {
        const segments: Segment[] = await peer.write(pattern(1400), {}, 0)
        peer.take(segments)
        await peer.send()
      }
      await bench().elapse(1000)
      bench().discarded = []
    }
    await use(0, 50)
    const before = memory()
    for (let i = 50; i < 1050; i++) {
      peers.push(await open(bench(), ECHO, { mss: 1460 }, { ownPort: 10_000 + i }))
    }
    await use(50, 1050)
    const after = memory()
    // The smallest ring has 4096 bytes.
    expect((after.buffers - before.buffers) / 1000, 'bytes of buffers each').to.be.below(3000)
    expect(
      (after.heap - before.heap) / 1000,
      'bytes of heap each, the peer and its service included',
    ).to.be.below(20_000)
  }).timeout(60_000)
})

describe('TCP: SACK as Linux 6.18 tells it', () => {
  it('tcp-sack-block, tcp-dsack: over a script of early, partial and duplicate segments', async () => {
    const peer = await open(bench(), DISCARD, { mss: 1460, sackOk: true })
    const script: [at: number, n: number, ack: number, sack: [number, number][]][] = [
      [11, 10, 1, [[11, 21]]],
      [
        31,
        10,
        1,
        [
          [31, 41],
          [11, 21],
        ],
      ],
      [
        51,
        10,
        1,
        [
          [51, 61],
          [31, 41],
          [11, 21],
        ],
      ],
      [
        71,
        10,
        1,
        [
          [71, 81],
          [51, 61],
          [31, 41],
          [11, 21],
        ],
      ],
      [
        91,
        10,
        1,
        [
          [91, 101],
          [71, 81],
          [51, 61],
          [31, 41],
        ],
      ],
      [
        41,
        5,
        1,
        [
          [31, 46],
          [91, 101],
          [71, 81],
          [51, 61],
        ],
      ],
      [
        33,
        4,
        1,
        [
          [33, 37],
          [31, 46],
          [91, 101],
          [71, 81],
        ],
      ],
      // Linux has forgotten where the first range begins and says 18…46; it is one range from 11 on.
      [
        18,
        20,
        1,
        [
          [18, 21],
          [11, 46],
          [91, 101],
          [71, 81],
        ],
      ],
      [
        61,
        10,
        1,
        [
          [51, 81],
          [11, 46],
          [91, 101],
        ],
      ],
      [
        55,
        30,
        1,
        [
          [55, 81],
          [51, 85],
          [11, 46],
          [91, 101],
        ],
      ],
      // The first bytes reach up to the range from 11 on, but for a hole of five.
      [
        1,
        5,
        6,
        [
          [51, 85],
          [11, 46],
          [91, 101],
        ],
      ],
      [
        3,
        5,
        8,
        [
          [3, 6],
          [51, 85],
          [11, 46],
          [91, 101],
        ],
      ],
      [
        8,
        3,
        46,
        [
          [51, 85],
          [91, 101],
        ],
      ],
      [
        120,
        10,
        46,
        [
          [120, 130],
          [51, 85],
          [91, 101],
        ],
      ],
      [
        2,
        3,
        46,
        [
          [2, 5],
          [120, 130],
          [51, 85],
          [91, 101],
        ],
      ],
    ]
    for (const [seq, n, ack, sack] of script) {
      const answers = await peer.send({ seq, data: pattern(n) })
      expect(
        answers.map((answer) => [answer.ack, answer.options.sack]),
        `${seq}…${seq + n}`,
      ).to.deep.equal([[ack, sack]])
    }
  })
})
