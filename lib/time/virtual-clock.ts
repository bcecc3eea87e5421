/**
 * Time that a test or a simulation turns by hand. Nothing happens between two calls of {@link VirtualClock.advance};
 * timers fire in order of their deadline, then of their creation, so that a run is repeatable. They wait in a
 * binary heap, so that thousands of stacks can share one clock.
 */
import type { Clock, TimerHandle } from './clock.ts'

interface VirtualTimer {
  deadline: number
  sequence: number
  callback: () => void
  /** Place in the heap; -1 once it has fired or was cleared. */
  index: number
  /** Nobody has a handle to it: once it has fired it can serve again. */
  readonly anonymous: boolean
}

function nothing(): void {}

/** A {@link Clock} that stands still until it is advanced. */
export class VirtualClock implements Clock {
  readonly epoch: bigint
  /** Timers fired so far: the events of a simulation. */
  fired = 0
  /** How often an application was about to be told something; see {@link Clock.telling}. */
  told = 0
  /** How often one has done something that more may follow; see {@link Clock.calling}. */
  called = 0
  #now = 0
  #sequence = 0
  readonly #heap: VirtualTimer[] = []
  readonly #spare: VirtualTimer[] = []

  /** @param epoch nanoseconds since 1970 at `now() === 0`; 2020-01-01 unless given */
  constructor(epoch = 1_577_836_800_000_000_000n) {
    this.epoch = epoch
  }

  now(): number {
    return this.#now
  }

  setTimer(callback: () => void, delay: number): TimerHandle {
    const deadline = this.#now + Math.max(0, delay)
    const timer = { deadline, sequence: this.#sequence++, callback, index: -1, anonymous: false }
    this.#push(timer)
    return timer
  }

  clearTimer(handle: TimerHandle): void {
    const timer = handle as VirtualTimer
    if (timer.index >= 0) this.#remove(timer)
  }

  soon(callback: () => void): void {
    const timer = this.#spare.pop() ?? {
      deadline: 0,
      sequence: 0,
      callback: nothing,
      index: -1,
      anonymous: true,
    }
    timer.deadline = this.#now
    timer.sequence = this.#sequence++
    timer.callback = callback
    this.#push(timer)
  }

  telling(): void {
    this.told++
  }

  calling(): void {
    this.called++
  }

  /** Nanoseconds to the next timer; `undefined` if none is armed. */
  untilNext(): number | undefined {
    const next = this.#heap[0]
    return next === undefined ? undefined : next.deadline - this.#now
  }

  /** Goes to the next timer's deadline and fires that one; `false` if there is none, or none up to `until`. */
  step(until = Number.POSITIVE_INFINITY): boolean {
    const next = this.#heap[0]
    if (next === undefined || next.deadline > until) return false
    this.#remove(next)
    if (next.deadline > this.#now) this.#now = next.deadline
    this.fired++
    const { callback } = next
    if (next.anonymous) {
      next.callback = nothing
      this.#spare.push(next)
    }
    callback()
    return true
  }

  /** Lets `duration` nanoseconds pass, firing what falls due, at most `limit` timers. Gives how many fired. */
  advance(duration: number, limit = 1_000_000): number {
    const end = this.#now + duration
    let fired = 0
    while (this.#heap.length > 0 && this.#heap[0]!.deadline <= end) {
      if (fired++ >= limit) throw new Error(`more than ${limit} timers fired within ${duration} ns`)
      this.step()
    }
    this.#now = Math.max(this.#now, end) // a callback may have advanced it further
    return fired
  }

  #push(timer: VirtualTimer): void {
    this.#heap.push(timer)
    this.#rise(timer, this.#heap.length - 1)
  }

  #remove(timer: VirtualTimer): void {
    const heap = this.#heap
    const last = heap.pop()!
    const at = timer.index
    timer.index = -1
    if (last === timer) return
    // What was last comes from another branch, so it may belong above or below.
    if (at > 0 && before(last, heap[(at - 1) >> 1]!)) this.#rise(last, at)
    else this.#sink(last, at)
  }

  #rise(timer: VirtualTimer, from: number): void {
    const heap = this.#heap
    let at = from
    while (at > 0) {
      const parent = heap[(at - 1) >> 1]!
      if (!before(timer, parent)) break
      heap[at] = parent
      parent.index = at
      at = (at - 1) >> 1
    }
    heap[at] = timer
    timer.index = at
  }

  #sink(timer: VirtualTimer, from: number): void {
    const heap = this.#heap
    let at = from
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      const lower = heap[child]!
      if (!before(lower, timer)) break
      heap[at] = lower
      lower.index = at
      at = child
    }
    heap[at] = timer
    timer.index = at
  }
}

function before(a: VirtualTimer, b: VirtualTimer): boolean {
  return a.deadline < b.deadline || (a.deadline === b.deadline && a.sequence < b.sequence)
}
