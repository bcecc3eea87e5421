/**
 * The stack's side of a device, for tests: it collects what the device hands up, fetches what waits when told to,
 * and notes each call that the contract of `LinkDevice` forbids.
 */
import type { LinkDevice, LinkHost } from '../../lib/device/link-device.ts'
import { BURST_SIZE, Burst } from '../../lib/packet/burst.ts'
import type { Packet } from '../../lib/packet/packet.ts'
import { PacketPool } from '../../lib/packet/packet-pool.ts'
import type { Clock } from '../../lib/time/clock.ts'
import { VirtualClock } from '../../lib/time/virtual-clock.ts'

export class TestHost implements LinkHost {
  readonly pool: PacketPool
  readonly clock: Clock
  /** What came in, oldest first; ours until {@link takeReceived} frees it. */
  readonly received: Packet[] = []
  /** Reasons of what died inside the device. */
  readonly dropped: number[] = []
  /** Calls that the contract forbids. */
  readonly violations: string[] = []
  wakes = 0
  changes = 0
  scheduled = false
  #device: LinkDevice | null = null
  #transmitting = false
  #closed = false

  constructor(pool: PacketPool = new PacketPool(), clock: Clock = new VirtualClock()) {
    this.pool = pool
    this.clock = clock
  }

  connect(device: LinkDevice): this {
    this.#device = device
    device.attach(this)
    return this
  }

  /** From here on, whatever comes up is a violation. */
  expectSilence(): void {
    this.#closed = true
  }

  receive(burst: Burst): void {
    if (this.#transmitting) this.violations.push('receive() inside transmit()')
    if (this.#closed) this.violations.push('receive() after close()')
    for (let i = 0; i < burst.length; i++) this.received.push(burst.packets[i]!)
    burst.clear()
  }

  schedule(): void {
    this.scheduled = true
  }

  wake(): void {
    if (this.#transmitting) this.violations.push('wake() inside transmit()')
    this.wakes++
  }

  changed(): void {
    this.changes++
  }

  drop(packet: Packet, reason: number): void {
    this.dropped.push(reason)
    packet.free()
  }

  packet(bytes: Uint8Array): Packet {
    return this.pool.from(bytes)!
  }

  /** Offers the packets, a burst at a time, and gives back those that the device did not take. */
  send(packets: Packet[]): Packet[] {
    const burst = new Burst()
    for (let at = 0; at < packets.length; at += BURST_SIZE) {
      const part = packets.slice(at, at + BURST_SIZE)
      for (const packet of part) burst.push(packet)
      this.#transmitting = true
      const taken = this.#device!.transmit(burst)
      this.#transmitting = false
      burst.clear()
      if (taken < part.length) return packets.slice(at + taken)
    }
    return []
  }

  sendBytes(...contents: Uint8Array[]): Packet[] {
    return this.send(contents.map((bytes) => this.packet(bytes)))
  }

  /** Fetches what waits, at most `limit` bursts, if the device asked for it. */
  poll(limit = Infinity): void {
    const burst = new Burst()
    for (let polls = 0; this.scheduled && polls < limit; polls++) {
      this.scheduled = this.#device!.poll!(burst)
      this.receive(burst)
    }
  }

  /** The bytes of what came in, all of it freed. */
  takeReceived(): Uint8Array[] {
    this.poll()
    return this.received.splice(0).map((packet) => {
      const bytes = packet.toUint8Array()
      packet.free()
      return bytes
    })
  }
}

/** A packet of `length` bytes that begins like IPv4 and is told from others by `id`. */
export function numbered(id: number, length = 40): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length)
  bytes[0] = 0x45
  bytes[4] = id >>> 8
  bytes[5] = id
  return bytes
}

export function numberOf(bytes: Uint8Array): number {
  return (bytes[4]! << 8) | bytes[5]!
}
