/**
 * A device such as a persistent TUN that no program holds: it has addresses and routes as any other, but no carrier
 * until one is given to it, and nothing moves. For trying a configuration without a network.
 */

import type { Burst } from '../packet/burst.ts'
import { type LinkDevice, LinkFlag, type LinkHost, NO_FEATURES } from './link-device.ts'
import { LinkStats } from './link-stats.ts'

export class IdleTun implements LinkDevice {
  readonly name: string
  readonly type = 'none'
  readonly flags: number = LinkFlag.POINTOPOINT | LinkFlag.MULTICAST | LinkFlag.NOARP
  mtu = 1500
  readonly minMtu = 68
  readonly maxMtu = 65535
  readonly features = NO_FEATURES
  readonly txQueueLength = 500
  readonly qdisc = 'pfifo_fast'
  readonly gone = false
  readonly stats = new LinkStats()
  #carrier: boolean
  #host: LinkHost | null = null

  constructor(name: string, carrier = false) {
    this.name = name
    this.#carrier = carrier
  }

  /** Whether somebody is at the other end. Setting it tells the stack. */
  get carrier(): boolean {
    return this.#carrier
  }

  set carrier(carrier: boolean) {
    this.#carrier = carrier
    this.#host?.changed()
  }

  attach(host: LinkHost): void {
    this.#host = host
  }

  setUp(): void {}

  setMtu(mtu: number): void {
    this.mtu = mtu
    this.#host?.changed()
  }

  transmit(burst: Burst): number {
    for (let i = 0; i < burst.length; i++) burst.packets[i]!.free()
    return burst.length
  }

  async close(): Promise<void> {}
}
