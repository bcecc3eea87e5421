/**
 * `node:net` over a stack. Its sockets and servers are Node's own, classes derived from them, with a handle of the
 * stack below instead of one of the kernel: every event, option and error that is Node's doing is Node's here too, in
 * the version at hand. What is done here is to see that no handle of the kernel ever gets in.
 */
import cluster from 'node:cluster'
import { channel } from 'node:diagnostics_channel'
import net from 'node:net'
import { TunstackError } from '../../errors.ts'
import type { Tcp } from '../../tcp/tcp.ts'
import type { Clock } from '../../time/clock.ts'
import { timersOf } from '../timers/virtual-timers.ts'
import { define } from './derive.ts'
import { checkInternals, normalizeArgs, TCP } from './internals.ts'
import type { LookupFunction } from './lookup.ts'
import { socketTimeout } from './socket-timeout.ts'
import { CHUNK, type HandleContext, StackHandle } from './stack-handle.ts'
import { Turns } from './turns.ts'

type Net = typeof net
type Callback = (...args: unknown[]) => void
type Options = Record<string, unknown>

/** What of Node's classes is called or replaced here, and not in their types. */
interface SocketInternals extends net.Socket {
  _handle: unknown
  _reset(): net.Socket
}

interface ServerInternals extends net.Server {
  _handle: StackHandle | null
  _listen2(
    address: string | null,
    port: number,
    type: number,
    backlog: number,
    fd?: number,
    flags?: number,
  ): void
}

const handleProperty = Object.getOwnPropertyDescriptor(net.Socket.prototype, '_handle')!
const socketBase = net.Socket.prototype as SocketInternals
const serverBase = net.Server.prototype as unknown as ServerInternals

const newClientSocket = channel('net.client.socket')

function refuse(what: string): TunstackError {
  return new TunstackError(
    'ERR_NOT_SUPPORTED',
    `${what} is of the kernel; this net is over a stack, where there is none`,
  )
}

