/** A configuration from a plain object that anybody may have written: checked part by part. */

import { isLoopback } from '../address/ipv4-address.ts'
import { LinkFlag } from '../device/link-device.ts'
import { METRIC_NAMES } from '../iproute2/metric-names.ts'
import { NameTable, parseRealms, parseRouteType, protocols, scopes, tables } from '../iproute2/names.ts'
import { CONGESTION_NAMES } from '../route/fib-metrics.ts'
import { FOREVER } from '../route/inet-address.ts'
import { Metric, RouteProtocol, RouteTable, RouteType, RuleAction, Scope } from '../route/rtnetlink.ts'
import { CONFIGURATION_FORMAT, CONFIGURATION_VERSION } from './configuration.ts'
import { ConfigurationError } from './configuration-error.ts'
import {
  type AddressModel,
  type ConfigurationModel,
  defaultScope,
  defaultTable,
  type HopModel,
  type LinkModel,
  type NexthopModel,
  PLAIN_RULE,
  type RouteModel,
  type RuleModel,
} from './model.ts'
import { type Fields, Reader } from './reader.ts'

export const FLAG_NAMES: readonly (readonly [number, string])[] = [
  [LinkFlag.BROADCAST, 'BROADCAST'],
  [LinkFlag.LOOPBACK, 'LOOPBACK'],
  [LinkFlag.POINTOPOINT, 'POINTOPOINT'],
  [LinkFlag.NOARP, 'NOARP'],
  [LinkFlag.MULTICAST, 'MULTICAST'],
]

const UINT32 = 0xffffffff
const INT31 = 0x7fffffff
const metricNumbers = new NameTable(
  Object.fromEntries(METRIC_NAMES.map(([metric, name]) => [name, metric])),
  17,
)

/** @throws ConfigurationError */
export function decode(document: unknown): ConfigurationModel {
  const fields = new Reader(document).object()
  checkVersion(fields)
  const model: ConfigurationModel = {
    links: fields.get('links').array().map(decodeLink),
    addresses: fields.get('addresses').array().map(decodeAddress),
    tables: fields.or('tables', (list) => list.array().map((each) => each.named(tables, UINT32)), []),
    nexthops: fields.or('nexthopObjects', (list) => list.array().map(decodeNexthop), []),
    routes: fields.get('routes').array().map(decodeRoute),
    rules: fields.get('rules').array().map(decodeRule),
    rulesTouched: fields.or('rulesTouched', (value) => value.boolean(), false),
    localRoutesTouched: fields.or('localRoutesTouched', (value) => value.boolean(), false),
    sysctls: fields.or('sysctls', decodeSysctls, []),
  }
  fields.finish()
  checkNames(model)
  return model
}

function checkVersion(fields: Fields): void {
  const format = fields.find('format')
  const version = fields.find('version')
  if (format?.value !== CONFIGURATION_FORMAT) {
    const expected = `'${CONFIGURATION_FORMAT}' is expected: this is no configuration of a stack`
    throw new ConfigurationError('ERR_CONFIGURATION_VERSION', 'format', expected, { value: format?.value })
  }
  if (version?.value !== CONFIGURATION_VERSION) {
    const expected = `this release knows version ${CONFIGURATION_VERSION} only; got ${String(version?.value)}`
    throw new ConfigurationError('ERR_CONFIGURATION_VERSION', 'version', expected, { value: version?.value })
  }
}

