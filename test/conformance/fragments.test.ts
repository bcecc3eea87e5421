import { expect } from 'chai'
import fc from 'fast-check'
import { DropReason } from '../../lib/index.ts'
import { HOST, HostBench, PEER, useBench } from './harness.ts'
import {
  type Bytes,
  concat,
  decode,
  echoRequest,
  fragment,
  fragments,
  hex,
  icmp,
  pattern,
  tcp,
  udp,
} from './packets.ts'

const TO_HOST = { src: PEER, dst: HOST }
const bench = useBench(() => new HostBench())

/** An echo request of 3000 data bytes, and its pieces. */
const BIG = pattern(3000)
const big = (id = 1, src = PEER): Bytes => echoRequest({ src, dst: HOST, id }, { sequence: id, data: BIG })

/** Joins the fragments of replies by their identification and gives the ICMP messages, sequence and data. */
function wholeReplies(packets: Bytes[]): { to: string; sequence: number; data: string }[] {
  const groups = new Map<string, Bytes[]>()
  for (const packet of packets) {
    const { id, dst, offset, payload } = decode(packet)
    const pieces = groups.get(`${id} ${dst}`) ?? []
    groups.set(`${id} ${dst}`, pieces)
    const before = pieces.reduce((sum, piece) => sum + piece.length, 0)
    expect(offset, 'offsets of a reply are contiguous').to.equal(before)
    pieces.push(payload)
  }
  return Array.from(groups, ([key, pieces]) => {
    const message = concat(...pieces)
    expect(message[0], 'an echo reply').to.equal(0)
    return { to: key.split(' ')[1]!, sequence: (message[6]! << 8) | message[7]!, data: hex(message.slice(8)) }
  })
}

function expectAnswered(...packets: Bytes[]): void {
  const replies = wholeReplies(bench().exchange(bench().tun, ...packets))
  expect(replies).to.deep.equal([{ to: PEER, sequence: 1, data: hex(BIG) }])
}

function expectNoReply(...packets: Bytes[]): void {
  expect(bench().exchange(bench().tun, ...packets)).to.deep.equal([])
  bench().expectAlive()
}

