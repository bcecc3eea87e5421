import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import type { ClientRequest, IncomingMessage, RequestListener, Server } from 'node:http'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { expect } from 'chai'
import { type Link, type LinkOptions, simulate } from '../../lib/node/simulation.ts'
import { TcpState } from '../../lib/tcp/tcb.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const key = new URL('./localhost-key.pem', import.meta.url)
const cert = new URL('./localhost-cert.pem', import.meta.url)

/** A server and a client on one link. */
function pair(link: LinkOptions = {}, seed = 1) {
  const net = simulate({ seed, onFailure: () => {} })
  const server = net.host('10.0.0.1/24', { name: 'server' })
  const client = net.host('10.0.0.2/24', { name: 'client' })
  const between: Link = net.link(server, client, link)
  return { net, server, client, link: between }
}

async function text(message: AsyncIterable<Buffer>): Promise<string> {
  let all = ''
  for await (const chunk of message) all += chunk
  return all
}

async function bodyOf(request: ClientRequest): Promise<string> {
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return await text(response)
}

async function errorOf(emitter: NodeJS.EventEmitter): Promise<NodeJS.ErrnoException> {
  return ((await once(emitter, 'error')) as [NodeJS.ErrnoException])[0]
}

async function failureOf(run: Promise<unknown>): Promise<NodeJS.ErrnoException> {
  return await run.then(
    () => expect.fail('it did not fail'),
    (error: NodeJS.ErrnoException) => error,
  )
}

