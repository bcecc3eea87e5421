import { expect } from 'chai'
import fc from 'fast-check'
import { IgmpQuery, parseIgmpQuery, sumIgmp } from '../../lib/wire/igmp.ts'
import { HostBench, useBench } from '../conformance/harness.ts'
import { type Bytes, hex } from '../conformance/packets.ts'

const bench = useBench(() => new HostBench())

/** An IPv4 packet with an IGMP message, its checksum right. */
function igmp(message: readonly number[], dst = '224.0.0.1', checksum = true): Bytes {
  const bytes = Uint8Array.from([
    ...[0x45, 0xc0, 0, 20 + message.length, 0, 0, 0, 0, 1, 2, 0, 0],
    ...dotted('10.9.0.254'),
    ...dotted(dst),
    ...message,
  ])
  if (checksum && message.length >= 8) sumIgmp(bytes, 20, bytes.length)
  let sum = 0
  for (let i = 0; i < 20; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!
  sum = (sum & 0xffff) + (sum >>> 16)
  bytes[10] = (~sum >>> 8) & 0xff
  bytes[11] = ~sum & 0xff
  return bytes
}

function dotted(address: string): number[] {
  return address.split('.').map(Number)
}

const v1Query = [0x11, 0, 0, 0, 0, 0, 0, 0]
const v2Query = (group = '0.0.0.0', code = 10): number[] => [0x11, code, 0, 0, ...dotted(group)]
const v3Query = (group = '0.0.0.0', code = 10, sources: string[] = []): number[] => [
  ...[0x11, code, 0, 0, ...dotted(group), 2, 125, 0, sources.length],
  ...sources.flatMap(dotted),
]

/** What is reported within so many milliseconds: `224.0.0.22 v3 +224.5.5.5`, and when. */
function reports(milliseconds: number): string[] {
  const found: string[] = []
  const { clock } = bench()
  const start = clock.now()
  bench().tun.onSend = (bytes) => {
    const packet = Buffer.from(bytes)
    expect(bytes[9]).to.equal(2)
    const body = bytes.subarray(24)
    const group = (at: number): string => body.subarray(at, at + 4).join('.')
    const dst = bytes.subarray(16, 20).join('.')
    expect(packet.readUInt16BE(2)).to.equal(bytes.length)
    if (body[0] === 0x22) {
      const signs: Record<number, string> = { 2: '=', 3: '-', 4: '+' }
      const count = packet.readUInt16BE(24 + 6)
      expect(body.length).to.equal(8 + 8 * count)
      const records = Array.from({ length: count }, (_, i) => signs[body[8 + 8 * i]!]! + group(12 + 8 * i))
      found.push(`${dst} ${records.join(' ')}`)
    } else found.push(`${dst} ${{ 18: 'v1', 22: 'v2', 23: 'leave' }[body[0]!]} ${group(4)}`)
    times.push((clock.now() - start) / 1e6)
  }
  times.length = 0
  bench().pass(milliseconds)
  bench().tun.onSend = null
  bench().tun.take()
  return found
}
const times: number[] = []

const join = (group: string): unknown => bench().stack.interface('tun0').joinGroup(group)
const leave = (group: string): unknown => bench().stack.interface('tun0').leaveGroup(group)
const hear = (packet: Bytes): void => void bench().exchange(bench().tun, packet)

describe('IGMP (RFC 3376, RFC 2236)', () => {
  it('a host that is in no group says nothing', () => {
    expect(reports(10_000)).to.deep.equal([])
    hear(igmp(v3Query()))
    expect(reports(10_000)).to.deep.equal([])
  })

  it('version 3: joins and leaves are told twice, to 224.0.0.22, several in one', () => {
    join('224.5.5.5')
    join('239.1.1.1')
    expect(reports(3000)).to.deep.equal([
      '224.0.0.22 +239.1.1.1 +224.5.5.5',
      '224.0.0.22 +239.1.1.1 +224.5.5.5',
    ])
    expect(times[0]).to.be.lessThan(20)
    expect(times[1]! - times[0]!).to.be.within(0, 1010)
    leave('224.5.5.5')
    expect(reports(3000)).to.deep.equal(['224.0.0.22 -224.5.5.5', '224.0.0.22 -224.5.5.5'])
  })

  it('the bytes are those of Linux: TOS 0xc0, DF, TTL 1, router alert', () => {
    join('224.5.5.5')
    bench().pass(20)
    const [report] = bench().tun.take()
    // from a capture of the kernel’s, with our address for its own
    const kernels = '46c00028000040000102f9ee0a090002e0000016940400002200f4f30000000104000000e0050505'
    expect(hex(report!)).to.equal(kernels)
  })

  it('joined again before it was told that it was left: it is only joined', () => {
    join('224.5.5.5')
    reports(3000)
    leave('224.5.5.5')
    join('224.5.5.5')
    expect(reports(3000)).to.deep.equal(['224.0.0.22 +224.5.5.5', '224.0.0.22 +224.5.5.5'])
  })

  it('a second member changes nothing, nor does the first that goes', () => {
    join('224.5.5.5')
    reports(3000)
    join('224.5.5.5')
    leave('224.5.5.5')
    expect(reports(3000)).to.deep.equal([])
  })

  it('a general query is answered once, within the time that it gives', () => {
    for (const group of ['224.5.5.5', '224.5.5.6']) join(group)
    reports(3000)
    hear(igmp(v3Query('0.0.0.0', 20)))
    expect(reports(10_000)).to.deep.equal(['224.0.0.22 =224.5.5.6 =224.5.5.5'])
    expect(times[0]).to.be.within(0, 2020)
  })

  it('a query about one group, or sources of it, is answered for that group if it was joined', () => {
    for (const group of ['224.5.5.5', '224.5.5.6']) join(group)
    reports(3000)
    hear(igmp(v3Query('224.5.5.5'), '224.5.5.5'))
    expect(reports(3000)).to.deep.equal(['224.0.0.22 =224.5.5.5'])
    hear(igmp(v3Query('224.5.5.5', 10, ['10.0.0.9']), '224.5.5.5'))
    expect(reports(3000)).to.deep.equal(['224.0.0.22 =224.5.5.5'])
    hear(igmp(v3Query('224.9.9.9'), '224.0.0.1'))
    expect(reports(3000)).to.deep.equal([])
  })

  it('a router of version 2: reports to the groups, leaves to all routers, for as long as it may be there', () => {
    for (const group of ['224.5.5.5', '224.5.5.6']) join(group)
    reports(3000)
    hear(igmp(v2Query()))
    expect(reports(3000).sort()).to.deep.equal(['224.5.5.5 v2 224.5.5.5', '224.5.5.6 v2 224.5.5.6'])
    join('224.7.7.7')
    expect(reports(12_000)).to.deep.equal(['224.7.7.7 v2 224.7.7.7', '224.7.7.7 v2 224.7.7.7'])
    leave('224.7.7.7')
    expect(reports(3000)).to.deep.equal(['224.0.0.2 leave 224.7.7.7'])
    hear(igmp(v2Query('224.5.5.5'), '224.5.5.5'))
    expect(reports(3000)).to.deep.equal(['224.5.5.5 v2 224.5.5.5'])
    bench().pass(260_000) // 2 × 125 s + 10 s
    bench().tun.take()
    leave('224.5.5.5')
    expect(reports(3000)[0]).to.equal('224.0.0.22 -224.5.5.5')
  })

  it('a router of version 1: its reports, and no leaves', () => {
    join('224.5.5.5')
    reports(3000)
    hear(igmp(v1Query))
    expect(reports(11_000)).to.deep.equal(['224.5.5.5 v1 224.5.5.5'])
    leave('224.5.5.5')
    expect(reports(11_000)).to.deep.equal([])
  })

  it('a device that comes up tells everything, one that goes down nothing more', () => {
    join('224.5.5.5')
    bench().stack.interface('tun0').down()
    expect(reports(3000)).to.deep.equal([])
    bench().stack.interface('tun0').up()
    expect(reports(3000)).to.deep.equal(['224.0.0.22 +224.5.5.5', '224.0.0.22 +224.5.5.5'])
  })

  it('sysctls: how often, and whether groups of the link are reported', () => {
    bench().stack.sysctlSet('net.ipv4.igmp_qrv', 3).sysctlSet('net.ipv4.igmp_link_local_mcast_reports', 0)
    join('224.0.0.251')
    join('224.5.5.5')
    expect(reports(5000)).to.deep.equal(new Array(3).fill('224.0.0.22 +224.5.5.5'))
  })

  it('224.0.0.1 is never reported', () => {
    join('224.0.0.1')
    expect(reports(5000)).to.deep.equal([])
  })

  it('many groups do not fit one report', () => {
    for (let i = 0; i < 300; i++) join(`224.7.${i >> 8}.${i & 255}`)
    const [first, second] = reports(100)
    expect([first, second].map((line) => line!.split(' ').length - 1)).to.deep.equal([183, 117])
  })

  it('what is damaged, or no query, is dropped, and nothing is said of it', () => {
    join('224.5.5.5')
    reports(3000)
    const before = bench().stack.mib.dropsByReason()
    hear(igmp(v3Query(), '224.0.0.1', false))
    hear(igmp(v3Query().slice(0, 10)))
    hear(igmp([0x11, 1]))
    hear(igmp([0x16, 0, 0, 0, 224, 5, 5, 5], '224.5.5.5'))
    hear(igmp([...v3Query('224.5.5.5', 10, ['1.2.3.4']).slice(0, 12)]))
    expect(reports(10_000)).to.deep.equal([])
    const after = bench().stack.mib.dropsByReason()
    expect(after['SKB_CSUM']).to.equal((before['SKB_CSUM'] ?? 0) + 1)
    expect(after['NOT_SPECIFIED']).to.equal((before['NOT_SPECIFIED'] ?? 0) + 3)
    expect(after['PKT_TOO_SMALL']).to.equal((before['PKT_TOO_SMALL'] ?? 0) + 1)
  })

  it('times of queries are floating-point numbers from 128 on', () => {
    const query = new IgmpQuery()
    const parse = (code: number, qqic: number): [number, number] => {
      const bytes = Uint8Array.from([0x11, code, 0, 0, 0, 0, 0, 0, 0, qqic, 0, 0])
      expect(parseIgmpQuery(bytes, 0, bytes.length, query)).to.equal(true)
      return [query.maxResponse, query.interval]
    }
    expect(parse(127, 127)).to.deep.equal([12_700, 127_000])
    expect(parse(128, 129)).to.deep.equal([12_800, 136_000])
    expect(parse(255, 255)).to.deep.equal([3_174_400, 31_744_000])
  })

  it('property: any message is taken, and the stack lives', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 }), (messages) => {
        for (const message of messages) {
          if (message.length > 0) message[0] = [0x11, 0x12, 0x16, 0x17, 0x22, message[0]!][message[0]! % 6]!
          hear(igmp([...message]))
          bench().pass(500)
        }
        bench().tun.take()
        bench().expectAlive()
      }),
      { numRuns: 50 },
    )
  })
})
