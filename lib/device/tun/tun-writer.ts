/**
 * The sending side of a TUN device: writes a burst in one native call, whatever is in it. Each packet goes as up to
 * three pieces: its `virtio_net_hdr`, its bytes, and a body that lies elsewhere. The header lies in an array of its own
 * and is put in front of the bytes, into one piece with them, only where nobody else has the memory before them.
 */
import { Errno } from '../../errors.ts'
import { BURST_SIZE, type Burst } from '../../packet/burst.ts'
import { completeChecksum } from '../../packet/complete-checksum.ts'
import { Checksum, type Packet } from '../../packet/packet.ts'
import { DropReason } from '../../wire/drop-reason.ts'
import { LinkStat, type LinkStats } from '../link-stats.ts'
import { arenaId } from './arena-id.ts'
import { ROOM_BEFORE, type TunDriver, type TunHandle, VNET_HEADER_SIZE } from './driver.ts'
import type { IoCounters } from './tun-io.ts'
import { VirtioHeaders } from './virtio-header.ts'

export class TunWriter {
  /** Negative errno of the last packet that the kernel refused; 0 if it never did. */
  refusal = 0
  readonly #driver: TunDriver
  readonly #handle: TunHandle
  readonly #stats: LinkStats
  readonly #io: IoCounters
  readonly #drop: (packet: Packet, reason: number) => void
  readonly #headers: VirtioHeaders | null
  readonly #sending: (Packet | null)[] = new Array<Packet | null>(BURST_SIZE).fill(null)
  readonly #bodies: (Uint8Array | null)[] = new Array<Uint8Array | null>(BURST_SIZE).fill(null)
  readonly #descriptors = new Uint32Array(3 * BURST_SIZE)
  readonly #status = new Int32Array(BURST_SIZE)
  #queued = 0
  #withHeaders = false
  #withBodies = false

  /** @param drop counts a packet that the kernel refused, and frees it */
  constructor(
    driver: TunDriver,
    handle: TunHandle,
    vnetHeader: boolean,
    stats: LinkStats,
    io: IoCounters,
    drop: (packet: Packet, reason: number) => void,
  ) {
    this.#driver = driver
    this.#handle = handle
    this.#headers = vnetHeader ? new VirtioHeaders(BURST_SIZE) : null
    this.#stats = stats
    this.#io = io
    this.#drop = drop
  }

  /** Sends the burst's first `n` packets in order, and frees them. */
  write(burst: Burst, n: number): void {
    const { packets } = burst
    const descriptors = this.#descriptors
    for (let i = 0; i < n; i++) {
      const packet = packets[i]!
      if (packet.gsoSize > 0 || packet.checksum === Checksum.PARTIAL || packet.body !== null) {
        return this.#writeMixed(burst, n)
      }
      const { arena } = packet.slab
      descriptors[3 * i] = arena.driverHandle < 0 ? arenaId(this.#driver, arena) : arena.driverHandle
      descriptors[3 * i + 1] = packet.start
      descriptors[3 * i + 2] = this.#lengthOf(packet)
    }
    const status = this.#status
    const written = this.#handle.writeBatch(descriptors, null, null, n, status)
    let bytes = 0
    for (let i = 0; i < n; i++) {
      const packet = packets[i]!
      if (status[i]! >= 0) {
        bytes += status[i]!
        packet.free()
      } else {
        this.#refused(packet, status[i]!)
      }
    }
    this.#io.sent(n)
    this.#stats.sent(written, bytes)
  }

  /** The same for bursts with super-segments, open checksums or bodies among them. */
  #writeMixed(burst: Burst, n: number): void {
    const headers = this.#headers
    for (let i = 0; i < n; i++) {
      const packet = burst.packets[i]!
      if (headers !== null) {
        if (headers.write(this.#queued, packet)) this.#withHeaders = true
        this.#enqueue(packet)
      } else if (packet.gsoSize > 0) {
        // The stack cuts these itself before it gives them to a device that says it cannot.
        this.#refused(packet, -Errno.EINVAL)
      } else if (packet.checksum === Checksum.PARTIAL) {
        this.#sendCompleted(packet)
      } else {
        this.#enqueue(packet)
      }
    }
    this.#flush()
  }

  /** With what the driver may know of the bytes before: that they are in the packet's own slab, and in nobody else's use. */
  #lengthOf(packet: Packet): number {
    const { slab, start, end } = packet
    const free = this.#headers !== null && slab.references === 1 && start - slab.start >= VNET_HEADER_SIZE
    return free ? end - start + ROOM_BEFORE : end - start
  }

  #enqueue(packet: Packet): void {
    const i = this.#queued++
    const descriptors = this.#descriptors
    this.#sending[i] = packet
    descriptors[3 * i] = arenaId(this.#driver, packet.slab.arena)
    descriptors[3 * i + 1] = packet.start
    descriptors[3 * i + 2] = this.#lengthOf(packet)
    if (packet.body !== null) {
      this.#bodies[i] = packet.body
      this.#withBodies = true
    }
  }

  /** Writes what is queued, and frees it. */
  #flush(): void {
    const n = this.#queued
    if (n === 0) return
    const headers = this.#withHeaders ? this.#headers!.bytes : null
    const bodies = this.#withBodies ? this.#bodies : null
    const status = this.#status
    const written = this.#handle.writeBatch(this.#descriptors, headers, bodies, n, status)
    this.#io.sent(n)
    this.#queued = 0
    this.#withHeaders = false
    if (this.#withBodies) this.#bodies.fill(null, 0, n)
    this.#withBodies = false
    let bytes = 0
    for (let i = 0; i < n; i++) {
      const packet = this.#sending[i]!
      this.#sending[i] = null
      if (status[i]! >= 0) {
        bytes += status[i]!
        if (packet.gsoSize > 0) this.#io.txSuperSegments++
        packet.free()
      } else {
        this.#refused(packet, status[i]!)
      }
    }
    this.#stats.sent(written, bytes)
  }

  /** A packet whose checksum is still to be computed, on a device that leaves that to nobody else. */
  #sendCompleted(packet: Packet): void {
    const field = packet.checksumStart + packet.checksumOffset
    const { bytes } = packet
    const high = bytes[field]!
    const low = bytes[field + 1]!
    const shared = packet.slab.references > 1
    // Whoever shares the bytes still takes the field for the pseudo-header sum: put it back after the write.
    if (shared) this.#flush()
    completeChecksum(packet)
    this.#enqueue(packet)
    if (!shared) return
    this.#flush()
    bytes[field] = high
    bytes[field + 1] = low
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
