import { expect } from 'chai'
import { DropReason } from '../../lib/index.ts'
import { HOST, HostBench, INNER, PEER, useBench } from './harness.ts'
import { decode, echoRequest, fragments, icmp, ipv4, pattern, tcp, udp } from './packets.ts'

const TO_HOST = { src: PEER, dst: HOST }

describe('IPv4 input (RFC 791, RFC 1122 §3.2.1)', () => {
  const bench = useBench(() => new HostBench())

  /** Nothing comes back, the packet is counted as said, and the stack lives on. */
  function expectDiscarded(packet: Uint8Array, counter: string | null, reason?: number): void {
    const { stack, tun } = bench()
    const before = counter === null ? 0 : bench().count(counter)
    const drops = reason === undefined ? 0 : stack.mib.drops[reason]!
    expect(bench().exchange(tun, packet)).to.deep.equal([])
    if (counter !== null) expect(bench().count(counter) - before, counter).to.equal(1)
    if (reason !== undefined) expect(stack.mib.drops[reason]! - drops, 'drops').to.equal(1)
    expect(stack.pool.outstanding).to.equal(0)
    bench().expectAlive()
  }

  it('ip-version: discards version 5 with a valid checksum, and every other but 4', () => {
    for (let version = 0; version < 16; version++) {
      if (version === 4 || version === 6) continue
      expectDiscarded(echoRequest({ ...TO_HOST, version }), 'IpInHdrErrors', DropReason.IP_INHDR)
    }
    expectDiscarded(echoRequest({ ...TO_HOST, version: 6 }), null, DropReason.UNHANDLED_PROTO)
  })

  it('ip-src-bcast: discards what comes from 255.255.255.255, a group, or 0.0.0.0/8', () => {
    for (const src of ['255.255.255.255', '224.0.0.1', '239.1.2.3', '0.0.0.0', '0.1.2.3']) {
      expectDiscarded(echoRequest({ src, dst: HOST }), null, DropReason.IP_INVALID_SOURCE)
    }
    // The directed broadcast of a net of ours is known as such by the table alone, and answering it is refused.
    expectDiscarded(echoRequest({ src: '10.9.0.255', dst: HOST }), null)
  })

  it('ip-src-self: does not answer packets that claim to come from itself (land)', () => {
    for (const own of [HOST, INNER]) {
      expectDiscarded(echoRequest({ src: own, dst: own }), null, DropReason.IP_LOCAL_SOURCE)
      expectDiscarded(tcp({ src: own, dst: own }, { dport: 80, sport: 80 }), null, DropReason.IP_LOCAL_SOURCE)
      expectDiscarded(udp({ src: own, dst: HOST }, { dport: 7 }), null, DropReason.IP_LOCAL_SOURCE)
    }
  })

  it('ip-dst-loop: discards 127.0.0.0/8 from the wire, as destination and as source (hardening-17)', () => {
    for (const dst of ['127.0.0.1', '127.1.2.3']) {
      expectDiscarded(echoRequest({ src: PEER, dst }), null, DropReason.IP_LOCALNET)
    }
    expectDiscarded(echoRequest({ src: '127.0.0.1', dst: HOST }), null, DropReason.IP_LOCALNET)
    expectDiscarded(echoRequest({ src: '127.0.0.1', dst: '127.0.0.1' }), null, DropReason.IP_LOCALNET)
  })

  it('ip-ihl-small: discards a header of less than 20 bytes', () => {
    for (let ihl = 0; ihl < 5; ihl++) {
      expectDiscarded(echoRequest({ ...TO_HOST, ihl }), 'IpInHdrErrors', DropReason.IP_INHDR)
    }
  })

  it('ip-ihl-long: discards a datagram that is shorter than its header says', () => {
    expectDiscarded(ipv4({ ...TO_HOST, ihl: 15, protocol: 1 }, pattern(8)), 'IpInHdrErrors')
    // All there is counts as header, but the total length says otherwise.
    expectDiscarded(ipv4({ ...TO_HOST, ihl: 15, totalLength: 28 }, pattern(60)), 'IpInHdrErrors')
  })

  it('ip-totlen-short: discards a total length smaller than the header', () => {
    for (const totalLength of [0, 1, 19]) {
      expectDiscarded(echoRequest({ ...TO_HOST, totalLength }), 'IpInHdrErrors', DropReason.IP_INHDR)
    }
    expectDiscarded(
      echoRequest({ ...TO_HOST, totalLength: 20, options: [1, 1, 1, 1] }),
      'IpInHdrErrors',
      DropReason.IP_INHDR,
    )
  })

  it('ip-totlen-long: discards a total length larger than what arrived', () => {
    for (const totalLength of [85, 1500, 65535]) {
      expectDiscarded(
        echoRequest({ ...TO_HOST, totalLength }),
        'IpExtInTruncatedPkts',
        DropReason.PKT_TOO_SMALL,
      )
    }
  })

  it('ip-trailer: ignores padding behind the datagram', () => {
    const data = pattern(3)
    const request = echoRequest({ ...TO_HOST, trailer: 15 }, { data })
    bench().expect(bench().tun, request, [{ length: 31, icmp: { type: 0, data } }])
  })

  it('ip-short: discards 0…19 bytes, and random bytes', () => {
    const whole = echoRequest(TO_HOST)
    for (let length = 0; length < 20; length++) expectDiscarded(whole.slice(0, length), 'IpInHdrErrors')
    for (let seed = 0; seed < 200; seed++) bench().exchange(bench().tun, pattern(seed % 97, seed))
    bench().expectAlive()
  })

  it('ip-ttl1, and TTL 0: answers what is for itself whatever TTL is left', () => {
    for (const ttl of [1, 0]) {
      bench().expect(bench().tun, echoRequest({ ...TO_HOST, ttl }), [{ icmp: { type: 0 }, ttl: 64 }])
    }
  })

  it('ip-ttl-default: sends with TTL 64, or what ip_default_ttl says', () => {
    const { tun, stack } = bench()
    bench().expect(tun, echoRequest(TO_HOST), [{ ttl: 64 }])
    bench().expect(tun, udp(TO_HOST, { dport: 9 }), [{ ttl: 64, icmp: { type: 3 } }])
    stack.sysctlSet('net.ipv4.ip_default_ttl', 200)
    bench().expect(tun, echoRequest(TO_HOST), [{ ttl: 200 }])
  })

  it('ip-tos-reflect: an echo reply has the TOS of its request', () => {
    bench().expect(bench().tun, echoRequest({ ...TO_HOST, tos: 0x10 }), [{ tos: 0x10 }])
  })

  it('ip-tos-ignored: any TOS is accepted', () => {
    for (let tos = 0; tos < 256; tos += 17) {
      bench().expect(bench().tun, echoRequest({ ...TO_HOST, tos }), [{ tos, icmp: { type: 0 } }])
    }
    expect(bench().count('IpExtInNoECTPkts')).to.equal(4)
    expect(bench().count('IpExtInECT1Pkts')).to.equal(4)
    expect(bench().count('IpExtInECT0Pkts')).to.equal(4)
    expect(bench().count('IpExtInCEPkts')).to.equal(4)
  })

  it('ip-reserved-flag: accepts a packet with the reserved bit, as Linux does, and answers without it', () => {
    bench().expect(bench().tun, echoRequest({ ...TO_HOST, rf: true }), [{ icmp: { type: 0 } }])
  })

  it('ip-df-in: answers a packet with DF', () => {
    bench().expect(bench().tun, echoRequest({ ...TO_HOST, df: true }), [{ icmp: { type: 0 } }])
  })

  it('ip-proto-unreach: tells the sender of an unknown protocol', () => {
    const packet = ipv4({ ...TO_HOST, protocol: 253 }, pattern(40))
    bench().expect(bench().tun, packet, [
      { src: HOST, dst: PEER, icmp: { type: 3, code: 2, data: packet }, tos: 0xc0 },
    ])
    expect(bench().count('IpInUnknownProtos')).to.equal(1)
    expect(bench().count('IpInDelivers')).to.equal(0)
  })

  it('counts a wrong header checksum, and nothing else of that packet', () => {
    expectDiscarded(echoRequest({ ...TO_HOST, checksum: 0x1234 }), 'IpInHdrErrors', DropReason.IP_CSUM)
    expect(bench().count('IpExtInCsumErrors')).to.equal(1)
    expect(bench().count('IcmpInEchos')).to.equal(1) // the one that showed it to be alive
  })

  it('does not forward, and says nothing, while ip_forward is 0', () => {
    expectDiscarded(
      echoRequest({ src: PEER, dst: '192.0.2.7' }),
      'IpInAddrErrors',
      DropReason.IP_INADDRERRORS,
    )
  })
})

