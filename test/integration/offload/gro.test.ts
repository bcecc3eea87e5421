import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import fc from 'fast-check'
import { BURST_SIZE } from '../../../lib/packet/burst.ts'
import { TcpFlag } from '../../../lib/wire/tcp.ts'
import { complete, tcpPacket, udpPacket } from '../../offload/segments.ts'
import { pattern } from '../oracle/build-packet.ts'
import { type Frame, type RouterSetup, TunOffload } from './router-protocol.ts'
import { KernelRouter, StackRouter } from './routers.ts'
import { comparable } from './super-segment.ts'

const SEED = Number(process.env['GRO_ORACLE_SEED'] ?? 20261127)
const RUNS = Number(process.env['GRO_ORACLE_RUNS'] ?? 80)
const SOURCE = fileURLToPath(new URL('./napi-tun.c', import.meta.url))
const { ACK, PSH, FIN, ECE, CWR, URG, SYN } = TcpFlag
const TIMESTAMPS = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]

const mostly = <T>(usual: T, ...others: T[]): fc.Arbitrary<T> =>
  fc.oneof(
    { weight: 25, arbitrary: fc.constant(usual) },
    { weight: 1, arbitrary: fc.constantFrom(...others) },
  )

/** What the next packet of a flow is; mostly one that can be merged. */
const packet = fc.record({
  flow: fc.constantFrom(0, 0, 0, 0, 1, 2),
  length: mostly(700, 1, 0, 699, 701, 1400),
  flags: mostly(ACK, ACK | PSH, ACK | FIN, ACK | ECE, ACK | URG, SYN),
  gap: mostly(0, 1, -700),
  idStep: mostly(1, 0, 2),
  damage: mostly('', 'tcp', 'ip', 'pad', 'fragment'),
  change: mostly('', 'window', 'ack', 'ttl', 'tos', 'df', 'options'),
  udp: mostly(false, true),
})

interface Flow {
  sequence: number
  id: number
  df: boolean
  fixedId: boolean
  options: readonly number[]
  window: number
  acknowledgment: number
  ttl: number
  tos: number
}

describe('GRO of the kernel and of the stack', function () {
  this.timeout(120_000)
  this.slow(20_000)

  const setup: RouterSetup = { mtu: 1500, offload: 0 }
  let folder: string
  let kernel: KernelRouter
  let stack: StackRouter

  before(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'tunstack-'))
    setup.napi = path.join(folder, 'napi-tun')
    execFileSync('cc', ['-O1', '-Wall', '-Werror', '-o', setup.napi, SOURCE])
    const { CSUM, TSO4, TSO6, TSO_ECN } = TunOffload
    setup.offload = CSUM | TSO4 | TSO6 | TSO_ECN
  })

  after(() => rmSync(folder, { recursive: true, force: true }))

  beforeEach(async () => {
    kernel = await KernelRouter.start(setup)
    stack = new StackRouter(setup)
  })

  afterEach(async () => {
    await kernel.stop()
    await stack.stop()
  })

  /** Sorted: the kernel hands on at once what it can't merge, ahead of what it holds, and lets go of flows in any order. */
  const sorted = (frames: Frame[]): string[] =>
    frames.map((frame) => JSON.stringify(comparable(frame))).sort()

  /** @returns how many packets less went out than came in */
  async function compare(packets: Uint8Array[]): Promise<number> {
    const frames = packets.map((bytes): Frame => ({ vnet: null, bytes: bytes.slice() }))
    const theirs = await kernel.send(frames)
    const ours = stack.sendBurst(frames)
    expect(sorted(ours.out)).to.deep.equal(sorted(theirs.out))
    expect(ours.counters).to.deep.equal(theirs.counters)
    return packets.length - ours.out.length
  }

  const run = (
    count: number,
    fields: { length?: number; flags?: number; id?: number; idStep?: number } = {},
  ) => {
    const { length = 1000, flags = ACK, id = 5, idStep = 1 } = fields
    return Array.from({ length: count }, (_, i) =>
      tcpPacket({ payload: pattern(length, i), sequence: 1 + i * length, id: id + i * idStep, flags }),
    )
  }

  it('in order', async () => {
    expect(await compare(run(40))).to.equal(39)
    expect(await compare(run(60, { length: 1460 }))).to.equal(58)
  })

  it('identifications that stay the same: merged, and cut again for a device that would count them up', async () => {
    expect(await compare(run(10, { idStep: 0 }))).to.equal(0)
  })

  it('CWR on all: nobody loses it', async () => {
    expect(await compare(run(10, { flags: ACK | CWR }))).to.equal(0)
  })

  it(`any burst, seed ${SEED}`, async () => {
    let merged = 0
    await fc.assert(
      fc.asyncProperty(fc.array(packet, { minLength: 20, maxLength: BURST_SIZE }), async (steps) => {
        const flows = [0, 1, 2].map(
          (i): Flow => ({
            sequence: 0xffff_f000 + i,
            id: 0xfff0 + i,
            df: i !== 1,
            fixedId: false,
            options: i === 2 ? TIMESTAMPS : [],
            window: 500,
            acknowledgment: 9,
            ttl: 64,
            tos: 0,
          }),
        )
        const packets = steps.map(({ flow, length, flags, gap, idStep, damage, change, udp }, i) => {
          const at = flows[flow]!
          if (udp) return udpPacket({ payload: pattern(length, i), id: i, sport: 1 + flow })
          if (change === 'window') at.window++
          if (change === 'ack') at.acknowledgment += 1000
          if (change === 'ttl') at.ttl--
          if (change === 'tos') at.tos ^= 4
          if (change === 'df') at.df = !at.df
          if (change === 'options') at.options = at.options.length === 0 ? TIMESTAMPS : []
          const bytes = tcpPacket({
            ...at,
            payload: pattern(length, i),
            sequence: at.sequence >>> 0,
            id: at.id & 0xffff,
            flags,
            sport: 1 + flow,
          })
          at.sequence += length + gap
          at.id += idStep === 0 && !at.df ? 1 : idStep // equal ones without DF: only since Linux 6.18
          if (damage === 'tcp') bytes[36]! ^= 1
          if (damage === 'ip') bytes[11]! ^= 1
          if (damage === 'pad') return Uint8Array.from([...bytes, 0, 0])
          if (damage === 'fragment') {
            bytes[6]! |= 0x20
            bytes[6]! &= ~0x40
            const tcpSum = bytes.slice(36, 38)
            complete(bytes)
            bytes.set(tcpSum, 36)
          }
          return bytes
        })
        merged += await compare(packets)
      }),
      { seed: SEED, numRuns: RUNS },
    )
    expect(merged, 'it is about merged packets').to.be.greaterThan(500)
  })
})
