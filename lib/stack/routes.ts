/**
 * Routes as a program sets them: `stack.routes.add('10.2.0.0/16 via 10.9.0.1 dev tun0 metric 5')`, in the words
 * of `ip route`, or as an object. The whole language of `ip`, with its abbreviations, is in `iproute2/`.
 */
import { parseIpv4, parseIpv4Prefix } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { invalidArgument, TunstackError } from '../errors.ts'
import type { RouteAddMode, RouteConfig } from '../route/fib-types.ts'
import { numberOf, PROTOCOLS, ROUTE_TYPES, SCOPES, TABLES } from '../route/names.ts'
import { Metric } from '../route/rtnetlink.ts'
import type { Stack } from './stack.ts'

/** A route in text: addresses and names as `ip route` takes them, spelled out. */
export interface RouteOptions {
  /** `'default'` or a prefix. */
  to: string
  type?: keyof typeof ROUTE_TYPES
  via?: string
  dev?: string
  table?: number | 'main' | 'local' | 'default'
  metric?: number
  src?: string
  proto?: number | 'kernel' | 'boot' | 'static'
  scope?: 'global' | 'site' | 'link' | 'host'
  tos?: number
  /** Bytes. */
  mtu?: number
  onlink?: boolean
}

const MAX_U32 = 0xffffffff

/** The routes of a stack. */
export class Routes {
  readonly #stack: Stack

  /** @internal */
  constructor(stack: Stack) {
    this.#stack = stack
  }

  /**
   * Adds a route.
   * @throws TunstackError with Linux's errno as code: `EEXIST`, `ENETUNREACH`, `EINVAL`, `ENODEV`;
   * `ERR_INVALID_ARG_VALUE` for a word that is none
   */
  add(route: string | RouteOptions, mode: RouteAddMode = 'add'): this {
    this.#stack.routing.fib.addRoute(this.#config(route), mode)
    return this
  }

  /** Replaces the route of the same prefix, TOS and metric, or adds it. @throws TunstackError as {@link add} */
  replace(route: string | RouteOptions): this {
    return this.add(route, 'replace')
  }

  /** Removes the first route that matches all that is given. @throws TunstackError `ESRCH` if none does; as {@link add} */
  delete(route: string | RouteOptions): this {
    this.#stack.routing.fib.deleteRoute(this.#config(route))
    return this
  }

  #config(route: string | RouteOptions): RouteConfig {
    const options = typeof route === 'string' ? parseWords(route) : route
    if (typeof options !== 'object' || options === null) {
      throw invalidArgument('route', route, "text such as '10.2.0.0/16 via 10.9.0.1', or an object")
    }
    const prefix = options.to === 'default' ? { address: 0, length: 0 } : parseIpv4Prefix(options.to)
    const config: RouteConfig = { prefix: prefix.address, prefixLength: prefix.length }
    if (options.type !== undefined) config.type = numberOf(ROUTE_TYPES, options.type, 'type')
    if (options.via !== undefined) config.gateway = parseIpv4(options.via)
    if (options.dev !== undefined) config.device = this.#device(options.dev)
    if (options.table !== undefined) config.table = named(TABLES, options.table, 'table', MAX_U32)
    if (options.metric !== undefined) config.priority = within(options.metric, 'metric', MAX_U32)
    if (options.src !== undefined) config.prefsrc = parseIpv4(options.src)
    if (options.proto !== undefined) config.protocol = named(PROTOCOLS, options.proto, 'proto', 255)
    if (options.scope !== undefined) config.scope = numberOf(SCOPES, options.scope, 'scope')
    if (options.tos !== undefined) config.tos = within(options.tos, 'tos', 255)
    if (options.mtu !== undefined)
      config.metrics = new Map([[Metric.MTU, within(options.mtu, 'mtu', MAX_U32)]])
    if (options.onlink !== undefined) config.onlink = options.onlink
    return config
  }

  #device(name: string): NetDevice {
    const device = this.#stack.devices.byName(name)
    if (device === undefined) {
      throw new TunstackError('ENODEV', `there is no device '${name}' in this stack`, { value: name })
    }
    return device
  }
}

function named(names: Readonly<Record<string, number>>, value: unknown, what: string, most: number): number {
  return typeof value === 'number' ? within(value, what, most) : numberOf(names, value, what)
}

function within(value: unknown, what: string, most: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most) return value
  throw invalidArgument(what, value, `a whole number, 0…${most}`)
}

/** `[TYPE] PREFIX [WORD VALUE]…` */
function parseWords(text: string): RouteOptions {
  const words = text.trim().split(/\s+/)
  const options: Record<string, unknown> = {}
  let first = words.shift()
  if (first !== undefined && Object.hasOwn(ROUTE_TYPES, first)) {
    options['type'] = first
    first = words.shift()
  }
  if (first === undefined || first === '')
    throw invalidArgument('route', text, "a prefix or 'default', then words")
  options['to'] = first
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word === 'onlink') {
      options['onlink'] = true
      continue
    }
    const value = words.shift()
    if (value === undefined) throw invalidArgument('route', text, `a value after '${word}'`)
    if (!WORDS.has(word)) throw unknownWord(word, text)
    options[word] = NUMERIC.has(word) && /^(\d+|0x[\da-f]+)$/i.test(value) ? Number(value) : value
  }
  return options as unknown as RouteOptions
}

/** Each is the name of the option that it sets. */
const WORDS: ReadonlySet<string> = new Set([
  'via',
  'dev',
  'table',
  'metric',
  'src',
  'proto',
  'scope',
  'tos',
  'mtu',
] satisfies (keyof RouteOptions)[])

/** What may be a number; a device may have one as its name. */
const NUMERIC: ReadonlySet<string> = new Set(['table', 'metric', 'proto', 'tos', 'mtu'])

function unknownWord(word: string, text: string): TunstackError {
  return invalidArgument('route', text, `made of ${[...WORDS].join(', ')}, onlink; not '${word}'`)
}
