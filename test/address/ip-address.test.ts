import { expect } from 'chai'
import fc from 'fast-check'
import { isV4Mapped, setUnspecified, setV4Mapped } from '../../lib/address/ip-address.ts'

describe('addresses of four words', () => {
  it('property: an IPv4 address is v4-mapped, and leaves the words around alone', () => {
    fc.assert(
      fc.property(fc.integer({ min: -0x80000000, max: 0x7fffffff }), fc.nat(4), (address, offset) => {
        const words = new Int32Array(9).fill(7)
        setV4Mapped(words, offset, address)
        expect([...words.subarray(offset, offset + 4)]).to.deep.equal([0, 0, 0xffff, address])
        expect(isV4Mapped(words, offset)).to.equal(true)
        expect(words.filter((word) => word === 7).length).to.be.at.least(5)
      }),
    )
  })

  it('the wildcard is no v4-mapped address, nor is any other that differs in the first three words', () => {
    const words = new Int32Array(4).fill(7)
    setUnspecified(words, 0)
    expect([...words]).to.deep.equal([0, 0, 0, 0])
    expect(isV4Mapped(words, 0)).to.equal(false)
    for (let i = 0; i < 3; i++) {
      setV4Mapped(words, 0, 1)
      words[i]! ^= 0x10000
      expect(isV4Mapped(words, 0)).to.equal(false)
    }
  })
})
