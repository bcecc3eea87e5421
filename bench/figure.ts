/**
 * A figure: one thing measured on several subjects, in rounds, and what it is held against. A benchmark fills
 * figures; the table and the JSON file are made of nothing else.
 */
import type { Target } from './statistics.ts'

export interface Against {
  /** The subject whose samples are the denominator. */
  reference: string
  subject: string
  target?: Target
}

export interface Figure {
  /** `flood ping` */
  name: string
  /** `packets/s` */
  unit: string
  /** Samples by subject, a sample per round, in the order of the rounds. */
  readonly samples: Map<string, number[]>
  readonly against: readonly Against[]
}

export class Figures {
  readonly all: Figure[] = []

  define(name: string, unit: string, against: readonly Against[] = []): Figure {
    const figure: Figure = { name, unit, samples: new Map(), against }
    this.all.push(figure)
    return figure
  }
}

export function record(figure: Figure, subject: string, value: number): void {
  if (!Number.isFinite(value)) throw new RangeError(`${figure.name} of ${subject} is ${value}`)
  const samples = figure.samples.get(subject)
  if (samples === undefined) figure.samples.set(subject, [value])
  else samples.push(value)
}
