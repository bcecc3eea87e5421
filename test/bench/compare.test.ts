/** The page that `npm run compare` makes, from results that are made up. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import {
  type Cell,
  CLOSE,
  GRID,
  PAIRINGS,
  SHARED_SECONDS,
  SHARINGS,
} from '../../bench/compare/experiments.ts'
import { ENDS } from '../../bench/compare/flow.ts'
import { drawPage } from '../../bench/compare/page.ts'
import {
  type Conditions,
  type Run,
  readResults,
  type SharedRun,
  type Trace,
  writeResults,
} from '../../bench/compare/results.ts'
import { jain, pointsOf, quartiles, ratios, smooth } from '../../bench/compare/summary.ts'

const CONDITIONS: Conditions = {
  kernel: '6.18.0',
  node: 'v20.0.0',
  cores: 2,
  cpu: 'a processor',
  roundTrips: { kernel: [50, 51, 52], stack: [50, 52, 54] },
  lateness: { mean: 100, worst: 2000 },
}

/** The pairing that sends to the kernel with the stack brings twice as much, the other half. */
function runs(cell: Cell, seeds: number): Run[] {
  return Array.from({ length: seeds }, (_, i) => i + 1).flatMap((seed) =>
    PAIRINGS.map(({ from, to }) => {
      const factor = from === 'stack' ? 2 : to === 'stack' ? 0.5 : 1
      const bytes = seed * factor * 1e6
      return { ...cell, from, to, seed, seconds: 4, bytes, retransmitted: 1, lost: 1, dropped: 0 }
    }),
  )
}

describe('the comparison with the kernel', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tunstack-page-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('summarizes by order statistics, and by the index of Jain', () => {
    expect(quartiles([4, 1, 3, 2, 5])).to.deep.equal({ count: 5, min: 1, low: 2, median: 3, high: 4, max: 5 })
    expect(ratios(runs(CLOSE, 3), PAIRINGS[1])).to.deep.equal([2, 2, 2])
    expect([jain(1, 1), jain(1, 0), jain(0, 0), jain(3, 1)]).to.deep.equal([1, 0.5, 1, 0.8])
    const flight = (ms: number, cwnd: number) =>
      ({ type: 'flight', time: 5e9 + ms * 1e6, cwnd, inFlight: 1448, ssthresh: Infinity }) as const
    const events = [flight(0, 14_480), flight(50, 2896), flight(55, 28_960), flight(60, 4344)]
    expect(pointsOf({ start: 0, info: {}, events })).to.deep.equal([
      [0, 10, 1],
      [0.05, 20, 1],
      [0.06, 3, 1],
    ])
    const trace = [{ time: 7, snd_cwnd: 10, unacked: 9, sacked: 3, lost: 2, retrans: 1 }]
    expect(pointsOf({ start: 0, info: {}, trace })).to.deep.equal([[0, 10, 5]])
    expect(smooth([0, 0, 4, 4, 8])).to.deep.equal([null, null, null, 2, 4])
  })

  it('puts tables and plots where the page has places for them, and nothing else', () => {
    const slots = (bytes: number): number[] => new Array<number>(SHARED_SECONDS * 2).fill(bytes)
    const shared = SHARINGS.map(
      (sharing): SharedRun => ({ ...sharing, seed: 1, slots: [slots(300), slots(100)] }),
    )
    writeResults('close', { conditions: CONDITIONS, runs: runs(CLOSE, 3) }, folder)
    writeResults('grid', { conditions: CONDITIONS, runs: GRID.flatMap((cell) => runs(cell, 2)) }, folder)
    writeResults('sharing', { conditions: CONDITIONS, runs: shared }, folder)
    const points: Trace['points'] = [
      [0, 10, 10],
      [1, 20, 15],
    ]
    const traces = ENDS.map((from): Trace => ({ ...CLOSE, from, seed: 1, bytes: 1e6, points }))
    writeResults('trace', { conditions: CONDITIONS, runs: traces }, folder)
    expect(readResults<Run>('close', folder).runs).to.deep.equal(runs(CLOSE, 3))

    const places = ['conditions', 'close', 'grid 1 BDP', 'grid CoDel', 'sharing']
    const empty = places
      .map((name) => `<!-- ${name} -->\nold\n<!-- end of ${name} -->`)
      .join('\n\ntext by hand\n\n')
    const page = join(folder, 'tcp-comparison.md')
    writeFileSync(page, empty)
    mkdirSync(join(folder, 'images'))
    drawPage(folder, folder)
    const text = readFileSync(page, 'utf8')
    expect(text).not.to.contain('old')
    expect(text.match(/text by hand/g)).to.have.length(places.length - 1)
    expect(text).to.contain('Linux 6.18.0')
    expect(text).to.contain(
      '| stack → kernel | 3 | 4.00 | 6.00 | 8.00 | 10.00 | 12.00 | 2.00 [2.00–2.00] | 3 of 3 |',
    )
    expect(text).to.contain('| 50 ms | kernel → stack | 1.50 [1.00–2.00] |')
    expect(text).to.contain('| 20 ms, CoDel | stack, then kernel | 0.800 [0.800–0.800] | 25 [25–25] % |')
    const images = readdirSync(join(folder, 'images'))
    expect(images).to.have.length(6)
    for (const image of images)
      expect(statSync(join(folder, 'images', image)).size).to.be.within(5000, 100_000)

    drawPage(folder, folder)
    expect(readFileSync(page, 'utf8')).to.equal(text)
    writeFileSync(page, 'a page without places')
    expect(() => drawPage(folder, folder)).to.throw(/no place for 'conditions'/)
  })
})
