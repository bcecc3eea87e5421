/**
 * The kernel's side of the transfers: Node's sockets in a namespace. With `serve` the services of stack-program.ts
 * (9 and 19), else one transfer.
 *
 *     kernel-program.ts serve | send HOST PORT BYTES | fetch HOST PORT BYTES | echo HOST PORT BYTES
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { Bytes } from './bytes.ts'

const [, , what, host, port, size] = process.argv

async function send(socket: Socket, count: number): Promise<void> {
  const bytes = new Bytes(count)
  for (let piece = bytes.next(); piece !== null; piece = bytes.next()) {
    if (!socket.write(piece)) await once(socket, 'drain')
  }
}

async function digest(socket: Socket): Promise<string> {
  const hash = createHash('sha256')
  // Not by iteration, which would destroy the socket at the end.
  socket.on('data', (chunk: Buffer) => hash.update(chunk))
  await once(socket, 'end')
  return hash.digest('hex')
}

async function text(socket: Socket): Promise<string> {
  let all = ''
  for await (const chunk of socket) all += String(chunk)
  return all.trim()
}

if (what === 'serve') {
  createServer({ allowHalfOpen: true }, async (socket) => {
    socket.end(`${await digest(socket)}\n`)
  }).listen(9)
  createServer((socket) => {
    socket.once('data', (line: Buffer) => {
      void send(socket, Number(String(line))).then(() => socket.end())
    })
    socket.on('error', (error) => console.log(String(error)))
  }).listen(19, () => console.log('ready'))
} else {
  const socket = connect({ host: host!, port: Number(port), allowHalfOpen: true })
  await once(socket, 'connect')
  if (what === 'send') {
    await send(socket, Number(size))
    socket.end()
    console.log(await text(socket))
  } else if (what === 'echo') {
    const answer = digest(socket)
    await send(socket, Number(size))
    socket.end()
    console.log(await answer)
  } else {
    socket.write(`${size}\n`)
    console.log(await digest(socket))
    socket.end()
  }
}
