import { AsyncLocalStorage } from 'node:async_hooks'
import nodeTimers, { setTimeout as importedSetTimeout } from 'node:timers'
import { setTimeout as importedSleep } from 'node:timers/promises'
import { expect } from 'chai'
import { simulate } from '../../../lib/node/simulation.ts'

const nodeSetTimeout = globalThis.setTimeout

describe('timers of a simulated network', () => {
  const open = () => simulate({ seed: 1, onFailure: () => {} })

  it('fire in the time of the network, in order', async () => {
    const net = open()
    const { setTimeout, clearTimeout, setInterval, clearInterval } = net.timers
    const seen: string[] = []
    const see = (name: string): void => void seen.push(`${name} ${net.time}`)
    await net.run(async () => {
      setTimeout(see, 3_600_000, 'hour')
      setTimeout(see, 5, 'five')
      setTimeout(see, 5, 'five too')
      setTimeout(see, 0, 'none is one')
      setTimeout(see, 2 ** 31, 'too long is one')
      setTimeout(see, '7', 'text')
      clearTimeout(setTimeout(see, 6, 'cleared'))
      clearTimeout(+setTimeout(see, 6, 'cleared by its number'))
      const interval = setInterval(() => {
        see('interval')
        if (net.time > 25) clearInterval(interval)
      }, 10)
      await net.sleep('2h')
    })
    expect(seen).to.deep.equal([
      ...['none is one 1', 'too long is one 1', 'five 5', 'five too 5', 'text 7'],
      ...['interval 10', 'interval 20', 'interval 30', 'hour 3600000'],
    ])
    expect(() => setTimeout('x' as never))
      .to.throw()
      .with.property('code', 'ERR_INVALID_ARG_TYPE')
    await net.close()
  })

  it('are refreshed, also after they fired; closed by Node, too', async () => {
    const net = open()
    const fired: number[] = []
    await net.run(async () => {
      const timer = net.timers.setTimeout(() => fired.push(net.time), 100)
      net.after(60, () => void timer.refresh())
      net.after(500, () => void timer.refresh())
      const other = net.timers.setTimeout(() => fired.push(-1), 50)
      nodeTimers.clearTimeout(other as never)
      other.refresh()
      expect(timer.unref().hasRef()).to.equal(false)
      expect(timer.ref().hasRef()).to.equal(true)
      await net.sleep(1000)
    })
    expect(fired).to.deep.equal([160, 600])
    await net.close()
  })

  it('what a callback throws makes the run fail', async () => {
    const net = open()
    const failure = await net
      .run(async () => {
        net.timers.setTimeout(() => {
          throw new Error('mine')
        }, 10)
        await net.sleep(20)
      })
      .catch(({ message }: Error) => message)
    expect(failure).to.match(/^mine\n\(simulation failed with seed 1 at 10 ms/)
    await net.close()
  })

  it('keep the asynchronous context', async () => {
    const net = open()
    const storage = new AsyncLocalStorage<string>()
    const seen = await net.run(
      () =>
        new Promise((resolve) =>
          storage.run('mine', () => net.timers.setTimeout(() => resolve(storage.getStore()), 5)),
        ),
    )
    expect(seen).to.equal('mine')
    await net.close()
  })

  it('as promises, with signals', async () => {
    const net = open()
    const { setTimeout, setInterval, setImmediate, scheduler } = net.timers.promises
    await net.run(async () => {
      expect(await setTimeout(50, 'value')).to.equal('value')
      await scheduler.wait(50)
      await scheduler.yield()
      expect(await setImmediate('at once')).to.equal('at once')
      expect(net.time).to.equal(100)
      const at: number[] = []
      for await (const value of setInterval(10, 'tick')) {
        expect(value).to.equal('tick')
        if (at.push(net.time) === 3) break
      }
      expect(at).to.deep.equal([110, 120, 130])
      const controller = new AbortController()
      const codes: unknown[] = []
      const keep = ({ name, code }: NodeJS.ErrnoException): void => void codes.push(name, code)
      const waiting = [
        setTimeout(1000, 0, { signal: controller.signal }).catch(keep),
        setImmediate(0, { signal: AbortSignal.abort() }).catch(keep),
        (async () => {
          for await (const _ of setInterval(1000, 0, { signal: controller.signal }));
        })().catch(keep),
      ]
      net.after(5, () => controller.abort())
      await Promise.all(waiting)
      expect(codes).to.deep.equal(Array.from({ length: 3 }, () => ['AbortError', 'ABORT_ERR']).flat())
      expect(net.time).to.equal(135)
    })
    await net.close()
  })

  it('time waits for immediates, one after the other', async () => {
    const net = open()
    let slept = false
    await net.run(async () => {
      net.after(1, () => {
        slept = true
      })
      for (let i = 0; i < 30; i++) await net.timers.promises.setImmediate()
      expect(slept).to.equal(false)
      net.timers.clearImmediate(net.timers.setImmediate(() => expect.fail('it was cleared')))
      await net.sleep(2)
    })
    expect(slept).to.equal(true)
    await net.close()
  })

  it("in the place of Node's, and back", async () => {
    const net = open()
    const restore = net.useTimers()
    try {
      expect(() => net.useTimers())
        .to.throw()
        .with.property('code', 'ERR_SIMULATION_TIMERS')
      await net.run(async () => {
        await new Promise((resolve) => setTimeout(resolve, 3_600_000))
        await new Promise((resolve) => importedSetTimeout(resolve, 3_600_000))
        await new Promise((resolve) => nodeTimers.setTimeout(resolve, 3_600_000))
        await importedSleep(3_600_000)
      })
      expect(net.time).to.equal(4 * 3_600_000)
      const another = simulate({ seed: 2 }) // it has the event loop as it is
      await another.run(() => another.sleep(10))
      await another.close()
    } finally {
      restore()
    }
    restore()
    expect(globalThis.setTimeout).to.equal(nodeSetTimeout)
    expect(importedSetTimeout).to.equal(nodeSetTimeout)
    await importedSleep(1)
    net.useTimers()[Symbol.dispose]()
    await net.close()
  })
})
