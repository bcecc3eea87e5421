/**
 * Policy rules: which table is asked, for whom. They are walked in order of priority; a rule that matches sends
 * the lookup to a table, to another rule, or ends it. Three are there from the start: 0 local, 32766 main,
 * 32767 default. Until another is added, no rule is walked at all.
 */
import { type Ipv4Address, ipv4Mask } from '../address/ipv4-address.ts'
import type { DeviceTable, NetDevice } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import { TOS_MASK } from './fib-table.ts'
import type { Flow4 } from './flow.ts'
import { NetlinkError, RouteProtocol, RouteTable, RuleAction } from './rtnetlink.ts'

/** First and last number of a range, both included. */
export interface NumberRange {
  readonly first: number
  readonly last: number
}

/** A rule as a program or a command asks for it. What is absent matches anything. */
export interface RuleConfig {
  /** The smaller counts first; chosen by the kernel's rule if absent. */
  priority?: number
  /** `RuleAction`; `TO_TBL` if absent. */
  action?: number
  /** For `TO_TBL`; `main` if absent. Another action keeps the number, and asks no table. */
  table?: number
  /** For `GOTO`: the priority to go on with. */
  target?: number
  /** Bits beyond the length are kept, and don't count. */
  from?: { address: Ipv4Address; length: number }
  to?: { address: Ipv4Address; length: number }
  iif?: string
  oif?: string
  mark?: number
  /** If absent, all bits for a mark other than 0, and none for 0: as Linux has it. */
  markMask?: number
  tos?: number
  protocolNumber?: number
  sport?: NumberRange
  dport?: NumberRange
  uidRange?: NumberRange
  /** An answer with a prefix of at most this length does not count. */
  suppressPrefixLength?: number
  /** An answer over a device of this group does not count. */
  suppressGroup?: number
  invert?: boolean
  /** `RTPROT_*` of who made the rule; `boot` if absent. */
  protocol?: number
  /** `realms` */
  tclassid?: number
  /** Packets that came out of a tunnel under this number, as none here do; 0: any. */
  tunId?: bigint
  /** The table is that of the device's virtual router, which no device here has: such a rule matches only with `not`. */
  l3mdev?: boolean
}

/** A device by name: it may come and go. */
export class RuleDevice {
  readonly name: string
  /** 0: any; -1: no such device now, so nothing matches (`[detached]`). */
  ifindex: number

  constructor(name: string, ifindex: number) {
    this.name = name
    this.ifindex = ifindex
  }
}

const ANY_PORT: NumberRange = { first: 0, last: 0 }
/** No user has that number. */
const NO_UID = 0xffffffff
const ANY_UID: NumberRange = { first: 0, last: NO_UID }

export class FibRule {
  readonly priority: number
  readonly action: number
  /** 0: none. */
  readonly table: number
  readonly target: number
  readonly from: Ipv4Address
  readonly fromLength: number
  readonly to: Ipv4Address
  readonly toLength: number
  readonly iif: RuleDevice | null
  readonly oif: RuleDevice | null
  readonly mark: number
  readonly markMask: number
  readonly tos: number
  /** IP protocol number; 0: any. */
  readonly protocolNumber: number
  /** 0…0: any. */
  readonly sport: NumberRange
  readonly dport: NumberRange
  readonly uidRange: NumberRange
  /** -1: nothing is suppressed. */
  readonly suppressPrefixLength: number
  readonly suppressGroup: number
  readonly invert: boolean
  readonly protocol: number
  readonly tclassid: number
  readonly l3mdev: boolean
  readonly tunId: bigint
  /** Where `goto` leads; `null` while no rule has that priority (`[unresolved]`). */
  gotoRule: FibRule | null = null
  /** @internal index in the list, so that `goto` continues there */
  position = 0
  readonly #fromMask: number
  readonly #toMask: number
  readonly #hasUid: boolean
  /** It asks for what no packet here has. */
  readonly #never: boolean
  readonly #hasSport: boolean
  readonly #hasDport: boolean

  constructor(config: RuleConfig, priority: number, devices: DeviceTable | null) {
    this.priority = priority
    this.action = config.action ?? RuleAction.TO_TBL
    this.l3mdev = config.l3mdev ?? false
    this.tunId = config.tunId ?? 0n
    this.#never = this.l3mdev || this.tunId !== 0n
    const asks = this.action === RuleAction.TO_TBL && !this.l3mdev
    this.table = config.table || (asks ? RouteTable.MAIN : 0)
    this.target = config.target ?? 0
    this.from = config.from === undefined || config.from.length === 0 ? 0 : config.from.address
    this.fromLength = config.from?.length ?? 0
    this.to = config.to === undefined || config.to.length === 0 ? 0 : config.to.address
    this.toLength = config.to?.length ?? 0
    this.iif = ruleDevice(config.iif, devices)
    this.oif = ruleDevice(config.oif, devices)
    this.mark = (config.mark ?? 0) | 0
    this.markMask = (config.markMask ?? (config.mark ? -1 : 0)) | 0
    this.tos = config.tos ?? 0
    this.protocolNumber = config.protocolNumber ?? 0
    this.sport = config.sport ?? ANY_PORT
    this.dport = config.dport ?? ANY_PORT
    this.uidRange = config.uidRange ?? ANY_UID
    this.suppressPrefixLength = config.suppressPrefixLength ?? -1
    this.suppressGroup = config.suppressGroup ?? -1
    this.invert = config.invert ?? false
    this.protocol = config.protocol ?? RouteProtocol.BOOT
    this.tclassid = config.tclassid ?? 0
    this.#fromMask = ipv4Mask(this.fromLength)
    this.#toMask = ipv4Mask(this.toLength)
    this.#hasUid = config.uidRange !== undefined
    this.#hasSport = this.sport.first !== 0
    this.#hasDport = this.dport.first !== 0
  }

