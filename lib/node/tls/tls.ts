/**
 * `node:tls` over a stack. Its secure sockets are Node's own, wrapped around a socket of the stack: Node would make a
 * connection of the kernel for one, but takes a socket that is there.
 */
import tls from 'node:tls'
import { type Callback, define, derive, listensAs, withMembers } from '../net/derive.ts'
import { normalizeArgs } from '../net/internals.ts'

type Options = Record<string, unknown>
type Net = typeof import('node:net')

/** `node:tls` over `net`, which is that of a stack. */
export function createTls(net: Net): typeof tls {
  const TLSSocket = derive(tls.TLSSocket, 'TLSSocket')
  // As sockets of `net` have it: in the time of the stack.
  define(TLSSocket.prototype, { setTimeout: net.Socket.prototype.setTimeout })
  const Server = derive(tls.Server, 'Server')
  const connect = (...args: unknown[]): tls.TLSSocket => {
    const { options, callback } = connectArguments(args)
    return connectSecure(net, module, options, (own) => tls.connect(own, callback))
  }
  const module: typeof tls = withMembers(tls, {
    TLSSocket,
    Server,
    connect,
    createServer: (...args: unknown[]) => Reflect.construct(Server as Callback, args),
  })
  define(Server.prototype, { ...listensAs(net), ...secureServerMethods(module) })
  return module
}

/**
 * Connects, and has `secure` make the secure socket around it, which becomes one of `module`. A socket that was given
 * is taken.
 * @internal
 */
export function connectSecure<T>(
  net: Net,
  module: typeof tls,
  options: Options,
  secure: (options: Options) => T,
): T {
  if (options['socket'] !== undefined && options['socket'] !== null) return adopt(secure(options), module)
  // The secure socket has the handle that it is given: no second attempt, for which Node would change it.
  const { signal: _, timeout, onread: __, ...own } = options
  const socket = net.connect({ ...own, autoSelectFamily: false } as never)
  const made = adopt(secure({ ...options, socket }), module)
  if (timeout) (made as unknown as tls.TLSSocket).setTimeout(timeout as number)
  return made
}

/** What a server that makes secure sockets does besides. @internal */
export function secureServerMethods(module: typeof tls): Record<string, unknown> {
  return {
    emit(this: tls.Server, event: string, ...args: unknown[]) {
      if (event === 'secureConnection') adopt(args[0], module)
      return Reflect.apply(tls.Server.prototype.emit as Callback, this, [event, ...args])
    },
  }
}

/** Node makes secure sockets of its own class. */
function adopt<T>(socket: T, module: typeof tls): T {
  if (Object.getPrototypeOf(socket) === tls.TLSSocket.prototype) {
    Object.setPrototypeOf(socket, module.TLSSocket.prototype as object)
  }
  return socket
}

/** `connect(port, host, options, callback)`, of which only one of the first three must be. */
function connectArguments(args: readonly unknown[]): {
  options: Options
  callback: (() => void) | undefined
} {
  const [options, callback] = normalizeArgs([...args])
  const more = [args[1], args[2]].find((given) => typeof given === 'object' && given !== null)
  return { options: { ...options, ...(more as Options | undefined) }, callback: callback ?? undefined }
}
