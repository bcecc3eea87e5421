/**
 * Where the comparison is made: two namespaces, `left` and `right`, joined by a relay that holds a TUN device of each
 * and impairs what it carries; behind each namespace's kernel, which forwards, a stack with a TUN of its own. So a
 * flow goes from the kernel's or the stack's TCP on the left to either on the right, always over the same path.
 */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import type { Namespace, Process, Testbed } from '../../test/integration/netns.ts'
import type { End, Received, Sent } from './flow.ts'
import type { PathOrder, RelayReport } from './relay.ts'

export interface FlowOptions {
  from: End
  to: End
  seconds: number
  congestion?: string
  /** Watches the sender: events of the stack, `TCP_INFO` of the kernel every 5 ms. */
  traced?: boolean
}

export interface FlowResult {
  received: Received
  sent: Sent
}

/** Seconds for which received bytes are summed up. */
export const SLOT = 0.1

const LEFT = { kernel: '10.0.0.1', stack: '10.1.0.2', gateway: '10.1.0.1', net: '10.1.0.0/24' }
const RIGHT = { kernel: '10.0.0.2', stack: '10.2.0.2', gateway: '10.2.0.1', net: '10.2.0.0/24' }

/** As Linux has them since 6.18, but for what one connection would leave to the next. */
const SETTINGS: Readonly<Record<string, string | number>> = {
  'net.ipv4.ip_forward': 1,
  'net.ipv4.tcp_no_metrics_save': 1,
}

/** More than a run may take beyond its seconds, in ms. */
const GRACE = 15_000

const PROGRAMS = 'bench/compare'

/** Compiles the kernel's end into a folder, and gives its path. */
export function compileFlow(folder: string): string {
  const program = join(folder, 'tcp-flow')
  execFileSync('cc', ['-O2', '-Wall', '-o', program, join(import.meta.dirname, '../native/tcp-flow.c')])
  return program
}

export class Rig {
  readonly left: Namespace
  readonly right: Namespace
  readonly #relay: Process
  readonly #stacks: Readonly<Record<'left' | 'right', Process>>
  /** The compiled bench/native/tcp-flow.c. */
  readonly #tcpFlow: string
  #orders = 0
  #port = 5000

  private constructor(
    left: Namespace,
    right: Namespace,
    relay: Process,
    stacks: Record<'left' | 'right', Process>,
    tcpFlow: string,
  ) {
    this.left = left
    this.right = right
    this.#relay = relay
    this.#stacks = stacks
    this.#tcpFlow = tcpFlow
  }

  /** @param tcpFlow the compiled bench/native/tcp-flow.c */
  static async open(bed: Testbed, tcpFlow: string): Promise<Rig> {
    const [between, left, right] = [bed.namespace('relay'), bed.namespace('left'), bed.namespace('right')]
    // The relay opens its devices where it runs; then they move, and it keeps their other ends.
    const relay = await between.startScript(`${PROGRAMS}/relay.ts`, ['to-left', 'to-right'], {
      ready: /^ready$/m,
    })
    const side = async (
      here: Namespace,
      own: typeof LEFT,
      other: typeof LEFT,
      device: string,
    ): Promise<Process> => {
      for (const [setting, value] of Object.entries(SETTINGS)) here.sysctl(setting, value)
      between.ip(`link set ${device} netns ${here.name}`)
      here.ip(`link set ${device} txqueuelen 5000`)
      here.ip(`addr add ${own.kernel}/24 dev ${device}`)
      here.ip(`link set ${device} up`)
      here.ip(`route add ${other.net} dev ${device}`)
      here.addTun('tun0', { address: `${own.gateway}/24`, vnetHeader: true })
      const args = ['tun0', `${own.stack}/24`, own.gateway]
      return here.startScript(`${PROGRAMS}/stack-end.ts`, args, { ready: /^ready$/m })
    }
    const [onLeft, onRight] = await Promise.all([
      side(left, LEFT, RIGHT, 'to-left'),
      side(right, RIGHT, LEFT, 'to-right'),
    ])
    return new Rig(left, right, relay, { left: onLeft, right: onRight }, tcpFlow)
  }

  /** Where an end on the right has its address. */
  address(end: End): string {
    return RIGHT[end]
  }

  /** Lays a new path between the two sides; nothing of the one before is left. */
  async lay(path: PathOrder): Promise<void> {
    await this.#order(this.#relay, { lay: path }, 'laid', GRACE)
  }

  /** What the path has done since it was laid. */
  report(): Promise<RelayReport> {
    return this.#order<RelayReport>(this.#relay, {}, 'report', GRACE)
  }

  /**
   * Sends as much as can be for some seconds, from left to right.
   * @throws Error if a byte is not what it should be, or an end fails
   */
  async flow(options: FlowOptions): Promise<FlowResult> {
    const port = ++this.#port
    const { received } = await this.#receive(port, options)
    const sent = this.#send(port, options)
    const result = { received: await received, sent: await sent }
    this.#forgetEnded()
    return result
  }

  /** Resolves when the receiver listens. */
  async #receive(port: number, { to, seconds }: FlowOptions): Promise<{ received: Promise<Received> }> {
    const timeout = seconds * 1000 + GRACE
    if (to === 'stack') {
      const stack = this.#stacks.right
      const received = this.#order<Received>(
        stack,
        { receive: { port, seconds, slot: SLOT } },
        'received',
        timeout,
      )
      await stack.waitFor(new RegExp(`^{"listening":${port}}$`, 'm'))
      return { received }
    }
    const args = [this.#tcpFlow, 'receive', `${port}`, `${seconds}`, `${SLOT}`]
    const process = await this.right.start(args, { ready: /^ready$/m })
    return { received: finished<Received>(process, timeout) }
  }

  async #send(port: number, { from, to, seconds, congestion, traced }: FlowOptions): Promise<Sent> {
    const address = RIGHT[to]
    const timeout = seconds * 1000 + GRACE
    if (from === 'stack') {
      const send = { address, port, congestion: congestion ?? 'cubic', traced: traced ?? false }
      return this.#order<Sent>(this.#stacks.left, { send }, 'sent', timeout)
    }
    const args = [
      this.#tcpFlow,
      'send',
      address,
      `${port}`,
      `${seconds + 5}`,
      traced === true ? '0.005' : '0',
    ]
    return finished<Sent>(await this.left.start(args), timeout)
  }

  /** Tells a program what to do, and gives what it answers under `name`. */
  async #order<T>(program: Process, order: object, name: string, timeout: number): Promise<T> {
    const id = ++this.#orders
    program.write(`${JSON.stringify({ id, ...order })}\n`)
    const line = await program.waitFor(new RegExp(`^{"id":${id},"${name}":(.*)}$`, 'm'), timeout)
    program.stdout = program.stdout.replace(line[0], '')
    return JSON.parse(line[1]!) as T
  }

  /** A long comparison makes thousands of processes. */
  #forgetEnded(): void {
    for (const { processes } of [this.left, this.right]) {
      for (let i = processes.length - 1; i >= 0; i--) if (!processes[i]!.alive) processes.splice(i, 1)
    }
  }
}

async function finished<T>(process: Process, timeout: number): Promise<T> {
  const { status, stdout, stderr } = await process.finish(timeout)
  if (status !== 0) throw new Error(`'${process.command}' failed: ${stderr}`)
  return JSON.parse(stdout.replace(/^ready\n/, '')) as T
}
