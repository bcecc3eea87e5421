/**
 * UDP (RFC 768) for IPv4: datagrams are checked, matched to an endpoint, and queued for it; what nobody wants is
 * answered with Port Unreachable (RFC 1122 §4.1.3.1), unless it was a broadcast or its checksum is wrong.
 * Endpoints here are unconnected ones: bound to an address and a port, sending to anybody.
 */
import { type Ipv4Address, readIpv4 } from '../address/ipv4-address.ts'
import { EndpointTable } from '../demux/endpoint-table.ts'
import { createFlowKey, setIpv4Binding, setIpv4Flow } from '../demux/flow-key.ts'
import { PortRange } from '../demux/ports.ts'
import type { NetDevice } from '../device/net-device.ts'
import type { Softirq } from '../device/softirq.ts'
import { invalidArgument, TunstackError } from '../errors.ts'
import type { IcmpErrorInfo, TransportProtocol } from '../ipv4/context.ts'
import type { Ipv4 } from '../ipv4/ipv4.ts'
import { IcmpMib, UdpMib } from '../observe/mib.ts'
import { completeChecksum } from '../packet/complete-checksum.ts'
import { Checksum, Gso, type Packet } from '../packet/packet.ts'
import type { Route } from '../route/route.ts'
import { RouteFlag } from '../route/rtnetlink.ts'
import { read16 } from '../wire/big-endian.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { IcmpType, UnreachableCode } from '../wire/icmpv4.ts'
import { IPV4_DESTINATION, IPV4_MIN_HEADER, IPV4_SOURCE, IpProtocol } from '../wire/ipv4.ts'
import {
  checkUdpHeader,
  UDP_DESTINATION_PORT,
  UDP_HEADER,
  UDP_LENGTH,
  UDP_SOURCE_PORT,
  verifyUdpChecksum,
} from '../wire/udp.ts'
import { UdpEndpoint, type UdpMessage } from './udp-endpoint.ts'

export interface UdpBindOptions {
  /** An address of this host; any if absent. */
  address?: Ipv4Address
  /** 0 or absent: an unused one is picked (RFC 6056). */
  port?: number
  /** `SO_REUSEADDR`: the port may be shared with others that say so too; who is bound more exactly gets the datagram. */
  reuseAddress?: boolean
  /** Called for each datagram, outside of packet processing. */
  onMessage: (message: UdpMessage) => void
  /** Bytes that may wait for `onMessage`; 212992 by default. */
  receiveBuffer?: number
  /**
   * `UDP_GRO`: datagrams of one sender, of the same size but for a shorter last one, may come as one message, whose
   * `segmentSize` says how to tell them apart.
   */
  gro?: boolean
}

export class Udp implements TransportProtocol {
  readonly ip: Ipv4
  readonly softirq: Softirq
  /** Whether a datagram's endpoint takes several as one; `null` while there is no such endpoint. */
  wantsMerged: ((packet: Packet) => boolean) | null = null
  readonly #endpoints: EndpointTable<UdpEndpoint>
  /** Endpoints with `gro`. */
  #merging = 0
  readonly #key = createFlowKey()
  #closed = false

  constructor(ip: Ipv4, softirq: Softirq) {
    this.ip = ip
    this.softirq = softirq
    this.#endpoints = new EndpointTable(ip.ctx.hash)
    ip.protocols[IpProtocol.UDP] = this
  }

