/**
 * Node's http and net over a stack against the kernel: both ends in one process, over the loopback device of each; and
 * wrk against a server, over a TUN and over veth.
 */
import { spawnSync } from 'node:child_process'
import { type Namespace, Testbed } from '../test/integration/netns.ts'
import type { Benchmark, Plan } from './benchmark.ts'
import { type Figures, record } from './figure.ts'
import { program } from './responder.ts'

const STACK = 'tunstack'
const LOOPBACK = 'kernel, loopback'
const VETH = 'kernel, veth'

/** Connections of wrk. */
const CONNECTIONS = 64
/** Before it is measured. */
const WARM_REQUESTS = 20_000

export const http: Benchmark = {
  name: 'http',
  needsRoot: true,
  async run(figures, plan) {
    await inProcess(figures, plan)
    if (spawnSync('wrk', ['-v']).error !== undefined) {
      plan.progress('http: there is no wrk; what it measures is left out (apt-get install wrk)')
      return
    }
    await byWrk(figures, plan)
  },
}

async function inProcess(figures: Figures, plan: Plan): Promise<void> {
  const against = [{ subject: STACK, reference: LOOPBACK }]
  const define = (name: string, unit: string) => figures.define(name, unit, against)
  const rows = [
    { load: 'requests', key: 'perSecond', figure: define('HTTP in process, 32 connections', '/s') },
    {
      load: 'requests',
      key: 'cpu',
      figure: define('HTTP in process, 32 connections, CPU time', 'µs/request'),
    },
    { load: 'one', key: 'p50', figure: define('HTTP in process, one request at a time, median', 'µs') },
    { load: 'one', key: 'p99', figure: define('HTTP in process, one request at a time, p99', 'µs') },
    { load: 'stream', key: 'gigabits', figure: define('net in process, one stream', 'Gbit/s') },
    { load: 'stream', key: 'cpu', figure: define('net in process, one stream, CPU time', 'µs/MiB') },
  ]
  const seconds = plan.quick ? 0.2 : 2
  for (let round = 1; round <= plan.rounds; round++) {
    for (const load of ['requests', 'one', 'stream']) {
      for (const subject of [STACK, LOOPBACK]) {
        plan.progress(`http ${round}/${plan.rounds}: ${load}, ${subject}`)
        const args = [subject === STACK ? 'stack' : 'kernel', load, `${seconds}`]
        const [command, ...rest] = program('http-process.ts', args, subject === STACK ? plan.nodeOptions : [])
        const { stdout, stderr, status } = spawnSync(command!, rest, { encoding: 'utf8' })
        if (status !== 0) throw new Error(`${load}, ${subject}: ${stdout}${stderr}`)
        const values = JSON.parse(stdout) as Record<string, number>
        for (const row of rows) if (row.load === load) record(row.figure, subject, values[row.key]!)
      }
    }
  }
}

async function byWrk(figures: Figures, plan: Plan): Promise<void> {
  const against = [{ subject: STACK, reference: VETH }]
  const perSecond = figures.define(`HTTP by wrk, ${CONNECTIONS} connections`, '/s', against)
  const median = figures.define(`HTTP by wrk, ${CONNECTIONS} connections, median`, 'µs', against)
  const late = figures.define(`HTTP by wrk, ${CONNECTIONS} connections, p99`, 'µs', against)
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
      for (const subject of [STACK, VETH]) {
        plan.progress(`http ${round}/${plan.rounds}: wrk, ${subject}`)
        const isStack = subject === STACK
        const args = isStack ? ['tun1', '10.77.1.2/24'] : []
        const command = program('http-server.ts', args, isStack ? plan.nodeOptions : [])
        const server = await (isStack ? host : remote).start(command, { ready: /^ready$/m })
        const address = isStack ? '10.77.1.2' : '10.77.2.2'
        // So that everything is compiled, by what was done: a busy machine takes longer to get so far.
        for (let warm = 0, runs = 0; warm < (plan.quick ? 1 : WARM_REQUESTS) && runs < 30; runs++) {
          warm += (await wrk(host, address, 1)).perSecond
        }
        const measured = await wrk(host, address, plan.quick ? 1 : 4)
        record(perSecond, subject, measured.perSecond)
        record(median, subject, measured.p50)
        record(late, subject, measured.p99)
        await server.stop('SIGTERM')
      }
    }
  } finally {
    await bed.undo()
  }
}

async function wrk(host: Namespace, address: string, seconds: number) {
  const command = ['wrk', '-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '--latency', `http://${address}:8080/`]
  const { stdout, stderr } = await host.run(command)
  return parseWrk(stdout + stderr)
}

const MICROSECONDS: Readonly<Record<string, number>> = { us: 1, ms: 1e3, s: 1e6 }

/** Requests a second, and microseconds, of what wrk prints. @throws Error if some were not answered, or it is something else */
export function parseWrk(output: string): { perSecond: number; p50: number; p99: number } {
  const perSecond = Number(/^Requests\/sec:\s+([\d.]+)$/m.exec(output)?.[1])
  const at = (percent: number): number => {
    const [, value, unit] = new RegExp(`^\\s+${percent}%\\s+([\\d.]+)(us|ms|s) *$`, 'm').exec(output) ?? []
    return Number(value) * (MICROSECONDS[unit ?? ''] ?? Number.NaN)
  }
  const found = { perSecond, p50: at(50), p99: at(99) }
  if (Object.values(found).some(Number.isNaN) || /Socket errors|Non-2xx/.test(output)) {
    throw new Error(`wrk: ${output}`)
  }
  return found
}
