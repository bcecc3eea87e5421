import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import vm from 'node:vm'
import { expect } from 'chai'
import { build } from 'esbuild'
import { sum } from '../../lib/wire/checksum.ts'
import { assemble, expectedModule } from '../../scripts/assemble-checksum.ts'

const LIB = fileURLToPath(new URL('../../lib/wire/', import.meta.url))

describe('wire/checksum-simd', () => {
  it('has the module that its source says', () => {
    expect(readFileSync(`${LIB}checksum-simd-module.ts`, 'utf8')).to.equal(expectedModule())
  })

  it('is assembled from what the assembler knows, and from nothing else', () => {
    const module = (body: string): string =>
      `(module (memory (export "m") 1) (func (export "f") (param $x i32) (result i32) ${body}))`
    const instantiate = vm.runInThisContext(
      '(bytes) => new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports.f',
    ) as (bytes: Uint8Array) => (x: number) => number
    expect(instantiate(assemble(module('local.get $x i32.const -300 i32.add')))(1000)).to.equal(700)
    expect(() => assemble(module('local.get $y'))).to.throw(/no local '\$y'/)
    expect(() => assemble(module('f32.add'))).to.throw(/no instruction 'f32.add'/)
  })

  /** What a bundle of the checksum makes of 2000 bytes in a context that `prepare` has changed. */
  async function inContext(prepare: string): Promise<[sum: number, vectors: number]> {
    const { outputFiles } = await build({
      stdin: {
        contents: `import { sum } from './checksum.ts'
          import { sumSimd } from './checksum-simd.ts'
          globalThis.results = () => {
            const bytes = Uint8Array.from({ length: 2000 }, (_, i) => i * 7)
            return [sum(bytes, 1, 1999), sumSimd(bytes, 1, 1999)]
          }`,
        resolveDir: LIB,
        loader: 'ts',
      },
      bundle: true,
      write: false,
      platform: 'browser',
      format: 'iife',
      logLevel: 'silent',
    })
    const context = vm.createContext(Object.create(null))
    vm.runInContext(`${prepare};${outputFiles[0]!.text}`, context)
    return vm.runInContext('results()', context) as [number, number]
  }

  const bytes = Uint8Array.from({ length: 2000 }, (_, i) => i * 7)
  const expected = sum(bytes, 1, 1999) % 0xffff

  it('runs where there is WebAssembly', async () => {
    const [total, vectors] = await inContext('')
    expect(total % 0xffff).to.equal(expected)
    expect(vectors % 0xffff).to.equal(expected)
  })

  it('steps aside where there is none, or where it is forbidden', async () => {
    for (const prepare of [
      'delete globalThis.WebAssembly',
      'WebAssembly.Module = class { constructor() { throw new Error("unsafe-eval") } }',
    ]) {
      const [total, vectors] = await inContext(prepare)
      expect(total % 0xffff).to.equal(expected)
      expect(vectors).to.equal(-1)
    }
  })
})
