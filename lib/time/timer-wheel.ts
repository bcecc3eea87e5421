/**
 * All timers of a stack, driven by a single wake-up of its {@link Clock}. A hierarchical wheel (Varghese and
 * Lauck): time is counted in ticks of 1 ms, level 0 has a slot for each of the next 256 ticks, a slot of level 1
 * spans 256 ticks, and so on over four levels (49 days); what is further away waits in the last slot and is
 * placed again. Arming and cancelling link and unlink a {@link Timer} in place. A timer never fires early; it
 * fires at its deadline if the clock wakes in time, and in the order of deadlines, then of arming.
 */
import { type Clock, MILLISECOND, type TimerHandle } from './clock.ts'

const LEVELS = 4
const BITS = 8
const SLOTS = 1 << BITS
const MASK = SLOTS - 1
const WORDS = SLOTS / 32
/** Ticks that the wheel spans, less one. */
const FURTHEST = SLOTS ** LEVELS - 1
const SPAN = [1, SLOTS, SLOTS ** 2, SLOTS ** 3] as const

/** Nanoseconds of one tick: deadlines within one share a slot, where they are kept sorted. */
export const TICK = MILLISECOND

/** A reusable timer: made once with what it does, armed as often as needed. */
export class Timer {
  /** @internal */
  readonly callback: () => void
  /** When it fires, in ns of the clock; `Infinity` while it is not armed. */
  deadline = Infinity
  /** @internal slot that it is linked in, -1 if none */
  slot = -1
  /** @internal */
  order = 0
  /** @internal */
  next: Timer | null = null
  /** @internal */
  previous: Timer | null = null

  /** @param callback called when it fires; it may arm this or any other timer, or cancel one */
  constructor(callback: () => void) {
    this.callback = callback
  }

  get armed(): boolean {
    return this.slot >= 0
  }
}

export class TimerWheel {
  /** Timers armed. */
  length = 0
  readonly clock: Clock
  readonly #heads = new Array<Timer | null>(LEVELS * SLOTS).fill(null)
  readonly #tails = new Array<Timer | null>(LEVELS * SLOTS).fill(null)
  /** A bit per slot that holds something. */
  readonly #occupied = new Int32Array(LEVELS * WORDS)
  /** The tick that level 0 stands at: everything before it has fired. */
  #tick: number
  #order = 0
  #handle: TimerHandle | null = null
  /** What the clock is armed for, in ns. */
  #wake = Infinity
  #firing = false
  readonly #run = (): void => {
    this.#handle = null
    // A runtime may round and wake a little early; nothing is due then, and the clock has to be armed again.
    if (this.clock.now() < this.#wake) this.#arm(this.#wake)
    else this.advance()
  }

  constructor(clock: Clock) {
    this.clock = clock
    this.#tick = Math.floor(clock.now() / TICK)
  }

  /** Nanoseconds, of the clock. */
  get now(): number {
    return this.clock.now()
  }

