/** Two stacks on a pipe in virtual time, with TCP between them. */
import { expect } from 'chai'
import {
  createPipe,
  type LinkDevice,
  MILLISECOND,
  type PipeOptions,
  Stack,
  seededRandom,
  type TcpConnectOptions,
  type TcpListenOptions,
  type TcpServer,
  type TcpSocket,
  VirtualClock,
} from '../../lib/index.ts'

export const LEFT = '10.77.0.1'
export const RIGHT = '10.77.0.2'

export class Pair {
  readonly clock = new VirtualClock()
  readonly left: Stack
  readonly right: Stack

  /** @param wrap puts something between each end and its stack */
  constructor(
    options: PipeOptions & { seed?: number; wrap?: (device: LinkDevice, side: 0 | 1) => LinkDevice } = {},
  ) {
    const { seed = 1, wrap = (device) => device, ...pipe } = options
    const [a, b] = createPipe({ names: ['p0', 'p1'], queue: 10_000, ...pipe })
    this.left = new Stack({ clock: this.clock, random: seededRandom(seed) })
    this.right = new Stack({ clock: this.clock, random: seededRandom(seed + 1000) })
    this.left.addDevice(wrap(a, 0), { name: 'p0' }).addAddress(`${LEFT}/24`)
    this.right.addDevice(wrap(b, 1), { name: 'p1' }).addAddress(`${RIGHT}/24`)
  }

  /** Lets time pass until the promise is settled; fails if it is not within `limit` seconds of virtual time. */
  async until<T>(promise: Promise<T>, limit = 600): Promise<T> {
    let settled = false
    const done = (): void => {
      settled = true
    }
    promise.then(done, done)
    const end = this.clock.now() + limit * 1e9
    while (!settled) {
      this.clock.advance(0)
      await tick()
      if (settled) break
      const next = this.clock.untilNext()
      if (next === undefined || this.clock.now() + next > end) {
        await tick()
        if (settled) break
        throw new Error(
          next === undefined ? 'nothing is left to happen, and it has not come' : `not within ${limit} s`,
        )
      }
      this.clock.advance(next)
    }
    return promise
  }

  /** Lets milliseconds pass. */
  async pass(milliseconds: number): Promise<void> {
    const end = this.clock.now() + milliseconds * MILLISECOND
    for (;;) {
      this.clock.advance(0)
      await tick()
      const next = this.clock.untilNext()
      if (next === undefined || this.clock.now() + next > end) break
      this.clock.advance(next)
    }
    this.clock.advance(end - this.clock.now())
    await tick()
  }

  /** A connection from left to right. */
  async connect(
    options: Partial<TcpConnectOptions> = {},
    listen: Partial<TcpListenOptions> = {},
  ): Promise<{ client: TcpSocket; server: TcpSocket; listener: TcpServer }> {
    const listener = this.right.tcp.listen({ port: 80, ...listen })
    const accepted = listener.accept()
    const client = await this.until(this.left.tcp.connect({ address: RIGHT, port: 80, ...options }))
    const server = await this.until(accepted)
    return { client, server, listener }
  }

  /** Closes both; no packet may be left. */
  async end(): Promise<void> {
    await Promise.all([this.left.close(), this.right.close()])
    this.clock.advance(0)
    expect(this.left.pool.outstanding + this.right.pool.outstanding, 'packets never freed').to.equal(0)
  }
}

/** Lets promises have their turn. */
export function tick(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Bytes that tell where in the stream they belong. */
export function content(length: number, seed = 0): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length)
  let x = (seed * 2654435761 + 12345) | 0
  for (let i = 0; i < length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0
    bytes[i] = x >>> 24
  }
  return bytes
}

/** Reads to the end. */
export async function readAll(socket: TcpSocket): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of socket) {
    chunks.push(chunk)
    length += chunk.length
  }
  const all = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    all.set(chunk, at)
    at += chunk.length
  }
  return all
}

/** Writes in pieces, each when there is room. */
export async function writeAll(socket: TcpSocket, bytes: Uint8Array, piece = 50_000): Promise<void> {
  for (let at = 0; at < bytes.length; at += piece) await socket.write(bytes.subarray(at, at + piece))
}
