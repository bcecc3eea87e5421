/**
 * A decorator that makes a link bad: delay, jitter, rate and queue, loss, reordering, duplication, corruption, and
 * cuts (what `tc qdisc … netem` and `codel` are to Linux). It wraps any device: one end of a pipe in a simulated
 * network, or a TUN. Each direction has a {@link LinkPath} of its own; what dies in one is counted in the stack
 * under `IMPAIRED`, or the reason of the queue.
 */
import { Burst } from '../../packet/burst.ts'
import type { Packet } from '../../packet/packet.ts'
import { Random, type RandomSource, systemRandom } from '../../random/random.ts'
import { DropReason } from '../../wire/drop-reason.ts'
import { LinkDecorator } from '../link-decorator.ts'
import type { LinkDevice, LinkFeatures, LinkHost } from '../link-device.ts'
import { LinkStat } from '../link-stats.ts'
import { type Impairment, LinkPath } from './link-path.ts'

export interface ImpairOptions {
  /** What happens to what the stack sends. */
  out?: Impairment
  /** What happens to what the stack receives. */
  in?: Impairment
  /** Where chance comes from; the runtime's generator by default, `seededRandom(…)` to be repeatable. */
  random?: RandomSource
}

/** The device within, and its two directions, which can be changed at any time. */
export interface ImpairedDevice extends LinkDevice {
  readonly out: LinkPath
  readonly in: LinkPath
}

/**
 * `device` as if it were at the end of a bad link. Super-segments are not taken, since a link that is to lose
 * packets has to see them one by one.
 * @throws TunstackError `ERR_INVALID_ARG_VALUE`
 */
export function impairDevice(device: LinkDevice, options: ImpairOptions = {}): ImpairedDevice {
  return new Impaired(device, options)
}

class Impaired extends LinkDecorator implements ImpairedDevice {
  readonly out: LinkPath
  readonly in: LinkPath
  readonly #burst = new Burst()
  #up = false
  /** The device's features without super-segments, and the object that they were made from. */
  #features: LinkFeatures
  #featuresOf: LinkFeatures
  /** We took less than we were given, and `wake` is due. */
  #refused = false

  constructor(device: LinkDevice, options: ImpairOptions) {
    super(device)
    this.#featuresOf = device.features
    this.#features = { ...device.features, tso: false, uso: false }
    const random = new Random(options.random ?? systemRandom())
    const drop = (packet: Packet, reason: DropReason): void => this.drop(packet, reason)
    this.out = new LinkPath(random, { deliver: (burst) => device.transmit(burst), drop }, options.out)
    const deliver = (burst: Burst): number => {
      const { length } = burst
      this.host.receive(burst)
      return length
    }
    this.in = new LinkPath(random, { deliver, drop }, options.in)
  }

  override get features(): LinkFeatures {
    const { features } = this.device
    if (features !== this.#featuresOf) {
      this.#featuresOf = features
      this.#features = { ...features, tso: false, uso: false }
    }
    return this.#features
  }

  override attach(host: LinkHost): void {
    super.attach(host)
    this.out.attach(host.clock)
    this.in.attach(host.clock)
  }

  override setUp(up: boolean): void {
    this.#up = up && !this.gone
    if (!this.#up) this.#purge()
    super.setUp(up)
  }

  override transmit(burst: Burst): number {
    if (!this.#up || this.gone) return this.device.transmit(burst) // refused there, and counted
    const { out } = this
    if (out.blocked) {
      this.#refused = true
      return 0
    }
    for (let i = 0; i < burst.length; i++) out.offer(burst.packets[i]!)
    out.flush()
    return burst.length
  }

  override poll(burst: Burst): boolean {
    const waiting = this.#burst
    const more = super.poll(waiting)
    this.#receive(waiting)
    return this.in.take(burst) || more
  }

  override close(): Promise<void> {
    this.#up = false
    this.#purge()
    return super.close()
  }

  override receive(burst: Burst): void {
    this.#receive(burst)
    this.in.flush()
  }

  override wake(): void {
    this.out.resume()
    if (!this.#refused || this.out.blocked) return
    this.#refused = false
    this.host.wake()
  }

  override changed(): void {
    if (this.gone) this.#purge()
    super.changed()
  }

  #receive(burst: Burst): void {
    for (let i = 0; i < burst.length; i++) this.in.offer(burst.packets[i]!)
    burst.clear()
  }

  /** What is under way when the device goes down was taken, and is lost. */
  #purge(): void {
    if (this.host === undefined) return
    this.stats.increment(LinkStat.txDropped, this.out.length)
    this.stats.increment(LinkStat.rxDropped, this.in.length)
    this.#refused = false
    this.out.clear(DropReason.DEV_READY)
    this.in.clear(DropReason.DEV_READY)
  }
}
