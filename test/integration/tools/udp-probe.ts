/**
 * What a connected UDP socket of the kernel hears: `udp-probe.ts ADDRESS PORT BYTES…` sends a datagram to each
 * address in turn and prints, as a list in JSON, the errno that came back for it, `reply`, or `silence`.
 */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'

/** ms; an answer takes a fraction of one. */
const PATIENCE = 1000

async function probe(address: string, port: number, bytes: number): Promise<string> {
  const socket = createSocket('udp4')
  socket.connect(port, address)
  await once(socket, 'connect')
  const outcome = new Promise<string>((resolve) => {
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code!))
    socket.on('message', () => resolve('reply'))
    setTimeout(resolve, PATIENCE, 'silence').unref()
  })
  socket.send(new Uint8Array(bytes))
  const result = await outcome
  socket.close()
  return result
}

const results: string[] = []
const args = process.argv.slice(2)
for (let i = 0; i + 2 < args.length; i += 3) {
  results.push(await probe(args[i]!, Number(args[i + 1]), Number(args[i + 2])))
}
console.log(JSON.stringify(results))
