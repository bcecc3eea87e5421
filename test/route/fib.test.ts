import { expect } from 'chai'
import fc from 'fast-check'
import { formatIpv4, parseIpv4 } from '../../lib/address/ipv4-address.ts'
import { Errno } from '../../lib/errors.ts'
import { FibResult, type RouteAddMode, type RouteConfig } from '../../lib/route/fib-types.ts'
import { Flow4 } from '../../lib/route/flow.ts'
import { NetlinkError, NexthopFlag, RouteTable, RouteType, RuleAction } from '../../lib/route/rtnetlink.ts'
import { TestHost } from './test-host.ts'

const result = new FibResult()

function lookup(host: TestHost, destination: string, flow: Partial<Flow4> = {}): number {
  const question = Object.assign(new Flow4(), { iif: 1 }, flow)
  question.daddr = parseIpv4(destination)
  result.reset()
  return host.fib.lookup(question, result)
}

/** `gateway@device`, or the name of the errno. */
function way(host: TestHost, destination: string, flow: Partial<Flow4> = {}): string {
  const error = lookup(host, destination, flow)
  if (error !== 0) return Object.entries(Errno).find(([, number]) => number === -error)![0]
  return `${formatIpv4(result.nexthop!.gateway)}@${result.nexthop!.device!.name}`
}

function complaint(action: () => void): string {
  try {
    action()
  } catch (error) {
    if (error instanceof NetlinkError) return `${error.code} ${error.extack ?? ''}`.trim()
    throw error
  }
  return 'none'
}

const ready = (): TestHost =>
  new TestHost().up('lo', 'tun0', 'tun1').address('10.0.0.1/24', 'tun0').address('10.1.0.1/24', 'tun1')

/** Last octet of each gateway in table main, in order. */
const gateways = (host: TestHost): number[] =>
  [...host.fib.dump(RouteTable.MAIN)].map((alias) => alias.info.nexthops[0]!.gateway & 255)

