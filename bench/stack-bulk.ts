/**
 * A stack behind a TUN: a UDP socket that reads all there is into one buffer, or one that sends as fast as the device
 * takes it, from the first SIGUSR2 on. `stack-bulk.ts read|write DEVICE plain|offload ADDRESS/LENGTH [TO]`
 */
import { loadAddon } from '../lib/device/tun/addon.ts'
import { openTun } from '../lib/device/tun/index.ts'
import { Stack } from '../lib/index.ts'
import { countingDriver, counts, reportOnSignal } from './responder-report.ts'
import { TimerLateness } from './timer-lateness.ts'

const PAYLOAD = 1472
const SEGMENTS = 44
const PORT = 9
const EAGAIN = 11

const [mode, name, kind, address, to = ''] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string?,
]
const offload = kind === 'offload'
const stack = new Stack()
const driver = countingDriver(loadAddon())
const tun = await openTun({ name, offload, driver })
stack.addDevice(tun).addAddress(address)
const socket = stack.udp.bind({ port: PORT, gro: true, receiveBuffer: 8 << 20 })
const ended = new AbortController()

async function read(): Promise<void> {
  const buffer = new Uint8Array(65536)
  for (;;) {
    await socket.readable({ signal: ended.signal })
    for (let n = socket.receiveInto(buffer); n >= 0; n = socket.receiveInto(buffer)) counts.bytes += n
  }
}

async function write(): Promise<void> {
  const data = new Uint8Array(offload ? PAYLOAD * SEGMENTS : PAYLOAD).map((_, i) => i)
  socket.connect({ address: to, port: PORT })
  const options = { segmentSize: PAYLOAD }
  for (;;) {
    const errno = socket.trySend(data, undefined, options)
    if (errno === 0) {
      counts.bytes += data.length
      counts.packets++
    } else if (errno === EAGAIN) await socket.writable(undefined, { signal: ended.signal })
    else throw new Error(`errno ${errno}`)
  }
}

const untilTheEnd = (error: unknown): void => {
  if (!ended.signal.aborted) throw error
}
let writing = false
if (mode === 'read') read().catch(untilTheEnd)
process.on('SIGUSR2', () => {
  if (mode !== 'write' || writing) return
  writing = true
  setImmediate(() => write().catch(untilTheEnd))
})
process.on('SIGTERM', () => {
  ended.abort()
  void stack.close().then(() => process.exit(0))
})
reportOnSignal(new TimerLateness(), () => {
  if (mode === 'write') counts.reads = tun.io.txBursts
})
