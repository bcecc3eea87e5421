/**
 * Commands of `ip` as fast-check generates and shrinks them: each is a list of parts, most of which can be left
 * out, over few enough addresses, tables and devices that commands often mean something to one another. None
 * depends on time, on chance (which hop of a group a flow takes), or on IPv6.
 */
import fc from 'fast-check'
import { either, maybe, oneOf, phrase, type Words } from './phrases.ts'

const below = (bound: number): fc.Arbitrary<number> => fc.nat(bound - 1)
const device = either([97, oneOf('tun0', 'tun1', 'lo')], [3, oneOf('nope')])
const present = oneOf('tun0', 'tun1', 'lo')
const address = fc.tuple(below(3), below(2), below(5)).map(([a, b, c]) => `10.${a}.${b}.${c}`)
const otherAddress = oneOf('127.0.0.1', '0.0.0.0', '255.255.255.255', '224.0.0.1', '8.8.8.8', '10.0.0.255')
const table = oneOf('100', '300', '356', 'local', 'default', 'main', '70000', '1', '0')
const protocol = oneOf('static', 'kernel', 'boot', 'babel', 'unspec', '42', '4', 'bgp', '77')
const scope = oneOf('link', 'host', 'global', 'site', 'nowhere', '77', '253')
const tos = oneOf('0x10', '10', '28', '0x28', '3', '0xc0', 'AF11', 'CS6', '0')
const realms = oneOf('5', '5/6', '7/', '/8', '300')

const prefix = either(
  [25, fc.tuple(below(4), oneOf('16', '15', '20')).map(([a, length]) => `10.${a}.0.0/${length}`)],
  [25, fc.tuple(below(3), below(2)).map(([a, b]) => `10.${a}.${b}/24`)],
  [25, fc.tuple(below(3), below(2), below(4)).map(([a, b, c]) => `10.${a}.${b}.${c}`)],
  [10, oneOf('default')],
  [15, oneOf('10/8', '10.0.0.0/9', '0/1', '127.0.0.5', '8.8/16', '172.16/12', '10.0.0.1/24', '0x0a.1/16')],
)

const label = oneOf('tun0:1', 'x', 'lo:0', 'muchtoolongalabel', 'tun1:b')
const addressChange = phrase(
  oneOf('address', 'addr', 'a'),
  oneOf('add', 'add', 'add', 'del', 'change', 'replace', 'd', 'chg'),
  maybe(10, 'local'),
  fc
    .tuple(
      either([95, address], [5, oneOf('127.0.0.2', '0.0.0.0', '224.0.0.9', '10.0.0.255')]),
      oneOf('/24', '/24', '/24', '/16', '/30', '/31', '/32', '/255.255.255.0', '', '/8', '/0'),
    )
    .map(([local, length]) => local + length),
  maybe(
    10,
    phrase(
      'peer',
      fc.tuple(address, oneOf('', '/24', '/30')).map((parts) => parts.join('')),
    ),
  ),
  maybe(30, phrase(oneOf('brd', 'broadcast', 'b'), oneOf('+', '-', '10.0.0.255', '10.9.9.9'))),
  maybe(12, phrase('scope', oneOf('host', 'link', 'site', 'global', 'nowhere', '77'))),
  maybe(8, oneOf('noprefixroute', 'nodad', 'secondary', 'home', 'autojoin', 'anycast 10.0.0.9')),
  maybe(10, phrase('metric', oneOf('5', '10', '0'))),
  maybe(4, oneOf('valid_lft 10', 'preferred_lft 0', 'valid_lft 0', 'preferred_lft forever')),
  maybe(7, phrase('label', label)),
  maybe(98, phrase('dev', device)),
)

const routeType = oneOf(
  'unicast',
  'blackhole',
  'unreachable',
  'prohibit',
  'throw',
  'local',
  'broadcast',
  'multicast',
  'anycast',
  'nat',
  'u',
  'bl',
  'brd',
)