describe('Fib', () => {
  it('answers with the longest prefix, and with what blackholes and their kin say', () => {
    const host = ready()
    host.fib.addRoute(host.route('0.0.0.0/0', null, '10.0.0.2'))
    host.fib.addRoute(host.route('172.16.0.0/12', null, '10.1.0.2'))
    host.fib.addRoute({ ...host.route('172.16.1.0/24', null), type: RouteType.BLACKHOLE })
    host.fib.addRoute({ ...host.route('172.16.2.0/24', null), type: RouteType.UNREACHABLE })
    host.fib.addRoute({ ...host.route('172.16.3.0/24', null), type: RouteType.PROHIBIT })
    host.fib.addRoute({ ...host.route('172.16.4.0/24', null), type: RouteType.THROW })
    expect(way(host, '8.8.8.8')).to.equal('10.0.0.2@tun0')
    expect(way(host, '172.16.9.9')).to.equal('10.1.0.2@tun1')
    expect(way(host, '172.16.1.1')).to.equal('EINVAL')
    expect(way(host, '172.16.2.1')).to.equal('EHOSTUNREACH')
    expect(way(host, '172.16.3.1')).to.equal('EACCES')
    expect(way(host, '172.16.4.1')).to.equal('ENETUNREACH')
    expect(way(new TestHost(), '8.8.8.8')).to.equal('ENETUNREACH')
  })

  it('lets a flow choose its device, going back to a shorter prefix if need be', () => {
    const host = ready()
    host.fib.addRoute(host.route('172.16.0.0/12', null, '10.0.0.2'))
    host.fib.addRoute(host.route('172.16.1.0/24', null, '10.1.0.2'))
    expect(way(host, '172.16.1.1', { oif: host.device('tun0').ifindex })).to.equal('10.0.0.2@tun0')
    expect(way(host, '172.16.1.1', { oif: host.device('lo').ifindex })).to.equal('ENETUNREACH')
  })

  it('takes the TOS of a route first, then its metric', () => {
    const host = ready()
    const add = (last: number, more: Partial<RouteConfig>): void =>
      host.fib.addRoute({ ...host.route('0.0.0.0/0', null, `10.0.0.${last}`), ...more })
    add(2, { priority: 10 })
    add(3, { priority: 5 })
    add(4, { tos: 0x10, priority: 99 })
    expect(way(host, '8.8.8.8')).to.equal('10.0.0.3@tun0')
    expect(way(host, '8.8.8.8', { tos: 0x10 })).to.equal('10.0.0.4@tun0')
    expect(way(host, '8.8.8.8', { tos: 0x08 })).to.equal('10.0.0.3@tun0')
  })

  it('knows add, append, prepend, replace and change', () => {
    const host = new TestHost().up('tun0').address('10.0.0.1/24', 'tun0')
    const put = (last: number, mode: RouteAddMode): string =>
      complaint(() => host.fib.addRoute(host.route('0.0.0.0/0', null, `10.0.0.${last}`), mode))
    const order = (): number[] => gateways(host).filter((last) => last !== 0)
    expect(put(2, 'change')).to.equal('ENOENT')
    expect(put(2, 'add')).to.equal('none')
    expect(put(3, 'add')).to.equal('EEXIST')
    expect(put(3, 'append')).to.equal('none')
    expect(put(4, 'prepend')).to.equal('none')
    expect(order()).to.deep.equal([4, 2, 3])
    expect(put(3, 'append')).to.equal('EEXIST')
    expect(put(5, 'replace')).to.equal('none')
    expect(order()).to.deep.equal([5, 2, 3])
    expect(put(5, 'change')).to.equal('none')
    expect(put(2, 'change')).to.equal('EEXIST')
    expect(order()).to.deep.equal([5, 2, 3])
  })

  it('refuses with the sentences of Linux', () => {
    const host = new TestHost().up('lo', 'tun0').address('10.0.0.1/24', 'tun0')
    const refuse = (config: RouteConfig): string => complaint(() => host.fib.addRoute(config))
    const route = host.route.bind(host)
    expect(refuse(route('172.16.0.0/16', 'tun1'))).to.equal('ENETDOWN Device for nexthop is not up')
    expect(refuse({ ...route('172.16.0.0/16', 'tun1', '10.9.0.1'), onlink: true })).to.equal(
      'ENETDOWN Nexthop device is not up',
    )
    expect(refuse(route('172.16.0.0/16', null, '10.9.0.1'))).to.equal(
      'ENETUNREACH Nexthop has invalid gateway',
    )
    expect(refuse(route('172.16.0.0/16', null, '10.0.0.255'))).to.equal('EINVAL Nexthop has invalid gateway')
    expect(refuse(route('172.16.0.0/16', null))).to.equal('ENODEV')
    expect(refuse({ ...route('172.16.0.0/16', null, '10.0.0.2'), onlink: true })).to.equal(
      'ENODEV Nexthop device required for onlink',
    )
    expect(refuse(route('172.16.0.1/16', 'tun0'))).to.equal('EINVAL Invalid prefix for given prefix length')
    expect(refuse({ ...route('172.16.0.0/16', 'tun0'), prefsrc: parseIpv4('9.9.9.9') })).to.equal(
      'EINVAL Invalid prefsrc address',
    )
    expect(refuse({ ...route('172.16.0.0/16', 'tun0'), tos: 3 })).to.equal(
      'EINVAL Invalid dsfield (tos): ECN bits must be 0',
    )
    expect(refuse({ ...route('172.16.0.0/16', 'tun0'), type: RouteType.BLACKHOLE })).to.equal(
      'EINVAL Gateway, device and multipath can not be specified for this route type',
    )
    expect(refuse({ ...route('172.16.0.0/16', 'lo', '127.0.0.1'), type: RouteType.LOCAL })).to.equal(
      'EINVAL Route with host scope can not have a gateway',
    )
    expect(refuse({ ...route('172.16.0.0/16', 'tun0'), type: RouteType.LOCAL, scope: 0 })).to.equal(
      'EINVAL Invalid scope',
    )
    expect(complaint(() => host.fib.deleteRoute(route('172.16.0.0/16', null)))).to.equal('ESRCH')
    expect(complaint(() => host.fib.deleteRoute({ ...route('172.16.0.0/16', null), table: 100 }))).to.equal(
      'ESRCH FIB table does not exist',
    )
    expect(refuse(route('172.16.0.0/16', null, '10.0.0.1')), 'an own address').to.equal('none')
    expect(refuse(route('172.17.0.0/16', null, '127.0.0.1')), 'loopback').to.equal('none')
  })

  it('shares local and main until the first rule, so that a longer prefix in main wins', () => {
    const host = ready()
    host.fib.addRoute(host.route('127.0.0.5/32', 'tun0'))
    expect(way(host, '127.0.0.5')).to.equal('0.0.0.0@tun0')
    expect(result.tableId).to.equal(RouteTable.MAIN)
    const rule = host.fib.addRule({ priority: 100, table: 100 })
    expect(way(host, '127.0.0.5')).to.equal('0.0.0.0@lo')
    expect(result.tableId).to.equal(RouteTable.LOCAL)
    host.fib.deleteRule({ priority: rule.priority })
    expect(host.fib.hasCustomRules).to.equal(true)
    expect(way(host, '127.0.0.5')).to.equal('0.0.0.0@lo')
  })

  it('lists tables by number modulo 256, of one remainder the newest first', () => {
    const host = ready()
    for (const table of [100, 356, 300, 70000, 1000, 253]) {
      host.fib.addRoute({ ...host.route('172.16.0.0/16', 'tun0'), table })
    }
    expect([...host.fib.tables()].map(({ id }) => id)).to.deep.equal([
      300, 356, 100, 70000, 1000, 253, 254, 255,
    ])
  })

  it('clamps an MTU metric and shares what is alike', () => {
    const host = ready()
    const more = { metrics: new Map([[2, 70000]]) }
    host.fib.addRoute({ ...host.route('172.16.0.0/16', 'tun0'), ...more })
    host.fib.addRoute({ ...host.route('172.17.0.0/16', 'tun0'), ...more })
    const [a, b] = [...host.fib.dump(RouteTable.MAIN)].filter((alias) => alias.info.mtu !== 0)
    expect(a!.info.mtu).to.equal(65520)
    expect(a!.info).to.equal(b!.info)
    expect(a!.info.references).to.equal(2)
  })

  it('spreads flows over a group by weight, and over what lives of it', () => {
    const host = ready()
    const hops = [
      { device: host.device('tun0'), gateway: parseIpv4('10.0.0.2'), weight: 3 },
      { device: host.device('tun1'), gateway: parseIpv4('10.1.0.2'), weight: 1 },
    ]
    host.fib.addRoute({ ...host.route('0.0.0.0/0', null), nexthops: hops })
    const flow = new Flow4()
    const share = (): number => {
      let first = 0
      for (let i = 0; i < 1024; i++) {
        expect(lookup(host, '8.8.8.8')).to.equal(0)
        host.fib.selectPath(flow, result, i * 0x200000)
        if (result.nexthop!.device === host.device('tun0')) first++
      }
      return first
    }
    expect(share()).to.equal(768)
    host.down('tun0')
    expect(share()).to.equal(0)
    const [alias] = [...host.fib.dump(RouteTable.MAIN)]
    expect(alias!.info.nexthops.map((hop) => hop.flags & NexthopFlag.DEAD)).to.deep.equal([1, 0])
    host.up('tun0')
    expect(share()).to.equal(768)
    flow.saddr = parseIpv4('10.1.0.1')
    expect(share(), 'a hop whose source is the flow’s goes first').to.equal(0)
    host.down('tun0').down('tun1')
    expect(way(host, '8.8.8.8')).to.equal('ENETUNREACH')
  })

  it('treats hops without carrier as dead where ignore_routes_with_linkdown says so', () => {
    const host = ready()
    host.fib.addRoute(host.route('172.16.0.0/12', null, '10.0.0.2'))
    host.fib.addRoute(host.route('0.0.0.0/0', null, '10.1.0.2'))
    const device = host.device('tun0')
    ;(device.link as unknown as { carrier: boolean }).carrier = false
    host.addresses.deviceCarrier(device)
    expect(way(host, '172.16.0.1')).to.equal('10.0.0.2@tun0')
    const { generation } = host.fib
    host.sysctl.set('net.ipv4.conf.all.ignore_routes_with_linkdown', 1)
    expect(host.fib.generation).to.be.greaterThan(generation)
    expect(way(host, '172.16.0.1')).to.equal('10.1.0.2@tun1')
    ;(device.link as unknown as { carrier: boolean }).carrier = true
    host.addresses.deviceCarrier(device)
    expect(way(host, '172.16.0.1')).to.equal('10.0.0.2@tun0')
  })

  it('renews the generation with everything that may change an answer', () => {
    const host = ready()
    const steps: [string, () => void][] = [
      ['route', () => host.fib.addRoute(host.route('172.16.0.0/12', 'tun0'))],
      ['deletion', () => host.fib.deleteRoute(host.route('172.16.0.0/12', null))],
      ['address', () => void host.address('10.5.0.1/24', 'tun0')],
      ['address gone', () => void host.removeAddress('10.5.0.1/24', 'tun0')],
      ['rule', () => void host.fib.addRule({ table: 100 })],
      ['down', () => void host.down('tun1')],
      ['up', () => void host.up('tun1')],
      ['sysctl', () => host.sysctl.set('net.ipv4.conf.all.rp_filter', 1)],
      ['flush', () => void host.fib.flush((alias) => alias.tableId === RouteTable.MAIN)],
    ]
    for (const [name, step] of steps) {
      const { generation } = host.fib
      step()
      expect(host.fib.generation, name).to.be.greaterThan(generation)
    }
  })

  it('answers the same whether routes were added before or after others that came and went', () => {
    const prefix = fc.tuple(fc.nat(3), fc.nat(255), fc.integer({ min: 8, max: 32 }))
    fc.assert(
      fc.property(
        fc.array(prefix, { maxLength: 20 }),
        fc.array(prefix, { maxLength: 20 }),
        (kept, passing) => {
          const plain = ready()
          const busy = ready()
          const config = (
            host: TestHost,
            [a, b, length]: [number, number, number],
            last: number,
          ): RouteConfig => ({
            prefix: ((172 << 24) | (a << 16) | (b << 8)) & (-1 << (32 - length)),
            prefixLength: length,
            gateway: parseIpv4(`10.0.0.${last}`),
            device: host.device('tun0'),
          })
          for (const one of passing) complaint(() => busy.fib.addRoute(config(busy, one, 3), 'append'))
          for (const one of kept) {
            for (const host of [plain, busy])
              complaint(() => host.fib.addRoute(config(host, one, 2), 'append'))
          }
          for (const one of passing) complaint(() => busy.fib.deleteRoute(config(busy, one, 3)))
          const dump = (host: TestHost): string[] =>
            [...host.fib.dumpAll()].map((alias) => `${formatIpv4(alias.prefix)}/${alias.prefixLength}`)
          expect(dump(busy)).to.deep.equal(dump(plain))
          for (const [a, b] of [...kept, ...passing]) {
            expect(way(busy, `172.${a}.${b}.1`)).to.equal(way(plain, `172.${a}.${b}.1`))
          }
        },
      ),
      { seed: 5, numRuns: 60 },
    )
  })
})

