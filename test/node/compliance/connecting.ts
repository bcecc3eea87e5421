/** Connecting: what comes in which order, and how it fails. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { closed, listening, pair, pause, type Run, type Scenario } from './scenario.ts'

const FAILING: Record<string, (run: Run) => import('node:net').TcpNetConnectOpts> = {
  'nobody listens': ({ family }) => ({ port: 1, host: family.host }),
  'nobody listens at port 0': ({ family }) => ({ port: 0, host: family.host }),
  'nobody listens at the other address': ({ family }) => ({ port: 1, host: family.other }),
  'an address of all of them': ({ family }) => ({ port: 1, host: family.any }),
  'from an address that is not of this host': ({ family }) => ({
    port: 1,
    host: family.host,
    localAddress: family.foreign,
  }),
  'from the other address': ({ family }) => ({ port: 1, host: family.host, localAddress: family.other }),
  'a lookup that fails': () => ({
    port: 1,
    host: 'name.test',
    lookup: (_name, _options, callback) =>
      callback(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }), '', 0),
  }),
  'a lookup that gives no address': () => ({
    port: 1,
    host: 'name.test',
    lookup: (_name, _options, callback) => setImmediate(callback, null, 'nonsense', 4),
  }),
  'a lookup that gives a family that is none': ({ family }) => ({
    port: 1,
    host: 'name.test',
    autoSelectFamily: false,
    lookup: (_name, _options, callback) => setImmediate(callback, null, family.host, 100),
  }),
  'a lookup that gives two addresses': ({ family }) => ({
    port: 1,
    host: 'name.test',
    lookup: (_name, _options, callback) =>
      setImmediate(callback, null, [
        { address: family.host, family: 4 },
        { address: family.other, family: 4 },
      ]),
  }),
  'a lookup without autoSelectFamily': ({ family }) => ({
    port: 1,
    host: 'name.test',
    autoSelectFamily: false,
    lookup: (_name, _options, callback) => setImmediate(callback, null, family.host, 4),
  }),
}

export const CONNECTING: readonly Scenario[] = [
  ...Object.entries(FAILING).map(([name, options]) => ({
    name: `fails: ${name}`,
    run: async (run: Run) => {
      const socket = run.recorder.socket(run.net.connect(options(run)), 'client')
      for (const event of ['connectionAttempt', 'connectionAttemptFailed', 'connectionAttemptTimeout']) {
        socket.on(event, (...args) => run.recorder.note('client', event, ...args))
      }
      run.open.push(socket)
      run.recorder.note('client', 'now', socket.connecting, socket.pending, socket.readyState)
      await closed(socket)
      run.recorder.note(
        'client',
        'after',
        socket.connecting,
        socket.pending,
        socket.readyState,
        socket.destroyed,
      )
    },
  })),
  ...(['connect', 'listener', 'options', 'host', 'string port', 'new Socket'] as const).map((how) => ({
    name: `events of both ends (${how})`,
    run: async (run: Run) => {
      const { net, recorder, family, open } = run
      const { server, port } = await listening(run, {}, (socket) => {
        recorder.name(socket.remotePort!, 'CLIENT')
        recorder.socket(socket, 'accepted')
        recorder.note(
          'accepted',
          socket.remoteAddress,
          socket.remoteFamily,
          socket.remotePort,
          socket.localAddress,
        )
        recorder.note('accepted', socket.localPort, socket.address(), socket.readyState, socket.pending)
        socket.end('hello')
      })
      const done = (): void => recorder.note('client', 'callback')
      const client = {
        connect: () => net.connect(port, done as never),
        listener: () => net.connect({ port }, done),
        options: () => net.createConnection({ port, host: family.host }, done),
        host: () => net.connect(port, family.host, done),
        'string port': () => net.connect({ port: String(port) as never }, done),
        'new Socket': () => new net.Socket().connect(port, family.host, done),
      }[how]()
      open.push(client)
      recorder.socket(client, 'client')
      client.on('connectionAttempt', (ip, at, kind) => recorder.note('client', 'attempt', ip, at, kind))
      await once(client, 'connect')
      recorder.name(client.localPort!, 'CLIENT')
      recorder.note(
        'client',
        client.remoteAddress,
        client.remoteFamily,
        client.remotePort,
        client.localAddress,
      )
      recorder.note('client', client.localPort, client.address(), client.readyState, client.pending)
      await closed(client)
      recorder.note('client', client.bytesRead, client.bytesWritten, client.readyState, client.remoteAddress)
      server.close()
      await closed(server)
    },
  })),
  {
    name: 'from a port and address of its own',
    run: async (run) => {
      const { client, accepted } = await pair(run, {}, { localAddress: run.family.other })
      run.recorder.note('client', client.localAddress, client.localPort)
      run.recorder.note('accepted', accepted.remoteAddress, accepted.remotePort)
    },
  },
  {
    name: 'a name through lookup, with its event',
    run: async (run) => {
      const { port } = await listening(run)
      const client = run.net.connect({
        port,
        host: 'name.test',
        lookup: (name, options, callback) => {
          run.recorder.note('lookup', name, options.all === true)
          if (options.all === true) setImmediate(callback, null, [{ address: run.family.host, family: 4 }])
          else setImmediate(callback, null, run.family.host, 4)
        },
      })
      run.open.push(client)
      run.recorder.socket(client, 'client')
      await once(client, 'ready')
      run.recorder.note('client', client.autoSelectFamilyAttemptedAddresses)
    },
  },
  {
    name: 'localhost',
    run: async (run) => {
      const { port } = await listening(run)
      const client = run.net.connect({ port, host: 'localhost', family: 4 })
      run.open.push(client)
      client.on('lookup', (...args) => run.recorder.note('lookup', ...args))
      await once(client, 'connect')
      run.recorder.note('client', client.remoteAddress)
    },
  },
  {
    name: 'the second of two addresses',
    run: async (run) => {
      const { port } = await listening(run)
      const client = run.net.connect({
        port,
        host: 'name.test',
        lookup: (_name, _options, callback) =>
          setImmediate(callback, null, [
            { address: run.family.other, family: 4 },
            { address: run.family.host, family: 4 },
          ]),
      })
      run.open.push(client)
      for (const event of ['connectionAttempt', 'connectionAttemptFailed']) {
        client.on(event, (...args) => run.recorder.note('client', event, ...args))
      }
      run.recorder.socket(client, 'client')
      await once(client, 'connect')
      run.recorder.note('client', client.remoteAddress, client.autoSelectFamilyAttemptedAddresses?.length)
    },
  },
  {
    name: 'destroyed while it connects',
    run: async (run) => {
      const { port } = await listening(run)
      const client = run.recorder.socket(run.net.connect(port, run.family.host), 'client')
      run.open.push(client)
      client.destroy()
      run.recorder.note('client', client.connecting, client.destroyed, client.pending, client.readyState)
      await closed(client)
    },
  },
  {
    name: 'destroyed in the listener of connect',
    run: async (run) => {
      const { port } = await listening(run)
      const client = run.recorder.socket(run.net.connect(port, run.family.host), 'client')
      run.open.push(client)
      client.once('connect', () => client.destroy(new Error('enough')))
      await closed(client)
    },
  },
  {
    name: 'aborted before and while it connects',
    run: async (run) => {
      const { port } = await listening(run)
      const before = new AbortController()
      before.abort()
      const first = run.recorder.socket(run.net.connect({ port, signal: before.signal }), 'first')
      run.open.push(first)
      await new Promise((resolve) => first.once('ready', resolve)) // it is closed, and connects all the same
      const controller = new AbortController()
      const second = run.recorder.socket(run.net.connect({ port, signal: controller.signal }), 'second')
      controller.abort()
      await closed(second)
    },
  },
  {
    name: 'written before it is connected',
    run: async (run) => {
      const { recorder } = run
      const { port } = await listening(run, {}, (socket) => recorder.socket(socket, 'accepted'))
      const client = recorder.socket(run.net.connect(port, run.family.host), 'client')
      run.open.push(client)
      recorder.note(
        'client',
        client.write('one', () => recorder.note('client', 'written')),
        client.bytesWritten,
      )
      recorder.note('client', client.write(Buffer.from('two')), client.bytesWritten, client.writableLength)
      client.end('three')
      await once(client, 'finish')
      recorder.note('client', client.bytesWritten)
      await closed(client)
    },
  },
  {
    name: 'written, and then the connection is refused',
    run: async (run) => {
      const { recorder } = run
      const client = recorder.socket(run.net.connect(1, run.family.host), 'client')
      client.write('one', (error) => recorder.note('write', error))
      client.end('two', () => recorder.note('end called'))
      await closed(client)
    },
  },
  {
    name: 'connected again after it was closed',
    run: async (run) => {
      const { recorder } = run
      const { port } = await listening(run, {}, (socket) => void socket.end('x'))
      const client = recorder.socket(run.net.connect(port, run.family.host), 'client')
      run.open.push(client)
      await closed(client)
      client.connect(port, run.family.host)
      await closed(client)
      recorder.note('client', client.bytesRead, client.destroyed)
    },
  },
  {
    name: 'connect of a socket that is connected',
    run: async (run) => {
      const { client, port } = await pair(run)
      run.recorder.socket(client, 'client')
      try {
        client.connect(port, run.family.host)
        await pause(10)
      } catch (error) {
        run.recorder.note('threw', error)
      }
    },
  },
  {
    name: 'the asynchronous context is that of connect, of listen and of write',
    run: async (run) => {
      const { recorder, net, family, open } = run
      const storage = new AsyncLocalStorage<string>()
      const server = net.createServer()
      open.push(server)
      server.on('connection', (socket) => {
        recorder.note('connection', storage.getStore())
        socket.on('data', () => recorder.note('accepted data', storage.getStore()))
        storage.run('answer', () => socket.write('x', () => recorder.note('answered', storage.getStore())))
      })
      storage.run('listen', () => server.listen(0, family.host))
      await once(server, 'listening')
      const { port } = server.address() as import('node:net').AddressInfo
      const client = storage.run('connect', () => {
        const socket = net.connect(port, family.host)
        socket.on('connect', () => recorder.note('connect', storage.getStore()))
        socket.on('data', () => recorder.note('data', storage.getStore()))
        socket.on('close', () => recorder.note('close', storage.getStore()))
        return socket
      })
      open.push(client)
      storage.run('write', () => client.write('y', () => recorder.note('written', storage.getStore())))
      await once(client, 'data')
      client.destroy()
      await closed(client)
    },
  },
  {
    name: 'ticks and promises run between two events',
    run: async (run) => {
      const { recorder, net, family, open } = run
      const { port } = await listening(run)
      const sockets = ['first', 'second'].map((name) => {
        const socket = net.connect(port, family.host, () => {
          recorder.note(name, 'connect')
          process.nextTick(() => recorder.note(name, 'tick'))
          void Promise.resolve().then(() => recorder.note(name, 'promise'))
        })
        open.push(socket)
        return once(socket, 'ready')
      })
      await Promise.all(sockets)
      await pause(5)
    },
  },
  ...[false, true].map((blocked) => ({
    name: `a block list that ${blocked ? 'has' : 'has not'} the address`,
    run: async (run: Run) => {
      const { port } = await listening(run)
      const blockList = new run.net.BlockList()
      blockList.addAddress(blocked ? run.family.host : run.family.other)
      const client = run.recorder.socket(
        run.net.connect({ port, host: run.family.host, blockList } as never),
        'client',
      )
      run.open.push(client)
      client.once('connect', () => client.destroy())
      await closed(client)
    },
  })),
]
