/**
 * `ip route add` and its kin: the words of a route, with what iproute2 fills in by itself (table and scope by
 * type), and the request that is made of them.
 */

import type { NetDevice } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import { checkTos } from '../route/fib.ts'
import { checkPrefix } from '../route/fib-table.ts'
import type { NexthopConfig, RouteAddMode, RouteConfig } from '../route/fib-types.ts'
import { Metric, NetlinkError, RouteProtocol, RouteTable, RouteType, Scope } from '../route/rtnetlink.ts'
import { type Command, findDevice } from './command.ts'
import { ADDRESS_FAMILIES, Family, parseHost, parsePrefix, parseTime, parseUnsigned } from './grammar.ts'
import { congestionKey, dsfields, parseRealms, parseRouteType, protocols, scopes, tables } from './names.ts'
import { Exit, Status, talk } from './outcome.ts'
import { usage } from './usage.ts'
import { abbreviates, abbreviatesAny, garbage, type Words, wrong } from './words.ts'

export type RouteVerb = RouteAddMode | 'delete'

/** What the words say; what they leave out is filled in afterwards. */
interface Request {
  family: number
  prefix: number
  prefixLength: number
  destinationGiven: boolean
  type: number | undefined
  table: number | undefined
  scope: number | undefined
  protocol: number | undefined
  tos: number
  priority: number
  prefsrc: number
  gateway: number
  gatewayGiven: boolean
  device: string | undefined
  onlink: boolean
  realms: number
  nexthopId: number
  metrics: Map<number, number>
  locks: number
  nexthops: NexthopConfig[] | undefined
  strangeGateway: StrangeGateway | undefined
  /** Those of its hops. */
  strangeGateways: (StrangeGateway | undefined)[]
  /** An address of no length was sent: the kernel takes none such. */
  malformed: boolean
}

/** A gateway of no length (`empty`), of zeros, or of another family; there is no IPv6 on any device. */
type StrangeGateway = 'empty' | 'zeros' | 'linkLocal' | 'global' | 'zeros6' | 'empty6' | 'other' | 'both'

/** What the kernel says of those that are no addresses. */
const FLAWS: Readonly<Partial<Record<StrangeGateway, string>>> = {
  empty: 'Invalid IPv4 address in RTA_GATEWAY',
  empty6: 'Invalid IPv6 address in RTA_VIA',
  other: 'Unsupported address family in RTA_VIA',
  both: 'Nexthop configuration can not contain both GATEWAY and VIA',
}

/** Metrics that are plain numbers, in the order of comparison; the first three must be whole. */
const NUMBERS: readonly (readonly [string, number, string, boolean])[] = [
  ['mtu', Metric.MTU, 'mtu', true],
  ['hoplimit', Metric.HOPLIMIT, 'hoplimit', true],
  ['advmss', Metric.ADVMSS, 'mss', true],
  ['reordering', Metric.REORDERING, 'reordering', false],
  ['window', Metric.WINDOW, 'window', false],
  ['cwnd', Metric.CWND, 'cwnd', false],
  ['initcwnd', Metric.INITCWND, 'initcwnd', false],
  ['initrwnd', Metric.INITRWND, 'initrwnd', false],
]

export function modifyRoute(command: Command, words: Words, verb: RouteVerb): number {
  const request = emptyRequest(command.options.family)
  while (!words.done) {
    if (words.word === 'nexthop') {
      request.nexthops = []
      break
    }
    parseWord(request, words)
    words.skip()
  }
  if (!request.destinationGiven) throw usage('route')
  let device: NetDevice | undefined
  if (request.device !== undefined) {
    device = findDevice(command, request.device)
    if (device === undefined) return Status.REFUSED
  }
  if (request.nexthops !== undefined) parseNexthops(command, words, request)
  const config = routeConfig(request, verb === 'delete', device)
  return talk(command.output, () => apply(command, request, config, verb))
}

function emptyRequest(family: number): Request {
  return {
    family,
    prefix: 0,
    prefixLength: 0,
    destinationGiven: false,
    type: undefined,
    table: undefined,
    scope: undefined,
    protocol: undefined,
    tos: 0,
    priority: 0,
    prefsrc: 0,
    gateway: 0,
    gatewayGiven: false,
    device: undefined,
    onlink: false,
    realms: 0,
    nexthopId: 0,
    metrics: new Map(),
    locks: 0,
    nexthops: undefined,
    strangeGateway: undefined,
    strangeGateways: [],
    malformed: false,
  }
}

