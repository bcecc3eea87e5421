/**
 * Packets that are nearly right: of every kind that a host or router looks into, with any field wrong, in a
 * sequence that a seed determines. A burst depends on the seed and its own number alone, so that any can be
 * repeated without those before it.
 */
import { Random } from '../../../lib/random/random.ts'
import { seededRandom } from '../../../lib/random/seeded.ts'
import { checksum, fold, pseudoHeaderSum } from '../../../lib/wire/checksum.ts'

type Bytes = Uint8Array<ArrayBuffer>

export const BURST_PACKETS = 250
const MTU = 1500

const address = (a: number, b: number, c: number, d: number): number => (a << 24) | (b << 16) | (c << 8) | d

/** What the stack under test has and knows, and what no packet should name. */
const OWN = [address(10, 9, 0, 2), address(10, 8, 0, 2), address(10, 0, 3, 110), address(10, 0, 3, 7)]
const KERNEL = address(10, 9, 0, 1)
const ODD = [
  address(10, 9, 0, 255),
  address(10, 9, 0, 0),
  address(10, 8, 0, 255),
  address(10, 0, 3, 255),
  address(255, 255, 255, 255),
  address(224, 0, 0, 1),
  address(239, 1, 2, 3),
  address(127, 0, 0, 1),
  address(0, 0, 0, 0),
  address(0, 1, 2, 3),
  address(240, 0, 0, 1),
  address(10, 5, 0, 1),
  address(10, 9, 0, 77),
  address(192, 0, 2, 1),
]
const EDGES = [0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 19, 20, 21, 27, 28, 60, 0x7f, 0x80, 0xfe, 0xff]
const OPTIONS: readonly (readonly number[])[] = [
  [7, 39, 4, ...new Array<number>(36).fill(0)],
  [7, 7, 4, 0, 0, 0, 0],
  [7, 7, 8, 1, 2, 3, 4],
  [68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  [68, 20, 5, 1, ...new Array<number>(16).fill(0)],
  [68, 12, 5, 3, 10, 9, 0, 2, 0, 0, 0, 0],
  [68, 8, 9, 0xe0, 0, 0, 0, 0],
  [131, 7, 4, 10, 9, 0, 1],
  [137, 11, 4, 10, 0, 3, 110, 10, 9, 0, 1],
  [148, 4, 0, 0],
  [130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  [1],
  [0],
]

export class PacketFuzzer {
  readonly #seed: number
  #random: Random

  /** @param seed any 32-bit integer */
  constructor(seed: number) {
    this.#seed = seed
    this.#random = new Random(seededRandom(seed))
  }

  burst(number: number): Bytes[] {
    this.#random = new Random(seededRandom((this.#seed ^ Math.imul(number + 1, 0x9e3779b1)) | 0))
    const packets: Bytes[] = []
    while (packets.length < BURST_PACKETS) this.#add(packets)
    return packets.slice(0, BURST_PACKETS)
  }

  #add(packets: Bytes[]): void {
    if (this.#chance(4)) {
      const pieces = this.#fragments()
      packets.push(...(this.#chance(3) ? pieces.map((piece) => this.#mutated(piece)) : pieces))
    } else if (this.#chance(20)) {
      packets.push(this.#bytes(1 + this.#below(200)))
    } else {
      const packet = this.#datagram()
      packets.push(this.#chance(4) ? packet : this.#mutated(packet))
    }
  }

  /** A datagram with nothing wrong in it but perhaps where it comes from and goes to. */
  #datagram(): Bytes {
    const size = this.#chance(10) ? this.#below(1400) : this.#below(64)
    const source = this.#chance(3) ? this.#anyAddress() : KERNEL
    const destination = this.#chance(3) ? this.#anyAddress() : this.#pick(OWN)
    const options = this.#chance(5) ? this.#options() : []
    const [protocol, payload] = this.#payload(source, destination, size)
    return this.#ip({ source, destination, protocol, options, payload })
  }

  #payload(source: number, destination: number, size: number): [protocol: number, payload: Bytes] {
    switch (this.#below(8)) {
      case 0:
      case 1:
      case 2:
        return [1, this.#icmp(this.#chance(2) ? 8 : this.#below(20), 0, this.#bytes(size))]
      case 3:
        return [1, this.#icmpError(destination)]
      case 4:
      case 5:
        return [17, this.#udp(source, destination, size)]
      case 6:
        return [6, this.#tcp(source, destination, size)]
      default:
        return [this.#below(256), this.#bytes(size)]
    }
  }

  #ip(fields: {
    source: number
    destination: number
    protocol: number
    payload: Bytes
    options?: readonly number[]
    id?: number
    fragment?: number
  }): Bytes {
    const { source, destination, protocol, payload, options = [] } = fields
    const header = 20 + ((options.length + 3) & ~3)
    const bytes = new Uint8Array(header + payload.length)
    const view = new DataView(bytes.buffer)
    bytes[0] = 0x40 | (header / 4)
    bytes[1] = this.#chance(8) ? this.#below(256) : 0
    view.setUint16(2, bytes.length)
    view.setUint16(4, fields.id ?? this.#below(65536))
    view.setUint16(6, fields.fragment ?? (this.#chance(2) ? 0x4000 : 0))
    bytes[8] = this.#chance(8) ? this.#below(3) : 64
    bytes[9] = protocol
    view.setInt32(12, source)
    view.setInt32(16, destination)
    bytes.set(options, 20)
    bytes.set(payload, header)
    view.setUint16(10, checksum(bytes, 0, header))
    return bytes
  }

  #icmp(type: number, code: number, rest: Bytes): Bytes {
    const bytes = new Uint8Array(8 + rest.length)
    bytes.set([type, code])
    bytes.set(this.#bytes(4), 4)
    bytes.set(rest, 8)
    new DataView(bytes.buffer).setUint16(2, checksum(bytes, 0, bytes.length))
    return bytes
  }

  /** About something that the stack can have sent: a redirect, a smaller MTU, unreachable, … */
  #icmpError(sender: number): Bytes {
    const towards = this.#chance(2) ? KERNEL : this.#anyAddress()
    const quoted = this.#chance(2)
      ? this.#icmp(this.#chance(2) ? 8 : 0, 0, this.#bytes(this.#below(16)))
      : this.#udp(sender, towards, this.#below(16))
    const quote = this.#ip({
      source: sender,
      destination: towards,
      protocol: this.#chance(2) ? 1 : 17,
      payload: quoted,
      options: this.#chance(8) ? this.#options() : [],
    })
    const error = this.#icmp(this.#pick([3, 3, 3, 4, 5, 5, 11, 12]), this.#below(16), quote)
    const view = new DataView(error.buffer)
    view.setUint16(4, 0)
    if (this.#chance(2)) view.setUint16(6, this.#below(1600))
    else view.setInt32(4, this.#anyAddress())
    view.setUint16(2, 0)
    view.setUint16(2, checksum(error, 0, error.length))
    return error
  }

  #udp(source: number, destination: number, size: number): Bytes {
    const bytes = new Uint8Array(8 + size)
    const view = new DataView(bytes.buffer)
    view.setUint16(0, this.#below(65536))
    view.setUint16(2, this.#chance(2) ? 7 : this.#below(65536))
    view.setUint16(4, bytes.length)
    bytes.set(this.#bytes(size), 8)
    const sum = checksum(bytes, 0, bytes.length, fold(pseudoHeaderSum(source, destination, 17, bytes.length)))
    view.setUint16(6, this.#chance(6) ? 0 : sum === 0 ? 0xffff : sum)
    return bytes
  }

  #tcp(source: number, destination: number, size: number): Bytes {
    const bytes = this.#bytes(20 + size)
    const view = new DataView(bytes.buffer)
    bytes[12] = 0x50
    bytes[13] = this.#chance(2) ? 0x02 : this.#below(256)
    view.setUint16(16, 0)
    const sum = pseudoHeaderSum(source, destination, 6, bytes.length)
    view.setUint16(16, checksum(bytes, 0, bytes.length, fold(sum)))
    return bytes
  }

  /** A datagram in pieces: some overlap, some are missing, some come twice, in any order. */
  #fragments(): Bytes[] {
    const source = this.#chance(4) ? this.#anyAddress() : KERNEL
    const destination = this.#pick(OWN)
    const size = this.#chance(10) ? 20_000 + this.#below(45_000) : this.#below(4000)
    const [protocol, whole] = this.#chance(2)
      ? [1, this.#icmp(8, 0, this.#bytes(size))]
      : [17, this.#udp(source, destination, size)]
    const id = this.#below(this.#chance(2) ? 4 : 65536)
    const options = this.#chance(6) ? this.#options() : []
    const pieces: Bytes[] = []
    for (let from = 0; from < whole.length; ) {
      const room = this.#chance(4) ? 8 * (1 + this.#below(20)) : 1400
      const end = Math.min(whole.length, from + room)
      const overlap = from > 0 && this.#chance(30) ? 8 * Math.min(from / 8, 1 + this.#below(3)) : 0
      const begin = from - overlap
      const payload = whole.slice(begin, end)
      const fragment = (begin >> 3) | (end < whole.length ? 0x2000 : 0)
      const repeat = this.#chance(30) ? 2 : this.#chance(60) ? 0 : 1
      for (let i = 0; i < repeat; i++) {
        pieces.push(this.#ip({ source, destination, protocol, payload, options, id, fragment }))
      }
      from = end
    }
    if (this.#chance(2)) {
      for (let i = pieces.length - 1; i > 0; i--) {
        const j = this.#below(i + 1)
        const other = pieces[j]!
        pieces[j] = pieces[i]!
        pieces[i] = other
      }
    }
    return pieces
  }

  #options(): number[] {
    const options: number[] = []
    for (let n = 1 + this.#below(3); n > 0; n--) {
      const option = this.#chance(6) ? [...this.#bytes(1 + this.#below(12))] : this.#pick(OPTIONS)
      if (options.length + option.length <= 40) options.push(...option)
    }
    return options
  }

  /** A copy in which something is wrong; checksums are mended more often than not, so that it gets further. */
  #mutated(packet: Bytes): Bytes {
    let bytes = packet.slice()
    for (let n = 1 + this.#below(4); n > 0 && bytes.length > 0; n--) {
      // Headers are where the decisions are.
      const at = this.#below(this.#chance(4) ? bytes.length : Math.min(bytes.length, 48))
      switch (this.#below(6)) {
        case 0:
          bytes[at]! ^= 1 << this.#below(8)
          break
        case 1:
          bytes[at] = this.#pick(EDGES)
          break
        case 2:
          bytes[at] = this.#below(256)
          break
        case 3:
          bytes = bytes.slice(0, 1 + this.#below(bytes.length))
          break
        case 4: {
          const longer = new Uint8Array(Math.min(MTU, bytes.length + 1 + this.#below(60)))
          longer.set(bytes.subarray(0, longer.length))
          bytes = longer
          break
        }
        default:
          if (bytes.length >= 20)
            new DataView(bytes.buffer).setInt32(this.#chance(2) ? 12 : 16, this.#anyAddress())
      }
    }
    if (this.#chance(2)) mendTransport(bytes)
    if (!this.#chance(6)) mendHeader(bytes)
    return bytes
  }

  #anyAddress(): number {
    switch (this.#below(4)) {
      case 0:
        return this.#random.int32()
      case 1:
        return this.#pick(OWN)
      case 2:
        return address(10, this.#pick([0, 8, 9]), this.#pick([0, 3]), this.#below(256))
      default:
        return this.#pick(ODD)
    }
  }

  #bytes(length: number): Bytes {
    const bytes = new Uint8Array(length)
    const word = this.#random.int32()
    // Their content hardly matters; that it changes does.
    for (let i = 0; i < length; i++) bytes[i] = (word >>> (8 * (i & 3))) + i
    return bytes
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#below(list.length)]!
  }

  /** True once in `n` times. */
  #chance(n: number): boolean {
    return this.#below(n) === 0
  }

  #below(bound: number): number {
    return this.#random.below(bound)
  }
}

function mendHeader(bytes: Bytes): void {
  const length = (bytes[0]! & 15) * 4
  if (length < 20 || length > bytes.length) return
  const view = new DataView(bytes.buffer)
  view.setUint16(10, 0)
  view.setUint16(10, checksum(bytes, 0, length))
}

function mendTransport(bytes: Bytes): void {
  const at = (bytes[0]! & 15) * 4
  const end = bytes.length >= 4 ? Math.min(bytes.length, (bytes[2]! << 8) | bytes[3]!) : 0
  const field = bytes[9] === 1 ? 2 : bytes[9] === 17 ? 6 : -1
  if (field < 0 || at < 20 || end < at + 8) return
  const view = new DataView(bytes.buffer)
  const sum = bytes[9] === 1 ? 0 : fold(pseudoHeaderSum(view.getInt32(12), view.getInt32(16), 17, end - at))
  view.setUint16(at + field, 0)
  view.setUint16(at + field, checksum(bytes, at, end, sum))
}
