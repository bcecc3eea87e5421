/**
 * A connection as its events tell it, drawn over time: the congestion window, the threshold and what is on its way;
 * round-trip times; what was sent again and why.
 */
import type { RetransmitReason, TcpEvent } from '../../lib/index.ts'
import { COLORS, draw, type Panel, type Point, thin } from './chart.ts'

export interface ConnectionPlot {
  title: string
  subtitle?: string
  /** Nanoseconds at which time begins; the first event by default. */
  start?: number
}

const REASONS: readonly RetransmitReason[] = ['path-mtu', 'probe', 'fast', 'rack', 'timeout']
/** The row of what was taken back. */
const ROWS = [...REASONS, 'undo']
const KIB = 1024

/**
 * SVG of the events that `socket.events`, or `events` of `connect`, has told.
 * @throws RangeError if there are none
 */
export function drawConnection(
  events: readonly TcpEvent[],
  { title, subtitle = '', start }: ConnectionPlot,
): string {
  if (events.length === 0) throw new RangeError('no events to draw')
  const begin = start ?? events[0]!.time
  const at = ({ time }: TcpEvent): number => round((time - begin) / 1e9, 4)
  const end = at(events.at(-1)!)
  const cwnd: Point[] = []
  const ssthresh: Point[] = []
  const inFlight: Point[] = []
  const rtt: Point[] = []
  const srtt: Point[] = []
  const again: Record<string, Point[]> = {}
  for (const event of events) {
    const x = at(event)
    switch (event.type) {
      case 'flight':
        inFlight.push([x, round(event.inFlight / KIB, 2)])
        cwnd.push([x, round(event.cwnd / KIB, 2)])
        ssthresh.push([x, threshold(event.ssthresh)])
        break
      case 'rtt':
        rtt.push([x, round(event.rtt / 1e6, 2)])
        srtt.push([x, round(event.srtt / 1e6, 2)])
        break
      case 'retransmit':
        ;(again[event.reason] ??= []).push([x, ROWS.indexOf(event.reason)])
        break
      case 'cwnd':
      case 'undo':
        cwnd.push([x, round(event.cwnd / KIB, 2)])
        ssthresh.push([x, threshold(event.ssthresh)])
        if (event.type === 'undo') (again['undo'] ??= []).push([x, ROWS.indexOf('undo')])
        break
      case 'state':
    }
  }
  const fewer = (points: Point[]): Point[] => thin(points, 0, Math.max(end, 1e-9))
  const panels: Panel[] = [
    {
      label: 'KiB',
      height: 220,
      series: [
        { name: 'in flight', points: fewer(inFlight), as: 'step', color: COLORS.sky, width: 1 },
        { name: 'ssthresh', points: fewer(ssthresh), as: 'step', color: COLORS.grey, dashed: true },
        { name: 'cwnd', points: fewer(cwnd), as: 'step', color: COLORS.blue },
      ],
    },
    {
      label: 'ms',
      series: [
        { name: 'RTT', points: fewer(rtt), color: COLORS.amber, width: 1 },
        { name: 'srtt', points: fewer(srtt), color: COLORS.orange },
      ],
    },
    {
      label: '',
      height: 110,
      rows: ROWS,
      series: [{ name: 'sent again, why', points: marks(again), as: 'dots', color: COLORS.black }],
    },
  ]
  return draw({ title, subtitle, label: 'seconds', panels, to: Math.max(end, 1e-3) })
}

/** JSON has no infinity: there it is `null`. */
function threshold(ssthresh: number | null): number | null {
  return ssthresh === null || ssthresh === Number.POSITIVE_INFINITY ? null : round(ssthresh / KIB, 2)
}

/** One dot for each row and instant that can be told apart. */
function marks(again: Readonly<Record<string, readonly Point[]>>): Point[] {
  const seen = new Map<string, Point>()
  for (const point of Object.values(again).flat()) {
    const key = `${point[0].toFixed(2)} ${point[1]}`
    if (!seen.has(key)) seen.set(key, point)
  }
  return [...seen.values()]
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits))
}
