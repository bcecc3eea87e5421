/** ICMP: messages of every type, errors about packets of this host and of others, path MTU, redirects, rates. */
import { type Bytes, echoRequest, icmp, icmpError, ip, pattern } from '../build-packet.ts'
import type { Scenario, Step } from '../scenario.ts'
import {
  closed,
  each,
  echo,
  everyConf,
  FAR,
  HOST,
  host,
  on,
  PEER,
  ping,
  quoted,
  router,
  scenario,
  withSysctl,
} from './setups.ts'

const icmps: Record<string, Bytes> = {
  'wrong checksum (icmp-cksum-bad)': ip({
    src: PEER,
    dst: HOST,
    payload: icmp({ type: 8, data: pattern(8), checksumError: 1 }),
  }),
  'echo with code 7': ip({
    src: PEER,
    dst: HOST,
    payload: icmp({ type: 8, code: 7, rest: 5, data: pattern(8) }),
  }),
  'timestamp request (icmp-ts)': ip({
    src: PEER,
    dst: HOST,
    payload: icmp({ type: 13, rest: 7, data: pattern(12) }),
  }),
  'timestamp request with 4 bytes': ip({
    src: PEER,
    dst: HOST,
    payload: icmp({ type: 13, rest: 7, data: pattern(4) }),
  }),
  'timestamp request with 3 bytes': ip({
    src: PEER,
    dst: HOST,
    payload: icmp({ type: 13, rest: 7, data: pattern(3) }),
  }),
  'timestamp request with 40 bytes': ip({
    src: PEER,
    dst: HOST,
    payload: icmp({ type: 13, rest: 7, data: pattern(40) }),
  }),
  'timestamp request with code 1': ip({
    src: PEER,
    dst: HOST,
    payload: icmp({ type: 13, code: 1, data: pattern(12) }),
  }),
  'timestamp request with TOS and DF': ip({
    src: PEER,
    dst: HOST,
    tos: 0x28,
    df: true,
    payload: icmp({ type: 13, data: pattern(12) }),
  }),
}
for (let length = 0; length < 8; length++) {
  icmps[`${length} bytes (icmp-short)`] = ip({
    src: PEER,
    dst: HOST,
    payload: echoRequest().subarray(0, length),
  })
  const payload = Uint8Array.from([8, 0, 0xf7, 0xff, 0, 0, 0, 0]).subarray(0, Math.max(4, length))
  icmps[`${length} bytes, the checksum right`] = ip({ src: PEER, dst: HOST, payload })
}
for (let type = 0; type < 48; type++) {
  if (type === 8 || type === 13) continue
  const data = type === 3 || type === 11 || type === 12 || type === 4 || type === 5 ? closed() : pattern(20)
  icmps[`type ${type} (icmp-stray, icmp-info-mask)`] = ip({
    src: PEER,
    dst: HOST,
    payload: icmp({ type, data }),
  })
}
icmps['type 255'] = ip({ src: PEER, dst: HOST, payload: icmp({ type: 255, data: pattern(20) }) })

const icmpBroadcasts: Record<string, Bytes> = {}
for (let type = 0; type < 48; type++) {
  icmpBroadcasts[`type ${type}`] = ip({
    src: PEER,
    dst: '10.9.0.255',
    payload: icmp({ type, data: pattern(20) }),
  })
}

