/** Binding: to what, in which order things are told, and how it fails. */
import type { Socket } from 'node:dgram'
import { once } from 'node:events'
import { bound, messages, pause, type Run, type Scenario, settled, thrown, watch } from './scenario.ts'

/** The version of Node. */
const NODE = Number.parseInt(process.versions.node, 10)

type Bind = (socket: Socket, run: Run, done: () => void) => void

const WAYS: Record<string, Bind> = {
  'nothing said': (socket, _run, done) => socket.bind(done),
  'a port': (socket, _run, done) => socket.bind(0, done),
  'a port and an address': (socket, { family }, done) => socket.bind(0, family.host, done),
  options: (socket, { family }, done) => socket.bind({ port: 0, address: family.host }, done),
  'options, exclusive': (socket, { family }, done) =>
    socket.bind({ port: 0, address: family.other, exclusive: true }, done),
  'options without a port': (socket, { family }, done) => socket.bind({ address: family.host }, done),
  'an empty address': (socket, _run, done) => socket.bind(0, '', done),
  'all addresses': (socket, { family }, done) => socket.bind(0, family.any, done),
  null: (socket, _run, done) => socket.bind(null as never, done),
  'a port of text': (socket, { family }, done) => socket.bind('0' as never, family.host, done),
  'a name': (socket, _run, done) => socket.bind(0, 'localhost', done),
  'a group': (socket, { family }, done) => socket.bind(0, family.group, done),
  'a broadcast address': (socket, { family }, done) => socket.bind(0, family.broadcast, done),
}

const FAILING: Record<string, Bind> = {
  'an address of nobody': (socket, { family }, done) => socket.bind(0, family.foreign, done),
  'an address of nobody, and a port': (socket, { family }, done) => socket.bind(54321, family.foreign, done),
  'an address of the other family': (socket, _run, done) => socket.bind(0, '::1', done),
}

