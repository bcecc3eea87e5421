/**
 * A stack behind a TUN device, for the tests beside this: it serves echo (7), discard with a digest at the end (9),
 * bytes on demand (19) and a little HTTP (80), and connects where it is told to. IMPAIRMENT is JSON, the effects of
 * `impairDevice` in both directions and a seed; without it the TUN has its offloads.
 *
 *     stack-program.ts tun0 10.9.0.2/24 IMPAIRMENT [send HOST PORT BYTES | fetch HOST PORT BYTES]…
 */
import { createHash } from 'node:crypto'
import { openTun } from '../../../lib/device/tun/index.ts'
import { type Impairment, impairDevice, Stack, seededRandom, type TcpSocket } from '../../../lib/index.ts'
import { Bytes } from './bytes.ts'

const [, , name, address, impairment, ...rest] = process.argv
const stack = new Stack()
const effects = JSON.parse(impairment!) as { seed: number; out: Impairment; in: Impairment } | null
// A super-segment would be lost as a whole: on a bad link the kernel sends packets.
const tun = await openTun({ name: name!, offload: effects === null })
const device =
  effects === null
    ? tun
    : impairDevice(tun, { out: effects.out, in: effects.in, random: seededRandom(effects.seed) })
stack.addDevice(device, { name: name! }).addAddress(address!)

async function serve(port: number, handle: (socket: TcpSocket) => Promise<void>): Promise<void> {
  for await (const socket of stack.tcp.listen({ port })) {
    handle(socket).catch((error: unknown) => console.log(`port ${port}: ${error}`))
  }
}

async function echo(socket: TcpSocket): Promise<void> {
  for await (const chunk of socket) await socket.write(chunk)
  await socket.close()
}

async function digest(socket: TcpSocket): Promise<string> {
  const hash = createHash('sha256')
  const buffer = new Uint8Array(1 << 18)
  for (;;) {
    const count = await socket.readInto(buffer)
    if (count === 0) return hash.digest('hex')
    hash.update(buffer.subarray(0, count))
  }
}

async function discard(socket: TcpSocket): Promise<void> {
  await socket.write(Buffer.from(`${await digest(socket)}\n`))
  await socket.close()
}

async function send(socket: TcpSocket, count: number): Promise<void> {
  const bytes = new Bytes(count)
  for (let piece = bytes.next(); piece !== null; piece = bytes.next()) await socket.write(piece)
}

async function readLine(socket: TcpSocket): Promise<string> {
  let line = ''
  const byte = new Uint8Array(1)
  while (!line.endsWith('\n') && (await socket.readInto(byte)) > 0) line += String.fromCharCode(byte[0]!)
  return line.trim()
}

async function generate(socket: TcpSocket): Promise<void> {
  await send(socket, Number(await readLine(socket)))
  await socket.close()
}

async function http(socket: TcpSocket): Promise<void> {
  const request = await readLine(socket)
  while ((await readLine(socket)) !== '') {} // headers
  const count = Number(/^GET \/(\d+)/.exec(request)?.[1] ?? 0)
  await socket.write(Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${count}\r\nConnection: close\r\n\r\n`))
  await send(socket, count)
  await socket.close()
}

void serve(7, echo)
void serve(9, discard)
void serve(19, generate)
void serve(80, http)
console.log('ready')

process.on('SIGTERM', () => {
  console.log(`counters ${JSON.stringify(stack.mib.snapshot())}`)
  void stack.close().then(() => {
    console.log(`packets left: ${stack.pool.outstanding}`)
    process.exit(0)
  })
})

while (rest.length > 0) {
  const [what, host, port, size] = rest.splice(0, 4)
  const socket = await stack.tcp.connect({ address: host!, port: Number(port) })
  if (what === 'send') {
    await send(socket, Number(size))
    socket.end()
    console.log(`sent ${size}: ${await readLine(socket)}`)
  } else {
    await socket.write(Buffer.from(`${size}\n`))
    console.log(`fetched ${size}: ${await digest(socket)}`)
  }
  console.log(`info ${JSON.stringify(socket.info)}`)
  await socket.close()
}