  matches(flow: Flow4): boolean {
    return this.#selects(flow) !== this.invert
  }

  #selects(flow: Flow4): boolean {
    if (this.#never) return false
    if (this.iif !== null && this.iif.ifindex !== flow.iif) return false
    if (this.oif !== null && this.oif.ifindex !== flow.oif) return false
    if (((this.mark ^ flow.mark) & this.markMask) !== 0) return false
    if (this.#hasUid && !within(this.uidRange, flow.uid)) return false
    if (((flow.saddr ^ this.from) & this.#fromMask) !== 0) return false
    if (((flow.daddr ^ this.to) & this.#toMask) !== 0) return false
    if (this.tos !== 0 && this.tos !== (flow.tos & TOS_MASK)) return false
    if (this.protocolNumber !== 0 && this.protocolNumber !== flow.protocol) return false
    if (this.#hasSport && !within(this.sport, flow.sport)) return false
    return !this.#hasDport || within(this.dport, flow.dport)
  }
}

export class FibRules {
  readonly #rules: FibRule[] = []
  readonly #devices: DeviceTable
  readonly #changed: (rule: FibRule) => void

  /** @param changed called after a rule was added or removed */
  constructor(devices: DeviceTable, changed: (rule: FibRule) => void) {
    this.#devices = devices
    this.#changed = changed
    const kernel = { protocol: RouteProtocol.KERNEL }
    for (const [priority, table] of [
      [0, RouteTable.LOCAL],
      [32766, RouteTable.MAIN],
      [32767, RouteTable.DEFAULT],
    ] as const) {
      this.#rules.push(new FibRule({ ...kernel, table }, priority, null))
    }
    this.#resolve()
  }

  /** In order of priority, equal ones in order of arrival. */
  [Symbol.iterator](): IterableIterator<FibRule> {
    return this.#rules.values()
  }

  get length(): number {
    return this.#rules.length
  }

  /** The rule at a position of the walk; `undefined` past the end. */
  at(position: number): FibRule | undefined {
    return this.#rules[position]
  }

  /**
   * @param again though there may be such a rule already
   * @throws NetlinkError `EINVAL`, `EEXIST`
   */
  add(config: RuleConfig, again = false): FibRule {
    const rule = new FibRule(config, config.priority ?? this.#defaultPriority(), this.#devices)
    checkRule(config, rule.priority)
    checkTos(rule)
    if (!again && this.#rules.some((other) => sameRule(rule, other))) {
      throw new NetlinkError(Errno.EEXIST, undefined, 'rule')
    }
    const position = this.#rules.findIndex((other) => other.priority > rule.priority)
    this.#rules.splice(position < 0 ? this.#rules.length : position, 0, rule)
    this.#resolve()
    this.#changed(rule)
    return rule
  }

  /** Removes the first rule that has all that is given. @throws NetlinkError `ENOENT`, `EINVAL` */
  delete(config: RuleConfig): FibRule {
    checkRule(config, config.priority ?? this.#defaultPriority())
    const rule = this.#rules.find((candidate) => deletionMeans(config, candidate))
    if (rule === undefined) throw new NetlinkError(Errno.ENOENT, undefined, 'rule')
    this.#rules.splice(this.#rules.indexOf(rule), 1)
    this.#resolve()
    this.#changed(rule)
    return rule
  }

  /** A device has come, or has a name now that rules may know. */
  deviceAdded(device: NetDevice): void {
    for (const end of this.#ends()) if (end.name === device.name) end.ifindex = device.ifindex
  }

  /** A device has gone, or has lost its old name. */
  deviceRemoved(device: NetDevice): void {
    for (const end of this.#ends()) if (end.ifindex === device.ifindex) end.ifindex = -1
  }

  *#ends(): Generator<RuleDevice, void, undefined> {
    for (const rule of this.#rules) {
      if (rule.iif !== null) yield rule.iif
      if (rule.oif !== null) yield rule.oif
    }
  }

  /** One less than the second rule of the list, so that a new rule comes before what was added last. */
  #defaultPriority(): number {
    const second = this.#rules[1]
    return second === undefined || second.priority === 0 ? 0 : second.priority - 1
  }

  #resolve(): void {
    this.#rules.forEach((rule, position) => {
      rule.position = position
    })
    for (const rule of this.#rules) {
      if (rule.action !== RuleAction.GOTO) continue
      rule.gotoRule = this.#rules.find((other) => other.priority === rule.target) ?? null
    }
  }
}

const invalid = (extack: string, value: unknown): NetlinkError =>
  new NetlinkError(Errno.EINVAL, extack, 'rule', value)

/** In the kernel's order (`fib_nl2rule`, `fib_nl2rule_rtnl`). */
function checkRule({ action, target, uidRange, sport, dport }: RuleConfig, priority: number): void {
  if (target !== undefined && action !== RuleAction.GOTO) throw invalid('Unexpected goto', target)
  if (target === undefined && action === RuleAction.GOTO) {
    throw invalid('Missing goto target for action goto', target)
  }
  if (uidRange !== undefined) {
    const { first, last } = uidRange
    if (first > last || last === NO_UID) throw invalid('Invalid uid range', uidRange)
  }
  for (const [what, range] of [
    ['sport', sport],
    ['dport', dport],
  ] as const) {
    if (range !== undefined && (range.first <= 0 || range.last >= 0xffff || range.first > range.last)) {
      throw invalid(`Invalid ${what} range`, range)
    }
  }
  if (target !== undefined && target <= priority) throw invalid('Backward goto not supported', target)
}

function checkTos(rule: FibRule): void {
  if ((rule.tos & 3) !== 0) throw invalid('Invalid dsfield (tos): ECN bits must be 0', rule.tos)
  if ((rule.tos & ~TOS_MASK) !== 0) throw invalid('Invalid tos', rule.tos)
}

/**
 * Linux's idea of a rule that is there already: it compares neither `not` nor the target of a goto, and
 * prefixes, TOS and realm only if the new rule has any.
 */
function sameRule(rule: FibRule, there: FibRule): boolean {
  return (
    rule.priority === there.priority &&
    rule.action === there.action &&
    rule.table === there.table &&
    rule.l3mdev === there.l3mdev &&
    rule.tunId === there.tunId &&
    rule.iif?.name === there.iif?.name &&
    rule.oif?.name === there.oif?.name &&
    rule.mark === there.mark &&
    rule.markMask === there.markMask &&
    rule.protocolNumber === there.protocolNumber &&
    rule.protocol === there.protocol &&
    rule.suppressPrefixLength === there.suppressPrefixLength &&
    rule.suppressGroup === there.suppressGroup &&
    sameRange(rule.sport, there.sport) &&
    sameRange(rule.dport, there.dport) &&
    sameRange(rule.uidRange, there.uidRange) &&
    (rule.tos === 0 || rule.tos === there.tos) &&
    (rule.tclassid === 0 || rule.tclassid === there.tclassid) &&
    samePrefix({ address: rule.from, length: rule.fromLength }, there.from, there.fromLength) &&
    samePrefix({ address: rule.to, length: rule.toLength }, there.to, there.toLength)
  )
}

function deletionMeans(config: RuleConfig, rule: FibRule): boolean {
  const sameOrAbsent = <T>(wanted: T | undefined, there: T): boolean =>
    wanted === undefined || wanted === there
  const mask = (config.markMask ?? (config.mark ? -1 : 0)) | 0
  return (
    (!config.action || config.action === rule.action) &&
    (!config.l3mdev || rule.l3mdev) &&
    (!config.table || config.table === rule.table) &&
    sameOrAbsent(config.priority, rule.priority) &&
    sameOrAbsent(config.iif, rule.iif?.name) &&
    sameOrAbsent(config.oif, rule.oif?.name) &&
    (!config.mark || (config.mark | 0) === rule.mark) &&
    (mask === 0 || mask === rule.markMask) &&
    (!config.tunId || config.tunId === rule.tunId) &&
    sameOrAbsent(config.suppressPrefixLength, rule.suppressPrefixLength) &&
    sameOrAbsent(config.suppressGroup, rule.suppressGroup) &&
    (config.uidRange === undefined || sameRange(config.uidRange, rule.uidRange)) &&
    (!config.protocolNumber || config.protocolNumber === rule.protocolNumber) &&
    (!config.protocol || config.protocol === rule.protocol) &&
    (config.sport === undefined || sameRange(config.sport, rule.sport)) &&
    (config.dport === undefined || sameRange(config.dport, rule.dport)) &&
    (!config.tos || config.tos === rule.tos) &&
    (!config.tclassid || config.tclassid === rule.tclassid) &&
    samePrefix(config.from, rule.from, rule.fromLength) &&
    samePrefix(config.to, rule.to, rule.toLength)
  )
}

function samePrefix(
  wanted: { address: Ipv4Address; length: number } | undefined,
  address: Ipv4Address,
  length: number,
): boolean {
  if (wanted === undefined || wanted.length === 0) return true
  return wanted.length === length && wanted.address === address
}

function sameRange(a: NumberRange, b: NumberRange): boolean {
  return a.first === b.first && a.last === b.last
}

function within(range: NumberRange, number: number): boolean {
  return number >= range.first && number <= range.last
}

function ruleDevice(name: string | undefined, devices: DeviceTable | null): RuleDevice | null {
  if (name === undefined) return null
  return new RuleDevice(name, devices?.byName(name)?.ifindex ?? -1)
}
