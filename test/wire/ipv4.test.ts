import { expect } from 'chai'
import * as fc from 'fast-check'
import { formatIpv4, parseIpv4 } from '../../lib/address/ipv4-address.ts'
import { DropReason } from '../../lib/wire/drop-reason.ts'
import * as ipv4 from '../../lib/wire/ipv4.ts'
import { samples } from './samples.ts'
import { fromHex, parseAmong, toHex } from './surroundings.ts'

const ping = fromHex(samples[0]![1])
/** The packet with bytes changed, and its header checksum right again. */
function changed(packet: Uint8Array, change: (view: DataView, bytes: Uint8Array) => void): Uint8Array {
  const bytes = packet.slice()
  const view = new DataView(bytes.buffer)
  change(view, bytes)
  view.setUint16(10, 0)
  let sum = 0
  const length = Math.min((bytes[0]! & 15) * 4, bytes.length)
  for (let at = 0; at + 1 < length; at += 2) sum += view.getUint16(at)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  view.setUint16(10, ~sum & 0xffff)
  return bytes
}
const parse = (bytes: Uint8Array) => parseAmong(ipv4.parseIpv4Header, bytes)

describe('wire/ipv4', () => {
  it('has the offsets of RFC 791 §3.1', () => {
    expect([
      ipv4.IPV4_VERSION_IHL,
      ipv4.IPV4_TOS,
      ipv4.IPV4_TOTAL_LENGTH,
      ipv4.IPV4_ID,
      ipv4.IPV4_FLAGS_FRAGMENT,
      ipv4.IPV4_TTL,
      ipv4.IPV4_PROTOCOL,
      ipv4.IPV4_CHECKSUM,
      ipv4.IPV4_SOURCE,
      ipv4.IPV4_DESTINATION,
      ipv4.IPV4_MIN_HEADER,
    ]).to.deep.equal([0, 1, 2, 4, 6, 8, 9, 10, 12, 16, 20])
  })

  it('parses a ping of Linux', () => {
    const header = parse(ping) as ipv4.Ipv4Header
    expect({ ...header, id: 0, checksum: 0 }).to.deep.equal({
      headerLength: 20,
      tos: 0,
      totalLength: 84,
      id: 0,
      reserved: false,
      dontFragment: true,
      moreFragments: false,
      fragmentOffset: 0,
      ttl: 64,
      protocol: ipv4.IpProtocol.ICMP,
      checksum: 0,
      source: parseIpv4('10.0.0.1'),
      destination: parseIpv4('10.0.3.2'),
      options: new Uint8Array(0),
    })
  })

  it('writes every header of Linux as it was', () => {
    for (const [line, hex] of samples) {
      const packet = fromHex(hex)
      const header = parse(packet) as ipv4.Ipv4Header
      expect(header, line).to.be.an('object')
      const bytes = new Uint8Array(header.headerLength)
      expect(ipv4.emitIpv4Header(header, bytes, 0)).to.equal(header.headerLength)
      expect(toHex(bytes), line).to.equal(hex.slice(0, header.headerLength * 2))
    }
  })

  describe('lying lengths (hardening-15)', () => {
    const cases: [string, Uint8Array, DropReason][] = [
      ['ip-version', changed(ping, (v) => v.setUint8(0, 0x55)), DropReason.IP_INHDR],
      ['ip-ihl-small', changed(ping, (v) => v.setUint8(0, 0x44)), DropReason.IP_INHDR],
      ['ip-ihl-small: 0', changed(ping, (v) => v.setUint8(0, 0x40)), DropReason.IP_INHDR],
      [
        'ip-ihl-long',
        changed(ping.slice(0, 28), (v) => {
          v.setUint8(0, 0x4f)
          v.setUint16(2, 28)
        }),
        DropReason.IP_INHDR,
      ],
      ['ip-totlen-short', changed(ping, (v) => v.setUint16(2, 19)), DropReason.IP_INHDR],
      ['ip-totlen-short: 0', changed(ping, (v) => v.setUint16(2, 0)), DropReason.IP_INHDR],
      ['ip-totlen-long', changed(ping, (v) => v.setUint16(2, 85)), DropReason.PKT_TOO_SMALL],
      ['ip-totlen-long: 65535', changed(ping, (v) => v.setUint16(2, 65535)), DropReason.PKT_TOO_SMALL],
    ]
    for (const [id, packet, reason] of cases) it(id, () => expect(parse(packet)).to.equal(reason))

    it('ip-short', () => {
      for (let n = 0; n < 20; n++) expect(parse(ping.slice(0, n))).to.equal(DropReason.IP_INHDR)
    })

    it('a wrong checksum is found before the total length', () => {
      const packet = ping.slice()
      packet[2] = 0xff
      expect(parse(packet)).to.equal(DropReason.IP_CSUM)
    })

    it('ip-trailer: bytes behind the total length are no error', () => {
      const padded = new Uint8Array(ping.length + 6)
      padded.set(ping)
      expect(parse(padded)).to.be.an('object')
    })
  })

  it('parses a quote whose body is cut off and whose checksum is wrong', () => {
    const quote = ping.slice(0, 28)
    quote[8]!--
    const header = parseAmong(ipv4.parseQuotedIpv4Header, quote) as ipv4.Ipv4Header
    expect(header.totalLength).to.equal(84)
    expect(parseAmong(ipv4.parseQuotedIpv4Header, quote.slice(0, 19))).to.equal(DropReason.IP_INHDR)
  })

  const anyHeader = fc.record({
    tos: fc.nat(255),
    totalLength: fc.constant(60),
    id: fc.nat(0xffff),
    reserved: fc.boolean(),
    dontFragment: fc.boolean(),
    moreFragments: fc.boolean(),
    fragmentOffset: fc.nat(0x1fff).map((n) => n * 8),
    ttl: fc.nat(255),
    protocol: fc.nat(255),
    source: fc.integer(),
    destination: fc.integer(),
    options: fc.uint8Array({ maxLength: 40 }).map((o) => o.slice(0, o.length & ~3)),
  })

  it('parses what it writes', () => {
    fc.assert(
      fc.property(anyHeader, (init) => {
        const packet = new Uint8Array(60)
        const length = ipv4.emitIpv4Header(init, packet, 0)
        expect(length).to.equal(ipv4.ipv4HeaderLength(init))
        const { headerLength, checksum, ...header } = parse(packet) as ipv4.Ipv4Header
        expect(header).to.deep.equal(init)
        expect(headerLength).to.equal(length)
        expect(checksum).to.equal((packet[10]! << 8) | packet[11]!)
      }),
    )
  })

  it('parses and prints any bytes without throwing or reading outside', () => {
    const start = fc.constantFrom(...samples.map(([, hex]) => fromHex(hex)))
    const mutated = fc
      .tuple(start, fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 6 }), fc.nat(180))
      .map(([packet, changes, cut]) => {
        const bytes = packet.slice(0, cut)
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value
        return bytes
      })
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 100 }), mutated), (bytes) => {
        parse(bytes)
        parseAmong(ipv4.parseQuotedIpv4Header, bytes)
        expect(parseAmong(ipv4.formatIpv4Packet, bytes)).to.be.a('string')
      }),
      { numRuns: 2000 },
    )
  })

  describe('printer', () => {
    for (const [line, hex] of samples) {
      it(line, () => expect(parseAmong(ipv4.formatIpv4Packet, fromHex(hex))).to.equal(line))
    }

    it('hardening-16: an ICMP error that quotes an ICMP error that quotes … is one short line', () => {
      const address = parseIpv4('10.0.0.1')
      let packet = new Uint8Array(0)
      for (let depth = 0; depth < 2000; depth++) {
        const icmp = new Uint8Array(8 + packet.length)
        icmp[0] = 3
        icmp[1] = depth % 16
        icmp.set(packet, 8)
        const next = new Uint8Array(20 + icmp.length)
        const totalLength = next.length
        ipv4.emitIpv4Header({ totalLength, protocol: 1, source: address, destination: address }, next, 0)
        next.set(icmp, 20)
        packet = next
      }
      const line = ipv4.formatIpv4Packet(packet, 0, packet.length)
      expect(line).to.equal(
        `IP ${formatIpv4(address)} > ${formatIpv4(address)}: ` +
          `ICMP host ${formatIpv4(address)} unreachable - precedence cutoff, length ${packet.length - 20}`,
      )
    })

    it('says what is wrong with what it cannot print', () => {
      const format = (bytes: Uint8Array) => ipv4.formatIpv4Packet(bytes, 0, bytes.length)
      expect(format(new Uint8Array(0))).to.equal('IP [|ip]')
      expect(format(ping.slice(0, 12))).to.equal('IP [|ip] (12 bytes)')
      expect(format(fromHex('30'))).to.equal('IP [version 3]')
      expect(format(fromHex('60'))).to.equal('IP6')
      expect(format(changed(ping, (v) => v.setUint16(2, 10)))).to.equal(
        'IP 10.0.0.1 > 10.0.3.2: [total length 10 < header]',
      )
      expect(format(ping.slice(0, 24))).to.equal('IP 10.0.0.1 > 10.0.3.2: ICMP [|icmp]')
    })
  })
})
