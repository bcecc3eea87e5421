/**
 * One host: the equivalent of a Linux network namespace. It has devices, addresses, routes, rules, settings,
 * counters, and the protocols above them; and a loopback device from the start. Several can live in one process.
 */
import { parseIpv4 } from '../address/ipv4-address.ts'
import type { LinkDevice } from '../device/link-device.ts'
import { Loopback } from '../device/loopback.ts'
import { DeviceTable, NetDevice } from '../device/net-device.ts'
import { Softirq } from '../device/softirq.ts'
import { invalidArgument, TunstackError } from '../errors.ts'
import { Ipv4 } from '../ipv4/ipv4.ts'
import { type Capture, type CaptureOptions, Captures } from '../observe/capture.ts'
import { Mib } from '../observe/mib.ts'
import { Gro } from '../offload/gro.ts'
import type { Burst } from '../packet/burst.ts'
import type { Packet } from '../packet/packet.ts'
import { PacketPool } from '../packet/packet-pool.ts'
import { Icmp } from '../ping/icmp-socket.ts'
import { type PingOptions, ping } from '../ping/ping.ts'
import { PingProtocol } from '../ping/ping-endpoint.ts'
import type { PingResult } from '../ping/ping-result.ts'
import { Random, type RandomSource, systemRandom } from '../random/random.ts'
import { HalfSipHash } from '../random/siphash.ts'
import { Raw } from '../raw/raw.ts'
import { Fib, IPV4_MIN_MTU } from '../route/fib.ts'
import { InetAddresses } from '../route/inet-addresses.ts'
import { MulticastGroups } from '../route/multicast-groups.ts'
import { Routing } from '../route/routing.ts'
import { Sysctl } from '../sysctl/sysctl.ts'
import { Tcp } from '../tcp/tcp.ts'
import { TcpApi } from '../tcp/tcp-api.ts'
import type { Clock } from '../time/clock.ts'
import { systemClock } from '../time/system-clock.ts'
import { Timer, TimerWheel } from '../time/timer-wheel.ts'
import { Udp } from '../udp/udp.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { DeviceHost } from './device-host.ts'
import { type ExplainOptions, type Explanation, explain } from './explain.ts'
import { Interface } from './interface.ts'
import { Routes } from './routes.ts'

export interface StackOptions {
  /** The machine's clock unless given; a `VirtualClock` for tests and simulations. */
  clock?: Clock
  /** The runtime's cryptographic generator unless given. */
  random?: RandomSource
  /** Bytes of packet memory at most; 64 MiB by default. Memory is taken when first needed. */
  packetMemory?: number
  /** Packet memory that is shared with other stacks, instead of some of its own. */
  pool?: PacketPool
  /** Whether the loopback device starts up, with 127.0.0.1/8; `true` by default (in Linux it starts down). */
  loopbackUp?: boolean
}

export interface AddDeviceOptions {
  /** Interface name; the device's own unless given. */
  name?: string
  /** Bring it up at once; `true` by default. */
  up?: boolean
}

const MILLISECONDS_PER_DAY = 86_400_000

/** With less not one packet could be made: the pool takes memory for small packets in pieces of this size. */
const MIN_PACKET_MEMORY = 64 * 2048

/** Beside what programs use it is the `Ipv4Context` and the `NetDeviceOwner`: what IPv4 and devices ask of a stack. */
export class Stack {
  readonly clock: Clock
  readonly pool: PacketPool
  /** @internal */
  readonly random: Random
  /** @internal */
  readonly hash: HalfSipHash
  /** Settings under the names of `sysctl`: `stack.sysctl.get('net.ipv4.ip_forward')`. */
  readonly sysctl: Sysctl = new Sysctl()
  /** Counters under the names of `nstat`: `stack.mib.get('IcmpInEchos')`. */
  readonly mib: Mib = new Mib()
  /** @internal {@link interfaces} are what programs see of them */
  readonly devices: DeviceTable = new DeviceTable()
  /** @internal tables, addresses and decisions */
  readonly routing: Routing
  readonly routes: Routes
  readonly loopback: Interface
  /** @internal */
  readonly ipv4: Ipv4
  /** @internal */
  readonly softirq: Softirq
  /** @internal */
  readonly timers: TimerWheel
  /** @internal */
  readonly pings: PingProtocol
  /** Sockets for echo requests. */
  readonly icmp: Icmp
  /** UDP sockets: `stack.udp.bind({ port: 53 })`. */
  readonly udp: Udp
  /** Raw sockets: `stack.raw.open({ protocol: 'icmp' })`. */
  readonly raw: Raw
  /** TCP: `stack.tcp.connect({ address, port })`, `stack.tcp.listen({ port })`. */
  readonly tcp: TcpApi
  /** @internal */
  readonly tcpProtocol: Tcp
  readonly #captures: Captures
  readonly #gro = new Gro()
  /** Devices that take TCP super-segments, loopback aside: for them it pays to merge what is forwarded. */
  #tsoDevices = 0
  readonly #interfaces = new Map<NetDevice, Interface>()
  readonly #epochMillisecondsOfDay: number
  readonly #reassemblyTimer = new Timer(() => this.#expireReassembly())
  readonly #addressTimer = new Timer(() => this.#expireAddresses())
  #closing: Promise<void> | null = null

