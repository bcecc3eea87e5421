/**
 * What is predicted must be what the ordinary way does. Two hosts of the same seed get the same packets and the same
 * changes; on one of them somebody listens to the device, so that nothing is predicted there.
 */
import { expect } from 'chai'
import fc from 'fast-check'
import { ip } from '../../lib/index.ts'
import { HOST, HostBench, INNER, PEER } from '../conformance/harness.ts'
import { type Bytes, echoRequest, icmp, pattern, udp } from '../conformance/packets.ts'

/** A host that predicts, and one that does not. */
function pair() {
  const predicting = new HostBench()
  const ordinary = new HostBench()
  const taps: number[] = []
  ordinary.stack.interface('tun0').device.taps.push((packet) => void taps.push(packet.length))
  return { predicting, ordinary, both: [predicting, ordinary] as const }
}

const byte = fc.integer({ min: 0, max: 255 })

/** Requests that are mostly alike: the same sender and target, everything else at random. */
const request = fc
  .record({
    src: fc.constantFrom(PEER, PEER, PEER, '10.9.0.7'),
    dst: fc.constantFrom(HOST, HOST, HOST, INNER, '10.9.0.255'),
    tos: fc.constantFrom(0, 0, 0, 1, 0x10),
    ttl: fc.integer({ min: 1, max: 255 }),
    id: fc.integer({ min: 0, max: 0xffff }),
    df: fc.boolean(),
    sequence: fc.integer({ min: 0, max: 0xffff }),
    length: fc.constantFrom(0, 1, 56, 56, 57, 512, 1472),
    seed: byte,
  })
  .map(({ src, dst, tos, ttl, id, df, sequence, length, seed }) =>
    echoRequest({ src, dst, tos, ttl, id, df }, { identifier: seed, sequence, data: pattern(length, seed) }),
  )

/** A request with one byte of it changed: bad checksums, other lengths, fragments, options, other types. */
const damaged = fc
  .tuple(request, fc.integer({ min: 0, max: 27 }), byte)
  .map(([bytes, at, value]) => bytes.map((old, i) => (i === at ? value : old)))

/** Padded, or cut short. */
const resized = fc.tuple(request, fc.integer({ min: -30, max: 30 })).map(([bytes, by]) => {
  const other = new Uint8Array(Math.max(1, bytes.length + by))
  other.set(bytes.subarray(0, other.length))
  return other
})

const other = fc.constantFrom(
  icmp({ src: PEER, dst: HOST }, { type: 8, code: 3, word: 1 }, pattern(8)),
  icmp({ src: PEER, dst: HOST }, { type: 13 }, pattern(12)),
  udp({ src: PEER, dst: HOST }, { sport: 7, dport: 9 }, pattern(4)),
)

const CHANGES = [
  'route add blackhole 10.9.0.7',
  'route del blackhole 10.9.0.7',
  'address add 10.9.0.3/24 dev tun0',
  'address del 10.9.0.3/24 dev tun0',
  'rule add from 10.9.0.2 table 7',
  'rule flush table 7',
  'link set tun0 mtu 1000',
  'link set tun0 mtu 1500',
  'link set tun0 down',
  'link set tun0 up',
  'route replace 10.9.0.1 dev tun0 hoplimit 9',
  'route del 10.9.0.1',
]

const SETTINGS: readonly (readonly [string, number])[] = [
  ['net.ipv4.icmp_echo_ignore_all', 1],
  ['net.ipv4.icmp_echo_ignore_all', 0],
  ['net.ipv4.icmp_ratemask', 1],
  ['net.ipv4.icmp_ratemask', 6168],
  ['net.ipv4.ip_default_ttl', 33],
  ['net.ipv4.ip_default_ttl', 64],
  ['net.ipv4.conf.all.rp_filter', 1],
  ['net.ipv4.conf.all.rp_filter', 0],
]

const step = fc.oneof(
  { weight: 8, arbitrary: fc.array(request, { minLength: 1, maxLength: 6 }).map((packets) => ({ packets })) },
  {
    weight: 3,
    arbitrary: fc
      .array(fc.oneof(request, damaged, resized, other), { minLength: 1, maxLength: 6 })
      .map((packets) => ({ packets })),
  },
  { weight: 1, arbitrary: fc.constantFrom(...CHANGES).map((command) => ({ command })) },
  { weight: 1, arbitrary: fc.constantFrom(...SETTINGS).map((setting) => ({ setting })) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 5000 }).map((milliseconds) => ({ milliseconds })) },
)

describe('EchoPrediction', () => {
  it('says and counts what the ordinary way does, whatever comes and changes', async () => {
    let answered = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
        const { predicting, ordinary, both } = pair()
        for (const each of steps) {
          const [own, theirs] = both.map((bench) => {
            const { stack, tun } = bench
            if ('packets' in each) return bench.exchange(tun, ...(each.packets as Bytes[]))
            if ('milliseconds' in each) bench.pass(each.milliseconds)
            else if ('command' in each) return ip(stack, each.command)
            else stack.sysctlSet(...each.setting)
            return []
          })
          expect(own).to.deep.equal(theirs)
          if (Array.isArray(own)) answered += own.length
        }
        expect(predicting.stack.mib.snapshot()).to.deep.equal(ordinary.stack.mib.snapshot())
        expect(predicting.tun.stats.snapshot()).to.deep.equal(ordinary.tun.stats.snapshot())
        await Promise.all(both.map((bench) => bench.end()))
      }),
      { numRuns: 400 },
    )
    expect(answered).to.be.greaterThan(1000)
  }).timeout(60_000)

  it('predicts: of many requests all but the first two are answered without a look at the tables', async () => {
    const { predicting } = pair()
    const { stack, tun } = predicting
    const ask = (): void =>
      expect(predicting.exchange(tun, echoRequest({ src: PEER, dst: HOST }))).to.have.length(1) as never
    ask()
    ask()
    const { input } = stack.ipv4
    const ordinary = input.receive
    let asked = 0
    input.receive = function (packet, device) {
      asked++
      ordinary.call(this, packet, device)
    }
    for (let i = 0; i < 10; i++) ask()
    expect(asked).to.equal(0)
    stack.routes.add('blackhole 10.77.0.0/16')
    ask()
    expect(asked).to.equal(1)
    expect(predicting.count('IcmpInEchos')).to.equal(13)
    await predicting.end()
  })

  it('counts a reply that finds no room', async () => {
    const { predicting, ordinary, both } = pair()
    for (const bench of both) {
      ip(bench.stack, 'link set tun0 txqueuelen 3')
      for (let i = 0; i < 3; i++) bench.exchange(bench.tun, echoRequest({ src: PEER, dst: HOST }))
      bench.tun.blocked = true
      for (let i = 0; i < 4; i++)
        bench.tun.push(echoRequest({ src: PEER, dst: HOST }), echoRequest({ src: PEER, dst: HOST }))
      expect(bench.tun.take()).to.deep.equal([])
      bench.tun.release()
      bench.settle()
      expect(bench.tun.take()).to.have.length(3)
    }
    expect(predicting.count('IpOutDiscards')).to.equal(5)
    expect(predicting.stack.mib.snapshot()).to.deep.equal(ordinary.stack.mib.snapshot())
    await Promise.all(both.map((bench) => bench.end()))
  })
})
