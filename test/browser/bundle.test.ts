/**
 * The core runs wherever JavaScript does: bundled for the browser, it answers an ICMP echo in a `vm` context
 * that has the language and nothing else, neither Node's globals nor a browser's; clock and randomness are
 * handed in.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { createContext, runInContext } from 'node:vm'
import { expect } from 'chai'
import { build, type Metafile } from 'esbuild'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** What a bundle's code may find in the context beside the language itself. */
const ABSENT = [
  'Buffer',
  'process',
  'require',
  'module',
  'global',
  'window',
  'self',
  'console',
  'crypto',
  'performance',
  'setTimeout',
  'setImmediate',
  'queueMicrotask',
  'TextEncoder',
]

interface Bundle {
  text: string
  metafile: Metafile
}

/** The entry point and what goes with it as one script, its exports in the global `tunstack`. */
async function bundle(entry: string): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: [entry],
    bundle: true,
    platform: 'browser',
    format: 'iife',
    globalName: 'tunstack',
    target: 'es2022',
    write: false,
    metafile: true,
    logLevel: 'silent',
  })
  return { text: outputFiles[0]!.text, metafile }
}

/** A context with the bundle loaded; what the language lacks there is not there. */
function load({ text }: Bundle): (code: string) => unknown {
  const context = createContext(Object.create(null), { microtaskMode: 'afterEvaluate' })
  const run = (code: string): unknown => runInContext(code, context, { timeout: 5000 })
  run('delete globalThis.console') // V8 puts that into every context
  expect(run(`${JSON.stringify(ABSENT)}.filter((name) => name in globalThis).join()`)).to.equal('')
  run(text)
  return run
}

/** A clock that the script turns, and a source of bytes that are not random; made of nothing but the language. */
const CLOCK_AND_RANDOM = `
  let now = 0
  let timers = []
  const clock = {
    epoch: 0n,
    now: () => now,
    setTimer(callback, delay) {
      const timer = { at: now + Math.max(0, delay), callback }
      timers.push(timer)
      return timer
    },
    clearTimer(timer) { timers = timers.filter((other) => other !== timer) },
    soon(callback) { this.setTimer(callback, 0) },
  }
  function turn() {
    timers.sort((a, b) => a.at - b.at)
    const timer = timers.shift()
    if (timer === undefined) return false
    now = Math.max(now, timer.at)
    timer.callback()
    return true
  }
  let next = 1
  const random = { fill(bytes) { for (let i = 0; i < bytes.length; i++) bytes[i] = next++ * 167 } }
`

describe('browser bundle', () => {
  let core: Bundle

  before(async () => {
    core = await bundle('lib/index.ts')
  })

  it('holds the core and its two dependencies, no Node module and nothing of the driver', () => {
    const inputs = Object.keys(core.metafile.inputs)
    expect(inputs).to.include('lib/index.ts')
    expect(inputs.filter((path) => /^lib\/(cli|node|device\/tun)\//.test(path))).to.deep.equal([])
    const packages = inputs
      .map((path) => /^node_modules\/([^/]+)/.exec(path)?.[1])
      .filter((name) => name !== undefined)
    expect(
      [...new Set(packages)].filter((name) => !['buffer-layout', 'ip-num'].includes(name)),
    ).to.deep.equal([])
    const outside = Object.values(core.metafile.inputs).flatMap((input) =>
      input.imports.filter((one) => one.external),
    )
    expect(outside.map((one) => one.path)).to.deep.equal([])
  })

  it('answers an ICMP echo without Buffer, process or require, in virtual time', () => {
    const run = load(core)
    run(`
      ${CLOCK_AND_RANDOM}
      var outcome = 'nothing came back'
      const [here, there] = tunstack.createPipe()
      const a = new tunstack.Stack({ clock, random })
      const b = new tunstack.Stack({ clock, random })
      for (const [stack, end, address] of [[a, here, '10.9.0.1/24'], [b, there, '10.9.0.2/24']]) {
        const nic = stack.addDevice(end)
        nic.up()
        nic.addAddress(address)
      }
      a.ping('10.9.0.2', { count: 1 }).then(
        (result) => { outcome = result.transmitted + ' sent, ' + result.received + ' received' },
        (error) => { outcome = error.stack },
      )
    `)
    // promises settle between two scripts, as they do between two turns of an event loop
    for (let i = 0; i < 1000 && run('outcome') === 'nothing came back'; i++)
      if (run('turn()') === false) break
    expect(run('outcome')).to.equal('1 sent, 1 received')
  })

  it('says what to hand in where the runtime has no clock', () => {
    const run = load(core)
    const code = run('try { new tunstack.Stack(); "made" } catch (error) { error.code }')
    expect(code).to.equal('ERR_NO_CLOCK')
  })

  it('would not run if it needed Buffer: the test sees the difference', () => {
    const run = load(core)
    expect(() => run('Buffer.alloc(1)')).to.throw(/Buffer is not defined/)
  })

  it('is what the exports of package.json name first', () => {
    const { exports } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as {
      exports: Record<string, { default: string }>
    }
    expect(exports['.']!.default).to.equal('./dist/index.js')
  })
})
