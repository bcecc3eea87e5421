/** What examples/simulation.ts prints: the same for the same seed, another thing for another one. */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

function run(seed: number): string {
  return execFileSync(process.execPath, ['--import', 'tsx', 'examples/simulation.ts', String(seed)], {
    cwd: ROOT,
    encoding: 'utf8',
    timeout: 25_000,
  })
}

describe('examples/simulation.ts', function () {
  this.timeout(60_000)

  it('has every request answered, and is repeatable', () => {
    const output = run(1)
    expect(output).to.match(/^\d+ requests in 6\d\.\d s of virtual time, \d+ events$/m)
    expect(output).to.match(/^answered at the first try: \d+; most tries: 1[5-9]|[2-9]\d$/m)
    expect(output).to.match(/UDP, length 1$/m)
    expect(run(1)).to.equal(output)
    expect(run(2)).to.not.equal(output)
  })
})
