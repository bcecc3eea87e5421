/**
 * `node --import tsx bench/fib/main.ts [--prefixes N] [--hard N] [--rounds N] [--only NAME]…`: compares ways of
 * longest-prefix match and prints two tables in Markdown. What is measured is compiled first, as for the npm
 * package (tsx makes code slower), and runs in a process of its own each time, the candidates in turn, round after
 * round.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { summarize } from '../statistics.ts'
import { CANDIDATES } from './candidates.ts'
import type { Measured } from './measure.ts'
import { type Figures, run, SMALL, type Small, STACK, save } from './processes.ts'
import { ADVERSARIAL, internet } from './tables.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const CACHE = join(ROOT, 'node_modules/.cache/tunstack-fib')
const CHILD = join(CACHE, 'bench/fib/child.js')

type Column = readonly [head: string, key: keyof Measured, digits: number]

const COLUMNS: readonly Column[] = [
  ['build s', 'build', 2],
  ['bytes/prefix', 'bytes', 1],
  ['random lookups, M/s', 'byPrefix', 1],
  ['random addresses, M/s', 'byAddress', 1],
  ['skewed (Zipf), M/s', 'skewed', 1],
  ['insert µs', 'insert', 2],
  ['delete µs', 'remove', 2],
  ['0/0 µs', 'default', 2],
  ['a /8 µs', 'slash8', 2],
  ['longest change, ms', 'longest', 1],
]
/** Of tables made to be hard, which are measured three times. */
const HARD_COLUMNS = COLUMNS.filter(([, key]) => key !== 'byAddress' && key !== 'longest')
const HARD_ROUNDS = 3

function compile(): void {
  mkdirSync(CACHE, { recursive: true })
  writeFileSync(join(CACHE, 'package.json'), '{ "type": "module" }\n')
  const args = ['node_modules/typescript/bin/tsc', '-p', 'bench/tsconfig.json', '--outDir', CACHE]
  const { status } = spawnSync(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 2, 2] })
  if (status !== 0) throw new Error('tsc failed')
}

function load(): string {
  return readFileSync('/proc/loadavg', 'utf8').split(' ')[0]!
}

/** A cell for each column, of what these processes measured. */
function cells(figures: readonly Figures[], columns: readonly Column[]): string[] {
  return columns.map(([, key, digits]) => {
    const samples = figures.map((one) => one[key]).filter((sample) => sample !== undefined)
    // Whatever else runs on the machine can only make it longer.
    return cell(key === 'longest' ? samples.sort((a, b) => a - b).slice(0, 1) : samples, digits)
  })
}

function cell(samples: readonly number[], digits: number): string {
  if (samples.length === 0) return 'too long'
  const { median, min, max } = summarize(samples)
  const text = (value: number): string =>
    value >= 1000 ? Math.round(value).toLocaleString('en-US') : value.toFixed(value >= 100 ? 0 : digits)
  return text(min) === text(max) ? text(median) : `${text(median)} [${text(min)}–${text(max)}]`
}

function table(head: readonly string[], lines: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

/** Every candidate in turn, round after round; every sample is told at once. */
function measured(
  what: string,
  names: readonly string[],
  rounds: number,
  file: string,
): Map<string, Figures[]> {
  const samples = new Map<string, Figures[]>(names.map((name) => [name, []]))
  for (let round = 1; round <= rounds; round++) {
    for (const name of names) {
      const sample = run<Figures>(CHILD, name, file) ?? {}
      process.stderr.write(`${what}, round ${round} of ${rounds}, ${name}: ${JSON.stringify(sample)}\n`)
      samples.get(name)!.push(sample)
    }
  }
  return samples
}

function main(): void {
  const { values } = parseArgs({
    options: {
      prefixes: { type: 'string', default: '1000000' },
      hard: { type: 'string', default: '100000' },
      rounds: { type: 'string', default: '5' },
      only: { type: 'string', multiple: true, default: [] },
    },
  })
  const count = Number(values.prefixes)
  const hardCount = Number(values.hard)
  const rounds = Number(values.rounds)
  const hardRounds = Math.min(HARD_ROUNDS, rounds)
  const wanted = (name: string): boolean => values.only.length === 0 || values.only.includes(name)
  const names = Object.keys(CANDIDATES).filter(wanted)
  compile()
  const before = load()
  const file = save(CACHE, 'internet', internet(count))
  const samples = measured('Internet', wanted(STACK) ? [...names, STACK] : names, rounds, file)
  console.log(`${cpus().length} × ${cpus()[0]?.model.trim()}; Linux ${release()}; Node ${process.version}`)
  console.log(`${count.toLocaleString('en-US')} prefixes; load before ${before}, after ${load()}`)
  console.log(`Medians of ${rounds} processes [smallest–largest], by processor time.\n`)
  const lines = [...samples].map(([name, figures]) => [name, ...cells(figures, COLUMNS)])
  console.log(table(['candidate', ...COLUMNS.map(([head]) => head)], lines))
  const small = run<Small>(CHILD, SMALL, file)
  if (small !== undefined) {
    const { stack, tenRoutes } = small
    console.log(`\nA new stack: ${stack.toFixed(1)} KiB. Ten routes more: ${tenRoutes.toFixed(2)} KiB.`)
  }
  const hard = Object.entries(ADVERSARIAL).flatMap(([kind, make]) => {
    const measurements = measured(kind, names, hardRounds, save(CACHE, kind, make(hardCount)))
    return [...measurements].map(([name, figures]) => [kind, name, ...cells(figures, HARD_COLUMNS)])
  })
  console.log(`\n${hardCount.toLocaleString('en-US')} made to be hard, medians of ${hardRounds}:\n`)
  console.log(table(['prefixes', 'candidate', ...HARD_COLUMNS.map(([head]) => head)], hard))
}

main()
