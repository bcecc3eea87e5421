import { expect } from 'chai'
import fc from 'fast-check'
import { Random } from '../../lib/random/random.ts'
import { seededRandom } from '../../lib/random/seeded.ts'
import {
  ChallengeAck,
  ChallengeAckLimit,
  isLoopProne,
  type OutOfWindowClock,
} from '../../lib/tcp/challenge-ack.ts'
import { MILLISECOND, SECOND } from '../../lib/time/clock.ts'
import { TcpFlag } from '../../lib/wire/tcp.ts'

const connection = (): OutOfWindowClock => ({ lastOutOfWindowAck: -Infinity })

function make(limit = 2147483647, pause = 500): ChallengeAckLimit {
  const sysctl = { tcp_invalid_ratelimit: pause, tcp_challenge_ack_limit: limit }
  return new ChallengeAckLimit(sysctl, new Random(seededRandom(1)))
}

/** How many connections of a thousand may answer within second `s`. */
function answers(limit: ChallengeAckLimit, s: number): number {
  const asked = Array.from({ length: 1000 }, () => limit.request(connection(), s * SECOND))
  expect(asked).to.not.include(ChallengeAck.SKIPPED)
  return asked.filter((answer) => answer === ChallengeAck.SEND).length
}

describe('ChallengeAckLimit', () => {
  it('gives each connection one answer in half a second, whatever kind (hardening-3)', () => {
    const limit = make()
    const [one, other] = [connection(), connection()]
    expect(limit.request(one, 0)).to.equal(ChallengeAck.SEND)
    expect(limit.request(one, 499 * MILLISECOND)).to.equal(ChallengeAck.SKIPPED)
    expect(limit.skipAnswer(one, 499 * MILLISECOND)).to.equal(true)
    // What one connection spends tells nothing about another.
    expect(limit.request(other, 499 * MILLISECOND)).to.equal(ChallengeAck.SEND)
    expect(limit.skipAnswer(one, 500 * MILLISECOND)).to.equal(false)
    expect(limit.request(one, 999 * MILLISECOND)).to.equal(ChallengeAck.SKIPPED)
    expect(limit.request(one, 1000 * MILLISECOND)).to.equal(ChallengeAck.SEND)
  })

  it('has no limit for the whole host unless there is a setting', () => {
    expect(answers(make(), 0)).to.equal(1000)
    expect(answers(make(0), 0)).to.equal(0)
  })

  it('blurs the limit of the host, anew each second (hardening-3)', () => {
    const limit = make(100)
    const counts = Array.from({ length: 60 }, (_, s) => answers(limit, s))
    for (const count of counts) expect(count).to.be.within(50, 149)
    expect(new Set(counts).size).to.be.greaterThan(20)
    expect(limit.request(connection(), 59.9 * SECOND)).to.equal(ChallengeAck.HOST_LIMIT)
  })

  it('knows no limit of time if that is 0', () => {
    const limit = make(undefined, 0)
    const one = connection()
    for (let i = 0; i < 5; i++) expect(limit.request(one, 7)).to.equal(ChallengeAck.SEND)
  })

  it('holds for segments that a loop could be made of', () => {
    expect(isLoopProne(TcpFlag.ACK, 0)).to.equal(true)
    expect(isLoopProne(TcpFlag.ACK, 10)).to.equal(false)
    expect(isLoopProne(TcpFlag.ACK | TcpFlag.FIN, 1)).to.equal(false)
    expect(isLoopProne(TcpFlag.SYN, 1)).to.equal(true)
  })

  it('property: never answers one connection twice within the time', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(700), { maxLength: 50 }), (steps) => {
        const limit = make()
        const one = connection()
        const sent: number[] = []
        let now = 0
        for (const step of steps) {
          now += step * MILLISECOND
          const last = sent.at(-1)
          const allowed = limit.request(one, now) === ChallengeAck.SEND
          expect(allowed).to.equal(last === undefined || now - last >= 500 * MILLISECOND)
          if (allowed) sent.push(now)
        }
      }),
    )
  })
})
