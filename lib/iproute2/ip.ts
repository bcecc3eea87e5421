/**
 * The language of `ip` for a stack: `ip(stack, 'route show table local')` prints what iproute2 6.1 prints for a
 * kernel in the same state, to the byte, and `ip(stack, 'route add …')` changes what it changes. Each object of
 * the language has a module of its own that parses and applies, and one that prints.
 */
import type { Stack } from '../stack/stack.ts'
import { address } from './address.ts'
import type { Command, Handler } from './command.ts'
import type { DumpStreams } from './dump.ts'
import { Family } from './grammar.ts'
import { link } from './link.ts'
import { maddress } from './maddress.ts'
import { beginNames } from './names.ts'
import { neigh } from './neigh.ts'
import { netconf } from './netconf.ts'
import { concat } from './netlink.ts'
import { nexthop } from './nexthop.ts'
import { defaultOptions, type IpOptions, parseOptions } from './options.ts'
import { Exit, type IpResult, Output, type OutputSink, Status } from './outcome.ts'
import { route } from './route.ts'
import { rule } from './rule.ts'
import { batchLines, tokenize } from './tokenizer.ts'
import { usage } from './usage.ts'
import { abbreviates, Words } from './words.ts'

export type { IpResult } from './outcome.ts'

/** In iproute2's order: `a` is address, `r` is route, `l` is link, and `net` what is not here. */
const OBJECTS: readonly (readonly [string, Handler | null])[] = [
  ['address', address],
  ['addrlabel', null],
  ['maddress', maddress],
  ['route', route],
  ['rule', rule],
  ['neighbor', neigh],
  ['neighbour', neigh],
  ['ntable', null],
  ['ntbl', null],
  ['link', link],
  ['netns', null],
  ['netconf', netconf],
  ['nexthop', nexthop],
]

export interface IpInput {
  /** The standard input, for `restore` and `showdump`: what `save` gave as `bytes`, here or on a machine. */
  input?: Uint8Array
}

export interface IpBatchOptions {
  /** Go on after a command that failed. */
  force?: boolean
  /** How messages name the file; `-` by default. */
  file?: string
}

/**
 * Runs one command, given without the word `ip`: `ip(stack, '-s link show lo')`. In a string, words are cut at
 * white space, and quotes group. Nothing is thrown for a wrong command: see `stderr` and `status`, which is 0, 1
 * (refused), 2 (refused by the kernel, or here by the stack) or 255 (not understood). Files are not read: for the
 * commands of one, see {@link ipBatch}.
 */
export function ip(stack: Stack, command: string | readonly string[], { input }: IpInput = {}): IpResult {
  return collect((output, dumps) => {
    const words = typeof command === 'string' ? tokenize(command) : command
    return run(stack, words, { output, dumps, readFile: () => 'Operation not permitted' })
  }, input)
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
  return collect((output, dumps) => {
    const options: IpOptions = { ...defaultOptions(false), force, batch: file }
    return runBatch({ stack, options, output, dumps }, text, file)
  })
}

function collect(body: (output: Output, dumps: DumpStreams) => number, input?: Uint8Array): IpResult {
  const result: IpResult = { stdout: '', stderr: '', status: 0 }
  const output = new Output((stream, text) => {
    if (stream === 1) result.stdout += text
    else result.stderr += text
  })
  const written: Uint8Array[] = []
  const dumps: DumpStreams = {
    input: () => input ?? new Uint8Array(0),
    inputIsTerminal: false,
    inputIsFile: true,
    outputIsTerminal: false,
    write: (bytes) => void written.push(bytes),
  }
  result.status = program(output, () => body(output, dumps))
  if (written.length > 0) result.bytes = concat(written)
  return result
}

/** Gives the text of a file (`-` is the standard input), or why not in the words of the C library. */
export type FileReader = (name: string) => { text: string } | string

/** The program `ip` with these arguments, which writes as it goes. Gives its exit status. */
export function runProgram(
  stack: Stack,
  args: readonly string[],
  sink: OutputSink,
  readFile: FileReader,
  dumps: DumpStreams = NOWHERE,
): number {
  const output = new Output(sink)
  return program(output, () => run(stack, args, { output, readFile, dumps }))
}

/** For whoever has no streams of bytes: as a program on a terminal. */
const NOWHERE: DumpStreams = {
  input: () => new Uint8Array(0),
  inputIsTerminal: true,
  inputIsFile: false,
  outputIsTerminal: true,
  write: () => {},
}

/** What a program reads and writes. */
interface Surroundings {
  readonly output: Output
  readonly readFile: FileReader
  readonly dumps: DumpStreams
}

/** One program, from its beginning to its end, which an {@link Exit} may bring before its time. */
function program(output: Output, body: () => number): number {
  beginNames()
  try {
    return body()
  } catch (error) {
    if (!(error instanceof Exit)) throw error
    if (error.message !== '') output.complain(error.message)
    return error.status
  } finally {
    output.flush()
  }
}

/** @throws Exit */
function run(stack: Stack, args: readonly string[], { output, readFile, dumps }: Surroundings): number {
  const options = defaultOptions(true)
  const command: Command = { stack, options, output, dumps }
  const words = new Words(args)
  parseOptions(words, options, output)
  const { batch, family } = options
  if (batch === undefined && words.done) throw usage('ip')
  if (family === Family.INET6) {
    // The other family is not there yet, and its texts are not imitated.
    output.complain('Error: IPv6 is not supported: this stack has IPv4 only.')
    return Status.KERNEL
  }
  if (batch === undefined) return runCommand(command, words)
  options.strict = false
  const file = readFile(batch)
  if (typeof file !== 'string') return runBatch(command, file.text, batch)
  output.complain(`Cannot open file "${batch}" for reading: ${file}`)
  return Status.REFUSED
}

/** @throws Exit */
function runBatch(command: Command, text: string, file: string): number {
  const { options, output } = command
  let status: number = Status.OK
  for (const { line, number } of batchLines(text)) {
    const words = new Words(tokenize(line))
    if (words.done || runCommand(command, words) === Status.OK) continue
    output.complain(`Command failed ${file}:${number}`)
    status = Status.REFUSED
    if (!options.force) break
  }
  return status
}

function runCommand(command: Command, words: Words): number {
  const { word } = words
  const object = OBJECTS.find(([name]) => abbreviates(word, name))
  const handler = object?.[1]
  if (!handler) {
    if (object === undefined && abbreviates(word, 'help')) throw usage('ip')
    command.output.complain(`Object "${word}" is unknown, try "ip help".`)
    return Status.REFUSED
  }
  words.skip()
  return handler(command, words)
}
