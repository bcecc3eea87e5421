import { expect } from 'chai'
import { useBench } from './harness.ts'
import { fragments, pattern } from './packets.ts'
import { brief, DISCARD, ECHO, HOLD, open, Peer, type Segment, TcpBench } from './tcp-peer.ts'

const bench = useBench(() => new TcpBench())

const ALL = { mss: 1460, sackOk: true, ts: [5000, 0] as const }

/** The last acknowledgment of a list. */
const ackOf = (segments: readonly Segment[]): number => segments.at(-1)!.ack

function dataOf(segments: readonly Segment[]): number[] {
  return segments.flatMap(({ data }) => Array.from(data))
}

/** A peer whose SYN has been answered and who has said no more. */
async function half(port = ECHO, ownPort = 41000): Promise<{ peer: Peer; synAck: Segment }> {
  const peer = new Peer(bench(), port, { ownPort })
  const [synAck] = await peer.send({ flags: 'S', seq: 0, options: { mss: 1460 } })
  expect(synAck!.flags).to.equal('SA')
  peer.irs = synAck!.seq
  peer.next = peer.received = 1
  return { peer, synAck: synAck! }
}

describe('TCP: the handshake from outside (RFC 9293 §3.10.7.4)', () => {
  it('tcp-syn-dup: the same SYN again gets the same SYN-ACK, and the handshake completes', async () => {
    const { peer } = await half()
    const again = await peer.send({ flags: 'S', seq: 0, options: { mss: 1460 } })
    expect(brief(again)).to.deep.equal(['SA 0 ack 1'])
    await peer.send()
    expect(await peer.isAlive()).to.equal(true)
  })

  it('tcp-syn-data: bytes of a SYN that come again are delivered once', async () => {
    const peer = new Peer(bench(), ECHO)
    const [synAck] = await peer.send({ flags: 'S', seq: 0, data: pattern(5) })
    peer.irs = synAck!.seq
    peer.next = peer.received = 1
    expect(synAck!.ack).to.equal(1)
    const answer = await peer.write(pattern(5), {}, 100)
    expect(dataOf(answer)).to.deep.equal(Array.from(pattern(5)))
  })

  it('tcp-synrcvd-badack: another ACK than of the SYN-ACK gets RST, and the right one still counts', async () => {
    const { peer } = await half()
    expect(brief(await peer.send({ ack: 5000 }))).to.deep.equal(['R 5000'])
    expect(brief(await peer.send({ ack: 0 }))).to.deep.equal(['R 0'])
    await peer.send()
    expect(await peer.isAlive()).to.equal(true)
  })

  it('tcp-synrcvd-rst: RST ends it; a new SYN works', async () => {
    const { peer } = await half()
    expect(await peer.send({ flags: 'R' })).to.deep.equal([])
    expect(brief(await peer.send())).to.deep.equal(['R 1'])
    const next = await open(bench(), ECHO)
    expect(await next.isAlive()).to.equal(true)
  })

  it('tcp-synrcvd-rst-oow: RST outside the window does not', async () => {
    const { peer } = await half()
    expect(await peer.send({ flags: 'R', seq: 100_000 })).to.deep.equal([])
    expect(await peer.send({ flags: 'R', seq: 0 })).to.deep.equal([])
    await peer.send()
    expect(await peer.isAlive()).to.equal(true)
  })

  it('tcp-synrcvd-syn: another SYN is challenged or ends the attempt, and nothing is mixed', async () => {
    const { peer } = await half()
    const other = await peer.send({ flags: 'S', seq: 700_000, options: { mss: 1460 } })
    for (const { flags } of other) expect(flags).to.be.oneOf(['A', 'RA'])
    const inWindow = await peer.send({ flags: 'S', seq: 500, options: { mss: 1460 } })
    for (const { flags } of inWindow) expect(flags).to.be.oneOf(['A', 'R', 'RA'])
    const next = await open(bench(), ECHO, { mss: 1460 }, { ownPort: 41001 })
    expect(await next.isAlive()).to.equal(true)
  })

  it('tcp-ackdata: the third segment carries data', async () => {
    const { peer } = await half()
    expect(peer.take(await peer.write(pattern(100), {}, 50))).to.deep.equal(pattern(100))
  })

  it('tcp-synrcvd-fin: or FIN', async () => {
    const { peer } = await half()
    const answer = await peer.send({ flags: 'FA' }, 50)
    expect(brief(answer)).to.deep.equal(['FA 1 ack 2'])
  })

  it('tcp-isn: a SYN-ACK is sent again by itself, with the same number', async () => {
    const { peer, synAck } = await half()
    const again = await peer.elapse(3500)
    expect(again.map(({ flags, seq }) => [flags, seq])).to.deep.equal([
      ['SA', 0],
      ['SA', 0],
    ])
    expect(again[0]!.at - synAck.at).to.be.within(800, 3500)
  })
})

