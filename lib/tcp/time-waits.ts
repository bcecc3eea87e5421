/**
 * The connections of a stack that are in TIME-WAIT: entered when they end, answered for while they wait, forgotten
 * when their minute is over or a new connection takes their place.
 */
import { LinkedList } from '../collections/linked-list.ts'
import { TcpExtMib } from '../observe/mib.ts'
import { MILLISECOND } from '../time/clock.ts'
import { Timer } from '../time/timer-wheel.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { isLoopProne } from './challenge-ack.ts'
import { timestampAt } from './isn.ts'
import type { Segment } from './segment.ts'
import type { TcpShared } from './shared.ts'
import type { Tcb } from './tcb.ts'
import { TIME_WAIT_LENGTH, TimeWait, TimeWaitVerdict } from './time-wait.ts'

export class TimeWaits {
  readonly #shared: TcpShared
  /** The next to go first. */
  readonly #queue = new LinkedList<TimeWait>()
  readonly #timer = new Timer(() => this.#expire())

  constructor(shared: TcpShared) {
    this.#shared = shared
  }

  get count(): number {
    return this.#queue.length
  }

  /** A connection is over; its place in the table is free. */
  enter(tcb: Tcb): void {
    const { ctx, endpoints, wheel } = this.#shared
    const { mib, now, sysctl } = ctx
    if (this.#queue.length >= sysctl.ipv4.tcp_max_tw_buckets) {
      mib.tcpExt[TcpExtMib.TCPTimeWaitOverflow]!++
      return
    }
    const entry = new TimeWait(tcb)
    if (!endpoints.connect(entry.key, entry)) return
    this.#push(entry, now)
    if (!this.#timer.armed) wheel.schedule(this.#timer, entry.deadline)
  }

  /**
   * A segment for one of them.
   * @param reopen called for a SYN that may begin a new connection, with the number that it must begin with: whether
   * somebody listens, and what became of the segment
   */
  receive(
    entry: TimeWait,
    segment: Segment,
    reopen: (segment: Segment, isn: number) => DropReason | null,
  ): DropReason {
    const { ctx, limit, replies } = this.#shared
    const { now, mib } = ctx
    const verdict = entry.judge(segment, ctx.sysctl.ipv4.tcp_rfc1337 !== 0)
    switch (verdict) {
      case TimeWaitVerdict.DROP:
        return DropReason.TCP_RESET
      case TimeWaitVerdict.KILL:
        this.end(entry)
        return DropReason.TCP_RESET
      case TimeWaitVerdict.RESTART:
        this.#queue.remove(entry)
        this.#push(entry, now)
        return DropReason.NONE
      case TimeWaitVerdict.SYN: {
        const reason = reopen(segment, entry.nextSequence)
        if (reason !== null) return reason
        break
      }
      case TimeWaitVerdict.RESTART_ACK:
        this.#queue.remove(entry)
        this.#push(entry, now)
        break
      case TimeWaitVerdict.ACK:
        break
    }
    if (isLoopProne(segment.flags, segment.length) && limit.skipAnswer(entry, now)) {
      mib.tcpExt[TcpExtMib.TCPACKSkippedTimeWait]!++
      return DropReason.NONE
    }
    const { timestamps, sndNxt, rcvNxt, wnd } = entry
    if (timestamps) {
      const clock = timestampAt(now, entry.tsOffset)
      replies.ack(segment, sndNxt, rcvNxt, wnd, clock, entry.tsRecent)
    } else replies.ack(segment, sndNxt, rcvNxt, wnd)
    return DropReason.NONE
  }

  /**
   * Whether this end may connect again from its four-tuple (`tcp_twsk_unique`): timestamps tell old segments, and
   * `tcp_tw_reuse` allows it, where somebody has not asked for the very port.
   */
  mayReuse(entry: TimeWait, isAskedFor: boolean): boolean {
    if (!entry.timestamps) return false
    if (isAskedFor) return true
    const { now, sysctl } = this.#shared.ctx
    const { tcp_tw_reuse, tcp_tw_reuse_delay } = sysctl.ipv4
    if (tcp_tw_reuse === 0 || (tcp_tw_reuse === 2 && !entry.isOfLoopback)) return false
    return now - entry.enteredAt > tcp_tw_reuse_delay * MILLISECOND
  }

  /** A connection from here takes its place, and goes on where it was. */
  handOver(entry: TimeWait, tcb: Tcb): void {
    this.#shared.ctx.mib.tcpExt[TcpExtMib.TWRecycled]!++
    this.end(entry)
    tcb.iss = entry.nextSequence
    tcb.tsRecent = entry.tsRecent
  }

  /** It is forgotten. */
  end(entry: TimeWait): void {
    this.#queue.remove(entry)
    this.#shared.endpoints.disconnect(entry.key, entry)
  }

  /** All are. */
  clear(): void {
    for (let entry = this.#queue.first; entry !== null; entry = this.#queue.first) this.end(entry)
    this.#shared.wheel.cancel(this.#timer)
  }

  #push(entry: TimeWait, now: number): void {
    entry.deadline = now + TIME_WAIT_LENGTH
    this.#queue.push(entry)
  }

  #expire(): void {
    const { wheel, ctx } = this.#shared
    const now = wheel.now
    for (let entry = this.#queue.first; entry !== null && entry.deadline <= now; entry = this.#queue.first) {
      ctx.mib.tcpExt[TcpExtMib.TW]!++
      this.end(entry)
    }
    const next = this.#queue.first
    if (next !== null) wheel.schedule(this.#timer, next.deadline)
  }
}
