import { expect } from 'chai'
import fc from 'fast-check'
import { HEADROOM } from '../../lib/packet/packet.ts'
import { PacketPool } from '../../lib/packet/packet-pool.ts'

describe('Packet', () => {
  it('has headroom for headers and room behind', () => {
    const packet = new PacketPool().allocate(100)!
    expect(packet.length).to.equal(0)
    expect(packet.headroom).to.equal(HEADROOM)
    expect(packet.tailroom).to.be.at.least(100)
    packet.free()
  })

  it('throws when a header is prepended or bytes appended without room, and stays as it was', () => {
    const packet = new PacketPool().allocate(10, 20)!
    packet.put(10)
    const { start, end } = packet
    expect(() => packet.push(21)).to.throw(RangeError, /before/)
    expect(() => packet.put(packet.tailroom + 1)).to.throw(RangeError, /behind/)
    expect([packet.start, packet.end]).to.deep.equal([start, end])
    expect(packet.push(20)).to.equal(packet.slab.start)
    packet.free()
  })

  it('property: push, put and pull keep the bytes of a model', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('push' as const), bytes: fc.uint8Array({ maxLength: 40 }) }),
      fc.record({ do: fc.constant('put' as const), bytes: fc.uint8Array({ maxLength: 200 }) }),
      fc.record({ do: fc.constant('pull' as const), bytes: fc.uint8Array({ maxLength: 40 }) }),
    )
    const pool = new PacketPool()
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), fc.uint8Array({ maxLength: 50 }), (steps, body) => {
        const packet = pool.allocate(500)!
        let model: number[] = []
        for (const { do: action, bytes } of steps) {
          if (action === 'push' && bytes.length <= packet.headroom) {
            packet.bytes.set(bytes, packet.push(bytes.length))
            model = [...bytes, ...model]
          } else if (action === 'put' && bytes.length <= packet.tailroom) {
            packet.bytes.set(bytes, packet.put(bytes.length))
            model = [...model, ...bytes]
          } else if (action === 'pull' && bytes.length <= packet.length) {
            packet.pull(bytes.length)
            model = model.slice(bytes.length)
          }
          expect([...packet.toUint8Array()]).to.deep.equal(model)
          expect(packet.headroom + packet.length + packet.tailroom).to.equal(
            packet.slab.end - packet.slab.start,
          )
        }
        packet.body = body
        expect(packet.length).to.equal(model.length + body.length)
        expect([...packet.toUint8Array()]).to.deep.equal([...model, ...body])
        const target = new Uint8Array(packet.length + 3)
        expect(packet.copyTo(target, 2)).to.equal(packet.length)
        expect([...target]).to.deep.equal([0, 0, ...model, ...body, 0])
        packet.free()
        expect(pool.outstanding).to.equal(0)
      }),
    )
  })

  it('may be written to only while nobody shares its bytes and it has no body', () => {
    const pool = new PacketPool()
    const packet = pool.allocate(10)!
    expect(packet.writable).to.equal(true)
    const clone = pool.clone(packet)
    expect([packet.writable, clone.writable]).to.deep.equal([false, false])
    packet.free()
    expect(clone.writable).to.equal(true)
    clone.body = new Uint8Array(1)
    expect(clone.writable).to.equal(false)
    clone.free()
  })
})
