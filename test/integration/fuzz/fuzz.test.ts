/**
 * Some seconds of damaged packets, from the kernel through a TUN into a stack that routes, reassembles, answers and
 * pings meanwhile. It has to take every one of them, go on answering, and give back all of its memory.
 *
 * Each run has its own seed; `TUNSTACK_FUZZ_SEED` and `TUNSTACK_FUZZ_BURST` repeat one, `TUNSTACK_FUZZ_SECONDS` sets
 * how long it takes.
 */
import { execFileSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { type Namespace, type Process, parsePing, useTestbed } from '../netns.ts'
import type { MemoryReport } from '../tools/stack-config.ts'
import { StackProcess } from '../tools/stack-process.ts'
import { BURST_PACKETS, PacketFuzzer } from './packet-fuzzer.ts'

const SOURCE = fileURLToPath(new URL('./send-packets.c', import.meta.url))
const { TUNSTACK_FUZZ_SEED, TUNSTACK_FUZZ_BURST = '0', TUNSTACK_FUZZ_SECONDS = '12' } = process.env
const seed = TUNSTACK_FUZZ_SEED === undefined ? randomInt(2 ** 31) : Number(TUNSTACK_FUZZ_SEED)
const firstBurst = Number(TUNSTACK_FUZZ_BURST)
const duration = Number(TUNSTACK_FUZZ_SECONDS) * 1000

/** Bursts that are on their way at once; the TUN holds as many packets, and more. */
const WINDOW = 8
/** Of the duration: caches are full and code is compiled by then. */
const WARM_UP = 0.4
const MEGABYTE = 1 << 20

/** What packets of all kinds come to: were one of these 0, they would not be what they are meant to be. */
const REACHED = [
  ...[
    'IpForwDatagrams',
    'IpReasmOKs',
    'IpReasmTimeout',
    'IpFragCreates',
    'IpFragFails',
    'IpExtReasmOverlaps',
  ],
  ...['IcmpInDestUnreachs', 'IcmpInRedirects', 'IcmpOutParmProbs', 'IcmpOutTimeExcds', 'IcmpOutRedirects'],
  ...[
    'IcmpOutTimestampReps',
    'UdpInDatagrams',
    'UdpNoPorts',
    'UdpInErrors',
    'IpExtInBcastPkts',
    'IpExtInMcastPkts',
  ],
  ...['DropIP_CSUM', 'DropIP_INHDR', 'DropPKT_TOO_SMALL', 'DropIP_LOCAL_SOURCE', 'DropIP_INVALID_SOURCE'],
  ...[
    'DropIP_INVALID_DEST',
    'DropIP_LOCALNET',
    'DropIP_NOPROTO',
    'DropIP_TTL',
    'DropFRAG_OVERLAP',
    'DropFRAG_TOO_FAR',
  ],
]

/** Hands bursts to the program that sends them. */
class Sender {
  /** Packets that the kernel took. */
  sent = 0
  readonly #process: Process
  #bursts = 0

  constructor(process: Process) {
    this.#process = process
  }

  async send(bursts: readonly (readonly Uint8Array[])[]): Promise<void> {
    const packets = bursts.flatMap((burst) => [...burst, new Uint8Array(0)])
    const bytes = Buffer.alloc(packets.reduce((sum, packet) => sum + 2 + packet.length, 0))
    let at = 0
    for (const packet of packets) {
      at = bytes.writeUInt16BE(packet.length, at)
      bytes.set(packet, at)
      at += packet.length
    }
    this.#bursts += bursts.length
    this.#process.write(bytes)
    const [, total] = await this.#process.waitFor(new RegExp(`^${this.#bursts} (\\d+)\n`, 'm'))
    this.sent = Number(total)
  }
}

describe('fuzzed bursts', function () {
  this.timeout(duration + 60_000)
  const bed = useTestbed()
  const folder = mkdtempSync(join(tmpdir(), 'tunstack-fuzz-'))
  let host: Namespace
  let stack: StackProcess
  let sender: Sender
  /** The first burst since everything was known to be well. */
  let suspect = firstBurst
  let burst = firstBurst

  after(() => rmSync(folder, { recursive: true }))

  before(async () => {
    const program = join(folder, 'send-packets')
    execFileSync('cc', ['-O2', '-o', program, SOURCE])
  })

  async function start(): Promise<void> {
    host = bed.namespace('host')
    stack = await StackProcess.start(
      host,
      {
        tuns: [
          { name: 'tun0', kernel: '10.9.0.1/24', address: '10.9.0.2/24' },
          { name: 'tun1', kernel: '10.8.0.1/24', address: '10.8.0.2/24', mtu: 1280 },
        ],
        lo: ['10.0.3.110/24'],
        routes: ['default via 10.8.0.1 dev tun1', 'unreachable 10.5.0.0/24'],
        sysctl: {
          'net.ipv4.ip_forward': 1,
          'net.ipv4.icmp_echo_ignore_broadcasts': 0,
          'net.ipv4.icmp_ratelimit': 0,
          'net.ipv4.ipfrag_time': 1,
        },
        udpEcho: 7,
      },
      ['--expose-gc'],
    )
    host.ip(`link set tun0 txqueuelen ${2 * WINDOW * BURST_PACKETS}`)
    sender = new Sender(await host.start([join(folder, 'send-packets'), 'tun0'], { ready: /^ready\n/ }))
  }

  /** Fuzzes for so many ms; each window of bursts has to be received before the next begins. */
  async function fuzz(ms: number): Promise<void> {
    const fuzzer = new PacketFuzzer(seed)
    for (const end = Date.now() + ms; Date.now() < end; suspect = burst) {
      const before = await stack.call('received')
      const sentBefore = sender.sent
      await sender.send(Array.from({ length: WINDOW }, () => fuzzer.burst(burst++)))
      const sent = sender.sent - sentBefore
      for (let patience = 500; (await stack.call('received')) - before < sent; patience--) {
        if (patience === 0) throw new Error('the stack does not take what was sent')
        await sleep(10)
      }
    }
  }

  async function settled(outstanding: number): Promise<MemoryReport> {
    for (let patience = 40; ; patience--) {
      const memory = await stack.call('memory')
      if (memory.outstanding <= outstanding || patience === 0) return memory
      await sleep(100)
    }
  }

  it(`hardening: ${duration / 1000} s of them leave the stack answering and its memory as it was`, async () => {
    await start()
    try {
      const idle = await stack.call('memory')
      // From an address that no forged packet has: a reply to one of those could be taken for ping's own.
      host.ip('addr add 10.77.0.1/32 dev lo')
      const ping = await host.start('ping -q -i 0.05 -W 1 -I 10.77.0.1 10.9.0.2')
      const pinging = stack.call('ping', '10.9.0.1', {
        count: Math.ceil(duration / 60),
        interval: 50,
        timeout: 2000,
      })

      await fuzz(duration * WARM_UP)
      const warm = await stack.call('memory')
      await fuzz(duration * (1 - WARM_UP))
      const { received, transmitted } = parsePing((await ping.stop('SIGINT')).stdout)
      const result = await pinging
      const end = await settled(idle.outstanding)

      expect(sender.sent).to.be.greaterThan((duration / 1000) * 1000)
      expect(received / transmitted, 'replies to the kernel').to.be.greaterThan(0.99)
      expect(result.received / result.transmitted, 'replies to the stack').to.be.greaterThan(0.99)
      const counters = await stack.call('counters')
      for (const name of REACHED)
        expect(counters, `${name}: the packets don’t get there`).to.have.property(name).above(0)
      expect(end.outstanding).to.equal(idle.outstanding)
      expect(end.exhausted).to.equal(0)
      expect(end.heapUsed - warm.heapUsed).to.be.lessThan(4 * MEGABYTE)
      expect(end.external - warm.external).to.be.lessThan(8 * MEGABYTE)
      expect(end.rss - warm.rss).to.be.lessThan(32 * MEGABYTE)

      const { stdout } = await host.run('ping -f -q -c 1000 10.9.0.2')
      expect(parsePing(stdout)).to.include({ received: 1000, duplicates: 0, corrupted: 0 })
      const large = await host.run('ping -q -c 3 -i 0.02 -s 65507 10.9.0.2')
      expect(parsePing(large.stdout).received).to.equal(3)
      expect(await stack.call('close')).to.equal(0)
      expect(await stack.process.finish(5000)).to.include({ status: 0, stderr: '' })
    } catch (error) {
      const settings = `TUNSTACK_FUZZ_SEED=${seed} TUNSTACK_FUZZ_BURST=${suspect}`
      throw new Error(
        `${(error as Error).message}\nIt was well until burst ${suspect}; the last one was ${burst - 1}. To repeat them:\n` +
          `  ${settings} npm test -- test/integration/fuzz/fuzz.test.ts\n` +
          `To repeat all: the same without TUNSTACK_FUZZ_BURST.`,
        { cause: error },
      )
    }
  })
})
