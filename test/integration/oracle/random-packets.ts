/**
 * Random packets for the comparison: those of the scenarios, and changes of them that often mean something. What
 * the stack leaves out on purpose (protocols that a kernel may know) is not drawn.
 */
import { parseIpv4 } from '../../../lib/address/ipv4-address.ts'
import { Random } from '../../../lib/random/random.ts'
import { seededRandom } from '../../../lib/random/seeded.ts'
import { checksum, fold, pseudoHeaderSum } from '../../../lib/wire/checksum.ts'
import { type Bytes, fragments, pattern, udp } from './build-packet.ts'
import type { WirePacket } from './injector-protocol.ts'
import type { Scenario, Setup, Step } from './scenario.ts'

const ADDRESSES = [
  ...['10.9.0.1', '10.9.0.2', '10.9.0.5', '10.9.0.255', '10.9.0.0', '10.8.0.2', '10.8.0.9', '10.8.0.255'],
  ...['10.0.3.1', '10.0.3.77', '10.0.3.255', '10.77.3.4', '203.0.113.9', '198.51.100.7', '127.0.0.1'],
  ...['255.255.255.255', '224.0.0.1', '224.0.0.9', '239.1.2.3', '0.0.0.0', '240.0.0.1'],
]
const PROTOCOLS = [1, 1, 1, 17, 17, 6, 6, 2, 200, 253]
const OPTION_TYPES = [0, 1, 7, 68, 148, 0x9e, 130]

/** Which of these a run uses, by turns. */
export const RANDOM_SETUPS: readonly Setup[] = [
  {},
  { 'conf.all.rp_filter': 1 },
  { ip_forward: 1 },
  { ip_forward: 1, 'conf.all.accept_local': 1, 'conf.tun0.accept_local': 1, icmp_echo_ignore_broadcasts: 0 },
  { ip_forward: 1, 'conf.all.rp_filter': 2, 'conf.all.route_localnet': 1, 'conf.all.bc_forwarding': 1 },
].map((sysctl) => ({
  addresses: { tun0: ['10.9.0.2/24'], tun1: ['10.8.0.2/24'], lo: ['10.0.3.1/24'] },
  mtu: { tun1: 800 },
  routes: ['10.77.0.0/16 via 10.8.0.1 dev tun1 mtu 700', 'default via 10.9.0.1 dev tun0'],
  // Redirects are paced by the kernel's clock.
  sysctl: {
    ...sysctl,
    'conf.all.send_redirects': 0,
    'conf.tun0.send_redirects': 0,
    'conf.tun1.send_redirects': 0,
  },
}))

export class RandomPackets {
  readonly #random: Random
  readonly #corpus: readonly Bytes[]
  #id = 0

  constructor(seed: number, scenarios: readonly Scenario[]) {
    this.#random = new Random(seededRandom(seed))
    this.#corpus = scenarios
      .flatMap(({ steps }) => steps.flatMap(({ packets }) => packets))
      .map(({ bytes }) => bytes.slice())
      .filter((bytes) => bytes.length >= 20 && bytes.length <= 2000)
  }

  step(): Step {
    const chance = this.#below(100)
    const packets = chance < 12 ? this.#datagramInFragments() : [this.#mutated()]
    const device = this.#below(8) === 0 ? 'tun1' : 'tun0'
    return { title: 'random', packets: packets.map((bytes): WirePacket => ({ device, bytes })) }
  }

