/** `node:timers/promises` over timers that are not Node's. */
import type { VirtualTimers } from './virtual-timers.ts'

interface Options {
  signal?: AbortSignal
  ref?: boolean
}

/** What Node rejects with. */
function abortError(signal: AbortSignal): Error {
  const error = new Error('The operation was aborted', { cause: signal.reason })
  return Object.assign(error, { name: 'AbortError', code: 'ABORT_ERR' })
}

function abortable<T>(
  signal: AbortSignal | undefined,
  start: (done: (value: T) => void) => () => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(abortError(signal))
    const stop = start((value) => {
      signal?.removeEventListener('abort', abort)
      resolve(value)
    })
    const abort = (): void => {
      stop()
      reject(abortError(signal!))
    }
    signal?.addEventListener('abort', abort, { once: true })
  })
}

export function timerPromises(
  timers: Pick<VirtualTimers, 'setTimeout' | 'setInterval' | 'setImmediate' | 'clearImmediate'>,
) {
  const wait = <T = void>(delay?: number, value?: T, { signal }: Options = {}): Promise<T> =>
    abortable<T>(signal, (done) => {
      const timer = timers.setTimeout(() => done(value as T), delay)
      return () => timer.close()
    })

  const immediate = <T = void>(value?: T, { signal }: Options = {}): Promise<T> =>
    abortable<T>(signal, (done) => {
      const made = timers.setImmediate(() => done(value as T))
      return () => timers.clearImmediate(made)
    })

  async function* interval<T = void>(
    delay?: number,
    value?: T,
    { signal }: Options = {},
  ): AsyncGenerator<T, void, undefined> {
    if (signal?.aborted) throw abortError(signal)
    let passed = 0
    let wake: (() => void) | null = null
    const tell = (): void => wake?.()
    const timer = timers.setInterval(() => {
      passed++
      tell()
    }, delay)
    signal?.addEventListener('abort', tell, { once: true })
    try {
      for (;;) {
        while (passed === 0 && !signal?.aborted) {
          await new Promise<void>((resolve) => {
            wake = resolve
          })
        }
        for (; passed > 0; passed--) yield value as T
        if (signal?.aborted) throw abortError(signal)
      }
    } finally {
      timer.close()
      signal?.removeEventListener('abort', tell)
    }
  }

  return {
    setTimeout: wait,
    setInterval: interval,
    setImmediate: immediate,
    scheduler: {
      wait: (delay: number, options?: Options): Promise<void> => wait(delay, undefined, options),
      yield: (): Promise<void> => immediate(),
    },
  }
}
