import { expect } from 'chai'
import fc from 'fast-check'
import { formatDuration, parseDuration, parseProbability, parseRate, parseSize } from '../lib/units.ts'

function refused(call: () => unknown): void {
  expect(call).to.throw().with.property('code', 'ERR_INVALID_ARG_VALUE')
}

describe('units', () => {
  it('times: a number is milliseconds, text says its unit', () => {
    const cases: [string | number, number][] = [
      [20, 20e6],
      [0.5, 5e5],
      ['20ms', 20e6],
      ['1.5s', 1.5e9],
      ['250us', 250e3],
      ['250µs', 250e3],
      ['7ns', 7],
      ['2min', 120e9],
      ['1h', 3600e9],
      ['1d', 86_400e9],
      ['100 MSECS', 100e6],
      ['.5s', 5e8],
    ]
    for (const [text, expected] of cases) expect(parseDuration(text), String(text)).to.equal(expected)
  })

  it('rates and sizes as tc writes them: bits and 1000, bytes and 1024', () => {
    expect(
      ['10mbit', '1gbit', '8kbit', '1kibit', '1mbps', '100bit'].map((text) => parseRate(text)),
    ).to.deep.equal([10e6, 1e9, 8e3, 1024, 8e6, 100])
    expect(parseRate(5000)).to.equal(5000)
    expect(['64kb', '1mb', '1500b', '3k'].map((text) => parseSize(text))).to.deep.equal([
      65536,
      1 << 20,
      1500,
      3072,
    ])
  })

  it('probabilities: 0…1, or per cent', () => {
    expect(['1%', '0%', '100%', '0.25%'].map((text) => parseProbability(text))).to.deep.equal([
      0.01, 0, 1, 0.0025,
    ])
    expect(parseProbability(0.3)).to.equal(0.3)
  })

  it('refuses what is none, and names it', () => {
    for (const bad of [
      '',
      '20',
      'ms',
      '-1ms',
      '1.2.3s',
      '20 parsecs',
      'toString',
      Number.NaN,
      -1,
      Infinity,
    ]) {
      refused(() => parseDuration(bad))
    }
    for (const bad of [0, '0mbit', '10', '10mb', {} as string]) refused(() => parseRate(bad))
    for (const bad of [-0.1, 1.1, '101%', '0.5', null as unknown as string])
      refused(() => parseProbability(bad))
    refused(() => parseSize('10ms'))
    expect(() => parseDuration('soon', 'delay')).to.throw(
      /^delay must be a time such as '20ms'.*; got 'soon'$/,
    )
  })

  it('property: any text is a number or a clear refusal', () => {
    const text = fc.oneof(fc.string(), fc.stringMatching(/^[0-9.]{0,5}[a-z%]{0,5}$/))
    fc.assert(
      fc.property(text, (value) => {
        for (const parse of [parseDuration, parseRate, parseSize, parseProbability]) {
          try {
            expect(parse(value)).to.be.at.least(0)
          } catch (error) {
            expect(error).to.have.property('code', 'ERR_INVALID_ARG_VALUE')
          }
        }
      }),
    )
  })

  it('formats times for people', () => {
    expect([340, 20e6, 1.5e9, 3600e9, 0, 12_300].map(formatDuration)).to.deep.equal([
      '340 ns',
      '20 ms',
      '1.5 s',
      '1 h',
      '0 ns',
      '12.3 µs',
    ])
  })
})
