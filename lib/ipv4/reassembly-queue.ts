/**
 * One datagram while its fragments come in (Linux's `struct ipq`). What has arrived is kept as runs: stretches
 * without a hole, sorted, each a list of packets linked through themselves. Fragments that join on to a run
 * extend it, so in-order and reverse arrival keep a single run, a search among runs is binary, and the number
 * of runs is capped. A small fragment is copied into the free end of its neighbour's slab instead of holding a
 * slab of its own, so that a datagram of 8-byte pieces costs what a datagram of 1500-byte pieces costs.
 */
import { HEADROOM, type Packet } from '../packet/packet.ts'
import type { PacketPool } from '../packet/packet-pool.ts'
import { IPV4_DF, IPV4_FLAGS_FRAGMENT, IPV4_TOS, IPV4_TOTAL_LENGTH, IPV4_VERSION_IHL } from '../wire/ipv4.ts'
import { updateHeaderChecksum } from './header.ts'

/**
 * Runs of one datagram at most. Random order over n fragments has about n/4 at its worst, so this is enough for
 * 64 KiB cut to the smallest MTU (68) in any order that a network makes.
 */
export const MAX_RUNS = 1024

/** What a record is charged with, beside the slabs: so that empty and dead queues are bounded as well. */
export const QUEUE_COST = 512

/** What became of a fragment. */
export const Queued = {
  /** Taken. */
  OK: 0,
  /** Nothing new in it; still the caller's. */
  DUPLICATE: 1,
  /** It contradicts what is there; still the caller's. */
  OVERLAP: 2,
  /** One run too many; still the caller's. */
  TOO_MANY: 3,
} as const
export type Queued = (typeof Queued)[keyof typeof Queued]

/** What the total length field can say. */
export const MAX_DATAGRAM = 65535

class Run {
  start = 0
  end = 0
  head: Packet | null = null
  tail: Packet | null = null
}

/** All queues of one cache take their runs from here. */
export class RunPool {
  readonly #free: Run[] = []

  take(): Run {
    return this.#free.pop() ?? new Run()
  }

  give(run: Run): void {
    run.head = null
    run.tail = null
    if (this.#free.length < MAX_RUNS) this.#free.push(run)
  }
}

/** What one sender has in the cache. Kept only while it has something there. */
export class FragmentSource {
  address = 0
  /** Bytes charged to its datagrams. */
  memory = 0
  /** Fragments received from it: how far apart two are (`ipfrag_max_dist`) is counted in these. */
  fragments = 0
  /** Its datagrams, oldest first. */
  oldest: FragmentQueue | null = null
  newest: FragmentQueue | null = null
  next: FragmentSource | null = null
}

export class FragmentQueue {
  source = 0
  destination = 0
  /** Identification in the upper half, protocol in the lower. */
  idProtocol = 0
  bucket = 0
  chain: FragmentQueue | null = null
  older: FragmentQueue | null = null
  newer: FragmentQueue | null = null
  olderOfSource: FragmentQueue | null = null
  newerOfSource: FragmentQueue | null = null
  from: FragmentSource | null = null
  /** When its first fragment came, in ns: the timer runs from there (RFC 1122 §3.3.2). */
  created = 0
  /** `from.fragments` when the latest one came. */
  distance = 0
  /** Bytes charged: slabs held and the record itself. */
  memory = 0
  /** Not 0: the datagram was given up for this drop reason, and so is what still comes of it. */
  dead = 0
  /** Payload bytes that the fragments so far say there are. */
  length = 0
  /** Payload bytes that are here. */
  received = 0
  hasFirst = false
  hasLast = false
  /** ECN codepoints seen, a bit each. */
  ecn = 0
  maxSize = 0
  maxDfSize = 0
  /** What all fragments had in `packet.checksum`; `NONE` if they differ. */
  checksum = 0
  readonly #runs: Run[] = []
  readonly #pool: RunPool

  constructor(pool: RunPool) {
    this.#pool = pool
  }

  get complete(): boolean {
    return this.hasFirst && this.hasLast && this.received === this.length
  }

  /** Bytes of the first fragment's header, which becomes the datagram's. */
  get headerLength(): number {
    const first = this.#runs[0]!.head!
    return (first.bytes[first.networkHeader + IPV4_VERSION_IHL]! & 15) * 4
  }

  /** Forgets what was said of the datagram; the packets must be gone. */
  reset(): void {
    this.dead = 0
    this.length = 0
    this.received = 0
    this.hasFirst = false
    this.hasLast = false
    this.ecn = 0
    this.maxSize = 0
    this.maxDfSize = 0
    this.checksum = 0
  }

