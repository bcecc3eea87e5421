/**
 * `node:dgram` over a stack. Its sockets are Node's own, of a class derived from Node's, with a handle of the stack
 * below instead of one of the kernel: every event, option and error that is Node's doing is Node's here too, in the
 * version at hand.
 */
import cluster from 'node:cluster'
import dgram from 'node:dgram'
import { TunstackError } from '../../errors.ts'
import { OWNER } from '../net/internals.ts'
import type { LookupFunction } from '../net/lookup.ts'
import { UdpHandle, type UdpHandleContext } from './udp-handle.ts'

type Dgram = typeof dgram
type Options = Record<string, unknown>

/** A handle as `dgram` makes it: those of IPv6 have the methods of IPv6 under the other names. */
interface Handle {
  lookup: unknown
  bind: unknown
  connect: unknown
  send: unknown
  close(): void
}

/** What a socket keeps under its state symbol. */
interface State {
  handle: Handle | null
}

// Node's own, from before anything was replaced.
const { Socket: NodeSocket } = dgram
const { bind: nodeBind } = NodeSocket.prototype

const STATE = findStateSymbol()

function findStateSymbol(): symbol {
  const probe = dgram.createSocket('udp4')
  const found = Object.getOwnPropertySymbols(probe).find(({ description }) => description === 'state symbol')
  probe.close()
  if (found !== undefined && stateOf(probe, found) !== undefined) return found
  throw new TunstackError(
    'ERR_UNSUPPORTED_RUNTIME',
    `a datagram socket does not keep its handle as expected; node:dgram over a stack runs in Node 20.19, 22 and 24 (this is ${process.version})`,
  )
}

function stateOf(socket: object, symbol: symbol): State {
  return (socket as Record<symbol, unknown>)[symbol] as State
}

function refuse(what: string): TunstackError {
  return new TunstackError(
    'ERR_NOT_SUPPORTED',
    `${what} is of the kernel; this dgram is over a stack, where there is none`,
  )
}

/** @internal */
export function createDgram(context: UdpHandleContext, lookup: LookupFunction): Dgram {
  function Socket(this: unknown, type: unknown, listener: unknown): dgram.Socket {
    if (!(this instanceof Socket)) return Reflect.construct(Socket, [type, listener])
    const socket = this as dgram.Socket
    Reflect.apply(NodeSocket as unknown as () => void, socket, [withLookup(type, lookup), listener])
    replaceHandle(socket, context)
    return socket
  }
  Object.setPrototypeOf(Socket, NodeSocket)
  Socket.prototype = Object.create(NodeSocket.prototype, {
    constructor: { value: Socket, writable: true, configurable: true },
    bind: {
      value: function bind(this: dgram.Socket, ...args: unknown[]): dgram.Socket {
        return Reflect.apply(nodeBind as () => dgram.Socket, this, bindArguments(args))
      },
      writable: true,
      configurable: true,
      enumerable: true,
    },
  })

  function createSocket(type: unknown, listener: unknown): dgram.Socket {
    return Reflect.construct(Socket, [type, listener]) as dgram.Socket
  }

  return {
    ...dgram,
    Socket: Socket as unknown as Dgram['Socket'],
    createSocket: createSocket as Dgram['createSocket'],
    _createSocketHandle() {
      throw refuse('a handle')
    },
  } as Dgram
}

/** The options, with the stack's lookup where the program says none. */
function withLookup(type: unknown, lookup: LookupFunction): unknown {
  if (typeof type === 'string') return { type, lookup }
  if (typeof type !== 'object' || type === null) return type
  const options = type as Options
  return options['lookup'] === undefined ? { ...options, lookup } : options
}

/** In the place of the kernel's handle, which has no socket before it is bound. */
function replaceHandle(socket: dgram.Socket, context: UdpHandleContext): void {
  const state = stateOf(socket, STATE)
  const { handle } = state
  if (handle === null) return // a signal has closed it already
  const own: UdpHandle & Handle = new UdpHandle(context)
  own.lookup = handle.lookup
  if (socket['type' as keyof dgram.Socket] === ('udp6' as unknown)) {
    Object.assign(own, { bind: own.bind6, connect: own.connect6, send: own.send6 })
  }
  state.handle = Object.assign(own, { [OWNER]: socket })
  handle.close()
}

/** No descriptor and no handle of the kernel; and a worker of a cluster asks nobody for a handle. */
function bindArguments(args: unknown[]): unknown[] {
  const [first, second] = args
  if (typeof first === 'object' && first !== null) {
    const options = first as Options
    if (typeof options['recvStart'] === 'function') throw refuse('a handle')
    if (typeof options['fd'] === 'number' && options['fd'] > 0) throw refuse('a file descriptor')
    return cluster.isWorker ? [{ ...options, exclusive: true }, ...args.slice(1)] : args
  }
  if (!cluster.isWorker) return args
  const callback = args.findLast((arg) => typeof arg === 'function')
  const options = {
    port: typeof first === 'function' ? undefined : first,
    address: typeof second === 'function' ? undefined : second,
    exclusive: true,
  }
  return callback === undefined ? [options] : [options, callback]
}
