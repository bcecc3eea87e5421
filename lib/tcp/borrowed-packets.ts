/**
 * Packets whose data waits for the application where the device has put it. Copying a super-segment into a ring, only
 * to copy it out again when packet processing is over, is what receiving in bulk spends most of its time with; so
 * large packets are kept for that moment. What is borrowed is bounded for the whole stack ({@link BORROWED_LIMIT}):
 * an application that does not read pins no more packet memory than that, and what comes then is copied.
 */
import type { Packet } from '../packet/packet.ts'

/** Packets that the connections of a stack may keep at once: a burst of super-segments, and as much for others. */
export const BORROWED_LIMIT = 24

/** A queue of packets, and of how many bytes lie between them in the ring. */
export class BorrowedPackets {
  readonly #packets: (Packet | null)[] = new Array<Packet | null>(BORROWED_LIMIT).fill(null)
  /** Bytes of the ring that come before the packet and behind the one before it. */
  readonly #before: number[] = new Array<number>(BORROWED_LIMIT).fill(0)
  #head = 0
  /** Packets in the queue. */
  count = 0

  /** The one to be read next. */
  get first(): Packet {
    return this.#packets[this.#head]!
  }

  /** Bytes of the ring that are to be read before it. */
  get before(): number {
    return this.#before[this.#head]!
  }

  set before(bytes: number) {
    this.#before[this.#head] = bytes
  }

  push(packet: Packet, before: number): void {
    const at = (this.#head + this.count++) % BORROWED_LIMIT
    this.#packets[at] = packet
    this.#before[at] = before
  }

  /** The first one was read. */
  shift(): void {
    this.first.free()
    this.#packets[this.#head] = null
    this.#head = (this.#head + 1) % BORROWED_LIMIT
    this.count--
  }
}
