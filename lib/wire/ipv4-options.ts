/**
 * The options of an IPv4 header (RFC 791 §3.1): how they lie in the header, and as plain data. What a host or a
 * router does with them is in `ipv4/options.ts` and the files beside it.
 *
 * An option is one byte (End, No Operation) or type, length and data, the length counting all three. Everything
 * behind End of Option List is padding.
 */
import { formatIpv4, type Ipv4Address, readIpv4, writeIpv4 } from '../address/ipv4-address.ts'
import { DropReason } from './drop-reason.ts'
import { ipv4Address, layoutBytes, structure, u8, u16, u32 } from './layout.ts'

interface RouteLayout {
  type: number
  length: number
  pointer: number
}
interface TimestampLayout extends RouteLayout {
  overflowFlag: number
}
interface RouterAlertLayout {
  type: number
  length: number
  value: number
}
interface StampLayout {
  address: Ipv4Address
  time: number
}

const route = structure<RouteLayout>([u8('type'), u8('length'), u8('pointer')])
const timestamp = structure<TimestampLayout>([u8('type'), u8('length'), u8('pointer'), u8('overflowFlag')])
const routerAlert = structure<RouterAlertLayout>([u8('type'), u8('length'), u16('value')])
const stamp = structure<StampLayout>([ipv4Address('address'), u32('time')])

/** Offsets in an option that has more than a type. */
export const OPTION_LENGTH = route.offsetOf('length')
/** Of route and timestamp options: where the next entry goes, counted from 1. */
export const OPTION_POINTER = route.offsetOf('pointer')
/** Of the timestamp option: overflow counter in the high four bits, flag in the low. */
export const OPTION_OVERFLOW_FLAG = timestamp.offsetOf('overflowFlag')

/** Room for options in a header. */
export const IPV4_MAX_OPTIONS = 40

/** Set in the types of options that go into every fragment. */
export const OPTION_COPIED = 0x80

/** Option types. */
export const IpOption = {
  END: 0,
  NOP: 1,
  RECORD_ROUTE: 7,
  TIMESTAMP: 68,
  /** RFC 1108. */
  SECURITY: 130,
  LOOSE_SOURCE_ROUTE: 131,
  CIPSO: 134,
  STREAM_ID: 136,
  STRICT_SOURCE_ROUTE: 137,
  /** RFC 2113. */
  ROUTER_ALERT: 148,
} as const

/** Flags of the timestamp option. */
export const TimestampFlag = {
  /** Times only. */
  TIME: 0,
  /** Each time preceded by the address of who stamped it. */
  ADDRESS: 1,
  /** The sender has filled in the addresses of who shall stamp. */
  PRESPECIFIED: 3,
} as const

/** One entry of a timestamp option: milliseconds since midnight UTC (the high bit set: another unit). */
export interface TimestampEntry {
  /** Missing where the option holds times only. */
  address?: Ipv4Address
  time: number
}

/** An option as plain data. `pointer` counts from 1, the option's first byte, as on the wire. */
export type Ipv4Option =
  | { option: 'nop' }
  | {
      option: 'record-route' | 'loose-source-route' | 'strict-source-route'
      pointer: number
      /** All slots, also those not yet filled in. */
      route: Ipv4Address[]
    }
  | { option: 'timestamp'; pointer: number; overflow: number; flag: number; entries: TimestampEntry[] }
  | { option: 'router-alert'; value: number }
  /** Any other type, and one of the above whose inside is not of the usual form. */
  | { option: 'other'; type: number; data: Uint8Array }

const routeTypes = {
  'record-route': IpOption.RECORD_ROUTE,
  'loose-source-route': IpOption.LOOSE_SOURCE_ROUTE,
  'strict-source-route': IpOption.STRICT_SOURCE_ROUTE,
} as const

/**
 * Bytes of the option at `at`, of which at most `end - at` are there; 0 if its length is a lie (0, 1, or past the
 * end). This is the check that makes the accessors of an option safe.
 */
