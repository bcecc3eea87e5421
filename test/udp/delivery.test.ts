/** Who gets a datagram, whatever sockets there are: against a plain list that is scored as Linux scores. */
import { expect } from 'chai'
import fc from 'fast-check'
import { Stack, seededRandom, type UdpSocket, VirtualClock } from '../../lib/index.ts'
import { type Bytes, decode, udp } from '../conformance/packets.ts'
import { Wire } from '../conformance/wire.ts'

const PORT = 6000
const LOCAL = ['10.9.0.2', '10.8.0.2'] as const
const PEERS = ['10.9.0.1', '10.9.0.7'] as const
const GROUP = '224.5.5.5'

interface Model {
  socket: UdpSocket
  bound: string
  local: string
  device: string
  peer: string
  joined: string[]
  all: boolean
}

interface Datagram {
  from: string
  to: string
  by: number
}

const datagram = fc.record({
  from: fc.constantFrom(...PEERS),
  to: fc.constantFrom(...LOCAL, '10.9.0.255', '255.255.255.255', GROUP),
  by: fc.nat(1),
})

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      bind: fc.record({
        address: fc.constantFrom('', '', LOCAL[0], LOCAL[1], GROUP, '10.9.0.255'),
        device: fc.constantFrom('', '', 'tun0', 'tun1'),
        all: fc.boolean(),
      }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ connect: fc.nat(9), peer: fc.constantFrom(...PEERS) }) },
  { weight: 1, arbitrary: fc.record({ disconnect: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ close: fc.nat(9) }) },
  { weight: 2, arbitrary: fc.record({ join: fc.nat(9), on: fc.constantFrom('tun0', 'tun1') }) },
  { weight: 6, arbitrary: fc.record({ packet: datagram }) },
)

function isFor(model: Model, { from, to, by }: Datagram): boolean {
  return (
    (model.local === '' || model.local === to) &&
    (model.device === '' || model.device === `tun${by}`) &&
    (model.peer === '' || model.peer === from)
  )
}

function score({ local, device, peer }: Model): number {
  // Whoever has the address comes before whoever has any, whatever else they have (`__udp4_lib_lookup`).
  return (local !== '' ? 100 : 0) + (peer !== '' ? 10 : 0) + (device !== '' ? 4 : 0)
}

describe('UDP delivery', () => {
  it('property: agrees with a list that is scored', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const clock = new VirtualClock()
        const stack = new Stack({ clock, random: seededRandom(1) })
        const wires = LOCAL.map((address, i) => {
          const wire = new Wire(`tun${i}`)
          stack.addDevice(wire).addAddress(`${address}/24`)
          return wire
        })
        for (const which of ['all', 'tun0', 'tun1']) stack.sysctlSet(`net.ipv4.conf.${which}.rp_filter`, 0)
        // From the last that was bound, or whose addresses have changed, to the first: that is who comes first.
        const models: Model[] = []
        const pick = (index: number): Model | undefined => models[index % Math.max(1, models.length)]
        const renew = (model: Model): void => {
          models.splice(models.indexOf(model), 1)
          models.unshift(model)
        }
        for (const each of steps) {
          if ('bind' in each) {
            const { address, device, all } = each.bind
            const socket = stack.udp.bind({
              port: PORT,
              reuseAddress: true,
              multicastAll: all,
              ...(address === '' ? {} : { address }),
              ...(device === '' ? {} : { device }),
            })
            models.unshift({ socket, bound: address, local: address, device, peer: '', joined: [], all })
          } else if ('connect' in each) {
            const model = pick(each.connect)
            if (model === undefined) continue
            model.local = model.bound
            model.peer = ''
            try {
              model.socket.connect({ address: each.peer, port: 5000 })
              model.local = model.socket.address
              model.peer = each.peer
            } catch (error) {
              expect(error).to.have.property('code').that.is.oneOf(['ENETUNREACH', 'EINVAL'])
            }
            renew(model)
          } else if ('disconnect' in each) {
            const model = pick(each.disconnect)
            if (model === undefined || model.peer === '') continue
            model.socket.disconnect()
            model.local = model.bound
            model.peer = ''
            renew(model)
          } else if ('close' in each) {
            const model = pick(each.close)
            if (model === undefined) continue
            model.socket.close()
            models.splice(models.indexOf(model), 1)
          } else if ('join' in each) {
            const model = pick(each.join)
            if (model === undefined || model.joined.includes(each.on)) continue
            model.socket.joinGroup(GROUP, { device: each.on })
            model.joined.push(each.on)
          } else check(stack, clock, wires, models, each.packet)
        }
        await stack.close()
        expect(stack.pool.outstanding).to.equal(0)
      }),
      { numRuns: 400 },
    )
  })
})

function check(
  stack: Stack,
  clock: VirtualClock,
  wires: readonly Wire[],
  models: readonly Model[],
  packet: Datagram,
): void {
  const wire = wires[packet.by]!
  wire.push(udp({ src: packet.from, dst: packet.to }, { sport: 5000, dport: PORT }, [1]))
  clock.advance(0)
  const errors = wires.flatMap((each): Bytes[] => each.take()).map((bytes) => decode(bytes).icmp)
  const got = models.filter(({ socket }) => {
    const count = socket.waiting
    while (socket.receiveInto(new Uint8Array(9)) >= 0) {}
    expect(count).to.be.lessThan(2)
    return count > 0
  })
  const candidates = models.filter((model) => isFor(model, packet))
  let expected: Model[]
  if (packet.to === GROUP) {
    const on = `tun${packet.by}`
    const isMember = models.some(({ joined }) => joined.includes(on))
    expected = isMember ? candidates.filter(({ all, joined }) => all || joined.includes(on)) : []
  } else if ((LOCAL as readonly string[]).includes(packet.to)) {
    const best = Math.max(...candidates.map(score))
    expected = candidates.filter((model) => score(model) === best).slice(0, 1)
    const closed = errors.filter((icmp) => icmp?.type === 3 && icmp.code === 3)
    if (expected.length > 0) expect(closed).to.have.length(0)
    else expect(stack.mib.get('UdpNoPorts')).to.be.greaterThan(0)
  } else if (packet.to === '10.9.0.255' && packet.by === 1) {
    return // whether that is a broadcast there is the routes' question
  } else expected = candidates
  expect(new Set(got)).to.deep.equal(new Set(expected))
}
