/**
 * Sockets that send echo requests and get the replies (Linux's `socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)`): what a
 * ping program, a monitor or a traceroute is written with. The identifier is the socket's, as a port is; sequence
 * numbers and data are the program's. Requests of others are no business of theirs: the host answers those.
 */
import { formatIpv4, type Ipv4Address, parseIpv4, readIpv4 } from '../address/ipv4-address.ts'
import { Errno, errnoName, invalidArgument, TunstackError } from '../errors.ts'
import type { IcmpErrorInfo } from '../ipv4/context.ts'
import type { Packet } from '../packet/packet.ts'
import { AddressTexts } from '../udp/address-texts.ts'
import { DatagramInfo, DatagramQueue } from '../udp/datagram-queue.ts'
import { checkSignal, type UdpAbortSignal } from '../udp/udp-options.ts'
import { type Waiter, waitIn, wake } from '../udp/waiters.ts'
import { IPV4_DESTINATION, IPV4_TOS } from '../wire/ipv4.ts'
import type { PathMtuDiscovery, PingEndpoint, PingProtocol } from './ping-endpoint.ts'

/** Reports that are kept for {@link IcmpSocket.readError}; the oldest go first. */
const MAX_REPORTS = 64
/** The largest data that an IPv4 packet carries in an echo request. */
const MAX_DATA = 65535 - 20 - 8

export interface IcmpOptions {
  /** 1…65535; 0 or absent: an unused one is picked. Of several sockets with one, the latest gets the replies. */
  identifier?: number
  /** An address of this host to send from and to get replies at; the routes' choice by default. */
  address?: string
  /** Name of a device that requests leave and replies come by (`SO_BINDTODEVICE`). */
  device?: string
  /** 1…255; the route's or `ip_default_ttl` by default. */
  ttl?: number
  /** 0…255. */
  tos?: number
  /** `fwmark` of what is sent. */
  mark?: number
  /** `SO_BROADCAST`: broadcast addresses may be pinged. */
  broadcast?: boolean
  /** `'want'` by default; `'dont'` where `net.ipv4.ip_no_pmtu_disc` is on. */
  pathMtuDiscovery?: PathMtuDiscovery
  /** `IP_RECVERR`: errors are kept for `readError()`, and each fails the next call, connected or not. */
  receiveErrors?: boolean
  /** Bytes that may wait to be read, 256 charged per reply besides its own; `net.core.rmem_default` if absent. */
  receiveBuffer?: number
  /** Called for each reply, outside of packet processing; then there is nothing to be received otherwise. */
  onReply?: (reply: EchoReply) => void
  /** Called for each ICMP error about a request, also those that do no harm. */
  onError?: (error: EchoError) => void
  /** Closes the socket when it aborts. */
  signal?: UdpAbortSignal
}

/** An echo reply. */
export interface EchoReply {
  sequence: number
  /** What is behind the ICMP header. */
  data: Uint8Array<ArrayBuffer>
  /** Who sent it. */
  address: string
  /** The address that it was sent to. */
  to: string
  /** Name of the interface that it came by; `''` if that is gone. */
  device: string
  ttl: number
  tos: number
}

/** An ICMP error about a request of the socket. */
export interface EchoError {
  /** Linux's errno for it: `'EHOSTUNREACH'`, `'EMSGSIZE'`. */
  code: string
  sequence: number
  /** Where the request was sent to. */
  address: string
  /** Who says so. */
  reporter: string
  /** Type and code of the error, and the next-hop MTU or pointer that it names. */
  icmp: { type: number; code: number; info: number }
  /** Linux would fail the next call of a connected socket. */
  fatal: boolean
}

export class IcmpSocket implements AsyncIterable<EchoReply> {
  /** Replies for which there was no room. */
  overflowed = 0
  readonly #protocol: PingProtocol
  readonly #endpoint: PingEndpoint
  readonly #receiveErrors: boolean
  readonly #onReply: IcmpOptions['onReply']
  readonly #onError: IcmpOptions['onError']
  readonly #queue: DatagramQueue
  readonly #info = new DatagramInfo()
  readonly #texts = new AddressTexts()
  readonly #readers: Waiter[] = []
  readonly #reports: EchoError[] = []
  readonly #news: EchoError[] = []
  #peer: Ipv4Address | null = null
  #error = 0
  #closed = false
  #stopped = false
  #detach: (() => void) | null = null

