/** `ip rule`: its verbs, and the words of a rule. */
import { Errno } from '../errors.ts'
import type { FibRule, RuleConfig } from '../route/fib-rules.ts'
import { NetlinkError, RouteProtocol, RouteTable, RouteType, RuleAction } from '../route/rtnetlink.ts'
import type { Command } from './command.ts'
import { beginDump, restoreRules } from './dump.ts'
import {
  Family,
  isDeviceName,
  parseParts,
  parsePrefix,
  parseRange,
  parseSigned,
  parseUnsigned,
  parseUnsigned64,
} from './grammar.ts'
import { dsfields, groups, parseIpProtocol, parseRealms, parseRouteType, protocols, tables } from './names.ts'
import { Exit, Status, talk } from './outcome.ts'
import { Printer } from './printer.ts'
import { parseRuleFilter, rulePasses } from './rule-filter.ts'
import { encodeRule } from './rule-netlink.ts'
import { printRule } from './rule-printer.ts'
import { usage } from './usage.ts'
import { abbreviates, abbreviatesAny, unknownCommand, type Words, wrong } from './words.ts'

export function rule(command: Command, words: Words): number {
  if (words.done) return showRules(command, words)
  const { word } = words
  words.skip()
  if (abbreviatesAny(word, 'list', 'lst', 'show')) return showRules(command, words)
  if (abbreviates(word, 'save')) return saveRules(command, words)
  if (abbreviates(word, 'add')) return modifyRule(command, words, 'add')
  if (abbreviates(word, 'delete')) return modifyRule(command, words, 'del')
  if (abbreviates(word, 'flush')) return flushRules(command, words)
  if (abbreviates(word, 'restore')) return restoreRules(command)
  if (abbreviates(word, 'help')) throw usage('rule')
  throw unknownCommand(word, 'rule help')
}

/** Only families of the Internet have rules. */
function hasRules(family: number): boolean {
  return family === Family.UNSPEC || family === Family.INET
}

/** True after a complaint, which overtakes the beginning of a list. */
function noRules({ options, output }: Command, printer?: Printer): boolean {
  if (hasRules(options.family)) return false
  if (printer !== undefined) output.hold(printer.take())
  output.complain('RTNETLINK answers: Address family not supported by protocol')
  output.complain('Dump terminated')
  return true
}

function showRules(command: Command, words: Words): number {
  const filter = parseRuleFilter(command, words)
  const printer = new Printer(command.options)
  printer.begin()
  if (noRules(command, printer)) return Status.USAGE
  for (const each of command.stack.routing.fib.rules) {
    if (rulePasses(filter, each)) printRule(printer, command, each)
  }
  printer.end()
  command.output.writeSome(printer.take())
  return Status.OK
}

function saveRules(command: Command, words: Words): number {
  const filter = parseRuleFilter(command, words)
  if (!beginDump(command, 'rule')) return Status.REFUSED
  if (noRules(command)) return Status.USAGE
  for (const each of command.stack.routing.fib.rules) {
    if (rulePasses(filter, each)) command.dumps.write(encodeRule(each))
  }
  return Status.OK
}

/** Rules of priority 0 stay: their dump names no priority. */
function flushRules(command: Command, words: Words): number {
  const { fib } = command.stack.routing
  const filter = parseRuleFilter(command, words)
  const printer = new Printer(command.options)
  printer.begin()
  if (noRules(command, printer)) return Status.USAGE
  const doomed = [...fib.rules].filter(
    (each) =>
      each.priority !== 0 &&
      rulePasses(filter, each) &&
      (filter.protocol === undefined || filter.protocol === each.protocol),
  )
  for (const each of doomed) {
    const status = talk(command.output, () => fib.deleteRule(configOf(each)))
    if (status !== Status.OK) return status
  }
  printer.end()
  command.output.writeSome(printer.take())
  return Status.OK
}

/** A request to delete this very rule: all that a dump says of it. */
function configOf(each: FibRule): RuleConfig {
  const config: RuleConfig = { priority: each.priority, action: each.action, table: each.table }
  if (each.target !== 0) config.target = each.target
  if (each.fromLength !== 0) config.from = { address: each.from, length: each.fromLength }
  if (each.toLength !== 0) config.to = { address: each.to, length: each.toLength }
  if (each.iif !== null) config.iif = each.iif.name
  if (each.oif !== null) config.oif = each.oif.name
  if (each.mark !== 0) config.mark = each.mark
  if (each.markMask !== 0) config.markMask = each.markMask
  if (each.l3mdev) config.l3mdev = true
  return config
}

function modifyRule(command: Command, words: Words, verb: 'add' | 'del'): number {
  const { stack, output, options } = command
  if (words.done) {
    output.complain(`"ip rule ${verb}" requires arguments.`)
    return Status.REFUSED
  }
  const request: Request = { config: {}, table: undefined, six: undefined, tableGiven: false }
  if (verb === 'add') {
    request.config.action = RuleAction.TO_TBL
    request.config.protocol = RouteProtocol.UNSPEC
  }
  for (; !words.done; words.skip()) parseWord(command, request, words, options.family)
  const { config } = request
  if (request.table !== undefined) config.table = request.table
  if (config.l3mdev && config.table) {
    output.complain('table can not be specified for l3mdev rules')
    return Errno.EINVAL
  }
  // Where the action is that of a lookup, by whatever word, the table is main only if nothing was said of it.
  if (verb === 'add') config.table ??= request.tableGiven ? RouteTable.UNSPEC : RouteTable.MAIN
  return talk(output, () => {
    if (!hasRules(options.family)) {
      throw new NetlinkError(Errno.EAFNOSUPPORT, 'Rule family not supported', 'rule')
    }
    if (request.six !== undefined) {
      const extack = request.six === 'from' ? 'Invalid source address' : 'Invalid dst address'
      throw new NetlinkError(Errno.EINVAL, extack, 'rule')
    }
    const { fib } = stack.routing
    if (verb === 'add') fib.addRule(config)
    else fib.deleteRule(config)
  })
}

