/** MSS clamping on the way through (RFC 4459 §3.2): every SYN, both directions, with the right checksum. */
import { expect } from 'chai'
import fc from 'fast-check'
import { ip } from '../../lib/index.ts'
import { simulate } from '../../lib/sim/index.ts'
import { LEFT, RIGHT, RouterBench, useBench } from '../conformance/harness.ts'
import { type Bytes, concat, internetChecksum, pseudoSum, tcp } from '../conformance/packets.ts'
import { content, readAll, writeAll } from '../tcp/pair.ts'

const SYN = 2
const ACK = 16
const MSS = (value: number): number[] => [2, 4, value >>> 8, value & 0xff]
const ACROSS = { src: LEFT, dst: RIGHT }
const BACK = { src: RIGHT, dst: LEFT }

function syn(ends: typeof ACROSS, options: number[], flags = SYN, data: number[] = []): Bytes {
  const padded = [...options, ...new Array<number>((4 - (options.length % 4)) % 4).fill(0)]
  return tcp(ends, { dport: 80, flags, dataOffset: 5 + padded.length / 4 }, concat(padded, data))
}

/** Options of the segment in a packet, once its checksum has been verified. */
function optionsOf(packet: Bytes, ends: typeof ACROSS): number[] {
  const segment = packet.subarray(20)
  expect(internetChecksum(segment, pseudoSum(ends.src, ends.dst, 6, segment.length)), 'checksum').to.equal(0)
  return [...segment.subarray(20, (segment[12]! >>> 4) * 4)]
}

