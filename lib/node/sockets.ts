/**
 * The modules of Node that a program knows the network by, over a stack instead of the kernel: each is made when it is
 * first asked for, and there is one of each for a stack.
 */
import type { Stack } from '../stack/stack.ts'
import { createHttp, createHttps } from './http/http.ts'
import { type LookupFunction, lookupLocal } from './net/lookup.ts'
import { createNet } from './net/net.ts'
import { createTls } from './tls/tls.ts'

export type { LookupFunction } from './net/lookup.ts'

export interface NodeSocketsOptions {
  /** Resolves names; by default only `localhost` and addresses are known. */
  lookup?: LookupFunction
}

export class NodeSockets {
  readonly #stack: Stack
  readonly #lookup: LookupFunction
  #net: typeof import('node:net') | null = null
  #tls: typeof import('node:tls') | null = null
  #http: typeof import('node:http') | null = null
  #https: typeof import('node:https') | null = null

  /** @internal */
  constructor(stack: Stack, options: NodeSocketsOptions) {
    this.#stack = stack
    this.#lookup = options.lookup ?? lookupLocal
  }

  /** `node:net` over the stack. @throws TunstackError `ERR_UNSUPPORTED_RUNTIME` */
  get net(): typeof import('node:net') {
    this.#net ??= createNet(this.#stack.tcpProtocol, this.#lookup, this.#stack.clock)
    return this.#net
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
}

const made = new WeakMap<Stack, NodeSockets>()

/** Node's modules over `stack`; the same ones each time, with the options of the first. */
export function nodeSockets(stack: Stack, options: NodeSocketsOptions = {}): NodeSockets {
  let sockets = made.get(stack)
  if (sockets === undefined) {
    sockets = new NodeSockets(stack, options)
    made.set(stack, sockets)
  }
  return sockets
}
