/**
 * Numbers and addresses as iproute2 reads them, which is how C reads them: hexadecimal and octal, addresses of
 * fewer than four parts filled with zeros on the right (`10.1/16` is 10.1.0.0/16), masks as lengths or in
 * dotted decimal. Of an address of another family than IPv4 only is known that it is one.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import { Exit } from './outcome.ts'

/** Address families, by their numbers. */
export const Family = { UNSPEC: 0, INET: 2, BRIDGE: 7, INET6: 10, PACKET: 17, MPLS: 28 } as const

/** The families that an address may be said to be of, by their names. */
export const ADDRESS_FAMILIES: ReadonlyMap<string, number> = new Map([
  ['inet', Family.INET],
  ['inet6', Family.INET6],
  ['link', Family.PACKET],
  ['mpls', Family.MPLS],
  ['bridge', Family.BRIDGE],
])

/** What an address argument says. */
export interface InetPrefix {
  /** The family asked for where the word was `default`, `all` or `any`. */
  family: number
  address: Ipv4Address
  /** 0…32; 0…128 for IPv6, 0…20 for a label of MPLS. */
  length: number
  /** A length was given, or the word was `default`. */
  lengthGiven: boolean
  /** `default`, `all`, `any`: no address at all. */
  absent: boolean
}

const NUMBER = /^[ \t\n\v\f\r]*([+-]?)(0[xX][0-9a-fA-F]+|[0-9]+)/

/** `strtoul`: the number at the beginning of a text and what follows it; `null` if there is none. */
function scanUnsigned(text: string, base: 0 | 10 | 16): { value: bigint; sign: string; rest: string } | null {
  const pattern = base === 16 ? /^[ \t\n\v\f\r]*([+-]?)((?:0[xX])?[0-9a-fA-F]+)/ : NUMBER
  const match = pattern.exec(text)
  if (match === null) return null
  const sign = match[1]!
  let digits = match[2]!
  const hexadecimal = /^0[xX]/.test(digits)
  if (base === 10 && hexadecimal) digits = '0'
  else if (base === 0 && !hexadecimal && digits.length > 1 && digits.startsWith('0')) {
    digits = /^0[0-7]*/.exec(digits)![0] // octal ends at the first digit that is none
  }
  const rest = text.slice(match[0].length - match[2]!.length + digits.length)
  if (base === 16) return { value: BigInt(hexadecimal ? digits : `0x${digits}`), sign, rest }
  const octal = base === 0 && !hexadecimal && digits.length > 1 && digits.startsWith('0')
  return { value: BigInt(octal ? `0o${digits.slice(1)}` : digits), sign, rest }
}

const WORD_64 = 1n << 64n

/** An unsigned number of at most `max`; `undefined` if the text is none. */
export function parseUnsigned(text: string, max = 0xffffffff, base: 0 | 10 | 16 = 0): number | undefined {
  const value = parseUnsigned64(text, base)
  return value !== undefined && value <= BigInt(max) ? Number(value) : undefined
}

/** An unsigned number of 64 bits; `undefined` if the text is none. */
export function parseUnsigned64(text: string, base: 0 | 10 | 16 = 0): bigint | undefined {
  const scanned = scanUnsigned(text, base)
  if (scanned === null || scanned.rest !== '' || scanned.value >= WORD_64) return undefined
  return scanned.sign === '-' ? (WORD_64 - scanned.value) % WORD_64 : scanned.value
}

/** The number that a text begins with; 0 if it begins with none. */
export function leadingNumber(text: string): number {
  return Number(BigInt.asUintN(32, scanUnsigned(text, 0)?.value ?? 0n))
}

/** A signed 32-bit number; `undefined` if the text is none. */
export function parseSigned(text: string): number | undefined {
  const scanned = scanUnsigned(text, 0)
  if (scanned === null || scanned.rest !== '') return undefined
  const value = scanned.sign === '-' ? -scanned.value : scanned.value
  return value >= -0x80000000n && value <= 0x7fffffffn ? Number(value) : undefined
}

