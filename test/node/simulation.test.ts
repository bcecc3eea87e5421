import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { readPcapng } from '../observe/pcapng-reader.ts'

const ROOT = join(import.meta.dirname, '../..')

/** A network whose run fails after a ping. */
const FAILING = `
  import { simulate } from '${ROOT}/lib/node/simulation.ts'
  const net = simulate(JSON.parse(process.argv[1]))
  const a = net.host('10.0.0.1/24')
  net.link(a, net.host('10.0.0.2/24'), { delay: 10 })
  await net.run(async () => {
    await a.ping('10.0.0.2', { count: 2 })
    throw new Error('mine')
  }).catch(({ message }) => console.log(message))
`

describe('tunstack/sim on Node', function () {
  this.timeout(30_000)
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tunstack-sim-test-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  async function run(options: object, env: Record<string, string> = {}) {
    const args = ['--import', 'tsx', '--input-type=module', '--eval', FAILING, JSON.stringify(options)]
    return await promisify(execFile)(process.execPath, args, {
      cwd: ROOT,
      env: { ...process.env, TUNSTACK_SIM_DIR: folder, ...env },
    })
  }

  it('a run that fails prints its seed and writes a pcapng', async () => {
    const { stdout, stderr } = await run({ seed: 4711 })
    const file = join(folder, 'tunstack-sim-4711.pcapng')
    expect(stderr).to.equal(
      `simulation failed with seed 4711 at 1.02 s; simulate({ seed: 4711 }) repeats it; packets: ${file}\n`,
    )
    expect(stdout).to.contain('mine\n(simulation failed with seed 4711 at 1.02 s')
    expect(readPcapng(readFileSync(file)).filter(({ type }) => type === 6)).to.have.length(4)
  })

  it('the seed may come from outside, where the program gives none', async () => {
    expect((await run({}, { TUNSTACK_SIM_SEED: '99' })).stderr).to.contain('seed 99')
    expect((await run({ seed: 5 }, { TUNSTACK_SIM_SEED: '99' })).stderr).to.contain('seed 5 ')
    const failure = await run({}, { TUNSTACK_SIM_SEED: 'x' }).then(
      () => expect.fail('it was taken'),
      ({ stderr }: { stderr: string }) => stderr,
    )
    expect(failure).to.contain("TUNSTACK_SIM_SEED must be an integer; got 'x'")
  })

  it('without one, each run has another', async () => {
    const seeds = await Promise.all([run({}), run({})])
    expect(seeds[0].stderr.split(' at ')[0]).to.not.equal(seeds[1].stderr.split(' at ')[0])
  })

  it('a folder that is not there is no reason to lose the error', async () => {
    const { stdout, stderr } = await run({ seed: 1 }, { TUNSTACK_SIM_DIR: join(folder, 'no/such') })
    expect(stdout).to.contain('mine')
    expect(stderr).to.contain('its packets could not be written: ENOENT')
    expect(existsSync(join(folder, 'no'))).to.equal(false)
  })
})
