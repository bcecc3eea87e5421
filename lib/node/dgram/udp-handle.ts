/**
 * A UDP handle for Node's own `dgram`, over a stack: what `UDPWrap` of libuv is over the kernel. `dgram.Socket` calls
 * its methods and is called back, always from the event loop, with one datagram or one error at a time. Results are 0
 * or a negative errno.
 */
import { AsyncResource } from 'node:async_hooks'
import { isIPv4 } from 'node:net'
import { getSystemErrorMap } from 'node:util'
import { parseIpv4 } from '../../address/ipv4-address.ts'
import { Errno, TunstackError } from '../../errors.ts'
import type { Udp } from '../../udp/udp.ts'
import type { UdpAddress } from '../../udp/udp-options.ts'
import type { UdpSocket } from '../../udp/udp-socket.ts'
import type { Source, Turns } from '../turns.ts'

/** What the stack itself never says. */
const EBADF = 9

/** Flags of `bind`, as libuv numbers them. */
const UV_UDP_REUSEADDR = 4
const UV_UDP_REUSEPORT = 8

/** The kernel counts what it needs besides the bytes: what is set is doubled, and has a least size. */
const SOCK_MIN_SNDBUF = 4608
const SOCK_MIN_RCVBUF = 2304

/** What the handles of one stack share. */
export interface UdpHandleContext {
  readonly udp: Udp
  readonly turns: Turns
}

/** `SendWrap`: what `dgram` wants to hear the end of. */
interface SendRequest {
  oncomplete?: (status: number, sent: number | undefined) => void
}

interface Waiting {
  request: SendRequest
  bytes: Uint8Array
  to: UdpAddress | undefined
}

interface AddressInfo {
  address?: string
  family?: string
  port?: number
}

/** Filled in for whoever asks why a size of a buffer could not be had. */
interface ErrorInfo {
  errno?: number
  code?: string
  message?: string
  syscall?: string
}

export type OnMessage = (
  read: number,
  handle: UdpHandle,
  bytes?: Uint8Array,
  from?: AddressInfo & { size?: number },
) => void

export class UdpHandle implements Source {
  /** Set by `dgram`. */
  onmessage: OnMessage | undefined
  onerror: unknown
  lookup: unknown
  /** There is no descriptor. */
  readonly fd = -EBADF
  readonly #context: UdpHandleContext
  readonly #resource = new AsyncResource('UDPWRAP')
  readonly #waiting: Waiting[] = []
  #socket: UdpSocket | null = null
  #sendBuffer: number
  #receiving = false
  #closed = false
  #referenced = true
  #held = false

  constructor(context: UdpHandleContext) {
    this.#context = context
    this.#sendBuffer = context.udp.ip.ctx.sysctl.core.wmem_default
  }

  getAsyncId(): number {
    return this.#resource.asyncId()
  }

  // ---- addresses

