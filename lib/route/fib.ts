/**
 * The forwarding information base of one stack: its tables, its rules, and the lookup through both (Linux's
 * `fib_frontend.c`). It knows nothing of a host's addresses but the routes that they left in table `local`;
 * {@link InetAddresses} puts them there and tells it which source goes with a next hop.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import { isLimitedBroadcast, isMulticast, isZeronet } from '../address/ipv4-address.ts'
import type { DeviceTable, NetDevice } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import type { Sysctl } from '../sysctl/sysctl.ts'
import { type CompleteRoute, completeDeletion, completeRoute } from './fib-request.ts'
import { type FibRule, FibRules, type RuleConfig } from './fib-rules.ts'
import { FibInfos, type FibQuestions } from './fib-semantics.ts'
import { checkPrefix, FibTable } from './fib-table.ts'
import { FibTrie } from './fib-trie.ts'
import {
  type FibAlias,
  type FibNexthop,
  FibResult,
  type RouteAddMode,
  type RouteConfig,
} from './fib-types.ts'
import { Flow4 } from './flow.ts'
import type { NexthopObjects } from './nexthop-objects.ts'
import { NetlinkError, NexthopFlag, RouteProtocol, RouteTable, RouteType, RuleAction } from './rtnetlink.ts'

/** Chooses the source for a next hop (`inet_select_addr`). */
export type SourceSelector = (device: NetDevice | null, toward: Ipv4Address, scope: number) => Ipv4Address

/** Smallest MTU with which a device speaks IPv4 (RFC 791 §3.2). */
export const IPV4_MIN_MTU = 68

export interface FibOptions {
  devices: DeviceTable
  sysctl: Sysctl
}

export class Fib {
  /**
   * Grows with every change that could change an answer: routes, rules, addresses, devices, settings. Whoever
   * keeps a decision keeps this number with it and asks again when it differs.
   */
  generation = 0
  /** A rule was added or removed once: `local` and `main` are apart from then on, and rules are walked. */
  hasCustomRules = false
  /** A `local` route was added by hand: addresses alone no longer tell what is local. */
  hasCustomLocalRoutes = false
  readonly rules: FibRules
  /** Set by {@link InetAddresses}. */
  selectSource: SourceSelector = () => 0
  /** Generation of the addresses, for {@link FibNexthop.sourceGeneration}. */
  sourceGeneration = 0
  readonly #devices: DeviceTable
  readonly #sysctl: Sysctl
  readonly #infos: FibInfos
  /** By `id mod 256`; in a bucket the newest first, which is the order of a dump of all tables. */
  readonly #buckets: FibTable[][] = Array.from({ length: 256 }, () => [])
  #main: FibTable | null = null
  #default: FibTable | null = null
  readonly #flow = new Flow4()
  readonly #result = new FibResult()

