/**
 * `npm test`: set-up, then each suite in a process of its own, then one line with the totals.
 *
 *     npm test -- [--unit] [--package] [--integration] [--grep text] [file…]
 *
 * Without a suite all run. The exit status is 0 only if every test of what ran passed, none was skipped or
 * left out with `.only`, every suite's process ended by itself, and no namespace or device was left behind.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve, sep } from 'node:path'
import { NEEDED_FOR } from './debian-packages.mjs'
import { ROOT, setupOrExit } from './setup.mjs'

const MINUTE = 60_000
/** How long a suite's process may take to end once its last test is done, in ms. */
const LINGER = 15_000

/** In the order they run. `folders` are below test/; the unit tests are all that no other suite has. */
const SUITES = {
  unit: { folders: [], timeout: 10_000, limit: 8 * MINUTE },
  package: { folders: ['package'], timeout: 2 * MINUTE, limit: 6 * MINUTE },
  integration: { folders: ['integration'], timeout: 30_000, limit: 15 * MINUTE },
}

function usage(message) {
  console.error(`${message}\nusage: npm test -- [--unit] [--package] [--integration] [--grep text] [file…]`)
  process.exit(2)
}

function parseArguments(args) {
  const chosen = new Set()
  const files = []
  let grep
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]
    if (arg.startsWith('--') && Object.hasOwn(SUITES, arg.slice(2))) chosen.add(arg.slice(2))
    else if (arg === '--grep' || arg === '-g') grep = args[++i] ?? usage('--grep needs a text')
    else if (arg.startsWith('-')) usage(`unknown option '${arg}'`)
    else files.push(resolve(arg))
  }
  return { chosen, grep, files }
}

const suiteOf = (file) =>
  Object.keys(SUITES).find((name) =>
    SUITES[name].folders.some((folder) => file.startsWith(join(ROOT, 'test', folder) + sep)),
  ) ?? 'unit'

function testFiles() {
  return readdirSync(join(ROOT, 'test'), { recursive: true })
    .filter((file) => file.endsWith('.test.ts'))
    .sort()
    .map((file) => join(ROOT, 'test', file))
}

/** Why integration tests cannot run here; undefined if they can. */
function noIntegration() {
  if (process.platform !== 'linux') return 'they need Linux'
  if (process.getuid() !== 0) return 'they make network namespaces and devices, which needs root'
  if (spawnSync('unshare', ['--net', 'true']).status !== 0) {
    return 'this container may not make network namespaces (it needs CAP_SYS_ADMIN and CAP_NET_ADMIN)'
  }
  if (!existsSync('/dev/net/tun')) return 'this container has no /dev/net/tun'
  return undefined
}

/** Removes the namespaces of test runs that are over: test/integration/netns.ts names them by its process id. */
function removeLeftNamespaces() {
  const names = existsSync('/run/netns') ? readdirSync('/run/netns') : []
  const left = names.filter((name) => {
    const pid = /^tunstack-(\d+)-/.exec(name)?.[1]
    return pid !== undefined && !existsSync(`/proc/${pid}`)
  })
  for (const name of left) spawnSync('ip', ['netns', 'del', name])
  return left
}

/** Virtual devices outside every namespace; tests make none. */
function devices() {
  const { stdout, status } = spawnSync('ip', ['-details', '-json', 'link'], { encoding: 'utf8' })
  if (status !== 0) return []
  const links = JSON.parse(stdout || '[]')
  return links
    .filter((link) => ['tun', 'veth', 'dummy'].includes(link.linkinfo?.info_kind))
    .map((l) => l.ifname)
}

