/**
 * The transmission control block (RFC 9293 §3.3.1): all that is known of one connection. It holds numbers and the
 * queues, and does nothing by itself: {@link TcpInput} changes it for a segment that came, {@link TcpOutput} for one
 * that goes, {@link TcpTimers} when time has passed. Sequence numbers are signed 32-bit integers, times are
 * nanoseconds of stack time, `Infinity` for never.
 */
import type { EventSource } from '../device/softirq.ts'
import { TcpMib } from '../observe/mib.ts'
import { MILLISECOND } from '../time/clock.ts'
import { Timer } from '../time/timer-wheel.ts'
import type { CongestionControl } from './congestion/congestion-control.ts'
import type { HalfOpen } from './half-open.ts'
import type { Ipv4Path } from './ipv4-path.ts'
import { Limit } from './limits.ts'
import type { TcpMemory } from './memory.ts'
import type { MtuSearch } from './mtu-probing.ts'
import { OutOfOrderQueue } from './out-of-order.ts'
import { Rack } from './rack.ts'
import { ReceiveRing, type RingStore } from './receive-ring.ts'
import { RttEstimator } from './rtt-estimator.ts'
import { SendQueue } from './send-queue.ts'
import { type RetransmitReason, TcpTrace } from './trace.ts'
import { type TransmissionStore, Transmissions } from './transmissions.ts'
import type { WriteArena } from './write-arena.ts'

/** Connection states, with Linux's numbers (`TCP_ESTABLISHED`, …). */
export const TcpState = {
  ESTABLISHED: 1,
  SYN_SENT: 2,
  SYN_RECEIVED: 3,
  FIN_WAIT_1: 4,
  FIN_WAIT_2: 5,
  TIME_WAIT: 6,
  CLOSED: 7,
  CLOSE_WAIT: 8,
  LAST_ACK: 9,
  LISTEN: 10,
  CLOSING: 11,
} as const
export type TcpState = (typeof TcpState)[keyof typeof TcpState]

export type TcpStateName = keyof typeof TcpState

const stateNames: TcpStateName[] = []
for (const [name, state] of Object.entries(TcpState)) stateNames[state] = name as TcpStateName

export function tcpStateName(state: TcpState): TcpStateName {
  return stateNames[state]!
}

/** What `TcpCurrEstab` counts (RFC 4022). */
function isOpen(state: TcpState): boolean {
  return state === TcpState.ESTABLISHED || state === TcpState.CLOSE_WAIT
}

/** What the endpoint table of TCP holds. */
export const EndpointKind = { CONNECTION: 0, HALF_OPEN: 1, TIME_WAIT: 2, LISTENER: 3 } as const

/** What has come up for the application since it was last told; bits of {@link Tcb.events}. */
export const TcbEvent = { CONNECTED: 1, READABLE: 2, WRITABLE: 4, CLOSED: 8, ACKED: 16, URGENT: 32 } as const

/** How the sender stands towards loss, with Linux's numbers (`tcp_ca_state`). */
export const LossState = { OPEN: 0, DISORDER: 1, CWR: 2, RECOVERY: 3, LOSS: 4 } as const
export type LossState = (typeof LossState)[keyof typeof LossState]

/** What a listener's or a program's options give a connection from the start. */
export interface TcbSettings {
  /** Bytes that may wait for the application at first, and at most (`tcp_rmem`). */
  receiveBuffer: number
  receiveBufferMax: number
  /** The program has asked for it: it does not grow. */
  receiveBufferFixed: boolean
  /** Bytes that may wait to be acknowledged (`tcp_wmem`). */
  sendBuffer: number
  /** The program has asked for it: it does not grow. */
  sendBufferFixed: boolean
}

/** Where the buffers of all connections come from. */
export interface TcbMemory {
  readonly memory: TcpMemory
  readonly rings: RingStore
  readonly writes: WriteArena
  readonly transmissions: TransmissionStore
}

