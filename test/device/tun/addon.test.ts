import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

interface Compiler {
  BUILT: string
  build(options?: { output?: string; arch?: string }): string
  isStale(binary: string): boolean
  prebuiltPath(root?: string, arch?: string): string
  platformTag(): string
}

/** A copy of what the addon needs of a checkout, in which things may be broken. */
class Checkout {
  readonly root = mkdtempSync(path.join(tmpdir(), 'tunstack-'))

  constructor() {
    for (const part of ['lib', 'native', 'scripts/build-native.mjs', 'package.json', 'tsconfig.json']) {
      mkdirSync(path.dirname(this.path(part)), { recursive: true })
      cpSync(path.join(ROOT, part), this.path(part), {
        recursive: true,
        filter: (file) => !file.includes('native/build'),
      })
    }
    symlinkSync(path.join(ROOT, 'node_modules'), this.path('node_modules'))
  }

  path(file: string): string {
    return path.join(this.root, file)
  }

  get compiler(): Compiler {
    return createRequire(import.meta.url)(this.path('native/compile.cjs')) as Compiler
  }

  /** Loads the addon in a new process; `'loaded'`, or the error's code and message. */
  load(env: NodeJS.ProcessEnv = process.env): string {
    const script = `import { loadAddon } from './lib/device/tun/addon.ts'
      try { loadAddon(); console.log('loaded') } catch (error) { console.log(error.code + ': ' + error.message) }`
    return this.#node(['--import', 'tsx', '--input-type=module', '-e', script], env).stdout.trim()
  }

  /** Which driver `openTun()` would use, in a new process: its kind and the warning's code, or the error. */
  choose(env: NodeJS.ProcessEnv): string {
    const script = `import { loadDriver } from './lib/device/tun/load-driver.ts'
      process.on('warning', (warning) => console.log(warning.code, warning.message))
      try { console.log(loadDriver().kind, loadDriver().kind) }
      catch (error) { console.log(error.code + ': ' + error.message) }`
    return this.#node(['--import', 'tsx', '--input-type=module', '-e', script], env).stdout.trim()
  }

  /** The same packages, but for one. */
  withoutPackage(missing: string): void {
    rmSync(this.path('node_modules'))
    mkdirSync(this.path('node_modules'))
    for (const name of readdirSync(path.join(ROOT, 'node_modules'))) {
      if (name !== missing)
        symlinkSync(path.join(ROOT, 'node_modules', name), this.path(`node_modules/${name}`))
    }
  }

  script(
    words: string[],
    env: NodeJS.ProcessEnv = process.env,
  ): { status: number | null; stdout: string; stderr: string } {
    return this.#node(['scripts/build-native.mjs', ...words], env)
  }

  #node(words: string[], env: NodeJS.ProcessEnv): { status: number | null; stdout: string; stderr: string } {
    return spawnSync(process.execPath, words, { cwd: this.root, env, encoding: 'utf8' })
  }
}

/** What the addon may call of libc, a compiler's own calls included; all of it is in glibc and in musl. */
const LIBC = [
  '__errno_location',
  '_exit',
  'calloc',
  'clock_gettime',
  'close',
  'free',
  'ioctl',
  'memcpy',
  'memmove',
  'memset',
  'mmap',
  'munmap',
  'open',
  'poll',
  'read',
  'readv',
  'realloc',
  'recvmsg',
  'sendto',
  'setns',
  'setsockopt',
  'sigfillset',
  'sigprocmask',
  'socket',
  'strlen',
  'syscall',
  'waitpid',
  'write',
  'writev',
]

const WITHOUT_COMPILER = { HOME: '/nonexistent', PATH: '/nonexistent' }

