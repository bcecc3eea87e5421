/** Segments for nobody: every combination of flags, lengths that lie, options, odd sources and destinations. */
import {
  type Bytes,
  fragments,
  type IpFields,
  icmpError,
  ip,
  pattern,
  type TcpFields,
  tcp,
} from '../build-packet.ts'
import type { Scenario } from '../scenario.ts'
import { ODD_DESTINATIONS, ODD_SOURCES } from './host.ts'
import { each, HOST, host, PEER, scenario } from './setups.ts'

function segment(fields: Partial<TcpFields> = {}, more: Partial<IpFields> = {}): Bytes {
  const { src = PEER, dst = HOST } = more
  return ip({ src, dst, protocol: 6, ...more, payload: more.payload ?? tcp({ src, dst, ...fields }) })
}

const flags: Record<string, Bytes> = {}
for (let bits = 0; bits < 256; bits++) {
  const odd = bits % 3 === 0
  flags[`flags 0x${bits.toString(16)} (tcp-closed-syn, tcp-closed-null, tcp-closed-rst)`] = segment({
    flags: bits,
    seq: odd ? 0xffffffff : 1000,
    ack: 0xfffffff0 + bits,
    data: pattern(odd ? 10 : 0),
  })
}

const lengths: Record<string, Bytes> = {}
for (let words = 0; words < 16; words++) {
  lengths[`data offset ${words} of 20 bytes (tcp-offset-small, tcp-offset-long)`] = segment({
    dataOffset: words,
  })
  lengths[`data offset ${words} of 60 bytes`] = segment({ dataOffset: words, data: pattern(40) })
}
for (let n = 0; n < 20; n++) {
  lengths[`${n} bytes of header`] = segment({}, { payload: tcp({ src: PEER, dst: HOST }).subarray(0, n) })
}
for (const error of [1, 0x100, 0xffff]) {
  lengths[`checksum off by ${error} (tcp-cksum-bad)`] = segment({ checksumError: error })
  lengths[`checksum off by ${error}, 1000 bytes`] = segment({ checksumError: error, data: pattern(1000) })
}
const options: Record<string, number[]> = {
  MSS: [2, 4, 5, 180],
  'length 0': [2, 0, 5, 180],
  'length 1': [2, 1, 5, 180],
  'length past the end': [2, 40, 5, 180],
  unknown: [253, 4, 1, 2, 30, 2, 1, 0],
  timestamps: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2],
}
for (const [name, bytes] of Object.entries(options)) {
  lengths[`option ${name} (tcp-opt-badlen, tcp-opt-unknown)`] = segment({ options: bytes })
}

const places: Record<string, Bytes | Bytes[]> = {}
for (const [name, src] of Object.entries(ODD_SOURCES))
  places[`SYN from ${name} (tcp-src-invalid)`] = segment({}, { src })
for (const [name, dst] of Object.entries(ODD_DESTINATIONS)) {
  const src = /^(0\.|class E)/.test(name) ? '10.9.0.31' : PEER
  places[`SYN to ${name}`] = segment({}, { src, dst })
  places[`ACK to ${name}`] = segment({ flags: 16, ack: 77 }, { src, dst })
}
for (const tos of [0, 1, 2, 3, 4, 8, 0x10, 0x48, 0xc0, 0xfc, 0xff]) {
  places[`TOS 0x${tos.toString(16)}`] = segment({}, { tos })
}
places['TTL 1'] = segment({}, { ttl: 1 })
places['without DF'] = segment({}, { df: false })
places['port 0'] = segment({ dport: 0 })
places['from port 0'] = segment({ sport: 0 })
places['land: from itself (ip-src-self)'] = segment({ sport: 9, dport: 9 }, { src: HOST })
places['with 8 bytes of IP options'] = segment({}, { options: [1, 1, 1, 1, 1, 1, 1, 0] })
places['in fragments (frag-tcp)'] = fragments(
  { src: PEER, dst: HOST, protocol: 6, id: 77, payload: tcp({ src: PEER, dst: HOST, data: pattern(100) }) },
  [0, 24, 64],
)
const mine = segment({ flags: 16 }, { src: HOST, dst: PEER })
for (const [type, code] of [
  [3, 0],
  [3, 1],
  [3, 3],
  [3, 4],
  [4, 0],
  [5, 1],
  [11, 0],
  [12, 0],
] as const) {
  places[`ICMP ${type}/${code} about nobody's segment`] = ip({
    src: PEER,
    dst: HOST,
    payload: icmpError(type, code, 600, mine),
  })
}

export const TCP_SCENARIOS: readonly Scenario[] = [
  scenario('TCP: flags for a port that nobody has', host, each(flags)),
  scenario('TCP: lengths, checksums and options', host, each(lengths)),
  scenario('TCP: sources, destinations, services', host, each(places)),
]
