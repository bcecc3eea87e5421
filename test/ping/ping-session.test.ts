import { expect } from 'chai'
import { MILLISECOND, type PingResult, VirtualClock } from '../../lib/index.ts'
import type { PingEndpoint } from '../../lib/ping/ping-endpoint.ts'
import { PingSession } from '../../lib/ping/ping-session.ts'
import { TimerWheel } from '../../lib/time/timer-wheel.ts'

/** A session on an endpoint that only counts: no packets, so that a hundred thousand requests take no time. */
function start(
  timing: { count: number; timeout: number; keep: number },
  onProbe?: (sequence: number) => void,
) {
  const clock = new VirtualClock()
  const sent: number[] = []
  let closed = 0
  let announced = false
  const endpoint = {
    send: (sequence: number) => {
      sent[0] = sequence
      return 0
    },
    announce: () => {
      announced = true
    },
    close: () => closed++,
  } as unknown as PingEndpoint
  let result: PingResult | undefined
  const session = new PingSession(
    endpoint,
    0x7f000001,
    new Uint8Array(0),
    { interval: 1, ...timing },
    new TimerWheel(clock),
    () => clock.now(),
    {
      done: (value) => {
        result = value
      },
      failed: (error) => {
        throw error
      },
    },
    onProbe === undefined ? undefined : ({ sequence }) => onProbe(sequence),
  )
  session.start()
  return {
    session,
    clock,
    /** The sequence number that was sent last. */
    last: () => sent[0]!,
    reply: (sequence: number) => session.received(sequence, 0x7f000001, 64, new Uint8Array(0), 0, 0),
    next: () => {
      clock.advance(MILLISECOND)
      if (announced) session.deliverEvents()
      announced = false
    },
    closed: () => closed,
    result: () => result,
  }
}

describe('ping sessions', () => {
  it('go on past 65536 requests, whose sequence numbers come round', () => {
    const run = start({ count: 65_600, timeout: 1000, keep: 10 })
    for (let i = 1; i <= 65_600; i++) {
      expect(run.last()).to.equal(i & 0xffff)
      run.reply(run.last())
      run.next()
    }
    const { received, duplicates, probes } = run.result()!
    expect([received, duplicates]).to.deep.equal([65_600, 0])
    expect(probes.map(({ sequence }) => sequence)).to.deep.equal([...Array(10).keys()].map((i) => 65_591 + i))
    expect(run.closed()).to.equal(1)
  })

  it('give up a request whose sequence number is taken again while it still waits', () => {
    const settled: number[] = []
    const run = start({ count: Number.POSITIVE_INFINITY, timeout: 0x7fffffff, keep: 5 }, (each) =>
      settled.push(each),
    )
    for (let i = 0; i < 65_540; i++) run.next()
    run.session.stop()
    expect(settled.slice(0, 5)).to.deep.equal([1, 2, 3, 4, 5])
    expect(settled).to.have.length(65_541)
    expect(run.result()).to.include({ transmitted: 65_541, received: 0, loss: 1 })
  })

  it('know duplicates of the probes that are kept, and forget those of the others', () => {
    const run = start({ count: Number.POSITIVE_INFINITY, timeout: 1000, keep: 3 })
    for (let i = 1; i <= 6; i++) {
      run.reply(i)
      run.next()
    }
    for (let i = 1; i <= 6; i++) run.reply(i)
    run.session.stop()
    expect(run.result()).to.include({ transmitted: 7, received: 6, duplicates: 2 })
    expect(run.result()!.probes.map(({ duplicates }) => duplicates)).to.deep.equal([1, 1, 0])
  })

  it('stop once', () => {
    const run = start({ count: 5, timeout: 10, keep: 5 })
    run.session.stop()
    run.session.stop()
    run.session.stopped()
    run.session.deliverEvents()
    for (let i = 0; i < 30; i++) run.next()
    expect(run.closed()).to.equal(1)
    expect(run.result()!.transmitted).to.equal(1)
  })
})
