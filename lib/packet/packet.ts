/**
 * A packet on its way through the stack: what `struct sk_buff` is to Linux. Its bytes are [start, end) of a
 * slab, with headroom before them so that headers are prepended in place, and optionally a body that stays
 * where the application wrote it. Beside the bytes it carries what is known about them: where the headers
 * begin, whether the checksum still has to be computed, how a super-segment is to be cut, and the routing
 * decision. A packet has exactly one owner at any time; who owns it hands it on or frees it, once.
 */
import type { PacketPool } from './packet-pool.ts'
import type { Slab } from './slab.ts'

/** What is known of the transport checksum (`ip_summed` of Linux). */
export const Checksum = {
  /** Nothing: verify it on input; on output it is complete. */
  NONE: 0,
  /** The device, or the sender on this machine, vouches for it. */
  UNNECESSARY: 1,
  /**
   * The field holds the pseudo-header sum only; whoever needs the rest sums from `checksumStart` to the end
   * and stores the result at `checksumStart + checksumOffset`.
   */
  PARTIAL: 2,
} as const
export type Checksum = (typeof Checksum)[keyof typeof Checksum]

/** How a super-segment is to be cut (`gso_type` of virtio and Linux). */
export const Gso = { NONE: 0, TCPV4: 1, UDP_L4: 2, TCPV6: 3 } as const
export type Gso = (typeof Gso)[keyof typeof Gso]

/** Room before the first byte of a new packet: the largest IPv4 header, a TCP header with options, virtio_net_hdr. */
export const HEADROOM = 144

/** How a packet came here, seen from this stack (`pkt_type` of Linux). */
export const PacketType = { HOST: 0, BROADCAST: 1, MULTICAST: 2, OTHERHOST: 3, OUTGOING: 4 } as const

/** The part of a routing decision that this layer may know; `route/` and, later, IPv6 have the whole. */
export interface Destination {
  /** Which address family decided. */
  readonly family: 4 | 6
}

/** What a packet may know of the device it arrived on or leaves by. */
export interface PacketDevice {
  readonly ifindex: number
  readonly name: string
}

/** Reused through its {@link PacketPool}; never constructed elsewhere. */
export class Packet {
  // In the order in which a packet's way asks for them, so that few cache lines are touched at first.
  /** The whole arena; this packet's bytes are `bytes[start…end)`. Valid until the packet is freed. */
  bytes!: Uint8Array<ArrayBuffer>
  /** The same memory in words of the machine's byte order, the first at offset 0. */
  words!: Int32Array<ArrayBuffer>
  start = 0
  end = 0
  slab!: Slab
  /** Bytes that follow [start, end), left where the application has them; `null` for most packets. */
  body: Uint8Array | null = null
  checksum: Checksum = Checksum.NONE
  type: number = PacketType.HOST
  /** The routing decision, kept across the loopback device as `skb_dst` is. */
  destination: Destination | null = null
  /** `fwmark`. */
  mark = 0
  /** The device it arrived on; on output the one it leaves by. */
  device: PacketDevice | null = null
  /** Index of the device it arrived on; 0 for what this host sends. */
  iif = 0
  /** Offset of the IP header in `bytes`. */
  networkHeader = 0
  /** Offset of the header above IP in `bytes`. */
  transportHeader = 0
  /** Payload bytes per segment; 0 if this is one segment. */
  gsoSize = 0
  /** Segments this counts for; 1 unless it is a super-segment. */
  gsoSegments = 1
  gsoType: Gso = Gso.NONE
  /** A super-segment whose first segment alone carries CWR (RFC 3168 §6.1.2). */
  gsoEcn = false
  /** Its segments all had the identification that it has itself (GRO found them so): cut again, they have it again. */
  gsoFixedId = false

  readonly pool: PacketPool
  /** @internal link of a queue or of the pool's free list */
  next: Packet | null = null
  /** @internal */
  allocated = false
  /** Told once when the last packet that refers to `body` is freed; sockets complete their write then. */
  bodyDone: (() => void) | null = null
  checksumStart = 0
  checksumOffset = 0
  /** Flow hash as a device or a sender gave it; 0 if there is none. */
  hash = 0
  /** It may be fragmented although it has DF: it was put together from fragments here (`ignore_df`). */
  ignoreDf = false
  /** Largest original fragment of a reassembled datagram, 0 otherwise (`frag_max_size`). */
  fragMaxSize = 0
  /** It came in by the device that it will leave by, and its sender could reach the next hop: redirect it (`IPSKB_DOREDIRECT`). */
  doRedirect = false

  /** @internal use {@link PacketPool} */
  constructor(pool: PacketPool) {
    this.pool = pool
  }

  /** Bytes in all, body included. */
  get length(): number {
    return this.end - this.start + (this.body === null ? 0 : this.body.length)
  }

  get headroom(): number {
    return this.start - this.slab.start
  }

  get tailroom(): number {
    return this.slab.end - this.end
  }

  /** True if nobody else shares the bytes, so that they may be rewritten in place. */
  get writable(): boolean {
    return this.slab.references === 1 && this.body === null
  }

  /** Prepends `n` bytes (their content is whatever was there) and returns the new start. */
  push(n: number): number {
    if (n > this.headroom) throw new RangeError(`no room for ${n} bytes before the packet (${this.headroom})`)
    this.start -= n
    return this.start
  }

  /** Removes `n` bytes at the front. */
  pull(n: number): void {
    this.start += n
  }

  /** Appends `n` bytes (their content is whatever was there) and returns the offset of the first. */
  put(n: number): number {
    const at = this.end
    if (n > this.tailroom) throw new RangeError(`no room for ${n} bytes behind the packet (${this.tailroom})`)
    this.end += n
    return at
  }

  /**
   * Forgets what a stack knew of it, so that it may cross into another (`skb_scrub_packet`). What is left is bytes, the
   * places of the headers, the state of the checksum, and how to cut a super-segment.
   */
  scrub(): void {
    this.device = null
    this.iif = 0
    this.type = PacketType.HOST
    this.destination = null
    this.mark = 0
    this.hash = 0
    this.ignoreDf = false
    this.fragMaxSize = 0
    this.doRedirect = false
  }

  /** Copies the bytes into `target` and returns how many. */
  copyTo(target: Uint8Array, at = 0): number {
    const head = this.bytes.subarray(this.start, this.end)
    target.set(head, at)
    if (this.body !== null) target.set(this.body, at + head.length)
    return this.length
  }

  /** Copies `length` bytes from `from` on, counted from the first, into `target`; the body goes on where the slab ends. */
  copyRange(from: number, length: number, target: Uint8Array, at: number): void {
    const begin = this.start + from
    const inHead = Math.max(0, Math.min(length, this.end - begin))
    if (inHead > 0) target.set(this.bytes.subarray(begin, begin + inHead), at)
    if (inHead === length) return
    const skip = begin + inHead - this.end
    target.set(this.body!.subarray(skip, skip + length - inHead), at + inHead)
  }

  /** The bytes as a new array; for tests, traces and other cold paths. */
  toUint8Array(): Uint8Array<ArrayBuffer> {
    const copy = new Uint8Array(this.length)
    this.copyTo(copy)
    return copy
  }

  /** Gives the packet back to its pool. Whoever drops one counts it first. */
  free(): void {
    this.pool.free(this)
  }
}
