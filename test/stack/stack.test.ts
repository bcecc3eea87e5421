import { expect } from 'chai'
import {
  BURST_SIZE,
  type Clock,
  createPipe,
  DropReason,
  Loopback,
  MILLISECOND,
  Stack,
  seededRandom,
  VirtualClock,
} from '../../lib/index.ts'
import { Bench, HOST, HostBench, PEER, useBench } from '../conformance/harness.ts'
import { decode, echoRequest, fragment, pattern, udp } from '../conformance/packets.ts'
import { Wire } from '../conformance/wire.ts'

const code = async (what: () => unknown): Promise<unknown> => {
  try {
    await what()
    return undefined
  } catch (error) {
    return (error as { code?: unknown }).code
  }
}

describe('Stack', () => {
  it('has a loopback device that is up, with 127.0.0.1/8, or down if asked for', async () => {
    const stack = new Stack()
    expect(stack.loopback.addresses).to.deep.equal(['127.0.0.1/8'])
    expect(stack.loopback.isUp).to.equal(true)
    expect(stack.loopback.index).to.equal(1)
    await stack.close()
    const down = new Stack({ loopbackUp: false })
    expect(down.loopback.isUp).to.equal(false)
    await down.close()
  })

  it('answers pings to every address of a prefix on lo, from that address', async () => {
    const bench = new Bench()
    bench.stack.loopback.addAddress('10.0.3.110/24')
    const result = bench.stack.ping('10.0.3.2', { count: 2, interval: 10 })
    bench.pass(20)
    const { received, probes } = await result
    expect(received).to.equal(2)
    expect(probes[0]!.from).to.equal('10.0.3.2')
    for (const [name, value] of [
      ['IpInReceives', 4],
      ['IpInDelivers', 4],
      ['IpOutRequests', 4],
      ['IcmpInEchos', 2],
      ['IcmpInEchoReps', 2],
      ['IcmpOutEchos', 2],
      ['IcmpOutEchoReps', 2],
    ] as const) {
      expect(bench.count(name), name).to.equal(value)
    }
    const { txPackets, rxPackets } = bench.stack.loopback.stats
    expect([txPackets, rxPackets]).to.deep.equal([4, 4])
    await bench.end()
  })

  it('runs in real time as well', async () => {
    const stack = new Stack()
    const { received } = await stack.ping('127.0.0.1', { count: 2, interval: 1 })
    expect(received).to.equal(2)
    await stack.close()
  })

  it('two stacks on a pipe ping each other, and a third behind a router', async () => {
    const clock = new VirtualClock()
    const make = (seed: number): Stack => new Stack({ clock, random: seededRandom(seed) })
    const [a, router, b] = [make(1), make(2), make(3)]
    const [one, two] = createPipe({ names: ['eth0', 'eth1'] })
    const [three, four] = createPipe({ names: ['eth2', 'eth0'] })
    a.addDevice(one).addAddress('10.1.0.2/24')
    router.addDevice(two).addAddress('10.1.0.1/24')
    router.addDevice(three).addAddress('10.2.0.1/24')
    b.addDevice(four).addAddress('10.2.0.2/24')
    a.routes.add('default via 10.1.0.1')
    b.routes.add('default via 10.2.0.1')
    router.sysctlSet('net.ipv4.ip_forward', 1)
    const result = a.ping('10.2.0.2', { count: 3, interval: 10, size: 4000 })
    clock.advance(100 * MILLISECOND)
    const { received, probes } = await result
    expect(received).to.equal(3)
    expect(probes[0]!.ttl).to.equal(63)
    const short = a.ping('10.2.0.2', { ttl: 1 })
    clock.advance(100 * MILLISECOND)
    expect((await short).probes[0]).to.deep.include({
      outcome: 'error',
      from: '10.1.0.1',
      code: 'EHOSTUNREACH',
    })
    for (const stack of [a, router, b]) await stack.close()
    for (const stack of [a, router, b]) expect(stack.pool.outstanding).to.equal(0)
  })

  describe('devices', () => {
    const bench = useBench(() => new Bench())

    it('get indices in order, which are never given twice', async () => {
      const { stack } = bench()
      const [a, b] = [stack.addDevice(new Wire('a')), stack.addDevice(new Wire('b'))]
      expect([a.index, b.index]).to.deep.equal([2, 3])
      await b.remove()
      expect(stack.addDevice(new Wire('b')).index).to.equal(4)
      expect(stack.interfaces.map(({ name }) => name)).to.deep.equal(['lo', 'a', 'b'])
      expect(stack.interface('b').index).to.equal(4)
      expect(await code(() => stack.interface('c'))).to.equal('ENODEV')
    })

    it('are refused under a name that is taken or none', async () => {
      const { stack } = bench()
      stack.addDevice(new Wire('a'))
      expect(await code(() => stack.addDevice(new Wire('a')))).to.equal('EEXIST')
      expect(await code(() => stack.addDevice(new Wire('b'), { name: 'lo' }))).to.equal('EEXIST')
      expect(await code(() => stack.addDevice(new Wire('b'), { name: 'a/b' }))).to.equal('EINVAL')
      expect(stack.addDevice(new Wire('a'), { name: 'other', up: false }).isUp).to.equal(false)
      expect(stack.interfaces).to.have.length(3)
    })

    it('that cannot be attached leave nothing behind', async () => {
      const { stack } = bench()
      const lo = new Loopback({ name: 'x' })
      stack.addDevice(lo)
      expect(await code(() => stack.addDevice(lo, { name: 'y' }))).to.equal('EBUSY')
      expect(await code(() => stack.interface('y'))).to.equal('ENODEV')
    })

    it('that are down receive nothing and send nothing', () => {
      const wire = bench().wire('a', '10.9.0.2/24')
      bench().stack.interface('a').down()
      wire.push(...Array.from({ length: BURST_SIZE + 3 }, () => echoRequest({ src: PEER, dst: HOST })))
      bench().settle()
      expect(wire.take()).to.deep.equal([])
      expect(bench().stack.mib.drops[DropReason.DEV_READY]).to.equal(BURST_SIZE + 3)
      expect(bench().count('IpInReceives')).to.equal(0)
      expect(bench().stack.pool.outstanding).to.equal(0)
    })

    it('bring their routes and take them along', async () => {
      const { stack } = bench()
      bench().wire('a', '10.9.0.2/24')
      stack.routes.add('192.0.2.0/24 via 10.9.0.1')
      const verdict = (to: string): string => stack.explain(to).verdict
      expect(verdict('192.0.2.1')).to.equal('transmit')
      stack.interface('a').down()
      expect(verdict('192.0.2.1')).to.equal('error')
      expect(verdict('10.9.0.2')).to.equal('deliver') // an address of this host all the same
      stack.interface('a').up()
      expect(verdict('10.9.0.1')).to.equal('transmit')
      expect(verdict('192.0.2.1')).to.equal('error') // static routes do not come back
      await stack.interface('a').remove()
      expect(verdict('10.9.0.1')).to.equal('error')
    })

    it('may change their MTU', async () => {
      const wire = bench().wire('a', '10.9.0.2/24')
      const nic = bench().stack.interface('a')
      const send = (): number[] => {
        void bench().stack.ping(PEER, { size: 1000, timeout: 1 })
        bench().pass(2)
        return wire.take().map((packet) => packet.length)
      }
      expect(send()).to.deep.equal([1028])
      expect(nic.setMtu(576).mtu).to.equal(576)
      expect(send()).to.deep.equal([572, 476])
    })
  })

  describe('interfaces', () => {
    const bench = useBench(() => new Bench())

    it('take addresses with broadcast, peer, label, and give them back', async () => {
      const nic = bench().stack.addDevice(new Wire('a'))
      nic.addAddress('10.1.0.1/24').addAddress('10.1.0.2/24', { label: 'a:1', broadcast: null })
      nic.addAddress('10.5.0.1', { peer: '10.6.0.1' })
      expect(nic.addresses).to.deep.equal(['10.1.0.1/24', '10.5.0.1/32', '10.1.0.2/24'])
      expect(await code(() => nic.addAddress('10.1.0.1/24'))).to.equal('EEXIST')
      expect(await code(() => nic.addAddress('10.1.0/24'))).to.equal('ERR_INVALID_ARG_VALUE')
      expect(await code(() => nic.removeAddress('10.7.0.1/24'))).to.equal('EADDRNOTAVAIL')
      nic.removeAddress('10.1.0.1/24') // takes its secondary along
      expect(nic.addresses).to.deep.equal(['10.5.0.1/32'])
      expect(bench().stack.explain('10.6.0.1').verdict).to.equal('transmit')
    })

    it('let addresses lapse', () => {
      const nic = bench().stack.addDevice(new Wire('a'))
      nic.addAddress('10.1.0.1/24', { validLifetime: 10, preferredLifetime: 5 })
      nic.addAddress('10.2.0.1/24')
      bench().pass(9_999)
      expect(nic.addresses).to.have.length(2)
      bench().pass(2)
      expect(nic.addresses).to.deep.equal(['10.2.0.1/24'])
    })

    it('join and leave groups', async () => {
      const nic = bench().stack.addDevice(new Wire('a'))
      nic.joinGroup('224.1.1.1').joinGroup('224.1.1.1').leaveGroup('224.1.1.1').leaveGroup('224.1.1.1')
      expect(await code(() => nic.leaveGroup('224.1.1.1'))).to.equal('EADDRNOTAVAIL')
      expect(await code(() => nic.joinGroup('10.0.0.1'))).to.equal('ERR_INVALID_ARG_VALUE')
    })

    it('have settings of their own and counters', () => {
      const wire = bench().wire('a', '10.9.0.2/24')
      const nic = bench().stack.interface('a')
      bench().stack.sysctlSet('net.ipv4.conf.a.rp_filter', 1)
      expect(nic.conf.rp_filter).to.equal(1)
      expect(bench().stack.sysctlGet('net.ipv4.conf.a.rp_filter')).to.equal('1')
      wire.push(echoRequest({ src: PEER, dst: HOST }, { data: [] }))
      expect(nic.stats).to.include({ rxPackets: 1, rxBytes: 28, txPackets: 1, txBytes: 28 })
    })
  })

  describe('routes', () => {
    const bench = useBench(() => new HostBench())

    it('are taken in the words of ip route, or as objects, and refused with reasons', async () => {
      const { routes } = bench().stack
      routes.add('192.0.2.0/24 via 10.9.0.1 dev tun0 metric 5 src 10.9.0.2 proto static mtu 1400')
      routes.add({ to: '192.0.2.0/24', via: '10.9.0.9', metric: 6 })
      routes.replace('192.0.2.0/24 via 10.9.0.7 metric 5')
      routes.add('blackhole 198.51.100.0/24').add('198.51.100.0/24 dev tun0 table 100')
      routes.delete('192.0.2.0/24 metric 5').delete('192.0.2.0/24')
      for (const [text, expected] of [
        ['192.0.2.0/24', 'ENODEV'],
        ['192.0.2.0/24 via 203.0.113.1', 'ENETUNREACH'],
        ['192.0.2.0/24 dev nope', 'ENODEV'],
        ['192.0.2.1/24 dev tun0', 'EINVAL'],
        ['blackhole 198.51.100.0/24', 'EEXIST'],
        ['', 'ERR_INVALID_ARG_VALUE'],
        ['192.0.2.0/24 via', 'ERR_INVALID_ARG_VALUE'],
        ['192.0.2.0/24 through tun0', 'ERR_INVALID_ARG_VALUE'],
        ['192.0.2.0/24 dev tun0 scope nowhere', 'ERR_INVALID_ARG_VALUE'],
      ] as const) {
        expect(await code(() => routes.add(text)), text).to.equal(expected)
      }
      expect(await code(() => routes.delete('192.0.2.0/24'))).to.equal('ESRCH')
    })

    it('are explained as they are asked for, by ports too', () => {
      const { stack } = bench()
      stack.sysctlSet('net.ipv4.ip_forward', 1)
      stack.routes.add('203.0.113.0/24 dev tun0').add('blackhole default table 100')
      stack.routing.fib.addRule({ priority: 10, dport: { first: 53, last: 53 }, table: 100 })
      const verdict = (port: number): string =>
        stack.explain(udp({ src: PEER, dst: '203.0.113.1' }, { dport: port }), { device: 'tun0' }).verdict
      expect(verdict(53)).to.equal('drop')
      expect(verdict(54)).to.equal('forward')
    })

    it('may name a device that is called by a number', () => {
      bench().stack.addDevice(new Wire('7')).addAddress('10.7.0.1/24')
      bench().stack.routes.add('192.0.2.0/24 dev 7')
      expect(bench().stack.explain('192.0.2.1').text).to.include('leaves by 7')
    })
  })

  describe('capture', () => {
    const bench = useBench(() => new HostBench())

    it('shows what comes and goes on a device, once', () => {
      const seen: string[] = []
      const capture = bench().stack.capture({
        device: 'tun0',
        listener: ({ device, direction, length, bytes }) =>
          seen.push(`${device} ${direction} ${length} ${bytes.length}`),
      })
      bench().exchange(bench().tun, echoRequest({ src: PEER, dst: HOST }, { data: [] }))
      capture.close()
      bench().exchange(bench().tun, echoRequest({ src: PEER, dst: HOST }, { data: [] }))
      expect(seen).to.deep.equal(['tun0 in 28 28', 'tun0 out 28 28'])
      expect([capture.packets, capture.ended]).to.deep.equal([2, true])
    })

    it('shows loopback once per packet, and drops with their reason', async () => {
      const seen: (string | undefined)[] = []
      bench().stack.capture({
        drops: true,
        listener: ({ device, dropReason }) => seen.push(dropReason ?? device),
      })
      const result = bench().stack.ping('127.0.0.1')
      bench().settle()
      await result
      expect(seen).to.deep.equal(['lo', 'lo'])
      bench().exchange(bench().tun, echoRequest({ src: PEER, dst: HOST, checksum: 1 }))
      expect(seen.slice(2)).to.deep.equal(['tun0', 'IP_CSUM'])
    })

    it('may be started and ended from within, and sees devices that come later', () => {
      const seen: string[] = []
      const capture = bench().stack.capture({
        count: 3,
        listener: ({ device }) => {
          seen.push(device)
          bench()
            .stack.udp.bind({ onMessage: () => {} })
            .send(pattern(1), { address: '10.9.0.1', port: 9 })
        },
      })
      const wire = bench().wire('later', '10.8.0.1/24')
      bench().exchange(wire, udp({ src: '10.8.0.9', dst: '10.8.0.1' }, { dport: 9 }))
      expect(seen[0]).to.equal('later')
      expect(capture.ended).to.equal(true)
      expect(seen).to.have.length(3)
      bench().tun.take()
    })

    it('a listener that throws ends the capture, not the stack', () => {
      const capture = bench().stack.capture({
        listener: () => {
          throw new Error('mine')
        },
      })
      bench().expectAlive()
      expect(capture.ended).to.equal(true)
      expect(capture.error).to.have.property('message', 'mine')
    })

    it('ends with the stack', async () => {
      let ended = 0
      bench().stack.capture({ listener: () => {}, onEnd: () => ended++ })
      await bench().stack.close()
      expect(ended).to.equal(1)
    })
  })

  describe('close', () => {
    it('gives the same promise twice, closes devices, ends what waits, frees what is held', async () => {
      const bench = new HostBench()
      const { stack, tun } = bench
      tun.blocked = true
      tun.push(echoRequest({ src: PEER, dst: HOST }))
      tun.push(fragment(echoRequest({ src: PEER, dst: HOST }), pattern(64), 0, true))
      const endpoint = stack.udp.bind({ onMessage: () => {} })
      endpoint.send(pattern(4), { address: '224.0.0.1', port: 9 }) // a copy for our own ears waits
      const ping = stack.ping(PEER, { count: 5 })
      expect(stack.pool.outstanding).to.be.greaterThan(1)
      const closing = stack.close()
      expect(stack.close()).to.equal(closing)
      await closing
      await ping
      expect(tun.gone).to.equal(true)
      expect(stack.pool.outstanding).to.equal(0)
      expect(stack.interfaces).to.deep.equal([])
      expect(bench.clock.untilNext() ?? 0).to.equal(0)
      bench.settle()
    })

    it('refuses what comes after', async () => {
      const stack = new Stack()
      const endpoint = stack.udp.bind({ onMessage: () => {} })
      await stack.close()
      expect(await code(() => stack.addDevice(new Wire('a')))).to.equal('ERR_STACK_CLOSED')
      expect(await code(() => stack.ping('127.0.0.1'))).to.equal('ERR_STACK_CLOSED')
      expect(await code(() => stack.udp.bind({ onMessage: () => {} }))).to.equal('ERR_STACK_CLOSED')
      expect(endpoint.trySend(pattern(1), { address: '127.0.0.1', port: 9 })).to.not.equal(0)
      await stack.close()
    })

    it('is what `await using` does', async () => {
      let kept: Stack
      {
        await using stack = new Stack()
        kept = stack
      }
      expect(await code(() => kept.ping('127.0.0.1'))).to.equal('ERR_STACK_CLOSED')
    })

    it('a device that fails to close is reported, and the rest is closed all the same', async () => {
      const stack = new Stack({ clock: new VirtualClock(), random: seededRandom(1) })
      const bad = new Wire('bad')
      const good = new Wire('good')
      bad.close = () => Promise.reject(new Error('stuck'))
      stack.addDevice(bad)
      stack.addDevice(good)
      const error = await stack.close().catch((reason: unknown) => reason)
      expect(error).to.have.property('message', 'stuck')
      expect(good.gone).to.equal(true)
    })

    it('leaves no timer armed that would keep a process alive', async () => {
      const armed = new Set<unknown>()
      const inner = new VirtualClock()
      const clock: Clock = {
        epoch: inner.epoch,
        now: () => inner.now(),
        setTimer: (callback, delay) => {
          const handle = inner.setTimer(() => {
            armed.delete(handle)
            callback()
          }, delay)
          armed.add(handle)
          return handle
        },
        clearTimer: (handle) => {
          armed.delete(handle)
          inner.clearTimer(handle)
        },
        soon: (callback) => inner.soon(callback),
      }
      const stack = new Stack({ clock, random: seededRandom(1) })
      const wire = new Wire('a')
      stack.addDevice(wire).addAddress('10.9.0.2/24', { validLifetime: 100, preferredLifetime: 100 })
      wire.push(fragment(echoRequest({ src: PEER, dst: HOST }), pattern(64), 0, true))
      void stack.ping(PEER, { count: Number.POSITIVE_INFINITY })
      expect(armed.size).to.equal(1) // one wake-up for all timers
      await stack.close()
      expect(armed.size).to.equal(0)
    })
  })

  it('a packet that a device brings while it goes away is dropped', async () => {
    const bench = new HostBench()
    const { tun } = bench
    const removal = bench.stack.interface('tun0').remove()
    tun.push(echoRequest({ src: PEER, dst: HOST }))
    await removal
    tun.push(echoRequest({ src: PEER, dst: HOST }))
    expect(tun.take().map(decode)).to.deep.equal([])
    await bench.end()
  })
})

