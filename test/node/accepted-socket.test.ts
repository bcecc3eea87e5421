/** What a server accepts: sockets of the stack's class, as Node's own function would have made them. */

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import kernelNet from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { expect } from 'chai'
import { Stack } from '../../lib/index.ts'
import { nodeSockets } from '../../lib/node/index.ts'

type Net = typeof kernelNet
type Fields = Record<string | symbol, unknown>

describe('accepted sockets', () => {
  let stack: Stack
  let net: Net
  const open: { destroy(): void }[] = []

  beforeEach(() => {
    stack = new Stack()
    ;({ net } = nodeSockets(stack))
  })
  afterEach(async () => {
    for (const one of open.splice(0)) one.destroy()
    await stack.close()
  })

  /** A server of `module` and what it accepts of `n` clients. */
  async function accepted(
    module: Net,
    n: number,
    options: kernelNet.ServerOpts = {},
    change: (server: kernelNet.Server) => void = () => {},
  ): Promise<kernelNet.Socket[]> {
    const sockets: kernelNet.Socket[] = []
    const server = module.createServer(options, (socket) => void sockets.push(socket))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    change(server)
    open.push({ destroy: () => void server.close() })
    const { port } = server.address() as kernelNet.AddressInfo
    for (let i = 0; i < n; i++) {
      const client = module.connect(port, '127.0.0.1')
      client.on('error', () => {})
      open.push(client)
      await once(client, 'connect')
    }
    for (let turns = 0; sockets.length < n && turns < 1000; turns++) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    open.push(...sockets)
    return sockets
  }

  it('have one hidden class, as Node’s have: code that has seen one is fast with all', async () => {
    setFlagsFromString('--allow-natives-syntax')
    const haveSameMap = new Function('a', 'b', 'return %HaveSameMap(a, b)') as (
      a: object,
      b: object,
    ) => boolean
    const [first, ...others] = await accepted(net, 20)
    expect(others).to.have.length(19)
    for (const other of others) {
      expect(haveSameMap(first!, other)).to.equal(true)
      // What http gives them, too.
      Object.assign(other, { parser: null })
    }
    for (const other of others.slice(1)) expect(haveSameMap(others[0]!, other)).to.equal(true)
  })

  it('are what Node’s own function makes, whatever the options', async () => {
    const own = (socket: kernelNet.Socket): string[] =>
      Reflect.ownKeys(socket).map((key) => {
        const value = (socket as unknown as Fields)[key]
        const told = typeof value === 'boolean' || typeof value === 'number' ? `: ${value}` : ''
        return key.toString() === 'Symbol(async_id_symbol)' ? key.toString() : `${key.toString()}${told}`
      })
    for (const options of [
      {},
      { noDelay: true },
      { keepAlive: true, keepAliveInitialDelay: 7000 },
      { pauseOnConnect: true, allowHalfOpen: true },
      { highWaterMark: 100 },
    ]) {
      const [ours] = await accepted(net, 1, options)
      const [theirs] = await accepted(kernelNet, 1, options)
      expect(own(ours!), JSON.stringify(options)).to.deep.equal(own(theirs!))
      expect(ours!.readableHighWaterMark).to.equal(theirs!.readableHighWaterMark)
      expect(ours!.writableHighWaterMark).to.equal(theirs!.writableHighWaterMark)
      expect(ours!.isPaused()).to.equal(theirs!.isPaused())
      expect(ours!.allowHalfOpen).to.equal(theirs!.allowHalfOpen)
      expect(ours).to.be.instanceOf(net.Socket)
    }
  })

  it('are told to the diagnostics channel, and counted', async () => {
    const told: unknown[] = []
    const listener = (message: unknown): void => void told.push((message as { socket: unknown }).socket)
    subscribe('net.server.socket', listener)
    try {
      let server: kernelNet.Server | undefined
      const sockets = await accepted(net, 2, {}, (made) => {
        server = made
      })
      expect(told).to.deep.equal(sockets)
      const count = await new Promise((resolve) => server!.getConnections((_, n) => resolve(n)))
      expect(count).to.equal(2)
    } finally {
      unsubscribe('net.server.socket', listener)
    }
  })

  it('are left to Node where there is a limit, and to the program if it has a function of its own', async () => {
    const dropped: unknown[] = []
    const few = await accepted(net, 3, {}, (server) => {
      server.maxConnections = 2
      server.on('drop', (data) => void dropped.push(data))
    })
    expect([few.length, dropped.length]).to.deep.equal([2, 1])
    for (const socket of few) expect(socket).to.be.instanceOf(net.Socket)

    const handles: unknown[] = []
    const none = await accepted(net, 1, {}, (server) => {
      const { _handle } = server as unknown as { _handle: { onconnection: unknown } }
      _handle.onconnection = (_: number, handle: { close(): void }) => {
        handles.push(handle)
        handle.close()
      }
    })
    expect([none.length, handles.length]).to.deep.equal([0, 1])

    let asked = 0
    await accepted(net, 1, {}, (server) => {
      const { _handle } = server as unknown as { _handle: { onconnection: (...args: unknown[]) => void } }
      const before = _handle.onconnection
      _handle.onconnection = function onconnection(...args) {
        asked++
        Reflect.apply(before, _handle, args)
      }
    })
    expect(asked, 'a function of the same name').to.equal(1)
  })
})
