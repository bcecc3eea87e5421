/**
 * The decision made for the packet before, for the next one of the same flow (Linux's `ip_extract_route_hint`). One
 * entry, so it can be neither filled up nor made slow from outside; it holds only what the tables decide by address,
 * TOS and mark alone, and is worth nothing once they have changed.
 */
import type { NetDevice } from '../device/net-device.ts'
import type { Flow4 } from './flow.ts'
import type { Route } from './route.ts'
import type { Routing } from './routing.ts'
import { RouteType } from './rtnetlink.ts'

export class RouteHint {
  #route: Route | null = null
  #daddr = 0
  #saddr = 0
  #tos = 0
  #mark = 0
  #device: NetDevice | null = null

  /** The decision for a flow with its source filled in, that came in by `device`; `null` if it has to be asked for. */
  find(routing: Routing, flow: Flow4, device: NetDevice | null): Route | null {
    const route = this.#route
    if (
      route === null ||
      flow.daddr !== this.#daddr ||
      flow.saddr !== this.#saddr ||
      flow.tos !== this.#tos ||
      flow.mark !== this.#mark ||
      device !== this.#device ||
      !routing.isValid(route)
    ) {
      return null
    }
    return route
  }

  /** Keeps a decision that was asked for, if it holds for every packet of the flow. */
  keep(routing: Routing, flow: Flow4, device: NetDevice | null, route: Route): void {
    if (!isByAddress(routing, flow, route)) {
      this.#route = null
      return
    }
    this.#route = route
    this.#daddr = flow.daddr
    this.#saddr = flow.saddr
    this.#tos = flow.tos
    this.#mark = flow.mark
    this.#device = device
  }
}

/** Whether a decision just made holds for every packet with those addresses, that TOS and mark. */
export function isByAddress(routing: Routing, flow: Flow4, { type, info }: Route): boolean {
  return (
    (type === RouteType.LOCAL || type === RouteType.UNICAST) &&
    info !== null &&
    info.nexthops.length === 1 && // a group's hop may depend on ports
    flow.saddr !== 0 &&
    !routing.fib.hasCustomRules && // rules may look at anything
    !routing.doRedirect
  )
}
