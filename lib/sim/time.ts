/** What time is to a simulation: one that is worked out, or the machine's. */
import type { Clock } from '../time/clock.ts'
import type { Holds } from './holds.ts'

/** Why time stopped: what was awaited is there; nothing is expected; the limit is next; a hold stays open. */
export type Outcome = 'done' | 'idle' | 'late' | 'held'

export interface SimulationTime {
  readonly clock: Clock
  /** What the clock showed when the simulation began. */
  readonly origin: number
  /** Nanoseconds since 1970 at that time. */
  readonly epoch: bigint
  readonly holds: Holds
  readonly events: number
  /** Nanoseconds since the simulation began. */
  now(): number
  /** Lets time pass until `promise` has settled, `limit` nanoseconds at most. */
  until(promise: Promise<unknown>, limit: number): Promise<Outcome>
  untilIdle(limit: number): Promise<Outcome>
  /** Lets so many nanoseconds pass; `false`: it was held too long. */
  pass(duration: number): Promise<boolean>
  /** Does what is due, without letting time pass. */
  settle(): void
}
