/**
 * One direction of an impaired link. A packet that is sent into it may be lost, damaged or doubled; then it waits in
 * a queue until the link is free, takes the time to be sent that the rate says, and the delay to arrive. Queue and
 * wire are rings, and one timer fires when the next packet arrives: what the transmitter has done until then is
 * worked out afterwards, at the moments at which it would have been done, so that a packet costs one wake-up.
 */
import { invalidArgument } from '../../errors.ts'
import { BURST_SIZE, Burst } from '../../packet/burst.ts'
import { completeChecksum } from '../../packet/complete-checksum.ts'
import { Checksum, HEADROOM, type Packet } from '../../packet/packet.ts'
import type { Random } from '../../random/random.ts'
import type { Clock, TimerHandle } from '../../time/clock.ts'
import {
  type Duration,
  type Probability,
  parseDuration,
  parseProbability,
  parseRate,
  parseSize,
  type Rate,
  type Size,
} from '../../units.ts'
import { DropReason } from '../../wire/drop-reason.ts'
import { type LinkQueue, linkQueue, type QueueDrop, type QueueOption } from './link-queue.ts'
import { type BurstLoss, chance, type LossModel, lossModel } from './loss.ts'
import { ownBytes } from './own-bytes.ts'
import { TimedQueue } from './timed-queue.ts'

/** What a link does to what crosses it, in one direction; nothing by default. */
export interface Impairment {
  /** Time to arrive, after it was sent. */
  delay?: Duration
  /** The delay varies by as much in either direction, evenly; packets keep their order. */
  jitter?: Duration
  /** Bits per second; as fast as can be by default. */
  rate?: Rate
  /** Bytes that each packet costs on the link besides its own (18 for Ethernet); 0 by default. */
  overhead?: Size
  /** Where packets wait for a link with a rate; 1000 of them by default, then the last is dropped. */
  queue?: QueueOption
  /** What is lost, each packet by itself or in bursts. */
  loss?: Probability | BurstLoss
  /** Packets that overtake: they arrive without delay. */
  reorder?: Probability
  /** Packets that arrive twice. */
  duplicate?: Probability
  /** Packets of which one bit is flipped. */
  corrupt?: Probability
  /** Larger packets are lost, and nobody is told (a path MTU black hole); 0, by default: none are. */
  maxSize?: Size
  /** Packets that may be under way at most; 100000 by default. */
  limit?: number
}

/** What a path has done. */
export interface PathCounters {
  /** Packets that were sent into it, and their bytes. */
  sent: number
  sentBytes: number
  /** Packets that arrived, and their bytes; doubles count. */
  delivered: number
  deliveredBytes: number
  /** Taken away by `loss` or `maxSize`, or because the link was cut. */
  lost: number
  /** Dropped by its queue. */
  queueDropped: number
  duplicated: number
  corrupted: number
  /** Arrived without delay because of `reorder`. */
  reordered: number
  /** Marked (ECN) by its queue. */
  marked: number
}

/** Sees what becomes of each packet, lent for the length of the call. Times are of the clock, in ns. */
export interface PathObserver {
  delivered(packet: Packet, sentAt: number, now: number): void
  dropped(packet: Packet, reason: DropReason, sentAt: number, now: number): void
}

/** Where packets leave the path. */
export interface PathEnd {
  /** Takes packets 0…n-1 over, and returns n. */
  deliver(burst: Burst): number
  /** Counts a packet that dies, and frees it. */
  drop(packet: Packet, reason: DropReason): void
}

const DEFAULT_LIMIT = 100_000

