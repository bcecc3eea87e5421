import { expect } from 'chai'
import { formatIpv4, parseIpv4 } from '../../lib/address/ipv4-address.ts'
import { FOREVER } from '../../lib/route/inet-address.ts'
import { NetlinkError, RouteTable, RouteType, Scope } from '../../lib/route/rtnetlink.ts'
import { routeText } from './route-text.ts'
import { TestHost } from './test-host.ts'

const listed = (host: TestHost, device: string): string[] =>
  [...host.addresses.of(host.device(device))].map(
    (address) =>
      `${formatIpv4(address.local)}/${address.prefixLength}${address.secondary ? ' secondary' : ''}`,
  )

const table = (host: TestHost, id: number): string[] =>
  [...host.fib.dump(id)].map((alias) => routeText(alias))

const short = (host: TestHost, id: number): string[] =>
  table(host, id).map((line) => line.replace(/ table=.*? tos=0 -@(\S+) .* src=(\S+) .*$/, ' $1 $2'))

function extackOf(action: () => void): string | undefined {
  try {
    action()
  } catch (error) {
    if (error instanceof NetlinkError) return error.extack ?? error.code
    throw error
  }
  return undefined
}

describe('InetAddresses', () => {
  it('makes the local table of the loopback scenario', () => {
    const host = new TestHost().up('lo').address('10.0.3.1/24', 'lo')
    const kernel = (prefix: string, type: string, scope: string, source: string): string =>
      `${type} ${prefix} table=255 tos=0 -@lo proto=kernel scope=${scope} src=${source} metric=0 flags=`
    expect(table(host, RouteTable.LOCAL)).to.deep.equal([
      kernel('10.0.3.0/24', 'local', 'host', '10.0.3.1'),
      kernel('10.0.3.1/32', 'local', 'host', '10.0.3.1'),
      kernel('10.0.3.255/32', 'broadcast', 'link', '10.0.3.1'),
      kernel('127.0.0.0/8', 'local', 'host', '127.0.0.1'),
      kernel('127.0.0.1/32', 'local', 'host', '127.0.0.1'),
      kernel('127.255.255.255/32', 'broadcast', 'link', '127.0.0.1'),
    ])
    expect(table(host, RouteTable.MAIN)).to.deep.equal([])
    expect(host.fib.addressType(parseIpv4('10.0.3.2'))).to.equal(RouteType.LOCAL)
    expect(host.addresses.deviceOf(parseIpv4('10.0.3.2'))).to.equal(host.device('lo'))
    expect(host.addresses.isOwn(parseIpv4('10.0.3.2'))).to.equal(false)
  })

  it('puts the network of any other device into table main, once it is up', () => {
    const host = new TestHost().address('10.9.0.2/24', 'tun0')
    expect(short(host, RouteTable.LOCAL)).to.deep.equal(['local 10.9.0.2/32 tun0 10.9.0.2'])
    host.up('tun0')
    expect(short(host, RouteTable.MAIN)).to.deep.equal(['unicast 10.9.0.0/24 tun0 10.9.0.2'])
    expect(short(host, RouteTable.LOCAL)).to.deep.equal([
      'local 10.9.0.2/32 tun0 10.9.0.2',
      'broadcast 10.9.0.255/32 tun0 10.9.0.2',
    ])
    host.down('tun0')
    expect(short(host, RouteTable.MAIN)).to.deep.equal([])
    expect(short(host, RouteTable.LOCAL)).to.deep.equal(['local 10.9.0.2/32 tun0 10.9.0.2'])
  })

  it('has no broadcast routes for /31 and no network route for /32', () => {
    const host = new TestHost().up('tun0').address('10.0.0.0/31', 'tun0').address('10.0.1.1/32', 'tun0')
    expect(short(host, RouteTable.MAIN)).to.deep.equal(['unicast 10.0.0.0/31 tun0 10.0.0.0'])
    expect(short(host, RouteTable.LOCAL)).to.deep.equal([
      'local 10.0.0.0/32 tun0 10.0.0.0',
      'local 10.0.1.1/32 tun0 10.0.1.1',
    ])
    host.address('10.0.2.1/32', 'tun0', { peer: parseIpv4('10.0.2.9') })
    expect(short(host, RouteTable.MAIN)[1]).to.equal('unicast 10.0.2.9/32 tun0 10.0.2.1')
  })

  it('lists primaries by scope, the nearest first, then secondaries', () => {
    const host = new TestHost().up('tun0')
    host.address('10.0.0.1/24', 'tun0').address('10.0.0.2/24', 'tun0').address('10.1.0.1/24', 'tun0')
    host
      .address('10.2.0.1/24', 'tun0', { scope: Scope.HOST })
      .address('10.3.0.1/24', 'tun0', { scope: Scope.LINK })
    expect(listed(host, 'tun0')).to.deep.equal([
      '10.2.0.1/24',
      '10.3.0.1/24',
      '10.0.0.1/24',
      '10.1.0.1/24',
      '10.0.0.2/24 secondary',
    ])
  })

  it('refuses an address that is there, and another scope in one subnet', () => {
    const host = new TestHost().up('tun0').address('10.0.0.1/24', 'tun0')
    expect(extackOf(() => host.address('10.0.0.1/24', 'tun0'))).to.equal('ipv4: Address already assigned')
    expect(extackOf(() => host.address('10.0.0.2/24', 'tun0', { scope: Scope.LINK }))).to.equal(
      'ipv4: Invalid scope value',
    )
    expect(extackOf(() => host.removeAddress('10.0.0.9/24', 'tun0'))).to.equal('ipv4: Address not found')
    host.address('10.0.0.1/25', 'tun0').address('10.0.0.1/24', 'tun1')
    expect(listed(host, 'tun0')).to.deep.equal(['10.0.0.1/24', '10.0.0.1/25'])
  })

  it('takes secondaries along with their primary, unless promote_secondaries says otherwise', () => {
    for (const promote of [0, 1]) {
      const host = new TestHost().up('tun0')
      host.sysctl.set('net.ipv4.conf.all.promote_secondaries', promote)
      for (const last of [1, 2, 3]) host.address(`10.0.0.${last}/24`, 'tun0')
      host.address('10.1.0.1/24', 'tun0').removeAddress('10.0.0.1/24', 'tun0')
      expect(listed(host, 'tun0')).to.deep.equal(
        promote === 0 ? ['10.1.0.1/24'] : ['10.1.0.1/24', '10.0.0.2/24', '10.0.0.3/24 secondary'],
      )
      expect(short(host, RouteTable.LOCAL).filter((line) => line.includes('10.0.0.'))).to.deep.equal(
        promote === 0
          ? []
          : [
              'local 10.0.0.2/32 tun0 10.0.0.2',
              'local 10.0.0.3/32 tun0 10.0.0.2',
              'broadcast 10.0.0.255/32 tun0 10.0.0.2',
            ],
      )
    }
  })

  it('takes routes of table main with a lost source, and every route with the last address', () => {
    const host = new TestHost().up('tun0', 'tun1')
    host.address('10.0.0.1/24', 'tun0').address('10.1.0.1/24', 'tun0').address('10.2.0.1/24', 'tun1')
    const from = { prefsrc: parseIpv4('10.0.0.1') }
    host.fib.addRoute({ ...host.route('172.16.0.0/16', 'tun1'), ...from })
    host.fib.addRoute({ ...host.route('172.17.0.0/16', 'tun1'), ...from, table: 100 })
    host.fib.addRoute(host.route('172.18.0.0/16', null, '10.0.0.7'))
    host.removeAddress('10.0.0.1/24', 'tun0')
    expect(short(host, RouteTable.MAIN).filter((line) => line.includes('172'))).to.deep.equal([
      'unicast 172.18.0.0/16 table=254 tos=0 10.0.0.7@tun0 proto=boot scope=universe src=- metric=0 flags=',
    ])
    expect(short(host, 100)).to.have.length(1)
    host.removeAddress('10.1.0.1/24', 'tun0')
    expect(short(host, RouteTable.MAIN)).to.deep.equal(['unicast 10.2.0.0/24 tun1 10.2.0.1'])
  })

  it('gives loopback 127.0.0.1/8 each time it goes up, and keeps it when it goes down', () => {
    const host = new TestHost().up('lo').address('10.0.3.1/24', 'lo')
    host.removeAddress('127.0.0.1/8', 'lo')
    host.down('lo').up('lo')
    expect(listed(host, 'lo')).to.deep.equal(['127.0.0.1/8', '10.0.3.1/24'])
    host.down('lo')
    expect(short(host, RouteTable.LOCAL)).to.deep.equal([
      'local 10.0.3.0/24 lo 10.0.3.1',
      'local 10.0.3.1/32 lo 10.0.3.1',
      'local 127.0.0.0/8 lo 127.0.0.1',
      'local 127.0.0.1/32 lo 127.0.0.1',
    ])
  })

  it('changes only lifetimes and metric of an address that is there', () => {
    const host = new TestHost().up('tun0').address('10.0.0.1/24', 'tun0', { metric: 5, label: 'a' })
    const local = parseIpv4('10.0.0.1')
    const changed = host.addresses.add(
      host.device('tun0'),
      { local, prefixLength: 24, label: 'b' },
      0,
      'change',
    )
    expect(changed.label).to.equal('a')
    expect(changed.metric).to.equal(0)
    expect(table(host, RouteTable.MAIN)).to.have.length(1)
    expect(table(host, RouteTable.MAIN)[0]).to.contain('metric=0')
  })

  it('lets addresses grow old', () => {
    const host = new TestHost().up('tun0')
    host.address('10.0.0.1/24', 'tun0', { validLifetime: 30, preferredLifetime: 10 })
    host.address('10.1.0.1/24', 'tun0')
    const events: string[] = []
    host.addresses.onChange((event, address) => events.push(`${event} ${formatIpv4(address.local)}`))
    const [aging] = host.addresses.of(host.device('tun0'))
    expect(host.addresses.expire(0)).to.equal(10e9)
    expect(host.addresses.expire(10e9)).to.equal(30e9)
    expect(aging!.deprecated).to.equal(true)
    expect(aging!.remaining(12e9)).to.deep.equal({ valid: 18, preferred: 0 })
    expect(host.addresses.expire(30e9)).to.equal(Number.POSITIVE_INFINITY)
    expect(listed(host, 'tun0')).to.deep.equal(['10.1.0.1/24'])
    expect(events).to.deep.equal(['changed 10.0.0.1', 'removed 10.0.0.1'])
    expect(host.addresses.of(host.device('tun0'))[0]!.remaining(1e18)).to.deep.equal({
      valid: FOREVER,
      preferred: FOREVER,
    })
  })

  it('prefers a source on the subnet, of the device, of a scope wide enough, then of any device', () => {
    const host = new TestHost().up('lo', 'tun0', 'tun1')
    host.address('10.3.0.1/24', 'tun0', { scope: Scope.LINK })
    host.address('10.0.0.1/24', 'tun0').address('10.1.0.1/24', 'tun0')
    const select = (device: string | null, toward: string, scope: number): string =>
      formatIpv4(
        host.addresses.selectSource(device === null ? null : host.device(device), parseIpv4(toward), scope),
      )
    expect(select('tun0', '10.1.0.9', Scope.UNIVERSE)).to.equal('10.1.0.1')
    expect(select('tun0', '0.0.0.0', Scope.UNIVERSE)).to.equal('10.0.0.1')
    expect(select('tun0', '0.0.0.0', Scope.LINK)).to.equal('10.3.0.1')
    expect(select('tun1', '10.1.0.9', Scope.UNIVERSE)).to.equal('10.0.0.1')
    expect(select('lo', '0.0.0.0', Scope.HOST)).to.equal('127.0.0.1')
    expect(select(null, '0.0.0.0', Scope.HOST)).to.equal('127.0.0.1')
  })

  it('confirms addresses as inet_confirm_addr', () => {
    const host = new TestHost().up('tun0').address('10.0.0.1/24', 'tun0').address('10.1.0.1/24', 'tun0')
    const confirm = (toward: string, local: string): string =>
      formatIpv4(
        host.addresses.confirm(host.device('tun0'), parseIpv4(toward), parseIpv4(local), Scope.UNIVERSE),
      )
    expect(confirm('10.1.0.9', '0.0.0.0')).to.equal('10.1.0.1')
    expect(confirm('10.1.0.9', '10.1.0.1')).to.equal('10.1.0.1')
    expect(confirm('10.9.0.9', '10.1.0.1')).to.equal('0.0.0.0')
    expect(confirm('0.0.0.0', '10.1.0.1')).to.equal('10.1.0.1')
  })

  it('has no IPv4 on a device with an MTU below 68', () => {
    const host = new TestHost().up('tun0').address('10.0.0.1/24', 'tun0')
    const device = host.device('tun0')
    device.link.setMtu(67)
    host.addresses.mtuChanged(device)
    expect([...host.fib.dumpAll()]).to.have.length(0)
    expect(extackOf(() => host.address('10.0.0.1/24', 'tun0'))).to.equal('ENOBUFS')
    device.link.setMtu(68)
    host.addresses.mtuChanged(device)
    host.address('10.0.0.1/24', 'tun0')
    expect(listed(host, 'tun0')).to.deep.equal(['10.0.0.1/24'])
  })

  it('leaves nothing of a device that is removed', () => {
    const host = new TestHost()
      .up('tun0', 'tun1')
      .address('10.0.0.1/24', 'tun0')
      .address('10.1.0.1/24', 'tun1')
    host.fib.addRoute({
      ...host.route('172.16.0.0/16', null),
      nexthops: [{ device: host.device('tun0') }, { device: host.device('tun1') }],
    })
    const device = host.device('tun0')
    host.down('tun0')
    host.addresses.deviceRemoved(device)
    host.devices.remove(device)
    expect(
      [...host.fib.dumpAll()].flatMap((alias) => alias.info.nexthops).some((hop) => hop.device === device),
    ).to.equal(false)
    expect(host.addresses.isOwn(parseIpv4('10.0.0.1'))).to.equal(false)
  })
})
