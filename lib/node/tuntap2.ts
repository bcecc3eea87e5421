/**
 * `tunstack/tuntap2`: the interface of the npm module `tuntap2`, which is no longer published, over this
 * project's driver. A {@link Tun} is a Duplex of IP packets, one per chunk, and needs no stack. Programs written
 * for that module run; what they gain is that reading is batched, that boundaries between packets hold under
 * every way of reading, and that closing takes effect at once.
 */
import { Duplex } from 'node:stream'
import { formatIpv4, parseIpv4Prefix } from '../address/ipv4-address.ts'
import { openTunSync, type TunOptions } from '../device/tun/open-tun.ts'
import type { TunDevice } from '../device/tun/tun-device.ts'
import { invalidArgument, TunstackError } from '../errors.ts'
import { BURST_SIZE, Burst } from '../packet/burst.ts'
import { PacketPool } from '../packet/packet-pool.ts'
import { systemClock } from '../time/system-clock.ts'

/** Packets that wait on either side of the stream before it says stop. */
const HIGH_WATER_MARK = 256

interface QueuedWrite {
  chunk: unknown
  encoding: BufferEncoding
}

/**
 * A TUN device as a stream. The interface exists from the constructor on and is down until `isUp = true`.
 * Reading gives one `Buffer` per packet; each `write()` sends one packet (a `Uint8Array`). As with any network
 * interface, a packet that the kernel refuses is dropped and counted ({@link Tun.device}`.stats`).
 */
export class Tun extends Duplex {
  /** The device below, with its counters. */
  readonly device: TunDevice
  readonly #pool = new PacketPool()
  readonly #burst = new Burst()
  #written = 0
  #budgetTimer: NodeJS.Immediate | null = null
  #waiting: (() => void) | null = null

  /** @throws TunstackError those of `openTun()` */
  constructor(options: TunOptions = {}) {
    super({ objectMode: true, highWaterMark: HIGH_WATER_MARK, decodeStrings: false })
    // Packets are bytes here, with nothing beside them that could say what is still to be done.
    this.device = openTunSync({ up: false, ...options, offload: false })
    this.device.attach({
      pool: this.#pool,
      clock: systemClock(),
      receive: (burst) => this.#receive(burst),
      schedule: () => {},
      wake: () => {},
      changed: () => {
        if (this.device.gone) this.destroy(this.device.error ?? undefined)
      },
    })
    this.device.pause()
    this.device.setUp(true)
  }

  get name(): string {
    return this.device.name
  }

  get isTun(): boolean {
    return true
  }

  get isTap(): boolean {
    return false
  }

  /** Whether the kernel's interface is up. @throws TunstackError `ERR_TUN_PERMISSION`, `ERR_TUN_CLOSED`; so do the others */
  get isUp(): boolean {
    return this.device.kernel.up
  }

  set isUp(up: boolean) {
    this.device.kernel.up = up
  }

  /** Bytes. */
  get mtu(): number {
    return this.device.kernel.mtu
  }

  set mtu(mtu: number) {
    this.device.setMtu(mtu)
  }

  /** The interface's IPv4 address and prefix length, `'10.0.0.100/24'`; `null` if it has none. */
  get ipv4(): string | null {
    const prefix = this.device.kernel.address
    return prefix === null ? null : `${formatIpv4(prefix.address)}/${prefix.length}`
  }

  set ipv4(text: string) {
    if (typeof text !== 'string' || !text.includes('/')) {
      throw invalidArgument('ipv4', text, 'an address with prefix length, such as 10.0.0.100/24')
    }
    this.device.kernel.setAddress(parseIpv4Prefix(text), text)
  }

  /** @throws TunstackError always `ERR_TUN_IPV6_UNSUPPORTED` */
  get ipv6(): string {
    throw ipv6Unsupported(this.name, undefined)
  }

  set ipv6(text: string) {
    throw ipv6Unsupported(this.name, text)
  }

  /** A TUN carries IP packets: it has no MAC address. */
  get mac(): string {
    return '00:00:00:00:00:00'
  }

