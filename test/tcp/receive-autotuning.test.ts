/** The receive window as Linux 6.18 sizes it: what is read in a round trip, what has come, how long a round trip is. */
import { expect } from 'chai'
import fc from 'fast-check'
import { MILLISECOND } from '../../lib/index.ts'
import { type Host, type Link, simulate } from '../../lib/sim/index.ts'
import { timestampAt } from '../../lib/tcp/isn.ts'
import {
  adjustReceiveSpace,
  growReceiveBuffer,
  initReceiveSpace,
  measureEchoRtt,
  measureWindowRtt,
  openWindow,
} from '../../lib/tcp/receive-autotuning.ts'
import type { Tcb } from '../../lib/tcp/tcb.ts'
import { TcpOptions } from '../../lib/wire/tcp-options.ts'
import { content, readAll, writeAll } from './pair.ts'

/** The fields of a block that matter here, after a handshake with an MSS of 1460. */
function receiver(fields: Record<string, unknown> = {}): Tcb {
  const tcb = {
    receiveBuffer: 65536,
    receiveBufferMax: 16 << 20,
    rcvScale: 10,
    rcvNxt: 1,
    rcvWnd: 65160,
    rcvMss: 536,
    rcvRtt: 50 * MILLISECOND,
    rcvRttTime: 0,
    rcvRttSeq: 0,
    rcvRttEcho: 0,
    announcedMss: 1460,
    tsOffset: 0,
    ring: { length: 0, limit: 0 },
    memory: { pressed: false },
    outOfOrder: { isEmpty: true, end: 0 },
    ...fields,
  } as unknown as Tcb
  initReceiveSpace(tcb, 0)
  return tcb
}

const RTT = 50 * MILLISECOND

