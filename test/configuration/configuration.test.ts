import { expect } from 'chai'
import * as fc from 'fast-check'
import { ConfigurationError } from '../../lib/configuration/configuration-error.ts'
import { fromKernel } from '../../lib/configuration/from-kernel.ts'
import { loadBatch, loadJson, stackFromJson } from '../../lib/configuration/load.ts'
import { saveBatch, saveJson, saveSysctls } from '../../lib/configuration/save.ts'
import { ip } from '../../lib/iproute2/ip.ts'
import { VirtualClock } from '../../lib/time/virtual-clock.ts'
import { BEGINNING, change, configure, newStack, survey } from './random-stack.ts'

const RUNS = Number(process.env['CONFIGURATION_RUNS'] ?? 40)
const SEED = Number(process.env['CONFIGURATION_SEED'] ?? 20251122)

describe('a saved configuration', function () {
  this.timeout(60_000)
  for (const rules of [false, true]) {
    const changes = fc.array(change(rules), { maxLength: 40, size: 'max' })
    const title = rules ? ' with rules' : ''

    it(`makes the same stack again from JSON${title}`, async () => {
      await fc.assert(
        fc.asyncProperty(changes, async (list) => {
          await using stack = newStack()
          configure(stack, [...BEGINNING, ...list])
          const text = JSON.stringify(saveJson(stack))
          const expected = survey(stack)
          await using second = newStack(true)
          loadJson(second, text)
          expect(survey(second)).to.equal(expected)
          expect(JSON.stringify(saveJson(second))).to.equal(text)
        }),
        { numRuns: RUNS, seed: SEED },
      )
    })

    it(`makes the same stack again from a batch${title}`, async () => {
      await fc.assert(
        fc.asyncProperty(changes, fc.boolean(), async (list, up) => {
          await using stack = newStack()
          configure(stack, [...BEGINNING, ...list])
          const batch = saveBatch(stack)
          await using second = newStack(up)
          loadBatch(second, batch)
          expect(survey(second), batch).to.equal(survey(stack))
        }),
        { numRuns: RUNS, seed: SEED },
      )
    })
  }
})

