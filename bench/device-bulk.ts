/**
 * The TUN device without a stack: reads and forgets, or writes UDP as fast as the device takes it, from the first
 * SIGUSR2 on. `device-bulk.ts read|write DEVICE plain|offload [FROM TO]`, as `tun-bulk` in C.
 */
import { parseIpv4 } from '../lib/address/ipv4-address.ts'
import { openTun } from '../lib/device/tun/index.ts'
import { pushIpv4Header, updateHeaderChecksum } from '../lib/ipv4/header.ts'
import { BURST_SIZE, Burst } from '../lib/packet/burst.ts'
import { completeChecksum } from '../lib/packet/complete-checksum.ts'
import { Checksum, Gso, HEADROOM, type Packet } from '../lib/packet/packet.ts'
import { PacketPool } from '../lib/packet/packet-pool.ts'
import { systemClock } from '../lib/time/system-clock.ts'
import { fold, pseudoHeaderSum } from '../lib/wire/checksum.ts'
import { IPV4_MIN_HEADER } from '../lib/wire/ipv4.ts'
import { counts, reportOnSignal } from './responder-report.ts'
import { TimerLateness } from './timer-lateness.ts'

const PAYLOAD = 1472
const SEGMENTS = 44
const PORT = 9
const UDP_HEADER = 8

const [mode, name, kind, from = '', to = ''] = process.argv.slice(2)
const offload = kind === 'offload'
const tun = await openTun({ name: name!, offload })
const pool = new PacketPool()
let writing = false

tun.attach({
  pool,
  clock: systemClock(),
  receive(burst) {
    counts.reads++
    for (let i = 0; i < burst.length; i++) {
      counts.packets++
      counts.bytes += burst.packets[i]!.length
      burst.packets[i]!.free()
    }
    burst.clear()
  },
  schedule: () => {},
  wake: () => write(),
  changed: () => {},
})
tun.setUp(true)

const payload = new Uint8Array(offload ? PAYLOAD * SEGMENTS : PAYLOAD).map((_, i) => i)
const waiting = new Burst()

/** The headers, and without offloads the payload too; with them it stays where it is, and the checksum open. */
const template = datagram(pool.allocate(UDP_HEADER + payload.length, HEADROOM)!).toUint8Array()

/** A datagram, or super-segment, in a new packet. */
function datagram(packet: Packet): Packet {
  const { bytes } = packet
  const at = packet.put(UDP_HEADER)
  const length = UDP_HEADER + payload.length
  for (const [place, value] of [PORT, PORT, length, 0].entries()) {
    bytes[at + 2 * place] = value >>> 8
    bytes[at + 2 * place + 1] = value
  }
  if (mode !== 'write') return packet
  const source = parseIpv4(from)
  const destination = parseIpv4(to)
  const sum = fold(pseudoHeaderSum(source, destination, 17, length))
  bytes[at + 6] = sum >>> 8
  bytes[at + 7] = sum
  packet.checksumStart = at
  packet.checksumOffset = 6
  if (!offload) {
    bytes.set(payload, packet.put(payload.length))
    completeChecksum(packet)
  }
  pushIpv4Header(packet, source, destination, 17, 0, 64, 0, 0x4000)
  const header = packet.networkHeader
  const total = IPV4_MIN_HEADER + length
  bytes[header + 2] = total >>> 8
  bytes[header + 3] = total
  updateHeaderChecksum(bytes, header, IPV4_MIN_HEADER)
  return packet
}

function copy(): Packet {
  const packet = pool.allocate(template.length, HEADROOM)!
  const at = packet.put(template.length)
  packet.bytes.set(template, at)
  packet.networkHeader = at
  if (!offload) return packet
  packet.checksum = Checksum.PARTIAL
  packet.checksumStart = at + IPV4_MIN_HEADER
  packet.checksumOffset = 6
  packet.body = payload
  packet.gsoType = Gso.UDP_L4
  packet.gsoSize = PAYLOAD
  packet.gsoSegments = SEGMENTS
  return packet
}

/** As much as the device takes; it says when it takes more. */
function write(): void {
  for (;;) {
    while (waiting.length < BURST_SIZE) waiting.push(copy())
    let bytes = 0
    for (let i = 0; i < waiting.length; i++) bytes += waiting.packets[i]!.length
    const taken = tun.transmit(waiting)
    counts.reads++
    counts.packets += taken
    counts.bytes += (bytes / waiting.length) * taken
    const all = taken === waiting.length
    waiting.shift(taken)
    if (!all) return
  }
}

process.on('SIGUSR2', () => {
  if (mode !== 'write' || writing) return
  writing = true
  setImmediate(write)
})
process.on('SIGTERM', () => process.exit(0))
reportOnSignal(new TimerLateness())
