/**
 * Packet scripts: what a program does with its sockets, what comes from the wire and what must leave, each at its
 * time. The language is packetdrill's, in which the Linux project writes its tests of TCP; this file reads the part
 * of it that can be played against a stack: IPv4, TCP and ICMP, the calls of sockets, assertions on `tcp_info`. What
 * it does not know it refuses, so that no script passes because half of it was not read.
 */

/** When something happens, in seconds. */
export interface When {
  /** From the event before; otherwise from the start of the script. */
  readonly relative: boolean
  /** Any time (`*`). */
  readonly any: boolean
  readonly start: number
  /** Of a range (`+.3~+.4`); of a call that takes its time (`+0...0.2`). */
  readonly end: number | null
  readonly kind: 'at' | 'range' | 'lasting'
}

export type ScriptOption =
  | { readonly kind: 'mss' | 'wscale'; readonly value: number }
  | { readonly kind: 'nop' | 'eol' | 'sackOK' }
  | { readonly kind: 'ts'; readonly value: number; readonly echo: number }
  | { readonly kind: 'sack'; readonly blocks: readonly (readonly [left: number, right: number])[] }

export interface ScriptSegment {
  /** Letters of `FSRPUEWC` and `.` for ACK; `''` for none. */
  readonly flags: string
  readonly seq: number
  readonly length: number
  readonly ack: number | null
  readonly window: number | null
  readonly urgent: number
  /** The two bits of ECN in the IP header; `null`: any. */
  readonly ecn: number | null
  /** `null`: any (`<...>`). */
  readonly options: readonly ScriptOption[] | null
}

/** An ICMP error about a segment of the script. */
export interface ScriptIcmp {
  readonly code: string
  readonly mtu: number
  readonly seq: number
  readonly length: number
}

export interface Call {
  readonly name: string
  readonly args: readonly string[]
  /** What it gives, or `null` for anything (`= ?`). */
  readonly result: number | null
  /** `ETIMEDOUT`, … */
  readonly error: string | null
}

export type EventBody =
  | { readonly kind: 'in' | 'out'; readonly segment: ScriptSegment }
  | { readonly kind: 'icmp'; readonly icmp: ScriptIcmp }
  | { readonly kind: 'call'; readonly call: Call }
  | { readonly kind: 'assert'; readonly text: string }
  | { readonly kind: 'shell'; readonly text: string }

export interface ScriptEvent {
  readonly line: number
  readonly when: When
  readonly body: EventBody
}

export interface Script {
  /** `--mss=1000` and the like. */
  readonly options: ReadonlyMap<string, string>
  /** Commands of the shell that go before everything. */
  readonly setup: string
  readonly events: readonly ScriptEvent[]
}

/** What is no packet script, or more of one than is understood. */
export class ScriptError extends Error {
  readonly line: number

  constructor(line: number, message: string) {
    super(`line ${line}: ${message}`)
    this.line = line
  }
}

const NUMBER = String.raw`(?:\d+(?:\.\d*)?|\.\d+)`
const WHEN = new RegExp(
  String.raw`^(\*|(\+?)(${NUMBER})(?:\s*(~|\.\.\.)\s*(\+?)(${NUMBER}))?)(?=[\s${'`'}%<>]|[a-z])\s*`,
)
const SEGMENT =
  /^(?:\[(noecn|nonect|ect0|ect1|ce|ecn)\]\s*)?([FSRPUEWC.]+|-)\s+(\d+):(\d+)\((\d+)\)(?:\s+ack\s+(\d+))?(?:\s+win\s+(\d+))?(?:\s+urg\s+(\d+))?(?:\s*<(.*)>)?$/
const ICMP = /^icmp unreachable (\w+)(?: mtu (\d+))? \[(\d+):(\d+)\((\d+)\)\]$/
const ECN: Readonly<Record<string, number>> = { noecn: 0, nonect: 0, ect1: 1, ect0: 2, ce: 3 }

/** Comments become blanks, so that what is left keeps its lines; not within back quotes. */
function withoutComments(text: string): string {
  return text.replace(/`[^`]*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, (found) =>
    found.startsWith('`') ? found : found.replace(/[^\n]/g, ' '),
  )
}

/** @throws ScriptError */
export function parseScript(text: string): Script {
  const rest = withoutComments(text)
  const options = new Map<string, string>()
  const events: ScriptEvent[] = []
  let setup = ''
  let at = 0
  const lineOf = (offset: number): number => rest.slice(0, offset).split('\n').length
  const skipBlanks = (): void => {
    at += /^\s*/.exec(rest.slice(at))![0].length
  }
  const lineEnd = (): number => {
    const end = rest.indexOf('\n', at)
    return end < 0 ? rest.length : end
  }
  /** What lies between two marks; more than one line perhaps. */
  const quoted = (open: string, close: string): string => {
    const end = rest.indexOf(close, at + open.length)
    if (end < 0) throw new ScriptError(lineOf(at), `no ${close} for this ${open}`)
    const inner = rest.slice(at + open.length, end)
    at = end + close.length
    return inner
  }
  for (skipBlanks(); at < rest.length; skipBlanks()) {
    const line = lineOf(at)
    if (rest.startsWith('--', at)) {
      for (const word of rest.slice(at, lineEnd()).trim().split(/\s+/)) {
        const [, name, value] = /^--(\w+)(?:=(.*))?$/.exec(word) ?? []
        if (name === undefined) throw new ScriptError(line, `no option: ${word}`)
        options.set(name, value ?? '')
      }
      at = lineEnd()
    } else if (rest[at] === '`') {
      setup += `${quoted('`', '`')}\n`
    } else {
      const found = WHEN.exec(rest.slice(at))
      if (found === null) throw new ScriptError(line, `not understood: ${rest.slice(at, lineEnd()).trim()}`)
      at += found[0].length
      const when = whenOf(found)
      if (rest[at] === '`') events.push({ line, when, body: { kind: 'shell', text: quoted('`', '`') } })
      else if (rest.startsWith('%{', at))
        events.push({ line, when, body: { kind: 'assert', text: quoted('%{', '}%') } })
      else if (rest[at] === '<' || rest[at] === '>') {
        const body = packet(rest[at] as '<' | '>', rest.slice(at + 1, lineEnd()).trim(), line)
        at = lineEnd()
        events.push({ line, when, body })
      } else {
        const end = callEnd(rest, at)
        const body: EventBody = { kind: 'call', call: callOf(rest.slice(at, end), line) }
        at = end
        events.push({ line, when, body })
      }
    }
  }
  return { options, setup, events }
}

