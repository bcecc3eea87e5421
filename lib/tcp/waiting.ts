/**
 * What a program waits for: a promise, and what settles it. As long as it is open, timers keep the process alive. One
 * object for each, since a connection has several and there may be many connections.
 */
import type { Clock } from '../time/clock.ts'

let resolveLast: (value: never) => void
let rejectLast: (error: unknown) => void

/** Of every promise that is made here: a function for each would be one object more. */
const executor = (resolve: (value: never) => void, reject: (error: unknown) => void): void => {
  resolveLast = resolve
  rejectLast = reject
}

export class Waiting<T> {
  readonly promise: Promise<T>
  readonly clock: Clock
  readonly fulfil: (value: T) => void
  readonly fail: (error: unknown) => void

  constructor(clock: Clock) {
    this.promise = new Promise<T>(executor)
    this.fulfil = resolveLast as (value: T) => void
    this.fail = rejectLast
    this.clock = clock
    clock.hold?.(true)
  }

  resolve(value: T): void {
    this.clock.hold?.(false)
    this.fulfil(value)
  }

  reject(error: unknown): void {
    this.clock.hold?.(false)
    this.fail(error)
  }
}
