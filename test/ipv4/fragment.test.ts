import { expect } from 'chai'
import fc from 'fast-check'
import { Errno } from '../../lib/errors.ts'
import { fragmentPacket } from '../../lib/ipv4/fragment.ts'
import { IpMib, Mib } from '../../lib/observe/mib.ts'
import type { Packet } from '../../lib/packet/packet.ts'
import { PacketPool } from '../../lib/packet/packet-pool.ts'
import { checksum } from '../../lib/wire/checksum.ts'
import { DropReason } from '../../lib/wire/drop-reason.ts'

const DF = 0x4000
const MF = 0x2000

/** An IPv4 datagram with the given flags-and-offset word, options and payload. */
function datagram(payload: Uint8Array, fragment = 0, options: number[] = []): Uint8Array {
  const length = 20 + options.length
  const bytes = new Uint8Array(length + payload.length)
  bytes.set([
    0x40 | (length / 4),
    0,
    bytes.length >> 8,
    bytes.length & 255,
    0x12,
    0x34,
    fragment >> 8,
    fragment & 255,
  ])
  bytes.set([64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2], 8)
  bytes.set(options, 20)
  bytes.set(payload, length)
  const check = checksum(bytes, 0, length)
  bytes.set([check >> 8, check & 255], 10)
  return bytes
}

function counting(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 255)
}

function setUp(limit?: number) {
  const pool = new PacketPool(limit === undefined ? {} : { limit })
  const mib = new Mib()
  const drops: number[] = []
  const pieces: Packet[] = []
  const context = {
    pool,
    mib,
    drop(packet: Packet, reason: number) {
      drops.push(reason)
      packet.free()
    },
  }
  const sink = { fragment: (packet: Packet) => void pieces.push(packet) }
  return { pool, mib, drops, pieces, context, sink }
}

const word = (bytes: Uint8Array, at: number) => (bytes[at]! << 8) | bytes[at + 1]!

