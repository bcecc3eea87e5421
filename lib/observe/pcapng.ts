/**
 * Writes packets in the pcapng format (draft-ietf-opsawg-pcapng), which Wireshark, tshark and tcpdump read: a
 * section header, an interface description per device, an enhanced packet block per packet with its time in
 * nanoseconds and its direction, and interface statistics at the end. Bytes leave through a function, so that
 * a file, a socket or an array can take them; everything is little-endian.
 */
import { invalidArgument } from '../errors.ts'
import { copyCompleted } from '../packet/complete-checksum.ts'
import { Checksum, type Packet } from '../packet/packet.ts'

/** Takes what was written. The bytes are lent for the length of the call: copy what is to be kept. */
export type ByteSink = (bytes: Uint8Array<ArrayBuffer>) => void

/** `LINKTYPE_RAW`: a packet begins with its IPv4 or IPv6 header. */
const LINKTYPE_RAW = 101

const BlockType = { SECTION_HEADER: 0x0a0d0d0a, INTERFACE: 1, INTERFACE_STATISTICS: 5, PACKET: 6 } as const

const Option = {
  END: 0,
  COMMENT: 1,
  SHB_USERAPPL: 4,
  IF_NAME: 2,
  IF_DESCRIPTION: 3,
  IF_TSRESOL: 9,
  EPB_FLAGS: 2,
  ISB_STARTTIME: 2,
  ISB_ENDTIME: 3,
  ISB_IFRECV: 4,
  ISB_IFDROP: 5,
  ISB_FILTERACCEPT: 6,
  ISB_USRDELIV: 8,
} as const

/** Direction bits of `epb_flags`. */
export const Direction = { UNKNOWN: 0, INBOUND: 1, OUTBOUND: 2 } as const
export type Direction = (typeof Direction)[keyof typeof Direction]

const TWO_32 = 0x1_0000_0000
const MAGIC = 0x1a2b3c4d
/** An option's length is 16 bits, and its value is padded to four bytes. */
const MAX_TEXT = 65532
/** Fixed parts of the largest block (packet: 32 bytes, flags 8, comment header 4, end 4), with room to spare. */
const BLOCK_OVERHEAD = 128

export interface PcapngOptions {
  /** Nanoseconds since 1970-01-01 UTC at stack time 0: `clock.epoch`. */
  epoch: bigint
  /** Bytes of a packet to keep at most; 262144 by default, which is all of any packet. */
  snaplen?: number
  /** Named in the file as what wrote it. */
  application?: string
  /**
   * Shows packets whose checksum the device was to complete as they will be on the wire, which is what readers of a
   * capture check and replay; they are not changed themselves. `false` shows what is there: the sum of the
   * pseudo-header alone, as tcpdump does. `true` by default.
   */
  completeChecksums?: boolean
  /** Bytes to gather before the sink is called; 0 by default: every block at once. */
  buffer?: number
}

/** What an interface statistics block says. Times in nanoseconds of the stack's clock. */
export interface InterfaceStatistics {
  started?: number
  ended?: number
  /** Packets that the interface saw. */
  received?: number
  /** Packets that were lost to the capture. */
  dropped?: number
  /** Packets that the filter let through. */
  accepted?: number
}

/** One pcapng section. The header goes out with the first block that follows. */
export class PcapngWriter {
  readonly snaplen: number
  readonly #sink: ByteSink
  readonly #application: string
  readonly #complete: boolean
  readonly #gather: number
  readonly #epochHigh: number
  readonly #epochLow: number
  readonly #delivered: number[] = []
  #bytes: Uint8Array<ArrayBuffer>
  #view: DataView
  #at = 0
  #blockStart = 0
  #started = false
  #closed = false

