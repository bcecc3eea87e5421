/**
 * A router in front of a narrow link lowers the MSS that ends of connections announce through it, so that what they
 * send fits without their having to learn it from ICMP, which many never hear (RFC 2923 §2.1, RFC 4459 §3.2). Only the
 * MSS option of SYN and SYN-ACK is touched, never raised and never added, and the checksum follows it: what nftables'
 * `tcp option maxseg size set` does.
 */
import { Checksum, type Packet } from '../packet/packet.ts'
import { updateChecksum16 } from '../wire/checksum.ts'
import { IPV4_FLAGS_FRAGMENT, IPV4_MIN_HEADER, IPV4_PROTOCOL, IpProtocol } from '../wire/ipv4.ts'
import { TCP_CHECKSUM, TCP_DATA_OFFSET, TCP_FLAGS, TCP_MIN_HEADER, TcpFlag, TcpOption } from '../wire/tcp.ts'

/** `mssClamp` of a device: what the MTUs of the way there and back leave. */
export const CLAMP_TO_PATH = -1

/** What a path that leaves no room for headers, or has no MTU, gets (`TCP_MSS_DEFAULT`). */
const DEFAULT_MSS = 536

const HEADERS = IPV4_MIN_HEADER + TCP_MIN_HEADER
const MSS_LENGTH = 4

/** The MSS that an MTU has room for. */
export function mssOfMtu(mtu: number): number {
  return mtu <= HEADERS || mtu > 0xffff ? DEFAULT_MSS : mtu - HEADERS
}

/** Where the TCP header of a SYN begins in the packet; 0: it is none, or nothing that can be read. */
export function synHeader(packet: Packet): number {
  const { bytes, networkHeader, end } = packet
  if (bytes[networkHeader + IPV4_PROTOCOL] !== IpProtocol.TCP) return 0
  const fragment =
    (bytes[networkHeader + IPV4_FLAGS_FRAGMENT]! & 0x1f) | bytes[networkHeader + IPV4_FLAGS_FRAGMENT + 1]!
  if (fragment !== 0) return 0
  const at = networkHeader + ((bytes[networkHeader]! & 0xf) << 2)
  if (at + TCP_MIN_HEADER > end) return 0
  return (bytes[at + TCP_FLAGS]! & TcpFlag.SYN) === 0 ? 0 : at
}

/** Lowers the MSS options of the header at `at` to `most`. @param at as {@link synHeader} gives it */
export function clampMss(packet: Packet, at: number, most: number): void {
  const { bytes } = packet
  const end = Math.min(at + ((bytes[at + TCP_DATA_OFFSET]! >>> 4) << 2), packet.end)
  for (let option = at + TCP_MIN_HEADER; option < end; ) {
    const kind = bytes[option]!
    if (kind === TcpOption.END) return
    if (kind === TcpOption.NOP) {
      option++
      continue
    }
    const length = option + 1 < end ? bytes[option + 1]! : 0
    if (length < 2 || option + length > end) return
    if (kind === TcpOption.MSS && length === MSS_LENGTH) lower(packet, at, option + 2, most)
    option += length
  }
}

function lower({ bytes, checksum }: Packet, at: number, field: number, most: number): void {
  const before = (bytes[field]! << 8) | bytes[field + 1]!
  if (before <= most) return
  bytes[field] = most >>> 8
  bytes[field + 1] = most
  if (checksum === Checksum.PARTIAL) return // the field is summed over later
  // Behind an odd number of bytes it lies across two words: the sum of both is that of one with its bytes swapped.
  const odd = ((field - at) & 1) !== 0
  const sum = (bytes[at + TCP_CHECKSUM]! << 8) | bytes[at + TCP_CHECKSUM + 1]!
  const updated = updateChecksum16(sum, odd ? swapped(before) : before, odd ? swapped(most) : most)
  bytes[at + TCP_CHECKSUM] = updated >>> 8
  bytes[at + TCP_CHECKSUM + 1] = updated
}

function swapped(word: number): number {
  return ((word & 0xff) << 8) | (word >>> 8)
}
