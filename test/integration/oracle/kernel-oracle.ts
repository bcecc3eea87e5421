/**
 * The kernel as one side of a comparison. Each setup gets a network namespace of its own: TUN devices are made by
 * the injector in a namespace where nothing happens, and moved; the injector keeps hold of them.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { execute } from '../harness/namespace.ts'
import { type Namespace, Testbed } from '../netns.ts'
import type { Request, Response } from './injector-protocol.ts'
import { BASE_SYSCTL, isCompared, moved, type Outcome, type Setup, type Step } from './scenario.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const INJECTOR = fileURLToPath(new URL('./injector.ts', import.meta.url))

export class KernelOracle {
  /** Why drop reasons are not known, if so. */
  noTrace: string | undefined
  readonly #staging = new Testbed()
  #bed: Testbed | null = null
  #injector: ChildProcess | null = null
  /** A process in the namespace, through which its files in /proc are read. */
  #pid = 0
  #host: Namespace | null = null
  #counters: Record<string, number> = {}
  #links: Record<string, number> = {}

  async start(): Promise<void> {
    const { prefix } = this.#staging.namespace('injector')
    const [file, ...args] = [...prefix, 'setpriv', '--pdeathsig', 'KILL']
    this.#injector = spawn(file!, [...args, process.execPath, '--import', 'tsx', INJECTOR], {
      cwd: ROOT,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
    })
    const first = await this.#response()
    this.noTrace = first.noTrace
  }

  /** Ends it and removes what it made. */
  async stop(): Promise<void> {
    const injector = this.#injector
    if (injector?.connected) {
      const ended = once(injector, 'exit')
      injector.disconnect()
      await ended
    }
    await this.#bed?.undo()
    await this.#staging.undo()
  }

  /** A fresh namespace as `setup` has it. */
  async configure(setup: Setup): Promise<void> {
    await this.#bed?.undo()
    await this.#ask({ do: 'close' })
    this.#bed = new Testbed()
    const host = this.#bed.namespace('oracle')
    this.#host = host
    const holder = await host.start(['sh', '-c', 'echo ready; exec sleep 600'], { ready: /ready/ })
    this.#pid = holder.pid
    const devices = Object.keys(setup.addresses).filter((name) => name !== 'lo')
    this.#sysctl(BASE_SYSCTL)
    await this.#ask({ do: 'open', devices })
    const staging = this.#staging.namespaces[0]!.name
    const move = devices.map((name) => `link set ${name} netns ${host.name}`)
    execute(['ip', '-n', staging, '-batch', '-'], `${move.join('\n')}\n`)
    const lines: string[] = []
    for (const [name, mtu] of Object.entries(setup.mtu ?? {})) lines.push(`link set ${name} mtu ${mtu}`)
    for (const [name, addresses] of Object.entries(setup.addresses)) {
      for (const address of addresses) {
        lines.push(`address add ${address} ${name === 'lo' ? '' : 'brd +'} dev ${name}`)
      }
    }
    for (const name of devices) lines.push(`link set ${name} up`)
    for (const nexthop of setup.nexthops ?? []) lines.push(`nexthop add ${nexthop}`)
    for (const route of setup.routes ?? []) lines.push(`route add ${route}`)
    execute(['ip', '-n', host.name, '-batch', '-'], `${lines.join('\n')}\n`)
    if (setup.sysctl !== undefined) this.#sysctl(setup.sysctl)
    this.#counters = this.#readCounters()
    this.#links = this.#readLinks()
  }

  async run(step: Step): Promise<Outcome> {
    const { received, drops, refused } = await this.#ask({
      do: 'send',
      packets: [...step.packets],
      wait: step.wait ?? 1,
    })
    const bad = refused!.findIndex((errno) => errno < 0)
    if (bad >= 0) throw new Error(`the TUN device refused packet ${bad} of '${step.title}': ${refused![bad]}`)
    const counters = this.#readCounters()
    const links = this.#readLinks()
    const outcome: Outcome = {
      sent: received!,
      counters: moved(this.#counters, counters),
      drops: drops === undefined ? null : drops.sort(),
      links: moved(this.#links, links),
      routes: (step.routeGet ?? []).map((destination) => this.#routeGet(destination)),
    }
    this.#counters = counters
    this.#links = links
    return outcome
  }

  /** Names of the counters that this kernel has. */
  get counterNames(): ReadonlySet<string> {
    return new Set(Object.keys(this.#counters))
  }

  #sysctl(settings: Record<string, number>): void {
    const script = Object.entries(settings)
      .map(([name, value]) => `echo ${value} > /proc/sys/net/ipv4/${name.replaceAll('.', '/')}`)
      .join('\n')
    execute([...this.#host!.prefix, 'sh', '-e'], script)
  }

  #routeGet(destination: string): string {
    const text = this.#host!.ip(`route get ${destination}`)
    const via = / via (\S+)/.exec(text)?.[1] ?? '-'
    const mtu = / mtu (lock )?(\d+)/.exec(text)
    return `${destination} via ${via} mtu ${mtu === null ? '-' : mtu[2]}`
  }

  #readCounters(): Record<string, number> {
    const counters: Record<string, number> = {}
    for (const file of ['snmp', 'netstat']) {
      const lines = readFileSync(`/proc/${this.#pid}/net/${file}`, 'latin1').trimEnd().split('\n')
      for (let i = 0; i + 1 < lines.length; i += 2) {
        const [prefix, ...names] = lines[i]!.split(' ')
        const values = lines[i + 1]!.split(' ').slice(1)
        names.forEach((name, column) => {
          const full = prefix!.slice(0, -1) + name
          if (isCompared(full)) counters[full] = Number(values[column])
        })
      }
    }
    return counters
  }

  #readLinks(): Record<string, number> {
    const links: Record<string, number> = {}
    for (const line of readFileSync(`/proc/${this.#pid}/net/dev`, 'latin1').split('\n').slice(2, -1)) {
      const [name, ...values] = line.trim().split(/[:\s]+/)
      links[`${name} rx bytes`] = Number(values[0])
      links[`${name} rx packets`] = Number(values[1])
      links[`${name} tx bytes`] = Number(values[8])
      links[`${name} tx packets`] = Number(values[9])
      links[`${name} dropped`] = Number(values[3]) + Number(values[11])
    }
    return links
  }

  async #ask(request: Request): Promise<Response> {
    this.#injector!.send(request)
    return await this.#response()
  }

  async #response(): Promise<Response> {
    const injector = this.#injector!
    const abort = new AbortController()
    const answer = await Promise.race([
      once(injector, 'message', { signal: abort.signal }).then(([message]) => message as Response),
      once(injector, 'exit', { signal: abort.signal }).then(([status]): Response => {
        return { error: `the injector ended with status ${status}` }
      }),
    ])
    abort.abort()
    if (answer.error !== undefined) throw new Error(answer.error)
    return answer
  }
}