  /** Arms `timer` for `deadline` (ns of the clock; past is as good as now), or moves it if it is armed. */
  schedule(timer: Timer, deadline: number): void {
    if (timer.slot >= 0) this.#unlink(timer)
    else {
      if (this.length === 0 && !this.#firing) this.#tick = Math.floor(this.clock.now() / TICK)
      this.length++
    }
    timer.deadline = deadline
    timer.order = this.#order++
    this.#place(timer)
    if (!this.#firing && deadline < this.#wake) this.#arm(deadline)
  }

  /** Disarms it; does nothing if it is not armed. */
  cancel(timer: Timer): void {
    if (timer.slot < 0) return
    this.#unlink(timer)
    timer.slot = -1
    timer.deadline = Infinity
    if (--this.length === 0 && !this.#firing) this.#arm(Infinity)
  }

  /**
   * Fires what is due. The clock's wake-up calls it; a stack may call it too, when it looks at the time anyway.
   * What callbacks arm for a time that has come fires in the next call, so that none can keep the rest waiting.
   */
  advance(): void {
    const now = this.clock.now()
    if (this.#firing || now < this.#wake) return
    this.#firing = true
    const horizon = this.#order
    try {
      this.#fire(now, horizon)
    } finally {
      this.#firing = false
      this.#arm(this.#earliest())
    }
  }

  #fire(now: number, horizon: number): void {
    const target = Math.floor(now / TICK)
    for (;;) {
      const slot = this.#tick & MASK
      let timer: Timer | null = this.#heads[slot]!
      while (timer !== null && timer.deadline <= now) {
        if (timer.order >= horizon) {
          timer = timer.next // armed by a callback of this call
          continue
        }
        this.#unlink(timer)
        timer.slot = -1
        timer.deadline = Infinity
        this.length--
        timer.callback()
        timer = this.#heads[slot]!
      }
      if (this.#tick >= target) return
      // What was armed during this call and is due already must not be left behind.
      if (this.#heads[slot] !== null) this.#carry(slot)
      this.#step(target)
    }
  }

  /** Moves what is left in a slot of level 0 to the next tick. */
  #carry(slot: number): void {
    let timer: Timer | null = this.#heads[slot]!
    this.#heads[slot] = this.#tails[slot] = null
    this.#occupied[slot >> 5]! &= ~(1 << (slot & 31))
    this.#tick++
    while (timer !== null) {
      const next: Timer | null = timer.next
      this.#place(timer)
      timer = next
    }
    this.#tick--
  }

  /** Goes to the next tick that holds something, `target` at most, and brings down what it enters. */
  #step(target: number): void {
    const index = this.#tick & MASK
    const turn = this.#tick - index + SLOTS
    let next = this.#scan(0, index + 1)
    let to = this.#tick - index + next
    if (next === SLOTS) {
      next = this.#scan(0, 0)
      to = Math.min(this.#nextTurn(turn), next < SLOTS ? turn + next : Infinity)
    }
    this.#tick = Math.min(to, target)
    if (to <= target && to >= turn) this.#cascade(to)
  }

  /** The first tick from `turn` (a multiple of 256) on at which a slot of a higher level is entered. */
  #nextTurn(turn: number): number {
    let best = Infinity
    for (let level = 1; level < LEVELS; level++) {
      const position = Math.ceil(turn / SPAN[level]!)
      const index = position & MASK
      let found = this.#scan(level, index)
      if (found === SLOTS) found = this.#scan(level, 0)
      if (found === SLOTS) continue
      best = Math.min(best, (position + ((found - index) & MASK)) * SPAN[level]!)
    }
    return best
  }

  /** Places anew what waits in the slots that begin at `tick`, from the highest level down. */
  #cascade(tick: number): void {
    for (let level = LEVELS - 1; level > 0; level--) {
      if (tick % SPAN[level]! !== 0) continue
      const slot = level * SLOTS + (Math.floor(tick / SPAN[level]!) & MASK)
      let timer: Timer | null = this.#heads[slot]!
      if (timer === null) continue
      this.#heads[slot] = this.#tails[slot] = null
      this.#occupied[slot >> 5]! &= ~(1 << (slot & 31))
      while (timer !== null) {
        const next: Timer | null = timer.next
        this.#place(timer)
        timer = next
      }
    }
  }

  #place(timer: Timer): void {
    const tick = Math.max(Math.floor(timer.deadline / TICK), this.#tick)
    const distance = Math.min(tick - this.#tick, FURTHEST)
    let level = 0
    while (level < LEVELS - 1 && distance >= SPAN[level + 1]!) level++
    const position = Math.floor((this.#tick + distance) / SPAN[level]!)
    this.#link(timer, level * SLOTS + (position & MASK), level === 0)
  }

  #link(timer: Timer, slot: number, sorted: boolean): void {
    let after: Timer | null = this.#tails[slot]!
    if (sorted) {
      while (
        after !== null &&
        (after.deadline > timer.deadline || (after.deadline === timer.deadline && after.order > timer.order))
      ) {
        after = after.previous
      }
    }
    const before = after === null ? this.#heads[slot]! : after.next
    timer.previous = after
    timer.next = before
    timer.slot = slot
    if (after === null) this.#heads[slot] = timer
    else after.next = timer
    if (before === null) this.#tails[slot] = timer
    else before.previous = timer
    this.#occupied[slot >> 5]! |= 1 << (slot & 31)
  }

  #unlink(timer: Timer): void {
    const { slot, next, previous } = timer
    if (previous === null) this.#heads[slot] = next
    else previous.next = next
    if (next === null) this.#tails[slot] = previous
    else next.previous = previous
    timer.next = timer.previous = null
    if (this.#heads[slot] === null) this.#occupied[slot >> 5]! &= ~(1 << (slot & 31))
  }

  /** The first occupied slot of a level from `index` on; `SLOTS` if there is none. */
  #scan(level: number, index: number): number {
    for (let i = index; i < SLOTS; ) {
      const word = this.#occupied[level * WORDS + (i >> 5)]! >>> (i & 31)
      if (word !== 0) return i + 31 - Math.clz32(word & -word)
      i = (i | 31) + 1
    }
    return SLOTS
  }

  /** The earliest deadline: within a level slots are in order, between levels they are not. */
  #earliest(): number {
    if (this.length === 0) return Infinity
    const index = this.#tick & MASK
    let found = this.#scan(0, index)
    if (found < SLOTS) return this.#heads[found]!.deadline
    found = this.#scan(0, 0)
    let best = found < SLOTS ? this.#heads[found]!.deadline : Infinity
    for (let level = 1; level < LEVELS; level++) {
      const current = Math.floor(this.#tick / SPAN[level]!)
      const from = (current + 1) & MASK
      let slot = this.#scan(level, from)
      if (slot === SLOTS) slot = this.#scan(level, 0)
      if (slot === SLOTS) continue
      // What lies beyond the wheel waits in a slot before its time, and has to be moved on when that ends.
      const end = (current + 2 + ((slot - from) & MASK)) * SPAN[level]! * TICK
      for (let timer: Timer | null = this.#heads[level * SLOTS + slot]!; timer !== null; timer = timer.next) {
        best = Math.min(best, timer.deadline, end)
      }
    }
    return best
  }

  #arm(deadline: number): void {
    if (deadline === this.#wake && this.#handle !== null) return
    if (this.#handle !== null) this.clock.clearTimer(this.#handle)
    this.#handle = null
    this.#wake = deadline
    if (deadline === Infinity) return
    this.#handle = this.clock.setTimer(this.#run, Math.max(0, deadline - this.clock.now()))
  }
}
