/**
 * The routes that come and go with an address (`fib_add_ifaddr`, `fib_del_ifaddr`): the address itself and its
 * broadcast addresses in table `local`, its network in `main`; on loopback the whole network is local. Adding is
 * plain. Deleting must spare what another address of the device still accounts for.
 */
import { INADDR_ANY, type Ipv4Address, isZeronet } from '../address/ipv4-address.ts'
import type { Fib } from './fib.ts'
import type { InetAddress } from './inet-address.ts'
import { RouteType, Scope } from './rtnetlink.ts'

/** The primary address of a subnet among those of a device (`inet_ifa_byprefix`). */
export function primaryOf(
  addresses: readonly InetAddress[],
  prefix: Ipv4Address,
  mask: Ipv4Address,
): InetAddress | undefined {
  return addresses.find((other) => !other.secondary && other.mask === mask && other.covers(prefix))
}

/** @param addresses those of the device, the new one among them */
export function addAddressRoutes(fib: Fib, address: InetAddress, addresses: readonly InetAddress[]): void {
  const { device, prefix, mask, local, prefixLength, broadcast } = address
  const primary = address.secondary ? primaryOf(addresses, prefix, mask) : address
  if (primary === undefined) return
  change(fib, true, RouteType.LOCAL, local, 32, primary)
  if (!device.up) return
  if (broadcast !== INADDR_ANY && broadcast !== -1) {
    change(fib, true, RouteType.BROADCAST, broadcast, 32, primary)
  }
  if (isZeronet(prefix) || address.secondary || isHostRoute(address)) return
  if (!address.noprefixroute) {
    change(fib, true, prefixType(address), prefix, prefixLength, primary, address.metric)
  }
  if (prefixLength < 31) change(fib, true, RouteType.BROADCAST, prefix | ~mask, 32, primary)
}

/**
 * @param addresses those of the device as they are now: without the deleted one, save on promotion
 * @param promoted the primary that is going: addresses of its subnet count as gone too, their routes are
 * renewed with the new primary as source
 * @param gone the device itself is going, so nothing is left to account for anything
 */
export function removeAddressRoutes(
  fib: Fib,
  address: InetAddress,
  addresses: readonly InetAddress[],
  promoted: InetAddress | null,
  gone: boolean,
): void {
  const { prefix, mask, prefixLength, local, broadcast } = address
  let primary: InetAddress | undefined = address
  let subnet = false
  if (address.secondary) {
    primary = promoted ?? primaryOf(addresses, prefix, mask)
    if (primary === undefined) return
  } else if (!isZeronet(prefix) && !isHostRoute(address)) {
    if (!address.noprefixroute) change(fib, false, prefixType(address), prefix, prefixLength, primary)
    subnet = true
  }
  const kept = gone ? NOTHING_KEPT : keptBy(address, primary, addresses, promoted)
  const last = address.address | ~mask
  if (!kept.broadcast) change(fib, false, RouteType.BROADCAST, broadcast, 32, primary)
  if (subnet && prefixLength < 31) {
    if (!kept.last) change(fib, false, RouteType.BROADCAST, last, 32, primary)
    if (!kept.first) change(fib, false, RouteType.BROADCAST, prefix, 32, primary)
  }
  if (kept.local) return
  change(fib, false, RouteType.LOCAL, local, 32, primary)
  // Only when no other device has the same address do the routes go that use it as source.
  const leaving = gone || !addresses.includes(address)
  if (leaving && fib.addressType(local) !== RouteType.LOCAL) fib.addressGone(local)
}

/** The prefix route with the new metric, then without the old one: there is no moment without. */
export function changePrefixMetric(fib: Fib, address: InetAddress, metric: number): void {
  const { prefix, prefixLength, device } = address
  const none = address.secondary || address.noprefixroute || isZeronet(prefix) || isHostRoute(address)
  if (!device.up || none) return
  change(fib, true, prefixType(address), prefix, prefixLength, address, metric)
  change(fib, false, prefixType(address), prefix, prefixLength, address, address.metric)
}

/** Which routes of an address other addresses of the device have reason to keep. */
interface Kept {
  local: boolean
  broadcast: boolean
  first: boolean
  last: boolean
}

const NOTHING_KEPT: Kept = { local: false, broadcast: false, first: false, last: false }

function keptBy(
  address: InetAddress,
  primary: InetAddress,
  addresses: readonly InetAddress[],
  promoted: InetAddress | null,
): Kept {
  const kept: Kept = { ...NOTHING_KEPT }
  const first = address.prefix
  const last = address.address | ~address.mask
  let sameSource = false
  let otherPrimary: InetAddress | undefined
  for (const other of addresses) {
    if (other === address) continue
    if (promoted !== null && sameSubnet(other, promoted)) continue
    // Only routes with the same source are the same routes: that of the primary whose subnet it is.
    if (other.secondary) {
      if (sameSubnet(other, primary)) otherPrimary = primary
      else {
        if (!sameSource) continue
        if (otherPrimary === undefined || !sameSubnet(other, otherPrimary)) {
          otherPrimary = primaryOf(addresses, other.address, other.mask)
        }
        if (otherPrimary === undefined || otherPrimary.local !== primary.local) continue
      }
    } else {
      if (other.local !== primary.local) continue
      otherPrimary = other
      if (primary !== other) sameSource = true
    }
    if (other.local === address.local) kept.local = true
    if (other.broadcast === address.broadcast) kept.broadcast = true
    if (other.broadcast === last) kept.last = true
    if (other.broadcast === first) kept.first = true
    if (otherPrimary === other && other.prefixLength < 31 && !isZeronet(other.prefix)) {
      const otherLast = other.address | ~other.mask
      const ends = (wanted: Ipv4Address): boolean => wanted === otherLast || wanted === other.prefix
      if (ends(address.broadcast)) kept.broadcast = true
      if (ends(last)) kept.last = true
      if (ends(first)) kept.first = true
    }
  }
  return kept
}

function sameSubnet(address: InetAddress, primary: InetAddress): boolean {
  return address.mask === primary.mask && primary.covers(address.address)
}

/** A /32 whose network is itself: the route to the address says all. */
function isHostRoute(address: InetAddress): boolean {
  return address.prefix === address.local && address.prefixLength === 32
}

function prefixType(address: InetAddress): number {
  return address.device.isLoopback ? RouteType.LOCAL : RouteType.UNICAST
}

function change(
  fib: Fib,
  add: boolean,
  type: number,
  prefix: Ipv4Address,
  prefixLength: number,
  primary: InetAddress,
  priority = 0,
): void {
  fib.addressRoute(add, {
    type,
    prefix,
    prefixLength,
    priority,
    prefsrc: primary.local,
    device: primary.device,
    scope: type === RouteType.LOCAL ? Scope.HOST : Scope.LINK,
  })
}
