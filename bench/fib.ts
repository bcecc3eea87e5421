/** Longest-prefix match in a full table: the structure of lib/ and others, and a stack with such a table. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Benchmark, Plan } from './benchmark.ts'
import { CANDIDATES } from './fib/candidates.ts'
import type { Measured } from './fib/measure.ts'
import { run, type Figures as Samples, SMALL, type Small, STACK, save } from './fib/processes.ts'
import { internet } from './fib/tables.ts'
import { type Figure, type Figures, record } from './figure.ts'
import { program } from './responder.ts'

const PREFIXES = 1_000_000
const QUICK_PREFIXES = 5_000

const FIGURES: readonly (readonly [name: string, unit: string, key: keyof Measured])[] = [
  ['random lookups', 'million/s', 'byPrefix'],
  ['skewed lookups', 'million/s', 'skewed'],
  ['memory', 'bytes/prefix', 'bytes'],
  ['a prefix more', 'µs', 'insert'],
  ['a prefix less', 'µs', 'remove'],
  ['0/0 more or less', 'µs', 'default'],
  ['a /8 more or less', 'µs', 'slash8'],
]

export const fib: Benchmark = { name: 'fib', needsRoot: false, onlyIfAsked: true, run: measure }

async function measure(figures: Figures, plan: Plan): Promise<void> {
  const [, child] = program('fib/child.ts') as [string, string]
  const folder = mkdtempSync(join(tmpdir(), 'tunstack-fib-'))
  try {
    const count = plan.quick ? QUICK_PREFIXES : PREFIXES
    plan.progress('prefixes')
    measureAll(figures, plan, child, save(folder, 'internet', internet(count)), count)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function measureAll(figures: Figures, plan: Plan, child: string, file: string, count: number): void {
  const names = Object.keys(CANDIDATES)
  const [own, ...others] = names as [string, ...string[]]
  const against = others.map((reference) => ({ subject: own, reference }))
  const defined = FIGURES.map(([name, unit, key]): [Figure, keyof Measured] => [
    figures.define(`FIB of ${count.toLocaleString('en-US')} prefixes: ${name}`, unit, against),
    key,
  ])
  const tenRoutes = figures.define('ten routes in a stack', 'KiB')
  for (let round = 0; round < plan.rounds; round++) {
    for (const name of [...names, STACK]) {
      plan.progress(`FIB: ${name}`)
      const samples = run<Samples>(child, name, file)
      if (samples === undefined) throw new Error(`'${name}' took too long`)
      for (const [figure, key] of defined) record(figure, name, samples[key]!)
    }
    record(tenRoutes, 'tunstack', run<Small>(child, SMALL, file)!.tenRoutes)
  }
}