  /**
   * @throws TunstackError `ERR_NO_CLOCK`, `ERR_NO_RANDOM` where the runtime has none and none is given;
   * `ERR_INVALID_ARG_VALUE` for an option
   */
  constructor(options: StackOptions = {}) {
    checkOptions(options)
    this.clock = options.clock ?? systemClock()
    this.random = new Random(options.random ?? systemRandom())
    this.hash = new HalfSipHash(this.random.int32(), this.random.int32())
    const { packetMemory: limit } = options
    this.pool = options.pool ?? new PacketPool(limit === undefined ? {} : { limit })
    this.#epochMillisecondsOfDay = Number((this.clock.epoch / 1_000_000n) % BigInt(MILLISECONDS_PER_DAY))
    this.timers = new TimerWheel(this.clock)
    this.softirq = new Softirq(
      this.clock,
      (burst, device) => this.burstReceived(burst, device),
      () => this.ipv4.settle(),
    )
    this.#captures = new Captures(this.clock)

    const { devices, sysctl, hash } = this
    const fib = new Fib({ devices, sysctl })
    const addresses = new InetAddresses({ fib, devices, sysctl })
    this.routing = new Routing({
      fib,
      addresses,
      groups: new MulticastGroups(),
      devices,
      sysctl,
      hash,
      time: this.softirq,
    })
    this.routes = new Routes(this)
    this.ipv4 = new Ipv4(this)
    this.ipv4.backlog = (packet, device) => this.#receiveLater(packet, device)
    this.ipv4.reassemblyPending = () => this.#armReassembly()
    this.pings = new PingProtocol(this.ipv4, this.softirq)
    this.icmp = new Icmp(this.pings)
    this.udp = new Udp(this.ipv4, this.softirq)
    this.raw = new Raw(this.ipv4, this.softirq)
    this.tcpProtocol = new Tcp(this.ipv4, this.softirq, this.timers)
    this.tcp = new TcpApi(this.tcpProtocol)

    const loopback = new Loopback()
    this.loopback = this.#add(loopback, loopback.name)
    this.routing.loopback = this.loopback.device
    if (options.loopbackUp ?? true) this.loopback.up()
  }

  /** @internal */
  get time(): { readonly now: number } {
    return this.softirq
  }

  /** Stack time in nanoseconds at the beginning of the present burst. */
  get now(): number {
    return this.softirq.now
  }

