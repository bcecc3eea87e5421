/**
 * What a way of reaching the kernel's TUN driver has to offer. One implementation is the project's own addon
 * ({@link file://./addon.ts}); another (an FFI) can stand beside it. Failures of the system are results, not
 * exceptions: a negative errno, which the callers turn into errors for people.
 */

/** What can be asked of, and set on, the kernel's side of the link. The numbers are those of the addon. */
export const InterfaceProperty = {
  /** Read only. */
  INDEX: 0,
  /** `IFF_*` bits. */
  FLAGS: 1,
  /** Bytes. */
  MTU: 2,
  /** IPv4, unsigned, in host byte order; so are the next two. */
  ADDRESS: 3,
  NETMASK: 4,
  PEER: 5,
  /** Packets that wait until they are read (`txqueuelen`). */
  TX_QUEUE: 6,
  /** Write only, as are the next two: 1 keeps the interface when the device is closed. */
  PERSIST: 7,
  OWNER: 8,
  GROUP: 9,
  /** `TUN_F_*` bits: what the kernel may leave undone in what it gives; see {@link TunFlag}. */
  OFFLOAD: 10,
  /** Write only: adds a default route by this gateway over the interface. */
  ROUTE: 11,
  /** Write only: brings `lo` of the interface's namespace up. */
  LOOPBACK: 12,
} as const
export type InterfaceProperty = (typeof InterfaceProperty)[keyof typeof InterfaceProperty]

/** `TUN_F_*` of Linux. */
export const TunFlag = { CSUM: 0x1, TSO4: 0x2, TSO6: 0x4, TSO_ECN: 0x8, USO4: 0x20, USO6: 0x40 } as const

/** Bytes of the `virtio_net_hdr` before each packet, and how far apart they lie in an array of them. */
export const VNET_HEADER_SIZE = 10
export const VNET_HEADER_STRIDE = 12

/** Added to the length of what is written: the {@link VNET_HEADER_SIZE} bytes before it are nobody's. */
export const ROOM_BEFORE = 0x80000000

export interface TunOpenRequest {
  readonly devicePath: string
  /** Empty: the kernel chooses. */
  readonly name: string
  /** Each packet has a `virtio_net_hdr` before it, in both directions (`IFF_VNET_HDR`). */
  readonly vnetHeader: boolean
  /** Path of the network namespace to open it in; empty or absent: the present one. */
  readonly namespace?: string
}

export interface TunOpenFailure {
  /** Negative. */
  readonly errno: number
  readonly syscall: string
}

export interface TunDriver {
  readonly kind: 'addon' | 'koffi'
  open(request: TunOpenRequest): TunHandle | TunOpenFailure
  /** Index of an interface of the present network namespace, or a negative errno. */
  interfaceIndex(name: string): number
  /**
   * Makes packet memory known; the number is what descriptors name it by. Memory is not kept alive, and a
   * transferred (detached) buffer is refused piece by piece (`EFAULT`).
   */
  registerArena(buffer: ArrayBuffer): number
}

/** Where received packets are put. Descriptors are triples of (arena, offset, length), here as in sending. */
export interface ReceiveRing {
  /**
   * One packet each. The length is how much may be read before, and how much was read after; 0 ends the batch. With
   * headers, the {@link VNET_HEADER_SIZE} bytes before each piece, small or large, may be overwritten.
   */
  readonly descriptors: Uint32Array
  /** The packets' `virtio_net_hdr`, {@link VNET_HEADER_STRIDE} bytes each; `null` on a device without them. */
  readonly headers: Uint8Array | null
  /**
   * Large pieces, or `null`. A packet longer than its piece is put wholly into the next of them, and its own
   * piece stays empty. The batch ends with the last of them; without any, what is too long is cut.
   */
  readonly spill: Uint32Array | null
  /** Packets per callback. */
  readonly maxBatch: number
  /** How long to look for another packet after the last one before the event loop may sleep; 0: not at all. */
  readonly busyMicroseconds: number
}

/**
 * Told of a batch of `n` packets. The time at which it was read is that of the machine's monotonic clock, in seconds and
 * nanoseconds (small integers, for which nothing is allocated); a driver that has no cheap way to tell leaves it out.
 */
export type ReadCallback = (n: number, errno: number, seconds?: number, nanoseconds?: number) => void

/**
 * One open device. Both directions name memory by descriptors in a `Uint32Array`, so that no view object is made
 * for a packet.
 */
export interface TunHandle {
  /** As the kernel gave it at opening. */
  readonly name: string
  readonly fd: number
  /**
   * Reads packets, `maxBatch` at most, then calls back once, from the event loop. `errno` is positive if something
   * else than "no more" ended it.
   */
  start(ring: ReceiveRing, callback: ReadCallback): number
  /** Reads again after {@link pause}, or after a batch found no descriptor to read into. */
  resume(): number
  /** Reads nothing; the kernel's queue fills. The interface's end is still reported. */
  pause(): number
  /** Throws away up to `limit` waiting packets; how many. */
  discard(limit: number): number
  /**
   * Writes `n` packets, going on after a refused one. A length may have {@link ROOM_BEFORE}: then the header may be put
   * there, which saves the kernel a piece. `headers`: as in {@link ReceiveRing}, or `null` if all are zero.
   * `bodies`: what follows each packet, or `null` if none has a body. `status`: bytes or negative errno. Returns how
   * many went.
   */
  writeBatch(
    descriptors: Uint32Array,
    headers: Uint8Array | null,
    bodies: readonly (Uint8Array | null)[] | null,
    n: number,
    status: Int32Array,
  ): number
  /** System calls that read, or wrote, so far. */
  systemCalls(written: boolean): number
  getProperty(property: InterfaceProperty): number
  setProperty(property: InterfaceProperty, value: number): number
  /** Whether an open device keeps the event loop alive; it does unless told otherwise. */
  ref(): void
  unref(): void
  /** At once; safe inside the callback, and twice. */
  close(): void
}
