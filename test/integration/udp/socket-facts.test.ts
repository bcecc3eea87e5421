/** UDP sockets of the kernel and of the stack, asked the same: path MTU, errors, addresses, segments, sharing. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { TunstackError, type UdpPathMtuDiscovery, type UdpSocket } from '../../../lib/index.ts'
import { HOST, HostBench, PEER } from '../../conformance/harness.ts'
import { type Bytes, icmp, udp } from '../../conformance/packets.ts'
import { useTestbed } from '../netns.ts'

const EAGAIN = 11
const MODES: readonly UdpPathMtuDiscovery[] = ['dont', 'want', 'do', 'probe', 'interface', 'omit']
const SIZES = [500, 1000, 2000]
const ERRORS = [
  ...[0, 1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15].map((code) => [3, code] as const),
  ...([4, 11, 12] as const).map((type) => [type, 0] as const),
]
const ADDRESSES = [
  ...['224.5.5.5', '10.9.0.255', '255.255.255.255', '10.0.3.77', '192.0.2.1'],
  ...['127.0.0.5', '10.9.0.77', '0.0.0.1', '10.9.0.2', '0.0.0.0'],
]
const SEGMENTS = [
  [300, 1000],
  [300, 300],
  [300, 299],
  [1472, 3000],
  [1473, 3000],
  [10, 1280],
  [10, 1281],
] as const

/** The positive errno that a call fails with; 0 if it does not. */
function errnoOf(call: () => unknown): number {
  try {
    call()
    return 0
  } catch (error) {
    expect(error).to.be.instanceOf(TunstackError)
    return -(error as TunstackError).errno!
  }
}

/** The same lines as socket-facts.c prints, of the stack. */
async function ofStack(): Promise<string[]> {
  const bench = new HostBench()
  const { stack, tun } = bench
  const lines: string[] = []
  const to = { address: PEER, port: 9 }
  const data = (bytes: number): Uint8Array => new Uint8Array(bytes)
  const sent = (): Bytes[] => {
    bench.settle()
    return tun.take()
  }
  const fail = (quote: Bytes, type: number, code: number, mtu = 0): void =>
    void bench.exchange(tun, icmp({ src: PEER, dst: HOST }, { type, code, word: mtu }, quote.slice(0, 28)))
  const receives = (socket: UdpSocket): number => (socket.receiveInto(data(9)) < 0 ? EAGAIN : 0)
  const datagram = (): void =>
    void bench.exchange(tun, udp({ src: PEER, dst: HOST }, { sport: 5000, dport: 6000 }, [1]))

  const pathMtu = (when: string): void => {
    for (const pathMtuDiscovery of MODES) {
      for (const size of SIZES) {
        const socket = stack.udp.bind({ pathMtuDiscovery })
        const errno = socket.trySend(data(size), to)
        const packets = sent().map((bytes) => (bytes[6]! & 0x40 ? 'DF' : '-'))
        lines.push([`mtu ${when} ${pathMtuDiscovery} ${size}:`, errno, ...packets].join(' '))
        socket.close()
      }
    }
  }
  pathMtu('before')
  stack.udp.bind().send(data(1000), to)
  fail(sent()[0]!, 3, 4, 600)
  pathMtu('after')

  for (const [type, code] of ERRORS) {
    for (const receiveErrors of [false, true]) {
      const socket = stack.udp.bind({ receiveErrors })
      socket.connect(to)
      socket.send(data(1))
      fail(sent()[0]!, type, code)
      lines.push(`error ${type} ${code} ${receiveErrors ? 'all' : 'hard'}: ${socket.trySend(data(1))}`)
      sent()
      socket.close()
    }
  }
  for (const address of ADDRESSES) {
    let sending = ''
    const bound = errnoOf(() => {
      const socket = stack.udp.bind({ address })
      if (address.startsWith('127')) return
      const errno = socket.trySend(data(1), to)
      sending = ` ${errno} from ${sent()[0]!.slice(12, 16).join('.')}`
    })
    lines.push(`bind ${address}: ${bound}${sending}`)
  }
  for (const [segmentSize, bytes] of SEGMENTS) {
    const socket = stack.udp.bind({ pathMtuDiscovery: 'probe', segmentSize })
    const errno = socket.trySend(data(bytes), to)
    lines.push(
      [`segments ${segmentSize} ${bytes}:`, errno, ...sent().map(({ length }) => length - 28)].join(' '),
    )
  }
  const socket = stack.udp.bind()
  const calls = [
    socket.trySend(data(1)),
    socket.trySend(data(1), { ...to, port: 0 }),
    socket.trySend(data(65508), to),
    socket.trySend(data(1), { address: '10.9.0.255', port: 9 }),
    errnoOf(() => socket.connect({ address: '10.9.0.255', port: 9 })),
    errnoOf(() => socket.connect({ address: PEER, port: 0 })),
  ]
  lines.push(`calls: ${calls.join(' ')}`)

  const shared = { port: 6000, reuseAddress: true }
  const a = stack.udp.bind(shared)
  const b = stack.udp.bind(shared)
  datagram()
  const first = `shared: ${receives(a)} ${receives(b)}`
  lines.push(`${first} third ${errnoOf(() => stack.udp.bind({ port: 6000 }))}`)
  a.connect({ address: PEER, port: 5000 })
  datagram()
  let line = `peer: ${receives(a)} ${receives(b)}`
  b.connect({ address: PEER, port: 5000 })
  datagram()
  line += ` both ${receives(a)} ${receives(b)}`
  b.close()
  datagram()
  lines.push(`${line} again ${receives(a)}`)
  await bench.end()
  return lines
}

describe('UDP sockets against the kernel’s', function () {
  this.timeout(60_000)
  const bed = useTestbed()

  it('path MTU, errors of ICMP, addresses, segments, shared ports', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tunstack-udp-'))
    try {
      const program = join(folder, 'socket-facts')
      execFileSync('cc', ['-O1', '-Wall', '-o', program, join(import.meta.dirname, 'socket-facts.c')])
      const host = bed.namespace('host')
      host.addTun('tun0', { address: `${HOST}/24` })
      host.ip('address add 10.0.3.1/24 dev lo')
      host.ip(`route add default via ${PEER}`)
      const { stdout, stderr, status } = await host.run([program, 'tun0'], { timeout: 50_000 })
      expect(status, stderr).to.equal(0)
      const kernel = stdout.trim().split('\n')
      const stack = await ofStack()
      expect(stack).to.deep.equal(kernel)
      expect(kernel).to.have.length(36 + 32 + 10 + 7 + 3)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