describe('TCP: data that comes (RFC 9293 §3.10.7.4)', () => {
  it('tcp-echo-100k: 100 kB through the echo service', async () => {
    const peer = await open(bench(), ECHO)
    const data = pattern(100_000)
    const got: number[] = []
    for (let at = 0; at < data.length; at += 1460) {
      got.push(...peer.take(await peer.write(data.subarray(at, at + 1460))))
    }
    for (let i = 0; i < 20 && got.length < data.length; i++) got.push(...peer.take(await peer.send({}, 100)))
    expect(Uint8Array.from(got)).to.deep.equal(data)
  })

  it('tcp-seqwrap: across 2³²', async () => {
    const peer = await open(bench(), ECHO, ALL, { isn: 2 ** 32 - 10 })
    const data = pattern(3000)
    const got: number[] = []
    for (let at = 0; at < 3000; at += 300)
      got.push(...peer.take(await peer.write(data.subarray(at, at + 300))))
    got.push(...peer.take(await peer.send({}, 100)))
    expect(Uint8Array.from(got)).to.deep.equal(data)
  })

  it('tcp-dup: the same segment twice is delivered once, and acknowledged', async () => {
    const peer = await open(bench(), DISCARD)
    await peer.write([1, 2, 3], {}, 100)
    expect(brief(await peer.send({ seq: 1, data: [1, 2, 3] }))).to.deep.equal(['A 1 ack 4'])
    expect(bench().discarded).to.deep.equal([1, 2, 3])
  })

  it('tcp-overlap: of six old bytes and four new ones the new are delivered', async () => {
    const peer = await open(bench(), ECHO)
    peer.take(await peer.write(pattern(10), {}, 100))
    const answer = await peer.send({ seq: 5, data: pattern(10, 3) }, 100)
    expect(dataOf(answer)).to.deep.equal(Array.from(pattern(10, 3).subarray(6)))
    expect(ackOf(answer)).to.equal(15)
  })

  it('tcp-overlap-ooo: overlapping segments before the hole is filled', async () => {
    const peer = await open(bench(), DISCARD, ALL)
    const data = pattern(100)
    const part = (from: number, to: number): object => ({ seq: 1 + from, data: data.subarray(from, to) })
    await peer.exchange([part(40, 60), part(50, 80), part(30, 45), part(35, 90), part(85, 100), part(20, 40)])
    expect(bench().discarded).to.deep.equal([])
    const answer = await peer.send(part(0, 25))
    expect(ackOf(answer)).to.equal(101)
    expect(Uint8Array.from(bench().discarded)).to.deep.equal(data)
  })

  it('tcp-ooo-20: twenty segments in another order', async () => {
    const peer = await open(bench(), DISCARD, ALL)
    const data = pattern(2000)
    const order = Array.from({ length: 20 }, (_, i) => (i * 7 + 3) % 20)
    const answers = await peer.exchange(
      order.map((i) => ({ seq: 1 + 100 * i, data: data.subarray(100 * i, 100 * i + 100) })),
    )
    expect(ackOf(answers)).to.equal(2001)
    expect(Uint8Array.from(bench().discarded)).to.deep.equal(data)
  })

  it('tcp-ooo-fill-ack: what fills a part of a hole is acknowledged at once', async () => {
    const peer = await open(bench(), DISCARD)
    for (let i = 0; i < 40; i++) await peer.write([i], {}, 50) // beyond the quick start
    expect(await peer.send({ seq: 61, data: pattern(20) })).to.have.length(1)
    expect(await peer.send({ seq: 101, data: pattern(20) })).to.have.length(1)
    expect(brief(await peer.send({ seq: 41, data: pattern(20) }))).to.deep.equal(['A 1 ack 81'])
    expect(brief(await peer.send({ seq: 81, data: pattern(5) }))).to.deep.equal(['A 1 ack 86'])
  })

  it('tcp-sack-block: each early segment is acknowledged at once, with the ranges, the newest first', async () => {
    const peer = await open(bench(), DISCARD, ALL)
    await peer.write(pattern(10), {}, 100)
    const [one] = await peer.send({ seq: 21, data: pattern(10) })
    expect([one!.ack, one!.options.sack]).to.deep.equal([11, [[21, 31]]])
    const [two] = await peer.send({ seq: 41, data: pattern(10) })
    expect(two!.options.sack).to.deep.equal([
      [41, 51],
      [21, 31],
    ])
    const [three] = await peer.send({ seq: 11, data: pattern(10) })
    expect([three!.ack, three!.options.sack]).to.deep.equal([31, [[41, 51]]])
  })

  it('tcp-sack-max: three ranges beside timestamps, four without', async () => {
    for (const [options, most] of [
      [ALL, 3],
      [{ mss: 1460, sackOk: true }, 4],
    ] as const) {
      const peer = await open(bench(), DISCARD, options, { ownPort: 42000 + most })
      const answers: Segment[] = []
      for (const seq of [21, 41, 61, 81, 101]) answers.push(...(await peer.send({ seq, data: pattern(10) })))
      expect(answers.map((answer) => answer.options.sack!.length)).to.deep.equal([1, 2, 3, most, most])
      expect(answers.at(-1)!.options.sack![0]).to.deep.equal([101, 111])
    }
  })

  it('tcp-sack-none: nor where it was not agreed on', async () => {
    const peer = await open(bench(), DISCARD)
    const [answer] = await peer.send({ seq: 21, data: pattern(10) })
    expect([answer!.ack, answer!.options]).to.deep.equal([1, {}])
  })

  it('tcp-dsack: a duplicate is the first block (RFC 2883)', async () => {
    const peer = await open(bench(), DISCARD, ALL)
    await peer.write(pattern(30), {}, 100)
    const [old] = await peer.send({ seq: 11, data: pattern(10) })
    expect([old!.ack, old!.options.sack]).to.deep.equal([31, [[11, 21]]])
    await peer.send({ seq: 41, data: pattern(20) })
    const [early] = await peer.send({ seq: 45, data: pattern(5) })
    expect(early!.options.sack).to.deep.equal([
      [45, 50],
      [41, 61],
    ])
    const [next] = await peer.send({ seq: 71, data: pattern(5) })
    expect(next!.options.sack![0]).to.deep.equal([71, 76])
  })

  it('tcp-delack: a small segment is acknowledged within half a second', async () => {
    const peer = await open(bench(), DISCARD)
    for (let i = 0; i < 40; i++) {
      const answer = await peer.write([i], {}, 500)
      expect(brief(answer)).to.deep.equal([`A 1 ack ${peer.next}`])
    }
    // Two full ones at once (RFC 5681 §4.2).
    const data = pattern(1460)
    await peer.write(data, {}, 500)
    const answers = await peer.exchange([
      { seq: peer.next, data },
      { seq: peer.next + 1460, data },
    ])
    expect(ackOf(answers)).to.equal(peer.next + 2920)
  })

  it('tcp-keepalive: probes before RCV.NXT are acknowledged, their byte is not delivered', async () => {
    const peer = await open(bench(), DISCARD, ALL)
    await peer.write([1, 2, 3], {}, 1000)
    expect(brief(await peer.send({ seq: 3 }))).to.deep.equal(['A 1 ack 4'])
    await peer.elapse(1000)
    expect(brief(await peer.send({ seq: 3, data: [99] }))).to.deep.equal(['A 1 ack 4'])
    expect(bench().discarded).to.deep.equal([1, 2, 3])
  })

  it('tcp-urg: urgent pointers do no harm', async () => {
    const peer = await open(bench(), DISCARD)
    for (const urgent of [0, 1, 3, 60000]) {
      const answer = await peer.write(pattern(5), { flags: 'PAU', urgent }, 500)
      expect(ackOf(answer)).to.equal(peer.next)
    }
    expect(bench().discarded.length).to.be.within(16, 20)
  })

  it('tcp-opt-late: options that belong to a SYN are ignored later', async () => {
    const peer = await open(bench(), ECHO)
    const rawOptions = [2, 4, 0, 100, 1, 253, 3, 9, 3, 3, 5, 1]
    const answer = await peer.write(pattern(1000), { rawOptions }, 100)
    expect(answer.some(({ data }) => data.length === 1000)).to.equal(true)
  })

  it('tcp-precedence: another TOS is no other connection', async () => {
    const peer = await open(bench(), ECHO)
    expect(peer.take(await peer.write(pattern(10), { tos: 0xa0 }, 100))).to.deep.equal(pattern(10))
    expect(peer.take(await peer.write(pattern(10), { tos: 0x10 }, 100))).to.deep.equal(pattern(10))
  })

  it('frag-tcp: a segment in two IP fragments', async () => {
    const peer = await open(bench(), ECHO)
    const packet = peer.build({ data: pattern(1000), flags: 'PA' })
    peer.next += 1000
    bench().tun.push(...fragments(packet, 512))
    expect(peer.take(await peer.elapse(100))).to.deep.equal(pattern(1000))
  })

  it('tcp-many: 200 connections at once', async () => {
    const peers: Peer[] = []
    for (let i = 0; i < 200; i++) peers.push(await open(bench(), ECHO, ALL, { ownPort: 20_000 + i }))
    bench().tun.push(...peers.map((peer, i) => peer.build({ data: pattern(20, i), flags: 'PA' })))
    const all = await bench().elapse(100)
    for (const [i, peer] of peers.entries()) {
      const own = all.filter(({ dport }) => dport === peer.ownPort).map((segment) => peer.relative(segment))
      expect(peer.take(own)).to.deep.equal(pattern(20, i))
    }
  })
})