export function optionLength(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) return 0
  if (bytes[at]! <= IpOption.NOP) return 1
  if (at + 1 >= end) return 0
  const length = bytes[at + OPTION_LENGTH]!
  return length < 2 || length > end - at ? 0 : length
}

/** The options in `bytes[start…end)` up to the end of the list, or the reason why they cannot be read. */
export function parseIpv4Options(bytes: Uint8Array, start: number, end: number): Ipv4Option[] | DropReason {
  const options: Ipv4Option[] = []
  for (let at = start; at < end && bytes[at] !== IpOption.END; ) {
    const length = optionLength(bytes, at, end)
    if (length === 0) return DropReason.IP_INHDR
    options.push(parseOption(bytes, at, length))
    at += length
  }
  return options
}

function parseOption(bytes: Uint8Array, at: number, length: number): Ipv4Option {
  const type = bytes[at]!
  switch (type) {
    case IpOption.NOP:
      return { option: 'nop' }
    case IpOption.RECORD_ROUTE:
      if (isRoute(length)) return parseRoute('record-route', bytes, at, length)
      break
    case IpOption.LOOSE_SOURCE_ROUTE:
      if (isRoute(length)) return parseRoute('loose-source-route', bytes, at, length)
      break
    case IpOption.STRICT_SOURCE_ROUTE:
      if (isRoute(length)) return parseRoute('strict-source-route', bytes, at, length)
      break
    case IpOption.TIMESTAMP:
      if (length >= timestamp.span && (length - timestamp.span) % stampSize(bytes[at + 3]! & 15) === 0) {
        return parseTimestamp(bytes, at, length)
      }
      break
    case IpOption.ROUTER_ALERT:
      if (length === 4) return { option: 'router-alert', value: (bytes[at + 2]! << 8) | bytes[at + 3]! }
      break
  }
  return { option: 'other', type, data: bytes.slice(at + 2, at + length) }
}

function isRoute(length: number): boolean {
  return length >= route.span && (length - route.span) % 4 === 0
}

function stampSize(flag: number): number {
  return flag === TimestampFlag.TIME ? 4 : stamp.span
}

function parseRoute(
  option: keyof typeof routeTypes,
  bytes: Uint8Array,
  at: number,
  length: number,
): Ipv4Option {
  const addresses: Ipv4Address[] = []
  for (let slot = at + route.span; slot < at + length; slot += 4) addresses.push(readIpv4(bytes, slot))
  return { option, pointer: bytes[at + OPTION_POINTER]!, route: addresses }
}

function parseTimestamp(bytes: Uint8Array, at: number, length: number): Ipv4Option {
  const view = layoutBytes(bytes)
  const { pointer, overflowFlag } = timestamp.decode(view, at)
  const flag = overflowFlag & 15
  const entries: TimestampEntry[] = []
  for (let slot = at + timestamp.span; slot < at + length; slot += stampSize(flag)) {
    if (flag === TimestampFlag.TIME) entries.push({ time: readIpv4(bytes, slot) >>> 0 })
    else entries.push(stamp.decode(view, slot))
  }
  return { option: 'timestamp', pointer, overflow: overflowFlag >>> 4, flag, entries }
}

/** Bytes that the options take in a header, padding included. */
export function ipv4OptionsLength(options: readonly Ipv4Option[]): number {
  let length = 0
  for (const option of options) length += lengthOf(option)
  return (length + 3) & ~3
}

function lengthOf(option: Ipv4Option): number {
  switch (option.option) {
    case 'nop':
      return 1
    case 'record-route':
    case 'loose-source-route':
    case 'strict-source-route':
      return route.span + 4 * option.route.length
    case 'timestamp':
      return timestamp.span + stampSize(option.flag) * option.entries.length
    case 'router-alert':
      return 4
    case 'other':
      return 2 + option.data.length
  }
}

/**
 * Writes the options, padded with End of Option List to a multiple of 4, and returns how many bytes that are.
 * The caller has seen to it that they are 40 at most.
 */
