/**
 * Captures, as tcpdump makes them: a {@link Capture} listens on one device, several, or all of them, passes what
 * it sees through a filter, and writes it as pcapng or hands it to a function. It can also record what the stack
 * drops, and why. {@link Captures} holds those that run on a stack. A capture never disturbs what it watches:
 * if its filter, listener or sink throws, it ends, and says so in `error`.
 */
import { invalidArgument } from '../errors.ts'
import { copyCompleted } from '../packet/complete-checksum.ts'
import type { Packet, PacketDevice } from '../packet/packet.ts'
import type { Clock } from '../time/clock.ts'
import { DropReason, dropReasonName } from '../wire/drop-reason.ts'
import { type ByteSink, Direction, PcapngWriter } from './pcapng.ts'

/** Called for every packet on a device: before the stack acts on it, or before the driver gets it. */
export type CaptureTap = (packet: Packet, device: PacketDevice, outgoing: boolean) => void

/** What a capture needs of a device; a `NetDevice` has it. */
export interface CapturedDevice extends PacketDevice {
  readonly isLoopback: boolean
  readonly taps: {
    push(tap: CaptureTap): unknown
    indexOf(tap: CaptureTap): number
    splice(index: number, count: number): unknown
  }
}

/** A packet as a filter sees it: lent for the length of the call. */
export interface CapturedPacket {
  /** Name of the device; `''` for a packet that was dropped before it had one. */
  device: string
  direction: 'in' | 'out'
  /** From the IP header on; at most `snaplen` bytes for a listener, all of them for a filter. */
  bytes: Uint8Array<ArrayBuffer>
  /** Bytes of the whole packet. */
  length: number
  /** Name of the {@link DropReason}, if this is the record of a drop. */
  dropReason: string | undefined
}

/** A packet as a listener gets it: its own to keep. */
export interface CaptureRecord extends Readonly<CapturedPacket> {
  /** Nanoseconds since 1970-01-01 UTC. */
  readonly timestamp: bigint
}

export interface CaptureOptions {
  /** Names of devices, or `'any'` (the default): all of them, also those that come later. */
  device?: string | readonly string[]
  /** Takes the capture as pcapng. Either this or `listener`. */
  sink?: ByteSink
  /** Takes one packet after the other. */
  listener?: (record: CaptureRecord) => void
  /** Only what it says `true` to is captured. */
  filter?: (packet: CapturedPacket) => boolean
  /** Records what the stack drops, too: once more than the packet itself, with the reason as comment. */
  drops?: boolean
  /** Bytes of a packet to keep at most; 262144 by default. */
  snaplen?: number
  /** Ends after so many packets. */
  count?: number
  /** Ends once so many bytes of packets were kept. */
  bytes?: number
  /** See `PcapngOptions`; for a listener too. A filter sees packets as they are. */
  completeChecksums?: boolean
  /** See `PcapngOptions`. */
  buffer?: number
  /** Called once when it has ended, by `close()`, a limit or an error. */
  onEnd?: (capture: Capture) => void
}

interface Tapped {
  readonly device: CapturedDevice
  readonly tap: CaptureTap
}

/** What is known of a device by its name, whether it is still there or not. */
interface Seen {
  /** Number in the pcapng file. */
  readonly interfaceId: number
  started: number
  received: number
  accepted: number
}

const NO_BYTES = new Uint8Array(0)

