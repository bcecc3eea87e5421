/**
 * Where packet bytes live. An arena is one `ArrayBuffer` cut into slabs of one size; a slab holds the bytes of
 * one packet (with room before and behind) and counts who shares them. Nothing is returned to the garbage
 * collector: a slab goes back to its pool's free list. A driver addresses a slab as (arena, offset), so that
 * native code can read into it and write from it without a view object.
 */

/** One `ArrayBuffer` cut into equal slabs. */
export class Arena {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** The same memory, for who reads whole words in the byte order of the machine. */
  readonly words: Int32Array<ArrayBuffer>
  readonly slabSize: number
  /** For drivers: what native code knows this arena by; -1 until it is registered. */
  driverHandle = -1

  constructor(slabSize: number, slabs: number) {
    this.slabSize = slabSize
    this.bytes = new Uint8Array(new ArrayBuffer(slabSize * slabs))
    this.words = new Int32Array(this.bytes.buffer)
  }
}

/** A reference-counted piece of an {@link Arena}. Its bytes may be rewritten only while `references` is 1. */
export class Slab {
  readonly arena: Arena
  readonly start: number
  readonly end: number
  references = 0
  /** @internal next in the pool's free list */
  nextFree: Slab | null = null

  constructor(arena: Arena, start: number) {
    this.arena = arena
    this.start = start
    this.end = start + arena.slabSize
  }
}
