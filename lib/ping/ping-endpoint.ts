/**
 * Ping endpoints: what an ICMP echo socket (`SOCK_DGRAM`, `IPPROTO_ICMP`) is to Linux. An endpoint owns an echo
 * identifier; requests go out under it, replies and errors that carry it come back to it. It keeps its route and
 * asks again when the tables have changed.
 */
import { type Ipv4Address, readIpv4 } from '../address/ipv4-address.ts'
import { EndpointTable } from '../demux/endpoint-table.ts'
import { createFlowKey, FlowKey, setIpv4Binding, setIpv4Flow } from '../demux/flow-key.ts'
import { PortRange } from '../demux/ports.ts'
import type { NetDevice } from '../device/net-device.ts'
import type { EventSource, Softirq } from '../device/softirq.ts'
import { Errno, TunstackError } from '../errors.ts'
import type { IcmpErrorInfo, TransportProtocol } from '../ipv4/context.ts'
import { pushIpv4Header } from '../ipv4/header.ts'
import { ATOMIC_ID } from '../ipv4/identification.ts'
import type { Ipv4 } from '../ipv4/ipv4.ts'
import { IcmpMib, IpMib } from '../observe/mib.ts'
import { HEADROOM, type Packet } from '../packet/packet.ts'
import { Flow4 } from '../route/flow.ts'
import type { Route } from '../route/route.ts'
import { RouteFlag } from '../route/rtnetlink.ts'
import { checksum } from '../wire/checksum.ts'
import { DropReason } from '../wire/drop-reason.ts'
import {
  ICMP_CHECKSUM,
  ICMP_CODE,
  ICMP_HEADER,
  ICMP_ID,
  ICMP_SEQUENCE,
  ICMP_TYPE,
  IcmpType,
} from '../wire/icmpv4.ts'
import {
  IPV4_DESTINATION,
  IPV4_DF,
  IPV4_MIN_HEADER,
  IPV4_SOURCE,
  IPV4_TTL,
  IpProtocol,
} from '../wire/ipv4.ts'

/** Identifiers are drawn from all that are not 0. */
const IDENTIFIERS = new PortRange(1, 65535)

/** `IP_MTU_DISCOVER`: `want` sets DF on what fits and fragments the rest, `do` refuses the rest, `dont` never sets DF. */
export type PathMtuDiscovery = 'want' | 'do' | 'dont'

export interface PingEndpointOptions {
  destination: Ipv4Address
  /** Requests go to many destinations: {@link PingEndpoint.sendTo}. */
  anyDestination?: boolean
  /** 0: chosen by the route. */
  source: Ipv4Address
  /** Index of the device to leave by; 0 for any. */
  device: number
  /** 0: the route's or the host's default. */
  ttl: number
  tos: number
  mark: number
  pathMtuDiscovery: PathMtuDiscovery
  /** `SO_BROADCAST` */
  broadcast: boolean
}

/** Who uses an endpoint. The first two are called during packet processing, the last one outside. */
export interface PingReceiver {
  /** A reply; `bytes[start…end)` is the data behind the ICMP header, valid during the call. */
  received(
    sequence: number,
    from: Ipv4Address,
    ttl: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    packet: Packet,
  ): void
  /** @param destination of the request that it is about */
  failed(sequence: number, error: IcmpErrorInfo, destination: Ipv4Address): void
  deliverEvents(): void
  /** The stack was closed. */
  stopped(): void
}

export class PingEndpoint implements EventSource {
  eventsPending = false
  readonly options: PingEndpointOptions
  readonly identifier: number
  receiver: PingReceiver | null = null
  readonly #protocol: PingProtocol
  readonly #flow = new Flow4()
  #route: Route | null = null
  #closed = false

  /** @internal use {@link PingProtocol.open} */
  constructor(protocol: PingProtocol, identifier: number, options: PingEndpointOptions) {
    this.#protocol = protocol
    this.identifier = identifier
    this.options = options
  }

  /** Sends one request. 0, or a positive errno: `ENETUNREACH`, `EMSGSIZE`, `EACCES` (broadcast), `ENOBUFS`. */
  send(sequence: number, payload: Uint8Array): number {
    const { softirq } = this.#protocol
    softirq.enter()
    try {
      return this.#send(sequence, payload)
    } finally {
      softirq.leave()
    }
  }

  /** Sends one request to another destination than the last one. As {@link send}. */
  sendTo(destination: Ipv4Address, sequence: number, payload: Uint8Array): number {
    this.#turnTo(destination)
    return this.send(sequence, payload)
  }

