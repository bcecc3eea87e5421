/**
 * Segments that no connection sends: resets for what nobody expects (RFC 9293 §3.10.7.1), and what is said on
 * behalf of connections that are only half there: SYN-ACKs, and the ACKs of TIME-WAIT. Each is routed for itself.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import { readIpv4 } from '../address/ipv4-address.ts'
import { FlowKey, localPort, remotePort } from '../demux/flow-key.ts'
import { pushIpv4Header } from '../ipv4/header.ts'
import { ATOMIC_ID } from '../ipv4/identification.ts'
import type { Ipv4 } from '../ipv4/ipv4.ts'
import { IpMib, TcpMib } from '../observe/mib.ts'
import { completeChecksum } from '../packet/complete-checksum.ts'
import { Checksum, HEADROOM, type Packet } from '../packet/packet.ts'
import { Flow4 } from '../route/flow.ts'
import type { Route } from '../route/route.ts'
import { RouteFlag, RouteType } from '../route/rtnetlink.ts'
import { fold, pseudoHeaderSum } from '../wire/checksum.ts'
import { IPV4_DESTINATION, IPV4_DF, IPV4_MIN_HEADER, IPV4_SOURCE, IpProtocol } from '../wire/ipv4.ts'
import {
  TCP_ACKNOWLEDGMENT,
  TCP_CHECKSUM,
  TCP_DATA_OFFSET,
  TCP_DESTINATION_PORT,
  TCP_FLAGS,
  TCP_MIN_HEADER,
  TCP_SEQUENCE,
  TCP_SOURCE_PORT,
  TCP_URGENT,
  TCP_WINDOW,
  TcpFlag,
} from '../wire/tcp.ts'
import { type SynOptions, TCP_MAX_OPTIONS, writeSynOptions, writeTimestamps } from '../wire/tcp-options.ts'
import { type Segment, write32 } from './segment.ts'

export class TcpReplies {
  readonly #ip: Ipv4
  readonly #flow = new Flow4()

  constructor(ip: Ipv4) {
    this.#ip = ip
  }

  /** Resets whoever sent the segment: never in answer to a reset, and only where it was sent to this host alone. */
  reset(segment: Segment): void {
    const { packet, flags } = segment
    if ((flags & TcpFlag.RST) !== 0) return
    if ((packet.destination as Route).type !== RouteType.LOCAL) return
    const tos = segment.tos & 0xfc
    const { mib } = this.#ip.ctx
    const sent =
      (flags & TcpFlag.ACK) !== 0
        ? this.#answer(packet, segment.ack, 0, TcpFlag.RST, 0, tos)
        : this.#answer(packet, 0, segment.end, TcpFlag.RST | TcpFlag.ACK, 0, tos)
    if (sent) mib.tcp[TcpMib.OutRsts]!++
  }

  /** An ACK in answer to a segment, with timestamps unless `tsValue` and `tsEcho` are left out. */
  ack(segment: Segment, seq: number, ack: number, wnd: number, tsValue?: number, tsEcho?: number): void {
    this.#answer(segment.packet, seq, ack, TcpFlag.ACK, wnd, segment.tos & 0xfc, tsValue, tsEcho)
  }

  /** A SYN-ACK. @param flags besides */
  synAck(
    local: Ipv4Address,
    localPort: number,
    remote: Ipv4Address,
    remotePort: number,
    seq: number,
    ack: number,
    wnd: number,
    flags: number,
    options: SynOptions,
  ): void {
    const packet = this.#ip.ctx.pool.allocate(TCP_MIN_HEADER + TCP_MAX_OPTIONS, HEADROOM)
    if (packet === null) return
    const at = packet.put(TCP_MIN_HEADER)
    packet.end += writeSynOptions(packet.bytes, packet.end, options)
    const { SYN, ACK } = TcpFlag
    writeTcpHeader(packet, at, localPort, remotePort, seq, ack, SYN | ACK | flags, wnd)
    this.#send(packet, at, local, localPort, remote, remotePort, 0)
  }

  /** A reset for a SYN that was not answered. */
  refuse(key: Int32Array, ack: number): void {
    const packet = this.#ip.ctx.pool.allocate(TCP_MIN_HEADER, HEADROOM)
    if (packet === null) return
    const at = packet.put(TCP_MIN_HEADER)
    const local = key[FlowKey.LOCAL + 3]!
    const remote = key[FlowKey.REMOTE + 3]!
    writeTcpHeader(packet, at, localPort(key), remotePort(key), 0, ack, TcpFlag.RST | TcpFlag.ACK, 0)
    if (this.#send(packet, at, local, localPort(key), remote, remotePort(key), 0)) {
      this.#ip.ctx.mib.tcp[TcpMib.OutRsts]!++
    }
  }

  /** To where the packet came from, from where it went to. */
  #answer(
    to: Packet,
    seq: number,
    ack: number,
    flags: number,
    wnd: number,
    tos: number,
    tsValue?: number,
    tsEcho?: number,
  ): boolean {
    const { bytes, networkHeader, transportHeader } = to
    const { ctx, options } = this.#ip
    // What a segment recorded on its way goes back with the answer (RFC 1122 §4.2.3.8).
    const withOptions = transportHeader - networkHeader > IPV4_MIN_HEADER
    const optionsLength = withOptions ? options.echo(to) : 0
    if (optionsLength < 0) return false
    const packet = ctx.pool.allocate(TCP_MIN_HEADER + TCP_MAX_OPTIONS, HEADROOM)
    if (packet === null) return false
    const localPort =
      (bytes[transportHeader + TCP_DESTINATION_PORT]! << 8) |
      bytes[transportHeader + TCP_DESTINATION_PORT + 1]!
    const remotePort =
      (bytes[transportHeader + TCP_SOURCE_PORT]! << 8) | bytes[transportHeader + TCP_SOURCE_PORT + 1]!
    const at = packet.put(TCP_MIN_HEADER)
    if (tsValue !== undefined) packet.end += writeTimestamps(packet.bytes, packet.end, tsValue, tsEcho ?? 0)
    writeTcpHeader(packet, at, localPort, remotePort, seq, ack, flags, wnd)
    const local = readIpv4(bytes, networkHeader + IPV4_DESTINATION)
    const remote = readIpv4(bytes, networkHeader + IPV4_SOURCE)
    return this.#send(packet, at, local, localPort, remote, remotePort, tos, optionsLength)
  }

  #send(
    packet: Packet,
    at: number,
    local: Ipv4Address,
    localPort: number,
    remote: Ipv4Address,
    remotePort: number,
    tos: number,
    optionsLength = 0,
  ): boolean {
    const ip = this.#ip
    const { ctx } = ip
    const flow = this.#flow.reset()
    flow.daddr = remote
    flow.saddr = local
    flow.anySource = true // it was this host's when a packet was delivered to it
    flow.tos = tos
    flow.protocol = IpProtocol.TCP
    flow.sport = localPort
    flow.dport = remotePort
    const route = ctx.routing.output(flow)
    if (route === null) {
      ctx.mib.ip[IpMib.OutNoRoutes]!++
      ctx.consume(packet)
      return false
    }
    // RFC 1122 §4.2.3.10: a broadcast address is nobody's.
    if ((route.flags & (RouteFlag.BROADCAST | RouteFlag.MULTICAST)) !== 0) {
      ctx.consume(packet)
      return false
    }
    ctx.mib.tcp[TcpMib.OutSegs]!++
    finishTcp(packet, at, local, remote)
    if (!route.device.link.features.checksum) completeChecksum(packet)
    const ttl = ip.defaultTtl(route)
    const dontFragment = route.mtuLocked ? 0 : IPV4_DF
    pushIpv4Header(packet, local, remote, IpProtocol.TCP, tos, ttl, ATOMIC_ID, dontFragment, optionsLength)
    if (optionsLength !== 0) ip.options.build(packet, local, remote)
    ip.output.sendLocal(packet, route)
    return true
  }
}

