import { expect } from 'chai'
import fc from 'fast-check'
import type { Packet } from '../../lib/packet/packet.ts'
import { PacketPool } from '../../lib/packet/packet-pool.ts'
import { SendQueue, SMALL_WRITE } from '../../lib/tcp/send-queue.ts'
import { WriteArena } from '../../lib/tcp/write-arena.ts'

/** The bytes from stream position `at` on. */
const stream = (at: number, n: number): Uint8Array =>
  Uint8Array.from({ length: n }, (_, i) => (at + i) * 7 + ((at + i) >>> 8) * 13)

function make(limit = 1 << 20): { queue: SendQueue; arena: WriteArena; pool: PacketPool } {
  const arena = new WriteArena()
  return { arena, queue: new SendQueue(arena, limit), pool: new PacketPool() }
}

/** A copy of `length` bytes from `offset` on. */
function copied(queue: SendQueue, offset: number, length: number): Uint8Array {
  const target = new Uint8Array(length)
  queue.copyTo(offset, length, target, 0)
  return target
}

/** A packet with those bytes as its body. */
function lent(queue: SendQueue, pool: PacketPool, offset: number, length: number): Packet {
  const packet = pool.allocate(40)!
  expect(queue.lends(offset, length)).to.equal(true)
  expect(queue.lend(offset, length, packet)).to.equal(true)
  return packet
}

describe('SendQueue', () => {
  it('copies out what lies in one piece of memory, and what lies in several', () => {
    const { queue } = make()
    queue.push(stream(0, 3000))
    queue.push(stream(3000, 1000))
    expect(copied(queue, 1000, 2000)).to.deep.equal(stream(1000, 2000))
    expect(copied(queue, 2999, 2)).to.deep.equal(stream(2999, 2))
    const target = new Uint8Array(10)
    queue.copyTo(2999, 2, target, 4)
    expect(target.subarray(4, 6)).to.deep.equal(stream(2999, 2))
    queue.acknowledge(2999)
    queue.acknowledge(2)
    expect(queue.length).to.equal(999)
    queue.acknowledge(999)
    expect(queue.length).to.equal(0)
  })

  describe('lends packets their body', () => {
    it('from large writes, which lie one behind the other whatever their size', () => {
      const { queue, pool } = make()
      for (let at = 0; at < 60_000; at += 20_000) queue.push(stream(at, 20_000))
      queue.push(stream(60_000, 100))
      queue.push(stream(60_100, 5000))
      const packet = lent(queue, pool, 10_000, 55_100)
      expect(Buffer.compare(packet.body!, stream(10_000, 55_100))).to.equal(0)
      packet.free()
    })

    it('from smaller ones too, when many wait', () => {
      const { queue } = make()
      for (let at = 0; at < 60_000; at += 6000) queue.push(stream(at, 6000))
      expect(queue.lends(0, 6000)).to.equal(false)
      expect(queue.lends(18_000, 42_000)).to.equal(true)
      expect(Buffer.compare(copied(queue, 0, 60_000), stream(0, 60_000))).to.equal(0)
    })

    it('not across the end of a block, nor from what small writes share', () => {
      const { queue, pool } = make()
      queue.push(stream(0, 100))
      queue.push(stream(100, 70_000))
      expect(queue.lends(0, 10)).to.equal(false)
      expect(queue.lends(50, 100)).to.equal(false)
      expect(queue.lends(100, 65_536)).to.equal(true)
      expect(queue.lends(100, 65_537)).to.equal(false)
      const packet = pool.allocate(40)!
      expect(queue.lend(50, 100, packet)).to.equal(false)
      expect(packet.body).to.equal(null)
      packet.free()
    })

    it('from larger blocks when much waits: most super-segments lie in one', () => {
      const { queue } = make()
      queue.push(stream(0, 3 << 20))
      let whole = 0
      for (let at = 0; at < 48 * 65_160; at += 65_160) if (queue.lends(at, 65_160)) whole++
      expect(whole).to.be.within(44, 46)
    })

    it('and keeps the block until the last packet that refers to it is freed, whatever was acknowledged', () => {
      const { queue, pool, arena } = make()
      const other = new SendQueue(arena, 1 << 20)
      queue.push(stream(0, 65_536))
      const packet = lent(queue, pool, 0, 30_000)
      const clone = pool.clone(packet)
      queue.acknowledge(65_536)
      packet.free()
      other.push(stream(1_000_000, 65_536)) // elsewhere
      expect(Buffer.compare(clone.body!, stream(0, 30_000))).to.equal(0)
      const { buffer } = clone.body!
      clone.free()
      expect(arena.takeBlock(0).bytes.buffer, 'used again').to.equal(buffer)
    })

    it('and uses blocks again that nobody refers to, also of connections that were cut off', () => {
      const { queue, pool, arena } = make()
      queue.push(stream(0, 20_000))
      const packet = lent(queue, pool, 0, 20_000)
      const { buffer } = packet.body!
      queue.clear()
      expect(arena.takeBlock(0).bytes.buffer, 'a packet has it').to.not.equal(buffer)
      packet.free()
      expect(arena.takeBlock(0).bytes.buffer).to.equal(buffer)
      expect(arena.takeBlock(0).bytes.buffer, 'once').to.not.equal(buffer)
    })
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
    expect(copied(queue, 0, 1000)).to.deep.equal(stream(0, 1000))
    queue.acknowledge(1000)
    expect(queue.length).to.equal(0)
  })

  it('shares its blocks with other connections, and never writes twice to one place', () => {
    const { queue, arena } = make()
    const other = new SendQueue(arena, 1000)
    queue.push(stream(0, 100))
    const { shared } = arena
    queue.acknowledge(100)
    other.push(stream(500, 50))
    queue.push(stream(100, 100))
    expect(shared.subarray(0, 100)).to.deep.equal(stream(0, 100))
    expect(copied(other, 0, 50)).to.deep.equal(stream(500, 50))
    expect(copied(queue, 0, 100)).to.deep.equal(stream(100, 100))
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
    expect(copied(queue, 0, 10)).to.deep.equal(stream(0, 10))
  })

  it('has no byte beyond what there is', () => {
    const { queue } = make()
    expect(() => copied(queue, 0, 1)).to.throw(RangeError)
    queue.push(stream(0, 5))
    expect(() => queue.lends(5, 1)).to.throw(RangeError)
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
        const { queue, pool } = make(limit)
        const kept: [Packet, Uint8Array][] = []
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
            if (queue.lends(offset, length)) {
              const packet = lent(queue, pool, offset, length)
              expect(Buffer.compare(packet.body!, expected)).to.equal(0)
              kept.push([packet, expected])
            }
            // What was lent stays what it is, however long it is kept.
            if (kept.length > 3) {
              const [packet, whole] = kept.shift()!
              expect(Buffer.compare(packet.body!, whole)).to.equal(0)
              packet.free()
            }
          }
          expect(queue.length).to.equal(written - acknowledged)
          expect(queue.room).to.equal(Math.max(0, limit - queue.length))
        }
      }),
      { numRuns: 60 },
    )
  })
})