/** `%u-%u` or, with a bound of 16 bits, `%hu[-%hu]` of `scanf`: numbers wrap, what follows them is ignored. */
export function parseRange(
  text: string,
  bits: 16 | 32,
): { first: number; last: number | undefined } | undefined {
  const match = /^\s*([+-]?\d+)(?:-\s*([+-]?\d+))?/.exec(text)
  if (match === null) return undefined
  const wrap = (digits: string): number => Number(BigInt.asUintN(bits, BigInt(digits)))
  return { first: wrap(match[1]!), last: match[2] === undefined ? undefined : wrap(match[2]) }
}

/** Milliseconds with an optional unit (`1.5s`, `200ms`); `raw` without one. `undefined` if the text is none. */
export function parseTime(text: string): { value: number; raw: boolean } | undefined {
  const match = text.includes('.')
    ? /^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(.*)$/s.exec(text)
    : /^\s*([+-]?(?:0[xX][0-9a-fA-F]+|\d+))(.*)$/s.exec(text)
  if (match === null) return undefined
  const number = text.includes('.') ? Number(match[1]) : Number(parseUnsigned64(match[1]!) ?? Number.NaN)
  const unit = match[2]!.toLowerCase()
  const scale =
    unit === ''
      ? 1
      : ['s', 'sec', 'secs'].includes(unit)
        ? 1000
        : ['ms', 'msec', 'msecs'].includes(unit)
          ? 1
          : 0
  if (scale === 0 || !(number >= 0)) return undefined
  // The low half of the number, and one more where something was lost, as a 64-bit processor has it.
  const time = number * scale
  const low = time < 2 ** 63 ? Number(BigInt.asUintN(32, BigInt(Math.trunc(time)))) : 0
  return { value: (low < time ? low + 1 : low) >>> 0, raw: unit === '' }
}

/** An IPv4 address of one to four parts; `undefined` if the text is none. */
export function parseParts(text: string): Ipv4Address | undefined {
  let address = 0
  let rest = text
  for (let part = 0; part < 4; part++) {
    const scanned = scanUnsigned(rest, 0)
    if (scanned === null || scanned.value > 255n) return undefined
    if (scanned.sign === '-' && scanned.value !== 0n) return undefined
    address |= Number(scanned.value) << (24 - 8 * part)
    if (scanned.rest === '') return address
    if (part === 3 || !scanned.rest.startsWith('.')) return undefined
    rest = scanned.rest.slice(1)
  }
  return undefined
}

