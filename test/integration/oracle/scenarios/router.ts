/** What a router does: forwarding, errors, narrow links, routes that refuse, directed broadcasts. */
import { type Bytes, type IpFields, icmp, icmpError, ip, pattern } from '../build-packet.ts'
import type { Scenario, Setup } from '../scenario.ts'
import {
  closed,
  each,
  everyConf,
  FAR,
  forwarded,
  HOST,
  NEAR_FAR,
  on,
  PEER,
  ping,
  quoted,
  router,
  scenario,
  withSysctl,
  zeros,
} from './setups.ts'

/** What a router does. */
const forwards: Record<string, Bytes> = {
  'UDP (fwd-basic)': forwarded(),
  'TTL 2': forwarded({ ttl: 2 }),
  'TTL 1': forwarded({ ttl: 1 }),
  'TTL 0 (fwd-ttl0)': forwarded({ ttl: 0 }),
  'TTL 1, 1200 bytes (fwd-quote-max)': forwarded({ ttl: 1 }, 1200),
  'TTL 1, ICMP error (fwd-noerr-icmperr)': ip({
    src: PEER,
    dst: FAR,
    ttl: 1,
    payload: icmpError(3, 1, 0, quoted),
  }),
  'TTL 1, echo request': ping(PEER, FAR, { ttl: 1 }),
  'TTL 1, ICMP of unknown type': ip({ src: PEER, dst: FAR, ttl: 1, payload: icmp({ type: 44 }) }),
  'TTL 1, ICMP header cut off': ip({ src: PEER, dst: FAR, ttl: 1 }),
  'TTL 1, fragment (fwd-noerr-frag)': ip({
    src: PEER,
    dst: FAR,
    ttl: 1,
    offset: 800,
    protocol: 17,
    payload: pattern(20),
  }),
  'TTL 1, first fragment': ip({ src: PEER, dst: FAR, ttl: 1, mf: true, protocol: 17, payload: pattern(24) }),
  'TTL 1, to a group (fwd-mcast-err)': forwarded({ dst: '239.1.1.1', ttl: 1 }),
  'TTL 1, ECN CE and TOS': forwarded({ ttl: 1, tos: 0x1b }),
  'TTL 1, DF': forwarded({ ttl: 1, df: true }),
  'TTL 1, no way back (fwd-ttl-order)': forwarded({ ttl: 1, src: '10.66.0.1' }),
  'a fragment (fwd-frag-untouched)': ip({
    src: PEER,
    dst: FAR,
    offset: 800,
    mf: true,
    protocol: 17,
    payload: pattern(24),
  }),
  'TCP SYN (fwd-tcp)': ip({ src: PEER, dst: FAR, protocol: 6, payload: pattern(20) }),
  'unknown protocol': ip({ src: PEER, dst: FAR, protocol: 253, payload: pattern(20) }),
  'source 127.0.0.1 (fwd-src-loop)': forwarded({ src: '127.0.0.1' }),
  'source 0.0.0.0 (fwd-src-zero)': forwarded({ src: '0.0.0.0' }),
  'source 255.255.255.255 (fwd-src-bcast)': forwarded({ src: '255.255.255.255' }),
  'source is this host': forwarded({ src: HOST }),
  'source is the other address of this host': forwarded({ src: NEAR_FAR }),
  'source is a directed broadcast': forwarded({ src: '10.9.0.255' }),
  'source of class E': forwarded({ src: '250.0.0.1' }),
  'destination 255.255.255.255 (fwd-dst-bcast)': forwarded({ dst: '255.255.255.255' }),
  'destination 241.2.3.4 (fwd-dst-classe)': forwarded({ src: '10.9.0.31', dst: '241.2.3.4' }),
  'directed broadcast of the other net (fwd-dbcast)': forwarded({ dst: '10.8.0.255' }),
  'the other net itself': forwarded({ dst: '10.8.0.0' }),
  'echo to the other address (fwd-other-if)': ping(PEER, NEAR_FAR),
  'via a gateway': forwarded({ dst: '10.77.1.2' }),
  'full size': forwarded({}, 1472),
  'full size, DF': forwarded({ df: true }, 1472),
  'back where it came from (fwd-redirect)': forwarded({ dst: '203.0.113.9' }),
  'an id of 0': forwarded({ id: 0 }),
  'bad UDP checksum is nobody’s business': closed({ dst: FAR }, 10, { checksumError: 77 }),
  'link padding': Uint8Array.from([...forwarded(), 1, 2, 3, 4, 5]),
}

