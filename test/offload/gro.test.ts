import { expect } from 'chai'
import fc from 'fast-check'
import { Gro } from '../../lib/offload/gro.ts'
import { Segmenter } from '../../lib/offload/segmenter.ts'
import { BURST_SIZE, Burst } from '../../lib/packet/burst.ts'
import { Checksum, Gso, type Packet } from '../../lib/packet/packet.ts'
import { PacketPool } from '../../lib/packet/packet-pool.ts'
import { TcpFlag } from '../../lib/wire/tcp.ts'
import { complete, plainSegments, type TcpFields, tcpPacket, udpPacket } from './segments.ts'

const pool = new PacketPool()
const TIMESTAMPS = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]

function merge(contents: Uint8Array[], { gro = tcpGro(), trusted = false } = {}): Packet[] {
  const burst = new Burst()
  for (const bytes of contents) burst.push(pool.from(bytes)!)
  gro.merge(burst, trusted)
  const packets = burst.packets.slice(0, burst.length) as Packet[]
  expect(burst.packets.slice(burst.length).every((packet) => packet === null)).to.equal(true)
  return packets
}

function tcpGro(): Gro {
  const gro = new Gro()
  gro.tcp = true
  return gro
}

/** The packets again as they are on the wire: merged ones cut. */
function wire(packets: Packet[]): Uint8Array[] {
  const segmenter = new Segmenter()
  return packets.flatMap((packet) => {
    if (packet.gsoSize === 0) {
      const bytes = packet.toUint8Array()
      packet.free()
      return [bytes]
    }
    expect(packet.checksum).to.equal(Checksum.PARTIAL)
    expect(segmenter.begin(packet, true)).to.equal(true)
    const segments: Uint8Array[] = []
    while (segmenter.packet !== null) {
      const segment = segmenter.next()!
      segments.push(segment.toUint8Array())
      segment.free()
    }
    expect(packet.gsoSegments).to.equal(segments.length)
    packet.free()
    return segments
  })
}

/** How many packets each of the merged ones stands for. */
function counts(packets: Packet[]): number[] {
  return packets.map((packet) => {
    const { gsoSegments } = packet
    packet.free()
    return gsoSegments
  })
}

const payload = (length: number, seed = 0): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff)

/** Segments of one flow, in order. */
function flow(lengths: number[], fields: Partial<TcpFields> = {}): Uint8Array[] {
  let sequence = fields.sequence ?? 0xffff_fff0
  let id = fields.id ?? 0xfffe
  return lengths.map((length, i) => {
    const bytes = tcpPacket({ ...fields, payload: payload(length, i), sequence, id: id & 0xffff })
    sequence = (sequence + length) >>> 0
    id++
    return bytes
  })
}

