import { expect } from 'chai'
import fc from 'fast-check'
import { Loopback } from '../../lib/device/loopback.ts'
import { NetDevice } from '../../lib/device/net-device.ts'
import { createPipe } from '../../lib/device/pipe.ts'
import { Capture, type CaptureRecord, Captures } from '../../lib/observe/capture.ts'
import type { Packet } from '../../lib/packet/packet.ts'
import { PacketPool } from '../../lib/packet/packet-pool.ts'
import { VirtualClock } from '../../lib/time/virtual-clock.ts'
import { DropReason } from '../../lib/wire/drop-reason.ts'
import { ByteCollector, countOf, packetOf, readPcapng, textOf } from './pcapng-reader.ts'

const owner = { transmitPending: () => {}, drop: (packet: Packet) => packet.free() }

describe('Capture', () => {
  let clock: VirtualClock
  let pool: PacketPool
  let captures: Captures
  let lo: NetDevice
  let tun: NetDevice
  let records: CaptureRecord[]
  const listener = (record: CaptureRecord): void => void records.push(record)

  beforeEach(() => {
    clock = new VirtualClock(1_000n)
    pool = new PacketPool()
    captures = new Captures(clock)
    lo = new NetDevice(new Loopback(), 1, 'lo', owner)
    tun = new NetDevice(createPipe()[0], 2, 'tun0', owner)
    records = []
  })

  afterEach(() => {
    captures.close()
    expect(pool.outstanding).to.equal(0)
    clock.advance(1)
    expect([lo.taps.length, tun.taps.length]).to.deep.equal([0, 0])
  })

  /** The packet crosses the device. */
  function cross(device: NetDevice, outgoing: boolean, ...bytes: number[]): void {
    const packet = pool.from(Uint8Array.from(bytes))!
    for (const tap of device.taps) tap(packet, device, outgoing)
    packet.free()
  }

  function dropped(device: NetDevice | null, reason: number, iif: number, ...bytes: number[]): void {
    const packet = pool.from(Uint8Array.from(bytes))!
    packet.iif = iif
    if (captures.wantDrops) captures.dropped(packet, reason, device)
    packet.free()
  }

  it('hands every packet to a listener, with device, direction and time', () => {
    captures.start({ listener }, [lo, tun])
    cross(tun, false, 1, 2)
    clock.advance(5)
    cross(tun, true, 3)
    expect(records).to.deep.equal([
      {
        device: 'tun0',
        direction: 'in',
        bytes: Uint8Array.of(1, 2),
        length: 2,
        timestamp: 1_000n,
        dropReason: undefined,
      },
      {
        device: 'tun0',
        direction: 'out',
        bytes: Uint8Array.of(3),
        length: 1,
        timestamp: 1_005n,
        dropReason: undefined,
      },
    ])
  })

  it('shows a packet on loopback once, as incoming, as tcpdump does', () => {
    captures.start({ listener }, [lo, tun])
    cross(lo, true, 1)
    cross(lo, false, 1)
    expect(records.map(({ device, direction }) => [device, direction])).to.deep.equal([['lo', 'in']])
  })

  it('listens on the devices that it is asked for, also on those that come later, until they go', () => {
    captures.start({ listener, device: 'tun0' }, [lo])
    captures.start({ listener, device: ['lo', 'tun9'] }, [lo])
    cross(lo, false, 1)
    captures.deviceAdded(tun)
    cross(tun, false, 2)
    captures.deviceRemoved(tun)
    cross(tun, false, 3)
    expect(records.map(({ device, bytes }) => [device, bytes[0]])).to.deep.equal([
      ['lo', 1],
      ['tun0', 2],
    ])
    expect(tun.taps).to.have.length(0)
  })

  it('cuts at snaplen and keeps the length', () => {
    captures.start({ listener, snaplen: 2 }, [tun])
    cross(tun, false, 1, 2, 3)
    expect(records[0]).to.deep.include({ bytes: Uint8Array.of(1, 2), length: 3 })
  })

  it('filters, on whole packets', () => {
    const seen: unknown[] = []
    const capture = captures.start(
      {
        listener,
        snaplen: 1,
        filter: ({ device, direction, bytes, length, dropReason }) => {
          seen.push([device, direction, [...bytes], length, dropReason])
          return bytes[1] === 7
        },
      },
      [tun],
    )
    cross(tun, false, 1, 6)
    cross(tun, true, 1, 7)
    const packet = pool.from(Uint8Array.of(1))!
    packet.body = Uint8Array.of(7)
    for (const tap of tun.taps) tap(packet, tun, true)
    packet.free()
    expect(seen).to.deep.equal([
      ['tun0', 'in', [1, 6], 2, undefined],
      ['tun0', 'out', [1, 7], 2, undefined],
      ['tun0', 'out', [1, 7], 2, undefined],
    ])
    expect([capture.packets, capture.bytes]).to.deep.equal([2, 2])
  })

  it('records drops with their reason only if asked', () => {
    captures.start({ listener }, [tun])
    expect(captures.wantDrops).to.equal(false)
    const capture = captures.start({ listener, drops: true, device: 'tun0' }, [tun])
    expect(captures.wantDrops).to.equal(true)
    dropped(tun, DropReason.IP_CSUM, 2, 1)
    dropped(null, DropReason.IP_OUTNOROUTES, 0, 2)
    dropped(lo, DropReason.IP_CSUM, 1, 3)
    dropped(tun, DropReason.CONSUMED, 2, 4)
    dropped(tun, DropReason.NONE, 2, 5)
    expect(records.map(({ device, direction, dropReason }) => [device, direction, dropReason])).to.deep.equal(
      [
        ['tun0', 'in', 'IP_CSUM'],
        ['', 'out', 'IP_OUTNOROUTES'],
      ],
    )
    capture.close()
    expect(captures.wantDrops).to.equal(false)
  })

  it('ends after so many packets or bytes', () => {
    const ended: Capture[] = []
    const onEnd = (capture: Capture): void => void ended.push(capture)
    const byCount = captures.start({ listener, count: 2, onEnd }, [tun])
    const byBytes = captures.start({ listener, bytes: 5, onEnd }, [tun])
    for (let i = 0; i < 4; i++) cross(tun, false, i, i)
    expect([byCount.packets, byBytes.packets, byBytes.bytes]).to.deep.equal([2, 3, 6])
    expect(ended).to.deep.equal([byCount, byBytes])
    clock.advance(1)
    expect(tun.taps).to.have.length(0)
  })

  it('takes nothing from another capture by ending', () => {
    const others: number[] = []
    captures.start({ listener, count: 1 }, [tun])
    captures.start({ listener: ({ bytes }) => void others.push(bytes[0]!) }, [tun])
    for (let i = 0; i < 3; i++) cross(tun, false, i)
    expect(others).to.deep.equal([0, 1, 2])
  })

  it('can be closed by its listener, and twice', () => {
    const capture: Capture = captures.start(
      {
        listener: (record) => {
          records.push(record)
          capture.close()
        },
      },
      [tun],
    )
    cross(tun, false, 1)
    cross(tun, false, 2)
    capture.close()
    expect(records).to.have.length(1)
    expect(capture.ended).to.equal(true)
    expect(capture.error).to.equal(undefined)
  })

  for (const what of ['listener', 'filter', 'sink', 'onEnd'] as const) {
    it(`ends, and disturbs nobody, when its ${what} throws`, () => {
      const failure = new Error('disk full')
      const fail = (): never => {
        throw failure
      }
      const options = {
        listener: { listener: fail },
        filter: { listener, filter: fail },
        sink: { sink: fail },
        onEnd: { listener, onEnd: fail, count: 1 },
      }[what]
      const capture = captures.start(options, [tun])
      cross(tun, false, 1)
      expect(capture.ended).to.equal(true)
      expect(capture.error).to.equal(failure)
      cross(tun, false, 2)
    })
  }

  it('does not show a listener what it causes itself', () => {
    captures.start(
      {
        listener: (record) => {
          records.push(record)
          if (records.length < 10) cross(tun, true, 9)
        },
      },
      [tun],
    )
    cross(tun, false, 1)
    expect(records).to.have.length(1)
  })

  it('writes pcapng: interfaces, directions, reasons, and statistics at the end', () => {
    const file = new ByteCollector()
    const capture = captures.start({ sink: file.sink, drops: true, filter: ({ bytes }) => bytes[0] !== 9 }, [
      lo,
      tun,
    ])
    cross(lo, false, 1)
    clock.advance(7)
    cross(tun, true, 2)
    cross(tun, false, 9)
    dropped(tun, DropReason.IP_RPFILTER, 2, 3)
    dropped(null, DropReason.IP_OUTNOROUTES, 0, 4)
    capture.close()
    const blocks = readPcapng(file.bytes)
    const interfaces = blocks.filter(({ type }) => type === 1)
    expect(interfaces.map((block) => textOf(block, 2))).to.deep.equal(['lo', 'tun0', 'none'])
    const packets = blocks.filter(({ type }) => type === 6).map(packetOf)
    expect(
      packets.map(({ interfaceId, time, bytes, flags, comment }) => [
        interfaceId,
        time,
        bytes[0],
        flags,
        comment,
      ]),
    ).to.deep.equal([
      [0, 1_000n, 1, 1, undefined],
      [1, 1_007n, 2, 2, undefined],
      [1, 1_007n, 3, 1, 'dropped: IP_RPFILTER'],
      [2, 1_007n, 4, 2, 'dropped: IP_OUTNOROUTES'],
    ])
    const statistics = blocks.filter(({ type }) => type === 5)
    const counts = statistics.map((block) => [4, 6, 8].map((code) => Number(countOf(block, code))))
    expect(counts).to.deep.equal([
      [1, 1, 1],
      [3, 2, 2],
      [1, 1, 1],
    ])
  })

  it('describes its devices in the file before anything crosses them, and flushes what was gathered', () => {
    const file = new ByteCollector()
    const capture = captures.start({ sink: file.sink, buffer: 100_000 }, [lo, tun])
    expect(file.chunks).to.have.length(0)
    capture.flush()
    expect(readPcapng(file.bytes).map(({ type }) => type)).to.deep.equal([0x0a0d0d0a, 1, 1])
  })

  it('wants one of a sink and a listener, and limits that are some', () => {
    const wrong = [{}, { listener, sink: () => {} }, { listener, count: 0 }, { listener, bytes: Number.NaN }]
    for (const options of wrong) {
      expect(() => new Capture(clock, options))
        .to.throw()
        .with.property('code', 'ERR_INVALID_ARG_VALUE')
    }
  })

  it('property: whatever crosses, and however captures come and go, each sees its share once', () => {
    const step = fc.record({
      do: fc.constantFrom('lo in', 'lo out', 'tun in', 'tun out', 'tun out', 'start', 'stop'),
      which: fc.nat(10),
      count: fc.integer({ min: 1, max: 5 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        interface Model {
          capture: Capture
          seen: string[]
          expected: string[]
          count: number
        }
        const models: Model[] = []
        for (const { do: action, which, count } of steps) {
          if (action === 'start') {
            const seen: string[] = []
            const capture = captures.start(
              { listener: ({ device, direction }) => void seen.push(`${device} ${direction}`), count },
              [lo, tun],
            )
            models.push({ capture, seen, expected: [], count })
          } else if (action === 'stop') models[which % Math.max(models.length, 1)]?.capture.close()
          else {
            const [name, direction] = action.split(' ') as [string, string]
            for (const { capture, expected } of models) {
              if (capture.ended || action === 'lo out') continue
              expected.push(name === 'lo' ? 'lo in' : `tun0 ${direction}`)
            }
            cross(name === 'lo' ? lo : tun, direction === 'out', 1)
          }
        }
        captures.close()
        clock.advance(1)
        for (const { seen, expected, count } of models) {
          expect(seen).to.deep.equal(expected)
          expect(seen.length).to.be.at.most(count)
        }
        expect([lo.taps.length, tun.taps.length]).to.deep.equal([0, 0])
      }),
    )
  })
})