const smallMtu: Setup = { ...router, mtu: { tun1: 600 } }
const tooBig: Record<string, Bytes> = {}
for (const length of [571, 572, 573, 1000, 1472]) {
  tooBig[`${length + 28} bytes`] = forwarded({}, length)
  tooBig[`${length + 28} bytes, DF (fwd-toobig)`] = forwarded({ df: true }, length)
  tooBig[`${length + 28} bytes, TTL 1`] = forwarded({ ttl: 1 }, length)
}
tooBig['a fragment that is cut again'] = ip({
  src: PEER,
  dst: FAR,
  protocol: 17,
  offset: 1600,
  mf: true,
  payload: pattern(1400),
})
tooBig['a last fragment that is cut again'] = ip({
  src: PEER,
  dst: FAR,
  protocol: 17,
  offset: 1600,
  payload: pattern(1399),
})
tooBig['a fragment with DF'] = ip({
  src: PEER,
  dst: FAR,
  protocol: 17,
  offset: 1600,
  mf: true,
  df: true,
  payload: pattern(1400),
})
tooBig['a first fragment with DF'] = ip({
  src: PEER,
  dst: FAR,
  protocol: 17,
  mf: true,
  df: true,
  payload: pattern(1400),
})
tooBig['options of both kinds'] = forwarded({ options: [7, 7, 4, ...zeros(4), 0x9e, 4, 1, 2, 0] }, 1200)
tooBig['record route and DF'] = forwarded({ df: true, options: [7, 7, 4, ...zeros(4), 0] }, 1200)
tooBig['timestamps'] = forwarded({ options: [68, 12, 5, 1, ...zeros(8)] }, 1200)
tooBig['DF, from a source without a way back'] = forwarded({ df: true, src: '10.66.0.1' }, 1200)
tooBig['DF, ICMP error'] = ip({
  src: PEER,
  dst: FAR,
  df: true,
  payload: icmpError(3, 1, 0, forwarded({}, 900), 900),
})
tooBig['reserved flag'] = forwarded({ reserved: true }, 1000)

