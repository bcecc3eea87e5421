/**
 * `ip route get`: asks routing where a packet would go, as one of this host or, with `iif`, as one that came in,
 * and prints the decision, or with `fibmatch` the entry of the table that it rests on.
 */
import type { NetDevice } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import { METRICS } from '../route/fib-metrics.ts'
import type { FibResult } from '../route/fib-types.ts'
import { Flow4 } from '../route/flow.ts'
import { InputAction, type Route } from '../route/route.ts'
import { Metric, NetlinkError, NexthopFlag, RouteFlag, RouteType } from '../route/rtnetlink.ts'
import { type Command, findDevice } from './command.ts'
import { Family, type InetPrefix, parsePrefix, parseUnsigned } from './grammar.ts'
import { dsfields, parseIpProtocol } from './names.ts'
import { Status, talk } from './outcome.ts'
import { Printer } from './printer.ts'
import { noFilter } from './route-filter.ts'
import { entryMessage, type RouteMessage } from './route-message.ts'
import { NOTIFY_CACHED, printRoute } from './route-printer.ts'
import { usage } from './usage.ts'
import { abbreviates, type Words, wrong } from './words.ts'

interface Question {
  family: number
  destination: InetPrefix | undefined
  source: InetPrefix | undefined
  /** It has bytes, if only zeros: as `default` has where the family is known. */
  sourceSent: boolean
  incoming: string | undefined
  outgoing: string | undefined
  tos: number
  mark: number
  uid: number | undefined
  protocol: number | undefined
  sport: number
  dport: number
  fibmatch: boolean
  connected: boolean
  notify: boolean
  /** `as`, which no strict request may have. */
  translated: boolean
}

const ICMP = 1
const TCP = 6
const UDP = 17
const ICMPV6 = 58
/** How long an address is of whom it can be asked where packets go. */
const WHOLE: Readonly<Record<number, number>> = { [Family.INET]: 32, [Family.INET6]: 128 }
/** `RTM_F_NOTIFY` */
const NOTIFY = 0x100
/** Decisions that were told of before. */
const known = new WeakSet<Route>()
/** Decisions of whose change somebody wished to hear: they stay marked. */
const notified = new WeakSet<Route>()
/** The bits of the TOS octet that routing looks at. */
const TOS_BITS = 0xfc

export function getRoute(command: Command, words: Words): number {
  const { output } = command
  const question = parseQuestion(command, words)
  if (question.destination === undefined) {
    output.complain('need at least a destination address')
    return Status.REFUSED
  }
  const incoming = question.incoming === undefined ? null : findDevice(command, question.incoming)
  if (incoming === undefined) return Status.REFUSED
  const outgoing = question.outgoing === undefined ? null : findDevice(command, question.outgoing)
  if (outgoing === undefined) return Status.REFUSED

  const reply = { source: 0 }
  // Only the first answer is JSON.
  let asked = 0
  const answer = (): number =>
    talk(output, () => {
      const message = ask(command, question, question.destination!, incoming, outgoing)
      reply.source = message.prefsrc
      const printer = new Printer({ ...command.options, json: command.options.json && asked++ === 0 })
      printer.begin()
      printRoute(printer, command, message, noFilter())
      // Whoever learns no source to go on with ends before the list does.
      const stuck = question.connected && question.source === undefined && message.prefsrc === 0
      if (!stuck) printer.end()
      output.write(printer.take())
    })
  const status = answer()
  if (status !== Status.OK || !question.connected || question.source !== undefined) return status
  // With `connected`, iproute2 asks again, in the same words, unless it learnt no source to ask with.
  if (reply.source !== 0) return answer()
  output.complain('Failed to connect the route')
  return Status.REFUSED
}

