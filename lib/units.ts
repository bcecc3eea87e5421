/**
 * Times, rates, sizes and probabilities as people write them, with the units of `tc`: `'20ms'`, `'10mbit'`,
 * `'64kb'`, `'1%'`. A plain number means the unit that its reader names; text always has to say its own, since
 * the bare number of `tc` is microseconds for one option and packets for the next.
 */
import { invalidArgument } from './errors.ts'

const DURATIONS: Readonly<Record<string, number>> = {
  ns: 1,
  nsec: 1,
  nsecs: 1,
  us: 1e3,
  µs: 1e3,
  usec: 1e3,
  usecs: 1e3,
  ms: 1e6,
  msec: 1e6,
  msecs: 1e6,
  s: 1e9,
  sec: 1e9,
  secs: 1e9,
  m: 60e9,
  min: 60e9,
  h: 3600e9,
  d: 86_400e9,
}

/** Bits per second; `kbit` is 1000, `kibit` 1024, and `bps` are bytes, all as in `tc`. */
const RATES: Readonly<Record<string, number>> = {
  bit: 1,
  kbit: 1e3,
  mbit: 1e6,
  gbit: 1e9,
  tbit: 1e12,
  kibit: 1024,
  mibit: 1024 ** 2,
  gibit: 1024 ** 3,
  bps: 8,
  kbps: 8e3,
  mbps: 8e6,
  gbps: 8e9,
}

/** Bytes; `kb` is 1024, as in `tc`. */
const SIZES: Readonly<Record<string, number>> = {
  b: 1,
  k: 1024,
  kb: 1024,
  m: 1024 ** 2,
  mb: 1024 ** 2,
  g: 1024 ** 3,
  gb: 1024 ** 3,
}

/** A number of milliseconds, or text with a unit: `'20ms'`, `'1.5s'`, `'1h'`. */
export type Duration = number | string
/** A number of bits per second, or text with a unit: `'10mbit'`. */
export type Rate = number | string
/** A number of bytes, or text with a unit: `'64kb'`. */
export type Size = number | string
/** 0…1, or text with a per cent sign: `'1%'`. */
export type Probability = number | string

/** Nanoseconds. @throws TunstackError `ERR_INVALID_ARG_VALUE` for what is none, or negative */
export function parseDuration(value: Duration, name = 'duration'): number {
  return Math.round(parse(value, DURATIONS, 1e6, name, "a time such as '20ms', '1.5s' or '1h'"))
}

/** Bits per second, more than 0. @throws TunstackError `ERR_INVALID_ARG_VALUE` */
export function parseRate(value: Rate, name = 'rate'): number {
  const rate = parse(value, RATES, 1, name, "a rate such as '10mbit' or '1gbit'")
  if (rate === 0) throw invalidArgument(name, value, 'more than 0 bits a second')
  return rate
}

/** Whole bytes. @throws TunstackError `ERR_INVALID_ARG_VALUE` */
export function parseSize(value: Size, name = 'size'): number {
  return Math.round(parse(value, SIZES, 1, name, "a size such as '64kb'"))
}

/** 0…1. @throws TunstackError `ERR_INVALID_ARG_VALUE` */
export function parseProbability(value: Probability, name = 'probability'): number {
  const expected = "a probability: 0…1, or text such as '1%'"
  const result = typeof value === 'number' ? value : parse(value, { '%': 0.01 }, 1, name, expected)
  if (!(result >= 0 && result <= 1)) throw invalidArgument(name, value, expected)
  return result
}

function parse(
  value: number | string,
  units: Readonly<Record<string, number>>,
  bare: number,
  name: string,
  expected: string,
): number {
  if (typeof value === 'number') {
    if (Number.isFinite(value) && value >= 0) return value * bare
  } else if (typeof value === 'string') {
    const found = /^\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-zµ%]+)\s*$/i.exec(value)
    const unit = found === null ? '' : found[2]!.toLowerCase()
    if (found !== null && Object.hasOwn(units, unit)) return Number(found[1]) * units[unit]!
  }
  throw invalidArgument(name, value, expected)
}

/** `'1.5 s'`, `'20 ms'`, `'340 ns'`: nanoseconds for people. */
export function formatDuration(nanoseconds: number): string {
  const [unit, size] = (
    [
      ['h', 3600e9],
      ['s', 1e9],
      ['ms', 1e6],
      ['µs', 1e3],
    ] as const
  ).find(([, length]) => nanoseconds >= length) ?? ['ns', 1]
  return `${Number((nanoseconds / size).toFixed(3))} ${unit}`
}
