/** A configuration as a plain object: names where numbers have one, and nothing that goes without saying. */

import { formatIpv4 } from '../address/ipv4-address.ts'
import { METRIC_NAMES } from '../iproute2/metric-names.ts'
import {
  formatRealms,
  formatRouteType,
  type NameTable,
  protocols,
  scopes,
  tables,
} from '../iproute2/names.ts'
import { CONGESTION_NAMES } from '../route/fib-metrics.ts'
import { FOREVER } from '../route/inet-address.ts'
import { Metric, RuleAction, Scope } from '../route/rtnetlink.ts'
import {
  type AddressEntry,
  CONFIGURATION_FORMAT,
  CONFIGURATION_VERSION,
  type LinkEntry,
  type NexthopEntry,
  type NexthopObjectEntry,
  type RouteEntry,
  type RuleEntry,
  type StackConfiguration,
} from './configuration.ts'
import { FLAG_NAMES } from './decode.ts'
import {
  type AddressModel,
  type ConfigurationModel,
  type HopModel,
  isGroup,
  type LinkModel,
  type NexthopModel,
  type PrefixModel,
  type RouteModel,
  type RuleModel,
} from './model.ts'

export function encode(model: ConfigurationModel): StackConfiguration {
  return {
    format: CONFIGURATION_FORMAT,
    version: CONFIGURATION_VERSION,
    links: model.links.map(linkEntry),
    addresses: model.addresses.map(addressEntry),
    tables: model.tables.map((table) => named(tables, table)),
    ...(model.nexthops.length > 0 ? { nexthopObjects: model.nexthops.map(nexthopEntry) } : {}),
    routes: model.routes.map(routeEntry),
    rules: model.rules.map(ruleEntry),
    rulesTouched: model.rulesTouched,
    localRoutesTouched: model.localRoutesTouched,
    sysctls: Object.fromEntries(model.sysctls),
  }
}

function named(names: NameTable, number: number): number | string {
  const name = names.format(number)
  return name === `${number}` ? number : name
}

function linkEntry({ loopback, flags, ...link }: LinkModel): LinkEntry {
  return {
    name: link.name,
    index: link.index,
    type: loopback ? 'loopback' : 'none',
    flags: FLAG_NAMES.filter(([flag]) => (flags & flag) !== 0).map(([, name]) => name),
    mtu: link.mtu,
    minMtu: link.minMtu,
    maxMtu: link.maxMtu,
    txQueueLength: link.txQueueLength,
    qdisc: link.qdisc,
    group: link.group,
    up: link.up,
    carrier: link.carrier,
    carrierSeen: link.carrierSeen,
  }
}

function addressEntry(address: AddressModel): AddressEntry {
  const { local, peer, prefixLength } = address
  const entry: AddressEntry = { dev: address.device, address: `${formatIpv4(local)}/${prefixLength}` }
  if (peer !== local) entry.peer = formatIpv4(peer)
  if (address.broadcast !== 0) entry.broadcast = formatIpv4(address.broadcast)
  entry.scope = named(scopes, address.scope)
  if (address.label !== address.device) entry.label = address.label
  if (address.metric !== 0) entry.metric = address.metric
  if (address.noprefixroute) entry.noprefixroute = true
  if (address.valid !== FOREVER) entry.validLifetime = address.valid
  if (address.preferred !== FOREVER) entry.preferredLifetime = address.preferred
  if (address.protocol !== 0) entry.proto = address.protocol
  return entry
}

function nexthopEntry(model: NexthopModel): NexthopObjectEntry {
  const { id, gateway, device, members, protocol, scope } = model
  const entry: NexthopObjectEntry = { id }
  if (gateway !== 0) entry.via = formatIpv4(gateway)
  if (device !== null) entry.dev = device
  if (model.onlink) entry.onlink = true
  if (model.blackhole) entry.blackhole = true
  if (members !== null) {
    entry.group = members.map(({ id: member, weight }) =>
      weight === 1 ? { id: member } : { id: member, weight },
    )
  }
  if (protocol !== 0) entry.proto = named(protocols, protocol)
  if (gateway !== 0 && scope !== Scope.LINK) entry.scope = named(scopes, scope)
  return entry
}

