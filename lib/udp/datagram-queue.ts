/**
 * Datagrams that wait in a socket: their bytes in a ring that grows as needed and is given up when less of it is used,
 * what is known of each beside them in typed arrays. So a datagram that nobody has asked for yet costs its bytes, and
 * reading one into a buffer of the caller's allocates nothing.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'

/** What is charged for a datagram beside its bytes, so that empty ones can't pile up (Linux: the size of its `sk_buff`). */
export const DATAGRAM_COST = 256
/** Rings up to this size are kept when they are empty; larger ones only if this part of them was used since the last time. */
const KEPT = 16 * 1024
const USED_PART = 8
const FIRST_RING = 2048
const WORDS = 8

const Word = {
  START: 0,
  LENGTH: 1,
  SOURCE: 2,
  DESTINATION: 3,
  PORTS: 4,
  DEVICE: 5,
  TOS_TTL: 6,
  SEGMENT: 7,
} as const

/** What is known of a datagram beside its bytes. Reused: the queue fills it in when one is taken. */
export class DatagramInfo {
  length = 0
  source: Ipv4Address = 0
  /** The address that it was sent to. */
  destination: Ipv4Address = 0
  /** The sender's. */
  port = 0
  /** The port that it was sent to, of a socket that hears of several. */
  toPort = 0
  /** Index of the interface that it came by. */
  device = 0
  ttl = 0
  tos = 0
  /** It is several datagrams of so many bytes, the last may be shorter; 0: it is one. */
  segmentSize = 0
}

export class DatagramQueue {
  /** Datagrams that wait. */
  length = 0
  /** Bytes charged for them. */
  charged = 0
  limit: number
  #bytes = new Uint8Array(0)
  /** First byte that is used, and first that is free. */
  #from = 0
  #to = 0
  /** Where the bytes of this round end, once {@link #to} has gone back to the start; 0 before. */
  #wrapped = 0
  /** Most that was charged since the ring was empty last. */
  #peak = 0
  #words = new Int32Array(0)
  #head = 0

  /** @param limit bytes; a datagram is taken as long as no more than that is charged, as on Linux */
  constructor(limit: number) {
    this.limit = limit
  }

  /** Takes a copy of `bytes[start…end)`, followed by `body`; `false` if too much waits already. */
  push(info: DatagramInfo, bytes: Uint8Array, start: number, end: number, body: Uint8Array | null): boolean {
    if (this.charged > this.limit) return false
    const head = end - start
    const length = head + (body === null ? 0 : body.length)
    const at = this.#reserve(length)
    copy(bytes, start, end, this.#bytes, at)
    if (body !== null) this.#bytes.set(body, at + head)
    this.#to = at + length
    if ((this.length + 1) * WORDS > this.#words.length) this.#growWords()
    const words = this.#words
    const word = (this.#head + this.length * WORDS) & (words.length - 1)
    words[word + Word.START] = at
    words[word + Word.LENGTH] = length
    words[word + Word.SOURCE] = info.source
    words[word + Word.DESTINATION] = info.destination
    words[word + Word.PORTS] = (info.toPort << 16) | info.port
    words[word + Word.DEVICE] = info.device
    words[word + Word.TOS_TTL] = (info.tos << 8) | info.ttl
    words[word + Word.SEGMENT] = info.segmentSize
    this.length++
    this.charged += length + DATAGRAM_COST
    if (this.charged > this.#peak) this.#peak = this.charged
    return true
  }

  /** Bytes of the next datagram; there must be one. */
  get nextLength(): number {
    return this.#words[this.#head + Word.LENGTH]!
  }

  /**
   * Takes the next datagram: as much of it as fits goes to `target`, the rest is lost. Gives how many bytes were
   * copied; there must be one.
   */
  take(target: Uint8Array, at: number, limit: number, info: DatagramInfo): number {
    const words = this.#words
    const word = this.#head
    const start = words[word + Word.START]!
    const length = words[word + Word.LENGTH]!
    const copied = Math.min(length, limit)
    info.length = length
    info.source = words[word + Word.SOURCE]!
    info.destination = words[word + Word.DESTINATION]!
    info.port = words[word + Word.PORTS]! & 0xffff
    info.toPort = words[word + Word.PORTS]! >>> 16
    info.device = words[word + Word.DEVICE]!
    info.tos = words[word + Word.TOS_TTL]! >>> 8
    info.ttl = words[word + Word.TOS_TTL]! & 0xff
    info.segmentSize = words[word + Word.SEGMENT]!
    copy(this.#bytes, start, start + copied, target, at)
    this.#head = (word + WORDS) & (words.length - 1)
    this.length--
    this.charged -= length + DATAGRAM_COST
    if (this.length === 0) this.#empty()
    else {
      const next = words[this.#head + Word.START]!
      if (next < this.#from) this.#wrapped = 0
      this.#from = next
    }
    return copied
  }

  clear(): void {
    this.length = 0
    this.charged = 0
    this.#empty()
  }

  #empty(): void {
    this.#from = this.#to = this.#wrapped = this.#head = 0
    // In bulk the ring fills and empties again and again; to make it anew each time costs more than the bytes do.
    const used = this.#peak * USED_PART
    this.#peak = 0
    if (this.#bytes.length <= Math.max(KEPT, used)) return
    this.#bytes = new Uint8Array(0)
    this.#words = new Int32Array(0)
  }

  /** A place for so many bytes in one piece. */
  #reserve(length: number): number {
    if (this.#wrapped !== 0) {
      if (this.#to + length <= this.#from) return this.#to
    } else {
      if (this.#to + length <= this.#bytes.length) return this.#to
      // Strictly: if both ends met, a full ring would look like an empty one.
      if (length < this.#from) {
        this.#wrapped = this.#to
        return 0
      }
    }
    this.#growBytes(length)
    return this.#to
  }

  /** Moves everything to a larger ring, in one piece. */
  #growBytes(length: number): void {
    const used = this.#wrapped === 0 ? this.#to - this.#from : this.#wrapped - this.#from + this.#to
    const larger = new Uint8Array(Math.max(FIRST_RING, this.#bytes.length * 2, 2 * (used + length)))
    const words = this.#words
    let to = 0
    for (let i = 0; i < this.length; i++) {
      const word = (this.#head + i * WORDS) & (words.length - 1)
      const start = words[word + Word.START]!
      const end = start + words[word + Word.LENGTH]!
      larger.set(this.#bytes.subarray(start, end), to)
      words[word + Word.START] = to
      to += end - start
    }
    this.#bytes = larger
    this.#from = 0
    this.#to = to
    this.#wrapped = 0
  }

  #growWords(): void {
    const words = this.#words
    const larger = new Int32Array(Math.max(8 * WORDS, words.length * 2))
    const first = words.length - this.#head
    larger.set(words.subarray(this.#head), 0)
    larger.set(words.subarray(0, this.#head), first)
    this.#words = larger
    this.#head = 0
  }
}

/** Up to so many bytes are copied one by one: that is quicker than to make the view that is needed otherwise. */
const FEW = 96

function copy(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): void {
  if (end - start > FEW) to.set(from.subarray(start, end), at)
  else for (let i = start, j = at; i < end; i++, j++) to[j] = from[i]!
}