  bind(address: string, port: number, flags: number): number {
    if (this.#closed) return -EBADF
    if (this.#socket !== null) return -Errno.EINVAL
    if (!isIPv4(address)) return -Errno.EINVAL
    return attempt(() => {
      const { udp } = this.#context
      const socket = udp.bind({
        address,
        port: port & 0xffff, // `dgram` looks at it no closer than libuv
        reuseAddress: (flags & UV_UDP_REUSEADDR) !== 0,
        reusePort: (flags & UV_UDP_REUSEPORT) !== 0,
      })
      socket.onReadable = () => this.#context.turns.ready(this)
      this.#socket = socket
    })
  }

  /** @param _address of IPv6: the stack has none, and says what a kernel without it says */
  bind6(_address: string, _port: number, _flags: number): number {
    return -Errno.EAFNOSUPPORT
  }

  connect(address: string, port: number): number {
    return this.#withSocket((socket) => socket.connect({ address, port }))
  }

  connect6(_address: string, _port: number): number {
    return -Errno.EAFNOSUPPORT
  }

  disconnect(): number {
    return this.#withSocket((socket) => socket.disconnect())
  }

  getsockname(out: AddressInfo): number {
    const socket = this.#socket
    return socket === null ? -EBADF : describe(out, socket.address, socket.port)
  }

  getpeername(out: AddressInfo): number {
    const socket = this.#socket
    if (socket === null) return -EBADF
    const { peer } = socket
    return peer === undefined ? -Errno.ENOTCONN : describe(out, peer.address, peer.port)
  }

  // ---- receiving

  recvStart(): number {
    if (this.#socket === null) return -Errno.EINVAL
    this.#receiving = true
    this.#context.turns.ready(this)
    this.#hold()
    return 0
  }

  recvStop(): number {
    this.#receiving = false
    this.#hold()
    return 0
  }

  /** @internal */
  turn(): boolean {
    const socket = this.#socket
    if (socket === null || !this.#receiving) return false
    const errno = socket.takeError()
    if (errno !== 0) this.#tell(-errno)
    else if (socket.waiting > 0) {
      // It is the program's from now on, and no piece of Node's pool.
      const bytes = Buffer.allocUnsafeSlow(socket.nextLength)
      socket.receiveInto(bytes)
      const { address, port } = socket.received
      this.#tell(bytes.length, bytes, { address, family: 'IPv4', port })
    } else return false
    return this.#socket !== null
  }

  #tell(read: number, bytes?: Uint8Array, from?: AddressInfo): void {
    const { onmessage } = this
    if (onmessage !== undefined) this.#resource.runInAsyncScope(onmessage, this, read, this, bytes, from)
  }

  // ---- sending

  /** `send(request, list, count, port, address, hasCallback)`, or without port and address to the peer. */
  send(request: SendRequest, list: readonly ArrayBufferView[], count: number, ...rest: unknown[]): number {
    const socket = this.#socket
    if (socket === null) return -EBADF
    const [port, address] = rest as [number, string]
    const hasAddress = rest.length > 1
    const hasCallback = rest[hasAddress ? 2 : 0] === true
    if (hasAddress && !isIPv4(address)) return -Errno.EINVAL
    const to = hasAddress ? { address, port } : undefined
    const bytes = count === 1 ? bytesOf(list[0]!) : Buffer.concat(list.map(bytesOf))
    if (this.#waiting.length === 0) {
      const errno = socket.trySend(bytes, to)
      // A number above 0 says that it was sent, and how much.
      if (errno === 0) return bytes.length + 1
      if (errno !== Errno.EAGAIN) return -errno
    }
    // What `list` holds belongs to the program until it is told.
    this.#waiting.push({
      request: hasCallback ? request : {},
      bytes: hasCallback ? bytes : bytes.slice(),
      to,
    })
    if (this.#waiting.length === 1) void this.#sendLater(socket)
    this.#hold()
    return 0
  }

  send6(): number {
    return -Errno.EAFNOSUPPORT
  }

  getSendQueueCount(): number {
    return this.#waiting.length
  }

  getSendQueueSize(): number {
    return this.#waiting.reduce((sum, { bytes }) => sum + bytes.length, 0)
  }

  /** The device had no room: what waits goes when it has. */
  async #sendLater(socket: UdpSocket): Promise<void> {
    for (let next = this.#waiting[0]; next !== undefined && !this.#closed; next = this.#waiting[0]) {
      const errno = socket.trySend(next.bytes, next.to)
      if (errno === Errno.EAGAIN) {
        await socket.writable(next.to).catch(() => {}) // closed, or no way any more: the next attempt says it
        continue
      }
      this.#waiting.shift()
      this.#complete(next.request, -errno, next.bytes.length)
    }
    this.#hold()
  }

  #complete(request: SendRequest, status: number, sent: number): void {
    if (request.oncomplete === undefined) return
    this.#context.turns.later(() => request.oncomplete?.(status, status < 0 ? undefined : sent))
  }

  // ---- options

  setBroadcast(on: boolean): number {
    return this.#withSocket((socket) => socket.setBroadcast(on))
  }

  setTTL(ttl: number): number {
    if (ttl < 1 || ttl > 255) return -Errno.EINVAL
    return this.#withSocket((socket) => socket.setTtl(ttl))
  }

  setMulticastTTL(ttl: number): number {
    return this.#withSocket((socket) => socket.setMulticastTtl(ttl))
  }

  setMulticastLoopback(on: boolean): number {
    return this.#withSocket((socket) => socket.setMulticastLoop(on))
  }

  /** @param address of the device; `'0.0.0.0'`: the routes decide */
  setMulticastInterface(address: string): number {
    if (!isIPv4(address)) return -Errno.EINVAL
    return this.#withSocket((socket) => socket.setMulticastDevice(this.#deviceOf(address) ?? null))
  }

  addMembership(group: string, interfaceAddress?: string): number {
    return this.#membership(group, interfaceAddress, (socket, options) => socket.joinGroup(group, options))
  }

