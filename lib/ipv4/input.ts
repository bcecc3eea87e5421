/**
 * IPv4 input: a packet from a device is checked, routed, and handed to local delivery or to forwarding. The
 * order of the checks, and what each counts, is that of Linux's `ip_rcv`.
 */

import { readIpv4 } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import { ECN_COUNTER, IpExtMib, IpMib, TcpExtMib } from '../observe/mib.ts'
import { Checksum, type Packet, PacketType } from '../packet/packet.ts'
import { Flow4 } from '../route/flow.ts'
import { InputAction, type Route } from '../route/route.ts'
import { RouteHint } from '../route/route-hint.ts'
import { RouteType } from '../route/rtnetlink.ts'
import { checksum } from '../wire/checksum.ts'
import { DropReason } from '../wire/drop-reason.ts'
import {
  IPV4_DESTINATION,
  IPV4_FLAGS_FRAGMENT,
  IPV4_MIN_HEADER,
  IPV4_OFFSET_MASK,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOS,
  IPV4_TOTAL_LENGTH,
  IpProtocol,
} from '../wire/ipv4.ts'
import type { Ipv4 } from './ipv4.ts'

export class Ipv4Input {
  readonly #ip: Ipv4
  readonly #flow = new Flow4()
  readonly #hint = new RouteHint()

  constructor(ip: Ipv4) {
    this.#ip = ip
  }

  /** Takes a packet over that `device` received. Never throws for what is in it. */
  receive(received: Packet, device: NetDevice): void {
    const { ctx } = this.#ip
    const { mib } = ctx
    let packet = received
    const segments = packet.gsoSegments
    if (packet.type === PacketType.OTHERHOST) return ctx.drop(packet, DropReason.OTHERHOST, device)
    // As Linux, a super-segment is one packet here and as many as it was cut from in the counters of ECN.
    mib.ip[IpMib.InReceives]!++
    mib.ipExt[IpExtMib.InOctets]! += packet.length

    const { bytes, start } = packet
    const { length } = packet
    if (length < IPV4_MIN_HEADER) return this.#headerError(packet, device, DropReason.IP_INHDR)
    const versionIhl = bytes[start]!
    const headerLength = (versionIhl & 15) << 2
    if (versionIhl >>> 4 !== 4 || headerLength < IPV4_MIN_HEADER) {
      return this.#headerError(packet, device, DropReason.IP_INHDR)
    }
    mib.ipExt[ECN_COUNTER[bytes[start + IPV4_TOS]! & 3]!]! += segments
    if (headerLength > packet.end - start) return this.#headerError(packet, device, DropReason.IP_INHDR)
    if (checksum(bytes, start, start + headerLength) !== 0) {
      mib.ipExt[IpExtMib.InCsumErrors]!++
      return this.#headerError(packet, device, DropReason.IP_CSUM)
    }
    const totalLength = (bytes[start + IPV4_TOTAL_LENGTH]! << 8) | bytes[start + IPV4_TOTAL_LENGTH + 1]!
    if (totalLength > length) {
      mib.ipExt[IpExtMib.InTruncatedPkts]!++
      return ctx.drop(packet, DropReason.PKT_TOO_SMALL, device)
    }
    if (totalLength < headerLength) return this.#headerError(packet, device, DropReason.IP_INHDR)
    // Padding of the link, if any, is not part of the datagram. A packet with a body has no padding.
    if (totalLength < length && packet.body === null) {
      packet.end = start + totalLength
      if (
        packet.checksum === Checksum.PARTIAL &&
        packet.checksumStart + packet.checksumOffset + 2 > packet.end
      ) {
        mib.ip[IpMib.InDiscards]!++ // where the checksum was to be stored is not part of it
        return ctx.drop(packet, DropReason.SKB_CSUM, device)
      }
    }

    packet.networkHeader = start
    packet.transportHeader = start + headerLength

    let route = packet.destination as Route | null
    if (route === null || route.family !== 4) {
      route = this.#route(packet, device)
      if (route === null) return
      packet.destination = route
    }
    if (headerLength > IPV4_MIN_HEADER) {
      const compiled = this.#ip.options.receive(packet, device, route)
      if (compiled === null) return
      packet = compiled
    }

    if (route.type === RouteType.MULTICAST) {
      mib.ipExt[IpExtMib.InMcastPkts]!++
      mib.ipExt[IpExtMib.InMcastOctets]! += packet.length
    } else if (route.type === RouteType.BROADCAST) {
      mib.ipExt[IpExtMib.InBcastPkts]!++
      mib.ipExt[IpExtMib.InBcastOctets]! += packet.length
    }
    switch (route.input) {
      case InputAction.LOCAL:
        return this.#ip.deliver.receive(packet, device)
      case InputAction.FORWARD:
        return this.#ip.forward.receive(packet, route, device)
      case InputAction.ERROR:
        return this.#ip.forward.refuse(packet, route, device)
      case InputAction.DISCARD:
        // It went out under a decision that is good for output only and came back (not from our loopback).
        return ctx.drop(packet, DropReason.IP_INADDRERRORS, device)
    }
  }

  #headerError(packet: Packet, device: NetDevice, reason: number): void {
    const { ctx } = this.#ip
    ctx.mib.ip[IpMib.InHdrErrors]!++
    ctx.drop(packet, reason, device)
  }

  #route(packet: Packet, device: NetDevice): Route | null {
    const { ctx } = this.#ip
    const { bytes, start } = packet
    const flow = this.#flow
    flow.reset()
    flow.daddr = readIpv4(bytes, start + IPV4_DESTINATION)
    flow.saddr = readIpv4(bytes, start + IPV4_SOURCE)
    flow.tos = bytes[start + IPV4_TOS]! & 0xfc
    flow.protocol = bytes[start + IPV4_PROTOCOL]!
    flow.mark = packet.mark
    const { routing } = ctx
    const known = this.#hint.find(routing, flow, device)
    if (known !== null) return known
    readPorts(flow, bytes, start, packet.transportHeader, packet.end)
    const route = routing.input(flow, device)
    packet.doRedirect = routing.doRedirect
    if (route !== null) {
      this.#hint.keep(routing, flow, device, route)
      return route
    }
    if (routing.errno === Errno.EXDEV) ctx.mib.tcpExt[TcpExtMib.IPReversePathFilter]!++
    ctx.drop(packet, routing.reason, device)
    return null
  }
}

/** Fills in the ports of a packet: rules and layer-4 multipath look at them, and only a first fragment has them. */
export function readPorts(
  flow: Flow4,
  bytes: Uint8Array,
  start: number,
  transportHeader: number,
  end: number,
): void {
  if (flow.protocol !== IpProtocol.UDP && flow.protocol !== IpProtocol.TCP) return
  if (end < transportHeader + 4) return
  const fragment = (bytes[start + IPV4_FLAGS_FRAGMENT]! << 8) | bytes[start + IPV4_FLAGS_FRAGMENT + 1]!
  if ((fragment & IPV4_OFFSET_MASK) !== 0) return
  flow.sport = (bytes[transportHeader]! << 8) | bytes[transportHeader + 1]!
  flow.dport = (bytes[transportHeader + 2]! << 8) | bytes[transportHeader + 3]!
}
