import { expect } from 'chai'
import * as fc from 'fast-check'
import { parseIpv4 } from '../../lib/address/ipv4-address.ts'
import { checksum } from '../../lib/wire/checksum.ts'
import { DropReason } from '../../lib/wire/drop-reason.ts'
import {
  checkIcmpQuote,
  emitIcmpv4,
  IcmpType,
  type Icmpv4Message,
  icmpv4Length,
  isIcmpQuery,
  parseIcmpv4,
} from '../../lib/wire/icmpv4.ts'
import { formatIcmpv4 } from '../../lib/wire/icmpv4-format.ts'
import { samples } from './samples.ts'
import { fromHex, parseAmong, toHex } from './surroundings.ts'

/** The ICMP message of the sample that prints so. */
function sample(text: string): Uint8Array {
  const packet = fromHex(samples.find(([line]) => line.includes(text))![1])
  return packet.slice((packet[0]! & 15) * 4)
}
const parse = (bytes: Uint8Array) => parseAmong(parseIcmpv4, bytes)

const bytesOf = fc.uint8Array({ maxLength: 40 })
const u8 = fc.nat(255)
const u16 = fc.nat(0xffff)
const u32 = fc.nat(0xffffffff)
const kind = (...kinds: Icmpv4Message['kind'][]) => fc.constantFrom(...kinds)
const anyMessage = fc.oneof(
  fc.record({ kind: kind('echo-request', 'echo-reply'), code: u8, id: u16, sequence: u16, data: bytesOf }),
  fc.record({ kind: kind('dest-unreach'), code: u8, mtu: u16, quote: bytesOf }),
  fc.record({ kind: kind('source-quench', 'time-exceeded'), code: u8, quote: bytesOf }),
  fc.record({ kind: kind('redirect'), code: u8, gateway: fc.integer(), quote: bytesOf }),
  fc.record({ kind: kind('parameter-problem'), code: u8, pointer: u8, quote: bytesOf }),
  fc.record({
    kind: kind('timestamp-request', 'timestamp-reply'),
    code: u8,
    id: u16,
    sequence: u16,
    originate: u32,
    receive: u32,
    transmit: u32,
  }),
  fc.record({ kind: kind('info-request', 'info-reply'), code: u8, id: u16, sequence: u16 }),
  fc.record({
    kind: kind('address-mask-request', 'address-mask-reply'),
    code: u8,
    id: u16,
    sequence: u16,
    mask: fc.integer(),
  }),
  fc.record({ kind: kind('router-solicitation'), code: u8 }),
  fc.record({
    kind: kind('router-advertisement'),
    code: u8,
    lifetime: u16,
    routers: fc.array(fc.record({ address: fc.integer(), preference: fc.integer() }), { maxLength: 5 }),
  }),
  fc.record({
    kind: kind('other'),
    type: fc.constantFrom(1, 2, 7, 19, 42, 255),
    code: u8,
    rest: fc.uint8Array({ minLength: 4, maxLength: 20 }),
  }),
) as fc.Arbitrary<Icmpv4Message>