describe("Node's sockets in simulated networks", () => {
  const listen = async (server: Server, port = 80): Promise<Server> => {
    server.listen(port)
    await once(server, 'listening')
    return server
  }
  const greet: RequestListener = ({ url }, response) => response.end(`hello ${url}`)

  describe('http', () => {
    /** Requests over a bad link by an agent that keeps its connections; what came, when, and over what. */
    async function ordeal(seed: number) {
      const { net, server, client, link } = pair({ delay: '100ms', loss: 0.02 }, seed)
      const agent = new client.http.Agent({ keepAlive: true, maxSockets: 4 })
      let connections = 0
      const bodies = await net.run(async () => {
        const serving = await listen(server.http.createServer(greet))
        serving.on('connection', () => connections++)
        const all = await Promise.all(
          Array.from({ length: 200 }, (_, i) =>
            bodyOf(client.http.get({ host: 'server', path: `/${i}`, agent })),
          ),
        )
        agent.destroy()
        serving.close()
        return all
      })
      const packets = link.packets.map(({ time, text }) => `${time} ${text}`)
      await net.close()
      return { bodies, connections, time: net.time, lost: link.counters().lost, packets }
    }

    it('two per cent of loss and 100 ms: each of 200 requests is answered, in seconds of virtual time', async () => {
      const { bodies, connections, time, lost } = await ordeal(42)
      expect(bodies).to.deep.equal(Array.from({ length: 200 }, (_, i) => `hello /${i}`))
      expect(connections).to.equal(4)
      expect(lost).to.be.within(2, 40)
      // 50 rounds of 200 ms on each connection, and what the loss costs.
      expect(time).to.be.within(10_000, 30_000)
    })

    it('is repeatable for a program of callbacks and promises', async () => {
      const [one, two] = [await ordeal(7), await ordeal(7)]
      const withoutDates = ({ packets }: { packets: string[] }) => packets
      expect(withoutDates(one)).to.deep.equal(withoutDates(two))
      expect((await ordeal(8)).time).to.not.equal(one.time)
    })

    it('a partition before the connection: ETIMEDOUT after 127 seconds of SYNs', async () => {
      const { net, server, client, link } = pair({ delay: '10ms' })
      const error = await net.run(async () => {
        await listen(server.http.createServer(greet))
        link.cut()
        return await errorOf(client.http.get({ host: 'server' }))
      })
      expect(error).to.include({ code: 'ETIMEDOUT', syscall: 'connect' })
      expect(net.time).to.be.within(127_000, 134_000)
      await net.close()
    })

    it('a partition in the middle of a response: what was sent is given up after tcp_retries2', async () => {
      const { net, server, client, link } = pair({ delay: '10ms' })
      const [body, error] = await net.run(async () => {
        let failed: Promise<NodeJS.ErrnoException> | undefined
        const serving = await listen(
          server.http.createServer((_, response) => {
            response.write('a part')
            failed = errorOf(response.socket!)
            net.after('1s', () => {
              link.cut()
              response.write('another')
            })
          }),
        )
        serving.on('clientError', () => {})
        // Without keep-alive of TCP, by which the client would know it sooner.
        const request = client.http.get('http://server/', { agent: false }).on('error', () => {})
        const [response] = (await once(request, 'response')) as [IncomingMessage]
        response.on('error', () => {})
        return [String((await once(response, 'data'))[0]), await failed!]
      })
      expect(body).to.equal('a part')
      expect(error.code).to.equal('ETIMEDOUT')
      // The first timer after 924.6 s, by which Linux reckons (15 retries from 200 ms to 120 s).
      expect(net.time / 1000).to.be.within(924.6, 925 + 121)
      await net.close()
    })

    it('a partition that ends: the request is answered when the retransmission gets through', async () => {
      const { net, server, client, link } = pair({ delay: '10ms' })
      const body = await net.run(async () => {
        const serving = await listen(server.http.createServer(greet))
        serving.keepAliveTimeout = 60_000
        const agent = new client.http.Agent({ keepAlive: true, keepAliveMsecs: 60_000 })
        await bodyOf(client.http.get({ host: 'server', agent }))
        link.cut()
        net.after('20s', () => void link.heal())
        return await bodyOf(client.http.get({ host: 'server', path: '/late', agent }))
      })
      expect(body).to.equal('hello /late')
      expect(net.time / 1000).to.be.within(20, 60)
      await net.close()
    })

    it('a server that is stopped and started again: socket hang up, refused, answered', async () => {
      const { net, server, client } = pair({ delay: '50ms' })
      await net.run(async () => {
        const first = await listen(server.http.createServer(() => {}))
        const request = client.http.get('http://server/')
        const hungUp = errorOf(request)
        await net.sleep('1s')
        first.close()
        first.closeAllConnections()
        expect(await hungUp).to.include({ code: 'ECONNRESET', message: 'socket hang up' })
        expect(net.time).to.equal(1050)
        const refused = await errorOf(client.http.get('http://server/'))
        expect(refused.message).to.equal('connect ECONNREFUSED 10.0.0.1:80')
        expect(net.time).to.equal(1150)
        const second = await listen(server.http.createServer(greet))
        expect(await bodyOf(client.http.get('http://server/again'))).to.equal('hello /again')
        second.close()
      })
      await net.close()
    })

    it('a reader that is slow: the writer waits for it, and little is held', async () => {
      const { net, server, client } = pair({ delay: '20ms' })
      const size = 8 << 20
      const sent: number[] = []
      const received = await net.run(async () => {
        await listen(
          server.http.createServer((_, response) => {
            const chunk = Buffer.alloc(64 << 10)
            const write = (): void => {
              while (!response.write(chunk)) return void response.once('drain', write)
            }
            write()
            response.on('close', () => sent.push(-1))
            net.after('4s', () => sent.push(response.socket!.bytesWritten))
            net.after('9s', () => sent.push(response.socket!.bytesWritten))
          }),
        )
        const [response] = (await once(client.http.get('http://server/'), 'response')) as [IncomingMessage]
        await net.sleep('10s')
        let waiting = 0
        for (const host of [server, client]) {
          host.tcpProtocol.forEachConnection(({ ring, sendQueue }) => {
            waiting += ring.length + sendQueue.length
          })
        }
        expect(waiting).to.be.within(1, 16 << 20)
        let count = 0
        for await (const chunk of response) {
          count += (chunk as Buffer).length
          if (count >= size) break
        }
        return count
      })
      expect(sent[0]).to.equal(sent[1]) // nothing was taken between the 4th and the 9th second
      expect(received).to.be.within(size, size + (1 << 20))
      await net.close()
    })

    it('keep-alive: the server ends a connection that is idle for keepAliveTimeout', async () => {
      const { net, server, client } = pair({ delay: '10ms' })
      const serving = server.http.createServer(greet)
      serving.keepAliveTimeout = 5000
      await net.run(async () => {
        await listen(serving)
        const agent = new client.http.Agent({ keepAlive: true })
        const request = client.http.get({ host: 'server', agent })
        const [socket] = (await once(request, 'socket')) as [Socket]
        const closed = once(socket, 'close')
        await bodyOf(request)
        const answered = net.time
        await closed
        // Newer versions of Node wait a second longer than they say.
        expect(net.time - answered).to.be.within(5000, 6100)
      })
      await net.close()
    })

    it('timeouts of requests and sockets', async () => {
      const { net, server, client } = pair({ delay: '10ms' })
      await net.run(async () => {
        await listen(server.http.createServer(() => {}))
        const request = client.http.get({ host: 'server', timeout: 3000 })
        request.on('error', () => {})
        await once(request, 'timeout')
        expect(net.time).to.be.within(3000, 3100)
        request.destroy()
        const before = net.time
        const socket = client.net.connect(80, 'server').setTimeout(2000)
        net.after('1s', () => void socket.write('G'))
        await once(socket, 'timeout')
        expect(net.time - before).to.be.within(3000, 3100)
        socket.setTimeout(0)
        await net.sleep('1h')
        socket.setTimeout(1000)
        socket.destroy()
        expect(() => socket.setTimeout('x' as never)).to.not.throw() // Node looks at nothing of what is destroyed
      })
      await net.close()
    })

    it('many hosts, which know each other by name', async () => {
      const net = simulate({ seed: 1 })
      const count = 40
      const router = net.router(Array.from({ length: count }, (_, i) => `10.0.${i}.254/24`))
      const hosts = Array.from({ length: count }, (_, i) => {
        const host = net.host(`10.0.${i}.1/24`, { name: `Node-${i}.test` })
        net.link(host, router, { delay: i + 1 })
        return host
      })
      const bodies = await net.run(async () => {
        for (const [i, { http }] of hosts.entries())
          await listen(http.createServer((_, res) => res.end(`${i}`)))
        return await Promise.all(
          hosts.map(({ http }, i) => bodyOf(http.get(`http://node-${(i + 1) % count}.test./`))),
        )
      })
      expect(bodies).to.deep.equal(hosts.map((_, i) => `${(i + 1) % count}`))
      const unknown = await net.run(() => errorOf(hosts[0]!.http.get('http://nobody.test/')))
      expect(unknown.code).to.equal('ENOTFOUND')
      await net.close()
    })
  })

  describe('https', () => {
    it('handshake and request take the round trips that they must', async () => {
      const { net, server, client } = pair({ delay: '100ms' })
      await net.run(async () => {
        const options = { key: await net.busy(readFile(key)), cert: await net.busy(readFile(cert)) }
        const serving = server.https.createServer(options, greet)
        serving.keepAliveTimeout = 4000
        await listen(serving, 443)
        const request = client.https.get({ host: 'server', ca: options.cert, servername: 'localhost' })
        expect(await bodyOf(request)).to.equal('hello /')
        // TCP's handshake, that of TLS 1.3, the request: a round trip each.
        expect(net.time).to.be.within(600, 610)
        const socket = request.socket!
        if (!socket.destroyed) await once(socket, 'close')
        expect(net.time).to.be.within(3500, 6000) // the client is told, and ends it a second before the server
      })
      await net.close()
    })
  })

  describe('time', () => {
    it('waits for what is held, and not for what is not', async () => {
      const { net, server, client } = pair({ delay: '10ms' })
      const compress = promisify(gzip)
      await net.run(async () => {
        await listen(
          server.http.createServer(async (_, response) => {
            response.end(await net.busy(compress('x'.repeat(100_000))))
          }),
        )
        let late = false
        net.after('100ms', () => {
          late = true
        })
        const request = client.http.get('http://server/')
        const [response] = (await once(request, 'response')) as [IncomingMessage]
        response.resume()
        expect(late).to.equal(false)
        expect(net.time).to.be.within(40, 45)
      })
      await net.close()
    })

    it('a hold is released once, by a call or at the end of a block; the last one lets time go on', async () => {
      const { net } = pair()
      await net.run(async () => {
        const first = net.hold('first')
        const second = net.hold('second')
        let slept = false
        const sleeping = net.sleep(1).then(() => {
          slept = true
        })
        first.release()
        first.release()
        await new Promise((resolve) => setTimeout(resolve, 5))
        expect(slept).to.equal(false)
        second[Symbol.dispose]()
        await sleeping
        expect(net.time).to.equal(1)
      })
      expect(await failureOf(net.run(() => net.busy(Promise.reject(new Error('mine')))))).to.have.property(
        'message',
      )
      await net.run(() => net.sleep(1))
      await net.close()
    })

    it('what is due is done while time is held', async () => {
      const { net, client } = pair()
      await net.run(async () => {
        const hold = net.hold()
        const result = await client.ping('127.0.0.1')
        expect(result.received).to.equal(1)
        hold.release()
      })
      expect(net.time).to.equal(0)
      await net.close()
    })

    it('a hold that nobody releases is named', async () => {
      const net = simulate({ seed: 5, holdLimit: '20ms', onFailure: () => {} })
      const forgotten = net.hold('the disk')
      const error = await failureOf(net.run(() => net.sleep(1)))
      expect(error.code).to.equal('ERR_SIMULATION_HELD')
      expect(error.message).to.match(/open: hold 'the disk'\n\(simulation failed with seed 5 at 0/)
      expect((await failureOf(net.runFor(1))).code).to.equal('ERR_SIMULATION_HELD')
      forgotten.release()
      await net.runFor(1)
      await net.close()
    })

    it('a run that waits for what cannot come says what is open', async () => {
      const { net, server, client } = pair({ delay: '10ms' }, 6)
      const error = await failureOf(
        net.run(async () => {
          await listen(server.http.createServer(() => {}))
          await once(client.http.get('http://server/', { agent: false }), 'response')
        }),
      )
      expect(error.code).to.equal('ERR_SIMULATION_IDLE')
      expect(error.message).to.match(/net\.busy\(promise\)/)
      expect(error.message).to.match(/client 10\.0\.0\.2:\d+ > 10\.0\.0\.1:80 ESTABLISHED/)
      expect(error.message).to.contain('seed 6')
      await net.close()
    })
  })

  describe('dgram, dns and fetch', () => {
    it('a datagram takes the delay of the link, there and back', async () => {
      const { net, server, client } = pair({ delay: '50ms' })
      const answer = await net.run(async () => {
        const echo = server.dgram.createSocket('udp4')
        echo.on('message', (bytes, { port, address }) => echo.send(bytes, port, address)).bind(7)
        await once(echo, 'listening')
        const socket = client.dgram.createSocket('udp4')
        const before = net.time
        socket.send('hello', 7, 'server')
        const [bytes] = (await once(socket, 'message')) as [Buffer]
        socket.close()
        echo.close()
        return [String(bytes), net.time - before]
      })
      expect(answer).to.deep.equal(['hello', 100])
      await net.close()
    })

    it('names of hosts are found as by getaddrinfo, and addresses have them', async () => {
      const { net, server, client } = pair()
      const found = await net.run(async () => [
        await client.dns.promises.lookup('Server.'),
        await client.dns.promises.lookupService('10.0.0.1', 80),
        (await failureOf(client.dns.promises.lookup('nobody'))).code,
      ])
      expect(found).to.deep.equal([
        { address: '10.0.0.1', family: 4 },
        { hostname: 'server', service: '80' },
        'ENOTFOUND',
      ])
      expect(server.name).to.equal('server')
      await net.close()
    })

    it('a DNS server that is silent is given up in virtual time', async () => {
      const { net, server, client } = pair({ delay: '10ms' })
      const error = await net.run(async () => {
        const silent = server.dgram.createSocket('udp4').bind(53)
        await once(silent, 'listening')
        const resolver = new client.dns.promises.Resolver({ timeout: 5000, tries: 2 })
        resolver.setServers(['10.0.0.1'])
        const failed = await failureOf(resolver.resolve4('name.example'))
        silent.close()
        return failed
      })
      expect(error.code).to.equal('ETIMEOUT')
      expect(net.time).to.be.within(15_000, 15_100)
      await net.close()
    })

    it('fetch, over loss and delay', async () => {
      const { net, server, client } = pair({ delay: '100ms', loss: 0.02 })
      const bodies = await net.run(async () => {
        const serving = await listen(server.http.createServer(greet))
        const all: string[] = []
        for (let i = 0; i < 20; i++) {
          all.push(await (await client.fetch(`http://server/${i}`)).text())
        }
        serving.closeAllConnections()
        serving.close()
        return all
      })
      expect(bodies).to.deep.equal(Array.from({ length: 20 }, (_, i) => `hello /${i}`))
      expect(net.time).to.be.within(4000, 12_000)
      await net.close()
    })
  })

  describe('the end', () => {
    it('tells sockets of no error, and closes what listens', async () => {
      const { net, server, client } = pair({ delay: '10ms' })
      const events: string[] = []
      const see = (name: string, emitter: NodeJS.EventEmitter): void => {
        for (const event of ['error', 'end', 'close'])
          emitter.on(event, () => events.push(`${name} ${event}`))
      }
      await net.run(async () => {
        const serving = server.net.createServer((socket) => see('server', socket)).listen(7)
        await once(serving, 'listening')
        const socket = client.net.connect(7, 'server')
        see('client', socket)
        await once(socket, 'connect')
        await net.sleep(100)
      })
      await net.close()
      await new Promise(setImmediate)
      expect(events).to.have.members(['server close', 'client close'])
    })

    const run = (program: string): [status: number | null, stdout: string, stderr: string] => {
      const { status, stdout, stderr } = spawnSync(
        process.execPath,
        ['--import', 'tsx', '--input-type=module', '--eval', program],
        { cwd: ROOT, encoding: 'utf8' },
      )
      return [status, stdout, stderr]
    }

    it('time stands still while fetch’s parser is being compiled', () => {
      const program = `
        const { compile } = WebAssembly
        WebAssembly.compile = async (bytes) => {
          await new Promise((resolve) => setTimeout(resolve, 200))
          return compile(bytes)
        }
        const { simulate } = await import('./lib/node/simulation.ts')
        const net = simulate({ seed: 1 })
        const [a, b] = [net.host('10.0.0.1/24', { name: 'a' }), net.host('10.0.0.2/24')]
        net.link(a, b, { delay: '10ms' })
        await net.run(async () => {
          const server = a.http.createServer((_, response) => response.end('hello')).listen(80)
          console.log(await (await b.fetch('http://a/')).text(), net.time < 100)
          server.closeAllConnections()
          server.close()
        })`
      expect(run(program)).to.deep.equal([0, 'hello true\n', ''])
    }).timeout(70_000)

    it('what is still open keeps no process alive', () => {
      const program = `
        import { simulate } from './lib/node/simulation.ts'
        const net = simulate({ seed: 1 })
        const [a, b] = [net.host('10.0.0.1/24', { name: 'a' }), net.host('10.0.0.2/24')]
        net.link(a, b)
        await net.run(async () => {
          a.http.createServer(() => {}).listen(80)
          await net.sleep(1)
          b.http.get('http://a/')
          await net.sleep(1)
        })
        setTimeout(() => process.exit(7), 60_000).unref()
        console.log('done')`
      expect(run(program)).to.deep.equal([0, 'done\n', ''])
    }).timeout(70_000)
  })

  describe('in real time', () => {
    it('is what the machine says, and nothing has to be held', async () => {
      const net = simulate({ seed: 1, realTime: true, onFailure: () => {} })
      const server = net.host('10.0.0.1/24', { name: 'server' })
      const client = net.host('10.0.0.2/24')
      const link = net.link(server, client, { delay: '5ms' })
      const start = performance.now()
      const body = await net.run(async () => {
        await listen(
          server.http.createServer(async (_, response) => {
            await new Promise((resolve) => setTimeout(resolve, 5))
            response.end(await readFile(cert))
          }),
        )
        return await bodyOf(client.http.get({ host: 'server', agent: false }))
      })
      expect(body).to.contain('CERTIFICATE')
      expect(performance.now() - start).to.be.at.least(24)
      expect(net.time).to.be.at.least(24)
      expect(link.packets[0]!.time).to.be.within(0, net.time)
      expect((await failureOf(net.runUntilIdle())).code).to.equal('ERR_SIMULATION_REAL_TIME')
      const late = await failureOf(net.run(() => new Promise(() => {}), { limit: '2ms' }))
      expect(late.code).to.equal('ERR_SIMULATION_LIMIT')
      await net.runFor('2ms')
      net.useTimers()()
      await net.close()
      let open = 0
      server.tcpProtocol.forEachConnection(({ state }) => {
        if (state !== TcpState.CLOSED) open++
      })
      expect(open).to.equal(0)
    })
  })
})