/** Every device that something is about is there, and once. */
function checkNames({ links, addresses, routes, nexthops }: ConfigurationModel): void {
  const names = new Set<string>()
  const unknown = (name: string, path: string): never =>
    new Reader(name, path).fail('the name of one of the links')
  links.forEach(({ name }, index) => {
    if (names.has(name)) new Reader(name, `links[${index}].name`).fail('a name that no other link has')
    names.add(name)
  })
  addresses.forEach(({ device }, index) => {
    if (!names.has(device)) unknown(device, `addresses[${index}].dev`)
  })
  const objects = new Map<number, NexthopModel>()
  nexthops.forEach((model, index) => {
    const { id, device } = model
    const path = `nexthopObjects[${index}]`
    if (device !== null && !names.has(device)) unknown(device, `${path}.dev`)
    if (objects.has(id)) new Reader(id, `${path}.id`).fail('a number that no other object has')
    objects.set(id, model)
  })
  nexthops.forEach(({ members }, index) => {
    members?.forEach(({ id }, member) => {
      if (objects.get(id)?.members === null) return
      const path = `nexthopObjects[${index}].group[${member}].id`
      new Reader(id, path).fail('the number of one of the nexthop objects that is no group')
    })
  })
  routes.forEach(({ hops, nexthopId }, index) => {
    if (nexthopId !== 0 && !objects.has(nexthopId)) {
      new Reader(nexthopId, `routes[${index}].nhid`).fail('the number of one of the nexthop objects')
    }
    hops.forEach(({ device }, hop) => {
      if (device === null || names.has(device)) return
      unknown(device, `routes[${index}]${hops.length > 1 ? `.nexthops[${hop}]` : ''}.dev`)
    })
  })
}

function deviceName(reader: Reader): string {
  const name = reader.string()
  return /^[^/:\s]{1,15}$/.test(name) ? name : reader.fail('the name of a device: 1 to 15 characters')
}

export function decodeLink(reader: Reader): LinkModel {
  const fields = reader.object()
  const type = fields.get('type')
  if (type.value !== 'loopback' && type.value !== 'none') type.fail("'loopback' or 'none'")
  const loopback = type.value === 'loopback'
  const minMtu = fields.or('minMtu', (value) => value.integer(0, INT31), loopback ? 0 : 68)
  const maxMtu = fields.or('maxMtu', (value) => value.integer(minMtu, INT31), loopback ? INT31 : 65535)
  const up = fields.or('up', (value) => value.boolean(), false)
  const link: LinkModel = {
    name: deviceName(fields.get('name')),
    index: fields.get('index').integer(1, INT31),
    loopback,
    flags: fields.or('flags', decodeFlags, loopback ? LinkFlag.LOOPBACK : LinkFlag.POINTOPOINT),
    mtu: fields.get('mtu').integer(minMtu, maxMtu),
    minMtu,
    maxMtu,
    txQueueLength: fields.or('txQueueLength', (value) => value.integer(0, INT31), 1000),
    qdisc: fields.or('qdisc', (value) => value.string(), up ? 'noqueue' : 'noop'),
    group: fields.or('group', (value) => value.integer(0, UINT32), 0),
    up,
    carrier: fields.or('carrier', (value) => value.boolean(), true),
    carrierSeen: fields.or('carrierSeen', (value) => value.boolean(), false),
  }
  fields.finish()
  return link
}

function decodeFlags(reader: Reader): number {
  let flags = 0
  for (const word of reader.array()) {
    const flag = FLAG_NAMES.find(([, name]) => name === word.value)
    if (flag === undefined) word.fail(`one of ${FLAG_NAMES.map(([, name]) => name).join(', ')}`)
    flags |= flag![0]
  }
  return flags
}

export function decodeAddress(reader: Reader): AddressModel {
  const fields = reader.object()
  const device = deviceName(fields.get('dev'))
  const { address: local, length: prefixLength } = fields.get('address').prefix()
  const valid = fields.or('validLifetime', (value) => value.integer(1, UINT32), FOREVER)
  const usual = isLoopback(local) ? Scope.HOST : Scope.UNIVERSE
  const address: AddressModel = {
    device,
    local,
    peer: fields.or('peer', (value) => value.address(), local),
    prefixLength,
    broadcast: fields.or('broadcast', (value) => value.address(), 0),
    scope: fields.or('scope', (value) => value.named(scopes, 255), usual),
    label: fields.or('label', (value) => value.string(), device),
    noprefixroute: fields.or('noprefixroute', (value) => value.boolean(), false),
    metric: fields.or('metric', (value) => value.integer(0, UINT32), 0),
    valid,
    preferred: fields.or('preferredLifetime', (value) => value.integer(0, valid), FOREVER),
    protocol: fields.or('proto', (value) => value.integer(0, 255), 0),
  }
  fields.finish()
  return address
}

function readRealms(reader: Reader): number {
  return parseRealms(reader.string()) ?? reader.fail("a realm such as '5' or '5/6'")
}

