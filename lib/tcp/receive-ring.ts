/**
 * What a connection has received in order and its application has not read: a ring of bytes that is as large as its
 * content needs, in powers of two, and nothing at all while it is empty. So an idle connection holds no buffer
 * (hardening: memory per connection), however much it may take. The storage of rings that became empty is kept in a
 * {@link RingStore}, shared by the connections of a stack, so that a busy connection that is emptied at each turn of
 * the event loop does not allocate at each. Large packets are not copied into it while few of them wait: they stay
 * where they are, in their place between the ring's bytes ({@link BorrowedPackets}).
 */
import type { Packet } from '../packet/packet.ts'
import { BORROWED_LIMIT, BorrowedPackets } from './borrowed-packets.ts'
import { TcpMemory } from './memory.ts'

/** The smallest ring that holds something. */
const MIN_CAPACITY = 4096

/** What is less costs more to keep than to copy. */
const WORTH_BORROWING = 16384

const EMPTY = new Uint8Array(0)

function powerOfTwo(atLeast: number): number {
  let size = MIN_CAPACITY
  while (size < atLeast) size *= 2
  return size
}

export interface RingStoreOptions {
  /** Bytes of unused storage that are kept; 32 MiB by default. */
  keep?: number
  /** Bytes that may be in use before data that came early is refused; 256 MiB by default. */
  budget?: number
  /** Hears of what is in use. */
  memory?: TcpMemory
}

/** Where buffers of received data come from, and go back to; the connections of a stack share one. */
export class RingStore {
  /** What is unused beyond this goes to the garbage collector. */
  readonly keep: number
  readonly memory: TcpMemory
  /** Nothing is refused here: who can do without more memory looks before. */
  readonly budget: number
  /** Bytes kept now. */
  kept = 0
  /** Bytes handed out now. */
  inUse = 0
  /** Packets borrowed now, by all connections. */
  borrowed = 0
  readonly #lists: BorrowedPackets[] = []
  /** By the number of doublings from the smallest. */
  readonly #free: Uint8Array<ArrayBuffer>[][] = []

  constructor({ keep = 32 << 20, budget = 256 << 20, memory = new TcpMemory() }: RingStoreOptions = {}) {
    this.memory = memory
    this.keep = keep
    this.budget = budget
  }

  /** @internal storage of a size that is a power of two, 4096 at least */
  take(size: number): Uint8Array<ArrayBuffer> {
    this.inUse += size
    this.memory.charge(size)
    const storage = this.#class(size).pop()
    if (storage === undefined) return new Uint8Array(size)
    this.kept -= size
    return storage
  }

  /** @internal */
  give(storage: Uint8Array<ArrayBuffer>): void {
    this.inUse -= storage.length
    this.memory.charge(-storage.length)
    if (this.kept + storage.length > this.keep) return
    this.kept += storage.length
    this.#class(storage.length).push(storage)
  }

  /** @internal a queue for a connection that begins to borrow */
  takeList(): BorrowedPackets {
    return this.#lists.pop() ?? new BorrowedPackets()
  }

  /** @internal it is empty again */
  giveList(list: BorrowedPackets): void {
    this.#lists.push(list)
  }

  #class(size: number): Uint8Array<ArrayBuffer>[] {
    const index = Math.log2(size / MIN_CAPACITY)
    while (this.#free.length <= index) this.#free.push([])
    return this.#free[index]!
  }
}

export class ReceiveRing {
  /** Bytes that may wait (the receive buffer). It may be changed at any time; what is there stays. */
  limit: number
  readonly #store: RingStore
  #bytes: Uint8Array<ArrayBuffer> = EMPTY
  #head = 0
  /** Bytes in the ring itself. */
  #held = 0
  /** Bytes in all. */
  #length = 0
  /** Storage that it had when it last became empty, so that what fills it again and again need not grow each time. */
  #before = 0
  #borrowed: BorrowedPackets | null = null
  /** Bytes of the ring behind the last borrowed packet. */
  #behind = 0

  constructor(store: RingStore, limit: number) {
    this.#store = store
    this.limit = limit
  }

  /** Bytes that wait. */
  get length(): number {
    return this.#length
  }

  /** Bytes of storage; 0 while nothing waits. */
  get capacity(): number {
    return this.#bytes.length
  }