/** Writes the fixed header at `at`; `packet.end` is where options end and data begins. */
export function writeTcpHeader(
  packet: Packet,
  at: number,
  localPort: number,
  remotePort: number,
  seq: number,
  ack: number,
  flags: number,
  wnd: number,
): void {
  const { bytes } = packet
  bytes[at + TCP_SOURCE_PORT] = localPort >>> 8
  bytes[at + TCP_SOURCE_PORT + 1] = localPort
  bytes[at + TCP_DESTINATION_PORT] = remotePort >>> 8
  bytes[at + TCP_DESTINATION_PORT + 1] = remotePort
  write32(bytes, at + TCP_SEQUENCE, seq)
  write32(bytes, at + TCP_ACKNOWLEDGMENT, ack)
  bytes[at + TCP_DATA_OFFSET] = (packet.end - at) << 2
  bytes[at + TCP_FLAGS] = flags
  bytes[at + TCP_WINDOW] = wnd >>> 8
  bytes[at + TCP_WINDOW + 1] = wnd
  bytes[at + TCP_URGENT] = 0
  bytes[at + TCP_URGENT + 1] = 0
}

/** Adds URG with its pointer to a header. */
export function writeUrgent({ bytes }: Packet, at: number, pointer: number): void {
  bytes[at + TCP_FLAGS]! |= TcpFlag.URG
  bytes[at + TCP_URGENT] = pointer >>> 8
  bytes[at + TCP_URGENT + 1] = pointer
}

/** Leaves the checksum to whoever sends it: the pseudo-header is in, the rest is not. */
export function finishTcp(packet: Packet, at: number, local: Ipv4Address, remote: Ipv4Address): void {
  const { bytes } = packet
  const pseudo = fold(pseudoHeaderSum(local, remote, IpProtocol.TCP, packet.length))
  bytes[at + TCP_CHECKSUM] = pseudo >>> 8
  bytes[at + TCP_CHECKSUM + 1] = pseudo
  packet.checksum = Checksum.PARTIAL
  packet.checksumStart = at
  packet.checksumOffset = TCP_CHECKSUM
}