  constructor({ devices, sysctl }: FibOptions) {
    this.#devices = devices
    this.#sysctl = sysctl
    this.rules = new FibRules(devices, () => this.#ruleChanged())
    this.#infos = new FibInfos(this.#questions(), (dead) => {
      if (dead) this.flushDead()
      this.generation++
    })
    sysctl.onChange((name) => {
      this.generation++
      if (name.endsWith('ignore_routes_with_linkdown')) this.#infos.rebalanceAll()
    })
  }

  /**
   * Where does a packet with these properties go? 0 and `result` filled in, or a negative errno: ENETUNREACH no
   * route, EHOSTUNREACH unreachable, EACCES prohibit, EINVAL blackhole. Allocates nothing.
   * @param anyCarrier hops count even where `ignore_routes_with_linkdown` says otherwise
   */
  lookup(flow: Flow4, result: FibResult, anyCarrier = false): number {
    if (this.hasCustomRules) return this.#walkRules(flow, result, anyCarrier)
    let error: number = -Errno.EAGAIN
    if (this.#main !== null) error = this.#main.lookup(flow, result, anyCarrier)
    if (error === -Errno.EAGAIN && this.#default !== null)
      error = this.#default.lookup(flow, result, anyCarrier)
    return error === -Errno.EAGAIN ? -Errno.ENETUNREACH : error
  }

  /** A lookup in one table without rules; -EAGAIN if nothing matches or there is no such table. */
  lookupTable(tableId: number, flow: Flow4, result: FibResult, anyCarrier = false): number {
    const table = this.table(tableId)
    return table === undefined ? -Errno.EAGAIN : table.lookup(flow, result, anyCarrier)
  }

  /**
   * For a group: the hop that the flow's hash belongs to, preferring one whose source is `saddr` (0: none yet).
   * Leaves `result` alone for a single hop, and if the flow names the device to leave by.
   * @param hash 31 bits, unsigned
   */
  selectPath(flow: Flow4, result: FibResult, hash: number): void {
    const { nexthops: hops, nexthop: object } = result.info!
    if (flow.oif !== 0 || hops.length < 2) return
    if (object !== null) {
      result.nexthopIndex = object.select(hash)
      result.nexthop = hops[result.nexthopIndex]!
      return
    }
    let best = -1
    for (let i = 0; i < hops.length; i++) {
      const hop = hops[i]!
      if (hop.upperBound === -1) continue
      const own = flow.saddr !== 0 && hop.source === flow.saddr
      const score = (own ? 2 : 0) + (hash <= hop.upperBound ? 1 : 0)
      if (score <= best) continue
      best = score
      result.nexthop = hop
      result.nexthopIndex = i
      if (score === 3 || (flow.saddr === 0 && score === 1)) return
    }
  }

  /** The source for a result: that of the route, or what goes with its next hop (`fib_result_prefsrc`). */
  sourceOf(result: FibResult): Ipv4Address {
    const info = result.info!
    if (info.prefsrc !== 0) return info.prefsrc
    const hop = result.nexthop!
    if (hop.sourceGeneration !== this.sourceGeneration) {
      hop.source = this.selectSource(hop.device, hop.gateway, info.scope)
      hop.sourceGeneration = this.sourceGeneration
    }
    return hop.source
  }

  /**
   * What kind of address it is to this host (`inet_addr_type`): a `RouteType`.
   * @param device only what table `local` says of this device counts
   */
  addressType(
    address: Ipv4Address,
    device: NetDevice | null = null,
    tableId: number = RouteTable.LOCAL,
  ): number {
    if (isZeronet(address) || isLimitedBroadcast(address)) return RouteType.BROADCAST
    if (isMulticast(address)) return RouteType.MULTICAST
    const table = this.table(tableId)
    if (table === undefined) return RouteType.BROADCAST
    const flow = this.#flow.reset()
    flow.daddr = address
    if (table.lookup(flow, this.#result, false) !== 0) return RouteType.UNICAST
    const { info, type } = this.#result
    return device === null || info!.nexthops[0]!.device === device ? type : RouteType.UNICAST
  }

  /** @throws NetlinkError with Linux's errno and sentence */
  addRoute(config: RouteConfig, mode: RouteAddMode = 'add'): void {
    const route = completeRoute(config)
    checkRequest(route)
    this.#newTable(route.table).add(route, mode)
    if (route.type === RouteType.LOCAL) this.hasCustomLocalRoutes = true
    this.generation++
  }

  /** Removes the first route that matches all that is given. @throws NetlinkError `ESRCH`, `EINVAL` */
  deleteRoute(config: RouteConfig): void {
    const route = completeDeletion(config)
    checkRequest(route)
    if (route.nexthopId !== 0) this.#infos.objects.need(route.nexthopId)
    const table = this.table(route.table)
    if (table === undefined) throw new NetlinkError(Errno.ESRCH, 'FIB table does not exist', 'route')
    table.delete(route)
    this.generation++
  }

  /**
   * Adds or removes one of the routes that come with an address; what is there already, or gone already, is
   * fine. @internal
   */
  addressRoute(add: boolean, config: RouteConfig): void {
    const route = { ...config, protocol: RouteProtocol.KERNEL }
    const complete = completeRoute(route)
    const table = this.#newTable(complete.table)
    try {
      if (add) table.add(complete, 'append')
      else table.delete(complete)
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error
    }
    this.generation++
  }

  /** Takes away one route, as a flush does. False if it was gone already. */
  removeAlias(alias: FibAlias): boolean {
    const removed = this.table(alias.tableId)?.remove(alias) ?? false
    if (removed) this.generation++
    return removed
  }

  /** Removes every route that the filter takes, and gives how many. */
  flush(filter: (alias: FibAlias) => boolean): number {
    const doomed = [...this.dumpAll()].filter(filter)
    for (const alias of doomed) this.table(alias.tableId)!.remove(alias)
    if (doomed.length > 0) this.generation++
    return doomed.length
  }

  /** The table, if anything was ever added to it. 0 means `main`. */
  table(id: number): FibTable | undefined {
    if (id === RouteTable.MAIN || id === RouteTable.UNSPEC) return this.#main ?? undefined
    for (const table of this.#buckets[id & 255]!) if (table.id === id) return table
    return undefined
  }

  /** In the order of a dump: by `id mod 256`, of one remainder the newest first. */
  *tables(): Generator<FibTable, void, undefined> {
    for (const bucket of this.#buckets) yield* bucket
  }

  /** Routes of a table in the order in which Linux dumps them; nothing for a table that is not there. */
  dump(tableId: number): Iterable<FibAlias> {
    return this.table(tableId)?.dump() ?? []
  }

  /** Routes of all tables, in dump order. */
  *dumpAll(): Generator<FibAlias, void, undefined> {
    for (const table of this.tables()) yield* table.dump()
  }

  /**
   * @param exclusive only if there is no such rule yet
   * @throws NetlinkError
   */
  addRule(config: RuleConfig, exclusive = true): FibRule {
    const wantsTable = config.table === 0 && (config.action ?? RuleAction.TO_TBL) === RuleAction.TO_TBL
    if (!wantsTable || config.l3mdev === true) return this.rules.add(config, !exclusive)
    // Table 0 is a new one: the first number that is free (`fib_empty_table`).
    let id = 1
    while (this.table(id) !== undefined) id++
    const rule = this.rules.add({ ...config, table: id }, true)
    this.#newTable(id)
    return rule
  }

  /** @throws NetlinkError */
  deleteRule(config: RuleConfig): FibRule {
    return this.rules.delete(config)
  }

  /** Nexthop objects (`ip nexthop`). */
  get nexthops(): NexthopObjects {
    return this.#infos.objects
  }

  /** Some next hop has a realm (`fib_num_tclassid_users`). */
  get hasTclassidUsers(): boolean {
    return this.#infos.tclassidUsers > 0
  }

  /** Some hop over the device goes by this gateway (`ip_fib_check_default`): redirects to it are believed. */
  isGateway(gateway: Ipv4Address, device: NetDevice): boolean {
    for (const info of this.#infos.ofDevice(device)) {
      for (const hop of info.nexthops) {
        if (hop.device === device && hop.gateway === gateway && (hop.flags & NexthopFlag.DEAD) === 0)
          return true
      }
    }
    return false
  }

  /** Every hop over the device, for what is learnt on it. */
  *nexthopsOf(device: NetDevice): Generator<FibNexthop, void, undefined> {
    for (const info of this.#infos.ofDevice(device)) {
      for (const hop of info.nexthops) if (hop.device === device) yield hop
    }
    yield* this.nexthops.hopsOver(device)
  }

  // What follows is called by InetAddresses, which the stack tells of its devices.

  /** @internal */
  deviceAdded(device: NetDevice): void {
    this.rules.deviceAdded(device)
    this.generation++
  }

  /** @internal after its name changed */
  deviceRenamed(device: NetDevice): void {
    this.rules.deviceRemoved(device)
    this.rules.deviceAdded(device)
    this.generation++
  }

  /** Its dead hops live again. @internal */
  deviceUp(device: NetDevice): void {
    this.#infos.deviceUp(device, NexthopFlag.DEAD)
    this.generation++
  }

  /** Routes over it go for good, save the local ones. @internal */
  deviceDown(device: NetDevice): void {
    this.#disable(device, false, false)
  }

  /** Carrier came or went. @internal */
  deviceCarrier(device: NetDevice): void {
    if (device.carrier) this.#infos.deviceUp(device, NexthopFlag.LINKDOWN)
    else this.#infos.carrierLost(device)
    this.generation++
  }

  /** Its last address is gone: every route over it goes. @internal */
  deviceLostAddresses(device: NetDevice): void {
    this.#disable(device, true, false)
  }

  /** @internal */
  deviceRemoved(device: NetDevice): void {
    this.#disable(device, true, true)
    this.rules.deviceRemoved(device)
  }

  /** An address is no longer of this host: routes of table main with it as source go. @internal */
  addressGone(address: Ipv4Address): void {
    if (this.#infos.addressGone(address)) this.flushDead()
  }

  /** Removes what is dead from all tables. @internal */
  flushDead(): void {
    for (const table of this.tables()) table.flushDead()
    this.generation++
  }

  #disable(device: NetDevice, even: boolean, gone: boolean): void {
    if (this.#infos.deviceDown(device, even, gone)) this.flushDead()
    this.generation++
  }

  #walkRules(flow: Flow4, result: FibResult, anyCarrier: boolean): number {
    const { rules } = this
    for (let at = 0; ; at++) {
      const rule = rules.at(at)
      if (rule === undefined) return -Errno.ENETUNREACH
      if (!rule.matches(flow)) continue
      if (rule.action === RuleAction.GOTO) {
        if (rule.gotoRule !== null) at = rule.gotoRule.position - 1
        continue
      }
      if (rule.action === RuleAction.NOP) continue
      const error = this.#act(rule, flow, result, anyCarrier)
      if (error === -Errno.EAGAIN || (error === 0 && suppresses(rule, result))) continue
      result.tclassid = rule.tclassid
      return error
    }
  }

  #act(rule: FibRule, flow: Flow4, result: FibResult, anyCarrier: boolean): number {
    switch (rule.action) {
      case RuleAction.TO_TBL:
        return this.lookupTable(rule.table, flow, result, anyCarrier)
      case RuleAction.UNREACHABLE:
        return -Errno.ENETUNREACH
      case RuleAction.PROHIBIT:
        return -Errno.EACCES
      default:
        return -Errno.EINVAL
    }
  }

  /** Makes the table if there is none, as an addition does that is refused afterwards. @internal */
  needTable(id: number): void {
    this.#newTable(id)
  }

  #newTable(id: number): FibTable {
    const there = this.table(id)
    if (there !== undefined) return there
    // Without rules, local is a view of main: so main is made with it.
    const shared = id === RouteTable.LOCAL && !this.hasCustomRules
    const trie = shared ? this.#newTable(RouteTable.MAIN).trie : new FibTrie()
    const table = new FibTable(id, trie, this.#infos, (hop) => this.#ignoresLinkdown(hop.device!))
    if (id === RouteTable.MAIN) this.#main = table
    if (id === RouteTable.DEFAULT) this.#default = table
    this.#buckets[id & 255]!.unshift(table)
    return table
  }

  #ruleChanged(): void {
    if (!this.hasCustomRules) {
      this.hasCustomRules = true
      const local = this.table(RouteTable.LOCAL)
      if (local !== undefined && local.trie === this.#main?.trie) local.unshare()
    }
    this.generation++
  }

  #ignoresLinkdown(device: NetDevice): boolean {
    return this.#sysctl.conf(device.ifindex).ignoreRoutesWithLinkdown
  }

  #questions(): FibQuestions {
    const fib = this
    return {
      lookupTable: (id, flow, result) => this.lookupTable(id, flow, result, true),
      lookupAny: (flow, result) => this.lookup(flow, result, true),
      addressType: (address, device, id) => this.addressType(address, device, id),
      hasIpv4: (device) => device.mtu >= IPV4_MIN_MTU,
      ignoresLinkdown: (device) => this.#ignoresLinkdown(device),
      selectSource: (device, toward, scope) => this.selectSource(device, toward, scope),
      get sourceGeneration() {
        return fib.sourceGeneration
      },
      get loopbackIndex() {
        return fib.loopbackIndex
      },
      get loopback() {
        return fib.#loopback()
      },
    }
  }

  /** Index of the loopback device: the incoming device of what this host sends itself. 1, as in Linux, if none. */
  get loopbackIndex(): number {
    return this.#loopback()?.ifindex ?? 1
  }

  #loopback(): NetDevice | null {
    for (const device of this.#devices) if (device.isLoopback) return device
    return null
  }
}

/** The rule will not have what was found: the search goes on with the next. */
export function suppresses(rule: FibRule, result: FibResult): boolean {
  if (result.prefixLength <= rule.suppressPrefixLength) return true
  const device = result.info!.nexthops[0]!.device
  return rule.suppressGroup !== -1 && device !== null && device.group === rule.suppressGroup
}

/** @throws NetlinkError `EINVAL` */
export function checkTos(tos: number): void {
  if ((tos & 3) !== 0) {
    throw new NetlinkError(Errno.EINVAL, 'Invalid dsfield (tos): ECN bits must be 0', 'route', tos)
  }
}

/** What Linux looks at before it looks for, or makes, the table. */
function checkRequest(route: CompleteRoute): void {
  const { tos, prefix, prefixLength, nexthopId } = route
  checkTos(tos)
  checkPrefix(prefix, prefixLength)
  const own = route.gateway !== 0 || route.device !== undefined || route.nexthops !== undefined
  if (nexthopId !== 0 && own) {
    const extack = 'Nexthop specification and nexthop id are mutually exclusive'
    throw new NetlinkError(Errno.EINVAL, extack, 'route', nexthopId)
  }
}
