/**
 * Writing an IPv4 header in place, for packets that this host makes or changes. Total length and checksum of what it
 * makes are left to {@link Ipv4Output.sendLocal}, which knows them last.
 */
import { writeIpv4 } from '../address/ipv4-address.ts'
import type { Packet } from '../packet/packet.ts'
import { checksum } from '../wire/checksum.ts'
import {
  IPV4_CHECKSUM,
  IPV4_DESTINATION,
  IPV4_FLAGS_FRAGMENT,
  IPV4_ID,
  IPV4_MIN_HEADER,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOS,
  IPV4_TTL,
} from '../wire/ipv4.ts'

/**
 * Prepends a header with room for `optionsLength` bytes of options (a multiple of 4, left to the caller to fill
 * in) and sets `networkHeader` and `transportHeader`. `flags` is the 16-bit flags-and-offset word.
 */
export function pushIpv4Header(
  packet: Packet,
  source: number,
  destination: number,
  protocol: number,
  tos: number,
  ttl: number,
  id: number,
  flags: number,
  optionsLength = 0,
): void {
  packet.transportHeader = packet.start
  const at = packet.push(IPV4_MIN_HEADER + optionsLength)
  const { bytes } = packet
  packet.networkHeader = at
  bytes[at] = 0x40 | ((IPV4_MIN_HEADER + optionsLength) >>> 2)
  bytes[at + IPV4_TOS] = tos
  bytes[at + IPV4_ID] = id >>> 8
  bytes[at + IPV4_ID + 1] = id
  bytes[at + IPV4_FLAGS_FRAGMENT] = flags >>> 8
  bytes[at + IPV4_FLAGS_FRAGMENT + 1] = flags
  bytes[at + IPV4_TTL] = ttl
  bytes[at + IPV4_PROTOCOL] = protocol
  writeIpv4(bytes, at + IPV4_SOURCE, source)
  writeIpv4(bytes, at + IPV4_DESTINATION, destination)
}

/** Computes the checksum of the header at `header` anew and stores it. */
export function updateHeaderChecksum(bytes: Uint8Array, header: number, headerLength: number): void {
  bytes[header + IPV4_CHECKSUM] = 0
  bytes[header + IPV4_CHECKSUM + 1] = 0
  const check = checksum(bytes, header, header + headerLength)
  bytes[header + IPV4_CHECKSUM] = check >>> 8
  bytes[header + IPV4_CHECKSUM + 1] = check
}