  /** Appends `bytes[from…to)`, as much as the limit allows, and gives how much that was. */
  write(bytes: Uint8Array, from: number, to: number): number {
    const count = Math.min(to - from, this.limit - this.#length)
    if (count <= 0) return 0
    if (this.#held + count > this.#bytes.length) this.#grow(this.#held + count)
    const storage = this.#bytes
    const tail = (this.#head + this.#held) & (storage.length - 1)
    const first = Math.min(count, storage.length - tail)
    storage.set(bytes.subarray(from, from + first), tail)
    if (first < count) storage.set(bytes.subarray(from + first, from + count), 0)
    this.#held += count
    this.#length += count
    this.#behind += count
    return count
  }

  /** Appends `packet.bytes[from…to)` in the same way; a large packet is kept instead of copied. */
  writePacket(packet: Packet, from: number, to: number): number {
    const store = this.#store
    const count = to - from
    const isWorthIt = count >= WORTH_BORROWING && this.#length + count <= this.limit
    if (!isWorthIt || store.borrowed === BORROWED_LIMIT) return this.write(packet.bytes, from, to)
    store.borrowed++
    const kept = packet.pool.clone(packet)
    kept.start = from
    kept.end = to
    this.#borrowed ??= store.takeList()
    store.memory.charge(count)
    this.#borrowed.push(kept, this.#behind)
    this.#behind = 0
    this.#length += count
    return count
  }

  /** Moves up to `max` bytes to `target[at…]` and gives how many. */
  readInto(target: Uint8Array, at: number, max: number): number {
    const count = Math.min(max, this.#length, target.length - at)
    for (let left = count; left > 0; ) {
      const part = this.#part(left)
      target.set(part, at + count - left)
      left -= part.length
      this.#consumePart(part.length)
    }
    return Math.max(count, 0)
  }

  /** The first bytes where they lie, as far as they lie together; good until the ring is used again. */
  peek(): Uint8Array {
    return this.#part(this.#length)
  }

  /** Removes the first `n` bytes; no more than there are. */
  consume(n: number): void {
    if (n > this.#length) throw new RangeError(`${n} bytes to consume, ${this.#length} there`)
    for (let left = n; left > 0; ) {
      const { length } = this.#part(left)
      left -= length
      this.#consumePart(length)
    }
  }

  /** Gives borrowed packets back, and keeps what they hold: nobody may come to read it. */
  own(): void {
    if (this.#borrowed === null) return
    const content = new Uint8Array(this.#length)
    this.readInto(content, 0, content.length)
    const { limit } = this
    this.limit = content.length
    this.write(content, 0, content.length)
    this.limit = limit
  }

  /** Forgets everything. */
  clear(): void {
    while (this.#borrowed !== null) {
      this.#borrowed.before = 0
      const { start, end } = this.#borrowed.first
      this.#store.memory.charge(start - end)
      this.#giveBack(this.#borrowed)
    }
    this.#length = this.#held = this.#behind = 0
    this.#release()
  }

  /** The first bytes that lie together, `max` at most. */
  #part(max: number): Uint8Array {
    const borrowed = this.#borrowed
    if (borrowed !== null && borrowed.before === 0) {
      const { bytes, start, end } = borrowed.first
      return bytes.subarray(start, Math.min(end, start + max))
    }
    const held = borrowed === null ? this.#held : borrowed.before
    const end = Math.min(this.#head + Math.min(held, max), this.#bytes.length)
    return this.#bytes.subarray(this.#head, end)
  }

  /** Removes `n` bytes that {@link #part} gave. */
  #consumePart(n: number): void {
    this.#length -= n
    const borrowed = this.#borrowed
    if (borrowed === null) this.#behind -= n
    else if (borrowed.before > 0) borrowed.before -= n
    else {
      const packet = borrowed.first
      packet.start += n
      this.#store.memory.charge(-n)
      if (packet.start === packet.end) this.#giveBack(borrowed)
      return
    }
    this.#held -= n
    if (this.#held === 0) this.#release()
    else this.#head = (this.#head + n) & (this.#bytes.length - 1)
  }

  #giveBack(borrowed: BorrowedPackets): void {
    borrowed.shift()
    this.#store.borrowed--
    if (borrowed.count > 0) return
    this.#store.giveList(borrowed)
    this.#borrowed = null
  }

  #release(): void {
    this.#head = 0
    if (this.#bytes.length === 0) return
    this.#before = this.#bytes.length
    this.#store.give(this.#bytes)
    this.#bytes = EMPTY
  }

  #grow(needed: number): void {
    const old = this.#bytes
    // From half of what it needed last time on: less if that was a peak, and one step more if it was not.
    const larger = this.#store.take(Math.max(powerOfTwo(needed), old.length === 0 ? this.#before >>> 1 : 0))
    const first = Math.min(this.#held, old.length - this.#head)
    larger.set(old.subarray(this.#head, this.#head + first))
    larger.set(old.subarray(0, this.#held - first), first)
    if (old.length > 0) this.#store.give(old)
    this.#bytes = larger
    this.#head = 0
  }
}
