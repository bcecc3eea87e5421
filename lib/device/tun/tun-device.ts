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
import { type LinkDevice, LinkFlag, type LinkHost, NO_FEATURES } from '../link-device.ts'
import { LinkStat, LinkStats } from '../link-stats.ts'
import { arenaId } from './arena-id.ts'
import type { ReadCallback, TunDriver, TunHandle } from './driver.ts'
import { closedError, goneError, transferError } from './errors.ts'
import { KernelInterface } from './kernel-interface.ts'
import { TunWriter } from './tun-writer.ts'

/** A slot lies in memory that is not this process's any more. */
const EFAULT = 14

/** How long reading rests when the packet pool is exhausted. */
const POOL_RETRY = MILLISECOND

/** Packets thrown away at most when the device comes up again: more than any sane `txqueuelen`. */
const DISCARD_LIMIT = 16384

export class TunDevice implements LinkDevice {
  readonly name: string
  readonly type = 'none'
  readonly flags: number = LinkFlag.POINTOPOINT | LinkFlag.MULTICAST | LinkFlag.NOARP
  readonly minMtu = 68
  readonly maxMtu = 65535
  readonly features = NO_FEATURES
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

  /** Packets that are being read into, at the place of their descriptor; `null` where the pool gave none. */
  readonly #slots: (Packet | null)[] = new Array<Packet | null>(BURST_SIZE).fill(null)
  readonly #slotDescriptors = new Uint32Array(3 * BURST_SIZE)
  #empty = BURST_SIZE
  /** Bytes a slot must hold: one more than the largest packet, so that a full slot means a cut packet. */
  #slotSize = 0
  readonly #received = new Burst()
  readonly #writer: TunWriter

  /** @internal use `openTun()` */
  constructor(driver: TunDriver, handle: TunHandle) {
    this.#driver = driver
    this.#handle = handle
    this.name = handle.name
    this.kernel = new KernelInterface(handle)
    this.#writer = new TunWriter(driver, handle, this.stats, (packet, reason) => this.#drop(packet, reason))
    this.#mtu = this.kernel.mtu
    this.#slotSize = this.#mtu + 1
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
      this.#releaseSlots()
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
    this.#writer.write(burst)
    return n
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
      this.#releaseSlots()
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
    } else {
      this.#started = true
      this.#handle.start(this.#slotDescriptors, BURST_SIZE, this.#onReadable)
    }
  }

  /** A batch has been read, or reading has ended: called by the driver, from the event loop. */
  readonly #onReadable: ReadCallback = (n, errno, seconds, nanoseconds) => {
    const burst = this.#received
    const descriptors = this.#slotDescriptors
    const limit = this.#slotSize
    let bytes = 0
    let cut = 0
    for (let i = 0; i < n; i++) {
      const packet = this.#slots[i]!
      const length = descriptors[3 * i + 2]!
      this.#slots[i] = null
      descriptors[3 * i + 2] = 0
      if (length >= limit && length === packet.slab.end - packet.start) {
        cut++
        packet.free()
        continue
      }
      packet.end = packet.start + length
      packet.networkHeader = packet.start
      bytes += length
      burst.push(packet)
    }
    this.#empty += n
    const packets = burst.length
    try {
      if (packets > 0) this.#host!.receive(burst, this.#stackTime(seconds, nanoseconds))
    } finally {
      this.stats.received(packets, bytes)
      burst.clear()
      if (cut > 0) this.#onCut(cut)
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

  /** Packets filled their slots: the kernel's MTU was raised behind our back, so they have lost their end. */
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

  #onReadError(errno: number): void {
    if (this.gone) return
    // A slot's memory was transferred to another thread. It is lost; go on with other memory.
    if (errno === EFAULT && this.#dropDetachedSlots()) return
    this.#fail(
      errno === Errno.EBADFD ? goneError(this.name, -errno) : transferError(-errno, 'read', this.name),
    )
  }

  #fail(error: TunstackError): void {
    this.error = error
    this.#up = false
    this.#update()
    this.#releaseSlots()
    this.#host?.changed()
    this.onError?.(error)
  }

  /** Gives every slot a packet to read into; false if the pool had none at all: then it tries again soon. */
  #fillSlots(): boolean {
    const slots = this.#slots
    const descriptors = this.#slotDescriptors
    const pool = this.#host!.pool
    for (let i = 0; this.#empty > 0; i++) {
      if (slots[i] !== null) continue
      const packet = pool.allocate(this.#slotSize)
      if (packet === null) return this.#onExhausted(i)
      slots[i] = packet
      descriptors[3 * i] = arenaId(this.#driver, packet.slab.arena)
      descriptors[3 * i + 1] = packet.start
      descriptors[3 * i + 2] = packet.slab.end - packet.start
      this.#empty--
    }
    return true
  }

  /** No packet for slot `first`: the driver reads into leading slots only, so close the gaps. */
  #onExhausted(first: number): boolean {
    const descriptors = this.#slotDescriptors
    let to = first
    for (let from = first + 1; from < BURST_SIZE; from++) {
      if (this.#slots[from] === null) continue
      this.#slots[to] = this.#slots[from]!
      this.#slots[from] = null
      descriptors.copyWithin(3 * to, 3 * from, 3 * from + 3)
      descriptors[3 * from + 2] = 0
      to++
    }
    if (to > 0) return true
    this.stats.increment(LinkStat.rxMissedErrors)
    this.#retry ??= this.#host!.clock.setTimer(this.#onRetry, POOL_RETRY)
    return false
  }

  readonly #onRetry = (): void => {
    this.#retry = null
    if (this.#reading && this.#fillSlots()) this.#read()
  }

  #resizeSlots(mtu: number): void {
    const size = Math.max(mtu, this.#mtu) + 1
    if (size === this.#slotSize) return
    this.#slotSize = size
    this.#releaseSlots()
    if (this.#reading && this.#fillSlots()) this.#read()
  }

  #releaseSlots(): void {
    for (let i = 0; i < BURST_SIZE; i++) {
      const packet = this.#slots[i]!
      if (packet === null) continue
      this.#slots[i] = null
      packet.free()
    }
    this.#slotDescriptors.fill(0)
    this.#empty = BURST_SIZE
  }

  /** Their slabs must not go back to the pool, which would hand them out again. */
  #dropDetachedSlots(): boolean {
    let dropped = 0
    for (let i = 0; i < BURST_SIZE; i++) {
      if (this.#slots[i] === null || this.#slots[i]!.bytes.length > 0) continue
      this.#slots[i] = null
      this.#slotDescriptors[3 * i + 2] = 0
      dropped++
    }
    this.#empty += dropped
    this.stats.increment(LinkStat.rxErrors, dropped)
    return dropped > 0
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
