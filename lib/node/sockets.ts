/**
 * The modules of Node that a program knows the network by, over a stack instead of the kernel: each is made when it is
 * first asked for, and there is one of each for a stack.
 */
import type { Stack } from '../stack/stack.ts'
import { createDgram } from './dgram/dgram.ts'
import { createDns, createLookup, parseServer } from './dns/dns.ts'
import type { DnsChannelContext } from './dns/dns-channel.ts'
import type { DnsServer } from './dns/dns-client.ts'
import { Hosts, type Names } from './dns/hosts.ts'
import { type Connector, createConnector, createFetch, type OpenHold } from './http/fetch.ts'
import { createHttp, createHttps } from './http/http.ts'
import type { LookupFunction } from './net/lookup.ts'
import { createNet } from './net/net.ts'
import { createTls } from './tls/tls.ts'
import { Turns } from './turns.ts'

export type { LookupFunction } from './net/lookup.ts'

export interface NodeSocketsOptions {
  /** Resolves names instead of `hosts` and `servers`. */
  lookup?: LookupFunction
  /** Names and their addresses, as `/etc/hosts` has them: `'10.9.0.7 db'`. `localhost` is known without. */
  hosts?: string
  /** DNS servers, which are asked through the stack: `'10.9.0.1'`, `'10.9.0.1:5353'`. None by default. */
  servers?: readonly string[]
  /** `net` has local sockets (paths instead of ports), which are the kernel's; by default it refuses them. */
  localSockets?: boolean
}

type Settings = Omit<NodeSocketsOptions, 'hosts'> & { hosts: Names; hold?: OpenHold }

export class NodeSockets {
  readonly stack: Stack
  /** @internal */
  readonly lookup: LookupFunction
  readonly #names: DnsChannelContext
  readonly #servers: readonly DnsServer[]
  readonly #turns: Turns
  readonly #localSockets: boolean
  readonly #hold: OpenHold | null
  #net: typeof import('node:net') | null = null
  #dns: typeof import('node:dns') | null = null
  #dgram: typeof import('node:dgram') | null = null
  #tls: typeof import('node:tls') | null = null
  #http: typeof import('node:http') | null = null
  #https: typeof import('node:https') | null = null
  #fetch: typeof globalThis.fetch | null = null

  /** @internal */
  constructor(stack: Stack, options: Settings) {
    this.stack = stack
    this.#turns = new Turns(stack.clock)
    this.#localSockets = options.localSockets === true
    this.#hold = options.hold ?? null
    this.#names = { stack, hosts: options.hosts, turns: this.#turns }
    this.#servers = (options.servers ?? []).map(parseServer)
    this.lookup = options.lookup ?? createLookup(this.#names, this.#servers)
  }

  /** `node:net` over the stack. @throws TunstackError `ERR_UNSUPPORTED_RUNTIME` */
  get net(): typeof import('node:net') {
    this.#net ??= createNet(this.stack.tcpProtocol, this.#turns, this.lookup, this.#localSockets)
    return this.#net
  }

  /** `node:dgram` over the stack. @throws TunstackError `ERR_UNSUPPORTED_RUNTIME` */
  get dgram(): typeof import('node:dgram') {
    this.#dgram ??= createDgram({ udp: this.stack.udp, turns: this.#turns }, this.lookup)
    return this.#dgram
  }

  /** `node:dns` over the stack. */
  get dns(): typeof import('node:dns') {
    this.#dns ??= createDns(this.#names, this.#servers, this.lookup)
    return this.#dns
  }

  /** @internal what handles of TCP stand on */
  get handles(): { tcp: Stack['tcpProtocol']; turns: Turns } {
    return { tcp: this.stack.tcpProtocol, turns: this.#turns }
  }

  /** `node:tls` over the stack. @throws TunstackError `ERR_UNSUPPORTED_RUNTIME` */
  get tls(): typeof import('node:tls') {
    this.#tls ??= createTls(this.net)
    return this.#tls
  }

  /** `node:http` over the stack. @throws TunstackError `ERR_UNSUPPORTED_RUNTIME` */
  get http(): typeof import('node:http') {
    this.#http ??= createHttp(this.net)
    return this.#http
  }

  /** `node:https` over the stack. @throws TunstackError `ERR_UNSUPPORTED_RUNTIME` */
  get https(): typeof import('node:https') {
    this.#https ??= createHttps(this.net, this.tls)
    return this.#https
  }

  /** `fetch` over the stack. @throws TunstackError `ERR_UNSUPPORTED_RUNTIME` */
  get fetch(): typeof globalThis.fetch {
    this.#fetch ??= createFetch(this.connector())
    return this.#fetch
  }

  /**
   * For undici: `new Agent({ connect: sockets.connector() })`, or a `Client` or `Pool`, connects through the stack.
   * @param secure options for TLS: `ca`, `rejectUnauthorized`, …
   */
  connector(secure: import('node:tls').ConnectionOptions = {}): Connector {
    return createConnector(this.net, this.tls, secure, this.#hold)
  }
}

const made = new WeakMap<Stack, NodeSockets>()

/**
 * Node's modules over `stack`; the same ones each time, with the options of the first.
 * @throws TunstackError `ERR_INVALID_ARG_VALUE`
 */
export function nodeSockets(stack: Stack, options: NodeSocketsOptions = {}): NodeSockets {
  return madeFor(stack, { ...options, hosts: new Hosts(options.hosts) })
}

/** @internal the same, with names that may change */
export function namedSockets(stack: Stack, hosts: Names, hold: OpenHold): NodeSockets {
  return madeFor(stack, { hosts, hold })
}

function madeFor(stack: Stack, settings: Settings): NodeSockets {
  let sockets = made.get(stack)
  if (sockets === undefined) {
    sockets = new NodeSockets(stack, settings)
    made.set(stack, sockets)
  }
  return sockets
}
