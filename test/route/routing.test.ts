import { expect } from 'chai'
import fc from 'fast-check'
import { formatIpv4, parseIpv4, SECOND } from '../../lib/index.ts'
import { Flow4 } from '../../lib/route/flow.ts'
import { InputAction, type Route } from '../../lib/route/route.ts'
import { RouteFlag, RouteType } from '../../lib/route/rtnetlink.ts'
import { Bench } from '../conformance/harness.ts'

/** A host on two links, whose routing is asked directly. */
class RoutingBench extends Bench {
  constructor() {
    super()
    this.wire('left', '10.1.0.1/24')
    this.wire('right', '10.2.0.1/24')
    this.stack.sysctlSet('net.ipv4.ip_forward', 1)
  }

  output(to: string, change: (flow: Flow4) => void = () => {}): { route: Route | null; source: string } {
    const flow = new Flow4()
    flow.daddr = parseIpv4(to)
    change(flow)
    return this.#ask(() => {
      const route = this.stack.routing.output(flow)
      return { route, source: formatIpv4(flow.saddr) }
    })
  }

  input(from: string, to: string, device = 'left'): Route | null {
    const flow = new Flow4()
    flow.saddr = parseIpv4(from)
    flow.daddr = parseIpv4(to)
    return this.#ask(() => this.stack.routing.input(flow, this.stack.interface(device).device))
  }

  isValid(route: Route): boolean {
    return this.#ask(() => this.stack.routing.isValid(route))
  }

  learn(to: string, mtu: number): boolean {
    const flow = new Flow4()
    flow.daddr = parseIpv4(to)
    return this.#ask(() => this.stack.routing.learnPathMtu(flow, mtu))
  }

  redirect(to: string, gateway: string): void {
    const { route } = this.output(to)
    const nexthop = route?.nexthop
    if (nexthop) this.#ask(() => this.stack.routing.learnRedirect(nexthop, parseIpv4(to), parseIpv4(gateway)))
  }

  #ask<T>(question: () => T): T {
    this.stack.softirq.enter()
    try {
      return question()
    } finally {
      this.stack.softirq.leave()
    }
  }
}

/** What of a decision matters to a packet. */
function decided(route: Route | null): unknown {
  if (route === null) return null
  const { type, flags, input, errno, gateway, mtu, mtuLocked, device } = route
  return { type, flags, input, errno, gateway: formatIpv4(gateway), mtu, mtuLocked, device: device.name }
}

