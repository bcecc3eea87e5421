import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import nodeNet, { type AddressInfo, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect } from 'chai'
import { Stack } from '../../lib/index.ts'
import { nodeSockets } from '../../lib/node/index.ts'
import { TcpState } from '../../lib/tcp/tcb.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** With which a program ends that something keeps alive. */
const ALIVE = 7

/** Runs a program that has Node's modules of a stack; its exit status, {@link ALIVE} if it did not end by itself. */
function program(text: string): { status: number | null; output: string } {
  const setUp = `import { Stack } from './lib/index.ts'; import { nodeSockets } from './lib/node/index.ts';
    const { net, http } = nodeSockets(new Stack());
    setTimeout(() => process.exit(${ALIVE}), 500).unref();`
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '--eval', setUp + text],
    { cwd: ROOT, encoding: 'utf8', timeout: 30_000 },
  )
  return { status, output: stdout + stderr }
}

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
    await connections(5000)
    const before = heapUsed()
    await connections(15_000)
    // 300 bytes left of each would be more; the noise is a tenth of that.
    expect(heapUsed() - before).to.be.lessThan(4 << 20)
    let open = 0
    stack.tcpProtocol.forEachConnection(({ state }) => {
      if (state !== TcpState.CLOSED) open++
    })
    expect(open).to.equal(0)
    await new Promise((resolve) => server.close(resolve))
    await stack.close()
  })

  describe('keeps the process alive', () => {
    it('while a server listens, and not if it is unref', () => {
      expect(program(`net.createServer().listen(0)`).status).to.equal(ALIVE)
      expect(program(`net.createServer().listen(0).unref()`).status).to.equal(0)
    })

    it('while a socket is connected, and not if it is unref or was destroyed', () => {
      const connected = (then: string): string =>
        `const s = net.createServer().listen(0, () => { const c = net.connect(s.address().port, () => { ${then} }) }); s.unref()`
      expect(program(connected('')).status).to.equal(ALIVE)
      expect(program(connected('c.unref(); s.getConnections(() => {})')).status).to.equal(ALIVE) // the other end is not
      expect(program(connected('c.destroy()')).status).to.equal(0)
    })

    it('while an http server listens; not for a connection that an agent keeps', () => {
      const request = (then: string): string =>
        `const s = http.createServer((_, r) => r.end('x')).listen(0, () => http.get({ port: s.address().port }, (r) => {
          r.resume().on('end', () => { ${then} }) })); s.keepAliveTimeout = 0`
      expect(program(request('')).status).to.equal(ALIVE)
      expect(program(request('s.close()')).status).to.equal(0)
    })

    it('until a refused connection was told', () => {
      const { status, output } = program(`net.connect(1).on('error', (error) => console.log(error.code))`)
      expect([status, output.trim()]).to.deep.equal([0, 'ECONNREFUSED'])
    })
  }).timeout(60_000)
})
