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
} as const
export type InterfaceProperty = (typeof InterfaceProperty)[keyof typeof InterfaceProperty]

export interface TunOpenRequest {
  readonly devicePath: string
  /** Empty: the kernel chooses. */
  readonly name: string
  /** Bytes of `virtio_net_hdr` before each packet, in both directions; 0: none. */
  readonly vnetHeaderSize: number
  /** `TUN_F_*` bits; meaningful with a `virtio_net_hdr` only. */
  readonly offload: number
}

export interface TunOpenFailure {
  /** Negative. */
  readonly errno: number
  readonly syscall: string
}

export interface TunDriver {
  open(request: TunOpenRequest): TunHandle | TunOpenFailure
  /** Index of an interface of the present network namespace, or a negative errno. */
  interfaceIndex(name: string): number
  /**
   * Makes packet memory known; the number is what descriptors name it by. Memory is not kept alive, and a
   * transferred (detached) buffer is refused piece by piece (`EFAULT`).
   */
  registerArena(buffer: ArrayBuffer): number
}

/**
 * Told of a batch of `n` packets. The time at which it was read is that of the machine's monotonic clock, in seconds and
 * nanoseconds (small integers, for which nothing is allocated); a driver that has no cheap way to tell leaves it out.
 */
export type ReadCallback = (n: number, errno: number, seconds?: number, nanoseconds?: number) => void

/**
 * One open device. Descriptors are triples of (arena, offset, length) in a `Uint32Array`; both directions use
 * them, so that no view object is made for a packet.
 */
export interface TunHandle {
  /** As the kernel gave it at opening. */
  readonly name: string
  readonly fd: number
  /**
   * Reads packets, one per descriptor and `maxBatch` at most, then calls back once, from the event loop. The
   * length of a descriptor is how much may be read before, and how much was read after; 0 means that there is
   * nothing to read into, and ends the batch. `errno` is positive if something else than "no more" ended it.
   */
  start(descriptors: Uint32Array, maxBatch: number, callback: ReadCallback): number
  /** Reads again after {@link pause}, or after a batch found no descriptor to read into. */
  resume(): number
  /** Reads nothing; the kernel's queue fills. The interface's end is still reported. */
  pause(): number
  /** Throws away up to `limit` waiting packets; how many. */
  discard(limit: number): number
  /** Writes `n` packets, going on after a refused one. `status`: bytes or negative errno. Returns how many went. */
  writeBatch(descriptors: Uint32Array, n: number, status: Int32Array): number
  /** Writes one packet that goes on in `body`. Bytes or negative errno. */
  writev(arena: number, offset: number, length: number, body: Uint8Array): number
  getProperty(property: InterfaceProperty): number
  setProperty(property: InterfaceProperty, value: number): number
  /** Whether an open device keeps the event loop alive; it does unless told otherwise. */
  ref(): void
  unref(): void
  /** At once; safe inside the callback, and twice. */
  close(): void
}