describe('fragmentPacket', () => {
  it('frag-out: pieces fit the MTU, are contiguous, multiples of 8, of one id, MF on all but the last', () => {
    const { pool, mib, pieces, context, sink } = setUp()
    const payload = counting(4980)
    const packet = pool.from(datagram(payload))!
    packet.mark = 7
    packet.iif = 3
    packet.device = { ifindex: 3, name: 'tun0' }
    packet.destination = { family: 4 }
    const { device, destination } = packet
    expect(fragmentPacket(packet, 1500, context, sink)).to.equal(0)
    expect(pieces.length).to.equal(4)
    let offset = 0
    pieces.forEach((piece, i) => {
      const bytes = piece.toUint8Array()
      expect(bytes.length).to.be.at.most(1500)
      expect(word(bytes, 2)).to.equal(bytes.length)
      expect(word(bytes, 4)).to.equal(0x1234)
      const last = i === pieces.length - 1
      expect(word(bytes, 6)).to.equal((offset / 8) | (last ? 0 : MF))
      expect(checksum(bytes, 0, 20)).to.equal(0)
      if (!last) expect((bytes.length - 20) % 8).to.equal(0)
      expect(bytes.subarray(20)).to.deep.equal(payload.subarray(offset, offset + bytes.length - 20))
      offset += bytes.length - 20
      expect(piece.networkHeader).to.equal(piece.start)
      expect(piece.transportHeader).to.equal(piece.start + 20)
      expect([piece.mark, piece.iif, piece.device, piece.destination]).to.deep.equal([
        7,
        3,
        device,
        destination,
      ])
    })
    expect(offset).to.equal(4980)
    expect(pieces.map((piece) => piece.length)).to.deep.equal([1500, 1500, 1500, 560])
    expect(mib.ip[IpMib.FragOKs]).to.equal(1)
    expect(mib.ip[IpMib.FragCreates]).to.equal(4)
    expect(mib.ip[IpMib.FragFails]).to.equal(0)
    for (const piece of pieces) piece.free()
    expect(pool.outstanding).to.equal(0)
  })

  it('cuts a fragment further: offsets go on, MF stays on its last piece', () => {
    const { pool, pieces, context, sink } = setUp()
    fragmentPacket(pool.from(datagram(counting(1480), MF | 185))!, 600, context, sink)
    expect(pieces.map((piece) => word(piece.toUint8Array(), 6))).to.deep.equal([MF | 185, MF | 257, MF | 329])
  })

  it('clears DF, and keeps it for what was reassembled from fragments with DF, within their size', () => {
    const { pool, pieces, context, sink } = setUp()
    fragmentPacket(pool.from(datagram(counting(1480), DF))!, 1000, context, sink)
    expect(pieces.map((piece) => word(piece.toUint8Array(), 6))).to.deep.equal([MF, 122])
    pieces.length = 0
    const reassembled = pool.from(datagram(counting(1480), DF))!
    reassembled.fragMaxSize = 820
    fragmentPacket(reassembled, 1000, context, sink)
    expect(pieces.map((piece) => word(piece.toUint8Array(), 6))).to.deep.equal([DF | MF, DF | 100])
    expect(pieces[0]!.length).to.equal(820)
  })

  it('options without the copied flag are in the first fragment only (RFC 791 §3.1)', () => {
    const { pool, pieces, context, sink } = setUp()
    // Record route (7, not copied) of 7 bytes, router alert (148, copied) of 4, end.
    const options = [7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 0]
    fragmentPacket(pool.from(datagram(counting(100), 0, options))!, 96, context, sink)
    const [first, second] = pieces.map((piece) => piece.toUint8Array())
    expect([...first!.subarray(20, 32)]).to.deep.equal(options)
    expect([...second!.subarray(20, 32)]).to.deep.equal([1, 1, 1, 1, 1, 1, 1, 148, 4, 0, 0, 0])
    expect(checksum(second!, 0, 32)).to.equal(0)
    expect(word(second!, 6)).to.equal(8)
  })

  it('reads a body that the application holds, and lets go of it', () => {
    const { pool, pieces, context, sink } = setUp()
    const payload = counting(3000)
    const whole = datagram(payload)
    const packet = pool.from(whole.subarray(0, 28))!
    packet.body = whole.subarray(28)
    let done = 0
    packet.bodyDone = () => done++
    fragmentPacket(packet, 576, context, sink)
    expect(done).to.equal(1)
    const joined = pieces.flatMap((piece) => [...piece.toUint8Array().subarray(20)])
    expect(Uint8Array.from(joined)).to.deep.equal(payload)
  })

  it('counts FragFails and frees everything when the pool runs out half way', () => {
    const { pool, mib, drops, pieces, context, sink } = setUp(66560 * 8 + 2048 * 64)
    const packet = pool.from(datagram(counting(60000)))!
    const taken: Packet[] = []
    for (let i = 0; i < 61; i++) taken.push(pool.allocate(100)!)
    expect(fragmentPacket(packet, 1500, context, sink)).to.equal(Errno.ENOBUFS)
    expect(pieces.length).to.equal(10)
    expect(mib.ip[IpMib.FragFails]).to.equal(1)
    expect(mib.ip[IpMib.FragOKs]).to.equal(0)
    expect(mib.ip[IpMib.FragCreates]).to.equal(10)
    expect(drops).to.deep.equal([DropReason.NOMEM])
    for (const each of [...pieces, ...taken]) each.free()
    expect(pool.outstanding).to.equal(0)
  })

  it('refuses an MTU that holds no 8 bytes behind the header', () => {
    const { pool, mib, drops, context, sink } = setUp()
    expect(fragmentPacket(pool.from(datagram(counting(100)))!, 27, context, sink)).to.equal(Errno.EMSGSIZE)
    expect(mib.ip[IpMib.FragFails]).to.equal(1)
    expect(drops).to.deep.equal([DropReason.PKT_TOO_BIG])
    expect(pool.outstanding).to.equal(0)
  })

  it('gives pieces that make up the payload, for any size, MTU and offset (property)', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9000 }),
        fc.integer({ min: 68, max: 9100 }),
        fc.integer({ min: 0, max: 500 }),
        fc.boolean(),
        (size, mtu, unit, more) => {
          const { pool, pieces, context, sink } = setUp()
          const payload = counting(size)
          fragmentPacket(pool.from(datagram(payload, unit | (more ? MF : 0)))!, mtu, context, sink)
          let at = 0
          for (const [i, piece] of pieces.entries()) {
            const bytes = piece.toUint8Array()
            const last = i === pieces.length - 1
            expect(bytes.length).to.be.at.most(Math.max(mtu, 28))
            expect(word(bytes, 6)).to.equal((unit + at / 8) | (last && !more ? 0 : MF))
            expect(bytes.subarray(20)).to.deep.equal(payload.subarray(at, at + bytes.length - 20))
            at += bytes.length - 20
            piece.free()
          }
          expect(at).to.equal(size)
          expect(pool.outstanding).to.equal(0)
        },
      ),
      { numRuns: 100 },
    )
  })
})
