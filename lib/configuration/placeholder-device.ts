/**
 * A device without a wire, in place of one that is elsewhere: it has the flags, the MTU and the carrier that the
 * real one had, so that routes and addresses behave as they did there. What is sent on it is counted and dropped.
 */
import {
  type LinkDevice,
  type LinkFeatures,
  type LinkHost,
  type LinkType,
  NO_FEATURES,
} from '../device/link-device.ts'
import { LinkStat, LinkStats } from '../device/link-stats.ts'
import { TunstackError } from '../errors.ts'
import type { Burst } from '../packet/burst.ts'
import { DropReason } from '../wire/drop-reason.ts'

export interface PlaceholderOptions {
  name: string
  /** `LinkFlag` bits but `UP`. */
  flags: number
  /** Bytes, as are the bounds; by default 68…65535. */
  mtu: number
  minMtu?: number
  maxMtu?: number
  txQueueLength?: number
  qdisc?: string
  carrier?: boolean
}

export class PlaceholderDevice implements LinkDevice {
  readonly name: string
  readonly type: LinkType = 'none'
  readonly flags: number
  readonly minMtu: number
  readonly maxMtu: number
  readonly features: LinkFeatures = NO_FEATURES
  readonly txQueueLength: number
  readonly qdisc: string
  readonly stats: LinkStats = new LinkStats()
  #mtu: number
  #carrier: boolean
  #gone = false
  #host: LinkHost | null = null

  constructor(options: PlaceholderOptions) {
    this.name = options.name
    this.flags = options.flags
    this.minMtu = options.minMtu ?? 68
    this.maxMtu = options.maxMtu ?? 65535
    this.txQueueLength = options.txQueueLength ?? 1000
    this.qdisc = options.qdisc ?? 'noqueue'
    this.#mtu = options.mtu
    this.#carrier = options.carrier ?? true
  }

  get mtu(): number {
    return this.#mtu
  }

  get gone(): boolean {
    return this.#gone
  }

  /** Whether somebody is at the other end. Setting it tells the stack. */
  get carrier(): boolean {
    return this.#carrier && !this.#gone
  }

  set carrier(carrier: boolean) {
    if (this.#carrier === carrier) return
    this.#carrier = carrier
    this.#host?.changed()
  }

  attach(host: LinkHost): void {
    if (this.#host !== null) throw new TunstackError('EBUSY', `${this.name} is attached to a stack already`)
    this.#host = host
  }

  setUp(): void {}

  setMtu(mtu: number): void {
    const { name, minMtu, maxMtu } = this
    if (!Number.isInteger(mtu) || mtu < minMtu || mtu > maxMtu) {
      throw new TunstackError('EINVAL', `mtu ${mtu} of ${name} is not within ${minMtu}…${maxMtu}`, {
        value: mtu,
      })
    }
    if (mtu === this.#mtu) return
    this.#mtu = mtu
    this.#host?.changed()
  }

  transmit(burst: Burst): number {
    for (let i = 0; i < burst.length; i++) {
      const packet = burst.packets[i]!
      this.stats.increment(LinkStat.txDropped)
      if (this.#host?.drop === undefined) packet.free()
      else this.#host.drop(packet, DropReason.DEV_READY)
    }
    return burst.length
  }

  async close(): Promise<void> {
    if (this.#gone) return
    this.#gone = true
    this.#host?.changed()
  }
}
