import { expect } from 'chai'
import fc from 'fast-check'
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

  it('property: is a queue of bytes', () => {
    const operation = fc.record({
      kind: fc.constantFrom('write', 'write', 'read', 'peek'),
      n: fc.oneof(fc.nat(100), fc.nat(9000)),
      offset: fc.nat(9),
    })
    const store = new RingStore()
    fc.assert(
      fc.property(
        fc.array(operation, { maxLength: 60 }),
        fc.integer({ min: 1, max: 20_000 }),
        (steps, limit) => {
          const ring = new ReceiveRing(store, limit)
          let written = 0
          let read = 0
          for (const { kind, n, offset } of steps) {
            if (kind === 'write') {
              const bytes = new Uint8Array(n + 20)
              bytes.set(stream(written, n), offset)
              const taken = ring.write(bytes, offset, offset + n)
              expect(taken).to.equal(Math.min(n, limit - (written - read)))
              written += taken
            } else if (kind === 'read') {
              const target = new Uint8Array(n + offset)
              const count = ring.readInto(target, offset, n)
              expect(count).to.equal(Math.min(n, written - read))
              expect(target.subarray(offset, offset + count)).to.deep.equal(stream(read, count))
              read += count
            } else {
              const view = ring.peek()
              expect(view.length === 0).to.equal(written === read)
              expect(Uint8Array.from(view)).to.deep.equal(stream(read, view.length))
              const count = Math.min(n, view.length)
              ring.consume(count)
              read += count
            }
            expect(ring.length).to.equal(written - read)
            expect(ring.capacity).to.be.at.least(ring.length)
            expect(ring.capacity === 0).to.equal(ring.length === 0)
          }
          ring.clear()
        },
      ),
    )
  })
})
