/**
 * What becomes of a packet that arrived (Linux's `ip_route_input`): for this host, to be forwarded, to be
 * answered with an ICMP error, or a martian that is dropped. A packet that comes back from the loopback device
 * never gets here: it brought its decision along.
 */
import { type Ipv4Address, isLimitedBroadcast, isLoopback, isMulticast } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { findException } from './exceptions.ts'
import { IPV4_MIN_MTU } from './fib.ts'
import type { FibInfo, FibNexthop } from './fib-types.ts'
import type { Flow4 } from './flow.ts'
import { reversePathCheck } from './reverse-path.ts'
import { InputAction, isMtuLocked, mergeRealms, Route } from './route.ts'
import type { Routing } from './routing.ts'
import { NexthopFlag, RouteFlag, RouteType, Scope } from './rtnetlink.ts'

export function routeInput(routing: Routing, flow: Flow4, device: NetDevice): Route | null {
  const { fib, sysctl, groups, result } = routing
  const { daddr, saddr } = flow
  routing.doRedirect = false
  routing.itag = 0
  routing.errno = 0
  flow.iif = device.ifindex
  flow.oif = 0
  flow.scope = Scope.UNIVERSE
  result.reset()

  if (device.mtu < IPV4_MIN_MTU) return drop(routing, DropReason.NOT_SPECIFIED, Errno.EINVAL)
  if (isMulticast(daddr)) {
    if (!groups.isMember(device, daddr)) return drop(routing, DropReason.IP_INVALID_DEST, Errno.EINVAL)
    return routeInputMulticast(routing, flow, device)
  }
  if (isMulticast(saddr) || isLimitedBroadcast(saddr))
    return drop(routing, DropReason.IP_INVALID_SOURCE, Errno.EINVAL)
  if (isLimitedBroadcast(daddr) || (saddr === 0 && daddr === 0))
    return routeInputBroadcast(routing, flow, device)
  // RFC 1122 §3.2.1.3(a): 0.0.0.0 is no source but while a host learns its address; nor is the rest of its net, from
  // the wire, though Linux takes that.
  if (isThisNetwork(saddr)) return drop(routing, DropReason.IP_INVALID_SOURCE, Errno.EINVAL)
  if (isThisNetwork(daddr)) return drop(routing, DropReason.IP_INVALID_DEST, Errno.EINVAL)
  if (isLoopback(daddr) || isLoopback(saddr)) {
    if (!sysctl.conf(device.ifindex).routeLocalnet) return drop(routing, DropReason.IP_LOCALNET, Errno.EINVAL)
  }

  const error = fib.lookup(flow, result)
  const forwarding = sysctl.conf(device.ifindex).forwardingEnabled
  if (error !== 0) return routeUnreachable(routing, forwarding ? -error : Errno.EHOSTUNREACH)

  switch (result.type) {
    case RouteType.BROADCAST:
      if (!sysctl.conf(device.ifindex).bcForwarding) return routeInputBroadcast(routing, flow, device)
      // Whether the host forwards anything else is not asked.
      return routeForward(routing, flow, device)
    case RouteType.LOCAL: {
      const check = reversePathCheck(routing, flow, device, 0)
      if (check < 0) return martianSource(routing, check)
      return routeLocal(routing, RouteType.LOCAL, 0, result.info, result.nexthop)
    }
    default:
  }
  if (!forwarding) return routeUnreachable(routing, Errno.EHOSTUNREACH)
  if (result.type !== RouteType.UNICAST) return drop(routing, DropReason.IP_INVALID_DEST, Errno.EINVAL)
  return routeForward(routing, flow, device)
}

/** 0.0.0.0/8 (RFC 6890 §2.2.2). */
function isThisNetwork(address: Ipv4Address): boolean {
  return address >>> 24 === 0
}

/** 240.0.0.0/4, what was class E. */
function isReserved(address: Ipv4Address): boolean {
  return (address & 0xf0000000) === (0xf0000000 | 0)
}

/** Why the last lookup gave nothing. */
function drop(routing: Routing, reason: number, errno: number): null {
  routing.reason = reason
  routing.errno = errno
  return null
}

function martianSource(routing: Routing, check: number): null {
  if (check === -Errno.EXDEV) return drop(routing, DropReason.IP_RPFILTER, Errno.EXDEV)
  const reason = check === -Errno.EADDRNOTAVAIL ? DropReason.IP_INVALID_SOURCE : DropReason.IP_LOCAL_SOURCE
  return drop(routing, reason, Errno.EINVAL)
}

