/** Sending: what of, how much, to whom, and what the callback is told. */
import type { Socket } from 'node:dgram'
import { once } from 'node:events'
import net from 'node:net'
import { bound, message, messages, pair, pause, type Run, type Scenario, watch } from './scenario.ts'

/** The version of Node. */
const NODE = Number.parseInt(process.versions.node, 10)

const TEXT = 'aé€z'
const BYTES = Buffer.from([0, 1, 2, 127, 128, 255])

const DATA: Record<string, unknown> = {
  text: TEXT,
  'empty text': '',
  'a Buffer': BYTES,
  'a Uint8Array': new Uint8Array(BYTES),
  'a part of a Uint8Array': new Uint8Array(BYTES).subarray(2, 4),
  'an Int8Array': Int8Array.of(-1, 2),
  'a Uint16Array': Uint16Array.of(0x0102, 0x0304),
  'a Float64Array': Float64Array.of(1.5),
  'a DataView': new DataView(new Uint8Array(BYTES).buffer, 1, 3),
  'a list of texts': ['one', '', 'two€'],
  'a list of Buffers': [BYTES, Buffer.alloc(0), BYTES],
  'a list of all sorts': ['one', BYTES, Uint16Array.of(5, 6), new DataView(new ArrayBuffer(2))],
  'a list of one': ['one'],
  'an empty list': [],
  'a list of nothing': [Buffer.alloc(0)],
}

const PARTS: Record<string, (socket: Socket, port: number, host: string, done: () => void) => void> = {
  'of a Buffer': (socket, port, host, done) => socket.send(BYTES, 1, 3, port, host, done),
  'of a text': (socket, port, host, done) => socket.send(TEXT, 1, 2, port, host, done),
  'of no length': (socket, port, host, done) => socket.send(BYTES, 3, 0, port, host, done),
  'up to the end': (socket, port, host, done) => socket.send(BYTES, 2, 4, port, host, done),
  'from text that is a number': (socket, port, host, done) =>
    socket.send(BYTES, '1' as never, '2' as never, port, host, done),
  'of a DataView': (socket, port, host, done) =>
    socket.send(new DataView(new Uint8Array(BYTES).buffer, 1) as never, 1, 2, port, host, done),
  'of a Uint16Array': (socket, port, host, done) =>
    socket.send(Uint16Array.of(1, 2, 3) as never, 2, 2, port, host, done),
}

const SIZES = [0, 1, 100, 1472, 1473, 9000, 32_768, 65_506, 65_507]
const TOO_LARGE = [65_508, 70_000, 300_000]

const pattern = (length: number): Buffer =>
  Buffer.from(Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff))

