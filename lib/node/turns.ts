/**
 * The event loop of handles. A stack tells all of its news at once; libuv tells each handle of one thing at a time, and
 * between two of them Node runs what was put off by `process.nextTick` and promises. So each piece of news gets a turn
 * of its own here. Also here: what keeps the process alive, as an active handle of libuv does.
 */

import timers from 'node:timers'
import type { Clock } from '../time/clock.ts'
import { afterTurn } from './net/internals.ts'

/** Node's own, whatever is put in their place. */
const { setImmediate, setInterval } = timers

/** Something that has news. */
export interface Source {
  /** One thing that has come up; `true`: there is more. */
  turn(): boolean
  /** The loop's: it waits for its turn. */
  isReady: boolean
}

/** `setInterval` takes 31 bits; it never does anything. */
const FOREVER = 0x7fffffff

export class Turns {
  readonly clock: Clock
  #active = 0
  #alive: NodeJS.Timeout | null = null
  readonly #run = (source: Source): void => {
    source.isReady = false
    this.calling()
    let more = true // also if it throws: what is behind the error is not lost
    try {
      more = source.turn()
    } finally {
      if (more) this.ready(source)
    }
  }

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** A handle was called, or calls back: in a simulation, time waits for what comes of it. */
  calling(): void {
    this.clock.calling?.()
  }

  /** `source.turn()` is called from the event loop, once. */
  ready(source: Source): void {
    if (source.isReady) return
    source.isReady = true
    this.calling()
    setImmediate(this.#run, source)
  }

  /** Calls back from the event loop. */
  later(callback: () => void): void {
    this.calling()
    setImmediate(() => {
      this.calling()
      callback()
    })
  }

  /** Calls back as for a handle that was closed, at the end of the turn. */
  atEnd(callback: () => void): void {
    this.calling()
    afterTurn(() => {
      this.calling()
      callback()
    })
  }

  /**
   * A handle has become active, or is no longer: the process lives while one is. Not in virtual time: there nothing
   * comes unless somebody lets time pass, and waits for that.
   */
  hold(active: boolean): void {
    if (this.clock.calling !== undefined) return
    this.#active += active ? 1 : -1
    if (this.#active > 0) {
      this.#alive ??= setInterval(() => {}, FOREVER)
      this.#alive.ref()
    } else this.#alive?.unref()
  }
}
