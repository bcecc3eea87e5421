/**
 * Names for numbers, and numbers for names: those of the files in /etc/iproute2 as Debian ships them, and the
 * ones that iproute2 has built in.
 */
import { CONGESTION_NAMES } from '../route/fib-metrics.ts'
import { RouteType } from '../route/rtnetlink.ts'
import { leadingNumber, parseUnsigned, parseUnsigned64 } from './grammar.ts'
import { abbreviates } from './words.ts'

/** One file: names by number and numbers by name. */
export class NameTable {
  readonly #names: ReadonlyMap<number, string>
  readonly #numbers: ReadonlyMap<string, number>
  readonly #max: number
  readonly #base: 0 | 16
  readonly #forgetful: boolean
  readonly #wraps: boolean
  /** The name that was read last, and the number that was. */
  #lastName: string | undefined
  #lastNumber = 0

  /**
   * @param forgetful as iproute2 6.1 reads some files: the name that was read last stands, until another is, for
   * the number that was read last
   * @param wraps of a number the last 32 bits count
   */
  constructor(
    names: Readonly<Record<string, number>>,
    max: number,
    {
      base = 0,
      forgetful = false,
      wraps = false,
    }: { base?: 0 | 16; forgetful?: boolean; wraps?: boolean } = {},
  ) {
    const entries = Object.entries(names)
    this.#numbers = new Map(entries)
    this.#names = new Map(entries.map(([name, number]) => [number, name]))
    this.#max = max
    this.#base = base
    this.#forgetful = forgetful
    this.#wraps = wraps
  }

  /** A program begins: nothing was read yet. */
  begin(): void {
    this.#lastName = undefined
  }

  /** The name of a number, or the number. */
  format(number: number, numeric = false): string {
    const name = numeric ? undefined : this.#names.get(number)
    if (name !== undefined) return name
    return this.#base === 16 ? `0x${number.toString(16).padStart(2, '0')}` : `${number}`
  }

