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
import { MILLISECOND } from '../time/clock.ts'
import { systemClock } from '../time/system-clock.ts'
import { VirtualClock } from '../time/virtual-clock.ts'
import { type Duration, parseDuration, parseSize, type Size } from '../units.ts'
import { DropReason, dropReasonName } from '../wire/drop-reason.ts'
import { annotate, failureSummary, type SimulationFailure } from './failure.ts'
import { Host, type HostOptions } from './host.ts'
import { Link, type LinkDirection, type LinkOptions } from './link.ts'
import { Recorder } from './recorder.ts'

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
}

export interface RunOptions {
  /** Time of the simulation after which the run is given up; `'24h'` by default. */
  limit?: Duration
}

export interface NetworkCapture {
  readonly packets: number
  close(): void
}

/** Events between two turns of the machine's event loop at most: so a long run can be interrupted. */
const EVENTS_PER_TURN = 4096
/** Turns of the event loop in which nothing may happen until nothing is expected to happen any more. */
const IDLE_TURNS = 20

/** A new network, empty. @throws TunstackError `ERR_INVALID_ARG_VALUE` */
export function simulate(options: SimulateOptions = {}): Simulation {
  return new Simulation(options)
}

export class Simulation {
  readonly seed: number
  readonly clock: VirtualClock
  readonly hosts: readonly Host[]
  readonly links: readonly Link[]
  readonly #hosts: Host[] = []
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
    this.clock = new VirtualClock(options.epoch)
    this.#random = new Random(seededRandom(this.seed))
    this.#pool = new PacketPool({ limit: parseSize(options.packetMemory ?? '256mb', 'packetMemory') })
    this.#recorder = new Recorder(parseSize(options.record ?? '16mb', 'record'), options.snaplen ?? 65535)
    this.#onFailure = options.onFailure
  }

  /** Milliseconds since the simulation began. */
  get time(): number {
    return this.clock.now() / MILLISECOND
  }

  /** Events so far: packets that arrived, timers that fired. */
  get events(): number {
    return this.clock.fired
  }

  /**
   * A host. Its addresses, each with prefix length, go to its links as they are made.
   * @throws TunstackError `ERR_INVALID_ARG_VALUE`
   */
  host(addresses: string | readonly string[] = [], options: HostOptions = {}): Host {
    return this.#addHost('host', false, addresses, options)
  }

  /** A host that forwards: hosts that are linked to it have their default route by it. */
  router(addresses: string | readonly string[] = [], options: HostOptions = {}): Host {
    return this.#addHost('router', true, addresses, options)
  }

  /**
   * Links two hosts by a new device of each, `eth0`, `eth1`, …, up and with an address.
   * @throws TunstackError `ERR_INVALID_ARG_VALUE`, and what `addDevice` and `addAddress` throw
   */
  link(a: Host, b: Host, options: LinkOptions = {}): Link {
    for (const host of [a, b]) {
      if (!this.#hosts.includes(host)) throw invalidArgument('host', host, 'one that this network has made')
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
    const capture = new LinkCapture(write, this.clock.epoch, () => void this.#captures.delete(capture))
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
    this.#recorder.write(keep, this.clock.epoch, names)
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
    const delay = parseDuration(duration)
    return new Promise((resolve) => {
      this.clock.setTimer(() => {
        this.clock.telling()
        resolve()
      }, delay)
    })
  }

  /** Calls back after so much time of the simulation; the function that comes back undoes that. */
  after(duration: Duration, callback: () => void): () => void {
    const timer = this.clock.setTimer(() => {
      this.clock.telling()
      callback()
    }, parseDuration(duration))
    return () => this.clock.clearTimer(timer)
  }

  /**
   * Lets time pass until what `body` gives has settled, and gives that.
   * @throws what `body` throws, with the seed in its message; TunstackError `ERR_SIMULATION_IDLE` if it waits for
   * what will never happen, `ERR_SIMULATION_LIMIT`, `ERR_SIMULATION_RUNNING`
   */
  async run<T>(body: () => T | Promise<T>, { limit = '24h' }: RunOptions = {}): Promise<T> {
    const deadline = this.clock.now() + parseDuration(limit, 'limit')
    return await this.#guarded(async () => {
      let settled = false
      const result = (async () => await body())()
      const mark = (): void => void (settled = true)
      result.then(mark, mark)
      const outcome = await this.#drive(deadline, () => settled)
      if (outcome === 'done') return await result
      throw outcome === 'idle'
        ? new TunstackError(
            'ERR_SIMULATION_IDLE',
            'nothing more will happen in this network, and the program still waits for something',
          )
        : new TunstackError('ERR_SIMULATION_LIMIT', `the run is not over after ${String(limit)}`, {
            value: limit,
          })
    })
  }

  /**
   * Lets so much time pass. Within {@link run} it is {@link sleep}.
   * @throws what a program throws when it is told something, as {@link run}
   */
  async runFor(duration: Duration): Promise<void> {
    if (this.#running) return await this.sleep(duration)
    const deadline = this.clock.now() + parseDuration(duration)
    await this.#guarded(async () => {
      await this.#drive(deadline, () => false)
      this.clock.advance(deadline - this.clock.now())
    })
  }

  /**
   * Lets time pass until nothing is under way and no timer is armed any more.
   * @throws TunstackError `ERR_SIMULATION_LIMIT`, `ERR_SIMULATION_RUNNING` within {@link run}
   */
  async runUntilIdle({ limit = '24h' }: RunOptions = {}): Promise<void> {
    const deadline = this.clock.now() + parseDuration(limit, 'limit')
    await this.#guarded(async () => {
      if ((await this.#drive(deadline, () => false)) === 'idle') return
      throw new TunstackError('ERR_SIMULATION_LIMIT', `the network is not idle after ${String(limit)}`, {
        value: limit,
      })
    })
  }

  /** Closes every host, and the captures. */
  async close(): Promise<void> {
    const closing = this.#hosts.map((host) => host.close())
    this.clock.advance(0)
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
  ): Host {
    const count = this.#hosts.filter((host) => host.isRouter === isRouter).length
    const name = options.name ?? `${kind}${count + 1}`
    const list = typeof addresses === 'string' ? [addresses] : addresses
    const host = new Host(name, isRouter, list, options, {
      clock: this.clock,
      random: seededRandom(this.#random.int32()),
      pool: this.#pool,
    })
    this.#hosts.push(host)
    return host
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
    const see = (packet: Packet, reason: DropReason, sentAt: number, now: number): void => {
      recorder.add(packet, direction.number, sentAt, now, reason)
      for (const capture of this.#captures) capture.write(packet, direction, now, reason)
    }
    return {
      delivered: (packet, sentAt, now) => see(packet, DropReason.NONE, sentAt, now),
      dropped: see,
    }
  }

  /** From event to event: until `done`, until `deadline` is next, or until nothing is expected any more. */
  async #drive(deadline: number, done: () => boolean): Promise<'done' | 'idle' | 'late'> {
    const { clock } = this
    const machine = systemClock()
    const turn = (resolve: () => void): void => machine.soon(resolve)
    let idle = 0
    for (;;) {
      await new Promise<void>(turn)
      if (done()) return 'done'
      const { told } = clock
      let events = 0
      while (clock.told === told && events < EVENTS_PER_TURN && clock.step(deadline)) events++
      if (events > 0) idle = 0
      else if (clock.untilNext() !== undefined) return 'late'
      else if (idle++ === IDLE_TURNS) return 'idle'
    }
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
    const time = this.clock.now()
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
