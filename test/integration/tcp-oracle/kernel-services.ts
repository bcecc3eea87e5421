/**
 * The kernel's side of the comparison, run inside of a namespace: it makes a TUN device, serves the ports of the
 * services of the conformance tests with the kernel's TCP, writes the packets that its parent sends it, and reports
 * what the kernel wrote back.
 */
import { execFileSync } from 'node:child_process'
import { createServer, type Socket } from 'node:net'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { loadAddon } from '../../../lib/device/tun/addon.ts'
import { HOST } from '../../conformance/harness.ts'
import type { Answer, Order } from './protocol.ts'
import { CLOSER, DISCARD, ECHO } from './services.ts'

const SLOT = 2048
const BATCH = 64

const driver = loadAddon()
const opened = driver.open({ devicePath: '/dev/net/tun', name: 'tun0', vnetHeader: false })
if ('errno' in opened) throw new Error(`${opened.syscall}: errno ${-opened.errno}`)
const handle = opened
const received: Uint8Array[] = []
const slots = new Uint8Array(new ArrayBuffer(BATCH * SLOT))
const arena = driver.registerArena(slots.buffer)
const descriptors = new Uint32Array(3 * BATCH)
for (let i = 0; i < BATCH; i++) descriptors.set([arena, i * SLOT, SLOT], 3 * i)
const ring = { descriptors, headers: null, spill: null, maxBatch: BATCH, busyMicroseconds: 0 }
handle.start(ring, (n) => {
  for (let i = 0; i < n; i++) {
    received.push(slots.slice(i * SLOT, i * SLOT + descriptors[3 * i + 2]!))
    descriptors[3 * i + 2] = SLOT
  }
})
for (const command of [`address add ${HOST}/24 dev tun0`, 'link set tun0 txqueuelen 10000 up']) {
  execFileSync('ip', command.split(' '))
}

const outgoing = new Uint8Array(new ArrayBuffer(SLOT))
const outgoingArena = driver.registerArena(outgoing.buffer)

function write(bytes: Uint8Array): void {
  outgoing.set(bytes)
  const status = new Int32Array(1)
  handle.writeBatch(Uint32Array.of(outgoingArena, 0, bytes.length), null, null, 1, status)
  if (status[0]! < 0) throw new Error(`the TUN device refused a packet: ${status[0]}`)
}

async function serve(port: number, service: (socket: Socket) => void): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    service(socket)
  })
  await new Promise<void>((resolve) => server.listen({ port, backlog: 4000 }, resolve))
}

await serve(ECHO, (socket) => {
  socket.pipe(socket)
})
await serve(DISCARD, (socket) => {
  socket.resume()
  socket.on('end', () => socket.end())
})
await serve(CLOSER, (socket) => {
  socket.resume()
  socket.end()
})

process.on('disconnect', () => process.exit())
/** Waits, and then until everything that lies ready has been seen to: this process may have been kept waiting. */
async function settled(wait: number): Promise<void> {
  await sleep(wait)
  for (let before = -1; before !== received.length; ) {
    before = received.length
    for (let i = 0; i < 4; i++) await turn()
  }
}

process.on('message', ({ packets, wait }: Order) => {
  for (const bytes of packets) write(bytes)
  void settled(wait).then(() => process.send!({ received: received.splice(0) } satisfies Answer))
})
process.send!({ received: [] } satisfies Answer)
