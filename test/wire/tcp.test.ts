import { expect } from 'chai'
import * as fc from 'fast-check'
import { DropReason } from '../../lib/wire/drop-reason.ts'
import * as tcp from '../../lib/wire/tcp.ts'
import { samples } from './samples.ts'
import { fromHex, parseAmong } from './surroundings.ts'

const packet = fromHex(
  samples.find(([line]) => line.includes('Flags [S], seq 1000, win 500, options [mss'))![1],
)
const syn = packet.slice(20)
const parse = (bytes: Uint8Array) => parseAmong(tcp.parseTcpHeader, bytes)

describe('wire/tcp', () => {
  it('has the offsets of RFC 9293 §3.1', () => {
    expect([
      tcp.TCP_SOURCE_PORT,
      tcp.TCP_DESTINATION_PORT,
      tcp.TCP_SEQUENCE,
      tcp.TCP_ACKNOWLEDGMENT,
      tcp.TCP_DATA_OFFSET,
      tcp.TCP_FLAGS,
      tcp.TCP_WINDOW,
      tcp.TCP_CHECKSUM,
      tcp.TCP_URGENT,
      tcp.TCP_MIN_HEADER,
    ]).to.deep.equal([0, 2, 4, 8, 12, 13, 14, 16, 18, 20])
  })

  it('parses a SYN with options', () => {
    expect(parse(syn)).to.deep.include({
      headerLength: 40,
      sourcePort: 1234,
      destinationPort: 4321,
      sequence: 1000,
      acknowledgment: 2000,
      flags: tcp.TcpFlag.SYN,
      window: 500,
    })
  })

  it('tcp-offset-small, tcp-offset-long', () => {
    for (const [offset, size] of [
      [0, 40],
      [4, 40],
      [15, 40],
      [10, 39],
      [5, 19],
    ] as const) {
      const lying = syn.slice(0, size)
      lying[12] = offset << 4
      expect(parse(lying), `offset ${offset} of ${size}`).to.equal(DropReason.PKT_TOO_SMALL)
    }
  })

  it('parses and prints any bytes without throwing or reading outside', () => {
    const byte = fc.oneof(fc.constantFrom(0, 1, 2, 3, 4, 5, 8, 10, 34), fc.nat(255))
    const format = (bytes: Uint8Array, start: number, end: number) =>
      tcp.formatTcp(bytes, start, end, 'a', 'b', end - start)
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 62 }), fc.nat(15), (list, offset) => {
        const bytes = Uint8Array.from(list)
        if (bytes.length > 12) bytes[12] = offset << 4
        parse(bytes)
        expect(parseAmong(format, bytes)).to.be.a('string')
        expect(tcp.formatTcpOptions(bytes)).to.be.a('string')
      }),
      { numRuns: 1000 },
    )
  })
})