describe('TCP: acknowledgments and resets that do not fit (RFC 5961)', () => {
  it('tcp-ack-unsent, tcp-optimistic-ack: data under an ACK of bytes that were never sent is dropped (hardening-20)', async () => {
    const peer = await open(bench(), DISCARD)
    const answer = await peer.send({ ack: 5000, data: pattern(10) })
    expect(brief(answer)).to.deep.equal(['A 1 ack 1'])
    await peer.elapse(1000)
    expect(bench().discarded).to.deep.equal([])
    expect(await peer.isAlive()).to.equal(true)
  })

  it('tcp-ack-ancient: so is it under one from long ago, with a challenge (hardening-2)', async () => {
    const peer = await open(bench(), DISCARD)
    const answer = await peer.send({ ack: -200_000, data: pattern(10) })
    expect(brief(answer)).to.deep.equal(['A 1 ack 1'])
    await peer.elapse(1000)
    expect(bench().discarded).to.deep.equal([])
    expect(await peer.isAlive()).to.equal(true)
  })

  it('tcp-rst-exact: RST at RCV.NXT ends the connection', async () => {
    const peer = await open(bench(), DISCARD)
    expect(await peer.send({ flags: 'R' })).to.deep.equal([])
    expect(brief(await peer.send())).to.deep.equal(['R 1'])
  })

  it('tcp-rst-inwindow: elsewhere in the window it is challenged (hardening-1)', async () => {
    const peer = await open(bench(), DISCARD)
    expect(brief(await peer.send({ flags: 'R', seq: 100 }))).to.deep.equal(['A 1 ack 1'])
    expect(await peer.isAlive()).to.equal(true)
  })

  it('tcp-rst-outwindow: outside it is nothing (hardening-1)', async () => {
    const peer = await open(bench(), DISCARD)
    expect(await peer.send({ flags: 'R', seq: 200_000 })).to.deep.equal([])
    expect(await peer.send({ flags: 'R', seq: 0 })).to.deep.equal([])
    expect(await peer.isAlive()).to.equal(true)
  })

  it('a SYN on a connection is challenged, and changes nothing (hardening-2)', async () => {
    const peer = await open(bench(), DISCARD)
    expect(brief(await peer.send({ flags: 'S', seq: 50 }))).to.deep.equal(['A 1 ack 1'])
    expect(await peer.isAlive()).to.equal(true)
  })
})

