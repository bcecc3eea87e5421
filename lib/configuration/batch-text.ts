/**
 * The steps that make a configuration as lines of `ip -batch`. Everything is written out that has another value
 * than the one that `ip` would fill in.
 */

import { formatIpv4, type Ipv4Address, isLoopback } from '../address/ipv4-address.ts'
import { METRIC_NAMES } from '../iproute2/metric-names.ts'
import { formatRealms, formatRouteType, type NameTable, protocols, scopes } from '../iproute2/names.ts'
import { CONGESTION_NAMES } from '../route/fib-metrics.ts'
import { FOREVER } from '../route/inet-address.ts'
import { Metric, RouteProtocol, RouteType, RuleAction, Scope } from '../route/rtnetlink.ts'
import {
  type AddressModel,
  type ConfigurationModel,
  defaultScope,
  defaultTable,
  isGroup,
  type NexthopModel,
  type PrefixModel,
  type RangeModel,
  type RouteModel,
  type RuleModel,
} from './model.ts'

export type RouteVerb = 'add' | 'append' | 'prepend' | 'del'

/**
 * A name within a batch is good only if no number stands for another: iproute2 6.1 takes a name that it read
 * before for the number that it read last.
 */
class BatchNames {
  readonly #numeric: boolean
  readonly #names: NameTable

  constructor(names: NameTable, used: Iterable<number>) {
    this.#names = names
    this.#numeric = [...new Set(used)].some((number) => names.format(number) === `${number}`)
  }

  format(number: number): string {
    return this.#names.format(number, this.#numeric)
  }
}

export class BatchWriter {
  readonly lines: string[] = []
  readonly #protocols: BatchNames
  readonly #scopes: BatchNames