describe('TCP receive autotuning', () => {
  it('begins with ten segments, and offers what the SYN did', () => {
    expect(receiver()).to.include({ rcvSpace: 14600, rcvSsthresh: 65160, rcvSpaceSeq: 1 })
    expect(receiver({ rcvWnd: 5000 })).to.include({ rcvSpace: 5000, rcvSsthresh: 5000 })
  })

  it('grows to twice what was read in a round trip, and by what that has grown (tcp_rcvbuf_grow)', () => {
    const tcb = receiver()
    tcb.rcvNxt = 1 + 29200
    adjustReceiveSpace(tcb, RTT, true)
    // 58400, and twice 58400 · (29200 − 14600) / 14600.
    expect(tcb).to.include({ rcvSpace: 29200, receiveBuffer: 175200 })
    tcb.rcvNxt += 43800
    adjustReceiveSpace(tcb, 2 * RTT, true)
    expect(tcb).to.include({ rcvSpace: 43800, receiveBuffer: 175200 }) // 87600 · 2 is no more
    tcb.rcvNxt += 100_000
    adjustReceiveSpace(tcb, 3 * RTT, true)
    expect(tcb.receiveBuffer).to.equal(200_000 + 2 * Math.floor((200_000 * (100_000 - 43_800)) / 43_800))
  })

  it('looks once in a round trip, and not before there is one', () => {
    const tcb = receiver()
    tcb.rcvNxt = 1 + 29200
    adjustReceiveSpace(tcb, RTT - 1, true)
    expect(tcb.receiveBuffer).to.equal(65536)
    const unknown = receiver({ rcvRtt: 0 })
    unknown.rcvNxt = 1 + 29200
    adjustReceiveSpace(unknown, 10 * RTT, true)
    expect(unknown.receiveBuffer).to.equal(65536)
  })

  it('what waits counts against it: an application that is slower than the path needs no larger buffer', () => {
    const tcb = receiver()
    tcb.rcvNxt = 1 + 60_000
    ;(tcb.ring as { length: number }).length = 25_000
    adjustReceiveSpace(tcb, RTT, true)
    expect(tcb).to.include({ rcvSpace: 14600, receiveBuffer: 65536, rcvSpaceSeq: 1 + 35_000 })
  })

  it('covers what is beyond a hole, keeps to tcp_rmem, and to what it is with tcp_moderate_rcvbuf 0', () => {
    const tcb = receiver({ outOfOrder: { isEmpty: false, end: 1 + 200_000 } })
    growReceiveBuffer(tcb, tcb.rcvSpace, true)
    expect(tcb.receiveBuffer).to.equal(2 * 14600 + 200_000)
    growReceiveBuffer(tcb, 100_000_000, true)
    expect(tcb.receiveBuffer).to.equal(16 << 20)
    const fixed = receiver()
    growReceiveBuffer(fixed, 100_000, false)
    expect(fixed).to.include({ rcvSpace: 100_000, receiveBuffer: 65536 })
  })

  it('a buffer that has grown is offered as data comes, two segments for one (tcp_grow_window)', () => {
    const tcb = receiver({ receiveBuffer: 1 << 20 })
    tcb.rcvSsthresh = 65160
    openWindow(tcb, 1448)
    expect(tcb.rcvSsthresh).to.equal(65160 + 2920)
    openWindow(tcb, 60_000)
    expect(tcb.rcvSsthresh).to.equal(65160 + 2920 + 120_000)
    openWindow(tcb, 127)
    expect(tcb.rcvSsthresh).to.equal(65160 + 2920 + 120_000)
    ;(tcb.ring as { length: number }).length = (1 << 20) - tcb.rcvSsthresh - 100
    openWindow(tcb, 1448)
    expect(tcb.rcvSsthresh).to.equal(65160 + 2920 + 120_000 + 100)
  })

  it('echoes tell the RTT: the least of them, a longer one while nothing waits, each once', () => {
    const tcb = receiver({ rcvRtt: 0 })
    const options = new TcpOptions()
    options.timestamps = true
    const echo = (ago: number, now: number, length = 1448): void => {
      options.tsEcho = (timestampAt(now * MILLISECOND, 0) - ago) | 0
      measureEchoRtt(tcb, options, length, now * MILLISECOND)
    }
    echo(80, 1000, 100)
    expect(tcb.rcvRtt, 'of a small segment').to.equal(0)
    echo(80, 1001)
    expect(tcb.rcvRtt).to.equal(80 * MILLISECOND)
    echo(0, 1010)
    expect(tcb.rcvRtt, 'less than a tick').to.equal(80 * MILLISECOND)
    echo(50, 1100)
    expect(tcb.rcvRtt).to.equal(50 * MILLISECOND)
    echo(130, 1200)
    expect(tcb.rcvRtt).to.equal(60 * MILLISECOND)
    echo(130, 1200)
    expect(tcb.rcvRtt, 'the same again').to.equal(60 * MILLISECOND)
    ;(tcb.ring as { length: number }).length = 1
    echo(930, 2000)
    expect(tcb.rcvRtt, 'while the application sleeps').to.equal(60 * MILLISECOND)
  })

  it('a window that is filled tells a bound of it', () => {
    const tcb = receiver({ rcvRtt: 0 })
    measureWindowRtt(tcb, 10)
    tcb.rcvNxt += 65159
    measureWindowRtt(tcb, 20)
    expect(tcb.rcvRtt).to.equal(0)
    tcb.rcvNxt += 1
    measureWindowRtt(tcb, 40)
    expect(tcb.rcvRtt).to.equal(30)
    tcb.rcvNxt += 65160
    measureWindowRtt(tcb, 90)
    expect(tcb.rcvRtt).to.equal(30)
  })

  /** Right edges that b has offered, in the order that they came. */
  function edges(link: Link, b: Host): number[] {
    let scale = 0
    return link.packets
      .filter(({ from, protocol }) => from === b && protocol === 'tcp')
      .map(({ bytes }) => {
        const view = new DataView(bytes.buffer, bytes.byteOffset + 20)
        const isSyn = (view.getUint8(13) & 2) !== 0
        if (isSyn)
          for (let at = 20; at < (view.getUint8(12) >> 4) * 4; ) {
            const kind = view.getUint8(at)
            if (kind === 3) scale = view.getUint8(at + 2)
            at += kind === 1 ? 1 : view.getUint8(at + 1)
          }
        return (view.getUint32(8) + (view.getUint16(14) << (isSyn ? 0 : scale))) | 0
      })
  }

  it('opens over 50 ms as the kernel does: twice the flight and more in each round trip, until the path is full', async () => {
    const net = simulate({ seed: 1, record: 0 })
    const a = net.host('10.0.0.1/24')
    const b = net.host('10.0.0.2/24')
    net.link(a, b, { delay: '25ms', rate: '200mbit' })
    const seen: number[] = []
    await net.run(async () => {
      const accepted = b.tcp.listen({ port: 80 }).accept()
      const socket = await a.tcp.connect({ address: '10.0.0.2', port: 80 })
      const received = accepted.then(readAll)
      const sent = writeAll(socket, content(5_000_000)).then(() => socket.end())
      for (let i = 0; i < 8; i++) {
        await net.sleep('50ms')
        seen.push(socket.info.snd_wnd)
      }
      await sent
      expect((await received).length).to.equal(5_000_000)
    })
    // The kernel, measured: 69, 78, 150, 182, 411, 666, 1033, 1378, … KiB in steps of 50 ms under the same load.
    // The kernel, measured on such a path: 69, 78, 79, 150, 182, 411, 666, 1033, 1378 KiB in steps of 50 ms.
    expect(seen[1]).to.be.within(60_000, 100_000)
    expect(seen[3]).to.be.within(100_000, 250_000)
    expect(seen[5]).to.be.within(400_000, 1_000_000)
    expect(seen[7]).to.be.within(1_000_000, 3_000_000)
    await net.close()
  })

  it('never takes back what it has offered, whatever the application does (property)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 1000 }),
        fc.array(fc.tuple(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 0, max: 60 })), {
          maxLength: 20,
        }),
        fc.constantFrom(0, 0.03),
        async (seed, reads, loss) => {
          const net = simulate({ seed, record: '64mb' })
          const a = net.host('10.0.0.1/24')
          const b = net.host('10.0.0.2/24')
          const link = net.link(a, b, { delay: '5ms', forward: { loss } })
          await net.run(async () => {
            const accepted = b.tcp.listen({ port: 80 }).accept()
            const socket = await a.tcp.connect({ address: '10.0.0.2', port: 80 })
            void writeAll(socket, content(250_000)).then(() => socket.end())
            const server = await accepted
            for (const [length, pause] of reads) {
              await server.readInto(new Uint8Array(length))
              await net.sleep(pause)
            }
            await readAll(server)
          })
          const list = edges(link, b)
          // By less than a unit of the scale: what it rounds off is given once, and then no more.
          for (let i = 1; i < list.length; i++) expect((list[i]! - list[i - 1]!) | 0).to.be.above(-1024)
          await net.close()
        },
      ),
      { numRuns: 10 },
    )
  })
})
