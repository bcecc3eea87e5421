/**
 * What is particular to IPv4 about a super-segment: where its header ends, what the pseudo-header sums to, and
 * the header of each segment. It differs from the super-segment's in total length, identification and checksum;
 * options are on every segment (Linux's `inet_gso_segment`).
 */
import { readIpv4 } from '../address/ipv4-address.ts'
import { read16, write16 } from '../wire/big-endian.ts'
import { pseudoHeaderSum, updateChecksum16 } from '../wire/checksum.ts'
import {
  IPV4_CHECKSUM,
  IPV4_DESTINATION,
  IPV4_FLAGS_FRAGMENT,
  IPV4_ID,
  IPV4_MF,
  IPV4_MIN_HEADER,
  IPV4_OFFSET_MASK,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOTAL_LENGTH,
  IPV4_VERSION_IHL,
} from '../wire/ipv4.ts'
import type { SegmentFamily } from './segment-family.ts'

export const SEGMENT_IPV4: SegmentFamily = {
  headerLength(bytes, start, end, protocol) {
    const length = (bytes[start + IPV4_VERSION_IHL]! & 15) << 2
    if (length < IPV4_MIN_HEADER || start + length > end || bytes[start + IPV4_PROTOCOL] !== protocol)
      return 0
    const fragment = read16(bytes, start + IPV4_FLAGS_FRAGMENT)
    // A fragment has no segments: what follows its header is not the beginning of a stream, or not the end.
    return (fragment & (IPV4_MF | IPV4_OFFSET_MASK)) === 0 ? length : 0
  },

  pseudoHeaderSum(bytes, start, protocol, length) {
    const source = readIpv4(bytes, start + IPV4_SOURCE)
    const destination = readIpv4(bytes, start + IPV4_DESTINATION)
    return pseudoHeaderSum(source, destination, protocol, length)
  },

  writeHeader(bytes, at, length, index) {
    const wholeLength = read16(bytes, at + IPV4_TOTAL_LENGTH)
    const firstId = read16(bytes, at + IPV4_ID)
    const id = (firstId + index) & 0xffff
    const check = updateChecksum16(read16(bytes, at + IPV4_CHECKSUM), wholeLength, length)
    write16(bytes, at + IPV4_TOTAL_LENGTH, length)
    write16(bytes, at + IPV4_ID, id)
    write16(bytes, at + IPV4_CHECKSUM, updateChecksum16(check, firstId, id))
  },
}