const strayErrors: Record<string, Bytes> = {}
for (let code = 0; code <= 17; code++) {
  strayErrors[`unreachable code ${code}`] = ip({
    src: PEER,
    dst: HOST,
    payload: icmpError(3, code, 576, quoted),
  })
}
for (const [name, type, code, rest] of [
  ['time exceeded 0', 11, 0, 0],
  ['time exceeded 1', 11, 1, 0],
  ['time exceeded 2', 11, 2, 0],
  ['parameter problem', 12, 0, 0x14000000],
  ['source quench', 4, 0, 0],
  ['redirect code 5', 5, 5, 0x0a090005],
  ['redirect code 1', 5, 1, 0x0a090005],
] as const) {
  strayErrors[name] = ip({ src: PEER, dst: HOST, payload: icmpError(type, code, rest, quoted) })
  for (const quote of [0, 8, 19, 20, 27]) {
    strayErrors[`${name}, quote of ${quote} bytes`] = ip({
      src: PEER,
      dst: HOST,
      payload: icmpError(type, code, rest, quoted, quote),
    })
  }
  const short = quoted.slice()
  short[0] = 0x42
  strayErrors[`${name}, quoting IHL 2`] = ip({
    src: PEER,
    dst: HOST,
    payload: icmpError(type, code, rest, short),
  })
  const long = quoted.slice()
  long[0] = 0x4f
  strayErrors[`${name}, quoting IHL 15`] = ip({
    src: PEER,
    dst: HOST,
    payload: icmpError(type, code, rest, long),
  })
  const foreign = quoted.slice()
  foreign[0] = 0x65
  strayErrors[`${name}, quoting version 6`] = ip({
    src: PEER,
    dst: HOST,
    payload: icmpError(type, code, rest, foreign),
  })
  const other = quoted.slice()
  other[9] = 253
  strayErrors[`${name}, quoting protocol 253`] = ip({
    src: PEER,
    dst: HOST,
    payload: icmpError(type, code, rest, other),
  })
  const ours = ip({ src: HOST, dst: PEER, payload: icmp({ type: 0, data: pattern(8) }) })
  strayErrors[`${name}, quoting an echo reply`] = ip({
    src: PEER,
    dst: HOST,
    payload: icmpError(type, code, rest, ours),
  })
  const request = ip({ src: HOST, dst: PEER, payload: echoRequest(8) })
  strayErrors[`${name}, quoting an echo request`] = ip({
    src: PEER,
    dst: HOST,
    payload: icmpError(type, code, rest, request),
  })
  strayErrors[`${name}, from the far side of loopback`] = ip({
    src: PEER,
    dst: '10.0.3.7',
    payload: icmpError(type, code, rest, quoted),
  })
}

const fragNeeded = (mtu: number, about: Bytes, src = PEER): Bytes =>
  ip({ src, dst: HOST, payload: icmpError(3, 4, mtu, about) })
const reply = (dst: string): Bytes =>
  ip({ src: HOST, dst, payload: icmp({ type: 0, rest: 0x12340001, data: pattern(1000) }) })
const pathMtu: Step[] = [1400, 1000, 600, 1200, 552, 551, 500, 100, 68, 67, 1, 0, 1500, 9000, 65535].flatMap(
  (mtu, i): Step[] => {
    const dst = `203.0.113.${i + 10}`
    return [
      { title: `Frag Needed ${mtu}`, packets: on('tun0', fragNeeded(mtu, reply(dst))), routeGet: [dst] },
      {
        title: `echo after Frag Needed ${mtu}`,
        packets: on('tun0', ping(dst, HOST), echo({ src: dst }, 1400)),
      },
    ]
  },
)
const oneTarget: Step[] = [1000, 1200, 800, 900, 400, 700].map((mtu) => ({
  title: `Frag Needed ${mtu} for one destination`,
  packets: on('tun0', fragNeeded(mtu, reply('203.0.113.5')), echo({ src: '203.0.113.5' }, 1400)),
  routeGet: ['203.0.113.5', '203.0.113.6'],
}))

const redirect = (gateway: string, dst: string, src = PEER, code = 1, quoteSrc = HOST): Bytes => {
  const about = ip({ src: quoteSrc, dst, payload: icmp({ type: 0, data: pattern(8) }) })
  const [a, b, c, d] = gateway.split('.').map(Number)
  return ip({
    src,
    dst: HOST,
    payload: icmpError(5, code, ((a! << 24) | (b! << 16) | (c! << 8) | d!) >>> 0, about),
  })
}
const redirects: Step[] = [
  ['to a neighbour (icmp-redirect-host)', redirect('10.9.0.7', '203.0.113.1'), '203.0.113.1'],
  ['for a network', redirect('10.9.0.7', '203.0.113.2', PEER, 0), '203.0.113.2'],
  ['code 3', redirect('10.9.0.7', '203.0.113.3', PEER, 3), '203.0.113.3'],
  ['code 4', redirect('10.9.0.7', '203.0.113.4', PEER, 4), '203.0.113.4'],
  [
    'not from the gateway (icmp-redirect-bad)',
    redirect('10.9.0.7', '203.0.113.5', '10.9.0.9'),
    '203.0.113.5',
  ],
  ['to an off-link gateway (icmp-redirect-bad)', redirect('198.51.100.1', '203.0.113.6'), '203.0.113.6'],
  ['to the gateway itself', redirect(PEER, '203.0.113.7'), '203.0.113.7'],
  ['to this host', redirect(HOST, '203.0.113.8'), '203.0.113.8'],
  ['to a broadcast address', redirect('10.9.0.255', '203.0.113.9'), '203.0.113.9'],
  ['to a group', redirect('224.0.0.1', '203.0.113.10'), '203.0.113.10'],
  ['to 0.0.0.0', redirect('0.0.0.0', '203.0.113.11'), '203.0.113.11'],
  ['to 127.0.0.1', redirect('127.0.0.1', '203.0.113.12'), '203.0.113.12'],
  ['for a neighbour', redirect('10.9.0.7', '10.9.0.66'), '10.9.0.66'],
  [
    'quoting a packet of another host',
    redirect('10.9.0.7', '203.0.113.13', PEER, 1, '10.9.0.50'),
    '203.0.113.13',
  ],
  ['and again elsewhere', redirect('10.9.0.8', '203.0.113.1'), '203.0.113.1'],
  ['back, by the new gateway', redirect('10.9.0.9', '203.0.113.1', '10.9.0.8'), '203.0.113.1'],
  ['to a limited broadcast', redirect('255.255.255.255', '203.0.113.14'), '203.0.113.14'],
].map(([title, packet, dst]) => ({
  title: `redirect ${title as string}`,
  packets: on('tun0', packet as Bytes, ping(dst as string, HOST)),
  routeGet: [dst as string],
}))

