/** Makes an echo reply of an echo request, where it lies (RFC 792; RFC 1122 §3.2.2.6). */
import { checksum, updateChecksum16 } from '../wire/checksum.ts'
import { ICMP_CHECKSUM, ICMP_CODE, ICMP_TYPE, IcmpType } from '../wire/icmpv4.ts'

/** Rewrites type and checksum of the request in `bytes[at…end)`; its code and data stay as they are. */
export function echoReplyInPlace(bytes: Uint8Array, at: number, end: number): void {
  // The type shares its 16-bit word with the code, which the reply keeps (RFC 1624).
  const code = bytes[at + ICMP_CODE]!
  const check = (bytes[at + ICMP_CHECKSUM]! << 8) | bytes[at + ICMP_CHECKSUM + 1]!
  let updated = updateChecksum16(check, (IcmpType.ECHO << 8) | code, (IcmpType.ECHO_REPLY << 8) | code)
  bytes[at + ICMP_TYPE] = IcmpType.ECHO_REPLY
  if (updated === 0) {
    // Either zero: if the reply is nothing but zeros its checksum is 0xffff, and only summing tells.
    bytes[at + ICMP_CHECKSUM] = bytes[at + ICMP_CHECKSUM + 1] = 0
    updated = checksum(bytes, at, end)
  }
  bytes[at + ICMP_CHECKSUM] = updated >>> 8
  bytes[at + ICMP_CHECKSUM + 1] = updated
}
