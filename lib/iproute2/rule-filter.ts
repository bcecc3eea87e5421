/** Which rules `rule show` and `rule flush` mean. */
import { ipv4Mask } from '../address/ipv4-address.ts'
import type { FibRule, NumberRange } from '../route/fib-rules.ts'
import type { Command } from './command.ts'
import {
  Family,
  type InetPrefix,
  isDeviceName,
  parsePrefix,
  parseRange,
  parseUnsigned,
  parseUnsigned64,
} from './grammar.ts'
import { dsfields, parseIpProtocol, protocols, tables } from './names.ts'
import { NO_UID } from './rule-printer.ts'
import { abbreviates, abbreviatesAny, type Words, wrong } from './words.ts'

/** What is `undefined` lets everything through. */
export interface RuleFilter {
  priority?: number
  inverted?: boolean
  tos?: number
  /** 0 is the same as none. */
  mark?: number
  markMask?: number
  iif?: string
  oif?: string
  uidRange?: NumberRange
  l3mdev?: boolean
  tunId?: bigint
  protocolNumber?: number
  sport?: NumberRange
  dport?: NumberRange
  from?: InetPrefix
  to?: InetPrefix
  /** 0 is the same as none. */
  table?: number
  /** Of who made the rule; only a flush heeds it. */
  protocol?: number
}

/** @throws Exit */
export function parseRuleFilter({ options }: Command, words: Words): RuleFilter {
  const family = options.family === Family.UNSPEC ? Family.INET : options.family
  const filter: RuleFilter = {}
  for (; !words.done; words.skip()) {
    const { word } = words
    if (abbreviatesAny(word, 'preference', 'order', 'priority')) {
      filter.priority = value(words.next(), parseUnsigned(words.word), 'preference value is invalid')
    } else if (word === 'not') filter.inverted = true
    else if (word === 'tos' || word === 'dsfield') {
      filter.tos = value(words.next(), dsfields.parse(words.word), 'TOS value is invalid')
    } else if (word === 'fwmark') parseMark(filter, words.next())
    else if (word === 'dev' || word === 'iif') {
      if (!isDeviceName(words.next())) throw wrong(words.word, '"iif"/"dev" not a valid ifname', false)
      filter.iif = words.word
    } else if (word === 'oif') {
      if (!isDeviceName(words.next())) throw wrong(words.word, '"oif" not a valid ifname', false)
      filter.oif = words.word
    } else if (word === 'l3mdev') filter.l3mdev = true
    else if (word === 'uidrange') {
      const range = parseRange(words.next(), 32)
      if (range?.last === undefined) throw wrong(words.word, 'invalid UID range')
      filter.uidRange = { first: range.first, last: range.last }
    } else if (abbreviates(word, 'tun_id')) {
      filter.tunId = value(words.next(), parseUnsigned64(words.word), '"tun_id" value is invalid')
    } else if (abbreviatesAny(word, 'lookup', 'table')) {
      filter.table = value(words.next(), tables.parse(words.word), 'table id value is invalid')
    } else if (abbreviatesAny(word, 'from', 'src')) filter.from = parsePrefix(words.next(), family)
    else if (abbreviates(word, 'protocol')) {
      const protocol = protocols.parse(words.next())
      if (protocol === undefined && words.word !== 'all') throw wrong(words.word, 'invalid "protocol"')
      if (protocol === undefined) delete filter.protocol
      else filter.protocol = protocol
    } else if (word === 'ipproto') {
      filter.protocolNumber = value(words.next(), parseIpProtocol(words.word), 'Invalid "ipproto" value')
    } else if (word === 'sport' || word === 'dport') {
      const range = parseRange(words.next(), 16)
      if (range === undefined) throw wrong(words.word, `invalid ${word === 'sport' ? '' : 'd'}port range`)
      filter[word] = { first: range.first, last: range.last ?? range.first }
    } else {
      if (abbreviatesAny(word, 'dst', 'to')) words.next()
      filter.to = parsePrefix(words.word, family)
    }
  }
  return filter
}

function parseMark(filter: RuleFilter, word: string): void {
  const slash = word.indexOf('/')
  const mark = slash < 0 ? word : word.slice(0, slash)
  filter.mark = value(mark, parseUnsigned(mark), 'fwmark value is invalid')
  if (slash < 0) return
  const mask = word.slice(slash + 1)
  filter.markMask = value(mask, parseUnsigned(mask), 'fwmask value is invalid')
}

function value<T>(word: string, parsed: T | undefined, why: string): T {
  if (parsed === undefined) throw wrong(word, why)
  return parsed
}

export function rulePasses(filter: RuleFilter, rule: FibRule): boolean {
  if (filter.priority !== undefined && filter.priority !== rule.priority) return false
  if (filter.inverted === true && !rule.invert) return false
  if (!covers(filter.from, rule.from, rule.fromLength) || !covers(filter.to, rule.to, rule.toLength))
    return false
  if (filter.tos !== undefined && filter.tos !== rule.tos) return false
  if (filter.mark && filter.mark !== rule.mark >>> 0) return false
  if (filter.markMask && filter.markMask !== rule.markMask >>> 0) return false
  if (filter.iif !== undefined && filter.iif !== rule.iif?.name) return false
  if (filter.oif !== undefined && filter.oif !== rule.oif?.name) return false
  if (filter.l3mdev === true && !rule.l3mdev) return false
  if (filter.tunId && filter.tunId !== rule.tunId) return false
  if (filter.uidRange !== undefined) {
    // One of all users is not told of.
    if (rule.uidRange.last === NO_UID || !sameRange(filter.uidRange, rule.uidRange)) return false
  }
  if (filter.protocolNumber && filter.protocolNumber !== rule.protocolNumber) return false
  if (filter.sport?.first && !sameRange(filter.sport, rule.sport)) return false
  if (filter.dport?.first && !sameRange(filter.dport, rule.dport)) return false
  return !filter.table || filter.table === rule.table
}

function covers(prefix: InetPrefix | undefined, address: number, length: number): boolean {
  if (prefix === undefined) return true
  if (prefix.family === Family.INET6 || prefix.length > length) return false
  return ((address ^ prefix.address) & ipv4Mask(prefix.length)) === 0
}

function sameRange(a: NumberRange, b: NumberRange): boolean {
  return a.first === b.first && a.last === b.last
}
