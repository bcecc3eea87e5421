/**
 * A device as the stack sees it (Linux's `struct net_device`): an interface index and a name, flags, the
 * operational state, the queueing discipline's name, and the bounded queue in which packets wait for the
 * driver. The driver itself is a {@link LinkDevice}.
 */
import { TunstackError } from '../errors.ts'
import { BURST_SIZE, Burst, PacketQueue } from '../packet/burst.ts'
import { Checksum, type Packet, type PacketDevice } from '../packet/packet.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { type LinkDevice, LinkFlag } from './link-device.ts'
import { LinkStat } from './link-stats.ts'
import { SoftwareOffload } from './software-offload.ts'

/** `IF_OPER_*` of RFC 2863, in the order of their numbers, as `ip link` prints them. */
export const OPER_STATES = [
  'UNKNOWN',
  'NOTPRESENT',
  'DOWN',
  'LOWERLAYERDOWN',
  'TESTING',
  'DORMANT',
  'UP',
] as const
export type OperState = (typeof OPER_STATES)[number]

/** Sees every packet on a device, before the stack acts on it or after it left; must not keep it. */
export type PacketTap = (packet: Packet, device: NetDevice, outgoing: boolean) => void

/** What a device asks of the stack it belongs to. */
export interface NetDeviceOwner {
  /** Something waits in `txQueue`: flush at the end of the burst. */
  transmitPending(device: NetDevice): void
  /** Counts a packet that dies, and frees it. */
  drop(packet: Packet, reason: number, device: NetDevice | null): void
}

const IPV6_MIN_MTU = 1280

/** Queues of this many packets are more than the kernel can hold in one piece. */
export const QUEUE_TOO_LONG: number = 1 << 28

export class NetDevice implements PacketDevice {
  // What every packet looks at comes first, and lies in few cache lines.
  /** `IFF_UP`. Change it with the stack (`Interface.up()`), which moves routes too. */
  up = false
  /** The driver took less than it was given, and has not called wake() yet. */
  #stopped = false
  #flushing = false
  #pending = false
  readonly ifindex: number
  readonly taps: PacketTap[] = []
  readonly txQueue: PacketQueue
  /** The packets that go to the driver next; what comes after them is in `txQueue`. */
  readonly #staged = new Burst()
  #stageLimit: number
  readonly #owner: NetDeviceOwner
  readonly #offload = new SoftwareOffload((packet, reason) => this.#dropOutgoing(packet, reason))
  readonly link: LinkDevice
  /** Packets at the head of `txQueue` that the taps saw already: the driver had no room for them then. */
  #tapped = 0
  name: string
  /** Name of the queueing discipline: `noop` until the device was up once. */
  qdisc = 'noop'
  /** `group` of `ip link`. */
  group = 0
  /** {@link LinkFlag} bits but `UP`: the driver's, as they were changed since. */
  flags: number
  /** How often it was asked for all packets, and for all multicast ones. */
  promiscuity = 0
  allmulti = 0
  /** A text for whoever looks at it; `''` for none. */
  alias = ''
  /** As loopback had it set, in text; nobody else has an address of the link layer. */
  hardwareAddress: string | undefined = undefined
  hardwareBroadcast: string | undefined = undefined
  /** Whether what it receives is merged (`generic-receive-offload` of ethtool); never on loopback, where nothing was cut. */
  gro: boolean
  /** Bytes that SYNs forwarded by way of it announce as MSS at most; 0: whatever they say; −1: as the paths' MTUs allow. */
  mssClamp = 0
  /** How often carrier came or went since the device was attached (`transns` of `ip -s -s link`). */
  carrierChanges = 0
  /** `mode`: a dormant device does not count as up when its carrier comes, until somebody says so. */
  linkMode: 'DEFAULT' | 'DORMANT' = 'DEFAULT'
  /** Other names, of up to 127 bytes. The table of devices looks after them. */
  readonly altNames: string[] = []
  /** What `ip link set` was told, and only `ip link` tells again: here super-segments are the driver's. */
  gsoMaxSize: number
  gsoMaxSegs = 65535
  groMaxSize = 65536
  /** How addresses of IPv6 would be made, if it were on. */
  addrGenMode = 'eui64'
  #hadCarrier: boolean
  #operState: OperState = 'UNKNOWN'
  #txQueueLength: number
  /** Who waits for room in the queue. */
  #waiting: (() => void)[] = []

  constructor(link: LinkDevice, ifindex: number, name: string, owner: NetDeviceOwner) {
    this.link = link
    this.ifindex = ifindex
    this.name = name
    this.#owner = owner
    this.#hadCarrier = link.carrier
    this.flags = link.flags
    // It began with one, and lost it before anybody looked.
    if (!link.carrier) this.carrierChanges = 1
    const { gsoMaxSize } = link.features
    this.gsoMaxSize = gsoMaxSize === 65535 ? 65536 : gsoMaxSize
    this.gro = (link.flags & LinkFlag.LOOPBACK) === 0
    this.#txQueueLength = link.txQueueLength
    this.txQueue = new PacketQueue(link.txQueueLength)
    this.#stageLimit = Math.min(link.txQueueLength, BURST_SIZE)
  }

