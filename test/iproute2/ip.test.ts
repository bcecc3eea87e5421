/** The language of `ip`: what it prints, byte for byte, and how it fails. */
import { expect } from 'chai'
import { IdleTun } from '../../lib/device/idle-tun.ts'
import { ip, ipBatch } from '../../lib/iproute2/ip.ts'
import { Stack } from '../../lib/stack/stack.ts'
import { SECOND } from '../../lib/time/clock.ts'
import { VirtualClock } from '../../lib/time/virtual-clock.ts'

/** A stack, and `ip` for it: what a command printed, which must have succeeded. */
function rig(options: { loopbackUp?: boolean; carrier?: boolean } = {}) {
  const clock = new VirtualClock()
  const stack = new Stack({ clock, loopbackUp: options.loopbackUp ?? true })
  const tun = new IdleTun('tun0', options.carrier)
  stack.addDevice(tun, { up: false })
  const run = (command: string): string => {
    const result = ip(stack, command)
    expect(result, command).to.include({ status: 0, stderr: '' })
    return result.stdout
  }
  const refuse = (command: string): string => {
    const { stdout, stderr, status } = ip(stack, command)
    expect(stdout, command).to.equal('')
    return `${status} ${stderr}`
  }
  return { clock, stack, tun, run, refuse }
}