function readType(reader: Reader): number {
  const type = typeof reader.value === 'number' ? reader.integer(0, 11) : parseRouteType(reader.string())
  return type ?? reader.fail('a type of route, such as unicast or blackhole')
}

/** What one hop has, of a group or of a route. */
function readHop(fields: Fields): Omit<HopModel, 'weight' | 'dead'> {
  return {
    device: fields.or<string | null>('dev', deviceName, null),
    gateway: fields.or('via', (value) => value.address(), 0),
    onlink: fields.or('onlink', (value) => value.boolean(), false),
    realms: fields.or('realms', readRealms, 0),
  }
}

function decodeNexthop(reader: Reader): NexthopModel {
  const fields = reader.object()
  const id = fields.get('id').integer(1, UINT32)
  const group = fields.find('group')
  const blackhole = fields.or('blackhole', (value) => value.boolean(), false)
  const device = fields.or<string | null>('dev', deviceName, null)
  const gateway = fields.or('via', (value) => value.address(), 0)
  const ways = [group !== undefined, blackhole, device !== null].filter((each) => each).length
  if (ways !== 1 || (gateway !== 0 && device === null)) reader.fail('one of dev, blackhole and group')
  const members = group?.array().map(decodeMember) ?? null
  if (members?.length === 0) group!.fail('a list of at least one member')
  const model: NexthopModel = {
    id,
    device,
    gateway,
    onlink: fields.or('onlink', (value) => value.boolean(), false),
    blackhole,
    members,
    protocol: fields.or('proto', (value) => value.named(protocols, 255), 0),
    scope: fields.or(
      'scope',
      (value) => value.named(scopes, 255),
      device === null ? Scope.UNIVERSE : gateway === 0 ? Scope.HOST : Scope.LINK,
    ),
  }
  fields.finish()
  return model
}

function decodeMember(reader: Reader): { id: number; weight: number } {
  const fields = reader.object()
  const member = {
    id: fields.get('id').integer(1, UINT32),
    weight: fields.or('weight', (value) => value.integer(1, 65535), 1),
  }
  fields.finish()
  return member
}

function decodeHop(reader: Reader): HopModel {
  const fields = reader.object()
  const hop: HopModel = {
    ...readHop(fields),
    weight: fields.or('weight', (value) => value.integer(1, 256), 1),
    dead: fields.or('dead', (value) => value.boolean(), false),
  }
  fields.finish()
  return hop
}

export function decodeRoute(reader: Reader): RouteModel {
  const fields = reader.object()
  const { address: prefix, length: prefixLength } = fields.get('to').prefix(true)
  const type = fields.or('type', readType, RouteType.UNICAST)
  const single = readHop(fields)
  const nexthops = fields.find('nexthops')
  if (nexthops !== undefined && (single.device !== null || single.gateway !== 0 || single.onlink)) {
    nexthops.fail('either a group or via and dev, not both,')
  }
  const nexthopId = fields.or('nhid', (value) => value.integer(0, UINT32), 0)
  if (nexthopId !== 0 && (nexthops !== undefined || single.device !== null || single.gateway !== 0)) {
    reader.fail('either nhid or a way of its own')
  }
  const hops = nexthops?.array().map(decodeHop) ?? [{ ...single, weight: 1, dead: false }]
  if (hops.length === 0) nexthops!.fail('a list of at least one hop')
  const indirect = nexthopId !== 0 || nexthops !== undefined || single.gateway !== 0
  const route: RouteModel = {
    table:
      fields.or('table', (value) => value.named(tables, UINT32), RouteTable.UNSPEC) || defaultTable(type),
    type,
    prefix,
    prefixLength,
    tos: fields.or('tos', (value) => value.integer(0, 255), 0),
    metric: fields.or('metric', (value) => value.integer(0, UINT32), 0),
    protocol: fields.or('proto', (value) => value.named(protocols, 255), RouteProtocol.BOOT),
    scope: fields.or('scope', (value) => value.named(scopes, 255), defaultScope(type, indirect)),
    prefsrc: fields.or('src', (value) => value.address(), 0),
    metrics: fields.or('metrics', decodeMetrics, []),
    locks: fields.or('locked', decodeLocks, 0),
    nexthopId,
    hops: nexthopId === 0 ? hops : [],
    linkdown: fields.or('linkdown', (value) => value.boolean(), false),
  }
  fields.finish()
  return route
}