const LOOKUPS: Record<string, (run: Run, callback: (...result: unknown[]) => void) => void> = {
  'gives an address': ({ family }, callback) => callback(null, family.other, 4),
  'gives it at once': ({ family }, callback) => callback(null, family.other, 4),
  fails: (_run, callback) => callback(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' })),
  'gives no address': (_run, callback) => callback(null, 'nonsense', 4),
  'gives nothing': (_run, callback) => callback(null),
  'gives an address of nobody': ({ family }, callback) => callback(null, family.foreign, 4),
}

export const BINDING: readonly Scenario[] = [
  ...Object.entries(WAYS).map(([name, bind]) => ({
    name: `bound: ${name}`,
    run: async (run: Run) => {
      const { recorder } = run
      const socket = watch(run, run.socket(), 'socket')
      bind(socket, run, () => recorder.note('socket', 'callback'))
      recorder.note('socket', 'called')
      process.nextTick(() => recorder.note('socket', 'tick'))
      await once(socket, 'listening')
      recorder.name(socket.address().port, 'PORT')
      recorder.note(
        'socket',
        socket.address(),
        socket.listenerCount('listening'),
        socket.listenerCount('error'),
      )
    },
  })),
  ...Object.entries(FAILING).map(([name, bind]) => ({
    name: `fails: ${name}`,
    run: async (run: Run) => {
      const socket = watch(run, run.socket(), 'socket')
      bind(socket, run, () => run.recorder.note('socket', 'callback'))
      await once(socket, 'error')
      thrown(run, 'address', () => run.recorder.note('address', socket.address()))
      thrown(run, 'setTTL', () => socket.setTTL(5))
      run.recorder.note('socket', socket.listenerCount('listening'))
      socket.bind(0, run.family.host)
      await once(socket, 'listening')
      run.recorder.note('socket', socket.address().address)
    },
  })),
  ...Object.entries(LOOKUPS).map(([name, lookup]) => ({
    name: `a lookup that ${name}`,
    run: async (run: Run) => {
      const { recorder } = run
      const later = name === 'gives it at once' ? (call: () => void): void => call() : setImmediate
      const socket = run.socket({
        lookup: (host: string, family: unknown, callback: (...result: unknown[]) => void) => {
          recorder.note('lookup', host, family)
          later(() => lookup(run, callback))
        },
      })
      watch(run, socket, 'socket').bind(0, 'name.test', () => recorder.note('socket', 'callback'))
      recorder.note('socket', 'called')
      await pause(5)
      thrown(run, 'address', () => recorder.note('address', socket.address().address))
    },
  })),
  {
    name: 'an address in use',
    run: async (run) => {
      const first = await bound(run, 'first')
      for (const [as, address] of Object.entries({ same: run.family.host, all: run.family.any })) {
        const socket = watch(run, run.socket(), as)
        socket.bind(first.address().port, address, () => run.recorder.note(as, 'callback'))
        await once(socket, 'error')
      }
      const other = watch(run, run.socket(), 'other')
      other.bind(first.address().port, run.family.other)
      await once(other, 'listening')
      run.recorder.note('other', other.address())
    },
  },
  {
    name: 'an error without a listener takes the callback away',
    run: async (run) => {
      const first = await bound(run, 'first')
      const socket = run.socket()
      socket.bind(first.address().port, run.family.host, () => run.recorder.note('socket', 'callback'))
      socket.once('error', () => {})
      await once(socket, 'error').catch(() => {})
      await pause(5)
      socket.bind(0, run.family.host)
      await once(socket, 'listening')
      run.recorder.note('socket', socket.listenerCount('listening'))
    },
  },
  ...(
    [
      [true, true],
      [true, false],
      [false, true],
    ] as const
  ).map(([one, two]) => ({
    name: `reuseAddr ${one} and ${two}`,
    run: async (run: Run) => {
      const first = await bound(run, 'first', { reuseAddr: one })
      const second = watch(run, run.socket({ reuseAddr: two }), 'second')
      second.bind(first.address().port, run.family.host)
      await settled(second)
      const sender = run.socket()
      sender.bind(0, run.family.host)
      await once(sender, 'listening')
      run.recorder.name(sender.address().port, 'SENDER')
      const heard = Promise.race([messages(first), messages(second)])
      sender.send('to whom?', first.address().port, run.family.host)
      await heard
    },
  })),
  {
    name: 'reusePort, where there is one',
    run: async (run) => {
      if (NODE < 22) return run.recorder.note('not', 'here')
      const first = await bound(run, 'first', { reusePort: true })
      const second = watch(run, run.socket({ reusePort: true }), 'second')
      second.bind(first.address().port, run.family.host)
      await once(second, 'listening')
      const third = watch(run, run.socket({ reuseAddr: true }), 'third')
      third.bind(first.address().port, run.family.host)
      await once(third, 'error')
    },
  },
  {
    name: 'ipv6Only of IPv4',
    run: async (run) => {
      const socket = watch(run, run.socket({ ipv6Only: true }), 'socket')
      socket.bind(0, run.family.host)
      await settled(socket)
    },
  },
  {
    name: 'bound twice',
    run: async (run) => {
      const socket = watch(run, run.socket(), 'socket')
      socket.bind(0, run.family.host)
      thrown(run, 'bind', () => socket.bind(0, run.family.host))
      await once(socket, 'listening')
      thrown(run, 'bind', () => socket.bind(0, run.family.host))
    },
  },
  {
    name: 'closed in the call that binds',
    run: async (run) => {
      const socket = watch(run, run.socket(), 'socket')
      socket.bind(0, run.family.host, () => run.recorder.note('socket', 'callback'))
      socket.close(() => run.recorder.note('socket', 'closed'))
      await pause(5)
    },
  },
  {
    name: 'closed in listening',
    run: async (run) => {
      const socket = watch(run, run.socket(), 'socket')
      socket.on('listening', () => socket.close())
      socket.bind(0, run.family.host, () => run.recorder.note('socket', 'callback'))
      await once(socket, 'close')
      await pause(5)
    },
  },
  {
    name: 'a port is free again at once',
    run: async (run) => {
      const first = await bound(run, 'first')
      const { port } = first.address()
      first.close()
      const second = watch(run, run.socket(), 'second')
      second.bind(port, run.family.host)
      await once(second, 'listening')
      run.recorder.note('second', second.address())
    },
  },
  {
    name: 'buffer sizes of the options',
    run: async (run) => {
      const socket = await bound(run, 'socket', { recvBufferSize: 9000, sendBufferSize: 12000 })
      run.recorder.note('socket', socket.getRecvBufferSize(), socket.getSendBufferSize())
      socket.setRecvBufferSize(1)
      socket.setSendBufferSize(1)
      run.recorder.note('socket', socket.getRecvBufferSize(), socket.getSendBufferSize())
      socket.setRecvBufferSize(20_000)
      socket.setSendBufferSize(30_000)
      run.recorder.note('socket', socket.getRecvBufferSize(), socket.getSendBufferSize())
    },
  },
  {
    name: 'buffer sizes unless said otherwise',
    run: async (run) => {
      const socket = await bound(run, 'socket')
      run.recorder.note('socket', socket.getRecvBufferSize(), socket.getSendBufferSize())
    },
  },
  {
    name: 'what is joined before it is bound binds it',
    run: async (run) => {
      const socket = watch(run, run.socket(), 'socket')
      socket.addMembership(run.family.group, run.family.host)
      run.recorder.note('socket', socket.address().address, socket.address().port > 0)
      socket.bind(0, run.family.host)
      await once(socket, 'error')
    },
  },
  {
    name: 'bindSync, where there is one',
    run: async (run) => {
      const socket = watch(run, run.socket(), 'socket') as Socket & {
        bindSync?: (options?: object) => { address: string }
      }
      if (socket.bindSync === undefined) return run.recorder.note('not', 'here')
      run.recorder.note('socket', socket.bindSync({ address: run.family.host }).address)
      thrown(run, 'again', () => socket.bindSync!())
      await once(socket, 'listening')
      const another = run.socket() as typeof socket
      const { port } = socket.address()
      run.recorder.name(port, 'PORT')
      thrown(run, 'in use', () => another.bindSync!({ address: run.family.host, port }))
      thrown(run, 'a name', () => another.bindSync!({ address: 'localhost' }))
      thrown(run, 'no options', () => another.bindSync!(5 as never))
    },
  },
]
