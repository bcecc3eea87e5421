import { expect } from 'chai'
import type { TcpEvent, TcpSocket } from '../../lib/index.ts'
import { impaired } from './impaired.ts'
import { content, LEFT, Pair, RIGHT, readAll, tick } from './pair.ts'
import { codeOf } from './raw-peer.ts'

describe('TcpSocket', () => {
  let pair: Pair
  beforeEach(() => {
    pair = new Pair()
  })
  afterEach(() => pair.end())

  it('reads into a buffer, part by part, and waits', async () => {
    const { client, server } = await pair.connect()
    await client.write(new Uint8Array([1, 2, 3, 4, 5]))
    pair.clock.advance(0)
    const target = new Uint8Array(8)
    expect(await server.readInto(target, 2, 3)).to.equal(3)
    expect(Array.from(target)).to.deep.equal([0, 0, 1, 2, 3, 0, 0, 0])
    expect(await server.readInto(target)).to.equal(2)
    const waiting = server.readInto(target)
    expect(await codeOf(server.readInto(target))).to.equal('ERR_INVALID_STATE')
    await client.write(new Uint8Array([9]))
    expect(await pair.until(waiting)).to.equal(1)
    expect(await server.readInto(target, 0, 0)).to.equal(0)
    expect(await codeOf(server.readInto(target, 5, 9))).to.equal('ERR_INVALID_ARG_VALUE')
    expect(await codeOf(server.readInto('x' as never))).to.equal('ERR_INVALID_ARG_VALUE')
    expect(await codeOf(client.write('x' as never))).to.equal('ERR_INVALID_ARG_VALUE')
  })

  it('copies what is written: the caller’s buffer is his again at once', async () => {
    const { client, server } = await pair.connect()
    const bytes = content(20_000)
    const copy = bytes.slice()
    const writing = client.write(bytes)
    bytes.fill(0)
    client.end()
    expect(await pair.until(readAll(server))).to.deep.equal(copy)
    await writing
  })

  it('holds back a writer whose reader does not read, and lets him go on', async () => {
    const { client, server } = await pair.connect({ sendBuffer: 20_000 }, { receiveBuffer: 20_000 })
    let written = 0
    let done = false
    const bytes = content(1 << 20)
    void (async () => {
      for (let at = 0; at < bytes.length; at += 10_000) {
        await client.write(bytes.subarray(at, at + 10_000))
        written = at + 10_000
      }
      client.end()
      done = true
    })()
    await pair.pass(60_000)
    expect(written).to.be.within(20_000, 120_000)
    expect(server.readableLength).to.be.at.most(20_000 + 1024) // and a unit of the window scale
    expect(done).to.equal(false)
    expect(Buffer.compare(await pair.until(readAll(server)), bytes)).to.equal(0)
    expect(done).to.equal(true)
  })

  it('grows its buffers with what is read', async () => {
    await pair.end()
    pair = new Pair({ wrap: (device) => impaired(device, { delay: 5 }) })
    const { client, server } = await pair.connect()
    const all = readAll(server)
    const before = server.info.rcv_ssthresh
    void (async () => {
      for (let i = 0; i < 100; i++) await client.write(new Uint8Array(50_000))
      client.end()
    })()
    await pair.until(all)
    expect(before).to.equal(65_160)
    expect(server.info.rcv_ssthresh).to.be.above(2 * before)
  })

  it('iterates, and leaving the loop leaves the connection', async () => {
    const { client, server } = await pair.connect()
    await client.write(new Uint8Array([1]))
    pair.clock.advance(0)
    for await (const chunk of server) {
      expect(Array.from(chunk)).to.deep.equal([1])
      break
    }
    expect(server.state).to.equal('ESTABLISHED')
    const next = server[Symbol.asyncIterator]().next()
    await client.write(new Uint8Array([2]))
    expect(Array.from((await pair.until(next)).value!)).to.deep.equal([2])
  })

  it('ends what waits when it is closed or reset', async () => {
    const { client, server } = await pair.connect()
    const reading = codeOf(client.readInto(new Uint8Array(1)))
    await pair.until(client.close())
    expect(await reading).to.equal('ENOTCONN')
    expect(await codeOf(client.write(new Uint8Array(1)))).to.equal('EPIPE')
    expect(await codeOf(client.readInto(new Uint8Array(1)))).to.equal('ENOTCONN')
    expect(await pair.until(readAll(server))).to.have.length(0)
    server.reset()
    await pair.pass(10)
    expect(client.state).to.equal('CLOSED')
    await client.close()
    client.end()
  })

  it('says when a peer has reset it, to all who wait', async () => {
    const { client, server } = await pair.connect({ sendBuffer: 4096 })
    const reading = codeOf(client.readInto(new Uint8Array(1)))
    server.reset()
    expect(await pair.until(reading)).to.equal('ECONNRESET')
    expect(await codeOf(client.write(new Uint8Array(1)))).to.equal('ECONNRESET')
    const error = await client.readInto(new Uint8Array(1)).catch((reason: Error) => reason)
    expect(error).to.include({ message: `connection reset by ${RIGHT}:80`, syscall: 'read', errno: -104 })
    let failure: unknown
    try {
      for await (const _ of client) expect.fail('no data')
    } catch (reason) {
      failure = reason
    }
    expect(failure).to.have.property('code', 'ECONNRESET')
  })

  it('gives connections in loops, one after another, until the server is closed', async () => {
    const listener = pair.right.tcp.listen({ port: 80 })
    const dial = (): Promise<TcpSocket> => pair.until(pair.left.tcp.connect({ address: RIGHT, port: 80 }))
    const clients = [await dial(), await dial(), await dial()]
    const ports: number[] = []
    for await (const { remotePort } of listener) {
      ports.push(remotePort)
      if (ports.length === 2) break // the server listens on
    }
    const loop = (async () => {
      for await (const { remotePort } of listener) ports.push(remotePort)
    })()
    await tick()
    clients.push(await dial())
    await tick()
    await listener.close()
    await loop
    expect(ports).to.deep.equal(clients.map(({ localPort }) => localPort))
    const iterator = listener[Symbol.asyncIterator]()
    expect(iterator[Symbol.asyncIterator]()).to.equal(iterator)
    expect(await iterator.next()).to.deep.equal({ value: undefined, done: true })
    for (const client of clients) client.reset()
  })

  it('ends with the stack', async () => {
    const { client, server, listener } = await pair.connect()
    const reading = codeOf(client.readInto(new Uint8Array(1)))
    const accepting = codeOf(listener.accept())
    await pair.left.close()
    await pair.right.close()
    expect(await reading).to.equal('ENETDOWN')
    expect(await accepting).to.equal('ECONNABORTED')
    expect(server.state).to.equal('CLOSED')
    expect(await codeOf(pair.left.tcp.connect({ address: RIGHT, port: 80 }))).to.equal('ERR_STACK_CLOSED')
    expect(() => pair.left.tcp.listen({ port: 1 }))
      .to.throw()
      .with.property('code', 'ERR_STACK_CLOSED')
    expect(() => pair.left.tcp.listenAll())
      .to.throw()
      .with.property('code', 'ERR_STACK_CLOSED')
  })

  it('disposes itself', async () => {
    const { client, server } = await pair.connect()
    await pair.until(client[Symbol.asyncDispose]())
    expect(client.state).to.equal('FIN_WAIT_2')
    expect(await pair.until(readAll(server))).to.have.length(0)
  })

  it('tells of its states, RTTs, losses and flight as they happen', async () => {
    const events: TcpEvent[] = []
    const { client, server } = await pair.connect({ events: (event) => events.push(event) })
    await client.write(new Uint8Array(10))
    await pair.pass(50)
    await pair.until(client.close())
    await pair.until(readAll(server))
    server.end()
    await pair.pass(50)
    const states = events.flatMap((event) => (event.type === 'state' ? [event.to] : []))
    expect(states).to.deep.equal(['SYN_SENT', 'ESTABLISHED', 'FIN_WAIT_1', 'FIN_WAIT_2', 'TIME_WAIT'])
    expect(events.some(({ type }) => type === 'rtt')).to.equal(true)
    const flights = events.flatMap((event) => (event.type === 'flight' ? [event] : []))
    expect(flights.map(({ inFlight }) => inFlight)).to.deep.equal([10, 0, 1, 0]) // data, then FIN
    for (const { cwnd, ssthresh } of flights) expect([cwnd, ssthresh]).to.deep.equal([14_480, Infinity])
  })

  it('has the numbers of TCP_INFO', async () => {
    const { client, server } = await pair.connect()
    await client.write(content(5000))
    await pair.pass(100)
    expect(client.info).to.include({
      state: 1,
      ca_state: 0,
      options: 7,
      snd_mss: 1448,
      advmss: 1460,
      pmtu: 1500,
      unacked: 0,
      notsent_bytes: 0,
      bytes_sent: 5000,
      bytes_acked: 5000,
      data_segs_out: 4,
      total_retrans: 0,
      snd_ssthresh: 0x7fffffff,
    })
    expect(server.info).to.include({ bytes_received: 5000, data_segs_in: 4 })
    expect(client.localAddress).to.equal(LEFT)
  })

  it('connects a stack to itself, over loopback, in super-segments', async () => {
    const listener = pair.left.tcp.listen({ address: '127.0.0.1', port: 9 })
    const accepting = listener.accept()
    const client = await pair.until(pair.left.tcp.connect({ address: '127.0.0.1', port: 9 }))
    const server = await pair.until(accepting)
    const bytes = content(1 << 20)
    void (async () => {
      await client.write(bytes)
      client.end()
    })()
    expect(Buffer.compare(await pair.until(readAll(server)), bytes)).to.equal(0)
    expect(client.info.snd_mss).to.be.above(30_000)
  })

  it('hardening-23: a thousand idle connections hold no buffers', async () => {
    const listener = pair.right.tcp.listen({ port: 80, backlog: 2000 })
    const opening: Promise<unknown>[] = []
    for (let i = 0; i < 1000; i++) opening.push(pair.left.tcp.connect({ address: RIGHT, port: 80 }))
    await pair.until(Promise.all(opening))
    for (let i = 0; i < 1000; i++) await listener.accept()
    let capacity = 0
    pair.right.tcpProtocol.forEachConnection(({ ring }) => {
      capacity += ring.capacity
    })
    expect(capacity).to.equal(0)
    expect(pair.right.mib.get('TcpCurrEstab')).to.equal(1000)
    await tick()
  })
})
