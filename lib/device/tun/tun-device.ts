/**
 * A Linux TUN device as a {@link LinkDevice}. What programs on this machine send to the interface is read
 * straight into packets of the stack's pool, up to {@link BURST_SIZE} per call from the event loop; what the
 * stack sends is written in one native call per burst. Reading is level-triggered, so that nothing is lost by
 * pausing: the kernel keeps `txqueuelen` packets and drops what comes after. Nothing here throws from the
 * event loop: what ends the device is in {@link TunDevice.error}, and the stack is told by `changed()`.
 */
import { Errno, TunstackError } from '../../errors.ts'
import { BURST_SIZE, Burst } from '../../packet/burst.ts'
import type { Packet } from '../../packet/packet.ts'
import { type Clock, MILLISECOND, type TimerHandle } from '../../time/clock.ts'
import { DropReason } from '../../wire/drop-reason.ts'
import { type LinkDevice, type LinkFeatures, LinkFlag, type LinkHost } from '../link-device.ts'
import { LinkStat, LinkStats } from '../link-stats.ts'
import type { ReadCallback, TunDriver, TunHandle } from './driver.ts'
import { closedError, goneError, transferError } from './errors.ts'
import { KernelInterface } from './kernel-interface.ts'
import { featuresOf, type TunOffload } from './offload.ts'
import { ReceiveSlots } from './receive-slots.ts'
import { IoCounters, type TunIo } from './tun-io.ts'
import { TunWriter } from './tun-writer.ts'

/** A slot lies in memory that is not this process's any more. */
const EFAULT = 14

/** How long reading rests when the packet pool is exhausted. */
const POOL_RETRY = MILLISECOND

/** Packets thrown away at most when the device comes up again: more than any sane `txqueuelen`. */
const DISCARD_LIMIT = 16384

/**
 * What may be written in one turn of the event loop: small packets, or 4 KiB of large ones, each about as long as a
 * microsecond. The kernel takes everything at once and never says that it is full, so timers and other devices
 * depend on this; what is over it waits in the stack's queue, whose senders see that it does.
 */
const TRANSMIT_BUDGET = 512
const COST_SHIFT = 12

/** How a device was opened. */
export interface TunDeviceOptions {
  /** Packets have a `virtio_net_hdr` before them. */
  vnetHeader: boolean
  offload: TunOffload
  busyMicroseconds: number
}

export class TunDevice implements LinkDevice {
  readonly name: string
  readonly type = 'none'
  readonly flags: number = LinkFlag.POINTOPOINT | LinkFlag.MULTICAST | LinkFlag.NOARP
  readonly minMtu = 68
  readonly maxMtu = 65535
  readonly features: LinkFeatures
  /** What the kernel granted of the `offload` that was asked for. */
  readonly offload: TunOffload
  readonly txQueueLength = 500
  readonly qdisc = 'pfifo_fast'
  readonly stats = new LinkStats()
  /** The interface that other programs of this machine see. */
  readonly kernel: KernelInterface

  /** What ended the device; `null` while it works and after {@link close}. */
  error: TunstackError | null = null
  /** Told once when {@link error} is set, from the event loop. */
  onError: ((error: TunstackError) => void) | null = null

  readonly #driver: TunDriver
  readonly #handle: TunHandle
  #host: LinkHost | null = null
  /** Nanoseconds that the stack's clock is ahead of the machine's monotonic one; `undefined` if it is another. */
  #skew: number | undefined
  #mtu: number
  #closed = false
  #up = false
  #wasUp = false
  #paused = false
  #started = false
  #reading = false
  #retry: TimerHandle = null
  /** Of the {@link TRANSMIT_BUDGET}, in this turn of the event loop. */
  #spent = 0
  #holding = false

  readonly #busyMicroseconds: number
  readonly #slots: ReceiveSlots
  readonly #received = new Burst()
  readonly #writer: TunWriter
  readonly #io = new IoCounters()

  /** @internal use `openTun()` */
  constructor(driver: TunDriver, handle: TunHandle, options: TunDeviceOptions) {
    const { vnetHeader, offload, busyMicroseconds } = options
    this.#driver = driver
    this.#handle = handle
    this.name = handle.name
    this.offload = offload
    this.features = featuresOf(offload)
    this.kernel = new KernelInterface(handle)
    const drop = (packet: Packet, reason: number): void => this.#drop(packet, reason)
    this.#writer = new TunWriter(driver, handle, vnetHeader, this.stats, this.#io, drop)
    this.#slots = new ReceiveSlots(driver, vnetHeader, drop)
    this.#busyMicroseconds = busyMicroseconds
    this.#mtu = this.kernel.mtu
    this.#slots.resize(this.#mtu)
  }

  /** Which way to the kernel it uses: the native addon, or `koffi` where no addon could be had. */
  get driver(): TunDriver['kind'] {
    return this.#driver.kind
  }

