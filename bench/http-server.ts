/**
 * What wrk is let loose on: Node's http over a stack behind a TUN, or over the kernel.
 * `http-server.ts [DEVICE ADDRESS/LENGTH]`
 */
import kernelHttp from 'node:http'
import { openTun } from '../lib/device/tun/index.ts'
import { Stack } from '../lib/index.ts'
import { nodeSockets } from '../lib/node/index.ts'

const BODY = Buffer.alloc(100, 'x')
const [device, address] = process.argv.slice(2)

let http = kernelHttp
if (device !== undefined && address !== undefined) {
  const stack = new Stack()
  stack.addDevice(await openTun({ name: device })).addAddress(address)
  http = nodeSockets(stack).http
}
http
  .createServer((_, response) => {
    response.setHeader('Content-Type', 'application/octet-stream')
    response.end(BODY)
  })
  .listen(8080, () => console.log('ready'))
process.on('SIGTERM', () => process.exit(0))
