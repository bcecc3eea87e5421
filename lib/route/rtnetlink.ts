/**
 * The vocabulary of Linux routing: route types, scopes, protocols, table numbers and flags, with the numbers of
 * `linux/rtnetlink.h`, so that what the stack holds can be printed as iproute2 prints the kernel's.
 */
import { errnoName, TunstackError } from '../errors.ts'

/** Route types (`RTN_*`). */
export const RouteType = {
  UNSPEC: 0,
  UNICAST: 1,
  LOCAL: 2,
  BROADCAST: 3,
  ANYCAST: 4,
  MULTICAST: 5,
  BLACKHOLE: 6,
  UNREACHABLE: 7,
  PROHIBIT: 8,
  THROW: 9,
  NAT: 10,
} as const

/** Route and address scopes (`RT_SCOPE_*`): a larger number is nearer. */
export const Scope = { UNIVERSE: 0, SITE: 200, LINK: 253, HOST: 254, NOWHERE: 255 } as const

/** Who made a route (`RTPROT_*`). */
export const RouteProtocol = { UNSPEC: 0, REDIRECT: 1, KERNEL: 2, BOOT: 3, STATIC: 4 } as const

/** Table numbers (`RT_TABLE_*`). */
export const RouteTable = { UNSPEC: 0, DEFAULT: 253, MAIN: 254, LOCAL: 255 } as const

/** Next-hop flags (`RTNH_F_*`). */
export const NexthopFlag = { DEAD: 1, PERVASIVE: 2, ONLINK: 4, OFFLOAD: 8, LINKDOWN: 16 } as const

/** Route metrics (`RTAX_*`): index into `FibInfo.metrics`. */
export const Metric = {
  LOCK: 1,
  MTU: 2,
  WINDOW: 3,
  RTT: 4,
  RTTVAR: 5,
  SSTHRESH: 6,
  CWND: 7,
  ADVMSS: 8,
  REORDERING: 9,
  HOPLIMIT: 10,
  INITCWND: 11,
  FEATURES: 12,
  RTO_MIN: 13,
  INITRWND: 14,
  QUICKACK: 15,
  /** A number for the name of a congestion control algorithm. */
  CC_ALGO: 16,
  FASTOPEN_NO_COOKIE: 17,
} as const

/** Actions of rules (`FR_ACT_*`). */
export const RuleAction = { TO_TBL: 1, GOTO: 2, NOP: 3, BLACKHOLE: 6, UNREACHABLE: 7, PROHIBIT: 8 } as const

/** Flags of a cached decision (`RTCF_*`), as `ip route get` shows them. */
export const RouteFlag = {
  DOREDIRECT: 0x01000000,
  BROADCAST: 0x10000000,
  MULTICAST: 0x20000000,
  LOCAL: 0x80000000 | 0,
} as const

/** What Linux would answer over rtnetlink: an errno, and for some the sentence of its extended ACK. */
export class NetlinkError extends TunstackError {
  /** The kernel's own words, printed by iproute2 as `Error: …`; without them it prints `RTNETLINK answers: …`. */
  readonly extack: string | undefined

  constructor(errno: number, extack?: string, what = 'configuration', value?: unknown) {
    const code = errnoName(errno)
    super(code, `${what}: ${extack ?? code}`, { value })
    this.extack = extack
  }
}
