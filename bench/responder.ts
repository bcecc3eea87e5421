/** A program under measurement, in a namespace: started, asked for its figures, ended. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Namespace, Process } from '../test/integration/netns.ts'
import type { ResponderStats } from './responder-report.ts'

/** This folder, compiled. */
const HERE = fileURLToPath(new URL('.', import.meta.url))

/** The command line of a program of this folder: `js-responder.ts`, or `echo.c`. */
export function program(
  file: string,
  args: readonly string[] = [],
  nodeOptions: readonly string[] = [],
): string[] {
  if (file.endsWith('.c')) return [join(HERE, 'native', file.slice(0, -2)), ...args]
  return [process.execPath, ...nodeOptions, join(HERE, file.replace(/\.ts$/, '.js')), ...args]
}

export class Responder {
  readonly process: Process
  #asked = 0

  private constructor(process: Process) {
    this.process = process
  }

  static async start(namespace: Namespace, command: readonly string[]): Promise<Responder> {
    return new Responder(await namespace.start(command, { ready: /^ready$/m }))
  }

  async stats(): Promise<ResponderStats> {
    this.process.kill('SIGUSR2')
    const line = await this.process.waitFor(new RegExp(`^stats ${++this.#asked} (.*)$`, 'm'))
    return JSON.parse(line[1]!) as ResponderStats
  }

  async stop(): Promise<void> {
    const { status, signal } = await this.process.stop()
    if (status !== 0)
      throw new Error(`'${this.process.command}' ended with ${signal ?? status}:\n${this.process.output}`)
  }
}

/** What came between two reports. */
export function between(before: ResponderStats, after: ResponderStats): ResponderStats {
  return {
    packets: after.packets - before.packets,
    reads: after.reads - before.reads,
    cpu: after.cpu - before.cpu,
    lost: after.lost - before.lost,
    heap: (after.heap ?? 0) - (before.heap ?? 0),
    bytes: (after.bytes ?? 0) - (before.bytes ?? 0),
    lateness: after.lateness ?? 0,
  }
}
