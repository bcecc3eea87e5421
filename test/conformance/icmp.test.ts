import { expect } from 'chai'
import type { Stack } from '../../lib/index.ts'
import { HOST, HostBench, INNER, PEER, useBench } from './harness.ts'
import {
  type Bytes,
  concat,
  decode,
  echoReply,
  echoRequest,
  fragment,
  fragments,
  hex,
  icmp,
  icmpMessage,
  internetChecksum,
  ipv4,
  pattern,
  udp,
} from './packets.ts'

const TO_HOST = { src: PEER, dst: HOST }
const bench = useBench(() => new HostBench())

function expectSilence(...packets: Uint8Array[]): void {
  for (const packet of packets) {
    expect(bench().exchange(bench().tun, packet), hex(packet.slice(0, 40))).to.deep.equal([])
  }
}

describe('ICMP echo (RFC 792, RFC 1122 §3.2.2.6)', () => {
  for (const size of [0, 56, 57, 1472]) {
    it(`icmp-echo-${size}: replies to ${size} bytes with the same identifier, sequence and data`, () => {
      const data = pattern(size)
      const request = echoRequest(TO_HOST, { identifier: 0xbeef, sequence: 0xfffe, data })
      const icmp = { type: 0, code: 0, identifier: 0xbeef, sequence: 0xfffe, data }
      bench().expect(bench().tun, request, [{ src: HOST, dst: PEER, length: 28 + size, df: false, icmp }])
      expect(bench().count('IcmpInEchos')).to.equal(1)
      expect(bench().count('IcmpOutEchoReps')).to.equal(1)
    })
  }

  it('icmp-echo-cksum-edge: every reply has a valid checksum, also around 0 and 0xffff', () => {
    let seen = 0
    for (const target of [0xffff, 0x0000, 0x0800, 0xf7ff]) {
      for (let near = -64; near < 64; near++) {
        // The word that makes the checksum of the request what is wanted.
        const wanted = (target + near) & 0xffff
        const rest = icmpMessage({ type: 8, word: 0x00070001, checksum: 0 }, [0, 0, 1, 2])
        let filler = (~wanted & 0xffff) - (~internetChecksum(rest) & 0xffff)
        if (filler < 0) filler += 0xffff
        const data = [filler >>> 8, filler & 0xff, 1, 2]
        const request = echoRequest(TO_HOST, { identifier: 7, sequence: 1, data })
        if (((request[22]! << 8) | request[23]!) === wanted) seen++
        bench().expect(bench().tun, request, [{ icmp: { type: 0, data } }])
      }
    }
    expect(seen).to.be.at.least(510) // of the two zeros there is only one
  })

  it('icmp-echo-cksum-edge: a reply of nothing but zeros has the checksum 0xffff', () => {
    for (const size of [0, 1, 2, 56]) {
      const request = echoRequest(TO_HOST, { identifier: 0, sequence: 0, data: new Uint8Array(size) })
      expect(hex(request.slice(22, 24))).to.equal('f7ff')
      const [reply] = bench().exchange(bench().tun, request)
      expect(decode(reply!).icmp).to.include({ type: 0, identifier: 0, sequence: 0 })
      expect(hex(reply!.slice(22, 24))).to.equal('ffff')
    }
  })

  it('icmp-echo-8k: 8000 bytes come and go in fragments', () => {
    const data = pattern(8000)
    const pieces = fragments(echoRequest(TO_HOST, { data }), 1480)
    const replies = bench().exchange(bench().tun, ...pieces)
    expect(replies).to.have.length(6)
    const whole = concat(...replies.map((piece) => decode(piece).payload))
    expect(internetChecksum(whole)).to.equal(0)
    expect(hex(whole.slice(8))).to.equal(hex(data))
  })

  it('icmp-echo-bcast: no answer to a broadcast or multicast address (icmp_echo_ignore_broadcasts)', () => {
    for (const dst of ['10.9.0.255', '255.255.255.255', '224.0.0.1', '10.0.3.255']) {
      expectSilence(echoRequest({ src: PEER, dst }))
    }
    bench().expectAlive()
  })

  it('icmp-echo-bcast: if told to, it answers from a unicast address of its own', () => {
    const { stack, tun } = bench()
    stack.sysctlSet('net.ipv4.icmp_echo_ignore_broadcasts', 0)
    for (const dst of ['10.9.0.255', '255.255.255.255', '224.0.0.1']) {
      bench().expect(tun, echoRequest({ src: PEER, dst }), [{ src: HOST, dst: PEER, icmp: { type: 0 } }])
    }
  })

  it('icmp_echo_ignore_all: says nothing', () => {
    bench().stack.sysctlSet('net.ipv4.icmp_echo_ignore_all', 1)
    expectSilence(echoRequest(TO_HOST))
    expect(bench().count('IcmpInEchos')).to.equal(1)
  })

  it('icmp-ts-rate, icmp-bcast-amplify: a smurf flood is not amplified, whatever it asks for', () => {
    const flood: Bytes[] = []
    for (let i = 0; i < 500; i++) {
      const dst = ['10.9.0.255', '255.255.255.255', '224.0.0.1'][i % 3]!
      flood.push(echoRequest({ src: '198.51.100.7', dst }, { sequence: i }))
      flood.push(icmp({ src: '198.51.100.7', dst }, { type: 13 }, pattern(12)))
    }
    expect(bench().exchange(bench().tun, ...flood)).to.deep.equal([])
    bench().expectAlive()
  })
})

