/**
 * Routes as a program sets them: `stack.routes.add('10.2.0.0/16 via 10.9.0.1 dev tun0 metric 5')`, in the words
 * of `ip route`, or as an object. The whole language of `ip`, with its abbreviations, is in `iproute2/`.
 */
import { parseIpv4, parseIpv4Prefix } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { invalidArgument, TunstackError } from '../errors.ts'
import type { RouteAddMode, RouteConfig } from '../route/fib-types.ts'
import { Metric, RouteProtocol, RouteTable, RouteType, Scope } from '../route/rtnetlink.ts'
import type { Stack } from './stack.ts'

/** A route in text: addresses and names as `ip route` takes them, spelled out. */
export interface RouteOptions {
  /** `'default'` or a prefix. */
  to: string
  type?: 'unicast' | 'local' | 'broadcast' | 'multicast' | 'throw' | 'unreachable' | 'prohibit' | 'blackhole'
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

const TYPES = {
  unicast: RouteType.UNICAST,
  local: RouteType.LOCAL,
  broadcast: RouteType.BROADCAST,
  multicast: RouteType.MULTICAST,
  throw: RouteType.THROW,
  unreachable: RouteType.UNREACHABLE,
  prohibit: RouteType.PROHIBIT,
  blackhole: RouteType.BLACKHOLE,
} as const
const TABLES = { main: RouteTable.MAIN, local: RouteTable.LOCAL, default: RouteTable.DEFAULT } as const
const PROTOCOLS = {
  kernel: RouteProtocol.KERNEL,
  boot: RouteProtocol.BOOT,
  static: RouteProtocol.STATIC,
} as const
const SCOPES = { global: Scope.UNIVERSE, site: Scope.SITE, link: Scope.LINK, host: Scope.HOST } as const

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

  /** Replaces the route of the same prefix, TOS and metric, or adds it. */
  replace(route: string | RouteOptions): this {
    return this.add(route, 'replace')
  }

  /** Removes the first route that matches all that is given. @throws TunstackError `ESRCH` if none does */
  delete(route: string | RouteOptions): this {
    this.#stack.routing.fib.deleteRoute(this.#config(route))
    return this
  }

  #config(route: string | RouteOptions): RouteConfig {
    const options = typeof route === 'string' ? parseWords(route) : route
    const prefix = options.to === 'default' ? { address: 0, length: 0 } : parseIpv4Prefix(options.to)
    const config: RouteConfig = { prefix: prefix.address, prefixLength: prefix.length }
    if (options.type !== undefined) config.type = named(TYPES, options.type, 'type')
    if (options.via !== undefined) config.gateway = parseIpv4(options.via)
    if (options.dev !== undefined) config.device = this.#device(options.dev)
    if (options.table !== undefined) config.table = named(TABLES, options.table, 'table')
    if (options.metric !== undefined) config.priority = options.metric
    if (options.src !== undefined) config.prefsrc = parseIpv4(options.src)
    if (options.proto !== undefined) config.protocol = named(PROTOCOLS, options.proto, 'proto')
    if (options.scope !== undefined) config.scope = named(SCOPES, options.scope, 'scope')
    if (options.tos !== undefined) config.tos = options.tos
    if (options.mtu !== undefined) config.metrics = new Map([[Metric.MTU, options.mtu]])
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

function named<T extends Record<string, number>>(names: T, value: string | number, what: string): number {
  if (typeof value === 'number') return value
  const number = names[value]
  if (number === undefined) throw invalidArgument(what, value, `one of ${Object.keys(names).join(', ')}`)
  return number
}

/** `[TYPE] PREFIX [WORD VALUE]…` */
function parseWords(text: string): RouteOptions {
  const words = text.trim().split(/\s+/)
  const options: Record<string, unknown> = {}
  let first = words.shift()
  if (first !== undefined && first in TYPES) {
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
    const option = OPTION_OF[word] ?? unknownWord(word, text)
    options[option] = NUMERIC.has(option) && /^\d+$/.test(value) ? Number(value) : value
  }
  return options as unknown as RouteOptions
}

const OPTION_OF: Readonly<Record<string, keyof RouteOptions>> = {
  via: 'via',
  dev: 'dev',
  table: 'table',
  metric: 'metric',
  src: 'src',
  proto: 'proto',
  scope: 'scope',
  tos: 'tos',
  mtu: 'mtu',
}

/** What may be a number; a device may have one as its name. */
const NUMERIC: ReadonlySet<keyof RouteOptions> = new Set(['table', 'metric', 'proto', 'tos', 'mtu'])

function unknownWord(word: string, text: string): never {
  throw invalidArgument(
    'route',
    text,
    `made of via, dev, table, metric, src, proto, scope, tos, mtu, onlink; not '${word}'`,
  )
}
