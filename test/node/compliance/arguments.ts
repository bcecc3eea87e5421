/** Calls that are wrong, and what is said of them; what the module has; what a fresh socket and server say of themselves. */
import type { Net, Run, Scenario } from './scenario.ts'

type Call = (net: Net, run: Run) => unknown

const THROWING: Record<string, Call> = {
  'connect without a port': (net) => net.connect({} as never),
  'connect() of nothing': (net) => (net.connect as () => unknown)(),
  'connect with a negative port': (net) => net.connect(-1),
  'connect with a port that is too large': (net) => net.connect(65536),
  'connect with a port that is no number': (net) => net.connect({ port: 'x' } as never),
  'connect with a port of NaN': (net) => net.connect({ port: Number.NaN }),
  'connect with a port that is an object': (net) => net.connect({ port: {} } as never),
  'connect with a port that is true': (net) => net.connect({ port: true } as never),
  'connect with a port that is null': (net) => net.connect({ port: null } as never),
  'connect with an empty port': (net) => net.connect({ port: '' } as never),
  'connect with a fraction as port': (net) => net.connect(1.5),
  'connect with a host that is a number': (net) => net.connect({ port: 1, host: 7 } as never),
  'connect with a host that is an object': (net) => net.connect({ port: 1, host: {} } as never),
  'connect with a local address that is none': (net) => net.connect({ port: 1, localAddress: 'x' }),
  'connect with a local port that is text': (net) => net.connect({ port: 1, localPort: 'x' } as never),
  'connect with a lookup that is no function': (net) =>
    net.connect({ port: 1, host: 'x', lookup: 5 } as never),
  'connect with hints that are none': (net) => net.connect({ port: 1, host: 'localhost', hints: 99999 }),
  'connect with autoSelectFamily of text': (net) => net.connect({ port: 1, autoSelectFamily: 'x' } as never),
  'connect with an attempt timeout of 0': (net, { open }) => {
    const socket = net.connect({ port: 1, autoSelectFamily: true, autoSelectFamilyAttemptTimeout: 0 })
    open.push(socket)
  },
  'connect with an attempt timeout below 0': (net) =>
    net.connect({ port: 1, autoSelectFamily: true, autoSelectFamilyAttemptTimeout: -1 }),
  'connect with a signal that is none': (net) => new net.Socket({ signal: 'x' } as never),
  'connect of an array that only looks like arguments': (net) =>
    new net.Socket().connect([{ port: 1 }, () => {}] as never),
  'connect to a path that is a number': (net) => net.connect({ path: 5 } as never),
  'a descriptor below 0': (net) => new net.Socket({ fd: -1 }),
  'a descriptor of text': (net) => new net.Socket({ fd: 'x' } as never),
  'a socket of objects': (net) => new net.Socket({ objectMode: true } as never),
  'a readable side of objects': (net) => new net.Socket({ readableObjectMode: true } as never),
  'a high water mark below 0': (net) => new net.Socket({ highWaterMark: -1 } as never),
  'setTimeout below 0': (net) => new net.Socket().setTimeout(-1),
  'setTimeout of text': (net) => new net.Socket().setTimeout('x' as never),
  'setTimeout of Infinity': (net) => new net.Socket().setTimeout(Number.POSITIVE_INFINITY),
  'setTimeout with a callback that is none': (net) => new net.Socket().setTimeout(1, 5 as never),
  'write of null': (net) => new net.Socket().write(null as never),
  'write of a number': (net) => new net.Socket().write(5 as never),
  'write of an object': (net) => new net.Socket().write({} as never),
  'write with an encoding that is none': (net) => new net.Socket().write('x', 'nothing' as never),
  'setEncoding of nothing': (net) => new net.Socket().setEncoding('nothing' as never),
  'a server whose options are text': (net) => new net.Server('x' as never),
  'a server whose options are a number': (net) => net.createServer(5 as never),
  'a server with a listener that is none': (net) => net.createServer({}, 5 as never),
  'a server with a high water mark that is none': (net) => net.createServer({ highWaterMark: 'x' } as never),
  'listen at a negative port': (net) => net.createServer().listen(-1),
  'listen at a port that is too large': (net) => net.createServer().listen(65536),
  'listen at a port of text': (net) => net.createServer().listen({ port: 'x' } as never),
  'listen at a fraction': (net) => net.createServer().listen(1.5),
  'listen with a port that is an object': (net) => net.createServer().listen({ port: {} } as never),
  'listen with empty options': (net) => net.createServer().listen({} as never),
  'listen at a path that is a number': (net) => net.createServer().listen({ path: -1 } as never),
  'listen at a path that is a number in text': (net) => net.createServer().listen({ path: '5' }),
  'listen at true': (net) => net.createServer().listen(true as never),
  'listen with a host and no port': (net) => net.createServer().listen({ host: 'localhost' } as never),
  'listen at NaN': (net) => net.createServer().listen({ port: Number.NaN }),
  'listen with a signal that is none': (net) => net.createServer().listen({ port: 0, signal: 'x' } as never),
  'a block list with a rule that is none': (net) => new net.BlockList().addAddress('x'),
  'a block list with a prefix that is too long': (net) => new net.BlockList().addSubnet('10.0.0.0', 33),
  'a socket address that is none': (net) => new net.SocketAddress({ address: 'x' }),
  'setDefaultAutoSelectFamily of text': (net) => net.setDefaultAutoSelectFamily('x' as never),
  'setDefaultAutoSelectFamilyAttemptTimeout of 0': (net) => net.setDefaultAutoSelectFamilyAttemptTimeout(0),
}

