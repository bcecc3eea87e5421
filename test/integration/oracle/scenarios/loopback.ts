/** A default route through loopback: what is sent that way comes back, what is forwarded there circles. */
import { echoRequest, icmpError, ip, pattern } from '../build-packet.ts'
import type { Scenario, Setup, Step } from '../scenario.ts'
import { closed, each, forwarded, HOST, PEER, ping, quoted, scenario, withSysctl, zeros } from './setups.ts'

const viaLoopback: Setup = {
  addresses: { tun0: [`${HOST}/24`], lo: ['10.0.3.110/24'] },
  routes: ['default via 10.0.3.2 dev lo'],
  sysctl: { ip_forward: 1 },
}
/** An echo request whose answer this host sends to `src`. */
const circling: Step[] = each({
  'echo to the prefix on lo': ping(PEER, '10.0.3.2'),
  'echo whose answer goes round lo': ping('203.0.113.9', HOST),
  'closed port whose error goes round lo': closed({ src: '203.0.113.9' }),
  'forwarded to lo, TTL 64': forwarded({ dst: '203.0.113.9' }),
  'forwarded to lo, TTL 5': forwarded({ dst: '203.0.113.9', ttl: 5 }),
  'forwarded to lo, TTL 1': forwarded({ dst: '203.0.113.9', ttl: 1 }),
  'forwarded to lo, record route': forwarded({
    dst: '203.0.113.9',
    ttl: 4,
    options: [7, 15, 4, ...zeros(12), 0],
  }),
  'forwarded to lo, timestamps': forwarded({
    dst: '203.0.113.9',
    ttl: 4,
    options: [68, 12, 5, 0, ...zeros(8)],
  }),
  'forwarded to lo, ICMP error': ip({
    src: PEER,
    dst: '203.0.113.9',
    ttl: 3,
    payload: icmpError(3, 1, 0, quoted),
  }),
  'forwarded to lo from far away': forwarded({ src: '198.51.100.1', dst: '203.0.113.9', ttl: 4 }),
  'a fragment forwarded to lo': ip({
    src: PEER,
    dst: '203.0.113.9',
    ttl: 3,
    mf: true,
    protocol: 17,
    payload: pattern(16),
  }),
})

/** Packets of this host that do not fit loopback, and such that are forwarded to it. */
const narrowLoopback: Setup = { ...viaLoopback, mtu: { lo: 700 } }
const tooBigForLoopback: Step[] = each({
  'an answer that goes round lo in pieces': ping('203.0.113.9', HOST, { payload: echoRequest(1400) }),
  'forwarded in pieces': closed({ dst: '203.0.113.9', ttl: 3 }, 1000),
  'forwarded with DF': closed({ dst: '203.0.113.9', ttl: 3, df: true }, 1000),
  'forwarded with DF from far away': closed(
    { src: '198.51.100.1', dst: '203.0.113.9', ttl: 3, df: true },
    1000,
  ),
})

export const LOOPBACK_SCENARIOS: readonly Scenario[] = [
  scenario('a default route through lo', viaLoopback, circling),
  scenario('a default route through lo, not a router', withSysctl(viaLoopback, { ip_forward: 0 }), circling),
  scenario('a default route through a narrow lo', narrowLoopback, tooBigForLoopback),
]
