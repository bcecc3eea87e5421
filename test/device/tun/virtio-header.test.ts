import { expect } from 'chai'
import fc from 'fast-check'
import { VirtioHeaders } from '../../../lib/device/tun/virtio-header.ts'
import { completeChecksum } from '../../../lib/packet/complete-checksum.ts'
import { Checksum, Gso, type Packet } from '../../../lib/packet/packet.ts'
import { PacketPool } from '../../../lib/packet/packet-pool.ts'
import { checksum, fold, pseudoHeaderSum } from '../../../lib/wire/checksum.ts'

const TCP = 6
const UDP = 17
const pool = new PacketPool()

/** A packet with the given payload behind an IPv4 or IPv6 header of the least length, checksum field 0. */
function packetOf(version: 4 | 6, protocol: number, payload: number): Packet {
  const network = version === 4 ? 20 : 40
  const transport = protocol === TCP ? 20 : 8
  const bytes = new Uint8Array(network + transport + payload)
  bytes[0] = version === 4 ? 0x45 : 0x60
  bytes[version === 4 ? 9 : 6] = protocol
  bytes.set([10, 9, 0, 1, 10, 9, 0, 2], version === 4 ? 12 : 8)
  if (protocol === TCP) bytes[network + 12] = 0x50
  return pool.from(bytes)!
}

interface Header {
  flags?: number
  type?: number
  length?: number
  size?: number
  start?: number
  offset?: number
}

/** What the kernel would have written; in the byte order of this machine. */
function headerOf({ flags = 0, type = 0, length = 0, size = 0, start = 0, offset = 0 }: Header): Uint8Array {
  const words = Uint16Array.of(0, length, size, start, offset, 0)
  const bytes = new Uint8Array(words.buffer)
  bytes[0] = flags
  bytes[1] = type
  return bytes
}

function read(packet: Packet, header: Header, i = 0): boolean {
  const headers = new VirtioHeaders(i + 1)
  headers.bytes.set(headerOf(header), 12 * i)
  return headers.read(i, packet)
}

const TSO4 = { flags: 1, type: 1, length: 40, size: 1000, start: 20, offset: 16 }
const TSO6 = { flags: 1, type: 4, length: 60, size: 1000, start: 40, offset: 16 }
const USO4 = { flags: 1, type: 5, length: 28, size: 1000, start: 20, offset: 6 }
const USO6 = { flags: 1, type: 5, length: 48, size: 1000, start: 40, offset: 6 }

