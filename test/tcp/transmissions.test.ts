import { expect } from 'chai'
import fc from 'fast-check'
import { Delivery, MAX_TRANSMISSIONS, TransmissionStore, Transmissions } from '../../lib/tcp/transmissions.ts'

const MSS = 10

function make(una = 0): Transmissions {
  const transmissions = new Transmissions(new TransmissionStore())
  transmissions.mss = MSS
  transmissions.reset(una)
  return transmissions
}

/** `count` segments of MSS bytes, one each nanosecond from 1 on. */
function flight(count: number, una = 0): Transmissions {
  const transmissions = make(una)
  for (let i = 0; i < count; i++) {
    transmissions.add((una + i * MSS) | 0, (una + (i + 1) * MSS) | 0, 1, i + 1, 0, 0, 0, false)
  }
  return transmissions
}

/** What is lost and waits, as [from, to). */
function waiting(transmissions: Transmissions, now = 1000): [number, number][] {
  const found: [number, number][] = []
  for (let i = transmissions.nextLost(); i >= 0; i = transmissions.nextLost()) {
    const [from, to] = [transmissions.startOf(i), transmissions.endOf(i)]
    found.push([from, to])
    transmissions.retransmitted(from, to, now, 0, 0, 0)
  }
  return found
}

describe('Transmissions', () => {
  const delivery = new Delivery()

  it('tcp-sack-rexmit: what was sent before the latest that arrived is lost, and goes again once', () => {
    const sent = flight(8)
    sent.sack(10, 30, 0, delivery.clear(0, Infinity, sent.highestSacked))
    sent.sack(40, 80, 0, delivery)
    expect([delivery.bytes, delivery.rackOrder, delivery.rackEnd, sent.sackedBytes]).to.deep.equal([
      60, 8, 80, 60,
    ])
    expect(sent.detectLoss(8, 80, 5, 8)).to.equal(1) // sent at 4, lost after 5: at 9
    expect([sent.lostBytes, waiting(sent)]).to.deep.equal([10, [[0, 10]]])
    expect(sent.detectLoss(8, 80, 5, 9)).to.equal(0)
    expect(waiting(sent)).to.deep.equal([[30, 40]])
    expect([sent.lostBytes, sent.retransmittedBytes]).to.deep.equal([20, 20])
    expect(sent.detectLoss(8, 80, 5, 2000), 'copies were sent later').to.equal(0)
    expect(waiting(sent)).to.deep.equal([])
  })

  it('finds that a copy was lost as well', () => {
    const sent = flight(4)
    sent.sack(20, 40, 0, delivery.clear(0, Infinity, sent.highestSacked))
    sent.detectLoss(4, 40, 0, 10)
    expect(waiting(sent, 20)).to.deep.equal([
      [0, 10],
      [10, 20],
    ])
    // The second copy arrives; it was sent in the same nanosecond, but after the first.
    sent.sack(10, 20, 0, delivery.clear(0, Infinity, sent.highestSacked))
    expect([delivery.rackSentAt, delivery.retransmitted]).to.deep.equal([20, true])
    expect(sent.detectLoss(delivery.rackOrder, 20, 15, 30)).to.equal(5)
    expect(waiting(sent)).to.deep.equal([])
    sent.detectLoss(delivery.rackOrder, 20, 15, 35)
    expect(waiting(sent)).to.deep.equal([[0, 10]])
  })

  it('takes the RTT of the last that it looks at, and not of a copy that can’t have arrived', () => {
    const sent = flight(4)
    sent.sack(20, 40, 0, delivery.clear(9, Infinity, sent.highestSacked))
    expect([delivery.rackEnd, delivery.rackRtt]).to.deep.equal([40, 5])
    sent.detectLoss(4, 40, 0, 10)
    waiting(sent, 20) // copies of both
    sent.sack(10, 20, 0, delivery.clear(25, 19, sent.highestSacked))
    expect([delivery.rackSentAt, delivery.bytes], 'the original').to.deep.equal([-1, 10])
    sent.acknowledge(40, 0, delivery.clear(30, 25, sent.highestSacked))
    expect([delivery.rackSentAt, delivery.rackRtt], 'the copy of the first').to.deep.equal([20, 10])
  })

  it('cuts a super-segment where a part of it arrived, and joins what has arrived', () => {
    const sent = make()
    sent.add(0, 100, 10, 1, 0, 0, 0, false)
    sent.sack(30, 50, 0, delivery.clear(0, Infinity, sent.highestSacked))
    expect([sent.count, sent.sackedSegments, delivery.bytes]).to.deep.equal([3, 2, 20])
    sent.sack(50, 70, 0, delivery.clear(0, Infinity, sent.highestSacked))
    expect([sent.count, sent.sackedBytes, sent.sackedSegments]).to.deep.equal([3, 40, 4])
    sent.acknowledge(15, 0, delivery.clear(0, Infinity, sent.highestSacked))
    expect([sent.una, sent.count, delivery.bytes]).to.deep.equal([15, 3, 15])
    sent.acknowledge(60, 0, delivery.clear(0, Infinity, sent.highestSacked))
    expect([delivery.bytes, sent.sackedBytes, sent.sackedSegments]).to.deep.equal([15, 10, 1])
    sent.acknowledge(100, 0, delivery.clear(0, Infinity, sent.highestSacked))
    expect([delivery.bytes, sent.sackedBytes, sent.count]).to.deep.equal([30, 0, 0])
  })

  it('tells what came late, what is original, and how long it took', () => {
    const sent = flight(5)
    sent.sack(30, 40, 0, delivery.clear(0, Infinity, sent.highestSacked))
    expect([delivery.hasLate, delivery.sackedSentAt]).to.deep.equal([false, 4])
    sent.sack(10, 20, 50, delivery.clear(0, Infinity, sent.highestSacked))
    expect([delivery.hasLate, delivery.late, delivery.original]).to.deep.equal([true, 10, true])
    sent.acknowledge(30, 50, delivery.clear(0, Infinity, sent.highestSacked))
    expect([delivery.hasLate, delivery.late, delivery.oldestSentAt, delivery.newestSentAt]).to.deep.equal([
      true,
      0,
      1,
      3,
    ])
  })

  it('joins what is lost, so that it can be cut anew', () => {
    const sent = flight(6)
    sent.sack(20, 30, 0, delivery.clear(0, Infinity, sent.highestSacked))
    sent.loseAll()
    sent.joinLost()
    expect(waiting(sent)).to.deep.equal([
      [0, 20],
      [30, 60],
    ])
    expect(sent.count).to.equal(3)
  })

  it('hardening-11: holds so many records and no more, whatever comes', () => {
    const sent = make()
    for (let i = 0; i < 2 * MAX_TRANSMISSIONS; i++) sent.add(i, i + 1, 1, i, 0, 0, 0, false)
    expect(sent.count).to.equal(MAX_TRANSMISSIONS)
    for (let i = 1; i < 2 * MAX_TRANSMISSIONS; i += 2)
      sent.sack(i, i + 1, 0, delivery.clear(0, Infinity, sent.highestSacked))
    expect(sent.count).to.be.at.most(MAX_TRANSMISSIONS)
    sent.acknowledge(2 * MAX_TRANSMISSIONS, 0, delivery.clear(0, Infinity, sent.highestSacked))
    expect([sent.count, sent.sackedBytes, sent.lostBytes]).to.deep.equal([0, 0, 0])
  })

  it('hardening-23: an idle connection holds no columns', () => {
    const store = new TransmissionStore()
    const [one, two] = [new Transmissions(store), new Transmissions(store)]
    one.reset(0)
    one.add(0, 10, 1, 1, 0, 0, 0, false)
    one.acknowledge(10, 0, delivery.clear(0, Infinity, one.highestSacked))
    const columns = store.take(16)
    store.give(columns)
    two.reset(0)
    two.add(0, 10, 1, 1, 0, 0, 0, false)
    expect(store.take(16)).to.not.equal(columns)
  })

  it('property: agrees with a model that knows each byte', () => {
    interface Byte {
      order: number
      sacked: boolean
      lost: boolean
      copied: boolean
    }
    const step = fc.oneof(
      fc.record({ kind: fc.constant('send' as const), n: fc.integer({ min: 1, max: 45 }) }),
      fc.record({ kind: fc.constant('ack' as const), n: fc.nat(60) }),
      fc.record({ kind: fc.constant('sack' as const), n: fc.nat(80), m: fc.integer({ min: 1, max: 40 }) }),
      fc.record({ kind: fc.constant('detect' as const), n: fc.nat(20) }),
      fc.record({ kind: fc.constant('lose' as const) }),
      fc.record({ kind: fc.constant('resend' as const), n: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ kind: fc.constant('forget' as const) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.integer(), (steps, base) => {
        const sent = make(base)
        const bytes: Byte[] = []
        let una = 0
        let now = 1
        let order = 0
        const count = (what: (byte: Byte) => boolean): number => bytes.slice(una).filter(what).length
        for (const one of steps) {
          now++
          const out = bytes.length - una
          switch (one.kind) {
            case 'send': {
              const start = bytes.length
              sent.add(
                (base + start) | 0,
                (base + start + one.n) | 0,
                Math.ceil(one.n / MSS),
                now,
                0,
                0,
                0,
                false,
              )
              order++
              for (let i = 0; i < one.n; i++) bytes.push({ order, sacked: false, lost: false, copied: false })
              break
            }
            case 'ack': {
              const n = Math.min(one.n, out)
              const fresh = bytes.slice(una, una + n).filter(({ sacked }) => !sacked).length
              una += n
              sent.acknowledge((base + una) | 0, base, delivery.clear(0, Infinity, sent.highestSacked))
              expect(delivery.bytes).to.equal(fresh)
              break
            }
            case 'sack': {
              const left = una + Math.min(one.n, out)
              const right = Math.min(left + one.m, bytes.length)
              let fresh = 0
              for (let i = left; i < right; i++) {
                if (!bytes[i]!.sacked) fresh++
                Object.assign(bytes[i]!, { sacked: true, lost: false, copied: false })
              }
              if (left < right)
                expect(
                  sent.sack(
                    (base + left) | 0,
                    (base + right) | 0,
                    base,
                    delivery.clear(0, Infinity, sent.highestSacked),
                  ),
                ).to.equal(fresh)
              break
            }
            case 'detect': {
              const horizon = order - one.n
              sent.detectLoss(horizon, base, 0, now)
              for (const byte of bytes.slice(una)) {
                if (byte.sacked || (byte.lost && !byte.copied) || byte.order >= horizon) continue
                byte.lost = true
                byte.copied = false
              }
              break
            }
            case 'lose':
              sent.loseAll()
              for (const byte of bytes.slice(una)) {
                if (byte.sacked) continue
                byte.lost = true
                byte.copied = false
              }
              break
            case 'resend':
              for (let i = 0; i < one.n; i++) {
                const next = sent.nextLost()
                const expected = bytes.findIndex((byte, at) => at >= una && byte.lost && !byte.copied)
                expect(next < 0 ? -1 : (sent.startOf(next) - base) | 0).to.equal(expected)
                if (next < 0) break
                const from = sent.startOf(next)
                const length = Math.min(MSS, (sent.endOf(next) - from) | 0)
                sent.retransmitted(from, (from + length) | 0, now, 0, 0, 0)
                order++
                for (let j = 0; j < length; j++) Object.assign(bytes[expected + j]!, { copied: true, order })
              }
              break
            case 'forget':
              sent.forgetLost()
              for (const byte of bytes) byte.lost = false
              break
          }
          expect(sent.sackedBytes).to.equal(count(({ sacked }) => sacked))
          expect(sent.lostBytes).to.equal(count(({ lost }) => lost))
          expect(sent.retransmittedBytes).to.equal(count(({ copied }) => copied))
        }
      }),
      { numRuns: 500 },
    )
  })
})
