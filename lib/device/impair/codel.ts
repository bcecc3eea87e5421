/**
 * CoDel (RFC 8289): a queue is bad when packets have stood in it for longer than `target` during a whole `interval`.
 * Then one is dropped, and after that more and more often (interval / √count), until the queue is short again. The
 * names follow the pseudocode of the RFC's section 5.
 */
import type { Packet } from '../../packet/packet.ts'
import { updateChecksum16 } from '../../wire/checksum.ts'
import { DropReason } from '../../wire/drop-reason.ts'
import { IPV4_CHECKSUM, IPV4_TOS } from '../../wire/ipv4.ts'
import type { LinkQueue, QueueDrop } from './link-queue.ts'
import { ownBytes } from './own-bytes.ts'
import { TimedQueue } from './timed-queue.ts'

/** A queue of no more than one packet of this size is not a standing one (RFC 8289 §5.2, "MAXPACKET"). */
const MAX_PACKET = 1500

export class CoDel extends TimedQueue implements LinkQueue {
  marked = 0
  readonly #limit: number
  readonly #target: number
  readonly #interval: number
  readonly #ecn: boolean
  /** When the sojourn time will have been above the target for an interval; 0 while it is below. */
  #firstAboveTime = 0
  #dropNext = 0
  #count = 0
  #lastCount = 0
  #dropping = false
  #okToDrop = false

  constructor(limit: number, target: number, interval: number, ecn: boolean) {
    super()
    this.#limit = limit
    this.#target = target
    this.#interval = interval
    this.#ecn = ecn
  }

  enqueue(packet: Packet, now: number, drop: QueueDrop): void {
    if (this.length >= this.#limit) drop(packet, DropReason.QDISC_DROP, now)
    else this.push(packet, now, now)
  }

  dequeue(now: number, drop: QueueDrop): Packet | null {
    let packet = this.#doDequeue(now)
    if (packet === null) {
      this.#dropping = false
      return null
    }
    if (this.#dropping) {
      if (!this.#okToDrop) this.#dropping = false
      while (this.#dropping && now >= this.#dropNext) {
        this.#count++
        const marked = this.#mark(packet)
        if (marked !== null) {
          this.#dropNext = this.#controlLaw(this.#dropNext)
          return marked
        }
        drop(packet, DropReason.QDISC_DROP, this.sentAt)
        packet = this.#doDequeue(now)
        if (packet === null || !this.#okToDrop) this.#dropping = false
        else this.#dropNext = this.#controlLaw(this.#dropNext)
        if (packet === null) return null
      }
      return packet
    }
    if (!this.#okToDrop) return packet
    const marked = this.#mark(packet)
    if (marked === null) {
      drop(packet, DropReason.QDISC_DROP, this.sentAt)
      packet = this.#doDequeue(now)
    } else packet = marked
    this.#dropping = true
    // Soon after the last time: the rate that held then is a good guess now (RFC 8289 §5.5).
    const delta = this.#count - this.#lastCount
    this.#count = delta > 1 && now - this.#dropNext < 16 * this.#interval ? delta : 1
    this.#dropNext = this.#controlLaw(now)
    this.#lastCount = this.#count
    return packet
  }

  #doDequeue(now: number): Packet | null {
    const packet = this.shift()
    this.#okToDrop = false
    if (packet === null) {
      this.#firstAboveTime = 0
      return null
    }
    if (now - this.sentAt < this.#target || this.bytes <= MAX_PACKET) this.#firstAboveTime = 0
    else if (this.#firstAboveTime === 0) this.#firstAboveTime = now + this.#interval
    else this.#okToDrop = now >= this.#firstAboveTime
    return packet
  }

  #controlLaw(time: number): number {
    return time + this.#interval / Math.sqrt(this.#count)
  }

  /** The packet with Congestion Experienced, if its flow understands that (RFC 3168 §5); `null`: drop it. */
  #mark(packet: Packet): Packet | null {
    const tos = packet.bytes[packet.start + IPV4_TOS]!
    if (!this.#ecn || packet.bytes[packet.start]! >>> 4 !== 4 || (tos & 3) === 0) return null
    this.marked++
    if ((tos & 3) === 3) return packet
    const own = ownBytes(packet)
    if (own === null) return null
    const { bytes, start } = own
    bytes[start + IPV4_TOS] = tos | 3
    const check = (bytes[start + IPV4_CHECKSUM]! << 8) | bytes[start + IPV4_CHECKSUM + 1]!
    const updated = updateChecksum16(check, tos, tos | 3)
    bytes[start + IPV4_CHECKSUM] = updated >>> 8
    bytes[start + IPV4_CHECKSUM + 1] = updated
    return own
  }
}
