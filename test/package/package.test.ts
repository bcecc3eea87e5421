/**
 * The npm package as its users get it: packed, installed without install scripts into an empty project, imported
 * from JavaScript and from TypeScript, and run on each Node that it says it supports.
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { ENTRIES } from '../node/programs/entries.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc')
const NODE_VERSIONS = ['20', '22', '24']

/** Two hosts joined by a pipe; one pings the other and prints what came of it. */
const ECHO = `
import { createPipe, Stack } from 'tunstack'
const [here, there] = createPipe()
const a = new Stack()
const b = new Stack()
for (const [stack, end, address] of [[a, here, '10.9.0.1/24'], [b, there, '10.9.0.2/24']]) {
  const nic = stack.addDevice(end)
  nic.up()
  nic.addAddress(address)
}
const { transmitted, received } = await a.ping('10.9.0.2', { count: 2, interval: 10 })
await a.close()
await b.close()
console.log(JSON.stringify({ transmitted, received }))
`

/** Two hosts in virtual time: a ping, and a datagram that comes back. */
const SIMULATION = `
import { simulate } from 'tunstack/sim'
const net = simulate({ seed: 1 })
const a = net.host('10.0.0.1/24')
const b = net.host('10.0.0.2/24')
net.link(a, b, { delay: '20ms' })
const result = await net.run(async () => {
  const { received, probes } = await a.ping('10.0.0.2', { count: 3 })
  const echo = b.udp.bind({ port: 7, onMessage: ({ data, address, port }) => echo.send(data, { address, port }) })
  const socket = a.udp.bind()
  socket.send(new Uint8Array(5), { address: '10.0.0.2', port: 7 })
  return { received, rtt: probes[0].rtt, echoed: (await socket.receive()).data.length }
})
await net.close()
console.log(JSON.stringify(result))
`

/** As strict as a TypeScript project gets, and with our declarations checked as if they were its own. */
const TSCONFIG = {
  compilerOptions: {
    target: 'ES2022',
    module: 'NodeNext',
    lib: ['ES2023', 'ESNext.Disposable'],
    types: [],
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
    noEmit: true,
  },
  include: ['*.ts'],
}

type Target = string | { [condition: string]: Target }

interface Manifest {
  exports: Record<string, Target>
  bin?: Record<string, string>
  dependencies: Record<string, string>
}

interface Outcome {
  status: number
  stdout: string
  stderr: string
}

