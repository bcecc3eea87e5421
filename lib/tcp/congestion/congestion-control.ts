/**
 * How much may be on its way, and how fast it is sent: the interface of an algorithm of congestion control. The
 * connection says what happened; the algorithm keeps the congestion window, the slow start threshold and, if it wants
 * to be paced, a rate. What is lost, and what is sent again, is not its business: the window is compared with what is
 * taken to be in the network (RFC 6675 "pipe"), so that it need not be inflated by duplicates. One object per
 * connection. Sizes are bytes, times nanoseconds, rates bytes per second.
 */

/** Why the window is to be reduced. */
export type CongestionCause = 'loss' | 'ecn'

/**
 * What an acknowledgment told. One object is filled in again for each; an algorithm keeps nothing of it but numbers.
 * The fields of a delivery rate sample are those of draft-cheng-iccrg-delivery-rate-estimation, as in Linux
 * (`struct rate_sample`).
 */
export class AckSample {
  now = 0
  /** Bytes that it acknowledged cumulatively. */
  acked = 0
  /** Bytes that it told to have arrived, cumulatively or by SACK. */
  delivered = 0
  /** Bytes that it made known to be lost. */
  lost = 0
  /** Bytes that were on their way before it, and that are after it. */
  inFlightBefore = 0
  inFlight = 0
  /** RTT of what it acknowledged, -1 if that tells none; smoothed and least RTT of the connection (0, Infinity: none yet). */
  rtt = -1
  srtt = 0
  minRtt: number = Infinity
  /** SND.UNA and SND.NXT after it: what counts round trips. */
  sndUna = 0
  sndNxt = 0
  /** It carried an echo of congestion (ECE). */
  ece = false
  /** In fast recovery or after a timeout. */
  inRecovery = false
  /** All that the connection has delivered, in bytes, and what that was when the newest delivered segment was sent. */
  totalDelivered = 0
  priorDelivered = 0
  /** For how long the bytes since `priorDelivered` took to be delivered, -1 if that cannot be told. */
  interval = -1
  /** The sender had less to send than the window allowed when that segment was sent. */
  isAppLimited = false

  /** Bytes per second delivered in {@link interval}; -1 if that cannot be told. */
  get deliveryRate(): number {
    return this.interval > 0 ? ((this.totalDelivered - this.priorDelivered) * 1e9) / this.interval : -1
  }
}

export interface CongestionControl {
  /** Linux's name, as in `tcp_congestion_control`. */
  readonly name: string
  /**
   * It sets the window in recovery too, and hears of every acknowledgment. Otherwise the window follows proportional
   * rate reduction (RFC 6937) while in recovery, and {@link onAck} is called outside of fast recovery only.
   */
  readonly ownsRecovery: boolean
  /** The congestion window in bytes. */
  cwnd: number
  /** Below it the window grows by slow start; Infinity at first. */
  ssthresh: number
  /** What is sent keeps to this rate; 0: it goes as the window allows. */
  readonly pacingRate: number
  /** The SMSS, before anything is sent and when it changes. Until something is acknowledged the window follows it. */
  setMss(mss: number): void
  /** The SYN or SYN-ACK had to be sent again: begin with one segment (RFC 5681 §3.1). */
  onHandshakeLoss(): void
  /** The window to begin with, in segments, where a route has one (`initcwnd`). */
  beginWith(segments: number): void
  onAck(sample: AckSample): void
  /**
   * Loss or a congestion signal (RFC 5681 §3.2, RFC 3168 §6.1.2): a reduction begins with `inFlight` on its way,
   * FlightSize of the RFC. The algorithm sets `ssthresh`; the window then comes down to it by proportional rate reduction.
   */
  onCongestionEvent(inFlight: number, now: number, cause: CongestionCause): void
  /** Everything sent when the reduction began is acknowledged. */
  onRecoveryExit(inFlight: number, now: number): void
  /** The retransmission timer ran out; `again`: for a segment that was sent after a timeout already. */
  onTimeout(inFlight: number, now: number, again?: boolean): void
  /**
   * The reduction was a mistake (RFC 3522, RFC 3708, RFC 5682): nothing was lost. Back to window and threshold as they
   * were before it, or what the algorithm thinks better.
   */
  onUndo(cwnd: number, ssthresh: number, now: number): void
  /**
   * Nothing is on its way, and something is about to be sent.
   * @param applicationLimited because there was nothing to send
   * @param srtt nanoseconds; 0 if nothing was measured yet, also not by the handshake
   */
  onSendStart(now: number, applicationLimited: boolean, srtt: number): void
  /** Nothing was on its way for `idle`, longer than the timeout `rto`, and now there is something to send. */
  onIdle(idle: number, rto: number): void
}