export const ICMP_SCENARIOS: readonly Scenario[] = [
  scenario('ICMP messages', host, each(icmps)),
  scenario('ICMP messages to a broadcast address', host, each(icmpBroadcasts)),
  scenario(
    'ICMP messages to a broadcast address, echo answered',
    withSysctl(host, { icmp_echo_ignore_broadcasts: 0 }),
    each(icmpBroadcasts),
  ),
  scenario('ICMP messages, echo ignored', withSysctl(host, { icmp_echo_ignore_all: 1 }), each(icmps)),
  scenario('ICMP errors about nothing of ours', host, each(strayErrors)),
  scenario(
    'ICMP errors, bogus ones reported',
    withSysctl(host, { icmp_ignore_bogus_error_responses: 0 }),
    each(strayErrors),
  ),
  scenario('path MTU learnt', host, [...pathMtu, ...oneTarget]),
  scenario('path MTU not believed', withSysctl(host, { ip_no_pmtu_disc: 1 }), oneTarget),
  scenario('path MTU ignored', withSysctl(host, { ip_no_pmtu_disc: 2 }), oneTarget),
  scenario('path MTU of forwarded packets', withSysctl(router, { ip_forward_use_pmtu: 1 }), [
    ...oneTarget,
    {
      title: 'forwarded with DF',
      packets: on('tun1', closed({ src: FAR, dst: '203.0.113.5', df: true }, 1400)),
    },
    { title: 'forwarded', packets: on('tun1', closed({ src: FAR, dst: '203.0.113.5' }, 1400)) },
  ]),
  scenario('path MTU and forwarded packets', router, [
    ...oneTarget,
    {
      title: 'forwarded with DF',
      packets: on('tun1', closed({ src: FAR, dst: '203.0.113.5', df: true }, 1400)),
    },
    { title: 'forwarded', packets: on('tun1', closed({ src: FAR, dst: '203.0.113.5' }, 1400)) },
  ]),
  scenario('redirects', host, redirects),
  scenario(
    'redirects on media that are not shared',
    withSysctl(host, everyConf('shared_media', 0)),
    redirects,
  ),
  scenario('redirects, none accepted', withSysctl(host, everyConf('accept_redirects', 0)), redirects),
  ...(
    [
      ['accept_redirects', 0, 1],
      ['accept_redirects', 1, 0],
      ['secure_redirects', 0, 1],
      ['secure_redirects', 0, 0],
      ['shared_media', 1, 0],
      ['shared_media', 0, 1],
    ] as const
  ).flatMap(([name, all, device]) => {
    const settings = { [`conf.all.${name}`]: all, [`conf.tun0.${name}`]: device }
    const as = `${name} ${all} on all and ${device} on the device`
    return [
      scenario(`redirects, ${as}`, withSysctl(host, settings), redirects),
      scenario(
        `redirects to a router, ${as}`,
        withSysctl(host, { ...settings, 'conf.tun0.forwarding': 1 }),
        redirects,
      ),
    ]
  }),
  scenario(
    'redirects, any gateway',
    withSysctl(host, { ...everyConf('shared_media', 0), ...everyConf('secure_redirects', 0) }),
    redirects,
  ),
  scenario('error rate by destination (icmp-ratelimit)', withSysctl(host, { icmp_ratelimit: 1000 }), [
    { title: '20 closed ports at once', packets: on('tun0', ...Array.from({ length: 20 }, () => closed())) },
    {
      title: '20 from another',
      packets: on('tun0', ...Array.from({ length: 20 }, () => closed({ src: '10.9.0.3' }))),
    },
    { title: 'echo is not limited', packets: on('tun0', ...Array.from({ length: 20 }, () => echo())) },
  ]),
]
