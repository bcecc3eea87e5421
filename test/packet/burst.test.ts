import { expect } from 'chai'
import fc from 'fast-check'
import { BURST_SIZE, Burst, PacketQueue } from '../../lib/packet/burst.ts'
import type { Packet } from '../../lib/packet/packet.ts'
import { PacketPool } from '../../lib/packet/packet-pool.ts'

const pool = new PacketPool()

function packetOf(length: number): Packet {
  const packet = pool.allocate(length)!
  packet.put(length)
  return packet
}

describe('Burst', () => {
  it('property: behaves as an array of packets', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('push' as const), n: fc.integer({ min: 1, max: 20 }) }),
      fc.record({ do: fc.constant('shift' as const), n: fc.nat(20) }),
      fc.record({ do: fc.constant('clear' as const), n: fc.constant(0) }),
    )
    const stock = Array.from({ length: BURST_SIZE }, () => packetOf(1))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const burst = new Burst()
        let model: Packet[] = []
        for (const { do: action, n } of steps) {
          if (action === 'push') {
            for (let i = 0; i < n && !burst.full; i++) {
              const packet = stock[i]!
              burst.push(packet)
              model.push(packet)
            }
          } else if (action === 'shift') {
            const count = Math.min(n, model.length)
            burst.shift(count)
            model = model.slice(count)
          } else {
            burst.clear()
            model = []
          }
          expect(burst.length).to.equal(model.length)
          expect(burst.full).to.equal(model.length === BURST_SIZE)
          expect(burst.packets).to.have.length(BURST_SIZE)
          // What has left the burst must not be held by it.
          expect(burst.packets.every((packet, i) => packet === (model[i] ?? null))).to.equal(true)
        }
      }),
    )
    for (const packet of stock) packet.free()
  })
})

describe('PacketQueue', () => {
  it('property: behaves as a bounded array of packets', () => {
    const step = fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record({ do: fc.constant('push' as const), n: fc.integer({ min: 1, max: 40 }) }),
      },
      {
        weight: 3,
        arbitrary: fc.record({ do: fc.constant('shift' as const), n: fc.integer({ min: 1, max: 40 }) }),
      },
      {
        weight: 1,
        arbitrary: fc.record({ do: fc.constant('unshift' as const), n: fc.integer({ min: 1, max: 3 }) }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('fill' as const), n: fc.constant(0) }) },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), fc.integer({ min: 1, max: 100 }), (steps, limit) => {
        const queue = new PacketQueue(limit)
        const model: Packet[] = []
        for (const { do: action, n } of steps) {
          if (action === 'push') {
            for (let i = 0; i < n; i++) {
              const packet = packetOf(n + i)
              const fits = model.length < limit
              expect(queue.push(packet)).to.equal(fits)
              if (fits) model.push(packet)
              else packet.free()
            }
          } else if (action === 'shift') {
            for (let i = 0; i < n; i++) {
              const packet = queue.shift()
              expect(packet).to.equal(model.shift() ?? null)
              expect(packet === null || packet.next === null).to.equal(true)
              packet?.free()
            }
          } else if (action === 'unshift') {
            for (let i = 0; i < n; i++) {
              const packet = packetOf(n)
              queue.unshift(packet)
              model.unshift(packet)
            }
          } else {
            const burst = new Burst()
            queue.fill(burst)
            const expected = model.splice(0, BURST_SIZE)
            expect(burst.packets.slice(0, burst.length)).to.deep.equal(expected)
            for (const packet of expected) packet.free()
          }
          expect(queue.length).to.equal(model.length)
          expect(queue.bytes).to.equal(model.reduce((sum, { length }) => sum + length, 0))
          expect(pool.outstanding).to.equal(model.length)
        }
        for (let packet = queue.shift(); packet !== null; packet = queue.shift()) packet.free()
        expect(pool.outstanding).to.equal(0)
      }),
    )
  })

  it('fills a burst behind what is in it', () => {
    const queue = new PacketQueue(10)
    const burst = new Burst()
    burst.push(packetOf(1))
    queue.push(packetOf(2))
    queue.push(packetOf(3))
    queue.fill(burst)
    expect(burst.packets.slice(0, 3).map((packet) => packet!.length)).to.deep.equal([1, 2, 3])
    for (let i = 0; i < 3; i++) burst.packets[i]!.free()
    expect(pool.outstanding).to.equal(0)
  })
})
