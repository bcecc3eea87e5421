/**
 * RACK (RFC 8985): a transmission is lost when another that was sent sufficiently later has arrived. How much later is
 * the reordering window: a quarter of the least RTT, more if the peer reports that copies were not needed, nothing
 * while there is no sign of reordering and as much has arrived as three duplicates would say. What was
 * sent later is told by counting transmissions, since the stack's clock stands still within a burst.
 */
import { TICK } from '../time/timer-wheel.ts'
import type { Delivery } from './transmissions.ts'

/** Recoveries for which a widened reordering window is kept (`TCP_RACK_RECOVERY_THRESH`). */
const PERSIST = 16
const MAX_STEPS = 255
/** `tcp_recovery`: the window is not adapted; three duplicates do not close it. */
const STATIC_WINDOW = 2
const NO_DUPTHRESH = 4

export class Rack {
  /** The transmission sent latest of all that have arrived: which it was, when it was sent, its end. */
  order = 0
  sentAt = -1
  end = 0
  /** By the last that has arrived, be it that one or another. */
  rtt = 0
  /** Something new has arrived since losses were last looked for. */
  advanced = false
  /** The peer has reported a duplicate since the window was last adapted. */
  duplicateSeen = false
  /** Times that reordering was seen. */
  reorderings = 0
  #steps = 1
  #persist = 0
  #adaptedAt = 0

  /** Takes over what has arrived (§6.2 step 2). */
  advance(delivery: Delivery): void {
    const { rackSentAt } = delivery
    if (rackSentAt < 0) return
    this.advanced = true
    this.rtt = delivery.rackRtt
    const later = this.sentAt < 0 ? 1 : (delivery.rackOrder - this.order) | 0
    if (later < 0 || (later === 0 && ((delivery.rackEnd - this.end) | 0) <= 0)) return
    this.order = delivery.rackOrder
    this.sentAt = rackSentAt
    this.end = delivery.rackEnd
  }

  /** Widens the window for each round trip in which duplicates were reported (§6.2 step 4). */
  adapt(recovery: number, delivered: number, priorDelivered: number): void {
    if ((recovery & STATIC_WINDOW) !== 0 || priorDelivered < 0) return
    if (priorDelivered < this.#adaptedAt) this.duplicateSeen = false
    if (this.duplicateSeen) {
      this.#steps = Math.min(MAX_STEPS, this.#steps + 1)
      this.duplicateSeen = false
      this.#adaptedAt = delivered
      this.#persist = PERSIST
    } else if (this.#persist === 0) this.#steps = 1
  }

  /** A recovery is over, in which something was lost indeed. */
  recovered(): void {
    if (this.#persist > 0) this.#persist--
  }

  /**
   * The reordering window in ns.
   * @param recovering a recovery has begun, or a timeout @param enough as much has arrived as `tcp_reordering` says
   */
  reorderingWindow(
    recovery: number,
    recovering: boolean,
    enough: boolean,
    minRtt: number,
    srtt: number,
  ): number {
    if (this.reorderings === 0) {
      if (recovering) return 0
      if (enough && (recovery & NO_DUPTHRESH) === 0) return 0
    }
    if (minRtt === Infinity) return 0
    // What is shorter than a tick of the wheel can't be told from one burst to the next.
    return Math.min(Math.max((minRtt / 4) * this.#steps, TICK), srtt)
  }
}
