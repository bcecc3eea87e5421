/** How a program with a stack ends: nothing is left of it, and the next one starts where it was. */
import { expect } from 'chai'
import { type Namespace, parsePing, useTestbed } from '../netns.ts'
import { StackProcess } from './stack-process.ts'

const TUN = { name: 'tun0', address: '10.9.0.2/24' }

async function received(host: Namespace): Promise<number> {
  const { stdout } = await host.run('ping -c 2 -i 0.02 -W 0.3 10.9.0.2')
  return parsePing(stdout).received
}

describe('a stack that ends', function () {
  this.timeout(30_000)
  const bed = useTestbed()
  const config = { tuns: [{ ...TUN, kernel: '10.9.0.1/24' }] }

  it('by SIGKILL, during a flood, leaves nothing behind, and a new one works at once', async () => {
    const host = bed.namespace('host')
    for (let round = 0; round < 3; round++) {
      const stack = await StackProcess.start(host, config)
      expect(await received(host)).to.equal(2)
      const flood = await host.start('ping -f -q 10.9.0.2')
      const { IcmpInEchos } = await stack.call('counters')
      expect(IcmpInEchos).to.be.at.least(2)
      await stack.process.stop('SIGKILL')
      expect(() => host.ip('link show tun0')).to.throw(/does not exist/)
      expect((await flood.stop('SIGINT')).signal).to.equal(null)
      expect(host.ip('route')).to.equal('')
      const { stderr, status } = await host.run('ping -c 1 -W 0.3 10.9.0.2')
      expect(stderr).to.match(/Network is unreachable/)
      expect(status).to.equal(2)
    }
  })

  it('by SIGKILL leaves a persistent TUN as it was, which the next one attaches to', async () => {
    const host = bed.namespace('host')
    host.addTun('tun0', { address: '10.9.0.1/24' })
    for (let round = 0; round < 2; round++) {
      const stack = await StackProcess.start(host, { tuns: [TUN] })
      expect(await received(host)).to.equal(2)
      await stack.process.stop('SIGKILL')
      expect(host.ip('link show tun0')).to.match(/NO-CARRIER/)
      expect(await received(host)).to.equal(0)
    }
  })

  it('by close() gives everything back, and its process ends by itself', async () => {
    const host = bed.namespace('host')
    const stack = await StackProcess.start(host, config)
    expect(await received(host)).to.equal(2)
    expect(await stack.call('close')).to.equal(0)
    expect(await stack.process.finish(5000)).to.include({ status: 0, stderr: '' })
    expect(() => host.ip('link show tun0')).to.throw(/does not exist/)
  })

  it('by close() ends a ping that waits', async () => {
    const host = bed.namespace('host')
    const stack = await StackProcess.start(host, config)
    const pending = stack.call('ping', '10.9.0.77', { count: 5, interval: 1000, timeout: 20_000 })
    expect(await stack.call('close')).to.equal(0)
    expect(await pending).to.include({ transmitted: 1, received: 0 })
    expect(await stack.process.finish(5000)).to.include({ status: 0, stderr: '' })
  })
})
