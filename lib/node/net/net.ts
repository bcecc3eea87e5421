/**
 * `node:net` over a stack. Its sockets and servers are Node's own, classes derived from them, with a handle of the
 * stack below instead of one of the kernel: every event, option and error that is Node's doing is Node's here too, in
 * the version at hand. What is done here is to see that no handle of the kernel ever gets in.
 */
import { channel } from 'node:diagnostics_channel'
import net from 'node:net'
import type { Tcp } from '../../tcp/tcp.ts'
import type { Turns } from '../turns.ts'
import { acceptAs } from './accepted-socket.ts'
import { define } from './derive.ts'
import { checkInternals, normalizeArgs, TCP } from './internals.ts'
import type { LookupFunction } from './lookup.ts'
import { serverMethods } from './server-methods.ts'
import { refuse, socketMembers } from './socket-members.ts'
import { CHUNK, type HandleContext } from './stack-handle.ts'

type Net = typeof net
type Callback = (...args: unknown[]) => void
type Options = Record<string, unknown>

const newClientSocket = channel('net.client.socket')

/**
 * @param localToo local sockets are the kernel's, instead of refused
 * @internal
 */
export function createNet(tcp: Tcp, turns: Turns, lookup: LookupFunction, localToo: boolean): Net {
  checkInternals()
  turns.calling()
  const context: HandleContext = {
    tcp,
    turns,
    scratch: new Uint8Array(CHUNK),
    accept: (server, onconnection, client) => acceptAs(Socket as never, server, onconnection, client),
    adopt(owner) {
      // `Server` makes sockets of Node's own class for what it accepts, where `accept` leaves that to it.
      if (Object.getPrototypeOf(owner) === net.Socket.prototype)
        Object.setPrototypeOf(owner, Socket.prototype)
    },
  }

  function Socket(this: unknown, options?: Options): net.Socket {
    if (!(this instanceof Socket)) return Reflect.construct(Socket, [options])
    if (typeof options === 'object' && options !== null) {
      if (isDescriptor(options['fd'])) throw refuse('a file descriptor')
      if (options['handle'] instanceof TCP) throw refuse('this handle')
    }
    Reflect.apply(net.Socket as unknown as Callback, this, [options])
    return this as net.Socket
  }
  Object.setPrototypeOf(Socket, net.Socket)
  Socket.prototype = Object.create(net.Socket.prototype) as net.Socket
  Object.defineProperties(Socket.prototype, socketMembers(context, lookup, localToo))
  define(Socket.prototype, { constructor: Socket })
  function Server(this: unknown, options?: unknown, connectionListener?: unknown): net.Server {
    if (!(this instanceof Server)) return Reflect.construct(Server, [options, connectionListener])
    Reflect.apply(net.Server as unknown as Callback, this, [options, connectionListener])
    return this as net.Server
  }
  Object.setPrototypeOf(Server, net.Server)
  Server.prototype = Object.create(net.Server.prototype) as net.Server
  define(Server.prototype, { ...serverMethods(context, lookup, localToo), constructor: Server })

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

/** What Node takes for one: with anything else it says itself what is wrong. */
function isDescriptor(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0x7fffffff
}
