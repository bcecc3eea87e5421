import { expect } from 'chai'
import { type Host, type SimulationFailure, simulate } from '../../lib/sim/index.ts'
import { type PcapngOption, readPcapng } from '../observe/pcapng-reader.ts'

/** host1 – router1 – host2, with chance in everything. */
function ordeal(seed: number, options: Parameters<typeof simulate>[0] = {}) {
  const net = simulate({ seed, ...options })
  const a = net.host('10.0.0.1/24')
  const router = net.router(['10.0.0.254/24', '10.0.1.254/24'])
  const b = net.host('10.0.1.1/24')
  const left = net.link(a, router, {
    delay: '20ms',
    jitter: '5ms',
    loss: 0.1,
    rate: '10mbit',
    duplicate: 0.05,
  })
  const right = net.link(router, b, { delay: '5ms', corrupt: 0.05, reorder: 0.1 })
  return { net, a, router, b, left, right }
}

function optionText(options: readonly PcapngOption[], code: number): string {
  const found = options.find((option) => option.code === code)
  return found === undefined ? '' : Buffer.from(found.value).toString()
}

/** The comment of each packet in a pcapng file. */
function packetComments(file: Uint8Array): string[] {
  return readPcapng(file)
    .filter(({ type }) => type === 6)
    .map(({ options }) => optionText(options, 1))
}

async function failureOf(run: Promise<unknown>): Promise<Error & { code?: string }> {
  return await run.then(
    () => expect.fail('it did not fail'),
    (error: unknown) => error as Error,
  )
}

