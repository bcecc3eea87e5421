/** Candidates are measured in processes of their own, each with the prefixes of a file. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Measured } from './measure.ts'
import type { Prefixes } from './tables.ts'

/** The whole way of a lookup in a stack, beside the candidates. */
export const STACK = 'Fib.lookup'
/** What a new stack and ten routes take. */
export const SMALL = 'small'

export type Figures = Partial<Record<keyof Measured, number>>

export interface Small {
  /** KiB of a new stack. */
  stack: number
  /** KiB that ten routes add. */
  tenRoutes: number
}

/** Code that is compiled meanwhile lies in the heap too: so none is where a stack is weighed. */
const UNCOMPILED = ['--no-opt', '--no-sparkplug']

/** Milliseconds after which a process is given up. */
const TOO_LONG = 600_000

/** Writes prefixes into a file of this folder. Gives its name. */
export function save(folder: string, name: string, { prefix, length }: Prefixes): string {
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${name.replaceAll(/\W/g, '-')}.bin`)
  const bytes = new Uint8Array(5 * prefix.length)
  bytes.set(new Uint8Array(prefix.buffer, prefix.byteOffset, prefix.byteLength))
  bytes.set(length, prefix.byteLength)
  writeFileSync(file, bytes)
  return file
}

/**
 * @param child `child.ts`, compiled
 * @throws Error if it fails; `undefined` if it takes too long
 */
export function run<T>(child: string, name: string, file: string): T | undefined {
  const options = ['--expose-gc', '--max-old-space-size=4096', ...(name === SMALL ? UNCOMPILED : [])]
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [...options, child, name, file], {
    encoding: 'utf8',
    timeout: TOO_LONG,
  })
  if (signal !== null) return undefined
  if (status !== 0) throw new Error(`${name}: ${stderr}`)
  return JSON.parse(stdout) as T
}
