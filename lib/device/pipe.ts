/**
 * Two devices back to back, each for another stack (what a pair of `veth` is to Linux): what one transmits the
 * other receives. Packets are handed over as they are, without a copy, bytes and all; what the sending stack
 * knew of them besides is wiped. The receiving stack is only told that something waits, and fetches it with
 * `poll` when its turn comes, so that two stacks never run inside one another.
 */
import type { Burst } from '../packet/burst.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { type LinkDevice, type LinkFeatures, LinkFlag } from './link-device.ts'
import { LinkStat } from './link-stats.ts'
import { SoftwareDevice } from './software-device.ts'

export interface PipeOptions {
  /** Bytes; 1500 by default, 68…65535. */
  mtu?: number
  /** Names of the two ends. */
  names?: readonly [string, string]
  /** Packets that may wait for each end's stack, 1000 by default; a sender waits when they do. */
  queue?: number
  /** By default checksums are left to be completed by whoever needs them, and super-segments are not taken. */
  features?: Partial<LinkFeatures>
}

const FEATURES: LinkFeatures = {
  checksum: true,
  tso: false,
  tsoEcn: false,
  uso: false,
  gather: false,
  gsoMaxSize: 65535,
  receiveChecksumGood: false,
}

/**
 * Both ends of a new pipe.
 * @throws TunstackError `EINVAL` for a name, an MTU or a queue that cannot be
 */
export function createPipe(options: PipeOptions = {}): [LinkDevice, LinkDevice] {
  const { names = ['pipe0', 'pipe0'] } = options
  const left = new PipeEnd(names[0], options)
  const right = new PipeEnd(names[1], options)
  left.peer = right
  right.peer = left
  return [left, right]
}

class PipeEnd extends SoftwareDevice {
  peer!: PipeEnd
  /** `transmit` took less than it was given, and `wake` is due. */
  #waiting = false

  constructor(name: string, { mtu = 1500, queue = 1000, features }: PipeOptions) {
    super({
      name,
      type: 'none',
      flags: LinkFlag.POINTOPOINT | LinkFlag.NOARP | LinkFlag.MULTICAST,
      mtu,
      minMtu: 68,
      maxMtu: 65535,
      features: { ...FEATURES, ...features },
      qdisc: 'noqueue',
      receiveQueue: queue,
    })
  }

  override get carrier(): boolean {
    return this.open && this.peer.open
  }

  override setUp(up: boolean): void {
    const before = this.carrier
    super.setUp(up)
    if (this.carrier !== before) this.#carrierChanged()
  }

  override leave(): void {
    const before = this.carrier
    super.leave()
    if (before) this.#carrierChanged()
  }

  override transmit(burst: Burst): number {
    if (!this.carrier) return this.refuse(burst)
    const { peer } = this
    let taken = 0
    for (; taken < burst.length; taken++) {
      const packet = burst.packets[taken]!
      const { length } = packet
      if (length > peer.mtu && packet.gsoSize === 0) {
        peer.stats.increment(LinkStat.rxDropped)
        this.drop(packet, LinkStat.txDropped, DropReason.PKT_TOO_BIG)
        continue
      }
      if (!peer.received.push(packet)) break
      packet.scrub()
      packet.networkHeader = packet.start
      packet.transportHeader = packet.start
      this.stats.sent(1, length)
    }
    this.#waiting = taken < burst.length
    if (peer.received.length > 0) peer.host!.schedule()
    return taken
  }

  override poll(burst: Burst): boolean {
    const more = super.poll(burst)
    for (let i = 0; i < burst.length; i++) this.stats.received(1, burst.packets[i]!.length)
    // At half, not at the first free place: a sender that is woken has something to do.
    if (this.received.length * 2 <= this.received.limit) this.peer.#wake()
    return more
  }

  /** Our own stack knows what it just did; the other one has to be told. */
  #carrierChanged(): void {
    this.peer.host?.changed()
    // Whoever waited for room would wait for ever: what it sends now is dropped, as on a pulled cable.
    this.peer.#wake()
    this.#wake()
  }

  #wake(): void {
    if (!this.#waiting) return
    this.#waiting = false
    this.host?.wake()
  }
}
