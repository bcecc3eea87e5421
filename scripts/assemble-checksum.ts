/**
 * `node --import tsx scripts/assemble-checksum.ts`: assembles scripts/checksum-simd.wat and writes the bytes as
 * lib/wire/checksum-simd-module.ts. It knows as much of the WebAssembly text format as that source needs: one
 * memory, one function, instructions one per line, names for locals, depths for labels.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const SOURCE = new URL('./checksum-simd.wat', import.meta.url)
const TARGET = new URL('../lib/wire/checksum-simd-module.ts', import.meta.url)

const TYPES: Readonly<Record<string, number>> = { i32: 0x7f, v128: 0x7b }

/** What follows an opcode. */
type Immediate = 'none' | 'local' | 'signed' | 'label' | 'block' | 'memory' | 'zeroes' | 'lane'

/** Opcodes of the WebAssembly core specification, §5.4; those of vectors have the prefix 0xfd. */
const OPCODES: Readonly<Record<string, readonly [opcode: readonly number[], immediate: Immediate]>> = {
  block: [[0x02], 'block'],
  loop: [[0x03], 'block'],
  end: [[0x0b], 'none'],
  br: [[0x0c], 'label'],
  br_if: [[0x0d], 'label'],
  'local.get': [[0x20], 'local'],
  'local.set': [[0x21], 'local'],
  'local.tee': [[0x22], 'local'],
  'i32.const': [[0x41], 'signed'],
  'i32.eqz': [[0x45], 'none'],
  'i32.lt_u': [[0x49], 'none'],
  'i32.ge_u': [[0x4f], 'none'],
  'i32.add': [[0x6a], 'none'],
  'i32.and': [[0x71], 'none'],
  'i32.shr_u': [[0x76], 'none'],
  'v128.load': [[0xfd, 0x00], 'memory'],
  'v128.store': [[0xfd, 0x0b], 'memory'],
  'v128.const': [[0xfd, 0x0c], 'zeroes'],
  'i32x4.extract_lane': [[0xfd, 0x1b], 'lane'],
  'i32x4.extadd_pairwise_i16x8_u': [[0xfd, 0x7f], 'none'],
  'i32x4.add': [[0xfd, 0xae, 0x01], 'none'],
}

type Expression = string | Expression[]

/** The source as nested lists of words. */
function parse(text: string): Expression {
  const words = text.replace(/;;.*/g, '').match(/[()]|"[^"]*"|[^\s()]+/g) ?? []
  const stack: Expression[][] = [[]]
  for (const word of words) {
    if (word === '(') stack.push([])
    else if (word === ')') {
      const list = stack.pop()!
      stack.at(-1)!.push(list)
    } else stack.at(-1)!.push(word)
  }
  return stack[0]![0]!
}

function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)]
}

function signed(value: number): number[] {
  return value >= -64 && value < 64 ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...signed(value >> 7)]
}

const vector = (items: readonly (readonly number[])[]): number[] => [
  ...unsigned(items.length),
  ...items.flat(),
]
const sized = (bytes: readonly number[]): number[] => [...unsigned(bytes.length), ...bytes]
const section = (id: number, bytes: readonly number[]): number[] => [id, ...sized(bytes)]
const text = (quoted: string): number[] => sized([...new TextEncoder().encode(quoted.slice(1, -1))])

/** The instructions of a function's body; a word that is no instruction belongs to the one before. */
function instructions(words: readonly string[], locals: readonly string[]): number[] {
  const bytes: number[] = []
  for (let at = 0; at < words.length; ) {
    const name = words[at++]!
    const known = OPCODES[name]
    if (known === undefined) throw new Error(`no instruction '${name}'`)
    const [opcode, immediate] = known
    bytes.push(...opcode)
    // Only a memory access may do without its operand: the offset, 0 then.
    const operand = words[at] !== undefined && OPCODES[words[at]!] === undefined ? words[at++]! : ''
    switch (immediate) {
      case 'none':
        break
      case 'block':
        bytes.push(0x40) // no result
        break
      case 'local': {
        const index = locals.indexOf(operand)
        if (index < 0) throw new Error(`no local '${operand}'`)
        bytes.push(...unsigned(index))
        break
      }
      case 'signed':
        bytes.push(...signed(Number(operand)))
        break
      case 'label':
      case 'lane':
        bytes.push(...unsigned(Number(operand)))
        break
      case 'memory':
        bytes.push(0, ...unsigned(Number(operand))) // nothing is known of the alignment
        break
      case 'zeroes':
        bytes.push(...new Array<number>(16).fill(0))
        break
    }
  }
  return bytes
}

/** The module in binary form. */
export function assemble(source: string): Uint8Array<ArrayBuffer> {
  const [, memory, func] = parse(source) as [string, Expression[], Expression[]]
  const [, [, memoryName], pages] = memory as [string, [string, string], string]
  const parts = func.slice(1)
  const lists = parts.filter((part) => Array.isArray(part)) as string[][]
  const of = (kind: string): string[][] => lists.filter(([first]) => first === kind)
  const params = of('param')
  const locals = of('local')
  const typeOf = (list: readonly string[]): number => TYPES[list.at(-1)!]!
  const type = [
    0x60,
    ...vector(params.map((one) => [typeOf(one)])),
    ...vector(of('result').map((one) => [typeOf(one)])),
  ]
  const body = [
    ...vector(locals.map((one) => [1, typeOf(one)])),
    ...instructions(
      parts.filter((part) => typeof part === 'string'),
      [...params, ...locals].map(([, name]) => name!),
    ),
    0x0b,
  ]
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0], // magic and version
    ...section(1, vector([type])),
    ...section(3, vector([[0]])),
    ...section(5, vector([[0, ...unsigned(Number(pages))]])),
    ...section(
      7,
      vector([
        [...text(memoryName), 2, 0],
        [...text(of('export')[0]![1]!), 0, 0],
      ]),
    ),
    ...section(10, vector([sized(body)])),
  ])
}

function moduleText(bytes: Uint8Array): string {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  const lines = hex.match(/.{1,96}/g)!.map((line) => `  '${line}'`)
  return `/**
 * The WebAssembly module of {@link file://./checksum-simd.ts}, in hexadecimal. Made by scripts/assemble-checksum.ts
 * of scripts/checksum-simd.wat, where it can be read and changed; a test makes it again and compares.
 */
export const CHECKSUM_MODULE: string =
${lines.join(' +\n')}
`
}

/** What lib/wire/checksum-simd-module.ts should be. */
export const expectedModule = (): string => moduleText(assemble(readFileSync(SOURCE, 'utf8')))

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(TARGET, expectedModule())
