/**
 * Commands about nexthop objects, each a program of its own, by what they are about; each list begins with devices
 * that have a carrier and nothing else. `carrier` is for the rig.
 */
export const NEXTHOP_LISTS: Readonly<Record<string, readonly string[]>> = {
  'with every option': `
link set lo up
link set tun0 up
link set tun1 up
address add 10.0.0.1/24 dev tun0
address add 10.1.0.1/24 dev tun1
link set tun0 up
nexthop add id 1 via 10.0.0.5 dev tun0
nexthop add id 2 dev tun1 proto static
nexthop add id 3 via 10.0.0.9 dev tun0 onlink
nexthop add id 4 blackhole
nexthop add id 10 group 1,3/2
nexthop add id 11 group 4
route add 20/8 nhid 1
route add 21/8 nhid 10 metric 5 mtu 1400
route add 22/8 nhid 11
route add 23/8 nhid 3 src 10.0.0.1 table 100
route get 20.1.1.1
route get 23.1.1.1
route get fibmatch 21.1.1.1
-d route get fibmatch 21.1.1.1
-d nexthop
-d nexthop get id 10
-d route show table all
-d route show 21/8
-j nexthop
-j nexthop get id 10
-j route show table all
-j route show 21/8
-j -d nexthop
-j -d nexthop get id 10
-j -d route show table all
-j -d route show 21/8
-j -p -d nexthop
-j -p -d nexthop get id 10
-j -p -d route show table all
-j -p -d route show 21/8
-o -d nexthop
-o -d nexthop get id 10
-o -d route show table all
-o -d route show 21/8
-s nexthop
-s nexthop get id 10
-s route show table all
-s route show 21/8
-N -d nexthop
-N -d nexthop get id 10
-N -d route show table all
-N -d route show 21/8
-br nexthop
-br nexthop get id 10
-br route show table all
-br route show 21/8
`
    .trim()
    .split('\n'),
  'what can be said, and what is refused': `
link set tun0 up
link set tun1 up
address add 10.0.0.1/24 dev tun0
address add 10.1.0.1/24 dev tun1
nexthop add id 4 blackhole
link set lo up
nexthop add id 4 blackhole
nexthop add id 4 blackhole
link set lo down
nexthop
link set lo up
nexthop add
nexthop add id 1
nexthop add id 1 via 10.0.0.5
nexthop add id 1 dev nope
nexthop add id 1 via 10.0.0.5 dev tun1
nexthop add id 1 via 10.0.0.1 dev tun0
nexthop add id 1 via 10.0.0.255 dev tun0
nexthop add id 1 via 0.0.0.0 dev tun0
nexthop add id 1 onlink dev tun0
nexthop add id 1 onlink via 8.8.8.8 dev tun0
nexthop add id 2 onlink via 224.0.0.1 dev tun0
nexthop add id 2 onlink via 10.0.0.1 dev tun0
nexthop add id 2 blackhole dev tun0
nexthop add id 2 blackhole via 10.0.0.5
nexthop add id 2 blackhole onlink
nexthop show
nexthop del id 2
nexthop add id 0 dev tun0
nexthop show
nexthop add dev tun0
nexthop add dev tun0 id 77 proto bgp
nexthop add dev tun0
nexthop add id 20 group
nexthop add id 20 group 99
nexthop add id 20 group 1/1
nexthop add id 20 group 1,0
nexthop add id 20 group 1,257
nexthop add id 20 group 1,256/77,2/4
nexthop add id 20 group 1,256/77,2
nexthop add id 21 group 20
nexthop add id 21 group x
nexthop add id 21 group 1/
nexthop add id 21 group /1
nexthop add id 21 group 1,2,3
nexthop add id 21 group 1 dev tun0
nexthop add id 21 dev tun0 group 1
nexthop add id 21 group 1 via 10.0.0.1
nexthop add id 21 group 1 blackhole
nexthop add id 21 group 1 onlink
nexthop add id 22 group 1 proto static
nexthop add id 23 group 1 type bogus
nexthop add id 23 group 1 type
nexthop add id 23 type mpath dev tun0
nexthop add id 24 group 1 type mpath onlink
nexthop
nexthop replace dev tun0
nexthop replace id 1 group 77
nexthop replace id 20 dev tun1
nexthop replace id 1 blackhole
nexthop replace id 22 group 4
nexthop replace id 22 group 22
nexthop replace id 20 group 1/77/20
nexthop replace id 1 via 10.1.0.9 dev tun1 proto 5
nexthop replace id 100 dev tun1
nexthop change id 100 dev tun1
nexthop append id 100 dev tun1
nexthop
nexthop del
nexthop del id 55
nexthop del id 0
nexthop del dev tun0
nexthop del id 77 dev tun0
nexthop get
nexthop get id 0
nexthop get id x
nexthop get 1
nexthop show id 0
nexthop show id 1
nexthop show id 55
nexthop list 1
nexthop lst
nexthop l
nexthop s
nexthop g id 1
nexthop show proto 5
nexthop show protocol 186
nexthop show dev nope
nexthop show master tun0
nexthop show vrf tun0
nexthop show g
nexthop bogus
nexthop bucket
nexthop bucket show id 20
nexthop bucket get id 20 index 0
nexthop flush dev tun1
nexthop
nexthop flush id 99
nexthop flush id 22
nexthop flush proto 7
nexthop flush
nexthop flush
nexthop -4
-4 nexthop
nexthop add id 5 via inet 10.0.0.5 dev tun0
nexthop add id 5 bogus
nexthop add id -1 dev tun0
nexthop add id 4294967295 dev tun0
nexthop add id 0x10 dev lo
nexthop add dev tun0 dev tun1
nexthop add via 10.0.0.5 via 10.1.0.5 dev tun1
nexthop add via 10/8 dev tun1
nexthop add via default dev tun1
nexthop add id 500 id 501 dev tun1
nexthop
n
nex
nexthop flush junk
nexthop help
`
    .trim()
    .split('\n'),
  'what becomes of routes and groups': `
link set lo up
link set tun0 up
link set tun1 up
address add 10.0.0.1/24 dev tun0
address add 10.1.0.1/24 dev tun1
nexthop add id 1 via 10.0.0.5 dev tun0
nexthop add id 2 via 10.1.0.5 dev tun1
nexthop add id 3 dev tun0
nexthop add id 4 dev tun1
nexthop add id 10 group 1,3/2
nexthop add id 11 group 1
nexthop add id 12 group 1/2/3/4
route add 20/8 nhid 1
route add 21/8 nhid 10
route add 22/8 nhid 12
route add 23/8 nhid 11
route add 20/8 dev tun1 metric 5
route get 20.1.1.1 oif tun1
route get 21.1.1.1 oif tun1
route get fibmatch 20.1.1.1 oif tun1
nexthop replace id 1 blackhole
nexthop replace id 1 via 10.1.0.7 dev tun1
route
nexthop del id 1
nexthop
route
nexthop add id 1 via 10.0.0.5 dev tun0
route add 20/8 nhid 1
route add local 29/8 nhid 4
route add 28/8 nhid 4 scope host
nexthop replace id 4 via 10.1.0.5 dev tun1
nexthop add id 4 via 10.1.0.5 dev tun1
addr del 10.0.0.1/24 dev tun0
nexthop
route
carrier tun1 off
address show dev tun1
nexthop
route
carrier tun1 on
address show dev tun1
nexthop
nexthop add id 30 dev tun1
link set tun1 mtu 60
nexthop
link set tun1 mtu 1500
nexthop add id 31 dev tun1
route add 30/8 nhid 31
route add 30/8 nhid 30 metric 7
route
route add 30.1/16 via 30.1.1.1
route add 30.1/16 via 30.2.1.1 dev tun1
link set tun1 down
nexthop
route
link set tun1 up
nexthop add id 31 dev tun1
route add 30/8 nhid 31
route del 30/8 dev tun1
route del 30/8 nhid 32
route del 30/8 nhid 31 dev tun1
route del 30/8 nhid 31
route add 30/8 nhid 31
route append 30/8 nhid 31
route replace 30/8 dev tun1
route replace 30/8 nhid 31
route append 30/8 nhid 1
route
route add 31/8 nhid 31 nexthop dev tun1
route add 31/8 via 10.0.0.1 nhid 31
route add 31/8 nhid 31 onlink
route add 31.1/16 nhid 31 scope nowhere
route add 31.1/16 nhid 31 scope site
route add nat 31.1/16 nhid 31
route add unreachable 31.1/16 nhid 31
route add multicast 31.2/16 nhid 31
route add 31.3/16 nhid 31 src 1.2.3.4
route add 31.4/16 nhid 31 mtu 1400
route add 31.5/16 nhid 31 mtu 1300
route add 31.6/16 nhid 31
route add 31.7/16 nhid 0
route show table all
nexthop add id 40 blackhole
route add 40/8 nhid 40
route del unicast 40/8
route add 40/8 nhid 40
route del blackhole 40/8
route show type blackhole
route show type unicast
route get fibmatch 40.1.1.1
route get 40.1.1.1
route get 40.1.1.1 oif tun0
link set lo down
nexthop
route show 40/8
link del tun0
nexthop
`
    .trim()
    .split('\n'),
  'groups, families, filters': `
link set lo up
link set tun0 up
link set tun1 up
address add 10.0.0.1/24 dev tun0
address add 10.1.0.1/24 dev tun1
nexthop add id 1 dev tun0
nexthop add id 2 dev tun1
nexthop add id 9 group 1,x
nexthop add id 9 group 1/2,x
nexthop add id 9 group 1/x
nexthop add id 9 group 1,2/x
nexthop add id 9 group x/1
nexthop add id 9 group x,2/1
nexthop add id 9 group 1//2
nexthop add id 9 group 1,
nexthop add id 9 group 1,/2
nexthop add id 9 group 1/2,1/
nexthop add id 9 group ,1
nexthop bucket
nexthop bucket show id 9
nexthop bucket get id 9 index 2
nexthop bucket get id 9
nexthop bucket get id 99 index 2
nexthop bucket show id 99
nexthop bucket show id 1
nexthop bucket get id 1 index 0
nexthop bucket show junk
nexthop bucket junk
nexthop bucket show dev nope
nexthop del id 9 proto static
nexthop del id 9 onlink
nexthop del onlink
nexthop del proto 7
nexthop del type mpath
nexthop del id 9 type mpath
-4 nexthop add id 20 group 1
-4 nexthop add id 20
-4 nexthop
-4 nexthop show groups
nexthop show groups dev tun0
nexthop show dev lo
nexthop add id 30 blackhole
nexthop show dev lo
nexthop add id 31 proto kernel dev tun0
nexthop add id 31 via inet
nexthop add id 31 via bogus dev tun0
nexthop add dev tun0 via all id 31
nexthop add dev tun0 via default id 31
nexthop add via default id 32
-j nexthop flush
-j nexthop get id 5
-j nexthop flush proto 7
nexthop add id 1 dev tun0 proto 7
nexthop add id 2 dev tun1 proto 7
nexthop add id 3 group 1 proto 7
nexthop flush proto 7
route add 50/8 nhid
route add 50/8 nhid x
route add 50/8 nhid 0x1
link set tun0 down
nexthop add id 1 dev tun0
carrier tun1 off
nexthop add id 1 dev tun1
nexthop add id 1 dev tun1 via all
nexthop add id 1 dev tun1 onlink
`
    .trim()
    .split('\n'),
  'the order of refusals': `
link set lo up
link set tun0 up
address add 10.0.0.1/24 dev tun0
address add 10.1.0.1/24 dev tun1
-4 nexthop add onlink
-4 nexthop add via all
-4 nexthop add via all onlink
nexthop add blackhole via all
nexthop add via all dev tun1
nexthop add onlink dev tun1
nexthop add via 10.1.0.5 dev tun1
nexthop replace via all dev tun1
nexthop replace dev tun1
nexthop replace group 5
nexthop replace via 10.0.0.7
nexthop bucket show id 0
-j nexthop bucket
-j nexthop bucket show id 7
nexthop add dev tun0
nexthop bucket get id 1 index x
nexthop bucket get id 1 index 1 junk
nexthop bucket get id 77 index 1
-j nexthop show dev nope
nexthop add id 50 group 1
nexthop add id 51 group 1
link set tun0 down
nexthop
`
    .trim()
    .split('\n'),
  'flushes of routes that name them': `
link set lo up
link set tun0 up
link set tun1 up
address add 10.0.0.1/24 dev tun0
address add 10.1.0.1/24 dev tun1
nexthop add id 1 dev tun0
nexthop add id 2 dev tun1
nexthop add id 3 group 1/2
nexthop add id 4 blackhole
route add 20/8 nhid 1
route add 9/8 dev tun1
route add 22/8 nhid 3
route add 23/8 nhid 4
route add 40/8 dev tun0
route add 41/8 dev tun1
-s -s route flush table main
route
route add 40/8 dev tun0
-s route flush table main
route
route flush table all
route show table all
route flush exact 20/8
route flush exact 40/8
route flush type blackhole
-j route flush table main
route
link set tun0 down
route
`
    .trim()
    .split('\n'),
}
