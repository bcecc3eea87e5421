/** How `ip rule` prints a rule: its selectors, the table or action, and what narrows the answer. */
import { formatIpv4 } from '../address/ipv4-address.ts'
import type { FibRule, NumberRange, RuleDevice } from '../route/fib-rules.ts'
import { RouteProtocol, RouteType, RuleAction } from '../route/rtnetlink.ts'
import type { Command } from './command.ts'
import {
  dsfields,
  formatIpProtocol,
  formatRealms,
  formatRouteType,
  groups,
  protocols,
  realmNames,
  tables,
} from './names.ts'
import type { Printer } from './printer.ts'

/** The end of the range of a rule that names none: no user has that number. */
export const NO_UID = 0xffffffff

export function printRule(printer: Printer, { options }: Command, rule: FibRule): void {
  const { numeric } = options
  printer.openObject()
  printer.field('priority', rule.priority, `${rule.priority}:\t`)
  if (rule.invert) printer.field('not', null, 'not ')
  printPrefix(printer, 'src', 'from ', rule.from, rule.fromLength)
  if (rule.toLength !== 0) printPrefix(printer, 'dst', ' to ', rule.to, rule.toLength)
  if (rule.tos !== 0) word(printer, 'tos', ' tos ', dsfields.format(rule.tos, numeric))
  if (rule.mark !== 0 || rule.markMask !== 0) printMark(printer, rule.mark, rule.markMask)
  if (rule.iif !== null) printDevice(printer, 'iif', rule.iif)
  if (rule.oif !== null) printDevice(printer, 'oif', rule.oif)
  if (rule.l3mdev) printer.field('l3mdev', null, ' lookup [l3mdev-table]')
  if (rule.uidRange.last !== NO_UID) {
    printer.field('uid_start', rule.uidRange.first, ` uidrange ${rule.uidRange.first}`)
    printer.field('uid_end', rule.uidRange.last, `-${rule.uidRange.last}`)
  }
  if (rule.protocolNumber !== 0) {
    word(printer, 'ipproto', ' ipproto ', formatIpProtocol(rule.protocolNumber, numeric))
  }
  if (rule.sport.first !== 0) printPorts(printer, 'sport', rule.sport)
  if (rule.dport.first !== 0) printPorts(printer, 'dport', rule.dport)
  if (rule.tunId !== 0n) printer.field('tun_id', rule.tunId, ` tun_id ${rule.tunId}`)
  if (rule.table !== 0) {
    word(printer, 'table', ' lookup ', tables.format(rule.table, numeric))
    if (rule.suppressPrefixLength !== -1) {
      word(printer, 'suppress_prefixlen', ' suppress_prefixlength ', rule.suppressPrefixLength)
    }
    if (rule.suppressGroup !== -1) {
      word(printer, 'suppress_ifgroup', ' suppress_ifgroup ', groups.format(rule.suppressGroup, numeric))
    }
  }
  if (rule.tclassid !== 0) printRealms(printer, rule.tclassid, numeric)
  printAction(printer, rule, numeric)
  const named = rule.protocol !== RouteProtocol.UNSPEC && rule.protocol !== RouteProtocol.KERNEL
  if (named || options.details) word(printer, 'protocol', ' proto ', protocols.format(rule.protocol, numeric))
  printer.text('\n')
  printer.closeObject()
}

function word(printer: Printer, name: string, before: string, value: string | number): void {
  printer.field(name, value, `${before}${value}`)
}

function printPrefix(printer: Printer, name: string, before: string, address: number, length: number): void {
  word(printer, name, before, length === 0 ? 'all' : formatIpv4(address))
  if (length !== 0 && length !== 32) word(printer, `${name}len`, '/', length)
}

/** As C's `%#x`, which leaves a zero bare. */
function hexText(number: number): string {
  return number === 0 ? '0' : `0x${(number >>> 0).toString(16)}`
}

function printMark(printer: Printer, mark: number, mask: number): void {
  word(printer, 'fwmark', ' fwmark ', hexText(mark))
  if (mask !== -1) word(printer, 'fwmask', '/', hexText(mask))
}

function printDevice(printer: Printer, name: string, device: RuleDevice): void {
  word(printer, name, ` ${name} `, device.name)
  if (device.ifindex === -1) printer.field(`${name}_detached`, null, ' [detached]')
}

function printPorts(printer: Printer, name: string, { first, last }: NumberRange): void {
  if (first === last) {
    word(printer, name, ` ${name} `, first)
    return
  }
  word(printer, `${name}_start`, ` ${name} `, first)
  word(printer, `${name}_end`, '-', last)
}

function printRealms(printer: Printer, realms: number, numeric: boolean): void {
  printer.text(` realms ${formatRealms(realms, numeric)}`)
  if (realms >>> 16 !== 0) printer.member('flow_from', realmNames.format(realms >>> 16, numeric))
  printer.member('flow_to', realmNames.format(realms & 0xffff, numeric))
}

function printAction(printer: Printer, { action, target, gotoRule }: FibRule, numeric: boolean): void {
  if (action === RuleAction.GOTO) {
    word(printer, 'goto', ' goto ', target)
    if (gotoRule === null) printer.field('unresolved', null, ' [unresolved]')
  } else if (action === RuleAction.NOP) printer.field('nop', null, ' nop')
  else if (action === RouteType.NAT) printer.field('masquerade', null, ' masquerade')
  else if (action !== RuleAction.TO_TBL) word(printer, 'action', ' ', formatRouteType(action, numeric))
}