/** Runs Mocha over the files; gives the totals and what was wrong beside them. */
function runMocha(name, files, grep) {
  const { timeout, limit } = SUITES[name]
  const folder = mkdtempSync(join(tmpdir(), 'tunstack-test-'))
  const totals = join(folder, 'totals.json')
  const args = [
    'node_modules/mocha/bin/mocha.js',
    '--forbid-only',
    '--forbid-pending',
    '--timeout',
    `${timeout}`,
  ]
  args.push('--reporter', './scripts/totals-reporter.mjs', '--reporter-option', `totals=${totals}`)
  if (grep !== undefined) args.push('--fgrep', grep)

  return new Promise((done) => {
    // its own process group, so that what it started ends with it
    const stdio = ['ignore', 'inherit', 'inherit']
    const mocha = spawn(process.execPath, [...args, ...files], { cwd: ROOT, stdio, detached: true })
    const kill = (signal) => {
      try {
        process.kill(-mocha.pid, signal)
      } catch {} // already gone
    }
    const passOn = (signal) => {
      kill(signal)
      process.exitCode = 130
    }
    process.on('SIGINT', passOn).on('SIGTERM', passOn)
    let wrong
    const end = (reason) => {
      if (wrong !== undefined) return
      wrong = reason
      kill('SIGTERM')
      setTimeout(kill, 5000, 'SIGKILL').unref()
    }
    const started = Date.now()
    let reported = 0
    const watch = setInterval(() => {
      const now = Date.now()
      if (reported === 0 && existsSync(totals)) reported = now
      if (reported > 0 && now - reported > LINGER) {
        end(`the process of the ${name} tests lives on after the last test: a handle is left open`)
      } else if (now - started > limit) {
        end(`the ${name} tests did not end within ${limit / MINUTE} minutes`)
      }
    }, 1000)
    mocha.on('exit', (status, signal) => {
      clearInterval(watch)
      process.off('SIGINT', passOn).off('SIGTERM', passOn)
      let counted
      try {
        counted = JSON.parse(readFileSync(totals, 'utf8'))
      } catch {
        wrong ??= `the ${name} tests ended before they were done (${signal ?? `exit status ${status}`})`
      }
      rmSync(folder, { recursive: true, force: true })
      const { passes = 0, failures = 0, pending = 0 } = counted ?? {}
      if (pending > 0) wrong ??= `${pending} of the ${name} tests were skipped`
      if (status !== 0 && failures === 0)
        wrong ??= `the ${name} tests ended with ${signal ?? `exit status ${status}`}`
      done({ passed: passes, failed: failures, wrong })
    })
  })
}

const { chosen, grep, files } = parseArguments(process.argv.slice(2))
const selected = files.length > 0 ? files : testFiles()
const suites = Object.keys(SUITES).filter((name) => (chosen.size === 0 ? true : chosen.has(name)))
const cannot = noIntegration()
const integration = suites.includes('integration') && selected.some((file) => suiteOf(file) === 'integration')
setupOrExit({ debian: integration && cannot === undefined ? NEEDED_FOR.integration : [] })

let passed = 0
let failed = 0
const problems = []
const before = new Set(devices())
if (cannot === undefined) removeLeftNamespaces() // of an earlier run that was killed

for (const name of suites) {
  const own = selected.filter((file) => suiteOf(file) === name)
  if (own.length === 0 || process.exitCode === 130) continue
  if (name === 'integration' && cannot !== undefined) {
    const list = own.map((file) => `  ${file.slice(ROOT.length + 1)}`).join('\n')
    const text = `the integration tests were not run: ${cannot}.\n${list}`
    // whoever asked for them by name, or is a CI, must not take this for a pass
    if (chosen.has(name) || files.length > 0 || process.env.CI) problems.push(text)
    else console.log(`\n${text}`)
    continue
  }
  console.log(`\n== ${name} tests (${own.length} files)`)
  const result = await runMocha(name, own, grep)
  passed += result.passed
  failed += result.failed
  if (result.wrong !== undefined) problems.push(result.wrong)
}

for (const name of cannot === undefined ? removeLeftNamespaces() : []) {
  problems.push(`the network namespace ${name} was left behind (removed now)`)
}
for (const name of devices()) if (!before.has(name)) problems.push(`the device ${name} was left behind`)
if (passed + failed === 0 && problems.length === 0) problems.push('no test was run')

for (const problem of problems) console.log(`\nFAILED: ${problem}`)
failed += problems.length
process.exitCode ||= failed > 0 ? 1 : 0
console.log(`\n${passed} passed, ${failed} failed`)
