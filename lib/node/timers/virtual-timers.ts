/**
 * `node:timers` in the time of a {@link Clock}: what `setTimeout`, `setInterval` and their promises are to a program
 * whose network is simulated. Delays, order, refresh, what clears them and their asynchronous context are as with
 * Node's own. `setImmediate` takes no time: it is Node's, and time waits for it.
 */
import { AsyncResource } from 'node:async_hooks'
import timers from 'node:timers'
import { type Clock, MILLISECOND, type TimerHandle } from '../../time/clock.ts'
import { timerPromises } from './timer-promises.ts'

/** Node's own, whatever is put in their place. */
const { setTimeout, clearTimeout, setImmediate, clearImmediate } = timers

/** Milliseconds that fit into 31 bits; Node makes 1 of what is longer. */
const TIMEOUT_MAX = 2 ** 31 - 1

/** Of a method's type, so that a callback may say what its arguments are. */
type Callback = { call(...args: unknown[]): void }['call']

/** What `setTimeout` and `setInterval` give. Node's own `clearTimeout` clears it, too. */
export class VirtualTimeout {
  /** Node looks at it before it takes one out of lists in which this one is not. */
  readonly _destroyed = true
  readonly _idleTimeout: number
  readonly #timers: VirtualTimers
  readonly #callback: Callback
  readonly #args: readonly unknown[]
  readonly #repeats: boolean
  readonly #resource = new AsyncResource('Timeout')
  readonly #id: number
  /** Nanoseconds at which it is to fire: what it was armed for may be earlier. */
  #due = 0
  #armed: TimerHandle | null = null
  #active = true
  #referenced = true

  /** @internal */
  constructor(
    timers: VirtualTimers,
    id: number,
    callback: Callback,
    delay: number,
    args: readonly unknown[],
    repeats: boolean,
  ) {
    this.#timers = timers
    this.#id = id
    this.#callback = callback
    this.#args = args
    this.#repeats = repeats
    this._idleTimeout = delay
    this.refresh()
  }

  /** Starts anew. Nothing is moved for it: what fires too early is armed again. */
  refresh(): this {
    if (!this.#active) return this
    const { clock } = this.#timers
    this.#due = clock.now() + this._idleTimeout * MILLISECOND
    this.#armed ??= clock.setTimer(this.#fire, this._idleTimeout * MILLISECOND)
    return this
  }

  /** A simulation's time passes as long as somebody waits for it, whatever is referenced. */
  ref(): this {
    this.#referenced = true
    return this
  }

  unref(): this {
    this.#referenced = false
    return this
  }

  hasRef(): boolean {
    return this.#referenced
  }

  close(): this {
    this._onTimeout = null
    return this
  }

  [Symbol.dispose](): void {
    this.close()
  }

  [Symbol.toPrimitive](): number {
    return this.#id
  }

  /** Node clears a timer by setting it to `null`. */
  get _onTimeout(): Callback | null {
    return this.#active ? this.#callback : null
  }

  set _onTimeout(_: null) {
    this.#active = false
    this.#timers.forget(this.#id)
    if (this.#armed !== null) this.#timers.clock.clearTimer(this.#armed)
    this.#armed = null
  }

  readonly #fire = (): void => {
    const { clock } = this.#timers
    this.#armed = null
    const left = this.#due - clock.now()
    if (left > 0) {
      this.#armed = clock.setTimer(this.#fire, left)
      return
    }
    clock.telling?.()
    clock.calling?.()
    try {
      this.#resource.runInAsyncScope(this.#callback, this, ...this.#args)
    } finally {
      // As with Node, an interval begins when its callback is done; the callback may have refreshed a timeout.
      if (this.#repeats) this.refresh()
      else if (this.#armed === null) this.#timers.forget(this.#id)
    }
  }
}

export class VirtualTimers {
  /** @internal */
  readonly clock: Clock
  readonly promises: ReturnType<typeof timerPromises>
  readonly #known = new Map<number, VirtualTimeout>()
  #last = 0

  constructor(clock: Clock) {
    this.clock = clock
    this.promises = timerPromises(this)
  }

  readonly setTimeout = (callback: Callback, delay?: unknown, ...args: unknown[]): VirtualTimeout =>
    this.#add(callback, delay, args, false)

  readonly setInterval = (callback: Callback, delay?: unknown, ...args: unknown[]): VirtualTimeout =>
    this.#add(callback, delay, args, true)

  readonly clearTimeout = (timer: unknown): void => {
    if (timer instanceof VirtualTimeout) timer.close()
    else if (typeof timer === 'number' || typeof timer === 'string') this.#known.get(Number(timer))?.close()
    // One that was made before these were put in the place of Node's is Node's.
    else clearTimeout(timer as NodeJS.Timeout)
  }

  readonly clearInterval = (timer: unknown): void => this.clearTimeout(timer)

  readonly setImmediate = (callback: Callback, ...args: unknown[]): NodeJS.Immediate => {
    if (typeof callback !== 'function') return setImmediate(callback) // Node says what is wrong
    this.clock.calling?.()
    return setImmediate(() => {
      this.clock.calling?.()
      callback(...args)
    })
  }

  readonly clearImmediate = (immediate: unknown): void => clearImmediate(immediate as NodeJS.Immediate)

  /** @internal */
  forget(id: number): void {
    this.#known.delete(id)
  }

  #add(callback: Callback, delay: unknown, args: unknown[], repeats: boolean): VirtualTimeout {
    if (typeof callback !== 'function') setTimeout(callback) // Node says what is wrong
    const milliseconds = Number(delay)
    const whole = milliseconds >= 1 && milliseconds <= TIMEOUT_MAX ? Math.trunc(milliseconds) : 1
    this.clock.calling?.()
    const timer = new VirtualTimeout(this, ++this.#last, callback, whole, args, repeats)
    this.#known.set(this.#last, timer)
    return timer
  }
}

const made = new WeakMap<Clock, VirtualTimers>()

/** Those of a clock: the same ones for all who share it. */
export function timersOf(clock: Clock): VirtualTimers {
  let timers = made.get(clock)
  if (timers === undefined) {
    timers = new VirtualTimers(clock)
    made.set(clock, timers)
  }
  return timers
}
