import { expect } from 'chai'
import fc from 'fast-check'
import { SendQueue, SMALL_WRITE, WriteArena } from '../../lib/tcp/send-queue.ts'

/** The bytes from stream position `at` on. */
const stream = (at: number, n: number): Uint8Array =>
  Uint8Array.from({ length: n }, (_, i) => (at + i) * 7 + ((at + i) >>> 8) * 13)

function make(limit = 1 << 20): { queue: SendQueue; arena: WriteArena } {
  const arena = new WriteArena()
  return { arena, queue: new SendQueue(arena, limit) }
}

describe('SendQueue', () => {
  it('gives a view where bytes lie in one buffer, and copies where they lie in two', () => {
    const { queue } = make()
    queue.push(stream(0, 3000))
    queue.push(stream(3000, 1000))
    expect(queue.view(1000, 2000)).to.deep.equal(stream(1000, 2000))
    expect(queue.view(2999, 2)).to.equal(null)
    expect(queue.runLength(1000)).to.equal(2000)
    const target = new Uint8Array(10)
    queue.copyTo(2999, 2, target, 4)
    expect(target.subarray(4, 6)).to.deep.equal(stream(2999, 2))
    queue.acknowledge(2999)
    queue.acknowledge(2)
    expect(queue.length).to.equal(999)
    queue.acknowledge(999)
    expect(queue.length).to.equal(0)
  })

  it('copies a Buffer of Node too, whatever its size', () => {
    for (const size of [1, SMALL_WRITE, SMALL_WRITE + 1, 8000, 16_384, 70_000]) {
      const { queue } = make()
      const buffer = Buffer.from(stream(0, size))
      queue.push(buffer)
      buffer.fill(0)
      const target = new Uint8Array(size)
      queue.copyTo(0, size, target, 0)
      expect(target, `${size} bytes`).to.deep.equal(stream(0, size))
    }
  })

  it('puts small writes together', () => {
    const { queue, arena } = make()
    const bytes = new Uint8Array(1)
    for (let i = 0; i < 1000; i++) {
      bytes.set(stream(i, 1))
      queue.push(bytes)
      bytes[0] = 0xee
    }
    expect([queue.length, arena.used]).to.deep.equal([1000, 1000])
    expect(queue.view(0, 1000)).to.deep.equal(stream(0, 1000))
    queue.acknowledge(1000)
    expect(queue.length).to.equal(0)
  })

  it('shares its blocks with other connections, and never writes twice to one place', () => {
    const { queue, arena } = make()
    const other = new SendQueue(arena, 1000)
    queue.push(stream(0, 100))
    const sent = queue.view(0, 100)!
    queue.acknowledge(100)
    other.push(stream(500, 50))
    queue.push(stream(100, 100))
    expect(sent).to.deep.equal(stream(0, 100))
    expect(other.view(0, 50)).to.deep.equal(stream(500, 50))
    expect(queue.view(0, 100)).to.deep.equal(stream(100, 100))
    expect(arena.used).to.equal(250)
  })

  it('is empty when the connection is over, and can be used again', () => {
    const { queue } = make()
    queue.push(new Uint8Array(0))
    queue.push(stream(0, 2000))
    queue.push(stream(2000, 20_000))
    queue.acknowledge(100)
    queue.clear()
    expect(queue.length).to.equal(0)
    queue.push(stream(0, 10))
    expect(queue.view(0, 10)).to.deep.equal(stream(0, 10))
  })

  it('has no byte beyond what there is', () => {
    const { queue } = make()
    expect(() => queue.view(0, 1)).to.throw(RangeError)
    queue.push(stream(0, 5))
    expect(() => queue.runLength(5)).to.throw(RangeError)
    expect(() => queue.acknowledge(6)).to.throw(RangeError)
    expect(queue.length).to.equal(5)
  })

  it('property: is a queue of bytes, whatever the writer does with its buffers afterwards', () => {
    const operation = fc.record({
      kind: fc.constantFrom('push', 'push', 'look', 'look', 'acknowledge'),
      n: fc.oneof(
        fc.nat(20),
        fc.nat(SMALL_WRITE + 20),
        fc.nat(5000),
        fc.integer({ min: 10_000, max: 200_000 }),
      ),
      at: fc.double({ min: 0, max: 1, noNaN: true }),
    })
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 100 }), fc.nat(30_000), (steps, limit) => {
        const { queue } = make(limit)
        let written = 0
        let acknowledged = 0
        for (const { kind, n, at } of steps) {
          if (kind === 'push') {
            const bytes = stream(written, n)
            queue.push(bytes)
            bytes.fill(0xee)
            written += n
          } else if (kind === 'acknowledge') {
            const count = Math.min(n, queue.length)
            queue.acknowledge(count)
            acknowledged += count
          } else if (queue.length > 0) {
            const offset = Math.min(Math.floor(at * queue.length), queue.length - 1)
            const length = Math.min(n, queue.length - offset)
            const expected = stream(acknowledged + offset, length)
            const target = new Uint8Array(length + 4)
            queue.copyTo(offset, length, target, 3)
            expect(Buffer.compare(target.subarray(3, 3 + length), expected)).to.equal(0)
            const run = queue.runLength(offset)
            expect(run).to.be.within(1, queue.length - offset)
            const view = queue.view(offset, length)
            expect(view === null).to.equal(length > run)
            if (view !== null) expect(Buffer.compare(view, expected)).to.equal(0)
          }
          expect(queue.length).to.equal(written - acknowledged)
          expect(queue.room).to.equal(Math.max(0, limit - queue.length))
        }
      }),
      { numRuns: 60 },
    )
  })
})
