import { expect } from 'chai'
import fc from 'fast-check'
import { BURST_FACTOR, IcmpRateLimit } from '../../lib/ipv4/token-bucket.ts'
import { Random } from '../../lib/random/random.ts'
import { seededRandom } from '../../lib/random/seeded.ts'
import { HalfSipHash } from '../../lib/random/siphash.ts'
import { MILLISECOND, SECOND } from '../../lib/time/clock.ts'

function setUp(destinations = 4096, seed = 1) {
  const sysctl = { icmp_ratelimit: 1000, icmp_msgs_per_sec: 1000, icmp_msgs_burst: 50 }
  const random = new Random(seededRandom(seed))
  const limit = new IcmpRateLimit({ sysctl, hash: new HalfSipHash(3, 4), random, destinations })
  /** How many of `tries` messages pass the global limit at one moment. */
  const globally = (tries: number, now: number): number => {
    let sent = 0
    for (let i = 0; i < tries; i++) {
      if (!limit.allowGlobal(now)) continue
      limit.consumeGlobal()
      sent++
    }
    return sent
  }
  const to = (address: number, tries: number, now: number): number => {
    let sent = 0
    for (let i = 0; i < tries; i++) if (limit.allowDestination(address, now)) sent++
    return sent
  }
  return { limit, sysctl, globally, to }
}

describe('IcmpRateLimit', () => {
  it('icmp-ratelimit, hardening-13: six at once to one destination, then one per icmp_ratelimit', () => {
    const { to } = setUp()
    expect(BURST_FACTOR).to.equal(6)
    expect(to(1, 1000, 0)).to.equal(6)
    expect(to(1, 10, 999 * MILLISECOND)).to.equal(0)
    expect(to(1, 10, SECOND)).to.equal(1)
    expect(to(1, 10, 4.5 * SECOND)).to.equal(3)
    expect(to(1, 10, 5 * SECOND)).to.equal(1) // the half second counted
    expect(to(1, 1000, 500 * SECOND)).to.equal(6)
    expect(to(2, 1000, 0)).to.equal(6)
  })

  it('has no limit per destination with icmp_ratelimit 0, and follows a change', () => {
    const { to, sysctl } = setUp()
    sysctl.icmp_ratelimit = 0
    expect(to(1, 1000, 0)).to.equal(1000)
    sysctl.icmp_ratelimit = 100
    expect(to(1, 1000, 0)).to.equal(0) // as in Linux nothing was left in its bucket
    expect(to(1, 1000, SECOND / 5)).to.equal(2)
    expect(to(2, 1000, 0)).to.equal(6)
  })

  it('"no route" is paid for twice out of one bucket, so that two go at once, as from Linux', () => {
    const { limit } = setUp()
    const report = (now: number): boolean =>
      limit.take(1, now, SECOND, 5 * SECOND) && limit.allowDestination(1, now)
    expect([report(0), report(0), report(0), report(0)]).to.deep.equal([true, true, false, false])
    expect(report(SECOND)).to.equal(false) // the first second pays for one of the two
    expect(report(3 * SECOND)).to.equal(true)
  })

  it('limits all together to the burst, then to icmp_msgs_per_sec, in steps of 20 ms', () => {
    const { globally } = setUp()
    const burst = globally(10_000, 0)
    expect(burst).to.be.within(25, 100)
    expect(globally(1000, 19 * MILLISECOND)).to.equal(0)
    expect(globally(1000, 20 * MILLISECOND)).to.be.within(5, 45)
    let sent = 0
    for (let ms = 40; ms < 10_040; ms += 20) sent += globally(100, ms * MILLISECOND)
    expect(sent).to.be.within(9000, 11_000)
  })

  it('blurs the global credit, so that it cannot be counted from outside (CVE-2020-25705)', () => {
    const bursts = new Set<number>()
    for (let seed = 1; seed <= 20; seed++) bursts.add(setUp(16, seed).globally(10_000, 0))
    expect(bursts.size).to.be.above(5)
  })

  it('sends nothing with icmp_msgs_per_sec 0', () => {
    const { globally, sysctl } = setUp()
    sysctl.icmp_msgs_per_sec = 0
    expect(globally(100, SECOND)).to.equal(0)
  })

  it('forgets the destination longest unused of a set when it is full', () => {
    const { to } = setUp(4)
    for (let address = 1; address <= 4; address++) expect(to(address, 10, address)).to.equal(6)
    expect(to(1, 1, 5)).to.equal(0)
    expect(to(5, 10, 6)).to.equal(6) // in the place of 2
    for (const address of [1, 3, 4, 5]) expect(to(address, 1, 7)).to.equal(0)
    expect(to(2, 10, 8)).to.equal(6)
  })

  it('never sends a destination more than burst and rate allow (property)', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(3000), { minLength: 1, maxLength: 300 }), (gaps) => {
        const { limit } = setUp()
        let now = 0
        let sent = 0
        for (const gap of gaps) {
          now += gap * MILLISECOND
          if (limit.allowDestination(0x0a000001, now)) sent++
          expect(sent).to.be.at.most(BURST_FACTOR + Math.floor(now / SECOND))
        }
      }),
      { numRuns: 100 },
    )
  })
})
