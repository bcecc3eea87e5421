/**
 * How much may be on its way: the interface of an algorithm of congestion control. The connection says what happened;
 * the algorithm keeps the congestion window and the slow start threshold, in bytes. What is lost, and what is sent
 * again, is not its business: the window is compared with what is taken to be in the network (RFC 6675 "pipe"), so
 * that it need not be inflated by duplicates. One object per connection.
 */
export interface CongestionControl {
  /** Linux's name, as in `tcp_congestion_control`. */
  readonly name: string
  /** The congestion window in bytes. */
  cwnd: number
  /** Below it the window grows by slow start; Infinity at first. */
  ssthresh: number
  /** The SMSS, before anything is sent and when it changes. Until something is acknowledged the window follows it. */
  setMss(mss: number): void
  /** The SYN or SYN-ACK had to be sent again: begin with one segment (RFC 5681 §3.1). */
  onHandshakeLoss(): void
  /**
   * `acked` bytes were acknowledged, not in fast recovery. `rtt` is the smoothed RTT, `inFlight` what was on its way
   * before.
   */
  onAck(acked: number, rtt: number, inFlight: number, now: number): void
  /** Loss or a congestion signal (RFC 5681 §3.2, RFC 3168 §6.1.2): fast recovery begins with `inFlight` on its way. */
  onCongestionEvent(inFlight: number, now: number): void
  /** Everything sent when recovery began is acknowledged. */
  onRecoveryExit(inFlight: number): void
  /** The retransmission timer ran out; `again`: for a segment that was sent after a timeout already. */
  onTimeout(inFlight: number, now: number, again?: boolean): void
  /** Nothing was on its way for `idle`, longer than the timeout `rto`, and now there is something to send. */
  onIdle(idle: number, rto: number): void
}