export class LinkPath {
  readonly counters: PathCounters = {
    sent: 0,
    sentBytes: 0,
    delivered: 0,
    deliveredBytes: 0,
    lost: 0,
    queueDropped: 0,
    duplicated: 0,
    corrupted: 0,
    reordered: 0,
    marked: 0,
  }
  observer: PathObserver | null = null
  /** @internal whoever is behind the path took less than it was given; {@link resume} goes on */
  blocked = false
  readonly #random: Random
  readonly #end: PathEnd
  #clock: Clock | null = null
  #timer: TimerHandle | null = null
  /** What the timer is armed for. */
  #wake = Number.POSITIVE_INFINITY
  #cut = false
  #delay = 0
  #jitter = 0
  /** Nanoseconds per byte; 0 without a rate. */
  #byteTime = 0
  #overhead = 0
  #loss: LossModel | null = null
  #reorder = 0
  #duplicate = 0
  #corrupt = 0
  #maxSize: number = Number.POSITIVE_INFINITY
  #limit = DEFAULT_LIMIT
  #queue: LinkQueue | null = null
  /** When the transmitter is free. */
  #free = 0
  /** When what entered the wire last arrives. */
  #lastArrival = 0
  readonly #wire = new TimedQueue()
  /** What overtakes. */
  readonly #express = new TimedQueue()
  readonly #burst = new Burst()
  #delivering = false
  readonly #fire = (): void => {
    this.#timer = null
    this.#wake = Number.POSITIVE_INFINITY
    this.flush()
  }
  readonly #queueDrop: QueueDrop = (packet, reason, sentAt) => {
    this.counters.queueDropped++
    this.#drop(packet, reason, sentAt)
  }

  /** @throws TunstackError `ERR_INVALID_ARG_VALUE` */
  constructor(random: Random, end: PathEnd, impairment: Impairment = {}) {
    this.#random = random
    this.#end = end
    this.set(impairment)
  }

  /** True while nothing comes through. */
  get isCut(): boolean {
    return this.#cut
  }

  /** Packets that wait or are under way. */
  get length(): number {
    return this.#wire.length + this.#express.length + this.#burst.length + (this.#queue?.length ?? 0)
  }

  /** Packets that wait for the link to be free. */
  get queueLength(): number {
    if (this.#clock !== null) this.#serve(this.#clock.now())
    return this.#queue?.length ?? 0
  }

  /**
   * Changes what is given; what is under way keeps its time of arrival. Another `queue`, or no `rate`, sends what
   * waits on its way.
   * @throws TunstackError `ERR_INVALID_ARG_VALUE`; then nothing has changed
   */
  set(impairment: Impairment): void {
    checkNames(impairment)
    const { delay, jitter, rate, overhead, queue, loss, reorder, duplicate, corrupt, maxSize, limit } =
      impairment
    const newDelay = delay === undefined ? this.#delay : parseDuration(delay, 'delay')
    const newJitter = jitter === undefined ? this.#jitter : parseDuration(jitter, 'jitter')
    const byteTime = rate === undefined ? this.#byteTime : rateToByteTime(rate)
    const newOverhead = overhead === undefined ? this.#overhead : parseSize(overhead, 'overhead')
    const newReorder = reorder === undefined ? this.#reorder : parseProbability(reorder, 'reorder')
    const newDuplicate = duplicate === undefined ? this.#duplicate : parseProbability(duplicate, 'duplicate')
    const newCorrupt = corrupt === undefined ? this.#corrupt : parseProbability(corrupt, 'corrupt')
    const newMaxSize =
      maxSize === undefined ? this.#maxSize : parseSize(maxSize, 'maxSize') || Number.POSITIVE_INFINITY
    const newLimit = limit === undefined ? this.#limit : checkLimit(limit)
    const newLoss = loss === undefined ? this.#loss : lossModel(loss)
    const replaces = queue !== undefined || (byteTime === 0) !== (this.#queue === null)
    const newQueue = replaces && byteTime > 0 ? linkQueue(queue) : null
    if (queue !== undefined && byteTime === 0) linkQueue(queue) // looked at, though nothing waits without a rate
    const now = this.#clock?.now() ?? 0
    this.#serve(now)
    if (replaces) this.#replaceQueue(newQueue, now)
    this.#delay = newDelay
    this.#jitter = newJitter
    this.#byteTime = byteTime
    this.#overhead = newOverhead
    this.#reorder = newReorder
    this.#duplicate = newDuplicate
    this.#corrupt = newCorrupt
    this.#maxSize = newMaxSize
    this.#limit = newLimit
    this.#loss = newLoss
    this.#arm()
  }

  /** Lets nothing through any more; what is under way arrives. */
  cut(): void {
    this.#cut = true
  }

  /** Lets packets through again. */
  heal(): void {
    this.#cut = false
  }

  /** @internal */
  attach(clock: Clock): void {
    this.#clock = clock
    this.#free = clock.now()
  }

  /** @internal Sends a packet into the path; {@link flush} or {@link take} moves what has arrived. */
  offer(packet: Packet): void {
    const { counters } = this
    const random = this.#random
    const now = this.#clock!.now()
    counters.sent++
    counters.sentBytes += packet.length
    if (this.#cut || packet.length > this.#maxSize || this.#loss?.loses(random) === true) {
      counters.lost++
      return this.#drop(packet, DropReason.IMPAIRED, now)
    }
    let offered: Packet | null = packet
    if (chance(random, this.#corrupt)) {
      offered = this.#damage(packet)
      if (offered === null) return this.#drop(packet, DropReason.NOMEM, now)
    }
    // A copy, not a clone: whoever receives it may change what it got.
    const twin = chance(random, this.#duplicate) ? offered.pool.copy(offered, HEADROOM) : null
    this.#enter(offered, now)
    if (twin === null) return
    counters.duplicated++
    this.#enter(twin, now)
  }

  /** @internal Hands on what has arrived. */
  flush(): void {
    if (this.#delivering || this.#clock === null) return
    this.#delivering = true
    const burst = this.#burst
    try {
      const now = this.#clock.now()
      this.#serve(now)
      while (!this.blocked && this.#collect(burst, now)) {
        const { length } = burst
        const taken = this.#end.deliver(burst)
        if (taken < length) {
          this.blocked = true
          burst.shift(taken)
        } else burst.clear()
      }
    } finally {
      this.#delivering = false
      this.#arm()
    }
  }

  /** @internal There is room again. */
  resume(): void {
    this.blocked = false
    this.flush()
  }

  /** @internal Moves what has arrived into `burst`; true if more has. */
  take(burst: Burst): boolean {
    const now = this.#clock!.now()
    this.#serve(now)
    this.#collect(burst, now)
    this.#arm()
    return this.#wire.time <= now || this.#express.time <= now
  }

  /** @internal Drops all that waits or is under way. */
  clear(reason: DropReason): void {
    const drop = (packet: Packet | null, sentAt: number): boolean => {
      if (packet !== null) this.#drop(packet, reason, sentAt)
      return packet !== null
    }
    if (!this.#delivering) {
      for (let i = 0; i < this.#burst.length; i++) drop(this.#burst.packets[i]!, this.#clock!.now())
      this.#burst.clear()
    }
    for (const queue of [this.#wire, this.#express]) while (drop(queue.shift(), queue.sentAt)) {}
    const queue = this.#queue
    if (queue !== null) while (drop(queue.dequeue(0, this.#queueDrop), queue.sentAt)) {}
    this.blocked = false
    this.#arm()
  }

  #enter(packet: Packet, now: number): void {
    if (this.length >= this.#limit) {
      this.counters.queueDropped++
      return this.#drop(packet, DropReason.FULL_RING, now)
    }
    const queue = this.#queue
    if (queue === null) return this.#transmit(packet, now, now)
    this.#serve(now)
    queue.enqueue(packet, now, this.#queueDrop)
    this.#serve(now)
  }

  /** Does what the transmitter has done until `now`. */
  #serve(now: number): void {
    const queue = this.#queue
    if (queue === null) return
    while (queue.length > 0) {
      const start = Math.max(this.#free, queue.time)
      if (start > now) break
      const packet = queue.dequeue(start, this.#queueDrop)
      if (packet === null) break
      const bytes = packet.length + this.#overhead * packet.gsoSegments
      this.#free = start + Math.ceil(bytes * this.#byteTime)
      this.#transmit(packet, this.#free, queue.sentAt)
    }
    this.counters.marked += queue.marked - this.#markedBefore
    this.#markedBefore = queue.marked
  }

  #markedBefore = 0

  /** The last bit of it has left the sender at the moment `time`. */
  #transmit(packet: Packet, time: number, sentAt: number): void {
    if (this.#reorder > 0 && chance(this.#random, this.#reorder)) {
      this.counters.reordered++
      return this.#express.push(packet, time, sentAt)
    }
    let arrival = time + this.#delay
    if (this.#jitter > 0) {
      const spread = (this.#random.int32() / 0x8000_0000) * this.#jitter
      arrival = Math.max(time, Math.round(arrival + spread))
    }
    if (arrival < this.#lastArrival) arrival = this.#lastArrival
    this.#lastArrival = arrival
    this.#wire.push(packet, arrival, sentAt)
  }

  /** Fills the burst with what has arrived, in order of arrival; false if it is empty. */
  #collect(burst: Burst, now: number): boolean {
    const { counters, observer } = this
    while (burst.length < BURST_SIZE) {
      const from = this.#express.time < this.#wire.time ? this.#express : this.#wire
      if (from.time > now) break
      const packet = from.shift()!
      counters.delivered++
      counters.deliveredBytes += packet.length
      if (observer !== null) observer.delivered(packet, from.sentAt, now)
      burst.push(packet)
    }
    return burst.length > 0
  }

  /** When something is to be done next. */
  #next(): number {
    const arrival = Math.min(this.#wire.time, this.#express.time)
    const queue = this.#queue
    if (queue === null || queue.length === 0) return arrival
    // What is sent later arrives later, unless it overtakes: so the transmitter need not be watched while the wire
    // holds something.
    if (this.#wire.length > 0 && this.#reorder === 0) return arrival
    return Math.min(arrival, Math.max(this.#free, queue.time))
  }

  #arm(): void {
    if (this.#delivering || this.#clock === null) return
    const next = this.blocked ? Number.POSITIVE_INFINITY : this.#next()
    if (next === this.#wake) return
    if (this.#timer !== null) this.#clock.clearTimer(this.#timer)
    this.#timer = null
    this.#wake = next
    if (next === Number.POSITIVE_INFINITY) return
    this.#timer = this.#clock.setTimer(this.#fire, Math.max(0, next - this.#clock.now()))
  }

  #replaceQueue(queue: LinkQueue | null, now: number): void {
    const old = this.#queue
    this.#queue = queue
    this.#markedBefore = 0
    if (old === null) return
    for (let packet = old.dequeue(now, this.#queueDrop); packet !== null; ) {
      if (queue === null) this.#transmit(packet, now, old.sentAt)
      else queue.enqueue(packet, now, this.#queueDrop)
      packet = old.dequeue(now, this.#queueDrop)
    }
  }

  /** The packet with one bit flipped, or `null` if there is no memory for it. */
  #damage(packet: Packet): Packet | null {
    const own = ownBytes(packet)
    if (own === null) return null
    // Whoever vouched for the checksum did not see this.
    if (own.checksum === Checksum.PARTIAL) completeChecksum(own)
    own.checksum = Checksum.NONE
    const bit = this.#random.below(own.length * 8)
    own.bytes[own.start + (bit >>> 3)]! ^= 1 << (bit & 7)
    this.counters.corrupted++
    return own
  }

  #drop(packet: Packet, reason: DropReason, sentAt: number): void {
    if (this.observer !== null) this.observer.dropped(packet, reason, sentAt, this.#clock!.now())
    this.#end.drop(packet, reason)
  }
}

function rateToByteTime(rate: Rate): number {
  if (rate === Number.POSITIVE_INFINITY) return 0
  return 8e9 / parseRate(rate)
}

function checkLimit(limit: number): number {
  if (Number.isInteger(limit) && limit >= 1) return limit
  throw invalidArgument('limit', limit, 'a number of packets, 1 or more')
}

const NAMES: ReadonlySet<string> = new Set<keyof Impairment>([
  'delay',
  'jitter',
  'rate',
  'overhead',
  'queue',
  'loss',
  'reorder',
  'duplicate',
  'corrupt',
  'maxSize',
  'limit',
])

/** A misspelt effect would have none. */
function checkNames(impairment: Impairment): void {
  if (typeof impairment !== 'object' || impairment === null) {
    throw invalidArgument('impairment', impairment, "an object such as { delay: '20ms', loss: 0.01 }")
  }
  for (const name of Object.keys(impairment)) {
    if (!NAMES.has(name)) throw invalidArgument('impairment', name, `one of ${[...NAMES].join(', ')}`)
  }
}
