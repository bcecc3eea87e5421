/** Rules as messages of the kernel (`RTM_NEWRULE`), both ways. */
import { Errno } from '../errors.ts'
import type { FibRule, NumberRange, RuleConfig } from '../route/fib-rules.ts'
import { NetlinkError, RuleAction } from '../route/rtnetlink.ts'
import {
  Attributes,
  attribute,
  inet,
  littleEndian,
  MessageType,
  MULTI,
  message,
  text,
  u8,
  u16,
  u32,
} from './netlink.ts'

/** Attributes of a rule (`FRA_*`). */
const Fra = {
  DST: 1,
  SRC: 2,
  IIFNAME: 3,
  GOTO: 4,
  PRIORITY: 6,
  FWMARK: 10,
  FLOW: 11,
  TUN_ID: 12,
  SUPPRESS_IFGROUP: 13,
  SUPPRESS_PREFIXLEN: 14,
  TABLE: 15,
  FWMASK: 16,
  OIFNAME: 17,
  L3MDEV: 19,
  UID_RANGE: 20,
  PROTOCOL: 21,
  IP_PROTO: 22,
  SPORT_RANGE: 23,
  DPORT_RANGE: 24,
  SPORT_MASK: 28,
  DPORT_MASK: 29,
} as const

/** Flags of a rule (`FIB_RULE_*`): how it is meant, then how it stands. */
const Flag = { INVERT: 0x02, UNRESOLVED: 0x04, IIF_DETACHED: 0x08, OIF_DETACHED: 0x10 } as const

const INET = 2
/** Length of `struct fib_rule_hdr`. */
const FIXED = 12
const COMPATIBLE = 252
/** The mask of a single port; other masks no rule here has. */
const WHOLE_PORT = 0xffff
/** No user has that number. */
const NO_UID = 0xffffffff

export function encodeRule(rule: FibRule): Uint8Array {
  const { table, action, iif, oif, uidRange } = rule
  const octet = table < 256 ? table : COMPATIBLE
  let flags = rule.invert ? Flag.INVERT : 0
  if (action === RuleAction.GOTO && rule.gotoRule === null) flags |= Flag.UNRESOLVED
  if (iif !== null && iif.ifindex === -1) flags |= Flag.IIF_DETACHED
  if (oif !== null && oif.ifindex === -1) flags |= Flag.OIF_DETACHED
  const parts = [
    Uint8Array.of(INET, rule.toLength, rule.fromLength, rule.tos, octet, 0, 0, action),
    u32(flags),
    attribute(Fra.TABLE, u32(table)),
    attribute(Fra.SUPPRESS_PREFIXLEN, u32(rule.suppressPrefixLength)),
    attribute(Fra.PROTOCOL, u8(rule.protocol)),
  ]
  const push = (type: number, ...value: Uint8Array[]): void => void parts.push(attribute(type, ...value))
  if (iif !== null) push(Fra.IIFNAME, text(iif.name))
  if (oif !== null) push(Fra.OIFNAME, text(oif.name))
  if (rule.priority !== 0) push(Fra.PRIORITY, u32(rule.priority))
  if (rule.mark !== 0) push(Fra.FWMARK, u32(rule.mark))
  if (rule.mark !== 0 || rule.markMask !== 0) push(Fra.FWMASK, u32(rule.markMask))
  if (rule.target !== 0) push(Fra.GOTO, u32(rule.target))
  if (rule.tunId !== 0n) push(Fra.TUN_ID, u64(rule.tunId))
  if (rule.l3mdev) push(Fra.L3MDEV, u8(1))
  const everybody = uidRange.first === 0 && uidRange.last === NO_UID
  if (!everybody) push(Fra.UID_RANGE, u32(uidRange.first), u32(uidRange.last))
  for (const [{ first, last }, type, mask] of [
    [rule.sport, Fra.SPORT_RANGE, Fra.SPORT_MASK],
    [rule.dport, Fra.DPORT_RANGE, Fra.DPORT_MASK],
  ] as const) {
    if (first !== 0) push(type, u16(first), u16(last))
    if (first !== 0 && first === last) push(mask, u16(WHOLE_PORT))
  }
  if (rule.protocolNumber !== 0) push(Fra.IP_PROTO, u8(rule.protocolNumber))
  if (rule.suppressGroup !== -1) push(Fra.SUPPRESS_IFGROUP, u32(rule.suppressGroup))
  if (rule.toLength !== 0) push(Fra.DST, inet(rule.to))
  if (rule.fromLength !== 0) push(Fra.SRC, inet(rule.from))
  if (rule.tclassid !== 0) push(Fra.FLOW, u32(rule.tclassid))
  return message(MessageType.NEWRULE, MULTI, parts)
}

