import { expect } from 'chai'
import fc from 'fast-check'
import { natDevice } from '../../../lib/device/nat/nat.ts'
import { createPipe } from '../../../lib/device/pipe.ts'
import { Stack, seededRandom, VirtualClock } from '../../../lib/index.ts'
import { type Bytes, decode, fragments, icmp, pattern, tcp, udp } from '../../conformance/packets.ts'
import { Wire } from '../../conformance/wire.ts'
import { linkDeviceCompliance } from '../link-device-compliance.ts'
import { pipeRig } from '../pipe-rig.ts'

// The suite's packets come from 0.0.0.0: they are the router's own.
linkDeviceCompliance('A translating device', () =>
  pipeRig((near) => natDevice(near, { address: '0.0.0.0', random: seededRandom(1) })),
)

const OUTSIDE = '198.51.100.1'
const SERVER = '203.0.113.9'
const A = '192.168.1.2'
const B = '192.168.1.3'

/** A router with `inside` 192.168.1.1/24 and, behind the translation, `outside` 198.51.100.1/24. */
class NatBench {
  readonly clock = new VirtualClock()
  readonly inside = new Wire('inside')
  readonly outside = new Wire('outside')
  readonly router = new Stack({ clock: this.clock, random: seededRandom(1) })
  readonly nat

  constructor(options: { filtering?: 'address-and-port' | 'address' | 'none'; limit?: number } = {}) {
    this.nat = natDevice(this.outside, { address: OUTSIDE, random: seededRandom(2), ...options })
    this.router.sysctlSet('net.ipv4.ip_forward', 1)
    this.router.addDevice(this.inside).addAddress('192.168.1.1/24')
    this.router.addDevice(this.nat).addAddress(`${OUTSIDE}/24`)
    this.router.routes.add('default via 198.51.100.254')
  }

  /** Sends from inside, and gives what came out outside. */
  out(...packets: Bytes[]): Bytes[] {
    this.inside.push(...packets)
    this.clock.advance(0)
    return this.outside.take()
  }

  /** Sends from outside, and gives what came out inside. */
  in(...packets: Bytes[]): Bytes[] {
    this.outside.push(...packets)
    this.clock.advance(0)
    return this.inside.take()
  }
}

