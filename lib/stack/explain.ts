/**
 * Why does a packet go where it goes? `stack.explain()` takes a destination (a packet that this host would send)
 * or the bytes of a packet (that would arrive on a device) and walks its path without sending anything: each rule
 * that is asked, each table, the route that matched, the device, whether the packet comes back in, and what
 * becomes of it, with the counter that would show it. The decisions are made by the code that makes them for
 * real packets.
 */
import { formatIpv4, parseIpv4 } from '../address/ipv4-address.ts'
import { Errno, errnoName, invalidArgument } from '../errors.ts'
import { readPorts } from '../ipv4/input.ts'
import { suppresses } from '../route/fib.ts'
import { type FibInfo, FibResult } from '../route/fib-types.ts'
import { Flow4 } from '../route/flow.ts'
import { nameOf, ROUTE_TYPES, SCOPES, TABLES } from '../route/names.ts'
import { InputAction, type Route } from '../route/route.ts'
import { RouteFlag, RouteType, RuleAction } from '../route/rtnetlink.ts'
import { DropReason, dropReasonName } from '../wire/drop-reason.ts'
import { formatIpv4Packet, IpProtocol, parseIpv4Header } from '../wire/ipv4.ts'
import type { Stack } from './stack.ts'

/** What becomes of the packet. */
export type Verdict = 'deliver' | 'forward' | 'transmit' | 'drop' | 'error'

/** One step of the path. `kind` says what decided, `text` what it said, in a sentence. */
export interface ExplainStep {
  kind: 'packet' | 'rule' | 'table' | 'route' | 'source' | 'device' | 'verdict' | 'reply'
  text: string
  /** Rule priority, table number, interface name, counter or drop reason, as the kind has it. */
  detail?: Record<string, string | number | boolean>
}

export interface Explanation {
  steps: ExplainStep[]
  verdict: Verdict
  /** The counter (as `nstat` names it) or `DropReason` that the packet ends under. */
  counter: string
  /** The steps, a line each. */
  text: string
}

export interface ExplainOptions {
  /** For bytes: the device that they arrive on. */
  device?: string
  /** For a destination: the source to send from. */
  source?: string
  /** `fwmark` */
  mark?: number
  tos?: number
}

/** @internal behind {@link Stack.explain} */
export function explain(stack: Stack, target: string | Uint8Array, options: ExplainOptions): Explanation {
  if (typeof target !== 'string' && !(target instanceof Uint8Array)) {
    throw invalidArgument('target', target, 'an IPv4 address as text, or the bytes of a packet')
  }
  const walk = new Walk(stack)
  stack.softirq.enter() // decisions are made at the time that it is
  try {
    if (typeof target === 'string') walk.output(target, options)
    else walk.input(target, options)
  } finally {
    stack.softirq.leave()
  }
  return {
    steps: walk.steps,
    verdict: walk.verdict,
    counter: walk.counter,
    text: `${walk.steps.map((step) => `${step.kind.padEnd(8)}${step.text}`).join('\n')}\n`,
  }
}

class Walk {
  readonly steps: ExplainStep[] = []
  verdict: Verdict = 'drop'
  counter = ''
  readonly #stack: Stack
  readonly #flow = new Flow4()

  constructor(stack: Stack) {
    this.#stack = stack
  }

