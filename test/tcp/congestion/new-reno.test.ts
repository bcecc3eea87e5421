import { expect } from 'chai'
import fc from 'fast-check'
import { Random } from '../../../lib/random/random.ts'
import { seededRandom } from '../../../lib/random/seeded.ts'
import { CONGESTION_CONTROLS } from '../../../lib/sysctl/tcp-settings.ts'
import { AckSample, type CongestionControl } from '../../../lib/tcp/congestion/congestion-control.ts'
import { congestionControl } from '../../../lib/tcp/congestion/registry.ts'
import { MILLISECOND, SECOND } from '../../../lib/time/clock.ts'

const MSS = 1000
const RANDOM = new Random(seededRandom(1))
const RTT = 100 * MILLISECOND

function make(mss = MSS): CongestionControl {
  const control = congestionControl('reno', RANDOM)
  control.setMss(mss)
  return control
}

function acknowledge(control: CongestionControl, acked: number, inFlightBefore: number): void {
  const sample = new AckSample()
  sample.acked = sample.delivered = acked
  sample.inFlightBefore = inFlightBefore
  sample.srtt = RTT
  control.onAck(sample)
}

/** A round trip: the whole window was on its way and is acknowledged in pieces of `piece` bytes. */
function round(control: CongestionControl, piece = MSS): void {
  const flight = Math.floor(control.cwnd / MSS) * MSS
  for (let left = flight; left > 0; left -= piece) {
    acknowledge(control, Math.min(piece, left), flight)
  }
}

