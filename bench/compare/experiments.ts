/**
 * What is compared: bulk flows over a bottleneck of 20 Mbit/s, by round-trip time, loss, and what the queue before the
 * bottleneck does; and two flows that share one.
 */
import type { End } from './flow.ts'
import type { PathOrder } from './relay.ts'

/** Of the bottleneck, in Mbit/s: so little that no CPU decides. */
export const RATE = 20
const MTU = 1500

/** Milliseconds. */
export const RTTS = [1, 20, 50, 200] as const
export const LOSSES = [0, 0.001, 0.01, 0.03] as const
export const QUEUES = ['1 BDP', 'CoDel'] as const
export type Queue = (typeof QUEUES)[number]

/** Sender and receiver; the first is what the others are held against. */
export const PAIRINGS = [
  { from: 'kernel', to: 'kernel' },
  { from: 'stack', to: 'kernel' },
  { from: 'kernel', to: 'stack' },
] as const satisfies readonly { from: End; to: End }[]

export interface Cell {
  rtt: number
  loss: number
  queue: Queue
}

/** Each loss behind a queue that drops its tail; CoDel without loss, and with one that is not its own. */
export const GRID: readonly Cell[] = QUEUES.flatMap((queue) =>
  RTTS.flatMap((rtt) =>
    LOSSES.filter((loss) => queue === '1 BDP' || loss === 0 || loss === 0.01).map((loss) => ({
      rtt,
      loss,
      queue,
    })),
  ),
)

/** The cell that is measured with many seeds. */
export const CLOSE: Cell = { rtt: 50, loss: 0.01, queue: '1 BDP' }

export interface Sharing {
  rtt: number
  queue: Queue
  /** Whose the flow is that begins, and the one that joins it. */
  senders: readonly [End, End]
}

export const SHARINGS: readonly Sharing[] = ([20, 50] as const).flatMap((rtt) =>
  QUEUES.flatMap((queue) =>
    (
      [
        ['kernel', 'kernel'],
        ['stack', 'kernel'],
        ['kernel', 'stack'],
        ['stack', 'stack'],
      ] as const
    ).map((senders) => ({ rtt, queue, senders })),
  ),
)

/** How long two flows are watched, and when the second one joins, in seconds. */
export const SHARED_SECONDS = 24
export const JOINS_AT = 4

/** A flow on a long path needs longer to get going. */
export function secondsOf({ rtt }: Cell): number {
  return rtt >= 200 ? 8 : 4
}

/** Packets of a bandwidth-delay product; 10 where that is less than a burst. */
export function bdp(rtt: number): number {
  return Math.max(10, Math.ceil((RATE * 1000 * rtt) / 8 / MTU))
}

/** Data waits for the bottleneck and is lost; acknowledgments are only late. */
export function pathOf({ rtt, loss, queue }: Cell, seed: number): PathOrder {
  const delay = `${rtt / 2}ms`
  return {
    seed,
    forward: { delay, loss, rate: `${RATE}mbit`, queue: queue === 'CoDel' ? 'codel' : bdp(rtt) },
    backward: { delay },
  }
}