export class Tcb {
  readonly kind = EndpointKind.CONNECTION
  /** Its place in the endpoint table. */
  readonly key: Int32Array
  readonly path: Ipv4Path
  /** What all connections of the stack hold. */
  readonly memory: TcpMemory
  readonly trace: TcpTrace = new TcpTrace()
  /** Stack time. */
  readonly time: { readonly now: number }
  /** The request that it came of, if a program had to decide. */
  handshake: HalfOpen | null = null
  state: TcpState = TcpState.CLOSED
  /** Whom {@link events} are for; `null` once the application has let go. */
  user: EventSource | null = null
  /** {@link TcbEvent} bits. */
  events = 0
  /** Why it ended: a positive errno; 0 for an orderly end. */
  errno = 0
  /** An ICMP error that does not end it; what a timeout is reported as. */
  softErrno = 0
  /** In the endpoint table under {@link key}. */
  registered = false
  /** Bound to its local port by the application. */
  bound = false
  /** The application has closed it: nobody reads what comes. */
  orphan = false
  /** Among {@link TcpMemory.orphans}. */
  countsAsOrphan = false

  // Send side.
  iss = 0
  sndUna = 0
  sndNxt = 0
  /** Bytes, scaled. */
  sndWnd = 0
  sndWl1 = 0
  /** The window of the segment before, whether it counted or not. */
  lastWnd = 0
  /** Largest window that the peer has offered. */
  maxSndWnd = 0
  sndScale = 0
  /** Sequence number of the first byte of {@link sendQueue}. */
  dataSeq = 0
  readonly sendQueue: SendQueue
  /** `SO_SNDBUF` was set. */
  sendBufferFixed: boolean
  /** No more data after what is queued: FIN follows it. */
  finQueued = false
  finSent = false
  /** End of the last small segment (Minshall's variant of Nagle). */
  smallEnd = 0
  noDelay = false
  /** What was written up to {@link sndUp} is urgent, and the peer does not have all of it. */
  sndUrgent = false
  sndUp = 0
  /** The peer's MSS option, before the path's MTU counts; the options of every segment come off it. */
  peerMss = 536
  /** `TCP_MAXSEG`: neither end's MSS is larger. */
  userMss = Infinity
  /** Bytes of data per segment; 0 before the handshake is done. */
  mss = 0
  /** The path MTU that {@link mss} was computed for; 0: it has to be computed again. */
  mssMtu = 0
  /** The path's MTU is searched for by probes; `null`: what ICMP says is believed. */
  mtuSearch: MtuSearch | null = null

  // Receive side.
  irs = 0
  rcvNxt = 0
  /** What was last acknowledged, and the window that was offered with it. */
  rcvWup = 0
  rcvWnd = 0
  /** The furthest right edge that was offered. */
  rcvEdge = 0
  rcvScale = 0
  readonly ring: ReceiveRing
  readonly outOfOrder: OutOfOrderQueue
  /** Bytes that may wait for the application, now and at most. */
  receiveBuffer: number
  receiveBufferMax: number
  finReceived = false
  /** The peer calls what comes before {@link rcvUp} urgent, and the application has not read that far. */
  rcvUrgent = false
  rcvUp = 0
  /** The MSS option that was sent. */
  announcedMss = 536
  /** Size of the segments that the peer sends: what acknowledgments are counted by. */
  rcvMss = 536
  /** Receive autotuning: what was read when the round trip began, when that was, and how much it was in the best one. */
  rcvSpaceSeq = 0
  rcvSpaceTime = 0
  rcvSpace = 1
  /** Bytes of the buffer that are offered at most, by what has come. */
  rcvSsthresh = 0
  /** RTT as a receiver sees it, by timestamps echoed or windows filled. */
  rcvRtt = 0
  rcvRttSeq = 0
  rcvRttTime = 0
  rcvRttEcho = 0

  // Options agreed on.
  timestamps = false
  sack = false
  windowScaling = false
  tsRecent = 0
  tsRecentTime = 0
  tsOffset = 0

  /** Explicit congestion notification was agreed on. */
  ecn = false
  /** The peer's data has come as capable of it; a mark is echoed; the peer is told that one was heard of. */
  ecnSeen = false
  ecnEcho = false
  ecnReduced = false

  // Acknowledgments to send.
  /** Segments that are acknowledged at once before acknowledgments are delayed. */
  quickAcks = 0
  /** The route asks for it always. */
  quickAckRoute = false
  /** Data goes both ways: acknowledgments wait for data to go with. */
  interactive = false
  /** When data last came. */
  lastReceived = -Infinity
  ackPending = false
  /** What was written last waits for the end of the turn of the event loop. */
  corked = false
  /** It is sent when the burst at hand is over. */
  ackQueued = false
  /** Duplicates are reported (`tcp_dsack`). */
  dsack = true
  /** There is one to report as the first SACK block (RFC 2883). */
  hasDsack = false
  dsackLeft = 0
  dsackRight = 0
  /** When an acknowledgment of something unacceptable was last sent (`tcp_invalid_ratelimit`). */
  lastOutOfWindowAck = -Infinity