describe('what a saved configuration keeps', () => {
  async function expectKept(...commands: string[]): Promise<string> {
    await using stack = newStack()
    for (const command of commands) {
      const { stderr } = ip(stack, command)
      expect(stderr, command).to.equal('')
    }
    const batch = saveBatch(stack)
    await using fromBatch = newStack()
    loadBatch(fromBatch, batch)
    expect(survey(fromBatch), batch).to.equal(survey(stack))
    await using fromJson = newStack()
    loadJson(fromJson, saveJson(stack))
    expect(survey(fromJson)).to.equal(survey(stack))
    return ip(stack, 'route show table all').stdout
  }

  it('routes by a gateway that cannot be reached any more', async () => {
    const routes = await expectKept(
      'link set tun0 up',
      'address add 10.5.0.1/24 dev tun0',
      'address add 10.6.0.1/24 dev tun0',
      'route add 20.0.0.0/8 via 10.5.0.9',
      'route add 21.0.0.0/8 via 10.5.0.9 table 100',
      'address del 10.5.0.1/24 dev tun0',
      'route add blackhole 10.5.0.9',
    )
    expect(routes).to.include('20.0.0.0/8 via 10.5.0.9 dev tun0')
    expect(routes).to.include('21.0.0.0/8 via 10.5.0.9 dev tun0 table 100')
  })

  it('routes with a source that is no address any more', async () => {
    const routes = await expectKept(
      'link set tun0 up',
      'address add 10.5.0.1/24 dev tun0',
      'address add 10.6.0.1/24 dev tun0',
      'route add 20.0.0.0/8 dev tun0 src 10.5.0.1 table 100',
      'address del 10.5.0.1/24 dev tun0',
    )
    expect(routes).to.include('20.0.0.0/8 dev tun0 table 100 scope link src 10.5.0.1')
  })

  it('dead hops: of a device that is down, and of one without addresses', async () => {
    const routes = await expectKept(
      'link set lo up',
      'link set tun0 up',
      'link set tun1 up',
      'address add 10.6.0.1/24 dev tun1',
      'route add 20.0.0.0/8 nexthop dev lo nexthop dev tun0 nexthop dev tun1',
      'route append 20.0.0.0/8 dev lo proto static',
      'link set tun0 down',
      'address flush dev tun1',
      'route prepend blackhole 20.0.0.0/8',
    )
    expect(routes.match(/ dead linkdown $/gm)).to.have.length(2)
  })

  it('nexthop objects: without a way to the gateway, black holes over a loopback that is down, metrics', async () => {
    const routes = await expectKept(
      'link set lo up',
      'link set tun1 up',
      'address add 10.5.0.1/24 dev tun1',
      'address add 10.6.0.1/24 dev tun1',
      'nexthop add id 1 via 10.5.0.9 dev tun1 protocol static',
      'nexthop add id 2 via 10.6.0.1 dev tun1',
      'nexthop add id 3 blackhole',
      'nexthop add id 4 via 10.6.0.7 onlink dev tun1',
      'nexthop add id 5 dev tun1',
      'nexthop add id 10 group 1,3/2/5',
      'nexthop add id 11 group 3',
      'route add 20.0.0.0/8 nhid 10',
      'route add 21.0.0.0/8 nhid 11 table 100',
      'route add 22.0.0.0/8 nhid 1',
      'route add 23.0.0.0/8 nhid 1 mtu 1400',
      'route add 24.0.0.0/8 nhid 1 mtu 0',
      'route add unreachable 25.0.0.0/8 nhid 4',
      'link set lo down',
      'address del 10.5.0.1/24 dev tun1',
      'address del 10.6.0.1/24 dev tun1',
    )
    expect(routes).to.include('22.0.0.0/8 nhid 1 via 10.5.0.9 dev tun1 \n')
    expect(routes).to.include('23.0.0.0/8 nhid 1 via 10.5.0.9 dev tun1 mtu 1400 \n')
    expect(routes).to.include('24.0.0.0/8 nhid 1 via 10.5.0.9 dev tun1 \n')
  })

  it('routes that addresses made and somebody removed, and their order', async () => {
    const routes = await expectKept(
      'link set lo up',
      'link set tun0 up',
      'link set tun1 up',
      'address add 10.5.0.1/24 dev tun1',
      'address add 10.5.0.2/24 dev tun0',
      'route del broadcast 10.5.0.255 dev tun1',
      'address del 127.0.0.1/8 dev lo',
    )
    expect(routes).to.match(/10\.5\.0\.0\/24 dev tun1 .*\n10\.5\.0\.0\/24 dev tun0 /)
    expect(routes).not.to.include('127.0.0.1')
  })

  it('empty tables, the order of tables, and that there was a rule', async () => {
    await using stack = newStack()
    for (const command of [
      'link set lo up',
      'route add 20.0.0.0/8 dev lo table 100',
      'route add 20.0.0.0/8 dev lo table 356',
      'route add 20.0.0.0/8 dev lo table 77',
      'route del 20.0.0.0/8 table 77',
      'rule add priority 5 table 77',
      'rule del priority 5',
    ]) {
      expect(ip(stack, command).status, command).to.equal(0)
    }
    await using second = newStack()
    loadBatch(second, saveBatch(stack))
    expect(ip(second, 'route show table 77').status).to.equal(0)
    expect(ip(second, 'route get 127.0.0.1').stdout).to.include('table local')
    expect(saveJson(second)).to.deep.equal(saveJson(stack))
  })

  it('lifetimes, as they are at the time', async () => {
    await using stack = newStack()
    ip(stack, 'address add 10.5.0.1/24 dev tun0 valid_lft 100 preferred_lft 50')
    ;(stack.clock as VirtualClock).advance(30e9)
    const [address] = saveJson(stack).addresses
    expect(address).to.include({ address: '10.5.0.1/24', validLifetime: 70, preferredLifetime: 20 })
    expect(saveBatch(stack)).to.include('valid_lft 70 preferred_lft 20 dev tun0\n')
  })

  it('settings, in an order in which they can be written', async () => {
    await using stack = newStack()
    stack.sysctlSet('net.ipv4.conf.default.rp_filter', 1)
    stack.sysctlSet('net.ipv4.conf.tun0.rp_filter', 0)
    expect(saveSysctls(stack)).to.deep.equal([
      { name: 'net.ipv4.conf.default.rp_filter', value: '1' },
      { name: 'net.ipv4.conf.lo.rp_filter', value: '1' },
      { name: 'net.ipv4.conf.tun0.rp_filter', value: '0' },
      { name: 'net.ipv4.conf.tun1.rp_filter', value: '1' },
    ])
  })

  it('a stack whose devices are elsewhere', async () => {
    await using stack = newStack(true)
    configure(stack, [...BEGINNING, 'address add 10.5.0.1/24 dev tun1', 'route add default via 10.5.0.9'])
    await using second = stackFromJson(JSON.stringify(saveJson(stack)), { clock: new VirtualClock() })
    expect(survey(second)).to.equal(survey(stack))
    expect(second.explain('8.8.8.8').verdict).to.equal('transmit')
  })

  it('replaces what was configured before', async () => {
    await using stack = newStack()
    const empty = saveJson(stack)
    configure(stack, [
      ...BEGINNING,
      'address add 10.5.0.1/24 dev tun0',
      'route add 20.0.0.0/8 dev tun1 table 100',
      'rule add priority 7 blackhole',
      ['net.ipv4.ip_forward', '1'],
    ])
    loadJson(stack, empty)
    const { links, ...rest } = saveJson(stack)
    expect(links.map(({ up }) => up)).to.deep.equal([false, false, false])
    const { links: _, tables, rulesTouched, ...expected } = empty
    expect(rest).to.deep.include(expected)
  })
})

