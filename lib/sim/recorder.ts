/**
 * What crossed the links of a simulated network, the latest of it: packets with their times and fates, copied into
 * one ring of bytes that is never larger than it was allowed to be, so that recording allocates nothing per packet
 * and an hour of traffic fits. It is read by assertions, and written as pcapng when a run fails.
 */
import { type ByteSink, Direction, PcapngWriter } from '../observe/pcapng.ts'
import { Checksum, type Packet } from '../packet/packet.ts'
import { PacketPool } from '../packet/packet-pool.ts'
import { checksum } from '../wire/checksum.ts'
import { DropReason, dropReasonName } from '../wire/drop-reason.ts'

/** A record begins on a multiple of this. */
const ALIGNMENT = 8
const HEADER = 40
const FIRST_SIZE = 64 * 1024

const At = { TIME: 0, SENT: 8, DIRECTION: 16, LENGTH: 20, CAPTURED: 24, REASON: 28, CHECKSUM: 32 } as const

/** Set beside the offsets of a checksum that was left to be completed. */
const OPEN_CHECKSUM = 0x8000_0000

/** One record, read. */
export interface RecordedPacket {
  /** ns of the simulation's clock: when it arrived, or died. */
  time: number
  /** ns: when it was sent into the link. */
  sentAt: number
  /** Which direction of which link, as whoever recorded it numbers them. */
  direction: number
  /** Bytes of the whole packet. */
  length: number
  /** The packet from its IP header on, perhaps not all of it. */
  bytes: Uint8Array<ArrayBuffer>
  /** `DropReason.NONE` if it arrived. */
  reason: DropReason
}

export class Recorder {
  /** Records that were overwritten by later ones. */
  lost = 0
  /** Records that are there. */
  length = 0
  readonly #limit: number
  readonly #snaplen: number
  #bytes = new Uint8Array(0)
  #view = new DataView(this.#bytes.buffer)
  /** The oldest record, and where the next one goes. */
  #first = 0
  #next = 0
  /** Where the records of this round end, once {@link #next} has gone back to the start. */
  #wrapped = 0

  /** @param limit bytes at most; 0 records nothing */
  constructor(limit: number, snaplen: number) {
    this.#limit = limit - (limit % ALIGNMENT)
    this.#snaplen = snaplen
  }

  add(packet: Packet, direction: number, sentAt: number, time: number, reason: DropReason): void {
    const { length } = packet
    const captured = Math.min(length, this.#snaplen)
    const size = align(HEADER + captured)
    if (size > this.#limit) return
    const at = this.#room(size)
    const view = this.#view
    view.setFloat64(at + At.TIME, time)
    view.setFloat64(at + At.SENT, sentAt)
    view.setUint32(at + At.DIRECTION, direction)
    view.setUint32(at + At.LENGTH, length)
    view.setUint32(at + At.CAPTURED, captured)
    view.setUint32(at + At.REASON, reason)
    const open = packet.checksum === Checksum.PARTIAL
    const start = packet.checksumStart - packet.start
    view.setUint32(at + At.CHECKSUM, open ? OPEN_CHECKSUM | (start << 8) | packet.checksumOffset : 0)
    copy(packet, captured, this.#bytes, at + HEADER)
    this.#next = at + size
    this.length++
  }

  /** From the oldest on. Bytes are copies. */
  *[Symbol.iterator](): IterableIterator<RecordedPacket> {
    let at = this.#first
    for (let i = 0; i < this.length; i++) {
      if (at === this.#wrapped && this.#wrapped !== 0) at = 0
      const view = this.#view
      const captured = view.getUint32(at + At.CAPTURED)
      const length = view.getUint32(at + At.LENGTH)
      const bytes = this.#bytes.slice(at + HEADER, at + HEADER + captured)
      const open = view.getUint32(at + At.CHECKSUM)
      if (open !== 0 && captured === length) complete(bytes, (open >>> 8) & 0xffff, open & 0xff)
      yield {
        time: view.getFloat64(at + At.TIME),
        sentAt: view.getFloat64(at + At.SENT),
        direction: view.getUint32(at + At.DIRECTION),
        length,
        bytes,
        reason: view.getUint32(at + At.REASON) as DropReason,
      }
      at += align(HEADER + captured)
    }
  }

  clear(): void {
    this.length = this.#first = this.#next = this.#wrapped = 0
  }

  /** Writes everything as pcapng; `names` are those of the directions. */
  write(sink: ByteSink, epoch: bigint, names: readonly string[]): void {
    const writer = new PcapngWriter(sink, { epoch, application: 'tunstack simulation' })
    for (const name of names) writer.addInterface(name)
    const pool = new PacketPool()
    for (const { time, direction, bytes, length, reason } of this) {
      const packet = pool.from(bytes)!
      const comment = reason === DropReason.NONE ? '' : `dropped: ${dropReasonName(reason)}`
      writer.packet(direction, packet, time, Direction.UNKNOWN, comment, length)
      packet.free()
    }
    writer.close()
  }

  /** A place for `size` bytes in one piece; the oldest records make way, or the ring grows. */
  #room(size: number): number {
    for (;;) {
      const end = this.#wrapped === 0 ? this.#bytes.length : this.#first
      if (this.#next + size <= end) return this.#next
      if (this.#wrapped === 0) {
        if (this.#grow(size)) continue
        if (this.length === 0) return (this.#first = this.#next = 0)
        this.#wrapped = this.#next
        this.#next = 0
      } else this.#forget()
    }
  }

  #forget(): void {
    this.#first += align(HEADER + this.#view.getUint32(this.#first + At.CAPTURED))
    this.length--
    this.lost++
    if (this.#first < this.#wrapped) return
    this.#first = 0
    this.#wrapped = 0
  }

  #grow(size: number): boolean {
    const { length } = this.#bytes
    if (length >= this.#limit) return false
    const larger = new Uint8Array(Math.min(this.#limit, Math.max(FIRST_SIZE, length * 2, align(size))))
    larger.set(this.#bytes)
    this.#bytes = larger
    this.#view = new DataView(larger.buffer)
    return true
  }
}

function align(size: number): number {
  return (size + ALIGNMENT - 1) & -ALIGNMENT
}

/** As the device would have done that nobody asked to. */
function complete(bytes: Uint8Array, start: number, offset: number): void {
  const check = checksum(bytes, start, bytes.length) || 0xffff
  bytes[start + offset] = check >>> 8
  bytes[start + offset + 1] = check
}

function copy(packet: Packet, captured: number, target: Uint8Array, at: number): void {
  const head = packet.bytes.subarray(packet.start, Math.min(packet.end, packet.start + captured))
  target.set(head, at)
  if (packet.body !== null && head.length < captured) {
    target.set(packet.body.subarray(0, captured - head.length), at + head.length)
  }
}