describe('routing decisions', () => {
  let bench: RoutingBench
  beforeEach(() => {
    bench = new RoutingBench()
  })
  afterEach(() => bench.end())

  it('are shared by all packets that go the same way', () => {
    const { route } = bench.output('10.1.0.7')
    expect(bench.output('10.1.0.8').route).to.equal(route)
    expect(bench.output('10.2.0.8').route).to.not.equal(route)
    const forwarded = bench.input('10.1.0.9', '10.2.0.9')
    expect(bench.input('10.1.0.10', '10.2.0.10')).to.equal(forwarded)
    expect(forwarded).to.include({ input: InputAction.FORWARD, isInput: true })
    const local = bench.input('10.1.0.9', '10.1.0.1')
    expect(bench.input('10.1.0.10', '10.1.0.1')).to.equal(local)
    expect(local).to.include({ input: InputAction.LOCAL, type: RouteType.LOCAL, flags: RouteFlag.LOCAL })
  })

  it('that somebody kept are refused after any change that may matter', () => {
    const { stack } = bench
    const changes: [name: string, change: () => unknown][] = [
      ['a route', () => stack.routes.add('192.0.2.0/24 via 10.1.0.2')],
      ['a route less', () => stack.routes.delete('192.0.2.0/24')],
      ['an address', () => stack.interface('left').addAddress('10.7.0.1/24')],
      ['an address less', () => stack.interface('left').removeAddress('10.7.0.1/24')],
      ['the MTU', () => stack.interface('left').setMtu(1400)],
      ['a device down', () => stack.interface('right').down()],
      ['a device up', () => stack.interface('right').up()],
      ['a path MTU', () => bench.learn('10.1.0.7', 1000)],
      ['a smaller one', () => bench.learn('10.1.0.7', 900)],
      ['a better gateway', () => bench.redirect('10.1.0.7', '10.1.0.3')],
      ['time', () => bench.pass(700_000)],
    ]
    for (const [name, change] of changes) {
      const { route } = bench.output('10.1.0.7')
      expect(bench.isValid(route!), `before ${name}`).to.equal(true)
      change()
      expect(bench.isValid(route!), `after ${name}`).to.equal(false)
      expect(bench.output('10.1.0.7').route, name).to.not.equal(route)
    }
  })

  it('from the cache are the same as made anew, whatever happened before (property)', async () => {
    const destinations = [
      '10.1.0.7',
      '10.1.0.8',
      '10.2.0.7',
      '192.0.2.1',
      '198.51.100.1',
      '10.1.0.255',
      '224.0.0.1',
      '127.0.0.1',
      '10.1.0.1',
    ]
    const destination = fc.constantFrom(...destinations)
    const device = fc.constantFrom('left', 'right')
    const prefix = fc.constantFrom('192.0.2.0/24', '192.0.2.0/25', 'default', '198.51.100.0/24')
    const gateway = fc.constantFrom('10.1.0.2', '10.1.0.3', '10.2.0.2')
    type Step = (bench: RoutingBench) => unknown
    const step: fc.Arbitrary<Step> = fc.oneof(
      fc.tuple(prefix, gateway).map(
        ([to, via]): Step =>
          (b) =>
            b.stack.routes.add(`${to} via ${via}`, 'replace'),
      ),
      prefix.map(
        (to): Step =>
          (b) =>
            b.stack.routes.delete(to),
      ),
      prefix.map(
        (to): Step =>
          (b) =>
            b.stack.routes.add(`unreachable ${to} metric 9`),
      ),
      device.map(
        (name): Step =>
          (b) =>
            b.stack.interface(name).down(),
      ),
      device.map(
        (name): Step =>
          (b) =>
            b.stack.interface(name).up(),
      ),
      fc.tuple(device, fc.constantFrom(576, 1500, 9000)).map(
        ([name, mtu]): Step =>
          (b) =>
            b.stack.interface(name).setMtu(mtu),
      ),
      fc.tuple(device, fc.constantFrom('10.1.0.9/24', '10.8.0.1/16')).map(
        ([name, address]): Step =>
          (b) =>
            b.stack.interface(name).addAddress(address),
      ),
      fc.tuple(device, fc.constantFrom('10.1.0.9/24', '10.8.0.1/16')).map(
        ([name, address]): Step =>
          (b) =>
            b.stack.interface(name).removeAddress(address),
      ),
      fc.tuple(destination, fc.constantFrom(68, 600, 1000, 1400, 9000)).map(
        ([to, mtu]): Step =>
          (b) =>
            b.learn(to, mtu),
      ),
      fc.tuple(destination, gateway).map(
        ([to, via]): Step =>
          (b) =>
            b.redirect(to, via),
      ),
      fc.integer({ min: 0, max: 400 }).map(
        (seconds): Step =>
          (b) =>
            b.pass(seconds * 1000),
      ),
      fc.constantFrom(0, 1).map(
        (value): Step =>
          (b) =>
            b.stack.sysctlSet('net.ipv4.ip_forward', value),
      ),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const own = new RoutingBench()
        const kept = new Map<string, Route>()
        for (const each of steps) {
          try {
            each(own)
          } catch (error) {
            if (!('code' in (error as object))) throw error // some steps cannot be taken: that is said with a code
          }
          for (const to of destinations) {
            const old = kept.get(to)
            const { route, source } = own.output(to)
            if (old !== undefined && own.isValid(old))
              expect(decided(old), `kept for ${to}`).to.deep.equal(decided(route))
            const forwarded = own.input('10.1.0.77', to)
            own.stack.routing.flush()
            const anew = own.output(to)
            expect(decided(route), to).to.deep.equal(decided(anew.route))
            expect(source).to.equal(anew.source)
            expect(decided(forwarded), `to forward to ${to}`).to.deep.equal(
              decided(own.input('10.1.0.77', to)),
            )
            if (anew.route !== null) kept.set(to, anew.route)
          }
        }
        await own.end()
      }),
      { numRuns: 60, seed: 3 },
    )
  })

  it('learn a path MTU for one destination, within bounds, for mtu_expires seconds', () => {
    const mtu = (to: string): number => bench.output(to).route!.mtu
    expect(bench.learn('10.1.0.7', 1000)).to.equal(true)
    expect([mtu('10.1.0.7'), mtu('10.1.0.8')]).to.deep.equal([1000, 1500])
    expect(bench.learn('10.1.0.7', 1200)).to.equal(false) // never raised
    expect(bench.learn('10.1.0.7', 300)).to.equal(true)
    expect(bench.output('10.1.0.7').route).to.include({ mtu: 552, mtuLocked: true })
    bench.pass(599_999)
    expect(mtu('10.1.0.7')).to.equal(552)
    bench.pass(1)
    expect(mtu('10.1.0.7')).to.equal(1500)
    expect(bench.learn('224.0.0.9', 600)).to.equal(false)
    expect(bench.learn('203.0.113.1', 600)).to.equal(false) // no way there
  })

  it('remember a bounded number of destinations per next hop; the first to be learnt is forgotten', () => {
    bench.stack.routes.add('default via 10.1.0.2')
    const nexthop = bench.output('172.16.0.0').route!.nexthop!
    for (let i = 0; i < 1500; i++) bench.learn(`172.16.${i >>> 8}.${i & 255}`, 1000)
    expect(nexthop.exceptions!.size).to.equal(1024)
    expect(bench.output('172.16.0.0').route!.mtu).to.equal(1500)
    expect(bench.output(`172.16.${1499 >>> 8}.${1499 & 255}`).route!.mtu).to.equal(1000)
    const kept = bench.output(`172.16.${476 >>> 8}.${476 & 255}`).route!
    expect(kept.mtu).to.equal(1000)
    bench.learn('172.17.0.1', 1000) // takes its place
    expect(bench.isValid(kept)).to.equal(false)
  })

  it('go a better way after a redirect, for gc_timeout seconds, and forward by it too', () => {
    bench.stack.routes.add('192.0.2.0/24 via 10.1.0.2')
    const gateways = (): string[] => [
      formatIpv4(bench.output('192.0.2.1').route!.gateway),
      formatIpv4(bench.input('10.2.0.9', '192.0.2.1', 'right')!.gateway),
    ]
    expect(gateways()).to.deep.equal(['10.1.0.2', '10.1.0.2'])
    bench.redirect('192.0.2.1', '10.1.0.3')
    expect(gateways()).to.deep.equal(['10.1.0.3', '10.1.0.3'])
    bench.pass(bench.stack.sysctl.route.gc_timeout * 1000)
    expect(gateways()).to.deep.equal(['10.1.0.2', '10.1.0.2'])
    expect(SECOND).to.equal(1e9)
  })

  it('a route with `mtu lock` learns nothing and sends without DF', async () => {
    const { stack } = bench
    const { fib } = stack.routing
    fib.addRoute(
      {
        prefix: parseIpv4('192.0.2.0'),
        prefixLength: 24,
        gateway: parseIpv4('10.1.0.2'),
        metrics: new Map([
          [2, 1000],
          [1, 1 << 2],
        ]),
      },
      'add',
    )
    expect(bench.output('192.0.2.1').route).to.include({ mtu: 1000, mtuLocked: true })
    expect(bench.learn('192.0.2.1', 600)).to.equal(false)
    expect(bench.output('192.0.2.1').route!.mtu).to.equal(1000)
  })
})