  /**
   * Takes a fragment whose packet begins at its payload, bytes [start, end) of the datagram's. The search and
   * the test for overlaps look at runs only. A fragment inside a run is a duplicate if it says the same bytes;
   * anything else that touches what is there is an overlap (RFC 5722 §4 with erratum 3089).
   */
  add(packet: Packet, start: number, end: number): Queued {
    const runs = this.#runs
    let low = runs.length
    if (low > 0 && start < runs[low - 1]!.end) {
      let high = low - 1
      low = 0
      while (low < high) {
        const middle = (low + high) >> 1
        if (runs[middle]!.end > start) high = middle
        else low = middle + 1
      }
    }
    const next = low < runs.length ? runs[low]! : null
    if (next !== null && next.start < end) {
      if (next.start > start || next.end < end) return Queued.OVERLAP
      return sameBytes(next, packet, start) ? Queued.DUPLICATE : Queued.OVERLAP
    }
    const previous = low > 0 ? runs[low - 1]! : null
    if (previous !== null && previous.end === start) {
      this.#append(previous, packet)
      previous.end = end
      if (next !== null && next.start === end) {
        previous.tail!.next = next.head
        previous.tail = next.tail
        previous.end = next.end
        this.#removeRun(low)
      }
    } else if (next !== null && next.start === end) {
      this.#prepend(next, packet, start)
      next.start = start
    } else {
      if (runs.length >= MAX_RUNS) return Queued.TOO_MANY
      const run = this.#pool.take()
      run.start = start
      run.end = end
      run.head = packet
      run.tail = packet
      packet.next = null
      this.memory += packet.slab.arena.slabSize
      this.#insertRun(low, run)
    }
    this.received += end - start
    return Queued.OK
  }

  /** Unlinks and gives the packets, linked through `next`, in order; `null` if there are none. */
  takeAll(): Packet | null {
    let first: Packet | null = null
    for (let i = this.#runs.length - 1; i >= 0; i--) {
      const run = this.#runs[i]!
      run.tail!.next = first
      first = run.head
      this.#pool.give(run)
    }
    this.#runs.length = 0
    this.received = 0
    return first
  }

  /**
   * The datagram in one piece, with the header of the first fragment; the queue is empty then. `null` if the
   * pool is exhausted: then the fragments are still here.
   * @param congestion ECN bits to set in the TOS octet
   */
  assemble(pool: PacketPool, congestion: number): Packet | null {
    const first = this.#runs[0]!.head!
    const headerLength = this.headerLength
    const total = headerLength + this.length
    let result = first
    let rest = first.next
    if (first.writable && first.tailroom >= this.length - (first.end - first.start)) {
      first.next = null
      first.start = first.networkHeader
    } else {
      const fresh = pool.allocate(total, HEADROOM)
      if (fresh === null) return null
      fresh.networkHeader = fresh.start
      fresh.type = first.type
      fresh.mark = first.mark
      fresh.put(headerLength)
      fresh.bytes.set(
        first.bytes.subarray(first.networkHeader, first.networkHeader + headerLength),
        fresh.networkHeader,
      )
      result = fresh
      rest = first
    }
    this.takeAll()
    while (rest !== null) {
      const packet: Packet = rest
      rest = packet.next
      packet.next = null
      append(result, packet)
      packet.free()
    }
    const bytes = result.bytes
    const at = result.networkHeader
    result.transportHeader = at + headerLength
    result.hash = 0
    result.fragMaxSize = this.maxSize
    result.ignoreDf = true
    bytes[at + IPV4_TOS]! |= congestion
    bytes[at + IPV4_TOTAL_LENGTH] = total >> 8
    bytes[at + IPV4_TOTAL_LENGTH + 1] = total
    // DF again only if the largest fragment had it, so that it is not cut smaller on its way on.
    bytes[at + IPV4_FLAGS_FRAGMENT] = this.maxDfSize === this.maxSize ? IPV4_DF >> 8 : 0
    bytes[at + IPV4_FLAGS_FRAGMENT + 1] = 0
    updateHeaderChecksum(bytes, at, headerLength)
    return result
  }

  #append(run: Run, packet: Packet): void {
    const tail = run.tail!
    if (tail.writable && tail.tailroom >= packet.end - packet.start) {
      append(tail, packet)
      packet.free()
      return
    }
    this.memory += packet.slab.arena.slabSize
    packet.next = null
    tail.next = packet
    run.tail = packet
  }

  #prepend(run: Run, packet: Packet, start: number): void {
    const head = run.head!
    const size = packet.end - packet.start
    // The first fragment keeps its packet: its header is the datagram's.
    if (start !== 0 && head.writable && head.headroom >= size) {
      head.start -= size
      head.bytes.set(packet.bytes.subarray(packet.start, packet.end), head.start)
      packet.free()
      return
    }
    this.memory += packet.slab.arena.slabSize
    packet.next = head
    run.head = packet
  }

  #insertRun(index: number, run: Run): void {
    const runs = this.#runs
    runs.push(run)
    for (let i = runs.length - 1; i > index; i--) runs[i] = runs[i - 1]!
    runs[index] = run
  }

  #removeRun(index: number): void {
    const runs = this.#runs
    this.#pool.give(runs[index]!)
    for (let i = index; i < runs.length - 1; i++) runs[i] = runs[i + 1]!
    runs.length--
  }
}

function append(to: Packet, packet: Packet): void {
  const size = packet.end - packet.start
  to.bytes.set(packet.bytes.subarray(packet.start, packet.end), to.end)
  to.end += size
}

/** Does the run hold these very bytes from `start` on? It covers the range. */
function sameBytes(run: Run, packet: Packet, start: number): boolean {
  let held = run.head!
  let skip = start - run.start
  while (skip >= held.end - held.start) {
    skip -= held.end - held.start
    held = held.next!
  }
  let at = held.start + skip
  for (let i = packet.start; i < packet.end; i++) {
    if (at === held.end) {
      held = held.next!
      at = held.start
    }
    if (held.bytes[at++] !== packet.bytes[i]) return false
  }
  return true
}