/** An address of IPv6 (RFC 4291 §2.2): eight groups, of which `::` stands for some; the last two may be dotted. */
function isIpv6(text: string): boolean {
  const whole = text.replace(/:(?:\d{1,3}\.){3}\d{1,3}$/, ':0:0')
  const halves = whole.split('::')
  const groups = halves.flatMap((half) => (half === '' ? [] : half.split(':')))
  if (halves.length > 2 || !groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return false
  return halves.length === 2 ? groups.length < 8 : groups.length === 8
}

/** The bytes, at most `most` of them; or what cannot be read, for a complaint. */
export function parseLinkAddress(word: string, most: number): number[] | string {
  if (word.includes('.')) {
    const address = parseParts(word)
    return address === undefined ? word : [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff)
  }
  const bytes: number[] = []
  for (const part of word.split(':').slice(0, most)) {
    // As `scanf` does, which doesn't mind what follows.
    const match = /^\s*([+-]?)(?:0[xX])?([0-9a-fA-F]+)/.exec(part)
    const value = match === null ? -1 : Number.parseInt(match[2]!, 16)
    if (value < 0 || value > 255 || (match![1] === '-' && value !== 0)) return part
    bytes.push(value)
  }
  return bytes
}

export function invalidLinkAddress(part: string): string {
  return `"${part}" is invalid lladdr.`
}

/** Bytes of the longest address. */
const LONGEST = 256
/** Labels of MPLS are of 20 bits (RFC 3032 §2.1). */
const LABEL_BITS = 20

function isLabelStack(text: string): boolean {
  return text.split('/').every((label) => parseUnsigned(label, 2 ** LABEL_BITS - 1) !== undefined)
}

function parseAddress(text: string, family: number): { family: number; address: Ipv4Address } | undefined {
  if (family === Family.PACKET) {
    return typeof parseLinkAddress(text, LONGEST) === 'string' ? undefined : { family, address: 0 }
  }
  if (family === Family.MPLS) return isLabelStack(text) ? { family, address: 0 } : undefined
  if (text.includes(':')) {
    const six = (family === Family.UNSPEC || family === Family.INET6) && isIpv6(text)
    return six ? { family: Family.INET6, address: 0 } : undefined
  }
  if (family !== Family.UNSPEC && family !== Family.INET) return undefined
  const address = parseParts(text)
  return address === undefined ? undefined : { family: Family.INET, address }
}

/** A mask as a length or in dotted decimal. */
function parseMask(text: string): number | undefined {
  const length = parseUnsigned(text)
  if (length !== undefined) return length
  const mask = parseParts(text)
  if (mask === undefined) return undefined
  const host = ~mask >>> 0
  if ((host & (host + 1)) !== 0) return undefined
  return 32 - Math.log2(host + 1)
}

/** Words for no address, which is none of MPLS. */
function isNoAddress(text: string, family: number): boolean {
  return family !== Family.MPLS && (text === 'default' || text === 'all' || text === 'any')
}

const BITS: Readonly<Record<number, number>> = { [Family.INET6]: 128, [Family.MPLS]: LABEL_BITS }

function tryPrefix(text: string, family: number): InetPrefix | undefined {
  if (isNoAddress(text, family)) {
    return { family, address: 0, length: 0, lengthGiven: true, absent: true }
  }
  const slash = text.indexOf('/')
  const found = parseAddress(slash < 0 ? text : text.slice(0, slash), family)
  if (found === undefined) return undefined
  const bits = BITS[found.family] ?? 32
  const length = slash < 0 ? bits : parseMask(text.slice(slash + 1))
  if (length === undefined || length > bits) return undefined
  return { ...found, length, lengthGiven: slash >= 0, absent: false }
}

const FAMILY_NAMES: Readonly<Record<number, string>> = {
  0: 'any valid',
  2: 'inet',
  7: 'bridge',
  10: 'inet6',
  17: 'link',
  28: 'mpls',
}

/** @throws Exit with status 1 */
export function parsePrefix(text: string, family: number): InetPrefix {
  if (family === Family.PACKET) {
    throw new Exit(1, `Error: "${text}" may be inet prefix, but it is not allowed in this context.`)
  }
  const prefix = tryPrefix(text, family)
  if (prefix !== undefined) return prefix
  throw new Exit(1, `Error: ${FAMILY_NAMES[family] ?? '???'} prefix is expected rather than "${text}".`)
}

/** An address without a length; `default` is the address of zeros. @throws Exit with status 1 */
export function parseHost(text: string, family: number): InetPrefix {
  const named = isNoAddress(text, family)
  const found = named ? { family, address: 0 } : parseAddress(text, family)
  if (found !== undefined)
    return { ...found, length: 32, lengthGiven: false, absent: text === 'all' || text === 'any' }
  const part = family === Family.PACKET ? parseLinkAddress(text, LONGEST) : []
  const reason = typeof part === 'string' ? `${invalidLinkAddress(part)}\n` : ''
  // By then it has cut the word into its bytes.
  const rest = reason === '' ? text : text.split(':')[0]
  const expected = FAMILY_NAMES[family] ?? '???'
  throw new Exit(1, `${reason}Error: ${expected} address is expected rather than "${rest}".`)
}

/** `fnmatch` without flags: `*`, `?` and bracket expressions. */
export function matchesGlob(pattern: string, text: string): boolean {
  let source = '^'
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern[at]!
    const close = char === '[' ? pattern.indexOf(']', at + 2) : -1
    if (char === '*') source += '[^]*'
    else if (char === '?') source += '[^]'
    else if (close > 0) {
      source += `[${pattern
        .slice(at + 1, close)
        .replace(/^!/, '^')
        .replace(/\\/g, '\\\\')}]`
      at = close
    } else {
      const literal = char === '\\' && at + 1 < pattern.length ? pattern[++at]! : char
      source += literal.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
    }
  }
  return new RegExp(`${source}$`).test(text)
}

/** What iproute2 takes for the name of a device: the kernel itself is stricter. */
export function isDeviceName(text: string): boolean {
  return /^[^/\s]{1,15}$/.test(text)
}

/** One of the other names that a device may have, which may be longer. */
export function isAltName(text: string): boolean {
  return /^[^/\s]{1,127}$/.test(text)
}
