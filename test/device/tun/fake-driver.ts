/** A driver without a kernel: what the device asks of it is recorded, and packets arrive when a test says so. */
import {
  InterfaceProperty,
  type ReadCallback,
  type ReceiveRing,
  ROOM_BEFORE,
  type TunDriver,
  type TunHandle,
  type TunOpenFailure,
  type TunOpenRequest,
  VNET_HEADER_SIZE,
  VNET_HEADER_STRIDE,
} from '../../../lib/device/tun/driver.ts'

export class FakeHandle implements TunHandle {
  readonly name: string
  readonly fd = 99
  readonly driver: FakeDriver
  /** What was called, in order. */
  readonly calls: string[] = []
  /** Packets that "the kernel" got. */
  readonly written: Uint8Array[] = []
  readonly properties = new Map<number, number>([
    [InterfaceProperty.INDEX, 7],
    [InterfaceProperty.FLAGS, 0x1090],
    [InterfaceProperty.MTU, 1500],
    [InterfaceProperty.ADDRESS, -99],
    [InterfaceProperty.NETMASK, -99],
    [InterfaceProperty.PEER, 0],
    [InterfaceProperty.TX_QUEUE, 500],
  ])
  /** Errno (negative) that setting a property, or writing the n-th packet, fails with. */
  readonly refuseProperty = new Map<number, number>()
  refuse: (property: number, value: number) => number = () => 0
  refuseWrite: (packet: Uint8Array) => number = () => 0
  backlog = 0
  reading = false
  referenced = true
  closed = false
  descriptors: Uint32Array = new Uint32Array(0)
  /** What the device asked to read with. */
  ring: ReceiveRing | null = null
  /** The `virtio_net_hdr` that each written packet had. */
  readonly writtenHeaders: Uint8Array[] = []
  /** How many bytes before it each packet was written with that were nobody's. */
  readonly roomBefore: number[] = []
  #callback: ((n: number, errno: number) => void) | null = null

  constructor(driver: FakeDriver, name: string) {
    this.driver = driver
    this.name = name
  }

  start(ring: ReceiveRing, callback: ReadCallback): number {
    this.calls.push('start')
    this.ring = ring
    this.descriptors = ring.descriptors
    this.#callback = callback
    this.reading = true
    return 0
  }

  resume(): number {
    this.calls.push('resume')
    this.reading = true
    return 0
  }

  pause(): number {
    this.calls.push('pause')
    this.reading = false
    return 0
  }

  discard(): number {
    const lost = this.backlog
    this.backlog = 0
    return lost
  }

  /** How many packets could be read into now. */
  get armed(): number {
    let n = 0
    while (n < this.descriptors.length / 3 && this.descriptors[3 * n + 2] !== 0) n++
    return n
  }

  /** Large pieces that could be read into now. */
  get spare(): number {
    const spill = this.ring?.spill ?? new Uint32Array(0)
    let n = 0
    while (n < spill.length / 3 && spill[3 * n + 2] !== 0) n++
    return n
  }

  /** Packets arrive, as the addon would deliver them, perhaps each with a `virtio_net_hdr`. How many found a slot. */
  deliver(packets: Uint8Array[], errno = 0, headers: Uint8Array[] = []): number {
    const { spill, headers: headerBytes } = this.ring!
    const armed = this.reading ? this.armed : 0
    const { spare } = this
    let spilt = 0
    let n = 0
    const overwritten = headerBytes === null ? 0 : VNET_HEADER_SIZE
    for (; n < Math.min(packets.length, armed) && (spare === 0 || spilt < spare); n++) {
      const [arena, offset, room] = triple(this.descriptors, n)
      let bytes = packets[n]!
      headerBytes?.set(headers[n] ?? new Uint8Array(VNET_HEADER_SIZE), n * VNET_HEADER_STRIDE)
      if (bytes.length > room && spare > 0) {
        const [largeArena, largeOffset] = triple(spill!, spilt++)
        new Uint8Array(this.driver.arenas[largeArena]!, largeOffset - overwritten, overwritten).fill(0xee)
        new Uint8Array(this.driver.arenas[largeArena]!).set(bytes, largeOffset)
      } else {
        bytes = bytes.subarray(0, room)
        new Uint8Array(this.driver.arenas[arena]!, offset - overwritten, overwritten).fill(0xee)
        new Uint8Array(this.driver.arenas[arena]!).set(bytes, offset)
      }
      this.descriptors[3 * n + 2] = bytes.length
    }
    if (n > 0 || errno !== 0) this.#callback!(n, errno)
    return n
  }

