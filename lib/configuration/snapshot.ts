/** The configuration of a stack as it is now. */
import type { NetDevice } from '../device/net-device.ts'
import type { FibRule, NumberRange } from '../route/fib-rules.ts'
import type { FibAlias, FibNexthop } from '../route/fib-types.ts'
import { FOREVER, type InetAddress } from '../route/inet-address.ts'
import type { NexthopObject } from '../route/nexthop-object.ts'
import { Metric, NexthopFlag, Scope } from '../route/rtnetlink.ts'
import type { Stack } from '../stack/stack.ts'
import type {
  AddressModel,
  ConfigurationModel,
  HopModel,
  LinkModel,
  NexthopModel,
  RangeModel,
  RouteModel,
  RuleModel,
} from './model.ts'
import { changedSysctls } from './sysctl-values.ts'

export function snapshot(stack: Stack): ConfigurationModel {
  const { fib, addresses } = stack.routing
  const now = stack.clock.now()
  return {
    links: [...stack.devices].map(linkModel),
    addresses: [...addresses].map((address) => addressModel(address, now)),
    tables: [...fib.tables()].map(({ id }) => id),
    nexthops: fib.nexthops.all().map(nexthopModel),
    routes: Array.from(fib.dumpAll(), routeModel),
    rules: [...fib.rules].map(ruleModel),
    rulesTouched: fib.hasCustomRules,
    localRoutesTouched: fib.hasCustomLocalRoutes,
    sysctls: changedSysctls(stack.sysctl),
  }
}

function linkModel(device: NetDevice): LinkModel {
  const { link } = device
  return {
    name: device.name,
    index: device.ifindex,
    loopback: device.isLoopback,
    flags: link.flags,
    mtu: device.mtu,
    minMtu: link.minMtu,
    maxMtu: link.maxMtu,
    txQueueLength: link.txQueueLength,
    qdisc: device.qdisc,
    group: device.group,
    up: device.up,
    carrier: device.carrier,
    carrierSeen: device.carrierChanges !== 0,
  }
}

function addressModel(address: InetAddress, now: number): AddressModel {
  const { valid, preferred } = address.remaining(now)
  return {
    device: address.device.name,
    local: address.local,
    peer: address.address,
    prefixLength: address.prefixLength,
    broadcast: address.broadcast,
    scope: address.scope,
    label: address.label,
    noprefixroute: address.noprefixroute,
    metric: address.metric >>> 0,
    // One that is about to go may have less than a second left, which is not 0.
    valid: valid === FOREVER ? FOREVER : Math.max(1, valid),
    preferred: address.deprecated ? 0 : preferred,
    protocol: address.protocol,
  }
}

function nexthopModel(object: NexthopObject): NexthopModel {
  const { id, protocol, members, blackhole, flags } = object
  const hop = members === null && !blackhole ? object.hops[0]! : null
  return {
    id,
    protocol,
    device: hop?.device?.name ?? null,
    gateway: hop?.gateway ?? 0,
    onlink: (flags & NexthopFlag.ONLINK) !== 0,
    blackhole,
    scope: hop?.scope ?? Scope.UNIVERSE,
    members: members?.map(({ object: { id: member }, weight }) => ({ id: member, weight })) ?? null,
  }
}

export function routeModel(alias: FibAlias): RouteModel {
  const { info } = alias
  const metrics: (readonly [number, number])[] = []
  info.metrics?.forEach((value, metric) => {
    if (value !== 0 && metric !== Metric.LOCK) metrics.push([metric, value >>> 0])
  })
  const hops = info.nexthop === null ? info.nexthops.map(hopModel) : []
  return {
    table: alias.tableId,
    type: info.type,
    prefix: alias.prefix,
    prefixLength: alias.prefixLength,
    tos: alias.tos,
    metric: info.priority >>> 0,
    protocol: info.protocol,
    scope: info.scope,
    prefsrc: info.prefsrc,
    metrics,
    locks: info.metrics?.[Metric.LOCK] ?? 0,
    nexthopId: info.nexthop?.id ?? 0,
    hops,
    linkdown: hops.some(({ dead }) => dead) && (info.flags & NexthopFlag.LINKDOWN) !== 0,
  }
}

function hopModel({ device, gateway, weight, flags, tclassid }: FibNexthop): HopModel {
  return {
    device: device?.name ?? null,
    gateway,
    weight,
    onlink: (flags & NexthopFlag.ONLINK) !== 0,
    realms: tclassid,
    dead: (flags & NexthopFlag.DEAD) !== 0,
  }
}

/** No user has that number: it ends the range of a rule that is for all. */
const NO_UID = 0xffffffff

export function ruleModel(rule: FibRule): RuleModel {
  const { uidRange } = rule
  return {
    priority: rule.priority,
    action: rule.action,
    table: rule.table,
    target: rule.target,
    invert: rule.invert,
    from: rule.fromLength === 0 ? null : { address: rule.from, length: rule.fromLength },
    to: rule.toLength === 0 ? null : { address: rule.to, length: rule.toLength },
    iif: rule.iif?.name ?? null,
    oif: rule.oif?.name ?? null,
    mark: rule.mark,
    markMask: rule.markMask,
    tos: rule.tos,
    protocolNumber: rule.protocolNumber,
    sport: portsModel(rule.sport),
    dport: portsModel(rule.dport),
    uidRange: uidRange.first === 0 && uidRange.last === NO_UID ? null : { ...uidRange },
    suppressPrefixLength: rule.suppressPrefixLength,
    suppressGroup: rule.suppressGroup,
    realms: rule.tclassid,
    protocol: rule.protocol,
  }
}

function portsModel({ first, last }: NumberRange): RangeModel | null {
  return first === 0 ? null : { first, last }
}
