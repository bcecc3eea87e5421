/**
 * `node:dgram` over a stack. Its sockets are Node's own, of a class derived from it, with a handle of the stack below
 * instead of one of the kernel: every event, option and error that is Node's doing is Node's here too, in the version
 * at hand. What is done here is to see that no socket of the kernel ever gets in.
 */
import cluster from 'node:cluster'
import dgram from 'node:dgram'
import { isIP } from 'node:net'
import { TunstackError } from '../../errors.ts'
import type { LookupFunction } from '../net/lookup.ts'
import { ASYNC_ID, checkInternals, type SocketState, STATE } from './internals.ts'
import { type UdpContext, UdpHandle } from './udp-handle.ts'

type Dgram = typeof dgram
type Callback = (...args: unknown[]) => void
type Options = Record<string, unknown>

/** `dgram.Socket` with what is not in its type. */
interface SocketInternals extends dgram.Socket {
  type: string
}

// Node's own, from before anything was replaced.
const { Socket: NodeSocket } = dgram
const { bind: nodeBind } = NodeSocket.prototype

function refuse(what: string): TunstackError {
  return new TunstackError(
    'ERR_NOT_SUPPORTED',
    `${what} is of the kernel; this dgram is over a stack, where there is none`,
  )
}

/** @internal */
export function createDgram(context: UdpContext, lookup: LookupFunction): Dgram {
  checkInternals()
  context.turns.calling()
  /** Whether the socket in the making resolves names by a function of its own. */
  let ownLookup = false

  function Socket(this: unknown, type: unknown, listener?: unknown): dgram.Socket {
    if (!(this instanceof Socket)) return Reflect.construct(Socket, [type, listener])
    ownLookup = isObject(type) && type['lookup'] !== undefined
    Reflect.apply(NodeSocket as unknown as Callback, this, [type, listener])
    return this as dgram.Socket
  }

  Object.setPrototypeOf(Socket, NodeSocket)
  Socket.prototype = Object.create(NodeSocket.prototype) as SocketInternals
  const methods: ThisType<SocketInternals> & Record<string, unknown> = {
    constructor: Socket,
    bind(...args: unknown[]) {
      const [first] = args
      const options = isObject(first) ? first : null
      if (options !== null && hidden(this)[STATE].handle !== null) {
        const handle = typeof options['recvStart'] === 'function'
        if (handle && !(options instanceof UdpHandle)) throw refuse('this handle')
        const { fd } = options
        if (!handle && Number.isInteger(fd) && (fd as number) > 0) throw refuse('a file descriptor')
      }
      // A worker of a cluster asks nobody for a handle.
      if (cluster.isWorker && !(options instanceof UdpHandle)) return bindAlone(this, args)
      return Reflect.apply(nodeBind as Callback, this, args)
    },
  }
  for (const [name, value] of Object.entries(methods)) {
    const enumerable = name !== 'constructor'
    Object.defineProperty(Socket.prototype, name, { value, writable: true, configurable: true, enumerable })
  }
  // Node's constructor puts a handle here that has no socket of the kernel yet, and doesn't get one.
  Object.defineProperty(Socket.prototype, STATE, {
    configurable: true,
    set(this: SocketInternals, state: SocketState) {
      const family = this.type === 'udp6' ? 6 : 4
      const handle = new UdpHandle(context, state.handle!, family)
      if (!ownLookup) resolveBy(handle, lookup, family)
      hidden(this)[ASYNC_ID] = handle.getAsyncId()
      Object.defineProperty(this, STATE, {
        value: state,
        writable: true,
        configurable: true,
        enumerable: true,
      })
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

/** Names go to `lookup`; what Node does with addresses, and with what is neither, stays. */
function resolveBy(handle: UdpHandle, lookup: LookupFunction, family: number): void {
  const { lookup: literal } = handle
  handle.lookup = (name, callback) => {
    if (typeof name !== 'string' || name === '' || isIP(name) !== 0) literal(name, callback)
    else lookup(name, { family }, callback)
  }
}

/** What a socket has under symbols. */
function hidden(socket: object): { [STATE]: SocketState; [ASYNC_ID]: number } {
  return socket as ReturnType<typeof hidden>
}

/** `bind` with its arguments as options, one of them that it shares with no other process. */
function bindAlone(socket: dgram.Socket, args: readonly unknown[]): unknown {
  const [first, second] = args
  const callback = args[args.length - 1]
  const options = isObject(first)
    ? { ...first, exclusive: true }
    : { port: first, address: typeof second === 'function' ? '' : second, exclusive: true }
  return Reflect.apply(
    nodeBind as Callback,
    socket,
    typeof callback === 'function' ? [options, callback] : [options],
  )
}

function isObject(value: unknown): value is Options {
  return typeof value === 'object' && value !== null
}