const VALUES: Record<string, Call> = {
  'the names of the module': (net) => Object.keys(net).sort().join(),
  'isIP, isIPv4 and isIPv6': (net) =>
    ['1.2.3.4', '::1', 'x', '', '1.2.3', '::ffff:1.2.3.4']
      .map((each) => `${net.isIP(each)}${net.isIPv4(each)}${net.isIPv6(each)}`)
      .join(),
  'Stream is Socket': (net) => (net as unknown as { Stream: unknown }).Stream === net.Socket,
  'connect is createConnection': (net) => net.connect === net.createConnection || 'one each',
  'classes can be called': (net) => [
    (net.Socket as unknown as () => unknown)() instanceof net.Socket,
    (net.Server as unknown as () => unknown)() instanceof net.Server,
  ],
  'names of classes': (net) => [net.Socket.name, net.Server.name, new net.Socket().constructor.name],
  'arity of functions': (net) => [
    net.Socket.length,
    net.Server.length,
    net.connect.length,
    net.createServer.length,
  ],
  'a class derived from Socket': (net) => {
    class Mine extends net.Socket {}
    const socket = new Mine()
    return [socket instanceof Mine, socket instanceof net.Socket, socket.constructor.name]
  },
  'a class derived from Server': (net) => {
    class Mine extends net.Server {}
    return [new Mine() instanceof net.Server, new Mine().listening]
  },
  'what a fresh socket says': (net) => {
    const socket = new net.Socket()
    return [
      socket.pending,
      socket.connecting,
      socket.readyState,
      socket.destroyed,
      socket.bytesRead,
      socket.bytesWritten,
      socket.bufferSize,
      socket.remoteAddress,
      socket.remoteFamily,
      socket.remotePort,
      socket.localAddress,
      socket.localPort,
      socket.localFamily,
      socket.timeout,
      socket.allowHalfOpen,
      socket.readableHighWaterMark,
      socket.writableHighWaterMark,
      socket.autoSelectFamilyAttemptedAddresses,
    ].join()
  },
  'address() of a fresh socket': (net) => new net.Socket().address() as object,
  'what a fresh server says': (net) => {
    const server = net.createServer()
    return [server.listening, server.address(), server.maxConnections, server.connections].join()
  },
  'methods give the socket': (net) => {
    const socket = new net.Socket()
    return [
      socket.setTimeout(0) === socket,
      socket.setNoDelay() === socket,
      socket.setKeepAlive() === socket,
      socket.ref() === socket,
      socket.unref() === socket,
      socket.pause() === socket,
      socket.resume() === socket,
    ].join()
  },
  'a high water mark': (net) => new net.Socket({ highWaterMark: 5 } as never).readableHighWaterMark,
  'the default of autoSelectFamily': (net) => [
    net.getDefaultAutoSelectFamily(),
    net.getDefaultAutoSelectFamilyAttemptTimeout(),
  ],
  'a block list': (net) => {
    const list = new net.BlockList()
    list.addSubnet('10.0.0.0', 8)
    return [list.check('10.1.2.3'), list.check('11.1.2.3'), list.rules.join()]
  },
  'a socket address': (net) => {
    const { address, port, family, flowlabel } = new net.SocketAddress({ address: '10.0.0.1', port: 5 })
    return [address, port, family, flowlabel]
  },
  'close of a server that does not listen': (net) =>
    new Promise((resolve) => net.createServer().close((error) => resolve(error))),
  'getConnections of a fresh server': (net) =>
    new Promise((resolve) => net.createServer().getConnections((error, count) => resolve([error, count]))),
  'resetAndDestroy of a fresh socket': (net) =>
    new Promise((resolve) => {
      const socket = new net.Socket()
      socket.on('error', resolve)
      socket.resetAndDestroy()
    }),
  'write to a fresh socket that is destroyed': (net) =>
    new Promise((resolve) => {
      const socket = new net.Socket()
      socket.destroy()
      socket.on('error', () => {})
      socket.write('x', resolve)
    }),
  'events of a fresh socket that is destroyed': (net) =>
    new Promise((resolve) => new net.Socket().destroy().on('close', (...args) => resolve(args))),
  'events of a fresh socket that is destroyed with an error': (net) =>
    new Promise((resolve) => new net.Socket().on('error', resolve).destroy(new Error('mine'))),
  'inherited members of a socket': (net) => {
    const names = new Set<string>()
    for (let at = net.Socket.prototype; at !== null; at = Object.getPrototypeOf(at)) {
      for (const name of Object.getOwnPropertyNames(at)) names.add(name)
    }
    return [...names].sort().join()
  },
  'inherited members of a server': (net) => {
    const names = new Set<string>()
    for (let at = net.Server.prototype; at !== null; at = Object.getPrototypeOf(at)) {
      for (const name of Object.getOwnPropertyNames(at)) names.add(name)
    }
    return [...names].sort().join()
  },
}

export const ARGUMENTS: readonly Scenario[] = [
  ...Object.entries(THROWING).map(([name, call]) => ({
    name,
    run: (run: Run) => {
      try {
        const result = call(run.net, run)
        if (result !== null && typeof result === 'object' && 'destroy' in result) {
          run.open.push((result as import('node:net').Socket).on('error', () => {}))
        }
        run.recorder.note('returned')
      } catch (error) {
        run.recorder.note('threw', error)
      }
    },
  })),
  ...Object.entries(VALUES).map(([name, call]) => ({
    name,
    run: async (run: Run) => run.recorder.note('value', await call(run.net, run)),
  })),
]
