/**
 * What is measured: a stack behind a TUN device, as a program has it.
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
process.on('SIGTERM', () => void stack.close())
process.on('exit', () => process.stderr.write(`dropped ${tun.stats.get('txDropped')}\n`))
reportOnSignal()
