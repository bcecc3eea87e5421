/**
 * A stack's configuration as a plain object that goes through JSON: what `saveJson` gives and `loadJson` takes.
 * The words are those of `ip`. Names and numbers are both taken where `ip` takes both; what is left out has the
 * default that `ip` gives it.
 */

export const CONFIGURATION_FORMAT = 'tunstack-configuration'
export const CONFIGURATION_VERSION = 1

export interface StackConfiguration {
  format: typeof CONFIGURATION_FORMAT
  version: typeof CONFIGURATION_VERSION
  /** In order of their index, loopback among them. */
  links: LinkEntry[]
  /** Each device's in the order of `ip address`. */
  addresses: AddressEntry[]
  /** Every table that there is, empty ones too, in the order of `ip route show table all`. */
  tables: (number | string)[]
  /** `ip nexthop`, by number; absent if there are none. */
  nexthopObjects?: NexthopObjectEntry[]
  /** Every route of every table in the order of `ip route show table all`, those among them that came with addresses. */
  routes: RouteEntry[]
  /** All of them, the three that every stack begins with too. */
  rules: RuleEntry[]
  /** A rule was added once: since then the tables `local` and `main` are searched one after the other. */
  rulesTouched: boolean
  /** A route of type `local` was added by hand once: since then addresses alone don't tell whose a source is. */
  localRoutesTouched: boolean
  /** What differs from the defaults, in an order in which it can be set. */
  sysctls: Record<string, string>
}

export interface LinkEntry {
  name: string
  index: number
  type: 'loopback' | 'none'
  /** `BROADCAST`, `LOOPBACK`, `POINTOPOINT`, `NOARP`, `MULTICAST` */
  flags: string[]
  /** Bytes, as are the bounds. */
  mtu: number
  minMtu: number
  maxMtu: number
  txQueueLength: number
  /** Name of the queueing discipline; `noop` for a device that was never up. */
  qdisc: string
  group: number
  up: boolean
  carrier: boolean
  /** Carrier came or went while the device was there, so that its state is `UP` rather than `UNKNOWN`. */
  carrierSeen: boolean
}

export interface AddressEntry {
  dev: string
  /** `10.0.3.1/24`; with a peer the length is that of the peer's prefix. */
  address: string
  peer?: string
  broadcast?: string
  scope?: number | string
  label?: string
  metric?: number
  noprefixroute?: boolean
  /** Seconds that are left; for ever if absent. */
  validLifetime?: number
  /** Seconds that are left, 0 for a deprecated address; for ever if absent. */
  preferredLifetime?: number
  /** `IFAPROT_*` */
  proto?: number
}

/** A nexthop object: `dev` with or without `via`, or `blackhole`, or a `group` of others. */
export interface NexthopObjectEntry {
  id: number
  via?: string
  dev?: string
  onlink?: boolean
  blackhole?: boolean
  group?: { id: number; weight?: number }[]
  proto?: number | string
  /** Of the way to the gateway when it was made: `link`, or `host` for an address of this host; `link` if absent. */
  scope?: number | string
}

export interface NexthopEntry {
  via?: string
  dev?: string
  weight?: number
  onlink?: boolean
  /** `5`, or `5/6` for source and destination. */
  realms?: string
  /** The hop of a group takes no traffic: its device went down, or lost its last address. */
  dead?: boolean
}

export interface RouteEntry {
  /** `10.0.0.0/8` or `default`. */
  to: string
  type?: number | string
  via?: string
  dev?: string
  onlink?: boolean
  table?: number | string
  proto?: number | string
  scope?: number | string
  src?: string
  metric?: number
  tos?: number
  realms?: string
  /** By the names of `ip route`, as the kernel keeps them: `rtt` in eighths of a millisecond, `rttvar` in quarters. */
  metrics?: Record<string, number | string>
  /** Metrics that path MTU discovery and its kin may not change. */
  locked?: string[]
  /** A group; then there is neither `via` nor `dev`. */
  nexthops?: NexthopEntry[]
  /** A group of which a hop is dead counts as one without carrier. */
  linkdown?: boolean
  /** A nexthop object's number; then there is no other way. */
  nhid?: number
}

export interface RuleEntry {
  priority: number
  not?: boolean
  from?: string
  to?: string
  fwmark?: number
  fwmask?: number
  tos?: number
  iif?: string
  oif?: string
  uidRange?: [number, number]
  ipProtocol?: number
  sport?: [number, number]
  dport?: [number, number]
  /** The table to look in; `main` unless there is an action. */
  table?: number | string
  /** `nop`, `blackhole`, `unreachable`, `prohibit`, or a number. */
  action?: number | string
  /** The priority to go on with. */
  goto?: number
  suppressPrefixLength?: number
  suppressGroup?: number
  realms?: string
  proto?: number | string
}
