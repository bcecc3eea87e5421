/**
 * Which way a packet of this host leaves (Linux's `ip_route_output_key`): by the tables, or by the device that
 * the sender named; with which source address; and whether it is for this host itself, in which case it goes
 * round the loopback device. A route whose device is loopback counts as local, whatever its destination is:
 * that is why a default route through `lo` delivers every packet to the host that sent it.
 */
import {
  INADDR_LOOPBACK,
  isLimitedBroadcast,
  isLocalMulticast,
  isLoopback,
  isMulticast,
} from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import { findException } from './exceptions.ts'
import { IPV4_MIN_MTU } from './fib.ts'
import type { FibInfo, FibNexthop } from './fib-types.ts'
import type { Flow4 } from './flow.ts'
import { InputAction, isMtuLocked, mergeRealms, Route } from './route.ts'
import type { Routing } from './routing.ts'
import { RouteFlag, RouteType, Scope } from './rtnetlink.ts'

const IGMP = 2

export function routeOutput(routing: Routing, flow: Flow4): Route | null {
  const { fib, addresses, devices, loopback, result } = routing
  const requestedOif = flow.oif
  let device: NetDevice | null = null
  result.reset()
  routing.errno = 0
  flow.iif = loopback.ifindex

  if (flow.saddr !== 0) {
    if (isMulticast(flow.saddr) || isLimitedBroadcast(flow.saddr)) return fail(routing, Errno.EINVAL)
    const owner = addresses.deviceOf(flow.saddr)
    if (flow.oif === 0 && (isMulticast(flow.daddr) || isLimitedBroadcast(flow.daddr))) {
      // No table says where groups and 255.255.255.255 are: the source's device decides.
      if (owner === null) return fail(routing, Errno.ENETUNREACH)
      flow.oif = owner.ifindex
      return makeOutputRoute(routing, flow, owner, owner.ifindex, 0, null, null)
    }
    if (owner === null && !flow.anySource) return fail(routing, Errno.ENETUNREACH)
  }

  if (flow.oif !== 0) {
    device = devices.byIndex(flow.oif) ?? null
    if (device === null) return fail(routing, Errno.ENODEV)
    if (!device.up || device.mtu < IPV4_MIN_MTU) return fail(routing, Errno.ENETUNREACH)
    if (isLocalMulticast(flow.daddr) || isLimitedBroadcast(flow.daddr) || flow.protocol === IGMP) {
      if (flow.saddr === 0) flow.saddr = addresses.selectSource(device, 0, Scope.LINK)
      return makeOutputRoute(routing, flow, device, requestedOif, 0, null, null)
    }
    if (flow.saddr === 0) {
      if (isMulticast(flow.daddr)) flow.saddr = addresses.selectSource(device, 0, flow.scope)
      else if (flow.daddr === 0) flow.saddr = addresses.selectSource(device, 0, Scope.HOST)
    }
  }

  if (flow.daddr === 0) {
    flow.daddr = flow.saddr
    if (flow.daddr === 0) flow.daddr = flow.saddr = INADDR_LOOPBACK
    flow.oif = loopback.ifindex
    result.type = RouteType.LOCAL
    return makeOutputRoute(routing, flow, loopback, requestedOif, RouteFlag.LOCAL, null, null)
  }

  const error = fib.lookup(flow, result)
  if (error !== 0) {
    const { tclassid } = result
    result.reset()
    result.tclassid = tclassid // of the rule that refused
    if (flow.oif === 0 || device === null) return fail(routing, -error)
    // No table knows the destination, but the sender named the device: take it to be on that link.
    if (flow.saddr === 0) flow.saddr = addresses.selectSource(device, 0, Scope.LINK)
    result.type = RouteType.UNICAST
    return makeOutputRoute(routing, flow, device, requestedOif, 0, null, null)
  }

  if (result.type === RouteType.LOCAL) {
    const info = result.info!
    if (flow.saddr === 0) flow.saddr = info.prefsrc !== 0 ? info.prefsrc : flow.daddr
    const holder = result.nexthop?.device ?? loopback
    flow.oif = loopback.ifindex
    return makeOutputRoute(routing, flow, loopback, holder.ifindex, RouteFlag.LOCAL, info, result.nexthop)
  }

  routing.selectPath(flow)
  if (flow.saddr === 0) flow.saddr = fib.sourceOf(result)
  const nexthop = result.nexthop!
  flow.oif = nexthop.device!.ifindex
  return makeOutputRoute(routing, flow, nexthop.device!, requestedOif, 0, result.info, nexthop)
}

