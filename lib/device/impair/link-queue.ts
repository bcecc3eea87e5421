/**
 * The queue before a slow link, and what it does when it is too long: drop what comes last (drop-tail), or, by
 * CoDel, drop what has waited too long.
 */
import { invalidArgument } from '../../errors.ts'
import type { Packet } from '../../packet/packet.ts'
import { type Duration, parseDuration, parseSize, type Size } from '../../units.ts'
import { DropReason } from '../../wire/drop-reason.ts'
import { CoDel } from './codel.ts'
import { TimedQueue } from './timed-queue.ts'

/** What becomes of a packet that a queue does not pass on. */
export type QueueDrop = (packet: Packet, reason: DropReason, sentAt: number) => void

export interface LinkQueue {
  /** Packets that wait. */
  readonly length: number
  readonly bytes: number
  /** When the first of them came, in ns; `Infinity` if none waits. */
  readonly time: number
  /** Of what {@link dequeue} gave last: when it came. */
  readonly sentAt: number
  /** Packets that were marked (ECN) instead of dropped. */
  readonly marked: number
  /** Takes a packet over, or drops it. */
  enqueue(packet: Packet, now: number, drop: QueueDrop): void
  /** The next to be sent at the moment `now`; `null` if none is left. */
  dequeue(now: number, drop: QueueDrop): Packet | null
}

export interface DropTailOptions {
  discipline: 'drop-tail'
  /** Packets that may wait, 1000 by default. */
  packets?: number
  /** Bytes that may wait; any number by default. */
  bytes?: Size
}

export interface CoDelOptions {
  discipline: 'codel'
  /** Packets that may wait whatever CoDel says, 1000 by default. */
  packets?: number
  /** How long packets may stand in the queue in the long run; 5 ms by default. */
  target?: Duration
  /** Over what time that is looked at: the worst round trip to be expected; 100 ms by default. */
  interval?: Duration
  /** Marks packets of ECN-capable flows instead of dropping them; `false` by default. */
  ecn?: boolean
}

/** A number of packets, text with bytes (`'64kb'`), a discipline by its name, or with its options. */
export type QueueOption = number | string | DropTailOptions | CoDelOptions

const DEFAULT_PACKETS = 1000

class DropTail extends TimedQueue implements LinkQueue {
  readonly marked = 0
  readonly #packets: number
  readonly #bytes: number

  constructor(packets: number, bytes: number) {
    super()
    this.#packets = packets
    this.#bytes = bytes
  }

  enqueue(packet: Packet, now: number, drop: QueueDrop): void {
    if (this.length >= this.#packets || this.bytes + packet.length > this.#bytes) {
      drop(packet, DropReason.QDISC_DROP, now)
    } else this.push(packet, now, now)
  }

  dequeue(): Packet | null {
    return this.shift()
  }
}

/** @throws TunstackError `ERR_INVALID_ARG_VALUE` */
export function linkQueue(option: QueueOption = DEFAULT_PACKETS): LinkQueue {
  if (typeof option === 'number') return new DropTail(checkPackets(option), Number.POSITIVE_INFINITY)
  if (typeof option === 'string') {
    if (option === 'codel' || option === 'drop-tail') return linkQueue({ discipline: option })
    return new DropTail(Number.POSITIVE_INFINITY, parseSize(option, 'queue'))
  }
  switch (option?.discipline) {
    case 'drop-tail': {
      const bytes = option.bytes === undefined ? Number.POSITIVE_INFINITY : parseSize(option.bytes, 'bytes')
      return new DropTail(checkPackets(option.packets ?? DEFAULT_PACKETS), bytes)
    }
    case 'codel':
      return new CoDel(
        checkPackets(option.packets ?? DEFAULT_PACKETS),
        parseDuration(option.target ?? '5ms', 'target'),
        parseDuration(option.interval ?? '100ms', 'interval'),
        option.ecn ?? false,
      )
    default:
      throw invalidArgument('queue', option, "packets, text such as '64kb' or 'codel', or { discipline, … }")
  }
}

function checkPackets(packets: number): number {
  if (Number.isInteger(packets) && packets >= 1) return packets
  throw invalidArgument('queue', packets, 'a number of packets, 1 or more')
}
