/** TCP without a kernel: what an idle connection weighs, and how fast time passes for bulk in a simulated network. */
import { createPipe, Stack, type TcpSocket } from '../../lib/index.ts'
import { simulate } from '../../lib/sim/index.ts'
import { collect } from './memory.ts'
import type { Timing } from './timing.ts'

const PORT = 7

/** KiB of one end of an idle connection, its socket included, that has carried something: heap and array buffers. */
export async function connectionSize({ milliseconds }: Timing): Promise<number> {
  const count = milliseconds < 50 ? 200 : 10_000
  const [client, server] = [new Stack(), new Stack()]
  const [left, right] = createPipe({ names: ['eth0', 'eth0'] })
  client.addDevice(left).addAddress('10.1.0.1/24')
  server.addDevice(right).addAddress('10.1.0.2/24')
  const listener = server.tcp.listen({ port: PORT, backlog: 4096 })
  const sockets: TcpSocket[] = []
  const open = async (): Promise<void> => {
    const [socket, accepted] = await Promise.all([
      client.tcp.connect({ address: '10.1.0.2', port: PORT }),
      listener.accept(),
    ])
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
