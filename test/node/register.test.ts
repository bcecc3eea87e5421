import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { ENTRIES } from './programs/entries.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

describe('tunstack/register', function () {
  this.timeout(30_000)
  this.slow(10_000)
  let folder: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'tunstack-register-'))
    writeFileSync(join(folder, 'hosts'), '10.9.0.7 db\n')
  })
  after(() => rmSync(folder, { recursive: true }))

  function run(args: readonly string[], environment: Record<string, string> = {}) {
    const own = ['--import', 'tsx', '--import', './lib/node/register.ts', ...args]
    const env = { ...process.env, TUNSTACK_HOSTS: join(folder, 'hosts'), ...environment }
    const { status, stdout, stderr } = spawnSync(process.execPath, own, {
      cwd: ROOT,
      encoding: 'utf8',
      env,
      timeout: 25_000,
    })
    return { status, stdout: stdout.trim(), stderr }
  }

  for (const program of ['entries.cjs', 'entries.mjs']) {
    it(`every way into the network uses the stack: ${program}`, () => {
      const { status, stdout, stderr } = run([`test/node/programs/${program}`])
      expect(status, stderr).to.equal(0)
      expect(JSON.parse(stdout)).to.deep.equal(ENTRIES)
    })
  }

  it('the program that shows it fails where the kernel is used', () => {
    const { status, stderr } = spawnSync(process.execPath, ['test/node/programs/entries.cjs'], {
      cwd: ROOT,
      encoding: 'utf8',
      timeout: 25_000,
    })
    expect(status).to.equal(1)
    expect(stderr).to.contain('sockets of the kernel')
  })

  it('express, ws, undici and pg run unchanged', () => {
    const { status, stdout, stderr } = run(['test/node/programs/packages.cjs'])
    expect(status, stderr).to.equal(0)
    expect(JSON.parse(stdout)).to.deep.equal({
      'express, undici': [200, { sum: 42 }],
      ws: 'echo hello',
      pg: [{ answer: 'SELECT 42' }],
    })
  })

  it('cluster is refused, local sockets and standard streams are the kernel’s', () => {
    const { status, stdout, stderr } = run([
      '--eval',
      `const net = require('net')
      try { require('cluster').fork() } catch ({ code }) { console.log(code) }
      const path = ${JSON.stringify(join(folder, 'socket'))}
      const server = net.createServer((socket) => socket.end('local')).listen(path, () => {
        net.connect(path).on('data', (bytes) => console.log(String(bytes))).on('close', () => server.close())
      })
      require('child_process').exec('echo child', (_error, text) => console.log(text.trim()))`,
    ])
    expect(status, stderr).to.equal(0)
    expect(stdout.split('\n').sort()).to.deep.equal(['ERR_NOT_SUPPORTED', 'child', 'local'])
  })

  it('a program ends when nothing is open, and with what the stack is to be it gets what was asked for', () => {
    const script = join(folder, 'script.ip')
    writeFileSync(script, 'address add 192.0.2.9/32 dev lo\n')
    const { status, stdout, stderr } = run(
      [
        '--eval',
        `const server = require('net').createServer().listen(0, '192.0.2.9', () => { console.log(server.address().address); server.unref() })
        require('net').createServer().listen(0, '10.1.2.3', function () { console.log(this.address().address); this.close() })`,
      ],
      { TUNSTACK_ADDRESS: '10.1.2.3/24', TUNSTACK_SCRIPT: script },
    )
    expect(status, stderr).to.equal(0)
    expect(stdout.split('\n').sort()).to.deep.equal(['10.1.2.3', '192.0.2.9'])
  })

  it('what cannot be done ends the program with the reason', () => {
    for (const [environment, reason] of [
      [{ TUNSTACK_ADDRESS: 'x' }, /ERR_INVALID_ARG_VALUE/],
      [{ TUNSTACK_ROUTE: 'nonsense' }, /ERR_DEFAULT_STACK/],
      [{ TUNSTACK_DNS: 'nobody' }, /ERR_INVALID_ARG_VALUE/],
      [{ TUNSTACK_HOSTS: '/nonexistent' }, /ENOENT/],
    ] as const) {
      const { status, stdout, stderr } = run(['--eval', 'console.log(1)'], environment)
      expect(status).to.not.equal(0)
      expect(stdout).to.equal('')
      expect(stderr).to.match(reason)
    }
  })
})