  get mtu(): number {
    return this.link.mtu
  }

  get isLoopback(): boolean {
    return (this.link.flags & LinkFlag.LOOPBACK) !== 0
  }

  /** `qlen`: how many packets may wait for the driver. With 0 there is room for one, on its way to the driver. */
  get txQueueLength(): number {
    return this.#txQueueLength
  }

  set txQueueLength(length: number) {
    this.#txQueueLength = length
    this.txQueue.limit = Math.max(1, length)
    this.#stageLimit = Math.min(this.txQueue.limit, BURST_SIZE)
  }

  /** `promisc on` and `off` of `ip link`: one voice among those who count in {@link promiscuity}. */
  setPromiscuous(on: boolean): void {
    if (((this.flags & LinkFlag.PROMISC) !== 0) === on) return
    this.flags ^= LinkFlag.PROMISC
    this.promiscuity += on ? 1 : -1
  }

  /** The same for all multicast packets. */
  setAllMulticast(on: boolean): void {
    if (((this.flags & LinkFlag.ALLMULTI) !== 0) === on) return
    this.flags ^= LinkFlag.ALLMULTI
    this.allmulti += on ? 1 : -1
  }

  /** Carrier: packets could leave (`IFF_LOWER_UP` once it is up). */
  get carrier(): boolean {
    return this.link.carrier
  }

  /** The device could carry IPv6, and has settings of it, though it is off (RFC 8200 §5). */
  get carriesInet6(): boolean {
    return this.isLoopback || this.mtu >= IPV6_MIN_MTU
  }

  /** Up and with carrier: what routing calls alive. */
  get running(): boolean {
    return this.up && this.link.carrier
  }

  /** Linux calls a device up only after it has seen its carrier change: before, nobody knows (loopback never does). */
  get operState(): OperState {
    return this.up && this.link.carrier ? this.#operState : 'DOWN'
  }

  /** `state` of `ip link set`: only some states follow one another (`set_operstate`). */
  set operState(wanted: OperState) {
    if (!this.link.carrier) return
    const now = this.#operState
    if (wanted === 'UP' && now !== 'DOWN') this.#operState = 'UP'
    const active = now === 'UP' || now === 'UNKNOWN'
    if ((wanted === 'DORMANT' || wanted === 'TESTING') && active) this.#operState = wanted
  }

  /** The driver reports a change of some kind: true if it was one of carrier, which is counted. */
  noteChange(): boolean {
    const { carrier } = this.link
    if (carrier === this.#hadCarrier) return false
    this.#hadCarrier = carrier
    this.carrierChanges++
    if (carrier) this.#operState = this.linkMode === 'DORMANT' ? 'DORMANT' : 'UP'
    return true
  }

  /** At its first rise: a queue of no length, or of one beyond all memory, is none. */
  attachQdisc(): void {
    if (this.qdisc !== 'noop') return
    const possible = this.#txQueueLength > 0 && this.#txQueueLength < QUEUE_TOO_LONG
    this.qdisc = possible ? this.link.qdisc : 'noqueue'
  }

  /** Packets of room in the transmit queue: what a sender may still hand over before it has to wait. */
  get txRoom(): number {
    return this.txQueue.limit - this.txQueue.length - this.#staged.length
  }

  /** Calls back once, during packet processing: when half of the queue is free again, or the device goes down. */
  whenRoom(callback: () => void): void {
    this.#waiting.push(callback)
  }

  #tellRoom(): void {
    if (this.#waiting.length === 0) return
    if (this.up && this.txRoom * 2 < this.txQueue.limit) return
    const waiting = this.#waiting
    this.#waiting = []
    for (const callback of waiting) callback()
  }

  /** Queues the packet for the driver, or drops it when the device is down or the queue full. */
  enqueue(packet: Packet): boolean {
    packet.device = this
    if (!this.up) {
      this.#dropOutgoing(packet, DropReason.DEV_READY)
      return false
    }
    const staged = this.#staged
    const { txQueue } = this
    // Mostly nothing waits and nothing is to be done to it: then it is put where the driver takes it from.
    if (
      txQueue.length === 0 &&
      staged.length < this.#stageLimit &&
      packet.gsoSize === 0 &&
      packet.body === null &&
      packet.checksum !== Checksum.PARTIAL &&
      !this.#stopped &&
      !this.#flushing
    ) {
      staged.push(packet)
    } else if (staged.length + txQueue.length >= txQueue.limit || !txQueue.push(packet)) {
      this.#dropOutgoing(packet, DropReason.QDISC_DROP)
      return false
    }
    if (!this.#pending && !this.#stopped) {
      this.#pending = true
      this.#owner.transmitPending(this)
    }
    return true
  }

  /** Hands what waits to the driver, cut and completed as it needs it, a burst at a time, until the queue is empty or the driver has enough. */
  flush(): void {
    this.#pending = false
    const burst = this.#staged
    this.#flushing = true
    try {
      while (!this.#stopped) {
        if (burst.length === 0) {
          if (this.txQueue.length === 0) return
          this.#offload.fill(this.txQueue, burst, this.link.features)
          if (burst.length === 0) return // all of it was dropped
        }
        const tapping = this.taps.length > 0
        if (tapping) this.#tapOutgoing(burst, this.#tapped)
        const taken = this.link.transmit(burst)
        this.#tapped = tapping ? burst.length - taken : 0
        if (taken < burst.length) {
          this.#stopped = true
          for (let i = burst.length - 1; i >= taken; i--) this.txQueue.unshift(burst.packets[i]!)
        }
        burst.clear()
      }
    } finally {
      this.#flushing = false
      this.#tellRoom()
    }
  }

  /** The driver has room again. */
  wake(): void {
    this.#stopped = false
    if (this.txQueue.length > 0 && !this.#pending) {
      this.#pending = true
      this.#owner.transmitPending(this)
    }
  }

  /** Empties the transmit queue: the device went down or away. */
  purge(): void {
    if (!this.#flushing) {
      for (let i = 0; i < this.#staged.length; i++) {
        this.#owner.drop(this.#staged.packets[i]!, DropReason.QUEUE_PURGE, this)
      }
      this.#staged.clear()
    }
    for (let packet = this.txQueue.shift(); packet !== null; packet = this.txQueue.shift()) {
      this.#owner.drop(packet, DropReason.QUEUE_PURGE, this)
    }
    this.#offload.forget()
    this.#stopped = false
    this.#tapped = 0
    this.#tellRoom()
  }

  #dropOutgoing(packet: Packet, reason: number): void {
    this.link.stats.increment(LinkStat.txDropped)
    this.#owner.drop(packet, reason, this)
  }

