/**
 * The memory that written bytes wait in until they are acknowledged, shared by the connections of a stack: one block for
 * small writes, of which each connection uses what it needs, so that an idle one holds nothing; and blocks for large
 * writes, which one connection has to itself and which are used again. Packets are sent from there without a copy, so
 * a block is free when neither the queue nor a packet refers to it.
 */
import type { Packet } from '../packet/packet.ts'
import { TcpMemory } from './memory.ts'

const SHARED_BLOCK = 16384
/** A super-segment; and so much that few of them lie across the end of one. */
const BLOCK_SIZES = [65536, 1 << 20] as const
/** Blocks of each size that a stack keeps while nobody needs them: more than one connection has under way. */
const KEPT_BLOCKS = [32, 6] as const
/** From so many bytes on that wait or are written, the larger ones are taken. */
const LARGER_FROM = 1 << 18

/** Bytes of one connection, filled from the front. */
export class WriteBlock {
  readonly bytes: Uint8Array<ArrayBuffer>
  used = 0
  readonly #arena: WriteArena
  readonly #release = (): void => this.release()
  /** The queue, and packets. */
  #references = 1

  /** @internal use {@link WriteArena.takeBlock} */
  constructor(arena: WriteArena, size: number) {
    this.#arena = arena
    this.bytes = new Uint8Array(size)
  }

  get room(): number {
    return this.bytes.length - this.used
  }

  /** Copies in as much as there is room for; how much. */
  append(bytes: Uint8Array): number {
    const count = Math.min(bytes.length, this.room)
    this.bytes.set(count === bytes.length ? bytes : bytes.subarray(0, count), this.used)
    this.used += count
    return count
  }

  /** Makes `length` of its bytes the packet's body, and stays until that is freed. */
  lend(packet: Packet, start: number, length: number): void {
    packet.body = this.bytes.subarray(start, start + length)
    packet.bodyDone = this.#release
    this.#references++
  }

  /** The queue, or a packet, is done with it. */
  release(): void {
    if (--this.#references === 0) this.#arena.giveBack(this)
  }

  /** @internal taken again */
  reuse(): this {
    this.used = 0
    this.#references = 1
    return this
  }
}

export class WriteArena {
  readonly #free: readonly WriteBlock[][] = BLOCK_SIZES.map(() => [])
  /** @internal hears of what waits in the queues */
  readonly memory: TcpMemory
  /** @internal the block for small writes */
  shared = new Uint8Array(0)
  /** @internal bytes of it that are given out; never given out again */
  used = 0

  constructor(memory: TcpMemory = new TcpMemory()) {
    this.memory = memory
  }

  /** @internal Copies `bytes` behind what is there, into a new block if they do not fit; gives their offset. */
  append(bytes: Uint8Array): number {
    if (this.used + bytes.length > this.shared.length) {
      this.shared = new Uint8Array(SHARED_BLOCK)
      this.used = 0
    }
    const at = this.used
    this.shared.set(bytes, at)
    this.used += bytes.length
    return at
  }

  /** @internal An empty block for a connection of which `waiting` bytes wait. */
  takeBlock(waiting: number): WriteBlock {
    const which = waiting >= LARGER_FROM ? 1 : 0
    return this.#free[which]!.pop()?.reuse() ?? new WriteBlock(this, BLOCK_SIZES[which]!)
  }

  /** @internal nobody refers to it any more */
  giveBack(block: WriteBlock): void {
    const which = block.bytes.length === BLOCK_SIZES[0] ? 0 : 1
    const free = this.#free[which]!
    if (free.length < KEPT_BLOCKS[which]!) free.push(block)
  }
}
