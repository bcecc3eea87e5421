/** examples/router.ts between two namespaces: the kernel's own tools find their way through the stack. */
import { expect } from 'chai'
import { type Namespace, type Process, parsePing, useTestbed } from './netns.ts'

describe('examples/router.ts between two kernels', function () {
  this.timeout(40_000)
  this.slow(8000)
  const bed = useTestbed({ lasting: true })
  let a: Namespace
  let b: Namespace
  let router: Process

  before(async () => {
    const here = bed.namespace('router')
    a = bed.namespace('a')
    b = bed.namespace('b')
    const args = ['--netns-a', a.name, '--netns-b', b.name, '--mtu-b', '1400']
    router = await here.startScript('examples/router.ts', args, { ready: /^ready/m })
  })

  it('forwards ping both ways, with a TTL less by one', async () => {
    for (const [from, to] of [
      [a, '10.2.0.2'],
      [b, '10.1.0.2'],
    ] as const) {
      const { stdout } = await from.run(`ping -n -c 5 -i 0.02 ${to}`)
      expect(parsePing(stdout)).to.include({ transmitted: 5, received: 5, duplicates: 0, errors: 0 })
      expect(stdout).to.contain('ttl=63')
    }
  })

  for (const [kind, option] of [
    ['UDP', ''],
    ['ICMP', '-I'],
  ] as const) {
    it(`traceroute by ${kind} finds the stack as first hop and the other kernel behind it`, async () => {
      const { stdout } = await a.run(`traceroute -n ${option} -w 2 -q 2 10.2.0.2`.replace('  ', ' '))
      const hops = stdout.trim().split('\n').slice(1)
      expect(hops, stdout).to.have.length(2)
      expect(hops[0]).to.match(/^ 1 {2}10\.1\.0\.1 +[\d.]+ ms +[\d.]+ ms$/)
      expect(hops[1]).to.match(/^ 2 {2}10\.2\.0\.2 +[\d.]+ ms +[\d.]+ ms$/)
    })
  }

  it('tells the path MTU: ping without fragmentation, tracepath, and what the kernel learns', async () => {
    const { stdout, status } = await a.run('ping -n -c 1 -W 1 -M do -s 1400 10.2.0.2')
    expect(status).to.equal(1)
    expect(stdout).to.match(/From 10\.1\.0\.1 icmp_seq=1 Frag needed and DF set \(mtu = 1400\)/)
    expect(a.ip('route get 10.2.0.2')).to.match(/mtu 1400/)
    a.ip('route flush cache')
    const path = await a.run('tracepath -n 10.2.0.2')
    expect(path.stdout).to.match(/10\.1\.0\.1 +[\d.]+ms pmtu 1400/)
    expect(path.stdout).to.match(/Resume: pmtu 1400 hops 2 back 2/)
  })

  it('fragments what may be fragmented', async () => {
    const { stdout } = await b.run('ping -n -c 2 -i 0.05 -s 4000 10.1.0.2')
    expect(parsePing(stdout).received).to.equal(2)
    const large = await a.run('ping -n -c 2 -i 0.05 -M dont -s 4000 10.2.0.2')
    expect(parsePing(large.stdout).received).to.equal(2)
    expect(b.nstat()['IpReasmOKs']).to.be.greaterThan(0)
  })

  it('refuses what has no route, and what is too old', async () => {
    // ICMP errors to one host are limited, in the long run to one a second, as in Linux; and one about a missing
    // route costs two of them (error_cost, then icmp_ratelimit). The tests before this one have spent what there was.
    await new Promise((resolve) => setTimeout(resolve, 3000))
    const { stdout } = await a.run('ping -n -c 1 -W 1 192.0.2.1')
    expect(stdout).to.contain('From 10.1.0.1 icmp_seq=1 Destination Net Unreachable')
    const old = await a.run('ping -n -c 4 -i 0.5 -W 1 -t 1 10.2.0.2')
    expect(old.stdout).to.match(/From 10\.1\.0\.1 icmp_seq=\d Time to live exceeded/)
  })

  it('ends at SIGTERM with status 0 and what it counted; the TUNs go with it', async () => {
    const { status, stdout, stderr } = await router.stop()
    expect({ status, stderr }).to.deep.equal({ status: 0, stderr: '' })
    expect(Number(/IpForwDatagrams (\d+)/.exec(stdout)?.[1])).to.be.greaterThan(25)
    expect(a.ip('link show')).not.to.contain('tun-a')
    expect(b.ip('link show')).not.to.contain('tun-b')
  })
})
