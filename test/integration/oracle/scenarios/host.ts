/** What a host gets: headers, types of service, sizes, sources, destinations, UDP. */
import { type Bytes, icmp, ip, pattern, udp } from '../build-packet.ts'
import type { Scenario } from '../scenario.ts'
import { closed, each, echo, everyConf, HOST, host, PEER, ping, scenario, withSysctl } from './setups.ts'

const headers: Record<string, Bytes> = {
  'IHL 4 (ip-ihl-small)': echo({ ihl: 4 }),
  'IHL 0': echo({ ihl: 0 }),
  'IHL 15, and the packet shorter (ip-ihl-long)': ip({ src: PEER, dst: HOST, ihl: 15, payload: pattern(20) }),
  'IHL 6 over data': echo({ ihl: 6 }),
  'total length below the header (ip-totlen-short)': echo({ totalLength: 19 }),
  'total length 0': echo({ totalLength: 0 }),
  'total length of the header alone': echo({ totalLength: 20 }),
  'total length beyond the packet (ip-totlen-long, fwd-bad-len)': echo({ totalLength: 85 }),
  'total length 65535': echo({ totalLength: 65535 }),
  'link padding (ip-trailer)': Uint8Array.from([...echo(), ...pattern(17)]),
  'bad header checksum (fwd-bad-cksum)': echo({ checksumError: 1 }),
  'TTL 1 (ip-ttl1)': echo({ ttl: 1 }),
  'TTL 0': echo({ ttl: 0 }),
  'TTL 255': echo({ ttl: 255 }),
  'reserved flag (ip-reserved-flag)': echo({ reserved: true }),
  'DF (ip-df-in)': echo({ df: true }),
  'protocol 253 (ip-proto-unreach)': echo({ protocol: 253 }),
  'protocol 0': echo({ protocol: 0 }),
  'protocol 255': echo({ protocol: 255 }),
  'protocol 2 (IGMP) of nonsense': echo({ protocol: 2 }),
  'protocol 253 without data': ip({ src: PEER, dst: HOST, protocol: 253 }),
  'protocol 253, larger than a quote': ip({ src: PEER, dst: HOST, protocol: 253, payload: pattern(1400) }),
  'header alone, ICMP': ip({ src: PEER, dst: HOST }),
  'header alone, UDP': ip({ src: PEER, dst: HOST, protocol: 17 }),
  'id 0': echo({ id: 0 }),
}
for (const length of [1, 2, 5, 12, 19])
  headers[`${length} bytes (ip-short)`] = echo().subarray(0, length) as Bytes

const toses: Record<string, Bytes> = {}
for (const tos of [0x00, 0x01, 0x02, 0x03, 0x04, 0x08, 0x10, 0x1c, 0x1e, 0x20, 0x48, 0xc0, 0xe0, 0xff]) {
  const name = `TOS 0x${tos.toString(16)}`
  toses[`echo ${name} (ip-tos-reflect, ip-tos-ignored)`] = echo({ tos })
  toses[`closed port ${name} (icmp-err-tos)`] = closed({ tos, ttl: 9 })
}

const sizes: Record<string, Bytes | Bytes[]> = {}
for (const n of [0, 1, 2, 55, 56, 57, 1471, 1472, 1473, 3000, 8000, 65507]) {
  sizes[`echo of ${n} bytes (icmp-echo-0, icmp-echo-56, icmp-echo-57, icmp-echo-1472, frag-out)`] = echo(
    {},
    n,
  )
}

/** Sources and destinations of every odd kind, as echo requests and as datagrams to a closed port. */
export const ODD_SOURCES: Record<string, string> = {
  'limited broadcast (ip-src-bcast)': '255.255.255.255',
  'own address (ip-src-self)': HOST,
  'own address on loopback': '10.0.3.1',
  'own prefix on loopback': '10.0.3.9',
  '127.0.0.1 (icmp-noerr-badsrc)': '127.0.0.1',
  '0.0.0.0': '0.0.0.0',
  '0.1.2.3': '0.1.2.3',
  'the net': '10.9.0.0',
  'directed broadcast': '10.9.0.255',
  multicast: '224.0.0.5',
  'multicast 239': '239.1.2.3',
  'class E': '240.1.2.3',
  'off-link (udp-offlink)': '203.0.113.5',
}
export const ODD_DESTINATIONS: Record<string, string> = {
  '127.0.0.1 (ip-dst-loop)': '127.0.0.1',
  '127.5.5.5': '127.5.5.5',
  'limited broadcast (icmp-echo-bcast, icmp-noerr-bcast)': '255.255.255.255',
  'directed broadcast (icmp-echo-bcast, icmp-noerr-bcast)': '10.9.0.255',
  'the net': '10.9.0.0',
  'all hosts (icmp-echo-bcast, icmp-noerr-mcast)': '224.0.0.1',
  'a group that was not joined': '224.0.0.99',
  'group 239.1.2.3': '239.1.2.3',
  '0.0.0.0': '0.0.0.0',
  '0.1.2.3': '0.1.2.3',
  'class E (fwd-dst-classe)': '241.2.3.4',
  'loopback address': '10.0.3.1',
  'loopback prefix': '10.0.3.77',
  'loopback broadcast': '10.0.3.255',
  'loopback net': '10.0.3.0',
  'a neighbour': '10.9.0.77',
  'another net': '198.51.100.7',
}
const oddSources: Record<string, Bytes> = {}
for (const [name, src] of Object.entries(ODD_SOURCES)) {
  oddSources[`echo from ${name}`] = ping(src, HOST)
  oddSources[`closed port from ${name}`] = closed({ src })
  oddSources[`echo to all hosts from ${name}`] = ping(src, '224.0.0.1')
  oddSources[`echo to broadcast from ${name}`] = ping(src, '255.255.255.255')
  oddSources[`echo to directed broadcast from ${name}`] = ping(src, '10.9.0.255')
  oddSources[`echo to loopback prefix from ${name}`] = ping(src, '10.0.3.77')
}
oddSources['0.0.0.0 to 0.0.0.0'] = ping('0.0.0.0', '0.0.0.0')
const oddDestinations: Record<string, Bytes> = {}
for (const [name, dst] of Object.entries(ODD_DESTINATIONS)) {
  // What the kernel forwards and the stack does not must not count against the redirects to the usual sender.
  const src = /^(0\.|class E)/.test(name) ? '10.9.0.31' : PEER
  oddDestinations[`echo to ${name}`] = ping(src, dst)
  oddDestinations[`closed port at ${name}`] = closed({ src, dst })
  oddDestinations[`timestamp request to ${name}`] = ip({
    src,
    dst,
    payload: icmp({ type: 13, data: pattern(12) }),
  })
  oddDestinations[`protocol 253 to ${name}`] = ip({ src, dst, protocol: 253, payload: pattern(30) })
  oddDestinations[`mask request to ${name}`] = ip({ src, dst, payload: icmp({ type: 17, data: pattern(4) }) })
  oddDestinations[`echo reply to ${name}`] = ip({ src, dst, payload: icmp({ type: 0, data: pattern(4) }) })
  oddDestinations[`fragment to ${name}`] = ip({ src, dst, mf: true, protocol: 253, payload: pattern(16) })
}