function parseQuestion(command: Command, words: Words): Question {
  const { output } = command
  const question: Question = {
    family: command.options.family,
    destination: undefined,
    source: undefined,
    sourceSent: false,
    incoming: undefined,
    outgoing: undefined,
    tos: 0,
    mark: 0,
    uid: undefined,
    protocol: undefined,
    sport: 0,
    dport: 0,
    fibmatch: false,
    connected: false,
    notify: false,
    translated: false,
  }
  for (; !words.done; words.skip()) {
    const { word } = words
    if (word === 'tos' || abbreviates(word, 'dsfield')) {
      question.tos = number(words.next(), dsfields.parse(words.word), 'TOS value is invalid')
    } else if (abbreviates(word, 'from')) {
      if (abbreviates(words.next(), 'help')) throw usage('route')
      question.source = parsePrefix(words.word, question.family)
      const known = words.word === 'default' && question.family !== Family.UNSPEC
      question.sourceSent = known || !question.source.absent
      question.family ||= question.source.family
    } else if (abbreviates(word, 'iif')) question.incoming = words.next()
    else if (abbreviates(word, 'mark')) {
      question.mark = number(words.next(), parseUnsigned(words.word), 'invalid mark value', false)
    } else if (abbreviates(word, 'oif') || word === 'dev') question.outgoing = words.next()
    else if (abbreviates(word, 'notify')) question.notify = true
    else if (abbreviates(word, 'connected')) question.connected = true
    else if (abbreviates(word, 'vrf')) throw wrong(words.next(), 'Invalid VRF')
    else if (abbreviates(word, 'uid')) {
      question.uid = number(words.next(), parseUnsigned(words.word), 'invalid UID')
    } else if (abbreviates(word, 'fibmatch')) question.fibmatch = true
    else if (word === 'as') {
      words.next()
      words.skipKeyword('to')
      question.translated = true
    } else if (abbreviates(word, 'sport')) {
      question.sport = number(words.next(), parseUnsigned(words.word, 0xffff), 'invalid sport')
    } else if (abbreviates(word, 'dport')) {
      question.dport = number(words.next(), parseUnsigned(words.word, 0xffff), 'invalid dport')
    } else if (abbreviates(word, 'ipproto')) {
      question.protocol = number(words.next(), parseIpProtocol(words.word), 'Invalid "ipproto" value')
    } else {
      if (word === 'to') words.next()
      if (abbreviates(words.word, 'help')) throw usage('route')
      const destination = parsePrefix(words.word, question.family)
      question.family ||= destination.family
      const whole = WHOLE[question.family]
      if (whole !== undefined && destination.length !== whole) {
        output.complain(
          `Warning: /${destination.length} as prefix is invalid, only /${whole} (or none) is supported.`,
        )
      }
      question.destination = destination
    }
  }
  return question
}

function number(word: string, value: number | undefined, why: string, newline = true): number {
  if (value === undefined) throw wrong(word, why, newline)
  return value
}

const unknownProtocol = (): NetlinkError =>
  new NetlinkError(Errno.EOPNOTSUPP, 'Unsupported ip proto', 'route get')

/** What a machine answers on which IPv6 is off. */
function unreachableSix(question: Question, strict: boolean): NetlinkError {
  const { source, sourceSent, notify, translated, protocol = UDP } = question
  const invalid = (what: string): NetlinkError => new NetlinkError(Errno.EINVAL, `ipv6: ${what}`, 'route get')
  if (strict) {
    if (source !== undefined && source.length !== 0 && source.length !== 128) {
      return invalid('Invalid values in header for get route request')
    }
    if (notify) return invalid('Invalid flags for get route request')
    if (sourceSent && source!.length === 0) {
      return invalid('rtm_src_len and rtm_dst_len must be 128 for IPv6')
    }
    if (translated) return invalid('Unsupported attribute in get route request')
  }
  if (protocol !== TCP && protocol !== UDP && protocol !== ICMPV6) return unknownProtocol()
  return new NetlinkError(Errno.ENETUNREACH, undefined, 'route get')
}

