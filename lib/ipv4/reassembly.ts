/**
 * Reassembly of fragments (RFC 791 §3.2, RFC 815; Linux's `ip_fragment.c`), for what is delivered to this host.
 * A datagram's timer runs from its first fragment; overlaps cost the whole datagram and what still comes of it
 * (RFC 1858, RFC 5722 §4). Where Linux refuses every fragment once the cache is full, so that a flood shuts out
 * everybody (CVE-2018-5391), this cache gives up its oldest datagrams instead, and one sender gets a quarter of
 * it at most. Every size here is in bytes of slab memory held, as Linux counts `truesize`.
 */
import { readIpv4 } from '../address/ipv4-address.ts'
import { IpExtMib, IpMib, type Mib } from '../observe/mib.ts'
import { Checksum, type Packet, type PacketDevice } from '../packet/packet.ts'
import type { PacketPool } from '../packet/packet-pool.ts'
import type { HalfSipHash } from '../random/siphash.ts'
import { SECOND } from '../time/clock.ts'
import { DropReason } from '../wire/drop-reason.ts'
import {
  IPV4_DESTINATION,
  IPV4_DF,
  IPV4_FLAGS_FRAGMENT,
  IPV4_ID,
  IPV4_MF,
  IPV4_MIN_HEADER,
  IPV4_OFFSET_MASK,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOS,
  IPV4_TOTAL_LENGTH,
  IPV4_VERSION_IHL,
} from '../wire/ipv4.ts'
import {
  FragmentQueue,
  FragmentSource,
  MAX_DATAGRAM,
  QUEUE_COST,
  Queued,
  RunPool,
} from './reassembly-queue.ts'

/** The sysctls under `net.ipv4` that matter here; read whenever they are needed. */
export interface ReassemblySysctl {
  /** Bytes; 0 refuses every fragment. */
  ipfrag_high_thresh: number
  /** Bytes that eviction goes down to. */
  ipfrag_low_thresh: number
  /** Seconds from the first fragment on. */
  ipfrag_time: number
  /** Fragments from the same sender that may come between two of one datagram; 0 for any number. */
  ipfrag_max_dist: number
}

export interface ReassemblyOptions {
  pool: PacketPool
  hash: HalfSipHash
  sysctl: ReassemblySysctl
  mib: Mib
  /** Counts a packet that dies, and frees it. */
  drop(packet: Packet, reason: number, device: PacketDevice | null): void
  /** Takes the first fragment (offset 0) of a datagram whose time is over: ICMP time exceeded, code 1. */
  timedOut(firstFragment: Packet): void
}

const BUCKETS = 1024

/** One sender may always hold the largest datagram in pieces of 1500 bytes, however small the cache is. */
const SOURCE_FLOOR = 160 << 10

/** A packet that fills less than a quarter of a slab above the smallest is copied into a fitting one. */
const COMPACT_FROM = 4096

const INVALID = 0xff

/**
 * RFC 3168 §5.3, by the set of codepoints seen (bit 0 Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE): CE among ECT sets CE,
 * Not-ECT among others is refused.
 */
const ECN_OF = Uint8Array.from({ length: 16 }, (_, seen) => {
  if ((seen & 1) !== 0) return seen === 1 ? 0 : INVALID
  return (seen & 8) !== 0 && seen !== 8 ? 3 : 0
})

export class Reassembly {
  /** Bytes charged. */
  memory = 0
  /** Datagrams in the cache, given-up ones included. */
  length = 0
  readonly #pool: PacketPool
  readonly #hash: HalfSipHash
  readonly #sysctl: ReassemblySysctl
  readonly #mib: Mib
  readonly #options: ReassemblyOptions
  readonly #buckets = new Array<FragmentQueue | null>(BUCKETS).fill(null)
  readonly #sources = new Array<FragmentSource | null>(BUCKETS).fill(null)
  readonly #runs = new RunPool()
  readonly #key = new Int32Array(3)
  #freeQueues: FragmentQueue | null = null
  #freeSources: FragmentSource | null = null
  #oldest: FragmentQueue | null = null
  #newest: FragmentQueue | null = null

  constructor(options: ReassemblyOptions) {
    this.#pool = options.pool
    this.#hash = options.hash
    this.#sysctl = options.sysctl
    this.#mib = options.mib
    this.#options = options
  }

