/**
 * Where a device meets the stack: the {@link LinkHost} that every device is attached to.
 */
import type { LinkHost } from '../device/link-device.ts'
import type { NetDevice } from '../device/net-device.ts'
import type { Softirq } from '../device/softirq.ts'
import type { Burst } from '../packet/burst.ts'
import type { Packet } from '../packet/packet.ts'
import type { PacketPool } from '../packet/packet-pool.ts'
import type { Clock } from '../time/clock.ts'

/** What a device's news is for the stack. */
export interface DeviceEvents {
  /** A burst came in; every packet is taken over. */
  burstReceived(burst: Burst, device: NetDevice): void
  /** Carrier or MTU changed, or the device is gone. */
  deviceChanged(device: NetDevice): void
  drop(packet: Packet, reason: number, device: NetDevice | null): void
}

export class DeviceHost implements LinkHost {
  readonly pool: PacketPool
  readonly clock: Clock
  /** Set right after construction: device and host know each other. */
  device!: NetDevice
  readonly #softirq: Softirq
  readonly #events: DeviceEvents

  constructor(pool: PacketPool, clock: Clock, softirq: Softirq, events: DeviceEvents) {
    this.pool = pool
    this.clock = clock
    this.#softirq = softirq
    this.#events = events
  }

  receive(burst: Burst, now?: number): void {
    this.#softirq.enter(now)
    try {
      this.#events.burstReceived(burst, this.device)
    } finally {
      this.#softirq.leave()
    }
  }

  schedule(): void {
    this.#softirq.pollPending(this.device)
  }

  wake(): void {
    this.#softirq.enter()
    try {
      this.device.wake()
    } finally {
      this.#softirq.leave()
    }
  }

  changed(): void {
    this.#events.deviceChanged(this.device)
  }

  drop(packet: Packet, reason: number): void {
    this.#events.drop(packet, reason, this.device)
  }
}