describe('reassembly (RFC 791 §3.2, RFC 815)', () => {
  it('frag-inorder: 3000 bytes in 3 fragments', () => expectAnswered(...fragments(big(), 1480)))

  it('frag-reverse: last fragment first', () => expectAnswered(...fragments(big(), 1480).reverse()))

  it('frag-shuffle: pieces of 136 bytes in any order', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(fragments(big(), 136), { minLength: 23 }), (pieces) => {
        expectAnswered(...pieces)
      }),
      { numRuns: 20, seed: 1 },
    )
  })

  it('frag-tiny: fragments of 8 bytes', () => {
    const data = pattern(1464)
    const pieces = fragments(echoRequest(TO_HOST, { data }), 8)
    expect(pieces).to.have.length(184)
    bench().expect(bench().tun, pieces, [{ icmp: { type: 0, data } }])
  })

  it('frag-dup: an exact duplicate of the middle one is dropped, the datagram answered once', () => {
    const [first, middle, last] = fragments(big(), 1480)
    expectAnswered(first!, middle!, middle!, last!)
    expect(bench().stack.mib.drops[DropReason.DUP_FRAG]).to.equal(1)
  })

  it('frag-interleave: two datagrams of one sender, fragments interleaved', () => {
    const a = fragments(big(1), 1480)
    const b = fragments(big(2), 1480)
    const replies = wholeReplies(bench().exchange(bench().tun, ...a.flatMap((piece, i) => [piece, b[i]!])))
    expect(replies.map(({ sequence, data }) => [sequence, data === hex(BIG)])).to.deep.equal([
      [1, true],
      [2, true],
    ])
  })

  it('frag-key-src: the same identification from two senders', () => {
    const other = echoRequest({ src: '10.9.0.77', dst: HOST, id: 1 }, { sequence: 9, data: pattern(3000, 5) })
    const a = fragments(big(1), 1480)
    const b = fragments(other, 1480)
    const replies = wholeReplies(bench().exchange(bench().tun, ...a.flatMap((piece, i) => [b[i]!, piece])))
    expect(replies).to.have.deep.members([
      { to: PEER, sequence: 1, data: hex(BIG) },
      { to: '10.9.0.77', sequence: 9, data: hex(pattern(3000, 5)) },
    ])
  })

  it('frag-tcp: a TCP segment in two fragments is put together, and answered as any other', () => {
    const segment = tcp(TO_HOST, { dport: 80 }, pattern(100))
    bench().expect(bench().tun, fragments(segment, 64), [{ tcp: { flags: 0x14, ack: 1101 } }])
    expect(bench().count('IpReasmOKs')).to.equal(1)
  })

  it('frag-udp-closed: exactly one Port Unreachable about a fragmented datagram', () => {
    const datagram = udp(TO_HOST, { dport: 9 }, pattern(2000))
    const [error] = bench().expect(bench().tun, fragments(datagram, 800), [{ icmp: { type: 3, code: 3 } }])
    // Of the datagram as it was put together.
    expect(hex(error!.icmp!.data)).to.equal(hex(datagram.slice(0, 548)))
  })

  it('frag-overlap: other bytes over the same range cost the datagram, and what still comes of it (hardening-8)', () => {
    const message = big().slice(20)
    const header = big().slice(0, 20)
    const evil = message.slice(1472, 2960).fill(0x66, 0, 8)
    const pieces = [
      fragment(header, message.slice(0, 1480), 0, true),
      fragment(header, evil, 1472, true),
      fragment(header, message.slice(1480, 2960), 1480, true),
      fragment(header, message.slice(2960), 2960, false),
    ]
    expectNoReply(...pieces)
    expect(bench().count('IpExtReasmOverlaps')).to.equal(1)
    // The whole datagram again, under the same identification: still refused, until its time is over.
    expectNoReply(...fragments(big(), 1480))
    bench().pass(30_000)
    expect(bench().tun.take()).to.deep.equal([]) // and no Time Exceeded for it
    expectAnswered(...fragments(big(), 1480))
  })

  it('frag-overlap-subset: a fragment inside the range of a later one (hardening-8)', () => {
    const message = big().slice(20)
    const header = big().slice(0, 20)
    expectNoReply(
      fragment(header, message.slice(512, 768).fill(1), 512, true),
      fragment(header, message.slice(0, 1000), 0, true),
      fragment(header, message.slice(1000), 1000, false),
    )
  })

  it('ip-reass-replace: a fragment inside what is there, with equal bytes, is a duplicate', () => {
    const message = big().slice(20)
    const header = big().slice(0, 20)
    expectAnswered(
      fragment(header, message.slice(0, 1480), 0, true),
      fragment(header, message.slice(512, 768), 512, true),
      fragment(header, message.slice(1480), 1480, false),
    )
  })

  it('frag-tiny header fragments: 8 bytes of TCP first, then an overlap of its flags (RFC 1858, hardening-8)', () => {
    const segment = tcp(TO_HOST, { dport: 80, flags: 0x10 }, pattern(32))
    const evil = tcp(TO_HOST, { dport: 80, flags: 0x02 }, pattern(32))
    expectNoReply(
      fragment(segment, segment.slice(20, 44), 0, true),
      fragment(segment, evil.slice(28), 8, false),
    )
    expect(bench().count('IpReasmOKs')).to.equal(0)
  })

  it('frag-pingofdeath: what ends past 65535 is dropped', () => {
    const header = big().slice(0, 20)
    expectNoReply(fragment(header, pattern(100), 65528, false))
    expectNoReply(fragment(header, pattern(1480), 65528, true))
    const pieces = fragments(echoRequest({ ...TO_HOST, id: 7 }, { data: pattern(64000) }), 1480)
    expectNoReply(...pieces.slice(0, -1), fragment(header, pattern(1480), 65520, false))
  })

  it('frag-zero-len: fragments without data', () => {
    const header = big().slice(0, 20)
    expectNoReply(fragment(header, [], 0, true))
    expectNoReply(fragment(header, [], 8, true), fragment(header, [], 8, false))
    expectNoReply(fragment(header, pattern(7), 0, true)) // no whole unit of 8
  })

  it('frag-two-ends: two last fragments with different ends', () => {
    const header = big().slice(0, 20)
    const message = big().slice(20)
    expectNoReply(
      fragment(header, message.slice(1480), 1480, false),
      fragment(header, message.slice(1480, 2000), 1480, false),
      fragment(header, message.slice(0, 1480), 0, true),
    )
    expectNoReply(
      fragment(big(3), message.slice(1480, 2000), 1480, false),
      fragment(big(3), message.slice(2000), 2000, false),
      fragment(big(3), message.slice(0, 1480), 0, true),
    )
  })

  it('ip-frag-ttl: TTL and TOS may differ; those of the first fragment hold', () => {
    const datagram = udp({ ...TO_HOST, ttl: 33, tos: 0x08 }, { dport: 9 }, pattern(1000))
    const [first, last] = fragments(datagram, 512)
    const other = fragment(
      udp({ ...TO_HOST, ttl: 200, tos: 0x20 }, { dport: 9 }),
      last!.slice(20),
      512,
      false,
    )
    for (const order of [
      [first!, other],
      [other, first!],
    ]) {
      const [error] = bench().expect(bench().tun, order, [{ icmp: { type: 3, code: 3 } }])
      expect(error!.icmp!.data.slice(0, 20)).to.deep.equal(datagram.slice(0, 20))
    }
  })
})

