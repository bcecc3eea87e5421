/**
 * Routing decisions for IPv4 packets: the frame that `route-input.ts` and `route-output.ts` share. It joins the
 * tables, the addresses, the sysctls and the devices, and says when decisions made earlier are stale.
 */
import { type Ipv4Address, isMulticast } from '../address/ipv4-address.ts'
import type { DeviceTable, NetDevice } from '../device/net-device.ts'
import type { HalfSipHash } from '../random/siphash.ts'
import type { Sysctl } from '../sysctl/sysctl.ts'
import type { DropReason } from '../wire/drop-reason.ts'
import { obtainException } from './exceptions.ts'
import type { Fib } from './fib.ts'
import { type FibNexthop, FibResult } from './fib-types.ts'
import type { Flow4 } from './flow.ts'
import type { InetAddresses } from './inet-addresses.ts'
import type { MulticastGroups } from './multicast-groups.ts'
import { isMtuLocked, type Route } from './route.ts'
import { routeInput } from './route-input.ts'
import { routeOutput } from './route-output.ts'
import { RouteFlag, Scope } from './rtnetlink.ts'

export interface RoutingParts {
  readonly fib: Fib
  readonly addresses: InetAddresses
  readonly groups: MulticastGroups
  readonly devices: DeviceTable
  readonly sysctl: Sysctl
  readonly hash: HalfSipHash
  /** Stack time in nanoseconds. */
  readonly time: { readonly now: number }
}

/** Asks the tables and remembers the answers. One per stack. */
export class Routing {
  readonly fib: Fib
  readonly addresses: InetAddresses
  readonly groups: MulticastGroups
  readonly devices: DeviceTable
  readonly sysctl: Sysctl
  /** The loopback device: local delivery is routed through it. Set when the stack makes it. */
  loopback!: NetDevice

  /** After a lookup that gave `null`: why, as a positive errno. */
  errno = 0
  /** After an input lookup that gave `null`: the drop reason. */
  reason: DropReason | number = 0
  /** After {@link input}: true if the source is on the link that it came by and out is in: tell it so (redirect). */
  doRedirect = false
  /** Realms of the way back, as the last look at a packet that came in found them (`itag`); 0: none. */
  itag = 0
  /** @internal the last lookup's findings; `explain` and `ip route get` read them */
  readonly result: FibResult = new FibResult()
  /** @internal decisions for what no route leads to, by errno: they hold for any packet */
  readonly unreachable: Map<number, Route> = new Map()
  /** @internal scratch of the reverse-path check */
  readonly reverse: FibResult = new FibResult()
  readonly #hash: HalfSipHash
  readonly #time: { readonly now: number }
  readonly #hashKey = new Int32Array(4)

  constructor(parts: RoutingParts) {
    this.fib = parts.fib
    this.addresses = parts.addresses
    this.groups = parts.groups
    this.devices = parts.devices
    this.sysctl = parts.sysctl
    this.#hash = parts.hash
    this.#time = parts.time
  }

  /** Stack time in nanoseconds. */
  get now(): number {
    return this.#time.now
  }

  /** Changes whenever a decision made earlier may be wrong (`rt_genid`). */
  get generation(): number {
    return this.fib.generation
  }

  /** Makes every earlier decision stale: a sysctl changed, a device changed its MTU. */
  flush(): void {
    this.fib.generation++
  }

  /** Whether a decision that somebody kept may still be used. */
  isValid(route: Route): boolean {
    return route.generation === this.generation && (route.expires === 0 || this.now < route.expires)
  }

  /**
   * The way out for a packet of this host (`ip_route_output_key`). Fills in `flow.saddr` and `flow.oif`. `null`
   * if there is none: `errno` says why. The decision is shared; don't change it.
   */
  output(flow: Flow4): Route | null {
    return routeOutput(this, flow)
  }

  /**
   * What to do with a packet that came in by `device` (`ip_route_input`). `flow` holds its addresses, TOS, mark
   * and ports. `null`: drop it for `reason`.
   */
  input(flow: Flow4, device: NetDevice): Route | null {
    return routeInput(this, flow, device)
  }

  /**
   * The address to answer from (`fib_compute_spec_dst`): where the packet was sent to, or, where that was a
   * broadcast or multicast address, the one this host would use towards the sender.
   */
  specificDestination(route: Route, destination: Ipv4Address, flow: Flow4, arrival: NetDevice): Ipv4Address {
    const { LOCAL, BROADCAST, MULTICAST } = RouteFlag
    if ((route.flags & (LOCAL | BROADCAST | MULTICAST)) === LOCAL) return destination
    const source = flow.daddr // the flow asks the way back: its destination is the sender
    if (source !== 0) {
      const result = this.result
      flow.iif = this.loopback.ifindex
      flow.oif = 0
      flow.saddr = 0
      if (this.fib.lookup(flow, result) === 0) return this.fib.sourceOf(result)
    }
    return this.addresses.selectSource(arrival, source, source === 0 ? Scope.LINK : Scope.UNIVERSE)
  }

  /** Takes a path MTU that an ICMP error told of (RFC 1191 §6.3), within the bounds of `min_pmtu`. */
  learnPathMtu(flow: Flow4, mtu: number): boolean {
    if (isMulticast(flow.daddr)) return false
    const route = this.output(flow)
    const nexthop = route === null ? null : route.nexthop
    if (route === null || nexthop === null || isMtuLocked(route.info)) return false
    const { min_pmtu, mtu_expires } = this.sysctl.route
    const known = route.mtu
    if (known < mtu) return false // never raised from outside (RFC 1191 §3)
    const exception = obtainException(nexthop, flow.daddr)
    exception.mtuLocked = mtu < min_pmtu
    exception.pathMtu = mtu < min_pmtu ? Math.min(known, min_pmtu) : mtu
    exception.expires = this.now + mtu_expires * 1e9
    forget(nexthop)
    return true
  }

  /** Takes a better first hop for one destination (RFC 1122 §3.2.2.2). The caller has checked who said so. */
  learnRedirect(nexthop: FibNexthop, destination: Ipv4Address, gateway: Ipv4Address): void {
    const exception = obtainException(nexthop, destination)
    exception.gateway = gateway
    exception.expires = this.now + this.sysctl.route.gc_timeout * 1e9
    forget(nexthop)
  }

  /** Picks the hop of a group for this flow, if the route is one. */
  selectPath(flow: Flow4): void {
    const { result } = this
    if (result.info!.nexthops.length < 2 || flow.oif !== 0) return
    this.fib.selectPath(flow, result, this.#multipathHash(flow))
  }

  /** 31 bits: over addresses, with `fib_multipath_hash_policy` 1 over protocol and ports too. */
  #multipathHash(flow: Flow4): number {
    const key = this.#hashKey
    key[0] = flow.saddr
    key[1] = flow.daddr
    if (this.sysctl.ipv4.fib_multipath_hash_policy !== 1) return this.#hash.words(key, 0, 2) >>> 1
    key[2] = (flow.sport << 16) | flow.dport
    key[3] = flow.protocol
    return this.#hash.words(key, 0, 4) >>> 1
  }
}

/** Whoever keeps a decision of this hop has to ask again: there may be an exception for its destination now. */
function forget(nexthop: FibNexthop): void {
  if (nexthop.inputRoute !== null) nexthop.inputRoute.generation = -1
  if (nexthop.outputRoute !== null) nexthop.outputRoute.generation = -1
  nexthop.inputRoute = null
  nexthop.outputRoute = null
}
