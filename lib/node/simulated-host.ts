/** A host of a simulated network on Node: a stack with Node's own modules over it. */
import type { Socket } from 'node:net'
import { Host } from '../sim/host.ts'
import type { Names } from './dns/hosts.ts'
import type { OpenHold } from './http/fetch.ts'
import { OWNER } from './net/internals.ts'
import { StackHandle } from './net/stack-handle.ts'
import { type NodeSockets, namedSockets } from './sockets.ts'

export class NodeHost extends Host {
  /** What `nodeSockets()` gives for it. */
  readonly sockets: NodeSockets

  /** @internal use `net.host()` */
  constructor(parts: ConstructorParameters<typeof Host>, names: Names, hold: OpenHold) {
    super(...parts)
    this.sockets = namedSockets(this, names, hold)
  }

  /** `node:net` over this host. @throws TunstackError `ERR_UNSUPPORTED_RUNTIME`, as the others do */
  get net(): typeof import('node:net') {
    return this.sockets.net
  }

  get dgram(): typeof import('node:dgram') {
    return this.sockets.dgram
  }

  get dns(): typeof import('node:dns') {
    return this.sockets.dns
  }

  get tls(): typeof import('node:tls') {
    return this.sockets.tls
  }

  get http(): typeof import('node:http') {
    return this.sockets.http
  }

  get https(): typeof import('node:https') {
    return this.sockets.https
  }

  get fetch(): typeof globalThis.fetch {
    return this.sockets.fetch
  }

  /**
   * Ends the host as its programs' end would: their sockets are destroyed, and are told of no error.
   */
  override close(): Promise<void> {
    this.tcpProtocol.forEachConnection(({ user }) => {
      if (user instanceof StackHandle) (user[OWNER] as Socket | undefined)?.destroy()
    })
    return super.close()
  }
}
