/** The scenarios, each a configuration and the packets that are sent into it. */

import {
  type Bytes,
  echoRequest,
  fragments,
  type IpFields,
  icmp,
  icmpError,
  ip,
  pattern,
  udp,
} from './build-packet.ts'
import type { WirePacket } from './injector-protocol.ts'
import type { Scenario, Setup, Step } from './scenario.ts'

const HOST = '10.9.0.2'
const PEER = '10.9.0.1'
/** Beyond the second device of the router. */
const FAR = '10.8.0.9'
const NEAR_FAR = '10.8.0.2'

/** One TUN, as `examples` have it, and a second prefix on loopback. */
const host: Setup = {
  addresses: { tun0: [`${HOST}/24`], lo: ['10.0.3.1/24'] },
  routes: ['default via 10.9.0.1 dev tun0'],
}

const router: Setup = {
  addresses: { tun0: [`${HOST}/24`], tun1: [`${NEAR_FAR}/24`], lo: [] },
  routes: ['10.77.0.0/16 via 10.8.0.1 dev tun1', 'default via 10.9.0.1 dev tun0'],
  sysctl: { ip_forward: 1 },
}

const on = (device: string, ...packets: Uint8Array[]): WirePacket[] =>
  packets.map((bytes) => ({ device, bytes }))

/** One step per packet, into tun0. */
function each(packets: Record<string, Uint8Array | readonly Uint8Array[]>, wait?: number): Step[] {
  return Object.entries(packets).map(([title, bytes]) => ({
    title,
    packets: on('tun0', ...(bytes instanceof Uint8Array ? [bytes] : bytes)),
    ...(wait === undefined ? {} : { wait }),
  }))
}

const echo = (fields: Partial<IpFields> = {}, length = 56): Bytes =>
  ip({ src: PEER, dst: HOST, payload: echoRequest(length), ...fields })

function closed(
  fields: Partial<IpFields> = {},
  length = 10,
  more: Partial<Parameters<typeof udp>[0]> = {},
): Bytes {
  const { src = PEER, dst = HOST } = fields
  return ip({ src, dst, protocol: 17, payload: udp({ src, dst, data: pattern(length), ...more }), ...fields })
}

const forwarded = (fields: Partial<IpFields> = {}, length = 10): Bytes =>
  closed({ dst: FAR, ...fields }, length)

const withOptions = (
  name: string,
  options: readonly number[],
  fields: Partial<IpFields> = {},
): [string, Bytes][] => [
  [`echo with ${name}`, echo({ options, ...fields })],
  [`UDP to a closed port with ${name}`, closed({ options, ...fields })],
]

const A = [10, 9, 0, 1]
const H = [10, 9, 0, 2]
const L = [10, 0, 3, 1]
const F = [10, 8, 0, 9]
const zeros = (n: number): number[] => new Array<number>(n).fill(0)

