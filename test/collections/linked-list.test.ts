import { assert } from 'chai'
import fc from 'fast-check'
import { type Linked, LinkedList } from '../../lib/collections/linked-list.ts'

class Member implements Linked<Member> {
  next: Member | null = null
  previous: Member | null = null
}

describe('LinkedList', () => {
  it('is what a Set is: members once, in the order in which they came', () => {
    const members = Array.from({ length: 8 }, () => new Member())
    const step = fc.record({ add: fc.boolean(), which: fc.nat(members.length - 1) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        for (const member of members) member.next = member.previous = null
        const list = new LinkedList<Member>()
        const model = new Set<Member>()
        for (const { add, which } of steps) {
          const member = members[which]!
          assert.equal(list.has(member), model.has(member))
          if (!add) assert.equal(list.remove(member), model.delete(member))
          else if (!model.has(member)) {
            list.push(member)
            model.add(member)
          }
          assert.equal(list.length, model.size)
          assert.deepEqual([...list], [...model])
          assert.strictEqual(list.first, [...model][0] ?? null)
        }
      }),
    )
  })

  it('loses the member at hand while it is iterated', () => {
    const list = new LinkedList<Member>()
    for (let i = 0; i < 5; i++) list.push(new Member())
    const [, second] = list
    for (const member of list) if (member !== second) list.remove(member)
    assert.deepEqual([...list], [second])
  })
})
