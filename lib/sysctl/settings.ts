/**
 * The stack-wide settings, under their Linux names, with the values that a fresh network namespace has. They
 * are plain numeric fields, since the packet path reads them; who may write what is in the ranges beside them.
 */
import type { SettingRange } from './setting-range.ts'
import { TCP_RANGES, TcpSettings } from './tcp-settings.ts'

/** `net.ipv4.*`, those of TCP with it */
export class Ipv4Settings extends TcpSettings {
  /** The same variable as `conf.all.forwarding`. */
  ip_forward = 0
  ip_default_ttl = 64
  /** 0 discover and set DF; 1 never set DF, 2 and 3 ignore or check Fragmentation Needed more strictly. */
  ip_no_pmtu_disc = 0
  ip_forward_use_pmtu = 0
  ip_forward_update_priority = 1
  ip_nonlocal_bind = 0
  ip_dynaddr = 0
  ip_early_demux = 1
  ip_autobind_reuse = 0
  ip_unprivileged_port_start = 1024
  ip_local_port_range_low = 32768
  ip_local_port_range_high = 60999
  /** An empty range (1…0): nobody may open a ping socket. */
  ping_group_range_low = 1
  ping_group_range_high = 0
  fwmark_reflect = 0
  icmp_echo_ignore_all = 0
  icmp_echo_ignore_broadcasts = 1
  icmp_echo_enable_probe = 0
  icmp_errors_use_inbound_ifaddr = 0
  icmp_ignore_bogus_error_responses = 1
  /** Milliseconds between two ICMP messages of the masked types to one destination; 0: no limit. */
  icmp_ratelimit = 1000
  /** Bit per ICMP type that the limits hold for: 3, 4, 11, 12. */
  icmp_ratemask = 6168
  icmp_msgs_per_sec = 1000
  icmp_msgs_burst = 50
  /** Bytes that may wait for reassembly. */
  ipfrag_high_thresh = 4194304
  ipfrag_low_thresh = 3145728
  /** Seconds that a datagram may wait for its fragments. */
  ipfrag_time = 30
  ipfrag_max_dist = 64
  /** 0 addresses; 1 addresses and ports; 2 the inner addresses of a tunnel; 3 the fields of `_hash_fields`. */
  fib_multipath_hash_policy = 0
  fib_multipath_hash_fields = 7
  fib_multipath_hash_seed = 0
  fib_multipath_use_neigh = 0
  igmp_max_memberships = 20
  /** Routes that name a nexthop object are shown with its hops too. */
  nexthop_compat_mode = 1
  /** Whether groups of 224.0.0.0/24 are reported. */
  igmp_link_local_mcast_reports = 1
  /** How often a report is sent, in case one is lost. */
  igmp_qrv = 2
  udp_early_demux = 1
  udp_rmem_min = 4096
  udp_wmem_min = 4096
}

/** `net.ipv4.route.*` */
export class RouteSettings {
  /** Bytes: a smaller path MTU is not believed. */
  min_pmtu = 552
  /** Seconds after which a learnt path MTU lapses. */
  mtu_expires = 600
  min_adv_mss = 256
  /** Seconds after which a learnt redirect lapses. */
  gc_timeout = 300
  /** Milliseconds, and how many: pace of redirects to one source (`ip_rt_send_redirect`). */
  redirect_load = 20
  redirect_number = 9
  /** Milliseconds after which redirects are sent again. */
  redirect_silence = 20480
  /** Milliseconds: token bucket of ICMP unreachables for packets that cannot be routed. */
  error_burst = 5000
  error_cost = 1000
}

/** `net.core.*` */
export class CoreSettings {
  netdev_max_backlog = 1000
  netdev_budget = 300
  netdev_budget_usecs = 8000
  dev_weight = 64
  somaxconn = 4096
  optmem_max = 131072
  rmem_default = 212992
  rmem_max = 4194304
  wmem_default = 212992
  wmem_max = 4194304
}

const INT: SettingRange = { min: -2147483648, max: 2147483647 }
const NATURAL: SettingRange = { min: 0, max: 2147483647 }
const POSITIVE: SettingRange = { min: 1, max: 2147483647 }
const BYTE: SettingRange = { min: 0, max: 255 }
const BOOLEAN: SettingRange = { min: 0, max: 1 }
/** Kept in clock ticks of 4 ms by Linux, which is where the bound comes from. */
const SECONDS: SettingRange = { min: -8589934, max: 8589934 }

type Ranges<T> = { readonly [K in keyof T]?: SettingRange }

/** Settings that are one number each. `ip_forward` and the pairs have rules of their own. */
export const IPV4_RANGES: Ranges<Ipv4Settings> = {
  ip_default_ttl: { min: 1, max: 255 },
  ip_no_pmtu_disc: BYTE,
  ip_forward_use_pmtu: BYTE,
  ip_forward_update_priority: BOOLEAN,
  ip_nonlocal_bind: BYTE,
  ip_dynaddr: BYTE,
  ip_early_demux: BYTE,
  ip_autobind_reuse: BOOLEAN,
  ip_unprivileged_port_start: { min: 0, max: 65535 },
  fwmark_reflect: BYTE,
  icmp_echo_ignore_all: BOOLEAN,
  icmp_echo_ignore_broadcasts: BOOLEAN,
  icmp_echo_enable_probe: BOOLEAN,
  icmp_errors_use_inbound_ifaddr: BOOLEAN,
  icmp_ignore_bogus_error_responses: BOOLEAN,
  icmp_ratelimit: NATURAL,
  icmp_ratemask: INT,
  icmp_msgs_per_sec: NATURAL,
  icmp_msgs_burst: NATURAL,
  ipfrag_high_thresh: { min: 0, max: Number.MAX_SAFE_INTEGER },
  ipfrag_low_thresh: { min: 0, max: Number.MAX_SAFE_INTEGER },
  ipfrag_time: SECONDS,
  ipfrag_max_dist: NATURAL,
  fib_multipath_hash_policy: { min: 0, max: 3 },
  fib_multipath_hash_fields: { min: 1, max: 4095 },
  fib_multipath_hash_seed: { min: 0, max: 4294967295 },
  fib_multipath_use_neigh: BOOLEAN,
  igmp_max_memberships: INT,
  nexthop_compat_mode: BOOLEAN,
  igmp_link_local_mcast_reports: BYTE,
  igmp_qrv: POSITIVE,
  udp_early_demux: BYTE,
  udp_rmem_min: POSITIVE,
  udp_wmem_min: POSITIVE,
  ...TCP_RANGES,
}

export const ROUTE_RANGES: Ranges<RouteSettings> = {
  min_pmtu: { min: 68, max: 2147483647 },
  mtu_expires: SECONDS,
  min_adv_mss: INT,
  gc_timeout: INT,
  redirect_load: INT,
  redirect_number: INT,
  redirect_silence: INT,
  error_burst: INT,
  error_cost: INT,
}

export const CORE_RANGES: Ranges<CoreSettings> = {
  netdev_max_backlog: NATURAL,
  netdev_budget: INT,
  netdev_budget_usecs: NATURAL,
  dev_weight: POSITIVE,
  somaxconn: NATURAL,
  optmem_max: NATURAL,
  rmem_default: { min: 2304, max: 2147483647 },
  rmem_max: { min: 2304, max: 2147483647 },
  wmem_default: { min: 4608, max: 2147483647 },
  wmem_max: { min: 4608, max: 2147483647 },
}
