import { expect } from 'chai'
import fc from 'fast-check'
import { Reassembly } from '../../lib/ipv4/reassembly.ts'
import { MAX_RUNS } from '../../lib/ipv4/reassembly-queue.ts'
import { IpExtMib, IpMib, Mib } from '../../lib/observe/mib.ts'
import { Checksum, type Packet } from '../../lib/packet/packet.ts'
import { PacketPool } from '../../lib/packet/packet-pool.ts'
import { HalfSipHash } from '../../lib/random/siphash.ts'
import { SECOND } from '../../lib/time/clock.ts'
import { checksum } from '../../lib/wire/checksum.ts'
import { DropReason } from '../../lib/wire/drop-reason.ts'

interface Fields {
  id?: number
  source?: number
  tos?: number
  ttl?: number
  df?: boolean
  options?: number[]
  protocol?: number
}

/** One fragment: payload bytes [start, start + data.length) of a datagram. */
function fragment(start: number, more: boolean, data: Uint8Array, fields: Fields = {}): Uint8Array {
  const { id = 1, source = 0x0a000002, tos = 0, ttl = 64, df = false, options = [], protocol = 1 } = fields
  const header = 20 + options.length
  const bytes = new Uint8Array(header + data.length)
  const view = new DataView(bytes.buffer)
  bytes[0] = 0x40 | (header / 4)
  bytes[1] = tos
  view.setUint16(2, bytes.length)
  view.setUint16(4, id)
  view.setUint16(6, (start >> 3) | (more ? 0x2000 : 0) | (df ? 0x4000 : 0))
  bytes[8] = ttl
  bytes[9] = protocol
  view.setInt32(12, source)
  view.setInt32(16, 0x0a000001)
  bytes.set(options, 20)
  bytes.set(data, header)
  view.setUint16(10, checksum(bytes, 0, header))
  return bytes
}

function payload(length: number, salt = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) * 7 + salt) & 255)
}

/** The datagram cut at the given offsets. */
function cut(data: Uint8Array, cuts: number[], fields: Fields = {}): Uint8Array[] {
  return [0, ...cuts].map((start, i) => {
    const end = cuts[i] ?? data.length
    return fragment(start, end < data.length, data.subarray(start, end), fields)
  })
}

function every(size: number, length: number): number[] {
  return Array.from({ length: Math.ceil(length / size) - 1 }, (_, i) => (i + 1) * size)
}

function setUp(overrides: { high?: number; low?: number; distance?: number; limit?: number } = {}) {
  const pool = new PacketPool(overrides.limit === undefined ? {} : { limit: overrides.limit })
  const mib = new Mib()
  const drops = new Map<number, number>()
  const timedOut: Uint8Array[] = []
  const sysctl = {
    ipfrag_high_thresh: overrides.high ?? 4 << 20,
    ipfrag_low_thresh: overrides.low ?? 3 << 20,
    ipfrag_time: 30,
    ipfrag_max_dist: overrides.distance ?? 64,
  }
  const reassembly = new Reassembly({
    pool,
    hash: new HalfSipHash(1, 2),
    sysctl,
    mib,
    drop(packet, reason) {
      drops.set(reason, (drops.get(reason) ?? 0) + 1)
      packet.free()
    },
    timedOut(first) {
      timedOut.push(first.toUint8Array())
      first.free()
    },
  })
  let now = 0
  const deliver = (bytes: Uint8Array, prepare?: (packet: Packet) => void): Packet | null => {
    const packet = pool.from(bytes)!
    prepare?.(packet)
    return reassembly.insert(packet, now)
  }
  /** Delivers all; gives the datagrams that came out. */
  const run = (fragments: Uint8Array[]): Uint8Array[] => {
    const results: Uint8Array[] = []
    for (const bytes of fragments) {
      const packet = deliver(bytes)
      if (packet === null) continue
      results.push(packet.toUint8Array())
      packet.free()
    }
    return results
  }
  /** Lets time pass and checks that nothing is left. */
  const finish = (): void => {
    expect(reassembly.expire(now + 31 * SECOND)).to.equal(Infinity)
    expect(reassembly.memory).to.equal(0)
    expect(reassembly.length).to.equal(0)
    expect(pool.outstanding).to.equal(0)
  }
  return {
    pool,
    mib,
    drops,
    timedOut,
    sysctl,
    reassembly,
    deliver,
    run,
    finish,
    ip: (name: keyof typeof IpMib) => mib.ip[IpMib[name]],
    advance: (duration: number) => {
      now += duration
      return reassembly.expire(now)
    },
  }
}