interface Request {
  config: RuleConfig
  /** The table that was named. */
  table: number | undefined
  /** Has an address of IPv6; `from` if both have one, for that is looked at first. */
  six: 'from' | 'to' | undefined
  /** A table was given, or an action that needs none. */
  tableGiven: boolean
}

/** @throws Exit */
function parseWord({ output }: Command, request: Request, words: Words, family: number): void {
  const { config } = request
  const { word } = words
  if (word === 'not') config.invert = true
  else if (word === 'from' || word === 'to') {
    const prefix = parsePrefix(words.next(), family)
    if (prefix.family === Family.INET6 && prefix.length > 0 && request.six !== 'from') request.six = word
    config[word] = { address: prefix.address, length: prefix.family === Family.INET6 ? 0 : prefix.length }
  } else if (abbreviatesAny(word, 'preference', 'order', 'priority')) {
    config.priority = value(words.next(), parseUnsigned(words.word), 'preference value is invalid')
  } else if (word === 'tos' || abbreviates(word, 'dsfield')) {
    config.tos = value(words.next(), dsfields.parse(words.word), 'TOS value is invalid')
  } else if (word === 'fwmark') parseMark(config, words.next())
  else if (abbreviates(word, 'realms')) {
    config.tclassid = value(words.next(), parseRealms(words.word), 'invalid realms')
  } else if (abbreviates(word, 'protocol')) {
    config.protocol = value(words.next(), protocols.parse(words.word), '"protocol" value is invalid')
  } else if (abbreviates(word, 'tun_id')) {
    config.tunId = value(words.next(), parseUnsigned64(words.word), '"tun_id" value is invalid')
  } else if (abbreviates(word, 'table') || word === 'lookup') {
    request.table = value(words.next(), tables.parse(words.word), 'invalid table ID')
    request.tableGiven = true
  } else if (abbreviates(word, 'suppress_prefixlength') || word === 'sup_pl') {
    const length = value(words.next(), parseSigned(words.word), 'suppress_prefixlength value is invalid')
    if (length < 0) throw wrong(words.word, 'suppress_prefixlength value is invalid')
    config.suppressPrefixLength = length
  } else if (abbreviates(word, 'suppress_ifgroup') || word === 'sup_group') {
    config.suppressGroup = value(words.next(), groups.parse(words.word), 'Invalid "suppress_ifgroup" value')
  } else if (word === 'dev' || word === 'iif') {
    if (!isDeviceName(words.next())) throw wrong(words.word, '"iif"/"dev" not a valid ifname', false)
    config.iif = words.word
  } else if (word === 'oif') {
    if (!isDeviceName(words.next())) throw wrong(words.word, '"oif" not a valid ifname', false)
    config.oif = words.word
  } else if (word === 'l3mdev') {
    config.l3mdev = true
    request.tableGiven = true
  } else if (word === 'uidrange') {
    const range = parseRange(words.next(), 32)
    if (range?.last === undefined) throw wrong(words.word, 'invalid UID range')
    config.uidRange = { first: range.first, last: range.last }
  } else if (word === 'ipproto') {
    config.protocolNumber = value(words.next(), parseIpProtocol(words.word), 'Invalid "ipproto" value')
  } else if (word === 'sport' || word === 'dport') {
    const range = parseRange(words.next(), 16)
    if (range === undefined) throw wrong(words.word, `invalid ${word === 'sport' ? '' : 'd'}port range`)
    config[word] = { first: range.first, last: range.last ?? range.first }
  } else if (word === 'nat' || abbreviates(word, 'map-to')) {
    words.next()
    output.complain('Warning: route NAT is deprecated')
    if (parseParts(words.word) === undefined && !['default', 'any', 'all'].includes(words.word)) {
      throw new Exit(1, `Error: an IP address is expected rather than "${words.word}"`)
    }
    config.action = RouteType.NAT
  } else {
    words.skipKeyword('type')
    parseAction(config, words)
    request.tableGiven = true
  }
}

function parseMark(config: RuleConfig, word: string): void {
  const slash = word.indexOf('/')
  const mark = slash < 0 ? word : word.slice(0, slash)
  config.mark = value(mark, parseUnsigned(mark), 'fwmark value is invalid')
  if (slash < 0) return
  const mask = word.slice(slash + 1)
  config.markMask = value(mask, parseUnsigned(mask), 'fwmask value is invalid')
}

function parseAction(config: RuleConfig, words: Words): void {
  const { word } = words
  if (abbreviates(word, 'help')) throw usage('rule')
  if (abbreviates(word, 'goto')) {
    config.action = RuleAction.GOTO
    config.target = value(words.next(), parseUnsigned(words.word), 'invalid target')
  } else if (abbreviates(word, 'nop')) config.action = RuleAction.NOP
  else {
    const type = parseRouteType(word)
    if (type === undefined) throw wrong(word, 'Failed to parse rule type', false)
    config.action = type
  }
}

function value<T>(word: string, parsed: T | undefined, why: string): T {
  if (parsed === undefined) throw wrong(word, why)
  return parsed
}