function decodeMetrics(reader: Reader): [number, number][] {
  const fields = reader.object()
  const metrics: [number, number][] = []
  for (const name of Object.keys(reader.value as object)) {
    const value = fields.get(name)
    const metric = metricNumbers.parse(name)
    if (metric === undefined || metric === 0) value.fail('the name of a metric, such as mtu')
    else if (metric === Metric.CC_ALGO) metrics.push([metric, decodeCongestion(value)])
    else metrics.push([metric, value.integer(0, UINT32)])
  }
  return metrics.filter(([, value]) => value !== 0).sort(([a], [b]) => a - b)
}

function decodeCongestion(reader: Reader): number {
  const number = CONGESTION_NAMES.indexOf(reader.string()) + 1
  if (number === 0) reader.fail(`one of ${CONGESTION_NAMES.join(', ')}`)
  return number
}

function decodeLocks(reader: Reader): number {
  return reader.array().reduce((locks, name) => locks | (1 << name.named(metricNumbers, 17)), 0)
}

export function decodeRule(reader: Reader): RuleModel {
  const fields = reader.object()
  const mark = fields.or('fwmark', (value) => value.integer(0, UINT32), 0) | 0
  const action = fields.find('action')
  const target = fields.find('goto')
  const table = fields.find('table')
  if (action !== undefined && target !== undefined) action.fail('only one of goto and action')
  const rule: RuleModel = {
    ...PLAIN_RULE,
    priority: fields.get('priority').integer(0, UINT32),
    invert: fields.or('not', (value) => value.boolean(), false),
    from: readSelector(fields.find('from')),
    to: readSelector(fields.find('to')),
    mark,
    markMask: fields.or('fwmask', (value) => value.integer(0, UINT32), mark === 0 ? 0 : UINT32) | 0,
    tos: fields.or('tos', (value) => value.integer(0, 255), 0),
    iif: fields.or<string | null>('iif', deviceName, null),
    oif: fields.or<string | null>('oif', deviceName, null),
    uidRange: fields.or<RuleModel['uidRange']>('uidRange', (value) => value.range(0, UINT32), null),
    protocolNumber: fields.or('ipProtocol', (value) => value.integer(0, 255), 0),
    sport: fields.or<RuleModel['sport']>('sport', (value) => value.range(1, 65534), null),
    dport: fields.or<RuleModel['dport']>('dport', (value) => value.range(1, 65534), null),
    suppressPrefixLength: fields.or('suppressPrefixLength', (value) => value.integer(-1, 32), -1),
    suppressGroup: fields.or('suppressGroup', (value) => value.integer(-1, UINT32), -1),
    realms: fields.or('realms', readRealms, 0),
    protocol: fields.or('proto', (value) => value.named(protocols, 255), RouteProtocol.BOOT),
    ...readAction(action, target, table),
  }
  fields.finish()
  return rule
}

function readSelector(reader: Reader | undefined): RuleModel['from'] {
  const prefix = reader?.prefix()
  return prefix === undefined || prefix.length === 0 ? null : prefix
}

function readAction(
  action: Reader | undefined,
  target: Reader | undefined,
  table: Reader | undefined,
): Pick<RuleModel, 'action' | 'target' | 'table'> {
  // Only a lookup asks the table; other actions keep its number.
  const looked = table?.named(tables, UINT32) ?? 0
  if (target !== undefined) {
    return { action: RuleAction.GOTO, target: target.integer(1, UINT32), table: looked }
  }
  if (action !== undefined) {
    const number = action.value === 'nop' ? RuleAction.NOP : readType(action)
    if (number < RuleAction.NOP) action.fail('nop, blackhole, unreachable or prohibit')
    return { action: number, target: 0, table: looked }
  }
  return { action: RuleAction.TO_TBL, target: 0, table: looked === 0 ? RouteTable.MAIN : looked }
}

function decodeSysctls(reader: Reader): [string, string][] {
  const fields = reader.object()
  return Object.keys(reader.value as object).map((name) => [name, fields.get(name).string()])
}
