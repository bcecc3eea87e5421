import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect } from 'chai'

const ROOT = join(import.meta.dirname, '../..')

describe('docs/conformance.md', () => {
  it('names every test that carries the id of a behaviour', () => {
    const script = ['--import', 'tsx', 'scripts/conformance.ts', '--check']
    const { status, stderr } = spawnSync(process.execPath, script, { cwd: ROOT, encoding: 'utf8' })
    expect(status, stderr).to.equal(0)
  }).timeout(60_000)
})
