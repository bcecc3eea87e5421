/** traceroute, tracepath, mtr, fping and ping through a stack that forwards between two kernels. */
import { expect } from 'chai'
import { type Result, useTestbed } from '../netns.ts'
import { FAR_MTU, RouterOracle } from './router-oracle.ts'

interface MtrReport {
  report: { hubs: { host: string; 'Loss%': number; Snt: number }[] }
}

describe('a stack as router', function () {
  this.timeout(30_000)
  const bed = useTestbed({ lasting: true })
  let oracle: RouterOracle

  before(async () => {
    oracle = await RouterOracle.make(bed)
  })

  /** @param expected what must be there, so that the two do not only agree in failing */
  function same(command: string, ...expected: RegExp[]): void {
    it(command, async () => {
      const { stack, kernel } = await oracle.run(command)
      expect(stack).to.equal(kernel)
      for (const each of expected) expect(stack).to.match(each)
    })
  }

  describe('shows what a kernel in its place shows', () => {
    same('ping -c 3 -i 0.02 10.2.0.2', /3 received/, /ttl=63/)
    same('ping -c 2 -i 0.02 -s 65507 -M dont 10.2.0.2', /2 received/)
    same('ping -c 1 -t 1 10.2.0.2', /From 10\.1\.0\.1 icmp_seq=1 Time to live exceeded/)
    same('ping -c 1 -t 2 10.2.0.2', /1 received/)
    same('ping -c 1 -R 10.2.0.2', /RR: \t10\.1\.0\.2\n\t10\.2\.0\.1\n\t10\.2\.0\.2\n/)
    same(
      'ping -c 1 -T tsandaddr 10.2.0.2',
      /TS: \t10\.1\.0\.2\t… absolute\n\t10\.1\.0\.1\t…\n\t10\.2\.0\.2\t/,
    )
    same(
      'ping -c 1 -T tsprespec 10.1.0.1 10.2.0.2 10.2.0.2',
      /TS: \t10\.1\.0\.1\t… absolute\n\t10\.2\.0\.2\t/,
    )
    same('ping -c 1 -W 0.3 -Q 0xb8 -p a5 10.2.0.2', /1 received/)

    same('traceroute -n -w 5,1000,1000 10.2.0.2', /^ 1 10\.1\.0\.1( … ms){3}\n 2 10\.2\.0\.2( … ms){3}$/m)
    same('traceroute -n -w 5,1000,1000 -I 10.2.0.2', /^ 1 10\.1\.0\.1( … ms){3}\n 2 10\.2\.0\.2( … ms){3}$/m)
    same('traceroute -n -w 5,1000,1000 10.0.3.7', /^ 1 10\.0\.3\.7( … ms){3}$/m)
    same('traceroute -n -w 5,1000,1000 -I 10.0.3.7', /^ 1 10\.0\.3\.7( … ms){3}$/m)
    same('traceroute -n -w 5,1000,1000 -P 200 10.0.3.7', /^ 1 10\.0\.3\.7( … ms !P){3}$/m)

    same(
      'tracepath -n 10.2.0.2',
      /^ 2: 10\.1\.0\.1 … ms pmtu 1280\n 2: 10\.2\.0\.2 … ms reached$/m,
      /pmtu 1280 hops 2 back 2/,
    )
    same('tracepath -n 10.0.3.7', /^ 1: 10\.0\.3\.7 … ms reached$/m, /pmtu 1500 hops 1 back 1/)

    same('ping -c 1 -I 10.1.0.11 10.5.0.1', /From 10\.1\.0\.1 icmp_seq=1 Destination Host Unreachable/)
    same('ping -c 1 -I 10.1.0.12 10.6.0.1', /From 10\.1\.0\.1 icmp_seq=1 Packet filtered/)
    same('ping -c 1 -I 10.1.0.13 10.8.0.1', /From 10\.1\.0\.1 icmp_seq=1 Destination Net Unreachable/)
    same('ping -c 1 -W 0.3 -I 10.1.0.14 10.7.0.1', /0 received, 100% packet loss/)

    describe('within the limits of net.ipv4.icmp_ratelimit', () => {
      before(() => oracle.sysctl('net.ipv4.icmp_ratelimit', 1000))
      after(() => oracle.sysctl('net.ipv4.icmp_ratelimit', 0))

      same('ping -q -c 10 -l 10 -W 0.3 -t 1 -I 10.1.0.15 10.2.0.2', /0 received, \+6 errors/)
      same('ping -q -c 10 -l 10 -W 0.3 -I 10.1.0.16 10.5.0.1', /0 received, \+2 errors/)
    })
  })

  describe('the path MTU', () => {
    const fits = FAR_MTU - 28

    same(`ping -c 2 -i 0.02 -M do -s ${fits} 10.2.0.2`, /2 received/)
    same(
      `ping -c 3 -i 0.02 -W 0.2 -M do -s ${fits + 1} 10.2.0.2`,
      /From 10\.1\.0\.1 icmp_seq=1 Frag needed and DF set \(mtu = 1280\)/,
      /0 received, \+3 errors/,
      /local error: message too long, mtu=1280/,
    )
    same(`ping -c 3 -i 0.02 -W 0.2 -M want -s ${fits + 1} 10.2.0.2`, /2 received, \+1 errors/)

    it('traceroute -F --mtu shows at which hop it begins', async () => {
      oracle.host.ip('route flush cache')
      const { stdout } = await oracle.host.run('traceroute -n -w 5,1000,1000 -F --mtu 10.2.0.2 1400')
      const hops = stdout.trim().split('\n').slice(1)
      expect(hops).to.have.length(2)
      expect(hops[0])
        .to.match(/10\.1\.0\.1/)
        .and.not.match(/F=/)
      expect(hops[1])
        .to.match(/10\.2\.0\.2/)
        .and.match(/F=1280/)
    })

    it('is what the kernel remembers of the path', async () => {
      await oracle.run(`ping -c 1 -W 0.2 -M do -s ${fits + 1} 10.2.0.2`)
      expect(oracle.host.ip('route get 10.2.0.2')).to.match(/cache expires \d+sec mtu 1280/)
    })
  })

  it('mtr -n -r -c 3: no loss at either hop', async () => {
    const { stdout } = await oracle.host.run('mtr -n -r -c 3 -i 0.1 -G 1 --json 10.2.0.2')
    const hops = (JSON.parse(stdout) as MtrReport).report.hubs
    expect(hops.map(({ host, Snt, 'Loss%': loss }) => ({ host, Snt, loss }))).to.deep.equal([
      { host: '10.1.0.1', Snt: 3, loss: 0 },
      { host: '10.2.0.2', Snt: 3, loss: 0 },
    ])
  })

  it('fping: 254 addresses of the loopback’s prefix answer, three times each', async () => {
    const { stderr, status } = await oracle.host.run('fping -q -C 3 -p 100 -i 1 -t 1000 -g 10.0.3.0/24')
    const lines = stderr.trim().split('\n')
    expect(status).to.equal(0)
    expect(lines).to.have.length(254)
    for (const line of lines) expect(line).to.match(/^10\.0\.3\.\d+ +:( [\d.]+){3}$/)
  })

  it('counts what it forwards, cuts up and reports', async () => {
    const { host, stack } = oracle
    const moved = await stack.moved(async () => {
      await host.run('ping -c 5 -i 0.02 10.2.0.2')
      await host.run('ping -c 2 -i 0.02 -M dont -s 1472 10.2.0.2')
      await host.run('ping -c 3 -i 0.02 -W 0.2 -t 1 10.2.0.2')
    })
    expect(moved).to.include({
      IpInReceives: 5 * 2 + 2 * 3 + 3,
      IpForwDatagrams: 5 * 2 + 2 * 3,
      IpFragOKs: 2,
      IpFragCreates: 4,
      IpInHdrErrors: 3,
      IcmpOutTimeExcds: 3,
      IcmpOutMsgs: 3,
    })
    expect(moved).to.not.have.property('IpInDelivers')
    expect(moved).to.not.have.property('IpReasmReqds') // the pieces of the reply go on as they are
  })

  it('its errors reach the sockets of the kernel', async () => {
    const targets = [
      ['10.1.0.1', 7, 10, 'ECONNREFUSED'],
      ['10.0.3.9', 7, 10, 'ECONNREFUSED'],
      ['10.0.3.9', 7, 5000, 'ECONNREFUSED'],
      ['10.2.0.2', 7, 10, 'ECONNREFUSED'],
      ['10.2.0.2', 7, 1400, 'EMSGSIZE'],
      ['10.7.0.1', 7, 10, 'silence'],
    ] as const
    oracle.host.ip('route flush cache')
    const args = targets.flatMap(([address, port, bytes]) => [address, `${port}`, `${bytes}`])
    const probe = await oracle.host.startScript('test/integration/tools/udp-probe.ts', args)
    const { stdout }: Result = await probe.finish(15_000)
    expect(JSON.parse(stdout)).to.deep.equal(targets.map(([, , , outcome]) => outcome))
  })
})
