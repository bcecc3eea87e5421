import { expect } from 'chai'
import fc from 'fast-check'
import type { Packet } from '../../lib/packet/packet.ts'
import { PacketPool } from '../../lib/packet/packet-pool.ts'
import { BORROWED_LIMIT } from '../../lib/tcp/borrowed-packets.ts'
import { ReceiveRing, RingStore } from '../../lib/tcp/receive-ring.ts'

/** The bytes from stream position `at` on. */
const stream = (at: number, n: number): Uint8Array =>
  Uint8Array.from({ length: n }, (_, i) => (at + i) * 7 + ((at + i) >>> 8) * 13)

describe('ReceiveRing', () => {
  it('holds no memory while it is empty (hardening-23)', () => {
    const store = new RingStore()
    const ring = new ReceiveRing(store, 1 << 20)
    expect(ring.capacity).to.equal(0)
    expect(ring.write(stream(0, 10), 0, 10)).to.equal(10)
    expect(ring.capacity).to.equal(4096)
    ring.write(stream(10, 8000), 0, 8000)
    expect(ring.capacity).to.equal(8192)
    ring.consume(8009)
    expect(ring.capacity).to.equal(8192)
    ring.consume(1)
    expect([ring.capacity, ring.length]).to.deep.equal([0, 0])
    expect(store.kept).to.equal(4096 + 8192)
    ring.write(stream(0, 5000), 0, 5000)
    expect([ring.capacity, store.kept]).to.deep.equal([8192, 4096])
    ring.clear()
    expect([ring.capacity, ring.length, store.kept]).to.deep.equal([0, 0, 4096 + 8192])
  })

  it('takes no more than its limit, which may change', () => {
    const ring = new ReceiveRing(new RingStore(), 5000)
    expect(ring.write(stream(0, 6000), 0, 6000)).to.equal(5000)
    expect(ring.write(stream(0, 1), 0, 1)).to.equal(0)
    ring.limit = 3000
    expect([ring.length, ring.write(stream(0, 1), 0, 1)]).to.deep.equal([5000, 0])
    ring.consume(2500)
    expect(ring.write(stream(0, 1000), 0, 1000)).to.equal(500)
    expect(() => ring.consume(3001)).to.throw(RangeError)
    expect(ring.length).to.equal(3000)
  })

  it('keeps a bounded amount of storage for others (hardening-23)', () => {
    const store = new RingStore({ keep: 20_000 })
    const rings = Array.from({ length: 8 }, () => new ReceiveRing(store, 100_000))
    for (const ring of rings) ring.write(stream(0, 4096), 0, 4096)
    for (const ring of rings) ring.clear()
    expect(store.kept).to.equal(4 * 4096)
    const large = new ReceiveRing(store, 100_000)
    large.write(stream(0, 30_000), 0, 30_000)
    large.clear()
    expect(store.kept).to.equal(4 * 4096)
  })

  const packetOf = (pool: PacketPool, at: number, n: number): Packet => {
    const packet = pool.allocate(n)!
    packet.bytes.set(stream(at, n), packet.put(n))
    return packet
  }

  it('keeps large packets where they are, a few for the whole stack, and copies small ones', () => {
    const store = new RingStore()
    const pool = new PacketPool()
    const [ring, other] = [new ReceiveRing(store, 1 << 22), new ReceiveRing(store, 1 << 22)]
    for (let i = 0; i < BORROWED_LIMIT + 2; i++) {
      for (const [n, at] of [
        [60_000, 60_100 * i],
        [100, 60_100 * i + 60_000],
      ] as const) {
        const packet = packetOf(pool, at, n)
        expect(ring.writePacket(packet, packet.start, packet.end)).to.equal(n)
        packet.free()
      }
    }
    expect([store.borrowed, pool.outstanding]).to.deep.equal([BORROWED_LIMIT, BORROWED_LIMIT])
    const packet = packetOf(pool, 0, 60_000)
    other.writePacket(packet, packet.start, packet.end)
    packet.free()
    expect([other.capacity, pool.outstanding]).to.deep.equal([65536, BORROWED_LIMIT])
    const target = new Uint8Array(ring.length)
    expect(ring.readInto(target, 0, target.length)).to.equal(60_100 * (BORROWED_LIMIT + 2))
    expect(target).to.deep.equal(stream(0, target.length))
    expect([store.borrowed, pool.outstanding, ring.capacity]).to.deep.equal([0, 0, 0])
  })

  it('gives packets back when the connection has ended, and has their bytes still', () => {
    const pool = new PacketPool()
    const store = new RingStore()
    const ring = new ReceiveRing(store, 100_000)
    ring.write(stream(0, 10), 0, 10)
    const packet = packetOf(pool, 10, 20_000)
    ring.writePacket(packet, packet.start, packet.end)
    packet.free()
    ring.own()
    expect([pool.outstanding, store.borrowed, ring.length, ring.limit]).to.deep.equal([0, 0, 20_010, 100_000])
    const target = new Uint8Array(20_010)
    ring.readInto(target, 0, target.length)
    expect(target).to.deep.equal(stream(0, 20_010))
    ring.own()
    expect(ring.length).to.equal(0)
  })

  it('property: is a queue of bytes', () => {
    const operation = fc.record({
      kind: fc.constantFrom('write', 'packet', 'packet', 'read', 'peek', 'own'),
      n: fc.oneof(fc.nat(100), fc.nat(9000), fc.integer({ min: 16_000, max: 60_000 })),
      offset: fc.nat(9),
    })
    const store = new RingStore()
    const pool = new PacketPool()
    fc.assert(
      fc.property(
        fc.array(operation, { maxLength: 60 }),
        fc.integer({ min: 1, max: 300_000 }),
        (steps, limit) => {
          const ring = new ReceiveRing(store, limit)
          let written = 0
          let read = 0
          for (const { kind, n, offset } of steps) {
            switch (kind) {
              case 'write': {
                const bytes = new Uint8Array(n + 20)
                bytes.set(stream(written, n), offset)
                const taken = ring.write(bytes, offset, offset + n)
                expect(taken).to.equal(Math.min(n, limit - (written - read)))
                written += taken
                break
              }
              case 'packet': {
                const packet = packetOf(pool, written, n)
                const taken = ring.writePacket(packet, packet.start, packet.end)
                packet.free()
                expect(taken).to.equal(Math.min(n, limit - (written - read)))
                written += taken
                break
              }
              case 'read': {
                const target = new Uint8Array(n + offset)
                const count = ring.readInto(target, offset, n)
                expect(count).to.equal(Math.min(n, written - read))
                expect(target.subarray(offset, offset + count)).to.deep.equal(stream(read, count))
                read += count
                break
              }
              case 'peek': {
                const view = ring.peek()
                expect(view.length === 0).to.equal(written === read)
                expect(Uint8Array.from(view)).to.deep.equal(stream(read, view.length))
                const count = Math.min(n, view.length)
                ring.consume(count)
                read += count
                break
              }
              case 'own':
                ring.own()
                expect(store.borrowed).to.equal(0)
                break
            }
            expect(ring.length).to.equal(written - read)
            expect(pool.outstanding).to.equal(store.borrowed)
            if (written === read) expect([ring.capacity, store.borrowed]).to.deep.equal([0, 0])
            if (store.borrowed === 0) expect(ring.capacity).to.be.at.least(ring.length)
          }
          ring.clear()
          expect([pool.outstanding, store.borrowed, store.inUse, ring.length]).to.deep.equal([0, 0, 0, 0])
        },
      ),
    )
  })
})
