/**
 * The packet allocator. Packets and slabs are made when first needed, in chunks, and reused from then on, last
 * freed first, so that a steady flow runs in a few cache-warm slabs and allocates nothing. The pool is bounded:
 * past its limit {@link PacketPool.allocate} gives `null`, which the caller counts as a drop (`NOMEM`).
 */
import { Checksum, Gso, HEADROOM, Packet } from './packet.ts'
import { Arena, Slab } from './slab.ts'

interface SizeClass {
  readonly slabSize: number
  readonly slabsPerArena: number
  free: Slab | null
}

/** Slab sizes: a 1500-byte MTU, a jumbo frame, and the largest IP packet (each with headroom). */
const SLAB_SIZES = [2048, 10240, 66560] as const
const SLABS_PER_ARENA = [64, 16, 8] as const

export interface PacketPoolOptions {
  /** Bytes of packet memory at most; 64 MiB by default. */
  limit?: number
}

export class PacketPool {
  /** Bytes of arenas made so far. */
  reserved = 0
  /** Packets handed out and not yet freed: 0 when everything is idle. */
  outstanding = 0
  /** How often nothing could be allocated within the limit. */
  exhausted = 0
  readonly limit: number
  readonly #classes: SizeClass[] = SLAB_SIZES.map((slabSize, i) => ({
    slabSize,
    slabsPerArena: SLABS_PER_ARENA[i]!,
    free: null,
  }))
  #packets: Packet | null = null

  constructor({ limit = 64 << 20 }: PacketPoolOptions = {}) {
    this.limit = limit
  }

  /**
   * An empty packet with `headroom` bytes before it and room for at least `size` behind; `null` if the pool is
   * exhausted or no slab is that large.
   */
  allocate(size: number, headroom: number = HEADROOM): Packet | null {
    const slab = this.#takeSlab(size + headroom)
    if (slab === null) return null
    const packet = this.#takePacket()
    slab.references = 1
    packet.slab = slab
    packet.bytes = slab.arena.bytes
    packet.words = slab.arena.words
    packet.start = packet.end = slab.start + headroom
    return packet
  }

  /** Another packet on the same bytes and body. Neither may be written to until the other is freed. */
  clone(packet: Packet): Packet {
    const clone = this.#takePacket()
    clone.slab = packet.slab
    clone.slab.references++
    clone.bytes = packet.bytes
    clone.words = packet.words
    clone.start = packet.start
    clone.end = packet.end
    clone.body = packet.body
    clone.bodyDone = packet.bodyDone
    copyMetadata(packet, clone)
    return clone
  }

  /** A packet with bytes of its own (body included), or `null` if the pool is exhausted. */
  copy(packet: Packet, headroom: number = HEADROOM): Packet | null {
    const copy = this.allocate(packet.length, headroom)
    if (copy === null) return null
    const at = copy.put(packet.length)
    packet.copyTo(copy.bytes, at)
    copyMetadata(packet, copy)
    const moved = at - packet.start
    copy.networkHeader += moved
    copy.transportHeader += moved
    copy.checksumStart += moved
    return copy
  }

  /** A packet of the given bytes, or `null` if the pool is exhausted. For cold paths and tests. */
  from(bytes: Uint8Array, headroom: number = HEADROOM): Packet | null {
    const packet = this.allocate(bytes.length, headroom)
    if (packet === null) return null
    packet.bytes.set(bytes, packet.put(bytes.length))
    packet.networkHeader = packet.start
    return packet
  }

  /** @internal `packet.free()` is the way to say it. */
  free(packet: Packet): void {
    if (!packet.allocated) throw new Error('packet freed twice')
    packet.allocated = false
    this.outstanding--
    const slab = packet.slab
    if (--slab.references === 0) {
      if (packet.bodyDone !== null) packet.bodyDone()
      const size = this.#classOf(slab.arena.slabSize)!
      slab.nextFree = size.free
      size.free = slab
    }
    packet.body = null
    packet.bodyDone = null
    packet.destination = null
    packet.device = null
    packet.next = this.#packets
    this.#packets = packet
  }

  #takePacket(): Packet {
    let packet = this.#packets
    if (packet === null) {
      packet = new Packet(this)
    } else {
      this.#packets = packet.next
      packet.next = null
      packet.networkHeader = 0
      packet.transportHeader = 0
      packet.checksum = Checksum.NONE
      packet.gsoType = Gso.NONE
      packet.gsoSize = 0
      packet.gsoSegments = 1
      packet.gsoEcn = false
      packet.gsoFixedId = false
      packet.scrub()
    }
    packet.allocated = true
    this.outstanding++
    return packet
  }

  #classOf(bytes: number): SizeClass | null {
    for (let i = 0; i < SLAB_SIZES.length; i++) if (bytes <= SLAB_SIZES[i]!) return this.#classes[i]!
    return null
  }

  #takeSlab(bytes: number): Slab | null {
    const fitting = this.#classOf(bytes)
    if (fitting === null) return null
    const size = fitting.free !== null || this.#grow(fitting) ? fitting : this.#larger(fitting)
    if (size === null) {
      this.exhausted++
      return null
    }
    const slab = size.free!
    size.free = slab.nextFree
    slab.nextFree = null
    return slab
  }

  /** A class of larger slabs that has one to spare: else memory that was once cut large would be lost to small packets. */
  #larger(than: SizeClass): SizeClass | null {
    return this.#classes.find(({ slabSize, free }) => slabSize > than.slabSize && free !== null) ?? null
  }

  #grow(size: SizeClass): boolean {
    const bytes = size.slabSize * size.slabsPerArena
    if (this.reserved + bytes > this.limit) return false
    this.reserved += bytes
    const arena = new Arena(size.slabSize, size.slabsPerArena)
    for (let i = size.slabsPerArena - 1; i >= 0; i--) {
      const slab = new Slab(arena, i * size.slabSize)
      slab.nextFree = size.free
      size.free = slab
    }
    return true
  }
}

/** All that is known of a packet beside its bytes. Offsets count within the arena: who copies bytes moves them. */
export function copyMetadata(from: Packet, to: Packet): void {
  to.networkHeader = from.networkHeader
  to.transportHeader = from.transportHeader
  to.checksum = from.checksum
  to.checksumStart = from.checksumStart
  to.checksumOffset = from.checksumOffset
  to.gsoType = from.gsoType
  to.gsoSize = from.gsoSize
  to.gsoSegments = from.gsoSegments
  to.gsoEcn = from.gsoEcn
  to.gsoFixedId = from.gsoFixedId
  to.device = from.device
  to.iif = from.iif
  to.type = from.type
  to.destination = from.destination
  to.mark = from.mark
  to.hash = from.hash
  to.ignoreDf = from.ignoreDf
  to.fragMaxSize = from.fragMaxSize
  to.doRedirect = from.doRedirect
}