describe('wire/icmpv4', () => {
  it('parses what Linux sent', () => {
    const { data, ...request } = parse(sample('echo request, id 1, seq 2, length 8')) as Icmpv4Message & {
      kind: 'echo-request'
    }
    expect(request).to.deep.equal({ kind: 'echo-request', code: 0, id: 1, sequence: 2 })
    expect(data.length).to.equal(0)
    expect(parse(sample('mtu 1400), length 556'))).to.deep.include({
      kind: 'dest-unreach',
      code: 4,
      mtu: 1400,
    })
    expect(parse(sample('to host 10.0.0.254'))).to.deep.include({
      kind: 'redirect',
      code: 1,
      gateway: parseIpv4('10.0.0.254'),
    })
    expect(parse(sample('octet 20'))).to.deep.include({ kind: 'parameter-problem', code: 0, pointer: 20 })
    expect(parse(sample('org 00:00:00.001, recv 00:00:00.002'))).to.deep.equal({
      kind: 'timestamp-reply',
      code: 0,
      id: 1,
      sequence: 2,
      originate: 1,
      receive: 2,
      transmit: 3,
    })
    expect(parse(sample('address mask is'))).to.deep.include({ mask: parseIpv4('255.255.255.0') })
    expect(parse(sample('lifetime 30:00'))).to.deep.equal({
      kind: 'router-advertisement',
      code: 0,
      lifetime: 1800,
      routers: [
        { address: parseIpv4('10.0.0.9'), preference: 1 },
        { address: parseIpv4('10.0.0.8'), preference: -0x80000000 },
      ],
    })
  })

  it('writes every message of Linux as it was', () => {
    let count = 0
    for (const [line, hex] of samples) {
      const packet = fromHex(hex)
      const message = packet.slice((packet[0]! & 15) * 4)
      if (packet[9] !== 1 || (packet[6]! & 0x3f) !== 0 || packet[7] !== 0) continue
      const parsed = parse(message) as Icmpv4Message
      expect(parsed, line).to.be.an('object')
      const bytes = new Uint8Array(icmpv4Length(parsed))
      emitIcmpv4(parsed, bytes, 0)
      expect(toHex(bytes), line).to.equal(toHex(message))
      count++
    }
    expect(count).to.be.above(50)
  })

  it('icmp-cksum-bad, icmp-short', () => {
    const message = sample('echo request, id 1, seq 2, length 8')
    const wrong = message.slice()
    wrong[7]!++
    expect(parse(wrong)).to.equal(DropReason.ICMP_CSUM)
    for (let n = 1; n < 8; n++) {
      const short = message.slice(0, n)
      expect(parse(short)).to.be.oneOf([DropReason.ICMP_CSUM, DropReason.PKT_TOO_SMALL])
    }
    expect(parse(fromHex('ffff'))).to.equal(DropReason.PKT_TOO_SMALL)
    expect(parse(fromHex('0000ffff'))).to.equal(DropReason.PKT_TOO_SMALL)
  })

  it('hardening-15: a message whose counts lie is kept as bytes', () => {
    const lying = sample('lifetime 30:00').slice()
    lying[4] = 200
    lying.set([0, 0], 2)
    const check = checksum(lying, 0, lying.length)
    lying.set([check >>> 8, check & 255], 2)
    expect(parse(lying)).to.deep.include({ kind: 'other', type: IcmpType.ROUTER_ADVERTISEMENT })
  })

  it('checks quotes: the header and 8 bytes behind it', () => {
    const quote = sample('udp port 53000 unreachable').slice(8)
    const check = (bytes: Uint8Array) => parseAmong(checkIcmpQuote, bytes)
    expect(check(quote)).to.equal(DropReason.NONE)
    expect(check(quote.slice(0, 28))).to.equal(DropReason.NONE)
    expect(check(quote.slice(0, 27))).to.equal(DropReason.PKT_TOO_SMALL)
    expect(check(quote.slice(0, 19))).to.equal(DropReason.IP_INHDR)
    for (const first of [0x44, 0x40, 0x55, 0x4f]) {
      const lying = quote.slice(0, 28)
      lying[0] = first
      expect(check(lying)).to.equal(DropReason.IP_INHDR)
    }
  })

  it('tells errors from queries', () => {
    const queries = Array.from({ length: 256 }, (_, type) => type).filter(isIcmpQuery)
    expect(queries).to.deep.equal([0, 8, 13, 14, 15, 16, 17, 18])
  })

  it('parses what it writes', () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        const bytes = new Uint8Array(icmpv4Length(message) + 8).fill(0xee)
        const length = emitIcmpv4(message, bytes, 4)
        expect(length).to.equal(bytes.length - 8)
        expect(toHex(bytes.subarray(0, 4)) + toHex(bytes.subarray(4 + length))).to.equal('ee'.repeat(8))
        expect(parse(bytes.slice(4, 4 + length))).to.deep.equal(message)
      }),
    )
  })

  it('parses and prints any bytes without throwing or reading outside', () => {
    fc.assert(
      fc.property(fc.nat(20), fc.nat(17), fc.uint8Array({ maxLength: 60 }), (type, code, rest) => {
        const bytes = new Uint8Array(4 + rest.length)
        bytes.set([type, code])
        bytes.set(rest, 4)
        const check = checksum(bytes, 0, bytes.length)
        bytes.set([check >>> 8, check & 255], 2)
        parse(bytes)
        const format = (b: Uint8Array, start: number, end: number) => formatIcmpv4(b, start, end, end - start)
        expect(parseAmong(format, bytes)).to.be.a('string')
      }),
      { numRuns: 1000 },
    )
  })
})
