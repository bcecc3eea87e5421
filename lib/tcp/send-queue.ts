/**
 * What the application has written and the peer has not acknowledged. What is written is copied: small writes together,
 * into blocks that the connections of a stack share, so that a segment seldom spans buffers and a thousand writes of
 * one byte are not a thousand objects; large ones into blocks that are used again.
 */
import { TcpMemory } from './memory.ts'

/** Writes of up to this many bytes are put together. */
export const SMALL_WRITE = 512
const BLOCK_SIZE = 16384
/** Large writes are copied into blocks of this size, which are used again once they are acknowledged. */
const LARGE_BLOCK = 65536
/** What is less than this part of one gets memory of its own. */
const LARGE_PART = LARGE_BLOCK / 4
/** Large blocks that a stack keeps while nobody needs them: 6 MiB, more than one connection has under way. */
const KEPT_BLOCKS = 96

/** Where writes are copied to, small ones together. One for all connections of a stack: an idle one holds nothing of it. */
export class WriteArena {
  readonly #free: Uint8Array<ArrayBuffer>[] = []
  /** @internal hears of what waits in the queues */
  readonly memory: TcpMemory
  /** @internal */
  block = new Uint8Array(0)
  /** @internal bytes of the block that are given out; never given out again */
  used = 0

  constructor(memory: TcpMemory = new TcpMemory()) {
    this.memory = memory
  }

  /** @internal Copies `bytes` behind what is there, into a new block if they do not fit; gives their offset. */
  append(bytes: Uint8Array): number {
    if (this.used + bytes.length > this.block.length) {
      this.block = new Uint8Array(BLOCK_SIZE)
      this.used = 0
    }
    const at = this.used
    this.block.set(bytes, at)
    this.used += bytes.length
    return at
  }

  /** @internal a large block with whatever was in it */
  takeLarge(): Uint8Array<ArrayBuffer> {
    return this.#free.pop() ?? new Uint8Array(LARGE_BLOCK)
  }

  /** @internal nobody refers to it any more */
  giveLarge(block: Uint8Array<ArrayBuffer>): void {
    if (this.#free.length < KEPT_BLOCKS) this.#free.push(block)
  }
}

interface Piece {
  readonly bytes: Uint8Array
  /** Where in `bytes` it begins. */
  readonly start: number
  /** Bytes of the stream before it. */
  readonly position: number
  length: number
  /** It is of {@link WriteArena.takeLarge}, and goes back there. */
  readonly isLarge: boolean
}

/** Heads of the list that are gone before it is moved up. */
const COMPACT = 64

export class SendQueue {
  /** Bytes that may wait before the application is to hold back (the send buffer). */
  limit: number
  readonly #arena: WriteArena
  #pieces: Piece[] = []
  #first = 0
  /** The piece that was asked for last: the next question is about it or the one behind it. */
  #cursor = 0
  /** Position in the stream of the first byte that is not acknowledged, and of the end. */
  #una = 0
  #end = 0

  constructor(arena: WriteArena, limit: number) {
    this.#arena = arena
    this.limit = limit
  }

  /** Bytes that wait, sent or not. */
  get length(): number {
    return this.#end - this.#una
  }

  /** Bytes that may still be written. */
  get room(): number {
    return Math.max(0, this.limit - this.length)
  }

