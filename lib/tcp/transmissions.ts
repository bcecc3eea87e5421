/**
 * What is on its way: a record for each packet that was sent and is not acknowledged, in the order of its sequence
 * numbers, with the time at which it was sent last and what is known of its fate (what the retransmission queue and
 * its `tcp_skb_cb` are to Linux). RACK (RFC 8985) needs the times, SACK (RFC 2018) the pieces: a record is cut where
 * only a part of it arrived or is sent again, and what has arrived in one run becomes one record. Columns of typed
 * arrays, from a store that connections share; a connection with nothing on its way holds none.
 */
import { seqGe, seqGt, seqLe, seqLt, seqMax, seqMin } from './sequence.ts'

/** What is known of a transmission. */
export const Fate = {
  /** SACK has told that it arrived. */
  SACKED: 1,
  /** It is taken for lost. */
  LOST: 2,
  /** A copy of it is on its way (`TCPCB_SACKED_RETRANS`). */
  RETRANSMITTED: 4,
  /** It was sent more than once: what comes back may be about either (`TCPCB_EVER_RETRANS`). */
  EVER_RETRANSMITTED: 8,
  /** The sender had no more to send when it was sent. */
  APP_LIMITED: 16,
} as const

/** Records of a connection at most; what is sent beyond joins the last one. */
export const MAX_TRANSMISSIONS = 8192
const FIRST_CAPACITY = 16
/** Sets of columns of one size that are kept while nobody needs them. */
const KEPT_SETS = 64

class Columns {
  readonly start: Int32Array
  readonly end: Int32Array
  readonly fate: Uint8Array
  /** Segments that it counts for. */
  readonly segments: Int32Array
  /** When it was sent last, and which of all transmissions that was. */
  readonly sentAt: Float64Array
  readonly order: Int32Array
  /** What the connection had delivered then, when that was, and when the first of the flight was sent. */
  readonly delivered: Float64Array
  readonly deliveredAt: Float64Array
  readonly firstSentAt: Float64Array

  constructor(capacity: number) {
    this.start = new Int32Array(capacity)
    this.end = new Int32Array(capacity)
    this.fate = new Uint8Array(capacity)
    this.segments = new Int32Array(capacity)
    this.sentAt = new Float64Array(capacity)
    this.order = new Int32Array(capacity)
    this.delivered = new Float64Array(capacity)
    this.deliveredAt = new Float64Array(capacity)
    this.firstSentAt = new Float64Array(capacity)
  }

  get capacity(): number {
    return this.start.length
  }

  /** Moves records [from, to) of `source` to `at`. */
  take(source: Columns, from: number, to: number, at: number): void {
    this.start.set(source.start.subarray(from, to), at)
    this.end.set(source.end.subarray(from, to), at)
    this.fate.set(source.fate.subarray(from, to), at)
    this.segments.set(source.segments.subarray(from, to), at)
    this.sentAt.set(source.sentAt.subarray(from, to), at)
    this.order.set(source.order.subarray(from, to), at)
    this.delivered.set(source.delivered.subarray(from, to), at)
    this.deliveredAt.set(source.deliveredAt.subarray(from, to), at)
    this.firstSentAt.set(source.firstSentAt.subarray(from, to), at)
  }

  shift(at: number, from: number, to: number): void {
    this.start.copyWithin(at, from, to)
    this.end.copyWithin(at, from, to)
    this.fate.copyWithin(at, from, to)
    this.segments.copyWithin(at, from, to)
    this.sentAt.copyWithin(at, from, to)
    this.order.copyWithin(at, from, to)
    this.delivered.copyWithin(at, from, to)
    this.deliveredAt.copyWithin(at, from, to)
    this.firstSentAt.copyWithin(at, from, to)
  }
}

/** Columns that connections take when they send, and give back when all is acknowledged. */
export class TransmissionStore {
  readonly #free: Columns[][] = []

  /** @internal `capacity` is a power of two, 16 at least */
  take(capacity: number): Columns {
    return this.#ofSize(capacity).pop() ?? new Columns(capacity)
  }

  /** @internal */
  give(columns: Columns): void {
    const sets = this.#ofSize(columns.capacity)
    if (sets.length < KEPT_SETS) sets.push(columns)
  }

  #ofSize(capacity: number): Columns[] {
    const index = Math.log2(capacity / FIRST_CAPACITY)
    while (this.#free.length <= index) this.#free.push([])
    return this.#free[index]!
  }
}

