/**
 * What `skb_checksum_help` is to Linux: a packet whose checksum was left to the device, on a device that does
 * not do it. The field holds the folded pseudo-header sum, so the sum over everything from `checksumStart`
 * is the whole of it.
 */
import { Checksum, type Packet } from '../../packet/packet.ts'
import { fold, sum } from '../../wire/checksum.ts'

/** Completes a `Checksum.PARTIAL` packet in place. */
export function completeChecksum(packet: Packet): void {
  const { bytes, checksumStart, end, body } = packet
  let total = fold(sum(bytes, checksumStart, end))
  if (body !== null) {
    const rest = fold(sum(body, 0, body.length))
    // A body that begins at an odd distance has its bytes in the other halves of the words (RFC 1071 §2(B)).
    const odd = ((end - checksumStart) & 1) === 1
    total = fold(total + (odd ? ((rest & 0xff) << 8) | (rest >>> 8) : rest))
  }
  // 0 and 0xffff are the same number in one's complement, but 0 says "no checksum" in UDP (RFC 768).
  const check = ~total & 0xffff || 0xffff
  const field = checksumStart + packet.checksumOffset
  bytes[field] = check >>> 8
  bytes[field + 1] = check & 0xff
  packet.checksum = Checksum.NONE
}