  /**
   * Takes a fragment: a packet with its IPv4 header, checked, at `networkHeader`, and that ends where the
   * fragment ends. Gives the datagram if this was the last piece missing. It carries the header, mark and type
   * of the first fragment, the device and routing decision of the latest.
   * @param now nanoseconds
   */
  insert(packet: Packet, now: number): Packet | null {
    const ip = this.#mib.ip
    ip[IpMib.ReasmReqds]!++
    const at = packet.networkHeader
    const bytes = packet.bytes
    const source = readIpv4(bytes, at + IPV4_SOURCE)
    const destination = readIpv4(bytes, at + IPV4_DESTINATION)
    const id = (bytes[at + IPV4_ID]! << 8) | bytes[at + IPV4_ID + 1]!
    const queue = this.#find(source, destination, (id << 16) | bytes[at + IPV4_PROTOCOL]!, now)
    if (queue === null) {
      ip[IpMib.ReasmFails]!++
      this.#drop(packet, DropReason.FRAG_MEM)
      return null
    }
    if (queue.dead !== 0) {
      this.#drop(packet, queue.dead)
      return null
    }
    this.#checkDistance(queue, now)

    const fragment = (bytes[at + IPV4_FLAGS_FRAGMENT]! << 8) | bytes[at + IPV4_FLAGS_FRAGMENT + 1]!
    const headerLength = (bytes[at + IPV4_VERSION_IHL]! & 15) * 4
    const tos = bytes[at + IPV4_TOS]!
    const start = (fragment & IPV4_OFFSET_MASK) * 8
    const size = packet.length - (at - packet.start) - headerLength
    let end = start + size
    if (headerLength < IPV4_MIN_HEADER || size < 0 || end + headerLength > MAX_DATAGRAM) {
      return this.#giveUp(queue, packet, DropReason.IP_INHDR, true)
    }
    if ((fragment & IPV4_MF) === 0) {
      if (end < queue.length || (queue.hasLast && end !== queue.length)) {
        return this.#giveUp(queue, packet, DropReason.FRAG_OVERLAP, true)
      }
      queue.hasLast = true
      queue.length = end
    } else {
      end &= ~7 // RFC 791: all but the last are multiples of 8; Linux cuts the rest off
      if (end > queue.length) {
        if (queue.hasLast) return this.#giveUp(queue, packet, DropReason.FRAG_OVERLAP, true)
        queue.length = end
      }
    }
    // A lie about this one fragment: the queue goes, as Linux has it, but the datagram may be sent again.
    if (end <= start) return this.#giveUp(queue, packet, DropReason.IP_INHDR, false)

    const piece = this.#compact(packet)
    if (piece === null) return this.#giveUp(queue, packet, DropReason.NOMEM, false)
    const { device, iif, destination: route, checksum } = piece
    piece.start = piece.networkHeader + headerLength
    piece.end = piece.start + end - start
    const before = queue.memory
    const queued = queue.add(piece, start, end)
    if (queued !== Queued.OK) {
      if (queued === Queued.DUPLICATE) {
        this.#drop(piece, DropReason.DUP_FRAG)
        return null
      }
      if (queued === Queued.OVERLAP) {
        this.#mib.ipExt[IpExtMib.ReasmOverlaps]!++
        return this.#giveUp(queue, piece, DropReason.FRAG_OVERLAP, true)
      }
      return this.#giveUp(queue, piece, DropReason.FRAG_MEM, true)
    }
    this.#charge(queue, queue.memory - before)
    if (queue.ecn === 0) queue.checksum = checksum
    else if (queue.checksum !== checksum) queue.checksum = Checksum.NONE
    queue.ecn |= 1 << (tos & 3)
    if (start === 0) queue.hasFirst = true
    const whole = end - start + headerLength
    if (whole > queue.maxSize) queue.maxSize = whole
    if ((fragment & IPV4_DF) !== 0 && whole > queue.maxDfSize) queue.maxDfSize = whole

    if (queue.complete) {
      const result = this.#assemble(queue)
      if (result !== null) {
        result.device = device
        result.iif = iif
        result.destination = route
      }
      return result
    }
    this.#limit(queue)
    return null
  }

  /** Drops what is due at `now`, and gives when the next is (ns), `Infinity` if the cache is empty. */
  expire(now: number): number {
    const time = this.#sysctl.ipfrag_time * SECOND
    for (let queue = this.#oldest; queue !== null; queue = this.#oldest) {
      if (queue.created + time > now) return queue.created + time
      this.#timeout(queue)
    }
    return Infinity
  }

