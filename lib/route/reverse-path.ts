/**
 * Would an answer to this packet leave by the device that it came in by? (`fib_validate_source`.) With
 * `rp_filter` 1 it must (RFC 3704 §2.2, strict), with 2 it must leave by some device (§2.4, loose); without,
 * only a source that is an address of this host is refused. The answer also says whether the sender is a
 * direct neighbour, which is what a redirect needs to know.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import type { FibResult } from './fib-types.ts'
import { Flow4 } from './flow.ts'
import type { Routing } from './routing.ts'
import { RouteType, Scope } from './rtnetlink.ts'

const back = new Flow4()

/**
 * 1: the source is directly reachable through `device`; 0: acceptable; negative errno: `EXDEV` if the
 * reverse-path filter refuses it, `EINVAL` if it claims to be this host, `EADDRNOTAVAIL` if no host can have it (a broadcast address).
 */
export function reversePathCheck(
  routing: Routing,
  flow: Flow4,
  device: NetDevice,
  oif: number,
  destination: Ipv4Address = flow.daddr,
): number {
  const { sysctl, addresses, fib, reverse } = routing
  routing.itag = 0
  const ifindex = device.ifindex
  const rpFilter = sysctl.conf(ifindex).rpFilter
  // With realms about, Linux wants that of the way back, so it looks.
  const plain = rpFilter === 0 && !fib.hasTclassidUsers
  if (plain && (ifindex !== oif || !sysctl.conf(ifindex).sendRedirects)) {
    if (sysctl.conf(ifindex).acceptLocal) return 0
    if (!fib.hasCustomLocalRoutes && !fib.hasCustomRules) {
      return addresses.isOwn(flow.saddr) ? -Errno.EINVAL : 0
    }
  }

  back.reset()
  back.daddr = flow.saddr
  back.saddr = destination
  back.tos = flow.tos
  back.iif = oif !== 0 ? oif : routing.loopback.ifindex
  back.mark = sysctl.conf(ifindex).srcValidMark ? flow.mark : 0
  const lastResort = rpFilter !== 0 ? -Errno.EXDEV : 0
  if (fib.lookup(back, reverse) !== 0) return lastResort
  if (reverse.type !== RouteType.UNICAST) {
    if (reverse.type !== RouteType.LOCAL) return -Errno.EADDRNOTAVAIL
    if (!sysctl.conf(ifindex).acceptLocal) return -Errno.EINVAL
  }
  routing.itag = realmsBack(reverse)
  let uses = reverse.type === RouteType.LOCAL && device === routing.loopback
  const hops = reverse.info!.nexthops
  for (let i = 0; i < hops.length && !uses; i++) uses = hops[i]!.device === device
  if (uses) return reverse.nexthop!.scope >= Scope.HOST ? 1 : 0
  if (!addresses.hasAddresses(device)) return lastResort
  if (rpFilter === 1) return -Errno.EXDEV
  back.oif = ifindex
  if (fib.lookup(back, reverse) === 0 && reverse.type === RouteType.UNICAST) {
    return reverse.nexthop!.scope >= Scope.HOST ? 1 : 0
  }
  return 0
}

/** Where the sender is, as the source's realm of this packet; and that of the rule (`fib_combine_itag`). */
function realmsBack({ nexthop, tclassid }: FibResult): number {
  const own = (nexthop?.tclassid ?? 0) << 16
  return (own === 0 ? tclassid << 16 : own) | (tclassid >>> 16)
}
