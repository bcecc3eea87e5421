/**
 * The clock of the machine, from what every JavaScript runtime has: `performance.now()` and `setTimeout`.
 * Where Node's `setImmediate` exists, {@link Clock.soon} uses it, so that device I/O gets its turn.
 */
import { TunstackError } from '../errors.ts'
import { type Clock, MILLISECOND, type TimerHandle } from './clock.ts'

interface RuntimeTimer {
  ref?: () => void
  unref?: () => void
}

interface Runtime {
  performance?: { now(): number; timeOrigin: number }
  setTimeout?: (callback: () => void, ms: number) => RuntimeTimer | number
  clearTimeout?: (handle: never) => void
  setImmediate?: (callback: () => void) => unknown
}

/** `setTimeout` takes 31 bits of milliseconds; a longer wait wakes early, and whoever armed it looks again. */
const MAX_DELAY = 0x7fffffff

/**
 * Nanoseconds at which time starts. V8 keeps numbers below 2^31 as small integers, and throws away what it has
 * compiled for them when they outgrow that: at a start from 0 that is 2.1 seconds later, for the whole stack.
 */
const START = 2 ** 32

/**
 * Real time. Its timers keep a Node process alive only while somebody waits ({@link Clock.hold}): an open device
 * and a pending call do, housekeeping does not.
 * @throws TunstackError `ERR_NO_CLOCK` where the runtime has no timers; hand a clock in there.
 */
export function systemClock(): Clock {
  const { performance, setTimeout, clearTimeout, setImmediate } = globalThis as Runtime
  if (performance === undefined || setTimeout === undefined || clearTimeout === undefined) {
    throw new TunstackError(
      'ERR_NO_CLOCK',
      'this runtime has no performance.now() or setTimeout(); pass a clock: new Stack({ clock })',
    )
  }
  const origin = performance.now()
  const armed = new Set<RuntimeTimer | number>()
  let waiting = 0
  return {
    epoch: BigInt(Math.round((performance.timeOrigin + origin) * 1e3)) * 1000n - BigInt(START),
    isRealTime: true,
    now: () => START + Math.round((performance.now() - origin) * MILLISECOND),
    setTimer(callback, delay): TimerHandle {
      const handle = setTimeout(
        () => {
          armed.delete(handle)
          callback()
        },
        Math.min(Math.ceil(delay / MILLISECOND), MAX_DELAY),
      )
      armed.add(handle)
      if (waiting === 0 && typeof handle === 'object') handle.unref?.()
      return handle
    },
    clearTimer(handle): void {
      armed.delete(handle as RuntimeTimer)
      clearTimeout(handle as never)
    },
    hold(start): void {
      waiting += start ? 1 : -1
      for (const handle of armed) {
        if (typeof handle !== 'object') continue
        if (waiting > 0) handle.ref?.()
        else handle.unref?.()
      }
    },
    soon(callback): void {
      if (setImmediate !== undefined) setImmediate(callback)
      else setTimeout(callback, 0)
    },
  }
}
