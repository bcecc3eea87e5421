import { expect } from 'chai'
import fc from 'fast-check'
import { completeChecksum, copyCompleted } from '../../lib/packet/complete-checksum.ts'
import { Checksum } from '../../lib/packet/packet.ts'
import { PacketPool } from '../../lib/packet/packet-pool.ts'

/** RFC 1071, as plainly as it can be said. */
function referenceSum(bytes: Uint8Array): number {
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return sum
}

describe('completeChecksum', () => {
  it('is the plain sum of RFC 1071, wherever the head ends and the body begins, and never 0', () => {
    const pool = new PacketPool()
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 8, maxLength: 700 }),
        fc.option(fc.uint8Array({ minLength: 1, maxLength: 700 })),
        fc.nat(20),
        (head, body, before) => {
          const packet = pool.from(Uint8Array.from([...new Uint8Array(before), ...head]))!
          packet.body = body
          packet.checksum = Checksum.PARTIAL
          packet.checksumStart = packet.start + before
          packet.checksumOffset = 6
          // The pseudo-header sum stands in the field, and takes part.
          const open = packet.toUint8Array()
          const whole = referenceSum(open.subarray(before))
          const copied = new Uint8Array(packet.length + 3)
          copyCompleted(packet, copied, 3)
          expect(packet.toUint8Array()).to.deep.equal(open)
          expect(packet.checksum).to.equal(Checksum.PARTIAL)
          completeChecksum(packet)
          expect(copied.subarray(3)).to.deep.equal(packet.toUint8Array())
          const field = packet.checksumStart + 6
          const check = (packet.bytes[field]! << 8) | packet.bytes[field + 1]!
          expect(check).to.equal(~whole & 0xffff || 0xffff)
          expect(packet.checksum).to.equal(Checksum.NONE)
          copyCompleted(packet, copied, 3)
          expect(copied.subarray(3), 'nothing is left to complete').to.deep.equal(packet.toUint8Array())
          packet.free()
        },
      ),
    )
  })

  it('copies a packet whose checksum would lie behind its end as it is', () => {
    const packet = new PacketPool().from(Uint8Array.of(1, 2, 3))!
    packet.checksum = Checksum.PARTIAL
    packet.checksumStart = packet.start
    packet.checksumOffset = 2
    const copied = new Uint8Array(4)
    copyCompleted(packet, copied, 0)
    expect(copied).to.deep.equal(Uint8Array.of(1, 2, 3, 0))
    packet.free()
  })
})