function host(request: Request, word: string): number {
  const found = parseHost(word, request.family)
  request.family ||= found.family
  if (found.absent) request.malformed = true
  return found.address
}

/** What follows `via`: an address, or one of another family after that family's name. */
function gateway(request: Request, words: Words): { address: number; strange?: StrangeGateway } {
  const named = ADDRESS_FAMILIES.get(words.word)
  if (named !== undefined) words.next()
  const { word } = words
  const { address, absent, family } = parseHost(word, named ?? request.family)
  request.family ||= family
  // Of the route's own family; if that is not IPv4, the route is not looked at further.
  if (family === request.family) {
    if (absent) return { address, strange: 'empty' }
    return address === 0 ? { address, strange: 'zeros' } : { address }
  }
  if (family !== Family.INET6) return { address: 0, strange: 'other' }
  if (absent) return { address: 0, strange: 'empty6' }
  if (/^[0:]+$/.test(word) || word === 'default') return { address: 0, strange: 'zeros6' }
  return { address: 0, strange: /^fe[89ab]/i.test(word) ? 'linkLocal' : 'global' }
}

/** Takes the present word and what belongs to it; stands on the last of them afterwards. @throws Exit */
function parseWord(request: Request, words: Words): void {
  const { word } = words
  if (word === 'src') request.prefsrc = host(request, words.next())
  else if (word === 'as') {
    words.next()
    host(request, words.skipKeyword('to'))
  } else if (word === 'via') {
    if (request.gatewayGiven) throw wrong(word, 'use nexthop syntax to specify multiple via')
    request.gatewayGiven = true
    words.next()
    const { address, strange } = gateway(request, words)
    request.gateway = address
    if (strange === 'empty') request.malformed = true
    else if (strange !== 'zeros') request.strangeGateway = strange
  } else if (word === 'from') {
    const { family } = parsePrefix(words.next(), request.family)
    request.family ||= family
  } else if (word === 'tos' || abbreviates(word, 'dsfield')) {
    request.tos = value(words.next(), dsfields.parse(words.word), '"tos" value is invalid')
  } else if (word === 'expires') value(words.next(), parseUnsigned(words.word), '"expires" value is invalid')
  else if (abbreviatesAny(word, 'metric', 'priority') || word === 'preference') {
    request.priority = value(words.next(), parseUnsigned(words.word), '"metric" value is invalid')
  } else if (word === 'scope') {
    request.scope = value(words.next(), scopes.parse(words.word), 'invalid "scope" value')
  } else if (!parseMetric(request, words)) parseRest(request, words)
}

/** What the order of comparison puts after the metrics. */
function parseRest(request: Request, words: Words): void {
  const { word } = words
  if (abbreviates(word, 'realms')) {
    request.realms = value(words.next(), parseRealms(words.word), '"realm" value is invalid')
  } else if (word === 'onlink') request.onlink = true
  else if (word === 'nhid') {
    request.nexthopId = value(words.next(), parseUnsigned(words.word), '"id" value is invalid')
  } else if (abbreviates(word, 'protocol')) {
    request.protocol = value(words.next(), protocols.parse(words.word), '"protocol" value is invalid')
  } else if (abbreviates(word, 'table')) {
    request.table = value(words.next(), tables.parse(words.word), '"table" value is invalid')
  } else if (abbreviates(word, 'vrf')) throw wrong(words.next(), 'Invalid VRF')
  else if (word === 'dev' || word === 'oif') request.device = words.next()
  else if (abbreviates(word, 'pref')) {
    // The preference of RFC 4191, which only IPv6 heeds.
    if (!['low', 'medium', 'high'].includes(words.next())) {
      value(words.word, parseUnsigned(words.word, 255), '"pref" value is invalid')
    }
  } else if (word === 'ttl-propagate') {
    if (!abbreviatesAny(words.next(), 'enabled', 'disabled')) {
      throw wrong(words.word, '"ttl-propagate" value is invalid')
    }
  } else if (abbreviates(word, 'fastopen_no_cookie')) {
    request.metrics.set(Metric.FASTOPEN_NO_COOKIE, flag(words, 'fastopen_no_cookie'))
  } else parseDestination(request, words)
}

