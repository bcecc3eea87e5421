/**
 * TCP between the kernel and the other side of a TUN: bulk in both directions with the content checked where it
 * arrives, connections that are opened and closed again, requests of a byte, short flows; against the kernel over veth.
 */
import { type Namespace, Testbed } from '../test/integration/netns.ts'
import type { Benchmark, Plan } from './benchmark.ts'
import { type Figure, record } from './figure.ts'
import { program } from './responder.ts'

const STACK = 'tunstack'
const KERNEL = 'kernel, veth'
const SUBJECTS = [STACK, KERNEL] as const
type Subject = (typeof SUBJECTS)[number]

const ADDRESS: Readonly<Record<Subject, string>> = { [STACK]: '10.77.1.2', [KERNEL]: '10.77.2.2' }

export interface Load {
  name: string
  unit: string
  /** The client's command, and what follows its seconds. */
  command: string
  more: string[]
  value(result: Result): number
}

/** What the client prints: a count, its seconds, and percentiles of what one took in microseconds where it has them. */
interface Result {
  count: number
  seconds: number
  p50: number
  p99: number
}

const gigabits = ({ count, seconds }: Result): number => (count * 8) / seconds / 1e9
const perSecond = ({ count, seconds }: Result): number => count / seconds

export const LOADS: readonly Load[] = [
  { name: 'TCP in, one connection', unit: 'Gbit/s', command: 'send', more: [], value: gigabits },
  { name: 'TCP out, one connection', unit: 'Gbit/s', command: 'receive', more: [], value: gigabits },
  { name: 'TCP connections, one at a time', unit: '/s', command: 'connect', more: ['1'], value: perSecond },
  { name: 'TCP connections, 64 at a time', unit: '/s', command: 'connect', more: ['64'], value: perSecond },
  { name: 'TCP requests of a byte', unit: '/s', command: 'ask', more: [], value: perSecond },
  {
    name: 'TCP, 16 KiB there and back, p50',
    unit: 'µs',
    command: 'fetch',
    more: [],
    value: ({ p50 }) => p50,
  },
  {
    name: 'TCP, 16 KiB there and back, p99',
    unit: 'µs',
    command: 'fetch',
    more: [],
    value: ({ p99 }) => p99,
  },
]

export const tcp: Benchmark = {
  name: 'tcp',
  needsRoot: true,
  async run(figures, plan) {
    const against = [{ subject: STACK, reference: KERNEL }]
    const defined = LOADS.map((load) => ({ load, figure: figures.define(load.name, load.unit, against) }))
    const bed = new Testbed()
    try {
      const host = bed.namespace('bench')
      const remote = bed.namespace('bench-peer')
      host.addTun('tun1', { address: '10.77.1.1/24' })
      bed.veth(
        { namespace: host, device: 'veth0', address: '10.77.2.1/24' },
        { namespace: remote, device: 'veth0', address: '10.77.2.2/24' },
      )
      // The client's ports come back from TIME-WAIT, and both ends take as many connections as come.
      for (const namespace of [host, remote]) {
        namespace.sysctl('net.ipv4.tcp_tw_reuse', 1)
        namespace.sysctl('net.ipv4.tcp_max_tw_buckets', 8192)
        namespace.sysctl('net.core.somaxconn', 4096)
        namespace.sysctl('net.ipv4.tcp_max_syn_backlog', 8192)
        namespace.sysctl('net.ipv4.ip_local_port_range', '1024 65000')
      }
      for (let round = 1; round <= plan.rounds; round++) {
        for (const { load, figure } of defined) {
          for (const subject of SUBJECTS) {
            plan.progress(`tcp ${round}/${plan.rounds}: ${load.name}, ${subject}`)
            await measure(host, remote, subject, load, figure, plan)
          }
        }
      }
    } finally {
      await bed.undo()
    }
  },
}

async function measure(
  host: Namespace,
  remote: Namespace,
  subject: Subject,
  load: Load,
  figure: Figure,
  plan: Plan,
): Promise<void> {
  const command =
    subject === STACK
      ? program('stack-tcp.ts', ['tun1', '10.77.1.2/24'], plan.nodeOptions)
      : program('tcp-load.c', ['serve'])
  const server = await (subject === STACK ? host : remote).start(command, { ready: /^ready$/m })
  const run = async (seconds: number): Promise<number> =>
    await result(host, load, ADDRESS[subject], seconds, `${subject}: ${server.output}`)
  await run(plan.quick ? 0.1 : 1)
  record(figure, subject, await run(plan.quick ? 0.2 : 1.5))
  await server.stop('SIGTERM')
}

/** What a client has measured. @param about for the message of an error */
export async function result(
  client: Namespace,
  load: Load,
  address: string,
  seconds: number,
  about: string,
): Promise<number> {
  const args = [load.command, address, `${seconds}`, ...load.more]
  const { stdout, stderr, status } = await client.run(program('tcp-load.c', args))
  const match = /^\w+ (\d+) seconds ([\d.]+)(?:\np50 ([\d.]+) p99 ([\d.]+))?$/m.exec(stdout)
  if (status !== 0 || match === null) throw new Error(`${load.name}: ${stdout}${stderr}${about}`)
  const [count, duration, p50, p99] = match.slice(1).map(Number) as [number, number, number, number]
  return load.value({ count, seconds: duration, p50, p99 })
}
