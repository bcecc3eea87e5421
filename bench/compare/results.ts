/** What was measured, as it is kept in `results/`: one file for each part, one line for each run. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { join } from 'node:path'
import type { Cell, Sharing } from './experiments.ts'
import type { End } from './flow.ts'

/** One flow over a cell's path. */
export interface Run extends Cell {
  from: End
  to: End
  seed: number
  seconds: number
  bytes: number
  /** Segments that were sent again, of the sender's `TCP_INFO`. */
  retransmitted: number
  /** Packets that the path lost, and that its queue dropped. */
  lost: number
  dropped: number
}

/** Two flows that share a path. */
export interface SharedRun extends Sharing {
  seed: number
  /** For each flow: bytes in each half of a second, from the start of the first. */
  slots: [number[], number[]]
}

/** How one sender went, in segments: columns of time in seconds, congestion window, and what is on its way. */
export interface Trace extends Cell {
  from: End
  seed: number
  bytes: number
  points: [seconds: number, cwnd: number, inFlight: number][]
}

/** The conditions of a part. */
export interface Conditions {
  kernel: string
  node: string
  cores: number
  cpu: string
  /** Measured by ping over a path of 50 ms, in ms: least, mean, greatest. */
  roundTrips: Record<End, [number, number, number]>
  /** How late the relay's timers were, in µs, over all runs: the mean, and the median of the worst of each run. */
  lateness: { mean: number; worst: number }
}

export interface Results<T> {
  conditions: Conditions
  runs: T[]
}

export type Part = 'grid' | 'close' | 'sharing' | 'trace'

export const FOLDER = join(import.meta.dirname, 'results')

export function machine(): Pick<Conditions, 'kernel' | 'node' | 'cores' | 'cpu'> {
  const processors = cpus()
  return {
    kernel: release().replace(/-.*/, ''),
    node: process.version,
    cores: processors.length,
    cpu: processors[0]?.model.trim() ?? '',
  }
}

export function writeResults<T>(part: Part, { conditions, runs }: Results<T>, folder = FOLDER): void {
  const lines = runs.map((run) => `    ${JSON.stringify(run)}`)
  mkdirSync(folder, { recursive: true })
  writeFileSync(
    join(folder, `${part}.json`),
    `{\n  "conditions": ${JSON.stringify(conditions)},\n  "runs": [\n${lines.join(',\n')}\n  ]\n}\n`,
  )
}

export function readResults<T>(part: Part, folder = FOLDER): Results<T> {
  return JSON.parse(readFileSync(join(folder, `${part}.json`), 'utf8')) as Results<T>
}
