/**
 * A UDP handle for Node's own `dgram`, over a stack: what `UDPWrap` and libuv are over the kernel. `dgram.Socket` calls
 * its methods and it calls back, always from the event loop. It is the handle that Node has made, before it has a
 * socket of the kernel, with every method that would get it one replaced: so it is what the rest of Node takes it for.
 * Results are 0 or a negative errno.
 */
import { AsyncResource } from 'node:async_hooks'
import { isIPv6 } from 'node:net'
import { formatIpv4, type Ipv4Address } from '../../address/ipv4-address.ts'
import { Errno, TunstackError } from '../../errors.ts'
import type { Udp } from '../../udp/udp.ts'
import type { UdpAddress, UdpBindOptions } from '../../udp/udp-options.ts'
import type { UdpSocket } from '../../udp/udp-socket.ts'
import type { Source, Turns } from '../turns.ts'
import { parseAddress } from './addresses.ts'
import { BufferSizes, type SystemErrorContext } from './buffer-sizes.ts'
import { BindFlag, type NativeUdp, runTicks, UDP } from './internals.ts'
import { Multicast } from './multicast.ts'
import { bytesOf, PendingSends, type SendRequest } from './pending-sends.ts'

/** Datagrams read in one turn of the event loop at most, as libuv. */
const BURST = 32

/** What the handles of one stack share. */
export interface UdpContext {
  readonly udp: Udp
  readonly turns: Turns
}

interface AddressInfo {
  address?: string
  family?: string
  port?: number
}

/** Makes an object that is there already what `new` gives: so it gets the fields of the class. */
const Adopting = function (this: object, handle: NativeUdp): NativeUdp {
  return Object.setPrototypeOf(handle, new.target!.prototype as object) as NativeUdp
} as unknown as new (
  handle: NativeUdp,
) => NativeUdp
Object.setPrototypeOf(Adopting, UDP)
Adopting.prototype = UDP.prototype as NativeUdp

export class UdpHandle extends Adopting implements Source {
  isReady = false
  readonly #context: UdpContext
  readonly #resource = new AsyncResource('UDPWRAP')
  readonly #sends: PendingSends
  readonly #multicast: Multicast
  readonly #sizes: BufferSizes
  /** What is set goes for the socket that is bound, and for the one that will be. */
  readonly #options: UdpBindOptions = {}
  /** There is a socket, as `socket(2)` gives it: bound, or what `bind` has failed with. */
  #open = false
  #socket: UdpSocket | null = null
  /** Where the datagram at hand goes. */
  readonly #to: UdpAddress = { address: '', port: 0 }
  /** The port was picked for it: it goes with the peer. */
  #picked = false
  #receiving = false
  #closing = false
  #referenced = true
  #held = false

  /** @param family of the socket that it is made for */
  constructor(context: UdpContext, handle: NativeUdp, family: 4 | 6) {
    super(handle)
    this.#context = context
    this.#sends = new PendingSends(this.#resource)
    this.#multicast = new Multicast(context.udp)
    this.#sizes = new BufferSizes(context.udp.ip.ctx.sysctl.core)
    // Node puts the methods of IPv6 in the place of the others.
    if (family === 6) Object.assign(this, { bind: this.bind6, connect: this.connect6, send: this.send6 })
  }

  getAsyncId(): number {
    return this.#resource.asyncId()
  }

  /** No descriptor is behind it. */
  get fd(): number {
    return -Errno.EBADF
  }

  open(): number {
    return -Errno.EOPNOTSUPP
  }

  // ---- addresses

  bind(address: string, port: number, flags: number): number {
    const local = parseAddress(address)
    if (local === null || (flags & ~(BindFlag.REUSEADDR | BindFlag.REUSEPORT)) !== 0) return -Errno.EINVAL
    return this.#bind(local, (port >>> 0) & 0xffff, flags)
  }

  /** The stack has no IPv6, and says what a kernel without it says. */
  bind6(_address: string, _port: number, _flags: number): number {
    return this.#socket === null ? -Errno.EAFNOSUPPORT : -Errno.EINVAL
  }