  /** What moving packets cost so far; a snapshot. */
  get io(): TunIo {
    const { txHeld, rxBursts, rxLargestBurst, rxBadHeaders, txBursts, txLargestBurst, txSuperSegments } =
      this.#io
    return {
      rxBursts,
      rxLargestBurst,
      rxSystemCalls: this.#handle.systemCalls(false),
      rxSuperSegments: this.#slots.superSegments,
      rxBadHeaders,
      txBursts,
      txLargestBurst,
      txSystemCalls: this.#handle.systemCalls(true),
      txSuperSegments,
      txHeld,
    }
  }

  get mtu(): number {
    return this.#mtu
  }

  get carrier(): boolean {
    return !this.gone && this.#host !== null
  }

  get gone(): boolean {
    return this.#closed || this.error !== null
  }

  get closed(): boolean {
    return this.#closed
  }

  /** The file descriptor, for whoever hands it on to a program or a sandbox; it stays this device's. */
  get fd(): number {
    return this.#handle.fd
  }

  /** Why the kernel last refused a packet (`ERR_TUN_DOWN`, …), or `null`. Refused packets are in `stats`. */
  get refusal(): TunstackError | null {
    const { refusal } = this.#writer
    return refusal === 0 ? null : transferError(refusal, 'write', this.name)
  }

  /** @throws TunstackError `ERR_TUN_CLOSED`, `ERR_TUN_GONE`; `EBUSY` if it belongs to a stack already */
  attach(host: LinkHost): void {
    this.#checkUsable()
    if (this.#host !== null) {
      throw new TunstackError('EBUSY', `'${this.name}' belongs to a stack already: open another TUN`, {
        value: this.name,
      })
    }
    this.#host = host
    this.#skew = host.clock.isRealTime === true ? skewOf(host.clock) : undefined
  }

  setUp(up: boolean): void {
    if (up === this.#up || this.gone) return
    this.#up = up
    if (!up) {
      this.#update()
      this.#slots.release()
      return
    }
    // What arrived while the device was down is lost, as on any other device. Before the first time it waits.
    if (this.#wasUp) {
      const lost = this.#handle.discard(DISCARD_LIMIT)
      if (lost > 0) this.stats.increment(LinkStat.rxDropped, lost)
    }
    this.#wasUp = true
    this.#update()
  }

  /** Stops reading, for backpressure: packets wait in the kernel's queue. */
  pause(): void {
    this.#paused = true
    this.#update()
  }

  /** Undoes {@link pause}. */
  resume(): void {
    this.#paused = false
    this.#update()
  }

  /**
   * The MTU of the link: of this side and of the kernel's.
   * @throws TunstackError `EINVAL`; `ERR_TUN_PERMISSION` after privileges were dropped; `ERR_TUN_CLOSED`, `ERR_TUN_GONE`
   */
  setMtu(mtu: number): void {
    this.#checkUsable()
    if (!Number.isInteger(mtu) || mtu < this.minMtu || mtu > this.maxMtu) {
      throw new TunstackError(
        'EINVAL',
        `the MTU of a TUN is ${this.minMtu} to ${this.maxMtu} bytes; got ${mtu}`,
        {
          value: mtu,
        },
      )
    }
    this.kernel.mtu = mtu
    this.#mtu = mtu
    this.#resizeSlots(mtu)
  }

  transmit(burst: Burst): number {
    const n = burst.length
    if (!this.#up || this.gone) {
      this.stats.increment(LinkStat.txDropped, n)
      for (let i = 0; i < n; i++) this.#drop(burst.packets[i]!, DropReason.DEV_READY)
      return n
    }
    let taken = 0
    while (taken < n && this.#spent < TRANSMIT_BUDGET) {
      this.#spent += 1 + (burst.packets[taken++]!.length >>> COST_SHIFT)
    }
    if (taken > 0) this.#writer.write(burst, taken)
    if (taken < n) {
      this.#io.txHeld++
      if (!this.#holding) {
        this.#holding = true
        this.#host!.clock.soon(this.#onTurn)
      }
    }
    return taken
  }

  /** The next turn of the event loop: what the stack had to keep may go. */
  readonly #onTurn = (): void => {
    this.#holding = false
    this.#spent = 0
    if (!this.gone) this.#host!.wake()
  }

