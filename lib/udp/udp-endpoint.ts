/**
 * An unconnected UDP endpoint. What arrives is copied into messages that wait, within a limit of bytes, until
 * packet processing is over; what is sent is routed datagram by datagram.
 */
import { formatIpv4, type Ipv4Address } from '../address/ipv4-address.ts'
import type { EventSource } from '../device/softirq.ts'
import { Errno } from '../errors.ts'
import { pushIpv4Header } from '../ipv4/header.ts'
import { ATOMIC_ID } from '../ipv4/identification.ts'
import { IpMib, UdpMib } from '../observe/mib.ts'
import { Checksum, HEADROOM } from '../packet/packet.ts'
import { Flow4 } from '../route/flow.ts'
import { RouteFlag } from '../route/rtnetlink.ts'
import { fold, pseudoHeaderSum } from '../wire/checksum.ts'
import { IPV4_DF, IPV4_MAX_PACKET, IPV4_MIN_HEADER, IpProtocol } from '../wire/ipv4.ts'
import { UDP_CHECKSUM, UDP_DESTINATION_PORT, UDP_HEADER, UDP_LENGTH, UDP_SOURCE_PORT } from '../wire/udp.ts'
import type { Udp } from './udp.ts'

/** A datagram that arrived. */
export interface UdpMessage {
  data: Uint8Array<ArrayBuffer>
  /** Who sent it. */
  address: string
  port: number
  /** The address that it was sent to: answer from there. */
  to: string
  /** Of an endpoint with `gro`: the message is several datagrams of so many bytes, the last may be shorter. */
  segmentSize?: number
}

/** What a message costs beside its bytes, so that empty ones can't pile up. */
const MESSAGE_COST = 256

export class UdpEndpoint implements EventSource {
  readonly address: Ipv4Address
  readonly port: number
  /** Takes several datagrams as one message. */
  readonly gro: boolean
  readonly #udp: Udp
  readonly #onMessage: (message: UdpMessage) => void
  readonly #limit: number
  readonly #waiting: UdpMessage[] = []
  readonly #flow = new Flow4()
  #charged = 0
  #closed = false

  /** @internal use {@link Udp.bind} */
  constructor(
    udp: Udp,
    address: Ipv4Address,
    port: number,
    onMessage: (message: UdpMessage) => void,
    limit: number,
    gro: boolean,
  ) {
    this.#udp = udp
    this.address = address
    this.port = port
    this.#onMessage = onMessage
    this.#limit = limit
    this.gro = gro
  }

  /**
   * Sends one datagram, from `source` if it is given (`IP_PKTINFO`): an answer comes from the address that was
   * asked. 0, or a positive errno: `ENETUNREACH` (no way, or no source of this host), `EMSGSIZE`, `EACCES`
   * (broadcast), `ENOBUFS`, `EINVAL` (the port), `EBADFD` (closed).
   */
  send(data: Uint8Array, to: Ipv4Address, port: number, source: Ipv4Address = this.address): number {
    if (this.#closed) return Errno.EBADFD
    if (!(port >= 1 && port <= 0xffff)) return Errno.EINVAL
    const { softirq } = this.#udp
    softirq.enter()
    try {
      return this.#send(data, to, port, source)
    } finally {
      softirq.leave()
    }
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#waiting.length = 0
    this.#udp.release(this)
  }

  /** @internal takes a copy; `false` if the buffer is full. `segmentSize`: 0 for one datagram */
  deliver(
    from: Ipv4Address,
    port: number,
    to: Ipv4Address,
    bytes: Uint8Array,
    start: number,
    end: number,
    segmentSize = 0,
  ): boolean {
    const cost = end - start + MESSAGE_COST
    if (this.#charged + cost > this.#limit) return false
    this.#charged += cost
    const data = new Uint8Array(end - start)
    data.set(bytes.subarray(start, end))
    const message: UdpMessage = { data, address: formatIpv4(from), port, to: formatIpv4(to) }
    if (segmentSize !== 0) message.segmentSize = segmentSize
    this.#waiting.push(message)
    this.#udp.softirq.eventPending(this)
    return true
  }

  deliverEvents(): void {
    try {
      // Those that wait now: what comes in meanwhile (an endpoint may send to itself) is announced anew.
      for (let left = this.#waiting.length; left > 0; left--) {
        const message = this.#waiting.shift()
        if (message === undefined) return // closed meanwhile
        this.#charged -= message.data.length + MESSAGE_COST
        this.#onMessage(message)
      }
    } finally {
      if (this.#waiting.length > 0) this.#udp.softirq.eventPending(this)
    }
  }

  #send(data: Uint8Array, to: Ipv4Address, port: number, source: Ipv4Address): number {
    const { ip } = this.#udp
    const { ctx } = ip
    const length = UDP_HEADER + data.length
    if (length > IPV4_MAX_PACKET - IPV4_MIN_HEADER) return Errno.EMSGSIZE
    const flow = this.#flow.reset()
    flow.daddr = to
    flow.saddr = source
    flow.protocol = IpProtocol.UDP
    flow.sport = this.port
    flow.dport = port
    const route = ctx.routing.output(flow)
    if (route === null) {
      ctx.mib.ip[IpMib.OutNoRoutes]!++
      return ctx.routing.errno
    }
    if ((route.flags & RouteFlag.BROADCAST) !== 0) return Errno.EACCES
    const packet = ctx.pool.allocate(length, HEADROOM)
    if (packet === null) {
      ctx.mib.udp[UdpMib.SndbufErrors]!++
      return Errno.ENOBUFS
    }
    const at = packet.put(length)
    const { bytes } = packet
    bytes[at + UDP_SOURCE_PORT] = this.port >>> 8
    bytes[at + UDP_SOURCE_PORT + 1] = this.port
    bytes[at + UDP_DESTINATION_PORT] = port >>> 8
    bytes[at + UDP_DESTINATION_PORT + 1] = port
    bytes[at + UDP_LENGTH] = length >>> 8
    bytes[at + UDP_LENGTH + 1] = length
    bytes.set(data, at + UDP_HEADER)
    const pseudo = fold(pseudoHeaderSum(flow.saddr, to, IpProtocol.UDP, length))
    bytes[at + UDP_CHECKSUM] = pseudo >>> 8
    bytes[at + UDP_CHECKSUM + 1] = pseudo
    packet.checksum = Checksum.PARTIAL
    packet.checksumStart = at
    packet.checksumOffset = UDP_CHECKSUM

    const fits = length + IPV4_MIN_HEADER <= route.mtu && !route.mtuLocked
    const id = fits ? ATOMIC_ID : ip.identification.next(flow.saddr, to, IpProtocol.UDP, ctx.now)
    const ttl = (route.flags & RouteFlag.MULTICAST) !== 0 ? 1 : ip.defaultTtl(route)
    pushIpv4Header(packet, flow.saddr, to, IpProtocol.UDP, 0, ttl, id, fits ? IPV4_DF : 0)
    ctx.mib.udp[UdpMib.OutDatagrams]!++
    return ip.output.sendLocal(packet, route)
  }
}
