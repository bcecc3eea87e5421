/**
 * `npm run compare`: TCP of the stack and of the kernel over the same bad paths, in real time, as root on Linux.
 *
 *     npm run compare                        all of it, and the page (docs/tcp-comparison.md) from it
 *     npm run compare -- --quick             one second and one seed of everything, into a folder of its own: does it run?
 *     npm run compare -- --only close        one part: close, trace, sharing, grid
 *     npm run compare -- --page              only the page, from the results that are there
 *     --seeds N, --rigs N                    repeats; rigs that work beside each other
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Testbed } from '../../test/integration/netns.ts'
import { percentile } from '../statistics.ts'
import {
  type Cell,
  CLOSE,
  GRID,
  JOINS_AT,
  PAIRINGS,
  pathOf,
  SHARED_SECONDS,
  SHARINGS,
  type Sharing,
  secondsOf,
} from './experiments.ts'
import { ENDS, type End } from './flow.ts'
import { drawPage } from './page.ts'
import {
  type Conditions,
  FOLDER,
  machine,
  type Part,
  type Run,
  type SharedRun,
  type Trace,
  writeResults,
} from './results.ts'
import { compileFlow, Rig, SLOT } from './rig.ts'
import { pointsOf } from './summary.ts'

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    page: { type: 'boolean', default: false },
    seeds: { type: 'string' },
    rigs: { type: 'string', default: '1' },
  },
})
const PARTS: readonly Part[] = ['close', 'trace', 'sharing', 'grid']
const parts = PARTS.filter((part) => values.only === undefined || values.only === part)
const { quick } = values

/** What one rig does without a break. */
type Job<T> = (rig: Rig, note: (lateness: { mean: number; worst: number }) => void) => Promise<T[]>

/** The pairings in turn, and each time another one first. */
function flows(cell: Cell, seed: number, seconds: number): Job<Run> {
  return async (rig, note) => {
    const runs: Run[] = []
    for (let i = 0; i < PAIRINGS.length; i++) {
      const { from, to } = PAIRINGS[(i + seed) % PAIRINGS.length]!
      await rig.lay(pathOf(cell, seed))
      const { received, sent } = await rig.flow({ from, to, seconds })
      const { forward, lateness } = await rig.report()
      note(lateness)
      runs.push({
        ...cell,
        from,
        to,
        seed,
        seconds,
        bytes: received.bytes,
        retransmitted: sent.info.total_retrans ?? 0,
        lost: forward.lost,
        dropped: forward.queueDropped,
      })
    }
    return runs
  }
}

/** The kernel's sender and the stack's over the same losses, watched. */
function traced(cell: Cell, seed: number, seconds: number): Job<Trace> {
  return async (rig, note) => {
    const traces: Trace[] = []
    for (const from of ENDS) {
      await rig.lay(pathOf(cell, seed))
      const { received, sent } = await rig.flow({ from, to: 'kernel', seconds, traced: true })
      note((await rig.report()).lateness)
      traces.push({ ...cell, from, seed, bytes: received.bytes, points: pointsOf(sent) })
    }
    return traces
  }
}

function shared(sharing: Sharing, seed: number, seconds: number, joinsAt: number): Job<SharedRun> {
  return async (rig, note) => {
    await rig.lay(pathOf({ ...sharing, loss: 0 }, seed))
    const [begins, joins] = sharing.senders
    const one = rig.flow({ from: begins, to: 'kernel', seconds })
    await new Promise((resolve) => setTimeout(resolve, joinsAt * 1000))
    const two = rig.flow({ from: joins, to: 'kernel', seconds: seconds - joinsAt })
    const [a, b] = [(await one).received, (await two).received]
    note((await rig.report()).lateness)
    const late = Math.round((b.start - a.start) / SLOT)
    const second = [...new Array<number>(late).fill(0), ...b.slots]
    return [{ ...sharing, seed, slots: [halfSeconds(a.slots), halfSeconds(second)] }]
  }
}

