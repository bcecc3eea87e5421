/**
 * The golden table of TCP's goodput: measured in virtual time, kept exactly, and shown in docs/goodput.md.
 *
 *     npm run goodput -- --check      measures all cells and fails if one differs
 *     npm run goodput -- --update     measures them and writes the table
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import {
  ALGORITHMS,
  differences,
  type Golden,
  mbit,
  measure,
  median,
  nameOf,
  readGolden,
  writeGolden,
} from '../test/tcp/goodput/golden.ts'
import { PATHS } from '../test/tcp/goodput/paths.ts'

const DOCUMENT = join(import.meta.dirname, '..', 'docs/goodput.md')
const BEGIN = '<!-- table: written by scripts/goodput.ts -->'
const END = '<!-- end of table -->'

const { values } = parseArgs({
  options: { check: { type: 'boolean' }, update: { type: 'boolean' }, only: { type: 'string' } },
})

function tablesOf(golden: Golden): string {
  return ALGORITHMS.map((algorithm) => `### ${algorithm}\n\n${tableOf(golden, algorithm)}`).join('\n\n')
}

/** One table for each set of columns. */
function tableOf(golden: Golden, algorithm: string): string {
  const groups = [
    PATHS.filter(({ column }) => /^loss \d/.test(column)),
    PATHS.filter(({ column }) => !/^loss \d/.test(column)),
  ]
  return groups
    .map((paths) => {
      const columns = [...new Set(paths.map(({ column }) => column))]
      const rows = [...new Set(paths.map(({ row }) => row))]
      const lines = rows.map((row) => {
        const cells = columns.map((column) => {
          const path = paths.find((candidate) => candidate.row === row && candidate.column === column)!
          return mbit(median(golden[nameOf(algorithm, path)]!)).toFixed(2)
        })
        return `| ${row} | ${cells.join(' | ')} |`
      })
      return [
        `| delay, buffer | ${columns.join(' | ')} |`,
        `|---|${columns.map(() => '---:').join('|')}|`,
        ...lines,
      ].join('\n')
    })
    .join('\n\n')
}

function write(golden: Golden): void {
  writeGolden(golden)
  const text = readFileSync(DOCUMENT, 'utf8')
  const [before, rest] = text.split(BEGIN) as [string, string]
  const after = rest.split(END)[1]!
  writeFileSync(DOCUMENT, `${before}${BEGIN}\n${tablesOf(golden)}\n${END}${after}`)
}

if (values.check !== true && values.update !== true) {
  console.error('say --check or --update')
  process.exit(2)
}
const { only } = values
const started = performance.now()
const now = await measure(
  (algorithm) => only === undefined || algorithm === only,
  undefined,
  (name) => process.stderr.isTTY && process.stderr.write(`\r\x1b[K${name}`),
)
if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
let then: Golden = {}
try {
  then = readGolden()
} catch {
  // The first time there is none.
}
const changed = differences(then, now)
for (const line of changed) console.log(line)
const cells = Object.keys(now).length
console.log(
  `${cells} cells, ${changed.length} differ, ${((performance.now() - started) / 1000).toFixed(0)} s`,
)
if (values.update === true) write(only === undefined ? now : { ...then, ...now })
else if (changed.length > 0) process.exitCode = 1
