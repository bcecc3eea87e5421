import nodeDgram from 'node:dgram'
import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { Stack } from '../../../../lib/index.ts'
import { nodeSockets } from '../../../../lib/node/index.ts'
import { ARGUMENTS } from './arguments.ts'
import { BINDING } from './binding.ts'
import { CONNECTING } from './connecting.ts'
import { ENDING } from './ending.ts'
import { MULTICAST } from './multicast.ts'
import { RECEIVING } from './receiving.ts'
import { record, UDP4 } from './scenario.ts'
import { SENDING } from './sending.ts'

const SUITES = { ARGUMENTS, BINDING, CONNECTING, SENDING, RECEIVING, MULTICAST, ENDING }

describe('node:dgram over a stack is as over the kernel', () => {
  let stack: Stack
  before(() => {
    stack = new Stack()
    for (const name of ['rmem_default', 'rmem_max', 'wmem_default', 'wmem_max']) {
      stack.sysctl.set(`net.core.${name}`, Number(readFileSync(`/proc/sys/net/core/${name}`, 'utf8')))
    }
  })
  after(() => stack.close())

  for (const family of [UDP4]) {
    for (const [suite, scenarios] of Object.entries(SUITES)) {
      describe(`${suite.toLowerCase()}, ${family.name}`, () => {
        for (const scenario of scenarios) {
          it(scenario.name, async () => {
            const expected = await record(scenario, nodeDgram, family)
            const got = await record(scenario, nodeSockets(stack).dgram, family)
            expect(Object.keys(expected).length).to.be.greaterThan(0)
            expect(got).to.deep.equal(expected)
          })
        }
      })
    }
  }
})