  /** Appends a copy of `bytes`, all of them whatever the limit says; they stay the caller's. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    if (bytes.length <= SMALL_WRITE) return this.#appendSmall(bytes)
    const arena = this.#arena
    for (let at = 0; at < bytes.length; at += LARGE_BLOCK) {
      const part = bytes.subarray(at, at + LARGE_BLOCK)
      const { length } = part
      const isLarge = length >= LARGE_PART
      let copy: Uint8Array
      if (isLarge) {
        copy = arena.takeLarge()
        copy.set(part)
      } else copy = new Uint8Array(part) // a Buffer's slice() would be no copy
      this.#append({ bytes: copy, start: 0, position: this.#end, length, isLarge })
    }
  }

  /** The peer has the first `n` bytes; no more than there are. */
  acknowledge(n: number): void {
    if (n > this.length) throw new RangeError(`${n} bytes acknowledged, ${this.length} there`)
    this.#una += n
    this.#arena.memory.charge(-n)
    while (this.#first < this.#pieces.length) {
      const piece = this.#pieces[this.#first]!
      if (piece.position + piece.length > this.#una) break
      this.#release(piece)
      this.#first++
    }
    if (this.#first === this.#pieces.length) this.#forgetAll()
    else if (this.#first >= COMPACT && this.#first * 2 >= this.#pieces.length) {
      this.#pieces.splice(0, this.#first)
      this.#cursor = Math.max(0, this.#cursor - this.#first)
      this.#first = 0
    }
  }

  /** How many bytes from `offset` (0: the first one not acknowledged) lie in one buffer. */
  runLength(offset: number): number {
    const piece = this.#pieces[this.#find(offset)]!
    return piece.position + piece.length - (this.#una + offset)
  }

  /** The `length` bytes from `offset` on where they lie, or `null` if they lie in more than one buffer. */
  view(offset: number, length: number): Uint8Array | null {
    const piece = this.#pieces[this.#find(offset)]!
    const inside = this.#una + offset - piece.position
    if (inside + length > piece.length) return null
    const from = piece.start + inside
    return piece.bytes.subarray(from, from + length)
  }

  /** Copies the `length` bytes from `offset` on to `target[at…]`. */
  copyTo(offset: number, length: number, target: Uint8Array, at: number): void {
    let index = this.#find(offset)
    let inside = this.#una + offset - this.#pieces[index]!.position
    for (let copied = 0; copied < length; index++) {
      const piece = this.#pieces[index]!
      const count = Math.min(length - copied, piece.length - inside)
      const from = piece.start + inside
      target.set(piece.bytes.subarray(from, from + count), at + copied)
      copied += count
      inside = 0
    }
  }

  /** The connection is over. */
  clear(): void {
    for (let i = this.#first; i < this.#pieces.length; i++) this.#release(this.#pieces[i]!)
    this.#arena.memory.charge(this.#una - this.#end)
    this.#una = this.#end
    this.#forgetAll()
  }

  #appendSmall(bytes: Uint8Array): void {
    const arena = this.#arena
    const last = this.#pieces[this.#pieces.length - 1]
    const at = arena.append(bytes)
    if (last !== undefined && last.bytes === arena.block && last.start + last.length === at) {
      last.length += bytes.length
      this.#end += bytes.length
      arena.memory.charge(bytes.length)
      return
    }
    const { length } = bytes
    this.#append({ bytes: arena.block, start: at, position: this.#end, length, isLarge: false })
  }

  /** What is sent was copied into packets, so that a piece that is acknowledged is nobody's. */
  #release({ bytes, isLarge }: Piece): void {
    if (isLarge) this.#arena.giveLarge(bytes as Uint8Array<ArrayBuffer>)
  }

  #append(piece: Piece): void {
    this.#pieces.push(piece)
    this.#end += piece.length
    this.#arena.memory.charge(piece.length)
  }

  #forgetAll(): void {
    this.#pieces.length = 0
    this.#first = 0
    this.#cursor = 0
  }

  /** Index of the piece that has the byte at `offset`. */
  #find(offset: number): number {
    if (offset < 0 || offset >= this.length) throw new RangeError(`no byte at ${offset} of ${this.length}`)
    const position = this.#una + offset
    const pieces = this.#pieces
    for (let i = Math.max(this.#cursor, this.#first), end = Math.min(i + 2, pieces.length); i < end; i++) {
      const { position: start, length } = pieces[i]!
      if (position >= start && position < start + length) return (this.#cursor = i)
    }
    let low = this.#first
    let high = pieces.length - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (pieces[middle]!.position > position) high = middle - 1
      else low = middle
    }
    return (this.#cursor = low)
  }
}
