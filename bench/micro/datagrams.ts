/** UDP through sockets, over loopback: datagrams per second, and what is allocated for each. */
import { GCProfiler } from 'node:v8'
import { Stack, seededRandom, VirtualClock } from '../../lib/index.ts'
import { collect } from './memory.ts'
import { nanoseconds, type Timing } from './timing.ts'

const PORT = 5000
/** Datagrams that wait at most before they are read. */
const BATCH = 32

/** Sends and receives `n` datagrams of so many bytes, in one buffer; gives a number that depends on all. */
function exchange(bytes: number): (n: number) => number {
  const clock = new VirtualClock()
  const stack = new Stack({ clock, random: seededRandom(1) })
  const receiver = stack.udp.bind({ port: PORT })
  const sender = stack.udp.bind()
  sender.connect({ address: '127.0.0.1', port: PORT })
  const data = new Uint8Array(bytes)
  const buffer = new Uint8Array(bytes)
  return (n) => {
    let total = 0
    for (let sent = 0; sent < n; ) {
      for (let i = 0; i < BATCH && sent < n; i++, sent++) sender.send(data)
      clock.advance(0)
      for (let got = receiver.receiveInto(buffer); got >= 0; got = receiver.receiveInto(buffer)) total += got
    }
    if (total !== n * bytes) throw new Error(`${total} of ${n * bytes} bytes have arrived`)
    return total
  }
}

/** Datagrams per second, sent and received. */
export function perSecond(timing: Timing): number {
  return 1e9 / nanoseconds(exchange(1000), timing)
}

/** Bytes of JavaScript heap per datagram. @throws Error if a collection ran */
export function allocated({ milliseconds }: Timing): number {
  const run = exchange(1000)
  run(milliseconds * 2000) // until the compiler is done with it
  const count = milliseconds * 500
  collect()
  const profiler = new GCProfiler()
  profiler.start()
  const before = process.memoryUsage().heapUsed
  run(count)
  const after = process.memoryUsage().heapUsed
  const { statistics } = profiler.stop()
  if (statistics.length > 0) throw new Error(`${statistics.length} collections ran while it was measured`)
  return (after - before) / count
}
