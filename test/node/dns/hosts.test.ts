import { isIP } from 'node:net'
import { expect } from 'chai'
import fc from 'fast-check'
import { reverseName } from '../../../lib/node/dns/dns-channel.ts'
import { Hosts } from '../../../lib/node/dns/hosts.ts'

describe('Hosts', () => {
  it('property: whatever the text, an address is an address, and each name leads there and back', () => {
    const word = fc.oneof(fc.string(), fc.ipV4(), fc.ipV6(), fc.constantFrom('#', '\t', ' ', 'name', 'NAME.'))
    const texts = fc.array(fc.array(word).map((words) => words.join(' '))).map((lines) => lines.join('\n'))
    fc.assert(
      fc.property(texts, (text) => {
        const hosts = new Hosts(text)
        for (const name of [...text.split(/\s+/), 'localhost', 'name']) {
          for (const address of hosts.addresses(name, 0)) {
            expect(isIP(address)).to.not.equal(0)
            const plain = (each: string): string => each.toLowerCase().replace(/\.$/, '')
            expect(hosts.names(address).map(plain)).to.include(plain(name))
          }
        }
      }),
    )
  })

  it('names of addresses as DNS has them', () => {
    expect(reverseName('192.0.2.9')).to.equal('9.2.0.192.in-addr.arpa')
    expect(reverseName('2001:db8::1')).to.equal(`1.${'0.'.repeat(23)}8.b.d.0.1.0.0.2.ip6.arpa`)
    expect(reverseName('::')).to.equal(`${'0.'.repeat(32)}ip6.arpa`)
  })
})
