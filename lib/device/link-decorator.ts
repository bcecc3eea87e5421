/**
 * The frame of a device that wraps another one: towards the stack it is the device within, towards that device it is
 * the stack. What a decorator does it does by overriding; the rest passes through.
 */
import { invalidArgument } from '../errors.ts'
import type { Burst } from '../packet/burst.ts'
import type { Packet } from '../packet/packet.ts'
import type { PacketPool } from '../packet/packet-pool.ts'
import type { Clock } from '../time/clock.ts'
import type { LinkDevice, LinkFeatures, LinkHost, LinkType } from './link-device.ts'
import type { LinkStats } from './link-stats.ts'

export abstract class LinkDecorator implements LinkDevice, LinkHost {
  /** @internal */
  protected readonly device: LinkDevice
  /** @internal set by {@link attach} */
  protected host!: LinkHost

  /** @throws TunstackError `ERR_INVALID_ARG_VALUE` for what is no device */
  constructor(device: LinkDevice) {
    if (typeof device?.transmit !== 'function') throw invalidArgument('device', device, 'a LinkDevice')
    this.device = device
  }

  get name(): string {
    return this.device.name
  }

  get type(): LinkType {
    return this.device.type
  }

  get flags(): number {
    return this.device.flags
  }

  get mtu(): number {
    return this.device.mtu
  }

  get minMtu(): number {
    return this.device.minMtu
  }

  get maxMtu(): number {
    return this.device.maxMtu
  }

  get features(): LinkFeatures {
    return this.device.features
  }

  get txQueueLength(): number {
    return this.device.txQueueLength
  }

  get qdisc(): string {
    return this.device.qdisc
  }

  get carrier(): boolean {
    return this.device.carrier
  }

  get gone(): boolean {
    return this.device.gone
  }

  get stats(): LinkStats {
    return this.device.stats
  }

  attach(host: LinkHost): void {
    this.host = host
    this.device.attach(this)
  }

  setUp(up: boolean): void {
    this.device.setUp(up)
  }

  setMtu(mtu: number): void {
    this.device.setMtu(mtu)
  }

  transmit(burst: Burst): number {
    return this.device.transmit(burst)
  }

  poll(burst: Burst): boolean {
    return this.device.poll?.(burst) ?? false
  }

  close(): Promise<void> {
    return this.device.close()
  }

  get pool(): PacketPool {
    return this.host.pool
  }

  get clock(): Clock {
    return this.host.clock
  }

  receive(burst: Burst, now?: number): void {
    this.host.receive(burst, now)
  }

  schedule(): void {
    this.host.schedule()
  }

  wake(): void {
    this.host.wake()
  }

  changed(): void {
    this.host.changed()
  }

  drop(packet: Packet, reason: number): void {
    if (this.host.drop === undefined) packet.free()
    else this.host.drop(packet, reason)
  }
}
