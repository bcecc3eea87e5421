/** stack.ping() to kernels: what answers, what is unreachable, and what a path can carry. */
import { expect } from 'chai'
import { type Namespace, useTestbed } from '../netns.ts'
import { StackProcess } from './stack-process.ts'

const FAST = { interval: 10, timeout: 300 }

describe('stack.ping()', function () {
  this.timeout(30_000)
  const bed = useTestbed({ lasting: true })
  let router: Namespace
  let far: Namespace
  let stack: StackProcess

  /*
   *   stack 10.9.0.2 ─tun0─ 10.9.0.1 router (a kernel) 10.2.0.1 ─veth─ 10.2.0.2 far      mtu 1500, then 1280
   */
  before(async () => {
    router = bed.namespace('router')
    far = bed.namespace('far')
    stack = await StackProcess.start(router, {
      tuns: [{ name: 'tun0', kernel: '10.9.0.1/24', address: '10.9.0.2/24' }],
      lo: ['10.0.3.110/24'],
      routes: [
        'default via 10.9.0.1 dev tun0',
        'unreachable 10.15.0.0/16',
        'prohibit 10.16.0.0/16',
        'blackhole 10.17.0.0/16',
      ],
    })
    bed.veth(
      { namespace: router, device: 'eth0', address: '10.2.0.1/24', mtu: 1280 },
      { namespace: far, device: 'eth0', address: '10.2.0.2/24', mtu: 1280 },
    )
    router.sysctl('net.ipv4.ip_forward', 1)
    router.ip('route add 10.0.3.0/24 via 10.9.0.2')
    for (const route of ['unreachable 10.5.0.0/24', 'prohibit 10.6.0.0/24', 'blackhole 10.7.0.0/24']) {
      router.ip(`route add ${route}`)
    }
    for (let host = 2; host < 100; host++) far.ip(`addr add 10.2.1.${host}/32 dev lo`)
    router.ip('route add 10.2.1.0/24 via 10.2.0.2')
    far.ip('route add default via 10.2.0.1')
  })

  for (const size of [0, 56, 1472, 1473, 65507]) {
    it(`${size} bytes to the kernel and back`, async () => {
      const { probes, summary } = await stack.call('ping', '10.9.0.1', { ...FAST, count: 3, size })
      expect(summary).to.match(/^3 packets transmitted, 3 received, 0% packet loss/m)
      for (const probe of probes) {
        expect(probe).to.include({
          outcome: 'reply',
          from: '10.9.0.1',
          ttl: 64,
          bytes: size + 8,
          duplicates: 0,
        })
        expect(probe).to.not.have.property('damagedAt')
      }
    })
  }

  it('from any address of the loopback’s prefix, through a router', async () => {
    const { probes } = await stack.call('ping', '10.2.0.2', { ...FAST, source: '10.0.3.110', count: 2 })
    for (const probe of probes) expect(probe).to.include({ outcome: 'reply', from: '10.2.0.2', ttl: 63 })
  })

  it('many hosts at once', async () => {
    const before = far.nstat()['IcmpInEchos']!
    const hosts = Array.from({ length: 98 }, (_, i) => `10.2.1.${i + 2}`)
    const results = await Promise.all(
      hosts.map((host) => stack.call('ping', host, { count: 5, interval: 20, timeout: 2000 })),
    )
    expect(results.map(({ address, received }) => [address, received])).to.deep.equal(
      hosts.map((host) => [host, 5]),
    )
    expect(far.nstat()['IcmpInEchos']! - before).to.equal(5 * 98)
  })

  describe('tells what the kernel reports', () => {
    const cases = [
      ['10.5.0.1', {}, 'EHOSTUNREACH', { type: 3, code: 1 }],
      ['10.6.0.1', {}, 'EHOSTUNREACH', { type: 3, code: 13 }],
      ['10.8.0.1', {}, 'ENETUNREACH', { type: 3, code: 0 }],
      ['10.2.0.2', { ttl: 1 }, 'EHOSTUNREACH', { type: 11, code: 0 }],
      ['10.2.1.2', { size: 1400, pathMtuDiscovery: 'do' }, 'EMSGSIZE', { type: 3, code: 4 }],
    ] as const
    // The kernel reports so many errors a second to one address: each case has its own.
    for (const [i, [address, options, code, icmp]] of cases.entries()) {
      const source = `10.0.3.${20 + i}`
      it(`${address} ${JSON.stringify(options)}: ${code}`, async () => {
        const moved = await stack.moved(async () => {
          const { probes, errors } = await stack.call('ping', address, { ...FAST, source, ...options })
          expect(errors).to.equal(1)
          expect(probes[0]).to.deep.include({ outcome: 'error', from: '10.9.0.1', code })
          expect(probes[0]!.icmp).to.include(icmp)
        })
        expect(moved).to.include({ IcmpOutEchos: 1, IcmpInMsgs: 1 })
        expect(moved).to.include(icmp.type === 11 ? { IcmpInTimeExcds: 1 } : { IcmpInDestUnreachs: 1 })
      })
    }

    it('nothing about a blackhole: the request times out', async () => {
      const { probes, loss } = await stack.call('ping', '10.7.0.1', { count: 2, interval: 10, timeout: 200 })
      expect(loss).to.equal(1)
      for (const probe of probes) expect(probe.outcome).to.equal('timeout')
    })
  })

  describe('tells what the stack’s own routes say, and sends nothing', () => {
    for (const [address, code] of [
      ['10.15.0.1', 'EHOSTUNREACH'],
      ['10.16.0.1', 'EACCES'],
      ['10.17.0.1', 'EINVAL'],
      ['10.9.0.255', 'EACCES'],
    ] as const) {
      it(`${address}: ${code}`, async () => {
        const sent = (await stack.call('links'))['tun0']!.txPackets
        const { probes } = await stack.call('ping', address, FAST)
        expect(probes[0]).to.deep.equal({ sequence: 1, outcome: 'error', code, duplicates: 0 })
        expect((await stack.call('links'))['tun0']!.txPackets).to.equal(sent)
      })
    }
  })

  describe('learns the path MTU from the kernel', () => {
    it('do: told once, then refuses by itself', async () => {
      const options = { ...FAST, size: 1400, count: 3, pathMtuDiscovery: 'do' } as const
      const { probes } = await stack.call('ping', '10.2.1.10', { ...options, interval: 50 })
      expect(probes.map(({ code }) => code)).to.deep.equal(['EMSGSIZE', 'EMSGSIZE', 'EMSGSIZE'])
      expect(probes.map(({ icmp }) => icmp)).to.deep.equal([
        { type: 3, code: 4, info: 1280 },
        undefined,
        undefined,
      ])
    })

    it('do: what just fits passes, one byte more does not', async () => {
      const options = { ...FAST, pathMtuDiscovery: 'do' } as const
      expect((await stack.call('ping', '10.2.1.11', { ...options, size: 1252 })).received).to.equal(1)
      expect((await stack.call('ping', '10.2.1.11', { ...options, size: 1253 })).errors).to.equal(1)
    })

    it('want: told once, then sends in fragments that fit', async () => {
      const capture = await far.capture('eth0', 'dst 10.2.1.12')
      const options = { ...FAST, size: 3000, count: 3, interval: 50 }
      expect((await stack.call('ping', '10.2.1.12', { ...options, size: 1400 })).received).to.equal(2)
      expect((await stack.call('ping', '10.2.1.12', options)).received).to.equal(3)
      const lengths = (await capture.waitFor(2 * 2 + 3 * 3)).map((packet) => packet.length)
      expect(Math.max(...lengths)).to.be.at.most(1280)
    })

    it('is what explain shows, of this destination and no other', async () => {
      await stack.call('ping', '10.2.1.13', { ...FAST, size: 1400 })
      const text = async (address: string): Promise<string> => (await stack.call('explain', address, {})).text
      expect(await text('10.2.1.13')).to.match(/^route .* mtu 1280 \(path MTU learnt\)$/m)
      expect(await text('10.2.1.14')).to.match(/^route .* mtu 1500$/m)
    })
  })
})