export class Capture {
  readonly #clock: Clock
  readonly #options: CaptureOptions
  readonly #snaplen: number
  readonly #writer: PcapngWriter | null
  readonly #tapped: Tapped[] = []
  readonly #seen = new Map<string, Seen>()
  readonly #view: CapturedPacket = {
    device: '',
    direction: 'in',
    bytes: NO_BYTES,
    length: 0,
    dropReason: undefined,
  }
  #inTap = false
  #ended = false
  #packets = 0
  #bytes = 0
  #error: unknown

  /** @throws TunstackError `ERR_INVALID_ARG_VALUE` unless there is one of `sink` and `listener`, or for another option */
  constructor(clock: Clock, options: CaptureOptions) {
    const { device = 'any' } = options
    const names = typeof device === 'string' ? [device] : device
    if (!Array.isArray(names) || names.some((name) => typeof name !== 'string')) {
      throw invalidArgument('device', device, "a name, a list of names, or 'any'")
    }
    for (const name of ['sink', 'listener', 'filter'] as const) {
      if (options[name] === undefined || typeof options[name] === 'function') continue
      throw invalidArgument(name, options[name], 'a function')
    }
    const { sink, listener, snaplen = 262_144, completeChecksums = true, buffer = 0 } = options
    if ((sink === undefined) === (listener === undefined)) {
      throw invalidArgument(
        'capture',
        sink === undefined ? 'neither' : 'both',
        "given one of 'sink' and 'listener'",
      )
    }
    checkLimit('count', options.count)
    checkLimit('bytes', options.bytes)
    checkLimit('snaplen', snaplen)
    this.#clock = clock
    this.#options = options
    this.#snaplen = snaplen
    this.#writer =
      sink === undefined
        ? null
        : new PcapngWriter(sink, { epoch: clock.epoch, snaplen, completeChecksums, buffer })
  }

  /** Packets captured. */
  get packets(): number {
    return this.#packets
  }

  /** Bytes of packets captured. */
  get bytes(): number {
    return this.#bytes
  }

  get ended(): boolean {
    return this.#ended
  }

  /** What the filter, the listener or the sink threw; `undefined` if nothing. */
  get error(): unknown {
    return this.#error
  }

  /** True if it wants to be told of drops. */
  get wantsDrops(): boolean {
    return this.#options.drops === true && !this.#ended
  }

  /** Listens on the device, if it is one of those asked for. For the stack: once per device. */
  attach(device: CapturedDevice): void {
    if (this.#ended || !this.#wants(device.name)) return
    // What goes out on loopback comes in again, so it is shown once, as incoming: libpcap does so too.
    const tap: CaptureTap = (packet, { name }, outgoing) => {
      if (outgoing && device.isLoopback) return
      this.#record(packet, name, outgoing, undefined)
    }
    device.taps.push(tap)
    this.#tapped.push({ device, tap })
    this.#guard(() => this.#see(device.name))
  }

  /** The device goes away; what was captured on it stays. */
  detach(device: CapturedDevice): void {
    const index = this.#tapped.findIndex((tapped) => tapped.device === device)
    if (index >= 0) untap(this.#tapped.splice(index, 1)[0]!)
  }

  /** The stack is about to free a packet that it dropped for `reason`. */
  dropped(packet: Packet, reason: number, device: PacketDevice | null): void {
    if (!this.wantsDrops || reason <= DropReason.CONSUMED) return
    const name = device?.name ?? ''
    if (device !== null && !this.#wants(name)) return
    this.#record(packet, name, packet.iif === 0, dropReasonName(reason))
  }

  /** Hands on what was gathered (`buffer`). */
  flush(): void {
    this.#guard(() => this.#writer?.flush())
  }

  /** Ends the capture: statistics are written, the last bytes go out. Safe twice, and from a listener. */
  close(): void {
    if (this.#ended) return
    this.#ended = true
    // Not while a device walks its list of taps: another capture's would be passed over.
    if (this.#inTap) this.#clock.soon(() => this.#untapAll())
    else this.#untapAll()
    const writer = this.#writer
    if (writer !== null && this.#error === undefined) {
      this.#guard(() => {
        const now = this.#clock.now()
        for (const { interfaceId, started, received, accepted } of this.#seen.values()) {
          writer.statistics(interfaceId, now, { started, ended: now, received, accepted, dropped: 0 })
        }
        writer.close()
      })
    }
    try {
      this.#options.onEnd?.(this)
    } catch (error) {
      this.#error ??= error
    }
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #wants(name: string): boolean {
    const { device = 'any' } = this.#options
    return device === 'any' || device === name || (typeof device !== 'string' && device.includes(name))
  }

  #record(packet: Packet, device: string, outgoing: boolean, dropReason: string | undefined): void {
    // What a listener causes by sending is not shown to it while it is still busy: that could go on for ever.
    if (this.#ended || this.#inTap) return
    this.#inTap = true
    try {
      const seen = this.#see(device)
      seen.received++
      if (this.#accepts(packet, device, outgoing, dropReason)) {
        seen.accepted++
        this.#packets++
        this.#bytes += Math.min(packet.length, this.#snaplen)
        this.#deliver(packet, seen.interfaceId, device, outgoing, dropReason)
      }
    } catch (error) {
      this.#fail(error)
    }
    const { count = Infinity, bytes = Infinity } = this.#options
    if (this.#packets >= count || this.#bytes >= bytes) this.close()
    this.#inTap = false
  }

  #accepts(packet: Packet, device: string, outgoing: boolean, dropReason: string | undefined): boolean {
    const { filter } = this.#options
    if (filter === undefined) return true
    const view = this.#view
    view.device = device
    view.direction = outgoing ? 'out' : 'in'
    view.bytes =
      packet.body === null ? packet.bytes.subarray(packet.start, packet.end) : packet.toUint8Array()
    view.length = packet.length
    view.dropReason = dropReason
    const accepted = filter(view)
    view.bytes = NO_BYTES
    return accepted
  }

  #deliver(
    packet: Packet,
    interfaceId: number,
    device: string,
    outgoing: boolean,
    dropReason: string | undefined,
  ): void {
    const now = this.#clock.now()
    if (this.#writer !== null) {
      const comment = dropReason === undefined ? '' : `dropped: ${dropReason}`
      this.#writer.packet(
        interfaceId,
        packet,
        now,
        outgoing ? Direction.OUTBOUND : Direction.INBOUND,
        comment,
      )
      return
    }
    const { length } = packet
    const bytes = new Uint8Array(length)
    if (this.#options.completeChecksums ?? true) copyCompleted(packet, bytes, 0)
    else packet.copyTo(bytes)
    this.#options.listener!({
      device,
      direction: outgoing ? 'out' : 'in',
      bytes: bytes.subarray(0, this.#snaplen),
      length,
      timestamp: this.#clock.epoch + BigInt(Math.floor(now)),
      dropReason,
    })
  }

  /** A device renamed is another interface in the file. */
  #see(name: string): Seen {
    let seen = this.#seen.get(name)
    if (seen === undefined) {
      const interfaceId = this.#writer?.addInterface(name === '' ? 'none' : name) ?? 0
      seen = { interfaceId, started: this.#clock.now(), received: 0, accepted: 0 }
      this.#seen.set(name, seen)
    }
    return seen
  }

  #untapAll(): void {
    for (const tapped of this.#tapped) untap(tapped)
    this.#tapped.length = 0
  }

  #guard(action: () => void): void {
    try {
      action()
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    this.#error ??= error
    this.close()
  }
}

