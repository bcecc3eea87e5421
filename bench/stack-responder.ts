/**
 * What is measured: a stack behind a TUN device, as a program has it, with a UDP socket that returns what it gets.
 * `stack-responder.ts DEVICE ADDRESS/LENGTH [OPTIONS]`, these being options of `openTun()` in JSON
 */
import { openTun } from '../lib/device/tun/index.ts'
import { loadDriver } from '../lib/device/tun/load-driver.ts'
import { Stack } from '../lib/index.ts'
import { countingDriver, reportOnSignal } from './responder-report.ts'

const [name, address, json = '{}'] = process.argv.slice(2) as [string, string, string?]
const options = JSON.parse(json) as { driver?: 'addon' | 'koffi'; offload?: boolean; busyPoll?: string }
const stack = new Stack()
const tun = await openTun({ ...options, name, driver: countingDriver(loadDriver(options.driver)) })
stack.addDevice(tun).addAddress(address)

const socket = stack.udp.bind({ port: 9 })
const buffer = new Uint8Array(65536)

/** All that waits goes back at once. */
async function echo(): Promise<void> {
  const { received } = socket
  for (;;) {
    await socket.readable()
    for (let n = socket.receiveInto(buffer); n >= 0; n = socket.receiveInto(buffer)) {
      socket.trySend(buffer.subarray(0, n), received)
    }
  }
}
echo().catch((error: unknown) => {
  if ((error as { code?: string }).code !== 'ERR_SOCKET_CLOSED') throw error
})
process.on('SIGTERM', () => void stack.close())
process.on('exit', () => process.stderr.write(`dropped ${tun.stats.get('txDropped')}\n`))
reportOnSignal()
