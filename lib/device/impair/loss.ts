/**
 * Which packets a link loses: each by itself with the same probability, or in bursts, as the two-state model of
 * Gilbert and Elliott has it (E. O. Elliott, "Estimates of Error Rates for Codes on Burst-Noise Channels", 1963; the
 * `gemodel` of netem): the link is good or bad, goes over with one probability per packet and comes back with
 * another, and each state loses packets at a rate of its own.
 */
import { invalidArgument } from '../../errors.ts'
import type { Random } from '../../random/random.ts'
import { type Probability, parseProbability } from '../../units.ts'

/** The mean burst is 1/`recover` packets, the share of time spent in it `enter` / (`enter` + `recover`). */
export interface BurstLoss {
  /** Probability per packet that a burst begins (p). */
  enter: Probability
  /** Probability per packet that it ends (r). */
  recover: Probability
  /** What is lost within a burst; everything by default (1 − h). */
  bad?: Probability
  /** What is lost outside of it; nothing by default (1 − k). */
  good?: Probability
}

export interface LossModel {
  /** The fate of the next packet. */
  loses(random: Random): boolean
}

/** Draws only where chance decides. */
export function chance(random: Random, probability: number): boolean {
  if (probability <= 0) return false
  if (probability >= 1) return true
  return (random.int32() >>> 0) / 0x1_0000_0000 < probability
}

class IndependentLoss implements LossModel {
  readonly #probability: number

  constructor(probability: number) {
    this.#probability = probability
  }

  loses(random: Random): boolean {
    return chance(random, this.#probability)
  }
}

class GilbertElliott implements LossModel {
  readonly #enter: number
  readonly #recover: number
  readonly #good: number
  readonly #bad: number
  #inBurst = false

  constructor({ enter, recover, bad = 1, good = 0 }: BurstLoss) {
    this.#enter = parseProbability(enter, 'loss.enter')
    this.#recover = parseProbability(recover, 'loss.recover')
    this.#bad = parseProbability(bad, 'loss.bad')
    this.#good = parseProbability(good, 'loss.good')
  }

  loses(random: Random): boolean {
    if (chance(random, this.#inBurst ? this.#recover : this.#enter)) this.#inBurst = !this.#inBurst
    return chance(random, this.#inBurst ? this.#bad : this.#good)
  }
}

/** `null` if nothing is ever lost. @throws TunstackError `ERR_INVALID_ARG_VALUE` */
export function lossModel(loss: Probability | BurstLoss): LossModel | null {
  if (typeof loss === 'object') {
    if (loss === null) throw invalidArgument('loss', loss, 'a probability, or { enter, recover }')
    return new GilbertElliott(loss)
  }
  const probability = parseProbability(loss, 'loss')
  return probability === 0 ? null : new IndependentLoss(probability)
}
