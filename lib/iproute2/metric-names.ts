/** The metrics of a route by the words of `ip route`, in the order of their numbers. */
import { Metric } from '../route/rtnetlink.ts'

export const METRIC_NAMES: readonly (readonly [number, string])[] = [
  [Metric.MTU, 'mtu'],
  [Metric.WINDOW, 'window'],
  [Metric.RTT, 'rtt'],
  [Metric.RTTVAR, 'rttvar'],
  [Metric.SSTHRESH, 'ssthresh'],
  [Metric.CWND, 'cwnd'],
  [Metric.ADVMSS, 'advmss'],
  [Metric.REORDERING, 'reordering'],
  [Metric.HOPLIMIT, 'hoplimit'],
  [Metric.INITCWND, 'initcwnd'],
  [Metric.FEATURES, 'features'],
  [Metric.RTO_MIN, 'rto_min'],
  [Metric.INITRWND, 'initrwnd'],
  [Metric.QUICKACK, 'quickack'],
  [Metric.CC_ALGO, 'congctl'],
  [Metric.FASTOPEN_NO_COOKIE, 'fastopen_no_cookie'],
]