  /** Keeps the event loop alive while the device is open; so it is unless {@link unref} was called. */
  ref(): this {
    if (!this.#closed) this.#handle.ref()
    return this
  }

  /** Lets the process end although the device is open. */
  unref(): this {
    if (!this.#closed) this.#handle.unref()
    return this
  }

  /** Ends at once; unless it is persistent, the interface is gone when this returns. */
  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true
      this.#up = false
      this.#update()
      this.#handle.close()
      this.#slots.release()
      this.#host?.clock.soon(() => this.#host?.changed())
    }
    return Promise.resolve()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #drop(packet: Packet, reason: number): void {
    if (this.#host?.drop === undefined) packet.free()
    else this.#host.drop(packet, reason)
  }

  #checkUsable(): void {
    if (this.#closed) throw closedError(this.name)
    if (this.error !== null) throw this.error
  }

  /** Reads or not, as the state asks. */
  #update(): void {
    const wanted = this.#up && !this.#paused && !this.gone && this.#host !== null
    if (this.#retry !== null && !wanted) {
      this.#host!.clock.clearTimer(this.#retry)
      this.#retry = null
    }
    if (wanted === this.#reading) return
    this.#reading = wanted
    if (!wanted) {
      this.#handle.pause()
    } else if (this.#fillSlots()) {
      this.#read()
    }
  }

  #read(): void {
    if (this.#started) {
      this.#handle.resume()
      return
    }
    this.#started = true
    const { descriptors, headers, spill } = this.#slots
    const ring = {
      descriptors,
      headers: headers === null ? null : headers.bytes,
      spill,
      maxBatch: BURST_SIZE,
      busyMicroseconds: this.#busyMicroseconds,
    }
    this.#handle.start(ring, this.#onReadable)
  }

  /** A batch has been read, or reading has ended: called by the driver, from the event loop. */
  readonly #onReadable: ReadCallback = (n, errno, seconds, nanoseconds) => {
    const burst = this.#received
    const slots = this.#slots
    this.#spent = 0
    const bytes = slots.harvest(n, burst)
    const { cut, lying } = slots
    const packets = burst.length
    try {
      if (packets > 0) this.#host!.receive(burst, this.#stackTime(seconds, nanoseconds))
    } finally {
      if (n > 0) this.#io.received(n)
      this.stats.received(packets, bytes)
      burst.clear()
      if (cut > 0) this.#onCut(cut)
      if (lying > 0) this.#onLying(lying)
      if (errno !== 0) this.#onReadError(errno)
      // Read the state again: the stack may have closed, paused or downed the device meanwhile.
      if (this.#reading) this.#fillSlots()
    }
  }

  /** The stack's time at a reading of the monotonic clock; `undefined` if its clock has to be asked. */
  #stackTime(seconds: number | undefined, nanoseconds: number | undefined): number | undefined {
    return this.#skew === undefined || seconds === undefined
      ? undefined
      : this.#skew + seconds * 1e9 + nanoseconds!
  }

  /**
   * Packets filled their slots and have lost their end: the kernel's MTU was raised behind our back, or they are
   * super-segments and the pool had no slab for them.
   */
  #onCut(packets: number): void {
    this.stats.increment(LinkStat.rxErrors, packets)
    this.stats.increment(LinkStat.rxLengthErrors, packets)
    if (this.gone) return
    try {
      this.#resizeSlots(this.kernel.mtu)
    } catch {
      // The interface vanished in between: the driver reports that by itself.
    }
  }

  /** As the kernel counts those that it is given with such a header. */
  #onLying(packets: number): void {
    this.stats.increment(LinkStat.rxErrors, packets)
    this.stats.increment(LinkStat.rxFrameErrors, packets)
    this.#io.rxBadHeaders += packets
  }

  #onReadError(errno: number): void {
    if (this.gone) return
    // A slot's memory was transferred to another thread. It is lost; go on with other memory.
    if (errno === EFAULT) {
      const lost = this.#slots.dropDetached()
      this.stats.increment(LinkStat.rxErrors, lost)
      if (lost > 0) return
    }
    this.#fail(
      errno === Errno.EBADFD ? goneError(this.name, -errno) : transferError(-errno, 'read', this.name),
    )
  }

  #fail(error: TunstackError): void {
    this.error = error
    this.#up = false
    this.#update()
    this.#slots.release()
    this.#host?.changed()
    this.onError?.(error)
  }

  /** False if the pool had no memory at all: then it tries again soon. */
  #fillSlots(): boolean {
    if (this.#slots.fill(this.#host!.pool)) return true
    this.stats.increment(LinkStat.rxMissedErrors)
    this.#retry ??= this.#host!.clock.setTimer(this.#onRetry, POOL_RETRY)
    return false
  }

  readonly #onRetry = (): void => {
    this.#retry = null
    if (this.#reading && this.#fillSlots()) this.#read()
  }

  #resizeSlots(mtu: number): void {
    if (!this.#slots.resize(Math.max(mtu, this.#mtu))) return
    if (this.#reading && this.#fillSlots()) this.#read()
  }
}

/** How far ahead of the monotonic clock that drivers read, in nanoseconds: what was read in the shortest time. */
function skewOf(clock: Clock): number {
  let skew = 0
  let shortest = Number.POSITIVE_INFINITY
  for (let i = 0; i < 5; i++) {
    const before = clock.now()
    const [seconds, nanoseconds] = process.hrtime()
    const took = clock.now() - before
    if (took >= shortest) continue
    shortest = took
    skew = Math.round(before + took / 2) - (seconds * 1e9 + nanoseconds)
  }
  return skew
}
