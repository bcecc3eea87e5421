/**
 * One network namespace of the kernel, as a test sees it: a host with devices, addresses, routes and sysctls,
 * in which programs run. Made and removed by the testbed (test/integration/netns.ts).
 */
import { execFileSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Capture } from './capture.ts'
import { type Command, Process, type ProcessOptions, type Result, words } from './process.ts'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..')

export interface TunOptions {
  /** `10.9.0.1/24`; several in a list. */
  address?: string | readonly string[]
  mtu?: number
  /** Who may attach to it without root; a user name or number. */
  user?: string
  /** Attach with `IFF_VNET_HDR`. */
  vnetHeader?: boolean
  /** True unless said otherwise. */
  up?: boolean
}

export interface StartOptions extends ProcessOptions {
  /** What it writes when it is ready; by default {@link Namespace.start} does not wait. */
  ready?: RegExp
  /** ms until it must be ready; 15 s by default. */
  timeout?: number
}

export interface RunOptions extends ProcessOptions {
  /** ms until it is killed and the call fails; 20 s by default. */
  timeout?: number
}

/** Runs a program to its end, synchronously. @throws Error with what it wrote */
export function execute(command: readonly string[], input = ''): string {
  const [file, ...args] = command
  try {
    return execFileSync(file!, args, { encoding: 'utf8', input, stdio: 'pipe', timeout: 15_000 })
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string }
    throw new Error(`'${command.join(' ')}' failed: ${stderr?.trim() || message}`)
  }
}

export class Namespace {
  /** As `ip netns` knows it. */
  readonly name: string
  readonly processes: Process[] = []
  readonly captures: Capture[] = []

  /** @internal made by the testbed */
  constructor(name: string) {
    this.name = name
    execute(['ip', 'netns', 'add', name])
    try {
      for (const which of ['all', 'default']) this.sysctl(`net.ipv6.conf.${which}.disable_ipv6`, 1)
    } catch {} // a kernel without IPv6
    this.ip('link set lo up')
  }

  /** What goes before a command so that it runs in here. */
  get prefix(): string[] {
    return ['ip', 'netns', 'exec', this.name]
  }

  /** `ip` in here: `ip('route add default via 10.0.0.1')`. Gives what it printed. @throws Error */
  ip(command: Command): string {
    return execute(['ip', '-n', this.name, ...words(command)])
  }

  /** Makes a TUN device that persists while no program holds it. */
  addTun(name: string, { address = [], mtu, user, vnetHeader, up = true }: TunOptions = {}): void {
    const owner = user === undefined ? [] : ['user', user]
    this.ip(['tuntap', 'add', 'mode', 'tun', ...owner, ...(vnetHeader ? ['vnet_hdr'] : []), 'name', name])
    if (mtu !== undefined) this.ip(`link set ${name} mtu ${mtu}`)
    for (const one of typeof address === 'string' ? [address] : address)
      this.ip(`addr add ${one} dev ${name}`)
    if (up) this.ip(`link set ${name} up`)
  }

  /** Runs a program to its end and gives how that was; an exit status other than 0 is no error here. */
  async run(command: Command, { timeout = 20_000, ...options }: RunOptions = {}): Promise<Result> {
    const process = new Process(command, { input: '', ...options }, this.prefix)
    this.processes.push(process)
    return await process.finish(timeout)
  }

  /** Starts a program that goes on, and waits until it says that it is ready. */
  async start(command: Command, { ready, timeout, ...options }: StartOptions = {}): Promise<Process> {
    const process = new Process(command, options, this.prefix)
    this.processes.push(process)
    if (ready !== undefined) await process.waitFor(ready, timeout)
    return process
  }

  /** Starts a TypeScript program of this repository (`file` from its root) with the Node that runs the tests. */
  startScript(file: string, args: readonly string[] = [], options: StartOptions = {}): Promise<Process> {
    return this.start([process.execPath, '--import', 'tsx', file, ...args], { cwd: ROOT, ...options })
  }

  /** Begins to capture what crosses a device. @param filter as tcpdump takes it: `'icmp'` */
  async capture(device: string, filter = ''): Promise<Capture> {
    const capture = new Capture(device, filter, this.prefix)
    this.captures.push(capture)
    await capture.ready()
    return capture
  }

  /**
   * Reads a sysctl, or sets it. A dot within a device's name is written as a slash, as sysctl(8) has it:
   * `net.ipv4.conf.eth0/100.rp_filter`.
   */
  sysctl(name: string, value?: string | number): string {
    const path = `/proc/sys/${name.replace(/[./]/g, (mark) => (mark === '.' ? '/' : '.'))}`
    if (value !== undefined) execute([...this.prefix, 'tee', path], `${value}`)
    return this.read(path)
  }

  /** A file as a program in here sees it, without white space at its ends: `read('/proc/net/snmp')`. */
  read(path: string): string {
    return execute([...this.prefix, 'cat', path]).trim()
  }

  /** The kernel's counters since the namespace was made, by their nstat names; those at zero too. */
  nstat(): Record<string, number> {
    const text = execute([...this.prefix, 'nstat', '--ignore', '--zeros', '--noupdate', '--json'])
    return (JSON.parse(text) as { kernel: Record<string, number> }).kernel
  }

  /** Ends its programs and captures, then removes it. */
  async remove(): Promise<void> {
    await Promise.all([
      ...this.captures.map((one) => one.close()),
      ...this.processes.map((one) => one.stop()),
    ])
    execute(['ip', 'netns', 'del', this.name])
  }
}
