/**
 * What the samples of a figure say: median and spread (smallest to largest), the ratio of two subjects that were
 * measured in turn, and whether their difference is one at all. No distribution is assumed: with five samples on
 * a machine that has other things to do, only order statistics mean something.
 */

export interface Summary {
  median: number
  min: number
  max: number
}

/** @throws RangeError without samples */
export function summarize(samples: readonly number[]): Summary {
  if (samples.length === 0) throw new RangeError('no samples')
  const sorted = [...samples].sort((a, b) => a - b)
  return { median: percentile(sorted, 50), min: sorted[0]!, max: sorted.at(-1)! }
}

/** Of samples in ascending order, interpolated between neighbours. @throws RangeError without samples */
export function percentile(sorted: readonly number[], percent: number): number {
  if (sorted.length === 0) throw new RangeError('no samples')
  const at = ((sorted.length - 1) * percent) / 100
  const below = sorted[Math.floor(at)]!
  return below + (sorted[Math.ceil(at)]! - below) * (at - Math.floor(at))
}

export interface Comparison {
  /** Subject over reference, from samples of the same round, so that what drifts during a run cancels out. */
  ratio: Summary
  /** The medians differ by more than either of the two spreads. Otherwise the difference is no result. */
  distinct: boolean
}

/** @throws RangeError unless there are as many samples of one as of the other */
export function compare(samples: readonly number[], reference: readonly number[]): Comparison {
  if (samples.length !== reference.length) {
    throw new RangeError(`${samples.length} samples against ${reference.length}`)
  }
  const a = summarize(samples)
  const b = summarize(reference)
  return {
    ratio: summarize(samples.map((value, round) => value / reference[round]!)),
    distinct: Math.abs(a.median - b.median) > Math.max(a.max - a.min, b.max - b.min),
  }
}

/** What a comparison has to reach. */
export interface Target {
  /** The ratio's bound. */
  ratio: number
  is: 'at least' | 'at most'
}

/** Whether the median of the ratios is within the target. */
export function meets({ ratio }: Comparison, target: Target): boolean {
  return target.is === 'at least' ? ratio.median >= target.ratio : ratio.median <= target.ratio
}
