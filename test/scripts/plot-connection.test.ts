import { expect } from 'chai'
import { type Point, thin } from '../../scripts/plot/chart.ts'
import { drawConnection } from '../../scripts/plot/connection.ts'
import { eventsOf, parseEvents, type SimulatedFlow } from '../../scripts/plot-connection.ts'

const FLOW: SimulatedFlow = {
  seed: 1,
  seconds: 2,
  congestion: 'cubic',
  delay: '20ms',
  jitter: '0ms',
  rate: '5Mbit',
  loss: '3%',
  reorder: '0',
  queue: '100',
}

describe('the plot of a connection', () => {
  it('is made of its live events, and the same for the same seed', async () => {
    const events = await eventsOf(FLOW)
    expect(new Set(events.map(({ type }) => type))).to.include.all.keys(
      'state',
      'rtt',
      'flight',
      'cwnd',
      'retransmit',
    )
    const svg = drawConnection(events, { title: 'One <connection>', subtitle: 'seed 1' })
    expect(drawConnection(await eventsOf(FLOW), { title: 'One <connection>', subtitle: 'seed 1' })).to.equal(
      svg,
    )
    expect(svg).to.match(/^<svg [^>]*xmlns="http:\/\/www.w3.org\/2000\/svg".*<\/svg>\n$/s)
    expect(svg.length).to.be.below(100_000)
    for (const text of [
      'One &lt;connection&gt;',
      'cwnd',
      'ssthresh',
      'in flight',
      'RTT',
      'srtt',
      'rack',
      'timeout',
    ])
      expect(svg, text).to.contain(`>${text}</text>`)
    const other = drawConnection(await eventsOf({ ...FLOW, seed: 2 }), {
      title: 'One <connection>',
      subtitle: 'seed 1',
    })
    expect(other).not.to.equal(svg)
  })

  it('has a dot for each time that something was sent again', async () => {
    const events = await eventsOf(FLOW)
    const title = 'One'
    const without = events.filter(({ type }) => type !== 'retransmit')
    const count = events.length - without.length
    expect(count).to.be.above(5)
    const figures = (svg: string): number => svg.match(/<path /g)!.length
    const drawn = figures(drawConnection(events, { title })) - figures(drawConnection(without, { title }))
    expect(drawn).to.be.within(count / 2, count) // those of one instant are one
  })

  it('takes events that were written down, where no threshold is null', async () => {
    const events = await eventsOf(FLOW)
    const text = events.map((event) => `${JSON.stringify(event)}\n`).join('\n')
    const title = 'One'
    expect(drawConnection(parseEvents(text), { title })).to.equal(drawConnection(events, { title }))
    expect(() => drawConnection([], { title })).to.throw(RangeError)
  })

  it('thins a line to the first, lowest, highest and last of each column', () => {
    const points = Array.from({ length: 10_000 }, (_, i): Point => [i / 1000, i % 1000 === 500 ? 99 : i % 7])
    const thinned = thin(points, 0, 10, 100)
    expect(thinned.length).to.be.within(300, 400)
    expect(thinned.filter(([, y]) => y === 99)).to.have.length(10)
    expect(thinned[0]).to.equal(points[0])
    expect(thinned.at(-1)).to.equal(points.at(-1))
    expect(thinned.map(([x]) => x)).to.deep.equal(thinned.map(([x]) => x).sort((a, b) => a - b))
    expect(
      thin(
        [
          [1, null],
          [2, 3],
        ],
        0,
        10,
      ),
    ).to.deep.equal([
      [1, null],
      [2, 3],
    ])
  })
})
