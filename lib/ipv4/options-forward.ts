/**
 * Options of a packet that goes on: forwarded (`ip_forward_options`), or cut into fragments (`ip_options_fragment`).
 */
import { type Ipv4Address, writeIpv4 } from '../address/ipv4-address.ts'
import { IPV4_MIN_HEADER } from '../wire/ipv4-header.ts'
import { IpOption, OPTION_COPIED, OPTION_POINTER, optionLength } from '../wire/ipv4-options.ts'
import { updateHeaderChecksum } from './header.ts'
import type { IpOptions } from './options.ts'
import { advanceSourceRoute } from './source-route.ts'

/**
 * Finishes the options of a packet that is forwarded (`ip_forward_options`): its record route gets `outgoing`, the
 * source address towards the next hop, in place of what compiling recorded, and a source route is advanced. As in
 * Linux a timestamp option keeps the address that was recorded on arrival, unless the packet is source-routed.
 *
 * If the header was changed since it was received, **the header checksum is computed anew here**; call it after the
 * TTL has been decremented.
 */
export function forwardOptions(
  options: IpOptions,
  bytes: Uint8Array,
  headerStart: number,
  outgoing: Ipv4Address,
): void {
  if (options.recordNeedsAddress) {
    const at = headerStart + options.recordRoute
    writeIpv4(bytes, at + bytes[at + OPTION_POINTER]! - 5, outgoing)
    options.changed = true
  }
  if (options.sourceRouteHit) advanceSourceRoute(options, bytes, headerStart, outgoing)
  if (!options.changed) return
  options.changed = false
  updateHeaderChecksum(bytes, headerStart, IPV4_MIN_HEADER + options.length)
}

/**
 * Turns the header of a first fragment into that of those after it (`ip_options_fragment`): options that are not
 * copied become No Operation, so that the header keeps its length. The caller computes the header checksum anew.
 */
export function fragmentOptions(bytes: Uint8Array, headerStart: number, headerLength: number): void {
  const end = headerStart + headerLength
  for (let at = headerStart + IPV4_MIN_HEADER; at < end && bytes[at] !== IpOption.END; ) {
    const length = optionLength(bytes, at, end)
    if (length === 0) return
    if ((bytes[at]! & OPTION_COPIED) === 0) bytes.fill(IpOption.NOP, at, at + length)
    at += length
  }
}
