import { expect } from 'chai'
import { ALGORITHMS, differences, measure, nameOf, readGolden } from './golden.ts'
import { PATHS } from './paths.ts'

/** Every so many cells, so that each row and each column of the table is met by some. */
const STRIDE = 11

describe('goodput', function () {
  this.timeout(120_000)
  this.slow(60_000)

  it('is that of the golden table (all of it: npm run goodput -- --check)', async () => {
    const now = await measure((_, __, index) => index % STRIDE === 0, [1])
    const changed = differences(readGolden(), now)
    const advice = 'if the change is meant: npm run goodput -- --update, and say in CHANGELOG.md what made it'
    expect(changed.join('\n'), advice).to.equal('')
  })

  it('has a cell for each algorithm and path, and no other', () => {
    const names = ALGORITHMS.flatMap((algorithm) => PATHS.map((path) => nameOf(algorithm, path)))
    expect(Object.keys(readGolden())).to.deep.equal(names)
  })

  it('fills a path that loses nothing, whatever its delay', () => {
    for (const [name, bytes] of Object.entries(readGolden())) {
      if (!/ (1|4) BDP: loss 0 %/.test(name)) continue
      // 20 Mbit/s less headers is 19.3; slow start takes its part where a round trip is 200 ms.
      for (const count of bytes) expect((count * 8) / 20e6, name).to.be.above(13)
    }
  })
})
