/** A packet whose bytes nobody else sees, so that they may be changed. */
import { HEADROOM, type Packet } from '../../packet/packet.ts'

/** The packet itself, or a copy in its place; `null` if memory is short: then it is as it was. */
export function ownBytes(packet: Packet): Packet | null {
  if (packet.slab.references === 1 && packet.body === null) return packet
  const copy = packet.pool.copy(packet, HEADROOM)
  if (copy !== null) packet.free()
  return copy
}
