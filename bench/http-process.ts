/**
 * What is measured of Node's sockets within a process: both ends are here, over a stack's loopback device or over the
 * kernel's. `http-process.ts stack|kernel requests|one|stream SECONDS` prints figures as JSON.
 */
import { once } from 'node:events'
import kernelHttp from 'node:http'
import kernelNet, { type AddressInfo, type Server, type Socket } from 'node:net'
import { Stack } from '../lib/index.ts'
import { nodeSockets } from '../lib/node/index.ts'

const CONNECTIONS = 32
const CHUNK = Buffer.alloc(64 * 1024, 'tunstack')
/** What is done before the measurement. */
const WARM_REQUESTS = 20_000
const WARM_BYTES = 2 ** 30
const BODY = Buffer.alloc(100, 'x')

/** Of the whole process, the kernel's part included; it says more than the clock where others use the machine, too. */
function cpuMicroseconds(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since)
  return user + system
}

const [subject, load, seconds] = process.argv.slice(2) as [string, string, string]
const { net, http } = subject === 'stack' ? nodeSockets(new Stack()) : { net: kernelNet, http: kernelHttp }

async function listening<T extends Server>(server: T): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/**
 * Requests by so many connections, each with one under way: how many a second, how long they took, and how long they
 * kept a processor busy, client and server together (µs).
 */
async function requests(connections: number, milliseconds: number) {
  const port = await listening(
    http.createServer((_, response) => {
      response.setHeader('Content-Type', 'application/octet-stream')
      response.end(BODY)
    }),
  )
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections })
  const latencies: number[] = []
  const usage = process.cpuUsage()
  const start = performance.now()
  const end = start + milliseconds
  const ask = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const begin = performance.now()
      const request = http.get({ host: '127.0.0.1', port, agent }, (response) => {
        let bytes = 0
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length
        })
        response.on('end', () => {
          if (bytes !== BODY.length) return reject(new Error(`${bytes} bytes`))
          latencies.push(performance.now() - begin)
          resolve()
        })
      })
      request.on('error', reject)
    })
  const client = async (): Promise<void> => {
    while (performance.now() < end) await ask()
  }
  await Promise.all(Array.from({ length: connections }, client))
  const elapsed = performance.now() - start
  const cpu = cpuMicroseconds(usage) / latencies.length
  agent.destroy()
  latencies.sort((a, b) => a - b)
  const at = (share: number): number => latencies[Math.floor((latencies.length - 1) * share)]! * 1000
  return {
    perSecond: (latencies.length / elapsed) * 1000,
    p50: at(0.5),
    p99: at(0.99),
    cpu,
    done: latencies.length / WARM_REQUESTS,
  }
}

/** A stream in one direction: Gbit/s, and processor time for a MiB, both ends together (µs). */
async function stream(milliseconds: number) {
  const port = await listening(
    net.createServer((socket: Socket) => {
      const write = (): void => {
        while (!socket.destroyed) if (!socket.write(CHUNK)) return void socket.once('drain', write)
      }
      write()
      socket.on('error', () => {})
    }),
  )
  const socket = net.connect(port, '127.0.0.1')
  let bytes = 0
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length
  })
  const usage = process.cpuUsage()
  const start = performance.now()
  await new Promise((resolve) => setTimeout(resolve, milliseconds))
  const elapsed = performance.now() - start
  const cpu = cpuMicroseconds(usage) / (bytes / 2 ** 20)
  socket.destroy()
  return { gigabits: (bytes * 8) / elapsed / 1e6, cpu, done: bytes / WARM_BYTES }
}

const measure = (milliseconds: number) =>
  load === 'stream' ? stream(milliseconds) : requests(load === 'one' ? 1 : CONNECTIONS, milliseconds)

// So that everything is compiled; by what was done, since a busy machine takes longer to get so far.
for (let warm = 0; warm < Math.min(1, Number(seconds)); ) warm += (await measure(Number(seconds) * 500)).done
console.log(JSON.stringify(await measure(Number(seconds) * 1000)))
process.exit(0)
