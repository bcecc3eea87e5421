/** A configuration and packets, for the kernel and the stack alike. */
import type { WirePacket } from './injector-protocol.ts'

export interface Setup {
  /** Prefixes by device; `lo` has 127.0.0.1/8 already. A device that is not named here, and not `lo`, is not there. */
  addresses: Record<string, readonly string[]>
  /** Bytes by device. */
  mtu?: Record<string, number>
  /** As `ip route add` takes them, spelled out. */
  routes?: readonly string[]
  /** Names without `net.ipv4.`, in order. */
  sysctl?: Record<string, number>
}

export interface Step {
  title: string
  packets: readonly WirePacket[]
  /** ms until the outcome is looked at; a little in any case. */
  wait?: number
  /** Destinations for which the decision is compared afterwards (`ip route get`): next hop and path MTU. */
  routeGet?: readonly string[]
}

export interface Scenario {
  name: string
  setup: Setup
  steps: readonly Step[]
}

/** What came of a step. */
export interface Outcome {
  /** In order, for each device. */
  sent: WirePacket[]
  /** Counters that moved, by their nstat names. */
  counters: Record<string, number>
  /** Drop reasons, sorted; `null` if they cannot be known. */
  drops: string[] | null
  /** Packets and bytes by device and direction, those that moved. */
  links: Record<string, number>
  routes: string[]
}

/** Written in every namespace and stack before anything else: fresh ones may inherit from the machine. */
export const BASE_SYSCTL: Record<string, number> = {
  ip_forward: 0,
  icmp_ratelimit: 0,
  icmp_msgs_per_sec: 100_000,
  icmp_msgs_burst: 100_000,
  ...Object.fromEntries(
    ['all', 'default', 'lo'].flatMap((device) =>
      Object.entries({
        rp_filter: 0,
        accept_local: 0,
        route_localnet: 0,
        bc_forwarding: 0,
        accept_source_route: device === 'all' ? 0 : 1,
        accept_redirects: 1,
        secure_redirects: 1,
        send_redirects: 1,
        shared_media: 1,
        log_martians: 0,
      }).map(([name, value]): [string, number] => [`conf.${device}.${name}`, value]),
    ),
  ),
}

/** Counters that are compared: those that packets move, not those of time or of TCP's connections. */
export function isCompared(counter: string): boolean {
  return /^(Ip|Icmp|Udp|Tcp(?=In|Out))[A-Z]/.test(counter) || counter === 'TcpExtIPReversePathFilter'
}

/** What changed between two readings, of the counters that are compared. */
export function moved(before: Record<string, number>, after: Record<string, number>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(after)
      .map(([name, value]): [string, number] => [name, value - (before[name] ?? 0)])
      .filter(([, change]) => change !== 0),
  )
}
