/** Calls that are wrong, and what is said of them; what the module has; what a fresh socket says of itself. */
import type { Socket } from 'node:dgram'
import net from 'node:net'
import { type Dgram, pause, type Run, type Scenario, thrown } from './scenario.ts'

const CREATING: Record<string, (dgram: Dgram) => Socket> = {
  'without a type': (dgram) => (dgram.createSocket as () => Socket)(),
  'of another type': (dgram) => dgram.createSocket('udp' as never),
  'of type null': (dgram) => dgram.createSocket(null as never),
  'of a number': (dgram) => dgram.createSocket(4 as never),
  'with options without a type': (dgram) => dgram.createSocket({} as never),
  'with options of another type': (dgram) => dgram.createSocket({ type: 'udp5' } as never),
  'with a listener that is none': (dgram) => dgram.createSocket('udp4', 5 as never),
  'with a lookup that is no function': (dgram) => dgram.createSocket({ type: 'udp4', lookup: 5 as never }),
  'with a lookup that is null': (dgram) => dgram.createSocket({ type: 'udp4', lookup: null as never }),
  'with a receive buffer below 0': (dgram) => dgram.createSocket({ type: 'udp4', recvBufferSize: -1 }),
  'with a receive buffer of text': (dgram) =>
    dgram.createSocket({ type: 'udp4', recvBufferSize: 'x' as never }),
  'with a send buffer of a fraction': (dgram) => dgram.createSocket({ type: 'udp4', sendBufferSize: 1.5 }),
  'with a signal that is none': (dgram) => dgram.createSocket({ type: 'udp4', signal: 'x' as never }),
  'with a signal that is an object': (dgram) => dgram.createSocket({ type: 'udp4', signal: {} as never }),
  'with a block list that is none': (dgram) =>
    dgram.createSocket({ type: 'udp4', receiveBlockList: {}, sendBlockList: 'x' } as never),
  'with a block list to send by that is none': (dgram) =>
    dgram.createSocket({ type: 'udp4', sendBlockList: 'x' } as never),
}