export function prefixText({ address, length }: PrefixModel): string {
  if (length === 0) return 'default'
  return length === 32 ? formatIpv4(address) : `${formatIpv4(address)}/${length}`
}

function routeEntry(route: RouteModel): RouteEntry {
  const entry: RouteEntry = {
    to: prefixText({ address: route.prefix, length: route.prefixLength }),
    type: formatRouteType(route.type),
  }
  const group = isGroup(route)
  if (route.nexthopId !== 0) entry.nhid = route.nexthopId
  else if (!group) {
    const { dead: _, weight: __, ...hop } = hopEntry(route.hops[0]!)
    Object.assign(entry, hop)
  }
  entry.table = named(tables, route.table)
  entry.proto = named(protocols, route.protocol)
  entry.scope = named(scopes, route.scope)
  if (route.prefsrc !== 0) entry.src = formatIpv4(route.prefsrc)
  if (route.metric !== 0) entry.metric = route.metric
  if (route.tos !== 0) entry.tos = route.tos
  const names = new Map(METRIC_NAMES)
  const nameOf = (metric: number): string => names.get(metric) ?? `${metric}`
  if (route.metrics.length > 0) {
    entry.metrics = Object.fromEntries(
      route.metrics.map(([metric, value]) => [
        nameOf(metric),
        metric === Metric.CC_ALGO ? CONGESTION_NAMES[value - 1]! : value,
      ]),
    )
  }
  if (route.locks !== 0) {
    entry.locked = []
    for (let metric = 1; metric < 32; metric++) {
      if ((route.locks & (1 << metric)) !== 0) entry.locked.push(nameOf(metric))
    }
  }
  if (group) entry.nexthops = route.hops.map(hopEntry)
  if (route.linkdown) entry.linkdown = true
  return entry
}

function hopEntry({ gateway, device, weight, onlink, realms, dead }: HopModel): NexthopEntry {
  const entry: NexthopEntry = {}
  if (gateway !== 0) entry.via = formatIpv4(gateway)
  if (device !== null) entry.dev = device
  if (weight !== 1) entry.weight = weight
  if (onlink) entry.onlink = true
  if (realms !== 0) entry.realms = formatRealms(realms, true)
  if (dead) entry.dead = true
  return entry
}

function ruleEntry(rule: RuleModel): RuleEntry {
  const entry: RuleEntry = { priority: rule.priority }
  if (rule.invert) entry.not = true
  if (rule.from !== null) entry.from = prefixText(rule.from)
  if (rule.to !== null) entry.to = prefixText(rule.to)
  if (rule.mark !== 0 || rule.markMask !== 0) {
    entry.fwmark = rule.mark >>> 0
    entry.fwmask = rule.markMask >>> 0
  }
  if (rule.tos !== 0) entry.tos = rule.tos
  if (rule.iif !== null) entry.iif = rule.iif
  if (rule.oif !== null) entry.oif = rule.oif
  if (rule.uidRange !== null) entry.uidRange = [rule.uidRange.first, rule.uidRange.last]
  if (rule.protocolNumber !== 0) entry.ipProtocol = rule.protocolNumber
  if (rule.sport !== null) entry.sport = [rule.sport.first, rule.sport.last]
  if (rule.dport !== null) entry.dport = [rule.dport.first, rule.dport.last]
  const lookup = rule.action === RuleAction.TO_TBL
  if (lookup || rule.table !== 0) entry.table = named(tables, rule.table)
  if (rule.action === RuleAction.GOTO) entry.goto = rule.target
  else if (!lookup) entry.action = rule.action === RuleAction.NOP ? 'nop' : formatRouteType(rule.action)
  if (rule.suppressPrefixLength !== -1) entry.suppressPrefixLength = rule.suppressPrefixLength
  if (rule.suppressGroup !== -1) entry.suppressGroup = rule.suppressGroup
  if (rule.realms !== 0) entry.realms = formatRealms(rule.realms, true)
  entry.proto = named(protocols, rule.protocol)
  return entry
}
