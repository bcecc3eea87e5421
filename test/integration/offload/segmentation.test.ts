import { expect } from 'chai'
import fc from 'fast-check'
import { TcpFlag } from '../../../lib/wire/tcp.ts'
import { type RouterSetup, TunOffload } from './router-protocol.ts'
import { KernelRouter, StackRouter } from './routers.ts'
import { comparable, frameOf, type SuperSegment } from './super-segment.ts'

const { ACK, PSH, FIN, CWR, ECE, URG } = TcpFlag
const SEED = Number(process.env['SEGMENTATION_ORACLE_SEED'] ?? 20261127)
const RUNS = Number(process.env['SEGMENTATION_ORACLE_RUNS'] ?? 60)
const TIMESTAMPS = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]
const ROUTER_ALERT = [148, 4, 0, 0]
const RECORD_ROUTE = [7, 7, 4, 0, 0, 0, 0, 0]

/** Anything that a sender may hand over. */
const anySegment: fc.Arbitrary<SuperSegment> = fc
  .record({
    protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    gsoSize: fc.oneof(fc.integer({ min: 1, max: 1460 }), fc.integer({ min: 500, max: 1480 })),
    segments: fc.integer({ min: 1, max: 45 }),
    last: fc.integer({ min: 1, max: 1460 }),
    seed: fc.nat(255),
    id: fc.oneof(fc.constantFrom(0, 0xffff, 0xfff0), fc.nat(0xffff)),
    df: fc.boolean(),
    tos: fc.nat(255),
    ttl: fc.integer({ min: 1, max: 255 }),
    ipOptions: fc.constantFrom([], [], ROUTER_ALERT, RECORD_ROUTE),
    flags: fc.nat(255).map((bits) => (bits & (PSH | FIN | CWR | ECE | URG)) | ACK),
    sequence: fc.oneof(fc.constantFrom(0, 0xffff_ff00, 0x7fff_ff00), fc.nat(0xffff_ffff)),
    window: fc.nat(0xffff),
    urgent: fc.nat(0xffff),
    tcpOptions: fc.constantFrom([], TIMESTAMPS),
    ecn: fc.boolean(),
  })
  .map(({ segments, last, ...rest }) => {
    const payload = Math.min((segments - 1) * rest.gsoSize + Math.min(last, rest.gsoSize), 65_000)
    const { protocol } = rest
    // A super-segment with CWR says so (ECN), and UDP has no CWR.
    const ecn = protocol === 'tcp' && rest.ecn && (rest.flags & CWR) !== 0
    // The stack quotes options as they came, Linux as it has changed them (docs/differences.md): no errors, then.
    const quiet = rest.ipOptions === RECORD_ROUTE
    return { ...rest, payload, ecn, ...(quiet ? { df: false, ttl: Math.max(2, rest.ttl) } : {}) }
  })