function whenOf([, all, plus, start, between, , end]: RegExpExecArray): When {
  if (all === '*') return { relative: true, any: true, start: 0, end: null, kind: 'at' }
  return {
    relative: plus === '+',
    any: false,
    start: Number(start),
    end: end === undefined ? null : Number(end),
    kind: between === '~' ? 'range' : between === '...' ? 'lasting' : 'at',
  }
}

function packet(direction: '<' | '>', text: string, line: number): EventBody {
  const icmp = ICMP.exec(text)
  if (icmp !== null && direction === '<') {
    const [, code, mtu, from, to, length] = icmp
    if (Number(to) - Number(from) !== Number(length)) throw new ScriptError(line, 'the length is another')
    return {
      kind: 'icmp',
      icmp: { code: code!, mtu: Number(mtu ?? 0), seq: Number(from), length: Number(length) },
    }
  }
  const found = SEGMENT.exec(text)
  if (found === null) throw new ScriptError(line, `not a packet that is understood: ${text}`)
  const [, ecn, flags, from, to, length, ack, win, urg, options] = found
  if (Number(to) - Number(from) !== Number(length)) throw new ScriptError(line, 'the length is another')
  const any = options?.trim() === '...'
  const segment: ScriptSegment = {
    flags: flags === '-' ? '' : flags!,
    seq: Number(from),
    length: Number(length),
    ack: ack === undefined ? null : Number(ack),
    window: win === undefined ? null : Number(win),
    urgent: Number(urg ?? 0),
    ecn: ecn === undefined ? null : (ECN[ecn] ?? null),
    options: any ? null : parseOptions(options ?? '', line),
  }
  return { kind: direction === '<' ? 'in' : 'out', segment }
}

function parseOptions(text: string, line: number): ScriptOption[] {
  if (text.trim() === '') return []
  return text.split(',').map((part): ScriptOption => {
    const words = part.trim().split(/\s+/)
    switch (words[0]) {
      case 'nop':
      case 'eol':
      case 'sackOK':
        return { kind: words[0] }
      case 'mss':
      case 'wscale':
        return { kind: words[0], value: Number(words[1]) }
      case 'TS':
        return { kind: 'ts', value: Number(words[2]), echo: Number(words[4]) }
      case 'sack': {
        const blocks = words.slice(1).map((block) => block.split(':').map(Number) as [number, number])
        return { kind: 'sack', blocks }
      }
      default:
        throw new ScriptError(line, `an option that is not understood: ${part.trim()}`)
    }
  })
}

/** Behind the call that begins at `at`: its result, and what is said of it in brackets, belong to it. */
function callEnd(text: string, at: number): number {
  const open = text.indexOf('(', at)
  if (open < 0) return text.length
  const end = text.indexOf('\n', closing(text, open))
  return end < 0 ? text.length : end
}

function closing(text: string, open: number): number {
  let depth = 0
  for (let i = open; i < text.length; i++) {
    if ('([{'.includes(text[i]!)) depth++
    else if (')]}'.includes(text[i]!) && --depth === 0) return i
  }
  return text.length
}

function callOf(text: string, line: number): Call {
  const name = /^[a-z_0-9]+/.exec(text)?.[0]
  const open = text.indexOf('(')
  if (name === undefined || open !== name.length)
    throw new ScriptError(line, `not understood: ${text.trim()}`)
  const close = closing(text, open)
  const [, value, error] =
    /^\s*=\s*(-?(?:0x[\da-f]+|\d+)|\?)(?:\s+(E[A-Z]+))?/i.exec(text.slice(close + 1)) ?? []
  if (value === undefined) throw new ScriptError(line, `a call without a result: ${text.trim()}`)
  return {
    name,
    args: splitArguments(text.slice(open + 1, close)),
    result: value === '?' ? null : Number(value),
    error: error ?? null,
  }
}

function splitArguments(text: string): string[] {
  const parts: string[] = []
  let depth = 0
  let from = 0
  for (let i = 0; i <= text.length; i++) {
    const letter = text[i]
    if (letter === undefined || (letter === ',' && depth === 0)) {
      parts.push(text.slice(from, i).trim())
      from = i + 1
    } else if ('([{'.includes(letter)) depth++
    else if (')]}'.includes(letter)) depth--
  }
  return parts
}
