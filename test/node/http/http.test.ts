import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import nodeHttp, { type ClientRequest, type IncomingMessage } from 'node:http'
import nodeHttps from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { expect } from 'chai'
import { Stack } from '../../../lib/index.ts'
import { nodeSockets } from '../../../lib/node/index.ts'

const key = readFileSync(new URL('../localhost-key.pem', import.meta.url))
const cert = readFileSync(new URL('../localhost-cert.pem', import.meta.url))

const text = async (message: AsyncIterable<Buffer>): Promise<string> => {
  let all = ''
  for await (const chunk of message) all += chunk
  return all
}

describe('http and https of nodeSockets', () => {
  const stack = new Stack()
  const { http, https, tls, net } = nodeSockets(stack)
  let server: (Server & { closeAllConnections(): void }) | null = null

  afterEach(() => {
    server?.close()
    server?.closeAllConnections()
    server = null
    http.globalAgent.destroy()
    https.globalAgent.destroy()
  })
  after(() => stack.close())

  async function listening<T extends Server & { closeAllConnections(): void }>(made: T): Promise<number> {
    server = made
    made.listen(0, 'localhost')
    await once(made, 'listening')
    return (made.address() as AddressInfo).port
  }

  const bodyOf = async (request: ClientRequest): Promise<string> => {
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    return await text(response)
  }

  it('requests in each of their forms', async () => {
    const port = await listening(
      http.createServer(({ method, url }, response) => response.end(`${method} ${url}`)),
    )
    const url = `http://localhost:${port}`
    expect(await bodyOf(http.get(`${url}/text`))).to.equal('GET /text')
    expect(await bodyOf(http.get(new URL(`${url}/url`)))).to.equal('GET /url')
    expect(await bodyOf(http.request(`${url}/with`, { method: 'PUT' }).end())).to.equal('PUT /with')
    expect(await bodyOf(http.request({ port, path: '/options', method: 'POST' }).end())).to.equal(
      'POST /options',
    )
    expect(await bodyOf(new http.ClientRequest(`${url}/class`).end())).to.equal('GET /class')
    const called = new Promise<IncomingMessage>((resolve) => http.get(`${url}/callback`, resolve))
    expect(await text(await called)).to.equal('GET /callback')
    expect(() => http.get('nonsense'))
      .to.throw()
      .with.property('code', 'ERR_INVALID_URL')
  })

  it('connections by the agent that is meant: of the stack, all of them', async () => {
    const port = await listening(
      http.createServer(({ socket }, response) => {
        expect(socket).to.be.instanceOf(net.Socket)
        response.end(String(socket.remotePort))
      }),
    )
    const shared = async (): Promise<string> => await bodyOf(http.get({ port }))
    const first = await shared()
    expect(await shared()).to.equal(first)
    expect(await bodyOf(http.get({ port, agent: false }))).to.not.equal(first)
    const agent = new http.Agent({ keepAlive: true })
    expect(agent).to.be.instanceOf(nodeHttp.Agent)
    const own = await bodyOf(http.get({ port, agent }))
    expect(own).to.not.equal(first)
    expect(await bodyOf(http.get({ port, agent }))).to.equal(own)
    agent.destroy()
    let made = 0
    const createConnection = () => {
      made++
      return net.connect(port)
    }
    await bodyOf(http.get({ createConnection }))
    expect(made).to.equal(1)
    http.globalAgent = new http.Agent()
    expect(await shared()).to.not.equal(first)
  })

  it('nobody listens', async () => {
    const [refused] = (await once(http.get('http://localhost:1/'), 'error')) as [NodeJS.ErrnoException]
    expect(refused.message).to.equal('connect ECONNREFUSED 127.0.0.1:1')
    const [secure] = (await once(https.get('https://localhost:1/'), 'error')) as [NodeJS.ErrnoException]
    expect(secure.message).to.equal('connect ECONNREFUSED 127.0.0.1:1')
  })

  it('what has no stack is refused', () => {
    expect(() => http.get({ socketPath: '/tmp/x' }))
      .to.throw()
      .with.property('code', 'ERR_NOT_SUPPORTED')
  })

  it('classes that older programs inherit from', () => {
    function Mine(this: object): void {
      ;(http.Agent as unknown as (this: object) => void).call(this)
    }
    Object.setPrototypeOf(Mine.prototype, http.Agent.prototype)
    const mine = Reflect.construct(Mine as unknown as new () => object, []) as nodeHttp.Agent
    expect(mine.maxSockets).to.equal(Number.POSITIVE_INFINITY)
    class Newer extends http.Server {}
    expect(new Newer()).to.be.instanceOf(nodeHttp.Server)
    const callable = http.Server as unknown as () => nodeHttp.Server
    expect(callable()).to.be.instanceOf(http.Server)
  })

  it('https: a server, requests, sessions that are resumed', async () => {
    const reused: boolean[] = []
    const port = await listening(
      https.createServer({ key, cert }, ({ socket, url }, response) => {
        expect(socket).to.be.instanceOf(tls.TLSSocket)
        response.end(url)
      }),
    )
    const agent = new https.Agent({ ca: cert, keepAlive: false, maxCachedSessions: 10 })
    expect(agent).to.be.instanceOf(nodeHttps.Agent)
    for (let i = 0; i < 3; i++) {
      const request = https.get(`https://localhost:${port}/${i}`, { agent })
      const [response] = (await once(request, 'response')) as [IncomingMessage]
      const socket = response.socket as TLSSocket
      expect(socket).to.be.instanceOf(tls.TLSSocket)
      reused.push(socket.isSessionReused())
      expect(await text(response)).to.equal(`/${i}`)
    }
    expect(reused).to.deep.equal([false, true, true])
    agent.destroy()
    expect(await bodyOf(https.get({ port, path: '/', ca: cert }))).to.equal('/')
    expect(await bodyOf(https.get({ port, path: '/', ca: cert, agent: false }))).to.equal('/')
    const [error] = (await once(https.get({ port, path: '/' }), 'error')) as [NodeJS.ErrnoException]
    expect(error.code).to.equal('DEPTH_ZERO_SELF_SIGNED_CERT')
  })
})
