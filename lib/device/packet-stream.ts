/**
 * Makes a device of any stream whose chunks are IP packets: a Node `Duplex` in object mode, such as that of the
 * `tuntap2` module, a WebSocket wrapper or a test's. Backpressure goes both ways: while the stack has enough
 * waiting the stream is paused, while the stream is full the stack keeps its packets.
 */
import { invalidArgument } from '../errors.ts'
import type { Burst } from '../packet/burst.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { type LinkDevice, LinkFlag, NO_FEATURES } from './link-device.ts'
import { LinkStat } from './link-stats.ts'
import { SoftwareDevice } from './software-device.ts'

/** The part of a Node `Duplex` that is used. It must emit `'close'` once it is destroyed. */
export interface PacketDuplex {
  on(event: string, listener: (...args: never[]) => void): unknown
  write(chunk: Uint8Array): boolean
  pause(): unknown
  resume(): unknown
  destroy(): unknown
  readonly closed?: boolean
}

export interface PacketStreamOptions {
  /** `'stream0'` by default. */
  name?: string
  /** Bytes; 1500 by default, 68…65535. */
  mtu?: number
  /** Each chunk begins with the 4-byte packet information of a TUN device that was opened without `IFF_NO_PI`. */
  pi?: boolean
  /** Packets that may wait for the stack, 500 by default. */
  queue?: number
}

/** What a device over a stream adds: why it ended. */
export interface PacketStreamDevice extends LinkDevice {
  /** What the stream failed with; `undefined` if it did not. */
  readonly error: unknown
}

/** Flags (0) and EtherType, both big-endian (Linux's `struct tun_pi`). */
const PI_LENGTH = 4
const ETHERTYPE_IPV4 = 0x0800
const ETHERTYPE_IPV6 = 0x86dd
const MAX_PACKET = 65535

/**
 * The device over `duplex`, which it owns from now on: closing one closes the other.
 * @throws TunstackError `ERR_INVALID_ARG_VALUE` for what is no stream; `EINVAL` for a name, an MTU or a queue that
 * cannot be
 */
export function fromPacketStream(
  duplex: PacketDuplex,
  options: PacketStreamOptions = {},
): PacketStreamDevice {
  for (const method of ['on', 'write', 'pause', 'resume', 'destroy'] as const) {
    if (typeof duplex?.[method] === 'function') continue
    throw invalidArgument('stream', duplex, `a Duplex of packets; it has no ${method}()`)
  }
  return new StreamDevice(duplex, options)
}

class StreamDevice extends SoftwareDevice implements PacketStreamDevice {
  error: unknown
  readonly #duplex: PacketDuplex
  readonly #pi: boolean
  readonly #closed: Promise<void>
  /** The stream has enough; `'drain'` is due. */
  #full = false
  #transmitting = false
  #paused = true

  constructor(
    duplex: PacketDuplex,
    { name = 'stream0', mtu = 1500, pi = false, queue = 500 }: PacketStreamOptions,
  ) {
    super({
      name,
      type: 'none',
      flags: LinkFlag.POINTOPOINT | LinkFlag.NOARP | LinkFlag.MULTICAST,
      mtu,
      minMtu: 68,
      maxMtu: MAX_PACKET,
      features: NO_FEATURES,
      qdisc: 'pfifo_fast',
      receiveQueue: queue,
    })
    this.#duplex = duplex
    this.#pi = pi
    duplex.pause() // a listener for 'data' would start it
    duplex.on('data', (chunk: unknown) => this.#data(chunk))
    duplex.on('drain', () => this.#drained())
    duplex.on('end', () => this.leave())
    duplex.on('error', (error: unknown) => {
      this.error ??= error
      this.leave()
    })
    this.#closed = new Promise((resolve) => {
      duplex.on('close', () => {
        this.leave()
        resolve()
      })
      if (duplex.closed === true) {
        this.leave()
        resolve()
      }
    })
  }

  override setUp(up: boolean): void {
    super.setUp(up)
    this.#throttle()
  }

  override transmit(burst: Burst): number {
    if (!this.open) return this.refuse(burst)
    this.#transmitting = true
    let taken = 0
    // It may end while it is written to; what is left then is refused like anything that comes later.
    for (; taken < burst.length && !this.#full && this.open; taken++) {
      const packet = burst.packets[taken]!
      const chunk = this.#chunkOf(packet.length)
      packet.copyTo(chunk, chunk.length - packet.length)
      if (this.#pi) writePacketInformation(chunk)
      this.stats.sent(1, packet.length)
      packet.free()
      this.#write(chunk)
    }
    this.#transmitting = false
    if (this.open) return taken
    for (; taken < burst.length; taken++) {
      this.drop(burst.packets[taken]!, LinkStat.txDropped, DropReason.DEV_READY)
    }
    return taken
  }

  override poll(burst: Burst): boolean {
    const more = super.poll(burst)
    this.#throttle()
    return more
  }

  override async close(): Promise<void> {
    this.leave()
    this.#duplex.destroy()
    await this.#closed
  }

  #write(chunk: Uint8Array): void {
    this.#full = true // beforehand: a stream may drain before write() returns
    try {
      if (this.#duplex.write(chunk)) this.#full = false
    } catch (error) {
      this.error ??= error
      this.leave()
    }
  }

  #chunkOf(length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#pi ? length + PI_LENGTH : length)
  }

  #data(chunk: unknown): void {
    const skip = this.#pi ? PI_LENGTH : 0
    if (!(chunk instanceof Uint8Array) || chunk.length <= skip || chunk.length - skip > MAX_PACKET) {
      this.stats.increment(LinkStat.rxErrors)
      this.stats.increment(LinkStat.rxLengthErrors)
      return
    }
    const length = chunk.length - skip
    const packet = this.open ? this.host!.pool.allocate(length) : null
    if (packet === null) {
      this.stats.increment(LinkStat.rxDropped)
      return
    }
    packet.bytes.set(skip === 0 ? chunk : chunk.subarray(skip), packet.put(length))
    packet.networkHeader = packet.start
    if (!this.received.push(packet)) {
      this.drop(packet, LinkStat.rxDropped, DropReason.FULL_RING)
      return
    }
    this.stats.received(1, length)
    this.#throttle()
    this.host!.schedule()
  }

  #drained(): void {
    if (!this.#full) return
    this.#full = false
    if (!this.#transmitting) this.host?.wake()
  }

  /** Pauses the stream while half of the queue waits, or while the device is down. */
  #throttle(): void {
    if (this.gone) return
    const pause = !this.open || this.received.length * 2 >= this.received.limit
    if (pause === this.#paused) return
    this.#paused = pause
    if (pause) this.#duplex.pause()
    else this.#duplex.resume()
  }
}

function writePacketInformation(chunk: Uint8Array): void {
  const etherType = chunk[PI_LENGTH]! >>> 4 === 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4
  chunk[2] = etherType >>> 8
  chunk[3] = etherType & 0xff
}
