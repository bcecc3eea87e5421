/**
 * All datagrams that no socket is there for, as a program handles them: whatever address and port they were sent to. It
 * answers from there, or from anywhere else. What `listenAll` is for connections, this is for datagrams.
 */
import { formatIpv4, type Ipv4Address } from '../address/ipv4-address.ts'
import type { EventSource } from '../device/softirq.ts'
import { Errno, errnoName, invalidArgument, TunstackError } from '../errors.ts'
import { sendLateError } from '../ipv4/late-errors.ts'
import { IcmpType, UnreachableCode } from '../wire/icmpv4.ts'
import { IpProtocol } from '../wire/ipv4.ts'
import { UDP_HEADER } from '../wire/udp.ts'
import { AddressTexts } from './address-texts.ts'
import { DatagramInfo, DatagramQueue } from './datagram-queue.ts'
import type { Udp } from './udp.ts'
import type { UdpAddress, UdpMessage } from './udp-options.ts'
import { UdpOutput, type UdpSettings } from './udp-output.ts'
import { type Waiter, waitIn, wake } from './waiters.ts'

/** A datagram, and the port that it was sent to. */
export interface UdpCatchAllMessage extends UdpMessage {
  toPort: number
}

export interface UdpCatchAllOptions {
  /** Bytes that may wait to be read, 256 charged per datagram besides its own; `net.core.rmem_default` if absent. */
  receiveBuffer?: number
}

/** Whoever takes datagrams as they come, instead of asking for them. @internal */
export interface DatagramTaker {
  datagramsArrived(): void
}

const SETTINGS: UdpSettings = {
  broadcast: false,
  ttl: 0,
  tos: 0,
  mark: 0,
  multicastTtl: 1,
  multicastLoop: false,
  multicastDevice: 0,
  multicastSource: 0,
  pathMtuDiscovery: 'dont',
  segmentSize: 0,
}

export class UdpCatchAll implements EventSource, AsyncIterable<UdpCatchAllMessage> {
  eventsPending = false
  /** Datagrams for which there was no room. */
  overflowed = 0
  /** @internal each datagram for itself */
  readonly gro = false
  /** @internal who is told instead of a program that iterates */
  taker: DatagramTaker | null = null
  readonly #udp: Udp
  readonly #queue: DatagramQueue
  readonly #output: UdpOutput
  readonly #info = new DatagramInfo()
  readonly #readers: Waiter[] = []
  readonly #addresses = new AddressTexts()
  readonly #sources = new AddressTexts()
  #closed = false

  /** @internal use {@link Udp.bindAll} */
  constructor(udp: Udp, { receiveBuffer }: UdpCatchAllOptions) {
    this.#udp = udp
    this.#queue = new DatagramQueue(receiveBuffer ?? udp.ip.ctx.sysctl.core.rmem_default)
    this.#output = new UdpOutput(udp.ip, true)
  }

  get closed(): boolean {
    return this.#closed
  }

  /** The datagrams as they come; ends when it is closed. */
  async *[Symbol.asyncIterator](): AsyncIterableIterator<UdpCatchAllMessage> {
    const info = this.#info
    for (;;) {
      while (this.#queue.length === 0 && !this.#closed) await waitIn(this.#readers, undefined)
      if (this.#closed) return
      const data = this.take(info)!
      const { port, toPort, ttl, tos } = info
      const device = this.#udp.ip.ctx.devices.byIndex(info.device)?.name ?? ''
      yield {
        data,
        address: formatIpv4(info.source),
        port,
        to: formatIpv4(info.destination),
        toPort,
        device,
        ttl,
        tos,
      }
    }
  }

  /**
   * Sends one datagram to somebody, from whatever address and port.
   * @throws TunstackError `ENETUNREACH`, `EMSGSIZE`, `EACCES` (broadcast), `EAGAIN` (the device has no room), …;
   * `ERR_SOCKET_CLOSED`, `ERR_INVALID_ARG_VALUE`
   */
  send(data: Uint8Array, to: UdpAddress, from: UdpAddress): void {
    if (!(data instanceof Uint8Array)) throw invalidArgument('data', data, 'a Uint8Array')
    for (const { port } of [to, from]) {
      if (!(Number.isInteger(port) && port >= 1 && port <= 0xffff))
        throw invalidArgument('port', port, '1…65535')
    }
    if (this.#closed) {
      throw new TunstackError('ERR_SOCKET_CLOSED', 'this socket was closed', { syscall: 'sendto' })
    }
    const source = this.#sources.parse(from.address)
    const errno = this.sendFrom(data, this.#addresses.parse(to.address), to.port, source, from.port)
    if (errno === 0) return
    const target = `${to.address}:${to.port}`
    const name = errnoName(errno)
    throw new TunstackError(name, `cannot send ${data.length} bytes to ${target}: ${name}`, {
      syscall: 'sendto',
      errno,
      value: target,
    })
  }

  /** Answers a datagram with Port Unreachable, as a host does that nobody listens on. */
  refuse({ data, address, port, to, toPort }: UdpCatchAllMessage): void {
    const destination = this.#sources.parse(to)
    this.unreachable(
      UnreachableCode.PORT,
      destination,
      this.#addresses.parse(address),
      port,
      destination,
      toPort,
      data.length,
    )
  }

  /** What waits is lost. Safe twice. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#udp.releaseAll()
    this.#queue.clear()
    wake(this.#readers)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  /** @internal the next datagram and what is known of it; `null` if none waits */
  take(info: DatagramInfo): Uint8Array<ArrayBuffer> | null {
    if (this.#queue.length === 0) return null
    const data = new Uint8Array(this.#queue.nextLength)
    this.#queue.take(data, 0, data.length, info)
    return data
  }

  /** @internal 0, or a positive errno */
  sendFrom(
    data: Uint8Array,
    address: Ipv4Address,
    port: number,
    source: Ipv4Address,
    sourcePort: number,
  ): number {
    if (this.#closed) return Errno.EBADFD
    const { softirq } = this.#udp
    const output = this.#output
    softirq.enter()
    try {
      const route = output.route(SETTINGS, sourcePort, address, port, source, 0, 0)
      if (route === null) return output.noRoute()
      return output.send(SETTINGS, route, sourcePort, data, 0, 0)
    } finally {
      softirq.leaveSoon()
    }
  }

  /** @internal an error to who sent a datagram. @param from whose word it is */
  unreachable(
    code: number,
    from: Ipv4Address,
    source: Ipv4Address,
    sourcePort: number,
    destination: Ipv4Address,
    port: number,
    length: number,
  ): void {
    const { softirq, ip } = this.#udp
    softirq.enter()
    try {
      sendLateError(ip, IcmpType.DEST_UNREACH, code, from, {
        protocol: IpProtocol.UDP,
        source,
        destination,
        length: UDP_HEADER + length,
        first: (sourcePort << 16) | port,
        second: (UDP_HEADER + length) << 16,
      })
    } finally {
      softirq.leave()
    }
  }

  /** @internal takes a copy; `false` if too much waits */
  deliver(info: DatagramInfo, bytes: Uint8Array, start: number, end: number): boolean {
    if (!this.#queue.push(info, bytes, start, end, null)) {
      this.overflowed++
      return false
    }
    if (this.taker !== null || this.#readers.length > 0) this.#udp.softirq.eventPending(this)
    return true
  }

  deliverEvents(): void {
    if (this.taker !== null) this.taker.datagramsArrived()
    else wake(this.#readers)
  }
}