  /** Drops everything: the stack closes. */
  clear(): void {
    for (let queue = this.#oldest; queue !== null; queue = this.#oldest)
      this.#remove(queue, DropReason.QUEUE_PURGE)
  }

  #timeout(queue: FragmentQueue): void {
    if (queue.dead !== 0) {
      this.#remove(queue, DropReason.FRAG_REASM_TIMEOUT)
      return
    }
    this.#mib.ip[IpMib.ReasmTimeout]!++
    this.#mib.ip[IpMib.ReasmFails]!++
    if (!queue.hasFirst) {
      this.#remove(queue, DropReason.FRAG_REASM_TIMEOUT)
      return
    }
    // The first fragment is given away; neighbours may have been copied in behind it: cut to what it was.
    const first = queue.takeAll()!
    const rest = first.next
    first.next = null
    const at = first.networkHeader
    const total = (first.bytes[at + IPV4_TOTAL_LENGTH]! << 8) | first.bytes[at + IPV4_TOTAL_LENGTH + 1]!
    first.start = at
    first.end = Math.min(first.end, at + total)
    this.#remove(queue, DropReason.FRAG_REASM_TIMEOUT)
    this.#dropAll(rest, DropReason.FRAG_REASM_TIMEOUT)
    this.#options.timedOut(first)
  }

  #assemble(queue: FragmentQueue): Packet | null {
    const congestion = ECN_OF[queue.ecn]!
    // The first fragment's header may be longer than that of the one which brought the end.
    const valid = congestion !== INVALID && queue.headerLength + queue.length <= MAX_DATAGRAM
    const result = valid ? queue.assemble(this.#pool, congestion) : null
    if (result === null) {
      this.#mib.ip[IpMib.ReasmFails]!++
      this.#remove(queue, valid ? DropReason.NOMEM : DropReason.IP_INHDR)
      return null
    }
    result.checksum = queue.checksum === Checksum.UNNECESSARY ? Checksum.UNNECESSARY : Checksum.NONE
    this.#mib.ip[IpMib.ReasmOKs]!++
    this.#remove(queue, DropReason.CONSUMED)
    return result
  }

  /** The queue of the datagram, made if there is none; `null` if the cache is switched off. */
  #find(source: number, destination: number, idProtocol: number, now: number): FragmentQueue | null {
    const key = this.#key
    key[0] = source
    key[1] = destination
    key[2] = idProtocol
    const bucket = this.#hash.words(key, 0, 3) & (BUCKETS - 1)
    for (let queue: FragmentQueue | null = this.#buckets[bucket]!; queue !== null; queue = queue.chain) {
      if (queue.source === source && queue.destination === destination && queue.idProtocol === idProtocol) {
        if (queue.created + this.#sysctl.ipfrag_time * SECOND > now) return queue
        this.#timeout(queue) // due, but expire() was not called yet
        break
      }
    }
    if (this.#sysctl.ipfrag_high_thresh <= 0) return null

    let queue = this.#freeQueues
    if (queue === null) queue = new FragmentQueue(this.#runs)
    else this.#freeQueues = queue.chain
    queue.source = source
    queue.destination = destination
    queue.idProtocol = idProtocol
    queue.bucket = bucket
    queue.chain = this.#buckets[bucket]!
    this.#buckets[bucket] = queue
    const from = this.#sourceOf(source)
    queue.from = from
    queue.distance = from.fragments
    this.#linkNewest(queue, now)
    this.length++
    queue.memory = QUEUE_COST
    this.#charge(queue, QUEUE_COST)
    return queue
  }

  #sourceOf(address: number): FragmentSource {
    const bucket = this.#sourceBucket(address)
    for (let source: FragmentSource | null = this.#sources[bucket]!; source !== null; source = source.next) {
      if (source.address === address) return source
    }
    let source = this.#freeSources
    if (source === null) source = new FragmentSource()
    else this.#freeSources = source.next
    source.address = address
    source.fragments = 0
    source.next = this.#sources[bucket]!
    this.#sources[bucket] = source
    return source
  }

  #sourceBucket(address: number): number {
    this.#key[0] = address
    return this.#hash.words(this.#key, 0, 1) & (BUCKETS - 1)
  }

