/** The tables and plots of docs/tcp-comparison.md, from the results; the text between them is written by hand. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { COLORS, draw, type Panel, type Point, type Series } from '../../scripts/plot/chart.ts'
import {
  CLOSE,
  GRID,
  JOINS_AT,
  LOSSES,
  PAIRINGS,
  QUEUES,
  type Queue,
  RATE,
  RTTS,
  SHARED_SECONDS,
  SHARINGS,
  type Sharing,
} from './experiments.ts'
import { type Conditions, FOLDER, type Run, readResults, type SharedRun, type Trace } from './results.ts'
import {
  goodput,
  jain,
  type Pairing,
  quartiles,
  ratios,
  runsOf,
  sharedRuns,
  smooth,
  sums,
} from './summary.ts'

const DOCS = join(import.meta.dirname, '../../docs')
const COLOR = [COLORS.grey, COLORS.blue, COLORS.orange, COLORS.green] as const

export function drawPage(folder = FOLDER, docs = DOCS): void {
  const grid = readResults<Run>('grid', folder)
  const close = readResults<Run>('close', folder)
  const sharing = readResults<SharedRun>('sharing', folder)
  const images = join(docs, 'images')
  for (const queue of QUEUES) {
    const name = queue === 'CoDel' ? 'codel' : 'drop-tail'
    writeFileSync(join(images, `tcp-goodput-${name}.svg`), goodputPlot(grid.runs, queue))
  }
  writeFileSync(join(images, 'tcp-close.svg'), closePlot(close.runs))
  writeFileSync(join(images, 'tcp-traces.svg'), tracePlot(readResults<Trace>('trace', folder).runs))
  writeFileSync(join(images, 'tcp-sharing.svg'), jainPlot(sharing.runs))
  writeFileSync(join(images, 'tcp-sharing-rates.svg'), ratesPlot(sharing.runs, 50, '1 BDP'))
  const file = join(docs, 'tcp-comparison.md')
  let text = readFileSync(file, 'utf8')
  text = replace(text, 'conditions', conditionsOf(grid.conditions))
  text = replace(text, 'close', closeTable(close.runs))
  for (const queue of QUEUES) text = replace(text, `grid ${queue}`, gridTable(grid.runs, queue))
  text = replace(text, 'sharing', sharingTable(sharing.runs))
  writeFileSync(file, text)
}

/** What stands between `<!-- name -->` and `<!-- end of name -->`. @throws Error if there is no such place */
function replace(text: string, name: string, by: string): string {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`]
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  if (from < 0 || to < from) throw new Error(`the page has no place for '${name}'`)
  return `${text.slice(0, from + begin.length)}\n${by}\n${text.slice(to)}`
}

const nameOf = ({ from, to }: Pairing): string => `${from} → ${to}`
const percent = (loss: number): string => `${Number((loss * 100).toFixed(2))} %`

function conditionsOf({ kernel, node, cores, cpu, roundTrips, lateness }: Conditions): string {
  const trip = ([min, mean, max]: [number, number, number]): string => `${min} / ${mean} / ${max} ms`
  return [
    `Measured with Linux ${kernel}, Node ${node}, ${cores} × ${cpu}.`,
    `Round trips of a path of 50 ms by ping, least / mean / greatest: ${trip(roundTrips.kernel)} to the kernel on the`,
    `right, ${trip(roundTrips.stack)} to the stack behind it. The relay's timers were ${lateness.mean} µs late on`,
    `average, the worst of a run ${(lateness.worst / 1000).toFixed(1)} ms (median of all runs).`,
  ].join(' ')
}

function closeTable(runs: readonly Run[]): string {
  const lines = PAIRINGS.map((pairing) => {
    const { count, min, low, median, high, max } = quartiles(runsOf(runs, pairing).map(goodput))
    const cells = [min, low, median, high, max].map((value) => value.toFixed(2))
    if (pairing === PAIRINGS[0]) return `| ${nameOf(pairing)} | ${count} | ${cells.join(' | ')} | | |`
    const of = ratios(runs, pairing)
    const ratio = quartiles(of)
    const atLeast = of.filter((value) => value >= 1).length
    const spread = `${ratio.median.toFixed(2)} [${ratio.low.toFixed(2)}–${ratio.high.toFixed(2)}]`
    return `| ${nameOf(pairing)} | ${count} | ${cells.join(' | ')} | ${spread} | ${atLeast} of ${count} |`
  })
  return [
    '| Mbit/s | seeds | least | lower quartile | median | upper quartile | greatest | to kernel → kernel, same seed | at least as much |',
    '|---|---:|---:|---:|---:|---:|---:|---:|---:|',
    ...lines,
  ].join('\n')
}

