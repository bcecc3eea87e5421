/** What many runs say together: order statistics, since no distribution is known. */
import { percentile } from '../statistics.ts'
import { type Cell, PAIRINGS, type Sharing } from './experiments.ts'
import type { Sent } from './flow.ts'
import type { Run, SharedRun, Trace } from './results.ts'

export type Pairing = (typeof PAIRINGS)[number]

export interface Quartiles {
  count: number
  min: number
  low: number
  median: number
  high: number
  max: number
}

export function quartiles(values: readonly number[]): Quartiles {
  const sorted = [...values].sort((a, b) => a - b)
  const [min, low, median, high, max] = [0, 25, 50, 75, 100].map((percent) => percentile(sorted, percent))
  return { count: sorted.length, min: min!, low: low!, median: median!, high: high!, max: max! }
}

/** Mbit/s of payload. */
export function goodput({ bytes, seconds }: Run): number {
  return (bytes * 8) / seconds / 1e6
}

export function runsOf(runs: readonly Run[], { from, to }: Pairing, cell?: Cell): Run[] {
  return runs.filter(
    (run) =>
      run.from === from &&
      run.to === to &&
      (cell === undefined || (run.rtt === cell.rtt && run.loss === cell.loss && run.queue === cell.queue)),
  )
}

/** For each seed, the goodput of a pairing in relation to that of the first one, over the path that loses the same. */
export function ratios(runs: readonly Run[], pairing: Pairing): number[] {
  const reference = new Map(runsOf(runs, PAIRINGS[0]).map((run) => [run.seed, goodput(run)]))
  return runsOf(runs, pairing).map((run) => goodput(run) / reference.get(run.seed)!)
}

/** 1 if both have the same, ½ if one has all (R. Jain, D. Chiu, W. Hawe, DEC-TR-301, 1984). */
export function jain(a: number, b: number): number {
  return a + b === 0 ? 1 : (a + b) ** 2 / (2 * (a * a + b * b))
}

/** Half seconds over which rates are looked at. */
const WINDOW = 4

/** The mean of each window that ends at a half second; `null` before there is one. */
export function smooth(slots: readonly number[]): (number | null)[] {
  return slots.map((_, i) => {
    if (i + 1 < WINDOW) return null
    const window = slots.slice(i + 1 - WINDOW, i + 1)
    return window.reduce((sum, bytes) => sum + bytes, 0) / WINDOW
  })
}

export function sharedRuns(runs: readonly SharedRun[], { rtt, queue, senders }: Sharing): SharedRun[] {
  return runs.filter(
    (run) =>
      run.rtt === rtt &&
      run.queue === queue &&
      run.senders[0] === senders[0] &&
      run.senders[1] === senders[1],
  )
}

/** Bytes of both flows from a half second on. */
export function sums({ slots }: SharedRun, from: number): [number, number] {
  return slots.map((one) => one.slice(from).reduce((sum, bytes) => sum + bytes, 0)) as [number, number]
}

/** Milliseconds between the points of a trace at least. */
const EVERY = 10

/** Window and flight of a sender in segments, from when it had its connection. */
export function pointsOf({ trace, events = [] }: Sent): Trace['points'] {
  const points: Trace['points'] = []
  const add = (seconds: number, cwnd: number, inFlight: number): void => {
    const last = points.at(-1)
    const round = (value: number): number => Number(value.toFixed(2))
    const point: Trace['points'][number] = [Number(seconds.toFixed(3)), round(cwnd), round(inFlight)]
    // The latest of what falls together.
    if (last !== undefined && point[0] - last[0] < (EVERY - 0.5) / 1000 && points.length > 1)
      points[points.length - 1] = [last[0], point[1], point[2]]
    else points.push(point)
  }
  if (trace !== undefined) {
    for (const { time, snd_cwnd = 0, unacked = 0, sacked = 0, lost = 0, retrans = 0 } of trace) {
      add(time - trace[0]!.time, snd_cwnd, unacked - sacked - lost + retrans)
    }
    return points
  }
  const flights = events.flatMap((event) => (event.type === 'flight' ? [event] : []))
  for (const { time, cwnd, inFlight } of flights)
    add((time - flights[0]!.time) / 1e9, cwnd / MSS, inFlight / MSS)
  return points
}

/** Of an MTU of 1500 with timestamps. */
const MSS = 1448
