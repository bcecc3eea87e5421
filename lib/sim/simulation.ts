/**
 * A network in one process, in virtual time: hosts, routers and links, driven by one clock and one seed, so that an
 * hour of it takes seconds and the same seed gives the same packets, bit for bit. Time moves only while one of the
 * `run…` methods is awaited, from one event to the next; whenever a program was told something, it gets to react
 * before time goes on.
 */
import { parseIpv4Prefix } from '../address/ipv4-address.ts'
import { type ImpairedDevice, impairDevice } from '../device/impair/impair.ts'
import type { Impairment, PathObserver } from '../device/impair/link-path.ts'
import type { LinkDevice } from '../device/link-device.ts'
import { type NatDevice, natDevice } from '../device/nat/nat.ts'
import { createPipe } from '../device/pipe.ts'
import { invalidArgument, TunstackError } from '../errors.ts'
import { type ByteSink, Direction, PcapngWriter } from '../observe/pcapng.ts'
import type { Packet } from '../packet/packet.ts'
import { PacketPool } from '../packet/packet-pool.ts'
import { Random, systemRandom } from '../random/random.ts'
import { seededRandom } from '../random/seeded.ts'
import { type Clock, MILLISECOND } from '../time/clock.ts'
import { systemClock } from '../time/system-clock.ts'
import { type Duration, parseDuration, parseSize, type Size } from '../units.ts'
import { DropReason, dropReasonName } from '../wire/drop-reason.ts'
import { annotate, failureSummary, type SimulationFailure } from './failure.ts'
import type { Hold } from './holds.ts'
import { Host, type HostOptions } from './host.ts'
import { Link, type LinkDirection, type LinkOptions } from './link.ts'
import { describeOpen } from './open.ts'
import { RealTime } from './real-time.ts'
import { Recorder } from './recorder.ts'
import type { Outcome, SimulationTime } from './time.ts'
import { VirtualTime } from './virtual-time.ts'

export interface SimulateOptions {
  /** Any 32-bit integer; drawn at random if absent. All chance of the network comes from it. */
  seed?: number
  /** Nanoseconds since 1970 at which the simulation begins; 2020-01-01 by default. */
  epoch?: bigint
  /** Bytes of the latest packets to remember, for `link.packets` and for failures; 16 MiB by default, 0 for none. */
  record?: Size
  /** Bytes of each packet to remember; all by default. */
  snaplen?: number
  /** Bytes of packets that all hosts together may hold; 256 MiB by default. */
  packetMemory?: Size
  /** Told when a run has failed, before it throws. */
  onFailure?: (failure: SimulationFailure) => void | Promise<void>
  /** Time is that of the machine: for programs that cannot say when they wait for something else than the network. */
  realTime?: boolean
  /** Of the machine's time: after it a hold that is still open makes the run fail; `'30s'` by default. */
  holdLimit?: Duration
  /** @internal the machine's clock, if it is not what the runtime shows now */
  machine?: Clock
}

export interface RunOptions {
  /** Time of the simulation after which the run is given up; `'24h'` by default. */
  limit?: Duration
}

export interface NetworkCapture {
  readonly packets: number
  close(): void
}

/** A new network, empty. @throws TunstackError `ERR_INVALID_ARG_VALUE` */
export function simulate(options: SimulateOptions = {}): Simulation {
  return new Simulation(options)
}

/** @typeParam H what its hosts are: on Node they have Node's sockets */
export class Simulation<H extends Host = Host> {
  readonly seed: number
  readonly clock: Clock
  readonly hosts: readonly H[]
  readonly links: readonly Link[]
  readonly #time: SimulationTime
  readonly #hosts: H[] = []
  readonly #links: Link[] = []
  readonly #random: Random
  readonly #pool: PacketPool
  readonly #recorder: Recorder
  readonly #directions: LinkDirection[] = []
  readonly #captures = new Set<LinkCapture>()
  readonly #onFailure: SimulateOptions['onFailure']
  #running = false

  /** Use {@link simulate}. */
  constructor(options: SimulateOptions = {}) {
    this.hosts = this.#hosts
    this.links = this.#links
    this.seed = options.seed ?? new Random(systemRandom()).int32() >>> 1
    if (!Number.isInteger(this.seed)) throw invalidArgument('seed', options.seed, 'an integer')
    const { realTime = false, epoch, holdLimit = '30s', machine = systemClock() } = options
    this.#time = realTime
      ? new RealTime(machine)
      : new VirtualTime(machine, epoch, parseDuration(holdLimit, 'holdLimit'))
    this.clock = this.#time.clock
    this.#random = new Random(seededRandom(this.seed))
    this.#pool = new PacketPool({ limit: parseSize(options.packetMemory ?? '256mb', 'packetMemory') })
    this.#recorder = new Recorder(parseSize(options.record ?? '16mb', 'record'), options.snaplen ?? 65535)
    this.#onFailure = options.onFailure
  }

