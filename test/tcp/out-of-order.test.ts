import { expect } from 'chai'
import fc from 'fast-check'
import { Insertion, MAX_RANGES, OutOfOrderQueue } from '../../lib/tcp/out-of-order.ts'
import { ReceiveRing, RingStore } from '../../lib/tcp/receive-ring.ts'

const BLOCK = 16384

/** The byte at stream position `at`, of one version of the stream. */
const byteAt = (at: number, version = 0): number => (at * 7 + (at >>> 8) * 13 + version * 101) & 255
const stream = (at: number, n: number, version = 0): Uint8Array =>
  Uint8Array.from({ length: n }, (_, i) => byteAt(at + i, version))

interface Rig {
  store: RingStore
  queue: OutOfOrderQueue
  ring: ReceiveRing
  /** Positions count from RCV.NXT at the beginning, which is `base`. */
  base: number
  insert(at: number, n: number, fin?: boolean, version?: number): Insertion
  deliver(at: number): number
  blocks(max?: number): [number, number][]
  read(): Uint8Array
}

function rig({ base = 0, limit = 1 << 20, budget = 1 << 30 } = {}): Rig {
  const store = new RingStore({ budget })
  const queue = new OutOfOrderQueue(store)
  const ring = new ReceiveRing(store, limit)
  return {
    store,
    queue,
    ring,
    base,
    insert(at, n, fin = false, version = 0) {
      const bytes = new Uint8Array(n + 5).fill(0xee)
      bytes.set(stream(at, n, version), 3)
      return queue.insert((base + at) | 0, bytes, 3, 3 + n, fin)
    },
    deliver: (at) => queue.deliver((base + at) | 0, ring),
    blocks(max = 4) {
      const left = new Int32Array(8)
      const right = new Int32Array(8)
      const to = queue.sackBlocks(left, right, 1, 1 + max)
      return Array.from({ length: to - 1 }, (_, i) => [(left[i + 1]! - base) | 0, (right[i + 1]! - base) | 0])
    },
    read() {
      const bytes = new Uint8Array(ring.length)
      ring.readInto(bytes, 0, bytes.length)
      return bytes
    },
  }
}

