/**
 * A link of a simulated network: a pipe between two hosts, whose ends are impaired devices, one for each direction.
 * What crosses it is recorded by its network.
 */
import type { ImpairedDevice } from '../device/impair/impair.ts'
import type { Impairment, LinkPath, PathCounters } from '../device/impair/link-path.ts'
import type { NatDevice, NatOptions } from '../device/nat/nat.ts'
import { invalidArgument } from '../errors.ts'
import { DropReason } from '../wire/drop-reason.ts'
import type { Host } from './host.ts'
import { LinkPacket } from './link-packet.ts'
import type { Recorder } from './recorder.ts'

/** What links two hosts; effects are those of both directions, unless one has its own. */
export interface LinkOptions extends Impairment {
  /** Bytes; 1500 by default. */
  mtu?: number
  /** Addresses with prefix length of the two ends; by default the first unused ones of the hosts that fit. */
  addresses?: readonly [string | null, string | null]
  /** Effects from the first host to the second only. */
  forward?: Impairment
  /** Effects from the second host to the first only. */
  backward?: Impairment
  /** The end that translates addresses: what it forwards leaves under its address on this link. */
  nat?: Host | ({ host: Host } & Partial<Omit<NatOptions, 'random'>>)
}

/** One direction. */
export interface LinkDirection {
  readonly from: Host
  readonly to: Host
  readonly device: ImpairedDevice
  /** Number in the recorder and in captures. */
  readonly number: number
}

export class Link {
  readonly a: Host
  readonly b: Host
  readonly #directions: readonly [LinkDirection, LinkDirection]
  /** The translation at one end: its mappings, and forwarded ports; `null` if there is none. */
  readonly nat: NatDevice | null
  readonly #recorder: Recorder

  /** @internal use `net.link()` */
  constructor(
    directions: readonly [LinkDirection, LinkDirection],
    recorder: Recorder,
    nat: NatDevice | null,
  ) {
    this.nat = nat
    this.a = directions[0].from
    this.b = directions[0].to
    this.#directions = directions
    this.#recorder = recorder
  }

  /** The direction that begins at a host: its counters, and its effects. @throws TunstackError `ERR_INVALID_ARG_VALUE` */
  from(host: Host): LinkPath {
    return this.#direction(host).device.out
  }

  /**
   * Changes effects at once: of both directions, or of the one that begins at `from`.
   * @throws TunstackError `ERR_INVALID_ARG_VALUE`
   */
  set(impairment: Impairment, from?: Host): this {
    for (const path of this.#paths(from)) path.set(impairment)
    return this
  }

  /** Lets nothing through any more: a partition. Nobody is told. What is under way arrives. */
  cut(from?: Host): this {
    for (const path of this.#paths(from)) path.cut()
    return this
  }

  heal(from?: Host): this {
    for (const path of this.#paths(from)) path.heal()
    return this
  }

  /** What has arrived, oldest first, as far as it is still recorded. */
  get packets(): LinkPacket[] {
    return this.#recorded((reason) => reason === DropReason.NONE)
  }

  /** What was lost on it, oldest first. */
  get dropped(): LinkPacket[] {
    return this.#recorded((reason) => reason !== DropReason.NONE)
  }

  /** What it has done since it was made, in both directions, or in the one that begins at `from`. */
  counters(from?: Host): PathCounters {
    const [first, ...others] = this.#paths(from)
    const total = { ...first!.counters }
    for (const { counters } of others) {
      for (const key of Object.keys(total) as (keyof PathCounters)[]) total[key] += counters[key]
    }
    return total
  }

  #recorded(wanted: (reason: DropReason) => boolean): LinkPacket[] {
    const found: LinkPacket[] = []
    for (const record of this.#recorder) {
      const direction = this.#directions.find(({ number }) => number === record.direction)
      if (direction !== undefined && wanted(record.reason)) {
        found.push(new LinkPacket(record, direction.from, direction.to))
      }
    }
    return found
  }

  #paths(from: Host | undefined): LinkPath[] {
    const directions = from === undefined ? this.#directions : [this.#direction(from)]
    return directions.map(({ device }) => device.out)
  }

  #direction(host: Host): LinkDirection {
    const direction = this.#directions.find(({ from }) => from === host)
    if (direction !== undefined) return direction
    throw invalidArgument('from', host?.name, `${this.a.name} or ${this.b.name}, which the link joins`)
  }
}
