/**
 * TCP without a kernel: what an idle connection weighs, what is allocated for a segment, and how fast time passes for
 * bulk in a simulated network.
 */
import { GCProfiler } from 'node:v8'
import { createPipe, Stack, type TcpSocket } from '../../lib/index.ts'
import { simulate } from '../../lib/sim/index.ts'
import { collect } from './memory.ts'
import type { Timing } from './timing.ts'

const PORT = 7

/** KiB of one end of an idle connection, its socket included, that has carried something: heap and array buffers. */
export async function connectionSize({ milliseconds }: Timing): Promise<number> {
  const count = milliseconds < 50 ? 200 : 10_000
  const { client, server, connect } = twoStacks()
  const sockets: TcpSocket[] = []
  const open = async (): Promise<void> => {
    const [socket, accepted] = await connect()
    await socket.write(new Uint8Array(100))
    await accepted.readInto(new Uint8Array(100))
    sockets.push(socket, accepted)
  }
  for (let i = 0; i < 100; i++) await open()
  collect()
  const before = process.memoryUsage()
  for (let i = 0; i < count; i++) await open()
  collect()
  const after = process.memoryUsage()
  const bytes = after.heapUsed - before.heapUsed + after.arrayBuffers - before.arrayBuffers
  for (const socket of sockets) socket.reset()
  await Promise.all([client.close(), server.close()])
  return bytes / (2 * count) / 1024
}

/**
 * Bytes of JavaScript heap per segment of bulk between two stacks, both ends and the acknowledgments included.
 * @throws Error if a collection ran
 */
export async function allocatedPerSegment({ milliseconds }: Timing): Promise<number> {
  const { client, server, connect } = twoStacks()
  const [socket, accepted] = await connect()
  const chunk = new Uint8Array(65536)
  const buffer = new Uint8Array(65536)
  const carry = async (bytes: number): Promise<void> => {
    const sending = (async () => {
      for (let sent = 0; sent < bytes; sent += chunk.length) await socket.write(chunk)
    })()
    for (let got = 0; got < bytes; ) got += await accepted.readInto(buffer)
    await sending
  }
  const chunks = Math.ceil(milliseconds * 2)
  await carry(chunks * 4 * chunk.length) // until the compiler is done with it
  collect()
  const profiler = new GCProfiler()
  profiler.start()
  const before = process.memoryUsage().heapUsed
  const segments = socket.info.data_segs_out
  await carry(chunks * chunk.length)
  const count = socket.info.data_segs_out - segments
  const after = process.memoryUsage().heapUsed
  const { statistics } = profiler.stop()
  if (statistics.length > 0) throw new Error(`${statistics.length} collections ran while it was measured`)
  for (const end of [socket, accepted]) end.reset()
  await Promise.all([client.close(), server.close()])
  return (after - before) / count
}

function twoStacks() {
  const [client, server] = [new Stack(), new Stack()]
  const [left, right] = createPipe({ names: ['eth0', 'eth0'] })
  client.addDevice(left).addAddress('10.1.0.1/24')
  server.addDevice(right).addAddress('10.1.0.2/24')
  const listener = server.tcp.listen({ port: PORT, backlog: 4096 })
  const connect = () =>
    Promise.all([client.tcp.connect({ address: '10.1.0.2', port: PORT }), listener.accept()])
  return { client, server, connect }
}

/** Events in a second of the machine's time while eight flows share a bottleneck. */
export async function simulatedBulk({ milliseconds }: Timing): Promise<number> {
  const net = simulate({ seed: 1, record: 0 })
  const [a, b] = [net.host('10.0.0.1/24'), net.host('10.0.0.2/24')]
  net.link(a, b, { delay: '10ms', rate: '100mbit', queue: 'codel' })
  const chunk = new Uint8Array(65536)
  const server = b.tcp.listen({ port: PORT })
  void (async () => {
    for await (const socket of server) {
      void (async () => {
        const buffer = new Uint8Array(65536)
        while ((await socket.readInto(buffer)) > 0) {}
      })().catch(() => {})
    }
  })()
  await net.run(async () => {
    for (let i = 0; i < 8; i++) {
      const socket = await a.tcp.connect({ address: '10.0.0.2', port: PORT })
      void (async () => {
        for (;;) await socket.write(chunk)
      })().catch(() => {})
    }
  })
  const run = async (atLeast: number): Promise<number> => {
    const before = net.events
    const start = performance.now()
    let elapsed = 0
    while (elapsed < atLeast) {
      await net.runFor('100ms')
      elapsed = performance.now() - start
    }
    return ((net.events - before) / elapsed) * 1000
  }
  await run(milliseconds)
  const rate = await run(milliseconds * 5)
  await net.close()
  return rate
}
