/**
 * UDP (RFC 768) for IPv4: datagrams are checked, matched to a socket, and queued for it; what nobody wants is
 * answered with Port Unreachable (RFC 1122 §4.1.3.1), unless it was a broadcast or its checksum is wrong. What was
 * sent to a group or to everybody goes to every socket that it concerns.
 */
import { formatIpv4, type Ipv4Address, isMulticast, parseIpv4, readIpv4 } from '../address/ipv4-address.ts'
import { EndpointTable } from '../demux/endpoint-table.ts'
import { createFlowKey, FlowKey, setIpv4Binding, setIpv4Flow } from '../demux/flow-key.ts'
import { PortRange } from '../demux/ports.ts'
import type { NetDevice } from '../device/net-device.ts'
import type { Softirq } from '../device/softirq.ts'
import { Errno, TunstackError } from '../errors.ts'
import type { IcmpErrorInfo } from '../ipv4/context.ts'
import type { Ipv4 } from '../ipv4/ipv4.ts'
import { IcmpMib, UdpMib } from '../observe/mib.ts'
import { completeChecksum } from '../packet/complete-checksum.ts'
import { Checksum, Gso, type Packet } from '../packet/packet.ts'
import type { Route } from '../route/route.ts'
import { RouteFlag, RouteType } from '../route/rtnetlink.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { IcmpType, UnreachableCode } from '../wire/icmpv4.ts'
import {
  IPV4_DESTINATION,
  IPV4_MIN_HEADER,
  IPV4_SOURCE,
  IPV4_TOS,
  IPV4_TTL,
  IpProtocol,
} from '../wire/ipv4.ts'
import {
  checkUdpHeader,
  UDP_DESTINATION_PORT,
  UDP_HEADER,
  UDP_LENGTH,
  UDP_SOURCE_PORT,
  verifyUdpChecksum,
} from '../wire/udp.ts'
import { DatagramInfo } from './datagram-queue.ts'
import { UdpCatchAll, type UdpCatchAllOptions } from './udp-catch-all.ts'
import { checkBindOptions, type UdpBindOptions } from './udp-options.ts'
import { UdpSocket } from './udp-socket.ts'

export class Udp {
  /** @internal */
  readonly ip: Ipv4
  /** @internal */
  readonly softirq: Softirq
  /** @internal Whether a datagram's socket takes several as one; `null` while there is no such socket. */
  wantsMerged: ((packet: Packet) => boolean) | null = null
  readonly #sockets: EndpointTable<UdpSocket>
  /** Sockets with `gro`. */
  #merging = 0
  readonly #key = createFlowKey()
  readonly #info = new DatagramInfo()
  /** The datagram in hand, while it goes to several sockets. */
  readonly #group: UdpSocket[] = []
  #catchAll: UdpCatchAll | null = null
  #closed = false

  /** @internal */
  constructor(ip: Ipv4, softirq: Softirq) {
    this.ip = ip
    this.softirq = softirq
    this.#sockets = new EndpointTable(ip.ctx.hash)
    ip.protocols[IpProtocol.UDP] = this
  }

