/**
 * What a device can't do, done in software at the last moment: between the queue and the driver (Linux's
 * `validate_xmit_skb`). Super-segments are cut and checksums completed here and nowhere above, so that the stack
 * never asks what a device can do. A super-segment stays at the head of the queue until the last of its segments
 * is with the driver: so bursts stay bounded, and a driver that has enough stops it in the middle.
 */
import { Segmenter } from '../offload/segmenter.ts'
import type { Burst, PacketQueue } from '../packet/burst.ts'
import { completeChecksum } from '../packet/complete-checksum.ts'
import { Checksum, Gso, HEADROOM, type Packet } from '../packet/packet.ts'
import { DropReason } from '../wire/drop-reason.ts'
import type { LinkFeatures } from './link-device.ts'

/** True if the device takes this super-segment as it is. */
function takesWhole(packet: Packet, features: LinkFeatures): boolean {
  if (!features.checksum || packet.length > features.gsoMaxSize) return false
  switch (packet.gsoType) {
    case Gso.NONE:
      return false
    case Gso.TCPV4:
    case Gso.TCPV6:
      // No device promises to keep identifications as they are (Linux: NETIF_F_TSO_MANGLEID).
      return features.tso && !packet.gsoFixedId && (features.tsoEcn || !packet.gsoEcn)
    case Gso.UDP_L4:
      return features.uso
  }
}

export class SoftwareOffload {
  readonly #segmenter = new Segmenter()
  /** Counts a packet that can't be sent, and frees it. */
  readonly #drop: (packet: Packet, reason: number) => void

  constructor(drop: (packet: Packet, reason: number) => void) {
    this.#drop = drop
  }

  /** Moves what waits into `burst`, in a form that the device takes, until the burst is full or nothing waits. */
  fill(queue: PacketQueue, burst: Burst, features: LinkFeatures): void {
    while (!burst.full) {
      const packet = queue.shift()
      if (packet === null) return
      if (packet.gsoSize !== 0 && !takesWhole(packet, features)) {
        if (!this.#cut(packet, burst, features)) queue.unshift(packet)
      } else if (packet.body !== null && !features.gather) {
        const whole = this.#copy(packet)
        if (whole !== null) queue.unshift(whole)
      } else if (packet.checksum === Checksum.PARTIAL && !features.checksum) {
        const completed = this.#complete(packet)
        if (completed !== null) burst.push(completed)
      } else {
        burst.push(packet)
      }
    }
  }

  /** The queue was emptied: what was being cut is gone. */
  forget(): void {
    this.#segmenter.forget()
  }

  /** Goes on cutting the packet, or begins with it; `false` if the burst is full before it is done with. */
  #cut(packet: Packet, burst: Burst, features: LinkFeatures): boolean {
    const segmenter = this.#segmenter
    if (segmenter.packet !== packet && !segmenter.begin(packet, !features.checksum)) {
      this.#drop(packet, DropReason.SKB_GSO_SEG)
      return true
    }
    while (segmenter.packet !== null) {
      if (burst.full) return false
      const segment = segmenter.next()
      if (segment === null) {
        segmenter.forget()
        this.#drop(packet, DropReason.NOMEM)
        return true
      }
      burst.push(segment)
    }
    packet.free()
    return true
  }

  /** The packet with its checksum; in bytes of its own if others share them, who still take the sum for partial. */
  #complete(packet: Packet): Packet | null {
    if (packet.slab.references === 1) {
      completeChecksum(packet)
      return packet
    }
    const copy = this.#copy(packet)
    if (copy !== null) completeChecksum(copy)
    return copy
  }

  /** The packet in one piece, and in bytes of its own. */
  #copy(packet: Packet): Packet | null {
    const copy = packet.pool.copy(packet, HEADROOM)
    if (copy === null) {
      this.#drop(packet, DropReason.NOMEM)
      return null
    }
    packet.free()
    return copy
  }
}
