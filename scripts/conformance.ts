/**
 * Which test shows which behaviour: collects the ids in test titles into docs/conformance.md.
 *
 *     node --import tsx scripts/conformance.ts            writes the table
 *     node --import tsx scripts/conformance.ts --check    fails if it is not up to date
 *
 * The rows of RFC 9293's appendix B are written by hand; the ids that they name must be those of tests.
 *
 * An id stands at the beginning of a title (`ip-ihl-small: …`, several with commas) or in brackets, as
 * `(hardening-13)`. The titles are those that Mocha would run: templates are filled in.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import Mocha from 'mocha'

const ROOT = join(import.meta.dirname, '..')
const DOCUMENT = join(ROOT, 'docs/conformance.md')
const BEGIN = '<!-- table: written by scripts/conformance.ts -->'
const END = '<!-- end of table -->'
const APPENDIX = '<!-- appendix: checked by scripts/conformance.ts -->'

/** In the order of the table. */
const GROUPS: readonly (readonly [prefix: string, heading: string])[] = [
  ['ip', 'IPv4'],
  ['frag', 'Fragments'],
  ['icmp', 'ICMP'],
  ['udp', 'UDP'],
  ['fwd', 'Forwarding'],
  ['tcp', 'TCP'],
  ['dial', 'TCP connections that this host opens'],
  ['hardening', 'Attacks'],
]
const ID = `(?:${GROUPS.map(([prefix]) => prefix).join('|')})-[a-z0-9]+(?:-[a-z0-9]+)*`
const NAMED = new RegExp(`\`(${ID})\``, 'g')
const AT_START = new RegExp(`^${ID}(?:, ${ID})*(?=[:, ]|$)`)
const IN_BRACKETS = new RegExp(`\\((${ID}(?:, ${ID})*)\\)`, 'g')

interface Shown {
  title: string
  file: string
}

function testFiles(): string[] {
  return readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.ts'))
    .sort()
    .map((file) => join(ROOT, 'test', file))
}

async function collect(): Promise<Map<string, Shown[]>> {
  const mocha = new Mocha()
  for (const file of testFiles()) mocha.addFile(file)
  await mocha.loadFilesAsync()
  const found = new Map<string, Shown[]>()
  const add = (ids: string, shown: Shown): void => {
    for (const id of ids.split(', ')) {
      const list = found.get(id) ?? []
      found.set(id, list)
      if (!list.some(({ title, file }) => title === shown.title && file === shown.file)) list.push(shown)
    }
  }
  const visit = (suite: Mocha.Suite): void => {
    for (const { title, file } of suite.tests) {
      const shown = { title: textOf(title), file: relative(ROOT, file ?? suite.file ?? '') }
      const [start] = AT_START.exec(title) ?? []
      if (start !== undefined) add(start, shown)
      for (const [, ids] of title.matchAll(IN_BRACKETS)) add(ids!, shown)
    }
    for (const inner of suite.suites) visit(inner)
  }
  visit(mocha.suite)
  return found
}

/** The title without its ids. */
function textOf(title: string): string {
  return title
    .replace(AT_START, '')
    .replace(IN_BRACKETS, '')
    .replace(/^[:,]\s*/, '')
    .trim()
}

function byId(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true })
}

function table(found: Map<string, Shown[]>): string {
  const lines: string[] = []
  for (const [prefix, heading] of GROUPS) {
    const ids = [...found.keys()].filter((id) => id.startsWith(`${prefix}-`)).sort(byId)
    if (ids.length === 0) continue
    lines.push(`## ${heading}`, '', '| id | what the test shows | where |', '|---|---|---|')
    for (const id of ids) {
      for (const { title, file } of found.get(id)!) {
        lines.push(`| \`${id}\` | ${title.replaceAll('|', '\\|')} | [${file}](../${file}) |`)
      }
    }
    lines.push('')
  }
  return lines.join('\n')
}

/** Ids that the appendix names and no title has. */
function unknownIds(appendix: string, found: Map<string, Shown[]>): string[] {
  return [...appendix.matchAll(NAMED)].map(([, id]) => id!).filter((id) => !found.has(id))
}

const text = readFileSync(DOCUMENT, 'utf8')
const begin = text.indexOf(BEGIN)
const end = text.indexOf(END)
if (begin < 0 || end < begin) throw new Error(`${DOCUMENT} has lost the marks of its table`)
const found = await collect()
const unknown = unknownIds(text.slice(text.indexOf(APPENDIX)), found)
if (unknown.length > 0) throw new Error(`the appendix names tests that there are not: ${unknown.join(', ')}`)
const written = `${text.slice(0, begin + BEGIN.length)}\n\n${table(found)}\n${text.slice(end)}`
if (!process.argv.includes('--check')) writeFileSync(DOCUMENT, written)
else if (written !== text) {
  console.error('docs/conformance.md is not up to date; run: node --import tsx scripts/conformance.ts')
  process.exitCode = 1
}
process.exit()