describe('OutOfOrderQueue', () => {
  it('delivers what follows once the hole is filled', () => {
    const { insert, deliver, read, queue, store } = rig()
    expect(insert(10, 10)).to.equal(Insertion.NEW)
    expect(insert(30, 5)).to.equal(Insertion.NEW)
    expect(insert(20, 4)).to.equal(Insertion.NEW)
    expect([queue.ranges, queue.bytes]).to.deep.equal([2, 19])
    expect(deliver(5)).to.equal(0)
    expect(deliver(10)).to.equal(14)
    expect(read()).to.deep.equal(stream(10, 14))
    // What arrived in order covers a part of it.
    expect(deliver(32)).to.equal(3)
    expect(read()).to.deep.equal(stream(32, 3))
    expect([queue.isEmpty, queue.ranges, store.inUse]).to.deep.equal([true, 0, 0])
  })

  it('tcp-sack-block: tells the ranges, that of the last segment first (RFC 2018 §4)', () => {
    const { insert, blocks, deliver } = rig()
    for (const at of [10, 30, 50, 70, 90]) insert(at, 10)
    expect(blocks()).to.deep.equal([
      [90, 100],
      [70, 80],
      [50, 60],
      [30, 40],
    ])
    insert(40, 5)
    expect(blocks(3)).to.deep.equal([
      [30, 45],
      [90, 100],
      [70, 80],
    ])
    // The one that was pushed out is told again when there is room.
    insert(60, 10)
    expect(blocks()).to.deep.equal([
      [50, 80],
      [30, 45],
      [90, 100],
      [10, 20],
    ])
    expect(deliver(10)).to.equal(10)
    expect(blocks()).to.deep.equal([
      [50, 80],
      [30, 45],
      [90, 100],
    ])
  })

  it('tcp-dsack: finds the piece that came twice, and tells its range first (RFC 2883 §4)', () => {
    const { insert, blocks, queue } = rig()
    insert(10, 10)
    insert(30, 10)
    expect(insert(12, 5)).to.equal(Insertion.DUPLICATE)
    expect([queue.duplicateLeft, queue.duplicateRight]).to.deep.equal([12, 17])
    expect(blocks()).to.deep.equal([
      [10, 20],
      [30, 40],
    ])
    expect(insert(15, 20)).to.equal(Insertion.PARTIAL)
    expect([queue.duplicateLeft, queue.duplicateRight]).to.deep.equal([15, 20])
    expect(blocks()).to.deep.equal([[10, 40]])
    // What only touches is no duplicate.
    expect(insert(40, 5)).to.equal(Insertion.NEW)
  })

  it('tcp-overlap-ooo: what came first stays', () => {
    const { insert, deliver, read } = rig()
    insert(10, 10)
    insert(30, 10)
    expect(insert(5, 50, false, 1)).to.equal(Insertion.PARTIAL)
    expect(deliver(5)).to.equal(50)
    const expected = stream(5, 50, 1)
    expected.set(stream(10, 10), 5)
    expected.set(stream(30, 10), 25)
    expect(read()).to.deep.equal(expected)
  })

  it('tcp-fin-ooo: tells of the FIN when everything before it is there', () => {
    const { insert, deliver, queue, blocks, store } = rig()
    expect(insert(20, 0, true)).to.equal(Insertion.NEW)
    expect(insert(20, 0, true)).to.equal(Insertion.DUPLICATE)
    expect(insert(10, 5)).to.equal(Insertion.NEW)
    expect(blocks()).to.deep.equal([
      [10, 15],
      [20, 21],
    ])
    expect(deliver(10)).to.equal(5)
    expect(queue.finReached).to.equal(false)
    expect(insert(17, 3)).to.equal(Insertion.NEW)
    expect(deliver(17)).to.equal(3)
    expect([queue.finReached, queue.isEmpty, store.inUse]).to.deep.equal([true, true, 4096])
  })

  it('keeps what came from behind the FIN until that is reached; of two the first counts', () => {
    const { insert, deliver, queue, blocks, read, store, ring } = rig()
    insert(3 * BLOCK, 2 * BLOCK)
    insert(50, 10)
    expect(insert(40, 5, true)).to.equal(Insertion.NEW)
    expect(insert(70, 10, true)).to.equal(Insertion.NEW)
    expect(blocks(3)).to.deep.equal([
      [70, 81],
      [40, 46],
      [50, 60],
    ])
    expect(insert(20, 20)).to.equal(Insertion.NEW)
    expect(deliver(20)).to.equal(25)
    expect([queue.finReached, queue.isEmpty]).to.deep.equal([true, true])
    expect(read()).to.deep.equal(stream(20, 25))
    expect([store.inUse, ring.length]).to.deep.equal([0, 0])
  })

  it('a FIN whose number data has taken is none', () => {
    const { insert, deliver, queue, blocks } = rig()
    insert(10, 5, true)
    insert(40, 5, true)
    expect(deliver(20)).to.equal(0)
    expect(queue.finReached).to.equal(false)
    expect(blocks()).to.deep.equal([[40, 46]])
    // The next one is.
    expect(deliver(40)).to.equal(5)
    expect(queue.finReached).to.equal(true)
  })

  it('remembers four FINs at different places', () => {
    const { insert } = rig()
    for (const at of [50, 40, 60, 30]) expect(insert(at, 5, true)).to.equal(Insertion.NEW)
    expect(insert(70, 5, true)).to.equal(Insertion.FULL)
    expect(insert(70, 5)).to.equal(Insertion.NEW)
  })

  it('tcp-dsack: finds what came in order and was here already', () => {
    const { insert, deliver, queue } = rig()
    insert(10, 10)
    insert(30, 10)
    expect(deliver(10)).to.equal(10)
    expect(queue.foundDuplicate).to.equal(false)
    // Up to 34 in order: four bytes of the range from 30 on.
    expect(deliver(34)).to.equal(6)
    expect([queue.foundDuplicate, queue.duplicateLeft, queue.duplicateRight]).to.deep.equal([true, 30, 34])
  })

  it('keeps what the ring cannot take', () => {
    const { insert, deliver, read, blocks, queue } = rig({ limit: 6 })
    insert(10, 10, true)
    insert(40, 1)
    expect(deliver(10)).to.equal(6)
    expect(queue.finReached).to.equal(false)
    expect(blocks()).to.deep.equal([
      [40, 41],
      [16, 21],
    ])
    expect(read()).to.deep.equal(stream(10, 6))
    expect(deliver(16)).to.equal(4)
    expect(queue.finReached).to.equal(true)
    expect(read()).to.deep.equal(stream(16, 4))
  })

  it('opens 1024 holes at most, and a segment that fills one is still taken (hardening-10)', () => {
    const { insert, queue, store } = rig()
    for (let i = 0; i < MAX_RANGES; i++) expect(insert(2 * i + 1, 1)).to.equal(Insertion.NEW)
    expect(insert(2 * MAX_RANGES + 1, 1)).to.equal(Insertion.FULL)
    expect(insert(2, 1)).to.equal(Insertion.NEW)
    expect(queue.ranges).to.equal(MAX_RANGES - 1)
    expect(insert(2 * MAX_RANGES + 1, 1)).to.equal(Insertion.NEW)
    expect(store.inUse).to.equal(BLOCK)
  })

  it('costs as much for the thousandth hole as the window has blocks, not segments (hardening-10)', () => {
    // One byte in each of 64 blocks is the worst that a window of 1 MiB can be made to hold.
    const { insert, store } = rig()
    for (let round = 0; round < 16; round++) {
      for (let block = 63; block >= 0; block--) insert(block * BLOCK + 2 * round + 1, 1)
    }
    expect(store.inUse).to.equal(64 * BLOCK)
  })

  it('takes nothing more when the stack has spent its memory (hardening-10)', () => {
    const { insert, store, queue, deliver } = rig({ budget: 3 * BLOCK })
    expect(insert(10, 2 * BLOCK)).to.equal(Insertion.NEW)
    expect(insert(5 * BLOCK, 10)).to.equal(Insertion.FULL)
    expect(insert(BLOCK, 5 * BLOCK)).to.equal(Insertion.FULL)
    expect([store.inUse, queue.ranges]).to.deep.equal([3 * BLOCK, 1])
    expect(deliver(10)).to.equal(2 * BLOCK)
    expect(queue.isEmpty).to.equal(true)
  })

  it('property: holds what a boolean per byte says, and delivers the stream', () => {
    const SPACE = 9 * BLOCK
    const position = fc.oneof(fc.nat(300), fc.nat(SPACE - 1))
    const length = fc.oneof(fc.nat(40), fc.nat(3 * BLOCK))
    const step = fc.record({
      kind: fc.constantFrom('insert', 'insert', 'insert', 'insert', 'inOrder'),
      at: position,
      n: length,
      fin: fc.integer({ min: 0, max: 15 }).map((x) => x === 0),
    })
    const bases = fc.constantFrom(0, 1000, -5 * BLOCK, -(2 ** 31) - 3 * BLOCK, 2 ** 31 - 100, 12345)
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), bases, fc.nat(SPACE), (steps, base, end) => {
        const { insert, deliver, read, queue, blocks, store } = rig({ base: base | 0 })
        const here = new Uint8Array(SPACE + 1)
        /** The FIN is at `end`, and nothing is sent beyond it. */
        let next = 0
        let latest: [number, number] | null = null
        let done = false
        for (const { kind, at, n, fin } of steps) {
          if (done) break
          if (kind === 'insert') {
            const from = Math.min(Math.max(at, next + 1), end)
            if (from <= next) continue
            const to = fin ? end : Math.min(from + n, end)
            const size = to - from
            if (size === 0 && !fin) continue
            const right = to + (fin ? 1 : 0)
            const there = here.subarray(from, right)
            const present = there.reduce((sum, each) => sum + each, 0)
            const result = insert(from, size, fin)
            expect(result).to.equal(
              present === 0
                ? Insertion.NEW
                : present === right - from
                  ? Insertion.DUPLICATE
                  : Insertion.PARTIAL,
            )
            if (present > 0) {
              const first = here.indexOf(1, from)
              let behind = first
              while (behind < right && here[behind] === 1) behind++
              expect([(queue.duplicateLeft - base) | 0, (queue.duplicateRight - base) | 0]).to.deep.equal([
                first,
                behind,
              ])
            }
            here.fill(1, from, right)
            latest = [from, right]
          } else {
            const to = Math.min(next + n, end)
            next = to
            const count = deliver(next)
            let behind = next
            while (behind < end && here[behind] === 1) behind++
            expect(count).to.equal(behind - next)
            expect(read()).to.deep.equal(stream(next, count))
            next = behind
            done = here[end] === 1 && behind === end
            expect(queue.finReached).to.equal(done)
            if (done) here.fill(0)
            here.fill(0, 0, next)
            latest = null
          }
          const ranges: [number, number][] = []
          for (let i = 0; i <= SPACE; ) {
            const left = here.indexOf(1, i)
            if (left < 0) break
            const hole = here.indexOf(0, left)
            i = hole < 0 ? SPACE + 1 : hole
            ranges.push([left, i])
          }
          expect(queue.ranges).to.equal(ranges.length)
          expect(queue.bytes).to.equal(ranges.reduce((sum, [left, right]) => sum + right - left, 0))
          const told = blocks()
          expect(told).to.have.length(Math.min(4, ranges.length))
          expect(new Set(told.map(String)).size).to.equal(told.length)
          for (const block of told) expect(ranges.map(String)).to.include(String(block))
          if (latest !== null) {
            expect(told[0]![0]).to.be.at.most(latest[0])
            expect(told[0]![1]).to.be.at.least(latest[1])
          }
          // No block without a byte in it, but for one that a hole at its edge has left.
          const first = Math.floor((next + (base & (BLOCK - 1))) / BLOCK)
          const last = Math.floor((SPACE + (base & (BLOCK - 1))) / BLOCK)
          expect(store.inUse).to.be.at.most((last - first + 1) * BLOCK)
          if (ranges.length === 0) expect(store.inUse).to.equal(0)
        }
        queue.clear()
        expect(store.inUse).to.equal(0)
      }),
      { numRuns: 60 },
    )
  })
})
