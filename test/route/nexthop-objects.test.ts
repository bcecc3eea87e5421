import { expect } from 'chai'
import fc from 'fast-check'
import { parseIpv4 } from '../../lib/address/ipv4-address.ts'
import { IdleTun } from '../../lib/device/idle-tun.ts'
import { Errno } from '../../lib/errors.ts'
import { ip } from '../../lib/iproute2/ip.ts'
import { FibNexthop, FibResult } from '../../lib/route/fib-types.ts'
import { Flow4 } from '../../lib/route/flow.ts'
import { type NexthopMember, NexthopObject } from '../../lib/route/nexthop-object.ts'
import { Stack } from '../../lib/stack/stack.ts'
import { nexthopCommand } from '../iproute2/arbitrary-nexthops.ts'

const HASHES = 2 ** 31

function newStack(): { stack: Stack; tuns: Map<string, IdleTun> } {
  const stack = new Stack()
  const tuns = new Map(['tun0', 'tun1'].map((name) => [name, new IdleTun(name, true)]))
  for (const tun of tuns.values()) stack.addDevice(tun, { up: true })
  run(stack, 'address add 10.0.0.1/24 dev tun0', 'address add 10.1.0.1/24 dev tun1')
  return { stack, tuns }
}

function run(stack: Stack, ...commands: readonly string[]): void {
  for (const command of commands) expect(ip(stack, command).stderr, command).to.equal('')
}

/** Where a packet of this host goes: a device, or an errno. */
function way(stack: Stack, destination: string, oif = ''): string | number {
  const flow = new Flow4()
  flow.daddr = parseIpv4(destination)
  flow.iif = stack.loopback.index
  if (oif !== '') flow.oif = stack.interface(oif).index
  const result = new FibResult()
  const error = stack.routing.fib.lookup(flow, result)
  return error === 0 ? result.nexthop!.device!.name : error
}