/** What an acknowledgment has told of transmissions. One object is filled in again for each. */
export class Delivery {
  /** Bytes that are known to have arrived now, and were not before. */
  bytes = 0
  /** Some of them had been sent more than once. */
  retransmitted = false
  /** Something that was sent once, before the recovery began, has arrived: `FLAG_ORIG_SACK_ACKED`. */
  original = false
  /** When the oldest of what is acknowledged cumulatively, was sent once, was sent; -1: none. Newest: the last of it. */
  oldestSentAt = -1
  newestSentAt = -1
  /** The same of what SACK told of. */
  sackedSentAt = -1
  /** Lowest number that arrived late: behind something that had arrived, though it was sent once. */
  late = 0
  hasLate = false
  /**
   * The transmission sent latest of all that arrived (RFC 8985 §5.2): which, when, its end; and the RTT by the last that
   * was looked at (§6.2 step 2). Those that may be of an original sent long before do not count.
   */
  rackOrder = 0
  rackSentAt = -1
  rackEnd = 0
  rackRtt = 0
  /** Of that which was sent latest: for a sample of the delivery rate. */
  priorDelivered = -1
  priorDeliveredAt = 0
  priorSentAt = 0
  priorFirstSentAt = 0
  appLimited = false

  /** The highest number that was known to have arrived before this acknowledgment: below it, what was sent once is late. */
  fack = 0
  #now = 0
  /** A copy sent since then can't be what has arrived. */
  #copiesBefore = 0

  /**
   * @param copiesBefore when a copy must have been sent at the latest to be what the acknowledgment is about
   * @param fack {@link Transmissions.highestSacked} before it
   */
  clear(now: number, copiesBefore: number, fack: number): this {
    this.#now = now
    this.fack = fack
    this.#copiesBefore = copiesBefore
    this.bytes = 0
    this.retransmitted = this.original = this.hasLate = this.appLimited = false
    this.oldestSentAt = this.newestSentAt = this.sackedSentAt = this.rackSentAt = this.priorDelivered = -1
    return this
  }

  /** A transmission has arrived (RFC 8985 §6.2 step 2). */
  rack(order: number, end: number, sentAt: number, isCopy: boolean): void {
    if (isCopy && sentAt > this.#copiesBefore) return
    this.rackRtt = this.#now - sentAt
    const later = this.rackSentAt < 0 ? 1 : (order - this.rackOrder) | 0
    if (later < 0 || (later === 0 && seqLe(end, this.rackEnd))) return
    this.rackOrder = order
    this.rackSentAt = sentAt
    this.rackEnd = end
  }
}

export class Transmissions {
  /** Bytes that SACK has told of; that are taken for lost; of which a copy is on its way. */
  sackedBytes = 0
  lostBytes = 0
  retransmittedBytes = 0
  /** Segments that SACK has told of. */
  sackedSegments = 0
  /** Bytes that were taken for lost since the beginning, each time that they were. */
  totalLost = 0
  /** SMSS, for counting segments. */
  mss = 536
  readonly #store: TransmissionStore
  #columns: Columns | null = null
  #head = 0
  #tail = 0
  #una = 0
  /** The end of the highest that SACK has told of. */
  #highestSacked = 0
  /** Below this nothing waits to be sent again. */
  #lostHint = 0
  /** Transmissions so far: within a burst the clock stands still. */
  #order = 0

  constructor(store: TransmissionStore) {
    this.#store = store
  }

  /** Records now. */
  get count(): number {
    return this.#tail - this.#head
  }

  /** The first number that is not acknowledged. */
  get una(): number {
    return this.#una
  }

  /** Everything before has arrived, or lies before something that has (`tcp_highest_sack_seq`). */
  get highestSacked(): number {
    return this.sackedBytes === 0 ? this.#una : this.#highestSacked
  }

  /** Nothing is on its way; the next that is sent is `una`. */
  reset(una: number): void {
    this.#release()
    this.#una = this.#highestSacked = this.#lostHint = una
  }

