/** iputils' ping against the stack, with the kernel in the stack's place as the measure of what it should print. */
import { expect } from 'chai'
import { parsePing, useTestbed } from '../netns.ts'
import { PingOracle } from './ping-oracle.ts'
import { StackProcess } from './stack-process.ts'

describe('ping', function () {
  this.timeout(30_000)

  describe('prints of the stack what it prints of a kernel', () => {
    const bed = useTestbed({ lasting: true })
    let oracle: PingOracle

    before(async () => {
      oracle = await PingOracle.make(bed)
    })

    /** @param received of the requests, so many replies have to come */
    function same(title: string, args: string, received: number): void {
      it(title, async () => {
        const { stack, kernel, summary } = await oracle.ping(args)
        expect(stack).to.equal(kernel)
        expect(summary).to.include({ received, duplicates: 0, corrupted: 0 })
      })
    }

    for (const size of [0, 1, 56, 1472, 1473, 8000, 65507]) {
      same(`-s ${size}`, `-c 5 -i 0.02 -s ${size} 10.9.0.2`, 5)
    }
    same('an address of the loopback’s prefix that is configured nowhere', '-c 2 -i 0.02 10.0.3.2', 2)
    same('-R', '-c 2 -i 0.02 -R 10.9.0.2', 2)
    same('-R, to the loopback’s prefix', '-c 2 -i 0.02 -R 10.0.3.2', 2)
    same('-R, in fragments', '-c 2 -i 0.02 -R -s 4000 10.9.0.2', 2)
    for (const options of ['tsonly', 'tsandaddr', 'tsprespec 10.9.0.2', 'tsprespec 10.9.0.1 10.0.3.2']) {
      for (const target of ['10.9.0.2', '10.0.3.2']) {
        same(`-T ${options}, to ${target}`, `-c 1 -T ${options} ${target}`, 1)
      }
    }
    for (const options of ['tsonly', 'tsandaddr', 'tsprespec 10.9.0.1 10.9.0.2 10.9.0.2']) {
      same(`-T ${options}, in fragments`, `-c 1 -T ${options} -s 4000 10.9.0.2`, 1)
    }
    same('-M do, what fits', '-c 2 -i 0.02 -M do -s 1472 10.9.0.2', 2)
    same('-M do, one byte too much', '-c 1 -W 0.2 -M do -s 1473 10.9.0.2', 0)
    same('-M want', '-c 2 -i 0.02 -M want -s 3000 10.9.0.2', 2)
    same('-M dont', '-c 2 -i 0.02 -M dont -s 1472 10.9.0.2', 2)
    for (const ttl of [1, 7, 255]) same(`-t ${ttl}`, `-c 2 -i 0.02 -t ${ttl} 10.9.0.2`, 2)
    for (const pattern of ['0', 'ff', 'c0ffee', '000102030405060708090a0b0c0d0e0f']) {
      same(`-p ${pattern}`, `-c 2 -i 0.02 -p ${pattern} 10.9.0.2`, 2)
    }
    same('-l 32', '-c 32 -l 32 -W 2 -q 10.9.0.2', 32)
    same('-l 200 with 8000 bytes, of which 1200 fragments arrive', '-c 20 -l 20 -W 2 -q -s 8000 10.9.0.2', 20)

    it('the timestamps of -T are the time of day', async () => {
      const { stdout } = await oracle.host.run('ping -c 1 -T tsonly 10.9.0.2')
      const [first, ...later] = [...stdout.matchAll(/\t(-?\d+)/g)].map((match) => Number(match[1]))
      const now = Date.now() % 86_400_000
      expect(Math.abs(now - first!)).to.be.lessThan(5000)
      expect(later).to.have.length(3)
      for (const step of later) expect(Math.abs(step)).to.be.lessThan(1000)
    })

    for (const tos of [0x00, 0x10, 0xb8, 0xff]) {
      same(`-Q ${tos}`, `-c 2 -i 0.02 -Q ${tos} 10.9.0.2`, 2)
    }

    it('-Q: the reply has the TOS of its request, its own TTL, and the request’s data', async () => {
      const capture = await oracle.host.capture('tun0', 'icmp')
      for (const tos of [0, 0x10, 0xb8, 0xfc]) {
        await oracle.host.run(`ping -c 1 -Q ${tos} -t 9 -p a5 10.9.0.2`)
      }
      const packets = await capture.waitFor(8)
      expect(packets.map((packet) => packet[1])).to.deep.equal([0, 0, 0x10, 0x10, 0xb8, 0xb8, 0xfc, 0xfc])
      expect(packets.map((packet) => packet[8])).to.deep.equal([9, 64, 9, 64, 9, 64, 9, 64])
      for (let i = 0; i < 8; i += 2) {
        expect(packets[i + 1]!.subarray(24)).to.deep.equal(packets[i]!.subarray(24))
      }
    })

    describe('-b', () => {
      afterEach(() => oracle.sysctl('net.ipv4.icmp_echo_ignore_broadcasts', 1))

      for (const [options, target] of [
        ['-b', '10.9.0.255'],
        ['-b', '10.0.3.255'],
        ['-b -I tun0', '255.255.255.255'],
      ] as const) {
        const where = `${options} ${target}`
        same(`${where} is not answered`, `-c 2 -i 0.02 -W 0.3 ${where}`, 0)

        it(`${where} is, with net.ipv4.icmp_echo_ignore_broadcasts=0`, async () => {
          await oracle.sysctl('net.ipv4.icmp_echo_ignore_broadcasts', 0)
          const { stack, kernel, summary } = await oracle.ping(`-c 2 -i 0.02 -W 0.3 ${where}`)
          expect(stack).to.equal(kernel)
          expect(summary.received).to.equal(2)
        })
      }
    })
  })

  describe('counts', () => {
    const bed = useTestbed()

    it('-f loses none of 20,000, and every counter on both sides agrees with it', async () => {
      const host = bed.namespace('host')
      const stack = await StackProcess.start(host, {
        tuns: [{ name: 'tun0', kernel: '10.9.0.1/24', address: '10.9.0.2/24' }],
      })
      const { stdout } = await host.run('ping -f -q -c 20000 10.9.0.2')
      expect(parsePing(stdout)).to.include({
        transmitted: 20_000,
        received: 20_000,
        duplicates: 0,
        errors: 0,
      })
      expect(await stack.call('counters')).to.include({
        IpInReceives: 20_000,
        IpInDelivers: 20_000,
        IpOutRequests: 20_000,
        IpOutTransmits: 20_000,
        IcmpInMsgs: 20_000,
        IcmpInEchos: 20_000,
        IcmpInErrors: 0,
        IcmpOutMsgs: 20_000,
        IcmpOutEchoReps: 20_000,
        IpExtInOctets: 84 * 20_000,
        IpExtOutOctets: 84 * 20_000,
      })
      expect((await stack.call('links'))['tun0']).to.include({
        rxPackets: 20_000,
        rxBytes: 84 * 20_000,
        rxDropped: 0,
        rxErrors: 0,
        txPackets: 20_000,
        txBytes: 84 * 20_000,
        txDropped: 0,
        txErrors: 0,
      })
      const [{ stats64 }] = JSON.parse(host.ip('-s -j link show tun0'))
      expect(stats64.tx).to.include({ packets: 20_000, bytes: 84 * 20_000, dropped: 0, errors: 0 })
      expect(stats64.rx).to.include({ packets: 20_000, bytes: 84 * 20_000, dropped: 0, errors: 0 })
      expect(host.nstat()).to.include({
        IpInReceives: 20_000,
        IpInDelivers: 20_000,
        IpOutRequests: 20_000,
        IcmpInEchoReps: 20_000,
        IcmpOutEchos: 20_000,
        IcmpInErrors: 0,
      })
    })

    it('fragments, and what was put together of them', async () => {
      const host = bed.namespace('host')
      const stack = await StackProcess.start(host, {
        tuns: [{ name: 'tun0', kernel: '10.9.0.1/24', address: '10.9.0.2/24' }],
      })
      await host.run('ping -c 10 -i 0.02 -s 8000 10.9.0.2')
      const counters = await stack.call('counters')
      // 8008 bytes in pieces of 1480
      expect(counters).to.include({
        IpInReceives: 60,
        IpReasmReqds: 60,
        IpReasmOKs: 10,
        IpReasmFails: 0,
        IpInDelivers: 10,
        IcmpInEchos: 10,
        IcmpOutEchoReps: 10,
        IpOutRequests: 10,
        IpFragOKs: 10,
        IpFragCreates: 60,
        IpFragFails: 0,
      })
      const kernel = host.nstat()
      expect(kernel).to.include({ IpReasmOKs: 10, IpReasmReqds: 60, IcmpInEchoReps: 10, IpReasmFails: 0 })
      const [{ stats64 }] = JSON.parse(host.ip('-s -j link show tun0'))
      const { rxPackets, rxBytes, txPackets, txBytes } = (await stack.call('links'))['tun0']!
      expect([rxPackets, rxBytes]).to.deep.equal([60, 10 * (8008 + 6 * 20)])
      expect([rxPackets, rxBytes]).to.deep.equal([stats64.tx.packets, stats64.tx.bytes])
      expect([txPackets, txBytes]).to.deep.equal([stats64.rx.packets, stats64.rx.bytes])
    })
  })
})
