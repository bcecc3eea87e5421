/**
 * The least JavaScript that answers echo requests over the TUN driver: the same bursts and the same native calls
 * as under the stack, and nothing else. What the stack costs is what it needs more than this.
 */
import { loadAddon } from '../lib/device/tun/addon.ts'
import { BURST_SIZE } from '../lib/packet/burst.ts'
import { countingDriver, counts, reportOnSignal } from './responder-report.ts'

const SLOT = 2048

const driver = countingDriver(loadAddon())
const handle = driver.open({
  devicePath: '/dev/net/tun',
  name: process.argv[2]!,
  vnetHeader: false,
})
if ('errno' in handle) throw new Error(`${handle.syscall}: errno ${handle.errno}`)

const bytes = new Uint8Array(new ArrayBuffer(SLOT * BURST_SIZE))
const arena = driver.registerArena(bytes.buffer)
const descriptors = new Uint32Array(3 * BURST_SIZE)
const status = new Int32Array(BURST_SIZE)
for (let i = 0; i < BURST_SIZE; i++) descriptors.set([arena, i * SLOT, SLOT], 3 * i)

const ring = { descriptors, headers: null, spill: null, maxBatch: BURST_SIZE, busyMicroseconds: 0 }
handle.start(ring, (n) => {
  for (let i = 0; i < n; i++) answer(descriptors[3 * i + 1]!, descriptors[3 * i + 2]!)
  const written = handle.writeBatch(descriptors, null, null, n, status)
  counts.lost += n - written
  for (let i = 0; i < n; i++) descriptors[3 * i + 2] = SLOT
})
process.on('SIGTERM', () => process.exit(0))
reportOnSignal()

/** Turns the echo request at `at` into its reply. The swap of the addresses leaves the header's checksum right. */
function answer(at: number, length: number): void {
  if (length < 28 || bytes[at] !== 0x45 || bytes[at + 9] !== 1 || bytes[at + 20] !== 8) return
  for (let i = at + 12; i < at + 16; i++) {
    const byte = bytes[i]!
    bytes[i] = bytes[i + 4]!
    bytes[i + 4] = byte
  }
  // RFC 1624 eq. 3 for a word that loses 0x0800
  let sum = (((bytes[at + 22]! << 8) | bytes[at + 23]!) ^ 0xffff) + (0xffff ^ 0x0800)
  sum = ~((sum & 0xffff) + (sum >>> 16))
  bytes[at + 20] = 0
  bytes[at + 22] = sum >>> 8
  bytes[at + 23] = sum
}
