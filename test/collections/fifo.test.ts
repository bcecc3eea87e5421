import { assert } from 'chai'
import fc from 'fast-check'
import { Fifo } from '../../lib/collections/fifo.ts'

describe('Fifo', () => {
  it('gives its members in the order in which they came', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constant('shift' as const), fc.nat(40))), (steps) => {
        const fifo = new Fifo<{ n: number }>()
        const model: { n: number }[] = []
        let n = 0
        for (const step of steps) {
          if (step === 'shift') assert.strictEqual(fifo.shift(), model.shift() ?? null)
          else {
            for (let i = 0; i < step; i++) {
              const member = { n: n++ }
              fifo.push(member)
              model.push(member)
            }
          }
          assert.equal(fifo.length, model.length)
        }
        for (const member of model) assert.strictEqual(fifo.shift(), member)
        assert.isNull(fifo.shift())
      }),
    )
  })
})