const metric = oneOf(
  'mtu 1400',
  'mtu lock 1400',
  'mtu 70000',
  'advmss 500',
  'rtt 1s',
  'rtt 1.5s',
  'rttvar 20ms',
  'rto_min 200ms',
  'window lock 3000',
  'w 4',
  'cwnd 5',
  'hoplimit 7',
  'initcwnd 10 initrwnd 20',
  'features ecn',
  'quickack 1',
  'ssthresh lock 8',
  'reordering 3',
  'fastopen_no_cookie 1',
  'congctl reno',
  'congctl lock cubic',
  'congctl bogus',
)

const routeWords = (wordsOfRealms: Words): Words =>
  phrase(
    maybe(12, phrase(oneOf('tos', 'dsfield'), tos)),
    maybe(
      25,
      phrase(oneOf('metric', 'm', 'priority', 'p'), oneOf('5', '10', '20', '0', '0x10', '4294967295')),
    ),
    maybe(22, phrase(oneOf('table', 't'), table)),
    maybe(12, phrase(oneOf('proto', 'protocol', 'pro'), protocol)),
    maybe(12, phrase('src', either([9, address], [1, otherAddress]))),
    maybe(10, phrase('scope', scope)),
    maybe(15, metric),
    wordsOfRealms,
  )

const verb = oneOf(
  'add',
  'add',
  'add',
  'append',
  'prepend',
  'replace',
  'change',
  'del',
  'del',
  'test',
  'a',
  'd',
  'r',
)
const oneRealm = maybe(4, phrase('realms', realms))
const hop = phrase(
  'nexthop',
  maybe(70, phrase('via', address)),
  maybe(85, phrase('dev', present)),
  maybe(60, phrase('weight', oneOf('1', '3', '256'))),
  maybe(8, 'onlink'),
  maybe(4, phrase('realms', realms)),
)

const routeChange = either(
  [
    80,
    phrase(
      oneOf('route', 'r', 'ro'),
      verb,
      prefix,
      routeWords(oneRealm),
      maybe(45, phrase('via', either([9, address], [1, otherAddress]))),
      maybe(75, phrase('dev', device)),
      maybe(8, 'onlink'),
    ),
  ],
  [20, phrase('route', verb, routeType, prefix, routeWords(oneRealm), maybe(40, phrase('dev', present)))],
  [
    12,
    // Which hop a flow takes is each host's secret: groups are for destinations that nobody asks for.
    phrase(
      'route',
      verb,
      oneOf('30/8', '30.1/16', '30.1.2.3'),
      routeWords(oneRealm),
      fc.array(hop, { minLength: 1, maxLength: 3 }).map((hops) => hops.join(' ')),
    ),
  ],
)

const onOff = oneOf('on', 'off')
const linkChange = phrase(
  oneOf('link', 'l'),
  oneOf('set', 's'),
  maybe(30, 'dev'),
  device,
  either(
    [50, oneOf('up', 'up', 'up', 'down')],
    [12, phrase('mtu', oneOf('1300', '1500', '60', '70000', '-1', '68', '65536'))],
    [6, phrase(oneOf('multicast', 'promisc', 'allmulticast', 'arp', 'dynamic', 'trailers'), onOff)],
    [4, phrase(oneOf('qlen', 'txqueuelen'), oneOf('100', '0', '500', '-1'))],
    [3, phrase('alias', oneOf('x', "'a b'", "''"))],
    [4, phrase('group', oneOf('5', 'default'))],
    [3, oneOf('carrier on', 'address 00:11:22:33:44:55', 'nomaster', 'protodown on', 'up mtu 1400')],
  ),
)

