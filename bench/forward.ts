/**
 * A flood of UDP from one namespace to another through a router that cannot keep up: what arrives is what the
 * router forwards. tunstack and the least C between two TUNs, and the kernel between two veth pairs; single datagrams,
 * and super-segments, which nobody cuts on the way.
 */
import { type Namespace, Testbed } from '../test/integration/netns.ts'
import type { Benchmark, Plan } from './benchmark.ts'
import { type Figure, type Figures, record } from './figure.ts'
import { between, program, Responder } from './responder.ts'

const C = 'C forwarder'
const STACK = 'tunstack'
const KERNEL = 'kernel, veth'

interface Traffic {
  what: string
  payload: number
  /** Size of the datagrams that a super-segment is to be cut to; 0: it is none. */
  segment: number
}

/** The smallest Ethernet frame, a full one, and a super-segment of full ones. */
const TRAFFIC: readonly Traffic[] = [
  { what: '46 bytes', payload: 18, segment: 0 },
  { what: '1500 bytes', payload: 1472, segment: 0 },
  { what: 'super-segments of 64 KB', payload: 64_768, segment: 1472 },
]

const A = { router: '10.1.0.1', host: '10.1.0.2' }
const B = { router: '10.2.0.1', host: '10.2.0.2' }

export const forward: Benchmark = {
  name: 'forward',
  needsRoot: true,
  async run(figures, plan) {
    const measured = TRAFFIC.map((traffic) => ({ ...traffic, ...defineFigures(figures, traffic) }))
    for (let round = 1; round <= plan.rounds; round++) {
      for (const subject of [C, STACK, KERNEL]) {
        plan.progress(`forward ${round}/${plan.rounds}: ${subject}`)
        const bed = new Testbed()
        try {
          await measureSubject(bed, subject, measured, plan)
        } finally {
          await bed.undo()
        }
      }
    }
  },
}

interface ForwardFigures extends Traffic {
  rate: Figure
  cpu: Figure
  burst: Figure
}

function defineFigures(figures: Figures, { what }: Traffic): Omit<ForwardFigures, keyof Traffic> {
  const name = `UDP forwarded, ${what}`
  const against = [C, KERNEL].map((reference) => ({ subject: STACK, reference }))
  return {
    rate: figures.define(name, 'packets/s', against),
    cpu: figures.define(`${name}, CPU of the router`, 'µs/packet', [{ subject: STACK, reference: C }]),
    burst: figures.define(`${name}, packets per read call`, 'packets'),
  }
}

async function measureSubject(
  bed: Testbed,
  subject: string,
  measured: ForwardFigures[],
  plan: Plan,
): Promise<void> {
  const [a, b, router] = ['a', 'b', 'router'].map((label) => bed.namespace(label)) as [
    Namespace,
    Namespace,
    Namespace,
  ]
  const responder =
    subject === KERNEL ? kernelRouter(bed, a, b, router) : await tunRouter(subject, a, b, router, plan)
  await b.start(program('udp-flood.c', ['sink']), { ready: /^ready$/m })

  await floodOnce(a, b, TRAFFIC[0]!, plan.quick ? 0.1 : 0.7)
  for (const { rate, cpu, burst, ...traffic } of measured) {
    const before = await responder?.stats()
    const { received, seconds } = await floodOnce(a, b, traffic, plan.quick ? 0.1 : 1.5)
    const after = await responder?.stats()
    record(rate, subject, received / seconds)
    if (before === undefined || after === undefined) continue
    const stats = between(before, after)
    record(cpu, subject, stats.cpu / received)
    record(burst, subject, stats.packets / stats.reads)
  }
  await responder?.stop()
}

function kernelRouter(bed: Testbed, a: Namespace, b: Namespace, router: Namespace): null {
  router.sysctl('net.ipv4.ip_forward', 1)
  for (const [host, side, device] of [
    [a, A, 'veth-a'],
    [b, B, 'veth-b'],
  ] as const) {
    bed.veth(
      { namespace: host, device: 'eth0', address: `${side.host}/24` },
      { namespace: router, device, address: `${side.router}/24` },
    )
    host.ip(`route add default via ${side.router}`)
  }
  return null
}

/** The router opens the devices in its own namespace; then they move, and the router keeps their other ends. */
async function tunRouter(
  subject: string,
  a: Namespace,
  b: Namespace,
  router: Namespace,
  plan: Plan,
): Promise<Responder> {
  const command =
    subject === C
      ? program('tun-bulk.c', ['forward', 'tun-a', 'tun-b'])
      : program('stack-router.ts', ['tun-a', `${A.router}/24`, 'tun-b', `${B.router}/24`], plan.nodeOptions)
  const responder = await Responder.start(router, command)
  for (const [host, side, device] of [
    [a, A, 'tun-a'],
    [b, B, 'tun-b'],
  ] as const) {
    router.ip(`link set ${device} netns ${host.name}`)
    host.ip(`addr add ${side.host}/24 dev ${device}`)
    host.ip(`link set ${device} up`)
    host.ip(`route add default via ${side.router}`)
  }
  return responder
}

/**
 * What arrived is what IP took in at `b`: the socket there drops it, but that is after the router. A super-segment
 * counts as one.
 */
async function floodOnce(a: Namespace, b: Namespace, { payload, segment }: Traffic, seconds: number) {
  const before = b.nstat()['IpInDelivers']!
  const command = program('udp-flood.c', ['send', B.host, `${payload}`, `${seconds}`, `${segment}`])
  const { stdout, stderr, status } = await a.run(command)
  const match = /^sent (\d+) seconds ([\d.]+)$/m.exec(stdout)
  if (status !== 0 || match === null) throw new Error(`the UDP flood failed: ${stdout}${stderr}`)
  const received = b.nstat()['IpInDelivers']! - before
  return { received, sent: Number(match[1]), seconds: Number(match[2]) }
}
