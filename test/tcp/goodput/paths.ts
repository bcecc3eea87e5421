/**
 * The paths of the golden table: one bulk flow over a bottleneck, in virtual time, by loss, delay and buffer, and over
 * paths that reorder, duplicate, damage or lose in bursts. What arrives depends on the seed alone, so that a table of
 * exact byte counts shows each change to TCP that makes a difference to somebody.
 */
import type { Impairment } from '../../../lib/index.ts'
import { simulate } from '../../../lib/sim/index.ts'

/** The bottleneck, in Mbit/s, and how long the flow lasts, in seconds. */
export const RATE = 20
export const SECONDS = 20
export const SEEDS = [1, 2, 3] as const

const MTU = 1500

export interface Path {
  /** Of the row: `delay 25 ms, buffer 1 BDP`. */
  row: string
  /** Of the column: `loss 1 %`. */
  column: string
  forward: Impairment
  /** One way, in milliseconds. */
  delay: number
}

export const DELAYS = [1, 10, 25, 50, 100] as const
export const LOSSES = [0, 0.001, 0.01, 0.03, 0.05] as const

/** Packets of a bandwidth-delay product. */
export function bdp(delay: number): number {
  return Math.ceil((RATE * 1000 * 2 * delay) / 8 / MTU)
}

const QUEUES: readonly (readonly [string, (delay: number) => NonNullable<Impairment['queue']>])[] = [
  ['0.1 BDP', (delay) => Math.max(4, Math.ceil(0.1 * bdp(delay)))],
  ['1 BDP', (delay) => Math.max(8, bdp(delay))],
  ['4 BDP', (delay) => Math.max(16, 4 * bdp(delay))],
  ['CoDel', () => 'codel'],
]

export function percent(probability: number): string {
  return `${Number((probability * 100).toFixed(2))} %`
}

function grid(): Path[] {
  return DELAYS.flatMap((delay) =>
    QUEUES.flatMap(([name, queue]) =>
      LOSSES.map((loss) => ({
        row: `${delay} ms, ${name}`,
        column: `loss ${percent(loss)}`,
        delay,
        forward: { queue: queue(delay), loss },
      })),
    ),
  )
}

const TROUBLE: readonly (readonly [string, Impairment])[] = [
  ['jitter 10 ms', { jitter: '10ms' }],
  ['reorder 1 %', { reorder: 0.01 }],
  ['reorder 10 %', { reorder: 0.1 }],
  ['duplicate 5 %', { duplicate: 0.05 }],
  ['corrupt 1 %', { corrupt: 0.01 }],
  ['loss in bursts', { loss: { enter: 0.002, recover: 0.3 } }],
]

/** Every path of the table, in its order. */
export const PATHS: readonly Path[] = [
  ...grid(),
  ...[10, 50].flatMap((delay) =>
    TROUBLE.map(([column, trouble]) => ({
      row: `${delay} ms, 1 BDP`,
      column,
      delay,
      forward: { queue: bdp(delay), ...trouble },
    })),
  ),
]

/** Bytes that have arrived after {@link SECONDS}. @throws if nothing arrives in the last quarter of that time */
export async function goodput(path: Path, algorithm: string, seed: number): Promise<number> {
  const net = simulate({ seed, record: 0 })
  const [a, b] = [net.host('10.0.0.1/24'), net.host('10.0.0.2/24')]
  a.sysctlSet('net.ipv4.tcp_congestion_control', algorithm)
  const delay = `${path.delay}ms`
  net.link(a, b, { delay, forward: { delay, rate: `${RATE}mbit`, ...path.forward } })
  const end = SECONDS * 1000
  let bytes = 0
  let before = 0
  try {
    await net.run(async () => {
      const server = b.tcp.listen({ port: 9 })
      const socket = await a.tcp.connect({ address: '10.0.0.2', port: 9 })
      const receiver = await server.accept()
      const chunk = new Uint8Array(65536)
      const sending = (async () => {
        while (net.time < end) await socket.write(chunk)
      })()
      const receiving = (async () => {
        const buffer = new Uint8Array(65536)
        while (net.time < end) bytes += await receiver.readInto(buffer)
      })()
      const reset = (): void => undefined
      sending.catch(reset)
      receiving.catch(reset)
      await net.sleep((end * 3) / 4)
      before = bytes
      await net.sleep(end - net.time)
      socket.reset()
      receiver.reset()
    })
  } finally {
    await net.close()
  }
  if (bytes === before) throw new Error(`${path.row}, ${path.column}, seed ${seed}: nothing arrives any more`)
  return bytes
}
