/** What is measured: a stack behind a TUN device, as a program has it. `stack-responder.ts DEVICE ADDRESS/LENGTH` */
import { loadAddon } from '../lib/device/tun/addon.ts'
import { openTun } from '../lib/device/tun/index.ts'
import { Stack } from '../lib/index.ts'
import { countingDriver, reportOnSignal } from './responder-report.ts'

const [name, address] = process.argv.slice(2) as [string, string]
const stack = new Stack()
const tun = await openTun({ name, driver: countingDriver(loadAddon()) })
stack.addDevice(tun).addAddress(address)
process.on('SIGTERM', () => void stack.close())
process.on('exit', () => process.stderr.write(`dropped ${tun.stats.get('txDropped')}\n`))
reportOnSignal()
