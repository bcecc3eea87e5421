/**
 * The contract of a network device: what every driver, wire and decorator implements, and all that the stack
 * knows of it. A device moves bursts of IP packets (no link-layer header) between a queue of its own and the
 * host that it is attached to. Capture, impairment and rate limiting wrap a device and give a device.
 */
import type { Burst } from '../packet/burst.ts'
import type { Packet } from '../packet/packet.ts'
import type { PacketPool } from '../packet/packet-pool.ts'
import type { Clock } from '../time/clock.ts'
import type { LinkStats } from './link-stats.ts'

/** `ifi_type` as `ip link` names it. */
export type LinkType = 'loopback' | 'none'

/** Interface flags that belong to the kind of device (`IFF_*` of Linux, same bits). */
export const LinkFlag = {
  UP: 0x1,
  BROADCAST: 0x2,
  LOOPBACK: 0x8,
  POINTOPOINT: 0x10,
  NOTRAILERS: 0x20,
  NOARP: 0x80,
  PROMISC: 0x100,
  ALLMULTI: 0x200,
  MULTICAST: 0x1000,
  DYNAMIC: 0x8000,
} as const

/** What a device does for the stack. All false: it takes packets within its MTU with every checksum in place. */
export interface LinkFeatures {
  /** It completes `Checksum.PARTIAL` itself (or hands it on to who does). */
  readonly checksum: boolean
  /** It takes TCP super-segments up to `gsoMaxSize`. */
  readonly tso: boolean
  /** It takes those among them whose first segment alone has CWR (`NETIF_F_TSO_ECN`). */
  readonly tsoEcn: boolean
  /** It takes UDP super-segments (`UDP_SEGMENT`). */
  readonly uso: boolean
  /** It takes packets with a body elsewhere (`NETIF_F_SG`). */
  readonly gather: boolean
  /** Largest packet with GSO in bytes. */
  readonly gsoMaxSize: number
  /** What it receives needs no checksum verification (nothing can have damaged it). */
  readonly receiveChecksumGood: boolean
}

export const NO_FEATURES: LinkFeatures = {
  checksum: false,
  tso: false,
  tsoEcn: false,
  uso: false,
  gather: false,
  gsoMaxSize: 65535,
  receiveChecksumGood: false,
}

/** The side of the stack that a device talks to. */
export interface LinkHost {
  /** Where received packets are allocated. */
  readonly pool: PacketPool
  readonly clock: Clock
  /**
   * Hands received packets up; the stack owns them and the burst is empty afterwards. Only ever called from
   * the event loop, never from inside {@link LinkDevice.transmit}: there a device calls {@link schedule}.
   * @param now the stack's time, if the device knows it already
   */
  receive(burst: Burst, now?: number): void
  /** Asks for {@link LinkDevice.poll}: at the end of the present burst, or soon. Idempotent. */
  schedule(): void
  /** There is room again after {@link LinkDevice.transmit} took less than it was given. */
  wake(): void
  /** Carrier or MTU changed, or the device is gone (`gone`). */
  changed(): void
  /** Counts a packet that dies inside the device under a {@link DropReason}, and frees it. Without it: `packet.free()`. */
  drop?(packet: Packet, reason: number): void
}

/**
 * A device. Ownership: {@link transmit} takes packets over; `receive` and `poll` give packets away. Nothing
 * here throws for a bad packet: it is counted in {@link stats} and freed.
 */
export interface LinkDevice {
  /** Name that the stack gives it unless told otherwise: `'tun0'`. 1…15 bytes without `/` or white space. */
  readonly name: string
  readonly type: LinkType
  /** {@link LinkFlag} bits but `UP`. */
  readonly flags: number
  /** Largest IP packet in bytes. */
  readonly mtu: number
  /** Smallest and largest MTU that {@link setMtu} takes. */
  readonly minMtu: number
  readonly maxMtu: number
  readonly features: LinkFeatures
  /** `qlen`: how many packets may wait in the stack for this device. */
  readonly txQueueLength: number
  /** Queueing discipline's name once it is up: `'noqueue'`, `'pfifo_fast'`. */
  readonly qdisc: string
  /** False while whoever is at the other end is missing (`NO-CARRIER`). */
  readonly carrier: boolean
  /** True once the device cannot be used any more (closed, or deleted under us). */
  readonly gone: boolean
  readonly stats: LinkStats

  /** Connects it to a stack; called once. Packets flow after {@link setUp}. */
  attach(host: LinkHost): void
  /** Administratively up or down (`ndo_open`, `ndo_stop`). Down: neither direction moves. */
  setUp(up: boolean): void
  /** @throws TunstackError `EINVAL`, `EOPNOTSUPP` */
  setMtu(mtu: number): void
  /**
   * Sends packets `0…n-1` of the burst, in order, and returns n; those are the device's from then on, the
   * others stay the caller's until {@link LinkHost.wake}.
   */
  transmit(burst: Burst): number
  /** Moves waiting packets into `burst` (which is empty); true if more wait. Only after {@link LinkHost.schedule}. */
  poll?(burst: Burst): boolean
  /** Lets go of everything at once; safe inside any callback, and twice. The promise says when it is over. */
  close(): Promise<void>
}