function halfSeconds(slots: readonly number[]): number[] {
  const halves = new Array<number>(Math.floor(slots.length * SLOT * 2)).fill(0)
  for (const [i, bytes] of slots.entries()) {
    const at = Math.floor(i * SLOT * 2 + 1e-9)
    if (at < halves.length) halves[at]! += bytes
  }
  return halves
}

async function roundTrips(rig: Rig): Promise<Conditions['roundTrips']> {
  await rig.lay(pathOf({ ...CLOSE, loss: 0 }, 1))
  const measure = async (end: End): Promise<[number, number, number]> => {
    const { stdout } = await rig.left.run(`ping -c 20 -i 0.1 ${rig.address(end)}`)
    const match = /= ([\d.]+)\/([\d.]+)\/([\d.]+)\//.exec(stdout)!
    return [Number(match[1]), Number(match[2]), Number(match[3])]
  }
  return { kernel: await measure('kernel'), stack: await measure('stack') }
}

/** Works the jobs off, with so many rigs beside each other, and keeps what comes of them. */
async function work<T>(part: Part, jobs: Job<T>[], tcpFlow: string): Promise<void> {
  const total = jobs.length
  const runs: T[][] = jobs.map(() => [])
  const lateness: { mean: number; worst: number }[] = []
  let next = 0
  let conditions: Conditions | undefined
  const serve = async (): Promise<void> => {
    const bed = new Testbed()
    try {
      const rig = await Rig.open(bed, tcpFlow)
      const trips = await roundTrips(rig)
      conditions ??= { ...machine(), roundTrips: trips, lateness: { mean: 0, worst: 0 } }
      while (next < total) {
        const at = next++
        process.stderr.write(`${part} ${at + 1}/${total}\n`)
        runs[at] = await jobs[at]!(rig, (late) => lateness.push(late))
      }
    } catch (error) {
      console.error(bed.report())
      throw error
    } finally {
      await bed.undo()
    }
  }
  await Promise.all(Array.from({ length: Math.min(total, Number(values.rigs)) }, serve))
  conditions!.lateness = {
    mean: Math.round(lateness.reduce((sum, { mean }) => sum + mean, 0) / lateness.length),
    worst: percentile(
      lateness.map(({ worst }) => worst).sort((a, b) => a - b),
      50,
    ),
  }
  writeResults(part, { conditions: conditions!, runs: runs.flat() }, quick ? join(FOLDER, 'quick') : FOLDER)
}

function seeds(count: number): number[] {
  return Array.from({ length: quick ? 1 : Number(values.seeds ?? count) }, (_, i) => i + 1)
}

if (!values.page) {
  const folder = mkdtempSync(join(tmpdir(), 'tunstack-compare-'))
  try {
    const tcpFlow = compileFlow(folder)
    for (const part of parts) {
      if (part === 'close') {
        await work(
          part,
          seeds(24).map((seed) => flows(CLOSE, seed, quick ? 1 : 5)),
          tcpFlow,
        )
      } else if (part === 'trace') {
        await work(part, [traced(CLOSE, 1, quick ? 1 : 5)], tcpFlow)
      } else if (part === 'grid') {
        const jobs = seeds(5).flatMap((seed) =>
          GRID.map((cell) => flows(cell, seed, quick ? 1 : secondsOf(cell))),
        )
        await work(part, jobs, tcpFlow)
      } else {
        const [seconds, joinsAt] = quick ? [2, 1] : [SHARED_SECONDS, JOINS_AT]
        const jobs = seeds(3).flatMap((seed) =>
          SHARINGS.map((sharing) => shared(sharing, seed, seconds, joinsAt)),
        )
        await work(part, jobs, tcpFlow)
      }
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
const missing = PARTS.filter((part) => !existsSync(join(FOLDER, `${part}.json`)))
if (missing.length > 0) console.error(`no page without results of: ${missing.join(', ')}`)
else if (!quick) drawPage()
