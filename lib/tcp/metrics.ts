/**
 * What connections have learnt about a destination, for those that come after (`tcp_metrics`): round-trip time and its
 * deviation, the congestion window, the threshold of slow start, how far packets overtake one another. A connection
 * that ends in good order leaves what it knows, averaged with what there was; one that begins takes its first timeout
 * from it, where the handshake has told a shorter one, and reordering and threshold (RFC 2140). What a route says of
 * its path comes in when an entry is made, and again when it has not been used for an hour.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import { LinkedList } from '../collections/linked-list.ts'
import { Metric } from '../route/rtnetlink.ts'
import type { TcpSettings } from '../sysctl/tcp-settings.ts'
import { MILLISECOND, SECOND } from '../time/clock.ts'
import { LossState, type Tcb } from './tcb.ts'

/** Destinations at most; the one that was saved longest ago goes. */
export const MAX_DESTINATIONS = 1024
/** How long it stands (`TCP_METRICS_TIMEOUT`). */
const LIFETIME = 3600 * SECOND
/** What a route's `rtt` and `rttvar` count in: eighths and quarters of a millisecond. */
const RTT_UNIT = MILLISECOND / 8
const RTTVAR_UNIT = MILLISECOND / 4

/** Metrics of a route that stand if they are locked. */
const LOCKABLE = [Metric.RTT, Metric.RTTVAR, Metric.SSTHRESH, Metric.CWND, Metric.REORDERING] as const

/** One destination, from one source; 0: not known. */
export class DestinationMetrics {
  readonly source: Ipv4Address
  readonly destination: Ipv4Address
  /** When it was last updated. */
  stamp = 0
  /** Bit n: the route locks its metric n. */
  locked = 0
  /** Nanoseconds. */
  rtt = 0
  rttvar = 0
  /** Segments. */
  ssthresh = 0
  cwnd = 0
  reordering = 0
  /** @internal links of the order of saving */
  next: DestinationMetrics | null = null
  /** @internal */
  previous: DestinationMetrics | null = null

  constructor(source: Ipv4Address, destination: Ipv4Address) {
    this.source = source
    this.destination = destination
  }

  isLocked(metric: number): boolean {
    return (this.locked & (1 << metric)) !== 0
  }

  /** Begins with what the route says (`tcpm_suck_dst`). */
  takeFromRoute({ path }: Tcb, now: number): void {
    this.stamp = now
    this.locked = 0
    for (const metric of LOCKABLE) if (path.isLocked(metric)) this.locked |= 1 << metric
    this.rtt = path.metric(Metric.RTT) * RTT_UNIT
    this.rttvar = path.metric(Metric.RTTVAR) * RTTVAR_UNIT
    this.ssthresh = path.metric(Metric.SSTHRESH)
    this.cwnd = path.metric(Metric.CWND)
    this.reordering = path.metric(Metric.REORDERING)
  }
}

export class SavedMetrics {
  readonly #settings: TcpSettings
  readonly #entries = new Map<string, DestinationMetrics>()
  /** The one that was saved longest ago first. */
  readonly #order = new LinkedList<DestinationMetrics>()
  /** Connections mostly come to one destination one after another. */
  #latest: DestinationMetrics | null = null

  constructor(settings: TcpSettings) {
    this.#settings = settings
  }

  get size(): number {
    return this.#entries.size
  }

  [Symbol.iterator](): Iterator<DestinationMetrics> {
    return this.#order[Symbol.iterator]()
  }

  /** Forgets those for which `which` is true; gives how many. */
  flush(which: (entry: DestinationMetrics) => boolean = () => true): number {
    let count = 0
    for (const entry of this.#order) {
      if (!which(entry)) continue
      this.#remove(entry)
      count++
    }
    return count
  }

