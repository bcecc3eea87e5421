/**
 * The loopback device: what is put on its transmit queue is on its receive queue, and that is all it does. It
 * alters nothing: mark, checksum state, super-segments and the routing decision come back as they went in
 * (Linux's `drivers/net/loopback.c`). The stack fetches packets with `poll` once it is done with what it is
 * doing, so that the answer to a packet never nests in the sending of it.
 */
import type { Burst } from '../packet/burst.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { type LinkFeatures, LinkFlag } from './link-device.ts'
import { LinkStat } from './link-stats.ts'
import { SoftwareDevice } from './software-device.ts'

export interface LoopbackOptions {
  name?: string
  /** Bytes; 65536 as on Linux. */
  mtu?: number
  /** Packets that may wait on the receive queue (`net.core.netdev_max_backlog`). */
  backlog?: number
}

const FEATURES: LinkFeatures = {
  // Nobody computes the sum and nobody needs it: `Checksum.PARTIAL` comes back in as it went out. What a raw
  // socket sent complete is verified on input all the same, as by Linux.
  checksum: true,
  tso: true,
  tsoEcn: true,
  uso: true,
  gather: false,
  gsoMaxSize: 65536,
  receiveChecksumGood: false,
}

export class Loopback extends SoftwareDevice {
  /** @throws TunstackError `EINVAL` for a name, an MTU or a backlog that cannot be */
  constructor({ name = 'lo', mtu = 65536, backlog = 1000 }: LoopbackOptions = {}) {
    super({
      name,
      type: 'loopback',
      flags: LinkFlag.LOOPBACK,
      mtu,
      minMtu: 0, // below 68 IPv4 goes off the device, but the device takes it
      maxMtu: 0x7fffffff,
      features: FEATURES,
      qdisc: 'noqueue',
      receiveQueue: backlog,
    })
  }

  /** Linux counts a packet in both directions when it is queued, and one that finds no room in `rx_dropped`. */
  override transmit(burst: Burst): number {
    if (!this.open) return this.refuse(burst)
    for (let i = 0; i < burst.length; i++) {
      const packet = burst.packets[i]!
      const { length } = packet
      if (this.received.push(packet)) {
        this.stats.sent(1, length)
        this.stats.received(1, length)
      } else {
        this.drop(packet, LinkStat.rxDropped, DropReason.CPU_BACKLOG)
      }
    }
    this.host!.schedule()
    return burst.length
  }
}
