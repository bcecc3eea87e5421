/**
 * Bursts of mutated packets through a host and a router. Nothing may throw, what is sent must be correct, memory
 * must come back, and an echo request must still be answered. The seeds of `npm test` are always the same ones;
 *
 *     TUNSTACK_FUZZ_SECONDS=600 npx mocha test/conformance/fuzz.test.ts     goes on with new ones
 *     TUNSTACK_FUZZ_SEED=17 npx mocha test/conformance/fuzz.test.ts         replays one
 */
import { expect } from 'chai'
import { parseIpv4 } from '../../lib/index.ts'
import { samples } from '../wire/samples.ts'
import { type Bench, HOST, HostBench, INNER, LEFT, PEER, RIGHT, ROUTER_LEFT, RouterBench } from './harness.ts'
import { Dice, mutate, mutateTrain } from './mutate.ts'
import {
  address,
  type Bytes,
  decode,
  echoRequest,
  fragments,
  hex,
  icmp,
  internetChecksum,
  pattern,
  tcp,
  udp,
} from './packets.ts'
import type { Wire } from './wire.ts'

const SEEDS = 60
const BURSTS = 25

const unhex = (text: string): Bytes =>
  Uint8Array.from({ length: text.length / 2 }, (_, i) => Number.parseInt(text.slice(2 * i, 2 * i + 2), 16))

function corpusOf(from: string, to: string): Bytes[] {
  const there = { src: from, dst: to }
  const back = { src: to, dst: from }
  return [
    ...samples.map(([, text]) => unhex(text)),
    echoRequest(there),
    ...fragments(echoRequest(there, { data: pattern(2000) }), 600),
    udp(there, { dport: 7 }, pattern(30)),
    udp(there, { dport: 9, checksum: 0 }),
    tcp(there, { dport: 80 }),
    icmp(there, { type: 13 }, pattern(12)),
    icmp(there, { type: 3, code: 4, word: 600 }, udp(back, { sport: 7, dport: 40000 }, pattern(30))),
    icmp(
      there,
      { type: 5, code: 1, word: parseIpv4('10.9.0.9') >>> 0 },
      udp(back, { sport: 7, dport: 40000 }),
    ),
    icmp(there, { type: 11 }, echoRequest(back)),
    echoRequest({ ...there, options: [7, 15, 4, ...new Array<number>(12).fill(0)] }),
    echoRequest({ ...there, options: [0x44, 20, 5, 1, ...new Array<number>(16).fill(0)] }),
    echoRequest({ ...there, dst: '224.0.0.1' }),
    echoRequest({ ...there, dst: '255.255.255.255' }),
  ]
}

const DESTINATIONS = [
  '224.0.0.1',
  '255.255.255.255',
  '127.0.0.1',
  '0.0.0.0',
  '10.9.0.255',
  '192.0.2.1',
  '241.0.0.1',
]

/** An echo service, so that there is an endpoint to reach. */
function serve({ stack }: Bench): void {
  const endpoint = stack.udp.bind({
    port: 7,
    onMessage: ({ data, address: from, port, to }) =>
      void endpoint.trySend(data, { address: from, port }, { source: to }),
  })
}

/** The header of whatever leaves must be right; what is inside a forwarded packet is its sender's business. */
function checkHeader(packet: Bytes): void {
  const headerLength = (packet[0]! & 15) * 4
  expect(packet[0]! >>> 4).to.equal(4)
  expect(headerLength).to.be.within(20, packet.length)
  expect((packet[2]! << 8) | packet[3]!).to.equal(packet.length)
  expect(internetChecksum(packet.subarray(0, headerLength))).to.equal(0)
}

