/** Peers: connecting and its order, who is heard, what is refused, and being without one again. */
import type { Socket } from 'node:dgram'
import { once } from 'node:events'
import { bound, message, messages, pair, pause, type Run, type Scenario, thrown, watch } from './scenario.ts'

const WAYS: Record<string, (socket: Socket, run: Run, port: number, done: () => void) => void> = {
  'a port': (socket, _run, port, done) => socket.connect(port, done),
  'a port and an address': (socket, { family }, port, done) => socket.connect(port, family.host, done),
  'an empty address': (socket, _run, port, done) => socket.connect(port, '', done),
  'a name': (socket, _run, port, done) => socket.connect(port, 'localhost', done),
  'a port of text': (socket, { family }, port, done) =>
    socket.connect(String(port) as never, family.host, done),
}

/** A port of the loopback that nobody has. */
async function nobody(run: Run): Promise<number> {
  const socket = run.socket()
  socket.bind(0, run.family.host)
  await once(socket, 'listening')
  const { port } = socket.address()
  run.recorder.name(port, 'NOBODY')
  socket.close()
  return port
}

export const CONNECTING: readonly Scenario[] = [
  ...Object.entries(WAYS).flatMap(([name, connect]) =>
    [false, true].map((first) => ({
      name: `connected: ${name}${first ? ', of a bound socket' : ''}`,
      run: async (run: Run) => {
        const { recorder } = run
        const to = await bound(run, 'to')
        const socket = first ? await bound(run, 'from') : watch(run, run.socket(), 'from')
        connect(socket, run, to.address().port, () => recorder.note('from', 'callback'))
        recorder.note('from', 'called')
        process.nextTick(() => recorder.note('from', 'tick'))
        await once(socket, 'connect')
        recorder.name(socket.address().port, 'FROM')
        recorder.note('from', socket.address(), socket.remoteAddress())
        socket.send('hello')
        await once(to, 'message')
      },
    })),
  ),
  {
    name: 'connected twice, and disconnected twice',
    run: async (run) => {
      const { from, port } = await pair(run)
      from.connect(port, run.family.host)
      thrown(run, 'connecting', () => from.connect(port, run.family.host))
      thrown(run, 'address', () => from.remoteAddress())
      await once(from, 'connect')
      thrown(run, 'connected', () => from.connect(port, run.family.host))
      from.disconnect()
      thrown(run, 'disconnected', () => from.disconnect())
      thrown(run, 'address', () => from.remoteAddress())
      from.connect(port, run.family.other)
      await once(from, 'connect')
      run.recorder.note('from', from.remoteAddress())
    },
  },
  {
    name: 'hears its peer only, until it is disconnected',
    run: async (run) => {
      const { from, to, port } = await pair(run)
      const third = await bound(run, 'third')
      to.connect(from.address().port, run.family.host)
      await once(to, 'connect')
      third.send('from a third', port, run.family.host)
      await pause(5)
      from.send('from the peer', port, run.family.host)
      await messages(to)
      third.send('again', port, run.family.host)
      await pause(5)
    },
  },
  {
    name: 'a port that was picked goes with the peer',
    run: async (run) => {
      const { from, to, port } = await pair(run)
      const before = from.address().port
      from.connect(port, run.family.host)
      await once(from, 'connect')
      from.disconnect()
      run.recorder.note('from', from.address())
      from.send('hello', port, run.family.host)
      const [, { port: after }] = await message(to)
      run.recorder.lines.length = 0
      run.recorder.note('from', from.address().port === after, before === after)
    },
  },
  {
    name: 'a port that was asked for stays',
    run: async (run) => {
      const { to, port } = await pair(run)
      const own = await nobody(run)
      const socket = await bound(run, 'socket', {}, { port: own })
      socket.connect(port, run.family.host)
      await once(socket, 'connect')
      socket.disconnect()
      run.recorder.note('socket', socket.address())
      to.send('hello', own, run.family.host)
      await messages(socket)
    },
  },
  {
    name: 'send of a connected socket takes no address',
    run: async (run) => {
      const { from, to, port } = await pair(run)
      from.connect(port, run.family.host)
      await once(from, 'connect')
      thrown(run, 'port', () => from.send('x', port))
      thrown(run, 'address', () => from.send('x', port, run.family.host))
      thrown(run, 'range', () => from.send('xyz', 1, 1, port))
      from.send('xyz', 1, 1)
      from.send('sent', (...args) => run.recorder.note('callback', ...args))
      await messages(to, 2)
    },
  },
  {
    name: 'sent before it is connected',
    run: async (run) => {
      const { to, port } = await pair(run)
      const socket = watch(run, run.socket(), 'socket')
      socket.connect(port, run.family.host)
      thrown(run, 'send', () => socket.send('too early', (...args) => run.recorder.note('callback', ...args)))
      await pause(5)
      run.recorder.note('to', to.listenerCount('message'))
    },
  },
  {
    name: 'nobody is there: the error comes as an event',
    run: async (run) => {
      const port = await nobody(run)
      const socket = await bound(run, 'socket')
      socket.connect(port, run.family.host)
      await once(socket, 'connect')
      socket.send('hello?', (...args) => run.recorder.note('callback', ...args))
      await once(socket, 'error')
      socket.send('still?')
      await once(socket, 'error')
    },
  },
  {
    name: 'nobody is there: the next send fails',
    run: async (run) => {
      const port = await nobody(run)
      const socket = await bound(run, 'socket')
      socket.connect(port, run.family.host)
      await once(socket, 'connect')
      await pause(5)
      socket.send('hello?', (...args) => run.recorder.note('first', ...args))
      socket.send('still?', (...args) => run.recorder.note('second', ...args))
      await pause(5)
    },
  },
  {
    name: 'nobody is there, and it has no peer: silence',
    run: async (run) => {
      const port = await nobody(run)
      const socket = await bound(run, 'socket')
      socket.send('hello?', port, run.family.host, (...args) => run.recorder.note('callback', ...args))
      await pause(5)
    },
  },
  {
    name: 'to a broadcast address, without leave and with it',
    run: async (run) => {
      const socket = watch(run, run.socket(), 'socket')
      socket.bind(0, run.family.any)
      await once(socket, 'listening')
      socket.connect(7, run.family.broadcast, (...args: unknown[]) => run.recorder.note('callback', ...args))
      await pause(5)
      socket.setBroadcast(true)
      socket.connect(7, run.family.broadcast)
      await once(socket, 'connect')
      run.recorder.note('socket', socket.remoteAddress())
    },
  },
  ...[true, false].map((callback) => ({
    name: `a lookup that fails, ${callback ? 'with' : 'without'} a callback`,
    run: async (run: Run) => {
      const { recorder } = run
      const socket = run.socket({
        lookup: (host: string, _family: unknown, told: (error: Error | null, address?: string) => void) =>
          setImmediate(() => (host === 'name.test' ? told(new Error(`no ${host}`)) : told(null, host))),
      })
      watch(run, socket, 'socket')
      if (callback) socket.connect(7, 'name.test', (...args: unknown[]) => recorder.note('callback', ...args))
      else socket.connect(7, 'name.test')
      await pause(10)
      thrown(run, 'address', () => socket.remoteAddress())
    },
  })),
  {
    name: 'closed while it connects',
    run: async (run) => {
      const socket = watch(run, run.socket(), 'socket')
      socket.connect(7, run.family.host, () => run.recorder.note('socket', 'callback'))
      socket.close()
      await pause(5)
    },
  },
  {
    name: 'two with the same port and different peers',
    run: async (run) => {
      const { from, to, port } = await pair(run)
      const one = await bound(run, 'one', { reuseAddr: true })
      const two = watch(run, run.socket({ reuseAddr: true }), 'two')
      two.bind(one.address().port, run.family.host)
      await once(two, 'listening')
      one.connect(port, run.family.host)
      two.connect(from.address().port, run.family.host)
      await Promise.all([once(one, 'connect'), once(two, 'connect')])
      to.send('for one', one.address().port, run.family.host)
      from.send('for two', one.address().port, run.family.host)
      await Promise.all([messages(one), messages(two)])
    },
  },
  {
    name: 'connectSync, where there is one',
    run: async (run) => {
      const { to, port } = await pair(run)
      const socket = watch(run, run.socket(), 'socket') as Socket & {
        connectSync?: (port: number, address?: string) => unknown
      }
      if (socket.connectSync === undefined) return run.recorder.note('not', 'here')
      run.recorder.note('socket', typeof socket.connectSync(port, run.family.host), socket.remoteAddress())
      thrown(run, 'again', () => socket.connectSync!(port))
      run.recorder.name(socket.address().port, 'SOCKET')
      socket.send('hello')
      await messages(to)
    },
  },
]