describe('IPv4 options on the way in (RFC 1122 §3.2.1.8)', () => {
  const bench = useBench(() => new HostBench())
  const answered = (options: number[]): string => {
    const [reply] = bench().expect(bench().tun, echoRequest({ ...TO_HOST, options }), [
      { src: HOST, dst: PEER, icmp: { type: 0, data: pattern(56) } },
    ])
    return reply!.options
  }

  it('ip-opt-nop: answers a packet with NOP NOP NOP EOL, without them', () => {
    expect(answered([1, 1, 1, 0])).to.equal('')
  })

  it('ip-opt-unknown: ignores an unknown option (hardening-25)', () => {
    expect(answered([0x9e, 4, 1, 2])).to.equal('')
    for (let type = 0; type < 256; type++) {
      if ([0, 1, 7, 0x44, 0x83, 0x89].includes(type)) continue
      answered([type, 4, 0, 0])
    }
  })

  it('ip-opt-eol-garbage: does not parse behind End of Option List', () => {
    expect(answered([0, 7, 1, 0xff])).to.equal('')
    expect(answered([1, 0, 0x44, 200])).to.equal('')
  })

  it('ip-opt-rr: records its address in a Record Route and carries it back', () => {
    // The slot of the request is filled on arrival, and one more when the reply leaves (as Linux does).
    expect(answered([7, 15, 4, ...new Array(12).fill(0)])).to.equal('070f0c0a0900020a0900020000000000')
  })

  it('ip-opt-rr that is full comes back as it is', () => {
    expect(answered([7, 7, 8, 1, 2, 3, 4])).to.equal('0707080102030400')
  })

  it('ip-opt-ts: fills in the time of day and carries it back', () => {
    bench().pass(1234)
    const midnight = bench().clock.epoch % 86_400_000_000_000n
    expect(midnight).to.equal(0n)
    const time = (1234).toString(16).padStart(8, '0')
    expect(answered([0x44, 12, 5, 0, ...new Array(8).fill(0)])).to.equal(`440c0d00${time}${time}`)
  })

  it('ip-opt-ts with addresses (flag 1): address and time', () => {
    const reply = answered([0x44, 20, 5, 1, ...new Array(16).fill(0)])
    expect(reply).to.equal('441415010a090002000000000a09000200000000')
  })

  it('ip-opt-lsrr: goes nowhere with a source route, be it for itself or through it', () => {
    const { tun, stack } = bench()
    stack.sysctlSet('net.ipv4.ip_forward', 1)
    for (const type of [0x83, 0x89]) {
      const options = [type, 7, 4, 192, 0, 2, 9]
      expect(bench().exchange(tun, echoRequest({ ...TO_HOST, options }))).to.deep.equal([])
      expect(bench().exchange(tun, echoRequest({ src: PEER, dst: '192.0.2.9', options }))).to.deep.equal([])
    }
    expect(stack.mib.drops[DropReason.IP_INADDRERRORS]).to.equal(4)
    bench().expectAlive()
  })

  it('icmp-paramprob: answers a malformed option with its place (RFC 1122 §3.2.2.5)', () => {
    const cases: [options: number[], pointer: number][] = [
      [[7, 2, 4, 0], 21], // Record Route too short
      [[7, 3, 3, 0], 22], // pointer into its own header
      [[7, 7, 6, 0, 0, 0, 0, 0], 22], // pointer not at a slot
      [[0x44, 3, 5, 0], 21],
      [[0x44, 8, 4, 0, 0, 0, 0, 0], 22],
      [[0x9e, 1, 0, 0], 20], // length that ends within the option
      [[0x9e, 0, 0, 0], 20], // length 0 would go round for ever
      [[0x9e, 41, 0, 0], 20], // past the end
      [[1, 1, 1, 0x9e], 23], // no room for a length
    ]
    for (const [options, pointer] of cases) {
      const packet = echoRequest({ ...TO_HOST, options })
      bench().expect(bench().tun, packet, [
        { src: HOST, dst: PEER, icmp: { type: 12, code: 0, pointer, data: packet } },
      ])
      bench().pass(2000)
    }
    expect(bench().count('IpInHdrErrors')).to.equal(cases.length)
    expect(bench().count('IcmpOutParmProbs')).to.equal(cases.length)
  })

  it('a datagram put together from fragments with unlike options is answered without any', () => {
    // The option bytes of the last fragment describe a header that the whole datagram does not have.
    const { tun } = bench()
    const whole = icmp(TO_HOST, { type: 8, word: 5 }, pattern(1008))
    const [first, last] = fragments(whole, 512)
    const rr = [7, 39, 4, ...new Array(36).fill(0xfa), 0]
    const withOptions = (packet: Uint8Array, options: number[], more: boolean, offset: number) =>
      ipv4({ ...TO_HOST, protocol: 1, options, mf: more, offset, id: 0x1234 }, packet.slice(20))
    const head = withOptions(first!, [0x9e, 255, 4, 0].with(1, 4), true, 0)
    const tail = withOptions(last!, rr, false, 512)
    for (const order of [
      [head, tail],
      [tail, head],
    ]) {
      const [reply] = bench()
        .exchange(tun, ...order)
        .map(decode)
      expect(reply).to.deep.include({ options: '' })
      expect(reply!.icmp).to.deep.include({ type: 0, data: pattern(1008) })
    }
    bench().expectAlive()
  })
})

