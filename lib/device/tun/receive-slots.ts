/**
 * The packets that a TUN device reads into. Each of the {@link BURST_SIZE} slots is a packet of the stack's pool that
 * holds what the MTU lets through; a few large ones stand by for super-segments, and one of them is taken only
 * when a packet does not fit its slot. So small packets go round in few cache-warm slabs, and a full batch pins no more
 * than its bytes. Where packets are read to first is the driver's business.
 */
import { BURST_SIZE, type Burst } from '../../packet/burst.ts'
import { HEADROOM, type Packet } from '../../packet/packet.ts'
import type { PacketPool } from '../../packet/packet-pool.ts'
import { DropReason } from '../../wire/drop-reason.ts'
import { arenaId } from './arena-id.ts'
import type { TunDriver } from './driver.ts'
import { VirtioHeaders } from './virtio-header.ts'

/** Large slots: more gain nothing (docs/tun.md has the figures). */
const SPILL_SLOTS = 8
/** What a large slot holds: one byte more than the largest IP packet. */
const LARGEST = 65536
/** A slot is no larger, headroom included; what is above goes to the large ones. */
const SLOT_LIMIT = 10240
const SMALL_SLOT = 2048 - HEADROOM

export class ReceiveSlots {
  readonly descriptors: Uint32Array = new Uint32Array(3 * BURST_SIZE)
  readonly spill: Uint32Array = new Uint32Array(3 * SPILL_SLOTS)
  readonly headers: VirtioHeaders | null
  /** Packets of the last batch that had lost their end, and that did not fit their header. */
  cut = 0
  lying = 0
  /** Super-segments so far. */
  superSegments = 0
  readonly #driver: TunDriver
  readonly #drop: (packet: Packet, reason: number) => void
  /** Packets that are being read into, at the place of their descriptor; `null` where the pool gave none. */
  readonly #packets: (Packet | null)[] = new Array<Packet | null>(BURST_SIZE).fill(null)
  readonly #large: (Packet | null)[] = new Array<Packet | null>(SPILL_SLOTS).fill(null)
  #empty = BURST_SIZE
  #spare = 0
  /** Bytes that a slot must hold: one more than the largest packet meant for it, so that a full slot means a cut packet. */
  #size = 0
  #spilling = false

  /** @param drop counts a packet whose header lies, and frees it */
  constructor(driver: TunDriver, vnetHeader: boolean, drop: (packet: Packet, reason: number) => void) {
    this.#driver = driver
    this.headers = vnetHeader ? new VirtioHeaders(BURST_SIZE) : null
    this.#drop = drop
  }

  /** Makes room for packets of that MTU. True if the slots are others now, and want {@link fill}. */
  resize(mtu: number): boolean {
    const large = mtu + 1 + HEADROOM > SLOT_LIMIT
    const size = large ? SMALL_SLOT : mtu + 1
    if (size === this.#size) return false
    this.release()
    this.#size = size
    this.#spilling = large || this.headers !== null
    return true
  }

  /** Gives every slot a packet to read into; false if the pool had none at all. */
  fill(pool: PacketPool): boolean {
    const packets = this.#packets
    for (let i = 0; this.#empty > 0; i++) {
      if (packets[i] !== null) continue
      const packet = pool.allocate(this.#size)
      if (packet === null) return this.#closeGaps(i)
      packets[i] = packet
      this.#arm(i)
      this.#empty--
    }
    if (this.#spilling && this.#spare < SPILL_SLOTS) this.#fillLarge(pool)
    return true
  }

  /** Moves the first `n` packets, which have been read, into the burst; bytes in all. */
  harvest(n: number, burst: Burst): number {
    const { descriptors, headers } = this
    const spare = this.#spare
    let taken = 0
    let bytes = 0
    this.cut = 0
    this.lying = 0
    for (let i = 0; i < n; i++) {
      let packet = this.#packets[i]!
      const length = descriptors[3 * i + 2]!
      const room = packet.slab.end - packet.start
      if (length > room) {
        descriptors[3 * i + 2] = room
        packet = this.#large[taken]!
        this.#large[taken] = null
        this.spill[3 * taken++ + 2] = 0
      } else {
        this.#packets[i] = null
        descriptors[3 * i + 2] = 0
        this.#empty++
        if (length === room && spare === 0) {
          this.cut++
          packet.free()
          continue
        }
      }
      packet.end = packet.start + length
      packet.networkHeader = packet.start
      if (headers !== null && !headers.read(i, packet)) {
        this.lying++
        this.#drop(packet, DropReason.DEV_HDR)
        continue
      }
      if (packet.gsoSize > 0) this.superSegments++
      bytes += length
      burst.push(packet)
    }
    this.#spare -= taken
    return bytes
  }

  /** Whether the next packet has a slot. */
  get ready(): boolean {
    return this.descriptors[2]! > 0
  }

  release(): void {
    for (const packets of [this.#packets, this.#large]) {
      for (let i = 0; i < packets.length; i++) {
        const packet = packets[i]!
        if (packet === null) continue
        packets[i] = null
        packet.free()
      }
    }
    this.descriptors.fill(0)
    this.spill.fill(0)
    this.#empty = BURST_SIZE
    this.#spare = 0
  }

  /**
   * Lets go of slots whose memory was transferred to another thread; how many. Their slabs must not go back to the
   * pool, which would hand them out again.
   */
  dropDetached(): number {
    let dropped = 0
    for (let i = 0; i < BURST_SIZE; i++) {
      if (this.#packets[i] === null || this.#packets[i]!.bytes.length > 0) continue
      this.#packets[i] = null
      this.descriptors[3 * i + 2] = 0
      this.#empty++
      dropped++
    }
    for (let i = 0; i < SPILL_SLOTS; i++) {
      if (this.#large[i] === null || this.#large[i]!.bytes.length > 0) continue
      this.#large[i] = null
      this.#spare--
      dropped++
    }
    this.#compactLarge()
    return dropped
  }

  #arm(i: number): void {
    describe(this.descriptors, i, this.#driver, this.#packets[i]!)
  }

  /** The driver takes leading slots only. */
  #closeGaps(first: number): boolean {
    const packets = this.#packets
    let to = first
    for (let from = first + 1; from < BURST_SIZE; from++) {
      if (packets[from] === null) continue
      packets[to] = packets[from]!
      packets[from] = null
      this.descriptors[3 * from + 2] = 0
      this.#arm(to++)
    }
    return to > 0
  }

  /** In the places of those that were taken, so that the slabs freed last are read into first. */
  #fillLarge(pool: PacketPool): void {
    for (let i = 0; i < SPILL_SLOTS; i++) {
      if (this.#large[i] !== null) continue
      const packet = pool.allocate(LARGEST)
      if (packet === null) return this.#compactLarge()
      this.#large[i] = packet
      describe(this.spill, i, this.#driver, packet)
      this.#spare++
    }
  }

  #compactLarge(): void {
    const large = this.#large.filter((packet) => packet !== null)
    this.#large.fill(null)
    this.spill.fill(0)
    large.forEach((packet, i) => {
      this.#large[i] = packet
      describe(this.spill, i, this.#driver, packet)
    })
  }
}

function describe(descriptors: Uint32Array, i: number, driver: TunDriver, packet: Packet): void {
  descriptors[3 * i] = arenaId(driver, packet.slab.arena)
  descriptors[3 * i + 1] = packet.start
  descriptors[3 * i + 2] = packet.slab.end - packet.start
}