describe('ICMP input that is wrong or not for us (RFC 1122 §3.2.2)', () => {
  it('icmp-cksum-bad: discards a wrong checksum', () => {
    expectSilence(echoRequest(TO_HOST, { checksum: 0x1234 }))
    expect(bench().count('IcmpInCsumErrors')).to.equal(1)
    expect(bench().count('IcmpInErrors')).to.equal(1)
  })

  it('icmp-short: discards messages of 0…7 bytes', () => {
    const whole = icmpMessage({ type: 8 })
    for (let length = 0; length < 8; length++) {
      const short = whole.slice(0, length)
      if (length >= 4) {
        short[2] = short[3] = 0
        const check = internetChecksum(short)
        short[2] = check >>> 8
        short[3] = check
      }
      expectSilence(ipv4({ ...TO_HOST, protocol: 1 }, short))
    }
    expect(bench().count('IcmpInErrors')).to.equal(8)
    bench().expectAlive()
  })

  it('icmp-ts: answers a timestamp request with the time of day', () => {
    bench().pass(5_000)
    const request = icmp(TO_HOST, { type: 13, word: 0x00420007 }, [0, 0, 0, 99, 1, 2, 3, 4, 5, 6, 7, 8])
    const now = [0, 0, 5000 >>> 8, 5000 & 0xff]
    bench().expect(bench().tun, request, [
      { icmp: { type: 14, code: 0, identifier: 0x42, sequence: 7, data: [0, 0, 0, 99, ...now, ...now] } },
    ])
    expectSilence(icmp(TO_HOST, { type: 13 }, [1, 2, 3])) // not even an originate timestamp
    expect(bench().count('IcmpInErrors')).to.equal(1)
  })

  it('icmp-info-mask: no reply to information and address mask requests', () => {
    expectSilence(icmp(TO_HOST, { type: 15 }), icmp(TO_HOST, { type: 17 }, [0, 0, 0, 0]))
    expect(bench().count('IcmpInAddrMasks')).to.equal(1)
  })

  it('icmp-stray: says nothing to messages that nobody waits for', () => {
    const about = ipv4({ src: HOST, dst: PEER, protocol: 200 }, pattern(8))
    const quotes: Uint8Array[] = [
      about,
      about.slice(0, 20),
      about.slice(0, 19),
      new Uint8Array(0),
      pattern(28),
    ]
    const lying = about.slice()
    lying[0] = 0x4f // a quoted header longer than the quote
    quotes.push(lying)
    expectSilence(echoReply(TO_HOST))
    for (const type of [3, 4, 5, 9, 10, 11, 12, 14, 16, 18]) {
      for (let code = 0; code < 17; code++) {
        for (const quote of quotes) expectSilence(icmp(TO_HOST, { type, code, word: 0x0a090063 }, quote))
      }
    }
    for (let type = 19; type < 256; type += 7) expectSilence(icmp(TO_HOST, { type }, pattern(32)))
    bench().expectAlive()
  })
})

