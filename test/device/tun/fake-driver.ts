/** A driver without a kernel: what the device asks of it is recorded, and packets arrive when a test says so. */
import {
  InterfaceProperty,
  type ReadCallback,
  type TunDriver,
  type TunHandle,
  type TunOpenFailure,
  type TunOpenRequest,
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
  refuseWrite: (packet: Uint8Array) => number = () => 0
  backlog = 0
  reading = false
  referenced = true
  closed = false
  descriptors: Uint32Array = new Uint32Array(0)
  #callback: ((n: number, errno: number) => void) | null = null

  constructor(driver: FakeDriver, name: string) {
    this.driver = driver
    this.name = name
  }

  start(descriptors: Uint32Array, _maxBatch: number, callback: ReadCallback): number {
    this.calls.push('start')
    this.descriptors = descriptors
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

  /** Packets arrive, as the addon would deliver them: cut to their slots. Returns how many found a slot. */
  deliver(packets: Uint8Array[], errno = 0): number {
    const n = this.reading ? Math.min(packets.length, this.armed) : 0
    for (let i = 0; i < n; i++) {
      const [arena, offset, room] = this.descriptors.subarray(3 * i, 3 * i + 3) as unknown as [
        number,
        number,
        number,
      ]
      const bytes = packets[i]!.subarray(0, room)
      new Uint8Array(this.driver.arenas[arena]!).set(bytes, offset)
      this.descriptors[3 * i + 2] = bytes.length
    }
    if (n > 0 || errno !== 0) this.#callback!(n, errno)
    return n
  }

  writeBatch(descriptors: Uint32Array, n: number, status: Int32Array): number {
    this.calls.push(`write ${n}`)
    let taken = 0
    for (let i = 0; i < n; i++) {
      status[i] = this.#write(descriptors[3 * i]!, descriptors[3 * i + 1]!, descriptors[3 * i + 2]!, null)
      if (status[i]! >= 0) taken++
    }
    return taken
  }

  writev(arena: number, offset: number, length: number, body: Uint8Array): number {
    this.calls.push('writev')
    return this.#write(arena, offset, length, body)
  }

  #write(arena: number, offset: number, length: number, body: Uint8Array | null): number {
    const head = new Uint8Array(this.driver.arenas[arena]!, offset, length)
    const packet = Uint8Array.from([...head, ...(body ?? [])])
    const refused = this.refuseWrite(packet)
    if (refused < 0) return refused
    this.written.push(packet)
    return packet.length
  }

  getProperty(property: InterfaceProperty): number {
    return this.properties.get(property) ?? -22
  }

  setProperty(property: InterfaceProperty, value: number): number {
    const refused = this.refuseProperty.get(property)
    if (refused !== undefined) return refused
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

export class FakeDriver implements TunDriver {
  readonly arenas: ArrayBuffer[] = []
  readonly handles: FakeHandle[] = []
  readonly requests: TunOpenRequest[] = []
  failure: TunOpenFailure | null = null
  existing = new Set<string>()
  /** Prepares a handle before it is given out. */
  prepare: (handle: FakeHandle) => void = () => {}

  open(request: TunOpenRequest): TunHandle | TunOpenFailure {
    this.requests.push(request)
    if (this.failure !== null) return this.failure
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