describe('ip', () => {
  describe('on the loopback scenario', () => {
    it('prints table local as the kernel fills it', async () => {
      const { stack, run } = rig()
      run('addr add 10.0.3.1/24 dev lo')
      expect(run('route show table local')).to.equal(
        `local 10.0.3.0/24 dev lo proto kernel scope host src 10.0.3.1 
local 10.0.3.1 dev lo proto kernel scope host src 10.0.3.1 
broadcast 10.0.3.255 dev lo proto kernel scope link src 10.0.3.1 
local 127.0.0.0/8 dev lo proto kernel scope host src 127.0.0.1 
local 127.0.0.1 dev lo proto kernel scope host src 127.0.0.1 
broadcast 127.255.255.255 dev lo proto kernel scope link src 127.0.0.1 
`,
      )
      expect(run('route show')).to.equal('')
      await stack.close()
    })

    it('tells where packets go, also by a default route through lo', async () => {
      const { stack, run } = rig()
      run('addr add 10.0.3.1/24 dev lo')
      expect(run('route get 10.0.3.2')).to.equal(
        'local 10.0.3.2 dev lo src 10.0.3.1 uid 0 \n    cache <local> \n',
      )
      expect(run('route get 10.0.3.255')).to.equal(
        'broadcast 10.0.3.255 dev lo src 10.0.3.1 uid 0 \n    cache <local,brd> \n',
      )
      run('route add default via 10.0.3.2 dev lo')
      expect(run('route get 203.0.113.9')).to.equal(
        '203.0.113.9 dev lo src 10.0.3.1 uid 0 \n    cache <local> \n',
      )
      expect(run('route get fibmatch 203.0.113.9')).to.equal('default via 10.0.3.2 dev lo \n')
      await stack.close()
    })

    it('counts two pings as four packets each way', async () => {
      const { clock, stack, run } = rig()
      run('addr add 10.0.3.1/24 dev lo')
      const done = stack.ping('10.0.3.2', { count: 2, interval: 10 })
      for (let i = 0; i < 20; i++) {
        await Promise.resolve()
        clock.advance(SECOND / 10)
      }
      expect((await done).received).to.equal(2)
      expect(run('-s link show lo')).to.equal(
        `1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN mode DEFAULT group default qlen 1000
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
    RX:  bytes packets errors dropped  missed   mcast           
           336       4      0       0       0       0 
    TX:  bytes packets errors dropped carrier collsns           
           336       4      0       0       0       0 
`,
      )
      await stack.close()
    })
  })

  describe('link', () => {
    it('prints devices fresh, without carrier, and with it', async () => {
      const { stack, tun, run } = rig({ loopbackUp: false })
      expect(run('link show')).to.equal(
        `1: lo: <LOOPBACK> mtu 65536 qdisc noop state DOWN mode DEFAULT group default qlen 1000
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
2: tun0: <POINTOPOINT,MULTICAST,NOARP> mtu 1500 qdisc noop state DOWN mode DEFAULT group default qlen 500
    link/none 
`,
      )
      run('link set tun0 up mtu 1400')
      expect(run('link show tun0')).to.include(
        '2: tun0: <NO-CARRIER,POINTOPOINT,MULTICAST,NOARP,UP> mtu 1400 qdisc pfifo_fast state DOWN ',
      )
      tun.carrier = true
      expect(run('link show tun0')).to.include(
        '<POINTOPOINT,MULTICAST,NOARP,UP,LOWER_UP> mtu 1400 qdisc pfifo_fast state UP ',
      )
      expect(run('-s -s link show tun0')).to.match(/heartbt transns\n {21}0 {6}0 {7}0 {7}0 {7}2 \n$/)
      await stack.close()
    })

    it('calls a device UNKNOWN whose carrier never changed', async () => {
      const { stack, run } = rig({ carrier: true })
      run('link set tun0 up')
      expect(run('-br link show tun0')).to.equal(
        'tun0             UNKNOWN        <POINTOPOINT,MULTICAST,NOARP,UP,LOWER_UP> \n',
      )
      await stack.close()
    })

    it('widens the columns of -s for large numbers', async () => {
      const { stack, tun, run } = rig()
      tun.stats.received(123456789, 12345678901)
      expect(run('-s link show tun0')).to.include(
        `    RX:   bytes   packets errors dropped  missed   mcast           
    12345678901 123456789      0       0       0       0 
    TX:   bytes   packets errors dropped carrier collsns           
              0         0      0       0       0       0 
`,
      )
      await stack.close()
    })
  })

  describe('address', () => {
    it('counts lifetimes down', async () => {
      const { clock, stack, run } = rig()
      run('address add 10.5.0.1/24 dev tun0 brd + valid_lft 20 preferred_lft 5')
      clock.advance(3 * SECOND)
      expect(run('-o address show tun0')).to.equal(
        '2: tun0    inet 10.5.0.1/24 brd 10.5.0.255 scope global dynamic tun0\\       valid_lft 17sec preferred_lft 2sec\n',
      )
      clock.advance(3 * SECOND)
      expect(run('address show tun0')).to.include(
        'scope global deprecated dynamic tun0\n       valid_lft 14sec preferred_lft 0sec\n',
      )
      clock.advance(14 * SECOND)
      expect(run('address show tun0')).not.to.include('inet')
      await stack.close()
    })
  })

  describe('failures', () => {
    it('tell the kernel’s no from a word that cannot be read', async () => {
      const { stack, refuse } = rig()
      expect(refuse('route add 10.0.0.1/24 dev lo')).to.equal(
        '2 Error: Invalid prefix for given prefix length.\n',
      )
      expect(refuse('route del 10.0.0.0/24')).to.equal('2 RTNETLINK answers: No such process\n')
      expect(refuse('route add 10/8 dev nope')).to.equal('1 Cannot find device "nope"\n')
      expect(refuse('route add 10/8 metric x')).to.equal(
        '255 Error: argument "x" is wrong: "metric" value is invalid\n\n',
      )
      expect(refuse('route bogus')).to.equal('255 Command "bogus" is unknown, try "ip route help".\n')
      expect(refuse('bogus')).to.equal('1 Object "bogus" is unknown, try "ip help".\n')
      expect(refuse('-bogus route')).to.equal('255 Option "-bogus" is unknown, try "ip -help".\n')
      expect(refuse("route add '10/8")).to.equal('1 Unterminated quoted string\n')
      await stack.close()
    })
  })

  it('takes words as well as a line, and quotes within a line', async () => {
    const { stack, run } = rig()
    expect(ip(stack, ['address', 'add', '10.5.0.1/24', 'dev', 'tun0', 'label', 'a b']).status).to.equal(0)
    expect(run("address show label 'a ?'")).to.match(/scope global a b$/m)
    await stack.close()
  })

  describe('as a batch', () => {
    it('goes on after a failure only if forced, and never after a word that cannot be read', async () => {
      const { stack } = rig()
      const text = '# first\nroute del 9/8\n\nrule \\\n  show # all\nroute bogus\nlink show\n'
      expect(ipBatch(stack, text)).to.deep.equal({
        stdout: '',
        stderr: 'RTNETLINK answers: No such process\nCommand failed -:2\n',
        status: 1,
      })
      expect(ipBatch(stack, text, { force: true, file: 'rules' })).to.deep.equal({
        stdout: '0:\tfrom all lookup local\n32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n',
        stderr:
          'RTNETLINK answers: No such process\nCommand failed rules:2\nCommand "bogus" is unknown, try "ip route help".\n',
        status: 255,
      })
      await stack.close()
    })
  })

  it('tells how a kind of link is used on the standard output, and goes on', async () => {
    const { stack } = rig()
    expect(ip(stack, 'link help bridge')).to.include({ status: 0, stderr: '' })
    expect(ip(stack, 'link help bridge').stdout).to.match(/^Usage: ip link/)
    for (const command of [
      'link help',
      'link help tun',
      'link help vrf_slave',
      'link set tun0 type bogus help',
    ]) {
      expect(ip(stack, command), command).to.include({ status: 255, stdout: '' })
    }
    expect(ip(stack, 'link set tun0 type bridge help')).to.include({ status: 1, stdout: '' })
    expect(ip(stack, 'link set tun0 type veth help')).to.include({ status: 1, stderr: '' })
    expect(ip(stack, 'link set tun0 type dummy help').stderr).to.equal(
      'RTNETLINK answers: Operation not supported\n',
    )
    expect(ip(stack, 'link set tun0 type gre help').stderr).to.equal('Failed to get existing tunnel info.\n')
    expect(ip(stack, 'link add x type dummy help').stderr).to.equal('Error: Unknown device type.\n')
    await stack.close()
  })
})
