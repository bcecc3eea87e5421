/**
 * The language of `ip` for a stack: `ip(stack, 'route show table local')` prints what iproute2 6.1 prints for a
 * kernel in the same state, to the byte, and `ip(stack, 'route add …')` changes what it changes. Each object of
 * the language has a module of its own that parses and applies, and one that prints.
 */
import type { Stack } from '../stack/stack.ts'
import { address } from './address.ts'
import type { Command, Handler } from './command.ts'
import { usage } from './command.ts'
import { link } from './link.ts'
import { defaultOptions, type IpOptions, parseOptions } from './options.ts'
import { Exit, type IpResult, Output, Status } from './outcome.ts'
import { route } from './route.ts'
import { rule } from './rule.ts'
import { batchLines, tokenize } from './tokenizer.ts'
import { abbreviates, Words } from './words.ts'

export type { IpResult } from './outcome.ts'

/** In iproute2's order: `a` is address, `r` is route, `l` is link. */
const OBJECTS: readonly (readonly [string, Handler])[] = [
  ['address', address],
  ['route', route],
  ['rule', rule],
  ['link', link],
]

export interface IpBatchOptions {
  /** Go on after a command that failed. */
  force?: boolean
  /** How messages name the file; `-` by default. */
  file?: string
}

/**
 * Runs one command, given without the word `ip`: `ip(stack, '-s link show lo')`. In a string, words are cut at
 * white space, and quotes group. Nothing is thrown for a wrong command: see `stderr` and `status`, which is 0, 1
 * (refused), 2 (refused by the kernel, or here by the stack) or 255 (not understood).
 */
export function ip(stack: Stack, command: string | readonly string[]): IpResult {
  const output = new Output()
  const options = defaultOptions(true)
  const status = guard(output, () => {
    const words = new Words(typeof command === 'string' ? tokenize(command) : command)
    parseOptions(words, options)
    if (words.done) throw usage('address, route, rule, link')
    return runCommand({ stack, options, output }, words)
  })
  return { stdout: output.stdout, stderr: output.stderr, status }
}

/**
 * Runs the commands of a batch as `ip -batch` does: one a line, without options; `#` begins a comment. It ends
 * at the first command that fails, with `force` only at one that is not understood.
 */
export function ipBatch(
  stack: Stack,
  text: string,
  { force = false, file = '-' }: IpBatchOptions = {},
): IpResult {
  const output = new Output()
  return { ...runBatch(stack, output, text, force, file), stdout: output.stdout, stderr: output.stderr }
}

/** @internal */
export function runBatch(
  stack: Stack,
  output: Output,
  text: string,
  force: boolean,
  file: string,
): { status: number } {
  let status: number = Status.OK
  const options: IpOptions = defaultOptions(false)
  const ended = guard(output, () => {
    for (const { line, number } of batchLines(text)) {
      const words = new Words(tokenize(line))
      if (words.done) continue
      if (runCommand({ stack, options, output }, words) === Status.OK) continue
      output.complain(`Command failed ${file}:${number}`)
      status = Status.REFUSED
      if (!force) break
    }
    return Status.OK
  })
  return { status: ended === Status.OK ? status : ended }
}

function guard(output: Output, run: () => number): number {
  try {
    return run()
  } catch (error) {
    if (!(error instanceof Exit)) throw error
    if (error.message !== '') output.complain(error.message)
    return error.status
  }
}

function runCommand(command: Command, words: Words): number {
  const { word } = words
  const object = OBJECTS.find(([name]) => abbreviates(word, name))
  if (object === undefined) {
    if (abbreviates(word, 'help')) throw usage('address, route, rule, link')
    command.output.complain(`Object "${word}" is unknown, try "ip help".`)
    return Status.REFUSED
  }
  words.skip()
  return object[1](command, words)
}
