import { expect } from 'chai'
import fc from 'fast-check'
import { parseIpv4 } from '../../lib/address/ipv4-address.ts'
import { createPipe } from '../../lib/device/pipe.ts'
import { Flow4 } from '../../lib/route/flow.ts'
import { RouteHint } from '../../lib/route/route-hint.ts'
import { Stack } from '../../lib/stack/stack.ts'
import { VirtualClock } from '../../lib/time/virtual-clock.ts'

/** A router between two links, a flow that crosses it, and the decision about it. */
function rig() {
  const stack = new Stack({ clock: new VirtualClock() })
  stack.sysctlSet('net.ipv4.ip_forward', 1)
  const left = stack.addDevice(createPipe({ names: ['eth0', 'x'] })[0]).addAddress('10.0.0.1/24')
  const right = stack.addDevice(createPipe({ names: ['eth1', 'x'] })[0]).addAddress('10.1.0.1/24')
  const { routing } = stack
  const hint = new RouteHint()
  const flow = new Flow4()
  const ask = (to = '10.1.0.2', from = '10.0.0.2', tos = 0) => {
    flow.reset()
    flow.daddr = parseIpv4(to)
    flow.saddr = parseIpv4(from)
    flow.tos = tos
    return flow
  }
  const learn = (): void => {
    const route = routing.input(ask(), left.device)
    expect(route).not.to.equal(null)
    hint.keep(routing, ask(), left.device, route!)
  }
  return { stack, routing, hint, ask, learn, left, right }
}

describe('RouteHint', () => {
  it('gives the decision for the same flow by the same device, and for no other', () => {
    const { routing, hint, ask, learn, left, right } = rig()
    expect(hint.find(routing, ask(), left.device)).to.equal(null)
    learn()
    expect(hint.find(routing, ask(), left.device)).to.equal(routing.input(ask(), left.device))
    expect(hint.find(routing, ask(), right.device)).to.equal(null)
    expect(hint.find(routing, ask('10.1.0.3'), left.device)).to.equal(null)
    expect(hint.find(routing, ask('10.1.0.2', '10.0.0.3'), left.device)).to.equal(null)
    expect(hint.find(routing, ask('10.1.0.2', '10.0.0.2', 8), left.device)).to.equal(null)
  })

  const changes: Record<string, (on: ReturnType<typeof rig>) => void> = {
    'a route': ({ stack }) => stack.routes.add('blackhole 10.1.0.2/32'),
    'an address': ({ left }) => left.addAddress('10.0.0.2/32'),
    'a device going down': ({ right }) => right.down(),
    'a setting': ({ stack }) => stack.sysctlSet('net.ipv4.conf.eth0.rp_filter', 1),
    forwarding: ({ stack }) => stack.sysctlSet('net.ipv4.ip_forward', 0),
    'an MTU': ({ right }) => right.setMtu(1400),
  }
  for (const [what, change] of Object.entries(changes)) {
    it(`is worth nothing after a change: ${what}`, () => {
      const on = rig()
      on.learn()
      change(on)
      expect(on.hint.find(on.routing, on.ask(), on.left.device)).to.equal(null)
    })
  }

  it('keeps nothing that depends on more than addresses, TOS and mark', () => {
    const { stack, routing, hint, ask, learn, left } = rig()
    learn()
    stack.routing.fib.addRule({ priority: 100, table: 254 })
    learn()
    expect(hint.find(routing, ask(), left.device), 'rules').to.equal(null)
    const error = routing.input(ask('192.0.2.1'), left.device)!
    hint.keep(routing, ask('192.0.2.1'), left.device, error)
    expect(hint.find(routing, ask('192.0.2.1'), left.device), 'an error').to.equal(null)
  })

  it('property: what it gives is what routing would say', () => {
    const { routing, hint, ask, left } = rig()
    const host = fc.constantFrom('10.0.0.1', '10.0.0.2', '10.1.0.1', '10.1.0.2', '10.1.0.255', '192.0.2.1')
    const question = fc.tuple(host, fc.constantFrom('10.0.0.2', '10.0.0.3'), fc.constantFrom(0, 8))
    fc.assert(
      fc.property(fc.array(question, { maxLength: 50 }), (questions) => {
        for (const args of questions) {
          const known = hint.find(routing, ask(...args), left.device)
          const route = routing.input(ask(...args), left.device)
          if (known !== null) expect(known).to.equal(route)
          if (route !== null) hint.keep(routing, ask(...args), left.device, route)
        }
      }),
    )
  })
})
