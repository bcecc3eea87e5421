import { expect } from 'chai'
import fc from 'fast-check'
import { type Clock, MILLISECOND, SECOND, type TimerHandle } from '../../lib/time/clock.ts'
import { TICK, Timer, TimerWheel } from '../../lib/time/timer-wheel.ts'
import { VirtualClock } from '../../lib/time/virtual-clock.ts'

const DAY = 86_400 * SECOND

/** A clock that counts what is asked of it, and can jump over wake-ups. */
class CountingClock implements Clock {
  readonly epoch = 0n
  time = 0
  armed = 0
  calls = 0
  #callback: (() => void) | null = null
  #due = 0

  now(): number {
    return this.time
  }

  setTimer(callback: () => void, delay: number): TimerHandle {
    this.calls++
    this.armed++
    this.#callback = callback
    this.#due = this.time + delay
    return callback
  }

  clearTimer(): void {
    this.armed--
    this.#callback = null
  }

  soon(): void {}

  jump(to: number): void {
    this.time = to
    for (let i = 0; i < 10 && this.#callback !== null && this.#due <= to; i++) {
      const callback = this.#callback
      this.#callback = null
      this.armed--
      callback()
    }
  }
}

describe('TimerWheel', () => {
  it('fires at the deadline, not before, over every level and beyond the wheel', () => {
    for (const delay of [
      0,
      1,
      TICK - 1,
      TICK,
      255 * TICK,
      256 * TICK,
      65_536 * TICK,
      20e6 * TICK,
      49 * DAY,
      100 * DAY,
    ]) {
      const clock = new VirtualClock()
      clock.advance(123_456_789)
      const wheel = new TimerWheel(clock)
      let fired = -1
      wheel.schedule(
        new Timer(() => {
          fired = clock.now()
        }),
        clock.now() + delay,
      )
      clock.advance(Math.max(0, delay - 1))
      expect(fired, `${delay}`).to.equal(delay === 0 ? 123_456_789 : -1)
      clock.advance(1)
      expect(fired).to.equal(123_456_789 + delay)
      expect(wheel.length).to.equal(0)
      expect(clock.untilNext()).to.equal(undefined)
    }
  })

  it('fires in the order of deadlines within a tick, then of arming', () => {
    const clock = new VirtualClock()
    const wheel = new TimerWheel(clock)
    const order: string[] = []
    const arm = (name: string, deadline: number) =>
      wheel.schedule(new Timer(() => order.push(name)), deadline)
    arm('c', 900_000)
    arm('a', 100_000)
    arm('b', 500_000)
    arm('b2', 500_000)
    arm('z', 300 * TICK + 5)
    arm('y', 300 * TICK + 4)
    clock.advance(SECOND)
    expect(order).to.deep.equal(['a', 'b', 'b2', 'c', 'y', 'z'])
  })

  it('holds one timer of the clock while anything is armed, none when idle', () => {
    const clock = new CountingClock()
    const wheel = new TimerWheel(clock)
    expect(clock.calls).to.equal(0)
    const timers = Array.from({ length: 100 }, () => new Timer(() => {}))
    for (const [i, timer] of timers.entries()) wheel.schedule(timer, (i + 1) * SECOND)
    expect(clock.armed).to.equal(1)
    expect(clock.calls).to.equal(1) // none of the later ones moved it
    for (const timer of timers) wheel.cancel(timer)
    wheel.cancel(timers[0]!)
    expect(wheel.length).to.equal(0)
    expect(clock.armed).to.equal(0)
  })

  it('wakes once for a timer that is far away', () => {
    const clock = new VirtualClock()
    const wheel = new TimerWheel(clock)
    let fired = 0
    wheel.schedule(new Timer(() => fired++), 7200 * SECOND)
    expect(clock.untilNext()).to.equal(7200 * SECOND)
    expect(clock.advance(7200 * SECOND)).to.equal(1)
    expect(fired).to.equal(1)
  })

  it('survives a clock that jumps far ahead, and one that wakes early', () => {
    const clock = new CountingClock()
    const wheel = new TimerWheel(clock)
    const order: number[] = []
    for (const i of [5, 1, 4, 2, 3]) wheel.schedule(new Timer(() => order.push(i)), i * 3600 * SECOND)
    clock.jump(90 * DAY)
    expect(order).to.deep.equal([1, 2, 3, 4, 5])
    expect(clock.armed).to.equal(0)
    const early = new VirtualClock()
    const second = new TimerWheel({
      epoch: 0n,
      now: () => early.now(),
      setTimer: (callback, delay) => early.setTimer(callback, Math.max(1, Math.floor(delay / 2))),
      clearTimer: (handle) => early.clearTimer(handle),
      soon: (callback) => early.soon(callback),
    })
    let at = 0
    second.schedule(
      new Timer(() => {
        at = early.now()
      }),
      10_000_500,
    )
    early.advance(SECOND)
    expect(at).to.equal(10_000_500)
  })

  it('lets a callback arm itself for a time that has come without keeping others waiting', () => {
    const clock = new CountingClock()
    const wheel = new TimerWheel(clock)
    let again = 0
    let other = 0
    const timer: Timer = new Timer(() => {
      again++
      wheel.schedule(timer, 0)
    })
    wheel.schedule(timer, MILLISECOND)
    wheel.schedule(new Timer(() => other++), 2 * MILLISECOND)
    clock.time = 5 * MILLISECOND
    wheel.advance()
    expect([again, other]).to.deep.equal([1, 1])
    wheel.advance()
    expect(again).to.equal(2)
  })

  it('goes on when a callback throws', () => {
    const clock = new VirtualClock()
    const wheel = new TimerWheel(clock)
    let fired = 0
    wheel.schedule(
      new Timer(() => {
        throw new Error('boom')
      }),
      TICK,
    )
    wheel.schedule(new Timer(() => fired++), TICK)
    expect(() => clock.advance(TICK)).to.throw('boom')
    clock.advance(TICK)
    expect(fired).to.equal(1)
  })

  it('agrees with a sorted list, whatever is armed, moved, cancelled and fired (property)', () => {
    const delay = fc.oneof(
      fc.integer({ min: -5, max: 3 * TICK }),
      fc.integer({ min: 0, max: 600 * TICK }),
      fc.integer({ min: 0, max: 200_000 }).map((ms) => ms * TICK),
      fc.integer({ min: 0, max: 200 }).map((days) => days * DAY),
    )
    const step = fc.oneof(
      fc.record({ kind: fc.constant('arm' as const), timer: fc.nat(11), delay, again: fc.option(delay) }),
      fc.record({ kind: fc.constant('cancel' as const), timer: fc.nat(11) }),
      fc.record({ kind: fc.constant('advance' as const), delay, jump: fc.boolean() }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const clock = new VirtualClock()
        const wheel = new TimerWheel(clock)
        const log: string[] = []
        const expected: string[] = []
        const again = new Map<number, number | null>()
        const model = new Map<number, { deadline: number; order: number }>()
        let order = 0
        const timers = Array.from({ length: 12 }, (_, i) => {
          const timer: Timer = new Timer(() => {
            log.push(`${i}@${clock.now()}`)
            const delay = again.get(i)
            again.set(i, null)
            if (delay != null) wheel.schedule(timer, clock.now() + Math.max(delay, 1))
          })
          return timer
        })
        const rearm = new Map<number, number | null>()
        for (const step of steps) {
          if (step.kind === 'arm') {
            const deadline = clock.now() + step.delay
            wheel.schedule(timers[step.timer]!, deadline)
            again.set(step.timer, step.again)
            rearm.set(step.timer, step.again)
            model.set(step.timer, { deadline, order: order++ })
          } else if (step.kind === 'cancel') {
            wheel.cancel(timers[step.timer]!)
            model.delete(step.timer)
          } else {
            const duration = Math.max(0, step.delay)
            const start = clock.now()
            const end = start + duration
            clock.advance(duration)
            for (;;) {
              let best: number | undefined
              for (const [i, entry] of model) {
                const other = best === undefined ? undefined : model.get(best)!
                if (
                  other === undefined ||
                  entry.deadline < other.deadline ||
                  (entry.deadline === other.deadline && entry.order < other.order)
                ) {
                  best = i
                }
              }
              if (best === undefined || model.get(best)!.deadline > end) break
              const at = Math.max(model.get(best)!.deadline, start)
              model.delete(best)
              expected.push(`${best}@${at}`)
              const delay = rearm.get(best)
              rearm.set(best, null)
              if (delay != null) model.set(best, { deadline: at + Math.max(delay, 1), order: order++ })
            }
          }
          expect(log).to.deep.equal(expected)
          expect(wheel.length).to.equal(model.size)
          if (model.size === 0) expect(clock.untilNext()).to.equal(undefined)
        }
      }),
      { numRuns: 400 },
    )
  })
})