  set mac(mac: string) {
    throw new TunstackError('ERR_TUN_NO_MAC', `'${this.name}' is a TUN: it has no MAC address to set`, {
      value: mac,
    })
  }

  /** Closes the device; the interface vanishes at once. The callback comes when the stream has closed. */
  release(callback?: (error?: Error) => void): void {
    if (callback !== undefined) {
      if (this.closed) process.nextTick(callback)
      else this.once('close', () => callback())
    }
    this.destroy()
  }

  /** Keeps the process alive while it is open, as it does by default. */
  ref(): this {
    this.device.ref()
    return this
  }

  unref(): this {
    this.device.unref()
    return this
  }

  override _read(): void {
    this.device.resume()
  }

  override _write(chunk: unknown, encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#send([{ chunk, encoding }], 0, callback)
  }

  override _writev(chunks: QueuedWrite[], callback: (error?: Error | null) => void): void {
    this.#send(chunks, 0, callback)
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (this.#budgetTimer !== null) clearImmediate(this.#budgetTimer)
    this.#budgetTimer = null
    this.#waiting = null
    // The device is missing if the constructor threw.
    if (this.device !== undefined) this.device.close()
    callback(error)
  }

  /** Packets belong to the pool; the reader gets bytes of its own. */
  #receive(burst: Burst): void {
    let room = true
    for (let i = 0; i < burst.length; i++) {
      const packet = burst.packets[i]!
      const bytes = Buffer.allocUnsafe(packet.length)
      packet.copyTo(bytes)
      packet.free()
      // A listener of 'data' may have closed the device: then push() ignores the rest.
      room = this.push(bytes)
    }
    burst.clear()
    if (!room && !this.destroyed) this.device.pause()
  }

  /**
   * Writes packets `from…` and calls back. The kernel takes a packet synchronously, however long that takes, so
   * fairness is kept here: after a burst's worth of packets the event loop has its turn.
   */
  #send(chunks: QueuedWrite[], from: number, callback: (error?: Error | null) => void): void {
    const burst = this.#burst
    const to = Math.min(chunks.length, from + BURST_SIZE - this.#written)
    let failure: TunstackError | null = null
    for (let i = from; i < to && failure === null; i++) failure = this.#queue(chunks[i]!)
    this.#written += burst.length
    const taken = this.device.transmit(burst)
    const held = burst.length - taken
    for (let i = taken; i < burst.length; i++) burst.packets[i]!.free()
    burst.clear()
    this.#budgetTimer ??= setImmediate(this.#renewBudget)
    if (held > 0) this.#waiting = () => this.#send(chunks, from + taken, callback)
    else if (failure !== null) callback(failure)
    else if (to < chunks.length) this.#waiting = () => this.#send(chunks, to, callback)
    else if (this.#written >= BURST_SIZE) this.#waiting = callback
    else callback()
  }

  #queue({ chunk, encoding }: QueuedWrite): TunstackError | null {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk
    if (!(bytes instanceof Uint8Array))
      return invalidArgument('chunk', chunk, 'a Buffer or Uint8Array with one IP packet')
    if (bytes.length > 65535)
      return invalidArgument('chunk', `${bytes.length} bytes`, 'one IP packet of 65535 bytes at most')
    this.#burst.push(this.#pool.from(bytes)!)
    return null
  }

  readonly #renewBudget = (): void => {
    this.#budgetTimer = null
    this.#written = 0
    const waiting = this.#waiting
    this.#waiting = null
    waiting?.()
  }
}

/** Refused: this project's driver carries IP packets, not Ethernet frames. */
export class Tap {
  /** @throws TunstackError always `ERR_TAP_UNSUPPORTED` */
  constructor() {
    throw new TunstackError(
      'ERR_TAP_UNSUPPORTED',
      'TAP devices (Ethernet frames) are not supported: use Tun',
      {
        value: 'tap',
      },
    )
  }
}

function ipv6Unsupported(name: string, value: unknown): TunstackError {
  return new TunstackError(
    'ERR_TUN_IPV6_UNSUPPORTED',
    `IPv6 addresses of '${name}' cannot be read or set here: use 'ip -6 addr add … dev ${name}'`,
    { value },
  )
}