  /** A packet that this host sends. */
  output(destination: string, options: ExplainOptions): void {
    const { routing } = this.#stack
    const flow = this.#flow
    flow.daddr = parseIpv4(destination)
    flow.saddr = options.source === undefined ? 0 : parseIpv4(options.source)
    flow.mark = options.mark ?? 0
    flow.tos = (options.tos ?? 0) & 0xfc
    flow.protocol = IpProtocol.ICMP
    this.#step('packet', `this host sends to ${destination}`)
    flow.iif = routing.loopback.ifindex
    this.#lookup(flow)
    const asked = flow.saddr !== 0
    const route = routing.output(flow)
    if (route === null) return this.#noRoute(routing.errno)
    this.#decision(route, flow.daddr)
    this.#step('source', `${formatIpv4(flow.saddr)}${asked ? ' (given)' : ', chosen by the route'}`, {
      source: formatIpv4(flow.saddr),
    })
    this.#step('device', `leaves by ${route.device.name}${route.device.up ? '' : ', which is down'}`, {
      device: route.device.name,
    })
    if (!route.device.isLoopback)
      return this.#end('transmit', 'IpOutTransmits', `sent on ${route.device.name}`)
    this.#comesBack(route)
    this.#deliver(flow.daddr, flow.saddr, route)
  }

  /** A packet that arrives. */
  input(bytes: Uint8Array, options: ExplainOptions): void {
    const { routing, devices, sysctl } = this.#stack
    if (bytes.length > 0 && bytes[0]! >>> 4 === 6) {
      this.#step('packet', `${bytes.length} bytes of IPv6`)
      return this.#drop(DropReason.UNHANDLED_PROTO, 'this stack does not speak IPv6')
    }
    const header = parseIpv4Header(bytes, 0, bytes.length)
    if (typeof header === 'number') {
      this.#step('packet', `${bytes.length} bytes that are no IPv4 packet`)
      return this.#drop(header, 'the header is not valid')
    }
    const device = options.device === undefined ? undefined : devices.byName(options.device)
    if (device === undefined) {
      throw invalidArgument('device', options.device, 'the name of the interface that the packet arrives on')
    }
    this.#step('packet', `${formatIpv4Packet(bytes, 0, bytes.length)}, arriving on ${device.name}`)
    const flow = this.#flow
    flow.daddr = header.destination
    flow.saddr = header.source
    flow.tos = header.tos & 0xfc
    flow.protocol = header.protocol
    flow.mark = options.mark ?? 0
    readPorts(flow, bytes, 0, header.headerLength, bytes.length)
    flow.iif = device.ifindex
    this.#lookup(flow)
    const route = routing.input(flow, device)
    if (route === null) return this.#drop(routing.reason, martian(routing.reason))
    switch (route.input) {
      case InputAction.LOCAL:
        this.#decision(route, flow.daddr)
        return this.#deliver(flow.daddr, flow.saddr, route)
      case InputAction.FORWARD:
        this.#decision(route, flow.daddr)
        return this.#forward(route, header.ttl, header.totalLength, header.dontFragment)
      case InputAction.ERROR: {
        const forwarding = sysctl.conf(device.ifindex).forwardingEnabled
        if (!forwarding) {
          return this.#drop(
            DropReason.IP_INADDRERRORS,
            `not for this host, and ${device.name} does not forward`,
          )
        }
        if (!REPORTED_ERRORS.has(route.errno)) {
          return this.#drop(DropReason.IP_INADDRERRORS, 'a blackhole takes it, and nobody is told')
        }
        this.#step(
          'reply',
          `ICMP destination unreachable to ${formatIpv4(flow.saddr)} (${errnoName(route.errno)})`,
        )
        return this.#drop(DropReason.IP_INNOROUTES, 'no route leads there')
      }
      case InputAction.DISCARD:
        return this.#drop(DropReason.IP_INADDRERRORS, 'the decision is good for output only')
    }
  }

  #forward(route: Route, ttl: number, length: number, dontFragment: boolean): void {
    if (ttl <= 1) {
      this.#step('reply', 'ICMP time exceeded to the sender')
      return this.#drop(DropReason.IP_TTL, `the TTL is ${ttl}: it may not go on`)
    }
    if (length > route.mtu && dontFragment) {
      this.#step('reply', `ICMP fragmentation needed (mtu ${route.mtu}) to the sender`)
      return this.#drop(DropReason.PKT_TOO_BIG, `${length} bytes with DF do not fit an MTU of ${route.mtu}`)
    }
    this.#step('device', `leaves by ${route.device.name}, TTL ${ttl - 1}`, { device: route.device.name })
    if (route.device.isLoopback) {
      this.#step(
        'device',
        'lo gives it back with its decision: it is forwarded to lo again, until the TTL is spent',
      )
    }
    this.#end('forward', 'IpForwDatagrams', `forwarded to ${route.device.name}`)
  }

  #deliver(destination: number, source: number, route: Route): void {
    const { routing } = this.#stack
    this.#end('deliver', 'IpInDelivers', 'delivered to this host')
    if ((route.flags & (RouteFlag.BROADCAST | RouteFlag.MULTICAST)) !== 0) return
    const back = new Flow4()
    back.daddr = source
    back.saddr = destination
    back.protocol = IpProtocol.ICMP
    const reply = routing.output(back)
    const pair = `${formatIpv4(destination)} to ${formatIpv4(source)}`
    if (reply !== null)
      return void this.#step('reply', `an answer goes from ${pair}, by ${reply.device.name}`)
    const owned = routing.addresses.deviceOf(destination) !== null
    const why = owned ? errnoName(routing.errno) : `${formatIpv4(destination)} is no address of this host`
    this.#step('reply', `no answer can go from ${pair}: ${why}`)
  }

  #comesBack(route: Route): void {
    this.#step('device', `${route.device.name} puts it on its own receive queue, and it keeps its decision`)
  }

  #decision(route: Route, destination: number): void {
    const { info, nexthop } = route
    const type = nameOf(ROUTE_TYPES, route.type)
    const words = [type, formatIpv4(destination)]
    if (route.gateway !== 0) words.push('via', formatIpv4(route.gateway))
    words.push('dev', nexthop?.device?.name ?? route.device.name)
    if (info !== null && info.prefsrc !== 0) words.push('src', formatIpv4(info.prefsrc))
    words.push('mtu', String(route.mtu))
    const local = (route.flags & RouteFlag.LOCAL) !== 0 && route.type !== RouteType.LOCAL
    const note = local && route.device.isLoopback ? ' (its device is loopback, so it counts as local)' : ''
    const learnt = route.pathMtu !== 0 ? ' (path MTU learnt)' : ''
    this.#step('route', words.join(' ') + note + learnt, { type, device: route.device.name })
  }

  /** Says which rules and tables are asked, by asking them. */
  #lookup(flow: Flow4): void {
    const { fib } = this.#stack.routing
    const { rules } = fib
    const result = new FibResult()
    for (let at = 0; ; at++) {
      const rule = rules.at(at)
      if (rule === undefined) return
      if (!rule.matches(flow)) {
        this.#step('rule', `${rule.priority}: does not match`, { priority: rule.priority, matches: false })
        continue
      }
      if (rule.action === RuleAction.GOTO) {
        this.#step('rule', `${rule.priority}: go to ${rule.target}`, { priority: rule.priority })
        if (rule.gotoRule !== null) at = rule.gotoRule.position - 1
        continue
      }
      if (rule.action === RuleAction.NOP) continue
      if (rule.action !== RuleAction.TO_TBL) {
        this.#step('rule', `${rule.priority}: refuses the lookup`, { priority: rule.priority })
        return
      }
      const name = nameOf(TABLES, rule.table)
      this.#step('rule', `${rule.priority}: look in table ${name}`, {
        priority: rule.priority,
        matches: true,
      })
      result.reset()
      // Until a rule is added, local and main are one trie: the table that a route was entered in tells them apart.
      const error = fib.lookupTable(rule.table, flow, result)
      const owner = error === 0 ? (result.alias?.tableId ?? rule.table) : result.refusedIn
      const elsewhere = !fib.hasCustomRules && owner !== rule.table
      if (error !== 0 || elsewhere) {
        const nothing = error === -Errno.EAGAIN || elsewhere
        this.#step('table', `${name}: ${nothing ? 'nothing matches' : errnoName(error)}`, {
          table: rule.table,
          matched: false,
        })
        if (nothing) continue
        return
      }
      const prefix =
        result.prefixLength === 0 ? 'default' : `${formatIpv4(result.prefix)}/${result.prefixLength}`
      const type = nameOf(ROUTE_TYPES, result.type)
      const scope = nameOf(SCOPES, result.scope)
      const by = wayText(result.info!)
      this.#step('table', `${name}: ${type} ${prefix}${by} scope ${scope} matches`, {
        table: rule.table,
        matched: true,
        prefix,
        type,
      })
      if (!suppresses(rule, result)) return
      const short = result.prefixLength <= rule.suppressPrefixLength
      this.#step(
        'rule',
        `${rule.priority}: ${short ? 'a prefix that short' : 'a device of that group'} is suppressed`,
        {
          priority: rule.priority,
        },
      )
    }
  }

  #noRoute(errno: number): void {
    this.#step('verdict', `${errnoName(errno)}: the sender is told, nothing leaves`, {
      errno: errnoName(errno),
    })
    this.verdict = 'error'
    this.counter = 'IpOutNoRoutes'
  }

  #drop(reason: number, why: string): void {
    this.verdict = 'drop'
    this.counter = dropReasonName(reason)
    this.#step('verdict', `dropped: ${why} (${this.counter})`, { reason: this.counter })
  }

  #end(verdict: Verdict, counter: string, text: string): void {
    this.verdict = verdict
    this.counter = counter
    this.#step('verdict', `${text} (${counter})`, { counter })
  }

  #step(kind: ExplainStep['kind'], text: string, detail?: Record<string, string | number | boolean>): void {
    this.steps.push(detail === undefined ? { kind, text } : { kind, text, detail })
  }
}

/** Of these a router tells the sender. */
const REPORTED_ERRORS: ReadonlySet<number> = new Set([Errno.EHOSTUNREACH, Errno.ENETUNREACH, Errno.EACCES])

function martian(reason: number): string {
  switch (reason) {
    case DropReason.IP_LOCAL_SOURCE:
      return 'its source is an address of this host'
    case DropReason.IP_INVALID_SOURCE:
      return 'no host has that source'
    case DropReason.IP_INVALID_DEST:
      return 'no host has that destination'
    case DropReason.IP_LOCALNET:
      return '127.0.0.0/8 does not come from a wire'
    case DropReason.IP_RPFILTER:
      return 'an answer would not leave by the device that it came by'
    default:
      return 'a martian'
  }
}

/** The way of a route: its nexthop object, and its device or how many hops there are. */
function wayText({ nexthop, nexthops }: FibInfo): string {
  const object = nexthop === null ? '' : ` nhid ${nexthop.id}`
  if (nexthops.length > 1) return `${object}, one of ${nexthops.length} hops,`
  const device = nexthops[0]!.device
  return device === null ? object : `${object} dev ${device.name}`
}