function fail(routing: Routing, errno: number): null {
  routing.errno = errno
  return null
}

function makeOutputRoute(
  routing: Routing,
  flow: Flow4,
  device: NetDevice,
  originalOif: number,
  initialFlags: number,
  info: FibInfo | null,
  nexthop: FibNexthop | null,
): Route | null {
  const { result, sysctl, groups } = routing
  if (device.mtu < IPV4_MIN_MTU) return fail(routing, Errno.EINVAL) // no IPv4 on it
  let flags = initialFlags
  let type = result.type
  if (isLoopback(flow.saddr) && !device.isLoopback && !sysctl.conf(device.ifindex).routeLocalnet) {
    return fail(routing, Errno.EINVAL) // 127.0.0.0/8 never goes on a wire (RFC 1122 §3.2.1.3(g))
  }
  let via = nexthop
  let holder = info
  if (isLimitedBroadcast(flow.daddr)) {
    type = RouteType.BROADCAST
    // Whatever route was found: its gateway is not where 255.255.255.255 is.
    via = null
    holder = null
  } else if (isMulticast(flow.daddr)) type = RouteType.MULTICAST
  if (type === RouteType.UNSPEC) type = RouteType.UNICAST

  if (device.isLoopback) flags |= RouteFlag.LOCAL
  if (type === RouteType.BROADCAST) {
    flags |= RouteFlag.BROADCAST | RouteFlag.LOCAL
  } else if (type === RouteType.MULTICAST) {
    flags |= RouteFlag.MULTICAST | RouteFlag.LOCAL
    if (!groups.isMember(device, flow.daddr)) flags &= ~RouteFlag.LOCAL
    // A multicast route names a device, never a gateway; without one the default route's device serves.
    if (result.prefixLength < 4) {
      via = null
      holder = null
    }
  }

  // A local route that has to name another device than it was asked through is made for this packet only.
  const cacheable =
    via !== null && (type !== RouteType.LOCAL || originalOif === 0 || originalOif === via.device?.ifindex)
  const exception = findException(via, flow.daddr, routing.now)
  const generation = routing.generation
  if (cacheable) {
    const cached = exception === null ? via!.outputRoute : exception.outputRoute
    if (
      cached !== null &&
      cached.generation === generation &&
      cached.flags === flags &&
      cached.device === device
    ) {
      return cached
    }
  }
  const route = new Route(device)
  route.type = type
  route.flags = flags
  route.generation = generation
  route.input = (flags & RouteFlag.LOCAL) !== 0 ? InputAction.LOCAL : InputAction.DISCARD
  route.nexthop = via
  route.info = holder
  route.tableId = result.tableId
  route.tclassid = mergeRealms(via === null ? 0 : via.tclassid, result.tclassid)
  route.mtuLocked = isMtuLocked(holder)
  if (via !== null && via.scope === Scope.LINK) route.gateway = via.gateway
  if (exception !== null) {
    if (exception.gateway !== 0) route.gateway = exception.gateway
    route.pathMtu = exception.pathMtu
    route.mtuLocked ||= exception.mtuLocked
    route.expires = exception.expires
  }
  if (cacheable) {
    if (exception === null) via!.outputRoute = route
    else exception.outputRoute = route
  }
  return route
}