  /**
   * @throws TunstackError `ERR_INVALID_ARG_VALUE` (port), `EADDRNOTAVAIL` (no address of this host), `EADDRINUSE`, `EAGAIN` (no port left),
   * `ERR_STACK_CLOSED`
   */
  bind(options: UdpBindOptions): UdpEndpoint {
    if (this.#closed) throw new TunstackError('ERR_STACK_CLOSED', 'this stack was closed; make another one')
    const { sysctl, random, routing } = this.ip.ctx
    const address = options.address ?? 0
    if (address !== 0 && sysctl.ipv4.ip_nonlocal_bind === 0 && routing.addresses.deviceOf(address) === null) {
      throw new TunstackError('EADDRNOTAVAIL', 'that is no address of this host', { syscall: 'bind' })
    }
    const key = this.#key
    let port = options.port ?? 0
    if (!Number.isInteger(port) || port < 0 || port > 0xffff) throw invalidArgument('port', port, '0…65535')
    setIpv4Binding(key, address, port)
    if (port === 0) {
      const { ip_local_port_range_low: low, ip_local_port_range_high: high } = sysctl.ipv4
      port = this.#endpoints.pickPort(key, new PortRange(low, high), random)
      if (port === 0) throw new TunstackError('EAGAIN', 'no local port is left', { syscall: 'bind' })
    }
    const endpoint = new UdpEndpoint(
      this,
      address,
      port,
      options.onMessage,
      options.receiveBuffer ?? sysctl.core.rmem_default,
      options.gro ?? false,
    )
    if (!this.#endpoints.bind(key, endpoint, { reuseAddress: options.reuseAddress ?? false })) {
      throw new TunstackError('EADDRINUSE', `port ${port} is in use`, { value: port, syscall: 'bind' })
    }
    if (endpoint.gro && this.#merging++ === 0) this.wantsMerged = this.#wantsMerged
    return endpoint
  }

  /** @internal */
  release(endpoint: UdpEndpoint): void {
    if (endpoint.gro && --this.#merging === 0) this.wantsMerged = null
    setIpv4Binding(this.#key, endpoint.address, endpoint.port)
    this.#endpoints.unbind(this.#key, endpoint)
  }

  /** Closes every endpoint; there will be no others. */
  close(): void {
    this.#closed = true
    const open: UdpEndpoint[] = []
    this.#endpoints.forEach((endpoint) => {
      open.push(endpoint)
    })
    for (const endpoint of open) endpoint.close()
  }

  receive(packet: Packet): void {
    const { ctx, icmp } = this.ip
    const { mib } = ctx
    const device = packet.device as NetDevice
    const { bytes, networkHeader, transportHeader: at } = packet
    if (checkUdpHeader(bytes, at, packet.end) !== DropReason.NONE) {
      return this.#error(packet, DropReason.PKT_TOO_SMALL, device)
    }
    const length = (bytes[at + UDP_LENGTH]! << 8) | bytes[at + UDP_LENGTH + 1]!
    packet.end = at + length // the rest is nobody's, and not quoted either
    const source = readIpv4(bytes, networkHeader + IPV4_SOURCE)
    const destination = readIpv4(bytes, networkHeader + IPV4_DESTINATION)
    const sourcePort = (bytes[at + UDP_SOURCE_PORT]! << 8) | bytes[at + UDP_SOURCE_PORT + 1]!
    const port = (bytes[at + UDP_DESTINATION_PORT]! << 8) | bytes[at + UDP_DESTINATION_PORT + 1]!
    if (packet.checksum === Checksum.NONE && !verifyUdpChecksum(bytes, at, source, destination)) {
      mib.udp[UdpMib.InCsumErrors]!++
      return this.#error(packet, DropReason.UDP_CSUM, device)
    }

    const key = this.#key
    setIpv4Flow(key, destination, port, source, sourcePort, packet.iif)
    const endpoint = this.#endpoints.lookup(key)
    const { flags } = packet.destination as Route
    const group = (flags & (RouteFlag.BROADCAST | RouteFlag.MULTICAST)) !== 0
    if (endpoint === null) {
      if (group) {
        mib.udp[UdpMib.IgnoredMulti]!++
        return ctx.consume(packet)
      }
      mib.udp[UdpMib.NoPorts]!++
      if (packet.checksum === Checksum.PARTIAL) completeChecksum(packet) // it is quoted
      icmp.sendError(packet, IcmpType.DEST_UNREACH, UnreachableCode.PORT, 0)
      return ctx.drop(packet, DropReason.NO_SOCKET, device)
    }
    const segmentSize = packet.gsoType === Gso.UDP_L4 ? packet.gsoSize : 0
    let refused = false
    const size = segmentSize === 0 || endpoint.gro ? length : segmentSize
    // A super-segment is as many datagrams as it was cut from, for who did not ask to have them in one.
    for (let from = at + UDP_HEADER; ; from += size) {
      const to = Math.min(from + size, at + length)
      if (
        endpoint.deliver(source, sourcePort, destination, bytes, from, to, endpoint.gro ? segmentSize : 0)
      ) {
        mib.udp[UdpMib.InDatagrams]!++
      } else {
        mib.udp[UdpMib.RcvbufErrors]!++
        mib.udp[UdpMib.InErrors]!++
        refused = true
      }
      if (to === at + length) break
    }
    if (refused) ctx.drop(packet, DropReason.SOCKET_RCVBUFF, device)
    else ctx.consume(packet)
  }

  readonly #wantsMerged = ({ bytes, start, iif }: Packet): boolean => {
    const at = start + IPV4_MIN_HEADER
    const key = this.#key
    const source = readIpv4(bytes, start + IPV4_SOURCE)
    const destination = readIpv4(bytes, start + IPV4_DESTINATION)
    const sourcePort = read16(bytes, at + UDP_SOURCE_PORT)
    setIpv4Flow(key, destination, read16(bytes, at + UDP_DESTINATION_PORT), source, sourcePort, iif)
    return this.#endpoints.lookup(key)?.gro ?? false
  }

  /** An unconnected endpoint hears of no error, but the path MTU is learnt if the datagram can have been its own. */
  receiveError(
    bytes: Uint8Array,
    quote: number,
    headerLength: number,
    _end: number,
    error: IcmpErrorInfo,
  ): void {
    const at = quote + headerLength
    const key = this.#key
    const local = readIpv4(bytes, quote + IPV4_SOURCE)
    const remote = readIpv4(bytes, quote + IPV4_DESTINATION)
    const port = (bytes[at + UDP_SOURCE_PORT]! << 8) | bytes[at + UDP_SOURCE_PORT + 1]!
    setIpv4Flow(key, local, port, remote, 0, 0)
    if (this.#endpoints.lookup(key) !== null) this.ip.icmp.learnPathMtu(bytes, quote, error)
    else this.ip.ctx.mib.icmp[IcmpMib.InErrors]!++
  }

  #error(packet: Packet, reason: number, device: NetDevice): void {
    this.ip.ctx.mib.udp[UdpMib.InErrors]!++
    this.ip.ctx.drop(packet, reason, device)
  }
}
