/**
 * Netlink messages in bytes, as `ip route save` and its kin write the kernel's: a header (length, type, flags, number
 * of the request, port), a fixed part, then attributes, each with length and type. Numbers are little-endian, as on
 * the machines that such files come from; addresses are in network order. All parts begin at multiples of four.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'

/** Types of messages (`RTM_*`). */
export const MessageType = { NEWADDR: 20, NEWROUTE: 24, NEWRULE: 32 } as const

/** `NLM_F_MULTI`: one of many; and what a dump has for which a filter was given. */
export const MULTI = 0x02
export const DUMP_FILTERED = 0x20

const HEADER = 16
const ATTRIBUTE_HEADER = 4
/** What iproute2 takes at most. */
const LONGEST = 16384

export function u8(value: number): Uint8Array {
  return Uint8Array.of(value)
}

export function u16(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8)
}

export function u32(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24)
}

export function inet(address: Ipv4Address): Uint8Array {
  return Uint8Array.of(address >>> 24, address >>> 16, address >>> 8, address)
}

/** In UTF-8, with the zero that ends it. */
export function text(value: string): Uint8Array {
  const wellFormed = value.replace(/[\ud800-\udfff]/gu, '\ufffd')
  const octets = encodeURIComponent(wellFormed).replace(/%(..)/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  )
  return Uint8Array.from(`${octets}\0`, (octet) => octet.charCodeAt(0))
}

/** The text of UTF-8; of what is none, a character for each byte. */
function textOf(octets: Uint8Array): string {
  const escaped = Array.from(octets, (octet) => `%${octet.toString(16).padStart(2, '0')}`).join('')
  try {
    return decodeURIComponent(escaped)
  } catch {
    return String.fromCharCode(...octets)
  }
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

const aligned = (length: number): number => (length + 3) & ~3

/** @param value its parts; other attributes, if it is nested */
export function attribute(type: number, ...value: readonly Uint8Array[]): Uint8Array {
  const content = concat(value)
  const whole = new Uint8Array(aligned(ATTRIBUTE_HEADER + content.length))
  whole.set(u16(ATTRIBUTE_HEADER + content.length), 0)
  whole.set(u16(type), 2)
  whole.set(content, ATTRIBUTE_HEADER)
  return whole
}

export interface NetlinkMessage {
  readonly type: number
  readonly flags: number
  /** The fixed part and the attributes. */
  readonly payload: Uint8Array
}

/** @param parts the fixed part, then attributes */
export function message(type: number, flags: number, parts: readonly Uint8Array[]): Uint8Array {
  const payload = concat(parts)
  const whole = new Uint8Array(aligned(HEADER + payload.length))
  whole.set(u32(HEADER + payload.length), 0)
  whole.set(u16(type), 4)
  whole.set(u16(flags), 6)
  whole.set(payload, HEADER)
  return whole
}

/** A stream of messages that ends in the middle of one, or has none such: why, as iproute2 says it. */
export class MalformedDump extends Error {}

/** The messages one after the other, from `from` on. @throws MalformedDump */
export function* messages(bytes: Uint8Array, from = 0): Generator<NetlinkMessage, void, undefined> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = from; at < bytes.length; ) {
    if (at + HEADER > bytes.length) throw new MalformedDump('rtnl-from_file: truncated message')
    const length = view.getInt32(at, true)
    if (length < HEADER || length > LONGEST) {
      throw new MalformedDump(`!!!malformed message: len=${length} @${at + HEADER}`)
    }
    const end = at + aligned(length)
    if (end > bytes.length) throw new MalformedDump('rtnl-from_file: truncated message')
    yield {
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      payload: bytes.subarray(at + HEADER, at + length),
    }
    at = end
  }
}

/** Attributes by type, from `at` on to the end or to what is none. Of two of a type the later counts. */
export class Attributes {
  readonly #values = new Map<number, Uint8Array>()

  constructor(bytes: Uint8Array, at = 0) {
    let next = at
    while (next + ATTRIBUTE_HEADER <= bytes.length) {
      const length = bytes[next]! | (bytes[next + 1]! << 8)
      if (length < ATTRIBUTE_HEADER || next + length > bytes.length) return
      const type = (bytes[next + 2]! | (bytes[next + 3]! << 8)) & 0x3fff // without the marks of nested ones
      this.#values.set(type, bytes.subarray(next + ATTRIBUTE_HEADER, next + length))
      next += aligned(length)
    }
  }

  get types(): Iterable<number> {
    return this.#values.keys()
  }

  get(type: number): Uint8Array | undefined {
    return this.#values.get(type)
  }

  /** The number in the first bytes, of four at most; `undefined` if it is not there. */
  number(type: number): number | undefined {
    const value = this.#values.get(type)
    return value === undefined ? undefined : littleEndian(value, 0, Math.min(4, value.length))
  }

  inet(type: number): Ipv4Address | undefined {
    const value = this.#values.get(type)
    if (value === undefined || value.length < 4) return undefined
    return (value[0]! << 24) | (value[1]! << 16) | (value[2]! << 8) | value[3]!
  }

  /** Up to the zero that ends it. */
  text(type: number): string | undefined {
    const value = this.#values.get(type)
    if (value === undefined) return undefined
    const end = value.indexOf(0)
    return textOf(end < 0 ? value : value.subarray(0, end))
  }

  nested(type: number): Attributes | undefined {
    const value = this.#values.get(type)
    return value === undefined ? undefined : new Attributes(value)
  }
}

/** An unsigned number of `length` bytes, 4 at most. */
export function littleEndian(bytes: Uint8Array, at: number, length: number): number {
  let number = 0
  for (let i = 0; i < length; i++) number |= (bytes[at + i] ?? 0) << (8 * i)
  return number >>> 0
}
