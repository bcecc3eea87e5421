/**
 * How late the event loop's timers are: a timer is armed again and again, and how long after its time it ran is noted.
 * Under a flood that shows whether timers still have their turn.
 */
import { percentile } from './statistics.ts'

/** Milliseconds between two timers. */
const INTERVAL = 5

export class TimerLateness {
  #samples: number[] = []
  #due = 0

  constructor() {
    this.#arm()
  }

  /** The 99th percentile since the last call, in ms; the timer's own millisecond of grain is in it. */
  take(): number {
    const samples = this.#samples.sort((a, b) => a - b)
    this.#samples = []
    return samples.length === 0 ? 0 : percentile(samples, 99)
  }

  #arm(): void {
    this.#due = performance.now() + INTERVAL
    setTimeout(() => {
      this.#samples.push(Math.max(0, performance.now() - this.#due))
      this.#arm()
    }, INTERVAL).unref()
  }
}