  #bind(local: Ipv4Address, port: number, flags: number): number {
    this.#context.turns.calling()
    if (this.#closing) return -Errno.EBADF
    this.#open = true
    const options = this.#options
    if ((flags & BindFlag.REUSEADDR) !== 0) options.reuseAddress = true
    if ((flags & BindFlag.REUSEPORT) !== 0) options.reusePort = true
    if (this.#socket !== null) return -Errno.EINVAL
    return attempt(() => {
      const address = local === 0 ? {} : { address: formatIpv4(local) }
      const socket = this.#context.udp.bind({
        receiveBuffer: this.#sizes.receive,
        ...options,
        ...address,
        port,
      })
      socket.listener = () => this.#news()
      this.#picked = port === 0
      this.#multicast.apply(socket)
      this.#socket = socket
    })
  }

  /** libuv binds what is used before. */
  #bindIfNot(flags = 0): number {
    return this.#socket === null ? this.#bind(0, 0, flags) : 0
  }

  connect(address: string, port: number): number {
    const remote = parseAddress(address)
    if (remote === null) return -Errno.EINVAL
    if (this.#socket?.peer !== undefined) return -Errno.EISCONN
    const failed = this.#bindIfNot()
    if (failed !== 0) return failed
    // What was sent before leaves before: what comes of it is not the peer's doing.
    const { softirq } = this.#context.udp
    softirq.enter()
    softirq.leave()
    return attempt(() => this.#socket!.connect({ address: formatIpv4(remote), port: (port >>> 0) & 0xffff }))
  }

  connect6(_address: string, _port: number): number {
    return -Errno.EAFNOSUPPORT
  }

  disconnect(): number {
    const socket = this.#socket
    if (socket === null || socket.peer === undefined) return -Errno.ENOTCONN
    if (this.#picked) socket.dissolve()
    else socket.disconnect()
    return 0
  }

  getsockname(out: AddressInfo): number {
    if (!this.#open || this.#closing) return -Errno.EBADF
    return describe(out, this.#socket?.address ?? '0.0.0.0', this.#socket?.port ?? 0)
  }

  getpeername(out: AddressInfo): number {
    if (!this.#open || this.#closing) return -Errno.EBADF
    const peer = this.#socket?.peer
    return peer === undefined ? -Errno.ENOTCONN : describe(out, peer.address, peer.port)
  }

  // ---- sending

  /**
   * To an address: `(request, buffers, count, port, address, wantsToKnow)`; to the peer:
   * `(request, buffers, count, wantsToKnow)`. Gives the bytes sent, and one; 0: it waits, and the request will hear.
   */
  send(
    request: SendRequest,
    buffers: readonly ArrayBufferView[],
    _count: number,
    port: number | boolean,
    address?: string,
    wantsToKnow?: boolean,
  ): number {
    this.#context.turns.calling()
    if (this.#closing) return -Errno.EBADF
    const connected = this.#socket?.peer !== undefined
    let to: UdpAddress | undefined
    if (typeof port === 'boolean') {
      if (!connected) return -Errno.EDESTADDRREQ
      wantsToKnow = port
    } else {
      to = this.#to
      if (address !== to.address) {
        // Mostly it is the address of the time before.
        if (parseAddress(address) === null) return -Errno.EINVAL
        to.address = address!
      }
      if (connected) return -Errno.EISCONN
      to.port = (port >>> 0) & 0xffff
    }
    const failed = this.#bindIfNot()
    if (failed !== 0) return failed
    const socket = this.#socket!
    if (socket.closed) return -Errno.ENETDOWN
    if (this.#sends.isEmpty) {
      const bytes = bytesOf(buffers)
      const errno = socket.trySend(bytes, to)
      if (errno === 0) return bytes.length + 1
      if (errno !== Errno.EAGAIN) return -errno
    }
    this.#sends.push(request, buffers, to === undefined ? undefined : { ...to }, wantsToKnow === true)
    this.#soon()
    return 0
  }

  send6(): number {
    return -Errno.EAFNOSUPPORT
  }

  getSendQueueSize(): number {
    return this.#sends.bytes
  }

  getSendQueueCount(): number {
    return this.#sends.length
  }

  // ---- receiving

  recvStart(): number {
    if (this.#closing) return -Errno.EBADF
    const failed = this.#bindIfNot()
    if (failed !== 0) return failed
    this.#receiving = true
    this.#soon()
    return 0
  }

  recvStop(): number {
    this.#receiving = false
    this.#hold()
    return 0
  }

  // ---- options

  setBroadcast(on: number): number {
    if (!this.#open) return -Errno.EBADF
    this.#options.broadcast = on !== 0
    this.#socket?.setBroadcast(on !== 0)
    return 0
  }

  setTTL(ttl: number): number {
    const value = ttl | 0
    if (value < 1 || value > 255) return -Errno.EINVAL
    if (!this.#open) return -Errno.EBADF
    this.#options.ttl = value
    this.#socket?.setTtl(value)
    return 0
  }

  setMulticastTTL(ttl: number): number {
    const value = ttl | 0
    if (value < 0 || value > 255) return -Errno.EINVAL
    if (!this.#open) return -Errno.EBADF
    this.#options.multicastTtl = value
    this.#socket?.setMulticastTtl(value)
    return 0
  }

  setMulticastLoopback(on: number): number {
    if (!this.#open) return -Errno.EBADF
    this.#options.multicastLoop = on !== 0
    this.#socket?.setMulticastLoop(on !== 0)
    return 0
  }

  setMulticastInterface(address: string): number {
    const local = parseAddress(address)
    if (local === null && !isIPv6(address)) return -Errno.EINVAL
    if (!this.#open) return -Errno.EBADF
    if (local === null) return -Errno.ENOPROTOOPT
    return this.#multicast.setInterface(this.#socket, local)
  }

  addMembership(group: string, at: string | undefined): number {
    return this.#changeMembership(group, undefined, at, true)
  }

  dropMembership(group: string, at: string | undefined): number {
    return this.#changeMembership(group, undefined, at, false)
  }

  addSourceSpecificMembership(source: string, group: string, at: string | undefined): number {
    return this.#changeMembership(group, source, at, true)
  }

  dropSourceSpecificMembership(source: string, group: string, at: string | undefined): number {
    return this.#changeMembership(group, source, at, false)
  }

  #changeMembership(
    group: string,
    source: string | undefined,
    at: string | undefined,
    join: boolean,
  ): number {
    if (this.#closing) return -Errno.EBADF
    if (isIPv6(group) && (source === undefined || isIPv6(source))) {
      if (!this.#open) return -Errno.EAFNOSUPPORT
      return at === undefined || at === null || isIPv6(at) ? -Errno.ENOPROTOOPT : -Errno.EINVAL
    }
    if (parseAddress(group) === null) return -Errno.EINVAL
    if (source !== undefined && parseAddress(source) === null) return -Errno.EINVAL
    const failed = this.#bindIfNot(BindFlag.REUSEADDR)
    if (failed !== 0) return failed
    if (at !== undefined && at !== null && parseAddress(at) === null) return -Errno.EINVAL
    return attempt(() => this.#multicast.change(this.#socket!, group, source, at ?? undefined, join))
  }

  /** @param size bytes to set; 0: gives what is set. @param receive which of the two. `undefined`: `context` says why */
  bufferSize(size: number, receive: boolean, context: SystemErrorContext): number | undefined {
    return this.#sizes.change(this.#open && !this.#closing, this.#socket, size, receive, context)
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
    return this.#referenced && !this.#closing
  }

  override close(callback?: () => void): void {
    if (this.#closing) return
    this.#closing = true
    this.#receiving = false
    const socket = this.#socket
    if (socket !== null) {
      socket.listener = null
      socket.close()
    }
    this.#socket = null
    this.#hold()
    this.#context.turns.calling()
    super.close(callback)
    if (!this.#sends.isEmpty) this.#context.turns.later(() => this.#sends.fail(-Errno.ECANCELED))
  }

  /** The process lives for what a handle of libuv is active for. */
  #hold(): void {
    const active = this.#socket !== null && !this.#socket.closed && (this.#receiving || !this.#sends.isEmpty)
    const held = active && this.#referenced && !this.#closing
    if (held === this.#held) return
    this.#held = held
    this.#context.turns.hold(held)
  }

  #soon(): void {
    this.#context.turns.ready(this)
    this.#hold()
  }

  // ---- news

  #news(): void {
    if (!this.#closing) this.#soon()
  }

  /** @internal */
  turn(): boolean {
    const socket = this.#socket
    if (socket === null) return false
    const more = this.#receiving && this.#receive(socket)
    if (!this.#closing) this.#sends.advance(socket)
    this.#hold()
    return more && !this.#closing
  }

  /** What has come, one after the other, each with what the program puts off until after it. */
  #receive(socket: UdpSocket): boolean {
    for (let left = BURST; left > 0; left--) {
      const errno = socket.closed ? this.#stackClosed() : socket.takeError()
      if (errno !== 0) this.#tell(-errno)
      else if (socket.waiting > 0) this.#deliver(socket)
      else return false
      if (!this.#receiving) return false
      if (left > 1) runTicks()
      if (!this.#receiving) return false
    }
    return true
  }

  /** The stack was closed: that is told, once. */
  #stackClosed(): number {
    this.#receiving = false
    return Errno.ENETDOWN
  }

  #deliver(socket: UdpSocket): void {
    // Bytes of its own, as Node gives: a program may keep them, or hand their memory on.
    const bytes = Buffer.allocUnsafeSlow(socket.nextLength)
    socket.receiveInto(bytes)
    const { address, port } = socket.received
    this.#tell(bytes.length, bytes, { address, family: 'IPv4', port })
  }

  #tell(status: number, bytes?: Uint8Array, from?: AddressInfo): void {
    this.#resource.runInAsyncScope(this.onmessage!, this, status, this, bytes, from)
  }
}

function describe(out: AddressInfo, address: string, port: number): number {
  out.address = address
  out.family = 'IPv4'
  out.port = port
  return 0
}

/** 0, or the negative errno that a call of the stack fails with. */
function attempt(call: () => unknown): number {
  try {
    call()
    return 0
  } catch (error) {
    if (!(error instanceof TunstackError)) throw error
    if (error.code === 'ERR_STACK_CLOSED' || error.code === 'ERR_SOCKET_CLOSED') return -Errno.ENETDOWN
    // No port is left: `bind` calls that what it is.
    if (error.code === 'EAGAIN') return -Errno.EADDRINUSE
    return error.errno ?? -Errno.EINVAL
  }
}
