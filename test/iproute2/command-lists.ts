/**
 * Commands each of which is a program of its own, by what they are about; each list begins with nothing configured.
 * Words are cut at spaces.
 */
export const COMMAND_LISTS: Readonly<Record<string, readonly string[]>> = {
  JSON: `
link set lo up
link set tun0 up
addr add 10.5.0.1/24 brd + dev tun0 label tun0:x metric 5
addr add 10.5.0.1/24 brd + dev tun0 label tun0:x metric 5
addr add 10.6.0.1 peer 10.6.0.9/24 dev tun0 noprefixroute preferred_lft 0
route add 10.9/16 via 10.5.0.3 tos 0x28 mtu lock 1400 rtt 1.5s rttvar 30ms rto_min 200ms realms 5/6 features ecn quickack 1 hoplimit 7 congctl cubic src 10.5.0.1 metric 9 advmss 500 fastopen_no_cookie 1 ssthresh lock 8
route add 10.10/16 via 10.5.0.3 realms 5 congctl lock reno mtu 1300 proto static
route add blackhole 40/8
route add default via 10.5.0.7 onlink dev tun0 proto 77
-j route
-j -d route
-j -p route show table all dev tun0
-j -N route
-j -s route get 10.9.1.1 tos 0x28 mark 17
-j route get 10.9.1.1 mark 5
-j route get 224.0.0.1 oif tun0
-j route get 10.5.0.1 from 10.5.0.9 iif tun0
-j -p route get fibmatch 10.9.1.1
route
-d route get 10.10.1.1
-j -p route get 10.10.1.1
-j route get 10.5.0.9 connected
-j route get 1.2.3.4 oif nope
-j route get 0.0.0.0
-j addr show tun0
-j -d -s addr show tun0
-j -o addr
-j addr show label tun0*
-j addr show scope host
-j addr flush dev nope
-j -s addr flush dev tun1
-j -br addr
-j -N addr show tun0
-j -0 addr show lo
-j -4 addr show lo
rule add not from 10/8 to 1.2.3.4 tos 0x10 fwmark 5/0xff iif lo oif gone uidrange 1-2 ipproto tcp sport 5 dport 6-7 table 100 suppress_prefixlength 3 suppress_ifgroup 4 realms 5/6 protocol static
rule add from 10.0.0.1 iif gone fwmark 16 goto 5000 realms 7
rule add nop to 10/8
rule add blackhole oif tun0
rule add goto 32767 prio 5
-j -p rule
-j -d rule
-j -N rule
rule
-j rule show from 11/8
-j rule flush
-j rule
`
    .trim()
    .split('\n'),
  'what can be set of a link': `
link set tun0 name foo
link set tun0 name tun1
link show foo
link set foo up
link set foo name tun0
link set tun0 name lo
link set tun0 name a/b
link set tun0 name toolongnameforadevice
link set tun0 qlen 100
link set tun0 txqueuelen 0
link show tun0
link set tun0 txqlen 0x10
link set tun0 qlen -1
link set tun0 qlen x
link set tun0 qlen 1 qlen 2
link show tun0
link show tun0
-j link show tun0
-o link show tun0
addr show tun0
-br link show tun0
link show tun0
link set tun0 multicast off
link show tun0
link set tun0 multicast on
link set tun0 allmulticast on
link set tun0 allmulti on
link set tun0 promisc on
-d link show tun0
link set tun0 promisc off
link set tun0 allmulticast off
link set tun0 arp on
link show tun0
link set tun0 arp off
link set tun0 arp x
link set tun0 dynamic on
link show tun0
link set tun0 dynamic off
link set tun0 trailers on
link show tun0
link set tun0 trailers off
link set tun0 address 00:11:22:33:44:55
link set tun0 address 0
link set lo address 00:11:22:33:44:55
link set tun0 broadcast ff:ff:ff:ff:ff:ff
link set tun0 carrier on
link show tun0
link set tun0 master tun1
link set tun0 master nope
link set tun0 nomaster
link set tun0 type tun
link set tun0 protodown on
link set tun0 index 5
link set lo down
link set lo up
link set lo name lo0
link show lo0
link set lo0 name lo
link set lo name lo1
link show
link set lo1 mtu 100 up down
link set group default up
link show
link set group 5 down
link set tun0 group 5
link set group 5 down
link show group 5
link set dev
link set dev tun0 dev tun1
link set tun0 tun1
link set tun0 multicast
link set tun0 multicast bogus
link set tun0 min_mtu 5
link set dev lo group default
link set lo multicast on
link set lo arp off
link set lo promisc on
link show lo
-d link show lo
`
    .trim()
    .split('\n'),
  'algorithms, tables without a number, rules': `
link set lo up
link set tun0 up
-j route show table 100
-j route flush table 100
-j route get
-j route get 9.9.9.9
-j link show nope
-j addr show bogus lo
-j rule show bogus
-j -s route flush cache
-N addr show tun0
-N link show
-j addr show tun0
route add 10.9/16 dev tun0 congctl cubic
route add 10.10/16 dev tun0 congctl lock reno
route add 10.11/16 dev tun0 congctl bogus
route add 10.12/16 dev tun0 congctl
route add 10.12/16 dev tun0 cong cubic mtu 1300
route add 10.13/16 dev tun0 congctl bbr
route add 10.14/16 dev tun0 congctl toolongnametoolongname
route add 10.15/16 dev tun0 c 5
route add 10.16/16 dev tun0 con reno
route
route get 10.9.1.1
route del 10.9/16 congctl reno
route del 10.9/16 congctl cubic
rule add table 0
rule add table unspec prio 8
rule
-j rule
rule del table 0
rule
route add 10.9/16 dev tun0 table 0
route show table 0
route show table unspec
rule add lookup all
rule show table 0
rule add l3mdev
rule add l3mdev prio 5 iif tun0
rule
-j rule
rule del l3mdev
rule add nat 1.2.3.4
rule add type unicast
rule add nat
rule add map-to 1.2.3.4 prio 70
rule add type throw
rule add type 5
route get 10.5.0.9 iif nope
route get 10.5.0.9 dport 5 ipproto tcp sport 9
`
    .trim()
    .split('\n'),
  'neighbours, groups, settings': `
link set tun1 up
address add 10.0.0.1/24 dev tun1
link set lo up
neigh
neigh show
neigh show dev nope
neigh show dev tun1
neigh show nud bogus
neigh show nud all
neigh show 1.2.3.4
neigh show bogus
neigh show to 1.2.3.4 dev lo
neigh show
neigh del 1.2.3.4 dev tun1
neigh del 1.2.3.4 dev lo
neigh change 1.2.3.4 dev tun1 nud reachable
neigh flush
neigh flush dev tun1
neigh flush all
-s neigh flush all
-j neigh
neigh get 1.2.3.4 dev tun1
neigh get
neigh bogus
-s neigh
neigh show unused
-4 maddress
-4 maddress show dev tun1
-4 maddress show tun1
-4 maddress show dev nope
-4 maddress show tun1 lo
-4 -j maddress
-4 maddress
-0 maddress
-4 -o maddress
-4 maddress add 01:00:5e:00:00:01 dev tun1
-4 maddress add 224.0.0.5 dev tun1
-4 maddress del 01:00:5e:00:00:01 dev tun1
-4 maddress add
-4 maddress bogus
-4 maddress show
-4 maddress
address add 10.0.0.1/24 dev tun1
-4 maddress
-4 -j -p maddress
-4 maddress
-4 maddress
-4 netconf
-4 netconf show
-4 netconf
-4 -j netconf
-j -p -4 netconf show dev tun1
-4 netconf show dev tun1
-4 netconf show dev nope
-4 netconf show tun1
netconf bogus
-4 netconf show dev tun1
-4 -o netconf
-4 -s netconf
-d -4 netconf
-4 m
link set lo up
-4 -j maddress
-4 -j -p maddress
-4 -o maddress
-4 maddress
-4 maddress show dev lo
-4 -j maddress show dev tun0
-4 -j -p netconf
-4 -o netconf show dev lo
neigh show nud noarp
neigh flush dev nope
neigh flush nud bogus
neigh del
neigh del 1.2.3.4 dev tun0
neigh change 1.2.3.4 dev tun0
neigh get 1.2.3.4
neigh get dev tun0
neigh get 1.2.3.4 dev nope
neigh get 1.2.3.4 dev tun0 junk
link set lo up
-4 -j maddress
-4 -j -p maddress
-4 -o maddress
-4 maddress
-4 maddress show dev lo
-4 -j maddress show dev tun0
-4 -j -p netconf
-4 -o netconf show dev lo
neigh show nud noarp
neigh flush dev nope
neigh flush nud bogus
neigh del
neigh del 1.2.3.4 dev tun0
neigh change 1.2.3.4 dev tun0
neigh get 1.2.3.4
neigh get dev tun0
neigh get 1.2.3.4 dev nope
neigh get 1.2.3.4 dev tun0 junk
`
    .trim()
    .split('\n'),
  'what a filter leaves of a device': `
link set lo up
addr add 10.0.0.1/24 dev tun0
-j addr show type tun
-j -4 addr show type tun
-j -4 addr show type bogus
-j -4 addr show type tun dev lo
-j -4 addr show type tun dev tun1
-j addr show up
-j -4 addr show group 5
-j link show type tun
-j addr show type tun
-j -4 addr show type tun
-j -d addr show type tun
-j -4 addr show type tun dev tun0
-j -4 addr show type tun dev lo
-j addr show type tun dev lo
-4 -j link show type tun
-j addr show group 5
-j link show group 5
-j addr show group 5 dev lo
-j addr show up dev lo
-j -4 link show type bogus
-j link show type bogus
-j addr show type bogus
-j -4 addr show type bogus
link set lo up
addr add 10.0.0.1/24 dev tun0
-br address show label lo
-br -o address show label lo
-br -o address
-br address show label tun*
-j -br address show label lo
-j -br -o address show label lo
-o address show type tun
-o address show up
-o -br address show up
-j -o address show up
-o -br address show group 5
-s -o address show
-s -o address show tun0
-d -o address show lo
link set lo alias foo
-d address show lo
-d -br address show lo
`
    .trim()
    .split('\n'),
  'realms of the way back': `
link set lo up
link set tun0 up
link set tun1 up
addr add 10.0.0.1/24 dev tun0
addr add 10.1.0.1/24 dev tun1
route add 10.0.0.0/26 dev tun0 realms 5/6
route add 10.2/16 dev tun1 realms 7/8
route add 10.3/16 dev tun0
route get 10.0.0.1 from 10.0.0.9 iif tun0
route get 10.0.0.1 from 10.3.0.9 iif tun0
route get 10.0.0.1 from 10.2.0.9 iif tun1
rule add from 10.3/16 realms 3/4
route get 10.0.0.1 from 10.3.0.9 iif tun0
rule add to 10.3/16 realms 9/10
route get 10.0.0.1 from 10.3.0.9 iif tun0
route get 10.0.0.255 from 10.0.0.9 iif tun0
route get fibmatch 10.0.0.1 from 10.0.0.9 iif tun0
`
    .trim()
    .split('\n'),
  'names and ends of devices': `
link set lo up
link set tun0 up
link set tun1 up
address add 10.0.0.1/24 dev tun0
address add 10.1.0.1/24 dev tun0
address add 10.2.0.1/24 dev tun0 label tun0:xy
address add 10.0.0.2/24 dev tun0 label other
route add 10.9.0.0/16 via 10.0.0.9
rule add iif tun0 table 100 prio 5
rule add iif eth7 table 101 prio 6
link set tun0 name eth7
address show
route show table all
rule show
link set eth7 name averylongname12
address show
link set averylongname12 name t%d
link show
link set t0 name tun1
link set t0 name a:b
link set t0 name .
rule show
route add 30/8 nexthop dev t0 nexthop dev tun1
link del t0
link show
address show
route show table all
rule show
link del t0
link del lo
link del
link add
link add x type tun
link set group default down
link show
link set tun1 qlen 0
link set tun1 up
link show tun1
`
    .trim()
    .split('\n'),
  'other families, virtual functions, groups': `
-0 neigh get x dev lo
-0 neigh get 1.2.3.4.5 dev lo
-0 neigh get proxy 1.2.3.4 dev lo
-0 neigh add 1.2.3.4 dev lo
-0 neigh change 1.2.3.4 dev lo
-0 neigh del x dev lo
-0 neigh flush dev lo
-0 route add 10/8
-0 route add as 1.2.3.4 default
-0 route get 1.2.3.4
-0 route show via any
-0 addr add 1.2.3.4 dev lo
-0 addr add any dev lo
-0 rule add from any
-0 rule add blackhole
-0 rule show from any
-0 nexthop add id 9 via any dev lo
-0 nexthop add dev lo
-0 nexthop del id 9
-0 nexthop bucket
-M neigh get x dev lo
-M neigh get 1.2.3.4 dev lo
-M neigh
-M route
-M route show via 1
-M route get 1/2
-M route add 100/200 dev lo
-M route add 5 dev lo
-M route flush
-M rule add from 1
-M rule add from any
-M rule add nat any
-M addr
-M addr add 1.2.3.4 dev lo
-M link
-M maddress
-M nexthop add id 9 via 1.2.3.4 dev lo
-M nexthop flush
-B neigh add 1.2.3.4 dev lo
-B neigh flush dev lo
-B route show 1.2.3.4
-B route add default via 1.2.3.4
-B route add src any default
-B route get default from any
-B route flush default
-B rule add from any
-B rule add nat 1.2.3.4
-B rule list from 1.2.3.4
-B addr add 1.2.3.4 dev lo
-B link
-B nexthop
-B nexthop add id 9 via inet 1.2.3.4 dev lo
-4 nexthop add id 9 via inet6 ::1 dev lo
route del ::/0 dev lo
route del ::/0 proto boot
route del local ::/0
route del ::/0 src ::1
route add ::/0 dev tun0 onlink
route add ::/0 onlink
link set dev tun0 vf 1 mac x
link set dev tun0 vf 1 vlan x
link set dev tun0 vf 1 vlan 5 qos 3 proto 802.1q
link set dev tun0 vf 1 rate 5
link set dev tun0 vf 1 max_tx_rate x
link set dev tun0 vf 1 spoofchk x
link set dev tun0 vf 1 trust on
link set dev tun0 vf 1 state e
link set dev tun0 vf 1 node_guid 11:22:33:44:55:66:77:88
link set dev tun0 vf 1 port_guid x
link set dev tun0 vf x
link set dev tun0 vf 1 mac 1:2:3:4:5:6 vf 2 mac 1:2:3:4:5:6
link set dev nope vf 1
link set tun0 vf -1 vlan 5
link show tun0
route del 10/8 via inet6 fe80::1
route del 10/8 via link x dev lo
route add 10/8 via mpls 5 dev lo
route add 10/8 via link any dev lo
route add 10/8 via inet6 :: dev lo
route add 10/8 nexthop via inet6 any dev lo
link set tun0 xdp o
link set tun0 xdp off x
link set tun0 xdp pinned x y
link set tun0 xdp obj x y
link set tun0 xdp n
link set tun0 xdp fd 5
link set tun0 xdp
route get ::1 from ::1/0
route get ::1 iif lo from ::2
route get ::1/64 from 2001::1/64
route get ::1 ipproto icmp
route get ::1 mark 5
route get ::1 tos 3
route get ::1 dev tun0 connected
route get fe80::1 oif tun0
route get ::1 notify
route get ::1
-d route get ::1
route show root ::1
route show via ::1
route flush via ::1
addr show to ::/0
addr add ::1 dev tun0
addr add ::1 peer ::2 dev tun0
addr add ::1/64 dev tun0 label tun0:1
addr replace ::1/64 dev tun0
neigh get ::1 dev lo
neigh del ::1 dev lo
neigh show ::1
route add ::1 dev lo
route add ::1
route add broadcast 1::
route del ::1
route replace ::1 dev lo
route add 10/8 via ::1
route add ::1 nhid 5
rule add from ::/0
rule del to ::1
rule show to ::1
netconf
link set tun0 group 4294967301
link set tun0 group 9223372036854775807
link set tun0 group 18446744073709551616
link set tun0 group -1
link set tun0 group -0
link set tun0 group +5
link set tun0 group 0x10
link set tun0 group 010
link set tun0 group 5x
link set tun0 group 2147483648
link set tun0 group 4294967295
link show group 4294967296
link show group 8589934592
link show group 4294967295
link show group -5
rule add suppress_ifgroup 2147483648 table 7
link del group 4294967295
-4 addr add broad + dev tun1 any
-4 addr change broad - dev tun1
-br addr
addr del 10.0.0.64/23 dev tun0
`
    .trim()
    .split('\n'),
  'said twice, and joined': `
link set tun0 up
address add 224.0.0.9/24 peer 10.0.0.0 autojoin dev tun0
address add 224.0.0.9/24 peer 224.0.0.7 autojoin dev tun0
maddress
address del 224.0.0.9/24 peer 224.0.0.7 dev tun0
address
maddress
address add 224.0.0.9/24 autojoin dev tun0
address add 224.0.0.9/24 autojoin dev tun0
address add 224.0.0.9/24 peer 224.0.0.8/24 autojoin dev tun0
address add 224.0.0.9/24 autojoin dev lo
address add 224.0.0.9/24 autojoin dev tun1
address add 224.0.0.10/24 peer 224.0.0.9 autojoin dev tun1
maddress
address flush dev tun0
maddress
link set tun0 gso_max_size 5 gso_max_size 70000
link set tun0 gso_max_size 70000 gso_max_size 5
link set tun0 gso_max_size 70000 gso_max_size 7000
link set tun0 gro_max_size 700000 gro_max_size 7000
link set tun0 gso_max_segs 70000 gso_max_segs 7
link set tun0 addrgenmode stable_secret addrgenmode none
link set tun0 mtu 5 mtu 1000
link set tun0 carrier on carrier off
link set tun0 state up state x
link set tun0 state up state down
link set tun0 mode dormant mode default
link set tun0 alias x alias y
link set tun0 master lo nomaster
link set tun0 nomaster master lo
link set tun0 vf 1 vlan 5 vf 2 vlan 6
link set tun0 addr 1:2 addr 1:2
link set lo addr 00:00:00:00:00:01 addr 02:02:02:02:02:02
link set lo brd 00:00:00:00:00:01 brd 02:02:02:02:02:02
link set lo brd 00:00 brd 02:02:02:02:02:02
link set tun0 link lo link tun1
link set tun0 protodown on protodown off
`
    .trim()
    .split('\n'),
  'questions from nowhere, lists that fail': `
link set lo up
link set tun0 up
addr add 10.0.0.1/24 dev tun0
route get 10.0.0.0 from default iif tun0
route get 10.0.0.0 from any iif tun0
route get 10.0.0.0 from all iif tun0
route get 10.0.0.0 from 0/0 iif tun0
route get 10.0.0.0 from 10/8 iif tun0
route get 10.0.0.5 from 10.0.0.7/0
route get from default 10.0.0.5
route get from any 10.0.0.5
route get from 0/0 10.0.0.5
-4 route get from default 10.0.0.5
-4 route get from any 10.0.0.5
-4 route get default
-4 route get any
route get default
route get from 10.0.0.1 default
route get from 10.0.0.1 any
route get from 10.0.0.1 0/0
route get from 10.0.0.1 10.0.0.5/8
route get 0/0
route get 10.0.0.5/8
route get 10.0.0.5/0
route get to default from 10.0.0.1
route get 10.0.0.5 from default
-4 route get default from default
-j -0 rule
-j -0 rule flush
-j -0 rule show
-j -p -0 rule flush
-j -M rule list
-p -0 rule flush
`
    .trim()
    .split('\n'),
  'a name that IPv6 refuses': `
address add 10.0.0.1/24 dev tun0
a add 10.0.0.0/24 dev tun0
a add 10.0.0.9/24 dev tun0 label tun0:abc
link set tun0 name all
address show dev tun0
link set tun0 name default
address show dev tun0
link set tun0 mtu 1000
link set tun0 name all
address
`
    .trim()
    .split('\n'),
  'gateways that are none, times, names': `
route add 10.2.1.65/0 nhid 5 dev lo
route add 10.2.1.65/8 nhid 5 dev lo
route add 10.2.1.65/8 nhid 5
route add 10.2.1.65/8 nhid 5 nexthop dev lo
route add 10.2.1.65/8 nhid 5 via 1.2.3.4
route add 10.2.1.65/8 nhid 5 via inet6 fe80::1
route add 10.2.1.65/8 via inet6 fe80::1
route add 10.2.1.65/8 via any
route add 10.2.1.65/8 via link 1:2
route add 10.2.1.65/8 nexthop via any dev lo
route add 10.2.1.65/8 via inet6 any
route add 10.2.1.65/8 tos 3 nhid 5 dev lo
route add 10.0.0.0/8 tos 3 nhid 5 dev lo
route add 10.0.0.0/8 tos 3 via inet6 fe80::1
route add 10.0.0.0/8 tos 3 via link 1:2
route del 10.2.1.65/8 nhid 5 dev lo
route del 10.2.1.65/8 via link 1:2
route del 10.2.1.65/8 table 77
route del 10.2.1.65/8
route add 10.0.0.0/8 nhid 5 via link 1:2
route add 10.0.0.0/8 nhid 5 via inet6 any
route add 10.0.0.0/8 nhid 5 nexthop via link 1:2
route add 10.0.0.0/8 nhid 5 nexthop via inet6 any
route add 10.0.0.0/8 nhid 5 nexthop via any
route add 10.2.0.0/8 nexthop via link 1:2
route add 10.2.0.0/8 nexthop via inet6 any
route add 10.0.0.0/8 nexthop via link 1:2
route add 10.0.0.0/8 nexthop via link 1:2 dev lo nexthop via any dev lo
route add 10.0.0.0/8 nexthop via any dev lo nexthop via link 1:2 dev lo
route add 10.0.0.0/8 nexthop via fe80::1 dev lo
route add 10.0.0.0/8 tos 3 nexthop via link 1:2
route del 10.0.0.0/8 nexthop via link 1:2
route del 10.0.0.0/8 nexthop via inet6 any
route del 10.0.0.0/8 nexthop via inet6 fe80::1 dev lo
link set lo up
route add 10.0.0.0/8 nexthop dev lo nexthop dev lo weight 3
route del 10.0.0.0/8 nexthop via link 1:2
route del 10.0.0.0/8 nexthop via link 1:2 dev lo nexthop dev lo
route del 10.0.0.0/8 nexthop via inet6 any dev lo nexthop dev lo
route del 10.0.0.0/8 nexthop via inet6 fe80::1 dev lo nexthop dev lo
route del 10.0.0.0/8 nexthop dev lo nexthop via any dev lo
route del 10.0.0.0/8 nexthop dev lo nexthop via default dev lo
route del 10.0.0.0/8 nexthop dev lo nexthop dev lo
link set tun1 name tun1 q
link set tun1 name tun1
link set name tun1 tun1
link set name tun1 tun1 tun1
link set name tun1 tun0
link set name foo dev tun1
link set name tun1 dev foo
link set tun1 name tun1 dev tun1
link add tun0 name tun0 type tun
link add name tun0 tun0 type tun
link add name tun0 type tun
link add tun0 name x type tun
link set name tun1 name tun1
link set tun0 up
route add 10.1.1.0/26 rto_min 1000000s dev tun0
route add 10.1.2.0/26 rto_min 999999s dev tun0
route add 10.1.3.0/26 rto_min 4294967s dev tun0
route add 10.1.4.0/26 rto_min 1234567ms dev tun0
route add 10.1.5.0/26 rto_min 12345678ms rtt 3000000 rttvar 123456789 dev tun0
route add 10.1.6.0/26 rto_min 1000500ms rtt 4294967295 rttvar 4294967290 dev tun0
route add 10.1.7.0/26 rto_min 100000000ms rtt 80000000 rttvar 4000000 dev tun0
route add 10.1.8.0/26 rto_min 999999500ms dev tun0
route add 10.1.9.0/26 rto_min 999999400ms dev tun0
route
-j route
`
    .trim()
    .split('\n'),
  'tables that are not there, of what is kept': `
route list cached table 1
route list cached table 100
route list cached table main
route list cached table local
route list cached table default
route list cached
route list cached table all
route list table 1
route list cached table cache
route flush cached table 1
route list cached dev lo table 1
route list cached match 1.2.3.4 table 1
-4 route list cached table 1
link set tun0 vf -1 state auto vf 1 mac 1:2:3:4:5:6
link set tun0 vf 1 state auto vf -1 mac 1:2:3:4:5:6
address add label sixteencharacter fe80::1/23 dev tun1
address add label sixteencharacter 1.2.3.4/23 dev tun1
`
    .trim()
    .split('\n'),
  'families of gateways, several for one hop, index': `
link change index 7
link set nope index 7
link set group 7 index 7
link set group 7 index 7 type tun junk
link set index 7 type tun junk
link set tun0 index 7
link set tun0 index 7 type bogus junk
link del index 7
link del nope index 7
link del group 7 index 7
link set lo addr 1:2 index 7
link set index 7 mtu x
route add via inet 10.0.0.3 de
route add via inet6 fe80::1 10/8 dev lo
route add via link 1:2 10/8
route add via mpls 5 10/8
route add via bridge any 10/8
route add via inet6 any 10/8
route add via inet any 10/8
route add via any 10/8
route add 10/8 via inet 10.1.1.1 dev lo
link set lo up
link set tun0 up
addr add 10.0.1.1/24 dev lo
addr add 10.0.2.1/24 dev tun0
route add 31/8 nexthop via inet6 fe80::1 via 10.0.1.4
route add 31/8 nexthop via 10.0.1.4 via inet6 fe80::1
route add 31/8 nexthop via 10.0.1.4 via 10.0.2.5 nexthop via 10.0.1.7
route show 31/8
route del 31/8 nexthop via 10.0.1.4 via 10.0.2.5 nexthop via 10.0.1.7
route add 32/8 nexthop via any via 10.0.1.4 nexthop via 10.0.1.7
route add 33/8 nexthop via 10.0.1.4 via any nexthop via 10.0.1.7
route add 34/8 nexthop via 10.0.1.4 dev tun0 dev lo nexthop via 10.0.1.7
route add 35/8 nexthop via 10.0.1.4 weight 3 weight 5 nexthop via 10.0.1.7 realms 5 realms 6
route show
route del 34/8 nexthop via 10.0.1.4 via inet6 fe80::1 nexthop via 10.0.1.7
route del 35/8 nexthop via 10.0.1.4 nexthop via 10.0.1.7 via link 1:2
route del 35/8 nexthop via 10.0.1.4 nexthop via 10.0.1.7 realms 5 realms 6
route show
`
    .trim()
    .split('\n'),
}
