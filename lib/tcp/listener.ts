/**
 * A listening endpoint: the connections that wait to be accepted and the handshakes that are under way, both within
 * the backlog (RFC 9293 §3.10.7.2, RFC 4987). A catch-all listener hears of what no other listens for, and its
 * program decides before anything is answered.
 */
import { LinkedList } from '../collections/linked-list.ts'
import type { EventSource } from '../device/softirq.ts'
import type { CongestionControlName } from '../sysctl/tcp-settings.ts'
import type { HalfOpen } from './half-open.ts'
import { EndpointKind, type Tcb } from './tcb.ts'

export class Listener {
  readonly kind = EndpointKind.LISTENER
  /** Its place in the endpoint table; `null` for one that catches all. */
  readonly key: Int32Array | null
  readonly user: EventSource
  /** Connections that may wait to be accepted, and half-open ones (`listen(2)`). */
  readonly backlog: number
  /** In the order in which they began. */
  readonly halfOpen = new LinkedList<HalfOpen>()
  /** Established, and waiting for the program. */
  readonly acceptQueue: Tcb[] = []
  /** Of a catch-all listener: what the program has not been asked about yet. */
  readonly undecided: HalfOpen[] = []
  /** Of a catch-all listener: what the program said yes to and the peer did not complete. */
  readonly failed: HalfOpen[] = []
  noDelay = false
  keepAlive = false
  receiveBuffer = 0
  sendBuffer = 0
  /** `TCP_MAXSEG`; Infinity: as the path has it. */
  maxSegment = Infinity
  /** `null`: as the sysctl says. */
  congestion: CongestionControlName | null = null
  /** Bytes per second. */
  maxPacingRate: number = Infinity
  /** When it last sent a SYN cookie. */
  lastCookie = -Infinity
  closed = false

  constructor(key: Int32Array | null, user: EventSource, backlog: number) {
    this.key = key
    this.user = user
    this.backlog = backlog
  }

  get isCatchAll(): boolean {
    return this.key === null
  }

  /** `sk_acceptq_is_full`: one more than the backlog fits. */
  get isFull(): boolean {
    return this.acceptQueue.length > this.backlog
  }

  /**
   * The oldest handshake, if its SYN-ACK was sent a second time in vain: it makes room for a new one, so that a flood
   * of SYNs keeps nobody out for longer (RFC 4987 §3.4).
   */
  get staleHandshake(): HalfOpen | null {
    const oldest = this.halfOpen.first
    return oldest !== null && oldest.retries > 0 && !oldest.confirmed ? oldest : null
  }
}
