/** Closing: what still comes, and in which order. */
import { once } from 'node:events'
import { bound, pair, pause, type Scenario, thrown, watch } from './scenario.ts'

export const ENDING: readonly Scenario[] = [
  {
    name: 'close with a callback, and its event',
    run: async (run) => {
      const socket = await bound(run, 'socket')
      socket.close((...args: unknown[]) => run.recorder.note('socket', 'callback', ...args))
      run.recorder.note('socket', 'called')
      process.nextTick(() => run.recorder.note('socket', 'tick'))
      thrown(run, 'address', () => socket.address())
      thrown(run, 'close', () => socket.close())
      await once(socket, 'close')
    },
  },
  {
    name: 'close of a socket that was never bound',
    run: async (run) => {
      const socket = watch(run, run.socket(), 'socket')
      socket.close(() => run.recorder.note('socket', 'callback'))
      await once(socket, 'close')
    },
  },
  {
    name: 'close with a callback that is none',
    run: async (run) => {
      const socket = await bound(run, 'socket')
      socket.close({} as never)
      await once(socket, 'close')
    },
  },
  {
    name: 'close while something is to be sent: it goes first',
    run: async (run) => {
      const { to, port } = await pair(run)
      const socket = run.socket()
      socket.once('listening', () => run.recorder.name(socket.address().port, 'SOCKET'))
      socket.send('x', port, run.family.host, (...args) => run.recorder.note('callback', ...args))
      socket.close(() => run.recorder.note('socket', 'closed'))
      await Promise.race([once(to, 'message'), pause(20)])
    },
  },
  {
    name: 'close in the call after send',
    run: async (run) => {
      const { from, to, port } = await pair(run)
      from.send('x', port, run.family.host, (...args) => run.recorder.note('callback', ...args))
      from.close()
      await Promise.race([once(to, 'message'), pause(20)])
      await pause(5)
    },
  },
  {
    name: 'asyncDispose, twice',
    run: async (run) => {
      const socket = await bound(run, 'socket')
      run.recorder.note('socket', await socket[Symbol.asyncDispose]())
      run.recorder.note('socket', 'disposed')
      await socket[Symbol.asyncDispose]()
      run.recorder.note('socket', 'again')
    },
  },
  {
    name: 'a signal',
    run: async (run) => {
      const controller = new AbortController()
      const socket = await bound(run, 'socket', { signal: controller.signal })
      controller.abort()
      run.recorder.note('socket', 'aborted')
      await once(socket, 'close')
      controller.abort()
      thrown(run, 'address', () => socket.address())
    },
  },
  {
    name: 'a signal that was aborted before',
    run: async (run) => {
      const socket = watch(run, run.socket({ signal: AbortSignal.abort() }), 'socket')
      thrown(run, 'bind', () => socket.bind(0, run.family.host))
      await once(socket, 'close')
    },
  },
  {
    name: 'a signal after it was closed',
    run: async (run) => {
      const controller = new AbortController()
      const socket = await bound(run, 'socket', { signal: controller.signal })
      socket.close()
      await once(socket, 'close')
      controller.abort()
      await pause(5)
      run.recorder.note('socket', 'quiet')
    },
  },
  {
    name: 'ref and unref, before and after',
    run: async (run) => {
      const socket = await bound(run, 'socket')
      run.recorder.note('socket', socket.unref() === socket, socket.ref() === socket)
      socket.close()
      run.recorder.note('socket', socket.unref() === socket, socket.ref() === socket)
      await once(socket, 'close')
    },
  },
  {
    name: 'close in the callback of send',
    run: async (run) => {
      const { from, to, port } = await pair(run)
      from.send('x', port, run.family.host, () => from.close())
      await Promise.all([once(to, 'message'), once(from, 'close')])
    },
  },
]