  /** @internal use `stack.icmp.open()` */
  constructor(protocol: PingProtocol, options: IcmpOptions) {
    const { ctx } = protocol.ip
    checkOptions(options)
    const source = options.address === undefined ? 0 : parseIpv4(options.address)
    if (source !== 0 && ctx.routing.addresses.deviceOf(source) === null) {
      throw new TunstackError('EADDRNOTAVAIL', `${options.address} is no address of this host`, {
        value: options.address,
        syscall: 'bind',
      })
    }
    this.#protocol = protocol
    this.#receiveErrors = options.receiveErrors ?? false
    this.#onReply = options.onReply
    this.#onError = options.onError
    this.#queue = new DatagramQueue(options.receiveBuffer ?? ctx.sysctl.core.rmem_default)
    this.#endpoint = protocol.open(
      {
        destination: 0,
        anyDestination: true,
        source,
        device: options.device === undefined ? 0 : protocol.deviceIndex(options.device),
        ttl: options.ttl ?? 0,
        tos: options.tos ?? 0,
        mark: options.mark ?? 0,
        pathMtuDiscovery:
          options.pathMtuDiscovery ?? (ctx.sysctl.ipv4.ip_no_pmtu_disc !== 0 ? 'dont' : 'want'),
        broadcast: options.broadcast ?? false,
      },
      options.identifier ?? 0,
    )
    this.#endpoint.receiver = this
    const { signal } = options
    if (signal === undefined) return
    const close = (): void => this.close()
    signal.addEventListener('abort', close, { once: true })
    this.#detach = () => signal.removeEventListener('abort', close)
  }

  /** Of every request, and of the replies that are for this socket. */
  get identifier(): number {
    return this.#endpoint.identifier
  }

  /** Whom `send` without an address is for; `undefined`: nobody. */
  get remoteAddress(): string | undefined {
    return this.#peer === null ? undefined : formatIpv4(this.#peer)
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Replies that wait to be received. */
  get waiting(): number {
    return this.#queue.length
  }

  /**
   * Gives it a peer: `send` needs no address, and errors about requests fail the next call. Replies of others are
   * received still, as on Linux.
   * @throws TunstackError `ENETUNREACH`, `EACCES` (broadcast), …; `ERR_INVALID_ARG_VALUE`, `ERR_SOCKET_CLOSED`
   */
  connect(address: string): void {
    this.#checkOpen('connect')
    const peer = this.#texts.parse(address)
    const errno = this.#endpoint.reach(peer)
    if (errno !== 0) throw failure(errno, 'connect', address)
    this.#peer = peer
  }

  /** Takes the peer away again. */
  disconnect(): void {
    this.#peer = null
  }

  /**
   * Sends an echo request to `address`, or to the peer.
   * @param sequence 0…65535
   * @throws TunstackError `EDESTADDRREQ`, `ENETUNREACH`, `EHOSTUNREACH`, `EACCES` (broadcast), `EMSGSIZE`, `ENOBUFS`; an
   * error that ICMP has reported, once; `ERR_SOCKET_CLOSED`, `ERR_INVALID_ARG_VALUE`
   */
  send(sequence: number, data: Uint8Array = NO_DATA, address?: string): void {
    if (!(Number.isInteger(sequence) && sequence >= 0 && sequence <= 0xffff)) {
      throw invalidArgument('sequence', sequence, '0…65535')
    }
    if (!(data instanceof Uint8Array)) throw invalidArgument('data', data, 'a Uint8Array')
    this.#checkOpen('sendto')
    this.#throwError('sendto')
    const destination = address === undefined ? this.#peer : this.#texts.parse(address)
    if (destination === null) throw failure(Errno.EDESTADDRREQ, 'sendto', 'nobody')
    const errno = data.length > MAX_DATA ? Errno.EMSGSIZE : this.#endpoint.sendTo(destination, sequence, data)
    if (errno !== 0) throw failure(errno, 'sendto', formatIpv4(destination))
  }

  /** The next reply. @throws TunstackError an error that ICMP has reported, once; `ERR_SOCKET_CLOSED`, `ERR_STACK_CLOSED` */
  async receive({ signal }: { signal?: UdpAbortSignal } = {}): Promise<EchoReply> {
    while (this.#nothingToRead()) await waitIn(this.#readers, signal)
    this.#checkOpen('recvfrom')
    this.#throwError('recvfrom')
    return this.#take()
  }

  /** The replies as they come; ends when the socket is closed. */
  async *[Symbol.asyncIterator](): AsyncIterableIterator<EchoReply> {
    for (;;) {
      while (this.#nothingToRead()) await waitIn(this.#readers, undefined)
      if (this.#closed) return
      this.#throwError('recvfrom')
      if (this.#queue.length > 0) yield this.#take()
    }
  }

  /** The oldest error that waits (`MSG_ERRQUEUE`), with `receiveErrors`; `undefined` if none does. */
  readError(): EchoError | undefined {
    return this.#reports.shift()
  }

  /** What waits is lost, and the identifier is free. Safe twice. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#detach?.()
    this.#endpoint.close()
    this.#queue.clear()
    wake(this.#readers)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  /** @internal */
  received(
    sequence: number,
    from: Ipv4Address,
    ttl: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    packet: Packet,
  ): void {
    const info = this.#info
    info.source = from
    info.destination = readIpv4(packet.bytes, packet.networkHeader + IPV4_DESTINATION)
    info.port = sequence
    info.device = packet.iif
    info.ttl = ttl
    info.tos = packet.bytes[packet.networkHeader + IPV4_TOS]!
    info.segmentSize = 0
    if (!this.#queue.push(info, bytes, start, end, null)) this.overflowed++
    else if (this.#onReply !== undefined || this.#readers.length > 0) this.#endpoint.announce()
  }

  /** @internal an ICMP error about a request (`ping_err`) */
  failed(sequence: number, error: IcmpErrorInfo, destination: Ipv4Address): void {
    const tooBig = error.errno === Errno.EMSGSIZE
    const fatal = error.fatal || tooBig
    const report: EchoError = {
      code: errnoName(error.errno),
      sequence,
      address: formatIpv4(destination),
      reporter: formatIpv4(error.reporter),
      icmp: { type: error.type, code: error.code, info: error.info },
      fatal,
    }
    if (this.#receiveErrors) {
      if (this.#reports.length === MAX_REPORTS) this.#reports.shift()
      this.#reports.push(report)
    }
    if (this.#onError !== undefined && this.#news.length < MAX_REPORTS) {
      this.#news.push(report)
      this.#endpoint.announce()
    }
    if (!this.#receiveErrors && (!fatal || this.#peer === null)) return
    this.#error = error.errno
    if (this.#readers.length > 0) this.#endpoint.announce()
  }

  /** @internal */
  deliverEvents(): void {
    try {
      for (let report = this.#news.shift(); report !== undefined; report = this.#news.shift()) {
        this.#onError!(report)
      }
      if (this.#onReply !== undefined) {
        // Those that wait now: a host may ping itself from within, and what comes of that is announced anew.
        for (let left = this.#queue.length; left > 0 && this.#queue.length > 0; left--) {
          this.#onReply(this.#take())
        }
      }
      if (!this.#nothingToRead()) wake(this.#readers)
    } finally {
      if (this.#news.length > 0 || (this.#onReply !== undefined && this.#queue.length > 0)) {
        this.#endpoint.announce()
      }
    }
  }

  /** @internal */
  stopped(): void {
    this.#stopped = true
    this.close()
  }

  #nothingToRead(): boolean {
    return this.#queue.length === 0 && this.#error === 0 && !this.#closed
  }

  #take(): EchoReply {
    const data = new Uint8Array(this.#queue.nextLength)
    const info = this.#info
    this.#queue.take(data, 0, data.length, info)
    return {
      sequence: info.port,
      data,
      address: formatIpv4(info.source),
      to: formatIpv4(info.destination),
      device: this.#protocol.ip.ctx.devices.byIndex(info.device)?.name ?? '',
      ttl: info.ttl,
      tos: info.tos,
    }
  }

  #throwError(syscall: string): void {
    if (this.#error === 0) return
    const name = errnoName(this.#error)
    this.#error = 0
    throw new TunstackError(name, `an earlier echo request failed: ${name}`, { syscall })
  }

  #checkOpen(syscall: string): void {
    if (this.#stopped) throw new TunstackError('ERR_STACK_CLOSED', 'the stack was closed', { syscall })
    if (this.#closed) throw new TunstackError('ERR_SOCKET_CLOSED', 'this socket was closed', { syscall })
  }
}

const NO_DATA = new Uint8Array(0)

function failure(errno: number, syscall: string, target: string): TunstackError {
  const name = errnoName(errno)
  return new TunstackError(name, `no echo request can be sent to ${target}: ${name}`, {
    syscall,
    value: target,
  })
}

/** @throws TunstackError `ERR_INVALID_ARG_VALUE`; the reason of a signal that is aborted already */
function checkOptions(options: IcmpOptions): void {
  const within = (
    name: 'identifier' | 'ttl' | 'tos' | 'mark' | 'receiveBuffer',
    low: number,
    high: number,
  ): void => {
    const value = options[name]
    if (value === undefined || (Number.isInteger(value) && value >= low && value <= high)) return
    throw invalidArgument(name, value, `${low}…${high}`)
  }
  within('identifier', 0, 0xffff)
  within('ttl', 1, 255)
  within('tos', 0, 255)
  within('mark', 0, 0xffffffff)
  within('receiveBuffer', 1, 0x7fffffff)
  for (const name of ['onReply', 'onError'] as const) {
    if (options[name] !== undefined && typeof options[name] !== 'function') {
      throw invalidArgument(name, options[name], 'a function')
    }
  }
  const { pathMtuDiscovery, signal } = options
  if (pathMtuDiscovery !== undefined && !['want', 'do', 'dont'].includes(pathMtuDiscovery)) {
    throw invalidArgument('pathMtuDiscovery', pathMtuDiscovery, 'one of want, do, dont')
  }
  checkSignal(signal)
  if (signal?.aborted === true) throw signal.reason
}

/** `stack.icmp`. */
export class Icmp {
  readonly #protocol: PingProtocol

  /** @internal */
  constructor(protocol: PingProtocol) {
    this.#protocol = protocol
  }

  /**
   * A socket for echo requests: `stack.icmp.open()`.
   * @throws TunstackError `ERR_INVALID_ARG_VALUE`, `EADDRNOTAVAIL`, `ENODEV`, `EAGAIN` (every identifier is in use),
   * `ERR_STACK_CLOSED`; the reason of `signal` if it is aborted already
   */
  open(options: IcmpOptions = {}): IcmpSocket {
    return new IcmpSocket(this.#protocol, options)
  }
}