/** @internal */
export function createNet(tcp: Tcp, lookup: LookupFunction, clock: Clock): Net {
  checkInternals()
  const turns = new Turns(clock)
  turns.calling()
  const context: HandleContext = {
    tcp,
    turns,
    scratch: new Uint8Array(CHUNK),
    adopt(owner) {
      // `Server` makes sockets of Node's own class for what it accepts.
      if (Object.getPrototypeOf(owner) === net.Socket.prototype)
        Object.setPrototypeOf(owner, Socket.prototype)
    },
  }

  function Socket(this: unknown, options?: Options): net.Socket {
    if (!(this instanceof Socket)) return Reflect.construct(Socket, [options])
    if (typeof options === 'object' && options !== null) {
      if (options['fd'] !== undefined) throw refuse('a file descriptor')
      if (options['handle'] instanceof TCP) throw refuse('this handle')
    }
    Reflect.apply(net.Socket as unknown as Callback, this, [options])
    return this as net.Socket
  }
  Object.setPrototypeOf(Socket, net.Socket)
  Socket.prototype = Object.create(net.Socket.prototype) as SocketInternals
  const socketMethods: ThisType<SocketInternals> & Record<string, unknown> = {
    constructor: Socket,
    connect(...args: unknown[]) {
      const first = args[0] as unknown[] | undefined
      const normalized = normalizeArgs(
        Array.isArray(first) && first.length === 2 && isOptions(first[0]) ? first : args,
      )
      const options = normalized[0]
      if (options['path']) throw refuse('a local socket')
      if (options['lookup'] === undefined || options['lookup'] === null)
        normalized[0] = { ...options, lookup }
      return Reflect.apply(socketBase.connect as Callback, this, [normalized])
    },
    resetAndDestroy() {
      if (!(this._handle instanceof StackHandle)) return Reflect.apply(socketBase.resetAndDestroy, this, [])
      if (this.connecting) this.once('connect', () => this._reset())
      else this._reset()
      return this
    },
  }
  define(Socket.prototype, socketMethods)
  if (clock.isRealTime !== true) define(Socket.prototype, { setTimeout: socketTimeout(timersOf(clock)) })
  Object.defineProperty(Socket.prototype, '_handle', {
    configurable: true,
    enumerable: true,
    get: handleProperty.get as () => unknown,
    set(this: net.Socket, handle: unknown) {
      if (handle instanceof TCP) {
        handle.close() // it has no socket of the kernel yet
        handleProperty.set!.call(this, new StackHandle(context))
      } else handleProperty.set!.call(this, handle)
    },
  })

  /** Names that servers are to listen at, until they are looked up. */
  const names = new WeakMap<object, string>()

  function Server(this: unknown, options?: unknown, connectionListener?: unknown): net.Server {
    if (!(this instanceof Server)) return Reflect.construct(Server, [options, connectionListener])
    Reflect.apply(net.Server as unknown as Callback, this, [options, connectionListener])
    return this as net.Server
  }
  Object.setPrototypeOf(Server, net.Server)
  Server.prototype = Object.create(net.Server.prototype) as ServerInternals
  const serverMethods: ThisType<ServerInternals> & Record<string, unknown> = {
    constructor: Server,
    listen(...args: unknown[]) {
      const [options, callback] = normalizeArgs(args)
      const given = args[0] as Options | undefined
      if (isOptions(given) && ('_handle' in given || 'handle' in given)) throw refuse('a handle')
      if (typeof options['fd'] === 'number' && options['fd'] >= 0) throw refuse('a file descriptor')
      if (options['path'] && options['port'] === undefined) throw refuse('a local socket')
      const { host, port } = options
      const isName = typeof host === 'string' && host !== '' && net.isIP(host) === 0
      const hasPort = typeof port === 'number' || typeof port === 'string'
      // Names are looked up below, and a worker of a cluster asks nobody for a handle.
      if (!hasPort || !(isName || cluster.isWorker)) {
        return Reflect.apply(serverBase.listen as Callback, this, args)
      }
      if (isName && !this._handle) names.set(this, host)
      const own = { ...options, exclusive: true, ...(isName ? { host: '0.0.0.0' } : {}) }
      return Reflect.apply(serverBase.listen as Callback, this, callback === null ? [own] : [own, callback])
    },
    _listen2(
      address: string | null,
      port: number,
      type: number,
      backlog: number,
      fd?: number,
      flags?: number,
    ) {
      const start = (at: string, family: number): void => {
        if (!this._handle) {
          const handle = new StackHandle(context)
          const errno = family === 6 ? handle.bind6(at, port) : handle.bind(at, port)
          // `listen` says what is wrong with an address, as with a port.
          this._handle = errno === 0 ? handle : new Refusing(context, errno)
        }
        serverBase._listen2.call(this, at, port, family, backlog, fd, flags)
      }
      const name = names.get(this)
      names.delete(this)
      if (name === undefined) return start(address || '0.0.0.0', address ? type : 4)
      lookup(name, {}, (error, found, family) => {
        if (error) this.emit('error', error)
        else if (typeof found === 'string') start(found, family ?? net.isIP(found))
        else start(found[0]!.address, found[0]!.family)
      })
    },
  }
  define(Server.prototype, serverMethods)

  function connect(...args: unknown[]): net.Socket {
    const normalized = normalizeArgs(args)
    const [options] = normalized
    const socket = Reflect.construct(Socket, [options]) as net.Socket
    if (newClientSocket.hasSubscribers) newClientSocket.publish({ socket })
    if (options['timeout']) socket.setTimeout(options['timeout'] as number)
    return Reflect.apply(socket.connect as unknown as Callback, socket, [normalized]) as unknown as net.Socket
  }

  function createServer(options?: unknown, connectionListener?: unknown): net.Server {
    return Reflect.construct(Server, [options, connectionListener]) as net.Server
  }

  return {
    ...net,
    Socket: Socket as unknown as Net['Socket'],
    Server: Server as unknown as Net['Server'],
    connect: connect as Net['connect'],
    createConnection: connect as Net['createConnection'],
    createServer: createServer as Net['createServer'],
    Stream: Socket,
    _createServerHandle() {
      throw refuse('a handle')
    },
  } as Net
}

/** In the place of a handle that could not be bound: `net` reports what `listen` gives. */
class Refusing extends StackHandle {
  readonly #errno: number

  constructor(context: HandleContext, errno: number) {
    super(context)
    this.#errno = errno
  }

  override listen(): number {
    return this.#errno
  }
}

function isOptions(value: unknown): value is Options {
  return typeof value === 'object' && value !== null
}
