/**
 * Which routes `route show` and `route flush` mean: the words after the verb, and whether a route fits them.
 * `root P` is P and what is inside it, `match P` is P and what contains it, P alone is P.
 */
import { ipv4Mask } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { RouteTable } from '../route/rtnetlink.ts'
import { type Command, findDevice } from './command.ts'
import { ADDRESS_FAMILIES, Family, type InetPrefix, parsePrefix, parseUnsigned } from './grammar.ts'
import { dsfields, parseRealms, parseRouteType, protocols, scopes, tables } from './names.ts'
import type { RouteMessage } from './route-message.ts'
import { usage } from './usage.ts'
import { abbreviates, abbreviatesAny, type Words, wrong } from './words.ts'

/** What is `undefined` lets everything through. */
export interface RouteFilter {
  /** 0: all of them. */
  table: number
  protocol?: number
  scope?: number
  type?: number
  tos?: number
  metric?: number
  mark?: number
  device?: NetDevice
  incoming?: NetDevice
  via?: InetPrefix
  source?: InetPrefix
  realms?: { value: number; mask: number }
  root?: InetPrefix
  match?: InetPrefix
  /** Routes with a source prefix, which IPv4 has none of. */
  from?: InetPrefix
  /** The route cache, which is always empty. */
  cached: boolean
  /** Only routes of IPv6 and the like: none. */
  otherFamily: boolean
}

export function noFilter(): RouteFilter {
  return { table: 0, cached: false, otherFamily: false }
}

/** `undefined` after a complaint. @throws Exit */
export function parseRouteFilter(command: Command, words: Words): RouteFilter | undefined {
  const { family } = command.options
  const filter: RouteFilter = { table: RouteTable.MAIN, cached: false, otherFamily: false }
  let device: string | undefined
  let incoming: string | undefined
  for (; !words.done; words.skip()) {
    const { word } = words
    if (abbreviates(word, 'table')) parseTable(filter, words.next())
    else if (abbreviates(word, 'vrf')) throw wrong(words.next(), 'Invalid VRF')
    else if (abbreviatesAny(word, 'cached', 'cloned')) filter.cached = true
    else if (word === 'tos' || abbreviates(word, 'dsfield')) {
      filter.tos = valid(words.next(), dsfields.parse(words.word), 'TOS value is invalid')
    } else if (abbreviates(word, 'protocol')) {
      const value = protocols.parse(words.next())
      if (value === undefined && words.word !== 'all') throw wrong(words.word, 'invalid "protocol"')
      setOrClear(filter, 'protocol', value)
    } else if (abbreviates(word, 'scope')) {
      const value = scopes.parse(words.next())
      if (value === undefined && words.word !== 'all') throw wrong(words.word, 'invalid "scope"')
      setOrClear(filter, 'scope', value)
    } else if (abbreviates(word, 'type')) {
      filter.type = valid(words.next(), parseRouteType(words.word), 'node type value is invalid')
    } else if (word === 'dev' || word === 'oif') device = words.next()
    else if (word === 'iif') incoming = words.next()
    else if (word === 'mark') {
      const mark = parseUnsigned(words.next())
      if (mark === undefined) throw wrong(words.word, 'invalid mark value', false)
      filter.mark = mark
    } else if (abbreviatesAny(word, 'metric', 'priority') || word === 'preference') {
      filter.metric = valid(words.next(), parseUnsigned(words.word), '"metric" value is invalid')
    } else if (word === 'via') {
      const of = ADDRESS_FAMILIES.get(words.next())
      if (of !== undefined) words.next()
      filter.via = prefixOf(words.word, of ?? family)
    } else if (word === 'src') filter.source = prefixOf(words.next(), family)
    else if (abbreviates(word, 'realms')) parseRealmFilter(filter, words.next())
    else if (abbreviates(word, 'from')) {
      words.next()
      const root = abbreviates(words.word, 'root')
      const match = !root && abbreviates(words.word, 'match')
      if (root || match || abbreviates(words.word, 'exact')) words.next()
      const prefix = prefixOf(words.word, family)
      // Any prefix contains that of a route without one.
      if (!match) filter.from = prefix
    } else {
      if (abbreviates(word, 'to')) words.next()
      parseDestination(filter, words, family)
    }
  }
  if (incoming !== undefined) {
    const found = findDevice(command, incoming)
    if (found === undefined) return undefined
    filter.incoming = found
  }
  if (device !== undefined) {
    const found = findDevice(command, device)
    if (found === undefined) return undefined
    filter.device = found
  }
  const prefixes = [filter.via, filter.source, filter.root, filter.match, filter.from]
  if (family !== Family.UNSPEC && family !== Family.INET) filter.otherFamily = true
  if (prefixes.some((prefix) => prefix?.family === Family.INET6)) filter.otherFamily = true
  return filter
}

