/**
 * A scenario is a function of a `dgram` and an address: it runs on Node's own over the kernel and on ours over a stack,
 * and what both recorded is compared.
 */
import type { BindOptions, RemoteInfo, Socket } from 'node:dgram'
import { once } from 'node:events'
import { Recorder } from '../recorder.ts'
import { byName, IPV4, type Family as NetFamily } from '../scenario.ts'

export { pause } from '../scenario.ts'

export type Dgram = typeof import('node:dgram')

export interface Family extends NetFamily {
  readonly type: 'udp4' | 'udp6'
  /** What everybody on the loopback hears; a group. */
  readonly broadcast: string
  readonly group: string
}

export const UDP4: Family = { ...IPV4, type: 'udp4', broadcast: '127.255.255.255', group: '239.1.2.3' }

export interface Run {
  readonly dgram: Dgram
  readonly family: Family
  readonly recorder: Recorder
  /** A socket that is closed when the scenario is over, whatever has become of it; nothing of it is recorded. */
  socket(options?: Record<string, unknown>): Socket
}

/** Lines of each name are compared in their order: which of two sockets the kernel wakes first is nobody's promise. */
export interface Scenario {
  readonly name: string
  readonly run: (run: Run) => Promise<void> | void
}

/** Notes each event of a socket, under a name. */
export function watch({ recorder }: Run, socket: Socket, as: string): Socket {
  for (const event of ['listening', 'connect', 'close', 'error']) {
    socket.on(event, (...args: unknown[]) => recorder.note(as, event, ...args))
  }
  return socket.on('message', (bytes, from) => recorder.note(as, 'message', bytes, from))
}

/** A socket that is bound to a port, which the record has as its name in capitals; its events are noted. */
export async function bound(
  run: Run,
  as: string,
  options: Record<string, unknown> = {},
  bind: BindOptions = {},
): Promise<Socket> {
  const socket = run.socket(options)
  socket.bind({ port: 0, address: run.family.host, ...bind })
  await once(socket, 'listening')
  run.recorder.name(socket.address().port, as.toUpperCase())
  return watch(run, socket, as)
}

/** The names of who sends and who gets it. */
export async function pair(run: Run): Promise<{ from: Socket; to: Socket; port: number }> {
  const [from, to] = [await bound(run, 'from'), await bound(run, 'to')]
  return { from, to, port: to.address().port }
}

/** The next datagrams of a socket. */
export function messages(socket: Socket, count = 1): Promise<[Buffer, RemoteInfo][]> {
  const got: [Buffer, RemoteInfo][] = []
  return new Promise((resolve) => {
    const take = (bytes: Buffer, from: RemoteInfo): void => {
      if (got.push([bytes, from]) < count) return
      socket.off('message', take)
      resolve(got)
    }
    socket.on('message', take)
  })
}

export async function message(socket: Socket): Promise<[Buffer, RemoteInfo]> {
  return (await messages(socket))[0]!
}

/** It is bound, or could not be. */
export const settled = (socket: Socket): Promise<void> =>
  new Promise((resolve) => socket.once('listening', resolve).once('error', () => resolve()))

export const thrown = ({ recorder }: Run, as: string, call: () => unknown): void => {
  try {
    recorder.note(as, 'gave', typeof call())
  } catch (error) {
    recorder.note(as, 'threw', error)
  }
}

export async function record(
  scenario: Scenario,
  dgram: Dgram,
  family: Family,
): Promise<Record<string, string[]>> {
  const recorder = new Recorder()
  const open: Socket[] = []
  const socket: Run['socket'] = (options = {}) => {
    const made = dgram.createSocket({ type: family.type, ...options } as never)
    open.push(made)
    return made
  }
  try {
    await scenario.run({ dgram, family, recorder, socket })
  } finally {
    const { length } = recorder.lines
    for (const each of open) {
      each.on('error', () => {})
      try {
        each.close()
      } catch {
        // It is closed already.
      }
    }
    recorder.lines.length = length
  }
  return byName(recorder.lines)
}
