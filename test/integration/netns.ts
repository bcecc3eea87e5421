/**
 * The testbed of the integration tests: network namespaces of the kernel, joined by veth pairs, with TUN
 * devices and programs in them. Whatever a test makes is undone after it, when it fails, when the run is
 * interrupted, and, if the run was killed, by the next one.
 *
 *     const bed = useTestbed()
 *     it('answers', async () => {
 *       const host = bed.namespace('host')
 *       host.addTun('tun0', { address: '10.9.0.1/24' })
 *       await host.startScript('test/integration/programs/echo.ts', [], { ready: /ready/ })
 *       expect(parsePing((await host.run('ping -c 3 10.9.0.2')).stdout).received).to.equal(3)
 *     })
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { execute, Namespace } from './harness/namespace.ts'
import { killAll } from './harness/process.ts'

export { Capture } from './harness/capture.ts'
export { Namespace, type RunOptions, type StartOptions, type TunOptions } from './harness/namespace.ts'
export { type PingSummary, parsePing } from './harness/ping-summary.ts'
export { type Command, Process, type Result } from './harness/process.ts'

/** One end of a veth pair. */
export interface VethEnd {
  namespace: Namespace
  device: string
  /** `10.0.0.1/24`; the device comes up either way. */
  address?: string
  mtu?: number
}

const made = new Set<Namespace>()
let count = 0

/** Removes the namespaces of test runs that are over, which can only be there if one was killed. */
export function removeStaleNamespaces(): string[] {
  const names = existsSync('/run/netns') ? readdirSync('/run/netns') : []
  const stale = names.filter((name) => {
    const pid = /^tunstack-(\d+)-/.exec(name)?.[1]
    return pid !== undefined && !existsSync(`/proc/${pid}`)
  })
  for (const name of stale) spawnSync('ip', ['netns', 'del', name])
  return stale
}

/** For the end of the process: nothing asynchronous happens any more. */
function removeAllNow(): void {
  killAll()
  for (const { name } of made) spawnSync('ip', ['netns', 'del', name])
  made.clear()
}

let prepared = false

function prepare(): void {
  if (prepared) return
  prepared = true
  removeStaleNamespaces()
  process.on('exit', removeAllNow)
  for (const [signal, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
    ['SIGHUP', 1],
  ] as const) {
    process.once(signal, () => process.exit(128 + number))
  }
}

/** What one test has made; see {@link useTestbed}. */
export class Testbed {
  readonly namespaces: Namespace[] = []

  /** A new network namespace: loopback up, no IPv6. @param label part of its name, for whoever looks */
  namespace(label: string): Namespace {
    prepare()
    const namespace = new Namespace(`tunstack-${process.pid}-${++count}-${label}`)
    made.add(namespace)
    this.namespaces.push(namespace)
    return namespace
  }

  /** Joins two namespaces by a pair of Ethernet devices. */
  veth(a: VethEnd, b: VethEnd): void {
    const end = ({ namespace, device }: VethEnd): string[] => ['name', device, 'netns', namespace.name]
    execute(['ip', 'link', 'add', ...end(a), 'type', 'veth', 'peer', ...end(b)])
    for (const { namespace, device, address, mtu } of [a, b]) {
      if (mtu !== undefined) namespace.ip(`link set ${device} mtu ${mtu}`)
      if (address !== undefined) namespace.ip(`addr add ${address} dev ${device}`)
      namespace.ip(`link set ${device} up`)
    }
  }

  /** What the programs wrote; printed when a test fails. */
  report(): string {
    return this.namespaces
      .flatMap(({ name, processes }) => processes.map((one) => ({ name, one })))
      .map(({ name, one }) => `--- ${name}: ${one.command}\n${one.output.slice(-4000)}`)
      .join('\n')
  }

  /** Ends every program and removes every namespace. */
  async undo(): Promise<void> {
    const namespaces = this.namespaces.splice(0)
    const results = await Promise.allSettled(namespaces.map((namespace) => namespace.remove()))
    for (const [i, result] of results.entries()) {
      if (result.status === 'rejected') throw result.reason
      made.delete(namespaces[i]!)
    }
  }
}

/**
 * A testbed for the tests of a `describe`, emptied after each of them, or after the last if `lasting` (for
 * what a `before` makes and several tests use).
 */
export function useTestbed({ lasting = false } = {}): Testbed {
  const bed = new Testbed()
  afterEach(async function () {
    if (this.currentTest?.state === 'failed') console.log(bed.report())
    if (!lasting) await bed.undo()
  })
  if (lasting) after(() => bed.undo())
  return bed
}
