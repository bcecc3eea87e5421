/** Numbers, addresses and words as iproute2 reads them. */
import { expect } from 'chai'
import fc from 'fast-check'
import { formatIpv4, parseIpv4 } from '../../lib/address/ipv4-address.ts'
import {
  Family,
  matchesGlob,
  parseHost,
  parseParts,
  parsePrefix,
  parseSigned,
  parseTime,
  parseUnsigned,
} from '../../lib/iproute2/grammar.ts'
import { ip } from '../../lib/iproute2/ip.ts'
import { parseRouteType } from '../../lib/iproute2/names.ts'
import { tokenize } from '../../lib/iproute2/tokenizer.ts'
import { Stack } from '../../lib/stack/stack.ts'

describe('iproute2’s grammar', () => {
  it('reads numbers as strtoul does', () => {
    const table: [string, number | undefined][] = [
      ['0', 0],
      ['0x10', 16],
      ['010', 8],
      ['09', undefined],
      ['+5', 5],
      [' 5', 5],
      ['5 ', undefined],
      ['', undefined],
      ['-1', undefined],
      ['4294967295', 4294967295],
      ['4294967296', undefined],
    ]
    for (const [text, number] of table) expect(parseUnsigned(text), text).to.equal(number)
    expect(parseSigned('-0x10')).to.equal(-16)
    expect(parseSigned('2147483648')).to.equal(undefined)
  })

  it('reads addresses of fewer than four parts, and masks', () => {
    const read = (text: string): string => {
      const { address, length } = parsePrefix(text, Family.UNSPEC)
      return `${formatIpv4(address)}/${length}`
    }
    expect(read('10')).to.equal('10.0.0.0/32')
    expect(read('10/8')).to.equal('10.0.0.0/8')
    expect(read('11.1')).to.equal('11.1.0.0/32')
    expect(read('0x0a.010.1/16')).to.equal('10.8.1.0/16')
    expect(read('10.0.0.1/255.255.255.0')).to.equal('10.0.0.1/24')
    expect(read('10.0.0.1/0.0.0.0')).to.equal('10.0.0.1/0')
    expect(read('default')).to.equal('0.0.0.0/0')
    for (const text of [
      '10.0.0.0/33',
      '10.0.0.300',
      '10.0.0.1/255.0.255.0',
      '1.2.3.4.5',
      '1..2',
      '',
      '1.2.3.4/',
    ]) {
      expect(() => read(text), text).to.throw(`any valid prefix is expected rather than "${text}"`)
    }
  })

  it('reads addresses of the link layer, and labels, for what they are', () => {
    const { PACKET, MPLS, BRIDGE } = Family
    for (const [text, family] of [
      ['1.2.3.4', PACKET],
      ['1:2', PACKET],
      ['any', PACKET],
      ['100', MPLS],
      ['1/0x2/1048575', MPLS],
      ['any', BRIDGE],
    ] as const) {
      expect(parseHost(text, family).family, text).to.equal(family)
    }
    expect(() => parseHost('1:x', PACKET)).to.throw(
      '"x" is invalid lladdr.\nError: link address is expected rather than "1".',
    )
    expect(() => parseHost('1048576', MPLS)).to.throw('mpls address is expected rather than "1048576"')
    expect(() => parseHost('any', MPLS)).to.throw('mpls address is expected rather than "any"')
    expect(() => parseHost('1.2.3.4', BRIDGE)).to.throw('bridge address is expected')
    expect(() => parsePrefix('10/8', PACKET)).to.throw('may be inet prefix, but it is not allowed')
    expect(parsePrefix('100/20', MPLS).length).to.equal(20)
    expect(() => parsePrefix('100/21', MPLS)).to.throw('mpls prefix is expected rather than "100/21"')
  })

  it('property: what is printed is read again', () => {
    fc.assert(
      fc.property(fc.integer(), (address) => {
        expect(parseParts(formatIpv4(address))).to.equal(address)
        expect(parseIpv4(formatIpv4(address))).to.equal(address)
      }),
    )
  })

  it('reads times', () => {
    expect(parseTime('200ms')).to.deep.equal({ value: 200, raw: false })
    expect(parseTime('1.5s')).to.deep.equal({ value: 1500, raw: false })
    expect(parseTime('20')).to.deep.equal({ value: 20, raw: true })
    expect(parseTime('1.5')).to.deep.equal({ value: 2, raw: true })
    expect(parseTime('5min')).to.equal(undefined)
  })

  it('takes the first type that a word begins', () => {
    expect(['b', 'u', 'bl', 'brd', 'p', 'throw', 'm', 'uni', 'l', '5'].map(parseRouteType)).to.deep.equal([
      3,
      7,
      6,
      3,
      8,
      9,
      5,
      1,
      undefined,
      5,
    ])
  })

  it('matches labels as a shell does', () => {
    expect(matchesGlob('tun*', 'tun0:x')).to.equal(true)
    expect(matchesGlob('tun?', 'tun10')).to.equal(false)
    expect(matchesGlob('tun[0-3]', 'tun2')).to.equal(true)
    expect(matchesGlob('tun[!0-3]', 'tun2')).to.equal(false)
    expect(matchesGlob('a.b', 'axb')).to.equal(false)
  })

  it('property: no line of words makes it throw, or leaves a failure unsaid', async () => {
    const stack = new Stack()
    const word = fc.oneof(
      fc.constantFrom(
        ...'address route rule link add del show flush get set dev lo via 10.0.0.1 10/8 table 100 all nexthop metric'.split(
          ' ',
        ),
        ...'from to iif oif tos mtu lock up down brd + scope host label priority goto type local -s -o not src'.split(
          ' ',
        ),
      ),
      fc.string({ maxLength: 6 }),
    )
    fc.assert(
      fc.property(fc.array(word, { maxLength: 8 }), (words) => {
        const { stderr, status } = ip(stack, words)
        expect([0, 1, 2, 255]).to.include(status)
        if (status !== 0) expect(stderr).to.match(/\n$/)
      }),
      { numRuns: 2000 },
    )
    await stack.close()
  })

  it('property: words without quotes and spaces survive a line', () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-z0-9./:#\\-]+$/), { minLength: 1 }), (words) => {
        expect(tokenize(` ${words.join(' \t')} `)).to.deep.equal(words)
        expect(tokenize(words.map((each) => `"${each}"`).join(''))).to.deep.equal(words)
      }),
    )
  })
})
