/** UDP of a guest through the gateway to sockets on the host's loopback, and ports of the host that lead to a guest. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { expect } from 'chai'
import type { UdpMessage, UdpSocket } from '../../../lib/index.ts'
import { gateway } from '../../../lib/node/index.ts'
import { GUEST, OUTSIDE, OWN, until, useRig } from './rig.ts'

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const bytes = (string: string): Uint8Array => new TextEncoder().encode(string)

describe('gateway: UDP', () => {
  const rig = useRig()

  /** A socket of the host on its loopback, that does something with what comes. */
  async function host(onMessage: (data: Buffer, from: RemoteInfo, socket: Socket) => void): Promise<Socket> {
    const socket = createSocket('udp4')
    socket.on('message', (data, from) => onMessage(data, from, socket))
    socket.bind(0, '127.0.0.1')
    await once(socket, 'listening')
    rig.undo(() => socket.close())
    return socket
  }
  const echo = () => host((data, from, socket) => socket.send(`${data}!`, from.port, from.address))
  const loopback = (port: number) => ({ redirect: { address: '127.0.0.1', port } })

  async function ask(socket: UdpSocket, data: string, to: string, port: number): Promise<UdpMessage> {
    await socket.send(bytes(data), { address: to, port })
    return await socket.receive({ signal: AbortSignal.timeout(5000) })
  }

  it('an answer comes from where the question went, whatever its size', async () => {
    const server = await echo()
    const { guest, gateway } = await rig.make({ onConnect: () => loopback(server.address().port) })
    const socket = guest.udp.bind({})
    for (const size of [0, 1, 1400, 4000, 20_000]) {
      const { data, address, port } = await ask(socket, 'x'.repeat(size), OUTSIDE, 4000)
      expect([data.length, address, port]).to.deep.equal([size + 1, OUTSIDE, 4000])
    }
    expect(gateway.counters).to.include({ udpMappings: 1, udpOpen: 1, udpToHost: 5, udpToGuest: 5 })
  })

  it('whomever it talks to, a socket of the guest has one port (RFC 4787 REQ-1), and only they may answer', async () => {
    const seen: number[] = []
    const servers = await Promise.all([0, 1, 2].map(() => host((_, { port }) => seen.push(port))))
    const stranger = await host(() => {})
    const { guest } = await rig.make({
      onConnect: ({ destination: { port } }) => loopback(servers[port - 1]!.address().port),
    })
    const socket = guest.udp.bind({})
    for (const port of [1, 2, 3, 1, 2]) {
      await socket.send(bytes('hello'), { address: OUTSIDE, port })
      await until(() => seen.length > 0)
    }
    await until(() => seen.length === 5)
    expect(new Set(seen).size).to.equal(1)
    servers[1]!.send('from a server', seen[0]!, '127.0.0.1')
    const { data, address, port } = await socket.receive({ signal: AbortSignal.timeout(5000) })
    expect([text(data), address, port]).to.deep.equal(['from a server', OUTSIDE, 2])
    // From another port of an address that was talked to: it may answer too.
    stranger.send('from another port', seen[0]!, '127.0.0.1')
    const other = await socket.receive({ signal: AbortSignal.timeout(5000) })
    expect([other.address, other.port]).to.deep.equal([OUTSIDE, stranger.address().port])
  })

  it('a port that nobody listens on is Port Unreachable, for the guest too', async () => {
    const closed = createSocket('udp4').bind(0, '127.0.0.1')
    await once(closed, 'listening')
    const { port } = closed.address()
    const { guest } = await rig.make({ onConnect: () => loopback(port) })
    closed.close()
    const socket = guest.udp.bind({})
    socket.connect({ address: OUTSIDE, port: 9 })
    await socket.send(bytes('anybody?'))
    const error = await socket.receive({ signal: AbortSignal.timeout(5000) }).catch((reason) => reason)
    expect(error.code).to.equal('ECONNREFUSED')
  })

  it('denied is Port Unreachable, dropped is silence; what waits for a decision waits', async () => {
    const server = await echo()
    let decide: (() => void) | undefined
    const { guest, gateway } = await rig.make({
      onConnect: ({ destination }) => {
        if (destination.port === 1) return 'deny'
        if (destination.port === 2) return 'drop'
        return new Promise((resolve) => {
          decide = () => resolve(loopback(server.address().port))
        })
      },
    })
    const socket = guest.udp.bind({})
    socket.connect({ address: OUTSIDE, port: 1 })
    await socket.send(bytes('no'))
    const error = await socket.receive({ signal: AbortSignal.timeout(5000) }).catch((reason) => reason)
    expect(error.code).to.equal('ECONNREFUSED')
    const other = guest.udp.bind({})
    await other.send(bytes('silence'), { address: OUTSIDE, port: 2 })
    for (const data of ['one', 'two']) await other.send(bytes(data), { address: OUTSIDE, port: 3 })
    await until(() => gateway.counters.denied === 2 && decide !== undefined)
    decide!()
    for (const data of ['one!', 'two!']) {
      expect(text((await other.receive({ signal: AbortSignal.timeout(5000) })).data)).to.equal(data)
    }
  })

  it('the host’s loopback is closed, unless it was asked for; groups and others in the network are nobody', async () => {
    const server = await echo()
    const { port } = server.address()
    const { guest } = await rig.make()
    for (const address of [OWN, '10.0.2.7', '127.0.0.1', '224.0.0.9']) {
      if (address === '127.0.0.1') continue // that one is the guest's own
      const socket = guest.udp.bind({ multicastTtl: 2 })
      await socket.send(bytes('x'), { address, port })
      await new Promise((resolve) => setTimeout(resolve, 20))
      expect(socket.counters.received, address).to.equal(0)
    }
    const open = await rig.make({ hostLoopback: true })
    expect(text((await ask(open.guest.udp.bind({}), 'x', OWN, port)).data)).to.equal('x!')
  })

  it('sockets of the host go when they are idle, and the one idle longest where there are too many', async () => {
    const server = await echo()
    const { guest, gateway } = await rig.make({
      onConnect: () => loopback(server.address().port),
      maxUdpMappings: 2,
      udpTimeout: 60,
    })
    for (let i = 0; i < 3; i++) await ask(guest.udp.bind({}), 'x', OUTSIDE, 5)
    expect(gateway.counters).to.include({ udpMappings: 3, udpEvicted: 1, udpOpen: 2 })
    await until(() => gateway.counters.udpOpen === 0)
  })

  describe('forwards', () => {
    it('a port of the host leads to the guest: TCP', async () => {
      const { guest, gateway } = await rig.make({ forwards: [{ port: 0, guestPort: 80 }] })
      const server = guest.tcp.listen({ port: 80 })
      void (async () => {
        for await (const socket of server) {
          expect(socket.remoteAddress).to.equal(OWN)
          for await (const chunk of socket) await socket.write(chunk)
          await socket.close()
        }
      })()
      const { host, port, guestAddress } = gateway.forwards[0]!
      expect([host, guestAddress]).to.deep.equal(['127.0.0.1', GUEST])
      const sent = 'data '.repeat(50_000)
      const client = connect(port, host)
      let received = ''
      client.on('data', (chunk) => (received += chunk))
      client.end(sent)
      await once(client, 'close')
      expect(received === sent).to.equal(true)
      await until(() => gateway.counters.tcpOpen === 0)
    })

    it('nobody there: the host’s client is reset', async () => {
      const { gateway } = await rig.make({ forwards: [{ port: 0, guestPort: 81 }] })
      const client = connect(gateway.forwards[0]!.port)
      const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException]
      expect(error.code).to.equal('ECONNRESET')
    })

    it('UDP: each outsider has a port of the gateway, and hears the guest’s answers', async () => {
      const { guest, gateway } = await rig.make({ forwards: [{ protocol: 'udp', port: 0, guestPort: 53 }] })
      const seen = new Set<number>()
      const server = guest.udp.bind({
        port: 53,
        onMessage: ({ data, address, port }) => {
          expect(address).to.equal(OWN)
          seen.add(port)
          server.trySend(bytes(`${text(data)}?`), { address, port })
        },
      })
      for (const name of ['a', 'b']) {
        const client = await host((data) => client.emit('answer', String(data)))
        const answer = once(client, 'answer')
        client.send(name, gateway.forwards[0]!.port, '127.0.0.1')
        expect(await answer).to.deep.equal([`${name}?`])
      }
      expect(seen.size).to.equal(2)
    })

    it('a port that is taken is said, and nothing is left behind', async () => {
      const taken = createServer().listen(0, '127.0.0.1')
      await once(taken, 'listening')
      rig.undo(() => taken.close())
      const { port } = taken.address() as { port: number }
      const { guest } = await rig.make()
      const error = await gateway(guest, {
        device: 'eth0',
        address: '10.0.2.100/24',
        guest: OWN,
        forwards: [{ port, guestPort: 1 }],
      }).catch((reason) => reason)
      expect(error.code).to.equal('EADDRINUSE')
      await (await gateway(guest, { device: 'eth0', address: '10.0.2.100/24', guest: OWN })).close()
    })
  })
})
