/** A guest's stack, a pipe, a gateway, and servers of the host on its loopback; undone after each test. */
import type { AddressInfo, Server, Socket } from 'node:net'
import { createServer } from 'node:net'
import { createPipe, Stack } from '../../../lib/index.ts'
import { type Gateway, type GatewayOptions, gateway } from '../../../lib/node/index.ts'

export const OUTSIDE = '198.51.100.7'
export const OWN = '10.0.2.2'
export const GUEST = '10.0.2.100'

export interface Rig {
  guest: Stack
  gateway: Gateway
}

export interface RigMaker {
  make(options?: GatewayOptions): Promise<Rig>
  /** A TCP server of the host; its port. */
  serve(handle: (socket: Socket) => void): Promise<number>
  /** Undone after the test as well. */
  undo(what: () => unknown): void
}

export function useRig(): RigMaker {
  const undo: (() => unknown)[] = []
  afterEach(async () => {
    for (const each of undo.splice(0).reverse()) await each()
  })
  return {
    async make(options = {}) {
      const [inner, outer] = createPipe({ names: ['eth0', 'eth0'] })
      const guest = new Stack()
      undo.push(() => guest.close())
      guest.addDevice(inner).addAddress(`${GUEST}/24`)
      guest.routes.add(`default via ${OWN}`)
      const made = await gateway(outer, options)
      undo.push(() => made.close())
      return { guest, gateway: made }
    },
    async serve(handle) {
      const sockets = new Set<Socket>()
      const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
        sockets.add(socket)
        socket.on('close', () => sockets.delete(socket)).on('error', () => {})
        handle(socket)
      })
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      undo.push(() => {
        for (const socket of sockets) socket.destroy()
        return new Promise((resolve) => server.close(resolve))
      })
      return (server.address() as AddressInfo).port
    },
    undo: (what) => undo.push(what),
  }
}

/** Waits until it is so: what is asked for takes a few turns of the event loop. */
export async function until(so: () => boolean): Promise<void> {
  for (let i = 0; !so(); i++) {
    if (i === 1000) throw new Error(`it did not come to be: ${so}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
