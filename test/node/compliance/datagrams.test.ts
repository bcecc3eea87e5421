import nodeDgram, { type Socket } from 'node:dgram'
import { once } from 'node:events'
import { expect } from 'chai'
import { Stack } from '../../../lib/index.ts'
import { nodeSockets } from '../../../lib/node/index.ts'
import { DATAGRAMS, type DatagramRun, type Dgram } from './datagrams.ts'
import { Recorder } from './recorder.ts'
import { byName, type Family, IPV4 } from './scenario.ts'

/** What the scenario recorded, by who said it: which of two sockets the kernel wakes first is nobody's promise. */
async function record(
  run: (run: DatagramRun) => Promise<void> | void,
  dgram: Dgram,
  family: Family,
): Promise<Record<string, string[]>> {
  const recorder = new Recorder()
  const open: Socket[] = []
  const type = family.name === 'IPv4' ? 'udp4' : 'udp6'
  const socket: DatagramRun['socket'] = (as, options = {}) => {
    const made = dgram.createSocket({ type, ...options })
    open.push(made)
    const seen =
      (event: string) =>
      (...details: unknown[]): void =>
        recorder.note(as, event, ...details)
    made.on('listening', () => recorder.name(made.address().port, as.toUpperCase()))
    for (const event of ['listening', 'connect', 'close', 'error', 'message']) made.on(event, seen(event))
    return made
  }
  const bound: DatagramRun['bound'] = async (as, options) => {
    const made = socket(as, options)
    made.bind(0, family.host)
    await once(made, 'listening')
    return { socket: made, port: made.address().port }
  }
  try {
    await run({ dgram, family, recorder, socket, bound })
    await new Promise((resolve) => setImmediate(resolve))
  } finally {
    for (const each of open) {
      each.removeAllListeners().on('error', () => {})
      try {
        each.close()
      } catch {} // closed already
    }
  }
  return byName(recorder.lines)
}

describe('node:dgram over a stack is as over the kernel', () => {
  let stack: Stack
  before(() => {
    stack = new Stack()
  })
  after(() => stack.close())

  for (const family of [IPV4]) {
    describe(family.name, () => {
      for (const { name, run } of DATAGRAMS) {
        it(name, async () => {
          const expected = await record(run, nodeDgram, family)
          const got = await record(run, nodeSockets(stack).dgram, family)
          expect(Object.keys(expected).length).to.be.greaterThan(0)
          expect(got).to.deep.equal(expected)
        })
      }
    })
  }
})
