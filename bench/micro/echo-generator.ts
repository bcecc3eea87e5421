/**
 * A device that plays the other end of a link for ever: what the stack transmits, an echo reply, comes back as
 * the next request in the same packet. So the whole path of an echo through the stack runs, and nothing besides.
 */
import { writeIpv4 } from '../../lib/address/ipv4-address.ts'
import { LinkFlag, NO_FEATURES } from '../../lib/device/link-device.ts'
import { SoftwareDevice } from '../../lib/device/software-device.ts'
import type { Burst } from '../../lib/packet/burst.ts'
import { type Packet, PacketType } from '../../lib/packet/packet.ts'
import { checksum, updateChecksum16 } from '../../lib/wire/checksum.ts'
import { ICMP_CHECKSUM, ICMP_TYPE, IcmpType } from '../../lib/wire/icmpv4.ts'
import {
  IPV4_CHECKSUM,
  IPV4_DESTINATION,
  IPV4_MIN_HEADER,
  IPV4_SOURCE,
  IPV4_TOTAL_LENGTH,
} from '../../lib/wire/ipv4.ts'

/** As `ping` sends it: 56 bytes of data. */
const LENGTH = 84

export class EchoGenerator extends SoftwareDevice {
  #left = 0
  #done: (() => void) | null = null
  readonly #parked: Packet[] = []

  constructor() {
    super({
      name: 'gen0',
      type: 'none',
      flags: LinkFlag.NOARP,
      mtu: 1500,
      minMtu: 68,
      maxMtu: 1500,
      features: NO_FEATURES,
      qdisc: 'noqueue',
      receiveQueue: 1000,
    })
  }

  /** Makes `burst` requests that circulate from the first {@link run} on. */
  prepare(from: number, to: number, burst: number): void {
    for (let i = 0; i < burst; i++) {
      const packet = this.host!.pool.allocate(LENGTH)!
      const at = packet.put(LENGTH)
      packet.bytes.fill(0, at, at + LENGTH)
      packet.bytes.set([0x45, 0, 0, LENGTH, 0, i, 0x40, 0, 64, 1], at)
      writeIpv4(packet.bytes, at + IPV4_SOURCE, from)
      writeIpv4(packet.bytes, at + IPV4_DESTINATION, to)
      put16(packet.bytes, at + IPV4_CHECKSUM, checksum(packet.bytes, at, at + IPV4_MIN_HEADER))
      const icmp = at + IPV4_MIN_HEADER
      packet.bytes.set([IcmpType.ECHO, 0, 0, 0, 0x12, 0x34, 0, i], icmp)
      put16(packet.bytes, icmp + ICMP_CHECKSUM, checksum(packet.bytes, icmp, at + LENGTH))
      this.#parked.push(packet)
    }
  }

  /** Has `echoes` requests answered, or a few more. */
  run(echoes: number): Promise<void> {
    this.#left = echoes
    return new Promise((resolve) => {
      this.#done = resolve
      for (let packet = this.#parked.pop(); packet !== undefined; packet = this.#parked.pop()) {
        this.received.push(packet)
      }
      this.host!.schedule()
    })
  }

  override transmit(burst: Burst): number {
    for (let i = 0; i < burst.length; i++) {
      const packet = burst.packets[i]!
      turnRound(packet)
      if (this.#left-- > 0) this.received.push(packet)
      else this.#parked.push(packet)
    }
    if (this.received.length > 0) this.host!.schedule()
    else this.#done?.()
    return burst.length
  }
}

/** @throws Error if it is no echo reply: then what is measured is not what it is said to be */
function turnRound(packet: Packet): void {
  const { bytes, start } = packet
  const icmp = start + IPV4_MIN_HEADER
  const length = (bytes[start + IPV4_TOTAL_LENGTH]! << 8) | bytes[start + IPV4_TOTAL_LENGTH + 1]!
  if (bytes[icmp + ICMP_TYPE] !== IcmpType.ECHO_REPLY || length !== LENGTH)
    throw new Error('this is no echo reply')
  for (let i = start + IPV4_SOURCE; i < start + IPV4_DESTINATION; i++) {
    const byte = bytes[i]!
    bytes[i] = bytes[i + 4]!
    bytes[i + 4] = byte
  }
  bytes[icmp + ICMP_TYPE] = IcmpType.ECHO
  const check = (bytes[icmp + ICMP_CHECKSUM]! << 8) | bytes[icmp + ICMP_CHECKSUM + 1]!
  put16(bytes, icmp + ICMP_CHECKSUM, updateChecksum16(check, IcmpType.ECHO_REPLY, IcmpType.ECHO << 8))
  packet.networkHeader = packet.transportHeader = start
  packet.destination = null
  packet.type = PacketType.HOST
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}
