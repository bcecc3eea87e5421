/**
 * Outcomes made comparable. What differs for a good reason from run to run (identification, time, and what is
 * computed over them) is replaced by what can be said of it; everything else stays, byte for byte.
 */
import { checksum } from '../../../lib/wire/checksum.ts'
import { formatIpv4Packet } from '../../../lib/wire/ipv4.ts'
import type { WirePacket } from './injector-protocol.ts'
import type { Outcome } from './scenario.ts'

const DAY = 86_400_000
/** Times within so many ms of now count as now. */
const NOW = 60_000

/** An outcome as text; two are alike if their texts are. */
export interface Comparable {
  sent: string[]
  counters: string[]
  drops: string[]
  links: string[]
  routes: string[]
}

export function comparable(
  outcome: Outcome,
  input: readonly WirePacket[],
  counters: ReadonlySet<string>,
): Comparable {
  const known = new Set<number>()
  for (const { bytes } of input) if (bytes.length >= 6) known.add((bytes[4]! << 8) | bytes[5]!)
  const ids = new Map<number, number>()
  const devices = [...new Set(outcome.sent.map(({ device }) => device))].sort()
  const pairs = (values: Record<string, number>): string[] =>
    Object.entries(values)
      .map(([name, value]) => `${name} ${value}`)
      .sort()
  return {
    sent: devices.flatMap((device) =>
      outcome.sent
        .filter((packet) => packet.device === device)
        .map(({ bytes }) => `${device} ${normalised(bytes, known, ids)}`),
    ),
    counters: pairs(outcome.counters).filter(
      (line) => counters.has(line.split(' ')[0]!) || line.startsWith('IcmpMsg'),
    ),
    drops: outcome.drops ?? [],
    links: pairs(outcome.links),
    routes: outcome.routes,
  }
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

export const describePacket = (bytes: Uint8Array): string =>
  `${formatIpv4Packet(bytes, 0, bytes.length)}\n      ${hex(bytes)}`

function normalised(packet: Uint8Array, known: ReadonlySet<number>, ids: Map<number, number>): string {
  const bytes = packet.slice()
  if (bytes.length < 20) return hex(bytes)
  const notes: string[] = []
  const headerLength = (bytes[0]! & 15) * 4
  if (checksum(bytes, 0, headerLength) !== 0) notes.push('bad header checksum')
  const fragment = ((bytes[6]! << 8) | bytes[7]!) & 0x3fff
  const own = replaceId(bytes, known, ids)
  if (replaceTimes(bytes, 0) || own) bytes[10] = bytes[11] = 0
  if (bytes[9] === 1 && fragment === 0) normaliseIcmp(bytes, headerLength, known, ids, notes)
  const text = formatIpv4Packet(bytes, 0, bytes.length)
  return [text, ...notes, hex(bytes)].join(' | ')
}

/** An id that did not come in is this host's choice: the first becomes 1, the second 2; 0 stays 0. */
function replaceId(bytes: Uint8Array, known: ReadonlySet<number>, ids: Map<number, number>): boolean {
  const id = (bytes[4]! << 8) | bytes[5]!
  if (id === 0 || known.has(id)) return false
  if (!ids.has(id)) ids.set(id, ids.size + 1)
  const ordinal = ids.get(id)!
  bytes[4] = 0xee
  bytes[5] = ordinal
  return true
}

function isNow(bytes: Uint8Array, at: number): boolean {
  const time = new DataView(bytes.buffer, bytes.byteOffset).getUint32(at)
  const distance = Math.abs(time - (Date.now() % DAY))
  return Math.min(distance, DAY - distance) < NOW
}

/** Marks times of now in the Timestamp options of the header at `at`; true if there are any. */
function replaceTimes(bytes: Uint8Array, at: number): boolean {
  const end = Math.min(at + (bytes[at]! & 15) * 4, bytes.length)
  let found = false
  for (let option = at + 20; option < end && bytes[option] !== 0; ) {
    if (bytes[option] === 1) {
      option++
      continue
    }
    const length = bytes[option + 1]!
    if (option + 1 >= end || length < 2 || option + length > end) break
    if (bytes[option] === 68) {
      for (let time = option + 4; time + 4 <= option + length; time++) {
        if (!isNow(bytes, time)) continue
        bytes.set([0x6e, 0x6f, 0x77, 0x21], time)
        found = true
      }
    }
    option += length
  }
  return found
}

function normaliseIcmp(
  bytes: Uint8Array,
  at: number,
  known: ReadonlySet<number>,
  ids: Map<number, number>,
  notes: string[],
): void {
  if (bytes.length < at + 8) return
  if (checksum(bytes, at, bytes.length) !== 0) notes.push('bad ICMP checksum')
  const type = bytes[at]!
  if (type === 14 && bytes.length >= at + 20 && isNow(bytes, at + 12) && isNow(bytes, at + 16)) {
    bytes.fill(0x21, at + 12, at + 20)
    bytes[at + 2] = bytes[at + 3] = 0
  }
  if (![3, 4, 5, 11, 12].includes(type) || bytes.length < at + 28) return
  const quote = at + 8
  const inner = bytes.subarray(quote)
  const changed = replaceId(inner, known, ids)
  if (replaceTimes(bytes, quote) || changed) {
    bytes[quote + 10] = bytes[quote + 11] = 0
    bytes[at + 2] = bytes[at + 3] = 0
  }
}
