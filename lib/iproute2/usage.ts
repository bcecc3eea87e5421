/**
 * What `help`, and a command that lacks what it cannot do without, print before the program ends. The texts are
 * this project's own and name what there is here; iproute2's also name what no stack of IP packets has.
 */
import { Exit, Status } from './outcome.ts'

export type UsageTopic =
  | 'ip'
  | 'address'
  | 'route'
  | 'rule'
  | 'link'
  | 'neigh'
  | 'maddress'
  | 'netconf'
  | 'nexthop'

const TEXTS: Readonly<Record<UsageTopic, string>> = {
  ip: `Usage: ip [OPTIONS] OBJECT [COMMAND]
       ip [-force] -batch FILE
OBJECT: address, route, rule, link, neighbor, maddress, netconf, nexthop
OPTIONS: -V -h -s -d -r -o -t -br -j -p -N -c -4 -6 -0 -f FAMILY -l LOOPS -rc SIZE -b FILE -force
`,
  address: `Usage: ip address add|change|replace|del PREFIX dev DEVICE [peer PREFIX] [broadcast ADDRESS|+|-]
           [label LABEL] [scope SCOPE] [metric N] [noprefixroute] [valid_lft SECONDS] [preferred_lft SECONDS]
       ip address [show|flush] [[dev] DEVICE] [up] [scope SCOPE] [to PREFIX] [label PATTERN] [type TYPE]
           [group GROUP] [[-]secondary|primary|permanent|dynamic|deprecated|noprefixroute]
`,
  route: `Usage: ip route add|append|prepend|replace|change|del|test [TYPE] PREFIX [via ADDRESS] [dev DEVICE]
           [table TABLE] [metric N] [proto PROTOCOL] [scope SCOPE] [src ADDRESS] [tos TOS] [realms [FROM/]TO]
           [onlink] [mtu|advmss|hoplimit|window|cwnd|initcwnd|initrwnd|ssthresh|reordering [lock] N]
           [rtt|rttvar [lock] TIME] [rto_min TIME] [features ecn] [quickack 0|1] [congctl [lock] NAME]
           [nexthop [via ADDRESS] [dev DEVICE] [weight N] [onlink]]... [nhid N]
       ip route [show|flush] [root|match|exact PREFIX] [table TABLE|all] [dev DEVICE] [via PREFIX] [src PREFIX]
           [proto PROTOCOL] [scope SCOPE] [type TYPE] [tos TOS] [metric N] [realms REALMS]
       ip route get ADDRESS [from ADDRESS] [iif DEVICE] [oif DEVICE] [mark N] [tos TOS] [uid N]
           [ipproto PROTOCOL] [sport N] [dport N] [fibmatch]
`,
  rule: `Usage: ip rule add|del [not] [from PREFIX] [to PREFIX] [tos TOS] [fwmark N[/MASK]] [iif DEVICE] [oif DEVICE]
           [priority N] [uidrange N-N] [ipproto PROTOCOL] [sport N[-N]] [dport N[-N]] [realms [FROM/]TO]
           [table TABLE [suppress_prefixlength N] [suppress_ifgroup GROUP] | goto N | nop | TYPE]
       ip rule [show|flush] [SELECTOR]
`,
  link: `Usage: ip link set [dev] DEVICE [up|down] [mtu N] [name NAME] [txqueuelen N] [group GROUP] [alias TEXT]
           [multicast|allmulticast|promisc|arp|dynamic on|off]
       ip link [show] [[dev] DEVICE] [up] [group GROUP] [type TYPE]
`,
  neigh: `Usage: ip neigh [show|flush] [dev DEVICE] [to PREFIX] [nud STATE]
`,
  maddress: `Usage: ip maddress [show] [dev DEVICE]
`,
  netconf: `Usage: ip netconf [show] [dev DEVICE]
`,
  nexthop: `Usage: ip nexthop add|replace [id N] [via ADDRESS] dev DEVICE [onlink] [protocol PROTOCOL]
       ip nexthop add|replace [id N] blackhole|group N[,WEIGHT][/N[,WEIGHT]]... [type mpath] [protocol PROTOCOL]
       ip nexthop del|get id N
       ip nexthop [show|flush] [id N] [dev DEVICE] [groups] [protocol N]
`,
}

export function usage(topic: UsageTopic): Exit {
  return new Exit(Status.USAGE, TEXTS[topic].slice(0, -1))
}

/** The text alone, for where it ends no program. */
export function usageOf(topic: UsageTopic): string {
  return TEXTS[topic]
}
