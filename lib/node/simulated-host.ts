/** A host of a simulated network on Node: a stack with Node's own modules over it. */
import { Host } from '../sim/host.ts'
import type { LookupFunction } from './net/lookup.ts'
import { type NodeSockets, nodeSockets } from './sockets.ts'

export class NodeHost extends Host {
  /** What `nodeSockets()` gives for it. */
  readonly sockets: NodeSockets

  /** @internal use `net.host()` */
  constructor(parts: ConstructorParameters<typeof Host>, lookup: LookupFunction) {
    super(...parts)
    this.sockets = nodeSockets(this, { lookup })
  }

  /** `node:net` over this host. @throws TunstackError `ERR_UNSUPPORTED_RUNTIME`, as the others do */
  get net(): typeof import('node:net') {
    return this.sockets.net
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
}
