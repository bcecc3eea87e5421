/**
 * Receive offload in software (Linux's GRO): segments of one flow that came in one burst, in order and alike, go
 * through the stack as one super-segment. The rules are those of `inet_gro_receive`, `tcp_gro_receive` and
 * `udp_gro_receive_segment`, so that cutting the result gives back what came, bit for bit. Nothing waits beyond its
 * burst, and the order within a flow stays; the merged packet takes the place of the first of its segments.
 *
 * Segments are chained while the burst is read and copied once at its end, when it is known how large the result
 * is: every part of the stack then sees one packet in one piece.
 */
import type { Burst } from '../packet/burst.ts'
import { Checksum, Gso, HEADROOM, type Packet } from '../packet/packet.ts'
import { copyMetadata } from '../packet/packet-pool.ts'
import { read16, read32, write16 } from '../wire/big-endian.ts'
import { checksum, fold, pseudoHeaderSum, updateChecksum16 } from '../wire/checksum.ts'
import {
  IPV4_CHECKSUM,
  IPV4_DESTINATION,
  IPV4_DF,
  IPV4_FLAGS_FRAGMENT,
  IPV4_ID,
  IPV4_MAX_PACKET,
  IPV4_MIN_HEADER,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOS,
  IPV4_TOTAL_LENGTH,
  IPV4_TTL,
  IpProtocol,
} from '../wire/ipv4.ts'
import {
  TCP_ACKNOWLEDGMENT,
  TCP_CHECKSUM,
  TCP_DATA_OFFSET,
  TCP_FLAGS,
  TCP_MIN_HEADER,
  TCP_SEQUENCE,
  TCP_WINDOW,
  TcpFlag,
} from '../wire/tcp.ts'
import { UDP_CHECKSUM, UDP_HEADER, UDP_LENGTH } from '../wire/udp.ts'

/** Version 4 and no options: others are not merged. */
const PLAIN_HEADER = 0x45
/** What ends a run when it comes, but may be in its last segment. */
const LAST_ONLY = TcpFlag.FIN | TcpFlag.PSH
/** What is never merged. Of CWR only one segment may have it (RFC 3168 §6.1.2), and the others would lose theirs. */
const NEVER = TcpFlag.SYN | TcpFlag.RST | TcpFlag.URG | TcpFlag.CWR
/** Places for flows under way; one that collides with another ends the other's run. */
const SLOTS = 64

/** Segments under way that become one packet. */
class Run {
  /** Place in the burst of the first segment. */
  index = 0
  /** The first segment; the others follow by `next`. */
  first!: Packet
  last!: Packet
  count = 0
  open = false
  verified = false
  /** Headers of each, IP included. */
  headers = 0
  /** Payload of all segments but perhaps the last. */
  size = 0
  /** Payload so far. */
  payload = 0
  fixedId = false
}

export class Gro {
  /** Whether the datagram's endpoint wants datagrams merged (`UDP_GRO`); `null` while none does. */
  wantsUdp: ((packet: Packet) => boolean) | null = null
  /** Whether TCP segments are merged. */
  tcp = false
  readonly #runs: Run[] = []
  #started = 0
  /** Number of a run plus one, by flow; 0 where there is none. */
  readonly #slots = new Uint8Array(SLOTS)
  readonly #out: Packet[] = []

  /** Merges within the burst, in place. @param trusted nothing can have damaged what the device received */
  merge(burst: Burst, trusted: boolean): void {
    const { packets, length } = burst
    let merged = false
    for (let i = 0; i < length; i++) {
      const packet = packets[i]!
      const { bytes, start } = packet
      if (packet.end - start < IPV4_MIN_HEADER + UDP_HEADER || bytes[start] !== PLAIN_HEADER) continue
      const protocol = bytes[start + IPV4_PROTOCOL]!
      if (protocol === IpProtocol.TCP ? !this.tcp : protocol !== IpProtocol.UDP || this.wantsUdp === null)
        continue
      if (this.#take(packet, i, protocol, trusted)) {
        packets[i] = null
        merged = true
      }
    }
    if (merged) this.#rebuild(burst)
    if (this.#started > 0) {
      this.#started = 0
      this.#slots.fill(0)
    }
  }

