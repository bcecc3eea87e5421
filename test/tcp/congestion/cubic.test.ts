import { expect } from 'chai'
import fc from 'fast-check'
import { AckSample } from '../../../lib/tcp/congestion/congestion-control.ts'
import { Cubic } from '../../../lib/tcp/congestion/cubic.ts'
import { MILLISECOND, SECOND } from '../../../lib/time/clock.ts'

const MSS = 1000
const RTT = 100 * MILLISECOND

/** A path that acknowledges the whole window, segment by segment, once in a round trip. */
class Path {
  readonly control = new Cubic()
  now = 0
  rtt: number
  #una = 0
  #nxt = 0

  constructor(rtt = RTT) {
    this.rtt = rtt
    this.control.setMss(MSS)
  }

  get window(): number {
    return this.control.cwnd / MSS
  }

  round(pieces = 0): void {
    const flight = Math.floor(this.window)
    const step = pieces === 0 ? 1 : Math.ceil(flight / pieces)
    this.#nxt += flight
    const end = this.#nxt
    for (let left = flight; left > 0; left -= step) {
      const segments = Math.min(step, left)
      this.now += (this.rtt / flight) * segments
      this.#una += segments
      const sample = new AckSample()
      sample.now = this.now
      sample.acked = sample.delivered = segments * MSS
      sample.inFlightBefore = flight * MSS
      sample.rtt = sample.srtt = sample.minRtt = this.rtt
      sample.sndUna = this.#una
      sample.sndNxt = end
      this.control.onAck(sample)
    }
  }

  loss(): void {
    this.control.onCongestionEvent(this.control.cwnd, this.now, 'loss')
    this.control.cwnd = this.control.ssthresh
    this.control.onRecoveryExit(0, this.now)
  }
}

