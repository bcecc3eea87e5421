/**
 * What is measured of TCP: a stack behind a TUN with the services of `native/tcp-load.c`. What is received is
 * delivered to the program and its content is checked. `stack-tcp.ts DEVICE ADDRESS/LENGTH`
 */
import { openTun } from '../lib/device/tun/index.ts'
import { Stack, type TcpSocket } from '../lib/index.ts'
import { CHUNK, checkContent, contentAt } from './tcp-content.ts'

const [name, address] = process.argv.slice(2) as [string, string]
const stack = new Stack()
stack.addDevice(await openTun({ name })).addAddress(address)

/** Connections share buffers: most of thousands have nothing to read. */
const spare: Buffer[] = []

async function reading(socket: TcpSocket, take: (bytes: Buffer, n: number) => Promise<void> | undefined) {
  const buffer = spare.pop() ?? Buffer.alloc(CHUNK)
  for (let n = await socket.readInto(buffer); n > 0; n = await socket.readInto(buffer)) {
    const taken = take(buffer, n)
    if (taken !== undefined) await taken
  }
  spare.push(buffer)
  await socket.close()
}

function discard(socket: TcpSocket): Promise<void> {
  let received = 0
  return reading(socket, (bytes, n) => {
    checkContent(bytes, n, received)
    received += n
    return undefined
  })
}

async function generate(socket: TcpSocket): Promise<void> {
  for (let sent = 0; ; sent += CHUNK) await socket.write(contentAt(sent))
}

function echo(socket: TcpSocket): Promise<void> {
  return reading(socket, (bytes, n) => socket.write(bytes.subarray(0, n)))
}

async function serve(port: number, handle: (socket: TcpSocket) => Promise<void>): Promise<void> {
  for await (const socket of stack.tcp.listen({ port, noDelay: true, backlog: 4096 })) {
    handle(socket).catch(() => socket.reset())
  }
}

void serve(5001, discard)
void serve(5002, generate)
void serve(5003, echo)
process.on('SIGTERM', () => void stack.close().then(() => process.exit(0)))
console.log('ready')
