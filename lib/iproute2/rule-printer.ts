/** How `ip rule` prints a rule: its selectors, the table or action, and what narrows the answer. */
import { formatIpv4 } from '../address/ipv4-address.ts'
import type { FibRule, NumberRange, RuleDevice } from '../route/fib-rules.ts'
import { RouteProtocol, RuleAction } from '../route/rtnetlink.ts'
import type { Command } from './command.ts'
import {
  dsfields,
  formatIpProtocol,
  formatRealms,
  formatRouteType,
  groups,
  protocols,
  tables,
} from './names.ts'

/** The end of the range of a rule that names none: no user has that number. */
const NO_UID = 0xffffffff

export function formatRule({ options }: Command, rule: FibRule): string {
  const { numeric } = options
  let text = `${rule.priority}:\t${rule.invert ? 'not ' : ''}from ${prefixText(rule.from, rule.fromLength, 'all')}`
  if (rule.toLength !== 0) text += ` to ${prefixText(rule.to, rule.toLength, '')}`
  if (rule.tos !== 0) text += ` tos ${dsfields.format(rule.tos, numeric)}`
  if (rule.mark !== 0 || rule.markMask !== 0) text += ` fwmark ${markText(rule.mark, rule.markMask)}`
  if (rule.iif !== null) text += ` iif ${deviceText(rule.iif)}`
  if (rule.oif !== null) text += ` oif ${deviceText(rule.oif)}`
  if (rule.uidRange.last !== NO_UID) text += ` uidrange ${rule.uidRange.first}-${rule.uidRange.last}`
  if (rule.protocolNumber !== 0) text += ` ipproto ${formatIpProtocol(rule.protocolNumber)}`
  if (rule.sport.first !== 0) text += ` sport ${portsText(rule.sport)}`
  if (rule.dport.first !== 0) text += ` dport ${portsText(rule.dport)}`
  if (rule.table !== 0) {
    text += ` lookup ${tables.format(rule.table, numeric)}`
    if (rule.suppressPrefixLength !== -1) text += ` suppress_prefixlength ${rule.suppressPrefixLength}`
    if (rule.suppressGroup !== -1) text += ` suppress_ifgroup ${groups.format(rule.suppressGroup, numeric)}`
  }
  if (rule.tclassid !== 0) text += ` realms ${formatRealms(rule.tclassid, numeric)}`
  text += actionText(rule, numeric)
  const named = rule.protocol !== RouteProtocol.UNSPEC && rule.protocol !== RouteProtocol.KERNEL
  if (named || options.details) text += ` proto ${protocols.format(rule.protocol, numeric)}`
  return `${text}\n`
}

function prefixText(address: number, length: number, all: string): string {
  if (length === 0) return all
  return length === 32 ? formatIpv4(address) : `${formatIpv4(address)}/${length}`
}

/** As C's `%#x`, which leaves a zero bare. */
function hexText(number: number): string {
  return number === 0 ? '0' : `0x${(number >>> 0).toString(16)}`
}

function markText(mark: number, mask: number): string {
  return mask === -1 ? hexText(mark) : `${hexText(mark)}/${hexText(mask)}`
}

function deviceText({ name, ifindex }: RuleDevice): string {
  return ifindex === -1 ? `${name} [detached]` : name
}

function portsText({ first, last }: NumberRange): string {
  return first === last ? `${first}` : `${first}-${last}`
}

function actionText({ action, target, gotoRule }: FibRule, numeric: boolean): string {
  switch (action) {
    case RuleAction.TO_TBL:
      return ''
    case RuleAction.GOTO:
      return ` goto ${target}${gotoRule === null ? ' [unresolved]' : ''}`
    case RuleAction.NOP:
      return ' nop'
    default:
      return ` ${formatRouteType(action, numeric)}`
  }
}
