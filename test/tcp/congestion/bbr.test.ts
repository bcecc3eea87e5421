import { expect } from 'chai'
import fc from 'fast-check'
import { Random } from '../../../lib/random/random.ts'
import { seededRandom } from '../../../lib/random/seeded.ts'
import { type Simulation, simulate } from '../../../lib/sim/index.ts'
import { Bbr } from '../../../lib/tcp/congestion/bbr.ts'
import { AckSample } from '../../../lib/tcp/congestion/congestion-control.ts'
import { MILLISECOND, SECOND } from '../../../lib/time/clock.ts'

const MSS = 1000
const RTT = 40 * MILLISECOND
/** Bytes per nanosecond: 10 Mbit/s. */
const RATE = 1.25e6 / SECOND

interface Sent {
  sentAt: number
  arrives: number
  delivered: number
  deliveredAt: number
  firstSentAt: number
}

/** A path with an unlimited queue, which a sender that is always paced and never out of data fills. */
class Path {
  readonly control = new Bbr(new Random(seededRandom(1)))
  now: number = SECOND
  rtt = RTT
  delivered = 0
  #sent = 0
  /** When the bottleneck is done with what was sent. */
  #free = 0
  #next: number = SECOND
  readonly #flight: Sent[] = []
  #deliveredAt = 0
  #firstSentAt = 0

  constructor() {
    this.control.setMss(MSS)
  }

  get inFlight(): number {
    return this.#flight.length * MSS
  }

  /** Until `until`, a segment at a time. */
  run(until: number, seen: () => void = () => {}): void {
    const { control } = this
    while (this.now < until) {
      const first = this.#flight[0]
      const maySend = this.inFlight < control.cwnd
      if (maySend && (first === undefined || this.#next <= first.arrives)) {
        this.now = Math.max(this.now, this.#next)
        if (this.#flight.length === 0) this.#firstSentAt = this.#deliveredAt = this.now
        this.#free = Math.max(this.#free, this.now) + MSS / RATE
        this.#sent += MSS
        this.#flight.push({
          sentAt: this.now,
          arrives: this.#free + this.rtt,
          delivered: this.delivered,
          deliveredAt: this.#deliveredAt,
          firstSentAt: this.#firstSentAt,
        })
        this.#next = this.now + (MSS * SECOND) / control.pacingRate
        continue
      }
      this.#acknowledge(this.#flight.shift()!)
      seen()
    }
  }

  #acknowledge(segment: Sent): void {
    this.now = Math.max(this.now, segment.arrives)
    this.delivered += MSS
    this.#deliveredAt = this.now
    this.#firstSentAt = Math.max(this.#firstSentAt, segment.sentAt)
    const sample = new AckSample()
    sample.now = this.now
    sample.acked = sample.delivered = MSS
    sample.rtt = this.now - segment.sentAt
    sample.srtt = sample.rtt
    sample.inFlight = this.inFlight
    sample.inFlightBefore = this.inFlight + MSS
    sample.totalDelivered = this.delivered
    sample.priorDelivered = segment.delivered
    sample.interval = Math.max(segment.sentAt - segment.firstSentAt, this.now - segment.deliveredAt)
    this.control.onAck(sample)
  }
}

