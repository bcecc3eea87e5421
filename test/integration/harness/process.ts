/**
 * A program that a test has started: its output as it comes, its end, and how to end it. Each runs in a process
 * group of its own, is killed by its process id alone, and dies with the test run even if that is killed.
 */
import { type ChildProcess, spawn } from 'node:child_process'

/** How a program ended. */
export interface Result {
  /** Exit status, or `null` if a signal ended it. */
  status: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface ProcessOptions {
  env?: Record<string, string>
  cwd?: string
  /** Written to its standard input, which is then closed. Without it the input stays open for {@link Process.write}. */
  input?: string
}

/** Characters of output that are kept of each stream; older ones go. */
const OUTPUT_LIMIT = 8 << 20

const running = new Set<Process>()

/** A command as words, or as one line that is split at spaces (there is no quoting: use words for that). */
export type Command = string | readonly string[]

export const words = (command: Command): string[] =>
  typeof command === 'string' ? command.trim().split(/\s+/) : [...command]

export class Process {
  readonly command: string
  readonly pid: number
  stdout = ''
  stderr = ''
  /** Settles when it has ended and all of its output has been read. */
  readonly ended: Promise<Result>
  #result: Result | undefined
  readonly #child: ChildProcess
  readonly #watchers = new Set<() => void>()

  /** @param prefix words put before the command: what carries it into a namespace */
  constructor(command: Command, { env, cwd, input }: ProcessOptions = {}, prefix: readonly string[] = []) {
    this.command = words(command).join(' ')
    // PR_SET_PDEATHSIG: whatever ends the test run, its programs don't outlive it
    const [file, ...args] = [...prefix, 'setpriv', '--pdeathsig', 'KILL', ...words(command)]
    this.#child = spawn(file!, args, { detached: true, cwd, env: { ...process.env, ...env } })
    const { stdin, stdout, stderr } = this.#child
    if (this.#child.pid === undefined) throw new Error(`cannot start '${this.command}'`)
    this.pid = this.#child.pid
    running.add(this)

    stdin!.on('error', () => {}) // it ended without reading what it was given
    if (input !== undefined) stdin!.end(input)
    stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout = (this.stdout + text).slice(-OUTPUT_LIMIT)
      this.#tell()
    })
    stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr = (this.stderr + text).slice(-OUTPUT_LIMIT)
      this.#tell()
    })
    this.ended = new Promise((resolve) => {
      this.#child.on('close', (status, signal) => {
        running.delete(this)
        this.#result = { status, signal, stdout: this.stdout, stderr: this.stderr }
        this.#tell()
        resolve(this.#result)
      })
    })
  }

  get alive(): boolean {
    return this.#result === undefined
  }

  /** What it has written on both streams. */
  get output(): string {
    return this.stdout + this.stderr
  }

  /**
   * Waits until one of its two streams matches.
   * @param timeout ms
   * @throws Error with its output if it ends first or takes too long
   */
  waitFor(pattern: RegExp, timeout = 15_000): Promise<RegExpMatchArray> {
    return new Promise((resolve, reject) => {
      const fail = (what: string): void => {
        stop()
        reject(new Error(`'${this.command}' ${what} before it wrote ${pattern}; it wrote:\n${this.output}`))
      }
      const look = (): void => {
        const match = this.stdout.match(pattern) ?? this.stderr.match(pattern)
        if (match !== null) {
          stop()
          resolve(match)
        } else if (this.#result !== undefined) {
          fail(`ended (${this.#result.signal ?? `exit status ${this.#result.status}`})`)
        }
      }
      const timer = setTimeout(() => fail(`took more than ${timeout} ms`), timeout)
      const stop = (): void => {
        clearTimeout(timer)
        this.#watchers.delete(look)
      }
      this.#watchers.add(look)
      look()
    })
  }

  /** Writes to its standard input. */
  write(data: string | Uint8Array): void {
    this.#child.stdin!.write(data)
  }

  /** Sends a signal to it and to what it started; nothing if it has ended. */
  kill(signal: NodeJS.Signals): void {
    if (this.#result !== undefined) return
    try {
      process.kill(-this.pid, signal)
    } catch {} // it has ended, its output has not been read yet
  }

  /** Asks it to end, insists after `grace` ms, and gives how it ended. Fine if it has ended already. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', grace = 3000): Promise<Result> {
    this.kill(signal)
    const timer = setTimeout(() => this.kill('SIGKILL'), grace)
    const result = await this.ended
    clearTimeout(timer)
    return result
  }

  /**
   * Waits for its end.
   * @param timeout ms, after which it is killed
   * @throws Error with its output if it took longer
   */
  async finish(timeout: number): Promise<Result> {
    let late = false
    const timer = setTimeout(() => {
      late = true
      this.kill('SIGKILL')
    }, timeout)
    const result = await this.ended
    clearTimeout(timer)
    if (late) throw new Error(`'${this.command}' did not end within ${timeout} ms; it wrote:\n${this.output}`)
    return result
  }

  #tell(): void {
    for (const watcher of [...this.#watchers]) watcher()
  }
}

/** Ends whatever still runs, at once; for the end of the test run. */
export function killAll(): void {
  for (const process of running) process.kill('SIGKILL')
}