  /** `undefined` if the word is neither a name nor a number in range. */
  parse(word: string): number | undefined {
    if (this.#forgetful && word === this.#lastName) return this.#lastNumber
    const named = this.#numbers.get(word)
    if (named !== undefined) this.#lastName = word
    const number = named ?? this.#number(word)
    // What is no number was one as far as it went.
    this.#lastNumber = number ?? leadingNumber(word)
    if (number === undefined) return undefined
    return number <= this.#max ? number : undefined
  }

  #number(word: string): number | undefined {
    if (!this.#wraps) return parseUnsigned(word, 0xffffffff, this.#base)
    const number = parseUnsigned64(word, this.#base)
    return number === undefined ? undefined : Number(BigInt.asUintN(32, number))
  }
}

export const tables = new NameTable({ unspec: 0, default: 253, main: 254, local: 255 }, 0xffffffff)

export const scopes = new NameTable({ global: 0, site: 200, link: 253, host: 254, nowhere: 255 }, 255, {
  forgetful: true,
})

export const realmNames = new NameTable({ cosmos: 0 }, 0xff, { forgetful: true })

/** One that is negative as an integer counts as none. */
export const groups = new NameTable({ default: 0 }, 0x7fffffff, { wraps: true })

export const protocols = new NameTable(
  {
    unspec: 0,
    redirect: 1,
    kernel: 2,
    boot: 3,
    static: 4,
    gated: 8,
    ra: 9,
    mrt: 10,
    zebra: 11,
    bird: 12,
    dnrouted: 13,
    xorp: 14,
    ntk: 15,
    dhcp: 16,
    keepalived: 18,
    babel: 42,
    openr: 99,
    bgp: 186,
    isis: 187,
    ospf: 188,
    rip: 189,
    eigrp: 192,
  },
  255,
  { forgetful: true },
)

/** The TOS octet by the names of its DSCP; numbers are hexadecimal, with `0x` or without. */
export const dsfields = new NameTable(
  {
    default: 0x00,
    CS1: 0x20,
    AF11: 0x28,
    AF12: 0x30,
    AF13: 0x38,
    CS2: 0x40,
    AF21: 0x48,
    AF22: 0x50,
    AF23: 0x58,
    CS3: 0x60,
    AF31: 0x68,
    AF32: 0x70,
    AF33: 0x78,
    CS4: 0x80,
    AF41: 0x88,
    AF42: 0x90,
    AF43: 0x98,
    CS5: 0xa0,
    EF: 0xb8,
    CS6: 0xc0,
    CS7: 0xe0,
  },
  255,
  { base: 16, forgetful: true },
)

/** A program of iproute2 begins, which remembers nothing of the one before. */
export function beginNames(): void {
  for (const names of [scopes, realmNames, protocols, dsfields]) names.begin()
}

/** Protocols of /etc/protocols, by their numbers; others print as `ipproto-N`. */
const IP_PROTOCOLS: Readonly<Record<string, number>> = {
  ip: 0,
  icmp: 1,
  igmp: 2,
  ggp: 3,
  ipencap: 4,
  st: 5,
  tcp: 6,
  egp: 8,
  igp: 9,
  pup: 12,
  udp: 17,
  hmp: 20,
  'xns-idp': 22,
  rdp: 27,
  'iso-tp4': 29,
  dccp: 33,
  xtp: 36,
  ddp: 37,
  'idpr-cmtp': 38,
  ipv6: 41,
  'ipv6-route': 43,
  'ipv6-frag': 44,
  idrp: 45,
  rsvp: 46,
  gre: 47,
  esp: 50,
  ah: 51,
  skip: 57,
  'ipv6-icmp': 58,
  'ipv6-nonxt': 59,
  'ipv6-opts': 60,
  rspf: 73,
  vmtp: 81,
  eigrp: 88,
  ospf: 89,
  'ax.25': 93,
  ipip: 94,
  etherip: 97,
  encap: 98,
  pim: 103,
  ipcomp: 108,
  vrrp: 112,
  l2tp: 115,
  isis: 124,
  sctp: 132,
  fc: 133,
  'mobility-header': 135,
  udplite: 136,
  'mpls-in-ip': 137,
  manet: 138,
  hip: 139,
  shim6: 140,
  wesp: 141,
  rohc: 142,
  ethernet: 143,
}

const ipProtocolNames = new Map(Object.entries(IP_PROTOCOLS).map(([name, number]) => [number, name]))

export function parseIpProtocol(word: string): number | undefined {
  return parseUnsigned(word, 255, 10) ?? IP_PROTOCOLS[word.toLowerCase()]
}

export function formatIpProtocol(number: number, numeric = false): string {
  return (numeric ? undefined : ipProtocolNames.get(number)) ?? `ipproto-${number}`
}

export function congestionName(key: number): string {
  return CONGESTION_NAMES[key - 1] ?? 'none'
}

/** 0 if there is no such algorithm. */
export function congestionKey(name: string): number {
  return CONGESTION_NAMES.indexOf(name) + 1
}

const ROUTE_TYPE_NAMES: readonly string[] = [
  'none',
  'unicast',
  'local',
  'broadcast',
  'anycast',
  'multicast',
  'blackhole',
  'unreachable',
  'prohibit',
  'throw',
  'nat',
  'xresolve',
]

/** The order in which a beginning of a type's name is compared; `local`, `nat` and `throw` must be whole. */
const ABBREVIATED_TYPES = [
  ['broadcast', RouteType.BROADCAST],
  ['anycast', RouteType.ANYCAST],
  ['multicast', RouteType.MULTICAST],
  ['prohibit', RouteType.PROHIBIT],
  ['unreachable', RouteType.UNREACHABLE],
  ['blackhole', RouteType.BLACKHOLE],
  ['xresolve', 11],
  ['unicast', RouteType.UNICAST],
] as const

export function formatRouteType(type: number, numeric = false): string {
  return (numeric ? undefined : ROUTE_TYPE_NAMES[type]) ?? `${type}`
}

export function parseRouteType(word: string): number | undefined {
  if (word === 'local') return RouteType.LOCAL
  if (word === 'nat') return RouteType.NAT
  if (word === 'throw') return RouteType.THROW
  if (word === 'brd') return RouteType.BROADCAST
  const found = ABBREVIATED_TYPES.find(([name]) => abbreviates(word, name))
  return found === undefined ? parseUnsigned(word, 255) : found[1]
}

/** `5`, or `5/6` for source and destination realm; or one number for both, 16 bits each. */
export function parseRealms(word: string): number | undefined {
  const slash = word.indexOf('/')
  const source = slash < 0 ? 0 : realmNames.parse(word.slice(0, slash))
  const rest = word.slice(slash + 1)
  const destination = source === undefined ? undefined : rest === '' ? 0 : realmNames.parse(rest)
  if (source === undefined || destination === undefined) return parseUnsigned(word)
  return (source << 16) | destination
}

/** What stands before the realm of the destination: `5/`, or nothing. */
export function formatRealms(realms: number, numeric = false): string {
  const source = realms >>> 16
  const destination = realmNames.format(realms & 0xffff, numeric)
  return source === 0 ? destination : `${realmNames.format(source, numeric)}/${destination}`
}
