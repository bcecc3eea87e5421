/**
 * `node --import tsx bench/fib/main.ts [--prefixes N] [--rounds N] [--only NAME]…`: compares ways of longest-prefix
 * match and prints one table in Markdown. What is measured is bundled first (tsx makes code slower) and runs in a
 * process of its own each time, the candidates in turn, round after round.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { buildSync } from 'esbuild'
import { summarize } from '../statistics.ts'
import { CANDIDATES } from './candidates.ts'
import type { Measured } from './measure.ts'
import { ADVERSARIAL, internet, type Prefixes } from './tables.ts'

const HERE = dirname(fileURLToPath(import.meta.url))
const CACHE = join(HERE, '../../node_modules/.cache/tunstack-fib')
const CHILD = join(CACHE, 'child.mjs')
const STACK = 'Fib.lookup'

/** Milliseconds after which a process is given up. */
const TOO_LONG = 180_000

type Figures = Partial<Record<keyof Measured, number>>

const COLUMNS: readonly [head: string, key: keyof Measured, digits: number][] = [
  ['build s', 'build', 2],
  ['bytes/prefix', 'bytes', 1],
  ['random lookups, M/s', 'byPrefix', 1],
  ['random addresses, M/s', 'byAddress', 1],
  ['skewed (Zipf), M/s', 'skewed', 1],
  ['insert µs', 'insert', 2],
  ['delete µs', 'remove', 2],
  ['0/0 µs', 'default', 2],
  ['a /8 µs', 'slash8', 2],
]

function load(): string {
  return readFileSync('/proc/loadavg', 'utf8').split(' ')[0]!
}

function save(name: string, { prefix, length }: Prefixes): string {
  const file = join(CACHE, `${name.replaceAll(/\W/g, '-')}.bin`)
  const bytes = new Uint8Array(5 * prefix.length)
  bytes.set(new Uint8Array(prefix.buffer, prefix.byteOffset, prefix.byteLength))
  bytes.set(length, prefix.byteLength)
  writeFileSync(file, bytes)
  return file
}

/** @throws Error if it fails; `undefined` if it takes too long */
function run<T>(name: string, file: string): T | undefined {
  const options = ['--expose-gc', '--max-old-space-size=4096', CHILD, name, file]
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, options, {
    encoding: 'utf8',
    timeout: TOO_LONG,
  })
  if (signal !== null) return undefined
  if (status !== 0) throw new Error(`${name}: ${stderr}`)
  return JSON.parse(stdout) as T
}

function cell(samples: readonly (number | undefined)[], digits: number): string {
  const known = samples.filter((sample) => sample !== undefined)
  if (known.length === 0) return 'too long'
  const { median, min, max } = summarize(known)
  const text = (value: number): string =>
    value >= 1000 ? Math.round(value).toLocaleString('en-US') : value.toFixed(value >= 100 ? 0 : digits)
  return known.length === 1 || text(min) === text(max)
    ? text(median)
    : `${text(median)} [${text(min)}–${text(max)}]`
}

function table(head: readonly string[], lines: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

function main(): void {
  const { values } = parseArgs({
    options: {
      prefixes: { type: 'string', default: '1000000' },
      rounds: { type: 'string', default: '5' },
      only: { type: 'string', multiple: true, default: [] },
    },
  })
  const count = Number(values.prefixes)
  const rounds = Number(values.rounds)
  const wanted = (name: string): boolean => values.only.length === 0 || values.only.includes(name)
  mkdirSync(CACHE, { recursive: true })
  buildSync({
    entryPoints: [join(HERE, 'child.ts')],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: CHILD,
    logLevel: 'error',
  })
  const before = load()
  const file = save('internet', internet(count))
  const names = [...Object.keys(CANDIDATES), STACK].filter(wanted)
  const samples = new Map<string, Figures[]>(names.map((name) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      process.stderr.write(`round ${round + 1}/${rounds}: ${name}\n`)
      samples.get(name)!.push(run<Figures>(name, file) ?? {})
    }
  }
  const hard: string[][] = []
  for (const [kind, make] of Object.entries(ADVERSARIAL)) {
    const prefixes = save(kind, make(count))
    for (const name of Object.keys(CANDIDATES).filter(wanted)) {
      process.stderr.write(`${kind}: ${name}\n`)
      const runs = Array.from({ length: Math.min(3, rounds) }, () => run<Figures>(name, prefixes) ?? {})
      hard.push([
        kind,
        name,
        ...(['build', 'bytes', 'byPrefix', 'skewed', 'insert', 'remove', 'default', 'slash8'] as const).map(
          (key) =>
            cell(
              runs.map((one) => one[key]),
              key === 'bytes' || key === 'byPrefix' || key === 'skewed' ? 1 : 2,
            ),
        ),
      ])
    }
  }
  const small = run<{ stack: number; tenRoutes: number }>('small', file)

  console.log(`${cpus().length} × ${cpus()[0]?.model.trim()}; Linux ${release()}; Node ${process.version}`)
  console.log(`${count.toLocaleString('en-US')} prefixes; load before ${before}, after ${load()}`)
  console.log(`Medians of ${rounds} processes [smallest–largest], by processor time.\n`)
  const lines = names.map((name) => [
    name,
    ...COLUMNS.map(([, key, digits]) =>
      cell(
        samples.get(name)!.map((one) => one[key]),
        digits,
      ),
    ),
    cell(
      [Math.min(...samples.get(name)!.map(({ longest }) => longest ?? Number.POSITIVE_INFINITY))].filter(
        Number.isFinite,
      ),
      1,
    ),
  ])
  console.log(table(['candidate', ...COLUMNS.map(([head]) => head), 'longest change, ms'], lines))
  console.log(`\nMade to be hard, medians of ${Math.min(3, rounds)}:\n`)
  console.log(
    table(
      [
        'prefixes',
        'candidate',
        'build s',
        'bytes/prefix',
        'random, M/s',
        'skewed, M/s',
        'insert µs',
        'delete µs',
        '0/0 µs',
        'a /8 µs',
      ],
      hard,
    ),
  )
  console.log(
    `\nA new stack: ${small?.stack.toFixed(1)} KiB. Ten routes more: ${small?.tenRoutes.toFixed(2)} KiB.`,
  )
}

main()
