/** Promises that wait for something to happen to a socket, and end with a signal. */
import type { UdpAbortSignal } from './udp-options.ts'

export interface Waiter {
  resolve: () => void
}

/** Waits until {@link wake} is called for the list. @throws the reason of `signal` */
export function waitIn(list: Waiter[], signal: UdpAbortSignal | undefined): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    if (signal === undefined) return void list.push({ resolve })
    if (signal.aborted) return reject(signal.reason)
    const waiter: Waiter = {
      resolve: () => {
        signal.removeEventListener('abort', abort)
        resolve()
      },
    }
    const abort = (): void => {
      const at = list.indexOf(waiter)
      if (at >= 0) list.splice(at, 1)
      reject(signal.reason)
    }
    signal.addEventListener('abort', abort, { once: true })
    list.push(waiter)
  })
}

export function wake(list: Waiter[]): void {
  for (const { resolve } of list.splice(0)) resolve()
}
