/**
 * What moving packets between the kernel and a TUN device cost: calls of the event loop, system calls, bursts. How
 * many packets and bytes went is in {@link LinkStats}, which counts as `ip -s link` does.
 */

/** A snapshot, as {@link TunDevice.io} gives it. */
export interface TunIo {
  /** Calls from the event loop that brought packets, and packets in the largest of them. */
  readonly rxBursts: number
  readonly rxLargestBurst: number
  /** `read()` (koffi: `readv()`), those that found nothing included; with busy polling also its `poll()`. */
  readonly rxSystemCalls: number
  /** TCP and UDP super-segments among `rxPackets`: each counts there as one packet, as with the kernel. */
  readonly rxSuperSegments: number
  /** Packets whose `virtio_net_hdr` did not fit them; also in `rxErrors` and `rxFrameErrors`. */
  readonly rxBadHeaders: number
  /** Native calls that sent packets, and packets in the largest of them. */
  readonly txBursts: number
  readonly txLargestBurst: number
  readonly txSystemCalls: number
  readonly txSuperSegments: number
  /** How often the stack had to keep packets in its queue until the next turn of the event loop. */
  readonly txHeld: number
}

/** The counters behind it. */
export class IoCounters {
  rxBursts = 0
  rxLargestBurst = 0
  rxBadHeaders = 0
  txBursts = 0
  txLargestBurst = 0
  txSuperSegments = 0
  txHeld = 0

  received(packets: number): void {
    this.rxBursts++
    if (packets > this.rxLargestBurst) this.rxLargestBurst = packets
  }

  sent(packets: number): void {
    this.txBursts++
    if (packets > this.txLargestBurst) this.txLargestBurst = packets
  }
}