  /** True if the packet went into a run that was there; else it stays where it is, perhaps as the first of one. */
  #take(packet: Packet, index: number, protocol: number, trusted: boolean): boolean {
    const { bytes, start, length } = packet
    const fragment = read16(bytes, start + IPV4_FLAGS_FRAGMENT)
    if ((fragment & ~IPV4_DF) !== 0) return false
    const transport = start + IPV4_MIN_HEADER
    const slot = slotOf(bytes, start)
    const known = this.#slots[slot]!
    const run = known === 0 ? null : this.#runs[known - 1]!
    const headers = IPV4_MIN_HEADER + transportHeaderLength(bytes, transport, protocol)
    const payload = length - headers
    // As it came: one packet, in one piece, with nothing behind it.
    const whole =
      headers > IPV4_MIN_HEADER &&
      packet.gsoSize === 0 &&
      packet.body === null &&
      read16(bytes, start + IPV4_TOTAL_LENGTH) === length
    const plain =
      whole &&
      payload > 0 &&
      (protocol === IpProtocol.TCP || read16(bytes, transport + UDP_LENGTH) === length - IPV4_MIN_HEADER)
    if (run?.open === true && isSameFlow(run.first, packet)) {
      if (plain && headers === run.headers && this.#joins(run, packet, payload, protocol, trusted)) {
        run.last.next = packet
        run.last = packet
        run.count++
        run.payload += payload
        const ends = protocol === IpProtocol.TCP && (bytes[transport + TCP_FLAGS]! & LAST_ONLY) !== 0
        if (ends || payload < run.size) run.open = false
        return true
      }
      // What is damaged is of no flow.
      if (isDamaged(packet, protocol, trusted, whole)) return false
      run.open = false
    }
    if (plain && this.#begins(packet, protocol)) this.#start(packet, index, slot, headers, payload)
    return false
  }

  /** Whether a run may begin with it. */
  #begins(packet: Packet, protocol: number): boolean {
    const { bytes, start } = packet
    const transport = start + IPV4_MIN_HEADER
    if (protocol === IpProtocol.TCP) return (bytes[transport + TCP_FLAGS]! & (NEVER | LAST_ONLY)) === 0
    // Without a checksum it could not be cut again: a super-segment has one.
    return read16(bytes, transport + UDP_CHECKSUM) !== 0 && this.wantsUdp!(packet)
  }

  #start(packet: Packet, index: number, slot: number, headers: number, payload: number): void {
    const number = this.#started++
    const run = (this.#runs[number] ??= new Run())
    run.index = index
    run.first = run.last = packet
    run.count = 1
    run.open = true
    run.verified = false
    run.headers = headers
    run.size = run.payload = payload
    run.fixedId = false
    this.#slots[slot] = number + 1
  }

  /** Whether the packet, of the run's flow, is the next segment of the run. */
  #joins(run: Run, packet: Packet, payload: number, protocol: number, trusted: boolean): boolean {
    if (payload > run.size || run.headers + run.payload + payload > IPV4_MAX_PACKET) return false
    const { bytes: a, start: from } = run.first
    const { bytes: b, start: at } = packet
    if (a[from + IPV4_TOS] !== b[at + IPV4_TOS] || a[from + IPV4_TTL] !== b[at + IPV4_TTL]) return false
    if (a[from + IPV4_FLAGS_FRAGMENT] !== b[at + IPV4_FLAGS_FRAGMENT]) return false
    // Identifications count up or are all the same (Linux before 6.18 wants DF for that): both can be made again.
    const idOffset = (read16(b, at + IPV4_ID) - read16(a, from + IPV4_ID)) & 0xffff
    const fixedId = run.count === 1 ? idOffset === 0 : run.fixedId
    if (idOffset !== (fixedId ? 0 : run.count)) return false
    const first = from + IPV4_MIN_HEADER
    const next = at + IPV4_MIN_HEADER
    if (protocol === IpProtocol.TCP) {
      if (!isNextTcp(a, first, b, next, run)) return false
    } else if (read16(b, next + UDP_CHECKSUM) === 0) return false
    if (!run.verified) {
      if (!verify(run.first, protocol, trusted)) return false
      run.verified = true
    }
    if (!verify(packet, protocol, trusted)) return false
    run.fixedId = fixedId
    return true
  }

  /** Puts the burst together anew: merged packets in the place of their first segments. */
  #rebuild(burst: Burst): void {
    const out = this.#out
    const { packets, length } = burst
    let next = 0
    for (let i = 0; i < length; i++) {
      const packet = packets[i]!
      if (packet === null) continue
      const run = next < this.#started && this.#runs[next]!.index === i ? this.#runs[next++]! : null
      if (run === null || run.count === 1) {
        out.push(packet)
        continue
      }
      const whole = join(run)
      // Without memory for it they go on one by one.
      for (let one: Packet | null = run.first; one !== null; ) {
        const following: Packet | null = one.next
        one.next = null
        if (whole === null) out.push(one)
        else one.free()
        one = following
      }
      if (whole !== null) out.push(whole)
    }
    burst.clear()
    for (const packet of out) burst.push(packet)
    out.length = 0
  }
}

