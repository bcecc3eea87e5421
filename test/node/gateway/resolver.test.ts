/** The gateway's DNS: names of its own, the host's resolvers, and what is decided by names. */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { expect } from 'chai'
import { type Answer, decode, encode, streamEncode } from 'dns-packet'
import { type GatewayFlow, nodeSockets } from '../../../lib/node/index.ts'
import { OUTSIDE, OWN, useRig } from './rig.ts'

describe('gateway: DNS', () => {
  const rig = useRig()

  /** A resolver of the host, on UDP and TCP at one port. Long names have answers that need TCP; some have none. */
  async function resolver(): Promise<{ server: string; asked: string[] }> {
    const asked: string[] = []
    const answerTo = (question: Buffer, how: string): Buffer => {
      const { id = 0, questions } = decode(question)
      const { name, type } = questions![0]!
      asked.push(`${how} ${name}`)
      const answers: Answer[] =
        type === 'A'
          ? [{ type: 'A', name, ttl: 5, data: name === 'evil.example' ? '192.0.2.66' : OUTSIDE }]
          : []
      const truncated = name.startsWith('long') && how === 'udp' ? 0x200 : 0
      return encode({
        type: 'response',
        id,
        flags: 0x180 | truncated,
        questions: questions!,
        answers: truncated ? [] : answers,
      })
    }
    const udp: Socket = createSocket('udp4')
    udp.on('message', (question, { port, address }) => {
      if (!String(question).includes('silent')) udp.send(answerTo(question, 'udp'), port, address)
    })
    const tcp: Server = createServer((socket) => {
      socket.on('data', (data) => socket.end(streamEncode(decode(answerTo(data.subarray(2), 'tcp')))))
    })
    tcp.listen(0, '127.0.0.1')
    await once(tcp, 'listening')
    const { port } = tcp.address() as { port: number }
    udp.bind(port, '127.0.0.1')
    await once(udp, 'listening')
    rig.undo(() => udp.close())
    rig.undo(() => tcp.close())
    return { server: `127.0.0.1:${port}`, asked }
  }

  it('asks the host’s resolvers, by TCP where an answer does not fit', async () => {
    const { server, asked } = await resolver()
    const { guest, gateway } = await rig.make({ dns: { servers: [server] } })
    const { dns } = nodeSockets(guest, { servers: [OWN] })
    expect(await dns.promises.resolve4('name.example')).to.deep.equal([OUTSIDE])
    expect(await dns.promises.resolve4('long.example')).to.deep.equal([OUTSIDE])
    expect(asked).to.deep.equal(['udp name.example', 'udp long.example', 'tcp long.example'])
    expect(gateway.counters).to.include({ dnsQueries: 3, dnsFailed: 0 })
  })

  it('asks the next one where one is closed, and says so if none answers', async () => {
    const { server } = await resolver()
    const { guest } = await rig.make({ dns: { servers: ['127.0.0.1:1', server] } })
    const { dns } = nodeSockets(guest, { servers: [OWN] })
    expect(await dns.promises.resolve4('name.example')).to.deep.equal([OUTSIDE])
    const none = await rig.make({ dns: { servers: ['127.0.0.1:1'] } })
    const failed = await nodeSockets(none.guest, { servers: [OWN] })
      .dns.promises.resolve4('name.example')
      .catch((error) => error)
    expect(failed.code).to.equal('ESERVFAIL')
    expect(none.gateway.counters.dnsFailed).to.be.above(0)
  })

  it('has names of its own, also for all that are below one', async () => {
    const { server, asked } = await resolver()
    const names = { 'API.local.': '10.0.2.2', '*.wild.local': ['192.0.2.1', '192.0.2.2'] }
    const { guest } = await rig.make({ dns: { servers: [server], names } })
    const { dns } = nodeSockets(guest, { servers: [OWN] })
    expect(await dns.promises.resolve4('api.LOCAL')).to.deep.equal(['10.0.2.2'])
    expect(await dns.promises.resolve4('a.b.wild.local')).to.deep.equal(['192.0.2.1', '192.0.2.2'])
    const none = await dns.promises.resolve6('api.local').catch((error) => error)
    expect(none.code).to.equal('ENODATA')
    expect(asked).to.deep.equal([])
  })

  it('what is decided by names: an address has those that were asked for', async () => {
    const { server } = await resolver()
    const flows: GatewayFlow[] = []
    const { guest } = await rig.make({
      dns: { servers: [server] },
      onConnect: (flow) => {
        flows.push(flow)
        return flow.names.includes('evil.example') ? 'deny' : 'drop'
      },
    })
    const { dns, net } = nodeSockets(guest, { servers: [OWN] })
    for (const name of ['one.example', 'two.example']) await dns.promises.lookup(name)
    const socket = net.connect(80, 'evil.example')
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
    expect(error.code).to.equal('ECONNREFUSED')
    net.connect(80, OUTSIDE).on('error', () => {})
    while (flows.length < 2) await new Promise((resolve) => setTimeout(resolve, 2))
    expect(flows.map(({ name, names }) => [name, names])).to.deep.equal([
      ['evil.example', ['evil.example']],
      ['two.example', ['two.example', 'one.example']],
    ])
  })

  it('is not there if it is not wanted, and bears what is no question', async () => {
    const off = await rig.make({ dns: false })
    const refused = await nodeSockets(off.guest, { servers: [OWN] })
      .dns.promises.resolve4('name.example')
      .catch((error) => error)
    expect(refused.code).to.equal('ECONNREFUSED')
    const { guest } = await rig.make({ dns: { names: { here: OUTSIDE } } })
    const socket = guest.udp.bind({})
    for (let length = 0; length < 40; length++) {
      await socket.send(new Uint8Array(length).fill(length * 7), { address: OWN, port: 53 })
    }
    const stream = await guest.tcp.connect({ address: OWN, port: 53 })
    await stream.write(new Uint8Array([0, 3, 1, 2, 3]))
    expect((await nodeSockets(guest, { servers: [OWN] }).dns.promises.resolve4('here'))[0]).to.equal(OUTSIDE)
  })
})