function gridTable(runs: readonly Run[], queue: Queue): string {
  const losses = LOSSES.filter((loss) => GRID.some((cell) => cell.queue === queue && cell.loss === loss))
  const lines = RTTS.flatMap((rtt) =>
    PAIRINGS.map((pairing) => {
      const cells = losses.map((loss) => {
        const { median, min, max } = quartiles(runsOf(runs, pairing, { rtt, loss, queue }).map(goodput))
        return `${median.toFixed(2)} [${min.toFixed(2)}–${max.toFixed(2)}]`
      })
      return `| ${rtt} ms | ${nameOf(pairing)} | ${cells.join(' | ')} |`
    }),
  )
  return [
    `| RTT | Mbit/s | ${losses.map((loss) => `loss ${percent(loss)}`).join(' | ')} |`,
    `|---|---|${losses.map(() => '---:').join('|')}|`,
    ...lines,
  ].join('\n')
}

/** Each run a dot, each median a bar. */
function goodputPlot(runs: readonly Run[], queue: Queue): string {
  const losses = LOSSES.filter((loss) => GRID.some((cell) => cell.queue === queue && cell.loss === loss))
  const panels = RTTS.map((rtt): Panel => {
    const series = PAIRINGS.flatMap((pairing, i): Series[] => {
      const shift = (i - 1) * 0.2
      const cells = losses.map((loss) => runsOf(runs, pairing, { rtt, loss, queue }).map(goodput))
      const dots = cells.flatMap((values, at) =>
        values.map((value, n): Point => [at + shift + (n - (values.length - 1) / 2) * 0.02, value]),
      )
      const bars = cells.flatMap((values, at): Point[] => {
        const { median } = quartiles(values)
        return [
          [at + shift - 0.08, median],
          [at + shift + 0.08, median],
          [at + shift + 0.08, null],
        ]
      })
      const color = COLOR[i]!
      return [
        { name: nameOf(pairing), points: bars, color, width: 3 },
        { name: nameOf(pairing), points: dots, color, as: 'dots', opacity: 0.5, width: 4 },
      ]
    })
    return { name: `RTT ${rtt} ms`, label: 'Mbit/s', series, height: 130, max: RATE }
  })
  return draw({
    title: `Goodput of one flow with CUBIC, ${RATE} Mbit/s, queue: ${queue}`,
    subtitle: 'each run a dot, medians as bars',
    label: 'packets lost at random',
    panels,
    from: -0.5,
    to: losses.length - 0.5,
    columns: losses.map(percent),
  })
}

/** How many of the runs had no more than so much. */
function closePlot(runs: readonly Run[]): string {
  const all = runs.map(goodput)
  const series = PAIRINGS.map((pairing, i): Series => {
    const sorted = runsOf(runs, pairing)
      .map(goodput)
      .sort((a, b) => a - b)
    const points = sorted.map((value, n): Point => [value, (100 * (n + 1)) / sorted.length])
    return {
      name: nameOf(pairing),
      as: 'step',
      color: COLOR[i]!,
      points: [[sorted[0]!, 0], ...points],
      width: 2,
    }
  })
  return draw({
    title: `Goodput at ${percent(CLOSE.loss)} loss and an RTT of ${CLOSE.rtt} ms`,
    subtitle: 'of the seeds, how many brought no more than so much',
    label: 'Mbit/s',
    panels: [{ label: '% of the seeds', series, height: 220, max: 100 }],
    to: Math.ceil(Math.max(...all)),
  })
}

function tracePlot(traces: readonly Trace[]): string {
  const { rtt, loss, seed } = traces[0]!
  const series = (at: 1 | 2): Series[] =>
    traces.map(({ from, points }, i) => ({
      name: `${from} → kernel`,
      as: 'step',
      color: COLOR[i]!,
      points: points.map((point): Point => [point[0], point[at]]),
    }))
  return draw({
    title: `Two senders over the same losses: ${percent(loss)}, RTT ${rtt} ms, seed ${seed}`,
    subtitle: traces.map(({ from, bytes }) => `${from}: ${(bytes / 1e6).toFixed(2)} MB`).join(', '),
    label: 'seconds',
    panels: [
      { label: 'cwnd, segments', series: series(1), height: 180 },
      { label: 'in flight', series: series(2), height: 180 },
    ],
    to: Math.round(Math.max(...traces.map(({ points }) => points.at(-1)![0]))),
  })
}

