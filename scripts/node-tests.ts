/**
 * The Node project's own tests, on Node's modules over the kernel and on those over a stack:
 * `node --import tsx scripts/node-tests.ts <folder> [net] [dgram] [http] [https] [tls]`, where the folder is Node's
 * `test`, with `parallel`, `common` and `fixtures` in it. Tests of `net` and `dgram` get those modules of a stack; for
 * the others the whole process is on one, as with `tunstack/register`. Says which tests pass over the kernel and not
 * over a stack, and the two shares.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { build } from 'esbuild'

const TIMEOUT = 20_000
/** Of what a failing test said. */
const SHOWN = 12

interface Outcome {
  readonly passed: boolean
  readonly output: string
}

/** As its comment asks, `// Flags: --expose-gc`. */
function flagsOf(file: string): string[] {
  const flags = /^\/\/ Flags:\s*(.+)$/m.exec(readFileSync(file, 'utf8'))
  return flags === null ? [] : flags[1]!.trim().split(/\s+/)
}

function run(folder: string, module: string, name: string, hook: string | null): Promise<Outcome> {
  const file = join(folder, 'parallel', name)
  // Through the environment, so that it holds for the processes which a test starts, too.
  const ours = { TUNSTACK_NODE_TESTS: folder, TUNSTACK_NODE_MODULE: module }
  const environment = { ...process.env, NODE_TEST_KNOWN_GLOBALS: '0', ...ours }
  const child = spawn(process.execPath, [...flagsOf(file), file], {
    cwd: folder,
    env: hook === null ? environment : { ...environment, NODE_OPTIONS: `--require ${hook}` },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // a group of its own: what it leaves behind goes with it
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      if (output.length < 100_000) output += text
    })
  }
  const end = (): void => {
    try {
      process.kill(-child.pid!, 'SIGKILL')
    } catch {
      // None of them is left.
    }
  }
  const timer = setTimeout(end, TIMEOUT)
  child.on('exit', end)
  return new Promise((settle) => {
    child.on('close', (status, signal) => {
      clearTimeout(timer)
      settle({ passed: status === 0, output: signal === null ? output : `${output}\n${signal}` })
    })
  })
}

async function main(): Promise<void> {
  const [given, ...modules] = process.argv.slice(2)
  const folder = given === undefined ? '' : resolve(given)
  if (given === undefined || !existsSync(join(folder, 'parallel')) || !existsSync(join(folder, 'common'))) {
    console.log("skipped: it needs the folder 'test' of Node's source")
    return
  }
  const work = mkdtempSync(join(tmpdir(), 'tunstack-node-tests-'))
  try {
    const bundled = async (entry: string, name: string): Promise<string> => {
      const outfile = join(work, name)
      await build({
        entryPoints: [join(import.meta.dirname, entry)],
        outfile,
        bundle: true,
        platform: 'node',
        target: 'node20',
        format: 'cjs',
        external: ['koffi'],
        logLevel: 'error',
        // The device, which is not used here, looks for its addon from there.
        define: { 'import.meta.url': JSON.stringify(import.meta.url) },
      })
      return outfile
    }
    const modulesHook = await bundled('node-tests-hook.ts', 'modules.cjs')
    const processHook = await bundled('../lib/node/register.ts', 'process.cjs')
    for (const module of modules.length === 0 ? ['net', 'dgram', 'http', 'https', 'tls'] : modules) {
      await report(folder, module, ['net', 'dgram'].includes(module) ? modulesHook : processHook)
    }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

async function report(folder: string, module: string, hook: string): Promise<void> {
  const names = readdirSync(join(folder, 'parallel')).filter(
    (name) => name.startsWith(`test-${module}-`) && name.endsWith('.js'),
  )
  const outcomes = new Map<string, [kernel: Outcome, stack: Outcome]>()
  const left = [...names]
  const worker = async (): Promise<void> => {
    for (let name = left.shift(); name !== undefined; name = left.shift()) {
      outcomes.set(name, [await run(folder, module, name, null), await run(folder, module, name, hook)])
    }
  }
  await Promise.all(Array.from({ length: availableParallelism() }, worker))
  let [kernel, stack] = [0, 0]
  for (const name of names) {
    const [one, other] = outcomes.get(name)!
    if (one.passed) kernel++
    if (other.passed) stack++
    if (one.passed === other.passed) continue
    console.log(`${name} passes only over ${one.passed ? 'the kernel' : 'a stack'}`)
    const lines = (one.passed ? other : one).output.trim().split('\n').slice(0, SHOWN)
    for (const line of lines) console.log(`    ${line}`)
  }
  console.log(`${module}: of ${names.length} tests ${kernel} pass over the kernel, ${stack} over a stack`)
}

await main()
