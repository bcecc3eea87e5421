/**
 * Segments of a packet script and of the wire, each made from the other: numbers of a script count from the SYN of
 * their end, and its timestamps are names for the stack's. What the stack sent is told apart by the code of the
 * tests, not by its own.
 */
import { type Bytes, decode } from '../conformance/packets.ts'
import { readSegment, type Segment, tcpSegment } from '../conformance/tcp-peer.ts'
import type { ScriptOption, ScriptSegment } from './script.ts'

export interface Ends {
  readonly local: string
  readonly localPort: number
  readonly remote: string
  readonly remotePort: number
}

/** What a script's numbers stand for on the wire. */
export class Numbering {
  /** The stack's initial sequence number, once its SYN was seen. */
  local: number | null = null
  /** The peer's. */
  readonly remote: number
  /** The script's timestamps of the stack, and what they are. */
  readonly timestamps = new Map<number, number>()
  /** The first timestamp of the stack: the script's and the wire's. */
  firstTimestamp: readonly [script: number, wire: number] | null = null

  constructor(remote: number) {
    this.remote = remote
  }
}

/** A segment that the stack has sent, in the numbers of the script. */
export interface Sent {
  readonly flags: string
  readonly seq: number
  readonly length: number
  readonly ack: number
  readonly window: number
  readonly urgent: number
  readonly ecn: number
  readonly options: readonly ScriptOption[]
  readonly localPort: number
  readonly remotePort: number
  /** Of the clock, in seconds. */
  readonly time: number
}

/** Flags of a script in the letters of the wire's builder and reader, and back. */
const toWire = (flags: string): string => flags.replace('.', 'A').replace('W', 'C')
const fromWire = (flags: string): string => flags.replace('A', '.').replace('C', 'W')