  writeBatch(
    descriptors: Uint32Array,
    headers: Uint8Array | null,
    bodies: readonly (Uint8Array | null)[] | null,
    n: number,
    status: Int32Array,
  ): number {
    this.calls.push(`write ${n}`)
    let taken = 0
    for (let i = 0; i < n; i++) {
      const at = i * VNET_HEADER_STRIDE
      const header = headers?.slice(at, at + VNET_HEADER_SIZE) ?? new Uint8Array(VNET_HEADER_SIZE)
      status[i] = this.#write(triple(descriptors, i), bodies?.[i] ?? null, header)
      if (status[i]! >= 0) taken++
    }
    return taken
  }

  systemCalls(written: boolean): number {
    return written ? this.written.length : this.calls.length
  }

  /** What the device says is nobody's is overwritten, so that it shows if it was somebody's. */
  #write([arena, offset, size]: Triple, body: Uint8Array | null, header: Uint8Array): number {
    const length = size % ROOM_BEFORE
    const before = size === length ? 0 : VNET_HEADER_SIZE
    new Uint8Array(this.driver.arenas[arena]!, offset - before, before).fill(0xee)
    this.roomBefore.push(before)
    const head = new Uint8Array(this.driver.arenas[arena]!, offset, length)
    const packet = Uint8Array.from([...head, ...(body ?? [])])
    const refused = this.refuseWrite(packet)
    if (refused < 0) return refused
    this.written.push(packet)
    this.writtenHeaders.push(header)
    return packet.length
  }

  getProperty(property: InterfaceProperty): number {
    return this.properties.get(property) ?? -22
  }

  setProperty(property: InterfaceProperty, value: number): number {
    const refused = this.refuseProperty.get(property) ?? this.refuse(property, value)
    if (refused !== 0) return refused
    this.calls.push(`set ${Object.keys(InterfaceProperty)[property]} ${value}`)
    this.properties.set(property, value)
    if (property === InterfaceProperty.ADDRESS) this.properties.set(InterfaceProperty.NETMASK, 0xffffffff)
    return 0
  }

  ref(): void {
    this.referenced = true
  }

  unref(): void {
    this.referenced = false
  }

  close(): void {
    this.calls.push('close')
    this.closed = true
    this.reading = false
  }
}

type Triple = [number, number, number]

function triple(descriptors: Uint32Array, i: number): Triple {
  return [descriptors[3 * i]!, descriptors[3 * i + 1]!, descriptors[3 * i + 2]!]
}

export class FakeDriver implements TunDriver {
  readonly kind = 'addon'
  readonly arenas: ArrayBuffer[] = []
  readonly handles: FakeHandle[] = []
  readonly requests: TunOpenRequest[] = []
  failure: TunOpenFailure | null = null
  refuseOpen: (request: TunOpenRequest) => TunOpenFailure | null = () => null
  existing = new Set<string>()
  /** Prepares a handle before it is given out. */
  prepare: (handle: FakeHandle) => void = () => {}

  open(request: TunOpenRequest): TunHandle | TunOpenFailure {
    this.requests.push(request)
    const failure = this.failure ?? this.refuseOpen(request)
    if (failure !== null) return failure
    const handle = new FakeHandle(this, request.name === '' ? 'tun0' : request.name.replace('%d', '0'))
    this.prepare(handle)
    this.handles.push(handle)
    return handle
  }

  interfaceIndex(name: string): number {
    return this.existing.has(name) ? 3 : -19
  }

  registerArena(buffer: ArrayBuffer): number {
    return this.arenas.push(buffer) - 1
  }
}
