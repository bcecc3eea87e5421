/** What README.md and the guides show runs as it stands there, and prints what they say. */
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect } from 'chai'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PAGES = [
  'README.md',
  'docs/getting-started.md',
  'docs/loopback.md',
  'docs/simulation.md',
  'docs/tcp.md',
  'docs/tcp-comparison.md',
  'docs/testing.md',
]

interface Block {
  language: string
  code: string
}

const read = (page: string): string => readFileSync(join(ROOT, page), 'utf8')

function blocks(page: string): Block[] {
  const found = read(page).matchAll(/^```(\w*)\n(.*?)^```$/gms)
  return Array.from(found, ([, language, code]) => ({ language: language!, code: code! }))
}

/** Each program of a page, with the text block that follows it: what it prints. */
function programs(page: string): { code: string; printed: string | undefined }[] {
  const all = blocks(page)
  return all.flatMap(({ language, code }, i) => {
    if (language !== 'ts') return []
    const next = all[i + 1]
    return [{ code, printed: next?.language === 'text' ? next.code : undefined }]
  })
}

describe('the pages', function () {
  this.timeout(30_000)

  let folder: string
  // Inside the checkout, so that tsx compiles it as a module of this package.
  before(() => (folder = mkdtempSync(join(ROOT, 'test/examples/page-'))))
  after(() => rmSync(folder, { recursive: true }))

  async function run(code: string): Promise<string> {
    const file = join(folder, 'program.ts')
    const entries = {
      "'tunstack'": "'../../../lib/index.ts'",
      "'tunstack/sim'": "'../../../lib/node/simulation.ts'",
    }
    let text = code
    for (const [name, path] of Object.entries(entries)) text = text.replaceAll(name, path)
    writeFileSync(file, text)
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', file], {
      timeout: 20_000,
    })
    return stdout
  }

  /** Without what differs from run to run, and white space at the end of lines, which editors take away. */
  const steady = (text: string): string =>
    text
      .replace(/\d+(\.\d+)?( ?ms|\/)/g, 'N$2')
      .replace(/[ \t]+$/gm, '')
      .trim()

  for (const page of PAGES) {
    const found = programs(page).filter(({ code }) => !code.includes('tunstack/tun'))
    for (const [i, { code, printed }] of found.entries()) {
      it(`${page}: program ${i + 1} of ${found.length} runs and prints what the page says`, async () => {
        const output = await run(code)
        expect(output).not.to.equal('')
        if (printed !== undefined) expect(steady(output)).to.equal(steady(printed))
      })
    }

    it(`${page}: every link leads to a file`, () => {
      const links = Array.from(
        read(page).matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g),
        ([, target]) => target!,
      )
      expect(links).not.to.have.length(0)
      for (const link of links) expect(existsSync(join(ROOT, dirname(page), link)), link).to.equal(true)
    })

    it(`${page}: every npm script and program that it names is there`, () => {
      const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
      const text = read(page)
      for (const [, name] of text.matchAll(/npm run ([a-z]+)/g)) expect(scripts).to.have.property(name!)
      for (const [, file] of text.matchAll(/--import tsx (\S+\.ts)/g)) {
        expect(existsSync(join(ROOT, file!)), file).to.equal(true)
      }
    })
  }

  it('README.md shows a program of the library, of about twenty lines', () => {
    const [program] = programs('README.md')
    expect(program!.printed).not.to.equal(undefined)
    expect(program!.code.trim().split('\n').length).to.be.within(10, 25)
  })
})
