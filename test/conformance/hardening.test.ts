import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import fc from 'fast-check'
import {
  formatIpv4Packet,
  MILLISECOND,
  type PingProbe,
  Stack,
  seededRandom,
  VirtualClock,
} from '../../lib/index.ts'
import { Random } from '../../lib/random/random.ts'
import { HOST, HostBench, INNER, LEFT, PEER, RIGHT, RouterBench, useBench } from './harness.ts'
import {
  type Bytes,
  decode,
  echoRequest,
  fragment,
  icmp,
  internetChecksum,
  ipv4,
  pattern,
  tcp,
  udp,
} from './packets.ts'

const TO_HOST = { src: PEER, dst: HOST }

/** Gives a header a checksum that holds for as many bytes as its IHL says, if they are there. */
function mendHeader(packet: Bytes): Bytes {
  const length = Math.min(Math.max(20, (packet[0]! & 15) * 4), packet.length)
  packet[10] = packet[11] = 0
  const check = internetChecksum(packet.subarray(0, length))
  packet[10] = check >>> 8
  packet[11] = check
  return packet
}

describe('hardening-15: every length lies', () => {
  const bench = useBench(() => new HostBench())

  /** Where lengths and offsets are: byte offset, width in bytes, and where the checksum above IP is, if any. */
  const samples: [name: string, packet: Bytes, fields: [at: number, width: number][]][] = [
    [
      'echo request',
      echoRequest({ ...TO_HOST, options: [7, 7, 4, 0, 0, 0, 0, 0] }),
      [
        [0, 1],
        [2, 2],
        [6, 2],
        [21, 1],
        [22, 1],
      ],
    ],
    [
      'timestamp option',
      echoRequest({ ...TO_HOST, options: [0x44, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0] }),
      [
        [0, 1],
        [2, 2],
        [21, 1],
        [22, 1],
        [23, 1],
      ],
    ],
    [
      'source route',
      echoRequest({ ...TO_HOST, options: [0x83, 7, 4, 10, 0, 3, 1, 0] }),
      [
        [0, 1],
        [2, 2],
        [21, 1],
        [22, 1],
      ],
    ],
    [
      'router alert',
      echoRequest({ ...TO_HOST, options: [0x94, 4, 0, 0] }),
      [
        [0, 1],
        [20, 1],
        [21, 1],
        [22, 2],
      ],
    ],
    [
      'UDP',
      udp(TO_HOST, { dport: 7, checksum: 0 }, pattern(20)),
      [
        [0, 1],
        [2, 2],
        [6, 2],
        [24, 2],
      ],
    ],
    [
      'TCP',
      tcp(TO_HOST, { dport: 80 }, pattern(20)),
      [
        [0, 1],
        [2, 2],
        [32, 1],
      ],
    ],
    [
      'timestamp request',
      icmp(TO_HOST, { type: 13 }, pattern(12)),
      [
        [0, 1],
        [2, 2],
      ],
    ],
    [
      'ICMP error',
      icmp(
        TO_HOST,
        { type: 3, code: 4, word: 600 },
        echoRequest({ src: HOST, dst: PEER, options: [7, 7, 4, 0, 0, 0, 0, 0] }).slice(0, 36),
      ),
      [
        [0, 1],
        [2, 2],
        [26, 2],
        [28, 1],
        [30, 2],
        [34, 2],
        [49, 1],
        [50, 1],
      ],
    ],
    [
      'redirect',
      icmp(
        TO_HOST,
        { type: 5, code: 1, word: 0x0a090005 },
        udp({ src: HOST, dst: '192.0.2.1' }, { dport: 9 }),
      ),
      [
        [0, 1],
        [2, 2],
        [28, 1],
        [30, 2],
        [34, 2],
        [52, 2],
      ],
    ],
  ]

  /** Values that have hurt somebody: nothing, too little, off by one, too much, everything. */
  const lies = (width: number, truth: number): number[] => {
    const all =
      width === 1
        ? [0, 1, 2, 3, 4, 5, 19, 20, 40, 41, 64, 127, 128, 254, 255, 0x40, 0x44, 0x4f, 0x5f]
        : [0, 1, 7, 8, 19, 20, 21, 27, 28, 60, 0x1fff, 0x2000, 0x3fff, 0x7fff, 0x8000, 0xfffe, 0xffff]
    return [...new Set([...all, truth - 1, truth + 1])].filter((value) => value >= 0 && value < 256 ** width)
  }

  function lie(packet: Bytes, at: number, width: number, value: number): Bytes {
    const lying = packet.slice()
    if (width === 1) lying[at] = value
    else {
      lying[at] = value >>> 8
      lying[at + 1] = value
    }
    return lying
  }

  /** The checksums hold, so that it is the length that is looked at. */
  function mended(packet: Bytes): Bytes {
    const headerLength = (packet[0]! & 15) * 4
    if (packet[9] === 1 && headerLength >= 20 && headerLength + 4 <= packet.length) {
      packet[headerLength + 2] = packet[headerLength + 3] = 0
      const check = internetChecksum(packet.subarray(headerLength))
      packet[headerLength + 2] = check >>> 8
      packet[headerLength + 3] = check
    }
    return mendHeader(packet)
  }

  /** Whatever it answers is a correct packet, no longer than what it got allows, and nothing is kept. */
  function survives(packet: Bytes): void {
    for (const reply of bench().exchange(bench().tun, packet)) {
      expect(decode(reply).length).to.be.at.most(576 + 40)
    }
    bench().pass(31_000) // what was taken for a fragment goes, and limits recover
    bench().tun.take()
    expect(bench().stack.pool.outstanding).to.equal(0)
  }

  for (const [name, packet, fields] of samples) {
    it(`hardening-15: ${name}: one at a time, and by twos`, () => {
      for (const [at, width] of fields) {
        const truth = width === 1 ? packet[at]! : (packet[at]! << 8) | packet[at + 1]!
        for (const value of lies(width, truth)) {
          const one = lie(packet, at, width, value)
          survives(mended(one.slice()))
          for (const [second, secondWidth] of fields) {
            if (second <= at) continue
            for (const other of [0, 1, 0xff]) survives(mended(lie(one, second, secondWidth, other)))
          }
        }
      }
      bench().expectAlive()
    })

    it(`hardening-15: ${name}: cut off anywhere, with and without the truth about it`, () => {
      for (let length = 0; length < packet.length; length++) {
        survives(packet.slice(0, length))
        if (length < 20) continue
        survives(mended(lie(packet.slice(0, length), 2, 2, length)))
      }
      bench().expectAlive()
    })
  }

  it('hardening-15: all together, at random', () => {
    fc.assert(
      fc.property(
        fc.nat(samples.length - 1),
        fc.array(fc.tuple(fc.nat(7), fc.nat(0xffff)), { minLength: 1, maxLength: 6 }),
        (which, changes) => {
          const [, packet, fields] = samples[which]!
          let lying = packet.slice()
          for (const [field, value] of changes) {
            const [at, width] = fields[field % fields.length]!
            lying = lie(lying, at, width, width === 1 ? value & 0xff : value)
          }
          survives(mended(lying))
        },
      ),
      { numRuns: 300, seed: 15 },
    )
    bench().expectAlive()
  })
})