  /** A connection to it has come to an end in good order before (`tcp_peer_is_proven`). */
  isProven(source: Ipv4Address, destination: Ipv4Address): boolean {
    return (this.#lookup(source, destination)?.rtt ?? 0) > 0
  }

  /** The handshake is over, and {@link Tcb.mss} known (`tcp_init_metrics`). */
  begin(tcb: Tcb, now: number): void {
    if (this.#entries.size === 0) return
    const entry = this.#find(tcb, now)
    if (entry === null) return
    if (entry.ssthresh > 0 && this.#settings.tcp_no_ssthresh_metrics_save === 0) {
      tcb.congestion.ssthresh = entry.ssthresh * tcb.mss
    }
    if (entry.reordering > 0) tcb.reordering = entry.reordering
    // A SYN is small, and soon answered: the first timeout is for data. The estimator stays what it is.
    if (entry.rtt > tcb.rtt.srtt) tcb.rtt.expect(entry.rtt)
  }

  /** The connection ends in good order (`tcp_update_metrics`). */
  save(tcb: Tcb, now: number): void {
    if (this.#settings.tcp_no_metrics_save !== 0 || tcb.path.route === null) return
    const found = this.#find(tcb, now)
    if (tcb.rtt.backoff > 0 || tcb.rtt.srtt === 0) {
      // Nothing came in time: what was thought of it is wrong.
      if (found !== null && !found.isLocked(Metric.RTT)) found.rtt = 0
      return
    }
    const entry = found ?? this.#add(tcb, now)
    this.#saveRtt(entry, tcb)
    this.#saveWindow(entry, tcb)
    entry.stamp = now
    this.#order.remove(entry)
    this.#order.push(entry)
  }

  /** A longer RTT counts at once, a shorter one an eighth: too long is better than too short. */
  #saveRtt(entry: DestinationMetrics, { rtt: { srtt, mdev } }: Tcb): void {
    const shorter = entry.rtt - srtt
    if (!entry.isLocked(Metric.RTT)) entry.rtt = shorter <= 0 ? srtt : entry.rtt - shorter / 8
    if (entry.isLocked(Metric.RTTVAR)) return
    const deviation = Math.max(Math.abs(shorter), mdev)
    entry.rttvar = deviation >= entry.rttvar ? deviation : entry.rttvar - (entry.rttvar - deviation) / 4
  }

  #saveWindow(entry: DestinationMetrics, tcb: Tcb): void {
    const { congestion, mss } = tcb
    const cwnd = Math.floor(congestion.cwnd / mss)
    const ssthresh = Math.floor(congestion.ssthresh / mss)
    const keepsThreshold =
      this.#settings.tcp_no_ssthresh_metrics_save === 0 && !entry.isLocked(Metric.SSTHRESH)
    const keepsWindow = !entry.isLocked(Metric.CWND)
    if (congestion.ssthresh === Infinity) {
      // Slow start did not end: the window was at least enough.
      if (keepsThreshold && entry.ssthresh > 0 && cwnd >> 1 > entry.ssthresh) entry.ssthresh = cwnd >> 1
      if (keepsWindow) entry.cwnd = Math.max(entry.cwnd, cwnd)
    } else if (congestion.cwnd >= congestion.ssthresh && tcb.lossState === LossState.OPEN) {
      if (keepsThreshold) entry.ssthresh = Math.max(cwnd >> 1, ssthresh)
      if (keepsWindow) entry.cwnd = (entry.cwnd + cwnd) >> 1
    } else {
      if (keepsWindow) entry.cwnd = (entry.cwnd + ssthresh) >> 1
      if (keepsThreshold && entry.ssthresh > 0 && ssthresh > entry.ssthresh) entry.ssthresh = ssthresh
      const { reordering } = tcb
      const isFarther = entry.reordering < reordering && reordering !== this.#settings.tcp_reordering
      if (isFarther && !entry.isLocked(Metric.REORDERING)) entry.reordering = reordering
    }
  }

  #find(tcb: Tcb, now: number): DestinationMetrics | null {
    const entry = this.#lookup(tcb.path.local, tcb.path.remote)
    if (entry === null) return null
    if (now - entry.stamp > LIFETIME) entry.takeFromRoute(tcb, now)
    return entry
  }

  #add(tcb: Tcb, now: number): DestinationMetrics {
    if (this.#entries.size >= MAX_DESTINATIONS) this.#remove(this.#order.first!)
    const { local, remote } = tcb.path
    const entry = new DestinationMetrics(local, remote)
    entry.takeFromRoute(tcb, now)
    this.#entries.set(keyOf(local, remote), entry)
    this.#order.push(entry)
    return entry
  }

  #lookup(source: Ipv4Address, destination: Ipv4Address): DestinationMetrics | null {
    const latest = this.#latest
    if (latest !== null && latest.source === source && latest.destination === destination) return latest
    const entry = this.#entries.get(keyOf(source, destination))
    if (entry === undefined) return null
    this.#latest = entry
    return entry
  }

  #remove(entry: DestinationMetrics): void {
    if (this.#latest === entry) this.#latest = null
    this.#entries.delete(keyOf(entry.source, entry.destination))
    this.#order.remove(entry)
  }
}

function keyOf(source: Ipv4Address, destination: Ipv4Address): string {
  return `${source}>${destination}`
}
