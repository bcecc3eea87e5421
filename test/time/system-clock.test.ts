import { expect } from 'chai'
import { MILLISECOND } from '../../lib/time/clock.ts'
import { systemClock } from '../../lib/time/system-clock.ts'

describe('systemClock', () => {
  it('goes forward in whole nanoseconds, never as small integers, and knows the date', () => {
    const clock = systemClock()
    const first = clock.now()
    const second = clock.now()
    expect(Number.isInteger(first) && first >= 2 ** 31 && second >= first).to.equal(true)
    const date = clock.epoch + BigInt(clock.now())
    expect(Math.abs(Number(date / 1_000_000n) - Date.now())).to.be.lessThan(2000)
  })

  it('calls back no earlier than asked, once, and not when cleared', async () => {
    const clock = systemClock()
    const started = clock.now()
    let cleared = 0
    clock.clearTimer(clock.setTimer(() => void cleared++, MILLISECOND))
    // Timers of the clock keep no process alive; this one does, for the length of the test.
    const alive = setTimeout(() => {}, 2000)
    await new Promise<void>((resolve) => void clock.setTimer(resolve, 5 * MILLISECOND))
    clearTimeout(alive)
    // setTimeout and performance.now() are rounded differently: Node may be up to a millisecond early.
    expect(clock.now() - started).to.be.at.least(4 * MILLISECOND)
    expect(cleared).to.equal(0)
  })

  it('soon() comes after what is under way', async () => {
    const order: string[] = []
    const done = new Promise<void>((resolve) =>
      systemClock().soon(() => {
        order.push('soon')
        resolve()
      }),
    )
    order.push('now')
    await done
    expect(order).to.deep.equal(['now', 'soon'])
  })

  it('says what to do where the runtime has no timers', () => {
    const { setTimeout: saved } = globalThis
    Reflect.deleteProperty(globalThis, 'setTimeout')
    let error: unknown
    try {
      systemClock()
    } catch (thrown) {
      error = thrown
    } finally {
      globalThis.setTimeout = saved
    }
    expect(error).to.include({ code: 'ERR_NO_CLOCK' })
    expect(globalThis.setTimeout).to.equal(saved)
  })
})