const ports = oneOf('5', '5-7', '0', '7-5', '65535', '1-65534')
const ruleWords = phrase(
  maybe(10, 'not'),
  maybe(35, phrase('from', oneOf('10/8', '10.0.0.1', 'all', '10.1.0.1/16', '10.0.0.0/24'))),
  maybe(25, phrase('to', oneOf('10.1/16', '8.8.8.8', 'default', '10.2/16'))),
  maybe(10, phrase('tos', oneOf('0x10', '8', '3', '0x20'))),
  maybe(15, phrase('fwmark', oneOf('5', '5/0xff', '0x10', '0/0xf', '0'))),
  maybe(15, phrase(oneOf('iif', 'dev'), oneOf('lo', 'tun0', 'gone'))),
  maybe(10, phrase('oif', oneOf('lo', 'tun1', 'gone'))),
  maybe(5, oneOf('uidrange 0-5', 'uidrange 1000-1000')),
  maybe(5, phrase('ipproto', oneOf('tcp', 'udp', '200'))),
  maybe(5, phrase('sport', ports)),
  maybe(5, phrase('dport', ports)),
  maybe(
    50,
    phrase(
      oneOf('priority', 'pref', 'order'),
      oneOf('50', '100', '200', '32766', '40000', '0', '4294967295'),
    ),
  ),
  maybe(6, phrase('realms', realms)),
  maybe(6, phrase('protocol', protocol)),
)
const ruleAction = either(
  [
    60,
    phrase(
      oneOf('table', 'lookup'),
      oneOf('100', '300', 'main', '70000', 'local', 'default', '0', '1'),
      maybe(12, phrase('suppress_prefixlength', oneOf('0', '16', '32'))),
      maybe(5, 'suppress_ifgroup 5'),
    ),
  ],
  [15, oneOf('unreachable', 'prohibit', 'blackhole', 'type blackhole', 'nop', 'throw', 'unicast')],
  [8, phrase('goto', oneOf('100', '200', '32766', '32767'))],
  [3, oneOf('l3mdev')],
  [10, oneOf('')],
)
const ruleChange = phrase(oneOf('rule', 'ru'), oneOf('add', 'add', 'add', 'del'), ruleWords, ruleAction)

const flush = either(
  [3, phrase('address flush', phrase('dev', device))],
  [
    3,
    phrase('address flush', oneOf('to 10.0/16', 'scope link', 'secondary', 'label tun0*', 'primary', 'up')),
  ],
  [3, phrase('route flush table', oneOf('100', '300', 'main', 'local', 'all dev tun1', 'all'))],
  [
    3,
    oneOf(
      'route flush dev tun0',
      'route flush root 10.1/16',
      'route flush proto static',
      'route flush cache',
    ),
  ],
  [1, oneOf('route flush type blackhole', 'route flush exact 10/8', 'route flush scope link')],
  [2, oneOf('rule flush table 100', 'rule flush', 'rule flush from 10/8', 'rule flush proto static')],
)

const destination = either(
  [10, address],
  [
    7,
    oneOf(
      '8.8.8.8',
      '10.0.0.255',
      '10.1.255.255',
      '127.0.0.1',
      '127.1.2.3',
      '127.255.255.255',
      '172.16.0.1',
      '0.0.0.0',
      '224.0.0.1',
      '224.0.0.9',
      '239.1.1.1',
      '255.255.255.255',
      '10.1',
      '10.0.0.1/24',
      '10.2.0.0',
    ),
  ],
)
const flowWords = phrase(
  maybe(10, phrase('mark', oneOf('5', '0x10', '0'))),
  maybe(10, phrase('tos', oneOf('0x10', '28', '3'))),
  maybe(6, phrase('uid', oneOf('0', '3', '1000'))),
  maybe(8, phrase('ipproto', oneOf('tcp', 'udp', 'icmp', '47'), maybe(50, phrase('sport', ports)))),
)
const plainGet = phrase(
  oneOf('route get', 'r g'),
  maybe(15, 'fibmatch'),
  destination,
  maybe(20, phrase('from', either([8, address], [2, otherAddress]))),
  maybe(25, phrase(oneOf('oif', 'dev'), device)),
  flowWords,
  maybe(3, 'connected'),
)
const inputGet = phrase(
  'route get',
  maybe(10, 'fibmatch'),
  destination,
  phrase('from', either([8, address], [2, otherAddress])),
  phrase('iif', present),
  flowWords,
)
/** A question about the route of a packet. */
export const routeGet: fc.Arbitrary<string> = either(
  [75, plainGet],
  [20, inputGet],
  [5, phrase('route get fibmatch', oneOf('30.1.2.3', '30.2.2.3', '30.1.1.1'))],
)

