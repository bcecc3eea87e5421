import { expect } from 'chai'
import fc from 'fast-check'
import { TunstackError } from '../../lib/errors.ts'
import { Sysctl } from '../../lib/sysctl/sysctl.ts'

function codeOf(action: () => void): string {
  try {
    action()
  } catch (error) {
    if (error instanceof TunstackError) return error.code
    throw error
  }
  return 'none'
}

function withDevices(): Sysctl {
  const sysctl = new Sysctl()
  sysctl.addDevice(1, 'lo')
  sysctl.addDevice(2, 'tun0')
  return sysctl
}

describe('Sysctl', () => {
  it('has the defaults of a fresh network namespace', () => {
    const sysctl = withDevices()
    const expected: Record<string, string> = {
      'net.ipv4.ip_forward': '0',
      'net.ipv4.ip_default_ttl': '64',
      'net.ipv4.ip_local_port_range': '32768\t60999',
      'net.ipv4.ping_group_range': '1\t0',
      'net.ipv4.icmp_echo_ignore_broadcasts': '1',
      'net.ipv4.icmp_ratemask': '6168',
      'net.ipv4.ipfrag_high_thresh': '4194304',
      'net.ipv4.route.min_pmtu': '552',
      'net.ipv4.conf.all.accept_source_route': '0',
      'net.ipv4.conf.default.accept_source_route': '1',
      'net.ipv4.conf.lo.send_redirects': '1',
      'net.ipv4.conf.tun0.rp_filter': '0',
    }
    for (const [name, value] of Object.entries(expected)) expect(sysctl.get(name), name).to.equal(value)
  })

  it('reads back by dots and by slashes, in every base that /proc takes', () => {
    const sysctl = withDevices()
    sysctl.set('net/ipv4/ip_default_ttl', '0x20')
    expect(sysctl.get('net.ipv4.ip_default_ttl')).to.equal('32')
    sysctl.set('net.ipv4.ip_default_ttl', '017')
    expect(sysctl.ipv4.ip_default_ttl).to.equal(15)
    sysctl.set('net.ipv4.ip_local_port_range', '1024 65535')
    expect(sysctl.get('net.ipv4.ip_local_port_range')).to.equal('1024\t65535')
    sysctl.set('net.ipv4.ping_group_range', '5 1')
    expect(sysctl.get('net.ipv4.ping_group_range')).to.equal('1\t0')
  })

  it('refuses what a write to /proc refuses', () => {
    const sysctl = withDevices()
    for (const [name, value] of [
      ['net.ipv4.ip_default_ttl', '0'],
      ['net.ipv4.ip_default_ttl', '256'],
      ['net.ipv4.ip_default_ttl', '08'],
      ['net.ipv4.ip_default_ttl', ''],
      ['net.ipv4.icmp_echo_ignore_all', '2'],
      ['net.ipv4.ip_forward', '2147483648'],
      ['net.ipv4.ip_forward', 'yes'],
      ['net.ipv4.ip_local_port_range', '100 50'],
      ['net.ipv4.ip_local_port_range', '1 65535'],
      ['net.ipv4.ip_local_port_range', '1025 2004x'],
      ['net.ipv4.ip_local_port_range', '40000 2004'],
      ['net.ipv4.ip_forward', '0,1'],
      ['net.ipv4.ip_forward', 'x 1'],
      ['net.ipv4.ip_unprivileged_port_start', '40000'],
      ['net.ipv4.ipfrag_low_thresh', '5000000'],
      ['net.ipv4.route.min_pmtu', '67'],
    ] as const) {
      const before = sysctl.get(name)
      expect(
        codeOf(() => sysctl.set(name, value)),
        `${name} = '${value}'`,
      ).to.equal('EINVAL')
      expect(sysctl.get(name)).to.equal(before)
    }
    expect(codeOf(() => sysctl.get('net.ipv4.nope'))).to.equal('ENOENT')
    expect(codeOf(() => sysctl.get('net.ipv4.conf.tun9.rp_filter'))).to.equal('ENOENT')
    expect(codeOf(() => sysctl.get('net.ipv4.conf.tun0.settled'))).to.equal('ENOENT')
    expect(codeOf(() => sysctl.set('net.ipv4.conf.tun0.mc_forwarding', 1))).to.equal('EACCES')
  })

  it('reads of a line the numbers that it needs', () => {
    const sysctl = withDevices()
    for (const [name, value, then] of [
      ['net.ipv4.ip_forward', '1 0', '1'],
      ['net.ipv4.ip_default_ttl', '70 x', '70'],
      ['net.ipv4.conf.all.rp_filter', '2\t1', '2'],
      ['net.ipv4.ip_local_port_range', '1024 2000 3000', '1024\t2000'],
      ['net.ipv4.ip_local_port_range', '1025', '1025\t2000'],
      ['net.ipv4.ping_group_range', '1 5 x', '1\t5'],
      ['net.ipv4.ping_group_range', '2', '2\t5'],
    ] as const) {
      sysctl.set(name, value)
      expect(sysctl.get(name), `${name} = '${value}'`).to.equal(then)
    }
  })

  it('keeps three sizes of a TCP buffer in one setting', () => {
    const sysctl = withDevices()
    expect(sysctl.get('net.ipv4.tcp_rmem')).to.equal('4096\t131072\t33554432')
    sysctl.set('net.ipv4.tcp_rmem', '8192 65536')
    expect(sysctl.get('net.ipv4.tcp_rmem')).to.equal('8192\t65536\t33554432')
    for (const value of ['1 2 3 4', '0', '1 x', '']) {
      expect(
        codeOf(() => sysctl.set('net.ipv4.tcp_rmem', value)),
        value,
      ).to.equal('EINVAL')
    }
    expect([sysctl.ipv4.tcp_rmem_min, sysctl.ipv4.tcp_rmem_default]).to.deep.equal([8192, 65536])
  })

  it('knows the algorithms of congestion control that there are', () => {
    const sysctl = withDevices()
    const name = 'net.ipv4.tcp_congestion_control'
    expect(codeOf(() => sysctl.set(name, 'vegas'))).to.equal('ENOENT')
    sysctl.set(name, 'reno')
    expect(sysctl.get(name)).to.equal('reno')
  })

  it('makes a router of everything with ip_forward, which is conf.all.forwarding', () => {
    const sysctl = withDevices()
    sysctl.set('net.ipv4.ip_forward', 1)
    for (const device of ['all', 'default', 'lo', 'tun0']) {
      expect(sysctl.get(`net.ipv4.conf.${device}.forwarding`), device).to.equal('1')
    }
    expect(sysctl.get('net.ipv4.conf.all.accept_redirects')).to.equal('0')
    expect(sysctl.get('net.ipv4.conf.default.accept_redirects')).to.equal('1')
    expect(sysctl.addDevice(3, 'tun1').forwarding).to.equal(1)
    sysctl.set('net.ipv4.conf.tun0.forwarding', 0)
    expect(sysctl.ipv4.ip_forward).to.equal(1)
    sysctl.set('net.ipv4.ip_forward', 1) // no change, so tun0 stays
    expect(sysctl.conf(2).forwarding).to.equal(0)
    sysctl.set('net.ipv4.conf.all.forwarding', 0)
    expect(sysctl.get('net.ipv4.ip_forward')).to.equal('0')
    expect(sysctl.conf(1).forwarding).to.equal(0)
    sysctl.set('net.ipv4.conf.default.forwarding', 1)
    expect(sysctl.conf(2).forwarding).to.equal(0)
  })

  it('lets default reach the devices that have no address yet and were not written to', () => {
    const sysctl = withDevices()
    sysctl.settle(1)
    sysctl.addDevice(3, 'tun1')
    sysctl.set('net.ipv4.conf.tun1.rp_filter', 0)
    sysctl.set('net.ipv4.conf.default.rp_filter', 2)
    expect([1, 2, 3].map((index) => sysctl.conf(index).rp_filter)).to.deep.equal([0, 2, 0])
  })

  it('a device that comes after a write to default keeps that value, whatever is written there later', () => {
    const sysctl = new Sysctl()
    sysctl.addDevice(1, 'early')
    sysctl.set('net.ipv4.conf.default.rp_filter', 1)
    sysctl.addDevice(2, 'late')
    sysctl.set('net.ipv4.conf.default.rp_filter', 2)
    expect(sysctl.get('net.ipv4.conf.early.rp_filter')).to.equal('2')
    expect(sysctl.get('net.ipv4.conf.late.rp_filter')).to.equal('1')
  })

  it('combines all and device by the rules of the IN_DEV_ macros', () => {
    const small = fc.nat(2)
    fc.assert(
      fc.property(small, small, small, (all, own, forwarding) => {
        const sysctl = withDevices()
        const { all: everywhere } = sysctl
        const device = sysctl.conf(2)
        const set = (
          name: 'accept_local' | 'accept_redirects' | 'accept_source_route' | 'rp_filter',
        ): void => {
          everywhere[name] = all
          device[name] = own
        }
        set('accept_local')
        set('accept_redirects')
        set('accept_source_route')
        set('rp_filter')
        device.forwarding = forwarding
        const [a, b] = [all !== 0, own !== 0]
        expect(device.rpFilter).to.equal(Math.max(all, own))
        expect(device.acceptLocal).to.equal(a || b)
        expect(device.acceptSourceRoute).to.equal(a && b)
        expect(device.acceptRedirects).to.equal(forwarding !== 0 ? a && b : a || b)
      }),
    )
  })

  it('follows devices that are renamed and removed', () => {
    const sysctl = withDevices()
    sysctl.set('net.ipv4.conf.tun0.rp_filter', 1)
    sysctl.renameDevice(2, 'vpn.1')
    expect(sysctl.get('net.ipv4.conf.vpn.1.rp_filter')).to.equal('1')
    expect(codeOf(() => sysctl.get('net.ipv4.conf.tun0.rp_filter'))).to.equal('ENOENT')
    sysctl.removeDevice(2)
    expect(codeOf(() => sysctl.get('net.ipv4.conf.vpn.1.rp_filter'))).to.equal('ENOENT')
    expect(sysctl.conf(2)).to.equal(sysctl.default)
  })

  it('tells listeners of changes, and only of changes', () => {
    const sysctl = withDevices()
    const heard: string[] = []
    const end = sysctl.onChange((name, ifindex) => heard.push(`${name} ${ifindex}`))
    sysctl.set('net.ipv4.ip_default_ttl', 64)
    sysctl.set('net.ipv4.ip_default_ttl', 65)
    sysctl.set('net.ipv4.conf.tun0.rp_filter', 1)
    end()
    sysctl.set('net.ipv4.conf.tun0.rp_filter', 2)
    expect(heard).to.deep.equal(['net.ipv4.ip_default_ttl 0', 'net.ipv4.conf.tun0.rp_filter 2'])
  })

  it('can read every name that it lists, and write it back', () => {
    const sysctl = withDevices()
    for (const name of sysctl.names()) {
      if (name.endsWith('mc_forwarding')) continue
      const value = sysctl.get(name)
      if (name.endsWith('ping_group_range')) continue
      sysctl.set(name, value)
      expect(sysctl.get(name), name).to.equal(value)
    }
  })
})
