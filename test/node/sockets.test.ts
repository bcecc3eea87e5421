import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import nodeNet, { type AddressInfo, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { Stack } from '../../lib/index.ts'
import { nodeSockets } from '../../lib/node/index.ts'
import { TcpState } from '../../lib/tcp/tcb.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** A program that has `net` of a stack. */
function program(text: string): string[] {
  const setUp = `import { Stack } from './lib/index.ts'; import { nodeSockets } from './lib/node/index.ts';
    const { net } = nodeSockets(new Stack());`
  return ['--import', 'tsx', '--input-type=module', '--eval', setUp + text]
}

/** Its exit status, and what it printed; `null` if it had to be ended. */
function end(text: string): { status: number | null; output: string } {
  const options = { cwd: ROOT, encoding: 'utf8', timeout: 15_000 } as const
  const { status, stdout, stderr } = spawnSync(process.execPath, program(text), options)
  return { status, output: stdout + stderr }
}

/** Whether it goes on for half a second after it has printed `there`. */
async function lives(text: string): Promise<boolean> {
  const child = spawn(process.execPath, program(text), { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  const ended = once(child, 'close').then(() => false)
  const lived = await Promise.race([ended, new Promise<true>((resolve) => setTimeout(resolve, 500, true))])
  child.kill()
  await ended
  return lived
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

  it('thousands of short connections leave nothing behind', async function () {
    this.timeout(60_000)
    const stack = new Stack()
    stack.sysctl.set('net.ipv4.tcp_max_tw_buckets', 0)
    const { net } = nodeSockets(stack)
    const server = net.createServer((socket) => socket.end('x')).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    let left = 20_000
    const one = async (): Promise<void> => {
      while (left-- > 0) await once(net.connect(port, '127.0.0.1').resume(), 'close')
    }
    await Promise.all(Array.from({ length: 20 }, one))
    let open = 0
    stack.tcpProtocol.forEachConnection(({ state }) => {
      if (state !== TcpState.CLOSED) open++
    })
    expect(open).to.equal(0)
    await new Promise((resolve) => server.close(resolve))
    await stack.close()
  })

  describe('keeps the process alive', () => {
    it('while a server listens, and not if it is unref', async () => {
      const listen = `net.createServer().listen(0, () => console.log('there'))`
      expect(await lives(listen)).to.equal(true)
      expect(end(`${listen}.unref()`).status).to.equal(0)
    })

    it('while a socket is connected, and not if it is unref or was destroyed', async () => {
      const connected = (then: string): string =>
        `const s = net.createServer().listen(0, () => {
          const c = net.connect(s.address().port, () => { console.log('there'); ${then} })
        }); s.unref()`
      expect(await lives(connected(''))).to.equal(true)
      expect(await lives(connected('c.unref(); s.getConnections(() => {})'))).to.equal(true) // the other end is not
      expect(end(connected('c.destroy()')).status).to.equal(0)
    })

    it('until a refused connection was told', () => {
      const { status, output } = end(`net.connect(1).on('error', (error) => console.log(error.code))`)
      expect([status, output.trim()]).to.deep.equal([0, 'ECONNREFUSED'])
    })
  }).timeout(30_000)
})
