/** Reads a document of unknown shape, and says of what is wrong where it is. */
import { parseIpv4, parseIpv4Prefix } from '../address/ipv4-address.ts'
import type { NameTable } from '../iproute2/names.ts'
import { ConfigurationError } from './configuration-error.ts'
import type { PrefixModel } from './model.ts'

/** One value and its place: `routes[3].via`. */
export class Reader {
  readonly value: unknown
  readonly path: string

  constructor(value: unknown, path = '') {
    this.value = value
    this.path = path
  }

  /** @throws ConfigurationError always */
  fail(expected: string): never {
    const { value } = this
    const shown = value === undefined ? 'nothing' : (JSON.stringify(value) ?? String(value))
    const brief = shown.length > 80 ? `${shown.slice(0, 80)}…` : shown
    throw new ConfigurationError(
      'ERR_CONFIGURATION_INVALID',
      this.path,
      `${expected} is expected; got ${brief}`,
      {
        value,
      },
    )
  }

  object(): Fields {
    const { value } = this
    if (typeof value !== 'object' || value === null || Array.isArray(value)) this.fail('an object')
    return new Fields(value as Record<string, unknown>, this.path)
  }

  array(): Reader[] {
    const { value, path } = this
    if (!Array.isArray(value)) this.fail('a list')
    return (value as unknown[]).map((each, index) => new Reader(each, `${path}[${index}]`))
  }

  string(): string {
    return typeof this.value === 'string' ? this.value : this.fail('a string')
  }

  boolean(): boolean {
    return typeof this.value === 'boolean' ? this.value : this.fail('true or false')
  }

  integer(min: number, max: number): number {
    const { value } = this
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
    this.fail(`a whole number from ${min} to ${max}`)
  }

  /** A number, or the name of one. */
  named(names: NameTable, max: number): number {
    if (typeof this.value === 'number') return this.integer(0, max)
    const number = names.parse(this.string())
    return number === undefined || number > max ? this.fail(`a known name, or a number up to ${max}`) : number
  }

  address(): number {
    return this.#parsed(parseIpv4, 'an IPv4 address such as 10.0.3.1')
  }

  /** @param only without it the host bits may be set */
  prefix(only = false): PrefixModel {
    if (this.value === 'default') return { address: 0, length: 0 }
    const prefix = this.#parsed(parseIpv4Prefix, 'an IPv4 prefix such as 10.0.3.0/24')
    const rest = prefix.length === 0 ? -1 : prefix.length === 32 ? 0 : -1 >>> prefix.length
    if (only && (prefix.address & rest) !== 0) this.fail('a prefix without bits beyond its length')
    return prefix
  }

  /** Two numbers, the smaller first. */
  range(min: number, max: number): { first: number; last: number } {
    const ends = this.array()
    if (ends.length !== 2) this.fail('a list of two numbers')
    const first = ends[0]!.integer(min, max)
    return { first, last: ends[1]!.integer(first, max) }
  }

  #parsed<T>(parse: (text: string) => T, expected: string): T {
    const text = this.string()
    try {
      return parse(text)
    } catch {
      this.fail(expected)
    }
  }
}

/** The parts of an object. What was never asked for is a mistake: {@link finish} says so. */
export class Fields {
  readonly path: string
  readonly #values: Readonly<Record<string, unknown>>
  readonly #asked = new Set<string>()

  constructor(values: Readonly<Record<string, unknown>>, path: string) {
    this.#values = values
    this.path = path
  }

  /** @throws ConfigurationError where it is missing */
  get(name: string): Reader {
    const reader = this.find(name)
    return reader ?? this.#at(name, undefined).fail('a value')
  }

  find(name: string): Reader | undefined {
    this.#asked.add(name)
    const value = Object.hasOwn(this.#values, name) ? this.#values[name] : undefined
    return value === undefined ? undefined : this.#at(name, value)
  }

  /** The value, or another where there is none. */
  or<T>(name: string, read: (reader: Reader) => T, otherwise: T): T {
    const reader = this.find(name)
    return reader === undefined ? otherwise : read(reader)
  }

  /** @throws ConfigurationError for a part of another name */
  finish(): void {
    for (const name of Object.keys(this.#values)) {
      if (this.#asked.has(name) || this.#values[name] === undefined) continue
      const path = this.#at(name, undefined).path
      const known = [...this.#asked].sort().join(', ')
      throw new ConfigurationError(
        'ERR_CONFIGURATION_INVALID',
        path,
        `there is no such part; there are ${known}`,
        {
          value: this.#values[name],
        },
      )
    }
  }

  #at(name: string, value: unknown): Reader {
    return new Reader(value, this.path === '' ? name : `${this.path}.${name}`)
  }
}
