/** Groups on the loopback: who hears them, by which device they leave, and how joining fails. */
import type { Socket } from 'node:dgram'
import { bound, messages, pause, type Run, type Scenario, thrown } from './scenario.ts'

/** A socket that sends to groups by the loopback. */
async function sender(run: Run, as = 'from', address = run.family.host): Promise<Socket> {
  const socket = await bound(run, as, {}, { address })
  socket.setMulticastInterface(run.family.host)
  return socket
}

async function receiver(run: Run, as = 'to', port = 0): Promise<Socket> {
  return await bound(run, as, { reuseAddr: true }, { address: run.family.any, port })
}

export const MULTICAST: readonly Scenario[] = [
  {
    name: 'members hear it, and those who have left do not',
    run: async (run) => {
      const { group, host } = run.family
      const [from, to] = [await sender(run), await receiver(run)]
      const { port } = to.address()
      to.addMembership(group, host)
      from.send('one', port, group, (...args) => run.recorder.note('callback', ...args))
      await messages(to)
      to.dropMembership(group, host)
      from.send('two', port, group, (...args) => run.recorder.note('callback', ...args))
      await pause(5)
    },
  },
  {
    name: 'all members hear it',
    run: async (run) => {
      const { group, host } = run.family
      const [from, one] = [await sender(run), await receiver(run, 'one')]
      const two = await receiver(run, 'two', one.address().port)
      for (const socket of [one, two]) socket.addMembership(group, host)
      from.send('to both', one.address().port, group)
      await Promise.all([messages(one), messages(two)])
    },
  },
  {
    name: 'not without the loop',
    run: async (run) => {
      const { group, host } = run.family
      const [from, to] = [await sender(run), await receiver(run)]
      to.addMembership(group, host)
      run.recorder.note('from', from.setMulticastLoopback(false))
      from.send('unheard', to.address().port, group)
      await pause(5)
      run.recorder.note('from', from.setMulticastLoopback(true))
      from.send('heard', to.address().port, group)
      await messages(to)
    },
  },
  {
    name: 'joining twice, leaving twice',
    run: async (run) => {
      const { group, host } = run.family
      const socket = await receiver(run)
      for (const call of ['addMembership', 'addMembership', 'dropMembership', 'dropMembership'] as const) {
        thrown(run, call, () => socket[call](group, host))
      }
    },
  },
  {
    name: 'more groups than a socket may join',
    run: async (run) => {
      const socket = await receiver(run)
      for (let i = 1; i <= 22; i++) {
        thrown(run, `group ${i}`, () => socket.addMembership(`239.9.9.${i}`, run.family.host))
      }
    },
  },
  {
    name: 'from one source only',
    run: async (run) => {
      const { host, other } = run.family
      const group = '232.1.2.3'
      const [one, two] = [await sender(run, 'one'), await sender(run, 'two', other)]
      const to = await receiver(run)
      const { port } = to.address()
      to.addSourceSpecificMembership(other, group, host)
      one.send('unheard', port, group)
      two.send('heard', port, group)
      await messages(to)
      to.addSourceSpecificMembership(host, group, host)
      one.send('heard too', port, group)
      await messages(to)
      to.dropSourceSpecificMembership(host, group, host)
      one.send('unheard again', port, group)
      await pause(5)
    },
  },
  {
    name: 'sources: how joining and leaving fail',
    run: async (run) => {
      const { host, other } = run.family
      const group = '232.1.2.3'
      const socket = await receiver(run)
      const calls: [string, () => void][] = [
        ['drop', () => socket.dropSourceSpecificMembership(host, group, host)],
        ['add', () => socket.addSourceSpecificMembership(host, group, host)],
        ['add again', () => socket.addSourceSpecificMembership(host, group, host)],
        ['add for all', () => socket.addMembership(group, host)],
        ['drop another', () => socket.dropSourceSpecificMembership(other, group, host)],
        ['drop it', () => socket.dropSourceSpecificMembership(host, group, host)],
        ['drop it again', () => socket.dropSourceSpecificMembership(host, group, host)],
        ['add to no group', () => socket.addSourceSpecificMembership(host, other, host)],
        ['add for all first', () => socket.addMembership(group, host)],
        ['and for one', () => socket.addSourceSpecificMembership(host, group, host)],
        ['drop for all', () => socket.dropMembership(group, host)],
      ]
      for (const [as, call] of calls) thrown(run, as, call)
      for (let i = 1; i <= 12; i++) {
        thrown(run, `source ${i}`, () => socket.addSourceSpecificMembership(`127.0.0.${i}`, group, host))
      }
    },
  },
  {
    name: 'the interface that groups leave by',
    run: async (run) => {
      const socket = await bound(run, 'socket')
      for (const address of [run.family.host, run.family.any, run.family.foreign, '::1', '::%lo', 'lo', '']) {
        thrown(run, `interface ${address}`, () => socket.setMulticastInterface(address))
      }
    },
  },
  {
    name: 'groups of the other family',
    run: async (run) => {
      const socket = await bound(run, 'socket')
      thrown(run, 'add', () => socket.addMembership('ff02::1', run.family.host))
      thrown(run, 'drop', () => socket.dropMembership('ff02::1', run.family.host))
      thrown(run, 'sources', () => socket.addSourceSpecificMembership('::1', 'ff02::1', run.family.host))
      thrown(run, 'add anywhere', () => socket.addMembership('ff02::1'))
      thrown(run, 'add to an interface', () => socket.addMembership('ff02::1', '::%lo'))
      thrown(run, 'source', () => socket.addSourceSpecificMembership('::1', 'ff02::1'))
      thrown(run, 'mixed', () => socket.addSourceSpecificMembership('127.0.0.1', 'ff02::1', run.family.host))
    },
  },
  {
    name: 'what setting gives',
    run: async (run) => {
      const socket = await bound(run, 'socket')
      run.recorder.note(
        'socket',
        socket.setTTL(64),
        socket.setMulticastTTL(0),
        socket.setMulticastTTL(255),
        socket.setMulticastLoopback(1 as never),
        socket.setBroadcast(true),
        socket.setMulticastInterface(run.family.host),
        socket.addMembership(run.family.group, run.family.host),
        socket.dropMembership(run.family.group, run.family.host),
        socket.setRecvBufferSize(5000),
        socket.setSendBufferSize(5000),
      )
    },
  },
  {
    name: 'a socket of any address sends from the interface that was set',
    run: async (run) => {
      const { group, host, other, any } = run.family
      const from = await bound(run, 'from', {}, { address: any })
      from.setMulticastInterface(other)
      const to = await receiver(run)
      to.addMembership(group, host)
      from.send('hello', to.address().port, group)
      await messages(to)
    },
  },
]
