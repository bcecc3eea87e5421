/**
 * A whole process on a stack: Node's own `net`, `tls`, `dgram` and `dns` are changed in place, so that everything that
 * uses them uses the stack, whether a program imports or requires them, or Node itself does for http, https and fetch.
 * Local sockets, pipes and files stay the kernel's: they are no network.
 */
import cluster from 'node:cluster'
import dgram from 'node:dgram'
import dns from 'node:dns'
import { syncBuiltinESMExports } from 'node:module'
import net from 'node:net'
import tls from 'node:tls'
import { TunstackError } from '../errors.ts'
import { define, methods } from './net/derive.ts'
import { OWNER, TCP } from './net/internals.ts'
import { serverMethods } from './net/server-methods.ts'
import { inPlaceOf, ownSocketMembers } from './net/socket-members.ts'
import { CHUNK, type HandleContext, StackHandle } from './net/stack-handle.ts'
import type { NodeSockets } from './sockets.ts'

interface SecureInternals {
  _wrapHandle: (wrap: unknown, handle: unknown, hasActiveWrite: unknown) => unknown
  _tlsOptions: { pipe?: unknown }
}

let installed: NodeSockets | null = null

/**
 * Has this process use the stack of `sockets`. Can't be undone; the same again does nothing.
 * @throws TunstackError `ERR_ALREADY_INSTALLED` if another stack is in use, `ERR_NOT_SUPPORTED` in a worker of a cluster
 */
export function installInPlace(sockets: NodeSockets): void {
  if (installed === sockets) return
  if (installed !== null) {
    throw new TunstackError(
      'ERR_ALREADY_INSTALLED',
      'this process uses another stack already; it can have one',
    )
  }
  if (cluster.isWorker) throw noCluster()
  installed = sockets
  const context: HandleContext = {
    ...sockets.handles,
    scratch: new Uint8Array(CHUNK),
    adopt() {},
    accept: () => false,
  }
  Object.defineProperties(net.Socket.prototype, ownSocketMembers(context, sockets.lookup))
  define(net.Server.prototype, serverMethods(context, sockets.lookup, true))
  replaceSecure(context)
  replaceMembers(dgram, sockets.dgram)
  replaceMembers(dns.promises, sockets.dns.promises)
  replaceMembers(dns, sockets.dns)
  for (const name of ['fork', 'setupPrimary', 'setupMaster']) {
    Object.defineProperties(
      cluster,
      methods({
        [name]() {
          throw noCluster()
        },
      }),
    )
  }
  syncBuiltinESMExports()
}

/** Functions and classes; what a module makes when it is first asked for, as `dns.promises`, stays. */
function replaceMembers(module: object, by: object): void {
  for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(by))) {
    if (typeof value === 'function') Object.assign(module, { [name]: value })
  }
}

/** A secure socket makes a handle by itself, or has Node make one for each attempt. */
function replaceSecure(context: HandleContext): void {
  const prototype = tls.TLSSocket.prototype as unknown as SecureInternals
  const wrapHandle = prototype._wrapHandle
  define(prototype, {
    _wrapHandle(this: SecureInternals, wrap: unknown, handle: unknown, active: unknown) {
      let own = handle
      if (handle instanceof TCP) own = inPlaceOf(handle, context)
      else if (!handle && !this._tlsOptions.pipe) own = new StackHandle(context)
      if (own !== handle) (own as StackHandle)[OWNER] = this
      return Reflect.apply(wrapHandle, this, [wrap, own, active])
    },
  })
}

function noCluster(): TunstackError {
  return new TunstackError(
    'ERR_NOT_SUPPORTED',
    'cluster shares sockets of the kernel between processes, and a stack belongs to one; start one process, or several with a stack each',
  )
}
