/** What is measured of one table in one process. Times are the processor time that the process had. */
import type { Candidate } from './candidate.ts'
import { byAddress, byPrefix, type Prefixes, skewed } from './tables.ts'

export interface Measured {
  /** s */
  build: number
  /** ms, of a single insertion or removal: by the clock, so that whatever else ran then counts too. */
  longest: number
  /** Bytes per prefix. */
  bytes: number
  /** Million lookups a second. */
  byPrefix: number
  byAddress: number
  skewed: number
  /** µs */
  insert: number
  remove: number
  /** µs: in and out again, half of it. */
  default: number
  slash8: number
}

/** Milliseconds that a figure is measured for, once everything is compiled. */
const ENOUGH = 300

/** Microseconds. */
export function processorTime(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

/** Keeps what a loop computes from being optimised away. */
export let sink = 0

/** Million times a second that `once` can be done with these addresses. */
export function rate(addresses: Int32Array, once: (address: number) => number): number {
  const pass = (): void => {
    let sum = 0
    for (let i = 0; i < addresses.length; i++) sum += once(addresses[i]!)
    sink += sum
  }
  pass()
  const start = processorTime()
  let passes = 0
  do {
    pass()
    passes++
  } while (processorTime() - start < ENOUGH * 1000)
  return (passes * addresses.length) / (processorTime() - start)
}

/** Milliseconds of the longest of `count` steps, by the clock; and the processor time of all, in seconds. */
export function longestOf(count: number, step: (i: number) => void): { longest: number; total: number } {
  let longest = 0
  const begin = processorTime()
  for (let i = 0; i < count; i++) {
    const start = performance.now()
    step(i)
    const took = performance.now() - start
    if (took > longest) longest = took
  }
  return { longest, total: (processorTime() - begin) / 1e6 }
}

/** Microseconds of one of `count` steps. */
export function each(count: number, step: (i: number) => void): number {
  const start = processorTime()
  for (let i = 0; i < count; i++) step(i)
  return (processorTime() - start) / count
}

/** Microseconds to enter or remove a prefix that covers much: as often as there is time for. */
function wide(table: Candidate, prefix: number, length: number): number {
  const start = processorTime()
  let times = 0
  do {
    table.set(prefix, length, 7)
    table.delete(prefix, length)
    times += 2
  } while (processorTime() - start < ENOUGH * 500 && times < 20_000)
  return (processorTime() - start) / times
}

/** The value of the i-th prefix: as if there were a thousand next hops. */
export function nextHopOf(i: number): number {
  return 1 + (i % 1000)
}

/** Updates that are measured at full size. */
const UPDATES = 50_000

export function measure(make: () => Candidate, prefixes: Prefixes): Measured {
  const { prefix, length } = prefixes
  const table = make()
  const { longest, total: build } = longestOf(prefix.length, (i) =>
    table.set(prefix[i]!, length[i]!, nextHopOf(i)),
  )
  const bytes = table.bytes / prefix.length
  const find = (address: number): number => table.find(address)
  const rates = {
    byPrefix: rate(byPrefix(prefixes), find),
    byAddress: rate(byAddress(prefixes), find),
    skewed: rate(skewed(prefixes), find),
  }
  const updates = Math.min(UPDATES, prefix.length)
  const remove = each(updates, (i) => table.delete(prefix[i]!, length[i]!))
  const insert = each(updates, (i) => table.set(prefix[i]!, length[i]!, nextHopOf(i)))
  return {
    build,
    longest,
    bytes,
    ...rates,
    insert,
    remove,
    default: wide(table, 0, 0),
    slash8: wide(table, busiest(prefixes) << 24, 8),
  }
}

/** First octet of the most prefixes, of those /8 that are not held. */
function busiest({ prefix, length }: Prefixes): number {
  const counts = new Int32Array(256)
  for (const [i, of] of prefix.entries()) counts[of >>> 24]! += length[i] === 8 ? -1e9 : 1
  return counts.indexOf(counts.reduce((most, count) => Math.max(most, count)))
}
