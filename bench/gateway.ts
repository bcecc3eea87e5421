/**
 * A guest that reaches a server by `tunstack gateway`, against slirp4netns and pasta, which do the same in C, and
 * against the kernel's own way there over veth. Server and client are the same for all.
 */
import { spawnSync } from 'node:child_process'
import { type Namespace, type Process, Testbed } from '../test/integration/netns.ts'
import type { Benchmark, Plan } from './benchmark.ts'
import { type Figure, record } from './figure.ts'
import { program } from './responder.ts'
import { LOADS, type Load, result } from './tcp.ts'

const OUTSIDE = '198.51.100.2'
const STACK = 'tunstack'
const KERNEL = 'kernel, veth'

/** The others, and how each is started in the host's namespace for the guest's. */
const OTHERS: Readonly<Record<string, (guest: Namespace) => string[]>> = {
  slirp4netns: ({ name }) =>
    `slirp4netns --configure --mtu=65520 --disable-host-loopback --netns-type=path /run/netns/${name} tap0`.split(
      ' ',
    ),
  pasta: ({ name }) => `pasta --config-net -f --runas 0 --netns /run/netns/${name}`.split(' '),
}

export const gateway: Benchmark = {
  name: 'gateway',
  needsRoot: true,
  onlyIfAsked: true,
  async run(figures, plan) {
    const others = Object.keys(OTHERS).filter((name) => spawnSync(name, ['--version']).error === undefined)
    for (const name of Object.keys(OTHERS)) {
      if (others.includes(name)) continue
      plan.progress(`gateway: there is no ${name}; it is left out (Debian: slirp4netns, passt)`)
    }
    const against = [...others, KERNEL].map((reference) => ({ subject: STACK, reference }))
    // Short flows are left out: pasta of Debian 12 does not get 16 KiB there and back on this kernel.
    const defined = LOADS.filter(({ command }) => command !== 'fetch').map((load) => ({
      load,
      figure: figures.define(`through a gateway: ${load.name}`, load.unit, against),
    }))
    const bed = new Testbed()
    try {
      const host = bed.namespace('bench')
      const outside = bed.namespace('bench-peer')
      bed.veth(
        { namespace: host, device: 'veth0', address: '198.51.100.1/24' },
        { namespace: outside, device: 'veth0', address: `${OUTSIDE}/24` },
      )
      // pasta takes its template from a default route, and what is sent to that router for the host's loopback.
      host.ip('route add default via 198.51.100.3')
      const guests = new Map([STACK, ...others].map((name) => [name, bed.namespace(`bench-${name}`)]))
      for (const namespace of [host, outside, ...guests.values()]) {
        namespace.sysctl('net.ipv4.tcp_tw_reuse', 1)
        namespace.sysctl('net.ipv4.tcp_max_tw_buckets', 8192)
        namespace.sysctl('net.core.somaxconn', 4096)
        namespace.sysctl('net.ipv4.ip_local_port_range', '1024 65000')
      }
      guests.set(KERNEL, host)
      for (let round = 1; round <= plan.rounds; round++) {
        for (const { load, figure } of defined) {
          for (const [subject, guest] of guests) {
            plan.progress(`gateway ${round}/${plan.rounds}: ${load.name}, ${subject}`)
            await measure(host, guest, outside, subject, load, figure, plan)
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
  guest: Namespace,
  outside: Namespace,
  subject: string,
  load: Load,
  figure: Figure,
  plan: Plan,
): Promise<void> {
  const server = await outside.start(program('tcp-load.c', ['serve']), { ready: /^ready$/m })
  const between = await start(host, guest, subject, plan)
  const run = async (seconds: number): Promise<number> =>
    await result(guest, load, OUTSIDE, seconds, `${subject}: ${server.output}`)
  await run(plan.quick ? 0.1 : 1)
  record(figure, subject, await run(plan.quick ? 0.2 : 1.5))
  await between?.stop('SIGTERM')
  await server.stop('SIGTERM')
}

async function start(
  host: Namespace,
  guest: Namespace,
  subject: string,
  plan: Plan,
): Promise<Process | undefined> {
  if (subject === KERNEL) return undefined
  if (subject === STACK) {
    const command = program('gateway-process.ts', ['--netns', guest.name], plan.nodeOptions)
    return await host.start(command, { ready: /^ready$/m })
  }
  const other = await host.start(OTHERS[subject]!(guest))
  // They say in ways of their own that they are ready: the guest's default route says it for both.
  for (let i = 0; i < 500; i++) {
    if (guest.ip('route show default') !== '') return other
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`${subject} has not come up: ${other.output}`)
}
