/**
 * A decorator that sees every packet that crosses a device, in both directions, and changes nothing: features,
 * counters and backpressure are those of the device within. Put it where no stack's own capture can listen:
 * between an impairment and the wire, or on a device that is to be handed to somebody else.
 */
import { invalidArgument } from '../errors.ts'
import { Direction, PcapngWriter } from '../observe/pcapng.ts'
import { BURST_SIZE, type Burst } from '../packet/burst.ts'
import type { Packet } from '../packet/packet.ts'
import type { PacketPool } from '../packet/packet-pool.ts'
import type { Clock } from '../time/clock.ts'
import type { LinkDevice, LinkFeatures, LinkHost, LinkType } from './link-device.ts'
import type { LinkStats } from './link-stats.ts'

/** Sees a packet before it moves on; must not keep or change it. */
export type PacketObserver = (packet: Packet, outgoing: boolean, device: LinkDevice) => void

/** What the decorator adds: why it stopped looking. */
export interface CaptureLinkDevice extends LinkDevice {
  /** What the observer or the writer's sink threw; packets go on unseen after that. */
  readonly error: unknown
}

/**
 * `device`, with all that it moves shown to a function or written as pcapng. The writer stays the caller's.
 * @throws TunstackError `ERR_INVALID_ARG_VALUE` if one of the two is something else
 */
export function captureDevice(
  device: LinkDevice,
  observer: PacketObserver | PcapngWriter,
): CaptureLinkDevice {
  if (typeof device?.transmit !== 'function') throw invalidArgument('device', device, 'a LinkDevice')
  if (typeof observer !== 'function' && !(observer instanceof PcapngWriter)) {
    throw invalidArgument('observer', observer, 'a function or a PcapngWriter')
  }
  return new CaptureDevice(device, observer)
}

class CaptureDevice implements CaptureLinkDevice {
  error: unknown
  readonly #device: LinkDevice
  readonly #observer: PacketObserver | PcapngWriter
  #observing = true
  #clock: Clock | null = null
  /** Number in the pcapng file; -1 until something was written. */
  #interfaceId = -1
  /** Packets that were seen and not taken: the next ones that are offered, and not to be seen twice. */
  readonly #offered: (Packet | null)[] = new Array<Packet | null>(BURST_SIZE).fill(null)
  #offeredLength = 0

  constructor(device: LinkDevice, observer: PacketObserver | PcapngWriter) {
    this.#device = device
    this.#observer = observer
  }

  get name(): string {
    return this.#device.name
  }

  get type(): LinkType {
    return this.#device.type
  }

  get flags(): number {
    return this.#device.flags
  }

  get mtu(): number {
    return this.#device.mtu
  }

  get minMtu(): number {
    return this.#device.minMtu
  }

  get maxMtu(): number {
    return this.#device.maxMtu
  }

  get features(): LinkFeatures {
    return this.#device.features
  }

  get txQueueLength(): number {
    return this.#device.txQueueLength
  }

  get qdisc(): string {
    return this.#device.qdisc
  }

  get carrier(): boolean {
    return this.#device.carrier
  }

  get gone(): boolean {
    return this.#device.gone
  }

  get stats(): LinkStats {
    return this.#device.stats
  }

  attach(host: LinkHost): void {
    this.#clock = host.clock
    this.#device.attach(new CaptureHost(host, (burst) => this.#observeReceived(burst)))
  }

  setUp(up: boolean): void {
    if (!up) this.#forgetOffered()
    this.#device.setUp(up)
  }

  setMtu(mtu: number): void {
    this.#device.setMtu(mtu)
  }

  transmit(burst: Burst): number {
    const { packets, length } = burst
    if (this.#observing) {
      let seen = 0
      while (seen < this.#offeredLength && packets[seen] === this.#offered[seen]) seen++
      for (let i = seen; i < length; i++) this.#observe(packets[i]!, true)
    }
    const taken = this.#device.transmit(burst)
    this.#forgetOffered()
    for (let i = taken; i < length; i++) this.#offered[this.#offeredLength++] = packets[i]!
    return taken
  }

  poll(burst: Burst): boolean {
    const more = this.#device.poll?.(burst) ?? false
    this.#observeReceived(burst)
    return more
  }

  close(): Promise<void> {
    this.#forgetOffered()
    return this.#device.close()
  }

  #observeReceived(burst: Burst): void {
    if (!this.#observing) return
    for (let i = 0; i < burst.length; i++) this.#observe(burst.packets[i]!, false)
  }

  #observe(packet: Packet, outgoing: boolean): void {
    if (!this.#observing) return
    const observer = this.#observer
    try {
      if (observer instanceof PcapngWriter) this.#write(observer, packet, outgoing)
      else observer(packet, outgoing, this)
    } catch (error) {
      this.error = error
      this.#observing = false
    }
  }

  #write(writer: PcapngWriter, packet: Packet, outgoing: boolean): void {
    if (writer.closed) {
      this.#observing = false
      return
    }
    if (this.#interfaceId < 0) this.#interfaceId = writer.addInterface(this.name)
    const direction = outgoing ? Direction.OUTBOUND : Direction.INBOUND
    writer.packet(this.#interfaceId, packet, this.#clock!.now(), direction)
  }

  #forgetOffered(): void {
    this.#offered.fill(null, 0, this.#offeredLength)
    this.#offeredLength = 0
  }
}

/** The stack as the device within sees it. */
class CaptureHost implements LinkHost {
  readonly pool: PacketPool
  readonly clock: Clock
  readonly #host: LinkHost
  readonly #observe: (burst: Burst) => void

  constructor(host: LinkHost, observe: (burst: Burst) => void) {
    this.pool = host.pool
    this.clock = host.clock
    this.#host = host
    this.#observe = observe
  }

  receive(burst: Burst): void {
    this.#observe(burst)
    this.#host.receive(burst)
  }

  schedule(): void {
    this.#host.schedule()
  }

  wake(): void {
    this.#host.wake()
  }

  changed(): void {
    this.#host.changed()
  }

  drop(packet: Packet, reason: number): void {
    if (this.#host.drop === undefined) packet.free()
    else this.#host.drop(packet, reason)
  }
}