  /** @internal */
  millisecondsOfDay(): number {
    return Math.floor(this.#epochMillisecondsOfDay + this.clock.now() / 1e6) % MILLISECONDS_PER_DAY
  }

  /**
   * Attaches a device and brings it up. The stack owns it from then on and closes it with itself.
   * @throws TunstackError `EEXIST`, `EINVAL` for its name; `EBUSY` if it belongs to a stack already;
   * `ERR_INVALID_ARG_VALUE`, `ERR_STACK_CLOSED`
   */
  addDevice(link: LinkDevice, options: AddDeviceOptions = {}): Interface {
    this.#checkOpen()
    if (typeof link?.attach !== 'function' || typeof link.transmit !== 'function') {
      const expected = 'a LinkDevice: one end of createPipe(), what openTun() gives once it was awaited, …'
      throw invalidArgument('device', link, expected)
    }
    const added = this.#add(link, options.name ?? link.name)
    if (options.up ?? true) added.up()
    return added
  }

  /** The interface of that name. @throws TunstackError `ENODEV` */
  interface(name: string): Interface {
    const device = this.devices.byName(name)
    const found = device === undefined ? undefined : this.#interfaces.get(device)
    if (found === undefined) {
      throw new TunstackError('ENODEV', `there is no device '${name}' in this stack`, { value: name })
    }
    return found
  }

  /** All interfaces in order of their index. */
  get interfaces(): Interface[] {
    return [...this.#interfaces.values()]
  }

  /**
   * Sends echo requests to an address and waits for the replies.
   * @throws TunstackError `ERR_INVALID_ARG_VALUE`, `ENODEV`, `EAGAIN` (too many pings run), `ERR_STACK_CLOSED`; the
   * reason of `signal` if it is aborted before the start; what `onProbe` throws
   */
  async ping(address: string, options: PingOptions = {}): Promise<PingResult> {
    this.#checkOpen()
    return ping(this.pings, this.timers, this.clock, parseIpv4(address), options)
  }

  /**
   * Captures packets: `stack.capture({ device: 'any', sink })` writes pcapng, `listener` gets each packet. Ends
   * with `capture.close()`, at a limit, or with the stack.
   * @throws TunstackError `ERR_INVALID_ARG_VALUE`, `ERR_STACK_CLOSED`
   */
  capture(options: CaptureOptions): Capture {
    this.#checkOpen()
    return this.#captures.start(options, this.devices)
  }

  /**
   * Shows the path of a packet step by step, without sending one: for a destination, of what this host would send
   * there; for the bytes of a packet, of what arrives on `options.device`.
   * @throws TunstackError `ERR_INVALID_ARG_VALUE`
   */
  explain(target: string | Uint8Array, options: ExplainOptions = {}): Explanation {
    return explain(this, target, options)
  }

  /** Reads a setting: `sysctlGet('net.ipv4.ip_forward')`. @throws TunstackError `ENOENT` */
  sysctlGet(name: string): string {
    return this.sysctl.get(name)
  }

  /** Writes a setting, as `sysctl -w` does. @throws TunstackError `ENOENT`, `EINVAL`, `EACCES` */
  sysctlSet(name: string, value: string | number): this {
    this.sysctl.set(name, value)
    return this
  }

  /** Closes every device and endpoint. Calls that wait for something end. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** @internal */
  drop(packet: Packet, reason: number, device: NetDevice | null): void {
    this.mib.drops[reason]!++
    if (this.#captures.wantDrops) this.#captures.dropped(packet, reason, device)
    packet.free()
  }

  /** @internal */
  consume(packet: Packet): void {
    packet.free()
  }

  /** @internal */
  transmitPending(device: NetDevice): void {
    this.softirq.transmitPending(device)
  }

  /** @internal a burst from a device, within softirq */
  burstReceived(burst: Burst, device: NetDevice): void {
    const { packets } = burst
    if (!device.up) {
      const { length } = burst
      for (let i = 0; i < length; i++) this.drop(packets[i]!, DropReason.DEV_READY, device)
      burst.clear()
      return
    }
    if (burst.length > 1 && device.gro) this.#merge(burst, device)
    const { length } = burst
    const { taps } = device
    const { echoes, input } = this.ipv4
    for (let i = 0; i < length; i++) {
      const packet = packets[i]!
      packets[i] = null
      packet.device = device
      packet.iif = device.ifindex
      if (echoes.answer(packet, device)) continue
      for (let t = 0; t < taps.length; t++) taps[t]!(packet, device, false)
      // TUN has no ethertype: the version nibble tells the family.
      const version = packet.end > packet.start ? packet.bytes[packet.start]! >>> 4 : 0
      if (version === 6) this.drop(packet, DropReason.UNHANDLED_PROTO, device)
      else input.receive(packet, device)
    }
    burst.length = 0
  }

  /** @internal carrier, MTU, or the end of a device */
  deviceChanged(device: NetDevice): void {
    if (!this.#interfaces.has(device)) return
    const carrierChanged = device.noteChange()
    const { addresses } = this.routing
    addresses.mtuChanged(device)
    if (device.mtu < IPV4_MIN_MTU) this.routing.groups.removeDevice(device)
    if (!device.carriesInet6) device.addrGenMode = 'eui64'
    this.routing.flush()
    if (device.link.gone && device.up) this.setDeviceUp(device, false)
    else if (carrierChanged && device.up) addresses.deviceCarrier(device)
  }

  /** @internal `ip link set up|down` */
  setDeviceUp(device: NetDevice, up: boolean): void {
    if (device.up === up) return
    const { addresses } = this.routing
    this.softirq.enter()
    try {
      device.up = up
      if (up) {
        device.attachQdisc()
        device.link.setUp(true)
        addresses.deviceUp(device, this.clock.now())
        this.ipv4.igmp.deviceUp(device)
      } else {
        this.ipv4.igmp.deviceDown(device)
        device.link.setUp(false)
        device.purge()
        addresses.deviceDown(device)
      }
      this.routing.flush()
    } finally {
      this.softirq.leave()
    }
  }

  /** @internal a lifetime may have to be watched */
  addressesChanged(): void {
    this.#expireAddresses()
  }

  /** @internal */
  async removeDevice(removed: Interface): Promise<void> {
    const { device } = removed
    if (!this.#interfaces.has(device)) return
    this.setDeviceUp(device, false)
    this.routing.addresses.deviceRemoved(device)
    this.routing.groups.removeDevice(device)
    this.ipv4.igmp.deviceRemoved(device)
    this.#captures.deviceRemoved(device)
    this.softirq.forget(device)
    this.#interfaces.delete(device)
    this.devices.remove(device)
    if (takesSuperSegments(device)) this.#tsoDevices--
    await device.link.close()
  }

  #add(link: LinkDevice, name: string): Interface {
    const host = new DeviceHost(this.pool, this.clock, this.softirq, this)
    const device = new NetDevice(link, this.devices.takeIndex(), name, this)
    host.device = device
    this.devices.add(device)
    try {
      link.attach(host)
    } catch (error) {
      this.devices.remove(device)
      throw error
    }
    if (takesSuperSegments(device)) this.#tsoDevices++
    this.routing.addresses.deviceAdded(device)
    this.#captures.deviceAdded(device)
    const added = new Interface(this, device)
    this.#interfaces.set(device, added)
    return added
  }

  /** Merges what is merged for somebody: an endpoint here, or a device that packets are forwarded to. */
  #merge(burst: Burst, device: NetDevice): void {
    const gro = this.#gro
    const others = this.#tsoDevices - (takesSuperSegments(device) ? 1 : 0)
    gro.tcp =
      this.tcpProtocol.hasEndpoints || (others > 0 && this.sysctl.conf(device.ifindex).forwardingEnabled)
    gro.wantsUdp = this.udp.wantsMerged
    if (gro.tcp || gro.wantsUdp !== null) gro.merge(burst, device.link.features.receiveChecksumGood)
  }

  async #close(): Promise<void> {
    this.softirq.enter() // what the application has sent still leaves
    this.softirq.leave()
    const closing = [...this.#interfaces.values()].reverse().map((each) => this.removeDevice(each))
    this.timers.cancel(this.#reassemblyTimer)
    this.timers.cancel(this.#addressTimer)
    this.ipv4.reassembly.clear()
    this.pings.close()
    this.udp.close()
    this.raw.close()
    this.tcpProtocol.stop()
    this.softirq.stop((packet) => this.drop(packet, DropReason.QUEUE_PURGE, null))
    this.#captures.close()
    await Promise.all(closing)
  }

  #checkOpen(): void {
    if (this.#closing === null) return
    throw new TunstackError('ERR_STACK_CLOSED', 'this stack was closed; make another one')
  }

  /** A copy of what this host broadcasts comes in once the present packet is done with. */
  #receiveLater(packet: Packet, device: NetDevice): void {
    if (!this.softirq.receiveLater(packet, device)) this.drop(packet, DropReason.CPU_BACKLOG, device)
  }

  #armReassembly(): void {
    if (this.#reassemblyTimer.armed) return
    this.timers.schedule(this.#reassemblyTimer, this.softirq.now + this.sysctl.ipv4.ipfrag_time * 1e9)
  }

  #expireReassembly(): void {
    this.softirq.enter()
    let next = Number.POSITIVE_INFINITY
    try {
      next = this.ipv4.reassembly.expire(this.softirq.now)
    } finally {
      this.softirq.leave()
    }
    if (next !== Number.POSITIVE_INFINITY) this.timers.schedule(this.#reassemblyTimer, next)
  }

  #expireAddresses(): void {
    const next = this.routing.addresses.expire(this.clock.now())
    if (next === Number.POSITIVE_INFINITY) this.timers.cancel(this.#addressTimer)
    else this.timers.schedule(this.#addressTimer, next)
  }
}

function takesSuperSegments({ isLoopback, link }: NetDevice): boolean {
  return !isLoopback && link.features.checksum && link.features.tso
}

function checkOptions({ clock, random, packetMemory, pool }: StackOptions): void {
  if (clock !== undefined && (typeof clock?.setTimer !== 'function' || typeof clock.epoch !== 'bigint')) {
    throw invalidArgument('clock', clock, 'a Clock, such as new VirtualClock()')
  }
  if (random !== undefined && typeof random?.fill !== 'function') {
    throw invalidArgument('random', random, 'a RandomSource, such as seededRandom(1)')
  }
  if (packetMemory !== undefined && !(packetMemory >= MIN_PACKET_MEMORY)) {
    throw invalidArgument('packetMemory', packetMemory, `${MIN_PACKET_MEMORY} bytes or more`)
  }
  if (pool !== undefined && (!(pool instanceof PacketPool) || packetMemory !== undefined)) {
    throw invalidArgument('pool', pool, 'a PacketPool, and packetMemory is left to it')
  }
}