describe('ICMP errors that this host sends (RFC 1122 §3.2.2, RFC 1812 §4.3)', () => {
  const CLOSED = { dport: 9 }

  it('icmp-quote: quotes the datagram as it was received', () => {
    const packet = udp({ ...TO_HOST, tos: 8, ttl: 9 }, CLOSED, pattern(20))
    bench().expect(bench().tun, packet, [{ icmp: { type: 3, code: 3, data: packet } }])
  })

  it('icmp-quote-options: quotes header, options and at least 8 bytes behind, options as received', () => {
    for (const options of [
      [1, 1, 1, 1, 0x9e, 4, 0, 0],
      [7, 7, 4, 0, 0, 0, 0, 0],
      [0, 9, 9, 9, 9, 9, 9, 9],
    ]) {
      const packet = udp({ ...TO_HOST, options }, CLOSED, pattern(20))
      bench().expect(bench().tun, packet, [{ icmp: { type: 3, code: 3, data: packet } }])
    }
  })

  it('icmp-quote-max: an error has 576 bytes at most', () => {
    const packet = udp(TO_HOST, CLOSED, pattern(1400))
    bench().expect(bench().tun, packet, [{ length: 576, icmp: { type: 3, data: packet.slice(0, 548) } }])
  })

  it('does not quote what is behind the datagram, be it of IP or of UDP', () => {
    const padded = udp({ ...TO_HOST, trailer: 30 }, CLOSED, pattern(4))
    bench().expect(bench().tun, padded, [{ icmp: { data: padded.slice(0, 32) } }])
    const inner = udp(TO_HOST, { dport: 9, length: 12 }, pattern(40))
    inner[26] = inner[27] = 0 // no checksum: it would be one over 12 bytes
    bench().expect(bench().tun, inner, [{ icmp: { data: inner.slice(0, 32) } }])
  })

  it('icmp-err-src: comes from the address that the datagram was sent to', () => {
    for (const dst of [HOST, INNER, '10.0.3.77']) {
      bench().expect(bench().tun, udp({ src: PEER, dst }, CLOSED), [{ src: dst, dst: PEER }])
    }
  })

  it('icmp-err-tos: has the precedence of internetwork control, and the TOS bits of what it is about', () => {
    bench().expect(bench().tun, udp(TO_HOST, CLOSED), [{ tos: 0xc0 }])
    bench().expect(bench().tun, udp({ ...TO_HOST, tos: 0xff }, CLOSED), [{ tos: 0xde }])
  })

  it('icmp-noerr-bcast, icmp-noerr-mcast: no error about what was sent to many (hardening-13)', () => {
    for (const dst of ['255.255.255.255', '10.9.0.255', '10.0.3.255', '224.0.0.1']) {
      expectSilence(udp({ src: PEER, dst }, CLOSED), ipv4({ src: PEER, dst, protocol: 253 }, pattern(8)))
    }
    expect(bench().count('UdpIgnoredMulti')).to.equal(4)
    expect(bench().count('IcmpOutMsgs')).to.equal(0)
  })

  it('icmp-noerr-badsrc: no error to who cannot be one sender (hardening-13)', () => {
    for (const src of ['0.0.0.0', '127.0.0.1', '255.255.255.255', '224.0.0.1', '10.9.0.255', '250.0.0.1']) {
      const expected = src === '250.0.0.1' ? 1 : 0 // class E is unicast for Linux
      const answers = bench().exchange(bench().tun, udp({ src, dst: HOST }, CLOSED))
      expect(answers, src).to.have.length(expected)
    }
  })

  it('icmp-noerr-nonfirst: no error about a fragment that is not the first (hardening-13)', () => {
    const header = ipv4({ ...TO_HOST, protocol: 253 }, [])
    expectSilence(fragment(header, pattern(16), 64, true))
    bench().pass(31_000)
    expect(bench().tun.take()).to.deep.equal([])
  })

  it('icmp-noerr-icmperr: no error about an ICMP error, nor about an unknown type (hardening-13)', () => {
    // What would be told of an option that is wrong is not told of an error that has one.
    const options = [7, 2, 4, 0]
    for (const type of [3, 4, 5, 11, 12, 19, 40, 255]) {
      expectSilence(icmp({ ...TO_HOST, options }, { type }, udp({ src: HOST, dst: PEER }, CLOSED)))
    }
    bench().expect(bench().tun, echoRequest({ ...TO_HOST, options }), [{ icmp: { type: 12 } }])
    expectSilence(ipv4({ ...TO_HOST, options, protocol: 1 }, [])) // no type to look at
  })

  it('icmp-ratelimit: 1000 datagrams to closed ports are answered by a burst, then one a second', () => {
    const flood = (): Bytes[] => Array.from({ length: 1000 }, (_, i) => udp(TO_HOST, { dport: 1 + i }))
    expect(bench().exchange(bench().tun, ...flood())).to.have.length(6)
    expect(bench().count('IcmpOutRateLimitHost')).to.be.greaterThan(0)
    bench().pass(1000)
    expect(bench().exchange(bench().tun, ...flood())).to.have.length(1)
    bench().pass(3000)
    expect(bench().exchange(bench().tun, ...flood())).to.have.length(3)
    bench().expectAlive() // echo replies are not limited
  })

  it('icmp-ratelimit: all senders together get icmp_msgs_per_sec (hardening-13)', () => {
    const { tun } = bench()
    const from = (i: number): Bytes => udp({ src: `10.77.${i >>> 8}.${i & 255}`, dst: HOST }, { dport: 9 })
    const flood = Array.from({ length: 5000 }, (_, i) => from(i))
    const answers = bench().exchange(tun, ...flood).length
    expect(answers).to.be.within(25, 150) // a burst of 50, of which each takes 0, 1 or 2
    expect(bench().count('IcmpOutRateLimitGlobal')).to.equal(5000 - answers)
  })

  it('an error about a packet of this host itself comes back to it, and is not limited on loopback', async () => {
    const { stack } = bench()
    for (let i = 0; i < 20; i++) {
      const endpoint = stack.udp.bind({ onMessage: () => {} })
      endpoint.send(pattern(1), { address: '10.0.3.1', port: 9 })
      endpoint.close()
    }
    bench().settle()
    expect(bench().count('IcmpInDestUnreachs')).to.equal(20)
    expect(bench().count('IcmpOutDestUnreachs')).to.equal(20)
  })

  it('comes from 192.0.0.8 where the router has no address at all', async () => {
    const { stack, tun } = bench()
    stack.interface('tun0').removeAddress(`${HOST}/24`)
    stack.loopback.removeAddress(`${INNER}/24`)
    stack.sysctlSet('net.ipv4.ip_forward', 1)
    stack.routes.add('192.0.2.0/24 dev tun0')
    stack.routes.add('unreachable 198.51.100.0/24')
    const [error] = bench().exchange(tun, udp({ src: '192.0.2.9', dst: '198.51.100.1' }, CLOSED))
    expect(decode(error!)).to.deep.include({ src: '192.0.0.8', dst: '192.0.2.9' })
  })
})