function routeInputMulticast(routing: Routing, flow: Flow4, device: NetDevice): Route | null {
  const { saddr, daddr } = flow
  if (isMulticast(saddr) || isLimitedBroadcast(saddr))
    return drop(routing, DropReason.IP_INVALID_SOURCE, Errno.EINVAL)
  if (isLoopback(saddr) && !routing.sysctl.conf(device.ifindex).routeLocalnet) {
    return drop(routing, DropReason.IP_LOCALNET, Errno.EINVAL)
  }
  if (isThisNetwork(saddr)) {
    // Who has no address yet speaks to the local groups, or IGMP (RFC 3376 §4.2.13).
    if (saddr !== 0 || ((daddr & 0xffffff00) >>> 0 !== 0xe0000000 && flow.protocol !== 2)) {
      return drop(routing, DropReason.IP_INVALID_SOURCE, Errno.EINVAL)
    }
  } else {
    const check = reversePathCheck(routing, flow, device, 0, 0)
    if (check < 0) return martianSource(routing, check)
  }
  return routeLocal(routing, RouteType.MULTICAST, RouteFlag.MULTICAST, null, null)
}

function routeInputBroadcast(routing: Routing, flow: Flow4, device: NetDevice): Route | null {
  if (flow.saddr !== 0) {
    const check = reversePathCheck(routing, flow, device, 0, 0)
    if (check < 0) return martianSource(routing, check)
  }
  const { result } = routing
  return routeLocal(routing, RouteType.BROADCAST, RouteFlag.BROADCAST, result.info, result.nexthop)
}

function routeLocal(
  routing: Routing,
  type: number,
  extraFlags: number,
  info: FibInfo | null,
  nexthop: FibNexthop | null,
): Route {
  const flags = extraFlags | RouteFlag.LOCAL
  const generation = routing.generation
  const cached = nexthop?.inputRoute ?? null
  if (cached !== null && cached.generation === generation && cached.flags === flags) return cached
  const route = new Route(routing.loopback)
  route.type = type
  route.flags = flags
  route.input = InputAction.LOCAL
  route.isInput = true
  route.info = info
  route.nexthop = nexthop
  route.tableId = routing.result.tableId
  route.generation = generation
  if (nexthop !== null) nexthop.inputRoute = route
  return route
}

function routeUnreachable(routing: Routing, errno: number): Route {
  const kept = routing.unreachable.get(errno)
  if (kept !== undefined) return kept
  const route = new Route(routing.loopback)
  route.type = RouteType.UNREACHABLE
  route.input = InputAction.ERROR
  route.errno = errno
  route.isInput = true
  routing.unreachable.set(errno, route)
  return route
}

function routeForward(routing: Routing, flow: Flow4, device: NetDevice): Route | null {
  const { result, sysctl, addresses } = routing
  // RFC 1812 §5.3.7; Linux forwards these.
  if (isReserved(flow.daddr)) return drop(routing, DropReason.IP_INVALID_DEST, Errno.EINVAL)
  if (isReserved(flow.saddr)) return drop(routing, DropReason.IP_INVALID_SOURCE, Errno.EINVAL)
  routing.selectPath(flow)
  const nexthop = result.nexthop!
  const out = nexthop.device!
  const direct = reversePathCheck(routing, flow, device, out.ifindex)
  if (direct < 0) return martianSource(routing, direct)

  if (out === device && direct > 0 && sysctl.conf(out.ifindex).sendRedirects) {
    const gateway = nexthop.scope === Scope.LINK ? nexthop.gateway : 0
    routing.doRedirect = sysctl.conf(out.ifindex).sharedMedia || addresses.isOnLink(out, flow.saddr, gateway)
  }
  const exception = findException(nexthop, flow.daddr, routing.now)
  const generation = routing.generation
  const cached = exception === null ? nexthop.inputRoute : exception.inputRoute
  // With bc_forwarding on some devices only, a broadcast route may have been used for local delivery before.
  if (cached !== null && cached.generation === generation && cached.input === InputAction.FORWARD)
    return cached
  const route = new Route(out)
  route.type = result.type
  route.input = InputAction.FORWARD
  route.isInput = true
  route.info = result.info
  route.nexthop = nexthop
  route.tableId = result.tableId
  route.tclassid = mergeRealms(mergeRealms(nexthop.tclassid, result.tclassid), routing.itag)
  route.generation = generation
  route.mtuLocked = isMtuLocked(result.info)
  if ((nexthop.flags & NexthopFlag.ONLINK) !== 0 || nexthop.scope === Scope.LINK)
    route.gateway = nexthop.gateway
  if (exception !== null) {
    if (exception.gateway !== 0) route.gateway = exception.gateway
    route.pathMtu = exception.pathMtu
    route.mtuLocked ||= exception.mtuLocked
    route.expires = exception.expires
    exception.inputRoute = route
  } else {
    nexthop.inputRoute = route
  }
  return route
}