describe('Cubic', () => {
  it('takes three tenths of the window for a loss, and two segments at least', () => {
    const { control } = new Path()
    control.cwnd = 100 * MSS
    control.onCongestionEvent(100 * MSS, 0, 'loss')
    expect(control.ssthresh).to.equal(70 * MSS)
    control.onCongestionEvent(1000, 0, 'loss')
    expect(control.ssthresh).to.equal(2 * MSS)
  })

  it('is back at the window of the loss after K seconds, flat there and steep beyond (RFC 9438 §4.2)', () => {
    const path = new Path()
    path.control.cwnd = 1000 * MSS
    path.loss()
    const k = Math.cbrt((1000 - 700) / 0.4)
    const windows: [number, number][] = []
    const start = path.now
    while (path.now - start < 2 * k * SECOND) {
      path.round()
      windows.push([(path.now - start) / SECOND, path.window])
    }
    const at = (seconds: number): number => windows.find(([time]) => time >= seconds)![1]
    expect(at(k)).to.be.within(990, 1010)
    expect(at(k) - at(k - 1)).to.be.below(10)
    for (const [time, window] of windows) {
      // A window follows the curve by a round trip at most.
      const curve = (seconds: number): number => 0.4 * (seconds - k) ** 3 + 1000
      expect(window, `${time} s`).to.be.within(curve(time - 0.2) - 1, curve(time + 0.2) + 1)
    }
  })

  it('leaves room for whoever has come, when it loses before it was back (fast convergence, §4.7)', () => {
    const path = new Path()
    path.control.cwnd = 1000 * MSS
    path.loss()
    path.round()
    const window = path.window
    expect(window).to.be.below(1000)
    path.loss()
    const plateau = (window * 1.7) / 2
    const k = Math.cbrt((plateau - path.window) / 0.4)
    const start = path.now
    while (path.now - start < k * SECOND) path.round()
    expect(path.window).to.be.within(plateau - 10, plateau + 10)
  })

  it('grows as Reno does where that is faster (§4.3)', () => {
    const path = new Path(5 * MILLISECOND)
    path.control.cwnd = 20 * MSS
    path.loss()
    const before = path.window
    const rounds = 20
    for (let i = 0; i < rounds; i++) path.round()
    const alpha = (3 * 0.3) / 1.7
    expect(path.window - before).to.be.within(alpha * rounds * 0.8, alpha * rounds * 1.5 + 1)
  })

  it('grows as much by a few acknowledgments of many segments as by many of one', () => {
    const [one, many] = [new Path(), new Path()]
    for (const path of [one, many]) {
      path.control.cwnd = 500 * MSS
      path.loss()
    }
    for (let i = 0; i < 30; i++) {
      one.round()
      many.round(8)
    }
    expect(many.window / one.window).to.be.within(0.98, 1.02)
  })

  it('does not count time in which the window was not used', () => {
    const path = new Path()
    path.control.cwnd = 500 * MSS
    path.loss()
    path.round()
    const before = path.window
    const sample = new AckSample()
    for (let i = 0; i < 100; i++) {
      sample.now = path.now += RTT
      sample.delivered = sample.acked = MSS
      sample.inFlightBefore = 2 * MSS
      sample.srtt = RTT
      path.control.onAck(sample)
    }
    path.round()
    expect(path.window - before).to.be.below(40)
  })

  it('leaves slow start when the RTT grows from round to round, and not for a single jump (HyStart++, RFC 9406)', () => {
    const path = new Path()
    path.round()
    path.round()
    expect([path.window, path.control.ssthresh]).to.deep.equal([40, Infinity])
    path.rtt += 20 * MILLISECOND
    path.round()
    const conservative = path.window
    expect(conservative).to.be.within(50, 80)
    path.rtt -= 20 * MILLISECOND
    path.round()
    expect(path.window).to.be.above(1.5 * conservative)
    for (let i = 0; i < 9; i++) {
      path.rtt += 20 * MILLISECOND
      path.round()
    }
    expect(path.control.ssthresh).to.be.below(Infinity)
    const { window } = path
    path.round()
    expect(path.window).to.be.below(1.1 * window)
  })

  it('goes back to where it was if the reduction was a mistake', () => {
    const path = new Path()
    path.control.cwnd = 200 * MSS
    path.control.onCongestionEvent(200 * MSS, 0, 'loss')
    path.control.cwnd = 150 * MSS
    path.control.onUndo(200 * MSS, Infinity, 0)
    expect([path.control.cwnd, path.control.ssthresh]).to.deep.equal([200 * MSS, Infinity])
  })

  it('property: never below a segment, and in avoidance no faster than slow start by half', () => {
    const event = fc.record({
      kind: fc.constantFrom('ack', 'ack', 'ack', 'loss', 'timeout', 'idle', 'mss', 'undo'),
      n: fc.integer({ min: 1, max: 100_000 }),
      time: fc.nat(2_000),
    })
    fc.assert(
      fc.property(fc.array(event, { maxLength: 100 }), (events) => {
        const control = new Cubic()
        let mss = MSS
        control.setMss(mss)
        let now = 0
        let una = 0
        for (const { kind, n, time } of events) {
          now += time * MILLISECOND
          const { cwnd, ssthresh } = control
          switch (kind) {
            case 'ack': {
              const sample = new AckSample()
              sample.now = now
              sample.acked = sample.delivered = Math.min(n, cwnd)
              sample.inFlightBefore = cwnd
              sample.rtt = sample.srtt = sample.minRtt = RTT
              sample.sndUna = una += n
              sample.sndNxt = una + cwnd
              control.onAck(sample)
              expect(control.cwnd).to.be.at.least(cwnd)
              const most = cwnd < ssthresh ? 1.5 * n : 0.5 * sample.acked + 1.5 * mss
              expect(control.cwnd - cwnd).to.be.at.most(Math.max(most, 2 * mss) + cwnd * 0.5)
              break
            }
            case 'loss':
              control.onCongestionEvent(cwnd, now, 'loss')
              control.cwnd = control.ssthresh
              break
            case 'timeout':
              control.onTimeout(cwnd, now)
              expect(control.cwnd).to.equal(mss)
              break
            case 'idle':
              control.onIdle(n * MILLISECOND, 200 * MILLISECOND)
              break
            case 'mss':
              mss = 500 + (n % 1000)
              control.setMss(mss)
              break
            case 'undo':
              control.onUndo(cwnd, ssthresh, now)
          }
          expect(control.cwnd).to.be.at.least(Math.min(mss, cwnd))
          expect(Number.isFinite(control.cwnd)).to.equal(true)
        }
      }),
    )
  })
})
