import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { AddressInfo, Socket } from 'node:net'
import nodeTls, { type TLSSocket } from 'node:tls'
import { expect } from 'chai'
import { Stack } from '../../../lib/index.ts'
import { nodeSockets } from '../../../lib/node/index.ts'

const key = readFileSync(new URL('../localhost-key.pem', import.meta.url))
const cert = readFileSync(new URL('../localhost-cert.pem', import.meta.url))

describe('tls of nodeSockets', () => {
  const stack = new Stack()
  const { tls, net } = nodeSockets(stack)
  after(() => stack.close())

  it('a server and its clients, in each form of connect', async () => {
    const server = tls.createServer({ key, cert }, (socket) => socket.pipe(socket)).listen(0, 'localhost')
    await once(server, 'listening')
    expect(server).to.be.instanceOf(nodeTls.Server)
    const { port } = server.address() as AddressInfo
    const forms: (() => TLSSocket)[] = [
      () => tls.connect({ port, ca: cert }),
      () => tls.connect(port, { ca: cert }),
      () => tls.connect(port, 'localhost', { ca: cert }),
      () => tls.connect({ socket: net.connect(port), ca: cert }),
    ]
    for (const connect of forms) {
      const socket = connect()
      await once(socket, 'secureConnect')
      expect(socket).to.be.instanceOf(tls.TLSSocket)
      expect(socket.authorized).to.equal(true)
      expect(socket.remotePort).to.equal(port)
      socket.write('hello')
      expect(String((await once(socket, 'data'))[0])).to.equal('hello')
      socket.end()
      await once(socket, 'close')
    }
    await new Promise<void>((resolve) =>
      tls
        .connect(port, { ca: cert }, resolve)
        .on('secureConnect', () => {})
        .end(),
    )
    server.close()
  })

  it('errors, a timeout, and a socket that is destroyed while it connects', async () => {
    const [refused] = (await once(tls.connect(1), 'error')) as [NodeJS.ErrnoException]
    expect(refused.message).to.equal('connect ECONNREFUSED 127.0.0.1:1')
    const [unknown] = (await once(tls.connect(1, 'nowhere.test'), 'error')) as [NodeJS.ErrnoException]
    expect(unknown.message).to.equal('getaddrinfo ENOTFOUND nowhere.test')
    const silent = net.createServer((socket: Socket) => socket.on('error', () => {})).listen(0)
    await once(silent, 'listening')
    const { port } = silent.address() as AddressInfo
    const waiting = tls.connect({ port, timeout: 5 })
    await once(waiting, 'timeout')
    waiting.destroy()
    await once(waiting, 'close')
    const aborted = new AbortController()
    const cancelled = tls.connect({ port, signal: aborted.signal } as never)
    aborted.abort()
    expect(((await once(cancelled, 'error')) as [Error])[0].name).to.equal('AbortError')
    const given = tls.connect(port)
    given.destroy()
    await once(given, 'close')
    silent.close()
  })
})
