/**
 * Local delivery: fragments are put together, and the datagram goes to the protocol that its header names; if
 * there is none, the sender is told (RFC 1122 §3.2.2.1).
 */
import type { NetDevice } from '../device/net-device.ts'
import { IpMib } from '../observe/mib.ts'
import { HEADROOM, type Packet } from '../packet/packet.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { IcmpType, UnreachableCode } from '../wire/icmpv4.ts'
import { IPV4_FLAGS_FRAGMENT, IPV4_MF, IPV4_OFFSET_MASK, IPV4_PROTOCOL } from '../wire/ipv4.ts'
import type { Ipv4 } from './ipv4.ts'

export class LocalDelivery {
  readonly #ip: Ipv4

  constructor(ip: Ipv4) {
    this.#ip = ip
  }

  receive(fragment: Packet, device: NetDevice): void {
    const { ctx, protocols, icmp } = this.#ip
    const { bytes, networkHeader } = fragment
    const flagsFragment =
      (bytes[networkHeader + IPV4_FLAGS_FRAGMENT]! << 8) | bytes[networkHeader + IPV4_FLAGS_FRAGMENT + 1]!
    let packet: Packet | null = fragment
    if ((flagsFragment & (IPV4_MF | IPV4_OFFSET_MASK)) !== 0) {
      packet = this.#ip.reassemble(fragment)
      this.#ip.options.forget() // the datagram may be the very object that the last fragment was
      if (packet === null) return
      this.#ip.options.reassembled(packet)
    }
    if (packet.body !== null) {
      packet = this.#inOnePiece(packet, device)
      if (packet === null) return
    }
    const copied = this.#ip.raw?.deliver(packet) ?? false
    const protocol = protocols[packet.bytes[packet.networkHeader + IPV4_PROTOCOL]!]
    if (protocol === undefined || protocol === null) {
      if (copied) {
        ctx.mib.ip[IpMib.InDelivers]!++
        return ctx.consume(packet)
      }
      ctx.mib.ip[IpMib.InUnknownProtos]!++
      icmp.sendError(packet, IcmpType.DEST_UNREACH, UnreachableCode.PROTOCOL, 0)
      return ctx.drop(packet, DropReason.IP_NOPROTO, device)
    }
    ctx.mib.ip[IpMib.InDelivers]!++
    protocol.receive(packet)
  }
  /** Protocols read a datagram as bytes in a row; part of this one lies where its sender, on this machine, has it. */
  #inOnePiece(packet: Packet, device: NetDevice): Packet | null {
    const { ctx, options } = this.#ip
    const whole = packet.pool.copy(packet, HEADROOM)
    if (whole === null) {
      ctx.mib.ip[IpMib.InDiscards]!++
      ctx.drop(packet, DropReason.NOMEM, device)
      return null
    }
    options.moved(packet, whole)
    packet.free()
    return whole
  }
}