describe('virtio_net_hdr', () => {
  it('says nothing of a plain packet', () => {
    const packet = packetOf(4, TCP, 100)
    expect(read(packet, {})).to.equal(true)
    expect(packet).to.include({ checksum: Checksum.NONE, gsoType: Gso.NONE, gsoSize: 0, gsoSegments: 1 })
  })

  it('leaves a checksum open, or vouches for it', () => {
    const packet = packetOf(4, UDP, 100)
    expect(read(packet, { flags: 1, start: 20, offset: 6 })).to.equal(true)
    expect(packet).to.include({
      checksum: Checksum.PARTIAL,
      checksumStart: packet.start + 20,
      checksumOffset: 6,
    })
    const valid = packetOf(4, UDP, 100)
    expect(read(valid, { flags: 2 })).to.equal(true)
    expect(valid.checksum).to.equal(Checksum.UNNECESSARY)
  })

  for (const [what, version, protocol, header, type] of [
    ['TCP over IPv4', 4, TCP, TSO4, Gso.TCPV4],
    ['TCP over IPv6', 6, TCP, TSO6, Gso.TCPV6],
    ['UDP over IPv4', 4, UDP, USO4, Gso.UDP_L4],
    ['UDP over IPv6', 6, UDP, USO6, Gso.UDP_L4],
  ] as const) {
    it(`tells how ${what} is to be cut`, () => {
      const packet = packetOf(version, protocol, 2500)
      expect(read(packet, header)).to.equal(true)
      expect(packet).to.include({ gsoType: type, gsoSize: 1000, gsoSegments: 3, gsoEcn: false })
      expect(packet.checksum).to.equal(Checksum.PARTIAL)
    })

    it(`writes what it has read: ${what}`, () => {
      const packet = packetOf(version, protocol, 2500)
      read(packet, header)
      const headers = new VirtioHeaders(3)
      expect(headers.write(2, packet)).to.equal(true)
      expect(headers.bytes.slice(24)).to.deep.equal(headerOf(header))
    })
  }

  it('keeps the mark of ECN', () => {
    const packet = packetOf(4, TCP, 2500)
    expect(read(packet, { ...TSO4, type: 0x81 })).to.equal(true)
    expect(packet.gsoEcn).to.equal(true)
    const headers = new VirtioHeaders(1)
    headers.write(0, packet)
    expect(headers.bytes[1]).to.equal(0x81)
  })

  it('writes zeros for a packet with nothing to be done, over what stood there', () => {
    const headers = new VirtioHeaders(1)
    const large = packetOf(4, TCP, 2500)
    read(large, TSO4)
    headers.write(0, large)
    expect(headers.write(0, packetOf(4, TCP, 10))).to.equal(false)
    expect(headers.bytes).to.deep.equal(new Uint8Array(12))
  })

  const lies: [string, Packet, Header][] = [
    ['a checksum that starts past the end', packetOf(4, UDP, 10), { flags: 1, start: 37, offset: 0 }],
    ['a checksum field past the end', packetOf(4, UDP, 10), { flags: 1, start: 20, offset: 17 }],
    ['a checksum within the IP header', packetOf(4, UDP, 10), { flags: 1, start: 10, offset: 0 }],
    ['a checksum, of no packet', pool.allocate(0)!, { flags: 1, start: 0, offset: 0 }],
    ['gso_size 0', packetOf(4, TCP, 2500), { ...TSO4, size: 0 }],
    ['a gso_size that is Linux’s own', packetOf(4, TCP, 2500), { ...TSO4, size: 65_535 }],
    ['an unknown type', packetOf(4, TCP, 2500), { ...TSO4, type: 2 }],
    ['UFO, which is gone', packetOf(4, UDP, 2500), { ...USO4, type: 3 }],
    ['TCPV4 for UDP', packetOf(4, UDP, 2500), TSO4],
    ['TCPV4 for IPv6', packetOf(6, TCP, 2500), TSO4],
    ['TCPV6 for IPv4', packetOf(4, TCP, 2500), TSO6],
    ['UDP_L4 for TCP', packetOf(4, TCP, 2500), USO4],
    ['ECN for UDP', packetOf(4, UDP, 2500), { ...USO4, type: 0x85 }],
    ['a header longer than the packet', packetOf(4, TCP, 2500), { ...TSO4, length: 2541 }],
    ['a header longer than a plain packet', packetOf(4, TCP, 10), { length: 51 }],
    ['no open checksum', packetOf(4, TCP, 2500), { ...TSO4, flags: 0 }],
    ['no open checksum, UDP', packetOf(4, UDP, 2500), { ...USO4, flags: 2 }],
    ['a checksum elsewhere', packetOf(4, TCP, 2500), { ...TSO4, start: 24 }],
    ['another checksum field', packetOf(4, TCP, 2500), { ...TSO4, offset: 6 }],
    ['no payload', packetOf(4, TCP, 0), TSO4],
    ['no room for the transport header', packetOf(4, UDP, 0), { ...USO4, start: 21 }],
  ]
  for (const [what, packet, header] of lies) {
    it(`is refused if it claims ${what}`, () => {
      expect(read(packet, header)).to.equal(false)
    })
  }

  it('is refused if the TCP header ends past the packet, or before it began', () => {
    for (const offset of [0xf0, 0x40]) {
      const packet = packetOf(4, TCP, 10)
      packet.bytes[packet.start + 32] = offset
      expect(read(packet, TSO4)).to.equal(false)
    }
  })

  for (const [what, version, protocol, header] of [
    ['IPv4', 4, TCP, TSO4],
    ['IPv6', 6, TCP, TSO6],
  ] as const) {
    it(`opens the checksum of a super-segment that was vouched for as a whole, ${what}`, () => {
      const packet = packetOf(version, protocol, 2500)
      expect(read(packet, { ...header, flags: 2, start: 0, offset: 0 })).to.equal(true)
      expect(packet).to.include({ checksum: Checksum.PARTIAL, checksumStart: packet.start + header.start })
      const length = packet.end - packet.checksumStart
      completeChecksum(packet)
      const { bytes, start } = packet
      const at = version === 4 ? 12 : 8
      const addresses = new DataView(bytes.buffer, start + at)
      const pseudo = fold(pseudoHeaderSum(addresses.getUint32(0), addresses.getUint32(4), protocol, length))
      expect(checksum(bytes, start + header.start, packet.end, pseudo)).to.equal(0)
    })
  }

  it('never lets through what would have to be looked at again', () => {
    const word = fc.integer({ min: 0, max: 0xffff })
    const small = fc.integer({ min: 0, max: 80 })
    const header = fc.record({
      flags: fc.integer({ min: 0, max: 3 }),
      type: fc.constantFrom(0, 1, 2, 3, 4, 5, 0x80, 0x81, 0x84, 0x85, 255),
      length: fc.oneof(small, word),
      size: fc.oneof(small, word),
      start: fc.oneof(fc.constantFrom(20, 40), small, word),
      offset: fc.oneof(fc.constantFrom(6, 16), small, word),
    })
    const bytes = fc
      .tuple(
        fc.constantFrom(0x45, 0x46, 0x60, 0x4f, 0x00),
        fc.constantFrom(TCP, UDP, 0),
        fc.uint8Array({ maxLength: 200 }),
      )
      .map(([first, protocol, rest]) => {
        const packet = Uint8Array.from(rest)
        if (packet.length > 0) packet[0] = first
        if (packet.length > 9) packet[6] = packet[9] = protocol
        return packet
      })
    fc.assert(
      fc.property(header, bytes, (fields, content) => {
        const packet = pool.from(content)!
        if (read(packet, fields, 1)) {
          if (packet.checksum === Checksum.PARTIAL) {
            const field = packet.checksumStart + packet.checksumOffset
            expect(packet.checksumStart).to.be.within(packet.start + 20, packet.end)
            expect(field + 2).to.be.at.most(packet.end)
          }
          if (packet.gsoSize > 0) {
            expect(packet.checksum).to.equal(Checksum.PARTIAL)
            expect(packet.gsoType).to.not.equal(Gso.NONE)
            expect(packet.gsoSegments).to.be.at.least(1)
          } else {
            expect(packet).to.include({ gsoType: Gso.NONE, gsoSegments: 1 })
          }
        }
        packet.free()
      }),
      { numRuns: 3000 },
    )
  })
})
