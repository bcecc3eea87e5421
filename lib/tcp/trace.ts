/**
 * What happens to a connection, for who wants to watch: changes of state, RTT samples, what was sent again and why,
 * the congestion window, and what is on its way. Nothing is noted while nobody listens; the listener is called after
 * packet processing.
 */
import type { TcpStateName } from './tcb.ts'

/**
 * Why something was sent again: a timeout, the third duplicate, what was sent later has arrived (RACK), the tail was
 * probed, or it was too large for the path.
 */
export type RetransmitReason = 'timeout' | 'fast' | 'rack' | 'probe' | 'path-mtu'

/** How the sender stands towards loss. */
export type CwndState = 'open' | 'disorder' | 'cwr' | 'recovery' | 'loss'

/** Times are nanoseconds of stack time, sizes are bytes. */
export type TcpEvent =
  | { readonly type: 'state'; readonly time: number; readonly from: TcpStateName; readonly to: TcpStateName }
  | {
      readonly type: 'rtt'
      readonly time: number
      readonly rtt: number
      readonly srtt: number
      readonly rto: number
    }
  | {
      readonly type: 'retransmit'
      readonly time: number
      /** From the initial sequence number on. */
      readonly offset: number
      readonly length: number
      readonly reason: RetransmitReason
    }
  /** Data was sent for the first time, or acknowledged: what is taken to be on its way now, and what may be. */
  | {
      readonly type: 'flight'
      readonly time: number
      readonly inFlight: number
      readonly cwnd: number
      readonly ssthresh: number
    }
  /** How the sender stands towards loss has changed, or a timeout has come. */
  | {
      readonly type: 'cwnd'
      readonly time: number
      readonly cwnd: number
      readonly ssthresh: number
      readonly state: CwndState
    }
  /** A reduction of the window was a mistake, and is taken back. */
  | { readonly type: 'undo'; readonly time: number; readonly cwnd: number; readonly ssthresh: number }

export type TcpEventListener = (event: TcpEvent) => void

/** Events that wait at most; the oldest go first. */
const LIMIT = 4096

export class TcpTrace {
  listener: TcpEventListener | null = null
  /** Events that were lost because too many waited. */
  lost = 0
  readonly #waiting: TcpEvent[] = []

  get isPending(): boolean {
    return this.#waiting.length > 0
  }

  add(event: TcpEvent): void {
    if (this.#waiting.length === LIMIT) {
      this.#waiting.shift()
      this.lost++
    }
    this.#waiting.push(event)
  }

  /** Tells the listener, outside of packet processing. */
  deliver(): void {
    while (this.#waiting.length > 0) this.listener?.(this.#waiting.shift()!)
  }
}
