/** Two stacks in two programs, each on its TUN, and a kernel that routes between them. */
import { expect } from 'chai'
import { type Namespace, useTestbed } from '../netns.ts'
import { StackProcess } from './stack-process.ts'

describe('two stacks and a kernel as router', function () {
  this.timeout(30_000)
  const bed = useTestbed({ lasting: true })
  let router: Namespace
  let a: StackProcess
  let b: StackProcess

  before(async () => {
    router = bed.namespace('router')
    const start = (name: string, net: number, mtu: number): Promise<StackProcess> =>
      StackProcess.start(router, {
        tuns: [{ name, kernel: `10.${net}.0.1/24`, address: `10.${net}.0.2/24`, mtu }],
        lo: [`10.${net}.3.110/24`],
        routes: [`default via 10.${net}.0.1 dev ${name}`],
      })
    ;[a, b] = await Promise.all([start('tun-a', 21, 1500), start('tun-b', 22, 1400)])
    router.sysctl('net.ipv4.ip_forward', 1)
    router.ip('route add 10.21.3.0/24 via 10.21.0.2')
    router.ip('route add 10.22.3.0/24 via 10.22.0.2')
  })

  it('ping each other’s addresses, each with any size', async () => {
    for (const [from, to] of [
      [a, '10.22.0.2'],
      [a, '10.22.3.7'],
      [b, '10.21.0.2'],
      [b, '10.21.3.7'],
    ] as const) {
      for (const size of [0, 56, 1372, 1373, 65507]) {
        const options = { count: 2, interval: 10, timeout: 1000, size, pathMtuDiscovery: 'dont' } as const
        const { probes } = await from.call('ping', to, options)
        for (const probe of probes) {
          expect(probe).to.include({ outcome: 'reply', from: to, ttl: 63, bytes: size + 8, duplicates: 0 })
          expect(probe).to.not.have.property('damagedAt')
        }
      }
    }
  })

  it('lose nothing when both ping at once, and count the same', async () => {
    const options = { count: 500, interval: 1, timeout: 2000 }
    let results: { received: number; errors: number; duplicates: number }[] = []
    let movedB: Record<string, number> = {}
    const movedA = await a.moved(async () => {
      movedB = await b.moved(async () => {
        results = await Promise.all([
          a.call('ping', '10.22.3.9', options),
          b.call('ping', '10.21.3.9', options),
        ])
      })
    })
    for (const result of results) expect(result).to.include({ received: 500, errors: 0, duplicates: 0 })
    for (const moved of [movedA, movedB]) {
      expect(moved).to.include({
        IpInReceives: 1000,
        IpInDelivers: 1000,
        IpOutRequests: 1000,
        IcmpInEchos: 500,
        IcmpOutEchoReps: 500,
        IcmpOutEchos: 500,
        IcmpInEchoReps: 500,
      })
      expect(Object.keys(moved).filter((name) => name.startsWith('Drop'))).to.deep.equal([])
    }
  })

  it('learn of the smaller link from the kernel between them', async () => {
    const options = { count: 3, interval: 50, timeout: 500, size: 1400 }
    const { probes } = await a.call('ping', '10.22.0.2', options)
    expect(probes.map(({ outcome }) => outcome)).to.deep.equal(['error', 'reply', 'reply'])
    expect(probes[0]).to.deep.include({ code: 'EMSGSIZE', icmp: { type: 3, code: 4, info: 1400 } })
  })

  it('one killed: the other is told so by the kernel, and goes on', async () => {
    await b.process.stop('SIGKILL')
    const { errors } = await a.call('ping', '10.22.0.2', { count: 1, timeout: 300 })
    expect(errors).to.equal(1) // the interface went with it, so that there is no route
    expect((await a.call('ping', '10.21.0.1', { count: 1, timeout: 1000 })).received).to.equal(1)
  })
})
