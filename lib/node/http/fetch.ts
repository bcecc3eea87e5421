/**
 * `fetch` over a stack: Node's own, with a dispatcher of undici whose connections are of the stack. undici takes a
 * function that connects; which undici it is, Node's or one from npm, makes no difference to it.
 */
import type { Socket } from 'node:net'
import type { ConnectionOptions } from 'node:tls'
import { TunstackError } from '../../errors.ts'

/** What undici says of a connection that it wants. */
export interface ConnectorOptions extends Omit<ConnectionOptions, 'port' | 'servername'> {
  hostname: string
  protocol: string
  port: string
  servername?: string | null
  localAddress?: string | null
  httpSocket?: Socket
}

/** The `connect` of undici's `Client`, `Pool` and `Agent`. */
export type Connector = (
  options: ConnectorOptions,
  callback: (...result: [error: null, socket: Socket] | [error: Error, socket: null]) => void,
) => void

/** Keeps a simulation's time from going on, until it is released. */
export type OpenHold = (what: string) => { release(): void }

/**
 * @param secure options for TLS: `ca`, `rejectUnauthorized`, …
 * @param hold of a simulated network: between its connection and its first request undici may still be compiling its
 * parser, which is a thread's work and shows nowhere
 */
export function createConnector(
  net: typeof import('node:net'),
  tls: typeof import('node:tls'),
  secure: ConnectionOptions,
  hold: OpenHold | null,
): Connector {
  return ({ hostname: host, protocol, port, servername, localAddress, httpSocket }, callback) => {
    const local = localAddress ? { localAddress } : {}
    const isSecure = protocol === 'https:'
    const to = { host, port: Number(port || (isSecure ? 443 : 80)), ...local }
    const socket = isSecure
      ? tls.connect({
          ...to,
          ...secure,
          ...(httpSocket ? { socket: httpSocket } : {}),
          servername: servername ?? host,
          ALPNProtocols: ['http/1.1'],
        })
      : net.connect(to)
    socket.setNoDelay(true)
    const failed = (error: Error): void => callback(error, null)
    socket.once('error', failed)
    socket.once(isSecure ? 'secureConnect' : 'connect', () => {
      socket.off('error', failed)
      if (hold !== null) holdUntilWritten(socket, hold)
      callback(null, socket)
    })
  }
}

function holdUntilWritten(socket: Socket, open: OpenHold): void {
  const { release } = open('the first request of a connection of undici')
  const { write } = socket
  socket.write = (...args: unknown[]): boolean => {
    socket.write = write
    release()
    return Reflect.apply(write, socket, args)
  }
  socket.once('close', release)
}

interface Agent {
  readonly constructor: new (options: { connect: Connector }) => object
}

/** Where undici keeps what `fetch` uses if it is told of nothing else. */
const DISPATCHER = Symbol.for('undici.globalDispatcher.1')

/** @throws TunstackError `ERR_UNSUPPORTED_RUNTIME` if Node's undici is not as expected */
export function createFetch(connect: Connector): typeof globalThis.fetch {
  const { fetch } = globalThis
  void fetch('data:,').catch(() => {}) // undici is loaded when it is first used
  const agent = (globalThis as Record<symbol, unknown>)[DISPATCHER] as Agent | undefined
  if (typeof agent?.constructor !== 'function') {
    throw new TunstackError('ERR_UNSUPPORTED_RUNTIME', `fetch of Node ${process.version} is not as expected`)
  }
  const dispatcher = new agent.constructor({ connect })
  return (input, init) => fetch(input, { ...init, dispatcher } as RequestInit)
}
