/** Scenarios of `dgram`: what is bound, sent, received, asked for and refused, and what is said of it. */
import type { Socket } from 'node:dgram'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Recorder } from './recorder.ts'
import { type Family, pause } from './scenario.ts'

export type Dgram = typeof import('node:dgram')

export interface DatagramRun {
  readonly dgram: Dgram
  readonly family: Family
  readonly recorder: Recorder
  /** A socket whose events are noted under a name; closed when the scenario is over. */
  socket(as: string, options?: Partial<import('node:dgram').SocketOptions>): Socket
  /** A socket that is bound, its port named after it in capitals. */
  bound(
    as: string,
    options?: Partial<import('node:dgram').SocketOptions>,
  ): Promise<{ socket: Socket; port: number }>
}

type Scenario = (run: DatagramRun) => Promise<void> | void
type Call = (run: DatagramRun) => unknown

/** What is thrown, or given. */
const CALLS: Record<string, Call> = {
  'createSocket of nothing': ({ dgram }) => dgram.createSocket(undefined as never),
  'createSocket of a type that is none': ({ dgram }) => dgram.createSocket('udp5' as never),
  'createSocket of null': ({ dgram }) => dgram.createSocket(null as never),
  'createSocket of a number': ({ dgram }) => dgram.createSocket(4 as never),
  'createSocket of empty options': ({ dgram }) => dgram.createSocket({} as never),
  'a lookup that is no function': ({ dgram }) => dgram.createSocket({ type: 'udp4', lookup: 5 } as never),
  'a receive buffer of text': ({ dgram }) =>
    dgram.createSocket({ type: 'udp4', recvBufferSize: 'x' } as never),
  'a send buffer below 0': ({ dgram }) => dgram.createSocket({ type: 'udp4', sendBufferSize: -1 }),
  'a signal that is none': ({ dgram }) => dgram.createSocket({ type: 'udp4', signal: 'x' } as never),
  'a class derived from Socket': ({ dgram }) => {
    class Mine extends (dgram.Socket as unknown as new (type: string) => Socket) {}
    const made = new Mine('udp4')
    made.close()
    return [made instanceof Mine, made instanceof dgram.Socket, made.constructor.name]
  },
  'names and arity': ({ dgram }) => [
    Object.keys(dgram).sort().join(),
    dgram.Socket.name,
    dgram.createSocket.name,
    dgram.Socket.length,
    dgram.createSocket.length,
  ],
  'what a fresh socket has': ({ socket }) => {
    const made = socket('x') as Socket & { type: string }
    return [made.type, made.getSendQueueCount?.(), made.getSendQueueSize?.(), typeof made.ref()]
  },
  'address() before bind': ({ socket }) => socket('x').address(),
  'remoteAddress() before connect': ({ socket }) => socket('x').remoteAddress(),
  'disconnect() before connect': ({ socket }) => socket('x').disconnect(),
  'connect to port 0': ({ socket }) => socket('x').connect(0),
  'connect to a port that is too large': ({ socket }) => socket('x').connect(65536),
  'connect to text': ({ socket }) => socket('x').connect('x' as never),
  'connect with an address that is a number': ({ socket }) => socket('x').connect(1, 5 as never),
  'setBroadcast before bind': ({ socket }) => socket('x').setBroadcast(true),
  'setTTL before bind': ({ socket }) => socket('x').setTTL(5),
  'setTTL of text': ({ socket }) => socket('x').setTTL('x' as never),
  'setMulticastTTL before bind': ({ socket }) => socket('x').setMulticastTTL(5),
  'setMulticastLoopback before bind': ({ socket }) => socket('x').setMulticastLoopback(true),
  'setMulticastInterface before bind': ({ socket, family }) => socket('x').setMulticastInterface(family.host),
  'setMulticastInterface of a number': ({ socket }) => socket('x').setMulticastInterface(5 as never),
  'addMembership of nothing': ({ socket }) => socket('x').addMembership(undefined as never),
  'dropMembership of nothing': ({ socket }) => socket('x').dropMembership(undefined as never),
  'getRecvBufferSize before bind': ({ socket }) => socket('x').getRecvBufferSize(),
  'getSendBufferSize before bind': ({ socket }) => socket('x').getSendBufferSize(),
  'setRecvBufferSize before bind': ({ socket }) => socket('x').setRecvBufferSize(4096),
  'setRecvBufferSize below 0': ({ socket }) => socket('x').setRecvBufferSize(-1),
  'setRecvBufferSize of text': ({ socket }) => socket('x').setRecvBufferSize('x' as never),
  'send of nothing': ({ socket }) => (socket('x').send as () => void)(),
  'send of a number': ({ socket }) => socket('x').send(5 as never, 1, 'localhost'),
  'send of an array with a number': ({ socket }) => socket('x').send([5] as never, 1, 'localhost'),
  'send to port 0': ({ socket }) => socket('x').send('x', 0),
  'send to a port that is too large': ({ socket }) => socket('x').send('x', 65536),
  'send to a port below 0': ({ socket }) => socket('x').send('x', -1),
  'send without a port': ({ socket }) => socket('x').send('x'),
  'send with an offset beyond': ({ socket }) => socket('x').send(Buffer.alloc(5), 6, 1, 1),
  'send with a length beyond': ({ socket }) => socket('x').send(Buffer.alloc(5), 1, 5, 1),
  'send to an address that is a number': ({ socket }) => socket('x').send('x', 1, 5 as never),
  'bind twice': ({ socket }) => {
    const made = socket('x')
    made.bind(0)
    made.bind(0)
  },
  'bind to a port that is too large': ({ socket }) => socket('x').bind(65536),
  'close twice': ({ socket }) => {
    const made = socket('x')
    made.close()
    made.close()
  },
  'send after close': ({ socket }) => {
    const made = socket('x')
    made.close()
    made.send('x', 1)
  },
  'bind after close': ({ socket }) => {
    const made = socket('x')
    made.close()
    made.bind()
  },
  'ref and unref give the socket': ({ socket }) => {
    const made = socket('x')
    return [made.ref() === made, made.unref() === made]
  },
  'bind gives the socket': ({ socket }) => {
    const made = socket('x')
    return made.bind(0) === made
  },
  'close gives the socket': ({ socket }) => {
    const made = socket('x')
    return made.close() === made
  },
}

