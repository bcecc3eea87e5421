/**
 * What a connection has received in order and its application has not read: a ring of bytes that is as large as its
 * content needs, in powers of two, and nothing at all while it is empty. So an idle connection holds no buffer
 * (hardening: memory per connection), however much it may take. The storage of rings that became empty is kept in a
 * {@link RingStore}, shared by the connections of a stack, so that a busy connection that is emptied at each turn of
 * the event loop does not allocate at each.
 */

/** The smallest ring that holds something. */
const MIN_CAPACITY = 4096

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
}

/** Where buffers of received data come from, and go back to; the connections of a stack share one. */
export class RingStore {
  /** What is unused beyond this goes to the garbage collector. */
  readonly keep: number
  /** Nothing is refused here: who can do without more memory looks before (`tcp_mem` is Linux's for this). */
  readonly budget: number
  /** Bytes kept now. */
  kept = 0
  /** Bytes handed out now. */
  inUse = 0
  /** By the number of doublings from the smallest. */
  readonly #free: Uint8Array<ArrayBuffer>[][] = []

  constructor({ keep = 32 << 20, budget = 256 << 20 }: RingStoreOptions = {}) {
    this.keep = keep
    this.budget = budget
  }

  /** @internal storage of a size that is a power of two, 4096 at least */
  take(size: number): Uint8Array<ArrayBuffer> {
    this.inUse += size
    const storage = this.#class(size).pop()
    if (storage === undefined) return new Uint8Array(size)
    this.kept -= size
    return storage
  }

  /** @internal */
  give(storage: Uint8Array<ArrayBuffer>): void {
    this.inUse -= storage.length
    if (this.kept + storage.length > this.keep) return
    this.kept += storage.length
    this.#class(storage.length).push(storage)
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
  #length = 0
  /** Storage that it had when it last became empty, so that what fills it again and again need not grow each time. */
  #before = 0

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
    if (this.#length + count > this.#bytes.length) this.#grow(this.#length + count)
    const storage = this.#bytes
    const tail = (this.#head + this.#length) & (storage.length - 1)
    const first = Math.min(count, storage.length - tail)
    storage.set(bytes.subarray(from, from + first), tail)
    if (first < count) storage.set(bytes.subarray(from + first, from + count), 0)
    this.#length += count
    return count
  }

  /** Moves up to `max` bytes to `target[at…]` and gives how many. */
  readInto(target: Uint8Array, at: number, max: number): number {
    const count = Math.min(max, this.#length, target.length - at)
    if (count <= 0) return 0
    const first = Math.min(count, this.#bytes.length - this.#head)
    target.set(this.#bytes.subarray(this.#head, this.#head + first), at)
    if (first < count) target.set(this.#bytes.subarray(0, count - first), at + first)
    this.consume(count)
    return count
  }

  /** The first bytes where they lie, as far as they lie together; good until the ring is used again. */
  peek(): Uint8Array {
    const end = Math.min(this.#head + this.#length, this.#bytes.length)
    return this.#bytes.subarray(this.#head, end)
  }

  /** Removes the first `n` bytes; no more than there are. */
  consume(n: number): void {
    if (n > this.#length) throw new RangeError(`${n} bytes to consume, ${this.#length} there`)
    this.#length -= n
    if (this.#length === 0) this.#release()
    else this.#head = (this.#head + n) & (this.#bytes.length - 1)
  }

  /** Forgets everything. */
  clear(): void {
    this.#length = 0
    this.#release()
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
    const first = Math.min(this.#length, old.length - this.#head)
    larger.set(old.subarray(this.#head, this.#head + first))
    larger.set(old.subarray(0, this.#length - first), first)
    if (old.length > 0) this.#store.give(old)
    this.#bytes = larger
    this.#head = 0
  }
}
