/**
 * Any segments in any order, with numbers near the right ones and far from them, between whatever the application
 * does: no invariant breaks, nothing is thrown, and when all is over every packet is back.
 */
import { expect } from 'chai'
import fc from 'fast-check'
import type { TcpSocket } from '../../lib/index.ts'
import { LossState, type Tcb, TcpState } from '../../lib/tcp/tcb.ts'
import { HostBench } from '../conformance/harness.ts'
import { tick } from './pair.ts'
import { dialled, RawPeer, sack, segment, synOptions, timestamps } from './raw-peer.ts'

const before = (a: number, b: number): boolean => ((a - b) | 0) <= 0

function checkInvariants(tcb: Tcb): void {
  expect(before(tcb.sndUna, tcb.sndNxt), 'SND.UNA <= SND.NXT').to.equal(true)
  expect(tcb.sndWnd).to.be.within(0, 0xffff << 14)
  expect(before(tcb.rcvWup, tcb.rcvNxt), 'acknowledged <= RCV.NXT').to.equal(true)
  expect(tcb.ring.length).to.be.at.most(tcb.ring.limit)
  if (tcb.synchronized) {
    const sent = (tcb.sndNxt - tcb.dataSeq) | 0
    expect(sent, 'sent is within what was written, and FIN').to.be.within(0, tcb.sendQueue.length + 1)
    expect(before(tcb.rcvNxt, tcb.rcvEdge), 'RCV.NXT within what was offered').to.equal(
      !(tcb.finReceived && tcb.rcvNxt - 1 === tcb.rcvEdge),
    )
    const unacknowledged = tcb.sndUna !== tcb.sndNxt
    if (unacknowledged) expect(tcb.retransmitAt, 'somebody watches over what was sent').to.be.below(Infinity)
    if (tcb.lossState !== LossState.OPEN) expect(before(tcb.sndUna, tcb.recoveryPoint)).to.equal(true)
  }
  expect(tcb.state).to.not.equal(TcpState.CLOSED)
  if (tcb.retransmitAt < Infinity) expect(tcb.timer.armed).to.equal(true)
}

const near = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(0, 0, 0, 1, -1) },
  { weight: 2, arbitrary: fc.integer({ min: -3000, max: 3000 }) },
  { weight: 1, arbitrary: fc.integer({ min: -70_000, max: 70_000 }) },
  { weight: 1, arbitrary: fc.integer() },
)
const flags = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('A', 'A', 'PA', 'FA') },
  { weight: 2, arbitrary: fc.constantFrom('S', 'SA', 'R', 'RA', 'F', '') },
  { weight: 1, arbitrary: fc.subarray([...'FSRPAUEC']).map((letters) => letters.join('')) },
)
const block = fc.tuple(near, fc.integer({ min: 0, max: 3000 }))
const option = fc.oneof(
  { weight: 5, arbitrary: fc.constant('own' as const) },
  { weight: 2, arbitrary: fc.array(block, { maxLength: 4 }) },
  { weight: 1, arbitrary: fc.constantFrom('none' as const, 'old' as const, 'syn' as const) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }) },
)
const action = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant('segment' as const),
      seq: near,
      ack: near,
      flags,
      length: fc.oneof(fc.constant(0), fc.constant(0), fc.integer({ min: 1, max: 1460 })),
      window: fc.oneof(fc.constant(65535), fc.integer({ min: 0, max: 65535 })),
      option,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      length: fc.integer({ min: 0, max: 20_000 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('read' as const), length: fc.integer({ min: 1, max: 5000 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('pass' as const),
      ms: fc.constantFrom(0, 1, 41, 250, 1500, 70_000),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('end' as const, 'close' as const, 'reset' as const) }),
  },
)

type Action = typeof action extends fc.Arbitrary<infer T> ? T : never

