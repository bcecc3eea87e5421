/** A TUN behind a bad link, in real time, seen by the kernel's ping and by nc. */
import { expect } from 'chai'
import type { ImpairOptions } from '../../../lib/index.ts'
import { type Namespace, parsePing, useTestbed } from '../netns.ts'
import { StackProcess } from '../tools/stack-process.ts'

const ADDRESS = '10.9.0.2'
const ECHO = 7

describe('An impaired TUN', function () {
  this.timeout(30_000)
  const bed = useTestbed()

  async function host(impair: ImpairOptions): Promise<Namespace> {
    const namespace = bed.namespace('host')
    await StackProcess.start(namespace, {
      tuns: [{ name: 'tun0', kernel: '10.9.0.1/24', address: `${ADDRESS}/24`, impair }],
      udpEcho: ECHO,
    })
    return namespace
  }

  it('delays in both directions: what ping measures is their sum, or a little more', async () => {
    const namespace = await host({ in: { delay: '30ms' }, out: { delay: '20ms' } })
    const { stdout } = await namespace.run(`ping -c 20 -i 0.05 ${ADDRESS}`)
    const { received, rtt } = parsePing(stdout)
    expect(received).to.equal(20)
    expect(rtt!.min).to.be.within(50, 75)
  })

  it('loses what it is told to lose', async () => {
    const namespace = await host({ in: { loss: 0.5 } })
    const { stdout } = await namespace.run(`ping -c 200 -i 0.005 -W 1 ${ADDRESS}`)
    expect(parsePing(stdout).received).to.be.within(60, 140)
  })

  it('damage is found by checksums: what arrives is right', async () => {
    const namespace = await host({ in: { corrupt: 0.3 } })
    const input = 'x'.repeat(1400)
    let right = 0
    for (let i = 0; i < 10; i++) {
      const { stdout } = await namespace.run(`socat -t 0.1 - UDP:${ADDRESS}:${ECHO}`.split(' '), { input })
      if (stdout === '') continue
      expect(stdout === input).to.equal(true)
      right++
    }
    expect(right).to.be.within(1, 10)
  })

  it('a rate: 100 answers of 1000 bytes at 400 kbit/s take two seconds', async () => {
    const namespace = await host({ out: { rate: '400kbit', queue: 200 } })
    const started = performance.now()
    const { stdout } = await namespace.run(`ping -c 100 -i 0.002 -s 972 -w 20 ${ADDRESS}`)
    // with -w it asks on until so many answers are there
    expect(parsePing(stdout).received).to.be.at.least(100)
    expect(performance.now() - started).to.be.within(1990, 6000)
  })
})
