/**
 * Time, handed in. The stack never looks at a clock of its own: it is given one, so that it runs in real
 * time, in a worker, in a browser, or in a simulated network where an hour passes in a second.
 */

/** What {@link Clock.setTimer} gives back; opaque. */
export type TimerHandle = unknown

/** A monotonic clock and one-shot wake-ups. The stack keeps at most one timer of it armed at a time. */
export interface Clock {
  /** Monotonic **nanoseconds** since a moment of its own; exact as a double for 104 days, then to 2 ns. */
  now(): number
  /** Nanoseconds since 1970-01-01 UTC at `now() === 0`. */
  readonly epoch: bigint
  /** It runs with the machine's own monotonic clock, so that times which drivers tell can be translated. */
  readonly isRealTime?: boolean
  /** Calls back once, no earlier than `delay` nanoseconds from now. */
  setTimer(callback: () => void, delay: number): TimerHandle
  clearTimer(handle: TimerHandle): void
  /**
   * Says that somebody waits (`true`) or no longer waits (`false`) for what a timer will do; calls nest. Only
   * while somebody waits do timers keep a process alive: housekeeping alone does not.
   */
  hold?(waiting: boolean): void
  /** Calls back once, after what is already waiting in the event loop has had its turn. */
  soon(callback: () => void): void
  /**
   * An application is about to be told something (an event of a socket, a timer that ends its wait): whoever drives
   * a clock by hand lets it react before time goes on.
   */
  telling?(): void
  /**
   * An application, in turns of the event loop, does something that more may follow: it has called a socket, one of
   * its timers has fired. Whoever drives a clock by hand lets it go on until nothing more comes.
   */
  calling?(): void
}

export const MICROSECOND = 1e3
export const MILLISECOND = 1e6
export const SECOND = 1e9
