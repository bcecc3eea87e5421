/**
 * `npm run imports`: checks that imports point the way that scripts/import-order.ts says, that no parts of lib/
 * import each other in a circle, and that the core names nothing that only some runtimes have.
 */
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  EXCEPTIONS,
  FORBIDDEN_IN_CORE,
  FORBIDDEN_IN_LIB,
  NEEDS_NODE,
  ORDER,
  OUTSIDE,
  PACKAGES,
  PACKAGES_OF,
} from './import-order.ts'
import { lineAt, type Source, scan } from './source-scan.ts'

const PARTS = ORDER.flat()
const layerOf = (part: string): number => ORDER.findIndex((layer) => layer.includes(part))

/** The part that a file of lib/ belongs to; `undefined` if the table has none. `file` is relative to lib/. */
function partOf(file: string): string | undefined {
  let best: string | undefined
  for (const part of PARTS) {
    const inside = part.endsWith('.ts') ? file === part : file.startsWith(`${part}/`)
    if (inside && (best === undefined || part.length > best.length)) best = part
  }
  return best
}

function sourceFiles(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.[cm]?ts$/.test(file) && !/\.d\.[cm]?ts$/.test(file))
    .sort()
}

/** What package.json offers to import or run, as files of lib/. */
function entryFiles(root: string): Set<string> {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, unknown>
  const text = JSON.stringify([manifest['exports'], manifest['bin']])
  return new Set(Array.from(text.matchAll(/"(?:\.\/)?dist\/([^"]+)\.js"/g), ([, file]) => `${file}.ts`))
}

const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')

function forbiddenNames(file: string, { code }: Source, names: readonly string[]): string[] {
  const found: string[] = []
  for (const name of names) {
    if (EXCEPTIONS[file]?.includes(name)) continue
    // not a property (`x.process`), and not the name of a member (`process: …`, `process?: …`)
    const pattern = new RegExp(
      `(?<![\\w$#]|(?<!\\.\\.)\\.)${name.replace('.', '\\s*\\.\\s*')}(?![\\w$]|\\s*\\??:)`,
      'g',
    )
    for (const { index } of code.matchAll(pattern)) {
      found.push(`lib/${file}:${lineAt(code, index)}: ${name} has no place here`)
    }
  }
  return found
}

/** A circle among the edges, as a path that ends where it began; `undefined` if there is none. */
function findCycle(edges: ReadonlyMap<string, ReadonlySet<string>>): string[] | undefined {
  const done = new Set<string>()
  const path: string[] = []
  const visit = (part: string): string[] | undefined => {
    const at = path.indexOf(part)
    if (at >= 0) return [...path.slice(at), part]
    if (done.has(part)) return undefined
    path.push(part)
    for (const next of edges.get(part) ?? []) {
      const cycle = visit(next)
      if (cycle !== undefined) return cycle
    }
    path.pop()
    done.add(part)
    return undefined
  }
  for (const part of edges.keys()) {
    const cycle = visit(part)
    if (cycle !== undefined) return cycle
  }
  return undefined
}

function checkLib(root: string): string[] {
  const lib = join(root, 'lib')
  const problems: string[] = []
  const edges = new Map<string, Set<string>>()

  for (const file of sourceFiles(lib)) {
    const part = partOf(file)
    if (part === undefined) {
      problems.push(`lib/${file}: scripts/import-order.ts has no place for this file`)
      continue
    }
    const core = !NEEDS_NODE.includes(part)
    const source = scan(readFileSync(join(lib, file), 'utf8'))
    problems.push(...forbiddenNames(file, source, core ? FORBIDDEN_IN_CORE : FORBIDDEN_IN_LIB))

    for (const { specifier, line } of source.imports) {
      const where = `lib/${file}:${line}`
      if (!specifier.startsWith('.')) {
        const allowed = specifier.startsWith('node:')
          ? !core
          : [...PACKAGES, ...(PACKAGES_OF[part] ?? [])].includes(packageOf(specifier))
        if (!allowed) problems.push(`${where}: ${part} may not import '${specifier}'`)
        continue
      }
      const target = relative(lib, resolve(lib, dirname(file), specifier))
      if (target.startsWith('..')) {
        problems.push(`${where}: '${specifier}' is outside lib/`)
        continue
      }
      const to = partOf(target)
      if (to === undefined || to === part) continue
      if (layerOf(to) < layerOf(part)) {
        problems.push(`${where}: ${part} imports '${specifier}', but ${to} is above it`)
        continue
      }
      edges.set(part, (edges.get(part) ?? new Set()).add(to))
    }
  }
  const cycle = findCycle(edges)
  if (cycle !== undefined) problems.push(`lib/: import circle ${cycle.join(' → ')}`)
  return problems
}

function checkOutside(root: string): string[] {
  const lib = join(root, 'lib')
  const problems: string[] = []
  const entries = entryFiles(root)
  for (const [folder, allowed] of Object.entries(OUTSIDE)) {
    if (allowed === 'any') continue
    for (const file of sourceFiles(join(root, folder))) {
      const { imports } = scan(readFileSync(join(root, folder, file), 'utf8'))
      for (const { specifier, line } of imports) {
        if (!specifier.startsWith('.')) continue
        const target = relative(lib, resolve(root, folder, dirname(file), specifier))
        if (target.startsWith('..') || entries.has(target)) continue
        problems.push(
          `${folder}/${file}:${line}: '${specifier}' is inside the library; import one of its entries: ` +
            [...entries].map((entry) => `lib/${entry}`).join(', '),
        )
      }
    }
  }
  return problems
}

/** Everything that is wrong below `root`, one line each. */
export function checkImports(root: string): string[] {
  return [...checkLib(root), ...checkOutside(root)]
}

if (realpathSync(process.argv[1]!) === fileURLToPath(import.meta.url)) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)))
  const problems = checkImports(root)
  for (const problem of problems) console.error(problem)
  console.log(
    `imports: ${sourceFiles(join(root, 'lib')).length} modules of lib/, ${problems.length} problems`,
  )
  process.exitCode = problems.length > 0 ? 1 : 0
}
