/** A catch-all for datagrams: what no socket is there for, at any address, and answers from there. */
import { expect } from 'chai'
import {
  createPipe,
  type Stack as HostStack,
  MILLISECOND,
  Stack,
  seededRandom,
  VirtualClock,
} from '../../lib/index.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (data: Uint8Array): string => new TextDecoder().decode(data)

describe('UdpCatchAll', () => {
  let clock: VirtualClock
  let client: HostStack
  let host: HostStack

  beforeEach(() => {
    clock = new VirtualClock()
    client = new Stack({ clock, random: seededRandom(1) })
    host = new Stack({ clock, random: seededRandom(2) })
    const [left, right] = createPipe({ names: ['eth0', 'eth0'] })
    client.addDevice(left).addAddress('10.1.0.1/24')
    client.routes.add('default via 10.1.0.2')
    host.addDevice(right).addAddress('10.1.0.2/24')
    host.routes.add('local 198.51.100.0/24 dev lo')
  })

  afterEach(() => Promise.all([client.close(), host.close()]))

  it('hears of what no socket is there for, and answers from where it was sent to', async () => {
    const all = host.udp.bindAll()
    const own = host.udp.bind({ port: 53 })
    const socket = client.udp.bind({ port: 5000 })
    socket.send(bytes('for the socket'), { address: '198.51.100.9', port: 53 })
    socket.send(bytes('for anybody'), { address: '198.51.100.9', port: 123 })
    clock.advance(10 * MILLISECOND)
    expect([own.waiting, host.mib.get('UdpNoPorts')]).to.deep.equal([1, 0])
    const { value } = await all[Symbol.asyncIterator]().next()
    expect({ ...value, data: text(value!.data) }).to.deep.equal({
      data: 'for anybody',
      address: '10.1.0.1',
      port: 5000,
      to: '198.51.100.9',
      toPort: 123,
      device: 'eth0',
      ttl: 64,
      tos: 0,
    })
    all.send(bytes('yes'), { address: '10.1.0.1', port: 5000 }, { address: '198.51.100.9', port: 123 })
    all.send(
      bytes('who is this'),
      { address: '10.1.0.1', port: 5000 },
      { address: '203.0.113.5', port: 65_535 },
    )
    clock.advance(10 * MILLISECOND)
    const first = await socket.receive()
    const second = await socket.receive()
    expect([first.address, first.port, text(first.data)]).to.deep.equal(['198.51.100.9', 123, 'yes'])
    expect([second.address, second.port]).to.deep.equal(['203.0.113.5', 65_535])
  })

  it('refuses: the sender hears Port Unreachable from the address that it asked', async () => {
    const all = host.udp.bindAll()
    const reports: unknown[] = []
    const socket = client.udp.bind({ onError: (report) => reports.push(report) })
    socket.connect({ address: '198.51.100.9', port: 7 })
    socket.send(bytes('hello'))
    clock.advance(10 * MILLISECOND)
    const { value } = await all[Symbol.asyncIterator]().next()
    all.refuse(value!)
    clock.advance(10 * MILLISECOND)
    expect(reports).to.deep.equal([
      {
        code: 'ECONNREFUSED',
        address: '198.51.100.9',
        port: 7,
        reporter: '198.51.100.9',
        icmp: { type: 3, code: 3, info: 0 },
        fatal: true,
      },
    ])
    expect(() => socket.send(bytes('again'))).to.throw('ECONNREFUSED')
  })

  it('keeps no more than its buffer, and counts the rest', () => {
    const all = host.udp.bindAll({ receiveBuffer: 1000 })
    const socket = client.udp.bind()
    for (let i = 0; i < 10; i++) socket.send(new Uint8Array(500), { address: '198.51.100.9', port: 7 })
    clock.advance(10 * MILLISECOND)
    expect([all.overflowed, host.mib.get('UdpRcvbufErrors')]).to.deep.equal([8, 8])
  })

  it('ends once, and what comes then is answered as by any host', async () => {
    const all = host.udp.bindAll()
    expect(() => host.udp.bindAll())
      .to.throw()
      .with.property('code', 'EADDRINUSE')
    const waiting = all[Symbol.asyncIterator]().next()
    all.close()
    all.close()
    expect((await waiting).done).to.equal(true)
    const there = { address: '10.1.0.1', port: 1 }
    expect(() => all.send(bytes('x'), there, there))
      .to.throw()
      .with.property('code', 'ERR_SOCKET_CLOSED')
    client.udp.bind().send(bytes('hello'), { address: '198.51.100.9', port: 7 })
    clock.advance(10 * MILLISECOND)
    expect(host.mib.get('UdpNoPorts')).to.equal(1)
    await host.close()
    expect(() => host.udp.bindAll())
      .to.throw()
      .with.property('code', 'ERR_STACK_CLOSED')
  })

  it('takes no wrong arguments', () => {
    const all = host.udp.bindAll()
    const there = { address: '10.1.0.1', port: 1 }
    for (const call of [
      () => all.send('x' as never, there, there),
      () => all.send(bytes('x'), { ...there, port: 0 }, there),
      () => all.send(bytes('x'), there, { ...there, port: 65_536 }),
      () => all.send(bytes('x'), there, { ...there, address: 'x' }),
    ]) {
      expect(call).to.throw().with.property('code', 'ERR_INVALID_ARG_VALUE')
    }
  })
})
