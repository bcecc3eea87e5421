import { expect } from 'chai'
import fc from 'fast-check'
import { Segmenter, wireLength } from '../../lib/offload/segmenter.ts'
import { completeChecksum } from '../../lib/packet/complete-checksum.ts'
import { Checksum, Gso, type Packet } from '../../lib/packet/packet.ts'
import { PacketPool } from '../../lib/packet/packet-pool.ts'
import { plainSegments, superPacket, tcpPacket, udpPacket } from './segments.ts'

const pool = new PacketPool()

function cut(packet: Packet, complete: boolean): Packet[] {
  const segmenter = new Segmenter()
  if (!segmenter.begin(packet, complete)) return []
  const segments: Packet[] = []
  while (segmenter.packet !== null) segments.push(segmenter.next()!)
  packet.free()
  return segments
}

function bytesOf(packets: Packet[]): Uint8Array[] {
  return packets.map((packet) => {
    if (packet.checksum === Checksum.PARTIAL) completeChecksum(packet)
    const bytes = packet.toUint8Array()
    packet.free()
    return bytes
  })
}

describe('Segmenter', () => {
  afterEach(() => expect(pool.outstanding).to.equal(0))

  it('property: gives the segments of any super-segment, completed or left partial, with a body or without', () => {
    fc.assert(
      fc.property(
        fc.record({
          payload: fc.uint8Array({ minLength: 2, maxLength: 5000 }),
          gsoSize: fc.integer({ min: 1, max: 2000 }),
          udp: fc.boolean(),
          flags: fc.nat(255),
          sequence: fc.nat(0xffffffff),
          id: fc.nat(0xffff),
          options: fc.constantFrom([], [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]),
        }),
        fc.boolean(),
        fc.nat(5000),
        ({ payload, gsoSize, udp, flags, sequence, id, options }, complete, body) => {
          const whole = udp
            ? udpPacket({ payload, id })
            : tcpPacket({ payload, flags, sequence, id, options })
          const size = Math.max(gsoSize, Math.ceil(payload.length / 50))
          const packet = superPacket(pool, whole, size, Math.min(body, payload.length))
          packet.mark = 5
          const segments = cut(packet, complete)
          for (const one of segments) {
            expect(one.checksum).to.equal(complete ? Checksum.NONE : Checksum.PARTIAL)
            expect([one.gsoType, one.gsoSize, one.gsoSegments]).to.deep.equal([Gso.NONE, 0, 1])
            expect([one.mark, one.networkHeader, one.body]).to.deep.equal([5, one.start, null])
          }
          const sums = (bytes: Uint8Array): Uint8Array => {
            // 0 and 0xffff are the same sum, and only UDP says which (its 0xffff stays).
            const at = udp ? 26 : 36
            if (!udp && bytes[at] === 0xff && bytes[at + 1] === 0xff) bytes.fill(0, at, at + 2)
            return bytes
          }
          expect(bytesOf(segments).map(sums)).to.deep.equal(plainSegments(whole, size).map(sums))
        },
      ),
    )
  })

  it('keeps the identification where it was fixed', () => {
    const packet = superPacket(pool, tcpPacket({ payload: new Uint8Array(300), id: 9 }), 100)
    packet.gsoFixedId = true
    const ids = bytesOf(cut(packet, true)).map((bytes) => bytes[5])
    expect(ids).to.deep.equal([9, 9, 9])
  })

  it('makes sums of its own where the packet came with a complete one', () => {
    const whole = tcpPacket({ payload: new Uint8Array(300).fill(7) })
    const packet = superPacket(pool, whole, 100)
    packet.checksum = Checksum.UNNECESSARY
    expect(bytesOf(cut(packet, true))).to.deep.equal(plainSegments(whole, 100))
  })

  it('cuts nothing that is not what it says', () => {
    const payload = new Uint8Array(300)
    const refused = (change: (packet: Packet) => void, bytes = tcpPacket({ payload })): void => {
      const packet = superPacket(pool, bytes, 100)
      change(packet)
      expect(new Segmenter().begin(packet, true)).to.equal(false)
      packet.free()
    }
    refused((packet) => (packet.gsoType = Gso.NONE))
    refused((packet) => (packet.gsoType = Gso.UDP_L4))
    refused((packet) => (packet.gsoType = Gso.TCPV6))
    refused((packet) => (packet.gsoSize = 0))
    refused(() => {}, udpPacket({ payload }).fill(6, 9, 10).slice(0, 30))
    refused(({ bytes, start }) => (bytes[start] = 0x44))
    refused(({ bytes, start }) => (bytes[start] = 0x65))
    refused(({ bytes, start }) => (bytes[start + 6] = 0x20))
    refused(({ bytes, start }) => (bytes[start + 7] = 1))
    refused(({ bytes, start }) => (bytes[start + 32] = 0x40))
    refused((packet) => (packet.end = packet.start + 39))
    refused((packet) => (packet.end = packet.start + 40))
    refused((packet) => (packet.end = packet.start))
  })

  it('property: any bytes are cut or refused, and neither throws', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.constantFrom(...Object.values(Gso)),
        fc.integer({ min: 0, max: 300 }),
        fc.boolean(),
        (noise, gsoType, gsoSize, plausible) => {
          const bytes = plausible ? Uint8Array.from([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, ...noise]) : noise
          const packet = pool.from(bytes)!
          packet.gsoType = gsoType
          packet.gsoSize = gsoSize
          expect(wireLength(packet)).to.be.within(0, packet.length)
          const segments = cut(packet, true)
          if (segments.length === 0) packet.free()
          for (const one of segments) one.free()
        },
      ),
    )
  })

  it('says when there is no memory, and can go on later', () => {
    const small = new PacketPool({ limit: 66560 * 8 + 2048 * 64 })
    const payload = new Uint8Array(64_000)
    const packet = superPacket(small, tcpPacket({ payload }), 100)
    const hoard: Packet[] = []
    const segmenter = new Segmenter()
    expect(segmenter.begin(packet, true)).to.equal(true)
    for (let one = segmenter.next(); one !== null; one = segmenter.next()) hoard.push(one)
    expect(segmenter.packet).to.equal(packet)
    const made = hoard.length
    for (const one of hoard.splice(0)) one.free()
    const next = segmenter.next()!
    expect(next.toUint8Array()).to.deep.equal(plainSegments(tcpPacket({ payload }), 100)[made])
    next.free()
    packet.free()
    expect(small.outstanding).to.equal(0)
  })
})

describe('wireLength', () => {
  it('is the size of a full segment with its headers, options included', () => {
    const payload = new Uint8Array(3000)
    const length = (bytes: Uint8Array, gsoSize: number): number => {
      const packet = superPacket(pool, bytes, gsoSize)
      const wire = wireLength(packet)
      packet.free()
      return wire
    }
    expect(length(tcpPacket({ payload }), 1460)).to.equal(1500)
    expect(length(tcpPacket({ payload, options: [1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0] }), 1448)).to.equal(
      1500,
    )
    expect(length(udpPacket({ payload }), 1472)).to.equal(1500)
    expect(length(udpPacket({ payload }), 5000)).to.equal(3028)
    expect(length(udpPacket({ payload }), 0)).to.equal(3028)
  })
})