const sendersOf = ({ senders: [first, second] }: Sharing): string => `${first}, then ${second}`
const PAIRS = SHARINGS.slice(0, 4)

/** The median over the seeds at each half second. */
function over<T>(runs: readonly T[], values: (run: T) => readonly (number | null)[]): Point[] {
  const all = runs.map(values)
  return all[0]!.map((_, i): Point => {
    const present = all.map((one) => one[i]).filter((value): value is number => typeof value === 'number')
    return [(i + 1) / 2, present.length === 0 ? null : Number(quartiles(present).median.toFixed(4))]
  })
}

function jainOf({ slots }: SharedRun): (number | null)[] {
  const [a, b] = slots.map(smooth) as [(number | null)[], (number | null)[]]
  return a.map((value, i) => (value === null || i < JOINS_AT * 2 ? null : jain(value, b[i] ?? 0)))
}

function jainPlot(runs: readonly SharedRun[]): string {
  const panels = ([20, 50] as const).flatMap((rtt) =>
    QUEUES.map(
      (queue): Panel => ({
        name: `RTT ${rtt} ms, ${queue}`,
        label: 'Jain index',
        height: 120,
        min: 0.5,
        max: 1,
        series: PAIRS.map(({ senders }, i) => {
          const sharing = { rtt, queue, senders }
          return {
            name: sendersOf(sharing),
            color: COLOR[i]!,
            points: over(sharedRuns(runs, sharing), jainOf),
          }
        }),
      }),
    ),
  )
  return draw({
    title: `Two flows with CUBIC share ${RATE} Mbit/s: how evenly`,
    subtitle: `the second joins after ${JOINS_AT} s; over two seconds, median of the seeds; 1: both have the same`,
    label: 'seconds',
    panels,
    to: SHARED_SECONDS,
  })
}

function ratesPlot(runs: readonly SharedRun[], rtt: number, queue: Queue): string {
  const mbit = (slots: readonly number[]) =>
    smooth(slots).map((bytes) => (bytes === null ? null : (bytes * 16) / 1e6))
  const panels = PAIRS.map(({ senders }): Panel => {
    const these = sharedRuns(runs, { rtt, queue, senders })
    return {
      name: sendersOf({ rtt, queue, senders }),
      label: 'Mbit/s',
      height: 120,
      max: RATE,
      series: [
        { name: 'first', color: COLORS.blue, points: over(these, ({ slots }) => mbit(slots[0])) },
        { name: 'second', color: COLORS.orange, points: over(these, ({ slots }) => mbit(slots[1])) },
      ],
    }
  })
  return draw({
    title: `Two flows with CUBIC share ${RATE} Mbit/s, RTT ${rtt} ms, ${queue}`,
    subtitle: 'over two seconds, median of the seeds',
    label: 'seconds',
    panels,
    to: SHARED_SECONDS,
  })
}

/** Over the second half of the time in which there are two. */
function sharingTable(runs: readonly SharedRun[]): string {
  const from = SHARED_SECONDS + JOINS_AT
  const seconds = SHARED_SECONDS - from / 2
  const lines = SHARINGS.map((sharing) => {
    const pairs = sharedRuns(runs, sharing).map((run) => sums(run, from))
    const index = quartiles(pairs.map(([a, b]) => jain(a, b)))
    const share = quartiles(pairs.map(([a, b]) => (100 * b) / (a + b)))
    const total = quartiles(pairs.map(([a, b]) => ((a + b) * 8) / seconds / 1e6))
    const range = ({ median, min, max }: typeof index, digits: number): string =>
      `${median.toFixed(digits)} [${min.toFixed(digits)}–${max.toFixed(digits)}]`
    return `| ${sharing.rtt} ms, ${sharing.queue} | ${sendersOf(sharing)} | ${range(index, 3)} | ${range(share, 0)} % | ${range(total, 1)} |`
  })
  return [
    '| path | flows | Jain index | share of the second | together, Mbit/s |',
    '|---|---|---:|---:|---:|',
    ...lines,
  ].join('\n')
}