  /** Whether there is a way to it. 0, or a positive errno. */
  reach(destination: Ipv4Address): number {
    this.#turnTo(destination)
    const route = this.#validRoute()
    if (route === null) return this.#protocol.ip.ctx.routing.errno
    return (route.flags & RouteFlag.BROADCAST) !== 0 && !this.options.broadcast ? Errno.EACCES : 0
  }

  #turnTo(destination: Ipv4Address): void {
    if (destination === this.options.destination) return
    this.options.destination = destination
    this.#route = null
  }

  /** Has {@link PingReceiver.deliverEvents} called when processing is over. */
  announce(): void {
    this.#protocol.softirq.eventPending(this)
  }

  deliverEvents(): void {
    this.receiver?.deliverEvents()
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#protocol.release(this)
  }

  #send(sequence: number, payload: Uint8Array): number {
    const { ip } = this.#protocol
    const { ctx } = ip
    const { options } = this
    const route = this.#validRoute()
    if (route === null) {
      ctx.mib.ip[IpMib.OutNoRoutes]!++
      return ctx.routing.errno
    }
    if ((route.flags & RouteFlag.BROADCAST) !== 0 && !options.broadcast) return Errno.EACCES
    const length = ICMP_HEADER + payload.length
    const fits = length + IPV4_MIN_HEADER <= route.mtu
    const discovery = options.pathMtuDiscovery
    if (!fits && discovery === 'do') return Errno.EMSGSIZE
    const packet = ctx.pool.allocate(length, HEADROOM)
    if (packet === null) {
      ctx.mib.ip[IpMib.OutDiscards]!++
      return Errno.ENOBUFS
    }
    const at = packet.put(length)
    const { bytes } = packet
    bytes[at + ICMP_TYPE] = IcmpType.ECHO
    bytes[at + ICMP_CODE] = 0
    bytes[at + ICMP_CHECKSUM] = bytes[at + ICMP_CHECKSUM + 1] = 0
    bytes[at + ICMP_ID] = this.identifier >>> 8
    bytes[at + ICMP_ID + 1] = this.identifier
    bytes[at + ICMP_SEQUENCE] = sequence >>> 8
    bytes[at + ICMP_SEQUENCE + 1] = sequence
    bytes.set(payload, at + ICMP_HEADER)
    const check = checksum(bytes, at, packet.end)
    bytes[at + ICMP_CHECKSUM] = check >>> 8
    bytes[at + ICMP_CHECKSUM + 1] = check

    const { saddr, daddr } = this.#flow
    const dontFragment = discovery === 'do' || (discovery === 'want' && fits && !route.mtuLocked)
    const id = dontFragment ? ATOMIC_ID : ip.identification.next(saddr, daddr, IpProtocol.ICMP, ctx.now)
    const multicast = (route.flags & RouteFlag.MULTICAST) !== 0
    const ttl = options.ttl !== 0 ? options.ttl : multicast ? 1 : ip.defaultTtl(route)
    pushIpv4Header(packet, saddr, daddr, IpProtocol.ICMP, options.tos, ttl, id, dontFragment ? IPV4_DF : 0)
    packet.mark = options.mark
    ctx.mib.icmp[IcmpMib.OutMsgs]!++
    ctx.mib.icmpMsgOut[IcmpType.ECHO]!++
    return ip.output.sendLocal(packet, route)
  }

  /** The route in use, asked for again when the tables, an address or a device have changed. */
  #validRoute(): Route | null {
    const { routing } = this.#protocol.ip.ctx
    if (this.#route !== null && routing.isValid(this.#route)) return this.#route
    const { destination, source, device, tos, mark } = this.options
    const flow = this.#flow.reset()
    flow.daddr = destination
    flow.saddr = source
    flow.oif = device
    flow.tos = tos & 0xfc
    flow.mark = mark
    flow.protocol = IpProtocol.ICMP
    this.#route = routing.output(flow)
    return this.#route
  }
}

/** The ping endpoints of one stack, by identifier. */
export class PingProtocol implements TransportProtocol {
  readonly ip: Ipv4
  readonly softirq: Softirq
  readonly #endpoints: EndpointTable<PingEndpoint>
  readonly #key = createFlowKey()
  #closed = false

  constructor(ip: Ipv4, softirq: Softirq) {
    this.ip = ip
    this.softirq = softirq
    this.#endpoints = new EndpointTable(ip.ctx.hash, { limit: 65535 })
    ip.icmp.echoReplies = this
  }