const udps: Record<string, Bytes> = {
  'closed port (udp-closed, icmp-err-src)': closed(),
  'closed port, TOS 8 and TTL 9 (icmp-quote)': closed({ tos: 8, ttl: 9 }),
  'closed port, 8 bytes of options (icmp-quote-options)': closed({ options: [1, 1, 1, 1, 1, 1, 1, 0] }),
  'closed port, 1400 bytes (icmp-quote-max)': closed({}, 1400),
  'closed port, no data': closed({}, 0),
  'closed port, DF': closed({ df: true }),
  'closed port, 548 bytes exactly': closed({}, 520),
  'closed port, checksum wrong (udp-cksum-bad-closed)': closed({}, 10, { checksumError: 1 }),
  'closed port, no checksum (udp-cksum-zero)': closed({}, 10, { noChecksum: true }),
  'port 0 (udp-dport0)': closed({}, 10, { dport: 0 }),
  'from port 0': closed({}, 10, { sport: 0 }),
  'length too long (udp-len-long)': closed({}, 10, { length: 19 }),
  'length short by 2': closed({}, 10, { length: 16 }),
  'length 8': closed({}, 10, { length: 8 }),
  'length 7': closed({}, 10, { length: 7 }),
  'length 0': closed({}, 10, { length: 0 }),
  'length short by 2, no checksum': closed({}, 10, { length: 16, noChecksum: true }),
  'length 0, no checksum': closed({}, 10, { length: 0, noChecksum: true }),
  'to another address of the prefix of lo': closed({ dst: '10.0.3.44' }),
}
for (let n = 1; n < 8; n++) {
  udps[`${n} bytes of header`] = ip({
    src: PEER,
    dst: HOST,
    protocol: 17,
    payload: udp({ src: PEER, dst: HOST }).subarray(0, n),
  })
}

export const HOST_SCENARIOS: readonly Scenario[] = [
  scenario('headers of all kinds', host, each(headers)),
  scenario('TOS and ECN', host, each(toses)),
  scenario('echo sizes', host, each(sizes)),
  scenario('echo with an MTU of 576', { ...host, mtu: { tun0: 576 } }, each(sizes)),
  scenario('UDP', host, each(udps)),
  scenario('sources', host, each(oddSources)),
  scenario('sources, accept_local', withSysctl(host, everyConf('accept_local', 1)), each(oddSources)),
  scenario('sources, route_localnet', withSysctl(host, everyConf('route_localnet', 1)), each(oddSources)),
  scenario('sources, strict rp_filter', withSysctl(host, everyConf('rp_filter', 1)), each(oddSources)),
  scenario('sources, loose rp_filter', withSysctl(host, everyConf('rp_filter', 2)), each(oddSources)),
  scenario(
    'sources, strict rp_filter and accept_local',
    withSysctl(host, { ...everyConf('rp_filter', 1), ...everyConf('accept_local', 1) }),
    each(oddSources),
  ),
  scenario('destinations', host, each(oddDestinations)),
  scenario(
    'destinations, broadcast answered (icmp-echo-bcast)',
    withSysctl(host, { icmp_echo_ignore_broadcasts: 0 }),
    each(oddDestinations),
  ),
  scenario(
    'destinations, route_localnet',
    withSysctl(host, everyConf('route_localnet', 1)),
    each(oddDestinations),
  ),
  // The kernel paces redirects by a clock that other errors to the same host reset.
  scenario(
    'destinations, a router',
    withSysctl(host, { ip_forward: 1, ...everyConf('send_redirects', 0) }),
    each(oddDestinations),
  ),
]
