/**
 * Puts a configuration into a stack, in an order in which every step is accepted: devices, tables, addresses, the
 * routes that addresses don't make by themselves, rules. Which routes those are is not worked out but looked at:
 * the stack has made its own by then. Each step can be recorded as a line of `ip -batch`.
 *
 * Some routes have outlived what they were accepted for: the way to their gateway, their source address. For those
 * a route to the gateway or the address is lent, and taken back at once.
 */
import { INADDR_ANY } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { errnoName, TunstackError } from '../errors.ts'
import { IPV4_MIN_MTU } from '../route/fib.ts'
import type { NexthopConfig, RouteAddMode, RouteConfig } from '../route/fib-types.ts'
import { FOREVER, type InetAddress } from '../route/inet-address.ts'
import { Metric, RouteTable, RouteType, Scope } from '../route/rtnetlink.ts'
import type { Stack } from '../stack/stack.ts'
import { arrivalOrder } from './address-order.ts'
import type { BatchWriter, RouteVerb } from './batch-text.ts'
import { longestKept } from './kept-routes.ts'
import { hostRoute, lentRoutes } from './lent-routes.ts'
import {
  type AddressModel,
  type ConfigurationModel,
  FIRST_RULES,
  type HopModel,
  isGroup,
  type LinkModel,
  PLAIN_RULE,
  type RouteModel,
  type RuleModel,
  routeIdentity,
  routeKey,
  ruleIdentity,
} from './model.ts'
import { restoreNexthops } from './restore-nexthops.ts'
import { ruleConfig } from './rule-config.ts'
import { routeModel, ruleModel } from './snapshot.ts'

/** A part that the stack refused. */
export interface Refusal {
  /** `routes[3]` */
  path: string
  error: TunstackError
}

export interface RestorationOptions {
  /** Where the steps are written down. */
  writer?: BatchWriter
  /** Hears of what was refused; by default it is thrown. */
  refused?: (refusal: Refusal) => void
}

/** Gives way to what comes first at an address of no use to anybody, for a moment. */
const MOMENTARY: AddressModel = {
  device: '',
  local: 1,
  peer: 1,
  prefixLength: 32,
  broadcast: INADDR_ANY,
  scope: Scope.UNIVERSE,
  label: '',
  noprefixroute: false,
  metric: 0,
  valid: FOREVER,
  preferred: FOREVER,
  protocol: 0,
}

export class Restoration {
  readonly #stack: Stack
  readonly #model: ConfigurationModel
  readonly #writer: BatchWriter | undefined
  readonly #refused: (refusal: Refusal) => void

  constructor(stack: Stack, model: ConfigurationModel, options: RestorationOptions = {}) {
    this.#stack = stack
    this.#model = model
    this.#writer = options.writer
    this.#refused =
      options.refused ??
      (({ error }) => {
        throw error
      })
  }

  /** Takes everything away that was configured: no addresses, no routes, all devices down, the first rules. */
  clear(): void {
    const { fib, addresses } = this.#stack.routing
    for (const address of [...addresses]) addresses.remove(address)
    for (const device of this.#stack.devices) {
      this.#stack.setDeviceUp(device, false)
      device.group = 0
    }
    for (const { id } of fib.nexthops.all()) if (fib.nexthops.get(id) !== undefined) fib.nexthops.delete(id)
    fib.flush(() => true)
    this.#syncRules(FIRST_RULES)
    this.#stack.addressesChanged()
  }

  /** The stack must be as {@link clear} leaves it, or fresh with loopback down. Its devices are those of the model. */
  run(): void {
    const { links } = this.#model
    for (const link of links) this.#prepareLink(link)
    this.#makeTables()
    this.#separateTables()
    this.#addAddresses()
    const groups = this.#dyingGroups()
    for (const link of links) {
      const needed = link.up || link.qdisc !== 'noop' || groups.devices.has(link.name)
      if (needed) this.#setUp(link, true)
    }
    this.#removeStrayAddresses()
    if (groups.keys.size > 0) {
      const there = this.#routesByKey()
      for (const [key, routes] of groups.routes) this.#putRoutes(there.get(key), routes)
    }
    this.#restoreNexthops()
    for (const link of links) this.#letHopsDie(link, groups.devices)
    for (const link of links) this.#letGroupsFade(link, groups.routes)
    this.#syncRoutes(groups.keys)
    this.#touchLocalRoutes()
    this.#syncRules(this.#model.rules)
    for (const link of links) if (link.mtu < IPV4_MIN_MTU) this.#setMtu(link)
    this.#stack.addressesChanged()
  }

  // Devices