  // Loss.
  readonly rtt: RttEstimator = new RttEstimator()
  congestion: CongestionControl
  readonly transmissions: Transmissions
  readonly rack: Rack = new Rack()
  /** Bytes per second that it never exceeds (`SO_MAX_PACING_RATE`), and when a paced packet may leave next. */
  maxPacingRate: number = Infinity
  paceAt = 0
  lossState: LossState = LossState.OPEN
  /** Recovery ends when this is acknowledged. */
  recoveryPoint = 0
  /** Segments by which packets may overtake one another before something is lost (`tcp_reordering`). */
  reordering = 3
  /** Bytes delivered since the beginning, and when the last were. */
  delivered = 0
  deliveredAt = 0
  /** When the first of the flight was sent whose delivery is being measured. */
  firstSentAt = 0
  /** Until so much is delivered the application's pace is measured; 0: the network's. */
  appLimited = 0
  /** The last rate that tells of the network, or the best of the application's (`tcpi_delivery_rate`): bytes per ns. */
  deliveryRate = 0
  deliveryRateLimited = false
  /** Proportional rate reduction: the window before it, what was delivered and sent in it, in bytes. */
  prrCwnd = 0
  prrDelivered = 0
  prrOut = 0
  /** The reduction may have been a mistake: what there was before it, and what was sent again and not reported twice. */
  undoing = false
  undoMarker = 0
  undoRetransmitted = 0
  priorCwnd = 0
  priorSsthresh = 0
  /** A timeout that may have been spurious (F-RTO). */
  frto = false
  /** New data goes before copies, to see what comes of it (F-RTO step 2b). */
  holdRetransmissions = false
  /** Timestamp of the first copy of this loss, if one was sent (Eifel). */
  retransmitStamped = false
  retransmitStamp = 0
  /** SND.NXT when the tail was probed; `null` if it was not. Whether the probe was a copy. */
  tlpEnd: number | null = null
  tlpAgain = false
  dupAcks = 0
  /** Why it sends again, where that is neither a timeout nor what acknowledgments say. */
  reason: RetransmitReason | null = null
  /** When something was first sent again in this loss: since then there is no progress (`retrans_stamp`). */
  retransmitStart = Infinity
  /** When the retransmission timer last fired. */
  timeoutAt = -Infinity
  /** Timeouts in a row. */
  retransmits = 0
  /** Unanswered window probes, and keep-alive probes. */
  probes = 0
  lastSent = -Infinity
  /** Something came of the peer. */
  lastHeard = 0

  // Timers: deadlines; one wheel timer serves them all.
  readonly timer: Timer
  retransmitAt = Infinity
  /** The tail is probed (RFC 8985 §7); what nothing has overtaken is lost (§6.3). */
  probeAt = Infinity
  reorderAt = Infinity
  delayedAckAt = Infinity
  keepaliveAt = Infinity
  /** The device had no room: try again then. */
  roomAt = Infinity
  /** Since when it has had none; Infinity: it has. */
  roomSince = Infinity
  keepAlive = false
  /** 0: as the sysctls say. Nanoseconds. */
  keepIdle = 0
  keepInterval = 0
  keepCount = 0
  /** Nanoseconds that data may wait for its acknowledgment; 0: as `tcp_retries2` says. */
  userTimeout = 0

  // For TCP_INFO.
  bytesSent = 0
  bytesAcked = 0
  bytesReceived = 0
  bytesRetransmitted = 0
  segmentsIn = 0
  segmentsOut = 0
  dataSegmentsIn = 0
  dataSegmentsOut = 0
  totalRetransmits = 0
  /** Timeouts; rows of them; milliseconds from the first of a row to what was acknowledged next, and when that was. */
  timeouts = 0
  timeoutRows = 0
  timeoutTime = 0
  timeoutSince = -1
  /** What holds the sender back, since when, and for how long so far, in milliseconds: limits.ts. */
  limit: Limit = Limit.NONE
  limitSince = 0
  busyTime = 0
  peerWindowTime = 0
  sendBufferTime = 0
  /** Segments that came early, and bytes whose path was marked. */
  segmentsEarly = 0
  deliveredMarked = 0
  dsackDuplicates = 0
  establishedAt = 0
  /** The handshake tells an RTT. */
  handshakeTimed = true