describe('Bbr', () => {
  it('learns rate and RTT of a path, and keeps to them', () => {
    const path = new Path()
    path.run(5 * SECOND)
    const { control } = path
    expect(control.mode).to.equal('probe_bw')
    expect(control.bandwidth / (RATE * SECOND)).to.be.within(0.95, 1.05)
    expect(control.minRtt / RTT).to.be.within(1, 1.1)
    // Two products, and what leaves at once.
    expect(control.cwnd / (RATE * RTT)).to.be.within(1.9, 2.4)
    const before = path.delivered
    path.run(10 * SECOND)
    expect((path.delivered - before) / (5 * SECOND * RATE)).to.be.above(0.94)
  })

  it('goes through its modes: startup until three rounds bring no more, drain until the queue is gone', () => {
    const path = new Path()
    const modes: string[] = []
    path.run(3 * SECOND, () => {
      if (modes.at(-1) !== path.control.mode) modes.push(path.control.mode)
      if (path.control.mode === 'drain') expect(path.control.pacingRate).to.be.below(0.4 * RATE * SECOND)
    })
    expect(modes).to.deep.equal(['startup', 'drain', 'probe_bw'])
  })

  it('cycles its rate: a quarter more, a quarter less, six round trips even', () => {
    const path = new Path()
    path.run(3 * SECOND)
    const gains = new Map<number, number>()
    path.run(9 * SECOND, () => {
      const gain = Math.round((path.control.pacingRate / path.control.bandwidth / 0.99) * 100) / 100
      gains.set(gain, (gains.get(gain) ?? 0) + 1)
    })
    expect([...gains.keys()].sort()).to.deep.equal([0.75, 1, 1.25])
    expect(gains.get(1)!).to.be.above(4 * gains.get(1.25)!)
  })

  it('lets the queue run empty when the RTT was not seen for ten seconds: four segments, for 200 ms', () => {
    const path = new Path()
    path.run(3 * SECOND)
    path.rtt = 1.2 * RTT // it became longer: the old one does not come again
    let [begun, ended] = [0, 0]
    path.run(16 * SECOND, () => {
      if (path.control.mode === 'probe_rtt') {
        begun ||= path.now
        ended = path.now
        expect(path.control.cwnd).to.equal(4 * MSS)
      }
    })
    expect((ended - begun) / MILLISECOND).to.be.within(200, 400)
    expect(path.control.minRtt / (1.2 * RTT)).to.be.within(1, 1.1)
    expect(path.control.mode).to.equal('probe_bw')
  })

  it('property: whatever acknowledgments say, window and rate are numbers, and four segments may go', () => {
    const event = fc.record({
      kind: fc.constantFrom('ack', 'ack', 'ack', 'ack', 'congestion', 'timeout', 'undo', 'idle', 'exit'),
      elapsed: fc.integer({ min: 0, max: 3 * SECOND }),
      delivered: fc.integer({ min: 0, max: 100_000 }),
      lost: fc.integer({ min: 0, max: 100_000 }),
      inFlight: fc.integer({ min: 0, max: 10_000_000 }),
      rtt: fc.oneof(fc.constant(-1), fc.integer({ min: 0, max: SECOND })),
      prior: fc.integer({ min: 0, max: 1_000_000 }),
      interval: fc.oneof(fc.constant(-1), fc.integer({ min: 1, max: SECOND })),
      isAppLimited: fc.boolean(),
      inRecovery: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const control = new Bbr(new Random(seededRandom(1)))
        control.setMss(MSS)
        let now = 0
        let total = 0
        for (const { kind, elapsed, prior, ...told } of events) {
          now += elapsed
          if (kind === 'ack') {
            total += told.delivered
            const sample = Object.assign(new AckSample(), told, {
              now,
              acked: told.delivered,
              totalDelivered: total,
            })
            sample.priorDelivered = Math.max(0, total - prior)
            sample.srtt = Math.max(0, told.rtt)
            control.onAck(sample)
            expect(control.cwnd).to.be.at.least(4 * MSS)
          } else if (kind === 'congestion') control.onCongestionEvent(told.inFlight, now, 'loss')
          else if (kind === 'timeout') control.onTimeout(told.inFlight, now, told.inRecovery)
          else if (kind === 'undo') control.onUndo()
          else if (kind === 'idle') control.onSendStart(now, told.isAppLimited, Math.max(0, told.rtt))
          else control.onRecoveryExit()
          // Megabytes that were delivered in a nanosecond give rates beyond what is counted exactly.
          expect(control.cwnd).to.be.within(MSS, 1e18)
          expect(control.pacingRate).to.be.within(1, 1e18)
        }
      }),
    )
  })
})

describe('BBR over simulated paths', function () {
  this.slow(5000)
  let net: Simulation
  afterEach(() => net.close())

  /** Bytes that each flow has brought through, and the last one's smoothed RTT in ms, after so many seconds. */
  async function flows(
    algorithms: readonly string[],
    link: { loss?: number; queue: number | 'codel' },
    seconds: number,
  ): Promise<{ bytes: number[]; rtt: number }> {
    net = simulate({ seed: 5, record: 0 })
    const [router, b] = [net.host('10.0.0.1/24'), net.host('10.0.0.2/24')]
    const { loss = 0, queue } = link
    net.link(router, b, { delay: '20ms', forward: { delay: '20ms', rate: '10mbit', loss, queue } })
    const bytes = algorithms.map(() => 0)
    let rtt = 0
    await net.run(async () => {
      for (const [i, congestion] of algorithms.entries()) {
        const server = b.tcp.listen({ port: 9 + i })
        const options = { address: '10.0.0.2', port: 9 + i, congestion: congestion as 'bbr' }
        const socket = await router.tcp.connect(options)
        const receiver = await server.accept()
        const chunk = new Uint8Array(65536)
        void (async () => {
          for (;;) await socket.write(chunk)
        })().catch(() => {})
        void (async () => {
          const buffer = new Uint8Array(65536)
          for (;;) bytes[i]! += await receiver.readInto(buffer)
        })().catch(() => {})
        setRtt = () => socket.info.rtt / 1000
      }
      await net.sleep(seconds * 1000)
      rtt = setRtt()
    })
    return { bytes, rtt }
  }
  let setRtt: () => number

  it('leaves the buffer of a bottleneck alone, which CUBIC fills', async () => {
    const bbr = await flows(['bbr'], { queue: 200 }, 8)
    await net.close()
    const cubic = await flows(['cubic'], { queue: 200 }, 8)
    expect(bbr.bytes[0]! / (8 * 1.25e6)).to.be.above(0.85)
    expect(bbr.rtt).to.be.below(70)
    expect(cubic.rtt).to.be.above(150)
  })

  it('does not take loss for congestion', async () => {
    const bbr = await flows(['bbr'], { queue: 50, loss: 0.03 }, 8)
    await net.close()
    const cubic = await flows(['cubic'], { queue: 50, loss: 0.03 }, 8)
    expect(bbr.bytes[0]! / (8 * 1.25e6)).to.be.above(0.8)
    expect(bbr.bytes[0]!).to.be.above(3 * cubic.bytes[0]!)
  })

  it('two share a bottleneck', async () => {
    const { bytes } = await flows(['bbr', 'bbr'], { queue: 50 }, 40)
    const [one, two] = bytes as [number, number]
    expect((one + two) / (40 * 1.25e6)).to.be.above(0.9)
    // Jain's index of two.
    expect((one + two) ** 2 / (2 * (one ** 2 + two ** 2))).to.be.above(0.9)
  })
})
