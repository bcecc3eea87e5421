import { execFile } from 'node:child_process'
import nodeDgram, { type Socket } from 'node:dgram'
import { once } from 'node:events'
import { readdirSync, readlinkSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { Stack } from '../../lib/index.ts'
import { UDP } from '../../lib/node/dgram/internals.ts'
import { UdpHandle } from '../../lib/node/dgram/udp-handle.ts'
import { nodeSockets } from '../../lib/node/index.ts'
import { OWNER } from '../../lib/node/net/internals.ts'
import { HOST as HOST_ADDRESS, HostBench, PEER, useBench } from '../conformance/harness.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const HOST = '127.0.0.1'

/** Each begins when the process would end, which is said; what they say themselves is in between. */
const LIVES = `
  import { fork } from 'node:child_process'
  import { Stack } from './lib/index.ts'
  import { nodeSockets } from './lib/node/index.ts'
  const { dgram } = nodeSockets(new Stack())
  const steps = {
    fresh: () => {},
    unref: (s) => s.bind(0).unref(),
    closed: (s) => s.bind(0, () => s.close()),
    bound: (s) => {
      s.bind(0)
      setTimeout(() => s.close(() => console.log('alive')), 20).unref()
    },
    refused: (s) => {
      s.on('error', ({ code }) => s.close(() => console.log(code)))
      s.connect(9, () => s.send('x'))
    },
    handed: (s) => s.bind(0, () => {
      const child = fork('-', { execArgv: ['--eval', 'setTimeout(() => {}, 5000)'] })
      child.send('x', s, ({ code }) => {
        console.log(code)
        child.kill()
        s.close()
      })
    }),
  }
  const left = Object.entries(steps)
  process.on('beforeExit', () => {
    const [name, step] = left.shift() ?? process.exit()
    console.log(name)
    step(dgram.createSocket('udp4'))
    setImmediate(() => {})
  })`

async function bound(socket: Socket, port = 0, address = HOST): Promise<Socket> {
  socket.bind(port, address)
  await once(socket, 'listening')
  return socket
}

/** Sockets of the kernel that this process has. */
function kernelSockets(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:')
    } catch {
      return false // the one that the folder is read by
    }
  }).length
}

