/**
 * For property tests of parsers: the same bytes among different neighbours. A parser that reads nothing outside
 * of [start, end) gives the same result for all of them.
 */
import { expect } from 'chai'

export type Parser = (bytes: Uint8Array, start: number, end: number) => unknown

/** Runs the parser on `packet` among several neighbours, checks that all results agree, and returns one. */
export function parseAmong(parser: Parser, packet: Uint8Array): unknown {
  const results = [0x00, 0xff, 0x45, 0x01].map((filler, i) => {
    const before = [0, 3, 8, 64][i]!
    const bytes = new Uint8Array(before + packet.length + 80).fill(filler)
    bytes.set(packet, before)
    return parser(bytes, before, before + packet.length)
  })
  results.push(parser(packet, 0, packet.length))
  for (const result of results) expect(result).to.deep.equal(results[0])
  return results[0]
}

export const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
export const fromHex = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'))
