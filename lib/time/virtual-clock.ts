/**
 * Time that a test or a simulation turns by hand. Nothing happens between two calls of {@link VirtualClock.advance};
 * timers fire in order of their deadline, then of their creation, so that a run is repeatable.
 */
import type { Clock, TimerHandle } from './clock.ts'

interface VirtualTimer {
  deadline: number
  sequence: number
  callback: () => void
}

/** A {@link Clock} that stands still until it is advanced. */
export class VirtualClock implements Clock {
  readonly epoch: bigint
  #now = 0
  #sequence = 0
  #timers: VirtualTimer[] = []

  /** @param epoch nanoseconds since 1970 at `now() === 0`; 2020-01-01 unless given */
  constructor(epoch = 1_577_836_800_000_000_000n) {
    this.epoch = epoch
  }

  now(): number {
    return this.#now
  }

  setTimer(callback: () => void, delay: number): TimerHandle {
    const timer = { deadline: this.#now + Math.max(0, delay), sequence: this.#sequence++, callback }
    this.#timers.push(timer)
    return timer
  }

  clearTimer(handle: TimerHandle): void {
    const index = this.#timers.indexOf(handle as VirtualTimer)
    if (index >= 0) this.#timers.splice(index, 1)
  }

  soon(callback: () => void): void {
    this.setTimer(callback, 0)
  }

  /** Nanoseconds to the next timer; `undefined` if none is armed. */
  untilNext(): number | undefined {
    const next = this.#earliest()
    return next === undefined ? undefined : next.deadline - this.#now
  }

  /** Lets `duration` nanoseconds pass, firing what falls due, at most `limit` timers. Gives how many fired. */
  advance(duration: number, limit = 1_000_000): number {
    const end = this.#now + duration
    let fired = 0
    for (let next = this.#earliest(); next !== undefined && next.deadline <= end; next = this.#earliest()) {
      if (fired++ >= limit) throw new Error(`more than ${limit} timers fired within ${duration} ns`)
      this.#timers.splice(this.#timers.indexOf(next), 1)
      this.#now = Math.max(this.#now, next.deadline)
      next.callback()
    }
    this.#now = Math.max(this.#now, end) // a callback may have advanced it further
    return fired
  }

  #earliest(): VirtualTimer | undefined {
    let best: VirtualTimer | undefined
    for (const timer of this.#timers) {
      if (
        best === undefined ||
        timer.deadline < best.deadline ||
        (timer.deadline === best.deadline && timer.sequence < best.sequence)
      ) {
        best = timer
      }
    }
    return best
  }
}