/** Options of a bound socket: what they give, or what is thrown. */
const BOUND_CALLS: Record<string, (socket: Socket, run: DatagramRun) => unknown> = {
  'setTTL of 0': (socket) => socket.setTTL(0),
  'setTTL of 1': (socket) => socket.setTTL(1),
  'setTTL of 255': (socket) => socket.setTTL(255),
  'setTTL of 256': (socket) => socket.setTTL(256),
  'setMulticastTTL of 0': (socket) => socket.setMulticastTTL(0),
  'setMulticastTTL of 255': (socket) => socket.setMulticastTTL(255),
  'setMulticastTTL of 256': (socket) => socket.setMulticastTTL(256),
  'setMulticastTTL of -1': (socket) => socket.setMulticastTTL(-1),
  'setMulticastTTL of -2': (socket) => socket.setMulticastTTL(-2),
  'setMulticastLoopback of false': (socket) => socket.setMulticastLoopback(false),
  'setBroadcast of true': (socket) => socket.setBroadcast(true),
  'setMulticastInterface of an address that is none': (socket) => socket.setMulticastInterface('x'),
  'setMulticastInterface of nobody’s address': (socket, { family }) =>
    socket.setMulticastInterface(family.foreign),
  'setMulticastInterface of loopback': (socket, { family }) => socket.setMulticastInterface(family.host),
  'setMulticastInterface of any': (socket, { family }) => socket.setMulticastInterface(family.any),
  'addMembership of no group': (socket, { family }) => socket.addMembership(family.host, family.host),
  'addMembership of text': (socket) => socket.addMembership('x'),
  'addMembership on nobody’s address': (socket, { family }) =>
    socket.addMembership('239.1.2.3', family.foreign),
  'addMembership on text': (socket) => socket.addMembership('239.1.2.3', 'x'),
  'addMembership twice': (socket, { family }) => {
    socket.addMembership('239.1.2.3', family.host)
    socket.addMembership('239.1.2.3', family.host)
  },
  'dropMembership of what was not joined': (socket, { family }) =>
    socket.dropMembership('239.1.2.3', family.host),
  'addMembership and dropMembership': (socket, { family }) => {
    socket.addMembership('239.1.2.3', family.host)
    socket.dropMembership('239.1.2.3', family.host)
  },
  'receive buffer': (socket) => {
    socket.setRecvBufferSize(10_000)
    return socket.getRecvBufferSize()
  },
  'a small receive buffer': (socket) => {
    socket.setRecvBufferSize(1)
    return socket.getRecvBufferSize()
  },
  'send buffer': (socket) => {
    socket.setSendBufferSize(10_000)
    return socket.getSendBufferSize()
  },
  'a small send buffer': (socket) => {
    socket.setSendBufferSize(1)
    return socket.getSendBufferSize()
  },
  'sizes of buffers at first': (socket) => [socket.getRecvBufferSize(), socket.getSendBufferSize()],
  'too large a buffer': (socket) => socket.setRecvBufferSize(2 ** 31),
  'remoteAddress of one without a peer': (socket) => socket.remoteAddress(),
  'disconnect of one without a peer': (socket) => socket.disconnect(),
  'bind of what is bound': (socket) => socket.bind(0),
}

