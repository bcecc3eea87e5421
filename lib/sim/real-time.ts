/** The machine's time: links delay and stacks time out by it, and nothing stands still. */
import { TunstackError } from '../errors.ts'
import { type Clock, SECOND } from '../time/clock.ts'
import { Holds } from './holds.ts'
import type { Outcome, SimulationTime } from './time.ts'

/** A timer of the machine takes no more than 24 days. */
const LONGEST = 1_000_000 * SECOND

export class RealTime implements SimulationTime {
  readonly clock: Clock
  readonly origin: number
  readonly epoch: bigint
  readonly holds: Holds
  readonly events = 0

  constructor(machine: Clock) {
    this.clock = machine
    this.origin = machine.now()
    this.epoch = machine.epoch + BigInt(this.origin)
    this.holds = new Holds(machine)
  }

  now(): number {
    return this.clock.now() - this.origin
  }

  async until(promise: Promise<unknown>, limit: number): Promise<Outcome> {
    const { clock } = this
    let timer: unknown
    clock.hold?.(true) // the process waits for it, as it does in virtual time
    const late = new Promise<Outcome>((resolve) => {
      timer = clock.setTimer(() => resolve('late'), Math.min(limit, LONGEST))
    })
    const done = (): Outcome => 'done'
    const outcome = await Promise.race([promise.then(done, done), late])
    clock.clearTimer(timer)
    clock.hold?.(false)
    return outcome
  }

  async untilIdle(): Promise<Outcome> {
    throw new TunstackError(
      'ERR_SIMULATION_REAL_TIME',
      'in real time nobody knows when nothing is under way any more; runFor() waits a while',
    )
  }

  async pass(duration: number): Promise<boolean> {
    await this.until(new Promise(() => {}), duration)
    return true
  }

  settle(): void {}
}