const CALLS: Record<string, (socket: Socket) => unknown> = {
  'address()': (socket) => socket.address(),
  'remoteAddress()': (socket) => socket.remoteAddress(),
  'disconnect()': (socket) => socket.disconnect(),
  'connect()': (socket) => (socket.connect as () => void)(),
  'connect to port 0': (socket) => socket.connect(0),
  'connect to a port that is too large': (socket) => socket.connect(65536),
  'connect to a port of text': (socket) => socket.connect('x' as never),
  'connect to an address that is a number': (socket) => socket.connect(1, 5 as never),
  'send()': (socket) => (socket.send as () => void)(),
  'send of nothing': (socket) => socket.send(undefined as never, 1),
  'send of a number': (socket) => socket.send(5 as never, 1),
  'send of an object': (socket) => socket.send({} as never, 1),
  'send of an ArrayBuffer': (socket) => socket.send(new ArrayBuffer(5) as never, 1),
  'send without a port': (socket) => (socket.send as (text: string) => void)('x'),
  'send to port 0': (socket) => socket.send('x', 0),
  'send to a port below 0': (socket) => socket.send('x', -1),
  'send to a port that is too large': (socket) => socket.send('x', 65536),
  'send to a port of text': (socket) => socket.send('x', 'y' as never),
  'send to a fraction': (socket) => socket.send('x', 1.5),
  'send to an address that is a number': (socket) => socket.send('x', 1, 5 as never),
  'send to an address that is an object': (socket) => socket.send('x', 1, {} as never),
  'send past the end': (socket) => socket.send(Buffer.alloc(4), 5, 1, 1),
  'send more than there is': (socket) => socket.send(Buffer.alloc(4), 1, 4, 1),
  'send from below 0': (socket) => socket.send(Buffer.alloc(4), -1, 1, 1),
  'send of a list with a number': (socket) => socket.send(['x', 5] as never, 1),
  setBroadcast: (socket) => socket.setBroadcast(true),
  setTTL: (socket) => socket.setTTL(5),
  'setTTL of text': (socket) => socket.setTTL('x' as never),
  'setTTL of 0': (socket) => socket.setTTL(0),
  'setTTL of 256': (socket) => socket.setTTL(256),
  'setTTL of NaN': (socket) => socket.setTTL(Number.NaN),
  setMulticastTTL: (socket) => socket.setMulticastTTL(5),
  'setMulticastTTL of text': (socket) => socket.setMulticastTTL('x' as never),
  'setMulticastTTL of 256': (socket) => socket.setMulticastTTL(256),
  'setMulticastTTL of -1': (socket) => socket.setMulticastTTL(-1),
  setMulticastLoopback: (socket) => socket.setMulticastLoopback(true),
  'setMulticastInterface of nothing': (socket) => (socket.setMulticastInterface as () => void)(),
  'setMulticastInterface of a number': (socket) => socket.setMulticastInterface(5 as never),
  'setMulticastInterface of a name': (socket) => socket.setMulticastInterface('eth0'),
  'setMulticastInterface of an address': (socket) => socket.setMulticastInterface('127.0.0.1'),
  'addMembership of nothing': (socket) => (socket.addMembership as () => void)(),
  'addMembership of a name': (socket) => socket.addMembership('x'),
  'addMembership of an address that is no group': (socket) => socket.addMembership('127.0.0.1', '127.0.0.1'),
  'addMembership at what is no address': (socket) => socket.addMembership('239.1.2.3', 'x'),
  'addMembership at an address of nobody': (socket) => socket.addMembership('239.1.2.3', '192.0.2.77'),
  'dropMembership of nothing': (socket) => (socket.dropMembership as () => void)(),
  'dropMembership of what was not joined': (socket) => socket.dropMembership('239.1.2.3', '127.0.0.1'),
  'dropMembership at an address of nobody': (socket) => socket.dropMembership('239.1.2.3', '192.0.2.77'),
  'addSourceSpecificMembership of a number': (socket) =>
    socket.addSourceSpecificMembership(5 as never, '232.1.1.1'),
  'addSourceSpecificMembership of no group': (socket) =>
    socket.addSourceSpecificMembership('127.0.0.1', 5 as never),
  'addSourceSpecificMembership of names': (socket) => socket.addSourceSpecificMembership('x', 'y'),
  'addSourceSpecificMembership at an address of nobody': (socket) =>
    socket.addSourceSpecificMembership('127.0.0.1', '232.1.1.1', '192.0.2.77'),
  'dropSourceSpecificMembership of what was not joined': (socket) =>
    socket.dropSourceSpecificMembership('127.0.0.1', '232.1.1.1', '127.0.0.1'),
  'setRecvBufferSize below 0': (socket) => socket.setRecvBufferSize(-1),
  'setRecvBufferSize of text': (socket) => socket.setRecvBufferSize('x' as never),
  'setSendBufferSize that is too large': (socket) => socket.setSendBufferSize(0xffffffff),
  getRecvBufferSize: (socket) => socket.getRecvBufferSize(),
  getSendBufferSize: (socket) => socket.getSendBufferSize(),
  getSendQueueSize: (socket) => socket.getSendQueueSize(),
  getSendQueueCount: (socket) => socket.getSendQueueCount(),
  'ref and unref': (socket) => [socket.unref() === socket, socket.ref() === socket],
}