const badRoutes: Setup = {
  ...router,
  routes: [
    'unreachable 10.20.0.0/16',
    'blackhole 10.21.0.0/16',
    'prohibit 10.22.0.0/16',
    'throw 10.23.0.0/16',
    '10.24.0.0/16 dev tun1 mtu 700',
    '10.66.0.0/16 dev tun1',
  ],
}
const badRoute = (fields: Partial<IpFields> = {}): Record<string, Bytes> => {
  const packets: Record<string, Bytes> = {}
  let sender = 10
  for (const [name, dst] of [
    ['unreachable', '10.20.0.1'],
    ['blackhole', '10.21.0.1'],
    ['prohibit', '10.22.0.1'],
    ['throw', '10.23.0.1'],
    ['no route', '99.1.2.3'],
    ['neighbour', '10.9.0.200'],
  ] as const) {
    // Each from another sender: errors are rationed by sender.
    packets[name] = closed({ dst, src: `10.9.0.${sender++}`, ...fields })
    packets[`${name}, TTL 1`] = closed({ dst, src: `10.9.0.${sender++}`, ttl: 1, ...fields })
    packets[`${name}, DF and large`] = closed({ dst, src: `10.9.0.${sender++}`, df: true, ...fields }, 1400)
    packets[`${name}, ICMP error`] = ip({
      src: `10.9.0.${sender++}`,
      dst,
      payload: icmpError(3, 1, 0, quoted),
      ...fields,
    })
    packets[`${name}, options`] = closed({
      dst,
      src: `10.9.0.${sender++}`,
      options: [7, 11, 4, ...zeros(8), 0],
      ...fields,
    })
    packets[`${name}, a fragment`] = ip({
      src: `10.9.0.${sender++}`,
      dst,
      offset: 80,
      protocol: 17,
      payload: pattern(30),
      ...fields,
    })
  }
  for (const [name, dst] of Object.entries({ metric: '10.24.0.1' })) {
    packets[`${name} of 700 bytes`] = closed({ dst, src: '10.9.0.3', ...fields }, 900)
    packets[`${name} of 700 bytes, DF`] = closed({ dst, src: '10.9.0.3', df: true, ...fields }, 900)
  }
  return packets
}
/** Ways by nexthop objects: a gateway, a link, a black hole, a group whose hops lead to one device. */
const byObjects: Setup = {
  ...router,
  nexthops: [
    'id 1 via 10.8.0.1 dev tun1',
    'id 2 dev tun1',
    'id 3 blackhole',
    'id 4 via 10.9.0.1 dev tun0',
    // Of its own: the kernel caches the metrics of a nexthop's first route for all that use it, groups too, and which
    // hop of a group it takes is random.
    'id 5 dev tun1',
    'id 10 group 1/2',
    'id 11 group 3',
  ],
  routes: [
    '10.31.0.0/16 nhid 1',
    '10.32.0.0/16 nhid 5 mtu 700',
    '10.33.0.0/16 nhid 3',
    '10.34.0.0/16 nhid 10',
    '10.35.0.0/16 nhid 11',
    'default nhid 4',
  ],
}
const viaObjects: Record<string, Bytes> = {}
for (let net = 31; net <= 36; net++) {
  const dst = `10.${net}.0.1`
  viaObjects[`${dst}`] = closed({ dst, src: `10.9.0.${net}` })
  viaObjects[`${dst}, TTL 1`] = closed({ dst, src: `10.9.0.${net + 10}`, ttl: 1 })
  viaObjects[`${dst}, DF and large`] = closed({ dst, src: `10.9.0.${net + 20}`, df: true }, 1000)
  viaObjects[`from ${dst}`] = ping(dst, HOST)
}

/** Switches of one device, of all of them, or of both. */
const switches = (name: string, values: readonly (readonly [number, number])[]): Scenario[] =>
  values.map(([all, device]) =>
    scenario(
      `a router, ${name} ${all} on all and ${device} on the device`,
      withSysctl(router, { [`conf.all.${name}`]: all, [`conf.tun0.${name}`]: device }),
      each({
        'back where it came from': forwarded({ dst: '203.0.113.9' }),
        'from the other side': forwarded({ src: '10.8.0.77' }),
        'from nowhere': forwarded({ src: '99.1.2.3' }),
        'from the other side, to this host': ping('10.8.0.77', HOST),
        'a directed broadcast': forwarded({ dst: '10.8.0.255' }),
        'from this host': forwarded({ src: HOST }),
      }),
    ),
  )

const sources = (): Record<string, Bytes> => ({
  'echo from an unreachable net': ping('10.20.0.1', HOST),
  'echo from a blackhole': ping('10.21.0.1', HOST),
  'echo from a prohibited net': ping('10.22.0.1', HOST),
  'echo from a thrown net': ping('10.23.0.1', HOST),
  'echo from no net': ping('99.1.2.3', HOST),
  'echo from the other side': ping('10.66.0.5', HOST),
  'echo from a neighbour of the other side': ping('10.8.0.50', HOST),
  'forward from an unreachable net': forwarded({ src: '10.20.0.1' }),
  'forward from a blackhole': forwarded({ src: '10.21.0.1' }),
  'forward from a prohibited net': forwarded({ src: '10.22.0.1' }),
  'forward from no net': forwarded({ src: '99.1.2.3' }),
  'forward from the other side': forwarded({ src: '10.66.0.5' }),
  'broadcast from no net': ping('99.1.2.3', '255.255.255.255'),
  'group from no net': ping('99.1.2.3', '224.0.0.1'),
  'group from the other side': ping('10.66.0.5', '224.0.0.1'),
  'broadcast from the other side': ping('10.66.0.5', '10.9.0.255'),
})