/** The captures that run on one stack. */
export class Captures {
  readonly #captures = new Set<Capture>()
  readonly #clock: Clock
  /** True if some capture wants to be told of drops: ask before {@link dropped}. */
  wantDrops = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Starts one on those of `devices` that it asks for. */
  start(options: CaptureOptions, devices: Iterable<CapturedDevice>): Capture {
    const capture = new Capture(this.#clock, {
      ...options,
      onEnd: (ended) => {
        this.#captures.delete(ended)
        this.#update()
        options.onEnd?.(ended)
      },
    })
    this.#captures.add(capture)
    this.#update()
    for (const device of devices) capture.attach(device)
    return capture
  }

  deviceAdded(device: CapturedDevice): void {
    for (const capture of this.#captures) capture.attach(device)
  }

  deviceRemoved(device: CapturedDevice): void {
    for (const capture of this.#captures) capture.detach(device)
  }

  /** To be called for a dropped packet before it is freed. */
  dropped(packet: Packet, reason: number, device: PacketDevice | null): void {
    for (const capture of this.#captures) capture.dropped(packet, reason, device)
  }

  /** Ends them all. */
  close(): void {
    for (const capture of [...this.#captures]) capture.close()
  }

  #update(): void {
    this.wantDrops = [...this.#captures].some((capture) => capture.wantsDrops)
  }
}

function untap({ device, tap }: Tapped): void {
  const index = device.taps.indexOf(tap)
  if (index >= 0) device.taps.splice(index, 1)
}

function checkLimit(name: string, value: number | undefined): void {
  if (value !== undefined && !(value > 0)) throw invalidArgument(name, value, 'a positive number')
}
