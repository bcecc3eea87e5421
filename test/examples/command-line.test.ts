/** The options of the example programs: help, and what is said about a wrong one. None of it needs a device. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { parseDuration, parseInteger } from '../../examples/command-line.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

interface Outcome {
  status: number | null
  stdout: string
  stderr: string
}

function run(file: string, ...args: string[]): Outcome {
  const command = ['--import', 'tsx', `examples/${file}`, ...args]
  const { status, stdout, stderr } = spawnSync(process.execPath, command, {
    cwd: ROOT,
    encoding: 'utf8',
    timeout: 15_000,
  })
  return { status, stdout, stderr }
}

describe('command lines of the examples', function () {
  this.timeout(30_000)

  it('reads durations', () => {
    expect(['5s', '500ms', '2m', '3', '0.5s'].map(parseDuration)).to.deep.equal([
      5000, 500, 120_000, 3000, 500,
    ])
    for (const text of ['', 's', '-1s', '0', '5h', '1e3', '99999999m']) {
      expect(() => parseDuration(text), text).to.throw('--for takes a time')
    }
  })

  it('reads whole numbers', () => {
    expect(parseInteger('mtu', '1400')).to.equal(1400)
    expect(parseInteger('mtu', undefined)).to.equal(undefined)
    expect(() => parseInteger('mtu', '14x')).to.throw("--mtu takes a whole number; got '14x'")
  })

  for (const file of ['tun-loopback.ts', 'router.ts']) {
    it(`${file} --help names every option`, () => {
      const { status, stdout } = run(file, '--help')
      expect(status).to.equal(0)
      expect(stdout).to.match(/^Usage: /)
      expect(stdout).to.contain('--for TIME')
    })

    it(`${file} says what is wrong in a line, and ends with status 1`, () => {
      const { status, stdout, stderr } = run(file, '--nonsense')
      expect({ status, stdout }).to.deep.equal({ status: 1, stdout: '' })
      expect(stderr).to.match(/^ERR_PARSE_ARGS_UNKNOWN_OPTION: Unknown option '--nonsense'/)
    })
  }

  it('says what an address must look like', () => {
    const { status, stderr } = run('tun-loopback.ts', '--lo-address', '10.0.3.300/24')
    expect(status).to.equal(1)
    expect(stderr).to.match(/^ERR_INVALID_ARG_VALUE: .*such as 10\.0\.3\.1.*'10\.0\.3\.300/)
    expect(stderr.trim()).not.to.contain('\n')
  })

  it('says that a name is taken by something else', () => {
    const { status, stderr } = run('tun-loopback.ts', '--name', 'no/name')
    expect(status).to.equal(1)
    expect(stderr).to.match(/^ERR_TUN_NAME_INVALID: /)
  })
})
