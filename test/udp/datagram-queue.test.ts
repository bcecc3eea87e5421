import { expect } from 'chai'
import fc from 'fast-check'
import { DATAGRAM_COST, DatagramInfo, DatagramQueue } from '../../lib/udp/datagram-queue.ts'

describe('DatagramQueue', () => {
  it('property: gives back what was put in, first in first out, within its limit', () => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.record({ push: fc.integer({ min: 0, max: 1500 }), body: fc.nat(40) }) },
      { weight: 2, arbitrary: fc.record({ take: fc.integer({ min: 0, max: 1600 }) }) },
      { weight: 1, arbitrary: fc.constant('drain' as const) },
    )
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 30_000 }), fc.array(step, { maxLength: 200 }), (limit, steps) => {
        const queue = new DatagramQueue(limit)
        const model: { bytes: Uint8Array; port: number }[] = []
        const info = new DatagramInfo()
        let port = 0
        const take = (room: number): void => {
          const expected = model.shift()!
          expect(queue.nextLength).to.equal(expected.bytes.length)
          const target = new Uint8Array(room + 2).fill(0xee)
          const copied = queue.take(target, 1, room, info)
          expect(copied).to.equal(Math.min(room, expected.bytes.length))
          expect([...target.subarray(1, 1 + copied)]).to.deep.equal([...expected.bytes.subarray(0, copied)])
          expect(target[1 + copied]).to.equal(0xee)
          expect(info).to.include({
            length: expected.bytes.length,
            port: expected.port,
            source: -expected.port,
            destination: 7,
            device: 3,
            tos: 0xc0,
            ttl: 255,
            segmentSize: 9,
          })
        }
        for (const each of steps) {
          if (each === 'drain') while (model.length > 0) take(2000)
          else if ('take' in each) {
            if (model.length > 0) take(each.take)
          } else {
            const bytes = new Uint8Array(each.push + each.body).map((_, i) => i + port)
            Object.assign(info, {
              source: -++port,
              destination: 7,
              port,
              device: 3,
              tos: 0xc0,
              ttl: 255,
              segmentSize: 9,
            })
            const charged = model.reduce((sum, { bytes: { length } }) => sum + length + DATAGRAM_COST, 0)
            expect(queue.charged).to.equal(charged)
            const body = each.body === 0 ? null : bytes.subarray(each.push)
            const around = Uint8Array.of(1, 2, ...bytes.subarray(0, each.push), 3)
            expect(queue.push(info, around, 2, 2 + each.push, body)).to.equal(charged <= limit)
            if (charged <= limit) model.push({ bytes, port })
          }
          expect(queue.length).to.equal(model.length)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('is empty when it is cleared, and works on', () => {
    const queue = new DatagramQueue(1e6)
    const info = new DatagramInfo()
    for (let i = 0; i < 100; i++) queue.push(info, new Uint8Array(1000), 0, 1000, null)
    queue.clear()
    expect([queue.length, queue.charged]).to.deep.equal([0, 0])
    queue.push(info, Uint8Array.of(5), 0, 1, null)
    const target = new Uint8Array(1)
    expect(queue.take(target, 0, 1, info)).to.equal(1)
    expect(target[0]).to.equal(5)
  })
})
