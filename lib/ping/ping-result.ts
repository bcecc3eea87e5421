/**
 * What a series of pings gave, probe by probe, and the summary that iputils prints of it.
 */

/** One echo request and what came of it. */
export interface PingProbe {
  /** 1 for the first; the ICMP sequence number is its low 16 bits. */
  sequence: number
  /** `reply`, `timeout`, or what kept it from being answered. */
  outcome: 'reply' | 'timeout' | 'error'
  /** Who answered, or who sent the error. */
  from?: string
  /** TTL of the reply. */
  ttl?: number
  /** Bytes of ICMP in the reply: header and data. */
  bytes?: number
  /** Round-trip time in milliseconds. */
  rtt?: number
  /** More replies to the same request (`DUP!`). */
  duplicates: number
  /** The reply's data differed from what was sent, first at this offset. */
  damagedAt?: number
  /** Errno name for an error: `EHOSTUNREACH`; and the ICMP type and code, if one came. */
  code?: string
  icmp?: { type: number; code: number; info: number }
}

/** The whole series. Times in milliseconds. */
export interface PingResult {
  address: string
  probes: PingProbe[]
  transmitted: number
  received: number
  duplicates: number
  errors: number
  damaged: number
  /** 0…1 */
  loss: number
  /** From the first request to the end. */
  time: number
  /** Absent if nothing was received. */
  rtt?: { min: number; avg: number; max: number; mdev: number }
  /** The lines that `ping` of iputils ends with. */
  summary: string
}

/** Adds the probes up. @param time milliseconds from the first request to the last event */
export function summarize(
  address: string,
  probes: PingProbe[],
  transmitted: number,
  time: number,
): PingResult {
  let received = 0
  let duplicates = 0
  let errors = 0
  let damaged = 0
  let min = Infinity
  let max = 0
  let sum = 0
  let squares = 0
  for (const probe of probes) {
    duplicates += probe.duplicates
    if (probe.outcome === 'error') errors++
    if (probe.outcome !== 'reply') continue
    received++
    if (probe.damagedAt !== undefined) damaged++
    const rtt = probe.rtt!
    min = Math.min(min, rtt)
    max = Math.max(max, rtt)
    sum += rtt
    squares += rtt * rtt
  }
  const avg = sum / received
  const mdev = Math.sqrt(Math.max(0, squares / received - avg * avg))
  const loss = transmitted === 0 ? 0 : (transmitted - received) / transmitted
  const result: PingResult = {
    address,
    probes,
    transmitted,
    received,
    duplicates,
    errors,
    damaged,
    loss,
    time,
    summary: '',
  }
  if (received > 0) result.rtt = { min, avg, max, mdev }
  result.summary = formatSummary(result)
  return result
}

/** The last lines of iputils' `ping`. */
function formatSummary(result: PingResult): string {
  const parts = [`${result.transmitted} packets transmitted`, `${result.received} received`]
  if (result.duplicates > 0) parts.push(`+${result.duplicates} duplicates`)
  if (result.damaged > 0) parts.push(`+${result.damaged} corrupted`)
  if (result.errors > 0) parts.push(`+${result.errors} errors`)
  if (result.transmitted > 0) {
    parts.push(`${formatPercent(result.loss * 100)}% packet loss`)
    parts.push(`time ${Math.floor(result.time)}ms`)
  }
  const lines = [`--- ${result.address} ping statistics ---`, parts.join(', ')]
  const { rtt } = result
  if (rtt !== undefined) {
    const values = [rtt.min, rtt.avg, rtt.max, rtt.mdev].map((ms) => ms.toFixed(3)).join('/')
    lines.push(`rtt min/avg/max/mdev = ${values} ms`)
  }
  return `${lines.join('\n')}\n`
}

/** As C's `%g` with six digits. */
function formatPercent(percent: number): string {
  return String(Number(percent.toPrecision(6)))
}