  /** [start, end) was sent for the first time. */
  add(
    start: number,
    end: number,
    segments: number,
    now: number,
    delivered: number,
    deliveredAt: number,
    firstSentAt: number,
    appLimited: boolean,
  ): void {
    if (this.count === MAX_TRANSMISSIONS) {
      const { end: ends, sentAt, order, segments: counts } = this.#columns!
      const last = this.#tail - 1
      ends[last] = end
      sentAt[last] = now
      order[last] = this.#order = (this.#order + 1) | 0
      counts[last]! += segments
      return
    }
    this.#makeRoom()
    const columns = this.#columns!
    const i = this.#tail++
    columns.start[i] = start
    columns.end[i] = end
    columns.fate[i] = appLimited ? Fate.APP_LIMITED : 0
    columns.segments[i] = segments
    columns.sentAt[i] = now
    columns.order[i] = this.#order = (this.#order + 1) | 0
    columns.delivered[i] = delivered
    columns.deliveredAt[i] = deliveredAt
    columns.firstSentAt[i] = firstSentAt
  }

  /** Everything before `una` is acknowledged. @param recoveryPoint what was sent before it counts as original */
  acknowledge(una: number, recoveryPoint: number, delivery: Delivery): void {
    const columns = this.#columns
    this.#una = una
    if (columns !== null) {
      while (this.#head < this.#tail && seqLe(columns.end[this.#head]!, una)) {
        this.#acknowledgeRecord(columns, this.#head, columns.end[this.#head]!, recoveryPoint, delivery)
        this.#head++
      }
      if (this.#head < this.#tail && seqLt(columns.start[this.#head]!, una)) {
        // A part of a super-segment: what is left stays on its way.
        this.#acknowledgeRecord(columns, this.#head, una, recoveryPoint, delivery)
        columns.start[this.#head] = una
        columns.segments[this.#head] = this.#segmentsOf(columns.end[this.#head]! - una)
        if ((columns.fate[this.#head]! & Fate.SACKED) !== 0) this.#recountSacked()
      }
      if (this.#head === this.#tail) this.#release()
    }
    this.#highestSacked = seqMax(this.#highestSacked, una)
    this.#lostHint = seqMax(this.#lostHint, una)
  }

  /** SACK tells of [left, right), which lies within what was sent. Gives the bytes that were not known to have arrived. */
  sack(left: number, right: number, recoveryPoint: number, delivery: Delivery): number {
    if (this.#columns === null) return 0
    const from = seqMax(left, this.#una)
    if (seqGe(from, right)) return 0
    let first = this.#find(from)
    if (first < 0) return 0
    if (seqLt(this.#columns!.start[first]!, from) && !this.#isSacked(first)) {
      const cut = this.#split(first, from)
      if (cut < 0) return 0
      first = cut + 1
    }
    let fresh = 0
    let last = first
    for (; last < this.#tail && seqLt(this.#columns!.start[last]!, right); last++) {
      if (this.#isSacked(last)) continue
      if (seqGt(this.#columns!.end[last]!, right)) {
        const cut = this.#split(last, right)
        if (cut < 0) break
        first += cut - last
        last = cut
      }
      fresh += this.#sackRecord(last, recoveryPoint, delivery)
    }
    if (fresh > 0) {
      this.#highestSacked = seqMax(this.#highestSacked, right)
      this.#mergeSacked(first, last)
    }
    return fresh
  }

  /** Whether the first record has arrived, although it is not acknowledged: the peer has thrown it away again. */
  get isHeadSacked(): boolean {
    return this.count > 0 && this.#isSacked(this.#head)
  }

  /** Nothing that SACK told is believed any longer (RFC 2018 §8). */
  forgetSacked(): void {
    const { fate } = this.#columns!
    for (let i = this.#head; i < this.#tail; i++) fate[i]! &= ~Fate.SACKED
    this.sackedBytes = this.sackedSegments = 0
    this.#highestSacked = this.#una
  }

  /**
   * RACK (RFC 8985 §6.2 step 5): what was sent before transmission `rackOrder`, of which everything up to `rackEnd` has
   * arrived, and longer ago than `within` nanoseconds, is lost. Gives after how long the next will be, 0 if none can
   * be; newly lost bytes are in {@link lostBytes}.
   */
  detectLoss(rackOrder: number, rackEnd: number, within: number, now: number): number {
    const columns = this.#columns
    if (columns === null) return 0
    const { start, end, fate, sentAt, order } = columns
    let wait = 0
    for (let i = this.#head; i < this.#tail; i++) {
      const what = fate[i]!
      if ((what & Fate.SACKED) !== 0) continue
      if ((what & Fate.LOST) !== 0 && (what & Fate.RETRANSMITTED) === 0) continue
      const later = (order[i]! - rackOrder) | 0
      if (later > 0 || (later === 0 && seqGe(end[i]!, rackEnd))) {
        // Those behind it that were sent once were sent later still; copies may have been sent before.
        if ((what & Fate.EVER_RETRANSMITTED) === 0 && this.retransmittedBytes === 0) break
        continue
      }
      const sent = sentAt[i]!
      const left = sent + within - now
      if (left <= 0) this.#lose(i, start[i]!)
      else if (left > wait) wait = left
    }
    return wait
  }

  /** Takes everything for lost that has not arrived and was sent before `before`. */
  loseAll(before: number = Infinity): void {
    const columns = this.#columns
    if (columns === null) return
    const { start, fate, sentAt } = columns
    for (let i = this.#head; i < this.#tail; i++) {
      if ((fate[i]! & Fate.SACKED) === 0 && (i === this.#head || sentAt[i]! < before))
        this.#lose(i, start[i]!)
    }
  }

  /** Takes for lost what has not arrived and begins in [from, to). */
  lose(from: number, to: number): void {
    const columns = this.#columns
    if (columns === null) return
    const { start, fate } = columns
    for (let i = this.#head; i < this.#tail && seqLt(start[i]!, to); i++) {
      const lost = (fate[i]! & (Fate.SACKED | Fate.LOST)) !== 0
      if (!lost && seqGe(start[i]!, from)) this.#lose(i, start[i]!)
    }
  }

  /** What is lost and waits to be sent again becomes one record where it lies together: it is cut anew. */
  joinLost(): void {
    const columns = this.#columns
    if (columns === null) return
    const waits = (i: number): boolean =>
      (columns.fate[i]! & (Fate.LOST | Fate.RETRANSMITTED | Fate.SACKED)) === Fate.LOST
    let last = this.#head
    for (let i = this.#head + 1; i < this.#tail; i++) {
      if (waits(last) && waits(i)) {
        columns.end[last] = columns.end[i]!
        columns.fate[last]! |= columns.fate[i]!
        columns.segments[last] = this.#segmentsOf(columns.end[last]! - columns.start[last]!)
      } else if (++last !== i) columns.shift(last, i, i + 1)
    }
    this.#tail = Math.min(this.#tail, last + 1)
  }

  /** Takes the first segment for lost. */
  loseHead(length: number): void {
    const columns = this.#columns
    if (columns === null) return
    const end = (columns.start[this.#head]! + length) | 0
    if (seqGt(columns.end[this.#head]!, end)) this.#split(this.#head, end)
    this.#lose(this.#head, this.#columns!.start[this.#head]!)
  }

  /** Nothing is lost after all. */
  forgetLost(): void {
    const columns = this.#columns
    if (columns === null) return
    for (let i = this.#head; i < this.#tail; i++) columns.fate[i]! &= ~Fate.LOST
    this.lostBytes = 0
  }

  /** Index of the first record that is lost and was not sent again; -1 if there is none. */
  nextLost(): number {
    if (this.lostBytes === 0) return -1
    const { fate, start } = this.#columns!
    const hint = this.#find(seqMax(this.#lostHint, this.#una))
    for (let i = Math.max(hint, this.#head); i < this.#tail; i++) {
      if ((fate[i]! & (Fate.LOST | Fate.RETRANSMITTED | Fate.SACKED)) !== Fate.LOST) continue
      this.#lostHint = start[i]!
      return i
    }
    this.#lostHint = this.#tail > this.#head ? this.#columns!.end[this.#tail - 1]! : this.#una
    return -1
  }

  startOf(i: number): number {
    return this.#columns!.start[i]!
  }

  endOf(i: number): number {
    return this.#columns!.end[i]!
  }

  /** When the record that holds `seq` was sent last; 0 if there is none. */
  sentAtOf(seq: number): number {
    const i = this.#columns === null ? -1 : this.#find(seq)
    return i < 0 ? 0 : this.#columns!.sentAt[i]!
  }

  /** [from, to) was sent again. @param delivered with the others as for {@link add} */
  retransmitted(
    from: number,
    to: number,
    now: number,
    delivered: number,
    deliveredAt: number,
    firstSentAt: number,
  ): void {
    if (this.#columns === null) return
    this.#order = (this.#order + 1) | 0
    let i = this.#find(from)
    if (i < 0) return
    if (seqLt(this.#columns.start[i]!, from)) {
      const cut = this.#split(i, from)
      if (cut < 0) return
      i = cut + 1
    }
    for (; i < this.#tail && seqLt(this.#columns!.start[i]!, to); i++) {
      if (seqGt(this.#columns!.end[i]!, to)) {
        const cut = this.#split(i, to)
        if (cut >= 0) i = cut
      }
      const columns = this.#columns!
      if ((columns.fate[i]! & Fate.RETRANSMITTED) === 0) {
        this.retransmittedBytes += (columns.end[i]! - columns.start[i]!) | 0
      }
      columns.fate[i]! |= Fate.RETRANSMITTED | Fate.EVER_RETRANSMITTED
      columns.sentAt[i] = now
      columns.order[i] = this.#order
      columns.delivered[i] = delivered
      columns.deliveredAt[i] = deliveredAt
      columns.firstSentAt[i] = firstSentAt
    }
  }

  /** A copy of something is, or was, on its way. */
  get anyRetransmitted(): boolean {
    if (this.retransmittedBytes > 0) return true
    const columns = this.#columns
    return columns !== null && this.count > 0 && (columns.fate[this.#head]! & Fate.EVER_RETRANSMITTED) !== 0
  }

  #isSacked(i: number): boolean {
    return (this.#columns!.fate[i]! & Fate.SACKED) !== 0
  }

  #acknowledgeRecord(
    columns: Columns,
    i: number,
    end: number,
    recoveryPoint: number,
    delivery: Delivery,
  ): void {
    const start = columns.start[i]!
    const length = (end - start) | 0
    const fate = columns.fate[i]!
    if ((fate & Fate.SACKED) !== 0) {
      this.sackedBytes -= length
      if (end === columns.end[i]) this.sackedSegments -= columns.segments[i]!
    } else {
      delivery.bytes += length
      this.#noteRack(columns, i, end, delivery)
    }
    if ((fate & Fate.LOST) !== 0) this.lostBytes -= length
    if ((fate & Fate.RETRANSMITTED) !== 0) this.retransmittedBytes -= length
    if ((fate & Fate.EVER_RETRANSMITTED) !== 0) {
      delivery.retransmitted = true
      return
    }
    if ((fate & Fate.SACKED) !== 0) return
    const sentAt = columns.sentAt[i]!
    if (delivery.oldestSentAt < 0) delivery.oldestSentAt = sentAt
    delivery.newestSentAt = sentAt
    if (seqLt(start, delivery.fack)) this.#noteLate(start, delivery)
    if (seqLe(end, recoveryPoint)) delivery.original = true
  }

  #sackRecord(i: number, recoveryPoint: number, delivery: Delivery): number {
    const columns = this.#columns!
    const start = columns.start[i]!
    const end = columns.end[i]!
    const length = (end - start) | 0
    const fate = columns.fate[i]!
    this.#noteRack(columns, i, end, delivery)
    if ((fate & Fate.EVER_RETRANSMITTED) === 0) {
      if (seqLt(start, delivery.fack)) this.#noteLate(start, delivery)
      if (seqLe(end, recoveryPoint)) delivery.original = true
      delivery.sackedSentAt = Math.max(delivery.sackedSentAt, columns.sentAt[i]!)
    } else delivery.retransmitted = true
    if ((fate & Fate.LOST) !== 0) this.lostBytes -= length
    if ((fate & Fate.RETRANSMITTED) !== 0) this.retransmittedBytes -= length
    columns.fate[i] = (fate & ~(Fate.LOST | Fate.RETRANSMITTED)) | Fate.SACKED
    this.sackedBytes += length
    this.sackedSegments += columns.segments[i]!
    delivery.bytes += length
    return length
  }

  #noteLate(seq: number, delivery: Delivery): void {
    delivery.late = delivery.hasLate ? seqMin(delivery.late, seq) : seq
    delivery.hasLate = true
  }

  #noteRack(columns: Columns, i: number, end: number, delivery: Delivery): void {
    const sentAt = columns.sentAt[i]!
    delivery.rack(columns.order[i]!, end, sentAt, (columns.fate[i]! & Fate.EVER_RETRANSMITTED) !== 0)
    const delivered = columns.delivered[i]!
    if (delivered < delivery.priorDelivered) return
    delivery.priorDelivered = delivered
    delivery.priorDeliveredAt = columns.deliveredAt[i]!
    delivery.priorSentAt = sentAt
    delivery.priorFirstSentAt = columns.firstSentAt[i]!
    delivery.appLimited = (columns.fate[i]! & Fate.APP_LIMITED) !== 0
  }

  #lose(i: number, start: number): void {
    const columns = this.#columns!
    const length = (columns.end[i]! - start) | 0
    const fate = columns.fate[i]!
    if ((fate & Fate.RETRANSMITTED) !== 0) this.retransmittedBytes -= length
    if ((fate & Fate.LOST) === 0) this.lostBytes += length
    if ((fate & Fate.LOST) === 0 || (fate & Fate.RETRANSMITTED) !== 0) this.totalLost += length
    columns.fate[i] = (fate | Fate.LOST) & ~Fate.RETRANSMITTED
    this.#lostHint = seqMin(this.#lostHint, start)
  }

  /** Those in [first, last) have arrived, and with a neighbour that has they become one record. */
  #mergeSacked(first: number, last: number): void {
    let from = first
    let to = last
    if (from > this.#head && this.#isSacked(from - 1)) from--
    if (to < this.#tail && this.#isSacked(to)) to++
    if (to - from < 2) return
    const columns = this.#columns!
    let segments = 0
    let sentAt = 0
    for (let i = from; i < to; i++) {
      segments += columns.segments[i]!
      sentAt = Math.max(sentAt, columns.sentAt[i]!)
      columns.fate[from]! |= columns.fate[i]! & Fate.EVER_RETRANSMITTED
    }
    columns.end[from] = columns.end[to - 1]!
    columns.segments[from] = segments
    columns.sentAt[from] = sentAt
    columns.shift(from + 1, to, this.#tail)
    this.#tail -= to - from - 1
  }

  /** After a part of the first, sacked, record was acknowledged. */
  #recountSacked(): void {
    const { fate, segments } = this.#columns!
    let sum = 0
    for (let i = this.#head; i < this.#tail; i++) if ((fate[i]! & Fate.SACKED) !== 0) sum += segments[i]!
    this.sackedSegments = sum
  }

  #segmentsOf(length: number): number {
    return Math.max(1, Math.ceil((length | 0) / this.mss))
  }

  /** Index of the record that holds `seq`; -1: none does. */
  #find(seq: number): number {
    const { start, end } = this.#columns!
    let low = this.#head
    let high = this.#tail - 1
    while (low <= high) {
      const middle = (low + high) >>> 1
      if (seqLt(seq, start[middle]!)) high = middle - 1
      else if (seqGe(seq, end[middle]!)) low = middle + 1
      else return middle
    }
    return -1
  }

  /** Cuts record `i` at `seq`; gives the index of the first part, -1 if there are too many records. */
  #split(i: number, seq: number): number {
    if (this.count >= MAX_TRANSMISSIONS) return -1
    const before = this.#head
    this.#makeRoom()
    const at = i + this.#head - before
    const columns = this.#columns!
    columns.shift(at + 1, at, this.#tail)
    this.#tail++
    columns.end[at] = seq
    columns.start[at + 1] = seq
    const segments = columns.segments[at]!
    columns.segments[at] = this.#segmentsOf(seq - columns.start[at]!)
    columns.segments[at + 1] = Math.max(1, segments - columns.segments[at]!)
    if ((columns.fate[at]! & Fate.SACKED) !== 0) this.#recountSacked()
    return at
  }

  /** Room for one record behind the last. Indices may change by what {@link #head} changes. */
  #makeRoom(): void {
    const columns = this.#columns
    if (columns === null) {
      this.#columns = this.#store.take(FIRST_CAPACITY)
      this.#head = this.#tail = 0
      return
    }
    if (this.#tail < columns.capacity) return
    const { count } = this
    if (this.#head >= columns.capacity / 2) columns.shift(0, this.#head, this.#tail)
    else {
      this.#columns = this.#store.take(columns.capacity * 2)
      this.#columns.take(columns, this.#head, this.#tail, 0)
      this.#store.give(columns)
    }
    this.#head = 0
    this.#tail = count
  }

  #release(): void {
    if (this.#columns !== null) this.#store.give(this.#columns)
    this.#columns = null
    this.#head = this.#tail = 0
    this.sackedBytes = this.lostBytes = this.retransmittedBytes = this.sackedSegments = 0
  }
}