const message = (socket: Socket): Promise<unknown> => once(socket, 'message')

/** Waits for a callback, and notes what it was called with. */
const noted = (
  recorder: Recorder,
  as: string,
  call: (done: (...what: unknown[]) => void) => void,
): Promise<void> =>
  new Promise((resolve) =>
    call((...what) => {
      recorder.note(as, 'called', ...what)
      resolve()
    }),
  )

const EVENTS: Record<string, Scenario> = {
  'bind, listening, address': async ({ recorder, bound }) => {
    const { socket } = await bound('a')
    recorder.note('a', socket.address())
  },
  'bind with a callback': async ({ recorder, socket, family }) => {
    const made = socket('a')
    await noted(recorder, 'a', (done) => made.bind(0, family.host, done))
    recorder.note('a', made.address().address)
  },
  'bind with options': async ({ recorder, socket, family }) => {
    const made = socket('a')
    made.bind({ port: 0, address: family.other, exclusive: true })
    await once(made, 'listening')
    recorder.note('a', made.address().address)
  },
  'bind to any': async ({ recorder, socket }) => {
    const made = socket('a')
    made.bind()
    await once(made, 'listening')
    recorder.note('a', made.address().address, made.address().port > 0)
  },
  'bind to nobody’s address': async ({ socket, family }) => {
    const made = socket('a')
    made.bind(0, family.foreign)
    await once(made, 'error')
  },
  'bind to a name that there is not': async ({ socket }) => {
    const made = socket('a', {
      lookup: (_name, _options, callback) => process.nextTick(callback, new Error('no such name'), '', 4),
    })
    made.bind(0, 'nobody.invalid')
    await once(made, 'error')
  },
  'bind to a name': async ({ recorder, socket, family }) => {
    const made = socket('a', {
      lookup: (name, _options, callback) => {
        recorder.note('a', 'lookup', name)
        process.nextTick(callback, null, family.other, 4)
      },
    })
    made.bind(0, 'some.name')
    await once(made, 'listening')
    recorder.note('a', made.address().address)
  },
  'bind to localhost': async ({ recorder, socket }) => {
    const made = socket('a')
    made.bind(0, 'localhost')
    await once(made, 'listening')
    recorder.note('a', made.address().address)
  },
  'bind to a port in use': async ({ recorder, bound, socket, family }) => {
    const { port } = await bound('a')
    const other = socket('b')
    other.bind(port, family.host)
    await once(other, 'error')
    recorder.note('b', 'again')
    other.bind(0, family.host)
    await once(other, 'listening')
  },
  'reuseAddr shares a port, and the latest hears': async ({ bound, socket, family, recorder }) => {
    const { port } = await bound('a', { reuseAddr: true })
    const other = socket('b', { reuseAddr: true })
    other.bind(port, family.host)
    await once(other, 'listening')
    const sender = socket('c')
    sender.send('hello', port, family.host)
    await message(other)
    recorder.note('c', 'done')
  },
  'close before bind is done': async ({ socket, family }) => {
    const made = socket('a')
    made.bind(0, family.host)
    made.close()
    await once(made, 'close')
    await pause(10)
  },
  'close with a callback': async ({ recorder, bound }) => {
    const { socket } = await bound('a')
    await noted(recorder, 'a', (done) => socket.close(done))
  },
  'asyncDispose closes': async ({ bound }) => {
    const { socket } = await bound('a')
    await (socket as Socket & AsyncDisposable)[Symbol.asyncDispose]?.()
  },
  'a signal closes': async ({ bound }) => {
    const controller = new AbortController()
    const { socket } = await bound('a', { signal: controller.signal } as never)
    setImmediate(() => controller.abort())
    await once(socket, 'close')
  },
  'a signal that has aborted closes': async ({ socket }) => {
    const made = socket('a', { signal: AbortSignal.abort() } as never)
    await once(made, 'close')
  },
  'text, there and back': async ({ bound, family, recorder }) => {
    const { socket: server, port } = await bound('server')
    server.on('message', (bytes, from) => server.send(bytes, from.port, from.address))
    const { socket: client } = await bound('client')
    client.send('häßlich', port, family.host, (error, sent) => recorder.note('client', 'sent', error, sent))
    await message(client)
  },
  'an empty datagram': async ({ bound, family, recorder }) => {
    const { socket: server, port } = await bound('server')
    const { socket: client } = await bound('client')
    client.send('', port, family.host, (error, sent) => recorder.note('client', 'sent', error, sent))
    await message(server)
  },
  'an empty list': async ({ bound, family, recorder }) => {
    const { socket: server, port } = await bound('server')
    const { socket: client } = await bound('client')
    client.send([], port, family.host, (error, sent) => recorder.note('client', 'sent', error, sent))
    await message(server)
  },
  'what is sent may be text, a Buffer, typed arrays, a view, or a list': async ({
    bound,
    family,
    recorder,
  }) => {
    const { socket: server, port } = await bound('server')
    const { socket: client } = await bound('client')
    const sent: unknown[] = [
      'text',
      Buffer.from('buffer'),
      new Uint8Array([1, 2, 3]),
      new Uint16Array([0x4241, 0x4443]),
      new DataView(new Uint8Array([7, 8, 9]).buffer, 1),
      ['a', Buffer.from('b'), new Uint8Array([99])],
    ]
    for (const each of sent) {
      client.send(each as Uint8Array, port, family.host, (error, n) =>
        recorder.note('client', 'sent', error, n),
      )
      await message(server)
    }
  },
  'a part of a buffer': async ({ bound, family }) => {
    const { socket: server, port } = await bound('server')
    const { socket: client } = await bound('client')
    client.send(Buffer.from('0123456789'), 3, 4, port, family.host)
    await message(server)
    client.send('0123456789', 2, 3, port, family.host)
    await message(server)
  },
  'a buffer is the receiver’s own': async ({ bound, family, recorder }) => {
    const { socket: server, port } = await bound('server')
    const { socket: client } = await bound('client')
    const bytes = Buffer.from('before')
    client.send(bytes, port, family.host)
    const [first] = (await message(server)) as [Buffer]
    bytes.fill('x')
    recorder.note('server', first, first.byteOffset === 0, first.buffer.byteLength)
  },
  'many, in order': async ({ bound, family, recorder }) => {
    const { socket: server, port } = await bound('server')
    const { socket: client } = await bound('client')
    let n = 0
    const done = new Promise<void>((resolve) => server.on('message', () => ++n === 100 && resolve()))
    for (let i = 0; i < 100; i++) client.send(`${i}`, port, family.host)
    await done
    recorder.note('server', n)
  },
  'promises and ticks run between two messages': async ({ bound, family, recorder }) => {
    const { socket: server, port } = await bound('server')
    const { socket: client } = await bound('client')
    let n = 0
    const done = new Promise<void>((resolve) =>
      server.on('message', () => {
        const i = ++n
        process.nextTick(() => recorder.note('server', 'tick', i))
        void Promise.resolve().then(() => {
          recorder.note('server', 'promise', i)
          if (i === 3) resolve()
        })
      }),
    )
    for (let i = 0; i < 3; i++) client.send(`${i}`, port, family.host)
    await done
  },
  'the largest datagram': async ({ bound, family, recorder }) => {
    const { socket: server, port } = await bound('server', {})
    const { socket: client } = await bound('client')
    server.removeAllListeners('message')
    client.send(Buffer.alloc(65507, 'x'), port, family.host, (error, n) => recorder.note('client', error, n))
    const [bytes, from] = (await message(server)) as [Buffer, { size: number }]
    recorder.note('server', bytes.length, from.size)
  },
  'too large a datagram': async ({ bound, family, recorder }) => {
    const { port } = await bound('server')
    const { socket: client } = await bound('client')
    await noted(recorder, 'client', (done) => client.send(Buffer.alloc(65508), port, family.host, done))
    client.send(Buffer.alloc(65508), port, family.host)
    await pause(20)
  },
  'send binds by itself': async ({ bound, socket, family, recorder }) => {
    const { socket: server, port } = await bound('server')
    const client = socket('client')
    client.send('x', port, family.host)
    recorder.note('client', 'asked')
    await message(server)
    recorder.note('client', client.address().address)
  },
  'sends that wait for the binding keep their order': async ({ bound, socket, family }) => {
    const { socket: server, port } = await bound('server')
    const client = socket('client')
    for (const each of ['a', 'b', 'c']) client.send(each, port, family.host)
    await message(server)
    await pause(10)
  },
  'send to localhost': async ({ bound, socket }) => {
    const { socket: server, port } = await bound('server')
    socket('client').send('x', port)
    await message(server)
  },
  'send to a name that there is not': async ({ socket, recorder, family }) => {
    const client = socket('client', {
      lookup: (name, _options, callback) =>
        process.nextTick(callback, name === family.any ? null : new Error('no'), name, 4),
    })
    await noted(recorder, 'client', (done) => client.send('x', 9, 'nobody.invalid', done))
    client.send('x', 9, 'nobody.invalid')
    await pause(20)
  },
  'send to a broadcast address is refused': async ({ bound, recorder }) => {
    const { socket: client } = await bound('client')
    await noted(recorder, 'client', (done) => client.send('x', 9, '127.255.255.255', done))
    client.setBroadcast(true)
    await noted(recorder, 'client', (done) => client.send('x', 9, '127.255.255.255', done))
  },
  'closing while sends wait for the binding': async ({ bound, socket, family, recorder }) => {
    const { port } = await bound('server')
    const client = socket('client')
    client.send('x', port, family.host, (error) => recorder.note('client', 'sent', error))
    client.close()
    await pause(20)
  },
  'a datagram to oneself': async ({ bound, family }) => {
    const { socket, port } = await bound('a')
    socket.send('me', port, family.host)
    await message(socket)
  },
  connected: async ({ bound, socket, family, recorder }) => {
    const { socket: server, port } = await bound('server')
    const client = socket('client')
    client.connect(port, family.host, () => recorder.note('client', 'called'))
    await once(client, 'connect')
    recorder.note('client', client.remoteAddress())
    client.send('x', (error, n) => recorder.note('client', 'sent', error, n))
    const [, from] = (await message(server)) as [Buffer, AddressInfo]
    recorder.note('server', from.port === client.address().port, from.address)
  },
  'connected: a port or address is refused': async ({ bound, socket, family }) => {
    const { port } = await bound('server')
    const client = socket('client')
    client.connect(port, family.host)
    await once(client, 'connect')
    client.send('x', port, family.host)
    await pause(10)
  },
  'connected: again': async ({ bound, socket, family }) => {
    const { port } = await bound('server')
    const client = socket('client')
    client.connect(port, family.host)
    await once(client, 'connect')
    client.connect(port, family.host)
  },
  'connected: disconnect, and another peer': async ({ bound, socket, family, recorder }) => {
    const { port } = await bound('server')
    const { socket: other, port: otherPort } = await bound('other')
    const client = socket('client')
    client.connect(port, family.host)
    await once(client, 'connect')
    client.disconnect()
    client.connect(otherPort, family.host)
    await once(client, 'connect')
    // The kernel picks another port then, so that what it sends has one without a name.
    recorder.name(client.address().port, 'CLIENT')
    client.send('x')
    await message(other)
    recorder.note('client', client.remoteAddress().family)
  },
  'connected: hears its peer alone': async ({ bound, socket, family, recorder }) => {
    const { socket: server, port } = await bound('server')
    const { socket: stranger } = await bound('stranger')
    const client = socket('client')
    client.connect(port, family.host)
    await once(client, 'connect')
    const own = client.address().port
    stranger.send('stranger', own, family.host)
    await pause(10)
    server.send('peer', own, family.host)
    await message(client)
    recorder.note('client', 'done')
  },
  'connected: nobody there is an error': async ({ bound, socket, family, recorder }) => {
    const { socket: server, port } = await bound('server')
    server.close()
    await once(server, 'close')
    const client = socket('client')
    client.connect(port, family.host)
    await once(client, 'connect')
    client.send('x', (error, n) => recorder.note('client', 'sent', error, n))
    await once(client, 'error')
    await pause(10)
  },
  'not connected: nobody there is no error': async ({ bound, socket, family, recorder }) => {
    const { socket: server, port } = await bound('server')
    server.close()
    await once(server, 'close')
    const client = socket('client')
    await noted(recorder, 'client', (done) => client.send('x', port, family.host, done))
    await pause(10)
  },
  'connect to a name that there is not': async ({ socket }) => {
    const client = socket('client', {
      lookup: (_name, _options, callback) => process.nextTick(callback, new Error('no'), '', 4),
    })
    client.connect(9, 'nobody.invalid')
    await once(client, 'error')
  },
  'connect to a broadcast address': async ({ socket }) => {
    const client = socket('client')
    client.connect(9, '127.255.255.255')
    await once(client, 'error')
  },
  'a listener that throws does not lose what follows': async ({ bound, family, recorder }) => {
    const { socket: server, port } = await bound('server')
    const { socket: client } = await bound('client')
    client.send('1', port, family.host)
    await message(server)
    server.once('message', () => recorder.note('server', 'once'))
    client.send('2', port, family.host)
    client.send('3', port, family.host)
    await message(server)
    await pause(10)
  },
  'sizes of buffers by options': async ({ bound, recorder }) => {
    const { socket } = await bound('a', { recvBufferSize: 20_000, sendBufferSize: 30_000 })
    recorder.note('a', socket.getRecvBufferSize(), socket.getSendBufferSize())
  },
  'a group of this host': async ({ socket, family, recorder }) => {
    const member = socket('member', { reuseAddr: true })
    member.bind(0)
    await once(member, 'listening')
    const { port } = member.address()
    recorder.name(port, 'GROUP')
    member.addMembership('239.7.7.7', family.host)
    const sender = socket('sender')
    sender.bind(0, family.host)
    await once(sender, 'listening')
    sender.setMulticastInterface(family.host)
    sender.send('to all', port, '239.7.7.7')
    await message(member)
    member.dropMembership('239.7.7.7', family.host)
  },
  'diagnostics: a socket is published': async ({ socket, recorder }) => {
    const { subscribe, unsubscribe } = await import('node:diagnostics_channel')
    const heard = (): void => recorder.note('channel', 'udp.socket')
    subscribe('udp.socket', heard)
    socket('a')
    unsubscribe('udp.socket', heard)
  },
}

export const DATAGRAMS: readonly { name: string; run: Scenario }[] = [
  ...Object.entries(CALLS).map(([name, call]) => ({
    name,
    run: (run: DatagramRun) => attempt(run, () => call(run)),
  })),
  ...Object.entries(BOUND_CALLS).map(([name, call]) => ({
    name,
    run: async (run: DatagramRun) => {
      const { socket } = await run.bound('x')
      attempt(run, () => call(socket, run))
    },
  })),
  ...Object.entries(EVENTS).map(([name, scenario]) => ({
    name,
    run: async (run: DatagramRun) => {
      try {
        await scenario(run)
      } catch (error) {
        run.recorder.note('scenario', 'threw', error)
      }
    },
  })),
]

function attempt({ recorder }: DatagramRun, call: () => unknown): void {
  try {
    const value = call()
    recorder.note('call', typeof value === 'object' && value !== null && 'on' in value ? 'a socket' : value)
  } catch (error) {
    recorder.note('call', error)
  }
}