  /**
   * @param wanted the identifier; 0: one that nobody has. As on Linux one may be shared: the latest gets the replies.
   * @throws TunstackError `EAGAIN` if every identifier is in use; `ERR_STACK_CLOSED`
   */
  open(options: PingEndpointOptions, wanted = 0): PingEndpoint {
    if (this.#closed) throw new TunstackError('ERR_STACK_CLOSED', 'this stack was closed; make another one')
    const key = this.#key
    setIpv4Binding(key, options.source, wanted)
    key[FlowKey.DEVICE] = boundTo(options)
    const identifier = wanted !== 0 ? wanted : this.#endpoints.pickPort(key, IDENTIFIERS, this.ip.ctx.random)
    const endpoint = new PingEndpoint(this, identifier, options)
    if (identifier === 0 || !this.#endpoints.bind(key, endpoint, { reuseAddress: true })) {
      throw new TunstackError('EAGAIN', 'every ICMP echo identifier is in use; wait for a ping to end')
    }
    return endpoint
  }

  /** The index of a device by its name. @throws TunstackError `ENODEV` */
  deviceIndex(name: string): number {
    const device = this.ip.ctx.devices.byName(name)
    if (device === undefined) {
      throw new TunstackError('ENODEV', `there is no device '${name}' in this stack`, { value: name })
    }
    return device.ifindex
  }

  /** Ends every series: the stack is closed. */
  close(): void {
    this.#closed = true
    const open: PingEndpoint[] = []
    this.#endpoints.forEach((endpoint) => {
      open.push(endpoint)
    })
    for (const endpoint of open) endpoint.receiver?.stopped()
  }

  /** @internal */
  release(endpoint: PingEndpoint): void {
    setIpv4Binding(this.#key, endpoint.options.source, endpoint.identifier)
    this.#key[FlowKey.DEVICE] = boundTo(endpoint.options)
    this.#endpoints.unbind(this.#key, endpoint)
  }

  /** An echo reply. */
  receive(packet: Packet): void {
    const { ctx } = this.ip
    const { bytes, networkHeader, transportHeader: at, end } = packet
    const identifier = (bytes[at + ICMP_ID]! << 8) | bytes[at + ICMP_ID + 1]!
    const from = readIpv4(bytes, networkHeader + IPV4_SOURCE)
    const endpoint = this.#find(
      readIpv4(bytes, networkHeader + IPV4_DESTINATION),
      from,
      identifier,
      packet.iif,
    )
    if (endpoint === null) return ctx.drop(packet, DropReason.NO_SOCKET, packet.device as NetDevice)
    const sequence = (bytes[at + ICMP_SEQUENCE]! << 8) | bytes[at + ICMP_SEQUENCE + 1]!
    endpoint.receiver?.received(
      sequence,
      from,
      bytes[networkHeader + IPV4_TTL]!,
      bytes,
      at + ICMP_HEADER,
      end,
      packet,
    )
    ctx.consume(packet)
  }

  /** An error about an echo request: counted only if the request can be one of ours (RFC 5927 §4). */
  receiveError(
    bytes: Uint8Array,
    quote: number,
    headerLength: number,
    _end: number,
    error: IcmpErrorInfo,
  ): void {
    const at = quote + headerLength
    const identifier = (bytes[at + ICMP_ID]! << 8) | bytes[at + ICMP_ID + 1]!
    const source = readIpv4(bytes, quote + IPV4_SOURCE)
    const destination = readIpv4(bytes, quote + IPV4_DESTINATION)
    const endpoint = this.#find(source, destination, identifier, 0)
    if (endpoint === null) return
    if (endpoint.options.anyDestination !== true && endpoint.options.destination !== destination) return
    this.ip.icmp.learnPathMtu(bytes, quote, error)
    if (
      error.errno === 0 ||
      (error.errno === Errno.EMSGSIZE && endpoint.options.pathMtuDiscovery === 'dont')
    ) {
      return
    }
    const sequence = (bytes[at + ICMP_SEQUENCE]! << 8) | bytes[at + ICMP_SEQUENCE + 1]!
    endpoint.receiver?.failed(sequence, error, destination)
  }

  #find(local: Ipv4Address, remote: Ipv4Address, identifier: number, device: number): PingEndpoint | null {
    setIpv4Flow(this.#key, local, identifier, remote, 0, device)
    return this.#endpoints.lookup(this.#key)
  }
}

/** The device that replies must come by: a socket that is bound to one hears no other, a series of pings is not so strict. */
function boundTo({ anyDestination, device }: PingEndpointOptions): number {
  return anyDestination === true ? device : 0
}