  constructor({ routes, rules, addresses, nexthops }: ConfigurationModel) {
    this.#protocols = new BatchNames(
      protocols,
      chain([...routes, ...nexthops], rules, ({ protocol }) => protocol),
    )
    this.#scopes = new BatchNames(
      scopes,
      chain(routes, addresses, ({ scope }) => scope),
    )
  }

  comment(text: string): void {
    this.lines.push(`# ${text.replace(/\s+/g, ' ')}`)
  }

  link(device: string, what: string): void {
    this.#line(['link', 'set', 'dev', device, ...what.split(' ')])
  }

  flush(device: string): void {
    this.#line(['address', 'flush', 'dev', device])
  }

  address(verb: 'add' | 'del', address: AddressModel): void {
    const { local, peer, prefixLength } = address
    const words = ['address', verb, `${formatIpv4(local)}${peer === local ? `/${prefixLength}` : ''}`]
    if (peer !== local) words.push('peer', `${formatIpv4(peer)}/${prefixLength}`)
    if (verb === 'add') {
      if (address.broadcast !== 0) words.push('broadcast', formatIpv4(address.broadcast))
      const usual = isLoopback(local) ? Scope.HOST : Scope.UNIVERSE
      if (address.scope !== usual) words.push('scope', this.#scopes.format(address.scope))
      if (address.label !== address.device) words.push('label', address.label)
      if (address.metric !== 0) words.push('metric', `${address.metric}`)
      if (address.noprefixroute) words.push('noprefixroute')
      if (address.valid !== FOREVER) words.push('valid_lft', `${address.valid}`)
      if (address.preferred !== FOREVER) words.push('preferred_lft', `${address.preferred}`)
    }
    this.#line([...words, 'dev', address.device])
  }

  nexthop(model: NexthopModel): void {
    const { id, gateway, device, onlink, blackhole, members, protocol } = model
    const words = ['nexthop', 'add', 'id', `${id}`]
    if (blackhole) words.push('blackhole')
    if (members !== null) {
      words.push('group', members.map(({ id: member, weight }) => `${member},${weight}`).join('/'))
    }
    if (gateway !== 0) words.push('via', formatIpv4(gateway))
    if (device !== null) words.push('dev', device)
    if (onlink) words.push('onlink')
    if (protocol !== 0) words.push('protocol', this.#protocols.format(protocol))
    this.#line(words)
  }

  route(verb: RouteVerb, route: RouteModel): void {
    const { type, table, scope, tos, metric, protocol, prefsrc, hops } = route
    const words = ['route', verb]
    if (type !== RouteType.UNICAST || verb === 'del') words.push(formatRouteType(type))
    words.push(prefixText({ address: route.prefix, length: route.prefixLength }))
    if (tos !== 0) words.push('tos', `0x${tos.toString(16)}`)
    if (table !== defaultTable(type)) words.push('table', tableText(table))
    if (protocol !== RouteProtocol.BOOT || verb === 'del')
      words.push('proto', this.#protocols.format(protocol))
    const group = isGroup(route)
    const named = route.nexthopId !== 0
    const usual = defaultScope(type, named || group || hops[0]!.gateway !== 0)
    if (scope !== usual || verb === 'del') words.push('scope', this.#scopes.format(scope))
    if (prefsrc !== 0) words.push('src', formatIpv4(prefsrc))
    if (metric !== 0) words.push('metric', `${metric}`)
    words.push(...metricWords(route))
    const hopWords = ({ gateway, device, onlink, realms }: RouteModel['hops'][number]): string[] => [
      ...(gateway === 0 ? [] : ['via', formatIpv4(gateway)]),
      ...(device === null ? [] : ['dev', device]),
      ...(onlink ? ['onlink'] : []),
      ...(realms === 0 ? [] : ['realms', formatRealms(realms, true)]),
    ]
    if (named) words.push('nhid', `${route.nexthopId}`)
    else if (!group) words.push(...hopWords(hops[0]!))
    else for (const hop of hops) words.push('nexthop', ...hopWords(hop), 'weight', `${hop.weight}`)
    this.#line(words)
  }

  rule(rule: RuleModel): void {
    const words = ['rule', 'add']
    if (rule.invert) words.push('not')
    if (rule.from !== null) words.push('from', prefixText(rule.from))
    if (rule.to !== null) words.push('to', prefixText(rule.to))
    words.push('priority', `${rule.priority}`)
    if (rule.tos !== 0) words.push('tos', `0x${rule.tos.toString(16)}`)
    if (rule.mark !== 0 || rule.markMask !== 0) {
      words.push('fwmark', `${hexadecimal(rule.mark)}/${hexadecimal(rule.markMask)}`)
    }
    if (rule.iif !== null) words.push('iif', rule.iif)
    if (rule.oif !== null) words.push('oif', rule.oif)
    if (rule.uidRange !== null) words.push('uidrange', `${rule.uidRange.first}-${rule.uidRange.last}`)
    if (rule.protocolNumber !== 0) words.push('ipproto', `${rule.protocolNumber}`)
    if (rule.sport !== null) words.push('sport', portsText(rule.sport))
    if (rule.dport !== null) words.push('dport', portsText(rule.dport))
    if (rule.suppressPrefixLength !== -1) words.push('suppress_prefixlength', `${rule.suppressPrefixLength}`)
    if (rule.suppressGroup !== -1) words.push('suppress_ifgroup', `${rule.suppressGroup}`)
    if (rule.realms !== 0) words.push('realms', formatRealms(rule.realms, true))
    if (rule.protocol !== 0) words.push('protocol', this.#protocols.format(rule.protocol))
    const lookup = rule.action === RuleAction.TO_TBL
    if (lookup || rule.table !== 0) words.push('table', tableText(rule.table))
    if (rule.action === RuleAction.GOTO) words.push('goto', `${rule.target}`)
    else if (rule.action === RuleAction.NOP) words.push('nop')
    else if (!lookup) words.push('type', formatRouteType(rule.action))
    this.#line(words)
  }

  deleteRule(priority: number): void {
    this.#line(['rule', 'del', 'priority', `${priority}`])
  }

  setting(name: string, value: string): void {
    this.comment(`sysctl -w ${name}=${/\s/.test(value) ? `'${value.replace(/\s+/g, ' ')}'` : value}`)
  }

  toString(): string {
    return this.lines.map((line) => `${line}\n`).join('')
  }

  #line(words: readonly string[]): void {
    const line = words.map(quoted).join(' ')
    // A batch knows no way to write these: `#` begins a comment even within quotes.
    if (words.some((word) => /[#\n\r\\]/.test(word) || (word.includes("'") && word.includes('"')))) {
      this.comment(`not writable as a line of a batch: ${line}`)
    } else this.lines.push(line)
  }
}

function* chain<A, B>(
  a: Iterable<A>,
  b: Iterable<B>,
  of: (each: A | B) => number,
): Generator<number, void, undefined> {
  for (const each of a) yield of(each)
  for (const each of b) yield of(each)
}

function quoted(word: string): string {
  if (word === '') return "''"
  if (!/\s/.test(word) && !/^['"]/.test(word)) return word
  return word.includes("'") ? `"${word}"` : `'${word}'`
}

function metricWords({ metrics, locks }: RouteModel): string[] {
  const words: string[] = []
  const values = new Map(metrics)
  for (const [metric, name] of METRIC_NAMES) {
    const locked = (locks & (1 << metric)) !== 0
    const value = values.get(metric)
    if (value === undefined && !locked) continue
    if (metric === Metric.FEATURES) words.push(name, 'ecn')
    // That one is locked without a word.
    else if (metric === Metric.CC_ALGO)
      words.push(name, ...(locked ? ['lock'] : []), CONGESTION_NAMES[value! - 1]!)
    else words.push(name, ...(locked && metric !== Metric.RTO_MIN ? ['lock'] : []), `${value ?? 0}`)
  }
  return words
}

function prefixText({ address, length }: PrefixModel): string {
  return length === 0 && address === 0 ? 'default' : `${formatIpv4(address)}/${length}`
}

function tableText(table: number): string {
  return `${table}`
}

function hexadecimal(number: Ipv4Address): string {
  return `0x${(number >>> 0).toString(16)}`
}

function portsText({ first, last }: RangeModel): string {
  return first === last ? `${first}` : `${first}-${last}`
}
