/**
 * The driver for machines where no addon can be had: the system calls of {@link file://../../../native/device.c} made
 * from JavaScript through `koffi`. It reads until there is no more, then waits ({@link KoffiPoller}). Slower than the
 * addon by a call through the FFI per packet, and by a thread that has to wake the event loop after each rest.
 */
import { closeSync, constants, openSync } from 'node:fs'
import { Errno } from '../../errors.ts'
import {
  InterfaceProperty,
  type ReceiveRing,
  ROOM_BEFORE,
  type TunDriver,
  type TunHandle,
  type TunOpenFailure,
  type TunOpenRequest,
  VNET_HEADER_SIZE,
  VNET_HEADER_STRIDE,
} from './driver.ts'
import { type Libc, loadLibc } from './koffi-libc.ts'
import { type Hold, KoffiPoller, type Pollable } from './koffi-poller.ts'

const IFF_TUN = 0x0001
const IFF_PERSIST = 0x0800
const IFF_NO_PI = 0x1000
const IFF_VNET_HDR = 0x4000

const Ioctl = {
  TUNSETIFF: 0x400454ca,
  TUNSETPERSIST: 0x400454cb,
  TUNSETOWNER: 0x400454cc,
  TUNSETGROUP: 0x400454ce,
  TUNSETOFFLOAD: 0x400454d0,
  TUNGETIFF: 0x800454d2,
  TUNSETVNETHDRSZ: 0x400454d8,
  SIOCGIFFLAGS: 0x8913,
  SIOCSIFFLAGS: 0x8914,
  SIOCGIFADDR: 0x8915,
  SIOCSIFADDR: 0x8916,
  SIOCGIFDSTADDR: 0x8917,
  SIOCSIFDSTADDR: 0x8918,
  SIOCGIFNETMASK: 0x891b,
  SIOCSIFNETMASK: 0x891c,
  SIOCGIFMTU: 0x8921,
  SIOCSIFMTU: 0x8922,
  SIOCGIFINDEX: 0x8933,
  SIOCGIFTXQLEN: 0x8942,
  SIOCSIFTXQLEN: 0x8943,
} as const

/** `struct ifreq`: the name, then what is asked or said. */
const IFREQ_SIZE = 40
const IFNAMSIZ = 16
const AF_INET = 2
const SOCK_DGRAM_CLOEXEC = 0x80002

type Kind = 'flags' | 'integer' | 'address' | 'tun'
const PROPERTIES: Record<InterfaceProperty, { kind: Kind; get: number; set: number }> = {
  [InterfaceProperty.INDEX]: { kind: 'integer', get: Ioctl.SIOCGIFINDEX, set: 0 },
  [InterfaceProperty.FLAGS]: { kind: 'flags', get: Ioctl.SIOCGIFFLAGS, set: Ioctl.SIOCSIFFLAGS },
  [InterfaceProperty.MTU]: { kind: 'integer', get: Ioctl.SIOCGIFMTU, set: Ioctl.SIOCSIFMTU },
  [InterfaceProperty.ADDRESS]: { kind: 'address', get: Ioctl.SIOCGIFADDR, set: Ioctl.SIOCSIFADDR },
  [InterfaceProperty.NETMASK]: { kind: 'address', get: Ioctl.SIOCGIFNETMASK, set: Ioctl.SIOCSIFNETMASK },
  [InterfaceProperty.PEER]: { kind: 'address', get: Ioctl.SIOCGIFDSTADDR, set: Ioctl.SIOCSIFDSTADDR },
  [InterfaceProperty.TX_QUEUE]: { kind: 'integer', get: Ioctl.SIOCGIFTXQLEN, set: Ioctl.SIOCSIFTXQLEN },
  [InterfaceProperty.PERSIST]: { kind: 'tun', get: 0, set: Ioctl.TUNSETPERSIST },
  [InterfaceProperty.OWNER]: { kind: 'tun', get: 0, set: Ioctl.TUNSETOWNER },
  [InterfaceProperty.GROUP]: { kind: 'tun', get: 0, set: Ioctl.TUNSETGROUP },
  [InterfaceProperty.OFFLOAD]: { kind: 'tun', get: 0, set: Ioctl.TUNSETOFFLOAD },
  // For devices in other namespaces, which it does not open.
  [InterfaceProperty.ROUTE]: { kind: 'tun', get: 0, set: 0 },
  [InterfaceProperty.LOOPBACK]: { kind: 'tun', get: 0, set: 0 },
}

