/**
 * What a server of Node needs to listen at a stack: it gets a handle of the stack before Node makes one of the kernel.
 * For a class derived from Node's, or for Node's own where a whole process is to use a stack.
 */
import cluster from 'node:cluster'
import net from 'node:net'
import { normalizeArgs } from './internals.ts'
import type { LookupFunction } from './lookup.ts'
import { refuse } from './socket-members.ts'
import { type HandleContext, StackHandle } from './stack-handle.ts'

type Callback = (...args: unknown[]) => void
type Options = Record<string, unknown>

/** What of Node's class is called or replaced here, and not in its type. */
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

// Node's own, from before anything was replaced.
const { listen, _listen2: listen2 } = net.Server.prototype as unknown as ServerInternals

/**
 * Methods for a prototype.
 * @param localToo local sockets are the kernel's, instead of refused
 * @internal
 */
export function serverMethods(
  context: HandleContext,
  lookup: LookupFunction,
  localToo: boolean,
): Record<string, unknown> {
  /** Names that servers are to listen at, until they are looked up. */
  const names = new WeakMap<object, string>()

  const own: ThisType<ServerInternals> & Record<string, unknown> = {
    listen(...args: unknown[]) {
      const [options, callback] = normalizeArgs(args)
      const given = args[0] as Options | undefined
      if (isOptions(given) && ('_handle' in given || 'handle' in given)) throw refuse('a handle')
      if (typeof options['fd'] === 'number' && options['fd'] >= 0) throw refuse('a file descriptor')
      const { host, port, path } = options
      if (typeof path === 'string' && path !== '' && port === undefined && !(Number(path) >= 0)) {
        if (localToo) return Reflect.apply(listen as Callback, this, args)
        throw refuse('a local socket')
      }
      const isName = typeof host === 'string' && host !== '' && net.isIP(host) === 0
      const hasPort = typeof port === 'number' || typeof port === 'string'
      // Names are looked up below, and a worker of a cluster asks nobody for a handle.
      if (!hasPort || !(isName || cluster.isWorker)) {
        return Reflect.apply(listen as Callback, this, args)
      }
      if (isName && !this._handle) names.set(this, host)
      const own = { ...options, exclusive: true, ...(isName ? { host: '0.0.0.0' } : {}) }
      return Reflect.apply(listen as Callback, this, callback === null ? [own] : [own, callback])
    },
    _listen2(
      address: string | null,
      port: number,
      type: number,
      backlog: number,
      fd?: number,
      flags?: number,
    ) {
      // Node's way of saying that it is a local socket, which `listen` above has let pass.
      if (type < 0) return listen2.call(this, address, port, type, backlog, fd, flags)
      const start = (at: string, family: number): void => {
        if (!this._handle) {
          const handle = new StackHandle(context)
          const errno = family === 6 ? handle.bind6(at, port) : handle.bind(at, port)
          // `listen` says what is wrong with an address, as with a port.
          this._handle = errno === 0 ? handle : new Refusing(context, errno)
        }
        listen2.call(this, at, port, family, backlog, fd, flags)
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
  return own
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
