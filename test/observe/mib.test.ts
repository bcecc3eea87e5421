import { expect } from 'chai'
import fc from 'fast-check'
import { IcmpMib, IpExtMib, IpMib, Mib, TcpExtMib, TcpMib, UdpMib } from '../../lib/observe/mib.ts'
import { DROP_REASONS, DropReason } from '../../lib/wire/drop-reason.ts'

/** /proc/net/snmp of a network namespace after one `ping -c1` of itself (Linux 6.18). */
const AFTER_PING = `\
Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates OutTransmits
Ip: 2 64 2 0 0 0 0 0 2 2 0 0 0 0 0 0 0 0 0 2
Icmp: InMsgs InErrors InCsumErrors InDestUnreachs InTimeExcds InParmProbs InSrcQuenchs InRedirects InEchos InEchoReps InTimestamps InTimestampReps InAddrMasks InAddrMaskReps OutMsgs OutErrors OutRateLimitGlobal OutRateLimitHost OutDestUnreachs OutTimeExcds OutParmProbs OutSrcQuenchs OutRedirects OutEchos OutEchoReps OutTimestamps OutTimestampReps OutAddrMasks OutAddrMaskReps
Icmp: 2 0 0 0 0 0 0 0 1 1 0 0 0 0 2 0 0 0 0 0 0 0 0 1 1 0 0 0 0
IcmpMsg: InType0 InType8 OutType0 OutType8
IcmpMsg: 1 1 1 1
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors
Tcp: 1 200 120000 -1 0 0 0 0 0 0 0 0 0 0 0
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors
Udp: 0 0 0 0 0 0 0 0 0
UdpLite: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors
UdpLite: 0 0 0 0 0 0 0 0 0
`

function pinged(): Mib {
  const mib = new Mib()
  mib.ip[IpMib.InReceives] = 2
  mib.ip[IpMib.InDelivers] = 2
  mib.ip[IpMib.OutRequests] = 2
  mib.ip[IpMib.OutTransmits] = 2
  mib.icmp[IcmpMib.InMsgs] = 2
  mib.icmp[IcmpMib.OutMsgs] = 2
  for (const type of [0, 8]) {
    mib.icmpMsgIn[type] = 1
    mib.icmpMsgOut[type] = 1
  }
  return mib
}

/** Lines of a /proc file as a map from name to value. */
function parse(text: string): Map<string, string> {
  const lines = text.trimEnd().split('\n')
  const map = new Map<string, string>()
  for (let i = 0; i < lines.length; i += 2) {
    const names = lines[i]!.split(' ')
    const values = lines[i + 1]!.split(' ')
    expect(values).to.have.length(names.length)
    expect(values[0]).to.equal(names[0])
    names.forEach((name, j) => void (j > 0 && map.set(names[0]!.slice(0, -1) + name, values[j]!)))
  }
  return map
}