const word = (n: number): number[] => [(n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]

/** Option bytes of what the peer sends: its SACK blocks are of the stack's numbers, its echoes the stack's timestamps. */
function optionBytes(options: readonly ScriptOption[], numbering: Numbering): number[] {
  return options.flatMap((option): number[] => {
    switch (option.kind) {
      case 'eol':
        return [0]
      case 'nop':
        return [1]
      case 'mss':
        return [2, 4, option.value >>> 8, option.value & 255]
      case 'wscale':
        return [3, 3, option.value]
      case 'sackOK':
        return [4, 2]
      case 'sack': {
        const base = numbering.local ?? 0
        const blocks = option.blocks.flatMap(([l, r]) => [...word((base + l) | 0), ...word((base + r) | 0)])
        return [5, 2 + blocks.length, ...blocks]
      }
      case 'ts':
        return [8, 10, ...word(option.value), ...word(numbering.timestamps.get(option.echo) ?? option.echo)]
      default:
        return option satisfies never
    }
  })
}

/** The packet of what comes from the peer. */
export function packetOf(segment: ScriptSegment, ends: Ends, numbering: Numbering): Bytes {
  const { local, localPort, remote, remotePort } = ends
  return tcpSegment({
    src: remote,
    dst: local,
    sport: remotePort,
    dport: localPort,
    seq: (numbering.remote + segment.seq) | 0,
    ack: segment.ack === null ? 0 : ((numbering.local ?? 0) + segment.ack) | 0,
    flags: toWire(segment.flags),
    window: segment.window ?? 0,
    urgent: segment.urgent,
    tos: segment.ecn ?? 0,
    rawOptions: optionBytes(segment.options ?? [], numbering),
    data: new Uint8Array(segment.length),
  })
}

/** The options of a segment of the stack, each as a script has it. */
function optionsOf(
  { kinds, options: { mss, scale, ts, sack } }: Segment,
  numbering: Numbering,
): ScriptOption[] {
  const edge = (absolute: number): number => (absolute - numbering.remote) | 0
  return kinds.map((kind): ScriptOption => {
    switch (kind) {
      case 0:
        return { kind: 'eol' }
      case 1:
        return { kind: 'nop' }
      case 2:
        return { kind: 'mss', value: mss! }
      case 3:
        return { kind: 'wscale', value: scale! }
      case 4:
        return { kind: 'sackOK' }
      case 5:
        return { kind: 'sack', blocks: sack!.map(([left, right]) => [edge(left), edge(right)]) }
      case 8:
        return { kind: 'ts', value: ts![0], echo: ts![1] }
      default:
        throw new Error(`the stack sent an option of kind ${kind}`)
    }
  })
}

/** What a packet of the stack says; `null` if it is no TCP. The first SYN of a connection tells its numbers. */
export function sentOf(packet: Bytes, time: number, numbering: Numbering): Sent | null {
  if (decode(packet).protocol !== 6) return null
  const segment = readSegment(packet)
  const { flags, seq, ack, window, urgent, data, tos, sport, dport } = segment
  if (flags.includes('S')) numbering.local ??= seq
  return {
    flags: fromWire(flags),
    // A reset of nothing takes its number from what it answers: that is the script's own.
    seq: (seq - (numbering.local ?? 0)) | 0,
    length: data.length,
    ack: flags.includes('A') ? (ack - numbering.remote) | 0 : 0,
    window,
    urgent,
    ecn: tos & 3,
    options: optionsOf(segment, numbering),
    localPort: sport,
    remotePort: dport,
    time,
  }
}

export function formatOption(option: ScriptOption): string {
  switch (option.kind) {
    case 'nop':
    case 'eol':
    case 'sackOK':
      return option.kind
    case 'mss':
    case 'wscale':
      return `${option.kind} ${option.value}`
    case 'ts':
      return `TS val ${option.value} ecr ${option.echo}`
    case 'sack':
      return `sack ${option.blocks.map(([left, right]) => `${left}:${right}`).join(' ')}`
  }
}

interface Printable {
  flags: string
  seq: number
  length: number
  ack: number | null
  window: number | null
  options: readonly ScriptOption[] | null
}

/** As a script has it. */
export function formatSegment({ flags, seq, length, ack, window, options }: Printable): string {
  const parts = [`${flags === '' ? '-' : flags} ${seq}:${seq + length}(${length})`]
  if (ack !== null) parts.push(`ack ${ack}`)
  if (window !== null) parts.push(`win ${window}`)
  if (options === null) parts.push('<...>')
  else if (options.length > 0) parts.push(`<${options.map(formatOption).join(',')}>`)
  return parts.join(' ')
}

/**
 * How what was sent differs from what must be: a word, or `null`. Timestamps are learnt.
 * @param tick microseconds that one step of a timestamp stands for in the script; 0: not looked at
 */
export function difference(
  expected: ScriptSegment,
  sent: Sent,
  numbering: Numbering,
  tick: number,
  tolerance: number,
): string | null {
  const sorted = (flags: string): string => [...flags].sort().join('')
  if (sorted(expected.flags) !== sorted(sent.flags)) return 'flags'
  if (expected.seq !== sent.seq) return 'sequence number'
  if (expected.length !== sent.length) return 'length'
  if ((expected.ack ?? 0) !== sent.ack) return 'acknowledgment'
  if (expected.window !== null && expected.window !== sent.window) return 'window'
  if (expected.urgent !== sent.urgent) return 'urgent pointer'
  if (expected.ecn !== null && expected.ecn !== sent.ecn) return 'ECN'
  return expected.options === null
    ? null
    : optionDifference(expected.options, sent.options, numbering, tick, tolerance)
}

function optionDifference(
  expected: readonly ScriptOption[],
  sent: readonly ScriptOption[],
  numbering: Numbering,
  tick: number,
  tolerance: number,
): string | null {
  if (expected.length !== sent.length) return 'options'
  for (const [i, want] of expected.entries()) {
    const got = sent[i]!
    if (want.kind === 'ts' && got.kind === 'ts') {
      numbering.timestamps.set(want.value, got.value)
      if (want.echo !== got.echo) return 'echo of the timestamp'
      numbering.firstTimestamp ??= [want.value, got.value]
      const [script, wire] = numbering.firstTimestamp
      const apart = Math.abs(want.value - script - ((got.value - wire) | 0))
      if (tick > 0 && apart * tick > tolerance) return 'timestamp'
    } else if (formatOption(want) !== formatOption(got)) return 'options'
  }
  return null
}