describe('reassembly that does not end (RFC 1122 §3.3.2)', () => {
  it('tells the sender when the time is over, and quotes the first fragment', () => {
    const [first, middle] = fragments(big(), 1480)
    bench().exchange(bench().tun, middle!, first!)
    bench().pass(29_999)
    expect(bench().tun.take()).to.deep.equal([])
    bench().pass(2)
    const [error] = bench().tun.take().map(decode)
    expect(error).to.deep.include({ src: HOST, dst: PEER, length: 576 })
    expect(error!.icmp).to.deep.include({ type: 11, code: 1 })
    expect(hex(error!.icmp!.data)).to.equal(hex(first!.slice(0, 548)))
    expect(bench().count('IpReasmTimeout')).to.equal(1)
    expect(bench().stack.pool.outstanding).to.equal(0)
  })

  it('frag-timeout-nofirst: no Time Exceeded without the first fragment', () => {
    bench().exchange(bench().tun, ...fragments(big(), 1480).slice(1))
    bench().pass(31_000)
    expect(bench().tun.take()).to.deep.equal([])
    expect(bench().count('IpReasmTimeout')).to.equal(1)
    expect(bench().stack.pool.outstanding).to.equal(0)
  })

  it('the time is that of the first fragment to come, however many follow (hardening-9)', () => {
    const pieces = fragments(big(), 136)
    for (const piece of pieces.slice(1, 8)) {
      bench().exchange(bench().tun, piece)
      bench().pass(4_500)
    }
    expect(bench().count('IpReasmTimeout')).to.equal(1)
  })

  it('hardening-9: a flood of fragments shuts nobody out: a fragmented ping is answered right after', () => {
    const { stack, tun } = bench()
    const limit = stack.sysctl.ipv4.ipfrag_high_thresh
    for (let i = 0; i < 6000; i++) {
      const src = `10.${(i >>> 8) & 127}.${i & 255}.9`
      tun.push(fragment(echoRequest({ src, dst: HOST, id: i & 0xffff }), pattern(1400), 8 * (i % 90), true))
    }
    expect(stack.ipv4.reassembly.memory).to.be.at.most(limit)
    tun.take()
    expectAnswered(...fragments(big(), 1480))
  })
})