describe('a wrong configuration', () => {
  const base = {
    format: 'tunstack-configuration',
    version: 1,
    links: [{ name: 'lo', index: 1, type: 'loopback', mtu: 65536, up: true }],
    addresses: [],
    routes: [],
    rules: [],
  }
  const rows: [string, object, string, string][] = [
    ['another document', { format: 'x' }, 'ERR_CONFIGURATION_VERSION', 'format'],
    ['another version', { version: 2 }, 'ERR_CONFIGURATION_VERSION', 'version'],
    ['a missing part', { routes: undefined }, 'ERR_CONFIGURATION_INVALID', 'routes'],
    ['an unknown part', { routs: [] }, 'ERR_CONFIGURATION_INVALID', 'routs'],
    ['no list', { rules: {} }, 'ERR_CONFIGURATION_INVALID', 'rules'],
    ['a bad prefix', { routes: [{ to: '10.0.0.1/8' }] }, 'ERR_CONFIGURATION_INVALID', 'routes[0].to'],
    [
      'a bad gateway',
      { routes: [{ to: 'default', via: 'x' }] },
      'ERR_CONFIGURATION_INVALID',
      'routes[0].via',
    ],
    [
      'a bad name',
      { routes: [{ to: 'default', proto: 'x' }] },
      'ERR_CONFIGURATION_INVALID',
      'routes[0].proto',
    ],
    [
      'a typo',
      { routes: [{ to: 'default', gatway: '1.1.1.1' }] },
      'ERR_CONFIGURATION_INVALID',
      'routes[0].gatway',
    ],
    [
      'a bad hop',
      { routes: [{ to: 'default', nexthops: [{ dev: 'lo' }, { dev: 'lo', weight: 0 }] }] },
      'ERR_CONFIGURATION_INVALID',
      'routes[0].nexthops[1].weight',
    ],
    ...(
      [
        ['a member that is not there', { id: 1, group: [{ id: 2 }] }, '[0].group[0].id'],
        ['an object without a way', { id: 1 }, '[0]'],
        ['an object with two ways', { id: 1, dev: 'lo', blackhole: true }, '[0]'],
        ['an object without a number', { dev: 'lo' }, '[0].id'],
        ['an object over no device', { id: 1, dev: 'nope' }, '[0].dev'],
      ] as const
    ).map(([what, object, path]): [string, object, string, string] => [
      what,
      { nexthopObjects: [object] },
      'ERR_CONFIGURATION_INVALID',
      `nexthopObjects${path}`,
    ]),
    [
      'an object that is not there',
      { routes: [{ to: 'default', nhid: 5 }] },
      'ERR_CONFIGURATION_INVALID',
      'routes[0].nhid',
    ],
    [
      'a bad metric',
      { routes: [{ to: 'default', metrics: { mto: 5 } }] },
      'ERR_CONFIGURATION_INVALID',
      'routes[0].metrics.mto',
    ],
    [
      'an unknown device',
      { addresses: [{ dev: 'x', address: '10.0.0.1/8' }] },
      'ERR_CONFIGURATION_INVALID',
      'addresses[0].dev',
    ],
    [
      'two links of a name',
      { links: [base.links[0], base.links[0]] },
      'ERR_CONFIGURATION_INVALID',
      'links[1].name',
    ],
    [
      'two actions',
      { rules: [{ priority: 1, action: 'nop', goto: 7 }] },
      'ERR_CONFIGURATION_INVALID',
      'rules[0].action',
    ],
    [
      'a backward range',
      { rules: [{ priority: 1, sport: [7, 5] }] },
      'ERR_CONFIGURATION_INVALID',
      'rules[0].sport[1]',
    ],
    [
      'a setting that is none',
      { sysctls: { 'net.x': '1' } },
      'ERR_CONFIGURATION_REFUSED',
      'sysctls["net.x"]',
    ],
    [
      'a device that is not there',
      { links: [{ name: 'tun7', index: 2, type: 'none', mtu: 1500 }] },
      'ERR_CONFIGURATION_DEVICE',
      'links[0].name',
    ],
    [
      'what the stack refuses',
      { rules: [{ priority: 9, goto: 5 }] },
      'ERR_CONFIGURATION_REFUSED',
      'rules[0]',
    ],
  ]
  for (const [what, change, code, path] of rows) {
    it(`${what} is ${code} at ${path}`, async () => {
      await using stack = newStack()
      const error = thrownBy(() => loadJson(stack, JSON.stringify({ ...base, ...change })))
      expect(error).to.be.instanceOf(ConfigurationError)
      expect(error).to.include({ code, path })
      expect((error as Error).message).to.include(path)
    })
  }

  it('is no JSON at all', async () => {
    await using stack = newStack()
    expect(thrownBy(() => loadJson(stack, '{'))).to.include({ code: 'ERR_CONFIGURATION_INVALID', path: '' })
  })

  it('is a batch with a line that is refused', async () => {
    await using stack = newStack()
    const error = thrownBy(() => loadBatch(stack, '# fine\nlink set lo up\nroute add 10/8 dev nope\n'))
    expect(error).to.include({ code: 'ERR_CONFIGURATION_REFUSED', path: 'line 3' })
    expect((error as Error).message).to.include('Cannot find device "nope"')
  })

  it('never gets another error than that out of arbitrary documents', async () => {
    await using stack = newStack()
    const parts = fc.constantFrom(
      'links',
      'addresses',
      'routes',
      'rules',
      'tables',
      'sysctls',
      'rulesTouched',
    )
    fc.assert(
      fc.property(parts, fc.jsonValue({ maxDepth: 3 }), (part, value) => {
        const error = thrownBy(() => loadJson(stack, JSON.stringify({ ...base, [part]: value })))
        if (error !== undefined) expect(error).to.be.instanceOf(ConfigurationError)
      }),
      { seed: SEED },
    )
  })

  it('never gets another error than that out of a document that was damaged', async () => {
    await using source = newStack()
    configure(source, [
      ...BEGINNING,
      'address add 10.5.0.1/24 dev tun0 label x metric 5 valid_lft 50 preferred_lft 5',
      'route add 20.0.0.0/8 mtu lock 1400 realms 5/6 nexthop dev tun0 nexthop via 10.5.0.9',
      'rule add priority 9 from 10/8 fwmark 5/7 iif tun0 sport 5-6 uidrange 1-2 table 100 realms 7',
    ])
    const text = JSON.stringify(saveJson(source))
    fc.assert(
      fc.property(fc.nat(), fc.jsonValue({ maxDepth: 1 }), (at, value) => {
        const document: unknown = JSON.parse(text)
        damage(document, at, value)
        const stack = newStack()
        const error = thrownBy(() => loadJson(stack, JSON.stringify(document)))
        if (error !== undefined) expect(error).to.be.instanceOf(ConfigurationError)
        void stack.close()
      }),
      { numRuns: 300, seed: SEED },
    )
  })
})

