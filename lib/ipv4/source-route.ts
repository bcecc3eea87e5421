/**
 * Source routes (RFC 791 §3.1): the hops that a sender has prescribed, followed and advanced. The stack refuses
 * packets with one (RFC 7126 §4.3, §4.4; see `options-processing.ts`); this is what accepting them takes.
 */
import { type Ipv4Address, readIpv4, writeIpv4 } from '../address/ipv4-address.ts'
import { IPV4_DESTINATION } from '../wire/ipv4-header.ts'
import { OPTION_LENGTH, OPTION_POINTER } from '../wire/ipv4-options.ts'
import type { IpOptions } from './options.ts'

/** Kinds of route that {@link followSourceRoute} tells apart. */
export const SourceRouteHop = { NONE: 0, LOCAL: 1, UNICAST: 2 } as const

/**
 * Follows the source route of a received packet (`ip_options_rcv_srr`), where the device accepts such packets at all
 * (`accept_source_route`). `destination` is the kind of the packet's own route, `routeTo` the kind of route to the
 * next hop on the list, for the same sender and device. Hops that are this host's are passed at once.
 *
 * Returns 0: go on, and if `options.sourceRouteHit`, forward to `options.nextHop` by the route looked up last;
 * -1: drop; any other: drop and answer Parameter Problem with that pointer. Does not mend the header checksum.
 */
export function followSourceRoute(
  options: IpOptions,
  bytes: Uint8Array,
  headerStart: number,
  destination: number,
  routeTo: (nextHop: Ipv4Address) => number,
): number {
  if (destination === SourceRouteHop.UNICAST) return options.strictRoute ? IPV4_DESTINATION : 0
  if (destination !== SourceRouteHop.LOCAL) return -1
  const at = headerStart + options.sourceRoute
  const length = bytes[at + OPTION_LENGTH]!
  for (let pointer = bytes[at + OPTION_POINTER]!; pointer <= length; pointer += 4) {
    if (pointer + 3 > length) return options.sourceRoute + OPTION_POINTER
    const nextHop = readIpv4(bytes, at + pointer - 1)
    const hop = routeTo(nextHop)
    if (hop === SourceRouteHop.NONE) return -1
    options.changed = true
    if (hop === SourceRouteHop.UNICAST) {
      options.sourceRouteHit = true
      options.nextHop = nextHop
      return 0
    }
    writeIpv4(bytes, headerStart + IPV4_DESTINATION, nextHop)
  }
  return 0
}

/**
 * Advances the source route of a packet that is forwarded along it: `outgoing` takes the place of the hop that it goes
 * to, which becomes its destination. The caller mends the header checksum.
 */
export function advanceSourceRoute(
  options: IpOptions,
  bytes: Uint8Array,
  headerStart: number,
  outgoing: Ipv4Address,
): void {
  const at = headerStart + options.sourceRoute
  const length = bytes[at + OPTION_LENGTH]!
  let pointer = bytes[at + OPTION_POINTER]!
  while (pointer + 3 <= length && readIpv4(bytes, at + pointer - 1) !== options.nextHop) pointer += 4
  if (pointer + 3 <= length) {
    writeIpv4(bytes, headerStart + IPV4_DESTINATION, options.nextHop)
    writeIpv4(bytes, at + pointer - 1, outgoing)
    bytes[at + OPTION_POINTER] = pointer + 4
    options.changed = true
  }
  if (options.timestampNeedsAddress) {
    const stamp = headerStart + options.timestamp
    writeIpv4(bytes, stamp + bytes[stamp + OPTION_POINTER]! - 9, outgoing)
    options.changed = true
  }
}
