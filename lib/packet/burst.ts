/**
 * Packets in numbers. A {@link Burst} is what a device hands over or takes in one call; a {@link PacketQueue}
 * is where packets wait, linked through themselves, so that neither allocates.
 */
import type { Packet } from './packet.ts'

/** Packets per call at most, for every device (the kernel's NAPI weight is 64 too). */
export const BURST_SIZE = 64

/** Up to {@link BURST_SIZE} packets, in order. Reused: whoever takes the packets out calls {@link clear}. */
export class Burst {
  readonly packets: (Packet | null)[] = new Array<Packet | null>(BURST_SIZE).fill(null)
  length = 0

  get full(): boolean {
    return this.length === BURST_SIZE
  }

  push(packet: Packet): void {
    this.packets[this.length++] = packet
  }

  /** Forgets the packets; it frees none. */
  clear(): void {
    for (let i = 0; i < this.length; i++) this.packets[i] = null
    this.length = 0
  }

  /** Forgets the first `n` packets and moves the others up. */
  shift(n: number): void {
    const left = this.length - n
    for (let i = 0; i < left; i++) this.packets[i] = this.packets[i + n]!
    for (let i = left; i < this.length; i++) this.packets[i] = null
    this.length = left
  }
}

/** A first-in first-out queue of packets, bounded by number. */
export class PacketQueue {
  #head: Packet | null = null
  #tail: Packet | null = null
  length = 0
  /** Bytes that wait. */
  bytes = 0
  limit: number

  constructor(limit: number) {
    this.limit = limit
  }

  /** Takes the packet, or gives `false` if the queue is full: then it is still the caller's. */
  push(packet: Packet): boolean {
    if (this.length >= this.limit) return false
    packet.next = null
    if (this.#tail === null) this.#head = packet
    else this.#tail.next = packet
    this.#tail = packet
    this.length++
    this.bytes += packet.length
    return true
  }

  shift(): Packet | null {
    const packet = this.#head
    if (packet === null) return null
    this.#head = packet.next
    if (this.#head === null) this.#tail = null
    packet.next = null
    this.length--
    this.bytes -= packet.length
    return packet
  }

  /** Puts a packet back in front; used when a device took less than it was offered. */
  unshift(packet: Packet): void {
    packet.next = this.#head
    this.#head = packet
    if (this.#tail === null) this.#tail = packet
    this.length++
    this.bytes += packet.length
  }

  /** Moves packets into `burst` until it is full or the queue is empty. */
  fill(burst: Burst): void {
    while (!burst.full) {
      const packet = this.shift()
      if (packet === null) return
      burst.push(packet)
    }
  }
}