describe('Mib', () => {
  it('prints /proc/net/snmp to the byte', () => {
    expect(pinged().toSnmp()).to.equal(AFTER_PING)
  })

  it('prints what it is told of forwarding, TTL and timeouts', () => {
    const text = new Mib().toSnmp({ forwarding: true, defaultTtl: 5, tcpRtoMin: 100, tcpRtoMax: 60_000 })
    expect(text).to.contain('\nIp: 1 5 0 0').and.to.contain('\nTcp: 1 100 60000 -1 0')
  })

  it('leaves the IcmpMsg lines out while there is nothing in them, and breaks them after sixteen', () => {
    const mib = new Mib()
    expect(mib.toSnmp()).to.not.contain('IcmpMsg')
    for (let type = 20; type < 40; type++) mib.icmpMsgIn[type] = type
    mib.icmpMsgOut[255] = 1
    const lines = mib
      .toSnmp()
      .split('\n')
      .filter((line) => line.startsWith('IcmpMsg:'))
    expect(lines).to.have.length(4)
    expect(lines.map((line) => line.split(' ').length - 1)).to.deep.equal([16, 16, 5, 5])
    expect(lines[2]).to.equal('IcmpMsg: InType36 InType37 InType38 InType39 OutType255')
    expect(lines[3]).to.equal('IcmpMsg: 36 37 38 39 1')
  })

  it('reads ICMP by type from the tables by type', () => {
    const mib = new Mib()
    const types = {
      DestUnreachs: 3,
      SrcQuenchs: 4,
      Redirects: 5,
      Echos: 8,
      EchoReps: 0,
      TimeExcds: 11,
      ParmProbs: 12,
    }
    const more = { Timestamps: 13, TimestampReps: 14, AddrMasks: 17, AddrMaskReps: 18 }
    for (const [name, type] of Object.entries({ ...types, ...more })) {
      mib.icmpMsgIn[type]! += type + 1
      mib.icmpMsgOut[type]! += type + 2
      expect(mib.get(`IcmpIn${name}`)).to.equal(type + 1)
      expect(mib.get(`IcmpOut${name}`)).to.equal(type + 2)
      expect(mib.get(`IcmpMsgInType${type}`)).to.equal(type + 1)
    }
  })

  it('property: every counter has one name and one column, the same everywhere', () => {
    const tables = [
      ['ip', 'Ip', IpMib],
      ['tcp', 'Tcp', TcpMib],
      ['udp', 'Udp', UdpMib],
      ['udpLite', 'UdpLite', UdpMib],
      ['tcpExt', 'TcpExt', TcpExtMib],
      ['ipExt', 'IpExt', IpExtMib],
      ['icmp', 'Icmp', IcmpMib],
    ] as const
    for (const [table, prefix, names] of tables) {
      expect(Object.values(names)).to.deep.equal(Object.keys(names).map((_, i) => i))
      for (const [name, index] of Object.entries(names)) {
        const mib = new Mib()
        mib[table][index] = 7
        expect(mib.get(prefix + name)).to.equal(7)
        const columns = parse(mib.toSnmp() + mib.toNetstat())
        const set = [...columns].filter(([, value]) => value === '7').map(([column]) => column)
        expect(set).to.deep.equal([prefix + name])
        const moved = mib.nstat().filter(([, value]) => value !== 0)
        expect(moved).to.deep.equal(name === 'CurrEstab' ? [] : [[prefix + name, 7]])
      }
    }
  })

  it('lists what `nstat -az` lists: no constants and no gauge', () => {
    const names = new Mib().nstat().map(([name]) => name)
    expect(new Set(names).size).to.equal(names.length)
    expect(names.slice(0, 2)).to.deep.equal(['IpInReceives', 'IpInHdrErrors'])
    expect(names.at(-1)).to.equal('IpExtReasmOverlaps')
    expect(names).to.include('TcpExtTcpTimeoutRehash')
    for (const no of ['IpForwarding', 'IpDefaultTTL', 'TcpRtoMin', 'TcpMaxConn', 'TcpCurrEstab']) {
      expect(names).to.not.include(no)
    }
  })

  it('refuses a name that it does not know', () => {
    for (const name of ['IpInReceive', 'InReceives', '', 'constructor', 'IcmpMsgInType256']) {
      expect(() => new Mib().get(name))
        .to.throw()
        .with.property('code', 'ERR_INVALID_ARG_VALUE')
    }
  })

  it('counts drops by reason, with a place for each', () => {
    const mib = new Mib()
    expect(Math.max(...Object.values(DropReason))).to.equal(DROP_REASONS - 1)
    expect(mib.dropsByReason()).to.deep.equal({})
    mib.drop(DropReason.IP_CSUM)
    mib.drop(DropReason.IP_CSUM)
    mib.drop(DropReason.NO_SOCKET)
    expect(mib.dropsByReason()).to.deep.equal({ NO_SOCKET: 1, IP_CSUM: 2 })
  })

  it('property: diff() is what was added since', () => {
    const increments = fc.array(fc.tuple(fc.nat(17), fc.integer({ min: 1, max: 1e6 })), { maxLength: 20 })
    fc.assert(
      fc.property(increments, increments, (before, after) => {
        const mib = new Mib()
        const expected = new Float64Array(18)
        for (const [index, by] of before) mib.ipExt[index]! += by
        const snapshot = mib.snapshot()
        for (const [index, by] of after) {
          mib.ipExt[index]! += by
          expected[index]! += by
        }
        const names = Object.keys(IpExtMib)
        const moved = names
          .map((name, i): [string, number] => [`IpExt${name}`, expected[i]!])
          .filter(([, n]) => n > 0)
        expect(mib.diff(snapshot)).to.deep.equal(Object.fromEntries(moved))
      }),
    )
  })

  it('shows types and reasons that are new in a diff', () => {
    const mib = new Mib()
    const before = mib.snapshot()
    mib.icmpMsgIn[8]!++
    mib.drop(DropReason.IP_TTL)
    expect(mib.diff(before)).to.deep.equal({ IcmpInEchos: 1, IcmpMsgInType8: 1, DropIP_TTL: 1 })
  })

  it('prints large counts in full', () => {
    const mib = new Mib()
    mib.ipExt[IpExtMib.InOctets] = Number.MAX_SAFE_INTEGER
    expect(mib.toNetstat()).to.contain(' 9007199254740991 ')
  })
})