describe('fragments that this host makes (RFC 791 §2.3)', () => {
  it('frag-out: fit the MTU, have multiples of 8 bytes and one identification, MF on all but the last', () => {
    const data = pattern(5000)
    const request = fragments(echoRequest(TO_HOST, { data }), 1480)
    for (const mtu of [1500, 1006, 576, 68]) {
      bench().tun.setMtu(mtu)
      const pieces = bench()
        .exchange(bench().tun, ...request)
        .map(decode)
      const space = (mtu - 20) & ~7
      expect(pieces).to.have.length(Math.ceil(5008 / space))
      expect(new Set(pieces.map(({ id }) => id)).size).to.equal(1)
      pieces.forEach((piece, i) => {
        const last = i === pieces.length - 1
        expect(piece).to.include({ offset: i * space, mf: !last, df: false, ttl: 64, src: HOST, dst: PEER })
        expect(piece.length).to.be.at.most(mtu)
      })
      expect(hex(concat(...pieces.map(({ payload }) => payload)).slice(8))).to.equal(hex(data))
    }
    expect(bench().count('IpFragOKs')).to.equal(4)
  })

  it('frag-out-id: two replies have different identifications (RFC 6864 §4.1)', () => {
    const ids = new Set<number>()
    for (let i = 0; i < 20; i++) {
      const data = pattern(5000)
      const replies = bench().exchange(
        bench().tun,
        ...fragments(echoRequest({ ...TO_HOST, id: i }, { data }), 1480),
      )
      ids.add(decode(replies[0]!).id)
      bench().pass(7)
    }
    expect(ids.size).to.equal(20)
  })

  it('hardening-7: identifications towards one peer tell nothing of what goes to others', () => {
    // Between two replies to one peer any number may go to others: its next identification is as near.
    const { tun } = bench()
    const idTo = (src: string): number =>
      decode(bench().exchange(tun, echoRequest({ src, dst: HOST }))[0]!).id
    const steps: number[] = []
    let before = idTo(PEER)
    for (let i = 0; i < 50; i++) {
      for (let j = 0; j < 20; j++) idTo(`10.9.0.${100 + j}`)
      const now = idTo(PEER)
      steps.push((now - before) & 0xffff)
      before = now
    }
    expect(steps).to.deep.equal(new Array(50).fill(1))
    // Two peers, and two protocols, begin anywhere.
    const starts = new Set<number>()
    for (let i = 0; i < 40; i++) starts.add(idTo(`10.9.1.${i}`))
    expect(starts.size).to.be.greaterThan(35)
  })

  it('hardening-7: an atomic datagram of an application carries 0', () => {
    const endpoint = bench().stack.udp.bind({ onMessage: () => {} })
    for (let i = 0; i < 3; i++) endpoint.send(pattern(10), { address: '10.9.0.1', port: 9 })
    bench().settle()
    for (const { id, df } of bench().tun.take().map(decode)) expect([id, df]).to.deep.equal([0, true])
  })

  it('memory that runs out in the middle of cutting or joining leaks nothing', async () => {
    const small = new HostBench({ packetMemory: 2048 * 64 + 66560 * 8 })
    const request = fragments(echoRequest(TO_HOST, { data: pattern(60_000) }), 1480)
    small.exchange(small.tun, ...request)
    expect(small.stack.pool.exhausted + small.count('IpReasmOKs')).to.be.greaterThan(0)
    small.pass(60_000)
    expect(small.stack.pool.outstanding).to.equal(0)
    small.expectAlive()
    await small.end()
  })
})

describe('ICMP in fragments', () => {
  it('a fragmented error about a packet of ours is put together and passed up', async () => {
    const result = bench().stack.ping('192.0.2.5', { size: 1000, timeout: 1000 })
    bench().settle()
    const [request] = bench().tun.take()
    const error = icmp({ src: '192.0.2.1', dst: HOST }, { type: 3, code: 1 }, request!.slice(0, 528))
    bench().exchange(bench().tun, ...fragments(error, 64).reverse())
    expect((await result).probes[0]).to.include({ outcome: 'error', code: 'EHOSTUNREACH' })
  })
})
