/**
 * What is measured: a stack that forwards between two TUN devices. Each argument is a device and the router's
 * address on it: `stack-router.ts tun-a 10.1.0.1/24 tun-b 10.2.0.1/24`. The devices may move to other namespaces.
 */
import { loadAddon } from '../lib/device/tun/addon.ts'
import { openTun } from '../lib/device/tun/index.ts'
import { Stack } from '../lib/index.ts'
import { countingDriver, reportOnSignal } from './responder-report.ts'

const stack = new Stack()
stack.sysctlSet('net.ipv4.ip_forward', 1)
const driver = countingDriver(loadAddon())
for (let i = 2; i < process.argv.length; i += 2) {
  const tun = await openTun({ name: process.argv[i]!, driver, up: false })
  stack.addDevice(tun).addAddress(process.argv[i + 1]!)
}
process.on('SIGTERM', () => void stack.close())
reportOnSignal()
