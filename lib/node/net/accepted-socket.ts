/**
 * What a server does with a connection that it accepts. Node makes a socket of its own class and has no say in which; to
 * make it one of ours afterwards, by `Object.setPrototypeOf()`, leaves each with a hidden class of its own (V8 shares
 * none from there on), and all of Node's code that touches sockets is several times slower for it. So the usual case is
 * done here, with our class from the beginning; whatever else a server may be set to do (limits, block lists) is
 * left to Node's own function, and so is everything in a version of Node that does it otherwise.
 */
import { channel } from 'node:diagnostics_channel'
import net from 'node:net'
import type { StackHandle } from './stack-handle.ts'

/** What of a server Node's function looks at. */
interface ServerInternals extends net.Server {
  _connections: number
  allowHalfOpen?: boolean
  pauseOnConnect?: boolean
  highWaterMark?: number
  noDelay?: boolean
  keepAlive?: boolean
  /** Seconds. */
  keepAliveInitialDelay?: number
  blockList?: object
}

type Accepted = net.Socket & { server?: net.Server; _server?: net.Server }

const newServerSocket = channel('net.server.socket')

/**
 * Makes a socket of `Socket` for `client` and has the server say so; `false` if that is left to Node's function
 * `onconnection`, the handle's.
 */
export function acceptAs(
  Socket: new (options: Record<string, unknown>) => net.Socket,
  owner: unknown,
  onconnection: unknown,
  client: StackHandle,
): boolean {
  if (!(owner instanceof net.Server) || !isNodes(onconnection)) return false
  const server = owner as ServerInternals
  if ((server.maxConnections ?? null) !== null || server.blockList) return false
  const { noDelay, keepAlive, keepAliveInitialDelay = 0, highWaterMark } = server
  const socket: Accepted = new Socket({
    handle: client,
    allowHalfOpen: server.allowHalfOpen,
    pauseOnCreate: server.pauseOnConnect,
    readable: true,
    writable: true,
    readableHighWaterMark: highWaterMark,
    writableHighWaterMark: highWaterMark,
    noDelay,
    keepAlive,
    keepAliveInitialDelay: keepAliveInitialDelay * 1000,
  })
  if (noDelay) client.setNoDelay(true)
  if (keepAlive) client.setKeepAlive(true, keepAliveInitialDelay)
  server._connections++
  socket.server = server
  socket._server = server
  server.emit('connection', socket)
  if (newServerSocket.hasSubscribers) newServerSocket.publish({ socket })
  return true
}

const verdicts = new WeakMap<object, boolean>()

/** Whether the function is Node's, and does what is known of it; a program may have put another in its place. */
function isNodes(onconnection: unknown): boolean {
  if (typeof onconnection !== 'function') return false
  let is = verdicts.get(onconnection)
  if (is === undefined) {
    const text = onconnection.toString()
    const steps = new Set(text.match(/self\.\w+|socket\.\w+|client\w*\.set\w+|Socket\b/g))
    is = onconnection.name === 'onconnection' && [...steps].every((step) => STEPS.has(step))
    // A program's own function of that name may do none of it.
    for (const step of STEPS) is &&= steps.has(step) || step === 'self.blockList'
    verdicts.set(onconnection, is)
  }
  return is
}

/** All that Node 20, 22 and 24 look at, set and call there; block lists are not looked at by 20. */
const STEPS = new Set([
  'self.emit',
  'self.maxConnections',
  'self._connections',
  'self.blockList',
  'self.allowHalfOpen',
  'self.pauseOnConnect',
  'self.highWaterMark',
  'self.noDelay',
  'self.keepAlive',
  'self.keepAliveInitialDelay',
  'clientHandle.setNoDelay',
  'clientHandle.setKeepAlive',
  'socket.server',
  'socket._server',
  'Socket',
])