  #below(bound: number): number {
    return this.#random.below(bound)
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#below(from.length)]!
  }

  /** Whole, in some order, and with duplicates; overlaps are in the scenarios. */
  #datagramInFragments(): Bytes[] {
    const [src, dst] = [this.#pick(ADDRESSES), this.#pick(ADDRESSES)]
    const length = 16 + this.#below(2500)
    const cuts = new Set([0])
    for (let i = this.#below(5); i >= 0; i--) cuts.add(this.#below(length >> 3) << 3)
    const offsets = [...cuts].sort((a, b) => a - b)
    const payload = udp({ src, dst, data: pattern(length, this.#below(256)) })
    const fields = { src, dst, protocol: 17, id: this.#nextId(), tos: this.#below(256), payload }
    const pieces = fragments({ ...fields, df: this.#below(4) === 0 }, offsets)
    for (let i = pieces.length - 1; i > 0; i--) {
      const j = this.#below(i + 1)
      ;[pieces[i], pieces[j]] = [pieces[j]!, pieces[i]!]
    }
    if (this.#below(4) === 0) pieces.splice(this.#below(pieces.length), 0, this.#pick(pieces))
    if (this.#below(6) === 0) pieces.pop()
    return pieces
  }

  #nextId(): number {
    return 0x8000 | (this.#id++ % 0x6000)
  }

  #mutated(): Bytes {
    let bytes = this.#pick(this.#corpus).slice() as Bytes
    let transport = true
    for (let changes = this.#below(4); changes > 0; changes--) {
      const view = new DataView(bytes.buffer)
      switch (this.#below(13)) {
        case 0:
          view.setInt32(12, parseIpv4(this.#pick(ADDRESSES)))
          break
        case 1:
          view.setInt32(16, parseIpv4(this.#pick(ADDRESSES)))
          break
        case 2:
          bytes[1] = this.#below(256)
          break
        case 3:
          bytes[8] = this.#pick([0, 1, 2, 3, 64, 255])
          break
        case 4:
          bytes[9] = this.#pick(PROTOCOLS)
          break
        case 5:
          view.setUint16(6, this.#pick([0, 0x4000, 0x8000, 0x2000, 0x2001, 0x00b9, 0x40b9, 0x1fff]))
          break
        case 6:
          bytes[20 + this.#below(Math.min(24, bytes.length - 20) || 1)] = this.#below(256)
          break
        case 7:
          bytes = bytes.slice(0, Math.max(20, this.#below(bytes.length + 1)))
          if (this.#below(2) === 0) new DataView(bytes.buffer).setUint16(2, bytes.length)
          break
        case 8:
          view.setUint16(2, this.#pick([20, 28, bytes.length - 1, bytes.length + 1, this.#below(65536)]))
          break
        case 9:
          bytes = this.#withOptions(bytes)
          break
        case 10:
          bytes[0] = 0x40 | this.#pick([0, 4, 5, 5, 6, 7, 15])
          break
        case 11:
          bytes[this.#below(bytes.length)]! ^= 1 << this.#below(8)
          transport = this.#below(2) === 0
          break
        default:
          transport = false
      }
    }
    return this.#finished(bytes, transport)
  }

  #withOptions(packet: Bytes): Bytes {
    const old = Math.min((packet[0]! & 15) * 4, packet.length)
    const length = 4 * (1 + this.#below(10))
    const bytes = new Uint8Array(packet.length - Math.max(20, old) + 20 + length)
    bytes.set(packet.subarray(0, 20))
    bytes.set(packet.subarray(Math.max(20, old)), 20 + length)
    for (let at = 20; at < 20 + length; ) {
      const type = this.#pick(OPTION_TYPES)
      bytes[at] = type
      if (type <= 1) {
        at++
        continue
      }
      const left = 20 + length - at
      const size =
        this.#below(6) === 0 ? this.#below(left + 2) : Math.min(left, this.#pick([3, 4, 7, 8, 11, 12, 20]))
      if (left > 1) bytes[at + 1] = size
      if (left > 2) bytes[at + 2] = this.#pick([4, 5, 8, 9, 12, 13, this.#below(44)])
      if (left > 3) bytes[at + 3] = this.#pick([0, 1, 3, 0x10, 0xf0, this.#below(256)])
      at += Math.max(2, size)
    }
    bytes[0] = 0x40 | (5 + length / 4)
    new DataView(bytes.buffer).setUint16(2, bytes.length)
    return bytes
  }

  /** Checksums right again, mostly; and nothing that the stack leaves out. */
  #finished(bytes: Bytes, transport: boolean): Bytes {
    const view = new DataView(bytes.buffer)
    bytes[0] = 0x40 | (bytes[0]! & 15)
    if (!PROTOCOLS.includes(bytes[9]!)) bytes[9] = 253
    const headerLength = (bytes[0]! & 15) * 4
    const fragment = view.getUint16(6) & 0x3fff
    if (fragment !== 0) view.setUint16(4, this.#nextId())
    const end = Math.min(view.getUint16(2), bytes.length)
    const at = headerLength
    // CIPSO and source routes have entries of their own in the table of differences.
    if (transport && headerLength >= 20 && fragment === 0) {
      if (bytes[9] === 1 && end >= at + 4) {
        bytes[at + 2] = bytes[at + 3] = 0
        view.setUint16(at + 2, checksum(bytes, at, end))
      }
      if (bytes[9] === 6 && end >= at + 20) {
        bytes[at + 16] = bytes[at + 17] = 0
        const pseudo = pseudoHeaderSum(view.getInt32(12), view.getInt32(16), 6, end - at)
        view.setUint16(at + 16, checksum(bytes, at, end, fold(pseudo)))
      }
      if (bytes[9] === 17 && end >= at + 8) {
        const length = view.getUint16(at + 4)
        if (length >= 8 && at + length <= end) {
          bytes[at + 6] = bytes[at + 7] = 0
          const pseudo = pseudoHeaderSum(view.getInt32(12), view.getInt32(16), 17, length)
          view.setUint16(at + 6, checksum(bytes, at, at + length, fold(pseudo)) || 0xffff)
        }
      }
    }
    if (this.#below(20) > 0) {
      bytes[10] = bytes[11] = 0
      view.setUint16(10, checksum(bytes, 0, Math.max(20, Math.min(headerLength, bytes.length))))
    }
    return bytes
  }
}