describe('FibRules', () => {
  it('start with local, main and default', () => {
    const { rules } = new TestHost().fib
    expect([...rules].map(({ priority, table }) => [priority, table])).to.deep.equal([
      [0, 255],
      [32766, 254],
      [32767, 253],
    ])
  })

  it('choose a priority before the second rule, and keep order of arrival', () => {
    const { fib } = new TestHost()
    fib.addRule({ table: 100 })
    fib.addRule({ table: 100 })
    fib.addRule({ priority: 32764, table: 101 })
    expect([...fib.rules].map(({ priority, table }) => `${priority}:${table}`)).to.deep.equal([
      '0:255',
      '32764:100',
      '32764:101',
      '32765:100',
      '32766:254',
      '32767:253',
    ])
    expect(complaint(() => fib.addRule({ priority: 32764, table: 101 }))).to.equal('EEXIST')
    expect(complaint(() => fib.addRule({ priority: 32766, table: 254 }))).to.equal('none')
  })

  it('select by every property of a flow', () => {
    const host = ready()
    host.fib.addRoute({ ...host.route('0.0.0.0/0', null, '10.1.0.2'), table: 100 })
    host.fib.addRoute(host.route('0.0.0.0/0', null, '10.0.0.2'))
    const prefix = { address: parseIpv4('10.0.0.77'), length: 24 }
    const hit: [Parameters<typeof host.fib.addRule>[0], Partial<Flow4>, Partial<Flow4>][] = [
      [{ from: prefix }, { saddr: parseIpv4('10.0.0.1') }, { saddr: parseIpv4('10.0.1.1') }],
      [{ iif: 'tun0' }, { iif: host.device('tun0').ifindex }, {}],
      [{ iif: 'lo' }, {}, { iif: host.device('tun0').ifindex }],
      [{ mark: 0x15, markMask: 0xf }, { mark: 5 }, { mark: 4 }],
      [{ tos: 0x10 }, { tos: 0x10 }, {}],
      [{ protocolNumber: 17 }, { protocol: 17 }, { protocol: 6 }],
      [{ sport: { first: 10, last: 20 } }, { sport: 20 }, { sport: 21 }],
      [{ dport: { first: 10, last: 10 } }, { dport: 10 }, { dport: 9 }],
      [{ uidRange: { first: 5, last: 6 } }, { uid: 6 }, { uid: 7 }],
      [{ invert: true, mark: 1 }, {}, { mark: 1 }],
    ]
    for (const [config, yes, no] of hit) {
      const rule = host.fib.addRule({ ...config, priority: 100, table: 100 })
      const name = JSON.stringify(config)
      expect(way(host, '8.8.8.8', yes), name).to.equal('10.1.0.2@tun1')
      expect(way(host, '8.8.8.8', no), name).to.equal('10.0.0.2@tun0')
      expect(host.fib.deleteRule({ priority: 100 })).to.equal(rule)
    }
  })

  it('end a lookup, skip, jump and suppress', () => {
    const host = ready()
    host.fib.addRoute(host.route('0.0.0.0/0', null, '10.0.0.2'))
    host.fib.addRoute(host.route('8.0.0.0/8', null, '10.1.0.2'))
    const answer = (action: number): string => {
      host.fib.addRule({ priority: 100, action })
      const said = way(host, '8.8.8.8')
      host.fib.deleteRule({ priority: 100 })
      return said
    }
    expect(answer(RuleAction.UNREACHABLE)).to.equal('ENETUNREACH')
    expect(answer(RuleAction.PROHIBIT)).to.equal('EACCES')
    expect(answer(RuleAction.BLACKHOLE)).to.equal('EINVAL')
    expect(answer(RuleAction.NOP)).to.equal('10.1.0.2@tun1')
    host.fib.addRule({ priority: 100, table: 254, suppressPrefixLength: 8 })
    host.fib.addRule({ priority: 200, action: RuleAction.GOTO, target: 400 })
    host.fib.addRule({ priority: 300, action: RuleAction.PROHIBIT })
    expect(way(host, '8.8.8.8'), 'an unresolved goto is passed over').to.equal('EACCES')
    const target = host.fib.addRule({ priority: 400, table: 254 })
    expect(way(host, '8.8.8.8')).to.equal('10.1.0.2@tun1')
    host.fib.deleteRule({ priority: target.priority })
    expect([...host.fib.rules].find(({ priority }) => priority === 200)!.gotoRule).to.equal(null)
  })

  it('refuse with the sentences of Linux', () => {
    const { fib } = new TestHost()
    const refuse = (config: Parameters<typeof fib.addRule>[0]): string => complaint(() => fib.addRule(config))
    expect(refuse({ priority: 100, action: RuleAction.GOTO, target: 100 })).to.equal(
      'EINVAL Backward goto not supported',
    )
    expect(refuse({ action: RuleAction.GOTO })).to.equal('EINVAL Missing goto target for action goto')
    expect(refuse({ tos: 3 })).to.equal('EINVAL Invalid dsfield (tos): ECN bits must be 0')
    expect(refuse({ tos: 0x20 })).to.equal('EINVAL Invalid tos')
    expect(refuse({ sport: { first: 200, last: 100 } })).to.equal('EINVAL Invalid sport range')
    expect(complaint(() => fib.deleteRule({ priority: 77 }))).to.equal('ENOENT')
  })

  it('follow devices that go and come', () => {
    const host = ready()
    host.fib.addRule({ priority: 100, iif: 'tun9', action: RuleAction.PROHIBIT })
    const rule = host.fib.rules.at(1)!
    expect(rule.iif!.ifindex).to.equal(-1)
    const device = host.add('tun9', false, true)
    expect(rule.iif!.ifindex).to.equal(device.ifindex)
    host.addresses.deviceRemoved(device)
    expect(rule.iif!.ifindex).to.equal(-1)
  })
})
