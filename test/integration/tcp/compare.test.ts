/** The rig of `npm run compare`: each pairing of the two TCPs, over the same bad path, with every byte looked at. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { ENDS } from '../../../bench/compare/flow.ts'
import { compileFlow, Rig } from '../../../bench/compare/rig.ts'
import { chance } from '../../../lib/device/impair/loss.ts'
import { seededRandom } from '../../../lib/index.ts'
import { Random } from '../../../lib/random/random.ts'
import { useTestbed } from '../netns.ts'

const LOSS = 0.03

/** How many of the first `count` packets a path with this seed loses. */
function lostOf(count: number, seed: number): number {
  const random = new Random(seededRandom(seed))
  let lost = 0
  for (let i = 0; i < count; i++) if (chance(random, LOSS)) lost++
  return lost
}

describe('the rig that compares TCP with the kernel’s', function () {
  this.timeout(60_000)
  this.slow(10_000)
  const bed = useTestbed({ lasting: true })
  let folder: string
  let rig: Rig

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tunstack-compare-'))
    rig = await Rig.open(bed, compileFlow(folder))
  })
  after(() => rmSync(folder, { recursive: true }))

  for (const from of ENDS) {
    for (const to of ENDS) {
      it(`carries what the ${from} sends to the ${to}, and loses the packets that the seed says`, async () => {
        const seed = 2 // loses the ninth packet, and more
        await rig.lay({
          seed,
          forward: { delay: '5ms', rate: '20mbit', queue: 30, loss: LOSS },
          backward: { delay: '5ms' },
        })
        const { received, sent } = await rig.flow({ from, to, seconds: 0.8, traced: true })
        const { forward } = await rig.report()
        expect(received.bytes).to.be.above(0)
        expect(received.slots.reduce((sum, bytes) => sum + bytes, 0)).to.equal(received.bytes)
        expect(forward.lost).to.equal(lostOf(forward.sent, seed)).and.to.be.above(0)
        expect(sent.info.total_retrans).to.be.above(0)
        const seen = from === 'kernel' ? sent.trace : sent.events?.filter(({ type }) => type === 'retransmit')
        expect(seen).to.be.an('array').that.is.not.empty
      })
    }
  }
})
