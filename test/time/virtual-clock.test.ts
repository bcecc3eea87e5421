import { expect } from 'chai'
import fc from 'fast-check'
import { MILLISECOND, SECOND } from '../../lib/time/clock.ts'
import { VirtualClock } from '../../lib/time/virtual-clock.ts'

describe('VirtualClock', () => {
  it('stands still until it is advanced', () => {
    const clock = new VirtualClock(5n)
    let fired = 0
    clock.setTimer(() => void fired++, 0)
    expect([clock.now(), clock.epoch, fired]).to.deep.equal([0, 5n, 0])
    expect(clock.advance(0)).to.equal(1)
    expect(fired).to.equal(1)
  })

  it('property: timers fire in order of deadline, then of creation, at their time; cleared ones never', () => {
    const timers = fc.array(fc.record({ delay: fc.nat(20), clear: fc.boolean() }), { maxLength: 30 })
    fc.assert(
      fc.property(timers, fc.array(fc.nat(8), { maxLength: 6 }), (list, steps) => {
        const clock = new VirtualClock()
        const fired: [index: number, at: number][] = []
        const handles = list.map(({ delay }, i) =>
          clock.setTimer(() => void fired.push([i, clock.now()]), delay),
        )
        list.forEach(({ clear }, i) => void (clear && clock.clearTimer(handles[i])))
        let now = 0
        let count = 0
        for (const step of steps) {
          count += clock.advance(step)
          now += step
          expect(clock.now()).to.equal(now)
        }
        const expected = list
          .map(({ delay, clear }, i) => ({ delay, clear, i }))
          .filter(({ delay, clear }) => !clear && steps.length > 0 && delay <= now)
          .sort((a, b) => a.delay - b.delay || a.i - b.i)
        expect(fired).to.deep.equal(expected.map(({ i, delay }) => [i, delay]))
        expect(count).to.equal(expected.length)
        const left = list.filter(({ delay, clear }) => !clear && (steps.length === 0 || delay > now))
        const next = left.length === 0 ? undefined : Math.min(...left.map(({ delay }) => delay)) - now
        expect(clock.untilNext()).to.equal(next)
      }),
    )
  })

  it('fires what a callback sets, if it falls due in time', () => {
    const clock = new VirtualClock()
    const fired: number[] = []
    clock.setTimer(() => {
      fired.push(clock.now())
      clock.setTimer(() => void fired.push(clock.now()), 2 * MILLISECOND)
      clock.soon(() => void fired.push(clock.now()))
      clock.setTimer(() => void fired.push(clock.now()), SECOND)
    }, MILLISECOND)
    expect(clock.advance(10 * MILLISECOND)).to.equal(3)
    expect(fired).to.deep.equal([MILLISECOND, MILLISECOND, 3 * MILLISECOND])
    expect(clock.untilNext()).to.equal(SECOND - 9 * MILLISECOND)
  })

  it('lets a callback clear a timer that is due', () => {
    const clock = new VirtualClock()
    let fired = 0
    clock.setTimer(() => clock.clearTimer(second), 1)
    const second = clock.setTimer(() => void fired++, 1)
    clock.advance(5)
    expect(fired).to.equal(0)
    clock.clearTimer(second)
  })

  it('never goes back, also when a callback advances it', () => {
    const clock = new VirtualClock()
    clock.setTimer(() => void clock.advance(100), 10)
    clock.advance(20)
    expect(clock.now()).to.equal(110)
    clock.advance(-50)
    expect(clock.now()).to.equal(110)
    clock.setTimer(() => {}, -5)
    expect(clock.untilNext()).to.equal(0)
  })

  it('is bounded: a timer that sets itself again without delay does not hang it', () => {
    const clock = new VirtualClock()
    const again = (): void => clock.soon(again)
    again()
    expect(() => clock.advance(1, 100)).to.throw(/more than 100 timers/)
  })
})
