/**
 * A UDP socket, as a program handles it: bound to an address, a port and perhaps a device, with a peer or without.
 * What arrives waits, within a limit of bytes, until it is asked for or handed to a function; errors of ICMP about
 * what it sent come back to it, as on Linux.
 */
import { formatIpv4, type Ipv4Address, parseIpv4 } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import type { EventSource } from '../device/softirq.ts'
import { Errno, errnoName, invalidArgument, TunstackError } from '../errors.ts'
import type { IcmpErrorInfo } from '../ipv4/context.ts'
import { AddressTexts } from './address-texts.ts'
import { DatagramInfo, DatagramQueue } from './datagram-queue.ts'
import { Memberships } from './memberships.ts'
import { Received, type UdpReceived } from './received.ts'
import { SocketErrors } from './socket-errors.ts'
import type { Udp } from './udp.ts'
import {
  checkDiscovery,
  checkReceiveBuffer,
  checkSendOptions,
  checkSignal,
  type UdpAbortSignal,
  type UdpAddress,
  type UdpBindOptions,
  type UdpErrorReport,
  type UdpGroupOptions,
  type UdpMessage,
  type UdpPathMtuDiscovery,
  type UdpSendOptions,
} from './udp-options.ts'
import { UdpOutput, type UdpSettings } from './udp-output.ts'
import { type Waiter, waitIn, wake } from './waiters.ts'

/** What a socket has done. */
export interface UdpSocketCounters {
  received: number
  receivedBytes: number
  sent: number
  sentBytes: number
  /** Datagrams for which there was no room (`UdpRcvbufErrors`). */
  overflowed: number
}

const NO_OPTIONS: UdpSendOptions = {}