describe('TCP: timestamps (RFC 7323)', () => {
  it('tcp-ts: every segment carries them once they are agreed on, with the last value', async () => {
    const peer = await open(bench(), ECHO, ALL)
    await peer.elapse(20)
    const sent = peer.clock
    const answers = await peer.write(pattern(10), {}, 100)
    for (const { options } of answers) expect(options.ts![1]).to.equal(sent)
    peer.take(answers)
    const fin = await peer.send({ flags: 'FA' }, 100)
    for (const { options } of fin) expect(options.ts).to.not.equal(undefined)
  })

  it('tcp-ts-clock: the clock grows by 1 in a millisecond', async () => {
    const peer = await open(bench(), DISCARD, ALL)
    const [first] = await peer.write([1], {}, 500)
    const [second] = await peer.write([2], {}, 500)
    expect(((second!.options.ts![0] - first!.options.ts![0]) | 0) / (second!.at - first!.at)).to.be.closeTo(
      1,
      0.05,
    )
  })

  it('tcp-ts-ooo: an early segment with a newer value does not change the echo', async () => {
    const peer = await open(bench(), DISCARD, ALL)
    await peer.write([1], { options: { ts: [7000, peer.echo] } }, 100)
    const [answer] = await peer.send({ seq: 20, data: [1], options: { ts: [7500, peer.echo] } })
    expect(answer!.options.ts![1]).to.equal(7000)
  })

  it('tcp-paws: an old value: not accepted, but acknowledged', async () => {
    const peer = await open(bench(), DISCARD, ALL)
    await peer.write([1], { options: { ts: [7000, peer.echo] } }, 100)
    const answer = await peer.send({ data: [66], options: { ts: [6000, peer.echo] } })
    expect(brief(answer)).to.deep.equal(['A 1 ack 2'])
    await peer.elapse(500)
    expect(bench().discarded).to.deep.equal([1])
    expect(bench().count('TcpExtPAWSEstab')).to.equal(1)
  })

  it('tcp-paws-rst: RST needs none', async () => {
    const peer = await open(bench(), DISCARD, ALL)
    await peer.send({ flags: 'R', options: {} })
    expect(brief(await peer.send())).to.deep.equal(['R 1'])
  })

  it('tcp-ts-missing: data without them is dropped in silence', async () => {
    const peer = await open(bench(), DISCARD, ALL)
    expect(await peer.send({ data: [1, 2], options: {} }, 1000)).to.deep.equal([])
    expect(bench().discarded).to.deep.equal([])
    expect(await peer.isAlive()).to.equal(true)
  })

  it('tcp-ts-recent-age: a value of 24 days ago says nothing any more', async () => {
    const peer = await open(bench(), DISCARD, ALL)
    await peer.write([1], { options: { ts: [7000, peer.echo] } }, 100)
    bench().clock.advance(25 * 86400 * 1e9)
    const answer = await peer.write([2], { options: { ts: [6000, peer.echo] } }, 500)
    expect(ackOf(answer)).to.equal(3)
    expect(bench().discarded).to.deep.equal([1, 2])
  })
})

