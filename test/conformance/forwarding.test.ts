import { expect } from 'chai'
import { DropReason, formatIpv4, parseIpv4 } from '../../lib/index.ts'
import { Flow4 } from '../../lib/route/flow.ts'
import { LEFT, RIGHT, ROUTER_LEFT, ROUTER_RIGHT, RouterBench, useBench } from './harness.ts'
import {
  type Bytes,
  concat,
  decode,
  echoRequest,
  expectPackets,
  fragment,
  fragments,
  hex,
  icmp,
  internetChecksum,
  ipv4,
  pattern,
  tcp,
  udp,
} from './packets.ts'

const ACROSS = { src: LEFT, dst: RIGHT }

/** The packet as one hop later: TTL less one, checksum anew. */
function oneHop(packet: Bytes): Bytes {
  const next = packet.slice()
  next[8]!--
  next[10] = next[11] = 0
  const check = internetChecksum(next.subarray(0, (next[0]! & 15) * 4))
  next[10] = check >>> 8
  next[11] = check
  return next
}

describe('forwarding (RFC 1812 §5)', () => {
  const bench = useBench(() => new RouterBench({ rightMtu: 1280 }))

  function expectForwarded(...packets: Bytes[]): void {
    const { right, left } = bench().forward(...packets)
    expect(right.map(hex)).to.deep.equal(packets.map((packet) => hex(oneHop(packet))))
    expect(left).to.deep.equal([])
  }

  function expectDropped(packet: Bytes, reason?: number): void {
    const before = reason === undefined ? 0 : bench().stack.mib.drops[reason]!
    const { right, left } = bench().forward(packet)
    expect(right, 'forwarded').to.deep.equal([])
    expect(left, 'answered').to.deep.equal([])
    if (reason !== undefined) expect(bench().stack.mib.drops[reason]! - before, 'drops').to.equal(1)
    bench().expectAlive()
  }

  /** Not forwarded, and its sender is told so. */
  function expectError(packet: Bytes, error: object): void {
    const { right, left } = bench().forward(packet)
    expect(right).to.deep.equal([])
    expectPackets(left, [{ src: ROUTER_LEFT, dst: LEFT, icmp: error }])
    bench().pass(10_000)
  }

  it('fwd-basic: TTL less one, valid checksum, everything else unchanged', () => {
    expectForwarded(udp({ ...ACROSS, ttl: 17, tos: 0x28, id: 0xabcd, df: true }, { dport: 9 }, pattern(100)))
    expect(bench().count('IpForwDatagrams')).to.equal(1)
    expect(bench().count('IpOutTransmits')).to.equal(1)
    expect(bench().count('IpOutRequests')).to.equal(0)
    expect(bench().count('IpInDelivers')).to.equal(0)
  })

  it('fwd-back: the other direction', () => {
    const packet = udp({ src: RIGHT, dst: LEFT }, { dport: 9 })
    expectPackets(bench().exchange(bench().right, packet), [])
    expect(bench().left.take().map(hex)).to.deep.equal([hex(oneHop(packet))])
  })

  it('fwd-cksum-edge: every forwarded checksum is valid, and never negative zero', () => {
    const packets: Bytes[] = []
    for (const target of [0x0000, 0xfeff, 0xffff, 0x00ff]) {
      for (let near = -75; near < 75; near++) {
        // The identification that gives the header the wanted checksum.
        const zero = ipv4({ ...ACROSS, id: 0, protocol: 17 }, pattern(8))
        const sum = ~((zero[10]! << 8) | zero[11]!) & 0xffff
        let id = (~(target + near) & 0xffff) - sum
        if (id < 0) id += 0xffff
        packets.push(ipv4({ ...ACROSS, id, protocol: 17 }, pattern(8)))
      }
    }
    expect(packets).to.have.length(600)
    const checks = new Set(packets.map((packet) => (packet[10]! << 8) | packet[11]!))
    expect([0x0000, 0xfeff, 0x00ff].every((check) => checks.has(check))).to.equal(true)
    expectForwarded(...packets)
  })

  it('fwd-ttl0: TTL 0 is not forwarded, nor is TTL 1', () => {
    for (const ttl of [0, 1]) {
      const packet = udp({ ...ACROSS, ttl }, { dport: 9 }, pattern(30))
      expectError(packet, { type: 11, code: 0, data: packet })
    }
    expect(bench().count('IpInHdrErrors')).to.equal(2)
    expect(bench().stack.mib.drops[DropReason.IP_TTL]).to.equal(2)
  })

  it('fwd-noerr-icmperr: an ICMP error with TTL 1 dies silently', () => {
    const quote = udp({ src: RIGHT, dst: LEFT }, { dport: 9 })
    expectDropped(icmp({ ...ACROSS, ttl: 1 }, { type: 3, code: 3 }, quote), DropReason.IP_TTL)
  })

  it('fwd-noerr-frag: so does a fragment that is not the first', () => {
    const packet = udp({ ...ACROSS, ttl: 1 }, { dport: 9 }, pattern(100))
    expectDropped(fragment(packet, pattern(40), 64, false), DropReason.IP_TTL)
  })

  it('fwd-mcast-err: and what is for a group', () => {
    expectDropped(udp({ src: LEFT, dst: '224.0.0.1', ttl: 1 }, { dport: 9 }))
    expectDropped(udp({ src: LEFT, dst: '239.1.2.3', ttl: 1 }, { dport: 9 }))
  })

  it('fwd-toobig: DF and larger than the next MTU: Fragmentation Needed with that MTU', () => {
    const packet = udp({ ...ACROSS, df: true }, { dport: 9 }, pattern(1300))
    expectError(packet, { type: 3, code: 4, mtu: 1280, data: packet.slice(0, 548) })
    expect(bench().count('IpFragFails')).to.equal(1)
    expectForwarded(udp({ ...ACROSS, df: true }, { dport: 9 }, pattern(1280 - 28)))
  })

  it('fwd-toobig without DF: is cut to the next MTU', () => {
    const packet = udp(ACROSS, { dport: 9 }, pattern(1400))
    const { right, left } = bench().forward(packet)
    const pieces = right.map(decode)
    expect(left).to.deep.equal([])
    expect(pieces.map(({ length, offset, mf, ttl, id }) => [length, offset, mf, ttl, id])).to.deep.equal([
      [1276, 0, true, 63, 0x1234],
      [172, 1256, false, 63, 0x1234],
    ])
    expect(hex(concat(...pieces.map(({ payload }) => payload)))).to.equal(hex(packet.slice(20)))
  })

  it('fwd-frag-untouched: fragments that fit go on one by one', () => {
    expectForwarded(...fragments(udp(ACROSS, { dport: 9 }, pattern(2000)), 512).reverse())
    expect(bench().count('IpReasmReqds')).to.equal(0)
  })

  it('fwd-lsr-quote: an error about a fragment that is cut again quotes it as received', () => {
    const [, middle] = fragments(udp(ACROSS, { dport: 9 }, pattern(4000)), 1400)
    const first = fragments(udp({ ...ACROSS, ttl: 1 }, { dport: 9 }, pattern(4000)), 1400)[0]!
    const { right } = bench().forward(middle!)
    expect(right.map(decode).map(({ offset, mf }) => [offset, mf])).to.deep.equal([
      [1400, true],
      [1400 + 1256, true],
    ])
    expectError(first, { type: 11, data: first.slice(0, 548) })
  })

  it('fwd-bad-cksum: a wrong header checksum is dropped silently', () => {
    expectDropped(udp({ ...ACROSS, checksum: 1 }, { dport: 9 }), DropReason.IP_CSUM)
  })

  it('fwd-bad-len: so are lengths that lie, and other versions', () => {
    expectDropped(udp({ ...ACROSS, totalLength: 2000 }, { dport: 9 }), DropReason.PKT_TOO_SMALL)
    expectDropped(udp({ ...ACROSS, ihl: 4 }, { dport: 9 }), DropReason.IP_INHDR)
    expectDropped(udp({ ...ACROSS, version: 6 }, { dport: 9 }), DropReason.UNHANDLED_PROTO)
  })

  it('fwd-src-loop, fwd-src-zero, fwd-src-bcast: such sources are not forwarded (hardening-17)', () => {
    expectDropped(udp({ src: '127.0.0.1', dst: RIGHT }, { dport: 9 }), DropReason.IP_LOCALNET)
    for (const src of ['0.0.0.0', '0.1.2.3', '255.255.255.255', '224.0.0.5']) {
      expectDropped(udp({ src, dst: RIGHT }, { dport: 9 }), DropReason.IP_INVALID_SOURCE)
    }
    for (const src of [ROUTER_LEFT, ROUTER_RIGHT]) {
      expectDropped(udp({ src, dst: RIGHT }, { dport: 9 }), DropReason.IP_LOCAL_SOURCE)
    }
  })

  it('fwd-dst-bcast: 255.255.255.255 is not forwarded', () => {
    expectDropped(udp({ src: LEFT, dst: '255.255.255.255' }, { dport: 9 }))
  })

  it('fwd-dst-classe: class E, 0/8 and 127/8 are not forwarded, whatever the routes say (hardening-17)', () => {
    const packet = udp({ src: LEFT, dst: '241.2.3.4' }, { dport: 9 })
    bench().stack.routes.add(`default via ${RIGHT} dev right`)
    expect(bench().forward(packet).right).to.deep.equal([])
    expectDropped(udp({ src: LEFT, dst: '0.1.2.3' }, { dport: 9 }), DropReason.IP_INVALID_DEST)
    expectDropped(udp({ src: LEFT, dst: '127.0.0.5' }, { dport: 9 }), DropReason.IP_LOCALNET)
  })

  it('fwd-dbcast: a directed broadcast is not forwarded, unless bc_forwarding says so', () => {
    const packet = udp({ src: LEFT, dst: '10.2.0.255' }, { dport: 9 })
    expectDropped(packet)
    bench().stack.sysctlSet('net.ipv4.conf.all.bc_forwarding', 1)
    bench().stack.sysctlSet('net.ipv4.conf.left.bc_forwarding', 1)
    expectForwarded(packet)
    bench().stack.sysctlSet('net.ipv4.conf.left.bc_forwarding', 0)
    expectDropped(packet)
    bench().stack.sysctlSet('net.ipv4.conf.left.bc_forwarding', 1)
    expectForwarded(packet)
    // As Linux has it, also on a host that forwards nothing else.
    bench().stack.sysctlSet('net.ipv4.conf.left.forwarding', 0)
    expectForwarded(packet)
  })

  it('fwd-opt-keep: NOP and unknown options go on unchanged', () => {
    expectForwarded(udp({ ...ACROSS, options: [1, 0x9e, 4, 7, 8, 1, 1, 1] }, { dport: 9 }))
  })

  it('fwd-opt-rr: the outgoing address is recorded, and the pointer moves on', () => {
    const options = [7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    const { right } = bench().forward(udp({ ...ACROSS, options }, { dport: 9 }))
    expectPackets(right, [{ options: '070b080a0200010000000000', ttl: 63 }])
  })

  it('fwd-opt-rr-full: goes on unchanged', () => {
    expectForwarded(udp({ ...ACROSS, options: [7, 7, 8, 1, 2, 3, 4, 0] }, { dport: 9 }))
  })

  it('fwd-ts-opt: time, address and time, or the overflow counter', () => {
    bench().pass(0x1234)
    const forwarded = (options: number[]): string => {
      const { right } = bench().forward(udp({ ...ACROSS, options }, { dport: 9 }))
      return decode(right[0]!).options
    }
    expect(forwarded([0x44, 8, 5, 0, 0, 0, 0, 0])).to.equal('4408090000001234')
    // As Linux: the address is the one that the packet came to, not the one that it leaves from.
    expect(forwarded([0x44, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0])).to.equal('440c0d010a01000100001234')
    expect(forwarded([0x44, 12, 5, 3, 10, 2, 0, 1, 0, 0, 0, 0])).to.equal('440c0d030a02000100001234')
    expect(forwarded([0x44, 12, 5, 3, 10, 2, 0, 9, 0, 0, 0, 0])).to.equal('440c05030a02000900000000')
    expect(forwarded([0x44, 8, 9, 0x20, 1, 2, 3, 4])).to.equal('4408093001020304')
  })

  it('fwd-opt-badlen: a malformed option is answered with its place', () => {
    const packet = udp({ ...ACROSS, options: [1, 0x9e, 9, 0] }, { dport: 9 })
    expectError(packet, { type: 12, code: 0, pointer: 21, data: packet })
  })

  it('fwd-ssrr: no source route is followed (RFC 7126 §4.3, §4.4)', () => {
    for (const type of [0x83, 0x89]) {
      const options = [type, 7, 4, 10, 2, 0, 9, 0]
      expectDropped(udp({ src: LEFT, dst: ROUTER_LEFT, options }, { dport: 9 }), DropReason.IP_INADDRERRORS)
      expectDropped(udp({ ...ACROSS, options }, { dport: 9 }), DropReason.IP_INADDRERRORS)
    }
  })

  it('fwd-ttl-order: one error where several would do', () => {
    const noRoute = udp({ src: LEFT, dst: '192.0.2.1', ttl: 1 }, { dport: 9 })
    expectError(noRoute, { type: 3, code: 0 })
    const tooBig = udp({ ...ACROSS, ttl: 1, df: true }, { dport: 9 }, pattern(1400))
    expectError(tooBig, { type: 11, code: 0 })
  })

  it('fwd-other-if: answers for the address of its other interface (weak end system)', () => {
    bench().expect(bench().left, echoRequest({ src: LEFT, dst: ROUTER_RIGHT }), [
      { src: ROUTER_RIGHT, dst: LEFT, icmp: { type: 0 } },
    ])
  })

  it('fwd-tcp: a TCP segment goes through bit by bit, and so does whatever protocol', () => {
    expectForwarded(
      tcp({ ...ACROSS, df: true }, { dport: 80, flags: 0xc2 }, pattern(100)),
      tcp(ACROSS, { dport: 80, checksum: 1 }),
      ipv4({ ...ACROSS, protocol: 253 }, pattern(33)),
      ipv4({ ...ACROSS, protocol: 0 }, []),
    )
  })

  it('fwd-quote-max: an error has 576 bytes at most, and more than 8 bytes of payload', () => {
    const packet = udp({ ...ACROSS, ttl: 1 }, { dport: 9 }, pattern(1172))
    const { left } = bench().forward(packet)
    const [error] = expectPackets(left, [{ length: 576, icmp: { type: 11 } }])
    expect(hex(error!.icmp!.data)).to.equal(hex(packet.slice(0, 548)))
  })

  it('fwd-host-unreach: a route that says unreachable or prohibit is answered so, a blackhole is not', () => {
    const { stack } = bench()
    stack.routes
      .add('unreachable 192.0.2.0/24')
      .add('prohibit 198.51.100.0/24')
      .add('blackhole 203.0.113.0/24')
    expectError(udp({ src: LEFT, dst: '192.0.2.1' }, { dport: 9 }), { type: 3, code: 1 })
    expectError(udp({ src: LEFT, dst: '198.51.100.1' }, { dport: 9 }), { type: 3, code: 13 })
    expectDropped(udp({ src: LEFT, dst: '203.0.113.1' }, { dport: 9 }))
  })

  it('fwd-rpf: with rp_filter 1 a source that is routed elsewhere is dropped, with 2 only one that has no route', () => {
    const { stack } = bench()
    const spoofed = udp({ src: '10.2.0.77', dst: RIGHT }, { dport: 9 })
    const nowhere = udp({ src: '192.0.2.77', dst: RIGHT }, { dport: 9 })
    expectForwarded(spoofed, nowhere)
    stack.sysctlSet('net.ipv4.conf.left.rp_filter', 1)
    expectDropped(spoofed, DropReason.IP_RPFILTER)
    expectDropped(nowhere, DropReason.IP_RPFILTER)
    expectForwarded(udp(ACROSS, { dport: 9 }))
    stack.sysctlSet('net.ipv4.conf.left.rp_filter', 2)
    expectForwarded(spoofed)
    expectDropped(nowhere, DropReason.IP_RPFILTER)
    expect(bench().count('TcpExtIPReversePathFilter')).to.equal(3)
  })

  it('obeys the path MTU that it has learnt only if ip_forward_use_pmtu is set', async () => {
    const { stack, right } = bench()
    const learn = stack.ping(RIGHT, { timeout: 100 })
    bench().settle()
    const request = right.take()[0]!
    bench().exchange(right, icmp({ src: RIGHT, dst: ROUTER_RIGHT }, { type: 3, code: 4, word: 600 }, request))
    await learn
    const packet = udp({ ...ACROSS, df: true }, { dport: 9 }, pattern(1000))
    expectForwarded(packet)
    stack.sysctlSet('net.ipv4.ip_forward_use_pmtu', 1)
    expectError(packet, { type: 3, code: 4, mtu: 600 })
  })

  it('stops forwarding with ip_forward 0, and with the device down', () => {
    const packet = udp(ACROSS, { dport: 9 })
    expectForwarded(packet)
    bench().stack.interface('right').down()
    expectError(packet, { type: 3, code: 0 })
    bench().stack.interface('right').up()
    expectForwarded(packet)
    bench().stack.sysctlSet('net.ipv4.ip_forward', 0)
    expectDropped(packet)
  })
})

describe('redirects that a router sends (RFC 1812 §5.2.7.2)', () => {
  const bench = useBench(() => new RouterBench())
  const OTHER = '10.1.0.254'

  beforeEach(() => {
    bench().stack.routes.add(`192.0.2.0/24 via ${OTHER} dev left`)
  })

  function redirectsAfter(packet: Bytes): number {
    const sent = bench().exchange(bench().left, packet)
    expect(sent.map(hex)).to.include(hex(oneHop(packet)))
    const redirects = sent.map(decode).filter(({ icmp }) => icmp?.type === 5)
    for (const redirect of redirects) {
      expect(redirect).to.deep.include({ src: ROUTER_LEFT, dst: LEFT })
      expect(redirect.icmp).to.deep.include({ code: 1, gateway: OTHER })
    }
    return redirects.length
  }

  it('fwd-redirect: to a sender on the link that the packet leaves by; the packet goes on all the same', () => {
    expect(redirectsAfter(udp({ src: LEFT, dst: '192.0.2.1' }, { dport: 9 }))).to.equal(1)
    expect(bench().count('IcmpOutRedirects')).to.equal(1)
  })

  it('fwd-redirect: paced: the pause doubles, after redirect_number there is silence', () => {
    const packet = udp({ src: LEFT, dst: '192.0.2.1' }, { dport: 9 })
    const times: number[] = []
    for (let ms = 0; ms < 60_000; ms += 20) {
      if (redirectsAfter(packet) > 0) times.push(ms)
      bench().pass(20)
    }
    expect(times).to.have.length(9) // redirect_number
    const pauses = times.slice(1).map((time, i) => time - times[i]!)
    // redirect_load, doubled each time, and up to the next packet after that.
    expect(pauses).to.deep.equal(pauses.map((_, i) => 20 * 2 ** (i + 1) + 20))
    bench().pass(30_000) // redirect_silence, while nothing is sent
    expect(redirectsAfter(packet)).to.equal(1)
  })

  it('fwd-redirect: none if send_redirects is off, or the sender is not on that link', () => {
    expect(redirectsAfter(udp({ src: '172.16.0.1', dst: '192.0.2.1' }, { dport: 9 }))).to.equal(0)
    bench().stack.sysctlSet('net.ipv4.conf.all.send_redirects', 0)
    bench().stack.sysctlSet('net.ipv4.conf.left.send_redirects', 0)
    expect(redirectsAfter(udp({ src: LEFT, dst: '192.0.2.1' }, { dport: 9 }))).to.equal(0)
  })

  it('errors about missing routes are paced per sender: error_burst, then one per error_cost', () => {
    const packet = udp({ src: LEFT, dst: '203.0.113.1' }, { dport: 9 })
    const answers = (): number => bench().exchange(bench().left, ...new Array<Bytes>(20).fill(packet)).length
    bench().stack.sysctlSet('net.ipv4.icmp_ratemask', 0)
    expect(answers()).to.equal(5)
    expect(answers()).to.equal(0)
    bench().pass(1000)
    expect(answers()).to.equal(1)
    bench().pass(60_000)
    expect(answers()).to.equal(5)
  })

  it('and they cost twice where all errors are limited: there is one credit per sender, as in Linux', () => {
    const packet = udp({ src: LEFT, dst: '203.0.113.1' }, { dport: 9 })
    expect(bench().exchange(bench().left, ...new Array<Bytes>(20).fill(packet))).to.have.length(2)
    expect(bench().count('IcmpOutRateLimitHost')).to.equal(1)
  })
})

describe('redirects that a host receives (RFC 1122 §3.2.2.2)', () => {
  const bench = useBench(() => {
    const made = new RouterBench()
    made.stack.sysctlSet('net.ipv4.ip_forward', 0)
    made.stack.routes.add(`192.0.2.0/24 via ${LEFT} dev left`)
    return made
  })
  const BETTER = '10.1.0.77'
  const word = (dotted: string): number =>
    dotted.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)

  /** A packet of an endpoint of ours to 192.0.2.1: only those who sent something are told of a better way. */
  function sentPacket(): Bytes {
    const endpoint = bench().stack.udp.bind({ onMessage: () => {} })
    endpoint.send(pattern(20), { address: '192.0.2.1', port: 9 })
    bench().settle()
    const packet = bench().left.take()[0]!
    expect(decode(packet)).to.include({ src: ROUTER_LEFT, dst: '192.0.2.1' })
    return packet
  }

  function redirect(from: string, gateway: string, about: Bytes, code = 1): Bytes {
    return icmp({ src: from, dst: ROUTER_LEFT }, { type: 5, code, word: word(gateway) }, about.slice(0, 28))
  }

  /** The next hop that a datagram to 192.0.2.1 would be sent to. */
  function gateway(): string {
    const flow = new Flow4()
    flow.daddr = parseIpv4('192.0.2.1')
    const { softirq, routing } = bench().stack
    softirq.enter()
    const route = routing.output(flow)
    softirq.leave()
    return formatIpv4(route!.gateway)
  }

  it('icmp-redirect-host: from the gateway in use: the next datagram goes to the new one', () => {
    expect(gateway()).to.equal(LEFT)
    expect(bench().exchange(bench().left, redirect(LEFT, BETTER, sentPacket()))).to.deep.equal([])
    expect(gateway()).to.equal(BETTER)
    sentPacket()
    bench().pass(301_000) // gc_timeout
    expect(gateway()).to.equal(LEFT)
  })

  it('icmp-redirect-bad: not from elsewhere, to nowhere, about what is not ours, or switched off', () => {
    const { sysctl } = bench().stack
    const sent = sentPacket()
    const foreign = udp({ src: '10.1.0.8', dst: '192.0.2.1' }, { dport: 9 })
    const unsent = udp({ src: ROUTER_LEFT, dst: '192.0.2.1' }, { sport: 1, dport: 9 })
    const refused = [
      redirect('10.1.0.8', BETTER, sent), // not the gateway in use
      redirect(LEFT, LEFT, sent),
      redirect(LEFT, '0.0.0.0', sent),
      redirect(LEFT, '255.255.255.255', sent),
      redirect(LEFT, '224.0.0.1', sent),
      redirect(LEFT, ROUTER_RIGHT, sent), // an address of our own
      redirect(LEFT, '10.1.0.255', sent), // a broadcast address
      redirect(LEFT, BETTER, sent, 4), // an unknown code
      redirect(LEFT, BETTER, foreign),
      redirect(LEFT, BETTER, unsent),
    ]
    for (const packet of refused) {
      expect(bench().exchange(bench().left, packet)).to.deep.equal([])
      expect(gateway(), hex(packet)).to.equal(LEFT)
    }
    // With shared_media off the new gateway must be on the link.
    sysctl.set('net.ipv4.conf.all.shared_media', '0')
    sysctl.set('net.ipv4.conf.left.shared_media', '0')
    bench().exchange(bench().left, redirect(LEFT, '172.16.5.5', sent))
    expect(gateway()).to.equal(LEFT)
    sysctl.set('net.ipv4.conf.all.accept_redirects', '0')
    sysctl.set('net.ipv4.conf.left.accept_redirects', '0')
    bench().exchange(bench().left, redirect(LEFT, BETTER, sent))
    expect(gateway()).to.equal(LEFT)
  })

  it('malformed redirects are counted', () => {
    for (const quote of [
      new Uint8Array(0),
      pattern(19),
      ipv4({ src: ROUTER_LEFT, dst: '192.0.2.1' }, pattern(7)),
    ]) {
      bench().exchange(bench().left, icmp({ src: LEFT, dst: ROUTER_LEFT }, { type: 5, code: 1 }, quote))
    }
    expect(bench().count('IcmpInErrors')).to.equal(3)
  })
})