function parseDestination(request: Request, words: Words): void {
  words.skipKeyword('to')
  const type = /^[0-9]/.test(words.word) ? undefined : parseRouteType(words.word)
  if (type !== undefined) {
    request.type = type
    words.next()
  }
  if (abbreviates(words.word, 'help')) throw usage('route')
  if (request.destinationGiven) throw garbage('to', words.word)
  const destination = parsePrefix(words.word, request.family)
  request.family ||= destination.family
  request.prefix = destination.address
  request.prefixLength = destination.length
  request.destinationGiven = true
}

/** A metric of the path: `mtu [lock] 1400`. False if the word is none. */
function parseMetric(request: Request, words: Words): boolean {
  const { word } = words
  const number = NUMBERS.find(([name, , , whole]) => (whole ? word === name : abbreviates(word, name)))
  // `rtt` and `rto_min` stand before `window` and what follows it, and `reordering` before them.
  if (word === 'rtt') setTime(request, words, Metric.RTT, 'rtt', 8, true)
  else if (word === 'rto_min') {
    request.locks |= 1 << Metric.RTO_MIN
    setTime(request, words, Metric.RTO_MIN, 'rto_min', 1, false)
  } else if (number !== undefined) {
    const [, metric, name] = number
    lock(request, words, metric)
    const max = metric === Metric.HOPLIMIT ? 255 : 0xffffffff
    const amount = value(words.word, parseUnsigned(words.word, max), `"${name}" value is invalid`)
    request.metrics.set(metric, amount)
  } else if (abbreviates(word, 'features')) {
    if (words.next() !== 'ecn') throw wrong(words.word, '"features" value not valid')
    request.metrics.set(Metric.FEATURES, 1)
  } else if (abbreviates(word, 'quickack')) request.metrics.set(Metric.QUICKACK, flag(words, 'quickack'))
  else if (abbreviates(word, 'congctl')) {
    lock(request, words, Metric.CC_ALGO)
    request.metrics.set(Metric.CC_ALGO, congestionKey(words.word))
  } else if (abbreviates(word, 'rttvar')) setTime(request, words, Metric.RTTVAR, 'rttvar', 4, true)
  else if (abbreviates(word, 'ssthresh')) {
    lock(request, words, Metric.SSTHRESH)
    const amount = value(words.word, parseUnsigned(words.word), '"ssthresh" value is invalid')
    request.metrics.set(Metric.SSTHRESH, amount)
  } else return false
  return true
}

/** Goes on to the value of a metric, past `lock`. */
function lock(request: Request, words: Words, metric: number): void {
  if (words.next() !== 'lock') return
  request.locks |= 1 << metric
  words.next()
}

function setTime(
  request: Request,
  words: Words,
  metric: number,
  name: string,
  scale: number,
  lockable: boolean,
): void {
  if (lockable) lock(request, words, metric)
  else words.next()
  const time = parseTime(words.word)
  if (time === undefined) throw wrong(words.word, `"${name}" value is invalid`)
  request.metrics.set(metric, time.raw ? time.value : time.value * scale)
}

function flag(words: Words, name: string): number {
  const number = value(words.next(), parseUnsigned(words.word), `"${name}" value is invalid`)
  if (number > 1) throw wrong(words.word, `"${name}" value should be 0 or 1`)
  return number
}

function value(word: string, parsed: number | undefined, why: string): number {
  if (parsed === undefined) throw wrong(word, why)
  return parsed
}

/** `nexthop via G dev D weight N …`, to the end of the line. @throws Exit */
function parseNexthops(command: Command, words: Words, request: Request): void {
  while (!words.done) {
    if (words.word !== 'nexthop') {
      const text = `Error: "nexthop" or end of line is expected instead of "${words.word}"`
      throw new Exit(Status.USAGE, text)
    }
    if (words.left <= 1) throw new Exit(Status.USAGE, 'Error: unexpected end of line after "nexthop"')
    words.skip()
    request.nexthops!.push(parseNexthop(command, words, request))
  }
}

