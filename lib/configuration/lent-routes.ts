/** Routes to single addresses, there for a moment only, so that another route is accepted. */
import { INADDR_ANY, type Ipv4Address } from '../address/ipv4-address.ts'
import { RouteProtocol, RouteTable, RouteType, Scope } from '../route/rtnetlink.ts'
import { type RouteModel, routeIdentity } from './model.ts'

export function hostRoute(
  type: number,
  address: Ipv4Address,
  device: string | null,
  table: number,
  scope: number,
): RouteModel {
  return {
    table,
    type,
    prefix: address,
    prefixLength: 32,
    tos: 0,
    metric: 0,
    protocol: RouteProtocol.BOOT,
    scope,
    prefsrc: INADDR_ANY,
    metrics: [],
    locks: 0,
    nexthopId: 0,
    hops: [{ device, gateway: INADDR_ANY, weight: 1, onlink: false, realms: 0, dead: false }],
    linkdown: false,
  }
}

/** What makes a route's gateways reachable and its source an address of this host, whatever else says otherwise. */
export function lentRoutes(route: RouteModel, loopback: string): RouteModel[] {
  const lent = new Map<string, RouteModel>()
  // Asked first: the route's own table, or for main, as long as there are no rules, local.
  const table = route.table === RouteTable.MAIN ? RouteTable.LOCAL : route.table
  for (const { gateway, device, onlink } of route.hops) {
    if (gateway === INADDR_ANY || device === null) continue
    // The way to a gateway must be nearer than the route: host, if that is of the link.
    const near = route.scope >= Scope.LINK
    const type = near ? RouteType.LOCAL : RouteType.UNICAST
    const scope = near ? Scope.HOST : Scope.LINK
    const way = hostRoute(type, gateway, device, onlink ? RouteTable.LOCAL : table, scope)
    lent.set(routeIdentity(way), way)
  }
  if (route.prefsrc !== INADDR_ANY) {
    const own = hostRoute(RouteType.LOCAL, route.prefsrc, loopback, RouteTable.LOCAL, Scope.HOST)
    lent.set(routeIdentity(own), own)
  }
  return [...lent.values()]
}
