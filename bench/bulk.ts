/**
 * UDP in bulk between the kernel and the other side of a TUN, both ways, as single datagrams of a full MTU and as
 * super-segments: the limit in C, the device alone, a socket of a stack, and the kernel itself over veth.
 */
import { type Namespace, Testbed } from '../test/integration/netns.ts'
import type { Benchmark, Plan } from './benchmark.ts'
import { type Figure, type Figures, record } from './figure.ts'
import { between, program, Responder } from './responder.ts'
import type { ResponderStats } from './responder-report.ts'

const C = 'C'
const DEVICE = 'TunDevice'
const STACK = 'tunstack, UDP socket'
const KERNEL = 'kernel, veth'

const KINDS = ['plain', 'offload'] as const
type Kind = (typeof KINDS)[number]
type Direction = 'read' | 'write'

const TITLE: Readonly<Record<Direction, Record<Kind, string>>> = {
  read: { plain: 'UDP in, datagrams of 1500 bytes', offload: 'UDP in, super-segments' },
  write: { plain: 'UDP out, datagrams of 1500 bytes', offload: 'UDP out, super-segments' },
}

/** Payload of a send, and of each datagram that it is cut to. */
const PAYLOAD = { plain: 1472, offload: 64_768 } as const
const SEGMENT = 1472

interface BulkFigures {
  rate: Figure
  cpu: Figure
  burst: Figure
  lateness: Figure
}

export const bulk: Benchmark = {
  name: 'bulk',
  needsRoot: true,
  async run(figures, plan) {
    const defined = (['read', 'write'] as const).flatMap((direction) =>
      KINDS.map((kind) => ({
        direction,
        kind,
        figures: define(figures, TITLE[direction][kind], direction, kind),
      })),
    )
    const idle = figures.define('timers of an idle process, lateness p99', 'ms')
    const bed = new Testbed()
    try {
      const host = bed.namespace('bench')
      const remote = bed.namespace('bench-peer')
      host.addTun('tun1', { address: '10.77.1.1/24' })
      bed.veth(
        { namespace: host, device: 'veth0', address: '10.77.2.1/24' },
        { namespace: remote, device: 'veth0', address: '10.77.2.2/24' },
      )
      for (let round = 1; round <= plan.rounds; round++) {
        for (const { direction, kind, figures: of } of defined) {
          for (const subject of [C, DEVICE, STACK, KERNEL]) {
            plan.progress(`bulk ${round}/${plan.rounds}: ${TITLE[direction][kind]}, ${subject}`)
            if (direction === 'read') await measureIn(host, remote, subject, kind, of, idle, plan)
            else await measureOut(host, remote, subject, kind, of, plan)
          }
        }
      }
    } finally {
      await bed.undo()
    }
  },
}

function define(figures: Figures, title: string, direction: Direction, kind: Kind): BulkFigures {
  const target = kind === 'offload' ? { target: { ratio: 0.8, is: 'at least' as const } } : {}
  const against = [
    { subject: DEVICE, reference: C, ...target },
    { subject: STACK, reference: C },
    { subject: STACK, reference: KERNEL },
  ]
  const cpu = [
    { subject: DEVICE, reference: C },
    { subject: STACK, reference: C },
  ]
  const what = direction === 'read' ? 'read' : 'write'
  return {
    rate: figures.define(title, 'Gbit/s', against),
    cpu: figures.define(`${title}, CPU`, 'ms/MB', cpu),
    burst: figures.define(`${title}, packets per ${what} burst`, 'packets'),
    lateness: figures.define(`${title}, timer lateness p99`, 'ms'),
  }
}

function command(subject: string, direction: Direction, kind: Kind): string[] {
  const addresses = direction === 'write' ? ['10.77.1.2', '10.77.1.1'] : []
  if (subject === C) return program('tun-bulk.c', [direction, 'tun1', kind, ...addresses])
  if (subject === DEVICE) return program('device-bulk.ts', [direction, 'tun1', kind, ...addresses])
  return program('stack-bulk.ts', [direction, 'tun1', kind, '10.77.1.2/24', ...addresses.slice(1)])
}

function take(subject: string, of: BulkFigures, stats: ResponderStats, bytes: number, seconds: number): void {
  record(of.rate, subject, (bytes * 8) / seconds / 1e9)
  if (subject === KERNEL) return
  record(of.cpu, subject, stats.cpu / 1000 / (bytes / 1e6))
  record(of.burst, subject, stats.packets / stats.reads)
  if (subject !== C) record(of.lateness, subject, stats.lateness ?? 0)
}

/** The kernel floods; what the subject has read counts. */
async function measureIn(
  host: Namespace,
  remote: Namespace,
  subject: string,
  kind: Kind,
  of: BulkFigures,
  idle: Figure,
  plan: Plan,
): Promise<void> {
  const receiver = await Responder.start(
    subject === KERNEL ? remote : host,
    subject === KERNEL ? program('udp-flood.c', ['receive']) : command(subject, 'read', kind),
  )
  const address = subject === KERNEL ? '10.77.2.2' : '10.77.1.2'
  const send = async (seconds: number): Promise<number> => {
    const args = ['send', address, `${PAYLOAD[kind]}`, `${seconds}`]
    if (kind === 'offload') args.push(`${SEGMENT}`)
    const { stdout, stderr } = await host.run(program('udp-flood.c', args))
    const match = /^sent \d+ seconds ([\d.]+)$/m.exec(stdout)
    if (match === null) throw new Error(`the UDP flood failed: ${stdout}${stderr}`)
    return Number(match[1])
  }
  await send(plan.quick ? 0.05 : 0.5)
  if (subject === STACK && kind === 'offload') {
    await receiver.stats()
    await new Promise((resolve) => setTimeout(resolve, plan.quick ? 50 : 500))
    record(idle, subject, (await receiver.stats()).lateness ?? 0)
  }
  const before = await receiver.stats()
  const seconds = await send(plan.quick ? 0.1 : 1.5)
  const stats = between(before, await receiver.stats())
  take(subject, of, stats, stats.bytes ?? 0, seconds)
  await receiver.stop()
}

/** The subject floods from its first report on; what a socket of the kernel has read counts. */
async function measureOut(
  host: Namespace,
  remote: Namespace,
  subject: string,
  kind: Kind,
  of: BulkFigures,
  plan: Plan,
): Promise<void> {
  const seconds = plan.quick ? 0.1 : 1.5
  if (subject === KERNEL) {
    const receiver = await Responder.start(remote, program('udp-flood.c', ['receive']))
    const before = await receiver.stats()
    const args = ['send', '10.77.2.2', `${PAYLOAD[kind]}`, `${seconds}`]
    if (kind === 'offload') args.push(`${SEGMENT}`)
    await host.run(program('udp-flood.c', args))
    const stats = between(before, await receiver.stats())
    take(subject, of, stats, stats.bytes ?? 0, seconds)
    await receiver.stop()
    return
  }
  const receiver = await Responder.start(host, program('udp-flood.c', ['receive']))
  const sender = await Responder.start(host, command(subject, 'write', kind))
  await sender.stats()
  await new Promise((resolve) => setTimeout(resolve, plan.quick ? 50 : 500))
  const [before, received] = [await sender.stats(), await receiver.stats()]
  const start = performance.now()
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  const [after, then] = [await sender.stats(), await receiver.stats()]
  const took = (performance.now() - start) / 1000
  take(subject, of, between(before, after), (then.bytes ?? 0) - (received.bytes ?? 0), took)
  await sender.stop()
  await receiver.stop()
}
