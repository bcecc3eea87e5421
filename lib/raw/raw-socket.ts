/** A raw socket, as a program handles it. */
import { formatIpv4, type Ipv4Address, parseIpv4, writeIpv4 } from '../address/ipv4-address.ts'
import type { EventSource } from '../device/softirq.ts'
import { Errno, errnoName, invalidArgument, TunstackError } from '../errors.ts'
import { pushIpv4Header } from '../ipv4/header.ts'
import { ATOMIC_ID } from '../ipv4/identification.ts'
import { IcmpMib, IpMib } from '../observe/mib.ts'
import { HEADROOM } from '../packet/packet.ts'
import { Flow4 } from '../route/flow.ts'
import type { Route } from '../route/route.ts'
import { RouteFlag } from '../route/rtnetlink.ts'
import { AddressTexts } from '../udp/address-texts.ts'
import { DatagramInfo, DatagramQueue } from '../udp/datagram-queue.ts'
import type { UdpAbortSignal } from '../udp/udp-options.ts'
import { type Waiter, waitIn, wake } from '../udp/waiters.ts'
import {
  IPV4_DESTINATION,
  IPV4_DF,
  IPV4_ID,
  IPV4_MAX_PACKET,
  IPV4_MIN_HEADER,
  IPV4_SOURCE,
  IpProtocol,
} from '../wire/ipv4.ts'
import type { Raw } from './raw.ts'

const PROTOCOLS = {
  icmp: IpProtocol.ICMP,
  igmp: IpProtocol.IGMP,
  tcp: IpProtocol.TCP,
  udp: IpProtocol.UDP,
  raw: 255,
} as const

export interface RawOptions {
  /** A number, 1…255, or a name. `'raw'` (255) only sends, whole packets. */
  protocol: number | keyof typeof PROTOCOLS
  /** An address of this host, or a group: only what was sent there is received, and it is sent from there. */
  address?: string
  /** Name of a device that packets must come and leave by. */
  device?: string
  /** Only what comes from there is received; `send` needs no address, and errors come back. */
  peer?: string
  /** `IP_HDRINCL`: what is sent begins with an IP header; always so with `'raw'`. */
  headerIncluded?: boolean
  /** `ICMP_FILTER`: the types that are let through; all if absent. */
  icmpTypes?: readonly number[]
  /** `SO_BROADCAST` */
  broadcast?: boolean
  /** 1…255 */
  ttl?: number
  tos?: number
  /** Bytes that may wait to be read; `net.core.rmem_default` if absent. */
  receiveBuffer?: number
  /** Called for each packet, outside of packet processing. */
  onMessage?: (message: RawMessage) => void
  /** Closes the socket when it aborts. */
  signal?: UdpAbortSignal
}

/** A packet that arrived. */
export interface RawMessage {
  /** From the IP header on. */
  data: Uint8Array<ArrayBuffer>
  /** What is behind the IP header: part of `data`. */
  payload: Uint8Array<ArrayBuffer>
  /** Who sent it. */
  address: string
  /** The address that it was sent to. */
  to: string
  /** Name of the interface that it came by; `''` if that is gone. */
  device: string
  ttl: number
  tos: number
}

/** @internal The peer of who has none: no address is this, those are 32-bit integers. */
export const NO_PEER: Ipv4Address = 2 ** 32

/** @throws TunstackError `ERR_INVALID_ARG_VALUE` */
export function protocolNumber(protocol: RawOptions['protocol']): number {
  const number =
    typeof protocol === 'string' && Object.hasOwn(PROTOCOLS, protocol) ? PROTOCOLS[protocol] : protocol
  if (typeof number === 'number' && Number.isInteger(number) && number >= 1 && number <= 255) return number
  throw invalidArgument('protocol', protocol, `1…255 or one of ${Object.keys(PROTOCOLS).join(', ')}`)
}

export class RawSocket implements EventSource, AsyncIterable<RawMessage> {
  eventsPending = false
  readonly protocol: number
  /** @internal 0: any */
  readonly local: Ipv4Address
  /** @internal an address, or a number that is none */
  readonly remote: Ipv4Address
  /** @internal 0: any */
  readonly deviceIndex: number
  /** @internal */
  readonly icmpTypes: ReadonlySet<number> | null
  /** Packets for which there was no room. */
  overflowed = 0
  readonly #raw: Raw
  readonly #headerIncluded: boolean
  readonly #broadcast: boolean
  readonly #ttl: number
  readonly #tos: number
  readonly #onMessage: ((message: RawMessage) => void) | undefined
  readonly #queue: DatagramQueue
  readonly #info = new DatagramInfo()
  readonly #flow = new Flow4()
  readonly #texts = new AddressTexts()
  readonly #readers: Waiter[] = []
  #error = 0
  #closed = false
  #detach: (() => void) | null = null

