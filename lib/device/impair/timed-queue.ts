/**
 * Packets in the order in which they came, each with two moments: when it was sent into the link, and one that the
 * owner gives a meaning (when it arrives, when it was queued). A ring over typed arrays, so that waiting costs
 * nothing to the garbage collector.
 */
import type { Packet } from '../../packet/packet.ts'

export class TimedQueue {
  length = 0
  /** Bytes that wait. */
  bytes = 0
  /** Of what {@link shift} gave last. */
  sentAt = 0
  #packets: (Packet | null)[] = new Array<Packet | null>(16).fill(null)
  #times = new Float64Array(16)
  #sent = new Float64Array(16)
  #head = 0

  /** The moment of the first one; `Infinity` if there is none. */
  get time(): number {
    return this.length === 0 ? Number.POSITIVE_INFINITY : this.#times[this.#head]!
  }

  push(packet: Packet, time: number, sentAt: number): void {
    if (this.length === this.#packets.length) this.#grow()
    const at = (this.#head + this.length) & (this.#packets.length - 1)
    this.#packets[at] = packet
    this.#times[at] = time
    this.#sent[at] = sentAt
    this.length++
    this.bytes += packet.length
  }

  shift(): Packet | null {
    if (this.length === 0) return null
    const at = this.#head
    const packet = this.#packets[at]!
    this.#packets[at] = null
    this.sentAt = this.#sent[at]!
    this.#head = (at + 1) & (this.#packets.length - 1)
    this.length--
    this.bytes -= packet.length
    return packet
  }

  #grow(): void {
    const { length } = this.#packets
    const packets = new Array<Packet | null>(length * 2).fill(null)
    const times = new Float64Array(length * 2)
    const sent = new Float64Array(length * 2)
    for (let i = 0; i < length; i++) {
      const at = (this.#head + i) & (length - 1)
      packets[i] = this.#packets[at]!
      times[i] = this.#times[at]!
      sent[i] = this.#sent[at]!
    }
    this.#packets = packets
    this.#times = times
    this.#sent = sent
    this.#head = 0
  }
}
