/**
 * Virtual time: it goes from event to event. Before each, the program gets to react to the one before; how long that
 * takes is for the event loop to show. What was told by promises and callbacks of a stack has been reacted to after
 * one turn, in which all promises run. Node's own code takes several: so, once sockets or timers of Node are used,
 * time goes on after two turns in a row without a call of any ({@link Clock.calling}).
 */
import { type Clock, MILLISECOND } from '../time/clock.ts'
import { VirtualClock } from '../time/virtual-clock.ts'
import { Holds } from './holds.ts'
import type { Outcome, SimulationTime } from './time.ts'

/** Events between two turns of the machine's event loop at most: so a long run can be interrupted. */
const EVENTS_PER_TURN = 4096
/** Turns of the event loop without anything until nothing is expected any more. */
const IDLE_TURNS = 20
/** Nanoseconds of the machine's time between looks at what has come up while time is held. */
const HELD_POLL = MILLISECOND

export class VirtualTime implements SimulationTime {
  readonly clock: VirtualClock
  readonly origin = 0
  readonly holds: Holds
  readonly #machine: Clock
  readonly #holdLimit: number

  /** @param machine what turns of the event loop and holds are measured by */
  constructor(machine: Clock, epoch: bigint | undefined, holdLimit: number) {
    this.clock = new VirtualClock(epoch)
    this.holds = new Holds(machine)
    this.#machine = machine
    this.#holdLimit = holdLimit
  }

  get epoch(): bigint {
    return this.clock.epoch
  }

  get events(): number {
    return this.clock.fired
  }

  now(): number {
    return this.clock.now()
  }

  async until(promise: Promise<unknown>, limit: number): Promise<Outcome> {
    let settled = false
    const mark = (): void => void (settled = true)
    promise.then(mark, mark)
    return await this.#drive(this.clock.now() + limit, () => settled)
  }

  async untilIdle(limit: number): Promise<Outcome> {
    return await this.#drive(this.clock.now() + limit, () => false)
  }

  async pass(duration: number): Promise<boolean> {
    const { clock } = this
    const end = clock.now() + duration
    if ((await this.#drive(end, () => false)) === 'held') return false
    clock.advance(end - clock.now())
    return true
  }

  settle(): void {
    this.clock.advance(0)
  }

  async #drive(deadline: number, done: () => boolean): Promise<Outcome> {
    const { clock, holds } = this
    const turn = (resolve: () => void): void => this.#machine.soon(resolve)
    let { called } = clock
    let quiet = 0
    let idle = 0
    for (;;) {
      await new Promise<void>(turn)
      if (done()) return 'done'
      if (called !== clock.called) {
        called = clock.called
        quiet = 0
        idle = 0
        continue
      }
      if (++quiet < (called === 0 ? 1 : 2)) continue
      quiet = 0
      const held = !holds.isEmpty
      if (this.#step(held ? Math.min(deadline, clock.now()) : deadline)) idle = 0
      else if (held) {
        if (holds.age > this.#holdLimit) return 'held'
        await holds.wait(HELD_POLL)
      } else if (clock.untilNext() !== undefined) return 'late'
      else if (idle++ === IDLE_TURNS) return 'idle'
    }
  }

  /** Events up to `until`, as long as nobody is to react to them; `false`: there was none. */
  #step(until: number): boolean {
    const { clock } = this
    const { told, called } = clock
    let events = 0
    while (clock.told === told && clock.called === called && events < EVENTS_PER_TURN && clock.step(until)) {
      events++
    }
    return events > 0
  }
}