const EINTR = 4
const EBADF = 9
const EFAULT = 14

/** Three `struct iovec` of two 64-bit words, as 32-bit halves. */
const PARTS = 3
const PART_WORDS = 4

let loaded: TunDriver | null = null

/** @throws TunstackError `ERR_TUN_NO_KOFFI` */
export function loadKoffiDriver(): TunDriver {
  loaded ??= new KoffiDriver(loadLibc())
  return loaded
}

class KoffiDriver implements TunDriver {
  readonly kind = 'koffi'
  readonly libc: Libc
  readonly poller: KoffiPoller
  readonly arenas: ArenaAddresses
  /** Where the parts of the packet in hand are described for `readv()` and `writev()`. */
  readonly parts = new Uint32Array(new ArrayBuffer(4 * PART_WORDS * PARTS))
  readonly partsAddress: number
  readonly noHeader = new Uint8Array(new ArrayBuffer(64))
  readonly noHeaderAddress: number

  constructor(libc: Libc) {
    this.libc = libc
    this.poller = new KoffiPoller(libc)
    this.arenas = new ArenaAddresses(libc)
    this.partsAddress = libc.address(this.parts.buffer)
    this.noHeaderAddress = libc.address(this.noHeader.buffer)
  }

  open({ devicePath, name, vnetHeader, namespace = '' }: TunOpenRequest): TunHandle | TunOpenFailure {
    // Its thread is one of many, and JavaScript cannot run in a copy of the process.
    if (namespace !== '') return { errno: -Errno.EOPNOTSUPP, syscall: 'setns' }
    let fd: number
    try {
      fd = openSync(devicePath, constants.O_RDWR | constants.O_NONBLOCK)
    } catch (error) {
      const { errno } = error as { errno?: number }
      return { errno: errno ?? -Errno.EINVAL, syscall: 'open' }
    }
    const failed = (syscall: string): TunOpenFailure => {
      const errno = -this.libc.errno()
      closeSync(fd)
      return { errno, syscall }
    }
    const request = interfaceRequest(name)
    const view = new DataView(request.buffer)
    view.setUint16(IFNAMSIZ, IFF_TUN | IFF_NO_PI | (vnetHeader ? IFF_VNET_HDR : 0), true)
    if (this.libc.ioctlWith(fd, Ioctl.TUNSETIFF, request) < 0) return failed('TUNSETIFF')
    if (vnetHeader) {
      // A persistent interface keeps what its last user set.
      const size = Uint8Array.of(VNET_HEADER_SIZE, 0, 0, 0)
      if (this.libc.ioctlWith(fd, Ioctl.TUNSETVNETHDRSZ, size) < 0) return failed('TUNSETVNETHDRSZ')
    }
    return new KoffiHandle(this, fd, nameOf(request), vnetHeader)
  }

  interfaceIndex(name: string): number {
    if (new TextEncoder().encode(name).length >= IFNAMSIZ) return -Errno.ENODEV
    return this.ask(interfaceRequest(name), Ioctl.SIOCGIFINDEX, (view) => view.getInt32(IFNAMSIZ, true))
  }

  registerArena(buffer: ArrayBuffer): number {
    return this.arenas.register(buffer)
  }

  /** An ioctl on a socket that is there for no longer: a terminated worker leaves none behind. */
  ask(request: Uint8Array<ArrayBuffer>, number: number, answer: (view: DataView) => number): number {
    const socket = this.libc.socket(AF_INET, SOCK_DGRAM_CLOEXEC, 0)
    if (socket < 0) return -this.libc.errno()
    const result = this.libc.ioctlWith(socket, number, request)
    const errno = result < 0 ? this.libc.errno() : 0
    this.libc.close(socket)
    return errno > 0 ? -errno : answer(new DataView(request.buffer))
  }
}

