/** Servers: the ways to listen, what they say, limits, and how they end. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { closed, listening, pair, pause, type Run, type Scenario } from './scenario.ts'

const WAYS: Record<string, (run: Run, callback: () => void) => unknown[]> = {
  'port, host and callback': ({ family }, callback) => [0, family.host, callback],
  'port, host, backlog and callback': ({ family }, callback) => [0, family.host, 5, callback],
  'port as text': ({ family }, callback) => ['0', family.host, callback],
  options: ({ family }, callback) => [{ port: 0, host: family.host }, callback],
  'options with backlog and exclusive': ({ family }, callback) => [
    { port: 0, host: family.host, backlog: 3, exclusive: true },
    callback,
  ],
  'options and ipv6Only': ({ family }, callback) => [
    { port: 0, host: family.host, ipv6Only: true },
    callback,
  ],
  'all addresses': ({ family }, callback) => [0, family.any, callback],
  'a name': (_run, callback) => [0, 'localhost', callback],
}

const FAILURES: Record<string, (run: Run, port: number) => unknown[]> = {
  'a port in use': ({ family }, port) => [port, family.host],
  'a port in use, and all addresses': ({ family }, port) => [port, family.any],
  'an address that is not of this host': ({ family }) => [0, family.foreign],
  'an address that is not of this host, with a port': ({ family }) => [4567, family.foreign],
}

const listen = (server: import('node:net').Server, args: unknown[]): unknown =>
  Reflect.apply(server.listen as (...args: unknown[]) => unknown, server, args)

export const LISTENING: readonly Scenario[] = [
  ...Object.entries(WAYS).map(([name, args]) => ({
    name: `listens: ${name}`,
    run: async (run: Run) => {
      const { recorder, net, open } = run
      const server = recorder.server(net.createServer())
      open.push(server)
      recorder.note(
        'gives itself',
        listen(
          server,
          args(run, () => recorder.note('server', 'callback')),
        ) === server,
      )
      recorder.note('server', 'now', server.listening)
      if (!server.listening || server.address() === null) await once(server, 'listening')
      const { address, family, port } = server.address() as AddressInfo
      recorder.note('server', address, family, port > 0, server.listening)
      server.close(() => recorder.note('server', 'closed'))
      recorder.note('server', 'closing', server.listening, server.address())
      await closed(server)
      await pause(1)
    },
  })),
  ...Object.entries(FAILURES).map(([name, args]) => ({
    name: `fails to listen: ${name}`,
    run: async (run: Run) => {
      const { recorder, net, open } = run
      const { port } = await listening(run)
      const server = recorder.server(net.createServer())
      open.push(server)
      listen(server, args(run, port))
      await once(server, 'error').catch(() => {})
      await pause(2)
      recorder.note('server', server.listening, server.address())
    },
  })),
  {
    name: 'listens again after a port was in use',
    run: async (run) => {
      const { recorder, net, open, family } = run
      const { port } = await listening(run)
      const server = recorder.server(net.createServer())
      open.push(server)
      server.once('error', () => server.listen(0, family.host))
      server.listen(port, family.host)
      await new Promise((resolve) => server.once('listening', resolve))
    },
  },
  {
    name: 'listen while it listens',
    run: async (run) => {
      const { server } = await listening(run)
      try {
        server.listen(0)
      } catch (error) {
        run.recorder.note('threw', error)
      }
    },
  },
  {
    name: 'closed twice',
    run: async (run) => {
      const { server } = await listening(run)
      run.recorder.server(server)
      server.close((error) => run.recorder.note('first', error))
      server.close((error) => run.recorder.note('second', error))
      await closed(server)
      await pause(1)
    },
  },
  {
    name: 'closed in the call that listens',
    run: async (run) => {
      const server = run.recorder.server(run.net.createServer())
      server.listen(0, run.family.host)
      server.close((error) => run.recorder.note('closed', error))
      await pause(5)
      run.recorder.note('server', server.listening)
    },
  },
  {
    name: 'listens, closes and listens again',
    run: async (run) => {
      const { server } = await listening(run)
      run.recorder.server(server)
      run.open.push(server)
      server.close()
      await closed(server)
      server.listen(0, run.family.host)
      await once(server, 'listening')
      run.recorder.note('server', server.listening)
    },
  },
  {
    name: 'closes when the last connection does',
    run: async (run) => {
      const { server, client, accepted } = await pair(run)
      run.recorder.server(server)
      server.close(() => run.recorder.note('server', 'callback'))
      await pause(3)
      run.recorder.note('server', 'still open', server.listening)
      accepted.on('close', () => run.recorder.note('server', 'accepted closed'))
      client.end()
      accepted.resume()
      client.resume()
      await closed(server)
      await pause(5)
    },
  },
  {
    name: 'refuses who comes after close',
    run: async (run) => {
      const { server, port } = await listening(run)
      server.close()
      await closed(server)
      const client = run.recorder.socket(run.net.connect(port, run.family.host), 'client')
      await closed(client)
    },
  },
  {
    name: 'asyncDispose',
    run: async (run) => {
      const { server } = await listening(run)
      run.recorder.server(server)
      await (server as unknown as AsyncDisposable)[Symbol.asyncDispose]()
      run.recorder.note('server', 'disposed', server.listening)
    },
  },
  {
    name: 'a signal that is aborted closes it',
    run: async (run) => {
      const controller = new AbortController()
      const server = run.recorder.server(run.net.createServer())
      server.listen({ port: 0, host: run.family.host, signal: controller.signal })
      await once(server, 'listening')
      controller.abort()
      await closed(server)
    },
  },
  {
    name: 'a signal that was aborted before',
    run: async (run) => {
      const server = run.recorder.server(run.net.createServer())
      server.listen({ port: 0, host: run.family.host, signal: AbortSignal.abort() })
      await closed(server)
    },
  },
  {
    name: 'getConnections',
    run: async (run) => {
      const { server, client } = await pair(run)
      const count = (): Promise<unknown> =>
        new Promise((resolve) => server.getConnections((error, number) => resolve([error, number])))
      run.recorder.note('server', await count())
      client.destroy()
      await pause(10)
      run.recorder.note('server', await count())
    },
  },
  {
    name: 'maxConnections',
    run: async (run) => {
      const { server, port } = await pair(run)
      run.recorder.server(server)
      server.maxConnections = 1
      server.on('drop', (data) =>
        run.recorder.note('drop', data?.localAddress, data?.localFamily, data?.remoteAddress),
      )
      const client = run.recorder.socket(run.net.connect(port, run.family.host), 'client')
      run.open.push(client)
      client.resume()
      await closed(client)
    },
  },
  {
    name: 'maxConnections of 0',
    run: async (run) => {
      const { server, port } = await listening(run)
      run.recorder.server(server)
      server.maxConnections = 0
      const client = run.recorder.socket(run.net.connect(port, run.family.host), 'client')
      run.open.push(client)
      await Promise.race([closed(client), pause(50)])
    },
  },
  ...(['noDelay', 'keepAlive', 'allowHalfOpen', 'pauseOnConnect'] as const).map((option) => ({
    name: `the option ${option} of a server`,
    run: async (run: Run) => {
      const { accepted, client } = await pair(run, { [option]: true, keepAliveInitialDelay: 5000 })
      run.recorder.note('accepted', accepted.allowHalfOpen, accepted.isPaused(), accepted.readableFlowing)
      client.end('x')
      run.recorder.socket(accepted, 'accepted', { data: false })
      accepted.resume()
      await (option === 'allowHalfOpen' ? once(accepted, 'end') : closed(accepted))
      run.recorder.note('accepted', accepted.readyState, accepted.writable)
    },
  })),
  {
    name: 'a high water mark of a server',
    run: async (run) => {
      const { accepted } = await pair(run, { highWaterMark: 1000 } as never)
      run.recorder.note('accepted', accepted.readableHighWaterMark, accepted.writableHighWaterMark)
    },
  },
  {
    name: 'ten connections are accepted in order',
    run: async (run) => {
      const { port } = await listening(run, {}, (socket) =>
        socket.on('data', (data) => run.recorder.note('data', data)),
      )
      for (let i = 0; i < 10; i++) {
        const client = run.net.connect(port, run.family.host)
        run.open.push(client)
        await once(client, 'connect')
        client.write(String(i))
        await pause(1)
      }
      await pause(5)
    },
  },
  ...[true, false].map((accept) => ({
    name: `listeners of connection: ${accept ? 'one given to createServer' : 'none'}`,
    run: async (run: Run) => {
      const { server, port } = await listening(
        run,
        {},
        accept ? () => run.recorder.note('listener') : undefined,
      )
      run.recorder.note('server', server.listenerCount('connection'))
      const client = run.recorder.socket(run.net.connect(port, run.family.host), 'client')
      run.open.push(client)
      await once(client, 'connect')
      await pause(2)
    },
  })),
]