async function run(
  file: string,
  args: readonly string[],
  cwd: string,
  environment: Record<string, string> = {},
): Promise<Outcome> {
  try {
    const env = { ...process.env, ...environment }
    const { stdout, stderr } = await promisify(execFile)(file, args, { cwd, env, timeout: 110_000 })
    return { status: 0, stdout, stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { status: code, stdout, stderr }
  }
}

async function succeed(
  file: string,
  args: readonly string[],
  cwd: string,
  environment?: Record<string, string>,
): Promise<string> {
  const { status, stdout, stderr } = await run(file, args, cwd, environment)
  expect(status, `${file} ${args.join(' ')}\n${stdout}\n${stderr}`).to.equal(0)
  return stdout.trim()
}

/** The node of that major version: the running one, or the binary that npm has as a package. */
async function nodeOf(major: string, cwd: string): Promise<string> {
  if (process.versions.node.split('.')[0] === major) return process.execPath
  const binary = `node-${process.platform}-${process.arch}@${major}`
  return await succeed('npx', ['--yes', '--package', binary, 'node', '-p', 'process.execPath'], cwd)
}

describe('npm package', () => {
  let folder: string
  let installed: string
  let files: string[]
  let manifest: Manifest

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tunstack-package-'))
    await succeed('npm', ['pack', '--pack-destination', folder], ROOT)
    const [tarball] = readdirSync(folder)
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
    await succeed('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', `./${tarball}`], folder)
    installed = join(folder, 'node_modules/tunstack')
    files = readdirSync(installed, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(installed.length + 1))
    manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as Manifest
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  /** Writes an ES module into the project and runs it there. */
  async function script(node: string, text: string): Promise<string> {
    writeFileSync(join(folder, 'script.mjs'), text)
    return await succeed(node, ['script.mjs'], folder)
  }

  describe('what is in it', () => {
    it('has the built library, the driver and what npm always adds, nothing else', () => {
      const allowed =
        /^(package\.json|README\.md|LICENSE|CHANGELOG\.md|dist\/.+\.(js|d\.ts)|native\/[\w-]+\.(c|h|cjs)|prebuilds\/[\w-]+\/tun\.node)$/
      expect(files.filter((file) => !allowed.test(file))).to.deep.equal([])
      expect(files.filter((file) => /test|bench|example/.test(file))).to.deep.equal([])
      expect(files).to.include.members([
        'package.json',
        'LICENSE',
        'dist/index.js',
        'dist/index.d.ts',
        'native/tun.c',
      ])
    })

    if (process.platform === 'linux') {
      it('has the driver compiled for this machine', () => {
        expect(files).to.include(`prebuilds/linux-${process.arch}/tun.node`)
      })
    }

    it('imports no source: every relative import ends in .js and is there', () => {
      const broken: string[] = []
      for (const file of files.filter((name) => name.startsWith('dist/') && name.endsWith('.js'))) {
        const text = readFileSync(join(installed, file), 'utf8')
        for (const [, specifier] of text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'(\.[^']+)'/g)) {
          const target = join(installed, file, '..', specifier!)
          if (!specifier!.endsWith('.js') || !existsSync(target)) broken.push(`${file}: ${specifier}`)
        }
      }
      expect(broken).to.deep.equal([])
    })

    it('depends on three packages alone, one of which has a dependency of its own', () => {
      const dependencies = ['buffer-layout', 'dns-packet', 'ip-num']
      expect(Object.keys(manifest.dependencies).sort()).to.deep.equal(dependencies)
      const others = readdirSync(join(folder, 'node_modules')).filter((name) => !name.startsWith('.'))
      expect(others.sort()).to.deep.equal(['@leichtgewicht', ...dependencies, 'tunstack'].sort())
    })

    it('has the files that its exports and bin name', () => {
      const filesOf = (target: Target): string[] =>
        typeof target === 'string' ? [target] : Object.values(target).flatMap(filesOf)
      const named = Object.values(manifest.exports).flatMap(filesOf)
      const missing = [...named, ...Object.values(manifest.bin ?? {})].filter(
        (path) => !files.includes(path.replace(/^\.\//, '')),
      )
      expect(missing).to.deep.equal([])
    })
  })

  describe('in TypeScript', () => {
    const compile = async (text: string): Promise<Outcome> => {
      writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(TSCONFIG))
      writeFileSync(join(folder, 'program.ts'), text)
      return await run(process.execPath, [TSC, '-p', '.'], folder)
    }

    it('type-checks a program without Node types, declarations included', async () => {
      const { status, stdout } = await compile(`
        import { createPipe, Stack } from 'tunstack'
        const stack: Stack = new Stack()
        const [end] = createPipe()
        stack.addDevice(end).addAddress('10.9.0.2/24')
        export const received: Promise<number> = stack.ping('10.9.0.2', { count: 1 }).then((result) => result.received)
      `)
      expect(stdout).to.equal('')
      expect(status).to.equal(0)
    })

    it('rejects a wrong call, so that the types are really there', async () => {
      const { status, stdout } = await compile(`
        import { Stack } from 'tunstack'
        new Stack().ping(42)
        new Stack().noSuchMethod()
      `)
      expect(status).not.to.equal(0)
      expect(stdout).to.match(/program\.ts\(3,26\): error TS2345/)
      expect(stdout).to.match(/program\.ts\(4,21\): error TS2339/)
    })

    it('type-checks every entry for a program with Node types', async () => {
      mkdirSync(join(folder, 'with-node'), { recursive: true })
      const compilerOptions = {
        ...TSCONFIG.compilerOptions,
        types: ['node'],
        typeRoots: [join(ROOT, 'node_modules/@types')],
      }
      writeFileSync(join(folder, 'with-node/tsconfig.json'), JSON.stringify({ ...TSCONFIG, compilerOptions }))
      const names = Object.keys(manifest.exports).filter((name) => name !== './package.json')
      const imports = names
        .map((name, i) => `export * as entry${i} from 'tunstack${name.slice(1)}'`)
        .join('\n')
      const program = `
        import { simulate } from 'tunstack/sim'
        const net = simulate({ seed: 1 })
        const [a, b] = [net.host('10.0.0.1/24'), net.host('10.0.0.2/24', { name: 'b' })]
        net.link(a, b, { delay: '20ms', loss: 0.01 })
        export const running: Promise<void> = net.run(async () => {
          b.http.createServer((request, response) => response.end(request.url)).listen(80)
          net.timers.setTimeout(() => a.http.get('http://b/'), 10)
        })
      `
      writeFileSync(join(folder, 'with-node/program.ts'), imports + program)
      const { status, stdout } = await run(process.execPath, [TSC, '-p', 'with-node'], folder)
      expect(stdout).to.equal('')
      expect(status).to.equal(0)
    })
  })

  for (const major of NODE_VERSIONS) {
    describe(`on Node ${major}`, () => {
      let node: string

      before(async () => {
        node = await nodeOf(major, folder)
        expect(await succeed(node, ['-v'], folder)).to.match(new RegExp(`^v${major}\\.`))
      })

      it('answers a ping in the process', async () => {
        expect(JSON.parse(await script(node, ECHO))).to.deep.equal({ transmitted: 2, received: 2 })
      })

      it('simulates a network', async () => {
        expect(JSON.parse(await script(node, SIMULATION))).to.deep.equal({ received: 3, rtt: 40, echoed: 5 })
      })

      it('resolves every entry of its exports', async () => {
        for (const name of Object.keys(manifest.exports)) {
          if (name === './package.json') continue
          // `tunstack/register` is imported for what it does.
          const least = name === './register' ? 0 : 1
          const text = `console.log(Object.keys(await import('tunstack${name.slice(1)}')).length >= ${least})`
          expect(await script(node, text), name).to.equal('true')
        }
      })

      for (const program of ['entries.cjs', 'entries.mjs']) {
        it(`gives a program that knows nothing of it a stack: ${program}`, async () => {
          const hosts = join(folder, 'hosts')
          writeFileSync(hosts, '10.9.0.7 db\n')
          const path = join(ROOT, 'test/node/programs', program)
          const own = ['--import', 'tunstack/register', path]
          const text = await succeed(node, own, folder, { TUNSTACK_HOSTS: hosts })
          expect(JSON.parse(text)).to.deep.equal(ENTRIES)
        })
      }

      it('has net and dgram to require and to import, the same objects', async () => {
        const text = `
          import { createRequire } from 'node:module'
          import net, { createServer } from 'tunstack/net'
          import dgram from 'tunstack/dgram'
          const require = createRequire(import.meta.url)
          const required = require('tunstack/net')
          required.mine = 1
          console.log(required === net, required.createServer === createServer, require('tunstack/dgram') === dgram)
          const server = createServer((socket) => {
            socket.end('hello')
            server.close()
          }).listen(0, () => {
            net.connect(server.address().port).on('data', (bytes) => console.log(String(bytes)))
          })`
        expect(await script(node, text)).to.equal('true true true\nhello')
      })

      it('refuses what is not an entry', async () => {
        for (const path of ['dist/index.js', 'dist/stack.js', 'lib/index.ts', 'native/tun.c']) {
          const text = `console.log(await import('tunstack/${path}').then(() => 'imported', (error) => error.code))`
          expect(await script(node, text), path).to.equal('ERR_PACKAGE_PATH_NOT_EXPORTED')
        }
      })

      if (process.platform === 'linux') {
        it('loads the driver that came compiled', async () => {
          // nothing is made: a device of that name exists everywhere and is no TUN
          const text = `
            import { openTun } from 'tunstack/tun'
            console.log(await openTun({ name: 'lo' }).then(() => 'opened', (error) => error.code))`
          const code = await script(node, text)
          expect(code).to.match(/^ERR_TUN_/)
          expect(code).not.to.match(/ADDON|COMPILER|PLATFORM/)
          expect(existsSync(join(installed, 'native/build'))).to.equal(false)
        })
      }
    })
  }
})