describe('Interface.setMssClamp', () => {
  const bench = useBench(() => new RouterBench({ rightMtu: 1280 }))

  function there(options: number[], flags = SYN): number[] {
    const { right } = bench().forward(syn(ACROSS, options, flags))
    expect(right).to.have.length(1)
    return optionsOf(right[0]!, ACROSS)
  }

  function back(options: number[], flags = SYN | ACK): number[] {
    bench().right.push(syn(BACK, options, flags))
    bench().settle()
    const [packet] = bench().left.take()
    return optionsOf(packet!, BACK)
  }

  it('leaves everything alone unless it is told to', () => {
    expect(there(MSS(1460))).to.deep.equal(MSS(1460))
    expect(back(MSS(1460))).to.deep.equal(MSS(1460))
    expect(bench().stack.interface('right').mssClamp).to.equal(null)
  })

  it("'pmtu': to what the routes to both ends leave, in both directions", () => {
    bench().stack.interface('right').setMssClamp('pmtu')
    expect(bench().stack.interface('right').mssClamp).to.equal('pmtu')
    expect(there(MSS(1460))).to.deep.equal(MSS(1240))
    expect(back(MSS(1460)), 'the way back is narrow, too').to.deep.equal(MSS(1240))
    ip(bench().stack, `route add ${LEFT} dev left mtu 1000`)
    expect(there(MSS(1460)), 'the way back to the sender').to.deep.equal(MSS(960))
  })

  it('a number of bytes, and the lesser of two devices', () => {
    bench().stack.interface('left').setMssClamp(1300)
    expect(there(MSS(1460))).to.deep.equal(MSS(1300))
    expect(back(MSS(1460))).to.deep.equal(MSS(1300))
    bench().stack.interface('right').setMssClamp(1200)
    expect(there(MSS(1460))).to.deep.equal(MSS(1200))
    bench().stack.interface('right').setMssClamp(null)
    expect(there(MSS(1460))).to.deep.equal(MSS(1300))
  })

  it('never raises one, adds none, and touches nothing but SYNs', () => {
    bench().stack.interface('right').setMssClamp(1000)
    expect(there(MSS(999))).to.deep.equal(MSS(999))
    expect(there([])).to.deep.equal([])
    expect(there([1, 3, 3, 7])).to.deep.equal([1, 3, 3, 7])
    expect(there(MSS(1460), ACK)).to.deep.equal(MSS(1460))
  })

  it('finds it at an odd place, and stops where the list makes no sense', () => {
    bench().stack.interface('right').setMssClamp(1000)
    expect(there([1, ...MSS(1460), 0])).to.deep.equal([1, ...MSS(1000), 0, 0, 0])
    expect(there([3, 3, 7, ...MSS(0xffff)])).to.deep.equal([3, 3, 7, ...MSS(1000), 0])
    expect(there([0, ...MSS(1460)])).to.deep.equal([0, ...MSS(1460), 0, 0, 0])
    expect(there([9, 200, ...MSS(1460)])).to.deep.equal([9, 200, ...MSS(1460), 0, 0])
    expect(there([9, 0, ...MSS(1460)])).to.deep.equal([9, 0, ...MSS(1460), 0, 0])
    expect(there([2, 3, 5, ...MSS(1460)])).to.deep.equal([2, 3, 5, ...MSS(1000), 0])
  })

  it('leaves a later fragment and a SYN without the whole header as they are', () => {
    bench().stack.interface('right').setMssClamp(1000)
    const whole = syn(ACROSS, MSS(1460))
    whole[7] = 1 // fragment offset 8
    whole[10] = whole[11] = 0
    const check = internetChecksum(whole.subarray(0, 20))
    whole[10] = check >>> 8
    whole[11] = check & 0xff
    const { right } = bench().forward(whole)
    expect([...right[0]!.subarray(20)]).to.deep.equal([...whole.subarray(20)])
  })

  it('refuses what is no size', () => {
    for (const value of [0, 87, 65496, 1.5, 'mtu', undefined]) {
      expect(() =>
        bench()
          .stack.interface('right')
          .setMssClamp(value as number),
      )
        .to.throw()
        .with.property('code', 'ERR_INVALID_ARG_VALUE')
    }
  })

  it('any options: the checksum stays right, and no MSS is raised (property)', () => {
    bench().stack.interface('right').setMssClamp(1111)
    const option = fc.oneof(
      fc.integer({ min: 0, max: 65535 }).map(MSS),
      fc.constant([1]),
      fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 6 }),
    )
    fc.assert(
      fc.property(fc.array(option, { maxLength: 5 }), (list) => {
        const sent = list.flat().slice(0, 40)
        const got = there(sent)
        const padded = [...sent, 0, 0, 0].slice(0, got.length)
        const differing = got.flatMap((byte, i) => (byte === padded[i] ? [] : [i]))
        for (const at of differing) {
          const field = got[at - 1] === 4 && got[at - 2] === 2 ? at : at - 1
          expect((got[field]! << 8) | got[field + 1]!).to.equal(1111)
          expect((padded[field]! << 8) | padded[field + 1]!).to.be.above(1111)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('two hosts that hear no ICMP talk through a narrow link', async () => {
    const net = simulate({ seed: 1 })
    const a = net.host('10.0.0.1/24')
    const router = net.router(['10.0.0.254/24', '10.0.1.254/24'])
    const b = net.host('10.0.1.1/24')
    net.link(a, router)
    const narrow = net.link(router, b, { maxSize: 1300 })
    for (const each of router.interfaces.slice(1)) each.setMssClamp(1260)
    await net.run(async () => {
      const received = b.tcp.listen({ port: 80 }).accept().then(readAll)
      const socket = await a.tcp.connect({ address: '10.0.1.1', port: 80 })
      await writeAll(socket, content(200_000))
      socket.end()
      expect((await received).length).to.equal(200_000)
      expect(socket.info.snd_mss).to.equal(1260 - 12)
      expect(socket.info.advmss).to.equal(1460)
    })
    expect(narrow.counters().lost).to.equal(0)
    await net.close()
  })
})

describe('maxSegment (TCP_MAXSEG)', () => {
  it('is announced, and no larger segment is sent, whoever asks for it', async () => {
    const net = simulate({ seed: 1 })
    const a = net.host('10.0.0.1/24')
    const b = net.host('10.0.0.2/24')
    net.link(a, b)
    await net.run(async () => {
      const wide = b.tcp.listen({ port: 80 })
      const accepted = wide.accept()
      const client = await a.tcp.connect({ address: '10.0.0.2', port: 80, maxSegment: 1000 })
      expect(client.info).to.include({ snd_mss: 988, advmss: 1000 })
      expect((await accepted).info.snd_mss).to.equal(988)
      const narrow = b.tcp.listen({ port: 81, maxSegment: 500 })
      const second = narrow.accept()
      const other = await a.tcp.connect({ address: '10.0.0.2', port: 81 })
      expect(other.info.snd_mss).to.equal(488)
      expect((await second).info).to.include({ snd_mss: 488, advmss: 500 })
      for (const maxSegment of [87, 32768]) {
        const attempt = a.tcp.connect({ address: '10.0.0.2', port: 80, maxSegment })
        expect(await attempt.catch((error: unknown) => error)).to.have.property(
          'code',
          'ERR_INVALID_ARG_VALUE',
        )
      }
    })
    await net.close()
  })
})
