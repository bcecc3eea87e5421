import { expect } from 'chai'
import fc from 'fast-check'
import {
  formatIpv4,
  INADDR_ALLHOSTS_GROUP,
  INADDR_BROADCAST,
  INADDR_LOOPBACK,
  ipv4Mask,
  isLimitedBroadcast,
  isLocalMulticast,
  isLoopback,
  isMulticast,
  isZeronet,
  parseIpv4,
  parseIpv4Prefix,
  readIpv4,
  writeIpv4,
} from '../../lib/address/ipv4-address.ts'

const address = fc.integer({ min: -0x80000000, max: 0x7fffffff })

describe('IPv4 addresses', () => {
  it('property: text and number are the same address', () => {
    fc.assert(fc.property(address, (value) => parseIpv4(formatIpv4(value)) === value))
  })

  it('property: four octets in network order are the same address', () => {
    fc.assert(
      fc.property(address, fc.integer({ min: 0, max: 4 }), (value, offset) => {
        const bytes = new Uint8Array(8)
        writeIpv4(bytes, offset, value)
        expect(readIpv4(bytes, offset)).to.equal(value)
        expect([...bytes.subarray(offset, offset + 4)].join('.')).to.equal(formatIpv4(value))
        expect(bytes.filter((_, i) => i < offset || i >= offset + 4).every((byte) => byte === 0)).to.equal(
          true,
        )
      }),
    )
  })

  it('are signed', () => {
    expect(parseIpv4('255.255.255.255')).to.equal(INADDR_BROADCAST)
    expect(parseIpv4('127.0.0.1')).to.equal(INADDR_LOOPBACK)
    expect(parseIpv4('224.0.0.1')).to.equal(INADDR_ALLHOSTS_GROUP)
    expect(parseIpv4('128.0.0.0')).to.equal(-0x80000000)
  })

  const notAddresses = [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '256.0.0.1',
    ' 1.2.3.4',
    '1.2.3.4\n',
    '010.0.0.1',
    '0x0a.0.0.1',
    '1..2.3',
  ]
  for (const text of [...notAddresses, '-1.2.3.4', '1e1.0.0.0', '::1', undefined, null, 5, 10n, {}]) {
    it(`refuse ${typeof text === 'string' ? JSON.stringify(text) : String(text)}`, () => {
      expect(() => parseIpv4(text as string))
        .to.throw()
        .with.property('code', 'ERR_INVALID_ARG_VALUE')
      expect(() => parseIpv4Prefix(text as string))
        .to.throw()
        .with.property('code', 'ERR_INVALID_ARG_VALUE')
    })
  }

  it('property: any text is an address or refused with a code', () => {
    const almost = fc
      .array(fc.oneof(fc.nat(300), fc.constantFrom('', ' ', 'x')), { maxLength: 6 })
      .map((a) => a.join('.'))
    fc.assert(
      fc.property(fc.oneof(fc.string(), almost), (text) => {
        try {
          expect(formatIpv4(parseIpv4(text))).to.equal(text)
        } catch (error) {
          expect(error).to.have.property('code', 'ERR_INVALID_ARG_VALUE')
        }
      }),
    )
  })

  it('know their classes', () => {
    const table: [
      text: string,
      multicast: boolean,
      localMulticast: boolean,
      loopback: boolean,
      zeronet: boolean,
    ][] = [
      ['224.0.0.1', true, true, false, false],
      ['224.0.1.0', true, false, false, false],
      ['239.255.255.255', true, false, false, false],
      ['240.0.0.0', false, false, false, false],
      ['223.255.255.255', false, false, false, false],
      ['127.255.255.255', false, false, true, false],
      ['128.0.0.0', false, false, false, false],
      ['0.0.0.0', false, false, false, true],
      ['0.255.0.1', false, false, false, false],
      ['255.255.255.255', false, false, false, false],
    ]
    for (const [text, ...expected] of table) {
      const value = parseIpv4(text)
      const found = [isMulticast(value), isLocalMulticast(value), isLoopback(value), isZeronet(value)]
      expect(found, text).to.deep.equal(expected)
      expect(isLimitedBroadcast(value)).to.equal(text === '255.255.255.255')
    }
  })
})

describe('IPv4 prefixes', () => {
  it('property: any address and length, host bits kept', () => {
    fc.assert(
      fc.property(address, fc.integer({ min: 0, max: 32 }), (value, length) => {
        expect(parseIpv4Prefix(`${formatIpv4(value)}/${length}`)).to.deep.equal({ address: value, length })
      }),
    )
  })

  it('are a /32 without a length', () => {
    expect(parseIpv4Prefix('10.0.3.1')).to.deep.equal({ address: 0x0a000301, length: 32 })
  })

  for (const text of [
    '10.0.3.1/33',
    '10.0.3.1/',
    '10.0.3.1/-1',
    '10/8',
    '/8',
    '10.0.3.1/8/9',
    '10.0.3.1/24x',
    '10.0.3.1/ 8',
  ]) {
    it(`refuse '${text}'`, () => {
      expect(() => parseIpv4Prefix(text))
        .to.throw()
        .with.property('code', 'ERR_INVALID_ARG_VALUE')
    })
  }

  it('have a mask with as many bits', () => {
    for (let length = 0; length <= 32; length++) {
      const bits = (ipv4Mask(length) >>> 0).toString(2).padStart(32, '0')
      expect(bits).to.equal('1'.repeat(length) + '0'.repeat(32 - length))
      expect(ipv4Mask(length)).to.equal(ipv4Mask(length) | 0)
    }
  })
})
