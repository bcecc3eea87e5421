import { expect } from 'chai'
import fc from 'fast-check'
import { Completions, SendQueue, SMALL_WRITE, WriteArena } from '../../lib/tcp/send-queue.ts'

/** The bytes from stream position `at` on. */
const stream = (at: number, n: number): Uint8Array =>
  Uint8Array.from({ length: n }, (_, i) => (at + i) * 7 + ((at + i) >>> 8) * 13)

function make(limit = 1 << 20): { queue: SendQueue; completions: Completions; arena: WriteArena } {
  const completions = new Completions()
  const arena = new WriteArena()
  return { completions, arena, queue: new SendQueue(arena, completions, limit) }
}

describe('SendQueue', () => {
  it('gives a view of a large buffer where it lies, and its owner the buffer when it is acknowledged', () => {
    const { queue, completions } = make()
    const done: string[] = []
    const buffer = stream(0, 3000)
    queue.push(buffer, () => done.push('a'))
    queue.push(stream(3000, 1000), () => done.push('b'))
    const view = queue.view(1000, 2000)!
    expect([view.buffer === buffer.buffer, view.byteOffset, view.length]).to.deep.equal([true, 1000, 2000])
    expect(queue.view(2999, 2)).to.equal(null)
    expect(queue.runLength(1000)).to.equal(2000)
    const target = new Uint8Array(10)
    queue.copyTo(2999, 2, target, 4)
    expect(target.subarray(4, 6)).to.deep.equal(stream(2999, 2))
    queue.acknowledge(2999)
    expect(completions.isEmpty).to.equal(true)
    queue.acknowledge(2)
    expect([queue.length, done]).to.deep.equal([999, []])
    completions.run()
    expect(done).to.deep.equal(['a'])
    queue.acknowledge(999)
    completions.run()
    expect([queue.length, done]).to.deep.equal([0, ['a', 'b']])
  })

  it('copies a Buffer of Node too, whatever its size', () => {
    for (const size of [1, SMALL_WRITE, SMALL_WRITE + 1, 8000, 16_384, 70_000]) {
      const { queue } = make()
      const buffer = Buffer.from(stream(0, size))
      queue.pushCopy(buffer)
      buffer.fill(0)
      const target = new Uint8Array(size)
      queue.copyTo(0, size, target, 0)
      expect(target, `${size} bytes`).to.deep.equal(stream(0, size))
    }
  })

  it('copies what stays its owner’s, and uses large blocks again only when they are acknowledged (property)', () => {
    const sizes = fc.oneof(fc.integer({ min: 1, max: 2000 }), fc.integer({ min: 10_000, max: 200_000 }))
    const steps = fc.array(
      fc.record({ size: sizes, acknowledged: fc.double({ min: 0, max: 1, noNaN: true }) }),
      {
        maxLength: 12,
      },
    )
    fc.assert(
      fc.property(steps, (list) => {
        const { queue, completions } = make(300_000)
        let una = 0
        let end = 0
        for (const { size, acknowledged } of list) {
          const bytes = stream(end, size)
          queue.pushCopy(bytes)
          bytes.fill(0)
          end += size
          const n = Math.floor(queue.length * acknowledged)
          queue.acknowledge(n)
          completions.run()
          una += n
          const target = new Uint8Array(queue.length)
          if (queue.length > 0) queue.copyTo(0, queue.length, target, 0)
          expect(Buffer.compare(target, stream(una, end - una))).to.equal(0)
        }
      }),
      { numRuns: 40 },
    )
  })

  it('puts small writes together, and gives their buffers back at once', () => {
    const { queue, completions, arena } = make()
    let done = 0
    const bytes = new Uint8Array(1)
    for (let i = 0; i < 1000; i++) {
      bytes.set(stream(i, 1))
      queue.push(bytes, () => done++)
      bytes[0] = 0xee
    }
    expect(done).to.equal(0)
    completions.run()
    expect([done, queue.length, arena.used]).to.deep.equal([1000, 1000, 1000])
    expect(queue.view(0, 1000)).to.deep.equal(stream(0, 1000))
    queue.acknowledge(1000)
    expect(completions.isEmpty).to.equal(true)
  })

  it('shares its blocks with other connections, and never writes twice to one place', () => {
    const { queue, arena, completions } = make()
    const other = new SendQueue(arena, completions, 1000)
    queue.push(stream(0, 100), null)
    const sent = queue.view(0, 100)!
    queue.acknowledge(100)
    other.push(stream(500, 50), null)
    queue.push(stream(100, 100), null)
    expect(sent).to.deep.equal(stream(0, 100))
    expect(other.view(0, 50)).to.deep.equal(stream(500, 50))
    expect(queue.view(0, 100)).to.deep.equal(stream(100, 100))
    expect(arena.used).to.equal(250)
  })

  it('copies no more than its limit: further small writes stay with their owner (hardening-23)', () => {
    const { queue, completions, arena } = make(1000)
    queue.push(stream(0, 800), null)
    let done = false
    queue.push(stream(800, 300), () => (done = true))
    expect([arena.used, queue.room, queue.length, completions.isEmpty]).to.deep.equal([0, 0, 1100, true])
    queue.acknowledge(1100)
    completions.run()
    expect(done).to.equal(true)
  })

  it('tells of every buffer when the connection is over, and of an empty write at once', () => {
    const { queue, completions } = make()
    const done: number[] = []
    queue.push(new Uint8Array(0), () => done.push(0))
    queue.push(stream(0, 2000), () => done.push(1))
    queue.push(stream(2000, 2000), () => done.push(2))
    queue.acknowledge(100)
    queue.clear()
    expect(queue.length).to.equal(0)
    completions.run()
    expect(done).to.deep.equal([0, 1, 2])
    queue.push(stream(0, 10), null)
    expect(queue.view(0, 10)).to.deep.equal(stream(0, 10))
  })

  it('runs what is added while it runs', () => {
    const completions = new Completions()
    const order: number[] = []
    completions.add(() => {
      order.push(1)
      completions.add(() => order.push(2))
    })
    completions.run()
    completions.run()
    expect(order).to.deep.equal([1, 2])
  })

  it('has no byte beyond what there is', () => {
    const { queue } = make()
    expect(() => queue.view(0, 1)).to.throw(RangeError)
    queue.push(stream(0, 5), null)
    expect(() => queue.runLength(5)).to.throw(RangeError)
    expect(() => queue.acknowledge(6)).to.throw(RangeError)
    expect(queue.length).to.equal(5)
  })

  it('property: is a queue of bytes, whose buffers come back in order and not before they are free', () => {
    const operation = fc.record({
      kind: fc.constantFrom('push', 'push', 'look', 'look', 'acknowledge'),
      n: fc.oneof(fc.nat(20), fc.nat(SMALL_WRITE + 20), fc.nat(5000)),
      at: fc.double({ min: 0, max: 1, noNaN: true }),
    })
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 150 }), fc.nat(30_000), (steps, limit) => {
        const { queue, completions } = make(limit)
        let written = 0
        let acknowledged = 0
        const owned = new Map<Uint8Array, number>()
        let last = -1
        let over = false
        for (const { kind, n, at } of steps) {
          if (kind === 'push') {
            const bytes = stream(written, n)
            const order = written
            queue.push(bytes, () => {
              const end = owned.get(bytes)!
              owned.delete(bytes)
              if (n > SMALL_WRITE) {
                expect(end <= acknowledged || over).to.equal(true)
                expect(order).to.be.greaterThan(last)
                last = order
              }
              bytes.fill(0xee) // it is the application's again
            })
            written += n
            owned.set(bytes, written)
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
            expect(target.subarray(3, 3 + length)).to.deep.equal(expected)
            const run = queue.runLength(offset)
            expect(run).to.be.within(1, queue.length - offset)
            const view = queue.view(offset, length)
            expect(view === null).to.equal(length > run)
            if (view !== null) expect(view).to.deep.equal(expected)
          }
          if (at < 0.7) completions.run()
          expect(queue.length).to.equal(written - acknowledged)
          expect(queue.room).to.equal(Math.max(0, limit - queue.length))
        }
        over = true
        queue.clear()
        completions.run()
        expect(owned.size).to.equal(0)
      }),
    )
  })
})