describe('Super-segments through the kernel and through the stack', function () {
  this.timeout(120_000)
  this.slow(20_000)

  let kernel: KernelRouter
  let stack: StackRouter

  async function start(setup: RouterSetup): Promise<void> {
    kernel = await KernelRouter.start(setup)
    stack = new StackRouter(setup)
  }

  afterEach(async () => {
    await kernel.stop()
    await stack.stop()
  })

  /** Gives both the same; what comes out must be the same. @returns how many packets left */
  async function compare(segments: SuperSegment[], split = 0): Promise<number> {
    const frames = segments.map(frameOf)
    const { refused, ...theirs } = await kernel.send(frames)
    expect(refused, 'errno of write').to.deep.equal(frames.map(() => 0))
    const ours = stack.send(frames, split)
    expect(ours.out.map(comparable), 'what left').to.deep.equal(theirs.out.map(comparable))
    expect(ours.back.map(comparable), 'what came back').to.deep.equal(theirs.back.map(comparable))
    expect(ours.counters).to.deep.equal(theirs.counters)
    expect(ours.dropped).to.equal(theirs.dropped)
    return ours.out.length
  }

  const tcp = (fields: Partial<SuperSegment>): SuperSegment => ({
    protocol: 'tcp',
    payload: 10_000,
    gsoSize: 1460,
    ...fields,
  })
  const udp = (fields: Partial<SuperSegment>): SuperSegment => ({
    protocol: 'udp',
    payload: 10_000,
    gsoSize: 1472,
    ...fields,
  })

  describe('to a device without offloads', () => {
    beforeEach(() => start({ mtu: 1500, offload: -1 }))

    it('TCP: identifications, sequence numbers, FIN and PSH last, CWR first, options on all', async () => {
      expect(await compare([tcp({ payload: 64_000, id: 0xfff0, df: true })])).to.equal(44)
      await compare([tcp({ flags: ACK | PSH | FIN, sequence: 0xffff_f000 })])
      for (const ecn of [false, true]) await compare([tcp({ flags: ACK | CWR | ECE, ecn })])
      await compare([tcp({ tcpOptions: TIMESTAMPS, gsoSize: 1448 }), tcp({ ipOptions: RECORD_ROUTE })])
      await compare([tcp({ flags: ACK | URG, urgent: 4000 }), tcp({ payload: 1461 }), tcp({ payload: 2920 })])
    })

    it('UDP: lengths and identifications', async () => {
      expect(await compare([udp({ payload: 64_000, df: true })])).to.equal(44)
      await compare([udp({ payload: 1473 }), udp({ payload: 2944, id: 0xffff }), udp({ gsoSize: 100 })])
    })

    it('a checksum that comes out as 0 stays 0 in TCP and is 0xffff in UDP', async () => {
      await compare([tcp({ zeroChecksum: true }), udp({ zeroChecksum: true })])
    })

    it('a single packet with a partial checksum is completed', async () => {
      await compare([tcp({ payload: 1000 }), udp({ payload: 1000 }), udp({ payload: 0, gsoSize: 1 })])
    })

    it('a TTL that runs out and one that does not', async () => {
      await compare([tcp({ ttl: 1 }), tcp({ ttl: 2 })])
    })

    it('any super-segment, its end in a body or not', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(anySegment, { minLength: 1, maxLength: 6 }),
          fc.constantFrom(0, 0, 1, 777, 9000),
          async (segments, split) => void (await compare(segments, split)),
        ),
        { seed: SEED, numRuns: RUNS },
      )
    })
  })

  describe('to a path that is narrower than a segment', () => {
    beforeEach(() => start({ mtu: 600, offload: -1 }))

    it('without DF it is cut, then fragmented', async () => {
      await compare([tcp({ payload: 4000 }), udp({ payload: 4000 })])
      await compare([tcp({ payload: 4000, ipOptions: RECORD_ROUTE, flags: ACK | CWR | FIN })])
    })

    it('with DF its sender is told, once', async () => {
      await compare([tcp({ df: true }), udp({ df: true, payload: 3000 })])
    })

    it('a segment that fits exactly goes whole, one byte more does not', async () => {
      await compare([tcp({ gsoSize: 560, df: true }), tcp({ gsoSize: 561, df: true })])
      await compare([udp({ gsoSize: 572, df: true }), udp({ gsoSize: 573, df: true })])
    })

    it('any super-segment', async () => {
      await fc.assert(
        fc.asyncProperty(anySegment, async (segment) => void (await compare([segment]))),
        { seed: SEED, numRuns: RUNS },
      )
    })
  })

  describe('to a device with offloads', () => {
    const { CSUM, TSO4, TSO6, TSO_ECN, USO4, USO6 } = TunOffload

    it('it goes through whole, TTL and counters once', async () => {
      await start({ mtu: 1500, offload: CSUM | TSO4 | TSO6 | TSO_ECN | USO4 | USO6 })
      expect(await compare([tcp({ payload: 64_000 }), udp({ payload: 64_000 })])).to.equal(2)
      expect(await compare([tcp({ flags: ACK | CWR, ecn: true })])).to.equal(1)
    })

    it('it is cut where the kind of offload is missing', async () => {
      await start({ mtu: 1500, offload: CSUM | TSO4 })
      expect(await compare([tcp({ payload: 64_000 })])).to.equal(1)
      expect(await compare([tcp({ flags: ACK | CWR, ecn: true })])).to.equal(7)
      expect(await compare([udp({})])).to.equal(7)
    })

    it('checksums stay open where only they are offloaded', async () => {
      await start({ mtu: 1500, offload: CSUM })
      expect(await compare([tcp({}), udp({})])).to.equal(14)
    })

    it('the MTU counts per segment, and binds', async () => {
      await start({ mtu: 600, offload: CSUM | TSO4 | TSO6 | TSO_ECN | USO4 | USO6 })
      expect(await compare([tcp({ gsoSize: 560, df: true }), udp({ gsoSize: 572 })])).to.equal(2)
      expect(await compare([tcp({ df: true })])).to.equal(0)
      await compare([tcp({ payload: 4000 }), udp({ payload: 4000 })])
    })
  })
})
