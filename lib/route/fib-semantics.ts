/**
 * What a route means (Linux's `fib_semantics.c`): whether its next hops can be reached, of what scope they are,
 * which routes share one {@link FibInfo}, and what becomes of them when a device or an address goes. A next hop
 * must be nearer than the destination: its scope is larger, until it is a destination on the link.
 */
import { INADDR_ANY, type Ipv4Address } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import { AliasKinds } from './fib-kinds.ts'
import { metricsOf, sameMetrics } from './fib-metrics.ts'
import type { CompleteRoute, HopRequest } from './fib-request.ts'
import { FibInfo, FibNexthop, type NexthopConfig, ROUTE_TYPES } from './fib-types.ts'
import { NexthopCheck, type NexthopQuestions } from './nexthop-check.ts'
import type { NexthopObject } from './nexthop-object.ts'
import { NexthopObjects } from './nexthop-objects.ts'
import { NetlinkError, NexthopFlag, RouteTable, RouteType, Scope } from './rtnetlink.ts'

/** What {@link FibInfos} asks of the tables it belongs to. */
export interface FibQuestions extends NexthopQuestions {
  /** Next hops over it count as dead while it has no carrier. */
  ignoresLinkdown(device: NetDevice): boolean
  /** The source that goes with a next hop, if the route names none. */
  selectSource(device: NetDevice | null, gateway: Ipv4Address, scope: number): Ipv4Address
  readonly sourceGeneration: number
  readonly loopback: NetDevice | null
}

const invalid = (extack?: string): NetlinkError => new NetlinkError(Errno.EINVAL, extack, 'route')

/** Every {@link FibInfo} of a stack, found by content, by device and by source. */
export class FibInfos {
  readonly #questions: FibQuestions
  readonly #byContent = new Map<number, FibInfo[]>()
  readonly #byDevice = new Map<NetDevice, Set<FibInfo>>()
  readonly #bySource = new Map<Ipv4Address, Set<FibInfo>>()
  readonly #check: NexthopCheck
  /** Nexthop objects, which routes may use in place of hops of their own. */
  readonly objects: NexthopObjects
  /** What tables hold for routes with these infos. */
  readonly kinds = new AliasKinds()
  /** Next hops with a realm: source validation must look routes up as long as there are any. */
  tclassidUsers = 0

