import { expect } from 'chai'
import * as fc from 'fast-check'
import { parseIpv4, readIpv4 } from '../../lib/address/ipv4-address.ts'
import { DropReason } from '../../lib/wire/drop-reason.ts'
import { emitUdp, parseUdp, type UdpDatagram, udpLength } from '../../lib/wire/udp.ts'
import { samples } from './samples.ts'
import { fromHex, parseAmong, toHex } from './surroundings.ts'

const packet = fromHex(samples.find(([line]) => line.includes('.9: UDP, length 5'))![1])
const source = readIpv4(packet, 12)
const destination = readIpv4(packet, 16)
const datagram = packet.slice(20)
const parse = (bytes: Uint8Array) => parseAmong((b, s, e) => parseUdp(b, s, e, source, destination), bytes)

describe('wire/udp', () => {
  it('parses and writes a datagram of Linux', () => {
    const parsed = parse(datagram) as UdpDatagram
    expect(parsed.destinationPort).to.equal(9)
    expect(Buffer.from(parsed.data).toString()).to.equal('hello')
    const bytes = new Uint8Array(udpLength(parsed))
    expect(emitUdp(parsed, bytes, 0, source, destination)).to.equal(13)
    expect(toHex(bytes)).to.equal(toHex(datagram))
  })

  it('udp-len-long, and lengths below the header', () => {
    for (const length of [14, 65535, 7, 0]) {
      const lying = datagram.slice()
      lying[4] = length >>> 8
      lying[5] = length & 255
      expect(parse(lying)).to.equal(DropReason.PKT_TOO_SMALL)
    }
    for (let n = 0; n < 8; n++) expect(parse(datagram.slice(0, n))).to.equal(DropReason.PKT_TOO_SMALL)
  })

  it('ignores bytes behind its length', () => {
    const padded = new Uint8Array(datagram.length + 3).fill(0xaa)
    padded.set(datagram)
    expect(parse(padded)).to.deep.equal(parse(datagram))
  })

  it('finds a wrong checksum; 0 means none (udp-cksum-zero)', () => {
    const wrong = datagram.slice()
    wrong[12]! ^= 1
    expect(parse(wrong)).to.equal(DropReason.UDP_CSUM)
    wrong[6] = wrong[7] = 0
    expect(parse(wrong)).to.be.an('object')
  })

  it('never writes 0 for a checksum that comes out as 0', () => {
    const bytes = new Uint8Array(10)
    const local = parseIpv4('127.0.0.1')
    const seen = new Set<number>()
    for (let data = 0; data <= 0xffff; data++) {
      emitUdp(
        { sourcePort: 1, destinationPort: 2, data: Uint8Array.of(data >>> 8, data & 255) },
        bytes,
        0,
        local,
        local,
      )
      seen.add((bytes[6]! << 8) | bytes[7]!)
    }
    expect(seen.has(0)).to.equal(false)
    expect(seen.has(0xffff)).to.equal(true)
  })

  it('parses what it writes, and any bytes', () => {
    const port = fc.nat(0xffff)
    const any = fc.record({ sourcePort: port, destinationPort: port, data: fc.uint8Array({ maxLength: 50 }) })
    fc.assert(
      fc.property(any, fc.uint8Array({ maxLength: 30 }), (datagram, garbage) => {
        const bytes = new Uint8Array(udpLength(datagram))
        emitUdp(datagram, bytes, 0, source, destination)
        expect(parse(bytes)).to.deep.equal(datagram)
        parse(garbage)
      }),
    )
  })
})