describe('IPv4 as a host (RFC 1122)', () => {
  const bench = useBench(() => new HostBench())

  it('ip-src-multihomed: answers from the address that was asked', () => {
    for (const dst of [HOST, INNER]) {
      bench().expect(bench().tun, echoRequest({ src: PEER, dst }), [{ src: dst, dst: PEER }])
      bench().expect(bench().tun, udp({ src: PEER, dst }, { dport: 9 }), [{ src: dst, dst: PEER }])
    }
  })

  it('ip-emtur: puts a datagram of 576 bytes together, and one of 65535', () => {
    for (const size of [576, 65535]) {
      const data = pattern(size - 28)
      const pieces = fragments(echoRequest({ ...TO_HOST, id: size }, { data }), 272)
      bench().exchange(bench().tun, ...pieces)
    }
    expect(bench().count('IpReasmOKs')).to.equal(2)
    expect(bench().count('IcmpInEchos')).to.equal(2)
  })

  it('ip-mcast-ttl: sends to a group with TTL 1', () => {
    const { stack, tun } = bench()
    const endpoint = stack.udp.bind({ onMessage: () => {} })
    endpoint.send(pattern(3), { address: '224.0.1.5', port: 9 })
    bench().settle()
    expect(tun.take().map(decode)).to.have.nested.property('[0].ttl', 1)
    stack.ping('224.1.2.3', { count: 1 }).catch(() => {})
    bench().settle()
    expect(tun.take().map(decode)).to.have.nested.property('[0].ttl', 1)
    bench().pass(11_000)
  })
})