describe('TCP: the window that is offered (RFC 9293 §3.8.6)', () => {
  it('tcp-zerowin-adv: it closes when nobody reads, and a probe is answered (hardening-21)', async () => {
    const peer = await open(bench(), HOLD)
    let window = 65535
    for (let i = 0; i < 200 && window > 0; i++) {
      const size = Math.min(1460, window)
      const answers = await peer.write(pattern(size, i), {}, 50)
      if (answers.length > 0) window = answers.at(-1)!.window - (peer.next - answers.at(-1)!.ack)
    }
    expect(window).to.equal(0)
    const full = peer.next
    const beyond = await peer.send({ data: pattern(100) }, 100)
    expect(beyond.at(-1)).to.include({ ack: full, window: 0 })
    await peer.elapse(1000)
    const probe = await peer.send({ data: [1] }, 100)
    expect(probe.at(-1)).to.include({ ack: full, window: 0 })
    // tcp-win-update: the application reads all, and the peer hears of it without asking.
    const buffer = new Uint8Array(1 << 20)
    expect(await bench().held[0]!.readInto(buffer)).to.equal(full - 1)
    const update = await peer.elapse(10)
    expect(update.at(-1)!.ack).to.equal(full)
    expect(update.at(-1)!.window).to.be.at.least(1460)
  })

  it('tcp-win-update, tcp-sws-recv: read byte by byte, it opens by a segment or half of the buffer', async () => {
    const peer = await open(bench(), HOLD)
    let window = 65535
    for (let i = 0; i < 200 && window > 0; i++) {
      const answers = await peer.write(pattern(Math.min(1460, window), i), {}, 50)
      if (answers.length > 0) window = answers.at(-1)!.window - (peer.next - answers.at(-1)!.ack)
    }
    const [socket] = bench().held
    const byte = new Uint8Array(1)
    const updates: Segment[] = []
    for (let i = 0; i < 5000; i++) {
      await socket!.readInto(byte)
      updates.push(...(await peer.elapse(0)))
    }
    expect(updates.length).to.be.within(1, 4)
    for (const update of updates) expect(update.window).to.be.at.least(1460)
  })

  it('tcp-win-noshrink: its right edge never moves left', async () => {
    const peer = await open(bench(), HOLD, { mss: 1460, scale: 7 })
    let edge = 0
    const look = (segments: readonly Segment[], scale: number): void => {
      for (const { ack, window } of segments) {
        expect(ack + (window << scale)).to.be.at.least(edge)
        edge = ack + (window << scale)
      }
    }
    const buffer = new Uint8Array(5000)
    for (let i = 0; i < 300; i++) {
      look(await peer.write(pattern(1 + ((i * 977) % 1460), i), {}, 45), 7)
      if (i % 3 === 0) await bench().held[0]!.readInto(buffer, 0, 1 + ((i * 131) % 4000))
      look(await peer.elapse(0), 7)
      if (edge - peer.next < 1460) break
    }
    expect(edge).to.be.greaterThan(60_000)
  })

  it('data that ends beyond the window is not taken while other data waits; its acknowledgment counts', async () => {
    const peer = await open(bench(), HOLD)
    const first = (await peer.write([1], {}, 100)).at(-1)!
    const edge = first.ack + first.window
    const answers = await peer.send({ seq: edge - 5, data: pattern(10) })
    expect(bench().count('TcpExtBeyondWindow')).to.equal(1)
    while (peer.next < edge - 5) {
      answers.push(...(await peer.write(pattern(Math.min(1460, edge - 5 - peer.next)))))
    }
    answers.push(...(await peer.elapse(100)))
    expect(ackOf(answers)).to.equal(edge - 5)
  })

  it('data that begins within the window and ends beyond it is taken where nothing waits', async () => {
    const peer = await open(bench(), HOLD)
    const answers = await peer.write(pattern(65_495), {}, 100)
    expect(bench().count('TcpExtBeyondWindow')).to.equal(0)
    expect(ackOf(answers)).to.equal(peer.next)
    expect(answers.at(-1)!.window).to.equal(0)
  })
})