  /** @param expire called when {@link timer} fires */
  constructor(
    key: Int32Array,
    path: Ipv4Path,
    congestion: CongestionControl,
    settings: TcbSettings,
    memory: TcbMemory,
    time: { readonly now: number },
    expire: (tcb: Tcb) => void,
  ) {
    this.key = key
    this.path = path
    this.congestion = congestion
    this.time = time
    this.memory = memory.memory
    this.ring = new ReceiveRing(memory.rings, settings.receiveBuffer)
    this.outOfOrder = new OutOfOrderQueue(memory.rings)
    this.transmissions = new Transmissions(memory.transmissions)
    this.sendQueue = new SendQueue(memory.writes, settings.sendBuffer)
    this.sendBufferFixed = settings.sendBufferFixed
    this.receiveBuffer = settings.receiveBuffer
    this.receiveBufferMax = settings.receiveBufferMax
    this.timer = new Timer(() => expire(this))
  }

  /** @param counters `Mib.tcp`, where the connections that are open are counted */
  setState(state: TcpState, counters: Float64Array): void {
    const wasOpen = isOpen(this.state)
    const from = this.state
    this.state = state
    if (this.trace.listener !== null) {
      this.trace.add({
        type: 'state',
        time: this.time.now,
        from: tcpStateName(from),
        to: tcpStateName(state),
      })
    }
    if (wasOpen !== isOpen(state)) counters[TcpMib.CurrEstab]! += wasOpen ? -1 : 1
    if (state === TcpState.CLOSED) {
      if (wasOpen) counters[TcpMib.EstabResets]!++
      else if (from === TcpState.SYN_SENT || from === TcpState.SYN_RECEIVED) counters[TcpMib.AttemptFails]!++
    }
  }

  /** The next acknowledgment reports [left, right) as received twice. */
  noteDuplicate(left: number, right: number): void {
    if (!this.sack || !this.dsack) return
    this.hasDsack = true
    this.dsackLeft = left
    this.dsackRight = right
  }

  /** Sequence number behind the last byte that the application has written. */
  get dataEnd(): number {
    return (this.dataSeq + this.sendQueue.length) | 0
  }

  /** Window that the peer may still fill (`tcp_receive_window`): all that it was ever offered. */
  get receiveWindow(): number {
    const left = (this.rcvEdge - this.rcvNxt) | 0
    return left < 0 ? 0 : left
  }

  /** Milliseconds since the first timeout of a row, if one is going on. */
  timeoutLasted(now: number): number {
    return this.timeoutSince < 0 ? 0 : Math.floor(now / MILLISECOND) - this.timeoutSince
  }

  /** What was sent gets on, or was never lost: a row of timeouts is over. */
  endTimeouts(now: number): void {
    this.retransmits = 0
    this.timeoutTime += this.timeoutLasted(now)
    this.timeoutSince = -1
  }

  /** A timeout, of a SYN or of data. */
  noteTimeout(now: number): void {
    if (this.retransmits++ === 0) {
      this.timeoutRows++
      this.timeoutSince = Math.floor(now / MILLISECOND)
    }
    this.timeouts++
  }

  /** First sequence number that the peer's window does not allow. */
  get windowEnd(): number {
    return (this.sndUna + this.sndWnd) | 0
  }

  /** Past the handshake, and not over. */
  get synchronized(): boolean {
    const { state } = this
    return state !== TcpState.SYN_SENT && state !== TcpState.SYN_RECEIVED && state !== TcpState.CLOSED
  }

  /** The errno that a reader gets once everything is read: none after the peer's FIN, whatever came after it (`SOCK_DONE`). */
  get readErrno(): number {
    return this.finReceived ? 0 : this.errno
  }

  /** Nothing more comes in: the peer has said so. */
  get atEnd(): boolean {
    return this.finReceived || this.state === TcpState.CLOSED || this.state === TcpState.TIME_WAIT
  }
}