/** Options of every kind, right and wrong. */
export const OPTIONS: Record<string, readonly number[]> = {
  'NOP NOP NOP EOL (ip-opt-nop)': [1, 1, 1, 0],
  'an unknown option (ip-opt-unknown)': [0x9e, 4, 1, 2],
  'an unknown option that is not copied': [0x1e, 4, 1, 2],
  'garbage behind EOL (ip-opt-eol-garbage)': [0, 9, 8, 7, 6, 5, 4, 3],
  'record route, three slots (ip-opt-rr)': [7, 15, 4, ...zeros(12), 0],
  'record route, one slot': [7, 7, 4, ...zeros(4), 0],
  'record route, one of two slots used': [7, 11, 8, ...A, ...zeros(4), 0],
  'record route, full': [7, 7, 8, ...A, 0],
  'record route, no slot': [7, 3, 4, 0],
  'record route, nine slots': [7, 39, 4, ...zeros(36), 0],
  'record route, pointer 3': [7, 7, 3, ...zeros(4), 0],
  'record route, pointer 5': [7, 11, 5, ...zeros(8), 0],
  'record route, pointer just past': [7, 7, 5, ...zeros(4), 0],
  'record route, pointer 255': [7, 7, 255, ...zeros(4), 0],
  'record route, length 2': [7, 2, 0, 0],
  'record route, length 0': [7, 0, 4, 0],
  'record route, length 1': [7, 1, 4, 0],
  'record route, longer than the header': [7, 12, 4, 0, 0, 0, 0, 0],
  'record route twice': [7, 7, 4, ...zeros(4), 7, 7, 4, ...zeros(4), 0, 0],
  'a type byte at the very end': [1, 1, 1, 7],
  'timestamps, two slots (ip-opt-ts)': [68, 12, 5, 0, ...zeros(8)],
  'timestamps, one of two used': [68, 12, 9, 0, 0, 0, 1, 2, ...zeros(4)],
  'timestamps, full': [68, 8, 9, 0, 0, 0, 1, 2],
  'timestamps, full, overflow 14': [68, 8, 9, 0xe0, 0, 0, 1, 2],
  'timestamps, full, overflow 15': [68, 8, 9, 0xf0, 0, 0, 1, 2],
  'timestamps, no slot': [68, 4, 5, 0],
  'timestamps, length 3': [68, 3, 5, 0],
  'timestamps, pointer 4': [68, 8, 4, 0, ...zeros(4)],
  'timestamps, pointer 6 of 8': [68, 8, 6, 0, ...zeros(4)],
  'timestamps with address, two slots': [68, 20, 5, 1, ...zeros(16)],
  'timestamps with address, one of two used': [68, 20, 13, 1, ...A, 0, 0, 0, 9, ...zeros(8)],
  'timestamps with address, half a slot': [68, 8, 5, 1, ...zeros(4)],
  'timestamps with address, full': [68, 12, 13, 1, ...A, 0, 0, 0, 9],
  'timestamps prespecified, this host first': [68, 20, 5, 3, ...H, ...zeros(4), ...A, ...zeros(4)],
  'timestamps prespecified, this host twice': [68, 20, 5, 3, ...H, ...zeros(4), ...L, ...zeros(4)],
  'timestamps prespecified, another first': [68, 20, 5, 3, ...F, ...zeros(4), ...H, ...zeros(4)],
  'timestamps prespecified, full': [68, 12, 13, 3, ...H, 0, 0, 0, 9],
  'timestamps prespecified, half a slot': [68, 8, 5, 3, ...zeros(4)],
  'timestamps, unknown flag 2': [68, 12, 5, 2, ...zeros(8)],
  'timestamps, unknown flag 15': [68, 12, 5, 15, ...zeros(8)],
  'timestamps twice': [68, 8, 5, 0, ...zeros(4), 68, 8, 5, 0, ...zeros(4)],
  'router alert': [148, 4, 0, 0],
  'router alert, other value': [148, 4, 0, 5],
  'router alert, length 3': [148, 3, 0, 0],
  'record route and timestamps': [7, 11, 4, ...zeros(8), 1, 68, 12, 5, 0, ...zeros(8)],
  'security (130)': [130, 11, ...zeros(9), 0],
  'stream id (136)': [136, 4, 1, 2],
  'CIPSO (134)': [134, 6, 0, 0, 0, 1, 0, 0],
  'an unknown option of length 0': [0x9e, 0, 1, 2],
  'an unknown option of length 1': [0x9e, 1, 1, 2],
  'an unknown option past the end': [0x9e, 5, 1, 2],
}

/** Source routes: the stack refuses them, whatever `accept_source_route` says. */
export const SOURCE_ROUTES: Record<string, readonly number[]> = {
  'a loose source route to another host (ip-opt-lsrr)': [131, 7, 4, ...F, 0],
  'a loose source route, ended': [131, 7, 8, ...F, 0],
  'a strict source route to another host': [137, 7, 4, ...F, 0],
  'a strict source route, ended': [137, 7, 8, ...F, 0],
  'a loose source route of length 2': [131, 2, 0, 0],
  'a loose source route, pointer 3': [131, 7, 3, ...F, 0],
  'two source routes': [131, 7, 8, ...F, 131, 7, 8, ...F, 0, 0],
}

const optionEchoes = Object.fromEntries(
  Object.entries(OPTIONS).flatMap(([name, options]) => withOptions(name, options)),
)
const optionForwards = (table: Record<string, readonly number[]>): Record<string, Bytes> =>
  Object.fromEntries(
    Object.entries(table).flatMap(([name, options]) => [
      [`forward ${name}`, forwarded({ options })],
      [`forward with TTL 1 ${name}`, forwarded({ options, ttl: 1 })],
    ]),
  )

const ping = (src: string, dst: string, fields: Partial<IpFields> = {}): Bytes =>
  echo({ src, dst, ...fields })

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

const quoted = closed({ src: HOST, dst: PEER })
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

