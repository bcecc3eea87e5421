/** The checker of import directions must find each kind of mistake, in trees made for the purpose. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect } from 'chai'
import fc from 'fast-check'
import { checkImports } from '../../scripts/check-imports.ts'
import { scan } from '../../scripts/source-scan.ts'

const MANIFEST = JSON.stringify({
  exports: {
    '.': { types: './dist/index.d.ts', default: './dist/index.js' },
    './tun': './dist/device/tun/index.js',
  },
  bin: { tunstack: './dist/cli/main.js' },
})

describe('check-imports', () => {
  let root: string

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'tunstack-imports-'))
  })
  afterEach(() => rmSync(root, { recursive: true }))

  /** What the checker says of a tree of these files. */
  function check(files: Record<string, string>): string[] {
    for (const [file, text] of Object.entries({ 'package.json': MANIFEST, ...files })) {
      mkdirSync(dirname(join(root, file)), { recursive: true })
      writeFileSync(join(root, file), text)
    }
    return checkImports(root)
  }

  it('finds nothing wrong with imports that point down', () => {
    expect(
      check({
        'lib/index.ts': "export { Stack } from './stack/stack.ts'\n",
        'lib/stack/stack.ts':
          "import { Fib } from '../route/fib.ts'\nimport { Layout } from 'buffer-layout'\n",
        'lib/route/fib.ts': "import type { Route } from './route.ts'\nimport { E } from '../errors.ts'\n",
        'lib/route/route.ts': 'export interface Route { process?: string }\n',
        'lib/device/tun/tun.ts':
          "import { open } from 'node:fs'\nimport { NetDevice } from '../net-device.ts'\n",
        'lib/device/net-device.ts': '// Buffer, process, setTimeout()\nexport const text = "globalThis"\n',
        'lib/errors.ts': 'export const pattern = /Buffer/\n',
        'examples/a.ts':
          "import { Stack } from '../lib/index.ts'\nimport { openTun } from '../lib/device/tun/index.ts'\n",
        'test/a.test.ts': "import { Fib } from '../lib/route/fib.ts'\n",
      }),
    ).to.deep.equal([])
  })

  const upward: [string, string][] = [
    ['an import', "import { Stack } from '../stack/stack.ts'"],
    ['a type import', "import type { Stack } from '../stack/stack.ts'"],
    ['a type within an import', "import { type Stack } from '../stack/stack.ts'"],
    ['a re-export', "export * from '../stack/stack.ts'"],
    ['a re-export of types', "export type { Stack } from '../stack/stack.ts'"],
    ['a dynamic import', "const stack = await import('../stack/stack.ts')"],
    ['an import type', "let stack: import('../stack/stack.ts').Stack"],
    ['an import for its effects', "import '../stack/stack.ts'"],
    ['an import over several lines', "import {\n  type Stack,\n} from '../stack/stack.ts'"],
  ]
  for (const [what, text] of upward) {
    it(`finds ${what} that points up`, () => {
      const problems = check({ 'lib/route/fib.ts': `${text}\n`, 'lib/stack/stack.ts': '' })
      expect(problems).to.have.length(1)
      expect(problems[0]).to.match(
        /^lib\/route\/fib\.ts:\d: route imports '\.\.\/stack\/stack\.ts', but stack is above it$/,
      )
    })
  }

  it('finds the core importing the part of its own folder that needs Node', () => {
    const [problem] = check({
      'lib/device/pipe.ts': "import { Tun } from './tun/tun.ts'\n",
      'lib/device/tun/tun.ts': '',
    })
    expect(problem).to.contain('device/tun is above it')
  })

  it('finds a circle between parts of one layer', () => {
    expect(
      check({
        'lib/time/a.ts': "import '../random/b.ts'\n",
        'lib/random/b.ts': "import type { A } from '../time/a.ts'\n",
      }),
    ).to.deep.equal(['lib/: import circle random → time → random'])
  })

  it('finds a file that has no place in the order', () => {
    expect(check({ 'lib/helpers/x.ts': '' })).to.deep.equal([
      'lib/helpers/x.ts: scripts/import-order.ts has no place for this file',
    ])
  })

  it('finds Node modules and foreign packages in the core, and foreign packages anywhere in lib', () => {
    const problems = check({
      'lib/wire/a.ts':
        "import { readFileSync } from 'node:fs'\nimport { Buffer } from 'buffer'\nimport 'koffi'\n",
      'lib/node/b.ts': "import { connect } from 'node:net'\nimport { expect } from 'chai'\n",
      'lib/device/tun/c.ts': "const koffi = await import('koffi')\n",
      'lib/wire/d.ts': "import x from '../../native/x.ts'\n",
    })
    expect(problems).to.include.members([
      "lib/wire/a.ts:1: wire may not import 'node:fs'",
      "lib/wire/a.ts:2: wire may not import 'buffer'",
      "lib/wire/a.ts:3: wire may not import 'koffi'",
      "lib/node/b.ts:2: node may not import 'chai'",
      "lib/wire/d.ts:1: '../../native/x.ts' is outside lib/",
    ])
    expect(problems.filter((problem) => /node\/b\.ts:1|tun\/c\.ts/.test(problem))).to.deep.equal([])
  })

  for (const text of [
    'Buffer.alloc(1)',
    'x = process',
    'f(...process.argv)',
    'performance.now()',
    'setTimeout(f, 1)',
    'Math.random()',
    'Math . random()',
    'new Date()',
    'globalThis.x',
    '`${`a${Date.now()}`}`',
  ]) {
    it(`finds ${text} in the core`, () => {
      const problems = check({ 'lib/packet/a.ts': `\n${text}\n` })
      expect(problems).to.have.length(1)
      expect(problems[0]).to.match(/^lib\/packet\/a\.ts:2: .* has no place here$/)
    })
  }

  it('finds Math.random() outside the core too, where process is allowed', () => {
    expect(check({ 'lib/node/a.ts': 'process.exit(Math.random())\n' })).to.deep.equal([
      'lib/node/a.ts:1: Math.random has no place here',
    ])
  })

  it('lets only the system clock and the system randomness reach the runtime', () => {
    const text = 'const runtime = globalThis\n'
    expect(
      check({ 'lib/time/system-clock.ts': text, 'lib/random/random.ts': text, 'lib/time/clock.ts': text }),
    ).to.deep.equal(['lib/time/clock.ts:1: globalThis has no place here'])
  })

  it('finds an example that imports the inside of the library', () => {
    const [problem] = check({ 'examples/a.ts': "import { Fib } from '../lib/route/fib.ts'\n" })
    expect(problem).to.match(
      /^examples\/a\.ts:1: .*lib\/index\.ts, lib\/device\/tun\/index\.ts, lib\/cli\/main\.ts$/,
    )
  })
})

describe('source-scan', () => {
  it('keeps code and lines, and blanks what is not code', () => {
    const { code } = scan('a // b\n/* c\n */ d("e", /f[/]g/, `h${i + `j`}k`)\nl = m / n / o')
    expect(code.replace(/ +/g, ' ')).to.equal('a \n \n d(" ", 0 , ` ${i + ` `} `)\nl = m / n / o')
  })

  it('ends, and keeps the lines, whatever the text', () => {
    const piece = fc.constantFrom(
      '`',
      '${',
      '}',
      '{',
      '/',
      '*',
      '//',
      '/*',
      "'",
      '"',
      '\\',
      '\n',
      '[',
      ']',
      'a',
      ' ',
      'from',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const text = pieces.join('')
        expect(scan(text).code.split('\n').length).to.equal(text.split('\n').length)
      }),
    )
  })
})
