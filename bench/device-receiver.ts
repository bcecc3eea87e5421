/**
 * Reads what the kernel gives a TUN device with offloads, in one of several layouts of memory, and copies the
 * payload out as a socket's buffer would take it: `device-receiver.ts DEVICE LAYOUT`.
 *
 *     spill-N   slots of 2 KiB, and N large ones that stand by (what the device does, with 8)
 *     large     64 slots of 66 KiB
 *     copy      16 slots of 66 KiB; what is small is copied to one of 2 KiB
 */
import { VNET_HEADER_STRIDE } from '../lib/device/tun/driver.ts'
import { loadDriver } from '../lib/device/tun/load-driver.ts'
import { HEADROOM } from '../lib/packet/packet.ts'
import { counts, reportOnSignal } from './responder-report.ts'

const SMALL = 2048
const LARGE = 66560
const HEADER = 28
const RING = 1 << 20

const [name, layout] = process.argv.slice(2) as [string, string]
const driver = loadDriver('addon')
const handle = driver.open({ devicePath: '/dev/net/tun', name, vnetHeader: true })
if ('errno' in handle) throw new Error(`${handle.syscall}: errno ${handle.errno}`)
// Every offload there is.
handle.setProperty(10, 0x6f)

const spilling = layout.startsWith('spill-')
const slots = layout === 'copy' ? 16 : 64
const slotSize = spilling ? SMALL : LARGE
const spills = spilling ? Number(layout.slice(6)) : 0

const slotBytes = new Uint8Array(new ArrayBuffer(slots * slotSize))
const largeBytes = new Uint8Array(new ArrayBuffer(Math.max(1, spills) * LARGE))
const smallBytes = new Uint8Array(new ArrayBuffer(64 * SMALL))
const ringBytes = new Uint8Array(new ArrayBuffer(RING))
const slotArena = driver.registerArena(slotBytes.buffer)
const largeArena = driver.registerArena(largeBytes.buffer)
const descriptors = new Uint32Array(3 * slots)
const spill = spilling ? new Uint32Array(3 * spills) : null
for (let i = 0; i < slots; i++)
  descriptors.set([slotArena, i * slotSize + HEADROOM, slotSize - HEADROOM], 3 * i)
for (let i = 0; i < spills; i++) spill!.set([largeArena, i * LARGE + HEADROOM, LARGE - HEADROOM], 3 * i)

let at = 0
function consume(bytes: Uint8Array, start: number, length: number): void {
  const payload = length - HEADER
  if (payload <= 0) return
  if (at + payload > RING) at = 0
  ringBytes.set(bytes.subarray(start + HEADER, start + length), at)
  at += payload
}

const headers = new Uint8Array(slots * VNET_HEADER_STRIDE)
handle.start({ descriptors, headers, spill, maxBatch: slots, busyMicroseconds: 0 }, (n) => {
  counts.packets += n
  counts.reads++
  let spilt = 0
  for (let i = 0; i < n; i++) {
    const length = descriptors[3 * i + 2]!
    const start = i * slotSize + HEADROOM
    descriptors[3 * i + 2] = slotSize - HEADROOM
    if (length > slotSize - HEADROOM) {
      consume(largeBytes, LARGE * spilt++ + HEADROOM, length)
    } else if (layout === 'copy' && length <= SMALL) {
      smallBytes.set(slotBytes.subarray(start, start + length), i * SMALL)
      consume(smallBytes, i * SMALL, length)
    } else {
      consume(slotBytes, start, length)
    }
  }
})
process.on('SIGTERM', () => {
  handle.close()
  process.exit(0)
})
reportOnSignal()
