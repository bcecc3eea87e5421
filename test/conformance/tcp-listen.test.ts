import { expect } from 'chai'
import { useBench } from './harness.ts'
import { pattern } from './packets.ts'
import {
  brief,
  CHARGEN,
  CLOSED,
  DISCARD,
  ECHO,
  type Fields,
  open,
  Peer,
  type Segment,
  TcpBench,
  tcpSegment,
} from './tcp-peer.ts'

const bench = useBench(() => new TcpBench())

/** Sends segments with absolute numbers; what comes back, absolute too. */
async function exchange(...list: Fields[]): Promise<Segment[]> {
  bench().tun.push(...list.map((fields) => tcpSegment({ sport: 42000, ...fields })))
  return bench().elapse()
}

async function answers(...list: Fields[]): Promise<string[]> {
  return brief(await exchange(...list))
}

/** A new connection can be opened. */
async function expectListening(): Promise<void> {
  const peer = await open(bench(), ECHO, { mss: 1460 }, { ownPort: 43000 })
  expect(await peer.isAlive()).to.equal(true)
}

describe('TCP: segments for a port that nobody has (RFC 9293 §3.10.7.1)', () => {
  const dport = CLOSED

  it('tcp-closed-syn: RST,ACK of the SYN', async () => {
    expect(await answers({ dport, flags: 'S', seq: 5000 })).to.deep.equal(['RA 0 ack 5001'])
    expect(await answers({ dport, flags: 'S', seq: -1 >>> 0 })).to.deep.equal(['RA 0 ack 0'])
  })

  it('tcp-closed-syndata: and of its data', async () => {
    const syn = { dport, flags: 'S', seq: 5000, data: pattern(10) }
    expect(await answers(syn)).to.deep.equal(['RA 0 ack 5011'])
  })

  it('tcp-closed-null: no flags at all', async () => {
    expect(await answers({ dport, flags: '', seq: 5000 })).to.deep.equal(['RA 0 ack 5000'])
  })

  it('tcp-closed-fa, tcp-closed-pa: with ACK a RST from there', async () => {
    expect(await answers({ dport, flags: 'FA', seq: 5000, ack: 777 })).to.deep.equal(['R 777'])
    expect(await answers({ dport, flags: 'PA', seq: 5000, ack: 778, data: pattern(3) })).to.deep.equal([
      'R 778',
    ])
    expect(await answers({ dport, flags: 'SA', seq: 5000, ack: 779 })).to.deep.equal(['R 779'])
  })

  it('tcp-closed-rst: never an answer to RST', async () => {
    expect(
      await answers({ dport, flags: 'R', seq: 1 }, { dport, flags: 'RA', seq: 1, ack: 2 }),
    ).to.deep.equal([])
  })
})

describe('TCP: segments for a listener (RFC 9293 §3.10.7.2)', () => {
  const dport = ECHO

  it('tcp-listen-rst, tcp-listen-synrst: RST is ignored, with SYN too', async () => {
    expect(
      await answers({ dport, flags: 'R' }, { dport, flags: 'RA', ack: 1 }, { dport, flags: 'SR' }),
    ).to.deep.equal([])
    await expectListening()
  })

  it('tcp-listen-fin, tcp-listen-null, tcp-listen-xmas: silence', async () => {
    expect(await answers({ dport, flags: 'F' }, { dport, flags: '' }, { dport, flags: 'FPU' })).to.deep.equal(
      [],
    )
    await expectListening()
  })

  it('an ACK out of nothing gets RST', async () => {
    expect(await answers({ dport, flags: 'A', ack: 31337 })).to.deep.equal(['R 31337'])
  })
})

