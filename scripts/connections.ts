/**
 * Memory over very many short connections of `node:net` over a stack: `node --expose-gc --import tsx
 * scripts/connections.ts [COUNT]`, a million by default. Prints what is used after each tenth, collected, and ends with
 * status 1 if the heap has grown by more than two bytes a connection between the first tenth and the last.
 */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { Stack } from '../lib/index.ts'
import { nodeSockets } from '../lib/node/index.ts'

const COUNT = Number(process.argv[2] ?? 1_000_000)
const PARALLEL = 50
const BYTES_PER_CONNECTION = 2

const collect = (globalThis as { gc?: () => void }).gc
if (collect === undefined || !(COUNT >= 10)) {
  console.error('usage: node --expose-gc --import tsx scripts/connections.ts [COUNT]')
  process.exit(2)
}

const stack = new Stack()
stack.sysctl.set('net.ipv4.tcp_max_tw_buckets', 0) // ports come back at once
const { net } = nodeSockets(stack)
const server = net.createServer((socket) => socket.end('hello')).listen(0, '127.0.0.1')
await once(server, 'listening')
const { port } = server.address() as AddressInfo

let left = 0
async function one(): Promise<void> {
  while (left-- > 0) {
    const socket = net.connect(port, '127.0.0.1')
    let bytes = 0
    socket.on('data', (chunk) => {
      bytes += chunk.length
    })
    await once(socket, 'close')
    if (bytes !== 5) throw new Error(`${bytes} bytes instead of 5`)
  }
}

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`
const heaps: number[] = []
for (let tenth = 1; tenth <= 10; tenth++) {
  left = Math.floor(COUNT / 10)
  const start = performance.now()
  await Promise.all(Array.from({ length: PARALLEL }, one))
  const seconds = (performance.now() - start) / 1000
  collect()
  const { heapUsed, external, rss } = process.memoryUsage()
  heaps.push(heapUsed)
  console.log(
    `${tenth * Math.floor(COUNT / 10)}: heap ${mebibytes(heapUsed)}, external ${mebibytes(external)}, ` +
      `rss ${mebibytes(rss)}; ${Math.round(COUNT / 10 / seconds)} connections a second`,
  )
}
server.close()
await stack.close()
const grown = heaps.at(-1)! - heaps[0]!
console.log(`grown by ${grown} bytes, ${(grown / (0.9 * COUNT)).toFixed(2)} a connection`)
// What the collector leaves differs by some hundred kilobytes, whatever the count.
if (grown > BYTES_PER_CONNECTION * COUNT + (1 << 20)) process.exitCode = 1