  #device(name: string): NetDevice {
    const device = this.#stack.devices.byName(name)
    if (device === undefined)
      throw new TunstackError('ENODEV', `there is no device '${name}'`, { value: name })
    return device
  }

  #try(path: string, action: () => void): boolean {
    try {
      action()
      return true
    } catch (error) {
      if (!(error instanceof TunstackError)) throw error
      this.#refused({ path, error })
      return false
    }
  }

  #prepareLink(link: LinkModel): void {
    if (link.mtu >= IPV4_MIN_MTU) this.#setMtu(link)
    const device = this.#device(link.name)
    if (device.group === link.group) return
    device.group = link.group
    this.#writer?.link(link.name, `group ${link.group}`)
  }

  #setMtu(link: LinkModel): void {
    const device = this.#device(link.name)
    const path = `links[${this.#model.links.indexOf(link)}].mtu`
    // What a batch is for may have another MTU than a stand-in, which has the right one from the start.
    if (device.mtu !== link.mtu && !this.#try(path, () => device.link.setMtu(link.mtu))) return
    this.#writer?.link(link.name, `mtu ${link.mtu}`)
  }

  #setUp(link: LinkModel, up: boolean): void {
    const device = this.#device(link.name)
    if (device.up === up) return
    this.#stack.setDeviceUp(device, up)
    this.#writer?.link(link.name, up ? 'up' : 'down')
  }

  // Addresses

  #addAddresses(): void {
    for (const index of arrivalOrder(this.#model)) {
      const address = this.#model.addresses[index]!
      if (this.#enabled(address.device)) this.#try(`addresses[${index}]`, () => this.#addAddress(address))
    }
  }

  /** IPv4 runs on it: not with an MTU below 68. */
  #enabled(device: string): boolean {
    return this.#device(device).mtu >= IPV4_MIN_MTU
  }

  #addAddress(address: AddressModel): InetAddress {
    const { addresses } = this.#stack.routing
    const config = {
      local: address.local,
      prefixLength: address.prefixLength,
      peer: address.peer,
      broadcast: address.broadcast,
      scope: address.scope,
      label: address.label,
      noprefixroute: address.noprefixroute,
      metric: address.metric,
      validLifetime: address.valid,
      preferredLifetime: address.preferred === FOREVER ? address.valid : address.preferred,
      protocol: address.protocol,
    }
    if (config.validLifetime === FOREVER) config.preferredLifetime = address.preferred
    const added = addresses.add(this.#device(address.device), config, this.#stack.clock.now())
    this.#writer?.address('add', { ...address, preferred: config.preferredLifetime })
    return added
  }

  /** Loopback took 127.0.0.1/8 when it came up. */
  #removeStrayAddresses(): void {
    const { addresses } = this.#stack.routing
    const wanted = new Set(this.#model.addresses.map(addressKey))
    for (const address of [...addresses]) {
      if (!address.device.isLoopback) continue
      const { device, local, address: peer, prefixLength } = address
      const model = { ...MOMENTARY, device: device.name, local, peer, prefixLength, label: device.name }
      if (wanted.has(addressKey(model))) continue
      addresses.remove(address)
      this.#writer?.address('del', model)
    }
  }

  // Tables

  /** Of tables that share a bucket the order is that of their making; an empty table is there all the same. */
  #makeTables(): void {
    const { tables, routes } = this.#model
    const filled = new Set(routes.map(({ table }) => table))
    const buckets = new Map<number, number>()
    for (const table of tables) buckets.set(table & 255, (buckets.get(table & 255) ?? 0) + 1)
    for (const table of [...tables].reverse()) {
      if (this.#stack.routing.fib.table(table) !== undefined) continue
      if (filled.has(table) && buckets.get(table & 255) === 1) continue
      // Looked up, a route of this type is as none; but nobody looks: it goes at once.
      const route = hostRoute(RouteType.THROW, INADDR_ANY, null, table, Scope.UNIVERSE)
      this.#addRoute(route, 'add')
      this.#deleteRoute(route)
    }
  }

  /** Once there was a rule, `local` and `main` are apart for good. */
  #separateTables(): void {
    const { fib } = this.#stack.routing
    if (!this.#model.rulesTouched || fib.hasCustomRules) return
    this.#addRule({ ...PLAIN_RULE, priority: 1 })
    this.#deleteRule(1)
  }

  /** That a local route was added by hand can be made so by a command, but not undone by one. */
  #touchLocalRoutes(): void {
    const { fib } = this.#stack.routing
    const { localRoutesTouched } = this.#model
    if (localRoutesTouched && !fib.hasCustomLocalRoutes) {
      const loopback = this.#stack.loopback.name
      const route = hostRoute(RouteType.LOCAL, INADDR_ANY, loopback, RouteTable.LOCAL, Scope.HOST)
      this.#addRoute(route, 'prepend')
      this.#deleteRoute(route)
    }
    fib.hasCustomLocalRoutes = localRoutesTouched
  }

  // Nexthop objects

  #restoreNexthops(): void {
    restoreNexthops(this.#model.nexthops, {
      objects: this.#stack.routing.fib.nexthops,
      writer: this.#writer,
      device: (name) => this.#device(name),
      lend: (route) => this.#addRoute(route, 'prepend'),
      takeBack: (route) => this.#deleteRoute(route),
      attempt: (path, step) => void this.#try(path, step),
    })
  }

  // Routes

  /** Keys with a group of which a hop is dead, all their routes, and the devices of those groups. */
  #dyingGroups(): { keys: Set<string>; routes: Map<string, RouteModel[]>; devices: Set<string> } {
    const keys = new Set<string>()
    const devices = new Set<string>()
    for (const route of this.#model.routes) {
      if (!route.hops.some(({ dead }) => dead)) continue
      keys.add(routeKey(route))
      for (const { device } of route.hops) if (device !== null) devices.add(device)
    }
    const whole = keys.size === 0 ? [] : this.#model.routes.filter((route) => keys.has(routeKey(route)))
    return { keys, routes: groupBy(whole, routeKey), devices }
  }

  /** Devices go down that were up only to have been up; one without addresses loses a last one. */
  #letHopsDie(link: LinkModel, devices: ReadonlySet<string>): void {
    if (!link.up) return this.#setUp(link, false)
    const dead = ({ device, dead: is }: HopModel): boolean => is && device === link.name
    if (!devices.has(link.name) || !this.#model.routes.some(({ hops }) => hops.some(dead))) return
    if (this.#model.addresses.some(({ device }) => device === link.name)) return
    const momentary = { ...MOMENTARY, device: link.name, label: link.name }
    this.#stack.routing.addresses.remove(this.#addAddress(momentary))
    this.#writer?.address('del', momentary)
  }

  /** Groups with dead hops look at the carrier of the others again when such a device changes somehow. */
  #letGroupsFade(link: LinkModel, groups: ReadonlyMap<string, readonly RouteModel[]>): void {
    const device = this.#device(link.name)
    if (!device.up || device.carrier) return
    const missing = [...this.#routesByKey()].some(([key, there]) => {
      const faded = groups
        .get(key)
        ?.filter(({ linkdown }) => linkdown)
        .map(routeIdentity)
      return there.some(
        (route) =>
          !route.linkdown &&
          faded?.includes(routeIdentity(route)) &&
          route.hops.some((hop) => hop.device === link.name && !hop.dead),
      )
    })
    if (!missing) return
    this.#stack.routing.addresses.deviceCarrier(device)
    this.#writer?.link(link.name, `group ${link.group}`)
  }

  /** Makes the routes of all tables those of the model, key by key, save those done already. */
  #syncRoutes(done: ReadonlySet<string>): void {
    const there = this.#routesByKey()
    const strays = new Set(there.keys())
    const late: [string, RouteModel[]][] = []
    for (const [key, routes] of groupBy(this.#model.routes, routeKey)) {
      strays.delete(key)
      if (done.has(key)) continue
      // Gateways are reached by what has none.
      if (routes.some(({ hops }) => hops.some(({ gateway }) => gateway !== INADDR_ANY)))
        late.push([key, routes])
      else this.#putRoutes(there.get(key), routes)
    }
    for (const [key, routes] of late) this.#putRoutes(there.get(key), routes)
    for (const key of strays) if (!done.has(key)) this.#putRoutes(there.get(key), [])
  }

  /** Makes the routes of one key those given, in their order. */
  #putRoutes(there: readonly RouteModel[] = [], wanted: readonly RouteModel[]): void {
    const [from, upTo, kept] = longestKept(there, wanted)
    for (const route of there) if (!kept.has(route)) this.#deleteRoute(route)
    for (let i = from - 1; i >= 0; i--) this.#restoreRoute(wanted[i]!, 'prepend')
    for (let i = upTo; i < wanted.length; i++) {
      this.#restoreRoute(wanted[i]!, i === 0 ? 'add' : 'append')
    }
  }

  /** The routes of all tables, by key. */
  #routesByKey(): Map<string, RouteModel[]> {
    return groupBy(Array.from(this.#stack.routing.fib.dumpAll(), routeModel), routeKey)
  }

  #restoreRoute(route: RouteModel, mode: RouteVerb & RouteAddMode): void {
    try {
      this.#addRoute(route, mode)
      return
    } catch (error) {
      if (!(error instanceof TunstackError)) throw error
    }
    const lent = lentRoutes(route, this.#stack.loopback.name)
    const given: RouteModel[] = []
    const path = `routes[${this.#model.routes.indexOf(route)}]`
    try {
      for (const each of lent) {
        this.#addRoute(each, 'prepend')
        given.push(each)
      }
    } catch (error) {
      if (!(error instanceof TunstackError)) throw error
    }
    this.#try(path, () => this.#addRoute(route, mode))
    for (const each of given.reverse()) this.#deleteRoute(each)
  }

  #addRoute(route: RouteModel, mode: RouteVerb & RouteAddMode): void {
    const said = this.#withMetrics(route)
    this.#stack.routing.fib.addRoute(this.#config(said), mode)
    this.#writer?.route(mode, said)
  }

  #deleteRoute(route: RouteModel): void {
    this.#stack.routing.fib.deleteRoute(this.#config(route))
    this.#writer?.route('del', route)
  }

  /** One that names an object and no metric would get those of another such route: so it names one, of no value. */
  #withMetrics(route: RouteModel): RouteModel {
    const { nexthopId, metrics, locks } = route
    if (nexthopId === 0 || metrics.length > 0 || locks !== 0) return route
    const others = this.#model.routes.some(
      (other) => other.nexthopId === nexthopId && (other.metrics.length > 0 || other.locks !== 0),
    )
    return others ? { ...route, metrics: [[Metric.MTU, 0]] } : route
  }

  #config(route: RouteModel): RouteConfig {
    const config: RouteConfig = {
      prefix: route.prefix,
      prefixLength: route.prefixLength,
      tos: route.tos,
      type: route.type,
      table: route.table,
      scope: route.scope,
      protocol: route.protocol,
      priority: route.metric,
      prefsrc: route.prefsrc,
    }
    if (route.metrics.length > 0 || route.locks !== 0) {
      config.metrics = new Map([...route.metrics, [Metric.LOCK, route.locks]])
    }
    if (route.nexthopId !== 0) config.nexthopId = route.nexthopId
    else if (isGroup(route)) config.nexthops = route.hops.map((hop) => this.#hopConfig(hop))
    else Object.assign(config, this.#hopConfig(route.hops[0]!))
    return config
  }

  #hopConfig({ device, gateway, weight, onlink, realms }: HopModel): NexthopConfig {
    const config: NexthopConfig = { gateway, weight, onlink, tclassid: realms }
    if (device !== null) config.device = this.#device(device)
    return config
  }

  // Rules

  #syncRules(wanted: readonly RuleModel[]): void {
    const there = groupBy([...this.#stack.routing.fib.rules].map(ruleModel), priorityOf)
    const target = groupBy(wanted, priorityOf)
    for (const [priority, rules] of there) if (!target.has(priority)) this.#deleteRules(rules)
    for (const [priority, rules] of target) {
      const present = there.get(priority) ?? []
      const kept = present.every(
        (rule, i) => i < rules.length && ruleIdentity(rule) === ruleIdentity(rules[i]!),
      )
      if (!kept) this.#deleteRules(present)
      for (const rule of kept ? rules.slice(present.length) : rules) {
        this.#try(`rules[${wanted.indexOf(rule)}]`, () => this.#addRule(rule))
      }
    }
  }

  #deleteRules(rules: readonly RuleModel[]): void {
    for (const { priority } of rules) this.#deleteRule(priority)
  }

  #deleteRule(priority: number): void {
    this.#stack.routing.fib.deleteRule({ priority })
    this.#writer?.deleteRule(priority)
  }

  #addRule(rule: RuleModel): void {
    this.#stack.routing.fib.addRule(ruleConfig(rule))
    this.#writer?.rule(rule)
  }
}

function addressKey({ device, local, peer, prefixLength }: AddressModel): string {
  return `${device} ${local} ${peer} ${prefixLength}`
}

function groupBy<K, V>(values: readonly V[], keyOf: (value: V) => K): Map<K, V[]> {
  const groups = new Map<K, V[]>()
  for (const value of values) {
    const key = keyOf(value)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [value])
    else group.push(value)
  }
  return groups
}

const priorityOf = ({ priority }: RuleModel): number => priority

/** The sentence for a refusal. */
export function refusalText({ error }: Refusal): string {
  return error.errno === undefined ? error.message : `${error.message} (${errnoName(error.errno)})`
}