class KoffiHandle implements TunHandle, Pollable {
  readonly name: string
  readonly fd: number
  reading = false
  busyUntil = 0
  readonly #driver: KoffiDriver
  readonly #vnetHeader: boolean
  readonly #hold: Hold = { referenced: true }
  #ring: ReceiveRing | null = null
  #callback: (n: number, errno: number) => void = () => {}
  #headersAddress = 0
  #closed = false
  #broken = false
  #reads = 0
  #writes = 0

  constructor(driver: KoffiDriver, fd: number, name: string, vnetHeader: boolean) {
    this.#driver = driver
    this.fd = fd
    this.name = name
    this.#vnetHeader = vnetHeader
    driver.poller.hold(this.#hold)
    abandoned.register(this, { fd, hold: this.#hold, poller: driver.poller }, this)
  }

  start(ring: ReceiveRing, callback: (n: number, errno: number) => void): number {
    this.#ring = ring
    this.#callback = callback
    this.#driver.poller.watch(this)
    if (ring.headers !== null) this.#headersAddress = this.#driver.libc.address(ring.headers)
    return this.resume()
  }

  resume(): number {
    if (this.#closed || this.#broken || this.#ring === null) return -EBADF
    this.reading = true
    this.#driver.poller.changed()
    return 0
  }

  pause(): number {
    if (this.reading) {
      this.reading = false
      this.#driver.poller.changed()
    }
    return 0
  }

  discard(limit: number): number {
    const { libc, noHeaderAddress, parts, partsAddress } = this.#driver
    setPart(parts, 0, noHeaderAddress, 64)
    for (let n = 0; n < limit; n++) {
      this.#reads++
      if (libc.readv(this.fd, partsAddress, 1) >= 0) continue
      const errno = libc.errno()
      if (errno !== EINTR) return errno === Errno.EAGAIN ? n : -errno
    }
    return limit
  }

  /**
   * One batch, with the outcome of `read_batch` in native/device.c. But here a packet is read into its piece and, where it
   * is too long for that, on into the next large one, to which its beginning is copied then: copying each would cost more.
   */
  receive(): number {
    const { descriptors, spill, maxBatch, busyMicroseconds } = this.#ring!
    const { libc, arenas, parts, partsAddress } = this.#driver
    const first = this.#vnetHeader ? 1 : 0
    const header = first * VNET_HEADER_SIZE
    arenas.begin()
    let spills = 0
    if (spill !== null) while (3 * spills < spill.length && spill[3 * spills + 2]! > 0) spills++
    let n = 0
    let spilt = 0
    let errno = 0
    while (n < maxBatch) {
      const room = descriptors[3 * n + 2]!
      if (room === 0 || (spills > 0 && spilt === spills)) break
      const at = arenas.piece(descriptors[3 * n]!, descriptors[3 * n + 1]!, room)
      let large = 0
      let count = first + 1
      if (first === 1) setPart(parts, 0, this.#headersAddress + n * VNET_HEADER_STRIDE, VNET_HEADER_SIZE)
      setPart(parts, first, at, room)
      if (spills > 0) {
        const size = spill![3 * spilt + 2]!
        large = arenas.piece(spill![3 * spilt]!, spill![3 * spilt + 1]!, size)
        if (size > room) setPart(parts, count++, large + room, size - room)
      }
      if (at === 0 || (spills > 0 && large === 0)) {
        errno = EFAULT
        break
      }
      this.#reads++
      const got = libc.readv(this.fd, partsAddress, count)
      if (got < 0) {
        const failed = libc.errno()
        if (failed === EINTR) continue
        if (failed !== Errno.EAGAIN) errno = failed
        break
      }
      const length = got - header
      if (length > room) {
        arenas.copy(
          spill![3 * spilt]!,
          spill![3 * spilt + 1]!,
          descriptors[3 * n]!,
          descriptors[3 * n + 1]!,
          room,
        )
        spilt++
      }
      descriptors[3 * n + 2] = length
      n++
    }
    // Nowhere to read to, or the interface is gone: it is resumed, or closed, from above.
    if (errno !== 0 && errno !== EFAULT) this.#end()
    if (errno !== 0 || (n === 0 && descriptors[2] === 0)) this.reading = false
    if (n > 0) this.#keepBusy(busyMicroseconds)
    if (n > 0 || errno !== 0) {
      try {
        this.#callback(n, errno)
      } finally {
        if (errno === EFAULT && !this.#closed && descriptors[2]! > 0) this.reading = true
      }
    }
    return n
  }

  failed(): void {
    if (this.#broken || this.#closed) return
    const errno =
      this.#driver.libc.ioctlWith(this.fd, Ioctl.TUNGETIFF, interfaceRequest('')) < 0
        ? this.#driver.libc.errno()
        : 0
    if (errno === 0) return
    this.#end()
    this.#callback(0, errno)
  }

  /** The interface is gone: nothing more is waited for, and nothing keeps the process alive. */
  #end(): void {
    this.#broken = true
    this.reading = false
    this.#driver.poller.unwatch(this)
    this.#driver.poller.release(this.#hold)
  }

  writeBatch(
    descriptors: Uint32Array,
    headers: Uint8Array | null,
    bodies: readonly (Uint8Array | null)[] | null,
    n: number,
    status: Int32Array,
  ): number {
    if (this.#closed) return -EBADF
    const { libc, arenas, parts, partsAddress, noHeaderAddress } = this.#driver
    const headersAddress = headers === null ? 0 : libc.address(headers)
    const first = this.#vnetHeader ? 1 : 0
    arenas.begin()
    let taken = 0
    for (let i = 0; i < n; i++) {
      // A header put in front would have to be copied from here, which costs more than a piece.
      const length = descriptors[3 * i + 2]! & ~ROOM_BEFORE
      const at = arenas.piece(descriptors[3 * i]!, descriptors[3 * i + 1]!, length)
      if (at === 0) {
        status[i] = -EFAULT
        continue
      }
      let count = first + 1
      if (first === 1) {
        const header = headersAddress === 0 ? noHeaderAddress : headersAddress + i * VNET_HEADER_STRIDE
        setPart(parts, 0, header, VNET_HEADER_SIZE)
      }
      setPart(parts, first, at, length)
      const body = bodies === null ? null : bodies[i]!
      if (body !== null && body.length > 0) setPart(parts, count++, bodyAddress(libc, body), body.length)
      let put: number
      do {
        this.#writes++
        put = libc.writev(this.fd, partsAddress, count)
      } while (put < 0 && libc.errno() === EINTR)
      if (put <= 0) {
        // writev() takes nothing at all for done, without asking the driver.
        status[i] = put < 0 ? -libc.errno() : -Errno.EINVAL
        continue
      }
      status[i] = put - first * VNET_HEADER_SIZE
      taken++
    }
    if (this.#ring !== null) this.#keepBusy(this.#ring.busyMicroseconds)
    return taken
  }

  systemCalls(written: boolean): number {
    return written ? this.#writes : this.#reads
  }

  getProperty(property: InterfaceProperty): number {
    if (this.#closed) return -EBADF
    const { kind, get } = PROPERTIES[property]
    if (get === 0) return -Errno.EINVAL
    const request = this.#request()
    if (typeof request === 'number') return request
    if (kind === 'address') new DataView(request.buffer).setUint16(IFNAMSIZ, AF_INET, true)
    return this.#driver.ask(request, get, (view) => {
      if (kind === 'address') return view.getUint32(IFNAMSIZ + 4)
      return kind === 'flags' ? view.getUint16(IFNAMSIZ, true) : view.getInt32(IFNAMSIZ, true)
    })
  }

  setProperty(property: InterfaceProperty, value: number): number {
    if (this.#closed) return -EBADF
    const { libc } = this.#driver
    const { kind, set } = PROPERTIES[property]
    if (set === 0) return -Errno.EINVAL
    if (kind === 'tun') return libc.ioctl(this.fd, set, value) < 0 ? -libc.errno() : 0
    const request = this.#request()
    if (typeof request === 'number') return request
    const view = new DataView(request.buffer)
    if (kind === 'address') {
      view.setUint16(IFNAMSIZ, AF_INET, true)
      view.setUint32(IFNAMSIZ + 4, value)
    } else if (kind === 'flags') {
      view.setUint16(IFNAMSIZ, value, true)
    } else {
      view.setInt32(IFNAMSIZ, value, true)
    }
    return this.#driver.ask(request, set, () => 0)
  }

  ref(): void {
    this.#hold.referenced = true
    this.#driver.poller.changed()
  }

  unref(): void {
    this.#hold.referenced = false
    this.#driver.poller.changed()
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.reading = false
    abandoned.unregister(this)
    this.#resetOffload()
    this.#driver.poller.unwatch(this)
    this.#driver.poller.release(this.#hold)
    closeSync(this.fd)
  }

  /** A persistent interface would go on giving super-segments to whoever opens it next, asked for or not. */
  #resetOffload(): void {
    if (!this.#vnetHeader) return
    const { libc } = this.#driver
    const request = interfaceRequest('')
    if (libc.ioctlWith(this.fd, Ioctl.TUNGETIFF, request) < 0) return
    const flags = new DataView(request.buffer).getUint16(IFNAMSIZ, true)
    if ((flags & IFF_PERSIST) !== 0) libc.ioctl(this.fd, Ioctl.TUNSETOFFLOAD, 0)
  }

  #keepBusy(microseconds: number): void {
    if (microseconds > 0) this.busyUntil = performance.now() + microseconds / 1000
  }

  /** With the interface's present name: it may have been renamed since it was opened. */
  #request(): Uint8Array<ArrayBuffer> | number {
    const { libc } = this.#driver
    const request = interfaceRequest('')
    if (libc.ioctlWith(this.fd, Ioctl.TUNGETIFF, request) < 0) return -libc.errno()
    request.fill(0, IFNAMSIZ)
    return request
  }
}

/** Packet memory by number, as in native/arena.c: it is not kept alive, and looked up again for every batch. */
class ArenaAddresses {
  readonly #libc: Libc
  readonly #buffers: WeakRef<ArrayBuffer>[] = []
  #id = -1
  #base = 0
  #size = 0

  constructor(libc: Libc) {
    this.#libc = libc
  }

  register(buffer: ArrayBuffer): number {
    const free = this.#buffers.findIndex((reference) => reference.deref() === undefined)
    const id = free < 0 ? this.#buffers.length : free
    this.#buffers[id] = new WeakRef(buffer)
    return id
  }

  /** What was looked up before may be gone by now. */
  begin(): void {
    this.#id = -1
  }

  /** The address of the piece, or 0 if it is not, or no longer, wholly inside a registered arena. */
  piece(id: number, offset: number, length: number): number {
    if (id !== this.#id) this.#lookUp(id)
    return offset + length > this.#size ? 0 : this.#base + offset
  }

  copy(to: number, toOffset: number, from: number, fromOffset: number, length: number): void {
    const source = new Uint8Array(this.#buffers[from]!.deref()!, fromOffset, length)
    new Uint8Array(this.#buffers[to]!.deref()!, toOffset, length).set(source)
  }

  #lookUp(id: number): void {
    const buffer = this.#buffers[id]?.deref()
    this.#id = id
    this.#size = buffer === undefined ? 0 : buffer.byteLength
    this.#base = this.#size === 0 ? 0 : this.#libc.address(buffer!)
    if (this.#base === 0) this.#size = -1
  }
}

/** Closes what was forgotten before it was ever read; from then on it is waited for, and known. */
const abandoned = new FinalizationRegistry<{ fd: number; hold: Hold; poller: KoffiPoller }>(
  ({ fd, hold, poller }) => {
    poller.release(hold)
    closeSync(fd)
  },
)

/** A small array may still lie on the JavaScript heap, where it can move: asking for its buffer moves it out. */
function bodyAddress(libc: Libc, body: Uint8Array): number {
  return body.buffer.byteLength === 0 ? 0 : libc.address(body)
}

function setPart(parts: Uint32Array, i: number, address: number, length: number): void {
  const at = i * PART_WORDS
  parts[at] = address
  parts[at + 1] = address / 0x1_0000_0000
  parts[at + 2] = length
  parts[at + 3] = 0
}

function interfaceRequest(name: string): Uint8Array<ArrayBuffer> {
  const request = new Uint8Array(new ArrayBuffer(IFREQ_SIZE))
  request.set(new TextEncoder().encode(name).subarray(0, IFNAMSIZ - 1))
  return request
}

function nameOf(request: Uint8Array): string {
  return new TextDecoder().decode(request.subarray(0, request.indexOf(0)))
}
