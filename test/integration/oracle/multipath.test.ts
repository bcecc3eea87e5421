/**
 * Groups of next hops, in the kernel and in the stack: which hop a flow takes is each host's secret, but that it
 * stays there, what counts as a flow, and how flows are shared out by weight must be alike.
 */
import { expect } from 'chai'
import { formatIpv4 } from '../../../lib/address/ipv4-address.ts'
import { KernelOracle } from './kernel-oracle.ts'
import type { Outcome, Setup, Step } from './scenario.ts'
import { closed, on, router } from './scenarios/setups.ts'
import { StackSide } from './stack-side.ts'

/** Devices and weights of the group. */
const WEIGHTS: Readonly<Record<string, number>> = { tun1: 5, tun2: 2, tun3: 1 }
const TOTAL = Object.values(WEIGHTS).reduce((sum, weight) => sum + weight, 0)
const FLOWS = 1600
/** So many packets fit into the queue of a TUN. */
const AT_ONCE = 200

const base: Setup = {
  addresses: {
    tun0: ['10.9.0.2/24'],
    tun1: ['10.11.0.2/24'],
    tun2: ['10.12.0.2/24'],
    tun3: ['10.13.0.2/24'],
    lo: [],
  },
  sysctl: router.sysctl!,
}
const hops = Object.entries(WEIGHTS).map(([device, weight]) => ({
  device,
  weight,
  via: `10.1${device.slice(3)}.0.1`,
}))
const byRoute: Setup = {
  ...base,
  routes: [
    `10.50.0.0/16 ${hops.map(({ device, weight, via }) => `nexthop via ${via} dev ${device} weight ${weight}`).join(' ')}`,
  ],
}
const byObject: Setup = {
  ...base,
  nexthops: [
    ...hops.map(({ device, via }, index) => `id ${index + 1} via ${via} dev ${device}`),
    `id 10 group ${hops.map(({ weight }, index) => `${index + 1},${weight}`).join('/')}`,
  ],
  routes: ['10.50.0.0/16 nhid 10'],
}

interface Flow {
  src: string
  dst: string
  sport: number
  dport: number
}

interface Side {
  configure(setup: Setup): Promise<void>
  run(step: Step): Outcome | Promise<Outcome>
}

/** The device that each flow's packet left by, in order. */
async function ways(side: Side, flows: readonly Flow[]): Promise<string[]> {
  const found: string[] = []
  for (let from = 0; from < flows.length; from += AT_ONCE) {
    const batch = flows.slice(from, from + AT_ONCE)
    const packets = batch.map(({ src, dst, sport, dport }) => closed({ src, dst }, 10, { sport, dport }))
    const { sent } = await side.run({ title: 'flows', packets: on('tun0', ...packets), wait: 30 })
    const by = new Map<string, string>()
    for (const { device, bytes } of sent) by.set(keyOf(bytes), device)
    for (const packet of packets) found.push(by.get(keyOf(packet)) ?? 'nowhere')
  }
  return found
}

/** Addresses and ports. */
function keyOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.subarray(12, 24)).toString('hex')
}

const address = (prefix: number, index: number): string => formatIpv4(prefix + index)
/** Flows between many pairs of hosts. */
const pairs: Flow[] = Array.from({ length: FLOWS }, (_, index) => ({
  src: address(0x0a090010, index % 40),
  dst: address(0x0a320001, index * 7),
  sport: 40000,
  dport: 53,
}))
/** Flows between two hosts. */
const ports: Flow[] = Array.from({ length: FLOWS }, (_, index) => ({
  src: '10.9.0.9',
  dst: '10.50.3.3',
  sport: 20000 + index * 13,
  dport: 53 + (index % 3),
}))

function count(found: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const device of found) counts.set(device, (counts.get(device) ?? 0) + 1)
  return counts
}

/** Within five standard deviations of what the weights say; for pairs the same hash may fall on several. */
function expectShares(found: readonly string[]): void {
  const counts = count(found)
  expect([...counts.keys()].sort()).to.deep.equal(Object.keys(WEIGHTS))
  for (const [device, weight] of Object.entries(WEIGHTS)) {
    const share = weight / TOTAL
    const deviation = Math.sqrt(FLOWS * share * (1 - share))
    expect(counts.get(device), `${device} of ${FLOWS}`).to.be.closeTo(FLOWS * share, 5 * deviation)
  }
}

describe('multipath beside the kernel', function () {
  this.timeout(60_000)
  const kernel = new KernelOracle()
  const stack = new StackSide()
  before(() => kernel.start())
  after(async () => {
    await kernel.stop()
    await stack.stop()
  })

  for (const [name, setup] of [
    ['a route with several next hops', byRoute],
    ['a group of nexthop objects', byObject],
  ] as const) {
    for (const policy of [0, 1]) {
      for (const [who, side] of [
        ['the kernel', kernel],
        ['the stack', stack],
      ] as const) {
        it(`${name}, fib_multipath_hash_policy ${policy}, ${who}`, async () => {
          await side.configure({
            ...setup,
            sysctl: { ...setup.sysctl, fib_multipath_hash_policy: policy },
          })
          const first = await ways(side, pairs)
          expectShares(first)
          // A flow stays where it is.
          expect(await ways(side, pairs)).to.deep.equal(first)
          const byPort = await ways(side, ports)
          if (policy === 1) expectShares(byPort)
          else expect(count(byPort).size).to.equal(1)
          expect(await ways(side, ports)).to.deep.equal(byPort)
        })
      }
    }
  }
})
