import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import type { AddressInfo, Server, Socket } from 'node:net'
import tls from 'node:tls'
import { expect } from 'chai'
import { Stack } from '../../lib/index.ts'
import { nodeSockets } from '../../lib/node/index.ts'

/** For `localhost`, of this test alone. */
const key = readFileSync(new URL('./localhost-key.pem', import.meta.url))
const cert = readFileSync(new URL('./localhost-cert.pem', import.meta.url))

describe("Node's http, https and tls over a stack", () => {
  const stack = new Stack()
  const { net } = nodeSockets(stack)
  let front: Server
  let port: number

  after(() => stack.close())
  afterEach(() => front.close())

  async function listen(onConnection: (socket: Socket) => void): Promise<void> {
    front = net.createServer(onConnection)
    front.listen(0, '127.0.0.1')
    await once(front, 'listening')
    port = (front.address() as AddressInfo).port
  }

  const text = async (message: AsyncIterable<Buffer>): Promise<string> => {
    const chunks: Buffer[] = []
    for await (const chunk of message) chunks.push(chunk)
    return Buffer.concat(chunks).toString()
  }

  const answer: http.RequestListener = (request, response) => {
    void text(request).then((body) => response.end(`${request.method} ${request.url} ${body.length}`))
  }

  const createConnection = (): Socket => net.connect(port, '127.0.0.1')

  it('http: requests, a body of a mebibyte, and a connection that is kept', async () => {
    const server = http.createServer(answer)
    let connections = 0
    await listen((socket) => {
      connections++
      server.emit('connection', socket)
    })
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    Object.assign(agent, { createConnection })
    for (const size of [0, 5, 1 << 20]) {
      const request = http.request({ agent, method: 'POST', path: `/${size}` })
      request.end(Buffer.alloc(size))
      const [response] = (await once(request, 'response')) as [http.IncomingMessage]
      expect(await text(response)).to.equal(`POST /${size} ${size}`)
    }
    expect(connections).to.equal(1)
    agent.destroy()
    server.closeAllConnections()
  })

  it('http: a connection of its own for each request', async () => {
    const server = http.createServer(answer)
    await listen((socket) => void server.emit('connection', socket))
    const request = http.get({ createConnection, path: '/x' })
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    expect(await text(response)).to.equal('GET /x 0')
    server.closeAllConnections()
  })

  it('http: an upgrade gives the socket', async () => {
    const server = http.createServer()
    server.on('upgrade', (_request, socket: Socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
      socket.pipe(socket)
    })
    await listen((socket) => void server.emit('connection', socket))
    const request = http.get({ createConnection, headers: { Connection: 'Upgrade', Upgrade: 'echo' } })
    const [, socket] = (await once(request, 'upgrade')) as [http.IncomingMessage, Socket]
    expect(socket).to.be.instanceOf(net.Socket)
    socket.write('hello')
    expect(String((await once(socket, 'data'))[0])).to.equal('hello')
    socket.destroy()
  })

  it('tls: both ends over sockets of the stack, two mebibytes to and fro', async () => {
    await listen((socket) => {
      const secure = new tls.TLSSocket(socket, { isServer: true, key, cert })
      secure.pipe(secure)
    })
    const secure = tls.connect({ socket: createConnection(), ca: cert, servername: 'localhost' })
    await once(secure, 'secureConnect')
    expect(secure.authorized).to.equal(true)
    const sent = Buffer.alloc(2 << 20, 'tunstack')
    const received = text(secure as unknown as AsyncIterable<Buffer>)
    secure.end(sent)
    expect(await received).to.equal(sent.toString())
  })

  it('tls: a peer that resets is an error of the secure socket', async () => {
    await listen((socket) => void socket.once('data', () => socket.resetAndDestroy()))
    const secure = tls.connect({ socket: createConnection(), ca: cert, servername: 'localhost' })
    const [error] = (await once(secure, 'error')) as [NodeJS.ErrnoException]
    expect(error.code).to.equal('ECONNRESET')
  })

  it('https: a server and a client', async () => {
    const server = https.createServer({ key, cert }, answer)
    await listen((socket) => void server.emit('connection', socket))
    const agent = Object.assign(new https.Agent({ keepAlive: false }), {
      createConnection: () => tls.connect({ socket: createConnection(), ca: cert, servername: 'localhost' }),
    })
    const request = https.request({
      agent,
      host: 'localhost',
      method: 'PUT',
      path: '/secure',
    })
    request.end('body')
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    expect(await text(response)).to.equal('PUT /secure 4')
    server.closeAllConnections()
  })
})
