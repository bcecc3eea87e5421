/** Fragments: in every order, overlapping, incomplete. */
import { type Bytes, echoRequest, fragments, type IpFields, ip, pattern, udp } from '../build-packet.ts'
import type { Scenario } from '../scenario.ts'
import { each, HOST, host, on, PEER, scenario, withSysctl, zeros } from './setups.ts'

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

export const FRAGMENTS_SCENARIOS: readonly Scenario[] = [
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
]