function parseNexthop(command: Command, words: Words, request: Request): NexthopConfig {
  const hop: NexthopConfig = {}
  // Of gateways and realms of one hop the first counts, and it has one of its family or one of another.
  let given: 'gateway' | 'via' | undefined
  for (; !words.done; words.skip()) {
    const { word } = words
    if (word === 'via') {
      words.next()
      const { address, strange } = gateway(request, words)
      const at = request.nexthops!.length
      const way = isVia(strange) ? 'via' : 'gateway'
      if (given === undefined) {
        hop.gateway = address
        request.strangeGateways[at] = strange
      } else if (given !== way) request.strangeGateways[at] = 'both'
      given ??= way
    } else if (word === 'dev') {
      const device = findDevice(command, words.next())
      if (device === undefined) throw new Exit(Status.USAGE, 'Error: cannot parse nexthop')
      hop.device = device
    } else if (word === 'weight') {
      const weight = value(words.next(), parseUnsigned(words.word, 256), '"weight" is invalid')
      if (weight === 0) throw wrong(words.word, '"weight" is invalid')
      hop.weight = weight
    } else if (word === 'onlink') hop.onlink = true
    else if (abbreviates(word, 'realms')) {
      const realms = value(words.next(), parseRealms(words.word), '"realm" value is invalid')
      hop.tclassid ??= realms
    } else break
  }
  return hop
}

/** Types whose routes iproute2 puts into table `local`. */
const LOCAL_TYPES: readonly number[] = [
  RouteType.LOCAL,
  RouteType.BROADCAST,
  RouteType.NAT,
  RouteType.ANYCAST,
]

function routeConfig(request: Request, deletion: boolean, device: NetDevice | undefined): RouteConfig {
  const type = request.type ?? (deletion ? RouteType.UNSPEC : RouteType.UNICAST)
  const config: RouteConfig = {
    prefix: request.prefix,
    prefixLength: request.prefixLength,
    tos: request.tos,
    type,
    table:
      (request.table === 0 ? RouteTable.MAIN : request.table) ??
      (LOCAL_TYPES.includes(type) ? RouteTable.LOCAL : RouteTable.MAIN),
    scope: request.scope ?? defaultScope(request, type, deletion),
    protocol: request.protocol ?? (deletion ? RouteProtocol.UNSPEC : RouteProtocol.BOOT),
    priority: request.priority,
    prefsrc: request.prefsrc,
    gateway: request.gateway,
    onlink: request.onlink,
    tclassid: request.realms,
  }
  if (device !== undefined) config.device = device
  if (request.metrics.size > 0) {
    if (request.locks !== 0) request.metrics.set(Metric.LOCK, request.locks)
    config.metrics = request.metrics
  }
  if (request.nexthops !== undefined) config.nexthops = request.nexthops
  return config
}

function defaultScope(request: Request, type: number, deletion: boolean): number {
  if (type === RouteType.LOCAL || type === RouteType.NAT) return Scope.HOST
  if (type === RouteType.BROADCAST || type === RouteType.MULTICAST || type === RouteType.ANYCAST)
    return Scope.LINK
  if (deletion) return Scope.NOWHERE
  const indirect = request.gatewayGiven || request.nexthops !== undefined || request.nexthopId !== 0
  return type === RouteType.UNICAST && !indirect ? Scope.LINK : Scope.UNIVERSE
}

type ForeignGateway = 'linkLocal' | 'global' | 'zeros6'

function isForeign(gateway: StrangeGateway | undefined): gateway is ForeignGateway {
  return gateway === 'linkLocal' || gateway === 'global' || gateway === 'zeros6'
}

/** It is sent with its family. */
function isVia(gateway: StrangeGateway | undefined): boolean {
  return gateway !== undefined && gateway !== 'empty' && gateway !== 'zeros'
}

/** Why no route goes by a gateway of IPv6: the device has none, or there is no way to the gateway. */
function foreignGatewayError(config: RouteConfig, gateway: ForeignGateway): NetlinkError {
  if (gateway === 'zeros6') return new NetlinkError(Errno.EINVAL, 'Invalid gateway address', 'route')
  const hops = [config, ...(config.nexthops ?? [])]
  const named = hops.some(({ device }) => device !== undefined)
  if (gateway === 'global' && !(named && hops.some(({ onlink }) => onlink))) {
    return new NetlinkError(Errno.EHOSTUNREACH, undefined, 'route')
  }
  if (!named) return new NetlinkError(Errno.EINVAL, 'Egress device not specified', 'route')
  return new NetlinkError(Errno.EACCES, 'IPv6 is disabled on nexthop device', 'route')
}

