/**
 * What the application has written and the peer has not acknowledged. What is written is copied: small writes together,
 * into blocks that the connections of a stack share, so that a segment seldom spans buffers and a thousand writes of
 * one byte are not a thousand objects; large ones into blocks of the connection's own, from which super-segments are
 * sent as they lie there.
 */
import type { Packet } from '../packet/packet.ts'
import type { WriteArena, WriteBlock } from './write-arena.ts'

/** Writes of up to this many bytes are put together. */
export const SMALL_WRITE = 512
/** What is less than this gets memory of its own, unless as much waits already. */
const LARGE_WRITE = 16384

interface Piece {
  readonly bytes: Uint8Array
  /** Where in `bytes` it begins. */
  readonly start: number
  /** Bytes of the stream before it. */
  readonly position: number
  length: number
  /** What it lies in, and alone, if that is one of {@link WriteArena.takeBlock}. */
  readonly block: WriteBlock | null
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
    let rest = this.#fillLast(bytes)
    const { length } = rest
    if (length === 0) return
    if (length <= SMALL_WRITE) return this.#appendSmall(rest)
    if (length < LARGE_WRITE && this.length < LARGE_WRITE) {
      const copy = new Uint8Array(rest) // a Buffer's slice() would be no copy
      return this.#append({ bytes: copy, start: 0, position: this.#end, length, block: null })
    }
    while (rest.length > 0) {
      const block = this.#arena.takeBlock(this.length + rest.length)
      const count = block.append(rest)
      this.#append({ bytes: block.bytes, start: 0, position: this.#end, length: count, block })
      rest = rest.subarray(count)
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
      piece.block?.release()
      this.#first++
    }
    if (this.#first === this.#pieces.length) this.#forgetAll()
    else if (this.#first >= COMPACT && this.#first * 2 >= this.#pieces.length) {
      this.#pieces.splice(0, this.#first)
      this.#cursor = Math.max(0, this.#cursor - this.#first)
      this.#first = 0
    }
  }

  /**
   * Makes the `length` bytes from `offset` on (0: the first one not acknowledged) the body of `packet`; `false` if they do
   * not lie in one block.
   */
  lend(offset: number, length: number, packet: Packet): boolean {
    if (!this.lends(offset, length)) return false
    const { block, position, start } = this.#pieces[this.#find(offset)]!
    block!.lend(packet, start + this.#una + offset - position, length)
    return true
  }

  /** Whether {@link lend} would. */
  lends(offset: number, length: number): boolean {
    const { block, position, length: held } = this.#pieces[this.#find(offset)]!
    return block !== null && this.#una + offset - position + length <= held
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
    for (let i = this.#first; i < this.#pieces.length; i++) this.#pieces[i]!.block?.release()
    this.#arena.memory.charge(this.#una - this.#end)
    this.#una = this.#end
    this.#forgetAll()
  }

  /** Puts what there is room for behind what lies in the last block; what is left. */
  #fillLast(bytes: Uint8Array): Uint8Array {
    const last = this.#pieces[this.#pieces.length - 1]
    if (last === undefined || last.block === null || last.block.room === 0) return bytes
    const count = last.block.append(bytes)
    this.#lengthen(last, count)
    return bytes.subarray(count)
  }

  #appendSmall(bytes: Uint8Array): void {
    const arena = this.#arena
    const last = this.#pieces[this.#pieces.length - 1]
    const start = arena.append(bytes)
    const { length } = bytes
    if (last !== undefined && last.bytes === arena.shared && last.start + last.length === start) {
      return this.#lengthen(last, length)
    }
    this.#append({ bytes: arena.shared, start, position: this.#end, length, block: null })
  }

  #lengthen(piece: Piece, count: number): void {
    piece.length += count
    this.#end += count
    this.#arena.memory.charge(count)
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
