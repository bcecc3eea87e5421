/**
 * Cutting a datagram into fragments that fit an MTU (RFC 791 §3.2, Linux's `ip_do_fragment`). A datagram that
 * is a fragment already is cut further: offsets go on from its own, and its last piece keeps its MF. Options
 * without the copied flag stay in the first fragment only. DF goes, unless the datagram was reassembled here
 * from fragments that had it: then the pieces are no larger than those were, and have it again.
 */
import { Errno } from '../errors.ts'
import { IpMib, type Mib } from '../observe/mib.ts'
import { Checksum, HEADROOM, type Packet, type PacketDevice } from '../packet/packet.ts'
import type { PacketPool } from '../packet/packet-pool.ts'
import { DropReason } from '../wire/drop-reason.ts'
import {
  IPV4_DF,
  IPV4_FLAGS_FRAGMENT,
  IPV4_MF,
  IPV4_MIN_HEADER,
  IPV4_OFFSET_MASK,
  IPV4_TOTAL_LENGTH,
  IPV4_VERSION_IHL,
} from '../wire/ipv4.ts'
import { updateHeaderChecksum } from './header.ts'
import { fragmentOptions } from './options-forward.ts'

/** Where the pieces go, in order; each is taken over. */
export interface FragmentSink {
  fragment(packet: Packet): void
}

/** What cutting needs of the stack. */
export interface FragmentContext {
  readonly pool: PacketPool
  readonly mib: Mib
  /** Counts a packet that dies, and frees it. */
  drop(packet: Packet, reason: number, device: PacketDevice | null): void
}

/**
 * Sends `packet` to `sink` in pieces of at most `mtu` bytes, and of at most `packet.fragMaxSize` if that is set;
 * it is taken over. Its transport checksum must be complete, since no later hop sees the whole. Whether it may
 * be fragmented at all (DF) is the caller's question. 0, or a positive errno: `EMSGSIZE` if not even 8 bytes fit
 * behind the header, `ENOBUFS` if the pool ran out, when the pieces made so far are on their way.
 */
export function fragmentPacket(
  packet: Packet,
  mtu: number,
  context: FragmentContext,
  sink: FragmentSink,
): number {
  const { pool, mib } = context
  const header = packet.networkHeader
  const headerLength = (packet.bytes[header + IPV4_VERSION_IHL]! & 15) * 4
  const space = (packet.fragMaxSize === 0 ? mtu : Math.min(mtu, packet.fragMaxSize)) - headerLength
  const payload = packet.length - (header - packet.start) - headerLength
  if (space < 8 && payload > space) return fail(packet, context, DropReason.PKT_TOO_BIG, Errno.EMSGSIZE)

  const word =
    (packet.bytes[header + IPV4_FLAGS_FRAGMENT]! << 8) | packet.bytes[header + IPV4_FLAGS_FRAGMENT + 1]!
  const firstUnit = word & IPV4_OFFSET_MASK
  const keepDf = packet.fragMaxSize === 0 ? 0 : word & IPV4_DF
  let done = 0
  do {
    const left = payload - done
    const size = left <= space ? left : space & ~7
    const piece = pool.allocate(headerLength + size, HEADROOM)
    if (piece === null) return fail(packet, context, DropReason.NOMEM, Errno.ENOBUFS)
    const at = piece.put(headerLength + size)
    const bytes = piece.bytes
    bytes.set(packet.bytes.subarray(header, header + headerLength), at)
    packet.copyRange(header + headerLength - packet.start + done, size, bytes, at + headerLength)
    // What is cut here for the second time had its options seen to the first time.
    if (headerLength > IPV4_MIN_HEADER && firstUnit === 0 && done > 0) {
      fragmentOptions(bytes, at, headerLength)
    }
    const more = size < left ? IPV4_MF : word & IPV4_MF
    const fragment = ((firstUnit + (done >> 3)) & IPV4_OFFSET_MASK) | more | keepDf
    bytes[at + IPV4_FLAGS_FRAGMENT] = fragment >> 8
    bytes[at + IPV4_FLAGS_FRAGMENT + 1] = fragment
    bytes[at + IPV4_TOTAL_LENGTH] = (headerLength + size) >> 8
    bytes[at + IPV4_TOTAL_LENGTH + 1] = headerLength + size
    updateHeaderChecksum(bytes, at, headerLength)
    piece.networkHeader = at
    piece.transportHeader = at + headerLength
    piece.checksum = Checksum.NONE
    piece.device = packet.device
    piece.iif = packet.iif
    piece.type = packet.type
    piece.destination = packet.destination
    piece.mark = packet.mark
    piece.hash = packet.hash
    piece.doRedirect = packet.doRedirect
    sink.fragment(piece)
    mib.ip[IpMib.FragCreates]!++
    done += size
  } while (done < payload)
  mib.ip[IpMib.FragOKs]!++
  packet.free()
  return 0
}

function fail(packet: Packet, context: FragmentContext, reason: number, errno: number): number {
  context.mib.ip[IpMib.FragFails]!++
  context.drop(packet, reason, packet.device)
  return errno
}