  #tapOutgoing(burst: Burst, from: number): void {
    for (let i = from; i < burst.length; i++) {
      for (const tap of this.taps) tap(burst.packets[i]!, this, true)
    }
  }
}

/** The devices of one stack, by index and by name. */
export class DeviceTable {
  readonly #byIndex = new Map<number, NetDevice>()
  /** Other names too. */
  readonly #byName = new Map<string, NetDevice>()
  #nextIndex = 1

  /** The index that the next device gets: indices are never reused. */
  takeIndex(): number {
    return this.#nextIndex++
  }

  /** @throws TunstackError `EEXIST` if the name is taken, `EINVAL` if it is no interface name. */
  add(device: NetDevice): void {
    checkInterfaceName(device.name)
    if (this.#byName.has(device.name)) {
      throw new TunstackError('EEXIST', `a device named '${device.name}' is there already`, {
        value: device.name,
      })
    }
    this.#byIndex.set(device.ifindex, device)
    this.#byName.set(device.name, device)
  }

  /** Gives a device another name. @throws TunstackError as {@link add} */
  rename(device: NetDevice, name: string): void {
    checkInterfaceName(name)
    if (this.#byName.has(name)) {
      throw new TunstackError('EEXIST', `a device named '${name}' is there already`, { value: name })
    }
    this.#byName.delete(device.name)
    device.name = name
    this.#byName.set(name, device)
  }

  remove(device: NetDevice): void {
    this.#byIndex.delete(device.ifindex)
    for (const name of [device.name, ...device.altNames]) this.#byName.delete(name)
  }

  /** Gives a device one name more. False if it is taken. */
  addAltName(device: NetDevice, name: string): boolean {
    if (this.#byName.has(name)) return false
    this.#byName.set(name, device)
    device.altNames.push(name)
    return true
  }

  /** Takes one of its other names from a device. False if it has none such. */
  removeAltName(device: NetDevice, name: string): boolean {
    const at = device.altNames.indexOf(name)
    if (at < 0) return false
    device.altNames.splice(at, 1)
    this.#byName.delete(name)
    return true
  }

  byIndex(ifindex: number): NetDevice | undefined {
    return this.#byIndex.get(ifindex)
  }

  /** By its name, or another that it has. */
  byName(name: string): NetDevice | undefined {
    return this.#byName.get(name)
  }

  /** In order of their index. */
  [Symbol.iterator](): IterableIterator<NetDevice> {
    return this.#byIndex.values()
  }
}

/** Linux's `dev_valid_name`: 1…15 bytes, not `.` or `..`, no `/`, `:` or white space. @throws TunstackError `EINVAL` */
export function checkInterfaceName(name: string): void {
  const valid =
    typeof name === 'string' &&
    /^[^/:\s]{1,15}$/.test(name) &&
    name !== '.' &&
    name !== '..' &&
    utf8Length(name) <= 15
  if (!valid) {
    throw new TunstackError(
      'EINVAL',
      `'${name}' is no interface name: 1 to 15 bytes without '/', ':' or white space`,
      { value: name },
    )
  }
}

function utf8Length(text: string): number {
  let bytes = 0
  for (const char of text) {
    const code = char.codePointAt(0)!
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4
  }
  return bytes
}