function expectDatagram(results: Uint8Array[], data: Uint8Array): void {
  expect(results.length).to.equal(1)
  const bytes = results[0]!
  const header = (bytes[0]! & 15) * 4
  expect(bytes.subarray(header)).to.deep.equal(data)
  expect((bytes[2]! << 8) | bytes[3]!).to.equal(bytes.length)
  expect(((bytes[6]! << 8) | bytes[7]!) & 0x3fff).to.equal(0)
  expect(checksum(bytes, 0, header)).to.equal(0)
}

describe('Reassembly', () => {
  const data = payload(3000)
  const three = () => cut(data, [1000, 2000])

  it('frag-inorder, ip-emtur: in order', () => {
    const t = setUp()
    expectDatagram(t.run(three()), data)
    expect([t.ip('ReasmReqds'), t.ip('ReasmOKs'), t.ip('ReasmFails')]).to.deep.equal([3, 1, 0])
    expect(t.reassembly.memory).to.equal(0)
    expectDatagram(t.run(cut(payload(556), [256, 512])), payload(556))
    t.finish()
  })

  it('frag-reverse: last first', () => {
    const t = setUp()
    expectDatagram(t.run(three().reverse()), data)
    t.finish()
  })

  it('frag-shuffle: pieces of 136', () => {
    const t = setUp()
    const pieces = cut(data, every(136, 3000))
    const shuffled = pieces.map((_, i) => pieces[(i * 7) % pieces.length]!)
    expect(new Set(shuffled).size).to.equal(pieces.length)
    expectDatagram(t.run(shuffled), data)
    t.finish()
  })

  it('frag-tiny: 184 fragments of 8 bytes, which share slabs when in order or in reverse', () => {
    const small = payload(1472)
    for (const reverse of [false, true]) {
      const t = setUp()
      const pieces = cut(small, every(8, 1472))
      expect(pieces.length).to.equal(184)
      if (reverse) pieces.reverse()
      const last = pieces.pop()!
      expect(t.run(pieces)).to.deep.equal([])
      expect(t.reassembly.memory).to.be.at.most(reverse ? 12 * 2048 : 2048 + 512)
      expectDatagram(t.run([last]), small)
      t.finish()
    }
  })

  it('frag-dup: an exact duplicate is dropped, the datagram stays', () => {
    const t = setUp()
    const [a, b, c] = three()
    expectDatagram(t.run([a!, b!, b!, a!, c!]), data)
    expect(t.drops.get(DropReason.DUP_FRAG)).to.equal(2)
    expect(t.ip('ReasmFails')).to.equal(0)
    t.finish()
  })

  it('frag-interleave, frag-key-src: datagrams are told apart by id, source, protocol', () => {
    const t = setUp()
    const other = payload(3000, 99)
    for (const fields of [{ id: 2 }, { source: 0x0a000003 }, { protocol: 17 }]) {
      const second = cut(other, [1000, 2000], fields)
      const results = t.run(three().flatMap((piece, i) => [piece, second[i]!]))
      expectDatagram(results.slice(0, 1), data)
      expectDatagram(results.slice(1), other)
    }
    t.finish()
  })

  it('frag-overlap, frag-overlap-subset, hardening-8: the datagram goes, and what still comes of it', () => {
    const wrong = new Uint8Array(1000).fill(0x5a)
    const attacks = [
      [cut(data, [1000, 2000])[0]!, fragment(504, true, wrong), ...three()],
      [fragment(512, true, data.subarray(512, 768)), ...three()],
      [...three().slice(0, 2), fragment(1000, true, wrong), ...three()],
      [...three().slice(0, 2), fragment(504, true, wrong), ...three()],
    ]
    for (const attack of attacks) {
      const t = setUp()
      expect(t.run(attack)).to.deep.equal([])
      expect(t.mib.ipExt[IpExtMib.ReasmOverlaps]).to.equal(1)
      expect(t.ip('ReasmFails')).to.equal(1)
      expect(t.reassembly.length).to.equal(1)
      expect(t.pool.outstanding).to.equal(0)
      expect(t.advance(29 * SECOND)).to.equal(30 * SECOND)
      expect(t.run(three())).to.deep.equal([])
      t.advance(SECOND)
      expect(t.reassembly.length).to.equal(0)
      expect(t.ip('ReasmTimeout')).to.equal(0)
      expectDatagram(t.run(three()), data)
      t.finish()
    }
  })

  it('ip-reass-replace: what repeats the same bytes within what is there is a duplicate', () => {
    const t = setUp()
    const [a, b, c] = three()
    expectDatagram(t.run([a!, b!, fragment(504, true, data.subarray(504, 1504)), c!]), data)
    t.finish()
  })

  it('frag-pingofdeath: a fragment that ends past 65535 costs the datagram', () => {
    const t = setUp()
    const pieces = cut(payload(65504), every(1400, 65504))
    pieces.pop()
    t.run(pieces)
    t.run([fragment(64400, false, payload(1400))])
    expect(t.ip('ReasmFails')).to.equal(1)
    expect(t.ip('ReasmOKs')).to.equal(0)
    expect(t.pool.outstanding).to.equal(0)
    expect(t.run([fragment(65528, false, payload(100), { id: 5 })])).to.deep.equal([])
    t.finish()
  })

  it('takes the largest datagram there is', () => {
    const t = setUp()
    const big = payload(65515)
    expectDatagram(t.run(cut(big, every(1480, 65515))), big)
    expectDatagram(t.run(cut(big, every(48, 65515)).reverse()), big)
    t.finish()
  })

  it('refuses a total over 65535 that only the longer header of the first fragment makes', () => {
    const t = setUp()
    const big = payload(65512)
    const pieces = cut(big, every(1480, 65512))
    pieces[0] = fragment(0, true, big.subarray(0, 1480), { options: [1, 1, 1, 0] })
    expect(t.run(pieces)).to.deep.equal([])
    expect(t.ip('ReasmFails')).to.equal(1)
    t.finish()
  })

  it('frag-zero-len: fragments without data cost the datagram, which may be sent again', () => {
    const t = setUp()
    const [a] = three()
    expect(t.run([a!, fragment(1000, true, new Uint8Array(0))])).to.deep.equal([])
    expect(t.ip('ReasmFails')).to.equal(1)
    expectDatagram(t.run(three()), data)
    t.finish()
  })

  it('frag-two-ends: two ends cost the datagram', () => {
    const t = setUp()
    const [a, b, c] = three()
    expect(t.run([c!, fragment(2000, false, data.subarray(2000, 2500)), a!, b!, c!])).to.deep.equal([])
    const beyond = [
      fragment(2000, false, data.subarray(2000), { id: 9 }),
      fragment(3000, true, payload(8), { id: 9 }),
    ]
    expect(t.run(beyond)).to.deep.equal([])
    expect(t.ip('ReasmFails')).to.equal(2)
    t.finish()
  })

  it('cuts a middle fragment down to a multiple of 8, as Linux does', () => {
    const t = setUp()
    const [, b, c] = three()
    expectDatagram(t.run([fragment(0, true, data.subarray(0, 1003)), b!, c!]), data)
    t.finish()
  })

  it('ip-frag-ttl: the header is that of the first fragment, options too', () => {
    const t = setUp()
    const options = [148, 4, 0, 0]
    const results = t.run([
      fragment(2000, false, data.subarray(2000), { ttl: 9, tos: 0x40 }),
      fragment(0, true, data.subarray(0, 1000), { ttl: 33, tos: 0x10, options }),
      fragment(1000, true, data.subarray(1000, 2000), { ttl: 7, tos: 0x20 }),
    ])
    expectDatagram(results, data)
    expect([results[0]![8], results[0]![1], ...results[0]!.subarray(20, 24)]).to.deep.equal([
      33,
      0x10,
      ...options,
    ])
    t.finish()
  })

  it('combines ECN as RFC 3168 §5.3 has it', () => {
    for (const [marks, expected] of [
      [[0, 0, 0], 0],
      [[2, 3, 2], 3],
      [[1, 2, 1], 1],
      [[3, 3, 3], 3],
      [[1, 2, 3], 3],
      [[0, 3, 0], null],
      [[0, 2, 0], null],
      [[0, 1, 0], null],
    ] as const) {
      const t = setUp()
      const results = t.run(
        marks.map((tos, i) => fragment(i * 1000, i < 2, data.subarray(i * 1000, i * 1000 + 1000), { tos })),
      )
      if (expected === null) {
        expect(results).to.deep.equal([])
        expect(t.ip('ReasmFails')).to.equal(1)
      } else {
        expectDatagram(results, data)
        expect(results[0]![1]).to.equal(expected)
      }
      t.finish()
    }
  })

  it('remembers the largest fragment, and DF if that had it', () => {
    for (const [dfOf, expected] of [
      [[true, true, true], 0x40],
      [[true, false, false], 0x40],
      [[false, true, false], 0],
      [[false, false, false], 0],
    ] as const) {
      const t = setUp()
      const pieces = [0, 1008, 2000].map((start, i) =>
        fragment(start, i < 2, data.subarray(start, [1008, 2000, 3000][i]), { df: dfOf[i]! }),
      )
      let result: Packet | null = null
      for (const piece of pieces) result = t.deliver(piece) ?? result
      expect(result!.fragMaxSize).to.equal(1028)
      expect(result!.ignoreDf).to.equal(true)
      expect(result!.bytes[result!.networkHeader + 6]).to.equal(expected)
      result!.free()
      t.finish()
    }
  })

  it('carries mark and type of the first fragment, device and route of the latest', () => {
    const t = setUp()
    const device = { ifindex: 4, name: 'tun1' }
    const destination = { family: 4 } as const
    const [a, b, c] = three()
    t.deliver(a!, (packet) => {
      packet.mark = 5
      packet.type = 1
      packet.checksum = Checksum.UNNECESSARY
    })
    t.deliver(b!, (packet) => {
      packet.checksum = Checksum.UNNECESSARY
    })
    const result = t.deliver(c!, (packet) => {
      packet.mark = 6
      packet.iif = 4
      packet.device = device
      packet.destination = destination
      packet.checksum = Checksum.UNNECESSARY
    })!
    expect([result.mark, result.type, result.iif, result.checksum]).to.deep.equal([
      5,
      1,
      4,
      Checksum.UNNECESSARY,
    ])
    expect([result.device, result.destination]).to.deep.equal([device, destination])
    expect(result.networkHeader).to.equal(result.start)
    expect(result.transportHeader).to.equal(result.start + 20)
    expect(result.next).to.equal(null)
    result.free()
    t.finish()
  })

  it('frag-timeout-nofirst: time runs from the first to arrive; only with offset 0 there is something to report', () => {
    const t = setUp()
    const [a, b, c] = three()
    t.run([b!])
    expect(t.advance(20 * SECOND)).to.equal(30 * SECOND)
    t.run([c!])
    expect(t.advance(10 * SECOND - 1)).to.equal(30 * SECOND)
    expect(t.advance(1)).to.equal(Infinity)
    expect(t.timedOut).to.deep.equal([])
    expect([t.ip('ReasmTimeout'), t.ip('ReasmFails')]).to.deep.equal([1, 1])
    expect(t.drops.get(DropReason.FRAG_REASM_TIMEOUT)).to.equal(2)
    // Small enough for the second to be copied in behind the first: the report shows the first as it came.
    const first = fragment(0, true, data.subarray(0, 64))
    t.run([first, fragment(64, true, data.subarray(64, 128))])
    t.advance(30 * SECOND)
    expect(t.timedOut).to.deep.equal([first])
    t.run([a!])
    t.sysctl.ipfrag_time = 1
    t.advance(SECOND)
    expect(t.timedOut.length).to.equal(2)
    t.finish()
  })

  it('starts anew once more than ipfrag_max_dist fragments of the sender came between', () => {
    for (const [between, expected] of [
      [63, 1],
      [64, 0],
    ] as const) {
      const t = setUp()
      const [a, b, c] = three()
      const others = Array.from({ length: between }, (_, i) => fragment(0, true, payload(8), { id: 100 + i }))
      expect(t.run([a!, b!, ...others, c!]).length).to.equal(expected)
      expect(t.ip('ReasmFails')).to.equal(1 - expected)
      t.finish()
    }
  })

  it('hardening-9: a legitimate datagram is answered right after a flood and during one', () => {
    for (const spoofed of [false, true]) {
      const t = setUp()
      const share = (4 << 20) / 4
      const flood = (i: number) =>
        fragment((i % 100) * 8 + 8, true, payload(8), {
          id: i & 0xffff,
          source: spoofed ? (0x0b000000 + i * 2654435761) | 0 : 0x0b000001,
        })
      let worst = 0
      for (let i = 0; i < 20_000; i++) {
        t.run([flood(i)])
        worst = Math.max(worst, t.reassembly.memory)
      }
      expect(worst).to.be.at.most((4 << 20) + 4096)
      if (!spoofed) expect(worst).to.be.at.most(share + 4096)
      expectDatagram(t.run(three()), data)
      const [a, b, c] = cut(data, [1000, 2000], { id: 3 })
      t.run([a!])
      for (let i = 0; i < 500; i++) t.run([flood(i)])
      t.run([b!])
      for (let i = 500; i < 1000; i++) t.run([flood(i)])
      expectDatagram(t.run([c!]), data)
      if (!spoofed) {
        // The flooder itself is served, too.
        expectDatagram(t.run(cut(data, [1000, 2000], { source: 0x0b000001, id: 7 })), data)
      }
      t.finish()
    }
  })

  it('hardening-9: alternating 8-byte fragments cost bounded memory and time', () => {
    const t = setUp({ high: 64 << 20, distance: 0, limit: 64 << 20 })
    const pieces = cut(payload(65504), every(8, 65504))
    const alternate = [...pieces.filter((_, i) => i % 2 === 0), ...pieces.filter((_, i) => i % 2 === 1)]
    expect(t.run(alternate)).to.deep.equal([])
    expect(t.drops.get(DropReason.FRAG_MEM)).to.equal(alternate.length)
    expect(MAX_RUNS).to.be.below(pieces.length / 2)
    expect(t.ip('ReasmFails')).to.equal(1)
    t.finish()
  })

  it('refuses everything with ipfrag_high_thresh 0', () => {
    const t = setUp({ high: 0, low: 0 })
    expect(t.run(three())).to.deep.equal([])
    expect(t.ip('ReasmFails')).to.equal(3)
    t.finish()
  })

  it('copies small fragments out of large slabs, and takes what has a body', () => {
    const t = setUp()
    const [a, b, c] = three()
    for (const bytes of [a!, b!]) {
      const packet = t.pool.allocate(65535)!
      packet.networkHeader = packet.start
      packet.bytes.set(bytes, packet.put(bytes.length))
      expect(t.reassembly.insert(packet, 0)).to.equal(null)
    }
    expect(t.reassembly.memory).to.be.below(8192)
    let done = 0
    const packet = t.pool.from(c!.subarray(0, 20))!
    packet.body = c!.subarray(20)
    packet.bodyDone = () => done++
    const result = t.reassembly.insert(packet, 0)!
    expectDatagram([result.toUint8Array()], data)
    expect(done).to.equal(1)
    result.free()
    t.finish()
  })

  it('does not write to bytes that somebody shares', () => {
    const t = setUp()
    const pieces = cut(payload(64), [16, 32, 48])
    const clones: Packet[] = []
    let result: Packet | null = null
    for (const bytes of pieces) {
      result = t.deliver(bytes, (packet) => clones.push(t.pool.clone(packet)))
    }
    expectDatagram([result!.toUint8Array()], payload(64))
    expect(clones.map((clone) => clone.toUint8Array())).to.deep.equal(pieces)
    for (const packet of [...clones, result!]) packet.free()
    t.finish()
  })

  it('gives up the datagram when the pool has no room for it', () => {
    const t = setUp({ limit: 2048 * 64 })
    expect(t.run(three())).to.deep.equal([])
    expect(t.ip('ReasmFails')).to.equal(1)
    expect(t.drops.get(DropReason.NOMEM)).to.equal(3)
    t.finish()
  })

  it('clear() lets go of everything', () => {
    const t = setUp()
    t.run(three().slice(1))
    t.reassembly.clear()
    expect([t.reassembly.length, t.reassembly.memory, t.pool.outstanding]).to.deep.equal([0, 0, 0])
    expect(t.drops.get(DropReason.QUEUE_PURGE)).to.equal(2)
  })

  it('gives back any datagram, however it is cut, shuffled and duplicated (property)', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 9, max: 6000 }),
        fc.array(fc.integer({ min: 1, max: 749 }), { minLength: 1, maxLength: 40 }),
        fc.array(fc.nat(), { minLength: 60, maxLength: 60 }),
        fc.array(fc.nat(), { maxLength: 10 }),
        (length, units, keys, duplicates) => {
          const t = setUp({ distance: 0 })
          const whole = payload(length)
          const cuts = [...new Set(units.map((unit) => unit * 8).filter((at) => at < length))].sort(
            (x, y) => x - y,
          )
          const pieces = cut(whole, cuts)
          const order = pieces.map((_, i) => i).sort((x, y) => keys[x]! - keys[y]! || x - y)
          // A duplicate comes somewhere before the last new piece, or it would begin a datagram of its own.
          const sequence = [...order]
          if (pieces.length > 1) {
            for (const duplicate of duplicates) {
              sequence.splice(duplicate % (sequence.length - 1), 0, order[duplicate % (order.length - 1)]!)
            }
          }
          const results = t.run(sequence.map((i) => pieces[i]!))
          expectDatagram(results, whole)
          expect(t.reassembly.length).to.equal(0)
          t.finish()
        },
      ),
      { numRuns: 200 },
    )
  })

  it('survives any fragments, delivers only what was sent, and ends empty (property)', () => {
    const soup = fc.record({
      unit: fc.oneof(fc.nat(20), fc.constantFrom(0, 8191, 8190, 8000)),
      size: fc.oneof(fc.nat(200), fc.constantFrom(0, 1, 7, 8, 16)),
      more: fc.boolean(),
      id: fc.nat(3),
      tos: fc.constantFrom(0, 0, 1, 2, 3),
      salt: fc.constantFrom(0, 0, 0, 1),
      ihl: fc.constantFrom(5, 5, 5, 5, 6, 4, 15, 0),
      wait: fc.constantFrom(0, 0, 0, 31 * SECOND),
    })
    fc.assert(
      fc.property(fc.array(soup, { maxLength: 80 }), (fragments) => {
        const t = setUp({ high: 40_000, low: 30_000, distance: 8 })
        for (const { unit, size, more, id, tos, salt, ihl, wait } of fragments) {
          t.advance(wait)
          const bytes = fragment(unit * 8, more, payload(size, salt), { id, tos })
          bytes[0] = 0x40 | ihl
          const packet = t.deliver(bytes)
          if (packet !== null) {
            expect(packet.length).to.be.at.most(65535)
            packet.free()
          }
          expect(t.reassembly.memory).to.be.at.most(40_000)
        }
        expect(t.ip('ReasmReqds')).to.equal(fragments.length)
        t.finish()
      }),
      { numRuns: 300 },
    )
  })
})