export const SENDING: readonly Scenario[] = [
  ...Object.entries(DATA).map(([name, data]) => ({
    name: `sent: ${name}`,
    run: async (run: Run) => {
      const { from, to, port } = await pair(run)
      const callback = (...args: unknown[]): void => run.recorder.note('callback', ...args)
      from.send(data as string, port, run.family.host, callback)
      run.recorder.note('callback', 'called')
      await messages(to)
    },
  })),
  ...Object.entries(PARTS).map(([name, send]) => ({
    name: `a part ${name}`,
    run: async (run: Run) => {
      const { from, to, port } = await pair(run)
      send(from, port, run.family.host, (...args: unknown[]) => run.recorder.note('callback', ...args))
      await messages(to)
    },
  })),
  ...SIZES.map((size) => ({
    name: `${size} bytes`,
    run: async (run: Run) => {
      const from = await bound(run, 'from')
      const to = run.socket()
      to.bind(0, run.family.host)
      await once(to, 'listening')
      const sent = pattern(size)
      from.send(sent, to.address().port, run.family.host, (...args) => run.recorder.note('callback', ...args))
      const [got, { size: said }] = await message(to)
      run.recorder.note('to', got.equals(sent), said)
    },
  })),
  ...TOO_LARGE.map((size) => ({
    name: `${size} bytes are too many`,
    run: async (run: Run) => {
      const { from, port } = await pair(run)
      from.send(pattern(size), port, run.family.host, (...args) => run.recorder.note('callback', ...args))
      from.send(pattern(size), port, run.family.host)
      await pause(5)
    },
  })),
  {
    name: 'the default address',
    run: async (run) => {
      const { from, to, port } = await pair(run)
      for (const address of [undefined, null, '']) from.send(`to ${address}`, port, address as never)
      await messages(to, 3)
    },
  },
  {
    name: 'the callback in the place of the address',
    run: async (run) => {
      const { from, to, port } = await pair(run)
      from.send('x', port, (...args) => run.recorder.note('callback', ...args))
      from.send(BYTES, 0, 2, port, (...args) => run.recorder.note('callback', ...args))
      await messages(to, 2)
    },
  },
  {
    name: 'to 0.0.0.0, which is this host',
    run: async (run) => {
      const from = await bound(run, 'from')
      const to = watch(run, run.socket(), 'to')
      to.bind(0, run.family.any)
      await once(to, 'listening')
      from.send('x', to.address().port, run.family.any)
      await messages(to)
    },
  },
  {
    name: 'before it is bound: in order, from a port of its own',
    run: async (run) => {
      const { to, port } = await pair(run)
      const socket = watch(run, run.socket(), 'socket')
      for (const each of ['a', 'b', 'c']) {
        socket.send(each, port, run.family.host, (...args) => run.recorder.note('callback', each, ...args))
      }
      run.recorder.note('socket', socket.getSendQueueSize(), socket.getSendQueueCount())
      const got = to.listenerCount('message')
      await once(socket, 'listening')
      run.recorder.name(socket.address().port, 'SOCKET')
      await messages(to, 3)
      run.recorder.note('socket', got, socket.address().address)
    },
  },
  {
    name: 'before it is bound, and then bound',
    run: async (run) => {
      const { to, port } = await pair(run)
      const socket = run.socket()
      socket.bind(0, run.family.host)
      socket.send('early', port, run.family.host)
      await once(socket, 'listening')
      run.recorder.name(socket.address().port, 'SOCKET')
      await messages(to)
    },
  },
  {
    name: 'to a name',
    run: async (run) => {
      const { from, to, port } = await pair(run)
      from.send('x', port, 'localhost', (...args) => run.recorder.note('callback', ...args))
      await messages(to)
    },
  },
  {
    name: 'through a lookup of its own',
    run: async (run) => {
      const to = await bound(run, 'to')
      const socket = await bound(run, 'from', {
        lookup: (host: string, family: unknown, callback: (error: null, address: string) => void) => {
          run.recorder.note('lookup', host, family)
          setImmediate(callback, null, host === 'name.test' ? run.family.host : host)
        },
      })
      socket.send('x', to.address().port, 'name.test')
      await messages(to)
    },
  },
  ...['fails', 'gives nonsense', 'gives an address of the other family'].map((how) => ({
    name: `to a name whose lookup ${how}`,
    run: async (run: Run) => {
      const { recorder } = run
      const socket = await bound(run, 'from', {
        lookup: (host: string, _: unknown, callback: (error: Error | null, address?: string) => void) => {
          if (host !== 'name.test') return setImmediate(callback, null, host)
          if (how === 'fails') return setImmediate(callback, new Error('no such name'))
          return setImmediate(callback, null, how === 'gives nonsense' ? 'nonsense' : '::1')
        },
      })
      socket.send('x', 9, 'name.test', (...args) => recorder.note('callback', ...args))
      socket.send('x', 9, 'name.test')
      await pause(5)
    },
  })),
  {
    name: 'to an address of the other family',
    run: async (run) => {
      const { from, port } = await pair(run)
      from.send('x', port, '::1', (...args) => run.recorder.note('callback', ...args))
      await pause(5)
    },
  },
  {
    name: 'to a broadcast address, without leave and with it',
    run: async (run) => {
      const from = await bound(run, 'from', {}, { address: run.family.any })
      const [one, two] = [
        await bound(run, 'one', { reuseAddr: true }, { address: run.family.any }),
        watch(run, run.socket({ reuseAddr: true }), 'two'),
      ]
      const { port } = one.address()
      two.bind(port, run.family.any)
      await once(two, 'listening')
      const callback = (...args: unknown[]): void => run.recorder.note('callback', ...args)
      from.send('forbidden', port, run.family.broadcast, callback)
      await pause(5)
      from.setBroadcast(true)
      from.send('allowed', port, run.family.broadcast, callback)
      await Promise.all([messages(one), messages(two)])
      from.setBroadcast(false)
      from.send('forbidden again', port, run.family.broadcast, callback)
      await pause(5)
    },
  },
  {
    name: 'a burst arrives in order',
    run: async (run) => {
      const { from, to, port } = await pair(run)
      const arrived = messages(to, 64)
      for (let i = 0; i < 64; i++) from.send(`datagram ${i}`, port, run.family.host)
      await arrived
    },
  },
  {
    name: 'to and fro',
    run: async (run) => {
      const { from, to, port } = await pair(run)
      to.on('message', (bytes, { port: back, address }) => to.send(`${bytes}!`, back, address))
      from.on('message', (bytes) => {
        if (bytes.length < 20) from.send(bytes, port, run.family.host)
      })
      const arrived = messages(from, 19)
      from.send('x', port, run.family.host)
      await arrived
    },
  },
  {
    name: 'to itself, again and again from the callback',
    run: async (run) => {
      const socket = await bound(run, 'socket')
      let left = 20
      const again = (error: Error | null, bytes: number): void => {
        run.recorder.note('callback', error, bytes)
        if (left-- > 0) socket.send('x', socket.address().port, run.family.host, again)
      }
      const arrived = messages(socket, 20)
      again(null, 0)
      await arrived
    },
  },
  {
    name: 'bytes that are changed after the call',
    run: async (run) => {
      const { from, to, port } = await pair(run)
      const bytes = Buffer.from('before')
      await new Promise((resolve) => from.send(bytes, port, run.family.host, resolve))
      bytes.fill(0)
      await messages(to)
    },
  },
  {
    name: 'what a block list keeps back, where there is one',
    run: async (run) => {
      if (NODE < 22) return run.recorder.note('not', 'here')
      const list = new net.BlockList()
      list.addAddress(run.family.other)
      const to = await bound(run, 'to')
      const from = await bound(run, 'from', { sendBlockList: list })
      const callback = (...args: unknown[]): void => run.recorder.note('callback', ...args)
      from.send('to it', to.address().port, run.family.host, callback)
      from.send('not to it', to.address().port, run.family.other, callback)
      from.connect(to.address().port, run.family.other, callback)
      await pause(5)
    },
  },
]