  /**
   * A socket: `stack.udp.bind({ port: 53 })`.
   * @throws TunstackError `ERR_INVALID_ARG_VALUE`, `EADDRNOTAVAIL` (no address of this host), `EADDRINUSE`, `EAGAIN`
   * (no port left), `ENODEV`, `ERR_STACK_CLOSED`; the reason of `signal` if it is aborted already
   */
  bind(options: UdpBindOptions = {}): UdpSocket {
    if (this.#closed) throw new TunstackError('ERR_STACK_CLOSED', 'this stack was closed; make another one')
    checkBindOptions(options)
    if (options.signal?.aborted === true) throw options.signal.reason
    const { sysctl } = this.ip.ctx
    const address = options.address === undefined ? 0 : parseIpv4(options.address)
    const device = options.device === undefined ? 0 : this.deviceOf(options.device).ifindex
    if (address !== 0 && sysctl.ipv4.ip_nonlocal_bind === 0 && !this.#canBind(address)) {
      throw new TunstackError('EADDRNOTAVAIL', `${formatIpv4(address)} is no address of this host`, {
        value: options.address,
        syscall: 'bind',
      })
    }
    const key = this.#key
    let { port = 0 } = options
    setIpv4Binding(key, address, port)
    key[FlowKey.DEVICE] = device
    if (port === 0) {
      port = this.#pickPort()
      if (port === 0) throw new TunstackError('EAGAIN', 'no local port is left', { syscall: 'bind' })
    }
    const socket = new UdpSocket(this, address, port, device, options)
    if (!this.#sockets.bind(key, socket, socket.sharing)) {
      throw new TunstackError('EADDRINUSE', `port ${port} is in use`, { value: port, syscall: 'bind' })
    }
    if (socket.gro && this.#merging++ === 0) this.wantsMerged = this.#wantsMerged
    if (options.signal !== undefined) socket.closeWith(options.signal)
    return socket
  }

  /** A port for `#key`; 0 if none is left. */
  #pickPort(): number {
    const { sysctl, random } = this.ip.ctx
    const { ip_local_port_range_low: low, ip_local_port_range_high: high } = sysctl.ipv4
    return this.#sockets.pickPort(this.#key, new PortRange(low, high), random)
  }

  /** @internal gives up the port of a socket without a peer: nobody finds it until {@link autobind} */
  unbind(socket: UdpSocket): void {
    this.#bindingOf(socket)
    this.#sockets.unbind(this.#key, socket)
    socket.localPort = 0
  }

  /** @internal has a port picked for a socket that has none (`inet_autobind`). 0, or a positive errno */
  autobind(socket: UdpSocket): number {
    if (this.#closed) return Errno.ENETDOWN
    this.#bindingOf(socket)
    const port = this.#pickPort()
    if (port === 0 || !this.#sockets.bind(this.#key, socket, socket.sharing)) return Errno.EAGAIN
    socket.localPort = port
    return 0
  }

  /**
   * Hears of every datagram for this host that no socket is there for, at whatever address and port, and sends from any.
   * With a route such as `local 0.0.0.0/0 dev lo` that is what everybody sends who routes through it.
   * @throws TunstackError `EADDRINUSE` if there is one already, `ERR_INVALID_ARG_VALUE`, `ERR_STACK_CLOSED`
   */
  bindAll(options: UdpCatchAllOptions = {}): UdpCatchAll {
    if (this.#closed) throw new TunstackError('ERR_STACK_CLOSED', 'this stack was closed; make another one')
    checkBindOptions(options)
    if (this.#catchAll !== null) {
      throw new TunstackError('EADDRINUSE', 'somebody hears of all datagrams already', { syscall: 'bind' })
    }
    this.#catchAll = new UdpCatchAll(this, options)
    return this.#catchAll
  }

  /** @internal */
  releaseAll(): void {
    this.#catchAll = null
  }

  /** @internal @throws TunstackError `ENODEV` */
  deviceOf(name: string): NetDevice {
    const device = this.ip.ctx.devices.byName(name)
    if (device !== undefined) return device
    throw new TunstackError('ENODEV', `there is no device '${name}' in this stack`, { value: name })
  }

  /** @internal 0, or a positive errno */
  connect(socket: UdpSocket, route: Route, remote: Ipv4Address, port: number, source: Ipv4Address): number {
    if ((route.flags & RouteFlag.BROADCAST) !== 0 && !socket.settings.broadcast) return Errno.EACCES
    const key = this.#key
    const local = socket.local === 0 ? source : socket.local
    setIpv4Flow(key, local, socket.localPort, remote, port, socket.deviceIndex)
    if (!this.#sockets.connect(key, socket)) {
      // Where the port is shared, the latest one hears the peer, until it goes.
      const earlier = this.#sockets.lookupConnected(key)
      if (earlier === null || earlier.deviceIndex !== socket.deviceIndex) return Errno.EADDRINUSE
      this.#sockets.disconnect(key, earlier)
      this.#sockets.connect(key, socket)
      socket.earlier = earlier
      earlier.later = socket
    }
    this.#bindingOf(socket)
    this.#sockets.setOpen(key, socket, false)
    socket.local = local
    socket.source = source
    socket.remote = remote
    socket.remotePort = port
    return 0
  }

  /** @internal */
  disconnect(socket: UdpSocket): void {
    const key = this.#key
    setIpv4Flow(key, socket.local, socket.localPort, socket.remote, socket.remotePort, socket.deviceIndex)
    const { earlier, later } = socket
    if (later === null && this.#sockets.disconnect(key, socket) && earlier !== null) {
      this.#sockets.connect(key, earlier)
    }
    if (earlier !== null) earlier.later = later
    if (later !== null) later.earlier = earlier
    socket.earlier = socket.later = null
    socket.remotePort = -1
    this.#bindingOf(socket)
    this.#sockets.setOpen(key, socket, true)
  }

  /** @internal */
  release(socket: UdpSocket): void {
    if (socket.remotePort >= 0) socket.disconnect()
    if (socket.gro && --this.#merging === 0) this.wantsMerged = null
    this.#bindingOf(socket)
    this.#sockets.unbind(this.#key, socket)
  }

  /** @internal Closes every socket; there will be no others. */
  close(): void {
    this.#closed = true
    const open: UdpSocket[] = []
    this.#sockets.forEach((socket) => {
      open.push(socket)
    })
    for (const socket of open) socket.close()
    this.#catchAll?.close()
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
    const info = this.#info
    info.source = source
    info.destination = destination
    info.port = sourcePort
    info.device = packet.iif
    info.ttl = bytes[networkHeader + IPV4_TTL]!
    info.tos = bytes[networkHeader + IPV4_TOS]!

    const { flags } = packet.destination as Route
    if ((flags & (RouteFlag.BROADCAST | RouteFlag.MULTICAST)) !== 0) {
      return this.#receiveGroup(packet, port, device)
    }
    const key = this.#key
    setIpv4Flow(key, destination, port, source, sourcePort, packet.iif)
    const socket = this.#sockets.lookup(key) ?? this.#catchAll
    info.toPort = port
    if (socket === null) {
      mib.udp[UdpMib.NoPorts]!++
      if (packet.checksum === Checksum.PARTIAL) completeChecksum(packet) // it is quoted
      icmp.sendError(packet, IcmpType.DEST_UNREACH, UnreachableCode.PORT, 0)
      return ctx.drop(packet, DropReason.NO_SOCKET, device)
    }
    if (this.#deliver(socket, packet)) ctx.consume(packet)
    else ctx.drop(packet, DropReason.SOCKET_RCVBUFF, device)
  }

  /** An error about what a socket sent; the path MTU is learnt if the datagram can have been its own. */
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
    const remotePort = (bytes[at + UDP_DESTINATION_PORT]! << 8) | bytes[at + UDP_DESTINATION_PORT + 1]!
    setIpv4Flow(key, local, port, remote, remotePort, error.arrival ?? 0)
    const socket = this.#sockets.lookup(key)
    if (socket === null) {
      this.ip.ctx.mib.icmp[IcmpMib.InErrors]!++
      return
    }
    this.ip.icmp.learnPathMtu(bytes, quote, error)
    if (error.type === IcmpType.REDIRECT || error.type === IcmpType.SOURCE_QUENCH) return
    const tooBig = error.type === IcmpType.DEST_UNREACH && error.code === UnreachableCode.FRAG_NEEDED
    socket.failed(error, remote, remotePort, tooBig)
  }

  /** What was sent to a group or to everybody (`__udp4_lib_mcast_deliver`). */
  #receiveGroup(packet: Packet, port: number, device: NetDevice): void {
    const { ctx } = this.ip
    const { source, destination, port: sourcePort } = this.#info
    const sockets = this.#group
    this.#sockets.forEachOnPort(port, (socket) => {
      if (concerns(socket, destination, source, sourcePort, packet.iif)) sockets.push(socket)
    })
    if (sockets.length === 0) {
      ctx.mib.udp[UdpMib.IgnoredMulti]!++
      return ctx.consume(packet)
    }
    let refused = 0
    for (let i = 0; i < sockets.length; i++) if (!this.#deliver(sockets[i]!, packet)) refused++
    const all = refused === sockets.length
    sockets.length = 0
    if (all) ctx.drop(packet, DropReason.SOCKET_RCVBUFF, device)
    else ctx.consume(packet)
  }

  /** Gives a socket its datagram, or the several that a super-segment is; `false` if it had no room for all. */
  #deliver(socket: UdpSocket | UdpCatchAll, packet: Packet): boolean {
    const { mib } = this.ip.ctx
    const info = this.#info
    const { bytes, transportHeader, end } = packet
    const segmentSize = packet.gsoType === Gso.UDP_L4 ? packet.gsoSize : 0
    const whole = segmentSize === 0 || socket.gro
    info.segmentSize = whole ? segmentSize : 0
    let took = true
    for (let from = transportHeader + UDP_HEADER; ; from += segmentSize) {
      const to = whole ? end : Math.min(from + segmentSize, end)
      if (socket.deliver(info, bytes, from, to)) mib.udp[UdpMib.InDatagrams]!++
      else {
        mib.udp[UdpMib.RcvbufErrors]!++
        mib.udp[UdpMib.InErrors]!++
        took = false
      }
      if (to === end) return took
    }
  }

