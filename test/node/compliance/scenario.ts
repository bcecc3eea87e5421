/**
 * A scenario is a function of a `net` and an address: it runs on Node's own over the kernel and on ours over a stack,
 * and what both recorded is compared.
 */
import { once } from 'node:events'
import type { AddressInfo, Server, Socket } from 'node:net'
import { Recorder } from './recorder.ts'

export type Net = typeof import('node:net')

export interface Family {
  readonly name: 'IPv4' | 'IPv6'
  /** The loopback address, another one of this host, one that no host has, all of them. */
  readonly host: string
  readonly other: string
  readonly foreign: string
  readonly any: string
}

export const IPV4: Family = {
  name: 'IPv4',
  host: '127.0.0.1',
  other: '127.0.0.2',
  foreign: '192.0.2.77',
  any: '0.0.0.0',
}

export interface Run {
  readonly net: Net
  readonly family: Family
  readonly recorder: Recorder
  /** Closed when the scenario is over, whatever has become of them. */
  readonly open: (Socket | Server)[]
}

/**
 * `ordered`: each line in its place. Otherwise the lines of each name in their order: which of two ends of a
 * connection the kernel wakes first is nobody's promise.
 */
export interface Scenario {
  readonly name: string
  readonly run: (run: Run) => Promise<void> | void
}

/** A server that listens, with its port named in the record. */
export async function listening(
  { net, family, recorder, open }: Run,
  options: import('node:net').ServerOpts = {},
  onConnection?: (socket: Socket) => void,
): Promise<{ server: Server; port: number }> {
  const server = net.createServer(options, onConnection)
  open.push(server)
  server.on('connection', (socket) => open.push(socket))
  server.listen(0, family.host)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  recorder.name(port, 'PORT')
  return { server, port }
}

export interface Pair {
  readonly server: Server
  readonly client: Socket
  readonly accepted: Socket
  readonly port: number
}

/** Two ends of a connection, nothing recorded yet. */
export async function pair(
  run: Run,
  server: import('node:net').ServerOpts = {},
  client: Partial<import('node:net').TcpNetConnectOpts> & import('node:net').SocketConstructorOpts = {},
): Promise<Pair> {
  const listener = await listening(run, server)
  const accepting = once(listener.server, 'connection') as Promise<[Socket]>
  const socket = run.net.connect({ port: listener.port, host: run.family.host, ...client })
  run.open.push(socket)
  const [[accepted]] = await Promise.all([accepting, once(socket, 'connect')])
  run.open.push(accepted)
  run.recorder.name(socket.localPort!, 'CLIENT')
  return { ...listener, client: socket, accepted }
}

/** `closed` is true before the event, which follows when the handle is closed. */
export const closed = (emitter: Socket | Server): Promise<unknown> =>
  'closed' in emitter && emitter.closed ? pause(10) : new Promise((resolve) => emitter.once('close', resolve))

/** In several turns of the event loop: on a busy machine a time alone says nothing of what has come up in it. */
export async function pause(ms: number): Promise<void> {
  const turns = Math.max(5, Math.min(ms, 10))
  for (let i = 0; i < turns; i++) await new Promise((resolve) => setTimeout(resolve, ms / turns))
}

/** Lines of each name in their order: `client …`, `server …`. */
export function byName(lines: readonly string[]): Record<string, string[]> {
  const groups: Record<string, string[]> = {}
  for (const line of lines) {
    const name = line.split(' ', 1)[0]!
    groups[name] ??= []
    groups[name].push(line)
  }
  return groups
}

export async function record(
  scenario: Scenario,
  net: Net,
  family: Family,
): Promise<Record<string, string[]>> {
  const recorder = new Recorder()
  const open: (Socket | Server)[] = []
  try {
    await scenario.run({ net, family, recorder, open })
  } finally {
    for (const each of open) {
      if ('listen' in each) each.close()
      else each.on('error', () => {}).destroy()
    }
  }
  return byName(recorder.lines)
}
