/**
 * The TUN driver against itself: where received packets are put, and the options of `openTun()`. Receiving is
 * measured with the kernel's UDP, small datagrams and super-segments of 64 KB; the options with ping and a stack.
 */
import { type Namespace, Testbed } from '../test/integration/netns.ts'
import type { Benchmark, Plan } from './benchmark.ts'
import { type Figures, record } from './figure.ts'
import { flood, paced } from './ping.ts'
import { between, program, Responder } from './responder.ts'

const LAYOUTS = ['spill-8', 'spill-1', 'spill-64', 'large', 'copy']

const OPTIONS: readonly [string, object][] = [
  ['as it is', {}],
  ['without offloads', { offload: false }],
  ['koffi', { driver: 'koffi' }],
  ['busyPoll 50us', { busyPoll: '50us' }],
  ['busyPoll 10ms', { busyPoll: '10ms' }],
]

export const device: Benchmark = {
  name: 'device',
  needsRoot: true,
  async run(figures, plan) {
    const bed = new Testbed()
    try {
      const host = bed.namespace('bench')
      host.addTun('tun1', { address: '10.77.1.1/24' })
      const receive = defineReceive(figures)
      const answer = defineAnswer(figures)
      for (let round = 1; round <= plan.rounds; round++) {
        for (const layout of LAYOUTS) {
          plan.progress(`device ${round}/${plan.rounds}: ${layout}`)
          await measureLayout(host, layout, receive, plan)
        }
        for (const [name, options] of OPTIONS) {
          plan.progress(`device ${round}/${plan.rounds}: ${name}`)
          await measureOptions(host, name, options, answer, plan)
        }
      }
    } finally {
      await bed.undo()
    }
  },
}

/** Payload, and the size of the datagrams that it is cut to; 0: it is one. */
const TRAFFIC = [
  { payload: 18, segment: 0, what: 'UDP received, 46 bytes' },
  { payload: 64_000, segment: 1400, what: 'UDP received, super-segments of 64 KB' },
]

function defineReceive(figures: Figures) {
  return TRAFFIC.map((traffic) => ({
    ...traffic,
    rate: figures.define(
      traffic.what,
      'packets/s',
      LAYOUTS.slice(1).map((subject) => ({ subject, reference: LAYOUTS[0]! })),
    ),
    cpu: figures.define(
      `${traffic.what}, CPU`,
      'µs/packet',
      LAYOUTS.slice(1).map((subject) => ({ subject, reference: LAYOUTS[0]! })),
    ),
  }))
}

function defineAnswer(figures: Figures) {
  const against = OPTIONS.slice(1).map(([subject]) => ({ subject, reference: OPTIONS[0]![0] }))
  return {
    rate: figures.define('ping -f', 'packets/s', against),
    rateCpu: figures.define('ping -f, CPU', 'µs/packet', against),
    preRate: figures.define('ping -f -l 32', 'packets/s', against),
    preCpu: figures.define('ping -f -l 32, CPU', 'µs/packet', against),
    p50: figures.define('ping -i 0.01, median round trip', 'µs', against),
    pacedCpu: figures.define('ping -i 0.01, CPU', 'µs/packet', against),
  }
}

async function measureLayout(
  host: Namespace,
  layout: string,
  figures: ReturnType<typeof defineReceive>,
  plan: Plan,
): Promise<void> {
  const receiver = await Responder.start(host, program('device-receiver.ts', ['tun1', layout]))
  for (const { payload, segment, rate, cpu } of figures) {
    const send = (seconds: number) =>
      host.run(program('udp-flood.c', ['send', '10.77.1.2', `${payload}`, `${seconds}`, `${segment}`]))
    await send(plan.quick ? 0.05 : 0.4)
    const before = await receiver.stats()
    const seconds = plan.quick ? 0.1 : 1.5
    await send(seconds)
    const { packets, cpu: microseconds } = between(before, await receiver.stats())
    record(rate, layout, packets / seconds)
    record(cpu, layout, microseconds / packets)
  }
  await receiver.stop()
}

async function measureOptions(
  host: Namespace,
  name: string,
  options: object,
  figures: ReturnType<typeof defineAnswer>,
  plan: Plan,
): Promise<void> {
  const address = '10.77.1.2'
  const command = program('stack-responder.ts', ['tun1', `${address}/24`, JSON.stringify(options)])
  const responder = await Responder.start(host, command)
  await flood(host, address, plan.quick ? 500 : 10_000, 32)
  const measure = async (run: () => Promise<{ received: number; duration: number; p50: number }>) => {
    const before = await responder.stats()
    const result = await run()
    const { packets, cpu } = between(before, await responder.stats())
    return { rate: (result.received * 1000) / result.duration, cpu: cpu / packets, p50: result.p50 }
  }
  const plain = await measure(() => flood(host, address, plan.quick ? 500 : 20_000))
  record(figures.rate, name, plain.rate)
  record(figures.rateCpu, name, plain.cpu)
  const preloaded = await measure(() => flood(host, address, plan.quick ? 1000 : 100_000, 32))
  record(figures.preRate, name, preloaded.rate)
  record(figures.preCpu, name, preloaded.cpu)
  const slow = await measure(() => paced(host, address, plan.quick ? 20 : 200))
  record(figures.p50, name, slow.p50)
  record(figures.pacedCpu, name, slow.cpu)
  await responder.stop()
}
