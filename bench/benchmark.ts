/** What a benchmark is to the command that runs it. */
import type { Figures } from './figure.ts'

export interface Plan {
  /** Rounds; in each every subject is measured once, one after the other. */
  rounds: number
  /** Sizes are a small fraction of what they should be. */
  quick: boolean
  /** Options of Node for tunstack behind a device: those of its profiler, if one is wanted. */
  readonly nodeOptions: readonly string[]
  /** Tells whoever waits what is going on. */
  progress(text: string): void
}

export interface Benchmark {
  readonly name: string
  /** Whether it makes namespaces and devices. */
  readonly needsRoot: boolean
  /** Whether it runs only when it is named: it takes minutes. */
  readonly onlyIfAsked?: boolean
  run(figures: Figures, plan: Plan): Promise<void>
}
