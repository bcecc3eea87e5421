/**
 * Programs that the demonstration runs. Each dies with this process, however it ends (`PR_SET_PDEATHSIG`), so
 * that an interrupt or a kill leaves nothing behind; and the namespaces, which have no names, go with them.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

export interface Outcome {
  /** `null` if a signal ended it. */
  status: number | null
  stdout: string
  stderr: string
}

const running = new Set<ChildProcess>()

/** Ends at once all that still runs. */
export function killPrograms(): void {
  for (const child of running) child.kill('SIGKILL')
}

/** A program that goes on, and what it has written. */
export class Program {
  stdout = ''
  stderr = ''
  readonly ended: Promise<Outcome>
  readonly #child: ChildProcess
  #onOutput: () => void = () => {}

  constructor(command: readonly string[]) {
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...command], {
      cwd: ROOT,
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    this.#child = child
    running.add(child)
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
      this.#onOutput()
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text))
    this.ended = new Promise((resolve) => {
      child.on('error', (error) => (this.stderr += error.message))
      child.on('close', (status) => {
        running.delete(child)
        resolve({ status, stdout: this.stdout, stderr: this.stderr })
        this.#onOutput()
      })
    })
  }

  get pid(): number {
    return this.#child.pid!
  }

  /** Waits until its standard output matches. @param timeout ms @throws Error with what it wrote */
  async waitFor(pattern: RegExp, timeout: number): Promise<void> {
    let late = false
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        late = true
        resolve()
      }, timeout)
      this.#onOutput = () => {
        if (!pattern.test(this.stdout) && running.has(this.#child)) return
        clearTimeout(timer)
        resolve()
      }
      this.#onOutput()
    })
    if (pattern.test(this.stdout)) return
    this.#child.kill('SIGKILL')
    const what = late ? `did not get ready within ${timeout} ms` : 'ended'
    throw new Error(`${this.#child.spawnargs.slice(3).join(' ')}: ${what}\n${this.stdout}${this.stderr}`)
  }

  /** Asks it to end, and insists after 3 s. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<Outcome> {
    this.#child.kill(signal)
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 3000)
    const outcome = await this.ended
    clearTimeout(timer)
    return outcome
  }
}

/** A network namespace of the kernel, as a host in which commands run. */
export class Kernel {
  readonly #prefix: readonly string[]
  readonly #holder: Program | null

  private constructor(prefix: readonly string[], holder: Program | null) {
    this.#prefix = prefix
    this.#holder = holder
    // Autoconfiguration of IPv6 would only add packets that nobody asked for. Some containers don't allow it.
    for (const which of ['all', 'default']) this.run(`tee /proc/sys/net/ipv6/conf/${which}/disable_ipv6`, '1')
    this.run('ip link set lo up')
  }

  /** The namespace that this process is in. @throws Error if it is in use: what is done here is not for that */
  static here(): Kernel {
    const { stdout } = spawnSync('ip', ['-j', 'link', 'show'], { encoding: 'utf8' })
    const names = (JSON.parse(stdout || '[]') as { ifname: string }[]).map(({ ifname }) => ifname)
    if (names.join() !== 'lo') {
      throw new Error(
        `this network namespace has ${names.join(', ')}: start the demonstration with 'npm run demo'`,
      )
    }
    return new Kernel([], null)
  }

  /** A new one, without a name: it is there while a process is in it. */
  static async another(): Promise<Kernel> {
    const holder = new Program(['unshare', '--net', 'sh', '-c', 'echo ready; exec cat'])
    await holder.waitFor(/ready/, 5000)
    return new Kernel(['nsenter', `--net=/proc/${holder.pid}/ns/net`], holder)
  }

  /** Runs a short command to its end. */
  run(command: string, input = ''): Outcome {
    const [file, ...words] = [...this.#prefix, ...command.split(' ')]
    const { status, stdout, stderr, error } = spawnSync(file!, words, {
      encoding: 'utf8',
      input,
      timeout: 10_000,
    })
    return { status, stdout: stdout ?? '', stderr: error === undefined ? stderr : error.message }
  }

  /** As {@link run}. @throws Error if it fails */
  must(command: string): string {
    const { status, stdout, stderr } = this.run(command)
    if (status !== 0) throw new Error(`'${command}' failed: ${stderr.trim()}`)
    return stdout
  }

  /** Runs a command that takes its time, such as `ping`. */
  async watch(command: string): Promise<Outcome> {
    return new Program([...this.#prefix, ...command.split(' ')]).ended
  }

  /** Counters by the names of `nstat`. */
  counters(): Record<string, number> {
    const text = this.must('nstat --ignore --zeros --noupdate --json')
    return (JSON.parse(text) as { kernel: Record<string, number> }).kernel
  }

  /** Packets that a device counts, as `ip -s link` shows them. */
  packets(device: string): { rx: number; tx: number } {
    const [link] = JSON.parse(this.must(`ip -s -j link show dev ${device}`)) as [
      { stats64: { rx: { packets: number }; tx: { packets: number } } },
    ]
    return { rx: link.stats64.rx.packets, tx: link.stats64.tx.packets }
  }

  async close(): Promise<void> {
    await this.#holder?.end('SIGKILL')
  }
}

/** The counts of `ping`'s summary. @throws Error with the text if it has none */
export function pingCounts(text: string): { sent: number; received: number; loss: number } {
  const match = /^(\d+) packets transmitted, (\d+) received.*?, ([\d.]+)% packet loss/m.exec(text)
  if (match === null) throw new Error(`ping printed no summary:\n${text}`)
  return { sent: Number(match[1]), received: Number(match[2]), loss: Number(match[3]) }
}

/** The lines of `ping`'s summary. */
export function pingSummary(text: string): string {
  return text.slice(text.indexOf('---')).trim()
}
