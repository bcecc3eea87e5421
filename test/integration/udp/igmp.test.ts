/** IGMP: the same joins, leaves and queries for the kernel and for the stack; the same packets from both. */
import { expect } from 'chai'
import { Stack, seededRandom, VirtualClock } from '../../../lib/index.ts'
import { Wire } from '../../conformance/wire.ts'
import { useTestbed } from '../netns.ts'
import { inOrder, SCENES } from './igmp-steps.ts'

async function ofStack(): Promise<string[][]> {
  const clock = new VirtualClock()
  const stack = new Stack({ clock, random: seededRandom(1) })
  const wire = new Wire('tun0')
  stack.addDevice(wire).addAddress('10.9.0.1/24')
  const socket = stack.udp.bind({ port: 6000 })
  const sent = SCENES.map(({ step, wait }) => {
    for (const each of step) {
      if ('join' in each) socket.joinGroup(each.join, { device: 'tun0' })
      else if ('leave' in each) socket.leaveGroup(each.leave, { device: 'tun0' })
      else wire.push(Buffer.from(each.hear, 'hex'))
    }
    clock.advance(wait * 1e6)
    return wire.take().map((bytes) => Buffer.from(bytes).toString('hex'))
  })
  await stack.close()
  return sent
}

describe('IGMP against the kernel', function () {
  this.timeout(60_000)
  const bed = useTestbed()

  it('the same packets at joins, leaves and queries of versions 3 and 2', async () => {
    const namespace = bed.namespace('member')
    const program = await namespace.startScript('test/integration/udp/igmp-kernel.ts')
    const [, json] = await program.waitFor(/^sent (.*)\n/m, 40_000)
    const kernel = JSON.parse(json!) as string[][]
    const stack = await ofStack()
    for (const [i, scene] of SCENES.entries()) {
      expect(inOrder(scene, stack[i]!), scene.what).to.deep.equal(inOrder(scene, kernel[i]!))
    }
    expect(kernel.flat().length).to.be.greaterThan(12)
  })
})
