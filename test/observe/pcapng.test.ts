import { expect } from 'chai'
import fc from 'fast-check'
import { Direction, PcapngWriter } from '../../lib/observe/pcapng.ts'
import { Checksum } from '../../lib/packet/packet.ts'
import { PacketPool } from '../../lib/packet/packet-pool.ts'
import { ByteCollector, countOf, packetOf, readPcapng, textOf } from './pcapng-reader.ts'

const EPOCH = 1_700_000_000_123_456_789n
const pool = new PacketPool()

afterEach(() => expect(pool.outstanding).to.equal(0))

describe('PcapngWriter', () => {
  it('writes a section header with its name, and nothing else, when nothing was captured', () => {
    const file = new ByteCollector()
    const writer = new PcapngWriter(file.sink, { epoch: EPOCH, application: 'tunstack 1.0' })
    expect(file.chunks).to.have.length(0)
    writer.close()
    writer.close()
    const [header, ...rest] = readPcapng(file.bytes)
    expect(rest).to.have.length(0)
    expect(header!.type).to.equal(0x0a0d0d0a)
    expect(header!.body.getUint32(0, true)).to.equal(0x1a2b3c4d)
    expect([header!.body.getUint16(4, true), header!.body.getUint16(6, true)]).to.deep.equal([1, 0])
    expect(header!.body.getBigInt64(8, true)).to.equal(-1n)
    expect(textOf(header!, 4)).to.equal('tunstack 1.0')
  })

  it('describes interfaces: raw IP, nanoseconds, name, snaplen', () => {
    const file = new ByteCollector()
    const writer = new PcapngWriter(file.sink, { epoch: EPOCH, snaplen: 96 })
    expect(writer.addInterface('tun0', 'to the kernel')).to.equal(0)
    expect(writer.addInterface('lo')).to.equal(1)
    const [, tun0, lo] = readPcapng(file.bytes)
    expect([tun0!.type, tun0!.body.getUint16(0, true), tun0!.body.getUint32(4, true)]).to.deep.equal([
      1, 101, 96,
    ])
    expect([textOf(tun0!, 2), textOf(tun0!, 3), textOf(lo!, 2), textOf(lo!, 3)]).to.deep.equal([
      'tun0',
      'to the kernel',
      'lo',
      undefined,
    ])
    expect([...tun0!.options.find(({ code }) => code === 9)!.value]).to.deep.equal([9])
  })

  it('property: every packet is read back as it was, with its time, direction and comment', () => {
    const packets = fc.array(
      fc.record({
        bytes: fc.uint8Array({ maxLength: 200 }),
        body: fc.option(fc.uint8Array({ maxLength: 200 }), { nil: null }),
        time: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
        direction: fc.constantFrom(...Object.values(Direction)),
        comment: fc.oneof(fc.constant(''), fc.string({ unit: 'grapheme', maxLength: 30 })),
      }),
      { maxLength: 20 },
    )
    const epoch = fc.bigInt({ min: 0n, max: 2n ** 62n })
    const buffer = fc.constantFrom(0, 100, 100_000)
    fc.assert(
      fc.property(
        packets,
        epoch,
        fc.integer({ min: 1, max: 300 }),
        buffer,
        (list, start, snaplen, gather) => {
          const file = new ByteCollector()
          const writer = new PcapngWriter(file.sink, { epoch: start, snaplen, buffer: gather })
          const id = writer.addInterface('tun0')
          for (const { bytes, body, time, direction, comment } of list) {
            const packet = pool.from(Uint8Array.from(bytes))!
            packet.body = body
            writer.packet(id, packet, time, direction, comment)
            packet.free()
          }
          writer.close()
          const read = readPcapng(file.bytes)
            .filter(({ type }) => type === 6)
            .map(packetOf)
          expect(read).to.deep.equal(
            list.map(({ bytes, body, time, direction, comment }) => {
              const all = Uint8Array.of(...bytes, ...(body ?? []))
              return {
                interfaceId: 0,
                time: start + BigInt(time),
                bytes: all.subarray(0, snaplen).slice(),
                length: all.length,
                flags: direction === Direction.UNKNOWN ? undefined : direction,
                comment: comment === '' ? undefined : comment,
              }
            }),
          )
        },
      ),
    )
  })

  it('takes the largest packet, and a comment longer than an option can be', () => {
    const file = new ByteCollector()
    const writer = new PcapngWriter(file.sink, { epoch: EPOCH })
    const packet = pool.from(new Uint8Array(65535).fill(7))!
    writer.packet(writer.addInterface('tun0'), packet, 0, Direction.INBOUND, '€'.repeat(30_000))
    packet.free()
    const read = packetOf(readPcapng(file.bytes)[2]!)
    expect(read.bytes.every((byte) => byte === 7)).to.equal(true)
    expect([read.bytes.length, read.length]).to.deep.equal([65535, 65535])
    expect(read.comment).to.equal('€'.repeat(65532 / 3))
  })

  it('writes what has no UTF-8 as U+FFFD', () => {
    const file = new ByteCollector()
    new PcapngWriter(file.sink, { epoch: EPOCH }).addInterface('a\ud800b')
    expect(textOf(readPcapng(file.bytes)[1]!, 2)).to.equal('a\ufffdb')
  })

  it('leaves a partial checksum as it is, unless it is to complete it, and never touches the packet', () => {
    for (const [completeChecksums, snaplen] of [
      [false, 1000],
      [true, 1000],
      [true, 28],
    ] as const) {
      const file = new ByteCollector()
      const writer = new PcapngWriter(file.sink, { epoch: EPOCH, completeChecksums, snaplen })
      const id = writer.addInterface('tun0')
      // UDP 10.0.0.1:1 > 10.0.0.2:2, five bytes; the field holds the pseudo-header's sum 0x1410 + 17 + 13 = 0x1421 …
      const udp = [0, 1, 0, 2, 0, 13, 0x14, 0x21]
      const ip = [0x45, 0, 0, 33, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
      const packet = pool.from(Uint8Array.of(...ip, ...udp, 1, 2, 3))!
      packet.body = Uint8Array.of(4, 5)
      packet.checksum = Checksum.PARTIAL
      packet.checksumStart = packet.start + 20
      packet.checksumOffset = 6
      const before = packet.toUint8Array()
      writer.packet(id, packet, 0, Direction.OUTBOUND)
      writer.packet(id, packet, 0, Direction.OUTBOUND)
      expect(packet.toUint8Array()).to.deep.equal(before)
      packet.body = null
      packet.free()
      const [first, second] = readPcapng(file.bytes).slice(2).map(packetOf)
      expect(second).to.deep.equal(first)
      // 0001+0002+000d+1421+0102+0304+0500 = 1d37, complemented e2c8
      const sum = completeChecksums ? [0xe2, 0xc8] : [0x14, 0x21]
      expect([...first!.bytes.subarray(26, 28)]).to.deep.equal(sum)
      expect(first!.bytes.length).to.equal(Math.min(33, snaplen))
      expect(first!.length).to.equal(33)
    }
  })

  it('stores ffff for a checksum that comes out as 0 (RFC 768)', () => {
    const file = new ByteCollector()
    const writer = new PcapngWriter(file.sink, { epoch: EPOCH }) // which is the default
    const packet = pool.from(Uint8Array.of(0xff, 0xff, 0, 0))!
    packet.checksum = Checksum.PARTIAL
    packet.checksumStart = packet.start
    packet.checksumOffset = 2
    writer.packet(writer.addInterface('tun0'), packet, 0, Direction.OUTBOUND)
    packet.free()
    expect([...packetOf(readPcapng(file.bytes)[2]!).bytes]).to.deep.equal([0xff, 0xff, 0xff, 0xff])
  })

  it('gathers blocks up to its buffer, and hands on the rest when told', () => {
    const file = new ByteCollector()
    const writer = new PcapngWriter(file.sink, { epoch: EPOCH, buffer: 1000 })
    const id = writer.addInterface('tun0')
    const packet = pool.from(new Uint8Array(100))!
    for (let i = 0; i < 20; i++) writer.packet(id, packet, i, Direction.INBOUND)
    expect(file.chunks.length).to.be.within(2, 4)
    expect(file.chunks.every(({ length }) => length > 1000 && length < 1200)).to.equal(true)
    const handed = file.chunks.length
    writer.flush()
    writer.flush()
    expect(file.chunks.length).to.equal(handed + 1)
    expect(readPcapng(file.bytes)).to.have.length(22)
    packet.free()
  })

  it('ends with statistics of an interface', () => {
    const file = new ByteCollector()
    const writer = new PcapngWriter(file.sink, { epoch: EPOCH })
    const id = writer.addInterface('tun0')
    const packet = pool.from(new Uint8Array(20))!
    writer.packet(id, packet, 0, Direction.INBOUND)
    packet.free()
    writer.statistics(id, 50, { started: 10, ended: 50, received: 2 ** 40 + 3, dropped: 0, accepted: 1 })
    writer.statistics(id, 60)
    const [full, bare] = readPcapng(file.bytes).slice(3)
    expect(full!.type).to.equal(5)
    expect([4, 5, 6, 8].map((code) => countOf(full!, code))).to.deep.equal([2n ** 40n + 3n, 0n, 1n, 1n])
    const time = (code: number): bigint => {
      const swapped = countOf(full!, code)! // the high word comes first in a time
      return ((swapped & 0xffffffffn) << 32n) | (swapped >> 32n)
    }
    expect([time(2), time(3)]).to.deep.equal([EPOCH + 10n, EPOCH + 50n])
    expect(bare!.options.map(({ code }) => code)).to.deep.equal([8])
  })

  it('takes nothing after close(), and no snaplen that is none', () => {
    const writer = new PcapngWriter(() => {}, { epoch: EPOCH })
    writer.close()
    expect(writer.closed).to.equal(true)
    expect(() => writer.addInterface('x'))
      .to.throw()
      .with.property('code', 'ERR_INVALID_ARG_VALUE')
    for (const snaplen of [0, -1, 1.5, Number.NaN, 2 ** 31]) {
      expect(() => new PcapngWriter(() => {}, { epoch: EPOCH, snaplen }))
        .to.throw()
        .with.property('code', 'ERR_INVALID_ARG_VALUE')
    }
  })
})
