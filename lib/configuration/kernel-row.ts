/** One row of `ip -j`: read part by part, so that what was not understood can be told. */
import { parseIpv4, parseIpv4Prefix } from '../address/ipv4-address.ts'
import { ConfigurationError } from './configuration-error.ts'
import type { PrefixModel } from './model.ts'

/** A part of a machine's state that is not in the stack. */
export interface Skip {
  /** `route[3]`: the row of that command's output; `route[3].nhid` for a part of it. */
  path: string
  reason: string
  /** The row. */
  value: unknown
}

export class Skips {
  readonly list: Skip[] = []

  add(path: string, reason: string, value: unknown): void {
    this.list.push({ path, reason, value })
  }
}

/** The row cannot be taken: why not. */
export class Untaken extends Error {}

/** @throws ConfigurationError if it is no list of objects */
export function rowsOf(output: unknown, what: string): [Row, number][] {
  const wrong = (path: string, value: unknown): ConfigurationError =>
    new ConfigurationError('ERR_CONFIGURATION_INVALID', path, `the parsed output of ip -j is expected`, {
      value,
    })
  if (!Array.isArray(output)) throw wrong(what, output)
  return output.map((value: unknown, index) => {
    if (typeof value !== 'object' || value === null) throw wrong(`${what}[${index}]`, value)
    return [new Row(value as Record<string, unknown>, `${what}[${index}]`), index]
  })
}

export class Row {
  readonly path: string
  readonly values: Readonly<Record<string, unknown>>
  readonly #asked = new Set<string>()

  constructor(values: Readonly<Record<string, unknown>>, path: string) {
    this.values = values
    this.path = path
  }

  /** It is there, whatever its value: flags are there or not. */
  has(name: string): boolean {
    this.#asked.add(name)
    return Object.hasOwn(this.values, name) && this.values[name] !== false
  }

  get(name: string): unknown {
    this.#asked.add(name)
    return Object.hasOwn(this.values, name) ? this.values[name] : undefined
  }

  /** Parts that say nothing to a stack. */
  ignore(...names: readonly string[]): void {
    for (const name of names) this.#asked.add(name)
  }

  /** @throws Untaken */
  string(name: string): string {
    const value = this.get(name)
    if (typeof value !== 'string') throw new Untaken(`it has no ${name}`)
    return value
  }

  /** Decimal or hexadecimal, a number or its text. @throws Untaken */
  number(name: string, otherwise: number): number {
    const value = this.get(name)
    if (value === undefined) return otherwise
    const number = typeof value === 'string' && value !== '' ? Number(value) : value
    if (typeof number !== 'number' || !Number.isInteger(number)) {
      throw new Untaken(`${name} is no number: ${String(value)}`)
    }
    return number
  }

  /** The number that a lookup finds for a value. @throws Untaken */
  named(name: string, find: (value: unknown) => number | undefined, otherwise: number): number {
    const value = this.get(name)
    if (value === undefined) return otherwise
    const number = find(value)
    if (number === undefined) throw new Untaken(`the ${name} ${String(value)} has no number: take ip -N -j`)
    return number
  }

  /** @throws Untaken */
  address(name: string, otherwise: number): number {
    const value = this.get(name)
    return value === undefined ? otherwise : parsed(value, parseIpv4)
  }

  /** `default`, `all`, an address or a prefix, or with `lengthName` an address and its length. @throws Untaken */
  prefix(name: string, lengthName?: string): PrefixModel {
    const value = this.get(name)
    if (value === undefined || value === 'default' || value === 'all') return { address: 0, length: 0 }
    const prefix = parsed(value, parseIpv4Prefix)
    return lengthName === undefined ? prefix : { ...prefix, length: this.number(lengthName, prefix.length) }
  }

  strings(name: string): string[] {
    const value = this.get(name)
    return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : []
  }

  /** Tells of the parts that nobody asked for. */
  finish(skips: Skips): void {
    for (const [name, value] of Object.entries(this.values)) {
      if (!this.#asked.has(name)) skips.add(`${this.path}.${name}`, 'not modelled by a stack', value)
    }
  }
}

function parsed<T>(value: unknown, parse: (text: string) => T): T {
  if (typeof value === 'string' && value.includes(':')) throw new Untaken('a stack has no IPv6')
  try {
    return parse(value as string)
  } catch {
    throw new Untaken(`'${String(value)}' is no IPv4 address`)
  }
}

/** Runs a reader of one row; what it refuses is skipped. */
export function take<T>(row: Row, skips: Skips, read: (row: Row) => T): T | undefined {
  try {
    const taken = read(row)
    row.finish(skips)
    return taken
  } catch (error) {
    if (!(error instanceof Untaken)) throw error
    skips.add(row.path, error.message, row.values)
    return undefined
  }
}