const VALUES: Record<string, (run: Run) => unknown> = {
  'the names of the module': ({ dgram }) => Object.keys(dgram).sort().join(),
  'createSocket as a constructor': ({ dgram, family }) => {
    const Made = dgram.createSocket as unknown as new (type: string) => Socket
    return new Made(family.type) instanceof dgram.Socket
  },
  'names of classes and functions': (run) => [
    run.dgram.Socket.name,
    run.dgram.createSocket.name,
    run.socket().constructor.name,
  ],
  'arity of functions': ({ dgram }) => [dgram.Socket.length, dgram.createSocket.length],
  'inherited members of a socket': ({ dgram }) => {
    const names = new Set<string>()
    for (let at = dgram.Socket.prototype; at !== null; at = Object.getPrototypeOf(at)) {
      for (const name of Object.getOwnPropertyNames(at)) names.add(name)
    }
    return [...names].sort().join()
  },
  'own members of a socket': (run) => {
    const socket = run.socket()
    const symbols = Object.getOwnPropertySymbols(socket).map(({ description }) => description)
    return [Object.keys(socket).join(), symbols.sort().join()]
  },
  'a class derived from Socket': ({ dgram, family }) => {
    class Mine extends dgram.Socket {}
    const socket = new Mine(family.type as never)
    return [socket instanceof Mine, socket instanceof dgram.Socket, socket.constructor.name]
  },
  'a class derived as of old': ({ dgram, family }) => {
    function Mine(this: Socket): void {
      ;(dgram.Socket as unknown as (type: string) => void).call(this as never, family.type)
    }
    Mine.prototype = Object.create(dgram.Socket.prototype)
    const socket = Reflect.construct(Mine, []) as Socket
    return [socket instanceof dgram.Socket, (socket as unknown as { type: string }).type]
  },
  'type of a socket': (run) => (run.socket() as unknown as { type: string }).type,
  'options are not changed': ({ dgram, family }) => {
    const options = Object.freeze({ type: family.type, reuseAddr: true })
    dgram.createSocket(options).close()
    return Object.keys(options)
  },
  'options that are inherited': ({ dgram, family }) => {
    const socket = dgram.createSocket(Object.create({ type: family.type }) as never)
    return (socket as unknown as { type: string }).type
  },
  'methods that give the socket, and those that do not': (run) => {
    const socket = run.socket()
    return [socket.bind(0, run.family.host) === socket, socket.ref() === socket, socket.close() === socket]
  },
  'a block list that is one': (run) => {
    const list = new net.BlockList()
    return typeof run.socket({ receiveBlockList: list, sendBlockList: list }).close
  },
}

const AFTER_CLOSE = Object.entries(CALLS).filter(([name]) => !/queue/i.test(name))

export const ARGUMENTS: readonly Scenario[] = [
  ...Object.entries(CREATING).map(([name, create]) => ({
    name: `a socket ${name}`,
    run: (run: Run) =>
      thrown(run, 'createSocket', () => {
        create(run.dgram).close()
      }),
  })),
  ...Object.entries(CALLS).map(([name, call]) => ({
    name: `${name} on a fresh socket`,
    run: async (run: Run) => {
      const socket = run.socket().on('error', (error) => run.recorder.note('socket', 'error', error))
      thrown(run, 'call', () => call(socket))
      await pause(2)
    },
  })),
  ...Object.entries(CALLS).map(([name, call]) => ({
    name: `${name} on a bound socket`,
    run: async (run: Run) => {
      const socket = run.socket().on('error', (error) => run.recorder.note('socket', 'error', error))
      await new Promise<void>((resolve) => socket.bind(0, run.family.host, resolve))
      run.recorder.name(socket.address().port, 'PORT')
      thrown(run, 'call', () => call(socket))
      await pause(2)
    },
  })),
  {
    name: 'all of that on a closed socket',
    run: (run) => {
      const socket = run.socket()
      socket.close()
      for (const [name, call] of AFTER_CLOSE) thrown(run, name, () => call(socket))
      thrown(run, 'bind', () => socket.bind())
      thrown(run, 'bind to a descriptor', () => socket.bind({ fd: 3 }))
      thrown(run, 'close', () => socket.close())
    },
  },
  ...Object.entries(VALUES).map(([name, value]) => ({
    name,
    run: (run: Run) => run.recorder.note('value', value(run)),
  })),
]
