/** Runs the ping of iputils in a namespace, and reads what it says. */
import type { Namespace } from '../test/integration/netns.ts'
import { percentile } from './statistics.ts'

export interface PingRun {
  sent: number
  received: number
  /** Milliseconds from the first request to the last reply, as ping prints them. */
  duration: number
  /** Microseconds. */
  min: number
  avg: number
  /** Median of the single replies; only where ping prints them. */
  p50: number
}

/** `ping -f`: the next request leaves when the reply to the last is there, `preload` of them to begin with. */
export function flood(namespace: Namespace, address: string, count: number, preload = 1): Promise<PingRun> {
  return ping(namespace, ['-f', '-q', '-l', `${preload}`, '-c', `${count}`, address])
}

/** One request every 10 ms. */
export function paced(namespace: Namespace, address: string, count: number): Promise<PingRun> {
  return ping(namespace, ['-i', '0.01', '-c', `${count}`, address])
}

async function ping(namespace: Namespace, args: readonly string[]): Promise<PingRun> {
  const { stdout, stderr, status } = await namespace.run(['ping', '-n', ...args], { timeout: 70_000 })
  if (status !== 0)
    throw new Error(`ping ${args.join(' ')} ended with ${status}:\n${stdout.slice(-500)}${stderr}`)
  return parsePing(stdout)
}

/** @throws Error if it is not the output of ping */
export function parsePing(output: string): PingRun {
  const totals = /(\d+) packets transmitted, (\d+) received.* time (\d+)ms/.exec(output)
  const times = /= ([\d.]+)\/([\d.]+)\/([\d.]+)\/[\d.]+ ms/.exec(output)
  if (totals === null || times === null) throw new Error(`not the output of ping: ${output.slice(0, 500)}`)
  const replies = [...output.matchAll(/ time=([\d.]+) ms/g)].map(([, time]) => Number(time) * 1000)
  return {
    sent: Number(totals[1]),
    received: Number(totals[2]),
    duration: Number(totals[3]),
    min: Number(times[1]) * 1000,
    avg: Number(times[2]) * 1000,
    p50:
      replies.length === 0
        ? Number.NaN
        : percentile(
            replies.sort((a, b) => a - b),
            50,
          ),
  }
}
