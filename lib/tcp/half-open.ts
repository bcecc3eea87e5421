/**
 * A connection that a peer has asked for and not yet confirmed: SYN-RECEIVED of a listener. It is small (RFC 4987:
 * who sends SYNs costs us little), answers duplicates of the SYN, and becomes a connection with the right ACK. In the
 * order of Linux's `tcp_check_req`.
 */
import type { Linked } from '../collections/linked-list.ts'
import { FlowKey, localPort, remotePort } from '../demux/flow-key.ts'
import type { CongestionControlName, TcpSettings } from '../sysctl/tcp-settings.ts'
import { Timer } from '../time/timer-wheel.ts'
import { TcpFlag } from '../wire/tcp.ts'
import type { SynOptions } from '../wire/tcp-options.ts'
import type { OutOfWindowClock } from './challenge-ack.ts'
import { grantsEcn } from './ecn.ts'
import { timestampAt } from './isn.ts'
import type { Listener } from './listener.ts'
import type { TcpReplies } from './replies.ts'
import type { Segment } from './segment.ts'
import { seqGt, seqLt } from './sequence.ts'
import { EndpointKind } from './tcb.ts'

/** What a segment is to a half-open connection. */
export const HandshakeVerdict = {
  DROP: 0,
  /** The SYN again: so is the answer. */
  REPEAT: 1,
  /** Not for this one: as a listener answers an ACK. */
  RESET: 2,
  /** Outside the window: an ACK says where things stand. */
  ACK: 3,
  /** The peer has changed its mind. */
  ABORT: 4,
  /** The same, and it gets a reset: a SYN where none belongs. */
  ABORT_RESET: 5,
  COMPLETE: 6,
} as const
export type HandshakeVerdict = (typeof HandshakeVerdict)[keyof typeof HandshakeVerdict]

/** What a SYN offers that this host wants. */
export interface HandshakeTerms {
  irs: number
  peerMss: number
  /** −1: not offered, or not wanted. */
  peerScale: number
  sack: boolean
  ecn: boolean
  timestamps: boolean
  tsRecent: number
}

/** @param allow what the sysctls say @param maxSegment `TCP_MAXSEG` of the listener */
export function termsOf(segment: Segment, allow: TcpSettings, maxSegment: number): HandshakeTerms {
  const { options } = segment
  return {
    irs: segment.seq,
    peerMss: Math.min(options.mss === 0 ? 536 : options.mss, maxSegment),
    peerScale: allow.tcp_window_scaling !== 0 ? options.windowScale : -1,
    sack: allow.tcp_sack !== 0 && options.sackPermitted,
    ecn: grantsEcn(allow.tcp_ecn, segment),
    timestamps: allow.tcp_timestamps !== 0 && options.timestamps,
    tsRecent: options.tsValue,
  }
}

export class HalfOpen implements OutOfWindowClock, Linked<HalfOpen> {
  readonly kind = EndpointKind.HALF_OPEN
  readonly key: Int32Array
  readonly listener: Listener
  readonly iss: number
  readonly irs: number
  readonly peerMss: number
  /** −1: not offered, or not wanted. */
  readonly peerScale: number
  readonly sack: boolean
  readonly ecn: boolean
  readonly timestamps: boolean
  tsRecent: number
  readonly tsOffset: number
  /** Timestamps of the first and of the last SYN-ACK, if one was sent. */
  tsFirst = 0
  tsLast = 0
  answered = false
  /** The timestamp of the SYN-ACK, where it is not the clock's. */
  stamp: number | null = null
  /** It was made up again from a cookie: when it began nobody knows. */
  isFromCookie = false
  /** Window offered with the SYN-ACK, and MSS and scale announced. */
  wnd = 0
  announcedMss = 0
  rcvScale = 0
  /** What the route or the listener asks for; `null`: as the sysctl says. */
  congestion: CongestionControlName | null = null
  /** The program has not said yet whether it wants it: nothing has been answered. */
  undecided = false
  /** SYN-ACKs sent again. */
  retries = 0
  /** The last ACK came, and the queue of connections to accept was full. */
  confirmed = false
  startedAt = 0
  lastOutOfWindowAck = -Infinity
  readonly timer: Timer
  /** What the program of a catch-all listener keeps with it. */
  user: object | null = null
  /** Links of the listener's list. */
  next: HalfOpen | null = null
  previous: HalfOpen | null = null