  /**
   * Starts the datagram anew if more than `ipfrag_max_dist` other fragments came from its sender since its last
   * one: then the identification has most likely wrapped (`ip_frag_too_far`).
   */
  #checkDistance(queue: FragmentQueue, now: number): void {
    const max = this.#sysctl.ipfrag_max_dist
    const from = queue.from!
    const since = ++from.fragments - queue.distance
    queue.distance = from.fragments
    if (max <= 0 || since <= max || queue.received === 0) return
    this.#mib.ip[IpMib.ReasmFails]!++
    this.#empty(queue, DropReason.FRAG_TOO_FAR)
    queue.reset()
    this.#unlinkAge(queue)
    this.#linkNewest(queue, now)
  }

  /** The packet in a slab that suits it and without a body; `null` if a copy was needed and impossible. */
  #compact(packet: Packet): Packet | null {
    const slabSize = packet.slab.arena.slabSize
    if (packet.body === null && (slabSize < COMPACT_FROM || packet.length * 4 > slabSize)) return packet
    const copy = this.#pool.copy(packet)
    if (copy === null) return packet.body === null ? packet : null
    packet.free()
    return copy
  }

  /** Too much memory: the oldest datagrams go, those of the sender first if it has more than its share. */
  #limit(current: FragmentQueue): void {
    const high = this.#sysctl.ipfrag_high_thresh
    const share = Math.max(high / 4, Math.min(high, SOURCE_FLOOR))
    const from = current.from!
    while (from.memory > share) {
      const oldest = from.oldest === current ? current.newerOfSource : from.oldest
      this.#evict(oldest ?? current)
      if (oldest === null) return
    }
    if (this.memory <= high) return
    const low = Math.min(this.#sysctl.ipfrag_low_thresh, high)
    while (this.memory > low) {
      const oldest = this.#oldest === current ? current.newer : this.#oldest
      if (oldest === null) break
      this.#evict(oldest)
    }
    if (this.memory > high) this.#evict(current)
  }

  #evict(queue: FragmentQueue): void {
    if (queue.dead === 0) this.#mib.ip[IpMib.ReasmFails]!++
    this.#remove(queue, DropReason.FRAG_MEM)
  }

  /** The datagram is lost; if `remember`, so is what comes of it until its timer ends. */
  #giveUp(queue: FragmentQueue, packet: Packet, reason: number, remember: boolean): null {
    this.#mib.ip[IpMib.ReasmFails]!++
    if (remember) {
      this.#empty(queue, reason)
      queue.dead = reason
      this.#drop(packet, reason)
      this.#limit(queue)
    } else {
      this.#remove(queue, reason)
      this.#drop(packet, reason)
    }
    return null
  }

  /** Drops the packets of a queue that stays. */
  #empty(queue: FragmentQueue, reason: number): void {
    const packets = queue.takeAll()
    this.#charge(queue, QUEUE_COST - queue.memory)
    queue.memory = QUEUE_COST
    this.#dropAll(packets, reason)
  }

  #remove(queue: FragmentQueue, reason: number): void {
    const packets = queue.takeAll()
    this.#charge(queue, -queue.memory)
    queue.memory = 0
    queue.reset()
    this.#unlinkAge(queue)
    this.length--
    let link = this.#buckets[queue.bucket]!
    if (link === queue) this.#buckets[queue.bucket] = queue.chain
    else {
      while (link.chain !== queue) link = link.chain!
      link.chain = queue.chain
    }
    const from = queue.from!
    if (from.oldest === null) this.#forgetSource(from)
    queue.from = null
    queue.chain = this.#freeQueues
    this.#freeQueues = queue
    this.#dropAll(packets, reason)
  }

  #forgetSource(source: FragmentSource): void {
    const bucket = this.#sourceBucket(source.address)
    let link = this.#sources[bucket]!
    if (link === source) this.#sources[bucket] = source.next
    else {
      while (link.next !== source) link = link.next!
      link.next = source.next
    }
    source.next = this.#freeSources
    this.#freeSources = source
  }

  #charge(queue: FragmentQueue, bytes: number): void {
    this.memory += bytes
    queue.from!.memory += bytes
  }

  #linkNewest(queue: FragmentQueue, now: number): void {
    queue.created = now
    queue.newer = null
    queue.older = this.#newest
    if (this.#newest === null) this.#oldest = queue
    else this.#newest.newer = queue
    this.#newest = queue
    const from = queue.from!
    queue.newerOfSource = null
    queue.olderOfSource = from.newest
    if (from.newest === null) from.oldest = queue
    else from.newest.newerOfSource = queue
    from.newest = queue
  }

  #unlinkAge(queue: FragmentQueue): void {
    if (queue.older === null) this.#oldest = queue.newer
    else queue.older.newer = queue.newer
    if (queue.newer === null) this.#newest = queue.older
    else queue.newer.older = queue.older
    queue.older = queue.newer = null
    const from = queue.from!
    if (queue.olderOfSource === null) from.oldest = queue.newerOfSource
    else queue.olderOfSource.newerOfSource = queue.newerOfSource
    if (queue.newerOfSource === null) from.newest = queue.olderOfSource
    else queue.newerOfSource.olderOfSource = queue.olderOfSource
    queue.olderOfSource = queue.newerOfSource = null
  }

  #dropAll(first: Packet | null, reason: number): void {
    let packet = first
    while (packet !== null) {
      const next: Packet | null = packet.next
      packet.next = null
      this.#drop(packet, reason)
      packet = next
    }
  }

  #drop(packet: Packet, reason: number): void {
    this.#options.drop(packet, reason, packet.device)
  }
}