export function emitIpv4Options(options: readonly Ipv4Option[], bytes: Uint8Array, start: number): number {
  const view = layoutBytes(bytes)
  let at = start
  for (const option of options) {
    emitOption(option, bytes, view, at)
    at += lengthOf(option)
  }
  for (; (at - start) % 4 !== 0; at++) bytes[at] = IpOption.END
  return at - start
}

function emitOption(option: Ipv4Option, bytes: Uint8Array, view: Uint8Array, at: number): void {
  const length = lengthOf(option)
  switch (option.option) {
    case 'nop':
      bytes[at] = IpOption.NOP
      return
    case 'record-route':
    case 'loose-source-route':
    case 'strict-source-route':
      route.encode({ type: routeTypes[option.option], length, pointer: option.pointer }, view, at)
      option.route.forEach((address, i) => {
        writeIpv4(bytes, at + route.span + 4 * i, address)
      })
      return
    case 'timestamp': {
      const { pointer, overflow, flag, entries } = option
      const overflowFlag = (overflow << 4) | flag
      timestamp.encode({ type: IpOption.TIMESTAMP, length, pointer, overflowFlag }, view, at)
      entries.forEach(({ address = 0, time }, i) => {
        const slot = at + timestamp.span + stampSize(flag) * i
        if (flag === TimestampFlag.TIME) writeIpv4(bytes, slot, time)
        else stamp.encode({ address, time }, view, slot)
      })
      return
    }
    case 'router-alert':
      routerAlert.encode({ type: IpOption.ROUTER_ALERT, length, value: option.value }, view, at)
      return
    case 'other':
      bytes[at] = option.type
      bytes[at + OPTION_LENGTH] = length
      bytes.set(option.data, at + 2)
  }
}

/** As `tcpdump -v` prints them within `options (…)`: `RR 10.0.0.9, 0.0.0.0,EOL`. */
export function formatIpv4Options(bytes: Uint8Array, start: number, end: number): string {
  const texts: string[] = []
  for (let at = start; at < end; ) {
    if (bytes[at] === IpOption.END) {
      texts.push('EOL')
      break
    }
    const length = optionLength(bytes, at, end)
    if (length === 0) {
      texts.push(`[bad length of option ${bytes[at]}]`)
      break
    }
    texts.push(formatOption(parseOption(bytes, at, length)))
    at += length
  }
  return texts.join(',')
}

const routeNames = {
  'record-route': 'RR',
  'loose-source-route': 'LSRR',
  'strict-source-route': 'SSRR',
} as const

function formatOption(option: Ipv4Option): string {
  switch (option.option) {
    case 'nop':
      return 'NOP'
    case 'record-route':
    case 'loose-source-route':
    case 'strict-source-route': {
      const { pointer } = option
      const bad = pointer < 4 || pointer % 4 !== 0 ? ` [bad ptr ${pointer}]` : ''
      const slots = option.route.map((a, i) => ` ${formatIpv4(a)}${4 + 4 * i < pointer ? ',' : ''}`)
      return `${routeNames[option.option]}${bad}${slots.join('')}`
    }
    case 'timestamp':
      return formatTimestamp(option)
    case 'router-alert':
      return option.value === 0 ? 'RA' : `RA value ${option.value}`
    case 'other':
      return option.type === IpOption.SECURITY ? 'security' : `unknown ${option.type}`
  }
}

const stampNames: Record<number, string> = {
  [TimestampFlag.TIME]: 'TSONLY',
  [TimestampFlag.ADDRESS]: 'TS+ADDR',
  [TimestampFlag.PRESPECIFIED]: 'PRESPEC',
}

function formatTimestamp(option: Ipv4Option & { option: 'timestamp' }): string {
  const { pointer, flag, overflow } = option
  const size = stampSize(flag)
  let text = `timestamp TS{${stampNames[flag] ?? `[bad ts type ${flag}]`}`
  let at = timestamp.span + 1
  for (const { address, time } of option.entries) {
    text += `${at === pointer ? ' ^ ' : ' '}${time}@${address === undefined ? '' : formatIpv4(address)}`
    at += size
  }
  if (at === pointer) text += ' ^ '
  return `${text}${overflow === 0 ? '' : ` [${overflow} hops not recorded]`}}`
}