describe('Gro', () => {
  afterEach(() => expect(pool.outstanding).to.equal(0))

  it('makes one packet of segments in order, and cutting it gives them back', () => {
    const segments = flow([1448, 1448, 1448, 1448, 700], { options: TIMESTAMPS })
    const [packet, ...others] = merge(segments)
    expect(others).to.have.length(0)
    expect([packet!.gsoType, packet!.gsoSize, packet!.gsoSegments]).to.deep.equal([Gso.TCPV4, 1448, 5])
    expect(packet!.length).to.equal(52 + 4 * 1448 + 700)
    expect(wire([packet!])).to.deep.equal(segments)
  })

  it('is a whole TCP segment by itself: lengths and checksums of the header, flags of the last', () => {
    const segments = flow([100, 100, 60], { id: 1 })
    segments[2]![33]! |= TcpFlag.PSH | TcpFlag.FIN
    complete(segments[2]!)
    const [packet] = merge(segments)
    const bytes = packet!.toUint8Array()
    const expected = tcpPacket({
      payload: Uint8Array.from([...payload(100), ...payload(100, 1), ...payload(60, 2)]),
      sequence: 0xffff_fff0,
      id: 1,
      flags: TcpFlag.ACK | TcpFlag.PSH | TcpFlag.FIN,
    })
    expect(complete(bytes.slice())).to.deep.equal(expected)
    expect(bytes.subarray(0, 20)).to.deep.equal(expected.subarray(0, 20))
    expect(wire([packet!])).to.deep.equal(segments)
  })

  describe('ends a run', () => {
    const two = (change: Partial<TcpFields>, base: Partial<TcpFields> = {}): number[] => {
      const [first] = flow([100], { sequence: 1000, id: 10, ...base })
      const second = tcpPacket({ payload: payload(100), sequence: 1100, id: 11, ...base, ...change })
      return counts(merge([first!, second]))
    }

    it('at what differs in the header', () => {
      expect(two({})).to.deep.equal([2])
      for (const change of [
        { sequence: 1101 },
        { sequence: 1099 },
        { acknowledgment: 78 },
        { window: 1001 },
        { tos: 4 },
        { ttl: 63 },
        { df: false },
        { id: 12 },
        { id: 9 },
        { sport: 5001 },
        { options: TIMESTAMPS },
        { flags: TcpFlag.ACK | TcpFlag.ECE },
        { flags: TcpFlag.ACK | TcpFlag.CWR },
        { flags: TcpFlag.ACK | TcpFlag.URG },
        { flags: TcpFlag.ACK | TcpFlag.SYN },
        { flags: TcpFlag.ACK | TcpFlag.RST },
        { flags: 0 },
        { payload: payload(101) },
        { payload: payload(0) },
      ]) {
        expect(two(change), JSON.stringify(change)).to.deep.equal([1, 1])
      }
    })

    it('at other timestamps', () => {
      const later = TIMESTAMPS.with(7, 9)
      expect(two({ options: TIMESTAMPS }, { options: TIMESTAMPS })).to.deep.equal([2])
      expect(two({ options: later }, { options: TIMESTAMPS })).to.deep.equal([1, 1])
    })

    it('never with a flag that is for one segment only, nor beginning with one that ends', () => {
      const { ACK, SYN, RST, URG, CWR, FIN, PSH } = TcpFlag
      for (const flag of [SYN, RST, URG, CWR, FIN, PSH]) {
        expect(two({}, { flags: ACK | flag }), `${flag}`).to.deep.equal([1, 1])
      }
    })

    it('behind FIN, PSH and a shorter segment', () => {
      for (const flag of [TcpFlag.FIN, TcpFlag.PSH]) {
        const segments = flow([100, 100, 100, 100])
        segments[1]![33]! |= flag
        complete(segments[1]!)
        expect(counts(merge(segments))).to.deep.equal([2, 2])
      }
      expect(counts(merge(flow([100, 99, 99, 99])))).to.deep.equal([2, 2])
    })

    it('at 64 KiB', () => {
      expect(counts(merge(flow(new Array<number>(50).fill(1460))))).to.deep.equal([44, 6])
      expect(counts(merge(flow([32_767, 32_728])))).to.deep.equal([2])
      expect(counts(merge(flow([32_768, 32_728])))).to.deep.equal([1, 1])
    })

    it('at a segment that is out of order, which begins another', () => {
      const [a, b, c, d] = flow([100, 100, 100, 100], { id: 1 })
      expect(counts(merge([a!, c!, d!, b!]))).to.deep.equal([1, 2, 1])
    })
  })

  it('takes identifications that count up or are all the same, and nothing between', () => {
    const ids = (list: number[], df: boolean): number[] =>
      counts(
        merge(list.map((id, i) => tcpPacket({ payload: payload(100), sequence: 1000 + 100 * i, id, df }))),
      )
    expect(ids([5, 5, 5], true)).to.deep.equal([3])
    expect(ids([5, 5, 5], false)).to.deep.equal([3])
    expect(ids([5, 6, 7], false)).to.deep.equal([3])
    expect(ids([5, 5, 6], true)).to.deep.equal([2, 1])
    expect(ids([5, 6, 6], true)).to.deep.equal([2, 1])
  })

  it('leaves alone what is damaged, fragmented, padded, or has options of IP', () => {
    const damage = (change: (bytes: Uint8Array) => void): number[] => {
      const segments = flow([100, 100, 100])
      change(segments[1]!)
      return counts(merge(segments))
    }
    expect(damage((bytes) => (bytes[60]! ^= 1))).to.deep.equal([1, 1, 1])
    expect(damage((bytes) => (bytes[11]! ^= 1))).to.deep.equal([1, 1, 1])
    // What is passed over was never of this flow for who reads ports.
    expect(damage((bytes) => (bytes[6]! |= 0x20))).to.deep.equal([1, 1, 1])
    expect(damage((bytes) => (bytes[6]! |= 0x80))).to.deep.equal([1, 1, 1])
    const [first, second] = flow([100, 100])
    first![60]! ^= 1
    expect(counts(merge([first!, second!]))).to.deep.equal([1, 1])
    expect(counts(merge([first!, second!], { trusted: true }))).to.deep.equal([2])
    const padded = flow([100, 100]).map((bytes) => Uint8Array.from([...bytes, 0]))
    expect(counts(merge(padded))).to.deep.equal([1, 1])
  })

  it('goes on behind what is damaged, which is of no flow', () => {
    for (const [at, trusted, expected] of [
      [60, false, [3, 1]],
      [11, false, [3, 1]],
      // Nobody looks at what is behind the IP header: it is the third segment, and the one after is not the fourth.
      [60, true, [3, 1]],
      [11, true, [3, 1]],
    ] as const) {
      const segments = flow([100, 100, 100])
      const copy = segments[2]!.slice()
      copy[at]! ^= 1
      expect(counts(merge([...segments.slice(0, 2), copy, segments[2]!], { trusted }))).to.deep.equal(
        expected,
      )
    }
    const empty = flow([100, 100, 0, 100])
    empty[2]![36]! ^= 1
    const ids = [...empty.slice(0, 2), empty[2]!, flow([100, 100, 100])[2]!]
    expect(counts(merge(ids))).to.deep.equal([3, 1])
  })

  it('does nothing where nobody wants it', () => {
    expect(counts(merge(flow([100, 100]), { gro: new Gro() }))).to.deep.equal([1, 1])
  })

  it('lets packets go one by one when there is no memory for the whole', () => {
    const small = new PacketPool({ limit: 2048 * 64 })
    const burst = new Burst()
    const segments = [...flow([1448, 1448, 1448]), tcpPacket({ payload: payload(9), sport: 1 })]
    for (const i of [0, 3, 1, 2]) burst.push(small.from(segments[i]!)!)
    tcpGro().merge(burst, false)
    const packets = burst.packets.slice(0, burst.length) as Packet[]
    // The run stays together, in the place of its first.
    expect(packets.map((packet) => packet.toUint8Array())).to.deep.equal(segments)
    for (const packet of packets) packet.free()
    expect(small.outstanding).to.equal(0)
  })

  describe('UDP', () => {
    const datagrams = (...lengths: number[]): Uint8Array[] =>
      lengths.map((length, i) => udpPacket({ payload: payload(length, i), id: i }))

    function udpGro(port: number): Gro {
      const gro = new Gro()
      gro.wantsUdp = ({ bytes, start }) => bytes[start + 23] === port
      return gro
    }

    it('is merged for who wants it: equal sizes, a shorter last one, and cutting gives them back', () => {
      const list = datagrams(500, 500, 500, 20)
      const packets = merge(list, { gro: udpGro(53) })
      expect(
        packets.map(({ gsoType, gsoSize, gsoSegments }) => [gsoType, gsoSize, gsoSegments]),
      ).to.deep.equal([[Gso.UDP_L4, 500, 4]])
      expect(wire(packets)).to.deep.equal(list)
      expect(counts(merge(list, { gro: udpGro(54) }))).to.deep.equal([1, 1, 1, 1])
    })

    it('ends at a longer one, behind a shorter one, and at one without checksum or with another length', () => {
      const gro = udpGro(53)
      expect(counts(merge(datagrams(500, 501, 501), { gro }))).to.deep.equal([1, 2])
      expect(counts(merge(datagrams(500, 20, 20), { gro }))).to.deep.equal([2, 1])
      const list = datagrams(500, 500, 500)
      list[1]!.fill(0, 26, 28)
      expect(counts(merge(list, { gro }))).to.deep.equal([1, 1, 1])
      const short = datagrams(500, 500)
      short[1]![25]! -= 1
      expect(counts(merge(short, { gro }))).to.deep.equal([1, 1])
    })
  })

  it('property: the packets of each flow come out as they came in, in order, and no packet is lost', () => {
    const { ACK, PSH, FIN, CWR } = TcpFlag
    const segment = fc.record({
      flow: fc.constantFrom(0, 0, 0, 1, 2, 3),
      length: fc.constantFrom(200, 200, 200, 200, 200, 150, 0, 201),
      flags: fc.constantFrom(ACK, ACK, ACK, ACK, ACK, ACK | PSH, ACK | FIN, ACK | CWR),
      gap: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 1),
      idStep: fc.constantFrom(1, 1, 1, 1, 0, 2),
      udp: fc.constantFrom(false, false, false, true),
      damage: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 0, 1),
      window: fc.constantFrom(1000, 1000, 1000, 1000, 1001),
    })
    const gro = tcpGro()
    gro.wantsUdp = () => true
    let mergedAny = 0
    fc.assert(
      fc.property(fc.array(segment, { minLength: 20, maxLength: BURST_SIZE }), (segments) => {
        const state = [0, 1, 2, 3].map((i) => ({ sequence: 1000 * i, id: i, udpId: 7 }))
        const damaged = new Set<string>()
        const sent = segments.map(({ flow: of, length, flags, gap, idStep, udp, damage, window }, i) => {
          const at = state[of]!
          if (udp) return udpPacket({ payload: payload(length, i), id: at.udpId++, sport: of + 1 })
          const { sequence, id } = at
          const bytes = tcpPacket({ payload: payload(length, i), sequence, id, flags, window, sport: of + 1 })
          at.sequence += length + gap
          at.id += idStep
          bytes[bytes.length - 1]! ^= damage
          if (damage !== 0) damaged.add(bytes.join())
          return bytes
        })
        const packets = merge(sent, { gro })
        mergedAny += sent.length - packets.length
        // What is damaged is of no flow.
        const flowOf = (bytes: Uint8Array): string =>
          damaged.has(bytes.join()) ? 'damaged' : `${bytes[9]} ${bytes[21]}`
        const byFlow = (list: Uint8Array[]): Record<string, Uint8Array[]> => {
          const flows: Record<string, Uint8Array[]> = {}
          for (const bytes of list) (flows[flowOf(bytes)] ??= []).push(bytes)
          return flows
        }
        expect(byFlow(wire(packets))).to.deep.equal(byFlow(sent))
      }),
      { numRuns: 300 },
    )
    expect(mergedAny, 'it is about merged packets').to.be.greaterThan(300)
  })

  it('property: what is cut into segments is merged into what it was', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 60, max: 20_000 }),
        fc.integer({ min: 400, max: 2000 }),
        fc.constantFrom([], TIMESTAMPS),
        fc.boolean(),
        fc.nat(0xffff),
        (length, size, options, push, id) => {
          const whole = tcpPacket({
            payload: payload(length),
            options,
            id,
            flags: TcpFlag.ACK | (push ? TcpFlag.PSH : 0),
          })
          const packets = merge(plainSegments(whole, size))
          expect(packets).to.have.length(1)
          const bytes = packets[0]!.toUint8Array()
          expect(complete(bytes)).to.deep.equal(whole)
          packets[0]!.free()
        },
      ),
    )
  })

  it('property: any bytes pass', () => {
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc
        .uint8Array({ maxLength: 80 })
        .map((rest) => Uint8Array.from([0x45, 0, 0, rest.length + 10, 0, 0, 0, 0, 64, 6, ...rest])),
    )
    fc.assert(
      fc.property(fc.array(noise, { maxLength: BURST_SIZE }), (contents) => {
        const packets = merge(contents)
        expect(packets.length).to.be.at.most(contents.length)
        for (const packet of packets) packet.free()
      }),
    )
  })
})