describe('TCP: segments that are none', () => {
  it('tcp-cksum-bad: a wrong checksum, at an open and at a closed port', async () => {
    for (const dport of [ECHO, CLOSED]) {
      expect(await answers({ dport, flags: 'S', checksum: 0x1234 })).to.deep.equal([])
    }
    expect(bench().count('TcpInCsumErrors')).to.equal(2)
    await expectListening()
  })

  it('tcp-offset-small, tcp-offset-long: a data offset below the header, and beyond the segment (hardening-15)', async () => {
    for (const dport of [ECHO, CLOSED]) {
      for (const dataOffset of [0, 4, 15]) {
        expect(await answers({ dport, flags: 'S', dataOffset })).to.deep.equal([])
      }
    }
    await expectListening()
  })

  it('tcp-src-invalid: sources that are nobody (hardening-17)', async () => {
    for (const src of ['255.255.255.255', '10.9.0.255', '224.0.0.1', '0.0.0.0', '127.0.0.1']) {
      for (const dport of [ECHO, CLOSED])
        expect(await answers({ dport, flags: 'S', src }), src).to.deep.equal([])
    }
    for (const dst of ['255.255.255.255', '10.9.0.255', '224.0.0.1']) {
      for (const dport of [ECHO, CLOSED]) expect(await answers({ dport, flags: 'S', dst })).to.deep.equal([])
    }
    await expectListening()
  })

  it('tcp-opt-badlen: options of length 0, 1 and past the header (hardening-15)', async () => {
    for (const rawOptions of [
      [2, 0, 5, 0xb4],
      [2, 1, 5, 0xb4],
      [2, 40, 5, 0xb4],
      [3, 0, 1, 1],
      [8, 255, 0, 0],
      [5, 2, 1, 2],
      [1, 1, 1, 2],
    ]) {
      const sport = 44000 + rawOptions[0]! * 50 + rawOptions[1]!
      const [answer] = await exchange({ dport: ECHO, flags: 'S', rawOptions, sport })
      expect(answer!.flags).to.equal('SA')
      expect(answer!.options).to.deep.equal({ mss: 1460 })
    }
    await expectListening()
  })

  it('tcp-garbage: thousands of random headers leave a connection alone that they do not hit', async () => {
    const peer = await open(bench(), ECHO)
    let state = 12345
    const random = (n: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) | 0
      return (state >>> 8) % n
    }
    for (let i = 0; i < 3000; i++) {
      const flags = [...'FSRPAUEC'].filter(() => random(2) === 0).join('')
      const rawOptions = Array.from({ length: 4 * random(11) }, () => random(256))
      const fields = { flags, rawOptions, dport: ECHO, sport: 20_000 + random(100), urgent: random(65536) }
      bench().tun.push(
        tcpSegment({
          ...fields,
          seq: random(0x10000) * random(0x10000),
          ack: random(0x10000) * random(0x10000),
          window: random(65536),
          data: pattern(random(30)),
          dataOffset: random(20) === 0 ? random(16) : 5 + rawOptions.length / 4,
          reserved: random(16),
        }),
        // Out of the window of the open connection.
        peer.build({
          flags,
          rawOptions,
          seq: 0x40000000 + random(0x10000) * 0x1000,
          ack: random(0x10000) * 0x8000,
        }),
      )
      if (i % 50 === 0) await bench().elapse(1)
    }
    await bench().elapse(1000)
    expect(await peer.isAlive()).to.equal(true)
    bench().expectAlive()
  }).timeout(60_000)

  it('tcp-synflood: thousands of SYNs from made-up sources, and a real connection still opens (hardening-12)', async () => {
    for (let i = 0; i < 3000; i++) {
      bench().tun.push(
        tcpSegment({
          flags: 'S',
          seq: i * 7919,
          src: `10.200.${i >> 8}.${i & 255 || 1}`,
          sport: 1024 + i,
          dport: ECHO,
        }),
      )
      if (i % 100 === 0) await bench().elapse(0)
    }
    bench().tun.take()
    let opened = false
    for (let second = 0; second < 5 && !opened; second++) {
      const peer = new Peer(bench(), ECHO, { ownPort: 45_000 })
      const answer = (await peer.send({ flags: 'S', seq: 0, options: { mss: 1460 } }, 1000)).filter(
        ({ flags }) => flags === 'SA',
      )[0]
      if (answer === undefined) continue
      peer.irs = answer.seq
      peer.next = peer.received = 1
      await peer.send()
      opened = await peer.isAlive()
    }
    expect(opened).to.equal(true)
    bench().expectAlive()
  }).timeout(60_000)
})