describe('dgram of nodeSockets', () => {
  const bench = useBench(() => new HostBench())
  let stack: Stack
  let dgram: typeof nodeDgram
  const open: Socket[] = []
  const create = (options: object = {}): Socket => {
    const socket = dgram.createSocket({ type: 'udp4', ...options })
    open.push(socket)
    return socket
  }

  beforeEach(() => {
    stack = new Stack()
    dgram = nodeSockets(stack).dgram
  })

  afterEach(async () => {
    for (const socket of open.splice(0)) {
      try {
        socket.close()
      } catch {
        // It is closed already.
      }
    }
    await stack.close()
  })

  it("is one for a stack, and its sockets are Node's too", async () => {
    const other = new Stack()
    expect(nodeSockets(stack).dgram).to.equal(dgram)
    const socket = create()
    expect(socket).to.be.instanceOf(nodeDgram.Socket)
    expect(socket).not.to.be.instanceOf(nodeSockets(other).dgram.Socket)
    const called = (dgram.Socket as unknown as (type: string) => Socket)('udp4')
    expect(called).to.be.instanceOf(dgram.Socket)
    called.close()
    await other.close()
  })

  it('has no socket of the kernel, nor takes one', async () => {
    const before = kernelSockets()
    const socket = await bound(create())
    socket.send('x', 9, HOST)
    await once(socket.connect(9, HOST) ?? socket, 'connect')
    expect(kernelSockets()).to.equal(before)
    const descriptor = Object.getOwnPropertySymbols(socket).find(
      ({ description }) => description === 'state symbol',
    )!
    const { handle } = (socket as unknown as Record<symbol, { handle: Record<PropertyKey, unknown> }>)[
      descriptor
    ]!
    expect(handle[OWNER]).to.equal(socket)
    expect([handle['owner'] === socket, handle['fd']]).to.deep.equal([true, -9])
    for (const call of [
      () => create().bind({ fd: 3 }),
      () => create().bind({ recvStart() {} } as never),
      () => (dgram as unknown as { _createSocketHandle: () => void })._createSocketHandle(),
    ]) {
      expect(call).to.throw().with.property('code', 'ERR_NOT_SUPPORTED')
    }
  })

  it('leaves no method of the kernel to a handle', () => {
    const own = Object.getOwnPropertyNames(UdpHandle.prototype)
    const kernel = Object.getOwnPropertyNames(UDP.prototype).filter((name) => name !== 'owner')
    expect(own).to.include.members([...kernel, 'close', 'ref', 'unref', 'hasRef'])
  })

  it('names are resolved as it is told', async () => {
    const asked: unknown[] = []
    const named = new Stack()
    const sockets = nodeSockets(named, {
      lookup(name, options, callback) {
        asked.push([name, options])
        setImmediate(callback, null, HOST, 4)
      },
    })
    const socket = sockets.dgram.createSocket('udp4')
    socket.bind(0, 'bound.test')
    await once(socket, 'listening')
    const arrived = once(socket, 'message')
    socket.send('x', socket.address().port, 'sent.test')
    await arrived
    socket.send('x', socket.address().port, HOST)
    await once(socket, 'message')
    socket.connect(9, 'connected.test')
    await once(socket, 'connect')
    expect(asked).to.deep.equal([
      ['bound.test', { family: 4 }],
      ['sent.test', { family: 4 }],
      ['connected.test', { family: 4 }],
    ])
    socket.close()
    await named.close()
  })

  it('without a lookup, names that are no addresses are not found', async () => {
    const socket = await bound(create())
    const error = await new Promise<NodeJS.ErrnoException | null>((resolve) =>
      socket.send('x', 9, 'name.test', resolve),
    )
    expect([error?.code, error?.message]).to.deep.equal(['ENOTFOUND', 'getaddrinfo ENOTFOUND name.test'])
  })

  it('IPv6: as a host without it', async () => {
    const socket = create({ type: 'udp6' })
    socket.bind(5000)
    const [error] = (await once(socket, 'error')) as [
      NodeJS.ErrnoException & { address: string; port: number },
    ]
    expect([error.message, error.code, error.errno, error.syscall, error.address, error.port]).to.deep.equal([
      'bind EAFNOSUPPORT :::5000',
      'EAFNOSUPPORT',
      -97,
      'bind',
      '::',
      5000,
    ])
    expect(() => socket.addMembership('ff02::1')).to.throw('addMembership EAFNOSUPPORT')
    expect(() => socket.address()).to.throw('getsockname EBADF')
    const sending = create({ type: 'udp6' })
    sending.send('x', 9, '::1')
    expect(((await once(sending, 'error')) as [Error])[0].message).to.equal('bind EAFNOSUPPORT ::')
  })

  it('a burst is told in a turn of the event loop, or two: the first of it is not late', async () => {
    const [from, to] = [await bound(create()), await bound(create())]
    const turns: number[] = []
    let turn = 0
    to.on('message', () => turns.push(turn))
    for (let i = 0; i < 30; i++) from.send(`${i}`, to.address().port, HOST)
    for (; turns.length < 30 && turn < 1000; turn++) await new Promise(setImmediate)
    expect(turns).to.have.length(30)
    expect(new Set(turns).size).to.be.at.most(2)
  })

  it('what waits is bounded, and what finds no room is counted', async () => {
    const from = await bound(create())
    const to = await bound(create({ recvBufferSize: 5000 }))
    expect(to.getRecvBufferSize()).to.equal(10_000)
    let heard = 0
    to.on('message', () => heard++)
    for (let i = 0; i < 100; i++) from.send(Buffer.alloc(1000), to.address().port, HOST)
    for (let i = 0; i < 1000 && heard + stack.mib.get('UdpRcvbufErrors') < 100; i++) {
      await new Promise(setImmediate)
    }
    expect(heard).to.be.within(5, 20)
    expect(stack.mib.get('UdpRcvbufErrors')).to.equal(100 - heard)
  })

  it('what the device has no room for waits, in order, and its callbacks too', async () => {
    const { tun, stack: host } = bench()
    const socket = nodeSockets(host).dgram.createSocket('udp4')
    open.push(socket)
    await bound(socket, 0, HOST_ADDRESS)
    const results: unknown[] = []
    const send = (text: string): void => {
      socket.send(text, 9, PEER, (error, bytes) => results.push(error === null ? bytes : error.message))
    }
    tun.blocked = true
    while (socket.getSendQueueCount() === 0 && results.length < 2000) {
      send('x')
      await new Promise(setImmediate)
    }
    const taken = results.length
    expect(taken).to.be.within(900, 1100)
    for (const text of ['one', 'four']) send(text)
    await new Promise(setImmediate)
    expect([socket.getSendQueueCount(), socket.getSendQueueSize(), results.length]).to.deep.equal([
      3,
      8,
      taken,
    ])
    tun.blocked = false
    tun.host.wake()
    for (let i = 0; i < 10; i++) {
      bench().settle()
      await new Promise(setImmediate)
    }
    expect(results.slice(taken)).to.deep.equal([1, 3, 4])
    const sent = tun.take().map(({ length }) => length - 28)
    expect(sent.slice(-3)).to.deep.equal([1, 3, 4])
    expect([socket.getSendQueueCount(), socket.getSendQueueSize()]).to.deep.equal([0, 0])

    tun.blocked = true
    while (socket.getSendQueueCount() === 0 && results.length < 4000) {
      send('x')
      await new Promise(setImmediate)
    }
    socket.close()
    await new Promise(setImmediate)
    expect(results.at(-1)).to.equal(`send ECANCELED ${PEER}:9`)
  })

  it('tells that the stack was closed, once', async () => {
    const socket = await bound(create())
    const errors: string[] = []
    socket.on('error', ({ message }) => errors.push(message))
    await stack.close()
    for (let i = 0; i < 10; i++) await new Promise(setImmediate)
    expect(errors).to.deep.equal(['recvmsg ENETDOWN'])
    const error = await new Promise<Error | null>((resolve) => socket.send('x', 9, HOST, resolve))
    expect(error?.message).to.equal(`send ENETDOWN ${HOST}:9`)
    const late = create()
    late.bind(0, HOST)
    expect(((await once(late, 'error')) as [Error])[0].message).to.equal(`bind ENETDOWN ${HOST}`)
  })

  it('thousands of sockets leave nothing behind', async () => {
    stack.sysctl.set('net.ipv4.ip_local_port_range', '40000 40099')
    for (let i = 0; i < 100; i++) {
      const some = await Promise.all(Array.from({ length: 50 }, () => bound(dgram.createSocket('udp4'))))
      for (const socket of some) socket.close()
    }
    for (let port = 40_000; port < 40_100; port++) stack.udp.bind({ address: HOST, port }).close()
  })

  it('keeps the process alive while it is bound, unless it is unref; one handed to a process only fails', async () => {
    const args = ['--import', 'tsx', '--input-type=module', '--eval', LIVES]
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: ROOT, timeout: 20_000 })
    expect(stdout.trim().split('\n')).to.deep.equal([
      'fresh',
      'unref',
      'closed',
      'bound',
      'alive',
      'refused',
      'ECONNREFUSED',
      'handed',
      'EBADF',
    ])
  }).timeout(30_000)
})