const routeFilter = either(
  [4, phrase('table', oneOf('all', 'local', 'main', '100', '300', '12345', '0'))],
  [2, phrase('dev', device)],
  [2, phrase('proto', protocol)],
  [2, phrase('scope', scope)],
  [2, phrase('type', oneOf('unicast', 'blackhole', 'local', 'b'))],
  [
    4,
    phrase(
      oneOf('root', 'match', 'exact', 'to root', 'to', ''),
      oneOf('10/8', '10.0/16', '10.0.0.1', 'default'),
    ),
  ],
  [1, phrase('tos', tos)],
  [1, phrase('metric', oneOf('0', '5', '10'))],
  [1, phrase('via', either([1, address], [1, oneOf('10/8')]))],
  [1, phrase('src', either([1, address], [1, oneOf('10/8')]))],
  [1, oneOf('realms 5', 'realms 5/6', 'iif lo', 'mark 1', 'cached', 'from 10/8', 'from default')],
)
const show = either(
  [
    10,
    phrase(
      oneOf('route show', 'route list', 'r s', 'route lst'),
      fc.array(routeFilter, { minLength: 1, maxLength: 3 }).map((filters) => filters.join(' ')),
    ),
  ],
  [
    4,
    phrase(
      'address show',
      oneOf(
        '',
        'dev tun0',
        'lo',
        'up',
        'primary',
        'secondary',
        '-secondary',
        'permanent',
        'dynamic',
        'deprecated',
        'scope link',
        'scope host',
        'to 10.0/16',
        'label tun0*',
        'label lo',
        'label tun0 dev tun0',
        'type tun',
        'group default',
        'group 5',
        'up scope global',
        'noprefixroute',
        'nope',
      ),
    ),
  ],
  [
    3,
    phrase('link show', oneOf('', 'up', 'dev tun0', 'tun1', 'type tun', 'group default', 'group 5', 'nope')),
  ],
  [
    3,
    phrase(
      'rule show',
      oneOf(
        '',
        'from 10/8',
        'to 10.1/16',
        'table 100',
        'pref 100',
        'not',
        'fwmark 5',
        'iif lo',
        'oif gone',
        'proto static',
        'ipproto tcp',
        'tos 0x10',
        'lookup main',
        '8.8.8.8',
      ),
    ),
  ],
  [1, oneOf('neigh', 'neigh show dev tun0', 'neigh show dev nope', 'neigh flush all')],
  [1, oneOf('bogus', 'li', 'r', 'route get', 'route flush', 'address flush', 'rule add', '# a', 'route # b')],
)

/** Over what each of these says, the program ends. */
const fatal = oneOf(
  'route add 10/8 metric x',
  'route bogus',
  'link set',
  'address show lo tun0',
  'rule add junk',
  'route add 10.0.0.0/33 dev lo',
  'route get 1.2.3.4 mark x',
  'route add 10/8 nexthop',
  'link set tun0 mtu 1 mtu 2',
)

export const command: fc.Arbitrary<string> = either(
  [280, routeChange],
  [190, addressChange],
  [110, linkChange],
  [90, ruleChange],
  [30, flush],
  [160, routeGet],
  [140, show],
  [1, fatal],
)

/** What is asked for before the batch, for all of its commands. */
export const batchOptions: fc.Arbitrary<string[]> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<string[]>([]) },
  {
    weight: 4,
    arbitrary: fc.subarray(['-j', '-p', '-d', '-s', '-o', '-N', '-4', '-br'], { maxLength: 4 }),
  },
)