  /** Milliseconds since the simulation began. */
  get time(): number {
    return this.#time.now() / MILLISECOND
  }

  /** Events so far: packets that arrived, timers that fired; 0 in real time. */
  get events(): number {
    return this.#time.events
  }

  /**
   * A host. Its addresses, each with prefix length, go to its links as they are made.
   * @throws TunstackError `ERR_INVALID_ARG_VALUE`
   */
  host(addresses: string | readonly string[] = [], options: HostOptions = {}): H {
    return this.#addHost('host', false, addresses, options)
  }

  /** A host that forwards: hosts that are linked to it have their default route by it. */
  router(addresses: string | readonly string[] = [], options: HostOptions = {}): H {
    return this.#addHost('router', true, addresses, options)
  }

  /**
   * Links two hosts by a new device of each, `eth0`, `eth1`, …, up and with an address.
   * @throws TunstackError `ERR_INVALID_ARG_VALUE`, and what `addDevice` and `addAddress` throw
   */
  link(a: Host, b: Host, options: LinkOptions = {}): Link {
    for (const host of [a, b]) {
      if (!this.#hosts.includes(host as H))
        throw invalidArgument('host', host, 'one that this network has made')
    }
    if (a === b) throw invalidArgument('host', b.name, 'another one: no link goes from a host to itself')
    const { mtu, addresses = fittingAddresses(a, b), forward, backward, nat, ...both } = options
    const [left, right] = createPipe({
      names: [`eth${a.links}`, `eth${b.links}`],
      ...(mtu === undefined ? {} : { mtu }),
    })
    const first = this.#end(left, { ...both, ...forward })
    const second = this.#end(right, { ...both, ...backward })
    const number = this.#directions.length
    const directions = [
      { from: a, to: b, device: first, number },
      { from: b, to: a, device: second, number: number + 1 },
    ] as const
    this.#directions.push(...directions)
    for (const direction of directions) direction.device.out.observer = this.#observer(direction)
    const translated = this.#nat(nat, directions, addresses)
    attach(a, translated?.host === a ? translated.device : first, addresses[0])
    attach(b, translated?.host === b ? translated.device : second, addresses[1])
    addDefaultRoute(a, b, addresses[1])
    addDefaultRoute(b, a, addresses[0])
    const link = new Link(directions, this.#recorder, translated?.device ?? null)
    this.#links.push(link)
    return link
  }

  /**
   * Writes what crosses any link from now on as pcapng, each direction an interface of its own: to a function, or to
   * a stream or file with `write`, which gets bytes of its own.
   * @throws TunstackError `ERR_INVALID_ARG_VALUE`
   */
  capture(sink: ByteSink | { write(bytes: Uint8Array<ArrayBuffer>): unknown }): NetworkCapture {
    const isStream = typeof sink === 'object' && typeof sink?.write === 'function'
    if (!isStream && typeof sink !== 'function') {
      throw invalidArgument('sink', sink, 'a function that takes bytes, or something with write()')
    }
    const write: ByteSink = typeof sink === 'function' ? sink : (bytes) => void sink.write(bytes.slice())
    const capture = new LinkCapture(write, this.#time.epoch, () => void this.#captures.delete(capture))
    this.#captures.add(capture)
    return capture
  }

  /** What is remembered of all links, as a pcapng file. */
  pcapng(): Uint8Array<ArrayBuffer> {
    const blocks: Uint8Array[] = []
    let length = 0
    const names = this.#directions.map(directionName)
    const keep: ByteSink = (bytes) => {
      length += bytes.length
      blocks.push(bytes.slice())
    }
    this.#recorder.write(keep, this.#time.epoch, names)
    const file = new Uint8Array(length)
    let at = 0
    for (const block of blocks) {
      file.set(block, at)
      at += block.length
    }
    return file
  }

  /** Forgets the packets that were recorded. */
  clearPackets(): void {
    this.#recorder.clear()
  }

  /** Resolves after so much time of the simulation. */
  sleep(duration: Duration): Promise<void> {
    return new Promise((resolve) => void this.after(duration, resolve))
  }

  /** Calls back after so much time of the simulation; the function that comes back undoes that. */
  after(duration: Duration, callback: () => void): () => void {
    const { clock } = this
    const timer = clock.setTimer(() => {
      clock.telling?.()
      callback()
    }, parseDuration(duration))
    return () => clock.clearTimer(timer)
  }

  /**
   * Time stands still until it is released: for what a program does meanwhile that neither the network nor the event
   * loop shows (files, a thread pool, another process). With `realTime` it does nothing.
   * @param what it waits for, for the message of a run that fails because it is never released
   */
  hold(what = 'a hold'): Hold {
    return this.#time.holds.open(what)
  }

  /** Holds time until `promise` has settled, and gives what it gives. */
  async busy<T>(promise: PromiseLike<T>, what = 'net.busy()'): Promise<T> {
    const hold = this.hold(what)
    try {
      return await promise
    } finally {
      hold.release()
    }
  }

  /**
   * Lets time pass until what `body` gives has settled, and gives that.
   * @throws what `body` throws, with the seed in its message; TunstackError `ERR_SIMULATION_IDLE` if it waits for
   * what will never happen, `ERR_SIMULATION_LIMIT`, `ERR_SIMULATION_HELD`, `ERR_SIMULATION_RUNNING`
   */
  async run<T>(body: () => T | Promise<T>, { limit = '24h' }: RunOptions = {}): Promise<T> {
    const duration = parseDuration(limit, 'limit')
    return await this.#guarded(async () => {
      const result = (async () => await body())()
      const outcome = await this.#time.until(result, duration)
      if (outcome === 'done') return await result
      throw this.#endedBy(outcome, limit, 'the run is not over')
    })
  }

  /**
   * Lets so much time pass. Within {@link run} it is {@link sleep}.
   * @throws what a program throws when it is told something, as {@link run}
   */
  async runFor(duration: Duration): Promise<void> {
    if (this.#running) return await this.sleep(duration)
    const nanoseconds = parseDuration(duration)
    await this.#guarded(async () => {
      if (!(await this.#time.pass(nanoseconds))) throw this.#endedBy('held', duration, '')
    })
  }

  /**
   * Lets time pass until nothing is under way and no timer is armed any more.
   * @throws TunstackError `ERR_SIMULATION_LIMIT`, `ERR_SIMULATION_HELD`, `ERR_SIMULATION_RUNNING` within {@link run},
   * `ERR_SIMULATION_REAL_TIME` where nobody knows what is under way
   */
  async runUntilIdle({ limit = '24h' }: RunOptions = {}): Promise<void> {
    const duration = parseDuration(limit, 'limit')
    await this.#guarded(async () => {
      const outcome = await this.#time.untilIdle(duration)
      if (outcome !== 'idle') throw this.#endedBy(outcome, limit, 'the network is not idle')
    })
  }

