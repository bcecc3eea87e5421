/**
 * What a socket of Node needs to be one of a stack: wherever Node gives it a handle of the kernel it gets one of the
 * stack instead. For a class derived from Node's, or for Node's own where a whole process is to use a stack.
 */
import net from 'node:net'
import { TunstackError } from '../../errors.ts'
import { timersOf } from '../timers/virtual-timers.ts'
import { methods } from './derive.ts'
import { isNormalized, normalizeArgs, TCP, unsupported } from './internals.ts'
import type { LookupFunction } from './lookup.ts'
import { socketTimeout } from './socket-timeout.ts'
import { type HandleContext, StackHandle } from './stack-handle.ts'

type Callback = (...args: unknown[]) => void

/** What of Node's class is called or replaced here, and not in its type. */
interface SocketInternals extends net.Socket {
  _handle: unknown
  _reset(): net.Socket
}

// Node's own, from before anything was replaced.
const handleProperty = Object.getOwnPropertyDescriptor(net.Socket.prototype, '_handle')!
const { connect, resetAndDestroy } = net.Socket.prototype

/** @internal */
export function refuse(what: string): TunstackError {
  return new TunstackError(
    'ERR_NOT_SUPPORTED',
    `${what} is of the kernel; this net is over a stack, where there is none`,
  )
}

/**
 * Members for a prototype.
 * @param localToo local sockets are the kernel's, instead of refused
 * @internal
 */
export function socketMembers(
  context: HandleContext,
  lookup: LookupFunction,
  localToo: boolean,
): PropertyDescriptorMap {
  const own: ThisType<SocketInternals> & Record<string, unknown> = {
    connect(...args: unknown[]) {
      const normalized = isNormalized(args[0]) ? args[0] : normalizeArgs(args)
      const options = normalized[0]
      if (options['path'] && typeof options['path'] === 'string') {
        if (!localToo) throw refuse('a local socket')
      } else if (options['lookup'] === undefined || options['lookup'] === null) {
        normalized[0] = { ...options, lookup }
      }
      return Reflect.apply(connect as Callback, this, [normalized])
    },
    resetAndDestroy() {
      if (!(this._handle instanceof StackHandle)) return Reflect.apply(resetAndDestroy, this, [])
      if (this.connecting) this.once('connect', () => this._reset())
      else this._reset()
      return this
    },
  }
  const { clock } = context.turns
  return {
    ...methods(clock.isRealTime === true ? own : { ...own, setTimeout: socketTimeout(timersOf(clock)) }),
    _handle: {
      configurable: true,
      enumerable: true,
      get: handleProperty.get as () => unknown,
      set(this: net.Socket, handle: unknown) {
        handleProperty.set!.call(this, handle instanceof TCP ? inPlaceOf(handle, context) : handle)
      },
    },
  }
}

/** Where Node's own sockets keep their handle, and where they do once a process is on a stack. */
const HANDLE = Object.getOwnPropertySymbols(new net.Socket()).find(
  ({ description }) => description === 'kHandle',
)
const REPLACED = Symbol('handle')

/**
 * The same for Node's own prototype, on which `_handle` can't be changed: what is behind it can.
 * @throws TunstackError `ERR_UNSUPPORTED_RUNTIME`
 * @internal
 */
export function ownSocketMembers(context: HandleContext, lookup: LookupFunction): PropertyDescriptorMap {
  if (HANDLE === undefined) throw unsupported('a socket does not keep its handle as expected')
  const { _handle: _, ...members } = socketMembers(context, lookup, true)
  return {
    ...members,
    [HANDLE]: {
      configurable: true,
      get(this: Record<symbol, unknown>) {
        return this[REPLACED]
      },
      set(this: Record<symbol, unknown>, handle: unknown) {
        this[REPLACED] = handle instanceof TCP ? inPlaceOf(handle, context) : handle
      },
    },
  }
}

/** A handle of the stack, for one that Node has just made. @throws TunstackError `ERR_NOT_SUPPORTED` if it is in use */
export function inPlaceOf(handle: InstanceType<typeof TCP>, context: HandleContext): StackHandle {
  if (handle.fd >= 0) throw refuse('a connection that was handed over')
  handle.close() // it has no socket of the kernel yet
  return new StackHandle(context)
}
