/** examples/tun-loopback.ts behind a TUN device of the kernel. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { type Namespace, type Process, parsePing, useTestbed } from './netns.ts'

const READY = /^ready: /m

describe('examples/tun-loopback.ts', function () {
  this.timeout(30_000)
  this.slow(8000)
  const bed = useTestbed()

  function start(host: Namespace, ...args: string[]): Promise<Process> {
    return host.startScript('examples/tun-loopback.ts', args, { ready: /^ready: |"event":"ready"/m })
  }

  it('answers the kernel’s ping to every address of the loopback’s prefix, and shows why', async () => {
    const host = bed.namespace('host')
    const stack = await start(host, '--route')
    expect(stack.stdout).to.match(READY)
    expect(host.ip('route show 10.0.3.0/24')).to.equal('10.0.3.0/24 via 10.9.0.2 dev tunstack0 \n')
    for (const address of ['10.0.3.2', '10.0.3.1', '10.0.3.200', '10.9.0.2']) {
      const { stdout } = await host.run(`ping -n -c 3 -i 0.05 ${address}`)
      expect(parsePing(stdout), address).to.include({
        transmitted: 3,
        received: 3,
        duplicates: 0,
        corrupted: 0,
      })
    }
    const { status, stdout, stderr } = await stack.stop('SIGTERM')
    expect({ status, stderr }).to.deep.equal({ status: 0, stderr: '' })
    expect(stdout).to.match(
      /tunstack0 in +IP 10\.9\.0\.1 > 10\.0\.3\.2: ICMP echo request, id \d+, seq 1, length 64\n/,
    )
    expect(stdout).to.contain(
      'rule 0, table local: local 10.0.3.0/24 dev lo scope host matches → delivered to this host',
    )
    expect(stdout).to.match(
      /tunstack0 out +IP 10\.0\.3\.2 > 10\.9\.0\.1: ICMP echo reply, id \d+, seq 1, length 64\n/,
    )
    expect(stdout).to.contain('rule 32766, table main: unicast 10.9.0.0/24 dev tunstack0')
    expect(stdout).to.contain('tunstack0: 12 packets received, 12 sent')
    expect(stdout).to.contain('IcmpInEchos 12')
    expect(host.nstat()).to.include({ IcmpInEchos: 0, IcmpInEchoReps: 12 })
    expect(host.ip('link show')).not.to.contain('tunstack0')
  })

  it('ends by --for with status 0, and by SIGINT', async () => {
    const host = bed.namespace('host')
    const timed = await start(host, '--for', '300ms')
    const { status, stdout } = await timed.finish(5000)
    expect(status).to.equal(0)
    expect(stdout).to.contain('ended (end of time)')
    expect(stdout).to.contain('  ip route replace 10.0.3.0/24 via 10.9.0.2 dev tunstack0')
    expect(host.ip('link show')).not.to.contain('tunstack0')
    expect((await (await start(host)).stop('SIGINT')).status).to.equal(0)
  })

  it('writes events as JSON, and in quiet mode none for a packet', async () => {
    const host = bed.namespace('host')
    const stack = await start(
      host,
      '--json',
      '--quiet',
      '--route',
      '--lo-address',
      '10.0.3.1/24',
      '--lo-address',
      '10.4.0.1/16',
    )
    await host.run('ping -n -c 2 -i 0.05 10.0.3.2')
    await host.run('ping -n -c 1 10.4.200.1')
    const { stdout } = await stack.stop()
    const events = stdout
      .trim()
      .split('\n')
      .map(
        (line) => JSON.parse(line) as { event: string; counters?: object; interfaces?: object; mtu?: number },
      )
    expect(events.map(({ event }) => event)).to.deep.equal(['ready', 'end'])
    expect(events[0]!.mtu).to.equal(1500)
    expect(events[1]!.counters).to.include({ IcmpInEchos: 3, IcmpOutEchoReps: 3 })
    expect(events[1]!.interfaces).to.have.nested.property('tunstack0.rxPackets', 3)
  })

  it('takes name, addresses and MTU, and writes a capture that tcpdump reads', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tunstack-example-'))
    try {
      const host = bed.namespace('host')
      const file = join(folder, 'capture.pcapng')
      const stack = await start(
        host,
        ...['--name', 'net0', '--kernel-address', '172.20.0.1/30', '--tun-address', '172.20.0.2/30'],
        ...['--lo-address', '198.51.100.1/28', '--mtu', '1280', '--route', '--pcapng', file],
      )
      expect(host.ip('link show net0')).to.contain('mtu 1280')
      const { stdout } = await host.run('ping -n -c 2 -i 0.05 -s 3000 198.51.100.14')
      expect(parsePing(stdout).received).to.equal(2)
      expect((await stack.stop()).status).to.equal(0)
      const lines = execFileSync('tcpdump', ['-n', '-t', '-r', file], { encoding: 'utf8', stdio: 'pipe' })
      const requests = lines.split('\n').filter((line) => line.includes('172.20.0.1 > 198.51.100.14'))
      expect(requests).to.have.length(6) // three fragments each
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('shows what becomes of senders that have an address of the stack’s own prefix', async () => {
    const host = bed.namespace('host')
    for (const address of ['10.0.3.1', '10.0.3.7']) host.ip(`addr add ${address}/32 dev lo`)
    const stack = await start(host, '--route')
    expect(stack.stdout).to.contain('warning: this machine has 10.0.3.7 in 10.0.3.0/24')
    for (const address of ['10.0.3.1', '10.0.3.7']) {
      const { stdout } = await host.run(`ping -n -c 1 -W 0.3 -I ${address} 10.0.3.2`)
      expect(parsePing(stdout).received, address).to.equal(0)
    }
    const { stdout } = await stack.stop()
    // An address that the stack has itself is a martian there …
    expect(stdout).to.match(
      /in +IP 10\.0\.3\.1 > 10\.0\.3\.2: .*\n.* dropped: its source is an address of this host/,
    )
    expect(stdout).to.match(/drop +IP 10\.0\.3\.1 > 10\.0\.3\.2: .*\n +IP_LOCAL_SOURCE/)
    // … and the reply to another one of its prefix goes to its own lo.
    expect(stdout).to.match(
      /in +IP 10\.0\.3\.7 > 10\.0\.3\.2: .*\n +rule 0, table local: local 10\.0\.3\.0\/24/,
    )
    expect(stdout).to.match(/lo in +IP 10\.0\.3\.2 > 10\.0\.3\.7: ICMP echo reply/)
    expect(stdout).to.contain('lo: 1 packets received, 1 sent')
  })

  it('fails with status 1 and one line when the TUN is in use, or deleted under it', async () => {
    const host = bed.namespace('host')
    const stack = await start(host)
    const second = await host.startScript('examples/tun-loopback.ts')
    const { status, stderr } = await second.finish(10_000)
    expect(status).to.equal(1)
    expect(stderr).to.match(/^ERR_TUN_NAME_TAKEN: 'tunstack0' is in use by another process.*\n$/)
    host.ip('link del tunstack0')
    const ended = await stack.finish(5000)
    expect(ended.status).to.equal(1)
    expect(ended.stderr).to.match(/^ERR_TUN_GONE: .*\n$/)
  })
})
