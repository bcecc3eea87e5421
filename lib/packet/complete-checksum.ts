/**
 * The checksum that was left open: sums what {@link Checksum.PARTIAL} promised and stores it. Whoever sends a
 * packet where nobody else will do it calls this last.
 */
import { write16 } from '../wire/big-endian.ts'
import { checksum, fold, sum } from '../wire/checksum.ts'
import { Checksum, type Packet } from './packet.ts'

/** Completes a partial checksum in place; the bytes must be the packet's own or nobody's to keep. */
export function completeChecksum(packet: Packet): void {
  const { bytes, checksumStart, end, body } = packet
  let total = sum(bytes, checksumStart, end)
  if (body !== null) {
    const rest = fold(sum(body, 0, body.length))
    // A body behind an odd number of bytes is summed with its bytes swapped (RFC 1071 §2(B)).
    total += ((end - checksumStart) & 1) === 0 ? rest : ((rest & 0xff) << 8) | (rest >>> 8)
  }
  let check = ~fold(total) & 0xffff
  // UDP says 0 when there is no checksum, so a sum of 0 is sent as 0xffff (RFC 768); for TCP both mean the same.
  if (check === 0) check = 0xffff
  write16(bytes, checksumStart + packet.checksumOffset, check)
  packet.checksum = Checksum.NONE
}

/**
 * Copies the packet, body included, with its checksum completed in the copy; the packet stays as it is. For whoever
 * shows what will be on the wire.
 */
export function copyCompleted(packet: Packet, target: Uint8Array, at: number): void {
  packet.copyTo(target, at)
  if (packet.checksum !== Checksum.PARTIAL) return
  const start = at + packet.checksumStart - packet.start
  const field = start + packet.checksumOffset
  if (field + 2 > at + packet.length) return // it lies behind the end: such a packet is dropped later
  const check = checksum(target, start, at + packet.length)
  write16(target, field, check === 0 ? 0xffff : check)
}