  /** @internal use {@link Raw.open} */
  constructor(raw: Raw, protocol: number, address: Ipv4Address, options: RawOptions) {
    const { icmpTypes, receiveBuffer, ttl = 0, tos = 0, onMessage } = options
    if (!(Number.isInteger(ttl) && ttl >= 0 && ttl <= 255)) throw invalidArgument('ttl', ttl, '1…255')
    if (!(Number.isInteger(tos) && tos >= 0 && tos <= 255)) throw invalidArgument('tos', tos, '0…255')
    if (onMessage !== undefined && typeof onMessage !== 'function') {
      throw invalidArgument('onMessage', onMessage, 'a function')
    }
    this.#raw = raw
    this.protocol = protocol
    this.local = address
    this.remote = options.peer === undefined ? NO_PEER : parseIpv4(options.peer)
    this.deviceIndex = options.device === undefined ? 0 : raw.deviceOf(options.device).ifindex
    this.icmpTypes = icmpTypes === undefined || protocol !== IpProtocol.ICMP ? null : new Set(icmpTypes)
    this.#headerIncluded = (options.headerIncluded ?? false) || protocol === PROTOCOLS.raw
    this.#broadcast = options.broadcast ?? false
    this.#ttl = ttl
    this.#tos = tos
    this.#onMessage = onMessage
    this.#queue = new DatagramQueue(receiveBuffer ?? raw.ip.ctx.sysctl.core.rmem_default)
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Packets that wait to be received. */
  get waiting(): number {
    return this.#queue.length
  }

  /**
   * Sends a packet to `to`, or to the peer: what is behind the IP header, or with `headerIncluded` the header too, of
   * which total length and checksum are put right, and source and identification filled in where they are 0.
   * @throws TunstackError `EDESTADDRREQ`, `ENETUNREACH`, `EMSGSIZE`, `EACCES` (broadcast), `EINVAL` (a header that is
   * none), `ENOBUFS`; `ERR_SOCKET_CLOSED`; `ERR_INVALID_ARG_VALUE`; with `headerIncluded`, once, each error that ICMP
   * has reported
   */
  send(data: Uint8Array, to?: string): void {
    if (!(data instanceof Uint8Array)) throw invalidArgument('data', data, 'a Uint8Array')
    this.#checkOpen('sendto')
    // Linux looks at the error only where it makes the packet in one piece (`raw_send_hdrinc`).
    if (this.#headerIncluded) this.#throwError('sendto')
    const destination = to === undefined ? this.remote : this.#texts.parse(to)
    const { softirq } = this.#raw
    softirq.enter()
    let errno: number
    try {
      errno = destination === NO_PEER ? Errno.EDESTADDRREQ : this.#send(data, destination)
    } finally {
      softirq.leave()
    }
    if (errno === 0) return
    const target = destination === NO_PEER ? 'nobody' : formatIpv4(destination)
    throw new TunstackError(
      errnoName(errno),
      `cannot send ${data.length} bytes to ${target}: ${errnoName(errno)}`,
      { syscall: 'sendto', value: target },
    )
  }

  /** The next packet. @throws TunstackError each error that ICMP has reported, once; `ERR_SOCKET_CLOSED` */
  async receive({ signal }: { signal?: UdpAbortSignal } = {}): Promise<RawMessage> {
    while (this.#nothingToRead()) await waitIn(this.#readers, signal)
    this.#checkOpen('recvfrom')
    this.#throwError('recvfrom')
    return this.#take()
  }

  /** The packets as they come; ends when the socket is closed. */
  async *[Symbol.asyncIterator](): AsyncIterableIterator<RawMessage> {
    for (;;) {
      while (this.#nothingToRead()) await waitIn(this.#readers, undefined)
      if (this.#closed) return
      this.#throwError('recvfrom')
      if (this.#queue.length > 0) yield this.#take()
    }
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#detach?.()
    this.#raw.release(this)
    this.#queue.clear()
    wake(this.#readers)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  /** @internal */
  closeWith(signal: UdpAbortSignal): void {
    const close = (): void => this.close()
    signal.addEventListener('abort', close, { once: true })
    this.#detach = () => signal.removeEventListener('abort', close)
  }

  /** @internal takes a copy; `false` if the buffer is full */
  deliver(info: DatagramInfo, bytes: Uint8Array, start: number, end: number): boolean {
    if (!this.#queue.push(info, bytes, start, end, null)) {
      this.overflowed++
      return false
    }
    if (this.#onMessage !== undefined || this.#readers.length > 0) this.#raw.softirq.eventPending(this)
    return true
  }

  /** @internal */
  failed(errno: number): void {
    this.#error = errno
    if (this.#readers.length > 0) this.#raw.softirq.eventPending(this)
  }

  deliverEvents(): void {
    try {
      if (this.#onMessage !== undefined) {
        for (let left = this.#queue.length; left > 0 && this.#queue.length > 0; left--) {
          this.#onMessage(this.#take())
        }
      }
      if (!this.#nothingToRead()) wake(this.#readers)
    } finally {
      if (this.#onMessage !== undefined && this.#queue.length > 0) this.#raw.softirq.eventPending(this)
    }
  }

  #send(data: Uint8Array, destination: Ipv4Address): number {
    const { ip } = this.#raw
    const { ctx } = ip
    const flow = this.#flow.reset()
    flow.daddr = destination
    flow.saddr = this.local
    flow.oif = this.deviceIndex
    flow.tos = this.#tos & 0xfc
    flow.protocol = this.protocol
    flow.anySource = this.#headerIncluded
    const route = ctx.routing.output(flow)
    if (route === null) {
      if (ctx.routing.errno === Errno.ENETUNREACH) ctx.mib.ip[IpMib.OutNoRoutes]!++
      return ctx.routing.errno
    }
    if ((route.flags & RouteFlag.BROADCAST) !== 0 && !this.#broadcast) return Errno.EACCES
    return this.#headerIncluded ? this.#sendPacket(data, route) : this.#sendPayload(data, destination, route)
  }

  #sendPayload(data: Uint8Array, destination: Ipv4Address, route: Route): number {
    const { ip } = this.#raw
    const { ctx } = ip
    const { length } = data
    if (length > IPV4_MAX_PACKET - IPV4_MIN_HEADER) return Errno.EMSGSIZE
    const packet = ctx.pool.allocate(length, HEADROOM)
    if (packet === null) return Errno.ENOBUFS
    packet.bytes.set(data, packet.put(length))
    const { protocol } = this
    const { saddr } = this.#flow
    const fits = length + IPV4_MIN_HEADER <= route.mtu && !route.mtuLocked
    const id = fits ? ATOMIC_ID : ip.identification.next(saddr, destination, protocol, ctx.now)
    const multicast = (route.flags & RouteFlag.MULTICAST) !== 0
    const ttl = this.#ttl !== 0 ? this.#ttl : multicast ? 1 : ip.defaultTtl(route)
    pushIpv4Header(packet, saddr, destination, protocol, this.#tos, ttl, id, fits ? IPV4_DF : 0)
    if (protocol === IpProtocol.ICMP && length > 0) this.#countIcmp(data[0]!)
    return ip.output.sendLocal(packet, route)
  }

  #sendPacket(data: Uint8Array, route: Route): number {
    const { ip } = this.#raw
    const { ctx } = ip
    const { length } = data
    if (length > Math.min(route.mtu, IPV4_MAX_PACKET)) return Errno.EMSGSIZE
    const headerLength = length === 0 ? 0 : (data[0]! & 15) << 2
    if (length < IPV4_MIN_HEADER || data[0]! >>> 4 !== 4) return Errno.EINVAL
    if (headerLength < IPV4_MIN_HEADER || headerLength > length) return Errno.EINVAL
    const packet = ctx.pool.allocate(length, HEADROOM)
    if (packet === null) return Errno.ENOBUFS
    const at = packet.put(length)
    const { bytes } = packet
    bytes.set(data, at)
    packet.networkHeader = at
    packet.transportHeader = at + headerLength
    const { saddr, daddr } = this.#flow
    if (isZero(bytes, at + IPV4_SOURCE, 4)) writeIpv4(bytes, at + IPV4_SOURCE, saddr)
    if (isZero(bytes, at + IPV4_DESTINATION, 4)) writeIpv4(bytes, at + IPV4_DESTINATION, daddr)
    if (isZero(bytes, at + IPV4_ID, 2)) {
      const id = ip.identification.next(saddr, daddr, this.protocol, ctx.now)
      bytes[at + IPV4_ID] = id >>> 8
      bytes[at + IPV4_ID + 1] = id
    }
    if (this.protocol === IpProtocol.ICMP && length > headerLength) this.#countIcmp(data[headerLength]!)
    return ip.output.sendLocal(packet, route)
  }

  #countIcmp(type: number): void {
    const { mib } = this.#raw.ip.ctx
    mib.icmp[IcmpMib.OutMsgs]!++
    mib.icmpMsgOut[type]!++
  }

  #nothingToRead(): boolean {
    return this.#queue.length === 0 && this.#error === 0 && !this.#closed
  }

  #take(): RawMessage {
    const data = new Uint8Array(this.#queue.nextLength)
    const info = this.#info
    this.#queue.take(data, 0, data.length, info)
    return {
      data,
      payload: data.subarray((data[0]! & 15) * 4),
      address: formatIpv4(info.source),
      to: formatIpv4(info.destination),
      device: this.#raw.ip.ctx.devices.byIndex(info.device)?.name ?? '',
      ttl: info.ttl,
      tos: info.tos,
    }
  }

  #throwError(syscall: string): void {
    if (this.#error === 0) return
    const name = errnoName(this.#error)
    this.#error = 0
    throw new TunstackError(name, `an earlier packet did not arrive: ${name}`, { syscall })
  }

  #checkOpen(syscall: string): void {
    if (!this.#closed) return
    throw new TunstackError('ERR_SOCKET_CLOSED', 'this socket was closed', { syscall })
  }
}

function isZero(bytes: Uint8Array, at: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (bytes[at + i] !== 0) return false
  return true
}
