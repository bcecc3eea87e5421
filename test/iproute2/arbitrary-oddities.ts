/**
 * What people write who try the limits of `ip`: numbers in odd bases, words that are missing, doubled or cut short,
 * devices by their index, words of `link set` that few know, rules that ask for what nobody has. Over most of it a
 * program ends: so those commands are programs of their own. And settings that change the answers.
 */
import fc from 'fast-check'
import { command } from './arbitrary-commands.ts'
import { either, maybe, oneOf, phrase, type Words } from './phrases.ts'

const device = oneOf('tun0', 'tun1', 'lo', 'if2', 'lo:0', 'tun1:x', 'if3', 'other')

const linkWord = oneOf(
  'mode dormant',
  'mode DEFAULT',
  'state up',
  'state dormant',
  'state down',
  'addrgenmode none',
  'addrgen random',
  'addrgenmode stable_secret',
  'gso_max_size 1000',
  'gso_max_size 5',
  'gso_max_size 70000',
  'gso_max_segs 7',
  'gro_max_size 2000',
  'gro_max_size 600000',
  'xdp off',
  'xdpgeneric off',
  'm lo',
  'nom',
  'd on',
  'numtxqueues 4',
  'link lo',
  'link-netnsid 5',
  'protodown_reason 3 on',
  'type bogus',
  'type tun junk',
  'type bogus junk',
  'carrier off',
  'carrier x',
  'parentdev x',
  'brd 1:2',
  'brd ff:ff:ff:ff:ff:ff',
  'addr 1.2.3.4',
  'addr x',
  'addr 02:00:00:00:00:01',
  'alias x',
  'group 7',
  'mtu 1000',
  'mtu 60',
  'mtu 0x5dc',
  'vf 1 mac 1:2:3:4:5:6',
  'vf 0 vlan 5 qos 3 rate 7',
  'vf -1 state auto',
  'protodown on',
  'protodown 1',
)

const link = either(
  [6, phrase('link set', device, linkWord, maybe(20, linkWord))],
  [2, phrase('link property', oneOf('add', 'del'), 'dev', device, 'altname', oneOf('other', 'a:b', 'tun0'))],
  [1, phrase('link set group', oneOf('default', '7'), oneOf('up', 'mtu 1400', 'alias y', 'state up'))],
  [
    1,
    phrase('link replace', oneOf('tun0', 'y', ''), oneOf('type bogus', 'type tun', 'mtu 5 type bogus', '')),
  ],
  [
    1,
    oneOf(
      'link del group default',
      'link del group 9',
      'link xstats',
      'link afstats',
      'link show label x',
      'link show lo up',
    ),
  ],
  [
    2,
    phrase(
      oneOf('link', 'address', '-4 address'),
      'show',
      oneOf('master lo', 'dev if2', 'dev lo:0', 'other'),
    ),
  ],
)

const rule = phrase(
  oneOf('rule add', 'rule add', 'rule del'),
  maybe(30, oneOf('from 10/8', 'to 10.1/16', 'from ::1', 'to ::/0', 'tun_id 5', 't 7', 'fwmark 7/3')),
  maybe(30, oneOf('uidrange 5-4294967295', 'uidrange 5-3', 'uidrange 0-0', 'sport 0', 'tos 3', 'l3mdev')),
  maybe(40, phrase('table', oneOf('5', '100', '0'))),
  maybe(60, oneOf('goto 0', 'goto 40000', 'nop', 'unreachable', 'nat 1.2.3.4', 'type 12', 'goto 40000 nop')),
  maybe(60, phrase('prio', oneOf('7', '0x10', '010', '40000'))),
)