  readonly #wantsMerged = ({ bytes, start, iif }: Packet): boolean => {
    const at = start + IPV4_MIN_HEADER
    const key = this.#key
    const source = readIpv4(bytes, start + IPV4_SOURCE)
    const destination = readIpv4(bytes, start + IPV4_DESTINATION)
    const sourcePort = (bytes[at + UDP_SOURCE_PORT]! << 8) | bytes[at + UDP_SOURCE_PORT + 1]!
    const port = (bytes[at + UDP_DESTINATION_PORT]! << 8) | bytes[at + UDP_DESTINATION_PORT + 1]!
    setIpv4Flow(key, destination, port, source, sourcePort, iif)
    return this.#sockets.lookup(key)?.gro ?? false
  }

  /** @internal It is no group and no broadcast address. */
  canSendFrom(address: Ipv4Address): boolean {
    if (address === 0 || isMulticast(address)) return false
    return this.ip.ctx.routing.fib.addressType(address) !== RouteType.BROADCAST
  }

  /** An address of this host, a group, or one that everybody hears (`inet_addr_valid_or_nonlocal`). */
  #canBind(address: Ipv4Address): boolean {
    const { routing } = this.ip.ctx
    if (isMulticast(address) || routing.addresses.deviceOf(address) !== null) return true
    const type = routing.fib.addressType(address)
    return type === RouteType.LOCAL || type === RouteType.BROADCAST || type === RouteType.MULTICAST
  }

  /** Puts the key under which a socket was bound, peer or not, into `#key`. */
  #bindingOf(socket: UdpSocket): void {
    setIpv4Binding(this.#key, socket.boundAddress, socket.localPort)
    this.#key[FlowKey.DEVICE] = socket.deviceIndex
  }

  #error(packet: Packet, reason: number, device: NetDevice): void {
    this.ip.ctx.mib.udp[UdpMib.InErrors]!++
    this.ip.ctx.drop(packet, reason, device)
  }
}

/** Whether a socket gets what was sent to a group or a broadcast address (`__udp_is_mcast_sock`). */
function concerns(
  socket: UdpSocket,
  destination: Ipv4Address,
  source: Ipv4Address,
  sourcePort: number,
  device: number,
): boolean {
  if (socket.remotePort >= 0 && (socket.remote !== source || socket.remotePort !== sourcePort)) return false
  if (socket.local !== 0 && socket.local !== destination) return false
  if (socket.deviceIndex !== 0 && socket.deviceIndex !== device) return false
  return (
    !isMulticast(destination) || socket.memberships.hears(destination, device, source, socket.multicastAll)
  )
}
