/**
 * `TCP_INFO`: the numbers of a connection under the names of Linux's `struct tcp_info` (without `tcpi_`), in Linux's
 * units: times in microseconds unless the name says otherwise, windows in segments where Linux counts segments.
 */
import type { Ipv4Context } from '../ipv4/context.ts'
import { MICROSECOND, MILLISECOND, SECOND } from '../time/clock.ts'
import { limitTimes } from './limits.ts'
import { pacingRate } from './pacing.ts'
import { DELAYED_ACK } from './receive-window.ts'
import type { Tcb } from './tcb.ts'

export interface TcpInfo {
  /** `TCP_ESTABLISHED` is 1, … as Linux numbers them. */
  state: number
  /** 0 open, 1 disorder, 2 CWR, 3 recovery, 4 loss. */
  ca_state: number
  retransmits: number
  probes: number
  backoff: number
  /** 1 timestamps, 2 SACK, 4 window scale, 8 ECN. */
  options: number
  snd_wscale: number
  rcv_wscale: number
  rto: number
  ato: number
  snd_mss: number
  rcv_mss: number
  /** Segments on their way. */
  unacked: number
  sacked: number
  /** Taken for lost; of which a copy is on its way. */
  lost: number
  retrans: number
  /** Milliseconds since. */
  last_data_sent: number
  last_data_recv: number
  last_ack_recv: number
  pmtu: number
  rtt: number
  rttvar: number
  /** Segments; 2147483647: none yet. */
  snd_ssthresh: number
  snd_cwnd: number
  advmss: number
  /** Segments by which packets overtake one another. */
  reordering: number
  rcv_rtt: number
  /** Bytes that the application has read in a round trip, at most. */
  rcv_space: number
  /** Bytes of the receive buffer that are offered at most now. */
  rcv_ssthresh: number
  total_retrans: number
  bytes_acked: number
  bytes_received: number
  segs_out: number
  segs_in: number
  notsent_bytes: number
  min_rtt: number
  data_segs_in: number
  data_segs_out: number
  bytes_sent: number
  bytes_retrans: number
  dsack_dups: number
  /** Times that reordering was seen. */
  reord_seen: number
  snd_wnd: number
  rcv_wnd: number
  /** Bytes per second; -1, Linux's unsigned all ones: no limit. */
  pacing_rate: number
  max_pacing_rate: number
  /** What was last delivered, in bytes per second, and whether the application had no more to send. */
  delivery_rate: number
  delivery_rate_app_limited: number
  /** Microseconds in which there was something to send or to be acknowledged. */
  busy_time: number
  /** Of these, in which the peer's window allowed no more; in which the send buffer was full and all of it was sent. */
  rwnd_limited: number
  sndbuf_limited: number
  /** Segments that are known to have arrived; those acknowledged with a mark of congestion (ECN). */
  delivered: number
  delivered_ce: number
  /** Segments that came early. */
  rcv_ooopack: number
  /** Timeouts; rows of them; milliseconds from the first of a row to the next progress. */
  total_rto: number
  total_rto_recoveries: number
  total_rto_time: number
}

const TCPI_OPT_TIMESTAMPS = 1
const TCPI_OPT_SACK = 2
const TCPI_OPT_WSCALE = 4
const TCPI_OPT_ECN = 8

const whole = (rate: number): number => (rate === Infinity ? -1 : Math.round(rate))

export function tcpInfo(tcb: Tcb, { now }: Ipv4Context): TcpInfo {
  const { rtt, congestion } = tcb
  const mss = Math.max(1, tcb.mss)
  const micro = (time: number): number => Math.round(time / MICROSECOND)
  const since = (time: number): number => Math.max(0, Math.round((now - time) / MILLISECOND))
  const inFlight = (tcb.sndNxt - tcb.sndUna) | 0
  const [busy, peerWindow, sendBuffer] = limitTimes(tcb, now)
  return {
    state: tcb.state,
    ca_state: tcb.lossState,
    retransmits: tcb.retransmits,
    probes: tcb.probes,
    backoff: rtt.backoff,
    options:
      (tcb.timestamps ? TCPI_OPT_TIMESTAMPS : 0) |
      (tcb.sack ? TCPI_OPT_SACK : 0) |
      (tcb.windowScaling ? TCPI_OPT_WSCALE : 0) |
      (tcb.ecn ? TCPI_OPT_ECN : 0),
    snd_wscale: tcb.sndScale,
    rcv_wscale: tcb.rcvScale,
    rto: micro(rtt.timeout),
    ato: tcb.lastReceived === -Infinity ? 0 : micro(DELAYED_ACK),
    snd_mss: tcb.mss,
    rcv_mss: tcb.rcvMss,
    unacked: Math.ceil(inFlight / mss),
    sacked: Math.ceil(tcb.transmissions.sackedBytes / mss),
    lost: Math.ceil(tcb.transmissions.lostBytes / mss),
    retrans: Math.ceil(tcb.transmissions.retransmittedBytes / mss),
    last_data_sent: tcb.lastSent === -Infinity ? 0 : since(tcb.lastSent),
    last_data_recv: since(Math.max(tcb.lastReceived, tcb.establishedAt)),
    last_ack_recv: since(tcb.lastHeard),
    pmtu: tcb.path.mtu,
    rtt: micro(rtt.srtt),
    rttvar: micro(rtt.mdev),
    snd_ssthresh: congestion.ssthresh === Infinity ? 0x7fffffff : Math.floor(congestion.ssthresh / mss),
    snd_cwnd: Math.floor(congestion.cwnd / mss),
    advmss: tcb.announcedMss,
    reordering: tcb.reordering,
    rcv_rtt: micro(tcb.rcvRtt),
    rcv_space: tcb.rcvSpace,
    rcv_ssthresh: tcb.rcvSsthresh,
    total_retrans: tcb.totalRetransmits,
    bytes_acked: tcb.bytesAcked,
    bytes_received: tcb.bytesReceived,
    segs_out: tcb.segmentsOut,
    segs_in: tcb.segmentsIn,
    notsent_bytes: Math.max(0, (tcb.dataEnd - tcb.sndNxt) | 0),
    min_rtt: rtt.minRtt === Infinity ? 0xffffffff : micro(rtt.minRtt),
    data_segs_in: tcb.dataSegmentsIn,
    data_segs_out: tcb.dataSegmentsOut,
    bytes_sent: tcb.bytesSent,
    bytes_retrans: tcb.bytesRetransmitted,
    dsack_dups: tcb.dsackDuplicates,
    reord_seen: tcb.rack.reorderings,
    snd_wnd: tcb.sndWnd,
    rcv_wnd: tcb.receiveWindow,
    pacing_rate: whole(pacingRate(tcb) || Infinity),
    max_pacing_rate: whole(tcb.maxPacingRate),
    delivery_rate: Math.round(tcb.deliveryRate * SECOND),
    delivery_rate_app_limited: tcb.deliveryRateLimited ? 1 : 0,
    busy_time: busy * 1000,
    rwnd_limited: peerWindow * 1000,
    sndbuf_limited: sendBuffer * 1000,
    delivered: Math.ceil(tcb.delivered / mss),
    delivered_ce: Math.ceil(tcb.deliveredMarked / mss),
    rcv_ooopack: tcb.segmentsEarly,
    total_rto: tcb.timeouts,
    total_rto_recoveries: tcb.timeoutRows,
    total_rto_time: tcb.timeoutTime + tcb.timeoutLasted(now),
  }
}