async function run(
  actions: readonly Action[],
  opening: 'accept' | 'connect',
  offered: boolean,
): Promise<void> {
  const bench = new HostBench()
  const { stack, tun } = bench
  const options = offered ? { mss: 1460, sackPermitted: true, timestamps: true, windowScale: 5 } : {}
  let peer: RawPeer
  let socket: TcpSocket
  if (opening === 'accept') {
    const server = stack.tcp.listen({ port: 80 })
    peer = new RawPeer(bench, 80)
    peer.open({ ...options })
    socket = await server.accept()
  } else {
    const dial = await dialled(bench)
    peer = dial.peer
    if (offered) peer.clock = 1000
    peer.send({
      flags: 'SA',
      ack: 1,
      options: synOptions({ ...options, tsValue: 1000, tsEcho: peer.lastTs }),
    })
    socket = await dial.opening
  }
  const tcbs: Tcb[] = []
  const check = (): void => {
    tcbs.length = 0
    stack.tcpProtocol.forEachConnection((tcb) => tcbs.push(tcb))
    tcbs.forEach(checkInvariants)
  }
  check()
  const tcb = tcbs[0]!
  const quiet = (promise: Promise<unknown>): void => void promise.catch(() => {})
  let reading: Promise<unknown> | null = null
  for (const each of actions) {
    switch (each.kind) {
      case 'segment': {
        if (peer.clock >= 0) peer.clock++
        const seq = (tcb.rcvNxt + each.seq) | 0
        const ack = (tcb.sndNxt + each.ack) | 0
        let bytes: Uint8Array
        if (each.option === 'own')
          bytes = peer.clock >= 0 ? timestamps(peer.clock, peer.lastTs) : new Uint8Array()
        else if (each.option === 'none') bytes = new Uint8Array()
        else if (each.option === 'old') bytes = timestamps(10, 10)
        else if (each.option === 'syn') bytes = synOptions({ mss: 5, windowScale: 2, sackPermitted: true })
        else if (each.option instanceof Uint8Array)
          bytes = Uint8Array.from((each.option as Uint8Array).slice(0, each.option.length & ~3))
        else {
          const blocks = each.option as [number, number][]
          bytes = sack(
            ...blocks.map(([from, n]): [number, number] => [tcb.sndUna + from, tcb.sndUna + from + n]),
          )
        }
        tun.push(
          segment({
            seq,
            ack,
            flags: each.flags,
            window: each.window,
            options: bytes,
            data: new Uint8Array(each.length),
            sport: peer.localPort,
            dport: peer.port,
          }),
        )
        bench.settle()
        break
      }
      case 'write':
        quiet(socket.write(new Uint8Array(each.length)))
        break
      case 'read':
        if (reading === null) {
          reading = socket.readInto(new Uint8Array(each.length)).then(
            () => (reading = null),
            () => (reading = null),
          )
        }
        break
      case 'pass':
        bench.pass(each.ms)
        break
      case 'end':
        socket.end()
        break
      case 'close':
        quiet(socket.close())
        break
      case 'reset':
        socket.reset()
        break
    }
    tun.take()
    check()
    await tick()
  }
  bench.pass(30 * 60_000)
  check()
  await bench.end()
}

describe('TCP state machine', function () {
  this.timeout(120_000)
  for (const opening of ['accept', 'connect'] as const) {
    for (const offered of [true, false]) {
      it(`breaks no invariant, whatever comes (${opening}, ${offered ? 'all options' : 'no options'})`, () =>
        fc.assert(
          fc.asyncProperty(fc.array(action, { maxLength: 40 }), (actions) => run(actions, opening, offered)),
          { numRuns: 150, seed: 7 },
        ))
    }
  }

  it('tcp-garbage: 3000 segments of random headers leave an open connection alone', async () => {
    const bench = new HostBench()
    const server = bench.stack.tcp.listen({ port: 80 })
    const peer = new RawPeer(bench, 80)
    peer.open()
    const socket = await server.accept()
    let x = 12345
    const random = (): number => (x = (Math.imul(x, 1664525) + 1013904223) >>> 0)
    for (let i = 0; i < 3000; i++) {
      const bytes = new Uint8Array(20 + (random() % 60)).map(() => random() >>> 24)
      const view = new DataView(bytes.buffer)
      view.setUint16(0, i % 2 === 0 ? 41000 : random() & 0xffff)
      view.setUint16(2, 80)
      if (i % 3 !== 0) bytes[12] = 0x50
      bench.tun.push(rechecksummed(bytes))
    }
    bench.settle()
    bench.tun.take()
    expect(socket.state).to.equal('ESTABLISHED')
    bench.pass(1000)
    bench.tun.take()
    peer.send({ seq: 1, ack: 1, data: [1] })
    expect(socket.readableLength).to.equal(1)
    bench.expectAlive()
    await bench.end()
  })
})

function rechecksummed(bytes: Uint8Array): Uint8Array {
  const whole = segment({})
  const packet = new Uint8Array(20 + bytes.length)
  packet.set(whole.subarray(0, 20))
  packet.set(bytes, 20)
  return fixed(packet)
}

/** Lengths and checksums put right, so that TCP gets to see it. */
function fixed(packet: Uint8Array): Uint8Array {
  const view = new DataView(packet.buffer)
  view.setUint16(2, packet.length)
  view.setUint16(10, 0)
  view.setUint16(10, sum(packet.subarray(0, 20), 0))
  view.setUint16(36, 0)
  const pseudo = new Uint8Array(12)
  pseudo.set(packet.subarray(12, 20))
  pseudo[9] = 6
  new DataView(pseudo.buffer).setUint16(10, packet.length - 20)
  view.setUint16(36, sum(packet.subarray(20), 0xffff - sum(pseudo, 0)))
  return packet
}

function sum(bytes: Uint8Array, first: number): number {
  let total = first
  for (let i = 0; i < bytes.length; i += 2) total += (bytes[i]! << 8) | (bytes[i + 1] ?? 0)
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16)
  return ~total & 0xffff
}