  /** @throws TunstackError `ERR_INVALID_ARG_VALUE` for a snaplen that is no positive integer below 2³¹ */
  constructor(sink: ByteSink, options: PcapngOptions) {
    const {
      epoch,
      snaplen = 262_144,
      application = 'tunstack',
      completeChecksums = true,
      buffer = 0,
    } = options
    if (!Number.isInteger(snaplen) || snaplen < 1 || snaplen > 0x7fffffff) {
      throw invalidArgument('snaplen', snaplen, 'a positive number of bytes')
    }
    this.#sink = sink
    this.snaplen = snaplen
    this.#application = application
    this.#complete = completeChecksums
    this.#gather = buffer
    this.#epochHigh = Number(epoch >> 32n)
    this.#epochLow = Number(epoch & 0xffff_ffffn)
    this.#bytes = new Uint8Array(4096)
    this.#view = new DataView(this.#bytes.buffer)
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Describes a device; the number that comes back is what {@link packet} wants. */
  addInterface(name: string, description = ''): number {
    this.#begin(BlockType.INTERFACE, name.length * 4 + description.length * 4)
    this.#put16(LINKTYPE_RAW)
    this.#put16(0)
    this.#put32(this.snaplen)
    this.#text(Option.IF_NAME, name)
    if (description !== '') this.#text(Option.IF_DESCRIPTION, description)
    this.#option(Option.IF_TSRESOL, 1)
    this.#put32(9) // 10⁻⁹ s, and three bytes of padding
    this.#end()
    return this.#delivered.push(0) - 1
  }

  /**
   * Writes one packet. It stays the caller's and is not changed.
   * @param time nanoseconds of the stack's clock
   */
  packet(interfaceId: number, packet: Packet, time: number, direction: Direction, comment = ''): void {
    const { length } = packet
    const captured = Math.min(length, this.snaplen)
    const complete = this.#complete && packet.checksum === Checksum.PARTIAL
    this.#begin(BlockType.PACKET, (complete ? length : captured) + comment.length * 4)
    this.#put32(interfaceId)
    this.#putTime(time)
    this.#put32(captured)
    this.#put32(length)
    // All of it, whatever the snaplen, since the sum is over all of it; what is too much is written over.
    if (complete) copyCompleted(packet, this.#bytes, this.#at)
    else this.#copy(packet, captured)
    this.#at += captured
    this.#pad()
    if (comment !== '') this.#text(Option.COMMENT, comment)
    if (direction !== Direction.UNKNOWN) {
      this.#option(Option.EPB_FLAGS, 4)
      this.#put32(direction)
    }
    this.#end()
    this.#delivered[interfaceId]!++
  }

  /** Writes what is known of an interface at the end of a capture, and how many packets of it are in this file. */
  statistics(interfaceId: number, time: number, statistics: InterfaceStatistics = {}): void {
    const { started, ended, received, dropped, accepted } = statistics
    this.#begin(BlockType.INTERFACE_STATISTICS, 0)
    this.#put32(interfaceId)
    this.#putTime(time)
    this.#timeOption(Option.ISB_STARTTIME, started)
    this.#timeOption(Option.ISB_ENDTIME, ended)
    this.#countOption(Option.ISB_IFRECV, received)
    this.#countOption(Option.ISB_IFDROP, dropped)
    this.#countOption(Option.ISB_FILTERACCEPT, accepted)
    this.#countOption(Option.ISB_USRDELIV, this.#delivered[interfaceId])
    this.#end()
  }

  /** Hands on what was gathered. */
  flush(): void {
    if (this.#at === 0) return
    const block = this.#bytes.subarray(0, this.#at)
    this.#at = 0
    this.#sink(block)
  }

  /** Flushes, a section header at least, and takes nothing more. Safe twice. */
  close(): void {
    if (this.#closed) return
    if (!this.#started) this.#sectionHeader()
    this.#closed = true
    this.flush()
  }

  #sectionHeader(): void {
    this.#started = true
    this.#begin(BlockType.SECTION_HEADER, this.#application.length * 4)
    this.#put32(MAGIC)
    this.#put16(1)
    this.#put16(0)
    this.#put32(0xffffffff) // section length unknown: -1 in 64 bits
    this.#put32(0xffffffff)
    this.#text(Option.SHB_USERAPPL, this.#application)
    this.#end()
  }

  #begin(type: number, variable: number): void {
    if (this.#closed) throw invalidArgument('block', type, 'written before close()')
    if (!this.#started) this.#sectionHeader()
    this.#reserve(variable + BLOCK_OVERHEAD)
    this.#blockStart = this.#at
    this.#put32(type)
    this.#at += 4 // the length, once it is known
  }

  /** Ends the options and the block, and hands it on unless more is to be gathered. */
  #end(): void {
    this.#put32(Option.END)
    const length = this.#at + 4 - this.#blockStart
    this.#put32(length)
    this.#view.setUint32(this.#blockStart + 4, length, true)
    if (this.#at > this.#gather) this.flush()
  }

  #reserve(bytes: number): void {
    if (this.#bytes.length - this.#at >= bytes) return
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#at + bytes))
    larger.set(this.#bytes.subarray(0, this.#at))
    this.#bytes = larger
    this.#view = new DataView(larger.buffer)
  }

  #copy(packet: Packet, captured: number): void {
    if (captured === packet.length) {
      packet.copyTo(this.#bytes, this.#at)
      return
    }
    const head = packet.bytes.subarray(packet.start, Math.min(packet.end, packet.start + captured))
    this.#bytes.set(head, this.#at)
    if (packet.body !== null && head.length < captured) {
      this.#bytes.set(packet.body.subarray(0, captured - head.length), this.#at + head.length)
    }
  }

  #put16(value: number): void {
    this.#view.setUint16(this.#at, value, true)
    this.#at += 2
  }

  #put32(value: number): void {
    this.#view.setUint32(this.#at, value, true)
    this.#at += 4
  }

  /** High word, then low word, without a BigInt per packet. */
  #putTime(time: number): void {
    const high = Math.floor(time / TWO_32)
    const low = this.#epochLow + (time - high * TWO_32)
    const carry = low >= TWO_32 ? 1 : 0
    this.#put32(this.#epochHigh + high + carry)
    this.#put32(low - carry * TWO_32)
  }

  #timeOption(code: number, time: number | undefined): void {
    if (time === undefined) return
    this.#option(code, 8)
    this.#putTime(time)
  }

  #countOption(code: number, count: number | undefined): void {
    if (count === undefined) return
    this.#option(code, 8)
    this.#put32(count % TWO_32)
    this.#put32(Math.floor(count / TWO_32))
  }

  #option(code: number, length: number): void {
    this.#put16(code)
    this.#put16(length)
  }

  #text(code: number, text: string): void {
    this.#option(code, 0)
    const at = this.#at
    this.#at = putUtf8(text, this.#bytes, at, MAX_TEXT)
    this.#view.setUint16(at - 2, this.#at - at, true)
    this.#pad()
  }

  #pad(): void {
    while (((this.#at - this.#blockStart) & 3) !== 0) this.#bytes[this.#at++] = 0
  }
}

/** Writes `text` as UTF-8, whole characters up to `limit` bytes, and gives the offset behind it. */
function putUtf8(text: string, bytes: Uint8Array, start: number, limit: number): number {
  let at = start
  for (const character of text) {
    const point = character.codePointAt(0)!
    const code = point >= 0xd800 && point < 0xe000 ? 0xfffd : point // half a surrogate pair has no UTF-8
    const size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4
    if (at + size - start > limit) break
    if (size === 1) {
      bytes[at++] = code
      continue
    }
    bytes[at++] = (0xf00 >> size) | (code >> (6 * (size - 1)))
    for (let rest = size - 2; rest >= 0; rest--) bytes[at++] = 0x80 | ((code >> (6 * rest)) & 0x3f)
  }
  return at
}
