/**
 * The timeout of a socket in the time of its stack, where that is not the machine's. Node makes a timer of its own for
 * it, and reaches it by a symbol: to start it anew at each read and write, and to clear it; one of ours is put in its
 * place.
 */
import net from 'node:net'
import type { VirtualTimers } from '../timers/virtual-timers.ts'
import type { Callback } from './derive.ts'
import { TIMEOUT } from './internals.ts'

interface TimedSocket extends net.Socket {
  [TIMEOUT]: { close(): void; _idleTimeout: number } | null
  _onTimeout(): void
}

const setTimeoutOfNode = net.Socket.prototype.setTimeout as unknown as Callback

/** `socket.setTimeout()`. */
export function socketTimeout(timers: VirtualTimers): Callback {
  return function (this: TimedSocket, ...args: unknown[]) {
    const before = this[TIMEOUT]
    this[TIMEOUT] = null // Node may use again what it finds
    try {
      Reflect.apply(setTimeoutOfNode, this, args)
    } catch (error) {
      this[TIMEOUT] = before
      throw error
    }
    if (this.destroyed) return this
    before?.close()
    const made = this[TIMEOUT] as TimedSocket[typeof TIMEOUT]
    if (made === null) return this
    const delay = made._idleTimeout
    made.close()
    this[TIMEOUT] = timers.setTimeout(() => this._onTimeout(), delay)
    return this
  } as Callback
}
