/**
 * Plots what happens to a connection, from its live events (docs/tcp.md), to SVG: one that it makes itself in a simulated
 * network, or one whose events were written down.
 *
 *     npm run plot -- --delay 25ms --loss 0.01 --rate 20mbit --seed 1 --congestion cubic -o x.svg
 *     npm run plot -- --events events.jsonl -o x.svg        a JSON text for each event; '-' reads them from standard input
 *
 * --delay is that of one way; also --jitter, --queue (packets, '64kb', 'codel'), --reorder, --seconds.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { TcpConnectOptions, TcpEvent } from '../lib/index.ts'
import { simulate } from '../lib/sim/index.ts'
import { drawConnection } from './plot/connection.ts'

export interface SimulatedFlow {
  seed: number
  seconds: number
  congestion: NonNullable<TcpConnectOptions['congestion']>
  delay: string
  jitter: string
  rate: string
  loss: string
  reorder: string
  queue: string
}

/** The events of a bulk flow over a link, in virtual time: the same for the same options, each time. */
export async function eventsOf(flow: SimulatedFlow): Promise<TcpEvent[]> {
  const { seed, seconds, congestion, delay, jitter, rate, loss, reorder, queue } = flow
  const net = simulate({ seed, record: 0 })
  const [a, b] = [net.host('10.0.0.1/24'), net.host('10.0.0.2/24')]
  const packets = Number(queue)
  net.link(a, b, {
    delay,
    forward: {
      delay,
      jitter,
      rate: rate.toLowerCase(),
      loss: number(loss),
      reorder: number(reorder),
      queue: Number.isNaN(packets) ? queue : packets,
    },
  })
  const events: TcpEvent[] = []
  const end = seconds * 1000
  try {
    await net.run(async () => {
      const server = b.tcp.listen({ port: 9 })
      const socket = await a.tcp.connect({
        address: '10.0.0.2',
        port: 9,
        congestion,
        events: (event) => void events.push(event),
      })
      const receiver = await server.accept()
      const chunk = new Uint8Array(65_536)
      const sending = (async () => {
        while (net.time < end) await socket.write(chunk)
      })()
      const receiving = (async () => {
        const buffer = new Uint8Array(65_536)
        while (net.time < end) await receiver.readInto(buffer)
      })()
      const reset = (): void => undefined
      sending.catch(reset)
      receiving.catch(reset)
      await net.sleep(end - net.time)
      socket.reset()
      receiver.reset()
    })
  } finally {
    await net.close()
  }
  return events
}

/** `0.01` or `1%`. */
function number(text: string): number | string {
  return text.endsWith('%') ? text : Number(text)
}

/** Events as they were written down, one JSON text in each line. */
export function parseEvents(text: string): TcpEvent[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line) as TcpEvent)
}

async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      delay: { type: 'string', default: '25ms' },
      jitter: { type: 'string', default: '0ms' },
      loss: { type: 'string', default: '0' },
      reorder: { type: 'string', default: '0' },
      rate: { type: 'string', default: '20mbit' },
      queue: { type: 'string', default: '100' },
      seed: { type: 'string', default: '1' },
      seconds: { type: 'string', default: '10' },
      congestion: { type: 'string', default: 'cubic' },
      events: { type: 'string' },
      out: { type: 'string', short: 'o', default: 'connection.svg' },
    },
  })
  const { events: file, out, seed, seconds, congestion, ...link } = values
  if (file !== undefined) {
    const text = readFileSync(file === '-' ? 0 : file, 'utf8')
    writeFileSync(out, drawConnection(parseEvents(text), { title: 'A TCP connection' }))
    return
  }
  const events = await eventsOf({
    ...link,
    seed: Number(seed),
    seconds: Number(seconds),
    congestion: congestion as SimulatedFlow['congestion'],
  })
  const { delay, rate, loss, queue } = link
  const subtitle = `${rate}, ${delay} each way, loss ${loss}, queue ${queue}, seed ${seed}`
  writeFileSync(out, drawConnection(events, { title: `A TCP connection with ${congestion}`, subtitle }))
}

if (process.argv[1] === import.meta.filename) await main(process.argv.slice(2))