function parseTable(filter: RouteFilter, word: string): void {
  const table = tables.parse(word)
  if (table !== undefined) filter.table = table
  else if (word === 'all') filter.table = 0
  else if (word === 'cache') filter.cached = true
  else if (word === 'help') throw usage('route')
  else throw wrong(word, 'table id value is invalid')
}

function parseRealmFilter(filter: RouteFilter, word: string): void {
  const value = parseRealms(word)
  if (value === undefined) throw wrong(word, 'invalid realms')
  let mask = -1
  if ((value & 0xffff) === 0 && word.endsWith('/')) mask &= ~0xffff
  if (value >>> 16 === 0 && (!word.includes('/') || word.startsWith('/'))) mask &= 0xffff
  filter.realms = { value, mask }
}

function parseDestination(filter: RouteFilter, words: Words, family: number): void {
  const root = abbreviates(words.word, 'root')
  const match = !root && abbreviates(words.word, 'match')
  if (root || match || abbreviates(words.word, 'exact')) words.next()
  const prefix = prefixOf(words.word, family)
  // Unlike the default, these two are prefixes of no length at all, which let everything through.
  const everything = words.word === 'any' || words.word === 'all'
  if (!match) setOrClear(filter, 'root', everything ? undefined : prefix)
  if (!root) setOrClear(filter, 'match', everything ? undefined : prefix)
}

/** `default` is a prefix of IPv4 here, whatever the family. */
function prefixOf(word: string, family: number): InetPrefix {
  const prefix = parsePrefix(word, family)
  return prefix.absent ? { ...prefix, family: family === Family.UNSPEC ? Family.INET : family } : prefix
}

function valid(word: string, value: number | undefined, why: string): number {
  if (value === undefined) throw wrong(word, why)
  return value
}

function setOrClear<K extends 'protocol' | 'scope' | 'root' | 'match'>(
  filter: RouteFilter,
  key: K,
  value: RouteFilter[K] | undefined,
): void {
  if (value === undefined) delete filter[key]
  else filter[key] = value
}

/** The route fits all that was given. */
export function passes(filter: RouteFilter, route: RouteMessage): boolean {
  const { root, match, via, source, realms, from } = filter
  if (filter.otherFamily || filter.cached) return false
  if (filter.table !== 0 && filter.table !== route.table) return false
  if (differs(filter.protocol, route.protocol) || differs(filter.scope, route.scope)) return false
  if (differs(filter.type, route.type) || differs(filter.tos, route.tos)) return false
  if (differs(filter.metric, route.metric) || differs(filter.mark, 0)) return false
  if (filter.device !== undefined && filter.device !== route.device) return false
  if (filter.incoming !== undefined) return false
  if (root !== undefined && (root.length > route.prefixLength || !within(route.prefix, root))) return false
  if (match !== undefined) {
    if (match.length < route.prefixLength) return false
    if (((route.prefix ^ match.address) & ipv4Mask(route.prefixLength)) !== 0) return false
  }
  if (via !== undefined && !within(route.gateway, via)) return false
  if (source !== undefined && !within(route.prefsrc, source)) return false
  if (from !== undefined && from.length > 0) return false
  return realms === undefined || ((route.realms ^ realms.value) & realms.mask) === 0
}

function differs(wanted: number | undefined, there: number): boolean {
  return wanted !== undefined && wanted !== there
}

function within(address: number, prefix: InetPrefix): boolean {
  return ((address ^ prefix.address) & ipv4Mask(prefix.length)) === 0
}
