/**
 * The sending side of a TUN device: gathers the packets of a burst and writes them in one native call. Packets
 * whose payload lies elsewhere, or whose checksum is still to be computed, are written in their turn.
 */
import { Errno } from '../../errors.ts'
import { BURST_SIZE, type Burst } from '../../packet/burst.ts'
import { completeChecksum } from '../../packet/complete-checksum.ts'
import { Checksum, type Packet } from '../../packet/packet.ts'
import { DropReason } from '../../wire/drop-reason.ts'
import { LinkStat, type LinkStats } from '../link-stats.ts'
import { arenaId } from './arena-id.ts'
import type { TunDriver, TunHandle } from './driver.ts'

export class TunWriter {
  /** Negative errno of the last packet that the kernel refused; 0 if it never did. */
  refusal = 0
  readonly #driver: TunDriver
  readonly #handle: TunHandle
  readonly #stats: LinkStats
  readonly #drop: (packet: Packet, reason: number) => void
  readonly #sending: (Packet | null)[] = new Array<Packet | null>(BURST_SIZE).fill(null)
  readonly #descriptors = new Uint32Array(3 * BURST_SIZE)
  readonly #status = new Int32Array(BURST_SIZE)
  #queued = 0

  /** @param drop counts a packet that the kernel refused, and frees it */
  constructor(
    driver: TunDriver,
    handle: TunHandle,
    stats: LinkStats,
    drop: (packet: Packet, reason: number) => void,
  ) {
    this.#driver = driver
    this.#handle = handle
    this.#stats = stats
    this.#drop = drop
  }

  /** Sends the burst's packets in order, and frees them. */
  write(burst: Burst): void {
    for (let i = 0; i < burst.length; i++) {
      const packet = burst.packets[i]!
      if (packet.body !== null || packet.checksum === Checksum.PARTIAL) this.#sendSpecial(packet)
      else this.#enqueue(packet)
    }
    this.#flush()
  }

  #enqueue(packet: Packet): void {
    const i = this.#queued++
    const descriptors = this.#descriptors
    this.#sending[i] = packet
    descriptors[3 * i] = arenaId(this.#driver, packet.slab.arena)
    descriptors[3 * i + 1] = packet.start
    descriptors[3 * i + 2] = packet.end - packet.start
  }

  /** Writes what is queued, and frees it. */
  #flush(): void {
    const n = this.#queued
    if (n === 0) return
    this.#queued = 0
    const status = this.#status
    const written = this.#handle.writeBatch(this.#descriptors, n, status)
    let bytes = 0
    for (let i = 0; i < n; i++) {
      const packet = this.#sending[i]!
      this.#sending[i] = null
      if (status[i]! >= 0) {
        bytes += status[i]!
        packet.free()
      } else {
        this.#refused(packet, status[i]!)
      }
    }
    this.#stats.sent(written, bytes)
  }

  /** A packet with a checksum to complete, or with a body that lies elsewhere; in its turn. */
  #sendSpecial(packet: Packet): void {
    if (packet.checksum !== Checksum.PARTIAL) {
      this.#sendBody(packet)
      return
    }
    const field = packet.checksumStart + packet.checksumOffset
    const high = packet.bytes[field]!
    const low = packet.bytes[field + 1]!
    const shared = packet.slab.references > 1
    const { bytes } = packet
    // Whoever shares the bytes still takes the field for the pseudo-header sum: put it back after the write.
    if (shared) this.#flush()
    completeChecksum(packet)
    if (packet.body !== null) {
      this.#sendBody(packet)
    } else {
      this.#enqueue(packet)
      if (shared) this.#flush()
    }
    if (shared) {
      bytes[field] = high
      bytes[field + 1] = low
    }
  }

  #sendBody(packet: Packet): void {
    this.#flush()
    const arena = arenaId(this.#driver, packet.slab.arena)
    const result = this.#handle.writev(arena, packet.start, packet.end - packet.start, packet.body!)
    if (result < 0) return this.#refused(packet, result)
    this.#stats.sent(1, result)
    packet.free()
  }

  /** `errno` is negative. The interface being down or short of memory is a drop, anything else the packet's fault. */
  #refused(packet: Packet, errno: number): void {
    this.refusal = errno
    this.#stats.increment(isDrop(-errno) ? LinkStat.txDropped : LinkStat.txErrors)
    this.#drop(packet, DropReason.DEV_TX_ERROR)
  }
}

function isDrop(errno: number): boolean {
  const { EIO, EBADFD, EAGAIN, ENOBUFS, ENOMEM } = Errno
  return errno === EIO || errno === EBADFD || errno === EAGAIN || errno === ENOBUFS || errno === ENOMEM
}