describe('TCP: options of a SYN', () => {
  it('tcp-opt-unknown, tcp-ecn-syn: unknown options, ECE and CWR, and reserved bits (hardening-25)', async () => {
    const odd: Fields[] = [
      { rawOptions: [253, 4, 1, 2, 30, 4, 9, 9, 2, 4, 5, 0xb4] },
      { flags: 'SEC' },
      { reserved: 0xf },
      { reserved: 1, flags: 'SE' },
    ]
    for (const [i, fields] of odd.entries()) {
      const peer = new Peer(bench(), ECHO, { ownPort: 46_000 + i })
      const [answer] = await peer.send({ flags: 'S', seq: 0, ...fields })
      expect(answer!.flags.replace('E', '')).to.equal('SA')
      peer.irs = answer!.seq
      peer.next = peer.received = 1
      await peer.send()
      expect(await peer.isAlive()).to.equal(true)
    }
  })

  it('tcp-opt-none: answers with none of window scale, timestamps and SACK', async () => {
    const peer = new Peer(bench(), ECHO)
    const answer = await peer.open({})
    expect(answer.options).to.deep.equal({ mss: 1460 })
    const data = await peer.write(pattern(100))
    for (const segment of data) expect(segment.options).to.deep.equal({})
  })

  it('tcp-syn, tcp-ws, tcp-ts: answers each that is offered; its own window is not scaled', async () => {
    const peer = new Peer(bench(), ECHO)
    const answer = await peer.open({ mss: 1460, scale: 7, sackOk: true, ts: [5000, 0] })
    expect(answer.ack).to.equal(1)
    expect(answer.options.scale).to.be.within(0, 14)
    expect(answer.options.sackOk).to.equal(true)
    expect(answer.options.ts![1]).to.equal(5000)
    expect(answer.window).to.be.within(1460, 65535)
    expect(peer.take(await peer.write(pattern(300)))).to.deep.equal(pattern(300))
  })

  it('tcp-mss-default, tcp-mss-300: no segment is larger than the peer allows', async () => {
    for (const [options, mss] of [
      [{}, 536],
      [{ mss: 300 }, 300],
      [{ mss: 300, ts: [1, 0] as const }, 288],
    ] as const) {
      const peer = await open(bench(), ECHO, options, { ownPort: 47_000 + mss })
      const data = pattern(3000)
      const got: number[] = []
      for (let at = 0; at < 3000; at += 500) {
        const segments = await peer.write(data.subarray(at, at + 500))
        for (const segment of segments) expect(segment.data.length).to.be.at.most(mss)
        got.push(...peer.take(segments))
        await peer.send()
      }
      for (let i = 0; i < 10 && got.length < 3000; i++) got.push(...peer.take(await peer.send({}, 300)))
      expect(Uint8Array.from(got)).to.deep.equal(data)
    }
  })

  it('tcp-ws-15: a shift of 15 is taken for 14', async () => {
    const peer = new Peer(bench(), CHARGEN, { ownPort: 48_000 })
    peer.window = 1
    await peer.open({ mss: 1000, scale: 15 })
    // One unit is 16384 bytes then, and not 32768: ten segments are what the initial window allows anyway.
    const segments = await peer.elapse(100)
    const sent = segments.reduce((sum, { data }) => sum + data.length, 0)
    expect(sent).to.be.at.most(16384)
  })

  it('tcp-isn, tcp-isn-sametuple: numbers without a pattern, that grow for one four-tuple (hardening-4)', async () => {
    const numbers: number[] = []
    for (let i = 0; i < 12; i++) {
      const peer = new Peer(bench(), DISCARD, { ownPort: 49_000 + i })
      numbers.push((await peer.open()).seq)
    }
    const steps = numbers.slice(1).map((seq, i) => (seq - numbers[i]!) >>> 0)
    expect(new Set(numbers).size).to.equal(12)
    expect(new Set(steps).size).to.equal(11)
    const peer = new Peer(bench(), DISCARD, { ownPort: 49_100 })
    const first = (await peer.open()).seq
    await peer.send({ flags: 'R' })
    await bench().elapse(1000)
    const second = (await new Peer(bench(), DISCARD, { ownPort: 49_100 }).open()).seq
    expect((second - first) | 0).to.be.greaterThan(0)
  })

  it('tcp-options-order: padded with NOP or zero, and of the right length', async () => {
    const peer = new Peer(bench(), ECHO)
    const answer = await peer.open({ mss: 1460, scale: 7, sackOk: true, ts: [5000, 0] })
    expect(answer.kinds).to.deep.equal([2, 4, 8, 1, 3])
  })
})
