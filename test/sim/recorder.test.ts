import { expect } from 'chai'
import fc from 'fast-check'
import { Checksum } from '../../lib/packet/packet.ts'
import { PacketPool } from '../../lib/packet/packet-pool.ts'
import { Recorder } from '../../lib/sim/recorder.ts'
import { checksum } from '../../lib/wire/checksum.ts'
import { DropReason } from '../../lib/wire/drop-reason.ts'

describe('Recorder', () => {
  it('property: holds the latest records, whole and in order, within its bytes', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 400 })
    fc.assert(
      fc.property(fc.integer({ min: 400, max: 5000 }), sizes, (limit, list) => {
        const recorder = new Recorder(limit, 250)
        const pool = new PacketPool()
        list.forEach((size, i) => {
          const packet = pool.from(new Uint8Array(size).fill(i))!
          recorder.add(packet, i % 7, i, i + 0.5, i % 3 === 0 ? DropReason.IMPAIRED : DropReason.NONE)
          packet.free()
        })
        const records = [...recorder]
        expect(records).to.have.length(recorder.length)
        expect(recorder.length + recorder.lost).to.equal(list.length)
        expect(recorder.length).to.be.greaterThan(list.length === 0 ? -1 : 0)
        const first = list.length - records.length
        records.forEach((record, j) => {
          const i = first + j
          expect(record).to.include({ sentAt: i, time: i + 0.5, direction: i % 7, length: list[i]! })
          expect(record.reason).to.equal(i % 3 === 0 ? DropReason.IMPAIRED : DropReason.NONE)
          expect([...record.bytes]).to.deep.equal([...new Uint8Array(Math.min(250, list[i]!)).fill(i)])
        })
        const bytes = records.reduce((sum, { bytes }) => sum + bytes.length, 0)
        expect(bytes).to.be.lessThan(limit)
      }),
    )
  })

  it('forgets nothing while there is room, and everything when told to', () => {
    const recorder = new Recorder(1 << 20, 65535)
    const pool = new PacketPool()
    for (let i = 0; i < 1000; i++) {
      const packet = pool.from(new Uint8Array(500))!
      recorder.add(packet, 0, 0, 0, DropReason.NONE)
      packet.free()
    }
    expect([recorder.length, recorder.lost]).to.deep.equal([1000, 0])
    recorder.clear()
    expect([...recorder]).to.deep.equal([])
  })

  it('records nothing with a limit of 0', () => {
    const recorder = new Recorder(0, 65535)
    recorder.add(new PacketPool().from(new Uint8Array(20))!, 0, 0, 0, DropReason.NONE)
    expect([...recorder]).to.deep.equal([])
  })

  it('shows a checksum that was left open as it would have been completed', () => {
    const recorder = new Recorder(1 << 16, 65535)
    const packet = new PacketPool().from(new Uint8Array(40).map((_, i) => i))!
    packet.checksum = Checksum.PARTIAL
    packet.checksumStart = packet.start + 20
    packet.checksumOffset = 6
    packet.body = Uint8Array.of(1, 2, 3, 4)
    recorder.add(packet, 0, 0, 0, DropReason.NONE)
    const [record] = [...recorder]
    expect(record!.bytes).to.have.length(44)
    const check = (record!.bytes[26]! << 8) | record!.bytes[27]!
    const before = Uint8Array.of(...packet.bytes.subarray(packet.start, packet.end), 1, 2, 3, 4)
    expect(check).to.equal(checksum(before, 20, 44))
  })
})