/** Puts a value in place of one of those in the document. */
function damage(document: unknown, at: number, value: unknown): void {
  const places: [Record<string, unknown>, string][] = []
  const visit = (part: unknown): void => {
    if (typeof part !== 'object' || part === null) return
    for (const key of Object.keys(part)) {
      places.push([part as Record<string, unknown>, key])
      visit((part as Record<string, unknown>)[key])
    }
  }
  visit(document)
  const [part, key] = places[at % places.length]!
  part[key] = value
}

function thrownBy(action: () => void): unknown {
  try {
    action()
  } catch (error) {
    return error
  }
  return undefined
}

describe('a kernel with nexthop objects', () => {
  const link = [
    { ifindex: 1, ifname: 'lo', flags: ['LOOPBACK', 'UP', 'LOWER_UP'], mtu: 65536, link_type: 'loopback' },
    { ifindex: 2, ifname: 'eth0', flags: ['UP', 'LOWER_UP'], mtu: 1500, link_type: 'ether' },
  ]
  const address = [{ ifname: 'eth0', addr_info: [{ family: 'inet', local: '10.0.0.1', prefixlen: 24 }] }]
  const route = [
    { dst: '20.0.0.0/8', nhid: 1, gateway: '10.0.0.9', dev: 'eth0', flags: [] },
    { type: 'blackhole', dst: '21.0.0.0/8', nhid: 2, dev: 'lo', flags: [] },
    { dst: '22.0.0.0/8', nhid: 3, gateway: '10.0.0.9', dev: 'eth0', flags: [] },
  ]
  const nexthop = [
    { id: 1, gateway: '10.0.0.9', dev: 'eth0', scope: 'link', flags: [] },
    { id: 2, blackhole: null, flags: [] },
    { id: 3, group: [{ id: 1, weight: 5 }], type: 'resilient', resilient_args: { buckets: 8 }, flags: [] },
    { id: 4, group: [{ id: 1 }, { id: 5 }], flags: [] },
    { id: 5, gateway: '10.0.0.9', scope: 'link', flags: [], fdb: null },
  ]

  it('is read with them', async () => {
    const { stack, skipped } = fromKernel({ link, address, route, rule: [], nexthop })
    expect(ip(stack, 'nexthop').stdout).to.equal(
      'id 1 via 10.0.0.9 dev eth0 scope link \nid 2 blackhole \nid 3 group 1,5 \n',
    )
    expect(ip(stack, 'route show').stdout).to.include('blackhole 21.0.0.0/8 nhid 2 dev lo \n')
    expect(skipped.map(({ path, reason }) => `${path}: ${reason}`)).to.include.members([
      'nexthop[2].type: a stack has no resilient groups: this is an ordinary one',
      'nexthop[4]: a stack has no bridges',
      'nexthop of number 4: its member 5 is not in the stack',
    ])
    await stack.close()
  })

  it('gives routes hops of their own where nobody says what the objects are', async () => {
    const { stack, skipped } = fromKernel({ link, address, route, rule: [] })
    expect(ip(stack, 'nexthop').stdout).to.equal('')
    const routes = ip(stack, 'route show').stdout
    expect(routes).to.include('20.0.0.0/8 via 10.0.0.9 dev eth0 \n').and.include('blackhole 21.0.0.0/8 \n')
    expect(skipped.map(({ path }) => path)).to.include.members(['route[0].nhid', 'route[1].nhid'])
    await stack.close()
  })
})
