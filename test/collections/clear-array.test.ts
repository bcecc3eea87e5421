import { expect } from 'chai'
import { clearArray } from '../../lib/collections/clear-array.ts'

describe('clearArray', () => {
  it('takes all members out, and the array can be filled again', () => {
    for (const size of [0, 1, 20, 5000]) {
      const list = Array.from({ length: size }, (_, i) => i)
      clearArray(list)
      expect(list).to.deep.equal([])
      list.push(7)
      expect(list).to.deep.equal([7])
    }
  })
})
