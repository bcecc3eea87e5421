import { expect } from 'chai'
import * as fc from 'fast-check'
import { decideBy, parseRule } from '../../lib/cli/gateway-rules.ts'
import { TunstackError } from '../../lib/errors.ts'
import type { GatewayFlow } from '../../lib/node/gateway/options.ts'

const flow = (address: string, port: number, ...names: string[]): GatewayFlow => ({
  protocol: 'tcp',
  source: { address: '10.0.2.100', port: 40_000 },
  destination: { address, port },
  name: names[0],
  names,
})

describe('rules of tunstack gateway', () => {
  it('fit addresses, prefixes, names, what is below one, and everybody', () => {
    for (const [rule, fits, doesNot] of [
      ['192.0.2.7', flow('192.0.2.7', 80), flow('192.0.2.8', 80)],
      ['192.0.2.0/29', flow('192.0.2.7', 80), flow('192.0.2.8', 80)],
      ['0.0.0.0/0:25', flow('192.0.2.7', 25), flow('192.0.2.7', 26)],
      ['192.0.2.7:80-90', flow('192.0.2.7', 90), flow('192.0.2.7', 91)],
      ['Evil.example', flow('192.0.2.7', 1, 'other', 'evil.example'), flow('192.0.2.7', 1, 'a.evil.example')],
      ['*.example:443', flow('192.0.2.7', 443, 'a.b.example'), flow('192.0.2.7', 443, 'example')],
      ['*', flow('192.0.2.7', 1), null],
      ['*:53', flow('192.0.2.7', 53), flow('192.0.2.7', 54)],
    ] as const) {
      expect(parseRule('deny', rule)(fits), rule).to.equal('deny')
      if (doesNot !== null) expect(parseRule('deny', rule)(doesNot), rule).to.equal(undefined)
    }
  })

  it('the first that fits decides; none: what would be anyway', () => {
    const decide = decideBy([parseRule('allow', '192.0.2.7'), parseRule('drop', '192.0.2.0/24')])
    expect(decide(flow('192.0.2.7', 1))).to.equal('allow')
    expect(decide(flow('192.0.2.8', 1))).to.equal('drop')
    expect(decide(flow('192.0.3.8', 1))).to.equal(undefined)
  })

  it('refuses what is none', () => {
    for (const text of [
      '',
      ':80',
      '192.0.2.7:9-2',
      '192.0.2.7:70000',
      '192.0.2.0/33',
      'a b',
      '*.*.x',
      '192.0.2.256/8',
    ]) {
      expect(() => parseRule('allow', text), text)
        .to.throw(TunstackError)
        .with.property('code', 'ERR_INVALID_ARG_VALUE')
    }
  })

  it('property: any text is a rule or an error of its own', () => {
    const text = fc.string({ unit: fc.constantFrom(...'0123456789./:*-ab ') })
    fc.assert(
      fc.property(text, (rule) => {
        try {
          parseRule('deny', rule)(flow('192.0.2.7', 80, 'a.b'))
        } catch (error) {
          expect(error).to.be.instanceOf(TunstackError)
        }
      }),
    )
  })
})