/** @throws NetlinkError with the kernel's errno */
function ask(
  { stack, options }: Command,
  question: Question,
  destination: InetPrefix,
  incoming: NetDevice | null,
  outgoing: NetDevice | null,
): RouteMessage {
  const { routing, sysctl } = stack
  const { source } = question
  if (question.family === Family.INET6) throw unreachableSix(question, options.strict)
  if (question.family !== Family.UNSPEC && question.family !== Family.INET) {
    throw new NetlinkError(Errno.EOPNOTSUPP, undefined, 'route get')
  }
  if (options.strict) {
    if (source !== undefined && source.length !== 0 && source.length !== 32) {
      throw new NetlinkError(
        Errno.EINVAL,
        'ipv4: Invalid values in header for route get request',
        'route get',
      )
    }
    if (question.sourceSent && source!.length === 0) {
      const extack = 'ipv4: rtm_src_len and rtm_dst_len must be 32 for IPv4'
      throw new NetlinkError(Errno.EINVAL, extack, 'route get')
    }
    if (question.translated) {
      throw new NetlinkError(Errno.EINVAL, 'ipv4: Unsupported attribute in route get request', 'route get')
    }
  }
  const protocol = question.protocol ?? UDP
  if (protocol !== ICMP && protocol !== TCP && protocol !== UDP) throw unknownProtocol()
  const flow = new Flow4()
  flow.daddr = destination.address
  flow.saddr = source?.address ?? 0
  flow.tos = question.tos & TOS_BITS
  flow.mark = question.mark | 0
  flow.uid = question.uid ?? 0
  flow.protocol = protocol
  flow.sport = question.sport
  flow.dport = question.dport
  flow.oif = outgoing?.ifindex ?? 0
  const route = decide(stack, flow, incoming)
  if (route === null) {
    throw new NetlinkError(incoming === null ? routing.errno : Errno.EINVAL, undefined, 'route get')
  }
  if (route.input === InputAction.ERROR) throw new NetlinkError(route.errno, undefined, 'route get')

  const before = known.has(route)
  known.add(route)
  const { result } = routing
  const table = result.info === null ? 0 : result.tableId
  if (question.fibmatch) {
    if (result.alias === null) throw new NetlinkError(Errno.EHOSTUNREACH, undefined, 'route get')
    return entryMessage(result.alias, sysctl, table, route.type)
  }
  const message = decisionMessage(route, destination, table, result, route.isInput ? routing.itag : 0)
  const asked = flow.saddr !== 0 && flow.saddr === (source?.address ?? 0)
  if (incoming === null && !asked) message.prefsrc = flow.saddr
  if (incoming !== null && routing.doRedirect) message.flags |= RouteFlag.DOREDIRECT
  const expires = route.expires === 0 ? 0 : Math.max(0, Math.floor((route.expires - routing.now) / 1e9))
  // Linux keeps no decision that an address of another device than loopback is local.
  const elsewhere = !route.isInput && route.type === RouteType.LOCAL && !route.nexthop?.device?.isLoopback
  const kept =
    route.nexthop !== null &&
    !elsewhere &&
    (route.nexthop.outputRoute === route || route.nexthop.inputRoute === route)
  if (question.notify) message.flags |= NOTIFY_CACHED | NOTIFY
  if (question.notify && kept) notified.add(route)
  // Of a decision about input that was kept before, the answer is no holder of its own.
  const users = kept && !(route.isInput && (before || routing.itag !== 0)) ? 2 : 1
  message.cached = {
    source: source?.address ?? 0,
    mark: question.mark,
    uid: question.uid ?? (incoming === null ? 0 : undefined),
    expires,
    users,
    incoming,
  }
  return message
}

/** What routing has learnt, and will forget, counts as of now. */
function decide(
  { softirq, routing }: Command['stack'],
  flow: Flow4,
  incoming: NetDevice | null,
): Route | null {
  softirq.enter()
  try {
    return incoming === null ? routing.output(flow) : routing.input(flow, incoming)
  } finally {
    softirq.leave()
  }
}

/** A decision (`rt_fill_info`). */
function decisionMessage(
  route: Route,
  destination: InetPrefix,
  table: number,
  result: FibResult,
  itag: number,
): RouteMessage {
  // Input that ends here is decided without a next hop: none of what belongs to one is known.
  const withHop = !(route.isInput && route.input === InputAction.LOCAL)
  let metrics = withHop ? (route.info?.metrics ?? null) : null
  if (route.pathMtu !== 0 && route.expires !== 0) {
    metrics = metrics === null ? new Int32Array(METRICS) : metrics.slice()
    metrics[Metric.MTU] = route.pathMtu
    if (route.mtuLocked) metrics[Metric.LOCK] = metrics[Metric.LOCK]! | (1 << Metric.MTU)
  }
  return {
    type: route.type,
    prefix: destination.address,
    prefixLength: 32,
    tos: result.alias?.tos ?? 0,
    object: null,
    gateway: route.gateway,
    device: route.device,
    table,
    protocol: 0,
    scope: 0,
    prefsrc: 0,
    metric: 0,
    flags: (route.flags & ~0xffff & ~NexthopFlag.DEAD) | (notified.has(route) ? NOTIFY_CACHED | NOTIFY : 0),
    realms: withHop ? route.tclassid : itag,
    metrics,
    nexthops: null,
    cached: null,
  }
}
