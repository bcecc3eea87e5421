/** Rules, from `ip -j rule show`. */
import { RouteProtocol, RuleAction } from '../route/rtnetlink.ts'
import type { NameLookup } from './kernel-names.ts'
import { type Row, rowsOf, type Skips, take, Untaken } from './kernel-row.ts'
import {
  FIRST_RULES,
  PLAIN_RULE,
  type PrefixModel,
  type RangeModel,
  type RuleModel,
  ruleIdentity,
} from './model.ts'

export function readRules(output: unknown, names: NameLookup, skips: Skips): RuleModel[] {
  const rules: RuleModel[] = []
  const first = [...FIRST_RULES]
  for (const [row] of rowsOf(output, 'rule')) {
    const rule = take(row, skips, (each) => readRule(each, names))
    if (rule === undefined) continue
    // Without `-d` it goes unsaid which are the kernel's own: then the first of those that could be.
    const own = first.findIndex(
      (known) => ruleIdentity({ ...known, protocol: rule.protocol }) === ruleIdentity(rule),
    )
    const unsaid = rule.protocol === RouteProtocol.UNSPEC && own >= 0 && !row.has('protocol')
    rules.push(unsaid ? first[own]! : rule)
    if (own >= 0 && (unsaid || rule.protocol === RouteProtocol.KERNEL)) first.splice(own, 1)
  }
  return rules
}

/** @throws Untaken */
function readRule(row: Row, names: NameLookup): RuleModel {
  if (row.has('l3mdev')) throw new Untaken('a stack has no layer 3 master devices (VRF)')
  row.ignore('iif_detached', 'oif_detached', 'unresolved')
  const fwmark = row.number('fwmark', 0)
  const mask = row.number('fwmask', fwmark === 0 ? 0 : 0xffffffff)
  const part = (name: string): number => row.named(name, (value) => names.number('realms', value), 0)
  const uidStart = row.number('uid_start', -1)
  return {
    ...PLAIN_RULE,
    priority: row.number('priority', 0),
    invert: row.has('not'),
    from: selector(row.prefix('src', 'srclen')),
    to: selector(row.prefix('dst', 'dstlen')),
    mark: fwmark | 0,
    markMask: mask | 0,
    tos: row.named('tos', (value) => names.number('dsfields', value), 0),
    iif: deviceName(row.get('iif')),
    oif: deviceName(row.get('oif')),
    uidRange: uidStart === -1 ? null : { first: uidStart, last: row.number('uid_end', uidStart) },
    protocolNumber: row.named('ipproto', (value) => names.ipProtocol(value), 0),
    sport: ports(row, 'sport'),
    dport: ports(row, 'dport'),
    suppressPrefixLength: row.number('suppress_prefixlen', -1),
    suppressGroup: row.named('suppress_ifgroup', (value) => names.number('groups', value), -1),
    realms: (part('flow_from') << 16) | part('flow_to'),
    protocol: row.named('protocol', (value) => names.number('protocols', value), RouteProtocol.UNSPEC),
    ...readAction(row, names),
  }
}

function selector(prefix: PrefixModel): PrefixModel | null {
  return prefix.length === 0 ? null : prefix
}

function deviceName(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

function ports(row: Row, name: string): RangeModel | null {
  const one = row.number(name, 0)
  if (one !== 0) return { first: one, last: one }
  const first = row.number(`${name}_start`, 0)
  return first === 0 ? null : { first, last: row.number(`${name}_end`, first) }
}

function readAction(row: Row, names: NameLookup): Pick<RuleModel, 'action' | 'table' | 'target'> {
  const table = row.named('table', (value) => names.number('tables', value), 0)
  const target = row.number('goto', 0)
  // Only a lookup asks the table; other actions keep its number.
  if (target !== 0) return { action: RuleAction.GOTO, table, target }
  if (row.has('nop')) return { action: RuleAction.NOP, table, target: 0 }
  const action = row.named('action', (value) => names.routeType(value), -1)
  if (action !== -1) return { action, table, target: 0 }
  if (table === 0) throw new Untaken('its action is not known')
  return { action: RuleAction.TO_TBL, table, target: 0 }
}