export class UdpSocket implements EventSource, AsyncIterable<UdpMessage> {
  eventsPending = false
  /** What has become of its datagrams. */
  readonly counters: UdpSocketCounters = {
    received: 0,
    receivedBytes: 0,
    sent: 0,
    sentBytes: 0,
    overflowed: 0,
  }
  /** @internal */
  readonly settings: UdpSettings
  /** @internal the local address and port, device; 0 for any */
  local: Ipv4Address
  /** @internal what it sends from; 0: the way decides. Nobody sends from a group or a broadcast address. */
  source: Ipv4Address
  /** @internal */
  localPort: number
  /** @internal */
  readonly sharing: { readonly reuseAddress: boolean; readonly reusePort: boolean }
  /** @internal told, outside of packet processing, that there is something to read or room to send, or that it is closed */
  listener: (() => void) | null = null
  /** @internal */
  readonly deviceIndex: number
  /** @internal the peer; port -1 if there is none */
  remote: Ipv4Address = 0
  /** @internal */
  remotePort = -1
  /** @internal the socket with the same addresses and ports that was connected before this one, and the one after it */
  earlier: UdpSocket | null = null
  /** @internal */
  later: UdpSocket | null = null
  /** Takes several datagrams as one message. */
  readonly gro: boolean
  /** @internal */
  readonly memberships: Memberships
  /** @internal also groups that others have joined */
  readonly multicastAll: boolean
  readonly #udp: Udp
  readonly #queue: DatagramQueue
  readonly #output: UdpOutput
  readonly #info = new DatagramInfo()
  readonly #received: Received
  readonly #errors: SocketErrors
  readonly #onMessage: ((message: UdpMessage) => void) | undefined
  readonly #texts = new AddressTexts()
  readonly #readers: Waiter[] = []
  readonly #writers: Waiter[] = []
  /** The device has room again: whoever waits for it is to be told. */
  #room = false
  readonly #roomThere = (): void => {
    this.#room = true
    this.#udp.softirq.eventPending(this)
  }
  #detach: (() => void) | null = null
  #closed = false
  /** @internal the address that it was bound to; a peer may have given it another one */
  readonly boundAddress: Ipv4Address

  /** @internal use {@link Udp.bind} */
  constructor(udp: Udp, address: Ipv4Address, port: number, device: number, options: UdpBindOptions) {
    const { sysctl } = udp.ip.ctx
    this.#udp = udp
    this.boundAddress = this.local = address
    this.source = udp.canSendFrom(address) ? address : 0
    this.localPort = port
    this.deviceIndex = device
    this.sharing = { reuseAddress: options.reuseAddress ?? false, reusePort: options.reusePort ?? false }
    this.gro = options.gro ?? false
    this.multicastAll = options.multicastAll ?? true
    this.memberships = new Memberships(udp.ip.ctx)
    this.#queue = new DatagramQueue(options.receiveBuffer ?? sysctl.core.rmem_default)
    this.#output = new UdpOutput(udp.ip)
    this.#received = new Received(this.#info, udp.ip.ctx.devices)
    this.#errors = new SocketErrors(options.receiveErrors ?? false, options.onError)
    this.#onMessage = options.onMessage
    this.settings = {
      broadcast: options.broadcast ?? false,
      ttl: options.ttl ?? 0,
      tos: options.tos ?? 0,
      mark: options.mark ?? 0,
      multicastTtl: options.multicastTtl ?? 1,
      multicastLoop: options.multicastLoop ?? true,
      multicastDevice:
        options.multicastDevice === undefined ? 0 : udp.deviceOf(options.multicastDevice).ifindex,
      multicastSource: 0,
      pathMtuDiscovery: options.pathMtuDiscovery ?? (sysctl.ipv4.ip_no_pmtu_disc !== 0 ? 'dont' : 'want'),
      segmentSize: options.segmentSize ?? 0,
    }
  }

  /** The address that it is bound to; `'0.0.0.0'` for any. */
  get address(): string {
    return formatIpv4(this.local)
  }

  get port(): number {
    return this.localPort
  }

  /** The peer that it is connected to; `undefined` if it has none. */
  get peer(): UdpAddress | undefined {
    return this.remotePort < 0 ? undefined : { address: formatIpv4(this.remote), port: this.remotePort }
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Datagrams that wait to be received. */
  get waiting(): number {
    return this.#queue.length
  }

  /** @internal bytes of the next datagram; one must wait */
  get nextLength(): number {
    return this.#queue.nextLength
  }

  /** Bytes that may wait. */
  get receiveBuffer(): number {
    return this.#queue.limit
  }

  /** What waits already stays. @throws TunstackError `ERR_INVALID_ARG_VALUE` */
  setReceiveBuffer(bytes: number): this {
    checkReceiveBuffer(bytes)
    this.#queue.limit = bytes
    return this
  }

  /** `SO_BROADCAST` */
  setBroadcast(on: boolean): this {
    this.settings.broadcast = on
    return this
  }

  /** 1…255, or 0 for the host's default. @throws TunstackError `ERR_INVALID_ARG_VALUE` */
  setTtl(ttl: number): this {
    if (ttl !== 0) checkSendOptions({ ttl })
    this.settings.ttl = ttl
    return this
  }

  /** @throws TunstackError `ERR_INVALID_ARG_VALUE` */
  setTos(tos: number): this {
    checkSendOptions({ tos })
    this.settings.tos = tos
    return this
  }

  /** 0…255; 0 keeps what is sent to groups on this host. @throws TunstackError `ERR_INVALID_ARG_VALUE` */
  setMulticastTtl(ttl: number): this {
    if (ttl !== 0) checkSendOptions({ ttl })
    this.settings.multicastTtl = ttl
    return this
  }

  setMulticastLoop(on: boolean): this {
    this.settings.multicastLoop = on
    this.#output.forget()
    return this
  }

  /** The device that groups are sent to by; `null`: the routes decide. @throws TunstackError `ENODEV` */
  setMulticastDevice(name: string | null): this {
    this.setMulticastSource(0, name === null ? 0 : this.#udp.deviceOf(name).ifindex)
    return this
  }

  /** @internal `IP_MULTICAST_IF` with an address of this host: it is what groups are sent to from, by its device; 0: neither */
  setMulticastSource(address: Ipv4Address, device: number): void {
    this.settings.multicastSource = address
    this.settings.multicastDevice = device
    this.#output.forget()
  }

  /** @throws TunstackError `ERR_INVALID_ARG_VALUE` */
  setPathMtuDiscovery(discovery: UdpPathMtuDiscovery): this {
    checkDiscovery(discovery)
    this.settings.pathMtuDiscovery = discovery
    return this
  }

  /** `IP_MTU`: what is known of the way to the peer, in bytes. @throws TunstackError `ENOTCONN`, and what `send` throws */
  get pathMtu(): number {
    if (this.remotePort < 0) throw failure(Errno.ENOTCONN, 'getsockopt', 'this socket has no peer')
    const route = this.#output.route(
      this.settings,
      this.localPort,
      this.remote,
      this.remotePort,
      this.source,
      this.deviceIndex,
      this.settings.tos,
    )
    if (route === null) throw failure(this.#output.noRoute(), 'getsockopt', 'there is no way to the peer')
    return route.mtu
  }

  /**
   * Joins a multicast group, on `device` or on the one that the routes say; with `source` for what that sends.
   * @throws TunstackError `ERR_INVALID_ARG_VALUE`, `ENODEV`, `EADDRINUSE` (joined already), `ENOBUFS` (too many),
   * `EADDRNOTAVAIL` (it hears that source already)
   */
  joinGroup(group: string, { device, source }: UdpGroupOptions = {}): this {
    this.#checkOpen('setsockopt')
    const on = device === undefined ? null : this.#udp.deviceOf(device)
    if (source === undefined) this.memberships.join(parseIpv4(group), on)
    else this.memberships.joinSource(parseIpv4(group), parseIpv4(source), on)
    return this
  }

  /** @throws TunstackError `EADDRNOTAVAIL` or, of a source, `EINVAL` if it was not joined; `ENODEV` */
  leaveGroup(group: string, { device, source }: UdpGroupOptions = {}): this {
    this.#checkOpen('setsockopt')
    const on = device === undefined ? null : this.#udp.deviceOf(device)
    if (source === undefined) this.memberships.leave(parseIpv4(group), on)
    else this.memberships.leaveSource(parseIpv4(group), parseIpv4(source), on)
    return this
  }

  /**
   * Gives it a peer: `send` needs no address, only the peer's datagrams are received, and errors about what was sent
   * fail the next call. The source address is chosen now, unless it is bound to one. May be called again.
   * @throws TunstackError `ENETUNREACH`, `EACCES` (broadcast)
   */
  connect({ address, port }: UdpAddress): void {
    this.#checkOpen('connect')
    const remote = this.#texts.parse(address)
    checkPort(port)
    this.disconnect()
    const failed = this.localPort === 0 ? this.#udp.autobind(this) : 0
    if (failed !== 0) throw failure(failed, 'connect', 'no local port is left')
    const { settings } = this
    const route = this.#output.route(
      settings,
      this.localPort,
      remote,
      port,
      this.source,
      this.deviceIndex,
      settings.tos,
    )
    if (route === null) throw failure(this.#output.noRoute(), 'connect', `there is no way to ${address}`)
    const errno = this.#udp.connect(this, route, remote, port, this.#output.source)
    if (errno !== 0) throw failure(errno, 'connect', `cannot connect to ${address}:${port}`)
  }

  /** Takes the peer away again. */
  disconnect(): void {
    if (this.remotePort < 0) return
    this.#udp.disconnect(this)
    this.local = this.boundAddress
    this.source = this.#udp.canSendFrom(this.boundAddress) ? this.boundAddress : 0
    this.#output.forget()
  }

  /** @internal as connecting to `AF_UNSPEC`: a port that was picked for it goes too, and it gets another when it sends next */
  dissolve(): void {
    this.disconnect()
    this.#udp.unbind(this)
  }

  /**
   * Sends one datagram, to the peer or to `to`.
   * @throws TunstackError `EDESTADDRREQ` (no peer, and no address given), `ENETUNREACH`, `EINVAL`, `EMSGSIZE`, `EACCES`
   * (broadcast), `EAGAIN` (the device has no room: {@link writable} tells when), `ENOBUFS`, `ENODEV`;
   * `ERR_SOCKET_CLOSED`; `ERR_INVALID_ARG_VALUE`; and once each error that ICMP has reported: `ECONNREFUSED`, …
   */
  send(data: Uint8Array, to?: UdpAddress, options: UdpSendOptions = NO_OPTIONS): void {
    const errno = this.trySend(data, to, options)
    if (errno === 0) return
    if (errno === Errno.EBADFD) this.#checkOpen('sendto')
    const where = to ?? this.peer
    const target = where === undefined ? 'nobody' : `${where.address}:${where.port}`
    throw failure(errno, 'sendto', `cannot send ${data.length} bytes to ${target}`, target)
  }

  /**
   * As {@link send}, but gives the errno (positive; 0: sent) instead of throwing it.
   * @throws TunstackError `ERR_INVALID_ARG_VALUE`
   */
  trySend(data: Uint8Array, to?: UdpAddress, options: UdpSendOptions = NO_OPTIONS): number {
    if (!(data instanceof Uint8Array)) throw invalidArgument('data', data, 'a Uint8Array')
    if (options !== NO_OPTIONS) checkSendOptions(options)
    if (this.#closed) return Errno.EBADFD
    if (this.#errors.errno !== 0) return this.takeError()
    let daddr = this.remote
    let dport = this.remotePort
    if (to !== undefined) {
      daddr = this.#texts.parse(to.address)
      dport = to.port
      if (!(Number.isInteger(dport) && dport >= 1 && dport <= 0xffff)) return Errno.EINVAL
    } else if (dport < 0) return Errno.EDESTADDRREQ
    if (this.localPort === 0) {
      const failed = this.#udp.autobind(this)
      if (failed !== 0) return failed
    }
    const { softirq } = this.#udp
    softirq.enter()
    try {
      return this.#send(data, daddr, dport, options)
    } finally {
      softirq.leaveSoon()
    }
  }

  /**
   * Resolves when there is room in the queue of the device that the peer, or `to`, is reached by.
   * @throws TunstackError as {@link send}; the reason of `signal`
   */
  async writable(to?: UdpAddress, { signal }: { signal?: UdpAbortSignal } = {}): Promise<void> {
    for (;;) {
      this.#checkOpen('poll')
      if (!this.awaitRoom(to)) return
      await waitIn(this.#writers, signal)
    }
  }

  /** @internal `true`: there is no room for a datagram to the peer, or to `to`; writers and `listener` are told when there is */
  awaitRoom(to: UdpAddress | undefined): boolean {
    const device = this.#deviceTowards(to)
    if (device === null || !device.up || device.txRoom > 0) return false
    device.whenRoom(this.#roomThere)
    return true
  }

  /**
   * Reads the next datagram into `buffer`, from `offset` on, and gives how many bytes were copied; -1 if none waits.
   * What does not fit is lost, as with `recvfrom`. Who sent it is in {@link received}. Allocates nothing.
   * @throws TunstackError each error that ICMP has reported, once; `ERR_SOCKET_CLOSED`
   */
  receiveInto(buffer: Uint8Array, offset = 0): number {
    this.#checkOpen('recvfrom')
    this.#throwError('recvfrom')
    if (this.#queue.length === 0) return -1
    return this.#queue.take(buffer, offset, buffer.length - offset, this.#info)
  }

  /** What {@link receiveInto} has read last. */
  get received(): UdpReceived {
    return this.#received
  }

  /**
   * The next datagram, as soon as there is one.
   * @throws TunstackError as {@link receiveInto}; the reason of `signal`
   */
  async receive(options: { signal?: UdpAbortSignal } = {}): Promise<UdpMessage> {
    while (this.#nothingToRead()) await this.readable(options)
    this.#checkOpen('recvfrom')
    this.#throwError('recvfrom')
    return this.#takeMessage()
  }

  /** Resolves once {@link receiveInto} has something to give. @throws the reason of `signal` */
  async readable({ signal }: { signal?: UdpAbortSignal } = {}): Promise<void> {
    checkSignal(signal)
    if (signal?.aborted === true) throw signal.reason
    if (this.#nothingToRead()) await waitIn(this.#readers, signal)
  }

  /** The datagrams as they come; ends when the socket is closed. */
  async *[Symbol.asyncIterator](): AsyncIterableIterator<UdpMessage> {
    for (;;) {
      while (this.#nothingToRead()) await this.readable()
      if (this.#closed) return
      this.#throwError('recvfrom')
      if (this.#queue.length > 0) yield this.#takeMessage()
    }
  }

  /** The oldest error that waits (`MSG_ERRQUEUE`), with `receiveErrors`; `undefined` if none does. */
  readError(): UdpErrorReport | undefined {
    return this.#errors.read()
  }

  /** What waits is lost; groups are left, and the port is free. Safe twice. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#detach?.()
    this.#detach = null
    this.#udp.release(this)
    this.memberships.leaveAll()
    this.#queue.clear()
    wake(this.#readers)
    wake(this.#writers)
    this.listener?.()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  /** @internal closes it when `signal` aborts */
  closeWith(signal: UdpAbortSignal): void {
    if (signal.aborted) return this.close()
    const close = (): void => this.close()
    signal.addEventListener('abort', close, { once: true })
    this.#detach = () => signal.removeEventListener('abort', close)
  }

  /** @internal takes a copy; `false` if the buffer is full */
  deliver(info: DatagramInfo, bytes: Uint8Array, start: number, end: number): boolean {
    if (!this.#queue.push(info, bytes, start, end, null)) {
      this.counters.overflowed++
      return false
    }
    this.counters.received++
    this.counters.receivedBytes += end - start
    if (this.#onMessage !== undefined || this.#awaited) this.#udp.softirq.eventPending(this)
    return true
  }

  /** @internal an ICMP error about a datagram that this socket can have sent (`__udp4_lib_err`) */
  failed(error: IcmpErrorInfo, address: Ipv4Address, port: number, tooBig: boolean): void {
    // That a datagram was too big is the end of it, whoever discovers path MTUs wants to hear.
    if (tooBig && this.settings.pathMtuDiscovery === 'dont') return
    this.#errors.add(error, address, port, error.fatal || tooBig, this.remotePort >= 0)
    if (this.#errors.hasNews || (this.#errors.errno !== 0 && this.#awaited)) {
      this.#udp.softirq.eventPending(this)
    }
  }

  deliverEvents(): void {
    try {
      this.#errors.tell()
      if (this.#onMessage !== undefined) {
        // Those that wait now: what comes in meanwhile (a socket may send to itself) is announced anew.
        for (let left = this.#queue.length; left > 0 && this.#queue.length > 0; left--) {
          this.#onMessage(this.#takeMessage())
        }
      }
      const news = !this.#nothingToRead()
      if (news) wake(this.#readers)
      if (news || this.#room) this.listener?.()
      if (this.#room) {
        this.#room = false
        wake(this.#writers)
      }
    } finally {
      if (this.#errors.hasNews || (this.#onMessage !== undefined && this.#queue.length > 0)) {
        this.#udp.softirq.eventPending(this)
      }
    }
  }

  #send(data: Uint8Array, daddr: Ipv4Address, dport: number, options: UdpSendOptions): number {
    const { settings } = this
    const output = this.#output
    const saddr = options.source === undefined ? this.source : parseIpv4(options.source)
    const device =
      options.device === undefined ? this.deviceIndex : this.#udp.deviceOf(options.device).ifindex
    const tos = options.tos ?? settings.tos
    const route = output.route(settings, this.localPort, daddr, dport, saddr, device, tos)
    if (route === null) return output.noRoute()
    const segmentSize = options.segmentSize ?? settings.segmentSize
    const errno = output.send(settings, route, this.localPort, data, options.ttl ?? 0, segmentSize)
    if (errno === 0) {
      this.counters.sent++
      this.counters.sentBytes += data.length
    }
    return errno
  }

  #deviceTowards(to: UdpAddress | undefined): NetDevice | null {
    if (to === undefined && this.remotePort < 0) return null
    const daddr = to === undefined ? this.remote : this.#texts.parse(to.address)
    const dport = to === undefined ? this.remotePort : to.port
    const { settings, localPort, source, deviceIndex } = this
    const route = this.#output.route(settings, localPort, daddr, dport, source, deviceIndex, settings.tos)
    return route === null ? null : route.device
  }

  /** Somebody waits for something to read. */
  get #awaited(): boolean {
    return this.#readers.length > 0 || this.listener !== null
  }

  #nothingToRead(): boolean {
    return this.#queue.length === 0 && this.#errors.errno === 0 && !this.#closed
  }

  #takeMessage(): UdpMessage {
    const data = new Uint8Array(this.#queue.nextLength)
    this.#queue.take(data, 0, data.length, this.#info)
    const { port, device, ttl, tos, to, address, segmentSize } = this.#received
    const message: UdpMessage = { data, address, port, to, device, ttl, tos }
    if (segmentSize !== 0) message.segmentSize = segmentSize
    return message
  }

  /** @internal the positive errno that the next call has to fail with, once; 0 if there is none */
  takeError(): number {
    return this.#errors.take()
  }

  #throwError(syscall: string): void {
    if (this.#errors.errno === 0) return
    throw failure(this.takeError(), syscall, 'an earlier datagram did not arrive')
  }

  #checkOpen(syscall: string): void {
    if (!this.#closed) return
    throw new TunstackError('ERR_SOCKET_CLOSED', 'this socket was closed', { syscall })
  }
}

function checkPort(port: number): void {
  if (!Number.isInteger(port) || port < 0 || port > 0xffff) throw invalidArgument('port', port, '0…65535')
}

function failure(errno: number, syscall: string, message: string, value?: unknown): TunstackError {
  return new TunstackError(errnoName(errno), `${message}: ${errnoName(errno)}`, { syscall, errno, value })
}
