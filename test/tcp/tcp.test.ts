/** What becomes of segments that belong to no connection, and of those that are none. */
import { expect } from 'chai'
import { HOST, HostBench, PEER, useBench } from '../conformance/harness.ts'
import { type Fields, read, segment } from './raw-peer.ts'

describe('TCP without a connection', () => {
  const bench = useBench(() => new HostBench())

  const answer = (fields: Fields) => bench().exchange(bench().tun, segment(fields)).map(read)

  const closed: [string, Fields, object | null][] = [
    ['tcp-closed-syn', { flags: 'S', seq: 1000 }, { flags: 'RA', seq: 0, ack: 1001 }],
    [
      'tcp-closed-syndata',
      { flags: 'S', seq: 1000, data: new Uint8Array(10) },
      { flags: 'RA', seq: 0, ack: 1011 },
    ],
    ['tcp-closed-null', { flags: '', seq: 1000 }, { flags: 'RA', seq: 0, ack: 1000 }],
    ['tcp-closed-fa', { flags: 'FA', seq: 1000, ack: 5000 }, { flags: 'R', seq: 5000, ack: 0 }],
    ['tcp-closed-pa', { flags: 'PA', seq: 1000, ack: 5000, data: [1] }, { flags: 'R', seq: 5000, ack: 0 }],
    ['tcp-closed-rst', { flags: 'R', seq: 1000 }, null],
    ['tcp-closed-rst with ACK', { flags: 'RA', seq: 1000, ack: 5000 }, null],
    [
      'tcp-closed-syn at the end of the number space',
      { flags: 'S', seq: 0xffffffff },
      { flags: 'RA', ack: 0 },
    ],
  ]
  for (const [name, fields, expected] of closed) {
    it(`${name}: answered with a reset as Linux does, and counted`, () => {
      const sent = answer(fields)
      if (expected === null) expect(sent).to.have.length(0)
      else expect(sent[0]).to.include({ ...expected, window: 0, sport: 80, dport: 41000, size: 40, df: true })
      expect(bench().count('TcpInSegs')).to.equal(1)
      expect(bench().count('TcpOutRsts')).to.equal(expected === null ? 0 : 1)
      expect(bench().count('TcpOutSegs')).to.equal(expected === null ? 0 : 1)
      expect(bench().stack.mib.dropsByReason()).to.deep.equal({ NO_SOCKET: 1 })
    })
  }

  it('tcp-cksum-bad: a wrong checksum is dropped in silence', () => {
    expect(answer({ flags: 'S', checksum: 0x1234 })).to.have.length(0)
    expect(bench().count('TcpInCsumErrors')).to.equal(1)
    expect(bench().count('TcpInErrs')).to.equal(1)
    expect(bench().stack.mib.dropsByReason()).to.deep.equal({ TCP_CSUM: 1 })
  })

  it('tcp-offset-small, tcp-offset-long: a data offset that lies (hardening-15)', () => {
    for (const dataOffset of [0, 1, 4, 6, 15]) expect(answer({ flags: 'S', dataOffset })).to.have.length(0)
    expect(bench().stack.mib.dropsByReason()).to.deep.equal({ PKT_TOO_SMALL: 5 })
    expect(bench().count('TcpInErrs')).to.equal(3) // as Linux: those below 5
    expect(bench().count('TcpOutSegs')).to.equal(0)
    bench().expectAlive()
  })

  it('tcp-src-invalid, hardening-17: nothing about what came from or went to everybody', () => {
    for (const dst of ['10.9.0.255', '255.255.255.255', '224.0.0.1']) {
      expect(answer({ flags: 'S', dst })).to.have.length(0)
    }
    for (const src of ['255.255.255.255', '224.0.0.1', '127.0.0.1', HOST, '0.0.0.0']) {
      expect(answer({ flags: 'S', src })).to.have.length(0)
    }
    const listening = bench().stack.tcp.listen({ port: 80 })
    expect(answer({ flags: 'S', dst: '10.9.0.255' })).to.have.length(0)
    expect(listening.listening).to.equal(true)
    expect(answer({ flags: 'S', src: PEER })[0]).to.include({ flags: 'SA' })
  })

  it('tcp-listen-rst, tcp-listen-fin, tcp-listen-null, tcp-listen-xmas, tcp-listen-synrst: a listener is not moved', () => {
    bench().stack.tcp.listen({ port: 80 })
    for (const flags of ['R', 'F', '', 'FPU', 'SR', 'SF']) {
      expect(answer({ flags }), `flags '${flags}'`).to.have.length(0)
    }
    expect(answer({ flags: 'A', ack: 77 })[0]).to.include({ flags: 'R', seq: 77 })
    expect(answer({ flags: 'SA', ack: 78 })[0]).to.include({ flags: 'R', seq: 78 })
    expect(answer({ flags: 'S' })[0]).to.include({ flags: 'SA', ack: 1 })
  })

  it('hardening-25, tcp-opt-unknown, tcp-opt-badlen: unknown options and bits do no harm', () => {
    bench().stack.tcp.listen({ port: 80 })
    const options = [253, 4, 1, 2, 30, 2, 1, 0]
    const [sent] = answer({ flags: 'SEC', options })
    expect(sent).to.include({ flags: 'SAE' })
    const broken = [[2, 0, 5, 180], [2, 1, 0, 0], [2, 40, 0, 0], [3], [8, 10, 0, 0]]
    broken.forEach((options, i) => {
      expect(answer({ flags: 'S', options, sport: 42000 + i })[0]?.flags, 'tcp-opt-badlen').to.equal('SA')
    })
    bench().expectAlive()
  })
})
