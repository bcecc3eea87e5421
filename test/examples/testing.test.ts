/** The recipes of docs/testing.md run as they stand there, by the runners that they are for. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect } from 'chai'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

function recipe(runner: string): string {
  const page = readFileSync(join(ROOT, 'docs/testing.md'), 'utf8')
  const block = Array.from(page.matchAll(/^```js\n(.*?)^```$/gms), ([, code]) => code!).find((code) =>
    code.startsWith(`// http.test.mjs, for ${runner}\n`),
  )
  return block!.replace("'tunstack/sim'", "'../../../lib/node/simulation.ts'")
}

describe('docs/testing.md', function () {
  this.timeout(60_000)
  let folder: string
  before(() => (folder = mkdtempSync(join(ROOT, 'test/examples/recipe-'))))
  after(() => rmSync(folder, { recursive: true }))

  const run = async (runner: string, args: readonly string[]): Promise<string> => {
    const file = join(folder, 'http.test.mjs')
    writeFileSync(file, recipe(runner))
    // Without what tells node:test that it runs inside of another run.
    const { NODE_TEST_CONTEXT: _, ...env } = process.env
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', ...args, file], {
      cwd: ROOT,
      env,
      timeout: 50_000,
    })
    return stdout
  }

  it('mocha', async () => {
    const mocha = join(ROOT, 'node_modules/mocha/bin/mocha.js')
    expect(await run('mocha', [mocha, '--no-config'])).to.match(/ 2 passing/)
  })

  it('node:test', async () => {
    expect(await run('node:test', ['--test', '--test-reporter=tap'])).to.match(/# pass 2\n# fail 0/)
  })
})
