/**
 * The clock of the machine, from what every JavaScript runtime has: `performance.now()` and `setTimeout`.
 * Where Node's `setImmediate` exists, {@link Clock.soon} uses it, so that device I/O gets its turn.
 */
import { TunstackError } from '../errors.ts'
import { type Clock, MILLISECOND, type TimerHandle } from './clock.ts'

interface RuntimeTimer {
  unref?: () => void
}

interface Runtime {
  performance?: { now(): number; timeOrigin: number }
  setTimeout?: (callback: () => void, ms: number) => RuntimeTimer | number
  clearTimeout?: (handle: never) => void
  setImmediate?: (callback: () => void) => unknown
}

/**
 * Real time. Its timers do not keep a Node process alive: an open device or a pending call does.
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
  return {
    epoch: BigInt(Math.round((performance.timeOrigin + origin) * 1e3)) * 1000n,
    now: () => Math.round((performance.now() - origin) * MILLISECOND),
    setTimer(callback, delay): TimerHandle {
      const handle = setTimeout(callback, Math.ceil(delay / MILLISECOND))
      if (typeof handle === 'object') handle.unref?.()
      return handle
    },
    clearTimer: (handle) => clearTimeout(handle as never),
    soon(callback): void {
      if (setImmediate !== undefined) setImmediate(callback)
      else setTimeout(callback, 0)
    },
  }
}
