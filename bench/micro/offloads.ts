/**
 * Offloads in software, without a device: cutting 64 KB into segments with complete checksums, and forwarding 44
 * segments to a device with TSO, merged or one by one. Nanoseconds per 64 KB.
 */
import { writeIpv4 } from '../../lib/address/ipv4-address.ts'
import { type LinkFeatures, LinkFlag, NO_FEATURES } from '../../lib/device/link-device.ts'
import { SoftwareDevice } from '../../lib/device/software-device.ts'
import { Stack } from '../../lib/index.ts'
import { Segmenter } from '../../lib/offload/segmenter.ts'
import { Burst } from '../../lib/packet/burst.ts'
import { completeChecksum } from '../../lib/packet/complete-checksum.ts'
import { Checksum, Gso, HEADROOM, type Packet } from '../../lib/packet/packet.ts'
import { PacketPool } from '../../lib/packet/packet-pool.ts'
import { write16, write32 } from '../../lib/wire/big-endian.ts'
import { checksum, fold, pseudoHeaderSum } from '../../lib/wire/checksum.ts'
import {
  IPV4_CHECKSUM,
  IPV4_DESTINATION,
  IPV4_MIN_HEADER,
  IPV4_SOURCE,
  IPV4_TOTAL_LENGTH,
  IpProtocol,
} from '../../lib/wire/ipv4.ts'
import { TCP_CHECKSUM, TCP_SEQUENCE } from '../../lib/wire/tcp.ts'
import { nanoseconds, type Timing } from './timing.ts'

const HEADERS = 40
const SEGMENT = 1460
const SEGMENTS = 44
const SOURCE = 0x0a010002
const DESTINATION = 0x0a020002

/** A TCP packet with all its checksums; `sequence` and `id` as of segment `index`. */
function tcp(payload: number, index = 0): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADERS + payload).map((_, i) => i * 31)
  bytes.set([0x45, 0, 0, 0, 0, index, 0x40, 0, 64, IpProtocol.TCP, 0, 0])
  write16(bytes, IPV4_TOTAL_LENGTH, bytes.length)
  writeIpv4(bytes, IPV4_SOURCE, SOURCE)
  writeIpv4(bytes, IPV4_DESTINATION, DESTINATION)
  write16(bytes, IPV4_CHECKSUM, checksum(bytes, 0, IPV4_MIN_HEADER))
  bytes.set([0, 80, 0, 90, 0, 0, 0, 0, 0, 0, 0, 9, 0x50, 0x10, 1, 0, 0, 0, 0, 0], IPV4_MIN_HEADER)
  write32(bytes, IPV4_MIN_HEADER + TCP_SEQUENCE, index * SEGMENT)
  const pseudo = pseudoHeaderSum(SOURCE, DESTINATION, IpProtocol.TCP, bytes.length - IPV4_MIN_HEADER)
  write16(bytes, IPV4_MIN_HEADER + TCP_CHECKSUM, checksum(bytes, IPV4_MIN_HEADER, bytes.length, pseudo))
  return bytes
}

function superSegment(pool: PacketPool): Packet {
  const packet = pool.from(tcp(SEGMENTS * SEGMENT))!
  packet.gsoType = Gso.TCPV4
  packet.gsoSize = SEGMENT
  packet.gsoSegments = SEGMENTS
  packet.checksum = Checksum.PARTIAL
  packet.checksumStart = packet.start + IPV4_MIN_HEADER
  packet.checksumOffset = TCP_CHECKSUM
  return packet
}

/** What the device layer does: one copy, its sum taken while it is warm. */
export function segment(timing: Timing): number {
  const packet = superSegment(new PacketPool())
  const segmenter = new Segmenter()
  return nanoseconds((n) => {
    let total = 0
    for (let i = 0; i < n; i++) {
      segmenter.begin(packet, true)
      while (segmenter.packet !== null) {
        const one = segmenter.next()!
        total += one.bytes[one.end - 1]!
        one.free()
      }
    }
    return total
  }, timing)
}

/** The other way: headers of its own for each segment, its payload a view of where it lies. */
export function segmentViews(timing: Timing): number {
  const pool = new PacketPool()
  const packet = superSegment(pool)
  const { bytes, start } = packet
  const headers = bytes.subarray(start, start + HEADERS)
  return nanoseconds((n) => {
    let total = 0
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < SEGMENTS; k++) {
        const one = pool.allocate(HEADERS, HEADROOM)!
        const at = one.put(HEADERS)
        one.bytes.set(headers, at)
        one.body = bytes.subarray(start + HEADERS + k * SEGMENT, start + HEADERS + (k + 1) * SEGMENT)
        const tcpHeader = at + IPV4_MIN_HEADER
        write16(one.bytes, at + IPV4_TOTAL_LENGTH, HEADERS + SEGMENT)
        write32(one.bytes, tcpHeader + TCP_SEQUENCE, k * SEGMENT)
        const pseudo = pseudoHeaderSum(
          SOURCE,
          DESTINATION,
          IpProtocol.TCP,
          HEADERS - IPV4_MIN_HEADER + SEGMENT,
        )
        write16(one.bytes, tcpHeader + TCP_CHECKSUM, fold(pseudo))
        one.checksum = Checksum.PARTIAL
        one.checksumStart = tcpHeader
        one.checksumOffset = TCP_CHECKSUM
        completeChecksum(one)
        total += one.bytes[tcpHeader + TCP_CHECKSUM]!
        one.free()
      }
    }
    return total
  }, timing)
}

/** Counts what leaves by it, and forgets it. */
class Sink extends SoftwareDevice {
  packets = 0

  constructor(name: string, features: Partial<LinkFeatures>) {
    super({
      name,
      type: 'none',
      flags: LinkFlag.NOARP,
      mtu: 1500,
      minMtu: 68,
      maxMtu: 65535,
      features: { ...NO_FEATURES, ...features },
      qdisc: 'noqueue',
      receiveQueue: 1000,
    })
  }

  override transmit(burst: Burst): number {
    for (let i = 0; i < burst.length; i++) burst.packets[i]!.free()
    this.packets += burst.length
    return burst.length
  }
}

/** 44 segments in one burst, forwarded to a device with TSO. @throws Error if they left in another number */
export function forwardSegments(gro: boolean): (timing: Timing) => Promise<number> {
  return async (timing) => {
    const stack = new Stack()
    stack.sysctlSet('net.ipv4.ip_forward', 1)
    const input = new Sink('in0', {})
    const output = new Sink('out0', { checksum: true, tso: true })
    stack.addDevice(input).addAddress('10.1.0.1/24').setGro(gro)
    stack.addDevice(output).addAddress('10.2.0.1/24')
    const segments = Array.from({ length: SEGMENTS }, (_, i) => tcp(SEGMENT, i))
    const burst = new Burst()
    let bursts = 0
    const result = nanoseconds((n) => {
      for (let i = 0; i < n; i++) {
        for (const bytes of segments) burst.push(stack.pool.from(bytes)!)
        input.host!.receive(burst)
      }
      bursts += n
      return output.packets
    }, timing)
    await stack.close()
    if (output.packets !== bursts * (gro ? 1 : SEGMENTS)) throw new Error('it was not merged as it should be')
    return result
  }
}