describe('output decisions (ip_route_output_key)', () => {
  let bench: RoutingBench
  beforeEach(() => {
    bench = new RoutingBench()
    bench.stack.routes.add('default via 10.1.0.2')
  })
  afterEach(() => bench.end())

  it('choose the source by the route, and keep one that was given', () => {
    expect(bench.output('10.2.0.9').source).to.equal('10.2.0.1')
    expect(bench.output('8.8.8.8').source).to.equal('10.1.0.1')
    expect(bench.output('10.1.0.1').source).to.equal('10.1.0.1')
    expect(bench.output('127.0.0.9').source).to.equal('127.0.0.1')
    const given = bench.output('8.8.8.8', (flow) => {
      flow.saddr = parseIpv4('10.2.0.1')
    })
    expect(given.source).to.equal('10.2.0.1')
    expect(given.route!.device.name).to.equal('left')
  })

  it('refuse sources that nobody can have', () => {
    for (const source of ['224.0.0.1', '255.255.255.255', '0.1.2.3', '192.0.2.1']) {
      const { route } = bench.output('8.8.8.8', (flow) => {
        flow.saddr = parseIpv4(source)
      })
      expect(route, source).to.equal(null)
      expect(bench.stack.routing.errno, source).to.be.greaterThan(0)
    }
    const transparent = bench.output('8.8.8.8', (flow) => {
      flow.saddr = parseIpv4('192.0.2.1')
      flow.anySource = true
    })
    expect(transparent.route).to.not.equal(null)
  })

  it('keep 127.0.0.0/8 off the wire', () => {
    const { route } = bench.output('8.8.8.8', (flow) => {
      flow.saddr = parseIpv4('127.0.0.1')
    })
    expect(route).to.equal(null)
  })

  it('deliver locally what goes to this host, to 0.0.0.0, or by way of lo', () => {
    for (const to of ['10.1.0.1', '127.0.0.1', '0.0.0.0']) {
      expect(bench.output(to).route, to).to.include({ input: InputAction.LOCAL })
      expect(bench.output(to).route!.device.isLoopback).to.equal(true)
    }
    bench.stack.routes.add('192.0.2.0/24 dev lo')
    expect(bench.output('192.0.2.7').route).to.include({ input: InputAction.LOCAL, flags: RouteFlag.LOCAL })
  })

  it('know broadcast and multicast', () => {
    const { BROADCAST, MULTICAST, LOCAL } = RouteFlag
    expect(bench.output('10.1.0.255').route).to.include({
      type: RouteType.BROADCAST,
      flags: BROADCAST | LOCAL,
    })
    expect(bench.output('224.0.0.1').route).to.include({
      type: RouteType.MULTICAST,
      flags: MULTICAST | LOCAL,
    })
    expect(bench.output('224.0.0.9').route).to.include({ flags: MULTICAST })
    bench.stack.interface('left').joinGroup('224.0.0.9')
    expect(bench.output('224.0.0.9').route!.flags & LOCAL).to.not.equal(0)
    const limited = bench.output('255.255.255.255', (flow) => {
      flow.saddr = parseIpv4('10.2.0.1')
    })
    expect(limited.route!.device.name).to.equal('right')
  })

  it('obey a device that is named', () => {
    const by = (name: string, to: string): string | null => {
      const { route } = bench.output(to, (flow) => {
        flow.oif = bench.stack.interface(name).index
      })
      return route === null ? null : route.device.name
    }
    expect(by('right', '8.8.8.8')).to.equal('right') // no route there: taken to be on that link
    expect(by('left', '8.8.8.8')).to.equal('left')
    bench.stack.interface('right').down()
    expect(by('right', '8.8.8.8')).to.equal(null)
  })

  it('say why there is none', () => {
    const { stack } = bench
    stack.routes
      .add('unreachable 192.0.2.0/24')
      .add('prohibit 198.51.100.0/24')
      .add('blackhole 203.0.113.0/24')
    const errno = (to: string): number => {
      expect(bench.output(to).route).to.equal(null)
      return stack.routing.errno
    }
    expect(errno('192.0.2.1')).to.equal(113)
    expect(errno('198.51.100.1')).to.equal(13)
    expect(errno('203.0.113.1')).to.equal(22)
    stack.routes.delete('default')
    expect(errno('8.8.8.8')).to.equal(101)
  })
})

