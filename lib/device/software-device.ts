/**
 * What the devices without hardware have in common (loopback, pipe, stream of packets): they are attached to
 * one stack, go up and down, keep an MTU within bounds, wait for the stack to fetch what they received, and
 * account for each packet that dies in them.
 */
import { TunstackError } from '../errors.ts'
import { type Burst, PacketQueue } from '../packet/burst.ts'
import { type Packet, PacketType } from '../packet/packet.ts'
import { DropReason } from '../wire/drop-reason.ts'
import type { LinkDevice, LinkFeatures, LinkHost, LinkType } from './link-device.ts'
import { LinkStat, LinkStats } from './link-stats.ts'
import { checkInterfaceName } from './net-device.ts'

export interface SoftwareDeviceOptions {
  name: string
  type: LinkType
  flags: number
  mtu: number
  minMtu: number
  maxMtu: number
  features: LinkFeatures
  qdisc: string
  /** Packets that may wait for the stack. */
  receiveQueue: number
}

export abstract class SoftwareDevice implements LinkDevice {
  readonly name: string
  readonly type: LinkType
  readonly flags: number
  readonly minMtu: number
  readonly maxMtu: number
  readonly features: LinkFeatures
  readonly qdisc: string
  readonly txQueueLength = 1000
  readonly stats: LinkStats = new LinkStats()
  /** @internal what waits for `poll` */
  readonly received: PacketQueue
  /** @internal the stack; `null` until it is attached */
  host: LinkHost | null = null
  /** @internal attached, up and not gone: packets move */
  open = false
  #mtu: number
  #gone = false

  /** @throws TunstackError `EINVAL` for a name, an MTU or a queue that cannot be */
  constructor(options: SoftwareDeviceOptions) {
    checkInterfaceName(options.name)
    this.name = options.name
    this.type = options.type
    this.flags = options.flags
    this.minMtu = options.minMtu
    this.maxMtu = options.maxMtu
    this.features = options.features
    this.qdisc = options.qdisc
    if (!Number.isInteger(options.receiveQueue) || options.receiveQueue < 1) {
      throw new TunstackError('EINVAL', `the queue of ${options.name} must hold a packet or more`, {
        value: options.receiveQueue,
      })
    }
    this.received = new PacketQueue(options.receiveQueue)
    this.#checkMtu(options.mtu)
    this.#mtu = options.mtu
  }

  get mtu(): number {
    return this.#mtu
  }

  get carrier(): boolean {
    return !this.#gone
  }

  get gone(): boolean {
    return this.#gone
  }

  attach(host: LinkHost): void {
    if (this.host !== null) throw new TunstackError('EBUSY', `${this.name} is attached to a stack already`)
    this.host = host
  }

  setUp(up: boolean): void {
    this.open = up && this.host !== null && !this.#gone
    if (!this.open) this.purge()
  }

  setMtu(mtu: number): void {
    this.#checkMtu(mtu)
    if (mtu === this.#mtu) return
    this.#mtu = mtu
    this.host?.changed()
  }

  abstract transmit(burst: Burst): number

  poll(burst: Burst): boolean {
    this.received.fill(burst)
    for (let i = 0; i < burst.length; i++) burst.packets[i]!.type = PacketType.HOST
    return this.received.length > 0
  }

  async close(): Promise<void> {
    this.leave()
  }

  /** @internal The device is over: nothing waits in it and nothing moves any more. */
  leave(): void {
    if (this.#gone) return
    this.#gone = true
    this.open = false
    this.purge()
    this.host?.changed()
  }

  /** @internal Counts a packet that dies here, and frees it. */
  drop(packet: Packet, stat: number, reason: DropReason): void {
    this.stats.increment(stat)
    if (this.host?.drop === undefined) packet.free()
    else this.host.drop(packet, reason)
  }

  /** @internal Takes a whole burst and drops it: the device is not open. */
  refuse(burst: Burst): number {
    for (let i = 0; i < burst.length; i++)
      this.drop(burst.packets[i]!, LinkStat.txDropped, DropReason.DEV_READY)
    return burst.length
  }

  /** @internal Drops what waits for the stack. */
  purge(): void {
    for (let packet = this.received.shift(); packet !== null; packet = this.received.shift()) {
      this.drop(packet, LinkStat.rxDropped, DropReason.DEV_READY)
    }
  }

  #checkMtu(mtu: number): void {
    const { name, minMtu, maxMtu } = this
    if (!Number.isInteger(mtu) || mtu < minMtu || mtu > maxMtu) {
      throw new TunstackError('EINVAL', `mtu ${mtu} of ${name} is not within ${minMtu}…${maxMtu}`, {
        value: mtu,
      })
    }
  }
}
