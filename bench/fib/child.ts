/** `child.js CANDIDATE FILE`: measures one candidate once, with the prefixes of a file, and prints it as JSON. */
import { readFileSync } from 'node:fs'
import { CANDIDATES } from './candidates.ts'
import { measure } from './measure.ts'
import { SMALL, STACK } from './processes.ts'
import { measureSmall, measureStack } from './stack-fib.ts'
import type { Prefixes } from './tables.ts'

function prefixesOf(file: string): Prefixes {
  const { buffer, byteOffset, length } = readFileSync(file)
  const bytes = buffer.slice(byteOffset, byteOffset + length)
  const count = length / 5
  return { prefix: new Int32Array(bytes, 0, count), length: new Uint8Array(bytes, 4 * count, count) }
}

const [name, file] = process.argv.slice(2) as [string, string]
if (name === SMALL) console.log(JSON.stringify(measureSmall()))
else if (name === STACK) console.log(JSON.stringify(measureStack(prefixesOf(file))))
else console.log(JSON.stringify(measure(CANDIDATES[name]!, prefixesOf(file))))