describe('natDevice', () => {
  let bench: NatBench

  beforeEach(() => {
    bench = new NatBench()
  })
  afterEach(async () => {
    await bench.router.close()
    expect(bench.router.pool.outstanding).to.equal(0)
  })

  const toServer = (src: string, sport: number, dport = 53): Bytes =>
    udp({ src, dst: SERVER }, { sport, dport }, pattern(10))
  const fromServer = (dport: number, src = SERVER, sport = 53): Bytes =>
    udp({ src, dst: OUTSIDE }, { sport, dport }, pattern(20))

  it('UDP: leaves under the address outside, keeps its port, and the answer comes home, checksums right', () => {
    const [sent] = bench.out(toServer(A, 5000)).map(decode)
    expect(sent).to.include({ src: OUTSIDE, dst: SERVER, ttl: 63 })
    expect(sent!.udp).to.include({ sport: 5000, dport: 53 })
    const [back] = bench.in(fromServer(5000)).map(decode)
    expect(back).to.include({ src: SERVER, dst: A, ttl: 63 })
    expect(back!.udp).to.include({ sport: 53, dport: 5000 })
    expect(bench.nat.mappings).to.deep.equal([{ protocol: 'udp', inside: `${A}:5000`, outside: 5000 }])
    expect(bench.nat.translated).to.equal(2)
  })

  it('gives another port to the second host with the same one, and the same to every peer of a port', () => {
    bench.out(toServer(A, 5000))
    const [second] = bench.out(toServer(B, 5000)).map(decode)
    const port = second!.udp!.sport
    expect(port).to.not.equal(5000)
    expect(port).to.be.greaterThan(1023)
    const [other] = bench.out(udp({ src: B, dst: '203.0.113.77' }, { sport: 5000, dport: 99 })).map(decode)
    expect(other!.udp!.sport).to.equal(port)
    expect(decode(bench.in(fromServer(port))[0]!)).to.include({ dst: B })
    expect(decode(bench.in(fromServer(5000))[0]!)).to.include({ dst: A })
  })

  it('a datagram without a checksum stays without', () => {
    const [sent] = bench.out(
      udp({ src: A, dst: SERVER }, { sport: 5000, dport: 53, checksum: 0 }, pattern(5)),
    )
    expect([sent![26], sent![27]]).to.deep.equal([0, 0])
  })

  it('TCP: the segments of a connection', () => {
    const [sent] = bench.out(tcp({ src: A, dst: SERVER }, { sport: 40000, dport: 80, flags: 2 })).map(decode)
    expect(sent).to.include({ src: OUTSIDE, dst: SERVER })
    const back = bench.in(tcp({ src: SERVER, dst: OUTSIDE }, { sport: 80, dport: 40000, flags: 0x12 }))
    expect(back.map(decode)[0]).to.include({ src: SERVER, dst: A })
  })

  it('echoes: two hosts with one identifier', () => {
    const request = (src: string): Bytes =>
      icmp({ src, dst: SERVER }, { type: 8, code: 0, word: 0x12340001 }, pattern(8))
    const [first] = bench.out(request(A)).map(decode)
    const [second] = bench.out(request(B)).map(decode)
    expect(first!.icmp!.identifier).to.equal(0x1234)
    expect(second!.icmp!.identifier).to.not.equal(0x1234)
    const word = (second!.icmp!.identifier! << 16) | 1
    const [reply] = bench
      .in(icmp({ src: SERVER, dst: OUTSIDE }, { type: 0, code: 0, word }, pattern(8)))
      .map(decode)
    expect(reply).to.include({ dst: B })
    expect(reply!.icmp!.identifier).to.equal(0x1234)
  })

  it('errors about what left come home, with what they quote as it was', () => {
    bench.out(toServer(A, 5000))
    const [sent] = bench.out(toServer(B, 5000))
    const error = icmp({ src: '203.0.113.1', dst: OUTSIDE }, { type: 3, code: 1 }, sent!.slice(0, 28))
    const [home] = bench.in(error).map(decode)
    expect(home).to.include({ src: '203.0.113.1', dst: B })
    const quoted = Uint8Array.from(home!.icmp!.data)
    expect([...quoted.subarray(12, 16)]).to.deep.equal([192, 168, 1, 3])
    expect((quoted[20]! << 8) | quoted[21]!).to.equal(5000)
  })

  it('errors from inside leave under the address outside, with what they quote as the sender sent it', () => {
    bench.out(toServer(A, 5000))
    const answer = fromServer(5000)
    const [inside] = bench.in(answer)
    const [error] = bench
      .out(icmp({ src: A, dst: SERVER }, { type: 3, code: 3 }, inside!.slice(0, 28)))
      .map(decode)
    expect(error).to.include({ src: OUTSIDE, dst: SERVER })
    const quoted = Uint8Array.from(error!.icmp!.data)
    expect([...quoted.subarray(16, 20)]).to.deep.equal([198, 51, 100, 1])
  })

  it('who was not talked to is not let in, unless the filter says so', async () => {
    const stranger = (): [Bytes, Bytes] => [fromServer(5000, SERVER, 54), fromServer(5000, '203.0.113.10')]
    bench.out(toServer(A, 5000))
    expect(bench.in(...stranger())).to.have.length(0)
    expect(bench.nat.refused).to.equal(2)
    for (const [filtering, expected] of [
      ['address', 1],
      ['none', 2],
    ] as const) {
      await bench.router.close()
      bench = new NatBench({ filtering })
      bench.out(toServer(A, 5000))
      expect(bench.in(...stranger()), filtering).to.have.length(expected)
    }
  })

  it('the router’s own traffic: it is pinged, serves, and asks, as without', () => {
    const ping = icmp({ src: SERVER, dst: OUTSIDE }, { type: 8, code: 0, word: 1 }, pattern(4))
    bench.in(ping)
    expect(bench.outside.take().map(decode)[0]).to.include({ src: OUTSIDE, dst: SERVER })
    const got: string[] = []
    const endpoint = bench.router.udp.bind({ port: 7000, onMessage: ({ address }) => void got.push(address) })
    for (const src of [SERVER, '203.0.113.10', SERVER]) {
      bench.in(fromServer(7000, src))
      endpoint.send(pattern(1), { address: SERVER, port: 53 }) // an answer to one must not shut the others out
    }
    expect(got).to.deep.equal([SERVER, '203.0.113.10', SERVER])
    bench.outside.take()
    expect(decode(bench.out(toServer(A, 7000))[0]!).udp!.sport, 'its port is taken').to.not.equal(7000)
  })

  it('a mapping ends when nobody uses it: UDP after 30 s, after 120 s once it was answered', () => {
    const isThere = (): boolean => bench.nat.mappings.length > 0
    bench.out(toServer(A, 5000))
    bench.clock.advance(29e9)
    expect(isThere()).to.equal(true)
    bench.clock.advance(1e9)
    expect(isThere()).to.equal(false)
    expect(bench.in(fromServer(5000)), 'the port is the router’s again').to.have.length(0)
    bench.out(toServer(A, 5000))
    bench.in(fromServer(5000))
    bench.clock.advance(119e9)
    expect(isThere()).to.equal(true)
    bench.clock.advance(1e9)
    expect(isThere()).to.equal(false)
  })

  it('a TCP connection is remembered for days, one that has ended for minutes', () => {
    const out = (flags: number): Bytes[] =>
      bench.out(tcp({ src: A, dst: SERVER }, { sport: 40000, dport: 80, flags }))
    const back = tcp({ src: SERVER, dst: OUTSIDE }, { sport: 80, dport: 40000, flags: 0x12 })
    out(2)
    bench.in(back)
    out(0x10)
    bench.clock.advance(400_000e9)
    expect(bench.nat.mappings).to.have.length(1)
    out(0x11)
    bench.clock.advance(121e9)
    expect(bench.nat.mappings).to.have.length(0)
  })

  it('fragments, in both directions', () => {
    const large = udp({ src: A, dst: SERVER }, { sport: 5000, dport: 53 }, pattern(3000))
    const sent = bench.out(...fragments(large, 1480)).map((packet) => decode(packet))
    expect(sent.map(({ src }) => src)).to.deep.equal([OUTSIDE, OUTSIDE, OUTSIDE])
    const answer = udp({ src: SERVER, dst: OUTSIDE }, { sport: 53, dport: 5000 }, pattern(3000))
    const back = bench.in(...fragments(answer, 1480)).map((packet) => decode(packet))
    expect(back.map(({ dst }) => dst)).to.deep.equal([A, A, A])
  })

  it('forwards a port to a host inside, for any peer', () => {
    bench.nat.forward('udp', 8053, B, 53)
    const [inside] = bench.in(fromServer(8053, '203.0.113.50', 999)).map(decode)
    expect(inside).to.include({ dst: B })
    expect(inside!.udp).to.include({ dport: 53 })
    const answer = udp({ src: B, dst: '203.0.113.50' }, { sport: 53, dport: 999 })
    expect(bench.out(answer).map(decode)[0]!.udp).to.include({ sport: 8053 })
    expect(() => bench.nat.forward('udp', 8053, A, 53))
      .to.throw()
      .with.property('code', 'EADDRINUSE')
    for (const call of [
      () => bench.nat.forward('udp', 0, A, 1),
      () => bench.nat.forward('icmp' as never, 1, A, 1),
    ]) {
      expect(call).to.throw().with.property('code', 'ERR_INVALID_ARG_VALUE')
    }
    bench.clock.advance(1e15)
    expect(bench.nat.mappings).to.have.length(1)
  })

  it('is bounded: past the limit what has no mapping is refused, and counted', async () => {
    await bench.router.close()
    bench = new NatBench({ limit: 3 })
    for (let port = 1; port <= 5; port++) bench.out(toServer(A, 2000 + port))
    expect(bench.nat.mappings).to.have.length(3)
    expect(bench.nat.refused).to.equal(2)
    bench.clock.advance(31e9)
    expect(bench.out(toServer(A, 2006))).to.have.length(1)
  })

  it('what it cannot translate does not leave with an address of the inside', () => {
    expect(bench.out(tcp({ src: A, dst: SERVER, protocol: 47 }, { dport: 1 }))).to.have.length(0)
    expect(bench.nat.refused).to.equal(1)
  })

  it('refuses options that mean nothing', () => {
    const [end] = createPipe()
    for (const options of [{}, { address: 'x' }, { address: A, filtering: 'x' }, { address: A, limit: 0 }]) {
      expect(() => natDevice(end, options as never))
        .to.throw()
        .with.property('code', 'ERR_INVALID_ARG_VALUE')
    }
  })

  it('property: any bytes go through or are dropped, and no packet leaks', () => {
    const seeds = [
      toServer(A, 5000),
      fromServer(5000),
      icmp({ src: SERVER, dst: OUTSIDE }, { type: 3, code: 1 }, toServer(OUTSIDE, 5000)),
      icmp({ src: A, dst: SERVER }, { type: 11, code: 0 }, fromServer(5000)),
      tcp({ src: SERVER, dst: OUTSIDE }, { sport: 80, dport: 40000, flags: 4 }),
    ]
    const garbled = fc
      .tuple(
        fc.nat(seeds.length - 1),
        fc.array(fc.tuple(fc.nat(59), fc.nat(255)), { maxLength: 4 }),
        fc.nat(60),
      )
      .map(([which, changes, cut]) => {
        const bytes = seeds[which]!.slice()
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value
        return cut < 20 ? bytes.slice(0, bytes.length - cut) : bytes
      })
    fc.assert(
      fc.property(
        fc.array(fc.oneof(garbled, fc.uint8Array({ maxLength: 80 })), { maxLength: 10 }),
        (packets) => {
          bench.in(...packets.map((bytes) => Uint8Array.from(bytes)))
          bench.out(...packets.map((bytes) => Uint8Array.from(bytes)))
          bench.outside.take()
          bench.inside.take()
          expect(bench.router.pool.outstanding).to.be.lessThan(30) // what waits in reassembly
        },
      ),
      { numRuns: 300 },
    )
  })
})