describe('the reverse path (fib_validate_source, RFC 3704)', () => {
  let bench: RoutingBench
  beforeEach(() => {
    bench = new RoutingBench()
  })
  afterEach(() => bench.end())

  const allowed = (from: string, device = 'left'): boolean => bench.input(from, '10.2.0.9', device) !== null

  it('refuses own addresses as source, unless accept_local', () => {
    expect([allowed('10.1.0.1'), allowed('10.2.0.1'), allowed('10.1.0.9')]).to.deep.equal([
      false,
      false,
      true,
    ])
    bench.stack.sysctlSet('net.ipv4.conf.left.accept_local', 1)
    expect(allowed('10.2.0.1')).to.equal(true)
  })

  it('strict, loose and none', () => {
    const table: Record<number, boolean[]> = {}
    for (const mode of [0, 1, 2]) {
      bench.stack.sysctlSet('net.ipv4.conf.left.rp_filter', mode)
      table[mode] = [allowed('10.1.0.9'), allowed('10.2.0.77'), allowed('192.0.2.1')]
    }
    expect(table).to.deep.equal({ 0: [true, true, true], 1: [true, false, false], 2: [true, true, false] })
  })

  it('takes the larger of the values of all and of the device', () => {
    bench.stack.sysctlSet('net.ipv4.conf.all.rp_filter', 2)
    bench.stack.sysctlSet('net.ipv4.conf.left.rp_filter', 1)
    expect([allowed('10.2.0.77'), allowed('192.0.2.1')]).to.deep.equal([true, false])
  })
})

describe('multicast groups', () => {
  it('are joined per device, and as often as they were joined', async () => {
    const bench = new RoutingBench()
    const { groups } = bench.stack.routing
    const { device } = bench.stack.interface('left')
    const group = parseIpv4('224.5.6.7')
    expect(groups.isMember(device, group)).to.equal(false)
    groups.join(device, group)
    groups.join(device, group)
    groups.leave(device, group)
    expect(groups.isMember(device, group)).to.equal(true)
    expect(groups.isMember(bench.stack.interface('right').device, group)).to.equal(false)
    groups.leave(device, group)
    expect(groups.isMember(device, group)).to.equal(false)
    expect(() => groups.leave(device, group))
      .to.throw()
      .with.property('code', 'EADDRNOTAVAIL')
    groups.join(device, group)
    groups.removeDevice(device)
    expect(groups.isMember(device, group)).to.equal(false)
    await bench.end()
  })

  it('224.0.0.1 is joined on every device that is up', async () => {
    const bench = new RoutingBench()
    const { groups } = bench.stack.routing
    const { device } = bench.stack.interface('left')
    expect(groups.isMember(device, parseIpv4('224.0.0.1'))).to.equal(true)
    bench.stack.interface('left').down()
    expect(groups.isMember(device, parseIpv4('224.0.0.1'))).to.equal(false)
    await bench.end()
  })
})