describe('what the application sends', () => {
  function rig() {
    const clock = new VirtualClock()
    const [near, far] = createPipe()
    const sender = new Stack({ clock, random: seededRandom(1) })
    const receiver = new Stack({ clock, random: seededRandom(2) })
    sender.addDevice(near).addAddress('10.0.0.1/24')
    receiver.addDevice(far).addAddress('10.0.0.2/24')
    const got: number[] = []
    const bursts: number[] = []
    const { transmit } = near
    near.transmit = function (burst) {
      bursts.push(burst.length)
      return transmit.call(this, burst)
    }
    receiver.udp.bind({ port: 9, onMessage: ({ data }) => void got.push(data[0]!) })
    const socket = sender.udp.bind()
    socket.connect({ address: '10.0.0.2', port: 9 })
    return { clock, sender, receiver, socket, got, bursts }
  }

  it('leaves at once the first time, and then together at the end of the turn', async () => {
    const { clock, sender, receiver, socket, got, bursts } = rig()
    for (let i = 0; i < 10; i++) socket.send(Uint8Array.of(i))
    expect(bursts).to.deep.equal([1])
    clock.advance(0)
    expect(bursts).to.deep.equal([1, 9])
    expect(got).to.deep.equal([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    socket.send(Uint8Array.of(10))
    expect(bursts).to.deep.equal([1, 9, 1])
    clock.advance(0)
    expect(got).to.have.length(11)
    await Promise.all([sender.close(), receiver.close()])
  })

  it('leaves before the stack is closed', async () => {
    const { clock, sender, receiver, socket, got } = rig()
    for (let i = 0; i < 5; i++) socket.send(Uint8Array.of(i))
    const closing = sender.close()
    clock.advance(0)
    await closing
    expect(got).to.deep.equal([0, 1, 2, 3, 4])
    await receiver.close()
    expect(sender.pool.outstanding + receiver.pool.outstanding).to.equal(0)
  })
})
