import { expect } from 'chai'
import * as fc from 'fast-check'
import { parseIpv4 } from '../../lib/address/ipv4-address.ts'
import { DropReason } from '../../lib/wire/drop-reason.ts'
import {
  emitIpv4Options,
  formatIpv4Options,
  type Ipv4Option,
  ipv4OptionsLength,
  optionLength,
  parseIpv4Options,
} from '../../lib/wire/ipv4-options.ts'
import { kernelOptions } from '../ipv4/kernel-options.ts'
import { fromHex, parseAmong, toHex } from './surroundings.ts'

const parse = (hex: string) => parseAmong(parseIpv4Options, fromHex(hex))
const format = (hex: string) => parseAmong(formatIpv4Options, fromHex(hex))

const anyOption: fc.Arbitrary<Ipv4Option> = fc.oneof(
  fc.constant<Ipv4Option>({ option: 'nop' }),
  fc.record({
    option: fc.constantFrom('record-route', 'loose-source-route', 'strict-source-route'),
    pointer: fc.nat(255),
    route: fc.array(fc.integer(), { maxLength: 3 }),
  }),
  fc.record({
    option: fc.constant('timestamp'),
    pointer: fc.nat(255),
    overflow: fc.nat(15),
    flag: fc.constant(0),
    entries: fc.array(fc.record({ time: fc.nat(0xffffffff) }), { maxLength: 3 }),
  }),
  fc.record({
    option: fc.constant('timestamp'),
    pointer: fc.nat(255),
    overflow: fc.nat(15),
    flag: fc.constantFrom(1, 3, 9),
    entries: fc.array(fc.record({ address: fc.integer(), time: fc.nat(0xffffffff) }), { maxLength: 2 }),
  }),
  fc.record({ option: fc.constant('router-alert'), value: fc.nat(0xffff) }),
  fc.record({
    option: fc.constant('other'),
    type: fc.constantFrom(2, 130, 134, 136, 158, 255),
    data: fc.uint8Array({ maxLength: 6 }),
  }),
) as fc.Arbitrary<Ipv4Option>

describe('wire/ipv4-options', () => {
  it('parses what ping -R and ping -T of Linux bring back', () => {
    expect(parse(`010727080a000001${'00'.repeat(32)}`)).to.deep.equal([
      { option: 'nop' },
      { option: 'record-route', pointer: 8, route: [parseIpv4('10.0.0.1'), ...Array(8).fill(0)] },
    ])
    expect(parse('441415110a00000900b7775c0a00030200b7775c')).to.deep.equal([
      {
        option: 'timestamp',
        pointer: 21,
        overflow: 1,
        flag: 1,
        entries: [
          { address: parseIpv4('10.0.0.9'), time: 0xb7775c },
          { address: parseIpv4('10.0.3.2'), time: 0xb7775c },
        ],
      },
    ])
    expect(parse('440c0d0000b77c1300b77c13')).to.deep.equal([
      {
        option: 'timestamp',
        pointer: 13,
        overflow: 0,
        flag: 0,
        entries: [{ time: 0xb77c13 }, { time: 0xb77c13 }],
      },
    ])
  })

  it('ends at End of Option List (ip-opt-eol-garbage)', () => {
    expect(parse('0100aabb')).to.deep.equal([{ option: 'nop' }])
  })

  it('keeps as bytes what is not of the usual form', () => {
    expect(parse('07060400000094020101')).to.deep.equal([
      { option: 'other', type: 7, data: fromHex('04000000') },
      { option: 'other', type: 148, data: fromHex('') },
      { option: 'nop' },
      { option: 'nop' },
    ])
  })

  it('hardening-15: refuses lengths 0, 1 and past the end', () => {
    for (const hex of ['9e000000', '9e010000', '9e050000', '0101019e', '01010744']) {
      expect(parse(hex), hex).to.equal(DropReason.IP_INHDR)
    }
    expect(optionLength(fromHex('9e040000'), 0, 4)).to.equal(4)
    expect(optionLength(fromHex('9e040000'), 0, 3)).to.equal(0)
    expect(optionLength(fromHex('9e040000'), 4, 4)).to.equal(0)
  })

  it('prints as tcpdump -v does', () => {
    expect(format('070f0c0a0000090a0000090000000000')).to.equal('RR 10.0.0.9, 10.0.0.9, 0.0.0.0,EOL')
    expect(format('070f0400000000000000000000000001')).to.equal('RR 0.0.0.0 0.0.0.0 0.0.0.0,NOP')
    expect(format('070f0d000a0000090a00000900000000')).to.equal(
      'RR [bad ptr 13] 0.10.0.0, 9.10.0.0, 9.0.0.0,,EOL',
    )
    expect(format('441405030a00004d000000000a00030200000000')).to.equal(
      'timestamp TS{PRESPEC ^ 0@10.0.0.77 0@10.0.3.2}',
    )
    expect(format('440c0d0000b77c1300b77c13')).to.equal('timestamp TS{TSONLY 12024851@ 12024851@ ^ }')
    expect(format('8307040a00030201')).to.equal('LSRR 10.0.3.2,NOP')
    expect(format('94040000')).to.equal('RA')
    expect(format('94040001')).to.equal('RA value 1')
    expect(format('9e040000')).to.equal('unknown 158')
    expect(format('820b00000000000000000001')).to.equal('security,NOP')
    expect(format('9e000000')).to.equal('[bad length of option 158]')
  })

  it('writes what Linux sent as it was', () => {
    for (const { sent } of kernelOptions) {
      const options = parse(sent)
      if (typeof options === 'number' || sent.startsWith('00')) continue
      const bytes = new Uint8Array(40)
      const length = emitIpv4Options(options as Ipv4Option[], bytes, 0)
      expect(toHex(bytes.subarray(0, length))).to.equal(sent)
    }
  })

  it('parses what it writes', () => {
    fc.assert(
      fc.property(fc.array(anyOption, { maxLength: 8 }), (options) => {
        const length = ipv4OptionsLength(options)
        const bytes = new Uint8Array(length + 8).fill(0xee)
        expect(emitIpv4Options(options, bytes, 4)).to.equal(length)
        expect(toHex(bytes.subarray(0, 4)) + toHex(bytes.subarray(4 + length))).to.equal('ee'.repeat(8))
        expect(parseAmong(parseIpv4Options, bytes.slice(4, 4 + length))).to.deep.equal(options)
      }),
    )
  })

  it('parses and prints any bytes without throwing or reading outside', () => {
    const byte = fc.oneof(fc.constantFrom(0, 1, 2, 3, 4, 7, 68, 131, 137, 148), fc.nat(255))
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 44 }), (list) => {
        const bytes = Uint8Array.from(list)
        parseAmong(parseIpv4Options, bytes)
        expect(parseAmong(formatIpv4Options, bytes)).to.be.a('string')
      }),
      { numRuns: 1000 },
    )
  })
})