describe('the native addon', function () {
  this.timeout(60_000)
  this.slow(10_000)

  let checkout: Checkout
  beforeEach(() => {
    checkout = new Checkout()
  })
  afterEach(() => rmSync(checkout.root, { recursive: true, force: true }))

  it('is built when it is first needed, then loaded without a compiler', () => {
    expect(checkout.load()).to.equal('loaded')
    expect(existsSync(checkout.path('native/build/tun.node'))).to.equal(true)
    expect(checkout.load(WITHOUT_COMPILER)).to.equal('loaded')
  })

  it('is built again when its source is newer', () => {
    const binary = checkout.compiler.build()
    const before = statSync(binary).mtimeMs
    expect(checkout.compiler.isStale(binary)).to.equal(false)
    const later = new Date(Date.now() + 5000)
    utimesSync(checkout.path('native/tun.c'), later, later)
    expect(checkout.compiler.isStale(binary)).to.equal(true)
    expect(checkout.load()).to.equal('loaded')
    expect(statSync(binary).mtimeMs).to.be.greaterThan(before)
    // Still older than a source of the future: without a compiler it is better than nothing.
    expect(checkout.load(WITHOUT_COMPILER)).to.equal('loaded')
  })

  it('ERR_TUN_NO_COMPILER says what to install', () => {
    const text = checkout.load(WITHOUT_COMPILER)
    expect(text).to.match(/^ERR_TUN_NO_COMPILER: no prebuilt TUN addon.*no C compiler.*apt-get install gcc/)
    const script = checkout.script([], WITHOUT_COMPILER)
    expect(script.status).to.equal(1)
    expect(script.stderr).to.match(/^build-native: ERR_TUN_NO_COMPILER: no C compiler/)
    expect(checkout.load({ ...process.env, CC: 'no-such-cc' })).to.match(
      /^ERR_TUN_NO_COMPILER: .*CC is 'no-such-cc'/,
    )
  })

  it('ERR_TUN_NO_ADDON passes on what the compiler said, and leaves no half-made file', () => {
    appendFileSync(checkout.path('native/tun.c'), '\nthis is not C\n')
    const text = checkout.load()
    expect(text).to.match(/^ERR_TUN_NO_ADDON: .*could not build.*error:/s)
    expect(existsSync(checkout.path('native/build/tun.node'))).to.equal(false)
  })

  it('ERR_TUN_NO_ADDON if the source is not there either', () => {
    rmSync(checkout.path('native'), { recursive: true })
    expect(checkout.load()).to.match(/^ERR_TUN_NO_ADDON: .*native is missing/)
  })

  it('takes the prebuilt binary of an installed package, whatever its age, and needs no compiler', () => {
    expect(checkout.script(['--prebuild']).status).to.equal(0)
    const prebuilt = checkout.compiler.prebuiltPath()
    expect(prebuilt).to.equal(checkout.path(`prebuilds/${checkout.compiler.platformTag()}/tun.node`))
    const old = new Date('1985-10-26T08:15:00Z')
    utimesSync(prebuilt, old, old)
    // As in a package: no lib beside it.
    const script = `import { loadAddon } from './dist/device/tun/addon.ts'; loadAddon(); console.log('loaded')`
    cpSync(checkout.path('lib'), checkout.path('dist'), { recursive: true })
    rmSync(checkout.path('lib'), { recursive: true })
    const words = ['--import', 'tsx', '--input-type=module', '-e', script]
    const { stdout } = spawnSync(process.execPath, words, {
      cwd: checkout.root,
      env: WITHOUT_COMPILER,
      encoding: 'utf8',
    })
    expect(stdout.trim()).to.equal('loaded')
    expect(existsSync(checkout.path('native/build'))).to.equal(false)
  })

  it('names no library, and calls nothing of libc that glibc and musl do not both have', () => {
    const symbols = spawnSync('readelf', ['-W', '-d', '--dyn-syms', checkout.compiler.build()], {
      encoding: 'utf8',
    })
    expect(symbols.status).to.equal(0)
    expect(symbols.stdout).to.not.contain('NEEDED')
    const undefinedOnes = [...symbols.stdout.matchAll(/ UND (\S+)$/gm)].map(([, name]) => name!)
    expect(undefinedOnes).to.include('writev')
    expect(undefinedOnes.filter((name) => !/^(napi|uv)_/.test(name) && !LIBC.includes(name))).to.deep.equal(
      [],
    )
  })

  it('is prebuilt for what there is a compiler for; what is left out is said', () => {
    const tools = checkout.path('tools')
    mkdirSync(tools)
    for (const tool of ['as', 'ld']) {
      const { stdout } = spawnSync('sh', ['-c', `command -v ${tool}`], { encoding: 'utf8' })
      symlinkSync(stdout.trim(), path.join(tools, tool))
    }
    const cc = spawnSync('sh', ['-c', 'command -v cc'], { encoding: 'utf8' }).stdout.trim()
    const { status, stdout } = checkout.script(['--prebuild'], { PATH: tools, CC: cc })
    expect(status).to.equal(0)
    expect(stdout).to.contain(`built prebuilds/linux-${process.arch}/tun.node`)
    const others = [
      ['x64', 'x86_64-linux-gnu-gcc', 'gcc-x86-64-linux-gnu'],
      ['arm64', 'aarch64-linux-gnu-gcc', 'gcc-aarch64-linux-gnu libc6-dev-arm64-cross'],
    ].filter(([arch]) => arch !== process.arch)
    for (const [arch, compiler, debian] of others) {
      expect(stdout).to.contain(`not built: linux-${arch} (no ${compiler}: Debian has it as '${debian}')`)
      expect(existsSync(checkout.compiler.prebuiltPath(undefined, arch))).to.equal(false)
    }
  })

  // Only where the cross compiler happens to be: nothing here may need it.
  for (const [arch, machine] of [
    ['x64', 62],
    ['arm64', 183],
  ] as const) {
    const compiler = `${arch === 'x64' ? 'x86_64' : 'aarch64'}-linux-gnu-gcc`
    if (spawnSync(compiler, ['--version']).status !== 0) continue
    it(`is prebuilt for ${arch}`, () => {
      expect(checkout.script(['--prebuild'])).to.include({ status: 0 })
      const elf = readFileSync(checkout.compiler.prebuiltPath(undefined, arch))
      expect(elf.readUInt16LE(18)).to.equal(machine)
    })
  }

  describe('where there is none, and no compiler', () => {
    it('openTun() uses koffi, and says so once', () => {
      expect(checkout.choose(WITHOUT_COMPILER)).to.equal(
        'koffi koffi\nTUNSTACK_KOFFI no native TUN addon on this machine: using koffi, which is slower',
      )
    })

    it('nor koffi, the error says what to install', () => {
      checkout.withoutPackage('koffi')
      const text = checkout.choose(WITHOUT_COMPILER)
      expect(text).to.match(/^ERR_TUN_NO_COMPILER: .*apt-get install gcc.*Or do without: .*npm install koffi/)
    })

    it('a compiler comes first', () => {
      expect(checkout.choose(process.env)).to.equal('addon addon')
    })
  })

  it('builds past a binary that cannot be loaded', () => {
    mkdirSync(checkout.path('native/build'))
    writeFileSync(checkout.path('native/build/tun.node'), 'not a shared object')
    expect(checkout.load()).to.equal('loaded')
  })

  it('is built by scripts/build-native.mjs only if it has to be', () => {
    expect(checkout.script([]).stdout).to.match(/^built native\/build\/tun\.node/)
    expect(checkout.script([]).stdout).to.match(/^up to date: native\/build\/tun\.node/)
    expect(checkout.script(['--force']).stdout).to.match(/^built/)
    expect(checkout.script(['--what'])).to.include({ status: 2 })
  })

  it('compiles without a warning', () => {
    const { compiler } = checkout
    const command = `${process.env['CC'] ?? 'cc'} -Werror`
    const env = { ...process.env, CC: command }
    expect(checkout.script(['--force'], env)).to.include({ status: 0, stderr: '' })
    expect(existsSync(compiler.BUILT)).to.equal(true)
  })

  it('throws for wrong arguments, and never reads them as something else', () => {
    const addon = createRequire(import.meta.url)(checkout.compiler.build()) as Record<
      string,
      (...args: unknown[]) => unknown
    >
    const wrong: [string, unknown[]][] = [
      ['open', []],
      ['open', ['/dev/net/tun', 'x']],
      ['open', ['/dev/net/tun', 'x', 0]],
      ['open', ['/dev/net/tun', 'x', true]],
      ['open', [1, 2, true, '']],
      ['echoOpen', [new Uint8Array(8), 1]],
      ['echoOpen', [[], () => {}]],
      ['echoSend', [{}, new Uint8Array(8), 1, 64]],
      ['echoClose', [1]],
      ['start', [{}, new Uint32Array(3), null, null, 1, 0, () => {}]],
      ['writeBatch', [null, new Uint32Array(3), null, null, 1, new Int32Array(1)]],
      ['systemCalls', [Symbol.iterator, true]],
      ['close', ['x']],
      ['getProperty', [undefined, 1]],
      ['registerArena', [new Uint8Array(4)]],
      ['interfaceIndex', [7]],
    ]
    for (const [name, words] of wrong) expect(() => addon[name]!(...words), name).to.throw(TypeError)
    expect(addon['open']!('/dev/null', 'a'.repeat(16), false, '')).to.deep.equal({
      errno: -22,
      syscall: 'open',
    })
    expect(addon['open']!('/dev/null\0x', 'a', false, '')).to.deep.equal({ errno: -22, syscall: 'open' })
    expect(addon['open']!('/nonexistent', 'a', false, '')).to.deep.equal({ errno: -2, syscall: 'open' })
    expect(addon['open']!('/dev/null', 'a', false, '/nonexistent')).to.deep.equal({
      errno: -2,
      syscall: 'open namespace',
    })
    expect(addon['open']!('/dev/null', 'a', false, '/dev/null')).to.deep.equal({
      errno: -22,
      syscall: 'setns',
    })
    expect(addon['interfaceIndex']!('lo')).to.be.greaterThan(0)
    expect(addon['interfaceIndex']!('no-such-if')).to.equal(-19)
  })
})