describe('simulate', () => {
  it('takes the two lines of the README: hosts, a link, a ping in virtual time', async () => {
    const net = simulate({ seed: 1 })
    const a = net.host('10.0.0.1/24')
    const b = net.host('10.0.0.2/24')
    const link = net.link(a, b, { delay: '20ms' })
    const { received, probes } = await net.run(() => a.ping('10.0.0.2', { count: 600, interval: 1000 }))
    expect(received).to.equal(600)
    expect(probes[0]!.rtt).to.equal(40)
    expect(net.time).to.equal(599_040)
    expect(link.counters(a).delivered).to.equal(600)
    expect(link.packets).to.have.length(1200)
    await net.close()
  })

  it('is repeatable: the same seed gives the same packets at the same times, another one others', async () => {
    const files: Uint8Array[] = []
    for (const seed of [1, 1, 2]) {
      const { net, a, b } = ordeal(seed)
      await net.run(async () => {
        await Promise.all([
          a.ping('10.0.1.1', { count: 50, interval: 10 }),
          b.ping('10.0.0.1', { count: 50, interval: 7, size: 1000 }),
        ])
      })
      files.push(net.pcapng())
      await net.close()
    }
    expect(Buffer.compare(files[0]!, files[1]!)).to.equal(0)
    expect(Buffer.compare(files[0]!, files[2]!)).to.not.equal(0)
  })

  it('another host, or another link, does not change what chance does to those that were there', async () => {
    const times: number[][] = []
    for (const more of [false, true]) {
      const { net, a, left } = ordeal(3)
      if (more) net.link(net.host('10.9.0.1/24'), net.host('10.9.0.2/24'), { loss: 0.5 })
      await net.run(() => a.ping('10.0.1.1', { count: 20, interval: 10 }))
      times.push(left.packets.map(({ time }) => time))
      await net.close()
    }
    expect(times[1]).to.deep.equal(times[0])
  })

  it('an hour without traffic costs nothing, an hour of it is exact', async () => {
    const net = simulate({ seed: 1 })
    const a = net.host('10.0.0.1/24')
    net.link(a, net.host('10.0.0.2/24'))
    await net.runFor('1h')
    expect(net.time).to.equal(3_600_000)
    await net.runFor(1)
    expect(net.time).to.equal(3_600_001)
    await net.close()
  })

  it('lets a program react before time goes on', async () => {
    const net = simulate({ seed: 1 })
    const a = net.host('10.0.0.1/24')
    const b = net.host('10.0.0.2/24')
    net.link(a, b, { delay: 10 })
    const seen: number[] = []
    await net.run(async () => {
      for (let i = 0; i < 5; i++) {
        await a.ping('10.0.0.2')
        // a chain of promises that is deeper than that of any await
        for (let depth = 0; depth < 100; depth++) await null
        await new Promise((resolve) => setImmediate(resolve))
        seen.push(net.time)
        await net.sleep('5ms')
      }
    })
    expect(seen).to.deep.equal([20, 45, 70, 95, 120])
    await net.close()
  })

  it('runs until nothing is under way', async () => {
    const net = simulate({ seed: 1 })
    const a = net.host('10.0.0.1/24')
    const b = net.host('10.0.0.2/24')
    const link = net.link(a, b, { delay: '1s' })
    let done = false
    void a.ping('10.0.0.2', { count: 3 }).then(() => void (done = true))
    await net.runUntilIdle()
    expect(done).to.equal(true)
    expect(net.time).to.equal(4000)
    expect(link.from(a).length).to.equal(0)
    await net.close()
  })

  it('calls back when told to', async () => {
    const net = simulate({ seed: 1 })
    const seen: number[] = []
    net.after('2s', () => void seen.push(net.time))
    net.after('1s', () => void seen.push(net.time))
    net.after('3s', () => void seen.push(net.time))()
    await net.runUntilIdle()
    expect(seen).to.deep.equal([1000, 2000])
  })

  describe('hosts and links', () => {
    it('are named, addressed and routed: each link takes the addresses that are on one network', async () => {
      const net = simulate({ seed: 1 })
      const a = net.host('10.0.0.1/24', { name: 'alice' })
      const b = net.host('10.0.1.1/24', { name: 'bob' })
      const router = net.router(['10.0.1.254/24', '10.0.0.254/24'])
      net.link(a, router)
      net.link(router, b, { mtu: 1400 })
      expect(router.interface('eth0').addresses).to.deep.equal(['10.0.0.254/24'])
      expect(router.interface('eth1').addresses).to.deep.equal(['10.0.1.254/24'])
      expect(router.interface('eth1').mtu).to.equal(1400)
      expect(a.explain('10.0.1.1').text).to.contain('via 10.0.0.254')
      const { received } = await net.run(() =>
        a.ping('10.0.1.1', { count: 2, pathMtuDiscovery: 'do', size: 1472 }),
      )
      expect(received).to.equal(0)
      expect(a.explain('10.0.1.1').text).to.contain('mtu 1400')
      expect(net.hosts.map(({ name }) => name)).to.deep.equal(['alice', 'bob', 'router1'])
      await net.close()
    })

    it('take addresses, settings and routes that they are given', async () => {
      const net = simulate({ seed: 1 })
      const a = net.host([], { sysctl: { 'net.ipv4.ip_default_ttl': 9 }, defaultRoute: false })
      const router = net.router()
      net.link(a, router, { addresses: ['192.168.0.2/30', '192.168.0.1/30'] })
      const { probes } = await net.run(() => router.ping('192.168.0.2'))
      expect(probes[0]!.ttl).to.equal(9)
      expect(a.explain('1.1.1.1').text).to.not.contain('via')
      await net.close()
    })

    it('refuse what cannot be linked', () => {
      const net = simulate({ seed: 1 })
      const a = net.host('10.0.0.1/24')
      const other = simulate({ seed: 1 }).host('10.0.0.2/24')
      const wrong = [
        () => net.link(a, a),
        () => net.link(a, other),
        () => net.link(a, net.host(), { latency: 1 } as never),
        () => net.host('10.0.0.300/24'),
        () => simulate({ seed: 1.5 }),
        () => net.capture(7 as never),
        () => net.after('soon', () => {}),
      ]
      for (const call of wrong) expect(call).to.throw().with.property('code', 'ERR_INVALID_ARG_VALUE')
    })

    it('effects of one direction only', async () => {
      const net = simulate({ seed: 1 })
      const a = net.host('10.0.0.1/24')
      const b = net.host('10.0.0.2/24')
      const link = net.link(a, b, { delay: 10, forward: { delay: 30 }, backward: { loss: 0 } })
      const rtt = async (): Promise<number | undefined> =>
        (await net.run(() => a.ping('10.0.0.2'))).probes[0]!.rtt
      expect(await rtt()).to.equal(40)
      link.set({ delay: 1 }, b)
      expect(await rtt()).to.equal(31)
      link.set({ delay: 0 })
      expect(await rtt()).to.equal(0)
      expect(() => link.from(net.host()))
        .to.throw()
        .with.property('code', 'ERR_INVALID_ARG_VALUE')
      await net.close()
    })

    it('a router that translates addresses', async () => {
      const net = simulate({ seed: 1 })
      const inside = ['192.168.1.2/24', '192.168.2.2/24'].map((address) => net.host(address))
      const home = net.router(['192.168.1.1/24', '192.168.2.1/24', '198.51.100.1/24'])
      const server = net.host('198.51.100.9/24')
      for (const host of inside) net.link(host, home)
      const uplink = net.link(home, server, { delay: 10, nat: home })
      const results = await net.run(() =>
        Promise.all(inside.map((host) => host.ping('198.51.100.9', { count: 3 }))),
      )
      expect(results.map(({ received }) => received)).to.deep.equal([3, 3])
      expect(new Set(uplink.packets.map(({ source }) => source))).to.deep.equal(
        new Set(['198.51.100.1', '198.51.100.9']),
      )
      expect(uplink.nat!.mappings.map(({ inside }) => inside.split(':')[0])).to.have.members([
        '192.168.1.2',
        '192.168.2.2',
      ])
      expect(() => net.link(inside[0]!, server, { nat: home })).to.throw(/nat must be one of the two hosts/)
      await net.close()
    })

    it('a partition and its end', async () => {
      const net = simulate({ seed: 1 })
      const a = net.host('10.0.0.1/24')
      const b = net.host('10.0.0.2/24')
      const link = net.link(a, b, { delay: 10 })
      net.after('2.5s', () => void link.cut())
      net.after('5.5s', () => void link.heal())
      const { probes } = await net.run(() => a.ping('10.0.0.2', { count: 8, interval: 1000, timeout: 500 }))
      expect(probes.map(({ outcome }) => outcome === 'reply')).to.deep.equal([
        ...[true, true, true, false, false, false, true, true],
      ])
      link.cut(b)
      await net.run(() => a.ping('10.0.0.2', { timeout: 500 }))
      expect(link.counters(a).lost).to.equal(3)
      expect(link.counters(b).lost).to.equal(1)
      expect(a.mib.dropsByReason()).to.deep.equal({ IMPAIRED: 3 })
      await net.close()
    })
  })

  describe('what crossed a link', () => {
    it('is there to be looked at: who, when, what, and what was lost', async () => {
      const net = simulate({ seed: 1 })
      const a = net.host('10.0.0.1/24')
      const b = net.host('10.0.0.2/24')
      const link = net.link(a, b, { delay: 10 })
      await net.run(() => a.ping('10.0.0.2', { size: 100 }))
      link.cut()
      await net.run(() => a.ping('10.0.0.2', { timeout: 10 }))
      const [request, reply] = link.packets
      expect(link.packets).to.have.length(2)
      expect(request).to.include({
        from: a,
        to: b,
        sentAt: 0,
        time: 10,
        length: 128,
        protocol: 'icmp',
        ttl: 64,
      })
      expect(request).to.include({ source: '10.0.0.1', destination: '10.0.0.2', dropReason: undefined })
      expect(reply!.from).to.equal(b)
      expect(reply!.text).to.match(
        /^IP 10\.0\.0\.2 > 10\.0\.0\.1: ICMP echo reply, id \d+, seq 1, length 108$/,
      )
      expect(reply!.payload).to.have.length(108)
      expect(link.dropped.map(({ dropReason }) => dropReason)).to.deep.equal(['IMPAIRED'])
      net.clearPackets()
      expect(link.packets).to.deep.equal([])
      await net.close()
    })

    it('reads ports, and makes nothing of what is no IP', async () => {
      const net = simulate({ seed: 1 })
      const a = net.host('10.0.0.1/24')
      const link = net.link(a, net.host('10.0.0.2/24'), { corrupt: 0 })
      const endpoint = a.udp.bind({ port: 5000, onMessage: () => {} })
      endpoint.send(new Uint8Array(3000), { address: '10.0.0.2', port: 9 })
      await net.runUntilIdle()
      const [first, second, third, error] = link.packets
      expect(first).to.include({ protocol: 'udp', sourcePort: 5000, destinationPort: 9 })
      expect(second).to.include({ protocol: 'udp', sourcePort: 0, destinationPort: 0 })
      expect(third!.length).to.be.lessThan(1500)
      expect(error).to.include({ protocol: 'icmp', sourcePort: 0 })
      await net.close()
    })

    it('goes into a pcapng capture, interface by interface, drops with their reason', async () => {
      const { net, a } = ordeal(1)
      const blocks: Uint8Array[] = []
      const kept: Uint8Array[] = []
      const capture = net.capture((bytes) => void blocks.push(bytes.slice()))
      const toStream = net.capture({ write: (bytes) => kept.push(bytes) })
      await net.run(() => a.ping('10.0.1.1', { count: 30, interval: 10 }))
      capture.close()
      toStream.close()
      await net.run(() => a.ping('10.0.1.1'))
      const file = Buffer.concat(blocks)
      expect(Buffer.compare(Buffer.concat(kept), file)).to.equal(0)
      expect(packetComments(file)).to.have.length(capture.packets)
      expect(packetComments(file)).to.include('dropped: IMPAIRED')
      const names = readPcapng(file).filter(({ type }) => type === 1)
      expect(names.map(({ options }) => optionText(options, 2))).to.include.members([
        'host1>router1',
        'router1>host1',
      ])
      await net.close()
    })
  })

  describe('a run that fails', () => {
    const failing = async (body: (a: Host) => unknown) => {
      const failures: SimulationFailure[] = []
      const { net, a } = ordeal(77, { onFailure: (failure) => void failures.push(failure) })
      const error = await failureOf(
        net.run(async () => {
          await a.ping('10.0.1.1', { count: 3, interval: 10 })
          await body(a)
        }),
      )
      await net.close()
      return { error, failure: failures[0]! }
    }

    it('says its seed, and hands over what crossed the links', async () => {
      const mine = new Error('mine')
      const { error, failure } = await failing(() => {
        throw mine
      })
      expect(error).to.equal(mine)
      expect(error.message).to.match(
        /^mine\n\(simulation failed with seed 77 at .*; simulate\(\{ seed: 77 \}\) repeats it\)$/,
      )
      expect(error.stack).to.contain('seed 77')
      expect(failure).to.include({ seed: 77, error })
      expect(packetComments(failure.pcapng).length).to.be.greaterThan(5)
    })

    it('also when what is thrown is no error', async () => {
      const { error } = await failing(() => Promise.reject('gone'))
      expect(error).to.include({ code: 'ERR_SIMULATION_FAILED', cause: 'gone' })
      expect(error.message).to.contain('seed 77')
    })

    it('when a program waits for what will never happen', async () => {
      const { error } = await failing(() => new Promise(() => {}))
      expect(error.code).to.equal('ERR_SIMULATION_IDLE')
    })

    it('when a callback throws', async () => {
      const net = simulate({ seed: 5, onFailure: () => {} })
      net.after(10, () => {
        throw new Error('in a timer')
      })
      expect((await failureOf(net.runFor(20))).message).to.match(
        /^in a timer\n\(simulation failed with seed 5 at 10 ms/,
      )
      await net.runFor(20)
      expect(net.time).to.equal(30)
    })

    it('when it takes too long, or is run within itself', async () => {
      const net = simulate({ seed: 5 })
      const a = net.host('10.0.0.1/24')
      net.link(a, net.host('10.0.0.2/24'))
      const forever = a.ping('10.0.0.2', { count: Number.POSITIVE_INFINITY })
      const limit = { limit: '10s' }
      expect((await failureOf(net.run(() => forever, limit))).code).to.equal('ERR_SIMULATION_LIMIT')
      expect((await failureOf(net.runUntilIdle(limit))).code).to.equal('ERR_SIMULATION_LIMIT')
      expect((await failureOf(net.run(() => net.run(() => {})))).code).to.equal('ERR_SIMULATION_RUNNING')
      await net.run(() => net.runFor('1s')) // which is a sleep there
      await net.close()
      await forever
    })
  })

  it('closes everything, and gives every packet back', async () => {
    const { net, a } = ordeal(9)
    void a.ping('10.0.1.1', { count: 1000, interval: 1 })
    await net.runFor(100)
    const { pool } = a
    expect(pool.outstanding).to.be.greaterThan(0)
    await net.close()
    expect(pool.outstanding).to.equal(0)
  })
})