describe('nexthop objects', () => {
  it('change the way of every route that names them', async () => {
    const { stack } = newStack()
    run(
      stack,
      'nexthop add id 1 via 10.0.0.9 dev tun0',
      'nexthop add id 2 group 1',
      'route add 20/8 nhid 1',
      'route add 21/8 nhid 1 tos 0x10',
      'route add 22/8 nhid 2',
    )
    expect(['20.0.0.1', '22.0.0.1'].map((to) => way(stack, to))).to.deep.equal(['tun0', 'tun0'])
    run(stack, 'nexthop replace id 1 dev tun1')
    expect(['20.0.0.1', '22.0.0.1'].map((to) => way(stack, to))).to.deep.equal(['tun1', 'tun1'])
    run(stack, 'nexthop replace id 1 blackhole')
    expect(way(stack, '20.0.0.1')).to.equal(-Errno.EINVAL)
    expect(way(stack, '22.0.0.1')).to.equal(-Errno.EINVAL)
    run(stack, 'nexthop replace id 1 dev tun0')
    expect(way(stack, '22.0.0.1')).to.equal('tun0')
    run(stack, 'nexthop del id 1')
    expect(ip(stack, 'route show').stdout).not.to.include('nhid')
    expect(ip(stack, 'nexthop').stdout).to.equal('')
    await stack.close()
  })

  it('die with the device and with the carrier, and take routes and groups along', async () => {
    const { stack, tuns } = newStack()
    run(
      stack,
      'nexthop add id 1 dev tun0',
      'nexthop add id 2 dev tun1',
      'nexthop add id 3 group 1/2',
      'nexthop add id 4 group 2',
      'nexthop add id 5 blackhole',
      'route add 20/8 nhid 3',
      'route add 21/8 nhid 4',
      'route add 22/8 nhid 5',
    )
    tuns.get('tun1')!.carrier = false
    expect(ip(stack, 'nexthop').stdout).to.equal(
      'id 1 dev tun0 scope host \nid 3 group 1 \nid 5 blackhole \n',
    )
    expect(way(stack, '20.0.0.1')).to.equal('tun0')
    expect(way(stack, '21.0.0.1')).to.equal(-Errno.ENETUNREACH)
    run(stack, 'link set tun0 down', 'link set lo down')
    expect(ip(stack, 'nexthop').stdout).to.equal('id 5 blackhole \n')
    expect(way(stack, '20.0.0.1')).to.equal(-Errno.ENETUNREACH)
    expect(way(stack, '22.0.0.1')).to.equal(-Errno.EINVAL)
    await stack.close()
  })

  it('end the search among the routes of a prefix where none of their hops will do', async () => {
    const { stack } = newStack()
    run(
      stack,
      'nexthop add id 1 dev tun0',
      'route add 20/8 nhid 1',
      'route add 20/8 dev tun1 metric 5',
      'route add 30/8 dev tun0',
      'route add 30/8 dev tun1 metric 5',
    )
    expect(way(stack, '30.0.0.1', 'tun1')).to.equal('tun1')
    expect(way(stack, '20.0.0.1', 'tun1')).to.equal(-Errno.ENETUNREACH)
    run(stack, 'route add default dev tun1 metric 9')
    expect(way(stack, '20.0.0.1', 'tun1')).to.equal('tun1')
    await stack.close()
  })

  it('property: a group deals all hashes out, by weight to the nearest', () => {
    const weights = fc.array(fc.integer({ min: 1, max: 65535 }), { minLength: 1, maxLength: 12 })
    fc.assert(
      fc.property(weights, (list) => {
        const group = new NexthopObject(1, 0)
        group.members = list.map((weight): NexthopMember => {
          const object = new NexthopObject(2, 0)
          object.hops = [new FibNexthop()]
          return { object, weight, upperBound: 0 }
        })
        group.rebalance()
        const total = list.reduce((sum, weight) => sum + weight, 0)
        let from = 0
        for (const [index, { weight, upperBound }] of group.members.entries()) {
          expect(Math.abs(upperBound + 1 - from - (weight * HASHES) / total)).to.be.at.most(1)
          if (upperBound >= from) {
            expect(group.select(from)).to.equal(index)
            expect(group.select(upperBound)).to.equal(index)
          }
          from = upperBound + 1
        }
        expect(from).to.equal(HASHES)
      }),
    )
  })

  it('property: whatever is done, objects, groups, routes and devices agree', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(nexthopCommand, { maxLength: 60, size: 'max' }), async (commands) => {
        const { stack, tuns } = newStack()
        for (const command of commands) {
          const [first, name, state] = command.split(' ')
          if (first === 'carrier') tuns.get(name!)!.carrier = state === 'on'
          else ip(stack, command)
          checkAgreement(stack)
        }
        ip(stack, 'nexthop flush')
        for (const table of ['100', 'local', 'default', 'main']) ip(stack, `route flush table ${table}`)
        expect(ip(stack, 'nexthop').stdout).to.equal('')
        expect([...stack.routing.fib.dumpAll()].filter(({ info }) => info.nexthop !== null)).to.deep.equal([])
        await stack.close()
      }),
      { numRuns: 60, seed: 20251122 },
    )
  })
})

function checkAgreement(stack: Stack): void {
  const { fib } = stack.routing
  const used = new Set([...fib.dumpAll()].map(({ info }) => info))
  for (const object of fib.nexthops.all()) {
    const { members, hops, blackhole, groups, infos } = object
    for (const info of infos) {
      expect(used.has(info), `a route of ${object.id}`).to.equal(true)
      expect(info.nexthops).to.equal(hops)
      for (let kind = info.kinds; kind !== null; kind = kind.nextOfInfo) {
        expect(kind.hop).to.equal(hops.length === 1 ? hops[0] : null)
      }
    }
    for (const group of groups)
      expect(group.members!.some((member) => member.object === object)).to.equal(true)
    if (members === null) {
      const device = hops[0]!.device!
      if (!blackhole) expect(device.up && device.carrier, `the device of ${object.id}`).to.equal(true)
      continue
    }
    expect(hops).to.deep.equal(members.map((member) => member.object.hops[0]))
    for (const member of members) {
      expect(fib.nexthops.get(member.object.id)).to.equal(member.object)
      expect(member.object.groups.has(object)).to.equal(true)
    }
  }
  for (const info of used) {
    if (info.nexthop !== null) expect(info.nexthop.infos).to.include(info)
  }
}