/** The request that the message is when it is sent back. @throws NetlinkError `EINVAL` */
export function ruleRequest(payload: Uint8Array): RuleConfig {
  if (payload.length < FIXED || payload[0] !== INET) throw new NetlinkError(Errno.EINVAL, undefined, 'rule')
  const attributes = new Attributes(payload, FIXED)
  for (const mask of [Fra.SPORT_MASK, Fra.DPORT_MASK]) {
    if ((attributes.number(mask) ?? WHOLE_PORT) !== WHOLE_PORT) {
      throw new NetlinkError(Errno.EOPNOTSUPP, undefined, 'rule')
    }
  }
  const [, toLength, fromLength, tos, octet, , , action] = payload
  const config: RuleConfig = {
    action: action!,
    table: attributes.number(Fra.TABLE) ?? octet!,
    tos: tos!,
    invert: (littleEndian(payload, 8, 4) & Flag.INVERT) !== 0,
    protocol: attributes.number(Fra.PROTOCOL) ?? 0,
    protocolNumber: attributes.number(Fra.IP_PROTO) ?? 0,
    tclassid: attributes.number(Fra.FLOW) ?? 0,
    suppressPrefixLength: (attributes.number(Fra.SUPPRESS_PREFIXLEN) ?? NO_UID) | 0,
    suppressGroup: (attributes.number(Fra.SUPPRESS_IFGROUP) ?? NO_UID) | 0,
  }
  const set = <K extends keyof RuleConfig>(key: K, value: RuleConfig[K] | undefined): void => {
    if (value !== undefined) config[key] = value
  }
  const to = attributes.inet(Fra.DST)
  const from = attributes.inet(Fra.SRC)
  if (to !== undefined) config.to = { address: to, length: toLength! }
  if (from !== undefined) config.from = { address: from, length: fromLength! }
  set('priority', attributes.number(Fra.PRIORITY))
  set('target', attributes.number(Fra.GOTO))
  set('iif', attributes.text(Fra.IIFNAME))
  set('oif', attributes.text(Fra.OIFNAME))
  set('mark', attributes.number(Fra.FWMARK))
  set('markMask', attributes.number(Fra.FWMASK))
  set('tunId', u64Of(attributes.get(Fra.TUN_ID)))
  set('uidRange', range(attributes.get(Fra.UID_RANGE), 4))
  set('sport', range(attributes.get(Fra.SPORT_RANGE), 2))
  set('dport', range(attributes.get(Fra.DPORT_RANGE), 2))
  if ((attributes.number(Fra.L3MDEV) ?? 0) !== 0) config.l3mdev = true
  return config
}

/** In network order, as tunnels have it. */
function u64(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 8 }, (_, at) => Number((value >> BigInt(8 * (7 - at))) & 0xffn))
}

function u64Of(bytes: Uint8Array | undefined): bigint | undefined {
  return bytes?.subarray(0, 8).reduce((number, octet) => (number << 8n) | BigInt(octet), 0n)
}

function range(bytes: Uint8Array | undefined, width: number): NumberRange | undefined {
  if (bytes === undefined || bytes.length < 2 * width) return undefined
  return { first: littleEndian(bytes, 0, width), last: littleEndian(bytes, width, width) }
}