  /** Closes every host, and the captures. */
  async close(): Promise<void> {
    const closing = this.#hosts.map((host) => host.close())
    this.#time.settle()
    await Promise.all(closing)
    for (const capture of [...this.#captures]) capture.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #addHost(
    kind: 'host' | 'router',
    isRouter: boolean,
    addresses: string | readonly string[],
    options: HostOptions,
  ): H {
    const count = this.#hosts.filter((host) => host.isRouter === isRouter).length
    const name = options.name ?? `${kind}${count + 1}`
    const list = typeof addresses === 'string' ? [addresses] : addresses
    const host = this.makeHost(name, isRouter, list, options, {
      clock: this.clock,
      random: seededRandom(this.#random.int32()),
      pool: this.#pool,
    })
    this.#hosts.push(host)
    return host
  }

  /** @internal what a host of this network is */
  protected makeHost(...parts: ConstructorParameters<typeof Host>): H {
    return new Host(...parts) as H
  }

  #end(device: LinkDevice, out: Impairment): ImpairedDevice {
    return impairDevice(device, { out, random: seededRandom(this.#random.int32()) })
  }

  #nat(
    nat: LinkOptions['nat'],
    directions: readonly [LinkDirection, LinkDirection],
    addresses: readonly [string | null, string | null],
  ): { host: Host; device: NatDevice } | null {
    if (nat === undefined) return null
    const { host, ...options } = nat instanceof Host ? { host: nat } : nat
    const side = directions.findIndex(({ from }) => from === host)
    if (side < 0) throw invalidArgument('nat', host?.name, 'one of the two hosts that are linked')
    const address = options.address ?? addresses[side]?.split('/')[0]
    if (address === undefined) throw invalidArgument('nat', host.name, 'a host with an address on this link')
    const random = seededRandom(this.#random.int32())
    return { host, device: natDevice(directions[side]!.device, { ...options, address, random }) }
  }

  #observer(direction: LinkDirection): PathObserver {
    const recorder = this.#recorder
    const { origin } = this.#time
    const see = (packet: Packet, reason: DropReason, sentAt: number, now: number): void => {
      recorder.add(packet, direction.number, sentAt - origin, now - origin, reason)
      for (const capture of this.#captures) capture.write(packet, direction, now - origin, reason)
    }
    return {
      delivered: (packet, sentAt, now) => see(packet, DropReason.NONE, sentAt, now),
      dropped: see,
    }
  }

  #endedBy(outcome: Outcome, limit: Duration, what: string): TunstackError {
    const open = describeOpen(this.#hosts, this.#time.holds)
    if (outcome === 'held') {
      return new TunstackError('ERR_SIMULATION_HELD', `time is held, and nobody releases it; ${open}`)
    }
    return outcome === 'idle'
      ? new TunstackError(
          'ERR_SIMULATION_IDLE',
          'nothing more will happen in this network, and the program still waits for something ' +
            `(if that is the machine's to do, say so: net.busy(promise)); ${open}`,
        )
      : new TunstackError('ERR_SIMULATION_LIMIT', `${what} after ${String(limit)}; ${open}`, { value: limit })
  }

  async #guarded<T>(body: () => Promise<T>): Promise<T> {
    if (this.#running) {
      throw new TunstackError(
        'ERR_SIMULATION_RUNNING',
        'this network runs already; within run() await what it is to do, or sleep()',
      )
    }
    this.#running = true
    try {
      return await body()
    } catch (error) {
      throw await this.#failed(error)
    } finally {
      this.#running = false
    }
  }

  async #failed(thrown: unknown): Promise<unknown> {
    const time = this.#time.now()
    const summary = failureSummary(this.seed, time)
    const error = annotate(thrown, summary)
    await this.#onFailure?.({ error, seed: this.seed, time, summary, pcapng: this.pcapng() })
    return error
  }
}

class LinkCapture implements NetworkCapture {
  packets = 0
  readonly #writer: PcapngWriter
  readonly #interfaces = new Map<number, number>()
  readonly #ended: () => void

  constructor(sink: ByteSink, epoch: bigint, ended: () => void) {
    this.#writer = new PcapngWriter(sink, { epoch, completeChecksums: true })
    this.#ended = ended
  }

  write(packet: Packet, direction: LinkDirection, now: number, reason: DropReason): void {
    let id = this.#interfaces.get(direction.number)
    if (id === undefined) {
      id = this.#writer.addInterface(directionName(direction))
      this.#interfaces.set(direction.number, id)
    }
    const comment = reason === DropReason.NONE ? '' : `dropped: ${dropReasonName(reason)}`
    this.#writer.packet(id, packet, now, Direction.UNKNOWN, comment)
    this.packets++
  }

  close(): void {
    this.#writer.close()
    this.#ended()
  }
}

function directionName({ from, to }: LinkDirection): string {
  return `${from.name}>${to.name}`
}

/** Unused addresses on one network, if there are such; else the first of each that has any. */
function fittingAddresses(a: Host, b: Host): [string | null, string | null] {
  for (const near of a.unassigned) {
    const far = b.unassigned.find((address) => sameNetwork(near, address))
    if (far !== undefined) return [near, far]
  }
  return [a.unassigned[0] ?? null, b.unassigned[0] ?? null]
}

function sameNetwork(a: string, b: string): boolean {
  const first = parseIpv4Prefix(a)
  const second = parseIpv4Prefix(b)
  const length = Math.min(first.length, second.length)
  return length === 0 || (first.address ^ second.address) >>> (32 - length) === 0
}

function attach(host: Host, device: LinkDevice, address: string | null): void {
  host.links++
  const added = host.addDevice(device)
  if (address === null) return
  const at = host.unassigned.indexOf(address)
  if (at >= 0) host.unassigned.splice(at, 1)
  added.addAddress(address)
}

function addDefaultRoute(host: Host, router: Host, address: string | null): void {
  if (!host.wantsDefaultRoute || !router.isRouter || address === null) return
  host.wantsDefaultRoute = false
  const via = address.split('/')[0]!
  host.routes.add({ to: 'default', via, dev: `eth${host.links - 1}`, onlink: true })
}
