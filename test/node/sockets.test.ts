import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import nodeNet, { type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect } from 'chai'
import { Stack } from '../../lib/index.ts'
import { nodeSockets } from '../../lib/node/index.ts'
import { TcpState } from '../../lib/tcp/tcb.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Each begins when the process would end, which is said; what they say themselves is in between. */
const LIVES = `
  import { Stack } from './lib/index.ts'
  import { nodeSockets } from './lib/node/index.ts'
  const { net, http } = nodeSockets(new Stack())
  /** Told after a while, if the process still lives. */
  const alive = (end) => setTimeout(() => {
    console.log('alive')
    end()
  }, 20).unref()
  const connected = (then) => {
    let accepted
    const server = net.createServer((socket) => { accepted = socket.on('error', () => {}).resume() })
    server.listen(0, () => {
      const client = net.connect(server.address().port, () => then(client, () => accepted))
    }).unref()
  }
  const steps = {
    listening: () => {
      const server = net.createServer().listen(0)
      alive(() => server.close())
    },
    'listening, unref': () => net.createServer().listen(0).unref(),
    connected: () => connected((client) => alive(() => client.destroy())),
    'connected, the other end is not unref': () => connected((client, other) => {
      client.unref()
      alive(() => other().destroy())
    }),
    destroyed: () => connected((client) => client.destroy()),
    'an http server': () => {
      const server = http.createServer().listen(0)
      alive(() => server.close())
    },
    'a connection that an agent keeps': () => {
      const server = http.createServer((_, response) => response.end('x')).listen(0, () => {
        http.get({ port: server.address().port }, (response) => response.resume().on('end', () => server.close()))
      })
      server.keepAliveTimeout = 0
    },
    refused: () => net.connect(1).on('error', ({ code }) => console.log(code)),
  }
  const left = Object.entries(steps)
  process.on('beforeExit', () => {
    const [name, step] = left.shift() ?? process.exit()
    console.log(name)
    step()
    setImmediate(() => {})
  })`

/** Bytes that are still used after what is garbage was collected. */
function heapUsed(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  return process.memoryUsage().heapUsed
}