/** Sources and destinations of every odd kind, as echo requests and as datagrams to a closed port. */
const ODD_SOURCES: Record<string, string> = {
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
const ODD_DESTINATIONS: Record<string, string> = {
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

const frag = (fields: Partial<IpFields>, offsets: readonly number[], length = 3000): Bytes[] =>
  fragments({ src: PEER, dst: HOST, payload: echoRequest(length - 8), ...fields }, offsets)
let fragId = 50_000
const id = (): number => fragId++

const eight = Array.from({ length: 8 }, (_, i) => i * 376)
const inFragments: Record<string, Bytes | Bytes[]> = {
  'in order (frag-inorder)': frag({ id: id() }, [0, 1480, 2960]),
  'reverse (frag-reverse)': frag({ id: id() }, [0, 1480, 2960]).reverse(),
  'shuffled (frag-shuffle)': [5, 2, 7, 0, 3, 6, 1, 4].map((i) => frag({ id: 50_900 }, eight)[i]!),
  'pieces of 8 bytes (frag-tiny)': frag(
    { id: id() },
    Array.from({ length: 184 }, (_, i) => i * 8),
    1472,
  ),
  'the middle one twice (frag-dup)': ((f) => [f[0]!, f[1]!, f[1]!, f[2]!])(
    frag({ id: id() }, [0, 1480, 2960]),
  ),
  'interleaved with another id (frag-interleave)': ((a, b) => [a[0]!, b[0]!, b[1]!, a[1]!])(
    frag({ id: id() }, [0, 1480], 2000),
    frag({ id: id() }, [0, 1480], 2000),
  ),
  'the same id from two sources (frag-key-src)': ((a, b) => [a[0]!, b[0]!, b[1]!, a[1]!])(
    frag({ id: 51_000 }, [0, 1480], 2000),
    frag({ id: 51_000, src: '10.9.0.5' }, [0, 1480], 2000),
  ),
  'the same id, another protocol': [
    ...frag({ id: 51_001 }, [0, 1480], 2000).slice(0, 1),
    ...fragments(
      { src: PEER, dst: HOST, protocol: 253, id: 51_001, payload: pattern(2000) },
      [0, 1480],
    ).slice(1),
    ...frag({ id: 51_001 }, [0, 1480], 2000).slice(1),
    ...fragments(
      { src: PEER, dst: HOST, protocol: 253, id: 51_001, payload: pattern(2000) },
      [0, 1480],
    ).slice(0, 1),
  ],
  'UDP to a closed port (frag-udp-closed)': fragments(
    {
      src: PEER,
      dst: HOST,
      protocol: 17,
      id: id(),
      payload: udp({ src: PEER, dst: HOST, data: pattern(2000) }),
    },
    [0, 1480],
  ),
  'UDP to a closed port, reverse': fragments(
    {
      src: PEER,
      dst: HOST,
      protocol: 17,
      id: id(),
      payload: udp({ src: PEER, dst: HOST, data: pattern(2000) }),
    },
    [0, 1480],
  ).reverse(),
  'first fragment alone of protocol 253': fragments(
    { src: PEER, dst: HOST, protocol: 253, id: id(), payload: pattern(2000) },
    [0, 1480],
  )[0]!,
  'second fragment alone of protocol 253 (icmp-noerr-nonfirst)': fragments(
    { src: PEER, dst: HOST, protocol: 253, id: id(), payload: pattern(2000) },
    [0, 1480],
  )[1]!,
  'DF on every fragment': frag({ id: id(), df: true }, [0, 1480, 2960]),
  'different TTL and TOS (ip-frag-ttl)': ((n) => [
    frag({ id: n, ttl: 60, tos: 0x10 }, [0, 1480])[0]!,
    frag({ id: n, ttl: 3, tos: 0x20 }, [0, 1480])[1]!,
  ])(id()),
  'different TTL and TOS, reverse': ((n) => [
    frag({ id: n, ttl: 3, tos: 0x20 }, [0, 1480])[1]!,
    frag({ id: n, ttl: 60, tos: 0x10 }, [0, 1480])[0]!,
  ])(id()),
  'CE on the second of two ECT(0)': ((n) => [
    frag({ id: n, tos: 2 }, [0, 1480])[0]!,
    frag({ id: n, tos: 3 }, [0, 1480])[1]!,
  ])(id()),
  'CE on one, Not-ECT on the other': ((n) => [
    frag({ id: n, tos: 0 }, [0, 1480])[0]!,
    frag({ id: n, tos: 3 }, [0, 1480])[1]!,
  ])(id()),
  'ECT(0) and ECT(1)': ((n) => [
    frag({ id: n, tos: 2 }, [0, 1480])[0]!,
    frag({ id: n, tos: 1 }, [0, 1480])[1]!,
  ])(id()),
  'ECT(0) and Not-ECT': ((n) => [
    frag({ id: n, tos: 2 }, [0, 1480])[0]!,
    frag({ id: n, tos: 0 }, [0, 1480])[1]!,
  ])(id()),
  'a length that is no multiple of 8, more to come': ip({
    src: PEER,
    dst: HOST,
    id: id(),
    mf: true,
    payload: pattern(21),
  }),
  'no data, more to come (frag-zero-len)': ip({ src: PEER, dst: HOST, id: id(), mf: true }),
  '7 bytes, more to come': ip({ src: PEER, dst: HOST, id: id(), mf: true, payload: pattern(7) }),
  'no data, last': ip({ src: PEER, dst: HOST, id: id(), offset: 800 }),
  'past 65535 (frag-pingofdeath)': ip({
    src: PEER,
    dst: HOST,
    id: id(),
    offset: 65528,
    payload: pattern(100),
  }),
  'up to 65535 exactly': ip({ src: PEER, dst: HOST, id: id(), offset: 65512, payload: pattern(3) }),
  'past 65515 of data': ip({ src: PEER, dst: HOST, id: id(), offset: 65512, payload: pattern(4) }),
  'options in the first only': ((n) => [
    frag({ id: n, options: [7, 11, 4, ...zeros(8), 0] }, [0, 1480])[0]!,
    frag({ id: n }, [0, 1480])[1]!,
  ])(id()),
  'options in both': frag({ id: id(), options: [7, 11, 4, ...zeros(8), 0] }, [0, 1448]),
  'options in both, reverse': frag({ id: id(), options: [7, 11, 4, ...zeros(8), 0] }, [0, 1448]).reverse(),
  'options in the second only': ((n) => [
    frag({ id: n }, [0, 1480])[0]!,
    frag({ id: n, options: [68, 12, 5, 0, ...zeros(8)] }, [0, 1480])[1]!,
  ])(id()),
  'echo of 8000 bytes (icmp-echo-8k)': frag({ id: id() }, [0, 1480, 2960, 4440, 5920, 7400], 8008),
}

const overlaps: Record<string, Bytes | Bytes[]> = {}
const piece = (n: number, offset: number, length: number, mf: boolean): Bytes =>
  ip({
    src: PEER,
    dst: HOST,
    id: n,
    offset,
    mf,
    payload: echoRequest(1992).subarray(offset, offset + length),
  })
for (const [name, pieces] of Object.entries({
  'the tail by the next (frag-overlap)': [
    [0, 1008, true],
    [1000, 1000, false],
  ],
  'inside an earlier one': [
    [0, 1000, true],
    [512, 256, true],
    [1000, 1000, false],
  ],
  'inside a later one (frag-overlap-subset)': [
    [512, 256, true],
    [0, 1000, true],
    [1000, 1000, false],
  ],
  'the head of the next': [
    [1000, 1000, false],
    [0, 1008, true],
  ],
  'the last twice': [
    [0, 1000, true],
    [1000, 1000, false],
  ],
  'two ends, the second shorter (frag-two-ends)': [
    [1000, 1000, false],
    [800, 16, false],
  ],
  'two ends, the second longer': [
    [1000, 800, false],
    [1800, 200, false],
  ],
  'beyond the end': [
    [1000, 800, false],
    [1800, 200, true],
  ],
  'an end before what came': [
    [1000, 800, true],
    [800, 16, false],
  ],
  'same start, longer': [
    [0, 800, true],
    [0, 1000, true],
  ],
  'same start, shorter': [
    [0, 1000, true],
    [0, 800, true],
  ],
} satisfies Record<string, [number, number, boolean][]>)) {
  const n = id()
  overlaps[name] = pieces.map(([offset, length, mf]) =>
    piece(n, offset as number, length as number, mf as boolean),
  )
}

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

const scenario = (name: string, setup: Setup, steps: readonly Step[]): Scenario => ({ name, setup, steps })
const withSysctl = (setup: Setup, sysctl: Record<string, number>): Setup => ({
  ...setup,
  sysctl: { ...setup.sysctl, ...sysctl },
})
const everyConf = (name: string, value: number): Record<string, number> => ({
  [`conf.all.${name}`]: value,
  [`conf.tun0.${name}`]: value,
})

export const SCENARIOS: readonly Scenario[] = [
  scenario('headers of all kinds', host, each(headers)),
  scenario('TOS and ECN', host, each(toses)),
  scenario('echo sizes', host, each(sizes)),
  scenario('echo with an MTU of 576', { ...host, mtu: { tun0: 576 } }, each(sizes)),
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
  scenario('UDP', host, each(udps)),
  scenario('options', host, each(optionEchoes)),
  scenario(
    'options to lo',
    host,
    each(
      Object.fromEntries(
        Object.entries(OPTIONS).map(([name, options]) => [name, ping(PEER, '10.0.3.9', { options })]),
      ),
    ),
  ),
  scenario(
    'options to a broadcast',
    withSysctl(host, { icmp_echo_ignore_broadcasts: 0 }),
    each(
      Object.fromEntries(
        Object.entries(OPTIONS).map(([name, options]) => [name, ping(PEER, '10.9.0.255', { options })]),
      ),
    ),
  ),
  scenario(
    'source routes',
    host,
    each(
      Object.fromEntries(
        Object.entries(SOURCE_ROUTES).flatMap(([name, options]) => withOptions(name, options)),
      ),
    ),
  ),
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
  scenario('fragments', host, each(inFragments)),
  scenario('fragments, MTU 576', { ...host, mtu: { tun0: 576 } }, each(inFragments)),
  scenario(
    'fragments refused',
    withSysctl(host, { ipfrag_low_thresh: 0, ipfrag_high_thresh: 0 }),
    each({ fragment: frag({ id: id() }, [0, 1480, 2960]) }),
  ),
  scenario('fragments that overlap', host, each(overlaps)),
  scenario('fragments that never come', withSysctl(host, { ipfrag_time: 1 }), [
    { title: 'the first alone', packets: on('tun0', frag({ id: id() }, [0, 1480])[0]!), wait: 1300 },
    {
      title: 'the second alone, and the first two of three (frag-timeout-nofirst)',
      packets: on(
        'tun0',
        frag({ id: id() }, [0, 1480])[1]!,
        ...frag({ id: id() }, [0, 1000, 2000]).slice(0, 2),
      ),
      wait: 1300,
    },
    {
      title: 'the first of UDP, large, with options',
      packets: on(
        'tun0',
        ip({
          src: PEER,
          dst: HOST,
          protocol: 17,
          id: id(),
          mf: true,
          options: [7, 11, 4, ...zeros(8), 0],
          payload: pattern(1480),
        }),
      ),
      wait: 1300,
    },
  ]),
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
  scenario('a router and options', router, each(optionForwards(OPTIONS))),
  scenario('a router and source routes', router, each(optionForwards(SOURCE_ROUTES))),
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
  scenario(
    'redirects, any gateway',
    withSysctl(host, { ...everyConf('shared_media', 0), ...everyConf('secure_redirects', 0) }),
    redirects,
  ),
  scenario('a default route through lo', viaLoopback, circling),
  scenario('a default route through lo, not a router', withSysctl(viaLoopback, { ip_forward: 0 }), circling),
  scenario('a default route through a narrow lo', narrowLoopback, tooBigForLoopback),
  scenario('error rate by destination (icmp-ratelimit)', withSysctl(host, { icmp_ratelimit: 1000 }), [
    { title: '20 closed ports at once', packets: on('tun0', ...Array.from({ length: 20 }, () => closed())) },
    {
      title: '20 from another',
      packets: on('tun0', ...Array.from({ length: 20 }, () => closed({ src: '10.9.0.3' }))),
    },
    { title: 'echo is not limited', packets: on('tun0', ...Array.from({ length: 20 }, () => echo())) },
  ]),
  scenario('error rate of a router without a route', badRoutes, [
    {
      title: '20 at once',
      packets: on('tun0', ...Array.from({ length: 20 }, () => closed({ dst: '99.1.2.3' }))),
    },
  ]),
  scenario('redirect rate (icmp-bcast-amplify)', router, [
    {
      title: '12 at once',
      packets: on('tun0', ...Array.from({ length: 12 }, () => forwarded({ dst: '203.0.113.9' }))),
    },
  ]),
]
