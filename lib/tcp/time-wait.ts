/**
 * TIME-WAIT (RFC 9293 §3.6.1): what is left of a connection that this end closed first, for a minute, so that the
 * peer's FIN is acknowledged again if need be and old segments meet no new connection (RFC 1337, RFC 6191). An entry
 * is small, and all wait equally long: they stand in a queue under one timer.
 */
import type { Linked } from '../collections/linked-list.ts'
import { FlowKey } from '../demux/flow-key.ts'
import { SECOND } from '../time/clock.ts'
import { TcpFlag } from '../wire/tcp.ts'
import type { OutOfWindowClock } from './challenge-ack.ts'
import type { Segment } from './segment.ts'
import { seqGt } from './sequence.ts'
import { EndpointKind, type Tcb } from './tcb.ts'

/** 2 MSL (`TCP_TIMEWAIT_LEN`). */
export const TIME_WAIT_LENGTH = 60 * SECOND

/** The loopback device's, always. */
const LOOPBACK_INDEX = 1

/** What a segment is to TIME-WAIT (`enum tcp_tw_status`). */
export const TimeWaitVerdict = { DROP: 0, ACK: 1, SYN: 2, KILL: 3, RESTART: 4, RESTART_ACK: 5 } as const
export type TimeWaitVerdict = (typeof TimeWaitVerdict)[keyof typeof TimeWaitVerdict]

export class TimeWait implements OutOfWindowClock, Linked<TimeWait> {
  readonly kind = EndpointKind.TIME_WAIT
  readonly key: Int32Array
  readonly rcvNxt: number
  readonly sndNxt: number
  /** Window as it goes into the header. */
  readonly wnd: number
  readonly timestamps: boolean
  tsRecent: number
  readonly tsOffset: number
  /** Index of the device that the connection was bound to; 0: none. */
  readonly device: number
  /** When it began. */
  readonly enteredAt: number
  lastOutOfWindowAck = -Infinity
  deadline = 0
  /** Links of the queue. */
  next: TimeWait | null = null
  previous: TimeWait | null = null

  constructor(tcb: Tcb) {
    this.key = tcb.key
    this.rcvNxt = tcb.rcvNxt
    this.sndNxt = tcb.sndNxt
    this.wnd = Math.min(tcb.receiveWindow >>> tcb.rcvScale, 0xffff)
    this.timestamps = tcb.timestamps
    this.tsRecent = tcb.tsRecent
    this.tsOffset = tcb.tsOffset
    this.device = tcb.path.device
    this.enteredAt = tcb.time.now
  }

  /** What a new connection in its place begins with: beyond everything that the old one can have sent (RFC 6191). */
  get nextSequence(): number {
    return (this.sndNxt + 65535 + 2) | 0 || 1
  }

  /** Both ends, or one of them, are this host (as far as Linux looks). */
  get isOfLoopback(): boolean {
    if (this.device === LOOPBACK_INDEX) return true
    return this.key[FlowKey.LOCAL + 3]! >>> 24 === 127 || this.key[FlowKey.REMOTE + 3]! >>> 24 === 127
  }

  /**
   * What is to be done for a segment (`tcp_timewait_state_process`).
   * @param keepOnReset `tcp_rfc1337`: a reset does not end it
   */
  judge(segment: Segment, keepOnReset: boolean): TimeWaitVerdict {
    const { seq, end, flags, options } = segment
    const stamped = this.timestamps && options.timestamps
    const age = stamped ? (options.tsValue - this.tsRecent) | 0 : 0
    const isOld = age < 0
    const isRst = (flags & TcpFlag.RST) !== 0
    if (!isOld && seq === this.rcvNxt && (seq === end || isRst)) {
      if (isRst) return keepOnReset ? TimeWaitVerdict.DROP : TimeWaitVerdict.KILL
      if (stamped) this.tsRecent = options.tsValue
      return TimeWaitVerdict.RESTART
    }
    const { SYN, RST, ACK } = TcpFlag
    if ((flags & (SYN | RST | ACK)) === SYN && !isOld && (seqGt(seq, this.rcvNxt) || (stamped && age > 0))) {
      return TimeWaitVerdict.SYN
    }
    if (isRst) return TimeWaitVerdict.DROP
    return isOld || (flags & ACK) !== 0 ? TimeWaitVerdict.RESTART_ACK : TimeWaitVerdict.ACK
  }
}
