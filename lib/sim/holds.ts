/** Holds: as long as one is open, a simulation's time stands still. */
import type { Clock } from '../time/clock.ts'

export interface Hold {
  /** What the program waits for. */
  readonly what: string
  /** Lets time go on; a second call does nothing. */
  release(): void
  [Symbol.dispose](): void
}

export class Holds {
  readonly #machine: Clock
  /** With the machine's time at which each was opened; the oldest comes first. */
  readonly #open = new Map<Hold, number>()
  #released: (() => void) | null = null

  constructor(machine: Clock) {
    this.#machine = machine
  }

  get isEmpty(): boolean {
    return this.#open.size === 0
  }

  get names(): string[] {
    return [...this.#open.keys()].map(({ what }) => what)
  }

  /** Nanoseconds of the machine's time that the oldest has been open. */
  get age(): number {
    for (const since of this.#open.values()) return this.#machine.now() - since
    return 0
  }

  open(what: string): Hold {
    const release = (): void => {
      if (this.#open.delete(hold) && this.isEmpty) this.#released?.()
    }
    const hold: Hold = { what, release, [Symbol.dispose]: release }
    this.#open.set(hold, this.#machine.now())
    return hold
  }

  /** Until none is open, or so many nanoseconds of the machine's time have passed. */
  async wait(atMost: number): Promise<void> {
    const machine = this.#machine
    machine.hold?.(true)
    await new Promise<void>((resolve) => {
      const timer = machine.setTimer(resolve, atMost)
      this.#released = () => {
        machine.clearTimer(timer)
        resolve()
      }
    })
    this.#released = null
    machine.hold?.(false)
  }
}
