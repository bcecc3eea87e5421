/** A device behind an impairment, in virtual time: what goes in, and when it comes out of the wire. */
import { type ImpairedDevice, impairDevice } from '../../../lib/device/impair/impair.ts'
import type { Impairment } from '../../../lib/device/impair/link-path.ts'
import { createPipe } from '../../../lib/device/pipe.ts'
import { PacketPool } from '../../../lib/packet/packet-pool.ts'
import { seededRandom } from '../../../lib/random/seeded.ts'
import { VirtualClock } from '../../../lib/time/virtual-clock.ts'
import { numbered, numberOf, TestHost } from '../test-host.ts'

export class PathRig {
  readonly clock = new VirtualClock()
  readonly pool = new PacketPool()
  readonly device: ImpairedDevice
  readonly host: TestHost
  readonly far: TestHost
  /** Number, and milliseconds at which it arrived. */
  readonly arrivals: [number: number, time: number][] = []

  constructor(out: Impairment, seed = 1) {
    const [near, farEnd] = createPipe({ queue: 100_000 })
    this.device = impairDevice(near, { out, random: seededRandom(seed) })
    this.host = new TestHost(this.pool, this.clock).connect(this.device)
    this.far = new TestHost(this.pool, this.clock).connect(farEnd)
    this.device.setUp(true)
    farEnd.setUp(true)
    this.device.out.observer = {
      delivered: (packet) =>
        void this.arrivals.push([numberOf(packet.toUint8Array()), this.clock.now() / 1e6]),
      dropped: () => {},
    }
  }

  /** Sends packets with consecutive numbers, all at once. */
  send(count: number, bytes = 1000, first = 0): this {
    this.host.sendBytes(...Array.from({ length: count }, (_, i) => numbered((first + i) & 0xffff, bytes)))
    return this
  }

  pass(milliseconds: number): this {
    this.clock.advance(milliseconds * 1e6)
    return this
  }

  get numbers(): number[] {
    return this.arrivals.map(([number]) => number)
  }

  get times(): number[] {
    return this.arrivals.map(([, time]) => time)
  }

  /** What has left the wire, as bytes. */
  take(): Uint8Array[] {
    return this.far.takeReceived()
  }
}
