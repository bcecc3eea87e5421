/** How connections end: FIN, half open, destroy, reset; and what later calls meet. */
import { once } from 'node:events'
import { closed, pair, pause, type Run, type Scenario } from './scenario.ts'

type End = 'client' | 'accepted'
const other = (end: End): End => (end === 'client' ? 'accepted' : 'client')

export const ENDING: readonly Scenario[] = (['client', 'accepted'] as const).flatMap((first): Scenario[] => {
  const second = other(first)
  const ends = async (
    run: Run,
    ...options: Parameters<typeof pair> extends [Run, ...infer R] ? R : never
  ) => {
    const both = await pair(run, ...options)
    run.recorder.socket(both.client, 'client')
    run.recorder.socket(both.accepted, 'accepted')
    return both
  }
  const halfOpen = [{ allowHalfOpen: true }, { allowHalfOpen: true }] as const
  return [
    {
      name: `${first} ends`,
      run: async (run) => {
        const both = await ends(run)
        both[first].end()
        run.recorder.note(first, both[first].readyState, both[first].writable, both[first].writableEnded)
        await Promise.all([closed(both.client), closed(both.accepted)])
        run.recorder.note(first, both[first].readyState, both[first].destroyed)
      },
    },
    {
      name: `${first} ends with bytes and a callback`,
      run: async (run) => {
        const both = await ends(run)
        both[first].end('last', () => run.recorder.note(first, 'callback'))
        await Promise.all([closed(both.client), closed(both.accepted)])
      },
    },
    {
      name: `${first} ends, the other end half open`,
      run: async (run) => {
        const both = await ends(run, ...halfOpen)
        both[first].end('question')
        await once(both[second], 'end')
        run.recorder.note(second, both[second].readyState, both[second].writable)
        await pause(3)
        run.recorder.note(first, both[first].readyState)
        both[second].end('answer')
        await Promise.all([closed(both.client), closed(both.accepted)])
      },
    },
    {
      name: `${first} is destroyed`,
      run: async (run) => {
        const both = await ends(run)
        both[first].destroy()
        run.recorder.note(first, both[first].readyState, both[first].destroyed, both[first].closed)
        await Promise.all([closed(both.client), closed(both.accepted)])
        run.recorder.note(first, both[first].remoteAddress, both[first].closed)
      },
    },
    {
      name: `${first} is destroyed with an error`,
      run: async (run) => {
        const both = await ends(run)
        both[first].destroy(new Error('mine'))
        await Promise.all([closed(both.client), closed(both.accepted)])
        run.recorder.note(first, both[first].errored)
      },
    },
    {
      name: `${first} is destroySoon`,
      run: async (run) => {
        const both = await ends(run)
        both[first].write('before')
        both[first].destroySoon()
        await Promise.all([closed(both.client), closed(both.accepted)])
      },
    },
    {
      name: `${first} resets`,
      run: async (run) => {
        const both = await ends(run)
        run.recorder.note(first, both[first].resetAndDestroy() === both[first])
        await Promise.all([closed(both.client), closed(both.accepted)])
      },
    },
    {
      name: `${first} resets, and the other end writes`,
      run: async (run) => {
        const both = await ends(run)
        both[first].resetAndDestroy()
        await Promise.all([closed(both[first]), closed(both[second])])
        both[second].write('x', (error) => run.recorder.note(second, 'written', error))
        await pause(5)
      },
    },
    {
      name: `${first} resets what the other end does not read`,
      run: async (run) => {
        const both = await pair(run, { pauseOnConnect: true })
        const { client, accepted } = both
        client.pause()
        accepted.pause()
        await pause(3)
        run.recorder.socket(client, 'client', { data: false })
        run.recorder.socket(accepted, 'accepted', { data: false })
        both[first].resetAndDestroy()
        await closed(both[first])
        await pause(10)
        run.recorder.note(second, 'notices', both[second].destroyed)
      },
    },
    {
      name: `${first} is closed with bytes unread: the other end is reset`,
      run: async (run) => {
        const both = await pair(run, { pauseOnConnect: true })
        both.client.pause()
        run.recorder.socket(both[second], second, { data: false })
        both[second].write('unread')
        both[second].resume()
        await pause(10)
        both[first].destroy()
        await closed(both[second])
      },
    },
    {
      name: `${first} writes after end`,
      run: async (run) => {
        const both = await ends(run)
        both[first].end()
        run.recorder.note(
          first,
          both[first].write('x', (error) => run.recorder.note(first, 'written', error)),
        )
        await Promise.all([closed(both.client), closed(both.accepted)])
      },
    },
    {
      name: `${first} writes after destroy`,
      run: async (run) => {
        const both = await ends(run)
        both[first].destroy()
        run.recorder.note(
          first,
          both[first].write('x', (error) => run.recorder.note(first, 'written', error)),
        )
        await Promise.all([closed(both.client), closed(both.accepted)])
      },
    },
    {
      name: `${first} ends twice`,
      run: async (run) => {
        const both = await ends(run)
        both[first].end(() => run.recorder.note(first, 'first'))
        both[first].end(() => run.recorder.note(first, 'second'))
        await Promise.all([closed(both.client), closed(both.accepted)])
      },
    },
    {
      name: `${first} writes to who has closed`,
      run: async (run) => {
        const both = await ends(run, ...halfOpen)
        both[second].destroy()
        await once(both[first], 'end')
        both[first].write('one', (error) => run.recorder.note(first, 'one', error))
        await pause(10)
        both[first].write('two', (error) => run.recorder.note(first, 'two', error))
        await closed(both[first])
      },
    },
    {
      name: `${first} ends while much is on its way`,
      run: async (run) => {
        const both = await pair(run)
        let received = 0
        both[second].on('data', ({ length }: Buffer) => {
          received += length
        })
        both[first].resume()
        both[first].write(Buffer.alloc(3_000_000))
        both[first].end()
        await closed(both[second])
        run.recorder.note(second, received)
      },
    },
    {
      name: `${first} is destroyed while much is on its way`,
      run: async (run) => {
        const both = await pair(run, { pauseOnConnect: true })
        both.client.pause()
        run.recorder.socket(both[first], first, { data: false })
        both[first].write(Buffer.alloc(30_000_000), (error) => run.recorder.note(first, 'written', error))
        await pause(20)
        both[first].destroy()
        await closed(both[first])
      },
    },
    {
      name: `${first} writes when its handle was closed`,
      run: async (run) => {
        const both = await pair(run)
        run.recorder.socket(both[first], first)
        ;(both[first] as unknown as { _handle: { close(): void } })._handle.close()
        both[first].write('x', (error) => run.recorder.note(first, 'written', error))
        await pause(5)
      },
    },
    {
      name: `both end at once, ${first} first`,
      run: async (run) => {
        const both = await ends(run)
        both[first].end('a')
        both[second].end('b')
        await Promise.all([closed(both.client), closed(both.accepted)])
      },
    },
    {
      name: `${first} has a listener that throws`,
      run: async (run) => {
        const both = await pair(run)
        const handlers = process.rawListeners('uncaughtException')
        process.removeAllListeners('uncaughtException')
        const thrown = new Promise<Error>((resolve) => process.once('uncaughtException', resolve))
        both[first].on('data', () => {
          throw new Error('of the listener')
        })
        both[second].write('x')
        run.recorder.note(first, 'uncaught', (await thrown).message)
        for (const handler of handlers) process.on('uncaughtException', handler as () => void)
        both[first].removeAllListeners('data').on('data', (data) => run.recorder.note(first, 'data', data))
        both[second].end('y')
        await closed(both[first])
      },
    },
  ]
})