  /** @param changed after a nexthop object has changed; with `true` if routes are dead */
  constructor(questions: FibQuestions, changed: (dead: boolean) => void) {
    this.#questions = questions
    this.#check = new NexthopCheck(questions)
    this.objects = new NexthopObjects(this.#check, questions, changed)
  }

  /**
   * The info for a route: an existing one that is alike, or a new one; `references` counts the caller.
   * @throws NetlinkError with the errno and sentence of Linux's `fib_create_info`
   */
  obtain(config: CompleteRoute): FibInfo {
    const properties = ROUTE_TYPES[config.type]
    if (properties === undefined) throw invalid('Invalid route type')
    if (properties.scope > config.scope) throw invalid('Invalid scope')
    const object = config.nexthopId === 0 ? null : this.objects.need(config.nexthopId)
    const there = object === null ? undefined : object.infoFor(config)
    if (there !== undefined) {
      there.references++
      return there
    }
    const info = new FibInfo()
    info.metrics = metricsOf(config.metrics)
    info.protocol = config.protocol
    info.scope = config.scope
    info.priority = config.priority
    info.prefsrc = config.prefsrc
    info.type = config.type
    info.tableId = config.table
    if (object !== null) {
      info.nexthop = object
      info.nexthops = object.hops
      info.flags = config.onlink ? NexthopFlag.ONLINK : 0
    } else {
      if (config.nexthops !== undefined) checkAgreement(config, config.nexthops)
      info.nexthops = (config.nexthops ?? [config]).map(nexthopOf)
    }
    if (properties.error !== 0) {
      if (config.gateway !== 0 || config.device !== undefined || config.nexthops !== undefined) {
        throw invalid('Gateway, device and multipath can not be specified for this route type')
      }
    } else {
      this.#checkRoute(config, info)
    }
    return this.#share(info)
  }

  /** A route that pointed here is gone. */
  release(info: FibInfo): void {
    if (--info.references > 0) return
    info.dead = true
    if (info.prefsrc !== INADDR_ANY) discard(this.#bySource, info.prefsrc, info)
    if (info.nexthop !== null) {
      const { infos } = info.nexthop
      infos.splice(infos.indexOf(info), 1)
      return
    }
    const key = contentKey(info)
    const alike = this.#byContent.get(key)
    if (alike !== undefined) {
      const index = alike.indexOf(info)
      if (index >= 0) alike.splice(index, 1)
      if (alike.length === 0) this.#byContent.delete(key)
    }
    for (const hop of info.nexthops) {
      if (hop.tclassid !== 0) this.tclassidUsers--
      if (hop.device !== null) discard(this.#byDevice, hop.device, info)
    }
  }

  /** Infos with a hop over the device. */
  ofDevice(device: NetDevice): Iterable<FibInfo> {
    return this.#byDevice.get(device) ?? []
  }

  /** An address is gone: marks the routes of table main that have it as source. True if there were any. */
  addressGone(address: Ipv4Address): boolean {
    let any = false
    for (const info of this.#bySource.get(address) ?? []) {
      if (info.tableId !== RouteTable.MAIN) continue
      info.flags |= NexthopFlag.DEAD
      any = true
    }
    return any
  }

  /**
   * Hops over the device die (`fib_sync_down_dev`). True if a route lost its last hop, so that the tables must
   * be flushed.
   * @param even scope-host hops, that is local routes: the last address or the device itself is gone
   * @param gone the device itself: takes the whole group with it
   */
  deviceDown(device: NetDevice, even: boolean, gone: boolean): boolean {
    return this.#mark(device, NexthopFlag.DEAD | NexthopFlag.LINKDOWN, even, gone)
  }

  /** Hops over the device have lost their carrier. */
  carrierLost(device: NetDevice): void {
    this.#mark(device, NexthopFlag.LINKDOWN, false, false)
  }

  #mark(device: NetDevice, flags: number, even: boolean, gone: boolean): boolean {
    let any = false
    for (const info of this.ofDevice(device)) {
      let down = 0
      for (const hop of info.nexthops) {
        if ((hop.flags & NexthopFlag.DEAD) !== 0) down++
        else if (hop.device === device && (even || hop.scope !== Scope.NOWHERE)) {
          hop.flags |= flags
          down++
        }
        if (gone && hop.device === device) {
          down = info.nexthops.length
          break
        }
      }
      if (down === info.nexthops.length) {
        info.flags |= flags
        any = true
      }
      this.rebalance(info)
    }
    return any
  }

  /** Hops over the device live again: `flags` (`RTNH_F_*`) go from them (`fib_sync_up`). */
  deviceUp(device: NetDevice, flags: number): void {
    if (!device.up) return
    if ((flags & NexthopFlag.DEAD) !== 0 && device.carrier) flags |= NexthopFlag.LINKDOWN
    for (const info of this.ofDevice(device)) {
      let alive = 0
      for (const hop of info.nexthops) {
        if ((hop.flags & flags) === 0) alive++
        else if (hop.device === device) {
          hop.flags &= ~flags
          alive++
        }
      }
      if (alive > 0) info.flags &= ~flags
      this.rebalance(info)
    }
  }

  /** Deals the 31-bit hash space out to the living hops by weight (hash-threshold, RFC 2992 §2). */
  rebalance(info: FibInfo): void {
    if (info.nexthops.length < 2) return
    let total = 0
    for (const hop of info.nexthops) if (this.#takesTraffic(hop)) total += hop.weight
    let weight = 0
    for (const hop of info.nexthops) {
      if (!this.#takesTraffic(hop)) {
        hop.upperBound = -1
        continue
      }
      weight += hop.weight
      hop.upperBound = Math.floor((weight * 0x80000000 + Math.floor(total / 2)) / total) - 1
    }
  }

  /** After a change of `ignore_routes_with_linkdown`. */
  rebalanceAll(): void {
    for (const infos of this.#byDevice.values()) for (const info of infos) this.rebalance(info)
  }

  #takesTraffic(hop: FibNexthop): boolean {
    if ((hop.flags & NexthopFlag.DEAD) !== 0) return false
    if ((hop.flags & NexthopFlag.LINKDOWN) === 0 || hop.device === null) return true
    return !this.#questions.ignoresLinkdown(hop.device)
  }

  #checkRoute(config: CompleteRoute, info: FibInfo): void {
    if (config.type === RouteType.UNSPEC) throw invalid('Invalid route type')
    if (config.scope > Scope.HOST) throw invalid('Invalid scope')
    if (info.nexthop !== null) info.nexthop.checkScope(config.scope)
    else this.#checkHops(config, info)
    if (info.prefsrc !== INADDR_ANY && !this.#validSource(config)) throw invalid('Invalid prefsrc address')
    if (info.nexthop !== null) return
    for (const hop of info.nexthops) {
      hop.source = this.#questions.selectSource(hop.device, hop.gateway, info.scope)
      hop.sourceGeneration = this.#questions.sourceGeneration
    }
    this.rebalance(info)
  }

  #checkHops(config: CompleteRoute, info: FibInfo): void {
    if (config.scope === Scope.HOST) {
      const hop = info.nexthops[0]!
      if (info.nexthops.length !== 1) throw invalid('Route with host scope can not have multiple nexthops')
      if (hop.gateway !== INADDR_ANY) throw invalid('Route with host scope can not have a gateway')
      if (hop.device === null) throw new NetlinkError(Errno.ENODEV, undefined, 'route')
      hop.scope = Scope.NOWHERE
      return
    }
    let linkdown = 0
    for (const hop of info.nexthops) {
      this.#check.check(hop, config.scope, config.table)
      if ((hop.flags & NexthopFlag.LINKDOWN) !== 0) linkdown++
    }
    if (linkdown === info.nexthops.length) info.flags |= NexthopFlag.LINKDOWN
  }

  #validSource(config: CompleteRoute): boolean {
    const { prefsrc } = config
    if (config.type === RouteType.LOCAL && config.prefix !== 0 && prefsrc === config.prefix) return true
    const table = config.table === RouteTable.MAIN ? RouteTable.LOCAL : config.table
    if (this.#questions.addressType(prefsrc, null, table) === RouteType.LOCAL) return true
    return this.#questions.addressType(prefsrc, null, RouteTable.LOCAL) === RouteType.LOCAL
  }

  #share(info: FibInfo): FibInfo {
    if (info.nexthop !== null) return this.#shareByObject(info, info.nexthop)
    const key = contentKey(info)
    const alike = this.#byContent.get(key)
    const same = alike?.find((other) => sameInfo(info, other))
    if (same !== undefined) {
      same.references++
      return same
    }
    if (alike === undefined) this.#byContent.set(key, [info])
    else alike.push(info)
    if (info.prefsrc !== INADDR_ANY) collect(this.#bySource, info.prefsrc, info)
    for (const hop of info.nexthops) {
      if (hop.tclassid !== 0) this.tclassidUsers++
      if (hop.device !== null) collect(this.#byDevice, hop.device, info)
    }
    info.references = 1
    return info
  }

  #shareByObject(info: FibInfo, { infos }: NexthopObject): FibInfo {
    const same = infos.find((other) => sameInfo(info, other))
    if (same !== undefined) {
      same.references++
      return same
    }
    infos.unshift(info)
    if (info.prefsrc !== INADDR_ANY) collect(this.#bySource, info.prefsrc, info)
    info.references = 1
    return info
  }
}

function nexthopOf(config: HopRequest): FibNexthop {
  const hop = new FibNexthop()
  hop.device = config.device ?? null
  hop.gateway = config.gateway ?? INADDR_ANY
  hop.flags = config.onlink === true ? NexthopFlag.ONLINK : 0
  hop.weight = config.weight ?? 1
  hop.tclassid = config.tclassid ?? 0
  return hop
}

/** Flags that say how a hop is, not what it was asked to be. */
const STATE_FLAGS = NexthopFlag.DEAD | NexthopFlag.LINKDOWN

function sameInfo(a: FibInfo, b: FibInfo): boolean {
  return (
    a.nexthop === b.nexthop &&
    a.nexthops.length === b.nexthops.length &&
    a.protocol === b.protocol &&
    a.scope === b.scope &&
    a.prefsrc === b.prefsrc &&
    a.priority === b.priority &&
    a.type === b.type &&
    a.tableId === b.tableId &&
    ((a.flags ^ b.flags) & ~STATE_FLAGS) === 0 &&
    sameMetrics(a.metrics, b.metrics) &&
    a.nexthops.every((hop, index) => sameHop(hop, b.nexthops[index]!))
  )
}

function sameHop(a: FibNexthop, b: FibNexthop): boolean {
  return (
    a.device === b.device &&
    a.gateway === b.gateway &&
    a.scope === b.scope &&
    a.weight === b.weight &&
    a.tclassid === b.tclassid &&
    ((a.flags ^ b.flags) & ~STATE_FLAGS) === 0
  )
}

/** What was said of the route as a whole must hold for the first hop of its group (`fib_get_nhs`). */
function checkAgreement(config: CompleteRoute, [first]: readonly NexthopConfig[]): void {
  if (config.device !== undefined && config.device !== first?.device) {
    throw invalid('Nexthop device index does not match RTA_OIF')
  }
  if (config.gateway !== INADDR_ANY && config.gateway !== first?.gateway) {
    throw invalid('Nexthop gateway does not match RTA_GATEWAY or RTA_VIA')
  }
  if (config.tclassid !== 0 && config.tclassid !== (first?.tclassid ?? 0)) {
    throw invalid('Nexthop class id does not match RTA_FLOW')
  }
}

/** A number that alike infos have in common. */
function contentKey(info: FibInfo): number {
  let key = (info.protocol << 8) ^ info.scope ^ (info.type << 16) ^ (info.tableId << 20)
  key = Math.imul(key ^ info.prefsrc, 0x9e3779b1) ^ info.priority
  for (const hop of info.nexthops) {
    key = Math.imul(key ^ hop.gateway ^ (hop.device === null ? 0 : hop.device.ifindex << 4), 0x85ebca6b)
    key ^= key >>> 15
  }
  return key
}

function collect<K>(index: Map<K, Set<FibInfo>>, key: K, info: FibInfo): void {
  const set = index.get(key)
  if (set === undefined) index.set(key, new Set([info]))
  else set.add(info)
}

function discard<K>(index: Map<K, Set<FibInfo>>, key: K, info: FibInfo): void {
  const set = index.get(key)
  if (set === undefined) return
  set.delete(info)
  if (set.size === 0) index.delete(key)
}