describe('hardening-16: recursion', () => {
  const bench = useBench(() => new HostBench())

  /** An ICMP error that quotes an ICMP error that quotes … */
  function nested(depth: number): Bytes {
    let packet = udp({ src: HOST, dst: PEER }, { dport: 9 })
    for (let i = 0; i < depth; i++) {
      packet = icmp({ src: i % 2 ? HOST : PEER, dst: i % 2 ? PEER : HOST }, { type: 3, code: 3 }, packet)
    }
    return packet
  }

  it('hardening-16: an error that quotes errors a thousand deep is printed and received in bounded work', () => {
    const deep = nested(1501)
    expect(deep.length).to.be.below(65536)
    const text = formatIpv4Packet(deep, 0, deep.length)
    expect(text.length).to.be.below(4096)
    const pieces: Bytes[] = []
    for (let at = 20; at < deep.length; at += 1480) {
      pieces.push(fragment(deep, deep.slice(at, at + 1480), at - 20, at + 1480 < deep.length))
    }
    expect(bench().exchange(bench().tun, ...pieces)).to.deep.equal([])
    expect(bench().exchange(bench().tun, nested(30))).to.deep.equal([])
    bench().expectAlive()
  })
})

describe('hardening-19: randomness', () => {
  it('hardening-19: Math.random() is nowhere in lib', () => {
    const lib = join(import.meta.dirname, '../../lib')
    const files = readdirSync(lib, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.ts'),
    )
    expect(files.length).to.be.greaterThan(80)
    for (const file of files) {
      const code = readFileSync(join(lib, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')
      expect(code, file).to.not.match(/Math\s*\.\s*random|Math\s*\[/)
    }
  })

  it('hardening-19: what was handed out is not kept, and every word comes from the source', () => {
    let calls = 0
    const source = {
      fill(bytes: Uint8Array<ArrayBuffer>): void {
        calls++
        seededRandom(calls).fill(bytes)
      },
    }
    const random = new Random(source)
    const drawn = Array.from({ length: 640 }, () => random.int32())
    expect(calls).to.equal(10)
    expect(new Set(drawn).size).to.equal(640)
    const again = new Uint8Array(256)
    seededRandom(1).fill(again)
    expect(drawn[0]).to.equal(new Int32Array(again.buffer)[0])
  })

  it('hardening-19: two stacks share neither identifiers, nor identifications, nor ports', async () => {
    const seen = (seed: number): number[] => {
      const bench = new HostBench({ random: seededRandom(seed) })
      void bench.stack.ping(PEER, { timeout: 1 })
      bench.settle()
      const port = bench.stack.udp.bind({ onMessage: () => {} }).port
      const id = decode(bench.exchange(bench.tun, echoRequest(TO_HOST)).pop()!).id
      const identifier = bench.stack.mib.get('IcmpOutEchos') // one was sent
      expect(identifier).to.equal(1)
      return [port, id]
    }
    const a = seen(1)
    const b = seen(2)
    expect(a).to.deep.equal(seen(1))
    expect(a[0]).to.not.equal(b[0])
    expect(a[1]).to.not.equal(b[1])
  })
})

describe('hardening-22: a flood starves nobody', () => {
  it('hardening-22: work that goes round loopback is cut into turns: timers fire and sockets are served between', async () => {
    // A default route through lo on a router: a packet that comes in goes round until its TTL is spent.
    const bench = new HostBench()
    const { stack, clock, tun } = bench
    stack.sysctlSet('net.ipv4.ip_forward', 1)
    stack.routes.replace('default dev lo')
    const budget = stack.softirq.budget
    const loops = Array.from({ length: 64 }, (_, i) =>
      udp({ src: PEER, dst: `203.0.113.${i}`, ttl: 255 }, { dport: 9 }),
    )
    const before = stack.loopback.stats.rxPackets
    tun.push(...loops)
    // One turn of the event loop has done one budget's worth, give or take a burst.
    expect(stack.loopback.stats.rxPackets - before).to.be.at.most(budget + 128)
    // What falls due meanwhile has its turn before the flood is over.
    const done: number[] = []
    const look = (): void => {
      done.push(stack.loopback.stats.rxPackets)
      if (done.length < 20) clock.soon(look)
    }
    clock.soon(look)
    bench.settle()
    const whole = stack.loopback.stats.rxPackets
    expect(whole).to.be.greaterThan(64 * 250)
    expect(done.filter((packets) => packets < whole)).to.have.length(20)
    const steps = done.slice(1).map((packets, i) => packets - done[i]!)
    expect(Math.max(...steps)).to.be.at.most(budget + 128)
    await bench.end()
  })

  it('hardening-22: while packets go round lo, an echo request from the wire is answered within a turn or two', async () => {
    const bench = new HostBench()
    const { stack, tun, clock } = bench
    stack.sysctlSet('net.ipv4.ip_forward', 1)
    stack.routes.add('203.0.113.0/24 dev lo')
    tun.push(
      ...Array.from({ length: 64 }, () => udp({ src: PEER, dst: '203.0.113.1', ttl: 255 }, { dport: 9 })),
    )
    tun.take()
    // The flood still has work waiting; the request is handled in the burst that it comes in.
    expect(clock.untilNext()).to.equal(0)
    tun.push(echoRequest(TO_HOST))
    expect(
      tun
        .take()
        .map(decode)
        .filter(({ icmp }) => icmp?.type === 0),
    ).to.have.length(1)
    bench.settle()
    await bench.end()
  })

  it('hardening-22: pings keep their rhythm under a flood', async () => {
    const bench = new HostBench()
    const { stack, tun, clock } = bench
    tun.onSend = (packet) => {
      if (packet[20] !== 8) return
      const { src, dst } = decode(packet)
      clock.soon(() => tun.push(answer(packet, src, dst)))
    }
    const flood = Array.from({ length: 64 }, (_, i) => echoRequest({ src: `10.9.1.${i}`, dst: INNER }))
    const result = stack.ping(PEER, { count: 20, interval: 10 })
    for (let ms = 0; ms < 250; ms++) {
      tun.push(...flood)
      bench.pass(1)
      tun.take()
    }
    const { received, rtt, time } = await result
    expect(received).to.equal(20)
    expect(rtt!.max).to.be.at.most(1)
    expect(time).to.be.within(190, 195)
    await bench.end()
  })

  function answer(request: Bytes, src: string, dst: string): Bytes {
    const { icmp: message } = decode(request)
    const word = ((message!.identifier << 16) | message!.sequence) >>> 0
    return icmp({ src: dst, dst: src }, { type: 0, word }, message!.data)
  }
})

describe('hardening-24: keys that the wire chooses', () => {
  it('hardening-24: addresses that collide under one secret do not under another', async () => {
    // The identification table is keyed: which two peers share a counter depends on the stack's secret.
    const shares = (seed: number): string => {
      const bench = new HostBench({ random: seededRandom(seed) })
      const ids = Array.from({ length: 64 }, (_, i) => {
        return decode(bench.exchange(bench.tun, echoRequest({ src: `10.9.3.${i}`, dst: HOST }))[0]!).id
      })
      return ids.join()
    }
    expect(shares(1)).to.not.equal(shares(2))
    expect(shares(3)).to.equal(shares(3))
  })

  it('hardening-24: no plain object is keyed by what comes from the wire', () => {
    const lib = join(import.meta.dirname, '../../lib')
    for (const folder of ['ipv4', 'udp', 'ping', 'demux', 'route', 'packet']) {
      for (const file of readdirSync(join(lib, folder))) {
        const code = readFileSync(join(lib, folder, file), 'utf8')
        expect(code, `${folder}/${file}`).to.not.match(/Record<(number|Ipv4Address),|Object\.create\(null\)/)
      }
    }
  })

  it('hardening-24: state about senders is bounded: thousands of them leave no more than the tables hold', async () => {
    const bench = new RouterBench()
    const { left } = bench
    bench.stack.routes.add('192.0.2.0/24 via 10.1.0.254 dev left')
    for (let i = 0; i < 8000; i++) {
      const src = `10.1.${(i >>> 8) & 127}.${i & 255}`
      left.push(udp({ src, dst: '203.0.113.1' }, { dport: 9 }), udp({ src, dst: '192.0.2.1' }, { dport: 9 }))
      left.sent.length = 0
    }
    expect(bench.stack.pool.outstanding).to.equal(0)
    bench.pass(60_000)
    bench.expectAlive()
    await bench.end()
  })
})

describe('hardening-25: unknown bits', () => {
  const bench = useBench(() => new HostBench())

  it('hardening-25: reserved flag, ECN, unknown options, unknown ICMP codes: a packet is answered all the same', () => {
    const odd = [
      echoRequest({ ...TO_HOST, rf: true, tos: 3 }),
      echoRequest({ ...TO_HOST, options: [0x9f, 4, 1, 1, 0x5e, 8, 0, 0, 0, 0, 0, 0] }),
      echoRequest(TO_HOST, { code: 77 }),
    ]
    bench().expect(bench().tun, odd, [
      { icmp: { type: 0 }, tos: 3 },
      { icmp: { type: 0 } },
      { icmp: { type: 0, code: 77 } },
    ])
  })
})

describe('memory that is short', () => {
  /** Everything that needs a packet at all, one after the other, with `spare` packets left in the pool. */
  for (const spare of [0, 1, 2, 3]) {
    it(`a host with ${spare} packets to spare loses packets, and no memory`, async () => {
      const bench = new HostBench({ packetMemory: 2048 * 64 })
      const { stack, tun } = bench
      const hoard = Array.from({ length: 64 - spare }, () => stack.pool.allocate(100)!)
      expect(hoard.every((packet) => packet !== null)).to.equal(true)
      const endpoint = stack.udp.bind({
        port: 7,
        onMessage: ({ data, port }) => endpoint.send(data, { address: '10.9.0.1', port }),
      })
      const packets = [
        echoRequest(TO_HOST),
        udp(TO_HOST, { dport: 9 }),
        udp(TO_HOST, { dport: 7 }, pattern(1400)),
        ipv4({ ...TO_HOST, protocol: 99 }, pattern(20)),
        icmp(TO_HOST, { type: 13 }, pattern(12)),
        echoRequest({ ...TO_HOST, options: [7, 7, 4, 0, 0, 0, 0, 0] }),
        echoRequest({ ...TO_HOST, options: [7, 2, 4, 0] }),
        fragment(echoRequest(TO_HOST), pattern(64), 0, true),
        fragment(echoRequest(TO_HOST), pattern(1400), 64, false),
      ]
      const probes: PingProbe[] = []
      for (let round = 0; round < 3; round++) {
        for (const packet of packets) {
          for (const reply of bench.exchange(tun, packet)) decode(reply)
        }
        for (const to of [PEER, INNER, '127.0.0.1', '224.0.0.1', '10.9.0.255']) {
          void stack.ping(to, {
            size: 3000,
            timeout: 10,
            broadcast: true,
            onProbe: (probe) => probes.push(probe),
          })
          void stack.ping(to, {
            size: 10,
            timeout: 10,
            broadcast: true,
            onProbe: (probe) => probes.push(probe),
          })
          bench.settle()
        }
        bench.pass(40_000)
        expect(stack.pool.outstanding).to.equal(hoard.length)
        tun.take()
      }
      expect(probes).to.have.length(30)
      expect(stack.pool.exhausted).to.be.greaterThan(0)
      for (const packet of hoard) packet.free()
      bench.expectAlive()
      await bench.end()
    })

    it(`a router with ${spare} packets to spare forwards or drops, and loses no memory`, async () => {
      const bench = new RouterBench({ packetMemory: 2048 * 64, rightMtu: 576 })
      const { stack } = bench
      const hoard = Array.from({ length: 64 - spare }, () => stack.pool.allocate(100)!)
      const packets = [
        udp({ src: LEFT, dst: RIGHT }, { dport: 9 }, pattern(1400)),
        udp({ src: LEFT, dst: RIGHT, df: true }, { dport: 9 }, pattern(1400)),
        udp({ src: LEFT, dst: RIGHT, ttl: 1 }, { dport: 9 }),
        udp({ src: LEFT, dst: '192.0.2.1' }, { dport: 9 }),
        udp({ src: LEFT, dst: RIGHT, options: [7, 7, 4, 0, 0, 0, 0, 0] }, { dport: 9 }, pattern(900)),
      ]
      for (let round = 0; round < 3; round++) {
        const { right, left } = bench.forward(...packets)
        for (const packet of concatAll(right, left)) decode(packet)
        expect(stack.pool.outstanding).to.equal(hoard.length)
      }
      for (const packet of hoard) packet.free()
      bench.pass(10_000)
      bench.expectAlive()
      await bench.end()
    })
  }

  it('memory that was cut into large slabs serves small packets too, once it is free', async () => {
    const bench = new HostBench({ packetMemory: 66560 * 8 })
    const { pool } = bench.stack
    const large = Array.from({ length: 8 }, () => pool.allocate(60_000)!)
    expect(pool.allocate(100)).to.equal(null)
    for (const packet of large) packet.free()
    bench.expectAlive()
    await bench.end()
  })

  it('a device that takes nothing: its queue is bounded, and emptied when it goes down', async () => {
    const bench = new HostBench()
    const { stack, tun } = bench
    tun.blocked = true
    for (let i = 0; i < 30; i++) tun.push(...Array.from({ length: 64 }, () => echoRequest(TO_HOST)))
    bench.settle()
    expect(stack.pool.outstanding).to.equal(tun.txQueueLength)
    expect(stack.interface('tun0').stats.txDropped).to.equal(30 * 64 - tun.txQueueLength)
    expect(bench.count('IpOutDiscards')).to.equal(30 * 64 - tun.txQueueLength)
    tun.release()
    expect(tun.take()).to.have.length(tun.txQueueLength)
    tun.blocked = true
    tun.push(echoRequest(TO_HOST))
    stack.interface('tun0').down()
    expect(stack.pool.outstanding).to.equal(0)
    tun.blocked = false
    stack.interface('tun0').up()
    bench.expectAlive()
    await bench.end()
  })
})

const concatAll = (...lists: Bytes[][]): Bytes[] => lists.flat()

describe('clocks', () => {
  it('a stack that starts long after its clock does not stumble over the time', async () => {
    const clock = new VirtualClock()
    clock.advance(100 * 86_400e9)
    const stack = new Stack({ clock, random: seededRandom(4) })
    const result = stack.ping('127.0.0.1', { count: 2, interval: 10 })
    clock.advance(20 * MILLISECOND)
    expect((await result).received).to.equal(2)
    await stack.close()
  })
})
