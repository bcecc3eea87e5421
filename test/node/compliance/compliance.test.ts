import nodeNet from 'node:net'
import { expect } from 'chai'
import { Stack } from '../../../lib/index.ts'
import { nodeSockets } from '../../../lib/node/index.ts'
import { ARGUMENTS } from './arguments.ts'
import { CONNECTING } from './connecting.ts'
import { ENDING } from './ending.ts'
import { LISTENING } from './listening.ts'
import { IPV4, record } from './scenario.ts'
import { TRANSFER } from './transfer.ts'

const SUITES = { ARGUMENTS, CONNECTING, LISTENING, TRANSFER, ENDING }

describe('node:net over a stack is as over the kernel', () => {
  let stack: Stack
  before(() => {
    stack = new Stack()
  })
  after(() => stack.close())

  for (const family of [IPV4]) {
    for (const [suite, scenarios] of Object.entries(SUITES)) {
      describe(`${suite.toLowerCase()}, ${family.name}`, () => {
        for (const scenario of scenarios) {
          it(scenario.name, async () => {
            const expected = await record(scenario, nodeNet, family)
            const got = await record(scenario, nodeSockets(stack).net, family)
            expect(Object.keys(expected).length).to.be.greaterThan(0)
            expect(got).to.deep.equal(expected)
          })
        }
      })
    }
  }
})