/** What an addition finds wrong with gateways, in the kernel's order. @throws NetlinkError */
function refuseStrange(config: RouteConfig, { strangeGateway, strangeGateways }: Request): void {
  for (const strange of strangeGateways) {
    const flaw = strange === undefined ? undefined : FLAWS[strange]
    if (flaw !== undefined) throw new NetlinkError(Errno.EINVAL, flaw, 'route')
  }
  const foreign = [strangeGateway, ...strangeGateways].find(isForeign)
  if (foreign !== undefined) throw foreignGatewayError(config, foreign)
}

/** What a deletion is to match of them. */
function matchStrange(config: RouteConfig, { strangeGateway, strangeGateways }: Request): void {
  if (isForeign(strangeGateway)) config.strangeGateway = 'unlike'
  for (const [at, strange] of strangeGateways.entries()) {
    if (strange === undefined) continue
    const flaw = FLAWS[strange]
    const kind = isForeign(strange) ? 'foreign' : 'unlike'
    config.nexthops![at]!.strangeGateway =
      flaw === undefined ? kind : new NetlinkError(Errno.ESRCH, flaw, 'route')
  }
}

const REJECTING: readonly number[] = [
  RouteType.BLACKHOLE,
  RouteType.UNREACHABLE,
  RouteType.PROHIBIT,
  RouteType.THROW,
]

/** What a machine answers on which IPv6 is off; routes that need no device it takes, as no stack here does. */
function routeOfSix(request: Request, config: RouteConfig, verb: RouteVerb): NetlinkError {
  const { type, table, device, protocol } = config
  const refuse = (errno: number, extack?: string): NetlinkError => new NetlinkError(errno, extack, 'route')
  if (request.tos !== 0) return refuse(Errno.EINVAL, 'Invalid dsfield (tos): option not available for IPv6')
  if (request.strangeGateway !== undefined) {
    return refuse(Errno.EINVAL, 'IPv6 does not support RTA_VIA attribute')
  }
  if (request.nexthopId !== 0) return refuse(Errno.EINVAL, 'Nexthop id does not exist')
  const plain = !request.gatewayGiven && request.nexthops === undefined
  if (verb === 'delete') {
    const there = table === RouteTable.MAIN || table === RouteTable.LOCAL
    if (!there) return refuse(Errno.ESRCH, 'FIB table does not exist')
    // At the root of each table is an entry for no route, over loopback, which is found and not there.
    const root = request.prefixLength === 0 && plain && device?.isLoopback !== false
    const any = request.priority === 0 && protocol === RouteProtocol.UNSPEC
    return refuse(root && any ? Errno.ENOENT : Errno.ESRCH)
  }
  if (!plain || REJECTING.includes(type!)) return refuse(Errno.EOPNOTSUPP)
  if (device === undefined && request.onlink)
    return refuse(Errno.ENODEV, 'Nexthop device required for onlink')
  if (device === undefined) return refuse(Errno.ENODEV)
  if (request.onlink && !device.up) return refuse(Errno.ENETDOWN, 'Nexthop device is not up')
  return refuse(Errno.EACCES, 'IPv6 is disabled on nexthop device')
}

/** @throws NetlinkError */
function apply({ stack }: Command, request: Request, config: RouteConfig, verb: RouteVerb): void {
  const { fib } = stack.routing
  const refuse = (extack: string): NetlinkError => new NetlinkError(Errno.EINVAL, extack, 'route')
  if (request.malformed && request.family === Family.INET6) throw refuse('Attribute failed policy validation')
  if (request.family === Family.INET6) throw routeOfSix(request, config, verb)
  if (request.family !== Family.UNSPEC && request.family !== Family.INET) {
    throw new NetlinkError(Errno.EOPNOTSUPP, undefined, 'route')
  }
  if (request.malformed) throw refuse('Attribute failed policy validation')
  checkTos(request.tos)
  const { strangeGateway } = request
  const flaw = strangeGateway === undefined ? undefined : FLAWS[strangeGateway]
  if (flaw !== undefined) throw refuse(flaw)
  checkPrefix(request.prefix, request.prefixLength)
  if (request.nexthopId !== 0 && (isForeign(strangeGateway) || request.nexthops !== undefined)) {
    throw refuse('Nexthop specification and nexthop id are mutually exclusive')
  }
  if (verb === 'delete') matchStrange(config, request)
  else {
    fib.needTable(config.table!)
    refuseStrange(config, request)
  }
  config.nexthopId = request.nexthopId
  if (verb === 'delete') fib.deleteRoute(config)
  else fib.addRoute(config, verb)
}