  constructor(
    listener: Listener,
    key: Int32Array,
    terms: HandshakeTerms,
    iss: number,
    tsOffset: number,
    expire: (halfOpen: HalfOpen) => void,
  ) {
    this.listener = listener
    this.key = key.slice()
    this.key[FlowKey.DEVICE] = 0
    this.iss = iss
    this.irs = terms.irs
    this.peerMss = terms.peerMss
    this.peerScale = terms.peerScale
    this.sack = terms.sack
    this.ecn = terms.ecn
    this.timestamps = terms.timestamps
    this.tsRecent = terms.tsRecent
    this.tsOffset = tsOffset
    this.timer = new Timer(() => expire(this))
  }

  get rcvNxt(): number {
    return (this.irs + 1) | 0
  }

  get sndNxt(): number {
    return (this.iss + 1) | 0
  }

  /** What to do for a segment. */
  judge(segment: Segment): HandshakeVerdict {
    const { seq, end, ack, options } = segment
    const stamped = this.timestamps && options.timestamps
    const isOld = stamped && ((options.tsValue - this.tsRecent) | 0) < 0
    const { SYN, RST, ACK } = TcpFlag
    let flags = segment.flags & (SYN | RST | ACK)
    if (seq === this.irs && flags === SYN && !isOld) return HandshakeVerdict.REPEAT
    if (this.undecided) return (flags & RST) !== 0 ? HandshakeVerdict.ABORT : HandshakeVerdict.DROP
    if ((flags & ACK) !== 0 && (flags & RST) === 0 && ack !== this.sndNxt) return HandshakeVerdict.RESET
    const edge = (this.rcvNxt + this.wnd) | 0
    const left = this.rcvNxt
    const overlaps = seq === left || (seqGt(end, left) && seqLt(seq, edge)) || (seq === edge && seq === end)
    const inWindow = overlaps && !isOld && !this.echoesNothingSent(segment)
    if (!inWindow) return (flags & RST) !== 0 ? HandshakeVerdict.DROP : HandshakeVerdict.ACK
    if (seq === this.irs) flags &= ~SYN // it begins with the SYN that was there already
    if ((flags & RST) !== 0) return seq === this.rcvNxt ? HandshakeVerdict.ABORT : HandshakeVerdict.ACK
    if ((flags & SYN) !== 0) return HandshakeVerdict.ABORT_RESET
    if ((flags & ACK) === 0) return HandshakeVerdict.DROP
    if (stamped && !seqGt(seq, this.rcvNxt)) this.tsRecent = options.tsValue
    return HandshakeVerdict.COMPLETE
  }

  /** Its echo is of no timestamp that a SYN-ACK had: it is not from who got one (Linux's `TSEcrRejected`). */
  echoesNothingSent({ options }: Segment): boolean {
    if (!this.timestamps || !options.timestamps || options.tsEcho === 0) return false
    return seqLt(options.tsEcho, this.tsFirst) || seqGt(options.tsEcho, this.tsLast)
  }

  /** Sends the SYN-ACK, for the first time or again. */
  answer(replies: TcpReplies, now: number, scratch: SynOptions): void {
    const { key } = this
    scratch.mss = this.announcedMss
    scratch.windowScale = this.peerScale >= 0 ? this.rcvScale : -1
    scratch.sackPermitted = this.sack
    scratch.timestamps = this.timestamps
    scratch.tsValue = this.tsLast = this.stamp ?? timestampAt(now, this.tsOffset)
    if (!this.answered) this.tsFirst = this.tsLast
    this.answered = true
    scratch.tsEcho = this.tsRecent
    replies.synAck(
      key[FlowKey.LOCAL + 3]!,
      localPort(key),
      key[FlowKey.REMOTE + 3]!,
      remotePort(key),
      this.iss,
      this.rcvNxt,
      Math.min(this.wnd, 0xffff),
      this.ecn ? TcpFlag.ECE : 0,
      scratch,
    )
  }
}