describe('nodeSockets', () => {
  it('gives the same modules for a stack each time, others for another', async () => {
    const [one, two] = [new Stack(), new Stack()]
    expect(nodeSockets(one)).to.equal(nodeSockets(one))
    expect(nodeSockets(one).net).to.equal(nodeSockets(one).net)
    expect(nodeSockets(one).net).not.to.equal(nodeSockets(two).net)
    await Promise.all([one.close(), two.close()])
  })

  it("gives sockets and servers that are Node's too, and not another stack's", async () => {
    const [one, two] = [new Stack(), new Stack()]
    const socket = new (nodeSockets(one).net.Socket)()
    expect(socket).to.be.instanceOf(nodeNet.Socket)
    expect(socket).not.to.be.instanceOf(nodeSockets(two).net.Socket)
    expect(nodeSockets(one).net.createServer()).to.be.instanceOf(nodeNet.Server)
    await Promise.all([one.close(), two.close()])
  })

  it('resolves names as it is told', async () => {
    const stack = new Stack()
    const asked: string[] = []
    const { net } = nodeSockets(stack, {
      lookup(name, options, callback) {
        asked.push(name)
        if (options.all === true) setImmediate(callback, null, [{ address: '127.0.0.1', family: 4 }])
        else setImmediate(callback, null, '127.0.0.1', 4)
      },
    })
    const server = net.createServer().listen(0, 'one.test')
    await once(server, 'listening')
    const socket = net.connect((server.address() as AddressInfo).port, 'two.test')
    await once(socket, 'connect')
    expect(asked).to.deep.equal(['one.test', 'two.test'])
    socket.destroy()
    server.close()
    await stack.close()
  })

  it('refuses what is of the kernel', async () => {
    const stack = new Stack()
    const { net } = nodeSockets(stack)
    for (const call of [
      () => net.connect('/tmp/x'),
      () => net.createServer().listen('/tmp/x'),
      () => net.createServer().listen({ fd: 3 }),
      () => new net.Socket({ fd: 3 }),
    ]) {
      expect(call).to.throw().with.property('code', 'ERR_NOT_SUPPORTED')
    }
    await stack.close()
  })

  it('tells sockets that the stack was closed', async () => {
    const stack = new Stack()
    const { net } = nodeSockets(stack)
    const server = net.createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const socket = net.connect((server.address() as AddressInfo).port)
    await once(socket, 'connect')
    const failed = once(socket, 'error') as Promise<[NodeJS.ErrnoException]>
    server.on('connection', (accepted) => accepted.on('error', () => {}))
    await stack.close()
    expect((await failed)[0].code).to.equal('ENETDOWN')
    server.close()
  })

  it('a reader that pauses closes the window: what waits is bounded', async () => {
    const stack = new Stack()
    const { net } = nodeSockets(stack)
    const server = net.createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const accepting = once(server, 'connection') as Promise<[Socket]>
    const socket = net.connect((server.address() as AddressInfo).port)
    const [accepted] = await accepting
    for (let i = 0; i < 64; i++) socket.write(Buffer.alloc(1 << 20))
    await new Promise((resolve) => setTimeout(resolve, 100))
    let waiting = 0
    stack.tcpProtocol.forEachConnection(({ ring, sendQueue }) => {
      waiting += ring.length + sendQueue.length
    })
    expect(waiting).to.be.within(100_000, 16 << 20)
    expect(socket.writableLength).to.be.greaterThan(40 << 20)
    socket.destroy()
    accepted.destroy()
    server.close()
    await stack.close()
  })

  it('local sockets are refused, or the kernel’s where that is asked for', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'tunstack-local-')), 'socket')
    const strict = new Stack()
    const { net } = nodeSockets(strict)
    for (const call of [() => net.createServer().listen(path), () => net.connect(path)]) {
      expect(call).to.throw().with.property('code', 'ERR_NOT_SUPPORTED')
    }
    const stack = new Stack()
    const { net: lenient } = nodeSockets(stack, { localSockets: true })
    const server = lenient.createServer((socket) => socket.end('hello')).listen(path)
    await once(server, 'listening')
    const client = lenient.connect(path)
    const [data] = (await once(client, 'data')) as [Buffer]
    expect([String(data), client instanceof lenient.Socket]).to.deep.equal(['hello', true])
    server.close()
    await once(server, 'close')
    const [error] = (await once(lenient.connect(path), 'error')) as [NodeJS.ErrnoException]
    expect(error.code).to.equal('ENOENT')
    rmSync(dirname(path), { recursive: true })
    await Promise.all([strict.close(), stack.close()])
  })

  it('thousands of short connections leave nothing behind: no endpoint, and no memory', async function () {
    this.timeout(60_000)
    const stack = new Stack()
    stack.sysctl.set('net.ipv4.tcp_max_tw_buckets', 0)
    const { net } = nodeSockets(stack)
    const server = net.createServer((socket) => socket.end('x')).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const connections = async (count: number): Promise<void> => {
      let left = count
      const one = async (): Promise<void> => {
        while (left-- > 0) await once(net.connect(port, '127.0.0.1').resume(), 'close')
      }
      await Promise.all(Array.from({ length: 20 }, one))
    }
    await connections(1500)
    const before = heapUsed()
    await connections(4000)
    // A socket that is left takes some kilobytes; scripts/connections.ts finds less, with more of them.
    expect(heapUsed() - before).to.be.lessThan(2 << 20)
    let open = 0
    stack.tcpProtocol.forEachConnection(({ state }) => {
      if (state !== TcpState.CLOSED) open++
    })
    expect(open).to.equal(0)
    await new Promise((resolve) => server.close(resolve))
    await stack.close()
  })

  it('keeps the process alive while it listens, connects or is connected, unless it is unref', async () => {
    const args = ['--import', 'tsx', '--input-type=module', '--eval', LIVES]
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: ROOT, timeout: 20_000 })
    expect(stdout.trim().split('\n')).to.deep.equal([
      'listening',
      'alive',
      'listening, unref',
      'connected',
      'alive',
      'connected, the other end is not unref',
      'alive',
      'destroyed',
      'an http server',
      'alive',
      'a connection that an agent keeps',
      'refused',
      'ECONNREFUSED',
    ])
  }).timeout(30_000)
})