  dropMembership(group: string, interfaceAddress?: string): number {
    return this.#membership(group, interfaceAddress, (socket, options) => socket.leaveGroup(group, options))
  }

  /** The stack joins groups as a whole: no source can be asked for. */
  addSourceSpecificMembership(): number {
    return -Errno.ENOPROTOOPT
  }

  dropSourceSpecificMembership(): number {
    return -Errno.ENOPROTOOPT
  }

  /** Sets the size of a buffer, or with 0 gives it. `undefined` if that fails, and then `failed` says why. */
  bufferSize(size: number, receive: boolean | number, failed: ErrorInfo): number | undefined {
    const socket = this.#socket
    const isReceive = Boolean(receive)
    const errno = socket === null ? -EBADF : size > 0x7fffffff ? -Errno.EINVAL : 0
    if (socket === null || errno !== 0) {
      const [code, message] = getSystemErrorMap().get(errno)!
      const syscall = isReceive ? 'uv_recv_buffer_size' : 'uv_send_buffer_size'
      Object.assign(failed, { errno, code, message, syscall })
      return undefined
    }
    const { core } = this.#context.udp.ip.ctx.sysctl
    if (isReceive) {
      if (size > 0) socket.setReceiveBuffer(Math.max(2 * Math.min(size, core.rmem_max), SOCK_MIN_RCVBUF))
      else return socket.receiveBuffer
    } else if (size > 0) this.#sendBuffer = Math.max(2 * Math.min(size, core.wmem_max), SOCK_MIN_SNDBUF)
    else return this.#sendBuffer
    return size
  }

  #membership(
    group: string,
    interfaceAddress: string | undefined,
    change: (socket: UdpSocket, options: { device?: string }) => void,
  ): number {
    if (this.#closed) return -EBADF
    // libuv makes the socket here if there is none yet.
    if (this.#socket === null) {
      const errno = this.bind('0.0.0.0', 0, UV_UDP_REUSEADDR)
      if (errno !== 0) return errno
    }
    if (!isIPv4(group) || (interfaceAddress !== undefined && !isIPv4(interfaceAddress))) return -Errno.EINVAL
    return this.#withSocket((socket) => {
      const device = interfaceAddress === undefined ? undefined : this.#deviceOf(interfaceAddress, 'ENODEV')
      change(socket, device === undefined ? {} : { device })
    })
  }

  /** @throws TunstackError `code` if no device has the address */
  #deviceOf(address: string, code = 'EADDRNOTAVAIL'): string | undefined {
    const number = parseIpv4(address)
    if (number === 0) return undefined
    const device = this.#context.udp.ip.ctx.routing.addresses.deviceOf(number)
    if (device !== null) return device.name
    throw new TunstackError(code, `no device has the address ${address}`, { value: address })
  }

  #withSocket(call: (socket: UdpSocket) => void): number {
    const socket = this.#socket
    return socket === null ? -EBADF : attempt(() => call(socket))
  }

  // ---- life

  ref(): void {
    this.#referenced = true
    this.#hold()
  }

  unref(): void {
    this.#referenced = false
    this.#hold()
  }

  hasRef(): boolean {
    return this.#referenced && !this.#closed
  }

  close(callback?: () => void): void {
    if (this.#closed) return
    this.#closed = true
    this.#receiving = false
    this.#socket?.close()
    this.#socket = null
    for (const { request } of this.#waiting.splice(0)) this.#complete(request, -Errno.ECANCELED, 0)
    this.#hold()
    if (callback !== undefined)
      this.#context.turns.later(() => this.#resource.runInAsyncScope(callback, this))
  }

  /** The process lives for what a handle of libuv is active for. */
  #hold(): void {
    const held = (this.#receiving || this.#waiting.length > 0) && this.#referenced && !this.#closed
    if (held === this.#held) return
    this.#held = held
    this.#context.turns.hold(held)
  }
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return view instanceof Uint8Array ? view : new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
}

/** 0, or the errno of what was thrown. */
function attempt(call: () => void): number {
  try {
    call()
    return 0
  } catch (error) {
    if (!(error instanceof TunstackError)) throw error
    return error.errno ?? (error.code === 'ERR_STACK_CLOSED' ? -Errno.ENETDOWN : -Errno.EINVAL)
  }
}

function describe(out: AddressInfo, address: string, port: number): number {
  out.address = address
  out.family = 'IPv4'
  out.port = port
  return 0
}
