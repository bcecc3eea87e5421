/** `npm run demo` as a person starts it: it passes, it fails when it must, and it leaves nothing behind. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** A demonstration that runs: its output so far, and its end. */
class Demo {
  readonly child: ChildProcess
  output = ''

  constructor(command: readonly string[] = [process.execPath, 'scripts/demo.mjs']) {
    const [file, ...args] = command
    this.child = spawn(file!, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => (this.output += text))
    }
  }

  async end(): Promise<number | NodeJS.Signals> {
    const [status, signal] = (await once(this.child, 'close')) as [number | null, NodeJS.Signals | null]
    return status ?? signal!
  }

  /** Waits for a text. @throws Error with the output if it does not come */
  async says(text: string): Promise<void> {
    for (const end = Date.now() + 25_000; !this.output.includes(text); await sleep(20)) {
      if (Date.now() > end || this.child.exitCode !== null)
        throw new Error(`no '${text}' in:\n${this.output}`)
    }
  }

  /** Process ids of all that it started, and their command lines. */
  descendants(): Map<number, string> {
    const found = new Map<number, string>()
    const parents = new Map<number, number>()
    for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
      try {
        parents.set(
          Number(name),
          Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${name}/status`, 'utf8'))![1]),
        )
      } catch {} // it has just ended
    }
    const visit = (parent: number): void => {
      for (const [pid, ppid] of parents) {
        if (ppid !== parent) continue
        found.set(pid, commandOf(pid))
        visit(pid)
      }
    }
    visit(this.child.pid!)
    return found
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
  } catch {
    return ''
  }
}

/** Those with a name, without those of test runs beside this one. */
const namespaces = (): string[] =>
  (existsSync('/run/netns') ? readdirSync('/run/netns') : []).filter((name) => !/^tunstack-\d+-/.test(name))
const devices = (): string =>
  spawnSync('ip', ['-br', 'link'], { encoding: 'utf8' }).stdout.replace(/\s+\S+\s*<.*$/gm, '')

/** Waits until none of the processes is there any more. */
async function gone(processes: ReadonlyMap<number, string>): Promise<void> {
  // One without a command line had ended already when it was listed.
  const left = (): string[] =>
    [...processes].filter(([pid, command]) => command !== '' && commandOf(pid) === command).map(String)
  for (const end = Date.now() + 5000; left().length > 0 && Date.now() < end; ) await sleep(20)
  expect(left()).to.deep.equal([])
}

describe('npm run demo', function () {
  this.timeout(60_000)
  this.slow(30_000)

  let before: { namespaces: string[]; devices: string }
  beforeEach(() => (before = { namespaces: namespaces(), devices: devices() }))
  afterEach(() => expect({ namespaces: namespaces(), devices: devices() }).to.deep.equal(before))

  it('passes every check within 25 s, and prints what README.md quotes', async () => {
    const started = Date.now()
    const demo = new Demo()
    const status = await demo.end()
    expect(status, demo.output).to.equal(0)
    expect(demo.output).not.to.match(/^ *FAIL/m)
    expect(demo.output.trim().split('\n').at(-1)).to.match(/^PASS: (\d+) of \1 checks passed, in [\d.]+ s$/)
    expect(demo.output.match(/^ {2}PASS/gm)!.length).to.be.greaterThan(25)
    expect(Date.now() - started).to.be.lessThan(25_000)
    for (const text of [
      'PASS  table local of the stack is the kernel’s, byte for byte',
      'PASS  forwarded 63 times, 63 packets each way on lo, and once too old',
      'PASS  before the stack starts the same ping fails completely',
      'PASS  after the stack has ended the same ping fails completely',
      'PASS  0 % loss',
      'PASS  the stack’s IcmpInEchos are the requests sent',
      'PASS  the kernel and the stack count the same on the TUN',
      'PASS  the kernel got no echo request (its IcmpInEchos is 0)',
    ]) {
      expect(demo.output).to.contain(text)
    }

    // What README.md quotes is in it, line by line, but for times and identifiers.
    const steady = (text: string): string =>
      text
        .replace(/[\d.]+ (ms|s)\b/g, 'N $1')
        .replace(/id \d+/, 'id N')
        .trim()
    const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
    const quoted = readme.split('```').find((block) => block.includes('\nPASS: '))!
    const printed = demo.output.split('\n').map((line) => steady(line.replace(/^ +[\d:.]{12} /, '')))
    for (const line of quoted.split('\n').map(steady)) expect([...printed, '…', '']).to.include(line)
  })

  it('fails, and leaves nothing behind, when its stack is killed', async () => {
    const demo = new Demo()
    await demo.says('[the stack starts')
    const processes = demo.descendants()
    const stacks = [...processes].filter(([, command]) => command.includes('examples/tun-loopback.ts'))
    expect(stacks).to.have.length(1)
    process.kill(stacks[0]![0], 'SIGKILL')
    expect(await demo.end()).to.equal(1)
    expect(demo.output.trim().split('\n').at(-1)).to.match(/^FAIL: /)
    await gone(processes)
  })

  for (const [signal, status] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    it(`ends at once at ${signal}, with status ${status} and nothing left`, async () => {
      const demo = new Demo()
      await demo.says('[the stack starts')
      const processes = demo.descendants()
      demo.child.kill(signal)
      expect(await demo.end()).to.equal(status)
      expect(demo.output.trim().split('\n').at(-1)).to.equal(`FAIL: interrupted by ${signal}`)
      await gone(processes)
    })
  }

  it('leaves nothing behind when it is killed itself', async () => {
    const demo = new Demo()
    await demo.says('[the stack starts')
    const processes = demo.descendants()
    expect(processes.size).to.be.greaterThan(1)
    demo.child.kill('SIGKILL')
    expect(await demo.end()).to.equal('SIGKILL')
    await gone(processes)
  })

  it('refuses to work in a namespace that is in use', async () => {
    const prepare = 'ip tuntap add dev x0 mode tun && exec "$@"'
    const program = [process.execPath, '--import', 'tsx', 'scripts/demo/run.ts']
    const demo = new Demo(['unshare', '--net', 'sh', '-c', prepare, 'sh', ...program])
    expect(await demo.end()).to.equal(1)
    expect(demo.output).to.contain(
      "this network namespace has lo, x0: start the demonstration with 'npm run demo'",
    )
  })

  it('does without root where it may, and says what is missing where it may not', async () => {
    const nobody = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', '--no-new-privs']
    const [file, ...args] = [...nobody, 'unshare', '--user', '--map-root-user', '--net', 'true']
    const allowed = spawnSync(file!, args).status === 0
    const folder = mkdtempSync(join(tmpdir(), 'tunstack-demo-'))
    try {
      // Another /dev/net/tun, in a mount namespace of the demo's own: open to everybody, or to root alone.
      for (const mode of ['0666', '0600']) {
        const node = join(folder, mode)
        const prepare = `mknod -m ${mode} ${node} c 10 200 && mount --bind ${node} /dev/net/tun && exec "$@"`
        const home = ['env', `HOME=${folder}`, process.execPath, 'scripts/demo.mjs']
        const demo = new Demo(['unshare', '--mount', 'sh', '-c', prepare, 'sh', ...nobody, ...home])
        const status = await demo.end()
        if (mode === '0600') {
          expect(status, demo.output).to.equal(1)
          expect(demo.output).to.contain(
            'The demo cannot run here: this user may not read and write /dev/net/tun',
          )
        } else if (allowed) {
          expect(status, demo.output).to.equal(0)
          expect(demo.output).to.match(/^PASS: (\d+) of \1 checks/m)
        } else {
          expect(status, demo.output).to.equal(1)
          expect(demo.output).to.contain('this user may not make a user namespace')
        }
      }
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