describe('NewReno', () => {
  it('is what the names of the setting stand for', () => {
    for (const name of CONGESTION_CONTROLS) expect(congestionControl(name, RANDOM).name).to.equal(name)
  })

  it('tcp-iw: begins with ten segments, of whatever size, or with one if the SYN was lost', () => {
    const control = make(536)
    expect([control.cwnd, control.ssthresh]).to.deep.equal([5360, Infinity])
    control.setMss(1460)
    expect(control.cwnd).to.equal(14600)
    control.onHandshakeLoss()
    expect(control.cwnd).to.equal(1460)
    control.setMss(500)
    expect(control.cwnd).to.equal(500)
  })

  it('keeps its bytes when the segment size changes later on', () => {
    const control = make()
    round(control)
    control.setMss(500)
    expect(control.cwnd).to.equal(20 * MSS)
    control.onTimeout(20 * MSS, 0)
    control.setMss(2000)
    expect(control.cwnd).to.equal(2000)
  })

  it('doubles in a round trip below the threshold, and adds a segment above it', () => {
    const control = make()
    control.ssthresh = 25 * MSS
    const windows: number[] = []
    for (let i = 0; i < 5; i++) {
      round(control)
      windows.push(control.cwnd / MSS)
    }
    expect(windows).to.deep.equal([20, 25, 26, 27, 28])
  })

  it('grows as much by one acknowledgment of many segments as by many of one', () => {
    const [one, many] = [make(), make()]
    one.ssthresh = many.ssthresh = 40 * MSS
    for (let i = 0; i < 4; i++) {
      round(one)
      round(many, 10 * MSS)
    }
    // On the way to 40 the windows are the same; above it a round trip brings one segment.
    expect([one.cwnd, many.cwnd]).to.deep.equal([42 * MSS, 42 * MSS])
  })

  it('tcp-ack-split: gains one segment by a segment that is acknowledged in twenty pieces', () => {
    const control = make()
    const before = control.cwnd
    for (let i = 0; i < 20; i++) acknowledge(control, MSS / 20, 10 * MSS)
    expect(control.cwnd - before).to.equal(MSS)
    control.ssthresh = control.cwnd
    for (let i = 0; i < 20; i++) acknowledge(control, MSS / 20, 11 * MSS)
    expect(control.cwnd - before).to.equal(MSS)
  })

  it('tcp-ssthresh-fr: halves what was on its way, down to two segments', () => {
    const control = make()
    control.cwnd = 40 * MSS
    control.onCongestionEvent(30 * MSS, 0, 'loss')
    // The window follows by proportional rate reduction, and is not the algorithm's meanwhile.
    expect([control.cwnd, control.ssthresh]).to.deep.equal([40 * MSS, 15 * MSS])
    control.onRecoveryExit(0, 0)
    expect(control.cwnd).to.equal(15 * MSS)
    control.onCongestionEvent(3 * MSS, 0, 'loss')
    expect(control.ssthresh).to.equal(2 * MSS)
  })

  it('tcp-ssthresh-rto, tcp-rexmit-collapse: begins again with one segment, and slow start ends at half', () => {
    const control = make()
    control.cwnd = 40 * MSS
    control.onTimeout(20 * MSS, 0)
    expect([control.cwnd, control.ssthresh]).to.deep.equal([MSS, 10 * MSS])
    const windows: number[] = []
    for (let i = 0; i < 6; i++) {
      round(control)
      windows.push(control.cwnd / MSS)
    }
    expect(windows).to.deep.equal([2, 4, 8, 10, 11, 12])
    // The same segment once more: the threshold stays (RFC 5681 §3.1).
    control.onTimeout(MSS, 0, true)
    expect([control.cwnd, control.ssthresh]).to.deep.equal([MSS, 10 * MSS])
  })

  it('tcp-idle-restart: halves for each timeout without a word, down to the initial window', () => {
    const control = make()
    control.cwnd = 80 * MSS
    control.ssthresh = 20 * MSS
    control.onIdle(1.5 * SECOND, SECOND)
    expect([control.cwnd, control.ssthresh]).to.deep.equal([40 * MSS, 60 * MSS])
    control.onIdle(3600 * SECOND, SECOND)
    expect(control.cwnd).to.equal(10 * MSS)
    control.onTimeout(2 * MSS, 0)
    control.onIdle(3600 * SECOND, SECOND)
    expect(control.cwnd).to.equal(MSS)
  })

  it('tcp-optimistic-ack: does not grow while less than half of it is used', () => {
    const control = make()
    for (let i = 0; i < 100; i++) acknowledge(control, MSS, 4 * MSS)
    expect(control.cwnd).to.equal(10 * MSS)
    control.ssthresh = 5 * MSS
    for (let i = 0; i < 100; i++) acknowledge(control, MSS, 5 * MSS)
    expect(control.cwnd).to.equal(10 * MSS)
    for (let i = 0; i < 10; i++) acknowledge(control, MSS, 6 * MSS)
    expect(control.cwnd).to.equal(11 * MSS)
  })

  it('counts the fullest moment when acknowledgments come in a heap', () => {
    const control = make()
    for (let left = 10; left > 0; left--) acknowledge(control, MSS, left * MSS)
    expect(control.cwnd).to.equal(20 * MSS)
  })

  it('property: never below a segment, and never grows by more than was acknowledged', () => {
    const event = fc.record({
      kind: fc.constantFrom('ack', 'ack', 'ack', 'loss', 'exit', 'timeout', 'idle', 'mss'),
      n: fc.nat(100_000),
      flight: fc.nat(200_000),
    })
    fc.assert(
      fc.property(fc.array(event, { maxLength: 100 }), (events) => {
        const control = make()
        let mss = MSS
        for (const { kind, n, flight } of events) {
          const { cwnd, ssthresh } = control
          if (kind === 'ack') {
            acknowledge(control, n, flight)
            expect(control.cwnd - cwnd).to.be.within(0, cwnd < ssthresh ? n : (n / cwnd + 1) * mss)
          } else if (kind === 'loss') {
            control.onCongestionEvent(flight, 0, 'loss')
            expect(control.ssthresh).to.equal(Math.max(Math.floor(flight / 2), 2 * mss))
            expect(control.cwnd).to.equal(cwnd)
          } else if (kind === 'exit') {
            control.onRecoveryExit(flight, 0)
            expect(control.cwnd).to.equal(Math.max(Math.min(cwnd, ssthresh), mss))
          } else if (kind === 'timeout') {
            control.onTimeout(flight, 0)
            expect(control.cwnd).to.equal(mss)
          } else if (kind === 'idle') {
            control.onIdle(n * MILLISECOND, SECOND)
            expect(control.cwnd).to.be.at.most(cwnd)
          } else {
            mss = 100 + (n % 9000)
            control.setMss(mss)
          }
          expect(control.cwnd).to.be.at.least(mss)
        }
      }),
    )
  })
})
