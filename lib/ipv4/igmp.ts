/**
 * IGMP input (RFC 3376), for a host that reports no memberships: messages are taken, since the protocol is known
 * here and its absence must not be reported to anybody, and nothing is done with them.
 */
import type { NetDevice } from '../device/net-device.ts'
import type { Packet } from '../packet/packet.ts'
import { DropReason } from '../wire/drop-reason.ts'
import type { Ipv4Context, TransportProtocol } from './context.ts'

export class Igmp implements TransportProtocol {
  readonly #ctx: Ipv4Context

  constructor(ctx: Ipv4Context) {
    this.#ctx = ctx
  }

  receive(packet: Packet): void {
    this.#ctx.drop(packet, DropReason.NOT_SPECIFIED, packet.device as NetDevice | null)
  }

  receiveError(): void {}
}