/** One packet of all segments, which stay as they are; `null` if there is no memory for it. */
function join({ first, count, headers, size, payload, fixedId }: Run): Packet | null {
  const { pool } = first
  const length = headers + payload
  const whole = pool.allocate(length, HEADROOM)
  if (whole === null) return null
  const at = whole.put(length)
  const { bytes } = whole
  let to = at
  let flags = 0
  const tcp = first.bytes[first.start + IPV4_PROTOCOL] === IpProtocol.TCP
  const transport = at + IPV4_MIN_HEADER
  for (let one: Packet | null = first; one !== null; one = one.next) {
    const from = one === first ? one.start : one.start + headers
    bytes.set(one.bytes.subarray(from, one.end), to)
    to += one.end - from
    if (tcp) flags |= one.bytes[one.start + IPV4_MIN_HEADER + TCP_FLAGS]!
  }
  copyMetadata(first, whole)
  whole.networkHeader = at
  whole.transportHeader = transport
  const firstLength = read16(bytes, at + IPV4_TOTAL_LENGTH)
  write16(bytes, at + IPV4_CHECKSUM, updateChecksum16(read16(bytes, at + IPV4_CHECKSUM), firstLength, length))
  write16(bytes, at + IPV4_TOTAL_LENGTH, length)
  const transportLength = length - IPV4_MIN_HEADER
  const protocol = tcp ? IpProtocol.TCP : IpProtocol.UDP
  if (tcp) bytes[transport + TCP_FLAGS] = flags
  else write16(bytes, transport + UDP_LENGTH, transportLength)
  whole.checksum = Checksum.PARTIAL
  whole.checksumStart = transport
  whole.checksumOffset = tcp ? TCP_CHECKSUM : UDP_CHECKSUM
  write16(bytes, transport + whole.checksumOffset, fold(pseudoSum(bytes, at, protocol, transportLength)))
  whole.gsoType = tcp ? Gso.TCPV4 : Gso.UDP_L4
  whole.gsoSize = size
  whole.gsoSegments = count
  whole.gsoFixedId = fixedId
  return whole
}

/** Bytes of the transport header; 0 if it is not all there, or contradicts itself. */
function transportHeaderLength(bytes: Uint8Array, transport: number, protocol: number): number {
  if (protocol === IpProtocol.UDP) return UDP_HEADER
  const length = (bytes[transport + TCP_DATA_OFFSET]! >>> 4) << 2
  return length < TCP_MIN_HEADER ? 0 : length
}

function isNextTcp(a: Uint8Array, first: number, b: Uint8Array, next: number, run: Run): boolean {
  const flags = b[next + TCP_FLAGS]!
  if ((flags & NEVER) !== 0 || ((flags ^ a[first + TCP_FLAGS]!) & ~LAST_ONLY) !== 0) return false
  if (a[first + TCP_DATA_OFFSET] !== b[next + TCP_DATA_OFFSET]) return false
  if (read16(a, first + TCP_WINDOW) !== read16(b, next + TCP_WINDOW)) return false
  if (read32(a, first + TCP_ACKNOWLEDGMENT) !== read32(b, next + TCP_ACKNOWLEDGMENT)) return false
  if (((read32(a, first + TCP_SEQUENCE) + run.payload) | 0) !== read32(b, next + TCP_SEQUENCE)) return false
  const end = run.headers - IPV4_MIN_HEADER
  for (let i = TCP_MIN_HEADER; i < end; i++) if (a[first + i] !== b[next + i]) return false
  return true
}

/** Both checksums; the packet remembers that its own was right. */
function verify(packet: Packet, protocol: number, trusted: boolean): boolean {
  const { bytes, start, end } = packet
  const transport = start + IPV4_MIN_HEADER
  if (checksum(bytes, start, transport) !== 0) return false
  if (packet.checksum !== Checksum.NONE || trusted) return true
  if (checksum(bytes, transport, end, pseudoSum(bytes, start, protocol, end - transport)) !== 0) return false
  packet.checksum = Checksum.UNNECESSARY
  return true
}

/** Whether one of its checksums is wrong; that of TCP or UDP is looked at only if the packet is `whole`. */
function isDamaged(packet: Packet, protocol: number, trusted: boolean, whole: boolean): boolean {
  const { bytes, start } = packet
  const transport = start + IPV4_MIN_HEADER
  const none = protocol === IpProtocol.UDP && read16(bytes, transport + UDP_CHECKSUM) === 0
  return whole && !none ? !verify(packet, protocol, trusted) : checksum(bytes, start, transport) !== 0
}

function pseudoSum(bytes: Uint8Array, start: number, protocol: number, length: number): number {
  const source = read32(bytes, start + IPV4_SOURCE)
  return pseudoHeaderSum(source, read32(bytes, start + IPV4_DESTINATION), protocol, length)
}

/** Addresses, protocol and ports, which TCP and UDP have in the same place. */
function isSameFlow({ bytes: a, start: from }: Packet, { bytes: b, start: at }: Packet): boolean {
  return (
    read32(a, from + IPV4_SOURCE) === read32(b, at + IPV4_SOURCE) &&
    read32(a, from + IPV4_DESTINATION) === read32(b, at + IPV4_DESTINATION) &&
    read32(a, from + IPV4_MIN_HEADER) === read32(b, at + IPV4_MIN_HEADER) &&
    a[from + IPV4_PROTOCOL] === b[at + IPV4_PROTOCOL]
  )
}

function slotOf(bytes: Uint8Array, start: number): number {
  const addresses = read32(bytes, start + IPV4_SOURCE) ^ Math.imul(read32(bytes, start + IPV4_DESTINATION), 5)
  const ports = read32(bytes, start + IPV4_MIN_HEADER)
  return Math.imul(addresses ^ Math.imul(ports, 0x9e3779b1), 0x85ebca6b) >>> 26
}