describe('ICMP errors that this host receives (RFC 1122 §3.2.2)', () => {
  /** A ping that is under way, and the request that it sent. */
  function startPing(options: Parameters<Stack['ping']>[1] = {}) {
    const result = bench().stack.ping('192.0.2.5', { timeout: 1000, ...options })
    bench().settle()
    const [request] = bench().tun.take()
    return { result, request: request! }
  }

  it('are passed up to who sent the packet: a ping ends with the error (RFC 1122 §3.2.2.1, §3.2.2.4)', async () => {
    for (const [type, code, errno] of [
      [3, 0, 'ENETUNREACH'],
      [3, 1, 'EHOSTUNREACH'],
      [3, 13, 'EHOSTUNREACH'],
      [11, 0, 'EHOSTUNREACH'],
      [12, 0, 'EPROTO'],
    ] as const) {
      const { result, request } = startPing()
      bench().exchange(
        bench().tun,
        icmp({ src: '192.0.2.1', dst: HOST }, { type, code }, request.slice(0, 28)),
      )
      const [probe] = (await result).probes
      expect(probe).to.deep.include({ outcome: 'error', code: errno, from: '192.0.2.1' })
    }
  })

  it('icmp-paramprob: a Parameter Problem is passed up with its pointer', async () => {
    const { result, request } = startPing()
    const error = icmp(
      { src: PEER, dst: HOST },
      { type: 12, code: 0, word: 0x15000000 },
      request.slice(0, 28),
    )
    bench().exchange(bench().tun, error)
    expect((await result).probes[0]!.icmp).to.deep.equal({ type: 12, code: 0, info: 0x15 })
  })

  it('hardening-14: an error that quotes no packet of ours is ignored', async () => {
    const { result, request } = startPing()
    const forge = (change: (quote: Bytes) => void): Bytes => {
      const quote = request.slice(0, 28)
      change(quote)
      return icmp({ src: '192.0.2.1', dst: HOST }, { type: 3, code: 1 }, quote)
    }
    const forged = [
      forge((quote) => quote.set([quote[24]! ^ 1], 24)), // another identifier
      forge((quote) => quote.set([192, 0, 2, 99], 16)), // another destination
      forge((quote) => quote.set([0], 20)), // an echo reply
      forge((quote) => quote.set([17], 9)), // another protocol
      forge((quote) => quote.set([quote[27]! ^ 0x40], 27)), // a sequence number that was never sent
    ]
    bench().exchange(bench().tun, ...forged)
    bench().pass(1001)
    expect((await result).probes[0]).to.include({ outcome: 'timeout' })
  })

  it('hardening-14: source quench changes nothing (RFC 6633)', async () => {
    const { result, request } = startPing()
    bench().exchange(bench().tun, icmp({ src: PEER, dst: HOST }, { type: 4 }, request.slice(0, 28)))
    expect(bench().count('IcmpInSrcQuenchs')).to.equal(1)
    bench().exchange(bench().tun, replyTo(request))
    expect((await result).received).to.equal(1)
  })

  it('hardening-14: a path MTU has a floor and is never raised (RFC 5927 §7, RFC 1191 §3)', async () => {
    for (const [told, kept] of [
      [1400, 1400],
      [1400, 1400],
      [9000, 1400],
      [1000, 1000],
      [1200, 1000],
      [0, 552],
      [68, 552],
      [20, 552],
    ] as const) {
      const { result, request } = startPing({ size: 400 })
      const error = icmp({ src: PEER, dst: HOST }, { type: 3, code: 4, word: told }, request.slice(0, 28))
      bench().exchange(bench().tun, error)
      await result
      // DF is refused from there on: what fits shows the path MTU.
      expect(await largestWhole(), `after ${told}`).to.equal(kept)
    }
  })

  it('hardening-14: ICMP about an unknown quote teaches no path MTU', async () => {
    const quote = udp({ src: HOST, dst: '192.0.2.5' }, { sport: 1234, dport: 9 }).slice(0, 28)
    bench().exchange(bench().tun, icmp(TO_HOST, { type: 3, code: 4, word: 600 }, quote))
    const echo = echoRequest({ src: HOST, dst: '192.0.2.5' }).slice(0, 28)
    bench().exchange(bench().tun, icmp(TO_HOST, { type: 3, code: 4, word: 600 }, echo))
    expect(await largestWhole()).to.equal(1500)
  })

  it('a learnt path MTU lapses after mtu_expires', async () => {
    const { result, request } = startPing()
    bench().exchange(bench().tun, icmp(TO_HOST, { type: 3, code: 4, word: 800 }, request.slice(0, 28)))
    await result
    expect(await largestWhole()).to.equal(800)
    bench().pass(599_000)
    expect(await largestWhole()).to.equal(800)
    bench().pass(1_001)
    expect(await largestWhole()).to.equal(1500)
  })

  /** The largest packet to 192.0.2.5 that leaves in one piece. */
  async function largestWhole(): Promise<number> {
    let low = 0
    let high = 1473
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      const { result } = startPingAny(middle)
      const whole = bench().tun.take().length === 1
      bench().pass(2)
      await result
      if (whole) low = middle
      else high = middle
    }
    return low + 28
  }

  function startPingAny(size: number): { result: ReturnType<Stack['ping']> } {
    const result = bench().stack.ping('192.0.2.5', { size, timeout: 1 })
    bench().settle()
    return { result }
  }

  function replyTo(request: Bytes): Bytes {
    const { src, dst, icmp: message } = decode(request)
    const { identifier, sequence, data } = message!
    return echoReply({ src: dst, dst: src }, { identifier, sequence, data })
  }
})
