/**
 * Segments of a packet script and of the wire, each made from the other: numbers of a script count from the SYN of
 * their end, and its timestamps are names for the stack's. What the stack sent is told apart by the code of the
 * tests, not by its own.
 */
import { type Bytes, concat, decode, internetChecksum, ipv4, pseudoSum } from '../conformance/packets.ts'
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

const BITS: readonly (readonly [letter: string, bit: number])[] = [
  ['F', 1],
  ['S', 2],
  ['R', 4],
  ['P', 8],
  ['.', 16],
  ['U', 32],
  ['E', 64],
  ['W', 128],
]

const word = (n: number): number[] => [(n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]
const half = (n: number): number[] => [(n >>> 8) & 255, n & 255]

/** Option bytes of what the peer sends: its SACK blocks are of the stack's numbers, its echoes the stack's timestamps. */
function optionBytes(options: readonly ScriptOption[], numbering: Numbering): number[] {
  return options.flatMap((option): number[] => {
    switch (option.kind) {
      case 'eol':
        return [0]
      case 'nop':
        return [1]
      case 'mss':
        return [2, 4, ...half(option.value)]
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
  const options = optionBytes(segment.options ?? [], numbering)
  while (options.length % 4 !== 0) options.push(0)
  const flags = BITS.reduce((sum, [letter, bit]) => sum | (segment.flags.includes(letter) ? bit : 0), 0)
  const ack = segment.ack === null ? 0 : ((numbering.local ?? 0) + segment.ack) | 0
  const bytes = concat(
    [
      ...half(remotePort),
      ...half(localPort),
      ...word((numbering.remote + segment.seq) | 0),
      ...word(ack),
      ((20 + options.length) / 4) << 4,
      flags,
      ...half(segment.window ?? 0),
      0,
      0,
      ...half(segment.urgent),
      ...options,
    ],
    new Uint8Array(segment.length),
  )
  const sum = internetChecksum(bytes, pseudoSum(remote, local, 6, bytes.length))
  bytes[16] = sum >>> 8
  bytes[17] = sum & 255
  return ipv4({ src: remote, dst: local, protocol: 6, df: true, tos: segment.ecn ?? 0 }, bytes)
}

function optionsOf(bytes: Uint8Array, numbering: Numbering): ScriptOption[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const options: ScriptOption[] = []
  for (let i = 0; i < bytes.length; ) {
    const kind = bytes[i]!
    if (kind === 0 || kind === 1) {
      options.push({ kind: kind === 0 ? 'eol' : 'nop' })
      i++
      continue
    }
    const length = bytes[i + 1]!
    if (kind === 2) options.push({ kind: 'mss', value: view.getUint16(i + 2) })
    else if (kind === 3) options.push({ kind: 'wscale', value: bytes[i + 2]! })
    else if (kind === 4) options.push({ kind: 'sackOK' })
    else if (kind === 8)
      options.push({ kind: 'ts', value: view.getUint32(i + 2), echo: view.getUint32(i + 6) })
    else if (kind === 5) {
      const blocks: [number, number][] = []
      for (let at = i + 2; at < i + length; at += 8) {
        const edge = (offset: number): number => (view.getUint32(offset) - numbering.remote) | 0
        blocks.push([edge(at), edge(at + 4)])
      }
      options.push({ kind: 'sack', blocks })
    } else throw new Error(`the stack sent an option of kind ${kind}`)
    i += length
  }
  return options
}

/** What a packet of the stack says; `null` if it is no TCP. The first SYN of a connection tells its numbers. */
export function sentOf(packet: Bytes, time: number, numbering: Numbering): Sent | null {
  const { protocol, payload } = decode(packet)
  if (protocol !== 6) return null
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
  const bits = payload[13]!
  const flags = BITS.filter(([, bit]) => (bits & bit) !== 0)
    .map(([letter]) => letter)
    .join('')
  const header = (payload[12]! >>> 4) * 4
  const seq = view.getUint32(4)
  if ((bits & 2) !== 0 && numbering.local === null) numbering.local = seq
  // A reset of nothing takes its number from what it answers: that is the script's own.
  const base = numbering.local ?? 0
  return {
    flags,
    seq: (seq - base) | 0,
    length: payload.length - header,
    ack: (bits & 16) === 0 ? 0 : (view.getUint32(8) - numbering.remote) | 0,
    window: view.getUint16(14),
    urgent: view.getUint16(18),
    ecn: packet[1]! & 3,
    options: optionsOf(payload.subarray(20, header), numbering),
    localPort: view.getUint16(0),
    remotePort: view.getUint16(2),
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
