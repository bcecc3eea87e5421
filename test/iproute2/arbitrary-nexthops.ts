/**
 * Commands about nexthop objects and the routes that name them, as fast-check generates and shrinks them: few
 * numbers and few addresses, so that commands often mean something to one another. Which hop of a group a flow
 * takes is each host's secret: groups are for destinations that are only asked for with `fibmatch` or `oif`. There is
 * no `route flush`: after one that the kernel refuses, iproute2 takes its answers for those to the commands after.
 */
import fc from 'fast-check'
import { either, maybe, oneOf, phrase } from './phrases.ts'

const device = either([12, oneOf('tun0', 'tun1')], [2, oneOf('lo')], [1, oneOf('nope')])
const single = oneOf('1', '2', '3', '4', '5')
const group = oneOf('10', '11', '12')
const id = either([6, single], [3, group], [1, oneOf('0', '6', '7', '0x10', '4294967295')])
const gateway = either(
  [10, fc.tuple(fc.nat(1), fc.nat(4)).map(([a, b]) => `10.${a}.0.${b + 2}`)],
  [2, oneOf('10.0.0.1', '10.1.0.1', '10.0.0.255', '127.0.0.1', '0.0.0.0', '224.0.0.1', '8.8.8.8')],
)
const weight = either([3, oneOf('')], [2, oneOf(',1', ',3', ',256', ',0x10')], [1, oneOf(',0', ',257', ',x')])
const members = either(
  [
    12,
    fc
      .array(
        fc.tuple(either([9, single], [1, id]), weight).map((parts) => parts.join('')),
        { minLength: 1, maxLength: 4 },
      )
      .map((parts) => parts.join('/')),
  ],
  [1, oneOf('1/', '/2', '1//2', 'x', ',1', '1,2,3', "''")],
)
const protocol = oneOf('static', 'kernel', '42', 'bgp', 'unspec', '7')

const way = either(
  [
    10,
    phrase(maybe(75, phrase('via', maybe(5, 'inet'), gateway)), phrase('dev', device), maybe(12, 'onlink')),
  ],
  [2, phrase('dev', device, phrase('via', gateway))],
  [3, oneOf('blackhole')],
  [1, phrase(maybe(50, 'blackhole'), maybe(50, phrase('via', gateway)), maybe(30, 'onlink'))],
)
const change = phrase(
  oneOf('nexthop', 'nexthop', 'nex'),
  oneOf('add', 'add', 'replace', 'replace', 'a', 'r'),
  either(
    [
      10,
      phrase(
        maybe(85, phrase('id', either([8, single], [1, id]))),
        way,
        maybe(15, phrase('proto', protocol)),
      ),
    ],
    [
      5,
      phrase(
        maybe(90, phrase('id', either([8, group], [1, id]))),
        phrase('group', members),
        maybe(10, 'type mpath'),
        maybe(15, phrase('protocol', protocol)),
        maybe(3, phrase('dev', device)),
      ),
    ],
  ),
)
const removal = phrase(
  'nexthop',
  oneOf('del', 'd', 'delete'),
  maybe(97, phrase('id', id)),
  maybe(2, either([1, phrase('dev', device)], [1, oneOf('onlink', 'proto 5', 'type mpath', 'blackhole')])),
)
const show = phrase(
  'nexthop',
  either(
    [4, oneOf('', 'show', 's', 'list', 'lst')],
    [3, phrase(oneOf('show', 'list'), maybe(30, phrase('dev', device)), maybe(30, 'groups'))],
    [2, phrase('show', oneOf('proto 4', 'proto 7', 'proto 0', 'fdb', 'master tun0', 'dev lo', 'proto 42'))],
    [4, phrase(oneOf('get id', 'show id', 'g id'), id)],
    [1, oneOf('bucket', 'bucket show id 10', 'bucket get id 1 index 0', 'bucket get id 99 index 0')],
  ),
)
const flush = phrase(
  'nexthop flush',
  either(
    [2, oneOf('')],
    [2, phrase('dev', device)],
    [2, oneOf('proto 4', 'proto 42', 'groups')],
    [1, phrase('id', id)],
  ),
)

const prefix = oneOf('20/8', '20.1/16', '20.1.0.0/24', '20.1.1.1', '30/8', '30.1/16', 'default')
const routeWords = phrase(
  maybe(25, phrase('metric', oneOf('5', '10', '0'))),
  maybe(10, phrase('table', oneOf('100', 'local', 'default'))),
  maybe(10, phrase('src', oneOf('10.0.0.1', '10.1.0.1', '10.0.0.2', '1.2.3.4'))),
  maybe(12, phrase('scope', oneOf('link', 'host', 'global', 'site', 'nowhere'))),
  maybe(8, phrase('proto', protocol)),
  maybe(4, phrase('tos', oneOf('0x10', '8'))),
  maybe(4, 'onlink'),
  maybe(3, 'realms 5'),
)
const routeChange = phrase(
  'route',
  oneOf('add', 'add', 'add', 'replace', 'append', 'prepend', 'change', 'del', 'del'),
  maybe(
    12,
    oneOf('blackhole', 'unreachable', 'throw', 'local', 'multicast', 'broadcast', 'unicast', 'prohibit'),
  ),
  prefix,
  routeWords,
  either(
    [10, phrase('nhid', either([5, single], [3, group], [1, id]))],
    [2, phrase('dev', device)],
    [2, phrase('via', gateway)],
    [1, phrase('nhid', id, 'dev', device)],
    [1, phrase('nhid', id, 'nexthop dev', device)],
    [1, oneOf('')],
  ),
)
const address = phrase(
  'address',
  oneOf('add', 'add', 'del'),
  oneOf('10.0.0.1/24', '10.1.0.1/24', '10.0.0.2/24', '10.1.0.2/16'),
  'dev',
  oneOf('tun0', 'tun1'),
)
const link = either(
  [3, phrase('link set', oneOf('tun0', 'tun1', 'lo'), oneOf('up', 'up', 'down'))],
  [1, oneOf('link del tun1', 'link set tun0 mtu 1300', 'link set lo mtu 60', 'link set lo mtu 65536')],
)
/** For the rig: it ends a program and takes or gives a carrier. */
const carrier = phrase('carrier', oneOf('tun0', 'tun1'), oneOf('off', 'on', 'on'))

/** Where a packet goes; never one that may go by a group. */
const question = phrase(
  'route get',
  maybe(30, 'fibmatch'),
  oneOf('20.1.1.1', '20.1.0.9', '20.2.0.1', '30.1.1.1', '30.2.2.2', '9.9.9.9'),
  either([3, phrase('oif', oneOf('tun0', 'tun1', 'lo'))], [1, phrase('oif tun0', 'mark 5')]),
)
const fibmatch = phrase('route get fibmatch', oneOf('20.1.1.1', '20.2.0.1', '30.1.1.1', '9.9.9.9'))
const routes = phrase(
  'route show',
  oneOf('', 'table all', 'dev tun0', 'via 10.0.0.2', 'type blackhole', 'scope link', 'table 100', '20/8'),
)
const rule = oneOf('rule add prio 5 table 100', 'rule del prio 5')

export const nexthopCommand: fc.Arbitrary<string> = either(
  [30, change],
  [8, removal],
  [26, routeChange],
  [8, address],
  [6, link],
  [3, carrier],
  [10, show],
  [3, flush],
  [14, question],
  [5, fibmatch],
  [5, routes],
  [2, rule],
)