/** One life of a stack under a seed. */
async function live(
  bench: HostBench | RouterBench,
  dice: Dice,
  wires: Wire[],
  targets: string[],
  strict: boolean,
) {
  const { stack } = bench
  serve(bench)
  if (dice.chance(30)) stack.sysctlSet('net.ipv4.icmp_echo_ignore_broadcasts', 0)
  if (dice.chance(30)) stack.sysctlSet('net.ipv4.icmp_ratemask', 0)
  if (dice.chance(20)) stack.sysctlSet('net.ipv4.conf.all.rp_filter', 1 + dice.below(2))
  if (dice.chance(20)) stack.routes.add('192.0.2.0/24 dev lo')
  const corpus = corpusOf(targets[0]!, targets[1]!)
  const destinations = [...targets, ...targets, ...targets, ...DESTINATIONS].map(address)
  for (const wire of wires) wire.room = dice.pick([0, 0, 0, 9000, 65535])
  const forwarding = stack.sysctlGet('net.ipv4.ip_forward') === '1'
  if (strict && dice.chance(30)) stack.sysctlSet('net.ipv4.ip_forward', 1)
  for (let burst = 0; burst < BURSTS; burst++) {
    const wire = dice.pick(wires)
    if (dice.chance(10)) void stack.ping(dice.pick(targets), { timeout: 100, size: dice.below(3000) })
    if (dice.chance(30)) wire.push(...mutateTrain(dice, corpus, destinations))
    else wire.push(...Array.from({ length: 1 + dice.below(64) }, () => mutate(dice, corpus, destinations)))
    bench.pass(dice.pick([0, 0, 1, 20, 1000, 31_000]))
    for (const each of wires) {
      for (const packet of each.take()) {
        try {
          checkHeader(packet)
          // Its own packets are right throughout. Those have TTL 64 or 1; nothing else leaves a host.
          if (strict && stack.sysctlGet('net.ipv4.ip_forward') === '0') decode(packet)
        } catch (error) {
          throw new Error(`sent ${hex(packet)}: ${(error as Error).message}`, { cause: error })
        }
      }
    }
  }
  stack.sysctlSet('net.ipv4.ip_forward', forwarding ? 1 : 0)
  stack.sysctlSet('net.ipv4.conf.all.rp_filter', 0)
  stack.sysctlSet('net.ipv4.icmp_echo_ignore_broadcasts', 1)
  bench.pass(120_000) // fragments and pings are over, limits full again
  for (const each of wires) {
    each.take()
    each.room = 0 // where memory is short, none may have been cut that large
  }
  expect(stack.pool.outstanding, 'packets kept').to.equal(0)
  expect(stack.ipv4.reassembly.memory, 'fragments kept').to.equal(0)
  bench.expectAlive()
  await bench.end()
}

async function run(seed: number): Promise<void> {
  const dice = new Dice(seed)
  const memory = dice.chance(25) ? { packetMemory: 2048 * 64 * 2 + 10240 * 16 + 66560 * 8 } : {}
  try {
    if (dice.chance(60)) {
      const bench = new HostBench({ ...memory, mtu: dice.pick([1500, 1500, 576, 68]) })
      await live(bench, dice, [bench.tun], [PEER, HOST, INNER, '10.0.3.9'], true)
    } else {
      const bench = new RouterBench({ ...memory, rightMtu: dice.pick([1500, 576, 68]) })
      await live(bench, dice, [bench.left, bench.right], [LEFT, RIGHT, ROUTER_LEFT, '10.2.0.77'], false)
    }
  } catch (error) {
    const replay = `TUNSTACK_FUZZ_SEED=${seed} npx mocha test/conformance/fuzz.test.ts`
    throw new Error(`seed ${seed}: ${(error as Error).stack}\nreplay: ${replay}`, { cause: error })
  }
}

describe('fuzzing (hardening-15, hardening-9)', () => {
  const { TUNSTACK_FUZZ_SEED, TUNSTACK_FUZZ_SECONDS } = process.env

  it('survives mutated packets: nothing throws, memory comes back, echo requests are answered', async function () {
    if (TUNSTACK_FUZZ_SEED !== undefined) return run(Number(TUNSTACK_FUZZ_SEED))
    for (let seed = 1; seed <= SEEDS; seed++) await run(seed)
    const seconds = Number(TUNSTACK_FUZZ_SECONDS ?? 0)
    if (seconds === 0) return
    this.timeout((seconds + 60) * 1000)
    const end = Date.now() + seconds * 1000
    let seed = Date.now() & 0x3fffffff
    for (; Date.now() < end; seed++) await run(seed)
  })

  it('a failing seed says how to replay it', async () => {
    const broken = new Dice(5)
    expect(Array.from({ length: 5 }, () => broken.below(1000))).to.deep.equal(
      Array.from(
        { length: 5 },
        (
          (again) => () =>
            again.below(1000)
        )(new Dice(5)),
      ),
    )
    const corpus = corpusOf(PEER, HOST)
    const once = (): string[] => {
      const dice = new Dice(77)
      return Array.from({ length: 50 }, () => hex(mutate(dice, corpus, [address(HOST)])))
    }
    expect(once()).to.deep.equal(once())
  })
})
