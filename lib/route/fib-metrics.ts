/**
 * Route metrics (`RTAX_*`): what a route says of its path besides the next hop. They are clamped on the way in,
 * as Linux clamps them, so that what reads them later needs no checks.
 */
import { Errno } from '../errors.ts'
import { Metric, NetlinkError } from './rtnetlink.ts'

/** `RTAX_MAX` + 1 */
export const METRICS = 18
/** Congestion control algorithms of TCP by the number, from 1 on, that `CC_ALGO` has. */
export const CONGESTION_NAMES: readonly string[] = ['reno', 'cubic', 'bbr']
/** ECN, SACK, TIMESTAMP, ALLFRAG, TCP_USEC_TS. */
const FEATURE_MASK = 0x1f

const LIMITS: ReadonlyMap<number, number> = new Map([
  [Metric.ADVMSS, 65535 - 40],
  [Metric.MTU, 65535 - 15],
  [Metric.HOPLIMIT, 255],
])

/** @throws NetlinkError `EINVAL` */
export function metricsOf(config: ReadonlyMap<number, number> | undefined): Int32Array | null {
  if (config === undefined || config.size === 0) return null
  const metrics = new Int32Array(METRICS)
  for (const [metric, value] of config) {
    if (metric === 0) continue
    if (metric >= METRICS) throw new NetlinkError(Errno.EINVAL, 'Invalid metric type', 'route', metric)
    if (metric === Metric.CC_ALGO && value === 0) {
      throw new NetlinkError(Errno.EINVAL, 'Unknown tcp congestion algorithm', 'route')
    }
    if (metric === Metric.FEATURES && (value & ~FEATURE_MASK) !== 0) {
      throw new NetlinkError(
        Errno.EINVAL,
        'Unknown flag set in feature mask in metrics attribute',
        'route',
        value,
      )
    }
    const limit = LIMITS.get(metric)
    metrics[metric] = limit !== undefined && value >>> 0 > limit ? limit : value
  }
  return metrics.some((value) => value !== 0) ? metrics : null
}

export function sameMetrics(a: Int32Array | null, b: Int32Array | null): boolean {
  if (a === null || b === null) return a === b
  return a.every((value, metric) => value === b[metric])
}

/** Every metric that a deletion names has that value in the route. */
export function metricsMatch(
  config: ReadonlyMap<number, number> | undefined,
  metrics: Int32Array | null,
): boolean {
  if (config === undefined) return true
  for (const [metric, value] of config) {
    if (metric === 0) continue
    if (metric >= METRICS || (metrics === null ? 0 : metrics[metric]) !== (value | 0)) return false
  }
  return true
}