export const ROUTER_SCENARIOS: readonly Scenario[] = [
  scenario('a router', router, each(forwards)),
  scenario('a router without redirects', withSysctl(router, everyConf('send_redirects', 0)), each(forwards)),
  scenario('not a router', withSysctl(router, { ip_forward: 0 }), each(forwards)),
  scenario('a router, strict rp_filter', withSysctl(router, everyConf('rp_filter', 1)), each(forwards)),
  scenario(
    'a router, bc_forwarding',
    withSysctl(router, { ...everyConf('bc_forwarding', 1), 'conf.tun1.bc_forwarding': 1 }),
    each(forwards),
  ),
  scenario(
    'a router, errors by the inbound address',
    withSysctl(router, { icmp_errors_use_inbound_ifaddr: 1 }),
    each(forwards),
  ),
  scenario('a router, default TTL 33', withSysctl(router, { ip_default_ttl: 33 }), each(forwards)),
  scenario('a router with a narrow link', smallMtu, each(tooBig)),
  scenario(
    'a router with a narrow link and locked path MTU',
    withSysctl(smallMtu, { ip_no_pmtu_disc: 1 }),
    each(tooBig),
  ),
  scenario('a router on the way back (fwd-back)', router, [
    { title: 'from tun1 to tun0', packets: on('tun1', closed({ src: FAR, dst: PEER })) },
    { title: 'from tun1 to tun0 with TTL 1', packets: on('tun1', closed({ src: FAR, dst: PEER, ttl: 1 })) },
    { title: 'from tun1 to this host', packets: on('tun1', ping(FAR, HOST)) },
    { title: 'a source of tun0 on tun1', packets: on('tun1', ping(PEER, NEAR_FAR)) },
  ]),
  scenario('routes that refuse', badRoutes, each(badRoute())),
  scenario('routes that refuse, not a router', withSysctl(badRoutes, { ip_forward: 0 }), each(badRoute())),
  scenario('sources behind refusing routes', badRoutes, each(sources())),
  scenario(
    'sources behind refusing routes, strict rp_filter (fwd-rpf)',
    withSysctl(badRoutes, everyConf('rp_filter', 1)),
    each(sources()),
  ),
  scenario(
    'sources behind refusing routes, loose rp_filter',
    withSysctl(badRoutes, everyConf('rp_filter', 2)),
    each(sources()),
  ),
  scenario('error rate of a router without a route', badRoutes, [
    {
      title: '20 at once',
      packets: on('tun0', ...Array.from({ length: 20 }, () => closed({ dst: '99.1.2.3' }))),
    },
  ]),
  scenario('a router by nexthop objects', byObjects, each(viaObjects)),
  scenario(
    'a router by nexthop objects, strict rp_filter',
    withSysctl(byObjects, everyConf('rp_filter', 1)),
    each(viaObjects),
  ),
  ...switches('rp_filter', [
    [0, 1],
    [1, 0],
    [2, 1],
    [1, 2],
    [0, 2],
  ]),
  ...switches('send_redirects', [
    [0, 1],
    [1, 0],
  ]),
  ...switches('bc_forwarding', [
    [0, 1],
    [1, 0],
  ]),
  ...switches('accept_local', [
    [0, 1],
    [1, 0],
  ]),
  scenario('redirect rate', router, [
    {
      title: '12 at once',
      packets: on('tun0', ...Array.from({ length: 12 }, () => forwarded({ dst: '203.0.113.9' }))),
    },
  ]),
]