const route = either(
  [
    4,
    phrase(
      oneOf('route add', 'route replace', 'route del'),
      oneOf('10.0.0.0/22', '0x0a.3/16', 'throw 10.2.0.0/22', 'local 10.3.3.3', '012.3.3/24'),
      maybe(70, phrase('dev', device)),
      maybe(50, phrase('via', oneOf('inet 10.0.0.2', 'any', '10.1.1.2'))),
      maybe(
        30,
        oneOf('rtt -5', 'rttvar 99999999999', 'rto_min 0.0004s', 'src any', 'realms 0', 'scope 0xfd'),
      ),
    ),
  ],
  [2, phrase('route', oneOf('show', 'get 10.0.0.2', 'flush'), oneOf('dev', 'oif'), device)],
  [1, phrase('route get', oneOf('::', 'fe80::1 oif tun0', '::1/64', 'any from ::1', '::1 ipproto icmp'))],
  [1, phrase('route del 10/8', oneOf('nhid 5', 'via inet6 fe80::1', 'nexthop via any', 'via inet6 ::'))],
  [1, oneOf('route add 30/8 nexthop via any dev lo', 'route add 31/8 nexthop dev lo nexthop dev if3')],
)

const rest = oneOf(
  'maddress',
  'maddress show',
  'netconf',
  'netconf show dev lo',
  'netconf show dev if3',
  'neigh get ::1 dev lo',
  'neigh get proxy 10.0.0.1',
  'neigh del default dev lo',
  'address add 10.2.0.9/24 peer 0.0.0.0 dev tun0',
  'address add 10.2.1.9/24 dev if3',
  'address del 10.2.1.9/24 dev tun1:y',
  'rule show uidrange 0-4294967295',
  'rule show l3mdev',
  'rule show tun 5',
  'rule flush',
)

/** An odd command, over which a batch goes on. */
export const oddity: fc.Arbitrary<string> = either([4, link], [3, rule], [3, route], [3, rest])

const ODD = [
  '-1',
  '+7',
  '0x',
  '0x5',
  '010',
  '08',
  '4294967295',
  '4294967296',
  '18446744073709551616',
  '5x',
  '1.5',
  'junk',
  'help',
  'any',
  'default',
  'all',
  '10',
  '10.1',
  '10.0.0.0/33',
  '10.0.0.256',
  'if2',
  'inet6',
  '::1',
  '::/0',
  'fe80::1',
  'dev',
  'table',
  'x/y',
]

/** The words of a command with one of them cut short, doubled, left out or another. */
const bent: Words = fc
  .tuple(
    either([3, command], [1, oddity]),
    oneOf('cut', 'double', 'drop', 'replace'),
    fc.nat(12),
    oneOf(...ODD),
  )
  .map(([text, how, at, odd]) => {
    const words = text.split(' ')
    const index = words.length < 2 ? 0 : 1 + (at % (words.length - 1))
    const word = words[index]!
    if (how === 'cut') words[index] = word.slice(0, Math.max(1, word.length - 1 - (at % 3)))
    else if (how === 'double') words.splice(index, 0, word)
    else if (how === 'drop') words.splice(index, 1)
    else words[index] = odd
    return words.filter((each) => each !== '').join(' ')
  })

const option = oneOf('-j', '-d', '-o', '-br', '-N', '-4', '-color=never', '-t', '-0', '-M', '-B')

/** A program of its own, without quotes or comments. */
export const program: fc.Arbitrary<string> = phrase(maybe(20, option), maybe(10, option), bent).filter(
  // Routes of IPv6 that need no device no stack has.
  (text) => !/['"#\\]/.test(text) && !/ (bl|pr|th|un)\w* .*(::|fe80)/.test(text),
)

/** A setting and its value, to be written before anything else. */
export const setting: fc.Arbitrary<[string, string]> = fc.tuple(
  fc
    .tuple(
      oneOf('all', 'default', 'tun0', 'tun1'),
      oneOf(
        'rp_filter',
        'forwarding',
        'promote_secondaries',
        'ignore_routes_with_linkdown',
        'accept_local',
        'route_localnet',
        'src_valid_mark',
        'bc_forwarding',
      ),
    )
    .map(([where, what]) => `net.ipv4.conf.${where}.${what}`),
  oneOf('0', '1', '1'),
)
