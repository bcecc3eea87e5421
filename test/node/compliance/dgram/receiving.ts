/** Receiving: what is told of a datagram, in which turn, and in whose asynchronous context. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { on, once } from 'node:events'
import net from 'node:net'
import { bound, message, messages, pair, pause, type Scenario } from './scenario.ts'

export const RECEIVING: readonly Scenario[] = [
  {
    name: 'what is told of a datagram',
    run: async (run) => {
      const { from, to, port } = await pair(run)
      from.send('hello', port, run.family.host)
      const [bytes, info] = await message(to)
      run.recorder.note('to', Object.keys(info).join(), Object.getPrototypeOf(info) === Object.prototype)
      run.recorder.note('to', Buffer.isBuffer(bytes), bytes.byteOffset, bytes.buffer.byteLength)
    },
  },
  {
    name: 'each has bytes of its own',
    run: async (run) => {
      const { from, to, port } = await pair(run)
      from.send('one', port, run.family.host)
      from.send('two', port, run.family.host)
      const [one, two] = (await messages(to, 2)).map(([bytes]) => bytes) as [Buffer, Buffer]
      one.fill(0)
      run.recorder.note('to', one, two, one.buffer === two.buffer)
    },
  },
  {
    name: 'an empty one',
    run: async (run) => {
      const { from, to, port } = await pair(run)
      from.send('', port, run.family.host)
      const [bytes] = await message(to)
      run.recorder.note('to', bytes.length, bytes.buffer.byteLength)
    },
  },
  {
    name: 'ticks and promises run between two of a burst, immediates after them',
    run: async (run) => {
      const { from, to, port } = await pair(run)
      const { recorder } = run
      let immediates = 0
      to.on('message', () => {
        process.nextTick(() => recorder.note('to', 'tick'))
        Promise.resolve().then(() => recorder.note('to', 'promise'))
        if (immediates++ === 0) setImmediate(() => recorder.note('immediate', 'one'))
      })
      const arrived = messages(to, 4)
      for (let i = 0; i < 4; i++) from.send(`${i}`, port, run.family.host)
      await arrived
      await pause(5)
    },
  },
  {
    name: 'who closes in the midst of a burst hears no more',
    run: async (run) => {
      const { from, to, port } = await pair(run)
      to.on('message', (bytes) => {
        if (String(bytes) === '1') to.close()
      })
      for (let i = 0; i < 4; i++) from.send(`${i}`, port, run.family.host)
      await once(to, 'close')
      await pause(5)
    },
  },
  {
    name: 'who closes in a tick after one hears no more',
    run: async (run) => {
      const { from, to, port } = await pair(run)
      to.once('message', () => process.nextTick(() => to.close()))
      for (let i = 0; i < 4; i++) from.send(`${i}`, port, run.family.host)
      await once(to, 'close')
      await pause(5)
    },
  },
  {
    name: 'what came while nobody listened is gone',
    run: async (run) => {
      const { from, to, port } = await pair(run)
      to.removeAllListeners('message')
      from.send('unheard', port, run.family.host)
      await pause(5)
      to.on('message', (bytes) => run.recorder.note('to', bytes))
      from.send('heard', port, run.family.host)
      await messages(to)
    },
  },
  {
    name: 'what was sent before the sender closed arrives',
    run: async (run) => {
      const { from, to, port } = await pair(run)
      const arrived = messages(to)
      from.send('last words', port, run.family.host, () => from.close())
      await arrived
    },
  },
  {
    name: 'a listener that is given to createSocket',
    run: async (run) => {
      const from = await bound(run, 'from')
      const to = run.dgram.createSocket(run.family.type, function (this: unknown, bytes, info) {
        run.recorder.note('to', bytes, info, this === to)
      })
      to.bind(0, run.family.host)
      await once(to, 'listening')
      from.send('hello', to.address().port, run.family.host)
      await messages(to)
      to.close()
    },
  },
  {
    name: 'by iteration',
    run: async (run) => {
      const { from, to, port } = await pair(run)
      for (let i = 0; i < 3; i++) from.send(`${i}`, port, run.family.host)
      let left = 3
      for await (const [bytes] of on(to, 'message')) {
        run.recorder.note('iteration', bytes)
        if (--left === 0) break
      }
    },
  },
  {
    name: 'contexts of what is told',
    run: async (run) => {
      const { recorder, family } = run
      const storage = new AsyncLocalStorage<string>()
      const note = (as: string) => (): void => recorder.note(as, storage.getStore())
      const to = await storage.run('made', async () => {
        const socket = run.socket()
        socket.on('message', note('message'))
        await storage.run('bound', async () => {
          socket.bind(0, family.host, note('listening'))
          await once(socket, 'listening')
        })
        return socket
      })
      const from = await storage.run('sender', () => bound(run, 'from'))
      storage.run('sent', () => from.send('x', to.address().port, family.host, note('callback')))
      await messages(to)
      storage.run('closed', () => to.close(note('close')))
      await once(to, 'close')
    },
  },
  {
    name: 'a listener that throws: the others of the burst are heard',
    run: async (run) => {
      const { from, to, port } = await pair(run)
      const listeners = process.listeners('uncaughtException')
      process.removeAllListeners('uncaughtException')
      process.once('uncaughtException', (error) => run.recorder.note('uncaught', error))
      try {
        const arrived = messages(to, 3)
        to.once('message', () => {
          throw new Error('of a listener')
        })
        for (let i = 0; i < 3; i++) from.send(`${i}`, port, run.family.host)
        await arrived
        await pause(5)
      } finally {
        process.removeAllListeners('uncaughtException')
        for (const listener of listeners) process.on('uncaughtException', listener)
      }
    },
  },
  {
    name: 'what a block list keeps out, where there is one',
    run: async (run) => {
      const list = new net.BlockList()
      list.addAddress(run.family.other)
      const to = await bound(run, 'to', { receiveBlockList: list })
      const one = await bound(run, 'one')
      const two = await bound(run, 'two', {}, { address: run.family.other })
      two.send('blocked', to.address().port, run.family.host)
      one.send('heard', to.address().port, run.family.host)
      await messages(to)
      await pause(5)
    },
  },
]
