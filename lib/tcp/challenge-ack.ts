/**
 * How often a segment that is not acceptable is answered. Such answers are what an attacker provokes, and what two
 * confused ends can throw at each other for ever; so each connection gives one in half a second at most
 * (`tcp_invalid_ratelimit`), of challenge ACKs (RFC 5961 §7) and of answers to segments outside the window together.
 * The limit of the whole host that the RFC proposes is a side channel (CVE-2016-5696): as in Linux there is none
 * unless `tcp_challenge_ack_limit` sets one, and that is blurred by chance. Segments that carry data are answered
 * whatever the limit says (`isLoopProne`), since a peer that has data waits for the answer.
 */
import type { Random } from '../random/random.ts'
import { MILLISECOND, SECOND } from '../time/clock.ts'
import { TcpFlag } from '../wire/tcp.ts'

/** The sysctls under `net.ipv4` that matter here; read whenever they are needed. */
export interface ChallengeAckSysctl {
  /** Milliseconds. */
  tcp_invalid_ratelimit: number
  /** Challenge ACKs a second of the whole host; 2147483647 is no limit. */
  tcp_challenge_ack_limit: number
}

/** What a connection, also one in TIME-WAIT, remembers of its answers. */
export interface OutOfWindowClock {
  /** When the last answer went; −Infinity at first (`last_oow_ack_time`). */
  lastOutOfWindowAck: number
}

/** Whether a challenge ACK may go. */
export const ChallengeAck = {
  SEND: 0,
  /** The connection gave an answer a moment ago: counts as `TCPACKSkippedChallenge`. */
  SKIPPED: 1,
  /** The host's limit; nothing counts it. */
  HOST_LIMIT: 2,
} as const
export type ChallengeAck = (typeof ChallengeAck)[keyof typeof ChallengeAck]

const NO_LIMIT = 2147483647

/** A segment that may be part of a loop of acknowledgments, so that the limit holds for it: no data, or a SYN. */
export function isLoopProne(flags: number, sequenceLength: number): boolean {
  return sequenceLength === 0 || (flags & TcpFlag.SYN) !== 0
}

export class ChallengeAckLimit {
  readonly #sysctl: ChallengeAckSysctl
  readonly #random: Random
  /** The second that `#left` is for. */
  #second = -1
  #left = 0

  constructor(sysctl: ChallengeAckSysctl, random: Random) {
    this.#sysctl = sysctl
    this.#random = random
  }

  /** Whether to leave a segment outside the window unanswered; if not, the answer is reckoned as given now. */
  skipAnswer(connection: OutOfWindowClock, now: number): boolean {
    const pause = this.#sysctl.tcp_invalid_ratelimit * MILLISECOND
    if (now - connection.lastOutOfWindowAck < pause) return true
    connection.lastOutOfWindowAck = now
    return false
  }

  /** Asks for one challenge ACK of `connection`; what is allowed is reckoned as sent now. */
  request(connection: OutOfWindowClock, now: number): ChallengeAck {
    if (this.skipAnswer(connection, now)) return ChallengeAck.SKIPPED
    const limit = this.#sysctl.tcp_challenge_ack_limit
    if (limit === NO_LIMIT) return ChallengeAck.SEND
    const second = Math.floor(now / SECOND)
    if (second !== this.#second) {
      this.#second = second
      // Between half and one and a half of the limit, so that counting answers tells nothing.
      const half = Math.ceil(limit / 2)
      this.#left = limit === 0 ? 0 : half + this.#random.below(limit)
    }
    if (this.#left === 0) return ChallengeAck.HOST_LIMIT
    this.#left--
    return ChallengeAck.SEND
  }
}
