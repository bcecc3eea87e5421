/** The words of the `tunstack` command itself, from a checkout. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

function tunstack(...args: string[]) {
  const run = spawnSync(process.execPath, ['--import', 'tsx', 'lib/cli/tunstack.ts', ...args], {
    cwd: ROOT,
    encoding: 'utf8',
    input: 'link show lo\n',
  })
  return { stdout: run.stdout, stderr: run.stderr, status: run.status }
}

describe('tunstack', () => {
  it('tells its version and its usage', () => {
    const { version } = JSON.parse(readFileSync(new URL('package.json', `file://${ROOT}`), 'utf8'))
    expect(tunstack('--version')).to.deep.equal({ stdout: `tunstack ${version}\n`, stderr: '', status: 0 })
    const help = tunstack('--help')
    expect(help).to.include({ stderr: '', status: 0 })
    expect(help.stdout).to.match(/^Usage: tunstack ip /)
  }).timeout(30_000)

  it('says what it does not understand, with status 2', () => {
    for (const [args, why] of [
      [[], 'a command is needed'],
      [['bogus'], "there is no command 'bogus'"],
      [['--bogus', 'ip'], "Unknown option '--bogus'"],
    ] as const) {
      const { stdout, stderr, status } = tunstack(...args)
      expect(stderr).to.include(`tunstack: ${why}`)
      expect({ stdout, status }).to.deep.equal({ stdout: '', status: 2 })
    }
  }).timeout(30_000)

  it('hands everything after ip to the language', () => {
    expect(tunstack('ip', '-batch', '-').stdout).to.match(
      /^1: lo: <LOOPBACK> mtu 65536 qdisc noop state DOWN/,
    )
    expect(tunstack('ip', '-6', 'route')).to.include({ status: 2 })
    expect(tunstack('ip', 'route', 'get', '8.8.8.8')).to.deep.equal({
      stdout: '',
      stderr: 'RTNETLINK answers: Network is unreachable\n',
      status: 2,
    })
  }).timeout(30_000)
})
